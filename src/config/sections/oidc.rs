//! `[[identity.oidc]]`: issuers whose tokens say who a client is.
//!
//! In: the section `[identity]`. Out: `Issuer`s. Never: an issuer reached in clear beyond this
//! machine; keys that came over such a connection could be anybody's.

use serde_json::Value;
use toml::de::DeValue;

use super::super::load::Source;
use super::super::report::Report;
use super::super::section::{Section, choose, shown};
use super::super::settings::{Issuer, TokenLogin};
use super::super::units;
use super::{existing_file, system_roots};
use crate::identify::jwk::{ALGORITHMS, Algorithm};
use crate::identify::token::Policy;

/// How a person is asked for the token.
const LOGINS: [(&str, TokenLogin); 2] =
    [("password", TokenLogin::Password), ("oauthbearer", TokenLogin::OauthBearer)];
/// Clocks that differ by more are wrong, and a token that is good for longer than its issuer says
/// is a risk.
const LEEWAY_US_MAX: u64 = 300_000_000;
const LEEWAY_S_DEFAULT: u32 = 30;
/// What OpenID Connect asks every client to ask for.
pub(in crate::config) const SCOPE_DEFAULT: &str = "openid";

/// All of them. `tls` says whether clients can connect with TLS.
pub(super) fn issuers(
    identity: &mut Section<'_>,
    tls: bool,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Vec<Issuer> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for mut section in identity.sections("oidc", "[[identity.oidc]]", report) {
        if !tls && issuers.is_empty() {
            let found = "[[identity.oidc]] without `tls` of a listener";
            let hint = "a token is taken over TLS only: whoever reads it can log in with it";
            report.error(section.span(), found, "a certificate for clients", hint);
        }
        let issuer = issuer(&mut section, source, report);
        if let Some(issuer) = issuer {
            compare(&issuer, &issuers, &section, report);
            issuers.push(issuer);
        }
        section.finish(report);
    }
    issuers
}

/// What a further issuer may not have in common with those before it, and what it must.
fn compare(issuer: &Issuer, before: &[Issuer], section: &Section<'_>, report: &mut Report<'_>) {
    let name = &issuer.policy.issuer;
    if before.iter().any(|other| other.policy.issuer == *name) {
        report.error(
            section.span(),
            format!("a second issuer `{name}`"),
            "issuers that differ",
            "",
        );
    }
    let prefix = &issuer.policy.username_prefix;
    if before.iter().any(|other| other.policy.username_prefix == *prefix) {
        let found = "two issuers with the same `username_prefix`, or without one";
        let hint = "whom one of them calls alice is then whom the other calls so";
        report.warning(section.span(), found, hint);
    }
    if before.first().is_some_and(|first| first.login != issuer.login) {
        let hint = "the token is asked for before anybody knows which issuer made it";
        report.error(section.span(), "`login` differs from that of the first issuer", "", hint);
    }
}

fn issuer(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Issuer> {
    if !section.has("issuer") {
        section.missing("issuer", units::ISSUER_FORM, report);
    }
    let url = section.form("issuer", (units::issuer, units::ISSUER_FORM), report);
    let audience = section.required_text("audience", report);
    let username_claim = section.text("username_claim", report);
    let groups_claim = section.text("groups_claim", report);
    let username_prefix = section.text("username_prefix", report);
    let groups_prefix = section.text("groups_prefix", report);
    let required = required_claims(section, report);
    let scope = section.text("scope", report);
    let client_id = section.text("client_id", report);
    let login = section.choice("login", &LOGINS, report).unwrap_or(TokenLogin::Password);
    let leeway_s = leeway(section, report);
    let algorithms = section.words(
        "algorithms",
        |text, report| choose("algorithms", text, &ALGORITHMS, report),
        report,
    );
    let roots = section.text("root_certificates", report);
    let secure = url.as_ref().is_some_and(|url| url.value.starts_with("https:"));
    let root_certificates = match roots {
        Some(roots) if !secure && url.is_some() => {
            let found = "`root_certificates` for an issuer that is reached in clear";
            report.error(roots.span, found, "", "leave it out, or write https://");
            None
        }
        Some(roots) => Some(existing_file(Some(roots), source, report)?),
        None if secure => {
            let system = system_roots();
            if system.is_none() {
                section.missing("root_certificates", "a PEM file of the roots to trust", report);
            }
            system
        }
        None => None,
    };
    let text = |given: Option<super::At<&str>>, default: &str| {
        given.map_or_else(|| default.to_owned(), |at| at.value.to_owned())
    };
    Some(Issuer {
        policy: Policy {
            issuer: url?.value,
            audience: audience?.value.to_owned(),
            username_claim: text(username_claim, "sub"),
            groups_claim: text(groups_claim, "groups"),
            username_prefix: text(username_prefix, ""),
            groups_prefix: text(groups_prefix, ""),
            required,
            algorithms: match algorithms.as_slice() {
                [] => all_algorithms(),
                _ => algorithms,
            },
            leeway_s,
        },
        scope: text(scope, SCOPE_DEFAULT),
        client_id: client_id.map(|id| id.value.to_owned()),
        root_certificates,
        login,
    })
}

/// `{ hd = "example.com", email_verified = true }`: what claims have to be.
fn required_claims(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<(String, Value)> {
    const FORM: &str = "a table of claims and the text, number or boolean each has to be";
    let Some(value) = section.take("required_claims") else { return Vec::new() };
    let Some(table) = value.get_ref().as_table() else {
        report.error(value.span(), format!("`required_claims` is {}", shown(value)), FORM, "");
        return Vec::new();
    };
    let mut required = Vec::new();
    for (name, value) in table.iter() {
        let wanted = match value.get_ref() {
            DeValue::String(text) => Some(Value::from(text.as_ref())),
            DeValue::Boolean(boolean) => Some(Value::from(*boolean)),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::from)
            }
            _ => None,
        };
        match wanted {
            Some(wanted) => required.push((name.get_ref().to_string(), wanted)),
            None => report.error(value.span(), format!("a claim is {}", shown(value)), FORM, ""),
        }
    }
    required
}

fn all_algorithms() -> Vec<Algorithm> {
    ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect()
}

fn leeway(section: &mut Section<'_>, report: &mut Report<'_>) -> u32 {
    let form = (units::duration_us, units::DURATION_FORM);
    let Some(leeway) = section.form("leeway", form, report) else { return LEEWAY_S_DEFAULT };
    if leeway.value > LEEWAY_US_MAX {
        let expected = "a duration from 0s to 5m";
        report.error(leeway.span, "`leeway` is out of range", expected, "");
    }
    u32::try_from(leeway.value / 1_000_000).unwrap_or(LEEWAY_S_DEFAULT)
}
