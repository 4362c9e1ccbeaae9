//! How an exchange is heard by its client, whichever version of HTTP that speaks.
//!
//! In: parts of an answer, replies of weir's own. Out: bytes for the client, in its version.
//! Never: a part of an answer without a permit and a receipt; more kept for a stream than the
//! window of its client lets wait.
//!
//! ```text
//!   Unsaid --the preface, in clear, or ALPN h2--> Many    (one exchange per stream)
//!      '-----anything else------------------> One         (one exchange at a time)
//! ```

use crate::decide::Permit;
use crate::record::Receipt;
use crate::wire::http::Refused;
use crate::wire::http::h1::read::PREFACE;
use crate::wire::http::h1::write::{self, Backward};
use crate::wire::http::h1::{Body, Piece};
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use super::link::Link;
use super::streams::Streams;

/// Which version of HTTP the client speaks.
#[derive(Debug)]
pub(super) enum Front {
    /// It has not said enough.
    Unsaid,
    /// HTTP/1.
    One,
    /// HTTP/2.
    Many(Box<Streams>),
}

impl Front {
    /// What the first bytes of a client in clear say of its version; nothing yet if they could
    /// become the preface of HTTP/2.
    pub fn hear(bytes: &[u8]) -> Option<bool> {
        let shared = bytes.len().min(PREFACE.len());
        let is_like = bytes.get(..shared) == PREFACE.get(..shared);
        (!is_like || shared == PREFACE.len()).then_some(is_like)
    }
}

/// A part of an answer on its way to the client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Portion<'p> {
    /// The head; of an interim answer too.
    Head { head: &'p Head, backward: &'p Backward<'p>, last: bool },
    /// Content. `chunked` says that a client of HTTP/1.1 reads it in chunks.
    Data { bytes: &'p [u8], chunked: bool, last: bool },
    /// Behind the content.
    End { trailers: &'p Head, chunked: bool },
}

impl Link {
    /// The exchanges of HTTP/2, if the client speaks it.
    pub fn streams(&mut self) -> Option<&mut Streams> {
        match &mut self.front {
            Front::Many(streams) => Some(streams),
            Front::Unsaid | Front::One => None,
        }
    }

    /// Whether the connection has several exchanges at a time.
    pub fn is_many(&self) -> bool {
        matches!(self.front, Front::Many(_))
    }

    /// Whether the client has said all of the request whose turn it is, as far as its version says
    /// so outside of the content.
    pub fn is_whole(&self) -> bool {
        match &self.front {
            Front::Many(streams) => streams.turn.ended,
            Front::Unsaid | Front::One => false,
        }
    }

    /// The next piece of a request's content, however its end is marked.
    pub fn piece<'b>(
        &mut self,
        body: &mut Body,
        input: &mut &'b [u8],
        trailers: &mut Head,
    ) -> Result<Piece<'b>, Refused> {
        let piece = body.next(input, trailers)?;
        match &mut self.front {
            Front::Many(streams) if piece == Piece::Need && streams.turn.ended => {
                *trailers = std::mem::take(&mut streams.turn.trailers);
                Ok(Piece::End)
            }
            _ => Ok(piece),
        }
    }

    /// The content of the request whose turn it is is over.
    pub fn is_complete(&mut self) {
        if let Front::Many(streams) = &mut self.front {
            streams.turn.complete = true;
        }
    }

    /// So many bytes of its content were taken.
    pub fn taken(&mut self, count: usize) {
        if let Front::Many(streams) = &mut self.front {
            streams.turn.owed += u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// The client may go on with its content: 100.
    pub fn go_on(&mut self) {
        match &mut self.front {
            Front::Many(_) => self.frames(None, Streams::go_on),
            Front::Unsaid | Front::One => self.say(|out| out.extend_from_slice(write::CONTINUE)),
        }
    }

    /// An answer of weir's own. `closing` is for HTTP/1: the connection ends behind it.
    pub fn reply(&mut self, reply: &Reply, to_head: bool, closing: bool) {
        match &mut self.front {
            Front::Many(_) => self.frames(None, |streams| streams.reply(reply, to_head)),
            Front::Unsaid | Front::One => {
                self.say(|out| write::reply(out, reply, to_head, closing));
            }
        }
    }

    /// A part of an answer that was permitted and recorded.
    pub fn pass(&mut self, permit: Permit, receipt: Receipt, portion: Portion<'_>) {
        if self.is_many() {
            return self.frames(Some((permit, receipt)), |streams| streams.pass(portion));
        }
        match portion {
            Portion::Head { head, backward, .. } => {
                let mut out = Vec::with_capacity(head.arena().len() + 64);
                write::answer(&mut out, head, backward);
                self.forward(permit, receipt, &out);
            }
            Portion::Data { bytes, chunked: false, .. } => self.forward(permit, receipt, bytes),
            Portion::Data { bytes, chunked: true, last } => {
                if !bytes.is_empty() {
                    self.say(|out| write::chunk_head(out, bytes.len()));
                    self.forward(permit, receipt, bytes);
                    self.say(|out| out.extend_from_slice(write::CHUNK_END));
                }
                if last {
                    self.say(|out| write::last_chunk(out, None));
                }
            }
            Portion::End { trailers, chunked: true } => {
                let mut end = Vec::new();
                write::last_chunk(&mut end, Some(trailers));
                self.forward(permit, receipt, &end);
            }
            Portion::End { chunked: false, .. } => {}
        }
    }

    /// Has `write` say something in frames, and queues these behind what was said before.
    pub fn frames(&mut self, record: Option<(Permit, Receipt)>, write: impl FnOnce(&mut Streams)) {
        self.flush();
        let Front::Many(streams) = &mut self.front else { return };
        write(streams);
        let out = streams.take_output();
        self.sent += out.len() as u64;
        match record {
            Some((permit, receipt)) => self.client.forward(permit, receipt, out),
            None => self.client.say(out),
        }
    }

    /// Queues the frames that follow from none of a target's bytes.
    pub fn flush(&mut self) {
        if let Front::Many(streams) = &mut self.front {
            let out = streams.take_output();
            self.sent += out.len() as u64;
            self.client.say(out);
        }
    }
}
