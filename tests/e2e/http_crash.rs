//! `kill -9` under requests of every kind: what was answered is in the lake, once, with its answer.
//! And what else may happen to the record while weir runs: its files are deleted, its lake is none.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::bytes::{self, Two};
use crate::support::lake::{Lake, Row, bytes as bytes_of, number, text};
use crate::support::scratch::{output, run};
use crate::support::web::{Plan, Server, Web};
use crate::support::{short_or_long, wait_until};

/// A server of MCP beside the target of the others, and what may be called there.
fn tail(server: &Server) -> String {
    format!(
        "[[target]]\nname = \"records\"\nprotocol = \"mcp\"\nwait = \"1s\"\n\
         address = \"http://localhost:{}/mcp\"\ndurability = \"sync\"\n\
         [[rule]]\nname = \"notes\"\nwhen = {{ tools = [\"note\"] }}\nthen = \"allow\"\n\
         [[rule]]\nname = \"a person looks\"\nwhen = {{ tools = [\"wipe\"] }}\n\
         then = {{ hold = {{ approvers = [\"dba\"], quorum = 1, timeout = \"10m\" }} }}\n",
        server.port
    )
}

/// What was answered under load, and who works on it.
struct Load {
    port: u16,
    stops: AtomicBool,
    /// The name of each request whose whole answer came.
    answered: Mutex<Vec<String>>,
    /// Events that were read, by the path of their stream.
    events: Mutex<Vec<(String, usize)>>,
}

impl Load {
    fn note(&self, name: String) {
        self.answered.lock().expect("no panic").push(name);
    }

    fn count(&self) -> usize {
        self.answered.lock().expect("no panic").len()
    }

    /// A connection for each request, or one for all.
    fn ones(&self, name: &str, keeps: bool) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        for number in 0.. {
            if self.stops.load(Ordering::Relaxed) {
                return;
            }
            let path = format!("/crash/{name}-{number}");
            let more = "Content-Type: text/plain\r\nContent-Length: 5\r\n";
            let request = [&bytes::head("POST", &path, more)[..], b"hello"].concat();
            if stream.write_all(&request).is_err() || bytes::answered(&mut stream).is_none() {
                return;
            }
            self.note(path);
            if !keeps {
                let Ok(next) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
                stream = next;
            }
        }
    }

    /// Calls of a tool, on one connection.
    fn calls(&self, name: &str) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        for number in 0.. {
            if self.stops.load(Ordering::Relaxed) {
                return;
            }
            let what = format!("/crash/{name}-{number}");
            if stream.write_all(&call("note", &what)).is_err() {
                return;
            }
            let Some(said) = bytes::answered(&mut stream) else { return };
            assert!(said.contains(&what), "{said}");
            self.note(what);
        }
    }

    /// Ten requests at a time on one connection of HTTP/2.
    fn streams(&self, name: &str) {
        let mut two = Two::connect(self.port);
        let mut open: HashMap<u32, (String, Vec<u8>)> = HashMap::new();
        while !self.stops.load(Ordering::Relaxed) {
            while open.len() < 10 {
                let id = two.next_id();
                let path = format!("/crash/{name}-{id}");
                if two.stream.write_all(&bytes::get(id, &path, bytes::END_STREAM)).is_err() {
                    return;
                }
                open.insert(id, (path, Vec::new()));
            }
            let Some((kind, flags, id, payload)) = two.next() else { return };
            if kind != bytes::DATA {
                continue;
            }
            // What is granted is what was read.
            let credit = bytes::grant(0, payload.len().max(1) as u32);
            if two.stream.write_all(&credit).is_err() {
                return;
            }
            open.get_mut(&id).expect("a stream of ours").1.extend(payload);
            if flags & bytes::END_STREAM != 0 {
                let (path, said) = open.remove(&id).expect("a stream of ours");
                assert!(String::from_utf8_lossy(&said).contains(&path));
                self.note(path);
            }
        }
    }

    /// Reads numbered events until the connection ends.
    fn events(&self, name: &str) {
        let path = format!("/numbers/{name}");
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        if stream.write_all(&bytes::head("GET", &path, "")).is_err() {
            return;
        }
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            said.extend(&piece[..count]);
        }
        let count = memchr::memmem::find_iter(&said, b"data: number ").count();
        self.events.lock().expect("no panic").push((path, count));
    }

    /// Works until weir is killed, a while after `enough` answers came.
    fn run(&self, round: u64, web: &mut Web) {
        std::thread::scope(|scope| {
            for client in 0..2 {
                let name = |kind: &str| format!("{kind}-{round}-{client}");
                let (once, kept, called) = (name("once"), name("kept"), name("called"));
                let (two, numbers) = (name("two"), name("numbers"));
                scope.spawn(move || self.ones(&once, false));
                scope.spawn(move || self.ones(&kept, true));
                scope.spawn(move || self.calls(&called));
                scope.spawn(move || self.streams(&two));
                scope.spawn(move || self.events(&numbers));
            }
            let before = self.count();
            wait_until("answers", Duration::from_secs(60), || self.count() >= before + 200);
            // Another moment in each round, so that the kill meets other states.
            std::thread::sleep(Duration::from_millis(round * 137 % 500));
            web.weir.kill();
            self.stops.store(true, Ordering::Relaxed);
        });
    }
}

/// A call of a tool, as a request.
fn call(tool: &str, what: &str) -> Vec<u8> {
    let message = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": { "what": what } } })
    .to_string();
    let more = format!(
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n",
        message.len()
    );
    // A host that names no target leaves the path to name one.
    let head = String::from_utf8(bytes::head("POST", "/mcp/records", &more)).expect("text");
    (head.replace("Host: localhost", "Host: 127.0.0.1") + &message).into_bytes()
}

/// What people are asked about: two calls whose clients were told to ask again, of which one has
/// left, and a request whose client waits.
fn ask_people(web: &Web, round: u64) -> [TcpStream; 2] {
    let park = |name: &str| {
        let mut parked = bytes::connect(web.port);
        parked.write_all(&call("wipe", &format!("/crash/{name}-{round}"))).expect("weir listens");
        let said = bytes::answered(&mut parked).expect("an answer in a second");
        assert!(said.contains("isError") && said.contains("approval"), "{said}");
        parked
    };
    let parked = park("parked");
    drop(park("left"));
    let mut held = bytes::connect(web.port);
    held.write_all(&bytes::head("DELETE", &format!("/crash/held-{round}"), ""))
        .expect("it listens");
    wait_until("three asks", Duration::from_secs(20), || {
        run(&mut web.weir.command(&["approvals", "list", "--json"])).lines().count() == 3
    });
    [parked, held]
}

fn answered_is_recorded(durability: &str) {
    let target = format!("durability = \"{durability}\"");
    let server = Server::start();
    let tail = tail(&server).replace("\"sync\"", &format!("\"{durability}\""));
    let plan = Plan { target: &target, tail: &tail, ..Plan::default() };
    let mut web = Web::start(server, "http", &plan);
    let (mut answered, mut events) = (Vec::new(), Vec::new());
    let rounds = short_or_long(3, 50).into();
    for round in 0..rounds {
        let waiting = ask_people(&web, round);
        let load = Load {
            port: web.port,
            stops: AtomicBool::new(false),
            answered: Mutex::default(),
            events: Mutex::default(),
        };
        load.run(round, &mut web);
        drop(waiting);
        answered.extend(load.answered.into_inner().expect("no panic"));
        events.extend(load.events.into_inner().expect("no panic"));
        web.weir.start();
    }
    let lake = web.weir.lake();
    once_each(&lake, &answered, durability);
    for kind in ["once", "kept", "called", "two"] {
        let has_some = answered.iter().any(|name| name.starts_with(&format!("/crash/{kind}-")));
        assert!(has_some, "{durability}: nothing of {kind} was answered");
    }
    events_are_kept(&lake, &events, durability);
    asks_are_abandoned(&lake, rounds);
}

/// Each request that was answered is one row that was allowed, and has one answer.
fn once_each(lake: &Lake, answered: &[String], durability: &str) {
    let id = |row: &Row, seq: &str| (text(row, "session_id"), number(row, seq));
    let mut answers: HashMap<_, Vec<i64>> = HashMap::new();
    for row in lake.rows("responses") {
        answers.entry(id(&row, "command_seq")).or_default().push(number(&row, "status"));
    }
    let mut recorded: HashMap<String, Vec<Vec<i64>>> = HashMap::new();
    for row in lake.rows("commands").iter().filter(|row| text(row, "decision") == "allow") {
        let said = text(row, "query_text").split(' ').nth(1).unwrap_or_default().to_owned();
        let arguments: Value = serde_json::from_str(&text(row, "params_json")).unwrap_or_default();
        let name = arguments["what"].as_str().map_or(said, str::to_owned);
        recorded
            .entry(name)
            .or_default()
            .push(answers.get(&id(row, "seq")).cloned().unwrap_or_default());
    }
    assert!(answered.len() >= 300, "{}", answered.len());
    for name in answered {
        assert_eq!(recorded.get(name), Some(&vec![vec![200]]), "{durability}: {name}");
    }
}

/// What a client has read of a stream of events is in the record, though no answer ended.
fn events_are_kept(lake: &Lake, read: &[(String, usize)], durability: &str) {
    let mut kept: HashMap<(String, i64), usize> = HashMap::new();
    for row in lake.rows("stream_chunks") {
        let found = memchr::memmem::find_iter(&bytes_of(&row, "payload"), b"data: number ").count();
        *kept.entry((text(&row, "session_id"), number(&row, "command_seq"))).or_default() += found;
    }
    for (path, count) in read {
        let [command] = &lake.commands_with(&format!("GET {path} "))[..] else { panic!("{path}") };
        let of = (text(command, "session_id"), number(command, "seq"));
        let kept = kept.get(&of).copied().unwrap_or_default();
        assert!(kept >= *count, "{durability} {path}: {count} read, {kept} kept");
    }
    assert!(read.iter().any(|(_, count)| *count > 0), "{durability}: no event was read");
}

/// What people were asked about has an end: nobody waits for it any more.
fn asks_are_abandoned(lake: &Lake, rounds: u64) {
    let mut steps: HashMap<String, Vec<String>> = HashMap::new();
    for row in lake.rows("approvals") {
        steps.entry(text(&row, "approval_id")).or_default().push(text(&row, "event"));
    }
    assert_eq!(steps.len() as u64, 3 * rounds, "{steps:?}");
    for (id, steps) in &steps {
        assert_eq!(*steps, ["requested", "abandoned"], "{id}");
    }
}

#[test]
fn what_was_answered_outlives_a_kill() {
    answered_is_recorded("write");
}

#[test]
fn what_was_answered_outlives_a_kill_when_the_disk_is_waited_for() {
    answered_is_recorded("sync");
}

/// What `/readyz` says.
fn readiness(web: &Web, admin: &str) -> String {
    assert!(web.weir.pid() > 0);
    run(Command::new("curl").args(["-sS", "-m", "10", &format!("http://{admin}/readyz")]))
}

/// Where the admin API is.
fn admin(web: &Web) -> String {
    let place = std::fs::read_to_string(web.weir.data_dir().join("admin.json")).expect("a place");
    let place: serde_json::Value = serde_json::from_str(&place).expect("JSON");
    place["address"].as_str().expect("an address").to_owned()
}

#[test]
fn a_journal_that_is_deleted_is_noticed_and_nothing_passes_unrecorded() {
    let mut web = Web::start(Server::start(), "http", &Plan::default());
    assert_eq!(web.status(web.curl(&[]), "/before"), "200");
    let admin = admin(&web);
    assert!(!readiness(&web, &admin).contains("cannot reach the lake"));
    std::fs::remove_dir_all(web.weir.data_dir().join("journal")).expect("a folder");
    wait_until("a reason not to be ready", Duration::from_secs(20), || {
        readiness(&web, &admin).contains("records cannot reach the lake")
    });
    assert!(web.weir.log().contains("is gone: what is recorded now would be lost"));
    wait_until("refusals", Duration::from_secs(20), || {
        web.status(web.curl(&[]), "/after") == "503"
    });
    assert_eq!(web.status(web.curl(&[]), "/after"), "503");
    assert!(web.weir.is_running());
    web.weir.kill();
}

#[test]
fn weir_seal_says_why_it_cannot_and_can_when_that_is_over() {
    let web = Web::start(Server::start(), "http", &Plan::default());
    assert_eq!(web.status(web.curl(&[]), "/before"), "200");
    let (lake, aside) = (web.weir.data_dir().join("lake"), web.weir.data_dir().join("aside"));
    if lake.exists() {
        std::fs::rename(&lake, &aside).expect("the lake moves");
    }
    std::fs::write(&lake, "no folder").expect("a file");
    let from = Instant::now();
    let said = output(&mut web.weir.command(&["seal"]));
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && words.contains("cannot reach the lake: "), "{words}");
    assert!(from.elapsed() < Duration::from_secs(20), "{:?}", from.elapsed());
    assert!(readiness(&web, &admin(&web)).contains("records cannot reach the lake"));
    std::fs::remove_file(&lake).expect("it is ours");
    if aside.exists() {
        std::fs::rename(&aside, &lake).expect("the lake moves back");
    }
    wait_until("the lake", Duration::from_secs(20), || {
        output(&mut web.weir.command(&["seal"])).status.success()
    });
}
