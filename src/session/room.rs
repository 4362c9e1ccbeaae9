//! What all sessions of a shard hold of large messages, and their commands that wait.
//!
//! In: how much a session holds. Out: whether it may. Never: more than `limits::LARGE_BYTES_MAX`
//! together; a lease that outlives its session.
//!
//! A command is held whole until it is understood, and one may be large. One session holds what its
//! own limit says; without this, a thousand that each send all but the last byte would be a matter
//! of the machine's memory.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::decide::approval::{Asks, Denials};
use crate::identify::throttle::Failures;
use crate::limits;

/// The room of one shard.
#[derive(Debug, Default)]
pub struct Room {
    taken: Rc<Cell<usize>>,
    /// Commands that wait for people.
    pub asks: Asks,
    /// Logins that failed.
    pub failures: Failures,
}

/// A session's part of it.
#[derive(Debug)]
pub struct Lease {
    taken: Rc<Cell<usize>>,
    bytes: usize,
}

impl Room {
    /// That of a shard that knows what others have denied.
    pub fn sharing(denied: Arc<Denials>) -> Room {
        Room { asks: Asks::sharing(denied), ..Room::default() }
    }

    /// A part of no size yet.
    pub fn lease(&self) -> Lease {
        Lease { taken: Rc::clone(&self.taken), bytes: 0 }
    }
}

impl Lease {
    /// Makes it so large; `false`, and as it was, if the room has not enough left.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let others = self.taken.get() - self.bytes;
        let fits = bytes <= self.bytes || others + bytes <= limits::LARGE_BYTES_MAX;
        if fits {
            self.taken.set(others + bytes);
            self.bytes = bytes;
        }
        fits
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_share_the_room_and_give_it_back() {
        let room = Room::default();
        let (mut one, mut other) = (room.lease(), room.lease());
        assert!(one.resize(limits::LARGE_BYTES_MAX - 10));
        assert!(other.resize(10));
        assert!(!other.resize(11) && !one.resize(limits::LARGE_BYTES_MAX));
        assert!(one.resize(5), "less is always possible");
        assert!(other.resize(11));
        drop(one);
        assert_eq!(room.taken.get(), 11);
        drop(other);
        assert_eq!(room.taken.get(), 0);
    }
}
