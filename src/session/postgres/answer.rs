//! The target's direction: replies to their commands, masks, and the record of the outcome.
//!
//! In: frames of the target. Out: the same frames, masked, and response rows.
//! Never: the end of an answer before its row is in the journal; a row without a plan.

use std::rc::Rc;

use crate::decide::sql::Plumbing;
use crate::decide::{Classified, Consequence, Permit, Statement};
use crate::fault::{Fault, FaultKind, Malformed, Refused};
use crate::limits;
use crate::mask::Plan;
use crate::mask::hits::Cause;
use crate::mask::sql::plan::{Field, Planned};
use crate::record::Receipt;
use crate::record::entry::{Entry, MaskingHit, Outcome};
use crate::session::postgres::state::{Issued, Portal, Visible};
use crate::wire::Side;
use crate::wire::postgres::frame::{HEAD_BYTES, Step, run_of};
use crate::wire::postgres::message::{
    Column, error_fields, parameter_description, row_description,
};
use crate::wire::postgres::reply::{self, Report};

use super::beliefs::{About, Answer, Described, FailedMessage, Meaning, Owed};
use super::ready::{Flow, Ready, server_malformed};
use crate::session::capture::unanswered;
use crate::session::postgres::core::Office;
use crate::session::{Output, Refresh, Stage};

const SERVER: Side = Side::Server;

/// Definitions that bring neither functions nor what calls them. Temporary tables come often.
const BRINGS_NO_CODE: [&str; 6] =
    ["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "DROP TABLE", "CREATE INDEX", "DROP INDEX"];

fn record_fault(refused: Refused) -> Fault {
    Fault::new(SERVER, FaultKind::Record(refused))
}

impl Ready {
    /// Takes whole rows that pass as they are off the front of `input`, many at a time: those of a
    /// query, or of a COPY, where the target says how many there were.
    pub(super) fn rows(
        &mut self,
        input: &mut &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(tag @ (b'D' | b'd')) = input.first().copied() else { return Ok(()) };
        if !self.link.view.is_empty() || !self.beliefs.expects_rows() {
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

    pub(super) fn begin_answer(&mut self, stage: &Stage<'_>) {
        if let Some(issued) = self.beliefs.current() {
            self.answer.begin(issued, stage.now.mono_us);
        }
    }

    /// Hands bytes of an answer to the client, and keeps them.
    pub(super) fn deliver(
        &mut self,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let limit = self.link.capture_bytes;
        self.answer.take(bytes, limit, core, stage).map_err(record_fault)?;
        core.pass(Side::Client, Plumbing::Answer, bytes, stage);
        Ok(())
    }

    /// The start of a message that is streamed.
    pub(super) fn server_begin(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let masked = !self.link.view.is_empty();
        match tag {
            b'D' | b'd' | b'V' if !masked || (tag != b'V' && self.passes(tag)) => {
                self.beliefs.heard(match tag {
                    b'D' => Answer::Row,
                    b'd' => Answer::CopyOut,
                    _ => Answer::Result,
                })?;
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

    /// Whether rows or data of the answer that is under way pass as they are: nothing in it is
    /// masked, and nobody looks into it.
    fn passes(&self, tag: u8) -> bool {
        match tag {
            b'D' => self.row_plan().is_some_and(|plan| plan.is_pass()),
            _ => matches!(self.copy_out, Some(None)),
        }
    }

    /// The plan of the rows that come now: of one instance of a portal, or of the rows of one
    /// statement of a text.
    fn row_plan(&self) -> Option<Rc<Plan>> {
        match self.beliefs.running_portal() {
            Some(portal) => portal.plan.borrow().clone(),
            None => self.plan.clone(),
        }
    }

    /// A whole message of the target.
    pub(super) fn server_frame(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let body = Step::body(frame);
        match tag {
            b'N' | b'S' | b'A' => return self.asynchronous(tag, frame, core, stage),
            b'E' => return self.error(frame, core, stage),
            b'Z' => return self.ready_for_query(frame, core, stage),
            _ if self.beliefs.is_skipping() => {
                return Err(server_malformed(Malformed::MessageType));
            }
            _ => self.begin_answer(stage),
        }
        match tag {
            b'D' => self.row(frame, core, stage),
            b'T' => self.description(frame, core, stage),
            b'n' => self.no_data(frame, core, stage),
            b't' => {
                let meaning = self.beliefs.heard(Answer::Parameters)?;
                if let Meaning::Types(Some(statement)) = meaning {
                    let types = parameter_description(body);
                    let types = types.ok_or(server_malformed(Malformed::MessageBody))?;
                    *statement.types.borrow_mut() = types;
                }
                self.deliver(frame, core, stage)
            }
            b'1' | b'2' | b'3' => {
                self.beliefs.heard(match tag {
                    b'1' => Answer::Parsed,
                    b'2' => Answer::Bound,
                    _ => Answer::Closed,
                })?;
                core.pass(Side::Client, Plumbing::Answer, frame, stage);
                Ok(())
            }
            b'C' | b'I' | b's' => self.command_end(tag, frame, core, stage),
            b'G' => {
                self.beliefs.heard(Answer::CopyIn)?;
                self.deliver(frame, core, stage)?;
                self.unless_stuck()
            }
            b'H' => self.copy_out_begins(frame, core, stage),
            b'W' => self.copy_both_begins(frame, core, stage),
            b'd' => self.copy_out_data(frame, core, stage),
            b'c' => self.copy_out_ends(frame, core, stage),
            b'V' => {
                self.beliefs.heard(Answer::Result)?;
                self.deliver(frame, core, stage)
            }
            _ => Err(server_malformed(Malformed::MessageType)),
        }
    }

    fn row(&mut self, frame: &[u8], core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        self.beliefs.heard(Answer::Row)?;
        self.answer.rows += 1;
        if self.link.view.is_empty() {
            return self.deliver(frame, core, stage);
        }
        // A row whose plan is missing would be a row nobody decided about.
        let plan = self.row_plan().ok_or(server_malformed(Malformed::MessageType))?;
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let columns =
            || row_description(Step::body(frame)).ok_or(server_malformed(Malformed::MessageBody));
        let unmasked = self.link.view.is_empty();
        match self.beliefs.described()? {
            // Nobody here needs to know the columns.
            Described::Statement => {
                self.beliefs.heard(Answer::Description)?;
                core.pass(Side::Client, Plumbing::Answer, frame, stage);
            }
            Described::Portal(_, Visible::Shown) if unmasked => {
                self.beliefs.heard(Answer::Description)?;
                core.pass(Side::Client, Plumbing::Answer, frame, stage);
            }
            Described::Portal(portal, visible) => {
                let says = portal.statement.as_ref().map(|it| Rc::clone(&it.classified));
                let about = (Some(&*portal), says);
                let Some(plan) = self.plan_for(&columns()?, about, core, stage) else {
                    return Ok(());
                };
                *portal.plan.borrow_mut() = plan;
                self.beliefs.heard(Answer::Description)?;
                if visible == Visible::Shown {
                    core.pass(Side::Client, Plumbing::Answer, frame, stage);
                }
            }
            Described::Query(classified) => {
                let columns = columns()?;
                let about = (None, Some(classified));
                let Some(plan) = self.plan_for(&columns, about, core, stage) else {
                    return Ok(());
                };
                self.beliefs.heard(Answer::Description)?;
                self.plan = plan;
                self.answer.describe(&columns);
                self.deliver(frame, core, stage)?;
            }
        }
        Ok(())
    }

    /// What to do with the rows that follow; `None` while the catalog is asked for. The inner
    /// `None` is a session without masks.
    fn plan_for(
        &mut self,
        columns: &[Column<'_>],
        (portal, classified): (Option<&Portal<Plan>>, Option<Rc<Classified>>),
        core: &mut Office,
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
        let shown = self.catalog_shown(stage);
        let catalog = shown.as_deref();
        let statements = classified.as_ref().map(|c| c.statements.as_slice());
        // A definition of somebody else has ended since the catalog was read.
        let stale = self.link.view.masks_columns() && stage.snapshot.is_stale(self.link.target);
        let mut planned = match stale && !self.catalog_asked {
            true => Planned::NeedCatalog,
            false => self.link.view.plan(catalog, &fields, statements),
        };
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
            Planned::Ready(plan) => {
                if let Some(notice) = hidden_notice(&self.columns, &plan) {
                    self.say_when_possible(notice, core);
                }
                Some(Some(Rc::new(plan)))
            }
            // Nothing is known of the target at all: hide by refusing every row.
            Planned::NeedCatalog => Some(None),
        }
    }

    fn no_data(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Meaning::Answered(Visible::Shown) = self.beliefs.heard(Answer::NoData)? {
            core.pass(Side::Client, Plumbing::Answer, frame, stage);
        }
        Ok(())
    }

    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    fn command_end(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let text = Step::body(frame).strip_suffix(&[0]).unwrap_or_default();
        if tag == b'C' {
            self.answer.complete(text);
        }
        self.copy_out = None;
        let answer = match tag {
            b'C' => Answer::Complete(text),
            b'I' => Answer::Empty,
            _ => Answer::Suspended,
        };
        match self.beliefs.heard(answer)? {
            Meaning::Executed { portal, copied } => {
                let limit = self.link.capture_bytes;
                self.answer.take(frame, limit, core, stage).map_err(record_fault)?;
                let outcome = if tag == b's' { Outcome::Suspended } else { Outcome::Success };
                self.pipelined = self.answer.seq();
                let receipt = self.finish(outcome, core, stage)?;
                if let Some(statement) = &portal.statement {
                    self.note_shapes(&statement.classified);
                    self.refresh_catalog(&statement.classified, core);
                }
                let permit = Permit::plumbing(Plumbing::Answer);
                core.send(Side::Client, permit, receipt, frame);
                self.after_copy(copied, core, stage)
            }
            Meaning::Statement { copied } => {
                // Rows of the next statement are described anew.
                self.plan = None;
                self.deliver(frame, core, stage)?;
                self.after_copy(copied, core, stage)
            }
            _ => Err(server_malformed(Malformed::MessageType)),
        }
    }

    /// Asks for a new catalog if a statement may have changed what it says.
    fn refresh_catalog(&self, classified: &Classified, core: &mut Office) {
        let masks = self.link.view.masks_columns() || self.link.scope.minds_objects();
        let changed = |it: &Statement| {
            it.effect == Consequence::Catalog
                && (masks || !BRINGS_NO_CODE.contains(&&*it.operation))
        };
        if classified.statements.iter().any(changed) {
            core.output(Output::Refresh(Refresh::Catalog(self.link.target)));
        }
    }

    /// Goes on with a command that waited for the end of a COPY, if this was one.
    fn after_copy(
        &mut self,
        copied: bool,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if copied && matches!(self.flow, Flow::Settling(_)) {
            self.after_settling(core, stage)?;
        }
        Ok(())
    }

    /// Writes the response row and the masking hits of the current answer.
    fn finish(
        &mut self,
        outcome: Outcome,
        core: &mut Office,
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if self.hits.is_empty() && self.text_hits.is_empty() {
            return Ok(());
        }
        let nulls = self.hits.take_nulls();
        if !nulls.is_empty() {
            self.say_when_possible(nulls_notice(&self.columns, &nulls), core);
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.beliefs.heard(Answer::CopyOut)?;
        let masker = self.beliefs.take_masker();
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.beliefs.heard(Answer::CopyOut)?;
        let asked = self.beliefs.running_portal().is_none();
        if self.replication.is_none() || !asked || !self.link.view.is_empty() {
            return Err(server_malformed(Malformed::MessageType));
        }
        self.beliefs.copy_both_begins();
        self.copy_out = Some(None);
        self.deliver(frame, core, stage)
    }

    fn copy_out_data(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let masker = match &mut self.copy_out {
            Some(Some(masker)) => masker,
            // It was planned, and nothing in it is masked.
            Some(None) => return self.deliver(frame, core, stage),
            None if self.link.view.is_empty() => return self.deliver(frame, core, stage),
            None => return Err(server_malformed(Malformed::MessageType)),
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
        core: &mut Office,
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
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        let mut message = Vec::with_capacity(data.len() + HEAD_BYTES);
        reply::message(&mut message, b'd', |out| out.extend_from_slice(data));
        self.deliver(&message, core, stage)
    }

    fn error(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.begin_answer(stage);
        self.copy_out = None;
        let severity = error_fields(Step::body(frame)).find(|(code, _)| *code == b'V');
        self.server_fatal |= severity.is_some_and(|(_, s)| s == b"FATAL" || s == b"PANIC");
        let masked;
        let frame = if self.link.view.is_empty() {
            frame
        } else {
            masked = self.masked_report(b'E', Step::body(frame), stage);
            masked.as_slice()
        };
        let recorded = self.recorded_report(frame, stage);
        let failed = match self.beliefs.heard(Answer::Error(error_field(frame, b'C')))? {
            Meaning::Failed(failed) => failed,
            _ => return Err(server_malformed(Malformed::MessageType)),
        };
        match failed.what {
            FailedMessage::Refused(error) => core.say(|out| out.extend_from_slice(&error)),
            FailedMessage::Simple => {
                // The target sends it at once, and ReadyForQuery when it has cleaned up (elog.c,
                // `send_message_to_frontend`): its row does not wait for that.
                self.send_failed(frame, &recorded, core, stage)?;
            }
            FailedMessage::Sync => self.sync_failed(frame, &recorded, core, stage)?,
            FailedMessage::Nothing => {
                self.record_late(&recorded, core, stage)?;
                core.pass(Side::Client, Plumbing::Asynchronous, frame, stage);
            }
            FailedMessage::Execute => {
                self.send_failed(frame, &recorded, core, stage)?;
                self.skip_cause = None;
                self.record_skipped(failed.skipped, core, stage)?;
                return self.after_copy(failed.copied, core, stage);
            }
            FailedMessage::Other => {
                core.pass(Side::Client, Plumbing::Answer, frame, stage);
                let text =
                    |code| String::from_utf8_lossy(error_field(&recorded, code)).into_owned();
                self.skip_cause = Some((text(b'C'), text(b'M')));
            }
        }
        self.record_skipped(failed.skipped, core, stage)
    }

    /// The end of an answer, once its row is written.
    pub(super) fn send_failed(
        &mut self,
        frame: &[u8],
        recorded: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let limit = self.link.capture_bytes;
        self.answer.failed(error_field(recorded, b'C'), error_field(recorded, b'M'));
        self.answer.take(recorded, limit, core, stage).map_err(record_fault)?;
        let receipt = self.finish(Outcome::Error, core, stage)?;
        core.send(Side::Client, Permit::plumbing(Plumbing::Answer), receipt, frame);
        Ok(())
    }

    /// What was handed on of an answer that goes on is in the journal before it leaves.
    pub(super) fn flush_answer(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        self.answer.flush(core, stage).map_err(record_fault)
    }

    /// Writes down that the target skips these commands, the first of them for what failed.
    pub(super) fn record_skipped(
        &mut self,
        skipped: Vec<Issued>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        for issued in skipped {
            let cause = self.skip_cause.take();
            let (outcome, (code, text)) = match &cause {
                Some((code, text)) => (Outcome::Error, (code.as_str(), text.as_str())),
                None => (Outcome::Skipped, ("", "")),
            };
            if self.answer.seq() == Some(issued.seq) {
                self.finish(outcome, core, stage)?;
            } else {
                unanswered(issued.seq, outcome, (code, text), core, stage).map_err(record_fault)?;
            }
        }
        if self.beliefs.is_skipping() && matches!(self.flow, Flow::Settling(_)) {
            // What waits is skipped too, and so is the answer it waits for.
            self.after_settling(core, stage)?;
        }
        if self.beliefs.is_skipping() && matches!(self.flow, Flow::Held(_)) {
            self.skip_hold(core, stage)?;
        }
        Ok(())
    }

    fn ready_for_query(
        &mut self,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let [status] = *Step::body(frame) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        if self.waits_for_shapes(status, core, stage) {
            return Ok(());
        }
        let Meaning::Ready { of, skipped } = self.beliefs.heard(Answer::Ready(status))? else {
            return Err(server_malformed(Malformed::MessageType));
        };
        self.record_skipped(skipped, core, stage)?;
        (self.skip_cause, self.pipelined) = (None, None);
        self.forget_widened(status);
        let receipt = match of {
            Owed::Query(issued, classified) => {
                self.answer.begin(issued, stage.now.mono_us);
                self.refresh_catalog(&classified, core);
                self.finish(Outcome::Success, core, stage)?
            }
            Owed::Function(issued) => {
                self.answer.begin(issued, stage.now.mono_us);
                self.finish(Outcome::Success, core, stage)?
            }
            Owed::Sync => core.covered(stage),
        };
        let permit = Permit::plumbing(Plumbing::Answer);
        core.send(Side::Client, permit, receipt, frame);
        self.plan = None;
        if matches!(self.flow, Flow::Settling(_)) {
            // If its name is still in doubt, it waits again.
            self.after_settling(core, stage)?;
        }
        if self.leaving && self.beliefs.owes_nothing() {
            return Err(Fault::new(Side::Client, FaultKind::Terminate));
        }
        if self.draining && self.is_idle() {
            return Err(Fault::new(Side::Client, FaultKind::Drain));
        }
        Ok(())
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.beliefs.is_idle()
            && matches!(self.flow, Flow::Normal)
            && self.client_framer.is_between_messages()
    }

    /// The session ends with commands unanswered.
    pub(super) fn abort_answers(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Refused> {
        // What is under way may be done all the same.
        if let About::Run(classified) = self.beliefs.about() {
            self.note_shapes(&classified);
        }
        if std::mem::take(&mut self.shapes_changed) {
            self.note_change(stage);
        }
        let mut answered = None;
        if self.answer.seq().is_some() {
            let seq = self.answer.seq();
            self.answer.finish(Outcome::Aborted, core, stage)?;
            answered = seq;
        }
        for seq in self.beliefs.abandon() {
            if answered != Some(seq) && !self.answer.is_finished(seq) {
                unanswered(seq, Outcome::Aborted, ("", ""), core, stage)?;
            }
        }
        Ok(())
    }
}

const _: () = assert!(limits::MASKED_ROW_BYTES_MAX <= u32::MAX - 1024);

/// A field of an ErrorResponse; empty when it is not there.
fn error_field(frame: &[u8], wanted: u8) -> &[u8] {
    let mut fields = error_fields(Step::body(frame));
    fields.find(|(code, _)| *code == wanted).map_or(&b""[..], |(_, text)| text)
}

/// What is NULL in an answer though the target may have said something else, and why.
fn hidden_notice(names: &[String], plan: &Plan) -> Option<Vec<u8>> {
    let hidden: Vec<usize> = plan.unproven().collect();
    if hidden.is_empty() {
        return None;
    }
    let named = hidden.iter().take(NAMES_MAX).filter_map(|&index| names.get(index));
    let mut named = named.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if hidden.len() > NAMES_MAX {
        named.push_str(", ..");
    }
    let mut bytes = Vec::new();
    let report = Report {
        severity: "NOTICE",
        sqlstate: "00000",
        message: &format!("weir shows NULL in {} of the columns: {named}", hidden.len()),
        detail: "They are computed by a statement that reads a masked column, or of which it is \
            not known what it reads.",
        hint: "Leave the masked columns out of the statement.",
    };
    reply::notice(&mut bytes, &report);
    Some(bytes)
}

/// What is NULL because a detector found something: the rows do not tell it from what is NULL.
fn nulls_notice(names: &[String], nulls: &[(u16, Cause)]) -> Vec<u8> {
    let named = nulls.iter().take(NAMES_MAX).map(|&(column, cause)| {
        let name = names.get(usize::from(column)).map_or("?", String::as_str);
        format!("\"{name}\" ({})", cause.name())
    });
    let mut named = named.collect::<Vec<_>>().join(", ");
    if nulls.len() > NAMES_MAX {
        named.push_str(", ..");
    }
    let mut bytes = Vec::new();
    let report = Report {
        severity: "NOTICE",
        sqlstate: "00000",
        message: &format!("weir shows NULL for some values of {} columns: {named}", nulls.len()),
        detail: "A detector found in them what it looks for, or cannot tell their parts apart \
            (unproven). Of numbers it may be wrong: one in \
            forty of those with 16 digits, one in ten of those that begin with 4, looks like a \
            card's.",
        hint: "IS NULL tells them from values that are NULL.",
    };
    reply::notice(&mut bytes, &report);
    bytes
}

/// Columns that a notice names.
const NAMES_MAX: usize = 8;
