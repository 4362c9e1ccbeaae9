//! What a block said: names and values in one arena, bounded by count and by bytes.
//!
//! One indexed byte of a block is a whole field, so a bound by the block's own size bounds nothing
//! (CVE-2026-49975). A block that says too much is decoded to its end all the same, since the table
//! must follow it, but what is over the limits is not kept.

use super::table::{ENTRY_BYTES, Halves};
use crate::limits::{HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX};

/// One field: its value lies right behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    start: u32,
    name: u32,
    value: u32,
    /// The peer asks everybody on the way never to put it into a table (RFC 7541 7.1.3).
    pub never_indexed: bool,
}

/// The fields of one block.
///
/// Invariant: each line lies within `bytes`, and the last one ends where `bytes` ends.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// Some of the block was not kept.
    over: bool,
}

impl Fields {
    /// Whether the block said more than the limits allow, so that this is only its start.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes as RFC 9113 6.5.2 counts them: 32 per field besides its name and its value.
    pub fn size(&self) -> usize {
        self.bytes.len() + ENTRY_BYTES * self.lines.len()
    }

    /// Names and values in the order of the block, each with whether it is never indexed.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        self.lines.iter().map(|line| {
            let name = line.start as usize;
            let value = name + line.name as usize;
            let end = value + line.value as usize;
            let bytes = |from, to| self.bytes.get(from..to).unwrap_or(&[]);
            (bytes(name, value), bytes(value, end), line.never_indexed)
        })
    }

    /// Forgets the block and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 << 10);
        self.lines.clear();
        self.lines.shrink_to(32);
        self.over = false;
    }

    /// Where the next field starts.
    pub(super) fn open(&self) -> Open {
        Open { start: self.bytes.len(), name: 0 }
    }

    /// What is behind the last whole field.
    pub(super) fn text(&self, open: Open) -> (&[u8], &[u8]) {
        let field = self.bytes.get(open.start..).unwrap_or(&[]);
        field.split_at_checked(open.name).unwrap_or((field, &[]))
    }

    /// For the texts of the field that is open.
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The same, for a text of the table.
    pub(super) fn push(&mut self, text: Halves<'_>) {
        text.into_iter().for_each(|half| self.bytes.extend_from_slice(half));
    }

    /// The name of the open field is complete.
    pub(super) fn end_name(&self, open: &mut Open) {
        open.name = self.bytes.len() - open.start;
    }

    /// Drops the open field.
    pub(super) fn drop(&mut self, open: Open) {
        self.bytes.truncate(open.start);
    }

    /// The open field is complete. It is kept if the limits allow.
    pub(super) fn close(&mut self, open: Open, never_indexed: bool) {
        let size = self.size() + ENTRY_BYTES;
        if self.over || self.lines.len() >= HTTP_FIELDS_MAX || size > HTTP_HEAD_BYTES_MAX {
            self.over = true;
            self.drop(open);
            return;
        }
        let value = self.bytes.len() - open.start - open.name;
        self.lines.push(Line {
            start: open.start as u32,
            name: open.name as u32,
            value: value as u32,
            never_indexed,
        });
    }
}

/// A field that is being decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    start: usize,
    name: usize,
}
