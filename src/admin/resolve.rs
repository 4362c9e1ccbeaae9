//! Names of targets to addresses, off the data path.
//!
//! In: the targets of the configuration. Out: addresses in the world, a new snapshot if they
//! changed.
//! Never: an empty list in place of a name that failed for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::state::ControlState;
use crate::config::settings::{Host, Target};
use crate::shard::mail::Endpoint;

/// What became of one name of a target.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name, with its port.
    pub host: Host,
    /// Its addresses in the resolver's order of preference, or why there are none.
    pub outcome: Result<Vec<SocketAddr>, String>,
}

/// Resolves the names of one target, all at the same time.
pub async fn lookup(target: &Target) -> Vec<Found> {
    let hosts = target.reach.hosts.iter().cloned();
    let tasks: Vec<_> = hosts.map(|host| tokio::spawn(lookup_host(host))).collect();
    let mut found = Vec::with_capacity(tasks.len());
    for (task, host) in tasks.into_iter().zip(&target.reach.hosts) {
        found.push(
            task.await.unwrap_or_else(|error| Found {
                host: host.clone(),
                outcome: Err(error.to_string()),
            }),
        );
    }
    found
}

async fn lookup_host(host: Host) -> Found {
    let name = (host.name.clone(), host.port);
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(name)).await;
    let outcome = match found {
        Ok(Ok(addresses)) => Ok(addresses.collect::<Vec<_>>()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    };
    let outcome = outcome.and_then(|addresses| {
        if addresses.is_empty() { Err("no addresses".to_owned()) } else { Ok(addresses) }
    });
    Found { host, outcome }
}

/// Addresses in the order of the names; a name that failed keeps the ones it had. With them, what
/// is wrong in a sentence, or nothing.
pub fn merge(found: Vec<Found>, before: &[Endpoint]) -> (Vec<Endpoint>, String) {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut trouble = Vec::new();
    for Found { host: Host { name, port }, outcome } in found {
        let host: Arc<str> = name.as_str().into();
        let now: Vec<Endpoint> = match outcome {
            Ok(addresses) => addresses
                .into_iter()
                .map(|address| Endpoint { host: host.clone(), address })
                .collect(),
            Err(reason) => {
                let own = |it: &&Endpoint| it.host == host && it.address.port() == port;
                let kept: Vec<_> = before.iter().filter(own).cloned().collect();
                let count = kept.len();
                trouble.push(format!("{name} does not resolve ({reason}), {count} addresses kept"));
                kept
            }
        };
        // The resolver's order is its preference; only repetitions go.
        for endpoint in now {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    (endpoints, trouble.join("; "))
}

/// Resolves all targets again and again.
pub async fn keep(state: Arc<ControlState>) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        resolve_all(&state).await;
    }
}

/// Resolves all targets once and publishes what changed.
pub async fn resolve_all(state: &ControlState) {
    let settings = state.settings();
    let mut changed = false;
    for target in &settings.targets {
        let found = lookup(target).await;
        let mut world = state.world();
        // A reload may have come in between; name and hosts tell whether this is still the target.
        let index = world
            .settings
            .targets
            .iter()
            .position(|now| now.name == target.name && now.reach.hosts == target.reach.hosts);
        if let Some(index) = index {
            changed |= world.take_addresses(index, found);
        }
    }
    if changed {
        state.publish().await;
    }
}

const RESOLVE_EVERY: Duration = Duration::from_secs(30);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, outcome: Result<&[&str], &str>) -> Found {
        let outcome = outcome
            .map(|texts| texts.iter().map(|text| text.parse().expect("an address")).collect())
            .map_err(str::to_owned);
        Found { host: Host { name: name.to_owned(), port: 5432 }, outcome }
    }

    fn shown(endpoints: &[Endpoint]) -> Vec<String> {
        endpoints.iter().map(|it| format!("{} {}", it.host, it.address)).collect()
    }

    #[test]
    fn a_name_that_fails_keeps_what_it_had_in_its_place() {
        let a: &[&str] = &["192.0.2.1:5432", "192.0.2.1:5432", "192.0.2.2:5432"];
        let (first, trouble) =
            merge(vec![found("a", Ok(a)), found("b", Ok(&["192.0.2.9:5432"]))], &[]);
        let expect = ["a 192.0.2.1:5432", "a 192.0.2.2:5432", "b 192.0.2.9:5432"];
        assert_eq!((shown(&first), trouble.as_str()), (expect.map(str::to_owned).to_vec(), ""));
        let later = vec![found("a", Err("gone")), found("b", Ok(&["192.0.2.8:5432"]))];
        let (later, trouble) = merge(later, &first);
        let expect = ["a 192.0.2.1:5432", "a 192.0.2.2:5432", "b 192.0.2.8:5432"];
        assert_eq!(shown(&later), expect);
        assert_eq!(trouble, "a does not resolve (gone), 2 addresses kept");
        assert!(merge(vec![found("c", Err("gone"))], &first).0.is_empty());
    }
}
