//! Masked values by roads that no column of an answer shows: computed columns, samples, keys,
//! tables that are made of what a name stands for.

use crate::support::raw::{Message, Raw, kinds, sqlstate};
use crate::support::{Database, Postgres, Spec, Weir};

const VALUE: &str = "canary-7f3a";

const SCHEMA: &str = "
CREATE TABLE people (id int PRIMARY KEY, email text,
  loud text GENERATED ALWAYS AS (upper(email)) STORED,
  twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO people SELECT n, 'canary-7f3a' || n FROM generate_series(1, 300) n;
CREATE VIEW louder AS SELECT id, loud, loud AS renamed FROM people;
CREATE VIEW tidy AS SELECT id AS number, 1 AS one, id::text || 'x' AS label FROM people;
CREATE VIEW tidier AS SELECT number AS n, upper(label) AS l FROM tidy;
CREATE VIEW counted AS SELECT count(*) AS n, now() > '2020-01-01' AS past FROM people;
CREATE VIEW whole AS SELECT id AS number, p::text AS txt FROM people p;
CREATE VIEW asked AS SELECT id AS n, query_to_xml('SELECT email FROM people LIMIT 1', false, false,
  '')::text AS x FROM people WHERE id = 1;
CREATE VIEW samples AS SELECT tablename, attname, most_common_vals::text AS vals,
  histogram_bounds::text AS bounds FROM pg_stats;
CREATE TABLE sink (id int, t text);
INSERT INTO sink VALUES (1, 'x');
CREATE VIEW called AS SELECT id, t AS email FROM sink;
CREATE FUNCTION reads(i int) RETURNS text LANGUAGE sql STABLE
  BEGIN ATOMIC SELECT email FROM people WHERE id = i; END;
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i';
CREATE VIEW by_function AS SELECT reads(1) AS x;
CREATE VIEW by_query AS SELECT query_to_xml('SELECT email FROM people', true, true, '')::text AS x;
CREATE VIEW doubled AS SELECT twice(id) AS n FROM sink;
CREATE TYPE address AS (street text, email text);
CREATE TABLE houses (id int, a address, many address[]);
INSERT INTO houses VALUES (1, ('s', 'canary-7f3a9'), ARRAY[('s', 'canary-7f3a9')::address]);
CREATE TABLE upper_ (id int PRIMARY KEY);
CREATE TABLE mid (email text PRIMARY KEY, up int REFERENCES upper_ ON DELETE CASCADE);
CREATE TABLE leaf (e text REFERENCES mid (email), f text REFERENCES mid (email)
  DEFERRABLE INITIALLY DEFERRED);
INSERT INTO upper_ VALUES (1), (2);
INSERT INTO mid VALUES ('canary-7f3a', 1), ('canary-7f3a-later', 2);
INSERT INTO leaf VALUES ('canary-7f3a', NULL), (NULL, 'canary-7f3a-later');
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT CREATE ON SCHEMA public TO app;
ALTER TYPE address OWNER TO app;
ALTER TABLE houses OWNER TO app;
ANALYZE";

const MASKS: &str = "[[mask]]\ncolumns = [\"*.*.email\"]\noperator = \"redact\"\n";

fn start(server: &Postgres) -> (Database, Weir) {
    let database = server.database();
    database.sql(SCHEMA);
    let weir = Spec::new(&database).masks(MASKS).start();
    (database, weir)
}

fn holds_value(messages: &[Message]) -> bool {
    let value = [VALUE.to_owned(), VALUE.to_uppercase()];
    let found = |message: &Message| {
        value.iter().any(|it| memchr::memmem::find(&message.body, it.as_bytes()).is_some())
    };
    messages.iter().any(found)
}

/// Texts of which no answer may show a value.
const ROADS: &[&str] = &[
    "SELECT loud FROM people",
    "SELECT * FROM people",
    "SELECT lower(loud), loud || 'x' FROM people",
    "SELECT loud::int FROM people",
    "COPY people TO STDOUT",
    "COPY people (id, email) TO STDOUT",
    "COPY (SELECT loud FROM people) TO STDOUT",
    "SELECT * FROM louder",
    "SELECT renamed FROM louder",
    "SELECT p FROM people p",
    "SELECT number, txt FROM whole",
    "SELECT n, x FROM asked",
    "UPDATE called SET email = (SELECT email FROM people WHERE people.id = 3); TABLE sink",
    "UPDATE called SET email = people.email FROM people WHERE people.id = 3; TABLE sink",
    "ALTER TABLE people ALTER loud DROP EXPRESSION; SELECT loud FROM people",
    "WITH u AS (UPDATE people SET id = id WHERE id = 1 RETURNING email AS id) TABLE u",
    "WITH u AS (UPDATE people SET id = id WHERE id = 1 RETURNING email AS x),
       i AS (INSERT INTO sink (t) SELECT x FROM u RETURNING t) TABLE i",
    "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'people'",
    "SELECT * FROM samples WHERE tablename = 'people'",
    "COPY samples TO STDOUT",
    "COPY (SELECT * FROM pg_stats) TO STDOUT",
    "SELECT x FROM by_function",
    "SELECT x FROM by_query",
    "INSERT INTO sink (t) SELECT x FROM by_function RETURNING t",
    "SELECT (a).email FROM houses",
    "SELECT a, row_to_json(a), many FROM houses",
    "SELECT u.email FROM houses, unnest(many) u",
    "BEGIN; ALTER TYPE address RENAME ATTRIBUTE email TO e; SELECT (a).e FROM houses",
    "ALTER TYPE address RENAME ATTRIBUTE email TO e CASCADE",
    "SELECT (a).e FROM houses",
    "ALTER TABLE houses ALTER a TYPE text",
    "ALTER TABLE houses ALTER a TYPE text USING (a).email",
    "ALTER TABLE houses ALTER many TYPE text[] USING many::text[]",
    "SELECT a, a::text, many, many::text FROM houses",
    "SELECT *, upper(email) FROM people",
    "SELECT p.*, q.x FROM people p, (SELECT email AS x FROM people) q WHERE p.id = 1",
    "CREATE TABLE k1 AS SELECT email AS e FROM people; TABLE k1",
    "CREATE TABLE k2 AS SELECT p.* FROM people p; SELECT loud FROM k2",
    "SELECT upper(email) AS e INTO k3 FROM people; TABLE k3",
    "CREATE TABLE k4 AS SELECT e FROM (SELECT email AS e FROM people) x; TABLE k4",
    "CREATE TABLE k5 AS SELECT p::text AS e FROM people p; TABLE k5",
    "INSERT INTO sink (t, id) SELECT email, id FROM people RETURNING t",
    "INSERT INTO sink SELECT id, email FROM people RETURNING t",
    "INSERT INTO sink (id, t) SELECT id, p FROM people p RETURNING t",
    "INSERT INTO people (id, email) SELECT 7000, 'x' ON CONFLICT (id) DO NOTHING;
       INSERT INTO sink (t) SELECT email FROM people WHERE id = 1 RETURNING t",
    "DELETE FROM upper_ WHERE id = 1",
    "BEGIN; DELETE FROM upper_ WHERE id = 2; COMMIT",
    "PREPARE q AS SELECT email FROM people; CREATE TEMP TABLE t AS EXECUTE q; TABLE t",
];

fn no_road_shows_a_value(server: &Postgres) {
    let (_database, weir) = start(server);
    let mut raw = Raw::login(&weir.endpoint());
    for text in ROADS {
        let answers = raw.query(text);
        assert!(!holds_value(&answers), "{text}: {answers:?}");
        raw.query("ROLLBACK");
    }
    for (number, view) in [
        "AS SELECT email AS e FROM people",
        "(e) AS SELECT email FROM people",
        "AS SELECT id::text AS email, email AS id FROM people",
        "AS SELECT t FROM sink UNION SELECT email FROM people",
        "AS SELECT * FROM (SELECT email AS e FROM people) x",
        "AS SELECT * FROM people",
        "AS SELECT id, email FROM people WHERE email <> ''",
    ]
    .iter()
    .enumerate()
    {
        raw.query(&format!("CREATE VIEW w{number} {view}"));
        let answers = raw.query(&format!("TABLE w{number}"));
        assert!(!holds_value(&answers), "{view}: {answers:?}");
    }
    raw.query("CREATE VIEW changing AS SELECT id, id::text AS x FROM people");
    raw.rows("SELECT x FROM changing");
    let again = "CREATE OR REPLACE VIEW changing AS SELECT id, email AS x FROM people";
    raw.query(&format!("DO $$ BEGIN EXECUTE '{again}'; END $$"));
    assert!(!holds_value(&raw.query("SELECT x FROM changing")));
    raw.query("CREATE OR REPLACE VIEW changing AS SELECT id, id::text AS x FROM people");
    raw.rows("SELECT x FROM changing");
    raw.query("BEGIN");
    raw.query(&format!("DO $$ BEGIN EXECUTE '{again}'; END $$"));
    raw.query("COMMIT; BEGIN");
    assert!(!holds_value(&raw.query("SELECT x FROM changing")));
    raw.query("ROLLBACK");
    raw.rows("PREPARE p AS SELECT email FROM people");
    for text in
        ["CREATE TEMP TABLE t AS EXECUTE p", "EXPLAIN ANALYZE CREATE TEMP TABLE u AS EXECUTE p"]
    {
        assert_eq!(raw.fails(text), "42501", "{text}");
    }
}

/// What was made at the target a moment ago, and nobody has read its catalog since.
fn no_road_from_what_is_new(server: &Postgres) {
    let (database, weir) = start(server);
    let mut raw = Raw::login(&weir.endpoint());
    raw.rows("SELECT 1");
    let roads = [
        "INSERT INTO sink (t) SELECT name FROM $v RETURNING t",
        "UPDATE sink SET t = name FROM $v WHERE sink.id = 1 RETURNING t",
        "CREATE TABLE kept_$v AS SELECT name FROM $v",
        "SELECT set_config('a.b', name, false) FROM $v",
    ];
    for (number, road) in roads.iter().enumerate() {
        let view = format!("view{number}");
        database.sql(&format!(
            "CREATE TABLE new{number} AS SELECT id, email FROM people LIMIT 2;
             CREATE VIEW {view} AS SELECT id, email AS name FROM new{number};
             GRANT ALL ON new{number}, {view} TO app"
        ));
        let road = road.replace("$v", &view);
        assert_eq!(raw.fails(&road), "42501", "{road}");
        assert!(!holds_value(&raw.query("SELECT current_setting('a.b', true)")));
    }
}

fn the_rest_is_answered(server: &Postgres) {
    let (_database, weir) = start(server);
    let mut raw = Raw::login(&weir.endpoint());
    let rows = raw.rows("SELECT id, twice, twice + 1 FROM people WHERE id = 7");
    assert_eq!(rows, [["7", "14", "15"].map(|it| Some(it.to_owned()))]);
    let beside =
        "SELECT 1 + 1, p.*, upper(id || 'x'), row_number() OVER () FROM people p WHERE id = 7";
    let rows = raw.rows(beside);
    let told = [0, 5, 6].map(|at| rows[0][at].as_deref());
    assert_eq!(told, [Some("2"), Some("7X"), Some("1")], "{rows:?}");
    assert_eq!(raw.rows("SELECT n FROM doubled WHERE n = 2").len(), 1);
    let copied = raw.query("COPY people TO STDOUT");
    assert_eq!(kinds(&copied).matches('d').count(), 300, "{:?}", sqlstate(&copied));
    // Of a table without masks, and of clean columns: there is no detector either.
    for sql in ["COPY upper_ TO STDOUT", "COPY mid (up) TO STDOUT"] {
        let copied = raw.query(sql);
        assert_eq!(kinds(&copied), "HddcCZ", "{sql}: {:?}", sqlstate(&copied));
    }
    let stats = "SELECT attname, n_distinct FROM pg_stats WHERE attname = 'twice'";
    assert_eq!(raw.rows(stats)[0][0].as_deref(), Some("twice"));
    let text = |it: &str| Some(it.to_owned());
    let tidy = raw.rows("SELECT number, one, label FROM tidy WHERE number = 7");
    assert_eq!(tidy, [[text("7"), text("1"), text("7x")]]);
    let tidier = raw.rows("SELECT * FROM tidier WHERE n = 7");
    assert_eq!(tidier, [[text("7"), text("7X")]]);
    assert_eq!(raw.rows("SELECT * FROM counted"), [[text("300"), text("t")]]);
    let returned =
        "WITH u AS (UPDATE people SET id = id WHERE id = 1 RETURNING email AS x) TABLE u";
    // NULL, or what the column's mask makes of it.
    let is_hidden = |rows: Vec<Vec<Option<String>>>| {
        rows.len() == 1 && rows[0].iter().all(|it| it.as_deref().is_none_or(|it| it == "***"))
    };
    assert!(is_hidden(raw.rows(returned)));
    let version = server.sql("postgres", "SHOW server_version_num");
    if version.trim().parse::<u32>().expect("a number") >= 180_000 {
        let merged = "WITH m AS (MERGE INTO people t USING (SELECT 1 AS a) s ON t.id = s.a \
                      WHEN MATCHED THEN UPDATE SET id = s.a RETURNING old.email AS x) TABLE m";
        assert!(is_hidden(raw.rows(merged)));
        let renamed = "MERGE INTO people t USING (SELECT a FROM people c (a, b)) s ON t.id = s.a \
                       AND s.a = 2 WHEN MATCHED THEN DO NOTHING RETURNING t.email";
        assert!(!kinds(&raw.query(renamed)).contains('E'));
    }
    for sql in [
        "CREATE VIEW seen AS SELECT id, email FROM people WHERE email IS NOT NULL",
        "CREATE VIEW all_seen AS SELECT * FROM people",
        "CREATE TABLE made AS SELECT s.* FROM sink s JOIN people p ON p.id = s.id",
        "CREATE TABLE numbers AS SELECT id, count(*) FROM people WHERE email <> '' GROUP BY id",
        "INSERT INTO people (id, email) SELECT 900, 'x' || g FROM generate_series(1, 1) g",
        "INSERT INTO people (id, email) SELECT 901, email FROM people WHERE id = 1",
        "CREATE TABLE keyed (email text REFERENCES mid (email))",
        "ALTER TABLE keyed RENAME CONSTRAINT keyed_email_fkey TO other",
        "CREATE INDEX by_email ON keyed (email)",
        "ALTER INDEX by_email RENAME TO by_email_2",
        "ALTER TABLE keyed RENAME TO keyed_2",
        "ALTER TYPE address RENAME ATTRIBUTE street TO road",
        "ALTER TYPE address RENAME TO place",
        "ALTER TABLE houses ALTER id TYPE bigint",
        "ALTER TABLE keyed_2 ALTER email TYPE varchar(200)",
        "CREATE TYPE mood AS ENUM ('ok')",
        "ALTER TYPE mood RENAME TO temper",
    ] {
        let answers = raw.query(sql);
        let error = answers.iter().find(|message| message.kind == b'E');
        let code = error.map(|error| error.field(b'C'));
        assert_eq!(code, None, "{sql}: {error:?}");
    }
    let nothing = raw.query("FETCH 1 FROM nothing");
    let error = nothing.iter().find(|message| message.kind == b'E').expect("an error");
    assert_eq!(error.field(b'M'), "cursor \"nothing\" does not exist");
    raw.rows("SELECT 1");
}

#[test]
fn masked_values_come_by_no_other_road() {
    no_road_shows_a_value(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        no_road_shows_a_value(server);
    }
}

#[test]
fn masked_values_come_by_no_road_that_is_new() {
    no_road_from_what_is_new(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        no_road_from_what_is_new(server);
    }
}

#[test]
fn what_is_beside_masked_values_is_answered() {
    the_rest_is_answered(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        the_rest_is_answered(server);
    }
}
