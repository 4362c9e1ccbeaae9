//! A column chunk of texts or bytes.
//!
//! In: values, NULLs and lists, row by row. Out: pages of indexes into one dictionary, and plain
//! pages once it is full. Never: a hash for a value that is the one before.
//!
//! Rows are sorted by session, so most values of a row are those of the row before: a run that
//! grows by one. This is why weir encodes them itself. The Arrow writer hashes each value and
//! compares it with the least and the greatest; here both are done once per value of a dictionary
//! and page.

use std::collections::HashMap;

use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::super::schema::Use;
use super::bounds::{self, Bounds, Range};
use super::hybrid::{Runs, width_of};
use super::levels::Levels;
use super::pages::{self, Chunk, Content, Index, Pages, Zstd};
use super::{DICTIONARY_BYTES, PAGE_BYTES};

/// A column chunk being filled.
pub struct Texts {
    usage: Use,
    levels: Levels,
    dictionary: Dictionary,
    values: Values,
    bounds: Bounds<Vec<u8>>,
    pages: Pages,
}

/// The values of a page.
enum Values {
    /// By their place in the dictionary.
    Indexes {
        /// The places.
        runs: Runs,
        /// Those of the row before, by place in its list; rows often repeat.
        before: Vec<u32>,
    },
    /// PLAIN.
    Plain(Vec<u8>),
}

/// Distinct values, in the order of their first row.
#[derive(Default)]
struct Dictionary {
    /// PLAIN: each after its length.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    places: HashMap<Box<[u8]>, u32, ahash::RandomState>,
}

impl Dictionary {
    fn value(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start + 4..self.ends[place]]
    }

    /// Where a value stands; it is added if it does not.
    fn place(&mut self, value: &[u8]) -> u32 {
        if let Some(place) = self.places.get(value) {
            return *place;
        }
        let place = self.ends.len() as u32;
        push_plain(&mut self.bytes, value);
        self.ends.push(self.bytes.len());
        self.places.insert(value.into(), place);
        place
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= DICTIONARY_BYTES
    }

    fn clear(&mut self) {
        if self.is_full() {
            // One that was large is no reason to keep so much.
            *self = Dictionary::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self.places.clear();
    }
}

fn push_plain(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
}

impl Values {
    fn new(usage: Use) -> Values {
        match usage {
            Use::Blob => Values::Plain(Vec::new()),
            Use::Key | Use::Count | Use::Label | Use::Content => {
                Values::Indexes { runs: Runs::default(), before: Vec::new() }
            }
        }
    }

    /// No value, as at the beginning of a chunk.
    fn clear(&mut self, usage: Use) {
        match (&mut *self, usage) {
            (Values::Plain(bytes), Use::Blob) => {
                bytes.clear();
                bytes.shrink_to(PAGE_BYTES);
            }
            (Values::Plain(_), _) => *self = Values::new(usage),
            (Values::Indexes { runs, before }, _) => {
                runs.clear();
                before.clear();
            }
        }
    }
}

impl Texts {
    /// An empty chunk of a column.
    pub fn new(usage: Use, leaf: ColumnDescPtr, levels: Levels) -> Texts {
        Texts {
            usage,
            levels,
            dictionary: Dictionary::default(),
            values: Values::new(usage),
            bounds: Bounds::default(),
            pages: Pages::new(leaf),
        }
    }

    /// The next row's value. Tells whether the page is to be cut before the row after it.
    pub fn put(&mut self, value: &[u8]) -> bool {
        self.levels.value();
        self.keep(value, 0)
    }

    /// The next row's value is that of the row before, which is of the same page. `None` where that
    /// is not known any more.
    pub fn repeat(&mut self) -> Option<()> {
        if self.levels.is_null()? {
            self.levels.null();
            return Some(());
        }
        let Values::Indexes { runs, before } = &mut self.values else { return None };
        runs.push(*before.first()?);
        self.levels.value();
        Some(())
    }

    /// The next row has none.
    pub fn null(&mut self) {
        self.levels.null();
    }

    /// The next row's list. Tells its bytes, and the same as `put`.
    pub fn list<'v>(&mut self, values: impl Iterator<Item = &'v str>) -> (usize, bool) {
        let (mut count, mut bytes) = (0, 0);
        for value in values {
            self.levels.element(count == 0);
            self.keep(value.as_bytes(), count);
            count += 1;
            bytes += value.len();
        }
        if count == 0 {
            self.levels.empty_list();
        }
        (bytes, self.is_full())
    }

    /// Keeps the value that is `at` this place of its row's list. Tells whether the page is full,
    /// but not of a value that the row before had there: one that repeats fills no page.
    fn keep(&mut self, value: &[u8], at: usize) -> bool {
        match &mut self.values {
            Values::Indexes { runs, before } => {
                if let Some(place) = before.get(at)
                    && self.dictionary.value(*place) == value
                {
                    runs.push(*place);
                    return false;
                }
                let place = self.dictionary.place(value);
                runs.push(place);
                match before.get_mut(at) {
                    Some(before) => *before = place,
                    None => before.push(place),
                }
            }
            Values::Plain(bytes) => {
                push_plain(bytes, value);
                if has_bounds(self.usage) {
                    self.bounds.add(value);
                }
            }
        }
        self.is_full()
    }

    /// Whether the page is to be cut before the next row.
    pub fn is_full(&self) -> bool {
        match &self.values {
            Values::Indexes { runs, .. } => self.dictionary.is_full() || runs.bytes() >= PAGE_BYTES,
            Values::Plain(bytes) => bytes.len() >= PAGE_BYTES,
        }
    }

    /// Ends the page, if it has a row. Once the dictionary is full, later pages are plain.
    ///
    /// # Errors
    /// When the page cannot be compressed.
    pub fn cut(&mut self, body: &mut Vec<u8>, zstd: &mut Zstd) -> Result<()> {
        if self.levels.rows() == 0 {
            return Ok(());
        }
        body.clear();
        self.levels.encode(body);
        let (encoding, text_bytes) = match &mut self.values {
            Values::Indexes { runs, .. } => {
                let width = width_of(self.dictionary.ends.len().saturating_sub(1) as u64);
                body.push(width as u8);
                runs.encode(width, body);
                let text_bytes = text_bytes(runs, &self.dictionary);
                if has_bounds(self.usage) {
                    add_bounds(&mut self.bounds, runs, &self.dictionary);
                }
                runs.clear();
                (Encoding::RLE_DICTIONARY, text_bytes)
            }
            Values::Plain(bytes) => {
                let lengths = 4 * (self.levels.values() - self.levels.nulls());
                let text_bytes = bytes.len() - lengths;
                // A column that is never NULL has no levels, so nothing is moved or copied.
                bytes.splice(..0, body.drain(..));
                std::mem::swap(bytes, body);
                (Encoding::PLAIN, text_bytes)
            }
        };
        self.bounds.end_page();
        let content = Content {
            rows: self.levels.rows(),
            values: self.levels.values(),
            nulls: self.levels.nulls(),
            encoding,
            text_bytes: Some(text_bytes as i64),
        };
        self.pages.push(body, content, zstd)?;
        self.levels.clear();
        if matches!(self.values, Values::Indexes { .. }) && self.dictionary.is_full() {
            self.values = Values::Plain(Vec::new());
        }
        Ok(())
    }

    /// No row.
    pub fn clear(&mut self) {
        self.levels.clear();
        self.dictionary.clear();
        self.values.clear(self.usage);
        self.bounds = Bounds::default();
        self.pages.clear();
    }

    /// The chunk, whole. Its last page was cut.
    ///
    /// # Errors
    /// When the dictionary cannot be compressed.
    pub fn close(&mut self, zstd: &mut Zstd) -> Result<Chunk> {
        let pages = self.bounds.pages();
        let index: Option<Index> = matches!(self.usage, Use::Key).then(|| {
            let cut = |(least, greatest): &Range<Vec<u8>>| {
                (bounds::cut_low(least).0, bounds::cut_high(greatest).0)
            };
            let pages: Vec<_> = pages.iter().map(|page| page.as_ref().map(cut)).collect();
            let order = bounds::order(&pages);
            (pages, order)
        });
        let statistics = has_bounds(self.usage).then(|| self.statistics(pages));
        let dictionary = (self.usage != Use::Blob).then(|| pages::Dictionary {
            bytes: &self.dictionary.bytes,
            values: self.dictionary.ends.len(),
        });
        self.pages.close(dictionary, (statistics, index), zstd)
    }

    fn statistics(&self, pages: &[Option<Range<Vec<u8>>>]) -> Statistics {
        let (least, greatest) = bounds::of_all(pages).unzip();
        let (least, is_cut) = least.map(|least| bounds::cut_low(&least)).unzip();
        let (greatest, is_raised) = greatest.map(|greatest| bounds::cut_high(&greatest)).unzip();
        let (least, greatest) = (least.map(ByteArray::from), greatest.map(ByteArray::from));
        let nulls = Some(self.pages.nulls() as u64);
        ValueStatistics::new(least, greatest, None, nulls, false)
            .with_min_is_exact(is_cut == Some(false))
            .with_max_is_exact(is_raised == Some(false))
            .into()
    }
}

/// Whether readers may skip by the column's least and greatest value.
fn has_bounds(usage: Use) -> bool {
    match usage {
        Use::Key | Use::Count | Use::Label => true,
        Use::Content | Use::Blob => false,
    }
}

fn text_bytes(places: &Runs, dictionary: &Dictionary) -> usize {
    places.iter().map(|run| run.count as usize * dictionary.value(run.value).len()).sum()
}

/// Compares each value of the page once.
fn add_bounds(bounds: &mut Bounds<Vec<u8>>, places: &Runs, dictionary: &Dictionary) {
    let mut is_added = vec![false; dictionary.ends.len()];
    for run in places.iter() {
        if !std::mem::replace(&mut is_added[run.value as usize], true) {
            bounds.add(dictionary.value(run.value));
        }
    }
}
