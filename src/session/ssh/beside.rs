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
use crate::limits::SSH_LEAVES_MAX;
use crate::record::Entry;
use crate::record::entry::{Decision, Outcome, Response};
use crate::session::Stage;
use crate::wire::ssh::fields::Fields;
use crate::wire::ssh::message::{self, Message};
use crate::wire::ssh::slots::Note;

use super::admit::{self, Ruled, Wanted, record_command};
use super::open::{Open, record_fault};
use super::{Machine, Phase, voice};

/// What lets the target open channels.
#[derive(Debug)]
pub(super) struct Leave {
    classes: ClassSet,
    seq: u64,
    rule: RuleName,
    /// What the target listens on, if it is for that.
    listens: Option<Place>,
}

/// What the target listens on: a name and a port, which is 0 until the target has said which one it
/// took; or the path of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: Vec<u8>,
    port: u32,
}

impl Place {
    /// Of a request of the connection; `None` for one that only ends another, and of others.
    fn asked(message: &[u8]) -> Option<Place> {
        match Message::parse(message) {
            Ok(Message::GlobalRequest { name: b"tcpip-forward", rest, .. }) => Place::tcp(rest),
            Ok(Message::GlobalRequest {
                name: b"streamlocal-forward@openssh.com", rest, ..
            }) => Place::unix(rest),
            _ => None,
        }
    }

    /// Of a channel that the target opens (RFC 4254 section 7.2, OpenSSH's PROTOCOL section 2.4).
    fn opened(opens: &message::Open<'_>) -> Option<Place> {
        match opens.kind {
            b"forwarded-tcpip" => Place::tcp(opens.rest),
            b"forwarded-streamlocal@openssh.com" => Place::unix(opens.rest),
            _ => None,
        }
    }

    fn tcp(rest: &[u8]) -> Option<Place> {
        let mut fields = Fields::new(rest);
        let (name, port) = (fields.string().ok()?.to_vec(), fields.u32().ok()?);
        Some(Place { name, port })
    }

    fn unix(rest: &[u8]) -> Option<Place> {
        let name = Fields::new(rest).string().ok()?.to_vec();
        Some(Place { name, port: 0 })
    }
}

/// The target's answer to a request that is no command.
#[derive(Debug)]
pub(super) struct Answered {
    pub note: Note,
    pub success: bool,
    /// The port that it took.
    pub port: Option<u32>,
}

impl Open {
    /// A request was allowed: the target may open the channels that it is for.
    pub(super) fn lets(&mut self, wanted: &Wanted, ruled: &Ruled<'_>) {
        let back = &mut self.channels.opens_back;
        let classes = wanted.action.acts.first().map(|act| act.classes).unwrap_or_default();
        let listens = Place::asked(&wanted.message);
        match wanted.kind {
            "agent" => back.agent = true,
            "x11" => back.x11 = true,
            // Others end one.
            "forward" if classes.has(Class::ForwardRemote) && listens.is_some() => {
                back.forwards = true;
            }
            _ => return,
        }
        if listens.is_none() {
            self.lets_open.retain(|leave| leave.classes != classes);
        }
        if self.lets_open.len() >= SSH_LEAVES_MAX {
            self.lets_open.remove(0);
        }
        let rule = Rc::from(ruled.rule);
        self.lets_open.push(Leave { classes, seq: ruled.seq, rule, listens });
    }

    /// The request that a channel of the target's belongs to: the newest one for the same place,
    /// or for the same port, if the target calls the place by another name.
    fn leave(&self, opens: &message::Open<'_>, classes: ClassSet) -> Option<&Leave> {
        let of_class = || self.lets_open.iter().rev().filter(|leave| leave.classes == classes);
        let place = Place::opened(opens);
        let listens = |leave: &&Leave| leave.listens == place;
        let port = |leave: &&Leave| {
            leave.listens.as_ref().map(|it| it.port) == place.as_ref().map(|it| it.port)
        };
        of_class().find(listens).or_else(|| of_class().find(port)).or_else(|| of_class().next())
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
        let leave = open.leave(&opens, classes);
        let (parent_seq, rule) = match leave {
            Some(leave) => (Some(leave.seq), Rc::clone(&leave.rule)),
            None => (None, Rc::from("")),
        };
        let text = action.operation.clone().into_bytes();
        let wanted = Wanted {
            message: message.clone(),
            place: admit::Place::Open,
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

    /// The target answered a request: that is the end of one that is no command, and of a command
    /// that it refuses.
    pub(super) fn answered(
        &mut self,
        answered: &Answered,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Answered { note, success, port } = *answered;
        if let Phase::Open(open) = &mut self.phase {
            if let Some(run) = open.run_of(note.seq) {
                if !success {
                    run.refused(stage.now.mono_us);
                }
                return Ok(());
            }
            let listening = |leave: &Leave| leave.seq == note.seq && leave.listens.is_some();
            if !success {
                open.lets_open.retain(|leave| !listening(leave));
            }
            let leave = open.lets_open.iter_mut().find(|leave| listening(leave));
            if let (Some(leave), Some(port)) = (leave, port)
                && let Some(place) = &mut leave.listens
            {
                place.port = port;
            }
        }
        let tag = port.map(|port| format!("port {port}")).unwrap_or_default();
        let response = Response {
            command_seq: note.seq,
            outcome: if success { Outcome::Success } else { Outcome::Error },
            tag: &tag,
            duration_us: stage.now.mono_us.saturating_sub(note.at_us),
            ..Response::default()
        };
        self.core.record(&Entry::Response(response), stage).map_err(record_fault).map(drop)
    }
}
