//! Fields to blocks (RFC 7541 6).
//!
//! In: fields, one after another. Out: the bytes of a block. Never: a credential in a table, where
//! a peer that may choose other fields could guess it (7.1); a table larger than the peer allows.
//!
//! Little is learned: names of a list of those whose values repeat. Everything else is written with
//! its name's number and its bytes as they are, which costs the least. What is learned is coded,
//! once, and is a byte from then on.

use super::fixed::{self, Match};
use super::huffman;
use super::table::{Table, is};
use crate::limits::HPACK_TABLE_BYTES_MAX;

/// What may be remembered of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The encoder decides by the name.
    Usual,
    /// Nobody on the way may index it.
    Never,
}

/// Encodes the blocks of one direction of one connection.
#[derive(Debug, Default)]
pub struct Encoder {
    table: Table,
    /// The table has to change with the next block: first to the least size, then to the last.
    change: Option<(u32, u32)>,
}

impl Encoder {
    /// The peer said how large the table may be (SETTINGS_HEADER_TABLE_SIZE).
    pub fn resize(&mut self, size_max: u32) {
        let size = size_max.min(HPACK_TABLE_BYTES_MAX);
        let least = self.change.map_or(size, |(least, _)| least.min(size));
        let is_same = self.change.is_none() && size as usize == self.table.size_max();
        if !is_same {
            self.change = Some((least, size));
        }
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((least, last)) = self.change.take() else { return };
        if least < last {
            self.table.resize(least as usize);
            integer(0x20, 5, least, out);
        }
        self.table.resize(last as usize);
        integer(0x20, 5, last, out);
    }

    /// Writes one field.
    pub fn field(&mut self, name: &[u8], value: &[u8], keep: Keep, out: &mut Vec<u8>) {
        let found = fixed::find(name, value);
        let never = keep == Keep::Never || NEVER.contains(&name);
        if never {
            return literal(0x10, found, (name, value), out);
        }
        if let Match::Whole(index) = found {
            return integer(0x80, 7, index, out);
        }
        if value.len() > LEARNED_BYTES_MAX || !LEARNED.contains(&name) {
            return literal(0, found, (name, value), out);
        }
        if let Some(index) = self.learned(name, value) {
            return integer(0x80, 7, index, out);
        }
        self.table.insert(name, value);
        let name_index = if let Match::Name(index) = found { index } else { 0 };
        integer(0x40, 6, name_index, out);
        if name_index == 0 {
            coded(name, out);
        }
        coded(value, out);
    }

    fn learned(&self, name: &[u8], value: &[u8]) -> Option<u32> {
        let same = |&index: &usize| {
            let (its_name, its_value) = self.table.entry(index).unwrap_or_default();
            is(its_value, value) && is(its_name, name)
        };
        let index = (0..self.table.len()).find(same)?;
        Some((fixed::FIELDS.len() + 1 + index) as u32)
    }

    /// The table, for tests.
    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

/// A field that no table learns.
fn literal(kind: u8, found: Match, (name, value): (&[u8], &[u8]), out: &mut Vec<u8>) {
    match found {
        Match::Whole(index) | Match::Name(index) => integer(kind, 4, index, out),
        Match::None => {
            out.push(kind);
            plain(name, out);
        }
    }
    plain(value, out);
}

/// A number behind the bits of `kind` (5.1).
fn integer(kind: u8, bits: u32, value: u32, out: &mut Vec<u8>) {
    let prefix = (1u32 << bits) - 1;
    if value < prefix {
        out.push(kind | value as u8);
        return;
    }
    out.push(kind | prefix as u8);
    let mut rest = value - prefix;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn plain(text: &[u8], out: &mut Vec<u8>) {
    integer(0, 7, text.len() as u32, out);
    out.extend_from_slice(text);
}

fn coded(text: &[u8], out: &mut Vec<u8>) {
    let bytes = huffman::coded_bytes(text);
    if bytes >= text.len() {
        return plain(text, out);
    }
    integer(0x80, 7, bytes as u32, out);
    huffman::encode(text, out);
}

/// Longer values would push the others out.
const LEARNED_BYTES_MAX: usize = 256;

/// Fields whose values are the same for many messages of a connection, and no secret.
const LEARNED: [&[u8]; 15] = [
    b":authority",
    b":scheme",
    b":status",
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"content-type",
    b"mcp-protocol-version",
    b"server",
    b"te",
    b"user-agent",
    b"vary",
    b"via",
    b"x-forwarded-proto",
];

/// Credentials (7.1.3): short values of a small set are the ones that can be guessed.
const NEVER: [&[u8]; 7] = [
    b"authorization",
    b"cookie",
    b"mcp-session-id",
    b"proxy-authorization",
    b"set-cookie",
    b"weir-assertion",
    b"x-api-key",
];
