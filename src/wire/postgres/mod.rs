//! PostgreSQL frontend/backend protocol 3 (postgresql.org/docs/current/protocol.html).
//!
//! In: bytes of either side in any split. Out: frames, typed views, replies.
//! Never: sockets, clocks, decisions; a panic or unbounded memory on peer bytes.
//!
//! ```text
//!   frame     where a message starts and ends, which are held whole and which are streamed
//!   message   typed views over one whole message, of both sides
//!   reply     how weir speaks: errors, notices, authentication, refusals
//! ```
//!
//! The first packets of a client have no type byte; see [`message::FirstPacket`]:
//!
//! ```text
//!   client                          weir
//!     | SSLRequest / GSSENCRequest    |   at most once each, any order
//!     |<-------------- 'S' or 'N'     |   'S': nothing in clear may follow
//!     | StartupMessage 3.x            |   or CancelRequest, and close
//!     |<-- Negotiate, AuthSASL, ...   |
//!     | SASL messages ('p')           |
//!     |                               |---- dial, SSLRequest, StartupMessage, login --> target
//!     |<-- AuthOk, ParameterStatus*, BackendKeyData, ReadyForQuery ------------------- target
//! ```

pub mod frame;
pub mod message;
pub mod reply;

#[cfg(test)]
mod tests;
