//! Peers that mean harm, on either side: nothing they send or withhold crashes weir, holds another
//! session up, or makes its memory grow without a bound.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harm::{Bystander, Fake, pour, pour_for_ever};
use crate::support::lake::text;
use crate::support::raw::{
    Raw, bind, close, describe, execute, flush, message, parse, query, startup, sync,
};
use crate::support::weir::{CLEAR, TARGET, USER};
use crate::support::{Endpoint, Postgres, Spec, Weir, short_or_long};

fn start() -> Weir {
    Spec::new(&Postgres::shared().database()).start()
}

/// A session that was there before the harm. It asks, and so does somebody who comes anew.
fn bystander(weir: &Weir) -> Bystander<'_> {
    let mut raw = Raw::login(&weir.endpoint());
    Bystander::new(weir, move |what| {
        assert_eq!(raw.rows("SELECT 1").len(), 1, "{what}");
        drop(Raw::login(&weir.endpoint()));
    })
}

// --- hostile clients ---------------------------------------------------------------------------

/// Frames that cost the sender little. Each is repeated by the thousand.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("Sync", sync()),
        ("Flush", flush()),
        ("empty queries", query("")),
        ("Parse", parse("", "SELECT 1")),
        ("Parse and Close of one name", [parse("s", "SELECT 1"), close(b'S', "s")].concat()),
        ("Bind of nothing", [bind("", "nowhere", &[]), sync()].concat()),
        ("Describe of nothing", [describe(b'P', "nowhere"), sync()].concat()),
        ("Execute of nothing", [execute("nowhere", 0), sync()].concat()),
        ("data nobody asked for", message(b'd', b"x")),
        ("ends of data nobody asked for", message(b'c', b"")),
        ("Syncs and ends of data", [sync(), message(b'c', b"")].concat()),
        ("shapeless messages", [message(b'B', b"\0"), sync()].concat()),
    ]
}

#[test]
fn floods_of_small_messages_without_reading_have_a_bound() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let count = short_or_long(20_000, 1_000_000) as usize;
    let limit = Duration::from_secs(short_or_long(2, 60).into());
    for (what, frame) in floods() {
        let raw = Raw::login(&weir.endpoint());
        let many = frame.repeat(100);
        let sent = pour(raw.stream(), &many, count / 100, limit) * 100;
        bystander.look(&format!("{sent} times {what}"));
        drop(raw);
        bystander.look(&format!("after {sent} times {what}"));
    }
}

#[test]
fn names_closed_without_a_sync_leave_nothing_behind() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let mut raw = Raw::login(&weir.endpoint());
    let count = short_or_long(250_000, 1_000_000);
    let padding = "n".repeat(50);
    for start in (0..count).step_by(1000) {
        let frames = (start..start + 1000).map(|n| close(b'S', &format!("{n}{padding}")));
        raw.send(&[frames.collect::<Vec<_>>().concat(), flush()].concat());
        for _ in 0..1000 {
            assert_eq!(raw.read().expect("an answer").expect("no end").kind, b'3');
        }
    }
    // A trace of each would be 24 MB at least, in the short form.
    let grown = bystander.grown_kib();
    assert!(grown < 16 * 1024, "{count} closed names cost {grown} KiB");
    bystander.look("closed names");
}

#[test]
fn a_client_that_never_reads_stops_its_own_answers() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let mut clients: Vec<Raw> = (0..8).map(|_| Raw::login(&weir.endpoint())).collect();
    for raw in &mut clients {
        raw.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"));
    }
    thread::sleep(Duration::from_secs(2));
    bystander.look("eight clients that do not read 300 MB each");
    // They are not broken either: one reads on, to the end.
    let mut one = clients.pop().expect("eight of them");
    assert_eq!(one.read_ready(1).iter().filter(|m| m.kind == b'D').count(), 300_000);
    drop(clients);
    bystander.look("the same, gone");
}

#[test]
fn a_message_that_does_not_end_is_kept_only_as_far_as_it_came() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let mut open = Vec::new();
    for kind in *b"QPBFdECDf" {
        let mut raw = Raw::login(&weir.endpoint());
        if kind == b'd' {
            raw.send(&query("CREATE TEMP TABLE c (a text); COPY c FROM STDIN"));
        }
        // A megabyte of what is said to be almost one GiB, then a trickle.
        let body = vec![b'x'; 1 << 20];
        let _ = raw.try_send(&[&[kind, 0x3f, 0xff, 0xff, 0xf0][..], &body].concat());
        open.push(raw);
    }
    for _ in 0..20 {
        for raw in &mut open {
            let _ = raw.try_send(b"x");
        }
        thread::sleep(Duration::from_millis(50));
    }
    bystander.look("messages that do not end");
}

/// Lengths that no message has.
const LIES: [i32; 6] = [0, 3, -1, i32::MIN, i32::MAX, 0x4000_0000];

#[test]
fn lying_lengths_of_a_client_end_its_session_in_every_state() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let hello = startup(&[("user", USER), ("database", TARGET)]);
    for lie in LIES {
        let length = lie.to_be_bytes();
        let tagged = |tag: u8| [&[tag][..], &length, b"x"].concat();
        let mut first = Raw::connect(weir.port);
        let _ = first.try_send(&[&length[..], &[0, 3, 0, 0]].concat());
        let mut proving = Raw::connect(weir.port);
        proving.send(&hello);
        assert_eq!(proving.read().expect("an answer").map(|m| m.kind), Some(b'R'));
        let _ = proving.try_send(&tagged(b'p'));
        let mut ready = Raw::login(&weir.endpoint());
        let _ = ready.try_send(&tagged(b'S'));
        let mut copying = Raw::login(&weir.endpoint());
        copying.send(&query("CREATE TEMP TABLE c (a text); COPY c FROM STDIN"));
        while copying.read().expect("an answer").is_some_and(|m| m.kind != b'G') {}
        let _ = copying.try_send(&tagged(b'd'));
        let mut skipping = Raw::login(&weir.endpoint());
        skipping.send(&[parse("", "SELEC"), flush()].concat());
        assert_eq!(skipping.read().expect("an answer").map(|m| m.kind), Some(b'E'));
        let _ = skipping.try_send(&tagged(b'Q'));
        let states = [first, proving, ready, copying, skipping];
        for (state, mut raw) in states.into_iter().enumerate() {
            raw.set_timeout(Duration::from_secs(10));
            let said = raw.read_to_end();
            assert!(said.iter().all(|m| b"ENZ".contains(&m.kind)), "{lie} in {state}: {said:?}");
        }
        bystander.look(&format!("the length {lie}"));
    }
}

#[test]
fn proofs_that_stop_halfway_hold_no_one_up() {
    let weir = start();
    let mut bystander = bystander(&weir);
    let hello = startup(&[("user", USER), ("database", TARGET)]);
    let mut slow: Vec<Raw> = (0..300).map(|_| Raw::connect(weir.port)).collect();
    for raw in &mut slow {
        raw.send(&hello);
    }
    for byte in [b'p', 0, 0, 0, 200] {
        for raw in &mut slow {
            raw.send(&[byte]);
        }
        bystander.look("300 proofs, a byte at a time");
    }
    drop(slow);
    bystander.look("the same, gone");
}

// --- hostile targets ---------------------------------------------------------------------------

/// How weir reaches a target that says what a test wants.
fn endpoint(fake: &Fake) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port: fake.port,
        user: "app".to_owned(),
        password: "any".to_owned(),
        dbname: "any".to_owned(),
        tls: false,
    }
}

fn status(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

fn notice() -> Vec<u8> {
    message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mnever ends\0\0")
}

/// Reads one start-up packet.
fn hear_startup(stream: &mut TcpStream) {
    let mut length = [0u8; 4];
    stream.read_exact(&mut length).expect("a packet");
    let mut packet = vec![0u8; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut packet).expect("the packet");
}

/// A login that asks for nothing.
fn greet(stream: &mut TcpStream) {
    hear_startup(stream);
    let hello = [
        message(b'R', &[0; 4]),
        status("server_version", "18.0"),
        message(b'K', b"\0\0\0\x01key!"),
        message(b'Z', b"I"),
    ];
    stream.write_all(&hello.concat()).expect("weir listens");
}

/// Reads and forgets until the end, for at most `limit`.
fn swallow(raw: &mut Raw, limit: Duration) {
    let begun = Instant::now();
    raw.set_timeout(Duration::from_millis(300));
    while begun.elapsed() < limit {
        match raw.read() {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn with_fake(fake: &Fake) -> Weir {
    let database = Postgres::shared().database();
    Spec::new(&database).target("fake", &endpoint(fake), CLEAR).start()
}

/// Lets a client read what the fake target says, and one that does not, and looks at weir.
fn endure(what: &str, scenario: impl Fn(TcpStream) + Send + Sync + 'static) {
    let fake = Fake::start(scenario);
    let weir = with_fake(&fake);
    let mut bystander = bystander(&weir);
    let endpoint = weir.endpoint().with_dbname("fake");
    let deaf = endpoint.clone();
    let unread = thread::spawn(move || {
        let mut raw = Raw::try_login_quietly(&deaf);
        let _ = raw.try_send(&query("SELECT 1"));
        thread::sleep(Duration::from_secs(3));
        raw
    });
    let mut raw = Raw::try_login_quietly(&endpoint);
    let _ = raw.try_send(&query("SELECT 1"));
    swallow(&mut raw, Duration::from_secs(short_or_long(3, 25).into()));
    bystander.look(what);
    let unread = unread.join().expect("a client");
    bystander.look(&format!("{what}, not read"));
    drop((raw, unread));
    bystander.look(&format!("{what}, gone"));
}

#[test]
fn a_target_that_never_stops_talking_costs_no_memory() {
    let after_login = |next: fn(usize) -> Vec<u8>| {
        move |mut stream: TcpStream| {
            greet(&mut stream);
            pour_for_ever(&stream, next);
        }
    };
    endure("notices", after_login(|_| notice()));
    endure("settings", after_login(|n| status(&format!("weir.setting_{n}"), "x")));
    endure(
        "notifications",
        after_login(|n| message(b'A', format!("\0\0\0\x01c\0{n}\0").as_bytes())),
    );
    endure("errors", after_login(|_| message(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0")));
    endure("rows", after_login(|_| message(b'D', b"\0\x01\0\0\0\x04rows")));
    endure("ends of pipelines", after_login(|_| message(b'Z', b"I")));
    endure(
        "hazards",
        after_login(|n| status(&format!("client{}encoding", "_".repeat(n % 5000)), "SJIS")),
    );
}

/// An error and, for a while, no end of it: what the client has read of it is in its row when weir
/// is killed.
#[test]
fn an_error_that_a_client_has_read_is_in_its_row() {
    let fake = Fake::start(|mut stream: TcpStream| {
        greet(&mut stream);
        let mut asked = [0_u8; 4096];
        let count = stream.read(&mut asked).unwrap_or(0);
        // weir's own visits end at once.
        if !String::from_utf8_lossy(&asked[..count]).contains("SELECT 1/0") {
            return;
        }
        let pipelined = asked[..count].first() == Some(&b'P');
        let steps =
            if pipelined { [message(b'1', b""), message(b'2', b"")].concat() } else { vec![] };
        let error = message(b'E', b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0");
        let _ = stream.write_all(&[steps, error].concat());
        // No ReadyForQuery until weir is gone.
        let _ = stream.read(&mut asked);
    });
    let mut weir = with_fake(&fake);
    let texts = ["SELECT 1/0 -- by a Query", "SELECT 1/0 -- by messages"];
    let mut open = Vec::new();
    for (sql, pipelined) in texts.iter().zip([false, true]) {
        let mut raw = Raw::try_login_quietly(&weir.endpoint().with_dbname("fake"));
        let run = [parse("", sql), bind("", "", &[]), execute("", 0), sync()].concat();
        raw.send(&if pipelined { run } else { query(sql) });
        raw.set_timeout(Duration::from_secs(20));
        while raw.read().expect("the connection").expect("a message").kind != b'E' {}
        open.push(raw);
    }
    weir.kill();
    weir.start();
    let lake = weir.lake();
    for sql in texts {
        let (_, response) = lake.exchange(sql);
        assert_eq!(text(&response, "outcome"), "error", "{response:#?}");
        assert_eq!(text(&response, "status_code"), "22012", "{response:#?}");
    }
}

#[test]
fn a_login_that_never_ends_costs_no_memory() {
    let in_login = |next: fn(usize) -> Vec<u8>| {
        move |mut stream: TcpStream| {
            hear_startup(&mut stream);
            let _ = stream.write_all(&message(b'R', &[0; 4]));
            pour_for_ever(&stream, next);
        }
    };
    endure("notices in the login", in_login(|_| notice()));
    endure(
        "settings in the login",
        in_login(|n| status(&format!("weir.{n}.{}", "x".repeat(200)), "x")),
    );
    endure("cancel keys", in_login(|n| message(b'K', &[0, 0, 0, 1, n as u8, 0, 0, 0])));
    endure("satisfactions", in_login(|_| message(b'R', &[0; 4])));
    endure("requests for a password", |mut stream: TcpStream| {
        hear_startup(&mut stream);
        pour_for_ever(&stream, |_| message(b'R', &[0, 0, 0, 3]));
    });
}

#[test]
fn a_target_that_is_ready_before_it_let_anybody_in_is_left() {
    let fake = Fake::start(|mut stream| {
        hear_startup(&mut stream);
        let _ = stream.write_all(&message(b'Z', b"I"));
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert!(heard.is_empty(), "weir sent {heard:?} to a target that proved nothing");
    });
    let weir = with_fake(&fake);
    let (_, messages) = Raw::try_login(&weir.endpoint().with_dbname("fake"));
    assert!(messages.iter().any(|message| message.kind == b'E'), "{messages:?}");
    assert!(messages.iter().all(|message| message.kind != b'Z'), "{messages:?}");
}

#[test]
fn lying_lengths_of_a_target_end_their_session_in_every_state() {
    for lie in [0, 3, -1, i32::MIN, i32::MAX] {
        for state in 0..4 {
            let fake = Fake::start(move |mut stream| {
                let liar = |tag: u8| [&[tag][..], &i32::to_be_bytes(lie), b"xx"].concat();
                if state == 0 {
                    hear_startup(&mut stream);
                    let _ = stream.write_all(&liar(b'R'));
                } else {
                    greet(&mut stream);
                    let mut heard = [0u8; 5];
                    let _ = stream.read_exact(&mut heard);
                    let tag = [b'E', b'T', b'D', b'd'][state];
                    let _ = stream.write_all(&liar(tag));
                }
                thread::sleep(Duration::from_millis(500));
            });
            let weir = with_fake(&fake);
            let mut bystander = bystander(&weir);
            let mut raw = Raw::try_login_quietly(&weir.endpoint().with_dbname("fake"));
            let _ = raw.try_send(&query("SELECT 1"));
            swallow(&mut raw, Duration::from_secs(10));
            bystander.look(&format!("a target with the length {lie} in state {state}"));
        }
    }
}
