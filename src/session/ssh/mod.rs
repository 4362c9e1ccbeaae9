//! One SSH connection: two transports, and the messages that pass between them.
//!
//! In: events. Out: the two outboxes, and outputs. Never: a dial for a client that has not proven
//! who it is; a request at the target without a permit and a receipt.
//!
//! ```text
//!   Proof --a key that belongs to somebody--> Dialing --Leg--> Target --logged in--> Open
//!     |                                          |               |                    |
//!     '------------------------------------------+---------------+--------------------+--> Closed
//! ```
//!
//! `login` is the way to `Open`; `open` passes messages and asks `admit` where a verdict is due,
//! and `hold` where people have it; `beside` is what is no command: agents, displays, ports;
//! `channels` keeps numbers, windows and replies; `run` keeps what is recorded of a command;
//! `token` is a token as a password; `operations` and `files` are the requests of SFTP, `transfer`
//! the contents of one file.

mod admit;
mod beside;
mod channels;
mod core;
mod files;
mod filters;
mod ground;
mod hold;
mod home;
mod leg;
mod login;
mod masked;
mod near;
mod open;
mod operations;
mod own_proof;
mod run;
mod token;
mod transfer;
pub mod voice;

use crate::config::settings::Durability;
use crate::fault::{self, Fault, FaultKind, Limit};
use crate::forward::Outbox;
use crate::limits::{LOGIN_TIMEOUT_US, OUTBOX_BYTES_MAX};
use crate::metrics::TargetMeter;
use crate::record::Entry;
use crate::record::entry::{self, SessionEnd};
use crate::session::desk::Accepted;
use crate::session::{Driven, Event, Output, SessionSummary, Stage, VoteReply};
use crate::wire::{End, Side};

use self::core::Office;
use ground::Standing;
use leg::Leg;
use login::{Proof, TargetLogin, Visitor};
use open::Open;

/// One session, from the accepted connection to its last record.
pub struct Machine {
    core: Office,
    client: Leg,
    target: Option<Leg>,
    phase: Phase,
    deadline_us: u64,
    /// Who has proven who they are, and why that lasts.
    standing: Option<Standing>,
    /// What the target said when it ended the connection.
    farewell: Option<(u32, String)>,
}

enum Phase {
    Proof(Proof),
    Dialing(Box<Visitor>),
    Target(Box<TargetLogin>),
    Open(Box<Open>),
    Closed,
}

impl Machine {
    /// A connection that was just accepted.
    pub fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Machine {
        let listener = accepted.listener;
        let mut core = Office::open(accepted, stage);
        let terms = login::client_terms(listener, stage);
        let client = Leg::new(Side::Client, terms, stage.now.mono_us, &mut core);
        Machine {
            client: client.expect("the system gives random bytes"),
            core,
            target: None,
            phase: Phase::Proof(Proof::default()),
            deadline_us: stage.now.mono_us + LOGIN_TIMEOUT_US,
            standing: None,
            farewell: None,
        }
    }

    fn bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        if side == Side::Client {
            self.core.totals.bytes_in += bytes.len() as u64;
        }
        match (side, &mut self.target) {
            (Side::Client, _) => self.client.feed(bytes),
            (Side::Server, Some(target)) => target.feed(bytes),
            (Side::Server, None) => return,
        }
        let done = self.take_all(side, stage);
        self.ended(done, stage);
        self.core.count_bytes();
    }

    /// Takes what came of a side, as far as the phase lets it.
    fn take_all(&mut self, side: Side, stage: &mut Stage<'_>) -> Result<(), Fault> {
        match &self.phase {
            Phase::Proof(_) if side == Side::Client => self.proof_messages(stage)?,
            Phase::Target(_) if side == Side::Server => self.target_messages(stage)?,
            Phase::Open(_) => self.messages(side, stage)?,
            _ => return Ok(()),
        }
        if side == Side::Server && matches!(self.phase, Phase::Open(_)) {
            // What the client sent before it could know of its login.
            self.messages(Side::Client, stage)?;
        }
        self.settle(stage)
    }

    /// Writes what is kept of the commands that run.
    fn settle(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Machine { core, phase, .. } = self;
        let Phase::Open(open) = phase else { return Ok(()) };
        open.flush(core, stage)?;
        match open.draining && open.is_idle() {
            true => Err(Fault::new(Side::Client, FaultKind::Drain)),
            false => Ok(()),
        }
    }

    fn ended(&mut self, done: Result<(), Fault>, stage: &mut Stage<'_>) {
        if let Err(fault) = done {
            self.fail(fault, stage);
        }
    }

    fn eof(&mut self, side: Side, stage: &mut Stage<'_>) {
        let kind = match side {
            Side::Client => FaultKind::Terminate,
            Side::Server => FaultKind::Target(fault::Target::Closed),
        };
        self.fail(Fault::new(side, kind), stage);
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        let now_us = stage.now.mono_us;
        let logging_in = !matches!(self.phase, Phase::Open(_) | Phase::Closed);
        if logging_in && now_us >= self.deadline_us {
            let fault = match self.phase {
                Phase::Proof(_) => Fault::new(Side::Client, FaultKind::Limit(Limit::LoginTime)),
                _ => Fault::new(Side::Server, FaultKind::Target(fault::Target::Timeout)),
            };
            return self.fail(fault, stage);
        }
        let due = |it: &Standing| it.look_us().is_some_and(|look_us| now_us >= look_us);
        if self.standing.as_ref().is_some_and(due)
            && let Some(fault) = self.lapsed(stage)
        {
            return self.fail(fault, stage);
        }
        let Machine { core, client, target, .. } = self;
        let mut done = client.timeout(now_us, core);
        if let (Ok(()), Some(target)) = (&done, target) {
            done = target.timeout(now_us, core);
        }
        let done = done.and_then(|()| self.token_again(stage));
        let done = done.and_then(|()| self.masks_due(false, stage));
        let done = done.and_then(|()| self.expire_holds(stage));
        self.ended(done, stage);
    }

    /// Settings, keys of issuers or API tokens are others now.
    fn snapshot_changed(&mut self, stage: &mut Stage<'_>) {
        if let Some(fault) = self.lapsed(stage) {
            return self.fail(fault, stage);
        }
        let Machine { core, phase, .. } = self;
        if let Phase::Open(open) = phase {
            open.refresh(core, stage);
        }
        let done = self.token_again(stage);
        self.ended(done, stage);
    }

    fn lapsed(&mut self, stage: &Stage<'_>) -> Option<Fault> {
        self.standing.as_mut()?.lapsed(stage)
    }

    /// Ends the session: what is under way is recorded, both peers are told.
    fn fail(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        // What the target said last is the client's all the same.
        let _recorded_below = self.masks_due(true, stage);
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        let reason = match phase {
            Phase::Closed => return,
            Phase::Open(open) => {
                let aborted = open.abort(&mut self.core, stage);
                if aborted.is_ok() { Some(fault.label()) } else { Some("journal-full") }
            }
            Phase::Proof(proof) => {
                self.login_failed(&fault, proof.refused, stage);
                None
            }
            Phase::Dialing(_) => {
                self.login_failed(&fault, None, stage);
                None
            }
            Phase::Target(login) => {
                let refused = fault.kind == FaultKind::Login(fault::Login::TargetCredentials);
                self.login_failed(&fault, login.limited().filter(|_| refused), stage);
                None
            }
        };
        if let Some(reason) = reason {
            self.record_end(reason, stage);
        }
        let (code, words) = voice::fault(&fault);
        let (code, words) = match &self.farewell {
            Some((code, words)) => (*code, words.as_str()),
            None => (code, words),
        };
        let left = fault.side == Side::Client && fault.kind == FaultKind::Terminate;
        if !left {
            self.client.disconnect(code, words, &mut self.core);
        }
        if let Some(target) = &mut self.target {
            let gone = fault.kind == FaultKind::Target(fault::Target::Closed);
            if !gone {
                /// The client is done (RFC 4253 section 11.1).
                const BY_APPLICATION: u32 = 11;
                target.disconnect(BY_APPLICATION, "", &mut self.core);
            }
        }
        self.core.detach();
        self.core.close(stage);
        self.core.output(Output::Close(Some(fault)));
    }

    fn record_end(&mut self, reason: &str, stage: &mut Stage<'_>) {
        let totals = self.core.totals;
        let end = SessionEnd {
            reason,
            commands: totals.commands,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            denied: totals.denied,
            masked: totals.masked,
        };
        // A journal that refuses says so itself; the session ends all the same.
        let _refused_elsewhere = self.core.record(&Entry::SessionEnd(end), stage);
    }

    fn login_failed(
        &mut self,
        fault: &Fault,
        refused: Option<(&'static str, serde_json::Value)>,
        stage: &mut Stage<'_>,
    ) {
        if fault.kind == FaultKind::Terminate && self.core.totals.bytes_in == 0 {
            return;
        }
        let (event, severity) = match fault.kind {
            FaultKind::Login(_) => ("login-failed", "warn"),
            // A client that has nothing else to prove leaves by itself.
            FaultKind::Terminate if refused.is_some() => ("login-failed", "warn"),
            FaultKind::Terminate => ("connection-closed", "info"),
            _ => ("connection-refused", "warn"),
        };
        let (_, words) = voice::fault(fault);
        let mut attrs = serde_json::json!({ "reason": fault.label() });
        let message = match refused {
            Some((why, proof)) => {
                attrs["proof"] = proof;
                format!("{words}: {why}")
            }
            None => words.to_owned(),
        };
        let (message, attrs) = (message.as_str(), attrs.to_string());
        let event = entry::Event { event, severity, message, attrs: &attrs };
        let _refused_elsewhere = self.core.event(&event, stage);
    }

    fn panicked(&mut self, stage: &mut Stage<'_>) {
        // What the panicking call left is not looked at again.
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Proof(Proof::default());
            self.fail(Fault::new(Side::Client, FaultKind::Internal), stage);
        }
    }

    fn waiting(&self, side: Side) -> usize {
        match side {
            Side::Client => self.client.waiting_bytes(),
            Side::Server => self.target.as_ref().map_or(0, Leg::waiting_bytes),
        }
    }

    fn seen(&self, stage: &Stage<'_>) -> SessionSummary {
        let (user, target, role, state) = match &self.phase {
            Phase::Proof(_) => ("", String::new(), "", "login"),
            Phase::Dialing(visitor) => visitor.seen(stage),
            Phase::Target(login) => login.visitor.seen(stage),
            Phase::Open(open) => open.seen(),
            Phase::Closed => ("", String::new(), "", "closing"),
        };
        SessionSummary {
            session_id: self.core.accepted.session_id,
            user: user.to_owned(),
            target,
            role: role.to_owned(),
            client_addr: self.core.accepted.client_addr.to_string(),
            state,
            started_us: self.core.started.wall_us,
            commands: self.core.totals.commands,
        }
    }
}

impl Driven for Machine {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        Some(self.core.outbox(end.side()))
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        Some(self.core.pending(end.side()))
    }

    fn handle(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match event {
            Event::Bytes(end, bytes) => self.bytes(end.side(), bytes, stage),
            Event::Eof(end) => self.eof(end.side(), stage),
            Event::Tls(..) | Event::Signal => {}
            Event::Broken(_, fault) => self.fail(fault, stage),
            Event::Leg(_, result) => {
                let done = self.reached(result, stage);
                self.ended(done, stage);
            }
            Event::Timeout => self.timeout(stage),
            Event::Panic => self.panicked(stage),
            Event::Snapshot => self.snapshot_changed(stage),
            Event::Vote(id, vote, reply) => match self.vote(id, vote, stage) {
                Ok(found) => *reply = found,
                Err(fault) => {
                    self.fail(fault, stage);
                    let words = "the session ended while the vote was recorded";
                    *reply = VoteReply::Refused(words.to_owned());
                }
            },
            Event::Kill(_) => self.fail(Fault::new(Side::Client, FaultKind::Killed), stage),
            Event::Drain { at_once } => {
                let idle = match &mut self.phase {
                    Phase::Open(open) => {
                        open.draining = true;
                        open.is_idle()
                    }
                    _ => true,
                };
                if at_once || idle {
                    self.fail(Fault::new(Side::Client, FaultKind::Drain), stage);
                }
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    fn next_timeout(&self) -> Option<u64> {
        let target = self.target.as_ref().and_then(|leg| leg.transport.next_timeout());
        let own = match &self.phase {
            Phase::Closed => return None,
            Phase::Open(open) => open.next_timeout(),
            Phase::Proof(Proof { waiting: Some(waiting), .. }) => {
                Some(waiting.deadline_us.min(self.deadline_us))
            }
            Phase::Proof(_) | Phase::Dialing(_) | Phase::Target(_) => Some(self.deadline_us),
        };
        let standing = self.standing.as_ref().and_then(Standing::look_us);
        [self.client.transport.next_timeout(), target, own, standing].into_iter().flatten().min()
    }

    fn wants(&self, end: End) -> bool {
        let side = end.side();
        let both = |side: Side| self.core.pending(side).len() + self.waiting(side);
        match &self.phase {
            Phase::Closed => false,
            Phase::Open(_) => {
                // A peer is not read while the other one is behind; nor while it does not take
                // what its own messages are answered with (PONG, replies), but that much later:
                // two peers that wait for each other must not wait for weir.
                both(side.peer()) < OUTBOX_BYTES_MAX && both(side) < 4 * OUTBOX_BYTES_MAX
            }
            Phase::Proof(Proof { waiting: Some(_), .. }) => false,
            Phase::Proof(_) => both(side) < OUTBOX_BYTES_MAX,
            Phase::Dialing(_) | Phase::Target(_) => side == Side::Server,
        }
    }

    fn records(&self, end: End) -> bool {
        match (&self.phase, end.side()) {
            (Phase::Open(_), Side::Server) => true,
            // Where nothing runs it can only ask for something new, which is refused.
            (Phase::Open(open), Side::Client) => open.channels.take_in(),
            _ => false,
        }
    }

    fn durability(&self) -> Durability {
        match &self.phase {
            Phase::Open(open) => open.durability,
            _ => Durability::Write,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    fn meter(&self) -> Option<&TargetMeter> {
        self.core.meter()
    }

    fn summary(&self, stage: &Stage<'_>) -> Option<SessionSummary> {
        Some(self.seen(stage))
    }
}
