//! Names of targets to addresses, off the data path.
//!
//! In: the targets of the configuration. Out: addresses in the world, a new snapshot if they
//! changed.
//! Never: an empty list in place of a name that failed for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use crate::config::settings::Target;

/// Resolves one target.
pub async fn lookup(target: &Target) -> Result<Vec<SocketAddr>, String> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, target.port)));
    let mut addresses: Vec<SocketAddr> = match found.await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("no answer in time".to_owned()),
    };
    // The resolver's order is its preference; only repetitions go.
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    if addresses.is_empty() { Err("no addresses".to_owned()) } else { Ok(addresses) }
}

/// Resolves all targets again and again.
pub async fn keep(state: Arc<State>) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        resolve_all(&state).await;
    }
}

/// Resolves all targets once and publishes what changed.
pub async fn resolve_all(state: &State) {
    let settings = state.settings();
    let mut changed = false;
    for target in &settings.targets {
        let outcome = lookup(target).await;
        let mut world = state.world();
        // A reload may have come in between; the name tells whether this is still the target.
        let index = world.settings.targets.iter().position(|now| {
            now.name == target.name && now.host == target.host && now.port == target.port
        });
        if let Some(index) = index {
            changed |= world.take_addresses(index, outcome);
        }
    }
    if changed {
        state.publish().await;
    }
}

const RESOLVE_EVERY: Duration = Duration::from_secs(30);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
