//! Streams that people have denied, for the client that asks for the same one in another way.
//!
//! In: a denial; a request. Out: the denial of before. Never: one of another identity, target, pod
//! or command; a grant.
//!
//! kubectl asks for exec, attach and port-forward over WebSocket, and when that is refused over
//! SPDY: other method, same target, another connection and most times another shard. Nobody shall
//! be asked twice for it (kubernetes.md 3.4), so this is what all shards share. The lock is held
//! for as long as it takes to look.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Now;
use crate::limits;
use crate::record::SessionId;
use crate::session::http::exchange::Exchange;
use crate::session::http::kept::sha256;
use crate::session::http::tenure::Tenure;

#[derive(Debug)]
struct Denied {
    key: [u8; 32],
    approval: SessionId,
    detail: String,
    until_us: u64,
}

static DENIED: Mutex<VecDeque<Denied>> = Mutex::new(VecDeque::new());

fn all() -> MutexGuard<'static, VecDeque<Denied>> {
    // Each change is one insertion or removal: a panic leaves nothing half done.
    DENIED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is the same in both ways to ask: who, where, and the target with its command.
fn key(exchange: &Exchange, tenure: &Tenure) -> Option<[u8; 32]> {
    let asked = exchange.request.kube.as_ref()?;
    if !matches!(asked.understood.subresource.as_str(), "exec" | "attach" | "portforward") {
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

/// Remembers that a stream was denied.
pub(in super::super) fn denied(exchange: &Exchange, detail: &str, tenure: &Tenure, now: Now) {
    let (Some(key), Some(approval)) = (key(exchange, tenure), exchange.approval) else { return };
    let mut all = all();
    if all.len() >= limits::KUBERNETES_AGAIN_MAX {
        all.pop_front();
    }
    let until_us = now.mono_us.saturating_add(limits::KUBERNETES_AGAIN_US);
    all.push_back(Denied { key, approval, detail: detail.to_owned(), until_us });
}

/// The denial of the same stream, if there was one just now.
pub(in super::super) fn denial(
    exchange: &Exchange,
    tenure: &Tenure,
    now: Now,
) -> Option<(SessionId, String)> {
    let key = key(exchange, tenure)?;
    let mut all = all();
    all.retain(|denied| now.mono_us < denied.until_us);
    let found = all.iter().find(|denied| denied.key == key)?;
    Some((found.approval, found.detail.clone()))
}
