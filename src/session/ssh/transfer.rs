//! Contents of one file in one direction: counts, places, a digest, what is kept.
//!
//! In: pieces and where they stand in the file. Out: chunks in the journal, facts for a row.
//! Never: a digest of pieces that did not come one behind the other; a chunk of such pieces.

use ring::digest::{Context, SHA256};

use crate::fault::Refused;
use crate::hex;
use crate::limits::SFTP_RANGES_MAX;
use crate::record::Entry;
use crate::record::entry::Chunk;
use crate::session::Stage;

use super::core::Office;

/// What a chunk costs beside its bytes.
const CHUNK_COST_BYTES: u64 = 64;

/// Contents in one direction.
pub(super) struct Transfer {
    seq: u64,
    stream: u8,
    left: u64,
    /// All that passed.
    pub bytes: u64,
    /// Of it in chunks.
    pub captured: u64,
    /// Chunks.
    pub chunks: u32,
    /// Until pieces come out of order.
    digest: Option<Context>,
    /// Start and end of what passed; the last one grows.
    ranges: Vec<(u64, u64)>,
    more_ranges: bool,
}

impl Transfer {
    /// For the command `seq`; `stream` is 0 for what the client sends; the first `limit` bytes are
    /// kept.
    pub fn new(seq: u64, stream: u8, limit: u64) -> Transfer {
        Transfer {
            seq,
            stream,
            left: limit,
            bytes: 0,
            captured: 0,
            chunks: 0,
            digest: Some(Context::new(&SHA256)),
            ranges: Vec::new(),
            more_ranges: false,
        }
    }

    /// A piece that passes.
    pub fn take(
        &mut self,
        offset: u64,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        self.place(offset, bytes.len() as u64);
        self.bytes += bytes.len() as u64;
        let Some(digest) = &mut self.digest else { return Ok(()) };
        digest.update(bytes);
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let payload = bytes.get(..room).unwrap_or(bytes);
        if payload.is_empty() {
            return Ok(());
        }
        let chunk = Chunk {
            command_seq: self.seq,
            stream: self.stream,
            chunk_no: self.chunks,
            byte_offset: self.captured,
            encoding: "raw",
            payload,
            at_us: None,
        };
        core.record(&Entry::Chunk(chunk), stage)?;
        self.chunks += 1;
        self.captured += payload.len() as u64;
        self.left = self.left.saturating_sub(payload.len() as u64 + CHUNK_COST_BYTES);
        Ok(())
    }

    fn place(&mut self, offset: u64, count: u64) {
        let end = offset.saturating_add(count);
        match self.ranges.last_mut() {
            Some(last) if last.1 == offset => last.1 = end,
            None => self.ranges.push((offset, end)),
            Some(_) => {
                self.digest = None;
                let grows = self.ranges.iter_mut().find(|range| range.1 == offset);
                if let Some(range) = grows {
                    range.1 = end;
                } else if self.ranges.len() < SFTP_RANGES_MAX {
                    self.ranges.push((offset, end));
                } else {
                    self.more_ranges = true;
                }
            }
        }
    }

    /// SHA-256 of what passed, if it came in one piece.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let digest = self.digest.as_ref().filter(|_| self.bytes > 0)?.clone().finish();
        digest.as_ref().try_into().ok()
    }

    /// What a row says of what was written, and of places other than the whole from its start:
    /// JSON, or nothing.
    pub fn attrs(&self, read: &Transfer) -> String {
        let mut attrs = serde_json::Map::new();
        if self.bytes > 0 {
            attrs.insert("request_body_len".to_owned(), self.bytes.into());
            attrs.insert("request_truncated".to_owned(), (self.captured < self.bytes).into());
            if let Some(digest) = self.digest() {
                attrs.insert("request_body_sha256".to_owned(), hex::text(&digest).into());
            }
        }
        for (name, transfer) in [("written_ranges", self), ("read_ranges", read)] {
            let whole = matches!(transfer.ranges.as_slice(), [] | [(0, _)]);
            if !whole {
                let ranges: Vec<[u64; 2]> =
                    transfer.ranges.iter().map(|(start, end)| [*start, *end]).collect();
                attrs.insert(name.to_owned(), serde_json::json!(ranges));
                if transfer.more_ranges {
                    attrs.insert(format!("{name}_cut"), true.into());
                }
            }
        }
        if attrs.is_empty() { String::new() } else { serde_json::Value::from(attrs).to_string() }
    }
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transfer({} of {} bytes of #{})", self.captured, self.bytes, self.seq)
    }
}
