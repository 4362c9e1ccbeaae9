//! The generator against the null backend: every mode, COPY both ways, a storm, an overload.
#![cfg(feature = "generator")]
// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use weir_load::drive::{self, Settings};
use weir_load::endpoint::Endpoint;
use weir_load::lake;
use weir_load::null::{Answer, Null};
use weir_load::outcome::Outcome;
use weir_load::plan::{Mode, Plan};
use weir_load::schedule::Arrivals;
use weir_load::storm;

fn backend() -> (Endpoint, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let null = Null::bind(any, Answer { rows: 3, row_bytes: 10 }).unwrap();
    let address = null.address().unwrap();
    std::thread::spawn(move || null.run());
    (Endpoint::parse(&format!("postgres://u@{address}/d")).unwrap(), address)
}

fn settings(plan: Plan, mode: Mode) -> Settings {
    let (endpoint, address) = backend();
    Settings {
        endpoint,
        address,
        plan,
        mode,
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
