//! WebSockets: how they are refused, held, and ended by weir.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::lake::text;
use crate::support::scratch::run;
use crate::support::wait_until;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};

const RULES: &str = r#"
[[rule]]
name = "sockets are seen"
when = { commands = ["tunnel"], paths = ["/seen/*"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "1m" } }
"#;

pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    /// Asks for a WebSocket and says how it was answered: the head.
    fn ask(web: &Web, path: &str, password: &str) -> (Socket, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", web.port)).expect("weir listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let login = STANDARD.encode(format!("{USER}:{password}"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the request");
        let mut socket = Socket { stream, read: Vec::new() };
        let head = socket.until(b"\r\n\r\n");
        (socket, String::from_utf8_lossy(&head).into_owned())
    }

    /// One that is open: a message went to the server and back.
    pub(crate) fn open(web: &Web, path: &str, password: &str) -> Socket {
        let (mut socket, head) = Socket::ask(web, path, password);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        socket.hello();
        socket
    }

    /// "Hello", masked, as in RFC 6455 5.7; it comes back without a mask.
    pub(crate) fn hello(&mut self) {
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        self.stream.write_all(hello).expect("a message");
        assert_eq!(self.until(b"Hello"), b"\x81\x05Hello");
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut byte = [0];
        while !self.read.ends_with(end) {
            self.stream.read_exact(&mut byte).expect("more");
            self.read.push(byte[0]);
        }
        std::mem::take(&mut self.read)
    }

    /// The code and the words of the Close that is all that comes until the end.
    fn close(mut self) -> (u16, String) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an end in order");
        let [0x88, length, high, low, words @ ..] = rest.as_slice() else { panic!("{rest:?}") };
        assert_eq!(usize::from(*length), words.len() + 2, "{rest:?}");
        let code = u16::from_be_bytes([*high, *low]);
        (code, String::from_utf8_lossy(words).into_owned())
    }
}

fn web() -> Web {
    Web::start(Server::start(), "http", &Plan { tail: RULES, ..Plan::default() })
}

#[test]
fn who_ends_a_websocket_is_said_in_its_close() {
    let mut web = web();
    // The token is the user's: what it opened ends with it.
    let made = run(&mut web.weir.command(&["token", "create", "--user", USER, "--json"]));
    let made: Value = serde_json::from_str(made.trim()).expect("JSON");
    let socket = Socket::open(&web, "/by-token", made["secret"].as_str().expect("a secret"));
    run(&mut web.weir.command(&["token", "revoke", made["id"].as_str().expect("an id")]));
    assert_eq!(socket.close(), (1008, "the token is over".to_owned()));

    let socket = Socket::open(&web, "/killed", USER_PASSWORD);
    let listed = run(&mut web.weir.command(&["sessions", "--live", "--json"]));
    let session: Value = serde_json::from_str(listed.trim()).expect("one session");
    run(&mut web.weir.command(&["kill", session["session_id"].as_str().expect("an id")]));
    assert_eq!(socket.close(), (1001, "ended by weir".to_owned()));

    let socket = Socket::open(&web, "/drained", USER_PASSWORD);
    assert!(web.weir.stop().success());
    assert_eq!(socket.close(), (1001, "weir is shutting down".to_owned()));

    let lake = web.weir.lake();
    for (path, why) in [("by-token", "token-revoked"), ("killed", "killed"), ("drained", "drain")] {
        let (command, response) = lake.exchange(&format!("GET /{path} "));
        assert_eq!(text(&command, "decision"), "allow");
        assert_eq!(text(&response, "outcome"), "aborted", "{path}");
        assert_eq!(text(&response, "error_text"), why, "{path}");
    }
}

#[test]
fn a_handshake_is_refused_and_held_as_other_requests_are() {
    let mut web = web();
    let (mut socket, head) = Socket::ask(&web, "/secret/x", USER_PASSWORD);
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let words = String::from_utf8_lossy(&socket.until(b"}")).into_owned();
    assert!(words.contains("secrets stay here") && words.contains("no secrets"), "{words}");
    for (vote, status) in [("approve", "101"), ("deny", "403")] {
        let path = format!("/seen/{vote}");
        std::thread::scope(|scope| {
            let client = scope.spawn(|| Socket::ask(&web, &path, USER_PASSWORD).1);
            let mut ask = Value::Null;
            wait_until("a handshake to be held", Duration::from_secs(20), || {
                let listed = run(&mut web.weir.command(&["approvals", "list", "--json"]));
                ask = serde_json::from_str(listed.trim()).unwrap_or_default();
                !ask.is_null()
            });
            let shown = ask.to_string();
            assert!(shown.contains(&path) && shown.contains("tunnel"), "{shown}");
            let id = ask["id"].as_str().expect("an id");
            let vote = ["approvals", vote, id, "--reason", "because", "--as", "dora"];
            run(web.weir.command(&vote).env("WEIR_PASSWORD", USER_PASSWORD));
            let head = client.join().expect("the client");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        });
    }
    let lake = web.weir.lake();
    let rows = lake.rows("commands");
    let decisions = |path: &str| {
        let rows = rows.iter().filter(|row| text(row, "query_text").contains(path));
        rows.map(|row| (text(row, "kind"), text(row, "decision"))).collect::<Vec<_>>()
    };
    let row = |decision: &str| ("websocket".to_owned(), decision.to_owned());
    assert_eq!(decisions("/secret/x"), [row("deny")]);
    assert_eq!(decisions("/seen/approve"), [row("allow")]);
    assert_eq!(decisions("/seen/deny"), [row("deny")]);
}
