//! What is kept of the content of a request or of an answer.
//!
//! In: content as it passes. Out: chunks in the journal, counts.
//! Never: a piece that leaves before its chunk; more than the target's `capture` asks for.

use ring::digest::{Context, SHA256, digest};

use crate::fault::Refused;
use crate::hex;
use crate::limits::CHUNK_BYTES_MAX;
use crate::record::Entry;
use crate::record::entry::Chunk;
use crate::session::Stage;
use crate::wire::http::sse::Splitter;

use super::tenure::Tenure;

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    copied(digest(&SHA256, bytes).as_ref())
}

fn copied(from: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(from) {
        *to = *from;
    }
    hash
}

/// One direction of one exchange.
pub(super) struct Kept {
    seq: u64,
    stream: u8,
    encoding: &'static str,
    limit: u64,
    /// Bytes of content so far.
    pub bytes: u64,
    /// Of them in chunks.
    pub captured: u64,
    /// Chunks.
    pub chunks: u32,
    buffer: Vec<u8>,
    digest: Context,
}

impl Kept {
    /// For the command `seq`; `stream` is 0 for what the client sends.
    pub fn new(seq: u64, stream: u8, limit: u64) -> Kept {
        Kept {
            seq,
            stream,
            encoding: "http-content",
            limit,
            bytes: 0,
            captured: 0,
            chunks: 0,
            buffer: Vec::new(),
            digest: Context::new(&SHA256),
        }
    }

    /// How much may be kept.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// SHA-256 of the content so far.
    pub fn digest(&self) -> [u8; 32] {
        copied(self.digest.clone().finish().as_ref())
    }

    /// What the row of an answer says of the request's content, which had no row of its own when
    /// it was recorded.
    pub fn attrs(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut attrs = serde_json::Map::new();
        if self.bytes == 0 {
            return attrs;
        }
        let (bytes, captured) = (self.bytes, self.captured);
        attrs.insert("request_body_len".into(), bytes.into());
        attrs.insert("request_body_sha256".into(), hex::text(&self.digest()).into());
        attrs.insert("request_truncated".into(), (captured < bytes).into());
        attrs
    }

    /// From here on messages of a WebSocket are kept.
    pub fn becomes(&mut self, encoding: &'static str) {
        self.encoding = encoding;
    }

    /// Keeps bytes, up to the limit.
    pub fn take(
        &mut self,
        bytes: &[u8],
        tenure: &mut Tenure,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
        let room = self.limit.saturating_sub(self.captured + self.buffer.len() as u64);
        let keep = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let mut kept = bytes.get(..keep).unwrap_or(bytes);
        while self.buffer.len() + kept.len() >= CHUNK_BYTES_MAX {
            let (head, rest) = kept.split_at(CHUNK_BYTES_MAX - self.buffer.len());
            self.buffer.extend_from_slice(head);
            kept = rest;
            self.flush(tenure, stage)?;
        }
        self.buffer.extend_from_slice(kept);
        Ok(())
    }

    /// Keeps bytes of a stream of events: the end of each event is the end of a chunk.
    pub fn take_events(
        &mut self,
        events: &mut Splitter,
        bytes: &[u8],
        tenure: &mut Tenure,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = rest;
            let is_whole = match events.next(&mut rest) {
                Ok(event) => event.is_some(),
                Err(_) => {
                    // Longer than an event may be: its chunks end where its bytes came.
                    *events = Splitter::default();
                    rest = &[];
                    true
                }
            };
            let piece = before.get(..before.len() - rest.len()).unwrap_or(before);
            self.take(piece, tenure, stage)?;
            if !is_whole {
                break;
            }
            self.flush(tenure, stage)?;
        }
        // What leaves now is recorded now.
        self.flush(tenure, stage)
    }

    /// Records what is kept so far.
    pub fn flush(&mut self, tenure: &mut Tenure, stage: &mut Stage<'_>) -> Result<(), Refused> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Chunk {
            command_seq: self.seq,
            stream: self.stream,
            chunk_no: self.chunks,
            byte_offset: self.captured,
            encoding: self.encoding,
            payload: &self.buffer,
            at_us: None,
        };
        tenure.ledger.record(&Entry::Chunk(chunk), stage)?;
        self.chunks += 1;
        self.captured += self.buffer.len() as u64;
        self.buffer.clear();
        if self.buffer.capacity() > 2 * CHUNK_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(())
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({} of {} bytes of #{})", self.captured, self.bytes, self.seq)
    }
}
