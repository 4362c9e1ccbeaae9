//! How a value is changed.

/// The operator of a mask. Resolves up, never down: one that does not fit a type becomes `Default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Replace by `[TYPE]`, or `***` for a column.
    Redact,
    /// Same length, `*`.
    Mask,
    /// Keep the last four (an e-mail: first letter and domain), separators kept.
    Partial,
    /// NULL.
    Nullify,
    /// Zero of the type.
    Default,
}
impl Operator {
    /// Name.
    pub fn name(self) -> &'static str {
        ""
    }
}
