//! Commands that wait, and what became of those that did, as the control thread knows them.
//!
//! In: what shards say of asks. Out: pages of heads, whole asks, ends.
//! Never: a text that is copied for a list; more ends than a bound.
//!
//! Texts are here once: an ask is shared, and a list shows the beginning of it. The shards bound
//! how many there are and how large (`decide::approval::Asks`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::decide::approval::AskSummary;
use crate::limits;
use crate::record::SessionId;

/// A command that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The shard that holds it.
    pub shard: usize,
    /// What people see of it.
    pub ask: Arc<AskSummary>,
    /// Its digest, made once.
    pub digest: [u8; 32],
}

/// How an ask ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The ask, without its texts.
    pub id: SessionId,
    /// `approved`, `denied`, `expired`, `canceled`, `abandoned`, `superseded`, `refused`.
    pub event: &'static str,
    /// The session that asked.
    pub session_id: SessionId,
    /// Who had asked.
    pub user: String,
    /// Who may have had a say.
    pub approvers: Vec<String>,
    /// When, UTC microseconds.
    pub at_us: i64,
}

/// All of them. Ids begin with the time, so that their order is that of waiting.
#[derive(Debug, Default)]
pub struct Board {
    waiting: BTreeMap<SessionId, Waiting>,
    ended: VecDeque<Ended>,
}

impl Board {
    /// A command began to wait.
    pub fn open(&mut self, shard: usize, ask: AskSummary) -> Waiting {
        let digest = ask.digest();
        let waiting = Waiting { shard, ask: Arc::new(ask), digest };
        self.waiting.insert(waiting.ask.id, waiting.clone());
        waiting
    }

    /// It no longer waits.
    pub fn close(&mut self, id: SessionId, event: &'static str, at_us: i64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if self.ended.len() >= limits::ASKS_REMEMBERED_MAX {
            self.ended.pop_front();
        }
        let AskSummary { session_id, user, approvers, .. } = &*waiting.ask;
        let (user, approvers) = (user.clone(), approvers.clone());
        self.ended.push_back(Ended { id, event, session_id: *session_id, user, approvers, at_us });
        Some(waiting)
    }

    /// One that waits.
    pub fn get(&self, id: SessionId) -> Option<Waiting> {
        self.waiting.get(&id).cloned()
    }

    /// How one ended, if it is not long ago.
    pub fn ended(&self, id: SessionId) -> Option<&Ended> {
        self.ended.iter().rev().find(|ended| ended.id == id)
    }

    /// When the oldest began to wait, UTC microseconds.
    pub fn oldest_us(&self) -> Option<i64> {
        self.waiting.values().next().map(|waiting| waiting.ask.requested_at_us)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Up to `most` that the caller may see, behind `after`, oldest first; and whether there are
    /// more.
    pub fn page(
        &self,
        after: Option<SessionId>,
        most: usize,
        seen: impl Fn(&AskSummary) -> bool,
    ) -> (Vec<Waiting>, bool) {
        let behind = (
            after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
            std::ops::Bound::Unbounded,
        );
        let all = self.waiting.range::<SessionId, _>(behind);
        let mut page: Vec<Waiting> = (all.map(|(_, waiting)| waiting))
            .filter(|waiting| seen(&waiting.ask))
            .take(most.saturating_add(1))
            .cloned()
            .collect();
        let more = page.len() > most;
        page.truncate(most);
        (page, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SessionId {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        SessionId(bytes)
    }

    #[test]
    fn pages_follow_each_other_and_leave_nothing_out() {
        let mut board = Board::default();
        for number in (0..25).rev() {
            let user = if number % 5 == 0 { "eve" } else { "ann" };
            let user = user.to_owned();
            board.open(0, AskSummary { id: id(number), user, ..AskSummary::default() });
        }
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let (page, more) = board.page(after, 6, |ask| ask.user == "ann");
            found.extend(page.iter().map(|waiting| waiting.ask.id));
            after = found.last().copied();
            assert_eq!(more, page.len() == 6 && found.len() < 20);
            if !more {
                break;
            }
        }
        let expect: Vec<_> = (0..25).filter(|number| number % 5 != 0).map(id).collect();
        assert_eq!(found, expect);
        assert!(board.close(id(3), "denied", 9).is_some());
        assert!(board.close(id(3), "expired", 9).is_none(), "it ends once");
        assert_eq!(board.ended(id(3)).map(|ended| ended.event), Some("denied"));
        assert_eq!(board.len(), 24);
    }

    #[test]
    fn ends_are_forgotten_at_the_bound() {
        let mut board = Board::default();
        let count = limits::ASKS_REMEMBERED_MAX as u32 + 10;
        for number in 0..count {
            board.open(0, AskSummary { id: id(number), ..AskSummary::default() });
            board.close(id(number), "expired", 0);
        }
        assert_eq!(board.ended.len(), limits::ASKS_REMEMBERED_MAX);
        assert!(board.ended(id(9)).is_none() && board.ended(id(10)).is_some());
    }
}
