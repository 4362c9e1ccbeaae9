//! Each kind of damage between two lives: the start goes on, nothing readable is lost, and what is
//! missing is told.

use super::super::entry::{Command, Decision, SessionStart};
use super::super::lake::{CommandRow, Filter, Lake, ResponseRow};
use super::super::sealer::Sealer;
use super::super::testing::*;
use super::super::{Journal, pool::SegmentPool};
use super::*;

const ENTRIES: u64 = 50;

/// A process that is killed with a session and its answers in the journal of a shard.
fn killed(folder: &Folder, shard: u32) {
    let (mut spool, inbox, _pool) = spool(folder, shard);
    let number = shard as u8 + 1;
    let session = spool.open(&context(number));
    let start = SessionStart { backend_pid: 1, ..SessionStart::default() };
    spool.append(session, 0, now(1), &Entry::SessionStart(start)).unwrap();
    for seq in 1..=ENTRIES {
        spool.append(session, seq, now(seq), &response(seq)).unwrap();
    }
    let opened = || Opened::read(&folder.journal(), shard).unwrap().is_some();
    wait_until("it is known which segment was opened", opened);
    spool.forget();
    drop(inbox);
}

fn used_segment(folder: &Folder) -> PathBuf {
    let used = |path: &PathBuf| fs::read(path).unwrap()[0] != 0;
    segment_paths(&folder.journal()).unwrap().into_iter().find(used).unwrap()
}

fn write_at(path: &Path, bytes: &[u8], at: u64) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn again(folder: &Folder) -> Recovered {
    let lock = DataDirLock::take(&folder.0).unwrap();
    recover(&lock, now(1_000)).expect("the start goes on")
}

fn responses(folder: &Folder) -> u64 {
    let rows: Vec<ResponseRow> = Lake::new(&folder.0).rows(&Filter::default()).unwrap();
    rows.len() as u64
}

/// The log index of the first entry of the next life.
fn next_index(folder: &Folder) -> u64 {
    Position::read(&folder.journal(), 0).unwrap().next_index
}

#[test]
fn entries_are_read_whatever_the_header_says() {
    for (at, bytes) in [(0, vec![0; HEADER_BYTES]), (20, vec![0xff; 1]), (100, vec![7; 9])] {
        let folder = Folder::new();
        killed(&folder, 0);
        write_at(&used_segment(&folder), &bytes, at);
        let found = again(&folder);
        assert_eq!((responses(&folder), found.damaged, found.sessions), (ENTRIES, 1, 1), "{at}");
        assert_eq!(found.notices[0].event, "header-damaged");
        assert_eq!(again(&folder), Recovered::default(), "the segment is free");
    }
}

#[test]
fn a_segment_that_is_gone_is_told_and_its_numbers_are_not_given_again() {
    for kind in ["deleted", "emptied", "zeros", "noise"] {
        let folder = Folder::new();
        killed(&folder, 0);
        let path = used_segment(&folder);
        match kind {
            "deleted" => fs::remove_file(&path).unwrap(),
            "emptied" => fs::write(&path, "").unwrap(),
            "zeros" => fs::write(&path, vec![0; settings().segment_bytes as usize]).unwrap(),
            _ => fs::write(&path, vec![7; settings().segment_bytes as usize]).unwrap(),
        }
        let found = again(&folder);
        let events: Vec<_> = found.notices.iter().map(|notice| notice.event).collect();
        assert!(events.contains(&"gap"), "{kind}: {events:?}");
        assert_eq!(events.contains(&"quarantine"), kind == "noise");
        assert!(next_index(&folder) > ENTRIES, "{kind}");
        let (spool, _inbox, _pool) = spool(&folder, 0);
        assert!(spool.segment_number() > 0, "{kind}");
        spool.forget();
    }
}

#[test]
fn a_hold_that_cannot_be_read_is_put_aside() {
    for noise in [&b"noise"[..], &[0; 300]] {
        let folder = Folder::new();
        killed(&folder, 0);
        let holds = folder.journal().join("holds");
        fs::create_dir_all(&holds).unwrap();
        fs::write(holds.join("0-1.hold"), noise).unwrap();
        let found = again(&folder);
        assert_eq!((responses(&folder), found.notices.len()), (ENTRIES, 1));
        assert_eq!(found.notices[0].event, "quarantine");
        let aside = folder.journal().join("quarantine/0-1.hold");
        assert_eq!(fs::read(aside).unwrap(), noise);
    }
}

#[test]
fn a_damaged_position_is_put_aside() {
    let folder = Folder::new();
    killed(&folder, 0);
    fs::write(folder.journal().join("shard-0.position"), "12 x").unwrap();
    let found = again(&folder);
    assert_eq!(responses(&folder), ENTRIES);
    assert_eq!(found.notices[0].event, "quarantine");
    assert!(next_index(&folder) > ENTRIES);
}

#[test]
fn a_damaged_file_of_the_lake_keeps_nobody_from_starting() {
    let folder = Folder::new();
    let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
    let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
    let mut spool = spool_into(&folder, 0, sealed, pool);
    let session = spool.open(&context(1));
    let start = SessionStart { backend_pid: 1, ..SessionStart::default() };
    spool.append(session, 0, now(1), &Entry::SessionStart(start)).unwrap();
    wait_until("a rotation", || {
        spool.rotate(now(500));
        spool.segment_number() > 0
    });
    spool.append(session, 1, now(501), &response(1)).unwrap();
    wait_until("the file", || !files(&folder.0, "sessions").is_empty());
    spool.forget();
    sealer.finish();
    let path = &files(&folder.0, "sessions")[0];
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
    let found = again(&folder);
    assert_eq!(found.notices[0].event, "lake-damaged");
    assert_eq!(responses(&folder), 1);
}

#[test]
fn holds_of_two_shards_keep_the_numbers_of_their_logs() {
    let folder = Folder::new();
    let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
    let (sealed, _inbox) = std::sync::mpsc::channel();
    for shard in 0..2 {
        let mut spool = spool_into(&folder, shard, sealed.clone(), pool.clone());
        let session = spool.open(&context(shard as u8 + 1));
        for seq in 1..=4 {
            let held = Command {
                decision: Decision::Hold,
                approval_id: Some(session_id(seq as u8 + 100)),
                ..command("DROP TABLE t", &[])
            };
            spool.append(session, seq, now(seq), &Entry::Command(held)).unwrap();
        }
        spool.forget();
    }
    assert_eq!(again(&folder).holds, 8);
    let rows: Vec<CommandRow> = Lake::new(&folder.0).rows(&Filter::default()).unwrap();
    let numbers: HashSet<_> =
        rows.iter().map(|row| (row.common.log_shard, row.common.log_index)).collect();
    assert_eq!((rows.len(), numbers.len()), (8, 8), "{numbers:?}");
}
