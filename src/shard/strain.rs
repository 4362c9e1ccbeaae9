//! What a shard has too little of, told now and then.
//!
//! In: each time that it was short of something. Out: whether the control thread should hear of it,
//! with how often it happened. Never: a message for each time: those who flood decide how often.

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// Places for sessions.
    Sessions,
    /// File descriptors, or what else an accept needs.
    Descriptors,
    /// Room in the journal for answers of commands that run.
    Journal,
}

/// What was told, by kind.
#[derive(Debug, Default)]
pub struct Strains([Told; 3]);

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at_us: Option<u64>,
    times: u64,
}

/// Between two that tell of the same.
const EVERY_US: u64 = 60_000_000;

impl Strains {
    /// Counts one; now and then gives how many there were since it did so before.
    pub fn note(&mut self, strain: Strain, now_us: u64) -> Option<u64> {
        let told = &mut self.0[strain as usize];
        told.times += 1;
        let is_due = told.at_us.is_none_or(|at_us| now_us >= at_us + EVERY_US);
        is_due.then(|| {
            told.at_us = Some(now_us);
            std::mem::take(&mut told.times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_minute_with_its_size() {
        let mut strains = Strains::default();
        assert_eq!(strains.note(Strain::Sessions, 5), Some(1));
        let again = (1..1_000).filter_map(|at_us| strains.note(Strain::Sessions, at_us));
        assert_eq!(again.count(), 0);
        assert_eq!(strains.note(Strain::Descriptors, 5), Some(1), "each has its own");
        assert_eq!(strains.note(Strain::Sessions, 5 + EVERY_US), Some(1_000));
    }
}
