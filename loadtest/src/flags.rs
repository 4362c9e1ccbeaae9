//! The command line of `weir-load`, read by hand.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_load::drive::Settings;
use weir_load::endpoint::Endpoint;
use weir_load::http::{Http, Version};
use weir_load::null::Answer;
use weir_load::plan::{Mode, Plan};
use weir_load::schedule::Arrivals;
use weir_load::ssh::Place;
use weir_load::talk::Speech;
use weir_load::talk::postgres::Sql;

pub const USAGE: &str = "\
weir-load                     the canonical workload against a null backend of its own:
                              transactions per second, and the p99 at half of them
weir-load URL                 the same against postgres://user:password@host:port/database, or
                              http://user:password@host:port/path, or https://...
weir-load URL FLAGS           a run of your own
                              a postgres URL may end with ?sslmode=require (TLS, any certificate)
                              or ?sslmode=verify-full&sslrootcert=FILE, and &sslnegotiation=direct
weir-load null [--listen 127.0.0.1:6543] [--rows 1] [--row-bytes 100]
                              a backend that answers every statement with the same rows
weir-load null --http BYTES [--listen 127.0.0.1:6543]
                              one that answers every request with a body of so many bytes, in
                              HTTP/1.1 and, if the client begins with it, HTTP/2

weir-load ssh USER@HOST [--flag F]... [--seconds 5] [--parallel 1] [--bytes 256000000]
                              OpenSSH's client, which F is a flag of (--flag -p --flag 2222):
                              commands per second over one connection and with one each, and bytes
                              both ways

  --rate N|max        requests per second, or a closed loop (default max)
  --arrivals KIND     poisson (default) or constant
  --connections N     (default 64)    --threads N (default 1)
  --seconds N         counted (default 10), after --warm-up N (default 1)
  --reuse no          a connection for each request, opened when it should start
  --depth N           requests outstanding per connection: PostgreSQL's, when pipelined (default
                      10), or streams of HTTP/2 (default 1)
  of PostgreSQL:
  --mode KIND         simple, extended, prepared (default), pipelined
  --query TEXT        (default SELECT 1)
  --mix FILE          TOML: [[statement]] with name, weight, text, parameters, mode, copy_in
  --storm N           no load: N clients log in at once
  of HTTP (user and password of the URL go as Basic; https takes any certificate but for --roots):
  --http 1|2          the version; 2 is by ALPN over TLS, with prior knowledge in clear (default 1)
  --method NAME       (default GET, or POST with a body)    --body N sends N bytes of JSON
  --header 'N: V'     a field more, Host in place of the URL's; may be repeated
  --roots FILE        the certificate must come from one of these
  of both:
  --json FILE         results for programs
  --hgrm FILE         percentile distribution of the latency
  --parquet FILE      a row per second and statement    --label TEXT names the run in it
  --seed N            of the random numbers (default 1)

Latency is counted from when a request should have started. Exit status: 0 fine, 1 it could not
run, 2 it ran and there were errors, lost connections or requests that were never answered.";

pub enum Command {
    Help,
    Null(SocketAddr, Answer),
    Ssh(Ssh),
    Canonical(Option<String>),
    Load(Box<Flags>),
}

pub struct Ssh {
    pub place: Place,
    pub seconds: f64,
    pub parallel: usize,
    pub bytes: u64,
}

pub struct Flags {
    pub url: String,
    version: Version,
    method: Option<String>,
    headers: Vec<String>,
    body: usize,
    roots: Option<PathBuf>,
    reuse: bool,
    rate: Option<f64>,
    arrivals: Arrivals,
    connections: usize,
    threads: usize,
    seconds: f64,
    warm_up: f64,
    mode: Mode,
    depth: Option<usize>,
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
        [first, target, rest @ ..] if first == "ssh" => ssh(target, rest).map(Command::Ssh),
        [url] => Ok(Command::Canonical(Some(url.clone()))),
        [url, rest @ ..] => load(url, rest).map(|flags| Command::Load(Box::new(flags))),
    }
}

fn null(arguments: &[String]) -> Result<Command, String> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 6543));
    let (mut rows, mut row_bytes, mut page) = (1, 100, None);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
        match name.as_str() {
            "--listen" => address = number(name, value()?)?,
            "--rows" => rows = number(name, value()?)?,
            "--row-bytes" => row_bytes = number(name, value()?)?,
            "--http" => page = Some(number(name, value()?)?),
            other => return Err(format!("{other}: no such flag\n{USAGE}")),
        }
    }
    let rows = Answer::Rows { rows, row_bytes };
    Ok(Command::Null(address, page.map_or(rows, |bytes| Answer::Page { bytes })))
}

fn ssh(target: &str, arguments: &[String]) -> Result<Ssh, String> {
    let place = Place { target: target.to_owned(), flags: vec![] };
    let mut ssh = Ssh { place, seconds: 5.0, parallel: 1, bytes: 256_000_000 };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        match name.as_str() {
            "--flag" => ssh.place.flags.push(value.clone()),
            "--seconds" => ssh.seconds = number(name, value)?,
            "--parallel" => ssh.parallel = number(name, value)?,
            "--bytes" => ssh.bytes = number(name, value)?,
            other => return Err(format!("{other}: no such flag\n{USAGE}")),
        }
    }
    if target.starts_with('-') || ssh.seconds <= 0.0 || ssh.parallel == 0 {
        return Err(format!("expected USER@HOST, seconds and parallel above 0\n{USAGE}"));
    }
    Ok(ssh)
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
    if flags.connections == 0 || flags.depth == Some(0) || flags.seconds <= 0.0 {
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
            version: Version::One,
            method: None,
            headers: vec![],
            body: 0,
            roots: None,
            reuse: true,
            rate: None,
            arrivals: Arrivals::Poisson,
            connections: 64,
            threads: 1,
            seconds: 10.0,
            warm_up: 1.0,
            mode: Mode::Prepared,
            depth: None,
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
            "--depth" => self.depth = Some(number(name, value)?),
            "--http" => {
                self.version = match value {
                    "1" => Version::One,
                    "2" => Version::Two,
                    _ => return Err(format!("{name} {value}: expected 1 or 2")),
                };
            }
            "--method" => self.method = Some(value.to_owned()),
            "--header" => self.headers.push(value.to_owned()),
            "--body" => self.body = number(name, value)?,
            "--roots" => self.roots = Some(value.into()),
            "--reuse" => {
                self.reuse = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(format!("{name} {value}: expected yes or no")),
                };
            }
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

    /// What is said, and to whom.
    pub fn speech(&self) -> Result<Speech, String> {
        if is_http(&self.url) {
            let usual = if self.body > 0 { "POST" } else { "GET" };
            let method = self.method.as_deref().unwrap_or(usual);
            let http = Http::parse(&self.url)?;
            let http = http.with((self.version, method), &self.headers, self.body)?;
            let http = match &self.roots {
                Some(roots) => http.verified(roots.clone())?,
                None => http,
            };
            return Ok(Speech::Http(Box::new(http)));
        }
        let endpoint = Endpoint::parse(&self.url)?;
        let plan = match &self.mix {
            Some(path) => {
                let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
                let text = std::fs::read_to_string(path).map_err(|e| fail(&e))?;
                Plan::parse(&text, self.mode).map_err(|e| fail(&e))?
            }
            None => Plan::single(&self.query, self.mode),
        };
        Ok(Speech::Postgres(Box::new(Sql { endpoint, plan, mode: self.mode })))
    }

    pub fn settings(&self, speech: Speech, address: SocketAddr) -> Settings {
        let depth = match &speech {
            Speech::Postgres(sql) if sql.mode == Mode::Pipelined => self.depth.unwrap_or(10),
            Speech::Postgres(_) => 1,
            Speech::Http(_) => self.depth.unwrap_or(1),
        };
        Settings {
            speech,
            address,
            depth,
            fresh: !self.reuse,
            rate: self.rate,
            arrivals: self.arrivals,
            connections: self.connections,
            threads: self.threads,
            warm_up_s: self.warm_up,
            seconds: self.seconds,
            seed: self.seed,
        }
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// What a URL alone stands for: `SELECT 1`, prepared, or a GET.
pub fn canonical(url: &str) -> Result<Speech, String> {
    Flags::new(url).speech()
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text}: expected a number or an address"))
}
