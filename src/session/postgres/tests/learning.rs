//! What a session with masks does not know yet, and what it records of what it knows.

use super::behaviour::record;
use super::*;
use crate::limits;
use crate::mask::sql::catalog::{Catalog, Relation};
use crate::record::body::Body;
use crate::record::params;
use crate::session::Refresh;

const MASKED: &str = r#"
[[rule]]
name = "anything"
when = { groups = ["agents"], commands = ["unknown", "call", "transaction"] }
then = "allow"
[[mask]]
columns = ["*.*.email"]
operator = "redact"
"#;

const STORES: &str = "INSERT INTO sink (t) SELECT name FROM fresh";

/// A session whose client looks at masked columns, at a target that has the table `sink`.
fn masked() -> Bench {
    let mut bench = Bench::ready_under(MASKED);
    learn(&mut bench, &[sink()]);
    bench.outputs.clear();
    bench
}

fn relation(oid: u32, name: &str, kind: u8, sources: &[u32], columns: &[&str]) -> Relation {
    Relation::of_texts((oid, name), kind, sources, columns)
}

/// The catalog is read anew.
fn learn(bench: &mut Bench, relations: &[Relation]) {
    learn_of(bench, relations, u64::MAX / 2);
}

/// A reading that began at this time ends.
fn learn_of(bench: &mut Bench, relations: &[Relation], begun_us: u64) {
    let mut source = source_of(&format!("{CONFIG}{MASKED}"));
    source.catalogs = vec![Some(Arc::new(Catalog::new(relations.iter().cloned())))];
    source.catalogs_begun_us = vec![begun_us];
    source.changes = bench.snapshot.changes.clone();
    bench.snapshot = Rc::new(Snapshot::build(&source));
    bench.with(|machine, stage| machine.handle_snapshot(stage));
}

fn waits(bench: &mut Bench) {
    assert_eq!(bench.tags(Side::Server), "", "it waits");
    let asked = matches!(bench.outputs.as_slice(), [Output::Refresh(Refresh::Catalog(0))]);
    assert!(asked, "{:?}", bench.outputs);
}

fn sink() -> Relation {
    relation(20_000, "sink", b'r', &[], &["t"])
}

#[test]
fn what_is_put_elsewhere_of_an_unknown_relation_waits_and_is_judged() {
    let fresh = [
        sink(),
        relation(20_001, "people", b'r', &[], &["id", "email"]),
        relation(20_002, "fresh", b'v', &[20_001], &["id", "name"]),
    ];
    for text in [
        STORES,
        "UPDATE sink SET t = name FROM fresh WHERE sink.t = 'x'",
        "WITH f AS (SELECT name FROM fresh) INSERT INTO sink SELECT name FROM f",
        "SELECT 1 FROM fresh WHERE set_config('a.b', name, false) = ''",
    ] {
        let mut bench = masked();
        bench.client(&query(text));
        waits(&mut bench);
        learn(&mut bench, &fresh);
        let last = record(&bench);
        assert!(last.contains(&format!("command {text} Deny")), "{text}: {last:?}");
        let mut bench = masked();
        bench.client(&[parse("", text), bind("", ""), execute(""), sync()].concat());
        assert_eq!(bench.tags(Side::Server), "PB");
        learn(&mut bench, &fresh);
        let last = record(&bench);
        assert!(last.contains(&format!("command {text} Deny")), "{text}: {last:?}");
    }
}

#[test]
fn what_no_catalog_has_is_of_this_transaction() {
    let mut bench = masked();
    bench.client(&query(STORES));
    waits(&mut bench);
    learn(&mut bench, &[sink()]);
    assert_eq!(bench.tags(Side::Server), "Q");
    assert_eq!(record(&bench).last(), Some(&format!("command {STORES} Allow")));
    // One that is known waits for nothing, nor does what puts nothing elsewhere.
    for text in ["INSERT INTO sink SELECT t FROM sink", "SELECT name FROM fresh"] {
        let mut bench = masked();
        bench.client(&query(text));
        assert_eq!(bench.tags(Side::Server), "Q", "{text}");
    }
}

#[test]
fn a_reading_that_had_begun_before_is_no_answer() {
    let mut bench = masked();
    bench.at(7_000);
    bench.client(&query(STORES));
    waits(&mut bench);
    learn_of(&mut bench, &[sink()], 7_999);
    assert_eq!(bench.tags(Side::Server), "", "it waits for the next one");
    learn_of(&mut bench, &[sink()], 8_000);
    assert_eq!(bench.tags(Side::Server), "Q");
}

#[test]
fn who_plans_waits_for_what_another_session_has_changed() {
    let rows = |bench: &mut Bench| {
        bench.server(&message(
            b'T',
            b"\0\x01t\0\0\0\x4e\x20\0\x01\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        ));
        bench.tags(Side::Client)
    };
    for (begun_us, waiting) in [(8_000, true), (9_000, false)] {
        let mut bench = masked();
        bench.at(7_000);
        bench.snapshot.changes[0].note(9_000);
        learn_of(&mut bench, &[sink()], begun_us);
        bench.client(&query("SELECT t FROM sink"));
        assert_eq!(bench.tags(Side::Server), "Q");
        assert_eq!(rows(&mut bench), if waiting { "" } else { "T" });
        learn_of(&mut bench, &[sink()], 9_000);
        assert_eq!(bench.tags(Side::Client), if waiting { "T" } else { "" });
    }
    let mut bench = masked();
    learn_of(&mut bench, &[sink()], 8_000);
    bench.snapshot.changes[0].note(9_000);
    bench.client(&query("INSERT INTO sink SELECT t FROM sink"));
    waits(&mut bench);
    learn_of(&mut bench, &[sink()], 9_000);
    assert_eq!(bench.tags(Side::Server), "Q");
}

#[test]
fn a_catalog_that_does_not_come_refuses_what_waits_for_it() {
    let mut bench = masked();
    bench.client(&[query(STORES), query("SELECT 1")].concat());
    waits(&mut bench);
    bench.at(limits::CATALOG_WAIT_US);
    assert!(record(&bench).contains(&format!("command {STORES} Deny")));
    assert_eq!(bench.tags(Side::Server), "QQ", "what fails in its place, and what waited behind");
    assert_eq!(record(&bench).last().map(String::as_str), Some("command SELECT 1 Allow"));
}

#[test]
fn a_setting_is_told_though_an_unknown_name_follows() {
    for unknown in [execute(""), query("EXECUTE nope"), bind("", "nope")] {
        let mut bench = masked();
        bench.client(&[query("SET timezone = 'UTC'"), unknown, sync()].concat());
        bench.server(&[complete("SET"), message(b'S', b"TimeZone\0UTC\0")].concat());
        let said = messages(&bench.take(Side::Client));
        assert_eq!(said.last().map(|(_, body)| body.as_slice()), Some(&b"TimeZone\0UTC\0"[..]));
    }
    let mut bench = masked();
    bench.client(&[query("SET timezone = 'UTC'"), query("DO 'begin end'")].concat());
    bench.server(&[complete("SET"), message(b'S', b"TimeZone\0UTC\0")].concat());
    let said = messages(&bench.take(Side::Client));
    assert_eq!(said.last().map(|(_, body)| body.as_slice()), Some(&b"TimeZone\0***\0"[..]));
}

#[test]
fn a_portal_with_the_name_of_its_cursor_is_recorded_with_its_text() {
    for text in ["FETCH 0 c", "MOVE 1 FROM c"] {
        let mut bench = masked();
        bench.client(&[parse("t", text), bind("c", "t"), execute("c"), sync()].concat());
        let last = record(&bench).into_iter().rev().find(|row| row.starts_with("command"));
        assert_eq!(last, Some(format!("command {text} Allow")));
    }
}

/// Texts and values of the last command as its row shows them, and their encodings.
fn shown(bench: &Bench) -> (String, String, [String; 2]) {
    let commands = bench.journal.bodies().filter_map(|body| match body {
        Body::Command(command) => Some(command),
        _ => None,
    });
    let last = commands.last().expect("a command");
    let text = params::shown_text(last.extra.text_encoding, last.text).into_owned();
    let encodings = [last.extra.text_encoding, last.params.map_or("", |it| it.text_encoding)];
    let values = last.params.map(|it| params::to_json(&it)).unwrap_or_default();
    (text, values, encodings.map(str::to_owned))
}

#[test]
fn texts_and_values_are_recorded_in_the_encoding_that_the_target_confirmed() {
    let text = |letter: u8| {
        let text = [&b"UPDATE t SET a = '"[..], &[letter], b"' WHERE b = $1"].concat();
        message(b'P', &[&b"s\0"[..], &text, b"\0\0\0"].concat())
    };
    let value = message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x01\xfc\0\0");
    let mut bench = Bench::ready();
    let encoding = |name: &str| message(b'S', format!("client_encoding\0{name}\0").as_bytes());
    bench.server(&encoding("LATIN1"));
    bench.client(&[text(0xe9), sync()].concat());
    bench.server(&[message(b'1', b""), ready_for_query(b'I')].concat());
    bench.client(&[value.clone(), execute(""), sync()].concat());
    let latin = "UPDATE t SET a = '\u{e9}' WHERE b = $1".to_owned();
    let expect = (latin.clone(), "[\"\u{fc}\"]".to_owned(), ["LATIN1"; 2].map(str::to_owned));
    assert_eq!(shown(&bench), expect);
    let answered = [message(b'2', b""), complete("UPDATE 1"), ready_for_query(b'I')].concat();
    bench.server(&answered);
    // The text is what it was when it was parsed.
    bench.server(&encoding("WIN1251"));
    bench.client(&[value, execute(""), sync()].concat());
    let expect = (latin, "[\"\u{44c}\"]".to_owned(), ["LATIN1", "WIN1251"].map(str::to_owned));
    assert_eq!(shown(&bench), expect);
}

#[test]
fn a_client_that_leaves_its_hold_was_not_denied() {
    let mut bench = Bench::ready();
    bench.client(&query("DELETE FROM t"));
    assert!(bench.machine.held().is_some());
    bench.with(|machine, stage| machine.handle_eof(Side::Client, stage));
    let last = record(&bench);
    assert!(last.contains(&"command DELETE FROM t Abandoned".to_owned()), "{last:?}");
    assert!(!last.contains(&"command DELETE FROM t Deny".to_owned()), "{last:?}");
}

#[test]
fn a_copy_that_no_catalog_answers_for_says_what_is_not_known() {
    for (text, what) in [
        ("COPY public.nosuch TO STDOUT", "C42P01\0Mrelation \"public.nosuch\" does not exist\0"),
        ("COPY nosuch TO STDOUT", "C42P01\0Mrelation \"nosuch\" does not exist\0"),
        // The schema may not be there.
        ("COPY other.nosuch TO STDOUT", "weir: \"other.nosuch\" is not in the catalog"),
        ("SELECT 1; COPY nosuch TO STDOUT", "weir: \"nosuch\" is not in the catalog"),
        ("COPY sink (nosuch) TO STDOUT", "weir: \"sink\", or a column of it that this COPY names,"),
        ("COPY (SELECT 1 FROM nosuch) TO STDOUT", "weir: a relation that this COPY reads is not"),
    ] {
        let mut bench = masked();
        bench.client(&query(text));
        if bench.tags(Side::Server).is_empty() {
            learn(&mut bench, &[sink()]);
        }
        bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
        let said = messages(&bench.take(Side::Client));
        let error = String::from_utf8_lossy(&said[0].1).into_owned();
        assert!(error.contains(what), "{text}: {error}");
        assert!(error.contains("does not exist") && !error.contains("try again"), "{error}");
        assert!(record(&bench).contains(&format!("command {text} Deny")), "{text}");
    }
}

#[test]
fn a_cursor_that_was_skipped_is_described_when_it_is_executed_again() {
    let mut bench = masked();
    bench.client(&query("DECLARE c CURSOR WITH HOLD FOR SELECT t FROM sink"));
    bench.server(&[complete("DECLARE CURSOR"), ready_for_query(b'I')].concat());
    bench.take(Side::Server);
    bench.client(&[bind("", "nosuch"), execute("c"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "BDES");
    bench.server(&[server_error("26000"), ready_for_query(b'I')].concat());
    bench.client(&[execute("c"), sync()].concat());
    assert_eq!(bench.tags(Side::Server), "DES");
    let columns =
        message(b'T', b"\0\x01t\0\0\0\x4e\x20\0\x01\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    bench.server(&[columns, row(b"x"), complete("FETCH 1"), ready_for_query(b'I')].concat());
    assert!(!bench.machine.is_closed());
}
