//! Masked values leave weir on no channel: not to the client, not into the record.

use std::path::Path;

use crate::support::lake::{self, Lake, TABLES};
use crate::support::raw::{
    Message, Raw, bind, describe, execute, extended, kinds, message, parse, query, sync,
};
use crate::support::scratch::run;
use crate::support::weir::USER_PASSWORD;
use crate::support::{Database, Postgres, Spec, Weir, canary, tools};

/// Values that no byte of an answer may hold.
struct Secrets {
    ssn: String,
    email: String,
    card: String,
}

impl Secrets {
    /// Each whole, and a part of each that is still unmistakable.
    fn words(&self) -> Vec<String> {
        let part = |word: &str| word[2..12].to_owned();
        vec![part(&self.ssn), part(&self.email), self.card.clone()]
    }

    fn find_in(&self, bytes: &[u8]) -> Option<String> {
        self.words().into_iter().find(|word| contains(bytes, word.as_bytes()))
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

const MASKS: &str = r#"
[[mask]]
columns = ["public.customers.ssn", "*.*.email"]
operator = "redact"
except = { groups = ["pii-readers"] }

[[mask]]
detect = ["credit-card"]
operator = "redact"
except = { groups = ["pii-readers"] }
"#;

fn setup(database: &Database) -> Secrets {
    // A card number in an issued range whose check digit holds.
    let card = "4539148803436467".to_owned();
    let secrets = Secrets { ssn: canary("sn"), email: canary("em"), card };
    let Secrets { ssn, email, card } = &secrets;
    database.sql(&format!(
        "CREATE TABLE customers (id int PRIMARY KEY, ssn text UNIQUE NOT NULL, email text,
             note text, CHECK (length(note) < 100));
         INSERT INTO customers VALUES (1, '{ssn}', '{email}@example.com', 'pays with {card} now'),
             (2, 'two', 'x@example.com', 'nothing');
         CREATE VIEW people AS SELECT id, ssn AS number, upper(email) AS mail FROM customers;
         CREATE MATERIALIZED VIEW kept AS SELECT * FROM customers;
         CREATE FUNCTION loud() RETURNS void LANGUAGE plpgsql AS $$ DECLARE c customers; BEGIN
             SELECT * INTO c FROM customers WHERE id = 1;
             RAISE NOTICE 'card %', c.note; END $$;
         CREATE TABLE parted (id int, ssn text, email text) PARTITION BY RANGE (id);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
         INSERT INTO parted VALUES (1, 'p', '{email}@example.org');
         GRANT ALL ON ALL TABLES IN SCHEMA public TO app"
    ));
    secrets
}

fn start(database: &Database) -> Weir {
    Spec::new(database).masks(MASKS).user("petra", &["pii-readers"]).start()
}

/// Texts whose answers would hold a masked value if nobody masked. Functions of the database that
/// return rows are not among them: what they read is out of sight, see appliance/THREAT_MODEL.md.
const READS: [&str; 31] = [
    "SELECT * FROM customers",
    "SELECT ssn FROM customers",
    "SELECT ssn AS id, email AS harmless FROM customers",
    "SELECT c.ssn FROM customers c",
    "SELECT c FROM customers c",
    "SELECT c.* FROM customers c",
    "SELECT c::text FROM customers c",
    "SELECT row(c.*) FROM customers c",
    "SELECT row_to_json(c) FROM customers c",
    "SELECT to_jsonb(c) -> 'ssn' FROM customers c",
    "SELECT json_agg(customers) FROM customers",
    "SELECT ssn || '' FROM customers",
    "SELECT substr(ssn, 1, 14) FROM customers",
    "SELECT 'x' || ssn || email FROM customers",
    "SELECT string_agg(ssn, ',') FROM customers",
    "SELECT array_agg(email) FROM customers",
    "SELECT array[ssn, email] FROM customers",
    "SELECT max(ssn) FROM customers WHERE id = 1",
    "SELECT coalesce(ssn, 'none') FROM customers",
    "SELECT CASE WHEN id = 1 THEN ssn ELSE 'x' END FROM customers",
    "SELECT x.y FROM (SELECT ssn AS y FROM customers) x",
    "WITH w AS (SELECT email AS e FROM customers) SELECT e FROM w",
    "SELECT ssn FROM customers UNION ALL SELECT 'x'",
    "SELECT (SELECT ssn FROM customers WHERE id = 1)",
    "SELECT a.ssn FROM customers a JOIN customers b ON a.id = b.id",
    "SELECT number, mail FROM people",
    "SELECT lower(mail) FROM people",
    "SELECT * FROM kept",
    "SELECT note FROM customers",
    "SELECT * FROM parted",
    "SELECT email FROM parted_1",
];

/// Commands that carry values on other channels: notices, errors, notifications, settings, COPY.
const OTHERS: [&str; 22] = [
    "SELECT loud()",
    "COPY customers TO STDOUT",
    "COPY customers (id, ssn) TO STDOUT",
    "COPY customers TO STDOUT (FORMAT csv, HEADER)",
    "COPY customers TO STDOUT (FORMAT binary)",
    "COPY (SELECT ssn, email FROM customers) TO STDOUT",
    "COPY (SELECT note FROM customers) TO STDOUT (FORMAT csv)",
    "COPY parted TO STDOUT",
    "UPDATE customers SET id = id RETURNING ssn",
    "UPDATE customers SET id = id RETURNING *",
    "SELECT ssn::int FROM customers",
    "INSERT INTO customers SELECT 9, ssn, email, 'x' FROM customers WHERE id = 1",
    "INSERT INTO customers SELECT 9, ssn || 'x', email, repeat('x', 200) FROM customers",
    "UPDATE customers SET ssn = NULL WHERE id = 1",
    "SELECT set_config('application_name', email, false) FROM customers WHERE id = 1",
    "LISTEN ch",
    "SELECT pg_notify('ch', ssn) FROM customers WHERE id = 1",
    "SELECT pg_notify('ch', note) FROM customers WHERE id = 1",
    "DO $$ DECLARE v text; BEGIN SELECT note INTO v FROM customers WHERE id = 1; \
     RAISE EXCEPTION 'found %', v; END $$",
    "DO $$ BEGIN PERFORM ssn::int FROM customers; END $$",
    "BEGIN; DECLARE c CURSOR FOR SELECT ssn, email FROM customers; FETCH ALL FROM c; COMMIT",
    "PREPARE p AS SELECT ssn FROM customers; EXECUTE p; DEALLOCATE p",
];

fn bytes(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|message| message.body.iter().copied()).collect()
}

/// Everything the client hears: by simple query, by extended query with text and binary results.
fn hear_all(raw: &mut Raw, sql: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut heard = vec![("simple", bytes(&raw.query(sql)))];
    if !sql.contains(';') {
        raw.send(&[extended(sql, &[]), sync()].concat());
        heard.push(("extended", bytes(&raw.read_ready(1))));
        let binary = message(b'B', b"\0\0\0\0\0\0\0\x01\0\x01");
        raw.send(&[parse("", sql), binary, execute("", 0), sync()].concat());
        heard.push(("binary, never described", bytes(&raw.read_ready(1))));
        raw.send(&[parse("s", sql), describe(b'S', "s"), sync()].concat());
        raw.read_ready(1);
        for _ in 0..2 {
            raw.send(&[bind("p", "s", &[]), execute("p", 1), execute("p", 0), sync()].concat());
            heard.push(("prepared and suspended", bytes(&raw.read_ready(1))));
        }
        raw.send(&[crate::support::raw::close(b'S', "s"), sync()].concat());
        raw.read_ready(1);
    }
    heard
}

#[test]
fn no_answer_holds_a_masked_value() {
    let database = Postgres::shared().database();
    let secrets = setup(&database);
    let mut weir = start(&database);
    let mut leaks = Vec::new();
    for sql in READS.iter().chain(&OTHERS) {
        let mut raw = Raw::login(&weir.endpoint());
        for (way, heard) in hear_all(&mut raw, sql) {
            if let Some(word) = secrets.find_in(&heard) {
                leaks.push(format!("{way}: {sql}: {word}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    let lake = weir.lake();
    nowhere_on_disk(&lake, weir.data_dir(), &secrets.words());
    assert!(!lake.rows("masking_hits").is_empty(), "masked, and no row says so");
}

/// Numbers of the large networks are NULL, in columns of numbers and in both formats; the answer
/// says so once, in front of its end.
#[test]
fn a_number_that_a_detector_makes_null_is_told() {
    let database = Postgres::shared().database();
    setup(&database);
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    let hidden = "SELECT c AS amount, c::numeric AS other, 7 AS seven FROM \
                  (VALUES (4539148803436467), (4539148803436460), (5500000000000004)) v (c)";
    let answer = raw.query(hidden);
    assert_eq!(kinds(&answer), "TDDDCNZ", "{answer:?}");
    let notices: Vec<_> = answer.iter().filter(|it| it.kind == b'N').collect();
    let told = String::from_utf8_lossy(&notices[0].body).into_owned();
    for word in ["\"amount\" (credit-card)", "\"other\" (credit-card)", "some values of 2"] {
        assert!(told.contains(word), "{told}");
    }
    let rows: Vec<_> = answer.iter().filter(|it| it.kind == b'D').map(Message::values).collect();
    let id = Some("4539148803436460".to_owned());
    let seven = Some("7".to_owned());
    let none = vec![None, None, seven.clone()];
    assert_eq!(rows, [none.clone(), vec![id.clone(), id, seven], none]);
    // Amounts, and lengths and ranges that ids have more often.
    for clean in ["4539148803436467.50", "4222222222222", "6759000000005", "1700000000000"] {
        assert_eq!(kinds(&raw.query(&format!("SELECT {clean}"))), "TDCZ", "{clean}");
    }
    let text = raw.rows("SELECT '4539_1488_0343_6467, 4539.1488.0343.6467'");
    assert_eq!(text, [[Some("[CREDIT_CARD], [CREDIT_CARD]".to_owned())]]);
}

const PAYMENTS: &str = "
CREATE DOMAIN number AS bigint;
CREATE TYPE paid AS (amount int, card number);
CREATE TABLE payments (id int, ids bigint[], sums numeric[], own number[], span int8range,
  spans int8multirange, list int8range[], one paid, many paid[]);
INSERT INTO payments SELECT id, ARRAY[1, c], ARRAY[NULL, c], ARRAY[c]::number[],
  int8range(1, c + 1, '[)'), int8multirange(int8range(c, NULL)), ARRAY[int8range(c, c, '[]')],
  (7, c)::paid, ARRAY[(7, c)::paid]
  FROM (VALUES (1, 4539148803436467), (2, 4539148803436460)) v (id, c);
UPDATE payments SET span = int8range(c, c + 5) FROM (VALUES (1, 4539148803436467),
  (2, 4539148803436460)) v (i, c) WHERE i = id;
GRANT ALL ON payments TO app";

/// Within arrays, ranges and rows, in text and in binary.
#[test]
fn numbers_within_values_are_null_as_a_whole() {
    let database = Postgres::shared().database();
    database.sql(PAYMENTS);
    let weir = Spec::new(&database).masks(MASKS).start();
    let columns = ["ids", "sums", "own", "span", "spans", "list", "one", "many"];
    let all = columns.join(", ");
    let printed =
        tools::psql(&weir.endpoint(), &format!("SELECT {all} FROM payments WHERE id = 1"));
    assert_eq!(printed.trim(), "|".repeat(columns.len() - 1), "text of what holds a card");
    let mut raw = Raw::login(&weir.endpoint());
    for (at, column) in columns.iter().enumerate() {
        let sql = format!("SELECT {column}, ROW({column}) FROM payments ORDER BY id");
        let binary = message(b'B', b"\0\0\0\0\0\0\0\x01\0\x01");
        raw.send(&[parse("", &sql), binary, describe(b'P', ""), execute("", 0), sync()].concat());
        for heard in [raw.read_ready(1), raw.query(&sql)] {
            let rows: Vec<_> = heard.iter().filter(|it| it.kind == b'D').collect();
            let hidden = b"\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
            assert_eq!(rows[0].body, hidden, "{column}: {heard:?}");
            assert!(!contains(&rows[1].body, b"\xff\xff\xff\xff") || column == &"sums");
            assert!(rows[1].body.len() > 20, "{column}: {heard:?}");
            let told = heard.iter().find(|it| it.kind == b'N').expect("a notice");
            assert!(contains(&told.body, b"(credit-card)"), "{at}: {told:?}");
        }
    }
    let copied = raw.query("COPY payments TO STDOUT");
    let row = copied.iter().find(|it| it.kind == b'd').expect("a row");
    assert_eq!(row.body, format!("1{}\n", "\t\\N".repeat(columns.len())).as_bytes());
    for sql in ["COPY payments TO STDOUT (FORMAT binary)", "COPY (TABLE payments) TO STDOUT BINARY"]
    {
        let card = 4_539_148_803_436_467_i64.to_be_bytes();
        let other = 4_539_148_803_436_460_i64.to_be_bytes();
        let heard = bytes(&raw.query(sql));
        assert!(!contains(&heard, &card) && contains(&heard, &other), "{sql}");
    }
    // Drivers read what is left.
    let script = "import asyncio, asyncpg, os\n\
                  async def main():\n    \
                  c = await asyncpg.connect(host='127.0.0.1', port=int(os.environ['PGPORT']), \
                  ssl=False)\n    \
                  one, two = await c.fetch('select * from payments order by id')\n    \
                  assert [v for v in one][1:] == [None] * 8, one\n    \
                  assert None not in [v for v in two], two\n    \
                  assert two['many'][0]['card'] == 4539148803436460, two\n    \
                  print('ok')\n\
                  asyncio.run(main())";
    let mut command = tools::python();
    weir.endpoint().give_to(&mut command);
    command.env_remove("PGHOSTADDR").env_remove("PGGSSENCMODE");
    assert_eq!(run(command.args(["-c", script])).trim(), "ok");
}

/// Escapes of JSON hide nothing, on any way.
#[test]
fn what_json_writes_as_escapes_is_masked() {
    let database = Postgres::shared().database();
    let json =
        r#"{"a": "\u0034539148803436467", "b": "x\u0040y", "c": "4539 1488\u00200343 6467"}"#;
    database.sql(&format!(
        "CREATE TABLE escaped (j json, t text, b jsonb, l text[]);
         INSERT INTO escaped SELECT j::json, 'got ' || j, jsonb_build_object('in', j), ARRAY[j]
         FROM (VALUES ('{json}')) v (j);
         GRANT ALL ON escaped TO app"
    ));
    let weir = Spec::new(&database).masks(MASKS).start();
    let mut raw = Raw::login(&weir.endpoint());
    let masked = r#"{"a": "[CREDIT_CARD]", "b": "x\u0040y", "c": "[CREDIT_CARD]"}"#;
    let row = raw.rows("SELECT j, t FROM escaped").remove(0);
    assert_eq!(row, [Some(masked.to_owned()), Some(format!("got {masked}"))]);
    for sql in [
        "SELECT * FROM escaped",
        "SELECT e FROM escaped e",
        "COPY escaped TO STDOUT",
        "COPY escaped TO STDOUT (FORMAT csv)",
        "COPY escaped TO STDOUT (FORMAT binary)",
        "SELECT t::int FROM escaped",
    ] {
        for (way, heard) in hear_all(&mut raw, sql) {
            for word in ["0034539148803436467", "539148803436467", "0343 6467"] {
                assert!(!contains(&heard, word.as_bytes()), "{way}: {sql}");
            }
        }
    }
    let script = "import psycopg\n\
                  c = psycopg.connect()\n\
                  for binary in (False, True):\n    \
                  rows = c.cursor(binary=binary).execute('select * from escaped')\n    \
                  j, t, b, l = rows.fetchone()\n    \
                  assert j == {'a': '[CREDIT_CARD]', 'b': 'x@y', 'c': '[CREDIT_CARD]'}, j\n    \
                  assert '[CREDIT_CARD]' in b['in'] and '[CREDIT_CARD]' in l[0], (b, l)\n\
                  print('ok')";
    let mut command = tools::python();
    weir.endpoint().give_to(&mut command);
    assert_eq!(run(command.args(["-c", script])).trim(), "ok");
}

/// Texts whose answers would hold what another session runs.
const TEXTS_OF_OTHERS: [&str; 9] = [
    "SELECT query FROM pg_stat_activity",
    "TABLE pg_stat_activity",
    "SELECT left(a.query, 900) FROM pg_stat_activity a",
    "SELECT to_json(a) FROM pg_stat_activity a",
    "SELECT query FROM pg_stat_get_activity(NULL)",
    "SELECT g.t FROM pg_stat_get_activity(NULL) AS g(a, b, c, d, e, t)",
    "SELECT pg_stat_get_activity(NULL)::text",
    "SELECT pg_stat_get_backend_activity(b) FROM pg_stat_get_backend_idset() b",
    "SELECT running FROM at_work",
];

#[test]
fn what_others_run_is_hidden_from_who_has_masks() {
    let database = Postgres::shared().database();
    setup(&database);
    database.sql(
        "CREATE VIEW at_work AS SELECT query AS running FROM pg_stat_get_activity(NULL);
         GRANT SELECT ON at_work TO app",
    );
    let weir = start(&database);
    let petra = weir.endpoint().with_user("petra", USER_PASSWORD);
    let mut writer = Raw::login(&petra);
    let value = canary("run");
    writer.rows(&format!("SELECT '{value}' AS mine"));
    let mut hidden = Raw::login(&weir.endpoint());
    let mut shown = Raw::login(&petra);
    for sql in TEXTS_OF_OTHERS {
        let holds = |raw: &mut Raw| contains(&bytes(&raw.query(sql)), value.as_bytes());
        assert!(!holds(&mut hidden), "{sql}");
        assert!(holds(&mut shown), "{sql}");
    }
    let states = "SELECT DISTINCT state FROM pg_stat_activity WHERE state = 'idle'";
    assert_eq!(hidden.rows(states), [[Some("idle".to_owned())]]);
    drop(writer);
}

#[test]
fn the_same_answers_hold_the_values_for_who_may_see_them() {
    let database = Postgres::shared().database();
    let secrets = setup(&database);
    let weir = start(&database);
    let endpoint = weir.endpoint().with_user("petra", USER_PASSWORD);
    let mut unmasked = 0;
    for sql in READS {
        let mut raw = Raw::login(&endpoint);
        let heard = raw.query(sql);
        unmasked += usize::from(secrets.find_in(&bytes(&heard)).is_some());
    }
    // `people.mail` is in capitals, so two of the texts cannot show the value as it was written.
    assert!(unmasked >= READS.len() - 2, "only {unmasked} of {}", READS.len());
}

#[test]
fn rows_stay_well_formed_under_every_operator() {
    let database = Postgres::shared().database();
    database.sql(
        "CREATE TABLE v (t text, n int, b bigint, f numeric, d date, ts timestamptz, j jsonb, \
         u uuid, y bytea, a text[], o bool); \
         INSERT INTO v VALUES ('some text', 42, 43, 44.5, '2024-02-29', now(), '{\"a\": 1}', \
         gen_random_uuid(), '\\x0102', '{x,y}', true), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL); GRANT ALL ON v TO app",
    );
    for operator in ["partial", "mask", "redact", "default", "nullify"] {
        let masks = format!("[[mask]]\ncolumns = [\"public.v.*\"]\noperator = \"{operator}\"\n");
        let weir = Spec::new(&database).masks(&masks).start();
        // A driver decodes every value by its type; a value of the wrong form is its error.
        let script = "import psycopg\n\
                      c = psycopg.connect()\n\
                      for binary in (False, True):\n    \
                      rows = c.cursor(binary=binary).execute('select * from v').fetchall()\n    \
                      assert len(rows) == 2 and len(rows[0]) == 11, rows\n    \
                      assert rows[0][1] != 42 and rows[0][0] != 'some text', rows\n\
                      print('ok')";
        let mut command = tools::python();
        weir.endpoint().give_to(&mut command);
        let printed = run(command.args(["-c", script]));
        assert_eq!(printed.trim(), "ok", "{operator}");
        let script = "import asyncio, asyncpg, os\n\
                      async def main():\n    \
                      c = await asyncpg.connect(host='127.0.0.1', port=int(os.environ['PGPORT']), \
                      ssl=False)\n    \
                      rows = await c.fetch('select * from v')\n    \
                      assert len(rows) == 2 and rows[0]['n'] != 42, rows\n    \
                      print('ok')\n\
                      asyncio.run(main())";
        let mut command = tools::python();
        weir.endpoint().give_to(&mut command);
        command.env_remove("PGHOSTADDR").env_remove("PGGSSENCMODE");
        let printed = run(command.args(["-c", script]));
        assert_eq!(printed.trim(), "ok", "{operator}");
    }
}

#[test]
fn a_table_that_is_made_while_weir_runs_is_masked() {
    let database = Postgres::shared().database();
    let secrets = setup(&database);
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    raw.rows("SELECT 1");
    database.sql(&format!(
        "CREATE TABLE later (id int, email text); GRANT ALL ON later TO app; \
         INSERT INTO later VALUES (1, '{}@example.net')",
        secrets.email
    ));
    for sql in ["SELECT * FROM later", "SELECT email AS e FROM later", "COPY later TO STDOUT"] {
        let heard = bytes(&raw.query(sql));
        assert_eq!(secrets.find_in(&heard), None, "{sql}");
    }
    database.sql("ALTER TABLE customers RENAME COLUMN note TO remark");
    database.sql("ALTER TABLE later ADD COLUMN ssn2 text; ALTER TABLE later DROP COLUMN id");
    for sql in ["SELECT * FROM later", "SELECT * FROM customers", "COPY later TO STDOUT"] {
        let heard = bytes(&raw.query(sql));
        assert_eq!(secrets.find_in(&heard), None, "{sql}");
    }
}

#[test]
fn errors_of_definitions_of_types_do_not_repeat_values() {
    let database = Postgres::shared().database();
    let secret = canary("of_type");
    database.sql(&format!(
        "CREATE DOMAIN word AS text; ALTER DOMAIN word OWNER TO app;
         CREATE DOMAIN digits AS text CHECK (value::int > 0);
         CREATE TYPE rows AS (id int, email text); ALTER TYPE rows OWNER TO app;
         CREATE TABLE typed OF rows; ALTER TABLE typed OWNER TO app;
         CREATE TABLE worded (id int, email word);
         INSERT INTO worded VALUES (1, '{secret}'); INSERT INTO typed VALUES (1, '{secret}')"
    ));
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("ALTER DOMAIN word ADD CONSTRAINT later CHECK (value::int > 0) NOT VALID");
    for sql in [
        "ALTER DOMAIN word ADD CONSTRAINT now CHECK (value::int > 0)",
        "ALTER DOMAIN word ADD CHECK (value::regclass IS NOT NULL)",
        "ALTER DOMAIN word VALIDATE CONSTRAINT later",
        "ALTER TYPE rows ALTER ATTRIBUTE email TYPE digits CASCADE",
    ] {
        let heard = raw.query(sql);
        assert!(kinds(&heard).contains('E'), "{sql}: {heard:?}");
        assert!(!contains(&bytes(&heard), secret.as_bytes()), "{sql}: {heard:?}");
    }
    let heard = bytes(&raw.query("ALTER DOMAIN word VALIDATE CONSTRAINT nobodys"));
    assert!(contains(&heard, b"nobodys"), "the client's own name is told");
}

#[test]
fn errors_of_bad_values_do_not_repeat_them() {
    let database = Postgres::shared().database();
    let secrets = setup(&database);
    let mut weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    // The client sends the value itself here, so it may stand in the command; the error must not
    // carry the *other* columns of the row.
    let messages = raw.query("UPDATE customers SET note = repeat('x', 200) WHERE id = 1");
    assert_eq!(messages[0].kind, b'E', "{messages:?}");
    assert_eq!(secrets.find_in(&bytes(&messages)), None, "{messages:?}");
    raw.send(&query("INSERT INTO customers (id, email, note) VALUES (3, 'e', 'n')"));
    let messages = raw.read_ready(1);
    assert_eq!(secrets.find_in(&bytes(&messages)), None, "{messages:?}");
    drop(raw);
    nowhere_on_disk(&weir.lake(), weir.data_dir(), &secrets.words());
}

/// Looks into every row of every table and every byte of every other file.
pub fn nowhere_on_disk(lake: &Lake, data_dir: &Path, words: &[String]) {
    let mut rows = 0;
    for table in TABLES {
        for row in lake.rows(table) {
            rows += 1;
            let mut shown = serde_json::to_string(&row).expect("a row as text").into_bytes();
            for column in row.keys() {
                shown.extend(lake::bytes(&row, column));
            }
            for word in words {
                assert!(!contains(&shown, word.as_bytes()), "{word} in {table}: {row:#?}");
            }
        }
    }
    assert!(rows > 0, "nothing was recorded");
    let mut files = Vec::new();
    lake::collect(data_dir, &mut files);
    for file in files {
        let content = std::fs::read(&file).expect("a readable file");
        for word in words {
            assert!(!contains(&content, word.as_bytes()), "{word} in {}", file.display());
        }
    }
}

/// Several tables have one name: what hides a column of one of them hides it of all.
#[test]
fn copy_of_a_name_that_two_schemas_have_is_answered() {
    let database = Postgres::shared().database();
    let secrets = setup(&database);
    database.sql(
        "CREATE SCHEMA alt; CREATE TABLE alt.customers (LIKE public.customers);
         CREATE TABLE alt.parted (id int); GRANT ALL ON ALL TABLES IN SCHEMA alt TO app",
    );
    let weir = start(&database);
    let mut raw = Raw::login(&weir.endpoint());
    for (sql, rows) in [
        ("COPY customers TO STDOUT", 2),
        ("COPY customers (id, note) TO STDOUT", 2),
        ("COPY customers (email, ssn) TO STDOUT (FORMAT csv)", 2),
        ("COPY parted_1 TO STDOUT", 1),
    ] {
        let answers = raw.query(sql);
        assert_eq!(kinds(&answers).matches('d').count(), rows, "{sql}: {answers:?}");
        assert_eq!(secrets.find_in(&bytes(&answers)), None, "{sql}");
    }
    assert_eq!(raw.fails("COPY parted TO STDOUT"), "42501", "they differ");
}
