//! Counters against peers that make work and bring nothing forward.
//!
//! ```text
//!   what                                               bound in H2_FLOOD_US
//!   streams reset, by the peer or because of it        100, if half of all streams
//!   SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty     1,000 more than what moved in between
//!     DATA, unknown frames                               pays for
//!   acknowledgements that nobody has sent yet          16, at any time
//! ```

use super::Fatal;
use super::frame::Code;
use crate::limits::{H2_ACKS_MAX, H2_FLOOD_US, H2_IDLE_FRAMES_MAX, H2_RESETS_MAX};

/// One connection's counters.
#[derive(Debug, Default)]
pub(super) struct Guard {
    since_us: u64,
    streams: u32,
    resets: u32,
    idle: u32,
    acks: u32,
}

impl Guard {
    fn tick(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.since_us) >= H2_FLOOD_US {
            *self = Guard { since_us: now_us, acks: self.acks, ..Guard::default() };
        }
    }

    /// A stream was opened.
    pub(super) fn opened(&mut self, now_us: u64) {
        self.tick(now_us);
        self.streams += 1;
        self.moved(0);
    }

    /// A stream was reset by the peer, or its frames have made weir reset one: to the targets both
    /// are a request that was begun for nothing.
    pub(super) fn reset(&mut self, now_us: u64) -> Result<(), Fatal> {
        self.tick(now_us);
        self.resets += 1;
        if self.resets >= H2_RESETS_MAX && self.resets.saturating_mul(2) >= self.streams {
            return Err(Fatal::new(Code::Calm, "streams that are reset"));
        }
        Ok(())
    }

    /// A frame that brings nothing forward.
    pub(super) fn idle(&mut self, now_us: u64) -> Result<(), Fatal> {
        self.tick(now_us);
        self.idle += 1;
        if self.idle > H2_IDLE_FRAMES_MAX {
            return Err(Fatal::new(Code::Calm, "frames that bring nothing forward"));
        }
        Ok(())
    }

    /// DATA went in either direction: credit is sent in return for it, by some peers for every few
    /// KiB, for the stream and for the connection.
    pub(super) fn moved(&mut self, bytes: usize) {
        let worth = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        self.idle = self.idle.saturating_sub(worth.saturating_mul(2).saturating_add(2));
    }

    /// An acknowledgement was written.
    pub(super) fn acknowledged(&mut self) -> Result<(), Fatal> {
        self.acks += 1;
        if self.acks > H2_ACKS_MAX {
            return Err(Fatal::new(Code::Calm, "acknowledgements that wait"));
        }
        Ok(())
    }

    /// Everything that was written is on its way.
    pub(super) fn flushed(&mut self) {
        self.acks = 0;
    }
}
