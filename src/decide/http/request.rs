//! A request as rules see it: its class, its operation, its method and path.
//!
//! In: a head. Out: an `Action`. Never: a path that two servers read differently, as one of them.

use std::borrow::Cow;

use super::{Class, likeness};
use crate::decide::action::{Act, Action, Fact, FactKind};
use crate::wire::Protocol;
use crate::wire::http::{Head, Refused, check};

/// What a request does. `opens` says that it asks for a WebSocket.
pub fn action(head: &Head, opens: bool) -> Action {
    let class = if opens { Class::Tunnel } else { class(head.method()) };
    let operation = operation(head.method(), head.path());
    let facts = facts(head);
    let act =
        Act { classes: class.into(), operation: Cow::Owned(operation), facts, ..Act::default() };
    Action::new(Protocol::Http, vec![act])
}

/// Method and path.
pub(super) fn facts(head: &Head) -> Vec<Fact> {
    let mut facts = vec![Fact::is(FactKind::Method, head.method())];
    match check::path_readings(head.path()) {
        // Rules that allow have to mean all readings, those that deny or hold one of them.
        Ok(readings) => {
            facts.extend(readings.iter().map(|it| Fact::is(FactKind::Path, it)));
            facts.extend(likeness::of(&readings).iter().map(|it| Fact::like(FactKind::Path, it)));
        }
        // No rule that allows paths can mean it; any rule that denies or holds some does.
        Err(_) => facts.push(Fact::unclear(FactKind::Path)),
    }
    facts
}

/// The same command, of whose path nothing is said: whether a rule would match it for another
/// reason than a path that cannot be read.
pub fn without_path(action: &Action) -> Action {
    let mut action = action.clone();
    for act in &mut action.acts {
        act.facts.retain(|fact| fact.kind != FactKind::Path);
    }
    action
}

/// Why the path of a request may mean anything, if so.
pub fn unclear_path(head: &Head) -> Option<Refused> {
    check::path_readings(head.path()).err()
}

/// RFC 9110 9.2.1 has the safe ones; QUERY is the safe one with a body.
fn class(method: &[u8]) -> Class {
    match method {
        b"GET" | b"HEAD" | b"OPTIONS" | b"QUERY" => Class::Read,
        b"POST" | b"PUT" | b"PATCH" => Class::Write,
        b"DELETE" => Class::Delete,
        _ => Class::Unknown,
    }
}

/// Segments of a path that an operation names; what is behind them is `...`.
const SEGMENTS_MAX: usize = 16;
/// The longest segment that an operation names.
const SEGMENT_BYTES_MAX: usize = 64;

/// `GET /orders/{id}`: the method, and the path with `{id}` for what looks like one.
pub fn operation(method: &[u8], path: &[u8]) -> String {
    let mut operation = String::from_utf8_lossy(method).into_owned();
    operation.push(' ');
    if !path.starts_with(b"/") {
        operation.push_str(&String::from_utf8_lossy(path));
        return operation;
    }
    for (index, segment) in path.split(|byte| *byte == b'/').skip(1).enumerate() {
        operation.push('/');
        if index == SEGMENTS_MAX {
            operation.push_str("...");
            break;
        }
        match is_id(segment) {
            true => operation.push_str("{id}"),
            false => operation.push_str(&String::from_utf8_lossy(segment)),
        }
    }
    operation
}

/// Numbers, UUIDs, 16 hexadecimal digits and more, long base64, addresses of mail, what is long.
fn is_id(segment: &[u8]) -> bool {
    let digits = !segment.is_empty() && segment.iter().all(u8::is_ascii_digit);
    let hex = segment.len() >= 16 && segment.iter().all(u8::is_ascii_hexdigit);
    let uuid = segment.len() == 36
        && segment.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let mail =
        segment.contains(&b'@') || segment.windows(3).any(|w| w.eq_ignore_ascii_case(b"%40"));
    let base64 = segment.len() >= 22
        && segment.iter().any(u8::is_ascii_digit)
        && segment.iter().any(u8::is_ascii_uppercase)
        && segment.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+".contains(byte));
    digits || hex || uuid || mail || base64 || segment.len() > SEGMENT_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_are_not_part_of_an_operation() {
        for (path, expect) in [
            ("/", "GET /"),
            ("/orders", "GET /orders"),
            ("/orders/7", "GET /orders/{id}"),
            ("/orders/7/lines/", "GET /orders/{id}/lines/"),
            ("/u/0192d3a4-0000-7000-8000-00000000abcd", "GET /u/{id}"),
            (
                "/u/0192d3a4-0000-7000-8000-00000000abcg",
                "GET /u/0192d3a4-0000-7000-8000-00000000abcg",
            ),
            ("/c/0123456789abcdef", "GET /c/{id}"),
            ("/c/deadbeef", "GET /c/deadbeef"),
            ("/m/a@b.example", "GET /m/{id}"),
            ("/m/a%40b.example", "GET /m/{id}"),
            ("/v1/health", "GET /v1/health"),
            ("*", "GET *"),
        ] {
            assert_eq!(operation(b"GET", path.as_bytes()), expect);
        }
        let deep = "/a".repeat(40);
        assert!(operation(b"GET", deep.as_bytes()).ends_with("/a/..."));
    }

    #[test]
    fn methods_have_classes() {
        for (method, expect) in [
            ("GET", Class::Read),
            ("QUERY", Class::Read),
            ("PATCH", Class::Write),
            ("DELETE", Class::Delete),
            ("get", Class::Unknown),
            ("PROPFIND", Class::Unknown),
        ] {
            assert_eq!(class(method.as_bytes()), expect, "{method}");
        }
    }
}
