//! Classified texts by key, bounded by count and bytes.
//!
//! In: a key, a classification. Out: a shared classification. Never: more than the bounds of
//! `limits` (each cache of a shard takes half of them).
//!
//! Two generations: entries go into the young one; when it is half the bound, the old one is
//! dropped and the young one becomes old. A hit in the old one moves the entry to the young one. So
//! an entry that is used once per generation stays, without a list to keep in order.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use super::super::Classified;
use crate::limits;

const ENTRIES_MAX: usize = limits::CLASSIFIED_TEXTS_MAX / 4;
const BYTES_MAX: usize = limits::CLASSIFIED_BYTES_MAX / 4;

#[derive(Debug)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
}

#[derive(Debug)]
struct Generation {
    entries: HashMap<Box<[u8]>, Rc<Classified>, Seed>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Cache {
        let seed = Seed(RandomState::new().hash_one(0_u8));
        let empty = || Generation { entries: HashMap::with_hasher(seed), bytes: 0 };
        Cache { young: empty(), old: empty() }
    }
}

impl Cache {
    pub(super) fn find(&mut self, key: &[u8]) -> Option<Rc<Classified>> {
        if let Some(found) = self.young.entries.get(key) {
            return Some(found.clone());
        }
        let (key, found) = self.old.entries.remove_entry(key)?;
        self.old.bytes -= cost(&key, &found);
        self.put(key, found.clone());
        Some(found)
    }

    pub(super) fn insert(&mut self, key: &[u8], classified: &Rc<Classified>) {
        // One huge text must not push out all the others.
        if cost(key, classified) <= BYTES_MAX / 16 {
            self.put(key.into(), classified.clone());
        }
    }

    fn put(&mut self, key: Box<[u8]>, classified: Rc<Classified>) {
        let cost = cost(&key, &classified);
        let full = self.young.entries.len() >= ENTRIES_MAX || self.young.bytes + cost > BYTES_MAX;
        if full {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.entries.clear();
            self.young.bytes = 0;
        }
        self.young.bytes += cost;
        let replaced = self.young.entries.insert(key, classified);
        assert!(replaced.is_none(), "a key is inserted only when it was not found");
        assert!(self.young.bytes <= BYTES_MAX, "the bound holds after every insertion");
    }
}

/// Texts of one shard that stand for themselves, looked up without reading them: drivers send a
/// text with parameters again and again, byte for byte.
///
/// A slot holds the last text that came with its number, so looking costs one comparison and
/// keeping costs no order. Whole texts are compared: a slot found by chance is no match.
#[derive(Debug)]
pub(super) struct Recent {
    slots: Vec<Option<Seen>>,
    seed: Seed,
}

#[derive(Clone, Debug)]
struct Seen {
    text: Box<[u8]>,
    classified: Rc<Classified>,
}

/// A power of two.
const RECENT_SLOTS: usize = 64;
/// Longer texts are not kept: with their classification that is 256 KiB and more.
const RECENT_BYTES_MAX: usize = 4096;

impl Default for Recent {
    fn default() -> Recent {
        let seed = Seed(RandomState::new().hash_one(0_u8));
        Recent { slots: vec![None; RECENT_SLOTS], seed }
    }
}

impl Recent {
    pub(super) fn find(&self, text: &[u8]) -> Option<Rc<Classified>> {
        let seen = self.slots.get(self.slot(text)?)?.as_ref()?;
        (*seen.text == *text).then(|| Rc::clone(&seen.classified))
    }

    pub(super) fn insert(&mut self, text: &[u8], classified: &Rc<Classified>) {
        let slot = self.slot(text).and_then(|slot| self.slots.get_mut(slot));
        if let Some(slot) = slot.filter(|_| text.len() <= RECENT_BYTES_MAX) {
            *slot = Some(Seen { text: text.into(), classified: Rc::clone(classified) });
        }
    }

    /// By the length and the middle, where texts differ that begin and end alike.
    fn slot(&self, text: &[u8]) -> Option<usize> {
        let middle = text.get(text.len() / 2..)?.first_chunk::<8>()?;
        let mut folded = self.seed.build_hasher();
        folded.fold(u64::from_le_bytes(*middle));
        folded.fold(text.len() as u64);
        Some(folded.finish() as usize % RECENT_SLOTS)
    }
}

/// Bytes that an entry keeps, roughly.
fn cost(key: &[u8], classified: &Classified) -> usize {
    // Objects and operations stand in the action once more if there are several statements.
    let per_object = 2 * size_of::<super::super::Object>() + 64;
    let statements = classified.statements.iter().map(|statement| {
        let columns: usize = statement.columns.iter().map(|column| column.len() + 32).sum();
        let act = size_of::<super::super::Act>() + 2 * statement.operation.len();
        let why = (statement.facts.len() + statement.causes.len()) * 2 * 64;
        let uses = statement.uses.iter().map(|used| size_of_val(used) + used.name.len() + 16);
        let made = statement.made.iter().flatten();
        let made = made.map(|made| (made.columns.len() + made.others.len()) * 48);
        size_of_val(statement)
            + statement.made.len() * size_of::<Option<super::super::Made>>()
            + made.sum::<usize>()
            + uses.sum::<usize>()
            + act
            + why
            + columns
            + statement.objects.len() * per_object
    });
    key.len() + size_of::<Classified>() + statements.sum::<usize>() + 64
}

/// Folded multiplication over eight bytes at a time, from a seed that peers do not know: they
/// choose the keys, so a fixed function would let them choose collisions.
#[derive(Clone, Copy, Debug)]
struct Seed(u64);

struct Folded(u64);

impl BuildHasher for Seed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

impl Folded {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified() -> Rc<Classified> {
        Rc::new(super::super::classify_uncached(b"SELECT 1"))
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::default();
        let value = classified();
        cache.insert(b"used", &value);
        for index in 0..10 * ENTRIES_MAX {
            cache.insert(&index.to_be_bytes(), &value);
            if index % 64 == 0 {
                assert!(cache.find(b"used").is_some(), "after {index}");
            }
        }
        assert!(cache.young.entries.len() + cache.old.entries.len() <= 2 * ENTRIES_MAX);
        assert!(cache.find(&0_usize.to_be_bytes()).is_none());
        let newest = (10 * ENTRIES_MAX - 1).to_be_bytes();
        assert!(cache.find(&newest).is_some());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = Cache::default();
        let value = classified();
        let mut key = vec![b'x'; BYTES_MAX / 32];
        for index in 0_u32..100 {
            key[..4].copy_from_slice(&index.to_be_bytes());
            cache.insert(&key, &value);
        }
        let kept = cache.young.bytes + cache.old.bytes;
        assert!(kept <= 2 * BYTES_MAX, "{kept}");
        assert!(cache.find(&key).is_some());
        let huge = vec![b'y'; BYTES_MAX];
        cache.insert(&huge, &value);
        assert!(cache.find(&huge).is_none());
    }

    #[test]
    fn a_recent_text_is_found_by_all_of_its_bytes() {
        let mut recent = Recent::default();
        let text = b"SELECT name FROM people WHERE id = $1".to_vec();
        assert!(recent.find(&text).is_none());
        recent.insert(&text, &classified());
        assert!(recent.find(&text).is_some());
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(recent.find(&other).is_none(), "byte {at}");
        }
        assert!(recent.find(&text[..text.len() - 1]).is_none());
        for length in [0, 7, 15, RECENT_BYTES_MAX + 1] {
            let text = vec![b'x'; length];
            recent.insert(&text, &classified());
            assert_eq!(recent.find(&text).is_some(), length == 15, "length {length}");
        }
    }

    #[test]
    fn keys_that_differ_in_one_byte_or_in_length_hash_apart() {
        let seed = Seed(1);
        let hash = |bytes: &[u8]| {
            let mut hasher = seed.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        let mut seen = std::collections::HashSet::new();
        for length in 0..40 {
            assert!(seen.insert(hash(&vec![0; length])), "length {length}");
            for at in 0..length {
                let mut bytes = vec![0; length];
                bytes[at] = 1;
                assert!(seen.insert(hash(&bytes)), "byte {at} of {length}");
            }
        }
    }
}
