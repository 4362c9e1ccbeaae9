//! JSON-RPC 2.0: who is called with what, and what weir says itself.
//!
//! In: a whole body. Out: its messages as spans; bodies of refusals. Never: a message that two
//! parsers may read differently: one whose members are there twice, are spelt in another case, or
//! say two things at once.
//!
//! ```text
//!   {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{...}}     a request
//!   {"jsonrpc":"2.0","method":"notifications/cancelled"}              a notification
//!   {"jsonrpc":"2.0","id":7,"result":...}  {..."error":{...}}         an answer
//!   [message, ...]                                                    a batch
//! ```

use super::head::Span;
use super::json::{self, Segment, Token, Walk, Wrong, text};
use crate::limits::JSONRPC_BATCH_MAX;

/// Why a body is no JSON-RPC that everybody reads alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bad {
    /// It is not JSON.
    Json(Wrong),
    /// Neither an object nor a list of them.
    Shape,
    /// `jsonrpc` is not `"2.0"`.
    Version,
    /// `id` is not a text or a whole number.
    Id,
    /// `method` is no text, or is empty.
    Method,
    /// `params` is neither an object nor a list.
    Params,
    /// Neither a request nor an answer, or both.
    Members,
    /// A key that some parsers take for another one.
    Alias,
    /// An empty batch, or one that is too long.
    Batch,
    /// What the method needs in `params` is missing or of another type.
    Argument,
    /// A tool is called by a name that none may have.
    Name,
}

impl From<Wrong> for Bad {
    fn from(wrong: Wrong) -> Bad {
        Bad::Json(wrong)
    }
}

impl Bad {
    /// The code of the error that answers it.
    pub const fn code(self) -> i32 {
        match self {
            Bad::Json(_) => -32_700,
            Bad::Argument | Bad::Name => -32_602,
            _ => -32_600,
        }
    }

    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Bad::Json(wrong) => wrong.label(),
            Bad::Shape => "jsonrpc-shape",
            Bad::Version => "jsonrpc-version",
            Bad::Id => "jsonrpc-id",
            Bad::Method => "jsonrpc-method",
            Bad::Params => "jsonrpc-params",
            Bad::Members => "jsonrpc-members",
            Bad::Alias => "jsonrpc-key-alias",
            Bad::Batch => "jsonrpc-batch",
            Bad::Argument => "jsonrpc-argument",
            Bad::Name => "mcp-tool-name",
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It wants an answer.
    Request,
    /// It wants none.
    Notification,
    /// An answer.
    Result,
    /// An answer that says what went wrong.
    Error,
}

/// One message: parts of the body, with the quotes of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// All of it.
    pub whole: Span,
    /// `id`.
    pub id: Option<Span>,
    /// `method`.
    pub method: Option<Span>,
    /// `params`.
    pub params: Option<Span>,
    /// `result`, or `error`.
    pub outcome: Option<Span>,
}

impl Message {
    /// What `method` says.
    pub fn method_text(&self, body: &[u8]) -> Vec<u8> {
        self.method.map_or_else(Vec::new, |span| said(body, span))
    }
}

/// The messages of one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// They stood in a list.
    pub is_batch: bool,
    /// In their order.
    pub list: Vec<Message>,
}

/// The bytes of a span.
pub fn raw(body: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    body.get(start..start + span.len as usize).unwrap_or(&[])
}

/// What the string at a span says.
pub fn said(body: &[u8], span: Span) -> Vec<u8> {
    let mut said = Vec::new();
    text::unescape(text::inner(body, span), &mut said);
    said
}

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A value of a member, and what it is.
type Value = Option<(Token, Span)>;

/// A message that is being read: the values of `MEMBERS`.
#[derive(Default)]
struct Draft {
    members: [Value; MEMBERS.len()],
    start: u32,
}

impl Draft {
    fn finish(&self, body: &[u8], end: Span) -> Result<Message, Bad> {
        let [version, id, method, params, result, error] = self.members;
        match version {
            Some((Token::Text, span)) if said(body, span) == b"2.0" => {}
            _ => return Err(Bad::Version),
        }
        let id = match id {
            None => None,
            Some((Token::Text, span)) => Some(span),
            Some((Token::Number, span)) if is_whole(raw(body, span)) => Some(span),
            // An error that answers what could not be read has no other (5).
            Some((Token::Null, span)) if error.is_some() => Some(span),
            Some(_) => return Err(Bad::Id),
        };
        match params {
            None | Some((Token::Object | Token::Array, _)) => {}
            Some(_) => return Err(Bad::Params),
        }
        let kind = match (method, result, error) {
            (Some((Token::Text, span)), None, None) if span.len > 2 => match id {
                Some(_) => Kind::Request,
                None => Kind::Notification,
            },
            (Some(_), None, None) => return Err(Bad::Method),
            (None, Some(_), None) if id.is_some() && params.is_none() => Kind::Result,
            (None, None, Some((Token::Object, _))) if params.is_none() => Kind::Error,
            _ => return Err(Bad::Members),
        };
        Ok(Message {
            kind,
            whole: Span { start: self.start, len: end.start + end.len - self.start },
            id,
            method: method.map(|(_, span)| span),
            params: params.map(|(_, span)| span),
            outcome: result.or(error).map(|(_, span)| span),
        })
    }
}

/// A number without fraction and exponent: what is equal in one parser may be another id in
/// another.
fn is_whole(number: &[u8]) -> bool {
    number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
}

/// Reads the messages of a body.
///
/// # Errors
/// The body is refused as a whole: in a batch nobody knows what the others mean without it.
pub fn read(body: &[u8]) -> Result<Messages, Bad> {
    let mut messages = Messages { is_batch: false, list: Vec::new() };
    let mut draft = Draft::default();
    // The member whose value comes, and where that value begins.
    let mut member: Option<(usize, Option<u32>)> = None;
    let mut base = 0;
    json::walk(&mut Walk::strict(), body, |walk, token, span| {
        let depth = walk.depth() - base.min(walk.depth());
        match (token, depth) {
            (Token::Array, 1) if base == 0 && walk.depth() == 1 => {
                messages.is_batch = true;
                base = 1;
            }
            (Token::Object, 1) => draft = Draft { start: span.start, ..Draft::default() },
            (Token::ObjectEnd, 0) => {
                if messages.list.len() >= JSONRPC_BATCH_MAX {
                    return Err(Bad::Batch);
                }
                messages.list.push(draft.finish(body, span)?);
            }
            (Token::ArrayEnd, 0) => {}
            (_, 0) => return Err(Bad::Shape),
            // A list within the batch, where a message should stand.
            (Token::Array, 1) => return Err(Bad::Shape),
            (Token::Key, 1) => {
                member = known(walk.key(), &MEMBERS)?.map(|at| (at, None));
            }
            (Token::Object | Token::Array, 2) => {
                if let Some((_, start)) = &mut member {
                    *start = Some(span.start);
                }
            }
            (Token::ObjectEnd | Token::ArrayEnd, 1) => {
                let opened = if token == Token::ObjectEnd { Token::Object } else { Token::Array };
                if let Some((at, Some(start))) = member.take() {
                    let len = span.start + span.len - start;
                    set(&mut draft.members, at, (opened, Span { start, len }));
                }
            }
            (_, 1) => {
                if let Some((at, _)) = member.take() {
                    set(&mut draft.members, at, (token, span));
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if messages.list.is_empty() { Err(Bad::Batch) } else { Ok(messages) }
}

fn set<const N: usize>(members: &mut [Value; N], at: usize, value: (Token, Span)) {
    if let Some(member) = members.get_mut(at) {
        *member = Some(value);
    }
}

/// Which of the names a key is.
fn known(key: &[u8], names: &[&str]) -> Result<Option<usize>, Bad> {
    if names.iter().any(|name| text::is_alias(key, name)) {
        return Err(Bad::Alias);
    }
    Ok(names.iter().position(|name| name.as_bytes() == key))
}

/// The members of an object, which is part of a body, by their names. Spans are of the body. Keys
/// that may be taken for one of the names are refused.
///
/// # Errors
/// `Alias`, `Params` if it is no object, or what is wrong with the JSON.
pub fn members<const N: usize>(
    body: &[u8],
    object: Span,
    names: &[&str; N],
) -> Result<[Option<(Token, Span)>; N], Bad> {
    let mut members = [None; N];
    let mut open: Option<(usize, Token, u32)> = None;
    json::walk(&mut Walk::strict(), raw(body, object), |walk, token, span| {
        let span = Span { start: span.start + object.start, ..span };
        // A value directly in the object: its container, if it is one, is open.
        let is_open = matches!(token, Token::Object | Token::Array);
        let at = match (token, walk.depth(), walk.path().next()) {
            (Token::Object, 1, _) => return Ok(()),
            (_, 0, _) if token == Token::ObjectEnd => return Ok(()),
            (_, 0, _) | (_, 1, Some(Segment::Index(_)) | None) => return Err(Bad::Params),
            (Token::Key, 1, _) => return known(walk.key(), names).map(drop),
            (_, 1, Some(Segment::Key(key))) | (_, 2, Some(Segment::Key(key))) => {
                names.iter().position(|name| name.as_bytes() == key)
            }
            _ => return Ok(()),
        };
        let Some(at) = at else { return Ok(()) };
        match (token, walk.depth(), open) {
            (Token::Object | Token::Array, 2, _) if is_open => open = Some((at, token, span.start)),
            (Token::ObjectEnd | Token::ArrayEnd, 1, Some((at, token, start))) => {
                let len = span.start + span.len - start;
                set(&mut members, at, (token, Span { start, len }));
                open = None;
            }
            (_, 1, None) => set(&mut members, at, (token, span)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(members)
}

/// What weir answers itself, as bodies.
pub mod reply {
    use super::text;

    /// Refused by a rule, or by a person.
    pub const DENIED: i32 = -32_001;
    /// Waits for a person; the same request again joins it.
    pub const PENDING: i32 = -32_002;
    /// It could not be recorded, so nothing was forwarded.
    pub const UNRECORDED: i32 = -32_003;

    /// `{"jsonrpc":"2.0","id":ID,` with the id as it was written, or null.
    pub(in super::super) fn open(id: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.unwrap_or(b"null"));
        out.push(b',');
    }

    /// A string.
    pub(in super::super) fn string(said: &str, out: &mut Vec<u8>) {
        out.push(b'"');
        text::escape(said.as_bytes(), out);
        out.push(b'"');
    }

    /// An error that answers the request with this id.
    pub fn error(id: Option<&[u8]>, code: i32, message: &str, out: &mut Vec<u8>) {
        open(id, out);
        out.extend_from_slice(format!("\"error\":{{\"code\":{code},\"message\":").as_bytes());
        string(message, out);
        out.extend_from_slice(b"}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(body: &str) -> Result<Vec<(Kind, String)>, Bad> {
        let messages = read(body.as_bytes())?;
        let kind = |message: &Message| {
            let method = message.method_text(body.as_bytes());
            (message.kind, String::from_utf8(method).unwrap())
        };
        Ok(messages.list.iter().map(kind).collect())
    }

    fn refused(body: &str, bad: Bad) {
        assert_eq!(kinds(body), Err(bad), "{body}");
    }

    #[test]
    fn messages() {
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"tools\/call","params":{"name":"x"}}"#;
        assert_eq!(kinds(call), Ok(vec![(Kind::Request, "tools/call".into())]));
        let read = read(call.as_bytes()).unwrap();
        assert_eq!(raw(call.as_bytes(), read.list[0].params.unwrap()), br#"{"name":"x"}"#);
        assert_eq!(raw(call.as_bytes(), read.list[0].id.unwrap()), b"7");
        assert_eq!(raw(call.as_bytes(), read.list[0].whole), call.as_bytes());
        for (body, kind) in [
            (r#"{"method":"a","jsonrpc":"2.0"}"#, Kind::Notification),
            (r#"{"jsonrpc":"2.0","method":"a","id":"x","params":[1,[2]]}"#, Kind::Request),
            (r#"{"jsonrpc":"2.0","id":-1,"result":null}"#, Kind::Result),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#, Kind::Error),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","x":{"id":[{}]}}"#, Kind::Request),
        ] {
            assert_eq!(kinds(body).map(|list| list[0].0), Ok(kind), "{body}");
        }
    }

    #[test]
    fn batches() {
        let body = r#" [ {"jsonrpc":"2.0","id":1,"method":"a","params":{"q":[]}},
            {"jsonrpc":"2.0","method":"b"} ] "#;
        let list = vec![(Kind::Request, "a".to_owned()), (Kind::Notification, "b".to_owned())];
        assert_eq!(kinds(body), Ok(list));
        assert!(read(body.as_bytes()).unwrap().is_batch);
        refused("[]", Bad::Batch);
        refused("[1]", Bad::Shape);
        refused("[[]]", Bad::Shape);
        refused(r#"[[{"jsonrpc":"2.0","method":"b"}]]"#, Bad::Shape);
        let one = r#"{"jsonrpc":"2.0","method":"b"}"#;
        refused(&format!("[{}]", [one; JSONRPC_BATCH_MAX + 1].join(",")), Bad::Batch);
        refused(&format!("[{one},{{}}]"), Bad::Version);
    }

    #[test]
    fn what_two_parsers_may_read_differently() {
        for (body, bad) in [
            (r#""x""#, Bad::Shape),
            (r#"{"method":"a"}"#, Bad::Version),
            (r#"{"jsonrpc":2.0,"method":"a"}"#, Bad::Version),
            (r#"{"jsonrpc":"2.0"}"#, Bad::Members),
            (r#"{"jsonrpc":"2.0","method":""}"#, Bad::Method),
            (r#"{"jsonrpc":"2.0","method":1}"#, Bad::Method),
            (r#"{"jsonrpc":"2.0","method":["a"]}"#, Bad::Method),
            (r#"{"jsonrpc":"2.0","method":"a","params":1}"#, Bad::Params),
            (r#"{"jsonrpc":"2.0","method":"a","params":null}"#, Bad::Params),
            (r#"{"jsonrpc":"2.0","method":"a","id":1.0}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","method":"a","id":1e0}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","method":"a","id":null}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","method":"a","id":{}}"#, Bad::Id),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"result":1}"#, Bad::Members),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, Bad::Members),
            (r#"{"jsonrpc":"2.0","result":1}"#, Bad::Members),
            (r#"{"jsonrpc":"2.0","Method":"b","method":"a"}"#, Bad::Alias),
            (r#"{"jsonrpc":"2.0","method":"a","PARAM\u017f":{}}"#, Bad::Alias),
            (r#"{"jsonrpc":"2.0","method":"a","method\u0000":"b"}"#, Bad::Alias),
            (r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#, Bad::Json(Wrong::Duplicate)),
            (r#"{"jsonrpc":"2.0","method":"a","\u006dethod":"b"}"#, Bad::Json(Wrong::Duplicate)),
            (
                r#"{"jsonrpc":"2.0","method":"a","params":{"name":"x","name":"y"}}"#,
                Bad::Json(Wrong::Duplicate),
            ),
            ("\u{feff}{}", Bad::Json(Wrong::ByteOrderMark)),
            ("", Bad::Json(Wrong::Truncated)),
            (r#"{"jsonrpc":"2.0","method":"a"} {}"#, Bad::Json(Wrong::Byte)),
        ] {
            refused(body, bad);
        }
    }

    #[test]
    fn refusals_are_json() {
        let mut out = Vec::new();
        reply::error(Some(b"\"7\""), reply::DENIED, "no \"drop\"\n", &mut out);
        let said: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(said["id"], "7");
        assert_eq!(said["error"]["code"], reply::DENIED);
        assert_eq!(said["error"]["message"], "no \"drop\"\n");
    }
}
