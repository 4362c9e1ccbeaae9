//! A client that is turned away, in the words of what it speaks.
//!
//! In: why; first packets of PostgreSQL. Out: its protocol's refusal, and a row once in a while.
//! Never: a client that keeps its place here for longer than it takes to hear it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind, Limit};
use crate::forward::Outbox;
use crate::metrics::TargetMeter;
use crate::record::entry::Event;
use crate::record::{Entry, SessionContext};
use crate::session::postgres::voice::{Turn, TurnedAway};
use crate::session::{Driven, Event as Happening, Output, Session, SessionSummary, Stage, new_id};
use crate::wire::{End, Protocol, Side};

/// Between two records of clients that are shut out, by shard: a flood of connections must not
/// become a flood of records.
const RECORD_US: u64 = 1_000_000;

/// Why there is no room, as an event and as a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub reason: &'static str,
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
/// A client has so long to say what it wants before it is told that it cannot have it.
const HEARD_US: u64 = 5_000_000;

/// Tells a client that there is no room.
#[derive(Debug)]
pub struct Refusal {
    client: Outbox,
    outputs: VecDeque<Output>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has to be heard first.
    Hears {
        client: TurnedAway,
        deadline_us: u64,
    },
    Told,
}

impl Refusal {
    /// In the words of what the client speaks, and by TLS if `tls` says so and it asks for it.
    pub fn new(protocol: Protocol, words: Words, tls: bool, now_us: u64) -> Refusal {
        let outputs = VecDeque::new();
        let mut refusal = Refusal { client: Outbox::default(), outputs, state: State::Told };
        if protocol == Protocol::Postgres {
            let client = TurnedAway::new(words.detail, tls);
            refusal.state = State::Hears { client, deadline_us: now_us + HEARD_US };
        } else {
            refusal.tell(&Session::turned_away(protocol, words.detail));
        }
        refusal
    }

    fn tell(&mut self, words: &[u8]) {
        self.client.say(words);
        self.state = State::Told;
        let fault = Fault::new(Side::Client, FaultKind::Limit(Limit::Sessions));
        self.outputs.push_back(Output::Close(Some(fault)));
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while let State::Hears { client, .. } = &mut self.state {
            match client.hear(std::mem::take(&mut bytes)) {
                Turn::Wait => return,
                Turn::Say(answer) => self.client.say(answer),
                Turn::StartTls(answer) => {
                    self.client.say(answer);
                    self.outputs.push_back(Output::StartTls(End::Client));
                    return;
                }
                Turn::Tell(error) => self.tell(&error),
                Turn::Leave => self.tell(b""),
            }
        }
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

    fn handle(&mut self, event: Happening<'_>, _stage: &mut Stage<'_>) {
        let State::Hears { client, .. } = &self.state else { return };
        match event {
            Happening::Bytes(_, bytes) => self.hear(bytes),
            Happening::Timeout => {
                let error = client.give_up();
                self.tell(&error);
            }
            Happening::Eof(_)
            | Happening::Broken(..)
            | Happening::Panic
            | Happening::Kill(_)
            | Happening::Drain { .. } => self.tell(b""),
            // It has no target and asks nobody.
            Happening::Tls(..)
            | Happening::Leg(..)
            | Happening::Snapshot
            | Happening::Vote(..)
            | Happening::Signal => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<u64> {
        match self.state {
            State::Hears { deadline_us, .. } => Some(deadline_us),
            State::Told => None,
        }
    }

    fn wants(&self, end: End) -> bool {
        end == End::Client && matches!(self.state, State::Hears { .. })
    }

    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Told)
    }

    fn meter(&self) -> Option<&TargetMeter> {
        None
    }

    fn summary(&self, _stage: &Stage<'_>) -> Option<SessionSummary> {
        None
    }
}
