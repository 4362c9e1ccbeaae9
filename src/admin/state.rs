//! What the control thread knows: configuration, targets, shards, and the commands that wait.
//!
//! In: facts of the tasks of `control`. Out: snapshots to the shards, answers to `api`.
//! Never: a lock held while waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::auth::{self, Caller, Gate};
use super::board::{Board, Waiting};
use super::control::Make;
use super::keys::IssuerFacts;
use super::mesh::Mesh;
use super::reach::Reach;
use super::resolve::{self, Found};
use super::sealing::Sealing;
use super::tokens;
use super::webhook::Hooks;
use super::{catalog, clock, log, shape};
use crate::config::settings::{Host, Settings, Target};
use crate::decide::approval::{AskSummary, Ground, Window};
use crate::fault;
use crate::identify::{Method, api_token, token};
use crate::limits;
use crate::mask::sql::catalog::Catalog;
use crate::metrics::{Meters, TargetReading, Total};
use crate::record::SessionId;
use crate::session::Changes;
use crate::session::SnapshotSource;
use crate::session::postgres::target_login::KnownMinor;
use crate::shard::mail::{Endpoint, ToShard};

/// Reads the totals of all shards.
pub type Totals = Box<dyn Fn() -> Vec<Total> + Send + Sync>;

/// What the shards count and measure, readable while they work.
pub struct Instruments {
    /// Totals of all shards.
    pub totals: Totals,
    /// By shard: what it measures of each target.
    pub meters: Vec<Arc<Meters>>,
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instruments({} shards)", self.meters.len())
    }
}

/// Shared by the tasks of the control thread.
pub struct ControlState {
    /// The shards.
    pub mesh: Mesh,
    /// Proves callers of the API.
    pub gate: Gate,
    /// When the process started, UTC microseconds.
    pub started_us: i64,
    /// Set once, when the process begins to end.
    pub draining: AtomicBool,
    /// Counted events.
    pub counters: Counters,
    /// Numbers of the shards.
    instruments: Instruments,
    world: Mutex<World>,
    board: Mutex<Board>,
    /// One bringer of new settings or certificates at a time, so that older ones do not replace
    /// newer ones.
    pub reloading: tokio::sync::Mutex<()>,
    /// Certificates have changed on the disk and cannot be used.
    pub certificates_stale: AtomicBool,
    /// One publisher at a time, so that no shard gets an older snapshot after a newer one.
    publishing: tokio::sync::Mutex<()>,
    /// Which snapshot is in force, counted from 1 at the start.
    generation: AtomicU64,
    /// Certificates that have to reach a shard before a snapshot does, and their count.
    certificates: Mutex<(u64, Option<Arc<Make>>)>,
    /// What each shard has taken: certificates and snapshot.
    taken: Vec<(AtomicU64, AtomicU64)>,
    /// A shard did not take something.
    behind: Notify,
    /// What endpoints are still to be told.
    pub hooks: Hooks,
    /// How API tokens are kept.
    pub tokens: tokens::Keeping,
    /// Where the admin API listens.
    address: std::sync::OnceLock<std::net::SocketAddr>,
}

/// Configuration and targets: what a snapshot is made of.
#[derive(Debug)]
pub struct World {
    /// The configuration in force.
    pub settings: Arc<Settings>,
    /// In the order of `settings.targets`.
    pub targets: Vec<TargetFacts>,
    /// By the issuer's name.
    pub issuers: BTreeMap<String, IssuerFacts>,
    /// Windows that people opened.
    pub windows: Vec<Arc<Window>>,
    /// API tokens of weir.
    pub tokens: Arc<api_token::Set>,
    /// Makes salts for users that do not exist.
    pub mock_seed: [u8; 32],
}

/// What is known of one target.
#[derive(Debug, Default)]
pub struct TargetFacts {
    /// As resolved last; a name that fails keeps its own.
    pub addresses: Vec<Endpoint>,
    /// Which names failed to resolve last and why, empty if none did.
    pub resolve_error: String,
    /// Whether sessions can connect to it.
    pub reach: Reach,
    /// As read last; a read that fails keeps it.
    pub catalog: Option<Arc<Catalog>>,
    /// When it was read, UTC microseconds.
    pub catalog_us: i64,
    /// When the reading began that was the last to succeed, by the clock of the shards.
    pub catalog_begun_us: u64,
    /// Why the last read failed, empty if it did not.
    pub catalog_error: String,
    /// Asks the target's catalog task for a new read.
    pub wanted: Arc<Notify>,
    /// The protocol version it speaks, as the logins find out.
    pub minor: Arc<KnownMinor>,
    /// What shards saw change at it.
    pub changes: Arc<Changes>,
}

/// Counted events of the control thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls of the API without a valid identity.
    pub api_refused: AtomicU64,
    /// Commands that waited for approval since the start.
    pub approvals_opened: AtomicU64,
    /// Votes delivered.
    pub votes: AtomicU64,
    /// Catalogs read.
    pub catalogs_read: AtomicU64,
    /// Catalog reads that failed.
    pub catalogs_failed: AtomicU64,
    /// Key sets of issuers read.
    pub keys_read: AtomicU64,
    /// Reads of key sets that failed.
    pub keys_failed: AtomicU64,
    /// Snapshots that a shard did not take.
    pub snapshots_missed: AtomicU64,
    /// Configurations loaded after the first.
    pub reloads: AtomicU64,
    /// Certificates that changed on the disk and are in force.
    pub certificates_loaded: AtomicU64,
    /// Certificates that changed on the disk and cannot be used.
    pub certificates_failed: AtomicU64,
    /// Messages that an endpoint took.
    pub webhooks_sent: AtomicU64,
    /// Messages that no endpoint took in time.
    pub webhooks_lost: AtomicU64,
}

impl Counters {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn totals(&self) -> [Total; 13] {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            Total::counter(
                "api_refused",
                "Calls of the API without a valid identity.",
                now(&self.api_refused),
            ),
            Total::counter(
                "approvals_opened",
                "Commands that waited for approval.",
                now(&self.approvals_opened),
            ),
            Total::counter("votes", "Votes delivered to a shard.", now(&self.votes)),
            Total::counter("catalogs_read", "Catalogs read.", now(&self.catalogs_read)),
            Total::counter("catalogs_failed", "Catalog reads failed.", now(&self.catalogs_failed)),
            Total::counter("keys_read", "Key sets of issuers read.", now(&self.keys_read)),
            Total::counter(
                "keys_failed",
                "Reads of issuers' key sets that failed.",
                now(&self.keys_failed),
            ),
            Total::counter(
                "snapshots_missed",
                "Snapshots that a shard did not take in time.",
                now(&self.snapshots_missed),
            ),
            Total::counter("reloads", "Configurations loaded by SIGHUP.", now(&self.reloads)),
            Total::counter(
                "certificates_loaded",
                "Certificates that changed on the disk and were brought into force.",
                now(&self.certificates_loaded),
            ),
            Total::counter(
                "certificates_failed",
                "Certificates that changed on the disk and could not be used.",
                now(&self.certificates_failed),
            ),
            Total::counter(
                "webhooks_sent",
                "Messages that an endpoint took.",
                now(&self.webhooks_sent),
            ),
            Total::counter(
                "webhooks_lost",
                "Messages that an endpoint refused or did not take in time.",
                now(&self.webhooks_lost),
            ),
        ]
    }
}

impl World {
    /// A world of targets of which nothing is known yet.
    pub fn new(settings: Settings, mock_seed: [u8; 32]) -> World {
        let targets = settings.targets.iter().map(|_| TargetFacts::default()).collect();
        let (issuers, windows, tokens) = (BTreeMap::new(), Vec::new(), Arc::default());
        World { settings: Arc::new(settings), targets, issuers, windows, tokens, mock_seed }
    }

    /// What the shards build their snapshots from.
    pub fn snapshot(&self) -> Arc<SnapshotSource> {
        assert_eq!(self.settings.targets.len(), self.targets.len(), "facts of every target");
        Arc::new(SnapshotSource {
            settings: self.settings.clone(),
            catalogs: self.targets.iter().map(|facts| facts.catalog.clone()).collect(),
            catalogs_begun_us: self.targets.iter().map(|facts| facts.catalog_begun_us).collect(),
            addresses: self.targets.iter().map(|facts| facts.addresses.clone()).collect(),
            keys: (self.settings.issuers.iter())
                .map(|issuer| self.issuers.get(&issuer.policy.issuer))
                .map(|facts| facts.map(|facts| facts.published.clone()).unwrap_or_default())
                .collect(),
            changes: self.targets.iter().map(|facts| facts.changes.clone()).collect(),
            minors: self.targets.iter().map(|facts| facts.minor.clone()).collect(),
            windows: self.windows.clone(),
            tokens: self.tokens.clone(),
            mock_seed: self.mock_seed,
        })
    }

    /// Puts other settings into force; what is known of targets that moved is forgotten. Gives the
    /// number of targets before and after.
    pub fn replace(&mut self, settings: Settings, moved: &[usize]) -> (usize, usize) {
        let known = self.targets.len();
        let count = settings.targets.len();
        assert!(count >= known, "targets keep their index");
        self.targets.resize_with(count, Default::default);
        for index in moved {
            if let Some(facts) = self.targets.get_mut(*index) {
                facts.addresses.clear();
                facts.catalog = None;
                facts.minor = Arc::default();
            }
        }
        self.settings = Arc::new(settings);
        self.tell_unmet();
        (known, count)
    }

    /// Takes what a shard says of connecting to a target.
    pub fn take_reach(&mut self, index: usize, failure: Option<fault::Target>) {
        let name = self.settings.targets.get(index).map_or("", |target| target.name.as_str());
        if let Some(facts) = self.targets.get_mut(index) {
            facts.reach.note(name, failure, clock::utc_us());
        }
    }

    /// Takes a resolution; whether addresses changed.
    pub fn take_addresses(&mut self, index: usize, found: Vec<Found>) -> bool {
        let name = self.settings.targets.get(index).map_or("", |target| target.name.as_str());
        let Some(facts) = self.targets.get_mut(index) else { return false };
        let (addresses, trouble) = resolve::merge(found, &facts.addresses);
        if facts.resolve_error != trouble {
            match trouble.as_str() {
                "" => log::info(&format!("target {name}: its names resolve again")),
                _ => log::warn(&format!("target {name}: {trouble}")),
            }
            facts.resolve_error = trouble;
        }
        let changed = facts.addresses != addresses;
        facts.addresses = addresses;
        changed
    }

    /// Takes a catalog, or the reason why there is none; whether the shards should hear of it.
    pub fn take_catalog(&mut self, index: usize, outcome: Result<Arc<Catalog>, String>) -> bool {
        let name = self.settings.targets.get(index).map_or("", |target| target.name.as_str());
        let Some(facts) = self.targets.get_mut(index) else { return false };
        match outcome {
            Ok(catalog) => {
                if facts.catalog.is_none() || !facts.catalog_error.is_empty() {
                    let count = catalog.relations.len();
                    log::info(&format!("target {name}: catalog read, {count} relations"));
                }
                facts.catalog_error.clear();
                facts.catalog_us = clock::utc_us();
                let is_first = facts.catalog.is_none();
                let changed = facts.catalog.as_ref() != Some(&catalog);
                if changed {
                    facts.catalog = Some(catalog);
                }
                if is_first {
                    self.tell_unmet();
                }
                changed
            }
            Err(reason) => {
                if facts.catalog_error != reason {
                    log::warn(&format!("target {name}: catalog not read: {reason}"));
                    facts.catalog_error = reason;
                }
                false
            }
        }
    }

    /// Names of the configuration that nothing fits, once all catalogs are there.
    fn tell_unmet(&self) {
        let catalog_of = |index: usize| self.targets.get(index)?.catalog.as_deref();
        for sentence in super::unmet::sentences(&self.settings, catalog_of) {
            log::warn(&sentence);
        }
    }

    fn issuer_status(&self, name: &str) -> shape::IssuerStatus {
        let facts = self.issuers.get(name);
        let keys = facts.and_then(|facts| facts.published.keys.as_ref());
        shape::IssuerStatus {
            issuer: name.to_owned(),
            keys: keys.map_or(0, |keys| keys.len()),
            read_at: match (facts, keys) {
                (Some(facts), Some(_)) => clock::to_text(facts.read_us),
                _ => String::new(),
            },
            error: facts.map(|facts| facts.error.clone()).unwrap_or_default(),
        }
    }

    fn status(&self, index: usize, target: &Target) -> shape::TargetStatus {
        let nothing = TargetFacts::default();
        let facts = self.targets.get(index).unwrap_or(&nothing);
        let catalog = match (&facts.catalog, facts.catalog_error.is_empty()) {
            _ if !catalog::is_read(target) => "not needed",
            (None, _) => "waiting",
            (Some(_), true) => "ready",
            (Some(_), false) => "stale",
        };
        let read_at = facts.catalog.as_ref().map(|_| clock::to_text(facts.catalog_us));
        shape::TargetStatus {
            name: target.name.clone(),
            address: words(&target.reach.hosts),
            resolved: facts.addresses.iter().map(|it| it.address.to_string()).collect(),
            resolve_error: facts.resolve_error.clone(),
            connect_error: facts.reach.trouble(),
            catalog: catalog.to_owned(),
            relations: facts.catalog.as_ref().map_or(0, |catalog| catalog.relations.len()),
            catalog_at: read_at.unwrap_or_default(),
            catalog_error: facts.catalog_error.clone(),
        }
    }
}

/// A shard that was too busy for a snapshot is asked again after so long.
const DELIVER_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

fn words(hosts: &[Host]) -> String {
    hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Debug for ControlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlState({:?}, {})", self.mesh, self.word())
    }
}

impl ControlState {
    /// The state of a process whose shards have just started.
    pub fn new(world: World, mesh: Mesh, gate: Gate, instruments: Instruments) -> ControlState {
        ControlState {
            generation: AtomicU64::new(1),
            certificates: Mutex::default(),
            taken: (0..mesh.len()).map(|_| (AtomicU64::new(0), AtomicU64::new(1))).collect(),
            behind: Notify::new(),
            hooks: Hooks::default(),
            tokens: tokens::Keeping::default(),
            address: std::sync::OnceLock::new(),
            mesh,
            gate,
            started_us: clock::utc_us(),
            draining: AtomicBool::new(false),
            counters: Counters::default(),
            instruments,
            world: Mutex::new(world),
            board: Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            certificates_stale: AtomicBool::new(false),
            publishing: tokio::sync::Mutex::default(),
        }
    }

    /// The configuration in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.world().settings.clone()
    }

    /// Who the bearer of an issuer's token or of an API token is. Nobody becomes weir's
    /// administrator by it: who is in a group that is called so elsewhere decides somebody else,
    /// and a token for programs makes no further ones.
    pub fn bearer(&self, given: &auth::Given) -> Option<Caller> {
        let snapshot = self.world().snapshot();
        let settings = &snapshot.settings;
        if api_token::is_one(&given.token) {
            let as_whom = (given.name.as_deref().unwrap_or_default(), settings.users.as_slice());
            let found = snapshot.tokens.bearer(&given.token, as_whom, clock::utc_us()).ok()?;
            let Method::Token(id) = found.0.method else { return None };
            let mut groups = found.0.groups;
            groups.retain(|group| group != auth::ADMIN);
            let ground = Ground::ApiToken(id);
            return Some(Caller { name: found.0.user, groups, auth: "api-token", ground });
        }
        let issuers = settings.issuers.iter().enumerate().map(|(index, issuer)| {
            let keys = snapshot.keys.get(index).and_then(|published| published.keys.as_deref());
            token::Issuer { policy: &issuer.policy, keys }
        });
        let issuers: Vec<_> = issuers.collect();
        let bearer = token::verify(&given.token, &issuers, clock::utc_us()).ok()?;
        let own = settings.users.iter().any(|user| user.name == bearer.user);
        let other = given.name.as_ref().is_some_and(|name| *name != bearer.user);
        if own || other || bearer.user == auth::ADMIN {
            return None;
        }
        let mut groups = bearer.groups;
        groups.retain(|group| group != auth::ADMIN);
        let policy = settings.issuers.get(bearer.issuer)?.policy.clone();
        let ground = Ground::Issuer(Arc::new(policy));
        Some(Caller { name: bearer.user, groups, auth: "token", ground })
    }

    /// Configuration and targets, for as long as the guard lives; never across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Certificates that every shard takes before the next snapshot.
    pub fn prepare(&self, make: Make) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        *certificates = (certificates.0 + 1, Some(Arc::new(make)));
    }

    /// Sends the current snapshot to every shard; one that does not take it gets it later.
    pub async fn publish(&self) {
        let _turn = self.publishing.lock().await;
        self.generation.fetch_add(1, Ordering::Relaxed);
        let missed = self.deliver().await;
        if missed > 0 {
            Counters::count(&self.counters.snapshots_missed);
            log::error(&format!("{missed} shards did not take a new snapshot in time"));
            self.behind.notify_one();
        }
    }

    /// Brings what shards did not take to them, until they have. Runs for ever.
    pub async fn keep_publishing(&self) {
        loop {
            self.behind.notified().await;
            loop {
                tokio::time::sleep(DELIVER_AGAIN).await;
                let _turn = self.publishing.lock().await;
                if self.deliver().await == 0 {
                    log::info("all shards have the snapshot in force");
                    break;
                }
            }
        }
    }

    /// Sends what is in force to the shards that do not have it; how many did not take it.
    async fn deliver(&self) -> usize {
        let snapshot = self.world().snapshot();
        let generation = self.generation.load(Ordering::Relaxed);
        let (count, certificates) =
            self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut missed = 0;
        for (shard, (first, second)) in self.taken.iter().enumerate() {
            if let Some(make) = certificates.as_ref()
                && first.load(Ordering::Relaxed) < count
            {
                if !self.mesh.send(shard, || make()).await {
                    missed += 1;
                    continue;
                }
                first.store(count, Ordering::Relaxed);
            }
            if second.load(Ordering::Relaxed) < generation {
                if !self.mesh.send(shard, || ToShard::Snapshot(snapshot.clone())).await {
                    missed += 1;
                    continue;
                }
                second.store(generation, Ordering::Relaxed);
            }
        }
        missed
    }

    /// Shards that do not have the snapshot in force.
    pub fn shards_behind(&self) -> usize {
        let generation = self.generation.load(Ordering::Relaxed);
        self.taken.iter().filter(|(_, taken)| taken.load(Ordering::Relaxed) < generation).count()
    }

    /// Why no client should be sent here now, in words without names; empty when all is well.
    pub fn unready(&self, trouble: bool) -> Vec<&'static str> {
        let world = self.world();
        let settings = &world.settings;
        let catalog = (settings.targets.iter().zip(&world.targets)).any(|(target, facts)| {
            let used = !target.credentials.is_empty() && catalog::is_needed(settings, target);
            used && facts.catalog.is_none()
        });
        let keys = settings.issuers.iter().any(|issuer| {
            let facts = world.issuers.get(&issuer.policy.issuer);
            facts.is_none_or(|facts| facts.published.keys.is_none())
        });
        drop(world);
        let reasons = [
            (self.is_draining(), "it ends"),
            (self.shards_behind() > 0, "a shard does not have the snapshot in force"),
            (trouble, "records cannot reach the lake"),
            (catalog, "a catalog that masks need has not been read"),
            (keys, "the keys of an issuer have not been read"),
        ];
        reasons.into_iter().filter(|(is, _)| *is).map(|(_, reason)| reason).collect()
    }

    /// A command began to wait.
    pub fn open_ask(&self, shard: usize, ask: AskSummary) -> Waiting {
        Counters::count(&self.counters.approvals_opened);
        self.board().open(shard, ask)
    }

    /// A command no longer waits.
    pub fn close_ask(&self, id: SessionId, event: &'static str) -> Option<Waiting> {
        self.board().close(id, event, clock::utc_us())
    }

    /// Where people reach the admin API: what links begin with.
    pub fn base_url(&self) -> String {
        let configured = self.settings().admin_url.clone();
        let address = self.address.get().map_or_else(String::new, ToString::to_string);
        configured.unwrap_or_else(|| format!("http://{address}"))
    }

    /// Where the admin API listens.
    pub fn listens_at(&self, address: std::net::SocketAddr) {
        // It is told once.
        let _first = self.address.set(address);
    }

    /// The commands that wait, for as long as the guard lives; never across an await.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// People opened a window. Snapshots have it from the next one on.
    pub fn open_window(&self, window: Window) {
        let mut world = self.world();
        let now_us = clock::utc_us();
        world.windows.retain(|open| now_us < open.until_us);
        if world.windows.len() >= limits::WINDOWS_MAX {
            return log::error("too many windows are open: this one is not");
        }
        world.windows.push(Arc::new(window));
    }

    /// The windows that are open.
    pub fn windows(&self) -> Vec<Arc<Window>> {
        let now_us = clock::utc_us();
        let world = self.world();
        world.windows.iter().filter(|window| now_us < window.until_us).cloned().collect()
    }

    /// Closes a window, if `may` says so.
    pub fn close_window(
        &self,
        id: SessionId,
        may: impl Fn(&Window) -> bool,
    ) -> Option<Arc<Window>> {
        let mut world = self.world();
        let index = world.windows.iter().position(|window| window.id == id && may(window))?;
        Some(world.windows.remove(index))
    }

    /// Whether the process is ending.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// `ok` or `draining`.
    pub fn word(&self) -> &'static str {
        if self.is_draining() { "draining" } else { "ok" }
    }

    /// Numbers of the process.
    pub fn totals(&self) -> Vec<Total> {
        let mut totals = (self.instruments.totals)();
        totals.extend(self.counters.totals());
        let waiting = self.board().len() as u64;
        totals.push(Total::gauge("approvals_waiting", "Commands that wait now.", waiting));
        let oldest_us = self.board().oldest_us();
        let age_s = oldest_us.map_or(0, |us| clock::utc_us().saturating_sub(us) / 1_000_000);
        let age_s = u64::try_from(age_s).unwrap_or(0);
        let help = "How long the command waits that has waited longest.";
        totals.push(Total::gauge("approvals_oldest_seconds", help, age_s));
        let stale = u64::from(self.certificates_stale.load(Ordering::Relaxed));
        let help = "1 while certificates on the disk cannot be used and old ones are in force.";
        totals.push(Total::gauge("certificates_stale", help, stale));
        totals
    }

    /// What the shards measured of each target of the configuration.
    pub fn readings(&self) -> Vec<TargetReading> {
        let settings = self.settings();
        let read = |(index, target): (usize, &Target)| {
            TargetReading::of(index, &target.name, &self.instruments.meters)
        };
        settings.targets.iter().enumerate().map(read).collect()
    }

    /// All of it, for `GET /v1/status`.
    pub fn status(&self, sealing: &dyn Sealing) -> shape::Status {
        let trouble = sealing.trouble();
        let unready = self.unready(trouble.is_some());
        let totals = self.totals();
        let world = self.world();
        let settings = &world.settings;
        shape::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: clock::to_text(self.started_us),
            status: self.word().to_owned(),
            listeners: (settings.listeners.iter())
                .map(|listen| format!("{} {}", listen.protocol.name(), listen.address))
                .collect(),
            shards: self.mesh.len(),
            generation: self.generation.load(Ordering::Relaxed),
            shards_behind: self.shards_behind(),
            quarantined: sealing.quarantined(),
            unready: unready.into_iter().map(str::to_owned).collect(),
            rules: settings.rules.len(),
            masks: settings.masks.len(),
            targets: (settings.targets.iter().enumerate())
                .map(|(index, target)| world.status(index, target))
                .collect(),
            issuers: (settings.issuers.iter())
                .map(|issuer| world.issuer_status(&issuer.policy.issuer))
                .collect(),
            trouble: trouble.unwrap_or_default(),
            counters: totals.iter().map(|it| (it.key(), it.value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::admin::mesh::Delivery;

    /// A shard that takes nothing until it is told to; certificates are a `Rotate` here.
    #[test]
    fn what_a_shard_missed_comes_later_in_order_and_nobody_is_ready_before() {
        let text = "data_dir = 'd'\n[listen.postgres]\naddress = '127.0.0.1:1'\n[[target]]\n\
                    name = 'a'\nprotocol = 'postgres'\naddress = 'h:5432'\ntls = 'disable'\n\
                    [[target.credential]]\nrole = 'app'\npassword = { env = 'P' }\n";
        let secret = |_: &str| Some("secret".to_owned());
        let settings = crate::config::parse(text, "t.toml", Path::new("."), &secret).unwrap();
        let takes = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let post: super::super::mesh::Post = Box::new({
            let (takes, taken) = (takes.clone(), taken.clone());
            move |message| {
                if !takes.load(Ordering::Relaxed) {
                    return Delivery::Stopped;
                }
                taken.lock().unwrap().push(match message {
                    ToShard::Snapshot(_) => "snapshot",
                    _ => "certificates",
                });
                Delivery::Taken
            }
        });
        let world = World::new(settings, [0; 32]);
        let instruments = Instruments { totals: Box::new(Vec::new), meters: Vec::new() };
        let gate = Gate::new("0123456789abcdef0123456789abcdef").unwrap();
        let state = ControlState::new(world, Mesh::new(vec![post]), gate, instruments);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert_eq!((state.shards_behind(), state.unready(false)), (0, vec![]));
            state.prepare(Box::new(|| ToShard::Rotate));
            state.publish().await;
            assert_eq!(state.shards_behind(), 1);
            assert_eq!(state.unready(true).len(), 2, "{:?}", state.unready(true));
            takes.store(true, Ordering::Relaxed);
            assert_eq!(state.deliver().await, 0);
            assert_eq!((state.shards_behind(), state.unready(false)), (0, vec![]));
            assert_eq!(*taken.lock().unwrap(), ["certificates", "snapshot"]);
            assert_eq!(state.deliver().await, 0);
            assert_eq!(taken.lock().unwrap().len(), 2, "what was taken is not sent again");
            state.publish().await;
            assert_eq!(taken.lock().unwrap().len(), 3, "certificates are sent once");
        });
    }
}
