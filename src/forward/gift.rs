//! A message that was gathered in a buffer of its own, which becomes the outbox's.
//!
//! In: the message, then its buffer. Out: bytes that were not copied. Never: a message whose buffer
//! is another one.

use std::ops::Range;

/// A message that the machine may hand on. The machine knows nothing of this, as with a loan.
#[derive(Debug)]
pub(super) struct Gift {
    /// Addresses of the message.
    message: Range<usize>,
    /// It was handed on, as the first of what waits.
    taken: bool,
}

impl Gift {
    pub(super) fn of(message: &[u8]) -> Gift {
        let start = message.as_ptr().addr();
        Gift { message: start..start + message.len(), taken: false }
    }

    /// Whether `bytes`, before which nothing waits, are the message.
    pub(super) fn takes(&mut self, bytes: &[u8]) -> bool {
        let start = bytes.as_ptr().addr();
        let is_it = !self.taken && (start..start + bytes.len()) == self.message;
        self.taken |= is_it;
        is_it
    }

    /// How many bytes wait that are still in its buffer.
    pub(super) fn len(&self) -> usize {
        if self.taken { self.message.len() } else { 0 }
    }

    /// What waits: the message and what was queued `behind` it.
    pub(super) fn unwrap(self, mut buffer: Vec<u8>, behind: Vec<u8>) -> Vec<u8> {
        if !self.taken {
            return behind;
        }
        assert!(Gift::of(&buffer).message == self.message, "another message was announced");
        buffer.extend_from_slice(&behind);
        buffer
    }
}
