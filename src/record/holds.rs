//! Held commands whose final entry is in a later segment.
//!
//! In: the holds of a segment that is sealed. Out: small files that outlive it.
//! Never: a hold that is in no file, no segment and no row.
//!
//! There is a file per hold, a segment of its own: the header of the segment it came from, then the
//! context and the `Hold` frame, copied. It is written before that segment is freed, and deleted
//! before the segment is freed that holds the final entry.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::body::{Body, ContextView};
use super::durable;
use super::entry::SessionId;
use super::journal::{self, Frame, HEADER_BYTES, Header};
use super::quarantine::{self, PutAside};
use super::rows::{ById, Held, Key, key};

const FOLDER: &str = "holds";
const SUFFIX: &str = "hold";

/// The executions that wait, each with its file.
#[derive(Debug)]
pub(in crate::record) struct Holds {
    dir: PathBuf,
    waiting: HashMap<Key, PathBuf>,
    /// Files that were damaged.
    pub aside: Vec<PutAside>,
}

impl Holds {
    /// Reads what is there. A damaged file is put aside.
    pub fn load(journal: &Path) -> io::Result<Holds> {
        let dir = journal.join(FOLDER);
        let mut holds = Holds { dir, waiting: HashMap::new(), aside: Vec::new() };
        for path in paths(&holds.dir)? {
            let file = match HoldFile::read(&path) {
                Ok(file) if !file.held().is_empty() => file,
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
                Ok(_) | Err(_) => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    holds.aside.push(PutAside {
                        origin: name.into_owned(),
                        file: quarantine::put(journal, &path)?,
                        entries: Some(1),
                        why: "a command that waits for approval cannot be read".into(),
                    });
                    continue;
                }
            };
            for held in file.held() {
                holds.waiting.insert(key(&held.frame.place), path.clone());
            }
        }
        Ok(holds)
    }

    /// Keeps the holds of a segment.
    pub fn keep(&mut self, header: &Header, segment: &[u8], held: &[Held<'_>]) -> io::Result<()> {
        for hold in held {
            let mut bytes = header.bytes().to_vec();
            if let Some(context) = &hold.context_frame {
                bytes.extend_from_slice(raw(segment, context));
            }
            bytes.extend_from_slice(raw(segment, &hold.frame));
            bytes.resize(bytes.len() + journal::END_BYTES, 0);
            let index = hold.frame.place.log_index;
            let path = self.dir.join(format!("{}-{index}.{SUFFIX}", header.origin()));
            durable::write_file(&path, &bytes)?;
            self.waiting.insert(key(&hold.frame.place), path);
        }
        Ok(())
    }

    /// The files of commands of these sessions.
    pub fn of_sessions(&self, sessions: &HashSet<SessionId>) -> io::Result<Vec<HoldFile>> {
        let of_sessions =
            self.waiting.iter().filter(|((session, _), _)| sessions.contains(session));
        let mut paths: Vec<&PathBuf> = of_sessions.map(|(_, path)| path).collect();
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            match HoldFile::read(path) {
                Ok(file) => files.push(file),
                // Hurt since it was read: the next start puts it aside.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// The executions that wait in files.
    pub fn waiting(&self) -> HashSet<Key, ById> {
        self.waiting.keys().copied().collect()
    }

    /// Deletes the files of executions whose rows are in the lake.
    pub fn settle(&mut self, keys: impl Iterator<Item = Key>) -> io::Result<()> {
        for key in keys {
            if let Some(path) = self.waiting.get(&key) {
                durable::remove_file(path)?;
                self.waiting.remove(&key);
            }
        }
        Ok(())
    }
}

/// The paths of the hold files of a journal, in the order of their names.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
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
            // Settled while we looked, or damaged: whoever writes here puts it aside.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            }
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

fn raw<'a>(segment: &'a [u8], frame: &Frame<'_>) -> &'a [u8] {
    &segment[frame.offset..frame.end()]
}
