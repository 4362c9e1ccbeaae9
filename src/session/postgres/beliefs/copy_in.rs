//! COPY FROM STDIN: which of the client's messages the target reads as data, and which as commands.
//!
//! In: the ends and Syncs of COPY data, the target's word on the COPY. Out: what is still owed.
//! Never: a command behind a Sync of which nobody can say whether it ended a failed pipeline.
//!
//! While it copies in, the target drops every Sync. A COPY that fails stops reading data at the
//! message it failed at; a Sync behind that message is answered by a ReadyForQuery of its own. Only
//! the target knows where that was, and it says so by no more than the count of its answers:
//!
//! ```text
//!   COPY d d(bad) Sync d c Query      E Z  Z  T D C Z       the Sync was behind the failure
//!   COPY Sync d d(bad) c Query        E Z     T D C Z       the Sync was data
//! ```
//!
//! So such a Sync is owed in doubt. A ReadyForQuery is taken for the answer to a Sync that is owed
//! for certain first, then for one in doubt; any other message says that no more of them come.

use crate::session::postgres::state::{Epoch, Expect};

use super::{Beliefs, Due};

/// Whether a message may be handed on, as far as a COPY before it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Now,
    /// Not before the target has said how the COPY ended.
    Later,
    /// The COPY has failed, and nothing will tell whether the target skips what follows.
    Never,
}

impl Beliefs {
    /// A Sync of the client.
    pub(super) fn sync_sent(&mut self) {
        if !self.copy_in {
            self.due.push_back(Expect::Sync(self.epoch));
            self.epoch += 1;
        } else if let Some(Expect::CopySync(count)) = self.due.back_mut() {
            *count += 1;
        } else {
            self.due.push_back(Expect::CopySync(1));
        }
    }

    /// CopyDone or CopyFail of the client.
    pub(super) fn copy_data_ended(&mut self) {
        self.copy_in = false;
        let doubtful = matches!(self.due.back(), Some(Expect::Sync(_) | Expect::CopySync(_)));
        if let Some(Expect::CopyEnd { count, .. }) = self.due.back_mut() {
            *count += 1;
        } else {
            self.due.push_back(Expect::CopyEnd { count: 1, doubtful });
        }
    }

    /// Whether a command may follow what was sent. Behind a COPY with a Sync among its data and
    /// none at its end, a command runs or is skipped, depending on whether the COPY failed before
    /// that Sync.
    pub fn turn(&self) -> Turn {
        if !matches!(self.due.back(), Some(Expect::CopyEnd { doubtful: true, .. })) {
            return Turn::Now;
        }
        match self.skipping {
            _ if self.leftovers() < self.due.len() => Turn::Later,
            false => Turn::Now,
            true => Turn::Never,
        }
    }

    /// CopyInResponse.
    pub(super) fn copy_in_begins(&mut self) {
        let end = self.due.iter().position(|due| matches!(due, Expect::CopyEnd { .. }));
        for due in self.due.iter_mut().take(end.unwrap_or(usize::MAX)) {
            if let Expect::Sync(_) = due {
                *due = Expect::CopySync(1);
            }
        }
        self.copy_in = end.is_none();
        self.copying = true;
    }

    /// CopyBothResponse, which the target answers to a command of replication: both sides send
    /// until both have said that they are done.
    pub fn copy_both_begins(&mut self) {
        self.copy_in = true;
    }

    /// A command of the target is complete; if it was a COPY, which is returned, every Sync up to
    /// its end was data.
    pub(super) fn copy_in_succeeded(&mut self) -> bool {
        self.copy_in = false;
        if !std::mem::replace(&mut self.copying, false) {
            return false;
        }
        let mut index = 0;
        while let Some(due) = self.due.get_mut(index) {
            match due {
                Expect::CopySync(_) => {
                    self.due.remove(index);
                }
                Expect::CopyEnd { count, .. } if *count > 1 => {
                    *count -= 1;
                    break;
                }
                Expect::CopyEnd { .. } => {
                    self.due.remove(index);
                    break;
                }
                _ => index += 1,
            }
        }
        true
    }

    /// A command of the target failed; returns whether it was such a COPY.
    pub(super) fn copy_in_failed(&mut self) -> bool {
        self.copy_in = false;
        std::mem::replace(&mut self.copying, false)
    }

    /// How many of the next expectations may stay without an answer.
    pub(super) fn leftovers(&self) -> usize {
        self.due.iter().take_while(|due| is_copy(due)).count()
    }

    /// The target says something that answers no Sync: none in doubt is answered any more.
    pub(super) fn drop_leftovers(&mut self) {
        while self.due.front().is_some_and(is_copy) {
            self.due.pop_front();
        }
    }

    /// Takes a ReadyForQuery for the answer to a Sync around COPY data that failed; `None` when no
    /// Sync is in doubt.
    pub(super) fn answered_copy_sync(&mut self) -> Option<Epoch> {
        let leftovers = self.leftovers();
        let doubt = self.due.iter().take(leftovers).position(|d| matches!(d, Expect::CopySync(_)));
        let doubt = doubt?;
        if let Some(Expect::Sync(epoch)) = self.due.get(leftovers) {
            let epoch = *epoch;
            self.due.remove(leftovers);
            return Some(epoch);
        }
        if let Some(Expect::CopySync(count)) = self.due.get_mut(doubt)
            && *count > 1
        {
            *count -= 1;
        } else {
            self.due.remove(doubt);
        }
        // Answered, it has ended the failed pipeline.
        (self.skipping, self.skip_ends) = (false, false);
        Some(self.oldest_epoch())
    }
}

fn is_copy(due: &Due) -> bool {
    matches!(due, Expect::CopySync(_) | Expect::CopyEnd { .. })
}
