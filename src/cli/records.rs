//! Rows of the lake as structs: columns by name, whatever else a file holds.
//!
//! In: Arrow batches of the tables. Out: the facts that commands print.
//! Never: a panic on a file of another version; a missing column reads as empty.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use serde::Serialize;

use crate::admin::clock;

/// One row of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    batch: &'a RecordBatch,
    index: usize,
}

/// The rows of a batch.
pub fn rows(batch: &RecordBatch) -> impl Iterator<Item = Row<'_>> {
    (0..batch.num_rows()).map(move |index| Row { batch, index })
}

impl<'a> Row<'a> {
    fn column(&self, name: &str) -> Option<&'a dyn Array> {
        let column = self.batch.column_by_name(name)?.as_ref();
        column.is_valid(self.index).then_some(column)
    }

    /// A text; empty when it is null or missing.
    pub fn text(&self, name: &str) -> &'a str {
        let array = self.column(name).and_then(AsArray::as_string_opt::<i32>);
        array.map_or("", |array| array.value(self.index))
    }

    /// Bytes; empty when they are null or missing.
    pub fn bytes(&self, name: &str) -> &'a [u8] {
        let array = self.column(name).and_then(AsArray::as_binary_opt::<i32>);
        array.map_or(&[], |array| array.value(self.index))
    }

    /// A number; 0 when it is null or missing.
    pub fn number(&self, name: &str) -> i64 {
        let Some(column) = self.column(name) else { return 0 };
        if let Some(array) = column.as_primitive_opt::<Int64Type>() {
            return array.value(self.index);
        }
        if let Some(array) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            return array.value(self.index);
        }
        column.as_primitive_opt::<Int32Type>().map_or(0, |array| array.value(self.index).into())
    }

    /// A list of texts; empty when it is null or missing.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.column(name).and_then(AsArray::as_list_opt::<i32>);
        let Some(values) = list.map(|list| list.value(self.index)) else { return Vec::new() };
        let Some(values) = values.as_string_opt::<i32>() else { return Vec::new() };
        values.iter().map(|value| value.unwrap_or_default().to_owned()).collect()
    }

    fn time(&self, name: &str) -> String {
        match self.column(name) {
            Some(_) => clock::to_text(self.number(name)),
            None => String::new(),
        }
    }
}

/// A session: its start and its end, joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Id.
    pub session_id: String,
    /// Start, empty when no start is recorded.
    pub started_at: String,
    /// End, empty while it lives or when weir was cut off.
    pub ended_at: String,
    /// Identity.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
    /// How the identity was proven.
    pub auth_method: String,
    /// Target.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// Database at the target.
    pub database: String,
    /// Client address.
    pub client_addr: String,
    /// What the client says it is.
    pub client_app: String,
    /// TLS of the client's leg.
    pub tls_version: String,
    /// Target address.
    pub server_addr: String,
    /// Version of the target.
    pub server_version: String,
    /// Why it ended.
    pub end_reason: String,
    /// Commands.
    pub commands: i64,
    /// Denied commands.
    pub denied: i64,
    /// Values masked.
    pub masked: i64,
    /// Bytes from the client.
    pub bytes_in: i64,
    /// Bytes to the client.
    pub bytes_out: i64,
}

impl Session {
    /// Adds what a row of `sessions` tells.
    pub fn take(&mut self, row: Row<'_>) {
        self.session_id = row.text("session_id").to_owned();
        let keep = |field: &mut String, name: &str| {
            let value = row.text(name);
            if !value.is_empty() {
                *field = value.to_owned();
            }
        };
        keep(&mut self.user, "user_name");
        keep(&mut self.auth_method, "auth_method");
        keep(&mut self.target, "target");
        keep(&mut self.role, "role");
        keep(&mut self.database, "db_namespace");
        keep(&mut self.client_addr, "client_addr");
        keep(&mut self.client_app, "client_app");
        keep(&mut self.tls_version, "tls_version");
        keep(&mut self.server_addr, "server_addr");
        keep(&mut self.server_version, "server_version");
        let groups = row.texts("user_groups");
        if !groups.is_empty() {
            self.groups = groups;
        }
        if row.text("phase") == "start" {
            self.started_at = row.time("ts");
            return;
        }
        self.ended_at = row.time("ts");
        self.end_reason = row.text("end_reason").to_owned();
        self.commands = row.number("commands");
        self.denied = row.number("denied");
        self.masked = row.number("masked");
        self.bytes_in = row.number("bytes_in");
        self.bytes_out = row.number("bytes_out");
        if self.started_at.is_empty() {
            self.started_at = row.time("started_at");
        }
    }
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Command {
    /// When.
    pub at: String,
    /// Session.
    pub session_id: String,
    /// Order inside the session.
    pub seq: i64,
    /// Identity.
    pub user: String,
    /// Target.
    pub target: String,
    /// Role at the target.
    pub role: String,
    /// `query`, `execute`, ...
    pub kind: String,
    /// `SELECT`, ...
    pub operation: String,
    /// Classes, one per statement.
    pub classes: Vec<String>,
    /// Objects.
    pub objects: Vec<String>,
    /// Text, credentials redacted.
    pub text: String,
    /// Bind values as JSON, empty without any.
    pub params: String,
    /// Name of the prepared statement.
    pub statement: String,
    /// `allow`, `deny`, `hold`.
    pub decision: String,
    /// The rule.
    pub rule: String,
    /// The approval.
    pub approval_id: String,
    /// How it ended, if that is recorded.
    pub response: Option<Response>,
}

impl From<Row<'_>> for Command {
    fn from(row: Row<'_>) -> Command {
        Command {
            at: row.time("ts"),
            session_id: row.text("session_id").to_owned(),
            seq: row.number("seq"),
            user: row.text("user_name").to_owned(),
            target: row.text("target").to_owned(),
            role: row.text("role").to_owned(),
            kind: row.text("kind").to_owned(),
            operation: row.text("operation").to_owned(),
            classes: row.texts("classes"),
            objects: row.texts("objects"),
            text: row.text("query_text").to_owned(),
            params: row.text("params_json").to_owned(),
            statement: row.text("statement").to_owned(),
            decision: row.text("decision").to_owned(),
            rule: row.text("rule").to_owned(),
            approval_id: row.text("approval_id").to_owned(),
            response: None,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// `success`, `error`, `denied`, ...
    pub outcome: String,
    /// SQLSTATE, empty without an error.
    pub sqlstate: String,
    /// Text of the error.
    pub error: String,
    /// Command tags.
    pub tag: String,
    /// Rows sent to the client.
    pub rows_returned: i64,
    /// Rows touched.
    pub rows_affected: i64,
    /// From recording the command to the end of the answer.
    pub duration_us: i64,
    /// Bytes of the answer.
    pub bytes: i64,
    /// Bytes of it that are kept.
    pub captured_bytes: i64,
    /// Names of the result columns.
    pub columns: Vec<String>,
}

impl From<Row<'_>> for Response {
    fn from(row: Row<'_>) -> Response {
        Response {
            outcome: row.text("outcome").to_owned(),
            sqlstate: row.text("status_code").to_owned(),
            error: row.text("error_text").to_owned(),
            tag: row.text("tag").to_owned(),
            rows_returned: row.number("rows_returned"),
            rows_affected: row.number("rows_affected"),
            duration_us: row.number("duration_us"),
            bytes: row.number("total_bytes"),
            captured_bytes: row.number("captured_bytes"),
            columns: row.texts("columns"),
        }
    }
}

/// A step of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// Id of the approval.
    pub approval_id: String,
    /// `requested`, `vote-approve`, ...
    pub event: String,
    /// Who.
    pub approver: String,
    /// Why.
    pub reason: String,
}

impl From<Row<'_>> for Step {
    fn from(row: Row<'_>) -> Step {
        Step {
            at: row.time("ts"),
            approval_id: row.text("approval_id").to_owned(),
            event: row.text("event").to_owned(),
            approver: row.text("approver").to_owned(),
            reason: row.text("reason").to_owned(),
        }
    }
}

/// What masking did to a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Column of the answer, or the channel.
    pub column: String,
    /// Detector, or `column`.
    pub detector: String,
    /// Operator.
    pub operator: String,
    /// Values changed.
    pub hits: i64,
}

impl From<Row<'_>> for Hit {
    fn from(row: Row<'_>) -> Hit {
        Hit {
            column: row.text("column").to_owned(),
            detector: row.text("detector").to_owned(),
            operator: row.text("operator").to_owned(),
            hits: row.number("hit_count"),
        }
    }
}
