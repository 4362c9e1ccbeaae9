//! What lasts at a cluster (a watch, a log that is followed, a stream, an answer of a proxy) when
//! the configuration changes: it is judged anew.
//!
//! In: the snapshot in force. Out: nothing, or the end of it, in words that its client understands
//! and that its row has.
//! Never: an event or a byte of a stream under rules or masks that are not in force any more.
//!
//! ```text
//!   a watch between two events   an event ERROR with a Status, and the end of the answer
//!   a watch within one, a log    cut: no client takes that for the end
//!   a stream                     the Status of a command that failed, then Close
//! ```

use std::sync::Arc;

use crate::decide::Verdict;
use crate::decide::kubernetes::Flow;
use crate::decide::rules::Who;
use crate::record::entry::Outcome;
use crate::session::Stage;
use crate::session::http::exchange::{Down, Exchange, Up};
use crate::session::http::release::claim;
use crate::session::http::tenure::{Tenure, Trouble};
use crate::session::http::{Phase, Session};
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::reply::Problem;
use crate::wire::http::ws::handshake;

use super::{Asked, status};

/// Why something cannot go on.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// A rule denies it now, or none allows it.
    Denied { rule: String, detail: String },
    /// A rule wants people to be asked who were not.
    Held { rule: String },
    /// Other values are masked now.
    Masks,
}

impl Over {
    /// As the row of its answer says it.
    fn words(&self) -> String {
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

    /// An event of a watch. After 410 clients list again, and so have no object that they saw
    /// under other masks (client-go, tools/cache/reflector.go, `isExpiredError`).
    fn event(&self, exchange: &Exchange) -> Vec<u8> {
        let words = self.words();
        let problem = Problem {
            status: if matches!(self, Over::Denied { .. }) { 403 } else { status::EXPIRED },
            kind: "policy-changed",
            title: "The configuration changed",
            detail: &words,
            instance: None,
            rule: None,
            error: "http_request_denied",
            retry_after_s: None,
        };
        let said = exchange.request.reply(&problem).content;
        [b"{\"type\":\"ERROR\",\"object\":", &said[..], b"}\n"].concat()
    }
}

impl Session {
    /// The configuration may have changed: what lasts is judged by it.
    pub(in super::super) fn judge_anew(&mut self, stage: &mut Stage<'_>) {
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
            _ => self.fail(Trouble::Changed, stage),
        }
    }
}

/// Whether a request is with its target, or about to be.
fn runs(exchange: &Exchange) -> bool {
    matches!(exchange.up, Up::Waiting(..) | Up::Content { .. } | Up::Sent)
}

/// Why an exchange cannot go on by the snapshot in force. `None`: it can, or is over soon.
fn over(
    exchange: &Exchange,
    (tenure, who): (&Tenure, &Who<'_>),
    stage: &Stage<'_>,
) -> Option<Over> {
    let asked = exchange.request.kube.as_deref()?;
    let upgrades = exchange.request.asks != handshake::Asked::Nothing;
    let is_same = Arc::ptr_eq(&tenure.snapshot.settings, &stage.snapshot.settings);
    if is_same || (!upgrades && asked.understood.flow == Flow::Plain) {
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
    asked.changes_masks(tenure, stage).then_some(Over::Masks)
}

impl Asked {
    /// Whether other values are masked for it now than were when it was asked.
    pub(in super::super) fn changes_masks(&self, tenure: &Tenure, stage: &Stage<'_>) -> bool {
        let Some(act) = self.understood.action.acts.first() else { return false };
        let whose = (tenure.target_name.as_str(), tenure.identity.groups.as_slice());
        let (before, now) = (&tenure.snapshot.masks, &stage.snapshot.masks);
        !now.hides_alike(before, whose, act, self.kind())
    }

    /// What is known of an answer that is events of a watch, a line of JSON each: that one is over.
    pub(in super::super) fn lines(&self, answer: &Head) -> Option<bool> {
        let is_watch = self.understood.verb == "watch" && answer.status() == Some(200);
        let kind = answer.only(Name::ContentType).unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_plain = answer.values(Name::ContentEncoding).next().is_none();
        (is_watch && is_plain && kind == b"application/json").then_some(true)
    }
}
