//! The target's direction: replies to their commands, masks, and the record of the outcome.
//!
//! In: frames of the target. Out: the same frames, masked, and response rows.
//! Never: the end of an answer before its row is in the journal; a row without a plan.

use std::rc::Rc;

use crate::decide::{Classified, Effect, Permit, Statement};
use crate::fault::{Fault, FaultKind, Malformed, Refused};
use crate::limits;
use crate::mask::Plan;
use crate::mask::sql::plan::{Field, Planned};
use crate::record::Receipt;
use crate::record::entry::{Entry, MaskingHit, Outcome};
use crate::session::postgres::state::{Epoch, Expect, Issued, Portal, Visible};
use crate::wire::Side;
use crate::wire::postgres::frame::{HEAD_BYTES, Step, run_of};
use crate::wire::postgres::message::{
    Column, error_fields, parameter_description, row_description,
};
use crate::wire::postgres::reply;

use super::ready::{Due, Flow, Ready, Skipping, server_malformed};
use crate::session::capture::unanswered;
use crate::session::postgres::core::Core;
use crate::session::{Output, Refresh, Stage};

const SERVER: Side = Side::Server;

fn record_fault(refused: Refused) -> Fault {
    Fault::new(SERVER, FaultKind::Record(refused))
}

impl Ready {
    /// Takes whole rows that pass as they are off the front of `input`, many at a time: those of a
    /// query, or of a COPY, where the target says how many there were.
    pub(super) fn rows(
        &mut self,
        input: &mut &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(tag @ (b'D' | b'd')) = input.first().copied() else { return Ok(()) };
        if !self.link.view.is_empty() || !self.expects_rows() {
            return Ok(());
        }
        let (run, rows) = run_of(input, tag);
        if rows == 0 {
            return Ok(());
        }
        self.begin_answer(stage);
        self.deliver(run, core, stage)?;
        if tag == b'D' {
            self.answer.rows += rows;
        }
        Ok(())
    }

    fn expects_rows(&self) -> bool {
        matches!(self.due.front(), Some(Expect::Query(..) | Expect::Execute(..)))
            && !self.is_skipping()
    }

    /// The target reads nothing but a Sync, so there is nothing that it could answer.
    fn is_skipping(&self) -> bool {
        matches!(self.skipping, Skipping::Yes(_))
    }

    /// The command whose answer is coming in.
    fn current(&mut self) -> Option<Issued> {
        self.drop_leftovers();
        match self.due.front() {
            Some(
                Expect::Query(issued, ..)
                | Expect::Execute(issued, ..)
                | Expect::FunctionCall(issued),
            ) => Some(*issued),
            _ => None,
        }
    }

    fn begin_answer(&mut self, stage: &Stage<'_>) {
        if let Some(issued) = self.current() {
            self.answer.begin(issued, stage.now.mono_us);
        }
    }

    /// Hands bytes of an answer to the client, and keeps them.
    pub(super) fn deliver(
        &mut self,
        bytes: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let limit = self.link.capture_bytes;
        self.answer.take(bytes, limit, core, stage).map_err(record_fault)?;
        core.pass(Side::Client, "answer to a permitted command", bytes, stage);
        Ok(())
    }

    /// The start of a message that is streamed.
    pub(super) fn server_begin(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let masked = !self.link.view.is_empty();
        match tag {
            b'D' | b'd' | b'V' if !masked && !self.is_skipping() => {
                self.begin_answer(stage);
                if tag == b'D' {
                    self.answer.rows += 1;
                }
                self.deliver(frame, core, stage)
            }
            // A row too large to be masked, or a message too large to be understood.
            _ => Err(Fault::new(SERVER, FaultKind::Limit(crate::fault::Limit::MessageBytes))),
        }
    }

    /// A whole message of the target.
    pub(super) fn server_frame(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let body = Step::body(frame);
        match tag {
            b'N' | b'S' | b'A' => return self.asynchronous(tag, frame, core, stage),
            b'E' => return self.error(frame, core, stage),
            b'Z' => return self.ready_for_query(frame, core, stage),
            _ if self.is_skipping() => return Err(server_malformed(Malformed::MessageType)),
            _ => self.begin_answer(stage),
        }
        match tag {
            b'D' => self.row(frame, core, stage),
            b'T' => self.description(frame, core, stage),
            b'n' => self.no_data(frame, core, stage),
            b't' => {
                if let Some(Expect::DescribeStatement(Some(statement))) = self.due.front() {
                    let types = parameter_description(body);
                    let types = types.ok_or(server_malformed(Malformed::MessageBody))?;
                    *statement.types.borrow_mut() = types;
                }
                self.deliver(frame, core, stage)
            }
            b'1' | b'2' | b'3' => {
                let _drops_copy_ends = self.current();
                match (tag, self.due.pop_front()) {
                    (b'1', Some(Expect::ParseComplete(_)))
                    | (b'2', Some(Expect::BindComplete(_)))
                    | (b'3', Some(Expect::CloseStatement(_) | Expect::ClosePortal(_))) => {
                        core.pass(Side::Client, "completion", frame, stage);
                        Ok(())
                    }
                    (_, other) => Err(self.unexpected(other)),
                }
            }
            b'C' | b'I' | b's' => self.command_end(tag, frame, core, stage),
            b'G' => self.copy_in_begins(frame, core, stage),
            b'H' => self.copy_out_begins(frame, core, stage),
            b'W' => self.copy_both_begins(frame, core, stage),
            b'd' => self.copy_out_data(frame, core, stage),
            b'c' => self.copy_out_ends(frame, core, stage),
            b'V' => self.deliver(frame, core, stage),
            _ => Err(server_malformed(Malformed::MessageType)),
        }
    }

    fn row(&mut self, frame: &[u8], core: &mut Core, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.answer.rows += 1;
        if self.link.view.is_empty() {
            return self.deliver(frame, core, stage);
        }
        // A row whose plan is missing would be a row nobody decided about.
        let plan = match self.due.front() {
            Some(Expect::Execute(_, portal, _)) => portal.plan.borrow().clone(),
            _ => self.plan.clone(),
        };
        let plan = plan.ok_or(server_malformed(Malformed::MessageType))?;
        if plan.is_pass() {
            return self.deliver(frame, core, stage);
        }
        let body = Step::body(frame);
        self.edits.clear();
        let begun = self.answer.mask_time.begin(core);
        let masked = plan.row(body, &mut self.edits, &mut self.hits);
        self.answer.mask_time.end(begun, core);
        masked.map_err(|_| server_malformed(Malformed::MessageBody))?;
        if self.edits.is_empty() {
            return self.deliver(frame, core, stage);
        }
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        reply::message(&mut out, b'D', |out| self.edits.apply(body, out));
        let delivered = self.deliver(&out, core, stage);
        self.scratch = out;
        delivered
    }

    fn description(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let columns =
            || row_description(Step::body(frame)).ok_or(server_malformed(Malformed::MessageBody));
        let unmasked = self.link.view.is_empty();
        match self.due.front() {
            // Nobody here needs to know the columns.
            Some(due)
                if matches!(due, Expect::DescribeStatement(_))
                    || matches!(due, Expect::DescribePortal(_, Visible::Shown)) && unmasked =>
            {
                self.due.pop_front();
                core.pass(Side::Client, "description", frame, stage);
            }
            Some(Expect::DescribePortal(portal, visible)) => {
                let (portal, visible) = (Rc::clone(portal), *visible);
                let Some(plan) = self.plan_for(&columns()?, Some(&portal), core, stage) else {
                    return Ok(());
                };
                *portal.plan.borrow_mut() = plan;
                self.due.pop_front();
                if visible == Visible::Shown {
                    core.pass(Side::Client, "description", frame, stage);
                }
            }
            Some(Expect::Query(..)) => {
                let columns = columns()?;
                let Some(plan) = self.plan_for(&columns, None, core, stage) else {
                    return Ok(());
                };
                self.plan = plan;
                self.answer.describe(&columns);
                self.deliver(frame, core, stage)?;
            }
            _ => return Err(server_malformed(Malformed::MessageType)),
        }
        Ok(())
    }

    /// What to do with the rows that follow; `None` while the catalog is asked for. The inner
    /// `None` is a session without masks.
    fn plan_for(
        &mut self,
        columns: &[Column<'_>],
        portal: Option<&Portal<Plan>>,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Option<Option<Rc<Plan>>> {
        if self.link.view.is_empty() {
            return Some(None);
        }
        let format = |index: usize, column: &Column<'_>| match portal {
            // The target describes a portal with the formats it uses; a statement's description
            // says 0 always. A portal bound by a streamed Bind has only the target's word.
            Some(portal) if !portal.result_formats.is_empty() => portal.result_format(index),
            _ => column.format,
        };
        let fields: Vec<Field<'_>> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| Field {
                name: column.name,
                table_oid: column.table_oid,
                attnum: column.attnum,
                type_oid: column.type_oid,
                format: format(index, column),
            })
            .collect();
        let classified = match (portal, self.due.front()) {
            (Some(portal), _) => portal.statement.as_ref().map(|s| Rc::clone(&s.classified)),
            (None, Some(Expect::Query(_, _, classified))) => Some(Rc::clone(classified)),
            _ => None,
        };
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        let statements = classified.as_ref().map(|c| c.statements.as_slice());
        let mut planned = self.link.view.plan(catalog, &fields, statements);
        if let Planned::NeedCatalog = planned {
            if !std::mem::replace(&mut self.catalog_asked, true) {
                self.await_catalog(core, stage);
                return None;
            }
            let plan = self.link.view.plan_closed(catalog, &fields, statements);
            planned = Planned::Ready(plan);
        }
        self.catalog_asked = false;
        let text = |name| String::from_utf8_lossy(name).into_owned();
        self.columns = columns.iter().map(|column| text(column.name)).collect();
        match planned {
            Planned::Ready(plan) => Some(Some(Rc::new(plan))),
            // Nothing is known of the target at all: hide by refusing every row.
            Planned::NeedCatalog => Some(None),
        }
    }

    fn no_data(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        match self.due.pop_front() {
            Some(Expect::DescribePortal(_, Visible::Hidden)) => Ok(()),
            Some(Expect::DescribePortal(..) | Expect::DescribeStatement(_)) => {
                core.pass(Side::Client, "no data", frame, stage);
                Ok(())
            }
            other => Err(self.unexpected(other)),
        }
    }

    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    fn command_end(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if tag == b'C' {
            let text = Step::body(frame).strip_suffix(&[0]).unwrap_or_default();
            self.answer.complete(text);
        }
        self.copy_out = None;
        let copied = self.copy_in_succeeded();
        match self.due.front() {
            Some(Expect::Query(..)) => {
                self.deliver(frame, core, stage)?;
                self.after_copy(copied, core, stage)
            }
            Some(Expect::Execute(..)) => {
                let limit = self.link.capture_bytes;
                self.answer.take(frame, limit, core, stage).map_err(record_fault)?;
                let outcome = if tag == b's' { Outcome::Suspended } else { Outcome::Success };
                let receipt = self.finish(outcome, core, stage)?;
                if let Some(Expect::Execute(_, portal, _)) = self.due.pop_front()
                    && let Some(statement) = &portal.statement
                    && statement.classified.statements.iter().any(|s| s.effect == Effect::Catalog)
                    && self.link.view.masks_columns()
                {
                    core.output(Output::Refresh(Refresh::Catalog(self.link.target)));
                }
                let permit = Permit::housekeeping("end of a recorded answer");
                core.send(Side::Client, permit, receipt, frame);
                self.after_copy(copied, core, stage)
            }
            _ => Err(server_malformed(Malformed::MessageType)),
        }
    }

    /// Writes the response row and the masking hits of the current answer.
    fn finish(
        &mut self,
        outcome: Outcome,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<Receipt, Fault> {
        if let Some(seq) = self.answer.seq() {
            self.record_hits(seq, core, stage)?;
        }
        let finished = self.answer.finish(outcome, core, stage).map_err(record_fault)?;
        Ok(finished.unwrap_or_else(|| core.covered(stage)))
    }

    /// Writes what was masked since the last call, mostly nothing.
    pub(super) fn record_hits(
        &mut self,
        seq: u64,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if self.hits.is_empty() && self.text_hits.is_empty() {
            return Ok(());
        }
        let rows = self.hits.drain().map(|hit| (self.columns.get(usize::from(hit.column)), hit));
        let texts = self.text_hits.drain().map(|hit| (None, hit));
        for (column, hit) in rows.chain(texts) {
            core.totals.masked += hit.count;
            let entry = MaskingHit {
                command_seq: seq,
                column: column.map_or("message", String::as_str),
                detector: hit.cause.name(),
                operator: hit.operator.name(),
                hits: hit.count,
                path: "",
            };
            core.record(&Entry::MaskingHit(entry), stage).map_err(record_fault)?;
        }
        Ok(())
    }

    fn copy_out_begins(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let masker = match self.due.front_mut() {
            Some(Expect::Query(_, maskers, _)) => maskers.pop_front(),
            Some(Expect::Execute(_, _, masker)) => masker.take(),
            _ => return Err(server_malformed(Malformed::MessageType)),
        };
        let Some(masker) = masker.or(self.link.view.is_empty().then_some(None)) else {
            // A COPY that the classifier did not see: nothing is known of its columns.
            return Err(server_malformed(Malformed::MessageType));
        };
        self.columns.clear();
        self.answer.copies_out();
        self.copy_out = Some(masker);
        self.deliver(frame, core, stage)
    }

    /// A stream of changes: both sides send until both have said that they are done.
    fn copy_both_begins(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let asked = matches!(self.due.front(), Some(Expect::Query(..)));
        if self.replication.is_none() || !asked || !self.link.view.is_empty() {
            return Err(server_malformed(Malformed::MessageType));
        }
        self.copy_in = true;
        self.copy_out = Some(None);
        self.deliver(frame, core, stage)
    }

    fn copy_out_data(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(Some(masker)) = &mut self.copy_out else {
            return if self.link.view.is_empty() {
                self.deliver(frame, core, stage)
            } else {
                Err(server_malformed(Malformed::MessageType))
            };
        };
        let mut out = Vec::new();
        let begun = self.answer.mask_time.begin(core);
        let fed = masker.feed(Step::body(frame), &mut out, &mut self.hits);
        self.answer.mask_time.end(begun, core);
        fed.map_err(|_| server_malformed(Malformed::MessageBody))?;
        self.deliver_copy(&out, core, stage)
    }

    fn copy_out_ends(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Some(Some(mut masker)) = self.copy_out.take() {
            let mut out = Vec::new();
            let fed = masker.finish(&mut out, &mut self.hits);
            fed.map_err(|_| server_malformed(Malformed::MessageBody))?;
            self.deliver_copy(&out, core, stage)?;
        }
        self.deliver(frame, core, stage)
    }

    fn deliver_copy(
        &mut self,
        data: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        let mut message = Vec::with_capacity(data.len() + HEAD_BYTES);
        reply::message(&mut message, b'd', |out| out.extend_from_slice(data));
        self.deliver(&message, core, stage)
    }

    fn error(&mut self, frame: &[u8], core: &mut Core, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.begin_answer(stage);
        self.copy_out = None;
        let copied = self.copy_in_failed();
        let severity = error_fields(Step::body(frame)).find(|(code, _)| *code == b'V');
        self.server_fatal |= severity.is_some_and(|(_, s)| s == b"FATAL" || s == b"PANIC");
        let masked;
        let frame = if self.link.view.is_empty() {
            frame
        } else {
            masked = self.masked_report(b'E', Step::body(frame));
            masked.as_slice()
        };
        match self.due.front() {
            Some(Expect::Refused { .. }) => {
                if let Some(Expect::Refused { error, .. }) = self.due.pop_front() {
                    core.say(|out| out.extend_from_slice(&error));
                }
                // The stand-in of a refused Query is followed by its own ReadyForQuery.
                if !matches!(self.due.front(), Some(Expect::Ready(_))) {
                    self.skipping = Skipping::Yes(None);
                    self.skip_pipeline(core, stage)?;
                }
                Ok(())
            }
            Some(Expect::Query(_, _, classified)) => {
                // What was prepared before the error is prepared, what came behind it is not.
                let classified = Rc::clone(classified);
                self.forget_prepared(&classified);
                self.note_error(frame);
                self.deliver(frame, core, stage)
            }
            Some(Expect::FunctionCall(_)) => {
                self.note_error(frame);
                self.deliver(frame, core, stage)
            }
            Some(Expect::Sync(_) | Expect::Ready(_)) | None => {
                core.pass(Side::Client, "error outside a command", frame, stage);
                Ok(())
            }
            Some(Expect::Execute(..)) => {
                self.note_error(frame);
                let limit = self.link.capture_bytes;
                self.answer.take(frame, limit, core, stage).map_err(record_fault)?;
                let receipt = self.finish(Outcome::Error, core, stage)?;
                self.due.pop_front();
                let permit = Permit::housekeeping("end of a recorded answer");
                core.send(Side::Client, permit, receipt, frame);
                self.skipping = Skipping::Yes(None);
                self.skip_pipeline(core, stage)?;
                self.after_copy(copied, core, stage)
            }
            Some(_) => {
                core.pass(Side::Client, "error", frame, stage);
                let text = |code| String::from_utf8_lossy(error_field(frame, code)).into_owned();
                self.skipping = Skipping::Yes(Some((text(b'C'), text(b'M'))));
                self.skip_pipeline(core, stage)
            }
        }
    }

    /// Names a failed text may or may not have prepared: nothing is believed of them.
    fn forget_prepared(&mut self, classified: &Classified) {
        let epoch = self.oldest_epoch();
        for statement in &classified.statements {
            if let Effect::Prepare(name) = &statement.effect {
                let _for_good = self.names.statements.remove(name.as_bytes(), epoch);
            }
        }
    }

    fn note_error(&mut self, frame: &[u8]) {
        self.answer.failed(error_field(frame, b'C'), error_field(frame, b'M'));
    }

    /// The target skips everything up to the next Sync: so do the expectations.
    pub(super) fn skip_pipeline(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let (mut statements, mut portals) = (Vec::new(), Vec::new());
        let mut leftovers = Vec::new();
        // What the client sends before its Sync is skipped too; it is here when that is answered.
        while let Some(due) = self.due.pop_front() {
            match due {
                Expect::Sync(epoch) => {
                    self.due.push_front(Expect::Sync(epoch));
                    self.skipping = Skipping::No;
                    break;
                }
                Expect::ParseComplete(undo) => statements.extend(undo),
                Expect::CloseStatement(undo) => statements.extend(undo),
                Expect::BindComplete(undo) => portals.extend(undo),
                Expect::ClosePortal(undo) => portals.extend(undo),
                Expect::Query(issued, ..)
                | Expect::Execute(issued, ..)
                | Expect::FunctionCall(issued) => {
                    let cause = match &mut self.skipping {
                        Skipping::Yes(cause) => cause.take(),
                        Skipping::No => None,
                    };
                    let (outcome, (code, text)) = match &cause {
                        Some((code, text)) => (Outcome::Error, (code.as_str(), text.as_str())),
                        None => (Outcome::Skipped, ("", "")),
                    };
                    if self.answer.seq() == Some(issued.seq) {
                        self.finish(outcome, core, stage)?;
                    } else {
                        unanswered(issued.seq, outcome, (code, text), core, stage)
                            .map_err(record_fault)?;
                    }
                }
                Expect::Refused { .. }
                | Expect::DescribeStatement(_)
                | Expect::DescribePortal(..)
                | Expect::Ready(_) => {}
                Expect::CopySync(_) | Expect::CopyEnd { .. } => leftovers.push(due),
            }
        }
        for due in leftovers.into_iter().rev() {
            self.due.push_front(due);
        }
        self.names.statements.undo(statements);
        self.names.portals.undo(portals);
        Ok(())
    }

    fn ready_for_query(
        &mut self,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let [status] = *Step::body(frame) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        self.transaction = status;
        if let Skipping::Yes(_) = self.skipping {
            self.skip_pipeline(core, stage)?;
        }
        let (receipt, epoch) = self.end_of_pipeline(core, stage)?;
        self.names.statements.settle(epoch);
        self.names.portals.settle(epoch);
        if status == b'I' {
            self.names.portals.end(epoch);
        }
        let permit = Permit::housekeeping("ReadyForQuery");
        core.send(Side::Client, permit, receipt, frame);
        self.plan = None;
        if self.due.is_empty() && self.due.capacity() > limits::PENDING_REPLIES_KEPT {
            self.due.shrink_to(0);
        }
        if matches!(self.flow, Flow::Settling(_)) {
            // If its name is still in doubt, it waits again.
            self.after_settling(core, stage)?;
        }
        if self.leaving && self.due.is_empty() {
            return Err(Fault::new(Side::Client, FaultKind::Terminate));
        }
        if self.draining && self.is_idle() {
            return Err(Fault::new(Side::Client, FaultKind::Drain));
        }
        Ok(())
    }

    /// Pops what this ReadyForQuery answers.
    fn end_of_pipeline(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(Receipt, Epoch), Fault> {
        if let Some(epoch) = self.answered_copy_sync() {
            return Ok((core.covered(stage), epoch));
        }
        while let Some(due) = self.due.pop_front() {
            match due {
                Expect::Query(issued, _, classified) => {
                    self.answer.begin(issued, stage.now.mono_us);
                    let changed = |s: &Statement| s.effect == Effect::Catalog;
                    if classified.statements.iter().any(changed) && self.link.view.masks_columns() {
                        core.output(Output::Refresh(Refresh::Catalog(self.link.target)));
                    }
                    let receipt = self.finish(Outcome::Success, core, stage)?;
                    return Ok((receipt, self.settled_by_query(&classified)));
                }
                Expect::FunctionCall(issued) => {
                    self.answer.begin(issued, stage.now.mono_us);
                    let receipt = self.finish(Outcome::Success, core, stage)?;
                    return Ok((receipt, self.oldest_epoch()));
                }
                Expect::Sync(epoch) | Expect::Ready(epoch) => {
                    return Ok((core.covered(stage), epoch));
                }
                Expect::CopySync(_) | Expect::CopyEnd { .. } => {}
                // The target answered less than it owes; nobody could say to which.
                other => return Err(self.unexpected(Some(other))),
            }
        }
        // Nobody asked; the client sees what it would see directly.
        Ok((core.covered(stage), self.oldest_epoch()))
    }

    /// An answer that is none to what is owed, which stays owed: its record says how it ended.
    fn unexpected(&mut self, owed: Option<Due>) -> Fault {
        if let Some(owed) = owed {
            self.due.push_front(owed);
        }
        server_malformed(Malformed::MessageType)
    }

    /// The pipeline before the oldest one that is not answered.
    pub(super) fn oldest_epoch(&self) -> Epoch {
        let unanswered = self
            .due
            .iter()
            .filter(|due| {
                matches!(
                    due,
                    Expect::Sync(_)
                        | Expect::Ready(_)
                        | Expect::Query(..)
                        | Expect::FunctionCall(_)
                )
            })
            .count() as Epoch;
        self.epoch.saturating_sub(unanswered + 1)
    }

    fn settled_by_query(&mut self, classified: &Classified) -> Epoch {
        let epoch = self.oldest_epoch();
        for statement in &classified.statements {
            match &statement.effect {
                Effect::Deallocate(Some(name)) => {
                    let _settled_now = self.names.statements.remove(name.as_bytes(), epoch);
                }
                Effect::Deallocate(None) => self.names.statements.end(epoch),
                _ => {}
            }
        }
        epoch
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.leftovers() == self.due.len()
            && self.transaction == b'I'
            && matches!(self.flow, Flow::Normal)
            && self.client_framer.is_between_messages()
    }

    /// The session ends with commands unanswered.
    pub(super) fn abort_answers(
        &mut self,
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        if self.answer.seq().is_some() {
            let seq = self.answer.seq();
            self.answer.finish(Outcome::Aborted, core, stage)?;
            self.due.retain(|due| issued(due) != seq);
        }
        for seq in self.due.iter().filter_map(issued).collect::<Vec<_>>() {
            unanswered(seq, Outcome::Aborted, ("", ""), core, stage)?;
        }
        self.due.clear();
        Ok(())
    }
}

fn issued(due: &Due) -> Option<u64> {
    match due {
        Expect::Query(issued, ..) | Expect::Execute(issued, ..) | Expect::FunctionCall(issued) => {
            Some(issued.seq)
        }
        _ => None,
    }
}

const _: () = assert!(limits::MASKED_ROW_BYTES_MAX <= u32::MAX - 1024);

/// A field of an ErrorResponse; empty when it is not there.
fn error_field(frame: &[u8], wanted: u8) -> &[u8] {
    let mut fields = error_fields(Step::body(frame));
    fields.find(|(code, _)| *code == wanted).map_or(&b""[..], |(_, text)| text)
}
