//! The configuration: a file in, resolved settings out, errors that name file, line and remedy.

pub mod load;
pub mod settings;
