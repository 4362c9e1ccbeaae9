//! weir's own login at the target, from the dial to the session that is ready.
//!
//! In: the outcome of the dial, the target's messages. Out: a `Ready`, or the next server.
//! Never: AuthenticationOk for the client before a server that may be used gave its own.

use crate::config::settings::{ChannelBinding, SessionAttrs, TargetTls, TlsNegotiation};
use crate::decide::Permit;
use crate::decide::sql::Plumbing;
use crate::fault::{self, Fault, FaultKind, Limit, Login as LoginFault, Malformed, Unsupported};
use crate::forward::dial::{Dial, Endpoint, patience_us, shuffle};
use crate::hex;
use crate::limits;
use crate::record::{Entry, entry::SessionStart};
use crate::session::postgres::standing::{Fit, Standing};
use crate::session::postgres::target_login::{Channel, LoginStep, MINOR_MAX, TargetLogin};
use crate::wire::postgres::frame::{Framer, Step, Treat};
use crate::wire::postgres::message::{
    CANNOT_CONNECT_NOW, SSL_REQUEST_PACKET, error_fields, negotiated_minor,
};
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::super::beliefs::reading::Reading;
use super::super::beliefs::startup;
use super::super::ready::{Link, Ready, TERMINATE};
use super::{CLIENT, Contact, Login, Progress, Replication, SERVER, State, Visitor, malformed};
use crate::session::desk::TlsFacts;
use crate::session::postgres::TARGET;
use crate::session::postgres::core::Office;
use crate::session::{Lease, Output, Stage};
use crate::wire::LegId;

/// Process id and the shortest key: what protocol 3.0 has.
const SHORT_KEY_BYTES: usize = 8;
/// Process id and the longest key of protocol 3.2.
const LONG_KEY_BYTES: usize = 4 + 256;

/// The dial ends by itself; this much later the session does.
const GRACE_US: u64 = 1_000_000;

/// What a server has said in its login. The client hears of it when the server is used.
#[derive(Default)]
pub(super) struct Answers {
    /// It has accepted weir's credential.
    authenticated: bool,
    /// For the client.
    frames: Vec<u8>,
    reading: Reading,
    server_version: String,
    standing: Standing,
    /// What it is asked about itself, and what it has answered.
    question: Option<(&'static str, Option<Vec<u8>>)>,
    backend_pid: i32,
    /// The key that the client gets.
    key: Vec<u8>,
}

impl Answers {
    fn keep(&mut self, frame: &[u8]) -> Result<(), Fault> {
        if self.frames.len() + frame.len() > limits::LOGIN_ANSWERS_BYTES_MAX {
            return Err(Fault::new(SERVER, FaultKind::Limit(Limit::MessageBytes)));
        }
        self.frames.extend_from_slice(frame);
        Ok(())
    }

    fn parameter(&mut self, frame: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(Step::body(frame));
        let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
            return Err(malformed(SERVER, Malformed::MessageBody));
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (name, value) = (text(name), text(value));
        self.standing.report(&name, &value);
        // Nothing was sent yet that it could contradict.
        let _fits = self.reading.note(&name, &value, None);
        if name == "server_version" {
            self.server_version = value;
        }
        self.keep(frame)
    }

    /// A message that answers weir's question.
    fn answer(&mut self, tag: u8, body: &[u8]) -> Result<(), Fault> {
        let Some((_, answer)) = &mut self.question else {
            return Err(malformed(SERVER, Malformed::MessageType));
        };
        match tag {
            b'D' => {
                let mut reader = Reader::new(body);
                let value = reader.u16().and_then(|_| reader.value()).flatten();
                *answer = value.map(<[u8]>::to_vec);
                Ok(())
            }
            // An error is no answer: that is looked at when the server is ready again.
            b'T' | b'C' | b'E' => Ok(()),
            _ => Err(malformed(SERVER, Malformed::MessageType)),
        }
    }

    /// The server is ready: whether it is one that may be used. A question is one for it.
    fn fit(&mut self, attrs: SessionAttrs) -> Fit {
        if let Some((question, answer)) = self.question.take()
            && let Err(why) = self.standing.answer(question, answer.as_deref())
        {
            return Fit::No(why);
        }
        self.standing.fit(attrs)
    }
}

/// A server that starts TLS at once has to say that it means this protocol (PostgreSQL: ALPN).
pub(super) fn confirm(contact: &Contact, facts: &TlsFacts, stage: &Stage<'_>) -> Result<(), Fault> {
    let target = stage.snapshot.settings.targets.get(contact.visitor.target);
    let direct = target.is_some_and(|t| t.negotiation == TlsNegotiation::Direct);
    match facts.alpn.as_deref() {
        Some(b"postgresql") => Ok(()),
        _ if direct => Err(malformed(SERVER, Malformed::Tls)),
        _ => Ok(()),
    }
}

impl Login {
    /// Begins to dial the target of a client that proved who it is.
    pub(super) fn dial(
        &mut self,
        visitor: Box<Visitor>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let mut endpoints =
            stage.snapshot.addresses.get(visitor.target).cloned().unwrap_or_default();
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let gone = Fault::new(SERVER, FaultKind::Login(LoginFault::UnknownTarget));
        let reach = &target.ok_or(gone)?.reach;
        if reach.shuffled {
            shuffle(&mut endpoints, stage.random);
        }
        let once_us = patience_us(endpoints.len(), reach.connect_timeout_us);
        let twice = reach.attrs == SessionAttrs::PreferStandby;
        let all_us = if twice { once_us.saturating_mul(2) } else { once_us };
        // The dial knows more than that it is late, so it is asked first.
        self.deadline_us = stage.now.mono_us.saturating_add(all_us + GRACE_US);
        self.try_these(visitor, endpoints, core, stage);
        Ok(())
    }

    fn try_these(
        &mut self,
        visitor: Box<Visitor>,
        endpoints: Vec<Endpoint>,
        core: &mut Office,
        stage: &Stage<'_>,
    ) {
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let timeout_us = target.and_then(|target| target.reach.connect_timeout_us);
        let dial = Dial::new(visitor.target, endpoints, timeout_us, stage.now.mono_us);
        let lease =
            Lease { leg: LegId::FIRST, dial: Box::new(dial), reuse: None, waited_us_max: 0 };
        core.output(Output::Lease(lease));
        self.state = State::Dialing(visitor);
    }

    /// Whether the next server is tried after this one failed. Not where what is wrong is wrong at
    /// all of them, or should not be passed over: a credential, a certificate.
    pub fn try_next(&mut self, why: fault::Target, core: &mut Office) -> bool {
        let passes = why.is_misfit()
            || matches!(
                why,
                fault::Target::Closed | fault::Target::Timeout | fault::Target::Starting
            );
        if !passes {
            return false;
        }
        let (contact, told) = match std::mem::replace(&mut self.state, State::Over) {
            State::TargetSsl(contact) | State::TargetHandshake(contact) => (contact, false),
            State::Target(contact, _, answers) => (contact, answers.authenticated),
            other => {
                self.state = other;
                return false;
            }
        };
        if told {
            core.server.say(&TERMINATE);
        }
        if why == fault::Target::NotStandby {
            self.tried.primaries.push(contact.endpoint);
        }
        self.server = Framer::default();
        core.backend_key.clear();
        self.state = State::Dialing(contact.visitor);
        core.output(Output::Next(LegId::FIRST, why));
        true
    }

    /// The target is connected, or cannot be.
    pub fn dialed(
        &mut self,
        result: Result<Endpoint, fault::Target>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let State::Dialing(visitor) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let target =
            target.ok_or(Fault::new(SERVER, FaultKind::Login(LoginFault::UnknownTarget)))?;
        let endpoint = match result {
            Ok(endpoint) => endpoint,
            Err(why) => return self.undialed((visitor, target.reach.attrs), why, core, stage),
        };
        let contact = Contact { visitor, endpoint };
        match (target.tls, target.negotiation) {
            (TargetTls::Disable, _) => self.greet_target(contact, None, core, stage),
            (_, TlsNegotiation::Direct) => {
                self.state = State::TargetHandshake(contact);
                core.output(Output::StartTls(TARGET));
            }
            (_, TlsNegotiation::Postgres) => {
                core.server.say(&SSL_REQUEST_PACKET);
                self.state = State::TargetSsl(contact);
            }
        }
        Ok(())
    }

    /// No server is left: a primary will do where a standby was preferred.
    fn undialed(
        &mut self,
        (visitor, attrs): (Box<Visitor>, SessionAttrs),
        why: fault::Target,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let primaries = std::mem::take(&mut self.tried.primaries);
        if attrs == SessionAttrs::PreferStandby && !primaries.is_empty() && !self.tried.lenient {
            self.tried.lenient = true;
            self.try_these(visitor, primaries, core, stage);
            return Ok(());
        }
        if why == fault::Target::Starting && !self.tried.refusal.is_empty() {
            // The client sees it as it would directly.
            let refusal = std::mem::take(&mut self.tried.refusal);
            core.pass(CLIENT, Plumbing::Login, &refusal, stage);
        }
        Err(Fault::new(SERVER, FaultKind::Target(why)))
    }

    /// Sends the start-up packet: weir's role, the client's settings.
    pub(super) fn greet_target(
        &mut self,
        contact: Contact,
        tls: Option<TlsFacts>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) {
        let target = stage.snapshot.settings.targets.get(contact.visitor.target);
        let (asked, credential) = (&contact.visitor.asked, &contact.visitor.credential);
        let database = target.map(|t| t.database.as_str()).unwrap_or_default();
        let mut own = vec![
            (&b"user"[..], credential.role.as_bytes()),
            (&b"database"[..], database.as_bytes()),
        ];
        match asked.replication {
            None => {}
            Some(Replication::Physical) => own.push((b"replication", b"true")),
            Some(Replication::Logical) => own.push((b"replication", b"database")),
        }
        let mut packet = Vec::new();
        let minor = asked.speaks.min(MINOR_MAX);
        reply::startup(&mut packet, minor, own.into_iter().chain(asked.settings()));
        core.server.say(&packet);
        let mut nonce = [0u8; 18];
        (stage.random)(&mut nonce);
        let nonce = hex::text(&nonce);
        let channel = Channel {
            encrypted: tls.is_some(),
            end_point: tls.and_then(|facts| facts.end_point),
            binding: target.map_or(ChannelBinding::Require, |t| t.channel_binding),
        };
        let login = TargetLogin::new(&credential.role, credential.password.clone(), nonce, channel);
        let settings = startup::settings(contact.visitor.asked.settings());
        let pairs = settings.iter().map(|setting| (setting.name.as_str(), setting.value.as_str()));
        let answers = Answers { reading: Reading::asked(pairs), ..Answers::default() };
        self.state = State::Target(contact, login, Box::new(answers));
    }

    /// Bytes of the target. When the session is ready, the rest of `bytes` is what follows.
    pub fn server_bytes(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
        bytes: &[u8],
    ) -> Result<Progress, Fault> {
        let mut input = bytes;
        if let State::TargetSsl(..) = self.state {
            self.ssl_answer(&mut input, core, stage)?;
        }
        let mut framer = std::mem::take(&mut self.server);
        let max = limits::LOGIN_MESSAGE_BYTES_MAX;
        loop {
            let step = framer.next(&mut input, max, |_, _| Treat::Hold);
            match step.map_err(|kind| malformed(SERVER, kind))? {
                Step::Whole { tag, frame } => {
                    if self.target_message(tag, frame, core, stage)? {
                        let ready = self.ready(core, stage)?;
                        // The target says nothing on its own between its first ReadyForQuery and
                        // the first command, except notices; they belong to the ready session.
                        let mut ready = Box::new(ready);
                        ready.server_bytes(core, stage, input)?;
                        return Ok(Progress::Ready(ready, std::mem::take(&mut self.buffer)));
                    }
                }
                _ => break,
            }
        }
        self.server = framer;
        Ok(Progress::More)
    }

    fn ssl_answer(
        &mut self,
        input: &mut &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some((&answer, rest)) = input.split_first() else { return Ok(()) };
        *input = rest;
        let State::TargetSsl(contact) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(());
        };
        let mode = stage.snapshot.settings.targets.get(contact.visitor.target).map(|t| t.tls);
        match answer {
            b'S' if rest.is_empty() => {
                self.state = State::TargetHandshake(contact);
                core.output(Output::StartTls(TARGET));
                Ok(())
            }
            b'S' => Err(malformed(SERVER, Malformed::BytesBeforeTls)),
            b'N' if mode == Some(TargetTls::Prefer) => {
                self.greet_target(contact, None, core, stage);
                Ok(())
            }
            b'N' => Err(Fault::new(SERVER, FaultKind::Unsupported(Unsupported::TlsRequired))),
            _ => Err(malformed(SERVER, Malformed::MessageType)),
        }
    }

    /// One message of the target's login; true when the server is ready, and one to be used.
    fn target_message(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Fault> {
        let State::Target(contact, login, answers) = &mut self.state else {
            return Err(malformed(SERVER, Malformed::MessageType));
        };
        let body = Step::body(frame);
        match tag {
            b'K' => backend_key(contact, answers, body, (core, stage))?,
            b'S' => answers.parameter(frame)?,
            b'v' => {
                let minor = negotiated_minor(body);
                let minor = minor.ok_or(malformed(SERVER, Malformed::MessageBody))?;
                if let Some(known) = stage.snapshot.minors.get(contact.visitor.target) {
                    known.learn(minor);
                }
                contact.visitor.asked.speaks = minor;
            }
            b'N' => answers.keep(frame)?,
            b'Z' if !answers.authenticated => {
                return Err(malformed(SERVER, Malformed::MessageType));
            }
            b'Z' => return self.measure(core, stage),
            _ if answers.question.is_some() => answers.answer(tag, body)?,
            _ => {
                let mut answer = Vec::new();
                let step = login.handle(tag, body, stage.salted, &mut answer);
                core.server.say(&answer);
                match step.map_err(|kind| Fault::new(SERVER, kind))? {
                    Some(LoginStep::More) => {}
                    Some(LoginStep::Authenticated) => answers.authenticated = true,
                    None => return Err(self.refused(frame, core, stage)),
                }
            }
        }
        Ok(false)
    }

    /// The target refuses for a reason of its own: no such database, too many connections. The
    /// client sees it as it would directly, unless another server may do.
    fn refused(&mut self, frame: &[u8], core: &mut Office, stage: &mut Stage<'_>) -> Fault {
        let sqlstate = error_fields(Step::body(frame)).find(|(code, _)| *code == b'C');
        if sqlstate.is_some_and(|(_, text)| text == CANNOT_CONNECT_NOW.as_bytes()) {
            self.tried.refusal = frame.to_vec();
            return Fault::new(SERVER, FaultKind::Target(fault::Target::Starting));
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        if let State::Target(_, _, answers) = state
            && answers.authenticated
        {
            core.say(reply::auth_ok);
            core.pass(CLIENT, Plumbing::Login, &answers.frames, stage);
        }
        core.pass(CLIENT, Plumbing::Login, frame, stage);
        core.told_why = true;
        Fault::new(SERVER, FaultKind::Target(fault::Target::Closed))
    }

    /// The server takes commands: whether it is one that may be used, as far as is known.
    fn measure(&mut self, core: &mut Office, stage: &Stage<'_>) -> Result<bool, Fault> {
        let State::Target(contact, _, answers) = &mut self.state else {
            return Err(malformed(SERVER, Malformed::MessageType));
        };
        let target = stage.snapshot.settings.targets.get(contact.visitor.target);
        let attrs = match target.map(|target| target.reach.attrs) {
            Some(attrs) if !self.tried.lenient => attrs,
            _ => SessionAttrs::Any,
        };
        match answers.fit(attrs) {
            Fit::Yes => Ok(true),
            Fit::No(why) => Err(Fault::new(SERVER, FaultKind::Target(why))),
            Fit::Ask(question) => {
                answers.question = Some((question, None));
                let mut message = Vec::new();
                reply::query(&mut message, question);
                core.server.say(&message);
                Ok(false)
            }
        }
    }

    fn ready(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<Ready, Fault> {
        let State::Target(contact, _, answers) = std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let Contact { visitor, endpoint } = contact;
        let address = endpoint.address.to_string();
        let role = visitor.credential.role;
        let link = Link::new((visitor.target, endpoint), visitor.identity, role, core, stage)
            .ok_or(Fault::new(CLIENT, FaultKind::Login(LoginFault::UnknownTarget)))?;
        core.attach(link.target, stage);
        let settings = startup::json(&startup::settings(visitor.asked.settings()));
        let detail = link.identity.method.detail();
        let listener = stage.snapshot.settings.address_of(core.accepted.listener);
        let start = SessionStart {
            listener: &listener,
            auth_detail: &detail,
            settings: &settings,
            server_addr: &address,
            server_version: &answers.server_version,
            durability: link.durability_name(),
            backend_pid: answers.backend_pid,
            ..SessionStart::default()
        };
        let receipt = core
            .record(&Entry::SessionStart(start), stage)
            .map_err(|refused| Fault::new(CLIENT, FaultKind::Record(refused)))?;
        core.output(Output::Settled(LegId::FIRST));
        if !answers.key.is_empty() {
            core.output(Output::Named(answers.key));
        }
        core.say(reply::auth_ok);
        core.pass(CLIENT, Plumbing::Login, &answers.frames, stage);
        let idle = [b'Z', 0, 0, 0, 5, b'I'];
        let permit = Permit::plumbing(Plumbing::Login);
        core.send(CLIENT, permit, receipt, &idle);
        let mut ready = Ready::new(link, answers.reading);
        for setting in startup::settings(visitor.asked.settings()) {
            ready.changed.note(&setting.name, &setting.value);
        }
        ready.replication = visitor.asked.replication;
        Ok(ready)
    }
}

/// The key that cancels what this session does. The client gets the target's own, so that any weir
/// in front of the target can hand a cancel on. One that was told of protocol 3.0, of a target that
/// has learned more since, gets the beginning of it.
fn backend_key(
    contact: &Contact,
    answers: &mut Answers,
    body: &[u8],
    (core, stage): (&mut Office, &Stage<'_>),
) -> Result<(), Fault> {
    let wrong = malformed(SERVER, Malformed::MessageBody);
    let asked = &contact.visitor.asked;
    let long = asked.speaks.min(MINOR_MAX) >= 2;
    let longest = if long { LONG_KEY_BYTES } else { SHORT_KEY_BYTES };
    if !(SHORT_KEY_BYTES..=longest).contains(&body.len()) {
        return Err(wrong);
    }
    if let (true, Some(known)) = (long, stage.snapshot.minors.get(contact.visitor.target)) {
        known.learn(asked.speaks.min(MINOR_MAX));
    }
    let told = if asked.agreed >= 2 { body } else { body.get(..SHORT_KEY_BYTES).ok_or(wrong)? };
    answers.backend_pid = Reader::new(body).i32().ok_or(wrong)?;
    answers.key = told.to_vec();
    core.backend_key = body.to_vec();
    let mut frame = Vec::with_capacity(5 + told.len());
    reply::message(&mut frame, b'K', |out| out.extend_from_slice(told));
    answers.keep(&frame)
}
