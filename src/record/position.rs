//! Small files that say where the log of a shard is.
//!
//! In: numbers of segments and entries. Out: the same after a restart.
//! Never: a number that goes back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;

/// Where a shard's log goes on after a restart, so that log indexes grow over the life of a shard.
/// Written when a segment has been sealed; if it is lost, numbers start again under another boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Log index of the next entry.
    pub next_index: u64,
    /// Number of the next segment.
    pub next_segment: u64,
}

impl Position {
    /// Where the position of a shard stands.
    pub(in crate::record) fn path(dir: &Path, shard: u32) -> PathBuf {
        dir.join(format!("shard-{shard}.position"))
    }

    /// Reads the position of a shard; zeros when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(dir: &Path, shard: u32) -> io::Result<Position> {
        let text = match fs::read_to_string(Position::path(dir, shard)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Position::default()),
            Err(error) => return Err(error),
        };
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(next_index)), Some(Ok(next_segment))) => {
                Ok(Position { next_index, next_segment })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Moves the position of a shard forward, never back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn advance(self, dir: &Path, shard: u32) -> io::Result<()> {
        let old = Position::read(dir, shard).unwrap_or_default();
        let next = Position {
            next_index: self.next_index.max(old.next_index),
            next_segment: self.next_segment.max(old.next_segment),
        };
        if next == old {
            return Ok(());
        }
        let text = format!("{} {}\n", next.next_index, next.next_segment);
        durable::write_file(&Position::path(dir, shard), text.as_bytes())
    }
}

/// The segment that a shard opened last: should its file be gone at the next start, something is
/// missing. Written by the thread that makes segments, soon after the segment is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Number of the segment.
    pub number: u64,
    /// Log index of its first entry.
    pub first_index: u64,
}

impl Opened {
    fn path(dir: &Path, shard: u32) -> PathBuf {
        dir.join(format!("shard-{shard}.opened"))
    }

    /// Reads which one it was; `None` when nobody can tell.
    ///
    /// # Errors
    /// When the file is there and the disk does not give it.
    pub fn read(dir: &Path, shard: u32) -> io::Result<Option<Opened>> {
        let text = match fs::read(Opened::path(dir, shard)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        let mut numbers = text.split_whitespace().map(str::parse);
        Ok(match (numbers.next(), numbers.next()) {
            (Some(Ok(number)), Some(Ok(first_index))) => Some(Opened { number, first_index }),
            _ => None,
        })
    }

    pub(in crate::record) fn write(self, dir: &Path, shard: u32) -> io::Result<()> {
        let text = format!("{} {}\n", self.number, self.first_index);
        durable::write_file(&Opened::path(dir, shard), text.as_bytes())
    }
}
