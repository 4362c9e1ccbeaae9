use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;

use super::super::body::Body;
use super::super::entry::{Chunk, Command, Decision, SessionEnd, SessionStart};
use super::super::journal::{Frames, Step};
use super::super::lake::{Filter, Lake};
use super::super::recover::{DataDirLock, recover};
use super::super::sealer::Sealer;
use super::super::testing::*;
use super::*;
use crate::limits::JOURNAL_WAIT_US_MAX;

fn start() -> Entry<'static> {
    Entry::SessionStart(SessionStart {
        server_addr: "10.0.0.1:5432",
        server_version: "17.2",
        durability: "write",
        backend_pid: 77,
        ..SessionStart::default()
    })
}

fn end() -> Entry<'static> {
    Entry::SessionEnd(SessionEnd {
        reason: "client-terminate",
        commands: 3,
        ..SessionEnd::default()
    })
}

fn chunk(seq: u64, payload: &[u8]) -> Entry<'_> {
    Entry::Chunk(Chunk {
        command_seq: seq,
        stream: 1,
        chunk_no: 0,
        byte_offset: 0,
        encoding: "pg-messages",
        payload,
        ..Chunk::default()
    })
}

/// Appends, waiting for the pool where a client would be refused and try again.
fn append(spool: &mut Spool, session: SessionRef, seq: u64, entry: &Entry<'_>) {
    wait_until("a free segment", || match spool.append(session, seq, now(seq), entry) {
        Ok(_) => true,
        Err(Refused::Full) => false,
        Err(other) => panic!("{other:?}"),
    });
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = Folder::new();
    let mut texts = Vec::new();
    {
        let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
        let mut spool = spool_into(&folder, 0, sealed, pool);
        let sessions = [spool.open(&context(1)), spool.open(&context(2))];
        for session in sessions {
            append(&mut spool, session, 0, &start());
        }
        for seq in 0..4000 {
            let text = format!("SELECT {seq} FROM public.customers");
            let objects = [object(Some("public"), "customers", false)];
            let session = sessions[(seq % 2) as usize];
            append(&mut spool, session, 2 * seq + 1, &Entry::Command(command(&text, &objects)));
            append(&mut spool, session, 2 * seq + 2, &response(2 * seq + 1));
            texts.push(text);
        }
        append(&mut spool, sessions[0], 8001, &end());
        assert!(spool.open.header.number > 3, "the test covers several segments");
        wait_until("a sealed segment", || sealer.progress().segments.load(Relaxed) > 1);
        // Killed: no destructor runs, nothing is sealed. The threads of a killed process stop too;
        // here the sealer is waited for, which only means that the crash comes a little later.
        spool.forget();
        sealer.finish();
    }
    let lock = DataDirLock::take(&folder.0).unwrap();
    let lake = Lake::new(&folder.0);
    let before = lake.commands(&Filter::default()).unwrap();
    let found = recover(&lock, now(9_000_000)).unwrap();
    assert_eq!((found.segments, found.sessions, found.gaps, found.torn), (1, 1, 0, 0));
    let rows = lake.commands(&Filter::default()).unwrap();
    assert_eq!(rows, before, "the same rows live and sealed");
    assert_eq!(rows.iter().map(|row| row.query_text.clone()).collect::<Vec<_>>(), texts);
    assert!(rows.iter().all(|row| row.response.as_ref().is_some_and(|r| r.total_bytes == 42)));
    assert_eq!(rows[0].objects, ["public.customers"]);
    let phases: Vec<_> =
        lake.sessions(&Filter::default()).unwrap().into_iter().map(|row| row.phase).collect();
    assert_eq!(phases, ["start", "start", "end", "recovered"]);
    let events = lake.events(&Filter::default()).unwrap();
    assert_eq!(events.iter().filter(|row| row.event == "recovery").count(), 1);
    assert_eq!(recover(&lock, now(9_000_001)).unwrap().segments, 0, "nothing is left to do");
    assert_eq!(lake.commands(&Filter::default()).unwrap(), rows);
}

/// The folder in which `victim` writes until it is killed.
const VICTIM: &str = "WEIR_TEST_VICTIM";

/// Does nothing but as the child process of the next test.
#[test]
fn victim() {
    use std::io::Write;
    let Some(dir) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    let _lock = DataDirLock::take(&dir).unwrap();
    let journal = dir.join(super::super::JOURNAL_FOLDER);
    let pool = SegmentPool::start(&journal, &settings()).unwrap();
    let (sealed, _sealer) = Sealer::start(&dir, pool.clone()).unwrap();
    let mut spool = Spool::open(&journal, "node-1", 0, &settings(), sealed, pool).unwrap();
    let session = spool.open(&context(1));
    append(&mut spool, session, 0, &start());
    let mut out = io::stdout();
    let payload = vec![7; 3 * CALL_BYTES_MIN];
    for seq in 1.. {
        if seq % 8 == 0 {
            append(&mut spool, session, seq, &chunk(seq, &payload));
        }
        append(&mut spool, session, seq, &response(seq));
        out.write_all(format!("acknowledged {seq}\n").as_bytes()).unwrap();
    }
}

#[test]
fn kill_9_at_any_time_loses_no_acknowledged_entry() {
    use std::io::{BufRead, BufReader};
    for kill_after in [1, 100, 1500, 3000, 7001] {
        let folder = Folder::new();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "record::spool::tests::victim", "--nocapture"])
            .env(VICTIM, &folder.0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last: i64 = 0;
        let said = |line: io::Result<String>| -> Option<i64> {
            line.ok()?.rsplit_once("acknowledged ")?.1.parse().ok()
        };
        while last < kill_after {
            last = said(lines.next().unwrap()).unwrap_or(last);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too; a line cut short was not said.
        let rest: Vec<i64> = lines.filter_map(said).collect();
        last = rest.iter().rev().nth(1).copied().unwrap_or(last);
        let lock = DataDirLock::take(&folder.0).unwrap();
        let found = recover(&lock, now(0)).unwrap();
        assert_eq!((found.gaps, found.torn, found.sessions), (0, 0, 1));
        let rows: Vec<super::super::lake::ResponseRow> =
            Lake::new(&folder.0).rows(&Filter::default()).unwrap();
        let seqs: Vec<i64> = rows.iter().map(|row| row.common.seq).collect();
        assert!(seqs.len() as i64 >= last, "{} of {last} acknowledged", seqs.len());
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    }
}

#[test]
fn log_indexes_go_on_after_a_restart() {
    let folder = Folder::new();
    for round in 0..3 {
        let (mut spool, inbox, _pool) = spool(&folder, 4);
        let session = spool.open(&context(1));
        // Two entries, and the recovery event behind them.
        assert_eq!(spool.next_index, round * 3);
        spool.append(session, 1, now(1), &start()).unwrap();
        spool.append(session, 2, now(2), &end()).unwrap();
        let number = spool.open.header.number;
        assert_eq!(number, round);
        drop(spool);
        drop(inbox);
        let lock = DataDirLock::take(&folder.0).unwrap();
        let found = recover(&lock, now(3)).unwrap();
        assert_eq!((found.segments, found.entries), (1, 2));
    }
}

#[test]
fn appends_are_refused_while_no_segment_is_free_and_the_gap_is_told() {
    fn fails_after_two(path: &Path, bytes: u64) -> io::Result<std::fs::File> {
        let full = path.parent().unwrap().join("full");
        let name: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        if name >= 2 && full.exists() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path)?;
        file.set_len(bytes)?;
        Ok(file)
    }
    let folder = Folder::new();
    std::fs::create_dir_all(folder.journal()).unwrap();
    std::fs::write(folder.journal().join("full"), "").unwrap();
    let pool = SegmentPool::start_with(&folder.journal(), &settings(), fails_after_two).unwrap();
    let (sealed, inbox) = mpsc::channel();
    let mut spool = spool_into(&folder, 0, sealed, pool.clone());
    let session = spool.open(&context(1));
    let text = "x".repeat(10_000);
    let entry = Entry::Command(command(&text, &[]));
    let mut seq = 0;
    wait_until("the second segment", || {
        seq += 1;
        spool.append(session, seq, now(seq), &entry).is_err() || spool.open.header.number == 1
    });
    while spool.append(session, seq, now(seq), &entry).is_ok() {
        seq += 1;
    }
    wait_until("the pool's complaint", || pool.trouble().is_some());
    let written = spool.written();
    for _ in 0..9 {
        let refused = spool.append(session, seq, now(seq), &entry);
        assert_eq!(refused.unwrap_err(), Refused::Full);
    }
    assert_eq!(spool.written(), written, "a refused entry leaves no trace");
    spool.append(session, seq, now(seq), &end()).unwrap();
    assert_eq!(
        spool.append(session, seq, now(seq), &Entry::Command(command("", &[]))).unwrap_err(),
        Refused::Full,
        "a small entry does not overtake"
    );
    std::fs::remove_file(folder.journal().join("full")).unwrap();
    wait_until("room", || spool.append(session, seq, now(seq), &entry).is_ok());
    drop(spool);
    drop(inbox);
    let events = Lake::new(&folder.0).events(&Filter::default()).unwrap();
    let told: Vec<_> = events.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(told, ["journal-full", "gap"]);
    let attrs: serde_json::Value = serde_json::from_str(&events[1].attrs).unwrap();
    assert!(attrs["refused"].as_u64().unwrap() >= 11, "{attrs}");
}

#[test]
fn an_entry_that_fits_no_segment_is_too_large() {
    let folder = Folder::new();
    let (mut spool, _inbox, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    let text = "x".repeat(SEGMENT_BYTES_MIN as usize);
    let refused = spool.append(session, 1, now(1), &Entry::Command(command(&text, &[])));
    assert_eq!(refused.unwrap_err(), Refused::TooLarge);
    spool.append(session, 1, now(1), &start()).unwrap();
}

/// What is stored and what is written by a call stand in the journal alike, in their order.
#[test]
fn entries_of_any_size_are_read_back() {
    let folder = Folder::new();
    let settings = JournalSettings { segment_bytes: 4 << 20, ..settings() };
    let pool = SegmentPool::start(&folder.journal(), &settings).unwrap();
    let (sealed, inbox) = mpsc::channel();
    let mut spool = Spool::open(&folder.journal(), "node-1", 0, &settings, sealed, pool).unwrap();
    let session = spool.open(&context(1));
    let near = |bytes: usize| [bytes - 100, bytes - 56, bytes - 40, bytes, bytes + 100];
    let mut sizes: Vec<usize> = [CALL_BYTES_MIN, CALL_BYTES_MAX].map(near).concat();
    sizes.extend([0, 1, 4096, CHUNK_BYTES_MAX, 1 << 20]);
    let payloads: Vec<Vec<u8>> =
        sizes.iter().map(|&size| (0..size).map(|i| (i * 31 + size) as u8).collect()).collect();
    for (seq, payload) in (1..).zip(&payloads) {
        spool.append(session, seq, now(seq), &chunk(seq, payload)).unwrap();
        spool.append(session, seq, now(seq), &response(seq)).unwrap();
    }
    assert!(spool.scratch.capacity() < 4 * CALL_BYTES_MAX, "a large one leaves no buffer");
    spool.finish(now(0));
    let segment = inbox.recv().unwrap();
    let frames = Frames::new(segment.segment.map.bytes(), &segment.header);
    let mut read = Vec::new();
    for step in frames {
        let Step::Frame(frame) = step else { panic!("{step:?}") };
        if let Some(Body::Chunk(chunk)) = frame.body() {
            read.push(chunk.payload.to_vec());
        }
    }
    assert!(read == payloads);
}

#[test]
fn an_entry_that_cannot_be_written_is_refused_and_told() {
    let folder = Folder::new();
    let (mut spool, inbox, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    append(&mut spool, session, 0, &start());
    let sound = Arc::clone(&spool.open.segment.file);
    spool.open.segment.file = Arc::new(sound.read_only().unwrap());
    let large = vec![7; CALL_BYTES_MIN];
    for seq in 1..4 {
        let refused = spool.append(session, seq, now(seq), &chunk(seq, &large));
        assert_eq!(refused.unwrap_err(), Refused::Disk);
    }
    append(&mut spool, session, 4, &response(4));
    let unsound = std::mem::replace(&mut spool.open.segment.file, Arc::clone(&sound));
    append(&mut spool, session, 5, &chunk(5, &large));
    spool.open.segment.file = unsound;
    spool.append(session, 6, now(6), &chunk(6, &large)).unwrap_err();
    spool.open.segment.file = sound;
    drop(spool);
    drop(inbox);
    let lake = Lake::new(&folder.0);
    let events = lake.events(&Filter::default()).unwrap();
    let told: Vec<_> = events.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(told, ["disk-error"; 2], "one of three in a row, and one after a success");
    let attrs: serde_json::Value = serde_json::from_str(&events[0].attrs).unwrap();
    assert_eq!(attrs["os_error"], i64::from(libc::EBADF));
}

#[test]
fn durable_follows_the_syncs_in_order() {
    let folder = Folder::new();
    let (mut spool, inbox, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    assert!(spool.sync_job().is_none(), "nothing to flush");
    let first = spool.append(session, 1, now(1), &start()).unwrap();
    let job = spool.sync_job().unwrap();
    assert!(spool.sync_job().is_none(), "one at a time");
    wait_until("a rotation", || {
        spool.rotate(now(2));
        spool.open.header.number == 1
    });
    let second = spool.append(session, 2, now(3), &response(1)).unwrap();
    spool.synced(job, Ok(()));
    assert_eq!(spool.durable(), first.lsn());
    let job = spool.sync_job().unwrap();
    assert_eq!(job.fd, spool.open.segment.file.fd(), "the closed segment is done with");
    spool.synced(job, Ok(()));
    assert_eq!(spool.durable(), second.lsn());
    assert_eq!(spool.durable(), spool.written());
    let sealed = inbox.try_recv().unwrap();
    assert_eq!((sealed.header.number, sealed.next_index), (0, 1));
}

#[test]
fn a_segment_closed_when_the_disk_had_it_all_does_not_stop_the_syncs() {
    let folder = Folder::new();
    let (mut spool, _inbox, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    for round in 0..3 {
        let written = spool.append(session, round, now(round), &start()).unwrap();
        let job = spool.sync_job().expect("a flush of what was just written");
        spool.synced(job, Ok(()));
        assert_eq!(spool.durable(), written.lsn());
        wait_until("a rotation", || {
            spool.rotate(now(round));
            spool.open.header.number == round + 1
        });
    }
}

#[test]
fn a_failed_sync_moves_on_and_a_second_one_stops() {
    let folder = Folder::new();
    let (mut spool, inbox, _pool) = spool(&folder, 0);
    let session = spool.open(&context(1));
    let lost = spool.append(session, 1, now(1), &start()).unwrap().lsn();
    let failed = || Err(io::Error::from_raw_os_error(5));
    let job = spool.sync_job().unwrap();
    spool.synced(job, failed());
    assert!(spool.in_doubt(lost));
    wait_until("a fresh segment", || spool.append(session, 2, now(2), &response(1)).is_ok());
    let after = spool.append(session, 3, now(3), &response(1)).unwrap().lsn();
    assert!(!spool.in_doubt(after));
    let poisoned = inbox.try_recv().unwrap();
    assert!(poisoned.segment.file.is_poisoned());
    let job = spool.sync_job().unwrap();
    assert_ne!(job.fd, poisoned.segment.file.fd(), "never the same file again");
    spool.synced(job, Ok(()));
    assert!(spool.durable() >= after && spool.in_doubt(lost));
    let later = spool.append(session, 4, now(4), &response(1)).unwrap().lsn();
    let job = spool.sync_job().unwrap();
    spool.synced(job, failed());
    assert!(spool.in_doubt(later) && spool.sync_job().is_none());
    let refused = spool.append(session, 5, now(5), &response(1));
    assert_eq!(refused.unwrap_err(), Refused::Disk);
    drop(poisoned);
    drop(spool);
    let events = Lake::new(&folder.0).events(&Filter::default()).unwrap();
    let attrs = &events.iter().find(|row| row.event == "disk-error").unwrap().attrs;
    assert!(attrs.contains(r#""segment":0"#) && attrs.contains(r#""os_error":5"#), "{attrs}");
}

#[test]
fn a_quiet_segment_is_sealed_by_age() {
    let folder = Folder::new();
    let (mut spool, inbox, _pool) = spool(&folder, 0);
    spool.tick(now(100_000_000));
    assert!(inbox.try_recv().is_err(), "an empty segment has nothing to seal");
    let session = spool.open(&context(1));
    spool.append(session, 1, now(100_000_000), &start()).unwrap();
    spool.tick(now(159_999_999));
    assert!(inbox.try_recv().is_err());
    wait_until("the rotation", || {
        spool.tick(now(160_000_000));
        inbox.try_recv().is_ok()
    });
    spool.close(session);
    spool.finish(now(160_000_001));
}

#[test]
fn recycled_segments_show_nothing_of_their_earlier_life() {
    let folder = Folder::new();
    let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
    let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
    let mut spool = spool_into(&folder, 0, sealed, pool);
    let session = spool.open(&context(1));
    for seq in 1..=20_000 {
        append(&mut spool, session, seq, &response(seq));
        if seq % 2000 == 0 {
            let behind = spool.open.header.number;
            wait_until("the sealer", || sealer.progress().segments.load(Relaxed) == behind);
        }
    }
    let names = std::fs::read_dir(folder.journal()).unwrap().count();
    assert!((spool.open.header.number as usize) > names, "segments were used again");
    spool.finish(now(0));
    sealer.finish();
    let rows: Vec<super::super::lake::ResponseRow> =
        Lake::new(&folder.0).rows(&Filter::default()).unwrap();
    let seqs: Vec<i64> = rows.iter().map(|row| row.common.seq).collect();
    assert_eq!(seqs, (1..=20_000).collect::<Vec<_>>());
    let indexes: Vec<i64> = rows.iter().map(|row| row.common.log_index).collect();
    assert_eq!(indexes.len(), 20_000);
}

#[test]
fn what_is_no_command_waits_for_the_entries_of_its_own_session_only() {
    let folder = Folder::new();
    let (mut spool, _inbox, _pool) = spool(&folder, 0);
    let (one, two) = (spool.open(&context(1)), spool.open(&context(2)));
    let own = spool.append(one, 1, now(1), &response(0)).unwrap().lsn();
    let other = spool.append(two, 1, now(2), &response(0)).unwrap().lsn();
    assert!(own < other);
    assert_eq!(spool.covered(one).lsn(), own);
    assert_eq!(spool.covered(two).lsn(), other);
    spool.close(one);
    let next = spool.open(&context(3));
    assert_eq!(spool.covered(next).lsn(), Lsn(0), "nothing of the session before it");
}

/// Peers wait while the next segment is about to come, and not for ever; nobody waits while there
/// is room.
#[test]
fn peers_wait_for_a_segment_that_is_about_to_come() {
    fn third_waits(path: &Path, bytes: u64) -> io::Result<std::fs::File> {
        let third = path.file_stem().is_some_and(|stem| stem == "2");
        let go = path.with_file_name("go");
        wait_until("the word to go on", || !third || go.exists());
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(bytes)?;
        Ok(file)
    }
    let folder = Folder::new();
    let pool = SegmentPool::start_with(&folder.journal(), &settings(), third_waits).unwrap();
    let (sealed, _inbox) = mpsc::channel();
    let mut spool = spool_into(&folder, 0, sealed, pool);
    let session = spool.open(&context(1));
    let text = "x".repeat(4_000);
    let entry = Entry::Command(command(&text, &[]));
    assert_eq!(spool.room(now(0)), Room::Enough);
    let mut seq = 0;
    while spool.segment_number() == 0 {
        seq += 1;
        append(&mut spool, session, seq, &entry);
    }
    while spool.room(now(seq)) == Room::Enough {
        seq += 1;
        spool.append(session, seq, now(seq), &entry).expect("not refused before it is short");
    }
    assert_eq!(spool.room(now(seq + JOURNAL_WAIT_US_MAX - 1)), Room::Soon);
    // Not for ever, and answers that come now have room still.
    assert_eq!(spool.room(now(seq + JOURNAL_WAIT_US_MAX)), Room::Enough);
    std::fs::write(folder.journal().join("go"), "").unwrap();
    wait_until("room", || spool.room(now(seq)) == Room::Enough);
    for _ in 0..60 {
        seq += 1;
        append(&mut spool, session, seq, &entry);
    }
    assert!(spool.segment_number() > 1);
    spool.forget();
}

/// On a file system that copies on write no page of the mapping is stored to.
#[test]
fn by_calls_the_journal_is_the_same() {
    let read = |by_calls: bool| {
        let folder = Folder::new();
        let mut pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        pool.by_calls = by_calls;
        let (sealed, inbox) = mpsc::channel();
        let mut spool = spool_into(&folder, 0, sealed, pool);
        let session = spool.open(&context(1));
        let text = "x".repeat(20_000);
        append(&mut spool, session, 1, &Entry::Command(command(&text, &[])));
        append(&mut spool, session, 2, &response(1));
        append(&mut spool, session, 3, &end());
        spool.finish(now(4));
        let sealed = inbox.recv().unwrap();
        let bytes = &sealed.segment.map.bytes()[..sealed.bytes];
        let (mut at, mut found) = (HEADER_BYTES, Vec::new());
        while let Some(frame) = journal::Frame::read(bytes, at, &sealed.header.salt()) {
            at = frame.end();
            found.push((frame.kind, frame.place, frame.raw.body_bytes().to_vec()));
        }
        assert_eq!(at, sealed.bytes, "all of it is read back");
        found
    };
    let stores = read(false);
    assert_eq!(stores.len(), 4, "a context and three entries");
    assert_eq!(read(true), stores);
}

/// Without room new commands are refused first; answers have what is left, and wait before it is
/// used up, until there is room or their time is over.
#[test]
fn answers_outlast_new_commands_and_wait_before_they_are_refused() {
    let folder = Folder::new();
    let pool = SegmentPool::start_with(&folder.journal(), &settings(), only_two).unwrap();
    let (sealed, _inbox) = mpsc::channel();
    let mut spool = spool_into(&folder, 0, sealed, pool.clone());
    let session = spool.open(&context(1));
    let text = "x".repeat(1_000);
    let new = Entry::Command(command(&text, &[]));
    let mut seq = 0;
    while spool.segment_number() == 0 {
        seq += 1;
        append(&mut spool, session, seq, &new);
    }
    wait_until("trouble", || pool.is_in_trouble());
    let refused = loop {
        seq += 1;
        if let Err(refused) = spool.append(session, seq, now(seq), &new) {
            break refused;
        }
    };
    assert_eq!(refused, Refused::Full);
    assert_eq!(spool.room(now(seq)), Room::Enough, "answers of what runs have room");
    let mut answers = 0;
    while spool.room(now(seq)) == Room::Enough {
        spool.append(session, seq, now(seq), &response(1)).expect("an answer has room");
        answers += 1;
        assert!(spool.append(session, seq, now(seq), &new).is_err());
    }
    assert!(answers > 20, "{answers}");
    assert_eq!(spool.room(now(seq)), Room::None);
    let wait_us = settings().answer_wait_us;
    assert_eq!(spool.room(now(seq + wait_us - 1)), Room::None);
    assert_eq!(spool.room(now(seq + wait_us)), Room::Enough, "not for ever");
    // What was read before it was known has room.
    let payload = [7; 8_000];
    let chunk = Chunk { command_seq: 1, payload: &payload, ..Chunk::default() };
    spool.append(session, seq, now(seq), &Entry::Chunk(chunk.clone())).expect("it has room");
    // Of the reserve denials have half, ends and events all.
    while spool.append(session, seq, now(seq), &Entry::Chunk(chunk.clone())).is_ok() {}
    while spool.append(session, seq, now(seq), &response(1)).is_ok() {}
    let denied = Command { decision: Decision::Deny, ..command(&text, &[]) };
    let mut denials = 0;
    while spool.append(session, seq, now(seq), &Entry::Command(denied.clone())).is_ok() {
        denials += 1;
    }
    assert!(denials > 20, "{denials}");
    spool.append(session, seq, now(seq), &end()).expect("there is room for its end");
    spool.forget();
}

fn only_two(path: &Path, bytes: u64) -> io::Result<std::fs::File> {
    if path.file_stem().is_some_and(|stem| stem != "0" && stem != "1") {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
    file.set_len(bytes)?;
    Ok(file)
}
