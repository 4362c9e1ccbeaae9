//! A client that is turned away, in PostgreSQL's words.
//!
//! In: why. Out: an ErrorResponse, and a row once in a while.
//! Never: a look at what the client says.

use std::net::SocketAddr;

use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind, Limit, Target};
use crate::forward::Outbox;
use crate::forward::dial::Endpoint;
use crate::record::entry::Event;
use crate::record::{Entry, SessionContext};
use crate::session::{Output, Stage};
use crate::session::{TlsFacts, new_id};
use crate::shard::drive::Driven;
use crate::wire::postgres::reply::{self, Report};
use crate::wire::{Protocol, Side};

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

/// Tells a client that there is no room.
#[derive(Debug)]
pub struct Refusal {
    client: Outbox,
    nothing: Outbox,
    output: Option<Output>,
}

impl Refusal {
    /// As PostgreSQL says it when its own limit is met.
    pub fn new(words: Words) -> Refusal {
        let mut bytes = Vec::new();
        let report = Report {
            severity: "FATAL",
            sqlstate: "53300",
            message: "sorry, too many clients already",
            detail: words.detail,
            hint: "",
        };
        reply::error(&mut bytes, &report);
        let mut client = Outbox::default();
        client.say(&bytes);
        let fault = Fault::new(Side::Client, FaultKind::Limit(Limit::Sessions));
        Refusal { client, nothing: Outbox::default(), output: Some(Output::Close(Some(fault))) }
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
pub fn record(client_addr: SocketAddr, (words, count): (Words, u64), stage: &mut Stage<'_>) {
    let session = stage.journal.open(&SessionContext {
        session_id: new_id(stage.now, stage.random),
        protocol: Protocol::Postgres.name(),
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
    fn outbox(&mut self, side: Side) -> &mut Outbox {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.nothing,
        }
    }

    fn pending(&self, side: Side) -> &Outbox {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.nothing,
        }
    }

    fn handle_bytes(&mut self, _side: Side, _bytes: &[u8], _stage: &mut Stage<'_>) {}
    fn handle_eof(&mut self, _side: Side, _stage: &mut Stage<'_>) {}
    fn handle_tls(&mut self, _side: Side, _facts: TlsFacts, _stage: &mut Stage<'_>) {}
    fn handle_broken(&mut self, _fault: Fault, _stage: &mut Stage<'_>) {}
    fn handle_dialed(&mut self, _result: Result<Endpoint, Target>, _stage: &mut Stage<'_>) {}
    fn handle_timeout(&mut self, _stage: &mut Stage<'_>) {}
    fn handle_panic(&mut self, _stage: &mut Stage<'_>) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    fn next_timeout(&self) -> Option<u64> {
        None
    }

    fn wants(&self, _side: Side) -> bool {
        false
    }

    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn is_closed(&self) -> bool {
        true
    }
}
