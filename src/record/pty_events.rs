//! What passed in a terminal or a program's streams, with its times: the encoding `pty-events`.
//!
//! In: events and when they happened. Out: the payload of a chunk, and back.
//! Never: an allocation by the reader, a panic, an event that is not whole.
//!
//! A payload is events, one behind the other:
//!
//! ```text
//! varint microseconds since the event before | kind, one byte | varint length | bytes
//! ```
//!
//! Varints are LEB128: seven bits a byte, the lowest first, the last byte without the eighth. A
//! chunk can be read alone: the time of its first event counts from `at_us` of the chunk. An event
//! is stamped when it goes to the client, after masks, or when it came from the client.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes from the client.
    Input = 1,
    /// Bytes to the client.
    Output = 2,
    /// Bytes to the client on its stream of errors.
    Stderr = 3,
    /// The terminal's size, `COLSxROWS`.
    Size = 4,
    /// A signal from the client, its name without `SIG`.
    Signal = 5,
    /// The client sends no more.
    EofClient = 6,
    /// The target sends no more.
    EofTarget = 7,
    /// The program ended: its status in decimal, or the name of the signal that ended it.
    Exit = 8,
    /// Text of weir's own that the client saw.
    Notice = 9,
    /// Output that was not kept: how many bytes, in decimal.
    Gap = 10,
    /// Input that is not readable here: how many bytes, in decimal.
    SecretInput = 11,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 11] = [
        Kind::Input,
        Kind::Output,
        Kind::Stderr,
        Kind::Size,
        Kind::Signal,
        Kind::EofClient,
        Kind::EofTarget,
        Kind::Exit,
        Kind::Notice,
        Kind::Gap,
        Kind::SecretInput,
    ];

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Name of the encoding in `stream_chunks`.
pub const ENCODING: &str = "pty-events";

/// Bytes that an event takes besides its own, at most: two varints of ten bytes, and the kind.
pub const EVENT_BYTES: usize = 21;

/// The events of a chunk that is being filled.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    first_us: i64,
    last_us: i64,
}

impl Writer {
    /// Appends an event. One that seems to be before the last, because the clock was set back, is
    /// at the same time as that.
    pub fn push(&mut self, at_us: i64, kind: Kind, bytes: &[u8]) {
        if self.bytes.is_empty() {
            (self.first_us, self.last_us) = (at_us, at_us);
        }
        let since = at_us.saturating_sub(self.last_us).max(0);
        self.last_us += since;
        push_varint(&mut self.bytes, since as u64);
        self.bytes.push(kind as u8);
        push_varint(&mut self.bytes, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// When the first event happened: `at_us` of the chunk.
    pub fn first_us(&self) -> Option<i64> {
        (!self.bytes.is_empty()).then_some(self.first_us)
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        &self.bytes
    }

    /// The next event is of another chunk. Keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// An event, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When it happened, on the clock of the chunk's `at_us`.
    pub at_us: i64,
    /// What.
    pub kind: Kind,
    /// The bytes, as their kind says.
    pub bytes: &'a [u8],
}

/// The payload makes no sense from a byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event begins at byte {0} of the chunk")]
pub struct Broken(pub usize);

/// Reads the events of a payload; ends after the first that is broken.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
    length: usize,
    at_us: i64,
}

impl<'a> Events<'a> {
    /// The events of a chunk that began at `at_us`.
    pub fn new(payload: &'a [u8], at_us: i64) -> Events<'a> {
        Events { rest: payload, length: payload.len(), at_us }
    }

    fn event(&mut self) -> Option<Event<'a>> {
        let (since, rest) = varint(self.rest)?;
        let (kind, rest) = rest.split_first()?;
        let kind = Kind::from_byte(*kind)?;
        let (length, rest) = varint(rest)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        self.at_us = self.at_us.saturating_add(i64::try_from(since).ok()?);
        Some(Event { at_us: self.at_us, kind, bytes })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Broken>;

    fn next(&mut self) -> Option<Result<Event<'a>, Broken>> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.length - self.rest.len();
        let event = self.event();
        if event.is_none() {
            self.rest = &[];
        }
        Some(event.ok_or(Broken(at)))
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if at == 9 && part > 1 {
            return None;
        }
        number |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Vec<(i64, Kind, Vec<u8>)>> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        let bytes = prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::vec((0_i64..1 << 40, kind, bytes), 0..20)
    }

    #[test]
    fn the_bytes_are_these() {
        let mut writer = Writer::default();
        assert_eq!(writer.first_us(), None);
        writer.push(1_000, Kind::Output, b"hi");
        writer.push(1_300, Kind::Exit, b"0");
        writer.push(900, Kind::EofTarget, b"");
        assert_eq!(writer.payload(), b"\x00\x02\x02hi\xac\x02\x08\x010\x00\x07\x00");
        assert_eq!(writer.first_us(), Some(1_000));
        let read: Vec<_> = Events::new(writer.payload(), 1_000).map(Result::unwrap).collect();
        let times: Vec<i64> = read.iter().map(|event| event.at_us).collect();
        assert_eq!(times, [1_000, 1_300, 1_300]);
        writer.clear();
        writer.push(5_000, Kind::Input, &[b'x'; 200]);
        assert_eq!(&writer.payload()[..4], b"\x00\x01\xc8\x01");
        assert_eq!(writer.payload().len(), 204);
    }

    #[test]
    fn what_is_broken_is_said_once() {
        for (payload, at) in [
            (&b"\x00\x00\x00"[..], 0),
            (b"\x00\x0c\x00", 0),
            (b"\x00\x01\x01a\x80", 4),
            (b"\x00\x01\x05abc", 0),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01\x00", 0),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 0),
            // More microseconds than a clock has.
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00", 0),
        ] {
            let read: Vec<_> = Events::new(payload, 0).collect();
            assert_eq!(read.last(), Some(&Err(Broken(at))), "{payload:?}");
            assert_eq!(read.iter().filter(|event| event.is_err()).count(), 1);
        }
    }

    proptest! {
        #[test]
        fn events_are_read_as_they_were_written(events in events(), cut in any::<prop::sample::Index>()) {
            let mut writer = Writer::default();
            let mut ends = vec![0];
            for (at_us, kind, bytes) in &events {
                let before = writer.payload().len();
                writer.push(*at_us, *kind, bytes);
                prop_assert!(writer.payload().len() - before <= bytes.len() + EVENT_BYTES);
                ends.push(writer.payload().len());
            }
            let first = writer.first_us().unwrap_or(0);
            let mut latest = first;
            for (read, (at_us, kind, bytes)) in Events::new(writer.payload(), first).zip(&events) {
                latest = latest.max(*at_us);
                prop_assert_eq!(read, Ok(Event { at_us: latest, kind: *kind, bytes }));
            }
            prop_assert_eq!(Events::new(writer.payload(), first).count(), events.len());
            // Cut anywhere, the whole events before the cut are read and nothing else.
            let at = cut.index(writer.payload().len() + 1);
            let whole = ends.iter().filter(|end| **end <= at).count() - 1;
            let read = Events::new(&writer.payload()[..at], first).filter_map(Result::ok).count();
            prop_assert_eq!(read, whole);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..64), at_us in any::<i64>()) {
            let read: Vec<_> = Events::new(&payload, at_us).collect();
            prop_assert!(read.len() <= payload.len());
        }
    }
}
