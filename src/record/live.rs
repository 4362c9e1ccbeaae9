//! Segments that another process is writing, read without a lock.
//!
//! In: segment files. Out: copies of what is whole in them.
//! Never: bytes of a segment that was freed while it was read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::journal::{END_BYTES, Frames, HEADER_BYTES, Header};
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

fn read_one(path: &Path) -> io::Result<Option<LiveSegment>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = read_at(&file, 0, FIRST_READ_BYTES.min(size))?;
    let Some(header) = Header::read(&bytes) else { return Ok(None) };
    loop {
        let mut frames = Frames::live(&bytes, &header);
        frames.by_ref().for_each(drop);
        let have = bytes.len() as u64;
        if have >= size || !cut(&bytes, frames.offset()) {
            break;
        }
        let more = read_at(&file, have, have.min(size - have))?;
        bytes.extend_from_slice(&more);
    }
    // Freed meanwhile: its rows are in the lake, and what was read here may be of two lives.
    let again = read_at(&file, 0, HEADER_BYTES as u64)?;
    Ok((Header::read(&again).as_ref() == Some(&header)).then_some(LiveSegment { header, bytes }))
}

/// Whether the copy, not the writer, is why no frame begins at `offset`.
pub(in crate::record) fn cut(bytes: &[u8], offset: usize) -> bool {
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
