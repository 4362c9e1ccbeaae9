//! A PostgreSQL command as psql would have shown it: its text, its values, its answer.
//!
//! In: the rows of one command: `commands`, `responses`, `approvals`, the `pg-messages` of
//! `stream_chunks`. Out: moments.
//! Never: rows that were not captured passed off as none.

use super::place::pointed;
use super::table::Table;
use super::{LEFT, Moment, Story, Stream};
use crate::cli::answer::{Field, message, read_fields, read_row, text};
use crate::record::lake::{CommandRow, ResponseRow};

/// The moments of a command.
pub(super) fn moments(story: &Story) -> Vec<Moment> {
    let command = &story.command;
    let mut told = Told { seq: command.common.seq, moments: Vec::new() };
    let at_us = command.common.ts_us;
    if command.kind != "bind" {
        told.say(at_us, Stream::Input, with_line_end(&command.query_text));
    }
    if let Some(values) = command.params_json.as_deref().and_then(values) {
        told.weir(at_us, &format!("with {values}"));
    }
    for step in &story.approvals {
        told.weir(
            step.common.ts_us,
            &approval(&step.event, step.approver.as_deref(), step.reason.as_deref()),
        );
    }
    if story.goes_on {
        return told.moments;
    }
    let uploaded =
        story.chunks.iter().filter(|chunk| chunk.stream == 0 && chunk.encoding == "pg-messages");
    let copied: Vec<u8> = uploaded.flat_map(|chunk| chunk.payload.iter().copied()).collect();
    if let Some(copied) = copy_data(&copied) {
        told.say(at_us, Stream::Input, copied);
    }
    let Some(response) = command.response.as_deref() else {
        if command.decision == "hold" {
            told.weir(at_us, "it waits for approval, as far as the record goes");
        } else if command.decision == "abandoned" {
            told.weir(at_us, LEFT);
        } else {
            told.weir(at_us, "no answer is recorded");
        }
        return told.moments;
    };
    let answered =
        story.chunks.iter().filter(|chunk| chunk.stream == 1 && chunk.encoding == "pg-messages");
    let captured: Vec<u8> = answered.flat_map(|chunk| chunk.payload.iter().copied()).collect();
    let mut answer = Answer::new(&mut told, &command.query_text, response);
    answer.read(&captured);
    answer.finish(command, captured.len());
    told.moments
}

/// The moments of a command, gathered.
struct Told {
    seq: i64,
    moments: Vec<Moment>,
}

impl Told {
    fn say(&mut self, at_us: i64, stream: Stream, text: String) {
        if !text.is_empty() {
            self.moments.push(Moment::of(at_us, self.seq, stream, text));
        }
    }

    /// What is no part of the session is a comment of SQL.
    fn weir(&mut self, at_us: i64, text: &str) {
        self.say(at_us, Stream::Weir, format!("-- weir: {}\n", text.replace('\n', " ")));
    }
}

fn with_line_end(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// `$1 = "a", $2 = null`; none where there is no value.
fn values(json: &str) -> Option<String> {
    let values: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    let named = values.iter().enumerate().map(|(at, value)| match value.get("secret") {
        Some(_) => format!("${} = (a secret, not recorded)", at + 1),
        None => format!("${} = {value}", at + 1),
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn approval(event: &str, approver: Option<&str>, reason: Option<&str>) -> String {
    let mut text = match event {
        "requested" => "it waited for approval".to_owned(),
        "vote-approve" => "a vote to approve".to_owned(),
        "vote-deny" => "a vote to deny".to_owned(),
        other => format!("the approval was {other}"),
    };
    if let Some(approver) = approver {
        text.push_str(&format!(", by {approver}"));
    }
    if let Some(reason) = reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

/// The data of CopyData messages, whole ones and the last one as far as it is there.
fn copy_data(mut bytes: &[u8]) -> Option<String> {
    let mut data = Vec::new();
    while let Some((kind, body, rest)) = message(bytes) {
        if kind == b'd' {
            data.extend_from_slice(body);
        }
        bytes = rest;
    }
    if let Some((b'd', cut)) = bytes.split_first() {
        data.extend_from_slice(cut.get(4..).unwrap_or_default());
    }
    (!data.is_empty()).then(|| text(Some(&data)))
}

/// An answer that is being read.
struct Answer<'a> {
    /// The text that it answers.
    query: &'a str,
    told: &'a mut Told,
    response: &'a ResponseRow,
    fields: Vec<Field>,
    rows: Vec<Vec<Option<String>>>,
    /// A row description came, or a row: a table is due.
    is_table: bool,
    /// Rows of COPY went to where the tag would.
    is_copy_out: bool,
    /// Tags, errors seen: what a summary need not say again.
    has_end: bool,
    /// The capture ends inside.
    is_cut: bool,
}

impl<'a> Answer<'a> {
    fn new(told: &'a mut Told, query: &'a str, response: &'a ResponseRow) -> Answer<'a> {
        Answer {
            query,
            told,
            response,
            fields: Vec::new(),
            rows: Vec::new(),
            is_table: false,
            is_copy_out: false,
            has_end: false,
            is_cut: false,
        }
    }

    fn at_us(&self) -> i64 {
        self.response.common.ts_us
    }

    fn say(&mut self, stream: Stream, text: String) {
        self.told.say(self.at_us(), stream, text);
    }

    fn weir(&mut self, text: &str) {
        self.told.weir(self.at_us(), text);
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((kind, body, rest)) = message(bytes) {
            self.take(kind, body);
            bytes = rest;
        }
        self.is_cut = !bytes.is_empty() || self.response.captured_bytes < self.response.total_bytes;
        if let Some((b'd', cut)) = bytes.split_first() {
            self.say(Stream::Output, text(cut.get(4..)));
        }
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'T' => {
                self.fields = read_fields(body).unwrap_or_default();
                self.rows.clear();
                self.is_table = true;
            }
            b'D' => {
                let row = read_row(body, &self.fields);
                self.rows.push(row.unwrap_or_else(|| vec![Some("(unreadable row)".into())]));
                self.is_table = true;
            }
            b'C' => {
                let tag = text(body.split(|byte| *byte == 0).next());
                self.complete(&tag);
            }
            // The portal is suspended: these rows were there, and more may be.
            b's' => self.print_table("suspended"),
            b'E' | b'N' => self.report(kind, body),
            b'H' => self.is_copy_out = true,
            b'd' => self.say(Stream::Output, text(Some(body))),
            _ => {}
        }
    }

    /// psql prints a tag where there is no table, and below those of statements that write; not
    /// below the data of a COPY that went to the same place.
    fn complete(&mut self, tag: &str) {
        self.has_end = true;
        let was_table = self.is_table;
        if was_table {
            self.print_table("");
        }
        let writes =
            ["INSERT", "UPDATE", "DELETE", "MERGE"].iter().any(|word| tag.starts_with(word));
        if !std::mem::take(&mut self.is_copy_out) && (!was_table || writes) {
            self.say(Stream::Output, format!("{tag}\n"));
        }
    }

    fn print_table(&mut self, what: &str) {
        let rows = std::mem::take(&mut self.rows);
        self.is_table = false;
        let names = |at: usize| self.response.columns.get(at).cloned();
        let width = self.fields.len().max(rows.first().map_or(0, Vec::len));
        let columns = (0..width).map(|at| {
            let described = self.fields.get(at).map(|field| field.name.clone());
            described.or_else(|| names(at)).unwrap_or_else(|| "?column?".to_owned())
        });
        let right = (0..width).map(|at| self.fields.get(at).is_some_and(is_number));
        let count = rows.len();
        let noun = if count == 1 { "row" } else { "rows" };
        let footer = match what {
            "" => format!("({count} {noun})"),
            what => format!("({count} {noun}, {what})"),
        };
        let table = Table { columns: columns.collect(), right: right.collect(), rows };
        self.say(Stream::Output, table.print(&footer));
    }

    fn report(&mut self, kind: u8, body: &[u8]) {
        let report = report(body, self.query);
        if kind == b'E' {
            self.has_end = true;
            if self.is_table {
                self.rows.clear();
                self.is_table = false;
            }
        }
        self.say(if kind == b'E' { Stream::Error } else { Stream::Notice }, report);
    }

    /// Says what the captured bytes do not.
    fn finish(&mut self, command: &CommandRow, captured: usize) {
        if self.is_cut && self.is_table {
            self.print_table("the rest was not captured");
        }
        if self.is_cut {
            let total = self.response.total_bytes;
            self.weir(&format!("{captured} of {total} bytes of this answer were captured"));
        }
        if self.has_end {
            return;
        }
        let response = self.response;
        match response.outcome.as_str() {
            "success" => {
                if let Some(tag) = &response.tag {
                    self.weir(&format!("it ended with {tag}"));
                }
            }
            "error" | "denied" => {
                let text = response.error_text.as_deref().unwrap_or_default();
                self.say(Stream::Error, format!("ERROR:  {text}\n"));
                if let Some(rule) = command.rule.as_deref().filter(|_| response.outcome == "denied")
                {
                    self.weir(&format!("denied by the rule \"{rule}\""));
                }
            }
            "skipped" => self.weir("skipped: a command before it in the pipeline failed"),
            "suspended" => {}
            _ => self.weir("the session ended before its answer did"),
        }
    }
}

/// Types that psql aligns to the right (`column_type_alignment`, `fe_utils/print.c`).
fn is_number(field: &Field) -> bool {
    // int8, int2, int4, oid, xid, cid, float4, float8, money, numeric, xid8
    const NUMBERS: [u32; 11] = [20, 21, 23, 26, 28, 29, 700, 701, 790, 1700, 5069];
    NUMBERS.contains(&field.type_oid)
}

/// An error or a notice as psql tells it (`pqBuildErrorMessage3`, libpq's `fe-protocol3.c`), of a
/// text of the client's.
fn report(body: &[u8], query: &str) -> String {
    let field = |code: u8| {
        let fields = body.split(|byte| *byte == 0);
        let mut found = fields.filter_map(|field| field.split_first());
        found.find(|(key, _)| **key == code).map(|(_, value)| text(Some(value)))
    };
    let severity = field(b'S').unwrap_or_default();
    let mut told = format!("{severity}:  {}\n", field(b'M').unwrap_or_default());
    let internal = field(b'q');
    let place = match field(b'P') {
        Some(at) => Some((query, at)),
        None => internal.as_deref().zip(field(b'p')),
    };
    if let Some((text, at)) = place {
        told.extend(at.parse().ok().and_then(|at| pointed(text, at)));
    }
    let is_error = matches!(severity.as_str(), "ERROR" | "FATAL" | "PANIC");
    let context = is_error.then_some((b'W', "CONTEXT"));
    for (code, name) in
        [(b'D', "DETAIL"), (b'H', "HINT"), (b'q', "QUERY")].into_iter().chain(context)
    {
        if let Some(text) = field(code) {
            told.push_str(&format!("{name}:  {text}\n"));
        }
    }
    told
}
