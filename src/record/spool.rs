//! The journal of one shard: appends into a mapped segment, and switches segments.
//!
//! In: entries. Out: receipts, sync jobs for the shard's ring, sealed segments for the sealer.
//! Never: a system call or an allocation on append, except for a large entry and where a segment
//! is switched; a receipt for an entry that is not in the page cache; a `durable` beyond what a
//! sync has confirmed.
//!
//! ```text
//!            none ready                    one ready: an Event `gap` says how many were refused
//!   Open ----------------> Full ---------------------------------------------> Open
//!    |  first failed sync: a fresh segment, the range before it is in doubt       |
//!    +----------------> Open, doubt ----- second failed sync ----> Dead  <--------+
//! ```
//!
//! Before it is full, new commands are refused: the last part of a segment is for the answers of
//! those that run, and its last 64 KiB for denials, ends of sessions and events, so that a full
//! disk is itself recorded. `room` says whose bytes are to wait meanwhile.

mod room;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use super::body;
use super::entry::{Entry, Event, SessionContext, SessionId};
use super::journal::{self, END_BYTES, HEADER_BYTES, Head, Header, Place, Salt, frame_bytes};
use super::parts::{Parts, write_frame};
use super::pool::{AHEAD_BYTES, Segment, SegmentFile, SegmentPool};
use super::position::Position;
use super::{Journal, Lsn, Receipt, Refused, SessionRef};
use crate::clock::Now;
use crate::config::settings::JournalSettings;
use crate::limits::{CHUNK_BYTES_MAX, ENTRY_BYTES_MAX};

use room::Need;
pub use room::Room;

/// The end of a segment that only denials, session ends and events may use; denials half of it.
const RESERVE_BYTES: usize = 64 << 10;
/// Entries of this size are written by a system call. A store into a page that is mapped and clean
/// is a fault, some 4 us each here, and 17 of them for a chunk of an answer; a call takes half of
/// that.
pub(in crate::record) const CALL_BYTES_MIN: usize = 8 << 10;
/// Larger ones are written in parts from where they are: a copy would be as large again, and so
/// would be the pages of a mapping that they are stored to.
const CALL_BYTES_MAX: usize = CHUNK_BYTES_MAX + 1024;
/// A smaller segment has no room for an entry besides its reserve.
pub const SEGMENT_BYTES_MIN: u64 = 256 << 10;
/// What is read at once of a sealed segment that is not in memory.
const FETCH_BYTES: usize = 1 << 20;
/// How often the pages that are written next are asked for, beside every `AHEAD_BYTES / 2`.
const FETCH_EVERY_US: u64 = 4_000_000;
/// How often somebody looks for a segment that is not there yet.
const TRY_AGAIN_US: u64 = 1_000_000;
/// How long `open` waits for its first segment.
const FIRST_SEGMENT: Duration = Duration::from_secs(60);
/// It gives up when the disk has said no for so long.
const FIRST_TROUBLE: Duration = Duration::from_secs(3);

/// Why a spool cannot open.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The setting is too small.
    #[error("journal.segment_bytes is {0}, expected at least {SEGMENT_BYTES_MIN}: raise it")]
    SegmentBytes(u64),
    /// The directory cannot be read.
    #[error("cannot read {0}: {1}")]
    Directory(PathBuf, io::Error),
    /// The pool made none.
    #[error("no journal segment could be made: {0}; free some disk space or check its rights")]
    NoSegment(String),
}

/// A segment that takes no more entries.
#[derive(Debug)]
pub struct SealedSegment {
    /// Its memory and file.
    pub segment: Segment,
    /// Whose life it was.
    pub header: Header,
    /// Log index after its last entry.
    pub next_index: u64,
    /// Bytes used.
    pub bytes: usize,
    /// When it was closed, UTC microseconds.
    pub closed_us: i64,
}

impl SealedSegment {
    /// Has it in memory, whole; the kernel may have taken it. A part at a time, so that the shards
    /// do not wait for the disk behind all of it.
    pub(in crate::record) fn fetch(&self) {
        for (number, part) in self.segment.map.bytes()[..self.bytes].chunks(FETCH_BYTES).enumerate()
        {
            self.segment.file.will_need((number * FETCH_BYTES) as u64, part.len());
            // Waits for the part.
            std::hint::black_box(part.last().copied());
        }
    }
}

/// A flush that the shard's ring carries out. Holds the file open until it is handed back.
#[derive(Debug)]
#[must_use = "hand it back with `synced`"]
pub struct SyncJob {
    /// For `fdatasync`.
    pub fd: RawFd,
    /// What is durable when it succeeds.
    pub lsn: Lsn,
    file: Arc<SegmentFile>,
    number: u64,
}

/// The journal of one shard.
#[derive(Debug)]
pub struct Spool {
    node: String,
    shard: u32,
    seal_after_us: u64,
    flush_us: u64,
    /// When the pages that are written next were last asked for.
    fetched_us: Option<u64>,
    /// Where the copy of the header begins: frames end before.
    frames_end: usize,
    pool: SegmentPool,
    want: SyncSender<Segment>,
    ready: Receiver<Segment>,
    /// The segment after the open one, once it has come.
    next: Option<Segment>,
    sealed: Sender<SealedSegment>,
    open: Open,
    sessions: Vec<Slot>,
    vacant: Vec<u32>,
    next_index: u64,
    written: Lsn,
    durable: Lsn,
    /// Closed segments that no sync has confirmed yet, oldest first.
    unsynced: VecDeque<Unsynced>,
    in_flight: bool,
    rotate_wanted: bool,
    refusing: Option<Refusing>,
    /// Entries refused, ever.
    refused: u64,
    /// Since when little room is left and no segment has come.
    short_since_us: Option<u64>,
    /// Since when answers wait.
    none_since_us: Option<u64>,
    answer_wait_us: u64,
    /// Facts of a failed sync that no entry tells yet.
    doubt_untold: Option<String>,
    /// The last large entry could not be written, which was told.
    write_failing: bool,
    health: Health,
    last_now: Now,
    /// Where a large entry is put together.
    scratch: Vec<u8>,
}

/// The segment that takes entries.
#[derive(Debug)]
struct Open {
    segment: Segment,
    header: Header,
    salt: Salt,
    at: usize,
    first_entry_us: Option<u64>,
}

#[derive(Debug)]
struct Slot {
    id: SessionId,
    context: Vec<u8>,
    /// The segment that holds the context as it is now.
    in_segment: Option<u64>,
    /// Its last entry.
    last: Lsn,
    live: bool,
}

#[derive(Debug)]
struct Unsynced {
    file: Arc<SegmentFile>,
    number: u64,
    end: Lsn,
}

/// Since when entries are refused, and how many.
#[derive(Clone, Copy, Debug)]
struct Refusing {
    since_us: i64,
    entries: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A sync failed once: what is after the first and up to the second position is in doubt.
    Doubt(Lsn, Lsn),
    Dead(Lsn),
}

impl Spool {
    /// Opens the journal of a shard in `dir` and waits until its first segment is there.
    ///
    /// # Errors
    /// When the settings do not make sense or no segment can be made.
    #[expect(clippy::too_many_arguments, reason = "each is of another kind; called once")]
    pub fn open(
        dir: &Path,
        node: &str,
        shard: u32,
        settings: &JournalSettings,
        sealed: Sender<SealedSegment>,
        pool: SegmentPool,
    ) -> Result<Spool, SpoolError> {
        if settings.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(SpoolError::SegmentBytes(settings.segment_bytes));
        }
        let position = Position::read(dir, shard)
            .map_err(|error| SpoolError::Directory(dir.to_owned(), error))?;
        let (want, ready) = mpsc::sync_channel(1);
        pool.register();
        pool.want(&want);
        let first = first_segment(&ready, &pool)?;
        pool.want(&want);
        let header = Header {
            node: node.to_owned(),
            shard,
            number: position.next_segment,
            boot: pool.boot(),
            created_us: 0,
            first_index: position.next_index,
        };
        pool.opened(&header);
        Ok(Spool {
            node: node.to_owned(),
            shard,
            seal_after_us: settings.seal_after_us,
            flush_us: settings.flush_us,
            fetched_us: None,
            frames_end: settings.segment_bytes as usize - HEADER_BYTES,
            pool,
            want,
            ready,
            next: None,
            sealed,
            open: Open::begin(first, header),
            sessions: Vec::new(),
            vacant: Vec::new(),
            next_index: position.next_index,
            written: Lsn(0),
            durable: Lsn(0),
            unsynced: VecDeque::new(),
            in_flight: false,
            rotate_wanted: false,
            refusing: None,
            refused: 0,
            short_since_us: None,
            none_since_us: None,
            answer_wait_us: settings.answer_wait_us,
            doubt_untold: None,
            write_failing: false,
            health: Health::Sound,
            last_now: Now::default(),
            scratch: Vec::new(),
        })
    }

    /// Number of the segment that takes entries.
    pub fn segment_number(&self) -> u64 {
        self.open.header.number
    }

    /// Everything appended; in `write` mode that is what counts.
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// Everything that a sync has confirmed, except what is `in_doubt`.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Whether the entry at `lsn` may be lost by a power cut although later ones are not: the
    /// sync that should have covered it failed. A peer that waits for it is to be refused.
    pub fn in_doubt(&self, lsn: Lsn) -> bool {
        match self.health {
            Health::Sound => false,
            Health::Doubt(after, to) => after < lsn && lsn <= to,
            Health::Dead(after) => after < lsn,
        }
    }

    /// Whether a segment that is closed waits for its flush.
    pub fn closed_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// The next flush to carry out, if there is something to flush and none is under way.
    pub fn sync_job(&mut self) -> Option<SyncJob> {
        if self.in_flight || matches!(self.health, Health::Dead(_)) {
            return None;
        }
        let (file, number, lsn) = match self.unsynced.front() {
            Some(closed) => (&closed.file, closed.number, closed.end),
            None => (&self.open.segment.file, self.open.header.number, self.written),
        };
        if lsn <= self.durable || file.is_poisoned() {
            return None;
        }
        self.in_flight = true;
        Some(SyncJob { fd: file.fd(), lsn, file: Arc::clone(file), number })
    }

    /// Takes a flush back with what the kernel said of it.
    pub fn synced(&mut self, job: SyncJob, result: io::Result<()>) {
        assert!(self.in_flight, "a flush comes back that was not given out");
        self.in_flight = false;
        match result {
            Ok(()) => {
                self.durable = self.durable.max(job.lsn);
                while self.unsynced.front().is_some_and(|closed| closed.end <= self.durable) {
                    self.unsynced.pop_front();
                }
            }
            Err(error) => self.sync_failed(&job, &error),
        }
    }

    /// After a failed sync the kernel may drop the pages and call the next sync a success, so the
    /// file is not synced again; its entries reach the lake from memory if they can.
    fn sync_failed(&mut self, job: &SyncJob, error: &io::Error) {
        job.file.poison();
        if self.health != Health::Sound {
            self.health = Health::Dead(self.doubt_from());
            return;
        }
        let from = self.durable;
        let to = match self.unsynced.front() {
            Some(closed) if closed.number == job.number => closed.end,
            _ => self.written,
        };
        self.health = Health::Doubt(from, to);
        self.durable = self.durable.max(to);
        self.unsynced.retain(|closed| closed.number != job.number);
        self.doubt_untold = Some(format!(
            r#"{{"segment":{},"from_lsn":{},"to_lsn":{},"os_error":{}}}"#,
            job.number,
            from.0,
            to.0,
            error.raw_os_error().unwrap_or(0)
        ));
        // If none is ready, entries are refused until one is: this file takes no more.
        let now = self.last_now;
        if job.number != self.open.header.number || self.switch(now) {
            self.tell(now);
        }
    }

    fn doubt_from(&self) -> Lsn {
        match self.health {
            Health::Doubt(after, _) => after,
            Health::Sound | Health::Dead(_) => self.durable,
        }
    }

    /// Writes an entry that belongs to no session.
    ///
    /// # Errors
    /// As `append`.
    pub fn event(&mut self, now: Now, event: &Event<'_>) -> Result<Receipt, Refused> {
        self.write(None, 0, now, &Entry::Event(event.clone()))
    }

    /// Seals the open segment when it is old enough and another one is ready. Has the pages that
    /// are written next in memory.
    pub fn tick(&mut self, now: Now) {
        self.last_now = now;
        self.fetch_next();
        if self.fetched_us.is_none_or(|at| now.mono_us >= at + FETCH_EVERY_US) {
            self.fetched_us = Some(now.mono_us);
            self.pool.ahead(&self.open.segment.file, self.open.at);
            if let Some(next) = &self.next {
                self.pool.ahead(&next.file, 0);
            }
        }
        let aged = self
            .open
            .first_entry_us
            .is_some_and(|first| now.mono_us.saturating_sub(first) >= self.seal_after_us);
        if aged || self.rotate_wanted {
            self.rotate(now);
        } else if self.refusing.is_some() && self.switch(now) {
            self.tell(now);
        }
    }

    /// Entries that were refused for want of room, or by the disk.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// When `tick` has something to do if nothing is written until then: nobody waits for a tick
    /// otherwise, and a shard that sleeps is not to be woken.
    pub fn tick_at_us(&self) -> Option<u64> {
        if self.rotate_wanted || self.refusing.is_some() || self.doubt_untold.is_some() {
            return Some(self.last_now.mono_us + TRY_AGAIN_US);
        }
        self.open.first_entry_us.map(|first| first.saturating_add(self.seal_after_us))
    }

    /// The longest that an entry may not be on the disk, as far as the disk is fast enough.
    pub fn flush_us(&self) -> u64 {
        self.flush_us
    }

    /// Seals the open segment if it holds entries: now if another one is ready, else at a later
    /// `tick`.
    pub fn rotate(&mut self, now: Now) {
        if self.open.first_entry_us.is_none() {
            self.want_rotate(false);
            return;
        }
        if self.switch(now) {
            self.tell(now);
        } else {
            self.want_rotate(true);
        }
    }

    /// Remembers a rotation that has to wait for a segment; it counts as one that waits.
    fn want_rotate(&mut self, wanted: bool) {
        match (self.rotate_wanted, wanted) {
            (false, true) => self.pool.wait_more(),
            (true, false) => self.pool.wait_less(),
            _ => {}
        }
        self.rotate_wanted = wanted;
    }

    /// Seals the open segment, at the end of the shard's life.
    pub fn finish(self, now: Now) {
        let Spool { open, sealed, next_index, pool, .. } = self;
        pool.wait_more();
        seal(&sealed, open, next_index, now);
    }

    /// Ends as a killed process does: nothing is sealed, nothing is cleaned up.
    #[cfg(test)]
    pub(in crate::record) fn forget(self) {
        std::mem::forget(self.open);
    }

    fn fetch_next(&mut self) {
        if self.next.is_none() {
            self.next = self.ready.try_recv().ok();
        }
    }

    /// Goes on in the next segment if one is ready, and sends the full one to the sealer.
    fn switch(&mut self, now: Now) -> bool {
        self.fetch_next();
        if self.next.take_if(|segment| segment.file.is_over()).is_some() {
            // Its file was deleted while it lay ready.
            self.pool.forget();
            self.pool.want(&self.want);
        }
        let Some(segment) = self.next.take() else {
            return false;
        };
        self.pool.want(&self.want);
        let header = Header {
            node: self.node.clone(),
            shard: self.shard,
            number: self.open.header.number + 1,
            boot: self.pool.boot(),
            created_us: now.wall_us,
            first_index: self.next_index,
        };
        self.pool.opened(&header);
        let full = std::mem::replace(&mut self.open, Open::begin(segment, header));
        // One that is on the disk already would wait for a flush that nobody has to carry out, and
        // keep those behind it from theirs.
        if self.written > self.durable && !full.segment.file.is_poisoned() {
            self.unsynced.push_back(Unsynced {
                file: Arc::clone(&full.segment.file),
                number: full.header.number,
                end: self.written,
            });
        }
        self.pool.wait_more();
        seal(&self.sealed, full, self.next_index, now);
        self.want_rotate(false);
        true
    }

    /// Says in the fresh segment what went wrong before it: a failed flush, refused entries.
    fn tell(&mut self, now: Now) {
        if let Some(attrs) = self.doubt_untold.take() {
            let message = "A flush of the journal failed: a power cut may lose entries of this \
                           range until they are in the lake";
            let event =
                Event { event: "disk-error", severity: "error", message, attrs: attrs.as_str() };
            if self.event(now, &event).is_err() {
                self.doubt_untold = Some(attrs);
            }
        }
        let Some(refusing) = self.refusing.take() else { return };
        let attrs = format!(
            r#"{{"refused":{},"since_us":{},"until_us":{}}}"#,
            refusing.entries, refusing.since_us, now.wall_us
        );
        let message = "Entries were refused because no journal segment was free, and with them \
                       the commands they were of";
        let event = Event { event: "gap", severity: "error", message, attrs: attrs.as_str() };
        if self.event(now, &event).is_err() {
            self.refusing = Some(refusing);
        }
    }

    fn refuse(&mut self, now: Now) -> Refused {
        self.refused += 1;
        if let Some(refusing) = &mut self.refusing {
            refusing.entries += 1;
            return Refused::Full;
        }
        self.refusing = Some(Refusing { since_us: now.wall_us, entries: 1 });
        let message = "No journal segment is free: entries are refused until one is";
        let event = Event { event: "journal-full", severity: "error", message, attrs: "{}" };
        let _ = self.event(now, &event);
        Refused::Full
    }

    fn write(
        &mut self,
        session: Option<SessionRef>,
        seq: u64,
        now: Now,
        entry: &Entry<'_>,
    ) -> Result<Receipt, Refused> {
        if matches!(self.health, Health::Dead(_)) {
            return Err(Refused::Disk);
        }
        self.last_now = now;
        let body = journal::body_bytes(entry);
        let context = session.map_or(0, |session| self.slot(session).context.len());
        let both = frame_bytes(body) + frame_bytes(context);
        if body > ENTRY_BYTES_MAX || both > self.frames_end - HEADER_BYTES - RESERVE_BYTES {
            return Err(Refused::TooLarge);
        }
        let need = Need::of(entry);
        // While refusing, a new command that would still fit is refused too: one after the other.
        let waits = self.refusing.is_some() && need == Need::New;
        if waits || !self.fits(both, self.reserve(need).max(RESERVE_BYTES)) {
            if self.switch(now) {
                self.tell(now);
            } else if waits || !self.fits(both, self.reserve(need)) {
                return Err(if need == Need::Last { Refused::Full } else { self.refuse(now) });
            }
        }
        if let Some(session) = session
            && let Err(error) = self.write_context(session, seq, now)
        {
            return Err(self.write_failed(now, &error));
        }
        let session_id = session.map_or(SessionId::default(), |session| self.slot(session).id);
        let place = Place { log_index: self.next_index, seq, wall_us: now.wall_us, session_id };
        let taken = match self.place(&place, entry, body) {
            Ok(taken) => taken,
            Err(error) => return Err(self.write_failed(now, &error)),
        };
        let Open { segment, at, first_entry_us, .. } = &mut self.open;
        if *at / (AHEAD_BYTES / 2) != (*at + taken) / (AHEAD_BYTES / 2) {
            self.pool.ahead(&segment.file, *at);
        }
        *at += taken;
        first_entry_us.get_or_insert(now.mono_us);
        self.next_index += 1;
        self.written.0 += taken as u64;
        if let Some(session) = session {
            self.sessions[session.0 as usize].last = self.written;
        }
        Ok(Receipt::new(self.written))
    }

    /// Writes the entry at the end of the open segment, and says how many bytes it takes.
    fn place(&mut self, place: &Place, entry: &Entry<'_>, body: usize) -> io::Result<usize> {
        let Open { segment, salt, at, .. } = &mut self.open;
        if body > CALL_BYTES_MAX {
            let head = Head::new(salt, place, entry, body);
            let parts = Parts::new(&segment.file, *at, head, &mut self.scratch);
            let taken = parts.write(entry, body)?;
            self.write_failing = false;
            return Ok(taken);
        }
        if body < CALL_BYTES_MIN && !self.pool.by_calls {
            let into = &mut segment.map.bytes_mut()[*at..];
            return Ok(journal::write_entry(into, salt, place, entry, body));
        }
        self.scratch.resize(frame_bytes(body) + END_BYTES, 0);
        let taken = journal::write_entry(&mut self.scratch, salt, place, entry, body);
        write_frame(&segment.file, &self.scratch, *at)?;
        self.write_failing = false;
        Ok(taken)
    }

    /// Small entries need no call and may still be taken, so one of them says why large ones are
    /// not; of many in a row the first.
    fn write_failed(&mut self, now: Now, error: &io::Error) -> Refused {
        self.refused += 1;
        if !std::mem::replace(&mut self.write_failing, true) {
            let attrs = format!(
                r#"{{"segment":{},"os_error":{}}}"#,
                self.open.header.number,
                error.raw_os_error().unwrap_or(0)
            );
            let message = "The journal could not be written: an entry was refused, and with it \
                           the command it was of";
            let event =
                Event { event: "disk-error", severity: "error", message, attrs: attrs.as_str() };
            // Without room for it, what is refused next says why by itself.
            let _ = self.event(now, &event);
        }
        Refused::Disk
    }

    fn fits(&self, bytes: usize, reserve: usize) -> bool {
        !self.open.segment.file.is_over()
            && self.open.at + bytes + END_BYTES + reserve <= self.frames_end
    }

    /// The context of a session, unless the open segment has it.
    fn write_context(&mut self, session: SessionRef, seq: u64, now: Now) -> io::Result<()> {
        let slot = &mut self.sessions[session.0 as usize];
        let number = self.open.header.number;
        if slot.in_segment == Some(number) {
            return Ok(());
        }
        let place =
            Place { log_index: self.next_index, seq, wall_us: now.wall_us, session_id: slot.id };
        let Open { segment, salt, at, .. } = &mut self.open;
        let taken = if self.pool.by_calls {
            self.scratch.resize(frame_bytes(slot.context.len()) + END_BYTES, 0);
            let taken = journal::write_context(&mut self.scratch, salt, &place, &slot.context);
            write_frame(&segment.file, &self.scratch, *at)?;
            taken
        } else {
            let into = &mut segment.map.bytes_mut()[*at..];
            journal::write_context(into, salt, &place, &slot.context)
        };
        slot.in_segment = Some(number);
        *at += taken;
        self.written.0 += taken as u64;
        Ok(())
    }

    fn slot(&self, session: SessionRef) -> &Slot {
        let slot = &self.sessions[session.0 as usize];
        assert!(slot.live, "an entry of a session that was closed");
        slot
    }
}

impl Journal for Spool {
    fn open(&mut self, context: &SessionContext) -> SessionRef {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.sessions.push(Slot {
                id: SessionId::default(),
                context: Vec::new(),
                in_segment: None,
                last: Lsn::default(),
                live: false,
            });
            (self.sessions.len() - 1) as u32
        });
        self.sessions[index as usize].live = true;
        self.sessions[index as usize].last = Lsn::default();
        self.identify(SessionRef(index), context);
        SessionRef(index)
    }

    fn identify(&mut self, session: SessionRef, context: &SessionContext) {
        let slot = &mut self.sessions[session.0 as usize];
        assert!(slot.live, "a session that was closed is identified");
        slot.id = context.session_id;
        slot.in_segment = None;
        slot.context.clear();
        body::put_context(&mut slot.context, &context.into());
    }

    fn append(
        &mut self,
        session: SessionRef,
        seq: u64,
        now: Now,
        entry: &Entry<'_>,
    ) -> Result<Receipt, Refused> {
        self.write(Some(session), seq, now, entry)
    }

    fn covered(&mut self, session: SessionRef) -> Receipt {
        Receipt::new(self.slot(session).last)
    }

    fn close(&mut self, session: SessionRef) {
        let slot = &mut self.sessions[session.0 as usize];
        assert!(slot.live, "a session is closed twice");
        slot.live = false;
        self.vacant.push(session.0);
    }
}

fn first_segment(ready: &Receiver<Segment>, pool: &SegmentPool) -> Result<Segment, SpoolError> {
    if let Ok(segment) = ready.recv_timeout(FIRST_TROUBLE) {
        return Ok(segment);
    }
    let left = if pool.is_in_trouble() { Duration::ZERO } else { FIRST_SEGMENT - FIRST_TROUBLE };
    ready.recv_timeout(left).map_err(|_| {
        SpoolError::NoSegment(pool.trouble().unwrap_or_else(|| "it takes too long".into()))
    })
}

impl Open {
    fn begin(segment: Segment, header: Header) -> Open {
        let bytes = header.bytes();
        let end = segment.map.bytes().len() - HEADER_BYTES;
        // The end mark before the header: a reader never meets an earlier life's frames as torn.
        // Should the header be hurt, its copy still tells which frames are of this life.
        let parts = [(HEADER_BYTES, &[0; END_BYTES][..]), (0, &bytes), (end, &bytes)];
        if parts.iter().any(|(at, part)| segment.file.write(part, *at as u64).is_err()) {
            // It takes no entries, and what has to be recorded is refused.
            segment.file.poison();
        }
        let salt = header.salt();
        Open { segment, header, salt, at: HEADER_BYTES, first_entry_us: None }
    }
}

/// If the sealer is gone the segment stays on the disk as it is, for recovery.
fn seal(sealed: &Sender<SealedSegment>, open: Open, next_index: u64, now: Now) {
    let Open { segment, header, at, .. } = open;
    let closed_us = now.wall_us;
    let _ = sealed.send(SealedSegment { segment, header, next_index, bytes: at, closed_us });
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
