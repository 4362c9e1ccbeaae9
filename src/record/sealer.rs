//! Turns sealed segments into Parquet, on a thread of its own at low priority.
//!
//! In: sealed segments. Out: Parquet files; the segments, free again.
//! Never: a segment given back before its rows are on the disk in the lake; an end of the thread
//! because of one segment. One that makes it panic is put aside (`quarantine`) and told.
//!
//! Each step may be the last before a crash; recovery then does them again:
//!
//! ```text
//! write Parquet (names say the origin, one that is there stays) -> keep open holds aside
//!   -> delete holds that were settled here -> move the shard's position -> free the segment
//! ```

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::entry::SessionId;
use super::holds::{HoldFile, Holds};
use super::journal::Header;
use super::map;
use super::parquet::{SealError, Writer};
use super::pool::SegmentPool;
use super::position::Position;
use super::quarantine::{self, PutAside};
use super::rows::{self, Sheet, Unanswered};
use super::spool::SealedSegment;
use super::trouble::{Listener, Trouble};

/// After a failure the next try waits so long.
const RETRY: Duration = Duration::from_millis(500);
/// With so many segments waiting, the sealer competes with the shards: they wait for it.
const HURRY_SEGMENTS: usize = 3;

/// What the sealer has done.
#[derive(Debug, Default)]
pub struct Progress {
    /// Segments sealed.
    pub segments: AtomicU64,
    /// Rows written, without `touches`' rows counted apart.
    pub rows: AtomicU64,
    /// When the segment was closed that is worked on, UTC microseconds; 0 when none waits.
    pub oldest_us: AtomicI64,
    trouble: Trouble,
    /// Files put aside since the control thread last asked.
    aside: Mutex<Vec<PutAside>>,
}

impl Progress {
    /// Files that were put aside since the last call.
    pub fn take_put_aside(&self) -> Vec<PutAside> {
        std::mem::take(&mut *self.aside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_aside(&self, put: PutAside) {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).push(put);
        self.trouble.tell();
    }

    /// Why the last try failed; `None` when it did not.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.now()
    }

    /// Has one listener hear when that changes.
    pub fn on_trouble(&self, listener: Listener) {
        self.trouble.listen(listener);
    }

    fn say(&self, trouble: Option<String>) {
        self.trouble.say(trouble);
    }
}

/// The thread.
#[derive(Debug)]
pub struct Sealer {
    thread: JoinHandle<()>,
    pool: SegmentPool,
    stopping: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Sealer {
    /// Starts the thread. Spools send to clones of the channel; when all are gone it ends.
    ///
    /// # Errors
    /// When the holds cannot be read or the thread cannot start.
    pub fn start(
        data_dir: &Path,
        pool: SegmentPool,
    ) -> io::Result<(Sender<SealedSegment>, Sealer)> {
        let (sender, inbox) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let work = Work {
            data_dir: data_dir.to_owned(),
            seal: Seal::new(data_dir)?,
            pool: pool.clone(),
            stopping: Arc::clone(&stopping),
            progress: Arc::clone(&progress),
        };
        let thread = std::thread::Builder::new()
            .name("weir-sealer".into())
            .spawn(move || work.run(&inbox))?;
        Ok((sender, Sealer { thread, pool, stopping, progress }))
    }

    /// What it has done.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Waits until everything sent is sealed and its segments are free, after all senders are gone:
    /// a segment that is not free tells the next start of a crash. One that cannot be sealed now
    /// stays in the journal; recovery seals it at the next start.
    pub fn finish(self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Its panics are caught where they belong to a segment.
        let _ = self.thread.join();
        self.pool.settle();
    }
}

struct Work {
    data_dir: PathBuf,
    seal: Seal,
    pool: SegmentPool,
    stopping: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

/// How one try to seal a segment ended.
enum Try {
    Sealed(Summary),
    Failed(String),
    Panicked(String),
}

impl Work {
    fn run(mut self, inbox: &Receiver<SealedSegment>) {
        while let Ok(sealed) = inbox.recv() {
            // They come in the order in which they were closed.
            self.progress.oldest_us.store(sealed.closed_us, Ordering::Relaxed);
            self.one(sealed);
            self.progress.oldest_us.store(0, Ordering::Relaxed);
        }
    }

    fn one(&mut self, sealed: SealedSegment) {
        loop {
            match self.attempt(&sealed) {
                Try::Sealed(summary) if summary.next_index != sealed.next_index => {
                    // Memory or disk changed what was written. The segment stays as it is.
                    let why = format!(
                        "it reads back to entry {} although {} were written",
                        summary.next_index, sealed.next_index
                    );
                    return self.put_aside(sealed, why);
                }
                Try::Sealed(summary) => {
                    self.progress.say(None);
                    self.progress.segments.fetch_add(1, Ordering::Relaxed);
                    self.progress.rows.fetch_add(summary.entries, Ordering::Relaxed);
                    self.pool.recycle(sealed.segment);
                    self.pool.wait_less();
                    return;
                }
                Try::Panicked(why) => return self.put_aside(sealed, why),
                Try::Failed(why) => self.progress.say(Some(why)),
            }
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Seals on a thread of its own at low priority; on this one, which has the priority of a
    /// shard, when others wait already. A thread cannot raise its priority again.
    fn attempt(&mut self, sealed: &SealedSegment) -> Try {
        let hurried = self.pool.waiting() >= HURRY_SEGMENTS;
        let seal = &mut self.seal;
        let work = AssertUnwindSafe(|| {
            if !hurried {
                map::lower_priority();
            }
            sealed.fetch();
            let bytes = sealed.segment.map.bytes();
            seal.seal(&bytes[..sealed.bytes], &sealed.header)
        });
        let outcome = if hurried {
            catch_unwind(work)
        } else {
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().name("weir-sealing".into());
                match thread.spawn_scoped(scope, work) {
                    Ok(thread) => thread.join(),
                    Err(error) => Ok(Err(SealError::Io(error))),
                }
            })
        };
        match outcome {
            Ok(Ok(summary)) => Try::Sealed(summary),
            Ok(Err(error)) => Try::Failed(error.to_string()),
            Err(panic) => Try::Panicked(panic_text(panic.as_ref())),
        }
    }

    /// A segment that cannot be sealed keeps no other one from the lake. Its file is kept for
    /// people to look at, and what was in the middle of it is begun anew.
    fn put_aside(&mut self, sealed: SealedSegment, why: String) {
        let origin = sealed.header.origin();
        let path = sealed.segment.file.path().to_owned();
        let journal = self.data_dir.join(super::JOURNAL_FOLDER);
        // Its next index and its number are not given again.
        let position =
            Position { next_index: sealed.next_index, next_segment: sealed.header.number + 1 };
        let moved = position
            .advance(&journal, sealed.header.shard)
            .and_then(|()| quarantine::put(&journal, &path));
        match (moved, Seal::new(&self.data_dir)) {
            (Ok(file), Ok(seal)) => {
                self.seal = seal;
                let entries = sealed.next_index.saturating_sub(sealed.header.first_index);
                self.progress.put_aside(PutAside { file, origin, entries: Some(entries), why });
                self.pool.forget();
                self.pool.wait_less();
            }
            (Err(error), _) | (_, Err(error)) => {
                // It stays where it is, and counts as waiting: the next start reads it.
                self.progress.say(Some(format!("segment {origin}: {why}; {error}")));
            }
        }
    }
}

/// What a panic says.
pub(in crate::record) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without words"))
}

/// What a segment held.
#[derive(Clone, Debug, Default)]
pub(in crate::record) struct Summary {
    pub entries: u64,
    pub next_index: u64,
    pub last_us: i64,
    pub unreadable: u64,
    pub torn: bool,
    pub gaps: Vec<super::journal::Gap>,
    pub last_seq: HashMap<SessionId, u64>,
}

/// The steps of sealing one segment, used by the thread and by recovery.
pub(in crate::record) struct Seal {
    journal: PathBuf,
    pub writer: Writer,
    pub holds: Holds,
}

impl Seal {
    pub fn new(data_dir: &Path) -> io::Result<Seal> {
        let journal = data_dir.join(super::JOURNAL_FOLDER);
        let holds = Holds::load(&journal)?;
        Ok(Seal { journal, writer: Writer::new(data_dir)?, holds })
    }

    pub fn seal(&mut self, segment: &[u8], header: &Header) -> Result<Summary, SealError> {
        let mut sheet = Sheet::read(segment, header, false);
        let files = self.holds.of_sessions(&sheet.ended)?;
        let waiting = self.holds.waiting();
        let mut settled = sheet.settled(&waiting);
        for held in files.iter().flat_map(HoldFile::held) {
            let key = rows::key(&held.frame.place);
            let over = sheet.ended.contains(&key.0) && waiting.contains(&key);
            if over && settled.insert(key) {
                sheet.add_held(&held, Unanswered::Abandoned);
            }
        }
        self.writer.write(&mut sheet, header, &header.origin())?;
        self.holds.keep(header, segment, &sheet.held)?;
        self.holds.settle(settled.into_iter())?;
        let position = Position { next_index: sheet.next_index, next_segment: header.number + 1 };
        position.advance(&self.journal, header.shard)?;
        Ok(Summary {
            entries: sheet.entries,
            next_index: sheet.next_index,
            last_us: sheet.last_us,
            unreadable: sheet.unreadable,
            torn: sheet.end == Some(super::journal::End::Torn),
            gaps: std::mem::take(&mut sheet.gaps),
            last_seq: sheet.last_seq(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::super::journal::HEADER_BYTES;
    use super::super::lake::{Filter, Lake};
    use super::super::testing::{
        Folder, context, files, now, response, settings, spool_into, wait_until,
    };
    use super::*;

    #[test]
    fn a_lake_that_cannot_be_written_is_told_and_tried_again() {
        let folder = Folder::new();
        let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
        let lake = folder.0.join("lake");
        std::fs::write(&lake, "in the way").unwrap();
        let mut spool = spool_into(&folder, 0, sealed, pool);
        let session = spool.open(&context(1));
        spool.append(session, 1, now(1), &response(0)).unwrap();
        spool.finish(now(2));
        let progress = sealer.progress();
        wait_until("the complaint", || progress.trouble().is_some());
        assert_eq!(progress.segments.load(Ordering::Relaxed), 0);
        std::fs::remove_file(&lake).unwrap();
        wait_until("the next try", || progress.segments.load(Ordering::Relaxed) == 1);
        assert_eq!(progress.trouble(), None);
        sealer.finish();
        let rows: Vec<super::super::lake::ResponseRow> =
            Lake::new(&folder.0).rows(&Filter::default()).unwrap();
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn a_segment_that_makes_the_sealer_panic_is_put_aside_and_the_next_one_is_sealed() {
        for hurried in [false, true] {
            let folder = Folder::new();
            let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
            let (to_test, inbox) = mpsc::channel();
            for shard in 0..3 {
                let mut spool = spool_into(&folder, shard, to_test.clone(), pool.clone());
                let session = spool.open(&context(shard as u8 + 1));
                spool.append(session, 1, now(1), &response(0)).unwrap();
                spool.finish(now(2));
            }
            let [mut panics, mut lies, sound] = [0; 3].map(|_| inbox.recv().unwrap());
            // As if memory had changed: there are no such bytes, and no such entry.
            panics.bytes = usize::MAX;
            lies.next_index += 1;
            if hurried {
                pool.wait_more();
            }
            let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
            let progress = sealer.progress();
            let told = Arc::new(AtomicU64::new(0));
            progress.on_trouble(Arc::new({
                let told = told.clone();
                move || {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            }));
            for segment in [panics, lies, sound] {
                sealed.send(segment).unwrap();
            }
            drop(sealed);
            wait_until("the sound one", || progress.segments.load(Ordering::Relaxed) == 1);
            let aside = progress.take_put_aside();
            assert_eq!((aside.len(), told.load(Ordering::Relaxed)), (2, 2), "{aside:?}");
            assert!(aside[0].why.starts_with("a panic: "), "{aside:?}");
            assert!(aside.iter().all(|put| put.file.exists() && put.entries.is_some()));
            wait_until("the count", || pool.waiting() == usize::from(hurried));
            sealer.finish();
            assert!(!files(&folder.0, "responses").is_empty());
        }
    }

    /// Making a segment takes its time, and the one that was sealed is to be free all the same when
    /// the end is told.
    #[test]
    fn the_end_waits_until_the_segments_are_free() {
        let folder = Folder::new();
        let slow = |path: &Path, bytes: u64| {
            std::thread::sleep(Duration::from_millis(100));
            let file = std::fs::File::options();
            let file = file.clone().read(true).write(true).create_new(true).open(path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        let pool = SegmentPool::start_with(&folder.journal(), &settings(), slow).unwrap();
        let (sealed, sealer) = Sealer::start(&folder.0, pool.clone()).unwrap();
        let mut spool = spool_into(&folder, 0, sealed, pool);
        let session = spool.open(&context(1));
        spool.append(session, 1, now(1), &response(0)).unwrap();
        spool.finish(now(2));
        sealer.finish();
        assert_eq!(files(&folder.0, "responses").len(), 1);
        for segment in std::fs::read_dir(folder.journal()).unwrap() {
            let path = segment.unwrap().path();
            if path.extension().is_some_and(|suffix| suffix == super::super::pool::SUFFIX) {
                let bytes = std::fs::read(&path).unwrap();
                assert!(bytes[..HEADER_BYTES].iter().all(|byte| *byte == 0), "{path:?}");
            }
        }
    }

    #[test]
    fn sealing_twice_changes_nothing() {
        let folder = Folder::new();
        let (mut spool, inbox, _pool) = super::super::testing::spool(&folder, 0);
        let session = spool.open(&context(1));
        for seq in 1..=50 {
            spool.append(session, seq, now(seq), &response(0)).unwrap();
        }
        spool.finish(now(51));
        let sealed = inbox.recv().unwrap();
        let bytes = &sealed.segment.map.bytes()[..sealed.bytes];
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut seal = Seal::new(&folder.0).unwrap();
            assert_eq!(seal.seal(bytes, &sealed.header).unwrap().entries, 50);
            let written = files(&folder.0, "responses");
            seen.push((written.clone(), std::fs::read(&written[0]).unwrap()));
        }
        assert_eq!(seen[0], seen[1]);
        let name = seen[0].0[0].file_name().unwrap().to_str().unwrap();
        let expect = format!("responses-node_1-{}.parquet", sealed.header.origin());
        assert_eq!(name, expect);
    }
}
