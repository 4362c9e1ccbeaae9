//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both roles, and PostgreSQL's verifier format.
//!
//! In: SASL messages, a verifier or a password, random bytes. Out: SASL messages, success or a
//! closed error. Never: a password or a key in an error or in debug output, an iteration count of a
//! peer above `limits`, a difference between an unknown user and a wrong password.
//!
//! ```text
//!   client                                                     server
//!   <gs2>,n=,r=<cn>                 --- client-first --->      ExpectClientFirst
//!   ExpectServerFirst           <--- server-first ----         r=<cn><sn>,s=<salt>,i=<count>
//!   c=<cbind>,r=<cn><sn>,p=<proof>  --- client-final --->      ExpectClientFinal
//!   ExpectServerFinal           <--- server-final ----         v=<signature>
//! ```

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use ring::{digest, hmac, pbkdf2};

use crate::hex;
use crate::limits;

/// Bytes of a SHA-256 value.
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;

type Key = [u8; KEY_BYTES];

/// What a server stores: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// Iterations of a verifier that weir makes itself; the default of PostgreSQL
/// (`scram_iterations`), so that an unknown user shows the same count as a known one.
pub const ITERATIONS_DEFAULT: u32 = 4096;

impl Verifier {
    /// Derives a verifier from a password. Costs `iterations` hashes: for the load of the
    /// configuration, not for a shard.
    ///
    /// # Panics
    /// If `iterations` is zero, which is a mistake of the caller.
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let count = NonZeroU32::new(iterations).expect("a verifier needs at least one iteration");
        let keys = Keys::derive(password, salt, count);
        Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&keys.client_key),
            server_key: keys.server_key,
        }
    }

    /// Reads PostgreSQL's text of a verifier, as in `pg_authid.rolpassword`.
    ///
    /// # Errors
    /// `VerifierError` names the part that is wrong, never its content.
    pub fn parse(text: &str) -> Result<Verifier, VerifierError> {
        let rest = text.strip_prefix("SCRAM-SHA-256$").ok_or(VerifierError::Prefix)?;
        let (parameters, keys) = rest.split_once('$').ok_or(VerifierError::Parts)?;
        let (iterations, salt) = parameters.split_once(':').ok_or(VerifierError::Parts)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Parts)?;
        let iterations = read_count(iterations.as_bytes()).ok_or(VerifierError::Iterations)?.get();
        let salt = BASE64.decode(salt).map_err(|_| VerifierError::Salt)?;
        if salt.is_empty() {
            return Err(VerifierError::Salt);
        }
        Ok(Verifier {
            iterations,
            salt,
            stored_key: read_key(stored_key.as_bytes()).ok_or(VerifierError::Keys)?,
            server_key: read_key(server_key.as_bytes()).ok_or(VerifierError::Keys)?,
        })
    }

    /// A verifier that no password fits, the same for the same user at every attempt.
    fn mock(seed: &[u8; 32], user: &str) -> Verifier {
        let key = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let part = |label: &[u8]| {
            let mut context = hmac::Context::with_key(&key);
            context.update(label);
            context.update(user.as_bytes());
            tag(context.sign())
        };
        Verifier {
            iterations: ITERATIONS_DEFAULT,
            salt: part(b"salt:").iter().copied().take(16).collect(),
            stored_key: part(b"stored:"),
            server_key: part(b"server:"),
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// What is wrong with the text of a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Another or no mechanism.
    #[error("a verifier starts with `SCRAM-SHA-256$`")]
    Prefix,
    /// A separator is missing.
    #[error("a verifier has the form `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`")]
    Parts,
    /// The count is no number, zero or too large.
    #[error("the iteration count of the verifier is not a number from 1 to 2147483647")]
    Iterations,
    /// The salt is empty or not base64.
    #[error("the salt of the verifier is not base64")]
    Salt,
    /// A key is not base64 of 32 bytes.
    #[error("a key of the verifier is not base64 of 32 bytes")]
    Keys,
}

/// Why an exchange ended. No variant carries content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The message does not have the form of RFC 5802.
    #[error("malformed SCRAM message")]
    Malformed,
    /// A message that the exchange does not expect now.
    #[error("SCRAM message out of order")]
    Order,
    /// The client binds to another channel, or in another way than was offered.
    #[error("SCRAM channel binding check failed")]
    ChannelBinding,
    /// The client could bind and believes that this server cannot: somebody took it off the list.
    #[error("the client was told that channel binding is not offered, but it is")]
    Downgrade,
    /// The client asks to act as someone else.
    #[error("a SCRAM authorization identity is not supported")]
    AuthorizationId,
    /// A mandatory extension (`m=`).
    #[error("a mandatory SCRAM extension is not supported")]
    Extension,
    /// The nonce is not the one of this exchange.
    #[error("SCRAM nonce does not match")]
    Nonce,
    /// The proof is wrong, or nobody of that name exists.
    #[error("password authentication failed")]
    Credentials,
    /// The server asks for more iterations than `limits::SCRAM_ITERATIONS_MAX`.
    #[error("the server asks for too many SCRAM iterations")]
    Iterations,
    /// The server reported an error in its final message.
    #[error("the server ended the SCRAM exchange")]
    Refused,
    /// The server does not know the password either: it is not the one it claims to be.
    #[error("the server could not prove that it knows the password")]
    ServerSignature,
}

/// The mechanism without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// The mechanism with it.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The one binding of TLS connections that PostgreSQL knows (RFC 5929, section 4).
const END_POINT: &[u8] = b"p=tls-server-end-point";

/// The server's half of one login.
pub struct ServerExchange {
    verifier: Verifier,
    known: bool,
    server_nonce: String,
    /// What a client that binds has to name: the hash of the server's certificate.
    end_point: Option<Vec<u8>>,
    is_bound: bool,
    state: ServerState,
}

enum ServerState {
    ExpectClientFirst,
    ExpectClientFinal {
        /// `client-first-bare,server-first`: the proof covers it.
        signed: Vec<u8>,
        /// Client nonce followed by the server's.
        nonce: Vec<u8>,
        /// Base64 of the gs2 header and, with channel binding, of what is bound to: the client has
        /// to say the same.
        binding: String,
    },
    Done,
}

impl ServerExchange {
    /// Starts an exchange for the user of the start-up packet (the name inside the SCRAM messages
    /// is ignored, as PostgreSQL does). Without a verifier the exchange goes on to the end with a
    /// salt derived from `mock_seed` and the name, and fails there as a wrong password does.
    /// `nonce` is random bytes, at least 18.
    pub fn new(
        user: &str,
        verifier: Option<&Verifier>,
        mock_seed: &[u8; 32],
        nonce: &[u8],
    ) -> ServerExchange {
        ServerExchange {
            known: verifier.is_some(),
            verifier: verifier.cloned().unwrap_or_else(|| Verifier::mock(mock_seed, user)),
            server_nonce: BASE64.encode(nonce),
            end_point: None,
            is_bound: false,
            state: ServerState::ExpectClientFirst,
        }
    }

    /// The same on a TLS connection of which the server's certificate has this hash
    /// (`certificate::end_point`): the client may bind to it.
    #[must_use]
    pub fn bound_to(mut self, end_point: Option<Vec<u8>>) -> ServerExchange {
        self.end_point = end_point;
        self
    }

    /// The mechanisms to offer, the better one first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[MECHANISM_PLUS, MECHANISM],
            None => &[MECHANISM],
        }
    }

    /// Whether the client bound itself to the channel.
    pub fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// Takes the mechanism the client chose and client-first, gives server-first.
    ///
    /// # Errors
    /// The message is malformed or asks for what is not offered. The exchange is over then.
    pub fn begin(&mut self, mechanism: &[u8], message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let flag = message.split(|&byte| byte == b',').next().unwrap_or_default();
        let offered = self.mechanisms().iter().any(|known| known.as_bytes() == mechanism);
        match (mechanism == MECHANISM_PLUS.as_bytes(), flag) {
            _ if !offered => Err(ScramError::Malformed),
            (true, flag) if flag == END_POINT => self.client_first(message),
            (true, _) => Err(ScramError::ChannelBinding),
            (false, b"y") if self.end_point.is_some() => Err(ScramError::Downgrade),
            (false, flag) if flag.starts_with(b"p=") => Err(ScramError::ChannelBinding),
            (false, _) => self.client_first(message),
        }
    }

    /// Takes client-first, gives server-first.
    fn client_first(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        match std::mem::replace(&mut self.state, ServerState::Done) {
            ServerState::ExpectClientFirst => {}
            ServerState::ExpectClientFinal { .. } | ServerState::Done => {
                return Err(ScramError::Order);
            }
        }
        let first = ClientFirst::parse(message)?;
        let mut nonce = first.nonce.to_vec();
        nonce.extend_from_slice(self.server_nonce.as_bytes());
        let mut answer = b"r=".to_vec();
        answer.extend_from_slice(&nonce);
        answer.extend_from_slice(b",s=");
        answer.extend_from_slice(BASE64.encode(&self.verifier.salt).as_bytes());
        answer.extend_from_slice(format!(",i={}", self.verifier.iterations).as_bytes());
        self.is_bound = first.gs2_header.starts_with(END_POINT);
        let bound = self.end_point.as_deref().filter(|_| self.is_bound).unwrap_or_default();
        self.state = ServerState::ExpectClientFinal {
            signed: [first.bare, b",", &answer].concat(),
            nonce,
            binding: BASE64.encode([first.gs2_header, bound].concat()),
        };
        Ok(answer)
    }

    /// Takes client-final, gives server-final; `Ok` means that the client knows the password.
    ///
    /// # Errors
    /// `Credentials` for a wrong password and for an unknown user alike.
    pub fn client_final(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let ServerState::ExpectClientFinal { mut signed, nonce, binding } =
            std::mem::replace(&mut self.state, ServerState::Done)
        else {
            return Err(ScramError::Order);
        };
        let last = ClientFinal::parse(message)?;
        if last.binding != binding.as_bytes() {
            return Err(ScramError::ChannelBinding);
        }
        if last.nonce != nonce {
            return Err(ScramError::Nonce);
        }
        signed.push(b',');
        signed.extend_from_slice(last.without_proof);
        // StoredKey = H(ClientKey) and ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage).
        let client_key = xor(&last.proof, &hmac_sha256(&self.verifier.stored_key, &signed));
        let matches = same(&sha256(&client_key), &self.verifier.stored_key);
        if !(matches & self.known) {
            return Err(ScramError::Credentials);
        }
        let signature = hmac_sha256(&self.verifier.server_key, &signed);
        Ok(format!("v={}", BASE64.encode(signature)).into_bytes())
    }
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            ServerState::ExpectClientFirst => "ServerExchange(ExpectClientFirst)",
            ServerState::ExpectClientFinal { .. } => "ServerExchange(ExpectClientFinal)",
            ServerState::Done => "ServerExchange(Done)",
        })
    }
}

/// What a client says of the channel in its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It does not bind (`n`).
    None,
    /// It would, but the server does not offer it (`y`): should the server have offered it, the
    /// server learns here that somebody took it off the list.
    NotOffered,
    /// It binds to the server's certificate, of which this is the hash.
    EndPoint(Vec<u8>),
}

impl Binding {
    fn gs2_header(&self) -> &'static [u8] {
        match self {
            Binding::None => b"n,,",
            Binding::NotOffered => b"y,,",
            Binding::EndPoint(_) => b"p=tls-server-end-point,,",
        }
    }

    /// `cbind-input` of RFC 5802 in base64.
    fn input(&self) -> String {
        let data = match self {
            Binding::None | Binding::NotOffered => &[][..],
            Binding::EndPoint(hash) => hash,
        };
        BASE64.encode([self.gs2_header(), data].concat())
    }
}

/// The client's half of one login: weir at a target.
pub struct ClientExchange {
    password: String,
    binding: Binding,
    first_bare: String,
    nonce: String,
    state: ClientState,
}

enum ClientState {
    ExpectServerFirst,
    ExpectServerFinal { signature: Key },
    Done,
}

impl ClientExchange {
    /// Starts an exchange. `nonce` is random printable text without a comma.
    ///
    /// # Panics
    /// If the nonce is empty or holds what a nonce may not, which is a mistake of the caller.
    pub fn new(password: &str, nonce: &str, binding: Binding) -> ClientExchange {
        // The name stays empty: PostgreSQL takes the one of the start-up packet, as libpq knows.
        ClientExchange::for_user("", password, nonce, binding)
    }

    fn for_user(user: &str, password: &str, nonce: &str, binding: Binding) -> ClientExchange {
        assert!(is_nonce(nonce.as_bytes()), "a nonce is printable and has no comma");
        ClientExchange {
            password: password.to_owned(),
            binding,
            first_bare: format!("n={user},r={nonce}"),
            nonce: nonce.to_owned(),
            state: ClientState::ExpectServerFirst,
        }
    }

    /// The client-first message.
    pub fn first(&self) -> Vec<u8> {
        [self.binding.gs2_header(), self.first_bare.as_bytes()].concat()
    }

    /// Takes server-first, gives client-final.
    ///
    /// # Errors
    /// The message is malformed, its nonce is not ours, or it asks for too many iterations.
    pub fn server_first(
        &mut self,
        message: &[u8],
        cache: &mut SaltedCache,
    ) -> Result<Vec<u8>, ScramError> {
        match std::mem::replace(&mut self.state, ClientState::Done) {
            ClientState::ExpectServerFirst => {}
            ClientState::ExpectServerFinal { .. } | ClientState::Done => {
                return Err(ScramError::Order);
            }
        }
        let first = ServerFirst::parse(message)?;
        let fresh = first.nonce.strip_prefix(self.nonce.as_bytes()).ok_or(ScramError::Nonce)?;
        if fresh.is_empty() {
            return Err(ScramError::Nonce);
        }
        if first.iterations.get() > limits::SCRAM_ITERATIONS_MAX {
            return Err(ScramError::Iterations);
        }
        let keys = cache.keys(&self.password, &first.salt, first.iterations);
        let binding = self.binding.input();
        let mut answer = [b"c=", binding.as_bytes(), b",r=", first.nonce].concat();
        let signed = [self.first_bare.as_bytes(), b",", message, b",", &answer].concat();
        let client_signature = hmac_sha256(&sha256(&keys.client_key), &signed);
        let proof = xor(&keys.client_key, &client_signature);
        answer.extend_from_slice(b",p=");
        answer.extend_from_slice(BASE64.encode(proof).as_bytes());
        let signature = hmac_sha256(&keys.server_key, &signed);
        self.state = ClientState::ExpectServerFinal { signature };
        Ok(answer)
    }

    /// Takes server-final; `Ok` means that the server knows the verifier.
    ///
    /// # Errors
    /// The signature is wrong, or the server reports an error.
    pub fn server_final(&mut self, message: &[u8]) -> Result<(), ScramError> {
        let ClientState::ExpectServerFinal { signature } =
            std::mem::replace(&mut self.state, ClientState::Done)
        else {
            return Err(ScramError::Order);
        };
        let mut rest = message;
        if let Some(b'e') = message.first() {
            take_attribute(&mut rest, b'e')?;
            return Err(ScramError::Refused);
        }
        let value = take_attribute(&mut rest, b'v')?;
        end(rest)?;
        let theirs = read_key(value).ok_or(ScramError::Malformed)?;
        if same(&theirs, &signature) { Ok(()) } else { Err(ScramError::ServerSignature) }
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            ClientState::ExpectServerFirst => "ClientExchange(ExpectServerFirst)",
            ClientState::ExpectServerFinal { .. } => "ClientExchange(ExpectServerFinal)",
            ClientState::Done => "ClientExchange(Done)",
        })
    }
}

/// Whether `password` is the one of `user`. Whoever has no verifier takes as long as who has one.
pub fn proves(
    user: &str,
    password: &str,
    verifier: Option<&Verifier>,
    mock_seed: &[u8; 32],
) -> bool {
    let mock = Verifier::mock(mock_seed, user);
    let known = verifier.unwrap_or(&mock);
    let Some(iterations) = NonZeroU32::new(known.iterations) else { return false };
    let keys = Keys::derive(password, &known.salt, iterations);
    let fits = same(&sha256(&keys.client_key), &known.stored_key);
    fits && verifier.is_some()
}

/// Derived keys by (password, salt, iterations), so that a shard runs PBKDF2 once per target role
/// and not once per connection: 4096 iterations are about a millisecond.
#[derive(Default)]
pub struct SaltedCache {
    entries: Vec<(CacheKey, Keys)>,
}

#[derive(PartialEq, Eq)]
struct CacheKey {
    password: Key,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl SaltedCache {
    /// An empty cache.
    pub fn new() -> SaltedCache {
        SaltedCache::default()
    }

    /// Keys from memory, or derived now. The oldest entry makes room when the cache is full: a
    /// server that changes its salt at every login costs time, not memory.
    fn keys(&mut self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Keys {
        let key = CacheKey { password: sha256(password.as_bytes()), salt: salt.into(), iterations };
        if let Some((_, keys)) = self.entries.iter().find(|(known, _)| *known == key) {
            return keys.clone();
        }
        let keys = Keys::derive(password, salt, iterations);
        if self.entries.len() >= limits::SALTED_KEYS_MAX {
            self.entries.remove(0);
        }
        self.entries.push((key, keys.clone()));
        keys
    }
}

impl fmt::Debug for SaltedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaltedCache({} entries)", self.entries.len())
    }
}

/// The answer to AuthenticationMD5Password, for targets that still ask for it.
pub fn md5_password(user: &str, password: &str, salt: [u8; 4]) -> String {
    let inner = hex::text(&md5_of(&[password.as_bytes(), user.as_bytes()]));
    format!("md5{}", hex::text(&md5_of(&[inner.as_bytes(), &salt])))
}

fn md5_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// What both roles derive from a password.
#[derive(Clone)]
struct Keys {
    client_key: Key,
    server_key: Key,
}

impl Keys {
    fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Keys {
        let prepared = prepare(password);
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            prepared.as_bytes(),
            &mut salted,
        );
        Keys {
            client_key: hmac_sha256(&salted, b"Client Key"),
            server_key: hmac_sha256(&salted, b"Server Key"),
        }
    }
}

/// SASLprep, with PostgreSQL's way out (`pg_saslprep`): a password that the profile forbids, or
/// that it maps to nothing, is used as it is.
fn prepare(password: &str) -> std::borrow::Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        Ok(_) | Err(_) => password.into(),
    }
}

struct ClientFirst<'a> {
    gs2_header: &'a [u8],
    bare: &'a [u8],
    nonce: &'a [u8],
}

impl<'a> ClientFirst<'a> {
    /// `gs2-cbind-flag "," [authzid] "," [reserved-mext ","] username "," nonce ["," extensions]`
    fn parse(message: &'a [u8]) -> Result<ClientFirst<'a>, ScramError> {
        let mut rest = message;
        match take_until_comma(&mut rest)? {
            // Whether the flag fits the mechanism is checked by `begin`.
            b"n" | b"y" | END_POINT => {}
            _ => return Err(ScramError::Malformed),
        }
        match take_until_comma(&mut rest)? {
            b"" => {}
            authzid if authzid.starts_with(b"a=") => return Err(ScramError::AuthorizationId),
            _ => return Err(ScramError::Malformed),
        }
        let bare = rest;
        let gs2_header = message.strip_suffix(bare).ok_or(ScramError::Malformed)?;
        if bare.starts_with(b"m=") {
            return Err(ScramError::Extension);
        }
        take_attribute(&mut rest, b'n')?;
        let nonce = take_attribute(&mut rest, b'r')?;
        if !is_nonce(nonce) {
            return Err(ScramError::Malformed);
        }
        while !rest.is_empty() {
            take_extension(&mut rest)?;
        }
        Ok(ClientFirst { gs2_header, bare, nonce })
    }
}

struct ClientFinal<'a> {
    binding: &'a [u8],
    nonce: &'a [u8],
    without_proof: &'a [u8],
    proof: Key,
}

impl<'a> ClientFinal<'a> {
    /// `channel-binding "," nonce ["," extensions] "," proof`
    fn parse(message: &'a [u8]) -> Result<ClientFinal<'a>, ScramError> {
        let mut rest = message;
        let binding = take_attribute(&mut rest, b'c')?;
        let nonce = take_attribute(&mut rest, b'r')?;
        let mut from_proof = rest;
        while !from_proof.starts_with(b"p=") {
            take_extension(&mut rest)?;
            from_proof = rest;
        }
        let proof = take_attribute(&mut rest, b'p')?;
        end(rest)?;
        let proof = read_key(proof).ok_or(ScramError::Malformed)?;
        let without_proof = message
            .strip_suffix(from_proof)
            .and_then(|head| head.strip_suffix(b","))
            .ok_or(ScramError::Malformed)?;
        Ok(ClientFinal { binding, nonce, without_proof, proof })
    }
}

struct ServerFirst<'a> {
    nonce: &'a [u8],
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> ServerFirst<'a> {
    /// `[reserved-mext ","] nonce "," salt "," iteration-count`. Like libpq, nothing may follow.
    fn parse(message: &'a [u8]) -> Result<ServerFirst<'a>, ScramError> {
        if message.starts_with(b"m=") {
            return Err(ScramError::Extension);
        }
        let mut rest = message;
        let nonce = take_attribute(&mut rest, b'r')?;
        let salt = take_attribute(&mut rest, b's')?;
        let count = take_attribute(&mut rest, b'i')?;
        end(rest)?;
        let salt = BASE64.decode(salt).map_err(|_| ScramError::Malformed)?;
        if !is_nonce(nonce) || salt.is_empty() {
            return Err(ScramError::Malformed);
        }
        let iterations = read_count(count).ok_or(ScramError::Malformed)?;
        Ok(ServerFirst { nonce, salt, iterations })
    }
}

/// Takes up to the next comma, which must be there, and the comma.
fn take_until_comma<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ScramError> {
    let at = rest.iter().position(|&byte| byte == b',').ok_or(ScramError::Malformed)?;
    let (head, tail) = rest.split_at(at);
    *rest = tail.strip_prefix(b",").ok_or(ScramError::Malformed)?;
    Ok(head)
}

/// Takes `<name>=<value>` and the comma after it, if one follows. A comma at the very end is
/// malformed: something has to come after it.
fn take_attribute<'a>(rest: &mut &'a [u8], name: u8) -> Result<&'a [u8], ScramError> {
    let value = rest.strip_prefix(&[name, b'=']).ok_or(ScramError::Malformed)?;
    let length = value.iter().position(|&byte| byte == b',').unwrap_or(value.len());
    let (value, tail) = value.split_at(length);
    *rest = match tail {
        [] => tail,
        [_, after @ ..] if !after.is_empty() => after,
        _ => return Err(ScramError::Malformed),
    };
    Ok(value)
}

/// Takes an optional extension: any letter. Ignored, as RFC 5802 asks.
fn take_extension(rest: &mut &[u8]) -> Result<(), ScramError> {
    match rest.first() {
        Some(&name) if name.is_ascii_alphabetic() => take_attribute(rest, name).map(drop),
        _ => Err(ScramError::Malformed),
    }
}

fn end(rest: &[u8]) -> Result<(), ScramError> {
    if rest.is_empty() { Ok(()) } else { Err(ScramError::Malformed) }
}

/// `printable = %x21-2B / %x2D-7E`: no comma, no blank.
fn is_nonce(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',')
}

/// `posit-number = %x31-39 *DIGIT`, at most what PostgreSQL's `int` holds.
fn read_count(digits: &[u8]) -> Option<NonZeroU32> {
    if digits.len() > 10 || digits.starts_with(b"0") || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    NonZeroU32::new(count).filter(|count| count.get() <= i32::MAX as u32)
}

fn read_key(base64: &[u8]) -> Option<Key> {
    // 32 bytes are 44 characters; decoding anything longer would be work for nothing.
    if base64.len() != 44 {
        return None;
    }
    BASE64.decode(base64).ok()?.try_into().ok()
}

fn sha256(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    key
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Key {
    tag(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes))
}

fn tag(tag: hmac::Tag) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(tag.as_ref());
    key
}

fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|index| a[index] ^ b[index])
}

/// Compares in a time that does not depend on where the values differ.
fn same(a: &Key, b: &Key) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
