//! Files of the journal that weir cannot read, kept for people to look at.
//!
//! In: a file that stands in the way. Out: the same file in `journal/quarantine`.
//! Never: a file deleted or written over; a start, or a sealer, that stops for one file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;

/// Inside of the journal's folder.
pub const FOLDER: &str = "quarantine";

/// What was put aside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAside {
    /// Where it is now.
    pub file: PathBuf,
    /// Which segment or hold it was, as far as that is known.
    pub origin: String,
    /// Entries that may be missing in the lake, if that is known.
    pub entries: Option<u64>,
    /// What was wrong.
    pub why: String,
}

impl PutAside {
    /// Its facts as JSON, for the record.
    pub fn attrs(&self) -> String {
        let attrs = serde_json::json!({
            "file": self.file.to_string_lossy(),
            "origin": self.origin,
            "entries": self.entries,
            "why": self.why,
        });
        attrs.to_string()
    }

    /// A sentence about it.
    pub fn message(&self) -> String {
        format!(
            "{} was put aside, its entries may be missing in the lake: {}",
            self.file.display(),
            self.why
        )
    }
}

/// Moves a file of the journal aside, durably, and says where it is now.
pub(in crate::record) fn put(journal: &Path, path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let folder = journal.join(FOLDER);
    for number in 0..NAMES_MAX {
        let name = if number == 0 { name.clone() } else { format!("{name}.{number}") };
        let place = folder.join(name);
        if !place.exists() {
            durable::move_file(path, &place)?;
            return Ok(place);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// How many files wait there for somebody to look at them.
pub fn count(journal: &Path) -> usize {
    fs::read_dir(journal.join(FOLDER)).map_or(0, |entries| entries.count())
}

/// Files of one name.
const NAMES_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    #[test]
    fn files_of_one_name_do_not_replace_each_other() {
        let folder = Folder::new();
        let journal = folder.journal();
        fs::create_dir_all(&journal).unwrap();
        assert_eq!(count(&journal), 0);
        let mut places = Vec::new();
        for content in ["one", "two"] {
            fs::write(journal.join("7.wal"), content).unwrap();
            places.push(put(&journal, &journal.join("7.wal")).unwrap());
            assert_eq!(fs::read_to_string(places.last().unwrap()).unwrap(), content);
        }
        assert_ne!(places[0], places[1]);
        assert_eq!(fs::read_to_string(&places[0]).unwrap(), "one");
        assert_eq!(count(&journal), 2);
        assert!(put(&journal, &journal.join("8.wal")).is_err());
    }
}
