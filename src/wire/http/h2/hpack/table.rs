//! The dynamic table (RFC 7541 2.3.2, 4): the last fields that both ends learned.
//!
//! Names and values lie in one ring of 4 KiB. The size of an entry counts 32 bytes besides them
//! (4.1), so there are at most 128 entries and what is alive never fills the ring.

use std::collections::VecDeque;

use crate::limits::HPACK_TABLE_BYTES_MAX;

/// What an entry counts besides its name and its value (4.1).
pub(super) const ENTRY_BYTES: usize = 32;
const RING_BYTES: usize = HPACK_TABLE_BYTES_MAX as usize;
const _: () = assert!(RING_BYTES <= u16::MAX as usize);

/// Where an entry lies: its value follows its name, around the end of the ring if need be.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u16,
    name: u16,
    value: u16,
}

impl Entry {
    fn size(self) -> usize {
        usize::from(self.name) + usize::from(self.value) + ENTRY_BYTES
    }
}

/// A text that may lie around the end of the ring.
pub(super) type Halves<'t> = [&'t [u8]; 2];

/// Invariant: `size` is the sum of the entries' sizes and at most `size_max <= RING_BYTES`.
#[derive(Debug)]
pub(super) struct Table {
    /// Empty until the first entry.
    ring: Vec<u8>,
    /// The newest is in front.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
    /// Where the next entry goes.
    next: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { ring: Vec::new(), entries: VecDeque::new(), size: 0, size_max: RING_BYTES, next: 0 }
    }
}

impl Table {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes, as 4.1 counts them.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How large it may become.
    pub(super) fn size_max(&self) -> usize {
        self.size_max
    }

    /// Changes how large it may become; the oldest entries go.
    pub(super) fn resize(&mut self, size_max: usize) {
        assert!(size_max <= RING_BYTES, "a table of {size_max} bytes");
        self.size_max = size_max;
        self.evict(0);
    }

    /// Name and value of an entry; the newest is entry 0.
    pub(super) fn entry(&self, index: usize) -> Option<(Halves<'_>, Halves<'_>)> {
        let entry = *self.entries.get(index)?;
        let start = usize::from(entry.start);
        let name = self.halves(start, usize::from(entry.name));
        Some((name, self.halves(start + usize::from(entry.name), usize::from(entry.value))))
    }

    /// Learns a field. One that is larger than the table empties it, which is no error (4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_BYTES;
        if size > self.size_max {
            self.entries.clear();
            self.size = 0;
            return;
        }
        self.evict(size);
        if self.ring.is_empty() {
            self.ring = vec![0; RING_BYTES];
        }
        let entry =
            Entry { start: self.next as u16, name: name.len() as u16, value: value.len() as u16 };
        self.write(name);
        self.write(value);
        self.entries.push_front(entry);
        self.size += size;
    }

    /// Drops the oldest entries until `more` bytes fit.
    fn evict(&mut self, more: usize) {
        while self.size + more > self.size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(RING_BYTES - self.next));
        self.ring[self.next..self.next + head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
        self.next = (self.next + bytes.len()) % RING_BYTES;
    }

    fn halves(&self, start: usize, length: usize) -> Halves<'_> {
        let start = start % RING_BYTES;
        let end = start + length;
        if end <= RING_BYTES {
            return [&self.ring[start..end], &[]];
        }
        [&self.ring[start..], &self.ring[..end - RING_BYTES]]
    }
}

/// Whether the halves are this text.
pub(super) fn is(halves: Halves<'_>, text: &[u8]) -> bool {
    let [head, tail] = halves;
    text.len() == head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Insert(Vec<u8>, Vec<u8>),
        Resize(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let text = |max| prop::collection::vec(any::<u8>(), 0..max);
        prop_oneof![
            8 => (text(40), text(400)).prop_map(|(name, value)| Change::Insert(name, value)),
            1 => (text(40), text(5_000)).prop_map(|(name, value)| Change::Insert(name, value)),
            1 => (0..=RING_BYTES).prop_map(Change::Resize),
        ]
    }

    proptest! {
        /// Against a list that keeps each entry in two vectors.
        #[test]
        fn it_is_a_list_with_a_bound(changes in prop::collection::vec(change(), 0..200)) {
            let (mut table, mut list) = (Table::default(), Vec::<(Vec<u8>, Vec<u8>)>::new());
            let size = |list: &[(Vec<u8>, Vec<u8>)]| -> usize {
                list.iter().map(|(name, value)| name.len() + value.len() + ENTRY_BYTES).sum()
            };
            for change in changes {
                match change {
                    Change::Insert(name, value) => {
                        table.insert(&name, &value);
                        list.insert(0, (name, value));
                    }
                    Change::Resize(bytes) => table.resize(bytes),
                }
                while size(&list) > table.size_max() {
                    list.pop();
                }
                prop_assert_eq!(table.len(), list.len());
                prop_assert_eq!(table.size(), size(&list));
                for (index, (name, value)) in list.iter().enumerate() {
                    let (its_name, its_value) = table.entry(index).unwrap();
                    prop_assert!(is(its_name, name) && is(its_value, value));
                    prop_assert_eq!(&its_value.concat(), value);
                }
            }
        }
    }

    #[test]
    fn an_empty_table_has_no_ring() {
        assert_eq!(Table::default().ring.capacity(), 0);
        assert!(Table::default().entry(0).is_none());
    }
}
