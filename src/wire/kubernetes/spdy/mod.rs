//! SPDY/3.1 as Kubernetes speaks it: exec of older clients, and port-forward of all.
//!
//! In: bytes of one direction, in any split. Out: frames; header blocks inflated, and made anew.
//! Never: a frame dropped from the middle of a direction without its headers deflated anew: there
//! is one zlib stream per direction for the whole connection, so a block depends on those before.
//!
//! ```text
//!    0                   1                   2                   3
//!   +-+-------------------------------+-------------------------------+
//!   |1|          version (3)          |             type              |  control
//!   |0|                          stream (31)                          |  data
//!   +---------------+-----------------------------------------------+-+
//!   |   flags (8)   |                  length (24)                    |
//!   +---------------+-------------------------------------------------+
//! ```
//!
//! The draft: SPDY/3.1. The peer: github.com/moby/spdystream.

mod dictionary;
pub mod frame;
pub mod headers;

pub use frame::{Control, Framer, Refused, Step};
pub use headers::{Deflater, Inflater};
