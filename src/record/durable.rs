//! Files that are there whole or not at all, also after a power cut.
//!
//! In: a path and what belongs there. Out: the file, in place and on the disk.
//! Never: half a file under its final name; a file or directory that others may read, since what
//! people typed and saw stands in them.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Rights of others than the owner.
const OTHERS: u32 = 0o077;

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
        let file = private_file().write(true).create(true).truncate(true).open(&draft)?;
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

/// How a file is opened that is its owner's alone, if it is made.
pub(in crate::record) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Makes a directory and those above it, each its owner's alone. Those that are there keep their
/// rights.
pub(in crate::record) fn private_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir)
}

/// Of these paths those that others than their owner may enter, read or write.
pub fn open_to_others(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let is_open = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
    };
    paths.into_iter().filter(is_open).collect()
}

fn make_directories(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directories(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let folder = Folder::new();
        let file = folder.0.join("a/b/file");
        write_file(&file, b"x").unwrap();
        assert_eq!((mode(&folder.0.join("a")), mode(&file)), (0o700, 0o600));
        private_directory(&folder.0.join("c/d")).unwrap();
        assert_eq!((mode(&folder.0.join("c")), mode(&folder.0.join("c/d"))), (0o700, 0o700));
        fs::set_permissions(folder.0.join("a"), fs::Permissions::from_mode(0o750)).unwrap();
        let open = open_to_others(["a", "c", "gone"].map(|name| folder.0.join(name)));
        assert_eq!(open, [folder.0.join("a")]);
    }
}
