//! What clients of Kubernetes are told by weir: `Status` objects, which kubectl prints.
//!
//! In: what happened. Out: a reply. Never: a status that clients repeat by themselves (429, 503
//! with a time) or that sends them to log in again (401) for a denial.

use serde_json::json;

use super::super::exchange::{Exchange, Held, Request};
use super::super::moved::Changed;
use super::Asked;
use crate::clock::Now;
use crate::decide::action::{Fact, FactKind, Reading};
use crate::decide::approval::Grant;
use crate::decide::kubernetes::{Flow, Understood};
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::reply::{Manner, Problem, Reply};

impl Request {
    /// A reply of weir's own in the words that the sender reads.
    pub(in super::super) fn reply(&self, problem: &Problem<'_>) -> Reply {
        let Some(asked) = &self.kube else { return problem.reply(Manner::of(&self.head)) };
        let it = &asked.understood;
        let subject = match (it.subresource.as_str(), it.name.as_str()) {
            ("", "") => it.resource.clone(),
            ("", name) => format!("{} \"{name}\"", it.resource),
            (sub, name) => format!("{}/{sub} \"{name}\"", it.resource),
        };
        let told = match (problem.status, problem.rule) {
            (403, Some(rule)) => {
                format!("{subject} is forbidden: weir: rule \"{rule}\": {}", problem.detail)
            }
            (403, None) => format!("{subject} is forbidden: weir: {}", problem.detail),
            _ => format!("weir: {}", problem.detail),
        };
        let message = match problem.instance {
            Some(record) => format!("{told} (record {record})"),
            None => told,
        };
        let details = json!({
            "name": it.name,
            "group": it.group,
            "kind": it.resource,
            "causes": [{ "reason": "WeirDenied", "message": problem.detail }],
        });
        status(problem.status, &message, Some(details))
    }
}

impl Request {
    /// Fields of an answer in the words of the client, and whether it sends the client away from a
    /// cluster, which it is not told.
    pub(in super::super) fn relocated<'h>(
        &self,
        answer: &'h Head,
        changed: Vec<Changed<'h>>,
    ) -> (Vec<Changed<'h>>, bool) {
        match &self.kube {
            Some(asked) => {
                let changed = asked.unwarned(answer, asked.moved(&self.head, answer, changed));
                (changed, asked.sends_away(answer))
            }
            None => (changed, false),
        }
    }
}

impl Asked {
    /// Where an answer sends the client: paths of the cluster get its name in front.
    fn moved<'h>(
        &self,
        request: &Head,
        answer: &'h Head,
        mut changed: Vec<(&'h [u8], Vec<u8>)>,
    ) -> Vec<(&'h [u8], Vec<u8>)> {
        let prefix = request.target().get(..self.prefix).unwrap_or_default();
        for (_, name, value) in answer.named().filter(|(known, ..)| *known == Name::Location) {
            if is_path(value) {
                changed.retain(|(known, _)| known != &name);
                changed.push((name, [prefix, value].concat()));
            }
        }
        changed
    }

    /// Warnings of whoever admits an object may print its values; each is told to be one.
    fn unwarned<'h>(&self, answer: &'h Head, mut changed: Vec<Changed<'h>>) -> Vec<Changed<'h>> {
        if self.is_admitted() {
            let fields =
                answer.named().filter(|(_, name, _)| name.eq_ignore_ascii_case(b"warning"));
            changed.extend(fields.map(|(_, name, _)| (name, WARNED.to_vec())));
        }
        changed
    }

    /// Whether an answer sends the client away from the cluster (CVE-2022-3172). What is behind a
    /// proxy may.
    fn sends_away(&self, answer: &Head) -> bool {
        self.understood.flow != Flow::Through
            && answer.values(Name::Location).any(|location| !is_path(location))
    }
}

/// In the form of RFC 7234 section 5.5, as apiservers write it and kubectl prints it.
const WARNED: &[u8] = b"299 - \"weir hides a warning: it may say values that are masked for you\"";

/// What a client of a cluster is told, with its answer, of a request that waited for people: it
/// could not be told before.
pub(in super::super) fn waited(
    exchange: &Exchange,
    held: &Held,
    grant: &Grant,
    now: Now,
) -> Vec<u8> {
    if exchange.request.kube.is_none() {
        return Vec::new();
    }
    let seconds = now.wall_us.saturating_sub(held.summary.requested_at_us) / 1_000_000;
    let plain = |letter: &char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\');
    let name = |name: &str| name.chars().filter(plain).take(WARNED_NAME_MAX).collect::<String>();
    let names: Vec<String> = grant.names().take(WARNED_NAMES_MAX).map(name).collect();
    format!("299 - \"weir: held {seconds} s, approved by {}\"", names.join(", ")).into_bytes()
}

/// client-go reads 4 KiB of warnings in all (apimachinery, util/net/http.go).
const WARNED_NAME_MAX: usize = 128;
const WARNED_NAMES_MAX: usize = 8;

/// Messages of the apiserver that have no value in them (apimachinery, api/errors/errors.go,
/// `NewNotFound`, `NewAlreadyExists`).
pub(super) fn plain(it: &Understood) -> Vec<String> {
    let resource = match it.group.as_str() {
        "" => it.resource.clone(),
        group => format!("{}.{group}", it.resource),
    };
    let name = |fact: &Fact| match fact {
        Fact { kind: FactKind::Name, reading: Reading::Is(name) } => {
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    };
    let name = match it.name.as_str() {
        "" => it.action.acts.iter().flat_map(|act| &act.facts).find_map(name).unwrap_or_default(),
        name => name.to_owned(),
    };
    ["not found", "already exists"].map(|end| format!("{resource} \"{name}\" {end}")).into()
}

/// `//host/` is another server.
fn is_path(location: &[u8]) -> bool {
    location.first() == Some(&b'/') && !matches!(location.get(1), Some(b'/' | b'\\'))
}

/// For a watch that has to begin anew.
pub(super) const EXPIRED: u16 = 410;

/// For what could not be read.
pub(super) fn bad_request(code: u16, words: &str) -> Reply {
    status(code, &format!("weir: {words}"), None)
}

fn status(code: u16, message: &str, details: Option<serde_json::Value>) -> Reply {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason(code),
        "code": code,
    });
    if let (Some(status), Some(details)) = (status.as_object_mut(), details) {
        status.insert("details".into(), details);
    }
    let fields = vec![
        ("content-type", b"application/json".to_vec()),
        ("cache-control", b"no-cache, private".to_vec()),
    ];
    Reply { status: code, fields, content: status.to_string().into_bytes() }
}

/// `metav1.StatusReason` (apimachinery, meta/v1/types.go).
const fn reason(code: u16) -> &'static str {
    match code {
        400 | 421 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        406 => "NotAcceptable",
        EXPIRED => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}
