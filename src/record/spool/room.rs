//! Who may still write when a segment ends and the next one has not come.
//!
//! In: how much is left. Out: whose bytes are to wait, what an entry leaves to others.
//! Never: a command that runs and has no room for its answer, while new ones take it.

use super::{RESERVE_BYTES, Spool};
use crate::clock::Now;
use crate::limits::JOURNAL_WAIT_US_MAX;
use crate::record::entry::{Decision, Entry, Outcome};

/// Which peers should be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// All.
    Enough,
    /// None: little room is left and the next segment is about to come.
    Soon,
    /// Only those whose bytes belong to no command that runs: new commands are refused, and what
    /// has to be recorded of those that run has no place yet.
    None,
}

/// What an entry is of, and so how much it leaves to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A new command, a new session.
    New,
    /// What runs already.
    Running,
    /// What does not run.
    Denied,
    /// How things end, and why.
    Last,
}

impl Need {
    pub fn of(entry: &Entry<'_>) -> Need {
        match entry {
            Entry::SessionEnd(_) | Entry::Event(_) => Need::Last,
            Entry::Command(command)
                if matches!(command.decision, Decision::Deny | Decision::Abandoned) =>
            {
                Need::Denied
            }
            Entry::Response(response)
                if matches!(response.outcome, Outcome::Denied | Outcome::Abandoned) =>
            {
                Need::Denied
            }
            Entry::Command(_) | Entry::SessionStart(_) => Need::New,
            _ => Need::Running,
        }
    }
}

impl Spool {
    /// Whose bytes find room. Nobody is read while the next segment is about to come, since the
    /// sealer is behind or the segment is being made; for at most `JOURNAL_WAIT_US_MAX`, and not
    /// where the disk is full. After that new commands are refused, and answers wait until there is
    /// room again or `answer_wait_us` is over.
    pub fn room(&mut self, now: Now) -> Room {
        let left = self.frames_end.saturating_sub(self.open.at);
        let mut is_enough = left > SHORT_BYTES.min(self.frames_end / 2);
        if !is_enough {
            self.fetch_next();
            is_enough = self.next.is_some();
        }
        if is_enough {
            (self.short_since_us, self.none_since_us) = (None, None);
            return Room::Enough;
        }
        let since_us = *self.short_since_us.get_or_insert(now.mono_us);
        let is_stuck = self.refusing.is_some() || self.pool.is_in_trouble();
        if !is_stuck && now.mono_us < since_us + JOURNAL_WAIT_US_MAX {
            return Room::Soon;
        }
        if left > RESERVE_BYTES + ANSWERS_BYTES.min(self.running_bytes() / 2) {
            return Room::Enough;
        }
        let since_us = *self.none_since_us.get_or_insert(now.mono_us);
        if now.mono_us < since_us + self.answer_wait_us { Room::None } else { Room::Enough }
    }

    fn running_bytes(&self) -> usize {
        RUNNING_BYTES.min((self.frames_end - RESERVE_BYTES) / RUNNING_PART)
    }

    /// What an entry leaves at the end of the segment.
    pub(super) fn reserve(&self, need: Need) -> usize {
        match need {
            Need::New => RESERVE_BYTES + self.running_bytes(),
            Need::Running => RESERVE_BYTES,
            Need::Denied => RESERVE_BYTES / 2,
            Need::Last => 0,
        }
    }
}

/// With less than this left, peers wait until the next segment has come.
const SHORT_BYTES: usize = 8 << 20;
/// Before it, what only commands that run already may use, and one in so many of what there is.
const RUNNING_BYTES: usize = 4 << 20;
const RUNNING_PART: usize = 4;
/// With less left for answers, they wait. One reading of a target fits: it is far smaller.
const ANSWERS_BYTES: usize = RUNNING_BYTES / 2;
