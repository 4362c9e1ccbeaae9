//! Where a body ends: one function for both directions.
//!
//! In: a head, then the bytes behind it in any split. Out: slices of the content.
//! Never: two lengths for one body.

use super::chunked::Chunked;
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::refused::Refused;

/// How the end of a body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, up to the empty one.
    Chunked,
    /// Everything until the connection ends; answers only.
    UntilClose,
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A request's.
    Request,
    /// An answer's.
    Answer {
        /// The request was HEAD.
        to_head: bool,
    },
}

impl Framing {
    /// How the body behind `head` ends.
    ///
    /// # Errors
    /// `LengthAndCoding`, `ContentLength`, `ContentLengthRepeated`, `TransferCoding`.
    pub fn of(head: &Head, role: Role) -> Result<Framing, Refused> {
        let mut codings = head.values(Name::TransferEncoding);
        let coding = codings.next();
        let length = head.content_length()?;
        if let Some(coding) = coding {
            if length.is_some() {
                return Err(Refused::LengthAndCoding);
            }
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            // RFC 9112 6.1: in HTTP/1.0 the field is a sign of a message that somebody mangled.
            if !is_chunked || head.version() != Version::Http11 {
                return Err(Refused::TransferCoding);
            }
        }
        let is_bare = match (role, head.status()) {
            (Role::Answer { to_head: true }, _) | (Role::Answer { .. }, Some(204 | 304)) => true,
            (Role::Answer { .. }, Some(status)) => status < 200,
            _ => false,
        };
        Ok(match (coding, length, role) {
            _ if is_bare => Framing::None,
            (Some(_), ..) => Framing::Chunked,
            (None, Some(0), _) => Framing::Length(0),
            (None, Some(length), _) => Framing::Length(length),
            (None, None, Role::Request) => Framing::None,
            (None, None, Role::Answer { .. }) => Framing::UntilClose,
        })
    }

    /// The number of bytes, where the head says it.
    pub const fn length(self) -> Option<u64> {
        match self {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }
}

/// One step of taking in a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// Everything was taken in; more bytes are needed.
    Need,
    /// Content.
    Data(&'b [u8]),
    /// The body is over; bytes behind it are another message's. Trailers stand in the head that was
    /// given.
    End,
}

/// Takes a body in.
#[derive(Debug)]
pub enum Body {
    /// So many bytes are missing.
    Left(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Until the connection ends.
    UntilClose,
}

impl Body {
    /// For a body that ends so.
    pub fn new(framing: Framing) -> Body {
        match framing {
            Framing::None => Body::Left(0),
            Framing::Length(length) => Body::Left(length),
            Framing::Chunked => Body::Chunked(Chunked::default()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Takes the next piece from `input`, moving its start. After [`Piece::End`] it must not be
    /// called again.
    ///
    /// # Errors
    /// What [`Chunked::next`] says.
    pub fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        trailers: &mut Head,
    ) -> Result<Piece<'b>, Refused> {
        match self {
            Body::Left(0) => Ok(Piece::End),
            Body::Left(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = super::take(input, count);
                *left -= data.len() as u64;
                Ok(if data.is_empty() { Piece::Need } else { Piece::Data(data) })
            }
            Body::Chunked(chunked) => chunked.next(input, trailers),
            Body::UntilClose => {
                let data = super::take(input, usize::MAX);
                Ok(if data.is_empty() { Piece::Need } else { Piece::Data(data) })
            }
        }
    }

    /// The peer closed its side before [`Piece::End`].
    ///
    /// # Errors
    /// `Truncated`, unless this is how the body ends.
    pub fn end(&self) -> Result<(), Refused> {
        match self {
            Body::Left(0) | Body::UntilClose => Ok(()),
            Body::Left(_) | Body::Chunked(_) => Err(Refused::Truncated),
        }
    }
}
