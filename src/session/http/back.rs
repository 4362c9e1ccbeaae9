//! A connection to a target, as the session that has it sees it.
//!
//! In: events of the leg. Out: bytes for it. Never: a byte before its TLS is there.

use std::sync::Arc;

use crate::forward::Outbox;
use crate::session::{After, Reuse};
use crate::wire::LegId;

/// A connection to a target.
#[derive(Debug)]
pub(super) struct Back {
    /// Its number in the session.
    pub id: LegId,
    /// Bytes for it.
    pub outbox: Outbox,
    /// What it is good for when the session is done with it.
    pub terms: Reuse,
    /// It served another request before.
    pub reused: bool,
    /// The target has said something.
    pub heard: bool,
    /// It may serve another request behind this one.
    pub keeps: bool,
}

impl Back {
    /// One that is asked for.
    pub fn new(id: LegId, terms: Reuse) -> Back {
        Back { id, outbox: Outbox::default(), terms, reused: false, heard: false, keeps: true }
    }

    /// What becomes of it, when `whole` says that both directions are over.
    pub fn after(&self, whole: bool) -> After {
        match whole && self.keeps && self.outbox.is_empty() {
            true => After::Keep(self.terms.clone()),
            false => After::Close,
        }
    }
}

/// The terms of connections that may stand in for each other: the target sees weir's credential in
/// each request, so connections of all roles may, unless a client certificate names the role.
pub(super) fn terms(target: usize) -> Reuse {
    thread_local! {
        static PLAIN: Arc<str> = Arc::from("http/1.1");
    }
    Reuse { target, terms: PLAIN.with(Arc::clone) }
}
