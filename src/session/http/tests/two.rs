//! A target of HTTP/2 that is weir's own codec: requests of one client, one behind the other.

use super::*;
use crate::wire::http::h2::hpack::Keep;
use crate::wire::http::h2::{Code, Connection, Event as Heard, Say};

struct Target {
    bench: Bench,
    peer: Connection,
    /// Streams, and the paths that were asked for on them.
    asked: Vec<(u32, Vec<u8>)>,
    /// Content of requests.
    heard: Vec<u8>,
}

impl Target {
    fn new() -> Target {
        let peer = Connection::server("http", false);
        Target { bench: Bench::new(), peer, asked: Vec::new(), heard: Vec::new() }
    }

    /// A request of the client, on the connection that was given back, if one was.
    fn ask(&mut self, line: &str, rest: &str) {
        let head = "Host: calls|Authorization: Basic Ym90OnNlY3JldA==|";
        let text = format!("{line} HTTP/1.1|{head}{rest}").replace('|', "\r\n");
        self.bench.reused = self.bench.learned.is_some();
        self.bench.send(text.as_bytes(), 1000);
        self.hear();
    }

    /// What weir sent.
    fn hear(&mut self) {
        let sent = std::mem::take(&mut self.bench.target);
        let mut input = sent.as_slice();
        while let Some(event) = self.peer.receive(&mut input, 1_000).expect("frames in order") {
            match event {
                Heard::Head { stream, .. } => {
                    self.asked.push((stream, self.peer.take_head().target().to_vec()));
                }
                Heard::Data { bytes, .. } => self.heard.extend_from_slice(bytes),
                _ => {}
            }
        }
    }

    fn head(&mut self, stream: u32, length: Option<&str>, last: bool) {
        let said = self.peer.send_head(stream, Say::Answer { last }, |block| {
            block.field(b":status", b"200", Keep::Usual);
            block.field(b"x-kept", b"a value that stands in the table from now on", Keep::Usual);
            if let Some(length) = length {
                block.field(b"content-length", length.as_bytes(), Keep::Usual);
            }
        });
        said.expect("a stream");
    }

    /// What the target has to say arrives.
    fn flush(&mut self, piece: usize) {
        let mut out = Vec::new();
        self.peer.take_output(&mut out);
        for part in out.chunks(piece) {
            if self.bench.leg.is_some() {
                self.bench.answer(part, piece);
            }
        }
    }
}

#[test]
fn requests_one_behind_the_other_share_a_connection_and_its_tables() {
    for piece in [1, 2, 3, 9, 40, 10_000] {
        let mut target = Target::new();
        for (number, length) in [(0, None), (1, Some("5")), (2, None), (3, Some("5"))] {
            target.ask(&format!("GET /{number}"), "|");
            let stream = number * 2 + 1;
            assert_eq!(target.asked.last(), Some(&(stream, format!("/{number}").into_bytes())));
            target.head(stream, length, false);
            assert_eq!(target.peer.send_data(stream, b"xyzzy", true), Ok(5));
            target.flush(piece);
            let text = target.bench.client_text();
            assert!(
                text.contains("x-kept: a value that stands") && unchunked(&text).contains("xyzzy")
            );
        }
        // Where an answer's length is told its end may come apart from its last byte.
        let [asked, kept, closed] = target.bench.legs;
        assert_eq!((asked, kept, closed), (4, 4, 0), "in pieces of {piece}");
        assert_eq!(target.bench.record().1, [Outcome::Success; 4]);
    }
}

#[test]
fn what_answers_take_of_the_connections_window_is_given_back() {
    let mut target = Target::new();
    let content = [b'x'; 60_000];
    for number in 0..60 {
        target.ask("GET /large", "|");
        let length = (number % 2 == 0).then_some("60000");
        target.head(number * 2 + 1, length, false);
        let said = target.peer.send_data(number * 2 + 1, &content, true);
        assert_eq!(said, Ok(content.len()), "answer {number}");
        target.flush(10_000);
    }
    assert_eq!(target.bench.legs, [60, 60, 0]);
}

#[test]
fn trailers_of_requests_stay_and_those_of_answers_are_recorded_without_the_credential() {
    let mut target = Target::new();
    target.ask("POST /up", "TE: trailers|Transfer-Encoding: chunked||1|x|0|X-Action: read||");
    assert_eq!(target.asked, [(1, b"/up".to_vec())]);
    assert!(target.peer.head().fields().is_empty(), "{:?}", target.peer.head());
    target.head(1, None, false);
    assert_eq!(target.peer.send_data(1, b"hello", false), Ok(5));
    let said = target.peer.send_head(1, Say::Trailers, |block| {
        block.field(b"grpc-status", b"0", Keep::Usual);
        block.field(b"x-seen", b"Bearer hidden-from-clients", Keep::Usual);
        block.field(b"x-seen", b"again", Keep::Usual);
    });
    assert_eq!(said, Ok(()));
    target.flush(10_000);
    let text = target.bench.client_text();
    assert!(text.contains("grpc-status: 0") && text.contains("x-seen: again"), "{text}");
    assert!(!text.contains("hidden-from"), "{text}");
    let attrs = target.bench.journal.bodies().into_iter().find_map(|body| match body {
        Body::Response(response) => Some(response.extra.attrs.to_owned()),
        _ => None,
    });
    let attrs: serde_json::Value = serde_json::from_str(&attrs.expect("a row")).expect("JSON");
    assert_eq!(attrs["trailers"]["grpc-status"], "0");
    let seen = attrs["trailers"]["x-seen"].as_str().expect("a text");
    assert!(seen.ends_with(", again") && !seen.contains("hidden"), "{seen}");
    assert_eq!(attrs["request_body_len"], 1);
}

#[test]
fn what_is_said_of_the_connection_behind_an_answer_is_heard_and_answered_later() {
    let mut target = Target::new();
    target.ask("GET /a", "|");
    target.head(1, None, true);
    target.peer.ping();
    target.flush(10_000);
    assert_eq!(target.bench.legs, [1, 1, 0]);
    target.ask("POST /b", "|");
    assert_eq!(target.asked, [(1, b"/a".to_vec()), (3, b"/b".to_vec())]);
    target.head(3, None, true);
    target.peer.drain();
    target.flush(10_000);
    assert_eq!(target.bench.legs, [2, 1, 1], "it has said farewell");
}

#[test]
fn a_stream_that_is_not_over_takes_its_connection_with_it() {
    let mut target = Target::new();
    target.ask("GET /a", "|");
    target.head(1, Some("5"), false);
    assert_eq!(target.peer.send_data(1, b"hello", false), Ok(5));
    target.flush(10_000);
    assert!(target.bench.client_text().ends_with("hello"));
    assert_eq!(target.bench.legs, [1, 0, 1]);
    // Nor is one kept whose target has said what is no frame.
    let mut target = Target::new();
    target.ask("GET /a", "|");
    target.head(1, None, true);
    let mut out = Vec::new();
    target.peer.take_output(&mut out);
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
    target.bench.answer(&out, 10_000);
    assert_eq!(target.bench.legs, [1, 0, 1]);
}

#[test]
fn what_a_target_has_not_looked_at_is_sent_once_more() {
    let contents = ["|", "Content-Length: 5||hello", "Transfer-Encoding: chunked||5|hello|0||"];
    for (refuses, content) in [true, false].into_iter().zip(contents.into_iter().cycle()).chain([
        (true, contents[1]),
        (false, contents[2]),
        (true, contents[2]),
    ]) {
        let mut target = Target::new();
        target.ask("GET /a", "|");
        target.head(1, None, true);
        target.flush(10_000);
        target.bench.client_text();
        target.ask("POST /b", content);
        // The next connection is a fresh one.
        let mut fresh = Connection::server("http", false);
        match refuses {
            true => target.peer.reset(3, Code::RefusedStream),
            // GOAWAY: nothing behind the first stream was looked at.
            false => target.bench.answer(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 99),
        }
        target.flush(10_000);
        std::mem::swap(&mut target.peer, &mut fresh);
        target.hear();
        assert_eq!(target.asked.last(), Some(&(1, b"/b".to_vec())));
        let says = if content == "|" { "" } else { "hello" };
        assert_eq!(target.heard, says.repeat(2).as_bytes(), "as before, once more");
        target.head(1, None, true);
        target.flush(10_000);
        assert!(target.bench.client_text().starts_with("HTTP/1.1 200 "));
        assert_eq!(target.bench.record().1, [Outcome::Success; 2]);
        assert_eq!(target.bench.legs, [3, 2, 1]);
    }
    // Nor is what is not here any more, or has not come yet.
    for (length, sent) in [(70_000, 70_000), (10, 4)] {
        let mut target = Target::new();
        target.ask("POST /b", &format!("Content-Length: {length}||{}", "x".repeat(sent)));
        target.peer.reset(1, Code::RefusedStream);
        target.flush(10_000);
        assert!(target.bench.client_text().starts_with("HTTP/1.1 502 "));
        assert_eq!(target.bench.legs, [1, 0, 1]);
    }
    // What it may have run is not.
    let mut target = Target::new();
    target.ask("POST /a", "|");
    target.peer.reset(1, Code::Internal);
    target.flush(10_000);
    assert!(target.bench.client_text().starts_with("HTTP/1.1 502 "));
    assert_eq!(target.bench.legs, [1, 0, 1]);
}
