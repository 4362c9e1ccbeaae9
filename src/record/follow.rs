//! New rows as they are written, for `weir tail`.
//!
//! In: polls. Out: what was recorded since the last one, in the order of each shard's log.
//! Never: a row twice or not at all, although segments are sealed and freed between two polls.
//!
//! Per process and shard the place is a segment, an offset in it and the next log index. What
//! followed in segments that are gone is in the lake under their names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;

use super::body::Kind;
use super::entry::SessionId;
use super::journal::{Frame, HEADER_BYTES, Header, boot_text};
use super::lake::{self, LakeError, LakeRow, Test, Unread};
use super::lake_rows::{ApprovalRow, CommandRow, EventRow, MaskingRow, ResponseRow, SessionRow};
use super::live;
use super::recover::segment_paths;
use super::rows::{Sheet, Unanswered};
use super::schema::{Columns, Table};

/// A row of any table but the captured bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "table", rename_all = "snake_case")]
pub enum Happening {
    /// A session begins or ends.
    Sessions(SessionRow),
    /// A command; one that is held appears again with its final decision.
    Commands(CommandRow),
    /// The outcome of a command.
    Responses(ResponseRow),
    /// A step of an approval.
    Approvals(ApprovalRow),
    /// What masking did.
    MaskingHits(MaskingRow),
    /// Anything else.
    LogEvents(EventRow),
}

impl Happening {
    fn place(&self) -> (i64, i32, i64) {
        let common = match self {
            Happening::Sessions(row) => &row.common,
            Happening::Commands(row) => &row.common,
            Happening::Responses(row) => &row.common,
            Happening::Approvals(row) => &row.common,
            Happening::MaskingHits(row) => &row.common,
            Happening::LogEvents(row) => &row.common,
        };
        (common.ts_us, common.log_shard, common.log_index)
    }
}

/// A reader that goes on where it stopped.
pub struct Follow {
    data_dir: PathBuf,
    test: Rc<Test>,
    unread: Unread,
    places: BTreeMap<Writer, Place>,
}

/// A process and one of its shards.
type Writer = ([u8; 16], u32);

#[derive(Default)]
struct Place {
    number: u64,
    offset: usize,
    next_index: u64,
    /// `Context` frames of this segment, as they are there.
    contexts: HashMap<SessionId, Vec<u8>>,
}

type Segments = BTreeMap<Writer, BTreeMap<u64, (Header, PathBuf)>>;

impl Follow {
    /// Begins behind what is there now.
    pub(in crate::record) fn begin(
        data_dir: &Path,
        test: Test,
        unread: Unread,
    ) -> Result<Follow, LakeError> {
        let (data_dir, test) = (data_dir.to_owned(), Rc::new(test));
        let mut follow = Follow { data_dir, test, unread, places: BTreeMap::new() };
        follow.advance(&mut |_, _| Ok(()))?;
        Ok(follow)
    }

    /// What was recorded since the last poll.
    ///
    /// # Errors
    /// When a file cannot be read; the next poll tries again.
    pub fn poll(&mut self) -> Result<Vec<Happening>, LakeError> {
        let mut news = Vec::new();
        let (test, unread) = (Rc::clone(&self.test), self.unread.clone());
        self.advance(&mut |found, header| match found {
            Found::Frames(bytes) => frames_news(&bytes, header, &test, &mut news),
            Found::Files(numbers, from_index) => {
                let from = (numbers.1, from_index);
                files_news(&numbers.0, header, from, (&test, &unread), &mut news)
            }
        })?;
        news.sort_by_key(Happening::place);
        Ok(news)
    }

    fn segments(&self) -> Result<Segments, LakeError> {
        let journal = self.data_dir.join(super::JOURNAL_FOLDER);
        let mut segments = Segments::new();
        for path in segment_paths(&journal).map_err(|e| LakeError::Io(journal.clone(), e))? {
            let Ok(file) = live::open(&path) else { continue };
            let head = live::read_at(&file, 0, HEADER_BYTES as u64)
                .map_err(|error| LakeError::Io(path.clone(), error))?;
            if let Some(header) = Header::read(&head) {
                let writer = segments.entry((header.boot, header.shard)).or_default();
                writer.insert(header.number, (header, path));
            }
        }
        Ok(segments)
    }

    fn advance(
        &mut self,
        tell: &mut impl FnMut(Found, &Header) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let segments = self.segments()?;
        for (writer, numbers) in &segments {
            let Some((header, _)) = numbers.values().next() else { continue };
            let place = self.places.entry(*writer).or_default();
            if place.number < header.number {
                let files = (self.data_dir.clone(), place.number..header.number);
                tell(Found::Files(files, place.next_index), header)?;
                *place = Place { number: header.number, ..Place::default() };
            }
            for (number, (header, path)) in numbers.range(place.number..) {
                if *number > place.number || place.offset == 0 {
                    let next_index = header.first_index.max(place.next_index);
                    *place = Place {
                        number: *number,
                        offset: HEADER_BYTES,
                        next_index,
                        ..Place::default()
                    };
                }
                let fresh = read_fresh(place, header, path)
                    .map_err(|error| LakeError::Io(path.clone(), error))?;
                // Freed meanwhile: the next poll finds the rest in the lake.
                let Some(bytes) = fresh else { break };
                if !bytes.is_empty() {
                    tell(Found::Frames(bytes), header)?;
                }
            }
        }
        self.finish_gone(&segments, tell)
    }

    /// Writers without any segment left: everything of theirs is in the lake.
    fn finish_gone(
        &mut self,
        segments: &Segments,
        tell: &mut impl FnMut(Found, &Header) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        for ((boot, shard), place) in &mut self.places {
            if segments.contains_key(&(*boot, *shard)) || place.number == u64::MAX {
                continue;
            }
            let header = Header {
                node: String::new(),
                shard: *shard,
                number: place.number,
                boot: *boot,
                created_us: 0,
                first_index: 0,
            };
            let files = (self.data_dir.clone(), place.number..u64::MAX);
            tell(Found::Files(files, place.next_index), &header)?;
            *place = Place { number: u64::MAX, ..Place::default() };
        }
        Ok(())
    }
}

enum Found {
    /// Whole frames, with the contexts they need before them.
    Frames(Vec<u8>),
    /// Segments of these numbers, from a log index on.
    Files((PathBuf, std::ops::Range<u64>), u64),
}

/// The whole frames behind the place, and moves it. `None`: the segment has another life now.
fn read_fresh(place: &mut Place, header: &Header, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let Ok(file) = live::open(path) else { return Ok(None) };
    let bytes = live::read_from(&file, place.offset as u64, header)?;
    let Some(bytes) = bytes else { return Ok(None) };
    let salt = header.salt();
    let (mut at, mut needed) = (0, HashSet::new());
    let mut contexts = Vec::new();
    while let Some(frame) = Frame::read(&bytes, at, &salt) {
        if frame.place.log_index != place.next_index {
            break;
        }
        if frame.kind == Kind::Context {
            contexts.push(at..frame.end());
        } else {
            place.next_index += 1;
            needed.insert(frame.place.session_id);
        }
        at = frame.end();
    }
    let mut fresh: Vec<u8> = Vec::new();
    for session in needed {
        fresh.extend(place.contexts.get(&session).into_iter().flatten());
    }
    fresh.extend(bytes.get(..at).into_iter().flatten());
    for range in contexts {
        if let Some(frame) = Frame::read(&bytes, range.start, &salt) {
            let raw = bytes.get(range).unwrap_or_default().to_vec();
            place.contexts.insert(frame.place.session_id, raw);
        }
    }
    if at == 0 {
        fresh.clear();
    }
    place.offset += at;
    Ok(Some(fresh))
}

fn frames_news(
    bytes: &[u8],
    header: &Header,
    test: &Test,
    news: &mut Vec<Happening>,
) -> Result<(), LakeError> {
    let mut sheet = Sheet::of_frames(bytes, header);
    for held in std::mem::take(&mut sheet.held) {
        sheet.add_held(&held, Unanswered::Hold);
    }
    let sheet = &sheet;
    rows_of(sheet, header, test, &mut |row| news.push(Happening::Sessions(row)))?;
    rows_of(sheet, header, test, &mut |row| news.push(Happening::Commands(row)))?;
    rows_of(sheet, header, test, &mut |row| news.push(Happening::Responses(row)))?;
    rows_of(sheet, header, test, &mut |row| news.push(Happening::Approvals(row)))?;
    rows_of(sheet, header, test, &mut |row| news.push(Happening::MaskingHits(row)))?;
    rows_of(sheet, header, test, &mut |row| push_event(news, row))
}

/// The mirror of a hold says nothing that its command does not.
fn push_event(news: &mut Vec<Happening>, row: EventRow) {
    if row.event != "hold" {
        news.push(Happening::LogEvents(row));
    }
}

fn rows_of<T: LakeRow>(
    sheet: &Sheet<'_>,
    header: &Header,
    test: &Test,
    take: &mut impl FnMut(T),
) -> Result<(), LakeError> {
    lake::sheet_rows(sheet, header, (&mut Columns::new(T::TABLE), test), take)
}

fn files_news(
    data_dir: &Path,
    header: &Header,
    (numbers, from_index): (std::ops::Range<u64>, u64),
    (test, unread): (&Test, &Unread),
    news: &mut Vec<Happening>,
) -> Result<(), LakeError> {
    for table in Table::ALL {
        for path in lake::files_of(data_dir, table)?.into_values().flatten() {
            if !is_of(&path, header, &numbers) {
                continue;
            }
            let mut take = |news_row: Happening| {
                if news_row.place().2 >= from_index as i64 {
                    news.push(news_row);
                }
            };
            match table {
                Table::Sessions => {
                    unread.skipping(&path, test, &mut |row| take(Happening::Sessions(row)));
                }
                Table::Commands => {
                    unread.skipping(&path, test, &mut |row| take(Happening::Commands(row)));
                }
                Table::Responses => {
                    unread.skipping(&path, test, &mut |row| take(Happening::Responses(row)));
                }
                Table::Approvals => {
                    unread.skipping(&path, test, &mut |row| take(Happening::Approvals(row)));
                }
                Table::MaskingHits => {
                    unread.skipping(&path, test, &mut |row| take(Happening::MaskingHits(row)));
                }
                Table::LogEvents => unread.skipping(&path, test, &mut |row: EventRow| {
                    if row.event != "hold" {
                        take(Happening::LogEvents(row));
                    }
                }),
                Table::StreamChunks | Table::Touches | Table::ShellLines => {}
            }
        }
    }
    Ok(())
}

/// Whether a file was sealed from one of these segments, or by recovery for them.
fn is_of(path: &Path, header: &Header, numbers: &std::ops::Range<u64>) -> bool {
    let Some(origin) = lake::origin_of(path) else { return false };
    let mut parts = origin.split('-');
    let shard = parts.next().and_then(|part| part.parse::<u32>().ok());
    let number = parts.next().unwrap_or_default();
    let here = number.parse::<u64>().map_or(numbers.end == u64::MAX, |at| numbers.contains(&at));
    shard == Some(header.shard) && here && parts.next() == Some(&boot_text(&header.boot))
}
