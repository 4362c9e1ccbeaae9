//! The sealer as the control thread sees it.
//!
//! In: nothing. Out: how many segments wait to become Parquet.
//! Never: a wait; whoever needs one asks again.

use std::fmt::Debug;
use std::sync::Arc;

use super::disk::Disk;
use crate::shard::mail::Note;

/// Progress of the sealer.
pub trait Sealing: Debug + Send + Sync {
    /// Segments that are closed and not yet Parquet.
    fn waiting(&self) -> usize;
    /// Why nothing can be sealed or recorded now, if so.
    fn trouble(&self) -> Option<String>;
    /// What belongs into the record and is not in it yet: files that were put aside.
    fn notes(&self) -> Vec<Note>;
    /// How long the oldest of the segments that wait has waited, microseconds.
    fn lag_us(&self) -> u64;
    /// What is known of the disk; nothing when it does not say.
    fn disk(&self) -> Option<Disk>;
    /// Files that were put aside and nobody has looked at.
    fn quarantined(&self) -> usize;
    /// Has one listener hear when any of this changes.
    fn on_trouble(&self, listener: Arc<dyn Fn() + Send + Sync>);
}
