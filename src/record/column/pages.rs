//! The pages of a column chunk, and what the footer says of them.
//!
//! In: encoded pages. Out: the bytes of the chunk; its metadata and page index.
//! Never: a page that another codec or another version of the page header would be needed for.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::PAGE_BYTES;
use super::bounds::Range;
use super::page::{Page, Place};

/// Level of zstd: the fastest that also codes entropy.
const LEVEL: i32 = 1;

/// Compresses pages, one after the other, in one context.
pub struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    buffer: Vec<u8>,
}

impl Zstd {
    /// A context.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> std::io::Result<Zstd> {
        Ok(Zstd { compressor: zstd::bulk::Compressor::new(LEVEL)?, buffer: Vec::new() })
    }

    /// Compresses one page.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn compress(&mut self, bytes: &[u8]) -> Result<&[u8]> {
        self.buffer.clear();
        self.buffer.shrink_to(PAGE_BYTES);
        self.buffer.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// What a data page holds.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Rows that begin in it.
    pub rows: usize,
    /// Values, NULLs and empty lists counted too.
    pub values: usize,
    /// Values that are not there.
    pub nulls: usize,
    /// How those that are there are encoded.
    pub encoding: Encoding,
    /// Bytes of texts and blobs, before any encoding.
    pub text_bytes: Option<i64>,
}

/// Bounds as the page index has them, and how they go from page to page.
pub type Index = (Vec<Option<Range<Vec<u8>>>>, BoundaryOrder);

/// A column chunk, whole: its bytes and what the file says of it.
pub type Chunk = (Bytes, ColumnCloseResult);

/// Values that data pages refer to by number, PLAIN.
pub struct Dictionary<'d> {
    /// The values.
    pub bytes: &'d [u8],
    /// How many.
    pub values: usize,
}

/// The data pages of a chunk that is being written.
pub struct Pages {
    leaf: ColumnDescPtr,
    /// Their headers and bodies; offsets count from the first.
    bytes: Vec<u8>,
    written: Vec<(Place, Content)>,
}

impl Pages {
    /// No page of this column.
    pub fn new(leaf: ColumnDescPtr) -> Pages {
        Pages { leaf, bytes: Vec::new(), written: Vec::new() }
    }

    /// Appends a data page.
    ///
    /// # Errors
    /// When it is too large for the format or cannot be compressed.
    pub fn push(&mut self, body: &[u8], content: Content, zstd: &mut Zstd) -> Result<()> {
        let Content { encoding, values, .. } = content;
        let page = Page { kind: PageType::DATA_PAGE, encoding, values, body };
        self.written.push((page.append(&mut self.bytes, zstd)?, content));
        Ok(())
    }

    /// Values of all pages that are not there.
    pub fn nulls(&self) -> usize {
        self.written.iter().map(|(_, content)| content.nulls).sum()
    }

    /// No page.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written.clear();
    }

    /// The chunk; no page is left.
    ///
    /// # Errors
    /// When the dictionary cannot be compressed.
    pub fn close(
        &mut self,
        dictionary: Option<Dictionary<'_>>,
        (statistics, index): (Option<Statistics>, Option<Index>),
        zstd: &mut Zstd,
    ) -> Result<Chunk> {
        let data = std::mem::take(&mut self.bytes);
        let written = std::mem::take(&mut self.written);
        let (bytes, first) = match dictionary {
            None => (data, None),
            Some(dictionary) => {
                let Dictionary { bytes: body, values } = dictionary;
                let (kind, encoding) = (PageType::DICTIONARY_PAGE, Encoding::PLAIN);
                let mut bytes = Vec::with_capacity(data.len() + body.len());
                let place = Page { kind, encoding, values, body }.append(&mut bytes, zstd)?;
                bytes.extend_from_slice(&data);
                (bytes, Some(place))
            }
        };
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: written.iter().map(|(_, content)| content.rows as u64).sum(),
            metadata: metadata(&self.leaf, first.as_ref(), &written, statistics)?,
            bloom_filter: None,
            column_index: index.map(|index| self.column_index(index, &written)).transpose()?,
            offset_index: Some(offset_index(first.as_ref(), &written)),
        };
        Ok((bytes.into(), close))
    }

    fn column_index(
        &self,
        (bounds, order): Index,
        written: &[(Place, Content)],
    ) -> Result<ColumnIndexMetaData> {
        let mut builder = ColumnIndexBuilder::new(self.leaf.physical_type());
        builder.set_boundary_order(order);
        for (range, (_, content)) in bounds.into_iter().zip(written) {
            let is_null = range.is_none();
            let (least, greatest) = range.unwrap_or_default();
            builder.append(is_null, least, greatest, content.nulls as i64, None);
        }
        builder.build()
    }
}

fn metadata(
    leaf: &ColumnDescPtr,
    dictionary: Option<&Place>,
    written: &[(Place, Content)],
    statistics: Option<Statistics>,
) -> Result<ColumnChunkMetaData> {
    let places = || dictionary.into_iter().chain(written.iter().map(|(place, _)| place));
    let data_at = dictionary.map_or(0, |place| place.compressed as i64);
    let text_bytes: Option<i64> = written.iter().map(|(_, content)| content.text_bytes).sum();
    let mut builder = ColumnChunkMetaData::builder(leaf.clone())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        .set_encodings(encodings(dictionary, written))
        .set_page_encoding_stats(encoding_stats(dictionary, written))
        .set_total_compressed_size(places().map(|place| place.compressed as i64).sum())
        .set_total_uncompressed_size(places().map(|place| place.uncompressed as i64).sum())
        .set_num_values(written.iter().map(|(_, content)| content.values as i64).sum())
        .set_data_page_offset(data_at)
        .set_dictionary_page_offset(dictionary.map(|_| 0));
    if let Some(statistics) = statistics {
        builder =
            builder.set_statistics(statistics).set_unencoded_byte_array_data_bytes(text_bytes);
    }
    builder.build()
}

fn encodings(dictionary: Option<&Place>, written: &[(Place, Content)]) -> Vec<Encoding> {
    let mut encodings = vec![Encoding::RLE];
    encodings.extend(dictionary.map(|_| Encoding::PLAIN));
    encodings.extend(written.iter().map(|(_, content)| content.encoding));
    encodings
}

/// Pages by kind, in the order of the file.
fn encoding_stats(
    dictionary: Option<&Place>,
    written: &[(Place, Content)],
) -> Vec<PageEncodingStats> {
    let of = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
    let first = dictionary.map(|_| of(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
    let same = written.chunk_by(|(_, before), (_, after)| before.encoding == after.encoding);
    let data = same.map(|pages| of(PageType::DATA_PAGE, pages[0].1.encoding, pages.len() as i32));
    first.into_iter().chain(data).collect()
}

fn offset_index(dictionary: Option<&Place>, written: &[(Place, Content)]) -> OffsetIndexMetaData {
    let data_at = dictionary.map_or(0, |place| place.compressed as u64);
    let mut builder = OffsetIndexBuilder::new();
    for (place, content) in written {
        builder.append_row_count(content.rows as i64);
        builder.append_offset_and_size((data_at + place.offset) as i64, place.compressed as i32);
        builder.append_unencoded_byte_array_data_bytes(content.text_bytes);
    }
    builder.build()
}
