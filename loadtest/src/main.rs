//! `weir-load`: load for any PostgreSQL or HTTP endpoint, and a null backend to put behind a proxy.
//!
//! In: flags. Out: results on stdout, progress on stderr. Never: a port other than a loopback one
//! for the null backend unless it is named.

mod flags;

use std::io::IsTerminal as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flags::{Command, Flags};
use weir_load::drive::{self, Settings};
use weir_load::null::{Answer, Null};
use weir_load::outcome::Outcome;
use weir_load::ssh::{self, Master, Way};
use weir_load::talk::Speech;
use weir_load::{lake, report, storm};

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match flags::parse(&arguments) {
        Ok(Command::Help) => {
            println!("{}", flags::USAGE);
            Ok(true)
        }
        Ok(Command::Null(address, answer)) => null(address, answer),
        Ok(Command::Ssh(flags)) => over_ssh(&flags),
        Ok(Command::Canonical(url)) => canonical(url.as_deref()),
        Ok(Command::Load(flags)) => load(&flags),
        Err(why) => Err(why),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // The results were printed; they say what went wrong.
        Ok(false) => ExitCode::from(2),
        Err(why) => {
            eprintln!("weir-load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn null(address: SocketAddr, answer: Answer) -> Result<bool> {
    let backend = Null::bind(address, answer).map_err(|e| format!("{address}: {e}"))?;
    let address = backend.address().map_err(|e| e.to_string())?;
    match answer {
        Answer::Rows { rows, row_bytes } => {
            eprintln!("null backend on {address}: {rows} rows of {row_bytes} bytes");
        }
        Answer::Page { bytes } => eprintln!("null backend on {address}: bodies of {bytes} bytes"),
    }
    backend.run().map(|()| true).map_err(|e| e.to_string())
}

/// Capacity of the closed loop, then the tail of an open loop at half of it.
fn canonical(url: Option<&str>) -> Result<bool> {
    let speech = flags::canonical(&url.map_or_else(own_backend, |url| Ok(url.to_owned()))?)?;
    let mut settings = Settings {
        address: address_of(speech.place())?,
        speech,
        depth: 1,
        fresh: false,
        rate: None,
        arrivals: weir_load::schedule::Arrivals::Poisson,
        connections: 64,
        threads: 1,
        warm_up_s: 1.0,
        seconds: 3.0,
        seed: 1,
    };
    let capacity = watched(&settings)?;
    settings.rate = Some((capacity.rate() / 2.0).max(1.0));
    let tail = watched(&settings)?;
    eprint!("{}{}", report::text(&settings, &capacity), report::text(&settings, &tail));
    println!("transactions_per_second {:.0}", capacity.rate());
    println!("p99_us {}", tail.total().latency.value_at_quantile(0.99));
    Ok(clean(&capacity) && clean(&tail))
}

fn own_backend() -> Result<String> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let backend =
        Null::bind(any, Answer::Rows { rows: 1, row_bytes: 100 }).map_err(|e| e.to_string())?;
    let address = backend.address().map_err(|e| e.to_string())?;
    std::thread::spawn(move || backend.run());
    Ok(format!("postgres://load@{address}/load"))
}

/// Commands over one connection, a connection for each, bytes both ways.
fn over_ssh(flags: &flags::Ssh) -> Result<bool> {
    let master = Master::open(&flags.place, &std::env::temp_dir())?;
    let times = (flags.seconds, flags.parallel);
    for (what, master) in [("on one connection", Some(&master)), ("a connection each", None)] {
        let seen = ssh::commands(&flags.place, master, times)?;
        let rate = seen.latency.len() as f64 / seen.seconds;
        println!("{what}: {rate:.1} commands/s; us: {}", report::quantiles(&seen.latency));
    }
    for (what, way) in [("from the server", Way::Out), ("to the server", Way::In)] {
        let seconds = ssh::bulk(&flags.place, &master, way, flags.bytes)?;
        println!("{what}: {:.1} MB/s", flags.bytes as f64 / 1e6 / seconds);
    }
    Ok(true)
}

fn load(flags: &Flags) -> Result<bool> {
    let speech = flags.speech()?;
    let address = address_of(speech.place())?;
    if let Some(count) = flags.storm {
        let Speech::Postgres(sql) = &speech else {
            return Err("--storm: a storm is of logins, to PostgreSQL".to_owned());
        };
        let storm = storm::run(&sql.endpoint, address, count)?;
        print!("{}", report::storm_text(count, &storm));
        write_json(flags, report::storm_json(count, &storm))?;
        return Ok(storm.refused == 0);
    }
    let settings = flags.settings(speech, address);
    let started_us =
        SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_micros() as i64;
    let outcome = watched(&settings)?;
    print!("{}", report::text(&settings, &outcome));
    write_json(flags, report::json(&settings, &outcome))?;
    if let Some(path) = &flags.hgrm {
        let text = report::hgrm(&outcome.total().latency);
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(path) = &flags.parquet {
        lake::write(path, (&flags.label, started_us), &settings, &outcome)?;
    }
    Ok(clean(&outcome))
}

fn write_json(flags: &Flags, value: serde_json::Value) -> Result<()> {
    let Some(path) = &flags.json else { return Ok(()) };
    std::fs::write(path, format!("{value:#}\n")).map_err(|e| format!("{}: {e}", path.display()))
}

fn clean(outcome: &Outcome) -> bool {
    outcome.unfinished == 0 && outcome.lost == 0 && outcome.total().errors == 0
}

fn address_of(place: (&str, u16)) -> Result<SocketAddr> {
    let mut found = place.to_socket_addrs().map_err(|e| format!("{}: {e}", place.0))?;
    found.next().ok_or_else(|| format!("{}: no address", place.0))
}

/// Runs with a progress line on a terminal.
fn watched(settings: &Settings) -> Result<Outcome> {
    let finished = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let watcher = std::io::stderr().is_terminal().then(|| {
        let (finished, over) = (finished.clone(), over.clone());
        std::thread::spawn(move || {
            let mut before = 0;
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(500));
                let now = finished.load(Ordering::Relaxed);
                eprint!("\r\x1b[K{now} answered, {}/s ", (now - before) * 2);
                before = now;
            }
            eprint!("\r\x1b[K");
        })
    });
    let outcome = drive::run(settings, &finished);
    over.store(true, Ordering::Relaxed);
    if let Some(watcher) = watcher {
        watcher.join().map_err(|_| "the progress line panicked".to_owned())?;
    }
    outcome
}
