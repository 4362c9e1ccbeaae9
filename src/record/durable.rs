//! Files that are there whole or not at all, also after a power cut.
//!
//! In: a path and what belongs there. Out: the file, in place and on the disk.
//! Never: half a file under its final name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the names of files that are not finished.
pub(in crate::record) const UNFINISHED: &str = ".tmp";

/// A file being written beside its final place.
#[derive(Debug)]
pub(in crate::record) struct Draft {
    path: PathBuf,
    draft: PathBuf,
}

impl Draft {
    /// Begins a file; makes its directories, durably.
    pub fn begin(path: &Path) -> io::Result<(Draft, File)> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        make_directories(parent)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(UNFINISHED);
        let draft = parent.join(hidden);
        let file = File::create(&draft)?;
        Ok((Draft { path: path.to_owned(), draft }, file))
    }

    /// Puts the written file in its place.
    pub fn publish(self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.draft, &self.path)?;
        sync_parent(&self.path)
    }
}

/// Writes a small file whole.
pub(in crate::record) fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let (draft, mut file) = Draft::begin(path)?;
    file.write_all(content)?;
    draft.publish(&file)
}

/// Moves a file, durably; makes the directories of its new place.
pub(in crate::record) fn move_file(path: &Path, place: &Path) -> io::Result<()> {
    make_directories(place.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    fs::rename(path, place)?;
    sync_parent(place)?;
    sync_parent(path)
}

/// Deletes a file, durably; one that is not there is deleted.
pub(in crate::record) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(parent)?.sync_all()
}

fn make_directories(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directories(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}
