//! How a client proves who it is.
//!
//! In: facts of the TLS handshake, `p` messages. Out: an identity and its way to a target.
//! Never: a difference between an unknown user and a wrong password, where there are no tokens.

use crate::config::settings::User;
use crate::fault::{Fault, FaultKind, Login as LoginFault, Malformed, Token, Unsupported};
use crate::identify::scram::{ScramError, ServerExchange};
use crate::identify::{Identity, Method, certificate, oauthbearer, role};
use crate::limits;
use crate::wire::postgres::frame::{Framer, Step, Treat};
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::token::Waiting;
use super::{Asked, CLIENT, Login, Progress, State, Visitor, client_fault, malformed};
use crate::session::Stage;
use crate::session::postgres::core::Office;

/// What is awaited of the client.
pub enum Proof {
    /// SASLInitialResponse.
    ScramFirst(ServerExchange),
    /// SASLResponse.
    ScramFinal(ServerExchange),
    /// A token as the password.
    Password,
    /// SASLInitialResponse of OAUTHBEARER.
    OauthFirst(oauthbearer::ServerExchange),
    /// SASLResponse of OAUTHBEARER. With a fault, the exchange has failed, and the client has yet
    /// to take note.
    Oauth(oauthbearer::ServerExchange, Option<Token>),
    /// Nothing: newer keys of the token's issuer are.
    Keys(Waiting),
}

impl Login {
    /// A certificate that names somebody is proof enough. A user of the configuration is asked for
    /// the password; everybody else for a token, if there are issuers or API tokens.
    pub(super) fn begin_proof(
        &mut self,
        mut asked: Box<Asked>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let settings = &stage.snapshot.settings;
        let leaf = self.tls.as_ref().and_then(|facts| facts.peer_certificate.as_deref());
        let owner = leaf.and_then(|leaf| certificate::identity(&settings.certificates, leaf));
        if let Some(identity) = owner {
            return self.admit(asked, identity, core, stage);
        }
        let has_password = |user: &User| user.name == asked.user && user.verifier.is_some();
        let is_known = settings.users.iter().any(has_password);
        if !is_known && self.ask_for_token(&mut asked, core, stage)? {
            return Ok(());
        }
        let from = core.accepted.client_addr.ip();
        if stage.room.failures.shuts_out(&asked.user, from, stage.now.mono_us) {
            self.name(&asked, (&asked.user, ""), core, stage);
            return Err(client_fault(FaultKind::Login(LoginFault::Throttled)));
        }
        let mut nonce = [0u8; 18];
        (stage.random)(&mut nonce);
        let snapshot = stage.snapshot;
        let known = snapshot.settings.users.iter().find(|u| u.name == asked.user);
        let verifier = known.and_then(|user| user.verifier.as_ref());
        let end_point = self.tls.as_ref().and_then(|facts| facts.end_point.clone());
        let exchange = ServerExchange::new(&asked.user, verifier, &snapshot.mock_seed, &nonce)
            .bound_to(end_point);
        core.say(|out| reply::auth_sasl(out, exchange.mechanisms()));
        self.state = State::Proof(asked, Proof::ScramFirst(exchange));
        Ok(())
    }

    /// One `p` message. `None`: more bytes are needed.
    pub(super) fn proof(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Progress>, Fault> {
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
        self.buffer = input.to_vec();
        let body = Step::body(frame);
        match std::mem::replace(&mut self.state, State::Over) {
            State::Proof(asked, Proof::ScramFirst(exchange)) => {
                self.scram_first(asked, exchange, body, core)?;
            }
            State::Proof(asked, Proof::ScramFinal(exchange)) => {
                self.scram_final((asked, exchange), body, core, stage)?;
            }
            State::Proof(asked, Proof::Password) => self.password(asked, body, core, stage)?,
            State::Proof(asked, Proof::OauthFirst(exchange)) => {
                self.oauth_first(asked, exchange, body, (core, stage))?;
            }
            State::Proof(asked, Proof::Oauth(exchange, ends)) => {
                self.oauth((asked, exchange, ends), Some(body), core, stage)?;
            }
            _ => return Err(client_fault(FaultKind::Internal)),
        }
        Ok(Some(Progress::More))
    }

    fn scram_first(
        &mut self,
        asked: Box<Asked>,
        mut exchange: ServerExchange,
        body: &[u8],
        core: &mut Office,
    ) -> Result<(), Fault> {
        let initial = initial_response(body).and_then(|(name, data)| Some((name, data?)));
        let (mechanism, message) =
            initial.ok_or(client_fault(FaultKind::Login(LoginFault::Sasl)))?;
        let answer = exchange.begin(mechanism, message).map_err(scram_fault)?;
        core.say(|out| reply::auth_sasl_data(out, 11, &answer));
        self.state = State::Proof(asked, Proof::ScramFinal(exchange));
        Ok(())
    }

    fn scram_final(
        &mut self,
        (asked, mut exchange): (Box<Asked>, ServerExchange),
        body: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let answer = exchange.client_final(body);
        let from = core.accepted.client_addr.ip();
        match &answer {
            Err(ScramError::Credentials) => {
                stage.room.failures.note(&asked.user, from, stage.now.mono_us);
                core.say(|out| reply::wrong_password(out, &asked.user));
                core.told_why = true;
            }
            Err(_) => {}
            Ok(_) => stage.room.failures.forget(&asked.user, from),
        }
        if answer.is_err() {
            self.name(&asked, (&asked.user, ""), core, stage);
        }
        let answer = answer.map_err(scram_fault)?;
        core.say(|out| reply::auth_sasl_data(out, 12, &answer));
        let method = if exchange.is_bound() { Method::ScramPlus } else { Method::Scram };
        let settings = &stage.snapshot.settings;
        let user = settings.users.iter().find(|user| user.name == asked.user);
        // Removed by a reload while the exchange went on.
        let user = user.ok_or(client_fault(FaultKind::Login(LoginFault::Credentials)))?;
        let identity = Identity { user: user.name.clone(), groups: user.groups.clone(), method };
        self.admit(asked, identity, core, stage)
    }

    /// The client proved who it is: find its target and role, and dial.
    pub(super) fn admit(
        &mut self,
        asked: Box<Asked>,
        identity: Identity,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.name(&asked, (&identity.user, identity.method.name()), core, stage);
        let refused = |fault| client_fault(FaultKind::Login(fault));
        let targets = &stage.snapshot.settings.targets;
        let found = targets.iter().enumerate().find(|(_, target)| target.name == asked.database);
        let (target, settings) = found.ok_or(refused(LoginFault::UnknownTarget))?;
        let credential = role::credential(&settings.credentials, &identity, &asked.user)
            .map_err(refused)?
            .clone();
        let masked = || !stage.snapshot.masks.view(&settings.name, &identity.groups).is_empty();
        if asked.replication.is_some() && masked() {
            let kind = FaultKind::Unsupported(Unsupported::MaskedReplication);
            return Err(client_fault(kind));
        }
        let visitor = Visitor { asked: *asked, identity, target, credential };
        let context = self.context(core, &visitor, stage);
        core.identify(&context, stage);
        super::settings::judge(&visitor, core, stage)?;
        self.dial(Box::new(visitor), core, stage)
    }
}

/// Mechanism and data of a SASLInitialResponse; the data may be absent.
pub(super) fn initial_response(body: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut reader = Reader::new(body);
    let mechanism = reader.cstr()?;
    let data = reader.value()?;
    reader.is_empty().then_some((mechanism, data))
}

fn scram_fault(error: ScramError) -> Fault {
    client_fault(FaultKind::Login(match error {
        ScramError::Credentials => LoginFault::Credentials,
        ScramError::ChannelBinding => LoginFault::ChannelBinding,
        ScramError::Downgrade => LoginFault::Downgrade,
        _ => LoginFault::Sasl,
    }))
}
