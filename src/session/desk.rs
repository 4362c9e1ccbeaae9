//! The one road of a command: its row, its permit; and what else every session records.
//!
//! In: actions, entries, answers of people. Out: `Pass`es, receipts, outputs. Never: a permit
//! without a receipt of the same command; a protocol's word.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::Now;
use crate::decide::Permit;
use crate::fault::{Fault, FaultKind, Refused};
use crate::identify::certificate::Hosts;
use crate::record::entry::{Command, Event};
use crate::record::{Entry, Receipt, SessionContext, SessionId, SessionRef};
use crate::wire::{Protocol, Side};

use super::meter::Gauge;
use super::{Output, Stage};

/// What is known when a connection is accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The session's id, UUIDv7.
    pub session_id: SessionId,
    /// Index of the listener in the settings.
    pub listener: usize,
    /// What is spoken there.
    pub protocol: Protocol,
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
    /// Of a client that asked for a name: the certificate that it was shown.
    pub shown: Option<Shown>,
}

/// One of several certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The names of all.
    pub hosts: Arc<Hosts>,
    /// Its place.
    pub place: usize,
}

impl Shown {
    /// Whether a client that asks for this host would have been shown another one.
    pub fn is_anothers(&self, host: &[u8]) -> bool {
        std::str::from_utf8(host).is_ok_and(|host| self.hosts.place(host) != self.place)
    }
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

/// Leave to forward one command: a permit and a receipt of the same one, made together.
#[derive(Debug)]
pub struct Pass {
    /// From `decide`.
    pub permit: Permit,
    /// From `record`.
    pub receipt: Receipt,
    /// The command's number in its session.
    pub seq: u64,
}

/// What a session of any protocol has beside its bytes.
#[derive(Debug)]
pub struct Desk {
    /// What is known since the connection was accepted.
    pub accepted: Accepted,
    /// When it was.
    pub started: Now,
    /// Counts.
    pub totals: Totals,
    /// What the meters of the target are told.
    pub gauge: Gauge,
    journal: SessionRef,
    next_seq: u64,
    outputs: VecDeque<Output>,
}

impl Desk {
    /// Opens the session's record.
    pub fn open(accepted: Accepted, stage: &mut Stage<'_>) -> Desk {
        let journal = stage.journal.open(&anonymous(&accepted));
        Desk {
            accepted,
            started: stage.now,
            totals: Totals::default(),
            gauge: Gauge::default(),
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

    /// Writes down an allowed command, and gives leave to forward it.
    ///
    /// # Errors
    /// The journal refused it: so is the command.
    pub fn admit(
        &mut self,
        (permit, seq): (Permit, u64),
        command: Command<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<Pass, Refused> {
        let receipt = self.record_at(seq, &Entry::Command(command), stage)?;
        self.totals.commands += 1;
        Ok(Pass { permit, receipt, seq })
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
    ///
    /// # Errors
    /// The journal refused it.
    pub fn event(&mut self, event: &Event<'_>, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.record(&Entry::Event(event.clone()), stage)
            .map(drop)
            .map_err(|refused| Fault::new(Side::Client, FaultKind::Record(refused)))
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
        protocol: accepted.protocol.name(),
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
