//! Who sends a request: each says so itself, the connection by its certificate at most.
//!
//! In: a request's credentials, facts of TLS, the snapshot. Out: an identity, or a challenge.
//! Never: a difference between an unknown user and a wrong password; a password or token kept.

use std::sync::Arc;

use crate::config::settings::Settings;
use crate::fault::Token;
use crate::identify::{Identity, Method, api_token, certificate, token};
use crate::session::Stage;
use crate::wire::http::auth::{Credentials, credentials};
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;

use super::kept::sha256;
use super::link::Link;

/// What the last request of the connection proved: the next one mostly says the same.
#[derive(Debug, Default)]
pub(super) struct Proven {
    last: Option<Proof>,
}

#[derive(Debug)]
struct Proof {
    /// SHA-256 of the field's value.
    digest: [u8; 32],
    identity: Identity,
    settings: Arc<Settings>,
    tokens: Arc<api_token::Set>,
    /// UTC microseconds; a token ends.
    until_us: i64,
}

/// Why nobody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Nothing was said.
    Missing,
    /// What was said proves nothing.
    Wrong,
    /// Too many wrong passwords of this name came from its network: none is looked at for so many
    /// seconds.
    Throttled(u32),
    /// A token is not taken.
    Token(Token),
    /// A token's issuer may have newer keys; they are asked for.
    Keys(usize, Token),
}

impl Unknown {
    /// A fixed word for records.
    pub const fn label(self) -> &'static str {
        match self {
            Unknown::Missing => "no-credentials",
            Unknown::Wrong => "credentials",
            Unknown::Throttled(_) => "login-throttled",
            Unknown::Token(_) | Unknown::Keys(..) => "token",
        }
    }

    /// What the record says of the request of somebody who is not known: words, and JSON.
    pub fn noted(&self, request: &Head) -> (&'static str, String) {
        let mut attrs = serde_json::json!({ "reason": self.label() });
        if let Some(user) = claimed(request) {
            attrs["user"] = user.into();
        }
        let words = match self {
            Unknown::Throttled(_) => "a password was not looked at, after too many wrong ones",
            _ => "a request came with credentials of nobody whom weir knows",
        };
        (words, attrs.to_string())
    }
}

impl Proven {
    /// Who sends `request`.
    pub fn identify(
        &mut self,
        request: &Head,
        link: &Link,
        stage: &mut Stage<'_>,
    ) -> Result<Identity, Unknown> {
        let mut values = request.values(Name::Authorization);
        let (value, more) = (values.next(), values.next().is_some());
        if more {
            return Err(Unknown::Wrong);
        }
        let Some(value) = value else { return by_certificate(link, stage).ok_or(Unknown::Missing) };
        let hash = sha256(value);
        if let Some(proof) = &self.last
            && proof.digest == hash
            && Arc::ptr_eq(&proof.settings, &stage.snapshot.settings)
            && Arc::ptr_eq(&proof.tokens, &stage.snapshot.tokens)
            && stage.now.wall_us < proof.until_us
        {
            return Ok(proof.identity.clone());
        }
        self.last = None;
        let (identity, until_us) = match credentials(value) {
            Credentials::Basic { user, password } => by_password(&user, &password, link, stage)?,
            Credentials::Bearer(token) => by_token(token, "", link, stage)?,
            Credentials::Other => return Err(Unknown::Wrong),
        };
        let settings = Arc::clone(&stage.snapshot.settings);
        let tokens = Arc::clone(&stage.snapshot.tokens);
        let proof = Proof { digest: hash, identity: identity.clone(), settings, tokens, until_us };
        self.last = Some(proof);
        Ok(identity)
    }
}

/// Who has a token that came as a WebSocket's subprotocol, with nothing else that says who it is.
pub(super) fn by_protocol(
    token: &[u8],
    request: &Head,
    link: &Link,
    stage: &Stage<'_>,
) -> Result<Identity, Unknown> {
    if request.values(Name::Authorization).next().is_some() {
        return Err(Unknown::Wrong);
    }
    by_token(token, "", link, stage).map(|(identity, _)| identity)
}

fn by_certificate(link: &Link, stage: &Stage<'_>) -> Option<Identity> {
    let leaf = link.tls.as_ref()?.peer_certificate.as_deref()?;
    certificate::identity(&stage.snapshot.settings.certificates, leaf)
}

/// A user of weir, or a token in the place of a password: old clients can give nothing else.
fn by_password(
    user: &str,
    password: &str,
    link: &Link,
    stage: &mut Stage<'_>,
) -> Result<(Identity, i64), Unknown> {
    let snapshot = stage.snapshot;
    let known = snapshot.settings.users.iter().find(|known| known.name == user);
    let is_signed = known.is_none() && password.starts_with("ey") && password.contains('.');
    if is_signed || api_token::is_one(password.as_bytes()) {
        return by_token(password.as_bytes(), user, link, stage);
    }
    let (failures, from) = (&stage.room.failures, link.accepted.client_addr.ip());
    if let Some(wait_s) = failures.wait_s(user, from, stage.now.mono_us) {
        return Err(Unknown::Throttled(wait_s));
    }
    let verifier = known.and_then(|known| known.verifier.as_ref());
    let seed = &snapshot.mock_seed;
    let is_right = crate::identify::scram::proves(user, password, verifier, seed);
    match known {
        Some(known) if is_right => {
            failures.forget(user, from);
            let (user, groups) = (known.name.clone(), known.groups.clone());
            Ok((Identity { user, groups, method: Method::Basic }, i64::MAX))
        }
        _ => {
            failures.note(user, from, stage.now.mono_us);
            Err(Unknown::Wrong)
        }
    }
}

/// Whom a request claims to be sent by, if it gives a password for it.
fn claimed(request: &Head) -> Option<String> {
    match credentials(request.only(Name::Authorization)?) {
        Credentials::Basic { user, .. } => Some(user.chars().take(NAME_CHARACTERS).collect()),
        Credentials::Bearer(_) | Credentials::Other => None,
    }
}

const NAME_CHARACTERS: usize = 255;

/// Who has a token of an issuer or of weir, given under a name or none.
fn by_token(
    token: &[u8],
    given: &str,
    link: &Link,
    stage: &Stage<'_>,
) -> Result<(Identity, i64), Unknown> {
    if api_token::is_one(token) {
        // In clear where passwords are: what it stands for is a user of weir as they do.
        let given = (given, stage.snapshot.settings.users.as_slice());
        let found = stage.snapshot.tokens.bearer(token, given, stage.now.wall_us);
        return found.map_err(Unknown::Token);
    }
    // As with PostgreSQL: whoever reads it on its way could use it everywhere.
    if link.tls.is_none() {
        return Err(Unknown::Token(Token::Plaintext));
    }
    let snapshot = stage.snapshot;
    let known = snapshot.settings.issuers.iter().enumerate().map(|(index, issuer)| {
        let keys = snapshot.keys.get(index).and_then(|published| published.keys.as_deref());
        token::Issuer { policy: &issuer.policy, keys }
    });
    let verified = token::verify(token, &known.collect::<Vec<_>>(), stage.now.wall_us);
    let bearer = verified.map_err(|refused| match refused.stale {
        Some(index) => Unknown::Keys(index, refused.fault),
        None => Unknown::Token(refused.fault),
    })?;
    // The issuer decides what its claims say, the configuration who its own users are.
    if snapshot.settings.users.iter().any(|user| user.name == bearer.user) {
        return Err(Unknown::Token(Token::NameTaken));
    }
    let identity = Identity { user: bearer.user, groups: bearer.groups, method: Method::Oidc };
    Ok((identity, bearer.until_us))
}
