//! Clients that have not proven who they are: how many there may be, from one address and at all,
//! and how many may come from one address in a second.
//!
//! In: addresses of clients. Out: a `Visit` for each that may come in, which ends when it drops.
//! Never: a lock; a table that an attacker makes grow.
//!
//! Counters are a sketch of fixed size that all shards share: an address has two cells, in two
//! rows that a keyed hash picks, and is over its bound when both are. So two addresses disturb
//! each other only if they meet in both rows, and nobody can compute whom to meet.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Cells of one row; a power of two.
const CELLS: usize = 1 << 14;
/// The upper half of a cell of `recent`: a second.
const SECOND: u64 = !0 << 32;

/// The door of one listener.
#[derive(Debug)]
pub struct Door {
    rows: [Box<[AtomicU32]>; 2],
    waiting: AtomicU32,
    /// What came in the second that the upper half names, in the same two rows.
    recent: [Box<[AtomicU64]>; 2],
    per_address: u32,
    per_second: u32,
    total: u32,
    hash: RandomState,
}

/// Why nobody else may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// Too many wait from this address.
    Address,
    /// Too many wait.
    Total,
    /// Too many come at once from this address.
    Rate,
}

/// A client at the door. It ends by dropping: the client has proven who it is, or has left.
#[derive(Debug)]
pub struct Visit {
    door: Arc<Door>,
    cells: [usize; 2],
}

impl Door {
    /// A door with these bounds.
    pub fn new(per_address: u32, total: u32, per_second: u32) -> Arc<Door> {
        let row = || (0..CELLS).map(|_| AtomicU32::new(0)).collect();
        let recent = || (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Door {
            rows: [row(), row()],
            recent: [recent(), recent()],
            waiting: AtomicU32::new(0),
            per_address,
            per_second,
            total,
            hash: RandomState::new(),
        })
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// Which bound is met.
    pub fn enter(self: &Arc<Door>, address: IpAddr, now_us: u64) -> Result<Visit, Shut> {
        let cells = self.cells(address);
        if self.per_second != u32::MAX && self.count(cells, now_us) > u64::from(self.per_second) {
            return Err(Shut::Rate);
        }
        // First in, then looked: two shards that both take the last place both step back.
        let visit = Visit { door: Arc::clone(self), cells };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let counts = visit.each().map(|cell| cell.fetch_add(1, Ordering::Relaxed));
        let from_here = counts.into_iter().min().unwrap_or(0);
        if from_here >= self.per_address {
            Err(Shut::Address)
        } else if before >= self.total {
            Err(Shut::Total)
        } else {
            Ok(visit)
        }
    }

    /// Counts one who comes; how many have come from there in this second.
    fn count(&self, [one, other]: [usize; 2], now_us: u64) -> u64 {
        let second = (now_us / 1_000_000) << 32;
        let [first, last] = &self.recent;
        let count = |cell: &AtomicU64| {
            let add = |seen: u64| Some(if seen & SECOND == second { seen + 1 } else { second + 1 });
            let before = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            let before = before.unwrap_or_else(|seen| seen);
            if before & SECOND == second { (before & !SECOND) + 1 } else { 1 }
        };
        let cells = [first.get(one), last.get(other)].map(|cell| cell.expect("below CELLS"));
        cells.map(count).into_iter().min().unwrap_or(0)
    }

    /// Clients that have not proven who they are now.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn cells(&self, address: IpAddr) -> [usize; 2] {
        let hash = self.hash.hash_one(network(address));
        [hash as usize % CELLS, (hash >> 32) as usize % CELLS]
    }
}

impl Visit {
    fn each(&self) -> [&AtomicU32; 2] {
        let Visit { door, cells: [first, second] } = self;
        let [one, other] = &door.rows;
        [one.get(*first).expect("below CELLS"), other.get(*second).expect("below CELLS")]
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        for cell in self.each() {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
        self.door.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one address: all of IPv4, the network of IPv6 that one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_bound_and_others_have_theirs() {
        let door = Door::new(2, 100, u32::MAX);
        let enter = |text| door.enter(address(text), 0);
        let first = enter("192.0.2.1").expect("room");
        let _second = enter("::ffff:192.0.2.1").expect("room");
        assert_eq!(enter("192.0.2.1").err(), Some(Shut::Address));
        assert!(enter("192.0.2.2").is_ok());
        drop(first);
        assert!(enter("192.0.2.1").is_ok(), "one has left");
        assert_eq!(door.waiting(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let door = Door::new(1, 100, u32::MAX);
        let _visit = door.enter(address("2001:db8::1"), 0).expect("room");
        assert_eq!(door.enter(address("2001:db8::2"), 0).err(), Some(Shut::Address));
        assert!(door.enter(address("2001:db8:0:1::2"), 0).is_ok());
    }

    #[test]
    fn all_together_have_a_bound() {
        let door = Door::new(10, 3, u32::MAX);
        let visits: Vec<_> =
            (1..=3).map(|last| door.enter(IpAddr::from([192, 0, 2, last]), 0)).collect();
        assert!(visits.iter().all(Result::is_ok));
        assert_eq!(door.enter(address("192.0.2.9"), 0).err(), Some(Shut::Total));
        drop(visits);
        assert_eq!(door.waiting(), 0, "who was shut out does not count");
    }

    #[test]
    fn an_address_comes_so_often_in_a_second_whether_it_leaves_or_not() {
        let door = Door::new(1000, 1000, 3);
        let enter = |text, now_us| door.enter(address(text), now_us).map(drop).err();
        let second = [1_000_000, 1_300_000, 1_999_999, 1_999_999, 1_999_999];
        let came = second.map(|now_us| enter("192.0.2.1", now_us));
        let full = Some(Shut::Rate);
        assert_eq!(came, [None, None, None, full, full]);
        assert_eq!(enter("192.0.2.2", 1_999_999), None, "another address");
        assert_eq!(enter("192.0.2.1", 2_000_000), None, "the next second");
        assert_eq!(door.waiting(), 0);
    }
}
