use proptest::prelude::*;

use super::*;
use crate::decide::sql::Consequence;
use crate::decide::{Copy, CopyFormat, Object};
use crate::wire::Protocol;

fn one(text: &str) -> Statement {
    let classified = classify_uncached(text.as_bytes());
    let [statement] = classified.statements.as_slice() else { panic!("{text}: {classified:?}") };
    statement.clone()
}

/// Classes, by commas, and operation.
fn check(text: &str, classes: &str, operation: &str) {
    let statement = one(text);
    let found = statement.classes.words(Protocol::Postgres);
    assert_eq!((found.as_str(), statement.operation.as_str()), (classes, operation), "{text}");
}

#[test]
fn queries_and_dml() {
    check("SELECT 1", "read", "SELECT");
    check("TABLE t", "read", "SELECT");
    check("VALUES (1), (2)", "read", "SELECT");
    check("SELECT a FROM t FOR UPDATE", "read, write", "SELECT");
    check("SELECT a INTO u FROM t", "read, ddl", "SELECT INTO");
    check("INSERT INTO t VALUES (1)", "write", "INSERT");
    check("INSERT INTO t SELECT * FROM u", "read, write", "INSERT");
    check("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "read, write", "MERGE");
    check("UPDATE t SET a = 1 WHERE b = 2", "write", "UPDATE");
    check("DELETE FROM t WHERE b = $1", "write", "DELETE");
    check("TRUNCATE t", "unbounded-write", "TRUNCATE TABLE");
    check("DECLARE c CURSOR FOR SELECT 1", "read", "DECLARE CURSOR");
    check("FETCH ALL FROM c", "read", "FETCH");
    check("MOVE 3 IN c", "read", "MOVE");
}

#[test]
fn unbounded_writes() {
    let has = |text: &str, expect: Class| {
        let classes = one(text).classes;
        for class in [Class::Write, Class::UnboundedWrite] {
            assert_eq!(classes.has(class), class == expect, "{text}");
        }
    };
    let unbounded = |text| has(text, Class::UnboundedWrite);
    let bounded = |text| has(text, Class::Write);
    unbounded("DELETE FROM t");
    unbounded("UPDATE t SET a = b");
    unbounded("DELETE FROM t WHERE true");
    unbounded("DELETE FROM t WHERE 1 = 1");
    unbounded("DELETE FROM t WHERE 1 = 2");
    unbounded("DELETE FROM t WHERE $1");
    unbounded("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = 1)");
    unbounded("DELETE FROM t WHERE 1 IN (SELECT a FROM u)");
    unbounded("UPDATE t SET a = 1 WHERE (SELECT b FROM u) = 3");
    bounded("DELETE FROM t WHERE a = 1");
    bounded("DELETE FROM t WHERE t.a = 1");
    bounded("DELETE FROM t WHERE a IN (SELECT a FROM u)");
    bounded("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)");
    bounded("DELETE FROM t x WHERE EXISTS (SELECT 1 FROM u WHERE u.a = x.a)");
    bounded("UPDATE t SET a = 1 WHERE lower(b) LIKE 'x%'");
    bounded("DELETE FROM t WHERE CURRENT OF c");
    bounded("UPDATE t SET a = 1 FROM u WHERE t.b = u.b");
    unbounded("DELETE FROM t WHERE a = a");
    unbounded("DELETE FROM t WHERE t.a = a");
    unbounded("DELETE FROM t WHERE a IN (a)");
    unbounded("DELETE FROM t WHERE a BETWEEN a AND a");
    unbounded("DELETE FROM t WHERE a IS NOT NULL");
    unbounded("DELETE FROM t WHERE NOT (a IS NULL)");
    unbounded("DELETE FROM t WHERE a = 1 OR true");
    unbounded("DELETE FROM t WHERE NOT (a = 1 AND b = b)");
    unbounded("DELETE FROM t USING u WHERE u.id = 1");
    unbounded("DELETE FROM t USING u WHERE id = 1");
    unbounded("DELETE FROM t USING t AS v WHERE t.a = v.a");
    unbounded("DELETE FROM t WHERE a IN (SELECT a FROM t)");
    unbounded("DELETE FROM t WHERE EXISTS (SELECT 1 FROM t v WHERE v.a = t.a)");
    unbounded("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE");
    unbounded("MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN DELETE");
    unbounded("INSERT INTO t SELECT * FROM u ON CONFLICT (a) DO UPDATE SET b = 1");
    bounded("MERGE INTO t USING u ON false WHEN NOT MATCHED THEN INSERT VALUES (1)");
    bounded("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1");
    bounded("INSERT INTO t SELECT * FROM u ON CONFLICT DO NOTHING");
    bounded("DELETE FROM t WHERE a = 1 OR a = 2");
    bounded("DELETE FROM t WHERE a = b");
    bounded("DELETE FROM t WHERE true AND a IS NULL");
    bounded("DELETE FROM t WHERE NOT (a = 1 OR b = b)");
    bounded("DELETE FROM t WHERE active");
    bounded("DELETE FROM t WHERE (a, b) = (1, 2)");
    bounded("DELETE FROM t WHERE a = ANY($1)");
    bounded("DELETE FROM t USING u WHERE t.id = u.id");
    bounded("DELETE FROM t WHERE a IN (SELECT v.a FROM t v WHERE v.b = 1 LIMIT 5)");
    let hidden = "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x";
    check(hidden, "unbounded-write", "SELECT");
    let hidden = "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x";
    check(hidden, "write", "SELECT");
    let hidden = "WITH x AS (DELETE FROM t) UPDATE u SET a = 1 WHERE b = 1";
    check(hidden, "write, unbounded-write", "UPDATE");
}

#[test]
fn definitions_and_rights() {
    check("CREATE TABLE t (a int)", "ddl", "CREATE TABLE");
    check("CREATE TABLE t AS SELECT 1", "ddl", "CREATE TABLE AS");
    check("CREATE TABLE t AS EXECUTE p", "unknown", "CREATE TABLE AS");
    check("CREATE VIEW v AS SELECT 1", "ddl", "CREATE VIEW");
    check("CREATE INDEX ON t (a)", "ddl", "CREATE INDEX");
    check("ALTER TABLE t ADD b int", "ddl", "ALTER TABLE");
    check("ALTER TABLE t RENAME a TO b", "ddl", "ALTER RENAME");
    check("DROP TABLE t", "ddl", "DROP TABLE");
    check("DROP SCHEMA s CASCADE", "ddl", "DROP SCHEMA");
    check("COMMENT ON TABLE t IS 'x'", "ddl", "COMMENT");
    check("CREATE EXTENSION hstore", "ddl", "CREATE EXTENSION");
    check("CREATE TYPE e AS ENUM ('a')", "ddl", "CREATE TYPE");
    check("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ddl", "CREATE FUNCTION");
    check("GRANT SELECT ON t TO r", "grant", "GRANT");
    check("REVOKE ALL ON t FROM r", "grant", "REVOKE");
    check("GRANT a TO b", "grant", "GRANT ROLE");
    check("CREATE USER u PASSWORD 'x'", "grant", "CREATE ROLE");
    check("ALTER ROLE r SUPERUSER", "grant", "ALTER ROLE");
    check("ALTER ROLE r SET search_path = x", "grant", "ALTER ROLE");
    check("ALTER ROLE r SET standard_conforming_strings = off", "unknown", "UNKNOWN");
    check("ALTER DATABASE d SET client_encoding = sjis", "unknown", "UNKNOWN");
    check("ALTER ROLE a RENAME TO b", "grant", "ALTER ROLE");
    check("DROP ROLE r", "grant", "DROP ROLE");
    check("ALTER TABLE t OWNER TO r", "grant", "ALTER TABLE");
    check("ALTER TABLE t ADD b int, OWNER TO r", "grant", "ALTER TABLE");
    check("ALTER TABLE t DISABLE ROW LEVEL SECURITY", "grant", "ALTER TABLE");
    check("ALTER FUNCTION f() OWNER TO r", "grant", "ALTER OWNER");
    check("DROP POLICY p ON t", "grant", "DROP POLICY");
    check("CREATE POLICY p ON t USING (true)", "grant", "CREATE POLICY");
    check(
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r",
        "grant",
        "ALTER DEFAULT PRIVILEGES",
    );
    check("REASSIGN OWNED BY a TO b", "grant", "REASSIGN OWNED");
    check("CREATE SCHEMA s", "ddl", "CREATE SCHEMA");
    check("CREATE SCHEMA AUTHORIZATION r", "grant", "CREATE SCHEMA");
    check("ALTER SYSTEM SET archive_command = 'x'", "unknown", "UNKNOWN");
}

#[test]
fn sessions_and_the_rest() {
    check("BEGIN", "transaction", "BEGIN");
    check("START TRANSACTION READ ONLY", "transaction", "START TRANSACTION");
    check("END", "transaction", "COMMIT");
    check("ROLLBACK TO s", "transaction", "ROLLBACK");
    check("PREPARE TRANSACTION 'x'", "prepared-transaction", "PREPARE TRANSACTION");
    check("SET TRANSACTION READ ONLY", "transaction", "SET");
    check("SET CONSTRAINTS ALL DEFERRED", "transaction", "SET CONSTRAINTS");
    check("SET search_path = x", "session", "SET");
    check("RESET ALL", "session", "RESET");
    check("SHOW work_mem", "session", "SHOW");
    check("DISCARD ALL", "session", "DISCARD");
    check("LISTEN x", "session", "LISTEN");
    check("NOTIFY x, 'y'", "session", "NOTIFY");
    check("CLOSE c", "session", "CLOSE CURSOR");
    check("SET ROLE r", "set-role", "SET");
    check("SET role = r", "set-role", "SET");
    check("SET LOCAL \"ROLE\" TO r", "set-role", "SET");
    check("RESET ROLE", "set-role", "RESET");
    check("SET SESSION AUTHORIZATION r", "set-role", "SET");
    check("RESET SESSION AUTHORIZATION", "session", "RESET");
    check("SET SESSION AUTHORIZATION DEFAULT", "session", "SET");
    check("ALTER ROLE r RESET session_authorization", "grant", "ALTER ROLE");
    check("SET standard_conforming_strings = off", "unknown", "SET");
    check("SET standard_conforming_strings = on", "session", "SET");
    check("RESET standard_conforming_strings", "session", "RESET");
    check("SET NAMES 'UTF8'", "session", "SET");
    check("SET NAMES 'GBK'", "unknown", "SET");
    check("SET client_encoding TO big5", "unknown", "SET");
    check("DO $$ begin end $$", "call", "DO");
    check("CALL p(1)", "call", "CALL");
    check("VACUUM t", "maintenance", "VACUUM");
    check("ANALYZE", "maintenance", "ANALYZE");
    check("REINDEX TABLE t", "maintenance", "REINDEX");
    check("CHECKPOINT", "maintenance", "CHECKPOINT");
    check("LOAD 'x'", "maintenance", "LOAD");
    check("LOCK TABLE t", "write", "LOCK TABLE");
    check("REFRESH MATERIALIZED VIEW v", "maintenance", "REFRESH MATERIALIZED VIEW");
}

#[test]
fn functions_that_do_more_than_compute() {
    let select = |call: &str, class| check(&format!("SELECT {call}"), class, "SELECT");
    select("lower('A')", "read");
    select("pg_read_file('/etc/passwd')", "copy-file");
    select("pg_catalog.pg_read_file('/etc/passwd')", "copy-file");
    select("* FROM pg_ls_dir('.')", "copy-file");
    select("lo_export(1, 'x')", "copy-file");
    select("dblink_exec('x', 'drop table t')", "unknown");
    select("query_to_xml('select 1', true, true, '')", "unknown");
    select("pg_terminate_backend(1)", "maintenance");
    select("nextval('s')", "write");
    select("set_config('search_path', '', false)", "session");
    select("pg_catalog.set_config('role', 'x', false)", "set-role");
    select("set_config('Session_Authorization', 'x', false)", "set-role");
    select("set_config('standard_conforming_strings', 'off', false)", "unknown");
    select("set_config('standard_conforming_strings', 'on', false)", "session");
    select("set_config('ro' || 'le', 'x', false)", "session, set-role, unknown");
    select(
        "set_config(value => 'x', setting_name => 'role', is_local => false)",
        "session, set-role, unknown",
    );
    select("pg_terminate_backend(1), pg_read_file('x')", "copy-file, maintenance");
    let hidden = "WITH x AS (DELETE FROM t) SELECT pg_reload_conf()";
    check(hidden, "unbounded-write, maintenance", "SELECT");
    check("CREATE TABLE t AS SELECT pg_read_file('x')", "ddl, copy-file", "CREATE TABLE AS");
    check("CREATE TABLE t (a int DEFAULT nextval('s'))", "write, ddl", "CREATE TABLE");
    check("INSERT INTO t VALUES (nextval('s'))", "write", "INSERT");
    check("DELETE FROM t WHERE a = nextval('s')", "write", "DELETE");
}

#[test]
fn statements_that_carry_statements() {
    fn check_effect(text: &str, class: &str, operation: &str, effect: Consequence) {
        check(text, class, operation);
        assert_eq!(one(text).effect, effect, "{text}");
    }
    check_effect("EXPLAIN DELETE FROM t", "read", "EXPLAIN", Consequence::None);
    check_effect("EXPLAIN ANALYZE DELETE FROM t", "unbounded-write", "EXPLAIN", Consequence::None);
    check_effect("EXPLAIN (ANALYZE false) DELETE FROM t", "read", "EXPLAIN", Consequence::None);
    let text = "EXPLAIN (VERBOSE, ANALYZE) INSERT INTO t VALUES (1)";
    check_effect(text, "write", "EXPLAIN", Consequence::None);
    let execute = Consequence::Execute("p".to_owned());
    check_effect("EXPLAIN ANALYZE EXECUTE p", "unknown", "EXPLAIN", execute.clone());
    check_effect("EXPLAIN EXECUTE p", "unknown", "EXPLAIN", execute.clone());
    check_effect("EXECUTE p(1, 'x')", "unknown", "EXECUTE", execute);
    check_effect("EXECUTE p(pg_read_file('x'))", "unknown", "EXECUTE", Consequence::None);
    let prepare = Consequence::Prepare("p".to_owned());
    check_effect("PREPARE p AS SELECT 1", "read", "PREPARE", prepare.clone());
    check_effect("PREPARE p(int) AS DELETE FROM t", "unbounded-write", "PREPARE", prepare);
    let deallocate = Consequence::Deallocate(Some("p".to_owned()));
    check_effect("DEALLOCATE p", "session", "DEALLOCATE", deallocate);
    check_effect("DEALLOCATE ALL", "session", "DEALLOCATE", Consequence::Deallocate(None));
    check_effect("SELECT 1 INTO t", "ddl", "SELECT INTO", Consequence::Catalog);
    check_effect("DROP TABLE t", "ddl", "DROP TABLE", Consequence::Catalog);
    check_effect("SELECT 1", "read", "SELECT", Consequence::None);
}

#[test]
fn copy_statements() {
    let text = |delimiter, null: &str, header| CopyFormat::Text {
        delimiter,
        null: null.as_bytes().to_vec(),
        header,
    };
    let csv = |delimiter, quote, escape, null: &str, header| CopyFormat::Csv {
        delimiter,
        quote,
        escape,
        null: null.as_bytes().to_vec(),
        header,
    };
    fn check_format(statement: &str, class: &str, expect: CopyFormat) {
        check(statement, class, "COPY");
        let Consequence::Copy(copy) = one(statement).effect else { panic!("{statement}") };
        assert_eq!(copy.format, expect, "{statement}");
    }
    check_format("COPY t TO STDOUT", "read", text(b'\t', "\\N", false));
    check_format("COPY t FROM STDIN", "write", text(b'\t', "\\N", false));
    let plain = csv(b',', b'"', b'"', "", false);
    check_format("COPY t TO STDOUT (FORMAT csv)", "read", plain.clone());
    check_format("COPY t TO STDOUT WITH CSV", "read", plain);
    let old = "COPY t FROM STDIN WITH DELIMITER ';' NULL 'x' CSV HEADER QUOTE '$' ESCAPE '\\'";
    check_format(old, "write", csv(b';', b'$', b'\\', "x", true));
    let new = "COPY t FROM STDIN (FORMAT 'csv', DELIMITER E'\\t', HEADER match, QUOTE '''')";
    check_format(new, "write", csv(b'\t', b'\'', b'\'', "", true));
    let off = "COPY t TO STDOUT (HEADER false, NULL '')";
    check_format(off, "read", text(b'\t', "", false));
    check_format("COPY BINARY t TO STDOUT", "read", CopyFormat::Binary);
    check_format("COPY (SELECT 1) TO STDOUT (FORMAT binary)", "read", CopyFormat::Binary);
    let dml = "COPY (DELETE FROM t RETURNING a) TO STDOUT";
    check_format(dml, "unbounded-write", text(b'\t', "\\N", false));
    let latin = "COPY t TO STDOUT (ENCODING 'latin1')";
    check_format(latin, "read", text(b'\t', "\\N", false));

    check("COPY t TO PROGRAM 'cat'", "read, copy-program", "COPY");
    check("COPY t FROM '/etc/passwd'", "copy-file", "COPY");
    check("COPY (DELETE FROM t RETURNING a) TO '/x'", "unbounded-write, copy-file", "COPY");
    for odd in ["FORMAT 'json'", "ENCODING 'sjis'", "SOMETHING new", "DELIMITER 'ab'"] {
        let statement = format!("COPY t TO STDOUT ({odd})");
        check(&statement, "unknown", "COPY");
        assert_eq!(one(&statement).effect, Consequence::None, "{statement}");
    }
    let columns = one("COPY s.t (a, \"B\") TO STDOUT");
    let relation = Object::within("s", "t", false);
    let Consequence::Copy(Copy { relation: named, columns: list, .. }) = &columns.effect else {
        panic!("{columns:?}")
    };
    assert_eq!((named.as_ref(), list.as_slice()), (Some(&relation), &["a".into(), "B".into()][..]));
    assert!(!columns.whole_rows);
    assert!(one("COPY t TO STDOUT").whole_rows);
}

#[test]
fn text_that_is_not_understood() {
    let deep_parens = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let deep_calls = format!("SELECT {}1{}", "f(".repeat(100_000), ")".repeat(100_000));
    let deep_arrays = format!("SELECT {}1{}", "ARRAY[".repeat(50_000), "]".repeat(50_000));
    let long = format!("SELECT {}", "x".repeat(limits::PARSED_TEXT_BYTES_MAX));
    let long_escape = format!("SELECT E'{}'", "x".repeat(limits::PARSED_TEXT_BYTES_MAX));
    let unions = vec!["SELECT 1"; 5_000].join(" UNION ALL ");
    let sums = vec!["a"; 20_000].join("+");
    let texts = ["SELEC 1", "SELECT 'open", "START_REPLICATION 0/0", &deep_calls, &deep_arrays];
    for text in texts.into_iter().chain([long.as_str(), &long_escape, &unions, &sums]) {
        let statement = one(text);
        let shown = text.get(..20).unwrap_or(text);
        assert_eq!(statement.classes, Class::Unknown.only(), "{shown}");
        assert!(statement.whole_rows, "{shown}");
    }
    // Parentheses leave nothing in the tree: whether they pass is up to the parser's stack.
    let classes = one(&deep_parens).classes;
    assert!(classes.is_only(Class::Read) || classes.is_only(Class::Unknown), "{classes:?}");
    for bytes in [&b"SELECT '\xff'"[..], b"SELECT 1\0", b"\0"] {
        let classified = classify_uncached(bytes);
        assert_eq!(classified.action.classes, ["unknown"], "{bytes:?}");
    }
}

#[test]
fn texts_of_very_many_tokens_are_not_parsed() {
    let class = |text: String| classify_uncached(text.as_bytes()).action.classes;
    let values = |count: usize| format!("SELECT 1{}", ",1".repeat(count));
    assert_eq!(class(values(1_000)), ["read"]);
    // A list of constants is as short as it is dull.
    assert_eq!(class(values(limits::PARSED_TOKENS_MAX / 2 + 1)), ["read"]);
    assert_eq!(class(format!("SELECT *{}", ",*".repeat(100_000))), ["unknown"]);
    // Nothing hides tokens behind a quote that is none.
    for start in ["E'\\''", "/* ' */ 1", "$$'$$", "\"'\"", "1 -- '\n"] {
        assert_eq!(class(format!("SELECT {start}{}", ",a".repeat(100_000))), ["unknown"]);
    }
    let prose = "it is long, ".repeat(50_000);
    assert_eq!(class(format!("SELECT '{prose}'")), ["read"]);
}

/// What costs the square of its length is refused by a count that is taken before.
#[test]
fn short_texts_that_take_long_are_not_parsed() {
    let class = |text: String| classify_uncached(text.as_bytes()).action.classes;
    for (piece, few, many) in [("/*", 1_000, 10_000), ("+-", 1_000, 10_000), ("@/*", 600, 10_000)] {
        assert_eq!(class(format!("SELECT 1 {}", piece.repeat(many))), ["unknown"], "{piece}");
        let text = format!("SELECT 1 {}", piece.repeat(few));
        assert!(scanned_again(text.as_bytes()) <= limits::SCANNED_AGAIN_BYTES_MAX, "{piece}");
    }
    let most = limits::STATEMENTS_OF_TEXT_MAX;
    assert_eq!(class("SELECT 1;".repeat(most)), vec!["read"; most]);
    assert_eq!(class("SELECT 1;".repeat(limits::STATEMENTS_OF_TEXT_MAX + 1)), ["unknown"]);
    assert_eq!(class(format!("SELECT {}1", "a.b.id,".repeat(20_000))), ["unknown"]);
    assert_eq!(class(format!("SELECT {}1", "a.b.id,".repeat(5_000))), ["read"]);
    // Signs inside of what has a shape are not seen by the parser.
    assert_eq!(class(format!("SELECT '{}'", "-".repeat(100_000))), ["read"]);
    assert_eq!(class(format!("SELECT 1 /{}/", "*".repeat(100_000))), ["read"]);
    assert_eq!(class(format!("SELECT 1 {}1{}", "/*".repeat(9_000), "*/".repeat(9_000))), ["read"]);
    assert_eq!(class(format!("SELECT E'{}'", "-".repeat(100_000))), ["unknown"]);
}

#[test]
fn large_literals_are_no_reason_not_to_read_a_text() {
    let large = r"\x00ff''".repeat(limits::PARSED_TEXT_BYTES_MAX / 4);
    for (text, class) in [
        (format!("INSERT INTO files VALUES (1, '{large}'::bytea)"), Class::Write),
        (format!("DELETE FROM files /* {large} */"), Class::UnboundedWrite),
        (format!("UPDATE files SET data = '{large}' WHERE id = 7"), Class::Write),
        (format!("SELECT set_config('role', '{large}', true) FROM files"), Class::Unknown),
    ] {
        let statement = one(&text);
        assert_eq!(statement.classes, class.only(), "{}", &text[..30]);
        let cached = Classifier::new().classify(text.as_bytes());
        assert_eq!(cached.statements, [statement]);
        if class != Class::Unknown {
            assert_eq!(cached.action.objects.len(), 1);
        }
    }
}

#[test]
fn long_lists_are_read() {
    let numbers = (0..100_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let parameters = (1..=65_535).map(|n| format!("${n}")).collect::<Vec<_>>().join(",");
    let rows = (0..50_000).map(|n| format!("({n}, 'x', NULL)")).collect::<Vec<_>>().join(",\n");
    for (text, classes) in [
        (format!("SELECT * FROM t WHERE id IN ({numbers})"), "read"),
        (format!("DELETE FROM t WHERE id IN ({numbers})"), "write"),
        (format!("DELETE FROM t WHERE 1 IN ({numbers})"), "unbounded-write"),
        (format!("SELECT * FROM t WHERE id = ANY(ARRAY[{parameters}])"), "read"),
        (format!("INSERT INTO t (a, b, c) VALUES {rows} RETURNING a"), "write"),
        (format!("SELECT a IN ({numbers}), pg_read_file('x') FROM t"), "read, copy-file"),
    ] {
        let statement = one(&text);
        assert_eq!(statement.classes.words(Protocol::Postgres), classes, "{}", &text[..40]);
        assert_eq!(Classifier::new().classify(text.as_bytes()).statements, [statement]);
    }
}

#[test]
fn syntax_errors_are_the_servers_where_no_other_reading_exists() {
    let mut classifier = Classifier::new();
    let mut check = |text: &str, confirmed: &str, words: Option<&str>| {
        assert_eq!(why_unread(text.as_bytes()).as_deref(), words, "{text}");
        let known = classifier.classify(text.as_bytes());
        assert_eq!(known.action.classes == ["unknown"], words.is_some(), "{text}");
        let known = classifier.classify_confirmed(text.as_bytes(), Grammar::Same);
        assert_eq!(known.action.classes, [confirmed], "{text}");
    };
    check("SELEC 1", "malformed", Some("syntax error at or near \"SELEC\""));
    check("SELECT 1 FROM", "malformed", Some("syntax error at end of input"));
    check("SELECT 'open", "malformed", Some("unterminated quoted string at or near \"'open\""));
    check("SELEC '\u{e9}'", "unknown", Some("syntax error at or near \"SELEC\""));
    check("SELECT 1", "read", None);
    let deep = format!("SELECT {}1{}", "f(".repeat(2_000), ")".repeat(2_000));
    assert_eq!(
        classifier.classify_confirmed(deep.as_bytes(), Grammar::Same).action.classes,
        ["unknown"]
    );
}

#[test]
fn the_parser_has_the_grammar_that_it_is_taken_to_have() {
    let parsed = pg_query::parse("SELECT 1", 0).unwrap().protobuf.version;
    assert_eq!(u32::try_from(parsed).unwrap() / 10_000, release::PARSED_MAJOR);
}

#[test]
fn several_statements_and_none() {
    let classified = classify_uncached(b"BEGIN; DELETE FROM t; ; COMMIT;");
    assert_eq!(classified.action.classes, ["transaction", "unbounded-write", "transaction"]);
    assert_eq!(classified.action.operation, "BEGIN;DELETE;COMMIT");
    assert_eq!(classified.action.objects.len(), 1);
    for empty in ["", "  ", ";;", "-- x", "/* x */"] {
        assert!(classify_uncached(empty.as_bytes()).statements.is_empty(), "{empty}");
    }
}

/// Objects as `name`, `schema.name`, with `!` for those that are written.
fn objects(text: &str) -> String {
    let mut shown: Vec<String> = one(text)
        .objects
        .iter()
        .map(|object| format!("{}{}", object.path(), if object.write { "!" } else { "" }))
        .collect();
    shown.sort();
    shown.join(" ")
}

#[test]
fn objects_of_statements() {
    fn check(text: &str, expect: &str) {
        assert_eq!(objects(text), expect, "{text}");
    }
    check("SELECT 1", "");
    check("SELECT * FROM a, s.b x JOIN \"C\" ON true", "C a s.b");
    check("INSERT INTO a SELECT * FROM b", "a! b");
    check("INSERT INTO a SELECT * FROM a", "a!");
    check("UPDATE a SET x = 1 FROM b WHERE a.i = b.i", "a! b");
    check("DELETE FROM a USING b WHERE a.i = (SELECT i FROM c)", "a! b c");
    check("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE", "a! b");
    check("TRUNCATE a, b", "a! b!");
    check("COPY a TO STDOUT", "a");
    check("COPY a FROM STDIN", "a!");
    check("COPY (SELECT * FROM a) TO PROGRAM 'x'", "a");
    check("SELECT a INTO b FROM c", "b! c");
    check("CREATE TABLE a AS SELECT * FROM b", "a! b");
    check("CREATE VIEW a AS SELECT * FROM b", "a! b");
    check("CREATE INDEX ON a (x)", "a!");
    check("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES s.b", "a! s.b!");
    check("DROP TABLE a, s.b", "a! s.b!");
    check("DROP TRIGGER x ON s.a", "s.a!");
    check("DROP SCHEMA s, t", "s.*! t.*!");
    check("GRANT SELECT ON a TO r", "a!");
    check("GRANT SELECT ON ALL TABLES IN SCHEMA s TO r", "s.*!");
    check("ALTER SCHEMA s RENAME TO t", "s.*!");
    check("COMMENT ON COLUMN s.a.x IS 'y'", "s.a!");
    check("LOCK TABLE a", "a!");
    check("SELECT * FROM a FOR UPDATE OF a", "a");
    check("SELECT * FROM a x FOR UPDATE OF x", "a");
    check("EXPLAIN DELETE FROM a", "a");
    check("EXPLAIN ANALYZE DELETE FROM a", "a!");
    check("DECLARE c CURSOR FOR SELECT * FROM a", "a");
    check("SELECT 'a'::regclass", "");
}

#[test]
fn common_table_expressions_hide_names_only_in_their_scope() {
    fn check(text: &str, expect: &str) {
        assert_eq!(objects(text), expect, "{text}");
    }
    check("WITH a AS (SELECT 1) SELECT * FROM a", "");
    check("WITH a AS (SELECT 1) SELECT * FROM s.a", "s.a");
    check("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a");
    check("WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a", "");
    check("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", "b");
    check("WITH b AS (SELECT 1), a AS (SELECT * FROM b) SELECT * FROM a", "");
    check("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "");
    check("SELECT * FROM a, (WITH a AS (SELECT 1) SELECT * FROM a) x", "a");
    check("WITH a AS (SELECT 1) SELECT (SELECT x FROM a)", "");
    check("WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a", "a!");
    check("WITH a AS (SELECT 1) SELECT 1 UNION SELECT * FROM a", "");
    check("(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT * FROM a", "a");
}

#[test]
fn columns_and_whole_rows() {
    fn check(text: &str, columns: &str, whole_rows: bool) {
        let statement = one(text);
        let mut names: Vec<&str> = statement.columns.iter().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            (names.join(" ").as_str(), statement.whole_rows),
            (columns, whole_rows),
            "{text}"
        );
    }
    check("SELECT a, t.b, s.t.\"C\" AS d FROM s.t", "C a b", false);
    check(
        "SELECT a FROM t WHERE b > 1 GROUP BY c HAVING max(d) > 1 ORDER BY e",
        "a b c d e max",
        false,
    );
    check("SELECT *  FROM t", "", true);
    check("SELECT count(*) FROM t", "", false);
    check("SELECT t.* FROM t", "", true);
    check("SELECT t FROM t", "t", true);
    check("SELECT x FROM t AS x", "x", true);
    check("SELECT t::text FROM t", "t", true);
    check("SELECT row_to_json(x) FROM t x", "row_to_json x", true);
    check("SELECT x.row_to_json FROM t x", "row_to_json", true);
    check("SELECT (x).ssn FROM t x", "ssn x", true);
    check("SELECT ssn(x) FROM t x", "ssn x", true);
    check("SELECT (f(1)).ssn", "f ssn", true);
    check("SELECT (jsonb_each(a)).key", "a jsonb_each key", false);
    check("SELECT c.quote_literal FROM customers c", "quote_literal", true);
    check("SELECT (f(1)).*", "f", true);
    check("SELECT b FROM t AS x(a, b)", "b", true);
    check("SELECT b FROM (t JOIN u ON true) AS x(a, b)", "b", true);
    check("SELECT x FROM (SELECT a FROM t) x", "a x", true);
    check("SELECT f FROM f(1)", "f", true);
    check("TABLE t", "", true);
    check("SELECT a FROM t JOIN u USING (b)", "a b", false);
    check("INSERT INTO t (a, b) VALUES (1, 2) RETURNING c", "a b c", false);
    check(
        "INSERT INTO t (a) VALUES (1) ON CONFLICT (b) DO UPDATE SET c = excluded.d",
        "a b c d",
        false,
    );
    check("UPDATE t SET a = b, c[1] = 2, d.e = 3 WHERE f = 1", "a b c d e f", false);
    check("UPDATE t SET (a, b) = (SELECT c, d FROM u) WHERE e = 1", "a b c d e", false);
    check("DELETE FROM t WHERE a = 1 RETURNING old", "a old", true);
    check("DELETE FROM t WHERE a = 1 RETURNING WITH (OLD AS o) o", "a o", true);
    check("COPY t (a, b) TO STDOUT", "a b", false);
    check("COPY (SELECT a FROM t) TO STDOUT", "a", false);
    check("CREATE INDEX ON t (a, lower(b))", "a b lower", false);
    check("GRANT SELECT (a) ON t TO r", "a", false);
    check("ALTER TABLE t DROP COLUMN a", "a", false);
    check("ALTER TABLE t RENAME COLUMN a TO b", "a", false);
    check("SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM t", "a b c sum", false);
    check("SELECT a FROM t WHERE EXISTS (SELECT FROM u WHERE u.b = t.c)", "a b c", false);
    check("FETCH c", "", true);
    check("MOVE c", "", false);
    check("EXECUTE p", "", true);
    check("WITH x(b) AS (SELECT a FROM t) SELECT b FROM x", "a b", false);
}

#[test]
fn secrets_are_noticed() {
    fn check(text: &str, expect: bool) {
        assert_eq!(classify_uncached(text.as_bytes()).secrets, expect, "{text}");
    }
    check("SELECT a FROM t", false);
    check("ALTER ROLE r PASSWORD 'x'", true);
    check("create user u encrypted Password 'x'", true);
    check("SELECT 'postgres://u:p@h/d'", true);
    check("CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'x')", true);
    // The same shape with and without: the cache must not mix them up.
    let mut classifier = Classifier::new();
    for _ in 0..2 {
        assert!(!classifier.classify(b"SELECT 'plain'").secrets);
        assert!(classifier.classify(b"SELECT 'http://u:p@h'").secrets);
    }
}

#[test]
fn texts_that_differ_in_literals_are_parsed_once() {
    let mut classifier = Classifier::new();
    let first = classifier.classify(b"UPDATE t SET a = 'x' WHERE aid = 12345");
    let second = classifier.classify(b"UPDATE t SET a = 'it''s' WHERE aid = 7");
    assert!(Rc::ptr_eq(&first, &second));
    let other = classifier.classify(b"UPDATE t SET a = 'x' WHERE bid = 7");
    assert!(!Rc::ptr_eq(&first, &other));
    let exact = classifier.classify(b"SET a = 1");
    assert!(Rc::ptr_eq(&exact, &classifier.classify(b"SET a = 1")));
    assert!(!Rc::ptr_eq(&exact, &classifier.classify(b"SET a = 2")));
    assert_eq!(classifier.classify(b"SET a = 1").action.classes, ["session"]);
}

#[test]
fn a_classifier_works_on_several_threads() {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut classifier = Classifier::new();
                for index in 0..200 {
                    let text = format!("SELECT c{thread}, c{index} FROM t{index} WHERE");
                    assert_eq!(classifier.classify(text.as_bytes()).action.classes, ["unknown"]);
                    let text = format!("SELECT c{thread} FROM t{index}");
                    let classified = classifier.classify(text.as_bytes());
                    assert_eq!(classified.action.objects[0].name, format!("t{index}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Pieces of SQL from which many valid and many broken texts come.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "SELECT", "INSERT INTO t", "UPDATE t SET a =", "DELETE FROM t", "WHERE", "FROM t", "a", "b",
    "=", ",", "(", ")", "VALUES", "WITH x AS (", "*", "t.*", "AND", "OR", "IN", "LIMIT", "::",
    "int", "float", "numeric(", "interval", "'", "''", "\\", "\"", "\"q\"", "$1", "$$", "$t$",
    "--", "\n", "/*", "*/", ";", "E", "U&", "B", "-", "+", ".", "..", "1e5", "0x1",
    "passw", ":/", "'passw'", "pass/**/", "float(",
    "set_config(", "nextval(", "pg_read_file(", "RETURNING *", "EXPLAIN", "SET r =", "1a",
    "\u{e9}", "[", "]", ":", "FETCH FIRST", "ROWS ONLY", "BETWEEN", "LIKE", "ESCAPE", "UNION",
    "ORDER BY", "CURRENT OF c", "COLLATE", "AT TIME ZONE", "extract(", "TABLESAMPLE x(",
];

fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(PIECES);
    prop_oneof![3 => words.prop_map(|word: &str| word.to_owned()), 1 => literal()]
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u64..20).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        (0_u32..100, 0_u32..100).prop_map(|(whole, part)| format!("{whole}.{part}")),
        "[a-zA-Z '=1-]{0,6}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "'[^\\x00]{0,4}'",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "SELECT ",
        "SELECT a FROM t WHERE b = ",
        "DELETE FROM t WHERE ",
        "UPDATE t SET a = ",
        "INSERT INTO t VALUES (",
        "SELECT CAST(1 AS ",
        "SELECT * FROM f(",
        "WITH x AS (SELECT ",
        "",
    ]);
    let pieces =
        prop::collection::vec((pieces(), prop::sample::select(vec![" ", " ", "", "\n"])), 0..8);
    (start, pieces).prop_map(|(start, pieces)| {
        pieces.into_iter().fold(start.to_owned(), |text, (piece, space)| text + &piece + space)
    })
}

/// Replaces every plain literal of a text that has a shape by another of the same mark.
fn with_other_literals(text: &str, seed: u64) -> Option<String> {
    let mut key = Vec::new();
    if !shape::shape(text.as_bytes(), &mut key) {
        return None;
    }
    let mut number = seed;
    let mut other = String::new();
    for character in String::from_utf8(key).ok()?.chars() {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match character {
            '\u{1}' => other += &(number >> 40).to_string(),
            '\u{2}' => other += &format!("{}.5", number >> 40),
            '\u{3}' => {
                other += ["''", "'x; DROP'", "'role'", "'1'", "'-- \u{e9}'", "'it''s'"]
                    [(number >> 33) as usize % 6]
            }
            '\u{4}' => other += "/* x ' */",
            '\u{5}' => other += "-- y ' \"",
            other_character => other.push(other_character),
        }
    }
    Some(other)
}

/// What stands in for a text with large literals is classified as the text is.
fn check_example(text: &str) {
    let mut key = Vec::new();
    if shape::shape(text.as_bytes(), &mut key) {
        let example = classify_uncached(&shape::example(&key));
        assert_eq!(example.statements, classify_uncached(text.as_bytes()).statements, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_cache_answers_as_the_parser_does(
        texts in prop::collection::vec(text(), 1..4),
        seed: u64,
    ) {
        let mut classifier = Classifier::new();
        for text in &texts {
            let cached = classifier.classify(text.as_bytes());
            prop_assert_eq!(&*cached, &classify_uncached(text.as_bytes()), "{}", text);
            check_example(text);
            let Some(other) = with_other_literals(text, seed) else { continue };
            let cached = classifier.classify(other.as_bytes());
            prop_assert_eq!(&*cached, &classify_uncached(other.as_bytes()), "{} | {}", text, other);
        }
    }

    #[test]
    fn any_bytes_are_classified(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut classifier = Classifier::new();
        let cached = classifier.classify(&bytes);
        prop_assert_eq!(&*cached, &classify_uncached(&bytes));
    }

    #[test]
    fn literals_where_the_grammar_or_a_function_looks_at_them(
        template in prop::sample::select(TEMPLATES.to_vec()),
        literals in prop::collection::vec(slot_literal(), 6),
    ) {
        let mut classifier = Classifier::new();
        for literals in literals.chunks(2) {
            let text = template.replacen('?', literals[0], 1).replacen('?', literals[1], 1);
            let cached = classifier.classify(text.as_bytes());
            prop_assert_eq!(&*cached, &classify_uncached(text.as_bytes()), "{}", text);
            check_example(&text);
        }
    }
}

/// Places where a literal stands alone in the grammar, or decides a class.
const TEMPLATES: [&str; 24] = [
    "SELECT CAST(a AS float(?))",
    "SELECT a::float ( ?)",
    "SELECT a::\"float\"(?)",
    "SELECT a::numeric(?, ?), b::char(?), c::bit(?)",
    "SELECT interval(?) '1', ?",
    "SELECT interval '1' second(?)",
    "SELECT timestamp(?) 'now'",
    "SELECT current_time(?)",
    "SELECT a FROM t LIMIT ? OFFSET ?",
    "SELECT a FROM t FETCH FIRST ? ROWS ONLY",
    "SELECT a[?], b[?:?] FROM t",
    "SELECT set_config(?, ?, true)",
    "SELECT pg_catalog . \"set_config\"(?, ?, true)",
    "SELECT nextval(?), lower(?)",
    "DELETE FROM t WHERE ? = ?",
    "UPDATE t SET a = ? WHERE ?",
    "SELECT extract(? FROM b)",
    "SELECT a LIKE ? ESCAPE ?",
    "SELECT a FROM t TABLESAMPLE system(?) REPEATABLE (?)",
    "SELECT sum(a) OVER (ORDER BY b ROWS ? PRECEDING)",
    "SELECT a FROM t ORDER BY ?, ?",
    "SELECT ?\n?",
    "SELECT ? ?",
    "SELECT ?/* x */?",
];

fn slot_literal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "0",
        "1",
        "24",
        "25",
        "53",
        "54",
        "007",
        "2147483647",
        "2147483648",
        "1.5",
        "1.0",
        ".5",
        "9.",
        "''",
        "'1'",
        "'role'",
        "'x'",
        "'standard_conforming_strings'",
        "'off'",
        "'on'",
        "'it''s'",
        "'day'",
        "E'x'",
        "U&'x'",
        "1e3",
        "0x10",
        "$1",
        "a",
        "'a' -- x\n'b'",
        "'\\'",
    ])
}
