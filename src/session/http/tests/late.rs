//! Clients that are late with their heads and contents; answers that come in several parts.

use super::many::Many;
use super::*;
use crate::limits;
use crate::wire::http::h2::hpack::Keep;

const SECOND_US: u64 = 1_000_000;

fn pass(bench: &mut Bench, us: u64) {
    bench.now.mono_us += us;
    bench.tell(Event::Timeout);
}

#[test]
fn a_head_has_ten_seconds_however_many_pieces_it_comes_in() {
    let head = request("GET /a", "X-Long: yes||");
    let mut bench = Bench::new();
    for byte in &head[..9] {
        bench.send(&[*byte], 1);
        pass(&mut bench, SECOND_US);
    }
    assert!(!bench.closed);
    bench.send(&head[9..10], 1);
    pass(&mut bench, SECOND_US);
    let text = bench.client_text();
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("Connection: close"), "{text}");
    assert!(bench.closed);
}

#[test]
fn content_that_comes_too_slowly_is_408_wherever_it_goes() {
    // It passes, or is kept for people.
    for line in ["POST /a", "DELETE /a"] {
        for framing in ["Content-Length: 100000||", "Transfer-Encoding: chunked||"] {
            let piece = if framing.starts_with('C') { &b"xy"[..] } else { b"2\r\nxy\r\n" };
            let mut bench = Bench::new();
            bench.send(&request(line, framing), 1000);
            for _ in 0..59 {
                bench.send(piece, 100);
                pass(&mut bench, SECOND_US);
            }
            assert!(!bench.closed, "{line} {framing}");
            pass(&mut bench, SECOND_US);
            bench.send(piece, 100);
            let text = bench.client_text();
            assert!(text.starts_with("HTTP/1.1 408 "), "{line} {framing}{text}");
            assert!(bench.closed && bench.leg.is_none());
            // A pause ends it before.
            let mut bench = Bench::new();
            bench.send(&request(line, framing), 1000);
            pass(&mut bench, limits::HTTP_BODY_PIECE_US);
            assert!(bench.client_text().starts_with("HTTP/1.1 408 "), "{line} {framing}");
        }
    }
}

#[test]
fn content_that_comes_fast_enough_may_take_its_time() {
    let mut bench = Bench::new();
    let piece = [b'x'; 1100];
    let length = piece.len() * 200;
    bench.send(&request("POST /a", &format!("Content-Length: {length}||")), 1000);
    for _ in 0..200 {
        bench.send(&piece, 2000);
        pass(&mut bench, SECOND_US);
    }
    bench.answer(OK, 1000);
    assert!(bench.client_text().ends_with("hello") && !bench.closed);
}

#[test]
fn a_stream_of_http2_is_late_by_itself() {
    let mut many = Many::new(10_000);
    let stream = many.client.open(false, false, |block| {
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "billing"),
            (":path", "/slow"),
            ("authorization", "Basic Ym90OnNlY3JldA=="),
        ] {
            block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
        }
    });
    let stream = stream.expect("there is room for a stream");
    for _ in 0..61 {
        let _gone = many.client.send_data(stream, b"x", false);
        many.flush();
        many.bench.now.mono_us += SECOND_US;
        many.tell(Event::Timeout);
        many.flush();
    }
    assert_eq!(many.answer_of(stream).status, 408);
    assert!(!many.bench.closed && many.legs.is_empty());
    let beside = many.ask("GET", "/beside", None);
    many.reply("GET /base/beside ", OK);
    assert_eq!(many.answer_of(beside).content, b"hello");
    assert_eq!(many.bench.record().1, [Outcome::Aborted, Outcome::Success]);
}

#[test]
fn a_block_of_http2_has_ten_seconds_too() {
    // The head of a HEADERS frame and none of its content; the same with a block that goes on.
    let begun = [&b"\0\0\x05\x01\x04\0\0\0\x01"[..], b"\0\0\x01\x01\0\0\0\0\x01\x82"];
    for begun in begun {
        let mut many = Many::new(10_000);
        let beside = many.ask("GET", "/beside", None);
        let other = begun.iter().copied().enumerate();
        let bytes: Vec<u8> =
            other.map(|(at, byte)| if at == 8 { byte + 2 } else { byte }).collect();
        many.tell(Event::Bytes(End::Client, &bytes));
        many.bench.now.mono_us += limits::HTTP_HEAD_US - 1;
        many.tell(Event::Timeout);
        assert!(!many.bench.closed);
        many.bench.now.mono_us += 1;
        many.tell(Event::Timeout);
        assert!(many.bench.closed && many.legs.is_empty(), "and {beside} ends with it");
    }
}

#[test]
fn interim_answers_take_the_place_of_none() {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
        let link = "|Link: </a.css>; rel=preload||".replace('|', "\r\n");
        let before = format!("HTTP/1.1 {interim}{link}");
        for (line, answer, told) in [
            ("HEAD /a", "200 OK|Content-Length: 5||", "200 OK"),
            ("GET /a", "204 No Content||", "204 No Content"),
            ("GET /a", "304 Not Modified|Content-Length: 5||", "304 Not Modified"),
            ("GET /a", "200 OK|Content-Length: 5||hello", "200 OK"),
        ] {
            let answer = format!("HTTP/1.1 {answer}").replace('|', "\r\n");
            for (count, piece) in [(1, 1000), (2, 1000), (2, 1)] {
                let mut bench = Bench::new();
                bench.send(&request(line, "|"), 1000);
                bench.answer(format!("{}{answer}", before.repeat(count)).as_bytes(), piece);
                let text = bench.client_text();
                assert_eq!(text.matches(&format!("HTTP/1.1 {told}\r\n")).count(), 1, "{text}");
                let passes = if interim.starts_with("100") { 0 } else { count };
                let heard = text.matches(&format!("HTTP/1.1 {interim}\r\n")).count();
                assert_eq!(heard, passes, "{text}");
                assert_eq!(text.ends_with("hello"), answer.ends_with("hello"), "{text}");
                // The connection to the target is in step: the next answer is the next request's.
                assert_eq!((bench.legs, bench.closed), ([1, 1, 0], false), "{interim} {line}");
                bench.reused = true;
                bench.send(&request("GET /next", "|"), 1000);
                bench.answer(OK, 1000);
                assert!(bench.client_text().ends_with("hello"));
                assert_eq!(bench.record().1, [Outcome::Success; 2]);
            }
        }
    }
    let mut bench = Bench::new();
    bench.send(&request("GET /a", "|"), 1000);
    let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(limits::HTTP_INTERIM_MAX as usize + 1);
    bench.answer(many.as_bytes(), 1000);
    let text = bench.client_text();
    assert!(text.contains("HTTP/1.1 502 ") && bench.leg.is_none(), "{text}");
}

#[test]
fn a_client_that_reads_nothing_is_to_blame_and_not_its_target() {
    for (reads, why) in [(false, "client-reads-nothing"), (true, "target-timeout")] {
        let mut bench = Bench::new();
        bench.send(&request("GET /a", "|"), 1000);
        bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", 1000);
        let leg = bench.leg.expect("a leg");
        for _ in 0..1_000 {
            if !bench.session.wants(End::Target(leg)) {
                break;
            }
            bench.handle(Event::Bytes(End::Target(leg), &[b'x'; 10_000]));
            let outbox = bench.session.outbox(End::Client).expect("the client's");
            let count = outbox.sendable(Lsn(u64::MAX)).len();
            outbox.consume(if reads { count } else { 0 });
        }
        assert_eq!(bench.session.wants(End::Target(leg)), reads);
        bench.now.mono_us += limits::HTTP_PIECE_US;
        bench.tell(Event::Timeout);
        assert!(bench.closed);
        assert_eq!(bench.last_end(), Some((Outcome::Aborted, why.to_owned())));
    }
}
