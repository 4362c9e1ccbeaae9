//! What of a session was shown, so that a replay that goes on shows the rest of it.
//!
//! In: the stories of a look at the record. Out: the moments of them that were not shown yet.
//! Never: a moment twice; one that says something to be missing that may still come.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::{Moment, Story};

/// Between two looks at a session that lives.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How far a replay has come.
pub(super) struct Progress {
    /// Commands of one session run one after the other: none is shown before the one before it is
    /// over. Where several run at once, moments come by their time.
    in_turn: bool,
    /// Of stories that go on: what was shown, and how often.
    partly: BTreeMap<i64, BTreeMap<u64, usize>>,
    /// Stories that are over and shown, behind one that is not.
    done: BTreeSet<i64>,
    /// All before this one are over and shown.
    from_seq: i64,
}

impl Progress {
    /// Nothing was shown of a session of this protocol.
    pub fn new(protocol: &str) -> Progress {
        let in_turn = protocol == "postgresql";
        Progress { in_turn, partly: BTreeMap::new(), done: BTreeSet::new(), from_seq: i64::MIN }
    }

    /// The first command that may have something new.
    pub const fn next_seq(&self) -> i64 {
        self.from_seq
    }

    /// What of these was not shown yet. `goes_on`: the session may record more.
    pub fn moments(
        &mut self,
        stories: Vec<Story>,
        goes_on: bool,
        moments_of: fn(&Story) -> Vec<Moment>,
        is_wanted: &impl Fn(&Story) -> bool,
    ) -> Vec<Moment> {
        let mut together = Vec::new();
        let mut all_over = true;
        for mut story in stories {
            let seq = story.command.common.seq;
            if self.done.contains(&seq) {
                self.over(seq, all_over);
                continue;
            }
            story.goes_on = goes_on && !story.is_over();
            if is_wanted(&story) {
                together.extend(self.fresh(&story, moments_of(&story)));
            }
            if story.goes_on {
                if all_over {
                    self.from_seq = seq;
                }
                all_over = false;
                if self.in_turn {
                    break;
                }
            } else {
                self.over(seq, all_over);
            }
        }
        if !self.in_turn {
            together.sort_by_key(|moment| moment.at_us);
        }
        together
    }

    fn over(&mut self, seq: i64, all_over: bool) {
        self.partly.remove(&seq);
        if all_over {
            self.from_seq = seq + 1;
            self.done.retain(|done| *done > seq);
        } else {
            self.done.insert(seq);
        }
    }

    /// A piece that comes late may stand before others, so they are known by what they are and not
    /// by their place.
    fn fresh(&mut self, story: &Story, moments: Vec<Moment>) -> Vec<Moment> {
        let seq = story.command.common.seq;
        let mut before = self.partly.remove(&seq).unwrap_or_default();
        let mut now: BTreeMap<u64, usize> = BTreeMap::new();
        let mut fresh = Vec::new();
        for moment in moments {
            let key = key(&moment);
            if story.goes_on {
                *now.entry(key).or_default() += 1;
            }
            match before.get_mut(&key).filter(|left| **left > 0) {
                Some(left) => *left -= 1,
                None => fresh.push(moment),
            }
        }
        if story.goes_on {
            self.partly.insert(seq, now);
        }
        fresh
    }
}

fn key(moment: &Moment) -> u64 {
    let mut hasher = DefaultHasher::new();
    (moment.stream as u8, &moment.text, moment.size, moment.is_typed).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::replay::{Stream, http};
    use crate::record::lake::{ChunkRow, CommandRow, Common, ResponseRow};

    fn event(chunk_no: i32, ts_us: i64, text: &str) -> ChunkRow {
        ChunkRow {
            common: Common { ts_us, ..Common::default() },
            stream: 1,
            chunk_no,
            encoding: "http-content".into(),
            payload: text.into(),
            ..ChunkRow::default()
        }
    }

    fn request(seq: i64, chunks: Vec<ChunkRow>, is_over: bool) -> Story {
        let response = ResponseRow { status: Some(200), ..ResponseRow::default() };
        let command = CommandRow {
            common: Common { seq, ts_us: 100 * seq, ..Common::default() },
            query_text: format!("GET /{seq} HTTP/1.1\r\n"),
            decision: "allow".into(),
            response: is_over.then(|| Box::new(response)),
            ..CommandRow::default()
        };
        Story { command, approvals: Vec::new(), chunks, goes_on: false }
    }

    fn look(progress: &mut Progress, stories: Vec<Story>, goes_on: bool) -> Vec<String> {
        let moments = progress.moments(stories, goes_on, http::moments, &|_| true);
        assert!(moments.iter().all(|moment| moment.stream != Stream::Weir), "{moments:?}");
        moments.into_iter().map(|moment| moment.text).collect()
    }

    #[test]
    fn a_stream_is_shown_while_it_runs_and_others_beside_it() {
        let tick = |no| event(no, 200 + 100 * i64::from(no), "tick\n");
        let mut progress = Progress::new("http");
        let stories = vec![request(1, vec![tick(0), tick(1)], false)];
        // Its status is recorded at its end.
        let expect = ["GET /1 HTTP/1.1\n\n", "tick\n", "tick\n"];
        assert_eq!(look(&mut progress, stories, true), expect);
        assert_eq!(progress.next_seq(), 1);
        // The same again shows nothing; what else ran is shown once.
        let other = || request(2, Vec::new(), true);
        let answered = ["GET /2 HTTP/1.1\n\n", "HTTP 200\n\n"];
        let stories = || vec![request(1, vec![tick(0), tick(1)], false), other()];
        assert_eq!(look(&mut progress, stories(), true), answered);
        assert!(look(&mut progress, stories(), true).is_empty());
        let stories = vec![request(1, vec![tick(0), tick(1), tick(2)], true), other()];
        assert_eq!(look(&mut progress, stories, true), ["HTTP 200\n\n", "tick\n"]);
        assert_eq!(progress.next_seq(), 3);
        assert!(progress.partly.is_empty() && progress.done.is_empty());
    }
}
