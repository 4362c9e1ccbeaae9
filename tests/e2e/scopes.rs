//! Approvals beyond one command: people with two names, repeats, windows, limits, reloads,
//! endpoints that hear of them, and the record of who did what.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde_json::Value;

use crate::support::lake::{Row, number, text};
use crate::support::raw::{close, kinds, parse, query, sqlstate, sync};
use crate::support::scratch::output;
use crate::support::weir::USER_PASSWORD;
use crate::support::{Database, Postgres, Raw, Spec, Weir, wait_until};

const RULES: &str = r#"
[[rule]]
name = "writes are seen"
when = { commands = ["write"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1m" } }

[[rule]]
name = "the rest"
when = {}
then = "allow"
"#;

fn spec(database: &Database) -> Spec {
    database.sql("CREATE TABLE things (id int PRIMARY KEY); GRANT ALL ON things TO app");
    Spec::new(database)
        .rules(RULES)
        .user("dora", &["dba"])
        .user("dave", &["dba"])
        .user("alice-admin", &["dba"])
        .tail("[[person]]\nidentities = [\"alice\", \"alice-admin\"]\n")
}

fn run(weir: &Weir, arguments: &[&str]) -> std::process::Output {
    output(weir.command(arguments).env("WEIR_PASSWORD", USER_PASSWORD))
}

/// The id of the one command that waits.
fn held(weir: &Weir) -> String {
    let mut id = String::new();
    wait_until("a command to be held", Duration::from_secs(20), || {
        let listed = run(weir, &["approvals", "list", "--json"]);
        let line = String::from_utf8_lossy(&listed.stdout).lines().next().map(str::to_owned);
        let ask: Value = serde_json::from_str(&line.unwrap_or_default()).unwrap_or_default();
        id = ask["id"].as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    });
    id
}

fn approve(weir: &Weir, id: &str, user: &str, more: &[&str]) -> bool {
    let vote = ["approvals", "approve", id, "--reason", "ticket 7", "--as", user];
    run(weir, &[&vote[..], more].concat()).status.success()
}

fn steps(rows: &[Row]) -> Vec<String> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| number(row, "log_index"));
    rows.iter().map(|row| text(row, "event")).collect()
}

fn runs_at_once(raw: &mut Raw, sql: &str) {
    let messages = raw.query(sql);
    assert_eq!(kinds(&messages), "CZ", "{sql}: {messages:?}");
}

#[test]
fn a_statement_is_approved_for_more_than_one_execution_byte_for_byte() {
    let database = Postgres::shared().database();
    let mut weir = spec(&database).start();
    let mut raw = Raw::login(&weir.endpoint());
    let sql = "INSERT INTO things SELECT count(*) FROM things";
    raw.send(&query(sql));
    let id = held(&weir);
    assert!(!approve(&weir, &id, "alice-admin", &[]), "she approves herself by another name");
    assert!(!approve(&weir, &id, "dora", &["--repeat", "21"]), "beyond the bound");
    assert!(approve(&weir, &id, "dora", &["--repeat", "2", "--within", "5m"]));
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
    runs_at_once(&mut raw, sql);
    runs_at_once(&mut raw, sql);
    raw.send(&query(sql));
    let again = held(&weir);
    assert_ne!(again, id, "used up");
    assert!(approve(&weir, &again, "dora", &[]));
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
    raw.send(&query(&format!("{sql} ")));
    let other = held(&weir);
    assert!(approve(&weir, &other, "dora", &[]));
    raw.read_ready(1);
    drop(raw);
    let lake = weir.lake();
    let rows = lake.rows("approvals");
    let first: Vec<Row> = rows.into_iter().filter(|row| text(row, "approval_id") == id).collect();
    assert_eq!(steps(&first), ["requested", "vote-approve", "approved", "used", "used"]);
    let vote = first.iter().find(|row| text(row, "event") == "vote-approve").expect("a vote");
    assert_eq!(text(vote, "approver_auth"), "password");
    assert_eq!(text(vote, "channel"), "cli");
    assert!(text(vote, "scope").contains("same_statement"), "{vote:?}");
}

#[test]
fn a_window_is_open_for_other_sessions_until_it_is_closed() {
    let database = Postgres::shared().database();
    let mut weir = spec(&database).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("INSERT INTO things VALUES (1)"));
    let id = held(&weir);
    assert!(approve(&weir, &id, "dora", &["--window", "10m"]));
    assert_eq!(sqlstate(&raw.read_ready(1)), None);
    let listed = || {
        let windows = run(&weir, &["approvals", "windows", "--json"]);
        String::from_utf8_lossy(&windows.stdout).into_owned()
    };
    wait_until("the window", Duration::from_secs(20), || listed().contains(&id));
    let mut other = Raw::login(&weir.endpoint());
    runs_at_once(&mut other, "INSERT INTO things VALUES (2)");
    // Who could have opened it may close it: dora may be asleep.
    let closed = run(&weir, &["approvals", "revoke", &id, "--as", "dave"]);
    assert!(closed.status.success(), "{}", String::from_utf8_lossy(&closed.stderr));
    assert!(listed().is_empty());
    other.send(&query("INSERT INTO things VALUES (3)"));
    let next = held(&weir);
    let denied = run(&weir, &["approvals", "deny", &next, "--reason", "no", "--as", "dora"]);
    assert!(denied.status.success());
    assert_eq!(sqlstate(&other.read_ready(1)).as_deref(), Some("42501"));
    // The same statement is not asked for again at once.
    assert_eq!(other.fails("INSERT INTO things VALUES (3)"), "42501");
    drop((raw, other));
    assert_eq!(database.sql("SELECT count(*) FROM things"), "2");
    let lake = weir.lake();
    let used = lake.rows("approvals");
    let used = used.iter().find(|row| text(row, "event") == "used").expect("it ran by the window");
    assert!(text(used, "reason").starts_with("approved by dora ("), "{used:?}");
    let events = lake.rows("log_events");
    let of = |name: &str| events.iter().filter(|row| text(row, "event") == name).count();
    assert_eq!(of("window-revoked"), 1, "{events:#?}");
}

#[test]
fn one_identity_has_so_many_asks() {
    let database = Postgres::shared().database();
    let weir = spec(&database).tail("[approvals]\nper_identity = 1\n").start();
    let mut sessions: Vec<Raw> = (0..8).map(|_| Raw::login(&weir.endpoint())).collect();
    for (number, raw) in sessions.iter_mut().enumerate() {
        raw.send(&query(&format!("INSERT INTO things VALUES ({number})")));
    }
    let listed = || {
        let listed = run(&weir, &["approvals", "list", "--json"]);
        String::from_utf8_lossy(&listed.stdout).lines().count()
    };
    wait_until("asks", Duration::from_secs(20), || listed() > 0);
    std::thread::sleep(Duration::from_millis(500));
    // The bound is for each shard.
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(listed() <= shards, "{} wait on {shards} shards", listed());
}

#[test]
fn what_administrators_do_is_in_the_record_with_their_names() {
    let database = Postgres::shared().database();
    let mut weir = spec(&database).start();
    let raw = Raw::login(&weir.endpoint());
    let found = run(&weir, &["search", "--grep", "nothing-of-the-kind", "--json"]);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let live = run(&weir, &["sessions", "--live", "--json"]);
    let line = String::from_utf8_lossy(&live.stdout).lines().next().unwrap_or("{}").to_owned();
    let session: Value = serde_json::from_str(&line).expect("a session");
    let id = session["session_id"].as_str().expect("an id").to_owned();
    assert!(run(&weir, &["kill", &id]).status.success());
    weir.reload(|text| text.replace("writes are seen", "writes are watched"));
    drop(raw);
    let lake = weir.lake();
    let events = lake.rows("log_events");
    let find = |name: &str| {
        let row = events.iter().find(|row| text(row, "event") == name);
        let row = row.unwrap_or_else(|| panic!("no {name}: {events:#?}"));
        serde_json::from_str::<Value>(&text(row, "attrs")).expect("facts")
    };
    let reading = find("lake-read");
    assert_eq!(reading["command"], "search");
    assert_eq!(reading["caller"], "admin");
    assert!(reading["arguments"].to_string().contains("nothing-of-the-kind"));
    assert_eq!(find("kill")["session_id"], id.as_str());
    let changes = find("reload")["changes"].to_string();
    assert!(changes.contains("+ rule writes are watched"), "{changes}");
    assert!(changes.contains("- rule writes are seen"), "{changes}");
}

/// Fields and content of a message.
type Received = (Vec<(String, String)>, String);

/// A receiver that takes one message per connection and hands them on.
fn receiver() -> (u16, mpsc::Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, messages) = mpsc::channel();
    std::thread::spawn(move || {
        for (count, client) in listener.incoming().flatten().take(8).enumerate() {
            let mut reader = BufReader::new(client);
            let mut line = String::new();
            let mut fields = Vec::new();
            reader.read_line(&mut line).expect("a request");
            loop {
                line.clear();
                reader.read_line(&mut line).expect("a field");
                let Some((name, value)) = line.trim_end().split_once(':') else { break };
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            let length = fields.iter().find(|(name, _)| name == "content-length");
            let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            // The first try fails, so that there has to be a second one.
            let status = if count == 0 { "503 Later" } else { "204 Taken" };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = reader.get_mut().write_all(answer.as_bytes());
            let body = String::from_utf8(body).expect("text");
            if sender.send((fields, body)).is_err() {
                break;
            }
        }
    });
    (port, messages)
}

#[test]
fn endpoints_hear_of_asks_signed_and_with_a_link_that_changes_nothing() {
    let database = Postgres::shared().database();
    let (port, messages) = receiver();
    let key = b"a key of more than 24 bytes";
    let spec = spec(&database);
    let file = spec.folder().join("hook");
    std::fs::write(&file, format!("whsec_{}", BASE64.encode(key))).expect("a key");
    let tail = format!(
        "[[webhook]]\nname = \"chat\"\nurl = \"http://127.0.0.1:{port}/hook\"\n\
         secret = {{ file = \"{}\" }}\n",
        file.display()
    );
    let weir = spec.tail(&tail).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.send(&query("INSERT INTO things VALUES (77)"));
    let id = held(&weir);
    let receive = || messages.recv_timeout(Duration::from_secs(30)).expect("a message");
    let (first, again) = (receive(), receive());
    assert_eq!(first.1, again.1, "the same message is tried again");
    let field = |name: &str| {
        let found = again.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {name}"))
    };
    let signed = format!("{}.{}.{}", field("webhook-id"), field("webhook-timestamp"), again.1);
    let tag = field("webhook-signature");
    let tag = BASE64.decode(tag.strip_prefix("v1,").expect("version 1")).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&key, signed.as_bytes(), &tag).expect("signed by the key");
    let body: Value = serde_json::from_str(&again.1).expect("JSON");
    assert_eq!(body["type"], "ask.opened");
    assert_eq!(body["data"]["id"], id.as_str());
    assert!(!again.1.contains("INSERT"), "content = \"shape\" keeps the text here");
    let link = body["data"]["link"].as_str().expect("a link").to_owned();
    // Whoever fetches it without a name gets nothing; with one, it is shown and nothing changes.
    let fetch = |login: &[&str]| {
        let mut curl = std::process::Command::new("curl");
        let out = output(curl.args(["-sS", "-m", "20", "--noproxy", "*"]).args(login).arg(&link));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(!fetch(&[]).contains("INSERT"));
    let dora = format!("dora:{USER_PASSWORD}");
    for _ in 0..2 {
        assert!(fetch(&["-u", &dora]).contains("INSERT INTO things VALUES (77)"));
    }
    assert_eq!(held(&weir), id, "it still waits");
    assert!(approve(&weir, &id, "dora", &[]));
    raw.read_ready(1);
    let closed: Value = serde_json::from_str(&receive().1).expect("JSON");
    assert_eq!(closed["type"], "ask.closed");
    assert_eq!(closed["data"]["ended"], "approved");
    assert!(fetch(&["-u", &dora]).contains("approved"), "the link says what became of it");
}

/// A name, or a setting, can make another command of the same text.
#[test]
fn what_was_approved_for_more_than_once_is_asked_for_again_when_it_may_be_another() {
    let database = Postgres::shared().database();
    let weir = spec(&database).start();
    let mut raw = Raw::login(&weir.endpoint());
    let text = "UPDATE things SET id = 1 WHERE id = 1";
    raw.send(&query(text));
    assert!(approve(&weir, &held(&weir), "dora", &["--repeat", "5"]));
    raw.read_ready(1);
    runs_at_once(&mut raw, text);
    raw.rows("SET search_path = other, public");
    raw.send(&query(text));
    let id = held(&weir);
    let shown = run(&weir, &["approvals", "show", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("search_path was changed"), "{shown}");
    assert!(approve(&weir, &id, "dora", &[]));
    raw.read_ready(1);
    let prepare = |raw: &mut Raw, sql: &str| {
        raw.send(&[close(b'S', "s"), parse("s", sql), sync()].concat());
        raw.read_ready(1);
    };
    prepare(&mut raw, "UPDATE things SET id = 2 WHERE id = $1");
    raw.send(&query("EXECUTE s (1)"));
    let id = held(&weir);
    let shown = run(&weir, &["approvals", "show", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("SET id = 2 WHERE id = $1"), "{shown}");
    // The text of an EXECUTE says less than what runs.
    assert!(!approve(&weir, &id, "dora", &["--repeat", "5"]));
    assert!(approve(&weir, &id, "dora", &[]));
    raw.read_ready(1);
    prepare(&mut raw, "UPDATE things SET id = 666 WHERE id = $1");
    raw.send(&query("EXECUTE s (1)"));
    let id = held(&weir);
    assert!(approve(&weir, &id, "dora", &[]));
    raw.read_ready(1);
}
