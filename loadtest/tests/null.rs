//! The generator against the null backend: every mode, COPY both ways, a storm, an overload.
#![cfg(feature = "generator")]
// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use weir_load::drive::{self, Settings};
use weir_load::endpoint::Endpoint;
use weir_load::http::{Http, Version};
#[cfg(feature = "lake")]
use weir_load::lake;
use weir_load::null::{Answer, Null};
use weir_load::outcome::Outcome;
use weir_load::plan::{Mode, Plan};
use weir_load::schedule::Arrivals;
use weir_load::storm;
use weir_load::talk::Speech;
use weir_load::talk::postgres::Sql;

fn serve(answer: Answer) -> SocketAddr {
    let null = Null::bind(SocketAddr::from(([127, 0, 0, 1], 0)), answer).unwrap();
    let address = null.address().unwrap();
    std::thread::spawn(move || null.run());
    address
}

fn backend() -> (Endpoint, SocketAddr) {
    let address = serve(Answer::Rows { rows: 3, row_bytes: 10 });
    (Endpoint::parse(&format!("postgres://u@{address}/d")).unwrap(), address)
}

fn settings(plan: Plan, mode: Mode) -> Settings {
    let (endpoint, address) = backend();
    Settings {
        speech: Speech::Postgres(Box::new(Sql { endpoint, plan, mode })),
        address,
        fresh: false,
        depth: if mode == Mode::Pipelined { 8 } else { 1 },
        rate: Some(2000.0),
        arrivals: Arrivals::Poisson,
        connections: 5,
        threads: 2,
        warm_up_s: 0.1,
        seconds: 0.5,
        seed: 1,
    }
}

fn run(settings: &Settings) -> Outcome {
    let outcome = drive::run(settings, &Arc::new(AtomicU64::new(0))).unwrap();
    assert_eq!(outcome.first_error, None);
    assert_eq!(outcome.lost, 0);
    outcome
}

#[test]
fn every_mode_offers_its_rate_and_reads_every_row() {
    for mode in [Mode::Simple, Mode::Extended, Mode::Prepared, Mode::Pipelined] {
        let outcome = run(&settings(Plan::single("SELECT 1", mode), mode));
        let total = outcome.total();
        assert!((700..1300).contains(&outcome.offered), "{mode:?}: {}", outcome.offered);
        assert_eq!(total.latency.len(), outcome.offered, "{mode:?}");
        assert_eq!(total.rows, 3 * outcome.offered, "{mode:?}");
        assert_eq!(outcome.unfinished, 0, "{mode:?}");
    }
}

#[test]
fn a_closed_loop_keeps_every_slot_busy() {
    for mode in [Mode::Prepared, Mode::Pipelined] {
        let mut settings = settings(Plan::single("SELECT 1", mode), mode);
        settings.rate = None;
        let outcome = run(&settings);
        assert!(outcome.rate() > 1000.0, "{mode:?}: {}", outcome.rate());
    }
}

#[test]
fn copy_travels_both_ways() {
    let mix = "[[statement]]\ntext = 'COPY t TO STDOUT'\n\
               [[statement]]\ntext = 'COPY t FROM STDIN'\ncopy_in = { line = 'x', lines = 50 }";
    let plan = Plan::parse(mix, Mode::Prepared).unwrap();
    let outcome = run(&settings(plan, Mode::Prepared));
    let [out, into] = &outcome.statements[..] else { panic!("two statements") };
    assert!(out.latency.len() > 100 && into.latency.len() > 100);
    assert_eq!(out.rows, 3 * out.latency.len());
    assert_eq!(into.rows, 0);
}

/// A rate that nothing can answer: the requests that never started still count.
#[test]
fn an_overload_shows_in_the_latency() {
    let mut settings = settings(Plan::single("SELECT 1", Mode::Simple), Mode::Simple);
    settings.rate = Some(3_000_000.0);
    settings.threads = 1;
    let outcome = drive::run(&settings, &Arc::new(AtomicU64::new(0))).unwrap();
    let total = outcome.total();
    assert_eq!(total.latency.len(), outcome.offered);
    assert!(total.latency.value_at_quantile(0.5) > 10_000, "a request waits for its turn");
    assert!(total.service.value_at_quantile(0.5) < 10_000, "and is then answered quickly");
}

#[test]
fn a_storm_logs_everybody_in() {
    let (endpoint, address) = backend();
    let storm = storm::run(&endpoint, address, 200).unwrap();
    assert_eq!((storm.login.len(), storm.refused), (200, 0), "{:?}", storm.first_error);
}

#[test]
fn a_storm_against_nobody_is_refused() {
    let (endpoint, _) = backend();
    // tcpmux: no other test of this process can be given it, unlike a port that was free just now.
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let storm = storm::run(&endpoint, nobody, 5).unwrap();
    assert_eq!((storm.login.len(), storm.refused), (0, 5));
    assert!(storm.first_error.is_some());
}

#[cfg(feature = "lake")]
#[test]
fn results_become_parquet() {
    let settings = settings(Plan::single("SELECT 1", Mode::Prepared), Mode::Prepared);
    let outcome = run(&settings);
    let path = std::env::temp_dir().join(format!("weir-load-{}.parquet", std::process::id()));
    lake::write(&path, ("a run", 1), &settings, &outcome).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let batches: Vec<_> = builder.unwrap().build().unwrap().map(Result::unwrap).collect();
    std::fs::remove_file(&path).unwrap();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 1 + outcome.seconds.len());
    let counts = batches[0].column_by_name("count").unwrap();
    let counts = counts.as_any().downcast_ref::<arrow_array::Int64Array>().unwrap();
    assert_eq!(counts.value(0) as u64, outcome.offered);
}

const VERSIONS: [(Version, usize); 3] = [(Version::One, 1), (Version::Two, 1), (Version::Two, 10)];

fn http_settings((version, depth): (Version, usize), sent: usize, answered: u64) -> Settings {
    let address = serve(Answer::Page { bytes: answered });
    let http = Http::parse(&format!("http://u:p@{address}/path")).unwrap();
    let method = if sent > 0 { "POST" } else { "GET" };
    let http = http.with((version, method), &["x-token: t".to_owned()], sent).unwrap();
    Settings {
        speech: Speech::Http(Box::new(http)),
        address,
        depth,
        ..settings(Plan::single("", Mode::Simple), Mode::Simple)
    }
}

#[test]
fn http_offers_its_rate_and_every_answer_is_whole() {
    for version in VERSIONS {
        for (sent, answered) in [(0, 400), (1024, 4096), (0, 0), (3, 3)] {
            let outcome = run(&http_settings(version, sent, answered));
            let total = outcome.total();
            assert!((700..1300).contains(&outcome.offered), "{version:?}: {}", outcome.offered);
            assert_eq!(total.latency.len(), outcome.offered, "{version:?}");
            assert!(total.bytes >= outcome.offered * answered, "{version:?}");
            assert_eq!((total.errors, outcome.unfinished), (0, 0), "{version:?}");
        }
    }
}

/// More than any window, both ways.
#[test]
fn bodies_of_http_go_on_as_windows_do() {
    for version in VERSIONS {
        let mut settings = http_settings(version, 256 << 10, 1 << 20);
        (settings.rate, settings.seconds) = (Some(3.0), 1.0);
        let outcome = run(&settings);
        let count = outcome.total().latency.len();
        assert!(count > 0 && outcome.unfinished == 0, "{version:?}: {count}");
        assert!(outcome.total().bytes >= count * (1 << 20), "{version:?}");
    }
}

#[test]
fn a_closed_loop_of_http_keeps_every_stream_busy() {
    for version in VERSIONS {
        let mut settings = http_settings(version, 0, 400);
        settings.rate = None;
        let outcome = run(&settings);
        assert!(outcome.rate() > 1000.0, "{version:?}: {}", outcome.rate());
    }
}

#[test]
fn a_connection_for_each_request() {
    for version in &VERSIONS[..2] {
        for rate in [Some(400.0), None] {
            let mut settings = http_settings(*version, 0, 400);
            (settings.rate, settings.fresh) = (rate, true);
            let outcome = run(&settings);
            assert_eq!(outcome.unfinished, 0, "{version:?}");
            assert!(outcome.total().latency.len() > 100, "{version:?}");
        }
    }
    let mut settings = settings(Plan::single("SELECT 1", Mode::Simple), Mode::Simple);
    (settings.rate, settings.fresh) = (Some(400.0), true);
    let outcome = run(&settings);
    assert_eq!(outcome.total().latency.len(), outcome.offered);
}

/// A server that says which request is the last of a connection, as nginx does after a thousand.
#[test]
fn a_server_may_close_what_it_has_served() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 1000];
                for close in ["", "connection: close\r\n"] {
                    if stream.read(&mut buffer).unwrap() == 0 {
                        return;
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\n{close}content-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    let mut settings = http_settings(VERSIONS[0], 0, 0);
    let http = Http::parse(&format!("http://{address}/")).unwrap();
    (settings.speech, settings.address) = (Speech::Http(Box::new(http)), address);
    settings.rate = Some(400.0);
    let outcome = run(&settings);
    assert_eq!(outcome.total().latency.len(), outcome.offered);
    assert!(outcome.offered > 100, "{}", outcome.offered);
}

/// HTTP/2 to a server that has never heard of it.
#[test]
fn a_server_of_something_else_is_named() {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = http_settings(VERSIONS[1], 0, 0);
    settings.address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = vec![];
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            kept.push(stream);
        }
    });
    let why = drive::run(&settings, &Arc::new(AtomicU64::new(0))).unwrap_err();
    assert!(why.contains("this is not HTTP/2"), "{why}");
}
