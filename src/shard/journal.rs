//! What a shard needs of its journal besides writing entries: where it ends, what the disk has.
//!
//! In: the spool. Out: sync jobs for the ring. Never: a system call of its own.

use std::io;
use std::os::fd::RawFd;

use crate::clock::Now;
use crate::record::entry::Event;
use crate::record::spool::{Room, Spool, SyncJob};
use crate::record::{Journal, Lsn};

/// What a shard needs of its journal besides writing entries.
pub trait ShardJournal: Journal + Sized + 'static {
    /// A request to bring the journal to the disk.
    type Job;
    /// Where the journal ends.
    fn written(&self) -> Lsn;
    /// How much of it the disk has.
    fn durable(&self) -> Lsn;
    /// What has to be brought to the disk now; at most one at a time.
    fn sync_job(&mut self) -> Option<Self::Job>;
    /// Whether a segment that is closed is not on the disk.
    fn has_closed(&self) -> bool;
    /// The file of a job, open until the job is handed back.
    fn job_file(job: &Self::Job) -> RawFd;
    /// What is durable when a job succeeds.
    fn job_end(job: &Self::Job) -> Lsn;
    /// Which peers should be read now: what the others say could find no room.
    fn room(&mut self, now: Now) -> Room;
    /// Entries that it refused, ever.
    fn refused(&self) -> u64;
    /// Writes an event of the gateway, if there is room.
    fn note(&mut self, now: Now, event: &Event<'_>);
    /// The longest that an entry may not be on the disk.
    fn flush_us(&self) -> u64;
    /// What became of a job.
    fn synced(&mut self, job: Self::Job, result: io::Result<()>);
    /// The first call.
    fn begin(&mut self, now: Now);
    /// Called about once a second while something happens, and then at `tick_at_us`.
    fn tick(&mut self, now: Now);
    /// When `tick` has something to do although nothing happens.
    fn tick_at_us(&self) -> Option<u64>;
    /// Closes the open segment.
    fn rotate(&mut self, now: Now);
    /// Whether the entry at `lsn` may be missing on the disk although it counts as durable.
    fn in_doubt(&self, lsn: Lsn) -> bool;
    /// The last call.
    fn finish(self, now: Now);
}

impl ShardJournal for Spool {
    type Job = SyncJob;

    fn written(&self) -> Lsn {
        Spool::written(self)
    }

    fn durable(&self) -> Lsn {
        Spool::durable(self)
    }

    fn sync_job(&mut self) -> Option<SyncJob> {
        Spool::sync_job(self)
    }

    fn has_closed(&self) -> bool {
        self.closed_unsynced()
    }

    fn job_file(job: &SyncJob) -> RawFd {
        job.fd
    }

    fn job_end(job: &SyncJob) -> Lsn {
        job.lsn
    }

    fn room(&mut self, now: Now) -> Room {
        Spool::room(self, now)
    }

    fn refused(&self) -> u64 {
        Spool::refused(self)
    }

    fn note(&mut self, now: Now, event: &Event<'_>) {
        // Without room the log of the process has it.
        let _no_room = self.event(now, event);
    }

    fn flush_us(&self) -> u64 {
        Spool::flush_us(self)
    }

    fn synced(&mut self, job: SyncJob, result: io::Result<()>) {
        Spool::synced(self, job, result);
    }

    fn begin(&mut self, now: Now) {
        // A fresh segment has room; should it not, the first command is refused and says why.
        let _no_room = self.event(now, &life("boot", "the shard takes connections"));
    }

    fn tick(&mut self, now: Now) {
        Spool::tick(self, now);
    }

    fn tick_at_us(&self) -> Option<u64> {
        Spool::tick_at_us(self)
    }

    fn rotate(&mut self, now: Now) {
        Spool::rotate(self, now);
    }

    fn in_doubt(&self, lsn: Lsn) -> bool {
        Spool::in_doubt(self, lsn)
    }

    fn finish(mut self, now: Now) {
        // Without room for it the end of the segment says the same.
        let _no_room = self.event(now, &life("shutdown", "the shard stops; its sessions are over"));
        Spool::finish(self, now);
    }
}

/// A row on the life of the process: a start without a stop before it is a crash.
fn life(event: &'static str, message: &'static str) -> Event<'static> {
    const ATTRS: &str = concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");
    Event { event, severity: "info", message, attrs: ATTRS }
}
