//! `weir-load` over TLS, through weir and straight to PostgreSQL, in every way of asking for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use weir_load::drive::{self, Settings};
use weir_load::endpoint::Endpoint as Place;
use weir_load::outcome::Outcome;
use weir_load::plan::{Mode, Plan};
use weir_load::schedule::Arrivals;
use weir_load::storm;
use weir_load::talk::Speech;
use weir_load::talk::postgres::Sql;

use crate::support::lake::{Row, text};
use crate::support::{Certificates, Endpoint, Postgres, Spec};

const MODES: [Mode; 4] = [Mode::Simple, Mode::Extended, Mode::Prepared, Mode::Pipelined];

fn place(endpoint: &Endpoint, parameters: &str) -> Place {
    let Endpoint { host, port, user, password, dbname, .. } = endpoint;
    let url = format!("postgres://{user}:{password}@{host}:{port}/{dbname}?{parameters}");
    Place::parse(&url).expect("a URL")
}

fn settings(endpoint: Place, plan: Plan, mode: Mode) -> Settings {
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
    Settings {
        speech: Speech::Postgres(Box::new(Sql { endpoint, plan, mode })),
        address,
        fresh: false,
        depth: if mode == Mode::Pipelined { 4 } else { 1 },
        rate: Some(200.0),
        arrivals: Arrivals::Constant,
        connections: 4,
        threads: 2,
        warm_up_s: 0.1,
        seconds: 0.5,
        seed: 1,
    }
}

fn run(settings: &Settings) -> Result<Outcome, String> {
    drive::run(settings, &Arc::new(AtomicU64::new(0)))
}

/// As many answers as requests, each with its row.
fn all_is_answered(endpoint: &Place) {
    for mode in MODES {
        let settings = settings(endpoint.clone(), Plan::single("SELECT 1", mode), mode);
        let outcome = run(&settings).expect("a run");
        assert_eq!((&outcome.first_error, outcome.lost, outcome.unfinished), (&None, 0, 0));
        assert!(outcome.offered > 50, "{mode:?}: {}", outcome.offered);
        assert_eq!(outcome.total().rows, outcome.offered, "{mode:?}");
    }
}

#[test]
fn every_way_of_asking_for_tls_is_answered() {
    let database = Postgres::shared().database();
    let mut weir = Spec::new(&database).start();
    let authority = Certificates::shared().authority.display();
    let verified = format!("sslmode=verify-full&sslrootcert={authority}");
    all_is_answered(&place(&database.endpoint(), "sslmode=require"));
    all_is_answered(&place(&weir.endpoint(), "sslmode=require"));
    all_is_answered(&place(&weir.endpoint(), &verified));
    all_is_answered(&place(&weir.endpoint(), &format!("{verified}&sslnegotiation=direct")));
    let stormed = place(&weir.endpoint(), "sslmode=require");
    let storm = storm::run(&stormed, SocketAddr::from(([127, 0, 0, 1], stormed.port)), 30);
    let storm = storm.expect("a storm");
    assert_eq!((storm.login.len(), storm.refused), (30, 0), "{:?}", storm.first_error);
    let sessions = weir.lake().rows("sessions");
    let is_ours =
        |row: &&Row| text(row, "client_app") == "weir-load" && text(row, "phase") == "start";
    let ours: Vec<_> = sessions.iter().filter(is_ours).collect();
    // Three ways, four modes, four connections each; and the storm.
    assert_eq!(ours.len(), 3 * 4 * 4 + 30);
    assert!(ours.iter().all(|row| text(row, "tls_version") == "TLSv1_3"), "{ours:#?}");
}

/// Uploads of many records, answers of many records.
#[test]
fn copy_travels_both_ways_over_tls() {
    let database = Postgres::shared().database();
    database.sql("CREATE TABLE t (line text); GRANT ALL ON t TO app");
    let weir = Spec::new(&database).start();
    let mix = "[[statement]]\ntext = 'COPY (SELECT generate_series(1, 20000)) TO STDOUT'\n\
               [[statement]]\ntext = 'COPY t FROM STDIN'\n\
               copy_in = { line = 'a line of an upload', lines = 5000 }";
    let plan = Plan::parse(mix, Mode::Simple).expect("a plan");
    let endpoint = place(&weir.endpoint(), "sslmode=require");
    let mut settings = settings(endpoint, plan, Mode::Simple);
    (settings.rate, settings.warm_up_s) = (Some(20.0), 0.0);
    let outcome = run(&settings).expect("a run");
    assert_eq!((&outcome.first_error, outcome.lost, outcome.unfinished), (&None, 0, 0));
    let [out, into] = &outcome.statements[..] else { panic!("two statements") };
    assert_eq!(out.rows, 20_000 * out.latency.len());
    assert!(!out.latency.is_empty() && !into.latency.is_empty());
    let uploaded = database.sql("SELECT count(*) FROM t");
    assert_eq!(uploaded.trim(), (5000 * into.latency.len()).to_string());
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_left() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let in_clear = Spec::new(&database).listen("").start();
    let (stranger, _) = Certificates::client("stranger", "/CN=stranger", "DNS:s.test");
    let unknown = format!("sslmode=verify-full&sslrootcert={}", stranger.display());
    for (endpoint, parameters, expect) in [
        (weir.endpoint(), unknown.as_str(), "invalid peer certificate"),
        (in_clear.endpoint(), "sslmode=require", "does not offer it"),
    ] {
        let plan = Plan::single("SELECT 1", Mode::Simple);
        let why = run(&settings(place(&endpoint, parameters), plan, Mode::Simple));
        let why = why.expect_err("no run");
        assert!(why.contains("TLS: ") && why.contains(expect), "{why}");
    }
}
