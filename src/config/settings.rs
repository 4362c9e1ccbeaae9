//! Resolved settings: what the file means, every default filled in, every reference checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::decide::Class;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where journal, lake and tokens live.
    pub data_dir: PathBuf,
    /// Shards; default one per core.
    pub shards: usize,
    /// The PostgreSQL listener.
    pub postgres: Listen,
    /// The admin API's address; loopback unless the file says otherwise.
    pub admin: SocketAddr,
    /// Journal segments.
    pub journal: JournalSettings,
    /// Targets, in the order of the file; the index is used everywhere.
    pub targets: Vec<Target>,
    /// Users of weir with SCRAM verifiers.
    pub users: Vec<User>,
    /// Who the owners of client certificates are, in the order of the file.
    pub certificates: Vec<CertificateSpec>,
    /// Rules, in the order of the file.
    pub rules: Vec<RuleSpec>,
    /// Masks, in the order of the file.
    pub masks: Vec<MaskSpec>,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// TLS towards clients, if configured.
    pub tls: Option<ListenTls>,
}

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct ListenTls {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
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
}

/// How safe a record is before what it describes happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk.
    Sync,
    /// In the kernel's hands: survives the process, not the power.
    Write,
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

/// A database weir stands in front of.
#[derive(Clone, Debug)]
pub struct Target {
    /// What clients give as `dbname`.
    pub name: String,
    /// `host:port` or a path of a Unix socket's directory is not supported: host and port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database at the target; default the name.
    pub database: String,
    /// TLS mode.
    pub tls: TargetTls,
    /// PEM roots for the verify modes.
    pub root_certificates: Option<PathBuf>,
    /// Whether the login is bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Physical replication connections, which name no database, come here.
    pub replication: bool,
    /// When a record counts as written.
    pub durability: Durability,
    /// How much of answers is kept.
    pub capture: Capture,
    /// Credentials, in the order of the file: the first whose groups match is used.
    pub credentials: Vec<Credential>,
}

/// What weir logs in with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Role at the target.
    pub role: String,
    /// Password.
    pub password: Secret,
    /// Groups that may use it; empty means everybody.
    pub groups: Vec<String>,
}

/// A user of weir.
#[derive(Clone, Debug)]
pub struct User {
    /// Name.
    pub name: String,
    /// Verifier, made from the password at load if the file gives a password.
    pub verifier: crate::identify::scram::Verifier,
    /// Groups.
    pub groups: Vec<String>,
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
    pub commands: Vec<Class>,
    /// Objects as `schema.name` patterns, `*` for any.
    pub touches: Vec<String>,
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

/// A mask of the file: either columns or detectors.
#[derive(Clone, Debug)]
pub struct MaskSpec {
    /// `schema.table.column` patterns, `*` for any part.
    pub columns: Vec<String>,
    /// Detector names, see `mask::detect`.
    pub detect: Vec<String>,
    /// The operator.
    pub operator: crate::mask::Operator,
    /// Targets by name; empty means all.
    pub targets: Vec<String>,
    /// Groups that see the value.
    pub except_groups: Vec<String>,
}
