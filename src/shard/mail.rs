//! Messages between the shards and the control thread. Bounded; a shard never waits for one.

use std::sync::Arc;

pub use super::strain::Strain;
use crate::decide::approval::{AskSummary, Window};
use crate::fault::Target;
pub use crate::forward::dial::Endpoint;
use crate::record::SessionId;
use crate::session::{SessionSummary, SnapshotSource, Vote, VoteReply};

/// The connection of a client that sent a CancelRequest. It ends when nobody holds it any more:
/// the target has taken the request by then, so that it cannot hit what the client does next.
pub type Canceller = Arc<std::net::TcpStream>;

/// To a shard.
#[derive(Debug)]
pub enum ToShard {
    /// Use this from now on.
    Snapshot(Arc<SnapshotSource>),
    /// Use these certificates for new connections. Sent before the snapshot they belong to.
    Tls(Arc<super::tls::TlsConfigs>),
    /// Deliver a vote to the session that waits for it, answer on the channel.
    Vote(SessionId, Vote, tokio::sync::oneshot::Sender<VoteReply>),
    /// End a session; answers whether it was found here.
    Kill(SessionId, tokio::sync::oneshot::Sender<bool>),
    /// A CancelRequest arrived at another shard; answers whether its session is here.
    Cancel(Vec<u8>, Option<Canceller>, tokio::sync::oneshot::Sender<bool>),
    /// No shard has the session of this CancelRequest: hand it to the targets.
    CancelAbroad(Vec<u8>, Option<Canceller>),
    /// List live sessions.
    Sessions(tokio::sync::oneshot::Sender<Vec<SessionSummary>>),
    /// Another shard has more clients and gives one away; the index is its listener's.
    Adopt(usize, std::net::TcpStream),
    /// Close the open segment so that the sealer can make Parquet of it.
    Rotate,
    /// Write this into the journal.
    Note(Box<Note>),
    /// No new logins; end sessions when they are idle, all at the deadline (monotonic us).
    Drain {
        /// When to end those that are not idle.
        deadline_us: u64,
    },
}

/// Something about the gateway that belongs into the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its stable name.
    pub event: &'static str,
    /// `info`, `warn` or `error`.
    pub severity: &'static str,
    /// A sentence.
    pub message: String,
    /// Facts as JSON.
    pub attrs: String,
}

/// To the control thread.
#[derive(Debug)]
pub enum ToControl {
    /// A command waits for approval at this shard.
    AskOpened {
        /// Shard index.
        shard: usize,
        /// What it is.
        ask: Box<AskSummary>,
    },
    /// It no longer waits.
    AskClosed {
        /// Id of the approval.
        id: SessionId,
        /// `approved`, `denied`, `expired`, `canceled`, `abandoned`, `superseded`.
        event: &'static str,
    },
    /// People opened a window.
    Window(Box<Window>),
    /// A session met a relation that the catalog of this target does not have, or changed one.
    RefreshCatalog {
        /// Target index.
        target: usize,
    },
    /// A target cannot be connected to for this reason, or can be.
    Reach {
        /// Target index.
        target: usize,
        /// Why it cannot.
        failure: Option<Target>,
    },
    /// The shard had too little of something.
    Strained {
        /// Of what.
        strain: Strain,
        /// How often since it said so before.
        times: u64,
    },
    /// A token is signed by a key that the published ones of this issuer do not hold.
    RefreshKeys {
        /// The issuer's name.
        issuer: String,
    },
    /// A CancelRequest for a key this shard does not know: ask the others.
    Cancel {
        /// Shard index of the sender.
        shard: usize,
        /// Process id and secret as on the wire.
        key: Vec<u8>,
        /// Who waits for it.
        client: Option<Canceller>,
    },
    /// The shard is drained; its journal is closed.
    Stopped {
        /// Shard index.
        shard: usize,
    },
}
