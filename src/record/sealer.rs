//! Turns sealed segments into Parquet, on a thread of its own at low priority.
//!
//! In: sealed segments. Out: Parquet files; the segments, free again.
//! Never: a segment given back before its rows are on the disk in the lake.
//!
//! Each step may be the last before a crash; recovery then does them again:
//!
//! ```text
//! write Parquet (names say the origin, one that is there stays) -> keep open holds aside
//!   -> delete holds that were settled here -> move the shard's position -> free the segment
//! ```

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::entry::SessionId;
use super::holds::{HoldFile, Holds};
use super::journal::Header;
use super::map;
use super::parquet::{SealError, Writer};
use super::pool::SegmentPool;
use super::rows::{self, Sheet, Verdict};
use super::spool::{Position, SealedSegment};

/// After a failure the next try waits so long.
const RETRY: Duration = Duration::from_millis(500);

/// What the sealer has done.
#[derive(Debug, Default)]
pub struct Progress {
    /// Segments sealed.
    pub segments: AtomicU64,
    /// Rows written, without `touches`' rows counted apart.
    pub rows: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Progress {
    /// Why the last try failed; `None` when it did not.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().map_or(None, |trouble| trouble.clone())
    }

    fn say(&self, trouble: Option<String>) {
        if let Ok(mut said) = self.trouble.lock() {
            *said = trouble;
        }
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
        // A panic of the thread has left its segment in the journal too.
        let _ = self.thread.join();
        self.pool.settle();
    }
}

struct Work {
    seal: Seal,
    pool: SegmentPool,
    stopping: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Work {
    fn run(mut self, inbox: &Receiver<SealedSegment>) {
        map::lower_priority();
        while let Ok(sealed) = inbox.recv() {
            self.one(sealed);
        }
    }

    fn one(&mut self, sealed: SealedSegment) {
        sealed.fetch();
        loop {
            let bytes = sealed.segment.map.bytes();
            match self.seal.seal(&bytes[..sealed.bytes], &sealed.header) {
                Ok(summary) if summary.next_index != sealed.next_index => {
                    // Memory or disk changed what was written. The segment stays as it is.
                    self.progress.say(Some(format!(
                        "segment {} reads back to entry {} although {} were written",
                        sealed.header.origin(),
                        summary.next_index,
                        sealed.next_index
                    )));
                    panic!("the journal contradicts itself");
                }
                Ok(summary) => {
                    self.progress.say(None);
                    self.progress.segments.fetch_add(1, Ordering::Relaxed);
                    self.progress.rows.fetch_add(summary.entries, Ordering::Relaxed);
                    self.pool.recycle(sealed.segment);
                    self.pool.wait_less();
                    return;
                }
                Err(error) => self.progress.say(Some(error.to_string())),
            }
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(RETRY);
        }
    }
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
                sheet.add_held(&held, Verdict::Deny);
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
