//! Hostile and unlucky input: a clear answer, a record, bounded memory, and nobody else notices.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::lake::{Lake, Row, text};
use crate::support::raw::{
    GSS_REQUEST, Message, Raw, SSL_REQUEST, message, packet, parse, query, sqlstate, startup, sync,
};
use crate::support::scratch::{SmallDisk, free_port, output};
use crate::support::weir::{CLEAR, TARGET, USER};
use crate::support::{Endpoint, Postgres, Spec, Weir, canary, tools, wait_until};

fn start() -> Weir {
    Spec::new(&Postgres::shared().database()).start()
}

fn usable(weir: &Weir) {
    assert_eq!(tools::psql(&weir.endpoint(), "SELECT 'usable'"), "usable");
}

/// What weir says to these bytes before it closes.
fn answer_to(weir: &Weir, bytes: &[u8]) -> Vec<Message> {
    let mut raw = Raw::connect(weir.port);
    // The other side may close before it has read everything.
    let _ = raw.try_send(bytes);
    raw.finish();
    raw.read_to_end()
}

/// Events of refused connections, by the label of the fault in them.
fn events_with(lake: &Lake, label: &str) -> Vec<Row> {
    let mut rows = lake.rows("log_events");
    rows.retain(|row| {
        ["event", "message", "attrs"].iter().any(|column| text(row, column).contains(label))
    });
    rows
}

#[test]
fn malformed_startup_packets_are_refused_and_recorded() {
    let mut weir = start();
    let long = "x".repeat(20_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length of nothing", vec![0, 0, 0, 0]),
        ("a length below its own size", vec![0, 0, 0, 3, 0]),
        ("a huge length", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        ("a negative length", vec![0xff; 64]),
        ("over the limit", startup(&[("user", &long)])),
        ("no terminator", packet(b"\0\x03\0\0user\0alice")),
        ("a name without a value", packet(b"\0\x03\0\0user\0\0")),
        ("no user", packet(b"\0\x03\0\0database\0orders\0\0")),
        ("version 2", packet(b"\0\x02\0\0user\0alice\0\0")),
        ("version 4", packet(b"\0\x04\0\0user\0alice\0\0")),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("an SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
    ];
    let before = weir.resident_kib();
    for (name, bytes) in &cases {
        let begun = Instant::now();
        let messages = answer_to(&weir, bytes);
        let state = sqlstate(&messages);
        let known = ["08P01", "0A000", "28000", "3D000", "28P01"];
        let clear = state.as_deref().is_none_or(|state| known.contains(&state));
        assert!(clear, "{name}: {messages:?}");
        assert!(messages.iter().all(|message| message.kind == b'E'), "{name}: {messages:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{name} took {:?}", begun.elapsed());
    }
    assert!(weir.resident_kib() < before + 16 * 1024, "memory grew");
    usable(&weir);
    let lake = weir.lake();
    let refused = lake.rows("log_events");
    let refused = refused.iter().filter(|row| text(row, "severity") != "info").count();
    assert!(refused >= cases.len(), "{refused} rows for {} refusals", cases.len());
}

#[test]
fn a_truncated_startup_is_closed_at_every_length() {
    let weir = start();
    let whole = startup(&[("user", USER), ("database", TARGET)]);
    for end in 0..whole.len() {
        let messages = answer_to(&weir, &whole[..end]);
        assert!(messages.iter().all(|message| message.kind == b'E'), "{end}: {messages:?}");
    }
    usable(&weir);
}

#[test]
fn repeated_encryption_requests_end_the_connection() {
    let weir = start();
    for request in [SSL_REQUEST, GSS_REQUEST] {
        let mut raw = Raw::connect(weir.port);
        raw.set_timeout(Duration::from_secs(5));
        let mut closed = false;
        for _ in 0..50 {
            if raw.try_send(&request).is_err() {
                closed = true;
                break;
            }
            match raw.read_byte() {
                Ok(Some(b'N' | b'S')) => {}
                _ => {
                    closed = true;
                    break;
                }
            }
        }
        assert!(closed, "weir answers the same request for ever");
    }
    usable(&weir);
}

#[test]
fn clear_bytes_before_the_handshake_are_an_attack() {
    let weir = start();
    let mut raw = Raw::connect(weir.port);
    let smuggled = startup(&[("user", USER), ("database", TARGET)]);
    raw.send(&[&SSL_REQUEST[..], &smuggled].concat());
    let mut said = Vec::new();
    while let Ok(Some(byte)) = raw.read_byte() {
        said.push(byte);
    }
    // The start-up packet is not looked at: what comes is an alert, an error or the end.
    assert!(!said.starts_with(b"R") && !said.starts_with(b"SR"), "{}", said.escape_ascii());
    usable(&weir);
}

#[test]
fn lying_lengths_after_login_end_the_session_only() {
    let mut weir = start();
    let mut bystander = Raw::login(&weir.endpoint());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length of zero", vec![b'Q', 0, 0, 0, 0]),
        ("a length of three", vec![b'Q', 0, 0, 0, 3]),
        ("a negative length", vec![b'Q', 0xff, 0xff, 0xff, 0xff]),
        ("a gigabyte of query", vec![b'Q', 0x3f, 0xff, 0xff, 0xff, b'S']),
        ("no such type", message(b'!', b"what")),
        ("a type of the server", message(b'T', b"\0\0")),
        ("a query without an end", message(b'Q', b"SELECT 1")),
        ("a bind that ends early", message(b'B', b"\0\0\0\x05")),
        ("a bind of too many values", message(b'B', b"\0\0\0\0\xff\xff")),
        ("a value longer than its message", message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xffx")),
    ];
    let before = weir.resident_kib();
    for (name, bytes) in &cases {
        let mut raw = Raw::login(&weir.endpoint());
        raw.set_timeout(Duration::from_secs(10));
        let _ = raw.try_send(&[&bytes[..], &sync()].concat());
        raw.finish();
        let messages = raw.read_to_end();
        if let Some(state) = sqlstate(&messages) {
            assert!(["08P01", "54000"].contains(&state.as_str()), "{name}: {messages:?}");
        }
        assert_eq!(bystander.rows("SELECT 1").len(), 1, "{name}");
    }
    assert!(weir.resident_kib() < before + 32 * 1024, "memory grew");
    assert!(weir.is_running());
    drop(bystander);
    let lake = weir.lake();
    let ends = lake.rows("sessions");
    let bad = ends.iter().filter(|row| text(row, "end_reason").starts_with("message-")).count();
    assert!(bad >= 6, "{bad} sessions ended for a malformed message: {ends:#?}");
}

#[test]
fn a_stated_gigabyte_costs_nothing_until_it_arrives() {
    let weir = start();
    let before = weir.resident_kib();
    let mut held = Vec::new();
    for kind in [b'B', b'd', b'Q', b'P'] {
        for _ in 0..8 {
            let mut raw = Raw::login(&weir.endpoint());
            let _ = raw.try_send(&[kind, 0x3f, 0xff, 0xff, 0xf0, 0, 0, 0]);
            held.push(raw);
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let grown = weir.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "grew by {grown} KiB for stated lengths");
    usable(&weir);
}

#[test]
fn a_command_over_the_held_size_is_refused_and_the_session_lives() {
    let mut weir = start();
    let mut raw = Raw::login(&weir.endpoint());
    let before = weir.resident_kib();
    // Above what weir holds whole, and never half of it is sent on.
    let word = canary("big");
    let sql = format!("SELECT '{word}{}'", "x".repeat(61 << 20));
    let messages = raw.query(&sql);
    assert_eq!(sqlstate(&messages).as_deref(), Some("54000"));
    assert_eq!(raw.rows("SELECT 1"), [[Some("1".to_owned())]]);
    raw.send(&[parse("", &sql), sync()].concat());
    assert_eq!(sqlstate(&raw.read_ready(1)).as_deref(), Some("54000"));
    assert_eq!(raw.rows("SELECT 1"), [[Some("1".to_owned())]]);
    let grown = weir.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "grew by {grown} KiB");
    drop(raw);
    let lake = weir.lake();
    let refused = lake.events("command-refused");
    assert_eq!(refused.len(), 2, "{:#?}", lake.rows("log_events"));
}

#[test]
fn slow_handshakes_hold_no_one_up() {
    let weir = start();
    let before = weir.resident_kib();
    let whole = startup(&[("user", USER), ("database", TARGET)]);
    let mut slow: Vec<Raw> = (0..200).map(|_| Raw::connect(weir.port)).collect();
    for end in 1..8 {
        for raw in &mut slow {
            raw.send(&whole[end - 1..end]);
        }
    }
    let begun = Instant::now();
    usable(&weir);
    assert!(begun.elapsed() < Duration::from_secs(5), "a login took {:?}", begun.elapsed());
    let grown = weir.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "200 slow clients cost {grown} KiB");
    // The deadline of a login is 30 s from accept, whatever trickles in.
    let mut first = slow.swap_remove(0);
    first.set_timeout(Duration::from_secs(45));
    let messages = first.read_to_end();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(40), "closed after {waited:?}");
    let state = sqlstate(&messages);
    assert!(state.as_deref().is_none_or(|state| state == "57P05"), "{messages:?}");
}

/// A login that must fail: its SQLSTATE and its message.
fn refused_login(endpoint: &Endpoint) -> (String, String) {
    let (_, messages) = Raw::try_login(endpoint);
    let error = messages.iter().find(|message| message.kind == b'E');
    let error = error.unwrap_or_else(|| panic!("no error: {messages:?}"));
    (error.field(b'C'), error.field(b'M'))
}

#[test]
fn wrong_logins_are_refused_alike_and_recorded() {
    let mut weir = start();
    let good = weir.endpoint();
    let wrong = refused_login(&good.with_user(USER, "a wrong password"));
    let unknown = refused_login(&good.with_user("nobody", "a wrong password"));
    assert_eq!(wrong.0, "28P01");
    let name = |text: &str| text.replace(USER, "?").replace("nobody", "?");
    assert_eq!((wrong.0, name(&wrong.1)), (unknown.0, name(&unknown.1)), "names can be probed");
    let (state, said) = refused_login(&good.with_dbname("no_such_target"));
    assert_eq!(state, "3D000", "{said}");
    usable(&weir);
    let lake = weir.lake();
    assert!(lake.events("login-failed").len() >= 3, "{:#?}", lake.rows("log_events"));
    let all = format!("{:?}{}", lake.rows("log_events"), weir.log());
    assert!(!all.contains("a wrong password"), "a password in the record or the log");
}

#[test]
fn who_guesses_a_password_has_to_wait_and_shuts_out_nobody_else() {
    let weir = start();
    let wrong = weir.endpoint().with_user(USER, "wrong");
    let shut = (0..60).map(|_| refused_login(&wrong).0).find(|code| code != "28P01");
    assert_eq!(shut.as_deref(), Some("53400"), "each shard counts by itself");
    // Nobody is told whether the name is one of weir's.
    let nobody = weir.endpoint().with_user("nobody-at-all", "wrong");
    let shut = (0..60).map(|_| refused_login(&nobody).0).find(|code| code != "28P01");
    assert_eq!(shut.as_deref(), Some("53400"));
    wait_until("the right password to be looked at", Duration::from_secs(90), || {
        Raw::try_login(&weir.endpoint()).1.iter().any(|message| message.kind == b'Z')
    });
}

#[test]
fn a_target_that_is_down_is_named_and_comes_back() {
    let database = Postgres::shared().database();
    let mut down = database.endpoint();
    down.port = free_port();
    let mut wrong = database.endpoint();
    wrong.password = "not the role's password".to_owned();
    let mut weir = Spec::new(&database)
        .target("down", &down, CLEAR)
        .target("locked", &wrong, CLEAR)
        .target(
            "unresolved",
            &Endpoint { host: "no-such-host.invalid".to_owned(), ..down.clone() },
            CLEAR,
        )
        .start();
    let (state, said) = refused_login(&weir.endpoint().with_dbname("down"));
    assert_eq!(state, "08001", "{said}");
    let (state, said) = refused_login(&weir.endpoint().with_dbname("locked"));
    assert_eq!(state, "28000", "{said}");
    assert!(!said.contains("not the role's password"));
    let (state, said) = refused_login(&weir.endpoint().with_dbname("unresolved"));
    assert_eq!(state, "08001", "{said}");
    usable(&weir);
    let lake = weir.lake();
    for label in ["target-connect", "target-credentials", "target-resolve"] {
        assert!(!events_with(&lake, label).is_empty(), "{label}: {:#?}", lake.rows("log_events"));
    }
}

#[test]
fn a_target_that_dies_takes_only_its_sessions_along() {
    let database = Postgres::shared().database();
    let mut mortal = Postgres::start();
    let other = mortal.database();
    let weir = Spec::new(&database).target("mortal", &other.endpoint(), CLEAR).start();
    let mut dying = Raw::login(&weir.endpoint().with_dbname("mortal"));
    let mut living = Raw::login(&weir.endpoint());
    dying.send(&query("SELECT pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(300));
    mortal.stop();
    let state = sqlstate(&dying.read_to_end()).unwrap_or_default();
    assert!(state.starts_with("57P0") || state.starts_with("08"), "{state}");
    assert_eq!(living.rows("SELECT 1").len(), 1);
}

#[test]
fn a_target_with_a_foreign_certificate_is_not_spoken_to() {
    let database = Postgres::shared().database();
    let server = Endpoint { host: "localhost".to_owned(), ..database.endpoint() };
    // The system's roots do not know the test's authority.
    let weir = Spec::new(&database).target("foreign", &server, "tls = \"verify-full\"").start();
    let (state, said) = refused_login(&weir.endpoint().with_dbname("foreign"));
    assert_eq!(state, "08001", "{said}");
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn idle_sessions_are_cheap() {
    let weir = start();
    usable(&weir);
    let before = weir.resident_kib();
    let sessions: Vec<Raw> = (0..150).map(|_| Raw::login(&weir.endpoint())).collect();
    let grown = weir.resident_kib().saturating_sub(before);
    assert!(grown / 150 < 64, "{grown} KiB for 150 idle sessions");
    drop(sessions);
    usable(&weir);
}

#[test]
fn a_full_disk_refuses_commands_and_loses_none() {
    let Some(disk) = SmallDisk::mount("160m") else { return };
    let database = Postgres::shared().database();
    database.sql("CREATE TABLE seen (id int PRIMARY KEY); GRANT ALL ON seen TO app");
    let mut weir = Spec::new(&database)
        .data_dir(disk.path().join("data"))
        .tail("[journal]\nsegment = \"18MiB\"\n")
        .start();
    let mut raw = Raw::login(&weir.endpoint());
    raw.rows("SELECT 1");
    // Nothing is left for another segment.
    let filler = disk.path().join("filler");
    let _ = output(
        Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", filler.display())),
    );
    let padding = "x".repeat(1 << 20);
    let mut acknowledged = Vec::new();
    let mut refusal = None;
    for id in 0..400 {
        let messages = raw.query(&format!("INSERT INTO seen VALUES ({id}) /* {padding} */"));
        assert_eq!(messages.last().map(|message| message.kind), Some(b'Z'), "the session died");
        match sqlstate(&messages) {
            None => acknowledged.push(id),
            Some(state) => {
                refusal = Some(state);
                break;
            }
        }
    }
    assert_eq!(refusal.as_deref(), Some("53100"), "after {} commands", acknowledged.len());
    let stored = database.sql("SELECT count(*) FROM seen");
    assert_eq!(stored, acknowledged.len().to_string(), "a refused command ran");
    // Space comes back, and the same session goes on.
    std::fs::remove_file(&filler).expect("the filler");
    wait_until("commands to be recorded again", Duration::from_secs(60), || {
        sqlstate(&raw.query("SELECT 'again'")).is_none()
    });
    drop(raw);
    let lake = weir.lake();
    for id in &acknowledged {
        let found = lake.commands_with(&format!("INSERT INTO seen VALUES ({id}) "));
        assert_eq!(found.len(), 1, "{id} was acknowledged and has {} rows", found.len());
    }
    drop(weir);
}

/// Answers that outrun the journal are not read for as long as it has no room; nobody loses a
/// session for it.
#[test]
fn large_answers_wait_for_the_disk_and_end_no_session() {
    const READERS: usize = 8;
    let Some(disk) = SmallDisk::mount("160m") else { return };
    let database = Postgres::shared().database();
    let settings = format!("{CLEAR}\ncapture = {{ responses = \"full\" }}");
    let weir = Spec::bare("full")
        .data_dir(disk.path().join("data"))
        .target_settings(&database.endpoint(), &settings)
        .everything_allowed()
        .tail("[journal]\nsegment = \"18MiB\"\n")
        .start();
    let readers: Vec<Raw> = (0..READERS).map(|_| Raw::login(&weir.endpoint())).collect();
    let filler = disk.path().join("filler");
    let to = format!("of={}", filler.display());
    let _ = output(Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(to));
    let (stop, whole) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for mut raw in readers {
            let (stop, whole) = (&stop, &whole);
            scope.spawn(move || {
                raw.set_timeout(Duration::from_secs(120));
                // Each is larger than what a segment keeps for answers.
                let large = query("SELECT repeat('x', 10000) FROM generate_series(1, 1000)");
                while !stop.load(Ordering::Relaxed) {
                    raw.send(&large);
                    let messages = raw.read_ready(1);
                    match sqlstate(&messages) {
                        None => _ = whole.fetch_add(1, Ordering::Relaxed),
                        Some(state) => {
                            assert_eq!(state, "53100");
                            std::thread::sleep(Duration::from_millis(50));
                        }
                    }
                }
                // The sealer may be behind for a moment more.
                wait_until("room for a command", Duration::from_secs(60), || {
                    sqlstate(&raw.query("SELECT 'there'")).is_none()
                });
            });
        }
        wait_until("answers to wait", Duration::from_secs(60), || {
            weir.log().contains("answers of targets are not read")
        });
        std::fs::remove_file(&filler).expect("the filler");
        let before = whole.load(Ordering::Relaxed);
        wait_until("answers to go on", Duration::from_secs(60), || {
            whole.load(Ordering::Relaxed) >= before + 2 * READERS
        });
        stop.store(true, Ordering::Relaxed);
    });
}
