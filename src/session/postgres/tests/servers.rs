//! Several servers of a target: which one is used, and what the client hears of the others.

use super::*;
use crate::config::settings::{SessionAttrs, Settings};
use crate::fault;
use crate::session::Lease;
use crate::wire::LegId;
use crate::wire::postgres::message::error_fields;

/// A client that has proven who it is, before a server of a target with these attributes answers.
fn dialling(attrs: SessionAttrs) -> Bench {
    let mut bench = Bench::accepted();
    let mut settings = Settings::clone(&bench.snapshot.settings);
    settings.targets[0].reach.attrs = attrs;
    bench.snapshot = Rc::new(Snapshot::build(&SnapshotSource {
        settings: Arc::new(settings),
        catalogs: vec![Some(Arc::default())],
        catalogs_begun_us: vec![u64::MAX / 2],
        addresses: vec![vec![endpoint(1), endpoint(2)]],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: vec![Arc::default()],
        changes: Vec::new(),
        tokens: Default::default(),
        mock_seed: [1; 32],
    }));
    bench.client(&startup("bot", "orders"));
    bench.take(Side::Client);
    bench.client_scram("secret");
    assert_eq!(bench.tags(Side::Client), "RR");
    assert_eq!(ports(&mut bench), [1, 2]);
    bench
}

/// The ports of the dial that was asked for.
fn ports(bench: &mut Bench) -> Vec<u16> {
    let Some(Output::Lease(Lease { mut dial, .. })) = bench.outputs.pop() else {
        panic!("no dial")
    };
    std::iter::from_fn(|| dial.next(bench.now.mono_us).ok()).map(|it| it.port()).collect()
}

fn next(bench: &mut Bench) -> Option<fault::Target> {
    match bench.outputs.pop() {
        Some(Output::Next(LegId::FIRST, why)) => Some(why),
        None => None,
        other => panic!("{other:?}"),
    }
}

impl Bench {
    fn reaches(&mut self, port: u16) {
        self.with(|machine, stage| machine.handle_dialed(Ok(endpoint(port)), stage));
        assert!(!self.take(Side::Server).is_empty(), "a start-up packet");
    }

    fn misses(&mut self, why: fault::Target) {
        self.with(|machine, stage| machine.handle_dialed(Err(why), stage));
    }

    /// The message of the error that the client gets.
    fn error(&mut self) -> String {
        let messages = messages(&self.take(Side::Client));
        let (_, body) = messages.iter().find(|(tag, _)| *tag == b'E').expect("an error");
        let (_, text) = error_fields(body).find(|(code, _)| *code == b'M').expect("a message");
        String::from_utf8_lossy(text).into_owned()
    }
}

/// The login of a server, as PostgreSQL 14 and later say it.
fn login(read_only: &str, hot_standby: &str) -> Vec<u8> {
    let report = |name: &str, value: &str| {
        message(b'S', [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat().as_slice())
    };
    [
        message(b'R', &[0; 4]),
        report("default_transaction_read_only", read_only),
        report("in_hot_standby", hot_standby),
        message(b'K', b"\0\0\0\x07key!"),
        message(b'Z', b"I"),
    ]
    .concat()
}

#[test]
fn the_client_hears_of_the_server_that_is_used_and_of_no_other() {
    let mut bench = dialling(SessionAttrs::ReadWrite);
    bench.reaches(1);
    bench.server(&login("off", "on"));
    assert_eq!(next(&mut bench), Some(fault::Target::ReadOnly));
    assert_eq!(bench.tags(Side::Client), "");
    assert_eq!(bench.tags(Side::Server), "X", "the session there ends in order");
    bench.reaches(2);
    bench.server(&login("off", "off"));
    assert_eq!(bench.tags(Side::Client), "RSSKZ");
    assert!(matches!(bench.outputs.as_slice(), [Output::Settled(LegId::FIRST), Output::Named(_)]));
    bench.client(&query("SELECT 1"));
    assert_eq!(bench.tags(Side::Server), "Q");
}

#[test]
fn when_none_fits_the_client_is_told_what_was_asked_for() {
    let mut bench = dialling(SessionAttrs::Primary);
    for port in [1, 2] {
        bench.reaches(port);
        bench.server(&login("off", "on"));
        assert_eq!(next(&mut bench), Some(fault::Target::HotStandby));
    }
    bench.misses(fault::Target::HotStandby);
    let error = bench.error();
    assert!(error.contains("target_session_attrs=primary"), "{error}");
    assert!(error.contains("server is in hot standby mode"), "{error}");
    let recorded: Vec<String> = bench.journal.bodies().map(|body| format!("{body:?}")).collect();
    let refused =
        |text: &&String| text.contains("connection-refused") && text.contains("target-hot-standby");
    assert!(recorded.iter().any(|text| refused(&text)), "{recorded:?}");
}

#[test]
fn a_server_that_reports_nothing_is_asked_before_the_client_hears_of_it() {
    let silent = || target_login();
    let mut bench = dialling(SessionAttrs::ReadWrite);
    bench.reaches(1);
    bench.server(&silent());
    let asked = messages(&bench.take(Side::Server));
    assert_eq!(asked, [(b'Q', b"SHOW transaction_read_only\0".to_vec())]);
    assert_eq!(bench.tags(Side::Client), "");
    let told = |value: &[u8]| [row(value), complete("SHOW"), ready_for_query(b'I')].concat();
    bench.server(&told(b"on"));
    assert_eq!(next(&mut bench), Some(fault::Target::ReadOnly));
    bench.take(Side::Server);
    bench.reaches(2);
    bench.server(&silent());
    assert_eq!(bench.tags(Side::Server), "Q");
    bench.server(&told(b"off"));
    assert_eq!(bench.tags(Side::Client), "RSKZ", "nothing of the question");
}

#[test]
fn a_server_that_cannot_be_asked_is_left() {
    let mut bench = dialling(SessionAttrs::Standby);
    bench.reaches(1);
    bench.server(&target_login());
    bench.server(&[server_error("42883"), ready_for_query(b'I')].concat());
    assert_eq!(next(&mut bench), Some(fault::Target::Unclear));
}

#[test]
fn a_standby_is_preferred_and_a_primary_will_do() {
    let mut bench = dialling(SessionAttrs::PreferStandby);
    bench.reaches(1);
    bench.server(&login("off", "off"));
    assert_eq!(next(&mut bench), Some(fault::Target::NotStandby));
    bench.take(Side::Server);
    bench.misses(fault::Target::NotStandby);
    assert_eq!(ports(&mut bench), [1], "only the primary that was met");
    bench.reaches(1);
    bench.server(&login("off", "off"));
    assert_eq!(bench.tags(Side::Client), "RSSKZ");
}

#[test]
fn servers_that_close_or_start_are_passed_over_and_a_wrong_password_is_not() {
    let mut bench = dialling(SessionAttrs::Any);
    bench.reaches(1);
    bench.with(|machine, stage| machine.handle_eof(Side::Server, stage));
    assert_eq!(next(&mut bench), Some(fault::Target::Closed));
    bench.reaches(2);
    bench.server(&server_error("57P03"));
    assert_eq!(next(&mut bench), Some(fault::Target::Starting));
    bench.misses(fault::Target::Starting);
    assert_eq!(bench.error(), "theirs", "the server's own words");

    let mut bench = dialling(SessionAttrs::Any);
    bench.reaches(1);
    bench.server(&server_error("28P01"));
    assert!(matches!(bench.outputs.pop(), Some(Output::Close(Some(_)))));
}

#[test]
fn what_a_server_says_in_its_login_has_a_bound() {
    let mut bench = dialling(SessionAttrs::Any);
    bench.reaches(1);
    bench.server(&message(b'R', &[0; 4]));
    let notice = message(b'N', &[&b"M"[..], &[b'x'; 100_000], b"\0\0"].concat());
    for _ in 0..11 {
        bench.server(&notice);
    }
    assert!(bench.machine.is_closed());
}

#[test]
fn an_error_after_the_login_is_seen_as_it_would_be_directly() {
    let mut bench = dialling(SessionAttrs::Any);
    bench.reaches(1);
    bench.server(&[message(b'R', &[0; 4]), server_error("3D000")].concat());
    assert!(bench.tags(Side::Client).starts_with("RE"));
}
