//! A client that is turned away, in the words of what it speaks.
//!
//! In: why. Out: its protocol's refusal, and a row once in a while.
//! Never: a look at what the client says.

use std::net::SocketAddr;

use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind, Limit};
use crate::forward::Outbox;
use crate::metrics::TargetMeter;
use crate::record::entry::Event;
use crate::record::{Entry, SessionContext};
use crate::session::{Driven, Event as Happening, Output, Session, SessionSummary, Stage, new_id};
use crate::wire::{End, Protocol, Side};

/// Between two records of clients that are shut out, by shard: a flood of connections must not
/// become a flood of records.
const RECORD_US: u64 = 1_000_000;

/// Why there is no room, as an event and as a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    reason: &'static str,
    detail: &'static str,
}

/// All sessions are taken.
pub const CLIENTS: Words =
    Words { reason: "sessions", detail: "This weir has reached its limit of connections." };
/// Too many clients of one address are not logged in.
pub const FROM_ADDRESS: Words = Words {
    reason: "unauthenticated-address",
    detail: "Too many connections from this address have not finished their login.",
};
/// Too many clients are not logged in.
pub const UNPROVEN: Words = Words {
    reason: "unauthenticated-total",
    detail: "Too many connections have not finished their login.",
};

/// Too many clients come from one address at once.
pub const AT_ONCE: Words = Words {
    reason: "address-rate",
    detail: "Too many connections from this address in one second.",
};

/// Tells a client that there is no room.
#[derive(Debug)]
pub struct Refusal {
    client: Outbox,
    output: Option<Output>,
}

impl Refusal {
    /// In the words of what the client speaks.
    pub fn new(protocol: Protocol, words: Words) -> Refusal {
        let mut client = Outbox::default();
        client.say(&Session::turned_away(protocol, words.detail));
        let fault = Fault::new(Side::Client, FaultKind::Limit(Limit::Sessions));
        Refusal { client, output: Some(Output::Close(Some(fault))) }
    }
}

/// Clients that were shut out and are not in a record yet.
#[derive(Debug, Default)]
pub struct ShutOut {
    count: u64,
    recorded_us: Option<u64>,
}

impl ShutOut {
    /// Counts one; now and then gives how many there were since it did so before.
    pub fn count(&mut self, now_us: u64) -> Option<u64> {
        self.count += 1;
        let due = self.recorded_us.is_none_or(|at_us| now_us >= at_us + RECORD_US);
        due.then(|| {
            self.recorded_us = Some(now_us);
            std::mem::take(&mut self.count)
        })
    }
}

/// Records that clients were shut out, the last one of them by its address.
pub fn record(
    (protocol, client_addr): (Protocol, SocketAddr),
    (words, count): (Words, u64),
    stage: &mut Stage<'_>,
) {
    let session = stage.journal.open(&SessionContext {
        session_id: new_id(stage.now, stage.random),
        protocol: protocol.name(),
        user_name: String::new(),
        user_groups: Vec::new(),
        auth_method: String::new(),
        target: String::new(),
        db_namespace: String::new(),
        role: String::new(),
        client_addr: client_addr.to_string(),
        client_app: String::new(),
        tls_version: String::new(),
    });
    let attrs = serde_json::json!({ "reason": words.reason, "connections": count }).to_string();
    let event = Event {
        event: "connection-refused",
        severity: "warn",
        message: words.detail,
        attrs: &attrs,
    };
    // A journal that refuses says so itself.
    let _refused_elsewhere = stage.journal.append(session, 0, stage.now, &Entry::Event(event));
    stage.journal.close(session);
}

impl Driven for Refusal {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        (end == End::Client).then_some(&mut self.client)
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        (end == End::Client).then_some(&self.client)
    }

    fn handle(&mut self, _event: Happening<'_>, _stage: &mut Stage<'_>) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    fn next_timeout(&self) -> Option<u64> {
        None
    }

    fn wants(&self, _end: End) -> bool {
        false
    }

    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn is_closed(&self) -> bool {
        true
    }

    fn meter(&self) -> Option<&TargetMeter> {
        None
    }

    fn summary(&self, _stage: &Stage<'_>) -> Option<SessionSummary> {
        None
    }
}
