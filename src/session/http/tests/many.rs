//! A client of HTTP/2 that is weir's own codec, and as many targets as there are requests.

use super::*;
use crate::limits;
use crate::wire::http::h2::hpack::Keep;
use crate::wire::http::h2::{Code, Connection, Event as Heard};

/// What the client heard on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub content: Vec<u8>,
    ended: bool,
    reset: Option<Code>,
}

pub(super) struct Many {
    pub bench: Bench,
    pub client: Connection,
    answers: Vec<(u32, Answer)>,
    /// Legs that are open, and what came on them.
    pub legs: Vec<(LegId, Vec<u8>)>,
    /// Pieces in which the client's bytes arrive.
    piece: usize,
    /// The client gives credit for what it has read.
    reads: bool,
}

impl Many {
    pub fn new(piece: usize) -> Many {
        let client = Connection::client("http");
        let (answers, legs) = (Vec::new(), Vec::new());
        let mut many = Many { bench: Bench::new(), client, answers, legs, piece, reads: true };
        many.flush();
        many
    }

    /// What the client has to say arrives, until nobody says anything.
    pub fn flush(&mut self) {
        for _ in 0..100 {
            let mut out = Vec::new();
            self.client.take_output(&mut out);
            if out.is_empty() {
                return;
            }
            for part in out.chunks(self.piece) {
                self.tell(Event::Bytes(End::Client, part));
            }
        }
        panic!("they never stop");
    }

    pub fn tell(&mut self, event: Event<'_>) {
        self.bench.handle(event);
        let mut leased = Vec::new();
        while let Some(output) = self.bench.session.poll_output() {
            match output {
                Output::Lease(lease) => leased.push(lease.leg),
                Output::Release(leg, _) => self.legs.retain(|(id, _)| *id != leg),
                Output::AskOpened(summary) => self.bench.ask = Some(summary.id),
                Output::AskClosed(id, _) => assert_eq!(self.bench.ask.take(), Some(id)),
                Output::Close(_) => self.bench.closed = true,
                Output::Settled(_) => {}
                other => panic!("{other:?}"),
            }
        }
        self.take();
        for leg in leased {
            assert!(self.legs.iter().all(|(id, _)| *id != leg), "two legs of one number");
            self.legs.push((leg, Vec::new()));
            self.tell(Event::Leg(
                leg,
                Ok(Leased { endpoint: endpoint(), own: None, reused: None }),
            ));
        }
    }

    fn take(&mut self) {
        for (leg, bytes) in &mut self.legs {
            let Some(outbox) = self.bench.session.outbox(End::Target(*leg)) else { continue };
            let sent = outbox.sendable(Lsn(u64::MAX)).to_vec();
            outbox.consume(sent.len());
            bytes.extend(sent);
        }
        let outbox = self.bench.session.outbox(End::Client).expect("the client's");
        let sent = outbox.sendable(Lsn(u64::MAX)).to_vec();
        outbox.consume(sent.len());
        let mut input = sent.as_slice();
        while let Ok(Some(event)) = self.client.receive(&mut input, 1_000) {
            let (stream, bytes, ended) = match event {
                Heard::Head { stream, last } => {
                    let status = self.client.head().status().expect("an answer");
                    self.answer_of(stream).status = status;
                    (stream, &[][..], last)
                }
                Heard::Data { stream, bytes, last } => (stream, bytes, last),
                Heard::Trailers { stream } => (stream, &[][..], true),
                Heard::Reset { stream, code } => {
                    self.answer_of(stream).reset = Some(code);
                    self.client.release(stream);
                    continue;
                }
                Heard::Refused { why, .. } => panic!("{why:?}"),
                Heard::Ready | Heard::Room { .. } | Heard::Goaway { .. } | Heard::Pong => continue,
            };
            let answer = self.answer_of(stream);
            answer.content.extend_from_slice(bytes);
            answer.ended |= ended;
            if self.reads {
                let count = u32::try_from(bytes.len()).expect("a frame");
                self.client.credit(stream, count);
                self.client.credit_connection(count);
            }
        }
    }

    pub fn answer_of(&mut self, stream: u32) -> &mut Answer {
        if !self.answers.iter().any(|(id, _)| *id == stream) {
            self.answers.push((stream, Answer::default()));
        }
        let found = self.answers.iter_mut().find(|(id, _)| *id == stream);
        &mut found.expect("it was just added").1
    }

    pub fn ask(&mut self, method: &str, path: &str, content: Option<&[u8]>) -> u32 {
        let stream = self.client.open(false, content.is_none(), |block| {
            for (name, value) in [
                (":method", method),
                (":scheme", "http"),
                (":authority", "billing"),
                (":path", path),
                ("authorization", "Basic Ym90OnNlY3JldA=="),
            ] {
                block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
            }
        });
        let stream = stream.expect("there is room for a stream");
        if let Some(content) = content {
            let (first, rest) = content.split_at(content.len() / 2);
            assert_eq!(self.client.send_data(stream, first, false), Ok(first.len()));
            self.flush();
            assert_eq!(self.client.send_data(stream, rest, true), Ok(rest.len()));
        }
        self.flush();
        stream
    }

    /// The leg on which this request went.
    fn leg_of(&self, line: &str) -> LegId {
        let is_it = |(_, bytes): &&(LegId, Vec<u8>)| bytes.starts_with(line.as_bytes());
        self.legs.iter().find(is_it).unwrap_or_else(|| panic!("no {line}")).0
    }

    pub fn reply(&mut self, line: &str, answer: &[u8]) {
        let leg = self.leg_of(line);
        for part in answer.chunks(self.piece) {
            self.tell(Event::Bytes(End::Target(leg), part));
        }
        self.flush();
    }
}

fn good(content: &[u8]) -> Answer {
    Answer { status: 200, content: content.to_vec(), ended: true, reset: None }
}

#[test]
fn requests_pass_side_by_side_in_any_split() {
    for piece in [1, 2, 5, 17, 10_000] {
        let mut many = Many::new(piece);
        let first = many.ask("POST", "/first", Some(b"now how"));
        let second = many.ask("GET", "/second", None);
        let third = many.ask("GET", "/secret/x", None);
        let fourth = many.ask("GET", "/fourth", None);
        assert_eq!(many.legs.len(), 3, "the third is denied");
        many.reply("GET /base/fourth ", OK);
        many.reply(
            "GET /base/second ",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n",
        );
        let (_, bytes) = many.legs.first().expect("the first");
        let sent = unchunked(&String::from_utf8_lossy(bytes));
        assert!(sent.contains("Host: 127.0.0.1:8080") && sent.ends_with("now how"), "{sent}");
        many.reply("POST /base/first ", b"HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(*many.answer_of(fourth), good(b"hello"));
        assert_eq!(*many.answer_of(second), good(b"xyz"));
        assert_eq!(*many.answer_of(first), Answer { status: 204, ..good(b"") });
        assert_eq!((many.answer_of(third).status, many.answer_of(third).ended), (403, true));
        assert!(many.legs.is_empty() && !many.bench.closed);
        let (decisions, outcomes) = many.bench.record();
        let denied = decisions.iter().filter(|it| **it == Decision::Deny).count();
        assert_eq!((decisions.len(), denied, outcomes.len()), (4, 1, 4));
        assert_eq!(many.client.streams(), 0, "every stream has ended");
    }
}

#[test]
fn a_hold_holds_its_own_stream_and_ends_with_it() {
    let mut many = Many::new(10_000);
    let held = many.ask("DELETE", "/held", Some(b"because"));
    let beside = many.ask("GET", "/beside", None);
    many.reply("GET /base/beside ", OK);
    assert_eq!(*many.answer_of(beside), good(b"hello"));
    let id = many.bench.ask.expect("people are asked");
    let vote = Vote {
        approver: "dora".into(),
        groups: vec!["dba".into()],
        approve: true,
        reason: "fine".into(),
        auth: ADMIN_TOKEN.into(),
        ..Vote::default()
    };
    let mut said = VoteReply::Unknown;
    many.tell(Event::Vote(id, &vote, &mut said));
    assert_eq!(said, VoteReply::Counted { missing: 0 });
    many.reply("DELETE /base/held ", OK);
    assert_eq!(*many.answer_of(held), good(b"hello"));
    let gone = many.ask("DELETE", "/gone", None);
    assert!(many.bench.ask.is_some(), "{:?}", many.answer_of(gone));
    many.client.reset(gone, Code::Cancel);
    many.flush();
    assert!(many.bench.ask.is_none(), "it was taken back");
    assert!(many.legs.is_empty() && !many.bench.closed);
}

#[test]
fn a_client_that_sends_no_more_hears_what_it_asked_for() {
    let mut many = Many::new(10_000);
    let whole = many.ask("GET", "/whole", None);
    let other = many.ask("POST", "/other", Some(b"all of it"));
    many.tell(Event::Eof(End::Client));
    assert!(!many.bench.closed);
    many.reply("GET /base/whole ", OK);
    assert!(!many.bench.closed, "one is owed");
    many.reply("POST /base/other ", OK);
    assert_eq!((many.answer_of(whole).clone(), many.answer_of(other).clone()), {
        (good(b"hello"), good(b"hello"))
    });
    assert!(many.bench.closed && many.legs.is_empty());
    assert_eq!(many.bench.record().1, [Outcome::Success, Outcome::Success]);
}

/// The end of a stream may come in a frame of its own, behind all of the content.
#[test]
fn an_answer_does_not_reset_a_stream_of_which_nothing_but_the_end_is_owed() {
    let mut many = Many::new(10_000);
    let ask = |many: &mut Many| {
        let stream = many.client.open(false, false, |block| {
            for (name, value) in [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "billing"),
                (":path", "/a"),
                ("authorization", "Basic Ym90OnNlY3JldA=="),
                ("content-length", "5"),
            ] {
                block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
            }
        });
        let stream = stream.expect("there is room for a stream");
        assert_eq!(many.client.send_data(stream, b"hello", false), Ok(5));
        many.flush();
        many.reply("POST /base/a ", OK);
        assert_eq!(*many.answer_of(stream), good(b"hello"));
        stream
    };
    let stream = ask(&mut many);
    assert_eq!(many.client.send_data(stream, b"", true), Ok(0));
    many.flush();
    assert_eq!((many.answer_of(stream).reset, many.client.streams()), (None, 0));
    let stream = ask(&mut many);
    many.bench.now.mono_us += limits::LINGER_TIMEOUT_US;
    many.tell(Event::Timeout);
    assert_eq!(many.answer_of(stream).reset, Some(Code::None), "not for ever");
    assert!(!many.bench.closed && many.bench.record().1.len() == 2);
}

#[test]
fn a_reset_ends_the_work_and_an_answer_cut_short_resets() {
    let mut many = Many::new(10_000);
    let first = many.ask("GET", "/first", None);
    assert_eq!(many.legs.len(), 1);
    many.client.reset(first, Code::Cancel);
    many.flush();
    assert!(many.legs.is_empty(), "its target is left");
    let second = many.ask("GET", "/second", None);
    many.reply("GET /base/second ", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    let leg = many.leg_of("GET /base/second ");
    many.tell(Event::Eof(End::Target(leg)));
    assert_eq!(many.answer_of(second).reset, Some(Code::Internal));
    let third = many.ask("GET", "/third", None);
    many.reply("GET /base/third ", OK);
    assert_eq!(*many.answer_of(third), good(b"hello"));
    assert_eq!(many.bench.record().1, [Outcome::Aborted, Outcome::Aborted, Outcome::Success]);
}

#[test]
fn what_a_client_still_sends_of_a_refused_upload_is_dropped_until_it_has_read_why() {
    let mut many = Many::new(64 << 10);
    let upload = many.client.open(false, false, |block| {
        for (name, value) in [
            (":method", "PUT"),
            (":scheme", "http"),
            (":authority", "billing"),
            (":path", "/secret/x"),
            ("authorization", "Basic Ym90OnNlY3JldA=="),
        ] {
            block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
        }
    });
    let upload = upload.expect("there is room for a stream");
    let mut sent = 0;
    while sent < 1 << 20 {
        let taken = many.client.send_data(upload, &[b'x'; 16 << 10], false).expect("it is open");
        assert!(taken > 0, "the client gets room for more, after {sent}");
        sent += taken;
        many.flush();
        many.take();
        assert_eq!(many.answer_of(upload).reset, None, "after {sent} bytes");
    }
    assert_eq!((many.answer_of(upload).status, many.answer_of(upload).ended), (403, true));
    many.bench.now.mono_us += crate::limits::LINGER_TIMEOUT_US;
    many.tell(Event::Timeout);
    assert_eq!(many.answer_of(upload).reset, Some(Code::None));
    assert!(many.legs.is_empty() && !many.bench.closed);
}

#[test]
fn what_no_window_takes_waits_and_stops_its_target_alone() {
    let mut many = Many::new(64 << 10);
    many.reads = false;
    let slow = many.ask("GET", "/slow", None);
    let length = 896 << 10;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    many.reply("GET /base/slow ", head.as_bytes());
    let leg = many.leg_of("GET /base/slow ");
    let mut told = 0;
    while many.bench.session.wants(End::Target(leg)) {
        told += 16 << 10;
        many.tell(Event::Bytes(End::Target(leg), &[b'x'; 16 << 10]));
    }
    assert!((256 << 10..512 << 10).contains(&told), "{told}");
    assert_eq!(many.answer_of(slow).content.len(), 256 << 10, "the window of a stream");
    many.reads = true;
    let beside = many.ask("GET", "/beside", None);
    many.reply("GET /base/beside ", OK);
    assert_eq!(*many.answer_of(beside), good(b"hello"));
    many.client.credit(slow, 256 << 10);
    many.client.credit_connection(256 << 10);
    many.flush();
    while told < length {
        assert!(many.bench.session.wants(End::Target(leg)));
        told += 16 << 10;
        many.tell(Event::Bytes(End::Target(leg), &[b'x'; 16 << 10]));
        many.flush();
    }
    let content = many.answer_of(slow).content.clone();
    assert_eq!((content.len(), many.answer_of(slow).ended), (told, true));
}

/// A full journal pauses an upload and does not end it: its client is not read meanwhile.
#[test]
fn a_client_is_not_read_into_a_full_journal_while_it_uploads() {
    let mut many = Many::new(10_000);
    assert!(!many.bench.session.records(End::Client), "nothing runs: what is new is refused");
    let download = many.ask("GET", "/down", None);
    assert!(!many.bench.session.records(End::Client), "its client has said all");
    let upload = many.client.open(false, false, |block| {
        for (name, value) in [
            (":method", "PUT"),
            (":scheme", "http"),
            (":authority", "billing"),
            (":path", "/up"),
            ("authorization", "Basic Ym90OnNlY3JldA=="),
        ] {
            block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
        }
    });
    let upload = upload.expect("there is room for a stream");
    assert_eq!(many.client.send_data(upload, b"half", false), Ok(4));
    many.flush();
    assert!(many.bench.session.records(End::Client));
    let leg = many.leg_of("PUT /base/up ");
    assert!(many.bench.session.records(End::Target(leg)));
    assert_eq!(many.client.send_data(upload, b"rest", true), Ok(4));
    many.flush();
    assert!(!many.bench.session.records(End::Client), "all of it is there");
    many.reply("PUT /base/up ", OK);
    many.reply("GET /base/down ", OK);
    assert_eq!(*many.answer_of(download), good(b"hello"));
}

#[test]
fn what_cannot_be_recorded_goes_nowhere() {
    for entries in 0..8 {
        let mut many = Many::new(10_000);
        many.bench.journal.refuse_after(entries, Refused::Full);
        let stream = many.ask("POST", "/a", Some(b"abcdef"));
        if let Some((leg, _)) = many.legs.first() {
            let leg = *leg;
            many.tell(Event::Bytes(End::Target(leg), OK));
        }
        let (decisions, outcomes) = many.bench.record();
        let sent = many.legs.iter().any(|(_, bytes)| bytes.starts_with(b"POST"));
        assert!(!sent || decisions == [Decision::Allow], "{entries}");
        let answer = many.answer_of(stream).clone();
        let is_whole = answer.status == 200 && answer.ended;
        assert_eq!(is_whole, outcomes.contains(&Outcome::Success), "{entries}: {answer:?}");
        if decisions.is_empty() {
            assert_eq!(answer.status, 503, "{entries}");
        }
        assert!(!many.bench.closed, "{entries}: only the stream ends");
    }
}

#[test]
fn the_end_is_told_and_what_has_begun_is_served() {
    let mut many = Many::new(10_000);
    let stream = many.ask("GET", "/last", None);
    many.tell(Event::Drain { at_once: false });
    many.flush();
    assert!(!many.bench.closed && !many.client.can_open());
    many.reply("GET /base/last ", OK);
    assert_eq!(*many.answer_of(stream), good(b"hello"));
    assert!(many.bench.closed);
}

#[test]
fn a_flood_of_resets_and_broken_frames_end_the_connection_and_all_its_work() {
    let mut many = Many::new(10_000);
    for _ in 0..200 {
        if many.bench.closed || !many.client.can_open() {
            break;
        }
        let stream = many.ask("GET", "/again", None);
        many.client.reset(stream, Code::Cancel);
        many.flush();
    }
    assert!(many.bench.closed && many.legs.is_empty());
    let mut many = Many::new(10_000);
    many.ask("GET", "/first", None);
    assert_eq!(many.legs.len(), 1);
    // A frame of 16 MiB.
    many.tell(Event::Bytes(End::Client, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]));
    assert!(many.bench.closed && many.legs.is_empty());
    assert_eq!(many.bench.record().1, [Outcome::Aborted]);
}

#[test]
fn each_session_of_a_connection_is_listed_and_ends_by_itself() {
    let mut many = Many::new(10_000);
    let first = many.ask("GET", "/first", None);
    let stage = Stage {
        snapshot: &many.bench.snapshot,
        classifier: &mut many.bench.classifier,
        salted: &mut many.bench.salted,
        journal: &mut many.bench.journal,
        random: &mut |bytes: &mut [u8]| bytes.fill(3),
        room: &many.bench.room,
        meters: &many.bench.meters,
        now: many.bench.now,
    };
    let listed = many.bench.session.summaries(&stage);
    let [only] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((only.target.as_str(), only.state), ("billing", "active"));
    let id = only.session_id;
    // Another target over the same connection is another session.
    let second = many.client.open(false, true, |block| {
        for (name, value) in [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "tools"),
            (":path", "/second"),
            ("authorization", "Basic Ym90OnNlY3JldA=="),
        ] {
            block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
        }
    });
    let second = second.expect("there is room for a stream");
    many.flush();
    assert_eq!(many.answer_of(second).reset, None);
    many.tell(Event::Kill(id));
    assert_eq!(many.answer_of(first).reset, Some(Code::Cancel));
    assert!(!many.bench.closed, "the other session lives");
    many.tell(Event::Kill(SessionId([8; 16])));
    assert!(many.bench.closed, "the last one is the connection");
}
