//! Authentication: a client's requests as a server reads them, weir's own as a client sends them
//! (RFC 4252, RFC 4256, OpenSSH's PROTOCOL 3).
//!
//! In: messages 5, 6 and 50 to 79. Out: typed views, replies, requests. Never: a verdict on who it
//! is; a signature that was taken without being verified over this very connection.

use super::Broken;
use super::certificate::Certificate;
use super::fields::{Fields, Write};
use super::key::{Algorithm, Proof, PublicKey};
use super::number;
use super::signer::Signer;
use crate::limits::SSH_USER_BYTES_MAX;

/// The service that both layers above the transport are reached by.
pub const USERAUTH: &str = "ssh-userauth";
const CONNECTION: &[u8] = b"ssh-connection";
const PUBLICKEY: &[u8] = b"publickey";
const HOSTBOUND: &[u8] = b"publickey-hostbound-v00@openssh.com";

/// The name of a SERVICE_REQUEST or SERVICE_ACCEPT.
///
/// # Errors
/// `Fields` if it is none.
pub fn service(payload: &[u8]) -> Result<&[u8], Broken> {
    let mut fields = Fields::new(payload);
    fields.u8()?;
    let name = fields.string()?;
    fields.end()?;
    Ok(name)
}

/// A USERAUTH_REQUEST.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    /// The name that the client logs in with.
    pub user: &'b [u8],
    /// How it wants to prove who it is.
    pub method: Method<'b>,
}

/// Methods of a request.
#[derive(Clone, Debug)]
pub enum Method<'b> {
    /// None: the client asks which there are.
    None,
    /// May this key log in? Nothing is proven.
    Probe(Offered<'b>),
    /// A key and its signature.
    Signed(Offered<'b>, Signed<'b>),
    /// A password.
    Password(&'b [u8]),
    /// Questions and answers.
    KeyboardInteractive,
    /// Any other, or a form of one that weir does not take.
    Other,
}

/// A key as it is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'b> {
    /// The name of the algorithm.
    pub algorithm: &'b [u8],
    /// The key or certificate.
    pub blob: &'b [u8],
}

/// The proof of a key.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'b> {
    /// The request up to the signature, which is what was signed.
    request: &'b [u8],
    signature: &'b [u8],
    /// The host key that the client believes to talk to, if it says so.
    bound_to: Option<&'b [u8]>,
}

/// A key that proved itself.
#[derive(Clone, Debug)]
pub enum Proven {
    /// A plain key.
    Key {
        /// As it stands in messages and in configurations.
        blob: Vec<u8>,
        /// What its signature says.
        proof: Proof,
    },
    /// A certificate, on which its owner has yet to pass a verdict.
    Certificate {
        /// What it says.
        certificate: Box<Certificate>,
        /// What the signature of its key says.
        proof: Proof,
    },
}

impl<'b> Request<'b> {
    /// Reads a payload, its number included.
    ///
    /// # Errors
    /// `Fields` if it is none, or asks for a service but the connection protocol, or for a name
    /// that is too long.
    pub fn parse(payload: &'b [u8]) -> Result<Request<'b>, Broken> {
        let mut fields = Fields::new(payload);
        if fields.u8()? != number::USERAUTH_REQUEST {
            return Err(Broken::Fields);
        }
        let user = fields.string()?;
        let service = fields.string()?;
        if user.len() > SSH_USER_BYTES_MAX || service != CONNECTION {
            return Err(Broken::Fields);
        }
        let method = match fields.string()? {
            b"none" => {
                fields.end()?;
                Method::None
            }
            name @ (PUBLICKEY | HOSTBOUND) => key_method(payload, fields, name == HOSTBOUND)?,
            b"password" => {
                let change = fields.bool()?;
                let password = fields.string()?;
                if change {
                    Method::Other
                } else {
                    fields.end()?;
                    Method::Password(password)
                }
            }
            b"keyboard-interactive" => Method::KeyboardInteractive,
            _ => Method::Other,
        };
        Ok(Request { user, method })
    }
}

fn key_method<'b>(
    payload: &'b [u8],
    mut fields: Fields<'b>,
    hostbound: bool,
) -> Result<Method<'b>, Broken> {
    let has_signature = fields.bool()?;
    let offered = Offered { algorithm: fields.string()?, blob: fields.string()? };
    let bound_to = if hostbound { Some(fields.string()?) } else { None };
    if !has_signature {
        fields.end()?;
        return Ok(Method::Probe(offered));
    }
    let request = payload.get(..payload.len() - fields.rest().len()).ok_or(Broken::Fields)?;
    let signature = fields.string()?;
    fields.end()?;
    Ok(Method::Signed(offered, Signed { request, signature, bound_to }))
}

impl Offered<'_> {
    /// The algorithm and key, if weir can verify such signatures. A certificate's own signature is
    /// verified on the way.
    ///
    /// # Errors
    /// `HostKey` if not, which is no reason to end the connection.
    pub fn read(&self) -> Result<(Algorithm, PublicKey, Option<Box<Certificate>>), Broken> {
        let algorithm = Algorithm::of(self.algorithm).ok_or(Broken::HostKey)?;
        let (key, certificate) = if algorithm.certified {
            let certificate = Certificate::parse(self.blob).map_err(|_| Broken::HostKey)?;
            (certificate.key.clone(), Some(Box::new(certificate)))
        } else {
            (PublicKey::parse(self.blob).map_err(|_| Broken::HostKey)?, None)
        };
        if key.kind() != algorithm.signature.kind() {
            return Err(Broken::HostKey);
        }
        Ok((algorithm, key, certificate))
    }
}

impl Signed<'_> {
    /// Verifies the proof of a key over this connection.
    ///
    /// # Errors
    /// `HostKey` if it proves nothing.
    pub fn verify(
        &self,
        offered: &Offered<'_>,
        session_id: &[u8],
        host_key: &[u8],
    ) -> Result<Proven, Broken> {
        if self.bound_to.is_some_and(|bound| bound != host_key) {
            return Err(Broken::HostKey);
        }
        let (algorithm, key, certificate) = offered.read()?;
        let mut message = Vec::with_capacity(self.request.len() + 68);
        message.put_string(session_id).put_bytes(self.request);
        let proof = key
            .verify(algorithm.signature, &message, self.signature)
            .map_err(|_| Broken::HostKey)?;
        Ok(match certificate {
            Some(certificate) => Proven::Certificate { certificate, proof },
            None => Proven::Key { blob: offered.blob.to_vec(), proof },
        })
    }
}

/// Messages of a server.
pub mod reply {
    use super::super::fields::Write;
    use super::super::number;
    use super::Offered;

    /// The service is there.
    pub fn service_accept(name: &str) -> Vec<u8> {
        let mut out = vec![number::SERVICE_ACCEPT];
        out.put_string(name.as_bytes());
        out
    }

    /// The proof failed, or there was none; these methods can go on.
    pub fn failure(methods: &[&str]) -> Vec<u8> {
        let mut out = vec![number::USERAUTH_FAILURE];
        out.put_names(methods.iter().copied()).put_bool(false);
        out
    }

    /// The client is logged in.
    pub fn success() -> Vec<u8> {
        vec![number::USERAUTH_SUCCESS]
    }

    /// A signature of this key would be looked at.
    pub fn key_is_ok(offered: &Offered<'_>) -> Vec<u8> {
        let mut out = vec![number::USERAUTH_PK_OK];
        out.put_string(offered.algorithm).put_string(offered.blob);
        out
    }

    /// Words for the user before the login is over; lines end with CR LF.
    pub fn banner(text: &str) -> Vec<u8> {
        let mut out = vec![number::USERAUTH_BANNER];
        out.put_string(text.as_bytes()).put_string(b"");
        out
    }
}

/// What a server answers to a request of weir's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'b> {
    /// The service is there.
    ServiceAccept,
    /// Logged in.
    Success,
    /// Not yet; these methods can go on. `partial`: what was tried was right, and more is asked.
    Failure {
        /// Names of methods.
        methods: &'b str,
        /// The method succeeded.
        partial: bool,
    },
    /// Words for the user.
    Banner(&'b [u8]),
    /// Questions of keyboard-interactive, in order: whether the answer may be shown.
    Questions(Vec<bool>),
}

/// Questions that a server may ask at once.
const QUESTIONS_MAX: u32 = 8;
/// The list of methods in a failure.
const METHODS_BYTES_MAX: usize = 1024;

impl<'b> Answer<'b> {
    /// Reads a payload, its number included.
    ///
    /// # Errors
    /// `Order` for a message that is no answer, `Fields` for one with other fields.
    pub fn parse(payload: &'b [u8]) -> Result<Answer<'b>, Broken> {
        let mut fields = Fields::new(payload);
        let answer = match fields.u8()? {
            number::SERVICE_ACCEPT => {
                fields.string()?;
                Answer::ServiceAccept
            }
            number::USERAUTH_SUCCESS => Answer::Success,
            number::USERAUTH_FAILURE => Answer::Failure {
                methods: fields.names(METHODS_BYTES_MAX)?.text(),
                partial: fields.bool()?,
            },
            number::USERAUTH_BANNER => {
                let text = fields.string()?;
                fields.string()?;
                Answer::Banner(text)
            }
            number::USERAUTH_INFO_REQUEST => {
                (fields.string()?, fields.string()?, fields.string()?);
                let count = fields.u32()?;
                if count > QUESTIONS_MAX {
                    return Err(Broken::Fields);
                }
                let mut shown = Vec::new();
                for _ in 0..count {
                    fields.string()?;
                    shown.push(fields.bool()?);
                }
                Answer::Questions(shown)
            }
            _ => return Err(Broken::Order),
        };
        fields.end()?;
        Ok(answer)
    }
}

/// Messages of a client.
pub mod request {
    use super::super::fields::Write;
    use super::super::key::{Algorithm, SignatureAlgorithm};
    use super::{Broken, CONNECTION, Signer, number};

    /// Asks for the service of authentication.
    pub fn service() -> Vec<u8> {
        let mut out = vec![number::SERVICE_REQUEST];
        out.put_string(super::USERAUTH.as_bytes());
        out
    }

    fn start(user: &str, method: &str) -> Vec<u8> {
        let mut out = vec![number::USERAUTH_REQUEST];
        out.put_string(user.as_bytes()).put_string(CONNECTION).put_string(method.as_bytes());
        out
    }

    /// A password.
    pub fn password(user: &str, password: &str) -> Vec<u8> {
        let mut out = start(user, "password");
        out.put_bool(false).put_string(password.as_bytes());
        out
    }

    /// Asks to be asked.
    pub fn keyboard_interactive(user: &str) -> Vec<u8> {
        let mut out = start(user, "keyboard-interactive");
        out.put_string(b"").put_string(b"");
        out
    }

    /// Answers to questions.
    pub fn answers(answers: &[&str]) -> Vec<u8> {
        let mut out = vec![number::USERAUTH_INFO_RESPONSE];
        out.put_u32(answers.len() as u32);
        for answer in answers {
            out.put_string(answer.as_bytes());
        }
        out
    }

    /// A key with its signature over this connection; `certificate` stands in its place if it has
    /// one.
    ///
    /// # Errors
    /// `Own` if the key does not sign.
    pub fn signed(
        user: &str,
        signer: &Signer,
        certificate: Option<&[u8]>,
        algorithm: SignatureAlgorithm,
        session_id: &[u8],
    ) -> Result<Vec<u8>, Broken> {
        let mut out = start(user, "publickey");
        let named = Algorithm { signature: algorithm, certified: certificate.is_some() };
        out.put_bool(true).put_string(named.name().as_bytes());
        out.put_string(certificate.unwrap_or_else(|| signer.blob()));
        let mut message = Vec::with_capacity(out.len() + 68);
        message.put_string(session_id).put_bytes(&out);
        let signature = signer.sign(algorithm, &message)?;
        out.put_string(&signature);
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
