//! Bytes to frames to actions, one folder per protocol; `postgres` is the exemplar.
//!
//! In: bytes of one side, in any split. Out: frames as spans, typed views, replies.
//! Never: sockets, clocks, decisions.

pub mod cells;
pub mod http;
pub mod kubernetes;
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

/// One connection of a session: its client's, or one of those that it has to targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The client's.
    Client,
    /// One to a target.
    Target(LegId),
}

impl End {
    /// Whose connection it is.
    pub const fn side(self) -> Side {
        match self {
            End::Client => Side::Client,
            End::Target(_) => Side::Server,
        }
    }
}

impl From<Side> for End {
    /// The end of a session that has one connection to a target.
    fn from(side: Side) -> End {
        match side {
            Side::Client => End::Client,
            Side::Server => End::Target(LegId::FIRST),
        }
    }
}

/// Names one of a session's connections to targets. The session gives the numbers out, and gives
/// none out again before its shard has said that the connection of that number is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LegId(u16);

impl LegId {
    /// The only one of a session that has one.
    pub const FIRST: LegId = LegId(0);
    /// One more than the largest number: it travels with each operation of the ring.
    pub const COUNT: u16 = 4095;

    /// The leg of this number.
    ///
    /// # Panics
    /// If there is none, which is our mistake.
    pub const fn new(number: u16) -> LegId {
        assert!(number < LegId::COUNT, "a leg's number fits into an operation");
        LegId(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
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
