//! Messages that can carry a value outside of rows: errors, notices, reported settings,
//! notifications.
//!
//! In: such a message. Out: the same with its texts masked. Never: a field it does not know
//! dropped from a message that needs no mask.

use std::borrow::Cow;

use crate::decide::approval::Standings;
use crate::decide::sql::Plumbing;
use crate::decide::{Classified, Consequence, Fact, FactKind, Statement};
use crate::fault::{Fault, Malformed};
use crate::record::entry::Event;
use crate::wire::Side;
use crate::wire::postgres::frame::Step;
use crate::wire::postgres::message::error_fields;
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::beliefs::{About, Answer};
use super::changed;
use super::hold::record_fault;
use super::ready::{Ready, server_malformed};
use crate::session::Stage;
use crate::session::postgres::core::Office;

/// Settings whose reported values are words of a fixed list, or of the server's configuration, so
/// that they cannot carry a value of a table (postgresql.org/docs/current/protocol-flow.html).
const CLOSED_PARAMETERS: [&[u8]; 10] = [
    b"client_encoding",
    b"DateStyle",
    b"default_transaction_read_only",
    b"in_hot_standby",
    b"integer_datetimes",
    b"IntervalStyle",
    b"is_superuser",
    b"server_encoding",
    b"server_version",
    b"standard_conforming_strings",
];

/// Why a statement ends that fails by none of its values, and the files of PostgreSQL whose words
/// for it are always the same: cancelled, ended, locked out, outrun by another transaction; or name
/// a thing that is there and not open to the role.
const VALUE_FREE_STATES: [&[u8]; 11] = [
    b"25P02", b"25P03", b"40001", b"40P01", b"42501", b"55P03", b"57014", b"57P01", b"57P02",
    b"57P03", b"57P05",
];
const VALUE_FREE_FILES: [&[u8]; 9] = [
    b"aclchk.c",
    b"postgres.c",
    b"proc.c",
    b"deadlock.c",
    b"lmgr.c",
    b"predicate.c",
    b"heapam.c",
    b"nodeModifyTable.c",
    b"nodeLockRows.c",
];

/// A statement or a cursor that is not there: the client's own word for it is quoted. In code that
/// runs inside of a statement a name may come from anywhere, but then there is a context.
const NAME_STATES: [&[u8]; 2] = [b"26000", b"34000"];
const NAME_FILES: [&[u8]; 3] = [b"prepare.c", b"portalcmds.c", b"postgres.c"];

/// What definitions and maintenance say that nothing of rows is in, and where PostgreSQL says it:
/// that a thing of the client's own word is there or is not, that this is no place for the command,
/// how the work goes on. A word that code inside of a statement made has a context.
const PLAIN_WORDS: [Words; 3] = [
    Words {
        states: &[b"42701", b"42703", b"42704", b"42710", b"42P07"],
        files: &[
            b"tablecmds.c",
            b"indexcmds.c",
            b"index.c",
            b"heap.c",
            b"trigger.c",
            b"pg_constraint.c",
            b"typecmds.c",
        ],
    },
    Words { states: &[b"25001"], files: &[b"xact.c"] },
    Words {
        states: &[b"00000", b"01000"],
        files: &[
            b"vacuum.c",
            b"vacuumlazy.c",
            b"analyze.c",
            b"index.c",
            b"indexcmds.c",
            b"cluster.c",
        ],
    },
];

/// The same of maintenance alone: other statements may look for a name that stands in a row.
const MAINTENANCE_STATES: [&[u8]; 5] = [b"3F000", b"42703", b"42704", b"42809", b"42P01"];
const MAINTENANCE_FILES: [&[u8]; 5] =
    [b"namespace.c", b"analyze.c", b"vacuum.c", b"indexcmds.c", b"cluster.c"];
const MAINTENANCE: [&str; 4] = ["VACUUM", "ANALYZE", "REINDEX", "CLUSTER"];

/// How the context of an error begins whose innermost part is data that the client sent itself
/// (`CopyFromErrorCallback`, `bind_param_error_callback`).
const OWN_DATA: [&[u8]; 3] = [b"COPY ", b"unnamed portal", b"portal \""];

/// Codes of reports, and the files whose reports with such codes are meant.
struct Words {
    states: &'static [&'static [u8]],
    files: &'static [&'static [u8]],
}

/// What a report says of itself.
struct Report<'r> {
    fields: Vec<(u8, &'r [u8])>,
}

impl<'r> Report<'r> {
    fn of(body: &'r [u8]) -> Report<'r> {
        Report { fields: error_fields(body).collect() }
    }

    fn field(&self, code: u8) -> Option<&'r [u8]> {
        self.fields.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
    }

    /// It is of the statement itself, and of no code that ran inside of it.
    fn is_direct(&self) -> bool {
        let context = self.field(b'W').unwrap_or_default();
        let own = context.is_empty() || OWN_DATA.iter().any(|start| context.starts_with(start));
        own && self.field(b'q').is_none() && self.field(b'p').is_none()
    }

    /// It was found in the text, before anything ran: it points into it (elog.c; what runs has no
    /// place in the text, but in one of its own, and says so in its context).
    fn is_of_text(&self) -> bool {
        let context = self.field(b'W').unwrap_or_default();
        self.field(b'P').is_some()
            && context.is_empty()
            && self.field(b'q').is_none()
            && self.field(b'p').is_none()
    }

    fn is(&self, states: &[&[u8]], files: &[&[u8]]) -> bool {
        let is = |code, known: &[&[u8]]| self.field(code).is_some_and(|it| known.contains(&it));
        is(b'C', states) && is(b'F', files)
    }

    /// Code that runs inside of the statement may have made it.
    fn is_inside(&self) -> bool {
        [b'W', b'q', b'p'].iter().any(|&code| self.field(code).is_some())
    }

    /// It quotes a name that the client gave.
    fn is_of_name(&self) -> bool {
        let known = PLAIN_WORDS.iter().any(|it| self.is(it.states, it.files));
        (known || self.is(&NAME_STATES, &NAME_FILES)) && !self.is_inside()
    }

    /// The same, if the statements are maintenance.
    fn is_of_maintenance(&self, statements: &[Statement]) -> bool {
        let maintains = |it: &Statement| MAINTENANCE.contains(&it.operation.as_str());
        let known = self.is(&MAINTENANCE_STATES, &MAINTENANCE_FILES) && !self.is_inside();
        known && !statements.is_empty() && statements.iter().all(maintains)
    }

    /// Its words are always the same.
    fn is_value_free(&self) -> bool {
        let (state, file) = (self.field(b'C').unwrap_or_default(), self.field(b'F'));
        VALUE_FREE_STATES.contains(&state)
            && file.is_some_and(|file| VALUE_FREE_FILES.contains(&file))
    }
}

/// What becomes of the texts of a report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// They pass, but for what detectors find.
    Pass,
    /// The message passes, what is said besides is left out.
    Message,
    /// They are left out.
    Withheld,
}

impl Ready {
    /// Notices, parameter status and notifications: at any time, in no command's answer.
    pub(super) fn asynchronous(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if tag == b'S' {
            let mut reader = Reader::new(Step::body(frame));
            let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
                return Err(server_malformed(Malformed::MessageBody));
            };
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            self.beliefs.heard(Answer::Setting(&name, &value))?;
        }
        if tag == b'N' {
            self.begin_answer(stage);
        }
        if self.link.view.is_empty() {
            return self.hand_on(tag, frame, core, stage);
        }
        let body = Step::body(frame);
        let message = match tag {
            b'N' => self.masked_report(tag, body, stage),
            b'S' => self.masked_parameter(body)?,
            _ => self.masked_notification(body)?,
        };
        self.hand_on(tag, &message, core, stage)?;
        let seq = self.answer.seq().unwrap_or(self.last_seq);
        self.record_hits(seq, core, stage)
    }

    /// A notice during an answer is part of what the client saw of it; the rest is in none.
    fn hand_on(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if tag == b'N' && self.answer.seq().is_some() {
            let limit = self.link.capture_bytes;
            let recorded = self.recorded_report(frame, stage);
            self.answer.take(&recorded, limit, core, stage).map_err(record_fault)?;
            core.pass(Side::Client, Plumbing::Answer, frame, stage);
            return Ok(());
        }
        core.pass(Side::Client, Plumbing::Asynchronous, frame, stage);
        Ok(())
    }

    fn masked_text(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        if self.link.view.text(text, &mut out, &mut self.text_hits) { out } else { text.to_vec() }
    }

    fn masked_parameter(&mut self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reader = Reader::new(body);
        let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        let passes = !self.link.view.masks_columns()
            || !self.settings_in_doubt
            || CLOSED_PARAMETERS.contains(&name);
        // What the client's own statements take to a setting is clean, or they are refused. Code
        // that weir does not see may set any value of a table.
        let value = if passes { self.masked_text(value) } else { b"***".to_vec() };
        let mut message = Vec::new();
        reply::message(&mut message, b'S', |out| {
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(&value);
            out.push(0);
        });
        Ok(message)
    }

    fn masked_notification(&mut self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reader = Reader::new(body);
        let (Some(pid), Some(channel), Some(payload)) =
            (reader.bytes(4), reader.cstr(), reader.cstr())
        else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        let payload = if self.link.view.masks_columns() && !payload.is_empty() {
            b"***".to_vec()
        } else {
            self.masked_text(payload)
        };
        let mut message = Vec::new();
        reply::message(&mut message, b'A', |out| {
            out.extend_from_slice(pid);
            out.extend_from_slice(channel);
            out.push(0);
            out.extend_from_slice(&payload);
            out.push(0);
        });
        Ok(message)
    }

    /// An ErrorResponse or NoticeResponse with its texts masked.
    pub(super) fn masked_report(&mut self, tag: u8, body: &[u8], stage: &Stage<'_>) -> Vec<u8> {
        let report = Report::of(body);
        let texts = self.texts_of(&report, stage);
        let mut fields = Vec::with_capacity(body.len());
        for &(code, text) in &report.fields {
            let text = match (code, texts) {
                (b'M', Texts::Withheld) => WITHHELD.to_vec(),
                (b'D' | b'H' | b'W' | b'q' | b'p' | b'P', Texts::Withheld | Texts::Message) => {
                    continue;
                }
                // RAISE of a function says what it likes there too.
                (b's' | b't' | b'c' | b'd' | b'n', Texts::Withheld) if !report.is_direct() => {
                    continue;
                }
                (b'M' | b'D' | b'H' | b'W' | b'q', _) => self.masked_text(text),
                _ => text.to_vec(),
            };
            fields.push(code);
            fields.extend_from_slice(&text);
            fields.push(0);
        }
        let mut message = Vec::with_capacity(fields.len() + 6);
        reply::message(&mut message, tag, |out| {
            out.extend_from_slice(&fields);
            out.push(0);
        });
        message
    }

    /// A report as the record has it: its words are left out where they may quote what the record
    /// hides of the command. The client sent that itself.
    pub(super) fn recorded_report<'r>(&self, frame: &'r [u8], stage: &Stage<'_>) -> Cow<'r, [u8]> {
        let may_quote = self.beliefs.may_quote_secrets() || self.copies_credentials(stage);
        let (Some(&tag), true) = (frame.first(), may_quote) else {
            return Cow::Borrowed(frame);
        };
        let report = Report::of(Step::body(frame));
        let mut message = Vec::with_capacity(frame.len());
        reply::message(&mut message, tag, |out| {
            for &(code, text) in &report.fields {
                let text = match code {
                    b'M' if !report.is_value_free() => SECRET,
                    b'D' | b'H' | b'W' | b'q' => continue,
                    _ => text,
                };
                out.push(code);
                out.extend_from_slice(text);
                out.push(0);
            }
            out.push(0);
        });
        Cow::Owned(message)
    }

    /// Writes down an error that answers no command: its transaction failed at its end, behind
    /// commands whose rows are written, or the target ends the session.
    pub(super) fn record_late(
        &self,
        recorded: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let report = Report::of(Step::body(recorded));
        let text = |code| String::from_utf8_lossy(report.field(code).unwrap_or_default());
        let attrs = serde_json::json!({
            "sqlstate": text(b'C'),
            "message": text(b'M'),
            "last_command": self.last_seq,
        });
        let event = Event {
            event: "late-error",
            severity: "warn",
            message: "an error that answers no command; what was done before it in its transaction \
                is undone",
            attrs: &attrs.to_string(),
        };
        core.event(&event, stage)
    }

    /// Whether the texts of a report may quote a masked value.
    ///
    /// ```text
    ///   the text of the command itself is at fault, and nothing ran     pass
    ///   it has a name of the client's, or none, and nothing of a row    pass
    ///   its words are always the same                                   the message passes
    ///   by code inside of it, or about a table with masks               withheld
    ///   by a statement that may quote one                               withheld
    ///   at the end of a transaction that computes such a one there      withheld
    ///   any other                                                       pass
    /// ```
    fn texts_of(&self, report: &Report<'_>, stage: &Stage<'_>) -> Texts {
        if !self.link.view.masks_columns() {
            return Texts::Pass;
        }
        // Rows are described before the first is computed.
        let portal = self.beliefs.running_portal();
        let ran = self.plan.is_some() || portal.is_some();
        if (report.is_of_text() && !ran) || report.is_of_name() {
            return Texts::Pass;
        }
        if report.is_value_free() {
            return Texts::Message;
        }
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        let shown = self.catalog_shown(stage);
        let text = |code| String::from_utf8_lossy(report.field(code).unwrap_or_default());
        let (schema, table) = (text(b's'), text(b't'));
        let may_quote = |it: &[Statement]| self.link.view.may_quote(shown.as_deref(), Some(it));
        let late = self.beliefs.at_the_end().is_some_and(|end| end.any(may_quote));
        let quotes = match self.beliefs.about() {
            _ if late => true,
            About::Nothing => false,
            About::Unknown => true,
            About::Run(it) if report.is_of_maintenance(&it.statements) => return Texts::Pass,
            About::Run(it) => may_quote(&it.statements),
        };
        let names = !table.is_empty() && self.link.view.masks_relation(catalog, &schema, &table);
        match quotes || names || !report.is_direct() {
            true => Texts::Withheld,
            false => Texts::Pass,
        }
    }

    /// Remembers that code which weir does not see may have set any setting, and that settings are
    /// others than before: a text may do something else then, so what was approved for more than
    /// one execution of it is asked for again. The end of a transaction takes settings back.
    pub(super) fn note_settings(&mut self, classified: &Classified) {
        // A name that nobody gave runs nothing. Code that weir does not see may have given it; but
        // then it was noted when that ran.
        if let [_] = classified.statements.as_slice()
            && self.unseen_in(classified).is_some()
        {
            return;
        }
        self.settings_in_doubt |= self.link.view.may_set_anything(&classified.statements);
        self.made.note(&classified.action);
        for statement in &classified.statements {
            let opaque = changed::is_opaque(&statement.classes);
            let takes_back =
                matches!(statement.effect, Consequence::EndTransaction | Consequence::Discard)
                    || statement.operation.starts_with("ROLLBACK");
            let sets = |fact: &Fact| fact.kind == FactKind::Setting;
            if opaque || takes_back || statement.facts.iter().any(sets) {
                self.standings = Standings::default();
            }
            if statement.effect != Consequence::Discard {
                self.changed.note_facts(&statement.classes, &statement.facts);
            }
        }
    }
}

const SECRET: &[u8] =
    b"message not recorded: the command holds a credential, and the message may quote it";
const WITHHELD: &[u8] =
    b"message withheld: the statement may read a masked column, and the message quote it";
