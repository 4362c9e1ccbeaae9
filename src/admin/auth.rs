//! Who asks the admin API: the owner of the token file, or a user of weir with a password.
//!
//! In: the `Authorization` header, the users of the configuration. Out: `Caller`, or nothing.
//! Never: a difference in time or words between an unknown user and a wrong password; a secret in
//! an error.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as TOKEN_TEXT};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::settings::User;
use crate::decide::approval::{ADMIN_TOKEN, Ground};
use crate::identify::api_token;
use crate::identify::scram::{
    Binding, ClientExchange, MECHANISM, SaltedCache, ServerExchange, Verifier,
};

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// How they did: `admin-token`, `password`, `token`, `api-token`; `signal`, `start` and `time`
    /// for the process itself.
    pub auth: &'static str,
    /// By what, as far as that can be taken away.
    pub ground: Ground,
}

impl Caller {
    /// Somebody, or a part of weir, that has no groups: what an act is recorded under.
    pub fn unproven(name: &str, auth: &'static str) -> Caller {
        Caller { name: name.to_owned(), groups: Vec::new(), auth, ground: Ground::Configured }
    }

    /// Whether everything may be seen and ended: the admin token, or a user in group `admin`.
    pub fn is_admin(&self) -> bool {
        self.groups.iter().any(|group| group == ADMIN)
    }

    /// Whether a hold with these approvers is this caller's business.
    pub fn may_answer(&self, approvers: &[String]) -> bool {
        self.groups.iter().any(|group| approvers.contains(group))
    }
}

/// Name and group of the token's identity.
pub const ADMIN: &str = "admin";

/// Proves callers. Made once per process.
#[derive(Debug)]
pub struct Gate {
    random: SystemRandom,
    /// Compares the token by a keyed hash, so that the comparison takes the same time always.
    token_key: hmac::Key,
    token_tag: hmac::Tag,
    /// So that an unknown name is answered like a known one.
    mock_seed: [u8; 32],
}

impl Gate {
    /// A gate that knows the admin token.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(token: &str) -> Result<Gate, AuthError> {
        let random = SystemRandom::new();
        let mut mock_seed = [0; 32];
        random.fill(&mut mock_seed).map_err(|_| AuthError::Random)?;
        let token_key =
            hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| AuthError::Random)?;
        let token_tag = hmac::sign(&token_key, token.as_bytes());
        Ok(Gate { random, token_key, token_tag, mock_seed })
    }

    /// Who sent this header, if it proves anybody.
    pub fn caller(&self, header: &str, users: &[User]) -> Option<Caller> {
        let (scheme, value) = header.split_once(' ')?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.bearer(value);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = String::from_utf8(BASE64.decode(value).ok()?).ok()?;
            let (name, password) = pair.split_once(':')?;
            return self.basic(name, password, users);
        }
        None
    }

    fn bearer(&self, token: &str) -> Option<Caller> {
        hmac::verify(&self.token_key, token.as_bytes(), self.token_tag.as_ref()).ok()?;
        let groups = vec![ADMIN.to_owned()];
        let ground = Ground::Configured;
        Some(Caller { name: ADMIN.to_owned(), groups, auth: ADMIN_TOKEN, ground })
    }

    fn basic(&self, name: &str, password: &str, users: &[User]) -> Option<Caller> {
        let user = users.iter().find(|user| user.name == name);
        let proven = self.knows(name, password, user.and_then(|user| user.verifier.as_ref()))?;
        let user = user.filter(|_| proven)?;
        let (groups, ground) = (user.groups.clone(), Ground::Configured);
        Some(Caller { name: user.name.clone(), groups, auth: "password", ground })
    }

    /// Plays both roles of a SCRAM exchange: the password is right when the exchange succeeds.
    /// An unknown user plays it to the end against a mock.
    fn knows(&self, name: &str, password: &str, verifier: Option<&Verifier>) -> Option<bool> {
        let mut nonce = [0; 24];
        self.random.fill(&mut nonce).ok()?;
        let mut client = ClientExchange::new(password, &TOKEN_TEXT.encode(nonce), Binding::None);
        let mut server = ServerExchange::new(name, verifier, &self.mock_seed, &nonce);
        let first = server.begin(MECHANISM.as_bytes(), &client.first()).ok()?;
        let last = client.server_first(&first, &mut SaltedCache::new()).ok()?;
        Some(server.client_final(&last).is_ok())
    }
}

/// A token of an issuer or of weir in a header, and the name it was given for: as bearer, or as the
/// password of somebody, who for an issuer's is no user of the configuration.
pub fn token(header: &str, users: &[User]) -> Option<Given> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Given { name: None, token: value.as_bytes().to_vec() });
    }
    let pair = String::from_utf8(BASE64.decode(value).ok()?).ok()?;
    let (name, token) = pair.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let known = users.iter().any(|user| user.name == name);
    (!known || api_token::is_one(token.as_bytes()))
        .then(|| Given { name: Some(name.to_owned()), token: token.as_bytes().to_vec() })
}

/// Whose password a header gives. Tokens are none, nor are those that stand in its place.
pub fn claimed(header: &str, users: &[User]) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    let pair = String::from_utf8(BASE64.decode(value.trim()).ok()?).ok()?;
    let (name, given) = pair.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let known = users.iter().any(|user| user.name == name);
    let is_signed = !known && given.starts_with("ey") && given.contains('.');
    (!is_signed && !api_token::is_one(given.as_bytes())).then(|| name.to_owned())
}

/// What `token` found. Not proven yet.
pub struct Given {
    /// Whom the caller claims to be, if it does.
    pub name: Option<String>,
    /// The token.
    pub token: Vec<u8>,
}

/// Where the token of a data directory lies.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.token")
}

/// Reads the token, or makes one at the first start.
///
/// # Errors
/// The file cannot be read or made, or holds no token.
pub fn load_or_make_token(data_dir: &Path) -> Result<String, AuthError> {
    load_or_make(token_path(data_dir))
}

/// Reads the token of a data directory.
///
/// # Errors
/// The file cannot be read, or holds no token.
pub fn read_token(data_dir: &Path) -> Result<String, AuthError> {
    read_secret(token_path(data_dir))
}

/// The password of the login that `weir run --target` prints, the same at every start.
///
/// # Errors
/// The file cannot be read or made, or holds no password.
pub fn load_or_make_password(data_dir: &Path) -> Result<String, AuthError> {
    load_or_make(data_dir.join("login.password"))
}

/// What makes salts for users that do not exist: the same at every start, so that nobody can tell
/// them from users that do.
///
/// # Errors
/// The file cannot be read or made, or holds no seed.
pub fn load_or_make_seed(data_dir: &Path) -> Result<[u8; 32], AuthError> {
    let path = data_dir.join("mock.seed");
    let text = load_or_make(path.clone())?;
    let bytes = TOKEN_TEXT.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(AuthError::Secret { path })
}

/// Reads a secret of 32 random bytes as text, or makes it, for the owner's eyes only.
fn load_or_make(path: PathBuf) -> Result<String, AuthError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let mut bytes = [0; 32];
            SystemRandom::new().fill(&mut bytes).map_err(|_| AuthError::Random)?;
            let secret = TOKEN_TEXT.encode(bytes);
            file.write_all(format!("{secret}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| AuthError::File { path, source })?;
            Ok(secret)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read_secret(path),
        Err(source) => Err(AuthError::File { path, source }),
    }
}

fn read_secret(path: PathBuf) -> Result<String, AuthError> {
    let mut text = String::new();
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text));
    if let Err(source) = read {
        return Err(AuthError::File { path, source });
    }
    let secret = text.trim();
    if secret.len() < SECRET_BYTES_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AuthError::Secret { path });
    }
    Ok(secret.to_owned())
}

/// A verifier for a password, with a random salt.
///
/// # Errors
/// The system gives no random bytes.
pub fn make_verifier(password: &str) -> Result<Verifier, AuthError> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| AuthError::Random)?;
    Ok(Verifier::from_password(password, &salt, crate::identify::scram::ITERATIONS_DEFAULT))
}

/// Why there is no token or verifier.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// A file of secrets.
    #[error("cannot use {path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content.
    #[error("{path} holds no usable secret; delete it and weir makes a new one at its next start")]
    Secret {
        /// Where.
        path: PathBuf,
    },
}

const SECRET_BYTES_MIN: usize = 32;
const SECRET_FILE_BYTES_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn user(name: &str, password: &str, groups: &[&str]) -> User {
        User {
            name: name.into(),
            verifier: Some(Verifier::from_password(password, b"salt of sixteen.", 4096)),
            keys: Vec::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair))
    }

    #[test]
    fn only_the_right_secret_proves_anybody() {
        let gate = Gate::new("token-of-the-test-0123456789abcdef").unwrap();
        let users = [user("alice", "s3:cret", &["dba"]), user("bob", "", &["admin"])];
        let check = |header: &str, expect: Option<&str>| {
            let caller = gate.caller(header, &users);
            assert_eq!(caller.map(|caller| caller.name).as_deref(), expect, "{header}");
        };
        check("Bearer token-of-the-test-0123456789abcdef", Some("admin"));
        check("bearer token-of-the-test-0123456789abcdef", Some("admin"));
        check("Bearer token-of-the-test-0123456789abcdee", None);
        check("Bearer ", None);
        check("token-of-the-test-0123456789abcdef", None);
        check(&basic("alice:s3:cret"), Some("alice"));
        check(&basic("alice:s3"), None);
        check(&basic("alice:"), None);
        check(&basic("mallory:s3:cret"), None);
        check(&basic("alice"), None);
        check("Basic !!!", None);
        check("Digest x", None);
        check("", None);
    }

    #[test]
    fn a_caller_has_the_groups_of_the_configuration() {
        let gate = Gate::new("token-of-the-test-0123456789abcdef").unwrap();
        let users = [user("alice", "pw", &["dba"])];
        let alice = gate.caller(&basic("alice:pw"), &users).unwrap();
        assert_eq!(alice.groups, ["dba"]);
        assert!(!alice.is_admin());
        assert!(alice.may_answer(&["dba".into(), "leads".into()]));
        assert!(!alice.may_answer(&["leads".into()]));
        let token = gate.caller("Bearer token-of-the-test-0123456789abcdef", &users).unwrap();
        assert!(token.is_admin());
        assert!(!token.may_answer(&["dba".into()]), "the token is no approver by itself");
    }

    #[test]
    fn the_token_is_made_once_and_for_the_owner_only() {
        let dir = std::env::temp_dir().join(format!("weir-token-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let made = load_or_make_token(&dir).unwrap();
        assert_eq!(load_or_make_token(&dir).unwrap(), made);
        assert_eq!(read_token(&dir).unwrap(), made);
        let seed = load_or_make_seed(&dir).unwrap();
        assert_eq!(load_or_make_seed(&dir).unwrap(), seed);
        assert_ne!(load_or_make_password(&dir).unwrap(), made);
        let mode = std::fs::metadata(token_path(&dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(token_path(&dir), "short").unwrap();
        assert!(matches!(read_token(&dir), Err(AuthError::Secret { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
