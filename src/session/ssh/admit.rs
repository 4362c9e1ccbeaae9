//! From a request to its permit and its row, to its refusal, or to its wait for people (`hold`).
//!
//! In: requests that need a verdict. Out: rows; requests at the target;
//! refusals as each kind of request has them. Never: a request at the target whose row the journal
//! refused.

use std::rc::Rc;

use crate::decide::{Action, HoldTerms, Matched, Permit, RuleName, Verdict, ssh};
use crate::fault::{Fault, Refused};
use crate::identify::ssh_ca::Grants;
use crate::metrics;
use crate::record::entry::{Command, CommandExtra, Decision, Outcome, Response};
use crate::record::{Entry, Receipt, SessionId};
use crate::session::desk::Pass;
use crate::session::{ApprovalStep, Stage};
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::message::{ChannelAsk, Message};
use crate::wire::ssh::slots::Note;

use super::channels::{ChannelKey, Facts};
use super::core::Office;
use super::files::Wish;
use super::leg::broken;
use super::open::{Open, record_fault};
use super::{Machine, Phase, voice};

/// A request and what it is to the rules.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The message; of an operation on files, its packet.
    pub message: Vec<u8>,
    pub place: Place,
    pub action: Action,
    pub kind: &'static str,
    pub text: Vec<u8>,
    /// What it runs with: its terminal and environment, JSON.
    pub attrs: String,
    /// People can be shown text and attributes as they are.
    pub clear: bool,
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
                let action = ssh::global(name, rest);
                let text = ssh::global_text(name, rest).into_bytes();
                (Place::Global { want_reply }, action, "forward", text)
            }
            _ => return Err(Broken::Order),
        };
        let (parent_seq, wish) = (None, None);
        let facts = match place {
            Place::Command { channel, .. } => open.channels.facts(channel),
            _ => None,
        };
        let attrs = facts.map(Facts::attrs).unwrap_or_default();
        let clear = std::str::from_utf8(&text).is_ok() && facts.is_none_or(Facts::is_clear);
        Ok(Wanted { message, place, action, kind, text, attrs, clear, parent_seq, wish })
    }

    /// Whether it is a program whose output people read: a shell, a command.
    pub fn is_program(&self) -> bool {
        let class = |class| self.action.acts.iter().all(|act| act.classes.has(class));
        self.kind == "shell" || (self.kind == "exec" && class(ssh::Class::Exec))
    }

    /// Whether it is one whose output people or programs read as text: a subsystem may be any
    /// command that the target has a name for.
    pub fn may_be_text(&self) -> bool {
        self.is_program() || (self.kind == "subsystem" && !self.is_sftp())
    }

    /// Whether operations on files will follow.
    fn is_sftp(&self) -> bool {
        self.kind == "subsystem" && self.text == ssh::SFTP
    }

    /// Why it is refused before any rule is asked.
    fn misfit(&self, open: &Open) -> Option<&'static str> {
        // sshd cuts a text at a NUL that ends it (`sshbuf_get_cstring`): not what rules would see.
        if Message::parse(&self.message).is_ok_and(|message| message.has_nul()) {
            return Some("weir: denied: a NUL in it, which another server reads in another way");
        }
        if !self.is_granted(&open.link.grants) {
            return Some("weir: denied: your certificate does not permit it");
        }
        let channel = self.channel()?;
        if open.channels.is_closing(channel) {
            return Some("weir: denied: the channel is closed");
        }
        if matches!(self.place, Place::Beside { .. }) {
            return None;
        }
        let terminal = open.channels.facts(channel).is_some_and(|facts| facts.terminal.is_some());
        // The target's terminal rewrites what passes: another path than the one decided.
        let words =
            "weir: denied: a terminal changes what is transferred; ask without one (ssh -T)";
        (terminal && !self.is_program()).then_some(words)
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

    pub fn channel(&self) -> Option<ChannelKey> {
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
}

/// How a command is written down.
#[derive(Clone, Copy)]
pub(super) struct Ruled<'r> {
    pub seq: u64,
    pub decision: Decision,
    pub rule: &'r str,
    /// All rules that matched; `None` where none was asked.
    pub matched: Option<&'r Matched>,
    pub approval_id: Option<SessionId>,
}

impl<'r> Ruled<'r> {
    /// What these terms lead to.
    pub fn held(
        seq: u64,
        decision: Decision,
        (rule, terms): (&'r str, &'r HoldTerms),
        approval_id: Option<SessionId>,
    ) -> Ruled<'r> {
        Ruled { seq, decision, rule, matched: Some(&terms.matched), approval_id }
    }

    fn refused(self) -> Ruled<'r> {
        Ruled { decision: Decision::Deny, ..self }
    }
}

/// How a request ends that does not reach the target.
#[derive(Clone, Copy)]
pub(super) struct Refusal<'w> {
    pub outcome: Outcome,
    pub words: &'w str,
}

impl<'w> Refusal<'w> {
    pub const fn denied(words: &'w str) -> Refusal<'w> {
        Refusal { outcome: Outcome::Denied, words }
    }
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
        if let Some(words) = wanted.misfit(open) {
            let ruled = Ruled {
                seq: self.core.take_seq(),
                decision: Decision::Deny,
                rule: "",
                matched: None,
                approval_id: None,
            };
            self.core.count(metrics::Counted::Deny);
            return self.deny(&wanted, ruled, Refusal::denied(words), stage);
        }
        let who = open.who(&self.core, stage);
        match open.scope.decide(&who, &wanted.action) {
            Verdict::Allow(permit, matched) => {
                self.core.count(metrics::Counted::Allow);
                let ruled = Ruled {
                    seq: self.core.take_seq(),
                    decision: Decision::Allow,
                    rule: &matched.rule(),
                    matched: Some(&matched),
                    approval_id: None,
                };
                self.go(&wanted, permit, ruled, stage)
            }
            Verdict::Deny(reason) => {
                self.core.count(metrics::Counted::Deny);
                let ruled = Ruled {
                    seq: self.core.take_seq(),
                    decision: Decision::Deny,
                    rule: &reason.rule,
                    matched: Some(&reason.matched),
                    approval_id: None,
                };
                let is_sftp = wanted.is_sftp();
                let words = voice::denied_start(&reason, is_sftp);
                self.deny(&wanted, ruled, Refusal::denied(&words), stage)
            }
            Verdict::Hold(terms) => {
                if let Some(grant) = open.window(&wanted, &terms, stage) {
                    let (seq, rule) = (self.core.take_seq(), terms.rule());
                    let words = grant.words();
                    let used = ApprovalStep::because("used", &words);
                    let entry = Entry::Approval(used.entry_of(&grant, seq));
                    self.core.record(&entry, stage).map_err(record_fault)?;
                    self.core.count(metrics::Counted::Allow);
                    let of = (&*rule, &terms);
                    let ruled = Ruled::held(seq, Decision::Allow, of, Some(grant.id));
                    return self.go(&wanted, grant.permit(), ruled, stage);
                }
                self.core.count(metrics::Counted::Hold);
                self.hold(wanted, terms, stage)
            }
        }
    }

    /// Writes the row and forwards the request.
    pub(super) fn go(
        &mut self,
        wanted: &Wanted,
        permit: Permit,
        ruled: Ruled<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Some(words) = self.outdated(wanted) {
            return self.deny(wanted, ruled.refused(), Refusal::denied(words), stage);
        }
        let rules = several(&ruled);
        let policy = Rc::clone(&stage.snapshot.policy_version);
        let command = command(wanted, &ruled, (&rules, &policy));
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
                let files = wanted.is_sftp();
                open.started((channel, files), ruled.seq, stage.now.mono_us);
                open.filters_begin(channel, wanted);
                let note = Note { seq: ruled.seq, at_us: stage.now.mono_us };
                let allowed = open.channels.allow(channel, want_reply, Some(note));
                open.masks_begin(channel, wanted);
                allowed
            }
            Place::Beside { channel, want_reply } => {
                open.lets(wanted, &ruled);
                let note = Note { seq: ruled.seq, at_us: stage.now.mono_us };
                open.channels.allow(channel, want_reply, Some(note))
            }
            Place::Open => {
                let Ok(Message::ChannelOpen(message)) = Message::parse(&wanted.message) else {
                    return Err(client_broken(Broken::Fields));
                };
                // The window is another one: the open itself is among the posts.
                let key = open.channels.allow_open(&message).map_err(client_broken)?;
                open.tunnel(key, ruled.seq, stage.now.mono_us);
                self.posts(stage);
                return Ok(());
            }
            Place::Global { want_reply } => {
                open.lets(wanted, &ruled);
                let note = Note { seq: ruled.seq, at_us: stage.now.mono_us };
                open.channels.allow_global(want_reply, note)
            }
        };
        allowed.map_err(client_broken)?;
        let Pass { permit, receipt, .. } = pass;
        target.send(permit, receipt, &wanted.message, core);
        Ok(())
    }

    /// What a request named is something else by now, or nothing: what was decided is not what
    /// would run.
    fn outdated(&mut self, wanted: &Wanted) -> Option<&'static str> {
        if let (Phase::Open(open), Some(channel)) = (&self.phase, wanted.channel())
            && open.channels.is_closing(channel)
        {
            return Some("weir: denied: the channel was closed meanwhile");
        }
        let (Some(wish), Some(key)) = (&wanted.wish, wanted.file_channel()) else { return None };
        let Phase::Open(open) = &mut self.phase else { return None };
        let same = open.files(key).is_some_and(|files| files.is_as_asked(wish));
        (!same).then_some("weir: denied: the file was closed meanwhile")
    }

    /// Writes down that the request is denied, and refuses it.
    pub(super) fn deny(
        &mut self,
        wanted: &Wanted,
        ruled: Ruled<'_>,
        refusal: Refusal<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.core.totals.denied += u64::from(refusal.outcome == Outcome::Denied);
        let core = &mut self.core;
        let recorded = record_command(wanted, &ruled, core, stage)
            .and_then(|_| record_refusal(ruled.seq, refusal, core, stage));
        match recorded {
            Ok(_) => self.refuse(wanted, refusal.words),
            Err(refused) => self.refuse(wanted, &voice::unrecorded(refused)),
        }
    }

    /// Refuses a request as its kind is refused.
    pub(super) fn refuse(&mut self, wanted: &Wanted, words: &str) -> Result<(), Fault> {
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

pub(super) fn client_broken(why: Broken) -> Fault {
    broken(Side::Client, why)
}

/// Every rule that matched, unless it is one alone.
fn several(ruled: &Ruled<'_>) -> Vec<RuleName> {
    let several = ruled.matched.filter(|matched| !matched.is_alone());
    several.map(Matched::rule_names).unwrap_or_default()
}

fn command<'c>(
    wanted: &'c Wanted,
    ruled: &Ruled<'c>,
    (rules, policy): (&'c [RuleName], &'c str),
) -> Command<'c> {
    let channel = wanted.channel().or(wanted.file_channel());
    let extra = CommandExtra {
        parent_seq: wanted.parent_seq,
        stream_id: channel.map(|ChannelKey(number)| number.into()),
        attrs: &wanted.attrs,
        rules,
        alone: ruled.matched.is_some_and(Matched::is_alone),
        policy_version: ruled.matched.map_or(policy, Matched::policy_version),
        ..CommandExtra::default()
    };
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
        extra,
    }
}

/// Writes the row of a command that is not forwarded, or not yet.
pub(super) fn record_command(
    wanted: &Wanted,
    ruled: &Ruled<'_>,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    let rules = several(ruled);
    let policy = Rc::clone(&stage.snapshot.policy_version);
    let command = command(wanted, ruled, (&rules, &policy));
    let receipt = core.record_at(ruled.seq, &Entry::Command(command), stage)?;
    if ruled.decision != Decision::Hold {
        core.totals.commands += 1;
    }
    Ok(receipt)
}

pub(super) fn record_refusal(
    seq: u64,
    refusal: Refusal<'_>,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<Receipt, Refused> {
    let response = Response {
        command_seq: seq,
        outcome: refusal.outcome,
        error_text: refusal.words,
        ..Response::default()
    };
    core.record(&Entry::Response(response), stage)
}
