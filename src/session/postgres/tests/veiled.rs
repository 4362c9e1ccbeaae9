//! Errors about commands with credentials: the client hears them, the record has no words of them.

use super::*;
use crate::mask::sql::catalog::{Catalog, Relation};

const QUOTING: &str = "invalid input syntax for type integer: \"hush\"";

fn error(state: &str, message: &str) -> Vec<u8> {
    let file = "Fpostgres.c";
    let text = format!(
        "SERROR\0VERROR\0C{state}\0M{message}\0DRow (hush)\0Wunnamed portal = 'hush'\0{file}\0\0"
    );
    message_of(b'E', &text)
}

fn message_of(tag: u8, text: &str) -> Vec<u8> {
    message(tag, text.as_bytes())
}

/// Whether the record has the credential, or the words of an error.
fn kept(bench: &Bench, words: &str) -> bool {
    let of = |bytes: &[u8]| memchr::memmem::find(bytes, words.as_bytes()).is_some();
    bench.journal.bodies().any(|body| match body {
        crate::record::body::Body::Chunk(chunk) => of(chunk.payload),
        other => of(format!("{other:?}").as_bytes()),
    })
}

fn allowed() -> Bench {
    Bench::ready_under(
        "[[rule]]\nname = \"more\"\nwhen = { groups = [\"agents\"], commands = [\"unknown\", \
         \"malformed\"] }\nthen = \"allow\"\n",
    )
}

#[test]
fn an_error_that_may_quote_a_credential_is_not_recorded_with_its_words() {
    let simple = [
        "UPDATE users SET password = 'hush'::int WHERE id = 1",
        "SET app.password = 'hush'",
        "ALTER ROLE app PASSWORD 'hush",
    ];
    for text in simple {
        let mut bench = allowed();
        bench.client(&query(text));
        assert_eq!(bench.tags(Side::Server), "Q", "{text}");
        let notice = message_of(b'N', "SNOTICE\0C00000\0Msaid hush\0\0");
        let failed = error("22P02", QUOTING);
        bench.server(&[notice.clone(), failed.clone(), ready_for_query(b'I')].concat());
        let heard = [notice, failed, ready_for_query(b'I')].concat();
        assert_eq!(bench.take(Side::Client), heard, "the client hears all of it");
        assert!(!kept(&bench, "hush"), "{text}");
        assert!(kept(&bench, "22P02") && kept(&bench, "holds a credential"), "{text}");
    }
}

#[test]
fn the_same_at_any_message_of_a_pipeline() {
    let text = "UPDATE users SET password = $1::int WHERE id = 1";
    let with_value = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x04hush\0\0");
    let parts = [parse("", text), with_value, execute(""), sync()].concat();
    let answers = [message(b'1', b""), message(b'2', b"")];
    for answered in 0..=2 {
        let mut bench = allowed();
        bench.client(&parts);
        bench.server(&answers[..answered].concat());
        bench.server(&[error("22P02", QUOTING), ready_for_query(b'I')].concat());
        assert!(!kept(&bench, "hush"), "{answered} answered");
        assert!(kept(&bench, "holds a credential"), "{answered} answered");
    }
}

#[test]
fn errors_of_other_commands_and_words_that_are_always_the_same_are_recorded() {
    let mut bench = Bench::ready();
    bench.client(&query("UPDATE users SET name = 'hush' WHERE id = 1"));
    bench.server(&[error("22P02", QUOTING), ready_for_query(b'I')].concat());
    assert!(kept(&bench, QUOTING.split('"').next().expect("words")));
    let mut bench = Bench::ready();
    bench.client(&query("UPDATE users SET password = 'hush' WHERE id = 1"));
    let canceled = "canceling statement due to user request";
    bench.server(&[error("57014", canceled), ready_for_query(b'I')].concat());
    assert!(kept(&bench, canceled) && !kept(&bench, "hush"));
}

#[test]
fn data_that_is_copied_into_a_credential_is_not_kept() {
    for (text, is_kept) in [
        ("COPY users (id, password) FROM STDIN", false),
        ("COPY users (id, name) FROM STDIN", true),
        ("COPY users FROM STDIN", false),
        ("COPY orders FROM STDIN", true),
    ] {
        let users = Relation::of_texts((20_000, "users"), b'r', &[], &["id", "name", "api_key"]);
        let orders = Relation::of_texts((20_001, "orders"), b'r', &[], &["id", "cents"]);
        let mut bench = Bench::ready();
        let mut source = source();
        source.catalogs = vec![Some(Arc::new(Catalog::new([users, orders])))];
        bench.snapshot = Rc::new(Snapshot::build(&source));
        bench.with(|machine, stage| machine.handle_snapshot(stage));
        bench.client(&query(text));
        bench.server(&message(b'G', b"\0\0\x02\0\0\0\0"));
        bench.client(&[message(b'd', b"1\thush\n"), message(b'c', b"")].concat());
        assert_eq!(bench.tags(Side::Server), "Qdc", "{text}");
        bench.server(&[error("22P02", QUOTING), ready_for_query(b'I')].concat());
        assert_eq!(kept(&bench, "hush"), is_kept, "{text}");
    }
}

#[test]
fn arguments_of_execute_are_not_recorded_where_one_is_a_credential() {
    for (prepare, is_kept) in [
        ("PREPARE up AS UPDATE users SET password = $1 WHERE id = 1", false),
        ("PREPARE up AS UPDATE users SET name = $1 WHERE id = 1", true),
    ] {
        let mut bench = allowed();
        bench.client(&query(prepare));
        bench.server(&[complete("PREPARE"), ready_for_query(b'I')].concat());
        bench.client(&query("EXECUTE up('hush')"));
        assert_eq!(bench.tags(Side::Server), "QQ");
        bench.server(&[error("22P02", QUOTING), ready_for_query(b'I')].concat());
        assert_eq!(kept(&bench, "hush"), is_kept, "{prepare}");
    }
}
