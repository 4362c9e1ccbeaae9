//! What the tests of this folder share: a folder that goes away, sample sessions, a small journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::entry::{Command, Decision, Entry, Outcome, Response, SessionContext, SessionId};
use super::pool::SegmentPool;
use super::spool::{SEGMENT_BYTES_MIN, SealedSegment, Spool};
use crate::clock::Now;
use crate::config::settings::JournalSettings;
use crate::decide::Object;

/// 2026-08-22T10:00:00Z.
pub const START_US: i64 = 1_787_392_800_000_000;

/// A folder of its own for one test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weir-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn journal(&self) -> PathBuf {
        self.0.join(super::JOURNAL_FOLDER)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A pool's thread may be making its last segment; without the folder it stops.
        let gone = || fs::remove_dir_all(&self.0).is_ok() || !self.0.exists();
        for _ in 0..1000 {
            if gone() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub fn settings() -> JournalSettings {
    JournalSettings {
        segment_bytes: SEGMENT_BYTES_MIN,
        seal_after_us: 60_000_000,
        flush_us: 100_000,
        answer_wait_us: 60_000_000,
    }
}

pub fn now(step: u64) -> Now {
    Now { wall_us: START_US + step as i64, mono_us: step }
}

/// A UUIDv7 of `START_US`.
pub fn session_id(number: u8) -> SessionId {
    let [_, _, millis @ ..] = (START_US / 1000).to_be_bytes();
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis);
    id[6] = 0x70;
    id[8] = 0x80;
    id[15] = number;
    SessionId(id)
}

pub fn context(number: u8) -> SessionContext {
    SessionContext {
        session_id: session_id(number),
        protocol: "postgresql",
        user_name: format!("user{number}"),
        user_groups: vec!["engineers".into(), "agents".into()],
        auth_method: "scram".into(),
        target: "orders".into(),
        db_namespace: "orders".into(),
        role: "app".into(),
        client_addr: "127.0.0.1:40000".into(),
        client_app: "psql".into(),
        tls_version: "TLSv1_3".into(),
    }
}

pub fn object(schema: Option<&str>, name: &str, write: bool) -> Object {
    let namespace = schema.map(str::to_owned).into_iter().collect();
    Object { namespace, name: name.to_owned(), write }
}

pub fn command<'a>(text: &'a str, objects: &'a [Object]) -> Command<'a> {
    Command {
        kind: "query",
        text: text.as_bytes(),
        operation: "SELECT",
        classes: &["read"],
        objects,
        params: None,
        statement: "",
        decision: Decision::Allow,
        rule: "readers",
        approval_id: None,
        ..Command::default()
    }
}

pub fn response(command_seq: u64) -> Entry<'static> {
    Entry::Response(Response {
        command_seq,
        outcome: Outcome::Success,
        sqlstate: "",
        error_text: "",
        tag: "SELECT 1",
        rows_returned: Some(1),
        rows_affected: Some(0),
        duration_us: 120,
        first_byte_us: 100,
        bytes: 42,
        captured_bytes: 42,
        chunks: 1,
        columns: Some(b"id\0name\0"),
        ..Response::default()
    })
}

/// A spool whose sealed segments are looked at by the test.
pub fn spool(folder: &Folder, shard: u32) -> (Spool, Receiver<SealedSegment>, SegmentPool) {
    let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
    let (sealed, inbox) = mpsc::channel();
    (spool_into(folder, shard, sealed, pool.clone()), inbox, pool)
}

pub fn spool_into(
    folder: &Folder,
    shard: u32,
    sealed: Sender<SealedSegment>,
    pool: SegmentPool,
) -> Spool {
    Spool::open(&folder.journal(), "node-1", shard, &settings(), sealed, pool).unwrap()
}

/// Waits for what another thread does; fails after a time that only a bug takes.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every Parquet file of a table.
pub fn files(data_dir: &Path, table: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(data_dir.join("lake").join(table)).into_iter().flatten() {
        for file in fs::read_dir(day.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files
}
