//! What a terminal shows around input, once its capture is used up.
//!
//! In: output that is not kept otherwise; that input came. Out: the pieces of it that are kept.
//! Never: more than `TERMINAL_NEAR_BYTES_MAX` of one terminal.
//!
//! Lines are derived from a prompt, and from what is echoed behind it. Without these a shell would
//! only have to print much to be seen no more.

use std::collections::VecDeque;

use crate::limits::{TERMINAL_NEAR_BYTES, TERMINAL_NEAR_BYTES_MAX};

/// Output near input.
#[derive(Debug)]
pub(super) struct Near {
    /// The newest output that was not kept.
    tail: VecDeque<u8>,
    /// Output behind the last input that is kept still.
    behind: usize,
    /// What may be kept in all.
    left: u64,
}

impl Near {
    pub fn new() -> Near {
        Near { tail: VecDeque::new(), behind: 0, left: TERMINAL_NEAR_BYTES_MAX }
    }

    /// Takes output: how much of its beginning is kept, and how many bytes were lost.
    pub fn output(&mut self, bytes: &[u8]) -> (usize, u64) {
        let kept = self.behind.min(bytes.len());
        self.behind -= kept;
        self.tail.extend(bytes.get(kept..).unwrap_or_default());
        let lost = self.tail.len().saturating_sub(TERMINAL_NEAR_BYTES);
        self.tail.drain(..lost);
        (kept, lost as u64)
    }

    /// Input came: what was shown before it. `None` if no more is kept.
    pub fn input(&mut self) -> Option<Vec<u8>> {
        // What will be shown behind it is kept, too.
        let most = self.tail.len() + TERMINAL_NEAR_BYTES - self.behind;
        self.left = self.left.checked_sub(most as u64)?;
        self.behind = TERMINAL_NEAR_BYTES;
        Some(self.rest())
    }

    /// Takes an event of so many bytes, if there is room.
    pub fn spend(&mut self, bytes: u64) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// What was shown last.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_and_behind_input_is_kept() {
        let mut near = Near::new();
        let mut much = vec![b'x'; 3 * TERMINAL_NEAR_BYTES];
        assert_eq!(near.output(&much), (0, 2 * TERMINAL_NEAR_BYTES as u64));
        assert_eq!(near.output(b"$ "), (0, 2));
        let before = near.input().expect("room");
        assert_eq!((before.len(), before.ends_with(b"x$ ")), (TERMINAL_NEAR_BYTES, true));
        assert_eq!(near.output(b"l"), (1, 0));
        assert_eq!(near.input().expect("room"), b"");
        much.truncate(TERMINAL_NEAR_BYTES + 5);
        assert_eq!(near.output(&much), (TERMINAL_NEAR_BYTES, 0));
        assert_eq!(near.rest(), b"xxxxx");
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut near = Near::new();
        let much = vec![b'x'; 2 * TERMINAL_NEAR_BYTES];
        let mut kept = 0;
        while let Some(before) = near.input() {
            kept += before.len() + near.output(&much).0;
        }
        assert!(kept as u64 <= TERMINAL_NEAR_BYTES_MAX, "{kept}");
        assert!(kept as u64 > TERMINAL_NEAR_BYTES_MAX / 2, "{kept}");
    }
}
