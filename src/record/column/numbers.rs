//! A column chunk of whole numbers, or of flags.
//!
//! In: numbers and NULLs, row by row; flags are 0 and 1. Out: pages of differences, or of bits.
//! Never: a dictionary, which would cost a hash and a comparison per value; differences of equal
//! numbers are no bits at all.

use parquet::basic::{Encoding, Type as Physical};
use parquet::errors::Result;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::super::schema::Use;
use super::bounds::{self, Bounds};
use super::delta::{self, Size};
use super::levels::Levels;
use super::pages::{Chunk, Content, Index, Pages, Zstd};

/// A column chunk being filled.
pub struct Numbers {
    usage: Use,
    shape: Shape,
    levels: Levels,
    page: Vec<i64>,
    bounds: Bounds<i64>,
    pages: Pages,
}

/// What a value is in the file.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Number(Size),
    Flag,
}

impl Numbers {
    /// An empty chunk of a column.
    pub fn new(usage: Use, leaf: ColumnDescPtr, levels: Levels) -> Numbers {
        Numbers {
            usage,
            shape: match leaf.physical_type() {
                Physical::BOOLEAN => Shape::Flag,
                Physical::INT32 => Shape::Number(Size::Int),
                _ => Shape::Number(Size::Long),
            },
            levels,
            page: Vec::new(),
            bounds: Bounds::default(),
            pages: Pages::new(leaf),
        }
    }

    /// The next row's number.
    pub fn put(&mut self, number: i64) {
        self.levels.value();
        self.page.push(number);
    }

    /// The next row has none.
    pub fn null(&mut self) {
        self.levels.null();
    }

    /// Ends the page, if it has a row.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn cut(&mut self, body: &mut Vec<u8>, zstd: &mut Zstd) -> Result<()> {
        if self.levels.rows() == 0 {
            return Ok(());
        }
        body.clear();
        self.levels.encode(body);
        let encoding = match self.shape {
            Shape::Number(size) => {
                delta::encode(&self.page, size, body);
                Encoding::DELTA_BINARY_PACKED
            }
            Shape::Flag => {
                pack(&self.page, body);
                Encoding::PLAIN
            }
        };
        for bound in [self.page.iter().min(), self.page.iter().max()].into_iter().flatten() {
            self.bounds.add(bound);
        }
        self.bounds.end_page();
        let content = Content {
            rows: self.levels.rows(),
            values: self.levels.values(),
            nulls: self.levels.nulls(),
            encoding,
            text_bytes: None,
        };
        self.pages.push(body, content, zstd)?;
        self.page.clear();
        self.levels.clear();
        Ok(())
    }

    /// No row.
    pub fn clear(&mut self) {
        self.page.clear();
        self.levels.clear();
        self.bounds = Bounds::default();
        self.pages.clear();
    }

    /// The chunk, whole. Its last page was cut.
    ///
    /// # Errors
    /// Never for numbers.
    pub fn close(&mut self, zstd: &mut Zstd) -> Result<Chunk> {
        let pages = self.bounds.pages();
        let has_index = matches!(self.usage, Use::Key | Use::Count);
        let index: Option<Index> = has_index.then(|| {
            let encoded = pages.iter().map(|page| {
                let (least, greatest) = (*page)?;
                Some((self.encode(least), self.encode(greatest)))
            });
            (encoded.collect(), bounds::order(pages))
        });
        let statistics = self.statistics(pages);
        self.pages.close(None, (Some(statistics), index), zstd)
    }

    fn statistics(&self, pages: &[Option<(i64, i64)>]) -> Statistics {
        let (least, greatest) = bounds::of_all(pages).unzip();
        let nulls = Some(self.pages.nulls() as u64);
        // Signed numbers have the same order in the fields that older readers know.
        match self.shape {
            Shape::Flag => {
                let flag = |bound: Option<i64>| bound.map(|bound| bound != 0);
                ValueStatistics::new(flag(least), flag(greatest), None, nulls, false)
                    .with_backwards_compatible_min_max(true)
                    .into()
            }
            Shape::Number(Size::Long) => ValueStatistics::new(least, greatest, None, nulls, false)
                .with_backwards_compatible_min_max(true)
                .into(),
            Shape::Number(Size::Int) => {
                let int = |bound: Option<i64>| bound.map(|bound| bound as i32);
                ValueStatistics::new(int(least), int(greatest), None, nulls, false)
                    .with_backwards_compatible_min_max(true)
                    .into()
            }
        }
    }

    fn encode(&self, bound: i64) -> Vec<u8> {
        match self.shape {
            Shape::Flag => vec![bound as u8],
            Shape::Number(Size::Int) => (bound as i32).to_le_bytes().to_vec(),
            Shape::Number(Size::Long) => bound.to_le_bytes().to_vec(),
        }
    }
}

/// Flags as PLAIN has them: a bit each, the first one the lowest of its byte.
fn pack(flags: &[i64], out: &mut Vec<u8>) {
    for eight in flags.chunks(8) {
        let bits = eight.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag != 0));
        out.push(bits);
    }
}
