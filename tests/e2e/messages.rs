//! Messages, settings, locks and other tables of a session with masks: no value of a masked column
//! gets there, and what holds none passes as the server words it.

use crate::support::raw::{Message, Raw, bind, execute, parse, query, sqlstate, sync};
use crate::support::{Database, Postgres, Spec, Weir};

/// Stands in every row, also as digits.
const SSN: &str = "712345678";

const MASKS: &str = "
[[mask]]
columns = [\"public.customers.ssn\", \"*.*.email\"]
operator = \"partial\"
except = { groups = [\"pii-readers\"] }
";

const OBJECTS: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text NOT NULL, email text,
  note text CHECK (length(note) < 50));
INSERT INTO customers SELECT n, 'customer ' || n, 'SSN', 'a@example.com', 'n'
  FROM generate_series(1, 3) n;
CREATE TABLE orders (id int PRIMARY KEY, cents int NOT NULL, customer int REFERENCES customers);
INSERT INTO orders SELECT n, n, 1 FROM generate_series(1, 3) n;
CREATE TABLE log (t text);
CREATE TABLE old_customers (id int, ssn text, email text);
CREATE VIEW tax AS SELECT id, ssn AS tax FROM customers;
CREATE VIEW picky AS SELECT id FROM customers WHERE ssn::int < 5 OR ssn::regclass IS NULL;
CREATE FUNCTION stash() RETURNS text LANGUAGE sql AS
  $$SELECT set_config('application_name', (SELECT ssn FROM customers LIMIT 1), false)$$;
CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS
  $$begin raise notice 'old %', (SELECT ssn FROM customers LIMIT 1); return new; end$$;
CREATE TRIGGER loud BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION loud();
CREATE TABLE hidden (a int);
CREATE DOMAIN code AS text;
CREATE TABLE coded (id int, email code);
INSERT INTO coded VALUES (1, 'xSSN');
ALTER DOMAIN code OWNER TO app;
ALTER TABLE coded OWNER TO app;
CREATE SEQUENCE sq;
ALTER TABLE customers OWNER TO app;
ALTER TABLE old_customers OWNER TO app;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
REVOKE ALL ON hidden FROM app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
GRANT ALL ON SCHEMA public TO app";

fn setup(server: &Postgres) -> (Database, Weir) {
    let database = server.database();
    database.sql(&OBJECTS.replace("SSN", SSN));
    let weir = Spec::new(&database).masks(MASKS).user("petra", &["pii-readers"]).start();
    (database, weir)
}

fn both(check: fn(&Postgres)) {
    check(Postgres::shared());
    if let Some(server) = Postgres::newest() {
        check(server);
    }
}

/// Everything that is heard of a text, by the simple and by the extended protocol.
fn heard(raw: &mut Raw, sql: &str) -> Vec<Message> {
    let mut messages = raw.query(sql);
    if !sql.contains(';') {
        raw.send(&[parse("", sql), bind("", "", &[]), execute("", 0), sync()].concat());
        messages.extend(raw.read_ready(1));
    }
    messages
}

fn tells(messages: &[Message]) -> bool {
    let holds = |body: &[u8]| memchr::memmem::find(body, &SSN.as_bytes()[..6]).is_some();
    messages.iter().any(|message| holds(&message.body))
}

/// Errors that quote what they were given.
const QUOTING: [&str; 36] = [
    "ALTER DOMAIN code ADD CONSTRAINT z CHECK (value::int > 0)",
    "ALTER DOMAIN code ADD CONSTRAINT z CHECK (value::regclass IS NOT NULL)",
    "SELECT ssn::regclass FROM customers",
    "SELECT ssn::regproc FROM customers",
    "SELECT ('x' || ssn)::regprocedure FROM customers",
    "SELECT ('x' || ssn)::regtype FROM customers",
    "SELECT ('1' || ssn || ' x y')::regtype FROM customers",
    "SELECT ('x' || ssn)::regrole FROM customers",
    "SELECT ('x' || ssn)::regnamespace FROM customers",
    "SELECT ('x' || ssn)::regconfig FROM customers",
    "SELECT ('x' || ssn)::regcollation FROM customers",
    "SELECT ('x' || ssn)::regoper FROM customers",
    "SELECT ('x' || ssn)::int FROM customers",
    "SELECT ('x' || ssn)::date FROM customers",
    "SELECT ('x' || ssn)::json FROM customers",
    "SELECT ('x' || ssn)::uuid FROM customers",
    "SELECT (ssn || ' ' || ssn)::tsquery FROM customers",
    "SELECT to_date(ssn, 'Day') FROM customers",
    "SELECT has_table_privilege('x' || ssn, 'select') FROM customers",
    "SELECT has_table_privilege('orders', ssn) FROM customers",
    "SELECT has_column_privilege('customers', ssn, 'select') FROM customers",
    "SELECT pg_has_role('x' || ssn, 'usage') FROM customers",
    "SELECT current_setting('x' || ssn) FROM customers",
    "SELECT pg_get_serial_sequence('x' || ssn, 'x') FROM customers",
    "SELECT currval('x' || ssn) FROM customers",
    "SELECT format('%' || ssn) FROM customers",
    "SELECT 1 FROM tax WHERE tax::regclass IS NULL",
    "SELECT id FROM picky",
    "DELETE FROM orders WHERE id IN (SELECT 1 FROM customers WHERE ssn::regclass IS NULL)",
    "DELETE FROM orders USING customers c WHERE ('x' || c.ssn)::regtype IS NULL AND orders.id = 1",
    "UPDATE customers SET id = NULL WHERE id = 1",
    "UPDATE customers SET note = repeat('x', 90) WHERE id = 1",
    "BEGIN; SELECT id, ssn FROM customers; SELECT ssn::regclass FROM customers; COMMIT",
    "INSERT INTO log VALUES ('x')",
    "DO $$ BEGIN PERFORM ssn::regclass FROM customers; END $$",
    "EXPLAIN ANALYZE SELECT ssn::regclass FROM customers",
];

#[test]
fn no_message_quotes_a_masked_value() {
    both(|server| {
        let (database, weir) = setup(server);
        let clear = weir.endpoint().with_user("petra", crate::support::weir::USER_PASSWORD);
        let (mut masked, mut clear) = (Raw::login(&weir.endpoint()), Raw::login(&clear));
        let mut quoted = 0;
        for sql in QUOTING {
            quoted += usize::from(tells(&heard(&mut clear, sql)));
            clear.query("ROLLBACK");
            let messages = heard(&mut masked, sql);
            assert!(!tells(&messages), "{sql}: {messages:?}");
            masked.query("ROLLBACK");
        }
        assert!(quoted > 25, "only {quoted} of these quote anything");
        drop(database);
    });
}

/// Statements that compute a cursor WITH HOLD, as they end its transaction.
const COMPUTING: [&str; 4] = ["COMMIT", "END", "COMMIT AND CHAIN", "SELECT 1; COMMIT"];

#[test]
fn no_end_of_a_transaction_quotes_a_masked_value() {
    both(|server| {
        let (database, weir) = setup(server);
        let clear = weir.endpoint().with_user("petra", crate::support::weir::USER_PASSWORD);
        let (mut masked, mut clear) = (Raw::login(&weir.endpoint()), Raw::login(&clear));
        let held = "DECLARE c CURSOR WITH HOLD FOR SELECT ssn::regclass FROM customers";
        let told = |raw: &mut Raw, end: &[u8], answers: usize| {
            raw.query("ROLLBACK");
            raw.query("BEGIN");
            raw.query(held);
            raw.send(end);
            tells(&raw.read_ready(answers))
        };
        for end in COMPUTING {
            let simple = crate::support::raw::query(end);
            assert!(told(&mut clear, &simple, 1), "{end}");
            assert!(!told(&mut masked, &simple, 1), "{end}");
            if !end.contains(';') {
                let parts = [parse("", end), bind("", "", &[]), execute("", 0), sync()].concat();
                assert!(told(&mut clear, &parts, 1), "{end}");
                assert!(!told(&mut masked, &parts, 1), "{end}");
            }
        }
        for raw in [&mut clear, &mut masked] {
            raw.query("ROLLBACK");
            raw.send(&[parse("", held), bind("", "", &[]), execute("", 0), sync()].concat());
        }
        assert!(tells(&clear.read_ready(1)));
        assert!(!tells(&masked.read_ready(1)), "at a Sync");
        drop(database);
    });
}

/// Errors that say what the client said itself, or what its statement is about.
const PLAIN: [&str; 33] = [
    "SELECT 1/0",
    "SELECT 'a'::int",
    "SELECT lastval()",
    "SELECT * FROM nowhere",
    "SELECT nothing FROM customers",
    "SELECT ssn, nothing FROM customers",
    "SELECT * FROM customers WHERE id = 'x'",
    "SELECT ssn FROM customers WHERE id = 1 ORDER BY 9",
    "SELECT max(ssn) FROM customers GROUP BY nothing",
    "SELECT ssn + 1 FROM customers",
    "SELECT 'nowhere'::regclass FROM orders",
    "SELECT cents / 0 FROM orders",
    "INSERT INTO orders VALUES (1, 1)",
    "INSERT INTO orders VALUES (9, NULL)",
    "INSERT INTO orders VALUES (9, 9, 999)",
    "DROP TABLE nowhere",
    "SET nonsense = 1",
    "ALTER TABLE orders RENAME cents TO euros",
    "SELECT customers.ssn, hidden.a FROM customers, hidden",
    "ALTER TABLE customers DROP CONSTRAINT nosuch",
    "ALTER TABLE customers DROP COLUMN nosuch",
    "ALTER TABLE customers ALTER nosuch SET NOT NULL",
    "ALTER TABLE customers ADD COLUMN ssn text",
    "ALTER TABLE customers ADD CONSTRAINT customers_note_check CHECK (ssn <> '')",
    "CREATE INDEX customers_pkey ON customers (ssn)",
    "CREATE INDEX other ON customers (nosuch)",
    "BEGIN; VACUUM customers",
    "VACUUM nosuch",
    "ANALYZE customers (nosuch)",
    "REINDEX TABLE nosuch",
    "REINDEX INDEX customers",
    "EXECUTE nosuch",
    "DEALLOCATE nosuch",
];

/// The same in the simple protocol, where no transaction is open that could have made it.
const MISSING: [&str; 2] = ["COPY nosuch TO STDOUT", "COPY public.nosuch (a) TO STDOUT"];

#[test]
fn messages_that_quote_nothing_pass_as_they_are() {
    both(|server| {
        let (database, weir) = setup(server);
        let mut direct = Raw::login(&database.endpoint());
        let mut masked = Raw::login(&weir.endpoint());
        let said = |messages: Vec<Message>| -> Vec<(String, String, String)> {
            let errors = messages.into_iter().filter(|message| message.kind == b'E');
            errors.map(|it| (it.field(b'C'), it.field(b'M'), it.field(b'D'))).collect()
        };
        for sql in MISSING {
            let expect = said(direct.query(sql));
            assert_eq!((expect.len(), expect), (1, said(masked.query(sql))), "{sql}");
        }
        for sql in PLAIN {
            let (expect, found) = (said(heard(&mut direct, sql)), said(heard(&mut masked, sql)));
            assert_eq!(expect, found, "{sql}");
            assert!(!expect.is_empty(), "{sql}");
            direct.query("ROLLBACK");
            masked.query("ROLLBACK");
        }
    });
}

/// Statements that take a masked column to where it would stay.
const CARRYING: [&str; 32] = [
    "SELECT set_config('app.x', ssn, false) FROM customers",
    "SELECT set_config('application_name', ssn, false) FROM customers",
    "SELECT set_config('TimeZone', '<' || ssn || '>0', false) FROM customers",
    "SELECT pg_advisory_lock(ssn::bigint) FROM customers",
    "SELECT pg_try_advisory_xact_lock(ssn::bigint) FROM customers",
    "SELECT pg_notify('ch', ssn) FROM customers",
    "SELECT setval('sq', ssn::bigint) FROM customers",
    "SELECT lo_from_bytea(0, ssn::bytea) FROM customers",
    "SELECT setseed(ssn::float8 / 1e9) FROM customers",
    "SELECT 1 FROM customers c WHERE pg_advisory_lock(c.ssn::bigint) IS NULL",
    "UPDATE pg_settings SET setting = c.ssn FROM customers c WHERE pg_settings.name = 'app.x'",
    "UPDATE customers SET note = ssn WHERE id = 1 RETURNING note",
    "UPDATE customers SET (note, name) = (SELECT ssn, 'x') WHERE id = 1",
    "UPDATE customers c SET note = c::text WHERE id = 1",
    "UPDATE customers SET email = ssn WHERE id = 1",
    "INSERT INTO log SELECT ssn FROM customers",
    "INSERT INTO log SELECT c::text FROM customers c",
    "INSERT INTO log SELECT x FROM (SELECT ssn AS x FROM customers) y",
    "INSERT INTO log SELECT c FROM customers x (a, b, c)",
    "WITH u AS (UPDATE customers SET id = id WHERE false RETURNING 1) \
     INSERT INTO log SELECT ssn FROM customers RETURNING t",
    "WITH u AS (UPDATE customers SET id = id WHERE false RETURNING 1) \
     INSERT INTO old_customers SELECT id, ssn, email FROM customers",
    "WITH a AS (SELECT ssn AS x FROM customers), b AS (INSERT INTO log SELECT x FROM a) SELECT 1",
    "ALTER TABLE customers ADD COLUMN again text GENERATED ALWAYS AS (ssn) STORED",
    "ALTER TABLE customers ALTER COLUMN note TYPE text USING ssn",
    "ALTER TABLE customers RENAME ssn TO harmless",
    "ALTER TABLE customers RENAME TO harmless",
    "ALTER TABLE customers SET SCHEMA other",
    "ALTER SCHEMA public RENAME TO harmless",
    "CREATE TRIGGER spy BEFORE UPDATE ON customers FOR EACH ROW \
     WHEN (set_config('app.x', new.ssn, false) IS NULL) \
     EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "MERGE INTO log USING customers c ON false WHEN NOT MATCHED THEN INSERT VALUES (c.ssn)",
    "PREPARE p AS INSERT INTO log SELECT ssn FROM customers",
    "EXPLAIN ANALYZE INSERT INTO log SELECT ssn FROM customers",
];

/// Statements that only compare it, or leave it where it is.
const STAYING: [&str; 17] = [
    "UPDATE customers SET note = 'x' WHERE ssn = '1' RETURNING *",
    "UPDATE customers SET email = lower(email), name = upper(name) WHERE id = 1",
    "UPDATE customers SET ssn = '7', email = 'b@example.com' WHERE id = 3",
    "INSERT INTO customers (id, ssn, email) VALUES (4, '1', 'c@example.com') RETURNING id, ssn",
    "INSERT INTO customers (id, ssn) VALUES (4, '2') \
     ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn, note = 'again'",
    "INSERT INTO orders (id, cents) SELECT 10, id FROM customers WHERE email = 'c@example.com'",
    "DELETE FROM orders USING customers c WHERE c.id = orders.customer AND c.email = 'nobody'",
    "SELECT pg_advisory_lock(5), set_config('app.x', 'y', false)",
    "SELECT set_config('app.x', id::text, false) FROM customers LIMIT 1",
    "INSERT INTO orders VALUES (nextval('sq') + 100, 1)",
    "ALTER TABLE old_customers ALTER COLUMN email TYPE varchar USING email::varchar",
    "ALTER TABLE customers RENAME note TO remark",
    "CREATE TEMP TABLE fresh AS SELECT id, name FROM customers; \
     INSERT INTO orders (id, cents) SELECT id + 500, 1 FROM fresh",
    "EXPLAIN INSERT INTO orders (id, cents) SELECT id, 1 FROM customers WHERE ssn = 'x'",
    "EXPLAIN SELECT * FROM customers WHERE ssn = 'x'",
    "CREATE TRIGGER watch BEFORE UPDATE ON customers FOR EACH ROW \
     WHEN (old.ssn IS DISTINCT FROM new.ssn) EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "VACUUM (VERBOSE, ANALYZE) customers",
];

#[test]
fn a_masked_column_flows_into_answers_only() {
    both(|server| {
        let (_database, weir) = setup(server);
        let mut raw = Raw::login(&weir.endpoint());
        for sql in CARRYING {
            for messages in [raw.query(sql), {
                raw.send(&[parse("", sql), bind("", "", &[]), execute("", 0), sync()].concat());
                raw.read_ready(1)
            }] {
                assert_eq!(sqlstate(&messages).as_deref(), Some("42501"), "{sql}: {messages:?}");
                assert!(!tells(&messages), "{sql}");
            }
        }
        for sql in STAYING {
            let messages = raw.query(sql);
            assert_eq!(sqlstate(&messages), None, "{sql}: {messages:?}");
            assert!(!tells(&messages), "{sql}: {messages:?}");
        }
        let plan = raw.rows("EXPLAIN SELECT * FROM customers WHERE ssn = 'x'");
        assert!(plan[0][0].as_deref().is_some_and(|line| line.contains("customers")), "{plan:?}");
    });
}

#[test]
fn settings_that_code_of_users_may_have_set_are_not_reported() {
    both(|server| {
        let (_database, weir) = setup(server);
        let mut raw = Raw::login(&weir.endpoint());
        let reported = |messages: &[Message]| -> Vec<String> {
            let settings = messages.iter().filter(|message| message.kind == b'S');
            settings.map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect()
        };
        let own = raw.query("SET application_name = 'mine'");
        assert_eq!(reported(&own), ["application_name\0mine\0"]);
        let stashed = raw.query("SELECT stash()");
        assert_eq!(reported(&stashed), ["application_name\0***\0"]);
        let back = raw.query("SET application_name = 'mine'; RESET application_name");
        assert!(!tells(&back), "{back:?}");
    });
}

#[test]
fn a_column_is_masked_as_soon_as_it_is_called_so() {
    both(|server| {
        let (_database, weir) = setup(server);
        let dba = weir.endpoint().with_user("petra", crate::support::weir::USER_PASSWORD);
        let mut dba = Raw::login(&dba);
        let mut raw = Raw::login(&weir.endpoint());
        for round in 0..3 {
            let table = format!("renamed_{round}");
            dba.rows(&format!("CREATE TABLE {table} (id int, mail text)"));
            dba.rows(&format!("INSERT INTO {table} VALUES (1, '{SSN}@example.com')"));
            dba.rows(&format!("GRANT ALL ON {table} TO app"));
            assert!(tells(&raw.query(&format!("SELECT * FROM {table}"))));
            dba.send(&query(&format!("ALTER TABLE {table} RENAME mail TO email")));
            dba.read_ready(1);
            let messages = raw.query(&format!("SELECT * FROM {table}"));
            assert!(!tells(&messages), "round {round}: {messages:?}");
        }
    });
}

/// What is computed of clean columns is shown, whatever else the statement reads.
#[test]
fn computed_columns_are_hidden_for_what_they_are_made_of_alone() {
    both(|server| {
        let (_database, weir) = setup(server);
        let mut raw = Raw::login(&weir.endpoint());
        let mut check = |sql: &str, hidden: &[usize]| {
            let row = raw.rows(sql).remove(0);
            let null = |index: &usize| row[*index].is_none();
            assert!(hidden.iter().all(null), "{sql}: {row:?}");
            let shown = (0..row.len()).filter(|index| !hidden.contains(index));
            assert!(shown.into_iter().all(|index| row[index].is_some()), "{sql}: {row:?}");
            assert!(!row.iter().flatten().any(|value| value.contains(&SSN[..6])), "{sql}: {row:?}");
        };
        check(
            "SELECT c.email, sum(o.cents), count(*), max(c.name), max(c.ssn) FROM customers c \
             JOIN orders o ON o.customer = c.id GROUP BY c.email",
            &[4],
        );
        check("SELECT ssn, upper(name), id + 1, 'x' || ssn FROM customers WHERE id = 1", &[3]);
        check("SELECT lower(name) || note, ssn FROM public.customers x WHERE x.id = 1", &[]);
        check("SELECT upper(x.tax), x.id * 2 FROM tax x WHERE id = 1", &[0]);
        check("SELECT c::text, c.id + 1, row_to_json(c) FROM customers c WHERE id = 1", &[0, 2]);
        check("SELECT CASE WHEN ssn = '1' THEN 'a' ELSE name END, id + 1 FROM customers", &[0]);
        check("SELECT count(x), max(y) FROM (SELECT ssn AS x, id AS y FROM customers) z", &[0]);
    });
}

/// What is written and returned at once: whether the row is new, what is made of clean columns.
#[test]
fn what_is_returned_is_hidden_for_what_it_is_made_of_alone() {
    both(|server| {
        let (_database, weir) = setup(server);
        let mut raw = Raw::login(&weir.endpoint());
        let upsert = "INSERT INTO customers (id, name, ssn) VALUES ($id, 'n', '5') ON CONFLICT (id) \
                      DO UPDATE SET ssn = excluded.ssn RETURNING *, xmax = 0 AS fresh, upper(ssn)";
        for (id, fresh) in [("1", "f"), ("900", "t"), ("900", "f")] {
            let row = raw.rows(&upsert.replace("$id", id)).remove(0);
            assert_eq!(row[5..], [Some(fresh.to_owned()), None], "{row:?}");
        }
        let updated = "UPDATE customers c SET note = 'x' FROM orders o WHERE o.id = c.id AND o.id = 2 \
                       RETURNING upper(name), o.cents + 1, c.ssn || 'x', c::text, c.xmin IS NULL";
        let row = raw.rows(updated).remove(0);
        let text = |it: &str| Some(it.to_owned());
        assert_eq!(row, [text("CUSTOMER 2"), text("3"), None, None, text("f")]);
        let deleted = "DELETE FROM customers WHERE id = 900 RETURNING lower(name), lower(ssn)";
        assert_eq!(raw.rows(deleted), [[text("n"), None]]);
    });
}

/// Data that weir cannot cut into fields is refused, and the session goes on.
#[test]
fn copy_in_an_encoding_that_is_not_read_is_refused() {
    let server = Postgres::shared();
    let (_database, weir) = setup(server);
    let mut raw = Raw::login(&weir.endpoint());
    for sql in [
        "COPY customers TO STDOUT (ENCODING 'sjis')",
        "COPY orders TO STDOUT (ENCODING 'gb18030')",
        "COPY (SELECT 1) TO STDOUT (ENCODING 'BIG5')",
        "COPY (UPDATE orders SET cents = 1 RETURNING id) TO STDOUT (ENCODING 'sjis')",
        "COPY orders TO STDOUT (FORMAT parquet)",
    ] {
        for messages in heard(&mut raw, sql).chunk_by(|one, _| one.kind != b'Z') {
            let error = messages.iter().find(|it| it.kind == b'E').expect("an error");
            assert_eq!(error.field(b'C'), "42501", "{sql}");
            assert!(error.field(b'M').contains("use ENCODING 'UTF8'"), "{sql}: {error:?}");
        }
    }
    assert_eq!(raw.rows("SELECT 1"), [[Some("1".to_owned())]]);
}

/// A row of a masked table in a column of another one is still a row of it.
#[test]
fn a_column_of_a_masked_row_type_is_hidden() {
    both(|server| {
        let database = server.database();
        database.sql(&OBJECTS.replace("SSN", SSN));
        database.sql(
            "CREATE DOMAIN one AS customers;
             CREATE TYPE pair AS (a int, b customers);
             CREATE TABLE people (id int, rec customers, many customers[], one one, pair pair);
             INSERT INTO people SELECT 1, c, array[c], c, row(1, c)::pair FROM customers c LIMIT 1;
             GRANT ALL ON people TO app",
        );
        let weir = Spec::new(&database).masks(MASKS).start();
        let mut raw = Raw::login(&weir.endpoint());
        for sql in [
            "SELECT rec FROM people",
            "SELECT * FROM people",
            "SELECT many, one, pair FROM people",
            "SELECT rec::text FROM people",
            "SELECT (pair).b FROM people",
            "COPY people TO STDOUT",
            "COPY (SELECT rec FROM people) TO STDOUT",
            "SELECT to_json(p) FROM people p",
        ] {
            let messages = heard(&mut raw, sql);
            assert!(!tells(&messages), "{sql}: {messages:?}");
        }
        assert_eq!(raw.rows("SELECT id FROM people"), [[Some("1".to_owned())]]);
    });
}
