//! What weir says to an SSH client in words.
//!
//! In: faults, rules, holds. Out: lines for people, DISCONNECT reasons. Never: a name of a user or
//! target that the client did not prove to know.

use crate::decide::{Ask, Reason};
use crate::fault::{Fault, FaultKind, Limit, Login, Malformed, Refused, Target, Unsupported};
use crate::wire::Side;

/// A client that is turned away for want of room reads this before any key exchange: OpenSSH prints
/// it with its own words around it (RFC 4253 section 4.2 forbids a server's lines to begin with
/// `SSH-`, and lets it say others first).
pub fn turned_away() -> Vec<u8> {
    b"weir: too many connections\r\n".to_vec()
}

/// Why a command is refused.
pub(super) fn denied(reason: &Reason) -> String {
    match &*reason.rule {
        "" => format!("weir: denied: {}", reason.message),
        rule => format!("weir: denied by rule \"{rule}\": {}", reason.message),
    }
}

/// The same of a subsystem: rules for files alone do not let anybody begin.
pub(super) fn denied_start(reason: &Reason, is_sftp: bool) -> String {
    let words = denied(reason);
    match &*reason.rule {
        "" if is_sftp => format!(
            "{words}; SFTP begins with class `subsystem`, which a rule has to allow beside `sftp-*`"
        ),
        _ => words,
    }
}

/// A command waits.
pub(super) fn held(ask: &Ask) -> String {
    let id = uuid::Uuid::from_bytes(ask.id.0);
    let minutes = ask.terms.timeout_us() / 60_000_000;
    let time = match minutes {
        0 => format!("{}s", ask.terms.timeout_us() / 1_000_000),
        _ => format!("{minutes}m"),
    };
    format!(
        "weir: held for approval {id} (rule \"{}\": {}), {time} at most; Ctrl-C cancels",
        ask.terms.rule(),
        ask.terms.words()
    )
}

/// An operation on a file waits; the others go on.
pub(super) fn held_file(ask: &Ask, text: &[u8]) -> String {
    format!("{}: {}", held(ask), String::from_utf8_lossy(text))
}

/// The journal refused the row of a command.
pub(super) fn unrecorded(refused: Refused) -> String {
    let why = match refused {
        Refused::Full => "the journal is full",
        Refused::Disk => "the journal's disk fails",
        Refused::TooLarge => "the command is too long for the journal",
    };
    format!("weir: not forwarded: {why}")
}

/// The reason code and words of the DISCONNECT that ends a session.
pub(super) fn fault(fault: &Fault) -> (u32, &'static str) {
    /// RFC 4253 section 11.1.
    const PROTOCOL_ERROR: u32 = 2;
    const HOST_NOT_VERIFIABLE: u32 = 9;
    const BY_APPLICATION: u32 = 11;
    const TOO_MANY_CONNECTIONS: u32 = 12;
    const NO_MORE_METHODS: u32 = 14;
    match fault.kind {
        FaultKind::Malformed(Malformed::Truncated) => (PROTOCOL_ERROR, "weir: connection cut"),
        FaultKind::Malformed(_) => (PROTOCOL_ERROR, "weir: protocol error"),
        FaultKind::Unsupported(Unsupported::Authentication) => {
            (BY_APPLICATION, "weir: the target takes no way to log in that weir has")
        }
        FaultKind::Unsupported(Unsupported::ProtocolVersion) if fault.side == Side::Server => {
            (BY_APPLICATION, "weir: the target does not speak SSH 2.0")
        }
        FaultKind::Unsupported(Unsupported::ProtocolVersion) => {
            (PROTOCOL_ERROR, "weir: SSH 2.0 is spoken here")
        }
        FaultKind::Unsupported(Unsupported::StrictKex) if fault.side == Side::Server => {
            (BY_APPLICATION, "weir: the target has no strict key exchange")
        }
        FaultKind::Unsupported(Unsupported::StrictKex) => {
            (PROTOCOL_ERROR, "weir: strict key exchange is required here")
        }
        FaultKind::Unsupported(_) if fault.side == Side::Server => {
            (BY_APPLICATION, "weir: no algorithm in common with the target")
        }
        FaultKind::Unsupported(_) => (PROTOCOL_ERROR, "weir: no algorithm in common"),
        FaultKind::Limit(Limit::LoginTime) => (BY_APPLICATION, "weir: the login took too long"),
        FaultKind::Limit(Limit::Sessions) => (TOO_MANY_CONNECTIONS, "weir: too many connections"),
        FaultKind::Limit(_) => (BY_APPLICATION, "weir: too much at a time"),
        FaultKind::Login(Login::KeyRemoved) => {
            (BY_APPLICATION, "weir: the key that opened this connection was taken away")
        }
        FaultKind::Login(Login::CertificateOver) => {
            (BY_APPLICATION, "weir: the certificate that opened this connection is over or revoked")
        }
        FaultKind::Login(Login::Token(_)) => {
            (BY_APPLICATION, "weir: the token that opened this connection is over")
        }
        FaultKind::Login(kind) => (NO_MORE_METHODS, login(kind)),
        FaultKind::Target(Target::HostKey) => {
            (HOST_NOT_VERIFIABLE, "weir: the target's host key is not the configured one")
        }
        FaultKind::Target(kind) => (BY_APPLICATION, target(kind)),
        FaultKind::Record(_) => (BY_APPLICATION, "weir: the session cannot be recorded"),
        FaultKind::Terminate => (BY_APPLICATION, "weir: closed"),
        FaultKind::Drain => (BY_APPLICATION, "weir: shutting down"),
        FaultKind::Killed => (BY_APPLICATION, "weir: ended by an administrator"),
        FaultKind::Internal => (BY_APPLICATION, "weir: internal error"),
    }
}

const fn login(kind: Login) -> &'static str {
    match kind {
        Login::UnknownTarget => "weir: unknown target: log in as ROLE@TARGET",
        Login::NoRole => "weir: no role of this target is open to you",
        Login::RoleNotOpen => "weir: this role of the target is not open to you",
        Login::TargetCredentials => "weir: the target refuses weir's credential",
        _ => "weir: too many authentication failures",
    }
}

const fn target(kind: Target) -> &'static str {
    match kind {
        Target::Resolve => "weir: the target's name does not resolve",
        Target::Connect => "weir: the target refuses connections",
        Target::Timeout => "weir: the target did not answer in time",
        Target::Closed => "weir: the target closed the connection",
        _ => "weir: the target cannot be used",
    }
}
