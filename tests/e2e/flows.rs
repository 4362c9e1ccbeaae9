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
CREATE VIEW samples AS SELECT tablename, attname, most_common_vals::text AS vals,
  histogram_bounds::text AS bounds FROM pg_stats;
CREATE TABLE upper_ (id int PRIMARY KEY);
CREATE TABLE mid (email text PRIMARY KEY, up int REFERENCES upper_ ON DELETE CASCADE);
CREATE TABLE leaf (e text REFERENCES mid (email), f text REFERENCES mid (email)
  DEFERRABLE INITIALLY DEFERRED);
INSERT INTO upper_ VALUES (1), (2);
INSERT INTO mid VALUES ('canary-7f3a', 1), ('canary-7f3a-later', 2);
INSERT INTO leaf VALUES ('canary-7f3a', NULL), (NULL, 'canary-7f3a-later');
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT CREATE ON SCHEMA public TO app;
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

fn no_road_shows_a_value(server: &Postgres) {
    let (_database, weir) = start(server);
    let mut raw = Raw::login(&weir.endpoint());
    for text in [
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
        "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'people'",
        "SELECT * FROM samples WHERE tablename = 'people'",
        "COPY samples TO STDOUT",
        "COPY (SELECT * FROM pg_stats) TO STDOUT",
        "DELETE FROM upper_ WHERE id = 1",
        "BEGIN; DELETE FROM upper_ WHERE id = 2; COMMIT",
        "PREPARE q AS SELECT email FROM people; CREATE TEMP TABLE t AS EXECUTE q; TABLE t",
    ] {
        let answers = raw.query(text);
        assert!(!holds_value(&answers), "{text}: {answers:?}");
        raw.query("ROLLBACK");
    }
    raw.rows("PREPARE p AS SELECT email FROM people");
    for text in
        ["CREATE TEMP TABLE t AS EXECUTE p", "EXPLAIN ANALYZE CREATE TEMP TABLE u AS EXECUTE p"]
    {
        assert_eq!(raw.fails(text), "42501", "{text}");
    }
}

fn the_rest_is_answered(server: &Postgres) {
    let (_database, weir) = start(server);
    let mut raw = Raw::login(&weir.endpoint());
    let rows = raw.rows("SELECT id, twice, twice + 1 FROM people WHERE id = 7");
    assert_eq!(rows, [["7", "14", "15"].map(|it| Some(it.to_owned()))]);
    let copied = raw.query("COPY people TO STDOUT");
    assert_eq!(kinds(&copied).matches('d').count(), 300, "{:?}", sqlstate(&copied));
    let stats = "SELECT attname, n_distinct FROM pg_stats WHERE attname = 'twice'";
    assert_eq!(raw.rows(stats)[0][0].as_deref(), Some("twice"));
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
fn what_is_beside_masked_values_is_answered() {
    the_rest_is_answered(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        the_rest_is_answered(server);
    }
}
