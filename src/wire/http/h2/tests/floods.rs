//! Peers that make work for nothing (CVE-2023-44487, CVE-2025-8671, RUSTSEC-2024-0332), and
//! windows.

use super::*;
use crate::limits::{
    H2_ACKS_MAX, H2_CONTINUATIONS_MAX, H2_FLOOD_US, H2_IDLE_FRAMES_MAX, H2_RESETS_MAX,
    H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX,
};

/// Says `bytes` until the connection ends, taking what is sent; returns how often it was said.
fn until_calm(server: &mut Connection, mut bytes: impl FnMut(u32) -> Vec<u8>) -> u32 {
    for round in 0..5_000 {
        let events = run(server, &bytes(round));
        if events.last().is_some_and(|last| last == "Fatal ENHANCE_YOUR_CALM") {
            return round + 1;
        }
        for id in (1..).step_by(2).take(round as usize + 1) {
            server.release(id);
        }
        server.take_output(&mut Vec::new());
    }
    u32::MAX
}

#[test]
fn frames_without_progress() {
    let cases = [
        frame(Kind::Ping, 0, 0, &[0; 8]),
        frame(Kind::Ping, ACK, 0, &[0; 8]),
        frame(Kind::Settings, 0, 0, &[]),
        frame(Kind::Priority, 0, 1, &[0; 5]),
        frame(Kind::WindowUpdate, 0, 0, &[0, 0, 0, 1]),
        frame(Kind::Data, 0, 1, b""),
        frame(Kind::Data, PADDED, 1, b"\x03\0\0\0"),
    ];
    for bytes in cases {
        let mut server = server();
        run(&mut server, &headers(1, 0, GET));
        let rounds = until_calm(&mut server, |_| bytes.clone());
        assert_eq!(rounds, H2_IDLE_FRAMES_MAX + 1, "{bytes:?}");
    }
}

#[test]
fn time_forgives() {
    let mut server = server();
    let ping = frame(Kind::Ping, ACK, 0, &[0; 8]);
    for round in 0..5_000u64 {
        let now_us = round * (H2_FLOOD_US / u64::from(H2_IDLE_FRAMES_MAX - 1));
        assert_eq!(server.receive(&mut &ping[..], now_us), Ok(None));
    }
}

#[test]
fn acknowledgements_that_wait() {
    let mut server = server();
    let pings = frame(Kind::Ping, 0, 0, &[0; 8]).repeat(H2_ACKS_MAX as usize);
    assert!(run(&mut server, &pings).is_empty());
    let one = frame(Kind::Ping, 0, 0, &[0; 8]);
    assert_eq!(run(&mut server, &one), ["Fatal ENHANCE_YOUR_CALM"]);
}

#[test]
fn rapid_resets() {
    let mut server = server();
    let rounds = until_calm(&mut server, |round| {
        let id = round * 2 + 1;
        [headers(id, END_STREAM, GET), frame(Kind::RstStream, 0, id, &[0; 4])].concat()
    });
    assert_eq!(rounds, H2_RESETS_MAX);
}

/// The client has weir reset its streams.
#[test]
fn resets_that_weir_is_made_to_send() {
    let cases: [fn(u32) -> Vec<u8>; 3] = [
        |id| [headers(id, 0, GET), frame(Kind::WindowUpdate, 0, id, &[0; 4])].concat(),
        |id| [headers(id, END_STREAM, GET), frame(Kind::Data, 0, id, b"x")].concat(),
        |id| headers(id, END_STREAM, &[(":method", "GET")]),
    ];
    for make in cases {
        let mut server = server();
        let mut last = 0;
        let rounds = until_calm(&mut server, |round| {
            last = round;
            make(round * 2 + 1)
        });
        // Those that are refused keep their places, since nobody has answered them here.
        assert!(rounds == H2_RESETS_MAX || rounds == u32::MAX, "{rounds}");
        assert!(server.streams() <= H2_STREAMS_MAX);
    }
}

/// A person who goes from page to page resets a few of many.
#[test]
fn some_resets_are_life() {
    let mut server = server();
    for round in 0..1_000 {
        let id = round * 2 + 1;
        assert_eq!(run(&mut server, &headers(id, END_STREAM, GET)).len(), 1);
        if round % 3 == 0 {
            let events = run(&mut server, &frame(Kind::RstStream, 0, id, &[0, 0, 0, 8]));
            assert_eq!(events, [format!("Reset {id} CANCEL")]);
            server.release(id);
        } else {
            server.send_head(id, Say::Answer { last: true }, |_| {}).unwrap();
        }
    }
    assert_eq!(server.streams(), 0);
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let mut server = server();
    let most = H2_STREAMS_MAX as u32;
    for id in 0..most {
        run(&mut server, &headers(id * 2 + 1, END_STREAM, GET));
    }
    let next = most * 2 + 1;
    assert!(run(&mut server, &headers(next, END_STREAM, GET)).is_empty());
    assert_eq!(resets(&mut server), [(next, Code::RefusedStream as u32)]);
    // A reset does not make room, the end of its work does.
    run(&mut server, &frame(Kind::RstStream, 0, 1, &[0, 0, 0, 8]));
    assert!(run(&mut server, &headers(next + 2, END_STREAM, GET)).is_empty());
    server.release(1);
    assert_eq!(run(&mut server, &headers(next + 4, END_STREAM, GET)).len(), 1);
}

#[test]
fn continuation_frames() {
    let start = frame(Kind::Headers, END_STREAM, 1, b"\x82");
    let more = frame(Kind::Continuation, 0, 1, b"").repeat(H2_CONTINUATIONS_MAX as usize);
    let mut first = server();
    assert!(run(&mut first, &[start.clone(), more.clone()].concat()).is_empty());
    let last = frame(Kind::Continuation, END_HEADERS, 1, b"");
    assert_eq!(run(&mut first, &last), ["Fatal ENHANCE_YOUR_CALM"]);
    let large = frame(Kind::Continuation, 0, 1, &[0x82; 16_384]).repeat(4);
    let mut second = server();
    assert_eq!(run(&mut second, &[start, large].concat()), ["Fatal ENHANCE_YOUR_CALM"]);
}

#[test]
fn credit_is_for_what_was_handed_on() {
    let mut server = server();
    let long: Vec<(&str, &str)> = POST[..4].to_vec();
    run(&mut server, &headers(1, 0, &long));
    let piece = frame(Kind::Data, 0, 1, &[b'x'; 16_384]);
    let fit = H2_STREAM_WINDOW_BYTES / 16_384;
    for _ in 0..fit {
        run(&mut server, &piece);
    }
    assert!(sent(&mut server).is_empty());
    server.credit(1, 16_384);
    server.credit_connection(16_384);
    assert!(sent(&mut server).is_empty(), "credit is given in large parts");
    server.credit(1, 3 * 16_384);
    let frames = sent(&mut server);
    assert_eq!(
        (frames[0].0, frames[0].2, &frames[0].3[..]),
        (Kind::WindowUpdate, 1, &[0, 1, 0, 0][..])
    );
    for _ in 0..4 {
        assert_eq!(run(&mut server, &piece).len(), 1);
    }
    assert_eq!(run(&mut server, &piece), ["Reset 1 FLOW_CONTROL_ERROR"]);
    assert_eq!(resets(&mut server), [(1, Code::FlowControl as u32)]);
}

#[test]
fn the_connections_window() {
    let mut server = server();
    let long: Vec<(&str, &str)> = POST[..4].to_vec();
    let piece = |id| frame(Kind::Data, 0, id, &[b'x'; 16_384]);
    for stream in 0..4 {
        run(&mut server, &headers(stream * 2 + 1, 0, &long));
        for _ in 0..16 {
            assert_eq!(run(&mut server, &piece(stream * 2 + 1)).len(), 1);
        }
    }
    run(&mut server, &headers(9, 0, &long));
    assert_eq!(run(&mut server, &piece(9)), ["Fatal FLOW_CONTROL_ERROR"]);
}

/// Padding and what nobody wants is given back, or a client could shut its own window for ever.
#[test]
fn padding_is_given_back() {
    let mut server = server();
    let long: Vec<(&str, &str)> = POST[..4].to_vec();
    run(&mut server, &headers(1, 0, &long));
    let padded = [&[255, b'x'][..], &[0; 255]].concat();
    for _ in 0..20_000 {
        let events = run(&mut server, &frame(Kind::Data, PADDED, 1, &padded));
        assert_eq!(events, ["Data 1 x"]);
        server.credit(1, 1);
        server.credit_connection(1);
    }
}

#[test]
fn sending_waits_for_windows() {
    let mut server = server();
    run(&mut server, &headers(1, END_STREAM, GET));
    assert_eq!(server.room(1), Ok(0));
    server.send_head(1, Say::Answer { last: false }, |_| {}).unwrap();
    let body = vec![b'y'; 100_000];
    assert_eq!(server.send_data(1, &body, true), Ok(65_535));
    assert_eq!(server.send_data(1, &body[65_535..], true), Ok(0));
    let frames = sent(&mut server);
    let data = || frames.iter().filter(|(kind, ..)| *kind == Kind::Data);
    assert_eq!(data().map(|(.., payload)| payload.len()).sum::<usize>(), 65_535);
    assert!(data().all(|(_, flags, _, payload)| *flags == 0 && payload.len() <= 16_384));
    let both = [0, 1].map(|id| frame(Kind::WindowUpdate, 0, id, &[0, 1, 0, 0])).concat();
    let events = run(&mut server, &both);
    assert_eq!(events, ["Room { stream: 0 }", "Room { stream: 1 }"]);
    assert_eq!(server.send_data(1, &body[65_535..], true), Ok(34_465));
    assert_eq!(server.streams(), 0);
    assert_eq!(server.send_data(1, b"", true), Err(Gone));
}

/// SETTINGS may make windows negative (6.9.2).
#[test]
fn a_window_below_nothing() {
    let mut server = server();
    run(&mut server, &headers(1, END_STREAM, GET));
    server.send_head(1, Say::Answer { last: false }, |_| {}).unwrap();
    assert_eq!(server.send_data(1, &[0; 10_000], false), Ok(10_000));
    let initial = |bytes: u32| {
        let payload = [&[0, 4][..], &bytes.to_be_bytes()].concat();
        frame(Kind::Settings, 0, 0, &payload)
    };
    assert!(run(&mut server, &initial(100)).is_empty());
    assert_eq!(server.room(1), Ok(0));
    run(&mut server, &frame(Kind::WindowUpdate, 0, 1, &[0, 0, 0x26, 0xac]));
    assert_eq!(server.room(1), Ok(0));
    run(&mut server, &frame(Kind::WindowUpdate, 0, 1, &[0, 0, 0, 7]));
    assert_eq!(server.room(1), Ok(7));
    assert_eq!(run(&mut server, &initial(1_000)), ["Room { stream: 0 }"]);
    assert_eq!(server.room(1), Ok(907));
    assert_eq!(run(&mut server, &initial(i32::MAX as u32)), ["Room { stream: 0 }"]);
    let events = run(&mut server, &frame(Kind::WindowUpdate, 0, 1, &[0, 0, 0, 94]));
    assert_eq!(events, ["Reset 1 FLOW_CONTROL_ERROR"]);
    // A stream that is over has no window.
    assert!(run(&mut server, &initial(1)).is_empty());
    assert_eq!(run(&mut server, &initial(i32::MAX as u32)), ["Room { stream: 0 }"]);
}
