//! What becomes of a command when rules and approvals are taken together.
//!
//! In: what the rules in force say, and the approval that the command has, if any.
//! Out: leave to run it; its refusal; a hold. Never: a release that the rules in force deny, or
//! that they hold by terms which nobody answered.
//!
//! ```text
//!   rules say   approval               what happens
//!   deny        any                    refused
//!   allow       none                   runs
//!   allow       granted                runs: `released`, the rule that held it is gone
//!   hold        granted, satisfies     runs
//!   hold        granted, does not      `vote-lapsed`, `superseded`, and a new ask in its place
//!   hold        none, one stands       runs: `used`, by a window or an earlier approval
//!   hold        none                   waits
//! ```

use std::rc::Rc;

use crate::decide::approval::{Ask, Claim, Grant, Scope, Window};
use crate::decide::{HoldTerms, Matched, Permit, RuleName};
use crate::fault::Fault;
use crate::record::{Entry, SessionId};
use crate::session::postgres::core::Office;
use crate::session::postgres::state::Approved;
use crate::session::{ApprovalStep, Output, Stage};

use super::admit::{Facts, Ruling};
use super::hold::record_fault;
use super::ready::Ready;

/// A command may run.
pub(super) struct Passage {
    pub permit: Permit,
    pub rule: RuleName,
    pub matched: Matched,
    /// By this approval.
    pub approved: Option<Approved>,
    /// The `seq` it was given when it began to wait.
    pub seq: Option<u64>,
}

impl Ready {
    /// Leave to run a command, or `None`: it was refused, or waits.
    pub(super) fn passage(
        &mut self,
        ruling: Ruling,
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Passage>, Fault> {
        let terms = match ruling {
            Ruling::Refuse(refusal) => {
                self.deny(refusal, facts, core, stage)?;
                return Ok(None);
            }
            Ruling::Go(permit, matched) => {
                let (approved, seq) = self.take_grant().unzip();
                if let (Some(approved), Some(seq)) = (&approved, seq) {
                    let step = ApprovalStep::because("released", "no rule holds it any more");
                    record(&step, (&approved.grant, seq), core, stage)?;
                }
                let rule = matched.rule();
                return Ok(Some(Passage { permit, rule, matched, approved, seq }));
            }
            Ruling::Hold(terms) => terms,
        };
        let (approved, seq) = match self.take_grant() {
            Some((approved, seq)) => {
                let renewed = stage.snapshot.renewed(&approved.grant);
                if !renewed.satisfies(&terms) {
                    supersede((&renewed, seq), &terms, core, stage)?;
                    self.hold((terms, Some(seq)), facts, core, stage)?;
                    return Ok(None);
                }
                self.extend((&approved.grant, &terms), facts, core, stage);
                (approved, seq)
            }
            None => match self.standing(&terms, facts, core, stage)? {
                Some(taken) => taken,
                None => {
                    self.hold((terms, None), facts, core, stage)?;
                    return Ok(None);
                }
            },
        };
        let (permit, rule) = (approved.grant.permit(), terms.rule());
        let matched = terms.matched;
        Ok(Some(Passage { permit, rule, matched, approved: Some(approved), seq: Some(seq) }))
    }

    /// An approval that stands for more than the command it was asked for.
    fn standing(
        &mut self,
        terms: &HoldTerms,
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<(Approved, u64)>, Fault> {
        let classes = facts.classified.action.classes.iter();
        let window = stage.snapshot.window(self.claim(), classes, terms, stage.now);
        let grant = match window {
            Some(grant) => Rc::new(grant),
            None if self.standings.is_empty() || facts.meaning.is_some() => return Ok(None),
            None => {
                let ask = Ask::open(SessionId::default(), terms.clone(), "", stage.now);
                let subject = self.summary((&ask, 0), facts, core, stage).subject();
                let snapshot = Rc::clone(stage.snapshot);
                let fits = |grant: &Grant| snapshot.renewed(grant).satisfies(terms);
                let Some(grant) = self.standings.take(&subject, fits, stage.now) else {
                    return Ok(None);
                };
                grant
            }
        };
        let seq = core.take_seq();
        record(&ApprovalStep::because("used", &grant.words()), (&grant, seq), core, stage)?;
        core.count(crate::metrics::Counted::Allow);
        let (rule, matched) = (terms.rule(), terms.matched.clone());
        Ok(Some((Approved { grant, rule, matched }, seq)))
    }

    /// Remembers an approval that is meant for more than this execution.
    fn extend(
        &mut self,
        (grant, terms): (&Rc<Grant>, &HoldTerms),
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &Stage<'_>,
    ) {
        match grant.scope {
            // What a name stands for may be another text the next time.
            Scope::Statement { .. } if facts.meaning.is_some() => {}
            Scope::Once => {}
            Scope::Statement { .. } => {
                let ask = Ask::open(SessionId::default(), terms.clone(), "", stage.now);
                let shown = self.summary((&ask, 0), facts, core, stage);
                self.standings.keep(grant, &shown, stage.now);
            }
            Scope::Window { .. } => {
                let classes = facts.classified.action.classes.iter().map(ToString::to_string);
                let window = Window::of(grant, self.claim(), classes.collect(), stage.now);
                if let Some(window) = window {
                    core.output(Output::Window(Box::new(window)));
                }
            }
        }
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            user: &self.link.identity.user,
            target: &self.link.target_name,
            role: &self.link.role,
        }
    }
}

/// The rules that hold the command now are others than those that were answered.
fn supersede(
    (approved, seq): (&Grant, u64),
    terms: &HoldTerms,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    ApprovalStep::superseded(approved, terms)
        .iter()
        .try_for_each(|step| record(step, (approved, seq), core, stage))
}

fn record(
    step: &ApprovalStep<'_>,
    (approved, seq): (&Grant, u64),
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let entry = Entry::Approval(step.entry_of(approved, seq));
    core.record(&entry, stage).map(drop).map_err(record_fault)
}
