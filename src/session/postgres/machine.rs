//! The session as its driver sees it: bytes, time and answers in; outboxes and outputs out.
//!
//! In: events. Out: the two outboxes, and outputs until `None` after each event.
//! Never: a socket, a clock, a wait.

use crate::config::settings::Durability;
use crate::fault::{self, Fault, FaultKind, Login as LoginFault, Malformed, Token};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::metrics::TargetMeter;
use crate::record::entry::{self, SessionEnd};
use crate::record::{Entry, SessionId};
use crate::session::{Driven, Event, Output, SessionSummary, Stage, Vote, VoteReply};
use crate::wire::postgres::reply;
use crate::wire::{End, Side};

use super::login::{Login, Progress};
use super::ready::{Ready, TERMINATE};
use crate::session::desk::{Accepted, TlsFacts};
use crate::session::postgres::core::Office;

/// One session, from the accepted connection to its last record.
pub struct Machine {
    core: Office,
    phase: Phase,
}

enum Phase {
    Login(Box<Login>),
    Ready(Box<Ready>),
    Closed,
}

impl Machine {
    /// A connection that was just accepted.
    pub fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Machine {
        let login = Login::new(stage);
        Machine { core: Office::open(accepted, stage), phase: Phase::Login(Box::new(login)) }
    }

    /// Bytes of a peer, decrypted if the side speaks TLS. All are taken.
    pub fn handle_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        if side == Side::Client {
            self.core.totals.bytes_in += bytes.len() as u64;
        }
        let core = &mut self.core;
        let result = match (&mut self.phase, side) {
            (Phase::Login(login), Side::Client) => login.client_bytes(core, stage, bytes),
            (Phase::Login(login), Side::Server) => login.server_bytes(core, stage, bytes),
            (Phase::Ready(ready), Side::Client) => {
                ready.client_bytes(core, stage, bytes).map(|()| Progress::More)
            }
            (Phase::Ready(ready), Side::Server) => {
                ready.server_bytes(core, stage, bytes).map(|()| Progress::More)
            }
            (Phase::Closed, _) => return,
        };
        match result {
            Ok(Progress::More) => {}
            Ok(Progress::Over) => self.over(stage),
            Ok(Progress::Ready(ready, early)) => {
                self.phase = Phase::Ready(ready);
                if !early.is_empty() {
                    // Bytes the client sent before it could know of its login; counted above.
                    self.in_ready(stage, |ready, core, stage| {
                        ready.client_bytes(core, stage, &early)
                    });
                }
            }
            Err(fault) => self.fail(fault, stage),
        }
        self.core.count_bytes();
    }

    /// A peer closed its sending direction.
    pub fn handle_eof(&mut self, side: Side, stage: &mut Stage<'_>) {
        let kind = match (&self.phase, side) {
            (Phase::Closed, _) => return,
            (Phase::Ready(_), Side::Client) => {
                return self.in_ready(stage, |ready, core, stage| ready.client_eof(core, stage));
            }
            (Phase::Ready(ready), Side::Server) if ready.leaving => FaultKind::Terminate,
            (Phase::Login(_), Side::Client) => FaultKind::Terminate,
            (_, Side::Server) => FaultKind::Target(fault::Target::Closed),
        };
        self.fail(Fault::new(side, kind), stage);
    }

    /// A connection broke: reset, or TLS that cannot be read.
    pub fn handle_broken(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        if !self.is_closed() {
            self.fail(fault, stage);
        }
    }

    /// A TLS handshake that `Output::StartTls` asked for is done.
    pub fn handle_tls(&mut self, side: Side, facts: TlsFacts, stage: &mut Stage<'_>) {
        let result = match &mut self.phase {
            Phase::Login(login) => login.tls_done(side, facts, &mut self.core, stage),
            Phase::Ready(_) => Err(Fault::new(side, FaultKind::Malformed(Malformed::Tls))),
            Phase::Closed => Ok(()),
        };
        if let Err(fault) = result {
            self.fail(fault, stage);
        }
    }

    /// The target is connected, or cannot be.
    pub fn handle_dialed(
        &mut self,
        result: Result<Endpoint, fault::Target>,
        stage: &mut Stage<'_>,
    ) {
        let result = match &mut self.phase {
            Phase::Login(login) => login.dialed(result, &mut self.core, stage),
            Phase::Ready(_) | Phase::Closed => Ok(()),
        };
        if let Err(fault) = result {
            self.fail(fault, stage);
        }
    }

    /// There is a new snapshot.
    pub fn handle_snapshot(&mut self, stage: &mut Stage<'_>) {
        let identity = match &self.phase {
            Phase::Login(login) => login.identity(),
            Phase::Ready(ready) => Some(&ready.link.identity),
            Phase::Closed => None,
        };
        if let Some(fault) = identity.and_then(|it| stage.snapshot.ends(it, stage.now)) {
            return self.fail(fault, stage);
        }
        if let Phase::Login(login) = &mut self.phase {
            if let Err(fault) = login.snapshot_arrived(&mut self.core, stage) {
                self.fail(fault, stage);
            }
            return;
        }
        self.in_ready(stage, |ready, core, stage| {
            ready.link.refresh(core, stage);
            ready.catalog_arrived(core, stage)
        });
    }

    /// One approver's word on the command this session holds.
    pub fn handle_vote(&mut self, id: SessionId, vote: &Vote, stage: &mut Stage<'_>) -> VoteReply {
        let Phase::Ready(ready) = &mut self.phase else { return VoteReply::Unknown };
        match ready.vote(id, vote, &mut self.core, stage) {
            Ok(reply) => reply,
            Err(fault) => {
                self.fail(fault, stage);
                VoteReply::Refused("the session ended while the vote was recorded".into())
            }
        }
    }

    /// The client of this session asked to cancel.
    pub fn handle_cancel(&mut self, stage: &mut Stage<'_>) {
        self.in_ready(stage, |ready, core, stage| {
            if !ready.cancel_hold(core, stage)? {
                let (target, endpoint) = (ready.link.target, ready.link.endpoint.clone());
                let dial = Dial::new(target, vec![endpoint], None, stage.now.mono_us);
                let key = core.backend_key.clone();
                core.output(Output::Errand(Box::new(dial), key));
            }
            Ok(())
        });
    }

    /// An administrator ends the session.
    pub fn handle_kill(&mut self, stage: &mut Stage<'_>) {
        if !self.is_closed() {
            self.fail(Fault::new(Side::Client, FaultKind::Killed), stage);
        }
    }

    /// weir shuts down: the session ends now if it is idle, else after its transaction; `now` ends
    /// it in any case.
    pub fn handle_drain(&mut self, at_once: bool, stage: &mut Stage<'_>) {
        let fault = Fault::new(Side::Client, FaultKind::Drain);
        let ends = match &mut self.phase {
            Phase::Login(_) => true,
            Phase::Ready(ready) => {
                ready.draining = true;
                at_once || ready.is_idle()
            }
            Phase::Closed => false,
        };
        if ends {
            self.fail(fault, stage);
        }
    }

    /// The time of `next_timeout` has come.
    pub fn handle_timeout(&mut self, stage: &mut Stage<'_>) {
        let now = stage.now.mono_us;
        match &mut self.phase {
            Phase::Login(login) if login.deadline_us() <= now => {
                let fault = login.timeout();
                self.fail(fault, stage);
            }
            Phase::Login(_) | Phase::Closed => {}
            Phase::Ready(_) => self.in_ready(stage, |ready, core, stage| {
                ready.expire_hold(core, stage)?;
                ready.next_share(core, stage)?;
                ready.unlearned(core, stage)?;
                if ready.catalog_overdue(now) { ready.catalog_arrived(core, stage) } else { Ok(()) }
            }),
        }
    }

    /// A panic inside another call: the session ends, recorded.
    pub fn handle_panic(&mut self, stage: &mut Stage<'_>) {
        // What the panicking call left is not looked at again.
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            Phase::Login(_) | Phase::Ready(_) => Phase::Login(Box::new(Login::new(stage))),
        };
        self.fail(Fault::new(Side::Client, FaultKind::Internal), stage);
    }

    /// The session's id.
    pub fn session_id(&self) -> SessionId {
        self.core.accepted.session_id
    }

    /// The approval this session waits for.
    pub fn held(&self) -> Option<SessionId> {
        match &self.phase {
            Phase::Ready(ready) => ready.held(),
            Phase::Login(_) | Phase::Closed => None,
        }
    }

    fn seen(&self, stage: &Stage<'_>) -> SessionSummary {
        let target_name = |index: usize| {
            let target = stage.snapshot.settings.targets.get(index);
            target.map(|target| target.name.clone()).unwrap_or_default()
        };
        let (user, target, role, state) = match &self.phase {
            Phase::Login(login) => {
                let visitor = login.visitor();
                let (user, target, role) =
                    visitor.map(|(u, t, r)| (u, target_name(t), r)).unwrap_or_default();
                (user, target, role, "login")
            }
            Phase::Ready(ready) => {
                let link = &ready.link;
                let user = link.identity.user.as_str();
                (user, link.target_name.clone(), link.role.as_str(), ready.state())
            }
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

    fn in_ready(
        &mut self,
        stage: &mut Stage<'_>,
        act: impl FnOnce(&mut Ready, &mut Office, &mut Stage<'_>) -> Result<(), Fault>,
    ) {
        let Phase::Ready(ready) = &mut self.phase else { return };
        if let Err(fault) = act(ready, &mut self.core, stage) {
            self.fail(fault, stage);
        }
    }

    /// A connection that wanted nothing but a cancel.
    fn over(&mut self, stage: &mut Stage<'_>) {
        self.phase = Phase::Closed;
        self.core.close(stage);
    }

    /// Ends the session: what is under way is recorded, the client is told, both sides close.
    fn fail(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        if let (Phase::Login(login), FaultKind::Target(why)) = (&mut self.phase, fault.kind)
            && login.try_next(why, &mut self.core)
        {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => return,
            Phase::Login(login) => {
                // A client that was refused leaves, breaks off or says nothing more: the refusal
                // is why the login failed.
                let left = matches!(
                    fault.kind,
                    FaultKind::Terminate | FaultKind::Malformed(_) | FaultKind::Limit(_)
                );
                self.login_failed(login.decided().filter(|_| left).unwrap_or(fault), stage);
            }
            Phase::Ready(ready) => self.ready_failed(*ready, fault, stage),
        }
        self.core.detach();
        self.core.close(stage);
        self.core.output(Output::Close(Some(fault)));
    }

    fn login_failed(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        let (_, message, _) = reply::words(&fault);
        let silent = fault.kind == FaultKind::Terminate && self.core.totals.bytes_in == 0;
        if !silent {
            let (event, severity) = match fault.kind {
                // libpq asks so before it gets itself a token.
                FaultKind::Login(LoginFault::Token(Token::Discovery)) => {
                    ("token-discovery", "info")
                }
                FaultKind::Login(_) => ("login-failed", "warn"),
                FaultKind::Terminate => ("connection-closed", "info"),
                _ => ("connection-refused", "warn"),
            };
            let attrs = serde_json::json!({ "reason": fault.label() }).to_string();
            let event = entry::Event { event, severity, message, attrs: &attrs };
            // A journal that refuses says so itself; the connection ends all the same.
            let _refused_elsewhere = self.core.event(&event, stage);
        }
        if !fault.is_silent() && !self.core.told_why {
            self.core.say(|out| reply::fault(out, "FATAL", &fault));
        }
    }

    fn ready_failed(&mut self, mut ready: Ready, fault: Fault, stage: &mut Stage<'_>) {
        let core = &mut self.core;
        let aborted = ready
            .abandon_hold(core, stage)
            .and_then(|()| {
                ready
                    .abort_answers(core, stage)
                    .map_err(|refused| Fault::new(Side::Client, FaultKind::Record(refused)))
            })
            .is_ok();
        let totals = core.totals;
        let end = SessionEnd {
            reason: if aborted { fault.label() } else { "journal-full" },
            commands: totals.commands,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            denied: totals.denied,
            masked: totals.masked,
        };
        let _refused_elsewhere = core.record(&Entry::SessionEnd(end), stage);
        let told = fault.is_silent()
            || (ready.server_fatal && fault.kind == FaultKind::Target(fault::Target::Closed));
        if !told && ready.may_interject() {
            core.say(|out| reply::fault(out, "FATAL", &fault));
        }
        if fault.side == Side::Client && !ready.leaving {
            core.server.say(&TERMINATE);
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
        match event {
            Event::Bytes(end, bytes) => self.handle_bytes(end.side(), bytes, stage),
            Event::Eof(end) => self.handle_eof(end.side(), stage),
            Event::Tls(end, facts) => self.handle_tls(end.side(), facts, stage),
            Event::Broken(_, fault) => self.handle_broken(fault, stage),
            Event::Leg(_, result) => {
                self.handle_dialed(result.map(|leased| leased.endpoint), stage);
            }
            Event::Timeout => self.handle_timeout(stage),
            Event::Panic => self.handle_panic(stage),
            Event::Snapshot => self.handle_snapshot(stage),
            Event::Vote(id, vote, reply) => *reply = self.handle_vote(id, vote, stage),
            Event::Signal => self.handle_cancel(stage),
            Event::Kill(_) => self.handle_kill(stage),
            Event::Drain { at_once } => self.handle_drain(at_once, stage),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    fn next_timeout(&self) -> Option<u64> {
        match &self.phase {
            Phase::Login(login) => Some(login.deadline_us()),
            Phase::Ready(ready) => ready.next_timeout(),
            Phase::Closed => None,
        }
    }

    fn wants(&self, end: End) -> bool {
        match &self.phase {
            Phase::Login(login) => login.wants(end.side()),
            Phase::Ready(ready) => ready.wants(end.side()),
            Phase::Closed => false,
        }
    }

    fn records(&self, end: End) -> bool {
        match (&self.phase, end.side()) {
            (Phase::Ready(ready), Side::Server) => ready.beliefs.has_running(),
            (Phase::Ready(ready), Side::Client) => ready.upload.is_some(),
            (Phase::Login(_) | Phase::Closed, _) => false,
        }
    }

    fn durability(&self) -> Durability {
        match &self.phase {
            Phase::Ready(ready) => ready.link.durability,
            Phase::Login(_) | Phase::Closed => Durability::Write,
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
