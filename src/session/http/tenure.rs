//! A tenure: one client connection, one identity, one target. It is what a row of `sessions` is.
//!
//! In: who asks, which target. Out: receipts of the tenure's own order; the rules that apply to it.
//! Never: an entry of one identity under another's session.

use std::rc::Rc;
use std::sync::Arc;

use crate::config::settings::{Credential, Durability, HttpTarget, Speaks};
use crate::decide::rules::{Scope, Who};
use crate::decide::{FactKind, http};
use crate::fault::{Login, Refused};
use crate::identify::{Identity, role};
use crate::limits;
use crate::mask::body;
use crate::metrics::{Presence, TargetMeter};
use crate::record::entry::{SessionEnd, SessionStart};
use crate::record::{Entry, Receipt, SessionContext, SessionId, SessionRef};
use crate::session::{Snapshot, Stage};
use crate::wire::Protocol;
use crate::wire::http::head::Head;
use crate::wire::http::mcp;

use super::link::Link;
use super::veil::Secrets;

/// A session's place in the journal.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The id that its rows have.
    pub id: SessionId,
    journal: SessionRef,
    next_seq: u64,
}

impl Ledger {
    /// Makes a session known to the journal.
    pub fn open(context: &SessionContext, stage: &mut Stage<'_>) -> Ledger {
        let journal = stage.journal.open(context);
        Ledger { id: context.session_id, journal, next_seq: 0 }
    }

    /// States who the session belongs to.
    pub fn identify(&mut self, context: &SessionContext, stage: &mut Stage<'_>) {
        stage.journal.identify(self.journal, context);
    }

    /// The next number of the session's order.
    pub fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Records an entry under a new number.
    pub fn record(&mut self, entry: &Entry<'_>, stage: &mut Stage<'_>) -> Result<Receipt, Refused> {
        let seq = self.take_seq();
        self.record_at(seq, entry, stage)
    }

    /// Records an entry under a number that was taken before.
    pub fn record_at(
        &self,
        seq: u64,
        entry: &Entry<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<Receipt, Refused> {
        stage.journal.append(self.journal, seq, stage.now, entry)
    }

    /// A receipt for what no entry of its own covers.
    pub fn covered(&self, stage: &mut Stage<'_>) -> Receipt {
        stage.journal.covered(self.journal)
    }

    /// Forgets the session.
    pub fn close(&self, stage: &mut Stage<'_>) {
        stage.journal.close(self.journal);
    }
}

/// Counts of a tenure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub commands: u64,
    pub denied: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub masked: u64,
}

/// What the rows of a tenure repeat.
fn context(
    session_id: SessionId,
    (protocol, target, role): (Protocol, &str, &str),
    identity: &Identity,
    link: &Link,
) -> SessionContext {
    SessionContext {
        session_id,
        protocol: protocol.name(),
        user_name: identity.user.clone(),
        user_groups: identity.groups.clone(),
        auth_method: identity.method.name().to_owned(),
        target: target.to_owned(),
        db_namespace: String::new(),
        role: role.to_owned(),
        client_addr: link.accepted.client_addr.to_string(),
        client_app: String::new(),
        tls_version: link.tls_version().to_owned(),
    }
}

/// One identity at one target.
#[derive(Debug)]
pub(super) struct Tenure {
    /// Its place in the journal.
    pub ledger: Ledger,
    /// Who.
    pub identity: Identity,
    /// Index of the target.
    pub target: usize,
    /// Its name.
    pub target_name: String,
    /// What weir shows the target.
    pub credential: Credential,
    /// Which connections of HTTP/2 may stand in for each other: they keep fields from one request
    /// to the next, so each is of one role (`Reuse`).
    pub terms_of_two: Arc<str>,
    /// The snapshot that it was opened under.
    pub snapshot: Rc<Snapshot>,
    /// Counts.
    pub totals: Totals,
    /// When a record counts as written.
    pub durability: Durability,
    /// What is masked in the bodies of answers.
    pub masks: Rc<body::Rules>,
    /// What no answer shows.
    pub secrets: Rc<Secrets>,
    scope: Scope,
    presence: Presence,
}

impl Tenure {
    /// Opens one for `identity` at a target.
    ///
    /// # Errors
    /// `NoRole` if the target has no credential for the identity's groups.
    pub fn open(
        identity: Identity,
        target: usize,
        link: &mut Link,
        stage: &mut Stage<'_>,
    ) -> Result<Tenure, Trouble> {
        let snapshot = Rc::clone(stage.snapshot);
        let settings = snapshot.settings.targets.get(target);
        let settings = settings.ok_or(Trouble::Login(Login::UnknownTarget))?;
        let credential =
            role::credential(&settings.credentials, &identity, "").map_err(Trouble::Login)?.clone();
        let who = Who {
            identity: &identity,
            target: &settings.name,
            role: &credential.role,
            source: link.accepted.client_addr.ip(),
            wall_us: stage.now.wall_us,
        };
        let scope = snapshot.rules.scope(&who);
        let is_mcp = settings.http.as_ref().is_some_and(|http| http.speaks == Speaks::Mcp);
        let masks = Rc::new(snapshot.masks.bodies(&settings.name, &identity.groups, is_mcp));
        let mut ledger = link.take_ledger(stage);
        let context = context(
            ledger.id,
            (settings.protocol, &settings.name, &credential.role),
            &identity,
            link,
        );
        ledger.identify(&context, stage);
        let detail = identity.method.detail();
        let listener = snapshot.settings.address_of(link.accepted.listener);
        let start = SessionStart {
            listener: &listener,
            auth_detail: &detail,
            durability: match settings.durability {
                Durability::Sync => "sync",
                Durability::Write => "write",
            },
            ..SessionStart::default()
        };
        ledger.record(&Entry::SessionStart(start), stage).map_err(Trouble::Record)?;
        let presence = Presence::new(stage.meters.target(target), |it| &it.connections);
        // What one role may do at the target is no more for another role's eyes than its own.
        let headers = settings.credentials.iter().filter_map(|it| it.header.as_ref());
        Ok(Tenure {
            ledger,
            target,
            target_name: settings.name.clone(),
            durability: settings.durability,
            terms_of_two: format!("h2 {}", credential.role).into(),
            secrets: Rc::new(Secrets::of(headers)),
            credential,
            totals: Totals::default(),
            masks,
            scope,
            presence,
            identity,
            snapshot,
        })
    }

    /// What its rows repeat.
    pub fn context(&self, link: &Link) -> SessionContext {
        let settings = self.snapshot.settings.targets.get(self.target);
        let protocol = settings.map_or(Protocol::Http, |settings| settings.protocol);
        let place = (protocol, self.target_name.as_str(), self.credential.role.as_str());
        context(self.ledger.id, place, &self.identity, link)
    }

    /// Whether it is this identity's at this target, under the settings of this snapshot.
    pub fn is(&self, identity: &Identity, target: usize, snapshot: &Rc<Snapshot>) -> bool {
        self.target == target
            && self.identity == *identity
            && Arc::ptr_eq(&self.snapshot.settings, &snapshot.settings)
    }

    /// What is set for the target.
    pub fn http(&self) -> Option<&HttpTarget> {
        self.snapshot.settings.targets.get(self.target)?.http.as_ref()
    }

    /// Whether the content of requests is MCP.
    pub fn speaks_mcp(&self) -> bool {
        self.http().is_some_and(|http| http.speaks == Speaks::Mcp)
    }

    /// Whether the path is that of the server of MCP: the one of `address`, or where that has none
    /// `/mcp`. The first `prefix` bytes named the target.
    pub fn is_endpoint(&self, head: &Head, prefix: usize) -> bool {
        let behind = head.path().get(prefix..).unwrap_or(&[]);
        let has_path = self.http().is_some_and(|http| !http.path.is_empty());
        match behind {
            b"" | b"/" => true,
            b"/mcp" | b"/mcp/" => !has_path && prefix == 0,
            _ => false,
        }
    }

    /// Whether a tool is offered to the identity.
    pub fn offers(&self, name: &[u8], link: &Link, stage: &Stage<'_>) -> bool {
        let (who, act) = (self.who(link, stage), http::tool(name));
        mcp::is_tool_name(name) && self.scope.offers(&who, Protocol::Http, &act, FactKind::Argument)
    }

    /// The rules that can match.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who asks, now.
    pub fn who<'t>(&'t self, link: &Link, stage: &Stage<'_>) -> Who<'t> {
        Who {
            identity: &self.identity,
            target: &self.target_name,
            role: &self.credential.role,
            source: link.accepted.client_addr.ip(),
            wall_us: stage.now.wall_us,
        }
    }

    /// The meter of the target.
    pub fn meter(&self) -> &Arc<TargetMeter> {
        self.presence.meter()
    }

    /// Counts bytes of the client's connection.
    pub fn count_bytes(&mut self, received: u64, sent: u64) {
        self.totals.bytes_in += received;
        self.totals.bytes_out += sent;
        let meter = self.presence.meter();
        meter.bytes_in.add(received);
        meter.bytes_out.add(sent);
    }

    /// Ends it.
    pub fn end(mut self, reason: &str, stage: &mut Stage<'_>) {
        let end = SessionEnd {
            reason,
            commands: self.totals.commands,
            bytes_in: self.totals.bytes_in,
            bytes_out: self.totals.bytes_out,
            denied: self.totals.denied,
            masked: self.totals.masked,
        };
        // A journal that refuses says so itself; the tenure ends all the same.
        let _refused_elsewhere = self.ledger.record(&Entry::SessionEnd(end), stage);
        self.ledger.close(stage);
    }
}

/// The tenures of a connection. Each keeps its place for as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Tenures(Vec<Option<Tenure>>);

impl Tenures {
    /// The one at a place.
    pub fn get(&self, index: usize) -> Option<&Tenure> {
        self.0.get(index)?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Tenure> {
        self.0.get_mut(index)?.as_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Tenure> {
        self.0.iter().flatten()
    }

    /// The place of one.
    pub fn find(&self, is: impl Fn(&Tenure) -> bool) -> Option<usize> {
        self.0.iter().position(|slot| slot.as_ref().is_some_and(&is))
    }

    /// The places of those about which there is something to say, and that.
    pub fn places<T>(&self, say: impl Fn(&Tenure) -> Option<T>) -> Vec<(usize, T)> {
        let all = self.0.iter().enumerate();
        all.filter_map(|(index, slot)| Some((index, say(slot.as_ref()?)?))).collect()
    }

    /// Adds one, and says its place.
    pub fn add(&mut self, tenure: Tenure) -> usize {
        if let Some(free) = self.0.iter().position(Option::is_none)
            && let Some(slot) = self.0.get_mut(free)
        {
            *slot = Some(tenure);
            return free;
        }
        self.0.push(Some(tenure));
        self.0.len() - 1
    }

    /// Takes one out that nobody works for, if there are many. More than that there are only as
    /// long as each has an exchange, which are bounded themselves.
    pub fn make_room(&mut self, is_busy: impl Fn(usize) -> bool) -> Option<Tenure> {
        if self.iter().count() < limits::HTTP_TENURES_MAX {
            return None;
        }
        let idles = |(index, slot): (usize, &Option<Tenure>)| slot.is_some() && !is_busy(index);
        let index = self.0.iter().enumerate().position(idles)?;
        self.0.get_mut(index)?.take()
    }

    /// Takes out those for which `is`.
    pub fn extract(&mut self, is: impl Fn(usize, &Tenure) -> bool) -> Vec<Tenure> {
        let slots = self.0.iter_mut().enumerate();
        let taken = slots.filter_map(|(index, slot)| slot.take_if(|tenure| is(index, tenure)));
        taken.collect()
    }

    /// Takes out all.
    pub fn take(&mut self) -> Vec<Tenure> {
        std::mem::take(&mut self.0).into_iter().flatten().collect()
    }
}

/// Why something cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The client may not.
    Login(Login),
    /// The journal refused.
    Record(Refused),
    /// What a peer said is refused.
    Refused(crate::wire::http::Refused),
    /// An answer cannot be masked.
    Masking(&'static str),
    /// The shard has no room for content that is read whole.
    Room,
    /// The configuration changed, and what lasts has to be asked for anew.
    Changed,
    /// The target cannot be reached, or stopped in the middle.
    Target(crate::fault::Target),
}
