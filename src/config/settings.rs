//! Resolved settings: what the file means, every default filled in, every reference checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decide::http::Exception;
use crate::decide::{Commands, FactKind};
use crate::wire::Protocol;
use crate::wire::ssh::hosts::HostTrust;
use crate::wire::ssh::krl::Krl;
use crate::wire::ssh::signer::Signer;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where journal, lake and tokens live.
    pub data_dir: PathBuf,
    /// Name of this gateway in records; the host's if there is none.
    pub node: Option<String>,
    /// Shards; default one per core.
    pub shards: usize,
    /// Where clients connect, in the order of the file; the index is used everywhere.
    pub listeners: Vec<Listen>,
    /// The admin API's address; loopback unless the file says otherwise.
    pub admin: SocketAddr,
    /// Where people reach the admin API: the base of links. None: at its address.
    pub admin_url: Option<String>,
    /// Who answers commands that wait, and how they hear of them.
    pub approvals: ApprovalSettings,
    /// Journal segments.
    pub journal: JournalSettings,
    /// Sessions have so long to come to rest when weir ends.
    pub drain_us: u64,
    /// Targets, in the order of the file; the index is used everywhere.
    pub targets: Vec<Target>,
    /// Users of weir with SCRAM verifiers.
    pub users: Vec<User>,
    /// Issuers of tokens, in the order of the file.
    pub issuers: Vec<Issuer>,
    /// CAs of SSH clients, in the order of the file.
    pub ssh_authorities: Vec<SshAuthority>,
    /// Who the owners of client certificates are, in the order of the file.
    pub certificates: Vec<CertificateSpec>,
    /// Rules, in the order of the file.
    pub rules: Vec<RuleSpec>,
    /// Masks, in the order of the file.
    pub masks: Vec<MaskSpec>,
}

impl Settings {
    /// The first listener of a protocol.
    pub fn listener(&self, protocol: Protocol) -> Option<&Listen> {
        self.listeners.iter().find(|listen| listen.protocol == protocol)
    }

    /// Address of a listener as records have it; empty if there is none of this index.
    pub fn address_of(&self, listener: usize) -> String {
        self.listeners.get(listener).map(|listen| listen.address.to_string()).unwrap_or_default()
    }

    /// The files that TLS is made of.
    pub fn tls_files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = Vec::new();
        for tls in self.listeners.iter().filter_map(|listen| listen.tls.as_ref()) {
            let ListenTls { certificate, key, more, required: _, clients } = tls;
            files.extend([certificate.as_path(), key]);
            files.extend(more.iter().flat_map(|(certificate, key)| [certificate.as_path(), key]));
            let trust = clients.iter();
            files.extend(trust.clone().map(|trust| trust.authorities.as_path()));
            files.extend(trust.filter_map(|trust| trust.revoked.as_deref()));
        }
        for target in self.targets.iter().filter(|target| target.tls != TargetTls::Disable) {
            files.extend(target.root_certificates.as_deref());
            if let Some(KeyPair { certificate, key }) = &target.client_certificate {
                files.extend([certificate.as_path(), key]);
            }
        }
        files
    }

    /// Files that say which certificates of SSH are taken back.
    pub fn ssh_revocations(&self) -> Vec<&Path> {
        let authorities = self.ssh_authorities.iter();
        authorities.filter_map(|authority| authority.revoked_file.as_deref()).collect()
    }
}

/// A listener.
#[derive(Clone, Debug)]
pub struct Listen {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
    /// Keys of an SSH listener, in the order in which they are offered.
    pub host_keys: Vec<Arc<Signer>>,
    /// The one target of an SSH listener: names of its clients are roles.
    pub target: Option<String>,
    /// An SSH client without strict key exchange is refused where that could hide messages.
    pub strict_kex: bool,
    /// TLS towards clients, if configured.
    pub tls: Option<ListenTls>,
    /// When a silent client is given up.
    pub keepalive: KeepAlive,
    /// How many clients may be there that have not proven who they are.
    pub unproven: UnprovenMax,
}

/// When TCP gives a silent peer up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe, seconds.
    pub idle_s: u32,
    /// Between two probes, seconds.
    pub interval_s: u32,
    /// Probes without an answer that end the connection.
    pub count: u32,
    /// How long sent bytes may stay unacknowledged, milliseconds; `None` leaves it to the system.
    pub user_timeout_ms: Option<u32>,
}

impl KeepAlive {
    /// A peer that is gone is noticed after two minutes, before firewalls forget idle connections
    /// (mostly after five, AWS after six).
    pub const DEFAULT: KeepAlive =
        KeepAlive { idle_s: 60, interval_s: 15, count: 4, user_timeout_ms: None };
}

impl Default for KeepAlive {
    fn default() -> KeepAlive {
        KeepAlive::DEFAULT
    }
}

/// Bounds on clients that have not proven who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnprovenMax {
    /// From one address (one /64 network of IPv6).
    pub per_address: u32,
    /// From all; `None` is half of the sessions that the process has descriptors for.
    pub total: Option<u32>,
    /// New connections of SSH from one address in a second: each costs a key exchange.
    pub per_second: u32,
}

impl UnprovenMax {
    /// A host of pooled applications, or a NAT before many, reconnects all at once after a
    /// failover; a login takes some milliseconds.
    pub const DEFAULT: UnprovenMax =
        UnprovenMax { per_address: 1024, total: None, per_second: 100 };
}

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct ListenTls {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// Further pairs of the two, for clients that ask for a name which these have.
    pub more: Vec<(PathBuf, PathBuf)>,
    /// Refuse clients that do not ask for TLS.
    pub required: bool,
    /// How certificates of clients are verified, if they are asked for.
    pub clients: Option<ClientTrust>,
}

/// How certificates of clients are verified.
#[derive(Clone, Debug)]
pub struct ClientTrust {
    /// PEM roots.
    pub authorities: PathBuf,
    /// PEM revocation lists.
    pub revoked: Option<PathBuf>,
    /// Refuse clients without a certificate.
    pub required: bool,
}

/// Journal segments.
#[derive(Clone, Debug)]
pub struct JournalSettings {
    /// Size of a segment.
    pub segment_bytes: u64,
    /// A segment with entries is sealed at the latest after this time.
    pub seal_after_us: u64,
    /// What is written is on the disk after this time at the latest: the most that a power cut
    /// takes in `write` mode.
    pub flush_us: u64,
    /// Answers wait so long for room in the journal before their sessions end.
    pub answer_wait_us: u64,
}

/// How safe a record is before what it describes happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk.
    Sync,
    /// In the kernel's hands: survives the process, not the power.
    Write,
}

/// What is kept of what is typed, piped and uploaded over SSH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// How much it was and when; of files the digest.
    #[default]
    Counted,
    /// The bytes, as far as `capture` goes: whatever is typed is readable, passwords among it.
    Plain,
}

/// How much of an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Nothing but counts and outcome.
    Summary,
    /// The first bytes.
    Head(u64),
    /// All of it.
    Full,
}

impl Capture {
    /// Bytes of an answer to keep.
    pub const fn bytes(self) -> u64 {
        match self {
            Capture::Summary => 0,
            Capture::Head(bytes) => bytes,
            Capture::Full => u64::MAX,
        }
    }
}

/// TLS towards a target, as libpq names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTls {
    /// Never.
    Disable,
    /// If the target offers it, unverified.
    Prefer,
    /// Always, unverified.
    Require,
    /// Always, chain verified.
    VerifyCa,
    /// Always, chain and name verified.
    VerifyFull,
}

/// How TLS with a target begins, as libpq's `sslnegotiation` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsNegotiation {
    /// With an SSLRequest.
    Postgres,
    /// At once (PostgreSQL 17).
    Direct,
}

/// Which servers of a target may be used, as libpq's `target_session_attrs` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAttrs {
    /// All.
    Any,
    /// Sessions can write.
    ReadWrite,
    /// Sessions cannot.
    ReadOnly,
    /// Not in hot standby mode.
    Primary,
    /// In hot standby mode.
    Standby,
    /// In hot standby mode if there is one, else any.
    PreferStandby,
}

impl SessionAttrs {
    /// The words of libpq.
    pub const NAMES: [(&str, SessionAttrs); 6] = [
        ("any", SessionAttrs::Any),
        ("read-write", SessionAttrs::ReadWrite),
        ("read-only", SessionAttrs::ReadOnly),
        ("primary", SessionAttrs::Primary),
        ("standby", SessionAttrs::Standby),
        ("prefer-standby", SessionAttrs::PreferStandby),
    ];

    /// The word.
    pub fn name(self) -> &'static str {
        let found = SessionAttrs::NAMES.iter().find(|(_, attrs)| *attrs == self);
        found.map_or("any", |(name, _)| name)
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// A server of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; what its certificate is verified for.
    pub name: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// How the servers of a target are reached, and which of them are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Servers in the order in which they are tried; at least one.
    pub hosts: Vec<Host>,
    /// They are tried in another order each time (libpq: `load_balance_hosts=random`).
    pub shuffled: bool,
    /// Which of them may be used.
    pub attrs: SessionAttrs,
    /// From the first packet to the end of the login, for each address; `None`: all addresses
    /// together have `limits::DIAL_TIMEOUT_US`.
    pub connect_timeout_us: Option<u64>,
    /// When a silent server is given up.
    pub keepalive: KeepAlive,
}

/// Whether weir's login is bound to the TLS connection (libpq: `channel_binding`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the target offers it.
    Prefer,
    /// A target that does not offer it is refused.
    Require,
}

/// A server, or several of one kind, that weir stands in front of.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it speaks.
    pub protocol: Protocol,
    /// What clients give as `dbname`.
    pub name: String,
    /// Its servers.
    pub reach: Reach,
    /// The database at the target; default the name.
    pub database: String,
    /// TLS mode.
    pub tls: TargetTls,
    /// How TLS begins.
    pub negotiation: TlsNegotiation,
    /// PEM roots for the verify modes.
    pub root_certificates: Option<PathBuf>,
    /// What weir shows to servers that ask for a certificate.
    pub client_certificate: Option<KeyPair>,
    /// Whether the login is bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Physical replication connections, which name no database, come here.
    pub replication: bool,
    /// When a record counts as written.
    pub durability: Durability,
    /// How much of answers is kept.
    pub capture: Capture,
    /// What is kept of an SSH client's input.
    pub input: Input,
    /// Host keys of an SSH target: the only ones that are trusted.
    pub host_keys: HostTrust,
    /// An SSH target without strict key exchange is refused where that could hide messages.
    pub strict_kex: bool,
    /// Credentials, in the order of the file: the first whose groups match is used.
    pub credentials: Vec<Credential>,
    /// What only targets of HTTP have.
    pub http: Option<HttpTarget>,
}

/// What the content of requests is to a target of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Anything.
    Http,
    /// Messages of MCP.
    Mcp,
    /// Objects of Kubernetes.
    Kubernetes,
}

/// How a target of HTTP is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// The host that clients ask for.
    pub host: String,
    /// The host and port of `address`.
    pub authority: String,
    /// The path of `address`, without a slash at its end.
    pub path: String,
    /// The target gets the client's `Host`, and not its own authority.
    pub sends_client_host: bool,
    /// It is reached by `https`.
    pub is_tls: bool,
    /// It is spoken to in HTTP/2.
    pub speaks_two: bool,
    /// What requests with content are.
    pub speaks: Speaks,
    /// How long the client of a held request waits before it is told to ask again.
    pub wait_us: u64,
    /// Content types that may pass although masks apply and cannot look into them; `*` for any
    /// characters.
    pub opaque: Vec<String>,
    /// Fields that clients may send although a target may take them for its proxy's word; `*` for
    /// any characters.
    pub client_fields: Vec<String>,
    /// Origins of pages that may ask by what browsers attach: `https://app.example.com`.
    pub origins: Vec<String>,
    /// Requests whose class their method does not say.
    pub exceptions: Vec<Exception>,
}

/// What weir logs in with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Role at the target.
    pub role: String,
    /// Password; empty if there is another proof.
    pub password: Secret,
    /// What an SSH target is shown instead of a password.
    pub proof: Option<SshProof>,
    /// A field of HTTP.
    pub header: Option<Header>,
    /// Groups that may use it; empty means everybody.
    pub groups: Vec<String>,
}

/// A CA whose certificates say who an SSH client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshAuthority {
    /// Its keys, as they stand in messages.
    pub keys: Vec<Vec<u8>>,
    /// Which name in the certificate is the identity.
    pub name: SshName,
    /// Groups of everybody it certifies.
    pub groups: Vec<String>,
    /// What it has taken back.
    pub revoked: Option<Arc<Krl>>,
    /// The file that says so.
    pub revoked_file: Option<PathBuf>,
}

/// A name in an OpenSSH certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshName {
    /// The key id.
    KeyId,
    /// The first principal.
    Principal,
}

/// What weir proves itself with at an SSH target.
#[derive(Clone, Debug)]
pub enum SshProof {
    /// A key.
    Key(Arc<Signer>),
    /// A certificate, made for each session by this CA.
    Authority {
        /// The CA's key.
        key: Arc<Signer>,
        /// How long a certificate is valid, seconds.
        ttl_s: u64,
        /// Where it is valid from, as `source-address` has it; empty is weir's own end of the
        /// connection.
        sources: String,
    },
}

/// A field that weir adds to what it sends to a target.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// A user of weir.
#[derive(Clone, Debug)]
pub struct User {
    /// Name.
    pub name: String,
    /// Verifier, made from the password at load if the file gives a password. A user with keys
    /// need not have one, nor one who has API tokens alone.
    pub verifier: Option<crate::identify::scram::Verifier>,
    /// SSH keys, as they stand in messages.
    pub keys: Vec<Vec<u8>>,
    /// Groups.
    pub groups: Vec<String>,
}

/// An issuer whose tokens say who a client is (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What its tokens must be.
    pub policy: crate::identify::token::Policy,
    /// What a client asks the issuer for, as OAUTHBEARER tells it.
    pub scope: String,
    /// Whom `weir login` says it is.
    pub client_id: Option<String>,
    /// PEM roots to verify the issuer with; `None` for one reached in clear on this machine.
    pub root_certificates: Option<PathBuf>,
    /// How people are asked for their token; the same for all issuers.
    pub login: TokenLogin,
}

/// How somebody without a password in weir is asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLogin {
    /// As a password, which every client can give.
    Password,
    /// By OAUTHBEARER, which libpq speaks since PostgreSQL 18.
    OauthBearer,
}

/// The owners of some client certificates.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Which name in the certificate is the identity.
    pub name: CertificateName,
    /// Patterns of that name; empty means any.
    pub matches: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// The organizational units of the subject are groups too.
    pub units_are_groups: bool,
}

/// A name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// Common name of the subject.
    Common,
    /// The whole subject.
    Distinguished,
    /// A DNS name among the alternative names.
    Dns,
    /// A mail address among the alternative names.
    Email,
    /// A URI among the alternative names.
    Uri,
    /// The SPIFFE id.
    Spiffe,
}

/// Who answers commands that wait, and how they hear of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// Commands of one identity that may wait at a time, per shard.
    pub per_identity: u32,
    /// Identities that are one person: none of them answers another.
    pub people: Vec<Vec<String>>,
    /// Who is told.
    pub webhooks: Vec<Webhook>,
}

impl Default for ApprovalSettings {
    fn default() -> ApprovalSettings {
        let per_identity = crate::limits::ASKS_PER_IDENTITY;
        ApprovalSettings { per_identity, people: Vec::new(), webhooks: Vec::new() }
    }
}

impl ApprovalSettings {
    /// Other identities of the same person.
    pub fn also(&self, identity: &str) -> Vec<String> {
        let person = self.people.iter().find(|person| person.iter().any(|it| it == identity));
        let others = person.into_iter().flatten().filter(|it| *it != identity);
        others.cloned().collect()
    }
}

/// An endpoint that is told of commands that wait.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Name; unique.
    pub name: String,
    /// Where to post; may be a secret.
    pub url: Secret,
    /// The form of the body.
    pub body: WebhookBody,
    /// How much of a command leaves weir.
    pub content: WebhookContent,
    /// What bodies are signed with, the current key first.
    pub keys: Vec<Vec<u8>>,
    /// PEM file of the roots to verify it with.
    pub root_certificates: Option<PathBuf>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({}, {:?}, {:?})", self.name, self.body, self.content)
    }
}

/// The form of a webhook's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookBody {
    /// `type`, `timestamp`, `data` (Standard Webhooks).
    Standard,
    /// `text` and `blocks` (Slack, and who takes the same).
    Slack,
}

/// How much of a command leaves weir by a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookContent {
    /// That one waits.
    None,
    /// Who, where, classes and rule.
    Shape,
    /// Its text as well, shortened.
    Text,
}

/// A secret that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: String) -> Secret {
        Secret(secret)
    }

    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A rule of the file. Empty lists match everything.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Name; unique.
    pub name: String,
    /// Identities by name.
    pub users: Vec<String>,
    /// Groups of the identity.
    pub groups: Vec<String>,
    /// Targets by name.
    pub targets: Vec<String>,
    /// Roles at the target.
    pub roles: Vec<String>,
    /// Source networks as `address/prefix`.
    pub sources: Vec<Network>,
    /// Command classes.
    pub commands: Commands,
    /// Objects as `schema.name` patterns, `*` for any.
    pub touches: Vec<String>,
    /// Patterns of what a protocol adds, `*` for any; a kind that is not here matches everything.
    pub facts: Vec<(FactKind, Vec<String>)>,
    /// Hours of the day in UTC, `from` inclusive to `until` exclusive in minutes; wraps midnight.
    pub minutes_utc: Option<(u16, u16)>,
    /// The effect.
    pub then: Effect,
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address in it.
    pub address: std::net::IpAddr,
    /// Bits that count.
    pub prefix: u8,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Forward.
    Allow,
    /// Answer with an error; the text may tell the person what to do instead.
    Deny(Option<String>),
    /// Wait for people.
    Hold {
        /// Groups whose members may approve.
        approvers: Vec<String>,
        /// Distinct approvers needed.
        quorum: u32,
        /// How long it may take.
        timeout_us: u64,
    },
}

/// A mask of the file: either columns, paths or detectors.
#[derive(Clone, Debug)]
pub struct MaskSpec {
    /// `schema.table.column` patterns, `*` for any part.
    pub columns: Vec<String>,
    /// Patterns of paths in JSON and forms, see `wire::http::json::path`.
    pub paths: Vec<String>,
    /// Which objects of Kubernetes, by facts of the request; then `paths` are those of an object,
    /// and none means all values that its kind keeps.
    pub objects: Vec<(crate::decide::FactKind, Vec<String>)>,
    /// Detector names, see `mask::detect`.
    pub detect: Vec<String>,
    /// The operator.
    pub operator: crate::mask::Operator,
    /// Targets by name; empty means all.
    pub targets: Vec<String>,
    /// Groups that see the value.
    pub except_groups: Vec<String>,
}
