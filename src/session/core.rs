//! What every part of a session uses: the two outboxes, the record, the outputs.
//!
//! In: entries, messages. Out: receipts, outputs. Never: a protocol decision.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::decide::Permit;
use crate::fault::{Fault, FaultKind, Refused};
use crate::forward::Outbox;
use crate::record::entry::Event;
use crate::record::{Entry, Receipt, SessionContext, SessionId, SessionRef};
use crate::wire::{Protocol, Side};

use super::meter::Gauge;
use super::{Output, Stage};
use crate::clock::Now;

/// What is known when a connection is accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The session's id, UUIDv7.
    pub session_id: SessionId,
    /// The client's address.
    pub client_addr: SocketAddr,
    /// The listener has a certificate.
    pub tls_available: bool,
    /// The listener refuses clients in clear.
    pub tls_required: bool,
}

/// What a finished TLS handshake says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1_3` and so on.
    pub version: &'static str,
    /// The protocol agreed by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// The peer's leaf certificate, DER.
    pub peer_certificate: Option<Vec<u8>>,
    /// The hash of the server's leaf certificate, whichever side that is; a login can be bound to
    /// it (`certificate::end_point`).
    pub end_point: Option<Vec<u8>>,
}

/// Counts of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commands recorded.
    pub commands: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes queued for the client.
    pub bytes_out: u64,
    /// Commands denied.
    pub denied: u64,
    /// Values masked.
    pub masked: u64,
}

/// The parts of a session that all its phases share.
#[derive(Debug)]
pub struct Core {
    /// Bytes for the client.
    pub client: Outbox,
    /// Bytes for the target.
    pub server: Outbox,
    /// What is known since the connection was accepted.
    pub accepted: Accepted,
    /// When it was.
    pub started: Now,
    /// Counts.
    pub totals: Totals,
    /// What the meters of the target are told.
    pub gauge: Gauge,
    /// The target has told the client itself why the login fails.
    pub told_why: bool,
    /// Process id and secret that cancel at the target, as on the wire.
    pub backend_key: Vec<u8>,
    journal: SessionRef,
    next_seq: u64,
    outputs: VecDeque<Output>,
}

impl Core {
    /// Opens the session's record.
    pub fn open(accepted: Accepted, stage: &mut Stage<'_>) -> Core {
        let journal = stage.journal.open(&anonymous(&accepted));
        Core {
            client: Outbox::default(),
            server: Outbox::default(),
            accepted,
            started: stage.now,
            totals: Totals::default(),
            gauge: Gauge::default(),
            told_why: false,
            backend_key: Vec::new(),
            journal,
            next_seq: 0,
            outputs: VecDeque::new(),
        }
    }

    /// States who the session belongs to.
    pub fn identify(&mut self, context: &SessionContext, stage: &mut Stage<'_>) {
        stage.journal.identify(self.journal, context);
    }

    /// The context of the session before anybody is known.
    pub fn anonymous(&self) -> SessionContext {
        anonymous(&self.accepted)
    }

    /// Ends the session's record.
    pub fn close(&mut self, stage: &mut Stage<'_>) {
        stage.journal.close(self.journal);
    }

    /// The next number of the session's order.
    pub fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Records an entry under a new number.
    ///
    /// # Errors
    /// The journal refused it.
    pub fn record(&mut self, entry: &Entry<'_>, stage: &mut Stage<'_>) -> Result<Receipt, Refused> {
        let seq = self.take_seq();
        self.record_at(seq, entry, stage)
    }

    /// Records an entry under a number that was taken before.
    ///
    /// # Errors
    /// The journal refused it.
    pub fn record_at(
        &mut self,
        seq: u64,
        entry: &Entry<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<Receipt, Refused> {
        stage.journal.append(self.journal, seq, stage.now, entry)
    }

    /// A receipt for messages that are no commands.
    pub fn covered(&mut self, stage: &mut Stage<'_>) -> Receipt {
        stage.journal.covered(self.journal)
    }

    /// Records an event. A journal that refuses it refuses commands too, and says so itself.
    pub fn event(&mut self, event: &Event<'_>, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.record(&Entry::Event(event.clone()), stage)
            .map(drop)
            .map_err(|refused| Fault::new(Side::Client, FaultKind::Record(refused)))
    }

    /// Hands on a message that is no command: Sync, CopyData of a permitted COPY.
    pub fn pass(&mut self, side: Side, what: &'static str, bytes: &[u8], stage: &mut Stage<'_>) {
        let receipt = self.covered(stage);
        self.send(side, Permit::housekeeping(what), receipt, bytes);
    }

    /// Hands on bytes under a permit and a receipt.
    pub fn send(&mut self, side: Side, permit: Permit, receipt: Receipt, bytes: &[u8]) {
        if side == Side::Client {
            self.totals.bytes_out += bytes.len() as u64;
        }
        self.outbox(side).forward(permit, receipt, bytes);
    }

    /// weir's own words to the client.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.totals.bytes_out += bytes.len() as u64;
        self.client.say(&bytes);
    }

    /// The outbox towards a side.
    pub fn outbox(&mut self, side: Side) -> &mut Outbox {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The same, to be looked at.
    pub fn pending(&self, side: Side) -> &Outbox {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Queues an output.
    pub fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Takes the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

fn anonymous(accepted: &Accepted) -> SessionContext {
    SessionContext {
        session_id: accepted.session_id,
        protocol: Protocol::Postgres.name(),
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

/// A new id: UUIDv7 of the wall clock and random bytes (RFC 9562, section 5.7).
pub fn new_id(now: Now, random: &mut dyn FnMut(&mut [u8])) -> SessionId {
    let mut tail = [0u8; 10];
    random(&mut tail);
    let millis = u64::try_from(now.wall_us / 1000).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid();
    SessionId(uuid.into_bytes())
}
