//! Headers that mirror a body of MCP (2026-07-28, Streamable HTTP): they must say what it says.
//!
//! A balancer or a server that goes by the header while weir decides by the body, or the other way
//! round, would be two readings of one request. So every one that is there must agree, in every
//! revision; the stateless one must have those that it requires.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Call, Revision, Subject};
use crate::wire::http::Head;
use crate::wire::http::head::Span;
use crate::wire::http::json::{self, Token, Walk, Wrong};
use crate::wire::http::jsonrpc::{raw, said};

/// The code of the error that answers a header which does not agree; the status is 400.
pub const MISMATCH: i32 = -32_020;
/// The same for a version that weir does not know.
pub const UNSUPPORTED_VERSION: i32 = -32_022;

/// What is wrong with the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mirror {
    /// A version that weir does not know.
    Version,
    /// One that must be there is missing.
    Missing,
    /// It is there twice.
    Repeated,
    /// It does not say what the body says.
    Mismatch,
    /// A name that becomes one of these where targets fold names: `Mcp_Name`.
    Alias,
    /// Several messages where the revision has one.
    Batch,
}

impl Mirror {
    /// The code of the error that answers it.
    pub const fn code(self) -> i32 {
        match self {
            Mirror::Version => UNSUPPORTED_VERSION,
            Mirror::Batch => -32_600,
            _ => MISMATCH,
        }
    }

    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Mirror::Version => "mcp-version",
            Mirror::Missing => "mcp-header-missing",
            Mirror::Repeated => "mcp-header-repeated",
            Mirror::Mismatch => "mcp-header-mismatch",
            Mirror::Alias => "mcp-header-alias",
            Mirror::Batch => "mcp-batch",
        }
    }
}

const VERSION: &[u8] = b"mcp-protocol-version";
const METHOD: &[u8] = b"mcp-method";
const NAME: &[u8] = b"mcp-name";
const PARAM: &[u8] = b"mcp-param-";

/// Checks the headers of a POST against what its body asks for, and says which revision it speaks.
///
/// # Errors
/// The request is refused.
pub fn check(head: &Head, body: &[u8], calls: &[Call]) -> Result<Revision, Mirror> {
    for (_, name, _) in head.named() {
        if is_alias(name) {
            return Err(Mirror::Alias);
        }
    }
    let version = only(head, VERSION)?;
    // A request without it is one of before 2025-06-18, or the first of a handshake.
    let revision = match version {
        None => Revision::Handshake,
        Some(version) => Revision::read(version).ok_or(Mirror::Version)?,
    };
    for call in calls {
        match (&call.version, version) {
            (None, _) if revision == Revision::Handshake || !call.is_request() => {}
            (Some(stated), Some(version)) if stated == version => {}
            _ => return Err(Mirror::Mismatch),
        }
    }
    let method = only(head, METHOD)?;
    let name = only(head, NAME)?;
    let [call] = calls else {
        let any_mirror = method.or(name).is_some() || params(head).next().is_some();
        return match (revision, any_mirror) {
            (Revision::Stateless, _) => Err(Mirror::Batch),
            (Revision::Handshake, true) => Err(Mirror::Mismatch),
            (Revision::Handshake, false) => Ok(revision),
        };
    };
    let is_named = call.subject == Subject::Tool
        || matches!(call.method.as_slice(), b"prompts/get" | b"resources/read");
    let wanted = call.name.as_deref().filter(|_| is_named);
    agree(revision, method, Some(&call.method))?;
    agree(revision, name, wanted)?;
    for (_, value) in params(head) {
        let said = decoded(value).ok_or(Mirror::Mismatch)?;
        if !call.arguments.is_some_and(|arguments| says(body, arguments, &said)) {
            return Err(Mirror::Mismatch);
        }
    }
    Ok(revision)
}

/// One header against what the body has for it.
fn agree(revision: Revision, value: Option<&[u8]>, body: Option<&[u8]>) -> Result<(), Mirror> {
    match (value, body) {
        (None, Some(_)) if revision == Revision::Stateless => Err(Mirror::Missing),
        (None, _) => Ok(()),
        (Some(value), Some(body)) if decoded(value).as_deref() == Some(body) => Ok(()),
        (Some(_), _) => Err(Mirror::Mismatch),
    }
}

/// The only value of a header.
fn only<'h>(head: &'h Head, name: &'static [u8]) -> Result<Option<&'h [u8]>, Mirror> {
    let mut values = head.spelt(name);
    let first = values.next();
    if values.next().is_some() { Err(Mirror::Repeated) } else { Ok(first) }
}

fn params(head: &Head) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_param = |name: &[u8]| {
        name.get(..PARAM.len()).is_some_and(|start| start.eq_ignore_ascii_case(PARAM))
    };
    let named = head.named().map(|(_, name, value)| (name, value));
    named.filter(move |(name, _)| is_param(name))
}

/// `=?base64?...?=` for what cannot stand in a header as it is. `None`: it is malformed.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let Some(coded) = value.strip_prefix(b"=?base64?") else { return Some(value.to_vec()) };
    let bytes = STANDARD.decode(coded.strip_suffix(b"?=")?).ok()?;
    std::str::from_utf8(&bytes).is_ok().then_some(bytes)
}

/// Whether one of the arguments says this. Which one a header mirrors is written in the tool's
/// schema, which a server may change; a header that no argument agrees with is wrong in any case.
fn says(body: &[u8], arguments: Span, wanted: &[u8]) -> bool {
    let object = raw(body, arguments);
    let mut found = false;
    let walked = json::walk::<Wrong>(&mut Walk::strict(), object, |walk, token, span| {
        if walk.depth() == 1 {
            found |= match token {
                Token::Text => said(object, span) == wanted,
                Token::Number | Token::True | Token::False => raw(object, span) == wanted,
                _ => false,
            };
        }
        Ok(())
    });
    found && walked.is_ok()
}

/// A name that CGI, WSGI or PHP make one of these of, which is not spelt so.
fn is_alias(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let starts = name.get(..4).is_some_and(|start| {
        start[..3].eq_ignore_ascii_case(b"mcp") && !start[3].is_ascii_alphanumeric()
    });
    starts && !name.iter().all(plain)
}
