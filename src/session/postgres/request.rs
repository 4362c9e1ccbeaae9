//! The client's direction: messages to decisions, records and the target.
//!
//! In: frames of the client. Out: the same frames, or what stands in for refused ones.
//! Never: a command before its row is in the journal.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::sql::classify::replication;
use crate::decide::{Class, Classified, Copy, Effect, Permit, Statement};
use crate::fault::{Fault, FaultKind, Limit, Malformed, Refused};
use crate::mask::sql::copy::{CopyMasker, CopyPlanned};
use crate::mask::sql::redact;
use crate::record::entry::{Decision, Event, Params};
use crate::session::postgres::state::{
    Approved, Expect, Issued, Lookup, Portal, Prepared, Visible,
};
use crate::wire::Side;
use crate::wire::postgres::frame::Step;
use crate::wire::postgres::message::{Bind, ClientMessage, Named, Parse, bind_names};
use crate::wire::postgres::reply::{self};

use super::admit::{Facts, Refusal, Ruled, Ruling, record_command, refused_record};
use super::copy_in::Turn;
use super::ready::{Body, Flow, Ready};
use crate::session::Stage;
use crate::session::capture::{COPY_ENCODING, Upload};
use crate::session::postgres::core::Core;

const CLIENT: Side = Side::Client;

/// Every message type of a logged-in client.
const KNOWN_TAGS: &[u8] = b"QPBDECSHXdcfF";
/// Those that may be larger than is held.
const STREAMED_TAGS: &[u8] = b"QPBFd";
/// Those that the target cannot take while it copies in.
const COMMAND_TAGS: &[u8] = b"QPBDECF";
/// A Flush message.
const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];

fn malformed(kind: Malformed) -> Fault {
    Fault::new(CLIENT, FaultKind::Malformed(kind))
}

impl Ready {
    /// A whole message of the client.
    pub(super) fn client_frame(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let message = ClientMessage::parse(tag, Step::body(frame));
        if let Flow::SkipToSync = self.flow {
            match message {
                Some(ClientMessage::Sync) => self.flow = Flow::Normal,
                Some(ClientMessage::Terminate) => {}
                None if !KNOWN_TAGS.contains(&tag) => {
                    return Err(malformed(Malformed::MessageType));
                }
                _ => return Ok(()),
            }
        }
        if COMMAND_TAGS.contains(&tag) && self.turn()? == Turn::Later {
            self.wait_for_copy(frame, core);
            return Ok(());
        }
        core.begin_decision(tag);
        match message {
            Some(ClientMessage::Query(text)) => self.query(text, frame, core, stage),
            Some(ClientMessage::Parse(parse)) => self.parse(&parse, frame, core, stage),
            Some(ClientMessage::Bind(bind)) => self.bind(&bind, frame, core, stage),
            Some(ClientMessage::Describe(named)) => self.describe(named, frame, core, stage),
            Some(ClientMessage::Execute(portal, _)) => self.execute(portal, frame, core, stage),
            Some(ClientMessage::Close(named)) => self.close(named, frame, core, stage),
            Some(ClientMessage::Sync) => {
                self.sync_sent();
                core.pass(Side::Server, "Sync", frame, stage);
                Ok(())
            }
            Some(ClientMessage::Flush) => {
                core.pass(Side::Server, "Flush", frame, stage);
                Ok(())
            }
            Some(ClientMessage::CopyData) => self.copy_data(frame, core, stage),
            Some(ClientMessage::CopyDone | ClientMessage::CopyFail) => {
                self.flush_upload(core, stage)?;
                self.upload = None;
                self.copy_data_ended();
                core.pass(Side::Server, "end of COPY data", frame, stage);
                Ok(())
            }
            Some(ClientMessage::FunctionCall(oid)) => self.function(oid, frame, core, stage),
            Some(ClientMessage::Terminate) => {
                core.pass(Side::Server, "Terminate", frame, stage);
                self.leaving = true;
                // What is under way is still answered, as the target itself would.
                if self.due.is_empty() {
                    return Err(Fault::new(CLIENT, FaultKind::Terminate));
                }
                Ok(())
            }
            None => self.misshapen(tag, frame, core, stage),
        }
    }

    /// A message whose body has another shape than its type's. The target would answer with an
    /// error and go on, so it gets what fails in its place.
    fn misshapen(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        match tag {
            b'S' | b'H' if self.copy_in => {
                // Data for the target, whatever their bodies.
                core.pass(Side::Server, "Sync or Flush among COPY data", frame, stage);
                return Ok(());
            }
            b'Q' | b'F' | b'S' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => {}
            _ => return Err(malformed(Malformed::MessageType)),
        }
        let refusal = Refusal::of(FaultKind::Malformed(Malformed::MessageBody));
        self.refuse(frame, None, &refusal, core);
        let event = Event {
            event: "command-refused",
            severity: "warn",
            message: "a message does not have the shape of its type",
            attrs: "{}",
        };
        core.event(&event, stage)
    }

    /// The start of a message that is streamed.
    pub(super) fn client_begin(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.body = Body::Drop;
        if !STREAMED_TAGS.contains(&tag) {
            return Err(malformed(Malformed::MessageLength));
        }
        if let Flow::SkipToSync = self.flow {
            return Ok(());
        }
        if COMMAND_TAGS.contains(&tag) && self.turn()? == Turn::Later {
            self.wait_for_copy(frame, core);
            return Ok(());
        }
        match tag {
            b'd' => {
                self.body = Body::Forward;
                self.copy_data(frame, core, stage)
            }
            b'B' => self.long_bind(frame, core, stage),
            b'F' => {
                let oid = Step::body(frame).first_chunk().map(|oid| u32::from_be_bytes(*oid));
                self.function(oid.unwrap_or(0), frame, core, stage)
            }
            b'Q' | b'P' => {
                self.refuse(frame, None, &Refusal::limit(Limit::MessageBytes), core);
                let event = Event {
                    event: "command-refused",
                    severity: "warn",
                    message: "a command text was larger than weir holds",
                    attrs: "{}",
                };
                core.event(&event, stage)
            }
            _ => Err(malformed(Malformed::MessageLength)),
        }
    }

    /// More of a message that is streamed.
    pub(super) fn client_part(
        &mut self,
        bytes: &[u8],
        last: bool,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Body::Forward = self.body {
            self.keep_upload(bytes, core, stage)?;
            self.flush_upload(core, stage)?;
            core.pass(Side::Server, "rest of a message", bytes, stage);
        } else if last && let Body::Refused(it) = std::mem::replace(&mut self.body, Body::Drop) {
            self.stand_in(*it, core);
        }
        Ok(())
    }

    /// Called when the bytes handled so far are about to leave: what they need in the record.
    pub(super) fn before_leaving(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        for statement in std::mem::take(&mut self.fresh) {
            if !statement.recorded.replace(true) {
                record_prepare(&statement, core, stage)?;
            }
        }
        self.flush_upload(core, stage)
    }

    fn query(
        &mut self,
        text: &[u8],
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let classified = self.classify(text, stage);
        let Some(classified) = self.resolve(classified) else {
            self.settle_first(frame);
            return Ok(());
        };
        let (recorded, _) = recorded_text(text, &classified);
        let facts = Facts {
            kind: "query",
            text: &recorded,
            classified: &classified,
            params: None,
            statement: "",
            frame,
        };
        let copies = self.copies(&classified, stage);
        let ruling = match copies {
            Err(ref refusal) => Ruling::Refuse(refusal.clone()),
            Ok(_) => self.rule(&classified.action, core, stage),
        };
        let Some((permit, receipt, issued)) = self.admit(ruling, &facts, core, stage)? else {
            return Ok(());
        };
        self.due.push_back(Expect::Query(issued, copies.unwrap_or_default(), classified));
        self.epoch += 1;
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn classify(&self, text: &[u8], stage: &mut Stage<'_>) -> Rc<Classified> {
        if self.replication.is_some()
            && let Some(command) = replication(text)
        {
            return Rc::new(command);
        }
        if self.reported.is_safe() {
            stage.classifier.classify(text)
        } else {
            stage.classifier.classify(UNREADABLE)
        }
    }

    /// The statements an EXECUTE in SQL stands for, or `None` while a name is in doubt.
    fn resolve(&self, classified: Rc<Classified>) -> Option<Rc<Classified>> {
        let is_execute = |s: &Statement| matches!(s.effect, Effect::Execute(_));
        if !classified.statements.iter().any(is_execute) {
            return Some(classified);
        }
        let mut statements = Vec::with_capacity(classified.statements.len());
        for statement in &classified.statements {
            let Effect::Execute(name) = &statement.effect else {
                statements.push(statement.clone());
                continue;
            };
            match self.names.statements.get(name.as_bytes(), self.epoch) {
                Lookup::Known(prepared) => {
                    statements.extend(prepared.classified.statements.iter().cloned());
                }
                Lookup::Absent => statements.push(statement.clone()),
                Lookup::Unsettled => return None,
            }
        }
        Some(Rc::new(Classified::new(statements, classified.secrets)))
    }

    fn parse(
        &mut self,
        parse: &Parse<'_>,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let known = match self.names.statements.get(parse.name, self.epoch) {
            Lookup::Unsettled if !parse.name.is_empty() => {
                self.settle_first(frame);
                return Ok(());
            }
            Lookup::Known(_) => !parse.name.is_empty(),
            Lookup::Absent | Lookup::Unsettled => false,
        };
        let classified = self.classify(parse.text, stage);
        let (recorded, secrets) = recorded_text(parse.text, &classified);
        let name = String::from_utf8_lossy(parse.name);
        let facts = Facts {
            kind: "prepare",
            text: &recorded,
            classified: &classified,
            params: None,
            statement: &name,
            frame,
        };
        if !self.names.has_statement_room(parse.name, recorded.len()) {
            let refusal = Refusal::limit(Limit::Statements);
            return self.deny(refusal, &facts, core, stage);
        }
        let permit = match self.rule(&classified.action, core, stage) {
            Ruling::Go(permit, _) => permit,
            Ruling::Refuse(refusal) => {
                return self.deny(refusal, &facts, core, stage);
            }
            // Nothing runs and nothing is planned before Bind, and that is where the hold is.
            Ruling::Hold(_) => Permit::housekeeping("Parse of what is held when it is bound"),
        };
        let statement = Rc::new(Prepared {
            name: name.into(),
            text: recorded.into(),
            secrets: secrets.into(),
            classified,
            types: parse.types().collect::<Vec<u32>>().into(),
            recorded: false.into(),
        });
        if parse.name.is_empty() {
            // Drivers parse, bind and execute in one go; then the command's row has the text.
            self.fresh.push(Rc::clone(&statement));
        } else {
            statement.recorded.set(true);
            record_prepare(&statement, core, stage)?;
        }
        // A name in use makes the target answer with an error and keep what it had.
        let undo = (!known).then(|| self.names.statements.set(parse.name, statement, self.epoch));
        self.due.push_back(Expect::ParseComplete(undo));
        let receipt = core.covered(stage);
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn bind(
        &mut self,
        bind: &Bind<'_>,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(statement) = self.statement(bind.statement, stage) else {
            self.settle_first(frame);
            return Ok(());
        };
        if !self.names.has_portal_room(bind.portal, bind.values.len()) {
            let facts = execute_facts(&statement, None, frame);
            return self.deny(Refusal::limit(Limit::Statements), &facts, core, stage);
        }
        let (approved, reserved) = match self.take_grant() {
            Some((approved, seq)) => (Some(approved), Some(seq)),
            None => (None, None),
        };
        let permit = match &approved {
            Some(approved) => approved.grant.permit(),
            None => {
                let ruling = self.rule(&statement.classified.action, core, stage);
                let types = statement.types.borrow();
                let facts = execute_facts(&statement, Some((bind.values, &types)), frame);
                match ruling {
                    Ruling::Go(permit, _) => permit,
                    Ruling::Refuse(refusal) => {
                        return self.deny(refusal, &facts, core, stage);
                    }
                    Ruling::Hold(terms) => return self.hold(terms, &facts, core, stage),
                }
            }
        };
        let portal = Portal {
            statement: Some(statement),
            values: bind.values.to_vec(),
            result_formats: bind.result_formats.into(),
            described: false.into(),
            plan: None.into(),
            reserved_seq: reserved.into(),
            approved,
        };
        self.bind_portal(bind.portal, portal);
        let receipt = core.covered(stage);
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn bind_portal(&mut self, name: &[u8], portal: Portal<crate::mask::Plan>) {
        // A named portal in use makes the target answer with an error and keep what it had.
        let in_use = !name.is_empty()
            && matches!(self.names.portals.get(name, self.epoch), Lookup::Known(_));
        let undo = (!in_use).then(|| self.names.portals.set(name, Rc::new(portal), self.epoch));
        self.due.push_back(Expect::BindComplete(undo));
    }

    /// A Bind whose values are streamed: decided now, its values kept under the `seq` that its
    /// first Execute will have.
    fn long_bind(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let names = bind_names(Step::body(frame)).ok_or(malformed(Malformed::MessageBody))?;
        let (portal_name, statement_name) = names;
        let Some(statement) = self.statement(statement_name, stage) else {
            self.settle_first(frame);
            return Ok(());
        };
        let ruling = self.rule(&statement.classified.action, core, stage);
        let facts = execute_facts(&statement, None, frame);
        if !self.names.has_portal_room(portal_name, 0) {
            return self.deny(Refusal::limit(Limit::Statements), &facts, core, stage);
        }
        let permit = match ruling {
            Ruling::Go(permit, _) => permit,
            Ruling::Refuse(refusal) => {
                return self.deny(refusal, &facts, core, stage);
            }
            Ruling::Hold(terms) => {
                let refusal = Refusal {
                    sqlstate: "54000",
                    message: "a command with more than 1 MiB of values cannot be held".into(),
                    hint: "Send the values in smaller commands, or ask for a rule that allows it."
                        .into(),
                    rule: terms.rule(),
                };
                return self.deny(refusal, &facts, core, stage);
            }
        };
        self.body = Body::Forward;
        let seq = core.take_seq();
        // The chunks hold values as they came, so none is kept where one of them is a credential.
        let limit = if statement.secrets.is_empty() { u64::MAX } else { 0 };
        self.upload = Some(Upload::new(seq, "pg-bind", limit));
        self.keep_upload(frame, core, stage)?;
        self.flush_upload(core, stage)?;
        let portal = Portal {
            statement: Some(Rc::clone(&statement)),
            values: Vec::new(),
            // The formats stand at the end of the message and are not known. Rows of a session
            // with masks are described by the target with the formats it uses.
            result_formats: Box::default(),
            described: false.into(),
            plan: None.into(),
            reserved_seq: Some(seq).into(),
            approved: None,
        };
        self.bind_portal(portal_name, portal);
        let receipt = core.covered(stage);
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn execute(
        &mut self,
        name: &[u8],
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let portal = match self.names.portals.get(name, self.epoch) {
            Lookup::Known(portal) => Rc::clone(portal),
            Lookup::Unsettled => {
                self.settle_first(frame);
                return Ok(());
            }
            Lookup::Absent => Rc::new(unknown_portal(name, stage)),
        };
        let statement = portal.statement.clone().unwrap_or_else(|| unknown_statement(name, stage));
        let copies = self.copies(&statement.classified, stage);
        let ruling = match (&copies, &portal.approved) {
            (Err(refusal), _) => Ruling::Refuse(refusal.clone()),
            (Ok(_), Some(approved)) => Ruling::Go(approved.grant.permit(), "".into()),
            (Ok(_), None) => self.rule(&statement.classified.action, core, stage),
        };
        let approval = portal.approved.as_ref().map(|approved| approved.id);
        let types = statement.types.borrow();
        let facts = execute_facts(&statement, Some((&portal.values, &types)), frame);
        let (permit, rule) = match ruling {
            Ruling::Go(permit, rule) => (permit, rule),
            Ruling::Refuse(refusal) => {
                return self.deny(refusal, &facts, core, stage);
            }
            Ruling::Hold(terms) if self.resolved.is_none() => {
                return self.hold(terms, &facts, core, stage);
            }
            Ruling::Hold(terms) => (Permit::housekeeping("replaced below"), terms.rule()),
        };
        let (permit, approval, reserved) = match self.take_grant() {
            Some((approved, seq)) => (approved.grant.permit(), Some(approved.id), Some(seq)),
            None => (permit, approval, portal.reserved_seq.take()),
        };
        let seq = reserved.unwrap_or_else(|| core.take_seq());
        let ruled = Ruled { seq, decision: Decision::Allow, rule: &rule, approval_id: approval };
        let recorded = record_command(&facts, &ruled, core, stage);
        let receipt = match recorded {
            Ok(receipt) => receipt,
            Err(refused) => {
                self.refuse(frame, None, &refused_record(refused), core);
                return Ok(());
            }
        };
        drop(types);
        statement.recorded.set(true);
        self.last_seq = seq;
        self.describe_first(name, &portal, core, stage);
        let copy = copies.unwrap_or_default().pop_front();
        let issued = Issued { seq, at_us: stage.now.mono_us, held: approval.is_some() };
        self.due.push_back(Expect::Execute(issued, portal, copy));
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    /// Rows of a session with masks are not sent before their plan is known; a client that does
    /// not ask for the description gets it asked for.
    fn describe_first(
        &mut self,
        name: &[u8],
        portal: &Rc<Portal<crate::mask::Plan>>,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) {
        if self.link.view.is_empty() || portal.described.replace(true) {
            return;
        }
        self.due.push_back(Expect::DescribePortal(Rc::clone(portal), Visible::Hidden));
        let mut describe = Vec::new();
        reply::describe_portal(&mut describe, name);
        core.pass(Side::Server, "Describe of a portal to be masked", &describe, stage);
    }

    fn describe(
        &mut self,
        named: Named<'_>,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let expect = match named {
            Named::Statement(name) => match self.names.statements.get(name, self.epoch) {
                Lookup::Known(statement) => Expect::DescribeStatement(Some(Rc::clone(statement))),
                Lookup::Absent => Expect::DescribeStatement(None),
                Lookup::Unsettled => {
                    self.settle_first(frame);
                    return Ok(());
                }
            },
            Named::Portal(name) => match self.names.portals.get(name, self.epoch) {
                Lookup::Known(portal) => {
                    portal.described.set(true);
                    Expect::DescribePortal(Rc::clone(portal), Visible::Shown)
                }
                Lookup::Absent => {
                    let portal = Rc::new(unknown_portal(name, stage));
                    Expect::DescribePortal(portal, Visible::Shown)
                }
                Lookup::Unsettled => {
                    self.settle_first(frame);
                    return Ok(());
                }
            },
        };
        self.due.push_back(expect);
        core.pass(Side::Server, "Describe", frame, stage);
        Ok(())
    }

    fn close(
        &mut self,
        named: Named<'_>,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let (names, epoch) = (&mut self.names, self.epoch);
        let expect = match named {
            Named::Statement(name) => Expect::CloseStatement(names.statements.close(name, epoch)),
            Named::Portal(name) => Expect::ClosePortal(names.portals.close(name, epoch)),
        };
        self.due.push_back(expect);
        core.pass(Side::Server, "Close", frame, stage);
        Ok(())
    }

    fn function(
        &mut self,
        oid: u32,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let text = format!("function call {oid}");
        let classified = Classified::of(Class::FunctionCall, "FUNCTION CALL");
        let facts = Facts {
            kind: "function-call",
            text: text.as_bytes(),
            classified: &classified,
            params: None,
            statement: "",
            frame,
        };
        let ruling = if self.link.view.is_empty() {
            let who = self.link.who(core, stage);
            self.to_ruling(self.link.scope.decide(&who, &classified.action))
        } else {
            Ruling::Refuse(Refusal::mask(
                "the result of a function call message cannot be masked".into(),
            ))
        };
        let admitted = self.admit(ruling, &facts, core, stage)?;
        let Some((permit, receipt, issued)) = admitted else { return Ok(()) };
        self.body = Body::Forward;
        self.upload = Some(Upload::new(issued.seq, "pg-function-call", u64::MAX));
        self.keep_upload(frame, core, stage)?;
        self.due.push_back(Expect::FunctionCall(issued));
        self.epoch += 1;
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    pub(super) fn copy_data(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if self.upload.as_ref().is_none_or(|upload| !upload.is_copy_of(self.last_seq)) {
            let limit = self.link.capture_bytes;
            self.upload = Some(Upload::new(self.last_seq, COPY_ENCODING, limit));
        }
        self.keep_upload(frame, core, stage)?;
        core.pass(Side::Server, "CopyData", frame, stage);
        Ok(())
    }

    fn keep_upload(
        &mut self,
        bytes: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.take(bytes, core, stage).map_err(record_fault)
    }

    fn flush_upload(&mut self, core: &mut Core, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.flush(core, stage).map_err(record_fault)
    }

    /// The statement of this name; one of unknown content if there is none; `None` while in doubt.
    fn statement(&self, name: &[u8], stage: &mut Stage<'_>) -> Option<Rc<Prepared>> {
        match self.names.statements.get(name, self.epoch) {
            Lookup::Known(statement) => Some(Rc::clone(statement)),
            Lookup::Absent => Some(unknown_statement(name, stage)),
            Lookup::Unsettled => None,
        }
    }

    fn settle_first(&mut self, frame: &[u8]) {
        self.flow = Flow::Settling(frame.to_vec());
    }

    fn wait_for_copy(&mut self, frame: &[u8], core: &mut Core) {
        self.settle_first(frame);
        // The target keeps the end of an extended COPY to itself until it is told to flush.
        core.server.say(&FLUSH);
    }

    /// One masker for each COPY TO STDOUT of the text, in order; `None` where it passes as it is.
    /// Refuses what would carry a masked column to where masks do not reach.
    fn copies(
        &self,
        classified: &Classified,
        stage: &Stage<'_>,
    ) -> Result<VecDeque<Option<Box<CopyMasker>>>, Refusal> {
        let mut maskers = VecDeque::new();
        if self.link.view.is_empty() {
            return Ok(maskers);
        }
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        if let Some(why) = self.link.view.carries_off(catalog, &classified.statements) {
            return Err(Refusal::mask(why.into()));
        }
        for statement in &classified.statements {
            let Effect::Copy(copy @ Copy { from_client: false, .. }) = &statement.effect else {
                continue;
            };
            match self.link.view.copy(catalog, copy, statement) {
                CopyPlanned::Masked(masker) => maskers.push_back(Some(masker)),
                CopyPlanned::Pass => maskers.push_back(None),
                CopyPlanned::Refuse(message) => return Err(Refusal::mask(message)),
                CopyPlanned::NeedCatalog => {
                    return Err(Refusal::mask(
                        "weir does not know the columns of this COPY yet; try again".into(),
                    ));
                }
            }
        }
        Ok(maskers)
    }
}

/// A zero byte cannot stand in a statement's text, so this is of class unknown, and is taken to
/// hold a secret.
const UNREADABLE: &[u8] = b"\0";

/// The text as it goes into the record, and the numbers of the parameters that are credentials.
fn recorded_text(text: &[u8], classified: &Classified) -> (Vec<u8>, Vec<u16>) {
    if !classified.secrets {
        return (text.to_vec(), Vec::new());
    }
    let redacted = redact::command(text);
    (redacted.text.into_owned(), redacted.parameters)
}

fn execute_facts<'c>(
    statement: &'c Prepared,
    values: Option<(&'c [u8], &'c [u32])>,
    frame: &'c [u8],
) -> Facts<'c> {
    Facts {
        kind: "execute",
        text: &statement.text,
        classified: &statement.classified,
        params: values.filter(|values| !values.0.is_empty()).map(|(raw, types)| Params {
            raw,
            types,
            secrets: &statement.secrets,
            ..Params::default()
        }),
        statement: &statement.name,
        frame,
    }
}

fn record_prepare(
    statement: &Prepared,
    core: &mut Core,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let attrs = serde_json::json!({
        "statement": &*statement.name,
        "classes": statement.classified.action.classes,
    });
    let event = Event {
        event: "prepare",
        severity: "info",
        message: &String::from_utf8_lossy(&statement.text),
        attrs: &attrs.to_string(),
    };
    core.event(&event, stage)
}

/// A statement that weir has not seen prepared: nothing is known of what it does.
fn unknown_statement(name: &[u8], stage: &mut Stage<'_>) -> Rc<Prepared> {
    let classified = stage.classifier.classify(UNREADABLE);
    Rc::new(Prepared {
        name: String::from_utf8_lossy(name).into(),
        text: Rc::from(&b""[..]),
        secrets: Box::default(),
        classified,
        types: Vec::new().into(),
        recorded: true.into(),
    })
}

fn unknown_portal(name: &[u8], stage: &mut Stage<'_>) -> Portal<crate::mask::Plan> {
    Portal {
        statement: Some(unknown_statement(name, stage)),
        values: Vec::new(),
        result_formats: Box::default(),
        described: false.into(),
        plan: None.into(),
        reserved_seq: None.into(),
        approved: None::<Approved>,
    }
}

fn record_fault(refused: Refused) -> Fault {
    Fault::new(CLIENT, FaultKind::Record(refused))
}
