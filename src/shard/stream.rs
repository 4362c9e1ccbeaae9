//! A peer that says much while the other one says nothing: an answer of many rows, a COPY.
//!
//! In: what was received when, that the other peer spoke. Out: how much has to have arrived before
//! the kernel reports it, and when to read what is less. Never: a wait for bytes that may not come
//! for longer than an eighth of what the stream has taken so far.
//!
//! PostgreSQL hands its answers to the kernel 8 KiB at a time. A proxy that reads each of them is
//! woken, receives, sends and wakes its client for each, which costs several times what the bytes
//! do. So the kernel is told to report a stream by the larger piece (`SO_RCVLOWAT`, socket(7)):
//!
//! ```text
//!   No --much received--> Yes --nothing reported for a while--> Late --little there--> No
//!    ^                     |  ^                                  |
//!    '---- the other peer --' '-------- still a stream ----------'
//! ```

use crate::limits::{
    STREAM_BYTES_MIN, STREAM_PIECE_BYTES, STREAM_PIECE_BYTES_MIN, STREAM_WAIT_US_MAX,
};

/// What the kernel is to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Whatever arrives.
    All,
    /// Pieces of `STREAM_PIECE_BYTES`.
    Pieces,
}

impl Report {
    /// How many bytes have to have arrived.
    pub fn bytes(self) -> usize {
        match self {
            Report::All => 1,
            Report::Pieces => STREAM_PIECE_BYTES,
        }
    }
}

/// Whether one direction of a session is a stream. Times are monotonic microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// It is not. So much has come since `since_us` without a pause.
    No { bytes: usize, since_us: u64 },
    /// It is, and what is there at `due_us` is read. `None` while more is known to be there.
    Yes { since_us: u64, due_us: Option<u64> },
    /// Less than a piece came in time; it is about to be read.
    Late { since_us: u64 },
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::No { bytes: 0, since_us: 0 }
    }
}

impl Stream {
    /// So many bytes were received, `all` that were there. Says what the kernel is to report if
    /// that changes.
    pub fn received(&mut self, count: usize, all: bool, now_us: u64) -> Option<Report> {
        let little = count < STREAM_PIECE_BYTES_MIN;
        match self {
            // The usual case, by far.
            Stream::No { bytes, .. } if little => {
                *bytes = 0;
                None
            }
            Stream::No { bytes, since_us } => {
                if *bytes == 0 {
                    *since_us = now_us;
                }
                *bytes += count;
                let since_us = *since_us;
                (*bytes >= STREAM_BYTES_MIN).then(|| {
                    *self = Stream::lasting(since_us, all, now_us);
                    Report::Pieces
                })
            }
            Stream::Late { .. } if little => self.interrupted(),
            Stream::Yes { since_us, .. } | Stream::Late { since_us } => {
                *self = Stream::lasting(*since_us, all, now_us);
                None
            }
        }
    }

    fn lasting(since_us: u64, all: bool, now_us: u64) -> Stream {
        let wait_us = (now_us.saturating_sub(since_us) / 8).min(STREAM_WAIT_US_MAX);
        Stream::Yes { since_us, due_us: all.then_some(now_us + wait_us) }
    }

    /// The other peer said something: it may be waiting for the end of what comes here.
    pub fn interrupted(&mut self) -> Option<Report> {
        let before = std::mem::take(self);
        (!matches!(before, Stream::No { .. })).then_some(Report::All)
    }

    /// The kernel does not take this: what it does not report is still read when it is due.
    pub fn failed(&mut self, report: Report) {
        *self = match report {
            Report::Pieces => Stream::default(),
            Report::All => Stream::Yes { since_us: 0, due_us: Some(0) },
        };
    }

    /// When to read even if nothing is reported.
    pub fn due_us(&self) -> Option<u64> {
        match self {
            Stream::Yes { due_us, .. } => *due_us,
            Stream::No { .. } | Stream::Late { .. } => None,
        }
    }

    /// Whether to read now what has not been reported; said once.
    pub fn due(&mut self, now_us: u64) -> bool {
        let Stream::Yes { since_us, due_us: Some(due_us) } = *self else { return false };
        let late = due_us <= now_us;
        if late {
            *self = Stream::Late { since_us };
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of pieces of 8 KiB, one each 25 us.
    fn stream() -> (Stream, u64) {
        let (mut stream, mut now_us, mut bytes) = (Stream::default(), 1_000, 0);
        while bytes + (8 << 10) < STREAM_BYTES_MIN {
            assert_eq!(stream.received(8 << 10, true, now_us), None);
            assert_eq!(stream.due_us(), None);
            (now_us, bytes) = (now_us + 25, bytes + (8 << 10));
        }
        assert_eq!(stream.received(8 << 10, true, now_us), Some(Report::Pieces));
        (stream, now_us)
    }

    #[test]
    fn what_comes_of_a_stream_is_waited_for_and_not_for_long() {
        let (mut stream, now_us) = stream();
        let took_us = now_us - 1_000;
        assert_eq!(stream.due_us(), Some(now_us + took_us / 8));
        assert_eq!(stream.received(48 << 10, true, 1_000_000), None);
        assert_eq!(stream.due_us(), Some(1_000_000 + STREAM_WAIT_US_MAX));
        assert_eq!(stream.received(64 << 10, false, 1_000_100), None);
        assert_eq!(stream.due_us(), None, "the rest is read without waiting");
    }

    #[test]
    fn the_end_of_a_stream_is_read_when_it_is_due() {
        let (mut stream, _) = stream();
        let due_us = stream.due_us().expect("it waits");
        assert!(!stream.due(due_us - 1));
        assert!(stream.due(due_us));
        assert!(!stream.due(due_us), "said once");
        assert_eq!(stream.received(100, true, due_us), Some(Report::All));
        assert_eq!(stream, Stream::default());
    }

    #[test]
    fn a_slow_stream_goes_on_and_a_pause_ends_it() {
        let (mut stream, _) = stream();
        let due_us = stream.due_us().expect("it waits");
        assert!(stream.due(due_us));
        assert_eq!(stream.received(20 << 10, true, due_us), None);
        let due_us = stream.due_us().expect("it waits again");
        assert!(stream.due(due_us));
        assert_eq!(stream.received(0, true, due_us), Some(Report::All));
    }

    #[test]
    fn the_other_peer_ends_a_stream_and_what_would_become_one() {
        let (mut stream, now_us) = stream();
        assert_eq!(stream.interrupted(), Some(Report::All));
        assert_eq!(stream.interrupted(), None);
        for turn in 0..1000 {
            assert_eq!(stream.received(30 << 10, true, now_us + turn), None, "an answer");
            assert_eq!(stream.interrupted(), None, "the next question");
        }
    }

    #[test]
    fn small_messages_are_no_stream() {
        let mut stream = Stream::default();
        for turn in 0..100_000 {
            assert_eq!(stream.received(500, true, turn), None);
        }
    }

    #[test]
    fn what_the_kernel_does_not_report_is_read_all_the_same() {
        let (mut stream, now_us) = stream();
        stream.failed(Report::Pieces);
        assert_eq!(stream, Stream::default());
        stream.failed(Report::All);
        assert!(stream.due(now_us));
        assert_eq!(stream.received(0, true, now_us), Some(Report::All), "and is told again");
    }
}
