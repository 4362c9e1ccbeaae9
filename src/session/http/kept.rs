//! What is kept of the content of a request or of an answer.
//!
//! In: content as it passes. Out: chunks in the journal, counts.
//! Never: a piece that leaves before its chunk; more than the target's `capture` asks for.

use crate::fault::Refused;
use crate::limits::CHUNK_BYTES_MAX;
use crate::record::Entry;
use crate::record::entry::Chunk;
use crate::session::Stage;

use super::tenure::Tenure;

/// One direction of one exchange.
#[derive(Debug)]
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
        }
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
