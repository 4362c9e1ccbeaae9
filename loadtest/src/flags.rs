//! The command line of `weir-load`, read by hand.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_load::drive::Settings;
use weir_load::endpoint::Endpoint;
use weir_load::null::Answer;
use weir_load::plan::{Mode, Plan};
use weir_load::schedule::Arrivals;

pub const USAGE: &str = "\
weir-load                     the canonical workload against a null backend of its own:
                              transactions per second, and the p99 at half of them
weir-load URL                 the same against postgres://user:password@host:port/database
weir-load URL FLAGS           a run of your own
                              the URL may end with ?sslmode=require (TLS, any certificate) or
                              ?sslmode=verify-full&sslrootcert=FILE, and &sslnegotiation=direct
weir-load null [--listen 127.0.0.1:6543] [--rows 1] [--row-bytes 100]
                              a backend that answers every statement with the same rows

  --rate N|max        requests per second, or a closed loop (default max)
  --arrivals KIND     poisson (default) or constant
  --connections N     (default 64)    --threads N (default 1)
  --seconds N         counted (default 10), after --warm-up N (default 1)
  --mode KIND         simple, extended, prepared (default), pipelined
  --depth N           requests outstanding per connection when pipelined (default 10)
  --query TEXT        (default SELECT 1)
  --mix FILE          TOML: [[statement]] with name, weight, text, parameters, mode, copy_in
  --storm N           no load: N clients log in at once
  --json FILE         results for programs
  --hgrm FILE         percentile distribution of the latency
  --parquet FILE      a row per second and statement    --label TEXT names the run in it
  --seed N            of the random numbers (default 1)

Latency is counted from when a request should have started. Exit status: 0 fine, 1 it could not
run, 2 it ran and there were errors, lost connections or requests that were never answered.";

pub enum Command {
    Help,
    Null(SocketAddr, Answer),
    Canonical(Option<String>),
    Load(Box<Flags>),
}

pub struct Flags {
    pub url: String,
    rate: Option<f64>,
    arrivals: Arrivals,
    connections: usize,
    threads: usize,
    seconds: f64,
    warm_up: f64,
    mode: Mode,
    depth: usize,
    query: String,
    mix: Option<PathBuf>,
    seed: u64,
    pub storm: Option<usize>,
    pub json: Option<PathBuf>,
    pub hgrm: Option<PathBuf>,
    pub parquet: Option<PathBuf>,
    pub label: String,
}

pub fn parse(arguments: &[String]) -> Result<Command, String> {
    match arguments {
        [] => Ok(Command::Canonical(None)),
        [first, ..] if matches!(first.as_str(), "--help" | "-h") => Ok(Command::Help),
        [first, rest @ ..] if first == "null" => null(rest),
        [url] => Ok(Command::Canonical(Some(url.clone()))),
        [url, rest @ ..] => load(url, rest).map(|flags| Command::Load(Box::new(flags))),
    }
}

fn null(arguments: &[String]) -> Result<Command, String> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 6543));
    let mut answer = Answer { rows: 1, row_bytes: 100 };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
        match name.as_str() {
            "--listen" => address = number(name, value()?)?,
            "--rows" => answer.rows = number(name, value()?)?,
            "--row-bytes" => answer.row_bytes = number(name, value()?)?,
            other => return Err(format!("{other}: no such flag\n{USAGE}")),
        }
    }
    Ok(Command::Null(address, answer))
}

fn load(url: &str, arguments: &[String]) -> Result<Flags, String> {
    let mut flags = Flags::new(url);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            return Err(USAGE.to_owned());
        }
        let value = rest.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        flags.set(name, value)?;
    }
    if flags.connections == 0 || flags.depth == 0 || flags.seconds <= 0.0 {
        return Err("connections, depth and seconds must be above 0".to_owned());
    }
    if flags.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err("--rate: expected a number above 0, or max".to_owned());
    }
    Ok(flags)
}

impl Flags {
    fn new(url: &str) -> Flags {
        Flags {
            url: url.to_owned(),
            rate: None,
            arrivals: Arrivals::Poisson,
            connections: 64,
            threads: 1,
            seconds: 10.0,
            warm_up: 1.0,
            mode: Mode::Prepared,
            depth: 10,
            query: "SELECT 1".to_owned(),
            mix: None,
            seed: 1,
            storm: None,
            json: None,
            hgrm: None,
            parquet: None,
            label: String::new(),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--rate" if value == "max" => self.rate = None,
            "--rate" => self.rate = Some(number(name, value)?),
            "--arrivals" => {
                self.arrivals = [Arrivals::Poisson, Arrivals::Constant]
                    .into_iter()
                    .find(|arrivals| arrivals.name() == value)
                    .ok_or_else(|| format!("{name} {value}: expected poisson or constant"))?;
            }
            "--connections" => self.connections = number(name, value)?,
            "--threads" => self.threads = number(name, value)?,
            "--seconds" => self.seconds = number(name, value)?,
            "--warm-up" => self.warm_up = number(name, value)?,
            "--mode" => {
                self.mode =
                    Mode::from_name(value).ok_or_else(|| format!("{name} {value}: see --help"))?;
            }
            "--depth" => self.depth = number(name, value)?,
            "--query" => self.query = value.to_owned(),
            "--mix" => self.mix = Some(value.into()),
            "--storm" => self.storm = Some(number(name, value)?),
            "--json" => self.json = Some(value.into()),
            "--hgrm" => self.hgrm = Some(value.into()),
            "--parquet" => self.parquet = Some(value.into()),
            "--label" => self.label = value.to_owned(),
            "--seed" => self.seed = number(name, value)?,
            other => return Err(format!("{other}: no such flag\n{USAGE}")),
        }
        Ok(())
    }

    pub fn settings(&self, endpoint: Endpoint, address: SocketAddr) -> Result<Settings, String> {
        let plan = match &self.mix {
            Some(path) => {
                let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
                let text = std::fs::read_to_string(path).map_err(|e| fail(&e))?;
                Plan::parse(&text, self.mode).map_err(|e| fail(&e))?
            }
            None => Plan::single(&self.query, self.mode),
        };
        Ok(Settings {
            endpoint,
            address,
            plan,
            mode: self.mode,
            depth: if self.mode == Mode::Pipelined { self.depth } else { 1 },
            rate: self.rate,
            arrivals: self.arrivals,
            connections: self.connections,
            threads: self.threads,
            warm_up_s: self.warm_up,
            seconds: self.seconds,
            seed: self.seed,
        })
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text}: expected a number or an address"))
}
