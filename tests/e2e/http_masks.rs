//! Masks in the bodies and fields of HTTP: curl, weir, a real server whose answers hold what masks
//! are for.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::lake::{Row, bytes, number, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Spec, Weir, tools, wait_until};

const RULES: &str = r#"
[[rule]]
name = "everything"
when = { commands = ["read", "write", "tunnel"] }
then = "allow"
"#;

const MASKS: &str = r#"
[[mask]]
detect = ["credit-card", "email"]
operator = "redact"
except = { groups = ["pii"] }
[[mask]]
paths = ["people.*.customer.ssn", "customer.ssn"]
operator = "partial"
except = { groups = ["pii"] }
"#;

/// What no answer may hold.
const SECRETS: [&str; 4] = ["4539148803436467", "bob@example.com", "bob%40example.com", "078-05"];

struct Bed {
    weir: Weir,
    port: u16,
    server: Child,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bed {
    fn start() -> Bed {
        let (port, server_port) = (free_port(), free_port());
        let mut server = tools::python();
        server.arg(tools::script("body_server.py")).arg(server_port.to_string());
        let server = server.stdin(Stdio::null()).spawn().expect("python starts");
        let answers = || TcpStream::connect(("127.0.0.1", server_port)).is_ok();
        wait_until("the server", Duration::from_secs(20), answers);
        let spec = Spec::bare("http-masks").rules(RULES).masks(MASKS);
        let spec = spec.user(USER, &["staff"]).user("pia", &["pii"]);
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n[[target]]\nname = \"people\"\n\
             protocol = \"http\"\naddress = \"http://127.0.0.1:{server_port}\"\n\
             host = \"localhost\"\nopaque = [\"image/*\", \"text/html\"]\n"
        );
        Bed { weir: spec.tail(&tail).start(), port, server }
    }

    fn curl(&self, user: &str, path: &str) -> Command {
        let mut command = Command::new("curl");
        let login = format!("{user}:{USER_PASSWORD}");
        command.args(["-sS", "-m", "60", "-u", &login, "--noproxy", "*"]);
        command.arg(format!("http://localhost:{}{path}", self.port));
        command
    }

    /// Head and body of an answer; no secret is in it.
    fn get(&self, path: &str) -> String {
        let answer = run(self.curl(USER, path).arg("-i"));
        for secret in SECRETS {
            assert!(!answer.contains(secret), "{path}: {secret} in {answer}");
        }
        answer
    }

    fn body(&self, path: &str) -> String {
        let answer = self.get(path);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_ascii_lowercase().contains("cache-control: private"), "{head}");
        body.to_owned()
    }
}

/// The chunks of an answer, in their order.
fn chunks(rows: &[Row], command: &Row) -> Vec<Vec<u8>> {
    let mine = |row: &&Row| {
        text(row, "session_id") == text(command, "session_id")
            && number(row, "command_seq") == number(command, "seq")
            && number(row, "stream") == 1
    };
    let mut rows: Vec<&Row> = rows.iter().filter(mine).collect();
    rows.sort_by_key(|row| number(row, "chunk_no"));
    rows.iter().map(|row| bytes(row, "payload")).collect()
}

#[test]
fn bodies_are_masked_where_they_stand_and_recorded_so() {
    let mut bed = Bed::start();
    let whole = bed.body("/json");
    assert!(whole.contains(r#""spaced": [1, 2]"#), "what is not masked stays: {whole}");
    let people: Value = serde_json::from_str(&whole).expect("JSON");
    let person = &people["people"][0];
    assert_eq!(person["customer"], json!({ "ssn": "***-**-1120", "mail": "[EMAIL]" }), "{whole}");
    assert_eq!(person["note"], "card [CREDIT_CARD]", "{whole}");
    for path in ["/pieces", "/untyped", "/lying", "/gzip-if-asked"] {
        assert_eq!(bed.body(path), whole, "{path}");
    }
    assert_eq!(bed.body("/form"), "card=%5BCREDIT_CARD%5D&mail=%5BEMAIL%5D&name=Bob+B");
    assert_eq!(bed.body("/text"), "write to [EMAIL], pay by [CREDIT_CARD]\n");
    let head = bed.get("/json").to_ascii_lowercase();
    for dropped in ["etag", "digest:", "accept-ranges", "content-length"] {
        assert!(!head.contains(dropped), "{dropped} in {head}");
    }
    let asked = bed.body("/asked");
    assert!(asked.contains(r#""Accept-Encoding": "identity""#), "{asked}");
    let guess = ["-H", "If-None-Match: \"guess\"", "-H", "if: ([\"guess\"])"];
    let told = run(bed.curl(USER, "/asked").args(guess)).to_ascii_lowercase();
    assert!(told.contains("accept-encoding") && !told.contains("guess"), "{told}");
    let change = ["-X", "PUT", "-H", "If-Match: \"guess\"", "-d", "x"];
    let told = run(bed.curl(USER, "/asked").args(change));
    assert!(told.contains("masking-condition"), "{told}");
    let seen = run(&mut bed.curl("pia", "/json"));
    assert!(SECRETS[..2].iter().all(|secret| seen.contains(secret)), "pia may see it: {seen}");

    let lake = bed.weir.lake();
    let (command, response) = lake.exchange("GET /pieces");
    let kept = chunks(&lake.rows("stream_chunks"), &command).concat();
    assert_eq!(String::from_utf8_lossy(&kept), whole, "the record holds what the client saw");
    assert_eq!(number(&response, "body_len"), whole.len() as i64);
    assert!(!text(&command, "policy_version").is_empty());
    assert_eq!(command["rules"], json!(["everything"]));
    let hits = lake.rows("masking_hits");
    let mine = |row: &&Row| {
        text(row, "session_id") == text(&command, "session_id")
            && number(row, "command_seq") == number(&command, "seq")
    };
    let mut told: Vec<_> = hits
        .iter()
        .filter(mine)
        .map(|row| (text(row, "path"), text(row, "detector"), text(row, "operator")))
        .collect();
    told.sort();
    let expect = [
        ("people.*.customer.mail", "email", "redact"),
        ("people.*.customer.ssn", "path", "partial"),
        ("people.*.note", "credit-card", "redact"),
    ];
    let expect: Vec<_> =
        expect.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
    assert_eq!(told, expect);
}

#[test]
fn events_are_masked_and_recorded_one_by_one() {
    let mut bed = Bed::start();
    let body = bed.body("/events");
    assert!(body.starts_with(": hello\n\ndata: plain [EMAIL]\n\nevent: row\ndata: {"), "{body}");
    assert!(body.ends_with("\n\ndata: last\n\n"), "{body}");
    let lake = bed.weir.lake();
    let (command, _) = lake.exchange("GET /events");
    let kept = chunks(&lake.rows("stream_chunks"), &command);
    assert_eq!(kept.len(), 4, "a chunk each: {kept:?}");
    assert_eq!(kept[1], b"data: plain [EMAIL]\n\n");
    assert_eq!(kept.concat(), body.as_bytes());
}

#[test]
fn what_masks_cannot_look_into_is_not_delivered() {
    let mut bed = Bed::start();
    for (path, kind) in [
        ("/gzip", "masking-encoded"),
        ("/pdf", "masking-type"),
        ("/latin", "masking-type"),
        ("/part", "masking-partial"),
    ] {
        let answer = bed.get(path);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let problem: Value = serde_json::from_str(body).expect("problem+json");
        assert_eq!(problem["type"], format!("urn:weir:problem:{kind}"), "{path}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    for (path, kind) in [("/utf16", "json-"), ("/broken", "json-"), ("/csv", "masking-type")] {
        let answer = bed.get(path);
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{path}: {answer}");
        assert!(answer.contains(&format!("urn:weir:problem:{kind}")), "{path}: {answer}");
    }
    // Found out when bytes have left: the answer is cut, and nobody takes it for whole.
    let cut = output(&mut bed.curl(USER, "/breaking"));
    assert!(!cut.status.success(), "{cut:?}");
    let said = String::from_utf8_lossy(&cut.stdout).into_owned();
    assert!(SECRETS.iter().all(|secret| !said.contains(secret)), "{said}");
    let image = output(&mut bed.curl(USER, "/image")).stdout;
    assert_eq!(image, b"\x89PNG bob@example.com", "the target's `opaque` names images");
    let mut socket = bed.curl(USER, "/json");
    socket.args(["-i", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket"]);
    socket.args(["-H", "Sec-WebSocket-Version: 13"]);
    let refused = run(socket.args(["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]));
    assert!(refused.contains("urn:weir:problem:masking-websocket"), "{refused}");
    let lake = bed.weir.lake();
    for (path, outcome, words) in [
        ("GET /gzip HTTP", "aborted", "masking-encoded"),
        ("GET /pdf", "aborted", "masking-type"),
        ("GET /broken", "aborted", "json-"),
    ] {
        let (_, response) = lake.exchange(path);
        assert_eq!(text(&response, "outcome"), outcome, "{path}");
        assert!(text(&response, "error_text").starts_with(words), "{path}: {response:?}");
    }
}

#[test]
fn fields_errors_and_heads_are_masked_too() {
    let bed = Bed::start();
    let fields = bed.get("/fields");
    assert!(fields.contains("X-Owner: [EMAIL]\r\n"), "{fields}");
    assert!(fields.contains("Location: http://elsewhere/?to=[EMAIL]\r\n"), "{fields}");
    assert!(fields.contains("X-Plain: kept\r\n"), "{fields}");
    let error = bed.get("/error");
    assert!(error.starts_with("HTTP/1.1 500 "), "{error}");
    assert!(error.ends_with("<p>no such user: [EMAIL]</p>"), "{error}");
    let head = run(bed.curl(USER, "/json").arg("-I"));
    assert!(!head.to_ascii_lowercase().contains("content-length"), "{head}");
    let old = run(bed.curl(USER, "/pieces").arg("--http1.0"));
    assert!(old.contains("[EMAIL]") && SECRETS.iter().all(|s| !old.contains(s)), "{old}");
}
