//! Deadlines of sessions, in order.
//!
//! In: deadlines per token. Out: tokens whose deadline has passed, and the next deadline.
//! Never: an entry per command. A session keeps at most one entry that is early enough; when it
//! comes up the session says whether it is due or has moved.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ring::Token;

/// All deadlines of a shard.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, Token)>>,
}

impl Timers {
    /// Wakes `token` at `at_us`. `scheduled_us` is the session's earliest entry; it is kept when
    /// it is early enough.
    pub fn arm(&mut self, token: Token, at_us: Option<u64>, scheduled_us: &mut Option<u64>) {
        let Some(at_us) = at_us else { return };
        if scheduled_us.is_none_or(|scheduled| at_us < scheduled) {
            self.heap.push(Reverse((at_us, token)));
            *scheduled_us = Some(at_us);
        }
    }

    /// The next token that is due, with the deadline it was armed for.
    pub fn pop_due(&mut self, now_us: u64) -> Option<(u64, Token)> {
        let &Reverse((at_us, _)) = self.heap.peek()?;
        if at_us > now_us {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the next one is due.
    pub fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|&Reverse((at_us, _))| at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_later_ones_are_not_pushed_again() {
        let token = |slot| Token { slot, generation: 1 };
        let mut timers = Timers::default();
        let mut first = None;
        timers.arm(token(1), Some(50), &mut first);
        timers.arm(token(1), Some(70), &mut first);
        timers.arm(token(1), None, &mut first);
        assert_eq!(timers.heap.len(), 1);
        timers.arm(token(2), Some(40), &mut None);
        timers.arm(token(1), Some(30), &mut first);
        assert_eq!(first, Some(30));
        assert_eq!(timers.next_us(), Some(30));
        assert_eq!(timers.pop_due(29), None);
        assert_eq!(timers.pop_due(45), Some((30, token(1))));
        assert_eq!(timers.pop_due(45), Some((40, token(2))));
        assert_eq!(timers.pop_due(45), None);
        assert_eq!(timers.pop_due(50), Some((50, token(1))));
    }
}
