//! The byte format of a journal segment.
//!
//! In: entries and their place in the log; the bytes of a segment. Out: frames; gaps.
//! Never: a frame that is not whole, a frame of an earlier life of a recycled file, a panic.
//!
//! A segment is a file of fixed size, filled with zeros once and used again after it was sealed.
//! Its header names the one life the frames must belong to:
//!
//! ```text
//! 0        8         12      16               24              40            48                56
//! +--------+---------+-------+----------------+---------------+-------------+-----------------+----
//! | WEIRJL01 | version | shard | segment number | boot id (16)  | created us  | first log index |
//! ..
//! +--------+---------+-------+----------------+---------------+-------------+-----------------+----
//!   56: node length u16, node (at most 126 bytes), zeros                     252: CRC-32 of 0..252
//! ```
//!
//! Frames follow from byte 256, each at a multiple of 8, padded with zeros:
//!
//! ```text
//! 0        4        8      9       10          16           24       32         40              56
//! +--------+--------+------+-------+-----------+------------+--------+----------+---------------+------
//! | length | CRC-32 | kind | body  | mark (6)  | log index  | seq    | wall us  | session (16)  |
//! body
//! +--------+--------+------+-------+-----------+------------+--------+----------+---------------+------
//!   length: header and body, without padding; 0 ends the segment
//!   byte 9: version of the body, see `body`
//! ```
//!
//! The CRC begins with the boot id and the segment number, so bytes left by an earlier life never
//! pass. The mark is the last six bytes of the boot id: a reader that looks for the next frame
//! behind a damaged one tries a CRC only where the mark stands, and a client cannot place one in
//! its own text, since the id is random and leaves weir in no record (file names carry the first
//! four bytes).
//!
//! Each entry takes the next log index; a `Context` carries the index of the entry after it and
//! takes none. So the frames around a hole tell exactly how many entries are missing in it.
//!
//! The writer places eight zero bytes behind the new frame, then the body, then the CRC, then the
//! length: the memory of a process killed at any point holds only whole frames. After a power cut
//! pages may be missing in any order; that is what the CRC and the resync are for.

use std::sync::atomic::{Ordering, fence};

use super::body::{self, Body, Count, Fill, Kind, Sink};
use super::entry::{Entry, SessionId};

use crate::hex;

/// Bytes before the first frame.
pub const HEADER_BYTES: usize = 256;
/// Bytes of a frame before its body.
pub const FRAME_BYTES: usize = 56;
/// Zero bytes that end a segment.
pub const END_BYTES: usize = 8;
const MAGIC: [u8; 8] = *b"WEIRJL01";
const VERSION: u32 = 1;
const NODE_BYTES_MAX: usize = 126;

/// Which life of a segment file its frames belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name of the gateway.
    pub node: String,
    /// Shard index.
    pub shard: u32,
    /// Number of the segment in its shard.
    pub number: u64,
    /// Random id of the process.
    pub boot: [u8; 16],
    /// UTC microseconds.
    pub created_us: i64,
    /// Log index of the first entry.
    pub first_index: u64,
}

impl Header {
    /// The 256 bytes. A node name over 126 bytes is cut at a character.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let cut = self.node.floor_char_boundary(NODE_BYTES_MAX);
        let node = &self.node[..cut];
        let mut head = Vec::with_capacity(HEADER_BYTES);
        head.put(&MAGIC);
        head.u32(VERSION);
        head.u32(self.shard);
        head.u64(self.number);
        head.put(&self.boot);
        head.i64(self.created_us);
        head.u64(self.first_index);
        head.put(&(node.len() as u16).to_le_bytes());
        head.put(node.as_bytes());
        out[..head.len()].copy_from_slice(&head);
        let crc = crc32fast::hash(&out[..HEADER_BYTES - 4]);
        out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` when there is none: a free segment, another version, damage.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        let (head, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(head) != u32::from_le_bytes(*crc) {
            return None;
        }
        if field::<8>(head, 0)? != MAGIC || u32::from_le_bytes(field(head, 8)?) != VERSION {
            return None;
        }
        let node_bytes = u16::from_le_bytes(field(head, 56)?) as usize;
        let node = head.get(58..58 + node_bytes)?;
        Some(Header {
            node: std::str::from_utf8(node).ok()?.to_owned(),
            shard: u32::from_le_bytes(field(head, 12)?),
            number: u64::from_le_bytes(field(head, 16)?),
            boot: field(head, 24)?,
            created_us: i64::from_le_bytes(field(head, 40)?),
            first_index: u64::from_le_bytes(field(head, 48)?),
        })
    }

    /// `<shard>-<number>-<boot>`, the part of a Parquet file's name that says where it is from.
    pub fn origin(&self) -> String {
        format!("{}-{}-{}", self.shard, self.number, boot_text(&self.boot))
    }

    /// What the frames are checked with.
    pub fn salt(&self) -> Salt {
        Salt::new(&self.boot, self.number)
    }
}

/// The first four bytes of a boot id in hexadecimal.
pub fn boot_text(boot: &[u8; 16]) -> String {
    let [a, b, c, d, ..] = boot;
    hex::text(&[*a, *b, *c, *d])
}

/// What ties a frame to one life of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt {
    crc: u32,
    mark: [u8; 6],
}

impl Salt {
    /// The salt of a segment.
    pub fn new(boot: &[u8; 16], number: u64) -> Salt {
        let mut salted = crc32fast::Hasher::new();
        salted.update(boot);
        salted.update(&number.to_le_bytes());
        let [.., a, b, c, d, e, f] = *boot;
        Salt { crc: salted.finalize(), mark: [a, b, c, d, e, f] }
    }

    fn checksum(&self, after_crc: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.update(after_crc);
        hasher.finalize()
    }
}

/// What is written into a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Log index.
    pub log_index: u64,
    /// Order inside the session.
    pub seq: u64,
    /// UTC microseconds.
    pub wall_us: i64,
    /// The session.
    pub session_id: SessionId,
}

/// Bytes a frame with this body takes in the segment, padding included.
pub fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_BYTES + body_bytes).next_multiple_of(8)
}

/// Bytes of an entry's body.
pub fn body_bytes(entry: &Entry<'_>) -> usize {
    let mut count = Count::default();
    body::put_entry(&mut count, entry);
    count.0
}

/// Writes an entry at the start of `into`, which holds at least `frame_bytes + END_BYTES`.
/// `body` is what `body_bytes` said of the entry. Returns the bytes taken.
pub fn write_entry(
    into: &mut [u8],
    salt: &Salt,
    place: &Place,
    entry: &Entry<'_>,
    body: usize,
) -> usize {
    write_frame(into, salt, place, (Kind::of(entry), body), |into| {
        let mut fill = Fill::new(into);
        body::put_entry(&mut fill, entry);
        fill.finish();
    })
}

/// Writes a `Context` frame whose body is already encoded.
pub fn write_context(into: &mut [u8], salt: &Salt, place: &Place, body: &[u8]) -> usize {
    write_frame(into, salt, place, (Kind::Context, body.len()), |into| into.copy_from_slice(body))
}

fn write_frame(
    into: &mut [u8],
    salt: &Salt,
    place: &Place,
    (kind, body): (Kind, usize),
    fill: impl FnOnce(&mut [u8]),
) -> usize {
    let length = FRAME_BYTES + body;
    let padded = length.next_multiple_of(8);
    // The end mark of this frame first: a killed writer leaves either it or the one before.
    into[padded..padded + END_BYTES].fill(0);
    into[length..padded].fill(0);
    fill(&mut into[FRAME_BYTES..length]);
    put_place(&mut into[8..FRAME_BYTES], salt, place, kind);
    let crc = salt.checksum(&into[8..length]);
    into[4..8].copy_from_slice(&crc.to_le_bytes());
    // A reader in another process may look at any time; the CRC would tell it, this spares it.
    fence(Ordering::Release);
    into[..4].copy_from_slice(&(length as u32).to_le_bytes());
    padded
}

/// The head of a frame whose body is written in parts. Its bytes come last, its length and CRC at
/// the very end.
#[derive(Debug)]
pub(in crate::record) struct Head {
    bytes: [u8; FRAME_BYTES],
    hasher: crc32fast::Hasher,
    length: usize,
}

impl Head {
    /// Of an entry whose body takes `body` bytes.
    pub fn new(salt: &Salt, place: &Place, entry: &Entry<'_>, body: usize) -> Head {
        let mut bytes = [0; FRAME_BYTES];
        put_place(&mut bytes[8..], salt, place, Kind::of(entry));
        let mut hasher = crc32fast::Hasher::new_with_initial(salt.crc);
        hasher.update(&bytes[8..]);
        Head { bytes, hasher, length: FRAME_BYTES + body }
    }

    /// A part of the body, in order.
    pub fn sum(&mut self, part: &[u8]) {
        self.hasher.update(part);
    }

    /// All of the head.
    pub fn finish(self) -> [u8; FRAME_BYTES] {
        let Head { mut bytes, hasher, length } = self;
        bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    }
}

fn put_place(head: &mut [u8], salt: &Salt, place: &Place, kind: Kind) {
    head[0] = kind as u8;
    head[1] = body::VERSION;
    head[2..8].copy_from_slice(&salt.mark);
    head[8..16].copy_from_slice(&place.log_index.to_le_bytes());
    head[16..24].copy_from_slice(&place.seq.to_le_bytes());
    head[24..32].copy_from_slice(&place.wall_us.to_le_bytes());
    head[32..48].copy_from_slice(&place.session_id.0);
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Where it begins in the segment.
    pub offset: usize,
    /// What it holds.
    pub kind: Kind,
    /// Its place.
    pub place: Place,
    /// Its bytes.
    pub raw: Raw<'a>,
}

/// The bytes of a whole frame, without its padding. A sixth of what a `Frame` takes, which can be
/// had of it again: for those who keep one for each entry of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// All of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Its place.
    pub fn place(&self) -> Place {
        Place {
            log_index: u64::from_le_bytes(self.field(16)),
            seq: u64::from_le_bytes(self.field(24)),
            wall_us: i64::from_le_bytes(self.field(32)),
            session_id: SessionId(self.field(40)),
        }
    }

    /// The bytes of the body.
    pub fn body_bytes(&self) -> &'a [u8] {
        &self.0[FRAME_BYTES..]
    }

    /// The body; `None` when a frame of a right checksum holds what this version cannot read.
    pub fn body(&self) -> Option<Body<'a>> {
        body::read(self.kind()?, self.version(), self.body_bytes())
    }

    /// Version of the body.
    pub fn version(&self) -> u8 {
        let [version] = self.field(9);
        version
    }

    fn kind(&self) -> Option<Kind> {
        let [kind] = self.field(8);
        Kind::from_byte(kind)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let head: Option<&[u8; FRAME_BYTES]> = self.0.first_chunk();
        let Some(field) = head.and_then(|head| field(head, at)) else {
            unreachable!("a frame has its head")
        };
        field
    }
}

impl<'a> Frame<'a> {
    /// See `Raw::body`.
    pub fn body(&self) -> Option<Body<'a>> {
        self.raw.body()
    }

    /// Reads the frame at `offset`. `None`: no whole frame of this life begins there.
    pub fn read(segment: &'a [u8], offset: usize, salt: &Salt) -> Option<Frame<'a>> {
        let rest = segment.get(offset..)?;
        let length = u32::from_le_bytes(field(rest, 0)?) as usize;
        if length < FRAME_BYTES || field::<6>(rest, 10)? != salt.mark {
            return None;
        }
        // With its padding: what stands behind a frame is taken to be there by whoever reads on.
        let frame = rest.get(..length.next_multiple_of(8))?.get(..length)?;
        if u32::from_le_bytes(field(frame, 4)?) != salt.checksum(frame.get(8..)?) {
            return None;
        }
        let raw = Raw(frame);
        Some(Frame { offset, kind: raw.kind()?, place: raw.place(), raw })
    }

    /// Where the next frame begins.
    pub fn end(&self) -> usize {
        self.offset + self.raw.0.len().next_multiple_of(8)
    }
}

/// One step of reading a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Bytes that are no frame, with whole frames behind them.
    Gap(Gap),
}

/// A hole in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First byte of the hole.
    pub from_offset: usize,
    /// First byte behind it.
    pub to_offset: usize,
    /// Log index of the first missing entry.
    pub from_index: u64,
    /// Entries missing.
    pub entries: u64,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the end mark, or the segment is full.
    Clean,
    /// At bytes that are neither a frame nor an end mark, and no frame follows.
    Torn,
}

/// Reads the frames of a segment in order.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    segment: &'a [u8],
    salt: Salt,
    offset: usize,
    next_index: u64,
    resync: bool,
    end: Option<End>,
}

impl<'a> Frames<'a> {
    /// All frames of a sealed or abandoned segment; damage in the middle is a `Gap`.
    pub fn new(segment: &'a [u8], header: &Header) -> Frames<'a> {
        Frames {
            segment,
            salt: header.salt(),
            offset: HEADER_BYTES,
            next_index: header.first_index,
            resync: true,
            end: None,
        }
    }

    /// The frames of a segment that is being written, until the first that is not whole yet.
    pub fn live(segment: &'a [u8], header: &Header) -> Frames<'a> {
        Frames { resync: false, ..Frames::new(segment, header) }
    }

    /// Where the next frame would begin.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Log index of the next entry.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// How the segment ended, once there is no next step.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn finish(&mut self) -> Option<Step<'a>> {
        let mark = self.segment.get(self.offset..self.offset + END_BYTES);
        let clean = mark.is_none_or(|mark| mark.iter().all(|byte| *byte == 0));
        self.end = Some(if clean { End::Clean } else { End::Torn });
        None
    }

    /// A frame behind damage counts only if its index can stand there: later than what was read.
    fn next_whole(&self) -> Option<Frame<'a>> {
        let mut offset = self.offset + 8;
        while offset + FRAME_BYTES <= self.segment.len() {
            if let Some(frame) = Frame::read(self.segment, offset, &self.salt)
                && frame.place.log_index >= self.next_index
            {
                return Some(frame);
            }
            offset += 8;
        }
        None
    }

    fn advance(&mut self, frame: &Frame<'a>) {
        self.offset = frame.end();
        if frame.kind != Kind::Context {
            self.next_index = frame.place.log_index.saturating_add(1);
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.end.is_some() {
            return None;
        }
        if let Some(frame) = Frame::read(self.segment, self.offset, &self.salt)
            && frame.place.log_index == self.next_index
        {
            self.advance(&frame);
            return Some(Step::Frame(frame));
        }
        let found = if self.resync { self.next_whole() } else { None };
        let Some(frame) = found else {
            return self.finish();
        };
        let gap = Gap {
            from_offset: self.offset,
            to_offset: frame.offset,
            from_index: self.next_index,
            entries: frame.place.log_index - self.next_index,
        };
        self.offset = frame.offset;
        self.next_index = frame.place.log_index;
        Some(Step::Gap(gap))
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
