//! Commands that wait for people.
//!
//! In: hold terms, votes, cancels, time. Out: the command again with a grant, or its refusal.
//! Never: a wait that blocks another session; a release without a recorded approval.

use std::rc::Rc;

use crate::decide::approval::{Ask, AskSummary, Ballot, Crowded, LATE, Place, is_repeatable};
use crate::decide::{Consequence, HoldTerms, Object};
use crate::fault::{Fault, FaultKind, Refused};
use crate::record::entry::{Decision, Outcome, Params};
use crate::record::{Entry, SessionId, params};
use crate::session::postgres::state::Approved;
use crate::session::{ApprovalStep, Next, Vote, VoteReply};
use crate::wire::Side;
use crate::wire::postgres::frame;
use crate::wire::postgres::reply::{self, Report};

use super::admit::{Facts, Refusal, Ruled, record_command};
use super::ready::{Flow, Held, Ready, Resolution};
use crate::session::capture::unanswered;
use crate::session::desk::new_id;
use crate::session::postgres::core::Office;
use crate::session::{Output, Stage};

/// How a hold ends without a grant.
struct Ending {
    event: &'static str,
    sqlstate: &'static str,
    message: String,
}

impl Ready {
    /// Records that the command waits, tells the client and the control thread. What waited before
    /// under other terms has its `seq`, and its row.
    pub(super) fn hold(
        &mut self,
        (terms, earlier): (HoldTerms, Option<u64>),
        facts: &Facts<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let id = new_id(stage.now, stage.random);
        let ask = Ask::open(id, terms, &self.link.identity.user, stage.now);
        let seq = earlier.unwrap_or_else(|| core.take_seq());
        let summary = self.summary((&ask, seq), facts, core, stage);
        let place = match place(&ask, &summary, stage) {
            Ok(place) => place,
            Err(refusal) => {
                self.resolved =
                    earlier.map(|seq| (Resolution::Refused(refusal.clone(), None), seq));
                return self.deny(refusal, facts, core, stage);
            }
        };
        let held = Held {
            ask,
            frame: facts.frame.to_vec(),
            seq,
            shown: summary.digest(),
            place,
            _counted: core.waiting(),
        };
        let ruled = Ruled {
            seq: held.seq,
            decision: Decision::Hold,
            rule: &held.ask.terms.rule(),
            matched: Some(&held.ask.terms.matched),
            approval_id: Some(id),
        };
        let recorded = match earlier {
            Some(_) => Ok(()),
            None => record_command(facts, &ruled, core, stage).map(drop),
        };
        let requested = ApprovalStep::of("requested");
        let recorded = recorded.and_then(|()| record_step(&held, &requested, core, stage));
        if let Err(refused) = recorded {
            let refusal = Refusal::of(FaultKind::Record(refused));
            self.refuse(facts.frame, None, &refusal, core);
            return Ok(());
        }
        core.output(Output::AskOpened(Box::new(summary)));
        self.say_when_possible(notice(&held.ask), core);
        self.flow = Flow::Held(Box::new(held));
        Ok(())
    }

    pub(super) fn summary(
        &self,
        (ask, command_seq): (&Ask, u64),
        facts: &Facts<'_>,
        core: &Office,
        stage: &Stage<'_>,
    ) -> AskSummary {
        let action = &facts.classified.action;
        let reached = self.reached_words(action, stage);
        AskSummary {
            id: ask.id,
            session_id: core.accepted.session_id,
            command_seq,
            user: self.link.identity.user.clone(),
            target: self.link.target_name.clone(),
            role: self.link.role.clone(),
            rule: ask.terms.rule().to_string(),
            text: self.shown_text(facts),
            params: facts.params.as_ref().map(params::shown).unwrap_or_default(),
            sameness: None,
            classes: action.classes.iter().map(ToString::to_string).collect(),
            objects: action.objects.iter().map(Object::marked).chain(reached).collect(),
            approvers: ask.terms.approvers(),
            quorum: ask.terms.quorum(),
            parts: ask.parts(),
            repeatable: is_repeatable(&action.classes)
                && !takes_data(facts)
                && facts.meaning.is_none(),
            requested_at_us: stage.now.wall_us,
            expires_at_us: ask.expires_at_us,
        }
    }

    /// The text as people are shown it, with what else decides what runs.
    fn shown_text(&self, facts: &Facts<'_>) -> String {
        let mut text = params::shown_text(facts.encoding, facts.text).into_owned();
        text.push_str(facts.meaning.unwrap_or_default());
        text.push_str(&self.changed.said());
        text.push_str(&self.beliefs.reads_said());
        if takes_data(facts) {
            text.push_str(DATA_FOLLOWS);
        }
        text.push_str(&facts.params.as_ref().map(types_said).unwrap_or_default());
        text
    }

    /// One approver's word.
    pub fn vote(
        &mut self,
        id: SessionId,
        vote: &Vote,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<VoteReply, Fault> {
        let Flow::Held(held) = &mut self.flow else { return Ok(VoteReply::Unknown) };
        if held.ask.id != id {
            return Ok(VoteReply::Unknown);
        }
        if vote.digest.is_some_and(|digest| digest != held.shown) {
            let why = "the vote is not about the command that waits";
            return Ok(VoteReply::Refused(why.to_owned()));
        }
        let ballot = held.ask.vote(vote, stage.now);
        if let Some(event) = ballot.step() {
            record_step(held, &ApprovalStep::vote(event, vote), core, stage)
                .map_err(record_fault)?;
        }
        match ballot {
            Ballot::Refused(why) => Ok(VoteReply::Refused(why.to_owned())),
            Ballot::Counted { missing } => Ok(VoteReply::Counted { missing }),
            Ballot::Again { missing } => Ok(VoteReply::Again { missing }),
            Ballot::Late => {
                self.expire_hold(core, stage)?;
                Ok(VoteReply::Refused(LATE.to_owned()))
            }
            Ballot::Granted(grant) => {
                let terms = &held.ask.terms;
                let (rule, matched) = (terms.rule(), terms.matched.clone());
                let approved =
                    ApprovalStep { scope: grant.scope.words(), ..ApprovalStep::of("approved") };
                record_step(held, &approved, core, stage).map_err(record_fault)?;
                self.release(Approved { grant: Rc::new(grant), rule, matched }, core, stage)
            }
            Ballot::Denied => {
                held.place.denied(stage.now);
                let message = format!("denied by {}: {}", vote.approver, vote.reason);
                self.end_hold(Ending { event: "denied", sqlstate: "42501", message }, core, stage)?;
                Ok(VoteReply::Denied)
            }
        }
    }

    /// The client's CancelRequest; false when nothing is held and the target has to be asked.
    pub fn cancel_hold(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<bool, Fault> {
        if self.held().is_none() {
            return Ok(false);
        }
        let message = "canceling statement due to user request".to_owned();
        self.end_hold(Ending { event: "canceled", sqlstate: "57014", message }, core, stage)?;
        Ok(true)
    }

    /// The client has said goodbye: nobody waits for the command any more.
    pub(super) fn leave_hold(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if self.held().is_none() {
            return Ok(());
        }
        let message = "the client left while its command waited".to_owned();
        self.end_hold(Ending { event: "abandoned", sqlstate: "57014", message }, core, stage)
    }

    /// The time of the hold is over.
    pub(super) fn expire_hold(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Held(held) = &self.flow else { return Ok(()) };
        if stage.now.mono_us < held.ask.deadline_us {
            return Ok(());
        }
        let message = "nobody approved this command in time".to_owned();
        self.end_hold(Ending { event: "expired", sqlstate: "57014", message }, core, stage)
    }

    /// The session ends while a command waits.
    pub(super) fn abandon_hold(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Held(held) = std::mem::replace(&mut self.flow, Flow::Normal) else {
            return Ok(());
        };
        let step = ApprovalStep::because("abandoned", "the session ended");
        record_step(&held, &step, core, stage).map_err(record_fault)?;
        core.output(Output::AskClosed(held.ask.id, "abandoned"));
        let words = ("", "the session ended while it waited for approval");
        let ended = unanswered(held.seq, Outcome::Abandoned, words, core, stage);
        ended.map(drop).map_err(record_fault)
    }

    /// The target skips what waits: an earlier message of its pipeline has failed.
    pub(super) fn skip_hold(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Held(held) = std::mem::replace(&mut self.flow, Flow::SkipToSync) else {
            return Ok(());
        };
        let why = "the target skips it: an earlier message of its pipeline has failed";
        let step = ApprovalStep::because("abandoned", why);
        record_step(&held, &step, core, stage).map_err(record_fault)?;
        core.output(Output::AskClosed(held.ask.id, "abandoned"));
        unanswered(held.seq, Outcome::Skipped, ("", why), core, stage).map_err(record_fault)?;
        self.resume_client(core, stage)
    }

    fn release(
        &mut self,
        approved: Approved,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<VoteReply, Fault> {
        let Flow::Held(held) = std::mem::replace(&mut self.flow, Flow::Normal) else {
            return Ok(VoteReply::Unknown);
        };
        self.resolved = Some((Resolution::Granted(approved), held.seq));
        self.turned_down = false;
        let again = self.again(&held.frame, core, stage);
        self.resolved = None;
        // What follows it has verdicts of its own.
        let event = match (self.turned_down, self.held()) {
            (true, _) => "refused",
            (false, Some(_)) => "superseded",
            (false, None) => "approved",
        };
        core.output(Output::AskClosed(held.ask.id, event));
        again?;
        self.resume_client(core, stage)?;
        match event {
            "approved" => Ok(VoteReply::Counted { missing: 0 }),
            _ => Ok(VoteReply::Settled(Next::Stopped)),
        }
    }

    fn end_hold(
        &mut self,
        ending: Ending,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Held(held) = std::mem::replace(&mut self.flow, Flow::Normal) else {
            return Ok(());
        };
        let Ending { event, sqlstate, message } = ending;
        record_step(&held, &ApprovalStep::of(event), core, stage).map_err(record_fault)?;
        core.output(Output::AskClosed(held.ask.id, event));
        let rule = held.ask.terms.rule();
        let hint = format!("Held by the rule \"{rule}\" of weir.");
        let matched = Some(Box::new(held.ask.terms.matched.clone()));
        let refusal = Refusal { sqlstate, message, hint, rule, matched };
        let resolution = match event {
            "abandoned" | "canceled" => Resolution::Abandoned(refusal, held.ask.id),
            _ => Resolution::Refused(refusal, Some(held.ask.id)),
        };
        self.resolved = Some((resolution, held.seq));
        self.again(&held.frame, core, stage)?;
        self.resolved = None;
        self.resume_client(core, stage)
    }

    /// Handles a message again that had to wait, or the start of one that is streamed.
    pub(super) fn again(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let tag = frame.first().copied();
        let tag = tag.ok_or(Fault::new(Side::Client, FaultKind::Internal))?;
        if frame::Step::is_whole(frame) {
            self.client_frame(tag, frame, core, stage)
        } else {
            self.client_begin(tag, frame, core, stage)
        }
    }

    /// The names are settled: the message that waited for them is handled.
    pub(super) fn after_settling(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Flow::Settling(frame) = std::mem::replace(&mut self.flow, Flow::Normal) else {
            return Ok(());
        };
        self.again(&frame, core, stage)?;
        self.resume_client(core, stage)
    }
}

const DATA_FOLLOWS: &str =
    "\n\nthe client sends data for this command when it runs, which nobody sees before";

/// COPY FROM STDIN: what it stores is in no text.
fn takes_data(facts: &Facts<'_>) -> bool {
    let copies =
        |effect: &Consequence| matches!(effect, Consequence::Copy(copy) if copy.from_client);
    facts.classified.statements.iter().any(|statement| copies(&statement.effect))
}

/// What types the client says its values are of: the same bytes mean something else as another
/// type, and so may the text.
fn types_said(params: &Params<'_>) -> String {
    if params.types.iter().all(|oid| *oid == 0) {
        return String::new();
    }
    let words = params.types.iter().map(|oid| match oid {
        0 => "as the text has it".to_owned(),
        oid => oid.to_string(),
    });
    let words: Vec<String> = words.collect();
    format!("\n\ntypes of its values (pg_type.oid): {}", words.join(", "))
}

/// A place among the commands that wait, or why there is none.
fn place(ask: &Ask, summary: &AskSummary, stage: &Stage<'_>) -> Result<Place, Refusal> {
    if !summary.can_be_shown() {
        return Err(unshowable(ask));
    }
    let per_identity = stage.snapshot.settings.approvals.per_identity;
    stage.room.asks.enter(summary, per_identity, stage.now).map_err(|crowded| {
        let (message, hint) = crowded.words();
        Refusal {
            sqlstate: if crowded == Crowded::Denied { "42501" } else { "53400" },
            message: message.into(),
            hint: hint.into(),
            rule: ask.terms.rule(),
            matched: Some(Box::new(ask.terms.matched.clone())),
        }
    })
}

/// Why a command that a rule holds is refused instead: nobody could approve what cannot be shown.
fn unshowable(ask: &Ask) -> Refusal {
    Refusal {
        sqlstate: "54000",
        message: "this command is too long to be shown to an approver".into(),
        hint: "Up to 64 KiB of text and values can be held. Send it in smaller commands, or ask \
               for a rule that allows it."
            .into(),
        rule: ask.terms.rule(),
        matched: Some(Box::new(ask.terms.matched.clone())),
    }
}

/// What the client reads while it waits.
fn notice(ask: &Ask) -> Vec<u8> {
    let mut bytes = Vec::new();
    let id = uuid::Uuid::from_bytes(ask.id.0);
    let report = Report {
        severity: "NOTICE",
        sqlstate: "00000",
        message: &format!("weir holds this command for approval {id}"),
        detail: &asked(&ask.terms),
        hint: "It goes on when approved; cancel it as any statement to give up.",
    };
    reply::notice(&mut bytes, &report);
    bytes
}

/// Who has to approve, by rule.
fn asked(terms: &HoldTerms) -> String {
    let parts = terms.parts.iter().map(|part| {
        let approvers = part.approvers.join(", ");
        format!("Rule \"{}\" asks for {} of: {approvers}.", part.rule, part.quorum)
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn record_step(
    held: &Held,
    step: &ApprovalStep<'_>,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Refused> {
    let entry = step.entry(&held.ask, held.seq, Some(&held.shown));
    core.record(&Entry::Approval(entry), stage).map(drop)
}

pub(super) fn record_fault(refused: Refused) -> Fault {
    Fault::new(Side::Client, FaultKind::Record(refused))
}
