//! WebSocket (RFC 6455): frames of both roles, and the handshake.
//!
//! In: bytes behind a 101, in any split. Out: pieces of messages, control frames, bytes to send.
//! Never: a frame passed on as it came: every one is read, and written anew.
//!
//! ```text
//!   frame       reads frames: masks, fragments, limits, UTF-8
//!   handshake   what a request for a WebSocket has to say, and its answer
//!   utf8        UTF-8 across the pieces of a text
//! ```

pub mod frame;
pub mod handshake;
mod utf8;

#[cfg(test)]
mod tests;
