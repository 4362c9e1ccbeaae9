//! A hold: who may answer it, what they said, and when it is over.
//!
//! In: terms, votes, the time. Out: `Ballot`; a `Grant` once, when every part has its quorum.
//! Never: a vote of the requester, of another identity of the requester, of someone outside the
//! approvers, of the same person twice, or at or after the deadline.
//!
//! A command that several rules hold has a part for each. A vote counts for every part whose
//! approvers its voter belongs to, once in each; one denial by anybody who may vote ends it.
//!
//! ```text
//!   open --vote--> Counted --vote--> Granted --terms in force--> runs, superseded, refused
//!     |               |
//!     +---------------+-- denial --> Denied
//!                     +-- a vote or the timer at the deadline --> Late, expired
//!                     +-- the client gives up --> canceled; leaves, or weir ends --> abandoned
//! ```

mod grant;
mod queue;
mod summary;
mod window;

use std::rc::Rc;
use std::sync::Arc;

use super::{HoldPart, HoldTerms, Matched, Policy, RuleName};
use crate::clock::Now;
use crate::identify::api_token::TokenId;
use crate::identify::token;
use crate::record::SessionId;

pub use grant::{Grant, Scope, Standing, Standings, is_repeatable};
pub use queue::{Asks, Crowded, Denials, Place};
pub use summary::{AskPart, AskSummary};
pub use window::{Claim, Window};

/// How a vote was proven that needs no user of the configuration: the token of weir itself.
pub const ADMIN_TOKEN: &str = "admin-token";

/// What has to be there still at the release, so that a vote counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ground {
    /// A user of the configuration, or the token of weir itself.
    #[default]
    Configured,
    /// The issuer of the voter's token, with everything that was asked of its tokens then: the
    /// groups are what it said.
    Issuer(Arc<token::Policy>),
    /// An API token of weir, and its user.
    ApiToken(TokenId),
}

/// One person's word on a command that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// Other identities of the same person, as the configuration says.
    pub also: Vec<String>,
    /// Groups of the approver.
    pub groups: Vec<String>,
    /// Approve or deny.
    pub approve: bool,
    /// Why.
    pub reason: String,
    /// SHA-256 of what the approver was shown (`AskSummary::digest`), if the vote says it.
    pub digest: Option<[u8; 32]>,
    /// For what else than this execution an approval is meant.
    pub scope: Scope,
    /// How the approver proved who it is.
    pub auth: String,
    /// By what, as far as that can be taken away.
    pub ground: Ground,
    /// Where the vote was cast.
    pub channel: String,
}

impl Vote {
    /// Whether this identity is the voter, or the same person.
    fn is_by(&self, name: &str) -> bool {
        self.approver == name || self.also.iter().any(|other| other == name)
    }
}

/// A command that waits.
#[derive(Debug)]
pub struct Ask {
    /// Id.
    pub id: SessionId,
    /// Terms.
    pub terms: HoldTerms,
    /// Who asked; may not approve.
    pub requester: String,
    /// When it expires, monotonic microseconds.
    pub deadline_us: u64,
    /// When it expires, UTC microseconds.
    pub expires_at_us: i64,
    /// Approvals so far, each of another person.
    approvals: Vec<Vote>,
    /// Whether a vote or the time has ended it.
    over: bool,
}

/// What a vote does.
#[derive(Debug)]
pub enum Ballot {
    /// It counts; more are needed.
    Counted {
        /// Fewer approvals than this cannot release it.
        missing: u32,
    },
    /// This person's approval counts already; the first answer again, and no second row.
    Again {
        /// Fewer approvals than this cannot release it.
        missing: u32,
    },
    /// Every part has its quorum.
    Granted(Grant),
    /// One approver denied; the hold is over.
    Denied,
    /// The time to answer was over when the vote came: the hold has expired.
    Late,
    /// It does not count.
    Refused(&'static str),
}

impl Ballot {
    /// The step that the record gets for the vote itself.
    pub fn step(&self) -> Option<&'static str> {
        match self {
            Ballot::Counted { .. } | Ballot::Granted(_) => Some("vote-approve"),
            Ballot::Denied => Some("vote-deny"),
            Ballot::Again { .. } | Ballot::Late | Ballot::Refused(_) => None,
        }
    }
}

/// What a voter reads whose vote came too late.
pub const LATE: &str = "the time to answer is over: the command was refused";

impl Ask {
    /// Opens an ask.
    ///
    /// # Panics
    /// If the terms have no part, or one without approvers or quorum, which `config` refuses.
    pub fn open(id: SessionId, terms: HoldTerms, requester: &str, now: Now) -> Ask {
        assert!(!terms.parts.is_empty(), "a hold is asked for by a rule");
        for part in &terms.parts {
            assert!(!part.approvers.is_empty(), "a hold names who may approve it");
            assert!(part.quorum > 0, "a hold needs at least one approval");
        }
        let timeout_us = terms.timeout_us();
        Ask {
            id,
            deadline_us: now.mono_us.saturating_add(timeout_us),
            expires_at_us: now
                .wall_us
                .saturating_add(i64::try_from(timeout_us).unwrap_or(i64::MAX)),
            terms,
            requester: requester.to_owned(),
            approvals: Vec::new(),
            over: false,
        }
    }

    /// Takes one vote.
    pub fn vote(&mut self, vote: &Vote, now: Now) -> Ballot {
        if self.over {
            return Ballot::Refused("this command no longer waits for approval");
        }
        if self.is_expired(now) {
            self.over = true;
            return Ballot::Late;
        }
        if let Some(why) = self.objection(vote) {
            return Ballot::Refused(why);
        }
        if !vote.approve {
            self.over = true;
            return Ballot::Denied;
        }
        if self.approvals.iter().any(|earlier| vote.is_by(&earlier.approver)) {
            return Ballot::Again { missing: self.missing() };
        }
        self.approvals.push(vote.clone());
        let missing = self.missing();
        if missing > 0 {
            return Ballot::Counted { missing };
        }
        self.over = true;
        Ballot::Granted(Grant::of(self))
    }

    /// Why a vote does not count, whenever it comes.
    fn objection(&self, vote: &Vote) -> Option<&'static str> {
        if vote.approver.is_empty() {
            return Some("a vote needs a name");
        }
        if vote.approver == self.requester {
            return Some("who asks for a command cannot answer it");
        }
        if vote.is_by(&self.requester) {
            return Some("who asks for a command cannot answer it under another name");
        }
        if !self.terms.parts.iter().any(|part| belongs(part, &vote.groups)) {
            return Some("only members of the rule's approvers may answer");
        }
        if !vote.approve && vote.reason.trim().is_empty() {
            return Some("a denial needs a reason");
        }
        None
    }

    /// Fewer approvals than this cannot release it: what the part that lacks most lacks.
    pub fn missing(&self) -> u32 {
        let lacks = |part: &Rc<HoldPart>| part.quorum.saturating_sub(self.given(part));
        self.terms.parts.iter().map(lacks).max().unwrap_or(1)
    }

    fn given(&self, part: &HoldPart) -> u32 {
        given(part, &self.approvals)
    }

    /// Each part of the terms as people see it.
    pub fn parts(&self) -> Vec<AskPart> {
        let shown = self.terms.parts.iter().map(|part| AskPart {
            rule: part.rule.to_string(),
            approvers: part.approvers.clone(),
            quorum: part.quorum,
            given: self.given(part),
        });
        shown.collect()
    }

    /// Whether the time to answer is over. A vote that arrives later must not be taken.
    pub fn is_expired(&self, now: Now) -> bool {
        now.mono_us >= self.deadline_us
    }
}

/// An ask as plain data, which may cross threads: it waits while nobody waits for it.
#[derive(Debug)]
pub struct Parked {
    id: SessionId,
    parts: Vec<(String, Vec<String>, u32, u64)>,
    requester: String,
    deadline_us: u64,
    expires_at_us: i64,
    approvals: Vec<Vote>,
}

impl Parked {
    /// The ask again.
    pub fn resume(self) -> Ask {
        let parts = self.parts.into_iter().map(|(rule, approvers, quorum, timeout_us)| {
            Rc::new(HoldPart { rule: rule.into(), approvers, quorum, timeout_us })
        });
        let parts: Vec<Rc<HoldPart>> = parts.collect();
        let names: Vec<RuleName> = parts.iter().map(|part| RuleName::clone(&part.rule)).collect();
        Ask {
            id: self.id,
            terms: HoldTerms { parts, matched: Matched::none(&Policy::of(names)) },
            requester: self.requester,
            deadline_us: self.deadline_us,
            expires_at_us: self.expires_at_us,
            approvals: self.approvals,
            over: false,
        }
    }
}

impl Ask {
    /// Nobody waits for it now. `None` if a vote has ended it.
    pub fn park(self) -> Option<Parked> {
        let part = |part: &Rc<HoldPart>| {
            let rule = part.rule.to_string();
            (rule, part.approvers.clone(), part.quorum, part.timeout_us)
        };
        (!self.over).then(|| Parked {
            id: self.id,
            parts: self.terms.parts.iter().map(part).collect(),
            requester: self.requester,
            deadline_us: self.deadline_us,
            expires_at_us: self.expires_at_us,
            approvals: self.approvals,
        })
    }
}

fn belongs(part: &HoldPart, groups: &[String]) -> bool {
    groups.iter().any(|group| part.approvers.contains(group))
}

/// How many of these people count for a part.
fn given(part: &HoldPart, approvals: &[Vote]) -> u32 {
    let counted = approvals.iter().filter(|vote| belongs(part, &vote.groups)).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
