use super::*;
use crate::limits::{FLUSH_US, FLUSH_US_DEFAULT};
use crate::record::Journal;
use crate::record::testing::{Folder, context, now, response, spool, wait_until};

/// After some flushes of 100 us that released `released` sessions each.
fn after(released: usize) -> Flushes {
    let mut flushes = Flushes::new(FLUSH_US_DEFAULT);
    for round in 0..64 {
        flushes.begin(Some(0), round * 1_000);
        flushes.end(released, round * 1_000 + 100);
    }
    flushes
}

#[test]
fn one_session_does_not_wait_for_others() {
    let mut flushes = after(1);
    assert!(flushes.is_due(1, 100_000));
}

#[test]
fn many_sessions_gather_for_a_moment() {
    let mut flushes = after(40);
    assert!(!flushes.is_due(1, 100_000));
    assert!(!flushes.is_due(19, 100_010));
    assert!(flushes.is_due(20, 100_020), "half of them are there");
    let mut slow = after(40);
    assert!(!slow.is_due(1, 100_000));
    let next_us = slow.next_us().expect("a session waits");
    assert!((100_080..=100_100).contains(&next_us), "{next_us}");
    assert!(slow.is_due(1, next_us), "not longer than a flush takes");
}

#[test]
fn fewer_sessions_are_noticed() {
    let mut flushes = after(64);
    for round in 0..30 {
        flushes.begin(Some(0), 100_000 + round);
        flushes.end(1, 100_000 + round);
    }
    assert!(flushes.is_due(1, 200_000));
}

#[test]
fn without_entries_there_is_nothing_to_wake_up_for() {
    let mut flushes = after(1);
    flushes.look(500, 500, 100_000);
    assert_eq!((flushes.next_us(), flushes.oldest_us()), (None, None));
    flushes.look(501, 500, 200_000);
    assert_eq!(flushes.oldest_us(), Some(200_000));
    let next_us = flushes.next_us().expect("an entry is not on the disk");
    assert!((280_000..=300_000).contains(&next_us), "{next_us}");
    assert!(!flushes.is_due(0, next_us - 1));
    assert!(flushes.is_due(0, next_us));
    flushes.begin(Some(501), next_us);
    assert_eq!((flushes.next_us(), flushes.oldest_us()), (None, Some(200_000)));
    flushes.end(0, next_us + 100);
    flushes.look(501, 501, next_us + 100);
    assert_eq!((flushes.next_us(), flushes.oldest_us()), (None, None));
}

#[test]
fn much_is_flushed_before_its_time() {
    let mut flushes = Flushes::new(FLUSH_US_DEFAULT);
    flushes.look(FLUSH_BYTES - 1, 0, 1_000);
    assert!(!flushes.is_due(0, 1_000));
    flushes.look(FLUSH_BYTES, 0, 1_001);
    assert!(flushes.is_due(0, 1_001));
}

#[test]
fn a_journal_that_cannot_be_flushed_is_asked_again_and_not_at_once() {
    let mut flushes = Flushes::new(FLUSH_US_DEFAULT);
    flushes.look(10, 0, 1_000);
    assert!(flushes.is_due(0, 101_000));
    flushes.begin(None, 101_000);
    flushes.look(10, 0, 101_000);
    assert!(!flushes.is_due(0, 101_001));
    assert_eq!(flushes.next_us(), Some(201_000));
}

/// The next number of a xorshift generator, below `max`.
fn random(state: &mut u64, max: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % max
}

/// A shard as `core` runs it, on a disk that takes its time. The power may be cut at any time, and
/// each time is looked at: what the disk has then has to reach to `flush` before it, and to the
/// journal's end but for `FLUSH_BYTES`, whatever came when. In half of the rounds sessions wait for
/// the disk now and then; segments are small, so that flushes of two of them are due together.
fn cut_at_any_time(seed: u64, flush_us: u64) {
    let state = &mut (seed | 1);
    let folder = Folder::new();
    let (mut spool, _sealed, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    let mut flushes = Flushes::new(flush_us);
    // The disk takes at most a tenth of the interval.
    let takes_us_max = flush_us / 10;
    let mut job = None;
    let (mut ends_us, mut now_us) = (0, 0);
    // Entries by when they were written, and where the journal ended after them.
    let mut entries = std::collections::VecDeque::new();
    // What flushes take is learned from the first ones.
    flushes.slowest_us = takes_us_max;
    for step in 1..2_000 {
        let gap_us =
            if random(state, 50) == 0 { flush_us * 3 } else { random(state, flush_us / 4) };
        let entry_us = now_us + gap_us;
        // The shard sleeps until the entry, but for the times it asked for.
        loop {
            let asked_us = if job.is_some() { Some(ends_us) } else { flushes.next_us() };
            now_us = asked_us.filter(|at| *at < entry_us).unwrap_or(entry_us).max(now_us);
            if let Some(done) = job.take_if(|_| now_us >= ends_us) {
                flushes.end(0, now_us);
                ShardJournal::synced(&mut spool, done, Ok(()));
            }
            if now_us == entry_us {
                // The next segment is made by a thread that has no part in this clock.
                wait_until("room", || {
                    spool.append(session, step, now(now_us), &response(0)).is_ok()
                });
                entries.push_back((now_us, spool.written()));
            }
            if job.is_none() {
                let waiting = usize::from(seed.is_multiple_of(2) && random(state, 20) == 0);
                job = flushes.next_job(&mut spool, waiting, now_us);
                ends_us = now_us + random(state, takes_us_max);
            } else {
                flushes.look(spool.written().0, spool.durable().0, now_us);
            }
            while entries.pop_front_if(|(_, end)| *end <= spool.durable()).is_some() {}
            if let Some((at_us, _)) = entries.front() {
                assert!(now_us < at_us + flush_us, "{seed}: an entry of {at_us} at {now_us}");
                assert!(flushes.oldest_us().is_some_and(|oldest| oldest <= *at_us));
            }
            if now_us == entry_us {
                break;
            }
        }
    }
    assert!(spool.segment_number() > 0, "the test wrote into one segment only");
}

#[test]
fn a_power_cut_takes_no_more_than_the_configured_time() {
    for seed in 1..=8 {
        for flush_us in [*FLUSH_US.start(), FLUSH_US_DEFAULT, *FLUSH_US.end()] {
            cut_at_any_time(seed, flush_us);
        }
    }
}
