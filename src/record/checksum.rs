//! Whether a file of the lake is what weir wrote.
//!
//! In: the bytes of a file, as they are written; a file that is read. Out: two checksums at its
//! start; whether they still fit. Never: a footer that is believed before it was checked.
//!
//! Parquet has checksums for the bodies of pages alone (`column/page`). A bit of a footer that is
//! flipped may be a minimum that hides rows, or the name of a column; so weir's own reader checks
//! all of it. Readers of Parquet go by offsets and never look at what stands between the magic and
//! the first row group:
//!
//! ```text
//! "PAR1" "weir" | tail at: u64 | CRC-32 of row groups | CRC-32 of tail | row groups | tail
//! ```
//!
//! The tail is the page index and the footer. Files of older versions of weir have no such mark.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const MARK: &[u8; 8] = b"PAR1weir";
/// Bytes before the first row group.
const HEAD_BYTES: u64 = 24;
const READ_BYTES: usize = 1 << 18;

/// A file that is being written.
pub(in crate::record) struct Summed {
    file: File,
    hasher: crc32fast::Hasher,
    bytes: u64,
    /// Where the tail begins, and the checksum of what stands before it.
    body: (u64, u32),
}

impl Summed {
    /// What follows the magic, until the checksums are known.
    pub const PLACE: [u8; HEAD_BYTES as usize - 4] = [0; HEAD_BYTES as usize - 4];

    /// An empty file.
    pub fn new(file: File) -> Summed {
        Summed { file, hasher: crc32fast::Hasher::new(), bytes: 0, body: (0, 0) }
    }

    /// All row groups are written; what follows is the tail.
    pub fn end_body(&mut self) {
        let hasher = std::mem::take(&mut self.hasher);
        self.body = (self.bytes, hasher.finalize());
    }

    /// The file, once its tail is written.
    pub fn finish(self) -> io::Result<File> {
        let (at, body) = self.body;
        assert!(at >= HEAD_BYTES, "the body of a file ends before its tail");
        let (mark, body, tail) = (MARK.as_slice(), body.to_le_bytes(), self.hasher.finalize());
        let head = [mark, &at.to_le_bytes(), &body, &tail.to_le_bytes()].concat();
        assert_eq!(head.len() as u64, HEAD_BYTES);
        self.file.write_all_at(&head, 0)?;
        Ok(self.file)
    }
}

impl Write for Summed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buf)?;
        let of_head = HEAD_BYTES.saturating_sub(self.bytes).min(count as u64) as usize;
        self.hasher.update(buf.get(of_head..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::record) struct Sums {
    tail_at: u64,
    body: u32,
    tail: u32,
}

impl Sums {
    /// Of a file; none stand in those of older versions.
    pub fn read(file: &File) -> io::Result<Option<Sums>> {
        let mut head = [0; HEAD_BYTES as usize];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some(rest) = head.strip_prefix(MARK) else { return Ok(None) };
        let word = |at: usize| {
            let bytes = rest.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let tail_at = u64::from(word(0)) | u64::from(word(4)) << 32;
        Ok(Some(Sums { tail_at, body: word(8), tail: word(12) }))
    }

    /// Whether the tail is what was written.
    pub fn tail_fits(self, file: &File) -> io::Result<bool> {
        Ok(crc(file, self.tail_at, u64::MAX)? == Some(self.tail))
    }

    /// Whether the row groups are what was written.
    pub fn body_fits(self, file: &File) -> io::Result<bool> {
        Ok(crc(file, HEAD_BYTES, self.tail_at)? == Some(self.body))
    }
}

/// The checksum of a stretch; `None` if the file does not reach so far.
fn crc(file: &File, from: u64, until: u64) -> io::Result<Option<u32>> {
    let size = file.metadata()?.len();
    let (mut at, until) = (from, if until == u64::MAX { size } else { until });
    if from > until || until > size {
        return Ok(None);
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; READ_BYTES.min((until - from) as usize)];
    while at < until {
        let count = buffer.len().min((until - at) as usize);
        file.read_exact_at(&mut buffer[..count], at)?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(Some(hasher.finalize()))
}
