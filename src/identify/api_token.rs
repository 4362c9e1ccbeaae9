//! weir's own API tokens: secrets that stand for a user of the configuration, for programs.
//!
//! In: random bytes, texts that clients give, the time. Out: secrets, whose they are.
//! Never: a secret kept, only its SHA-256, which nobody turns back: it has 256 random bits.
//!
//! ```text
//!   weir_  43 digits of base 62  6 digits of base 62
//!   |      256 random bits       CRC-32 of all before it
//!   '- what scanners of secrets look for; the checksum tells them what is none
//! ```

use std::sync::LazyLock;

use memchr::memmem;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{Identity, Method};
use crate::config::settings::User;
use crate::fault::Token as Fault;
use crate::hex;
use crate::limits;

/// How each of them begins.
pub const PREFIX: &str = "weir_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is a little more than 2^256.
const RANDOM_DIGITS: usize = 43;
/// 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;
const BODY: usize = PREFIX.len() + RANDOM_DIGITS;
const LENGTH: usize = BODY + CHECK_DIGITS;

/// Names a token in records, lists and revocations. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// The id that is spelt so: 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<TokenId> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
        Some(TokenId(number.to_be_bytes()))
    }
}

impl From<[u8; 8]> for TokenId {
    fn from(bytes: [u8; 8]) -> TokenId {
        TokenId(bytes)
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The secret that these random bytes make.
pub fn secret(random: &[u8; 32]) -> String {
    let mut text = String::with_capacity(LENGTH);
    text.push_str(PREFIX);
    push_digits(&mut text, random, RANDOM_DIGITS);
    let check = crc32fast::hash(text.as_bytes());
    push_digits(&mut text, &check.to_be_bytes(), CHECK_DIGITS);
    text
}

/// Whether a text has the form of a token, checksum included. What has not is judged as what else
/// it may be: a password, a token of an issuer.
pub fn is_one(text: &[u8]) -> bool {
    let (Some(body), Some(check)) = (text.get(..BODY), text.get(BODY..)) else { return false };
    if text.len() != LENGTH || !body.starts_with(PREFIX.as_bytes()) {
        return false;
    }
    let mut expected = String::with_capacity(CHECK_DIGITS);
    push_digits(&mut expected, &crc32fast::hash(body).to_be_bytes(), CHECK_DIGITS);
    body.iter().skip(PREFIX.len()).all(u8::is_ascii_alphanumeric) && check == expected.as_bytes()
}

/// A text with the digits of each token in it replaced, as many bytes as before: what a record may
/// hold of what clients say. `None`: there is none in it. The checksum tells them from all else.
pub fn hidden(text: &[u8]) -> Option<Vec<u8>> {
    static BEGIN: LazyLock<memmem::Finder<'static>> =
        LazyLock::new(|| memmem::Finder::new(PREFIX.as_bytes()));
    if text.len() < LENGTH {
        return None;
    }
    let mut out: Option<Vec<u8>> = None;
    for at in BEGIN.find_iter(text) {
        if text.get(at..at + LENGTH).is_some_and(is_one) {
            let out = out.get_or_insert_with(|| text.to_vec());
            out.get_mut(at + PREFIX.len()..at + LENGTH)?.fill(b'*');
        }
    }
    if memchr::memchr2(b'%', b'\\', text).is_some() {
        hide_escaped(text, &mut out);
    }
    out
}

/// The same where letters of the prefix are escaped, as a query or JSON may have them.
fn hide_escaped(text: &[u8], out: &mut Option<Vec<u8>>) {
    for at in memchr::memchr2_iter(b'%', b'\\', text) {
        let rest = text.get(at..).unwrap_or(&[]);
        let signs = ["%5f", "\\u005f"].into_iter().filter(|sign| {
            rest.get(..sign.len()).is_some_and(|it| it.eq_ignore_ascii_case(sign.as_bytes()))
        });
        // The last escape may be of another letter: the underscore stands within the prefix.
        let lengths =
            signs.map(str::len).chain((2..12).filter(|length| rest.get(length - 1) == Some(&b'_')));
        for length in lengths {
            let Some(digits) = rest.get(length..length + LENGTH - PREFIX.len()) else { continue };
            if is_one(&[PREFIX.as_bytes(), digits].concat()) {
                let from = at + length;
                let out = out.get_or_insert_with(|| text.to_vec());
                if let Some(digits) = out.get_mut(from..from + LENGTH - PREFIX.len()) {
                    digits.fill(b'*');
                }
                break;
            }
        }
    }
}

/// A number of big-endian bytes in base 62, most significant digit first, so many of them.
fn push_digits(text: &mut String, number: &[u8], count: usize) {
    let mut rest = number.to_vec();
    let mut digits = vec![b'0'; count];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut rest {
            let value = remainder << 8 | u32::from(*byte);
            // Below 256, because the remainder of before is below 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = ALPHABET.get(remainder as usize).copied().unwrap_or(b'0');
    }
    text.extend(digits.into_iter().map(char::from));
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: TokenId,
    /// The user of the configuration that it stands for.
    pub user: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Who made it.
    pub made_by: String,
    /// When, UTC microseconds.
    pub made_us: i64,
    /// Until when it is good, UTC microseconds.
    pub until_us: i64,
    /// SHA-256 of the secret.
    digest: [u8; 32],
}

impl Kept {
    /// What is kept of this secret; the rest is said by whoever makes it.
    pub fn of(secret: &str, id: TokenId) -> Kept {
        let (user, name, made_by) = (String::new(), String::new(), String::new());
        let (made_us, until_us, digest) = (0, i64::MIN, sha256(secret.as_bytes()));
        Kept { id, user, name, made_by, made_us, until_us, digest }
    }
}

/// All tokens that were made and not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// In the order of their digests.
    kept: Vec<Kept>,
}

impl Set {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// The same with one more.
    pub fn with(&self, kept: Kept) -> Set {
        let mut set = self.clone();
        let at = set.kept.partition_point(|it| it.digest < kept.digest);
        set.kept.insert(at, kept);
        set
    }

    /// Those of them that are such.
    pub fn only(&self, is: impl Fn(&Kept) -> bool) -> Set {
        Set { kept: self.kept.iter().filter(|kept| is(kept)).cloned().collect() }
    }

    /// The one of this id, if it is good now.
    pub fn live(&self, id: TokenId, now_us: i64) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.id == id && now_us < kept.until_us)
    }

    /// Whose a secret is, given under a name or under none. A name that is no user's is a
    /// formality of the client (`git`, `x-access-token`); another user's is not.
    ///
    /// # Errors
    /// Nobody's now, or another's.
    pub fn bearer(
        &self,
        secret: &[u8],
        (given, users): (&str, &[User]),
        now_us: i64,
    ) -> Result<(Identity, i64), Fault> {
        let digest = sha256(secret);
        let at = self.kept.partition_point(|it| it.digest < digest);
        // The order says nothing about secrets, only about their digests.
        let kept = self.kept.get(at).filter(|kept| is_same(&kept.digest, &digest));
        let kept = kept.ok_or(Fault::Revoked)?;
        if now_us >= kept.until_us {
            return Err(Fault::Expired);
        }
        if given != kept.user && users.iter().any(|user| user.name == given) {
            return Err(Fault::Owner);
        }
        // Groups are those of the configuration now, so that a token has no rights of its own.
        let user = users.iter().find(|user| user.name == kept.user).ok_or(Fault::Revoked)?;
        let (user, groups) = (user.name.clone(), user.groups.clone());
        Ok((Identity { user, groups, method: Method::Token(kept.id) }, kept.until_us))
    }

    /// Why an identity is none any more that came by a token; nothing about others.
    pub fn refuses(&self, identity: &Identity, users: &[User], now_us: i64) -> Option<Fault> {
        let Method::Token(id) = identity.method else { return None };
        let is_user = users.iter().any(|user| user.name == identity.user);
        match self.kept.iter().find(|kept| kept.id == id) {
            Some(kept) if is_user && now_us < kept.until_us => None,
            Some(_) if is_user => Some(Fault::Expired),
            _ => Some(Fault::Revoked),
        }
    }

    /// Reads what `to_json` wrote.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &[u8]) -> Result<Set, String> {
        let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("version {} where {VERSION} is known", file.version));
        }
        let mut set = Set::default();
        for row in file.tokens {
            let kept = row.kept().ok_or("an id or digest is not hexadecimal")?;
            let again = set.iter().any(|it| it.id == kept.id || it.digest == kept.digest);
            if again || set.kept.len() >= limits::API_TOKENS_MAX {
                return Err("a token stands twice, or there are too many".to_owned());
            }
            set = set.with(kept);
        }
        Ok(set)
    }

    /// As it is kept in a file.
    pub fn to_json(&self) -> String {
        let tokens = self.kept.iter().map(Row::of).collect();
        let file = File { version: VERSION, tokens };
        // Texts and numbers alone cannot fail.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    tokens: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    user: String,
    name: String,
    made_by: String,
    made_us: i64,
    until_us: i64,
    sha256: String,
}

impl Row {
    fn of(kept: &Kept) -> Row {
        Row {
            id: kept.id.to_string(),
            user: kept.user.clone(),
            name: kept.name.clone(),
            made_by: kept.made_by.clone(),
            made_us: kept.made_us,
            until_us: kept.until_us,
            sha256: hex::text(&kept.digest),
        }
    }

    fn kept(self) -> Option<Kept> {
        let mut digest = [0; 32];
        if self.sha256.len() != 64 || !self.sha256.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            let digits = self.sha256.get(2 * index..2 * index + 2)?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        let Row { user, name, made_by, made_us, until_us, .. } = self;
        let id = TokenId::parse(&self.id)?;
        Some(Kept { id, user, name, made_by, made_us, until_us, digest })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Takes the same time wherever they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests;
