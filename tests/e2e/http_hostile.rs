//! Peers of HTTP that mean harm, on either side: floods of frames, requests that are begun and
//! taken back, heads and content that come for ever, readers that read nothing. Nothing they do
//! crashes weir, holds another client up, or makes its memory grow without a bound.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::bytes::*;
use crate::support::harm::{Bystander, Fake, pour, pour_for_ever};
use crate::support::lake::text;
use crate::support::short_or_long;
use crate::support::web::{Plan, Server, Web};

/// A session that was there before the harm. It asks, and so does somebody who comes anew, by each
/// version.
fn bystander(web: &Web) -> Bystander<'_> {
    let (mut one, mut two) = (connect(web.port), Two::connect(web.port));
    let mut asked = 0;
    Bystander::new(&web.weir, move |what| {
        asked += 1;
        for stream in [&mut one, &mut connect(web.port)] {
            stream.write_all(&head("GET", &format!("/beside/{asked}"), "")).expect(what);
            let said = answered(stream).expect(what);
            assert!(said.contains("/beside/"), "{what}: {said}");
        }
        let id = two.next_id();
        two.say(&get(id, "/beside/two", END_STREAM));
        assert_eq!(two.until(|kind, _| kind == DATA), None, "{what}");
    })
}

// --- hostile clients ---------------------------------------------------------------------------

fn web() -> Web {
    Web::start(Server::start(), "http", &Plan::default())
}

/// No session ended by a fault of weir's own.
fn blameless(mut web: Web) {
    let rows = web.weir.lake().rows("sessions");
    let ours: Vec<_> = rows.iter().filter(|row| text(row, "end_reason") == "internal").collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

type Make = fn(u32) -> Vec<u8>;

/// Frames that bring nothing forward, streams that are begun for nothing.
const FLOODS: [(&str, Make); 12] = [
    ("rapid resets", |n| {
        let id = n * 2 + 1;
        [get(id, "/reset", END_STREAM), frame(RESET, 0, id, &[0, 0, 0, 8])].concat()
    }),
    ("resets that weir is made to send, by a window", |n| {
        [get(n * 2 + 1, "/reset", 0), grant(n * 2 + 1, 0)].concat()
    }),
    ("resets that weir is made to send, by content behind the end", |n| {
        [get(n * 2 + 1, "/reset", END_STREAM), frame(DATA, 0, n * 2 + 1, b"x")].concat()
    }),
    ("resets that weir is made to send, by a priority", |n| {
        [get(n * 2 + 1, "/reset", 0), frame(PRIORITY, 0, n * 2 + 1, b"x")].concat()
    }),
    ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
    ("sizes of tables", |n| setting(1, n % 2 * 4096)),
    ("PING", |_| frame(PING, 0, 0, b"eight of")),
    ("acknowledgements", |_| frame(PING, ACK, 0, b"eight of")),
    ("PRIORITY", |_| frame(PRIORITY, 0, 1, &[0; 5])),
    ("WINDOW_UPDATE", |_| grant(0, 1)),
    ("empty DATA", |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &fields("POST", "/empty-data")),
        _ => frame(DATA, 0, 1, &[]),
    }),
    ("frames that nobody knows", |_| frame(0xbb, 0, 0, b"what")),
];

#[test]
fn floods_of_frames_end_their_connection_and_nobody_elses() {
    let web = web();
    let mut bystander = bystander(&web);
    for (what, make) in FLOODS {
        for _ in 0..short_or_long(2, 50) {
            let mut two = Two::connect(web.port);
            assert_eq!(two.flood(20_000, make), Some(End::Goaway(CALM)), "{what}");
        }
        bystander.look(what);
    }
    // Whoever floods reads nothing either.
    let limit = Duration::from_secs(short_or_long(1, 20).into());
    for (what, make) in FLOODS {
        let two = Two::connect(web.port);
        let pieces: Vec<u8> = (0..20_000).flat_map(make).collect();
        pour(&two.stream, &pieces, 1, limit);
        bystander.look(&format!("{what}, and its answers not read"));
    }
    drop(bystander);
    blameless(web);
}

#[test]
fn a_reset_request_costs_its_target_no_more_than_an_asked_one() {
    let web = web();
    let mut two = Two::connect(web.port);
    assert_eq!(two.flood(20_000, FLOODS[0].1), Some(End::Goaway(CALM)));
    let mut web = web;
    let commands = web.weir.lake().commands_with("GET /reset").len();
    let bound = weir::limits::H2_RESETS_MAX as usize;
    assert!(commands <= bound, "{commands} of 20,000 were begun");
}

/// Blocks of fields that do not end, grow out of little, or are more than a request has.
#[test]
fn heads_of_http2_have_a_bound() {
    let web = web();
    let mut bystander = bystander(&web);
    let start = frame(HEADERS, END_STREAM, 1, &fields("GET", "/head"));
    for (what, piece) in [
        ("empty CONTINUATIONs", Vec::new()),
        ("CONTINUATIONs of a field each", field("x", &"y".repeat(1000))),
        ("CONTINUATIONs of one byte", b"\x82".to_vec()),
    ] {
        let mut two = Two::connect(web.port);
        two.say(&start);
        let end = two.flood(10_000, |_| frame(CONTINUATION, 0, 1, &piece));
        assert_eq!(end, Some(End::Goaway(CALM)), "{what}");
        bystander.look(what);
    }
    // One byte stands for four thousand, and nothing is read of the refusals.
    let mut bombs: Vec<Two> = Vec::new();
    for _ in 0..20 {
        let mut two = Two::with(web.port, &setting(4, 0));
        let id = two.next_id();
        let large = literal(0x40, "x-large", &"y".repeat(3_900));
        two.say(&frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            id,
            &[fields("GET", "/a"), large].concat(),
        ));
        let mut pieces = Vec::new();
        for _ in 0..90 {
            let block = [fields("GET", "/a"), vec![0xbe; 15_000]].concat();
            pieces.extend(frame(HEADERS, END_STREAM | END_HEADERS, two.next_id(), &block));
        }
        pour(&two.stream, &pieces, 1, Duration::from_secs(2));
        bombs.push(two);
    }
    bystander.look("fields of one byte each that stand for thousands");
    drop(bombs);
    // What is too much is refused on its stream, and the next request on it is answered.
    let mut two = Two::connect(web.port);
    for more in [
        field("x", "y").repeat(200),
        field("cookie", "a=b").repeat(200),
        field("x", &"y".repeat(10_000)),
    ] {
        let block = [fields("GET", "/a"), more].concat();
        let id = two.next_id();
        two.say(&frame(HEADERS, END_STREAM | END_HEADERS, id, &block));
        assert_eq!(two.until(|kind, _| kind == DATA), None);
    }
    let id = two.next_id();
    two.say(&get(id, "/beside/after", END_STREAM));
    let mut told = Vec::new();
    let is_told = |kind, payload: &[u8]| {
        told.extend(payload);
        kind == DATA && String::from_utf8_lossy(&told).contains("/beside/after")
    };
    assert_eq!(two.until(is_told), None);
    drop(bystander);
    blameless(web);
}

/// Windows that stay shut hold what was asked for at the target, not in weir.
#[test]
fn readers_that_open_no_window_cost_what_their_windows_hold() {
    let web = web();
    let mut bystander = bystander(&web);
    let mut deaf: Vec<Two> = Vec::new();
    for _ in 0..2 {
        let mut two = Two::with(web.port, &setting(4, 0));
        for _ in 0..50 {
            let id = two.next_id();
            two.say(&get(id, "/large/16", END_STREAM));
        }
        bystander.look("fifty answers behind shut windows");
        deaf.push(two);
    }
    // A byte at a time is a window, too.
    let mut drops = Two::with(web.port, &setting(4, 0));
    for _ in 0..20 {
        let id = drops.next_id();
        drops.say(&get(id, "/large/16", END_STREAM));
    }
    for _ in 0..40 {
        let credit: Vec<u8> = (0..20).flat_map(|n| grant(n * 2 + 1, 1)).collect();
        pour(&drops.stream, &credit, 1, Duration::from_secs(1));
    }
    bystander.look("answers byte by byte");
    // Nor does one that opens them wide and does not read, by either version.
    let mut wide = Two::with(web.port, &[setting(4, i32::MAX as u32), grant(0, 1 << 30)].concat());
    for _ in 0..50 {
        let id = wide.next_id();
        wide.say(&get(id, "/large/64", END_STREAM));
    }
    let mut ones: Vec<TcpStream> = (0..20).map(|_| connect(web.port)).collect();
    for stream in &mut ones {
        stream.write_all(&head("GET", "/large/64", "")).expect("weir listens");
    }
    thread::sleep(Duration::from_secs(2));
    bystander.look("seventy answers of 64 MiB that nobody reads");
    // They are not broken either: one reads on, to the end.
    let mut one = ones.pop().expect("twenty of them");
    let mut length = 0;
    let mut piece = vec![0; 1 << 20];
    while length < 64 << 20 {
        length += one.read(&mut piece).expect("an answer that goes on");
    }
    bystander.look("one of them reads");
    drop((deaf, drops, wide, ones));
    bystander.look("all of them gone");
    drop(bystander);
    blameless(web);
}

/// What a client of HTTP/1.1 may say for ever, and whether that ends its connection.
fn endless() -> Vec<(&'static str, Vec<u8>, Vec<u8>, bool)> {
    let chunked = head("POST", "/endless", "Transfer-Encoding: chunked\r\n");
    let one = |more: &str| [&chunked[..], more.as_bytes()].concat();
    vec![
        ("empty lines", Vec::new(), b"\r\n".to_vec(), true),
        ("a line", b"GET /".to_vec(), b"x".to_vec(), true),
        ("fields", head("GET", "/a", "")[..20].to_vec(), b"X: y\r\n".to_vec(), true),
        ("a field", b"GET / HTTP/1.1\r\nX: ".to_vec(), b"y".to_vec(), true),
        ("an extension of a chunk", one("1;"), b"x".to_vec(), true),
        ("extensions of chunks", chunked.clone(), b"1;abcdef=ghijkl\r\nx\r\n".to_vec(), true),
        ("a length of a chunk", chunked.clone(), b"0".to_vec(), true),
        ("trailers", one("0\r\n"), b"X: y\r\n".to_vec(), true),
        ("chunks of one byte", chunked.clone(), b"1\r\nx\r\n".to_vec(), false),
        ("requests", Vec::new(), head("GET", "/pipelined", ""), false),
        ("denied requests", Vec::new(), head("GET", "/secret/a", ""), false),
        ("large answers", Vec::new(), head("GET", "/large/1", ""), false),
        (
            "expectations",
            Vec::new(),
            head(
                "POST",
                "/e",
                "Expect: 100-continue\r\n\
            Content-Length: 0\r\n",
            ),
            false,
        ),
    ]
}

#[test]
fn what_a_client_of_http1_says_for_ever_has_a_bound() {
    let web = web();
    let mut bystander = bystander(&web);
    let limit = Duration::from_secs(short_or_long(1, 20).into());
    for (what, start, piece, ends) in endless() {
        let mut stream = connect(web.port);
        stream.write_all(&start).expect("weir listens");
        let many = piece.repeat((64 << 10) / piece.len() + 1);
        pour(&stream, &many, 4_000, limit);
        bystander.look(&format!("{what} for ever"));
        if ends {
            let mut said = Vec::new();
            let end = stream.read_to_end(&mut said);
            let said = String::from_utf8_lossy(&said).into_owned();
            let is_reset = end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            assert!(is_reset || said.starts_with("HTTP/1.1 4"), "{what}: {said}");
        }
    }
    drop(bystander);
    blameless(web);
}

/// Heads that come a byte at a time are over after ten seconds, by either version.
#[test]
fn slow_heads_hold_no_one_up_and_have_their_time() {
    let web = web();
    let mut bystander = bystander(&web);
    let begun = Instant::now();
    let mut ones: Vec<TcpStream> = (0..200).map(|_| connect(web.port)).collect();
    let mut twos: Vec<Two> = (0..100).map(|_| Two::connect(web.port)).collect();
    let block = fields("GET", "/slow");
    let slow_two = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let slow_one = head("GET", "/slow", "");
    let limit = Duration::from_micros(weir::limits::HTTP_HEAD_US);
    for second in 0..limit.as_secs() as usize {
        for stream in ones.iter_mut().chain(twos.iter_mut().map(|two| &mut two.stream)) {
            stream.set_nodelay(true).expect("an option");
        }
        for stream in &mut ones {
            let _ = stream.write_all(&slow_one[second..=second]);
        }
        for two in &mut twos {
            let _ = two.stream.write_all(&slow_two[second..=second]);
        }
        bystander.look("heads, a byte at a time");
        thread::sleep(Duration::from_secs(1));
    }
    for mut stream in ones {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with("HTTP/1.1 408 "), "{said:?}");
    }
    for mut two in twos {
        assert!(two.until(|_, _| false).is_some());
    }
    let took = begun.elapsed();
    assert!(took < 3 * limit, "{took:?}");
    bystander.look("the same, over");
    drop(bystander);
    blameless(web);
}

// --- hostile targets ---------------------------------------------------------------------------

/// Reads the head of one request; whether one came.
fn hear(stream: &mut TcpStream) -> bool {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => heard.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Lets clients ask a target that says what it wants, reading and not reading, by each version.
fn endure(what: &str, lines: &str, scenario: impl Fn(TcpStream) + Send + Sync + 'static) {
    let fake = Fake::start(scenario);
    let tail = format!(
        "[[target]]\nname = \"fake\"\nprotocol = \"http\"\nhost = \"127.0.0.1\"\n\
         address = \"http://127.0.0.1:{}\"\n{lines}\n",
        fake.port
    );
    let web = Web::start(Server::start(), "http", &Plan { tail: &tail, ..Plan::default() });
    let mut bystander = bystander(&web);
    let ask = |path: &str| {
        let bytes = String::from_utf8(head("GET", path, "")).expect("text");
        bytes.replace("Host: localhost", "Host: 127.0.0.1").into_bytes()
    };
    let mut deaf = connect(web.port);
    deaf.write_all(&ask("/deaf")).expect("weir listens");
    let mut two = Two::connect(web.port);
    for _ in 0..10 {
        let id = two.next_id();
        let block = fields("GET", "/two");
        let at = memchr::memmem::find(&block, b"\x09localhost").expect("an authority");
        let block = [&block[..at], b"\x09127.0.0.1", &block[at + 10..]].concat();
        two.say(&frame(HEADERS, END_STREAM | END_HEADERS, id, &block));
    }
    let mut listening = connect(web.port);
    listening.write_all(&ask("/heard")).expect("weir listens");
    let until = Instant::now() + Duration::from_secs(short_or_long(3, 25).into());
    listening.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut piece = vec![0; 1 << 20];
    while Instant::now() < until && !matches!(listening.read(&mut piece), Ok(0)) {}
    bystander.look(what);
    assert!(fake.heard() >= 3, "{what}: it was asked by all of them");
    drop((deaf, two, listening));
    bystander.look(&format!("{what}, its clients gone"));
    drop(bystander);
    blameless(web);
}

#[test]
fn a_target_that_never_stops_talking_costs_no_memory() {
    let after = |start: &'static str, piece: &'static str| {
        move |mut stream: TcpStream| {
            while hear(&mut stream) && stream.write_all(start.as_bytes()).is_ok() {
                pour_for_ever(&stream, |_| piece.into());
            }
        }
    };
    endure("interim answers", "", after("", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"));
    endure("fields", "", after("HTTP/1.1 200 OK\r\n", "X: y\r\n"));
    endure("a field", "", after("HTTP/1.1 200 OK\r\nX: ", "yyyyyyyyyyyyyyyyyyyy"));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    endure("chunks", "", after(chunked, "1\r\nx\r\n"));
    endure("extensions", "", after(chunked, "1;a=b\r\nx\r\n"));
    endure("content", "", after("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    endure("answers nobody asked for", "", after("", "HTTP/1.1 204 No Content\r\n\r\n"));
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    endure("events", "", after(events, "data: x\n\n"));
    endure("an event without an end", "", after(events, "data: xxxxxxxxxxxxxxxxxxxxx\n"));
}

#[test]
fn a_target_of_http2_that_never_stops_talking_costs_no_memory() {
    let floods: [(&str, Make); 6] = [
        ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
        ("PING", |_| frame(PING, 0, 0, b"eight of")),
        ("WINDOW_UPDATE", |_| grant(0, 1)),
        ("PUSH_PROMISE", |n| frame(5, END_HEADERS, 1, &(n * 2 + 2).to_be_bytes())),
        ("interim answers", |_| frame(HEADERS, END_HEADERS, 1, b"\x08\x03103")),
        ("CONTINUATION", |n| match n {
            0 => frame(HEADERS, 0, 1, b"\x88"),
            _ => frame(CONTINUATION, 0, 1, &field("x", "y")),
        }),
    ];
    for (what, make) in floods {
        endure(what, "http = \"2\"", move |mut stream: TcpStream| {
            let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[]));
            // Preface, settings, the head of the first request.
            thread::sleep(Duration::from_millis(200));
            pour_for_ever(&stream, |n| make(n as u32));
        });
    }
}
