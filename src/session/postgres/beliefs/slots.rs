//! A map by name in which the empty name has its own place.
//!
//! Most drivers change the unnamed statement or portal with every command. It is found without
//! hashing, and a meaning that comes and goes allocates no key. Names are the client's, so the hash
//! is keyed; the standard library's takes 200 instructions more.

use std::collections::HashMap;

use ahash::RandomState;

/// Names and what is kept of each.
#[derive(Debug)]
pub(super) struct Slots<T> {
    unnamed: Option<T>,
    named: HashMap<Box<[u8]>, T, RandomState>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { unnamed: None, named: HashMap::default() }
    }
}

impl<T> Slots<T> {
    pub fn get(&self, name: &[u8]) -> Option<&T> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        if name.is_empty() { self.unnamed.as_mut() } else { self.named.get_mut(name) }
    }

    /// Returns what was there before.
    pub fn insert(&mut self, name: Box<[u8]>, slot: T) -> Option<T> {
        if name.is_empty() { self.unnamed.replace(slot) } else { self.named.insert(name, slot) }
    }

    pub fn remove(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed = None;
        } else {
            self.named.remove(name);
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.unnamed.take_if(|slot| !keep(slot));
        self.named.retain(|_, slot| keep(slot));
    }

    pub fn retain_named(&mut self, keep: impl Fn(&T) -> bool) {
        self.named.retain(|_, slot| keep(slot));
    }

    pub fn len(&self) -> usize {
        self.named.len() + usize::from(self.unnamed.is_some())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        let unnamed = self.unnamed.iter().map(|slot| (&b""[..], slot));
        unnamed.chain(self.named.iter().map(|(name, slot)| (&**name, slot)))
    }
}
