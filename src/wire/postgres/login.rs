//! weir's own login at a target: the frontend side of authentication.
//!
//! In: the target's messages between StartupMessage and AuthenticationOk. Out: `p` messages.
//! Never: the password in clear over a connection that is not encrypted, unless the target's
//! configuration says `tls = "disable"` and the target asks for it.

use crate::config::settings::Secret;
use crate::fault::{FaultKind, Login, Malformed, Unsupported};
use crate::identify::scram::{ClientExchange, SaltedCache, md5_password};
use crate::wire::reader::Reader;

use super::message::error_fields;
use super::reply;

/// What weir logs in with, and where it stands.
pub struct TargetLogin {
    role: String,
    password: Secret,
    nonce: String,
    state: State,
}

/// What is awaited of the target.
enum State {
    Request,
    SaslContinue(ClientExchange),
    SaslFinal(ClientExchange),
    Done,
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
    pub fn new(role: &str, password: Secret, nonce: String) -> TargetLogin {
        TargetLogin { role: role.to_owned(), password, nonce, state: State::Request }
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
            (0, State::Request | State::Done) => Ok(LoginStep::Authenticated),
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
                let offered = std::iter::from_fn(|| reader.cstr()).any(|m| m == b"SCRAM-SHA-256");
                if !offered {
                    return Err(FaultKind::Unsupported(Unsupported::Authentication));
                }
                let exchange = ClientExchange::new(self.password.reveal(), &self.nonce);
                let first = exchange.first();
                let mut data = zero_ended("SCRAM-SHA-256");
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
