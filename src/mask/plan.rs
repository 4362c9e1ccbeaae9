//! What to do with each column of an answer.
/// All masks of the configuration, compiled.
#[derive(Debug, Default)]
pub struct Policy {}
/// What to do with each column of one answer.
#[derive(Debug, Default)]
pub struct Plan {}
