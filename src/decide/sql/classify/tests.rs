use proptest::prelude::*;

use super::*;
use crate::decide::{Copy, CopyFormat, Object};
use crate::wire::Protocol;

fn one(text: &str) -> Statement {
    let classified = classify_uncached(text.as_bytes());
    let [statement] = classified.statements.as_slice() else { panic!("{text}: {classified:?}") };
    statement.clone()
}

/// Class and operation.
fn check(text: &str, class: Class, operation: &str) {
    let statement = one(text);
    let classes: Vec<_> = statement.classes.names(Protocol::Postgres).collect();
    assert_eq!((classes, statement.operation.as_str()), (vec![class.name()], operation), "{text}");
}

#[test]
fn queries_and_dml() {
    check("SELECT 1", Class::Read, "SELECT");
    check("TABLE t", Class::Read, "SELECT");
    check("VALUES (1), (2)", Class::Read, "SELECT");
    check("SELECT a FROM t FOR UPDATE", Class::Read, "SELECT");
    check("SELECT a INTO u FROM t", Class::Ddl, "SELECT INTO");
    check("INSERT INTO t VALUES (1)", Class::Write, "INSERT");
    check("INSERT INTO t SELECT * FROM u", Class::Write, "INSERT");
    check("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", Class::Write, "MERGE");
    check("UPDATE t SET a = 1 WHERE b = 2", Class::Write, "UPDATE");
    check("DELETE FROM t WHERE b = $1", Class::Write, "DELETE");
    check("TRUNCATE t", Class::UnboundedWrite, "TRUNCATE TABLE");
    check("DECLARE c CURSOR FOR SELECT 1", Class::Read, "DECLARE CURSOR");
    check("FETCH ALL FROM c", Class::Read, "FETCH");
    check("MOVE 3 IN c", Class::Read, "MOVE");
}

#[test]
fn unbounded_writes() {
    let unbounded = |text| check(text, Class::UnboundedWrite, &text[..6]);
    let bounded = |text| check(text, Class::Write, &text[..6]);
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
    let hidden = "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x";
    check(hidden, Class::UnboundedWrite, "SELECT");
    let hidden = "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x";
    check(hidden, Class::Write, "SELECT");
    let hidden = "WITH x AS (DELETE FROM t) UPDATE u SET a = 1 WHERE b = 1";
    check(hidden, Class::UnboundedWrite, "UPDATE");
}

#[test]
fn definitions_and_rights() {
    check("CREATE TABLE t (a int)", Class::Ddl, "CREATE TABLE");
    check("CREATE TABLE t AS SELECT 1", Class::Ddl, "CREATE TABLE AS");
    check("CREATE TABLE t AS EXECUTE p", Class::Unknown, "UNKNOWN");
    check("CREATE VIEW v AS SELECT 1", Class::Ddl, "CREATE VIEW");
    check("CREATE INDEX ON t (a)", Class::Ddl, "CREATE INDEX");
    check("ALTER TABLE t ADD b int", Class::Ddl, "ALTER TABLE");
    check("ALTER TABLE t RENAME a TO b", Class::Ddl, "ALTER RENAME");
    check("DROP TABLE t", Class::Ddl, "DROP TABLE");
    check("DROP SCHEMA s CASCADE", Class::Ddl, "DROP SCHEMA");
    check("COMMENT ON TABLE t IS 'x'", Class::Ddl, "COMMENT");
    check("CREATE EXTENSION hstore", Class::Ddl, "CREATE EXTENSION");
    check("CREATE TYPE e AS ENUM ('a')", Class::Ddl, "CREATE TYPE");
    check(
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        Class::Ddl,
        "CREATE FUNCTION",
    );
    check("GRANT SELECT ON t TO r", Class::Grant, "GRANT");
    check("REVOKE ALL ON t FROM r", Class::Grant, "REVOKE");
    check("GRANT a TO b", Class::Grant, "GRANT ROLE");
    check("CREATE USER u PASSWORD 'x'", Class::Grant, "CREATE ROLE");
    check("ALTER ROLE r SUPERUSER", Class::Grant, "ALTER ROLE");
    check("ALTER ROLE r SET search_path = x", Class::Grant, "ALTER ROLE");
    check("ALTER ROLE r SET standard_conforming_strings = off", Class::Unknown, "UNKNOWN");
    check("ALTER DATABASE d SET client_encoding = sjis", Class::Unknown, "UNKNOWN");
    check("ALTER ROLE a RENAME TO b", Class::Grant, "ALTER ROLE");
    check("DROP ROLE r", Class::Grant, "DROP ROLE");
    check("ALTER TABLE t OWNER TO r", Class::Grant, "ALTER TABLE");
    check("ALTER TABLE t ADD b int, OWNER TO r", Class::Grant, "ALTER TABLE");
    check("ALTER TABLE t DISABLE ROW LEVEL SECURITY", Class::Grant, "ALTER TABLE");
    check("ALTER FUNCTION f() OWNER TO r", Class::Grant, "ALTER OWNER");
    check("DROP POLICY p ON t", Class::Grant, "DROP POLICY");
    check("CREATE POLICY p ON t USING (true)", Class::Grant, "CREATE POLICY");
    check(
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r",
        Class::Grant,
        "ALTER DEFAULT PRIVILEGES",
    );
    check("REASSIGN OWNED BY a TO b", Class::Grant, "REASSIGN OWNED");
    check("CREATE SCHEMA s", Class::Ddl, "CREATE SCHEMA");
    check("CREATE SCHEMA AUTHORIZATION r", Class::Grant, "CREATE SCHEMA");
    check("ALTER SYSTEM SET archive_command = 'x'", Class::Unknown, "UNKNOWN");
}

#[test]
fn sessions_and_the_rest() {
    check("BEGIN", Class::Transaction, "BEGIN");
    check("START TRANSACTION READ ONLY", Class::Transaction, "START TRANSACTION");
    check("END", Class::Transaction, "COMMIT");
    check("ROLLBACK TO s", Class::Transaction, "ROLLBACK");
    check("PREPARE TRANSACTION 'x'", Class::Transaction, "PREPARE TRANSACTION");
    check("SET TRANSACTION READ ONLY", Class::Transaction, "SET");
    check("SET CONSTRAINTS ALL DEFERRED", Class::Transaction, "SET CONSTRAINTS");
    check("SET search_path = x", Class::Session, "SET");
    check("RESET ALL", Class::Session, "RESET");
    check("SHOW work_mem", Class::Session, "SHOW");
    check("DISCARD ALL", Class::Session, "DISCARD");
    check("LISTEN x", Class::Session, "LISTEN");
    check("NOTIFY x, 'y'", Class::Session, "NOTIFY");
    check("CLOSE c", Class::Session, "CLOSE CURSOR");
    check("SET ROLE r", Class::SetRole, "SET");
    check("SET role = r", Class::SetRole, "SET");
    check("SET LOCAL \"ROLE\" TO r", Class::SetRole, "SET");
    check("RESET ROLE", Class::SetRole, "RESET");
    check("SET SESSION AUTHORIZATION r", Class::SetRole, "SET");
    check("RESET SESSION AUTHORIZATION", Class::SetRole, "RESET");
    check("SET standard_conforming_strings = off", Class::Unknown, "SET");
    check("SET standard_conforming_strings = on", Class::Session, "SET");
    check("RESET standard_conforming_strings", Class::Session, "RESET");
    check("SET NAMES 'UTF8'", Class::Session, "SET");
    check("SET NAMES 'GBK'", Class::Unknown, "SET");
    check("SET client_encoding TO big5", Class::Unknown, "SET");
    check("DO $$ begin end $$", Class::Call, "DO");
    check("CALL p(1)", Class::Call, "CALL");
    check("VACUUM t", Class::Maintenance, "VACUUM");
    check("ANALYZE", Class::Maintenance, "ANALYZE");
    check("REINDEX TABLE t", Class::Maintenance, "REINDEX");
    check("CHECKPOINT", Class::Maintenance, "CHECKPOINT");
    check("LOAD 'x'", Class::Maintenance, "LOAD");
    check("LOCK TABLE t", Class::Maintenance, "LOCK TABLE");
    check("REFRESH MATERIALIZED VIEW v", Class::Maintenance, "REFRESH MATERIALIZED VIEW");
}

#[test]
fn functions_that_do_more_than_compute() {
    let select = |call: &str, class| check(&format!("SELECT {call}"), class, "SELECT");
    select("lower('A')", Class::Read);
    select("pg_read_file('/etc/passwd')", Class::CopyFile);
    select("pg_catalog.pg_read_file('/etc/passwd')", Class::CopyFile);
    select("* FROM pg_ls_dir('.')", Class::CopyFile);
    select("lo_export(1, 'x')", Class::CopyFile);
    select("dblink_exec('x', 'drop table t')", Class::Unknown);
    select("query_to_xml('select 1', true, true, '')", Class::Unknown);
    select("pg_terminate_backend(1)", Class::Maintenance);
    select("nextval('s')", Class::Write);
    select("set_config('search_path', '', false)", Class::Read);
    select("pg_catalog.set_config('role', 'x', false)", Class::SetRole);
    select("set_config('Session_Authorization', 'x', false)", Class::SetRole);
    select("set_config('standard_conforming_strings', 'off', false)", Class::Unknown);
    select("set_config('standard_conforming_strings', 'on', false)", Class::Read);
    select("set_config('ro' || 'le', 'x', false)", Class::Unknown);
    select("set_config(value => 'x', setting_name => 'role', is_local => false)", Class::Unknown);
    select("pg_terminate_backend(1), pg_read_file('x')", Class::Unknown);
    let hidden = "WITH x AS (DELETE FROM t) SELECT pg_reload_conf()";
    check(hidden, Class::Unknown, "SELECT");
    check("CREATE TABLE t AS SELECT pg_read_file('x')", Class::Unknown, "CREATE TABLE AS");
    check("CREATE TABLE t (a int DEFAULT nextval('s'))", Class::Ddl, "CREATE TABLE");
    check("INSERT INTO t VALUES (nextval('s'))", Class::Write, "INSERT");
    check("DELETE FROM t WHERE a = nextval('s')", Class::Write, "DELETE");
}

#[test]
fn statements_that_carry_statements() {
    fn check_effect(text: &str, class: Class, operation: &str, effect: Effect) {
        check(text, class, operation);
        assert_eq!(one(text).effect, effect, "{text}");
    }
    check_effect("EXPLAIN DELETE FROM t", Class::Read, "EXPLAIN", Effect::None);
    check_effect("EXPLAIN ANALYZE DELETE FROM t", Class::UnboundedWrite, "EXPLAIN", Effect::None);
    check_effect("EXPLAIN (ANALYZE false) DELETE FROM t", Class::Read, "EXPLAIN", Effect::None);
    let text = "EXPLAIN (VERBOSE, ANALYZE) INSERT INTO t VALUES (1)";
    check_effect(text, Class::Write, "EXPLAIN", Effect::None);
    let execute = Effect::Execute("p".to_owned());
    check_effect("EXPLAIN ANALYZE EXECUTE p", Class::Unknown, "EXPLAIN", execute.clone());
    check_effect("EXPLAIN EXECUTE p", Class::Read, "EXPLAIN", Effect::None);
    check_effect("EXECUTE p(1, 'x')", Class::Unknown, "EXECUTE", execute);
    check_effect("EXECUTE p(pg_read_file('x'))", Class::Unknown, "EXECUTE", Effect::None);
    let prepare = Effect::Prepare("p".to_owned());
    check_effect("PREPARE p AS SELECT 1", Class::Read, "PREPARE", prepare.clone());
    check_effect("PREPARE p(int) AS DELETE FROM t", Class::UnboundedWrite, "PREPARE", prepare);
    let deallocate = Effect::Deallocate(Some("p".to_owned()));
    check_effect("DEALLOCATE p", Class::Session, "DEALLOCATE", deallocate);
    check_effect("DEALLOCATE ALL", Class::Session, "DEALLOCATE", Effect::Deallocate(None));
    check_effect("SELECT 1 INTO t", Class::Ddl, "SELECT INTO", Effect::Catalog);
    check_effect("DROP TABLE t", Class::Ddl, "DROP TABLE", Effect::Catalog);
    check_effect("SELECT 1", Class::Read, "SELECT", Effect::None);
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
    fn check_format(statement: &str, class: Class, expect: CopyFormat) {
        check(statement, class, "COPY");
        let Effect::Copy(copy) = one(statement).effect else { panic!("{statement}") };
        assert_eq!(copy.format, expect, "{statement}");
    }
    check_format("COPY t TO STDOUT", Class::Read, text(b'\t', "\\N", false));
    check_format("COPY t FROM STDIN", Class::Write, text(b'\t', "\\N", false));
    let plain = csv(b',', b'"', b'"', "", false);
    check_format("COPY t TO STDOUT (FORMAT csv)", Class::Read, plain.clone());
    check_format("COPY t TO STDOUT WITH CSV", Class::Read, plain);
    let old = "COPY t FROM STDIN WITH DELIMITER ';' NULL 'x' CSV HEADER QUOTE '$' ESCAPE '\\'";
    check_format(old, Class::Write, csv(b';', b'$', b'\\', "x", true));
    let new = "COPY t FROM STDIN (FORMAT 'csv', DELIMITER E'\\t', HEADER match, QUOTE '''')";
    check_format(new, Class::Write, csv(b'\t', b'\'', b'\'', "", true));
    let off = "COPY t TO STDOUT (HEADER false, NULL '')";
    check_format(off, Class::Read, text(b'\t', "", false));
    check_format("COPY BINARY t TO STDOUT", Class::Read, CopyFormat::Binary);
    check_format("COPY (SELECT 1) TO STDOUT (FORMAT binary)", Class::Read, CopyFormat::Binary);
    let dml = "COPY (DELETE FROM t RETURNING a) TO STDOUT";
    check_format(dml, Class::UnboundedWrite, text(b'\t', "\\N", false));
    let latin = "COPY t TO STDOUT (ENCODING 'latin1')";
    check_format(latin, Class::Read, text(b'\t', "\\N", false));

    check("COPY t TO PROGRAM 'cat'", Class::CopyProgram, "COPY");
    check("COPY t FROM '/etc/passwd'", Class::CopyFile, "COPY");
    check("COPY (DELETE FROM t RETURNING a) TO '/x'", Class::Unknown, "COPY");
    for odd in ["FORMAT 'json'", "ENCODING 'sjis'", "SOMETHING new", "DELIMITER 'ab'"] {
        let statement = format!("COPY t TO STDOUT ({odd})");
        check(&statement, Class::Unknown, "COPY");
        assert_eq!(one(&statement).effect, Effect::None, "{statement}");
    }
    let columns = one("COPY s.t (a, \"B\") TO STDOUT");
    let relation = Object::within("s", "t", false);
    let Effect::Copy(Copy { relation: named, columns: list, .. }) = &columns.effect else {
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
    assert_eq!(class(values(limits::PARSED_TOKENS_MAX / 2 + 1)), ["unknown"]);
    assert_eq!(class(format!("SELECT *{}", ",*".repeat(100_000))), ["unknown"]);
    // Nothing hides tokens behind a quote that is none.
    for start in ["E'\\''", "/* ' */ 1", "$$'$$", "\"'\"", "1 -- '\n"] {
        assert_eq!(class(format!("SELECT {start}{}", ",1".repeat(100_000))), ["unknown"]);
    }
    let prose = "it is long, ".repeat(50_000);
    assert_eq!(class(format!("SELECT '{prose}'")), ["read"]);
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
    check("SELECT (f(1)).ssn", "f ssn", false);
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
        let example = parse(&shape::example(&key)).unwrap_or_else(|| vec![unknown()]);
        assert_eq!(example, classify_uncached(text.as_bytes()).statements, "{text}");
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
