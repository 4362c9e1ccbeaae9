//! Chunks with their extensions and trailers (RFC 9112 7.1), read strictly.
//!
//! In: the bytes of a body in any split. Out: slices of its content, trailers.
//! Never: an extension passed on; a line end other than CRLF; a size that is not plain.
//!
//! ```text
//!   Size --CR--> SizeLf --LF--> Data --> DataCr --> DataLf --> Size
//!    | ;  ^         |
//!    v    | CR      '-- size 0 --> Trailers --empty line--> Done
//!   Extension
//! ```

use super::body::Piece;
use super::read::{HeadReader, Kind};
use crate::hex;
use crate::limits::{HTTP_CHUNK_EXTENSION_BYTES_MAX, HTTP_EXTENSIONS_BYTES_MAX};
use crate::wire::http::check;
use crate::wire::http::head::Head;
use crate::wire::http::refused::Refused;

/// Takes chunks in.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// Bytes of extensions in this body.
    extension_bytes: usize,
}

#[derive(Debug)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64, part: Part, bytes: usize },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers(HeadReader),
    Done,
}

/// Where in an extension the reader is: `;name`, `;name=token`, `;name="quoted"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    NameStart,
    Name,
    ValueStart,
    Token,
    Quoted,
    Escape,
    Closed,
}

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked { state: State::Size { digits: 0, size: 0 }, extension_bytes: 0 }
    }
}

impl Chunked {
    /// Takes the next piece from `input`, moving its start.
    ///
    /// # Errors
    /// `ChunkHead`, `ChunkExtension`, `ChunkEnd`, `Trailer`, `LineEnd`.
    pub fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        trailers: &mut Head,
    ) -> Result<Piece<'b>, Refused> {
        loop {
            match &mut self.state {
                State::Data { left } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX);
                    let data = super::take(input, count);
                    if data.is_empty() {
                        return Ok(Piece::Need);
                    }
                    *left -= data.len() as u64;
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece::Data(data));
                }
                State::Trailers(reader) => {
                    if !reader.next(input, trailers, Kind::Trailers)? {
                        return Ok(Piece::Need);
                    }
                    self.state = State::Done;
                }
                State::Done => return Ok(Piece::End),
                _ => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(Piece::Need) };
                    self.byte(byte)?;
                    *input = rest;
                }
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Refused> {
        self.state = match (&self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => State::SizeLf { size: *size },
            (State::Size { digits: 1.., size }, b';') => {
                State::Extension { size: *size, part: Part::NameStart, bytes: 1 }
            }
            (State::Size { digits, size }, digit) => {
                let value = hex::digit(digit).ok_or(Refused::ChunkHead)?;
                if *digits == 16 || *size >= 1 << 59 {
                    return Err(Refused::ChunkHead);
                }
                State::Size { digits: digits + 1, size: *size << 4 | u64::from(value) }
            }
            (
                State::Extension { size, part: Part::Name | Part::Token | Part::Closed, .. },
                b'\r',
            ) => State::SizeLf { size: *size },
            (State::Extension { size, part, bytes }, byte) => {
                self.extension_bytes += 1;
                let is_long = *bytes >= HTTP_CHUNK_EXTENSION_BYTES_MAX;
                if is_long || self.extension_bytes > HTTP_EXTENSIONS_BYTES_MAX {
                    return Err(Refused::ChunkExtension);
                }
                let part = part.step(byte).ok_or(Refused::ChunkExtension)?;
                State::Extension { size: *size, part, bytes: bytes + 1 }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::Trailers(HeadReader::default()),
            (State::SizeLf { size }, b'\n') => State::Data { left: *size },
            (State::SizeLf { .. }, _) => return Err(Refused::ChunkHead),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
            _ => return Err(Refused::ChunkEnd),
        };
        Ok(())
    }
}

impl Part {
    /// The part behind `byte`; none if it may not stand here. No blanks: RFC 9112 7.1.1 lets them
    /// be for old senders, and readers differ on them.
    fn step(self, byte: u8) -> Option<Part> {
        let is_token = check::is_token(&[byte]);
        match (self, byte) {
            (Part::NameStart | Part::Name, _) if is_token => Some(Part::Name),
            (Part::Name, b'=') => Some(Part::ValueStart),
            (Part::Name | Part::Token | Part::Closed, b';') => Some(Part::NameStart),
            (Part::ValueStart, b'"') => Some(Part::Quoted),
            (Part::ValueStart | Part::Token, _) if is_token => Some(Part::Token),
            (Part::Quoted, b'"') => Some(Part::Closed),
            (Part::Quoted, b'\\') => Some(Part::Escape),
            (Part::Quoted, b'\t' | b' '..=b'~') => Some(Part::Quoted),
            (Part::Escape, b'\t' | b' '..=b'~') => Some(Part::Quoted),
            _ => None,
        }
    }
}
