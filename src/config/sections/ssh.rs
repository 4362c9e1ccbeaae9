//! SSH in the configuration: host keys of listeners, keys of users, targets and their credentials.
//!
//! In: sections. Out: keys that sign, keys that are trusted, a `Target`. Never: a host key that is
//! learned; a private key that stands in the file itself.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::load::Source;
use super::super::report::Report;
use super::super::section::{At, Section};
use super::super::settings::{
    ChannelBinding, Credential, Input, Network, Reach, Secret, SshAuthority, SshName, SshProof,
    Target, TargetTls, TlsNegotiation,
};
use super::super::units;
use super::reach::reach;
use super::targets::{capture, durability, password};
use crate::wire::Protocol;
use crate::wire::ssh::hosts::HostTrust;
use crate::wire::ssh::key::{PublicKey, blob_of_line};
use crate::wire::ssh::krl::Krl;
use crate::wire::ssh::signer::{KeyFileError, Signer};

/// SSH's port.
const PORT_DEFAULT: u16 = 22;
/// How long a certificate for a target is valid unless the file says otherwise.
const TTL_S_DEFAULT: u64 = 120;
const TTL_S_MAX: u64 = 86_400;

const INPUTS: [(&str, Input); 2] = [("counted", Input::Counted), ("plain", Input::Plain)];

/// Whether a peer needs strict key exchange.
const STRICT_KEX: [(&str, bool); 2] = [("log", false), ("require", true)];

const KEY_FORM: &str = "a key such as \"ssh-ed25519 AAAA...\"";
const FILE_FORM: &str = "an unencrypted private key as `ssh-keygen` writes it: ed25519, ecdsa on \
    P-256 or P-384, or RSA";

/// `host_keys` of a listener.
pub(super) fn host_keys(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Vec<Arc<Signer>> {
    if !section.has("host_keys") {
        section.missing("host_keys", "a list of files: `ssh-keygen -t ed25519 -f FILE`", report);
    }
    let mut keys: Vec<Arc<Signer>> = Vec::new();
    for text in section.texts("host_keys", report) {
        let span = text.span.clone();
        let Some(key) = key_file(text, source, report) else { continue };
        if keys.iter().any(|other| other.kind() == key.kind()) {
            report.error(span, "a second key of one kind", "one of each kind", "");
        }
        keys.push(Arc::new(key));
    }
    keys
}

/// `strict_kex` of a listener or a target.
pub(super) fn strict_kex(section: &mut Section<'_>, report: &mut Report<'_>) -> bool {
    section.choice("strict_kex", &STRICT_KEX, report).unwrap_or(false)
}

/// `keys` of a user.
pub(super) fn user_keys(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Vec<u8>> {
    public_keys(section.texts("keys", report), report)
}

/// `[[identity.ssh_ca]]`.
pub(super) fn authorities(
    identity: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Vec<SshAuthority> {
    const NAMES: [(&str, SshName); 2] =
        [("key-id", SshName::KeyId), ("principal", SshName::Principal)];
    let mut authorities = Vec::new();
    for mut section in identity.sections("ssh_ca", "[[identity.ssh_ca]]", report) {
        if !section.has("keys") {
            section.missing("keys", "a list of the CA's keys", report);
        }
        let keys = public_keys(section.texts("keys", report), report);
        let name = section.choice("username", &NAMES, report).unwrap_or(SshName::KeyId);
        let groups = section.texts("groups", report);
        let groups = groups.iter().map(|group| group.value.to_owned()).collect();
        let list = revocations(&mut section, source, report);
        section.finish(report);
        let (revoked_file, revoked) = list.unzip();
        authorities.push(SshAuthority { keys, name, groups, revoked, revoked_file });
    }
    authorities
}

/// `krl = FILE` of a CA.
fn revocations(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<(PathBuf, Arc<Krl>)> {
    let At { value, span } = section.text("krl", report)?;
    let path = source.path(value);
    let found = match read_revocations(&path) {
        Ok(krl) => return Some((path, Arc::new(krl))),
        Err(problem) => problem,
    };
    let hint = "a list that cannot be followed would let revoked certificates in";
    report.error(span, found, "a file as `ssh-keygen -k` writes it, unsigned", hint);
    None
}

/// Reads a list of what a CA has taken back.
///
/// # Errors
/// Why it cannot be followed.
pub fn read_revocations(path: &Path) -> Result<Krl, String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    Krl::parse(&bytes)
        .map_err(|_| format!("`{}` is no list that weir understands whole", path.display()))
}

/// Whether what a listener names as its only `target` is one.
pub(super) fn is_target(only: &At<String>, targets: &[Target], report: &mut Report<'_>) {
    let At { value, span } = only;
    if !targets.iter().any(|known| known.name == *value && known.protocol == Protocol::Ssh) {
        let found = format!("no SSH target has the name `{value}`");
        let expected = "the `name` of a [[target]] whose `protocol` is \"ssh\"";
        report.error(span.clone(), found, expected, "");
    }
}

/// The host keys of a target: `host_key`, `known_hosts`, `host_ca`.
fn host_trust(
    section: &mut Section<'_>,
    reach: Option<&Reach>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> HostTrust {
    let mut trust = HostTrust::of(public_keys(section.texts("host_key", report), report));
    trust.authorities = public_keys(section.texts("host_ca", report), report);
    let hosts = reach.map(|reach| reach.hosts.as_slice()).unwrap_or_default();
    if let Some(At { value, span }) = section.text("known_hosts", report) {
        let path = source.path(value);
        let mut found = match std::fs::read_to_string(&path) {
            Err(error) => Some(format!("`{}` cannot be read: {error}", path.display())),
            Ok(text) => hosts.iter().find_map(|host| {
                let line = trust.add_lines(&text, &host.name, host.port).err()?;
                Some(format!("line {} of `{}` is none", line.number, path.display()))
            }),
        };
        if found.is_none() && trust.is_empty() && !hosts.is_empty() {
            found = Some(format!("`{}` names no key of this target", path.display()));
        }
        if let Some(found) = found {
            let hint = "names stand there as `host`, or `[host]:port` for ports but 22";
            report.error(span, found, "a file as ssh has it, with keys of this target", hint);
        }
    } else if trust.is_empty() && !section.has("host_key") {
        let expected = "a list of the target's keys (`ssh-keyscan HOST` prints them), or \
                        `known_hosts = FILE`, or `host_ca = [KEY]`";
        section.missing("host_key", expected, report);
    }
    trust
}

fn public_keys(texts: Vec<At<&str>>, report: &mut Report<'_>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for At { value, span } in texts {
        match blob_of_line(value).filter(|blob| PublicKey::parse(blob).is_ok()) {
            Some(blob) => keys.push(blob),
            None => report.error(
                span,
                "this is no key that weir has",
                KEY_FORM,
                "ed25519, ecdsa on P-256 or P-384, RSA, and the two kinds of security keys",
            ),
        }
    }
    keys
}

fn key_file(text: At<&str>, source: &Source<'_>, report: &mut Report<'_>) -> Option<Signer> {
    let At { value, span } = text;
    let path = source.path(value);
    let why = match std::fs::read_to_string(&path) {
        Err(error) => format!("`{}` cannot be read: {error}", path.display()),
        Ok(text) => match Signer::from_openssh(&text) {
            Ok(key) => return Some(key),
            Err(KeyFileError::Format) => format!("`{}` is no OpenSSH private key", path.display()),
            Err(KeyFileError::Encrypted) => {
                format!("`{}` is sealed with a passphrase", path.display())
            }
            Err(KeyFileError::Kind) => {
                format!("`{}` is of a kind that weir does not have", path.display())
            }
            Err(KeyFileError::Rejected) => {
                format!("`{}` contradicts itself, or is too short", path.display())
            }
        },
    };
    let hint = "relative paths start from the folder of the configuration file";
    report.error(span, why, FILE_FORM, hint);
    None
}

/// A target that speaks SSH.
pub(super) fn target(
    section: &mut Section<'_>,
    name: Option<At<&str>>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Target> {
    let reach = reach(section, PORT_DEFAULT, report);
    let host_keys = host_trust(section, reach.as_ref(), source, report);
    let strict_kex = strict_kex(section, report);
    let durability = durability(section, report);
    let capture = capture(section, report);
    let input = section.choice("input", &INPUTS, report).unwrap_or_default();
    let credentials = credentials(section, source, report);
    if let Some(name) = &name
        && !name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        let found = format!("the name `{}` of an SSH target", name.value);
        report.error(name.span.clone(), found, "letters, digits, `.`, `_` and `-`", "");
    }
    let name = name?.value.to_owned();
    Some(Target {
        protocol: Protocol::Ssh,
        database: name.clone(),
        name,
        reach: reach?,
        tls: TargetTls::Disable,
        negotiation: TlsNegotiation::Postgres,
        root_certificates: None,
        client_certificate: None,
        channel_binding: ChannelBinding::Prefer,
        replication: false,
        durability,
        capture,
        input,
        host_keys,
        strict_kex,
        credentials,
        http: None,
    })
}

fn credentials(
    target: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Vec<Credential> {
    if !target.has("credential") {
        target.missing("credential", "at least one [[target.credential]]", report);
    }
    let mut credentials = Vec::new();
    for mut section in target.sections("credential", "[[target.credential]]", report) {
        let role = section.required_text("role", report);
        let proofs = ["key", "certificate", "password"].map(|name| section.has(name));
        if proofs.iter().filter(|there| **there).count() != 1 {
            let found = "a credential without one proof";
            let expected = "`key = { file = \"...\" }`, `certificate = { ca = { file = \"...\" } }` \
                            or `password = { file = \"...\" }`";
            report.error(section.span(), found, expected, "");
        }
        let key = key(&mut section, "key", source, report).map(SshProof::Key);
        let proof = key.or_else(|| authority(&mut section, source, report));
        let password = password(&mut section, source, report);
        let groups = section.texts("groups", report);
        section.finish(report);
        let (Some(role), true) = (role, proof.is_some() || password.is_some()) else { continue };
        credentials.push(Credential {
            role: role.value.to_owned(),
            password: password.unwrap_or_else(|| Secret::new(String::new())),
            proof,
            header: None,
            groups: groups.iter().map(|group| group.value.to_owned()).collect(),
        });
    }
    credentials
}

/// `NAME = { file = "..." }`.
fn key(
    section: &mut Section<'_>,
    name: &'static str,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Arc<Signer>> {
    let mut table = section.section(name, &format!("`{name}`"), report)?;
    let file = table.required_text("file", report);
    table.finish(report);
    key_file(file?, source, report).map(Arc::new)
}

/// `certificate = { ca = { file = "..." }, ttl = "2m", source_address = ["192.0.2.0/24"] }`.
fn authority(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<SshProof> {
    let mut table = section.section("certificate", "`certificate`", report)?;
    let key = key(&mut table, "ca", source, report);
    let ttl = table.form("ttl", (units::duration_us, units::DURATION_FORM), report);
    let mut sources = Vec::new();
    for At { value, span } in table.texts("source_address", report) {
        match units::network(value).filter(is_of_base) {
            Some(network) => sources.push(format!("{}/{}", network.address, network.prefix)),
            None => {
                let found = format!("`source_address` has \"{value}\"");
                let hint =
                    "bits behind the prefix are zero, or sshd takes the certificate of nobody";
                report.error(span, found, "an address, or a network such as \"10.0.0.0/8\"", hint);
            }
        }
    }
    table.finish(report);
    let mut ttl_s = TTL_S_DEFAULT;
    if let Some(ttl) = ttl {
        ttl_s = ttl.value / 1_000_000;
        if !(1..=TTL_S_MAX).contains(&ttl_s) {
            report.error(ttl.span, "`ttl` is out of range", "a duration from 1s to 24h", "");
        }
    }
    Some(SshProof::Authority { key: key?, ttl_s, sources: sources.join(",") })
}

/// Whether a network is written by its first address: sshd takes no other (addr.c,
/// `addr_host_is_all0s`).
fn is_of_base(network: &Network) -> bool {
    let (bits, width) = match network.address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let host_bits = width - u32::from(network.prefix);
    1u128.checked_shl(host_bits).is_none_or(|below| bits & (below - 1) == 0) || bits == 0
}
