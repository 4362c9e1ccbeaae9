//! Windows of either direction (RFC 9113 5.2, 6.9).

/// The largest window (6.9.1).
const WINDOW_BYTES_MAX: i64 = i32::MAX as i64;

/// What may be sent. SETTINGS may make it negative (6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room(i64);

impl Room {
    pub(super) fn new(bytes: u32) -> Room {
        Room(i64::from(bytes))
    }

    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// The peer gave credit, or changed what all windows begin with. `None`: beyond the largest.
    pub(super) fn grow(&mut self, bytes: i64) -> Option<()> {
        self.0 += bytes;
        (self.0 <= WINDOW_BYTES_MAX).then_some(())
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes(), "sent {bytes} bytes beyond the window");
        self.0 -= bytes as i64;
    }
}

/// What the peer may still send, and what was handed on since it last got credit.
///
/// Invariant: `left + held + spare == size`, where `held` is what nobody has taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credit {
    size: u32,
    left: u32,
    spare: u32,
}

impl Credit {
    pub(super) fn new(size: u32) -> Credit {
        Credit { size, left: size, spare: 0 }
    }

    /// The peer sent so much. `None`: it had no leave to.
    pub(super) fn spend(&mut self, bytes: u32) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// So much was handed on. Returns the credit that is due, which is given in large parts.
    pub(super) fn give(&mut self, bytes: u32) -> Option<u32> {
        let held = self.size - self.left - self.spare;
        assert!(bytes <= held, "credit for {bytes} bytes of {held}");
        self.spare += bytes;
        if self.spare < self.size / 4 {
            return None;
        }
        let due = std::mem::take(&mut self.spare);
        self.left += due;
        Some(due)
    }
}
