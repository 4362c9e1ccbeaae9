//! The sealer as the control thread sees it.
//!
//! In: nothing. Out: how many segments wait to become Parquet.
//! Never: a wait; whoever needs one asks again.

use std::fmt::Debug;
use std::sync::Arc;

use crate::shard::mail::Note;

/// Progress of the sealer.
pub trait Sealing: Debug + Send + Sync {
    /// Segments that are closed and not yet Parquet.
    fn waiting(&self) -> usize;
    /// Why nothing can be sealed or recorded now, if so.
    fn trouble(&self) -> Option<String>;
    /// What belongs into the record and is not in it yet: files that were put aside.
    fn notes(&self) -> Vec<Note>;
    /// Files that were put aside and nobody has looked at.
    fn quarantined(&self) -> usize;
    /// Has one listener hear when any of this changes.
    fn on_trouble(&self, listener: Arc<dyn Fn() + Send + Sync>);
}
