//! Where a running weir can be reached: `admin.json` in its data directory.
//!
//! In: the address of the admin API. Out: a file that the command line finds it by.
//! Never: the token; that one lies beside it, readable by its owner only.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The content of `admin.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Address and port of the admin API.
    pub address: String,
    /// Process id.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: String,
}

impl Place {
    /// Writes the file as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// The data directory cannot be written.
    pub fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        let draft = data_dir.join("admin.json.tmp");
        std::fs::write(&draft, text + "\n")?;
        std::fs::rename(draft, path(data_dir))
    }

    /// Reads the file; `None` when no weir runs there or its file is unreadable.
    pub fn read(data_dir: &Path) -> Option<Place> {
        let text = std::fs::read_to_string(path(data_dir)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Takes the file away at the end of the process.
    pub fn remove(data_dir: &Path) {
        // A file that stays behind names a process that is gone; readers see that by connecting.
        let _ = std::fs::remove_file(path(data_dir));
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.json")
}
