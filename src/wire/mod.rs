//! Bytes to frames to actions, one folder per protocol; `postgres` is the exemplar.
//!
//! In: bytes of one side, in any split. Out: frames as spans, typed views, replies.
//! Never: sockets, clocks, decisions.

pub mod postgres;
pub mod reader;

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
    /// HTTP/1.1 and HTTP/2, and MCP over them.
    Http,
    /// SSH 2.
    Ssh,
    /// The API of Kubernetes, which is HTTP with streams of its own.
    Kubernetes,
}

impl Protocol {
    /// Every protocol, in the order of the enum.
    pub const ALL: [Protocol; 4] =
        [Protocol::Postgres, Protocol::Http, Protocol::Ssh, Protocol::Kubernetes];

    /// The name used in records and metrics (OpenTelemetry `db.system.name` for databases).
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgresql",
            Protocol::Http => "http",
            Protocol::Ssh => "ssh",
            Protocol::Kubernetes => "kubernetes",
        }
    }

    /// The word for it in the configuration and in rules.
    pub const fn word(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgres",
            Protocol::Http => "http",
            Protocol::Ssh => "ssh",
            Protocol::Kubernetes => "kubernetes",
        }
    }
}
