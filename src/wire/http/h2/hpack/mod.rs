//! HPACK (RFC 7541): how HTTP/2 writes fields.
//!
//! In: the fragments of a field block in any split; fields to be sent. Out: one flat arena per
//! block; the bytes of a block. Never: more memory than the limits of [`Fields`], one table of 4
//! KiB each way and what a fragment leaves of a field; a field that was decoded from a block that
//! was broken.
//!
//! ```text
//!   fixed     the 61 fields that everybody knows (appendix A)
//!   table     those that the two ends learned, oldest first out (2.3.2)
//!   huffman   the code of strings (5.2, appendix B)
//!   fields    what a block said: names and values in one arena
//!   decoder   blocks to fields; the table must follow a block whatever becomes of its message
//!   encoder   fields to blocks
//! ```

mod decoder;
mod encoder;
mod fields;
mod fixed;
mod huffman;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::{Encoder, Keep};
pub use fields::{Fields, Line};

/// Why a block cannot be decoded. The table is lost with it, so that each of them ends the
/// connection (RFC 9113 4.3: COMPRESSION_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A number does not end or is too large (5.1).
    Integer,
    /// No table has this entry, or it is entry 0 (6.1).
    Index,
    /// Bits that are no code, a code of EOS, or padding that is not the start of EOS (5.2).
    Huffman,
    /// A table of more than 4 KiB, or a third change of it (4.2, 6.3).
    TableSize,
    /// A change of the table behind the block's first field (4.2).
    LateTableSize,
    /// The block ends within a field.
    Truncated,
}
