//! Output of commands, shells and subsystems, masked as it passes.
//!
//! In: data of the target, the time. Out: the same data with what detectors find covered, for the
//! client and for the record alike. Never: another message of the target's before what is held of
//! its data; more or fewer bytes than came, which windows would have to know.
//!
//! Files, repositories, forwards and streams that are no text are not masked: their rows say
//! `unmasked`.

use std::rc::Rc;

use crate::decide::Permit;
use crate::decide::ssh::Plumbing;
use crate::fault::{Fault, Refused};
use crate::mask::detect::Detectors;
use crate::mask::hits::{Cause, Hits};
use crate::mask::terminal::Masker;
use crate::record::Entry;
use crate::record::entry::MaskingHit;
use crate::session::{Driven, Stage};
use crate::wire::{End, LegId};

use super::admit::Wanted;
use super::channels::{ChannelKey, UsedUp};
use super::core::Office;
use super::leg::Leg;
use super::open::{Open, record_fault};
use super::operations::send_all;
use super::{Machine, Phase};

/// What a stream begins with says whether it is text.
const SNIFFED_BYTES: usize = 512;
/// A target or a client of small windows that needs longer is not waited for.
const POSTPONED_MAX: u32 = 50;

/// The two streams of a channel.
#[derive(Debug)]
pub(super) struct Masks {
    streams: [Stream; 2],
    patience: Patience,
}

/// Why a target could not have said more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    /// It could.
    No,
    /// Keys are being renewed, half a packet has come; or what is held may be all that the client
    /// waits for.
    Stuck,
    /// The client has more than enough to read.
    Behind,
}

/// Output that is due is held for longer where the target could not have said more.
#[derive(Debug, Default)]
struct Patience {
    /// How often it was.
    count: u32,
    /// Once more, when the client reads again.
    once_more: bool,
}

impl Patience {
    fn is_over(&mut self, blocked: Blocked) -> bool {
        let waits = match blocked {
            Blocked::No => false,
            Blocked::Stuck => self.count < POSTPONED_MAX,
            Blocked::Behind => true,
        };
        if waits {
            *self = Patience { count: self.count.saturating_add(1), once_more: true };
            return false;
        }
        !std::mem::take(&mut self.once_more)
    }

    /// How often a client is looked at that does not read.
    const fn is_long(&self) -> bool {
        self.count > POSTPONED_MAX
    }
}

#[derive(Debug)]
struct Stream {
    masker: Masker,
    hits: Hits,
    terminal: bool,
    /// Its first bytes, as long as they may still be no text. A terminal shows text.
    sniffed: Option<Vec<u8>>,
    /// It turned out to be no text.
    off: bool,
}

impl Stream {
    fn push(&mut self, bytes: &[u8], now_us: u64) -> Vec<u8> {
        if let Some(sniffed) = &mut self.sniffed {
            let more = bytes.get(..SNIFFED_BYTES - sniffed.len()).unwrap_or(bytes);
            sniffed.extend_from_slice(more);
            self.off = is_binary(sniffed);
            if self.off || sniffed.len() == SNIFFED_BYTES {
                self.sniffed = None;
            }
        }
        if self.off {
            let mut out = self.masker.flush(&mut self.hits);
            out.extend_from_slice(bytes);
            return out;
        }
        self.masker.push(bytes, now_us, &mut self.hits)
    }
}

/// Zeros, and what no text has. Zeros alone are what `find -print0` writes between names.
fn is_binary(bytes: &[u8]) -> bool {
    let strange = |byte: &u8| matches!(byte, 0x01..=0x06 | 0x0e..=0x1a | 0x1c..=0x1f);
    // A character may be cut at the end.
    let broken = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some());
    bytes.contains(&0) && (broken || bytes.iter().any(strange))
}

impl Masks {
    /// For a command that was just permitted, if its output is text.
    pub fn of(wanted: &Wanted, detectors: &Rc<Detectors>, terminal: bool) -> Option<Masks> {
        if !wanted.may_be_text() || detectors.is_empty() {
            return None;
        }
        let stream = || Stream {
            masker: Masker::new(Rc::clone(detectors), terminal),
            hits: Hits::default(),
            terminal,
            sniffed: (!terminal).then(Vec::new),
            off: false,
        };
        Some(Masks { streams: [stream(), stream()], patience: Patience::default() })
    }

    fn due_us(&self) -> Option<u64> {
        self.streams.iter().filter_map(|stream| stream.masker.due_us()).min()
    }

    /// What somebody types at a terminal, whose echo is not kept waiting.
    pub fn typed(&mut self, bytes: &[u8]) {
        if let Some(stream) = self.streams.first_mut().filter(|stream| stream.terminal) {
            stream.masker.typed(bytes);
        }
    }

    /// Whether what is due may leave; else it is due later.
    fn may_leave(&mut self, blocked: Blocked, now_us: u64) -> bool {
        let may = self.patience.is_over(blocked);
        if !may {
            let seldom = self.patience.is_long();
            self.streams.iter_mut().for_each(|stream| stream.masker.postpone(now_us, seldom));
        }
        may
    }

    fn push(&mut self, stderr: bool, bytes: &[u8], now_us: u64) -> Vec<u8> {
        self.patience = Patience::default();
        let stream = self.streams.get_mut(usize::from(stderr));
        stream.map(|stream| stream.push(bytes, now_us)).unwrap_or_default()
    }

    fn flush(&mut self, stderr: bool) -> Vec<u8> {
        let stream = self.streams.get_mut(usize::from(stderr));
        stream.map(|stream| stream.masker.flush(&mut stream.hits)).unwrap_or_default()
    }

    /// Writes what was masked; whether a stream was not, because it was no text.
    fn record(
        mut self,
        seq: u64,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Refused> {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let hits = &mut stream.hits;
            core.totals.masked += hits.total();
            let column = if index == 0 { "output" } else { "error" };
            for hit in hits.drain() {
                let Cause::Detector(detector) = hit.cause else { continue };
                let row = MaskingHit {
                    command_seq: seq,
                    column,
                    detector: detector.name(),
                    operator: hit.operator.name(),
                    hits: hit.count,
                    path: "",
                };
                core.record(&Entry::MaskingHit(row), stage)?;
            }
        }
        Ok(self.streams.iter().any(|stream| stream.off))
    }
}

impl Open {
    /// A command was forwarded: its output is masked if it is text and a mask applies.
    pub(super) fn masks_begin(&mut self, key: ChannelKey, wanted: &Wanted) {
        let terminal = self.channels.facts(key).is_some_and(|facts| facts.terminal.is_some());
        if let Some(masks) = Masks::of(wanted, &self.detectors, terminal) {
            self.channels.mask(key);
            self.masks.push((key, masks));
        }
    }

    /// Data of a channel whose output is masked: what may leave now does.
    pub(super) fn pass_masked(
        &mut self,
        (key, stderr, bytes): (ChannelKey, bool, &[u8]),
        client: &mut Leg,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let (now_us, durability) = (stage.now.mono_us, self.durability);
        let Some(masks) = self.masks_of(key) else { return Ok(()) };
        let out = masks.push(stderr, bytes, now_us);
        let messages = self.shown(key, (stderr, &out), now_us);
        if let Some(run) = self.run(key).filter(|run| run.is_due(durability)) {
            run.flush(core, stage).map_err(record_fault)?;
        }
        let receipt = core.covered(stage);
        let permit = Permit::plumbing(Plumbing::Running);
        send_all(client, (permit, receipt), messages, core, stage);
        Ok(())
    }

    /// All that is held of a channel.
    fn unheld(&mut self, key: ChannelKey, stage: &Stage<'_>) -> Vec<Vec<u8>> {
        let now_us = stage.now.mono_us;
        let mut messages = Vec::new();
        for stderr in [false, true] {
            let Some(masks) = self.masks_of(key) else { return messages };
            let out = masks.flush(stderr);
            messages.extend(self.shown(key, (stderr, &out), now_us));
        }
        messages
    }

    fn shown(
        &mut self,
        key: ChannelKey,
        (stderr, bytes): (bool, &[u8]),
        now_us: u64,
    ) -> Vec<Vec<u8>> {
        if bytes.is_empty() {
            return Vec::new();
        }
        if let Some(run) = self.run(key) {
            run.output(stderr, bytes, now_us);
        }
        self.channels.release_output(key, stderr, bytes)
    }

    pub(super) fn masks_of(&mut self, key: ChannelKey) -> Option<&mut Masks> {
        let found = self.masks.iter_mut().find(|(channel, _)| *channel == key);
        found.map(|(_, masks)| masks)
    }

    /// Sends what is held of a channel, before another message of it.
    pub(super) fn send_held(
        &mut self,
        key: ChannelKey,
        client: &mut Leg,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let messages = self.unheld(key, stage);
        if messages.is_empty() {
            return Ok(());
        }
        self.flush(core, stage)?;
        let receipt = core.covered(stage);
        let permit = Permit::plumbing(Plumbing::Running);
        send_all(client, (permit, receipt), messages, core, stage);
        Ok(())
    }

    /// The channel is over: its rows of masks. What its own row says of them.
    pub(super) fn masks_end(
        &mut self,
        key: ChannelKey,
        seq: u64,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Refused> {
        let Some(index) = self.masks.iter().position(|(channel, _)| *channel == key) else {
            return Ok(!self.detectors.is_empty());
        };
        let (_, masks) = self.masks.swap_remove(index);
        masks.record(seq, core, stage)
    }

    /// When the first output that is held has to leave.
    pub(super) fn masks_due_us(&self) -> Option<u64> {
        self.masks.iter().filter_map(|(_, masks)| masks.due_us()).min()
    }
}

impl Machine {
    /// Output that was held long enough leaves; `all` of it if nothing will follow.
    pub(super) fn masks_due(&mut self, all: bool, stage: &mut Stage<'_>) -> Result<(), Fault> {
        // Then a value may be cut by what the target's program knows nothing of.
        let cut = self.target.as_ref().is_some_and(|leg| leg.transport.is_behind());
        let behind = !self.wants(End::Target(LegId::FIRST));
        let Machine { core, client, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let now_us = stage.now.mono_us;
        let Open { masks, channels, .. } = &mut **open;
        let mut due = Vec::new();
        for (key, masks) in masks {
            let is_due = masks.due_us().is_some_and(|due_us| all || due_us <= now_us);
            let blocked = match channels.output_used_up(*key) {
                Some(UsedUp::Unread) => Blocked::Behind,
                _ if behind => Blocked::Behind,
                Some(UsedUp::Small) => Blocked::Stuck,
                None if cut => Blocked::Stuck,
                None => Blocked::No,
            };
            if is_due && (all || masks.may_leave(blocked, now_us)) {
                due.push(*key);
            }
        }
        for key in due {
            open.send_held(key, client, core, stage)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Blocked, POSTPONED_MAX, Patience, is_binary};

    #[test]
    fn a_client_that_does_not_read_is_no_pause_of_the_targets() {
        for blocked in [Blocked::Stuck, Blocked::Behind] {
            let mut patience = Patience::default();
            assert!(patience.is_over(Blocked::No));
            assert!(!patience.is_over(blocked));
            assert!(!patience.is_over(Blocked::No), "once more, when it reads again");
            assert!(patience.is_over(Blocked::No));
        }
        let count = |blocked| {
            let mut patience = Patience::default();
            (0..1000).take_while(|_| !patience.is_over(blocked)).count()
        };
        assert_eq!(count(Blocked::Stuck), POSTPONED_MAX as usize + 1);
        assert_eq!(count(Blocked::Behind), 1000, "as long as it has to read");
    }

    #[test]
    fn what_is_no_text() {
        for (bytes, expect) in [
            (&b"plain\n"[..], false),
            (b"", false),
            (b"\0", false),
            (b"./a\0./b\0", false),
            (b"caf\xe9\n", false),
            (b"\x1b[1mbold\x07\n", false),
            (b"a\0\xc3", false),
            (b"\0\xff", true),
            (b"\x7fELF\x02\x01\x01\0\0", true),
            (b"\x1f\x8b\x08\0\0", true),
        ] {
            assert_eq!(is_binary(bytes), expect, "{bytes:?}");
        }
    }
}
