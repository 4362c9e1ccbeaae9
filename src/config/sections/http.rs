//! A target that speaks HTTP: its URL, the name that clients use, what weir shows it.
//!
//! In: a `[[target]]` with `protocol = "http"`, `"mcp"` or `"kubernetes"`. Out: `Target`.
//! Never: a credential from the file itself; a default that sends one in clear unasked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::load::Source;
use super::super::report::Report;
use super::super::section::{At, Section};
use super::super::settings::{
    ChannelBinding, Credential, Header, Host, HttpTarget, Reach, Secret, SessionAttrs, Speaks,
    Target, TargetTls, TlsNegotiation,
};
use super::super::units;
use super::reach::keep_alive;
use super::targets::{TLS_MODES, capture, durability, own_certificate, roots_of, secret};
use crate::decide::http::{Class, Exception};
use crate::limits;
use crate::wire::Protocol;
use crate::wire::http::check;

const EXCEPTION_FORM: &str = "a method and a path such as \"POST /search\" or \"GET /run/*\"";
const ADDRESS_FORM: &str = "a URL such as \"https://billing.internal:8443\"";
/// How long clients of held requests may be made to wait.
const WAIT_US: std::ops::RangeInclusive<u64> = 1_000_000..=600_000_000;
/// Fields that weir writes itself, or that are the client's.
const NOT_A_CREDENTIAL: &str = "a field that weir does not write itself";

/// A target of HTTP; `None` when a part that it cannot do without is missing.
pub(super) fn target(
    section: &mut Section<'_>,
    (name, speaks): (Option<At<&str>>, Speaks),
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Target> {
    let protocol = match speaks {
        Speaks::Kubernetes => Protocol::Kubernetes,
        Speaks::Http | Speaks::Mcp => Protocol::Http,
    };
    let url = section.required_text("address", report);
    let host = section.text("host", report);
    let wait_us = wait_us(section, speaks, report);
    let opaque = opaque(section, report);
    let client_fields = client_fields(section, report);
    let origins = origins(section, report);
    let exceptions = exceptions(section, speaks, report);
    let version = section.choice("http", &[("1.1", false), ("2", true)], report);
    let sends = section.choice("send_host", &[("target", false), ("client", true)], report);
    let duration = (units::duration_us, units::DURATION_FORM);
    let timeout = section.form("connect_timeout", duration, report);
    let keepalive = keep_alive(section, "`keepalive` of [[target]]", report);
    let place = url.and_then(|url| place(&url, report));
    let tls = tls(place.as_ref().is_some_and(|place| place.is_tls), section, report);
    let client_certificate = own_certificate(section, tls, source, report);
    let root_certificates = roots_of(section, tls, source, report)?;
    let durability = durability(section, report);
    let capture = capture(section, report);
    let credentials = credentials(section, protocol, source, report);
    if protocol == Protocol::Kubernetes {
        has_proof(section, &credentials, client_certificate.is_some(), report);
    }
    let name = name?.value.to_owned();
    let Place { host: server, authority, path, is_tls } = place?;
    let known_as = known_as(host, &name, report)?;
    Some(Target {
        protocol,
        database: String::new(),
        name,
        reach: Reach {
            hosts: vec![server],
            shuffled: false,
            attrs: SessionAttrs::Any,
            connect_timeout_us: timeout.map(|timeout| timeout.value),
            keepalive,
        },
        tls,
        negotiation: TlsNegotiation::Direct,
        root_certificates,
        client_certificate,
        channel_binding: ChannelBinding::Disable,
        replication: false,
        durability,
        capture,
        input: crate::config::settings::Input::Counted,
        host_keys: crate::wire::ssh::hosts::HostTrust::default(),
        strict_kex: false,
        credentials,
        http: Some(HttpTarget {
            host: known_as,
            authority,
            path,
            sends_client_host: sends.unwrap_or(false),
            is_tls,
            speaks_two: version.unwrap_or(false),
            speaks,
            wait_us,
            opaque,
            client_fields,
            origins,
            exceptions,
        }),
    })
}

/// Fields that clients may send although targets may take them for their proxy's word.
fn client_fields(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    use crate::wire::http::name::{Fate, Name};
    let given = section.texts("client_fields", report);
    for name in &given {
        let bare = name.value.replace('*', "x");
        let is_own = Name::read(bare.as_bytes()).map(Name::in_request) != Ok(Fate::Pass);
        if !check::is_token(name.value.as_bytes()) || is_own {
            let found = format!("`client_fields` has \"{}\"", name.value);
            report.error(name.span.clone(), found, NOT_A_CREDENTIAL, "");
        }
    }
    given.iter().map(|name| name.value.to_owned()).collect()
}

/// How a target that is reached by `https`, or is not, is verified.
fn tls(is_tls: bool, section: &mut Section<'_>, report: &mut Report<'_>) -> TargetTls {
    match (is_tls, section.choice("tls", &TLS_MODES, report)) {
        (false, _) => TargetTls::Disable,
        (true, None | Some(TargetTls::Disable | TargetTls::Prefer)) => TargetTls::VerifyFull,
        (true, Some(tls)) => tls,
    }
}

/// Types that pass unmasked.
fn opaque(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let given = section.texts("opaque", report);
    given.iter().map(|kind| kind.value.to_ascii_lowercase()).collect()
}

/// Requests whose class their method does not say.
fn exceptions(
    section: &mut Section<'_>,
    speaks: Speaks,
    report: &mut Report<'_>,
) -> Vec<Exception> {
    // Elsewhere the content of a request says what it is, or the API of its cluster.
    if speaks != Speaks::Http {
        return Vec::new();
    }
    let lists = [
        ("reads", Class::Read),
        ("writes", Class::Write),
        ("deletes", Class::Delete),
        ("calls", Class::Call),
    ];
    let mut all = Vec::new();
    for (key, class) in lists {
        for text in section.texts(key, report) {
            let exception = Exception::read(class, text.value)
                .filter(|it| class != Class::Call || it.method == "POST");
            if exception.is_none() {
                let found = format!("`{key}` has \"{}\"", text.value);
                report.error(text.span.clone(), found, EXCEPTION_FORM, "");
            }
            all.extend(exception);
        }
    }
    all
}

/// Origins whose pages may ask.
fn origins(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let given = section.texts("origins", report);
    for origin in &given {
        let is_one = origin.value.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https") && check::authority(authority.as_bytes()).is_ok()
        });
        if !is_one {
            let found = format!("`origins` has \"{}\"", origin.value);
            let form = "an origin such as \"https://app.example.com\"";
            report.error(origin.span.clone(), found, form, "");
        }
    }
    given.iter().map(|origin| origin.value.to_owned()).collect()
}

/// How long clients of held requests wait.
fn wait_us(section: &mut Section<'_>, speaks: Speaks, report: &mut Report<'_>) -> u64 {
    let wait = section.form("wait", (units::duration_us, units::DURATION_FORM), report);
    if let Some(wait) = &wait
        && !WAIT_US.contains(&wait.value)
    {
        let found = "`wait` is out of range";
        report.error(wait.span.clone(), found, "a duration from 1s to 10m", "");
    }
    let usual_us = match speaks {
        // kubectl and helm wait for as long as it takes, and send nothing again.
        Speaks::Kubernetes => u64::MAX,
        Speaks::Http | Speaks::Mcp => limits::HTTP_HOLD_WAIT_US,
    };
    wait.map_or(usual_us, |wait| wait.value)
}

/// The name that clients use: `host`, or the target's own.
fn known_as(host: Option<At<&str>>, name: &str, report: &mut Report<'_>) -> Option<String> {
    match host {
        Some(host) if check::authority(host.value.as_bytes()).is_err() => {
            let found = format!("`host` is \"{}\"", host.value);
            report.error(host.span, found, "a name such as \"billing.example.com\"", "");
            None
        }
        Some(host) => Some(host.value.to_ascii_lowercase()),
        None => Some(name.to_ascii_lowercase()),
    }
}

/// What a URL says.
struct Place {
    host: Host,
    authority: String,
    path: String,
    is_tls: bool,
}

fn place(url: &At<&str>, report: &mut Report<'_>) -> Option<Place> {
    let text = url.value;
    let read = || {
        let (is_tls, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        check::authority(authority.as_bytes()).ok()?;
        let path = path.trim_end_matches('/');
        if !path.is_empty() {
            check::target(b"GET", path.as_bytes()).ok()?;
        }
        if path.contains('?') {
            return None;
        }
        let (name, port) = units::host_port(authority, Some(if is_tls { 443 } else { 80 }))?;
        let (authority, path) = (authority.to_ascii_lowercase(), path.to_owned());
        Some(Place { host: Host { name, port }, authority, path, is_tls })
    };
    let place = read();
    if place.is_none() {
        report.error(url.span.clone(), format!("`address` is \"{text}\""), ADDRESS_FORM, "");
    }
    place
}

/// An apiserver asks who weir is: without an answer nobody could be impersonated.
fn has_proof(
    section: &Section<'_>,
    credentials: &[Credential],
    has_certificate: bool,
    report: &mut Report<'_>,
) {
    if !has_certificate && credentials.iter().any(|credential| credential.header.is_none()) {
        let found = "a credential of a cluster without `token`, and no `client_certificate`";
        let hint = "the account needs the right to impersonate users and groups, nothing else";
        report.error(section.span(), found, "`token = { file = \"...\" }`", hint);
    }
}

fn credentials(
    target: &mut Section<'_>,
    protocol: Protocol,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Vec<Credential> {
    let mut credentials = Vec::new();
    for mut section in target.sections("credential", "[[target.credential]]", report) {
        let role = section.required_text("role", report);
        let header = match protocol {
            Protocol::Kubernetes => bearer("token", &mut section, source, report),
            _ => header(&mut section, source, report),
        };
        let groups = section.texts("groups", report);
        section.finish(report);
        if let Some(role) = role {
            let groups = groups.iter().map(|group| group.value.to_owned()).collect();
            let password = Secret::new(String::new());
            let role = role.value.to_owned();
            credentials.push(Credential { role, password, proof: None, header, groups });
        }
    }
    if credentials.is_empty() {
        // A target that asks for nothing has one role, which everybody has.
        credentials.push(Credential {
            role: String::new(),
            password: Secret::new(String::new()),
            proof: None,
            header: None,
            groups: Vec::new(),
        });
    }
    credentials
}

/// A token as `Authorization`.
fn bearer(
    key: &'static str,
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Header> {
    let token = secret(section, key, source, report)?;
    let value = Secret::new(format!("Bearer {}", token.reveal()));
    checked(Header { name: "Authorization".into(), value }, section, report)
}

/// `header = { name, value }`, `basic = { user, password }` or `bearer = { file = ... }`.
fn header(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Header> {
    let authorization =
        |value: String| Header { name: "Authorization".into(), value: Secret::new(value) };
    if section.has("bearer") {
        return bearer("bearer", section, source, report);
    }
    if let Some(mut basic) = section.section("basic", "`basic`", report) {
        let user = basic.required_text("user", report);
        let password = secret(&mut basic, "password", source, report);
        basic.finish(report);
        let pair = format!("{}:{}", user?.value, password?.reveal());
        return Some(authorization(format!("Basic {}", STANDARD.encode(pair))));
    }
    let mut given = section.section("header", "`header`", report)?;
    let name = given.required_text("name", report);
    let value = secret(&mut given, "value", source, report);
    given.finish(report);
    let header = Header { name: name?.value.to_owned(), value: value? };
    checked(header, section, report)
}

fn checked(header: Header, section: &Section<'_>, report: &mut Report<'_>) -> Option<Header> {
    use crate::wire::http::name::{Fate, Name};
    let name = header.name.as_bytes();
    let known = Name::read(name);
    let is_free = known.is_ok_and(|known| {
        known == Name::Authorization || (known.in_request() == Fate::Pass && !known.is_hop_by_hop())
    });
    if !check::is_token(name) || !is_free {
        let found = format!("a credential in the field \"{}\"", header.name);
        report.error(section.span(), found, NOT_A_CREDENTIAL, "");
        return None;
    }
    if check::value(header.value.reveal().as_bytes()).is_err() || header.value.reveal().is_empty() {
        report.error(section.span(), "a credential that no field can hold", "one line of text", "");
        return None;
    }
    Some(header)
}
