//! One session: the stages composed, without a socket or a clock.
//!
//! `machine` is pure: bytes, time and answers in; outputs out. `drive` (a shell) moves the bytes.

mod admit;
mod answer;
mod capture;
mod copy_in;
mod core;
pub mod drive;
mod hold;
mod login;
pub mod machine;
mod masked;
mod meter;
mod ready;
mod reported;
mod request;
mod room;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::settings::Settings;
use crate::decide::approval::AskSummary;
use crate::decide::{Classifier, Rules};
use crate::fault::{self, Fault};
use crate::forward::dial::{Dial, Endpoint};
use crate::identify::jwk::Published;
use crate::identify::scram::SaltedCache;
use crate::mask::Policy;
use crate::mask::catalog::Catalog;
use crate::metrics::Meters;
use crate::record::{Journal, SessionId};
use crate::shard::mail::SnapshotSource;
use crate::wire::Side;
use crate::wire::postgres::login::KnownMinor;

pub use room::Room;

/// The time, given to every stage as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// UTC, microseconds since 1970.
    pub wall_us: i64,
    /// Monotonic, microseconds since the process started.
    pub mono_us: u64,
}

/// What all sessions of a shard read; replaced as a whole when the configuration or a target's
/// catalog changes. A session keeps the one it took at its last command.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Compiled rules.
    pub rules: Rules,
    /// Compiled masks.
    pub masks: Policy,
    /// Per target, in the order of `settings.targets`: table and column shapes, if masks need them.
    pub catalogs: Vec<Option<Arc<Catalog>>>,
    /// Per target: addresses as resolved by the control thread.
    pub addresses: Vec<Vec<Endpoint>>,
    /// Per issuer, in the order of `settings.issuers`: its keys as read by the control thread.
    pub keys: Vec<Published>,
    /// Per target: the protocol version it is known to speak.
    pub minors: Vec<Arc<KnownMinor>>,
    /// Makes salts for users that do not exist.
    pub mock_seed: [u8; 32],
}

impl Snapshot {
    /// Compiles what the control thread sent.
    pub fn build(source: &SnapshotSource) -> Snapshot {
        let settings = Arc::clone(&source.settings);
        Snapshot {
            rules: Rules::compile(&settings.rules),
            masks: Policy::compile(&settings.masks),
            catalogs: source.catalogs.clone(),
            addresses: source.addresses.clone(),
            keys: source.keys.clone(),
            minors: source.minors.clone(),
            mock_seed: source.mock_seed,
            settings,
        }
    }
}

/// What a call into the machine may use. Owned by the shard, lent for one call.
pub struct Stage<'a> {
    /// The current snapshot.
    pub snapshot: &'a Rc<Snapshot>,
    /// The shard's classifier cache.
    pub classifier: &'a mut Classifier,
    /// The shard's cache of passwords already derived for targets.
    pub salted: &'a mut SaltedCache,
    /// The shard's journal.
    pub journal: &'a mut dyn Journal,
    /// Random bytes for nonces and ids: fills the slice.
    pub random: &'a mut dyn FnMut(&mut [u8]),
    /// What the shard's sessions may hold of large messages.
    pub room: &'a Room,
    /// What the shard measures of each target.
    pub meters: &'a Meters,
    /// The time of this turn.
    pub now: Now,
}

/// What the machine wants done besides moving the bytes of its two outboxes.
#[derive(Debug)]
pub enum Output {
    /// After the outbox of this side is written, speak TLS with it (server role towards the
    /// client, client role towards the target). Bytes received from then on are records.
    StartTls(Side),
    /// Connect to a target for a client that has proven who it is; `handle_dialed` answers.
    Dial(Box<Dial>),
    /// The server that was reached is of no use: once it has what is queued for it, try the next
    /// one; `handle_dialed` answers.
    DialNext(fault::Target),
    /// The server that was reached is the one: no other will be tried.
    LoggedIn,
    /// A command waits for approval: tell the control thread.
    AskOpened(AskSummary),
    /// It no longer waits; the final event (`approved`, `denied`, `expired`, `canceled`).
    AskClosed(SessionId, &'static str),
    /// The catalog of this target lacks a relation or may be stale; `handle_snapshot` follows.
    RefreshCatalog(usize),
    /// A token is signed by a key of this issuer that is not known; `handle_snapshot` follows.
    RefreshKeys(String),
    /// A client sent a CancelRequest with this key (process id and secret as on the wire).
    Cancel(Vec<u8>),
    /// The target gave this session this cancel key; remember it for `Output::Cancel`.
    CancelKey(Vec<u8>),
    /// Send this CancelRequest key to the session's server on a connection of its own.
    CancelAtTarget(Box<Dial>, Vec<u8>),
    /// Close both connections after the outboxes are written.
    Close(Option<Fault>),
}
