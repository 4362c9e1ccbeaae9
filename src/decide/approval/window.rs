//! A window: commands of some classes that one user may run for a while without a further ask.
//!
//! In: a grant that is meant for one; commands that a rule holds. Out: grants.
//! Never: a grant that beats a denial, or rules that were not among those that were answered. A
//! window is known to the control thread and in snapshots only: the end of the process ends it.

use super::{Grant, Scope, Vote};
use crate::clock::Now;
use crate::decide::HoldTerms;
use crate::record::SessionId;

/// An open window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Id of the approval that opened it.
    pub id: SessionId,
    /// Whose commands.
    pub user: String,
    /// Where.
    pub target: String,
    /// As whom.
    pub role: String,
    /// Classes: a command's must all be among them.
    pub classes: Vec<String>,
    /// Up to when, UTC microseconds.
    pub until_us: i64,
    /// Who opened it.
    pub approvals: Vec<Vote>,
    /// The groups that could answer.
    approvers: Vec<String>,
    /// Rules that were answered.
    rules: Vec<String>,
}

/// Whose command it is.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'c> {
    /// User.
    pub user: &'c str,
    /// Target.
    pub target: &'c str,
    /// Role.
    pub role: &'c str,
}

impl Window {
    /// The window that a grant opens, if it is meant for one.
    pub fn of(grant: &Grant, claim: Claim<'_>, classes: Vec<String>, now: Now) -> Option<Window> {
        let Scope::Window { for_us } = grant.scope else { return None };
        let for_us = i64::try_from(for_us).ok()?;
        (!classes.is_empty()).then(|| Window {
            id: grant.id,
            user: claim.user.to_owned(),
            target: claim.target.to_owned(),
            role: claim.role.to_owned(),
            classes,
            until_us: now.wall_us.saturating_add(for_us),
            approvals: grant.approvals.clone(),
            approvers: grant.approvers.clone(),
            rules: grant.rules.clone(),
        })
    }

    /// Whether these people may see and close it: whose it is, who opened it, and whoever could
    /// have answered in their place, because who opened it may be asleep.
    pub fn concerns(&self, user: &str, groups: &[String]) -> bool {
        self.user == user
            || self.approvals.iter().any(|vote| vote.approver == user)
            || groups.iter().any(|group| self.approvers.contains(group))
    }

    /// A grant for a command that is held by these terms, if the window is for it and who opened it
    /// may still do so.
    pub fn grant(
        &self,
        claim: Claim<'_>,
        classes: &[String],
        (terms, cast): (&HoldTerms, impl Fn(&Vote) -> Vote),
        now: Now,
    ) -> Option<Grant> {
        let same = (self.user.as_str(), self.target.as_str(), self.role.as_str())
            == (claim.user, claim.target, claim.role);
        let open = now.wall_us < self.until_us;
        let of_classes = !classes.is_empty() && classes.iter().all(|it| self.classes.contains(it));
        if !(same && open && of_classes) {
            return None;
        }
        let grant = Grant {
            id: self.id,
            rules: self.rules.clone(),
            quorum: terms.quorum(),
            expires_at_us: self.until_us,
            scope: Scope::Once,
            requester: self.user.clone(),
            approvers: self.approvers.clone(),
            approvals: self.approvals.clone(),
        };
        grant.renewed(cast).satisfies(terms).then_some(grant)
    }
}
