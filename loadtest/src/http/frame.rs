//! Frames of HTTP/2 (RFC 9113, section 4), for the client and for the null server.
//!
//! In: bytes in any split. Out: frames. Never: a copy of DATA; its bytes are counted.
//!
//! ```text
//! +--------+------+-------+-----------+
//! | length | kind | flags | stream id |   3, 1, 1, 4 bytes; then the payload
//! +--------+------+-------+-----------+
//! ```

/// What a client says first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest frame that either side may send without being told otherwise.
pub const FRAME_BYTES_MAX: usize = 16_384;
/// Windows of flow control before anybody says anything.
pub const WINDOW_BYTES: i64 = 65_535;
const HEAD_BYTES: usize = 9;

/// DATA
pub const DATA: u8 = 0x0;
/// HEADERS
pub const HEADERS: u8 = 0x1;
/// RST_STREAM
pub const RESET: u8 = 0x3;
/// SETTINGS
pub const SETTINGS: u8 = 0x4;
/// PING
pub const PING: u8 = 0x6;
/// GOAWAY
pub const GOAWAY: u8 = 0x7;
/// WINDOW_UPDATE
pub const WINDOW_UPDATE: u8 = 0x8;
/// CONTINUATION
pub const CONTINUATION: u8 = 0x9;

/// Of DATA and HEADERS: the last frame of its side of the stream.
pub const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// Of HEADERS and CONTINUATION: no CONTINUATION follows.
pub const END_HEADERS: u8 = 0x4;
/// Of DATA and HEADERS.
pub const PADDED: u8 = 0x8;
/// Of HEADERS.
pub const PRIORITY: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE
pub const TABLE_SIZE: u16 = 0x1;
/// SETTINGS_ENABLE_PUSH
pub const ENABLE_PUSH: u16 = 0x2;
/// SETTINGS_MAX_CONCURRENT_STREAMS
pub const STREAMS_MAX: u16 = 0x3;
/// SETTINGS_INITIAL_WINDOW_SIZE
pub const WINDOW_SIZE: u16 = 0x4;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream, 0 for the connection.
    pub stream: u32,
    /// Bytes of its payload.
    pub bytes: usize,
}

impl Head {
    /// Whether a flag is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame from `payload`.
pub fn write(out: &mut Vec<u8>, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// SETTINGS of these.
pub fn settings(out: &mut Vec<u8>, values: &[(u16, u32)]) {
    let pair = |(name, value): &(u16, u32)| {
        let [a, b] = name.to_be_bytes();
        let [c, d, e, f] = value.to_be_bytes();
        [a, b, c, d, e, f]
    };
    let payload: Vec<u8> = values.iter().flat_map(pair).collect();
    write(out, (SETTINGS, 0), 0, &payload);
}

/// More room for a stream, or for the connection (0).
pub fn window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    write(out, (WINDOW_UPDATE, 0), stream, &bytes.to_be_bytes());
}

/// The values of a SETTINGS frame.
pub fn read_settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.as_chunks::<6>().0.iter().map(|[a, b, c, d, e, f]| {
        (u16::from_be_bytes([*a, *b]), u32::from_be_bytes([*c, *d, *e, *f]))
    })
}

/// A number of 31 bits at the start of a payload.
pub fn read_number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

/// What of HEADERS is fields: without padding and priority.
pub fn fragment<'p>(head: &Head, payload: &'p [u8]) -> Option<&'p [u8]> {
    let (padding, rest) = match head.has(PADDED) {
        true => payload.split_first().map(|(bytes, rest)| (usize::from(*bytes), rest))?,
        false => (0, payload),
    };
    let rest = if head.has(PRIORITY) { rest.get(5..)? } else { rest };
    rest.get(..rest.len().checked_sub(padding)?)
}

/// Frames from bytes in any split.
#[derive(Default)]
pub struct Frames {
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Of the frame that has begun.
    now: Option<Head>,
    left: usize,
    held: Vec<u8>,
}

impl Frames {
    /// `each` sees every frame that ends; DATA without its payload.
    ///
    /// # Errors
    /// A sentence: a frame is longer than it may be, or `each` failed.
    pub fn scan(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&Head, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        loop {
            let Some(head) = self.now else {
                let take = bytes.len().min(HEAD_BYTES - self.have);
                self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have < HEAD_BYTES {
                    return Ok(());
                }
                self.begin()?;
                continue;
            };
            let take = self.left.min(bytes.len());
            let (now, rest) = bytes.split_at(take);
            if head.kind != DATA {
                self.held.extend_from_slice(now);
            }
            bytes = rest;
            self.left -= take;
            if self.left > 0 {
                return Ok(());
            }
            self.now = None;
            each(&head, &self.held)?;
            self.held.clear();
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let [a, b, c, kind, flags, d, e, f, g] = self.head;
        let bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(format!("a frame of {bytes} bytes: this is not HTTP/2"));
        }
        let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
        self.now = Some(Head { kind, flags, stream, bytes });
        (self.have, self.left) = (0, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_however_they_are_split() {
        let mut whole = vec![];
        settings(&mut whole, &[(STREAMS_MAX, 100), (WINDOW_SIZE, 7)]);
        write(&mut whole, (DATA, END_STREAM), 5, b"body");
        window_update(&mut whole, 3, 9);
        let expect = [(SETTINGS, 0, 12, 12), (DATA, 5, 4, 0), (WINDOW_UPDATE, 3, 4, 4)];
        for at in 0..=whole.len() {
            let (mut frames, mut seen) = (Frames::default(), vec![]);
            for part in [&whole[..at], &whole[at..]] {
                frames
                    .scan(part, |head, payload| {
                        seen.push((head.kind, head.stream, head.bytes, payload.len()));
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(seen, expect, "{at}");
        }
        let got: Vec<_> = read_settings(&whole[9..21]).collect();
        assert_eq!(got, [(STREAMS_MAX, 100), (WINDOW_SIZE, 7)]);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let mut frames = Frames::default();
        assert!(frames.scan(b"HTTP/1.1 400 Bad Request\r\n", |_, _| Ok(())).is_err());
    }

    #[test]
    fn padding_and_priority_are_no_fields() {
        let head = |flags| Head { kind: HEADERS, flags, stream: 1, bytes: 0 };
        assert_eq!(fragment(&head(0), b"abc"), Some(&b"abc"[..]));
        assert_eq!(fragment(&head(PADDED), b"\x02abc__"), Some(&b"abc"[..]));
        assert_eq!(fragment(&head(PADDED | PRIORITY), b"\x0112345a_"), Some(&b"a"[..]));
        assert_eq!(fragment(&head(PADDED), b"\x09abc"), None);
        assert_eq!(fragment(&head(PRIORITY), b"abc"), None);
    }
}
