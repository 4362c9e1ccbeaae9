//! `[[target]]` and its credentials.
//!
//! In: a section. Out: `Target`s. Never: a password that stands in the file itself.

use std::path::PathBuf;

use super::super::load::Source;
use super::super::report::Report;
use super::super::secret::SecretSource;
use super::super::section::{At, Section, shown};
use super::super::settings::{
    Capture, ChannelBinding, Credential, Durability, KeyPair, Secret, Speaks, Target, TargetTls,
    TlsNegotiation,
};
use super::super::units;
use super::reach::{client_certificate, reach};
use super::{existing_file, ssh, system_roots};
use crate::limits;
use crate::wire::Protocol;

/// The modes of libpq's `sslmode` that weir speaks. `allow` is not among them: it tries in clear
/// first.
pub(in crate::config) const TLS_MODES: [(&str, TargetTls); 5] = [
    ("disable", TargetTls::Disable),
    ("prefer", TargetTls::Prefer),
    ("require", TargetTls::Require),
    ("verify-ca", TargetTls::VerifyCa),
    ("verify-full", TargetTls::VerifyFull),
];

/// `sslnegotiation` of libpq 17.
pub(in crate::config) const NEGOTIATIONS: [(&str, TlsNegotiation); 2] =
    [("postgres", TlsNegotiation::Postgres), ("direct", TlsNegotiation::Direct)];

const CHANNEL_BINDINGS: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

/// PostgreSQL's port.
pub(in crate::config) const PORT_DEFAULT: u16 = 5432;

/// The targets, and the names of those that could not be made.
pub(super) fn targets(
    root: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> (Vec<Target>, Vec<String>) {
    if !root.has("target") {
        root.missing("target", "at least one [[target]]", report);
    }
    let (mut targets, mut failed): (Vec<Target>, Vec<String>) = Default::default();
    for mut section in root.sections("target", "[[target]]", report) {
        let name = section.required_text("name", report);
        if let Some(name) = &name
            && targets.iter().any(|target| target.name == name.value)
        {
            let found = format!("a second target `{}`", name.value);
            report.error(name.span.clone(), found, "names that differ", "");
        }
        let named = name.as_ref().map(|name| name.value.to_owned());
        let target = target(&mut section, name, source, report);
        if targets.iter().chain(&target).filter(|target| target.replication).count() > 1 {
            let found = "a second target with `replication = true`";
            let hint = "physical replication connections name no database: one target gets them";
            report.error(section.span(), found, "one such target", hint);
        }
        // A target that could not be made was not read to its end: its other keys are not unknown.
        if target.is_some() {
            section.finish(report);
        } else {
            failed.extend(named);
        }
        targets.extend(target);
    }
    (targets, failed)
}

fn target(
    section: &mut Section<'_>,
    name: Option<At<&str>>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Target> {
    let protocols = [
        ("postgres", (Protocol::Postgres, Speaks::Http)),
        ("http", (Protocol::Http, Speaks::Http)),
        ("mcp", (Protocol::Http, Speaks::Mcp)),
        ("kubernetes", (Protocol::Kubernetes, Speaks::Kubernetes)),
        ("ssh", (Protocol::Ssh, Speaks::Http)),
    ];
    let choice = section.choice("protocol", &protocols, report);
    let (protocol, speaks) = choice.unwrap_or((Protocol::Postgres, Speaks::Http));
    match protocol {
        Protocol::Ssh => return ssh::target(section, name, source, report),
        Protocol::Http | Protocol::Kubernetes => {
            return super::http::target(section, (name, speaks), source, report);
        }
        Protocol::Postgres => {}
    }
    let reach = reach(section, PORT_DEFAULT, report);
    let database = section.text("database", report);
    // The credential crosses this connection: without a word in the file, the safest mode.
    let tls = section.choice("tls", &TLS_MODES, report).unwrap_or(TargetTls::VerifyFull);
    let negotiation = negotiation(section, tls, report);
    let client_certificate = own_certificate(section, tls, source, report);
    let root_certificates = roots_of(section, tls, source, report)?;
    let channel_binding = section.choice("channel_binding", &CHANNEL_BINDINGS, report);
    let replication = section.boolean("replication", report).unwrap_or(false);
    let durability = durability(section, report);
    let capture = capture(section, report);
    let credentials = credentials(section, source, report);
    let name = name?.value.to_owned();
    Some(Target {
        protocol,
        database: database.map_or_else(|| name.clone(), |database| database.value.to_owned()),
        name,
        reach: reach?,
        tls,
        negotiation,
        root_certificates,
        client_certificate,
        channel_binding: channel_binding.unwrap_or(ChannelBinding::Prefer),
        input: crate::config::settings::Input::Counted,
        host_keys: crate::wire::ssh::hosts::HostTrust::default(),
        strict_kex: false,
        replication,
        durability,
        capture,
        credentials,
        http: None,
    })
}

/// The roots that a target's certificate is verified with; `None` when a problem was reported.
pub(super) fn roots_of(
    section: &mut Section<'_>,
    tls: TargetTls,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Option<PathBuf>> {
    let roots = section.text("root_certificates", report);
    match (roots, tls) {
        (Some(roots), _) => existing_file(Some(roots), source, report).map(Some),
        (None, TargetTls::VerifyCa | TargetTls::VerifyFull) => {
            let system = system_roots();
            if system.is_none() {
                section.missing("root_certificates", "a PEM file of the roots to trust", report);
            }
            Some(system)
        }
        (None, TargetTls::Disable | TargetTls::Prefer | TargetTls::Require) => Some(None),
    }
}

fn negotiation(
    section: &mut Section<'_>,
    tls: TargetTls,
    report: &mut Report<'_>,
) -> TlsNegotiation {
    let negotiation = section.choice("tls_negotiation", &NEGOTIATIONS, report);
    let weak = matches!(tls, TargetTls::Disable | TargetTls::Prefer);
    if negotiation == Some(TlsNegotiation::Direct) && weak {
        // As libpq: a server that does not know it hangs up, and there is no way back to clear.
        let found = "`tls_negotiation = \"direct\"` with a `tls` that does not ask for TLS";
        report.error(section.span(), found, "`tls` of `require` or stronger", "");
    }
    negotiation.unwrap_or(TlsNegotiation::Postgres)
}

pub(super) fn own_certificate(
    section: &mut Section<'_>,
    tls: TargetTls,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<KeyPair> {
    // A problem was reported, so that the target is never used without it.
    let pair = client_certificate(section, source, report).unwrap_or_default();
    if pair.is_some() && tls == TargetTls::Disable {
        let found = "`client_certificate` with `tls = \"disable\"`";
        report.error(section.span(), found, "another `tls`", "or leave the certificate out");
    }
    pair
}

pub(super) fn durability(section: &mut Section<'_>, report: &mut Report<'_>) -> Durability {
    let Some(text) = section.text("durability", report) else { return Durability::Write };
    if text.value == "relaxed" {
        let found = "`durability`: the mode `relaxed` is not built yet";
        report.error(text.span, found, "`sync` or `write`", "");
        return Durability::Write;
    }
    let choices = [("sync", Durability::Sync), ("write", Durability::Write)];
    super::super::section::choose("durability", &text, &choices, report)
        .unwrap_or(Durability::Write)
}

pub(super) fn capture(target: &mut Section<'_>, report: &mut Report<'_>) -> Capture {
    let default = Capture::Head(limits::CAPTURE_BYTES_DEFAULT);
    let Some(mut section) = target.section("capture", "`capture` of [[target]]", report) else {
        return default;
    };
    let size = section.form("bytes", (units::size_bytes, units::SIZE_FORM), report);
    let bytes = size.as_ref().map_or(limits::CAPTURE_BYTES_DEFAULT, |size| size.value);
    let choices =
        [("summary", Capture::Summary), ("head", Capture::Head(bytes)), ("full", Capture::Full)];
    let capture = section.choice("responses", &choices, report).unwrap_or(Capture::Head(bytes));
    if let (Some(size), Capture::Summary | Capture::Full) = (size, capture) {
        report.error(size.span, "`bytes` without `responses = \"head\"`", "", "leave it out");
    }
    section.finish(report);
    capture
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
    let mut everybody = false;
    for mut section in target.sections("credential", "[[target.credential]]", report) {
        let role = section.required_text("role", report);
        if !section.has("password") {
            section.missing("password", PASSWORD_FORM, report);
        }
        let password = password(&mut section, source, report);
        let groups = section.texts("groups", report);
        if everybody {
            let found = "a login with a password never gets this credential: one before it is for \
                         everybody";
            let hint = "tokens and certificates get it by asking for its role; for passwords too, \
                        put credentials with `groups` first";
            report.warning(section.span(), found, hint);
        }
        everybody |= !section.has("groups");
        section.finish(report);
        if let (Some(role), Some(password)) = (role, password) {
            let groups = groups.iter().map(|group| group.value.to_owned()).collect();
            let role = role.value.to_owned();
            credentials.push(Credential { role, password, proof: None, header: None, groups });
        }
    }
    credentials
}

const PASSWORD_FORM: &str =
    "`{ file = \"...\" }`, `{ env = \"...\" }` or `{ command = [\"...\"] }`";

/// The `password` of a credential or a user, fetched.
pub(super) fn password(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Secret> {
    secret(section, "password", source, report)
}

/// A secret under `key`, fetched.
pub(super) fn secret(
    section: &mut Section<'_>,
    key: &'static str,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Secret> {
    let value = section.take(key)?;
    let Some(table) = value.get_ref().as_table() else {
        let hint = "a secret does not belong into the configuration file";
        report.error(value.span(), format!("`{key}` is {}", shown(value)), PASSWORD_FORM, hint);
        return None;
    };
    let mut fields = Section::new(table, value.span(), &format!("`{key}`"));
    let file = fields.text("file", report);
    let env = fields.text("env", report);
    let command = fields.texts("command", report);
    fields.finish(report);
    let from = match (file, env, command.as_slice()) {
        (Some(file), None, []) => SecretSource::File(source.path(file.value)),
        (None, Some(env), []) => SecretSource::Env(env.value.to_owned()),
        (None, None, [_, ..]) => {
            SecretSource::Command(command.iter().map(|word| word.value.to_owned()).collect())
        }
        _ => {
            report.error(value.span(), format!("`{key}` has no single source"), PASSWORD_FORM, "");
            return None;
        }
    };
    match from.fetch(source.env) {
        Ok(secret) => Some(secret),
        Err(reason) => {
            report.error(value.span(), format!("no password: {reason}"), "", "");
            None
        }
    }
}
