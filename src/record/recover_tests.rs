use std::collections::HashSet;
use std::time::SystemTime;

use super::super::entry::{Approval, Command, Decision, SessionStart};
use super::super::lake::{CommandRow, EventRow, Filter, Lake, origin_of};
use super::super::parquet::ORDER;
use super::super::sealer::Sealer;
use super::super::spool::Spool;
use super::super::testing::*;
use super::super::{Journal, SessionRef};
use super::*;

fn step(spool: &mut Spool, session: SessionRef, seq: u64, entry: &Entry<'_>) {
    wait_until("room", || spool.append(session, seq, now(seq), entry).is_ok());
}

fn start(spool: &mut Spool, number: u8) -> SessionRef {
    let session = spool.open(&context(number));
    let start = SessionStart { backend_pid: 1, ..SessionStart::default() };
    step(spool, session, 0, &Entry::SessionStart(start));
    session
}

fn decided(text: &str, decision: Decision, approval: u8) -> Command<'_> {
    Command { decision, approval_id: Some(session_id(approval)), ..command(text, &[]) }
}

fn rotate(spool: &mut Spool) {
    let before = spool.segment_number();
    wait_until("a rotation", || {
        spool.rotate(now(500));
        spool.segment_number() > before
    });
    let turn = Event { event: "turn", severity: "info", message: "", attrs: "{}" };
    spool.event(now(500), &turn).unwrap();
}

/// A step of an approval of a session's first command.
fn asked(event: &'static str, approval_id: SessionId) -> Entry<'static> {
    Entry::Approval(Approval {
        approval_id,
        command_seq: 1,
        event,
        quorum: 1,
        expires_at_us: START_US,
        ..Approval::default()
    })
}

/// Held commands of every fate, over three segments:
/// 1 allowed in the same segment, 2 denied in the next, 3 session over in the next, 4 session
/// over in the same, 5 still waiting, 6 begins to wait in the last segment.
fn fates(spool: &mut Spool) {
    let sessions: Vec<SessionRef> = (1..=6).map(|number| start(spool, number)).collect();
    let hold = |spool: &mut Spool, number: u8| {
        let text = format!("DROP TABLE t{number}");
        let session = sessions[usize::from(number) - 1];
        step(spool, session, 1, &Entry::Command(decided(&text, Decision::Hold, number + 100)));
    };
    let last = |spool: &mut Spool, number: u8, decision: Decision| {
        let text = format!("DROP TABLE t{number}");
        let session = sessions[usize::from(number) - 1];
        step(spool, session, 1, &Entry::Command(decided(&text, decision, number + 100)));
    };
    let end = Entry::SessionEnd(SessionEnd { reason: "killed", ..SessionEnd::default() });
    for number in 1..=5 {
        hold(spool, number);
    }
    step(spool, sessions[0], 2, &asked("requested", session_id(101)));
    last(spool, 1, Decision::Allow);
    step(spool, sessions[0], 3, &asked("approved", session_id(101)));
    step(spool, sessions[3], 9, &end);
    rotate(spool);
    last(spool, 2, Decision::Deny);
    step(spool, sessions[2], 9, &end);
    rotate(spool);
    hold(spool, 6);
}

fn decisions(rows: &[CommandRow]) -> Vec<(&str, &str)> {
    let mut all: Vec<_> =
        rows.iter().map(|row| (row.query_text.as_str(), row.decision.as_str())).collect();
    all.sort_unstable();
    all
}

const FATES: [(&str, &str); 6] = [
    ("DROP TABLE t1", "allow"),
    ("DROP TABLE t2", "deny"),
    ("DROP TABLE t3", "abandoned"),
    ("DROP TABLE t4", "abandoned"),
    ("DROP TABLE t5", "hold"),
    ("DROP TABLE t6", "hold"),
];

/// Those that waited when weir ended wait no more.
const RECOVERED_FATES: [(&str, &str); 6] = [
    ("DROP TABLE t1", "allow"),
    ("DROP TABLE t2", "deny"),
    ("DROP TABLE t3", "abandoned"),
    ("DROP TABLE t4", "abandoned"),
    ("DROP TABLE t5", "abandoned"),
    ("DROP TABLE t6", "abandoned"),
];

/// Everything in the lake, as text.
fn all_rows(data_dir: &Path) -> Vec<String> {
    let lake = Lake::new(data_dir);
    let filter = Filter::default();
    let mut rows: Vec<String> = Vec::new();
    rows.extend(lake.sessions(&filter).unwrap().iter().map(|row| format!("{row:?}")));
    rows.extend(lake.rows::<CommandRow>(&filter).unwrap().iter().map(|row| format!("{row:?}")));
    rows.extend(lake.approvals(&filter).unwrap().iter().map(|row| format!("{row:?}")));
    rows.extend(lake.rows::<EventRow>(&filter).unwrap().iter().map(|row| format!("{row:?}")));
    rows
}

#[test]
fn a_held_command_has_one_row_whatever_becomes_of_it() {
    for sealed_before in [false, true] {
        let folder = Folder::new();
        let lake = Lake::new(&folder.0);
        if sealed_before {
            let pool =
                super::super::pool::SegmentPool::start(&folder.journal(), &settings()).unwrap();
            let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
            let mut spool = spool_into(&folder, 0, sealed, pool);
            fates(&mut spool);
            wait_until("the sealer", || {
                sealer.progress().segments.load(std::sync::atomic::Ordering::Relaxed) == 2
            });
            assert_eq!(decisions(&lake.commands(&Filter::default()).unwrap()), FATES);
            spool.forget();
            sealer.finish();
        } else {
            let (mut spool, inbox, _pool) = spool(&folder, 0);
            fates(&mut spool);
            drop((spool, inbox));
        }
        assert_eq!(decisions(&lake.commands(&Filter::default()).unwrap()), FATES);
        let lock = DataDirLock::take(&folder.0).unwrap();
        let found = recover(&lock, now(1000)).unwrap();
        assert_eq!((found.holds, found.sessions), (2, 4), "sealed before: {sealed_before}");
        assert_eq!(decisions(&lake.commands(&Filter::default()).unwrap()), RECOVERED_FATES);
        let steps = lake.approvals(&Filter::default()).unwrap();
        let ended = steps.iter().filter(|step| step.event == "abandoned").count();
        assert_eq!(ended, 2, "sealed before: {sealed_before}");
        assert!(holds::read_all(&folder.journal()).unwrap().is_empty());
        let indexes: Vec<i64> = lake
            .rows::<EventRow>(&Filter::default())
            .unwrap()
            .iter()
            .filter(|row| row.event == "hold")
            .map(|row| row.common.log_index)
            .collect();
        assert_eq!(indexes.len(), 6, "each hold is mirrored as an event: {indexes:?}");
    }
}

/// The client was told to ask again, and left; then weir died.
#[test]
fn an_ask_that_outlived_its_session_ends_with_its_process() {
    let folder = Folder::new();
    let (mut spool, inbox, _pool) = spool(&folder, 0);
    for (number, last) in (3..).zip(["vote-approve", "denied", "approved"]) {
        let (session, id) = (start(&mut spool, number), session_id(number));
        step(&mut spool, session, 2, &asked("requested", id));
        step(&mut spool, session, 3, &asked(last, id));
        step(&mut spool, session, 4, &Entry::SessionEnd(SessionEnd::default()));
    }
    drop((spool, inbox));
    let lock = DataDirLock::take(&folder.0).unwrap();
    recover(&lock, now(1000)).unwrap();
    let steps = Lake::new(&folder.0).approvals(&Filter::default()).unwrap();
    let ended: Vec<_> = steps.iter().filter(|step| step.event == "abandoned").collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].approval_id, uuid::Uuid::from_bytes(session_id(3).0).to_string());
    assert_eq!(ended[0].common.session_id, ended[0].approval_id, "a row of who asked");
    assert!(ended[0].common.seq > 4 && !ended[0].common.user_name.is_empty());
}

#[test]
fn a_hold_that_ended_is_shown_while_its_segment_is_sealed_and_not_yet_free() {
    let folder = Folder::new();
    let (mut spool, inbox, pool) = spool(&folder, 0);
    fates(&mut spool);
    let mut seal = Seal::new(&folder.0).unwrap();
    let lake = Lake::new(&folder.0);
    for number in 0..2 {
        let sealed = inbox.recv().unwrap();
        seal.seal(&sealed.segment.map.bytes()[..sealed.bytes], &sealed.header).unwrap();
        assert_eq!(decisions(&lake.commands(&Filter::default()).unwrap()), FATES);
        let path = sealed.segment.file.path().to_owned();
        pool.recycle(sealed.segment);
        wait_until("the free segment", || fs::read(&path).unwrap()[0] == 0);
        let rows = lake.commands(&Filter::default()).unwrap();
        assert_eq!(decisions(&rows), FATES, "segment {number}");
    }
}

#[test]
fn recovery_cut_short_at_any_file_ends_with_the_same_rows() {
    let crashed = Folder::new();
    {
        let (mut spool, inbox, pool) = spool(&crashed, 0);
        fates(&mut spool);
        drop((spool, inbox));
        // Segments that are being made get their names meanwhile.
        pool.settle();
    }
    let whole = Folder::new();
    copy(&crashed.0, &whole.0, |_| true);
    recover(&DataDirLock::take(&whole.0).unwrap(), now(1000)).unwrap();
    let expect = all_rows(&whole.0);
    assert!(expect.len() > 20);
    let published = published(&whole.0);
    for count in 0..=published.len() {
        let kept: HashSet<PathBuf> = published
            .iter()
            .take(count)
            .map(|path| path.strip_prefix(&whole.0).unwrap().to_owned())
            .collect();
        let cut = Folder::new();
        copy(&crashed.0, &cut.0, |_| true);
        copy(&whole.0, &cut.0, |path| kept.contains(path));
        recover(&DataDirLock::take(&cut.0).unwrap(), now(2000)).unwrap();
        let rows = all_rows(&cut.0);
        let text =
            |rows: &[String]| rows.join("\n").replace("1787392800002000", "1787392800001000");
        assert_eq!(text(&rows), text(&expect), "cut after {count} files");
        recover(&DataDirLock::take(&cut.0).unwrap(), now(3000)).unwrap();
        assert_eq!(all_rows(&cut.0), rows, "again after {count} files");
    }
}

/// Files of the lake in the order that they came: origin by origin, and of each as the writer has
/// it. Times alone do not tell, since several files come within a tick of the file system's clock.
fn published(data_dir: &Path) -> Vec<PathBuf> {
    let mut origins: BTreeMap<String, (SystemTime, Vec<PathBuf>)> = BTreeMap::new();
    for path in ORDER.iter().flat_map(|table| files(data_dir, table.name())) {
        let time = path.metadata().unwrap().modified().unwrap();
        let origin = origin_of(&path).unwrap().to_owned();
        let (first, paths) = origins.entry(origin).or_insert((time, Vec::new()));
        *first = time.min(*first);
        paths.push(path);
    }
    let mut origins: Vec<_> = origins.into_values().collect();
    origins.sort();
    origins.into_iter().flat_map(|(_, paths)| paths).collect()
}

fn copy(from: &Path, to: &Path, keep: impl Fn(&Path) -> bool + Copy) {
    fn walk(root: &Path, dir: &Path, to: &Path, keep: impl Fn(&Path) -> bool + Copy) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, to, keep);
                continue;
            }
            let relative = path.strip_prefix(root).unwrap();
            if keep(relative) {
                let target = to.join(relative);
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(&path, &target).unwrap();
            }
        }
    }
    walk(from, from, to, keep);
}

#[test]
fn damage_in_the_middle_is_told_with_its_size() {
    let folder = Folder::new();
    {
        let (mut spool, inbox, _pool) = spool(&folder, 0);
        let session = start(&mut spool, 1);
        for seq in 1..=100 {
            step(&mut spool, session, seq, &response(seq));
        }
        drop((spool, inbox));
    }
    let live = super::super::live::read_all(&folder.journal()).unwrap();
    assert_eq!(live.len(), 1);
    let path = segment_paths(&folder.journal())
        .unwrap()
        .into_iter()
        .find(|path| fs::read(path).unwrap()[0] != 0)
        .unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 1000], 4000).unwrap();
    let lock = DataDirLock::take(&folder.0).unwrap();
    let found = recover(&lock, now(1000)).unwrap();
    assert_eq!(found.gaps, 1);
    assert_eq!(found.missing + found.entries, 101);
    assert!(found.missing >= 5, "{found:?}");
    let events = Lake::new(&folder.0).events(&Filter::default()).unwrap();
    let told: Vec<_> = events.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(told, ["gap", "recovery"]);
    assert!(events[0].attrs.contains(&format!(r#""entries":{}"#, found.missing)));
    assert_eq!(events[1].severity, "error");
}

#[test]
fn a_data_directory_serves_one_process() {
    let folder = Folder::new();
    let lock = DataDirLock::take(&folder.0).unwrap();
    assert!(matches!(DataDirLock::take(&folder.0), Err(RecoverError::Locked(_))));
    drop(lock);
    DataDirLock::take(&folder.0).unwrap();
}

#[test]
fn a_segment_with_a_damaged_header_is_put_aside() {
    let folder = Folder::new();
    fs::create_dir_all(folder.journal()).unwrap();
    fs::write(folder.journal().join("7.wal"), [7; 4096]).unwrap();
    let lock = DataDirLock::take(&folder.0).unwrap();
    assert_eq!(recover(&lock, now(0)).unwrap().damaged, 1);
    assert!(folder.journal().join("quarantine/7.wal").exists());
    let (spool, _inbox, _pool) = spool(&folder, 0);
    drop(spool);
}
