//! Errors at the end of a transaction that computes a masked column there.

use super::*;
use crate::mask::sql::catalog::{Catalog, Relation};

const MASKED: &str = r#"
[[rule]]
name = "anything"
when = { groups = ["agents"], commands = ["unknown", "call", "transaction", "prepared-transaction"] }
then = "allow"
[[mask]]
columns = ["*.*.email"]
operator = "redact"
"#;

/// In a transaction that is open, at a target with tables with and without a masked column.
fn begun() -> Bench {
    let mut bench = Bench::ready_under(MASKED);
    let people = Relation::of_texts((20_000, "people"), b'r', &[], &["id", "email"]);
    let orders = Relation::of_texts((20_001, "orders"), b'r', &[], &["id", "cents"]);
    let mut source = source_of(&format!("{CONFIG}{MASKED}"));
    source.catalogs = vec![Some(Arc::new(Catalog::new([people, orders])))];
    bench.snapshot = Rc::new(Snapshot::build(&source));
    bench.with(|machine, stage| machine.handle_snapshot(stage));
    run(&mut bench, "BEGIN", b'T');
    bench
}

fn run(bench: &mut Bench, text: &str, status: u8) {
    bench.client(&query(text));
    bench.server(&[complete("DONE"), ready_for_query(status)].concat());
    bench.take(Side::Server);
    bench.take(Side::Client);
}

/// Answers what was sent, up to the first Execute, and that with this tag.
fn answer(bench: &mut Bench, tag: Option<&str>) {
    for sent in bench.tags(Side::Server).chars() {
        match (sent, tag) {
            ('P', _) => bench.server(&message(b'1', b"")),
            ('B', _) => bench.server(&message(b'2', b"")),
            ('D', _) => bench.server(&message(b'n', b"")),
            ('E', Some(tag)) => bench.server(&complete(tag)),
            _ => break,
        }
    }
    bench.take(Side::Client);
}

/// Whether the client hears the target's own words for an error.
fn passes(bench: &mut Bench) -> bool {
    let before = bench.journal.bodies().count();
    bench.server(&server_error("22P02"));
    let heard = bench.take(Side::Client);
    let kept: Vec<u8> =
        bench.journal.bodies().skip(before).flat_map(|it| format!("{it:?}").into_bytes()).collect();
    let has = |bytes: &[u8]| memchr::memmem::find(bytes, b"theirs").is_some();
    assert!(!heard.is_empty(), "nothing is heard");
    assert!(has(&heard) || !has(&kept), "the record has what the client may not see");
    has(&heard)
}

const HELD: &str = "DECLARE c CURSOR WITH HOLD FOR SELECT email::int FROM people";
const ENDS: [&str; 5] =
    ["COMMIT", "END", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'a'", "SELECT 1; COMMIT"];

#[test]
fn an_error_of_what_a_commit_computes_is_withheld() {
    for text in ENDS {
        let mut bench = begun();
        run(&mut bench, HELD, b'T');
        bench.client(&query("SELECT 1"));
        assert!(passes(&mut bench), "no transaction ends");
        bench.server(&ready_for_query(b'T'));
        bench.client(&query(text));
        assert!(!passes(&mut bench), "{text}");
        let mut bench = begun();
        run(&mut bench, HELD, b'T');
        if !text.contains(';') {
            bench.client(&[parse("", text), bind("", ""), execute(""), sync()].concat());
            answer(&mut bench, None);
            assert!(!passes(&mut bench), "{text}");
        }
    }
    for text in ["SELECT f(id) FROM orders", "DO 'x'"] {
        let mut bench = begun();
        run(&mut bench, text, b'T');
        bench.client(&query("COMMIT"));
        assert!(!passes(&mut bench), "{text}");
    }
}

#[test]
fn an_error_at_the_end_of_a_pipeline_is_withheld() {
    let declared = [parse("", HELD), bind("", ""), execute("")].concat();
    for end in [sync(), query("SELECT 1")] {
        let mut bench = begun();
        run(&mut bench, "COMMIT", b'I');
        bench.client(&[&declared[..], &end].concat());
        answer(&mut bench, Some("DECLARE CURSOR"));
        assert!(!bench.machine.is_closed());
        assert!(!passes(&mut bench), "{end:?}");
    }
}

#[test]
fn an_error_of_a_transaction_that_computes_nothing_masked_passes() {
    let plain = "DECLARE c CURSOR WITH HOLD FOR SELECT cents::int FROM orders";
    for text in [plain, "SELECT email FROM people", "DECLARE c CURSOR FOR SELECT email FROM people"]
    {
        let mut bench = begun();
        run(&mut bench, text, b'T');
        bench.client(&query("COMMIT"));
        assert!(passes(&mut bench), "{text}");
    }
    let mut bench = begun();
    run(&mut bench, HELD, b'T');
    run(&mut bench, "ROLLBACK", b'I');
    run(&mut bench, "BEGIN", b'T');
    bench.client(&query("COMMIT"));
    assert!(passes(&mut bench), "the transaction with the cursor is over");
}

#[test]
fn an_error_that_answers_nothing_is_in_the_record() {
    let mut bench = Bench::ready();
    bench.server(&server_error("57P05"));
    assert_eq!(bench.tags(Side::Client), "E");
    let told = |body: crate::record::body::Body<'_>| match body {
        crate::record::body::Body::Event(event) if event.event == "late-error" => {
            event.attrs.contains("57P05") && event.attrs.contains("theirs")
        }
        _ => false,
    };
    assert!(bench.journal.bodies().any(told));
}
