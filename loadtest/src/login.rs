//! The login of a client: trust, cleartext, MD5 and SCRAM-SHA-256, without a socket.
//!
//! In: messages of the server. Out: what to send, and when the server is ready.
//! Never: a salted password computed twice; a storm of logins would measure its own PBKDF2.
//!
//! ```text
//! ExpectAuth --10--> ExpectContinue --11--> ExpectFinal --12--> ExpectOk --0--> ExpectReady --Z-->
//! Ready
//!      \--3,5: password--------------------------------------/
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2};

use crate::channel::{Channel, Security};
use crate::endpoint::Endpoint;
use crate::wire::{self, Message};

/// Iterations a server may ask for.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Who connects, and what all connections of a thread share.
#[derive(Clone)]
pub struct Caller(Rc<Shared>);

struct Shared {
    endpoint: Endpoint,
    security: Option<Security>,
    salted: RefCell<BySalt>,
}

/// Salted passwords by salt and iteration count.
type BySalt = HashMap<(Vec<u8>, u32), [u8; 32]>;

impl Caller {
    /// The caller of an endpoint.
    ///
    /// # Errors
    /// A sentence: what it says of TLS is of no use.
    pub fn new(endpoint: &Endpoint) -> Result<Caller, String> {
        let security = Security::new(endpoint)?;
        let endpoint = endpoint.clone();
        Ok(Caller(Rc::new(Shared { endpoint, security, salted: RefCell::default() })))
    }

    /// Where to, and as whom.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// The way of one new connection.
    ///
    /// # Errors
    /// TLS has no randomness.
    pub fn channel(&self) -> Result<Channel, String> {
        Channel::new(self.0.security.as_ref())
    }

    fn salted_password(&self, salt: &[u8], iterations: NonZeroU32) -> [u8; 32] {
        let key = (salt.to_vec(), iterations.get());
        *self.0.salted.borrow_mut().entry(key).or_insert_with(|| {
            let (mut salted, password) = ([0; 32], self.0.endpoint.password.as_bytes());
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
            salted
        })
    }
}

enum State {
    ExpectAuth,
    ExpectContinue { nonce: String, bare: String },
    ExpectFinal { signature: Vec<u8> },
    ExpectOk,
    ExpectReady,
    Ready,
}

/// One login.
pub struct Login {
    caller: Caller,
    state: State,
}

impl Login {
    /// Starts a login: the start-up packet is in `out`.
    pub fn start(caller: &Caller, out: &mut Vec<u8>) -> Login {
        let endpoint = caller.endpoint();
        wire::startup(out, &endpoint.user, &endpoint.database);
        Login { caller: caller.clone(), state: State::ExpectAuth }
    }

    /// Takes a message of the server; `Ok(true)` when it is ready for queries.
    ///
    /// # Errors
    /// A sentence: what the server refused or what this client cannot do.
    pub fn handle(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<bool, String> {
        let state = std::mem::replace(&mut self.state, State::ExpectReady);
        self.state = match (state, message.kind) {
            (_, b'E') => return Err(wire::error_text(message.body)),
            (State::ExpectAuth, b'R') => self.answer(message.body, out)?,
            (State::ExpectContinue { nonce, bare }, b'R') => {
                let text = sasl_text(message.body, 11)?;
                let (reply, signature) = self.prove(&nonce, &bare, &text)?;
                wire::message(out, b'p', |out| out.extend_from_slice(reply.as_bytes()));
                State::ExpectFinal { signature }
            }
            (State::ExpectFinal { signature }, b'R') => {
                let text = sasl_text(message.body, 12)?;
                let proof = text.strip_prefix("v=").and_then(|v| STANDARD.decode(v).ok());
                if proof.as_deref() != Some(&signature) {
                    return Err("the server does not know the password".to_owned());
                }
                State::ExpectOk
            }
            (State::ExpectOk, b'R') if message.body == [0; 4] => State::ExpectReady,
            (State::ExpectReady, b'Z') => State::Ready,
            (State::ExpectReady, b'S' | b'K' | b'N') => State::ExpectReady,
            (state, b'N' | b'S') => state,
            (_, kind) => return Err(format!("unexpected message {:?} in login", kind as char)),
        };
        Ok(matches!(self.state, State::Ready))
    }

    fn answer(&self, body: &[u8], out: &mut Vec<u8>) -> Result<State, String> {
        let (code, rest) = auth_code(body)?;
        let Endpoint { user, password, .. } = self.caller.endpoint();
        match code {
            0 => return Ok(State::ExpectReady),
            3 => send_password(out, password),
            5 => send_password(out, &md5_response(user, password, rest)),
            10 => {
                if !rest.split(|&byte| byte == 0).any(|name| name == b"SCRAM-SHA-256") {
                    return Err("the server does not offer SCRAM-SHA-256".to_owned());
                }
                let nonce = nonce()?;
                let bare = format!("n=,r={nonce}");
                let first = format!("n,,{bare}");
                wire::message(out, b'p', |out| {
                    out.extend_from_slice(b"SCRAM-SHA-256\0");
                    out.extend_from_slice(&(first.len() as u32).to_be_bytes());
                    out.extend_from_slice(first.as_bytes());
                });
                return Ok(State::ExpectContinue { nonce, bare });
            }
            other => return Err(format!("the server asks for authentication method {other}")),
        }
        Ok(State::ExpectOk)
    }

    /// RFC 5802, section 3: the client's final message, and the signature the server owes.
    fn prove(&self, nonce: &str, bare: &str, first: &str) -> Result<(String, Vec<u8>), String> {
        let field = |name: &str| {
            first
                .split(',')
                .find_map(|field| field.strip_prefix(name))
                .ok_or_else(|| format!("SCRAM: no {name} in the server's first message"))
        };
        let combined = field("r=")?;
        if !combined.starts_with(nonce) {
            return Err("SCRAM: the server changed the nonce".to_owned());
        }
        let salt = STANDARD.decode(field("s=")?).map_err(|_| "SCRAM: bad salt")?;
        let iterations = field("i=")?.parse::<u32>().ok().filter(|&i| i <= ITERATIONS_MAX);
        let iterations =
            iterations.and_then(NonZeroU32::new).ok_or("SCRAM: bad iteration count")?;
        let salted = self.caller.salted_password(&salt, iterations);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let without_proof = format!("c=biws,r={combined}");
        let auth = format!("{bare},{first},{without_proof}");
        let signature = mac(stored_key.as_ref(), auth.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = mac(&salted, b"Server Key");
        let expected = mac(server_key.as_ref(), auth.as_bytes());
        let reply = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((reply, expected.as_ref().to_vec()))
    }
}

fn mac(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

fn nonce() -> Result<String, String> {
    let mut bytes = [0; 18];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| "no random bytes")?;
    Ok(STANDARD.encode(bytes))
}

fn auth_code(body: &[u8]) -> Result<(u32, &[u8]), String> {
    let (code, rest) = body.split_first_chunk().ok_or("an authentication message is too short")?;
    Ok((u32::from_be_bytes(*code), rest))
}

fn sasl_text(body: &[u8], wanted: u32) -> Result<String, String> {
    match auth_code(body)? {
        (code, rest) if code == wanted => {
            String::from_utf8(rest.to_vec()).map_err(|_| "SCRAM: not UTF-8".to_owned())
        }
        (code, _) => Err(format!("expected authentication message {wanted}, found {code}")),
    }
}

fn send_password(out: &mut Vec<u8>, password: &str) {
    wire::message(out, b'p', |out| {
        out.extend_from_slice(password.as_bytes());
        out.push(0);
    });
}

fn md5_response(user: &str, password: &str, salt: &[u8]) -> String {
    let inner = hex(&Md5::digest([password.as_bytes(), user.as_bytes()].concat()));
    format!("md5{}", hex(&Md5::digest([inner.as_bytes(), salt].concat())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(password: &str) -> Login {
        let endpoint = Endpoint {
            host: "h".into(),
            port: 1,
            user: "user".into(),
            password: password.into(),
            database: "d".into(),
            tls: None,
        };
        Login::start(&Caller::new(&endpoint).unwrap(), &mut vec![])
    }

    fn auth(code: u32, rest: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes(), rest].concat()
    }

    fn handle(login: &mut Login, kind: u8, body: &[u8]) -> (Result<bool, String>, Vec<u8>) {
        let mut out = vec![];
        let got = login.handle(&Message { kind, bytes: 0, body }, &mut out);
        (got, out)
    }

    #[test]
    fn trust_then_ready() {
        let mut login = login("");
        assert_eq!(handle(&mut login, b'R', &auth(0, &[])), (Ok(false), vec![]));
        assert_eq!(handle(&mut login, b'S', b"").0, Ok(false));
        assert_eq!(handle(&mut login, b'Z', b"I").0, Ok(true));
    }

    #[test]
    fn md5_answers_as_libpq_does() {
        // echo -n "$(echo -n passuser | md5sum)SALT" | md5sum
        let (_, out) = handle(&mut login("pass"), b'R', &auth(5, b"SALT"));
        let inner = hex(&Md5::digest(b"passuser"));
        let outer = hex(&Md5::digest([inner.as_bytes(), b"SALT"].concat()));
        assert_eq!(&out[5..out.len() - 1], format!("md5{outer}").as_bytes());
    }

    /// The exchange of RFC 7677, section 3 (its user name is in the first message, ours is not,
    /// so the vector is fed to `prove` directly).
    #[test]
    fn scram_agrees_with_the_rfc() {
        let login = login("pencil");
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (reply, signature) = login.prove(nonce, &format!("n=user,r={nonce}"), first).unwrap();
        assert!(reply.ends_with("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{reply}");
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_server_that_proves_nothing_is_refused() {
        let mut login = login("pencil");
        assert_eq!(handle(&mut login, b'R', &auth(10, b"SCRAM-SHA-256\0\0")).0, Ok(false));
        let State::ExpectContinue { nonce, .. } = &login.state else { panic!("no SASL") };
        let first = format!("r={nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(handle(&mut login, b'R', &auth(11, first.as_bytes())).0, Ok(false));
        assert!(handle(&mut login, b'R', &auth(12, b"v=AAAA")).0.is_err());
    }

    #[test]
    fn errors_and_unknown_methods_end_the_login() {
        assert!(handle(&mut login(""), b'E', b"C28P01\0Mno\0\0").0.is_err());
        assert!(handle(&mut login(""), b'R', &auth(7, &[])).0.is_err());
        assert!(handle(&mut login(""), b'R', &[0, 0]).0.is_err());
        assert!(handle(&mut login(""), b'Z', b"I").0.is_err());
    }
}
