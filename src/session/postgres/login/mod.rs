//! From the first byte to a session that is ready: who the client is, and weir's own login.
//!
//! In: first packets, authentication messages, the target's answers. Out: an identity, a link to a
//! target. Never: a dial for a client that has not proven who it is.
//!
//! ```text
//!   FirstPacket --SSLRequest/0x16--> Handshake --done--> FirstPacket            first
//!       | StartupMessage
//!       v
//!     Proof --proven--+                                                  proof, token
//!       | certificate |
//!       +-------------+--> Dialing --connected--> [TargetSsl --'S'--> TargetHandshake]
//!                             ^                               |                 target
//!                             |                               +--> Target --Z--> Ready
//!                             +-- closed, late, not one that may be used --+
//! ```

mod first;
mod proof;
mod settings;
mod target;
mod token;

use crate::config::settings::Credential;
use crate::fault::{self, Fault, FaultKind, Limit, Malformed};
use crate::forward::dial::Endpoint;
use crate::identify::Identity;
use crate::limits;
use crate::mask::sql::redact;
use crate::record::SessionContext;
use crate::session::postgres::target_login::TargetLogin;
use crate::wire::Side;
use crate::wire::postgres::frame::Framer;

use super::ready::Ready;
use crate::session::Stage;
use crate::session::desk::TlsFacts;
use crate::session::postgres::core::Office;
use proof::Proof;
use target::{Answers, confirm};

/// What the client asked for at start-up.
#[derive(Debug, Default)]
struct Asked {
    user: String,
    database: String,
    /// Everything else, handed to the target.
    params: Vec<(Vec<u8>, Vec<u8>)>,
    /// The newest minor version of protocol 3 that it speaks.
    speaks: u16,
    /// The one it was told.
    agreed: u16,
    /// It wants the stream of changes.
    replication: Option<Replication>,
}

impl Asked {
    fn application(&self) -> String {
        let name = self.params.iter().find(|(name, _)| name == b"application_name");
        let value = name.map(|(_, value)| String::from_utf8_lossy(value)).unwrap_or_default();
        redact::setting("application_name", &value).to_owned()
    }

    /// What is handed to the target.
    fn settings(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.params.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

/// Which kind of replication connection (PostgreSQL: `replication` of the start-up packet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// `true`: the whole cluster.
    Physical,
    /// `database`: one database, with SQL besides.
    Logical,
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

/// A visitor and the server of the target that answered.
struct Contact {
    visitor: Box<Visitor>,
    endpoint: Endpoint,
}

/// What came of the servers that are not used.
#[derive(Default)]
struct Tried {
    /// Primaries, while a standby is looked for.
    primaries: Vec<Endpoint>,
    /// No standby was found: a primary will do.
    lenient: bool,
    /// The last words of a server that takes no sessions now.
    refusal: Vec<u8>,
}

/// Where the login stands.
enum State {
    FirstPacket,
    Handshake,
    Proof(Box<Asked>, Proof),
    Dialing(Box<Visitor>),
    TargetSsl(Contact),
    TargetHandshake(Contact),
    Target(Contact, TargetLogin, Box<Answers>),
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
    tried: Tried,
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
            tried: Tried::default(),
            deadline_us: stage.now.mono_us + limits::LOGIN_TIMEOUT_US,
        }
    }

    /// When it has taken too long.
    pub fn deadline_us(&self) -> u64 {
        self.deadline_us
    }

    /// The name the client gave, for `weir sessions`, once it is proven.
    pub fn visitor(&self) -> Option<(&str, usize, &str)> {
        let visitor = self.proven()?;
        let (user, role) = (&visitor.identity.user, &visitor.credential.role);
        Some((user.as_str(), visitor.target, role.as_str()))
    }

    /// Who the client is, once it is proven.
    pub fn identity(&self) -> Option<&Identity> {
        self.proven().map(|visitor| &visitor.identity)
    }

    fn proven(&self) -> Option<&Visitor> {
        match &self.state {
            State::Dialing(visitor) => Some(visitor),
            State::TargetSsl(contact)
            | State::TargetHandshake(contact)
            | State::Target(contact, ..) => Some(&contact.visitor),
            State::FirstPacket | State::Handshake | State::Proof(..) | State::Over => None,
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
        core: &mut Office,
        stage: &mut Stage<'_>,
        bytes: &[u8],
    ) -> Result<Progress, Fault> {
        if self.starts_tls(core, bytes) {
            return Ok(Progress::More);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            let went_on = match &self.state {
                State::FirstPacket => self.first_packet(core, stage)?,
                // The client has nothing to say until its token is judged.
                State::Proof(_, Proof::Keys(_)) => return Ok(Progress::More),
                State::Proof(..) => self.proof(core, stage)?,
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

    /// A TLS handshake finished.
    pub fn tls_done(
        &mut self,
        side: Side,
        facts: TlsFacts,
        core: &mut Office,
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
            (SERVER, State::TargetHandshake(contact)) => {
                confirm(&contact, &facts, stage)?;
                self.greet_target(contact, Some(facts), core, stage);
                Ok(())
            }
            (side, _) => Err(malformed(side, Malformed::Tls)),
        }
    }

    fn tls_version(&self) -> String {
        self.tls.as_ref().map(|facts| facts.version.to_owned()).unwrap_or_default()
    }

    /// So that a failed login is recorded under the name that was tried.
    fn name(&self, asked: &Asked, who: (&str, &str), core: &mut Office, stage: &mut Stage<'_>) {
        let (user, method) = who;
        let context = SessionContext {
            user_name: user.to_owned(),
            auth_method: method.to_owned(),
            target: asked.database.clone(),
            client_app: asked.application(),
            tls_version: self.tls_version(),
            ..core.anonymous()
        };
        core.identify(&context, stage);
    }

    fn context(&self, core: &Office, visitor: &Visitor, stage: &Stage<'_>) -> SessionContext {
        let target = stage.snapshot.settings.targets.get(visitor.target);
        SessionContext {
            user_name: visitor.identity.user.clone(),
            user_groups: visitor.identity.groups.clone(),
            auth_method: visitor.identity.method.name().to_owned(),
            target: target.map(|t| t.name.clone()).unwrap_or_default(),
            db_namespace: target.map(|t| t.database.clone()).unwrap_or_default(),
            role: visitor.credential.role.clone(),
            client_app: visitor.asked.application(),
            tls_version: self.tls_version(),
            ..core.anonymous()
        }
    }

    /// The login took too long.
    pub fn timeout(&self) -> Fault {
        match self.state {
            State::Dialing(_)
            | State::TargetSsl(..)
            | State::TargetHandshake(..)
            | State::Target(..) => Fault::new(SERVER, FaultKind::Target(fault::Target::Timeout)),
            State::FirstPacket | State::Handshake | State::Proof(..) | State::Over => {
                client_fault(FaultKind::Limit(Limit::LoginTime))
            }
        }
    }
}
