//! A message of MCP or JSON-RPC as rules see it: its class, its tool, its arguments.
//!
//! In: a head, a body that was read, what it asks for. Out: an `Action`.
//! Never: an argument that two servers read differently, as one of them.

use std::borrow::Cow;

use super::{Class, argument, request};
use crate::decide::action::{Act, Action, Fact, FactKind, Object};
use crate::wire::Protocol;
use crate::wire::http::Head;
use crate::wire::http::jsonrpc::Message;
use crate::wire::http::mcp::{Call, Subject};

/// What a message does.
pub fn call(head: &Head, body: &[u8], call: &Call) -> Action {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let class = match call.subject {
        Subject::Tool => Class::Call,
        Subject::Resource | Subject::Prompt => Class::Read,
        Subject::Session | Subject::Answer => Class::Session,
        Subject::Task | Subject::Unknown => Class::Unknown,
    };
    let mut facts = request::facts(head);
    let (mut operation, mut objects) = (words(&call.method), Vec::new());
    if let Some(name) = &call.name {
        let place = match call.subject {
            Subject::Tool => "tool",
            Subject::Prompt => "prompt",
            _ => "resource",
        };
        objects.push(Object::within(place, words(name), false));
        operation = format!("{operation} {}", words(name));
    }
    if call.subject == Subject::Answer {
        "answer".clone_into(&mut operation);
    }
    if call.subject == Subject::Tool {
        facts.push(Fact::is(FactKind::Tool, call.name.as_deref().unwrap_or(&[])));
        facts.extend(call.arguments.iter().flat_map(|span| argument::read(body, *span)));
    }
    let act = Act {
        classes: class.into(),
        operation: Cow::Owned(operation),
        objects: objects.into(),
        facts,
        ..Act::default()
    };
    Action::new(Protocol::Http, vec![act])
}

/// What the messages of one body of JSON-RPC do, together: they pass or are refused as one. To
/// rules a method is what a tool is of MCP, and its parameters are the arguments.
pub fn calls(head: &Head, body: &[u8], messages: &[Message]) -> Action {
    let act = |message: &Message| {
        let method = message.method_text(body);
        let name = String::from_utf8_lossy(&method).into_owned();
        let mut facts = request::facts(head);
        facts.push(Fact::is(FactKind::Tool, &method));
        facts.extend(message.params.iter().flat_map(|span| argument::read(body, *span)));
        Act {
            classes: Class::Call.into(),
            objects: vec![Object::within("rpc", name.clone(), false)].into(),
            operation: Cow::Owned(name),
            facts,
            ..Act::default()
        }
    };
    Action::new(Protocol::Http, messages.iter().map(act).collect())
}

/// The stream of a server's own messages, or the end of its session: GET and DELETE of MCP.
pub fn stream(head: &Head) -> Action {
    let operation = Cow::Owned(request::operation(head.method(), head.path()));
    let facts = request::facts(head);
    let act = Act { classes: Class::Session.into(), operation, facts, ..Act::default() };
    Action::new(Protocol::Http, vec![act])
}

/// A message whose body was not read, or cannot be.
pub fn unread(head: &Head) -> Action {
    let mut facts = request::facts(head);
    facts.push(Fact::unclear(FactKind::Tool));
    facts.push(Fact::unclear(FactKind::Argument));
    let operation = Cow::Owned(request::operation(head.method(), head.path()));
    let act = Act { classes: Class::Unknown.into(), operation, facts, ..Act::default() };
    Action::new(Protocol::Http, vec![act])
}

/// A call of a tool whose arguments are not known yet: what a list of tools is filtered by.
pub fn tool(name: &[u8]) -> Act {
    Act {
        classes: Class::Call.into(),
        operation: Cow::Borrowed("tools/call"),
        objects: vec![Object::within("tool", String::from_utf8_lossy(name), false)].into(),
        facts: vec![Fact::is(FactKind::Tool, name)],
        ..Act::default()
    }
}
