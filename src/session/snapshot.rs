//! What all sessions of a shard read: the configuration, compiled, and what was found out.
//!
//! In: what the control thread sent. Out: one immutable value. Never: a change in place.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{SHA256, digest};

use crate::clock::Now;
use crate::config::settings::Settings;
use crate::decide::approval::{ADMIN_TOKEN, Claim, Grant, Ground, Vote, Window};
use crate::decide::{HoldTerms, Rules};
use crate::fault::{Fault, FaultKind, Login};
use crate::forward::dial::Endpoint;
use crate::hex;
use crate::identify::jwk::Published;
use crate::identify::{Identity, api_token};
use crate::mask::Policy;
use crate::mask::sql::catalog::Catalog;
use crate::session::postgres::kin::Kindred;
use crate::session::postgres::target_login::KnownMinor;
use crate::wire::Side;

/// When a definition that may make a catalog wrong was last seen to end at a target, by the clock
/// of the shards. Shared by all of them: who plans by a catalog looks here first.
#[derive(Debug, Default)]
pub struct Changes(AtomicU64);

impl Changes {
    /// It was seen now.
    pub fn note(&self, now_us: u64) {
        self.0.fetch_max(now_us, Ordering::Relaxed);
    }

    /// The last time.
    pub fn last_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shard builds its `session::Snapshot` from. Plain data, so it may cross threads.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Per target.
    pub catalogs: Vec<Option<Arc<Catalog>>>,
    /// Per target: when the reading began that its catalog is of, by the clock of the shards.
    pub catalogs_begun_us: Vec<u64>,
    /// Per target.
    pub changes: Vec<Arc<Changes>>,
    /// Per target.
    pub addresses: Vec<Vec<Endpoint>>,
    /// Per issuer, in the order of `settings.issuers`.
    pub keys: Vec<Published>,
    /// API tokens of weir.
    pub tokens: Arc<api_token::Set>,
    /// Per target.
    pub minors: Vec<Arc<KnownMinor>>,
    /// Windows that people opened, in the order in which they did.
    pub windows: Vec<Arc<Window>>,
    /// Makes salts for users that do not exist; made once per data directory.
    pub mock_seed: [u8; 32],
}

/// What all sessions of a shard read; replaced as a whole when the configuration or a target's
/// catalog changes. A session keeps the one it took at its last command.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Compiled rules.
    pub rules: Rules,
    /// Names the rules and masks in force: the first 16 hexadecimal digits of their SHA-256.
    pub policy_version: Rc<str>,
    /// Compiled masks.
    pub masks: Policy,
    /// Per target, in the order of `settings.targets`: table and column shapes, if masks need them.
    pub catalogs: Vec<Option<Arc<Catalog>>>,
    /// Per target: when the reading of it began.
    pub catalogs_begun_us: Vec<u64>,
    /// Per target: what may have changed since.
    pub changes: Vec<Arc<Changes>>,
    /// Per target: what its objects reach, as far as a rule minds it.
    pub kindred: Vec<Kindred>,
    /// Per target: addresses as resolved by the control thread.
    pub addresses: Vec<Vec<Endpoint>>,
    /// Per issuer, in the order of `settings.issuers`: its keys as read by the control thread.
    pub keys: Vec<Published>,
    /// API tokens of weir.
    pub tokens: Arc<api_token::Set>,
    /// Per target: the protocol version it is known to speak.
    pub minors: Vec<Arc<KnownMinor>>,
    /// Windows that people opened.
    pub windows: Vec<Arc<Window>>,
    /// Makes salts for users that do not exist.
    pub mock_seed: [u8; 32],
}

impl Snapshot {
    /// Compiles what the control thread sent.
    pub fn build(source: &SnapshotSource) -> Snapshot {
        let settings = Arc::clone(&source.settings);
        let policy_version = policy_version(&settings);
        Snapshot {
            rules: Rules::compile(&settings.rules).known_as(&policy_version),
            policy_version,
            masks: Policy::compile(&settings.masks),
            catalogs: source.catalogs.clone(),
            catalogs_begun_us: source.catalogs_begun_us.clone(),
            changes: source.changes.clone(),
            kindred: source.catalogs.iter().map(|_| Kindred::default()).collect(),
            addresses: source.addresses.clone(),
            keys: source.keys.clone(),
            tokens: Arc::clone(&source.tokens),
            minors: source.minors.clone(),
            windows: source.windows.clone(),
            mock_seed: source.mock_seed,
            settings,
        }
    }

    /// Whether a definition was seen to end after the reading began that the catalog is of.
    pub fn is_stale(&self, target: usize) -> bool {
        let begun_us = self.catalogs_begun_us.get(target).copied().unwrap_or_default();
        self.changes.get(target).is_some_and(|changes| changes.last_us() > begun_us)
    }

    /// Why a session of this identity cannot go on: it lives from an API token that is over.
    pub fn ends(&self, identity: &Identity, now: Now) -> Option<Fault> {
        let why = self.tokens.refuses(identity, &self.settings.users, now.wall_us)?;
        Some(Fault::new(Side::Client, FaultKind::Login(Login::Token(why))))
    }

    /// The grant of a window that is open for a command.
    pub fn window(
        &self,
        claim: Claim<'_>,
        classes: impl Iterator<Item = impl ToString>,
        terms: &HoldTerms,
        now: Now,
    ) -> Option<Grant> {
        if self.windows.is_empty() {
            return None;
        }
        let classes: Vec<String> = classes.map(|class| class.to_string()).collect();
        let windows = self.windows.iter();
        let cast = |vote: &Vote| self.cast(vote);
        windows.into_iter().find_map(|it| it.grant(claim, &classes, (terms, cast), now))
    }

    /// A grant as its voters may answer now: whoever was removed since, lost the group that a rule
    /// asks for, or what proved who they are, does not count any more.
    pub fn renewed(&self, grant: &Grant) -> Grant {
        grant.renewed(|vote| self.cast(vote))
    }

    /// A vote as it would be cast now.
    fn cast(&self, vote: &Vote) -> Vote {
        let groups = self.groups_of(vote).unwrap_or_default();
        let also = self.settings.approvals.also(&vote.approver);
        Vote { groups, also, ..vote.clone() }
    }

    fn groups_of(&self, vote: &Vote) -> Option<Vec<String>> {
        let user = self.settings.users.iter().find(|user| user.name == vote.approver);
        match &vote.ground {
            Ground::Configured if vote.auth == ADMIN_TOKEN => Some(vote.groups.clone()),
            Ground::Configured => Some(user?.groups.clone()),
            // The control thread takes tokens out when they are revoked and when they are over.
            Ground::ApiToken(id) => {
                let user = user?;
                let kept = self.tokens.iter().any(|it| it.id == *id && it.user == user.name);
                kept.then(|| user.groups.clone())
            }
            // Whom an issuer knows is in no file: what its token said counts as long as such a
            // token is taken. It cannot speak for a user of the configuration.
            Ground::Issuer(policy) => {
                let known = self.settings.issuers.iter().any(|it| it.policy == **policy);
                (known && user.is_none()).then(|| vote.groups.clone())
            }
        }
    }
}

fn policy_version(settings: &Settings) -> Rc<str> {
    let said = format!("{:?} {:?}", settings.rules, settings.masks);
    let digest = digest(&SHA256, said.as_bytes());
    hex::text(digest.as_ref().get(..8).unwrap_or_default()).into()
}
