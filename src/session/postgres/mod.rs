//! A session of PostgreSQL's frontend/backend protocol 3: the machine and its parts.
//!
//! In: bytes of both ends. Out: the two outboxes, outputs. Never: a socket, a clock, a wait.

mod admit;
mod answer;
pub mod beliefs;
mod changed;
mod core;
mod facts;
mod hold;
pub mod kin;
mod login;
mod machine;
mod masked;
mod ready;
mod release;
mod request;
mod shapes;
pub mod standing;
pub mod state;
mod sync;
pub mod target_login;
#[cfg(test)]
mod tests;
mod texts;
pub mod voice;

use crate::wire::{End, LegId};

pub use machine::Machine;

/// A session of PostgreSQL has one connection to a target, from its login to its end.
const TARGET: End = End::Target(LegId::FIRST);
