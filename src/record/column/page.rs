//! One page of a column chunk: its header and its compressed body.
//!
//! In: an encoded page. Out: the bytes that stand in the file.
//! Never: a page without its checksum, so that a flipped bit is not read as a value.
//!
//! The `parquet` crate (60.1, `column/page.rs` `to_thrift_header`) writes no `crc`; it checks one
//! that is there, as pyarrow and DuckDB do.

use parquet::basic::{Encoding, PageType};
use parquet::errors::{ParquetError, Result};

use super::pages::Zstd;

/// A page before it is compressed.
pub struct Page<'b> {
    pub kind: PageType,
    pub encoding: Encoding,
    /// NULLs and empty lists counted too.
    pub values: usize,
    pub body: &'b [u8],
}

/// Where a page stands, and how large it is with its header.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub offset: u64,
    pub compressed: usize,
    pub uncompressed: usize,
}

impl Page<'_> {
    /// Appends the page.
    ///
    /// # Errors
    /// When it is too large for the format or cannot be compressed.
    pub fn append(&self, bytes: &mut Vec<u8>, zstd: &mut Zstd) -> Result<Place> {
        let body = zstd.compress(self.body)?;
        let offset = bytes.len();
        self.header(bytes, body)?;
        let header = bytes.len() - offset;
        bytes.extend_from_slice(body);
        Ok(Place {
            offset: offset as u64,
            compressed: header + body.len(),
            uncompressed: header + self.body.len(),
        })
    }

    /// `PageHeader` of `parquet.thrift`, in the compact protocol of Thrift: each field's number is
    /// told as the distance from the one before.
    fn header(&self, bytes: &mut Vec<u8>, body: &[u8]) -> Result<()> {
        field(bytes, self.kind as i32);
        field(bytes, number(self.body.len())?);
        field(bytes, number(body.len())?);
        // CRC-32 as gzip has it, of the page as it is stored, without its header.
        field(bytes, crc32fast::hash(body).cast_signed());
        if self.kind == PageType::DICTIONARY_PAGE {
            bytes.push(DICTIONARY_PAGE_HEADER);
            field(bytes, number(self.values)?);
            field(bytes, self.encoding as i32);
            bytes.push(NEXT_IS_FALSE); // is_sorted
        } else {
            bytes.push(DATA_PAGE_HEADER);
            field(bytes, number(self.values)?);
            field(bytes, self.encoding as i32);
            field(bytes, Encoding::RLE as i32); // of definition levels
            field(bytes, Encoding::RLE as i32); // of repetition levels
        }
        bytes.extend([STOP, STOP]);
        Ok(())
    }
}

/// The next field, an i32: zigzag, then seven bits a byte, the lowest first.
fn field(bytes: &mut Vec<u8>, value: i32) {
    bytes.push(NEXT_IS_I32);
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn number(size: usize) -> Result<i32> {
    i32::try_from(size).map_err(|_| ParquetError::General(format!("a page of {size} is too large")))
}

// Distance from the field before, then the type: 2 is false, 5 an i32, 12 a struct.
const NEXT_IS_FALSE: u8 = 0x12;
const NEXT_IS_I32: u8 = 0x15;
/// Field 5, after `crc`, which is 4.
const DATA_PAGE_HEADER: u8 = 0x1c;
/// Field 7.
const DICTIONARY_PAGE_HEADER: u8 = 0x3c;
const STOP: u8 = 0;
