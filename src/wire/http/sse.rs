//! Events of a stream of server-sent events (WHATWG HTML 9.2), whole and as they were written.
//!
//! In: the content of a `text/event-stream` in any split. Out: events, each with its empty line.
//! Never: an event longer than `limits::SSE_EVENT_BYTES_MAX`; a byte changed.
//!
//! A line ends with LF, CR or CRLF. An event that a CR ends is handed out with it, at once: the LF
//! that may follow would come with the next event, and opens none.

use crate::limits::SSE_EVENT_BYTES_MAX;

/// An event is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream into events.
#[derive(Debug, Default)]
pub struct Splitter {
    carry: Vec<u8>,
    /// Bytes of the line that is not over.
    line_bytes: usize,
    /// The last byte was a CR, whose LF may follow.
    after_cr: bool,
    /// The carry was handed out.
    spent: bool,
}

impl Splitter {
    /// The next event of `input`, whose start moves; `None` if more bytes are needed. What stands
    /// between two events (comments, empty lines) is an event of its own.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn next<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<&'s [u8]>, TooLong> {
        if std::mem::take(&mut self.spent) {
            self.carry.clear();
            self.carry.shrink_to(16 << 10);
        }
        let (end, is_whole) = self.scan(input);
        let (event, rest) = input.split_at(end);
        *input = rest;
        if self.carry.len() + event.len() > SSE_EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        if is_whole && self.carry.is_empty() {
            return Ok(Some(event));
        }
        self.carry.extend_from_slice(event);
        self.spent = is_whole;
        Ok(is_whole.then_some(&self.carry))
    }

    /// What was received behind the last event. It never becomes one (HTML 9.2.6).
    pub fn rest(&self) -> &[u8] {
        if self.spent { &[] } else { &self.carry }
    }

    /// Whether no event has begun that is not over.
    pub fn is_between(&self) -> bool {
        self.rest().is_empty() && self.line_bytes == 0
    }

    /// How many bytes belong to the event, and whether it is whole with them.
    fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        if self.after_cr && input.first() == Some(&b'\n') {
            at = 1;
        }
        if !input.is_empty() {
            self.after_cr = false;
        }
        loop {
            let rest = input.get(at..).unwrap_or(&[]);
            let Some(found) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.line_bytes += rest.len();
                return (input.len(), false);
            };
            let is_empty = self.line_bytes + found == 0;
            self.line_bytes = 0;
            at += found + 1;
            if rest.get(found) == Some(&b'\r') {
                match rest.get(found + 1) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if is_empty {
                return (at, true);
            }
        }
    }
}

/// The lines of an event without their ends, and where each stands.
pub fn lines(event: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = event.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let length = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let ends_with_both = rest.get(length..length + 2) == Some(b"\r\n");
        at += length + if ends_with_both { 2 } else { 1 };
        Some((start, rest.get(..length).unwrap_or(&[])))
    })
}

/// The name and the value of a line, and where the value starts in it; none of a comment.
pub fn field(line: &[u8]) -> Option<(&[u8], usize, &[u8])> {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let (name, rest) = line.split_at(colon);
    if name.is_empty() {
        return None;
    }
    let value = rest.get(1..).unwrap_or(&[]);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    Some((name, line.len() - value.len(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for mut input in stream.chunks(piece) {
            while let Some(event) = splitter.next(&mut input).expect("short events") {
                found.push(event.to_vec());
            }
            assert!(input.is_empty());
        }
        found.push(splitter.rest().to_vec());
        found
    }

    #[test]
    fn every_line_end_and_every_split_gives_the_same_lines() {
        let plain = b"data: a\ndata: b\n\n: comment\n\nevent: x\ndata:c\nid\n\nrest";
        let whole = events(plain, plain.len());
        assert_eq!(whole.len(), 4);
        for end in [&b"\n"[..], b"\r", b"\r\n"] {
            let mut stream = Vec::new();
            for byte in plain {
                match byte {
                    b'\n' => stream.extend_from_slice(end),
                    byte => stream.push(*byte),
                }
            }
            for piece in 1..=stream.len() {
                let found = events(&stream, piece);
                assert_eq!(found.concat(), stream, "in pieces of {piece}");
                let text = |events: &[Vec<u8>]| -> Vec<Vec<Vec<u8>>> {
                    let full = |line: &(usize, &[u8])| !line.1.is_empty();
                    events
                        .iter()
                        .map(|e| lines(e).filter(full).map(|(_, line)| line.to_vec()).collect())
                        .collect()
                };
                assert_eq!(text(&found), text(&whole), "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_event_that_a_cr_ends_is_not_held_for_the_lf() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.next(&mut &b"data: a\r\r"[..]), Ok(Some(&b"data: a\r\r"[..])));
        assert_eq!(splitter.next(&mut &b"\ndata: b\n\n"[..]), Ok(Some(&b"\ndata: b\n\n"[..])));
    }

    #[test]
    fn a_long_event_is_refused() {
        let mut splitter = Splitter::default();
        let line = vec![b'x'; SSE_EVENT_BYTES_MAX];
        assert_eq!(splitter.next(&mut &line[..]), Ok(None));
        assert_eq!(splitter.next(&mut &b"x"[..]), Err(TooLong));
    }

    #[test]
    fn a_field_has_one_blank_less_than_its_line() {
        assert_eq!(field(b"data:  a: b"), Some((&b"data"[..], 6, &b" a: b"[..])));
        assert_eq!(field(b"data"), Some((&b"data"[..], 4, &b""[..])));
        assert_eq!(field(b": comment"), None);
    }
}
