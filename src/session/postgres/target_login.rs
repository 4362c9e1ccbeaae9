//! weir's own login at a target: the frontend side of authentication.
//!
//! In: the target's messages between StartupMessage and AuthenticationOk. Out: `p` messages.
//! Never: the password in clear over a connection that is not encrypted.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::config::settings::{ChannelBinding, Secret};
use crate::fault::{FaultKind, Login, Malformed, Unsupported};
use crate::identify::scram::{
    Binding, ClientExchange, MECHANISM, MECHANISM_PLUS, SaltedCache, md5_password,
};
use crate::wire::reader::Reader;

use crate::wire::postgres::message::error_fields;
use crate::wire::postgres::reply;

/// The newest minor version of protocol 3 that weir speaks; its only difference to 3.0 is that
/// cancel keys may be longer.
pub const MINOR_MAX: u16 = 2;

/// The newest minor version that a target is known to speak. Shared by all shards, learned from
/// its logins; before the first one it is taken to be weir's own.
#[derive(Debug)]
pub struct KnownMinor(AtomicU16);

impl Default for KnownMinor {
    fn default() -> KnownMinor {
        KnownMinor(AtomicU16::new(MINOR_MAX))
    }
}

impl KnownMinor {
    /// What a client may be told.
    pub fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    /// The target said so.
    pub fn learn(&self, minor: u16) {
        self.0.store(minor.min(MINOR_MAX), Ordering::Relaxed);
    }
}

/// What the connection to the target is like.
#[derive(Clone, Debug)]
pub struct Channel {
    /// It is encrypted.
    pub encrypted: bool,
    /// The hash of the target's certificate, if one can be made (`certificate::end_point`).
    pub end_point: Option<Vec<u8>>,
    /// Whether the login has to be bound to it.
    pub binding: ChannelBinding,
}

impl Channel {
    /// How to log in when the target offers these mechanisms.
    fn choose(&self, offered: &[&[u8]]) -> Result<(&'static str, Binding), FaultKind> {
        let offers = |mechanism: &str| offered.contains(&mechanism.as_bytes());
        let wanted = self.encrypted && self.binding != ChannelBinding::Disable;
        match (&self.end_point, offers(MECHANISM_PLUS)) {
            (Some(end_point), true) if wanted => {
                Ok((MECHANISM_PLUS, Binding::EndPoint(end_point.clone())))
            }
            _ if self.binding == ChannelBinding::Require => {
                Err(FaultKind::Unsupported(Unsupported::ChannelBinding))
            }
            _ if !offers(MECHANISM) => Err(FaultKind::Unsupported(Unsupported::Authentication)),
            (Some(_), false) if wanted => Ok((MECHANISM, Binding::NotOffered)),
            // `y` would be a lie where the target offers it and its certificate has no hash.
            _ => Ok((MECHANISM, Binding::None)),
        }
    }
}

/// What weir logs in with, and where it stands.
pub struct TargetLogin {
    role: String,
    password: Secret,
    nonce: String,
    channel: Channel,
    state: State,
}

/// What is awaited of the target.
enum State {
    Request,
    SaslContinue(ClientExchange),
    SaslFinal(ClientExchange),
    Done,
    Authenticated,
}

/// What a message of the target means for the login.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// The exchange goes on.
    More,
    /// AuthenticationOk: parameters, key and ReadyForQuery follow.
    Authenticated,
}

impl TargetLogin {
    /// A login as `role`; `nonce` is random printable text without commas.
    pub fn new(role: &str, password: Secret, nonce: String, channel: Channel) -> TargetLogin {
        TargetLogin { role: role.to_owned(), password, nonce, channel, state: State::Request }
    }

    /// Takes a message, appends the answer to `out`.
    ///
    /// # Errors
    /// What the target did wrong, or that it refused weir's credential. An ErrorResponse that is
    /// not about the credential is `Ok(None)`: the caller hands it on.
    pub fn handle(
        &mut self,
        tag: u8,
        body: &[u8],
        cache: &mut SaltedCache,
        out: &mut Vec<u8>,
    ) -> Result<Option<LoginStep>, FaultKind> {
        match tag {
            b'R' => self.request(body, cache, out).map(Some),
            b'E' => {
                let sqlstate = error_fields(body).find(|(code, _)| *code == b'C');
                match sqlstate {
                    Some((_, class)) if class.starts_with(b"28") => {
                        Err(FaultKind::Login(Login::TargetCredentials))
                    }
                    _ => Ok(None),
                }
            }
            b'N' | b'S' | b'v' => Ok(Some(LoginStep::More)),
            _ => Err(FaultKind::Malformed(Malformed::MessageType)),
        }
    }

    fn request(
        &mut self,
        body: &[u8],
        cache: &mut SaltedCache,
        out: &mut Vec<u8>,
    ) -> Result<LoginStep, FaultKind> {
        let malformed = FaultKind::Malformed(Malformed::MessageBody);
        let mut reader = Reader::new(body);
        let kind = reader.u32().ok_or(malformed)?;
        let state = std::mem::replace(&mut self.state, State::Done);
        match (kind, state) {
            // What does not prove who the target is does not bind either.
            (0 | 3 | 5, State::Request) if self.channel.binding == ChannelBinding::Require => {
                Err(FaultKind::Unsupported(Unsupported::ChannelBinding))
            }
            (0, State::Request | State::Done) => {
                self.state = State::Authenticated;
                Ok(LoginStep::Authenticated)
            }
            (3, State::Request) if !self.channel.encrypted => {
                Err(FaultKind::Unsupported(Unsupported::PlaintextPassword))
            }
            (3, State::Request) => {
                reply::password(out, &zero_ended(self.password.reveal()));
                Ok(LoginStep::More)
            }
            (5, State::Request) => {
                let salt = reader.bytes(4).and_then(|salt| salt.try_into().ok());
                let salt: [u8; 4] = salt.ok_or(malformed)?;
                let answer = md5_password(&self.role, self.password.reveal(), salt);
                reply::password(out, &zero_ended(&answer));
                Ok(LoginStep::More)
            }
            (10, State::Request) => {
                let offered: Vec<&[u8]> = std::iter::from_fn(|| reader.cstr()).collect();
                let (mechanism, binding) = self.channel.choose(&offered)?;
                let exchange = ClientExchange::new(self.password.reveal(), &self.nonce, binding);
                let first = exchange.first();
                let mut data = zero_ended(mechanism);
                data.extend_from_slice(&(first.len() as u32).to_be_bytes());
                data.extend_from_slice(&first);
                reply::password(out, &data);
                self.state = State::SaslContinue(exchange);
                Ok(LoginStep::More)
            }
            (11, State::SaslContinue(mut exchange)) => {
                let last = exchange.server_first(reader.rest(), cache);
                reply::password(out, &last.map_err(|_| FaultKind::Login(Login::Sasl))?);
                self.state = State::SaslFinal(exchange);
                Ok(LoginStep::More)
            }
            (12, State::SaslFinal(mut exchange)) => {
                // A target that does not know the password cannot make this signature.
                let proven = exchange.server_final(reader.rest());
                proven.map_err(|_| FaultKind::Login(Login::TargetCredentials))?;
                Ok(LoginStep::More)
            }
            (2 | 6 | 7 | 8 | 9, State::Request) => {
                Err(FaultKind::Unsupported(Unsupported::Authentication))
            }
            _ => Err(FaultKind::Malformed(Malformed::MessageType)),
        }
    }
}

fn zero_ended(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 64);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_in_clear_over_an_encrypted_connection_only() {
        let asked = 3_u32.to_be_bytes();
        let answer = |encrypted: bool| {
            let binding = ChannelBinding::Prefer;
            let channel = Channel { encrypted, end_point: None, binding };
            let password = Secret::new("the-password".to_owned());
            let mut login = TargetLogin::new("app", password, "nonce".to_owned(), channel);
            let mut out = Vec::new();
            let step = login.handle(b'R', &asked, &mut SaltedCache::new(), &mut out);
            (step.map(drop), out)
        };
        let (refused, out) = answer(false);
        let plain = FaultKind::Unsupported(Unsupported::PlaintextPassword);
        assert_eq!((refused, out.as_slice()), (Err(plain), &b""[..]));
        let (step, out) = answer(true);
        assert_eq!(step, Ok(()));
        assert!(out.ends_with(b"the-password\0"), "{out:?}");
    }
}
