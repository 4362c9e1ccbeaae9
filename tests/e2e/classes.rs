//! Functions of the servers that are there: none that may change something is without a class.
//! Texts as the servers read them.

use weir::decide::sql::classify::{PARSED_MAJOR, has_class};

use crate::support::raw::{Raw, kinds, message, sqlstate};
use crate::support::{Postgres, Spec, Weir};

/// Volatile functions that SQL can call.
const VOLATILE: &str = "SELECT DISTINCT proname FROM pg_proc \
    WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' AND prokind <> 'p' \
    AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, \
        'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype, \
        'table_am_handler'::regtype, 'tsm_handler'::regtype) \
    AND NOT 'internal'::regtype = ANY (proargtypes::oid[]) ORDER BY 1";

fn check(server: &Postgres) {
    let names = server.sql("postgres", VOLATILE);
    let missing: Vec<&str> = names.lines().filter(|name| !has_class(name)).collect();
    assert!(names.lines().count() > 150, "{names}");
    assert!(missing.is_empty(), "volatile, and on no list of decide/sql/classify: {missing:?}");
}

#[test]
fn every_volatile_function_of_this_server_has_a_class() {
    check(Postgres::shared());
}

#[test]
fn every_volatile_function_of_the_newest_server_has_a_class() {
    if let Some(server) = Postgres::newest() {
        check(server);
    }
}

/// Somebody who may read, and set what is set.
fn reader(server: &Postgres) -> (Weir, Raw) {
    let rules = "[[rule]]\nname = \"reads\"\nwhen = { commands = [\"read\", \"session\"] }\n\
                 then = \"allow\"\n";
    let weir = Spec::new(&server.database()).rules(rules).start();
    let raw = Raw::login(&weir.endpoint());
    (weir, raw)
}

/// What is no statement of the server's own grammar is refused in its words; what may be one of
/// another grammar is not known.
fn check_errors(server: &Postgres) {
    let (_weir, mut raw) = reader(server);
    let number = server.sql("postgres", "SHOW server_version_num");
    let major = number.trim().parse::<u32>().expect("a number") / 10_000;
    let code = if major == PARSED_MAJOR { "42601" } else { "42501" };
    for sql in ["SELEC 1", "SELECT 1 FROM", "SELECT 'open"] {
        assert_eq!(raw.fails(sql), code, "{sql} at {major}");
    }
    assert_eq!(raw.rows("SELECT 1").len(), 1);
}

#[test]
fn syntax_errors_are_the_servers_where_its_grammar_is_known() {
    check_errors(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        check_errors(server);
    }
}

#[test]
fn texts_of_clients_that_do_not_speak_utf8_are_read() {
    let (_weir, mut raw) = reader(Postgres::shared());
    for (encoding, text) in [
        ("LATIN1", &b"SELECT 'caf\xe9'"[..]),
        ("WIN1251", b"SELECT '\xe4\xe0'"),
        ("EUC_JP", b"SELECT '\xa4\xa2'"),
    ] {
        raw.rows(&format!("SET client_encoding = '{encoding}'"));
        raw.send(&message(b'Q', &[text, b"\0"].concat()));
        let answers = raw.read_ready(1);
        assert_eq!(kinds(&answers), "TDCZ", "{encoding}: {:?}", sqlstate(&answers));
    }
}
