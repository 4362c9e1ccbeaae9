//! A token of an OpenID Connect issuer: who its bearer is, or why it is refused.
//!
//! In: the token as the client gave it, the issuers of the configuration, their keys, the time.
//! Out: name and groups. Never: a claim of a token whose signature was not verified, except for the
//! issuer's name, which says whose keys to try; a byte of the token in an error.
//!
//! This is the verifying half of JWS in its compact form (RFC 7515) and the claims of RFC 7519,
//! and no more. The libraries that do it today bring aws-lc, OpenSSL or a second RSA with them, and
//! leave repeated keys, `typ` and `crit` to their caller; what is left for them is base64 and a
//! call of ring.
//!
//! ```text
//!   header.claims.signature      each base64url without padding
//!      |      |        `--> by a key of the issuer that the header names by `kid`
//!      |      `--> iss, aud, exp, nbf, iat; the claims that name the person and the groups
//!      `--> alg (one of the issuer's), kid, typ; nothing that is `crit`
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use super::json;
use super::jwk::{Algorithm, KeySet};
use crate::fault::Token as Fault;
use crate::limits;

/// What is asked of the tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// What `aud` has to be or hold.
    pub audience: String,
    /// The claim that names the person: a key, or a path such as `/profile/login`.
    pub username_claim: String,
    /// The claim that lists the groups, in the same form; a text alone is one group.
    pub groups_claim: String,
    /// Put before each name, so that two issuers cannot name one person.
    pub username_prefix: String,
    /// Put before each group.
    pub groups_prefix: String,
    /// Claims that have to be these values, or lists that hold them.
    pub required: Vec<(String, Value)>,
    /// How tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may differ.
    pub leeway_s: u32,
}

/// An issuer and its keys as they are known now.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// What its tokens must be.
    pub policy: &'a Policy,
    /// `None` until they were read for the first time.
    pub keys: Option<&'a KeySet>,
}

/// Who the bearer of a good token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The name, of `Policy::username_claim`.
    pub user: String,
    /// The groups, of `Policy::groups_claim`.
    pub groups: Vec<String>,
    /// Whose token it is: index of the issuer.
    pub issuer: usize,
    /// When the token is over, UTC microseconds.
    pub until_us: i64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it.
    pub fault: Fault,
    /// Index of the issuer whose newer keys might know the token's signature.
    pub stale: Option<usize>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused { fault, stale: None }
    }
}

/// Verifies a token.
///
/// # Errors
/// The first thing that is wrong with it; about its content only after its signature was good.
pub fn verify(token: &[u8], issuers: &[Issuer<'_>], now_us: i64) -> Result<Bearer, Refused> {
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(Fault::Size.into());
    }
    let parts = Parts::split(token).ok_or(Fault::Malformed)?;
    let header = Header::read(&parts.header)?;
    let name = parts.claims.get("iss").and_then(Value::as_str).ok_or(Fault::Issuer)?;
    let index = issuers.iter().position(|issuer| issuer.policy.issuer == name);
    let index = index.ok_or(Fault::Issuer)?;
    let issuer = issuers.get(index).ok_or(Fault::Issuer)?;
    if !issuer.policy.algorithms.contains(&header.algorithm) {
        return Err(Fault::Algorithm.into());
    }
    let stale = |fault| Refused { fault, stale: Some(index) };
    let keys = issuer.keys.ok_or(stale(Fault::NoKeys))?;
    let candidates = keys.candidates(header.key_id, header.algorithm);
    if candidates.is_empty() {
        // A key that is there, for another algorithm: a newer set would not change that.
        let confused = header.key_id.is_some_and(|id| keys.knows(id));
        return Err(if confused { Fault::Algorithm.into() } else { stale(Fault::Key) });
    }
    let good =
        |key: &&super::jwk::Key| key.verifies(header.algorithm, parts.message, &parts.signature);
    if !candidates.iter().any(good) {
        return Err(Fault::Signature.into());
    }
    check_claims(&parts.claims, issuer.policy, now_us.div_euclid(1_000_000))?;
    Ok(Bearer { issuer: index, ..bearer(&parts.claims, issuer.policy)? })
}

/// A token taken apart; nothing in it is proven yet.
struct Parts<'t> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// What is signed.
    message: &'t [u8],
    signature: Vec<u8>,
}

impl Parts<'_> {
    fn split(token: &[u8]) -> Option<Parts<'_>> {
        let mut dots = memchr::memchr_iter(b'.', token);
        let (first, second) = (dots.next()?, dots.next()?);
        // Five parts would be an encrypted token.
        if dots.next().is_some() {
            return None;
        }
        let object = |text: &[u8]| json::parse_object(&BASE64URL.decode(text).ok()?);
        Some(Parts {
            header: object(token.get(..first)?)?,
            claims: object(token.get(first + 1..second)?)?,
            message: token.get(..second)?,
            signature: BASE64URL.decode(token.get(second + 1..)?).ok()?,
        })
    }
}

struct Header<'h> {
    algorithm: Algorithm,
    key_id: Option<&'h str>,
}

impl Header<'_> {
    fn read(map: &Map<String, Value>) -> Result<Header<'_>, Fault> {
        let name = map.get("alg").and_then(Value::as_str).ok_or(Fault::Malformed)?;
        let algorithm = Algorithm::parse(name).ok_or(Fault::Algorithm)?;
        // What a critical extension would change is not known here (RFC 7515, section 4.1.11).
        if map.contains_key("crit") {
            return Err(Fault::Kind);
        }
        // Issuers sign other things with the same keys: logout tokens, proofs of possession.
        // RFC 8725 (3.11) has the kind checked; ID tokens and access tokens are taken.
        if let Some(kind) = map.get("typ") {
            let kind = kind.as_str().ok_or(Fault::Malformed)?.to_ascii_lowercase();
            let kind = kind.strip_prefix("application/").unwrap_or(&kind);
            if !matches!(kind, "jwt" | "at+jwt") {
                return Err(Fault::Kind);
            }
        }
        let key_id = match map.get("kid") {
            Some(id) => Some(id.as_str().ok_or(Fault::Malformed)?),
            None => None,
        };
        Ok(Header { algorithm, key_id })
    }
}

fn check_claims(claims: &Map<String, Value>, policy: &Policy, now_s: i64) -> Result<(), Fault> {
    let meant = match claims.get("aud") {
        Some(Value::String(one)) => *one == policy.audience,
        Some(Value::Array(list)) => list.iter().any(|it| it.as_str() == Some(&policy.audience)),
        _ => false,
    };
    if !meant {
        return Err(Fault::Audience);
    }
    let leeway = i64::from(policy.leeway_s);
    let expires = seconds(claims, "exp")?.ok_or(Fault::Kind)?;
    if now_s >= expires.saturating_add(leeway) {
        return Err(Fault::Expired);
    }
    for name in ["nbf", "iat"] {
        if seconds(claims, name)?.is_some_and(|from| now_s < from.saturating_sub(leeway)) {
            return Err(Fault::NotYet);
        }
    }
    // The token is good only together with a proof that its sender owns a key (RFC 7800, 9449),
    // and PostgreSQL's protocol has no place for one.
    if claims.contains_key("cnf") {
        return Err(Fault::Bound);
    }
    Ok(())
}

/// A NumericDate: seconds since 1970, perhaps with a fraction, which is dropped.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Fault::Malformed) };
    // `as` saturates: a date beyond all dates stays one.
    let whole = number.as_i64().or_else(|| number.as_f64().map(|float| float.floor() as i64));
    whole.map(Some).ok_or(Fault::Malformed)
}

fn bearer(claims: &Map<String, Value>, policy: &Policy) -> Result<Bearer, Fault> {
    let has = |(name, wanted): &(String, Value)| match claim(claims, name) {
        Some(Value::Array(list)) => list.contains(wanted),
        found => found == Some(wanted),
    };
    if !policy.required.iter().all(has) {
        return Err(Fault::Claims);
    }
    let user = claim(claims, &policy.username_claim).and_then(Value::as_str);
    let user = user.filter(|name| is_name(name)).ok_or(Fault::Identity)?;
    // Whoever can write any address into a profile would choose who they are.
    let unverified = claims.get("email_verified").is_some_and(|it| !is_true(it));
    if policy.username_claim == "email" && unverified {
        return Err(Fault::Identity);
    }
    let groups = match claim(claims, &policy.groups_claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|it| it.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().ok_or(Fault::Identity)?
        }
        Some(_) => return Err(Fault::Identity),
    };
    let bounded = groups.len() <= limits::TOKEN_GROUPS_MAX;
    if !bounded || !groups.iter().all(|group| is_name(group)) {
        return Err(Fault::Identity);
    }
    let prefixed = |group: String| format!("{}{group}", policy.groups_prefix);
    let user = format!("{}{user}", policy.username_prefix);
    let expires = seconds(claims, "exp")?.unwrap_or(0);
    let until_us = expires.saturating_add(policy.leeway_s.into()).saturating_mul(1_000_000);
    let groups = groups.into_iter().map(prefixed).collect();
    Ok(Bearer { user, groups, issuer: 0, until_us })
}

/// A claim by its name; one that starts with `/` may also be a path (RFC 6901).
fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.strip_prefix('/')?.split('/');
    let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let first = claims.get(&unescaped(parts.next()?))?;
    parts.try_fold(first, |value, part| value.get(unescaped(part)))
}

fn is_name(text: &str) -> bool {
    (1..=limits::NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Some issuers write booleans as texts.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

#[cfg(test)]
mod tests;
