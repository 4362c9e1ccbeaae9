//! Segments that another process is writing, read without a lock.
//!
//! In: segment files. Out: copies of what is whole in them.
//! Never: bytes of a segment that was freed while it was read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::journal::{END_BYTES, Frame, HEADER_BYTES, Header};
use super::map;
use super::recover::segment_paths;

const FIRST_READ_BYTES: u64 = 256 << 10;

/// A copy of the used part of a segment.
#[derive(Debug)]
pub(in crate::record) struct LiveSegment {
    pub header: Header,
    pub bytes: Vec<u8>,
}

/// Copies every segment in use.
pub(in crate::record) fn read_all(journal: &Path) -> io::Result<Vec<LiveSegment>> {
    let mut live = Vec::new();
    for path in segment_paths(journal)? {
        match read_one(&path) {
            Ok(Some(segment)) => live.push(segment),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    live.sort_by_key(|segment| (segment.header.shard, segment.header.number));
    Ok(live)
}

/// Opens a segment so that reading it is not felt by the shard that writes it: the page cache takes
/// what is not there in pages, as `pool::FILL_BYTES` has it.
pub(in crate::record) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    map::read_by_page(&file);
    Ok(file)
}

fn read_one(path: &Path) -> io::Result<Option<LiveSegment>> {
    let file = open(path)?;
    let head = read_at(&file, 0, HEADER_BYTES as u64)?;
    let Some(header) = Header::read(&head) else { return Ok(None) };
    let rest = read_from(&file, HEADER_BYTES as u64, &header)?;
    Ok(rest.map(|rest| LiveSegment { bytes: [head, rest].concat(), header }))
}

/// Copies the frames from an offset on, as far as they are whole, and some bytes more. `None`: the
/// segment has another life than `header` says.
pub(in crate::record) fn read_from(
    file: &File,
    offset: u64,
    header: &Header,
) -> io::Result<Option<Vec<u8>>> {
    let size = file.metadata()?.len().saturating_sub(offset);
    let salt = header.salt();
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let have = bytes.len() as u64;
        let more = read_at(file, offset + have, have.max(FIRST_READ_BYTES).min(size - have))?;
        if more.is_empty() {
            break;
        }
        bytes.extend_from_slice(&more);
        while let Some(frame) = Frame::read(&bytes, at, &salt) {
            at = frame.end();
        }
        if bytes.len() as u64 >= size || !cut(&bytes, at) {
            break;
        }
    }
    // Freed meanwhile: its rows are in the lake, and what was read here may be of two lives.
    let again = read_at(file, 0, HEADER_BYTES as u64)?;
    Ok((Header::read(&again).as_ref() == Some(header)).then_some(bytes))
}

/// Whether the copy, not the writer, is why no frame begins at `offset`.
fn cut(bytes: &[u8], offset: usize) -> bool {
    let Some(head) = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()) else {
        return true;
    };
    let length = u32::from_le_bytes(*head) as usize;
    length != 0 && offset + length + END_BYTES > bytes.len()
}

pub(in crate::record) fn read_at(file: &File, at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}
