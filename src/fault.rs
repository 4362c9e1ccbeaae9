//! The only error of the data plane: who is to blame, and for what.

use crate::wire::Side;

/// What went wrong in a session, and on whose side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The peer that is to blame, or at whose leg it happened.
    pub side: Side,
    /// What happened.
    pub kind: FaultKind,
}

/// Kinds of faults, by blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Bytes that are not the protocol.
    Malformed(Malformed),
    /// Correct bytes that ask for what weir does not do.
    Unsupported(Unsupported),
    /// A bound of `limits` was met.
    Limit(Limit),
    /// The peer did not prove who it is, or weir could not log in.
    Login(Login),
    /// The target cannot be reached.
    Target(Target),
    /// The journal refused an entry.
    Record(Refused),
    /// The client said goodbye, or closed the connection between two messages.
    Terminate,
    /// weir is shutting down.
    Drain,
    /// The session was ended by an administrator.
    Killed,
    /// A bug of weir: a panic caught at the session's edge.
    Internal,
}

/// Bytes that are not the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The length of a start-up packet is impossible.
    StartupLength,
    /// The content of a start-up packet is not key/value strings.
    StartupContent,
    /// The length field of a message is below four or above the limit of its type.
    MessageLength,
    /// A message type that this side may not send in this state.
    MessageType,
    /// The body of a message does not have its type's shape.
    MessageBody,
    /// Bytes arrived in clear between a TLS request and the handshake (CVE-2021-23222).
    BytesBeforeTls,
    /// The TLS peer broke the handshake or a record.
    Tls,
    /// The connection ended inside a message.
    Truncated,
    /// A sealed packet is not what the peer's key sealed, or a key exchange goes wrong (SSH).
    Packet,
    /// What a target says cannot be if it is as its earlier answers say.
    Contradiction,
}

/// Correct bytes that ask for what weir does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A protocol major version other than 3.
    ProtocolVersion,
    /// A replication connection of somebody for whom columns of the target are masked.
    MaskedReplication,
    /// `replication` of the start-up packet is none of its values.
    ReplicationValue,
    /// An authentication method of the target.
    Authentication,
    /// The target does not bind its login to the TLS connection, which its configuration asks for.
    ChannelBinding,
    /// The target asks for the password in clear on a connection that is not encrypted.
    PlaintextPassword,
    /// The target's TLS policy asks for what the target does not offer.
    TlsRequired,
    /// The listener wants TLS and the client did not ask for it.
    PlaintextClient,
    /// No algorithm that both sides have (SSH).
    Algorithms,
    /// The peer lacks strict key exchange, which the configuration asks for (SSH).
    StrictKex,
}

/// A bound of `limits` was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The login took too long.
    LoginTime,
    /// A message must be held whole and is too large.
    MessageBytes,
    /// Too many prepared statements or portals.
    Statements,
    /// Too many connections.
    Sessions,
    /// More requests at a time than a peer may make (SSH).
    Requests,
    /// A client took nothing of its answer for too long (HTTP).
    Unread,
}

/// The peer did not prove who it is, or weir could not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The start-up packet names no user.
    NoUser,
    /// Unknown user or wrong password; deliberately one value.
    Credentials,
    /// So many passwords were wrong that no further one is looked at for a while.
    Throttled,
    /// The SASL exchange is malformed.
    Sasl,
    /// The start-up packet names no known target.
    UnknownTarget,
    /// The identity has no role at the target.
    NoRole,
    /// The role that the client asked for is not open to its groups.
    RoleNotOpen,
    /// The client's certificate is missing, not trusted, expired or revoked.
    Certificate,
    /// The client bound the login to another channel than this one.
    ChannelBinding,
    /// The client could bind the login to the channel and was told otherwise by somebody.
    Downgrade,
    /// The client's token was not taken.
    Token(Token),
    /// No rule allows the settings that the client wants to begin with.
    Settings,
    /// The target refused weir's own credential.
    TargetCredentials,
    /// The key that opened the connection is nobody's any more.
    KeyRemoved,
    /// The certificate that opened the connection is over, taken back, or of no CA any more.
    CertificateOver,
}

/// What is wrong with a client's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// None was given: the client asked where tokens come from (OAUTHBEARER).
    Discovery,
    /// The connection is in clear, so weir does not ask for it.
    Plaintext,
    /// It is longer than `limits::TOKEN_BYTES_MAX`.
    Size,
    /// It is not a signed JSON Web Token.
    Malformed,
    /// It is signed by an algorithm that its issuer's tokens may not have, or with a key of
    /// another kind; `none` and HMAC are such algorithms.
    Algorithm,
    /// It is a token for something else than a login, or says that it must be understood in a way
    /// that weir does not know.
    Kind,
    /// No issuer of the configuration made it.
    Issuer,
    /// The keys of its issuer could not be read so far.
    NoKeys,
    /// Its issuer publishes no key of this id.
    Key,
    /// The signature is wrong.
    Signature,
    /// It is for somebody else than weir.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It is bound to a key whose possession this protocol cannot prove.
    Bound,
    /// A claim that the configuration asks for is missing or has another value.
    Claims,
    /// It does not say who its bearer is in the way the configuration asks for.
    Identity,
    /// Its bearer has the name of a user of the configuration.
    NameTaken,
    /// It is no API token of weir: never made, revoked, or of a user who is gone.
    Revoked,
    /// It is an API token of another user than the one it was given for.
    Owner,
}

/// The target cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its name does not resolve.
    Resolve,
    /// It refuses the connection.
    Connect,
    /// It did not answer in time.
    Timeout,
    /// It closed the connection.
    Closed,
    /// Its certificate cannot be verified.
    Certificate(Untrusted),
    /// TLS with it did not come about, or not with the protocol that weir speaks with it.
    Tls,
    /// Its host key is not the one of the configuration (SSH).
    HostKey,
    /// It refuses what weir proves itself with.
    Credentials,
    /// Its server does not accept sessions yet, or no longer.
    Starting,
    /// None of its servers is read-write.
    ReadOnly,
    /// None of its servers is read-only.
    NotReadOnly,
    /// None of its servers is a primary.
    HotStandby,
    /// None of its servers is a standby.
    NotStandby,
    /// Its server does not say which of these it is.
    Unclear,
}

/// Why a target's certificate cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// It is of an authority that is not among the roots.
    Issuer,
    /// It is of another name.
    Name,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    Early,
    /// It was revoked.
    Revoked,
    /// It is wrong in another way.
    Other,
}

impl Untrusted {
    /// A sentence about the target.
    pub const fn words(self) -> &'static str {
        match self {
            Untrusted::Issuer => {
                "the target's certificate is of an authority that is not in root_certificates"
            }
            Untrusted::Name => "the target's certificate is of another name than its address",
            Untrusted::Expired => "the target's certificate has expired",
            Untrusted::Early => "the target's certificate is not valid yet",
            Untrusted::Revoked => "the target's certificate was revoked",
            Untrusted::Other => "the target's certificate cannot be verified",
        }
    }
}

impl Target {
    /// Whether a server answered and is not one of those that `target_session_attrs` asks for.
    pub const fn is_misfit(self) -> bool {
        match self {
            Target::ReadOnly
            | Target::NotReadOnly
            | Target::HotStandby
            | Target::NotStandby
            | Target::Unclear => true,
            Target::Resolve
            | Target::Connect
            | Target::Timeout
            | Target::Closed
            | Target::Certificate(_)
            | Target::Tls
            | Target::HostKey
            | Target::Credentials
            | Target::Starting => false,
        }
    }
}

/// Why the journal refused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No segment is free: the disk is full or the sealer is behind.
    Full,
    /// The disk returned an error; the segment is poisoned.
    Disk,
    /// The entry is larger than `limits::ENTRY_BYTES_MAX`.
    TooLarge,
}

impl Fault {
    /// A fault on `side`.
    pub const fn new(side: Side, kind: FaultKind) -> Fault {
        Fault { side, kind }
    }

    /// What it says of the target to others who want to connect to it, beside failed attempts to.
    pub fn of_target(&self) -> Option<Target> {
        let refused = self.kind == FaultKind::Login(Login::TargetCredentials);
        refused.then_some(Target::Credentials)
    }

    /// Whether TLS with a client could not begin, or broke.
    pub fn is_of_tls(&self) -> bool {
        self.side == Side::Client
            && matches!(
                self.kind,
                FaultKind::Malformed(Malformed::Tls)
                    | FaultKind::Login(Login::Certificate)
                    | FaultKind::Unsupported(Unsupported::PlaintextClient)
            )
    }

    /// Whether the connection ends without a word, as PostgreSQL ends it: the client has left, or
    /// what it sends has no more boundaries (elog.h, `COMMERROR`: for the log alone).
    pub fn is_silent(&self) -> bool {
        match self.kind {
            FaultKind::Terminate => true,
            FaultKind::Malformed(
                Malformed::StartupLength | Malformed::MessageLength | Malformed::Truncated,
            ) => self.side == Side::Client,
            _ => false,
        }
    }

    /// A fixed word for metrics and records.
    pub const fn label(&self) -> &'static str {
        match self.kind {
            FaultKind::Malformed(m) => match m {
                Malformed::StartupLength => "startup-length",
                Malformed::StartupContent => "startup-content",
                Malformed::MessageLength => "message-length",
                Malformed::MessageType => "message-type",
                Malformed::MessageBody => "message-body",
                Malformed::BytesBeforeTls => "bytes-before-tls",
                Malformed::Tls => "tls",
                Malformed::Truncated => "truncated",
                Malformed::Packet => "packet",
                Malformed::Contradiction => "contradiction",
            },
            FaultKind::Unsupported(u) => match u {
                Unsupported::ProtocolVersion => "protocol-version",
                Unsupported::MaskedReplication => "masked-replication",
                Unsupported::ReplicationValue => "replication-value",
                Unsupported::Authentication => "target-authentication",
                Unsupported::ChannelBinding => "target-channel-binding",
                Unsupported::PlaintextPassword => "target-plaintext-password",
                Unsupported::TlsRequired => "target-tls-required",
                Unsupported::PlaintextClient => "plaintext-client",
                Unsupported::Algorithms => "algorithms",
                Unsupported::StrictKex => "strict-kex",
            },
            FaultKind::Limit(l) => match l {
                Limit::LoginTime => "login-time",
                Limit::MessageBytes => "message-bytes",
                Limit::Statements => "statements",
                Limit::Sessions => "sessions",
                Limit::Requests => "requests",
                Limit::Unread => "client-reads-nothing",
            },
            FaultKind::Login(l) => match l {
                Login::NoUser => "no-user",
                Login::Credentials => "credentials",
                Login::Sasl => "sasl",
                Login::UnknownTarget => "unknown-target",
                Login::NoRole => "no-role",
                Login::RoleNotOpen => "role-not-open",
                Login::Certificate => "client-certificate",
                Login::ChannelBinding => "channel-binding",
                Login::Throttled => "login-throttled",
                Login::Downgrade => "channel-binding-downgrade",
                Login::Token(token) => token.label(),
                Login::Settings => "startup-settings",
                Login::TargetCredentials => "target-credentials",
                Login::KeyRemoved => "key-removed",
                Login::CertificateOver => "certificate-over",
            },
            FaultKind::Target(target) => target.label(),
            FaultKind::Record(r) => match r {
                Refused::Full => "journal-full",
                Refused::Disk => "journal-disk",
                Refused::TooLarge => "journal-entry-size",
            },
            FaultKind::Terminate => "client-terminate",
            FaultKind::Drain => "drain",
            FaultKind::Killed => "killed",
            FaultKind::Internal => "internal",
        }
    }
}

impl Target {
    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Target::Resolve => "target-resolve",
            Target::Connect => "target-connect",
            Target::Timeout => "target-timeout",
            Target::Closed => "target-closed",
            Target::Certificate(_) => "target-certificate",
            Target::Tls => "target-tls",
            Target::HostKey => "target-host-key",
            Target::Credentials => "target-credentials",
            Target::Starting => "target-starting",
            Target::ReadOnly => "target-read-only",
            Target::NotReadOnly => "target-not-read-only",
            Target::HotStandby => "target-hot-standby",
            Target::NotStandby => "target-not-standby",
            Target::Unclear => "target-unclear",
        }
    }
}

impl Token {
    const fn label(self) -> &'static str {
        match self {
            Token::Discovery => "token-discovery",
            Token::Plaintext => "token-plaintext",
            Token::Size => "token-size",
            Token::Malformed => "token-malformed",
            Token::Algorithm => "token-algorithm",
            Token::Kind => "token-kind",
            Token::Issuer => "token-issuer",
            Token::NoKeys => "token-no-keys",
            Token::Key => "token-key",
            Token::Signature => "token-signature",
            Token::Audience => "token-audience",
            Token::Expired => "token-expired",
            Token::NotYet => "token-not-yet",
            Token::Bound => "token-bound",
            Token::Claims => "token-claims",
            Token::Identity => "token-identity",
            Token::NameTaken => "token-name-taken",
            Token::Revoked => "token-revoked",
            Token::Owner => "token-owner",
        }
    }
}
