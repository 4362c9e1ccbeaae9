//! HTTP/2's side of the loop: many requests at a time on one connection.
//!
//! In: bytes of answers, in any split. Out: requests as windows allow, answers that ended.
//! Never: a body that waits for a window it was given; answers are counted, not kept.
//!
//! ```text
//! Greeted --SETTINGS--> Ready --GOAWAY--> (asks no more, what is outstanding ends)
//! stream: asked --HEADERS--> DATA* --END_STREAM--> ended;  RST_STREAM ends it as failed
//! ```

use std::collections::VecDeque;

use super::Ended;
use crate::http::frame::{self, Frames, Head};
use crate::http::{Http, hpack};
use crate::outcome::Finished;

/// What the server may send on a stream before it is told that it was read.
const STREAM_WINDOW: u32 = 16 << 20;
/// The same of the connection, added to what it begins with.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// One connection.
pub struct Talk {
    frames: Frames,
    state: State,
    /// Of the next request.
    stream: u32,
    streams: VecDeque<Stream>,
    blocks: Option<hpack::Blocks>,
    /// The same for all requests.
    body: Vec<u8>,
    table_bytes: usize,
    streams_max: usize,
    /// What may still be sent: on the connection, and on a new stream.
    window: i64,
    window_new: i64,
    /// Read since the server was told.
    read: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Greeted,
    Ready,
    Closing,
}

struct Stream {
    id: u32,
    seen: Finished,
    error: Option<String>,
    /// The answer has begun: what comes now as HEADERS is trailers.
    answered: bool,
    /// Bytes of the body that were not sent yet.
    left: usize,
    window: i64,
    read: u32,
}

impl Talk {
    /// The preface, and SETTINGS with wide windows.
    pub fn greet(out: &mut Vec<u8>) -> Talk {
        out.extend_from_slice(frame::PREFACE);
        frame::settings(out, &[(frame::ENABLE_PUSH, 0), (frame::WINDOW_SIZE, STREAM_WINDOW)]);
        frame::window_update(out, 0, CONNECTION_WINDOW);
        Talk {
            frames: Frames::default(),
            state: State::Greeted,
            stream: 1,
            streams: VecDeque::new(),
            blocks: None,
            body: vec![],
            table_bytes: 4096,
            streams_max: usize::MAX,
            window: frame::WINDOW_BYTES,
            window_new: frame::WINDOW_BYTES,
            read: 0,
        }
    }

    /// The server has said what it allows.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The server has said that it closes.
    pub fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// As many as the server allows.
    pub fn room(&self, depth: usize) -> usize {
        depth.min(self.streams_max)
    }

    /// One request.
    pub fn ask(&mut self, http: &Http, out: &mut Vec<u8>) -> u64 {
        let id = self.stream;
        self.stream += 2;
        let flags = match http.body.is_empty() {
            true => frame::END_HEADERS | frame::END_STREAM,
            false => frame::END_HEADERS,
        };
        match &self.blocks {
            Some(blocks) => frame::write(out, (frame::HEADERS, flags), id, &blocks.next),
            None => {
                let blocks = hpack::Blocks::new(&http.fields, self.table_bytes);
                frame::write(out, (frame::HEADERS, flags), id, &blocks.first);
                self.blocks = Some(blocks);
                self.body.clone_from(&http.body);
            }
        }
        self.streams.push_back(Stream {
            id,
            seen: Finished::default(),
            error: None,
            answered: false,
            left: http.body.len(),
            window: self.window_new,
            read: 0,
        });
        self.send_bodies(out);
        u64::from(id)
    }

    /// Bytes of the server.
    ///
    /// # Errors
    /// A sentence: this is not HTTP/2.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        ended: &mut Vec<Ended>,
    ) -> Result<(), String> {
        let mut frames = std::mem::take(&mut self.frames);
        let scanned = frames.scan(bytes, |head, payload| self.take(head, payload, (out, ended)));
        self.frames = frames;
        scanned
    }

    fn take(
        &mut self,
        head: &Head,
        payload: &[u8],
        (out, ended): (&mut Vec<u8>, &mut Vec<Ended>),
    ) -> Result<(), String> {
        match head.kind {
            frame::DATA => self.data(head, out, ended),
            frame::HEADERS => self.headers(head, payload, ended)?,
            frame::RESET => {
                let why = format!("the stream was reset, code {}", frame::read_number(payload));
                self.fail(head.stream, &why, ended);
            }
            frame::SETTINGS if !head.has(frame::ACK) => self.settings(payload, out),
            frame::PING if !head.has(frame::ACK) => {
                frame::write(out, (frame::PING, frame::ACK), 0, payload);
            }
            frame::GOAWAY => self.go_away(payload, ended),
            frame::WINDOW_UPDATE => {
                let bytes = i64::from(frame::read_number(payload));
                match self.find(head.stream) {
                    _ if head.stream == 0 => self.window += bytes,
                    Some(index) => self.streams[index].window += bytes,
                    // It ended already.
                    None => {}
                }
                self.send_bodies(out);
            }
            // CONTINUATION: the status stood in HEADERS. What is unknown is to be ignored.
            _ => {}
        }
        Ok(())
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id)
    }

    fn data(&mut self, head: &Head, out: &mut Vec<u8>, ended: &mut Vec<Ended>) {
        let bytes = head.bytes as u32;
        self.read += bytes;
        if self.read > CONNECTION_WINDOW / 2 {
            frame::window_update(out, 0, self.read);
            self.read = 0;
        }
        let Some(index) = self.find(head.stream) else { return };
        let stream = &mut self.streams[index];
        stream.seen.bytes += u64::from(bytes);
        stream.read += bytes;
        if head.has(frame::END_STREAM) {
            self.end(index, ended);
        } else if stream.read > STREAM_WINDOW / 2 {
            frame::window_update(out, head.stream, stream.read);
            stream.read = 0;
        }
    }

    fn headers(
        &mut self,
        head: &Head,
        payload: &[u8],
        ended: &mut Vec<Ended>,
    ) -> Result<(), String> {
        let block = frame::fragment(head, payload).ok_or("HEADERS with too much padding")?;
        let Some(index) = self.find(head.stream) else { return Ok(()) };
        let stream = &mut self.streams[index];
        stream.seen.bytes += head.bytes as u64;
        if !stream.answered {
            match hpack::status(block) {
                // There is more to come.
                Some(100..200) => return Ok(()),
                Some(200..400) => {}
                Some(status) => stream.error = Some(format!("status {status}")),
                None => stream.error = Some("a status that is none of the usual".to_owned()),
            }
            stream.seen.failed = stream.error.is_some();
            stream.answered = true;
        }
        if head.has(frame::END_STREAM) {
            self.end(index, ended);
        }
        Ok(())
    }

    fn end(&mut self, index: usize, ended: &mut Vec<Ended>) {
        if let Some(Stream { id, seen, error, .. }) = self.streams.remove(index) {
            ended.push(Ended { id: u64::from(id), seen, error });
        }
    }

    fn fail(&mut self, id: u32, why: &str, ended: &mut Vec<Ended>) {
        let Some(index) = self.find(id) else { return };
        let stream = &mut self.streams[index];
        stream.seen.failed = true;
        stream.error.get_or_insert_with(|| why.to_owned());
        self.end(index, ended);
    }

    fn settings(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        for (name, value) in frame::read_settings(payload) {
            match name {
                frame::TABLE_SIZE => self.table_bytes = value as usize,
                frame::STREAMS_MAX => self.streams_max = value as usize,
                frame::WINDOW_SIZE => {
                    // Of streams that are open, too (RFC 9113, section 6.9.2).
                    let change = i64::from(value) - self.window_new;
                    self.window_new += change;
                    self.streams.iter_mut().for_each(|stream| stream.window += change);
                }
                _ => {}
            }
        }
        frame::write(out, (frame::SETTINGS, frame::ACK), 0, &[]);
        if self.state == State::Greeted {
            self.state = State::Ready;
        }
        self.send_bodies(out);
    }

    /// What is above the last stream that the server takes will not be answered.
    fn go_away(&mut self, payload: &[u8], ended: &mut Vec<Ended>) {
        self.state = State::Closing;
        let last = frame::read_number(payload);
        let above: Vec<u32> = self.streams.iter().map(|s| s.id).filter(|id| *id > last).collect();
        for id in above {
            self.fail(id, "the server goes away", ended);
        }
    }

    /// As much of all bodies as the windows allow.
    fn send_bodies(&mut self, out: &mut Vec<u8>) {
        let body = &self.body;
        for stream in self.streams.iter_mut().filter(|stream| stream.left > 0) {
            while stream.left > 0 {
                let room = self.window.min(stream.window).min(frame::FRAME_BYTES_MAX as i64);
                let take = stream.left.min(usize::try_from(room).unwrap_or(0));
                if take == 0 {
                    break;
                }
                let from = body.len() - stream.left;
                stream.left -= take;
                let flags = if stream.left == 0 { frame::END_STREAM } else { 0 };
                frame::write(out, (frame::DATA, flags), stream.id, &body[from..from + take]);
                self.window -= take as i64;
                stream.window -= take as i64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Version;

    fn http(body: usize) -> Http {
        Http::parse("http://h/").unwrap().with((Version::Two, "POST"), &[], body).unwrap()
    }

    /// A talk whose server has said this in SETTINGS.
    fn ready(settings: &[(u16, u32)]) -> Talk {
        let (mut talk, mut bytes) = (Talk::greet(&mut vec![]), vec![]);
        assert!(!talk.is_ready());
        frame::settings(&mut bytes, settings);
        talk.hear(&bytes, &mut vec![], &mut vec![]).unwrap();
        assert!(talk.is_ready());
        talk
    }

    fn heard(talk: &mut Talk, pieces: &[&[u8]]) -> (Vec<Ended>, Vec<u8>) {
        let (mut ended, mut out) = (vec![], vec![]);
        for piece in pieces {
            talk.hear(piece, &mut out, &mut ended).unwrap();
        }
        (ended, out)
    }

    /// Bytes of DATA and the last flags in what was sent.
    fn sent(out: &[u8]) -> (usize, u8) {
        let (mut bytes, mut flags) = (0, 0);
        let each = |head: &Head, _: &[u8]| {
            bytes += if head.kind == frame::DATA { head.bytes } else { 0 };
            flags = head.flags;
            Ok(())
        };
        Frames::default().scan(out, each).unwrap();
        (bytes, flags)
    }

    #[test]
    fn answers_end_in_any_order_however_they_are_split() {
        let mut whole = vec![];
        for (id, block) in [(3, &b"\x88"[..]), (1, b"\x48\x03403")] {
            frame::write(&mut whole, (frame::HEADERS, frame::END_HEADERS), id, b"\x08\x03103");
            frame::write(&mut whole, (frame::HEADERS, frame::END_HEADERS), id, block);
            frame::write(&mut whole, (frame::DATA, 0), id, b"some");
        }
        frame::write(&mut whole, (frame::DATA, frame::END_STREAM), 3, b"more");
        frame::write(&mut whole, (frame::HEADERS, frame::END_STREAM), 1, b"\x00\x01a\x01b");
        for at in 0..whole.len() {
            let mut talk = ready(&[]);
            let ids = [0; 2].map(|_| talk.ask(&http(0), &mut vec![]));
            assert_eq!(ids, [1, 3]);
            let (ended, _) = heard(&mut talk, &[&whole[..at]]);
            assert!(ended.len() < 2, "{at}");
            let mut all = ended;
            all.extend(heard(&mut talk, &[&whole[at..]]).0);
            let got: Vec<_> =
                all.iter().map(|it| (it.id, it.seen.failed, it.error.as_deref())).collect();
            assert_eq!(got, [(3, false, None), (1, true, Some("status 403"))], "{at}");
        }
    }

    #[test]
    fn bodies_wait_for_windows() {
        let mut talk = ready(&[(frame::WINDOW_SIZE, 10), (frame::STREAMS_MAX, 2)]);
        assert_eq!((talk.room(1), talk.room(100)), (1, 2));
        let mut out = vec![];
        talk.ask(&http(25), &mut out);
        assert_eq!(sent(&out), (10, 0));
        let mut more = vec![];
        frame::window_update(&mut more, 1, 5);
        assert_eq!(sent(&heard(&mut talk, &[&more]).1), (5, 0));
        let mut more = vec![];
        frame::settings(&mut more, &[(frame::WINDOW_SIZE, 1000)]);
        assert_eq!(sent(&heard(&mut talk, &[&more]).1), (10, frame::END_STREAM));
    }

    #[test]
    fn resets_and_farewells_end_what_they_name() {
        let mut talk = ready(&[]);
        for _ in 0..3 {
            talk.ask(&http(0), &mut vec![]);
        }
        let mut bytes = vec![];
        frame::write(&mut bytes, (frame::RESET, 0), 3, &7_u32.to_be_bytes());
        frame::write(&mut bytes, (frame::PING, 0), 0, b"12345678");
        frame::write(&mut bytes, (frame::GOAWAY, 0), 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
        let (ended, out) = heard(&mut talk, &[&bytes]);
        let ids: Vec<u64> = ended.iter().map(|it| it.id).collect();
        assert_eq!((&ids[..], talk.is_closing()), (&[3, 5][..], true));
        assert!(ended.iter().all(|it| it.seen.failed && it.error.is_some()), "{ended:?}");
        assert!(out.ends_with(b"12345678"), "the ping is answered");
    }

    #[test]
    fn what_is_not_http2_is_refused() {
        let mut talk = ready(&[]);
        let (mut out, mut ended) = (vec![], vec![]);
        assert!(talk.hear(b"HTTP/1.1 400 Bad Request", &mut out, &mut ended).is_err());
    }
}
