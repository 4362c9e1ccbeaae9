//! What is kept of the answer to one command.
//!
//! In: the answer's bytes as the client sees them. Out: chunks and one response row.
//! Never: unmasked bytes; more memory than one chunk.

use crate::fault::Refused;
use crate::limits;
use crate::record::entry::{Chunk, Outcome, Response, ResponseExtra};
use crate::record::{Entry, Receipt};
use crate::session::postgres::state::Issued;
use crate::wire::postgres::message::{Column, tag_rows};

use super::Stage;
use super::desk::Desk;
use super::meter::MaskTime;

/// The answer that is coming in. One at a time: answers come in the order of the commands.
#[derive(Debug, Default)]
pub struct Answer {
    issued: Option<Issued>,
    /// The command that was answered last: what else the target says of it is in no row.
    finished: Option<u64>,
    first_byte_us: Option<u64>,
    /// Rows sent to the client.
    pub rows: u64,
    /// Time spent on masking them.
    pub mask_time: MaskTime,
    /// `rows` when the tag before came.
    rows_at_tag: u64,
    /// The rows of a COPY go to the client.
    copies_out: bool,
    affected: u64,
    bytes: u64,
    captured: u64,
    chunks: u32,
    buffer: Vec<u8>,
    /// When the first byte of `buffer` passed, UTC.
    buffer_from_us: i64,
    tag: Vec<u8>,
    columns: Vec<u8>,
    sqlstate: String,
    error: String,
}

impl Answer {
    /// Starts the answer to `issued`, unless it has started.
    pub fn begin(&mut self, issued: Issued, now_us: u64) {
        let is_known = self.issued.is_some_and(|current| current.seq == issued.seq);
        if is_known || self.is_finished(issued.seq) {
            return;
        }
        self.clear();
        self.issued = Some(issued);
        self.first_byte_us = Some(now_us.saturating_sub(issued.at_us));
    }

    fn clear(&mut self) {
        self.issued = None;
        self.first_byte_us = None;
        (self.rows, self.affected, self.bytes, self.captured, self.chunks) = (0, 0, 0, 0, 0);
        (self.rows_at_tag, self.copies_out) = (0, false);
        self.mask_time = MaskTime::None;
        self.buffer.clear();
        self.tag.clear();
        self.columns.clear();
        self.sqlstate.clear();
        self.error.clear();
    }

    /// Whether the row of this answer is written already.
    pub fn is_finished(&self, seq: u64) -> bool {
        self.finished == Some(seq)
    }

    /// The command that is being answered.
    pub fn seq(&self) -> Option<u64> {
        self.issued.map(|issued| issued.seq)
    }

    /// Names of the columns, for the response row: each ends with a zero byte, as no name holds
    /// one.
    pub fn describe(&mut self, columns: &[Column<'_>]) {
        self.columns.clear();
        for column in columns {
            self.columns.extend_from_slice(column.name);
            self.columns.push(0);
        }
    }

    /// The rows that the next tag counts went to the client as COPY data.
    pub fn copies_out(&mut self) {
        self.copies_out = true;
    }

    /// A command tag. Rows that were sent were not touched: those of a SELECT, unless it was one
    /// that fills a table (its tag is the same, its rows stay at the target), or of COPY TO.
    pub fn complete(&mut self, tag: &[u8]) {
        let rows = tag_rows(tag);
        let is_any = |words: &[&[u8]]| words.iter().any(|word| tag.starts_with(word));
        if std::mem::take(&mut self.copies_out) {
            self.rows += rows;
        } else if !is_any(&[b"SELECT", b"FETCH", b"MOVE"])
            || is_any(&[b"SELECT"]) && self.rows == self.rows_at_tag
        {
            self.affected += rows;
        }
        self.rows_at_tag = self.rows;
        // A text of a million statements has a million tags; the row keeps the first ones.
        if self.tag.len() < 1024 {
            if !self.tag.is_empty() {
                self.tag.push(b';');
            }
            self.tag.extend_from_slice(tag);
        }
    }

    /// An error, masked.
    pub fn failed(&mut self, sqlstate: &[u8], message: &[u8]) {
        self.sqlstate = String::from_utf8_lossy(sqlstate).into_owned();
        self.error = String::from_utf8_lossy(message).into_owned();
    }

    /// Bytes of the answer. Keeps the first `limit` of them. What answers no command (the
    /// description of a statement) is not kept: no row would ever take it.
    ///
    /// # Errors
    /// A full chunk could not be recorded.
    pub fn take(
        &mut self,
        bytes: &[u8],
        limit: u64,
        core: &mut Desk,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        if self.issued.is_none() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let room = limit.saturating_sub(self.captured + self.buffer.len() as u64);
        let keep = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let Some(mut kept) = bytes.get(..keep) else { return Ok(()) };
        if self.buffer.is_empty() {
            self.buffer_from_us = stage.now.wall_us;
        }
        while self.buffer.len() + kept.len() >= limits::CHUNK_BYTES_MAX {
            let (head, rest) = kept.split_at(limits::CHUNK_BYTES_MAX - self.buffer.len());
            self.buffer.extend_from_slice(head);
            kept = rest;
            self.flush(core, stage)?;
            self.buffer_from_us = stage.now.wall_us;
        }
        self.buffer.extend_from_slice(kept);
        Ok(())
    }

    /// Writes down what was kept and is not in the journal: what was handed on leaves after this.
    /// The whole answer of most commands comes at once, and then there is nothing to write here.
    ///
    /// # Errors
    /// It could not be recorded.
    pub fn flush(&mut self, core: &mut Desk, stage: &mut Stage<'_>) -> Result<(), Refused> {
        let Some(issued) = self.issued.filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let chunk = Chunk {
            command_seq: issued.seq,
            stream: 1,
            chunk_no: self.chunks,
            byte_offset: self.captured,
            encoding: "pg-messages",
            payload: &self.buffer,
            at_us: Some(self.buffer_from_us),
        };
        core.record(&Entry::Chunk(chunk), stage)?;
        self.chunks += 1;
        self.captured += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// The answer is complete: its rows go into the record before its end goes to the client.
    /// `Ok(None)` when no answer was under way.
    ///
    /// # Errors
    /// The journal refused.
    pub fn finish(
        &mut self,
        outcome: Outcome,
        core: &mut Desk,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Receipt>, Refused> {
        let Some(issued) = self.issued else { return Ok(None) };
        self.flush(core, stage)?;
        let outcome = match outcome {
            Outcome::Success if !self.sqlstate.is_empty() => Outcome::Error,
            other => other,
        };
        let tag = String::from_utf8_lossy(&self.tag);
        let response = Response {
            command_seq: issued.seq,
            outcome,
            sqlstate: &self.sqlstate,
            error_text: &self.error,
            tag: &tag,
            rows_returned: Some(self.rows),
            rows_affected: Some(self.affected),
            duration_us: stage.now.mono_us.saturating_sub(issued.at_us),
            first_byte_us: self.first_byte_us.unwrap_or(0),
            bytes: self.bytes,
            captured_bytes: self.captured,
            chunks: self.chunks,
            columns: Some(&self.columns),
            extra: ResponseExtra {
                truncated: Some(self.captured < self.bytes),
                ..ResponseExtra::default()
            },
        };
        let receipt = core.record(&Entry::Response(response), stage)?;
        if outcome != Outcome::Aborted {
            core.answered(issued, stage);
        }
        self.mask_time.finish(core);
        self.clear();
        self.finished = Some(issued.seq);
        if self.buffer.capacity() > 2 * limits::CHUNK_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(Some(receipt))
    }
}

/// A command that ended without an answer of its own: skipped, refused, aborted.
///
/// # Errors
/// The journal refused.
pub fn unanswered(
    seq: u64,
    outcome: Outcome,
    words: (&str, &str),
    core: &mut Desk,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    let response = Response {
        command_seq: seq,
        outcome,
        sqlstate: words.0,
        error_text: words.1,
        rows_returned: Some(0),
        rows_affected: Some(0),
        columns: Some(b""),
        ..Response::default()
    };
    core.record(&Entry::Response(response), stage)
}

/// CopyData messages, whole or in parts.
pub const COPY_ENCODING: &str = "pg-messages";

/// Bytes a client sends after its command: COPY data, the values of a long Bind.
#[derive(Debug)]
pub struct Upload {
    seq: u64,
    encoding: &'static str,
    limit: u64,
    offset: u64,
    chunks: u32,
    buffer: Vec<u8>,
    /// When the first byte of `buffer` came, UTC.
    buffer_from_us: i64,
}

impl Upload {
    /// Bytes that belong to the command `seq`; the first `limit` are kept.
    pub fn new(seq: u64, encoding: &'static str, limit: u64) -> Upload {
        let (offset, chunks, buffer_from_us) = (0, 0, 0);
        Upload { seq, encoding, limit, offset, chunks, buffer: Vec::new(), buffer_from_us }
    }

    /// Whether it keeps the COPY data of this command.
    pub fn is_copy_of(&self, seq: u64) -> bool {
        self.seq == seq && self.encoding == COPY_ENCODING
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// A full chunk could not be recorded.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        core: &mut Desk,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        let room = self.limit.saturating_sub(self.offset + self.buffer.len() as u64);
        bytes = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if self.buffer.is_empty() {
            self.buffer_from_us = stage.now.wall_us;
        }
        while self.buffer.len() + bytes.len() >= limits::CHUNK_BYTES_MAX {
            let (head, rest) = bytes.split_at(limits::CHUNK_BYTES_MAX - self.buffer.len());
            self.buffer.extend_from_slice(head);
            bytes = rest;
            self.flush(core, stage)?;
            self.buffer_from_us = stage.now.wall_us;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Records what is kept so far; called before the bytes leave.
    ///
    /// # Errors
    /// The journal refused.
    pub fn flush(&mut self, core: &mut Desk, stage: &mut Stage<'_>) -> Result<(), Refused> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Chunk {
            command_seq: self.seq,
            stream: 0,
            chunk_no: self.chunks,
            byte_offset: self.offset,
            encoding: self.encoding,
            payload: &self.buffer,
            at_us: Some(self.buffer_from_us),
        };
        core.record(&Entry::Chunk(chunk), stage)?;
        self.chunks += 1;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
