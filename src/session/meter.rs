//! What a session tells the meters of its target.
//!
//! In: verdicts, ends of answers, bytes. Out: counts and durations.
//! Never: a clock read for a command that is not measured; a number that decides anything.

use std::sync::Arc;

use crate::metrics::{Counted, Presence, TargetMeter, Timed};
use crate::session::postgres::state::Issued;

use super::Stage;
use super::desk::Desk;

/// The session's part of the meters. Before the login, and after the end, there is no target.
#[derive(Debug, Default)]
pub struct Gauge {
    logged_in: Option<Presence>,
    /// The decision under way is measured; since then, nanoseconds.
    deciding_ns: Option<u64>,
    /// Bytes that are counted already.
    bytes_in: u64,
    bytes_out: u64,
}

impl Desk {
    /// Somebody is logged in at this target.
    pub(super) fn attach(&mut self, target: usize, stage: &Stage<'_>) {
        let meter = stage.meters.target(target);
        self.gauge.logged_in = Some(Presence::new(meter, |it| &it.connections));
    }

    /// The session is over.
    pub(super) fn detach(&mut self) {
        self.count_bytes();
        self.gauge.logged_in = None;
    }

    /// The meter of the target, once somebody is logged in.
    pub(super) fn meter(&self) -> Option<&TargetMeter> {
        self.gauge.logged_in.as_ref().map(|presence| presence.meter().as_ref())
    }

    /// A command waits for people, for as long as this lives.
    pub(super) fn waiting(&self) -> Option<Presence> {
        let meter = self.gauge.logged_in.as_ref()?.meter();
        Some(Presence::new(Arc::clone(meter), |it| &it.held))
    }

    /// Counts a command by what the rules said.
    pub(super) fn count(&self, verdict: Counted) {
        if let Some(meter) = self.meter() {
            meter.count(verdict);
        }
    }

    /// A message of the client is about to be understood.
    pub(super) fn begin_decision(&mut self, tag: u8) {
        self.gauge.deciding_ns = match self.meter() {
            Some(meter) if matches!(tag, b'Q' | b'P' | b'B' | b'E') => {
                meter.decisions.is_due().then(|| meter.now_ns())
            }
            _ => None,
        };
    }

    /// The rules have spoken.
    pub(super) fn end_decision(&mut self, verdict: Counted) {
        if let Some(begun_ns) = self.gauge.deciding_ns.take()
            && let Some(meter) = self.meter()
        {
            let spent_us = meter.now_ns().saturating_sub(begun_ns) / 1_000;
            meter.record((Timed::Decide, Some(verdict)), spent_us);
        }
    }

    /// The answer to a command has ended.
    pub(super) fn answered(&self, issued: Issued, stage: &Stage<'_>) {
        if let Some(meter) = self.meter() {
            let verdict = if issued.held { Counted::Hold } else { Counted::Allow };
            let spent_us = stage.now.mono_us.saturating_sub(issued.at_us);
            meter.record((Timed::Target, Some(verdict)), spent_us);
        }
    }

    /// Counts the bytes that came and went since the last call.
    pub(super) fn count_bytes(&mut self) {
        let (bytes_in, bytes_out) = (self.totals.bytes_in, self.totals.bytes_out);
        if let Some(meter) = self.meter() {
            meter.bytes_in.add(bytes_in - self.gauge.bytes_in);
            meter.bytes_out.add(bytes_out - self.gauge.bytes_out);
        }
        (self.gauge.bytes_in, self.gauge.bytes_out) = (bytes_in, bytes_out);
    }
}

/// Time spent on masking one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskTime {
    /// Nothing was masked yet.
    #[default]
    None,
    /// This answer is not measured.
    Unmeasured,
    /// So many nanoseconds.
    Spent(u64),
}

impl MaskTime {
    /// Something is about to be masked.
    pub fn begin(&mut self, core: &Desk) -> Option<u64> {
        let meter = core.meter()?;
        if *self == MaskTime::None {
            let due = meter.masked.is_due();
            *self = if due { MaskTime::Spent(0) } else { MaskTime::Unmeasured };
        }
        matches!(self, MaskTime::Spent(_)).then(|| meter.now_ns())
    }

    /// It is masked.
    pub fn end(&mut self, begun_ns: Option<u64>, core: &Desk) {
        if let (MaskTime::Spent(spent_ns), Some(begun_ns)) = (self, begun_ns)
            && let Some(meter) = core.meter()
        {
            *spent_ns += meter.now_ns().saturating_sub(begun_ns);
        }
    }

    /// The answer has ended.
    pub fn finish(&mut self, core: &Desk) {
        if let (MaskTime::Spent(spent_ns), Some(meter)) = (std::mem::take(self), core.meter()) {
            meter.record((Timed::Mask, None), spent_ns / 1_000);
        }
    }
}
