//! Entries that are written into a segment by calls.
//!
//! In: an entry of any size, or a whole frame. Out: its frame in the page cache.
//! Never: a copy of a large part; a length and CRC before what they are of.

use std::io;

use super::body::{self, Sink};
use super::entry::Entry;
use super::journal::{END_BYTES, FRAME_BYTES, Head, frame_bytes};
use super::pool::SegmentFile;
use super::spool::CALL_BYTES_MIN;
use crate::limits::CHUNK_BYTES_MAX;

/// An entry on its way into a file, in parts.
pub(in crate::record) struct Parts<'a> {
    file: &'a SegmentFile,
    /// Where its frame begins, and where the next part goes.
    frame: u64,
    at: u64,
    head: Head,
    /// Small parts, gathered.
    small: &'a mut Vec<u8>,
    failed: Option<io::Error>,
}

impl<'a> Parts<'a> {
    /// Begins a frame at an offset.
    pub fn new(file: &'a SegmentFile, at: usize, head: Head, small: &'a mut Vec<u8>) -> Parts<'a> {
        small.clear();
        let frame = at as u64;
        Parts { file, frame, at: frame + FRAME_BYTES as u64, head, small, failed: None }
    }

    /// Writes the body, the end mark behind it, the head; length and CRC last, as `write_frame`.
    pub fn write(mut self, entry: &Entry<'_>, body: usize) -> io::Result<usize> {
        body::put_entry(&mut self, entry);
        let taken = frame_bytes(body);
        self.small.resize(self.small.len() + taken - FRAME_BYTES - body + END_BYTES, 0);
        self.flush();
        if let Some(error) = self.failed {
            return Err(error);
        }
        let head = self.head.finish();
        let (length, rest) = head.split_at(END_BYTES);
        self.file.write(rest, self.frame + END_BYTES as u64)?;
        self.file.write(length, self.frame)?;
        Ok(taken)
    }

    fn flush(&mut self) {
        let small = std::mem::take(self.small);
        self.send(&small);
        *self.small = small;
        self.small.clear();
    }

    fn send(&mut self, part: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.file.write(part, self.at).err();
            self.at += part.len() as u64;
        }
    }
}

impl Sink for Parts<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.head.sum(bytes);
        if bytes.len() < CALL_BYTES_MIN {
            self.small.extend_from_slice(bytes);
        }
        if bytes.len() >= CALL_BYTES_MIN || self.small.len() >= CHUNK_BYTES_MAX {
            self.flush();
        }
        if bytes.len() >= CALL_BYTES_MIN {
            self.send(bytes);
        }
    }
}

/// Its length and CRC come last, in the place of the end mark: as with stores, whoever looks before
/// sees the end.
pub(in crate::record) fn write_frame(
    file: &SegmentFile,
    frame: &[u8],
    at: usize,
) -> io::Result<()> {
    let (head, rest) = frame.split_at(END_BYTES);
    file.write(rest, (at + END_BYTES) as u64)?;
    file.write(head, at as u64)
}
