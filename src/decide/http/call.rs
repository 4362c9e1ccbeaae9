//! A message of MCP as rules see it: its class, its tool, its arguments.
//!
//! In: a head, a body that was read, what it asks for. Out: an `Action`.
//! Never: an argument that two servers read differently, as one of them.

use std::borrow::Cow;

use super::{Class, request};
use crate::decide::action::{Act, Action, Fact, FactKind, Object};
use crate::limits::MCP_ARGUMENTS_MAX;
use crate::wire::Protocol;
use crate::wire::http::Head;
use crate::wire::http::head::Span;
use crate::wire::http::json::{self, Segment, Token, Walk, Wrong, text};
use crate::wire::http::jsonrpc::raw;
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
        facts.extend(call.arguments.iter().flat_map(|span| arguments(body, *span)));
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

/// Each value of the arguments as `path=value`: `query=SELECT 1`, `filter.0.name=x`. Dots, equal
/// signs and backslashes of keys are written with a backslash, so that no key looks like a path.
fn arguments(body: &[u8], object: Span) -> Vec<Fact> {
    let object = raw(body, object);
    let (mut facts, mut is_clear) = (Vec::new(), true);
    let mut empty = true;
    let walked = json::walk::<Wrong>(&mut Walk::strict(), object, |walk, token, span| {
        let value = match token {
            Token::Key => return Ok(()),
            Token::Object | Token::Array => {
                empty = true;
                return Ok(());
            }
            Token::ObjectEnd if empty && walk.depth() > 0 => b"{}".to_vec(),
            Token::ArrayEnd if empty => b"[]".to_vec(),
            Token::ObjectEnd | Token::ArrayEnd => return Ok(()),
            Token::Text => {
                let mut said = Vec::new();
                text::unescape(text::inner(object, span), &mut said);
                said
            }
            Token::Number => {
                is_clear &= is_plain_number(raw(object, span));
                raw(object, span).to_vec()
            }
            Token::True | Token::False | Token::Null => raw(object, span).to_vec(),
        };
        empty = false;
        let mut said = path(walk);
        said.push(b'=');
        said.extend_from_slice(&value);
        facts.push(Fact::is(FactKind::Argument, said));
        is_clear &= facts.len() <= MCP_ARGUMENTS_MAX;
        facts.truncate(MCP_ARGUMENTS_MAX);
        Ok(())
    });
    if walked.is_err() || !is_clear {
        facts.push(Fact::unclear(FactKind::Argument));
    }
    facts
}

/// A number that has one spelling: `7` and `1.5`, not `7.0`, `1e3` or `-0`.
fn is_plain_number(number: &[u8]) -> bool {
    let is_digits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let has_end = number.contains(&b'.') && number.last() == Some(&b'0');
    number.iter().all(is_digits) && !has_end && number != b"-0"
}

fn path(walk: &Walk) -> Vec<u8> {
    let mut path = Vec::new();
    for (at, segment) in walk.path().enumerate() {
        if at > 0 {
            path.push(b'.');
        }
        match segment {
            Segment::Index(index) => path.extend_from_slice(index.to_string().as_bytes()),
            Segment::Key(key) => {
                for &byte in key {
                    if matches!(byte, b'.' | b'=' | b'\\') {
                        path.push(b'\\');
                    }
                    path.push(byte);
                }
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::action::Reading;

    fn said(object: &str) -> Vec<String> {
        let span = Span { start: 0, len: object.len() as u32 };
        let facts = arguments(object.as_bytes(), span);
        let words = facts.iter().map(|fact| match &fact.reading {
            Reading::Is(value) => String::from_utf8_lossy(value).into_owned(),
            Reading::Unclear => "?".to_owned(),
            other => format!("{other:?}"),
        });
        words.collect()
    }

    #[test]
    fn arguments_are_paths_and_values() {
        assert_eq!(said("{}"), [""; 0]);
        assert_eq!(
            said(r#"{"a": "x\u0041", "b": [1, {"c": null}]}"#),
            ["a=xA", "b.0=1", "b.1.c=null"]
        );
        assert_eq!(
            said(r#"{"a": {}, "b": [], "c": [[]], "d": true}"#),
            ["a={}", "b=[]", "c.0=[]", "d=true"]
        );
    }

    #[test]
    fn no_key_looks_like_a_path_or_a_value() {
        assert_eq!(said(r#"{"a.b": 1, "a=1": 2, "a\\": 3}"#), [r"a\.b=1", r"a\=1=2", r"a\\=3"]);
    }

    #[test]
    fn what_has_several_spellings_is_unclear() {
        for number in ["1.0", "1e3", "-0", "1E3", "0.10"] {
            assert_eq!(said(&format!("{{\"a\":{number}}}")).last().unwrap(), "?", "{number}");
        }
        for number in ["1", "-7", "1.5", "0", "10", "100.05"] {
            assert_ne!(said(&format!("{{\"a\":{number}}}")).last().unwrap(), "?", "{number}");
        }
        let many: Vec<String> = (0..=MCP_ARGUMENTS_MAX).map(|at| at.to_string()).collect();
        let facts = said(&format!("{{\"a\":[{}]}}", many.join(",")));
        assert_eq!((facts.len(), facts.last().unwrap().as_str()), (MCP_ARGUMENTS_MAX + 1, "?"));
    }
}
