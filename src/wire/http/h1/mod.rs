//! HTTP/1.1 (RFC 9112): heads, bodies and chunks, read strictly and written anew.
//!
//! In: bytes of either side in any split. Out: heads, slices of bodies, trailers; bytes to send.
//! Never: framing that a peer wrote, passed on.
//!
//! ```text
//!   read      where a head ends, and what it says
//!   body      where a body ends: one function for both directions
//!   chunked   chunks with their extensions and trailers
//!   write     heads and chunks as weir writes them
//! ```

pub mod body;
pub mod chunked;
pub mod read;
pub mod write;

pub use body::{Body, Framing, Piece, Role};
pub use read::HeadReader;

/// Splits off at most `count` bytes from the front.
fn take<'b>(input: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (head, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    head
}

#[cfg(test)]
mod tests;
