//! What becomes of a request that enough people approved.
//!
//! In: an approval; the rules in force and who may answer them. Out: the request on its way, or its
//! refusal. Never: a vote of somebody who may not answer any more.

use crate::decide::approval::{Claim, Grant, Window};
use crate::decide::{HoldTerms, RuleName, Verdict};
use crate::fault::Refused as JournalRefused;
use crate::record::Entry;
use crate::session::{ApprovalStep, Next, Output, Stage};

use super::Session;
use super::exchange::{Exchange, Held};
use super::gate::step;
use super::kubernetes;
use super::tenure::Tenure;

impl Session {
    /// Enough people approved: the rules in force are asked again. Other terms than those that were
    /// answered end it: the same request may be asked for anew.
    pub(super) fn granted(
        &mut self,
        mut exchange: Box<Exchange>,
        held: &Held,
        grant: &Grant,
        stage: &mut Stage<'_>,
    ) -> Result<Option<Next>, Unrecorded> {
        let Some(tenure) = self.tenures.get_mut(self.current) else {
            return Ok(Some(Next::Stopped));
        };
        let approved = ApprovalStep { scope: grant.scope.words(), ..ApprovalStep::of("approved") };
        let mut recorded = step(held, &approved, tenure, stage);
        // A tenure lives by the settings that it began with; what people answer runs by today's.
        let who = tenure.who(&self.link, stage);
        let verdict = stage.snapshot.rules.decide(&who, &exchange.action);
        let renewed = stage.snapshot.renewed(grant);
        let is_masked_anew = tenure.changes_masks(&exchange, stage);
        let told = match &verdict {
            Verdict::Allow(..) => {
                vec![ApprovalStep::because("released", "no rule holds it any more")]
            }
            Verdict::Hold(terms) if !renewed.satisfies(terms) => {
                ApprovalStep::superseded(&renewed, terms)
            }
            Verdict::Hold(_) | Verdict::Deny(_) => Vec::new(),
        };
        for told in &told {
            recorded = recorded.and_then(|()| step(held, told, tenure, stage));
        }
        let ended = told.last().map_or("approved", |step| step.event);
        self.link.output(Output::AskClosed(grant.id, ended));
        if let Err(refused) = recorded {
            return Err(Unrecorded(exchange, refused));
        }
        match verdict {
            Verdict::Allow(..) | Verdict::Hold(_) if is_masked_anew => {
                self.deny(exchange, "the masks changed while it waited; ask again", stage);
                return Ok(Some(Next::Stopped));
            }
            Verdict::Allow(permit, matched) => {
                exchange.told.warning = kubernetes::waited(&exchange, held, grant, stage.now);
                exchange.rule = matched.rule();
                exchange.rules = matched.rule_names();
                self.admit(exchange, permit, stage);
            }
            Verdict::Hold(terms) if renewed.satisfies(&terms) => {
                let classes = exchange.action.classes.iter().map(ToString::to_string).collect();
                if let Some(window) = Window::of(grant, claim(tenure), classes, stage.now) {
                    self.link.output(Output::Window(Box::new(window)));
                }
                exchange.told.warning = kubernetes::waited(&exchange, held, grant, stage.now);
                exchange.grant = Some(Box::new(grant.clone()));
                self.admit(exchange, grant.permit(), stage);
            }
            Verdict::Hold(_) => {
                let detail = "the rules changed while it waited; ask again";
                self.deny(exchange, detail, stage);
                return Ok(Some(Next::Stopped));
            }
            Verdict::Deny(reason) => {
                exchange.rule = RuleName::clone(&reason.rule);
                exchange.rules = reason.matched.rule_names();
                self.deny(exchange, &reason.message, stage);
                return Ok(Some(Next::Stopped));
            }
        }
        Ok(None)
    }

    /// A request was approved before its client asked again, by people who may not answer it any
    /// more: others are asked.
    pub(super) fn lapse(
        &mut self,
        exchange: &Exchange,
        grant: &Grant,
        terms: &HoldTerms,
        stage: &mut Stage<'_>,
    ) -> Result<(), JournalRefused> {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return Ok(()) };
        for step in ApprovalStep::superseded(grant, terms) {
            let entry = Entry::Approval(step.entry_of(grant, exchange.seq));
            tenure.ledger.record(&entry, stage)?;
        }
        Ok(())
    }
}

/// A step of an approval that the journal refused, and the request it was about.
pub(super) struct Unrecorded(pub Box<Exchange>, pub JournalRefused);

pub(super) fn claim(tenure: &Tenure) -> Claim<'_> {
    Claim {
        user: &tenure.identity.user,
        target: &tenure.target_name,
        role: &tenure.credential.role,
    }
}
