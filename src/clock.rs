//! The time as stages get it: an argument.
//!
//! In: nothing. Out: nothing; the shells that read clocks make the values.
//! Never: a clock read in a pure stage.

/// The time, given to every stage as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// UTC, microseconds since 1970.
    pub wall_us: i64,
    /// Monotonic, microseconds since the process started.
    pub mono_us: u64,
}
