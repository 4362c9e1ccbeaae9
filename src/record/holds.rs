//! Held commands whose final entry is in a later segment.
//!
//! In: the holds of a segment that is sealed. Out: small files that outlive it.
//! Never: a hold that is in no file, no segment and no row.
//!
//! A file is a segment of its own: the header of the segment it came from, then the context and
//! `Hold` frames, copied. It is written before the segment is recycled, and deleted when the final
//! entries of all its holds are in the lake.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::body::{Body, ContextView};
use super::durable;
use super::journal::{self, Frame, HEADER_BYTES, Header};
use super::rows::{Held, Key};

const FOLDER: &str = "holds";
const SUFFIX: &str = "hold";

/// The files, and which execution waits in which.
#[derive(Debug)]
pub(in crate::record) struct Holds {
    dir: PathBuf,
    waiting: HashMap<Key, PathBuf>,
}

impl Holds {
    /// Reads what is there.
    pub fn load(journal: &Path) -> io::Result<Holds> {
        let dir = journal.join(FOLDER);
        let mut holds = Holds { dir, waiting: HashMap::new() };
        for path in holds.paths()? {
            let file = HoldFile::read(&path)?;
            for held in file.held() {
                holds.waiting.insert(key(&held.frame), path.clone());
            }
        }
        Ok(holds)
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        paths(&self.dir)
    }

    /// Keeps the holds of a segment.
    pub fn keep(&mut self, header: &Header, segment: &[u8], held: &[Held<'_>]) -> io::Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let mut bytes = header.bytes().to_vec();
        let mut contexts = HashSet::new();
        for hold in held {
            if let Some(frame) = hold.context_frame.filter(|frame| contexts.insert(frame.offset)) {
                bytes.extend_from_slice(raw(segment, &frame));
            }
            bytes.extend_from_slice(raw(segment, &hold.frame));
        }
        bytes.resize(bytes.len() + journal::END_BYTES, 0);
        let path = self.dir.join(format!("{}.{SUFFIX}", header.origin()));
        durable::write_file(&path, &bytes)?;
        for hold in held {
            self.waiting.insert(key(&hold.frame), path.clone());
        }
        Ok(())
    }

    /// The files that hold commands of these sessions.
    pub fn of_sessions(&self, sessions: &HashSet<super::SessionId>) -> io::Result<Vec<HoldFile>> {
        let mut paths: Vec<&PathBuf> = self
            .waiting
            .iter()
            .filter(|((session, _), _)| sessions.contains(session))
            .map(|(_, path)| path)
            .collect();
        paths.sort();
        paths.dedup();
        paths.into_iter().map(|path| HoldFile::read(path)).collect()
    }

    /// Whether this execution waits in a file.
    pub fn contains(&self, key: &Key) -> bool {
        self.waiting.contains_key(key)
    }

    /// Forgets executions whose rows are in the lake; deletes files that hold nothing else.
    pub fn settle(&mut self, keys: impl Iterator<Item = Key>) -> io::Result<()> {
        let mut touched = HashSet::new();
        for key in keys {
            if let Some(path) = self.waiting.remove(&key) {
                touched.insert(path);
            }
        }
        for path in self.waiting.values() {
            touched.remove(path);
        }
        touched.iter().try_for_each(|path| durable::remove_file(path))
    }
}

/// The paths of the hold files of a journal, in the order of their names.
pub(in crate::record) fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// All hold files of a journal, for readers.
pub(in crate::record) fn read_all(journal: &Path) -> io::Result<Vec<HoldFile>> {
    let mut files = Vec::new();
    for path in paths(&journal.join(FOLDER))? {
        match HoldFile::read(&path) {
            Ok(file) => files.push(file),
            // Settled while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// One file, read.
#[derive(Debug)]
pub(in crate::record) struct HoldFile {
    pub header: Header,
    bytes: Vec<u8>,
}

impl HoldFile {
    fn read(path: &Path) -> io::Result<HoldFile> {
        let bytes = fs::read(path)?;
        // Renamed into place, so a bad one is damage, and damage is said aloud.
        let header = Header::read(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(HoldFile { header, bytes })
    }

    /// The holds in it.
    pub fn held(&self) -> Vec<Held<'_>> {
        let salt = self.header.salt();
        let mut contexts = HashMap::new();
        let mut held = Vec::new();
        let mut offset = HEADER_BYTES;
        while let Some(frame) = Frame::read(&self.bytes, offset, &salt) {
            offset = frame.end();
            match frame.body() {
                Some(Body::Context(context)) => {
                    contexts.insert(context.session_id, (context, frame));
                }
                Some(Body::Command(_)) => {
                    let known = contexts.get(&frame.place.session_id);
                    let context = known.map_or(ContextView::default(), |(context, _)| *context);
                    let context_frame = known.map(|(_, frame)| *frame);
                    held.push(Held { frame, context, context_frame });
                }
                _ => {}
            }
        }
        held
    }
}

/// What identifies the execution of a frame.
pub(in crate::record) fn key(frame: &Frame<'_>) -> Key {
    (frame.place.session_id, frame.place.seq)
}

fn raw<'a>(segment: &'a [u8], frame: &Frame<'_>) -> &'a [u8] {
    &segment[frame.offset..frame.end()]
}
