//! What an earlier version wrote is read by this one. `schema_1` was written by version 1 of the
//! schema: a sealed segment in the lake, one in the journal without its end, and a hold.

use std::fs;
use std::path::Path;

use super::entry::SessionId;
use super::lake::{CommandRow, Filter, Happening, Lake, SessionRow};
use super::recover::{DataDirLock, recover};
use super::spool::SEGMENT_BYTES_MIN;
use super::testing::{Folder, now, session_id};

/// A data directory as version 1 left it when it was killed.
fn folder() -> Folder {
    let folder = Folder::new();
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs this test");
    copy(&Path::new(&manifest).join("src/record/schema_1"), &folder.0);
    // The zeros behind the last frame are not in the repository.
    let segment = folder.journal().join("1.wal");
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.set_len(SEGMENT_BYTES_MIN).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            fs::copy(&from, to.join(name)).unwrap();
        }
    }
}

/// So many of what waited were said to be abandoned, which recovery does.
fn check_rows(folder: &Folder, last_decisions: [&str; 2], abandoned: usize) {
    let lake = Lake::new(&folder.0);
    let all = Filter::default();
    let commands = lake.commands(&all).unwrap();
    let decisions: Vec<&str> = commands.iter().map(|row| row.decision.as_str()).collect();
    let [first, second] = last_decisions;
    assert_eq!(decisions, ["allow", "allow", first, "allow", "allow", second]);
    for row in commands.iter().filter(|row| row.kind == "execute") {
        check_execute(row);
    }
    let failed = commands[4].response.as_ref().unwrap();
    assert_eq!((failed.outcome.as_str(), failed.rows_returned), ("error", Some(0)));
    let sessions: Vec<SessionRow> = lake.sessions(&all).unwrap();
    let starts = sessions.iter().filter(|row| row.phase == "start");
    assert!(starts.clone().all(|row| row.backend_pid == Some(77) && row.listener.is_none()));
    assert_eq!(starts.count(), 2);
    let chunks = lake.chunks(&all).unwrap();
    assert_eq!(chunks.len(), 2);
    assert!(chunks.iter().all(|chunk| chunk.payload.starts_with(b"D") && chunk.at_us.is_none()));
    let hits = lake.masking(&all).unwrap();
    assert!(hits.len() == 2 && hits.iter().all(|hit| hit.hit_count == 3 && hit.path.is_none()));
    let approvals = lake.approvals(&all).unwrap();
    assert!(approvals.iter().all(|step| step.digest.is_none()));
    let ended = approvals.iter().filter(|step| step.event == "abandoned").count();
    assert_eq!((approvals.len() - ended, ended), (2, abandoned));
}

fn check_execute(row: &CommandRow) {
    assert_eq!(row.params_json.as_deref(), Some(r#"["x",null]"#));
    assert_eq!((row.ocsf_class_uid, row.ocsf_activity_id), (6005, 4));
    assert!(row.rules.is_empty() && row.verb.is_none() && row.body_len.is_none());
    let response = row.response.as_ref().unwrap();
    assert_eq!((response.rows_returned, response.rows_affected), (Some(1), Some(0)));
    assert_eq!(response.columns, ["id", "name"]);
    assert_eq!((response.truncated, response.status), (None, None));
}

#[test]
fn files_and_segments_of_version_1_are_read() {
    let folder = folder();
    check_rows(&folder, ["hold", "abandoned"], 0);
    let session: SessionId = session_id(2);
    let of_session = Filter { session: Some(session), ..Filter::default() };
    assert_eq!(Lake::new(&folder.0).commands(&of_session).unwrap().len(), 3);
}

#[test]
fn a_journal_of_version_1_is_recovered() {
    let folder = folder();
    let lock = DataDirLock::take(&folder.0).unwrap();
    recover(&lock, now(9_000_000)).unwrap();
    check_rows(&folder, ["abandoned", "abandoned"], 2);
    let ends: Vec<String> = Lake::new(&folder.0)
        .sessions(&Filter::default())
        .unwrap()
        .into_iter()
        .filter_map(|row| row.end_reason)
        .collect();
    assert_eq!(ends, ["client-closed", "recovered"]);
}

#[test]
fn a_follower_reads_files_of_version_1() {
    let folder = folder();
    let mut follow = Lake::new(&folder.0).follow(&Filter::default()).unwrap();
    let lock = DataDirLock::take(&folder.0).unwrap();
    recover(&lock, now(9_000_000)).unwrap();
    let news = follow.poll().unwrap();
    assert!(
        news.iter()
            .any(|news| matches!(news, Happening::LogEvents(row) if row.event == "recovery"))
    );
}
