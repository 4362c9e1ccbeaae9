//! Messages between the shards and the control thread. Bounded; a shard never waits for one.

use std::sync::Arc;

use crate::config::settings::Settings;
use crate::decide::approval::AskSummary;
pub use crate::forward::dial::Endpoint;
use crate::identify::jwk::Published;
use crate::mask::catalog::Catalog;
use crate::record::SessionId;
use crate::wire::postgres::login::KnownMinor;

/// What a shard builds its `session::Snapshot` from. Plain data, so it may cross threads.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Per target.
    pub catalogs: Vec<Option<Arc<Catalog>>>,
    /// Per target.
    pub addresses: Vec<Vec<Endpoint>>,
    /// Per issuer, in the order of `settings.issuers`.
    pub keys: Vec<Published>,
    /// Per target.
    pub minors: Vec<Arc<KnownMinor>>,
    /// Makes salts for users that do not exist; made once per data directory.
    pub mock_seed: [u8; 32],
}

/// The connection of a client that sent a CancelRequest. It ends when nobody holds it any more:
/// the target has taken the request by then, so that it cannot hit what the client does next.
pub type Canceller = Arc<std::net::TcpStream>;

/// One approver's word on a held command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// Groups of the approver.
    pub groups: Vec<String>,
    /// Approve or deny.
    pub approve: bool,
    /// Why.
    pub reason: String,
}

/// What became of a vote: a sentence for the approver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteReply {
    /// It counts; this many more approvals are needed (0: the command is released).
    Counted {
        /// Approvals still missing.
        missing: u32,
    },
    /// It ends the hold with a denial.
    Denied,
    /// It does not count, with the reason.
    Refused(String),
    /// No such command waits.
    Unknown,
}

/// A session as `weir sessions` and the console show it while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Id.
    pub session_id: SessionId,
    /// Identity, empty before login.
    pub user: String,
    /// Target name.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// Client address.
    pub client_addr: String,
    /// `login`, `idle`, `active`, `held`, `closing`.
    pub state: &'static str,
    /// Start, UTC microseconds.
    pub started_us: i64,
    /// Commands so far.
    pub commands: u64,
}

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
    /// Another shard has more clients than this one and gives one away.
    Adopt(std::net::TcpStream),
    /// Close the open segment so that the sealer can make Parquet of it.
    Rotate,
    /// No new logins; end sessions when they are idle, all at the deadline (monotonic us).
    Drain {
        /// When to end those that are not idle.
        deadline_us: u64,
    },
}

/// To the control thread.
#[derive(Debug)]
pub enum ToControl {
    /// A command waits for approval at this shard.
    AskOpened {
        /// Shard index.
        shard: usize,
        /// What it is.
        ask: AskSummary,
    },
    /// It no longer waits.
    AskClosed {
        /// Id of the approval.
        id: SessionId,
        /// `approved`, `denied`, `expired`, `canceled`.
        event: &'static str,
    },
    /// A session met a relation that the catalog of this target does not have, or changed one.
    RefreshCatalog {
        /// Target index.
        target: usize,
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
