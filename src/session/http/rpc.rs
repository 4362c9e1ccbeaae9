//! A request of MCP or JSON-RPC: read from its content, answered in its words.
//!
//! In: heads and whole contents of requests. Out: what is asked for; replies of weir's own.
//! Never: a content that two servers read differently; a reply under another id.

use crate::wire::http::h1::Framing;
use crate::wire::http::head::{Head, Span};
use crate::wire::http::jsonrpc::{self, Kind, Message, Messages, raw};
use crate::wire::http::mcp::{self, Call, Revision, Subject, mirror};
use crate::wire::http::name::Name;
use crate::wire::http::reply::Reply;
use crate::wire::http::{check, jsonrpc::reply};

/// The code that answers what is denied.
pub(super) const DENIED: i32 = reply::DENIED;
/// The code that answers what still waits for people.
pub(super) const PENDING: i32 = reply::PENDING;

/// Whether it is the stream of a server's own messages, or the end of its session.
pub(super) fn is_stream(head: &Head) -> bool {
    match head.method() {
        b"GET" => reads_events(head),
        b"DELETE" => head.spelt(b"mcp-session-id").next().is_some(),
        _ => false,
    }
}

/// Whether its sender reads an answer that is a stream of events.
pub(super) fn reads_events(head: &Head) -> bool {
    let mut accepts = head.values(Name::Accept).flat_map(check::list);
    accepts.any(|kind| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or(&[]);
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// One message of a client.
#[derive(Debug)]
pub(super) struct Rpc {
    pub message: Message,
    pub call: Call,
    pub revision: Revision,
}

/// Why a request is no message that weir can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    /// The status of HTTP.
    pub status: u16,
    /// The code of JSON-RPC.
    pub code: i32,
    /// A fixed word.
    pub label: &'static str,
    /// For people.
    pub words: &'static str,
}

impl Unread {
    const fn new(status: u16, code: i32, label: &'static str, words: &'static str) -> Unread {
        Unread { status, code, label, words }
    }

    /// What the client is told.
    pub fn reply(&self) -> Reply {
        let mut content = Vec::new();
        let said = format!("{} ({})", self.words, self.label);
        reply::error(None, self.code, &said, &mut content);
        answer(self.status, content)
    }
}

const TOOL_NAME: &str = "the name of a tool is letters, digits and any of `_`, `-`, `.`, `/`";
const UNREADABLE: &str = "weir refuses what two servers could read differently";

/// A message is read whole before anybody decides.
pub(super) fn too_long() -> Unread {
    Unread::new(413, -32_600, "mcp-too-long", "a message of MCP is 1 MiB long at most")
}

/// Checks what must hold before the content of a POST of MCP is looked at.
pub(super) fn check_head(head: &Head) -> Result<(), Unread> {
    check_content(head)?;
    check_origin(head)
}

/// What is no POST has no message: a server that reads one all the same would do what nobody has
/// decided.
pub(super) fn check_empty(framing: Framing) -> Result<(), Unread> {
    match framing {
        Framing::None | Framing::Length(0) => Ok(()),
        _ => Err(Unread::new(400, -32_600, "mcp-content", "content is that of a POST")),
    }
}

/// The same of any message of JSON-RPC: it can be read as it is.
pub(super) fn check_content(head: &Head) -> Result<(), Unread> {
    let mut codings = head.values(Name::ContentEncoding).flat_map(check::list);
    if codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        let words = "messages are taken as they are, not compressed";
        return Err(Unread::new(415, -32_600, "rpc-encoded", words));
    }
    if !head.only(Name::ContentType).is_some_and(is_json) {
        let words = "messages are taken as application/json in UTF-8";
        return Err(Unread::new(415, -32_600, "rpc-type", words));
    }
    Ok(())
}

/// A page of another site must not speak to a server of MCP through its reader's browser (MCP,
/// Streamable HTTP, "Security Warning").
pub(super) fn check_origin(head: &Head) -> Result<(), Unread> {
    let is_own = |origin: &[u8]| {
        let authority = origin.strip_prefix(b"https://").or(origin.strip_prefix(b"http://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(head.authority()))
    };
    match head.values(Name::Origin).all(is_own) {
        true => Ok(()),
        false => Err(Unread::new(403, -32_600, "mcp-origin", "a page of another origin asks")),
    }
}

fn is_json(kind: &[u8]) -> bool {
    let lower = kind.to_ascii_lowercase();
    let mut parts = lower.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parts.next() == Some(b"application/json")
        && parts.all(|part| matches!(part, b"charset=utf-8" | b"charset=\"utf-8\""))
}

impl Rpc {
    /// Reads the message of a request.
    pub fn read(head: &Head, body: &[u8]) -> Result<Rpc, Unread> {
        let bad = |bad: jsonrpc::Bad| {
            let words = if bad == jsonrpc::Bad::Name { TOOL_NAME } else { UNREADABLE };
            Unread::new(400, bad.code(), bad.label(), words)
        };
        let messages = jsonrpc::read(body).map_err(bad)?;
        let [message] = messages.list.as_slice() else {
            let words = "one message at a time: batches are not taken";
            return Err(Unread::new(400, -32_600, "mcp-batch", words));
        };
        if messages.is_batch {
            let words = "one message at a time: batches are not taken";
            return Err(Unread::new(400, -32_600, "mcp-batch", words));
        }
        let call = Call::read(body, message).map_err(bad)?;
        let revision = mirror::check(head, body, std::slice::from_ref(&call)).map_err(|bad| {
            Unread::new(400, bad.code(), bad.label(), "a header does not say what the body says")
        })?;
        Ok(Rpc { message: *message, call, revision })
    }

    /// What kind of command it is.
    pub fn kind(&self) -> &'static str {
        match self.call.subject {
            Subject::Answer => "mcp-answer",
            _ => "mcp",
        }
    }

    /// Whether its answer lists tools.
    pub fn lists_tools(&self) -> bool {
        self.call.method == b"tools/list" && self.message.kind == Kind::Request
    }

    /// What it asks with, as it is written.
    pub fn arguments<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        let params = self.message.params.filter(|_| self.call.subject != Subject::Tool);
        self.call.arguments.or(params).map(|span| raw(body, span))
    }

    /// What is new in it each time the same call is made.
    pub fn volatile(&self) -> Vec<Span> {
        self.message.id.into_iter().chain(self.call.volatile.iter().copied()).collect()
    }

    /// Name of the tool, prompt or resource; else the method.
    pub fn name(&self) -> String {
        let name = self.call.name.as_ref().unwrap_or(&self.call.method);
        String::from_utf8_lossy(name).into_owned()
    }

    /// What its sender is told in the place of an answer: of a call of a tool, a result that the
    /// model reads.
    pub fn refusal(&self, body: &[u8], code: i32, said: &str) -> Reply {
        let terms = (self.revision, code);
        let content = mcp::refusal(body, &self.message, &self.call, terms, said);
        // Who sent no request waits for no message.
        answer(if self.message.kind == Kind::Request { 200 } else { 403 }, content)
    }
}

/// The messages of one body of JSON-RPC, for a target that is no server of MCP.
#[derive(Debug)]
pub(super) struct Calls {
    messages: Messages,
    methods: Vec<String>,
}

impl Calls {
    /// Reads the content of a request.
    pub fn read(body: &[u8]) -> Result<Calls, Unread> {
        let bad = |bad: jsonrpc::Bad| Unread::new(400, bad.code(), bad.label(), UNREADABLE);
        let messages = jsonrpc::read(body).map_err(bad)?;
        let is_call = |it: &Message| matches!(it.kind, Kind::Request | Kind::Notification);
        if !messages.list.iter().all(is_call) {
            return Err(bad(jsonrpc::Bad::Members));
        }
        let method = |it: &Message| String::from_utf8_lossy(&it.method_text(body)).into_owned();
        let methods = messages.list.iter().map(method).collect();
        Ok(Calls { messages, methods })
    }

    /// What is called, in order.
    pub fn list(&self) -> &[Message] {
        &self.messages.list
    }

    /// What a row has as `verb` and as `name`: the method; of several `batch`, and the methods.
    pub fn names(&self) -> (String, String) {
        let all = self.methods.join(", ");
        match self.messages.is_batch {
            true => ("batch".to_owned(), all),
            false => (all.clone(), all),
        }
    }

    /// The parameters, as they are written; of a batch all of it.
    pub fn arguments<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        match (self.messages.is_batch, self.list()) {
            (false, [one]) => one.params.map(|span| raw(body, span)),
            _ => Some(body),
        }
    }

    /// A line for each call, with its parameters, for people.
    pub fn lines<'b>(&self, body: &'b [u8]) -> Vec<(&str, &'b [u8])> {
        let params = |it: &Message| it.params.map_or(&b""[..], |span| raw(body, span));
        self.methods.iter().map(String::as_str).zip(self.list().iter().map(params)).collect()
    }

    /// What is new in it each time the same is called.
    pub fn volatile(&self) -> Vec<Span> {
        self.list().iter().filter_map(|message| message.id).collect()
    }

    /// What its sender is told in the place of answers: an error for each that wants one.
    pub fn refusal(&self, body: &[u8], code: i32, said: &str) -> Reply {
        let mut content = Vec::new();
        let asks: Vec<Span> = self.volatile();
        for (index, id) in asks.iter().enumerate() {
            if index > 0 {
                content.push(b',');
            }
            reply::error(Some(raw(body, *id)), code, said, &mut content);
        }
        if asks.is_empty() {
            reply::error(None, code, said, &mut content);
        } else if self.messages.is_batch {
            content = [b"[", &content[..], b"]"].concat();
        }
        // Who sent notifications alone waits for no message.
        answer(if asks.is_empty() { 403 } else { 200 }, content)
    }
}

fn answer(status: u16, content: Vec<u8>) -> Reply {
    let fields = vec![
        ("content-type", b"application/json".to_vec()),
        ("cache-control", b"no-store".to_vec()),
        ("proxy-status", b"weir; error=http_request_denied".to_vec()),
    ];
    Reply { status, fields, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str = r#"[{"jsonrpc":"2.0","id":1,"method":"a","params":[1]},
        {"jsonrpc":"2.0","method":"b"},{"jsonrpc":"2.0","id":"x","method":"c"}]"#;

    #[test]
    fn each_call_of_a_batch_that_wants_an_answer_is_refused_by_its_id() {
        let calls = Calls::read(BATCH.as_bytes()).expect("a batch");
        assert_eq!(calls.names(), ("batch".to_owned(), "a, b, c".to_owned()));
        let reply = calls.refusal(BATCH.as_bytes(), DENIED, "no");
        let said: serde_json::Value = serde_json::from_slice(&reply.content).expect("JSON");
        let ids: Vec<_> = said.as_array().expect("a list").iter().map(|it| &it["id"]).collect();
        assert_eq!((reply.status, ids), (200, vec![&1.into(), &"x".into()]));
        let one = r#"{"jsonrpc":"2.0","id":7,"method":"a"}"#;
        let reply = Calls::read(one.as_bytes()).expect("a call").refusal(one.as_bytes(), 1, "no");
        let said: serde_json::Value = serde_json::from_slice(&reply.content).expect("JSON");
        assert_eq!((&said["id"], &said["error"]["message"]), (&7.into(), &"no".into()));
        let none = r#"{"jsonrpc":"2.0","method":"a"}"#;
        let calls = Calls::read(none.as_bytes()).expect("a notification");
        assert_eq!(calls.refusal(none.as_bytes(), 1, "no").status, 403);
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":1}"#;
        assert_eq!(Calls::read(answer.as_bytes()).expect_err("no call").label, "jsonrpc-members");
    }
}
