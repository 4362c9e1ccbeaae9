//! Changes to a message body.
/// Sorted, non-overlapping changes.
#[derive(Debug, Default)]
pub struct Edits {}
