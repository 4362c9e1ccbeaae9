//! The client's direction: messages to decisions, records and the target.
//!
//! In: frames of the client. Out: the same frames, or what stands in for refused ones.
//! Never: a command before its row is in the journal.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::approval::Standings;
use crate::decide::sql::own::with_parameters;
use crate::decide::sql::{Plumbing, fast_path};
use crate::decide::{Classified, Consequence, Copy};
use crate::fault::{Fault, FaultKind, Limit, Malformed, Refused};
use crate::mask::sql::copy::{self, CopyMasker, CopyPlanned};
use crate::record::entry::{Event, Params};
use crate::session::postgres::state::{Issued, Portal, Prepared, Visible};
use crate::wire::Side;
use crate::wire::postgres::frame::{Step, run_of};
use crate::wire::postgres::message::{Bind, ClientMessage, Named, Parse, bind_names};
use crate::wire::postgres::reply;

use super::admit::{Facts, Refusal, Ruled, Ruling, record_command, refused_record};
use super::beliefs::names::Lookup;
use super::beliefs::{Message, PortalRef, Resolved, Turn, is_kept_whole};
use super::facts::{execute_facts, record_bound, record_prepare, runs_at_bind};
use super::ready::{Body, Flow, Learned, Ready};
use super::release::Passage;
use super::texts::{keeps_names, unknown_statement};
use crate::session::Stage;
use crate::session::capture::{COPY_ENCODING, Upload};
use crate::session::postgres::core::Office;

const CLIENT: Side = Side::Client;

/// Every message type of a logged-in client.
const KNOWN_TAGS: &[u8] = b"QPBDECSHXdcfF";
/// Those that may be larger than is held.
const STREAMED_TAGS: &[u8] = b"QPBFd";
/// Those that the target cannot take while it copies in.
pub(super) const COMMAND_TAGS: &[u8] = b"QPBDECF";
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
        core: &mut Office,
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
        if self.is_out_of_turn(tag, frame, core)? {
            return Ok(());
        }
        if message.as_ref().is_some_and(|message| !keeps_names(message)) {
            return self.refuse_names(frame, core, stage);
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
                self.beliefs.sent(Message::Sync);
                core.pass(Side::Server, Plumbing::Pipeline, frame, stage);
                Ok(())
            }
            Some(ClientMessage::Flush) => {
                core.pass(Side::Server, Plumbing::Pipeline, frame, stage);
                Ok(())
            }
            Some(ClientMessage::CopyData) => self.copy_data(frame, core, stage),
            Some(ClientMessage::CopyDone | ClientMessage::CopyFail) => {
                self.flush_upload(core, stage)?;
                self.upload = None;
                self.beliefs.sent(Message::CopyEnd);
                core.pass(Side::Server, Plumbing::CopyIn, frame, stage);
                Ok(())
            }
            Some(ClientMessage::FunctionCall(oid)) => self.function(oid, frame, core, stage),
            Some(ClientMessage::Terminate) => {
                core.pass(Side::Server, Plumbing::Terminate, frame, stage);
                self.leaving = true;
                // What is under way is still answered, as the target itself would.
                if self.beliefs.owes_nothing() {
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        match tag {
            b'S' | b'H' if self.beliefs.copies_in() => {
                // Data for the target, whatever their bodies.
                core.pass(Side::Server, Plumbing::CopyIn, frame, stage);
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.body = Body::Drop;
        if !STREAMED_TAGS.contains(&tag) {
            return Err(malformed(Malformed::MessageLength));
        }
        if let Flow::SkipToSync = self.flow {
            return Ok(());
        }
        if self.is_out_of_turn(tag, frame, core)? {
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Body::Forward = self.body {
            self.keep_upload(bytes, core, stage)?;
            self.flush_upload(core, stage)?;
            core.pass(Side::Server, Plumbing::Rest, bytes, stage);
        } else if last && let Body::Refused(it) = std::mem::replace(&mut self.body, Body::Drop) {
            self.stand_in(*it, core);
        }
        Ok(())
    }

    /// Called when the bytes handled so far are about to leave: what they need in the record.
    pub(super) fn before_leaving(
        &mut self,
        core: &mut Office,
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(said) = self.classify(text, stage) else {
            self.settle_first(frame);
            return Ok(());
        };
        let meaning = self.meaning_of(&said);
        let (classified, unclear) = match self.beliefs.resolve(&said) {
            Resolved::Is(classified) => (classified, false),
            Resolved::Unclear => (Rc::clone(&said), true),
            Resolved::Unsettled => {
                self.settle_first(frame);
                return Ok(());
            }
        };
        if self.waits_for_catalog(&classified, frame, core, stage) {
            return Ok(());
        }
        let (recorded, _) = self.recorded_text(text, &said);
        let encoding = self.beliefs.encoding_of(text).to_owned();
        let facts = Facts {
            kind: "query",
            text: &recorded,
            encoding: &encoding,
            classified: &classified,
            params: None,
            statement: "",
            frame,
            meaning: meaning.as_deref(),
        };
        let copies = self.copies(&classified, stage);
        let ruling = match copies {
            _ if unclear => Ruling::Refuse(Refusal::name()),
            Err(ref refusal) => Ruling::Refuse(refusal.clone()),
            Ok(_) => {
                let ruling = self.rule(&classified.action, core, stage);
                self.or_unseen(ruling, self.unseen_in(&classified))
            }
        };
        let Some((permit, receipt, issued)) = self.admit(ruling, &facts, core, stage)? else {
            return Ok(());
        };
        let copies = copies.unwrap_or_default();
        self.note_settings(&classified);
        self.beliefs.sent(Message::Query(issued, Rc::clone(&classified), copies, &recorded));
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn parse(
        &mut self,
        parse: &Parse<'_>,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let named = !parse.name.is_empty();
        if named && matches!(self.beliefs.statement(parse.name), Lookup::Unsettled) {
            self.settle_first(frame);
            return Ok(());
        }
        let Some(classified) = self.classify(parse.text, stage) else {
            self.settle_first(frame);
            return Ok(());
        };
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        let own = catalog.map(|catalog| &catalog.own);
        let classified = with_parameters(classified, parse.types(), own);
        let (runs, unclear) = match self.beliefs.resolve(&classified) {
            Resolved::Is(runs) => (runs, false),
            Resolved::Unclear => (Rc::clone(&classified), true),
            Resolved::Unsettled => {
                self.settle_first(frame);
                return Ok(());
            }
        };
        let (recorded, secrets) = self.recorded_text(parse.text, &classified);
        let encoding = self.beliefs.encoding_of(parse.text).to_owned();
        let name = String::from_utf8_lossy(parse.name);
        let facts = Facts {
            kind: "prepare",
            text: &recorded,
            encoding: &encoding,
            classified: &runs,
            params: None,
            statement: &name,
            frame,
            meaning: None,
        };
        if unclear {
            return self.deny(Refusal::name(), &facts, core, stage);
        }
        if !self.beliefs.has_statement_room(parse.name, recorded.len()) {
            let refusal = Refusal::limit(Limit::Statements);
            return self.deny(refusal, &facts, core, stage);
        }
        let ruling = self.rule(&runs.action, core, stage);
        let permit = match self.or_unseen(ruling, self.unseen_in(&runs)) {
            Ruling::Go(permit, _) => permit,
            Ruling::Refuse(refusal) => {
                return self.deny(refusal, &facts, core, stage);
            }
            // Nothing runs and nothing is planned before Bind, and that is where the hold is.
            Ruling::Hold(terms) => terms.until_bound(),
        };
        let statement = Rc::new(Prepared {
            name: name.into(),
            text: recorded.into(),
            encoding: encoding.into(),
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
        self.beliefs.sent(Message::Parse(parse.name, statement));
        let receipt = core.covered(stage);
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn bind(
        &mut self,
        bind: &Bind<'_>,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let waits = self.waits_for_portal(bind.portal);
        let Some((statement, says)) = self.bound(bind.statement, stage).filter(|_| !waits) else {
            self.settle_first(frame);
            return Ok(());
        };
        if !self.beliefs.has_portal_room(bind.portal, bind.values.len()) {
            let facts = execute_facts(&statement, None, frame);
            return self.deny(Refusal::limit(Limit::Statements), &facts, core, stage);
        }
        let ruling = self.rule(&statement.classified.action, core, stage);
        let ruling = self.or_unseen(ruling, self.unseen_statement(bind.statement));
        let types = statement.types.borrow();
        let encoding = self.beliefs.encoding_of(bind.values).to_owned();
        let meaning = self.meaning_of(says.as_deref().unwrap_or(&statement.classified));
        let facts = Facts {
            meaning: meaning.as_deref(),
            ..execute_facts(&statement, Some((bind.values, &types, &encoding)), frame)
        };
        let Some(passage) = self.passage(ruling, &facts, core, stage)? else { return Ok(()) };
        let Passage { permit, rule, approved, seq: reserved, .. } = passage;
        if runs_at_bind(&statement) {
            record_bound(&facts, &rule, core, stage)?;
        }
        let receipt = core.covered(stage);
        drop(types);
        let portal = Portal {
            says,
            values: bind.values.to_vec(),
            encoding: encoding.into(),
            result_formats: bind.result_formats.into(),
            reserved_seq: reserved.into(),
            approved,
            ..Portal::of(statement)
        };
        if let Some(statement) = &portal.statement
            && self.unseen_statement(bind.statement).is_none()
        {
            self.note_settings(&statement.classified);
        }
        self.beliefs.sent(Message::Bind(bind.portal, Rc::new(portal)));
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    /// A Bind whose values are streamed: decided now, its values kept under the `seq` that its
    /// first Execute will have.
    fn long_bind(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let names = bind_names(Step::body(frame)).ok_or(malformed(Malformed::MessageBody))?;
        let (portal_name, statement_name) = names;
        if ![portal_name, statement_name].into_iter().all(is_kept_whole) {
            return self.refuse_names(frame, core, stage);
        }
        let waits = self.waits_for_portal(portal_name);
        let Some((statement, says)) = self.bound(statement_name, stage).filter(|_| !waits) else {
            self.settle_first(frame);
            return Ok(());
        };
        let ruling = self.rule(&statement.classified.action, core, stage);
        let facts = execute_facts(&statement, None, frame);
        if !self.beliefs.has_portal_room(portal_name, 0) {
            return self.deny(Refusal::limit(Limit::Statements), &facts, core, stage);
        }
        let (permit, rule) = match ruling {
            Ruling::Go(permit, matched) => (permit, matched.rule()),
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
                    matched: Some(Box::new(terms.matched)),
                };
                return self.deny(refusal, &facts, core, stage);
            }
        };
        let seq = core.take_seq();
        if runs_at_bind(&statement) {
            record_bound(&facts, &rule, core, stage)?;
        }
        self.body = Body::Forward;
        // The chunks hold values as they came, so none is kept where one of them is a credential.
        let limit = if statement.secrets.is_empty() { u64::MAX } else { 0 };
        self.upload = Some(Upload::new(seq, "pg-bind", limit));
        self.keep_upload(frame, core, stage)?;
        self.flush_upload(core, stage)?;
        // The formats stand at the end of the message and are not known. Rows of a session with
        // masks are described by the target with the formats it uses.
        let portal =
            Portal { says, reserved_seq: Some(seq).into(), ..Portal::of(Rc::clone(&statement)) };
        self.note_settings(&statement.classified);
        self.beliefs.sent(Message::Bind(portal_name, Rc::new(portal)));
        let receipt = core.covered(stage);
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    fn execute(
        &mut self,
        name: &[u8],
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(portal) = self.opened(name, stage) else {
            self.settle_first(frame);
            return Ok(());
        };
        let unknown = || unknown_statement(name, stage);
        let statement = portal.statement.clone().unwrap_or_else(unknown);
        if self.waits_for_catalog(&statement.classified, frame, core, stage) {
            return Ok(());
        }
        let copies = self.copies(&statement.classified, stage);
        let ruling = match (&copies, &portal.approved) {
            (Err(refusal), _) => Ruling::Refuse(refusal.clone()),
            (Ok(_), Some(approved)) => {
                Ruling::Go(approved.grant.permit(), approved.matched.clone())
            }
            (Ok(_), None) => {
                let ruling = self.rule(&statement.classified.action, core, stage);
                self.or_unseen(ruling, self.unseen_portal(name))
            }
        };
        let types = statement.types.borrow();
        let values = (portal.values.as_slice(), types.as_slice(), &*portal.encoding);
        let facts = execute_facts(&statement, Some(values), frame);
        let Some(passage) = self.passage(ruling, &facts, core, stage)? else { return Ok(()) };
        let Passage { permit, matched, approved, seq, .. } = passage;
        let seq = seq.or_else(|| portal.reserved_seq.take());
        let seq = seq.unwrap_or_else(|| core.take_seq());
        let approved = approved.as_ref().or(portal.approved.as_ref());
        let approval = approved.map(|approved| approved.grant.id);
        let rule = approved.map_or_else(|| matched.rule(), |approved| Rc::clone(&approved.rule));
        let ruled = Ruled::allowed(seq, (&rule, &matched), approval);
        let receipt = match record_command(&facts, &ruled, core, stage) {
            Ok(receipt) => receipt,
            Err(refused) => {
                self.refuse(frame, None, &refused_record(refused), core);
                return Ok(());
            }
        };
        drop(types);
        statement.recorded.set(true);
        self.last_seq = seq;
        if self.unseen_portal(name).is_none() {
            self.note_settings(&statement.classified);
        }
        self.describe_first(name, &portal, core, stage);
        let copy = copies.unwrap_or_default().pop_front();
        let issued = Issued { seq, at_us: stage.now.mono_us, held: approval.is_some() };
        self.beliefs.sent(Message::Execute(issued, portal, copy));
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    /// Rows of a session with masks are not sent before their plan is known; a client that does
    /// not ask for the description gets it asked for.
    fn describe_first(
        &mut self,
        name: &[u8],
        portal: &PortalRef,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) {
        if self.link.view.is_empty() || portal.described.replace(true) {
            return;
        }
        self.beliefs.sent(Message::DescribePortal(Rc::clone(portal), Visible::Hidden));
        let mut describe = Vec::new();
        reply::describe_portal(&mut describe, name);
        core.pass(Side::Server, Plumbing::Names, &describe, stage);
    }

    fn describe(
        &mut self,
        named: Named<'_>,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let sent = match named {
            Named::Statement(name) => match self.beliefs.statement(name) {
                Lookup::Known(statement) | Lookup::Suspect(statement) => {
                    Message::DescribeStatement(Some(Rc::clone(statement)))
                }
                Lookup::Absent => Message::DescribeStatement(None),
                Lookup::Unsettled => {
                    self.settle_first(frame);
                    return Ok(());
                }
            },
            Named::Portal(name) => {
                let Some(portal) = self.opened(name, stage) else {
                    self.settle_first(frame);
                    return Ok(());
                };
                portal.described.set(true);
                Message::DescribePortal(portal, Visible::Shown)
            }
        };
        self.beliefs.sent(sent);
        core.pass(Side::Server, Plumbing::Names, frame, stage);
        Ok(())
    }

    fn close(
        &mut self,
        named: Named<'_>,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let waits = match named {
            Named::Statement(name) => {
                !name.is_empty() && matches!(self.beliefs.statement(name), Lookup::Unsettled)
            }
            Named::Portal(name) => self.waits_for_portal(name),
        };
        if waits {
            self.settle_first(frame);
            return Ok(());
        }
        self.beliefs.sent(match named {
            Named::Statement(name) => Message::CloseStatement(name),
            Named::Portal(name) => Message::ClosePortal(name),
        });
        core.pass(Side::Server, Plumbing::Names, frame, stage);
        Ok(())
    }

    fn function(
        &mut self,
        oid: u32,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let name = fast_path::function(oid).map(|name| format!("{name}, "));
        let text = format!("function call {}{oid}", name.unwrap_or_default());
        let classified = fast_path::call(oid);
        // The arguments are laid out as the values of a Bind are, between the number of the
        // function and the format of its result.
        let arguments = Step::body(frame).get(4..).and_then(|rest| rest.split_last_chunk::<2>());
        let arguments = arguments.filter(|_| Step::is_whole(frame));
        let encoding = self.beliefs.encoding_of(frame).to_owned();
        let facts = Facts {
            kind: "function-call",
            text: text.as_bytes(),
            encoding: "",
            classified: &classified,
            params: arguments.map(|(raw, _)| Params {
                raw,
                text_encoding: &encoding,
                ..Params::default()
            }),
            statement: "",
            frame,
            meaning: None,
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
        // It may be `set_config`.
        self.standings = Standings::default();
        self.changed.note_any();
        self.body = Body::Forward;
        self.upload = Some(Upload::new(issued.seq, "pg-function-call", u64::MAX));
        self.keep_upload(frame, core, stage)?;
        self.beliefs.sent(Message::FunctionCall(issued));
        core.send(Side::Server, permit, receipt, frame);
        Ok(())
    }

    pub(super) fn copy_data(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if self.upload.as_ref().is_none_or(|upload| !upload.is_copy_of(self.last_seq)) {
            self.upload = Some(Upload::new(self.last_seq, COPY_ENCODING, self.kept_of_copy(stage)));
        }
        self.keep_upload(frame, core, stage)?;
        core.pass(Side::Server, Plumbing::CopyIn, frame, stage);
        Ok(())
    }

    fn keep_upload(
        &mut self,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.take(bytes, core, stage).map_err(record_fault)
    }

    fn flush_upload(&mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.flush(core, stage).map_err(record_fault)
    }

    pub(super) fn settle_first(&mut self, frame: &[u8]) {
        self.flow = Flow::Settling(frame.to_vec());
    }

    /// Whether a COPY before it has to end before this message may follow; then it waits.
    fn is_out_of_turn(&mut self, tag: u8, frame: &[u8], core: &mut Office) -> Result<bool, Fault> {
        if !COMMAND_TAGS.contains(&tag) {
            return Ok(false);
        }
        match self.beliefs.turn() {
            Turn::Now => Ok(false),
            Turn::Later => {
                self.wait_for_copy(frame, core);
                Ok(true)
            }
            Turn::Never => Err(malformed(Malformed::MessageType)),
        }
    }

    /// Takes whole CopyData messages off the front of `input`, many at a time: some clients send
    /// one for each row.
    pub(super) fn copy_rows(
        &mut self,
        input: &mut &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if !matches!(self.flow, Flow::Normal) {
            return Ok(());
        }
        match run_of(input, b'd') {
            (_, 0) => Ok(()),
            (rows, _) => self.copy_data(rows, core, stage),
        }
    }

    fn wait_for_copy(&mut self, frame: &[u8], core: &mut Office) {
        self.settle_first(frame);
        // The target keeps the end of an extended COPY to itself until it is told to flush.
        core.server.say(&FLUSH);
    }

    /// Whether what a text puts elsewhere cannot be told before there is a newer catalog. What a
    /// newer one does not have either is of this transaction, and was made through weir.
    fn has_to_learn(&self, classified: &Classified, stage: &Stage<'_>) -> bool {
        let puts = |it: &crate::decide::Statement| {
            it.stored.is_some() || !it.sinks.is_empty() || matches!(it.effect, Consequence::Copy(_))
        };
        // Another session has changed what the catalog says.
        let is_stale = || {
            self.link.view.masks_columns()
                && stage.snapshot.is_stale(self.link.target)
                && classified.statements.iter().any(puts)
        };
        self.learned == Learned::Not
            && self.resolved.is_none()
            && (self.lacks(classified, stage)
                || is_stale()
                || self.link.view.copies_unknown(self.catalog_shown(stage).as_deref(), classified))
    }

    /// Whether a command waits for a newer catalog from now on, for what it puts elsewhere or for
    /// what it reaches.
    fn waits_for_catalog(
        &mut self,
        classified: &Classified,
        frame: &[u8],
        core: &mut Office,
        stage: &Stage<'_>,
    ) -> bool {
        if self.has_to_learn(classified, stage) {
            self.learn_first(frame, core, stage);
            return true;
        }
        self.learns_first(classified, frame, core, stage)
    }

    fn lacks(&self, classified: &Classified, stage: &Stage<'_>) -> bool {
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        self.link.view.lacks(catalog, &classified.statements)
    }

    /// One masker for each COPY TO STDOUT of the text, in order; `None` where it passes as it is.
    /// Refuses what would carry a masked column to where masks do not reach.
    fn copies(
        &mut self,
        classified: &Classified,
        stage: &Stage<'_>,
    ) -> Result<VecDeque<Option<Box<CopyMasker>>>, Refusal> {
        let mut maskers = VecDeque::new();
        if self.link.view.is_empty() {
            return Ok(maskers);
        }
        if self.learned == Learned::Late && self.lacks(classified, stage) {
            let what = "weir does not know a relation of this statement yet; try again";
            return Err(Refusal::mask(what.into()));
        }
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        if let Some(why) = self.link.view.carries_off(catalog, &classified.statements) {
            return Err(Refusal::mask(why));
        }
        let shown = self.widen(classified, stage)?;
        let catalog = shown.as_deref();
        if classified.statements.iter().any(copy::is_unread) {
            return Err(Refusal::mask(copy::UNREAD.into()));
        }
        for statement in &classified.statements {
            let Consequence::Copy(copy @ Copy { from_client: false, .. }) = &statement.effect
            else {
                continue;
            };
            match self.link.view.copy(catalog, copy, statement) {
                CopyPlanned::Masked(masker) => maskers.push_back(Some(masker)),
                CopyPlanned::Pass => maskers.push_back(None),
                CopyPlanned::Refuse(message) => return Err(Refusal::mask(message)),
                CopyPlanned::NeedCatalog => {
                    return Err(self.unknown_copy((copy, classified), catalog));
                }
            }
        }
        Ok(maskers)
    }
}

fn record_fault(refused: Refused) -> Fault {
    Fault::new(CLIENT, FaultKind::Record(refused))
}
