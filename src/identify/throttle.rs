//! How often somebody may try in vain to prove who they are.
//!
//! In: attempts that failed, by the name that was claimed and the network they came from. Out:
//! whether the next one is looked at. Never: a name that others can shut out: who guesses from one
//! network shuts out that network; a table without a bound; a difference between names that are
//! known and names that are not.
//!
//! ```text
//!   failures of a name from a network   1 .. 5: free    6th: 1 s    7th: 2 s    .. 60 s
//!   failures from a network, any name   1 .. 60: free   61st: 1 s   ..             60 s
//!   ten minutes without one, or a login that succeeds: forgotten
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::limits;

/// Failures of a shard's clients.
#[derive(Debug, Default)]
pub struct Failures {
    table: RefCell<HashMap<Key, Failed>>,
}

/// A claimed name at a network; of a network alone the name is empty.
type Key = (Box<str>, IpAddr);

#[derive(Clone, Copy, Debug)]
struct Failed {
    count: u32,
    last_us: u64,
}

impl Failures {
    /// Whether an attempt of this name from there is not looked at now.
    pub fn shuts_out(&self, name: &str, address: IpAddr, now_us: u64) -> bool {
        self.wait_s(name, address, now_us).is_some()
    }

    /// After how many seconds an attempt of this name from there is looked at, if not now.
    pub fn wait_s(&self, name: &str, address: IpAddr, now_us: u64) -> Option<u32> {
        let table = self.table.borrow();
        let until_us =
            |key: Key, free: u32| table.get(&key).map_or(0, |failed| failed.until_us(free));
        let place = network(address);
        let of_name = until_us((name.into(), place), limits::LOGIN_FAILURES_OF_NAME);
        let of_all = until_us(("".into(), place), limits::LOGIN_FAILURES_OF_NETWORK);
        let wait_us = of_name.max(of_all).checked_sub(now_us).filter(|wait_us| *wait_us > 0)?;
        Some(u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    /// An attempt failed.
    pub fn note(&self, name: &str, address: IpAddr, now_us: u64) {
        let mut table = self.table.borrow_mut();
        let place = network(address);
        for key in [(name.into(), place), ("".into(), place)] {
            make_room(&mut table, &key, now_us);
            let failed = table.entry(key).or_insert(Failed { count: 0, last_us: now_us });
            if failed.is_forgotten(now_us) {
                failed.count = 0;
            }
            failed.count = failed.count.saturating_add(1);
            failed.last_us = now_us;
        }
    }

    /// An attempt succeeded: this name is no guess from there.
    pub fn forget(&self, name: &str, address: IpAddr) {
        self.table.borrow_mut().remove(&(name.into(), network(address)));
    }
}

impl Failed {
    fn is_forgotten(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.last_us) >= limits::LOGIN_FAILURES_US
    }

    fn until_us(&self, free: u32) -> u64 {
        let Some(over) = self.count.checked_sub(free).filter(|over| *over > 0) else { return 0 };
        let wait_us = 1_000_000_u64 << (over - 1).min(16);
        self.last_us.saturating_add(wait_us.min(limits::LOGIN_SHUT_US_MAX))
    }
}

/// Forgets what is old when the table is full, and the oldest where nothing is.
fn make_room(table: &mut HashMap<Key, Failed>, key: &Key, now_us: u64) {
    if table.len() < limits::LOGIN_FAILURES_KEPT || table.contains_key(key) {
        return;
    }
    table.retain(|_, failed| !failed.is_forgotten(now_us));
    if table.len() >= limits::LOGIN_FAILURES_KEPT {
        let oldest = table.iter().min_by_key(|(_, failed)| failed.last_us);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            table.remove(&oldest);
        }
    }
}

/// An address of IPv4; of IPv6 the network that one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn guesses_of_a_name_wait_longer_each_time() {
        let (failures, here) = (Failures::default(), address("192.0.2.1"));
        let mut now = SECOND;
        for _ in 0..limits::LOGIN_FAILURES_OF_NAME {
            assert!(!failures.shuts_out("ada", here, now));
            failures.note("ada", here, now);
        }
        assert!(!failures.shuts_out("ada", here, now));
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            failures.note("ada", here, now);
            assert_eq!(failures.wait_s("ada", here, now), Some(wait as u32));
            assert_eq!(failures.wait_s("ada", here, now + wait * SECOND - 1), Some(1), "{wait}");
            assert_eq!(failures.wait_s("ada", here, now + wait * SECOND), None, "{wait}");
            now += wait * SECOND;
        }
        assert!(!failures.shuts_out("ada", address("192.0.2.2"), now), "others are not shut out");
        assert!(!failures.shuts_out("bob", here, now));
        failures.note("ada", here, now);
        failures.forget("ada", here);
        assert!(!failures.shuts_out("ada", here, now), "who logs in is no guesser");
    }

    #[test]
    fn guesses_of_many_names_shut_out_their_network() {
        let failures = Failures::default();
        let from = |host: u32| address(&format!("2001:db8::{host:x}"));
        for number in 0..=limits::LOGIN_FAILURES_OF_NETWORK {
            failures.note(&format!("user{number}"), from(number), SECOND);
        }
        assert!(failures.shuts_out("ada", from(9999), SECOND));
        assert!(!failures.shuts_out("ada", address("2001:db8:0:1::1"), SECOND));
        let later = SECOND + limits::LOGIN_FAILURES_US;
        failures.note("ada", from(1), later);
        assert!(!failures.shuts_out("ada", from(2), later), "after a pause they count anew");
    }

    #[test]
    fn the_table_has_a_bound() {
        let failures = Failures::default();
        for number in 0..3 * limits::LOGIN_FAILURES_KEPT as u32 {
            failures.note("ada", IpAddr::from(number.to_be_bytes()), u64::from(number));
        }
        assert!(failures.table.borrow().len() <= limits::LOGIN_FAILURES_KEPT);
    }
}
