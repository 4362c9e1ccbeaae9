//! The keys of issuers, read off the data path and handed to the shards in their snapshot.
//!
//! In: the issuers of the configuration, sessions that met a key nobody knows. Out: keys in the
//! world, a new snapshot when they changed or somebody waits.
//! Never: keys dropped because their issuer is down; more than one read per pause, whoever asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::state::{ControlState, Counters};
use super::{clock, issuer, log};
use crate::config::settings::Issuer;
use crate::identify::jwk::{KeySet, Published};

/// What is known of one issuer.
#[derive(Debug, Default)]
pub struct IssuerFacts {
    /// As read last; a read that fails keeps them.
    pub published: Published,
    /// When they were read, UTC microseconds.
    pub read_us: i64,
    /// Why the last read failed, empty if it did not.
    pub error: String,
    /// Asks the issuer's task for a new read.
    pub wanted: Arc<Notify>,
    /// A task keeps it fresh.
    kept: bool,
}

impl IssuerFacts {
    /// Takes the outcome of a read; whether the keys changed.
    pub fn take(&mut self, name: &str, outcome: Result<KeySet, String>) -> bool {
        match outcome {
            Ok(keys) => {
                if self.published.keys.is_none() || !self.error.is_empty() {
                    log::info(&format!("issuer {name}: {} keys read", keys.len()));
                }
                self.error.clear();
                self.read_us = clock::utc_us();
                let changed = self.published.keys.as_deref() != Some(&keys);
                if changed {
                    self.published.keys = Some(Arc::new(keys));
                }
                changed
            }
            Err(reason) => {
                if self.error != reason {
                    let kept = self.published.keys.as_ref().map_or(0, |keys| keys.len());
                    log::warn(&format!("issuer {name}: {reason}; {kept} keys kept"));
                    self.error = reason;
                }
                false
            }
        }
    }
}

/// Starts a task for every issuer of the configuration that has none.
pub fn keep_all(state: &Arc<ControlState>) {
    let mut fresh = Vec::new();
    {
        let mut world = state.world();
        let settings = world.settings.clone();
        for issuer in &settings.issuers {
            let name = &issuer.policy.issuer;
            let facts = world.issuers.entry(name.clone()).or_default();
            if !std::mem::replace(&mut facts.kept, true) {
                fresh.push(name.clone());
            }
        }
    }
    for name in fresh {
        tokio::spawn(keep(state.clone(), name));
    }
}

/// Asks for the keys of this issuer to be read soon.
pub fn want(state: &ControlState, name: &str) {
    if let Some(facts) = state.world().issuers.get(name) {
        facts.wanted.notify_one();
    }
}

/// Keeps the keys of one issuer fresh for as long as the configuration names it. Requests that
/// come during a read or the pause after it are answered by one more.
async fn keep(state: Arc<ControlState>, name: String) {
    while let Some((wanted, pause)) = rest(&state, &name) {
        let asked = tokio::time::timeout(pause, wanted.notified()).await.is_ok();
        let changed = refresh(&state, &name).await;
        // A session that asked waits for the answer, even when nothing changed. Only such reads are
        // counted: one that nobody asked for may lie before a question and reach it later.
        if asked && let Some(facts) = state.world().issuers.get_mut(&name) {
            facts.published.answers += 1;
        }
        if asked || changed {
            state.publish().await;
        }
        tokio::time::sleep(KEYS_PAUSE).await;
    }
}

/// How long the keys may rest; `None` when the configuration no longer names the issuer.
fn rest(state: &ControlState, name: &str) -> Option<(Arc<Notify>, Duration)> {
    let mut world = state.world();
    if !world.settings.issuers.iter().any(|issuer| issuer.policy.issuer == name) {
        world.issuers.remove(name);
        return None;
    }
    let facts = world.issuers.get(name)?;
    let failed = facts.published.keys.is_none() || !facts.error.is_empty();
    Some((facts.wanted.clone(), if failed { KEYS_RETRY } else { KEYS_EVERY }))
}

/// Reads the keys of one issuer; whether they changed.
async fn refresh(state: &ControlState, name: &str) -> bool {
    let find =
        |issuers: &[Issuer]| issuers.iter().find(|issuer| issuer.policy.issuer == name).cloned();
    let Some(issuer) = find(&state.settings().issuers) else { return false };
    let outcome = read(issuer).await;
    Counters::count(match outcome {
        Ok(_) => &state.counters.keys_read,
        Err(_) => &state.counters.keys_failed,
    });
    let mut world = state.world();
    world.issuers.get_mut(name).is_some_and(|facts| facts.take(name, outcome))
}

/// Reads the keys of an issuer on a thread that may block.
pub async fn read(issuer: Issuer) -> Result<KeySet, String> {
    let read = tokio::task::spawn_blocking(move || issuer::read_keys(&issuer));
    match read.await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("the reader failed".to_owned()),
    }
}

/// Keys are changed days before the old ones end; a key that is needed sooner is asked for.
const KEYS_EVERY: Duration = Duration::from_secs(600);
const KEYS_RETRY: Duration = Duration::from_secs(10);
/// Between two reads, so that made-up key ids cannot make weir a burden to the issuer. Shorter
/// than a session waits for an answer.
const KEYS_PAUSE: Duration = Duration::from_secs(5);

const _: () = assert!(KEYS_PAUSE.as_micros() < crate::limits::KEYS_WAIT_US as u128);

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn keys_outlive_an_issuer_that_is_down() {
        let keys = || Ok(KeySet::parse(KEYS).unwrap());
        let mut facts = IssuerFacts::default();
        assert!(!facts.take("i", Err("no answer".to_owned())));
        assert!(facts.published.keys.is_none());
        assert!(facts.take("i", keys()));
        assert!(!facts.take("i", keys()), "the same keys are no news");
        assert!(!facts.take("i", Err("no answer".to_owned())));
        assert!(facts.published.keys.as_ref().is_some_and(|keys| keys.knows("a")));
        assert_eq!(facts.error, "no answer");
    }
}
