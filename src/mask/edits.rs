//! Changes to a message body.
/// Sorted, non-overlapping changes.
#[derive(Debug, Default)]
pub struct Edits {}
impl Edits {
    /// Clear.
    pub fn clear(&mut self) {}
    /// Empty.
    pub fn is_empty(&self) -> bool {
        true
    }
    /// Apply.
    pub fn apply(&self, b: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b)
    }
}
