//! What was seen and typed in a shell or a command, in its time: the encoding `pty-events`.
//!
//! In: events with their times; or the bytes of one chunk. Out: the bytes; or the events. Never: an
//! event over two chunks, a panic on bytes that are no events.
//!
//! ```text
//!   chunk = event*
//!   event = +-----------------------------+----------+---------------+---------------+
//!           | microseconds since the last | kind (1) | length of     | bytes         |
//!           | event of the stream: varint |          | bytes: varint |               |
//!           +-----------------------------+----------+---------------+---------------+
//!   varint: seven bits each byte, low ones first, the high bit set on all bytes but the last
//! ```
//!
//! The first event of a stream counts from the start of its row. A chunk begins where the one
//! before it ended: what is known of the time at its start is the sum of all before it.

/// The name of the encoding.
pub const ENCODING: &str = "pty-events";

/// Kinds of events; the numbers stand in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of the client, if they may be read.
    Input = 1,
    /// Standard output, as the client saw it.
    Output = 2,
    /// Standard error, as the client saw it.
    Stderr = 3,
    /// The terminal's size: two varints, columns and rows.
    Size = 4,
    /// A signal of the client's, by its name without `SIG`.
    Signal = 5,
    /// No more input.
    InputEof = 6,
    /// No more output.
    OutputEof = 7,
    /// The end: an exit status as a varint, or a signal's name. The first byte tells them apart:
    /// `0` or `1`.
    Exit = 8,
    /// Words of weir's to the client.
    Notice = 9,
    /// Bytes that were not kept: a varint, how many.
    Gap = 10,
    /// Input that is not kept: a varint, how many bytes.
    CountedInput = 11,
    /// Nothing of what comes is kept any more but its end.
    Ended = 12,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::Input,
        Kind::Output,
        Kind::Stderr,
        Kind::Size,
        Kind::Signal,
        Kind::InputEof,
        Kind::OutputEof,
        Kind::Exit,
        Kind::Notice,
        Kind::Gap,
        Kind::CountedInput,
        Kind::Ended,
    ];

    /// The kind of a byte.
    pub fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'b> {
    /// Since the event before it.
    pub after_us: u64,
    /// What happened.
    pub kind: Kind,
    /// What its kind says.
    pub bytes: &'b [u8],
}

/// Writes the events of one stream.
#[derive(Debug, Default)]
pub struct Writer {
    last_us: u64,
    chunk: Vec<u8>,
}

impl Writer {
    /// A stream that starts at `start_us`, in the clock of the events.
    pub const fn new(start_us: u64) -> Writer {
        Writer { last_us: start_us, chunk: Vec::new() }
    }

    /// Adds an event. A clock that goes back counts as one that stands still.
    pub fn push(&mut self, at_us: u64, kind: Kind, bytes: &[u8]) {
        put_varint(&mut self.chunk, at_us.saturating_sub(self.last_us));
        self.last_us = self.last_us.max(at_us);
        self.chunk.push(kind as u8);
        put_varint(&mut self.chunk, bytes.len() as u64);
        self.chunk.extend_from_slice(bytes);
    }

    /// Bytes of the chunk so far.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk.len()
    }

    /// Takes the chunk.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.chunk)
    }
}

/// Reads the events of one chunk; ends early where the bytes are none.
#[derive(Clone, Copy, Debug)]
pub struct Events<'b> {
    rest: &'b [u8],
}

impl<'b> Events<'b> {
    /// Reads from the start of a chunk.
    pub const fn new(chunk: &'b [u8]) -> Events<'b> {
        Events { rest: chunk }
    }

    /// What could not be read; empty after a whole chunk.
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

impl<'b> Iterator for Events<'b> {
    type Item = Event<'b>;

    fn next(&mut self) -> Option<Event<'b>> {
        let mut rest = self.rest;
        let after_us = take_varint(&mut rest)?;
        let (&byte, mut rest) = rest.split_first()?;
        let kind = Kind::of(byte)?;
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Event { after_us, kind, bytes })
    }
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front; `None` if there is none.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit left.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_back_as_they_were(
            events in proptest::collection::vec(
                (0u64..1 << 40, 1u8..=12, proptest::collection::vec(any::<u8>(), 0..300)), 0..50),
            at in any::<u64>(),
        ) {
            let mut now = at >> 1;
            let mut writer = Writer::new(now);
            for (after, kind, bytes) in &events {
                now += after;
                writer.push(now, Kind::of(*kind).expect("a kind"), bytes);
            }
            let chunk = writer.take();
            let mut reader = Events::new(&chunk);
            let read: Vec<_> = reader
                .by_ref()
                .map(|event| (event.after_us, event.kind as u8, event.bytes.to_vec()))
                .collect();
            prop_assert_eq!(read, events);
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Events::new(&bytes).map(|event| event.bytes.len() + 3).sum::<usize>();
            prop_assert!(read <= bytes.len());
        }

        #[test]
        fn numbers_come_back(value in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_chunk_cut_anywhere_gives_the_events_before_the_cut() {
        let mut writer = Writer::new(5);
        writer.push(7, Kind::Output, b"hello");
        let first = writer.chunk_bytes();
        writer.push(6, Kind::Size, &[80, 24]);
        let chunk = writer.take();
        assert_eq!(&chunk[..first], b"\x02\x02\x05hello");
        for cut in 0..chunk.len() {
            let mut events = Events::new(&chunk[..cut]);
            assert_eq!(events.by_ref().count(), usize::from(cut >= first), "cut at {cut}");
            assert_eq!(events.rest().len(), if cut >= first { cut - first } else { cut });
        }
        assert_eq!(Events::new(&chunk).last().map(|event| event.after_us), Some(0));
    }
}
