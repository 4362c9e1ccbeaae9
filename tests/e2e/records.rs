//! What is recorded: one row per execution, whole texts, true outcomes, files that engines open.

use serde_json::Value;

use crate::support::lake::{Lake, Row, TABLES, bytes, number, text};
use crate::support::raw::{Raw, bind, describe, execute, extended, kinds, parse, query, sync};
use crate::support::scratch::run;
use crate::support::tools::{pgbench, pgbench_number, psql};
use crate::support::weir::{CLEAR, TARGET, USER};
use crate::support::{Postgres, Spec, Weir, canary, short_or_long, tools};

fn start() -> Weir {
    Spec::new(&Postgres::shared().database()).start()
}

#[test]
fn a_simple_query_is_one_row_with_its_outcome() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("CREATE TABLE t (id int)");
    raw.query("INSERT INTO t SELECT generate_series(1, 25)");
    raw.query("SELECT id, 'x' AS word FROM t WHERE id <= 20");
    raw.query("COPY t TO STDOUT");
    raw.query("CREATE TABLE filled AS SELECT * FROM t");
    raw.fails("SELECT 1/0 AS boom");
    drop(raw);
    let lake = weir.lake();
    let (command, response) = lake.exchange("SELECT id, 'x'");
    assert_eq!(text(&command, "kind"), "query");
    assert_eq!(text(&command, "operation"), "SELECT");
    assert_eq!(text(&command, "user_name"), USER);
    assert_eq!(text(&command, "target"), TARGET);
    assert_eq!(text(&command, "protocol"), "postgresql");
    assert_eq!(text(&command, "decision"), "allow");
    assert_eq!(text(&command, "rule"), "all");
    assert_eq!(text(&response, "outcome"), "success");
    assert_eq!(text(&response, "tag"), "SELECT 20");
    assert_eq!(number(&response, "rows_returned"), 20);
    assert_eq!(response["columns"], Value::from(vec!["id", "word"]));
    assert!(number(&response, "duration_us") > 0);
    assert!(number(&response, "ttfb_us") <= number(&response, "duration_us"));
    let (command, response) = lake.exchange("INSERT INTO t");
    assert_eq!(number(&response, "rows_affected"), 25);
    assert!(objects(&command).iter().any(|object| object.ends_with('t')), "{command:#?}");
    let (_, response) = lake.exchange("SELECT id, 'x'");
    assert_eq!(number(&response, "rows_affected"), 0, "a SELECT touches nothing");
    let (_, response) = lake.exchange("COPY t TO");
    assert_eq!((number(&response, "rows_returned"), number(&response, "rows_affected")), (25, 0));
    let (_, response) = lake.exchange("CREATE TABLE filled");
    assert_eq!((number(&response, "rows_returned"), number(&response, "rows_affected")), (0, 25));
    let (_, response) = lake.exchange("boom");
    assert_eq!(text(&response, "outcome"), "error");
    assert_eq!(text(&response, "status_code"), "22012");
    assert_eq!(text(&response, "error_text"), "division by zero");
}

fn objects(command: &Row) -> Vec<String> {
    let list = command["objects"].as_array().cloned().unwrap_or_default();
    list.iter().map(|object| object.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_prepared_statement_is_a_row_each_time_it_runs() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&[parse("named", "SELECT $1::text AS prepared_word"), sync()].concat());
    raw.read_ready(1);
    for i in 0..5 {
        let value = format!("value {i}");
        raw.send(&[bind("", "named", &[Some(&value)]), execute("", 0), sync()].concat());
        raw.read_ready(1);
    }
    drop(raw);
    let lake = weir.lake();
    let commands = lake.commands_with("prepared_word");
    assert_eq!(commands.len(), 5, "{commands:#?}");
    for (i, command) in commands.iter().enumerate() {
        assert_eq!(text(command, "kind"), "execute");
        assert_eq!(text(command, "statement"), "named");
        let params = text(command, "params_json");
        assert!(params.contains(&format!("value {i}")), "{params}");
    }
}

#[test]
fn suspended_skipped_and_failed_executions_say_so() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(
        &[
            parse("", "SELECT generate_series(1, 10) AS suspended_one"),
            bind("", "", &[]),
            describe(b'P', ""),
            execute("", 4),
            sync(),
            extended("SELECT 1/i AS failed_one FROM generate_series(0, 1) i", &[]),
            extended("SELECT 1 AS skipped_one", &[]),
            sync(),
        ]
        .concat(),
    );
    let messages = raw.read_ready(2);
    assert!(kinds(&messages).contains('s'), "{messages:?}");
    drop(raw);
    let lake = weir.lake();
    let outcome = |part: &str| text(&lake.exchange(part).1, "outcome");
    assert_eq!(outcome("suspended_one"), "suspended");
    assert_eq!(outcome("failed_one"), "error");
    assert_eq!(outcome("skipped_one"), "skipped");
}

#[test]
fn what_fails_as_a_pipeline_commits_is_in_a_row_behind_its_commands() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    let insert = extended("INSERT INTO late VALUES (7), (7)", &[]);
    let hold = "DECLARE c CURSOR WITH HOLD FOR SELECT 1 / (n - 3) FROM generate_series(1, 4) n";
    for pipeline in [vec![insert, extended("SELECT 5 AS last", &[])], vec![extended(hold, &[])]] {
        raw.send(&[pipeline.concat(), sync()].concat());
        let kinds = kinds(&raw.read_ready(1));
        assert!(kinds.ends_with("CEZ"), "the error comes at Sync: {kinds}");
    }
    assert_eq!(raw.rows("SELECT count(*) FROM late"), [[Some("0".to_owned())]]);
    drop(raw);
    let lake = weir.lake();
    let syncs: Vec<Row> = lake.rows("commands").into_iter().filter(is_sync).collect();
    let parts = [("AS last", "23505"), ("DECLARE c", "22012")];
    assert_eq!(syncs.len(), parts.len(), "{syncs:#?}");
    let answers = lake.rows("responses");
    for (sync, (parent, code)) in syncs.iter().zip(parts) {
        let (command, answer) = lake.exchange(parent);
        assert_eq!(text(&answer, "outcome"), "success", "so said the server of the command");
        assert_eq!(number(sync, "parent_seq"), number(&command, "seq"));
        let of = |row: &&Row| number(row, "command_seq") == number(sync, "seq");
        let answer = answers.iter().find(of).expect("its answer");
        assert_eq!(text(answer, "outcome"), "error");
        assert_eq!(text(answer, "status_code"), code);
        assert!(number(answer, "captured_bytes") > 0, "{answer:#?}");
    }
    let mut search = weir.command(&["search", "--since", "1h", "--status", "error", "--json"]);
    let found = run(&mut search);
    assert_eq!(found.matches("\"kind\":\"sync\"").count(), parts.len(), "{found}");
}

fn is_sync(row: &Row) -> bool {
    text(row, "kind") == "sync"
}

#[test]
fn long_texts_and_values_are_recorded_whole() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    let long = canary("w").repeat(200_000);
    raw.rows(&format!("SELECT length('{long}') AS long_text"));
    raw.send(&[extended("SELECT length($1::text) AS long_value", &[Some(&long)]), sync()].concat());
    raw.read_ready(1);
    drop(raw);
    let lake = weir.lake();
    let command = lake.commands_with("AS long_text").remove(0);
    let sql = text(&command, "query_text");
    assert!(sql.contains(&long), "only {} of {} bytes", sql.len(), long.len());
    assert_eq!(
        number(&command, "query_len"),
        long.len() as i64 + "SELECT length('') AS long_text".len() as i64
    );
    let command = lake.commands_with("AS long_value").remove(0);
    // A value over the held size is in chunks, below it in the row.
    let mut found = text(&command, "params_json").contains(&long);
    if !found {
        let mut chunks = lake.rows("stream_chunks");
        chunks.retain(|row| {
            row["session_id"] == command["session_id"]
                && number(row, "command_seq") == number(&command, "seq")
                && number(row, "stream") == 0
        });
        chunks.sort_by_key(|row| number(row, "chunk_no"));
        let all: Vec<u8> = chunks.iter().flat_map(|row| bytes(row, "payload")).collect();
        found = memchr::memmem::find(&all, long.as_bytes()).is_some();
    }
    assert!(found, "the value is not whole in the record");
}

/// What psycopg2 sends for a file of ten megabytes.
#[test]
fn a_command_with_a_large_literal_is_understood_and_recorded_whole() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("CREATE TABLE files (data bytea)");
    let hex = "00ff".repeat(5 << 20);
    let insert = format!("INSERT INTO files VALUES ('\\x{hex}'::bytea)");
    raw.query(&insert);
    assert_eq!(raw.rows("SELECT length(data) FROM files"), [[Some((10 << 20).to_string())]]);
    drop(raw);
    let command = weir.lake().commands_with("INSERT INTO files").remove(0);
    assert_eq!(command["classes"], Value::from(vec!["write"]));
    assert_eq!(objects(&command), ["files"]);
    assert!(text(&command, "query_text") == insert, "the text is not whole in the record");
}

#[test]
fn the_answer_is_recorded_as_the_client_saw_it() {
    let database = Postgres::shared().database();
    let settings = format!("{CLEAR}\ncapture = {{ responses = \"head\", bytes = \"64KiB\" }}");
    let mut weir = Spec::new(&database).target_settings(&database.endpoint(), &settings).start();
    let mut raw = Raw::login(&weir.endpoint());
    let word = canary("answer");
    let (left, right) = word.split_at(6);
    raw.rows(&format!("SELECT '{left}' || '{right}' AS small_answer"));
    raw.rows("SELECT repeat('y', 1000) AS big_answer FROM generate_series(1, 500)");
    drop(raw);
    let lake = weir.lake();
    let payload = |command: &Row| -> Vec<u8> {
        let mut chunks = lake.rows("stream_chunks");
        chunks.retain(|row| {
            row["session_id"] == command["session_id"]
                && number(row, "command_seq") == number(command, "seq")
                && number(row, "stream") == 1
        });
        chunks.sort_by_key(|row| number(row, "chunk_no"));
        chunks.iter().flat_map(|row| bytes(row, "payload")).collect()
    };
    let (command, response) = lake.exchange("small_answer");
    let all = payload(&command);
    assert!(memchr::memmem::find(&all, word.as_bytes()).is_some(), "{}", all.escape_ascii());
    assert_eq!(number(&response, "captured_bytes"), number(&response, "total_bytes"));
    let (command, response) = lake.exchange("big_answer");
    assert_eq!(payload(&command).len() as i64, number(&response, "captured_bytes"));
    assert!(number(&response, "captured_bytes") <= 65536);
    assert!(number(&response, "total_bytes") > 500_000);
    assert_eq!(number(&response, "rows_returned"), 500);
}

#[test]
fn a_session_has_a_beginning_and_an_end() {
    let mut weir = start();
    let (mut raw, _) = Raw::try_login(&weir.endpoint());
    let pid = raw.rows("SELECT pg_backend_pid()")[0][0].clone().expect("a pid");
    raw.rows("SELECT 2");
    raw.send(&crate::support::raw::terminate());
    assert!(raw.read_to_end().is_empty());
    let lake = weir.lake();
    let sessions = lake.rows("sessions");
    let phase = |name: &str| {
        let found: Vec<&Row> = sessions.iter().filter(|row| text(row, "phase") == name).collect();
        assert_eq!(found.len(), 1, "{name}: {sessions:#?}");
        found[0].clone()
    };
    let (first, last) = (phase("start"), phase("end"));
    assert_eq!(number(&first, "backend_pid").to_string(), pid);
    assert_eq!(text(&first, "auth_method"), "scram-sha-256");
    assert_eq!(text(&first, "listener"), format!("127.0.0.1:{}", weir.endpoint().port));
    assert!(text(&first, "client_addr").starts_with("127.0.0.1"), "{first:#?}");
    assert_eq!(text(&last, "end_reason"), "client-terminate");
    assert_eq!(number(&last, "commands"), 2);
    // Each shard keeps a journal of its own, and says so in it.
    let shards = lake.events("boot").len();
    assert!(shards > 0, "{:#?}", lake.rows("log_events"));
    assert_eq!(lake.events("shutdown").len(), shards);
}

#[test]
fn credentials_stand_in_no_record_and_no_log() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    let words: Vec<String> = (0..5).map(|_| canary("pw")).collect();
    let texts = [
        format!("CREATE ROLE somebody LOGIN PASSWORD '{}'", words[0]),
        format!("ALTER USER reader WITH ENCRYPTED PASSWORD '{}'", words[1]),
        format!("CREATE USER MAPPING FOR app SERVER s OPTIONS (password '{}')", words[2]),
        format!("CREATE SUBSCRIPTION s CONNECTION 'host=h password={}' PUBLICATION p", words[3]),
        format!("SELECT dblink_connect('postgres://u:{}@host/db')", words[4]),
    ];
    for sql in &texts {
        raw.query(sql);
        raw.send(&[extended(sql, &[]), sync()].concat());
        raw.read_ready(1);
    }
    drop(raw);
    let lake = weir.lake();
    let mut hidden = words;
    hidden.push(crate::support::weir::target_password().to_owned());
    hidden.push(crate::support::weir::USER_PASSWORD.to_owned());
    crate::masking::nowhere_on_disk(&lake, weir.data_dir(), &hidden);
    let log = weir.log();
    for word in &hidden {
        assert!(!log.contains(word.as_str()), "{word} in the log");
    }
    assert_eq!(lake.commands_with("CREATE ROLE somebody").len(), 2);
}

/// Rows of every table as DuckDB, pyarrow and polars count them.
fn engines(lake: &Lake) -> Value {
    let mut command = tools::python();
    let printed = run(command.arg(tools::script("engines.py")).arg("count").arg(&lake.folder));
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// One number from DuckDB.
fn duckdb(lake: &Lake, sql: &str) -> i64 {
    let mut command = tools::python();
    command.arg(tools::script("engines.py")).arg("sql").arg(&lake.folder).arg(sql);
    let printed = run(&mut command);
    printed.trim().parse().unwrap_or_else(|_| panic!("{sql}: {printed}"))
}

#[test]
fn every_engine_opens_every_table() {
    let database = Postgres::shared().database();
    database.sql("CREATE TABLE p (id int, email text); INSERT INTO p VALUES (1, 'a@example.com')");
    database.sql("GRANT ALL ON p TO app");
    let mut weir = Spec::new(&database)
        .rules(
            "[[rule]]\nname = \"ddl waits\"\nwhen = { commands = [\"ddl\"] }\n\
             then = { hold = { approvers = [\"dba\"], timeout = \"1s\" } }\n\
             [[rule]]\nname = \"rest\"\nwhen = {}\nthen = \"allow\"\n",
        )
        .masks("[[mask]]\ncolumns = [\"*.*.email\"]\noperator = \"redact\"\n")
        .user("dora", &["dba"])
        .start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.rows("SELECT * FROM p");
    raw.fails("CREATE TABLE held (id int)");
    raw.send(&query("SELECT '\u{fc}' AS unicode, $$\u{1f30a}$$ AS wave"));
    raw.read_ready(1);
    drop(raw);
    let lake = weir.lake();
    let counted = engines(&lake);
    // Shells are SSH's.
    for table in TABLES.into_iter().filter(|table| *table != "shell_lines") {
        let expect = lake.rows(table).len() as u64;
        assert!(expect > 0, "{table} is empty, so nothing is shown");
        for engine in ["duckdb", "pyarrow", "polars"] {
            assert_eq!(counted[table][engine], Value::from(expect), "{engine} {table}: {counted}");
        }
    }
}

/// pgbench with everything recorded: no error, and exactly one row per command it sent.
fn benched(mode: &str) {
    let database = Postgres::shared().database();
    pgbench(&database.endpoint(), &["-i", "-q", "-s", "1"]);
    let mut weir = Spec::new(&database).start();
    let seconds = short_or_long(4, 60).to_string();
    let arguments =
        ["-n", "-S", "-M", mode, "-c", "16", "-j", "2", "-T", &seconds, "--max-tries", "1"];
    let report = pgbench(&weir.endpoint(), &arguments);
    let done = pgbench_number(&report, "number of transactions actually processed:");
    assert_eq!(pgbench_number(&report, "number of failed transactions:"), 0, "{report}");
    assert!(done > 100, "{report}");
    let lake = weir.lake();
    let commands = "SELECT count(*) FROM commands WHERE query_text LIKE 'SELECT abalance %'";
    assert_eq!(duckdb(&lake, commands), done as i64, "{mode}: {report}");
    let answered = "SELECT count(*) FROM commands c JOIN responses r \
                    ON r.session_id = c.session_id AND r.command_seq = c.seq \
                    WHERE c.query_text LIKE 'SELECT abalance %' \
                    AND r.outcome = 'success' AND r.rows_returned = 1";
    assert_eq!(duckdb(&lake, answered), done as i64, "{mode}: {report}");
    let sessions = "SELECT count(DISTINCT session_id) FROM sessions WHERE phase = 'end'";
    // pgbench opens one more connection to look at its tables.
    assert!(duckdb(&lake, sessions) >= 16);
}

#[test]
fn pgbench_simple_is_recorded_row_by_row() {
    benched("simple");
}

#[test]
fn pgbench_extended_is_recorded_row_by_row() {
    benched("extended");
}

#[test]
fn pgbench_prepared_is_recorded_row_by_row() {
    benched("prepared");
}

#[test]
fn copied_rows_are_counted_in_both_directions() {
    let mut weir = start();
    let sql = "CREATE TABLE c (id int); COPY c FROM PROGRAM 'seq 1 10'";
    // The role may not read programs of the server; the refusal is the server's and is recorded.
    let refused = crate::support::scratch::output(
        tools::client("psql").args(["-X", "-c", sql]).envs(environment(&weir)),
    );
    assert!(!refused.status.success());
    psql(&weir.endpoint(), "CREATE TABLE c (id int)");
    let mut command = tools::client("psql");
    weir.endpoint().give_to(&mut command);
    run(command.args(["-X", "-q", "-c", "\\copy c from program 'seq 1 5000'"]));
    let mut command = tools::client("psql");
    weir.endpoint().give_to(&mut command);
    run(command.args(["-X", "-q", "-c", "\\copy c to stdout"]));
    let lake = weir.lake();
    let copies = lake.rows("responses");
    let tags: Vec<&Row> = copies.iter().filter(|row| text(row, "tag") == "COPY 5000").collect();
    assert_eq!(tags.len(), 2, "{copies:#?}");
}

fn environment(weir: &Weir) -> Vec<(String, String)> {
    let mut command = std::process::Command::new("true");
    weir.endpoint().give_to(&mut command);
    let pairs = command.get_envs().filter_map(|(name, value)| {
        Some((name.to_string_lossy().into_owned(), value?.to_string_lossy().into_owned()))
    });
    pairs.collect()
}
