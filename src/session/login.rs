//! From the first byte to a session that is ready: who the client is, and weir's own login.
//!
//! In: first packets, SASL messages, the target's answers. Out: an identity, a link to a target.
//! Never: a dial for a client that has not proven who it is.
//!
//! ```text
//!   FirstPacket --SSLRequest/0x16--> Handshake --done--> FirstPacket
//!       | StartupMessage
//!       v
//!     Sasl --proof--> Dialing --connected--> [TargetSsl --'S'--> TargetHandshake] --> Target
//!                                                                                      | Z
//!                                                                                      v Ready
//! ```

use std::collections::HashMap;

use crate::config::settings::{Credential, TargetTls};
use crate::decide::classify::changes_parsing;
use crate::fault::{self, Fault, FaultKind, Limit, Login as LoginFault, Malformed, Unsupported};
use crate::identify::Identity;
use crate::identify::scram::{ScramError, ServerExchange};
use crate::limits;
use crate::record::{Entry, SessionContext};
use crate::wire::Side;
use crate::wire::postgres::frame::{Framer, Step, Treat};
use crate::wire::postgres::login::{LoginStep, TargetLogin};
use crate::wire::postgres::message::{
    FirstPacket, SSL_REQUEST_PACKET, Startup, first_packet_bytes,
};
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::core::{Core, TlsFacts};
use super::ready::{Link, Ready};
use super::{Output, Stage};

/// What the client asked for at start-up.
#[derive(Debug, Default)]
struct Asked {
    user: String,
    database: String,
    /// Everything else, handed to the target.
    params: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Asked {
    fn application(&self) -> String {
        let name = self.params.iter().find(|(name, _)| name == b"application_name");
        name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }
}

/// A client that proved who it is, on its way to a target.
#[derive(Debug)]
struct Visitor {
    asked: Asked,
    identity: Identity,
    /// Index in the settings' targets.
    target: usize,
    credential: Credential,
}

/// Where the login stands.
enum State {
    FirstPacket,
    Handshake,
    Sasl { asked: Asked, exchange: ServerExchange, first: bool },
    Dialing(Box<Visitor>),
    TargetSsl(Box<Visitor>, String),
    TargetHandshake(Box<Visitor>, String),
    Target(Box<Visitor>, String, TargetLogin, HashMap<String, String>),
    Over,
}

/// The login of one session.
pub struct Login {
    state: State,
    /// Bytes of the client not yet understood.
    buffer: Vec<u8>,
    server: Framer,
    ssl_asked: bool,
    gss_asked: bool,
    direct_tls: bool,
    tls: Option<TlsFacts>,
    backend_pid: i32,
    deadline_us: u64,
}

/// What a step of the login led to.
pub enum Progress {
    /// It goes on.
    More,
    /// The client wanted a cancel, or left before it said anything; nothing more will come.
    Over,
    /// The session is ready; these bytes of the client came ahead of it.
    Ready(Box<Ready>, Vec<u8>),
}

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;

fn client_fault(kind: FaultKind) -> Fault {
    Fault::new(CLIENT, kind)
}

fn malformed(side: Side, kind: Malformed) -> Fault {
    Fault::new(side, FaultKind::Malformed(kind))
}

impl Login {
    /// A connection that has said nothing yet.
    pub fn new(stage: &Stage<'_>) -> Login {
        Login {
            state: State::FirstPacket,
            buffer: Vec::new(),
            server: Framer::default(),
            ssl_asked: false,
            gss_asked: false,
            direct_tls: false,
            tls: None,
            backend_pid: 0,
            deadline_us: stage.now.mono_us + limits::LOGIN_TIMEOUT_US,
        }
    }

    /// When it has taken too long.
    pub fn deadline_us(&self) -> u64 {
        self.deadline_us
    }

    /// The name the client gave, for `weir sessions`, once it is proven.
    pub fn visitor(&self) -> Option<(&str, usize, &str)> {
        match &self.state {
            State::Dialing(v)
            | State::TargetSsl(v, _)
            | State::TargetHandshake(v, _)
            | State::Target(v, ..) => {
                Some((v.identity.user.as_str(), v.target, v.credential.role.as_str()))
            }
            State::FirstPacket | State::Handshake | State::Sasl { .. } | State::Over => None,
        }
    }

    /// Whether this side should be read.
    pub fn wants(&self, side: Side) -> bool {
        match side {
            CLIENT => self.buffer.len() < limits::BACKLOG_BYTES_MAX,
            SERVER => true,
        }
    }

    /// Bytes of the client, in clear or decrypted.
    pub fn client_bytes(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
        bytes: &[u8],
    ) -> Result<Progress, Fault> {
        if matches!(self.state, State::FirstPacket)
            && self.buffer.is_empty()
            && self.may_tls(core)
            && bytes.first() == Some(&0x16)
        {
            self.state = State::Handshake;
            self.direct_tls = true;
            core.output(Output::StartTls(CLIENT));
            return Ok(Progress::More);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            let went_on = match &self.state {
                State::FirstPacket => self.first_packet(core, stage)?,
                State::Sasl { .. } => self.sasl(core, stage)?,
                // The request itself is consumed; what follows it in clear is an attack.
                State::Handshake if !self.buffer.is_empty() => {
                    return Err(malformed(CLIENT, Malformed::BytesBeforeTls));
                }
                _ => return Ok(Progress::More),
            };
            match went_on {
                Some(Progress::More) => {}
                Some(progress) => return Ok(progress),
                None => return Ok(Progress::More),
            }
        }
    }

    /// A TLS ClientHello instead of a packet (PostgreSQL 17, `sslnegotiation=direct`).
    fn may_tls(&self, core: &Core) -> bool {
        core.accepted.tls_available && self.tls.is_none() && !self.ssl_asked && !self.gss_asked
    }

    /// `None`: more bytes are needed.
    fn first_packet(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Progress>, Fault> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let Some(length) = first_packet_bytes(*length) else {
            return Err(malformed(CLIENT, Malformed::StartupLength));
        };
        let Some(packet) = self.buffer.get(..length as usize) else { return Ok(None) };
        let packet = packet.to_vec();
        self.buffer.drain(..packet.len());
        match FirstPacket::parse(&packet) {
            None => Err(malformed(CLIENT, Malformed::StartupContent)),
            Some(FirstPacket::Ssl) => self.ssl_request(core),
            Some(FirstPacket::GssEnc) => {
                if std::mem::replace(&mut self.gss_asked, true) {
                    return Err(malformed(CLIENT, Malformed::MessageType));
                }
                core.client.say(b"N");
                Ok(Some(Progress::More))
            }
            Some(FirstPacket::Cancel(key)) => {
                self.state = State::Over;
                core.output(Output::Cancel(key.to_vec()));
                core.output(Output::Close(None));
                Ok(Some(Progress::Over))
            }
            Some(FirstPacket::Startup(startup)) => {
                self.startup(&startup, core, stage)?;
                Ok(Some(Progress::More))
            }
        }
    }

    fn ssl_request(&mut self, core: &mut Core) -> Result<Option<Progress>, Fault> {
        if std::mem::replace(&mut self.ssl_asked, true) || self.tls.is_some() {
            return Err(malformed(CLIENT, Malformed::MessageType));
        }
        if !core.accepted.tls_available {
            core.client.say(b"N");
            return Ok(Some(Progress::More));
        }
        if !self.buffer.is_empty() {
            return Err(malformed(CLIENT, Malformed::BytesBeforeTls));
        }
        core.client.say(b"S");
        core.output(Output::StartTls(CLIENT));
        self.state = State::Handshake;
        Ok(Some(Progress::More))
    }

    fn startup(
        &mut self,
        startup: &Startup<'_>,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if startup.major != 3 {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::ProtocolVersion)));
        }
        if core.accepted.tls_required && self.tls.is_none() {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::PlaintextClient)));
        }
        let unknown: Vec<&[u8]> =
            startup.params().map(|(name, _)| name).filter(|n| n.starts_with(b"_pq_.")).collect();
        if startup.minor > 0 || !unknown.is_empty() {
            core.say(|out| reply::negotiate(out, 0, &unknown));
        }
        let is_off = |value: &[u8]| {
            [&b"false"[..], b"off", b"no", b"0", b""].iter().any(|o| value.eq_ignore_ascii_case(o))
        };
        if startup.param("replication").is_some_and(|value| !is_off(value)) {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::Replication)));
        }
        let text =
            |name| String::from_utf8_lossy(startup.param(name).unwrap_or_default()).into_owned();
        let user = text("user");
        if user.is_empty() {
            return Err(malformed(CLIENT, Malformed::StartupContent));
        }
        let database = Some(text("database")).filter(|d| !d.is_empty()).unwrap_or(user.clone());
        let own: [&[u8]; 3] = [b"user", b"database", b"replication"];
        let params = startup
            .params()
            .filter(|(name, _)| !own.contains(name) && !name.starts_with(b"_pq_."))
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        if startup.params().any(|(name, value)| hides_commands(name, value)) {
            return Err(client_fault(FaultKind::Unsupported(Unsupported::ParserSetting)));
        }
        let mut nonce = [0u8; 18];
        (stage.random)(&mut nonce);
        let snapshot = stage.snapshot;
        let known = snapshot.settings.users.iter().find(|u| u.name == user);
        let verifier = known.map(|user| &user.verifier);
        let exchange = ServerExchange::new(&user, verifier, &snapshot.mock_seed, &nonce);
        core.say(|out| reply::auth_sasl(out, &["SCRAM-SHA-256"]));
        let asked = Asked { user, database, params };
        self.state = State::Sasl { asked, exchange, first: true };
        Ok(())
    }

    fn sasl(&mut self, core: &mut Core, stage: &mut Stage<'_>) -> Result<Option<Progress>, Fault> {
        let mut framer = Framer::default();
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = buffer.as_slice();
        let step = framer
            .next(&mut input, limits::AUTH_MESSAGE_BYTES_MAX, |_, _| Treat::Hold)
            .map_err(|kind| malformed(CLIENT, kind))?;
        let Step::Whole { tag, frame } = step else {
            self.buffer = buffer;
            return Ok(None);
        };
        if tag != b'p' {
            return Err(malformed(CLIENT, Malformed::MessageType));
        }
        let body = Step::body(frame);
        let State::Sasl { asked, mut exchange, first } =
            std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(client_fault(FaultKind::Internal));
        };
        let rest = input.to_vec();
        if first {
            let message =
                initial_response(body).ok_or(client_fault(FaultKind::Login(LoginFault::Sasl)))?;
            let answer = exchange.client_first(message).map_err(scram_fault)?;
            core.say(|out| reply::auth_sasl_data(out, 11, &answer));
            self.state = State::Sasl { asked, exchange, first: false };
        } else {
            let answer = exchange.client_final(body);
            if answer.is_err() {
                self.name(core, stage, &asked, "");
            }
            let answer = answer.map_err(scram_fault)?;
            core.say(|out| reply::auth_sasl_data(out, 12, &answer));
            self.admit(asked, core, stage)?;
        }
        self.buffer = rest;
        Ok(Some(Progress::More))
    }

    /// The client proved who it is: find its target and role, and dial.
    fn admit(&mut self, asked: Asked, core: &mut Core, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.name(core, stage, &asked, "scram-sha-256");
        let settings = &stage.snapshot.settings;
        let user = settings.users.iter().find(|user| user.name == asked.user);
        let user = user.ok_or(client_fault(FaultKind::Login(LoginFault::Credentials)))?;
        let identity = Identity {
            user: user.name.clone(),
            groups: user.groups.clone(),
            method: "scram-sha-256",
        };
        let target = settings.targets.iter().position(|target| target.name == asked.database);
        let target = target.ok_or(client_fault(FaultKind::Login(LoginFault::UnknownTarget)))?;
        let credentials = settings.targets.get(target).map(|t| t.credentials.as_slice());
        let credential = credentials.unwrap_or_default().iter().find(|credential| {
            credential.groups.is_empty()
                || credential.groups.iter().any(|group| identity.groups.contains(group))
        });
        let credential = credential.cloned();
        let credential = credential.ok_or(client_fault(FaultKind::Login(LoginFault::NoRole)))?;
        self.deadline_us = stage.now.mono_us + limits::DIAL_TIMEOUT_US;
        let visitor = Visitor { asked, identity, target, credential };
        core.identify(&self.context(core, &visitor, stage), stage);
        self.state = State::Dialing(Box::new(visitor));
        let endpoints = stage.snapshot.addresses.get(target).cloned().unwrap_or_default();
        core.output(Output::Dial(Box::new(crate::forward::dial::Dial::new(
            target,
            endpoints,
            None,
            stage.now.mono_us,
        ))));
        Ok(())
    }

    /// So that a failed login is recorded under the name that was tried.
    fn name(&self, core: &mut Core, stage: &mut Stage<'_>, asked: &Asked, method: &str) {
        let context = SessionContext {
            user_name: asked.user.clone(),
            auth_method: method.to_owned(),
            target: asked.database.clone(),
            client_app: asked.application(),
            tls_version: self.tls_version(),
            ..core.anonymous()
        };
        core.identify(&context, stage);
    }

    fn tls_version(&self) -> String {
        self.tls.as_ref().map(|facts| facts.version.to_owned()).unwrap_or_default()
    }

    fn context(&self, core: &Core, visitor: &Visitor, stage: &Stage<'_>) -> SessionContext {
        let target = stage.snapshot.settings.targets.get(visitor.target);
        SessionContext {
            user_name: visitor.identity.user.clone(),
            user_groups: visitor.identity.groups.clone(),
            auth_method: visitor.identity.method.to_owned(),
            target: visitor.asked.database.clone(),
            db_namespace: target.map(|t| t.database.clone()).unwrap_or_default(),
            role: visitor.credential.role.clone(),
            client_app: visitor.asked.application(),
            tls_version: self.tls_version(),
            ..core.anonymous()
        }
    }

    /// A TLS handshake finished.
    pub fn tls_done(
        &mut self,
        side: Side,
        facts: TlsFacts,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        match (side, std::mem::replace(&mut self.state, State::Over)) {
            (CLIENT, State::Handshake) => {
                let agreed = facts.alpn.as_deref() == Some(b"postgresql");
                if self.direct_tls && !agreed {
                    return Err(malformed(CLIENT, Malformed::Tls));
                }
                self.tls = Some(facts);
                self.state = State::FirstPacket;
                Ok(())
            }
            (SERVER, State::TargetHandshake(visitor, address)) => {
                self.greet_target(visitor, address, core, stage);
                Ok(())
            }
            (side, _) => Err(malformed(side, Malformed::Tls)),
        }
    }

    /// The target is connected, or cannot be.
    pub fn dialed(
        &mut self,
        result: Result<crate::forward::dial::Endpoint, fault::Target>,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let State::Dialing(visitor) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let address =
            result.map_err(|kind| Fault::new(SERVER, FaultKind::Target(kind)))?.address.to_string();
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let tls = target.ok_or(Fault::new(SERVER, FaultKind::Login(LoginFault::UnknownTarget)))?;
        if tls.tls == TargetTls::Disable {
            self.greet_target(visitor, address, core, stage);
        } else {
            core.server.say(&SSL_REQUEST_PACKET);
            self.state = State::TargetSsl(visitor, address);
        }
        Ok(())
    }

    fn greet_target(
        &mut self,
        visitor: Box<Visitor>,
        address: String,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) {
        let database = stage.snapshot.settings.targets.get(visitor.target);
        let database = database.map(|t| t.database.clone()).unwrap_or_default();
        let own = [
            (&b"user"[..], visitor.credential.role.as_bytes()),
            (&b"database"[..], database.as_bytes()),
        ];
        let theirs = visitor.asked.params.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
        let mut packet = Vec::new();
        reply::startup(&mut packet, own.into_iter().chain(theirs));
        core.server.say(&packet);
        let mut nonce = [0u8; 18];
        (stage.random)(&mut nonce);
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let credential = &visitor.credential;
        let login = TargetLogin::new(&credential.role, credential.password.clone(), nonce);
        self.state = State::Target(visitor, address, login, HashMap::new());
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
        let max = limits::SERVER_HELD_BYTES_MAX;
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
        let State::TargetSsl(visitor, address) = std::mem::replace(&mut self.state, State::Over)
        else {
            return Ok(());
        };
        let mode = stage.snapshot.settings.targets.get(visitor.target).map(|t| t.tls);
        match answer {
            b'S' if rest.is_empty() => {
                self.state = State::TargetHandshake(visitor, address);
                core.output(Output::StartTls(SERVER));
                Ok(())
            }
            b'S' => Err(malformed(SERVER, Malformed::BytesBeforeTls)),
            b'N' if mode == Some(TargetTls::Prefer) => {
                self.greet_target(visitor, address, core, stage);
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
        let State::Target(_, _, login, parameters) = &mut self.state else {
            return Err(malformed(SERVER, Malformed::MessageType));
        };
        let body = Step::body(frame);
        match tag {
            b'K' => {
                let pid = Reader::new(body).i32();
                self.backend_pid = pid.ok_or(malformed(SERVER, Malformed::MessageBody))?;
                core.output(Output::CancelKey(body.to_vec()));
                core.pass(CLIENT, "BackendKeyData", frame, stage);
            }
            b'S' => {
                let mut reader = Reader::new(body);
                if let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    parameters.insert(text(name), text(value));
                }
                core.pass(CLIENT, "ParameterStatus", frame, stage);
            }
            b'N' => core.pass(CLIENT, "NoticeResponse", frame, stage),
            b'Z' => return Ok(true),
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
                        self.state = State::Over;
                        return Err(Fault::new(SERVER, FaultKind::Target(fault::Target::Closed)));
                    }
                }
            }
        }
        Ok(false)
    }

    fn ready(&mut self, core: &mut Core, stage: &mut Stage<'_>) -> Result<Ready, Fault> {
        let State::Target(visitor, address, _, parameters) =
            std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(Fault::new(SERVER, FaultKind::Internal));
        };
        let server_version = parameters.get("server_version").map_or("", String::as_str);
        let link = Link::new(
            (
                visitor.target,
                crate::forward::dial::Endpoint {
                    host: "".into(),
                    address: address.parse().unwrap(),
                },
            ),
            visitor.identity,
            visitor.credential.role,
            core,
            stage,
        )
        .ok_or(Fault::new(CLIENT, FaultKind::Login(LoginFault::UnknownTarget)))?;
        core.attach(link.target, stage);
        let start = crate::record::entry::SessionStart {
            server_addr: &address,
            server_version,
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
        let hazards = parameters.iter().filter(|(name, value)| changes_parsing(name, value));
        ready.hazards = hazards.map(|(name, _)| name.clone().into_bytes()).collect();
        Ok(ready)
    }

    /// The login took too long.
    pub fn timeout(&self) -> Fault {
        match self.state {
            State::Dialing(_)
            | State::TargetSsl(..)
            | State::TargetHandshake(..)
            | State::Target(..) => Fault::new(SERVER, FaultKind::Target(fault::Target::Timeout)),
            State::FirstPacket | State::Handshake | State::Sasl { .. } | State::Over => {
                client_fault(FaultKind::Limit(Limit::LoginTime))
            }
        }
    }
}

/// Whether a start-up parameter changes how the target reads texts; `options` holds settings too,
/// as `-c name=value` or `--name=value` (postgres.c, `process_postgres_switches`).
fn hides_commands(name: &[u8], value: &[u8]) -> bool {
    let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    if name != "options" {
        return changes_parsing(&name, &value);
    }
    let words = value.split(|c: char| c.is_ascii_whitespace() || c == '\\');
    let settings = words.map(|word| word.trim_start_matches("-c").trim_start_matches("--"));
    settings
        .filter_map(|setting| setting.split_once('='))
        .any(|(name, value)| changes_parsing(name, value))
}

/// The data of a SASLInitialResponse for SCRAM-SHA-256.
fn initial_response(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    if reader.cstr()? != b"SCRAM-SHA-256" {
        return None;
    }
    let data = reader.value()??;
    reader.is_empty().then_some(data)
}

fn scram_fault(error: ScramError) -> Fault {
    client_fault(FaultKind::Login(match error {
        ScramError::Credentials => LoginFault::Credentials,
        _ => LoginFault::Sasl,
    }))
}
