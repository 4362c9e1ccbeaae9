//! Where values stand in the answers of a database: rows, COPY, texts with credentials.
//!
//! In: descriptions, rows and COPY data of a target, its catalog. Out: plans, `Edits`.
//! Never: a column told by the name that an answer gives it; only by what the catalog says it is.

pub mod catalog;
pub mod copy;
pub mod kin;
pub mod plan;
pub mod redact;
pub mod row;
pub mod rules;
mod touch;
mod types;
pub mod widened;
