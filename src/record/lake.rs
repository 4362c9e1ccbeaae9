//! Reads what was recorded: the Parquet files and the segments that are not sealed yet.
//!
//! In: a data directory, also of a running weir; a filter. Out: typed rows, newest last.
//! Never: a row twice, although the writer seals and frees segments meanwhile; a lock.
//!
//! The journal is read first, then the lake, and files whose origin was read from the journal are
//! left out. A segment that is freed while it is read shows it by its header, and is then read from
//! the lake, where all its rows already are.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use aho_corasick::AhoCorasick;
use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::checksum::Sums;
use super::entry::SessionId;
use super::holds::{self, HoldFile};
use super::journal::{Header, boot_text};
use super::lines::Terminals;
use super::live::{self, LiveSegment};
use super::parquet::date_text;
use super::rows::{self, Key, Sheet, Unanswered, uuid_text};
use super::schema::{Columns, Table};

pub use super::follow::{Follow, Happening};
pub use super::lake_rows::{
    ApprovalRow, Cells, ChunkRow, CommandRow, Common, EventRow, LakeRow, LineRow, MaskingRow,
    ResponseRow, SessionRow,
};

/// Why the lake cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The disk.
    #[error("cannot read {0}: {1}")]
    Io(PathBuf, io::Error),
    /// A file that is not what weir wrote.
    #[error("cannot read {0}: {1}; it was damaged or replaced")]
    Parquet(PathBuf, parquet::errors::ParquetError),
    /// A file whose checksums do not fit.
    #[error("cannot read {0}: its {1} is not what weir wrote; it was damaged or changed")]
    Changed(PathBuf, &'static str),
    /// Rows that are not what weir wrote.
    #[error("cannot read {0}: {1}; it was damaged or replaced")]
    Rows(PathBuf, arrow_schema::ArrowError),
    /// A batch of what is not sealed yet.
    #[error("cannot read a batch: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// A search text that is no search text.
    #[error("cannot search for {0:?}: {1}")]
    Grep(String, String),
}

/// Which rows. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before, UTC microseconds.
    pub since_us: Option<i64>,
    /// Before, UTC microseconds.
    pub until_us: Option<i64>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this user.
    pub user: Option<String>,
    /// At this target.
    pub target: Option<String>,
    /// Commands that touch an object: `schema.name`, `name`, `*` for any characters.
    pub touches: Option<String>,
    /// Commands and events whose text holds one of the words, case aside: `drop|truncate`.
    pub grep: Option<String>,
    /// Commands whose column of this name is like this, `*` for any characters.
    pub columns: Vec<(&'static str, String)>,
    /// The newest so many.
    pub limit: Option<usize>,
}

/// Rows of one batch.
const BATCH_ROWS: usize = 8_192;

/// A data directory, to read. A file that cannot be read is left out and remembered.
#[derive(Clone, Debug)]
pub struct Lake {
    data_dir: PathBuf,
    unread: Unread,
}

/// Why files of the lake could not be read.
#[derive(Clone, Debug, Default)]
pub(in crate::record) struct Unread(Rc<RefCell<BTreeMap<PathBuf, Told>>>);

#[derive(Clone, Debug)]
enum Told {
    NotYet(String),
    Already,
}

impl Unread {
    /// Reads a file, or remembers why that cannot be done.
    pub fn skipping<T: LakeRow>(&self, path: &Path, test: &Test, take: &mut impl FnMut(T)) {
        if let Err(error) = read_file(path, test, take) {
            let mut files = self.0.borrow_mut();
            files.entry(path.to_owned()).or_insert_with(|| Told::NotYet(error.to_string()));
        }
    }
}

impl Lake {
    /// Reads `data_dir`; one that is empty or not there has no rows.
    pub fn new(data_dir: &Path) -> Lake {
        Lake { data_dir: data_dir.to_owned(), unread: Unread::default() }
    }

    /// Which files could not be read, in words and once each; what was asked for lacks their rows.
    pub fn take_unread(&self) -> Vec<String> {
        let mut files = self.unread.0.borrow_mut();
        let told = files.values_mut().map(|it| std::mem::replace(it, Told::Already));
        let news = |told| match told {
            Told::NotYet(why) => Some(why),
            Told::Already => None,
        };
        told.filter_map(news).collect()
    }

    /// Commands with their responses, one per execution.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn commands(&self, filter: &Filter) -> Result<Vec<CommandRow>, LakeError> {
        let snapshot = Snapshot::take(self)?;
        let mut commands: Vec<CommandRow> = snapshot.scan(filter)?;
        let Some(first) = commands.first() else { return Ok(commands) };
        let wanted: HashSet<(String, i64)> =
            commands.iter().map(|row| (row.common.session_id.clone(), row.common.seq)).collect();
        let answers = Filter {
            since_us: Some(first.common.ts_us),
            session: filter.session,
            user: filter.user.clone(),
            target: filter.target.clone(),
            ..Filter::default()
        };
        let mut responses: HashMap<(String, i64), ResponseRow> = HashMap::new();
        snapshot.each(&answers, |row: ResponseRow| {
            let key = (row.common.session_id.clone(), row.command_seq);
            if wanted.contains(&key) {
                responses.insert(key, row);
            }
        })?;
        for row in &mut commands {
            let key = (row.common.session_id.clone(), row.common.seq);
            row.response = responses.remove(&key).map(Box::new);
        }
        Ok(commands)
    }

    /// Starts and ends of sessions.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn sessions(&self, filter: &Filter) -> Result<Vec<SessionRow>, LakeError> {
        self.rows(filter)
    }

    /// Steps of approvals.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn approvals(&self, filter: &Filter) -> Result<Vec<ApprovalRow>, LakeError> {
        self.rows(filter)
    }

    /// Events.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn events(&self, filter: &Filter) -> Result<Vec<EventRow>, LakeError> {
        self.rows(filter)
    }

    /// Captured bytes, in the order they passed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn chunks(&self, filter: &Filter) -> Result<Vec<ChunkRow>, LakeError> {
        self.rows(filter)
    }

    /// What masking did.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn masking(&self, filter: &Filter) -> Result<Vec<MaskingRow>, LakeError> {
        self.rows(filter)
    }

    /// Lines that terminals showed being typed: derived, whatever ran.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn lines(&self, filter: &Filter) -> Result<Vec<LineRow>, LakeError> {
        self.rows(filter)
    }

    /// New rows from now on; `since_us`, `until_us` and `limit` of the filter do not count.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn follow(&self, filter: &Filter) -> Result<Follow, LakeError> {
        let filter = Filter { since_us: None, until_us: None, limit: None, ..filter.clone() };
        Follow::begin(&self.data_dir, Test::compile(&filter)?, self.unread.clone())
    }

    /// Rows of any table.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn rows<T: LakeRow>(&self, filter: &Filter) -> Result<Vec<T>, LakeError> {
        Snapshot::take(self)?.scan(filter)
    }
}

/// Drops rows that are not among the newest so many, once there are twice as many: a day may have
/// millions.
fn keep_newest<T: LakeRow>(rows: &mut Vec<T>, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    if rows.len() > limit.saturating_mul(2).max(BATCH_ROWS) {
        // A hold and the final row of its command may both be there, so twice the limit stays.
        let kept = limit.saturating_mul(2).min(rows.len());
        let older = rows.len() - kept;
        rows.select_nth_unstable_by_key(older, |row| {
            let common = row.common();
            (common.ts_us, common.log_shard, common.log_index)
        });
        rows.drain(..older);
    }
}

/// What identifies an execution, as text.
fn execution(row: &impl LakeRow) -> (String, i64) {
    (row.common().session_id.clone(), row.common().seq)
}

/// The unsealed part of the journal at one moment, and which files it stands for.
struct Snapshot {
    data_dir: PathBuf,
    unread: Unread,
    live: Vec<LiveSegment>,
    holds: Vec<HoldFile>,
    origins: HashSet<String>,
}

impl Snapshot {
    fn take(lake: &Lake) -> Result<Snapshot, LakeError> {
        let (data_dir, unread) = (lake.data_dir.clone(), lake.unread.clone());
        let journal = data_dir.join(super::JOURNAL_FOLDER);
        let at = |error| LakeError::Io(journal.clone(), error);
        let live = live::read_all(&journal).map_err(at)?;
        let holds = holds::read_all(&journal).map_err(at)?;
        let origins = live.iter().map(|segment| segment.header.origin()).collect();
        Ok(Snapshot { data_dir, unread, live, holds, origins })
    }

    /// The rows, newest last, at most as many as the filter says.
    fn scan<T: LakeRow>(&self, filter: &Filter) -> Result<Vec<T>, LakeError> {
        let test = Test::compile(filter)?;
        let mut rows = Vec::new();
        self.live_rows(&test, &mut |row| rows.push(row))?;
        let live = self.executions(&rows);
        for (day, paths) in self.files(T::TABLE, filter)?.into_iter().rev() {
            for path in paths {
                let twice = self.is_live(&path);
                self.unread.skipping(&path, &test, &mut |row| {
                    if !twice || !live.contains(&execution(&row)) {
                        rows.push(row);
                        keep_newest(&mut rows, filter.limit);
                    }
                });
            }
            let newer = rows.iter().filter(|row: &&T| row.common().ts_us >= day_start(&day));
            if filter.limit.is_some_and(|limit| newer.count() >= limit) {
                break;
            }
        }
        if T::TABLE == Table::Commands {
            // A hold that was waiting when the journal was read may have its final row in the lake.
            let mut seen = self.executions(&rows);
            rows.retain(|row| row.is_final() || seen.insert(execution(row)));
        }
        rows.sort_by_key(|row| {
            let common = row.common();
            (common.ts_us, common.log_shard, common.log_index)
        });
        if let Some(limit) = filter.limit {
            rows.drain(..rows.len().saturating_sub(limit));
        }
        Ok(rows)
    }

    /// Executions that have their final row; only commands have any.
    fn executions<T: LakeRow>(&self, rows: &[T]) -> HashSet<(String, i64)> {
        if T::TABLE != Table::Commands {
            return HashSet::new();
        }
        rows.iter().filter(|row| row.is_final()).map(execution).collect()
    }

    /// The rows in no order, one at a time; not for commands.
    fn each<T: LakeRow>(&self, filter: &Filter, mut take: impl FnMut(T)) -> Result<(), LakeError> {
        assert!(T::TABLE != Table::Commands, "the rows of commands depend on each other");
        let test = Test::compile(filter)?;
        self.live_rows(&test, &mut take)?;
        for paths in self.files(T::TABLE, filter)?.into_values() {
            for path in paths {
                self.unread.skipping(&path, &test, &mut take);
            }
        }
        Ok(())
    }

    fn is_live(&self, path: &Path) -> bool {
        origin_of(path).is_some_and(|origin| self.origins.contains(origin))
    }

    fn live_rows<T: LakeRow>(
        &self,
        test: &Test,
        take: &mut impl FnMut(T),
    ) -> Result<(), LakeError> {
        let mut sheets: Vec<(Sheet<'_>, &Header)> = Vec::new();
        for segment in &self.live {
            let sheet = Sheet::read(&segment.bytes, &segment.header, true);
            sheets.push((sheet, &segment.header));
        }
        if T::TABLE == Table::Commands {
            self.place_holds(&mut sheets);
        }
        let mut columns = Columns::new(T::TABLE);
        for (sheet, header) in &sheets {
            sheet_rows(sheet, header, (&mut columns, test), take)?;
        }
        Ok(())
    }

    /// Rows for commands that wait, or whose wait ended without a final entry.
    fn place_holds<'a>(&'a self, sheets: &mut Vec<(Sheet<'a>, &'a Header)>) {
        sheets.extend(self.holds.iter().map(|file| (Sheet::of_held(file.held()), &file.header)));
        let held = sheets.iter().flat_map(|(sheet, _)| &sheet.held);
        let waiting = held.map(|held| rows::key(&held.frame.place)).collect();
        let mut settled: HashSet<Key> = HashSet::new();
        let mut ended: HashSet<SessionId> = HashSet::new();
        for (sheet, _) in &*sheets {
            settled.extend(sheet.settled(&waiting));
            ended.extend(&sheet.ended);
        }
        for (sheet, _) in sheets {
            for held in std::mem::take(&mut sheet.held) {
                let key = rows::key(&held.frame.place);
                if settled.insert(key) {
                    let over = ended.contains(&key.0);
                    sheet.add_held(
                        &held,
                        if over { Unanswered::Abandoned } else { Unanswered::Hold },
                    );
                }
            }
        }
    }

    /// The files of a table by day, without those whose rows were read from the journal. Of
    /// commands those stay: they may also hold the row of an older hold that ended there.
    fn files(
        &self,
        table: Table,
        filter: &Filter,
    ) -> Result<BTreeMap<String, Vec<PathBuf>>, LakeError> {
        let day = |us: i64| date_text(us.div_euclid(86_400_000_000));
        let (since, until) = (filter.since_us.map(day), filter.until_us.map(day));
        let mut days = files_of(&self.data_dir, table)?;
        days.retain(|date, _| {
            since.as_ref().is_none_or(|since| since <= date)
                && until.as_ref().is_none_or(|until| date <= until)
        });
        for paths in days.values_mut() {
            paths.retain(|path| table == Table::Commands || !self.is_live(path));
            paths.sort();
        }
        Ok(days)
    }
}

/// All files of a table by the date of their folder.
pub(in crate::record) fn files_of(
    data_dir: &Path,
    table: Table,
) -> Result<BTreeMap<String, Vec<PathBuf>>, LakeError> {
    let folder = data_dir.join("lake").join(table.name());
    let mut days = BTreeMap::new();
    for path in list(&folder)? {
        let date = path.file_name().and_then(|name| name.to_str()?.strip_prefix("date="));
        let Some(date) = date else { continue };
        let mut files = list(&path)?;
        files.retain(|file| origin_of(file).is_some());
        days.insert(date.to_owned(), files);
    }
    Ok(days)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let at = |error| LakeError::Io(folder.to_owned(), error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(at)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at(error)),
    }
}

/// `<shard>-<number>-<boot>` of `<table>-<node>-<shard>-<number>-<boot>.parquet`.
pub(in crate::record) fn origin_of(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
    if stem.starts_with('.') {
        return None;
    }
    stem.splitn(3, '-').nth(2)
}

fn day_start(date: &str) -> i64 {
    // Dates are compared as text everywhere else; here the other way around is needed.
    let mut parts = date.split('-').map(|part| part.parse::<i64>().unwrap_or(0));
    let (year, month, day) =
        (parts.next().unwrap_or(0), parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days * 86_400_000_000
}

pub(in crate::record) fn sheet_rows<T: LakeRow>(
    sheet: &Sheet<'_>,
    header: &Header,
    (columns, test): (&mut Columns, &Test),
    take: &mut impl FnMut(T),
) -> Result<(), LakeError> {
    if T::TABLE == Table::ShellLines {
        // How older segments left their terminals is known to the sealer alone.
        let (lines, _) = sheet.lines(&Terminals::default());
        for line in &lines {
            sheet.fill_line(columns, header, line);
        }
        batch_rows(&columns.finish()?, test, take);
        return Ok(());
    }
    for rows in sheet.rows(T::TABLE).chunks(BATCH_ROWS) {
        for row in rows {
            sheet.fill(columns, header, T::TABLE, row);
        }
        batch_rows(&columns.finish()?, test, take);
    }
    Ok(())
}

fn batch_rows<T: LakeRow>(batch: &RecordBatch, test: &Test, take: &mut impl FnMut(T)) {
    let cells = Cells::new(batch);
    for row in 0..batch.num_rows() {
        if test.passes(&cells, row) {
            take(T::read(&cells, row));
        }
    }
}

/// The rows of one file that pass.
pub(in crate::record) fn read_file<T: LakeRow>(
    path: &Path,
    test: &Test,
    take: &mut impl FnMut(T),
) -> Result<(), LakeError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Retention took it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LakeError::Io(path.to_owned(), error)),
    };
    let at = |error| LakeError::Io(path.to_owned(), error);
    let bad = |error| LakeError::Parquet(path.to_owned(), error);
    let changed = |part| LakeError::Changed(path.to_owned(), part);
    let sums = Sums::read(&file).map_err(at)?;
    // Before anything is believed: a bound in the footer says which rows are not looked at.
    if !sums.map_or(Ok(true), |sums| sums.tail_fits(&file)).map_err(at)? {
        return Err(changed("footer"));
    }
    let again = file.try_clone().map_err(at)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(bad)?;
    let groups = builder.metadata().row_groups();
    let kept: Vec<usize> =
        (0..groups.len()).filter(|group| test.may_hold(&groups[*group])).collect();
    if kept.is_empty() {
        return Ok(());
    }
    if !sums.map_or(Ok(true), |sums| sums.body_fits(&again)).map_err(at)? {
        return Err(changed("content"));
    }
    let reader = builder.with_row_groups(kept).with_batch_size(BATCH_ROWS).build().map_err(bad)?;
    for batch in reader {
        let batch = batch.map_err(|error| LakeError::Rows(path.to_owned(), error))?;
        batch_rows(&batch, test, take);
    }
    Ok(())
}

/// All rows of a file of events, for recovery.
pub(in crate::record) fn file_rows(path: &Path) -> Result<Vec<EventRow>, LakeError> {
    let mut rows = Vec::new();
    read_file(path, &Test::compile(&Filter::default())?, &mut |row| rows.push(row))?;
    Ok(rows)
}

/// Sessions of a boot that have a start in the lake and no end, and the files that could not be
/// read.
pub(in crate::record) fn open_sessions(
    data_dir: &Path,
    boot: &[u8; 16],
) -> Result<(Vec<SessionRow>, Vec<PathBuf>), LakeError> {
    let mut open: BTreeMap<String, SessionRow> = BTreeMap::new();
    let mut ended = HashSet::new();
    let unread = each_of_boot(data_dir, boot, &mut |row: SessionRow| match row.phase.as_str() {
        "start" => {
            open.insert(row.common.session_id.clone(), row);
        }
        "end" => {
            ended.insert(row.common.session_id);
        }
        // What an earlier try of recovery wrote: it is about to be written again.
        _ => {}
    })?;
    let open = open.into_values().filter(|row| !ended.contains(&row.common.session_id)).collect();
    Ok((open, unread))
}

/// The last step of each ask of a boot that has no end in the lake, and the files that could not be
/// read. What recovery wrote itself is left out, as it is about to be written again.
pub(in crate::record) fn open_asks(
    data_dir: &Path,
    boot: &[u8; 16],
) -> Result<(Vec<ApprovalRow>, Vec<PathBuf>), LakeError> {
    let mut last: BTreeMap<String, ApprovalRow> = BTreeMap::new();
    let mut ended = HashSet::new();
    let unread = each_of_boot(data_dir, boot, &mut |row: ApprovalRow| match row.event.as_str() {
        "requested" | "vote-approve" => {
            last.insert(row.approval_id.clone(), row);
        }
        _ => {
            ended.insert(row.approval_id);
        }
    })?;
    let open = last.into_values().filter(|row| !ended.contains(&row.approval_id)).collect();
    Ok((open, unread))
}

/// Visits the rows of a table that a boot recorded; the files that could not be read.
fn each_of_boot<R: LakeRow>(
    data_dir: &Path,
    boot: &[u8; 16],
    visit: &mut impl FnMut(R),
) -> Result<Vec<PathBuf>, LakeError> {
    let (of_boot, mut unread) = (boot_text(boot), Vec::new());
    let of_recovery = format!("recovery-{of_boot}");
    let test = Test::compile(&Filter::default())?;
    for path in files_of(data_dir, R::TABLE)?.into_values().flatten() {
        let is_own = origin_of(&path)
            .is_some_and(|origin| origin.ends_with(&of_boot) && !origin.ends_with(&of_recovery));
        if is_own && read_file(&path, &test, visit).is_err() {
            unread.push(path);
        }
    }
    Ok(unread)
}

/// A filter, ready to be applied to many rows.
pub(in crate::record) struct Test {
    times: Range<i64>,
    session: Option<String>,
    user: Option<String>,
    target: Option<String>,
    touches: Option<String>,
    grep: Option<AhoCorasick>,
    columns: Vec<(&'static str, String)>,
}

impl Test {
    pub fn compile(filter: &Filter) -> Result<Test, LakeError> {
        let grep = match &filter.grep {
            None => None,
            Some(words) => {
                let bad = |why: String| LakeError::Grep(words.clone(), why);
                let parts: Vec<&str> = words.split('|').filter(|word| !word.is_empty()).collect();
                if parts.is_empty() {
                    return Err(bad("it holds no word".into()));
                }
                // Aho-Corasick, so that the cost of a text does not grow with the words.
                let built = AhoCorasick::builder().ascii_case_insensitive(true).build(parts);
                Some(built.map_err(|error| bad(error.to_string()))?)
            }
        };
        Ok(Test {
            times: filter.since_us.unwrap_or(i64::MIN)..filter.until_us.unwrap_or(i64::MAX),
            session: filter.session.map(|id| uuid_text(&id, &mut [0; 36]).to_owned()),
            user: filter.user.clone(),
            target: filter.target.clone(),
            touches: filter.touches.clone(),
            grep,
            columns: filter.columns.clone(),
        })
    }

    fn passes(&self, cells: &Cells<'_>, row: usize) -> bool {
        let is = |want: &Option<String>, name| {
            want.as_deref().is_none_or(|want| cells.text(name, row) == want)
        };
        let ts = cells.time("ts", row).unwrap_or(0);
        self.times.contains(&ts)
            && is(&self.session, "session_id")
            && is(&self.user, "user_name")
            && is(&self.target, "target")
            && self.touches_passes(cells, row)
            && self.columns_pass(cells, row)
            && self.grep_passes(cells, row)
    }

    fn touches_passes(&self, cells: &Cells<'_>, row: usize) -> bool {
        self.touches.as_deref().is_none_or(|pattern| {
            cells.texts("objects", row).iter().any(|object| object_matches(pattern, object))
        })
    }

    fn columns_pass(&self, cells: &Cells<'_>, row: usize) -> bool {
        self.columns
            .iter()
            .all(|(name, pattern)| wild(pattern.as_bytes(), cells.text(name, row).as_bytes()))
    }

    fn grep_passes(&self, cells: &Cells<'_>, row: usize) -> bool {
        self.grep.as_ref().is_none_or(|words| {
            ["query_text", "params_json", "message", "reason", "line"]
                .iter()
                .any(|name| words.is_match(cells.text(name, row)))
        })
    }

    /// Whether a row group may hold a row that passes, by its statistics.
    fn may_hold(&self, group: &RowGroupMetaData) -> bool {
        group.columns().iter().all(|chunk| {
            let Some(statistics) = chunk.statistics() else { return true };
            match (chunk.column_path().string().as_str(), statistics) {
                ("ts", Statistics::Int64(range)) => {
                    range.max_opt().is_none_or(|max| *max >= self.times.start)
                        && range.min_opt().is_none_or(|min| *min < self.times.end)
                }
                ("session_id", range) => within(self.session.as_deref(), range),
                ("user_name", range) => within(self.user.as_deref(), range),
                ("target", range) => within(self.target.as_deref(), range),
                _ => true,
            }
        })
    }
}

/// Bounds in statistics may be shortened, but never inwards.
fn within(want: Option<&str>, range: &Statistics) -> bool {
    let Some(want) = want.map(str::as_bytes) else { return true };
    range.min_bytes_opt().is_none_or(|min| min <= want)
        && range.max_bytes_opt().is_none_or(|max| want <= max)
}

/// A pattern without a schema means any schema; an object whose text named no schema may be in any.
fn object_matches(pattern: &str, object: &str) -> bool {
    if wild(pattern.as_bytes(), object.as_bytes()) {
        return true;
    }
    match (pattern.rsplit_once('.'), object.rsplit_once('.')) {
        (None, Some((_, name))) => wild(pattern.as_bytes(), name.as_bytes()),
        (Some((_, name)), None) => wild(name.as_bytes(), object.as_bytes()),
        _ => false,
    }
}

/// `*` stands for any bytes. Iterative: on a mismatch the last star takes one byte more.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(want) if want.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                p = star_p + 1;
                t = star_t + 1;
                star = Some((star_p, star_t + 1));
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
#[path = "lake_tests.rs"]
mod tests;
