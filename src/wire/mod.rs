//! Bytes to frames to actions, one folder per protocol; `postgres` is the exemplar.
//!
//! In: bytes of one side, in any split. Out: frames as spans, typed views, replies.
//! Never: sockets, clocks, decisions.

pub mod postgres;
pub mod reader;
pub mod ssh;

/// Which peer of a session: the one that connected to weir, or the target weir connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer that connected to weir.
    Client,
    /// The target.
    Server,
}

impl Side {
    /// The other peer.
    pub const fn peer(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// The one list of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// PostgreSQL frontend/backend protocol 3.
    Postgres,
}

impl Protocol {
    /// The name used in records and metrics (OpenTelemetry `db.system.name`).
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgresql",
        }
    }
}
