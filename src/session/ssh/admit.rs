//! From a request to its permit and its row, to its refusal, or to its wait for people.
//!
//! In: requests that need a verdict, votes, cancels, time. Out: rows; requests at the target;
//! refusals as each kind of request has them. Never: a request at the target whose row the journal
//! refused.

use crate::decide::approval::{self, AskSummary, Ballot, Claim, Grant, LATE, Window};
use crate::decide::{Action, Ask, HoldTerms, Object, Permit, Verdict, ssh};
use crate::fault::{Fault, Refused};
use crate::identify::ssh_ca::Grants;
use crate::limits::SSH_HOLDS_MAX;
use crate::metrics::{self, Presence};
use crate::record::entry::{Command, CommandExtra, Decision, Outcome, Response};
use crate::record::{Entry, Receipt, SessionId};
use crate::session::desk::{Pass, new_id};
use crate::session::{Output, Stage, Step, Vote, VoteReply};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::message::{ChannelAsk, Message};

use super::channels::ChannelKey;
use super::core::Core;
use super::files::Wish;
use super::leg::broken;
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

/// A request and what it is to the rules.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The message; of an operation on files, its packet.
    pub message: Vec<u8>,
    pub place: Place,
    pub action: Action,
    pub kind: &'static str,
    pub text: Vec<u8>,
    /// The command that it is part of.
    pub parent_seq: Option<u64>,
    /// An operation on files.
    pub wish: Option<Box<Wish>>,
}

/// What is refused or allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A command, shell or subsystem: the channel is for it.
    Command { channel: ChannelKey, want_reply: bool },
    /// A request beside it.
    Beside { channel: ChannelKey, want_reply: bool },
    /// A channel.
    Open,
    /// Something of the connection.
    Global { want_reply: bool },
    /// An operation on files, by its number.
    File { channel: ChannelKey, id: u32 },
}

impl Wanted {
    /// What a message asks for; the channel is known by `Open::channels`.
    fn of(message: Vec<u8>, open: &Open) -> Result<Wanted, Broken> {
        let (place, action, kind, text) = match Message::parse(&message)? {
            Message::ChannelRequest { recipient, name, want_reply, rest } => {
                let ask = ChannelAsk::parse(name, rest)?;
                let channel = open.channels.key_at_target(recipient).ok_or(Broken::Order)?;
                let action = ssh::request(name, &ask);
                let (kind, text) = match ask {
                    ChannelAsk::Exec(text) => ("exec", text),
                    ChannelAsk::Shell => ("shell", &b""[..]),
                    ChannelAsk::Subsystem(name) => ("subsystem", name),
                    ChannelAsk::Agent => ("agent", &b""[..]),
                    ChannelAsk::X11 => ("x11", &b""[..]),
                    _ => ("request", name),
                };
                let place = match ask {
                    ChannelAsk::Exec(_) | ChannelAsk::Shell | ChannelAsk::Subsystem(_) => {
                        Place::Command { channel, want_reply }
                    }
                    _ => Place::Beside { channel, want_reply },
                };
                (place, action, kind, text.to_vec())
            }
            Message::ChannelOpen(open) => {
                let action = ssh::open(&open);
                let text = action.operation.clone().into_bytes();
                (Place::Open, action, "open", text)
            }
            Message::GlobalRequest { name, want_reply, rest } => {
                let action = ssh::global(name);
                let text = ssh::global_text(name, rest).into_bytes();
                (Place::Global { want_reply }, action, "forward", text)
            }
            _ => return Err(Broken::Order),
        };
        Ok(Wanted { message, place, action, kind, text, parent_seq: None, wish: None })
    }

    /// Whether the client's certificate lets it ask for this at all.
    fn is_granted(&self, grants: &Grants) -> bool {
        match self.kind {
            "agent" => grants.agent,
            "x11" => grants.x11,
            "open" | "forward" => grants.forwards,
            _ => true,
        }
    }

    fn channel(&self) -> Option<ChannelKey> {
        match self.place {
            Place::Command { channel, .. } | Place::Beside { channel, .. } => Some(channel),
            Place::Open | Place::Global { .. } | Place::File { .. } => None,
        }
    }

    /// The channel of an operation on files: others go on while it waits.
    pub fn file_channel(&self) -> Option<ChannelKey> {
        match self.place {
            Place::File { channel, .. } => Some(channel),
            _ => None,
        }
    }

    /// Whether it is too small for a row of its own, as long as it is allowed.
    fn is_counted_only(&self) -> bool {
        self.wish.as_ref().is_some_and(|wish| !wish.row)
    }
}

/// How a command is written down.
struct Ruled<'r> {
    seq: u64,
    decision: Decision,
    rule: &'r str,
    approval_id: Option<SessionId>,
}

impl Machine {
    /// A request that needs a verdict.
    pub(super) fn asked_for(
        &mut self,
        message: Vec<u8>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let wanted = Wanted::of(message, open).map_err(client_broken)?;
        self.rule(wanted, stage)
    }

    /// Asks the rules.
    pub(super) fn rule(&mut self, wanted: Wanted, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        if !wanted.is_granted(&open.link.grants) {
            let seq = self.core.take_seq();
            self.core.count(metrics::Verdict::Deny);
            let words = "weir: denied: your certificate does not permit it";
            return self.deny(&wanted, (seq, "", None), words, stage);
        }
        let who = open.who(&self.core, stage);
        match open.scope.decide(&who, &wanted.action) {
            Verdict::Allow(permit, matched) => {
                self.core.count(metrics::Verdict::Allow);
                if wanted.is_counted_only() {
                    let receipt = self.core.covered(stage);
                    self.operate(&wanted, 0, (permit, receipt), stage);
                    return Ok(());
                }
                let seq = self.core.take_seq();
                let ruled = Ruled {
                    seq,
                    decision: Decision::Allow,
                    rule: &matched.rule(),
                    approval_id: None,
                };
                self.go(&wanted, permit, &ruled, stage)
            }
            Verdict::Deny(reason) => {
                self.core.count(metrics::Verdict::Deny);
                let seq = self.core.take_seq();
                self.deny(&wanted, (seq, &reason.rule, None), &voice::denied(&reason), stage)
            }
            Verdict::Hold(terms) => {
                if let Some(grant) = open.window(&wanted, &terms, stage) {
                    let (seq, rule) = (self.core.take_seq(), terms.rule());
                    let used = Step::of("used");
                    let entry = Entry::Approval(used.entry_of(&grant, seq));
                    self.core.record(&entry, stage).map_err(record_fault)?;
                    self.core.count(metrics::Verdict::Allow);
                    let approval_id = Some(grant.id);
                    let ruled = Ruled { seq, decision: Decision::Allow, rule: &rule, approval_id };
                    return self.go(&wanted, grant.permit(), &ruled, stage);
                }
                self.core.count(metrics::Verdict::Hold);
                self.hold(wanted, terms, stage)
            }
        }
    }

    /// Writes the row and forwards the request.
    fn go(
        &mut self,
        wanted: &Wanted,
        permit: Permit,
        ruled: &Ruled<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Some(words) = self.outdated(wanted) {
            return self.deny(wanted, (ruled.seq, ruled.rule, ruled.approval_id), words, stage);
        }
        let command = command(wanted, ruled);
        let pass = match self.core.admit((permit, ruled.seq), command, stage) {
            Ok(pass) => pass,
            Err(refused) => return self.refuse(wanted, &voice::unrecorded(refused)),
        };
        if wanted.wish.is_some() {
            self.operate(wanted, pass.seq, (pass.permit, pass.receipt), stage);
            return Ok(());
        }
        let Machine { core, target: Some(target), phase: Phase::Open(open), .. } = self else {
            return Ok(());
        };
        let allowed = match wanted.place {
            Place::File { .. } => return Ok(()),
            Place::Command { channel, want_reply } => {
                let allowed = open.channels.allow(channel, want_reply);
                let files = wanted.kind == "subsystem" && wanted.text == b"sftp";
                open.started((channel, files), ruled.seq, stage.now.mono_us);
                open.masks_begin(channel, wanted);
                allowed
            }
            Place::Beside { channel, want_reply } => {
                match wanted.kind {
                    "agent" => open.channels.opens_back.agent = true,
                    "x11" => open.channels.opens_back.x11 = true,
                    _ => {}
                }
                open.channels.allow(channel, want_reply)
            }
            Place::Open => {
                let Ok(Message::ChannelOpen(message)) = Message::parse(&wanted.message) else {
                    return Err(client_broken(Broken::Fields));
                };
                // The window is another one: the open itself is among the posts.
                open.channels.allow_open(&message).map_err(client_broken)?;
                self.posts(stage);
                return Ok(());
            }
            Place::Global { want_reply } => {
                open.channels.opens_back.forwards = true;
                open.channels.allow_global(want_reply)
            }
        };
        allowed.map_err(client_broken)?;
        let Pass { permit, receipt, .. } = pass;
        target.send(permit, receipt, &wanted.message, core);
        Ok(())
    }

    /// What a request named is something else by now: what was decided is not what would run.
    fn outdated(&mut self, wanted: &Wanted) -> Option<&'static str> {
        let (Some(wish), Some(key)) = (&wanted.wish, wanted.file_channel()) else { return None };
        let Phase::Open(open) = &mut self.phase else { return None };
        let same = open.files(key).is_some_and(|files| files.is_as_asked(wish));
        (!same).then_some("weir: denied: the file was closed meanwhile")
    }

    /// Writes down that the request is denied, and refuses it.
    fn deny(
        &mut self,
        wanted: &Wanted,
        (seq, rule, approval_id): (u64, &str, Option<SessionId>),
        words: &str,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.core.totals.denied += 1;
        let ruled = Ruled { seq, decision: Decision::Deny, rule, approval_id };
        let core = &mut self.core;
        let recorded = record_command(wanted, &ruled, core, stage)
            .and_then(|_| record_denial(seq, words, core, stage));
        match recorded {
            Ok(_) => self.refuse(wanted, words),
            Err(refused) => self.refuse(wanted, &voice::unrecorded(refused)),
        }
    }

    /// Refuses a request as its kind is refused.
    fn refuse(&mut self, wanted: &Wanted, words: &str) -> Result<(), Fault> {
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let channels = &mut open.channels;
        match wanted.place {
            Place::Command { channel, want_reply } if wanted.kind == "subsystem" => {
                channels.refuse_subsystem(channel, want_reply, words)
            }
            Place::Command { channel, want_reply } => channels.refuse(channel, want_reply, words),
            Place::Beside { channel, want_reply } => channels.refuse_request(channel, want_reply),
            Place::Open => {
                if let Ok(Message::ChannelOpen(message)) = Message::parse(&wanted.message) {
                    channels.refuse_open_of_client(&message, words);
                }
                Ok(())
            }
            Place::Global { want_reply } => channels.refuse_global(want_reply),
            Place::File { .. } => return self.refuse_operation(wanted, words),
        }
        .map_err(client_broken)
    }
}

/// Holds.
impl Machine {
    fn hold(
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
        } else if waiting >= SSH_HOLDS_MAX {
            Some("weir: denied: too many requests of this connection wait for approval")
        } else {
            None
        };
        if let Some(words) = words {
            return self.deny(&wanted, (seq, &terms.rule(), None), words, stage);
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
                return self.deny(&held.wanted, (seq, &rule, None), &words, stage);
            }
        }
        held.shown = summary.digest();
        let rule = held.ask.terms.rule();
        let ruled = Ruled { seq, decision: Decision::Hold, rule: &rule, approval_id: Some(id) };
        let recorded = record_command(&held.wanted, &ruled, core, stage)
            .and_then(|_| record_step(&held, &Step::of("requested"), core, stage));
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
            record_step(held, &Step::vote(event, vote), core, stage).map_err(record_fault)?;
        }
        let reply = match ballot {
            Ballot::Refused(why) => VoteReply::Refused(why.to_owned()),
            Ballot::Counted { missing } | Ballot::Again { missing } => {
                VoteReply::Counted { missing }
            }
            Ballot::Late => {
                self.expire_holds(stage)?;
                VoteReply::Refused(LATE.to_owned())
            }
            Ballot::Granted(grant) => {
                let approved = Step { scope: grant.scope.words(), ..Step::of("approved") };
                record_step(held, &approved, core, stage).map_err(record_fault)?;
                self.release(index, &grant, stage)?;
                VoteReply::Counted { missing: 0 }
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
    fn release(&mut self, index: usize, grant: &Grant, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let Some(held) = open.holds.get(index) else { return Ok(()) };
        let verdict = open.scope.decide(&open.who(core, stage), &held.wanted.action);
        let permit = match verdict {
            Verdict::Allow(permit, _) => {
                let step = Step::because("released", "no rule holds it any more");
                record_step(held, &step, core, stage).map_err(record_fault)?;
                permit
            }
            Verdict::Hold(terms) if grant.satisfies(&terms) => grant.permit(),
            Verdict::Hold(_) => {
                let words = "weir: denied: the rules changed while it waited; ask again";
                return self.end_hold(index, "superseded", words, stage);
            }
            Verdict::Deny(reason) => {
                let words = voice::denied(&reason);
                return self.end_hold(index, "refused", &words, stage);
            }
        };
        let held = open.holds.swap_remove(index);
        let classes = held.wanted.action.classes.iter().map(ToString::to_string).collect();
        if let Some(window) = Window::of(grant, open.claim(), classes, stage.now) {
            core.output(Output::Window(Box::new(window)));
        }
        self.granted(held, permit, stage)
    }

    fn granted(&mut self, held: Held, permit: Permit, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.core.output(Output::AskClosed(held.ask.id, "approved"));
        let channel = held.wanted.channel();
        let messages = match (&mut self.phase, channel) {
            (Phase::Open(open), Some(channel)) => open.channels.release(channel),
            _ => Vec::new(),
        };
        let rule = held.ask.terms.rule();
        let ruled = Ruled {
            seq: held.seq,
            decision: Decision::Allow,
            rule: &rule,
            approval_id: Some(held.ask.id),
        };
        self.go(&held.wanted, permit, &ruled, stage)?;
        self.posts(stage);
        for message in messages {
            self.again(&message, stage)?;
        }
        self.settle(stage)
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
        record_step(&held, &Step::of(event), core, stage).map_err(record_fault)?;
        core.output(Output::AskClosed(held.ask.id, event));
        let rule = held.ask.terms.rule();
        self.deny(&held.wanted, (held.seq, &rule, Some(held.ask.id)), words, stage)
    }
}

impl Open {
    fn claim(&self) -> Claim<'_> {
        Claim { user: &self.link.identity.user, target: &self.target_name, role: &self.link.role }
    }

    /// A window that is open for a request which rules hold.
    fn window(&self, wanted: &Wanted, terms: &HoldTerms, stage: &Stage<'_>) -> Option<Grant> {
        let classes = wanted.action.classes.iter();
        stage.snapshot.window(self.claim(), classes, terms, stage.now)
    }

    /// The connection ends while requests wait.
    pub(super) fn abandon_holds(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        for held in std::mem::take(&mut self.holds) {
            let step = Step::because("abandoned", "the session ended");
            record_step(&held, &step, core, stage)?;
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

fn summary(held: &Held, open: &Open, core: &Core, stage: &Stage<'_>) -> AskSummary {
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
        params: String::new(),
        classes: action.classes.iter().map(ToString::to_string).collect(),
        objects: action.objects.iter().map(Object::marked).collect(),
        approvers: ask.terms.approvers(),
        quorum: ask.terms.quorum(),
        parts: ask.parts(),
        repeatable: false,
        requested_at_us: stage.now.wall_us,
        expires_at_us: ask.expires_at_us,
    }
}

fn client_broken(why: Broken) -> Fault {
    broken(Side::Client, why)
}

fn command<'c>(wanted: &'c Wanted, ruled: &Ruled<'c>) -> Command<'c> {
    Command {
        kind: wanted.kind,
        text: &wanted.text,
        operation: &wanted.action.operation,
        classes: &wanted.action.classes,
        objects: &wanted.action.objects,
        params: None,
        statement: "",
        decision: ruled.decision,
        rule: ruled.rule,
        approval_id: ruled.approval_id,
        extra: CommandExtra { parent_seq: wanted.parent_seq, ..CommandExtra::default() },
    }
}

/// Writes the row of a command that is not forwarded, or not yet.
fn record_command(
    wanted: &Wanted,
    ruled: &Ruled<'_>,
    core: &mut Core,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    let command = command(wanted, ruled);
    let receipt = core.record_at(ruled.seq, &Entry::Command(command), stage)?;
    if ruled.decision != Decision::Hold {
        core.totals.commands += 1;
    }
    Ok(receipt)
}

fn record_denial(
    seq: u64,
    words: &str,
    core: &mut Core,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    let response = Response {
        command_seq: seq,
        outcome: Outcome::Denied,
        error_text: words,
        ..Response::default()
    };
    core.record(&Entry::Response(response), stage)
}

fn record_step(
    held: &Held,
    step: &Step<'_>,
    core: &mut Core,
    stage: &mut Stage<'_>,
) -> Result<(), Refused> {
    let entry = step.entry(&held.ask, held.seq, Some(&held.shown));
    core.record(&Entry::Approval(entry), stage).map(drop)
}
