//! Streams that people have judged, for the client that asks for the same one in another way.
//!
//! In: a denial, a grant that the target turned away; a request. Out: what was said before. Never:
//! of another identity, target, pod or command; a grant of what has run, or one that counts twice,
//! or for a request in the form that was turned away.
//!
//! ```text
//!   asked --denied by people---------------------> the other form: denied
//!     '--granted--> the target refuses it, 4xx ---> the other form: joins the grant, once
//! ```
//!
//! kubectl asks for exec, attach and port-forward over WebSocket, and when that is refused over
//! SPDY: other method, same target, another connection and most times another shard. Nobody shall
//! be asked twice for it (kubernetes.md 3.4), so this is what all shards share. The lock is held
//! for as long as it takes to look.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Now;
use crate::decide::HoldTerms;
use crate::decide::approval::Grant;
use crate::limits;
use crate::record::SessionId;
use crate::session::Stage;
use crate::session::http::exchange::{Down, Exchange};
use crate::session::http::kept::sha256;
use crate::session::http::tenure::Tenure;
use crate::wire::http::ws::handshake::Asked;

#[derive(Debug)]
struct Judged {
    key: [u8; 32],
    what: Before,
    /// The form that was asked for.
    form: Asked,
    until_us: u64,
}

/// What was said of the same stream just now.
#[derive(Debug)]
pub(in super::super) enum Before {
    /// People said no.
    Denied(SessionId, String),
    /// People said yes, and the target took another form of it only.
    Granted(Box<Grant>),
}

static JUDGED: Mutex<VecDeque<Judged>> = Mutex::new(VecDeque::new());

fn all() -> MutexGuard<'static, VecDeque<Judged>> {
    // Each change is one insertion or removal: a panic leaves nothing half done.
    JUDGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether clients ask for it in two forms, by GET and by POST.
fn has_forms(subresource: &str) -> bool {
    matches!(subresource, "exec" | "attach" | "portforward")
}

/// The method as far as it tells requests apart: a stream is the same by either, so that people who
/// are asked about the one have answered the other.
pub(in super::super) fn method(exchange: &Exchange) -> &[u8] {
    let kube = exchange.request.kube.as_deref();
    let subresource = kube.map(|asked| asked.understood.subresource.as_str());
    told_apart(subresource, exchange.request.head.method())
}

fn told_apart<'m>(subresource: Option<&str>, method: &'m [u8]) -> &'m [u8] {
    let is_form = matches!(method, b"GET" | b"POST") && subresource.is_some_and(has_forms);
    if is_form { b"stream" } else { method }
}

/// What is the same in both ways to ask: who, where, and the target with its command.
fn key(exchange: &Exchange, tenure: &Tenure) -> Option<[u8; 32]> {
    let asked = exchange.request.kube.as_ref()?;
    if !has_forms(&asked.understood.subresource) {
        return None;
    }
    let mut said = Vec::new();
    let mut part = |bytes: &[u8]| {
        said.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        said.extend_from_slice(bytes);
    };
    part(&tenure.snapshot.mock_seed);
    for text in [&tenure.identity.user, &tenure.target_name, &tenure.credential.role] {
        part(text.as_bytes());
    }
    tenure.identity.groups.iter().for_each(|group| part(group.as_bytes()));
    part(exchange.request.head.target());
    Some(sha256(&said))
}

fn remember(exchange: &Exchange, what: Before, tenure: &Tenure, now: Now) {
    let Some(key) = key(exchange, tenure) else { return };
    let mut all = all();
    if all.len() >= limits::KUBERNETES_AGAIN_MAX {
        all.pop_front();
    }
    let until_us = now.mono_us.saturating_add(limits::KUBERNETES_AGAIN_US);
    let form = exchange.request.asks;
    all.push_back(Judged { key, what, form, until_us });
}

/// Remembers that a stream was denied. What people said before of the same one is over.
pub(in super::super) fn denied(exchange: &Exchange, detail: &str, tenure: &Tenure, now: Now) {
    if let Some(approval) = exchange.approval {
        let of = key(exchange, tenure);
        all().retain(|judged| Some(judged.key) != of);
        remember(exchange, Before::Denied(approval, detail.to_owned()), tenure, now);
    }
}

/// The target refused a stream that people had granted: nothing ran, and the grant is for the other
/// form. Of another status than those that say so (RFC 9110 section 15.5) nobody knows what ran.
pub(in super::super) fn turned_away(exchange: &mut Exchange, tenure: &Tenure, now: Now) {
    let Down::Head { head, .. } = &exchange.down else { return };
    let is_refused = head.status().is_some_and(|status| (400..500).contains(&status));
    if exchange.request.asks == Asked::Nothing || !is_refused {
        return;
    }
    if let Some(grant) = exchange.grant.take() {
        remember(exchange, Before::Granted(grant), tenure, now);
    }
}

/// What was said of the same stream just now, as far as it answers these terms. A grant is taken.
pub(in super::super) fn before(
    exchange: &Exchange,
    terms: &HoldTerms,
    tenure: &Tenure,
    stage: &Stage<'_>,
) -> Option<Before> {
    let now = stage.now;
    let key = key(exchange, tenure)?;
    let form = exchange.request.asks;
    let mut all = all();
    all.retain(|judged| now.mono_us < judged.until_us);
    let answers = |judged: &Judged| match &judged.what {
        Before::Denied(..) => true,
        Before::Granted(grant) => {
            form != Asked::Nothing
                && form != judged.form
                && stage.snapshot.renewed(grant).satisfies(terms)
        }
    };
    let at = all.iter().position(|judged| judged.key == key && answers(judged))?;
    match &all.get(at)?.what {
        Before::Denied(id, detail) => Some(Before::Denied(*id, detail.clone())),
        Before::Granted(_) => all.remove(at).map(|judged| judged.what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_stream_are_one_request() {
        for subresource in ["exec", "attach", "portforward"] {
            let form = |method| told_apart(Some(subresource), method);
            assert_eq!(form(b"GET"), form(b"POST"));
            assert_ne!(form(b"GET"), form(b"DELETE"));
        }
        for other in [None, Some(""), Some("proxy"), Some("log")] {
            assert_eq!(told_apart(other, b"GET"), b"GET");
            assert_eq!(told_apart(other, b"POST"), b"POST");
        }
    }
}
