//! Replays in time, and replays of sessions that live: PostgreSQL, HTTP, SSH.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http_sockets::Socket;
use crate::ssh::{EVERYTHING, Sshd};
use crate::support::raw::{Raw, query};
use crate::support::scratch::{output, run};
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::USER_PASSWORD;
use crate::support::{Postgres, Spec, Weir, wait_until};

/// The only session that lives.
fn living(weir: &Weir) -> String {
    let mut id = None;
    wait_until("a session", Duration::from_secs(20), || {
        // A shard of a busy machine may be late.
        let listed = output(&mut weir.command(&["sessions", "--live", "--json"]));
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let session: Option<Value> = serde_json::from_str(listed.trim()).ok();
        let session = session.filter(|it| it["state"] != "login");
        id = session.and_then(|it| it["session_id"].as_str().map(str::to_owned));
        id.is_some()
    });
    id.expect("an id")
}

/// A replay that goes on.
struct Following {
    child: Child,
    moments: Receiver<Value>,
    seen: Vec<Value>,
}

impl Following {
    fn start(weir: &Weir, id: &str) -> Following {
        let mut command = weir.command(&["replay", id, "--follow", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("weir starts");
        let printed = BufReader::new(child.stdout.take().expect("a pipe"));
        let (told, moments) = channel();
        std::thread::spawn(move || {
            for line in printed.lines() {
                let moment = serde_json::from_str(&line.expect("UTF-8")).expect("JSON");
                let _nobody_waits = told.send(moment);
            }
        });
        Following { child, moments, seen: Vec::new() }
    }

    fn text(&self, stream: &str) -> String {
        let seen = self.seen.iter().filter(|moment| moment["stream"] == stream);
        seen.map(|moment| moment["text"].as_str().expect("text")).collect()
    }

    /// Waits until a stream has this.
    fn until(&mut self, stream: &str, part: &str) {
        while !self.text(stream).contains(part) {
            let next = self.moments.recv_timeout(Duration::from_secs(20));
            let next = next.unwrap_or_else(|_| panic!("no {part:?} in {:#?}", self.seen));
            self.seen.push(next);
        }
    }

    /// It ends by itself, and says the same as a replay afterwards.
    fn end(mut self, weir: &Weir, id: &str) {
        self.seen.extend(self.moments.iter());
        assert!(self.child.wait().expect("a child of ours").success());
        let whole = moments(weir, id);
        for stream in ["input", "output", "error", "notice", "weir"] {
            assert_eq!(self.text(stream), texts(&whole, stream), "{stream}");
        }
    }
}

fn moments(weir: &Weir, id: &str) -> Vec<Value> {
    let told = run(&mut weir.command(&["replay", id, "--json"]));
    told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(moments: &[Value], stream: &str) -> String {
    let texts = moments.iter().filter(|moment| moment["stream"] == stream);
    texts.map(|moment| moment["text"].as_str().expect("text")).collect()
}

fn elapsed(moment: &Value) -> Duration {
    Duration::from_micros(moment["elapsed_us"].as_u64().expect("a time"))
}

fn web() -> Web {
    Web::start(Server::start(), "http", &Plan::default())
}

#[test]
fn a_session_of_postgresql_is_followed_while_its_statements_run() {
    let weir = Spec::new(&Postgres::shared().database()).start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.query("SELECT 1 AS the_first");
    let id = living(&weir);
    let mut following = Following::start(&weir, &id);
    following.until("output", " the_first \n-----------\n         1\n(1 row)\n");
    let sent = Instant::now();
    raw.send(&query("SELECT 2 AS the_second FROM pg_sleep(6)"));
    following.until("input", "the_second");
    assert!(sent.elapsed() < Duration::from_secs(6), "it is seen while it runs");
    assert!(!following.text("output").contains("the_second"));
    assert_eq!(following.text("weir"), "", "nothing is missing yet");
    raw.read_ready(1);
    following.until("output", " the_second \n");
    drop(raw);
    following.end(&weir, &id);
}

#[test]
fn events_of_http_are_followed_and_replayed_in_their_time() {
    let web = web();
    let mut curl = web.curl(&["-N", &web.url("/ticks")]);
    let mut curl = curl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("curl");
    let id = living(&web.weir);
    let mut following = Following::start(&web.weir, &id);
    following.until("output", &"data: tick\n\n".repeat(5));
    assert!(curl.try_wait().expect("a child of ours").is_none(), "the stream goes on");
    curl.kill().expect("a child of ours");
    curl.wait().expect("a child of ours");
    following.seen.extend(following.moments.iter());
    assert!(following.child.wait().expect("a child of ours").success());
    let whole = moments(&web.weir, &id);
    let input = texts(&whole, "input");
    assert!(input.starts_with("GET /ticks HTTP/1.1\n"), "{input}");
    assert_eq!(following.text("input"), input);
    // One each 100 ms.
    let ticks: Vec<&Value> = whole.iter().filter(|it| it["text"] == "data: tick\n\n").collect();
    assert!(ticks.len() >= 5, "{whole:#?}");
    let between = elapsed(ticks[ticks.len() - 1]) - elapsed(ticks[0]);
    let each = between / u32::try_from(ticks.len() - 1).expect("a few");
    assert!((80..200).contains(&each.as_millis()), "{each:?} {ticks:#?}");
    assert_eq!(
        following.text("output").matches("tick").count(),
        texts(&whole, "output").matches("tick").count()
    );
    // A tenth of the speed takes ten times as long.
    let begun = Instant::now();
    run(&mut web.weir.command(&["replay", &id, "--speed", "0.2"]));
    assert!(begun.elapsed() >= between * 4, "{:?} for {between:?}", begun.elapsed());
}

#[test]
fn messages_of_a_websocket_are_followed_and_replayed_in_their_time() {
    let web = web();
    let mut socket = Socket::open(&web, "/chat", USER_PASSWORD);
    let id = living(&web.weir);
    let mut following = Following::start(&web.weir, &id);
    following.until("output", "Hello\n");
    std::thread::sleep(Duration::from_millis(700));
    socket.hello();
    following.until("input", "Hello\nHello\n");
    following.until("output", "Hello\nHello\n");
    drop(socket);
    following.seen.extend(following.moments.iter());
    assert!(following.child.wait().expect("a child of ours").success());
    let whole = moments(&web.weir, &id);
    let hellos: Vec<(&Value, Duration)> = whole
        .iter()
        .filter(|moment| moment["text"] == "Hello\n")
        .map(|moment| (&moment["stream"], elapsed(moment)))
        .collect();
    let streams: Vec<&Value> = hellos.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(streams, ["input", "output", "input", "output"]);
    assert!(hellos[2].1 - hellos[1].1 >= Duration::from_millis(650), "{hellos:?}");
    assert!(hellos[1].1 - hellos[0].1 < Duration::from_millis(500), "{hellos:?}");
    assert!(texts(&whole, "output").starts_with("HTTP 101\n"), "{whole:#?}");
}

#[test]
fn a_shell_is_followed_while_somebody_types() {
    let sshd = Sshd::start();
    let gate = sshd.gate(EVERYTHING);
    let mut shell = gate.ssh(&["-tt"]);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.spawn().expect("ssh");
    let mut typed = shell.stdin.take().expect("a pipe");
    writeln!(typed, "echo one-is''-here").expect("a shell");
    let id = living(&gate.weir);
    let mut following = Following::start(&gate.weir, &id);
    following.until("output", "one-is-here");
    writeln!(typed, "echo two-is''-here").expect("a shell");
    following.until("output", "two-is-here");
    assert!(shell.try_wait().expect("a child of ours").is_none(), "the shell lives");
    writeln!(typed, "exit").expect("a shell");
    shell.wait().expect("a child of ours");
    following.end(&gate.weir, &id);
}
