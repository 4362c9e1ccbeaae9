//! What administrators do, for the record: each act with its caller, as a row of `log_events`.
//!
//! In: an act. Out: a note to the shard that keeps the process' own log, and a line of the log.
//! Never: a secret; an act that nobody is named for.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::auth::Caller;
use super::log;
use super::shape::Reading;
use super::state::ControlState;
use crate::shard::mail::{Note, ToShard};

/// The shard whose journal has what is about the process.
const SHARD: usize = 0;

/// Something that somebody did.
#[derive(Debug)]
pub struct Act {
    /// Its stable name, in OPERATIONS.md.
    pub event: &'static str,
    /// What, as a sentence goes on behind the caller's name: `ended session ...`.
    pub what: String,
    /// Facts.
    pub facts: Map<String, Value>,
}

impl Act {
    /// An act without facts yet.
    pub fn new(event: &'static str, what: impl Into<String>) -> Act {
        Act { event, what: what.into(), facts: Map::new() }
    }

    /// The same with one more fact.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Act {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    fn note(mut self, caller: &Caller) -> Note {
        let message = format!("{} {}", caller.name, self.what);
        self.facts.insert("caller".into(), caller.name.clone().into());
        self.facts.insert("caller_auth".into(), caller.auth.into());
        self.facts.insert("caller_groups".into(), caller.groups.clone().into());
        let attrs = Value::Object(self.facts).to_string();
        Note { event: self.event, severity: "info", message, attrs }
    }
}

/// Brings an act into the record; `false`, and a line of the log, if that is not possible now.
pub async fn record(state: &ControlState, caller: &Caller, act: Act) -> bool {
    let note = act.note(caller);
    log::tell(log::Level::Info, note.event, &note.message);
    let taken = state.mesh.send(SHARD, || ToShard::Note(Box::new(note.clone()))).await;
    if !taken {
        log::error(&format!("this could not be recorded: {}", note.message));
    }
    taken
}

/// Where readings lie that nobody could take while no weir ran.
pub fn pending_path(data_dir: &Path) -> PathBuf {
    data_dir.join("readings.pending")
}

/// What makes a file of waiting readings one that weir can read.
pub fn remedy(data_dir: &Path) -> String {
    let (of, path) = (data_dir.display(), pending_path(data_dir));
    format!("`chown --reference={of} {}`", path.display())
}

/// Brings readings into the record that were made while no weir ran.
pub async fn take_pending(state: &ControlState, data_dir: &Path) {
    let path = pending_path(data_dir);
    let mut text = String::new();
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(PENDING_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            let what = "what was read while no weir ran is not in the record yet";
            let remedy = remedy(data_dir);
            let told = format!("{}: {error}: {what}; {remedy}, then restart weir", path.display());
            return log::warn(&told);
        }
    }
    // Anybody who may write to the data directory may have written this: the row says so.
    let caller = Caller::unproven("somebody at the files", "data-directory");
    for line in text.lines() {
        let Ok(reading) = serde_json::from_str::<Reading>(line) else { continue };
        if !record(state, &caller, reading.act()).await {
            return;
        }
    }
    if let Err(error) = std::fs::remove_file(&path) {
        log::warn(&format!("{}: {error}", path.display()));
    }
}

/// The most that waits: `cli::reading` writes no more than is read.
pub const PENDING_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_its_caller_whatever_the_facts_say() {
        let caller = Caller::unproven("dora", "password");
        let act = Act::new("kill", "ended session 1").with("session_id", "1").with("caller", "eve");
        let note = act.note(&caller);
        assert_eq!(note.message, "dora ended session 1");
        let attrs: Value = serde_json::from_str(&note.attrs).unwrap();
        assert_eq!(attrs["caller"], "dora");
        assert_eq!(attrs["caller_auth"], "password");
        assert_eq!(attrs["session_id"], "1");
    }
}
