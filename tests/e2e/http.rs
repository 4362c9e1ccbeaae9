//! HTTP through the same gate: curl and raw connections, weir, a real server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::lake::{Row, bytes, number, text};
use crate::support::scratch::{free_port, output, run};
use crate::support::web::{BEARER, Plan, RULES, Server, Web, shown_bearer};
use crate::support::weir::{USER, USER_PASSWORD};
use crate::support::{Spec, Weir, wait_until};

/// A server, weir in front of it, and the port of weir's listener.
struct Bed {
    weir: Weir,
    port: u16,
    server: Server,
}

impl Bed {
    fn start() -> Bed {
        let (port, server) = (free_port(), Server::start());
        let server_port = server.port;
        let spec = Spec::bare("http").rules(RULES).user(USER, &["staff"]).user("dora", &["dba"]);
        let token = spec.folder().join("bearer");
        std::fs::write(&token, BEARER).expect("a token");
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n[[target]]\nname = \"billing\"\n\
             protocol = \"http\"\naddress = \"http://127.0.0.1:{server_port}\"\n\
             host = \"localhost\"\n[[target.credential]]\nrole = \"svc\"\n\
             bearer = {{ file = \"{}\" }}\n",
            token.display()
        );
        Bed { weir: spec.tail(&tail).start(), port, server }
    }

    fn curl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        let login = format!("{USER}:{USER_PASSWORD}");
        command.args(["-sS", "-m", "60", "-u", &login, "--noproxy", "*"]).args(arguments);
        command
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// What the server says it was asked.
    fn ask(&self, arguments: &[&str], path: &str) -> Value {
        let answer = run(self.curl(arguments).arg(self.url(path)));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The status that a curl gets.
    fn status(&self, arguments: &[&str], path: &str) -> String {
        let status = ["-o", "/dev/null", "-w", "%{http_code}"];
        run(self.curl(arguments).args(status).arg(self.url(path)))
    }

    /// Sends bytes in pieces and reads to the end.
    fn raw(&self, bytes: &[u8], piece: usize) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("weir listens");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        for part in bytes.chunks(piece) {
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn authorization() -> String {
    let pair = format!("{USER}:{USER_PASSWORD}");
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// The content that is kept of one direction of a command.
fn content(chunks: &[Row], command: &Row, stream: i64) -> Vec<u8> {
    let mine = |row: &&Row| {
        text(row, "session_id") == text(command, "session_id")
            && number(row, "command_seq") == number(command, "seq")
            && number(row, "stream") == stream
    };
    let mut rows: Vec<&Row> = chunks.iter().filter(mine).collect();
    rows.sort_by_key(|row| number(row, "chunk_no"));
    rows.iter().flat_map(|row| bytes(row, "payload")).collect()
}

#[test]
fn a_request_is_identified_decided_recorded_and_answered() {
    let mut bed = Bed::start();
    let told = bed.ask(&["-H", "X-Mine: kept", "-d", "a body of mine"], "/orders/7?token=s3cret");
    assert_eq!(told["method"], "POST");
    assert_eq!(told["url"], "/orders/7?token=s3cret");
    assert_eq!(told["body"], "a body of mine");
    let headers = &told["headers"];
    assert_eq!(headers["x-mine"], "kept");
    assert_eq!(headers["authorization"], shown_bearer(), "no client sees weir's credential");
    let spelt: String = format!("Bearer {BEARER}").chars().rev().collect();
    assert_eq!(told["reversed"], spelt, "and the target got it");
    assert_eq!(headers["host"], format!("127.0.0.1:{}", bed.server.port));
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["via"], "1.1 weir");
    let lake = bed.weir.lake();
    let (command, response) = lake.exchange("POST /orders/7");
    assert_eq!(text(&command, "user_name"), USER);
    assert_eq!(text(&command, "decision"), "allow");
    assert_eq!(text(&command, "role"), "svc");
    let shown = text(&command, "query_text");
    assert!(!shown.contains("s3cret") && shown.contains("Authorization: ***"), "{shown}");
    assert_eq!(text(&response, "outcome"), "success");
    let chunks = lake.rows("stream_chunks");
    assert_eq!(content(&chunks, &command, 0), b"a body of mine");
    let answer: Value =
        serde_json::from_slice(&content(&chunks, &command, 1)).expect("the answer as it was");
    assert_eq!(answer["url"], told["url"]);
}

#[test]
fn who_is_not_known_and_what_is_denied_reaches_no_target() {
    let mut bed = Bed::start();
    let status =
        |command: &mut Command| run(command.args(["-o", "/dev/null", "-w", "%{http_code}"]));
    let url = bed.url("/a");
    assert_eq!(status(Command::new("curl").args(["-sS", "--noproxy", "*"]).arg(&url)), "401");
    let wrong = ["-sS", "--noproxy", "*", "-u", "alice:wrong"];
    assert_eq!(status(Command::new("curl").args(wrong).arg(&url)), "401");
    assert_eq!(status(bed.curl(&["-H", "Host: elsewhere"]).arg(&url)), "403");
    for (path, expect) in [
        ("/secret/a", "403"),
        ("/%73ecret/a", "403"),
        ("/secret;x/a", "403"),
        ("/a/../secret/a", "400"),
        ("/a/..%2fsecret/a", "400"),
    ] {
        let found = status(bed.curl(&["--path-as-is"]).arg(bed.url(path)));
        assert_eq!(found, expect, "{path}");
    }
    let denied = run(bed.curl(&[]).arg(bed.url("/secret/a")));
    let problem: Value = serde_json::from_str(&denied).expect("problem+json");
    assert_eq!(problem["detail"], "secrets stay here");
    assert_eq!(problem["rule"], "no secrets");
    let lake = bed.weir.lake();
    let commands = lake.rows("commands");
    assert!(commands.iter().all(|row| text(row, "decision") == "deny"), "{commands:?}");
    assert_eq!(commands.len(), 6);
    assert_eq!(lake.events("login-failed").len(), 1);
}

#[test]
fn every_framing_passes_and_the_connection_is_kept() {
    let bed = Bed::start();
    let urls = ["/chunked", "/empty", "/moved", "/a"].map(|path| bed.url(path));
    let answers = run(bed.curl(&["-i", "-w", "%{num_connects}\n"]).args(&urls));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(answers.contains("HTTP/1.1 204 No Content"), "{answers}");
    let location = format!("location: http://localhost:{}/there", bed.port);
    assert!(answers.contains(&location), "{answers}");
    assert_eq!(answers.matches("}1\n").count() + answers.matches("}0\n").count(), 2, "{answers}");
    let body = run(bed.curl(&["--http1.0"]).arg(bed.url("/chunked")));
    assert!(body.ends_with('}'), "{body}");
    let told = bed.ask(&["-H", "Transfer-Encoding: chunked", "-d", "abc"], "/b");
    assert_eq!((&told["length"], &told["body"]), (&Value::from(3), &Value::from("abc")));
    let events = run(bed.curl(&["-N"]).arg(bed.url("/events")));
    assert_eq!(events, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    let head = run(bed.curl(&["-I"]).arg(bed.url("/a")));
    assert!(head.contains("Content-Length"), "{head}");
}

#[test]
fn streams_pass_at_flat_memory() {
    let bed = Bed::start();
    let size = "%{size_download}";
    let get = run(bed.curl(&["-o", "/dev/null", "-w", size]).arg(bed.url("/large/256")));
    assert_eq!(get, (256 << 20).to_string());
    let upload = "head -c 268435456 /dev/zero | curl -sS -m 120 -u \"$0\" -T - \"$1\"";
    let login = format!("{USER}:{USER_PASSWORD}");
    let answer = run(Command::new("bash").args(["-c", upload, &login, &bed.url("/up")]));
    let told: Value = serde_json::from_str(&answer).expect("an answer");
    assert_eq!(told["length"], 256 << 20);
    let resident = bed.weir.anonymous_kib();
    assert!(resident < 100 << 10, "{resident} KiB after half a GiB");
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_recorded() {
    let mut bed = Bed::start();
    let broken = output(bed.curl(&[]).arg(bed.url("/broken")));
    assert!(!broken.status.success(), "a cut answer looked whole");
    let (_, response) = bed.weir.lake().exchange("GET /broken");
    assert_eq!(text(&response, "outcome"), "aborted");
}

#[test]
fn a_held_request_waits_and_runs_once_it_is_approved() {
    let mut bed = Bed::start();
    let url = bed.url("/orders/7");
    let mut waiting = bed
        .curl(&["-X", "DELETE", "-d", "because"])
        .arg(&url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut ask = Value::Null;
    wait_until("a request to be held", Duration::from_secs(20), || {
        let listed = run(&mut bed.weir.command(&["approvals", "list", "--json"]));
        ask = serde_json::from_str(listed.trim()).unwrap_or_default();
        !ask.is_null()
    });
    let shown = ask["text"].as_str().unwrap_or_default();
    assert!(shown.starts_with("DELETE /orders/7 ") && shown.ends_with("because"), "{shown}");
    let id = ask["id"].as_str().unwrap_or_default().to_owned();
    let approve = ["approvals", "approve", &id, "--reason", "fine", "--as", "dora"];
    run(bed.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
    let mut answer = String::new();
    waiting.stdout.take().expect("a pipe").read_to_string(&mut answer).expect("text");
    assert!(waiting.wait().expect("curl ends").success());
    let told: Value = serde_json::from_str(&answer).expect("an answer");
    assert_eq!((&told["method"], &told["body"]), (&"DELETE".into(), &"because".into()));
    let (command, response) = bed.weir.lake().exchange("DELETE /orders/7");
    assert_eq!((text(&command, "decision"), text(&command, "approval_id")), ("allow".into(), id));
    assert_eq!(text(&response, "outcome"), "success");
}

#[test]
fn what_is_ambiguous_is_refused_whole_or_in_pieces() {
    let mut bed = Bed::start();
    let auth = authorization();
    for (fields, body) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ("Content-Length: +5\r\n", "hello"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
        ("X_Forwarded_For: 10.0.0.1\r\n", ""),
        ("X: a\r\n b\r\n", ""),
        ("Host: other\r\n", ""),
        ("X: a\n", ""),
    ] {
        let request =
            format!("POST /smuggled HTTP/1.1\r\nHost: localhost\r\n{auth}{fields}\r\n{body}");
        for piece in [request.len(), 1] {
            let answer = bed.raw(request.as_bytes(), piece);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{fields:?}: {answer}");
        }
    }
    let two = format!(
        "GET /one HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n\
         GET /two HTTP/1.1\r\nHost: localhost\r\n{auth}Connection: close\r\n\r\n"
    );
    let answers = bed.raw(two.as_bytes(), 3);
    let places = ["\"/one\"", "\"/two\""].map(|url| answers.find(url));
    assert!(places[0] < places[1] && places[0].is_some(), "{answers}");
    let lake = bed.weir.lake();
    let allowed = |row: &Row| text(row, "decision") == "allow";
    let commands = lake.rows("commands");
    // The head of a chunked body is good, so its request is one, and never ends at the target.
    let smuggled = commands.iter().filter(|row| allowed(row)).count();
    assert_eq!(smuggled, 4, "two with a bad chunk, and the two good ones");
    assert_eq!(lake.events("request-refused").len(), 18);
}

#[test]
fn a_request_is_what_its_line_says() {
    let mut bed = Bed::start();
    let kind = "Content-Type: multipart/form-data; boundary=b";
    let part = "--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nPUT\r\n--b--\r\n";
    for arguments in [
        vec!["-d", "a=1&_method=DELETE"],
        vec!["-d", "%5fmethod=DELETE", "-H", "Transfer-Encoding: chunked"],
        vec!["-H", kind, "--data-binary", part],
        vec!["-H", "Content-Type: application/json", "-d", "{\"_method\":\"DELETE\"}"],
        vec!["-X", "POST", "-H", "X-HTTP-Method-Override: DELETE"],
    ] {
        assert_eq!(bed.status(&arguments, "/form"), "400", "{arguments:?}");
    }
    assert_eq!(bed.status(&["-d", "payment_method=card"], "/form"), "200");
    assert_eq!(bed.status(&["-X", "POST", "-H", "X-HTTP-Method: POST"], "/form"), "200");
    // Java's client begins so in clear; it is answered in HTTP/1.1.
    assert_eq!(bed.status(&["--http2"], "/upgrade"), "200");
    for (path, status) in [
        ("/a;v=1", "200"),
        ("/@scope%2fname", "200"),
        ("/a//b", "200"),
        ("/secret%2Fx", "403"),
        ("/secret;a=1/x", "403"),
        ("//secret/x", "403"),
        ("/a/..%2fsecret/x", "400"),
        ("/a/..;/secret/x", "400"),
        ("/a/%252e%252e/secret/x", "400"),
    ] {
        assert_eq!(bed.status(&["--path-as-is"], path), status, "{path}");
    }
    let lake = bed.weir.lake();
    let refused = lake.events("request-refused");
    let is_form = |row: &&Row| text(row, "attrs").contains("method-override");
    assert_eq!(refused.iter().filter(is_form).count(), 5, "{refused:?}");
}

#[test]
fn a_websocket_passes_message_by_message() {
    let mut bed = Bed::start();
    let mut stream = TcpStream::connect(("127.0.0.1", bed.port)).expect("weir listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: localhost\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        authorization()
    );
    stream.write_all(request.as_bytes()).expect("the request");
    let mut read = Vec::new();
    let mut take = |stream: &mut TcpStream, end: &[u8]| {
        let mut byte = [0];
        while !read.ends_with(end) {
            stream.read_exact(&mut byte).expect("more");
            read.push(byte[0]);
        }
        std::mem::take(&mut read)
    };
    let head = String::from_utf8_lossy(&take(&mut stream, b"\r\n\r\n")).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // "Hello", masked, as in RFC 6455 5.7; it comes back without a mask.
    stream.write_all(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").expect("a message");
    assert_eq!(take(&mut stream, b"Hello"), b"\x81\x05Hello");
    stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8").expect("a close");
    assert_eq!(take(&mut stream, b"\x03\xe8"), b"\x88\x02\x03\xe8");
    drop(stream);
    let lake = bed.weir.lake();
    let (command, response) = lake.exchange("GET /chat");
    assert_eq!(text(&response, "outcome"), "success");
    let chunks = lake.rows("stream_chunks");
    assert_eq!(content(&chunks, &command, 0), b"Hello");
    assert_eq!(content(&chunks, &command, 1), b"Hello");
}

/// What people are asked about now, if it is one thing; nothing if there is none.
fn asked(bed: &Bed) -> Value {
    let listed = run(&mut bed.weir.command(&["approvals", "list", "--json"]));
    serde_json::from_str(listed.trim()).unwrap_or_default()
}

fn ask_id(bed: &Bed) -> String {
    let mut ask = Value::Null;
    wait_until("a request to be held", Duration::from_secs(20), || {
        ask = asked(bed);
        !ask.is_null()
    });
    ask["id"].as_str().unwrap_or_default().to_owned()
}

/// All that a connection says when this is sent and its side is closed.
fn half_closed(bed: &Bed, request: &str, pause: Duration) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", bed.port)).expect("weir listens");
    stream.write_all(request.as_bytes()).expect("sent");
    std::thread::sleep(pause);
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("an answer and the end");
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_client_that_closes_its_side_gets_its_answer_and_one_that_leaves_ends_its_request() {
    let mut bed = Bed::start();
    let login = STANDARD.encode(format!("{USER}:{USER_PASSWORD}"));
    let asks = |line: &str, rest: &str| {
        format!("{line}\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n{rest}")
    };
    let get = asks("GET /a HTTP/1.1", "\r\n");
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        for (request, answers) in [
            (get.clone(), 1),
            (asks("GET /a HTTP/1.0", "\r\n"), 1),
            (asks("POST /a HTTP/1.1", "Content-Length: 3\r\n\r\nabc"), 1),
            (
                asks("POST /a HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
                1,
            ),
            (format!("{get}{get}"), 2),
        ] {
            let said = half_closed(&bed, &request, pause);
            let count = said.matches("HTTP/1.1 200 OK").count();
            assert_eq!(count, answers, "{request}\n{said}");
        }
    }
    // A question whose client is there, and one whose client is gone.
    let held = asks("DELETE /a HTTP/1.1", "\r\n");
    let said = std::thread::scope(|scope| {
        let client = scope.spawn(|| half_closed(&bed, &held, Duration::ZERO));
        let approve = ["approvals", "approve", &ask_id(&bed), "--reason", "fine", "--as", "dora"];
        run(bed.weir.command(&approve).env("WEIR_PASSWORD", USER_PASSWORD));
        client.join().expect("the client")
    });
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    let mut stream = TcpStream::connect(("127.0.0.1", bed.port)).expect("weir listens");
    stream.write_all(held.as_bytes()).expect("sent");
    let id = ask_id(&bed);
    drop(stream);
    wait_until("the end of the question", Duration::from_secs(10), || asked(&bed).is_null());
    let lake = bed.weir.lake();
    let approvals = lake.rows("approvals");
    let last = approvals.iter().rfind(|row| text(row, "approval_id") == id);
    assert_eq!(last.map(|row| text(row, "event")), Some("abandoned".into()), "{approvals:#?}");
}

#[test]
fn a_target_says_what_its_methods_do_not() {
    let plan = Plan {
        target: "reads = [\"POST /search\"]\ndeletes = [\"GET /drop/*\"]",
        tail: "[[rule]]\nname = \"no deletions\"\nwhen = { commands = [\"delete\"] }\n\
               then = { deny = \"nothing is deleted here\" }\n",
        ..Plan::default()
    };
    let mut web = Web::start(Server::start(), "http", &plan);
    assert_eq!(web.status(web.curl(&["-d", "q"]), "/search"), "200");
    assert_eq!(web.status(web.curl(&["-d", "q"]), "/Search"), "200");
    assert_eq!(web.status(web.curl(&[]), "/Drop/1"), "403");
    let test = ["policy", "test", "--as", USER, "--target", "billing"];
    let said = |text: &str| run(web.weir.command(&test).arg(text));
    let words = said("POST /search");
    assert!(words.contains("class read"), "{words}");
    assert!(words.contains("because of POST /search of the target: read"), "{words}");
    let words = output(web.weir.command(&test).arg("GET /drop/1")).stdout;
    let words = String::from_utf8_lossy(&words).into_owned();
    assert!(words.contains("class delete") && words.contains("nothing is deleted"), "{words}");
    let lake = web.weir.lake();
    for (line, class) in
        [("POST /search", "read"), ("POST /Search", "write"), ("GET /Drop", "delete")]
    {
        let rows = lake.commands_with(line);
        let classes: Vec<String> = rows.iter().map(|row| row["classes"].to_string()).collect();
        assert!(classes.len() == 1 && classes[0].contains(class), "{line}: {classes:?}");
    }
}
