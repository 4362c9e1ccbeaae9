//! Functions of the servers that are there: none that may change something is without a class.
//! Texts as the servers read them.

use std::time::Duration;

use weir::decide::sql::classify::has_class;

use crate::support::lake::text;
use crate::support::raw::{bind, execute, kinds, message, parse, sqlstate, sync};
use crate::support::{Database, Postgres, Raw, Spec, Weir, wait_until};

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
    let code = if major >= 15 { "42601" } else { "42501" };
    for sql in ["SELEC 1", "SELECT 1 FROM", "SELECT 'open", "SELECT * FRO orders", "SELECT 1 AS"] {
        assert_eq!(raw.fails(sql), code, "{sql} at {major}");
    }
    // An alias at 15, no statement at 18; a definition of another release.
    let code = if major == 18 { "42601" } else { "42501" };
    for sql in ["SELECT 1 FROM pg_class system_user", "CREATE TABL t (a int)"] {
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
    let (weir, mut raw) = reader(Postgres::shared());
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
    // The record says the letters, and how they came.
    for (letters, encoding) in [("caf\u{e9}", "LATIN1"), ("\u{434}\u{430}", "WIN1251")] {
        let mut search = weir.command(&["search", "--json", "--grep", letters]);
        let found = search.output().expect("weir runs");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        let told = format!("text_encoding\\\":\\\"{encoding}");
        assert!(found.contains(letters) && found.contains(&told), "{letters}: {found}");
    }
}

/// Functions of users by every road that does not name one that PostgreSQL lacks.
const OBJECTS: &str = "
CREATE TABLE orders (id int PRIMARY KEY, cents int, status text);
INSERT INTO orders SELECT n, n, 'open' FROM generate_series(1, 9) n;
CREATE FUNCTION touch(int) RETURNS int LANGUAGE plpgsql AS
  $$begin update public.orders set status = 'touched' where id = $1; return 1; end$$;
CREATE FUNCTION computed(orders) RETURNS int LANGUAGE sql AS 'SELECT public.touch($1.id)';
CREATE FUNCTION public.upper(orders) RETURNS int LANGUAGE sql AS 'SELECT public.touch($1.id)';
CREATE SCHEMA evil;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT public.touch(1)::text';
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE FUNCTION next_mood(int, mood) RETURNS int LANGUAGE sql AS 'SELECT public.touch(1)';
CREATE AGGREGATE public.sum(mood) (sfunc = next_mood, stype = int);
CREATE FUNCTION plus(orders, int) RETURNS int LANGUAGE sql AS 'SELECT public.touch($1.id)';
CREATE OPERATOR public.+ (leftarg = orders, rightarg = int, function = plus);
CREATE FUNCTION to_mood(orders) RETURNS mood LANGUAGE plpgsql AS
  $$begin perform public.touch($1.id); return 'a'; end$$;
CREATE CAST (orders AS mood) WITH FUNCTION to_mood(orders);
CREATE FUNCTION is_good() RETURNS bool LANGUAGE sql AS 'SELECT public.touch(1) = 1';
CREATE DOMAIN good AS int CHECK (is_good());
CREATE TYPE hasgood AS (x good);
CREATE TABLE kept (id int, g good);
CREATE DOMAIN also AS hasgood;
CREATE TABLE held (id int, name text, h hasgood, l good[], a also);
CREATE VIEW shown AS SELECT k AS whole FROM kept k;
INSERT INTO held VALUES (1, 'x');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION fixed(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  $$begin return public.touch($1); end$$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT USAGE ON SCHEMA evil TO app";

const READERS: &str = "
[[rule]]
name = \"they read\"
when = { commands = [\"read\", \"session\", \"transaction\", \"ddl\"] }
then = \"allow\"
";

fn shop(server: &Postgres) -> Database {
    let database = server.database();
    database.sql(OBJECTS);
    database
}

fn code_of_users_is_a_call(server: &Postgres) {
    let database = shop(server);
    let weir = Spec::new(&database).rules(READERS).start();
    let mut client = Raw::login(&weir.endpoint());
    for text in [
        "SELECT o.computed FROM orders o WHERE id = 1",
        "SELECT 1 FROM orders o WHERE o.computed = 1",
        "SELECT (o).computed FROM orders o",
        "EXPLAIN ANALYZE SELECT o.computed FROM orders o",
        "COPY (SELECT o.computed FROM orders o) TO STDOUT",
        "PREPARE z AS SELECT o.computed FROM orders o; EXECUTE z",
        "SELECT upper(o) FROM orders o",
        "SELECT o.upper FROM orders o",
        "SET search_path = evil, pg_catalog; SELECT lower('x')",
        "SELECT set_config('search_path', 'evil', false); SELECT lower('x')",
        "SELECT sum(x) FROM (VALUES ('a'::mood)) v (x)",
        "SELECT o + 1 FROM orders o",
        "SELECT o::mood FROM orders o",
        "SELECT CAST(o AS mood) FROM orders o",
        "SELECT 1::good",
        "SELECT good '1'",
        "SELECT array_in('{1}', 'good'::regtype, -1)",
        "SELECT record_in('(1)', 'hasgood'::regtype, -1)",
        "SELECT domain_in('1', 'good'::regtype, -1)",
        "SELECT pg_input_is_valid('1', 'good')",
        "SELECT * FROM pg_input_error_info('1', 'good')",
        "PREPARE p (good) AS SELECT 1; EXECUTE p (1)",
        "SELECT jsonb_populate_record(k, '{\"g\": 1}') FROM kept k",
        "SELECT lead(k.g, 1, '2') OVER () FROM kept k",
        "SELECT array_append(array_agg(g), '1') FROM kept",
        "SELECT coalesce(k, '(1,5)') FROM kept k",
        "SELECT coalesce(k.*, '(1,5)') FROM kept k",
        "SELECT coalesce((SELECT k FROM kept k), '(1,5)')",
        "SELECT array_agg(k) = '{\"(1,5)\"}' FROM kept k",
        "SELECT coalesce(whole, '(1,5)') FROM shown",
        "SELECT coalesce(h, '(5)') FROM held",
        "SELECT ARRAY[h, '(5)'] FROM held",
        "SELECT h FROM held UNION ALL SELECT '(5)'",
        "SELECT CASE WHEN id = 1 THEN h ELSE '(5)' END FROM held",
        "SELECT coalesce(l, '{5}') FROM held",
        "SELECT coalesce(a, '(5)') FROM held",
    ] {
        assert_eq!(client.fails(text), "42501", "{text}");
    }
    for text in [
        "SELECT o.cents, (o).status, o.id FROM orders o WHERE o.id = 1",
        "SELECT 1::positive, 2 - 1, count(*), pg_catalog.lower('X') FROM orders",
        "SELECT k.* FROM kept k WHERE g = '1' OR coalesce(g, '2') = '3'",
        "SELECT h, 'kind' AS kind FROM held WHERE id = 1",
    ] {
        client.rows(text);
    }
    // A parameter of such a type is checked at Bind.
    let oid = database.sql("SELECT 'good'::regtype::oid").trim().parse::<u32>().expect("an OID");
    let mut body = b"\0SELECT $1\0\0\x01".to_vec();
    body.extend_from_slice(&oid.to_be_bytes());
    client
        .send(&[message(b'P', &body), bind("", "", &[Some("1")]), execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&client.read_ready(1)).as_deref(), Some("42501"));
    let becomes = "SELECT coalesce(h, $1) FROM held";
    let values = bind("", "", &[Some("(5)")]);
    client.send(&[parse("", becomes), values, execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&client.read_ready(1)).as_deref(), Some("42501"));
    assert_eq!(client.fails("SELECT nofunc(1)"), "42501");
    let touched = database.sql("SELECT count(*) FROM orders WHERE status <> 'open'");
    assert_eq!(touched.trim(), "0");
}

#[test]
fn code_of_users_is_a_call_on_this_server() {
    code_of_users_is_a_call(Postgres::shared());
}

#[test]
fn code_of_users_is_a_call_on_the_newest_server() {
    if let Some(server) = Postgres::newest() {
        code_of_users_is_a_call(server);
    }
}

#[test]
fn a_new_function_is_noticed() {
    let database = shop(Postgres::shared());
    let weir = Spec::new(&database).rules(READERS).start();
    let mut client = Raw::login(&weir.endpoint());
    client.rows("SELECT abs(-1)");
    client.rows("CREATE FUNCTION pg_temp.abs(orders) RETURNS int LANGUAGE sql AS 'SELECT 1'");
    wait_until("the catalog to be read again", Duration::from_secs(20), || {
        client.query("SELECT abs(-1)").iter().any(|message| message.kind == b'E')
    });
    assert_eq!(client.fails("SELECT abs(-1)"), "42501");
}

#[test]
fn a_bind_that_runs_code_is_recorded() {
    let database = shop(Postgres::shared());
    let mut weir = Spec::new(&database).start();
    let mut client = Raw::login(&weir.endpoint());
    client.send(&[parse("", "SELECT fixed(4)"), bind("", "", &[]), sync()].concat());
    client.read_ready(1);
    let ran = database.sql("SELECT status FROM orders WHERE id = 4");
    assert_eq!(ran.trim(), "touched");
    let whole = [parse("", "SELECT fixed(5)"), bind("", "", &[]), execute("", 0), sync()];
    client.send(&whole.concat());
    client.read_ready(1);
    let twice = [bind("", "s", &[]), execute("", 0), bind("", "s", &[]), execute("", 0), sync()];
    client.send(&[parse("s", "SELECT fixed(6)"), twice.concat()].concat());
    client.read_ready(1);
    drop(client);
    let lake = weir.lake();
    let bound = lake.events("bind");
    let of = |call: &str| bound.iter().filter(|row| text(row, "message").contains(call)).count();
    assert_eq!((of("fixed(4)"), of("fixed(5)"), of("fixed(6)")), (1, 1, 2), "{bound:?}");
    assert!(lake.commands_with("fixed(4)").is_empty(), "nothing was executed");
    lake.exchange("fixed(5)");
    assert_eq!(lake.commands_with("fixed(6)").len(), 2);
}

/// A driver knows by the SQLSTATE that a statement is gone, and prepares it again.
#[test]
fn names_that_are_gone_are_refused_as_the_server_would() {
    let (_weir, mut client) = reader(Postgres::shared());
    client.send(&[parse("s", "SELECT 1"), sync()].concat());
    client.read_ready(1);
    client.rows("DISCARD ALL");
    client.send(&[bind("", "s", &[]), execute("", 0), sync()].concat());
    let messages = client.read_ready(1);
    assert_eq!(sqlstate(&messages).as_deref(), Some("26000"), "{messages:?}");
    client.send(&[execute("p", 0), sync()].concat());
    assert_eq!(sqlstate(&client.read_ready(1)).as_deref(), Some("34000"));
    assert_eq!(client.fails("EXECUTE nope"), "26000");
    assert_eq!(client.fails("FETCH 1 FROM nope"), "34000");
    client.send(&[parse("", "EXECUTE nope"), bind("", "", &[]), execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&client.read_ready(1)).as_deref(), Some("26000"));
    client.rows("SELECT 1");
}
