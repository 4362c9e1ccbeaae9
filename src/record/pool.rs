//! Makes segments ahead of need: creates, fills, maps and recycles their files on a thread.
//!
//! In: wishes of spools, used segments of the sealer. Out: mapped segments, one ahead per spool.
//! Never: work on a shard; a segment that may still hold entries which are not in the lake; one
//! whose file somebody has deleted, because what is written there is in no record.
//!
//! A file keeps its name for life (`<n>.wal`). Whether it is free is said by its header: zeros, or
//! the shard and number it serves. So taking a segment and giving it back need no rename, and a
//! crash between any two steps leaves a file that is either free or read by recovery.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::durable;
use super::journal::{HEADER_BYTES, Header};
use super::map::{self, Map};
use super::position::Opened;
use super::trouble::{Listener, Trouble};
use crate::config::settings::JournalSettings;

/// The suffix of segment files.
pub const SUFFIX: &str = "wal";
/// As many files are made whatever the disk has besides: these, and four per spool.
const SEGMENTS_BASE: usize = 16;
const SEGMENTS_PER_SPOOL: usize = 4;
/// Beyond those, files are made while a quarter of the disk is free, up to so many.
const SEGMENTS_MAX: usize = 256;
/// The sealer may be so far behind for so long before it is trouble that somebody should hear of.
const BEHIND: Duration = Duration::from_secs(5);
/// After a failure to make a file the next try waits so long.
const RETRY: Duration = Duration::from_millis(200);
/// So often somebody looks whether the files of segments are still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One page at a time: the page cache of ext4 takes a larger write as one large folio, and then
/// the first store into any page of it, and every sync, costs as much as the whole folio.
const FILL_BYTES: usize = 4096;

/// What is kept in memory before the end of the journal; `Spool` asks for it twice as often.
pub(in crate::record) const AHEAD_BYTES: usize = 8 << 20;

/// A segment file, shared by whoever may still sync it.
#[derive(Debug)]
pub struct SegmentFile {
    file: File,
    path: PathBuf,
    poisoned: AtomicBool,
    lost: AtomicBool,
}

impl SegmentFile {
    /// For `fdatasync`.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Writes into the page cache, as a store into the mapping does.
    ///
    /// # Errors
    /// What pwrite says.
    pub(in crate::record) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Begins to read a range that the kernel may have taken from the page cache.
    pub(in crate::record) fn will_need(&self, offset: u64, bytes: usize) {
        map::will_need(&self.file, offset, bytes);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing more may be written into it: a sync failed, or it was deleted.
    pub fn is_over(&self) -> bool {
        self.is_poisoned() || self.lost.load(Ordering::Relaxed)
    }

    /// Whether it is found now that nobody finds it any more: it was deleted, or `all` are gone
    /// with their folder. Said once.
    fn is_lost_now(&self, all: bool) -> bool {
        let is_lost = all || self.file.metadata().is_ok_and(|facts| facts.nlink() == 0);
        is_lost && !self.lost.swap(true, Ordering::Relaxed)
    }

    /// The same file, which takes no writes.
    #[cfg(test)]
    pub(in crate::record) fn read_only(&self) -> io::Result<SegmentFile> {
        let (file, path) = (File::open(&self.path)?, self.path.clone());
        let (poisoned, lost) = Default::default();
        Ok(SegmentFile { file, path, poisoned, lost })
    }

    /// After a failed sync the kernel may believe its pages clean: the file is never used again.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// Whether a sync failed on it.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

/// A mapped segment: one owner writes, and gives it on.
#[derive(Debug)]
pub struct Segment {
    /// The memory.
    pub map: Map,
    /// The file.
    pub file: Arc<SegmentFile>,
}

/// Makes the file of a segment; tests give one that fails.
pub type Create = fn(&Path, u64) -> io::Result<File>;

/// A handle to the thread. The thread ends when the last handle is gone.
#[derive(Clone, Debug)]
pub struct SegmentPool {
    to_thread: Sender<Message>,
    boot: [u8; 16],
    /// Whether entries are written by calls instead of stores.
    pub(in crate::record) by_calls: bool,
    trouble: Arc<Trouble>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Message {
    Register,
    Want(SyncSender<Segment>),
    Recycle(Segment),
    Forget,
    Opened(u32, Opened),
    Ahead(Arc<SegmentFile>, u64),
    Settle(SyncSender<()>),
}

impl SegmentPool {
    /// Starts the thread for segments in `dir`. Files there that recovery left free are used again.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or the thread cannot start.
    pub fn start(dir: &Path, settings: &JournalSettings) -> io::Result<SegmentPool> {
        SegmentPool::start_with(dir, settings, create)
    }

    /// As `start`, with another way to make files.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        dir: &Path,
        settings: &JournalSettings,
        create: Create,
    ) -> io::Result<SegmentPool> {
        durable::private_directory(dir)?;
        let mut boot = [0; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut boot)
            .map_err(|_| io::Error::other("no random bytes from the system"))?;
        let trouble = Arc::new(Trouble::default());
        let facts = fs::metadata(dir)?;
        let mut maker = Maker {
            dir: dir.to_owned(),
            segment_bytes: settings.segment_bytes,
            create,
            free: Vec::new(),
            files: 0,
            next_name: 0,
            spools: 0,
            trouble: Arc::clone(&trouble),
            behind: None,
            made: Vec::new(),
            folder: (facts.dev(), facts.ino()),
            is_lost: false,
        };
        maker.adopt()?;
        let (to_thread, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name("weir-segments".into())
            .spawn(move || maker.run(&inbox))?;
        let by_calls = map::copies_on_write(&File::open(dir)?)?;
        Ok(SegmentPool { to_thread, boot, by_calls, trouble, waiting: Arc::default() })
    }

    /// The random id of this process in the journal.
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// Why no segment could be made lately, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.now()
    }

    /// Has one listener hear when that changes.
    pub fn on_trouble(&self, listener: Listener) {
        self.trouble.listen(listener);
    }

    /// Segments that are to be Parquet and are not yet: sent to the sealer, or about to be.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// One segment more waits for the sealer.
    pub(in crate::record) fn wait_more(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One segment less waits for the sealer.
    pub(in crate::record) fn wait_less(&self) {
        let before = self.waiting.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "more segments were sealed than waited");
    }

    /// Counts one more spool.
    pub(in crate::record) fn register(&self) {
        // A thread that is gone shows as a segment that never comes.
        let _ = self.to_thread.send(Message::Register);
    }

    /// Asks for one segment on `to`.
    pub(in crate::record) fn want(&self, to: &SyncSender<Segment>) {
        let _ = self.to_thread.send(Message::Want(to.clone()));
    }

    /// Has the pages from this offset on in memory before they are written: the kernel may have
    /// taken pages of zeros that lay unused, and the first store into one of them would wait for
    /// the disk, and with it all sessions of the shard.
    pub(in crate::record) fn ahead(&self, file: &Arc<SegmentFile>, offset: usize) {
        let _ = self.to_thread.send(Message::Ahead(Arc::clone(file), offset as u64));
    }

    /// Gives a segment back whose entries are in the lake.
    pub(in crate::record) fn recycle(&self, segment: Segment) {
        let _ = self.to_thread.send(Message::Recycle(segment));
    }

    /// Remembers which segment a shard has opened, in case that its file is lost.
    pub(in crate::record) fn opened(&self, header: &Header) {
        let opened = Opened { number: header.number, first_index: header.first_index };
        let _ = self.to_thread.send(Message::Opened(header.shard, opened));
    }

    /// One segment will not come back: its file was put aside.
    pub(in crate::record) fn forget(&self) {
        let _ = self.to_thread.send(Message::Forget);
    }

    /// Whether somebody could tell why no segment can be made.
    pub(in crate::record) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Waits until what was given back before is free on the disk, or the thread is gone.
    pub(in crate::record) fn settle(&self) {
        let (settled, done) = mpsc::sync_channel(1);
        if self.to_thread.send(Message::Settle(settled)).is_ok() {
            // An error is the end of the thread.
            let _ = done.recv();
        }
    }
}

/// The thread's state.
struct Maker {
    dir: PathBuf,
    segment_bytes: u64,
    create: Create,
    free: Vec<Segment>,
    files: usize,
    next_name: u64,
    spools: usize,
    trouble: Arc<Trouble>,
    /// Since when a segment is wanted and all wait for the sealer.
    behind: Option<Instant>,
    /// Files that somebody may write to.
    made: Vec<Weak<SegmentFile>>,
    /// Device and number of the folder.
    folder: (u64, u64),
    /// Something was missing at the last look.
    is_lost: bool,
}

/// Why there is no segment.
enum Shortage {
    /// All wait to be sealed.
    Behind,
    /// The disk.
    Disk(io::Error),
}

impl From<io::Error> for Shortage {
    fn from(error: io::Error) -> Shortage {
        Shortage::Disk(error)
    }
}

impl Maker {
    fn run(&mut self, inbox: &Receiver<Message>) {
        let mut wishes: VecDeque<SyncSender<Segment>> = VecDeque::new();
        let mut looked = Instant::now();
        loop {
            let pause = if wishes.is_empty() { LOOK_EVERY } else { RETRY };
            let message = inbox.recv_timeout(pause);
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look();
            }
            match message {
                Ok(Message::Register) => self.spools += 1,
                Ok(Message::Want(to)) => wishes.push_back(to),
                Ok(Message::Recycle(segment)) => self.recycle(segment),
                Ok(Message::Opened(shard, opened)) => {
                    // Without it nobody can tell later that the segment is gone; it is not.
                    let _ = opened.write(&self.dir, shard);
                }
                Ok(Message::Forget) => self.files = self.files.saturating_sub(1),
                Ok(Message::Ahead(file, offset)) => file.will_need(offset, AHEAD_BYTES),
                Ok(Message::Settle(settled)) => {
                    let _nobody_waits = settled.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(to) = wishes.front() {
                match self.obtain() {
                    Ok(segment) => {
                        self.behind = None;
                        self.trouble.say(None);
                        self.deliver(to, segment);
                        wishes.pop_front();
                    }
                    Err(Shortage::Behind) => {
                        self.say_behind();
                        break;
                    }
                    Err(Shortage::Disk(error)) => {
                        let words = self.lost_folder().unwrap_or_else(|| error.to_string());
                        self.trouble.say(Some(words));
                        break;
                    }
                }
            }
        }
    }

    /// Nothing is written any more into files that are gone: shards open other ones, or refuse what
    /// they cannot record.
    fn look(&mut self) {
        self.made.retain(|file| file.strong_count() > 0);
        let there = self.made.iter().filter_map(Weak::upgrade);
        let gone = self.lost_folder();
        let lost = there.filter(|file| file.is_lost_now(gone.is_some())).count();
        let spare = self.free.len();
        self.free.retain(|segment| !segment.file.is_over());
        let spare = spare - self.free.len();
        self.files = self.files.saturating_sub(spare);
        let found = match gone {
            Some(words) => Some(words),
            None if lost > spare => Some(format!(
                "{} files of the journal in {} were deleted while they were written; what they \
                 held reaches the lake if this process seals it",
                lost - spare,
                self.dir.display()
            )),
            None => None,
        };
        // It is over with the next look, if the folder is there.
        if found.is_some() || self.is_lost {
            self.is_lost = found.is_some();
            self.trouble.say(found);
        }
    }

    /// What is said of a folder that is gone, or is another one under its name.
    fn lost_folder(&self) -> Option<String> {
        let same = |facts: fs::Metadata| (facts.dev(), facts.ino()) == self.folder;
        let words = match fs::metadata(&self.dir).map(same) {
            Ok(true) => return None,
            Ok(false) => "is not the folder that weir began with",
            Err(_) => "is gone",
        };
        Some(format!(
            "{} {words}: what is recorded now would be lost, so commands are refused; put the data \
             directory back and start weir again",
            self.dir.display()
        ))
    }

    fn deliver(&mut self, to: &SyncSender<Segment>, segment: Segment) {
        match to.try_send(segment) {
            Ok(()) => {}
            // The spool is gone: its segment serves another one.
            Err(TrySendError::Disconnected(segment) | TrySendError::Full(segment)) => {
                self.free.push(segment);
            }
        }
    }

    /// Shards wait for the sealer meanwhile; it is trouble only when that takes long.
    fn say_behind(&mut self) {
        if self.behind.get_or_insert_with(Instant::now).elapsed() >= BEHIND {
            self.trouble.say(Some(format!(
                "{} journal segments wait to be sealed; no more are made",
                self.files
            )));
        }
    }

    fn obtain(&mut self) -> Result<Segment, Shortage> {
        if self.is_lost
            && let Some(words) = self.lost_folder()
        {
            return Err(io::Error::other(words).into());
        }
        if let Some(segment) = self.free.pop() {
            return Ok(segment);
        }
        let always = SEGMENTS_BASE + SEGMENTS_PER_SPOOL * self.spools;
        let room = || File::open(&self.dir).and_then(|dir| map::is_quarter_free(&dir));
        if self.files >= always && (self.files >= SEGMENTS_MAX.max(always) || !room()?) {
            return Err(Shortage::Behind);
        }
        let path = self.dir.join(format!("{}.{SUFFIX}", self.next_name));
        self.next_name += 1;
        let made = (self.create)(&path, self.segment_bytes).and_then(|file| self.map(file, &path));
        if made.is_err() {
            // Half a file would take the room that the next try needs.
            let _ = fs::remove_file(&path);
        }
        let segment = made?;
        File::open(&self.dir)?.sync_all()?;
        self.files += 1;
        Ok(segment)
    }

    fn map(&mut self, file: File, path: &Path) -> io::Result<Segment> {
        let map = Map::new(&file, self.segment_bytes as usize)?;
        let (poisoned, lost) = Default::default();
        let file = Arc::new(SegmentFile { file, path: path.to_owned(), poisoned, lost });
        self.made.push(Arc::downgrade(&file));
        Ok(Segment { map, file })
    }

    /// Its header becomes zeros, on the disk, before anybody may use it again.
    fn recycle(&mut self, segment: Segment) {
        let keep = !segment.file.is_over() && self.free.len() <= self.spools;
        if keep && clear(&segment).is_ok() {
            self.free.push(segment);
            return;
        }
        // A file that stays although it should go is sealed once more at the next start, into
        // Parquet files of the same names.
        let _ = fs::remove_file(segment.file.path());
        self.files = self.files.saturating_sub(1);
    }

    /// Takes over what an earlier process left: free files of the right size are used, those of
    /// another size are deleted.
    fn adopt(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(number) = segment_name(&path) else { continue };
            self.next_name = self.next_name.max(number + 1);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut header = [0; HEADER_BYTES];
            // A file shorter than a header holds nothing either.
            let _ = file.read_exact_at(&mut header, 0);
            if header.iter().any(|byte| *byte != 0) {
                continue; // Not ours to judge: recovery reads it.
            }
            if file.metadata()?.len() == self.segment_bytes {
                // Recovery has read it whole, so it lies in the page cache in large folios, of
                // which `FILL_BYTES` says what they cost. `ahead` has it read page by page.
                map::forget(&file);
                let segment = self.map(file, &path)?;
                self.free.push(segment);
                self.files += 1;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// The copy of the header first: one without the other tells of damage.
fn clear(segment: &Segment) -> io::Result<()> {
    let file = &segment.file.file;
    let end = segment.map.bytes().len().checked_sub(HEADER_BYTES);
    for at in [end.ok_or(io::ErrorKind::InvalidInput)?, 0] {
        file.write_all_at(&[0; HEADER_BYTES], at as u64)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Whether the file system of a folder copies on write, so that entries are written by calls.
///
/// # Errors
/// What the disk says.
pub fn copies_on_write(dir: &Path) -> io::Result<bool> {
    map::copies_on_write(&File::open(dir)?)
}

/// Bytes of the disk of a folder that this process may still take.
///
/// # Errors
/// What the disk says.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    map::free_bytes(&File::open(dir)?)
}

/// Whether the disk has room for the first segments of so many shards.
///
/// # Errors
/// How many bytes are free and how many are needed, or what the disk says.
pub fn check_room(dir: &Path, bytes: u64, shards: usize) -> io::Result<Result<(), (u64, u64)>> {
    let mut missing = shards as u64;
    for path in super::recover::segment_paths(dir)? {
        if fs::metadata(&path)?.len() == bytes {
            missing = missing.saturating_sub(1);
        }
    }
    if missing == 0 {
        return Ok(Ok(()));
    }
    // As much again as a segment takes has to stay free, see `create`.
    let needed = (missing + 1).saturating_mul(bytes);
    let there = dir.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let free = map::free_bytes(&File::open(there)?)?;
    Ok(if free < needed { Err((free, needed)) } else { Ok(()) })
}

/// The number in `<n>.wal`.
pub(in crate::record) fn segment_name(path: &Path) -> Option<u64> {
    if path.extension()? != SUFFIX {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Makes a file of zeros, every block written: a store into the map can then not meet a full disk,
/// and a sync has no metadata to write. As much room again must stay: the sealer needs it for the
/// Parquet that frees segments.
fn create(path: &Path, bytes: u64) -> io::Result<File> {
    let dir = File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    if map::free_bytes(&dir)? < 2 * bytes {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let file = durable::private_file().read(true).write(true).create_new(true).open(path)?;
    let zeros = vec![0; FILL_BYTES];
    let mut at = 0;
    while at < bytes {
        let part = (bytes - at).min(FILL_BYTES as u64);
        file.write_all_at(&zeros[..part as usize], at)?;
        at += part;
    }
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::live;
    use super::super::testing::{Folder, settings, wait_until};
    use super::*;

    #[test]
    fn a_disk_without_room_for_segment_and_parquet_gets_no_segment() {
        let folder = Folder::new();
        let path = folder.0.join("0.wal");
        let free = map::free_bytes(&File::open(&folder.0).unwrap()).unwrap();
        assert!(free > 0);
        let error = create(&path, free / 2 + (1 << 30)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists(), "nothing was begun");
    }

    #[test]
    fn what_is_deleted_under_it_is_noticed_and_takes_nothing_more() {
        let folder = Folder::new();
        let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        pool.register();
        let (to, ready) = mpsc::sync_channel(1);
        pool.want(&to);
        let first = ready.recv_timeout(Duration::from_secs(20)).unwrap();
        fs::remove_file(first.file.path()).unwrap();
        wait_until("one file", || first.file.is_over());
        wait_until("the end of it", || pool.trouble().is_none());
        pool.want(&to);
        let second = ready.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(!second.file.is_over());
        // Moved or deleted is the same: the next start would not find it.
        fs::rename(folder.journal(), folder.0.join("aside")).unwrap();
        wait_until("the folder", || second.file.is_over());
        let said = || pool.trouble().unwrap_or_default();
        wait_until("words", || said().contains("is gone: what is recorded now would be lost"));
        pool.want(&to);
        assert!(ready.recv_timeout(Duration::from_secs(3)).is_err(), "no segment any more");
        assert!(said().contains("is gone"), "{}", said());
        // Another folder of the same name is not the one that has the rest of the record.
        fs::create_dir_all(folder.journal()).unwrap();
        wait_until("other words", || said().contains("is not the folder that weir began with"));
        assert!(ready.try_recv().is_err());
    }

    #[test]
    fn a_start_needs_room_for_the_segments_that_are_not_there() {
        let folder = Folder::new();
        let dir = folder.journal();
        let free = map::free_bytes(&File::open(&folder.0).unwrap()).unwrap();
        let check = |bytes, shards| check_room(&dir, bytes, shards).unwrap();
        assert_eq!(check(4096, 2), Ok(()), "no folder yet");
        assert!(check(free / 2 + (1 << 30), 1).is_err());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("0.wal"), [0; 4096]).unwrap();
        assert_eq!(check(4096, 1), Ok(()));
        assert!(check_room(&dir, free, 2).unwrap().is_err());
    }

    #[test]
    fn free_files_of_an_earlier_process_are_used_and_others_left() {
        let folder = Folder::new();
        let dir = folder.journal();
        fs::create_dir_all(&dir).unwrap();
        let bytes = settings().segment_bytes as usize;
        fs::write(dir.join("3.wal"), vec![0; bytes]).unwrap();
        fs::write(dir.join("5.wal"), vec![0; bytes / 2]).unwrap();
        let mut used = vec![0; bytes];
        used[0] = 1;
        fs::write(dir.join("8.wal"), &used).unwrap();
        let pool = SegmentPool::start(&dir, &settings()).unwrap();
        let (want, ready) = mpsc::sync_channel(1);
        pool.register();
        let mut names = Vec::new();
        for _ in 0..2 {
            pool.want(&want);
            let segment = ready.recv().unwrap();
            assert!(segment.map.bytes().iter().all(|byte| *byte == 0));
            names.push(segment_name(segment.file.path()).unwrap());
        }
        assert_eq!(names, [3, 9], "the free one, then one with a new name");
        assert!(dir.join("8.wal").exists() && !dir.join("5.wal").exists());
    }

    /// Bytes that this thread made dirty in page caches: what the next syncs write.
    fn dirtied() -> u64 {
        let counts = fs::read_to_string("/proc/thread-self/io").unwrap();
        let count = counts.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        count.unwrap().parse().unwrap()
    }

    fn page_bytes() -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let size = maps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
        let kib: u64 = size.unwrap().trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib << 10
    }

    /// In a file system whose page cache has no large folios this holds by itself.
    #[test]
    fn a_store_makes_one_page_dirty_whoever_read_the_file_before() {
        let folder = Folder::new();
        let dir = folder.journal();
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("3.wal");
        // The longer the kernel reads on, the larger are the folios that it reads into.
        let settings = JournalSettings { segment_bytes: 32 << 20, ..settings() };
        create(&path, settings.segment_bytes).unwrap();
        map::forget(&File::open(&path).unwrap());
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        let pool = SegmentPool::start(&dir, &settings).unwrap();
        let (want, ready) = mpsc::sync_channel(1);
        pool.want(&want);
        let mut segment = ready.recv().unwrap();
        assert_eq!(segment.file.path(), path);
        let store = |segment: &mut Segment, reader, at: usize| {
            pool.ahead(&segment.file, at);
            pool.settle();
            let before = dirtied();
            segment.map.bytes_mut()[at] = 1;
            let dirty = dirtied() - before;
            assert!(dirty <= page_bytes(), "after {reader}: {dirty} bytes");
            segment.file.file.sync_data().unwrap();
            map::forget(&segment.file.file);
        };
        store(&mut segment, "recovery", 30 << 20);
        let file = live::open(&path).unwrap();
        assert!(live::read_at(&file, 0, settings.segment_bytes).unwrap().contains(&1));
        store(&mut segment, "search", 29 << 20);
        assert!(segment.map.bytes().contains(&1));
        store(&mut segment, "the sealer", 28 << 20);
    }

    #[test]
    fn a_poisoned_file_is_deleted_and_others_come_back() {
        let folder = Folder::new();
        let pool = SegmentPool::start(&folder.journal(), &settings()).unwrap();
        let (want, ready) = mpsc::sync_channel(1);
        pool.register();
        pool.want(&want);
        let mut segment = ready.recv().unwrap();
        segment.map.bytes_mut()[..2].fill(7);
        let path = segment.file.path().to_owned();
        pool.recycle(segment);
        pool.want(&want);
        let segment = ready.recv().unwrap();
        assert_eq!((segment.file.path(), segment.map.bytes()[0]), (path.as_path(), 0));
        segment.file.poison();
        pool.recycle(segment);
        wait_until("the deletion", || !path.exists());
    }
}
