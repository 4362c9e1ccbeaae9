//! weir's own login at the target, from the dial to the session that is ready.
//!
//! In: the outcome of the dial, the target's messages. Out: a `Ready`.
//! Never: AuthenticationOk for the client before the target gave its own.

use crate::config::settings::{ChannelBinding, TargetTls};
use crate::fault::{self, Fault, FaultKind, Login as LoginFault, Malformed, Unsupported};
use crate::limits;
use crate::record::{Entry, entry::SessionStart};
use crate::wire::postgres::frame::{Step, Treat};
use crate::wire::postgres::login::{Channel, LoginStep, MINOR_MAX, TargetLogin};
use crate::wire::postgres::message::{SSL_REQUEST_PACKET, negotiated_minor};
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::super::core::{Core, TlsFacts};
use super::super::ready::{Link, Ready};
use super::super::reported::Reported;
use super::super::{Output, Stage};
use super::{CLIENT, Contact, Login, Progress, Replication, SERVER, State, malformed};

/// Process id and the shortest key: what protocol 3.0 has.
const SHORT_KEY_BYTES: usize = 8;
/// Process id and the longest key of protocol 3.2.
const LONG_KEY_BYTES: usize = 4 + 256;

impl Login {
    /// The target is connected, or cannot be.
    pub fn dialed(
        &mut self,
        result: Result<std::net::SocketAddr, fault::Target>,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let State::Dialing(visitor) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let address =
            result.map_err(|kind| Fault::new(SERVER, FaultKind::Target(kind)))?.to_string();
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let tls = target.ok_or(Fault::new(SERVER, FaultKind::Login(LoginFault::UnknownTarget)))?;
        let contact = Contact { visitor, address };
        if tls.tls == TargetTls::Disable {
            self.greet_target(contact, None, core, stage);
        } else {
            core.server.say(&SSL_REQUEST_PACKET);
            self.state = State::TargetSsl(contact);
        }
        Ok(())
    }

    /// Sends the start-up packet: weir's role, the client's settings.
    pub(super) fn greet_target(
        &mut self,
        contact: Contact,
        tls: Option<TlsFacts>,
        core: &mut Core,
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
        let theirs = asked.params.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
        let mut packet = Vec::new();
        let minor = asked.speaks.min(MINOR_MAX);
        reply::startup(&mut packet, minor, own.into_iter().chain(theirs));
        core.server.say(&packet);
        let mut nonce = [0u8; 18];
        (stage.random)(&mut nonce);
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let channel = Channel {
            encrypted: tls.is_some(),
            end_point: tls.and_then(|facts| facts.end_point),
            tls: target.map_or(TargetTls::VerifyFull, |t| t.tls),
            binding: target.map_or(ChannelBinding::Require, |t| t.channel_binding),
        };
        let login = TargetLogin::new(&credential.role, credential.password.clone(), nonce, channel);
        self.state = State::Target(contact, login, Reported::default());
    }

    /// Bytes of the target. When the session is ready, the rest of `bytes` is what follows.
    pub fn server_bytes(
        &mut self,
        core: &mut Core,
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
        core: &mut Core,
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
                core.output(Output::StartTls(SERVER));
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

    /// One message of the target's login; true when it was ReadyForQuery.
    fn target_message(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Fault> {
        let State::Target(contact, login, reported) = &mut self.state else {
            return Err(malformed(SERVER, Malformed::MessageType));
        };
        let body = Step::body(frame);
        match tag {
            b'K' => self.backend_key(body, core, stage)?,
            b'S' => {
                reported.note(body)?;
                core.pass(CLIENT, "ParameterStatus", frame, stage);
            }
            b'v' => {
                let minor = negotiated_minor(body);
                let minor = minor.ok_or(malformed(SERVER, Malformed::MessageBody))?;
                if let Some(known) = stage.snapshot.minors.get(contact.visitor.target) {
                    known.learn(minor);
                }
                contact.visitor.asked.speaks = minor;
            }
            b'N' => core.pass(CLIENT, "NoticeResponse", frame, stage),
            b'Z' if login.is_authenticated() => return Ok(true),
            b'Z' => return Err(malformed(SERVER, Malformed::MessageType)),
            _ => {
                let mut answer = Vec::new();
                let step = login.handle(tag, body, stage.salted, &mut answer);
                core.server.say(&answer);
                match step.map_err(|kind| Fault::new(SERVER, kind))? {
                    Some(LoginStep::More) => {}
                    Some(LoginStep::Authenticated) => core.say(reply::auth_ok),
                    None => {
                        // The target refuses for a reason of its own: no such database, too many
                        // connections, starting up. The client sees it as it would directly.
                        core.pass(CLIENT, "ErrorResponse", frame, stage);
                        core.told_why = true;
                        self.state = State::Over;
                        return Err(Fault::new(SERVER, FaultKind::Target(fault::Target::Closed)));
                    }
                }
            }
        }
        Ok(false)
    }

    /// The key that cancels what this session does. The client gets the target's own, so that any
    /// weir in front of the target can hand a cancel on. One that was told of protocol 3.0, of a
    /// target that has learned more since, gets the beginning of it.
    fn backend_key(
        &mut self,
        body: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let wrong = malformed(SERVER, Malformed::MessageBody);
        let State::Target(contact, ..) = &self.state else { return Err(wrong) };
        let asked = &contact.visitor.asked;
        let long = asked.speaks.min(MINOR_MAX) >= 2;
        let longest = if long { LONG_KEY_BYTES } else { SHORT_KEY_BYTES };
        if !(SHORT_KEY_BYTES..=longest).contains(&body.len()) {
            return Err(wrong);
        }
        if let (true, Some(known)) = (long, stage.snapshot.minors.get(contact.visitor.target)) {
            known.learn(asked.speaks.min(MINOR_MAX));
        }
        let told =
            if asked.agreed >= 2 { body } else { body.get(..SHORT_KEY_BYTES).ok_or(wrong)? };
        if !core.backend_key.is_empty() {
            return Err(malformed(SERVER, Malformed::MessageType));
        }
        self.backend_pid = Reader::new(body).i32().ok_or(wrong)?;
        core.backend_key = body.to_vec();
        core.output(Output::CancelKey(told.to_vec()));
        let mut frame = Vec::with_capacity(5 + told.len());
        reply::message(&mut frame, b'K', |out| out.extend_from_slice(told));
        core.pass(CLIENT, "BackendKeyData", &frame, stage);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core, stage: &mut Stage<'_>) -> Result<Ready, Fault> {
        let State::Target(contact, _, reported) = std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let Contact { visitor, address } = contact;
        let link =
            Link::new(visitor.target, visitor.identity, visitor.credential.role, core, stage)
                .ok_or(Fault::new(CLIENT, FaultKind::Login(LoginFault::UnknownTarget)))?;
        core.attach(link.target, stage);
        let start = SessionStart {
            server_addr: &address,
            server_version: &reported.server_version,
            durability: link.durability_name(),
            backend_pid: self.backend_pid,
        };
        let receipt = core
            .record(&Entry::SessionStart(start), stage)
            .map_err(|refused| Fault::new(CLIENT, FaultKind::Record(refused)))?;
        let idle = [b'Z', 0, 0, 0, 5, b'I'];
        let permit = crate::decide::Permit::housekeeping("ReadyForQuery of the login");
        core.send(CLIENT, permit, receipt, &idle);
        let mut ready = Ready::new(link);
        ready.reported = reported;
        ready.replication = visitor.asked.replication;
        Ok(ready)
    }
}
