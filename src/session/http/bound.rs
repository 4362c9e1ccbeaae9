//! Sessions of MCP, bound to the identity that opened them.
//!
//! In: the session's id as the target or the client says it. Out: what the other one is told.
//! Never: a session of one identity in the hands of another one.
//!
//! ```text
//!   target   Mcp-Session-Id: abc  -->  abc.TAG  client     TAG: HMAC of target, user and id
//!   target   abc  <-- the tag fits --  abc.TAG  client     else 404: the client begins anew
//! ```
//!
//! Nothing is remembered: the key is made once per data directory, so a session outlives weir. To
//! whoever shows a session that is not theirs there is none (MCP, Streamable HTTP, "Session
//! Management": 404, after which a client opens a new one).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::wire::http::head::Head;

use super::rpc::Unread;
use super::tenure::Tenure;

/// The field.
pub(super) const FIELD: &[u8] = b"mcp-session-id";

/// To somebody whose session it is not.
pub(super) const FOREIGN: Unread = Unread {
    status: 404,
    code: -32_001,
    label: "mcp-session",
    words: "there is no such session: begin a new one",
};

fn key(tenure: &Tenure) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &tenure.snapshot.mock_seed)
}

fn said(tenure: &Tenure, id: &[u8]) -> Vec<u8> {
    let parts = [tenure.target_name.as_bytes(), tenure.identity.user.as_bytes(), id];
    let mut said = b"weir mcp session 1".to_vec();
    for part in parts {
        said.extend_from_slice(&(part.len() as u64).to_le_bytes());
        said.extend_from_slice(part);
    }
    said
}

/// What the client is told of a session that the target has opened.
pub(super) fn sealed(tenure: &Tenure, id: &[u8]) -> Vec<u8> {
    let tag = hmac::sign(&key(tenure), &said(tenure, id));
    [id, b".", URL_SAFE_NO_PAD.encode(tag).as_bytes()].concat()
}

/// The target's own id in what the client says.
fn opened<'i>(tenure: &Tenure, value: &'i [u8]) -> Option<&'i [u8]> {
    let dot = memchr::memrchr(b'.', value)?;
    let (id, tag) = (value.get(..dot)?, value.get(dot + 1..)?);
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    hmac::verify(&key(tenure), &said(tenure, id), &tag).ok()?;
    Some(id)
}

/// The session that a request is of; nothing if it says none.
///
/// # Errors
/// `FOREIGN`: of none that this identity has opened here.
pub(super) fn session<'h>(head: &'h Head, tenure: &Tenure) -> Result<Option<&'h [u8]>, Unread> {
    let mut values = head.spelt(FIELD);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => opened(tenure, value).map(Some).ok_or(FOREIGN),
        (Some(_), Some(_)) => Err(FOREIGN),
    }
}
