//! What clients of HTTP are told by weir itself.
//!
//! In: what happened. Out: a reply. Never: a word of a peer, but the host that its client named and
//! the type of a content that cannot be masked; more than the client may know.

use crate::fault::{Refused as JournalRefused, Target};
use crate::wire::http::h1::write;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::reply::{Manner, Problem, Reply, challenge};

use super::exchange::Exchange;
use super::identity::Unknown;
use super::tenure::Trouble;

fn problem(status: u16, kind: &'static str, words: [&'static str; 2]) -> Problem<'static> {
    let [title, detail] = words;
    let error = match status {
        502 => "connection_terminated",
        503 => "proxy_internal_error",
        504 => "connection_timeout",
        _ => "http_request_denied",
    };
    Problem { status, kind, title, detail, instance: None, rule: None, error, retry_after_s: None }
}

/// A refusal of a request that was read: in the words of its protocol.
pub(super) fn instead(exchange: &Exchange, problem: &Problem<'_>, code: i32) -> Reply {
    if exchange.rpc.is_none() && exchange.calls.is_none() {
        return exchange.request.reply(problem);
    }
    let rule = problem.rule.map(|rule| format!(", rule \"{rule}\"")).unwrap_or_default();
    let command = problem.instance.map(|id| format!(", command {id}")).unwrap_or_default();
    let said = format!("not run: {} (weir{rule}{command})", problem.detail);
    match (exchange.rpc.as_deref(), exchange.calls.as_deref()) {
        (Some(rpc), _) => rpc.refusal(&exchange.content, code, &said),
        (None, Some(calls)) => calls.refusal(&exchange.content, code, &said),
        (None, None) => exchange.request.reply(problem),
    }
}

/// For what cannot go on.
pub(super) fn trouble(trouble: Trouble) -> Problem<'static> {
    match trouble {
        Trouble::Refused(refused) => Problem::refused(refused),
        Trouble::Login(_) => no_access("weir knows no target of this host that is open to you"),
        Trouble::Record(JournalRefused::TooLarge) => {
            problem(413, "not-recordable", ["Too large", "the request is too large to be recorded"])
        }
        Trouble::Record(_) => problem(
            503,
            "not-recordable",
            ["Not recordable", "weir cannot record requests now, so it forwards none"],
        ),
        Trouble::Masking(label) => unmaskable(label),
        Trouble::Room => problem(
            503,
            "no-room",
            ["No room", "weir reads too many requests whole now to begin with another one"],
        ),
        Trouble::Changed => problem(
            410,
            "policy-changed",
            ["Ask again", "the rules or masks that apply here changed: ask again"],
        ),
        Trouble::Target(Target::Timeout) => problem(
            504,
            "target-timeout",
            ["The target is late", "the target of this host did not answer in time"],
        ),
        Trouble::Target(Target::Certificate(why)) => {
            problem(502, "target-certificate", ["The target is not trusted", why.words()])
        }
        Trouble::Target(Target::Tls) => problem(
            502,
            "target-tls",
            [
                "No TLS with the target",
                "the target does not speak TLS as weir asks it to: it closed the connection, \
                 answered something else, or has no HTTP/2 where `http = \"2\"` says so",
            ],
        ),
        Trouble::Target(Target::Resolve | Target::Connect) => problem(
            502,
            "target-unreachable",
            ["The target is away", "the target of this host cannot be reached"],
        ),
        Trouble::Target(_) => problem(
            502,
            "target-closed",
            ["The target is gone", "the target closed the connection before its answer was over"],
        ),
    }
}

/// For somebody who may not use a target, or names none: one answer for both, so that nobody learns
/// which there are.
pub(super) fn no_access(detail: &str) -> Problem<'_> {
    Problem { detail, ..problem(403, "no-access", ["No access", ""]) }
}

/// What `no_access` says of a host, which is the client's own word.
pub(super) fn unknown_host(authority: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(authority).chars().take(HOST_CHARACTERS).collect();
    format!("weir knows no target of the host `{shown}` that is open to you")
}

const HOST_CHARACTERS: usize = 255;

/// For an answer that is refused.
pub(super) fn bad_answer(label: &'static str) -> Problem<'static> {
    let words = [
        "The target's answer is refused",
        "the target answered in a way that two clients could read differently",
    ];
    Problem { error: "http_protocol_error", ..problem(502, label, words) }
}

/// For an answer of MCP that sends its client out of the endpoint.
pub(super) fn leads_out() -> Problem<'static> {
    let words = [
        "The target sends elsewhere",
        "the target answers by a redirection out of its endpoint: `address` of the target has to \
         be where it sends to",
    ];
    Problem { error: "http_protocol_error", ..problem(502, "mcp-redirect", words) }
}

/// What is said besides of a request that weir has sent and of which its client gets no answer.
pub(super) fn unknown_end(exchange: &Exchange, detail: &str) -> String {
    let changes_nothing = matches!(exchange.request.head.method(), b"GET" | b"HEAD" | b"OPTIONS");
    match exchange.was_sent() && !changes_nothing {
        true => format!(
            "{detail}; the request was sent and may have been carried out, do not take it for one \
             that was not"
        ),
        false => detail.to_owned(),
    }
}

/// For an answer that masks apply to and cannot look into.
pub(super) fn unmaskable(label: &'static str) -> Problem<'static> {
    let detail = match label {
        "masking-encoded" => "masks apply, and the target compressed its answer unasked",
        "masking-partial" => "masks apply, and the target sent a part of its answer alone",
        "masking-type" => {
            "masks apply, and they cannot look into this type of content; `opaque` of the target \
             names types that pass unmasked"
        }
        "mask-text" => "masks name places in it, and this answer is text without any",
        "masking-websocket" => "masks apply to this target, and they do not look into WebSockets",
        _ => "masks apply, and the answer cannot be read as what it says to be",
    };
    Problem {
        error: "http_response_transform_error",
        ..problem(502, label, ["The answer cannot be masked", detail])
    }
}

/// What an answer that masks cannot look into says of its type: the target's word, if it is one.
pub(super) fn unmaskable_type(head: &Head) -> String {
    let kind = head.only(Name::ContentType).unwrap_or(&[]);
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/+.-_".contains(byte);
    let shown = match kind.len() <= TYPE_BYTES && !kind.is_empty() && kind.iter().all(is_plain) {
        true => format!("`{}`", String::from_utf8_lossy(kind)),
        false => "a type that is not clear".to_owned(),
    };
    format!(
        "masks apply, and they cannot look into {shown}; `opaque` of the target names types that \
         pass unmasked"
    )
}

const TYPE_BYTES: usize = 100;

/// For a path of a server of MCP that is not its endpoint.
pub(super) const NO_ENDPOINT: &str = "this path is no endpoint of the server of MCP";

/// For a request whose content is needed whole and is not small enough.
pub(super) fn too_large() -> Problem<'static> {
    let words =
        ["Too large", "a person has to see this request whole, and it is too large for that"];
    problem(413, "held-content", words)
}

/// For a request whose content people are asked about and could not read.
pub(super) fn unreadable() -> Problem<'static> {
    let words = [
        "Not readable",
        "a person has to see this request: its content has to be text in UTF-8, not compressed",
    ];
    problem(415, "held-content", words)
}

/// For a request whose path may mean anything to rules that name paths.
pub(super) fn unclear_path(label: &'static str) -> Problem<'static> {
    let words = [
        "The path is not clear",
        "rules of this target name paths, and servers read this one differently: write it without \
         dot segments, backslashes, control characters and escapes of escapes",
    ];
    problem(400, label, words)
}

/// For a body that is longer than a cluster takes.
pub(super) fn too_long() -> Problem<'static> {
    let words = ["Too large", "the body is longer than an apiserver takes, which is 3 MiB"];
    problem(413, "content", words)
}

/// For a target that is weir again.
pub(super) fn is_loop() -> Problem<'static> {
    problem(508, "loop", ["Loop", "this request has been through weir before"])
}

/// For a call of gRPC: targets are spoken to in HTTP/1.1.
pub(super) fn no_grpc() -> Problem<'static> {
    let words = ["No gRPC", "weir speaks HTTP/1.1 with its targets, and gRPC needs HTTP/2"];
    problem(501, "grpc", words)
}

/// For a request in clear where TLS is spoken.
pub(super) fn in_clear() -> Problem<'static> {
    let words = ["TLS is spoken here", "this port takes no request in clear: write https://"];
    Problem { error: "http_request_error", ..problem(400, "plaintext-client", words) }
}

/// For a head that did not come in its time.
pub(super) fn late() -> Problem<'static> {
    let words = ["Too slow", "the request did not come in time"];
    Problem { error: "http_request_error", ..problem(408, "request-timeout", words) }
}

/// For somebody whom weir does not know; `place` has the issuers that weir knows.
pub(super) fn unknown(
    unknown: Unknown,
    manner: Manner,
    (takes_tokens, place): (bool, Option<&str>),
) -> Reply {
    if let Unknown::Throttled(wait_s) = unknown {
        return throttled(wait_s).reply(manner);
    }
    let detail = match unknown {
        Unknown::Missing => "say who you are: a user of weir with a password, or a token",
        Unknown::Wrong | Unknown::Throttled(_) | Unknown::Token(_) | Unknown::Keys(..) => {
            "these credentials are not those of anybody whom weir knows"
        }
    };
    let bearer = match unknown {
        Unknown::Token(_) | Unknown::Keys(..) => "Bearer realm=\"weir\", error=\"invalid_token\"",
        Unknown::Missing | Unknown::Wrong | Unknown::Throttled(_) => "Bearer realm=\"weir\"",
    };
    let place = place.map(|place| format!(", resource_metadata=\"{place}\"")).unwrap_or_default();
    let bearer = format!("{bearer}{place}");
    let basic = "Basic realm=\"weir\", charset=\"UTF-8\"";
    match takes_tokens {
        true => challenge(manner, detail, &[&bearer, basic]),
        false => challenge(manner, detail, &[basic]),
    }
}

/// For a password that is not looked at, right or wrong.
fn throttled(wait_s: u32) -> Problem<'static> {
    let words = [
        "Too many wrong passwords",
        "too many wrong passwords of this user came from your network: wait, then try again",
    ];
    Problem { retry_after_s: Some(wait_s), ..problem(429, "login-throttled", words) }
}

/// What a client is told that is turned away for want of room.
pub fn turned_away(_detail: &str) -> Vec<u8> {
    let words = ["Too many connections", "weir has no room for another connection now"];
    let reply = problem(503, "no-room", words).reply(Manner::Problem);
    let mut out = Vec::new();
    write::reply(&mut out, &reply, false, true);
    out
}
