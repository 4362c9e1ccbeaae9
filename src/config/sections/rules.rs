//! `[[rule]]` and `[[mask]]`, and the names they refer to.
//!
//! In: sections, the targets and users they may name. Out: `RuleSpec`s and `MaskSpec`s.
//! Never: a rule that names a target or user that does not exist.

use std::collections::BTreeSet;

use super::super::report::{Report, did_you_mean, one_of};
use super::super::section::{At, Section, choose};
use super::super::settings::{Effect, MaskSpec, RuleSpec, Target};
use super::super::units;
use super::Identities;
use crate::decide::{Commands, FactKind};
use crate::limits;
use crate::mask::{Operator, detect};
use crate::wire::http::json::path::Pattern;

/// A hold may wait this long at most.
const HOLD_TIMEOUT_US_MAX: u64 = 7 * 86_400_000_000;
const HOLD_TIMEOUT_US_DEFAULT: u64 = 600_000_000;

/// Names that rules and masks may refer to.
struct Names<'a> {
    targets: Vec<&'a str>,
    users: Vec<&'a str>,
    roles: Vec<&'a str>,
    /// A target that could not be made may have others.
    more_roles: bool,
    groups: Vec<&'a str>,
    /// Certificates or tokens name people and groups that the file does not know.
    more_people: bool,
    more_groups: bool,
}

pub(super) fn rules_and_masks(
    root: &mut Section<'_>,
    (targets, failed): (&[Target], &[String]),
    identities: &Identities,
    report: &mut Report<'_>,
) -> (Vec<RuleSpec>, Vec<MaskSpec>) {
    let Identities { users, certificates, issuers, ssh_authorities } = identities;
    let credentials = || targets.iter().flat_map(|target| &target.credentials);
    let names = Names {
        // What is wrong with a target is said there; its name is none that is unknown.
        targets: targets.iter().map(|it| &*it.name).chain(failed.iter().map(|it| &**it)).collect(),
        users: users.iter().map(|user| user.name.as_str()).collect(),
        more_roles: !failed.is_empty(),
        roles: unique(credentials().map(|credential| &credential.role)),
        groups: unique(
            (users.iter().flat_map(|user| &user.groups))
                .chain(certificates.iter().flat_map(|spec| &spec.groups))
                .chain(ssh_authorities.iter().flat_map(|authority| &authority.groups)),
        ),
        more_people: !(certificates.is_empty() && issuers.is_empty() && ssh_authorities.is_empty()),
        more_groups: !issuers.is_empty() || certificates.iter().any(|spec| spec.units_are_groups),
    };
    if !root.has("rule") {
        let hint = "a [[rule]] with then = \"allow\" lets commands pass";
        report.warning(root.span(), "there is no [[rule]]: every command is denied", hint);
    }
    let mut rules: Vec<RuleSpec> = Vec::new();
    for mut section in root.sections("rule", "[[rule]]", report) {
        let name = section.required_text("name", report);
        if let Some(name) = &name
            && rules.iter().any(|rule| rule.name == name.value)
        {
            let found = format!("a second rule `{}`", name.value);
            report.error(name.span.clone(), found, "names that differ", "");
        }
        let rule = rule(&mut section, name, &names, report);
        section.finish(report);
        rules.extend(rule);
    }
    if rules.len() > limits::RULES_MAX {
        let found = format!("there are {} [[rule]]", rules.len());
        let most = format!("at most {}", limits::RULES_MAX);
        report.error(root.span(), found, most, "rules may name several groups, targets, classes");
    }
    let mut masks = Vec::new();
    for mut section in root.sections("mask", "[[mask]]", report) {
        masks.extend(mask(&mut section, &names, report));
        section.finish(report);
    }
    (rules, masks)
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    names.map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
}

fn rule(
    section: &mut Section<'_>,
    name: Option<At<&str>>,
    names: &Names<'_>,
    report: &mut Report<'_>,
) -> Option<RuleSpec> {
    let mut rule = RuleSpec {
        name: String::new(),
        users: Vec::new(),
        groups: Vec::new(),
        targets: Vec::new(),
        roles: Vec::new(),
        sources: Vec::new(),
        commands: Commands::default(),
        touches: Vec::new(),
        facts: Vec::new(),
        minutes_utc: None,
        then: Effect::Deny(None),
    };
    if let Some(mut when) = section.section("when", "`when` of [[rule]]", report) {
        conditions(&mut rule, &mut when, names, report);
        when.finish(report);
    }
    if !section.has("then") {
        section.missing("then", THEN_FORM, report);
    }
    rule.then = then(section, names, report)?;
    rule.name = name?.value.to_owned();
    Some(rule)
}

fn conditions(
    rule: &mut RuleSpec,
    when: &mut Section<'_>,
    names: &Names<'_>,
    report: &mut Report<'_>,
) {
    rule.users = when.words("users", |text, report| user(text, names, report), report);
    rule.groups = when.words("groups", |text, report| group(text, names, report), report);
    rule.targets = when.words("targets", |text, report| target(text, names, report), report);
    rule.roles = when.words("roles", |text, report| role(text, names, report), report);
    rule.sources = when.words(
        "sources",
        |text, report| formed(text, units::network, units::NETWORK_FORM, report),
        report,
    );
    for text in when.words("commands", |text, _| Some(text.clone()), report) {
        command(&mut rule.commands, &text, report);
    }
    rule.touches =
        when.words("touches", |text, report| formed(text, touch, TOUCH_FORM, report), report);
    for kind in FactKind::ALL {
        let key = kind.key();
        let patterns = match kind {
            FactKind::Resource => when.words(key, resource, report),
            _ => when.words(key, |text, report| pattern(text, report), report),
        };
        if !patterns.is_empty() {
            rule.facts.push((kind, patterns));
        }
    }
    let hours = when.form("hours_utc", (units::hours_minutes, units::HOURS_FORM), report);
    rule.minutes_utc = hours.map(|hours| hours.value);
}

/// A class of the rule, or what could stand there.
fn command(commands: &mut Commands, text: &At<&str>, report: &mut Report<'_>) {
    if let Err(known) = commands.add(text.value) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let found = format!("`commands` names `{}`", text.value);
        let hint = did_you_mean(text.value, &known);
        report.error(text.span.clone(), found, one_of(&known), hint);
    }
}

fn pattern(text: &At<&str>, report: &mut Report<'_>) -> Option<String> {
    let form = "a pattern, `*` for any characters";
    formed(text, |text| (!text.is_empty()).then(|| text.to_owned()), form, report)
}

const THEN_FORM: &str = "`\"allow\"`, `\"deny\"`, `{ deny = \"what to do instead\" }` or \
    `{ hold = { approvers = [...], quorum = 1, timeout = \"10m\" } }`";

fn then(section: &mut Section<'_>, names: &Names<'_>, report: &mut Report<'_>) -> Option<Effect> {
    let value = section.take("then")?;
    if value.get_ref().as_str().is_some() {
        let choices = [("allow", Effect::Allow), ("deny", Effect::Deny(None))];
        return section.choice("then", &choices, report);
    }
    let Some(table) = value.get_ref().as_table() else {
        report.error(value.span(), "`then` is not an effect", THEN_FORM, "");
        return None;
    };
    let mut effect = Section::new(table, value.span(), "`then`");
    let deny = effect.text("deny", report).map(|text| text.value.to_owned());
    let hold = effect.section("hold", "`hold`", report);
    let (has_deny, has_hold) = (effect.has("deny"), effect.has("hold"));
    effect.finish(report);
    match (deny, hold) {
        (Some(message), None) if !has_hold => Some(Effect::Deny(Some(message))),
        (None, Some(terms)) if !has_deny => hold_terms(terms, names, report),
        _ => {
            if has_deny == has_hold {
                report.error(value.span(), "`then` is not one effect", THEN_FORM, "");
            }
            None
        }
    }
}

fn hold_terms(
    mut terms: Section<'_>,
    names: &Names<'_>,
    report: &mut Report<'_>,
) -> Option<Effect> {
    if !terms.has("approvers") {
        terms.missing("approvers", "a list of groups whose members may approve", report);
    }
    let approvers = terms.words("approvers", |text, report| group(text, names, report), report);
    let quorum = terms.integer("quorum", 1..=100, report).unwrap_or(1);
    let timeout = terms.form("timeout", (units::duration_us, units::DURATION_FORM), report);
    let timeout_us = timeout.as_ref().map_or(HOLD_TIMEOUT_US_DEFAULT, |timeout| timeout.value);
    if !(1_000_000..=HOLD_TIMEOUT_US_MAX).contains(&timeout_us) {
        let span = timeout.map_or(terms.span(), |timeout| timeout.span);
        report.error(span, "`timeout` is out of range", "a duration from 1s to 7d", "");
    }
    terms.finish(report);
    Some(Effect::Hold { approvers, quorum: quorum.unsigned_abs() as u32, timeout_us })
}

fn mask(section: &mut Section<'_>, names: &Names<'_>, report: &mut Report<'_>) -> Option<MaskSpec> {
    let detectors: Vec<(&str, &str)> = detect::NAMES.iter().map(|&name| (name, name)).collect();
    let operators: Vec<(&str, Operator)> =
        Operator::NAMES.iter().filter_map(|name| Some((*name, Operator::parse(name)?))).collect();
    let columns =
        section.words("columns", |text, report| formed(text, column, COLUMN_FORM, report), report);
    let detect = section.words(
        "detect",
        |text, report| choose("detect", text, &detectors, report).map(str::to_owned),
        report,
    );
    let paths = section.words("paths", json_path, report);
    let objects = objects(section, report);
    let is_one = |keys: &[&str]| keys.iter().filter(|key| section.has(key)).count() == 1;
    let is_whole = match objects.is_empty() {
        true => is_one(&["columns", "paths", "detect"]),
        false => section.has("resources") && !section.has("columns") && !section.has("detect"),
    };
    if !is_whole {
        let found = "a [[mask]] needs one of `columns`, `paths` and `detect`";
        let hint = match objects.is_empty() {
            true => "write a [[mask]] for each",
            false => "objects of Kubernetes are named by `resources`, with `paths` or without",
        };
        report.error(section.span(), found, "one of them", hint);
    }
    if !section.has("operator") {
        section.missing("operator", &one_of(&Operator::NAMES), report);
    }
    let operator = section.choice("operator", &operators, report);
    let targets = section.words("targets", |text, report| target(text, names, report), report);
    let mut except_groups = Vec::new();
    if let Some(mut except) = section.section("except", "`except` of [[mask]]", report) {
        except_groups = except.words("groups", |text, report| group(text, names, report), report);
        except.finish(report);
    }
    Some(MaskSpec { columns, paths, objects, detect, operator: operator?, targets, except_groups })
}

/// `resources`, `namespaces` and `names` of a mask.
fn objects(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<(FactKind, Vec<String>)> {
    let mut objects = Vec::new();
    for kind in [FactKind::Resource, FactKind::Namespace, FactKind::Name] {
        let patterns = match kind {
            FactKind::Resource => section.words(kind.key(), resource, report),
            _ => section.words(kind.key(), pattern, report),
        };
        if !patterns.is_empty() {
            objects.push((kind, patterns));
        }
    }
    objects
}

/// `pods`, `pods/exec`, `deployments.apps`.
fn resource(text: &At<&str>, report: &mut Report<'_>) -> Option<String> {
    match crate::decide::kubernetes::resource_pattern_fault(text.value) {
        None => Some(text.value.to_owned()),
        Some(form) => {
            report.error(text.span.clone(), format!("\"{}\"", text.value), form, "");
            None
        }
    }
}

fn user(text: &At<&str>, names: &Names<'_>, report: &mut Report<'_>) -> Option<String> {
    if names.more_people {
        return Some(text.value.to_owned());
    }
    existing("user", "[[identity.user]]", text, &names.users, report)
}

fn target(text: &At<&str>, names: &Names<'_>, report: &mut Report<'_>) -> Option<String> {
    existing("target", "[[target]]", text, &names.targets, report)
}

/// A name that has to be defined in the file.
fn existing(
    kind: &str,
    section: &str,
    text: &At<&str>,
    known: &[&str],
    report: &mut Report<'_>,
) -> Option<String> {
    if !known.contains(&text.value) {
        let found = format!("no {kind} is named `{}`", text.value);
        let expected = match known {
            [] => format!("a {kind}, and there is no {section}"),
            _ => one_of(known),
        };
        report.error(text.span.clone(), found, expected, did_you_mean(text.value, known));
    }
    Some(text.value.to_owned())
}

/// Groups are not defined anywhere, only had: a group without a member is allowed, and said.
fn group(text: &At<&str>, names: &Names<'_>, report: &mut Report<'_>) -> Option<String> {
    if !names.more_groups && !names.groups.contains(&text.value) {
        let found = format!("no user is in group `{}`", text.value);
        report.warning(text.span.clone(), found, did_you_mean(text.value, &names.groups));
    }
    Some(text.value.to_owned())
}

fn role(text: &At<&str>, names: &Names<'_>, report: &mut Report<'_>) -> Option<String> {
    if !names.more_roles && !names.roles.contains(&text.value) {
        let found = format!("no credential has the role `{}`", text.value);
        report.warning(text.span.clone(), found, did_you_mean(text.value, &names.roles));
    }
    Some(text.value.to_owned())
}

fn formed<T>(
    text: &At<&str>,
    parse: impl Fn(&str) -> Option<T>,
    form: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    let parsed = parse(text.value);
    if parsed.is_none() {
        report.error(text.span.clone(), format!("\"{}\"", text.value), form, "");
    }
    parsed
}

const TOUCH_FORM: &str = "`schema.name` or `name`, `*` for any characters";
const COLUMN_FORM: &str = "`schema.table.column`, `*` for any part";

/// `schema.name`; a name alone is that name in any schema.
fn touch(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        [name] if !name.is_empty() => Some(format!("*.{name}")),
        [schema, name] if !schema.is_empty() && !name.is_empty() => Some(text.to_owned()),
        _ => None,
    }
}

/// A pattern of paths in bodies: `customer.ssn`, `items.*.price`, `**.password`.
fn json_path(text: &At<&str>, report: &mut Report<'_>) -> Option<String> {
    match Pattern::parse(text.value) {
        Ok(_) => Some(text.value.to_owned()),
        Err(found) => {
            let form = "a path such as `customer.ssn`, `items.*.price` or `**.password`";
            report.error(text.span.clone(), found, form, "");
            None
        }
    }
}

fn column(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    (parts.len() == 3 && parts.iter().all(|part| !part.is_empty())).then(|| text.to_owned())
}
