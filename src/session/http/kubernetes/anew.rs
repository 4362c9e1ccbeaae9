//! What lasts at a cluster when the configuration changes (`http/anew`): how a watch ends.
//!
//! In: why it cannot go on. Out: its last event. Never: an end that clients take for no error.

use crate::decide::kubernetes::Flow;
use crate::session::Stage;
use crate::session::http::anew::Over;
use crate::session::http::exchange::Exchange;
use crate::session::http::tenure::Tenure;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::reply::Problem;

use super::{Asked, status};

impl Over {
    /// An event of a watch. After 410 clients list again, and so have no object that they saw
    /// under other masks (client-go, tools/cache/reflector.go, `isExpiredError`).
    pub(in super::super) fn event(&self, exchange: &Exchange) -> Vec<u8> {
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

impl Asked {
    /// Whether its answer goes on for as long as somebody likes.
    pub(in super::super) fn lasts(&self) -> bool {
        self.understood.flow != Flow::Plain
    }

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
