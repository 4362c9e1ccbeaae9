//! What happened, written down before it is forwarded.
//!
//! In: entries of sessions. Out: receipts; Parquet tables.
//! Never: a receipt for an entry that is not in the journal.
//!
//! ```text
//! entry --body, journal--> spool (mapped segments, made ahead by pool) --> Receipt
//!                            | a full or old segment
//!                            v
//!                          sealer --rows, column, parquet--> lake/<table>/date=.../*.parquet
//! recover: the same for what a crash left           lake, follow: both, read as one
//! ```
//!
//! Order at start: `recover::DataDirLock::take`, `recover::recover`, `pool::SegmentPool::start`,
//! `sealer::Sealer::start`, then `spool::Spool::open` on each shard. At the end: `Spool::finish` on
//! each shard, drop the sealer's channel, `Sealer::finish`, and the lock last.

pub mod body;
pub mod entry;
pub mod journal;
pub mod memory;
pub mod pty_events;

pub mod lines;

mod parts;
pub mod pool;
pub mod position;
pub mod quarantine;
pub mod spool;
pub mod trouble;

pub mod parquet;
pub mod recover;
pub mod rows;
pub mod schema;
pub mod sealer;

pub mod lake;

pub mod durable;

mod binary;
mod checksum;
mod column;
mod follow;
mod holds;
mod lake_rows;
mod live;
mod map;
pub mod params;
#[cfg(test)]
mod schema_tests;
mod scratch;
#[cfg(test)]
pub(crate) mod testing;

pub use crate::fault::Refused;
pub use entry::{Entry, SessionContext, SessionId};

use crate::clock::Now;

/// The folder of the journal inside the data directory.
pub const JOURNAL_FOLDER: &str = "journal";

/// Position in one shard's journal: bytes ever written before and including an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

/// Proof that an entry is in the journal, up to `lsn`. Made here only; moved, never copied.
#[derive(Debug)]
pub struct Receipt {
    lsn: Lsn,
}

impl Receipt {
    /// Where the entry ends; a peer in `sync` mode waits until the disk has this.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Only the journals of this folder call it.
    pub(in crate::record) fn new(lsn: Lsn) -> Receipt {
        Receipt { lsn }
    }
}

/// A session's handle inside one journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionRef(pub u32);

/// What a session machine needs of a journal. The shard's spool implements it, and a journal in
/// memory for tests and simulation.
pub trait Journal {
    /// Makes a session known. Nothing is written yet; each segment that holds an entry of the
    /// session also holds its context, so segments can be read alone.
    fn open(&mut self, context: &SessionContext) -> SessionRef;
    /// Replaces the context, once the client is identified.
    fn identify(&mut self, session: SessionRef, context: &SessionContext);
    /// Writes one entry. `seq` is the order inside the session.
    ///
    /// # Errors
    /// `Refused` when the entry cannot be recorded; nothing of it may be forwarded then.
    fn append(
        &mut self,
        session: SessionRef,
        seq: u64,
        now: Now,
        entry: &Entry<'_>,
    ) -> Result<Receipt, Refused>;
    /// A receipt for messages that are no commands (Sync, Flush): covers the session's entries so
    /// far, and does not wait for those of others.
    fn covered(&mut self, session: SessionRef) -> Receipt;
    /// Forgets the session.
    fn close(&mut self, session: SessionRef);
}
