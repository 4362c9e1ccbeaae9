//! A session replays to what its client's program printed.

use serde_json::Value;

use crate::support::lake::text;
use crate::support::raw::{Raw, extended, query, sync};
use crate::support::scratch::{Scratch, output, run};
use crate::support::{Endpoint, Postgres, Spec, Weir, tools};

/// What people do in psql: every kind of value and answer that it prints in a way of its own.
const SCRIPT: &str = "\
CREATE TEMP TABLE people (id int8, name text, born date, rate numeric, ok bool);
INSERT INTO people VALUES (1, 'Ann', '1970-01-02', 1.50, true), (22, NULL, NULL, -3, false);
SELECT * FROM people ORDER BY id;
SELECT id,
       name
  FROM people
 WHERE id = 1;
SELECT 'two
lines' AS \"multi\", 7 AS \"a number\", E'tab\\there\\r' AS t, E'bell\\x07' AS b;
SELECT '\u{4e2d}\u{6587}' AS wide, '\u{e9}' AS narrow, 1 AS one;
SELECT name, 1.5::float8, 2::oid, 3::money FROM people WHERE false;
UPDATE people SET name = 'Bob' WHERE id = 22 RETURNING id, name;
SELECT;
DO $$ BEGIN RAISE NOTICE 'noticed'; END $$;
SELECT 1/0;
SELECT 1 AS a, 2 AS b \\; SELECT 'x' AS c;
COPY people (id, name) TO STDOUT;
EXPLAIN (COSTS OFF) SELECT 1;
DELETE FROM people;
BEGIN;
SHOW transaction_isolation;
COMMIT;
SELECT '\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}' AS \"an emoji\", '\u{1f468}\u{200d}\u{1f469}' AS joined;
SELECT 'a\u{a0}b' AS nbsp, '\u{3000}' AS wide_blank, 'x\u{ad}y' AS soft, 'k\u{301}' AS combined;
SELECT ARRAY[1,NULL,3] AS a, '{\"k\": [1, 2]}'::jsonb AS j, '\\xdead'::bytea AS b;
SELECT '1 day'::interval, now() - now();
SELECT 1 AS \"two
lines\", 'x' AS \"\u{4e2d}\";
SELECT FROM generate_series(1, 2);
SELECT nope FROM people;
SELECT 1,
\t'\u{4e2d}\u{6587}', nope,
 2;
SELECT 1 AS a_column, 2 AS another_column, 3 AS a_third_column, nope AS what_is_not_there, 5 AS e;
SELECT nope AS what_is_not_there, 1 AS a_column, 2 AS another_column, 3 AS a_third_column, 5 AS e;
SELEC 1;
INSERT INTO people VALUES ('x');
CREATE TEMP TABLE kept (id int PRIMARY KEY, n int CHECK (n > 0));
INSERT INTO kept VALUES (1, 1), (1, 2);
INSERT INTO kept VALUES (2, -1);
DO $$ BEGIN RAISE WARNING 'warned' USING DETAIL = 'a detail', HINT = 'a hint'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'raised' USING DETAIL = 'why', HINT = 'what to do'; END $$;
DO $$ BEGIN EXECUTE 'SELECT nope_at_all'; END $$;
DO $$ BEGIN RAISE INFO 'of
two lines'; END $$;
PREPARE by_id (int) AS SELECT name FROM people WHERE id = $1;
EXECUTE by_id (1);
BEGIN;
SELECT 1/0;
SELECT 1;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 5);
FETCH 2 FROM c;
MOVE 1 FROM c;
CLOSE c;
COMMIT;
DROP TABLE IF EXISTS never_there;
SELECT 1 AS left, 'right' AS right \\; SELECT 1/0 \\; SELECT 'not reached';
VALUES (1.5, 'x'), (22.75, NULL);
TABLE people;
TRUNCATE people;
";

struct Printed {
    stdout: String,
    stderr: String,
}

/// Runs the script; each statement is echoed as it is sent.
fn psql(endpoint: &Endpoint, scratch: &Scratch) -> Printed {
    let script = scratch.write("script.sql", SCRIPT);
    let mut command = tools::client("psql");
    endpoint.give_to(&mut command);
    command.args(["-X", "-e", "-P", "pager=off", "-f"]).arg(script);
    command.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C.UTF-8");
    let output = output(&mut command);
    let of = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Printed { stdout: of(output.stdout), stderr: of(output.stderr) }
}

/// What psql told of its script, without the place in it.
fn told_by(stderr: &str) -> String {
    let lines = stderr.lines().map(|line| match line.strip_prefix("psql:") {
        Some(line) => line.splitn(3, ':').nth(2).expect("a file, a line").trim_start(),
        None => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn moments(weir: &Weir, id: &str, more: &[&str]) -> Vec<Value> {
    let told = run(&mut weir.command(&[&["replay", id, "--json"], more].concat()));
    told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(moments: &[Value], streams: &[&str]) -> String {
    let of_streams = moments
        .iter()
        .filter(|moment| moment["stream"].as_str().is_some_and(|stream| streams.contains(&stream)));
    of_streams.map(|moment| moment["text"].as_str().expect("a text")).collect()
}

/// The session with such a command.
fn session_with(weir: &mut Weir, part: &str) -> String {
    text(&weir.lake().commands_with(part)[0], "session_id")
}

#[test]
fn a_session_replays_to_what_psql_printed() {
    let database = Postgres::shared().database();
    let mut weir = Spec::new(&database).start();
    let scratch = Scratch::new("replay");
    let direct = psql(&database.endpoint(), &scratch);
    let through = psql(&weir.endpoint(), &scratch);
    assert_eq!(through.stdout, direct.stdout, "psql prints through weir what it prints directly");
    let id = session_with(&mut weir, "CREATE TEMP TABLE people");
    let moments = moments(&weir, &id, &[]);
    assert_eq!(texts(&moments, &["input", "output"]), direct.stdout);
    let told = texts(&moments, &["error", "notice"]);
    assert!(told.contains("ERROR:  division by zero\n"), "{told}");
    assert!(told.contains("NOTICE:  noticed\n") && told.contains("\nLINE 2: "), "{told}");
    assert_eq!(told, told_by(&direct.stderr));
    assert_eq!(texts(&moments, &["weir"]), "");
    // On a terminal the streams are one, in their order.
    let told = run(&mut weir.command(&["replay", &id]));
    assert_eq!(told, texts(&moments, &["input", "output", "error", "notice", "weir"]));
    let at: Vec<&str> = moments.iter().filter_map(|moment| moment["at"].as_str()).collect();
    assert!(at.is_sorted(), "{at:?}");
}

#[test]
fn a_cast_holds_the_session() {
    let mut weir = Spec::new(&Postgres::shared().database()).start();
    let scratch = Scratch::new("cast");
    psql(&weir.endpoint(), &scratch);
    let id = session_with(&mut weir, "CREATE TEMP TABLE people");
    let told = run(&mut weir.command(&["replay", &id]));
    for version in ["2", "3"] {
        let file = scratch.join("session.cast");
        let path = file.to_str().expect("UTF-8");
        run(&mut weir.command(&["replay", &id, "--cast", path, "--cast-version", version]));
        let cast = std::fs::read_to_string(&file).expect("a cast");
        let mut lines = cast.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let header: Value = lines.next().expect("a header");
        assert_eq!(header["version"].to_string(), version);
        let shown: String =
            lines.map(|event| event[2].as_str().expect("text").to_owned()).collect();
        assert_eq!(shown.replace("\r\n", "\n"), told);
    }
}

#[test]
fn what_is_not_in_the_record_is_said() {
    let spec = Spec::new(&Postgres::shared().database());
    let mut weir = spec.start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("SELECT repeat('x', 100) AS long_one FROM generate_series(1, 30000)");
    raw.send(&[extended("SELECT $1::text AS told", &[Some("a value")]), sync()].concat());
    raw.read_ready(1);
    raw.send(&query("SELECT pg_sleep(0.01)"));
    raw.read_ready(1);
    drop(raw);
    let id = session_with(&mut weir, "long_one");
    let told = run(&mut weir.command(&["replay", &id]));
    assert!(told.contains("rows, the rest was not captured)"), "{}", &told[told.len() - 900..]);
    assert!(told.contains("bytes of this answer were captured"));
    assert!(told.contains("it ended with SELECT 30000"));
    assert!(told.contains("-- weir: with $1 = \"a value\""));
    let later = output(&mut weir.command(&["replay", &id, "--json", "--at", "10m"]));
    assert_eq!(later.status.code(), Some(5), "nothing is there");
    assert!(later.stdout.is_empty());
    for speed in ["0", "1e-300", "10001", "nan", "inf"] {
        let refused = output(&mut weir.command(&["replay", &id, "--speed", speed]));
        assert_eq!(refused.status.code(), Some(2), "{speed}");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("is not between 0.01 and 10000"), "{told}");
    }
}
