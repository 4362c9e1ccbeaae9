//! A segment in memory that grows: for entries that never were in a shard's journal.
//!
//! In: contexts and entries. Out: the bytes of a segment, read like any other.
//! Never: a file.

use super::body::{self, ContextFields};
use super::entry::{Entry, SessionId};
use super::journal::{self, END_BYTES, Header, Place, frame_bytes};

/// A segment in memory.
#[derive(Debug)]
pub(in crate::record) struct Scratch {
    pub header: Header,
    pub bytes: Vec<u8>,
    pub next_index: u64,
    at: usize,
    context: Vec<u8>,
}

impl Scratch {
    pub fn new(header: Header) -> Scratch {
        let mut bytes = header.bytes().to_vec();
        let at = bytes.len();
        bytes.resize(at + END_BYTES, 0);
        Scratch { next_index: header.first_index, header, bytes, at, context: Vec::new() }
    }

    /// The context of a session for the entries after it.
    pub fn context(&mut self, fields: &ContextFields<'_>, wall_us: i64) {
        self.context.clear();
        body::put_context(&mut self.context, fields);
        let body = std::mem::take(&mut self.context);
        let place =
            Place { log_index: self.next_index, seq: 0, wall_us, session_id: fields.session_id };
        let salt = self.header.salt();
        let into = self.room(frame_bytes(body.len()));
        let taken = journal::write_context(into, &salt, &place, &body);
        self.at += taken;
        self.context = body;
    }

    /// One entry.
    pub fn entry(&mut self, session_id: SessionId, seq: u64, wall_us: i64, entry: &Entry<'_>) {
        let place = Place { log_index: self.next_index, seq, wall_us, session_id };
        let body = journal::body_bytes(entry);
        let salt = self.header.salt();
        let into = self.room(frame_bytes(body));
        let taken = journal::write_entry(into, &salt, &place, entry, body);
        self.at += taken;
        self.next_index += 1;
    }

    fn room(&mut self, frame: usize) -> &mut [u8] {
        self.bytes.resize(self.at + frame + END_BYTES, 0);
        &mut self.bytes[self.at..]
    }
}
