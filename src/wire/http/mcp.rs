//! The Model Context Protocol: what is asked for, what mirrors it, how weir answers.
//!
//! In: bodies of requests and answers, heads of requests. Out: tool, resource or prompt with its
//! arguments; definitions with their digests; bodies of denials and holds. Never: a word of a
//! header that the body does not say too: the body is what the target acts on.
//!
//! Two families of revisions are spoken side by side. 2026-07-28 is stateless: each POST is one
//! request, `_meta` has its version, headers mirror it. 2024-11-05 to 2025-11-25 begin with a
//! handshake; headers other than the version and the session mean nothing there.
//!
//! ```text
//!   list      answers to tools/list: filtered, each definition with its digest
//!   mirror    headers that say what the body says
//! ```

pub mod list;
pub mod mirror;
#[cfg(test)]
mod tests;

use super::head::Span;
use super::json::{self, Token, Walk};
use super::jsonrpc::{Bad, Kind, Message, members, raw, reply, said};

/// Which family of revisions a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// 2026-07-28.
    Stateless,
    /// 2024-11-05 to 2025-11-25.
    Handshake,
}

impl Revision {
    /// By its date. `None`: one that weir does not know, so that it cannot say what a body means.
    pub fn read(version: &[u8]) -> Option<Revision> {
        match version {
            b"2026-07-28" => Some(Revision::Stateless),
            b"2025-11-25" | b"2025-06-18" | b"2025-03-26" | b"2024-11-05" => {
                Some(Revision::Handshake)
            }
            _ => None,
        }
    }
}

/// What a call is about; it says what a rule must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `tools/call`: `name`.
    Tool,
    /// `resources/read`, `resources/subscribe`: `uri`; `completion/complete` of a resource.
    Resource,
    /// `prompts/get`: `name`; `completion/complete` of a prompt.
    Prompt,
    /// `tasks/...`: `taskId`.
    Task,
    /// Discovery, lists, the handshake, notifications: they do nothing.
    Session,
    /// An answer to a request of the server.
    Answer,
    /// A method that weir does not know.
    Unknown,
}

/// What one message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method, unescaped.
    pub method: Vec<u8>,
    /// What it is about.
    pub subject: Subject,
    /// Name, URI or id of the subject, unescaped.
    pub name: Option<Vec<u8>>,
    /// `arguments`, an object.
    pub arguments: Option<Span>,
    /// `_meta.progressToken`, as it is written.
    pub progress_token: Option<Span>,
    /// What `_meta` says anew each time the same call is made: the token of progress, traces.
    pub volatile: Vec<Span>,
    /// The version that `_meta` states.
    pub version: Option<Vec<u8>>,
    /// `requestState`, `cursor`: bound to the identity that was given them.
    pub state: Option<Vec<u8>>,
    /// The same of pages.
    pub cursor: Option<Vec<u8>>,
}

/// Names that are read in `params`. `name` and `uri` decide, so that nothing may look like them.
const PARAMS: [&str; 8] =
    ["name", "uri", "taskId", "arguments", "_meta", "requestState", "cursor", "ref"];
/// Names that are read in `ref`: what is completed is an argument of that.
const REFERENCE: [&str; 3] = ["type", "name", "uri"];
const META: [&str; 5] = [
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "traceparent",
    "tracestate",
    "baggage",
];

fn subject(method: &[u8]) -> Subject {
    match method {
        b"tools/call" => Subject::Tool,
        b"resources/read" | b"resources/subscribe" | b"resources/unsubscribe" => Subject::Resource,
        b"prompts/get" => Subject::Prompt,
        b"tasks/get" | b"tasks/update" | b"tasks/cancel" | b"tasks/result" => Subject::Task,
        b"initialize"
        | b"ping"
        | b"server/discover"
        | b"subscriptions/listen"
        | b"tools/list"
        | b"resources/list"
        | b"resources/templates/list"
        | b"prompts/list"
        | b"tasks/list"
        | b"logging/setLevel"
        | b"notifications/initialized"
        | b"notifications/cancelled"
        | b"notifications/progress"
        | b"notifications/roots/list_changed" => Subject::Session,
        _ => Subject::Unknown,
    }
}

impl Call {
    /// Reads what a message asks for.
    ///
    /// # Errors
    /// `Argument` where the name that decides is missing or no text, `Alias` where something looks
    /// like it.
    pub fn read(body: &[u8], message: &Message) -> Result<Call, Bad> {
        let mut call = Call {
            method: message.method_text(body),
            subject: Subject::Answer,
            name: None,
            arguments: None,
            progress_token: None,
            volatile: Vec::new(),
            version: None,
            state: None,
            cursor: None,
        };
        if matches!(message.kind, Kind::Result | Kind::Error) {
            return Ok(call);
        }
        call.subject = subject(&call.method);
        let Some(params) = message.params else { return call.checked(None) };
        let [name, uri, task, arguments, meta, state, cursor, reference] =
            members(body, params, &PARAMS)?;
        let (name, uri) = match call.method.as_slice() {
            b"completion/complete" => {
                let named;
                (call.subject, named) = completed(body, reference)?;
                (named, named)
            }
            _ => (name, uri),
        };
        let named = match call.subject {
            Subject::Tool | Subject::Prompt => name,
            Subject::Resource => uri,
            Subject::Task => task,
            Subject::Session | Subject::Answer | Subject::Unknown => None,
        };
        call.arguments = match (call.subject, arguments) {
            (Subject::Tool | Subject::Prompt, Some((Token::Object, span))) => Some(span),
            (Subject::Tool | Subject::Prompt, Some(_)) => return Err(Bad::Argument),
            _ => None,
        };
        call.state = text(body, state)?;
        call.cursor = text(body, cursor)?;
        match meta {
            None => {}
            Some((Token::Object, meta)) => {
                let [progress, version, parent, state, baggage] = members(body, meta, &META)?;
                let volatile = [progress, parent, state, baggage].into_iter().flatten();
                call.volatile = volatile.map(|(_, span)| span).collect();
                if names_of(body, meta)? == call.volatile.len() {
                    call.volatile = vec![member(body, meta)];
                }
                call.progress_token = match progress {
                    None => None,
                    Some((Token::Text | Token::Number, span)) => Some(span),
                    Some(_) => return Err(Bad::Argument),
                };
                call.version = text(body, version)?;
            }
            Some(_) => return Err(Bad::Argument),
        }
        call.checked(text(body, named)?)
    }

    /// Whether it wants an answer of the server, by its name: only requests state their version.
    pub fn is_request(&self) -> bool {
        self.subject != Subject::Answer && !self.method.starts_with(b"notifications/")
    }

    /// A subject has a name.
    fn checked(mut self, name: Option<Vec<u8>>) -> Result<Call, Bad> {
        let needs_one = matches!(
            self.subject,
            Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Task
        );
        if needs_one && name.as_ref().is_none_or(Vec::is_empty) {
            return Err(Bad::Argument);
        }
        if self.subject == Subject::Tool && !name.as_deref().is_some_and(is_tool_name) {
            return Err(Bad::Name);
        }
        self.name = name;
        Ok(self)
    }
}

/// How many members an object has.
fn names_of(body: &[u8], object: Span) -> Result<usize, Bad> {
    let mut count = 0;
    json::walk::<Bad>(&mut Walk::new(), raw(body, object), |walk, token, _| {
        count += usize::from(token == Token::Key && walk.depth() == 1);
        Ok(())
    })?;
    Ok(count)
}

/// A member that says nothing but what is new each time, with its name and the comma that parts it
/// from others: without it a call is the one that has no such member.
fn member(body: &[u8], value: Span) -> Span {
    let (start, end) = (value.start as usize, (value.start + value.len) as usize);
    let before = body.get(..start).unwrap_or(&[]).trim_ascii_end();
    let name = before.strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    let Some(before) = name.and_then(|before| before.strip_suffix(b"\"_meta\"")) else {
        return value;
    };
    let before = before.trim_ascii_end();
    if let Some(before) = before.strip_suffix(b",") {
        let from = before.trim_ascii_end().len();
        return Span { start: from as u32, len: (end - from) as u32 };
    }
    let behind = body.get(end..).unwrap_or(&[]);
    let rest = behind.trim_ascii_start();
    let until = match rest.strip_prefix(b",").map(<[u8]>::trim_ascii_start) {
        Some(rest) => body.len() - rest.len(),
        None => body.len() - rest.len(),
    };
    Span { start: before.len() as u32, len: (until - before.len()) as u32 }
}

/// What a completion is about, and where its name stands.
fn completed(
    body: &[u8],
    reference: Option<(Token, Span)>,
) -> Result<(Subject, Option<(Token, Span)>), Bad> {
    let Some((Token::Object, span)) = reference else { return Err(Bad::Argument) };
    let [kind, name, uri] = members(body, span, &REFERENCE)?;
    match text(body, kind)?.as_deref() {
        Some(b"ref/prompt") => Ok((Subject::Prompt, name)),
        Some(b"ref/resource") => Ok((Subject::Resource, uri)),
        _ => Err(Bad::Argument),
    }
}

/// Whether a tool may be called so (MCP, Tools, "Tool Names"): a server that trims or folds what
/// else there is would run one that no rule has named. The slash is that of servers before
/// 2025-11-25.
pub fn is_tool_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(byte))
}

/// What a member says, if it is there: it must be a text.
fn text(body: &[u8], member: Option<(Token, Span)>) -> Result<Option<Vec<u8>>, Bad> {
    match member {
        None => Ok(None),
        Some((Token::Text, span)) => Ok(Some(said(body, span))),
        Some(_) => Err(Bad::Argument),
    }
}

/// A result that tells the model that its call did not succeed, and why: errors of tools are for
/// the model, errors of the protocol are not. The status is 200.
pub fn tool_error(id: &[u8], revision: Revision, said: &str, out: &mut Vec<u8>) {
    reply::open(Some(id), out);
    out.extend_from_slice(b"\"result\":{");
    if revision == Revision::Stateless {
        out.extend_from_slice(b"\"resultType\":\"complete\",");
    }
    out.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
    reply::string(said, out);
    out.extend_from_slice(b"}],\"isError\":true}}");
}

/// Answers a request that is refused or still waits: a tool's call by a result, others by an error.
pub fn refusal(
    body: &[u8],
    message: &Message,
    call: &Call,
    (revision, code): (Revision, i32),
    said: &str,
) -> Vec<u8> {
    let mut out = Vec::new();
    let id = message.id.map(|span| raw(body, span));
    match id {
        Some(id) if call.subject == Subject::Tool => tool_error(id, revision, said, &mut out),
        id => reply::error(id, code, said, &mut out),
    }
    out
}

/// What a client that waits is told every few seconds; `token` is its `progressToken`, as written.
pub fn progress(token: &[u8], seconds: u64, said: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{",
    );
    out.extend_from_slice(b"\"progressToken\":");
    out.extend_from_slice(token);
    out.extend_from_slice(format!(",\"progress\":{seconds},\"message\":").as_bytes());
    reply::string(said, &mut out);
    out.extend_from_slice(b"}}");
    out
}

/// A message as one event of a stream; JSON that weir writes has no line ends.
pub fn event(message: &[u8]) -> Vec<u8> {
    [b"event: message\ndata: ", message, b"\n\n"].concat()
}
