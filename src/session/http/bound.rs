//! Sessions of MCP and ids of events, bound to the identity that got them.
//!
//! In: an id as the target or the client says it. Out: what the other one is told.
//! Never: a session of one identity in the hands of another one, nor the events of one.
//!
//! ```text
//!   target   Mcp-Session-Id: abc  -->  abc.TAG  client     TAG: HMAC of target, user and id
//!   target   abc  <-- the tag fits --  abc.TAG  client     else 404: the client begins anew
//!
//!   target   id: 7 (of an event)  -->  7.TAG  client       TAG: the same, and of the session
//!   target   Last-Event-ID: 7  <-----  7.TAG  client       else 400: servers look an event up by
//!                                                          its id alone, which many count up
//! ```
//!
//! Nothing is remembered: the key is made once per data directory, so a session outlives weir. To
//! whoever shows a session that is not theirs there is none (MCP, Streamable HTTP, "Session
//! Management": 404, after which a client opens a new one).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::limits::MCP_EVENT_ID_BYTES_MAX;
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

/// The field by which a client asks for the events behind one.
pub(super) const EVENT_FIELD: &[u8] = b"last-event-id";

/// To somebody who did not get that event.
const FOREIGN_EVENT: Unread = Unread {
    status: 400,
    code: -32_001,
    label: "mcp-event",
    words: "no event of this id was sent in this session: begin a new stream",
};

fn said(tenure: &Tenure, id: &[u8]) -> Vec<u8> {
    joined(b"weir mcp session 1", tenure, &[id])
}

fn joined(kind: &[u8], tenure: &Tenure, more: &[&[u8]]) -> Vec<u8> {
    let parts = [tenure.target_name.as_bytes(), tenure.identity.user.as_bytes()];
    let mut said = kind.to_vec();
    for part in parts.iter().chain(more) {
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

/// The target's own id in what the client says, if the tag is that of what `said` makes of it.
fn opened<'i>(
    tenure: &Tenure,
    value: &'i [u8],
    said: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Option<&'i [u8]> {
    let dot = memchr::memrchr(b'.', value)?;
    let (id, tag) = (value.get(..dot)?, value.get(dot + 1..)?);
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    hmac::verify(&key(tenure), &said(id), &tag).ok()?;
    Some(id)
}

/// The event behind which a client asks for more; nothing if it says none.
///
/// # Errors
/// Of none that this identity got in this session.
pub(super) fn event<'h>(head: &'h Head, tenure: &Tenure) -> Result<Option<&'h [u8]>, Unread> {
    let mut values = head.spelt(EVENT_FIELD).filter(|value| !value.is_empty());
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(FOREIGN_EVENT),
    };
    let session = session(head, tenure)?.unwrap_or(&[]);
    let said = |id: &[u8]| joined(EVENT, tenure, &[session, id]);
    opened(tenure, value, said).map(Some).ok_or(FOREIGN_EVENT)
}

const EVENT: &[u8] = b"weir mcp event 1";

/// Binds the ids in one stream of events to who gets them.
#[derive(Debug)]
pub(super) struct Ids {
    key: hmac::Key,
    /// What every tag is of, but for the id.
    said: Vec<u8>,
    line: Line,
    /// What is held of a line that may say an id, or does.
    held: Vec<u8>,
}

/// Where in a line the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// It may become one that says an id.
    Begins,
    SaysId,
    /// It is of another field.
    Other,
}

impl Ids {
    /// For events in this session of the target's; empty: in none.
    pub fn new(tenure: &Tenure, session: &[u8]) -> Ids {
        let said = joined(EVENT, tenure, &[session]);
        Ids { key: key(tenure), said, line: Line::Begins, held: Vec::new() }
    }

    /// Takes in a part of the stream and returns what may leave.
    ///
    /// # Errors
    /// An id is longer than any.
    pub fn push(&mut self, data: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(data.len() + 64);
        let mut rest = data;
        while let Some((&byte, behind)) = rest.split_first() {
            if self.line == Line::Other {
                let end = memchr::memchr2(b'\r', b'\n', rest);
                let (line, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
                out.extend_from_slice(line);
                self.line = if end.is_some() { Line::Begins } else { Line::Other };
                rest = behind;
                continue;
            }
            rest = behind;
            if matches!(byte, b'\r' | b'\n') {
                self.end_line(&mut out);
                out.push(byte);
                continue;
            }
            self.held.push(byte);
            match self.line {
                Line::Begins if self.held == b"id:" => self.line = Line::SaysId,
                Line::Begins if !b"id:".starts_with(&self.held) => {
                    out.append(&mut self.held);
                    self.line = Line::Other;
                }
                _ if self.held.len() > MCP_EVENT_ID_BYTES_MAX => return Err("mcp-event-id"),
                _ => {}
            }
        }
        Ok(out)
    }

    /// The stream is over. What is no whole line says nothing to a client (WHATWG HTML 9.2.6).
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let id = held.strip_prefix(b"id:").map(|id| id.strip_prefix(b" ").unwrap_or(id));
        match id.filter(|id| !id.is_empty() && self.line == Line::SaysId) {
            Some(id) => {
                let mut said = self.said.clone();
                said.extend_from_slice(&(id.len() as u64).to_le_bytes());
                said.extend_from_slice(id);
                let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &said));
                out.extend_from_slice(&[b"id: ", id, b".", tag.as_bytes()].concat());
            }
            None => out.extend_from_slice(&held),
        }
        self.line = Line::Begins;
    }
}

/// The session that a request is of; nothing if it says none.
///
/// # Errors
/// `FOREIGN`: of none that this identity has opened here.
pub(super) fn session<'h>(head: &'h Head, tenure: &Tenure) -> Result<Option<&'h [u8]>, Unread> {
    let mut values = head.spelt(FIELD);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            opened(tenure, value, |id| said(tenure, id)).map(Some).ok_or(FOREIGN)
        }
        (Some(_), Some(_)) => Err(FOREIGN),
    }
}
