//! What a shard measures of each target: commands, bytes, durations of the stages.
//!
//! In: events of one shard. Out: numbers that the control thread reads while the shard works.
//! Never: a label of a peer; a clock read for every command; memory that grows with the load.
//!
//! The numbers are atomics that only the shard writes, with plain loads and stores. Asking the
//! shard for them by a message would wake it, make it copy, and say nothing when it hangs.

use std::sync::{Arc, OnceLock};

use super::Counter;
use super::histogram::Histogram;

/// Monotonic nanoseconds. A function, because the stages that are measured have no clock.
pub type Clock = fn() -> u64;

/// What was said to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
    /// People are asked.
    Hold,
}

impl Counted {
    /// All of them.
    pub const ALL: [Counted; 3] = [Counted::Allow, Counted::Deny, Counted::Hold];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Counted::Allow => "allow",
            Counted::Deny => "deny",
            Counted::Hold => "hold",
        }
    }
}

/// A stage whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// Understanding a message and asking the rules. One in `SAMPLE_EVERY`.
    Decide,
    /// Bytes that wait for the disk, in `sync` mode.
    JournalWait,
    /// A command, from its admission to the end of its answer.
    Target,
    /// Masking the rows of one answer. One answer in `SAMPLE_EVERY`.
    Mask,
    /// An answer that waits for room in the client's socket.
    ClientWait,
}

impl Timed {
    /// The word for it, without a unit.
    pub fn name(self) -> &'static str {
        match self {
            Timed::Decide => "decide",
            Timed::JournalWait => "journal_wait",
            Timed::Target => "target",
            Timed::Mask => "mask",
            Timed::ClientWait => "client_wait",
        }
    }
}

/// A stage and, where it has one, the verdict: one histogram.
pub type Series = (Timed, Option<Counted>);

/// All histograms of a target. A denied command is never forwarded.
pub const SERIES: [Series; 8] = [
    (Timed::Decide, Some(Counted::Allow)),
    (Timed::Decide, Some(Counted::Deny)),
    (Timed::Decide, Some(Counted::Hold)),
    (Timed::Target, Some(Counted::Allow)),
    (Timed::Target, Some(Counted::Hold)),
    (Timed::JournalWait, None),
    (Timed::Mask, None),
    (Timed::ClientWait, None),
];

/// Stages shorter than a turn are measured once in so many times.
pub const SAMPLE_EVERY: u64 = 64;

/// One target on one shard.
#[derive(Debug)]
pub struct TargetMeter {
    /// Sessions that are logged in.
    pub connections: Counter,
    /// Commands that wait for people.
    pub held: Counter,
    /// Commands that were allowed, denied, held; by `Counted::ALL`.
    pub commands: [Counter; 3],
    /// Bytes received from clients.
    pub bytes_in: Counter,
    /// Bytes for clients.
    pub bytes_out: Counter,
    /// Which decisions are measured.
    pub decisions: Sampler,
    /// Which masked answers are measured.
    pub masked: Sampler,
    durations: [Histogram; SERIES.len()],
    clock: Clock,
}

impl TargetMeter {
    fn new(clock: Clock) -> TargetMeter {
        TargetMeter {
            connections: Counter::default(),
            held: Counter::default(),
            commands: Default::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            decisions: Sampler::default(),
            masked: Sampler::default(),
            durations: Default::default(),
            clock,
        }
    }

    /// Monotonic nanoseconds.
    pub fn now_ns(&self) -> u64 {
        (self.clock)()
    }

    /// Counts a command.
    pub fn count(&self, verdict: Counted) {
        if let Some(counter) = self.commands.get(verdict as usize) {
            counter.add(1);
        }
    }

    /// Counts a duration. A series that does not exist counts nothing.
    pub fn record(&self, series: Series, us: u64) {
        if let Some(histogram) = self.histogram(series) {
            histogram.record(us);
        }
    }

    /// The durations of a series.
    pub fn histogram(&self, series: Series) -> Option<&Histogram> {
        let index = SERIES.iter().position(|known| *known == series)?;
        self.durations.get(index)
    }
}

/// Says yes once in `SAMPLE_EVERY` times: once in each block of so many, at a place that moves
/// from block to block. A fixed step would always meet the same command of a load that repeats.
#[derive(Debug, Default)]
pub struct Sampler {
    /// No so many times before the next yes.
    left: Counter,
    block: Counter,
}

impl Sampler {
    /// Whether this one is measured, on the shard's thread.
    pub fn is_due(&self) -> bool {
        let left = self.left.get();
        if left > 0 {
            self.left.set(left - 1);
            return false;
        }
        let block = self.block.get();
        self.block.set(block + 1);
        self.left.set(SAMPLE_EVERY + place(block + 1) - place(block) - 1);
        true
    }
}

/// The place in a block; the factor is odd, so that all places come up in turn.
fn place(block: u64) -> u64 {
    block.wrapping_mul(37) % SAMPLE_EVERY
}

/// All targets of one shard, by their index in the settings. Targets are added by a reload and
/// keep their index, so there is no bound; a target costs memory once somebody logs in there.
#[derive(Debug)]
pub struct Meters {
    clock: Clock,
    first: Page,
}

/// Targets that stay where they are while others are added.
#[derive(Debug, Default)]
struct Page {
    targets: [OnceLock<Arc<TargetMeter>>; PAGE_TARGETS],
    next: OnceLock<Box<Page>>,
}

const PAGE_TARGETS: usize = 16;

impl Meters {
    /// Meters that nothing has happened to.
    pub fn new(clock: Clock) -> Meters {
        Meters { clock, first: Page::default() }
    }

    /// The meter of a target, made if there is none; at logins, on the shard's thread.
    pub fn target(&self, index: usize) -> Arc<TargetMeter> {
        let (mut page, mut at) = (&self.first, index);
        loop {
            match page.targets.get(at) {
                Some(slot) => {
                    return Arc::clone(slot.get_or_init(|| Arc::new(TargetMeter::new(self.clock))));
                }
                None => at -= PAGE_TARGETS,
            }
            page = page.next.get_or_init(Box::default);
        }
    }

    /// The same, if there is one; on any thread.
    pub fn get(&self, index: usize) -> Option<&TargetMeter> {
        let (mut page, mut at) = (&self.first, index);
        loop {
            match page.targets.get(at) {
                Some(slot) => return slot.get().map(Arc::as_ref),
                None => at -= PAGE_TARGETS,
            }
            page = page.next.get()?;
        }
    }
}

/// A gauge that is one higher for as long as this lives; made and dropped on the shard's thread.
#[derive(Debug)]
pub struct Presence {
    meter: Arc<TargetMeter>,
    gauge: fn(&TargetMeter) -> &Counter,
}

impl Presence {
    /// Something is there.
    pub fn new(meter: Arc<TargetMeter>, gauge: fn(&TargetMeter) -> &Counter) -> Presence {
        gauge(&meter).add(1);
        Presence { meter, gauge }
    }

    /// Whose gauge it is.
    pub fn meter(&self) -> &Arc<TargetMeter> {
        &self.meter
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let gauge = (self.gauge)(&self.meter);
        gauge.set(gauge.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_each_block_is_measured_and_no_rhythm_hides_from_it() {
        let sampler = Sampler::default();
        let due: Vec<u64> = (0..SAMPLE_EVERY * 64).filter(|_| sampler.is_due()).collect();
        let blocks: Vec<u64> = due.iter().map(|at| at / SAMPLE_EVERY).collect();
        assert_eq!(blocks, (0..64).collect::<Vec<u64>>());
        assert_eq!(due[0], 0, "the first one is measured");
        for period in [2, 4, 7, 64] {
            for phase in 0..period {
                assert!(due.iter().any(|at| at % period == phase), "{phase} of {period}");
            }
        }
    }

    #[test]
    fn targets_are_found_again_however_many_there_are() {
        let meters = Meters::new(|| 0);
        assert!(meters.get(3).is_none());
        assert!(meters.get(300).is_none());
        for index in [0, 3, 15, 16, 300] {
            meters.target(index).bytes_in.set(index as u64 + 1);
        }
        for index in [0, 3, 15, 16, 300] {
            assert_eq!(meters.target(index).bytes_in.get(), index as u64 + 1);
            assert_eq!(meters.get(index).unwrap().bytes_in.get(), index as u64 + 1);
        }
        assert!(meters.get(17).is_none());
    }

    #[test]
    fn what_is_gone_is_not_counted() {
        let meter = Meters::new(|| 0).target(0);
        let one = Presence::new(Arc::clone(&meter), |it| &it.held);
        let two = Presence::new(Arc::clone(&meter), |it| &it.held);
        assert_eq!(meter.held.get(), 2);
        drop(one);
        assert_eq!(meter.held.get(), 1);
        drop(two);
        assert_eq!(meter.held.get(), 0);
    }

    #[test]
    fn each_series_has_a_histogram_of_its_own() {
        let meter = Meters::new(|| 0).target(0);
        for (index, series) in SERIES.into_iter().enumerate() {
            (0..=index).for_each(|_| meter.record(series, 5));
        }
        for (index, series) in SERIES.into_iter().enumerate() {
            let mut reading = super::super::Reading::default();
            reading.add(meter.histogram(series).unwrap());
            assert_eq!(reading.count(), index as u64 + 1, "{series:?}");
        }
        meter.record((Timed::Target, Some(Counted::Deny)), 5);
    }
}
