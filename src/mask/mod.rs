//! What comes back, with sensitive values changed.
//!
//! In: descriptions and bodies of answers. Out: `Edits`, hits.
//! Never: a value that a plan says to hide, on any channel.
//!
//! What a value is and what takes its place is neutral; `sql` says where values stand in the
//! answers of a database, `body` where they stand in the bodies of HTTP.

pub mod body;
pub mod detect;
pub mod edits;
mod escapes;
pub mod hits;
pub mod kubernetes;
pub mod matcher;
pub mod naive;
pub mod operator;
pub mod sql;
pub mod terminal;
pub mod text;

pub use edits::Edits;
pub use hits::Hits;
pub use operator::Operator;
pub use sql::plan::{Plan, Policy};
