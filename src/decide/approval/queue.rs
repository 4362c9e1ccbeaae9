//! The commands of one shard that wait: how many, whose, how large; and what was denied lately.
//!
//! In: asks that begin to wait. Out: a place each, or why there is none.
//! Never: more than the bounds; a place that outlives its command.
//!
//! What was denied is known to all shards of a gateway: whoever connects anew may come to another
//! one. The lock is held for as long as it takes to look through a short list, by nothing but
//! commands that people are asked about.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::AskSummary;
use crate::clock::Now;
use crate::limits;

/// The commands of a shard that wait.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    count: usize,
    bytes: usize,
    by_user: HashMap<String, u32>,
    denied: Denied,
}

/// Subjects that were denied, and up to when that holds.
#[derive(Clone, Debug, Default)]
struct Denied(Arc<Mutex<VecDeque<([u8; 32], u64)>>>);

impl Denied {
    /// What all shards of the gateway with this seed share.
    fn of(gateway: [u8; 32]) -> Denied {
        static ALL: LazyLock<Mutex<HashMap<[u8; 32], Denied>>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(gateway).or_default().clone()
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<([u8; 32], u64)>> {
        // Each change is one insertion or removal: a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, subject: &[u8; 32], now_us: u64) -> bool {
        let mut list = self.list();
        list.retain(|(_, until_us)| now_us < *until_us);
        list.iter().any(|(denied, _)| denied == subject)
    }

    fn add(&self, subject: [u8; 32], now_us: u64) {
        let mut list = self.list();
        if list.len() >= limits::DENIED_REMEMBERED_MAX {
            list.pop_front();
        }
        list.push_back((subject, now_us.saturating_add(limits::DENIED_US)));
    }
}

/// A command's place among them; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    inner: Rc<RefCell<Inner>>,
    user: String,
    bytes: usize,
    subject: [u8; 32],
}

/// Why a command cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// The same statement was denied a moment ago.
    Denied,
    /// As many commands of this identity wait as may.
    Identity,
    /// As many commands wait as may.
    Shard,
}

impl Crowded {
    /// A sentence for the client, and what to do.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Crowded::Denied => (
                "this command was denied a moment ago",
                "The same statement can be asked for again ten minutes after a denial.",
            ),
            Crowded::Identity => (
                "too many of your commands wait for approval",
                "Cancel one that waits, or wait until one is answered.",
            ),
            Crowded::Shard => (
                "too many commands wait for approval",
                "Try again when some of them have been answered.",
            ),
        }
    }
}

impl Asks {
    /// Of one shard of the gateway with this seed.
    pub fn of(gateway: [u8; 32]) -> Asks {
        let inner = Inner { denied: Denied::of(gateway), ..Inner::default() };
        Asks { inner: Rc::new(RefCell::new(inner)) }
    }

    /// A place for a command.
    ///
    /// # Errors
    /// There is none for it.
    pub fn enter(&self, ask: &AskSummary, per_identity: u32, now: Now) -> Result<Place, Crowded> {
        let subject = ask.subject();
        let mut inner = self.inner.borrow_mut();
        if inner.denied.has(&subject, now.mono_us) {
            return Err(Crowded::Denied);
        }
        let bytes = ask.weight_bytes();
        let full = inner.count >= limits::HELD_COMMANDS_MAX;
        if full || inner.bytes + bytes > limits::HELD_BYTES_MAX {
            return Err(Crowded::Shard);
        }
        let of_user = inner.by_user.entry(ask.user.clone()).or_default();
        if *of_user >= per_identity {
            return Err(Crowded::Identity);
        }
        *of_user += 1;
        inner.count += 1;
        inner.bytes += bytes;
        Ok(Place { inner: Rc::clone(&self.inner), user: ask.user.clone(), bytes, subject })
    }
}

impl Place {
    /// The command is denied: the same one is refused for a while.
    pub fn denied(&self, now: Now) {
        self.inner.borrow().denied.add(self.subject, now.mono_us);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        inner.count -= 1;
        inner.bytes -= self.bytes;
        if let Some(of_user) = inner.by_user.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                inner.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(user: &str, text: String) -> AskSummary {
        AskSummary { user: user.to_owned(), text, ..AskSummary::default() }
    }

    #[test]
    fn what_one_shard_was_denied_another_one_is() {
        let now = Now { wall_us: 0, mono_us: 0 };
        let (one, two, other) = (Asks::of([7; 32]), Asks::of([7; 32]), Asks::of([8; 32]));
        let ask = ask("ann", "drop".into());
        one.enter(&ask, 9, now).unwrap().denied(now);
        assert_eq!(two.enter(&ask, 9, now).unwrap_err(), Crowded::Denied);
        assert!(other.enter(&ask, 9, now).is_ok(), "another gateway of the process");
        let later = Now { mono_us: limits::DENIED_US, ..now };
        assert!(two.enter(&ask, 9, later).is_ok());
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let asks = Asks::default();
        let now = Now { wall_us: 0, mono_us: 0 };
        let enter = |user: &str, text: &str| asks.enter(&ask(user, text.to_owned()), 2, now);
        let one = enter("ann", "a").unwrap();
        let _two = enter("ann", "b").unwrap();
        assert_eq!(enter("ann", "c").unwrap_err(), Crowded::Identity);
        let _other = enter("bob", "c").unwrap();
        drop(one);
        let third = enter("ann", "c").unwrap();
        third.denied(now);
        drop(third);
        assert_eq!(enter("ann", "c").unwrap_err(), Crowded::Denied);
        assert!(enter("ann", "d").is_ok(), "another statement");
        let later = Now { mono_us: limits::DENIED_US, ..now };
        assert!(asks.enter(&ask("ann", "c".into()), 9, later).is_ok());
        let large = "x".repeat(AskSummary::SHOWN_BYTES_MAX - 100);
        let mut places = Vec::new();
        while let Ok(place) = enter(&format!("u{}", places.len()), &large) {
            places.push(place);
        }
        assert!(places.len() * large.len() <= limits::HELD_BYTES_MAX);
        assert_eq!(enter("zoe", &large).unwrap_err(), Crowded::Shard);
        drop(places);
        let inner = asks.inner.borrow();
        assert_eq!((inner.count, inner.by_user.len()), (2, 2));
    }
}
