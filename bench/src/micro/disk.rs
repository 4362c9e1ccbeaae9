//! The stages that need a folder: the journal of a shard, sealing, searching.
//!
//! In: the corpus. Out: `Work`. Never: setting up inside a pass; a folder that stays.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use weir::config::settings::JournalSettings;
use weir::record::journal::{END_BYTES, HEADER_BYTES};
use weir::record::lake::{Filter, Lake};
use weir::record::parquet::Writer;
use weir::record::pool::SegmentPool;
use weir::record::rows::Sheet;
use weir::record::spool::{SealedSegment, Spool};
use weir::record::{JOURNAL_FOLDER, Journal as _};

use super::corpus;
use super::stages::Work;

/// A folder that goes away with the stage.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        // Tests run stages side by side.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-bench-{name}-{}-{number}", std::process::id());
        Folder(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The pool's thread may be making a last segment in it; without the folder it stops. What
        // cannot be removed at all lies among the temporary files, and is removed there later.
        for _ in 0..100 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The journal of one shard, which never fills its segment: switching is not what is measured.
pub struct Shard {
    pub spool: Spool,
    /// Where a full segment would go.
    _sealed: Receiver<SealedSegment>,
    /// Goes last.
    _folder: Folder,
}

impl Shard {
    pub fn open(segment_bytes: u64) -> Result<Shard, String> {
        let folder = Folder::new("journal");
        let journal = folder.0.join(JOURNAL_FOLDER);
        let settings = JournalSettings {
            segment_bytes,
            seal_after_us: u64::MAX,
            flush_us: 100_000,
            answer_wait_us: u64::MAX,
        };
        let pool = SegmentPool::start(&journal, &settings).map_err(|e| e.to_string())?;
        let (sealed, inbox) = mpsc::channel();
        let spool = Spool::open(&journal, "bench", 0, &settings, sealed, pool);
        let spool = spool.map_err(|e| e.to_string())?;
        await_second(&journal, segment_bytes);
        Ok(Shard { spool, _sealed: inbox, _folder: folder })
    }
}

/// The segment after the open one is made meanwhile: that thread would run beside the passes.
fn await_second(journal: &Path, segment_bytes: u64) {
    let second = journal.join("1.wal");
    for _ in 0..1000 {
        if std::fs::metadata(&second).is_ok_and(|file| file.len() >= segment_bytes) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn journal_commit() -> Work {
    const PAIRS: u64 = 1000;
    const SEGMENT_BYTES: u64 = 32 << 20;
    let bytes = corpus::segment(PAIRS).len() as u64 - (HEADER_BYTES + END_BYTES) as u64;
    let (texts, objects) = (corpus::texts(64), corpus::objects());
    let mut shard = match Shard::open(SEGMENT_BYTES) {
        Ok(shard) => shard,
        Err(why) => panic!("no journal can be opened among the temporary files: {why}"),
    };
    let sessions: Vec<_> =
        (0..100).map(|number| shard.spool.open(&corpus::context(number))).collect();
    let mut number = 0;
    let pass = move || {
        let mut taken = 0;
        for _ in 0..PAIRS {
            let text = &texts[number as usize % texts.len()];
            let session = sessions[number as usize % sessions.len()];
            let (asked, answered) = (2 * number, 2 * number + 1);
            for (seq, entry) in
                [(asked, corpus::command(text, &objects)), (answered, corpus::response(asked))]
            {
                let receipt = shard.spool.append(session, seq, corpus::now(seq), &entry);
                taken += u64::from(receipt.is_ok());
            }
            number += 1;
        }
        taken
    };
    // A quarter of the segment is left for the contexts of the sessions and the reserve.
    let passes_max = SEGMENT_BYTES * 3 / 4 / bytes;
    Work { passes_max, ..Work::new((PAIRS, bytes), 2 * PAIRS, pass) }
}

fn new_writer(folder: &Folder) -> Writer {
    match Writer::new(&folder.0) {
        Ok(writer) => writer,
        Err(why) => panic!("nothing can be compressed: {why}"),
    }
}

pub fn seal() -> Work {
    const PAIRS: u64 = 5000;
    let segment = corpus::segment(PAIRS);
    let header = corpus::header();
    let bytes = segment.len() as u64;
    let folder = Folder::new("seal");
    let mut writer = new_writer(&folder);
    let mut number = 0;
    let pass = move || {
        // A file that is there is not written again, so every pass has names of its own.
        number += 1;
        let mut sheet = Sheet::read(&segment, &header, false);
        let written = writer.write(&mut sheet, &header, &format!("{number}"));
        let rows = written.map_or(0, |files| files.iter().map(|file| file.rows).sum::<usize>());
        drop(std::fs::remove_dir_all(folder.0.join("lake")));
        rows as u64
    };
    // A row for each command, response and touched object.
    Work::new((PAIRS, bytes), 3 * PAIRS, pass)
}

pub fn search() -> Work {
    const PAIRS: u64 = 20_000;
    const TEXTS: u64 = 64;
    let segment = corpus::segment(PAIRS);
    let header = corpus::header();
    let folder = Folder::new("search");
    let mut sheet = Sheet::read(&segment, &header, false);
    if let Err(why) = new_writer(&folder).write(&mut sheet, &header, "1") {
        panic!("no lake can be written among the temporary files: {why}");
    }
    let lake = Lake::new(&folder.0);
    let filter = Filter { grep: Some("orders_17 ".into()), ..Filter::default() };
    let pass = move || {
        let _stays = &folder;
        lake.commands(&filter).map_or(0, |rows| rows.len() as u64)
    };
    let found = (0..PAIRS).filter(|number| number % TEXTS == 17).count() as u64;
    Work::new((PAIRS, segment.len() as u64), found, pass)
}
