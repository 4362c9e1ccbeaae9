//! Which targets can be connected to, as far as the sessions of this shard have tried.
//!
//! In: what came of attempts. Out: whether the control thread should hear of it. Never: a message
//! for each attempt; a target that was down at another shard is up for all when one reaches it, so
//! that it is up is said again now and then.

use std::collections::HashMap;

use crate::fault::Target;

/// What was said last, by the target's index.
#[derive(Debug, Default)]
pub struct Outages {
    said: HashMap<usize, Said>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Down(Target),
    Up { at_us: u64 },
}

/// How often it is said that a target is up.
const UP_EVERY_US: u64 = 10_000_000;

impl Outages {
    /// Takes what came of an attempt; whether that is news.
    pub fn note(&mut self, target: usize, failure: Option<Target>, now_us: u64) -> bool {
        let said = match failure {
            Some(why) => Said::Down(why),
            None => Said::Up { at_us: now_us },
        };
        let is_news = match (self.said.get(&target), said) {
            (Some(Said::Up { at_us }), Said::Up { .. }) => {
                now_us.saturating_sub(*at_us) >= UP_EVERY_US
            }
            (before, said) => before != Some(&said),
        };
        if is_news {
            self.said.insert(target, said);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_news_and_repetitions_are_not() {
        let mut outages = Outages::default();
        assert!(outages.note(0, None, 0), "another shard may have said that it is down");
        assert!(!outages.note(0, None, 1));
        assert!(outages.note(0, Some(Target::Connect), 2));
        assert!(!outages.note(0, Some(Target::Connect), 3));
        assert!(outages.note(0, Some(Target::Timeout), 4));
        assert!(outages.note(1, Some(Target::Timeout), 4));
        assert!(outages.note(0, None, 5));
        assert!(!outages.note(0, None, 4 + UP_EVERY_US));
        assert!(outages.note(0, None, 5 + UP_EVERY_US));
    }
}
