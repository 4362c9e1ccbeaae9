//! What is open (a stream of events, a WebSocket, a watch, a log that is followed) when the
//! configuration changes: it is judged anew.
//!
//! In: the snapshot in force. Out: nothing, or the end of it, in words that its client understands
//! and that its row has.
//! Never: an event or a byte of a stream under rules or masks that are not in force any more.
//!
//! ```text
//!   a WebSocket                    Close 1008
//!   a stream of a cluster          the Status of a command that failed, then Close
//!   a watch between two events     an event ERROR with a Status, and the end of the answer
//!   events, calls of gRPC, content of no stated length    cut: no client takes that for the end
//!   anything else                  is over soon, as it was asked for
//! ```

use std::sync::Arc;

use crate::decide::Verdict;
use crate::decide::rules::Who;
use crate::record::entry::Outcome;
use crate::session::Stage;
use crate::wire::http::h1::Body;
use crate::wire::http::ws::handshake::Asked;

use super::exchange::{Down, Exchange, Up};
use super::release::claim;
use super::tenure::{Tenure, Trouble};
use super::{Phase, Session};

/// Why something cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A rule denies it now, or none allows it.
    Denied { rule: String, detail: String },
    /// A rule wants people to be asked who were not.
    Held { rule: String },
    /// Other values are masked now.
    Masks,
}

impl Over {
    /// As the row of its answer says it.
    pub fn words(&self) -> String {
        match self {
            Over::Denied { rule, detail } if rule.is_empty() => {
                format!("the configuration changed: {detail}")
            }
            Over::Denied { rule, detail } => {
                format!("the configuration changed: rule \"{rule}\": {detail}")
            }
            Over::Held { rule } => {
                format!("the configuration changed: rule \"{rule}\" holds it, so ask again")
            }
            Over::Masks => "the masks that apply here changed, so ask again".to_owned(),
        }
    }
}

impl Session {
    /// The configuration may have changed: what lasts is judged by it.
    pub(super) fn judge_anew(&mut self, stage: &mut Stage<'_>) {
        match self.link.is_many() {
            true => self.each_lane(stage, Session::judge_one_anew),
            false => self.judge_one_anew(stage),
        }
    }

    fn judge_one_anew(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let exchange = match &self.phase {
            Phase::Busy(exchange) if runs(exchange) => &**exchange,
            Phase::Tunnel(tunnel) => &tunnel.exchange,
            _ => return,
        };
        let who = tenure.who(&self.link, stage);
        let Some(over) = over(exchange, (tenure, &who), stage) else { return };
        let words = over.words();
        match &mut self.phase {
            Phase::Tunnel(_) => {
                let told = format!("weir: {words}");
                self.farewell(&told, (1008, "the configuration changed"), stage);
                self.over(Outcome::Aborted, &words, stage);
            }
            Phase::Busy(exchange)
                if exchange.lines == Some(true)
                    && matches!(exchange.down, Down::Content { .. }) =>
            {
                let event = over.event(exchange);
                if let Some(back) = &mut exchange.back {
                    back.keeps = false;
                }
                exchange.told.over = words;
                self.hand_over(&event, true, stage);
            }
            _ => self.end_changed(words, stage),
        }
    }

    /// The answer that begins may last, and the configuration may be another one than that of its
    /// request. Whether it ends here.
    pub(super) fn judge_head(&mut self, stage: &mut Stage<'_>) -> bool {
        let Some(tenure) = self.tenures.get(self.current) else { return false };
        let Phase::Busy(exchange) = &self.phase else { return false };
        let who = tenure.who(&self.link, stage);
        let Some(over) = over(exchange, (tenure, &who), stage) else { return false };
        self.end_changed(over.words(), stage);
        true
    }

    fn end_changed(&mut self, words: String, stage: &mut Stage<'_>) {
        if let Phase::Busy(exchange) = &mut self.phase {
            exchange.told.over = words;
        }
        self.fail(Trouble::Changed, stage);
    }
}

/// Whether a request is with its target, or about to be.
fn runs(exchange: &Exchange) -> bool {
    matches!(exchange.up, Up::Waiting(..) | Up::Content { .. } | Up::Sent)
}

impl Exchange {
    /// Whether its answer goes on for as long as somebody likes.
    fn lasts(&self) -> bool {
        let is_open =
            matches!(self.down, Down::Content { body: Body::Chunked(_) | Body::UntilClose, .. });
        self.request.asks != Asked::Nothing
            || match self.request.kube.as_deref() {
                Some(asked) => asked.lasts(),
                None => {
                    is_open || self.events.is_some() || self.progress.is_some() || self.is_call()
                }
            }
    }
}

impl Tenure {
    /// Whether other values are masked for it now than were when the exchange was asked for.
    pub(super) fn changes_masks(&self, exchange: &Exchange, stage: &Stage<'_>) -> bool {
        let whose = (self.target_name.as_str(), self.identity.groups.as_slice());
        match &exchange.request.kube {
            Some(asked) => asked.changes_masks(self, stage),
            None => !stage.snapshot.masks.hides_bodies_alike(&self.snapshot.masks, whose),
        }
    }

    /// Whether the configuration in force is another one than it was opened under.
    pub(super) fn is_old(&self, stage: &Stage<'_>) -> bool {
        !Arc::ptr_eq(&self.snapshot.settings, &stage.snapshot.settings)
    }
}

/// Why an exchange cannot go on by the snapshot in force. `None`: it can, or is over soon.
fn over(
    exchange: &Exchange,
    (tenure, who): (&Tenure, &Who<'_>),
    stage: &Stage<'_>,
) -> Option<Over> {
    if !tenure.is_old(stage) || !exchange.lasts() {
        return None;
    }
    match stage.snapshot.rules.decide(who, &exchange.action) {
        Verdict::Deny(reason) => {
            let (rule, detail) = (reason.rule.to_string(), reason.message.to_string());
            return Some(Over::Denied { rule, detail });
        }
        Verdict::Hold(terms) => {
            // People said yes to these terms, or to others that answer them.
            let before = match tenure.snapshot.rules.decide(who, &exchange.action) {
                Verdict::Hold(before) => exchange.approval.is_some() && before.parts == terms.parts,
                Verdict::Allow(..) | Verdict::Deny(_) => false,
            };
            let granted = exchange.grant.as_deref();
            let granted = granted.is_some_and(|it| stage.snapshot.renewed(it).satisfies(&terms));
            let classes = exchange.action.classes.iter();
            let window = || stage.snapshot.window(claim(tenure), classes, &terms, stage.now);
            if !before && !granted && window().is_none() {
                return Some(Over::Held { rule: terms.rule().to_string() });
            }
        }
        Verdict::Allow(..) => {}
    }
    tenure.changes_masks(exchange, stage).then_some(Over::Masks)
}
