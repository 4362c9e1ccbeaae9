//! The commands of one shard that wait: how many, whose, how large; and what was denied lately.
//!
//! In: asks that begin to wait. Out: a place each, or why there is none.
//! Never: more than the bounds; a place that outlives its command.
//!
//! What was denied all shards know: the client's next connection may come to any of them. The lock
//! is held for as long as it takes to look.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AskSummary;
use crate::clock::Now;
use crate::limits;

/// The commands of a shard that wait.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    inner: Rc<RefCell<Inner>>,
    denied: Arc<Denials>,
}

/// Subjects that were denied, and up to when that holds, microseconds: of all shards.
#[derive(Debug, Default)]
pub struct Denials(Mutex<VecDeque<([u8; 32], u64)>>);

impl Denials {
    fn all(&self) -> MutexGuard<'_, VecDeque<([u8; 32], u64)>> {
        // Each change is one insertion or removal: a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Inner {
    count: usize,
    bytes: usize,
    by_user: HashMap<String, u32>,
}

/// A command's place among them; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    inner: Rc<RefCell<Inner>>,
    denied: Arc<Denials>,
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
    /// Those of a shard that knows what others have denied.
    pub fn sharing(denied: Arc<Denials>) -> Asks {
        Asks { inner: Rc::default(), denied }
    }

    /// A place for a command.
    ///
    /// # Errors
    /// There is none for it.
    pub fn enter(&self, ask: &AskSummary, per_identity: u32, now: Now) -> Result<Place, Crowded> {
        let subject = ask.subject();
        let mut denied = self.denied.all();
        denied.retain(|(_, until_us)| now.mono_us < *until_us);
        if denied.iter().any(|(denied, _)| *denied == subject) {
            return Err(Crowded::Denied);
        }
        drop(denied);
        let mut inner = self.inner.borrow_mut();
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
        let (inner, denied) = (Rc::clone(&self.inner), Arc::clone(&self.denied));
        Ok(Place { inner, denied, user: ask.user.clone(), bytes, subject })
    }
}

impl Place {
    /// The command is denied: the same one is refused for a while.
    pub fn denied(&self, now: Now) {
        let mut denied = self.denied.all();
        if denied.len() >= limits::DENIED_REMEMBERED_MAX {
            denied.pop_front();
        }
        let until_us = now.mono_us.saturating_add(limits::DENIED_US);
        denied.push_back((self.subject, until_us));
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
        let other = Asks::sharing(Arc::clone(&asks.denied));
        let again = other.enter(&ask("ann", "c".to_owned()), 2, now);
        assert_eq!(again.unwrap_err(), Crowded::Denied, "in another shard");
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
