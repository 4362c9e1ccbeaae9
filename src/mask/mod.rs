//! What comes back, with sensitive values changed.
//!
//! In: descriptions and bodies of answers. Out: `Edits`, hits.
//! Never: a value that a plan says to hide, on any channel.

pub mod catalog;
pub mod copy;
pub mod detect;
pub mod edits;
pub mod hits;
pub mod matcher;
pub mod naive;
pub mod operator;
pub mod plan;
pub mod redact;
pub mod row;
pub mod rules;
pub mod text;
mod touch;
mod types;

pub use edits::Edits;
pub use hits::Hits;
pub use operator::Operator;
pub use plan::{Plan, Policy};
