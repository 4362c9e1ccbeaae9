//! `weir check`: whether weir could run with a configuration, and what it would do.
//!
//! In: a configuration. Out: its meaning in sentences, and one line per thing that was tried.
//! Never: a change of the machine, except for a file that is written and removed at once.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use super::fail::{EXIT_FAILURE, Failure};
use super::output::{Output, clean};
use super::words;
use crate::accept;
use crate::admin::catalog;
use crate::admin::clock;
use crate::admin::issuer::{IssuerError, Provider, Web};
use crate::admin::login::Connection;
use crate::admin::ssh_visit::{self, Shown};
use crate::admin::unmet;
use crate::config::settings::{Issuer, Listen, Settings, Target, TargetTls};
use crate::mask::sql::catalog::Catalog;
use crate::record::pool;
use crate::shard;
use crate::shard::mail::Endpoint;
use crate::wire::Protocol;
use crate::wire::ssh::hosts::{HostTrust, Untrusted};
use crate::wire::ssh::key::{self, PublicKey, blob_of_line};

/// Arguments.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Do not connect to targets and issuers
    #[arg(long)]
    offline: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// How a trial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    grade: Grade,
    what: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
}

impl Finding {
    fn new(grade: Grade, what: impl Into<String>, message: impl Into<String>) -> Finding {
        let (what, message) = (what.into(), message.into());
        Finding { grade, what, message, hint: String::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = hint.into();
        self
    }
}

/// Runs the command.
///
/// # Errors
/// The configuration is not valid, or something weir needs does not work.
pub fn run(args: &Check) -> Result<(), Failure> {
    let mut out = Output::new(args.json);
    let settings = match super::load(&args.config) {
        Ok(settings) => settings,
        Err(failure) => {
            // A new file cannot be valid before the keys of its targets are known.
            if !args.offline {
                tell(&mut out, &unknown_hosts(&args.config))?;
            }
            return Err(failure);
        }
    };
    if !args.json {
        explain(&mut out, &settings)?;
        out.flush()?;
    }
    let mut findings = vec![kernel(), open_files(&settings), listener(&settings)];
    findings.extend(data_dir(&settings));
    let rules = unmet::crossing(&settings).into_iter().chain(unmet::led_astray(&settings));
    findings.extend(rules.map(|text| Finding::new(Grade::Warn, "rules", text)));
    let too_few = unmet::too_few(&settings).into_iter();
    findings.extend(too_few.map(|text| Finding::new(Grade::Warn, "approvers", text)));
    findings.extend(shared_addresses(&settings));
    findings.extend(in_clear(&settings));
    if let Err(problem) = shard::tls::TlsConfigs::load(&settings) {
        findings.push(Finding::new(Grade::Fail, "TLS", problem.to_string()));
    }
    tell(&mut out, &findings)?;
    if !args.offline {
        let mut catalogs = Vec::new();
        for target in &settings.targets {
            let mut of_target = reach(target);
            catalogs.push(shapes(target, &mut of_target));
            tell(&mut out, &of_target.findings)?;
            findings.extend(of_target.findings);
        }
        let unmet = unmet::sentences(&settings, |index| catalogs.get(index)?.as_ref());
        let unmet = unmet.into_iter().map(|text| Finding::new(Grade::Warn, "names", text));
        let unmet: Vec<Finding> = unmet.collect();
        tell(&mut out, &unmet)?;
        findings.extend(unmet);
        for issuer in &settings.issuers {
            let of_issuer = ask(issuer);
            tell(&mut out, &of_issuer)?;
            findings.extend(of_issuer);
        }
    }
    let failed = findings.iter().filter(|finding| finding.grade == Grade::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new(EXIT_FAILURE, "1 check failed")),
        count => Err(Failure::new(EXIT_FAILURE, format!("{count} checks failed"))),
    }
}

fn explain(out: &mut Output, settings: &Settings) -> std::io::Result<()> {
    for listen in &settings.listeners {
        let tls = match &listen.tls {
            None if listen.protocol == Protocol::Ssh => "with the encryption of SSH",
            None => "in clear",
            Some(tls) if tls.required => "with TLS only",
            Some(_) => "with TLS if they ask for it",
        };
        let (protocol, address) = (listen.protocol.name(), listen.address);
        out.line(&format!("clients of {protocol} connect to {address} {tls}"))?;
    }
    out.line(&words::flush(settings.journal.flush_us))?;
    for target in &settings.targets {
        out.line(&clean(&words::target(target)))?;
    }
    for issuer in &settings.issuers {
        out.line(&clean(&words::issuer(issuer)))?;
    }
    for rule in &settings.rules {
        out.line(&clean(&words::rule(rule)))?;
    }
    for person in &settings.approvals.people {
        out.line(&clean(&words::person(person)))?;
    }
    for webhook in &settings.approvals.webhooks {
        out.line(&clean(&words::webhook(webhook)))?;
    }
    out.line("deny beats hold beats allow; what no rule matches is denied")?;
    for mask in &settings.masks {
        out.line(&clean(&words::mask(mask)))?;
    }
    out.line("")
}

fn tell(out: &mut Output, findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        if out.is_json() {
            out.object(finding)?;
            continue;
        }
        let word = match finding.grade {
            Grade::Ok => "ok   ",
            Grade::Warn => "warn ",
            Grade::Fail => "FAIL ",
        };
        out.line(&format!("{word} {}: {}", finding.what, clean(&finding.message)))?;
        if !finding.hint.is_empty() {
            out.line(&format!("      hint: {}", finding.hint))?;
        }
    }
    Ok(out.flush()?)
}

fn kernel() -> Finding {
    match shard::check::check() {
        Ok(facts) => {
            let memory = match facts.memlock_bytes {
                None => "unlimited".to_owned(),
                Some(bytes) => format!("{bytes} bytes"),
            };
            let message = format!("{}, io_uring works, locked memory {memory}", facts.release);
            Finding::new(Grade::Ok, "kernel", message)
        }
        Err(problem) => Finding::new(Grade::Fail, "kernel", problem.to_string()),
    }
}

/// How many sessions the descriptors allow; weir raises the soft limit to the hard one itself.
fn open_files(settings: &Settings) -> Finding {
    let shards = settings.shards.max(1);
    let sessions = match accept::sessions_max(shards) {
        Ok(of_shard) => of_shard.saturating_mul(shards),
        Err(error) => {
            let message = format!("their limit cannot be read: {error}");
            return Finding::new(Grade::Warn, "open files", message);
        }
    };
    let message = format!("enough for {sessions} sessions");
    if sessions < SESSIONS_MIN {
        return Finding::new(Grade::Warn, "open files", message)
            .hint("raise it: `ulimit -n 65536`, or LimitNOFILE=65536 in the service file");
    }
    Finding::new(Grade::Ok, "open files", message)
}

fn listener(settings: &Settings) -> Finding {
    let mut taken = Vec::new();
    let listeners = settings.listeners.iter().map(|listen| listen.address);
    for address in listeners.chain([settings.admin]) {
        if let Err(error) = TcpListener::bind(address) {
            taken.push(format!("{address}: {error}"));
        }
    }
    if taken.is_empty() {
        return Finding::new(Grade::Ok, "addresses", "free to listen on");
    }
    Finding::new(Grade::Warn, "addresses", taken.join("; "))
        .hint("fine when this weir runs already; else another program has them")
}

/// Two that would listen at one address: only one of them can.
fn shared_addresses(settings: &Settings) -> Vec<Finding> {
    let name = |at: usize| settings.listeners.get(at).map_or("[admin]".to_owned(), of_protocol);
    let listeners = settings.listeners.iter().map(|listen| listen.address);
    let all: Vec<SocketAddr> = listeners.chain([settings.admin]).collect();
    let mut found = Vec::new();
    for (at, one) in all.iter().enumerate() {
        for (other_at, other) in all.iter().enumerate().skip(at + 1) {
            // An address that means all of them has the others', that of IPv6 those of IPv4 too.
            let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
            if one.port() == 0 || one.port() != other.port() || !(one.ip() == other.ip() || is_all)
            {
                continue;
            }
            let (one_name, other_name) = (name(at), name(other_at));
            let message = format!("{one_name} at {one} and {other_name} at {other} are the same");
            found.push(
                Finding::new(Grade::Fail, "addresses", message).hint("give one another port"),
            );
        }
    }
    found
}

fn of_protocol(listen: &Listen) -> String {
    let name = match listen.protocol {
        Protocol::Postgres => "postgres",
        Protocol::Ssh => "ssh",
        Protocol::Http | Protocol::Kubernetes => "http",
    };
    format!("[listen.{name}]")
}

/// What people send to this machine in clear, from others.
fn in_clear(settings: &Settings) -> Vec<Finding> {
    let is_open = |address: &SocketAddr| !address.ip().is_loopback();
    let clients = settings.listeners.iter().filter(|it| it.tls.is_none());
    let clients = clients.filter(|it| it.protocol != Protocol::Ssh && is_open(&it.address));
    let mut found: Vec<Finding> = clients
        .map(|it| {
            let message =
                format!("{} clients speak in clear at {}", it.protocol.name(), it.address);
            Finding::new(Grade::Warn, "in clear", message)
                .hint("tls = { certificate = .., key = .. } of the listener, or a loopback address")
        })
        .collect();
    if is_open(&settings.admin) {
        let message = format!("the admin API takes tokens and passwords at {}", settings.admin);
        found.push(
            Finding::new(Grade::Warn, "in clear", message)
                .hint("`[admin] address` on loopback, with a proxy that speaks TLS before it"),
        );
    }
    found
}

fn data_dir(settings: &Settings) -> Vec<Finding> {
    let dir = &settings.data_dir;
    let shown = dir.display();
    // What stands behind a relative path of one name is the empty path.
    let mut whole = dir.ancestors().map(|path| match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    });
    let Some(there) = whole.find(|path| path.exists()).filter(|path| path.is_dir()) else {
        let message = format!("{shown} is no folder, or below something that is none");
        return vec![Finding::new(Grade::Fail, "data directory", message)];
    };
    let probe = there.join(format!(".weir-check-{}", std::process::id()));
    let written = std::fs::write(&probe, b"weir").and_then(|()| std::fs::remove_file(&probe));
    let mut findings = vec![match written {
        Ok(()) if there == dir => {
            Finding::new(Grade::Ok, "data directory", format!("{shown} is writable"))
        }
        Ok(()) => Finding::new(Grade::Ok, "data directory", format!("{shown} will be made")),
        Err(error) => {
            let message = format!("{} cannot be written: {error}", there.display());
            Finding::new(Grade::Fail, "data directory", message)
                .hint("give it to the user that weir runs as")
        }
    }];
    findings.push(disk(settings, there));
    if pool::copies_on_write(there).unwrap_or_default() {
        let message = "it copies on write (btrfs, ZFS, overlay): each record is written by a call";
        findings.push(
            Finding::new(Grade::Warn, "file system", message)
                .hint("ext4 and XFS take records by a store, which costs less"),
        );
    }
    findings
}

/// Room for the journal: every shard writes one segment, has one ready and others at the sealer.
fn disk(settings: &Settings, dir: &Path) -> Finding {
    let shards = settings.shards as u64;
    let needed = shards.saturating_mul(settings.journal.segment_bytes).saturating_mul(4);
    let Some(free) = free_bytes(dir) else {
        return Finding::new(Grade::Warn, "disk", "its free space cannot be read (no `df`)");
    };
    let message = format!("{} MiB free, the journal takes {} MiB", free >> 20, needed >> 20);
    if free < needed {
        return Finding::new(Grade::Fail, "disk", message)
            .hint("free space, or set a smaller segment in [journal]");
    }
    let grade = if free < needed.saturating_mul(4) { Grade::Warn } else { Grade::Ok };
    Finding::new(grade, "disk", message)
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kibibytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Whether an SSH target shows a key of the configuration; else the line to add.
fn host_key(target: &Target, endpoints: &[Endpoint]) -> Finding {
    let what = format!("target {}", target.name);
    let mut last = "it has no address".to_owned();
    for endpoint in endpoints {
        match ssh_visit::host_key(endpoint.address, &target.host_keys, REACH_TIMEOUT) {
            Err(problem) => last = problem,
            Ok(shown) => {
                let now_s =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
                return match target.host_keys.judge(&shown.host_key, &endpoint.host, now_s) {
                    Ok(()) => {
                        let (print, version) = (key::fingerprint(&shown.host_key), shown.version);
                        let message = format!("{version} shows a configured key, {print}");
                        Finding::new(Grade::Ok, what, message)
                    }
                    Err(why) => untrusted_key(what, &shown, &endpoint.host, &why),
                };
            }
        }
    }
    Finding::new(Grade::Fail, what, last)
}

/// The keys that SSH targets show whose `host_key` is missing or is none yet.
fn unknown_hosts(config: &Path) -> Vec<Finding> {
    let file = std::fs::read_to_string(config).ok();
    let file = file.and_then(|text| text.parse::<toml::Table>().ok());
    let targets = file.as_ref().and_then(|file| file.get("target")?.as_array());
    targets.into_iter().flatten().filter_map(unknown_host).collect()
}

fn unknown_host(target: &toml::Value) -> Option<Finding> {
    let is_key = |value: &toml::Value| {
        let blob = value.as_str().and_then(blob_of_line);
        blob.is_some_and(|blob| PublicKey::parse(&blob).is_ok())
    };
    let is_ssh = target.get("protocol")?.as_str() == Some("ssh");
    let is_known = match target.get("host_key").and_then(toml::Value::as_array) {
        Some(keys) => !keys.is_empty() && keys.iter().all(is_key),
        None => target.get("known_hosts").or_else(|| target.get("host_ca")).is_some(),
    };
    if !is_ssh || is_known {
        return None;
    }
    let what = format!("target {}", target.get("name")?.as_str()?);
    let address = target.get("address")?.as_str()?;
    let with_port = format!("{address}:22");
    let resolved = address.to_socket_addrs().or_else(|_| with_port.to_socket_addrs());
    let Some(address) = resolved.ok().and_then(|mut found| found.next()) else {
        return Some(Finding::new(Grade::Fail, what, format!("{address} does not resolve")));
    };
    Some(match ssh_visit::host_key(address, &HostTrust::default(), REACH_TIMEOUT) {
        Err(problem) => Finding::new(Grade::Fail, what, problem),
        Ok(shown) => strange_key(what, &shown),
    })
}

/// A key that is not configured, and the line to add.
fn strange_key(what: String, shown: &Shown) -> Finding {
    let (print, version) = (key::fingerprint(&shown.host_key), &shown.version);
    let message = format!("{version} shows a key that is not configured, {print}");
    let finding = Finding::new(Grade::Fail, what, message);
    // A certificate that cannot be read is no key.
    if PublicKey::parse(&shown.host_key).is_err() {
        return finding;
    }
    let line = key::line_of_blob(&shown.host_key).unwrap_or_default();
    finding.hint(format!("if it is the right one: host_key = [\"{line}\"]"))
}

/// A key or a certificate that is refused though its key or its CA may be known.
fn untrusted_key(what: String, shown: &Shown, host: &str, why: &Untrusted) -> Finding {
    let (print, version) = (key::fingerprint(&shown.host_key), &shown.version);
    let day = |at_s: &u64| match i64::try_from(at_s.saturating_mul(1_000_000)) {
        Ok(at_us) => clock::to_second(at_us),
        Err(_) => format!("second {at_s} since 1970"),
    };
    let anew = format!("sign the server's key anew: ssh-keygen -s CA -h -I NAME -n {host} KEY.pub");
    let (is, hint) = match why {
        Untrusted::Unknown => return strange_key(what, shown),
        Untrusted::Revoked => ("whose key is revoked by known_hosts".to_owned(), None),
        Untrusted::AuthorityRevoked => ("by a CA that known_hosts revokes".to_owned(), None),
        Untrusted::AuthorityUnknown(authority) => {
            let line = key::line_of_blob(authority).unwrap_or_default();
            let hint = format!("if it is the right CA: host_ca = [\"{line}\"]");
            ("by a CA that is not configured".to_owned(), Some(hint))
        }
        Untrusted::OfUser => ("that is for a user, not for a host".to_owned(), Some(anew)),
        Untrusted::Early(at_s) => (format!("that is not valid before {}", day(at_s)), None),
        Untrusted::Late(at_s) => (format!("that ended {}", day(at_s)), Some(anew)),
        Untrusted::Conditional(name) => {
            (format!("with the critical option {name}, which hosts have none of"), Some(anew))
        }
        Untrusted::Named(names) if names.is_empty() => {
            ("for no name, which would be any host".to_owned(), Some(anew))
        }
        Untrusted::Named(names) => {
            let names = names.join(", ");
            (format!("for {names}, but the target's address says {host}"), Some(anew))
        }
    };
    let kind = match PublicKey::parse(&shown.host_key) {
        Ok(_) => "key",
        Err(_) => "certificate",
    };
    let message = format!("{version} shows a {kind} {is}, {print}");
    let finding = Finding::new(Grade::Fail, what, message);
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// A target that requests are sent to, each with its credential: that it can be reached, and is who
/// it should be.
fn answers(target: &Target, endpoints: &[Endpoint]) -> Finding {
    let what = format!("target {}", target.name);
    let mut last = "it has no address".to_owned();
    for endpoint in endpoints {
        match TcpStream::connect_timeout(&endpoint.address, REACH_TIMEOUT) {
            Ok(stream) => match handshake(target, endpoint, stream) {
                Ok(tls) => {
                    let message = format!("listens at {}, {tls}", endpoint.address);
                    return Finding::new(Grade::Ok, what, message);
                }
                Err(why) => last = format!("no TLS with {}: {why}", endpoint.address),
            },
            Err(error) => last = format!("cannot connect to {}: {error}", endpoint.address),
        }
    }
    Finding::new(Grade::Fail, what, last)
}

/// Logs in with every credential of a target, or finds out as much as its protocol lets.
fn reach(target: &Target) -> Reached {
    let what = format!("target {}", target.name);
    let mut reached = Reached::default();
    let Reached { findings, endpoints } = &mut reached;
    for host in &target.reach.hosts {
        match (host.name.as_str(), host.port).to_socket_addrs() {
            Ok(found) => endpoints.extend(found.map(|address| {
                let host = host.name.as_str().into();
                Endpoint { host, address }
            })),
            Err(error) => {
                let message = format!("{} does not resolve: {error}", host.name);
                findings.push(Finding::new(Grade::Fail, what.clone(), message));
            }
        }
    }
    if endpoints.is_empty() {
        return reached;
    }
    match target.protocol {
        Protocol::Ssh => findings.push(host_key(target, endpoints)),
        Protocol::Postgres => findings.extend(logins(target, endpoints)),
        _ => findings.push(answers(target, endpoints)),
    }
    reached
}

/// What was found at a target, and where it is.
#[derive(Default)]
struct Reached {
    findings: Vec<Finding>,
    endpoints: Vec<Endpoint>,
}

/// Speaks TLS with a target as the shards will, if it is to be spoken; says what was agreed on.
fn handshake(
    target: &Target,
    endpoint: &Endpoint,
    mut stream: TcpStream,
) -> Result<&'static str, String> {
    if target.tls == TargetTls::Disable {
        return Ok("in clear");
    }
    let wait = Some(REACH_TIMEOUT);
    let timed = stream.set_read_timeout(wait).and_then(|()| stream.set_write_timeout(wait));
    timed.map_err(|error| error.to_string())?;
    let mut tls =
        shard::tls::client(target, &endpoint.host).map_err(|problem| problem.to_string())?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(match target.tls {
        TargetTls::VerifyFull => "with TLS, chain and name verified",
        TargetTls::VerifyCa => "with TLS, its chain verified",
        _ => "with TLS, unverified",
    })
}

fn logins(target: &Target, endpoints: &[Endpoint]) -> Vec<Finding> {
    let what = format!("target {}", target.name);
    let logins = target.credentials.iter().map(|credential| {
        match Connection::open(target, credential, endpoints, REACH_TIMEOUT) {
            Ok(connection) => {
                let tls = connection.tls_version.as_deref().unwrap_or("in clear");
                let message = format!(
                    "{} logs in at {}, PostgreSQL {}, {tls}",
                    credential.role, connection.address, connection.server_version
                );
                Finding::new(Grade::Ok, what.clone(), message)
            }
            Err(error) => {
                let message = format!("{} cannot log in: {error}", credential.role);
                Finding::new(Grade::Fail, what.clone(), message)
            }
        }
    });
    logins.collect()
}

/// The catalog of a target where all is well so far.
fn shapes(target: &Target, reached: &mut Reached) -> Option<Catalog> {
    let is_well = reached.findings.iter().all(|it| it.grade == Grade::Ok);
    if !catalog::is_read(target) || !is_well {
        return None;
    }
    let what = format!("target {}", target.name);
    match catalog::read(target, &reached.endpoints) {
        Ok(catalog) => {
            let message = format!("catalog of {} relations", catalog.relations.len());
            reached.findings.push(Finding::new(Grade::Ok, what, message));
            Some(catalog)
        }
        Err(error) => {
            reached.findings.push(Finding::new(Grade::Fail, what, format!("no catalog: {error}")));
            None
        }
    }
}

/// Reads what an issuer says about itself, and its keys.
fn ask(issuer: &Issuer) -> Vec<Finding> {
    let name = &issuer.policy.issuer;
    let what = format!("issuer {name}");
    let asked = Web::new(name, issuer.root_certificates.as_deref()).and_then(|web| {
        let provider = web.discover(name)?;
        let keys = web.keys(&provider)?;
        Ok((provider, keys))
    });
    let (provider, keys) = match asked {
        Ok(answers) => answers,
        Err(error) => {
            let finding = Finding::new(Grade::Fail, what, error.to_string());
            return vec![match error {
                IssuerError::OtherIssuer { .. } => {
                    finding.hint("write `issuer` as the issuer itself does")
                }
                IssuerError::Unreachable { .. } if issuer.root_certificates.is_some() => {
                    finding.hint("for a certificate of your own give root_certificates")
                }
                _ => finding,
            }];
        }
    };
    let mut message = format!("{} keys that verify tokens", keys.len());
    if keys.ignored() > 0 {
        message.push_str(&format!(", {} for other things", keys.ignored()));
    }
    let mut findings = vec![Finding::new(Grade::Ok, what.clone(), message)];
    findings.extend(device_login(issuer, &provider, what));
    findings
}

/// Whether `weir login` can work, if the file gives it a client id.
fn device_login(issuer: &Issuer, provider: &Provider, what: String) -> Option<Finding> {
    issuer.client_id.as_ref()?;
    let offered =
        provider.device_authorization_endpoint.is_some() && provider.token_endpoint.is_some();
    Some(if offered {
        Finding::new(Grade::Ok, what, "`weir login` can ask it for tokens")
    } else {
        Finding::new(Grade::Warn, what, "it does not let devices log in, so `weir login` cannot")
            .hint("people have to get their tokens in another way")
    })
}

const SESSIONS_MIN: usize = 8_000;
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_one_address_are_a_mistake() {
        let check = |postgres: &str, http: &str, admin: &str, expect: &[&str]| {
            let text = format!(
                "data_dir = \"d\"\n[listen.postgres]\naddress = \"{postgres}\"\n\
                 [listen.http]\naddress = \"{http}\"\n[admin]\naddress = \"{admin}\"\n\
                 [[target]]\nname = \"a\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:1\"\n\
                 tls = \"disable\"\n\
                 [[target.credential]]\nrole = \"app\"\npassword = {{ env = \"P\" }}\n"
            );
            let env = |_: &str| Some("secret".to_owned());
            let settings = crate::config::parse(&text, "t", Path::new(""), &env).unwrap();
            let found = shared_addresses(&settings);
            assert!(found.iter().all(|finding| finding.grade == Grade::Fail));
            let found: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
            assert_eq!(found, expect);
        };
        check("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", &[]);
        check("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", &[]);
        check("127.0.0.2:1", "127.0.0.1:1", "127.0.0.1:3", &[]);
        let admin = "[listen.postgres] at 127.0.0.1:1 and [admin] at 127.0.0.1:1 are the same";
        check("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1", &[admin]);
        let all = "[listen.postgres] at [::]:1 and [listen.http] at 127.0.0.1:1 are the same";
        check("[::]:1", "127.0.0.1:1", "127.0.0.1:3", &[all]);
    }
}
