//! What a granted ask allows: this command, the same statement again, or classes for a while.
//!
//! In: an ask with its quorum; the terms in force when the command is released. Out: permits.
//! Never: a permit under terms that were not among those that people answered; a longer one than
//! all of them meant.

use std::rc::Rc;

use super::{Ask, Vote, given};
use crate::clock::Now;
use crate::decide::{HoldPart, HoldTerms, Permit};
use crate::limits;
use crate::record::SessionId;

/// For what else than one execution an approval is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// For nothing else.
    #[default]
    Once,
    /// The same statement with the same values in the same session.
    Statement {
        /// So many executions more.
        times: u32,
        /// Up to this time from the approval, microseconds.
        for_us: u64,
    },
    /// Commands of the same classes, of the same user with the same role at the same target.
    Window {
        /// Up to this time from the approval, microseconds.
        for_us: u64,
    },
}

impl Scope {
    /// Whether it is within the bounds.
    pub fn is_bounded(self) -> bool {
        match self {
            Scope::Once => true,
            Scope::Statement { times, for_us } => {
                (1..=limits::REPEATS_MAX).contains(&times)
                    && (1..=limits::REPEAT_US_MAX).contains(&for_us)
            }
            Scope::Window { for_us } => (1..=limits::WINDOW_US_MAX).contains(&for_us),
        }
    }

    /// For the record, JSON; empty for `Once`.
    pub fn words(self) -> String {
        match self {
            Scope::Once => String::new(),
            Scope::Statement { times, for_us } => {
                format!(r#"{{"same_statement":{times},"seconds":{}}}"#, for_us / 1_000_000)
            }
            Scope::Window { for_us } => format!(r#"{{"window_seconds":{}}}"#, for_us / 1_000_000),
        }
    }

    /// What both of two people mean; nothing beyond this execution if they differ in kind.
    fn common(self, other: Scope) -> Scope {
        match (self, other) {
            (
                Scope::Statement { times, for_us },
                Scope::Statement { times: fewer, for_us: shorter },
            ) => Scope::Statement { times: times.min(fewer), for_us: for_us.min(shorter) },
            (Scope::Window { for_us }, Scope::Window { for_us: shorter }) => {
                Scope::Window { for_us: for_us.min(shorter) }
            }
            _ => Scope::Once,
        }
    }
}

/// A granted ask; makes the permits of what it was asked for. Plain data, so it may cross threads.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Of the ask.
    pub id: SessionId,
    /// The rules that people answered.
    pub rules: Vec<String>,
    /// Fewer people than this could not answer them.
    pub quorum: u32,
    /// When the ask would have expired, UTC microseconds.
    pub expires_at_us: i64,
    /// For what else it is meant: what all approvers meant.
    pub scope: Scope,
    /// Who asked for it.
    pub(super) requester: String,
    /// The groups that could answer.
    pub(super) approvers: Vec<String>,
    pub(super) approvals: Vec<Vote>,
}

impl Grant {
    pub(super) fn of(ask: &Ask) -> Grant {
        let scopes = ask.approvals.iter().map(|vote| vote.scope);
        Grant {
            id: ask.id,
            rules: ask.terms.parts.iter().map(|part| part.rule.to_string()).collect(),
            quorum: ask.terms.quorum(),
            expires_at_us: ask.expires_at_us,
            scope: scopes.reduce(Scope::common).unwrap_or_default(),
            requester: ask.requester.clone(),
            approvers: ask.terms.parts.iter().flat_map(|part| part.approvers.clone()).collect(),
            approvals: ask.approvals.clone(),
        }
    }

    /// Who approved, and why: what the record says of a command that runs by an earlier approval.
    pub fn words(&self) -> String {
        let of = |vote: &Vote| format!("{} ({})", vote.approver, vote.reason);
        let all: Vec<String> = self.approvals.iter().map(of).collect();
        format!("approved by {}", all.join(", "))
    }

    /// Who approved.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.approvals.iter().map(|vote| vote.approver.as_str())
    }

    /// A permit for the approved command (its Bind, its Execute).
    pub fn permit(&self) -> Permit {
        Permit::new()
    }

    /// The same with its votes as they would be cast now: somebody who may not answer any more has
    /// no groups, and neither has who is by now the requester's, or an earlier voter's, person.
    #[must_use]
    pub fn renewed(&self, cast: impl Fn(&Vote) -> Vote) -> Grant {
        let mut approvals: Vec<Vote> = Vec::with_capacity(self.approvals.len());
        for mut vote in self.approvals.iter().map(cast) {
            let mut counted = approvals.iter().filter(|earlier| !earlier.groups.is_empty());
            let again = counted.any(|earlier| vote.is_by(&earlier.approver));
            if again || vote.is_by(&self.requester) {
                vote.groups = Vec::new();
            }
            approvals.push(vote);
        }
        Grant { approvals, ..self.clone() }
    }

    /// Whether the answers satisfy the terms in force now: each rule that holds the command was
    /// among those that were answered, asks for no more people than then, and has them by its
    /// present list of approvers.
    pub fn satisfies(&self, terms: &HoldTerms) -> bool {
        let answered = |part: &HoldPart| {
            self.rules.iter().any(|rule| **rule == *part.rule)
                && given(part, &self.approvals) >= part.quorum
        };
        terms.parts.iter().all(|part| answered(part))
    }

    /// Who approved and no longer may, by the lists of these terms.
    pub fn lapsed<'g>(&'g self, terms: &'g HoldTerms) -> impl Iterator<Item = &'g str> {
        let counts =
            |vote: &&Vote| terms.parts.iter().any(|part| super::belongs(part, &vote.groups));
        self.approvals.iter().filter(move |vote| !counts(vote)).map(|vote| vote.approver.as_str())
    }
}

/// An approval of a statement for more than one execution.
#[derive(Debug)]
pub struct Standing {
    subject: [u8; 32],
    left: u32,
    until_us: u64,
    grant: Rc<Grant>,
}

/// The approvals of one session that hold for more than one execution.
#[derive(Debug, Default)]
pub struct Standings {
    list: Vec<Standing>,
}

/// Whether statements of these classes may be approved for more than one execution.
pub fn is_repeatable(classes: &[impl AsRef<str>]) -> bool {
    !classes.is_empty() && classes.iter().all(|class| matches!(class.as_ref(), "read" | "write"))
}

impl Standings {
    /// Keeps a grant that is meant for the same statement again. What is neither a read nor a write
    /// is approved each time.
    pub fn keep(&mut self, grant: &Rc<Grant>, ask: &super::AskSummary, now: Now) {
        let Scope::Statement { times, for_us } = grant.scope else { return };
        if !ask.repeatable {
            return;
        }
        self.list.retain(|it| it.until_us > now.mono_us && it.left > 0);
        if self.list.len() >= limits::STANDINGS_MAX {
            self.list.remove(0);
        }
        self.list.push(Standing {
            subject: ask.subject(),
            left: times,
            until_us: now.mono_us.saturating_add(for_us),
            grant: Rc::clone(grant),
        });
    }

    /// Whether there is any, so that nothing is hashed for none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes one execution of what is approved, if the approval satisfies what is asked for now.
    pub fn take(
        &mut self,
        subject: &[u8; 32],
        satisfies: impl Fn(&Grant) -> bool,
        now: Now,
    ) -> Option<Rc<Grant>> {
        let fits = |it: &&mut Standing| {
            it.subject == *subject
                && it.left > 0
                && now.mono_us < it.until_us
                && satisfies(&it.grant)
        };
        let standing = self.list.iter_mut().find(fits)?;
        standing.left -= 1;
        Some(Rc::clone(&standing.grant))
    }
}
