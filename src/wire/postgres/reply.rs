//! How weir speaks PostgreSQL: the messages it says itself.
//!
//! In: what to say. Out: message bytes. Never: text of a peer that was not masked before.

use crate::fault::{
    Fault, FaultKind, Limit, Login, Malformed, Refused, Target, Token, Unsupported,
};

/// Appends a message: tag, length, and the body that `body` writes.
pub fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - start) as u32;
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    // A zero byte inside would end the string early and shift every field behind it.
    out.extend(text.iter().filter(|&&byte| byte != 0));
    out.push(0);
}

/// What an ErrorResponse or NoticeResponse says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report<'t> {
    /// `FATAL`, `ERROR`, `NOTICE`.
    pub severity: &'t str,
    /// SQLSTATE.
    pub sqlstate: &'t str,
    /// Message.
    pub message: &'t str,
    /// Detail, if not empty.
    pub detail: &'t str,
    /// Hint, if not empty.
    pub hint: &'t str,
}

fn report(out: &mut Vec<u8>, tag: u8, report: &Report<'_>) {
    let fields = [
        (b'S', report.severity),
        (b'V', report.severity),
        (b'C', report.sqlstate),
        (b'M', report.message),
        (b'D', report.detail),
        (b'H', report.hint),
    ];
    message(out, tag, |out| {
        for (code, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.push(code);
            cstr(out, text.as_bytes());
        }
        out.push(0);
    });
}

/// An ErrorResponse.
pub fn error(out: &mut Vec<u8>, text: &Report<'_>) {
    report(out, b'E', text);
}

/// A NoticeResponse.
pub fn notice(out: &mut Vec<u8>, text: &Report<'_>) {
    report(out, b'N', text);
}

/// AuthenticationSASL offering the mechanisms.
pub fn auth_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    message(out, b'R', |out| {
        out.extend_from_slice(&10u32.to_be_bytes());
        for mechanism in mechanisms {
            cstr(out, mechanism.as_bytes());
        }
        out.push(0);
    });
}

/// AuthenticationSASLContinue (11) or AuthenticationSASLFinal (12) with its data.
pub fn auth_sasl_data(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    message(out, b'R', |out| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// AuthenticationCleartextPassword.
pub fn auth_cleartext(out: &mut Vec<u8>) {
    auth_sasl_data(out, 3, &[]);
}

/// AuthenticationOk.
pub fn auth_ok(out: &mut Vec<u8>) {
    auth_sasl_data(out, 0, &[]);
}

/// NegotiateProtocolVersion: the newest minor version, and the options weir does not know.
pub fn negotiate(out: &mut Vec<u8>, minor: u16, unknown: &[&[u8]]) {
    message(out, b'v', |out| {
        out.extend_from_slice(&(0x0003_0000 | u32::from(minor)).to_be_bytes());
        out.extend_from_slice(&(unknown.len() as u32).to_be_bytes());
        for option in unknown {
            cstr(out, option);
        }
    });
}

/// A StartupMessage of this minor version of protocol 3.
pub fn startup<'p>(
    out: &mut Vec<u8>,
    minor: u16,
    params: impl Iterator<Item = (&'p [u8], &'p [u8])>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(0x0003_0000 | u32::from(minor)).to_be_bytes());
    for (name, value) in params {
        cstr(out, name);
        cstr(out, value);
    }
    out.push(0);
    let length = (out.len() - start) as u32;
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// A `p` message: password or SASL data.
pub fn password(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'p', |out| out.extend_from_slice(data));
}

/// A Query.
pub fn query(out: &mut Vec<u8>, text: &str) {
    message(out, b'Q', |out| cstr(out, text.as_bytes()));
}

/// Describe of a portal.
pub fn describe_portal(out: &mut Vec<u8>, portal: &[u8]) {
    message(out, b'D', |out| {
        out.push(b'P');
        cstr(out, portal);
    });
}

/// Text that no server can parse. Sent in place of a refused command, it makes the target fail at
/// just that place: an open transaction is aborted, a pipeline is skipped to its Sync, and the
/// replies stay in step. The target's own error is swallowed and weir's is given instead.
const REFUSED_TEXT: &str = "weir refused this command";

/// What goes to the target in place of a refused Query or FunctionCall.
pub fn refused_query(out: &mut Vec<u8>) {
    query(out, REFUSED_TEXT);
}

/// What goes to the target in place of a refused Parse, Bind or Execute. It is named so that the
/// client's unnamed statement stays as it is.
pub fn refused_parse(out: &mut Vec<u8>) {
    message(out, b'P', |out| {
        cstr(out, REFUSED_TEXT.as_bytes());
        cstr(out, REFUSED_TEXT.as_bytes());
        out.extend_from_slice(&0u16.to_be_bytes());
    });
}

/// SQLSTATE, message and hint for a fault. Total, and the only place where faults become words.
pub fn words(fault: &Fault) -> (&'static str, &'static str, &'static str) {
    match fault.kind {
        FaultKind::Malformed(kind) => ("08P01", malformed(kind), ""),
        FaultKind::Unsupported(kind) => unsupported(kind),
        FaultKind::Limit(kind) => limit(kind),
        FaultKind::Login(kind) => login(kind),
        FaultKind::Target(kind) => target(kind),
        FaultKind::Record(kind) => refused(kind),
        FaultKind::Terminate => ("57P01", "the connection was closed", ""),
        FaultKind::Drain => {
            ("57P01", "weir is shutting down", "Connect again; another gateway may serve you.")
        }
        FaultKind::Killed => ("57P01", "the session was ended by an administrator of weir", ""),
        FaultKind::Internal => ("XX000", "weir ended this session after an internal error", ""),
    }
}

const fn malformed(kind: Malformed) -> &'static str {
    match kind {
        Malformed::StartupLength => "invalid length of startup packet",
        Malformed::StartupContent => "invalid startup packet layout",
        Malformed::MessageLength => "invalid message length",
        Malformed::MessageType => "unexpected message type",
        Malformed::MessageBody => "invalid message format",
        Malformed::BytesBeforeTls => "received unencrypted data after SSL request",
        Malformed::Tls => "TLS failed",
        Malformed::Truncated => "the connection ended inside a message",
        Malformed::Packet => "invalid packet",
        Malformed::Contradiction => "the target is not as its earlier answers say",
    }
}

const fn unsupported(kind: Unsupported) -> (&'static str, &'static str, &'static str) {
    match kind {
        Unsupported::ProtocolVersion => {
            ("0A000", "unsupported frontend protocol: weir speaks 3.0 to 3.2", "")
        }
        Unsupported::MaskedReplication => (
            "0A000",
            "columns of this target are masked for you, and a replication stream cannot be masked",
            "Ask for a group that the masks except.",
        ),
        Unsupported::ReplicationValue => (
            "22023",
            "invalid value for parameter \"replication\"",
            "Valid values are: \"false\", 0, \"true\", 1, \"database\".",
        ),
        Unsupported::Authentication => (
            "28000",
            "the target asks for an authentication method that weir does not have",
            "Use scram-sha-256, md5 or password for weir's role in the target's pg_hba.conf.",
        ),
        Unsupported::ChannelBinding => (
            "28000",
            "the target does not offer channel binding, which its configuration in weir asks for",
            "Use scram-sha-256 over TLS at the target, or set channel_binding = \"prefer\" for it.",
        ),
        Unsupported::PlaintextPassword => (
            "28000",
            "the target asks for the password in clear on a connection that is not encrypted",
            "Use scram-sha-256 or TLS at the target.",
        ),
        Unsupported::TlsRequired => (
            "08001",
            "the target does not offer TLS, which its configuration in weir asks for",
            "Enable ssl at the target, or set tls = \"disable\" for it.",
        ),
        Unsupported::PlaintextClient => (
            "28000",
            "this gateway accepts TLS connections only",
            "Connect with sslmode=require or stronger.",
        ),
        Unsupported::Algorithms => ("08001", "no algorithm that both sides have", ""),
        Unsupported::StrictKex => ("08001", "no strict key exchange", ""),
    }
}

const fn limit(kind: Limit) -> (&'static str, &'static str, &'static str) {
    match kind {
        Limit::LoginTime => ("57P05", "canceling authentication due to timeout", ""),
        Limit::MessageBytes => (
            "54000",
            "the message is larger than weir holds",
            "Commands may have 60 MiB of text, less while others are as large; send data as \
             parameters or by COPY.",
        ),
        Limit::Statements => (
            "54000",
            "too many or too large prepared statements or portals in this session",
            "Close the ones that are no longer needed.",
        ),
        Limit::Sessions => ("53300", "too many connections at weir", ""),
        Limit::Requests => ("53400", "too many requests at a time", ""),
        Limit::Unread => ("57014", "nothing of an answer was read for too long", ""),
    }
}

const fn login(kind: Login) -> (&'static str, &'static str, &'static str) {
    match kind {
        Login::NoUser => ("28000", "no PostgreSQL user name specified in startup packet", ""),
        Login::Credentials => ("28P01", "password authentication failed", ""),
        Login::Throttled => (
            "53400",
            "too many failed logins of this user from your network",
            "Wait a minute, then try again.",
        ),
        Login::Sasl => ("08P01", "malformed SASL message", ""),
        Login::UnknownTarget => (
            "3D000",
            "weir has no target of this name",
            "The database in the connection string names the target.",
        ),
        Login::NoRole => (
            "28000",
            "no credential of the target is open to your groups",
            "Ask for a [[target.credential]] that lists one of your groups.",
        ),
        Login::RoleNotOpen => (
            "28000",
            "the role you ask for is not open to your groups",
            "Connect as another user, or as yourself for the role that is yours by default.",
        ),
        Login::Certificate => (
            "28000",
            "the client's certificate is missing, not trusted, expired or revoked",
            "Ask for a certificate of an authority that weir's client_ca names.",
        ),
        Login::ChannelBinding => (
            "28000",
            "SCRAM channel binding check failed",
            "Somebody between the client and weir speaks TLS with a certificate that is not weir's.",
        ),
        Login::Downgrade => (
            "28000",
            "the client supports SCRAM channel binding but thinks the server does not",
            "Somebody between the client and weir may have changed the list of mechanisms.",
        ),
        Login::Token(kind) => token(kind),
        Login::Settings => (
            "42501",
            "no rule of weir allows you the settings you want to begin with",
            "Leave out `role`, `search_path` and the like in the connection string or `options`.",
        ),
        Login::KeyRemoved | Login::CertificateOver => {
            ("28000", "what opened the connection is not valid any more", "Log in again.")
        }
        Login::TargetCredentials => (
            "28000",
            "the target refused weir's own credential",
            "An operator has to correct the [[target.credential]] in weir.",
        ),
    }
}

/// One SQLSTATE for all: the password was not wrong, the authorization was.
const fn token(kind: Token) -> (&'static str, &'static str, &'static str) {
    let (message, hint) = match kind {
        Token::Discovery => ("a token is needed to log in", NEW_TOKEN),
        Token::Plaintext => (
            "this user logs in with a token, and a token is taken over TLS only",
            "Connect with sslmode=require or stronger, or check the user's name.",
        ),
        Token::Size => ("the token is larger than weir takes", "Have fewer claims put into it."),
        Token::Malformed => (
            "this user has no password in weir, and what was given is no token",
            "Check the user's name, or give a token as the password: `weir login` prints one.",
        ),
        Token::Algorithm => (
            "the token is signed by an algorithm that weir does not take from its issuer",
            "An operator can see which in `algorithms` of [[identity.oidc]] in weir.",
        ),
        Token::Kind => (
            "the token is not one to log in with",
            "Give an access token or an ID token that expires.",
        ),
        Token::Issuer => (
            "the token is of an issuer that weir does not know",
            "Get one from the issuer that an operator has set in [[identity.oidc]].",
        ),
        Token::NoKeys => (
            "weir could not read the keys of the token's issuer yet",
            "Try again in a moment; an operator finds the reason in `weir status`.",
        ),
        Token::Key => ("the token is signed by a key that its issuer does not publish", NEW_TOKEN),
        Token::Signature => ("the token's signature is wrong", NEW_TOKEN),
        Token::Audience => (
            "the token is meant for somebody else",
            "Get one for the audience that an operator has set in [[identity.oidc]].",
        ),
        Token::Expired => ("the token has expired", NEW_TOKEN),
        Token::NotYet => (
            "the token is not valid yet",
            "The clocks of weir and of the token's issuer differ, or it was made for later.",
        ),
        Token::Bound => (
            "the token is bound to a key that this protocol cannot show",
            "Get a plain bearer token, without DPoP or a client certificate.",
        ),
        Token::Claims => (
            "the token lacks a claim that weir asks for",
            "An operator has set which in `required_claims` of [[identity.oidc]].",
        ),
        Token::Identity => (
            "the token does not say who you are",
            "An operator has to compare the claims in [[identity.oidc]] with those of a token.",
        ),
        Token::NameTaken => (
            "the token's name is that of a user with a password in weir",
            "An operator has to rename one of the two.",
        ),
        Token::Revoked => (
            "the API token is revoked, or weir never made it",
            "An administrator makes a new one: `weir token create`.",
        ),
        Token::Owner => (
            "the API token is of another user than the one it was given for",
            "Connect as the token's own user, or as the role at the target.",
        ),
    };
    ("28000", message, hint)
}

const NEW_TOKEN: &str = "Get a new token: `weir login` does.";

const fn target(kind: Target) -> (&'static str, &'static str, &'static str) {
    match kind {
        Target::Resolve => ("08001", "the target's name does not resolve", ""),
        Target::Connect => ("08001", "the target refuses connections", "Is the server running?"),
        Target::Timeout => ("08001", "the target did not answer in time", ""),
        Target::Closed => ("08006", "the target closed the connection", ""),
        Target::Certificate(why) => {
            ("08001", why.words(), "Check root_certificates and the name in the certificate.")
        }
        Target::Tls => ("08001", "TLS with the target did not come about", ""),
        Target::HostKey => ("08001", "the target's host key is not the configured one", ""),
        Target::Credentials => ("28000", "the target refused weir's own credential", ""),
        Target::Starting => ("57P03", "the target does not accept connections now", ""),
        Target::ReadOnly => (
            "08001",
            "no server of the target has target_session_attrs=read-write: session is read-only",
            "Is the primary among the target's addresses, and running?",
        ),
        Target::NotReadOnly => (
            "08001",
            "no server of the target has target_session_attrs=read-only: session is not read-only",
            "Is a standby among the target's addresses, and running?",
        ),
        Target::HotStandby => (
            "08001",
            "no server of the target has target_session_attrs=primary: \
             server is in hot standby mode",
            "Is the primary among the target's addresses, and running?",
        ),
        Target::NotStandby => (
            "08001",
            "no server of the target has target_session_attrs=standby: \
             server is not in hot standby mode",
            "Is a standby among the target's addresses, and running?",
        ),
        Target::Unclear => (
            "08001",
            "no server of the target says whether it fits target_session_attrs",
            "weir asks them for transaction_read_only or pg_is_in_recovery().",
        ),
    }
}

const fn refused(kind: Refused) -> (&'static str, &'static str, &'static str) {
    match kind {
        Refused::Full => (
            "53100",
            "weir cannot record this command: its journal has no space",
            "Free space in weir's data directory; the command was not sent.",
        ),
        Refused::Disk => (
            "58030",
            "weir cannot record this command: its journal's disk failed",
            "The command was not sent.",
        ),
        Refused::TooLarge => (
            "54000",
            "weir cannot record this command: it is larger than a segment of its journal",
            "Send data as parameters or by COPY, or raise `segment` in [journal] to the default.",
        ),
    }
}

/// PostgreSQL's own words for a wrong password (auth.c, `auth_failed`), alike for a name that
/// nobody has. The name is the client's own, cut where the server cuts it (NAMEDATALEN).
pub fn wrong_password(out: &mut Vec<u8>, user: &str) {
    let (sqlstate, message, hint) = login(Login::Credentials);
    let mut end = user.len().min(63);
    while !user.is_char_boundary(end) {
        end -= 1;
    }
    let is_shown = |character: char| if character.is_control() { '?' } else { character };
    let user: String = user[..end].chars().map(is_shown).collect();
    let message = format!("{message} for user \"{user}\"");
    error(out, &Report { severity: "FATAL", sqlstate, message: &message, detail: "", hint });
}

/// A fault as an ErrorResponse of this severity.
pub fn fault(out: &mut Vec<u8>, severity: &str, fault: &Fault) {
    let (sqlstate, message, hint) = words(fault);
    error(out, &Report { severity, sqlstate, message, hint, ..Report::default() });
}
