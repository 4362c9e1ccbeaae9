//! The client's end: its connection, its outbox, what it sent and nobody took yet.
//!
//! In: bytes, facts of TLS. Out: outputs, bytes for the client.
//! Never: more bytes of a client than `limits::BACKLOG_BYTES_MAX` kept.

use std::collections::VecDeque;

use crate::clock::Now;
use crate::decide::Permit;
use crate::forward::Outbox;
use crate::limits;
use crate::record::entry::Event;
use crate::record::{Entry, Receipt, SessionContext, SessionId};
use crate::session::{Accepted, After, Kept, Learned, Output, Stage, TlsFacts, new_id};
use crate::wire::http::check;
use crate::wire::http::h2::Event as Frame;
use crate::wire::http::head::Head;
use crate::wire::{LegId, Protocol};

use super::front::Front;
use super::tenure::Ledger;

/// The client's end of a session.
#[derive(Debug)]
pub(super) struct Link {
    /// Bytes for the client.
    pub client: Outbox,
    /// How exchanges are heard by it.
    pub front: Front,
    /// What is known since the connection was accepted.
    pub accepted: Accepted,
    /// When it was.
    pub started: Now,
    /// Facts of its TLS, once there are some.
    pub tls: Option<TlsFacts>,
    /// What the client sent behind what is handled now.
    pub backlog: Vec<u8>,
    /// The client sends no more.
    pub ended: bool,
    /// The connection of HTTP/1 ends behind the answer that is under way.
    pub closing: bool,
    /// Bytes that were received since a tenure was last told.
    pub received: u64,
    /// Bytes that were sent since a tenure was last told.
    pub sent: u64,
    outputs: VecDeque<Output>,
    /// The record of the connection, until its first tenure takes it over.
    ledger: Option<Ledger>,
    next_leg: u16,
}

impl Link {
    /// A connection that was just accepted.
    pub fn new(accepted: Accepted, stage: &mut Stage<'_>) -> Link {
        let ledger = Ledger::open(&anonymous(accepted.session_id, &accepted), stage);
        Link {
            client: Outbox::default(),
            front: Front::Unsaid,
            accepted,
            started: stage.now,
            tls: None,
            backlog: Vec::new(),
            ended: false,
            closing: false,
            received: 0,
            sent: 0,
            outputs: VecDeque::new(),
            ledger: Some(ledger),
            next_leg: 0,
        }
    }

    /// `TLSv1_3` and so on, or nothing.
    pub fn tls_version(&self) -> &'static str {
        self.tls.as_ref().map_or("", |facts| facts.version)
    }

    /// Whether the connection was made for another name than the request's: browsers send what is
    /// for one name on a connection to another where both have one address.
    pub fn is_for_another(&self, head: &Head) -> bool {
        let shown = self.tls.as_ref().and_then(|facts| facts.shown.as_ref());
        let host = check::split_authority(head.authority()).map(|(host, _)| host);
        shown.zip(host).is_some_and(|(shown, host)| shown.is_anothers(host))
    }

    /// The record of the connection, or one of a new id: for a tenure.
    pub fn take_ledger(&mut self, stage: &mut Stage<'_>) -> Ledger {
        self.ledger.take().unwrap_or_else(|| {
            let id = new_id(stage.now, stage.random);
            Ledger::open(&anonymous(id, &self.accepted), stage)
        })
    }

    /// Records an event of the connection, for which there is no tenure yet.
    pub fn event(&mut self, event: &Event<'_>, stage: &mut Stage<'_>) {
        if self.ledger.is_none() {
            self.ledger = Some(self.take_ledger(stage));
        }
        if let Some(ledger) = &mut self.ledger {
            // A journal that refuses says so itself, and refuses every command.
            let _refused_elsewhere = ledger.record(&Entry::Event(event.clone()), stage);
        }
    }

    /// Forgets the record of a connection that no tenure took over.
    pub fn close(&mut self, stage: &mut Stage<'_>) {
        if let Some(ledger) = self.ledger.take() {
            ledger.close(stage);
        }
    }

    /// weir's own words to the client.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.sent += bytes.len() as u64;
        self.client.say(&bytes);
    }

    /// Bytes that follow from a permitted, recorded request.
    pub fn forward(&mut self, permit: Permit, receipt: Receipt, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        self.client.forward(permit, receipt, bytes);
    }

    /// What was forwarded so far leaves by itself.
    pub fn part(&mut self) {
        self.client.part();
    }

    /// Whether the client should be read.
    pub fn wants(&self) -> bool {
        !self.ended && self.backlog.len() < limits::BACKLOG_BYTES_MAX
    }

    /// Whether the client takes what it is sent fast enough.
    pub fn has_room(&self) -> bool {
        self.client.len() < limits::OUTBOX_BYTES_MAX
    }

    /// A number for a leg that none of this session has.
    pub fn take_leg(&mut self) -> LegId {
        let number = self.next_leg;
        self.next_leg = (number + 1) % LegId::COUNT;
        LegId::new(number)
    }

    /// Queues an output.
    pub fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Reads what a target said behind an answer, on a leg that was just given back. What belongs
    /// to no answer is no reason to end a connection of HTTP/2, anything else is (RFC 9112 9.2).
    pub fn read_behind(&mut self, id: LegId, bytes: &[u8], now_us: u64) {
        let given = self.outputs.iter_mut().rev().find_map(|output| match output {
            Output::Release(leg, after) if *leg == id => Some(after),
            _ => None,
        });
        let Some(after) = given else { return };
        let mut input = bytes;
        let is_good = match after {
            After::Keep(Kept { learned: Learned::Http2(connection), .. }) => loop {
                match connection.receive(&mut input, now_us) {
                    Ok(Some(Frame::Ready | Frame::Room { .. } | Frame::Pong)) => {}
                    Ok(Some(Frame::Data { bytes: [], .. })) => {}
                    Ok(None) => break connection.is_at_rest(),
                    Ok(Some(_)) | Err(_) => break false,
                }
            },
            After::Keep(_) | After::Close => bytes.is_empty(),
        };
        if !is_good {
            *after = After::Close;
        }
    }

    /// Takes the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

fn anonymous(id: SessionId, accepted: &Accepted) -> SessionContext {
    SessionContext {
        session_id: id,
        protocol: Protocol::Http.name(),
        user_name: String::new(),
        user_groups: Vec::new(),
        auth_method: String::new(),
        target: String::new(),
        db_namespace: String::new(),
        role: String::new(),
        client_addr: accepted.client_addr.to_string(),
        client_app: String::new(),
        tls_version: String::new(),
    }
}
