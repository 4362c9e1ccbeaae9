//! What weir says: heads, data, resets, credit, farewell.
//!
//! Every method says `Gone` for a stream that has ended meanwhile, which the peer decides and is no
//! mistake of the caller. What the caller may not do, such as a second answer, is.

use super::frame::{END_HEADERS, END_STREAM, FrameHead, HEAD_BYTES, Kind, short};
use super::hpack::{Encoder, Keep};
use super::stream::{By, Heard, Said, StreamState};
use super::{Code, Connection, Drain, Event, Expect, Role};

/// The stream is over, or was never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Which head is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// An answer below 200; another one follows.
    Interim,
    /// An answer.
    Answer {
        /// Nothing follows.
        last: bool,
    },
    /// Fields behind the body.
    Trailers,
}

/// Where a head's fields are written to, pseudo-headers first.
#[derive(Debug)]
pub struct Block<'c> {
    encoder: &'c mut Encoder,
    out: &'c mut Vec<u8>,
    lower: Vec<u8>,
}

impl Block<'_> {
    /// One field. Names of HTTP/1.1 may have upper-case letters, here they have none (8.2.1).
    pub fn field(&mut self, name: &[u8], value: &[u8], keep: Keep) {
        if name.iter().any(u8::is_ascii_uppercase) {
            self.lower.clear();
            self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
            return self.encoder.field(&self.lower, value, keep, self.out);
        }
        self.encoder.field(name, value, keep, self.out);
    }
}

/// The largest id of a stream (5.1.1).
const STREAM_MAX: u32 = (1 << 31) - 1;
/// What a drain's PING says, so that its answer is told from others.
const DRAINING: &[u8; 8] = b"draining";
const PINGED: &[u8; 8] = b"weirping";

impl Connection {
    /// Whether the target takes another stream.
    pub fn can_open(&self) -> bool {
        let open = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        self.role == Role::Client
            && self.highest < STREAM_MAX - 2
            && open < self.peer.streams_max
            && self.peer_last.is_none()
            && !matches!(self.expect, Expect::Nothing(_))
    }

    /// Opens a stream with the head that `write` writes. `is_head` says that the method is HEAD.
    /// `None`: the target takes none now (`can_open`).
    pub fn open(
        &mut self,
        is_head: bool,
        last: bool,
        write: impl FnOnce(&mut Block<'_>),
    ) -> Option<u32> {
        if !self.can_open() {
            return None;
        }
        let id = if self.highest == 0 { 1 } else { self.highest + 2 };
        let said = if last { Said::Ended } else { Said::Body };
        self.add(id, StreamState::Open { heard: Heard::Head { interim: 0 }, said }, is_head);
        self.write_block(id, last, write);
        Some(id)
    }

    /// Sends the head of an answer, or trailers.
    ///
    /// # Errors
    /// The stream is over.
    pub fn send_head(
        &mut self,
        id: u32,
        say: Say,
        write: impl FnOnce(&mut Block<'_>),
    ) -> Result<(), Gone> {
        let stream = self.stream_mut(id).ok_or(Gone)?;
        let StreamState::Open { said, .. } = stream.state else { return Err(Gone) };
        let (expected, next) = match say {
            Say::Interim => (Said::Head, Said::Head),
            Say::Answer { last: false } => (Said::Head, Said::Body),
            Say::Answer { last: true } => (Said::Head, Said::Ended),
            Say::Trailers => (Said::Body, Said::Ended),
        };
        assert!(said == expected, "{say:?} of stream {id}, which has said {said:?}");
        stream.set_said(next);
        self.write_block(id, next == Said::Ended, write);
        self.settle(id);
        Ok(())
    }

    /// Sends as much of `bytes` as the windows let, and if that is all of it and `last` is set, the
    /// end of the message. Returns how much; the rest waits for `Event::Room`.
    ///
    /// # Errors
    /// The stream is over.
    pub fn send_data(&mut self, id: u32, bytes: &[u8], last: bool) -> Result<usize, Gone> {
        let count = self.room(id)?.min(bytes.len());
        let state = self.stream_mut(id).ok_or(Gone)?.state;
        assert!(matches!(state, StreamState::Open { said: Said::Body, .. }), "DATA before a head");
        let (now, rest) = bytes.split_at(count);
        let ends = last && rest.is_empty();
        let frame_max = self.peer.frame_bytes_max as usize;
        let mut left = now;
        while !left.is_empty() || ends {
            let (piece, after) = left.split_at(left.len().min(frame_max));
            left = after;
            let is_end = ends && left.is_empty();
            let flags = if is_end { END_STREAM } else { 0 };
            let length = piece.len() as u32;
            FrameHead { length, kind: Kind::Data, flags, stream: id }.write(&mut self.out);
            self.out.extend_from_slice(piece);
            if left.is_empty() {
                break;
            }
        }
        self.room.spend(count);
        self.guard.moved(count);
        let stream = self.stream_mut(id).ok_or(Gone)?;
        stream.room.spend(count);
        if ends {
            stream.set_said(Said::Ended);
            self.settle(id);
        }
        Ok(count)
    }

    /// What may be sent on a stream now.
    ///
    /// # Errors
    /// The stream is over.
    pub fn room(&self, id: u32) -> Result<usize, Gone> {
        let stream = self.find(id).ok().and_then(|index| self.streams.get(index)).ok_or(Gone)?;
        match stream.state {
            StreamState::Open { said: Said::Body, .. } => {
                Ok(stream.room.bytes().min(self.room.bytes()))
            }
            StreamState::Open { said: Said::Head, .. } => Ok(0),
            StreamState::Open { said: Said::Ended, .. } | StreamState::Reset(_) => Err(Gone),
        }
    }

    /// So many bytes of the stream's DATA were handed on: the peer may send as many again. Credit
    /// for the connection is apart (`credit_connection`), so that a stream whose taker is slow does
    /// not stop the others.
    pub fn credit(&mut self, id: u32, bytes: u32) {
        let Some(stream) = self.stream_mut(id) else { return };
        let StreamState::Open { heard: Heard::Body { .. }, .. } = stream.state else { return };
        if let Some(due) = stream.credit.give(bytes) {
            short(Kind::WindowUpdate, 0, id, &due.to_be_bytes(), &mut self.out);
        }
    }

    /// So many bytes of DATA have left the connection: they were handed on, or lie in a buffer that
    /// is bounded by its stream's window.
    pub fn credit_connection(&mut self, bytes: u32) {
        self.give(bytes);
    }

    /// Ends a stream before its time, or behind the answer to a message that was refused. Its place
    /// is free at once.
    pub fn reset(&mut self, id: u32, code: Code) {
        let Ok(index) = self.find(id) else { return };
        let stream = self.streams.remove(index);
        if let StreamState::Open { .. } = stream.state {
            self.write_reset(id, code);
        }
        if stream.state != StreamState::Reset(By::Peer) {
            self.remember(id);
        }
        // The rest of a frame of which a part was handed out.
        if let Expect::Data(part) = &mut self.expect
            && part.stream == id
        {
            part.stream = 0;
            let left = part.left;
            self.give(left);
        }
    }

    /// Whoever worked for a stream that was reset has stopped: its place is free.
    pub fn release(&mut self, id: u32) {
        if let Ok(index) = self.find(id)
            && let Some(StreamState::Reset(_)) = self.streams.get(index).map(|stream| stream.state)
        {
            self.reset(id, Code::None);
        }
    }

    /// Asks whether the peer is there; `Event::Pong` is its answer.
    pub fn ping(&mut self) {
        short(Kind::Ping, 0, 0, PINGED, &mut self.out);
    }

    pub(super) fn pong(&mut self, payload: &[u8]) -> Option<Event<'static>> {
        if payload == DRAINING && self.drain == Drain::Announced {
            self.last_call();
            return None;
        }
        (payload == PINGED).then_some(Event::Pong)
    }

    /// Ends the connection in order (6.8): the peer is told, and a round trip later what it has
    /// opened until then is the last that is served. `is_over` says when all of it is done.
    pub fn drain(&mut self) {
        if self.drain != Drain::No || matches!(self.expect, Expect::Nothing(_)) {
            return;
        }
        if self.role == Role::Client {
            // A target opens no streams; weir opens none any more.
            self.peer_last = Some(self.peer_last.unwrap_or(self.highest));
            self.drain = Drain::Last(0);
            return self.write_goaway(0, Code::None);
        }
        self.drain = Drain::Announced;
        self.write_goaway(STREAM_MAX, Code::None);
        short(Kind::Ping, 0, 0, DRAINING, &mut self.out);
    }

    /// The second half of a drain at once, for a peer that does not answer the first.
    pub fn last_call(&mut self) {
        if self.drain == Drain::Announced {
            self.drain = Drain::Last(self.highest);
            self.write_goaway(self.highest, Code::None);
        }
    }

    /// Writes a field block, in as many frames as it needs.
    fn write_block(&mut self, id: u32, last: bool, write: impl FnOnce(&mut Block<'_>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEAD_BYTES]);
        self.encoder.begin(&mut self.out);
        write(&mut Block { encoder: &mut self.encoder, out: &mut self.out, lower: Vec::new() });
        let block_bytes = self.out.len() - start - HEAD_BYTES;
        let frame_max = self.peer.frame_bytes_max as usize;
        let end_stream = if last { END_STREAM } else { 0 };
        if block_bytes <= frame_max {
            let flags = end_stream | END_HEADERS;
            let length = block_bytes as u32;
            let head = FrameHead { length, kind: Kind::Headers, flags, stream: id };
            self.out[start..start + HEAD_BYTES].copy_from_slice(&head.bytes());
            return;
        }
        let block = self.out.split_off(start + HEAD_BYTES);
        self.out.truncate(start);
        let mut pieces = block.chunks(frame_max).peekable();
        let (mut kind, mut flags) = (Kind::Headers, end_stream);
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= END_HEADERS;
            }
            short(kind, flags, id, piece, &mut self.out);
            (kind, flags) = (Kind::Continuation, 0);
        }
    }
}
