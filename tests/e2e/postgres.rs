//! Protocol behaviours: the same bytes to the server and to weir bring the same messages back.

use std::time::{Duration, Instant};

use crate::support::raw::{
    self, Message, Raw, bind, close, describe, execute, extended, flush, kinds, message, packet,
    parse, query, sqlstate, startup, sync, terminate,
};
use crate::support::weir::{CLEAR, TARGET};
use crate::support::{Certificates, Database, Endpoint, Postgres, Spec, tools, wait_until};

/// Bytes of a client after login, and how many ReadyForQuery answer them.
struct Conversation {
    name: &'static str,
    bytes: Vec<u8>,
    ready: usize,
}

fn talk(name: &'static str, ready: usize, parts: &[Vec<u8>]) -> Conversation {
    Conversation { name, bytes: parts.concat(), ready }
}

fn copy_data(bytes: &[u8]) -> Vec<u8> {
    message(b'd', bytes)
}

fn copy_done() -> Vec<u8> {
    message(b'c', b"")
}

fn copy_fail() -> Vec<u8> {
    message(b'f', b"the client's reason\0")
}

/// Bind with one binary parameter and binary results.
fn bind_binary(value: &[u8]) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0\x01\0\x01".to_vec();
    body.extend((value.len() as u32).to_be_bytes());
    body.extend(value);
    body.extend(b"\0\x01\0\x01");
    message(b'B', &body)
}

/// FunctionCall of `abs(int4)` (oid 1397) with a text argument and a text result.
fn call_abs() -> Vec<u8> {
    message(b'F', b"\0\0\x05\x75\0\x01\0\0\0\x01\0\0\0\x02-7\0\0")
}

const SETUP: &str = "\
CREATE TABLE conv (id int PRIMARY KEY, name text, n numeric);
INSERT INTO conv SELECT i, 'name ' || i, i / 4.0 FROM generate_series(1, 50) i;
GRANT ALL ON conv TO app;";

fn simple_conversations() -> Vec<Conversation> {
    vec![
        talk("select", 1, &[query("SELECT 1 AS a, 'b' AS b")]),
        talk(
            "several statements",
            1,
            &[query("SELECT 1; SELECT id FROM conv WHERE id < 3; SHOW x")],
        ),
        talk("an error in the middle", 1, &[query("SELECT 1; SELECT 1/0; SELECT 2")]),
        talk("empty", 2, &[query(""), query(" ; ;")]),
        talk("no columns", 1, &[query("SELECT FROM conv WHERE id < 4")]),
        talk("syntax error", 1, &[query("SELEC 1")]),
        talk("invalid encoding", 1, &[message(b'Q', b"SELECT '\xff\xfe'\0")]),
        talk(
            "queries in one packet",
            3,
            &[query("SELECT 1"), query("SELECT 2"), query("SELECT 3")],
        ),
        talk(
            "transaction states",
            5,
            &["BEGIN", "SELECT 1/0", "SELECT 1", "ROLLBACK", "SELECT 2"].map(query),
        ),
        talk("notices", 1, &[query("DO $$ BEGIN RAISE NOTICE 'n %', 1; RAISE LOG 'l'; END $$")]),
        talk(
            "parameter status",
            2,
            &[query("SET timezone = 'UTC'; SET application_name = 'x'"), query("SHOW timezone")],
        ),
        talk("an error with all its fields", 1, &[query("INSERT INTO conv VALUES (1, 'x', 0)")]),
        talk("a big row", 1, &[query("SELECT repeat('x', 3000000)")]),
        talk("many rows", 1, &[query("SELECT i, md5(i::text) FROM generate_series(1, 20000) i")]),
        talk(
            "cursors",
            5,
            &[
                "BEGIN",
                "DECLARE c CURSOR FOR SELECT id FROM conv ORDER BY id",
                "FETCH 3 FROM c",
                "FETCH ALL FROM c",
                "COMMIT",
            ]
            .map(query),
        ),
        talk("function call", 2, &[call_abs(), query("SELECT 1")]),
        talk("listen and notify", 2, &[query("LISTEN conv"), query("NOTIFY conv, 'payload'")]),
    ]
}

fn copy_conversations() -> Vec<Conversation> {
    let rows: Vec<u8> =
        (100..5000).flat_map(|i| copy_data(format!("{i}\tx\t1\n").as_bytes())).collect();
    let copy = || query("COPY conv FROM STDIN");
    vec![
        talk("copy out", 1, &[query("COPY conv TO STDOUT")]),
        talk("copy out binary", 1, &[query("COPY (SELECT * FROM conv) TO STDOUT (FORMAT binary)")]),
        talk("copy out among others", 1, &[query("SELECT 1; COPY conv TO STDOUT; SELECT 2")]),
        talk("copy in", 3, &[query("BEGIN"), copy(), rows.clone(), copy_done(), query("ROLLBACK")]),
        talk("copy in, nothing", 1, &[copy(), copy_done()]),
        talk("copy in, given up", 2, &[copy(), rows.clone(), copy_fail(), query("SELECT 1")]),
        talk(
            "copy in, refused while the client still sends",
            2,
            &[copy(), copy_data(b"1\tagain\t0\n"), rows.clone(), copy_done(), query("SELECT 1")],
        ),
        talk(
            "copy in, sync and flush are not looked at",
            2,
            &[
                copy(),
                sync(),
                flush(),
                copy_data(b"9001\tx\t1\n"),
                sync(),
                copy_done(),
                query("DELETE FROM conv WHERE id > 50"),
            ],
        ),
        talk(
            "copy in by extended query",
            2,
            &[
                extended("COPY conv FROM STDIN", &[]),
                copy_data(b"9001\tx\t1\n"),
                copy_done(),
                sync(),
                query("DELETE FROM conv WHERE id > 50"),
            ],
        ),
        talk(
            "copy in by extended query, refused",
            2,
            &[
                extended("COPY conv FROM STDIN", &[]),
                copy_data(b"x\ty\n"),
                rows,
                copy_done(),
                extended("SELECT 'skipped'", &[]),
                sync(),
                query("SELECT 1"),
            ],
        ),
        talk(
            "copy data that nobody asked for",
            1,
            &[copy_data(b"x"), copy_done(), query("SELECT 1")],
        ),
    ]
}

const SELECT: &str = "SELECT id, name FROM conv WHERE id <= $1::int ORDER BY id";

fn pipeline_conversations() -> Vec<Conversation> {
    vec![
        talk("extended", 1, &[extended(SELECT, &[Some("3")]), sync()]),
        talk("null parameter", 1, &[extended(SELECT, &[None]), sync()]),
        talk("empty statement", 1, &[extended("", &[]), sync()]),
        talk("binary", 1, &[parse("", SELECT), bind_binary(&[0, 0, 0, 2]), execute("", 0), sync()]),
        talk(
            "malformed binary",
            1,
            &[parse("", SELECT), bind_binary(&[1]), execute("", 0), sync()],
        ),
        talk(
            "a pipeline with one sync",
            1,
            &[extended(SELECT, &[Some("1")]), extended("SELECT 2", &[]), sync()],
        ),
        talk(
            "skipped up to the sync",
            2,
            &[
                extended("SELECT 1/$1::int", &[Some("0")]),
                extended("SELECT 'skipped'", &[]),
                flush(),
                close(b'S', "x"),
                sync(),
                extended("SELECT 'runs'", &[]),
                sync(),
            ],
        ),
        talk(
            "several syncs in flight",
            4,
            &[
                [extended("SELECT 1", &[]), sync()].concat(),
                [extended("SELECT no_such", &[]), sync()].concat(),
                [extended("SELECT 3", &[]), sync()].concat(),
                sync(),
            ],
        ),
        talk("flush", 1, &[extended("SELECT 1", &[]), flush(), extended("SELECT 2", &[]), sync()]),
        talk("nothing but syncs", 3, &[sync(), sync(), flush(), sync()]),
        talk("a query between", 2, &[parse("", "SELECT 1"), query("SELECT 2"), sync()]),
        talk("an error before its sync", 1, &[parse("", "SELECT no_such"), flush(), sync()]),
    ]
}

fn statement_conversations() -> Vec<Conversation> {
    vec![
        talk(
            "suspended portals, two at a time",
            1,
            &[
                extended("BEGIN", &[]),
                parse("", SELECT),
                bind("one", "", &[Some("7")]),
                bind("two", "", &[Some("9")]),
                describe(b'P', "one"),
                execute("one", 3),
                execute("two", 4),
                execute("one", 3),
                execute("one", 0),
                execute("two", 0),
                execute("two", 0),
                close(b'P', "one"),
                extended("COMMIT", &[]),
                sync(),
            ],
        ),
        talk(
            "named statements",
            3,
            &[
                parse("s", SELECT),
                describe(b'S', "s"),
                bind("", "s", &[Some("1")]),
                execute("", 0),
                bind("", "s", &[Some("2")]),
                execute("", 0),
                sync(),
                parse("s", "SELECT 'a second one of this name'"),
                sync(),
                close(b'S', "s"),
                close(b'S', "never there"),
                bind("", "s", &[Some("1")]),
                execute("", 0),
                sync(),
            ],
        ),
        talk(
            "statements of both worlds",
            4,
            &[
                query("PREPARE p(int) AS SELECT $1 * 2"),
                query("EXECUTE p(4)"),
                [bind("", "p", &[Some("5")]), describe(b'P', ""), execute("", 0), sync()].concat(),
                query("DEALLOCATE ALL"),
            ],
        ),
        talk("wrong count of parameters", 1, &[parse("", SELECT), bind("", "", &[]), sync()]),
        talk("a portal that is not there", 1, &[execute("nowhere", 0), sync()]),
    ]
}

/// What one server says. Only what names the backend process is taken out.
fn answers(endpoint: &Endpoint, conversation: &Conversation, piece: usize) -> Vec<Message> {
    let mut raw = Raw::login(endpoint);
    // A server that refuses a COPY answers while the client still sends, so reading is concurrent
    // enough only if the client's bytes fit into the sockets' buffers; these do.
    raw.send_split(&conversation.bytes, piece);
    let mut messages = raw.read_ready(conversation.ready);
    for message in &mut messages {
        if message.kind == b'A' {
            message.body.drain(..4);
        }
    }
    raw.send(&terminate());
    assert!(raw.read_to_end().is_empty(), "{}: said more", conversation.name);
    messages
}

fn shortened(messages: &[Message]) -> String {
    let shown: Vec<String> = messages.iter().take(60).map(|m| format!("{m:?}")).collect();
    shown.join("\n  ")
}

fn compare(conversations: Vec<Conversation>) {
    let database = Postgres::shared().database();
    database.sql(SETUP);
    let weir = Spec::new(&database).start();
    for conversation in conversations {
        let expect = answers(&database.endpoint(), &conversation, usize::MAX);
        assert!(expect.len() >= conversation.ready, "{}", conversation.name);
        for piece in [usize::MAX, 1, 7, 1000] {
            // One byte at a time is for the shapes, not for the volume.
            if conversation.bytes.len() / piece > 3000 {
                continue;
            }
            let found = answers(&weir.endpoint(), &conversation, piece);
            assert!(
                found == expect,
                "{} in pieces of {piece}\nthrough weir:\n  {}\ndirect:\n  {}",
                conversation.name,
                shortened(&found),
                shortened(&expect)
            );
        }
    }
}

#[test]
fn simple_queries_are_answered_alike() {
    compare(simple_conversations());
}

#[test]
fn copies_are_answered_alike() {
    compare(copy_conversations());
}

#[test]
fn extended_queries_are_answered_alike() {
    compare(pipeline_conversations());
}

#[test]
fn statements_and_portals_are_answered_alike() {
    compare(statement_conversations());
}

/// A failing part, heard before the rest of its pipeline is sent: the rest is skipped all the same.
fn heard_before_the_sync(endpoint: &Endpoint) -> Vec<Message> {
    let mut raw = Raw::login(endpoint);
    raw.send(&[extended("SELECT 1/0", &[]), flush()].concat());
    let mut messages = Vec::new();
    while messages.last().is_none_or(|message: &Message| message.kind != b'E') {
        messages.push(raw.read().expect("an answer").expect("no end of stream"));
    }
    raw.send(&[extended("SELECT 'skipped'", &[]), query("SELECT 'skipped too'")].concat());
    std::thread::sleep(Duration::from_millis(100));
    raw.send(&[parse("s", "SELECT 'skipped as well'"), sync()].concat());
    messages.extend(raw.read_ready(1));
    raw.send(&[bind("", "s", &[]), sync(), extended("SELECT 'runs'", &[]), sync()].concat());
    messages.extend(raw.read_ready(2));
    messages
}

#[test]
fn what_comes_after_an_error_was_heard_is_skipped_alike() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let expect = heard_before_the_sync(&database.endpoint());
    assert_eq!(heard_before_the_sync(&weir.endpoint()), expect);
}

/// The conversations themselves, against PostgreSQL alone: none waits for an answer that does not
/// come, and each behaves the same however the bytes are cut.
#[test]
fn conversations_work_without_weir() {
    let database = Postgres::shared().database();
    database.sql(SETUP);
    let all = [
        simple_conversations(),
        copy_conversations(),
        pipeline_conversations(),
        statement_conversations(),
    ];
    for conversation in all.into_iter().flatten() {
        let whole = answers(&database.endpoint(), &conversation, usize::MAX);
        let cut = answers(&database.endpoint(), &conversation, 1000);
        assert!(whole == cut, "{}", conversation.name);
        let ready = kinds(&whole).matches('Z').count();
        assert_eq!(ready, conversation.ready, "{}", conversation.name);
    }
}

/// Messages of a login up to ReadyForQuery, with what differs between two backends taken out.
fn greeting(endpoint: &Endpoint) -> Vec<Message> {
    let (_, mut messages) = Raw::try_login(endpoint);
    for message in &mut messages {
        if message.kind == b'K' {
            message.body.truncate(0);
        }
    }
    messages.sort_by(|a, b| (a.kind, &a.body).cmp(&(b.kind, &b.body)));
    messages
}

#[test]
fn a_login_says_what_the_server_says() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    assert_eq!(greeting(&weir.endpoint()), greeting(&database.endpoint()));
}

#[test]
fn options_of_the_startup_packet_reach_the_server() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let mut command = tools::client("psql");
    weir.endpoint().give_to(&mut command);
    command.env("PGOPTIONS", "-c work_mem=7MB -c statement_timeout=54321");
    command.env("PGAPPNAME", "an application").env("PGTZ", "Asia/Tokyo");
    let sql = "SELECT current_setting('work_mem'), current_setting('statement_timeout'), \
               current_setting('application_name'), current_setting('timezone')";
    let found = crate::support::scratch::run(command.args(["-XqAt", "-c", sql]));
    assert_eq!(found.trim(), "7MB|54321ms|an application|Asia/Tokyo");
}

/// The answer to a start-up packet that states `minor` and one option of the protocol.
fn negotiated(port: u16, endpoint: &Endpoint, minor: u16) -> Option<Message> {
    let mut raw = Raw::connect(port);
    let mut body = (0x0003_0000 | u32::from(minor)).to_be_bytes().to_vec();
    let pairs =
        [("user", endpoint.user.as_str()), ("database", &endpoint.dbname), ("_pq_.grease", "1")];
    for (name, value) in pairs {
        body.extend(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    raw.send(&packet(&body));
    raw.read().expect("an answer")
}

#[test]
fn newer_protocol_versions_are_negotiated_down() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    for minor in [0, 2, 9999] {
        let answer = negotiated(weir.port, &weir.endpoint(), minor).expect("no end of stream");
        assert_eq!(answer.kind, b'v', "3.{minor}: {answer:?}");
        let version = u32::from_be_bytes(answer.body[..4].try_into().expect("four bytes"));
        assert!(version == 0x0003_0000 || version == 0x0003_0002, "3.{minor}: {version:#x}");
        assert!(version <= 0x0003_0000 | u32::from(minor), "3.{minor}: {version:#x}");
        assert_eq!(&answer.body[4..], b"\0\0\0\x01_pq_.grease\0", "3.{minor}");
    }
    // What PostgreSQL 15 itself says to the same.
    let direct = negotiated(database.endpoint().port, &database.endpoint(), 9999);
    assert_eq!(direct.map(|message| message.kind), Some(b'v'));
}

#[test]
fn encryption_requests_are_answered_with_one_byte() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let mut raw = Raw::connect(weir.port);
    raw.send(&raw::GSS_REQUEST);
    assert_eq!(raw.read_byte().expect("an answer"), Some(b'N'));
    raw.send(&startup(&[("user", &weir.endpoint().user), ("database", TARGET)]));
    let answer = raw.read().expect("an answer").expect("no end of stream");
    assert_eq!(answer.kind, b'R', "{answer:?}");
    let mut raw = Raw::connect(weir.port);
    raw.send(&raw::SSL_REQUEST);
    assert_eq!(raw.read_byte().expect("an answer"), Some(b'S'));
}

#[test]
fn a_cancel_request_reaches_the_right_backend() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let (mut sleeper, greeting) = Raw::try_login(&weir.endpoint());
    let (mut other, _) = Raw::try_login(&weir.endpoint());
    let key = greeting.iter().find(|message| message.kind == b'K').expect("a key");
    sleeper.send(&query("SELECT pg_sleep(60)"));
    other.send(&query("SELECT pg_sleep(2)"));
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let mut request = Raw::connect(weir.port);
    request.send(&packet(&[&80_877_102u32.to_be_bytes()[..], &key.body].concat()));
    assert!(request.read_to_end().is_empty(), "a CancelRequest has no answer");
    assert_eq!(sqlstate(&sleeper.read_ready(1)).as_deref(), Some("57014"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(sqlstate(&other.read_ready(1)), None);
    assert_eq!(sleeper.rows("SELECT 1"), [[Some("1".to_owned())]]);
}

#[test]
fn a_cancel_request_finds_its_session_from_another_weir() {
    let database = Postgres::shared().database();
    let (weir, elsewhere) = (Spec::new(&database).start(), Spec::new(&database).start());
    let (mut sleeper, greeting) = Raw::try_login(&weir.endpoint());
    let key = greeting.iter().find(|message| message.kind == b'K').expect("a key");
    sleeper.send(&query("SELECT pg_sleep(60)"));
    wait_until("the statement to run", Duration::from_secs(20), || {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(6%' \
                        AND datname = current_database() AND state = 'active'";
        database.sql(sleeping) == "1"
    });
    let mut request = Raw::connect(elsewhere.port);
    request.send(&packet(&[&80_877_102u32.to_be_bytes()[..], &key.body].concat()));
    assert!(request.read_to_end().is_empty(), "a CancelRequest has no answer");
    assert_eq!(sqlstate(&sleeper.read_ready(1)).as_deref(), Some("57014"));
    assert_eq!(sleeper.rows("SELECT 1"), [[Some("1".to_owned())]]);
}

#[test]
fn a_cancel_request_with_a_wrong_key_does_nothing() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let (mut sleeper, greeting) = Raw::try_login(&weir.endpoint());
    let key = greeting.iter().find(|message| message.kind == b'K').expect("a key");
    let mut wrong = key.body.clone();
    wrong[7] ^= 0x55;
    sleeper.send(&query("SELECT pg_sleep(1)"));
    let mut request = Raw::connect(weir.port);
    request.send(&packet(&[&80_877_102u32.to_be_bytes()[..], &wrong].concat()));
    assert!(request.read_to_end().is_empty());
    assert_eq!(sqlstate(&sleeper.read_ready(1)), None);
}

fn logs_in_at(server: &Endpoint, database: &Database, settings: &str) {
    let spec = Spec::new(database).target_settings(server, settings);
    let weir = spec.start();
    let sql = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let tls = if settings == CLEAR { "f" } else { "t" };
    let expect = format!("{}|{tls}", server.user);
    assert_eq!(tools::psql(&weir.endpoint(), sql), expect, "{settings}");
    assert_eq!(tools::psql(&weir.endpoint().with_tls(), sql), expect, "{settings}");
}

#[test]
fn weir_logs_in_by_every_method_of_the_server() {
    let database = Postgres::shared().database();
    let roots = format!("root_certificates = \"{}\"", Certificates::shared().authority.display());
    let direct = database.endpoint();
    for role in ["app", "app_md5"] {
        logs_in_at(&direct.with_user(role, &direct.password), &database, CLEAR);
    }
    // Whoever stands at its port would have the password.
    let server = direct.with_user("app_clear", &direct.password);
    let weir = Spec::new(&database).target_settings(&server, CLEAR).start();
    let words = tools::psql_fails(&weir.endpoint(), "SELECT 1");
    assert!(words.contains("scram-sha-256 or TLS"), "{words}");
    for role in ["app", "app_tls", "app_md5", "app_clear"] {
        let server = direct.with_user(role, &direct.password);
        logs_in_at(&server, &database, &format!("tls = \"verify-ca\"\n{roots}"));
        logs_in_at(&server, &database, "tls = \"require\"");
    }
    let mut server = direct.clone();
    server.host = "localhost".to_owned();
    logs_in_at(&server, &database, &format!("tls = \"verify-full\"\n{roots}"));
}

#[test]
fn a_server_that_closes_ends_the_session_with_its_own_words() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let mut raw = Raw::login(&weir.endpoint());
    let pid = raw.rows("SELECT pg_backend_pid()")[0][0].clone().expect("a pid");
    database.sql(&format!("SELECT pg_terminate_backend({pid})"));
    let last = raw.read_to_end();
    assert_eq!(sqlstate(&last).as_deref(), Some("57P01"), "{last:?}");
}

#[test]
fn answers_that_nobody_reads_do_not_fill_the_memory() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let mut warm = Raw::login(&weir.endpoint());
    warm.rows("SELECT repeat('x', 1000000)");
    let before = weir.resident_kib();
    let mut slow: Vec<Raw> = (0..4).map(|_| Raw::login(&weir.endpoint())).collect();
    for raw in &mut slow {
        raw.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"));
    }
    std::thread::sleep(Duration::from_secs(3));
    let grown = weir.resident_kib().saturating_sub(before);
    // 1.2 GB wait at the server; weir may hold its bounds per session and no more.
    assert!(grown < 64 * 1024, "grew by {grown} KiB for 4 sessions");
    for raw in &mut slow {
        let rows = raw.read_ready(1).iter().filter(|message| message.kind == b'D').count();
        assert_eq!(rows, 300_000);
    }
}

#[test]
fn twenty_megabytes_pass_in_both_directions() {
    let database = Postgres::shared().database();
    let weir = Spec::new(&database).start();
    let mut raw = Raw::login(&weir.endpoint());
    let big = "0123456789abcdef".repeat(20 * 65536);
    raw.send(&[extended("SELECT $1::text", &[Some(&big)]), sync()].concat());
    let messages = raw.read_ready(1);
    assert_eq!(kinds(&messages), "12TDCZ");
    assert!(messages[3].values()[0].as_deref() == Some(big.as_str()), "another value came back");
    assert_eq!(raw.rows("SELECT 1"), [[Some("1".to_owned())]]);
}
