//! `[approvals]`, `[[person]]` and `[[webhook]]`: who answers commands that wait, and how they hear
//! of them.
//!
//! In: the file. Out: `ApprovalSettings`. Never: an identity that belongs to two people; an
//! endpoint reached in clear beyond this machine; an address of an endpoint in a message, which may
//! be its password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::load::Source;
use super::super::report::Report;
use super::super::section::Section;
use super::super::settings::{ApprovalSettings, Secret, Webhook, WebhookBody, WebhookContent};
use super::super::units;
use super::targets::secret;
use super::{existing_file, system_roots};
use crate::limits;

const BODIES: [(&str, WebhookBody); 2] =
    [("standard", WebhookBody::Standard), ("slack", WebhookBody::Slack)];
const CONTENTS: [(&str, WebhookContent); 3] = [
    ("none", WebhookContent::None),
    ("shape", WebhookContent::Shape),
    ("text", WebhookContent::Text),
];
/// Standard Webhooks, "Secrets": 24 to 64 bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const KEY_PREFIX: &str = "whsec_";

pub(super) fn approvals(
    root: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> ApprovalSettings {
    let mut settings = ApprovalSettings::default();
    if let Some(mut section) = root.section("approvals", "[approvals]", report) {
        let most = limits::HELD_COMMANDS_MAX as i64;
        if let Some(count) = section.integer("per_identity", 1..=most, report) {
            settings.per_identity = u32::try_from(count).unwrap_or(limits::ASKS_PER_IDENTITY);
        }
        section.finish(report);
    }
    settings.people = people(root, report);
    for mut section in root.sections("webhook", "[[webhook]]", report) {
        let name = section.required_text("name", report);
        if let Some(name) = &name
            && settings.webhooks.iter().any(|hook| hook.name == name.value)
        {
            let found = format!("a second webhook `{}`", name.value);
            report.error(name.span.clone(), found, "names that differ", "");
        }
        let name = name.map(|name| name.value.to_owned());
        settings.webhooks.extend(webhook(&mut section, name, source, report));
        section.finish(report);
    }
    if settings.webhooks.len() > limits::WEBHOOKS_MAX {
        let found = format!("there are {} [[webhook]]", settings.webhooks.len());
        report.error(root.span(), found, format!("at most {}", limits::WEBHOOKS_MAX), "");
    }
    settings
}

/// Identities that are one person.
fn people(root: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Vec<String>> {
    let mut people: Vec<Vec<String>> = Vec::new();
    for mut section in root.sections("person", "[[person]]", report) {
        let identities = section.texts("identities", report);
        if identities.len() < 2 {
            section.missing("identities", "the names, two or more, that one person has", report);
        }
        for identity in &identities {
            let taken = people.iter().any(|person| person.iter().any(|it| it == identity.value));
            if taken {
                let found = format!("`{}` is another person already", identity.value);
                report.error(identity.span.clone(), found, "names of one [[person]]", "");
            }
        }
        section.finish(report);
        people.push(identities.iter().map(|it| it.value.to_owned()).collect());
    }
    people
}

fn webhook(
    section: &mut Section<'_>,
    name: Option<String>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Webhook> {
    let url = url(section, source, report);
    let body = section.choice("body", &BODIES, report).unwrap_or(WebhookBody::Standard);
    let content = section.choice("content", &CONTENTS, report).unwrap_or(WebhookContent::Shape);
    let current = key("secret", section, source, report);
    let previous = key("previous_secret", section, source, report);
    // Slack and its kin do not look at signatures: the address is the secret there.
    if current.is_none() && body == WebhookBody::Standard && !section.has("secret") {
        section.missing("secret", "`{ file = ... }` with a key that the receiver has too", report);
    }
    let root_certificates = match section.text("root_certificates", report) {
        Some(roots) => existing_file(Some(roots), source, report),
        None => system_roots(),
    };
    Some(Webhook {
        name: name?,
        url: url?,
        body,
        content,
        keys: current.into_iter().chain(previous).collect(),
        root_certificates,
    })
}

/// A text, or a secret: with some services whoever knows the address may post.
fn url(section: &mut Section<'_>, source: &Source<'_>, report: &mut Report<'_>) -> Option<Secret> {
    if !section.has("url") {
        section.missing("url", units::ISSUER_FORM, report);
    }
    let value = section.take("url")?;
    let span = value.span();
    let url = match value.get_ref().as_str() {
        Some(text) => Secret::new(text.to_owned()),
        None => secret(section, "url", source, report)?,
    };
    if !units::is_trusted_address(url.reveal()) {
        report.error(span, "`url` is no address weir posts to", units::ISSUER_FORM, "");
        return None;
    }
    Some(url)
}

/// A key as receivers write it: `whsec_` and base64, or its bytes as they are.
fn key(
    name: &'static str,
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<u8>> {
    let span = section.span();
    let text = secret(section, name, source, report)?;
    let bytes = match text.reveal().strip_prefix(KEY_PREFIX) {
        Some(encoded) => BASE64.decode(encoded).unwrap_or_default(),
        None => text.reveal().as_bytes().to_vec(),
    };
    if !KEY_BYTES.contains(&bytes.len()) {
        let found = format!("`{name}` is no key");
        report.error(span, found, "24 to 64 bytes, or `whsec_` and their base64", "");
        return None;
    }
    Some(bytes)
}
