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
//! No segment is freed before the rows of its boot are written, so a second run sees the same
//! segments, computes the same rows with the same times, and finds its files in place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::body::ContextFields;
use super::entry::{Entry, Event, SessionEnd, SessionId};
use super::holds;
use super::journal::{Gap, HEADER_BYTES, Header, boot_text};
use super::lake::{LakeError, SessionRow, open_sessions};
use super::parquet::{SealError, date_text};
use super::pool::segment_name;
use super::rows::{self, RECOVERED, Sheet, Verdict};
use super::schema::Table;
use super::scratch::Scratch;
use super::sealer::{Seal, Summary};
use super::spool::Position;
use crate::clock::Now;

/// Gaps that get an event each; all are counted.
const GAP_EVENTS_MAX: usize = 1000;

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
        fs::create_dir_all(data_dir).map_err(at)?;
        let path = data_dir.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at)?;
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
    /// Files whose header is damaged; they were put aside.
    pub damaged: u64,
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
    let left = left_segments(&journal, &mut found).map_err(at)?;
    let mut seal = Seal::new(data_dir).map_err(at)?;
    let mut boots: BTreeMap<[u8; 16], Boot> = BTreeMap::new();
    for (header, path) in &left {
        let bytes = fs::read(path).map_err(at)?;
        let summary = seal.seal(&bytes, header)?;
        found.add(&summary);
        let boot = boots.entry(header.boot).or_insert_with(|| Boot::new(header.clone()));
        boot.add(header, summary);
    }
    for boot in boots.values() {
        boot.close(data_dir, &mut seal, now, &mut found)?;
    }
    for (_, path) in &left {
        free(path).map_err(at)?;
    }
    Ok(found)
}

impl Recovered {
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
        let mut bytes = [0; HEADER_BYTES];
        if file.read_exact_at(&mut bytes, 0).is_err() || bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        match Header::read(&bytes) {
            Some(header) => left.push((header, path)),
            None => {
                found.damaged += 1;
                fs::rename(&path, path.with_extension("damaged"))?;
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
    file.write_all_at(&[0; HEADER_BYTES], 0)?;
    file.sync_data()
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
            let rows = super::lake::file_rows(&done)?;
            let last = rows.iter().map(|row| row.common.log_index).max().unwrap_or(-1);
            let next_index = (last + 1) as u64;
            let position = Position { next_index, ..position };
            position.advance(&journal, self.header.shard).map_err(at)?;
            return seal.holds.settle(settled).map_err(at);
        }
        let open = open_sessions(data_dir, &self.header.boot)?;
        let mut scratch =
            Scratch::new(Header { first_index: position.next_index, ..self.header.clone() });
        for session in &open {
            self.end_session(&mut scratch, session);
        }
        found.sessions += open.len() as u64;
        found.holds += holds.len() as u64;
        self.tell(&mut scratch, now, (open.len(), holds.len()));
        let mut sheet = Sheet::read(&scratch.bytes, &scratch.header, false);
        for held in &holds {
            sheet.add_held(held, Verdict::Hold);
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

    fn end_session(&self, scratch: &mut Scratch, row: &SessionRow) {
        let Ok(id) = uuid::Uuid::parse_str(&row.common.session_id) else { return };
        let id = SessionId(id.into_bytes());
        let maybe = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        let context = ContextFields {
            session_id: id,
            protocol: &row.common.protocol,
            user_name: &row.common.user_name,
            user_groups: &row.common.user_groups,
            auth_method: &maybe(&row.auth_method),
            target: &row.common.target,
            db_namespace: &maybe(&row.common.db_namespace),
            role: &maybe(&row.common.role),
            client_addr: &maybe(&row.common.client_addr),
            client_app: &maybe(&row.client_app),
            tls_version: &maybe(&row.tls_version),
        };
        scratch.context(&context, self.last_us);
        // A session that wrote nothing lately has its numbers in the lake: then the last there is.
        let seq = self.last_seq.get(&id).map_or(i64::MAX as u64, |last| last + 1);
        let end = Entry::SessionEnd(SessionEnd { reason: RECOVERED, ..SessionEnd::default() });
        scratch.entry(id, seq, self.last_us, &end);
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

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
