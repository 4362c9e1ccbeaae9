//! The way to a target: the addresses of its servers one after the other, each in its time.
//!
//! In: addresses, outcomes of attempts. Out: the next attempt, or what is wrong with the target.
//! Never: a name look-up (addresses come resolved from the control thread).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::fault::Target;
use crate::limits::DIAL_TIMEOUT_US;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in the configuration, which its certificate is verified for.
    pub host: Arc<str>,
    /// One of the addresses of that name.
    pub address: SocketAddr,
}

/// The attempts to reach a target, each from its first packet to the end of weir's login.
#[derive(Debug)]
pub struct Dial {
    /// Index of the target.
    pub target: usize,
    endpoints: std::vec::IntoIter<Endpoint>,
    patience: Patience,
    attempt: Option<(Endpoint, u64)>,
    last: Target,
}

/// How long it may take, microseconds.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// Each attempt.
    Each(u64),
    /// All of them, up to this time.
    Until(u64),
}

impl Dial {
    /// Starts. Each attempt has `timeout_us`; without it, all together have `DIAL_TIMEOUT_US`.
    pub fn new(
        target: usize,
        endpoints: Vec<Endpoint>,
        timeout_us: Option<u64>,
        now_us: u64,
    ) -> Dial {
        let until = Patience::Until(now_us + DIAL_TIMEOUT_US);
        Dial {
            target,
            endpoints: endpoints.into_iter(),
            patience: timeout_us.map_or(until, Patience::Each),
            attempt: None,
            last: Target::Resolve,
        }
    }

    /// The next address to try. Without a time for each, it may take its share of the time that is
    /// left, so that one that does not answer leaves time for the others.
    ///
    /// # Errors
    /// Nothing is left: what the last attempt said, or that the name has no address.
    pub fn next(&mut self, now_us: u64) -> Result<SocketAddr, Target> {
        let time_us = match self.patience {
            Patience::Each(us) => us,
            Patience::Until(at_us) => {
                at_us.saturating_sub(now_us) / (self.endpoints.len() as u64).max(1)
            }
        };
        match self.endpoints.next() {
            Some(endpoint) if time_us > 0 => {
                let address = endpoint.address;
                self.attempt = Some((endpoint, now_us + time_us));
                Ok(address)
            }
            _ => {
                self.attempt = None;
                Err(self.last)
            }
        }
    }

    /// Where the current attempt goes.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.attempt.as_ref().map(|(endpoint, _)| endpoint)
    }

    /// When the current attempt is over.
    pub fn deadline_us(&self) -> Option<u64> {
        let deadline_us = self.attempt.as_ref().map(|(_, deadline_us)| *deadline_us);
        deadline_us.filter(|&at_us| at_us != u64::MAX)
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

    /// The current attempt did not get a connection.
    pub fn unconnected(&mut self, error: &io::Error) {
        self.failed(match error.raw_os_error() {
            Some(libc::ETIMEDOUT | libc::ECANCELED) => Target::Timeout,
            _ => Target::Connect,
        });
    }

    /// The current attempt failed. A server that answers and is not one of those that may be used
    /// says more than one that cannot be reached.
    pub fn failed(&mut self, why: Target) {
        if why.is_misfit() || !self.last.is_misfit() {
            self.last = why;
        }
    }
}

/// How long a dial can take at most, microseconds.
pub fn patience_us(addresses: usize, timeout_us: Option<u64>) -> u64 {
    timeout_us.map_or(DIAL_TIMEOUT_US, |us| us.saturating_mul(addresses as u64))
}

/// Another order each time (libpq: `load_balance_hosts=random`).
pub fn shuffle(endpoints: &mut [Endpoint], random: &mut dyn FnMut(&mut [u8])) {
    for last in (1..endpoints.len()).rev() {
        let mut bytes = [0; 8];
        random(&mut bytes);
        // The bias of a remainder is far below what anybody could measure here.
        let other = u64::from_le_bytes(bytes) % (last as u64 + 1);
        endpoints.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint { host: "db".into(), address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn dial(ports: &[u16], timeout_us: Option<u64>, now_us: u64) -> Dial {
        Dial::new(0, ports.iter().copied().map(endpoint).collect(), timeout_us, now_us)
    }

    #[test]
    fn every_address_gets_its_share_of_the_time() {
        let mut dial = dial(&[1, 2], None, 1_000);
        assert_eq!(dial.next(1_000), Ok(endpoint(1).address));
        assert_eq!(dial.deadline_us(), Some(1_000 + DIAL_TIMEOUT_US / 2));
        dial.unconnected(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(dial.next(2_000), Ok(endpoint(2).address));
        assert_eq!(dial.deadline_us(), Some(1_000 + DIAL_TIMEOUT_US));
        assert!(!dial.expire(DIAL_TIMEOUT_US));
        assert!(dial.expire(1_000 + DIAL_TIMEOUT_US), "its time is over");
        assert!(!dial.expire(2_000 + DIAL_TIMEOUT_US), "said once");
        assert_eq!(dial.deadline_us(), None);
        dial.unconnected(&io::Error::from_raw_os_error(libc::ECANCELED));
        assert_eq!(dial.next(3_000), Err(Target::Timeout));
        assert_eq!(dial.endpoint(), None);
    }

    #[test]
    fn a_time_for_each_address_is_not_shared() {
        let mut dial = dial(&[1, 2], Some(700), 1_000);
        assert_eq!(dial.next(1_000), Ok(endpoint(1).address));
        assert_eq!(dial.deadline_us(), Some(1_700));
        dial.failed(Target::Timeout);
        assert_eq!(dial.next(1_700), Ok(endpoint(2).address));
        assert_eq!(dial.deadline_us(), Some(2_400));
        assert_eq!(patience_us(2, Some(700)), 1_400);
        assert_eq!(patience_us(2, None), DIAL_TIMEOUT_US);
    }

    #[test]
    fn a_server_that_does_not_fit_says_more_than_one_that_is_gone() {
        let mut dial = dial(&[1, 2, 3], None, 0);
        assert!(dial.next(0).is_ok());
        dial.failed(Target::HotStandby);
        assert!(dial.next(0).is_ok());
        dial.unconnected(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert!(dial.next(0).is_ok());
        dial.failed(Target::Timeout);
        assert_eq!(dial.next(0), Err(Target::HotStandby));
    }

    #[test]
    fn a_name_without_addresses_does_not_resolve() {
        assert_eq!(dial(&[], None, 0).next(0), Err(Target::Resolve));
    }

    #[test]
    fn no_attempt_starts_after_the_deadline() {
        let mut dial = dial(&[1, 2], None, 0);
        assert!(dial.next(0).is_ok());
        dial.unconnected(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(dial.next(DIAL_TIMEOUT_US), Err(Target::Connect));
    }

    #[test]
    fn every_order_comes_up() {
        let mut seed = 1_u64;
        let mut random = |bytes: &mut [u8]| {
            // xorshift64 (Marsaglia 2003).
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.copy_from_slice(&seed.to_le_bytes());
        };
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let mut endpoints: Vec<_> = [1, 2, 3].into_iter().map(endpoint).collect();
            shuffle(&mut endpoints, &mut random);
            seen.insert(endpoints.iter().map(|it| it.address.port()).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 6);
    }
}
