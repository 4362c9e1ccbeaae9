//! The way to a target: its addresses one after the other, within one deadline.
//!
//! In: addresses, outcomes of attempts. Out: the next attempt, or what is wrong with the target.
//! Never: a name look-up (addresses come resolved from the control thread).

use std::io;
use std::net::SocketAddr;

use crate::fault::Target;
use crate::limits::DIAL_TIMEOUT_US;

/// One attempt to reach a target.
#[derive(Debug)]
pub struct Dial {
    /// Index of the target.
    pub target: usize,
    addresses: std::vec::IntoIter<SocketAddr>,
    deadline_us: u64,
    attempt: Option<(SocketAddr, u64)>,
    last: Target,
}

impl Dial {
    /// Starts. All attempts together have `DIAL_TIMEOUT_US`.
    pub fn new(target: usize, addresses: Vec<SocketAddr>, now_us: u64) -> Dial {
        Dial {
            target,
            addresses: addresses.into_iter(),
            deadline_us: now_us + DIAL_TIMEOUT_US,
            attempt: None,
            last: Target::Resolve,
        }
    }

    /// The next address to try. Each may take its share of the time that is left, so that one
    /// that does not answer leaves time for the others.
    ///
    /// # Errors
    /// Nothing is left: what the last attempt said, or that the name has no address.
    pub fn next(&mut self, now_us: u64) -> Result<SocketAddr, Target> {
        let left = self.deadline_us.saturating_sub(now_us);
        let share = left / (self.addresses.len() as u64).max(1);
        match self.addresses.next() {
            Some(address) if left > 0 => {
                self.attempt = Some((address, now_us + share));
                Ok(address)
            }
            _ => {
                self.attempt = None;
                Err(self.last)
            }
        }
    }

    /// The address of the current attempt.
    pub fn address(&self) -> Option<SocketAddr> {
        self.attempt.map(|(address, _)| address)
    }

    /// When the current attempt is over.
    pub fn deadline_us(&self) -> Option<u64> {
        self.attempt.map(|(_, deadline_us)| deadline_us).filter(|&at_us| at_us != u64::MAX)
    }

    /// Whether the current attempt has had its time; said once, then its end is awaited.
    pub fn expire(&mut self, now_us: u64) -> bool {
        match &mut self.attempt {
            Some((_, deadline_us)) if *deadline_us <= now_us => {
                *deadline_us = u64::MAX;
                true
            }
            _ => false,
        }
    }

    /// The current attempt failed.
    pub fn failed(&mut self, error: &io::Error) {
        self.last = match error.raw_os_error() {
            Some(libc::ETIMEDOUT | libc::ECANCELED) => Target::Timeout,
            _ => Target::Connect,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn every_address_gets_its_share_of_the_time() {
        let mut dial = Dial::new(0, vec![address(1), address(2)], 1_000);
        assert_eq!(dial.next(1_000), Ok(address(1)));
        assert_eq!(dial.deadline_us(), Some(1_000 + DIAL_TIMEOUT_US / 2));
        dial.failed(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(dial.next(2_000), Ok(address(2)));
        assert_eq!(dial.deadline_us(), Some(1_000 + DIAL_TIMEOUT_US));
        assert!(!dial.expire(DIAL_TIMEOUT_US));
        assert!(dial.expire(1_000 + DIAL_TIMEOUT_US), "its time is over");
        assert!(!dial.expire(2_000 + DIAL_TIMEOUT_US), "said once");
        assert_eq!(dial.deadline_us(), None);
        dial.failed(&io::Error::from_raw_os_error(libc::ECANCELED));
        assert_eq!(dial.next(3_000), Err(Target::Timeout));
        assert_eq!(dial.address(), None);
    }

    #[test]
    fn a_name_without_addresses_does_not_resolve() {
        assert_eq!(Dial::new(0, vec![], 0).next(0), Err(Target::Resolve));
    }

    #[test]
    fn no_attempt_starts_after_the_deadline() {
        let mut dial = Dial::new(0, vec![address(1), address(2)], 0);
        assert!(dial.next(0).is_ok());
        dial.failed(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(dial.next(DIAL_TIMEOUT_US), Err(Target::Connect));
    }
}
