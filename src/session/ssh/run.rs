//! One command, shell or subsystem that runs: what is kept of it, and the row of its end.
//!
//! In: bytes and events of its channel. Out: chunks of `pty-events`, one response row.
//! Never: readable input, unless the target's policy says so; more memory than one chunk.

use crate::config::settings::{Durability, Input};
use crate::fault::Refused;
use crate::limits::CHUNK_BYTES_MAX;
use crate::record::entry::{Chunk, Outcome, Response, ResponseExtra};
use crate::record::pty_events::{ENCODING, Kind, Writer, put_varint};
use crate::record::{Entry, Receipt};
use crate::session::Stage;

use super::core::Office;
use super::near::Near;

/// What an event costs besides its bytes, about.
const EVENT_BYTES: u64 = 4;

/// What runs.
#[derive(Debug)]
pub(super) struct Run {
    /// Of its command.
    pub seq: u64,
    started_us: u64,
    first_byte_us: Option<u64>,
    writer: Writer,
    /// The terminal's, as its event: every chunk begins with it, so that it can be read alone.
    size: Vec<u8>,
    /// Bytes that may still be kept.
    left: u64,
    /// What is kept of a terminal behind that.
    near: Option<Near>,
    captured: u64,
    offset: u64,
    chunks: u32,
    bytes: u64,
    /// Of the client.
    input_bytes: u64,
    /// A forward and the like: it has an end, and no status.
    tunnel: bool,
    /// Bytes that were not kept, and that nothing says yet.
    gap: u64,
    status: Option<u32>,
    signal: String,
    /// The target does not run it.
    refused: bool,
    /// When the target said something of it last: its channel may stay open for long.
    said_us: u64,
    /// Masks apply to the session, and not to this.
    pub unmasked: bool,
}

impl Run {
    /// A command that was just forwarded; the first `limit` bytes of its output are kept.
    pub fn new(seq: u64, limit: u64, now_us: u64) -> Run {
        Run {
            seq,
            started_us: now_us,
            first_byte_us: None,
            writer: Writer::new(now_us),
            size: Vec::new(),
            left: limit,
            near: None,
            captured: 0,
            offset: 0,
            chunks: 0,
            bytes: 0,
            input_bytes: 0,
            tunnel: false,
            gap: 0,
            status: None,
            signal: String::new(),
            refused: false,
            said_us: now_us,
            unmasked: false,
        }
    }

    /// A channel that carries something of its own: what passes is counted.
    pub fn tunnel(seq: u64, now_us: u64) -> Run {
        Run { tunnel: true, ..Run::new(seq, 0, now_us) }
    }

    /// Bytes of the target, as the client sees them.
    pub fn output(&mut self, stderr: bool, bytes: &[u8], now_us: u64) {
        self.first_byte_us.get_or_insert(now_us.saturating_sub(self.started_us));
        self.bytes += bytes.len() as u64;
        self.said_us = now_us;
        if self.tunnel {
            return;
        }
        let kept = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if let Some(bytes) = bytes.get(..kept).filter(|bytes| !bytes.is_empty()) {
            let kind = if stderr { Kind::Stderr } else { Kind::Output };
            self.push(now_us, kind, bytes);
            self.left -= kept as u64;
            self.captured += kept as u64;
        }
        match &mut self.near {
            Some(near) => {
                let rest = bytes.get(kept..).unwrap_or_default();
                let (shown, lost) = near.output(rest);
                self.gap += lost;
                self.keep(rest.get(..shown).unwrap_or_default(), now_us);
            }
            None => self.gap += (bytes.len() - kept) as u64,
        }
    }

    /// Output that is kept though the capture is used up.
    fn keep(&mut self, shown: &[u8], now_us: u64) {
        if !shown.is_empty() {
            self.push(now_us, Kind::Output, shown);
            self.captured += shown.len() as u64;
        }
    }

    /// Says how much was not kept.
    fn tell_gap(&mut self, now_us: u64) {
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 {
            self.number(Kind::Gap, gap, now_us);
        }
    }

    /// Input comes: what its terminal showed before it is kept, if its capture is used up.
    fn show_near(&mut self, now_us: u64) {
        let Some(near) = self.near.as_mut().filter(|_| self.left < EVENT_BYTES) else { return };
        let Some(before) = near.input() else { return self.no_more(now_us) };
        self.tell_gap(now_us);
        self.keep(&before, now_us);
    }

    /// Nothing more is kept of a terminal.
    fn no_more(&mut self, now_us: u64) {
        if let Some(mut near) = self.near.take() {
            self.gap += near.rest().len() as u64;
            self.push(now_us, Kind::Ended, &[]);
        }
    }

    /// Bytes of the target of which only the number is kept here.
    pub fn passed(&mut self, count: usize, now_us: u64) {
        self.first_byte_us.get_or_insert(now_us.saturating_sub(self.started_us));
        self.bytes += count as u64;
        self.said_us = now_us;
    }

    /// The target refuses to run it.
    pub fn refused(&mut self, now_us: u64) {
        (self.refused, self.said_us) = (true, now_us);
    }

    /// Bytes of the client: themselves, as far as there is room, or their number.
    pub fn input(&mut self, bytes: &[u8], policy: Input, now_us: u64) {
        self.input_bytes += bytes.len() as u64;
        if self.tunnel {
            return;
        }
        self.show_near(now_us);
        let room = usize::try_from(self.left.saturating_sub(EVENT_BYTES)).unwrap_or(usize::MAX);
        let kept = match policy {
            Input::Plain => bytes.get(..room).unwrap_or(bytes),
            Input::Counted => &[],
        };
        if !kept.is_empty() {
            self.event(Kind::Input, kept, now_us);
        }
        if kept.len() < bytes.len() {
            self.number(Kind::CountedInput, (bytes.len() - kept.len()) as u64, now_us);
        }
    }

    /// An event whose bytes are a number.
    pub fn number(&mut self, kind: Kind, value: u64, now_us: u64) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        self.event(kind, &bytes, now_us);
    }

    /// Any other event.
    pub fn event(&mut self, kind: Kind, bytes: &[u8], now_us: u64) {
        // A client may send as many as it likes: what is kept of them counts as output does.
        let cost = bytes.len() as u64 + EVENT_BYTES;
        let is_kept = self.left >= cost || matches!(kind, Kind::Exit | Kind::Gap);
        if is_kept {
            self.left = self.left.saturating_sub(cost);
        }
        if is_kept || self.near.as_mut().is_some_and(|near| near.spend(cost)) {
            self.push(now_us, kind, bytes);
        } else {
            self.no_more(now_us);
        }
    }

    fn push(&mut self, now_us: u64, kind: Kind, bytes: &[u8]) {
        if self.chunks > 0 && self.writer.chunk_bytes() == 0 && !self.size.is_empty() {
            self.writer.push(now_us, Kind::Size, &self.size);
        }
        self.writer.push(now_us, kind, bytes);
    }

    /// The size of its terminal, now. Zero is nothing (RFC 4254 section 6.2): what
    /// was usual.
    pub fn size(&mut self, columns: u32, rows: u32, now_us: u64) {
        let known = |value, usual| if value == 0 { usual } else { value };
        let (columns, rows) = (known(columns, 80), known(rows, 24));
        let mut bytes = Vec::new();
        for value in [columns, rows] {
            put_varint(&mut bytes, u64::from(value.clamp(1, 1000)));
        }
        self.event(Kind::Size, &bytes, now_us);
        if self.size.is_empty() && self.left > 0 {
            self.near = Some(Near::new());
        }
        self.size = bytes;
    }

    /// It ended with this status.
    pub fn exit_status(&mut self, status: u32, now_us: u64) {
        self.status = Some(status);
        self.said_us = now_us;
        let mut bytes = vec![0];
        put_varint(&mut bytes, u64::from(status));
        self.event(Kind::Exit, &bytes, now_us);
    }

    /// It was ended by this signal.
    pub fn exit_signal(&mut self, signal: &[u8], now_us: u64) {
        self.said_us = now_us;
        let signal = signal.get(..32).unwrap_or(signal);
        self.signal = String::from_utf8_lossy(signal).into_owned();
        let mut bytes = vec![1];
        bytes.extend_from_slice(signal);
        self.event(Kind::Exit, &bytes, now_us);
    }

    /// Writes what is kept so far. A receipt for it, if there was anything.
    pub fn flush(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Receipt>, Refused> {
        if self.writer.chunk_bytes() == 0 {
            return Ok(None);
        }
        let payload = self.writer.take();
        let chunk = Chunk {
            command_seq: self.seq,
            stream: 1,
            chunk_no: self.chunks,
            byte_offset: self.offset,
            encoding: ENCODING,
            payload: &payload,
            at_us: None,
        };
        let receipt = core.record(&Entry::Chunk(chunk), stage)?;
        self.chunks += 1;
        self.offset += payload.len() as u64;
        Ok(Some(receipt))
    }

    /// Whether what is kept should be written before the next message leaves.
    pub fn is_due(&self, durability: Durability) -> bool {
        let bytes = self.writer.chunk_bytes();
        bytes >= CHUNK_BYTES_MAX || (bytes > 0 && durability == Durability::Sync)
    }

    /// Writes that the channel was closed, or did not open for these reasons.
    pub fn close_tunnel(
        self,
        refused: Option<&[u8]>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Receipt, Refused> {
        let attrs = self.attrs();
        let words = String::from_utf8_lossy(refused.unwrap_or_default());
        let response = Response {
            command_seq: self.seq,
            outcome: if refused.is_some() { Outcome::Error } else { Outcome::Success },
            error_text: &words,
            duration_us: stage.now.mono_us.saturating_sub(self.started_us),
            first_byte_us: self.first_byte_us.unwrap_or_default(),
            bytes: self.bytes,
            extra: ResponseExtra { attrs: &attrs, ..ResponseExtra::default() },
            ..Response::default()
        };
        core.record(&Entry::Response(response), stage)
    }

    /// How much the client has sent into it, and whether masks passed it by.
    fn attrs(&self) -> String {
        let mut attrs = serde_json::Map::new();
        if self.tunnel || self.input_bytes > 0 {
            attrs.insert("input_bytes".to_owned(), self.input_bytes.into());
        }
        if self.unmasked && !self.tunnel {
            attrs.insert("unmasked".to_owned(), true.into());
        }
        if attrs.is_empty() { String::new() } else { serde_json::Value::from(attrs).to_string() }
    }

    /// Whether it is a forward or the like.
    pub const fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Writes the row of its end.
    pub fn end(mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<Receipt, Refused> {
        let now_us = stage.now.mono_us;
        let shown = self.near.as_mut().map(Near::rest).unwrap_or_default();
        self.tell_gap(now_us);
        self.keep(&shown, now_us);
        self.flush(core, stage)?;
        let tag = match (self.status, self.signal.as_str()) {
            (Some(status), _) => format!("exit {status}"),
            (None, "") => String::new(),
            (None, signal) => format!("SIG{signal}"),
        };
        let outcome = match (self.status, self.signal.as_str()) {
            (Some(0), _) => Outcome::Success,
            (Some(_), _) => Outcome::Error,
            (None, "") if self.refused => Outcome::Error,
            (None, "") => Outcome::Aborted,
            (None, _) => Outcome::Error,
        };
        let ended_us = if outcome == Outcome::Aborted { now_us } else { self.said_us };
        let error_text = if self.refused { "the target refuses it" } else { "" };
        let attrs = self.attrs();
        let response = Response {
            command_seq: self.seq,
            outcome,
            tag: &tag,
            error_text,
            duration_us: ended_us.saturating_sub(self.started_us),
            first_byte_us: self.first_byte_us.unwrap_or_default(),
            bytes: self.bytes,
            captured_bytes: self.captured,
            chunks: self.chunks,
            extra: ResponseExtra {
                status: self.status.and_then(|status| i32::try_from(status).ok()),
                signal: &self.signal,
                attrs: &attrs,
                ..ResponseExtra::default()
            },
            ..Response::default()
        };
        core.record(&Entry::Response(response), stage)
    }
}
