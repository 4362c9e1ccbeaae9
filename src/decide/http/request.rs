//! A request as rules see it: its class, its operation, its method and path.
//!
//! In: a head. Out: an `Action`. Never: a path that two servers read differently, as one of them.

use std::borrow::Cow;

use super::{Class, Exception, exception, likeness};
use crate::decide::action::{Act, Action, Cause, Fact, FactKind};
use crate::wire::Protocol;
use crate::wire::http::{Head, Refused, check};

/// What a request does. `opens` says that it asks for a WebSocket; `exceptions` are those of its
/// target.
pub fn action(head: &Head, opens: bool, exceptions: &[Exception]) -> Action {
    let operation = operation(head.method(), head.path());
    let facts = facts(head);
    let (class, because) = match opens {
        true => (Class::Tunnel, None),
        false => exception::class(class(head.method()), (head.method(), &facts), exceptions),
    };
    let cause = |it: &Exception| Cause { classes: class.into(), name: it.words().into() };
    let act = Act {
        classes: class.into(),
        operation: Cow::Owned(operation),
        facts,
        causes: because.map(cause).into_iter().collect(),
        ..Act::default()
    };
    Action::new(Protocol::Http, vec![act])
}

/// Method and path.
pub(super) fn facts(head: &Head) -> Vec<Fact> {
    let mut facts = vec![Fact::is(FactKind::Method, head.method())];
    let others = head.named().filter(|(_, name, _)| names_a_path(name));
    let others: Vec<Vec<u8>> = others.flat_map(|(_, _, value)| paths_of(value)).collect();
    for path in std::iter::once(head.path()).chain(others.iter().map(Vec::as_slice)) {
        match check::path_readings(path) {
            // Rules that allow have to mean all readings, those that deny or hold one of them.
            Ok(readings) => {
                facts.extend(readings.iter().map(|it| Fact::is(FactKind::Path, it)));
                let like = likeness::of(&readings);
                facts.extend(like.iter().map(|it| Fact::like(FactKind::Path, it)));
            }
            // No rule that allows paths can mean it; any rule that denies or holds some does.
            Err(_) => facts.push(Fact::unclear(FactKind::Path)),
        }
    }
    let below = others.iter().flat_map(|path| below_accounts(head, path));
    for readings in below.filter_map(|path| check::path_readings(&path).ok()) {
        let like = likeness::of(&readings);
        facts.extend(readings.iter().chain(&like).map(|it| Fact::like(FactKind::Path, it)));
    }
    facts
}

/// Whether a field names a second path that the request reads or writes: `Destination` of COPY and
/// MOVE (RFC 4918 10.3), what stores of objects copy from (`x-amz-copy-source`, `X-Copy-From` of
/// Swift), and what an object written here stands for (`X-Symlink-Target`, `X-Object-Manifest`).
fn names_a_path(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 5] = [
        b"-copy-source",
        b"-rename-source",
        b"-copy-from",
        b"-symlink-target",
        b"-object-manifest",
    ];
    let lower = name.to_ascii_lowercase();
    lower == b"destination" || ENDS.iter().any(|end| lower.ends_with(end))
}

/// The same path as stores read it that have `/v1/ACCOUNT` in front of containers: below that of
/// the request, or of an account that a field names (Swift: `X-Copy-From-Account`).
fn below_accounts(head: &Head, path: &[u8]) -> Vec<Vec<u8>> {
    let mut segments = head.path().split(|byte| *byte == b'/').skip(1);
    let (Some(version), Some(account)) = (segments.next(), segments.next()) else {
        return Vec::new();
    };
    let named = head.named().filter(|(_, name, _)| {
        let end = name.len().checked_sub(b"-account".len()).and_then(|at| name.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(b"-account"))
    });
    let named = named.map(|(_, _, value)| value.trim_ascii());
    let accounts = std::iter::once(account).chain(named);
    accounts.map(|account| [b"/", version, b"/", account, path].concat()).collect()
}

/// All that servers take for the path of a URL or of a path; `bucket/key` is one, too. What two
/// slashes begin is a host or a path (nginx, `ngx_http_dav_copy_move_handler`), and a scheme
/// without slashes has no host (`apr_uri_parse`, by which Apache reads `http:/x`).
fn paths_of(value: &[u8]) -> Vec<Vec<u8>> {
    let value = value.trim_ascii();
    let end = value.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(value.len());
    let value = value.get(..end).unwrap_or(value);
    let behind = memchr::memmem::find(value, b"://").and_then(|at| value.get(at + 3..));
    if let Some(rest) = behind {
        let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        return vec![rooted(rest.get(slash..).unwrap_or(&[]))];
    }
    let schemes = [&b"http:"[..], b"https:"];
    let bare = schemes.into_iter().find_map(|scheme| {
        let (start, rest) = value.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    std::iter::once(value).chain(bare).map(rooted).collect()
}

fn rooted(path: &[u8]) -> Vec<u8> {
    match path.starts_with(b"/") {
        true => path.to_vec(),
        false => [b"/", path].concat(),
    }
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

/// The same command under another method.
pub fn under(action: &Action, method: &str) -> Action {
    let mut acts = action.acts.clone();
    for act in &mut acts {
        act.classes = class(method.as_bytes()).into();
        act.facts.retain(|fact| fact.kind != FactKind::Method);
        act.facts.push(Fact::is(FactKind::Method, method));
    }
    Action::new(Protocol::Http, acts)
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
    fn a_field_that_names_a_path_is_one_of_the_requests() {
        use crate::wire::http::h1::{HeadReader, read::Kind};
        for (field, expect) in [
            ("Destination: /keep/x", "/keep/x"),
            ("destination: http://127.0.0.1:80/keep/x", "/keep/x"),
            ("Destination: //host/keep/x?y", "/keep/x"),
            ("Destination: //keep/x", "/keep/x"),
            ("Destination: http:/keep/x", "/keep/x"),
            ("Destination: HTTPS:keep/x", "/keep/x"),
            ("Destination: http://a//b/keep/x", "/keep/x"),
            ("x-amz-copy-source: keep/x?versionId=1", "/keep/x"),
            ("X-Ms-Rename-Source: /keep/%78", "/keep/x"),
            ("X-Copy-From: /keep/x", "/keep/x"),
            ("x-copy-from: keep/x", "/keep/x"),
            ("X-Symlink-Target: keep/x", "/keep/x"),
            ("X-Object-Manifest: keep/x", "/keep/x"),
            ("x-oss-symlink-target: /keep/x", "/keep/x"),
        ] {
            let text = format!("COPY /pub/x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            let mut head = Head::default();
            let read = HeadReader::default().next(&mut text.as_bytes(), &mut head, Kind::Request);
            assert_eq!(read, Ok(true));
            let facts = facts(&head);
            assert!(facts.contains(&Fact::is(FactKind::Path, expect)), "{field}");
            assert!(facts.contains(&Fact::is(FactKind::Path, "/pub/x")), "{field}");
        }
    }

    #[test]
    fn a_container_is_one_of_an_account() {
        use crate::wire::http::h1::{HeadReader, read::Kind};
        let text = "PUT /v1/A/pub/x HTTP/1.1\r\nHost: a\r\nX-Copy-From: keep/x\r\n\
                    X-Copy-From-Account: B\r\n\r\n";
        let mut head = Head::default();
        let read = HeadReader::default().next(&mut text.as_bytes(), &mut head, Kind::Request);
        assert_eq!(read, Ok(true));
        let facts = facts(&head);
        for path in ["/v1/A/keep/x", "/v1/B/keep/x"] {
            assert!(facts.contains(&Fact::like(FactKind::Path, path)), "{path}: {facts:?}");
        }
        assert!(facts.contains(&Fact::is(FactKind::Path, "/keep/x")));
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
