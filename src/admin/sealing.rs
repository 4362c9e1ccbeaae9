//! The sealer as the control thread sees it.
//!
//! In: nothing. Out: how many segments wait to become Parquet.
//! Never: a wait; whoever needs one asks again.

use std::fmt::Debug;
use std::sync::Arc;

/// Progress of the sealer.
pub trait Sealing: Debug + Send + Sync {
    /// Segments that are closed and not yet Parquet.
    fn waiting(&self) -> usize;
    /// Why nothing can be sealed or recorded now, if so.
    fn trouble(&self) -> Option<String>;
    /// Has one listener hear when that changes.
    fn on_trouble(&self, listener: Arc<dyn Fn() + Send + Sync>);
}
