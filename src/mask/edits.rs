//! Changes to the body of one message.
//!
//! In: spans of the body and what takes their place, in order. Out: the new body.
//! Never: overlapping spans, a span outside the body, a length field that disagrees with its value.
//!
//! ```text
//! body   [count][len 16][4111111111111111][len 5][alice]
//! edits         <-- patched--><-- card -->
//! result [count][len  6][[CARD]          ][len 5][alice]
//! ```

use super::detect::Scratch;

/// Sorted, non-overlapping changes. Made once per session and cleared per message, so that a row
/// costs no allocation.
///
/// Invariant: `list[i].end <= list[i + 1].start`, every replacement lies in `arena`.
#[derive(Debug, Default)]
pub struct Edits {
    list: Vec<Edit>,
    arena: Vec<u8>,
    growth: i64,
    /// Working memory of the scan, kept here because it lives as long.
    pub(super) scratch: Scratch,
}

/// The bytes `start..end` of the body become `arena[from..to]`.
#[derive(Clone, Copy, Debug)]
struct Edit {
    start: u32,
    end: u32,
    from: u32,
    to: u32,
}

/// A length field whose new value is not known yet.
#[derive(Debug)]
#[must_use = "a length field that is opened must be closed"]
pub struct OpenLength {
    index: usize,
    old: u32,
    arena_growth: i64,
}

impl Edits {
    /// Whether the body stays as it is.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets all changes, keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.arena.clear();
        self.growth = 0;
    }

    /// Bytes that the body grows (or shrinks) by.
    pub fn growth(&self) -> i64 {
        self.growth
    }

    /// `start..end` becomes what `write` appends.
    pub fn replace(&mut self, start: usize, end: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.arena.len();
        write(&mut self.arena);
        let edit = Edit {
            start: offset(start),
            end: offset(end),
            from: offset(from),
            to: offset(self.arena.len()),
        };
        self.push(edit);
    }

    /// The four bytes at `at` are the length (`old`) of the value that follows; its changes come
    /// before `close_length`.
    pub fn open_length(&mut self, at: usize, old: u32) -> OpenLength {
        self.replace(at, at + 4, |out| out.extend_from_slice(&old.to_be_bytes()));
        OpenLength { index: self.list.len() - 1, old, arena_growth: self.growth() }
    }

    /// All changes of the value are in: its length field gets the new length.
    pub fn close_length(&mut self, open: &OpenLength) {
        let length = i64::from(open.old) + self.growth() - open.arena_growth;
        let length = i32::try_from(length).expect("a masked value is bounded by its row");
        self.write_length(open, length);
    }

    /// The value becomes NULL: its changes so far are dropped, and the `old` bytes after the length
    /// field.
    pub fn close_null(&mut self, open: &OpenLength) {
        self.growth -= self.list.drain(open.index + 1..).map(|edit| edit.growth()).sum::<i64>();
        let end = self.list[open.index].end as usize;
        self.replace(end, end + open.old as usize, |_| ());
        self.write_length(open, -1);
    }

    fn write_length(&mut self, open: &OpenLength, length: i32) {
        let edit = self.list[open.index];
        self.arena[edit.from as usize..edit.to as usize].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends the changed body.
    pub fn apply(&self, body: &[u8], out: &mut Vec<u8>) {
        self.invariants(body);
        let grown = i64::try_from(body.len()).unwrap_or(i64::MAX) + self.growth();
        out.reserve(usize::try_from(grown).unwrap_or(0));
        let mut kept = 0;
        for edit in &self.list {
            out.extend_from_slice(&body[kept..edit.start as usize]);
            out.extend_from_slice(&self.arena[edit.from as usize..edit.to as usize]);
            kept = edit.end as usize;
        }
        out.extend_from_slice(&body[kept..]);
    }

    fn push(&mut self, edit: Edit) {
        assert!(edit.start <= edit.end, "an edit ends before it starts");
        assert!(self.list.last().is_none_or(|last| last.end <= edit.start), "edits overlap");
        self.growth += edit.growth();
        self.list.push(edit);
    }

    /// Order and overlap are checked when an edit is added; here, that all lie in this body.
    fn invariants(&self, body: &[u8]) {
        let end = self.list.last().map_or(0, |last| last.end as usize);
        assert!(end <= body.len(), "an edit reaches past the body it was made for");
    }
}

impl Edit {
    fn growth(&self) -> i64 {
        i64::from(self.to - self.from) - i64::from(self.end - self.start)
    }
}

fn offset(value: usize) -> u32 {
    u32::try_from(value).expect("a row is bounded by limits::MASKED_ROW_BYTES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(edits: &Edits, body: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        edits.apply(body, &mut out);
        assert_eq!(out.len() as i64, 6 + body.len() as i64 + edits.growth());
        out.split_off(6)
    }

    #[test]
    fn a_length_follows_its_value() {
        let mut edits = Edits::default();
        let body = b"\x00\x00\x00\x05aXXbc\x00\x00\x00\x01z";
        let open = edits.open_length(0, 5);
        edits.replace(5, 7, |out| out.extend_from_slice(b"-long-"));
        edits.close_length(&open);
        assert_eq!(applied(&edits, body), b"\x00\x00\x00\x09a-long-bc\x00\x00\x00\x01z");
    }

    #[test]
    fn lengths_nest() {
        let mut edits = Edits::default();
        let outer = edits.open_length(0, 9);
        edits.replace(4, 5, |out| out.extend_from_slice(b"yy"));
        let inner = edits.open_length(5, 4);
        edits.replace(9, 13, |_| ());
        edits.close_length(&inner);
        edits.close_length(&outer);
        let body = b"\x00\x00\x00\x09x\x00\x00\x00\x04abcd!";
        assert_eq!(applied(&edits, body), b"\x00\x00\x00\x06yy\x00\x00\x00\x00!");
    }

    #[test]
    fn null_drops_what_was_found_before() {
        let mut edits = Edits::default();
        let open = edits.open_length(0, 3);
        edits.replace(4, 5, |out| out.extend_from_slice(b"kept?"));
        edits.close_null(&open);
        assert_eq!(applied(&edits, b"\x00\x00\x00\x03abcd"), b"\xff\xff\xff\xffd");
    }

    #[test]
    fn cleared_edits_change_nothing() {
        let mut edits = Edits::default();
        edits.replace(0, 1, |out| out.push(b'x'));
        edits.clear();
        assert!(edits.is_empty());
        assert_eq!(applied(&edits, b"abc"), b"abc");
    }

    #[test]
    #[should_panic(expected = "edits overlap")]
    fn overlap_is_our_mistake() {
        let mut edits = Edits::default();
        edits.replace(0, 2, |_| ());
        edits.replace(1, 3, |_| ());
    }
}
