//! `kill -9` under requests: every request that was answered is in the lake, once, with its answer.
//! And what else may happen to the record while weir runs: its files are deleted, its lake is none.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::lake::{Row, number, text};
use crate::support::scratch::{output, run};
use crate::support::wait_until;
use crate::support::web::{Plan, Server, Web};
use crate::support::weir::{USER, USER_PASSWORD};

/// Whether the whole answer came.
fn ask(port: u16, path: &str) -> Option<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let login = STANDARD.encode(format!("{USER}:{USER_PASSWORD}"));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let is_whole = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}');
    Some(is_whole)
}

fn answered_is_recorded(durability: &str) {
    let target = format!("durability = \"{durability}\"");
    let plan = Plan { target: &target, ..Plan::default() };
    let mut web = Web::start(Server::start(), "http", &plan);
    let answered = Mutex::new(Vec::new());
    for round in 0..3 {
        let (port, stops) = (web.port, AtomicBool::new(false));
        let before = answered.lock().expect("no panic").len();
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (answered, stops) = (&answered, &stops);
                scope.spawn(move || {
                    for number in 0..100_000 {
                        if stops.load(Ordering::Relaxed) {
                            break;
                        }
                        let path = format!("/crash/{round}-{client}-{number}");
                        if ask(port, &path) == Some(true) {
                            answered.lock().expect("no panic").push(path);
                        }
                    }
                });
            }
            let enough = || answered.lock().expect("no panic").len() >= before + 100;
            wait_until("answers", Duration::from_secs(60), enough);
            web.weir.kill();
            stops.store(true, Ordering::Relaxed);
        });
        web.weir.start();
    }
    let lake = web.weir.lake();
    let (commands, responses) = (lake.rows("commands"), lake.rows("responses"));
    let id = |row: &Row, seq: &str| (text(row, "session_id"), number(row, seq));
    let answers: HashMap<_, _> =
        responses.iter().map(|row| (id(row, "command_seq"), number(row, "status"))).collect();
    let mut recorded: HashMap<String, Vec<Option<i64>>> = HashMap::new();
    for row in commands.iter().filter(|row| text(row, "decision") == "allow") {
        let path = text(row, "query_text").split(' ').nth(1).unwrap_or_default().to_owned();
        recorded.entry(path).or_default().push(answers.get(&id(row, "seq")).copied());
    }
    let answered = answered.into_inner().expect("no panic");
    assert!(answered.len() >= 300, "{}", answered.len());
    for path in &answered {
        let once = vec![Some(200)];
        assert_eq!(recorded.get(path), Some(&once), "{durability}: {path}");
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
