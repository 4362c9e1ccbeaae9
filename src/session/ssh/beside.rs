//! Requests that are no commands, and the channels that follow from them: agents, displays, ports
//! that the target listens on.
//!
//! In: such a request that was allowed, the target's answer to it, channels that the target opens.
//! Out: rows of those answers and channels. Never: a channel of the target's without a row, which
//! names the request that lets it open.

use std::rc::Rc;

use crate::decide::ssh::{self, Class};
use crate::decide::{ClassSet, RuleName};
use crate::fault::Fault;
use crate::record::Entry;
use crate::record::entry::{Decision, Outcome, Response};
use crate::session::Stage;
use crate::wire::ssh::message::Message;
use crate::wire::ssh::slots::Note;

use super::admit::{Place, Ruled, Wanted, record_command};
use super::open::{Open, record_fault};
use super::{Machine, Phase, voice};

/// What lets the target open channels.
#[derive(Debug)]
pub(super) struct Leave {
    classes: ClassSet,
    seq: u64,
    rule: RuleName,
}

impl Open {
    /// A request was allowed: the target may open the channels that it is for.
    pub(super) fn lets(&mut self, wanted: &Wanted, ruled: &Ruled<'_>) {
        let back = &mut self.channels.opens_back;
        let classes = wanted.action.acts.first().map(|act| act.classes).unwrap_or_default();
        match wanted.kind {
            "agent" => back.agent = true,
            "x11" => back.x11 = true,
            "forward" if classes.has(Class::ForwardRemote) => back.forwards = true,
            _ => return,
        }
        self.lets_open.retain(|leave| leave.classes != classes);
        self.lets_open.push(Leave { classes, seq: ruled.seq, rule: Rc::from(ruled.rule) });
    }
}

impl Machine {
    /// The target opens a channel that the client was allowed to ask for.
    pub(super) fn opens_back(
        &mut self,
        message: Vec<u8>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Machine { core, phase: Phase::Open(open), .. } = self else { return Ok(()) };
        let Ok(Message::ChannelOpen(opens)) = Message::parse(&message) else { return Ok(()) };
        let action = ssh::open_back(&opens);
        let classes = action.acts.first().map(|act| act.classes).unwrap_or_default();
        let leave = open.lets_open.iter().find(|leave| leave.classes == classes);
        let (parent_seq, rule) = match leave {
            Some(leave) => (Some(leave.seq), Rc::clone(&leave.rule)),
            None => (None, Rc::from("")),
        };
        let text = action.operation.clone().into_bytes();
        let wanted = Wanted {
            message: message.clone(),
            place: Place::Open,
            action,
            kind: "open",
            text,
            attrs: String::new(),
            clear: true,
            parent_seq,
            wish: None,
        };
        let seq = core.take_seq();
        let ruled =
            Ruled { seq, decision: Decision::Allow, rule: &rule, matched: None, approval_id: None };
        match record_command(&wanted, &ruled, core, stage) {
            Ok(_) => {
                let key = open.channels.allow_open_back(&opens);
                open.tunnel(key, seq, stage.now.mono_us);
            }
            Err(refused) => {
                open.channels.refuse_open_back(&opens, &voice::unrecorded(refused));
            }
        }
        Ok(())
    }

    /// The target answered a request that is no command.
    pub(super) fn answered(
        &mut self,
        note: Note,
        success: bool,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let response = Response {
            command_seq: note.seq,
            outcome: if success { Outcome::Success } else { Outcome::Error },
            duration_us: stage.now.mono_us.saturating_sub(note.at_us),
            ..Response::default()
        };
        self.core.record(&Entry::Response(response), stage).map_err(record_fault).map(drop)
    }
}
