//! Rows into the column chunks of a Parquet row group.
//!
//! In: the values of rows. Out: encoded, compressed pages; what the footer says of them.
//! Never: a row whose values are cut between two pages; a value that is not read back as it came.
//!
//! Footer and page index are written by the `parquet` crate; what stands before them is encoded
//! here, since most values of a row are those of the row before (see `texts`), with the checksums
//! of pages that the crate leaves out (see `page`).
//!
//! ```text
//! values -> levels, texts | numbers -> hybrid, delta -> pages, page -> parquet::file::writer
//!                            bounds ---------------------^
//! ```

mod bounds;
mod delta;
mod hybrid;
mod levels;
mod numbers;
mod page;
mod pages;
mod texts;

use std::collections::HashMap;
use std::io::Write;
use std::num::NonZeroU32;

use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::Result;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, TypePtr};

use super::SessionId;
use super::rows::uuid_text;
use super::schema::{Column, Sink, Table, Type, sha256};
use hybrid::Runs;
use levels::Levels;
use numbers::Numbers;
use texts::Texts;

pub use pages::Zstd;

/// Rows of a row group: engines that skip by row group alone still skip well.
const ROW_GROUP_ROWS: usize = 131_072;
/// Bytes of a row group, before compression: it is in memory until it is written.
const ROW_GROUP_BYTES: usize = 128 << 20;
/// Rows of a page: engines that skip by page skip well, and open few rows too many.
const PAGE_ROWS: usize = 20_000;
/// Bytes of a page of texts, before compression, or of the places of its values in memory. The last
/// row may exceed it.
const PAGE_BYTES: usize = 1 << 20;
/// Bytes of a dictionary. One that is larger is not worth its look-ups, for weir or a reader.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Bytes of texts whose digests are remembered, and of their entries.
const DIGESTED_BYTES: usize = 1 << 20;

/// The column chunks of a row group being filled, row by row and in the order of the schema; reused
/// from one to the next.
pub struct RowGroup {
    schema: TypePtr,
    chunks: Vec<Chunk>,
    /// Column of the next value.
    next: usize,
    rows: usize,
    /// Rows since all pages were cut.
    page_rows: usize,
    /// Bytes of texts and blobs.
    bytes: usize,
    /// A chunk has a page that is full.
    is_due: bool,
    /// Context of the row.
    context: Option<NonZeroU32>,
    /// The row before has the same.
    is_same: bool,
    digests: Digests,
    /// A page before it is compressed.
    body: Vec<u8>,
}

/// Digests of the texts seen last. Programs run the same few texts again and again, and to find a
/// text costs a tenth of what it costs to digest it.
#[derive(Default)]
struct Digests {
    known: HashMap<Box<[u8]>, [u8; 32], ahash::RandomState>,
    bytes: usize,
}

impl Digests {
    fn of(&mut self, text: &[u8]) -> [u8; 32] {
        if let Some(digest) = self.known.get(text) {
            return *digest;
        }
        let digest = sha256(text);
        if self.bytes >= DIGESTED_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        if text.len() <= DIGESTED_BYTES / 64 {
            self.known.insert(text.into(), digest);
            self.bytes += text.len() + size_of::<(Box<[u8]>, [u8; 32])>();
        }
        digest
    }
}

enum Chunk {
    Texts(Texts),
    Numbers(Numbers),
}

impl Chunk {
    fn new(column: &Column, leaf: ColumnDescPtr) -> Chunk {
        let levels = match (column.kind, column.nullable) {
            (Type::Texts, nullable) => Levels::List {
                repetition: Runs::default(),
                definition: Runs::default(),
                value_level: if nullable { 2 } else { 1 },
            },
            (_, true) => Levels::Nullable(Runs::default()),
            (_, false) => Levels::Required { rows: 0 },
        };
        match column.kind {
            Type::Text | Type::Bytes | Type::Texts => {
                Chunk::Texts(Texts::new(column.usage, leaf, levels))
            }
            Type::Int | Type::Long | Type::Time | Type::Flag => {
                Chunk::Numbers(Numbers::new(column.usage, leaf, levels))
            }
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Chunk::Texts(texts) => texts.is_full(),
            Chunk::Numbers(_) => false,
        }
    }

    fn cut(&mut self, body: &mut Vec<u8>, zstd: &mut Zstd) -> Result<()> {
        match self {
            Chunk::Texts(texts) => texts.cut(body, zstd),
            Chunk::Numbers(numbers) => numbers.cut(body, zstd),
        }
    }

    fn clear(&mut self) {
        match self {
            Chunk::Texts(texts) => texts.clear(),
            Chunk::Numbers(numbers) => numbers.clear(),
        }
    }

    fn close(&mut self, zstd: &mut Zstd) -> Result<pages::Chunk> {
        match self {
            Chunk::Texts(texts) => texts.close(zstd),
            Chunk::Numbers(numbers) => numbers.close(zstd),
        }
    }
}

impl RowGroup {
    /// An empty row group of a table.
    ///
    /// # Errors
    /// When Parquet has no type for one of its columns.
    pub fn new(table: Table) -> Result<RowGroup> {
        let schema = ArrowSchemaConverter::new().convert(&table.schema())?.root_schema_ptr();
        let leaves = SchemaDescriptor::new(schema.clone());
        let of_leaf = |(at, column): (usize, &Column)| Chunk::new(column, leaves.column(at));
        Ok(RowGroup {
            chunks: table.columns().enumerate().map(of_leaf).collect(),
            schema,
            next: 0,
            rows: 0,
            page_rows: 0,
            bytes: 0,
            is_due: false,
            context: None,
            is_same: false,
            digests: Digests::default(),
            body: Vec::new(),
        })
    }

    /// The Parquet schema of the file.
    pub fn schema(&self) -> TypePtr {
        TypePtr::clone(&self.schema)
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Ends pages that are full; asked for between two rows. Tells whether the row group is full.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn cut(&mut self, zstd: &mut Zstd) -> Result<bool> {
        if self.page_rows == PAGE_ROWS {
            self.cut_all(zstd)?;
        } else if self.is_due {
            self.is_due = false;
            for chunk in self.chunks.iter_mut().filter(|chunk| chunk.is_full()) {
                chunk.cut(&mut self.body, zstd)?;
            }
        }
        Ok(self.rows == ROW_GROUP_ROWS || self.bytes >= ROW_GROUP_BYTES)
    }

    fn cut_all(&mut self, zstd: &mut Zstd) -> Result<()> {
        self.page_rows = 0;
        self.is_due = false;
        self.chunks.iter_mut().try_for_each(|chunk| chunk.cut(&mut self.body, zstd))
    }

    /// Writes the row group; it is empty then.
    ///
    /// # Errors
    /// When a page cannot be compressed or the file cannot be written.
    pub fn write<W: Write + Send>(
        &mut self,
        file: &mut SerializedFileWriter<W>,
        zstd: &mut Zstd,
    ) -> Result<()> {
        self.cut_all(zstd)?;
        let mut group = file.next_row_group()?;
        for chunk in &mut self.chunks {
            let (bytes, close) = chunk.close(zstd)?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        self.clear();
        Ok(())
    }

    /// No row. For the next file after one that failed.
    pub fn clear(&mut self) {
        self.chunks.iter_mut().for_each(Chunk::clear);
        (self.next, self.rows, self.page_rows, self.bytes) = (0, 0, 0, 0);
        self.is_due = false;
        self.context = None;
        // One large text is no reason to keep so much.
        self.body.clear();
        self.body.shrink_to(PAGE_BYTES);
    }

    fn take(&mut self) -> &mut Chunk {
        let at = self.next;
        self.next += 1;
        &mut self.chunks[at]
    }

    /// Takes the value of the row before, if it is known to be that of this one.
    fn repeat(&mut self) -> bool {
        if !self.is_same {
            return false;
        }
        let Chunk::Texts(texts) = &mut self.chunks[self.next] else { unreachable!("{ORDER}") };
        let is_taken = texts.repeat().is_some();
        self.next += usize::from(is_taken);
        is_taken
    }

    fn put_text(&mut self, value: Option<&[u8]>) {
        self.bytes += value.map_or(0, <[u8]>::len);
        let Chunk::Texts(texts) = self.take() else { unreachable!("{ORDER}") };
        if let Some(value) = value {
            let is_full = texts.put(value);
            self.is_due |= is_full;
        } else {
            texts.null();
        }
    }

    fn put_number(&mut self, value: Option<i64>) {
        match (self.take(), value) {
            (Chunk::Numbers(numbers), Some(value)) => numbers.put(value),
            (Chunk::Numbers(numbers), None) => numbers.null(),
            (Chunk::Texts(_), _) => unreachable!("{ORDER}"),
        }
    }
}

const ORDER: &str = "the row does not follow its table's columns";

impl Sink for RowGroup {
    fn begin_row(&mut self, context: Option<NonZeroU32>) {
        self.is_same = context.is_some() && context == self.context;
        self.context = context;
    }

    fn session_id(&mut self, id: &SessionId) {
        if !self.repeat() {
            self.text(uuid_text(id, &mut [0; 36]));
        }
    }

    fn context_text(&mut self, value: Option<&str>) {
        if !self.repeat() {
            self.put_text(value.map(str::as_bytes));
        }
    }

    fn digest(&mut self, text: &[u8]) {
        let digest = self.digests.of(text);
        self.blob(Some(&digest));
    }

    fn text(&mut self, value: &str) {
        self.put_text(Some(value.as_bytes()));
    }

    fn blob(&mut self, value: Option<&[u8]>) {
        self.put_text(value);
    }

    fn int(&mut self, value: i32) {
        self.put_number(Some(i64::from(value)));
    }

    fn long(&mut self, value: u64) {
        self.put_number(Some(value.min(i64::MAX as u64) as i64));
    }

    fn time(&mut self, value: Option<i64>) {
        self.put_number(value);
    }

    fn flag(&mut self, value: bool) {
        self.put_number(Some(i64::from(value)));
    }

    fn texts<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        let Chunk::Texts(texts) = self.take() else { unreachable!("{ORDER}") };
        let (bytes, is_full) = texts.list(values);
        self.is_due |= is_full;
        self.bytes += bytes;
    }

    fn nulls(&mut self, count: usize) {
        for _ in 0..count {
            match self.take() {
                Chunk::Texts(texts) => texts.null(),
                Chunk::Numbers(numbers) => numbers.null(),
            }
        }
    }

    fn end_row(&mut self) {
        assert_eq!(self.next, self.chunks.len(), "a row has a value for every column");
        self.next = 0;
        self.rows += 1;
        self.page_rows += 1;
    }
}

#[cfg(test)]
mod tests;
