//! Requests that wait for people.
//!
//! In: requests that rules hold, votes, cancels, time. Out: rows of each step; requests that go on
//! under the rules in force then, or are refused. Never: something else at the target than what
//! approvers were shown.

use crate::decide::approval::{self, AskSummary, Ballot, Claim, Grant, LATE, Window};
use crate::decide::ssh::files;
use crate::decide::{Ask, HoldTerms, Permit, Verdict};
use crate::fault::{Fault, Refused};
use crate::limits::SSH_HOLDS_MAX;
use crate::metrics::Presence;
use crate::record::entry::{Decision, Outcome};
use crate::record::{Entry, SessionId};
use crate::session::desk::new_id;
use crate::session::{ApprovalStep, Next, Output, Stage, Vote, VoteReply};

use super::admit::{Place, Refusal, Ruled, Wanted, client_broken, record_command, record_refusal};
use super::channels::ChannelKey;
use super::core::Office;
use super::open::{Open, record_fault};
use super::{Machine, Phase, voice};

/// A request that waits for people.
#[derive(Debug)]
pub(super) struct Held {
    pub ask: Ask,
    /// The message that waits, and what it asks.
    wanted: Wanted,
    seq: u64,
    /// SHA-256 of what approvers are shown.
    shown: [u8; 32],
    /// Its place among the commands that wait.
    waits: Option<approval::Place>,
    _counted: Option<Presence>,
}

impl Held {
    /// Whether it is an operation on the files of a channel.
    pub fn is_of_files(&self, key: ChannelKey) -> bool {
        self.wanted.file_channel() == Some(key)
    }
}

impl Machine {
    pub(super) fn hold(
        &mut self,
        wanted: Wanted,
        terms: HoldTerms,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let seq = self.core.take_seq();
        let waiting = match &self.phase {
            Phase::Open(open) => open.holds.len(),
            _ => 0,
        };
        let words = if matches!(wanted.place, Place::Beside { .. } | Place::Global { .. }) {
            // Replies to these are due in their order, and others would wait with them.
            Some("weir: denied: requests of this kind cannot wait for approval")
        } else if !wanted.clear {
            Some("weir: denied: what is no UTF-8 cannot be shown to an approver")
        } else if waiting >= SSH_HOLDS_MAX {
            Some("weir: denied: too many requests of this connection wait for approval")
        } else {
            None
        };
        if let Some(words) = words {
            let rule = terms.rule();
            let ruled = Ruled::held(seq, Decision::Deny, (&rule, &terms), None);
            return self.deny(&wanted, ruled, Refusal::denied(words), stage);
        }
        let id = new_id(stage.now, stage.random);
        let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let ask = Ask::open(id, terms, &open.link.identity.user, stage.now);
        let shown = [0; 32];
        let mut held = Held { ask, wanted, seq, shown, waits: None, _counted: core.waiting() };
        let summary = summary(&held, open, core, stage);
        match place(&summary, stage) {
            Ok(place) => held.waits = Some(place),
            Err(words) => {
                let words = format!("weir: denied: {words}");
                let rule = held.ask.terms.rule();
                let ruled = Ruled::held(seq, Decision::Deny, (&rule, &held.ask.terms), None);
                return self.deny(&held.wanted, ruled, Refusal::denied(&words), stage);
            }
        }
        held.shown = summary.digest();
        let rule = held.ask.terms.rule();
        let ruled = Ruled::held(seq, Decision::Hold, (&rule, &held.ask.terms), Some(id));
        let recorded = record_command(&held.wanted, &ruled, core, stage)
            .and_then(|_| record_step(&held, &ApprovalStep::of("requested"), core, stage));
        if let Err(refused) = recorded {
            return self.refuse(&held.wanted, &voice::unrecorded(refused));
        }
        core.output(Output::AskOpened(Box::new(summary)));
        if let Some(channel) = held.wanted.channel() {
            let words = voice::held(&held.ask);
            open.channels.hold(channel, &words).map_err(client_broken)?;
        }
        if let Some(channel) = held.wanted.file_channel() {
            let words = voice::held_file(&held.ask, &held.wanted.text);
            open.channels.tell(channel, &words).map_err(client_broken)?;
        }
        open.holds.push(held);
        Ok(())
    }

    /// One approver's word.
    pub(super) fn vote(
        &mut self,
        id: SessionId,
        vote: &Vote,
        stage: &mut Stage<'_>,
    ) -> Result<VoteReply, Fault> {
        let Machine { core, phase: Phase::Open(open), .. } = self else {
            return Ok(VoteReply::Unknown);
        };
        let Some(index) = open.holds.iter().position(|held| held.ask.id == id) else {
            return Ok(VoteReply::Unknown);
        };
        let Some(held) = open.holds.get_mut(index) else { return Ok(VoteReply::Unknown) };
        if vote.digest.is_some_and(|digest| digest != held.shown) {
            let why = "the vote is not about the request that waits";
            return Ok(VoteReply::Refused(why.to_owned()));
        }
        let ballot = held.ask.vote(vote, stage.now);
        if let Some(event) = ballot.step() {
            record_step(held, &ApprovalStep::vote(event, vote), core, stage)
                .map_err(record_fault)?;
        }
        let reply = match ballot {
            Ballot::Refused(why) => VoteReply::Refused(why.to_owned()),
            Ballot::Counted { missing } => VoteReply::Counted { missing },
            Ballot::Again { missing } => VoteReply::Again { missing },
            Ballot::Late => {
                self.expire_holds(stage)?;
                VoteReply::Refused(LATE.to_owned())
            }
            Ballot::Granted(grant) => {
                let approved =
                    ApprovalStep { scope: grant.scope.words(), ..ApprovalStep::of("approved") };
                record_step(held, &approved, core, stage).map_err(record_fault)?;
                self.release(index, &grant, stage)?
            }
            Ballot::Denied => {
                if let Some(place) = &held.waits {
                    place.denied(stage.now);
                }
                let words = format!("weir: denied by {}: {}", vote.approver, vote.reason);
                self.end_hold(index, "denied", &words, stage)?;
                VoteReply::Denied
            }
        };
        self.posts(stage);
        self.own_replies(stage);
        Ok(reply)
    }

    /// Enough people approved: the rules in force are asked again.
    fn release(
        &mut self,
        index: usize,
        grant: &Grant,
        stage: &mut Stage<'_>,
    ) -> Result<VoteReply, Fault> {
        let gone = Ok(VoteReply::Unknown);
        let Machine { core, phase: Phase::Open(open), .. } = self else { return gone };
        let Some(held) = open.holds.get(index) else { return gone };
        let verdict = open.scope.decide(&open.who(core, stage), &held.wanted.action);
        let permit = match verdict {
            Verdict::Allow(permit, _) => {
                let step = ApprovalStep::because("released", "no rule holds it any more");
                record_step(held, &step, core, stage).map_err(record_fault)?;
                permit
            }
            Verdict::Hold(terms) if stage.snapshot.renewed(grant).satisfies(&terms) => {
                grant.permit()
            }
            Verdict::Hold(terms) => {
                let renewed = stage.snapshot.renewed(grant);
                let steps = ApprovalStep::superseded(&renewed, &terms);
                // The last of them is the end of the hold.
                for step in steps.iter().filter(|step| step.event == "vote-lapsed") {
                    record_step(held, step, core, stage).map_err(record_fault)?;
                }
                let words = "weir: denied: the rules changed while it waited; ask again";
                self.end_hold(index, "superseded", words, stage)?;
                return Ok(VoteReply::Settled(Next::Stopped));
            }
            Verdict::Deny(reason) => {
                let words = voice::denied(&reason);
                self.end_hold(index, "refused", &words, stage)?;
                return Ok(VoteReply::Settled(Next::Stopped));
            }
        };
        let held = open.holds.swap_remove(index);
        let classes = held.wanted.action.classes.iter().map(ToString::to_string).collect();
        if let Some(window) = Window::of(grant, open.claim(), classes, stage.now) {
            core.output(Output::Window(Box::new(window)));
        }
        self.granted(held, permit, stage)
    }

    fn granted(
        &mut self,
        held: Held,
        permit: Permit,
        stage: &mut Stage<'_>,
    ) -> Result<VoteReply, Fault> {
        self.core.output(Output::AskClosed(held.ask.id, "approved"));
        let channel = held.wanted.channel();
        let messages = match (&mut self.phase, channel) {
            (Phase::Open(open), Some(channel)) => open.channels.release(channel),
            _ => Vec::new(),
        };
        let rule = held.ask.terms.rule();
        let of = (&*rule, &held.ask.terms);
        let ruled = Ruled::held(held.seq, Decision::Allow, of, Some(held.ask.id));
        let denied = self.core.totals.denied;
        self.go(&held.wanted, permit, ruled, stage)?;
        // A file may have changed since: then it is refused for all that.
        let is_stopped = self.core.totals.denied > denied;
        self.posts(stage);
        // It runs: what the client sent after it is no part of the vote.
        let after = messages.iter().try_for_each(|message| self.again(message, stage));
        let after = after.and_then(|()| self.settle(stage));
        self.ended(after, stage);
        match is_stopped {
            true => Ok(VoteReply::Settled(Next::Stopped)),
            false => Ok(VoteReply::Counted { missing: 0 }),
        }
    }

    /// The client gave up on a channel that is held.
    pub(super) fn cancel_hold(
        &mut self,
        key: ChannelKey,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Phase::Open(open) = &self.phase else { return Ok(()) };
        let held = open.holds.iter().position(|held| held.wanted.channel() == Some(key));
        match held {
            Some(index) => self.end_hold(index, "canceled", "weir: canceled", stage),
            None => Ok(()),
        }
    }

    /// Nobody waits any more for operations on the files of a channel.
    pub(super) fn cancel_operations(
        &mut self,
        key: ChannelKey,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        loop {
            let Phase::Open(open) = &self.phase else { return Ok(()) };
            let waits = |held: &Held| held.wanted.file_channel() == Some(key);
            let Some(index) = open.holds.iter().position(waits) else { return Ok(()) };
            self.end_hold(index, "canceled", "weir: canceled", stage)?;
            self.posts(stage);
        }
    }

    /// Nobody waits any more for operations on a file that the client has closed.
    pub(super) fn cancel_outdated(
        &mut self,
        key: ChannelKey,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        loop {
            let Phase::Open(open) = &mut self.phase else { return Ok(()) };
            let Open { holds, files, .. } = &mut **open;
            let Some((_, files)) = files.iter().find(|(channel, _)| *channel == key) else {
                return Ok(());
            };
            let closed = |held: &Held| {
                let wish = held.wanted.wish.as_ref();
                held.is_of_files(key) && wish.is_some_and(|wish| !files.is_as_asked(wish))
            };
            let Some(index) = holds.iter().position(closed) else { return Ok(()) };
            self.end_hold(index, "canceled", "weir: canceled: the file was closed", stage)?;
        }
    }

    /// Ends the holds whose time is over.
    pub(super) fn expire_holds(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        loop {
            let Phase::Open(open) = &self.phase else { return Ok(()) };
            let expired = open.holds.iter().position(|held| held.ask.is_expired(stage.now));
            let Some(index) = expired else { return Ok(()) };
            let words = "weir: nobody approved this in time";
            self.end_hold(index, "expired", words, stage)?;
            self.posts(stage);
            self.own_replies(stage);
        }
    }

    fn end_hold(
        &mut self,
        index: usize,
        event: &'static str,
        words: &str,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let held = open.holds.swap_remove(index);
        record_step(&held, &ApprovalStep::of(event), core, stage).map_err(record_fault)?;
        core.output(Output::AskClosed(held.ask.id, event));
        let rule = held.ask.terms.rule();
        let of = (&*rule, &held.ask.terms);
        let (decision, outcome) = match event {
            "canceled" => (Decision::Abandoned, Outcome::Abandoned),
            _ => (Decision::Deny, Outcome::Denied),
        };
        let ruled = Ruled::held(held.seq, decision, of, Some(held.ask.id));
        self.deny(&held.wanted, ruled, Refusal { outcome, words }, stage)
    }
}

impl Open {
    fn claim(&self) -> Claim<'_> {
        Claim { user: &self.link.identity.user, target: &self.target_name, role: &self.link.role }
    }

    /// A window that is open for a request which rules hold.
    pub(super) fn window(
        &self,
        wanted: &Wanted,
        terms: &HoldTerms,
        stage: &Stage<'_>,
    ) -> Option<Grant> {
        let classes = wanted.action.classes.iter();
        stage.snapshot.window(self.claim(), classes, terms, stage.now)
    }

    /// The connection ends while requests wait.
    pub(super) fn abandon_holds(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        for held in std::mem::take(&mut self.holds) {
            let step = ApprovalStep::because("abandoned", "the session ended");
            record_step(&held, &step, core, stage)?;
            let words = "weir: the session ended while it waited for approval";
            let refusal = Refusal { outcome: Outcome::Abandoned, words };
            record_refusal(held.seq, refusal, core, stage)?;
            core.output(Output::AskClosed(held.ask.id, "abandoned"));
        }
        Ok(())
    }
}

/// A place among the commands that wait, or why there is none.
fn place(shown: &AskSummary, stage: &Stage<'_>) -> Result<approval::Place, &'static str> {
    if !shown.can_be_shown() {
        return Err("it is too long to be shown to an approver");
    }
    let per_identity = stage.snapshot.settings.approvals.per_identity;
    stage.room.asks.enter(shown, per_identity, stage.now).map_err(|crowded| crowded.words().0)
}

fn summary(held: &Held, open: &Open, core: &Office, stage: &Stage<'_>) -> AskSummary {
    let ask = &held.ask;
    let text = &held.wanted.text;
    let shown = match held.wanted.kind {
        "exec" | "sftp" => String::from_utf8_lossy(text).into_owned(),
        kind => format!("{kind} {}", String::from_utf8_lossy(text)).trim_end().to_owned(),
    };
    let action = &held.wanted.action;
    AskSummary {
        id: ask.id,
        session_id: core.accepted.session_id,
        command_seq: held.seq,
        user: open.link.identity.user.clone(),
        target: open.target_name.clone(),
        role: open.link.role.clone(),
        rule: ask.terms.rule().to_string(),
        text: shown,
        params: held.wanted.attrs.clone(),
        sameness: None,
        classes: action.classes.iter().map(ToString::to_string).collect(),
        objects: action.objects.iter().map(|object| files::quoted(object.marked())).collect(),
        approvers: ask.terms.approvers(),
        quorum: ask.terms.quorum(),
        parts: ask.parts(),
        repeatable: false,
        requested_at_us: stage.now.wall_us,
        expires_at_us: ask.expires_at_us,
    }
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
