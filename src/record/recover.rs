//! Brings the data directory in order after a crash, before any spool opens.
//!
//! In: the journal as the last process left it. Out: all of it in the lake, all segments free.
//! Never: a row lost or doubled, however often recovery itself is cut short.
//!
//! ```text
//! lock -> seal every segment that has a header, oldest first      (a file that is there stays)
//!      -> per boot: rows for what never ended, then the `recovery` event, written last
//!      -> free the segments
//! ```
//!
//! What stands in the way is put aside (`quarantine`), told, and does not keep weir from starting.
//! No segment is freed before the rows of its boot are written, so a second run sees the same
//! segments, computes the same rows with the same times, and finds its files in place.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::body::{Body, ContextFields};
use super::durable;
use super::entry::{Approval, Entry, Event, SessionEnd, SessionId};
use super::holds::{self, HoldFile};
use super::journal::{Gap, HEADER_BYTES, Header, boot_text};
use super::lake::{LakeError, SessionRow, open_asks, open_sessions};
use super::lake_rows::{ApprovalRow, Common};
use super::parquet::{SealError, date_text};
use super::pool::segment_name;
use super::position::{Opened, Position};
use super::quarantine::{self, PutAside};
use super::rows::{self, Held, RECOVERED, Sheet, Unanswered};
use super::schema::Table;
use super::scratch::Scratch;
use super::sealer::{Seal, Summary, panic_text};
use crate::clock::Now;

/// Gaps that get an event each; all are counted.
const GAP_EVENTS_MAX: usize = 1000;
/// Shards that an earlier configuration can have had.
const SHARDS_MAX: u32 = 1024;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Another process.
    #[error("{0} is used by another weir: stop it, or give this one a data_dir of its own")]
    Locked(PathBuf),
    /// The disk.
    #[error("cannot read or write {0}: {1}")]
    Io(PathBuf, io::Error),
    /// The lake.
    #[error("cannot bring the journal into the lake: {0}")]
    Seal(#[from] SealError),
    /// The lake.
    #[error("cannot read the lake: {0}")]
    Lake(#[from] LakeError),
}

/// Keeps other processes out of the data directory, as long as it lives.
#[derive(Debug)]
pub struct DataDirLock {
    data_dir: PathBuf,
    _file: File,
}

impl DataDirLock {
    /// Locks a data directory; makes it if it is not there.
    ///
    /// # Errors
    /// When another process has it or it cannot be written.
    pub fn take(data_dir: &Path) -> Result<DataDirLock, RecoverError> {
        let at = |error| RecoverError::Io(data_dir.to_owned(), error);
        durable::private_directory(data_dir).map_err(at)?;
        let path = data_dir.join("lock");
        let file = durable::private_file()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { data_dir: data_dir.to_owned(), _file: file }),
            Err(TryLockError::WouldBlock) => Err(RecoverError::Locked(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(at(error)),
        }
    }
}

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that a crash left.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Entries missing between whole ones.
    pub missing: u64,
    /// Holes.
    pub gaps: u64,
    /// Segments that end in bytes that are no frame.
    pub torn: u64,
    /// Entries with a right checksum that this version cannot read.
    pub unreadable: u64,
    /// Sessions that had no end.
    pub sessions: u64,
    /// Commands that waited for approval.
    pub holds: u64,
    /// Files that are damaged: put aside, or read all the same where that is possible.
    pub damaged: u64,
    /// What was not as it should be and no entry tells: to be recorded by the process that starts.
    pub notices: Vec<Notice>,
}

/// Something that recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Stable name of the event.
    pub event: &'static str,
    /// A sentence.
    pub message: String,
    /// Facts as JSON.
    pub attrs: String,
}

impl From<PutAside> for Notice {
    fn from(put: PutAside) -> Notice {
        Notice { event: "quarantine", message: put.message(), attrs: put.attrs() }
    }
}

/// Recovers the locked data directory.
///
/// # Errors
/// When something cannot be read or written; nothing is lost then, run it again.
pub fn recover(lock: &DataDirLock, now: Now) -> Result<Recovered, RecoverError> {
    let data_dir = &lock.data_dir;
    let journal = data_dir.join(super::JOURNAL_FOLDER);
    let at = |error| RecoverError::Io(journal.clone(), error);
    let mut found = Recovered::default();
    positions_in_order(&journal, now, &mut found).map_err(at)?;
    let left = left_segments(&journal, &mut found).map_err(at)?;
    missing_segments(&journal, &left, now, &mut found).map_err(at)?;
    let mut seal = Seal::new(data_dir).map_err(at)?;
    found.aside(std::mem::take(&mut seal.holds.aside));
    let mut boots: BTreeMap<[u8; 16], Boot> = BTreeMap::new();
    let mut sealed = Vec::new();
    for (header, path) in &left {
        let bytes = fs::read(path).map_err(at)?;
        match catch_unwind(AssertUnwindSafe(|| seal.seal(&bytes, header))) {
            Ok(summary) => {
                let summary = summary?;
                found.add(&summary);
                let boot = boots.entry(header.boot).or_insert_with(|| Boot::new(header.clone()));
                boot.add(header, summary);
                sealed.push(path);
            }
            Err(panic) => {
                // What was in the middle of it is begun anew.
                seal = Seal::new(data_dir).map_err(at)?;
                let why = panic_text(panic.as_ref());
                let file = quarantine::put(&journal, path).map_err(at)?;
                skip(&journal, header.shard, header.number, now).map_err(at)?;
                found.aside(vec![PutAside { file, origin: header.origin(), entries: None, why }]);
            }
        }
    }
    for boot in boots.values() {
        boot.close(data_dir, &mut seal, now, &mut found)?;
    }
    for path in sealed {
        free(path).map_err(at)?;
    }
    Ok(found)
}

/// Goes on behind all numbers that a lost segment can have had: a shard gives fewer than one log
/// index a microsecond, so the time is above all of them.
fn skip(journal: &Path, shard: u32, number: u64, now: Now) -> io::Result<()> {
    let next_index = u64::try_from(now.wall_us).unwrap_or_default();
    Position { next_index, next_segment: number + 1 }.advance(journal, shard)
}

/// Puts positions aside that cannot be read; their shards go on where no number was given.
fn positions_in_order(journal: &Path, now: Now, found: &mut Recovered) -> io::Result<()> {
    for shard in 0..SHARDS_MAX {
        let path = Position::path(journal, shard);
        if !path.exists() {
            continue;
        }
        match Position::read(journal, shard) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let file = quarantine::put(journal, &path)?;
                let number = u64::try_from(now.wall_us).unwrap_or_default();
                skip(journal, shard, number, now)?;
                let (origin, why) = (format!("shard {shard}"), "it is no position".into());
                found.aside(vec![PutAside { file, origin, entries: None, why }]);
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Tells of segments that were open and are gone: deleted, emptied, or of zeros.
fn missing_segments(
    journal: &Path,
    left: &[(Header, PathBuf)],
    now: Now,
    found: &mut Recovered,
) -> io::Result<()> {
    for shard in 0..SHARDS_MAX {
        let Some(opened) = Opened::read(journal, shard)? else { continue };
        let position = Position::read(journal, shard)?;
        let there =
            left.iter().any(|(header, _)| (header.shard, header.number) == (shard, opened.number));
        if there || position.next_segment > opened.number {
            continue;
        }
        skip(journal, shard, opened.number, now)?;
        found.gaps += 1;
        found.notices.push(Notice {
            event: "gap",
            message: "A segment of the journal is gone, and with it the entries it had".into(),
            attrs: format!(
                r#"{{"shard":{shard},"segment":{},"from_log_index":{},"entries":null}}"#,
                opened.number, opened.first_index
            ),
        });
    }
    Ok(())
}

impl Recovered {
    /// A file of the lake that cannot be read stays where it is.
    fn unread(&mut self, path: &Path) {
        self.damaged += 1;
        let file = path.to_string_lossy();
        self.notices.push(Notice {
            event: "lake-damaged",
            message: format!("{file} is damaged: sessions in it may have no end in the record"),
            attrs: serde_json::json!({ "file": file }).to_string(),
        });
    }

    fn aside(&mut self, put: Vec<PutAside>) {
        self.damaged += put.len() as u64;
        self.notices.extend(put.into_iter().map(Notice::from));
    }

    fn add(&mut self, summary: &Summary) {
        self.segments += 1;
        self.entries += summary.entries;
        self.unreadable += summary.unreadable;
        self.torn += u64::from(summary.torn);
        self.gaps += summary.gaps.len() as u64;
        self.missing += summary.gaps.iter().map(|gap| gap.entries).sum::<u64>();
    }
}

/// Segments with a header, in the order of their shards and numbers.
fn left_segments(journal: &Path, found: &mut Recovered) -> io::Result<Vec<(Header, PathBuf)>> {
    let mut left = Vec::new();
    for path in segment_paths(journal)? {
        let file = File::open(&path)?;
        let mut head = [0; HEADER_BYTES];
        let end = file.metadata()?.len().checked_sub(HEADER_BYTES as u64);
        let Some(end) = end.filter(|_| file.read_exact_at(&mut head, 0).is_ok()) else { continue };
        if let Some(header) = Header::read(&head) {
            left.push((header, path));
            continue;
        }
        // The end holds a copy of the header until the segment is free.
        let mut copy = [0; HEADER_BYTES];
        file.read_exact_at(&mut copy, end)?;
        match Header::read(&copy) {
            Some(header) => {
                found.damaged += 1;
                found.notices.push(Notice {
                    event: "header-damaged",
                    message: "The header of a journal segment was damaged; its entries were read \
                              by the copy of it"
                        .into(),
                    attrs: format!(r#"{{"origin":"{}"}}"#, header.origin()),
                });
                left.push((header, path));
            }
            None if head.iter().all(|byte| *byte == 0) => {}
            None => {
                let origin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let file = quarantine::put(journal, &path)?;
                let why = "neither its header nor the copy of it can be read".into();
                found.aside(vec![PutAside { file, origin, entries: None, why }]);
            }
        }
    }
    left.sort_by_key(|(header, _)| (header.shard, header.number));
    Ok(left)
}

/// All segment files of a journal.
pub(in crate::record) fn segment_paths(journal: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(journal) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if segment_name(&path).is_some() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn free(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    // The copy first: one without the other tells of damage.
    if let Some(end) = file.metadata()?.len().checked_sub(HEADER_BYTES as u64) {
        file.write_all_at(&[0; HEADER_BYTES], end)?;
        file.sync_data()?;
    }
    file.write_all_at(&[0; HEADER_BYTES], 0)?;
    file.sync_data()
}

/// The commands that wait in the logs of some shards.
fn of_shard<'a>(files: &[&'a HoldFile], is: impl Fn(u32) -> bool) -> Vec<Held<'a>> {
    files.iter().filter(|file| is(file.header.shard)).flat_map(|file| file.held()).collect()
}

/// A process that ended without sealing its segments.
struct Boot {
    header: Header,
    shards: HashSet<u32>,
    last_us: i64,
    counts: Recovered,
    gaps: Vec<(u32, u64, Gap)>,
    last_seq: HashMap<SessionId, u64>,
}

impl Boot {
    fn new(header: Header) -> Boot {
        Boot {
            header,
            shards: HashSet::new(),
            last_us: 0,
            counts: Recovered::default(),
            gaps: Vec::new(),
            last_seq: HashMap::new(),
        }
    }

    fn add(&mut self, header: &Header, summary: Summary) {
        self.counts.add(&summary);
        self.shards.insert(header.shard);
        self.last_us = self.last_us.max(summary.last_us);
        if header.shard < self.header.shard {
            self.header = header.clone();
        }
        for (session, seq) in summary.last_seq {
            let last = self.last_seq.entry(session).or_default();
            *last = seq.max(*last);
        }
        let gaps = summary.gaps.into_iter().map(|gap| (header.shard, header.number, gap));
        self.gaps.extend(gaps);
    }

    /// Writes what the process could not: ends of its sessions, its waiting commands, and the
    /// event that says so. They go into the log of its lowest shard.
    fn close(
        &self,
        data_dir: &Path,
        seal: &mut Seal,
        now: Now,
        found: &mut Recovered,
    ) -> Result<(), RecoverError> {
        let journal = data_dir.join(super::JOURNAL_FOLDER);
        let at = |error| RecoverError::Io(journal.clone(), error);
        let origin = format!("{}-recovery-{}", self.header.shard, boot_text(&self.header.boot));
        let done = self.marker(data_dir, &origin);
        let position = Position::read(&journal, self.header.shard).map_err(at)?;
        let waiting = holds::read_all(&journal).map_err(at)?;
        let waiting: Vec<_> =
            waiting.iter().filter(|file| file.header.boot == self.header.boot).collect();
        let holds: Vec<_> = waiting.iter().flat_map(|file| file.held()).collect();
        let settled = holds.iter().map(|held| rows::key(&held.frame.place));
        if done.exists() {
            // Cut short behind the event: everything is written, only the rest has to be done.
            // A damaged one has no numbers to go on from: the position has them, or the time does.
            let Ok(rows) = super::lake::file_rows(&done) else {
                skip(&journal, self.header.shard, position.next_segment, now).map_err(at)?;
                found.unread(&done);
                return seal.holds.settle(settled).map_err(at);
            };
            let last = rows.iter().map(|row| row.common.log_index).max().unwrap_or(-1);
            let next_index = (last + 1) as u64;
            let position = Position { next_index, ..position };
            position.advance(&journal, self.header.shard).map_err(at)?;
            return seal.holds.settle(settled).map_err(at);
        }
        let (open, unread) = open_sessions(data_dir, &self.header.boot)?;
        unread.iter().for_each(|path| found.unread(path));
        let mut scratch =
            Scratch::new(Header { first_index: position.next_index, ..self.header.clone() });
        let (asks, unread) = open_asks(data_dir, &self.header.boot)?;
        unread.iter().for_each(|path| found.unread(path));
        for session in &open {
            self.end_session(&mut scratch, session, &holds);
        }
        self.end_asks(&mut scratch, &asks, (&open, &holds));
        found.sessions += open.len() as u64;
        found.holds += holds.len() as u64;
        self.tell(&mut scratch, now, (open.len(), holds.len()));
        // The log of another shard has numbers of its own: its rows stand under its name.
        let others: BTreeSet<u32> = (waiting.iter().map(|file| file.header.shard))
            .filter(|shard| *shard != self.header.shard)
            .collect();
        for shard in others {
            let log = Scratch::new(Header { shard, ..self.header.clone() });
            let mut sheet = Sheet::read(&log.bytes, &log.header, false);
            for held in of_shard(&waiting, |other| other == shard) {
                sheet.add_held(&held, Unanswered::Abandoned);
            }
            let origin = format!("{shard}-recovery-{}", boot_text(&self.header.boot));
            seal.writer.write(&mut sheet, &log.header, &origin)?;
        }
        let mut sheet = Sheet::read(&scratch.bytes, &scratch.header, false);
        let own = of_shard(&waiting, |shard| shard == self.header.shard);
        for held in &own {
            sheet.add_held(held, Unanswered::Abandoned);
        }
        // The writer puts `log_events` last: it marks that all the others are there.
        seal.writer.write(&mut sheet, &scratch.header, &origin)?;
        Position { next_index: scratch.next_index, ..position }
            .advance(&journal, self.header.shard)
            .map_err(at)?;
        seal.holds.settle(settled).map_err(at)
    }

    fn marker(&self, data_dir: &Path, origin: &str) -> PathBuf {
        let day = self.last_us.div_euclid(86_400_000_000);
        let lake = data_dir.join("lake");
        super::parquet::file_path(&lake, Table::LogEvents, day, &self.header.node, origin)
    }

    /// The end of a session, behind that of its commands that waited: nobody denied them.
    fn end_session(&self, scratch: &mut Scratch, row: &SessionRow, holds: &[Held<'_>]) {
        let Some(id) = session_of(&row.common) else { return };
        let maybe = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        let context = ContextFields {
            auth_method: &maybe(&row.auth_method),
            client_app: &maybe(&row.client_app),
            tls_version: &maybe(&row.tls_version),
            ..fields_of(id, &row.common)
        };
        scratch.context(&context, self.last_us);
        // A session that wrote nothing lately has its numbers in the lake: then the last there is.
        let mut seq = self.last_seq.get(&id).map_or(i64::MAX as u64, |last| last + 1);
        for held in holds.iter().filter(|held| held.frame.place.session_id == id) {
            let Some(approval_id) = approval_of(held) else { continue };
            let entry = abandoned(approval_id, held.frame.place.seq, self.last_us);
            scratch.entry(id, seq, self.last_us, &entry);
            seq = seq.saturating_add(1).min(i64::MAX as u64);
        }
        let end = Entry::SessionEnd(SessionEnd { reason: RECOVERED, ..SessionEnd::default() });
        scratch.entry(id, seq, self.last_us, &end);
    }

    /// The end of asks that outlived their session, since its client was told to ask again: people
    /// are asked by the process alone. Those of commands that wait have theirs.
    fn end_asks(
        &self,
        scratch: &mut Scratch,
        asks: &[ApprovalRow],
        (open, holds): (&[SessionRow], &[Held<'_>]),
    ) {
        let open: HashSet<SessionId> =
            open.iter().filter_map(|row| session_of(&row.common)).collect();
        let waits = holds.iter().filter(|held| open.contains(&held.frame.place.session_id));
        let told: HashSet<SessionId> = waits.filter_map(approval_of).collect();
        for ask in asks {
            let Some(id) = session_of(&ask.common) else { continue };
            let Ok(approval) = uuid::Uuid::parse_str(&ask.approval_id) else { continue };
            let approval = SessionId(approval.into_bytes());
            if told.contains(&approval) {
                continue;
            }
            scratch.context(&fields_of(id, &ask.common), self.last_us);
            // Behind all that the session counted itself, as the time is.
            let seq = u64::try_from(self.last_us).unwrap_or_default();
            let seq = self.last_seq.get(&id).map_or(seq, |last| seq.max(last + 1));
            let command_seq = u64::try_from(ask.command_seq).unwrap_or_default();
            let entry = abandoned(approval, command_seq, self.last_us);
            scratch.entry(id, seq, self.last_us, &entry);
        }
    }

    fn tell(&self, scratch: &mut Scratch, now: Now, (sessions, holds): (usize, usize)) {
        for (shard, segment, gap) in self.gaps.iter().take(GAP_EVENTS_MAX) {
            let attrs = format!(
                r#"{{"shard":{shard},"segment":{segment},"from_log_index":{},"entries":{},"from_offset":{},"to_offset":{}}}"#,
                gap.from_index, gap.entries, gap.from_offset, gap.to_offset
            );
            let message = "Entries of the journal are damaged and could not be recovered";
            let event = Event { event: "gap", severity: "error", message, attrs: &attrs };
            scratch.entry(SessionId::default(), 0, self.last_us, &Entry::Event(event));
        }
        let Recovered { segments, entries, missing, gaps, torn, unreadable, .. } = self.counts;
        let attrs = format!(
            r#"{{"boot":"{}","segments":{segments},"entries":{entries},"gaps":{gaps},"missing":{missing},"torn":{torn},"unreadable":{unreadable},"sessions":{sessions},"holds":{holds},"recovered_us":{}}}"#,
            boot_text(&self.header.boot),
            now.wall_us
        );
        let message = format!(
            "weir stopped without sealing its journal on {}; {entries} entries were recovered",
            date_text(self.last_us.div_euclid(86_400_000_000))
        );
        let severity = if missing > 0 || unreadable > 0 { "error" } else { "warn" };
        let event = Event { event: "recovery", severity, message: &message, attrs: &attrs };
        scratch.entry(SessionId::default(), 0, self.last_us, &Entry::Event(event));
    }
}

fn session_of(common: &Common) -> Option<SessionId> {
    uuid::Uuid::parse_str(&common.session_id).ok().map(|id| SessionId(id.into_bytes()))
}

/// What every row knows of its session.
fn fields_of(id: SessionId, common: &Common) -> ContextFields<'_> {
    ContextFields {
        session_id: id,
        protocol: &common.protocol,
        user_name: &common.user_name,
        user_groups: &common.user_groups,
        auth_method: "",
        target: &common.target,
        db_namespace: common.db_namespace.as_deref().unwrap_or_default(),
        role: common.role.as_deref().unwrap_or_default(),
        client_addr: common.client_addr.as_deref().unwrap_or_default(),
        client_app: "",
        tls_version: "",
    }
}

/// What people were asked by about a command that waits.
fn approval_of(held: &Held<'_>) -> Option<SessionId> {
    match held.frame.body() {
        Some(Body::Command(command)) => command.approval_id,
        _ => None,
    }
}

/// The last step of an approval that the process did not live to see.
fn abandoned(approval_id: SessionId, command_seq: u64, at_us: i64) -> Entry<'static> {
    Entry::Approval(Approval {
        approval_id,
        command_seq,
        event: "abandoned",
        approver: "",
        reason: "weir ended while the command waited",
        quorum: 0,
        expires_at_us: at_us,
        digest: None,
        scope: "",
        approver_auth: "",
        channel: "",
    })
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "damage_tests.rs"]
mod damage_tests;
