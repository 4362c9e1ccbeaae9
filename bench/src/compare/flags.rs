//! The flags of `compare`, read by hand: few, and all of them numbers, names or paths.

use std::path::PathBuf;

use super::Result;
use super::rig::WEIR_OTHER;
use super::workload::WORKLOADS;

pub const USAGE: &str = "\
weir-bench compare: weir, HAProxy (TCP) and pgbouncer (session) in front of one PostgreSQL, weir,
HAProxy (HTTP) and nginx in front of one server of HTTP, weir, HAProxy (TCP) and a jump host in
front of one sshd

  --rounds N        rounds, each visits every arm (default 5)
  --seconds N       seconds per measurement (default 5)
  --quick           2 rounds of 2 seconds and less data: does it run?
  --only A,B        workloads: fixed-simple fixed-extended fixed-prepared quiet-20
                    quiet-200 quiet-500 closed-simple
                    closed-prepared lone sync-64 answers copy-out copy-in select-wide
                    select-200b select-64k connect tls-prepared tls-closed tls-copy-out
                    tls-connect http1-fixed http2-fixed http1-post http2-post http1-closed
                    http2-closed http1-lone http2-lone http1-bulk http2-bulk ssh-exec
                    ssh-connect ssh-out ssh-in storm syscalls idle tls-idle
  --arms A,B        direct haproxy pgbouncer nginx (for http*) jump (for ssh-*) weir weir-masks (for
                    fixed-prepared, copy-out and select-wide) weir-sync (for lone, sync-64 and
                    http1-closed); left out by default: haproxy-again (it shows the noise),
                    haproxy-log (for http*, a line for each request); the tls-* workloads have
                    TLS on both legs
  --rate N          transactions or requests per second offered in the *fixed* and *post
                    workloads (default 4000)
  --storm N         connections in the storm (default 10000)
  --weir PATH       weir's binary (default target/release/weir); the arm is left out without it
  --other PATH      another binary of weir, of another commit or made otherwise: its arm is
                    weir-other
  --weir-config P   lines added to weir's configuration, e.g. masks
  --dir PATH        where the throwaway data goes (default: a fresh folder of the system's)
  --pg-bin PATH     PostgreSQL's binaries (default: the newest of /usr/lib/postgresql)
  --json FILE       everything measured, raw samples included
  --plots DIR       SVG plots (default bench/results; 'none' for none)
  --profile DIR     samples every proxy with perf and says where its time goes; the recordings stay
                    in DIR. What is measured beside it is slower
  --steal-max PCT   discard measurements with more steal time than this (default 1)
  --foreign-max PCT discard measurements while other programs used more than this share of one
                    core (default 10)";

pub struct Flags {
    pub rounds: usize,
    pub seconds: f64,
    pub only: Vec<String>,
    pub arms: Vec<String>,
    pub rate: u32,
    pub storm: u64,
    pub weir: PathBuf,
    pub other: Option<PathBuf>,
    pub weir_config: Option<PathBuf>,
    pub dir: Option<PathBuf>,
    pub pg_bin: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub plots: Option<PathBuf>,
    pub profile: Option<PathBuf>,
    pub steal_max: f64,
    pub foreign_max: f64,
    pub quick: bool,
}

impl Flags {
    /// `None` when help was asked for.
    pub fn parse(arguments: &[String]) -> Result<Option<Flags>> {
        let mut flags = Flags::default();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value =
                || rest.next().cloned().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => {
                    (flags.quick, flags.rounds, flags.seconds, flags.storm) = (true, 2, 2.0, 1000);
                }
                "--rounds" => flags.rounds = number(name, &value()?)?,
                "--seconds" => flags.seconds = number(name, &value()?)?,
                "--rate" => flags.rate = number(name, &value()?)?,
                "--storm" => flags.storm = number(name, &value()?)?,
                "--steal-max" => flags.steal_max = number(name, &value()?)?,
                "--foreign-max" => flags.foreign_max = number(name, &value()?)?,
                "--only" => flags.only = workloads(&value()?)?,
                "--arms" => flags.arms = list(&value()?),
                "--weir" => flags.weir = value()?.into(),
                "--other" => flags.other = Some(value()?.into()),
                "--weir-config" => flags.weir_config = Some(value()?.into()),
                "--dir" => flags.dir = Some(value()?.into()),
                "--pg-bin" => flags.pg_bin = Some(value()?.into()),
                "--json" => flags.json = Some(value()?.into()),
                "--plots" => flags.plots = Some(value()?.into()).filter(|p| p != "none"),
                "--profile" => flags.profile = Some(value()?.into()),
                other => return Err(format!("{other}: no such flag\n{USAGE}")),
            }
        }
        match (&flags.other, flags.arms.iter().any(|arm| arm == WEIR_OTHER)) {
            (Some(_), false) => flags.arms.push(WEIR_OTHER.to_owned()),
            (None, true) => return Err(format!("{WEIR_OTHER}: needs --other PATH")),
            (Some(_), true) | (None, false) => {}
        }
        if flags.rounds == 0 || flags.seconds < 0.5 || flags.storm == 0 {
            return Err("at least one round of half a second, one connection".to_owned());
        }
        Ok(Some(flags))
    }

    pub fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == workload)
    }
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            rounds: 5,
            seconds: 5.0,
            only: vec![],
            arms: list("direct,haproxy,pgbouncer,nginx,jump,weir,weir-masks,weir-sync"),
            rate: 4000,
            storm: 10_000,
            weir: "target/release/weir".into(),
            other: None,
            weir_config: None,
            dir: None,
            pg_bin: None,
            json: None,
            plots: Some("bench/results".into()),
            profile: None,
            steal_max: 1.0,
            foreign_max: 10.0,
            quick: false,
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| format!("{name} {text}: expected a number"))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn workloads(text: &str) -> Result<Vec<String>> {
    let names = list(text);
    match names.iter().find(|name| WORKLOADS.iter().all(|w| w.name != **name)) {
        Some(name) => Err(format!("{name}: no such workload\n{USAGE}")),
        None => Ok(names),
    }
}
