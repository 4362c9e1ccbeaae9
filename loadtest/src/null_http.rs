//! One connection of the null backend that speaks HTTP, either version: the same answer to all.
//!
//! In: requests, in any split. Out: canned answers. Never: a look at what is asked; this must cost
//! less than what is measured in front of it.
//!
//! ```text
//! Unknown --"PRI * HTTP/2.0"--> Two
//!         \--anything else----> One: Head --> Body | Chunk <--> Size --> answered --> Head
//! ```

use std::collections::VecDeque;

use crate::http::frame::{self, Frames, Head, PREFACE};
use crate::http::{body, hpack};

/// A request's head may not be longer.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What a client may send on a connection, or a stream, before it is told that it was read.
const WINDOW: u32 = 1 << 24;
/// Bytes of one answer that are put behind each other at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The answer, in both versions.
pub struct Page {
    one: Vec<u8>,
    block: Vec<u8>,
    /// As much of the body as is sent at a time.
    piece: Vec<u8>,
    bytes: u64,
}

impl Page {
    /// A body of this size; JSON, if it is not longer than a piece.
    pub fn new(bytes: u64) -> Page {
        let one = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
        );
        // Without indexing: `:status: 200`, then two literals with names of the static table.
        let mut block = vec![0x88];
        for (index, value) in [(31, "application/json"), (28, bytes.to_string().as_str())] {
            hpack::integer(&mut block, (0x00, 4), index);
            hpack::integer(&mut block, (0x00, 7), value.len());
            block.extend_from_slice(value.as_bytes());
        }
        let piece = body(usize::try_from(bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES));
        Page { one: one.into_bytes(), block, piece, bytes }
    }

    /// Bytes of the body from here on, as many as are put behind each other.
    fn rest(&self, left: u64, most: usize) -> &[u8] {
        let from = ((self.bytes - left) % (self.piece.len() as u64).max(1)) as usize;
        let rest = &self.piece[from..];
        let take = left.min(rest.len() as u64).min(most as u64) as usize;
        &rest[..take]
    }
}

/// One connection.
pub enum Visit {
    /// Its first bytes.
    Unknown(Vec<u8>),
    /// HTTP/1.1.
    One(One),
    /// HTTP/2.
    Two(Box<Two>),
}

impl Visit {
    /// Nothing has come yet.
    pub fn new() -> Visit {
        Visit::Unknown(vec![])
    }

    /// Bytes of the client; `false` when the connection is over.
    pub fn take(&mut self, bytes: &[u8], page: &Page, out: &mut Vec<u8>) -> bool {
        match self {
            Visit::Unknown(held) => {
                held.extend_from_slice(bytes);
                let known = held.len().min(PREFACE.len());
                let is_two = held[..known] == PREFACE[..known];
                if is_two && known < PREFACE.len() {
                    return true;
                }
                let held = std::mem::take(held);
                *self = match is_two {
                    true => Visit::Two(Box::new(Two::greet(out))),
                    false => Visit::One(One::default()),
                };
                self.take(if is_two { &held[known..] } else { &held }, page, out)
            }
            Visit::One(one) => one.take(bytes, page, out),
            Visit::Two(two) => two.take(bytes, page, out),
        }
    }

    /// More of answers that have begun, when what was there has left.
    pub fn pump(&mut self, page: &Page, out: &mut Vec<u8>) {
        match self {
            Visit::Unknown(_) => {}
            Visit::One(one) => one.pump(page, out),
            Visit::Two(two) => two.pump(page, out),
        }
    }
}

impl Default for Visit {
    fn default() -> Visit {
        Visit::new()
    }
}

/// HTTP/1.1.
#[derive(Default)]
pub struct One {
    part: Part,
    held: Vec<u8>,
    /// Bytes of bodies that are still to be sent, by request.
    left: VecDeque<u64>,
}

#[derive(Clone, Copy, Default)]
enum Part {
    #[default]
    Head,
    Body(u64),
    Size,
    Chunk(u64),
    /// Lines up to an empty one.
    Trailers,
}

impl One {
    fn take(&mut self, bytes: &[u8], page: &Page, out: &mut Vec<u8>) -> bool {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut rest = &input[..];
        let alive = loop {
            let step = match self.part {
                Part::Head => line(rest, b"\r\n\r\n").map(|(head, after)| (after, first(head))),
                Part::Size => line(rest, b"\r\n").map(|(size, after)| (after, chunk(size))),
                Part::Trailers => line(rest, b"\r\n").map(|(line, after)| {
                    let part = if line.len() == 2 { None } else { Some(Part::Trailers) };
                    (after, Ok(part))
                }),
                Part::Body(left) | Part::Chunk(left) if rest.is_empty() && left > 0 => None,
                Part::Body(left) | Part::Chunk(left) => {
                    let take = left.min(rest.len() as u64);
                    let part = match (self.part, left - take) {
                        (Part::Chunk(_), 0) => Some(Part::Size),
                        (Part::Chunk(_), left) => Some(Part::Chunk(left)),
                        (_, 0) => None,
                        (_, left) => Some(Part::Body(left)),
                    };
                    Some((&rest[take as usize..], Ok(part)))
                }
            };
            let Some((after, part)) = step else { break rest.len() <= HEAD_BYTES_MAX };
            rest = after;
            match part {
                Ok(Some(part)) => self.part = part,
                Ok(None) => {
                    self.part = Part::Head;
                    self.left.push_back(page.bytes);
                    self.pump(page, out);
                }
                Err(()) => break false,
            }
        };
        self.held = rest.to_vec();
        alive
    }

    /// Answers one after the other.
    fn pump(&mut self, page: &Page, out: &mut Vec<u8>) {
        while let Some(left) = self.left.front_mut() {
            if out.len() >= PIECE_BYTES {
                return;
            }
            if *left == page.bytes {
                out.extend_from_slice(&page.one);
            }
            let rest = page.rest(*left, PIECE_BYTES);
            out.extend_from_slice(rest);
            *left -= rest.len() as u64;
            if *left == 0 {
                self.left.pop_front();
            }
        }
    }
}

/// A line with its end, and what comes after it.
fn line<'b>(bytes: &'b [u8], end: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(end.len()).position(|part| part == end)?;
    Some(bytes.split_at(at + end.len()))
}

/// What follows a head; `None`: nothing, the request is whole.
fn first(head: &[u8]) -> Result<Option<Part>, ()> {
    let text = std::str::from_utf8(head).map_err(|_| ())?;
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            let length: u64 = value.trim().parse().map_err(|_| ())?;
            return Ok((length > 0).then_some(Part::Body(length)));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Some(Part::Size));
        }
    }
    Ok(None)
}

/// A chunk and the end of its line; after the last one come trailers.
fn chunk(line: &[u8]) -> Result<Option<Part>, ()> {
    let text = std::str::from_utf8(line).map_err(|_| ())?;
    let digits = text.split(';').next().unwrap_or("").trim();
    let size = u64::from_str_radix(digits, 16).map_err(|_| ())?;
    Ok(Some(if size == 0 { Part::Trailers } else { Part::Chunk(size.saturating_add(2)) }))
}

/// HTTP/2.
pub struct Two {
    frames: Frames,
    /// Streams whose answers have begun.
    streams: VecDeque<Stream>,
    window: i64,
    window_new: i64,
    /// Read since the client was told.
    read: u32,
}

struct Stream {
    id: u32,
    left: u64,
    window: i64,
    /// Whether the request is whole.
    is_asked: bool,
}

impl Two {
    fn greet(out: &mut Vec<u8>) -> Two {
        frame::settings(out, &[(frame::STREAMS_MAX, 1000), (frame::WINDOW_SIZE, WINDOW)]);
        frame::window_update(out, 0, WINDOW);
        let window = frame::WINDOW_BYTES;
        let streams = VecDeque::new();
        Two { frames: Frames::default(), streams, window, window_new: window, read: 0 }
    }

    fn take(&mut self, bytes: &[u8], page: &Page, out: &mut Vec<u8>) -> bool {
        let mut frames = std::mem::take(&mut self.frames);
        let alive = frames.scan(bytes, |head, payload| {
            self.answer(head, payload, page, out);
            Ok(())
        });
        self.frames = frames;
        alive.is_ok()
    }

    fn answer(&mut self, head: &Head, payload: &[u8], page: &Page, out: &mut Vec<u8>) {
        match head.kind {
            frame::HEADERS if self.streams.iter().all(|stream| stream.id != head.stream) => {
                let (id, window) = (head.stream, self.window_new);
                self.streams.push_back(Stream { id, left: page.bytes, window, is_asked: false });
            }
            frame::DATA => {
                self.read += head.bytes as u32;
                if self.read > WINDOW / 2 {
                    frame::window_update(out, 0, self.read);
                    self.read = 0;
                }
                // Told at once: a stream's share is not remembered.
                if head.bytes > 0 && !head.has(frame::END_STREAM) {
                    frame::window_update(out, head.stream, head.bytes as u32);
                }
            }
            frame::RESET => self.streams.retain(|stream| stream.id != head.stream),
            frame::SETTINGS if !head.has(frame::ACK) => {
                for (_, value) in
                    frame::read_settings(payload).filter(|(name, _)| *name == frame::WINDOW_SIZE)
                {
                    let change = i64::from(value) - self.window_new;
                    self.window_new += change;
                    self.streams.iter_mut().for_each(|stream| stream.window += change);
                }
                frame::write(out, (frame::SETTINGS, frame::ACK), 0, &[]);
            }
            frame::PING if !head.has(frame::ACK) => {
                frame::write(out, (frame::PING, frame::ACK), 0, payload);
            }
            frame::WINDOW_UPDATE => {
                let bytes = i64::from(frame::read_number(payload));
                match self.streams.iter_mut().find(|stream| stream.id == head.stream) {
                    _ if head.stream == 0 => self.window += bytes,
                    Some(stream) => stream.window += bytes,
                    None => {}
                }
            }
            _ => {}
        }
        if matches!(head.kind, frame::HEADERS | frame::DATA) && head.has(frame::END_STREAM) {
            let asked = self.streams.iter_mut().find(|stream| stream.id == head.stream);
            if let Some(stream) = asked {
                stream.is_asked = true;
                let end = if page.bytes == 0 { frame::END_STREAM } else { 0 };
                let flags = frame::END_HEADERS | end;
                frame::write(out, (frame::HEADERS, flags), stream.id, &page.block);
            }
        }
        self.pump(page, out);
    }

    /// Frames of DATA as windows allow.
    fn pump(&mut self, page: &Page, out: &mut Vec<u8>) {
        for stream in self.streams.iter_mut().filter(|stream| stream.is_asked) {
            while stream.left > 0 && out.len() < PIECE_BYTES {
                let room = self.window.min(stream.window).min(frame::FRAME_BYTES_MAX as i64);
                let rest = page.rest(stream.left, usize::try_from(room).unwrap_or(0));
                if rest.is_empty() {
                    break;
                }
                stream.left -= rest.len() as u64;
                let flags = if stream.left == 0 { frame::END_STREAM } else { 0 };
                frame::write(out, (frame::DATA, flags), stream.id, rest);
                self.window -= rest.len() as i64;
                stream.window -= rest.len() as i64;
            }
        }
        self.streams.retain(|stream| !stream.is_asked || stream.left > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers to these bytes, given at once and in two pieces.
    fn answers(bytes: &[u8], page: &Page) -> Vec<u8> {
        let answer = |parts: [&[u8]; 2]| {
            let (mut visit, mut out) = (Visit::new(), vec![]);
            assert!(parts.into_iter().all(|part| visit.take(part, page, &mut out)));
            out
        };
        let whole = answer([bytes, b""]);
        for at in 0..bytes.len() {
            assert_eq!(answer([&bytes[..at], &bytes[at..]]), whole, "{at}");
        }
        whole
    }

    #[test]
    fn requests_of_all_shapes_have_one_answer_each() {
        let page = Page::new(12);
        let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
        let one = answers(get.as_bytes(), &page);
        assert!(one.ends_with(b"content-length: 12\r\n\r\n{\"text\":\"x\"}"));
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        let trailers = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n";
        let all = format!("{get}{post}{chunked}{trailers}{get}");
        assert_eq!(answers(all.as_bytes(), &page), one.repeat(5));
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        for bytes in [&b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"[..], b"\xff\r\n\r\n"] {
            assert!(!Visit::new().take(bytes, &Page::new(1), &mut vec![]));
        }
        assert!(!Visit::new().take(&[b'a'; HEAD_BYTES_MAX + 1], &Page::new(1), &mut vec![]));
    }

    #[test]
    fn a_long_answer_comes_in_pieces() {
        let (page, mut visit) = (Page::new(3_000_000), Visit::new());
        let (mut out, mut bytes) = (vec![], 0);
        assert!(visit.take(b"GET / HTTP/1.1\r\n\r\n", &page, &mut out));
        while !out.is_empty() {
            assert!(out.len() < 2 * PIECE_BYTES + 1000);
            bytes += out.len();
            out.clear();
            visit.pump(&page, &mut out);
        }
        assert_eq!(bytes, page.one.len() + 3_000_000);
    }

    #[test]
    fn a_body_in_parts_is_the_body() {
        for bytes in [1, 400, 40_000, 3_000_000] {
            let (page, mut whole) = (Page::new(bytes), vec![]);
            while (whole.len() as u64) < bytes {
                whole.extend_from_slice(page.rest(bytes - whole.len() as u64, 16_384));
            }
            assert_eq!(whole.len() as u64, bytes);
            assert!(bytes > 1 << 20 || whole == body(bytes as usize), "{bytes}");
        }
    }
}
