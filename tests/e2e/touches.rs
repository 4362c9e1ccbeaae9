//! Denials and holds of a table, gone around under every other name that the server has for its
//! rows: each is refused, and what stands beside is not.

use crate::support::{Database, Postgres, Raw, Spec, Weir};

const TABLES: &str = "
CREATE SCHEMA part;
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE part.events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE tenants (id serial PRIMARY KEY);
CREATE TABLE customers (id serial PRIMARY KEY, tenant int REFERENCES tenants, name text);
CREATE TABLE orders (id int, customer int REFERENCES customers);
CREATE VIEW names AS SELECT id, name FROM customers;
CREATE VIEW short AS SELECT name FROM names;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM customers;
CREATE TABLE beside (id int PRIMARY KEY, at int);
CREATE VIEW glance AS SELECT id FROM beside;
CREATE TYPE mood AS ENUM ('good');
CREATE SEQUENCE numbers;
GRANT CREATE ON SCHEMA public TO app;
ALTER SCHEMA part OWNER TO app;
DO $$ DECLARE r record; BEGIN
  FOR r IN SELECT c.oid::regclass AS it, relkind FROM pg_class c JOIN pg_namespace n
    ON n.oid = relnamespace WHERE nspname IN ('public', 'part')
    AND relkind IN ('r', 'p', 'v', 'm') LOOP
    EXECUTE 'ALTER TABLE ' || r.it || ' OWNER TO app';
  END LOOP; END $$;
ALTER SEQUENCE numbers OWNER TO app;
ALTER TYPE mood OWNER TO app";

const RULES: &str = "
[[rule]]
name = \"all\"
then = \"allow\"
[[rule]]
name = \"no\"
when = { touches = [\"public.customers\", \"public.events\", \"public.child\"] }
then = { deny = \"hands off\" }
[[rule]]
name = \"orders\"
when = { commands = [\"write\", \"unbounded-write\"], touches = [\"*.orders\"] }
then = { deny = \"orders are looked at\" }
";

fn start(server: &Postgres) -> (Database, Weir, Raw) {
    let database = server.database();
    database.sql(TABLES);
    let weir = Spec::new(&database).rules(RULES).start();
    let raw = Raw::login(&weir.endpoint());
    (database, weir, raw)
}

fn check(server: &Postgres) {
    let (_database, _weir, mut raw) = start(server);
    for sql in [
        "SELECT * FROM part.events_1",
        "DELETE FROM part.events_1 WHERE id = 1",
        "DELETE FROM events_2 WHERE id = 1",
        "TRUNCATE events_2",
        "ALTER TABLE events_2 ADD COLUMN x int",
        "DROP TABLE events_2",
        "DROP SCHEMA part CASCADE",
        "REINDEX SCHEMA part",
        "SELECT * FROM parent",
        "DELETE FROM parent",
        "SELECT id FROM names",
        "UPDATE names SET name = 'z' WHERE id = 1",
        "INSERT INTO names (id) VALUES (777)",
        "SELECT * FROM short",
        "COPY names TO STDOUT",
        "PREPARE q AS SELECT * FROM short",
        "DECLARE c CURSOR FOR SELECT * FROM short",
        "SELECT count FROM counted",
        "REFRESH MATERIALIZED VIEW counted",
        "REINDEX INDEX customers_pkey",
        "ALTER INDEX customers_pkey SET (fillfactor = 80)",
        "DROP INDEX customers_pkey",
        "SELECT * FROM customers_id_seq",
        "ALTER SEQUENCE customers_id_seq RESTART",
        "ALTER SEQUENCE numbers OWNED BY customers.id",
        "TRUNCATE tenants CASCADE",
        "DROP TABLE tenants CASCADE",
        "ALTER TABLE tenants DROP CONSTRAINT tenants_pkey CASCADE",
        "DROP TYPE mood CASCADE",
    ] {
        assert_eq!(raw.fails(sql), "42501", "{sql}");
    }
    for sql in [
        "SELECT * FROM beside",
        "SELECT * FROM glance",
        "INSERT INTO beside VALUES (1, 1)",
        "DELETE FROM tenants WHERE id = 1",
        "SELECT * FROM orders",
        "SELECT * FROM tenants_id_seq",
        "REINDEX INDEX beside_pkey",
        "TRUNCATE beside CASCADE",
        "DROP TYPE mood",
        "CREATE TABLE fresh (id int)",
        "INSERT INTO fresh VALUES (1)",
        "DROP TABLE fresh",
        "DROP TABLE beside CASCADE",
        "SELECT relname FROM pg_class WHERE oid = 1",
    ] {
        let answers = raw.query(sql);
        assert!(answers.iter().all(|it| it.kind != b'E'), "{sql}: {answers:?}");
    }
    // The server's own words.
    assert_eq!(raw.fails("SELECT * FROM nobody"), "42P01");
    assert_eq!(raw.fails("TRUNCATE tenants"), "0A000");
}

#[test]
fn a_denial_of_a_table_means_it_by_every_name() {
    check(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        check(server);
    }
}

/// What somebody makes beside weir, or through it, is known when it is first named.
#[test]
fn a_denial_of_a_table_means_what_was_made_a_moment_ago() {
    let (database, weir, mut raw) = start(Postgres::shared());
    database.sql("CREATE VIEW late AS SELECT id FROM orders; GRANT ALL ON late TO app");
    assert_eq!(raw.fails("DELETE FROM late WHERE id = 1"), "42501");
    raw.rows("SELECT * FROM late");
    let mut other = Raw::login(&weir.endpoint());
    for sql in ["BEGIN", "CREATE VIEW mine AS SELECT id FROM orders", "SELECT * FROM mine"] {
        let answers = other.query(sql);
        assert!(answers.iter().all(|it| it.kind != b'E'), "{sql}: {answers:?}");
    }
    assert_eq!(other.fails("DELETE FROM mine WHERE id = 1"), "42501");
}

const ALLOWED: &str = "
[[rule]]
name = \"session\"
when = { commands = [\"session\", \"transaction\"] }
then = \"allow\"
[[rule]]
name = \"one table\"
when = { commands = [\"read\"], touches = [\"public.mine\", \"public.single\"] }
then = \"allow\"
";

#[test]
fn an_allowance_is_of_its_schema_on_any_search_path() {
    let database = Postgres::shared().database();
    database.sql(
        "CREATE SCHEMA other; CREATE TABLE mine (id int); CREATE TABLE single (id int);
         CREATE TABLE other.mine (id int); CREATE TABLE other.hidden (id int);
         GRANT USAGE ON SCHEMA other TO app;
         GRANT ALL ON ALL TABLES IN SCHEMA public, other TO app",
    );
    let weir = Spec::new(&database).rules(ALLOWED).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.rows("SELECT * FROM mine");
    assert_eq!(raw.fails("SELECT * FROM other.mine"), "42501");
    // In one text with what it means something else by.
    for set in [
        "SET search_path = other",
        "SET SCHEMA 'other'",
        "SET LOCAL search_path = other",
        "SELECT set_config('search_path', 'other', false)",
        "BEGIN; SET search_path TO 'other'",
    ] {
        for then in [
            "SELECT * FROM mine",
            "PREPARE z AS SELECT * FROM mine; EXECUTE z",
            "COPY mine TO STDOUT",
            "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM mine; FETCH ALL FROM c",
        ] {
            let mut raw = Raw::login(&weir.endpoint());
            assert_eq!(raw.fails(&format!("{set}; {then}")), "42501", "{set}; {then}");
            assert_eq!(raw.fails(&format!("{set}; {then}; RESET search_path")), "42501", "{set}");
            raw.rows("SELECT * FROM mine");
        }
    }
    for set in ["SET search_path = other, public", "BEGIN; SET LOCAL search_path = other, public"] {
        raw.query(set);
        assert_eq!(raw.fails("SELECT * FROM mine"), "42501", "{set}");
        raw.query("ROLLBACK");
        raw.rows("SELECT * FROM single");
        raw.rows("SELECT * FROM public.mine");
    }
}
