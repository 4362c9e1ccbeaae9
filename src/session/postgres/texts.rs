//! What a command's text is, and what the names in messages stand for.
//!
//! In: texts and names of the client, what is believed of the target. Out: classified texts,
//! statements, portals. Never: a text taken for read that the target may read otherwise; a name for
//! what it may not mean.

use std::borrow::Cow;
use std::rc::Rc;

use crate::decide::sql::classify::replication;
use crate::decide::sql::own::judged;
use crate::decide::{Classified, Consequence, Statement};
use crate::fault::Fault;
use crate::mask::sql::redact;
use crate::record::entry::Event;
use crate::session::Stage;
use crate::session::postgres::core::Office;
use crate::session::postgres::state::{Portal, Prepared};
use crate::wire::postgres::message::{ClientMessage, Named};

use super::admit::{Refusal, Ruling};
use super::beliefs::names::Lookup;
use super::beliefs::reading::Reads;
use super::beliefs::{PortalRef, Resolved, StatementRef, doubt, is_kept_whole};
use super::ready::Ready;

/// A zero byte cannot stand in a statement's text, so this is of class unknown, and is taken to
/// hold a secret.
const UNREADABLE: &[u8] = b"\0";

impl Ready {
    /// What a text is; `None` while it is in doubt how the target reads it.
    pub(super) fn classify(
        &mut self,
        text: &[u8],
        stage: &mut Stage<'_>,
    ) -> Option<Rc<Classified>> {
        if self.replication.is_some()
            && let Some(command) = replication(text)
        {
            return Some(Rc::new(command));
        }
        match self.beliefs.reads(text) {
            Reads::Same => {
                let known = match self.beliefs.in_utf8(text) {
                    Some(text) => {
                        stage.classifier.classify_confirmed(&text, self.beliefs.grammar())
                    }
                    None => stage.classifier.classify(UNREADABLE),
                };
                let catalog = stage.snapshot.catalogs.get(self.link.target);
                let own = catalog.and_then(Option::as_deref).map(|catalog| &catalog.own);
                Some(judged(known, own))
            }
            Reads::Otherwise => Some(stage.classifier.classify(UNREADABLE)),
            Reads::Unsettled => None,
        }
    }

    /// What a Bind of this statement runs, and what its text says where that stands for something
    /// else. `None` while a name is in doubt. One that is not known is of class unknown.
    pub(super) fn bound(
        &self,
        name: &[u8],
        stage: &mut Stage<'_>,
    ) -> Option<(StatementRef, Option<Rc<Classified>>)> {
        let statement = match self.beliefs.statement(name) {
            Lookup::Known(statement) => statement,
            Lookup::Suspect(statement) => return Some((doubt(statement), None)),
            Lookup::Absent => return Some((unknown_statement(name, stage), None)),
            Lookup::Unsettled => return None,
        };
        let says = &statement.classified;
        match self.beliefs.resolve(says) {
            Resolved::Is(runs) if Rc::ptr_eq(&runs, says) => Some((Rc::clone(statement), None)),
            Resolved::Is(runs) => {
                let bound = Prepared { classified: runs, ..statement.copy() };
                Some((Rc::new(bound), Some(Rc::clone(says))))
            }
            Resolved::Unclear => Some((unknown_statement(name, stage), None)),
            Resolved::Unsettled => None,
        }
    }

    /// The portal of this name, as it may be described or executed now; `None` while a name is in
    /// doubt. One that is not known is of class unknown, and so is one that stands for something
    /// else than at its Bind, or for itself (FETCH of a cursor of the portal's own name); its text
    /// and values are those of its Bind all the same.
    pub(super) fn opened(&self, name: &[u8], stage: &mut Stage<'_>) -> Option<PortalRef> {
        let portal = match self.beliefs.portal(name) {
            Lookup::Known(portal) => portal,
            Lookup::Suspect(portal) => {
                let statement = portal.statement.as_ref().map(doubt);
                let statement = statement.unwrap_or_else(|| unknown_statement(name, stage));
                return Some(Rc::new(Portal::of(statement)));
            }
            Lookup::Absent => return Some(Rc::new(unknown_portal(name, stage))),
            Lookup::Unsettled => return None,
        };
        let Some(says) = &portal.says else { return Some(Rc::clone(portal)) };
        let bound = portal.statement.as_ref().map(|it| &it.classified.statements);
        match self.beliefs.resolve(says) {
            Resolved::Is(runs) if Some(&runs.statements) == bound => Some(Rc::clone(portal)),
            Resolved::Unsettled => None,
            Resolved::Is(_) | Resolved::Unclear => Some(Rc::new(match &portal.statement {
                Some(statement) => uncertain_portal(portal, statement, stage),
                None => unknown_portal(name, stage),
            })),
        }
    }

    /// A name of a statement that weir has not seen prepared.
    pub(super) fn unseen_statement(&self, name: &[u8]) -> Option<Unseen> {
        let absent = matches!(self.beliefs.statement(name), Lookup::Absent);
        absent.then(|| Unseen { sqlstate: "26000", kind: "prepared statement", name: name.into() })
    }

    /// A name of a portal that weir has not seen opened.
    pub(super) fn unseen_portal(&self, name: &[u8]) -> Option<Unseen> {
        let absent = matches!(self.beliefs.portal(name), Lookup::Absent);
        absent.then(|| Unseen { sqlstate: "34000", kind: "portal", name: name.into() })
    }

    /// The first of these in a text: EXECUTE, FETCH.
    pub(super) fn unseen_in(&self, classified: &Classified) -> Option<Unseen> {
        classified.statements.iter().find_map(|statement| match &statement.effect {
            Consequence::Execute(name) => self.unseen_statement(name.as_bytes()),
            Consequence::Fetch(name) => self.unseen_portal(name.as_bytes()),
            _ => None,
        })
    }

    /// The text as it goes into the record, and the numbers of the parameters that are credentials.
    pub(super) fn recorded_text<'t>(
        &self,
        text: &'t [u8],
        said: &Classified,
    ) -> (Cow<'t, [u8]>, Vec<u16>) {
        let takes = |it: &StatementRef| {
            !it.secrets.is_empty() || !redact::command(&it.text).parameters.is_empty()
        };
        let executes = said.statements.iter().any(|statement| match &statement.effect {
            Consequence::Execute(name) => self.prepared(name).is_some_and(takes),
            _ => false,
        });
        let redacted = match (executes, said.secrets) {
            (true, _) => redact::execution(text),
            (false, true) => redact::command(text),
            (false, false) => return (text.into(), Vec::new()),
        };
        (redacted.text, redacted.parameters)
    }

    /// The texts that names in a text stand for, for the people who are asked about it.
    pub(super) fn meaning_of(&self, said: &Classified) -> Option<String> {
        let mut lines = String::new();
        for statement in &said.statements {
            let (name, made) = match &statement.effect {
                Consequence::Execute(name) => (name, self.prepared(name)),
                Consequence::Fetch(name) => (name, self.declared(name)),
                _ => {
                    self.cursors_of(statement, said, &mut lines);
                    continue;
                }
            };
            let Some(made) = made else { continue };
            lines.push_str(&format!("\n\nwhere \"{name}\" was made by:\n{}", made.shown_text()));
            let statements = made.classified.statements.iter();
            statements.for_each(|it| self.cursors_of(it, said, &mut lines));
        }
        (!lines.is_empty()).then_some(lines)
    }

    /// Of WHERE CURRENT OF: the rows depend on the cursor, and on where it stands.
    fn cursors_of(&self, statement: &Statement, said: &Classified, lines: &mut String) {
        for name in statement.cursors.iter() {
            lines.push_str(&format!("\n\nwhere \"{name}\" is at the row that was fetched last, "));
            match self.declared(name) {
                Some(made) => {
                    lines.push_str(&format!("and was made by:\n{}", made.shown_text()));
                }
                None if declares(said, name) => lines.push_str("and is made here"),
                None => lines.push_str("and weir has not seen it made"),
            }
        }
    }

    fn prepared(&self, name: &str) -> Option<&StatementRef> {
        match self.beliefs.statement(name.as_bytes()) {
            Lookup::Known(it) | Lookup::Suspect(it) => Some(it),
            Lookup::Absent | Lookup::Unsettled => None,
        }
    }

    fn declared(&self, name: &str) -> Option<&StatementRef> {
        match self.beliefs.portal(name.as_bytes()) {
            Lookup::Known(it) | Lookup::Suspect(it) => it.statement.as_ref(),
            Lookup::Absent | Lookup::Unsettled => None,
        }
    }

    /// What no rule allows because nothing is known of a name: drivers know a name that is gone by
    /// its SQLSTATE, and prepare again.
    pub(super) fn or_unseen(&self, ruling: Ruling, unseen: Option<Unseen>) -> Ruling {
        match (ruling, unseen) {
            (Ruling::Refuse(refusal), Some(unseen)) if refusal.rule.is_empty() => {
                let Unseen { sqlstate, kind, name } = unseen;
                let message = match String::from_utf8_lossy(&name) {
                    name if name.is_empty() => format!("unnamed {kind} does not exist"),
                    name => format!("{kind} \"{name}\" does not exist"),
                };
                let hint = "weir has not seen it made in this session.".into();
                Ruling::Refuse(Refusal { sqlstate, message, hint, ..refusal })
            }
            (ruling, _) => ruling,
        }
    }

    /// Whether a Bind to this name has to wait until it is clear what the name means.
    pub(super) fn waits_for_portal(&self, name: &[u8]) -> bool {
        !name.is_empty() && matches!(self.beliefs.portal(name), Lookup::Unsettled)
    }

    /// Refuses a message with a name that the target would not keep as it is.
    pub(super) fn refuse_names(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.refuse(frame, None, &Refusal::name(), core);
        let event = Event {
            event: "command-refused",
            severity: "warn",
            message: "a name of a statement or portal is too long, or not ASCII",
            attrs: "{}",
        };
        core.event(&event, stage)
    }
}

/// A name that stands for nothing, as far as weir has seen.
pub(super) struct Unseen {
    sqlstate: &'static str,
    kind: &'static str,
    name: Box<[u8]>,
}

/// Whether the target keeps the names in this message as they are.
pub(super) fn keeps_names(message: &ClientMessage<'_>) -> bool {
    match message {
        ClientMessage::Parse(parse) => is_kept_whole(parse.name),
        ClientMessage::Bind(bind) => is_kept_whole(bind.portal) && is_kept_whole(bind.statement),
        ClientMessage::Execute(name, _)
        | ClientMessage::Describe(Named::Statement(name) | Named::Portal(name))
        | ClientMessage::Close(Named::Statement(name) | Named::Portal(name)) => is_kept_whole(name),
        _ => true,
    }
}

fn declares(said: &Classified, cursor: &str) -> bool {
    let is =
        |it: &Statement| matches!(&it.effect, Consequence::Declare { name, .. } if name == cursor);
    said.statements.iter().any(is)
}

/// A statement that weir has not seen prepared: nothing is known of what it does.
pub(super) fn unknown_statement(name: &[u8], stage: &mut Stage<'_>) -> StatementRef {
    let classified = stage.classifier.classify(UNREADABLE);
    Rc::new(Prepared {
        name: String::from_utf8_lossy(name).into(),
        text: Rc::from(&b""[..]),
        encoding: Box::default(),
        secrets: Box::default(),
        classified,
        types: Vec::new().into(),
        recorded: true.into(),
    })
}

fn unknown_portal(name: &[u8], stage: &mut Stage<'_>) -> Portal<crate::mask::Plan> {
    Portal::of(unknown_statement(name, stage))
}

/// A portal of which the text is known, and not what it does.
fn uncertain_portal(
    portal: &Portal<crate::mask::Plan>,
    statement: &Prepared,
    stage: &mut Stage<'_>,
) -> Portal<crate::mask::Plan> {
    let classified = stage.classifier.classify(UNREADABLE);
    let statement = Rc::new(Prepared { classified, ..statement.copy() });
    let (values, encoding) = (portal.values.clone(), portal.encoding.clone());
    Portal { values, encoding, ..Portal::of(statement) }
}
