//! The sections of the file, one function each, in the order of `Settings`.
//!
//! In: a `Section`. Out: its part of `Settings`; where a problem was reported, a filler that never
//! leaves `load`. Never: a decision about another section; references are checked in `rules`.

mod approvals;
mod http;
mod oidc;
pub(super) mod reach;
mod rules;
mod ssh;
pub(super) mod targets;

pub use self::ssh::read_revocations;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::load::Source;
use super::report::Report;
use super::section::{At, Section};
use super::settings::{
    CertificateName, CertificateSpec, ClientTrust, Issuer, JournalSettings, KeepAlive, Listen,
    ListenTls, Settings, SshAuthority, UnprovenMax, User,
};
use super::units;
use crate::identify::scram::{ITERATIONS_DEFAULT, Verifier};
use crate::limits;
use crate::wire::Protocol;

/// Shards a file may ask for; more than any machine has cores.
const SHARDS_MAX: i64 = 1024;
/// The admin API's port unless the file says otherwise.
pub(super) const ADMIN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8620);

/// All sections.
pub(super) fn settings(
    root: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Settings {
    let data_dir = root.required_text("data_dir", report);
    let node = node(root, report);
    let shards = root.integer("shards", 1..=SHARDS_MAX, report);
    let (listeners, only) = listeners(root, source, report);
    let (admin, admin_url) = admin(root, report);
    let journal = journal(root, report);
    let drain_us = shutdown(root, report);
    let (targets, failed) = targets::targets(root, source, report);
    let only = only.into_iter().filter(|only| !failed.contains(&only.value));
    only.for_each(|only| ssh::is_target(&only, &targets, report));
    let identities = identities(root, &listeners, source, report);
    let (rules, masks) = rules::rules_and_masks(root, (&targets, &failed), &identities, report);
    let approvals = approvals::approvals(root, source, report);
    let Identities { users, certificates, issuers, ssh_authorities } = identities;
    Settings {
        data_dir: data_dir.map_or_else(PathBuf::new, |dir| source.path(dir.value)),
        node,
        shards: shards.map_or_else(shards_default, |count| count as usize),
        listeners,
        admin,
        admin_url,
        approvals,
        journal,
        drain_us,
        targets,
        users,
        certificates,
        issuers,
        ssh_authorities,
        rules,
        masks,
    }
}

/// The name stands in file names.
fn node(root: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let name = root.text("node", report)?;
    let fits = name.value.len() <= limits::NODE_BYTES_MAX
        && name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !fits {
        let expected = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first";
        report.error(name.span, "`node` cannot be a name", expected, "");
    }
    Some(name.value.to_owned())
}

/// One shard per core that this process may use.
pub(super) fn shards_default() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const FLUSH_FORM: &str = "a duration from \"5ms\" to \"10s\"";
const DRAIN_FORM: &str = "a duration from \"0s\" to \"1h\"";
const ANSWER_WAIT_FORM: &str = "a duration from \"1s\" to \"1d\"";

pub(super) const JOURNAL_DEFAULT: JournalSettings = JournalSettings {
    segment_bytes: limits::SEGMENT_BYTES_DEFAULT,
    seal_after_us: limits::SEGMENT_AGE_US,
    flush_us: limits::FLUSH_US_DEFAULT,
    answer_wait_us: limits::ANSWER_WAIT_US_DEFAULT,
};

/// The listeners that a file may have: `[listen.NAME]`, or `[[listen.NAME]]` for several.
const LISTENERS: [(&str, Protocol); 3] =
    [("postgres", Protocol::Postgres), ("http", Protocol::Http), ("ssh", Protocol::Ssh)];

/// And what they name as their only targets.
fn listeners(
    root: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> (Vec<Listen>, Vec<At<String>>) {
    let (mut found, mut only) = (Vec::new(), Vec::new());
    let expected = "[listen.postgres], [listen.http] (services, MCP, Kubernetes) or [listen.ssh], \
                    with an `address`";
    let Some(mut section) = root.section("listen", "[listen]", report) else {
        root.missing("listen", expected, report);
        return (found, only);
    };
    if !LISTENERS.iter().any(|(name, _)| section.has(name)) {
        report.error(section.span(), "[listen] without a protocol", expected, "");
    }
    for (name, protocol) in LISTENERS {
        let label = format!("[listen.{name}]");
        for listener in section.one_or_more(name, &label, report) {
            found.push(listen(protocol, (listener, &label), &mut only, source, report));
        }
    }
    section.finish(report);
    (found, only)
}

fn listen(
    protocol: Protocol,
    (mut section, label): (Section<'_>, &str),
    only: &mut Vec<At<String>>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Listen {
    let mut listen = listen_default(protocol, ADMIN_DEFAULT);
    if !section.has("address") {
        section.missing("address", ADDRESS_FORM, report);
    }
    if let Some(address) = section.form("address", (address, ADDRESS_FORM), report) {
        listen.address = address.value;
    }
    if protocol == Protocol::Ssh {
        listen.host_keys = ssh::host_keys(&mut section, source, report);
        listen.strict_kex = ssh::strict_kex(&mut section, report);
        if let Some(At { value, span }) = section.text("target", report) {
            listen.target = Some(value.to_owned());
            only.push(At { value: value.to_owned(), span });
        }
    } else if let Some(tls) = section.section("tls", &format!("`tls` of {label}"), report) {
        listen.tls = listen_tls(tls, source, report);
    }
    if protocol == Protocol::Http && listen.tls.is_none() && !listen.address.ip().is_loopback() {
        let found = format!("{label} takes passwords and tokens in clear from the network");
        let hint = "or bind it to 127.0.0.1 or [::1]";
        report.error(section.span(), found, "`tls = { certificate = ..., key = ... }`", hint);
    }
    let keepalive = format!("`keepalive` of {label}");
    listen.keepalive = reach::keep_alive(&mut section, &keepalive, report);
    listen.unproven = unproven(&mut section, (protocol, label), report);
    section.finish(report);
    listen
}

/// The TLS of a listener, if there is one: certificates and tokens need it.
fn asks_for_tls(listeners: &[Listen]) -> Option<&ListenTls> {
    let mut tls = listeners.iter().filter_map(|listen| listen.tls.as_ref());
    tls.clone().find(|tls| tls.clients.is_some()).or_else(|| tls.next())
}

/// A listener without TLS.
pub(super) const fn listen_default(protocol: Protocol, address: SocketAddr) -> Listen {
    let (keepalive, unproven) = (KeepAlive::DEFAULT, UnprovenMax::DEFAULT);
    Listen {
        protocol,
        address,
        host_keys: Vec::new(),
        target: None,
        strict_kex: false,
        tls: None,
        keepalive,
        unproven,
    }
}

fn unproven(
    listener: &mut Section<'_>,
    (protocol, label): (Protocol, &str),
    report: &mut Report<'_>,
) -> UnprovenMax {
    let mut unproven = UnprovenMax::DEFAULT;
    let label = format!("`unauthenticated` of {label}");
    let Some(mut section) = listener.section("unauthenticated", &label, report) else {
        return unproven;
    };
    if let Some(count) = section.integer("per_address", 1..=1_000_000, report) {
        unproven.per_address = count as u32;
    }
    if let Some(count) = section.integer("total", 1..=10_000_000, report) {
        unproven.total = Some(count as u32);
    }
    if protocol == Protocol::Ssh
        && let Some(count) = section.integer("per_second", 1..=1_000_000, report)
    {
        unproven.per_second = count as u32;
    }
    section.finish(report);
    unproven
}

fn listen_tls(
    mut tls: Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<ListenTls> {
    let certificate = existing_file(tls.required_text("certificate", report), source, report);
    let key = existing_file(tls.required_text("key", report), source, report);
    let required = tls.boolean("required", report).unwrap_or(true);
    let clients = client_trust(&mut tls, source, report);
    let label = "{ certificate = \"b.pem\", key = \"b.key\" }";
    let mut more = Vec::new();
    for mut pair in tls.sections("more", label, report) {
        let certificate = existing_file(pair.required_text("certificate", report), source, report);
        let key = existing_file(pair.required_text("key", report), source, report);
        pair.finish(report);
        more.extend(certificate.zip(key));
    }
    tls.finish(report);
    Some(ListenTls { certificate: certificate?, key: key?, more, required, clients })
}

fn client_trust(
    tls: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<ClientTrust> {
    let authorities = existing_file(tls.text("client_ca", report), source, report);
    let revoked = tls.text("client_crl", report);
    let required = tls.boolean("client_certificate_required", report);
    if authorities.is_none() && (revoked.is_some() || required.is_some()) {
        tls.missing(
            "client_ca",
            "a PEM file of the roots that client certificates come from",
            report,
        );
    }
    Some(ClientTrust {
        authorities: authorities?,
        revoked: existing_file(revoked, source, report),
        required: required.unwrap_or(false),
    })
}

/// A file that will be read later; that it is there is checked now.
fn existing_file(
    text: Option<At<&str>>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let At { value, span } = text?;
    let path = source.path(value);
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => {
            let found = format!("`{}` cannot be read: {error}", path.display());
            let hint = "relative paths start from the folder of the configuration file";
            report.error(span, found, "a readable PEM file", hint);
            None
        }
    }
}

const ADDRESS_FORM: &str = "an address and port such as \"0.0.0.0:5432\" or \"[::]:5432\"";

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

fn admin(root: &mut Section<'_>, report: &mut Report<'_>) -> (SocketAddr, Option<String>) {
    let Some(mut section) = root.section("admin", "[admin]", report) else {
        return (ADMIN_DEFAULT, None);
    };
    let chosen = section.form("address", (address, ADDRESS_FORM), report);
    let url = section.form("url", (units::issuer, units::ISSUER_FORM), report);
    section.finish(report);
    let url = url.map(|url| url.value.trim_end_matches('/').to_owned());
    (chosen.map_or(ADMIN_DEFAULT, |address| address.value), url)
}

fn journal(root: &mut Section<'_>, report: &mut Report<'_>) -> JournalSettings {
    let mut settings = JOURNAL_DEFAULT;
    let Some(mut section) = root.section("journal", "[journal]", report) else {
        return settings;
    };
    if let Some(size) = section.form("segment", (units::size_bytes, units::SIZE_FORM), report) {
        let range = limits::SEGMENT_SETTING_BYTES_MIN..=(4 << 30);
        if !range.contains(&size.value) {
            let expected = "a size from 18MiB to 4GiB";
            report.error(size.span, "`segment` is out of range", expected, "");
        }
        settings.segment_bytes = size.value;
    }
    let after = section.form("seal_after", (units::duration_us, units::DURATION_FORM), report);
    if let Some(after) = after {
        if !(1_000_000..=86_400_000_000).contains(&after.value) {
            let expected = "a duration from 1s to 1d";
            report.error(after.span, "`seal_after` is out of range", expected, "");
        }
        settings.seal_after_us = after.value;
    }
    let flush = section.form("flush", (units::duration_us, FLUSH_FORM), report);
    if let Some(flush) = flush {
        if !limits::FLUSH_US.contains(&flush.value) {
            report.error(flush.span, "`flush` is out of range", FLUSH_FORM, "");
        }
        settings.flush_us = flush.value;
    }
    let wait = section.form("answer_wait", (units::duration_us, ANSWER_WAIT_FORM), report);
    if let Some(wait) = wait {
        if !limits::ANSWER_WAIT_US.contains(&wait.value) {
            report.error(wait.span, "`answer_wait` is out of range", ANSWER_WAIT_FORM, "");
        }
        settings.answer_wait_us = wait.value;
    }
    section.finish(report);
    settings
}

fn shutdown(root: &mut Section<'_>, report: &mut Report<'_>) -> u64 {
    let Some(mut section) = root.section("shutdown", "[shutdown]", report) else {
        return limits::DRAIN_US_DEFAULT;
    };
    let drain = section.form("drain", (units::duration_us, DRAIN_FORM), report);
    if let Some(drain) = &drain
        && !limits::DRAIN_US.contains(&drain.value)
    {
        report.error(drain.span.clone(), "`drain` is out of range", DRAIN_FORM, "");
    }
    section.finish(report);
    drain.map_or(limits::DRAIN_US_DEFAULT, |drain| drain.value)
}

/// What `[identity]` holds.
#[derive(Default)]
struct Identities {
    users: Vec<User>,
    certificates: Vec<CertificateSpec>,
    issuers: Vec<Issuer>,
    ssh_authorities: Vec<SshAuthority>,
}

fn identities(
    root: &mut Section<'_>,
    listeners: &[Listen],
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Identities {
    let tls = asks_for_tls(listeners);
    // A token goes through nothing that could be read on its way.
    let sealed = tls.is_some() || listeners.iter().any(|it| it.protocol == Protocol::Ssh);
    let Some(mut identity) = root.section("identity", "[identity]", report) else {
        return Identities::default();
    };
    let users = users(&mut identity, source, report);
    let certificates = certificates(&mut identity, report);
    if !certificates.is_empty() && tls.is_none_or(|tls| tls.clients.is_none()) {
        let found = "[[identity.certificate]], and no client is asked for a certificate";
        let hint = "set `client_ca` in `tls` of the listener";
        report.error(identity.span(), found, "the roots that client certificates come from", hint);
    }
    let issuers = oidc::issuers(&mut identity, sealed, source, report);
    let ssh_authorities = ssh::authorities(&mut identity, source, report);
    identity.finish(report);
    Identities { users, certificates, issuers, ssh_authorities }
}

fn users(identity: &mut Section<'_>, source: &Source<'_>, report: &mut Report<'_>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for mut section in identity.sections("user", "[[identity.user]]", report) {
        let name = section.required_text("name", report);
        let groups = section.texts("groups", report);
        let keys = ssh::user_keys(&mut section, report);
        let by_password = section.has("scram") || section.has("password");
        let by_token = section.boolean("token_only", report).unwrap_or(false);
        if by_token && (by_password || section.has("keys")) {
            let found = "`token_only` beside a password or keys";
            report.error(section.span(), found, "one of them", "");
        }
        // A user who has keys need not have a password; whoever has neither says so.
        let verifier = match by_password || !(section.has("keys") || by_token) {
            true => verifier(&mut section, source, report),
            false => None,
        };
        if !by_password && section.is_empty_list("keys") {
            section.missing("keys` or `password", "at least one key", report);
        }
        if let Some(owner) =
            users.iter().find(|user| user.keys.iter().any(|key| keys.contains(key)))
        {
            let found = format!("a key of `{}` again", owner.name);
            report.error(section.span(), found, "keys that belong to one user", "");
        }
        if let Some(name) = &name
            && users.iter().any(|user| user.name == name.value)
        {
            let found = format!("a second user `{}`", name.value);
            report.error(name.span.clone(), found, "names that differ", "");
        }
        section.finish(report);
        if let Some(name) = name.filter(|_| verifier.is_some() || !keys.is_empty() || by_token) {
            let groups = groups.iter().map(|group| group.value.to_owned()).collect();
            users.push(User { name: name.value.to_owned(), verifier, keys, groups });
        }
    }
    users
}

const CERTIFICATE_NAMES: [(&str, CertificateName); 6] = [
    ("cn", CertificateName::Common),
    ("dn", CertificateName::Distinguished),
    ("dns", CertificateName::Dns),
    ("email", CertificateName::Email),
    ("uri", CertificateName::Uri),
    ("spiffe", CertificateName::Spiffe),
];

fn certificates(identity: &mut Section<'_>, report: &mut Report<'_>) -> Vec<CertificateSpec> {
    let mut specs = Vec::new();
    for mut section in identity.sections("certificate", "[[identity.certificate]]", report) {
        if !section.has("name") {
            section.missing("name", "which name in the certificate is the identity", report);
        }
        let name = section.choice("name", &CERTIFICATE_NAMES, report);
        let owned = |texts: Vec<At<&str>>| -> Vec<String> {
            texts.iter().map(|text| text.value.to_owned()).collect()
        };
        let matches = owned(section.texts("matches", report));
        let groups = owned(section.texts("groups", report));
        let units_are_groups = section.boolean("units_are_groups", report).unwrap_or(false);
        section.finish(report);
        specs.extend(name.map(|name| CertificateSpec { name, matches, groups, units_are_groups }));
    }
    specs
}

fn verifier(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Verifier> {
    const EXPECTED: &str = "`scram = \"SCRAM-SHA-256$...\"` or \
        `password = { file = \"...\" }`, `{ env = \"...\" }` or `{ command = [...] }`";
    match (section.has("scram"), section.has("password")) {
        (false, false) => {
            section.missing("scram` or `password", EXPECTED, report);
            None
        }
        (true, true) => {
            let found = "both `scram` and `password`";
            report.error(section.span(), found, "one of them", "");
            // Asked for, so that they are not reported as unknown besides.
            section.take("scram");
            section.take("password");
            None
        }
        (true, false) => {
            section.take("password");
            let text = section.text("scram", report)?;
            let parsed = Verifier::parse(text.value);
            if let Err(error) = &parsed {
                let hint = "copy it from rolpassword of pg_authid, or give a `password` source";
                report.error(text.span, "`scram` is not a verifier", error.to_string(), hint);
            }
            parsed.ok()
        }
        (false, true) => {
            section.take("scram");
            let password = targets::password(section, source, report)?;
            let salt = match random_salt() {
                Some(salt) => salt,
                None => {
                    report.error(section.span(), "the system gives no random bytes", "", "");
                    return None;
                }
            };
            Some(Verifier::from_password(password.reveal(), &salt, ITERATIONS_DEFAULT))
        }
    }
}

/// 16 random bytes, as PostgreSQL salts; `None` if the system has none.
pub(super) fn random_salt() -> Option<[u8; 16]> {
    use ring::rand::SecureRandom as _;
    let mut salt = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut salt).ok()?;
    Some(salt)
}

/// Where Linux distributions keep the roots they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's roots, for verify modes without roots of their own.
pub fn system_roots() -> Option<PathBuf> {
    SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file()).map(Path::to_path_buf)
}
