//! Rows of the lake as typed values, with a stable JSON form.
//!
//! In: Arrow batches. Out: one struct per table; names as the columns, `ts` as RFC 3339.
//! Never: a failure on a column that an older file does not have; it is empty then.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::parquet::date_text;
use super::schema::Table;

/// The cells of a batch by column name.
pub struct Cells<'a> {
    columns: HashMap<&'a str, &'a ArrayRef>,
}

impl<'a> Cells<'a> {
    /// The cells of a batch.
    pub fn new(batch: &'a RecordBatch) -> Cells<'a> {
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        Cells { columns: names.zip(batch.columns()).collect() }
    }

    fn column(&self, name: &str, row: usize) -> Option<&'a ArrayRef> {
        self.columns.get(name).copied().filter(|column| column.is_valid(row))
    }

    /// A text; NULL is empty.
    pub fn text(&self, name: &str, row: usize) -> &'a str {
        let column = self.column(name, row).and_then(|column| column.as_string_opt::<i32>());
        column.map_or("", |texts| texts.value(row))
    }

    fn owned(&self, name: &str, row: usize) -> String {
        self.text(name, row).to_owned()
    }

    fn maybe(&self, name: &str, row: usize) -> Option<String> {
        self.column(name, row).map(|_| self.owned(name, row))
    }

    /// A list of texts; NULL is empty.
    pub fn texts(&self, name: &str, row: usize) -> Vec<String> {
        let list = self.column(name, row).and_then(|column| column.as_list_opt::<i32>());
        let Some(list) = list else { return Vec::new() };
        let items = list.value(row);
        let Some(items) = items.as_string_opt::<i32>() else { return Vec::new() };
        items.iter().map(|item| item.unwrap_or_default().to_owned()).collect()
    }

    fn bytes(&self, name: &str, row: usize) -> Option<Vec<u8>> {
        let column = self.column(name, row)?.as_binary_opt::<i32>()?;
        Some(column.value(row).to_vec())
    }

    fn flag(&self, name: &str, row: usize) -> Option<bool> {
        Some(self.column(name, row)?.as_boolean_opt()?.value(row))
    }

    fn long(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.column(name, row)?.as_primitive_opt::<Int64Type>()?.value(row))
    }

    fn int(&self, name: &str, row: usize) -> Option<i32> {
        Some(self.column(name, row)?.as_primitive_opt::<Int32Type>()?.value(row))
    }

    /// A time, UTC microseconds.
    pub fn time(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.column(name, row)?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row))
    }
}

/// A row of one table.
pub trait LakeRow: Sized {
    /// The table.
    const TABLE: Table;
    /// Reads a row.
    fn read(cells: &Cells<'_>, row: usize) -> Self;
    /// What every row has.
    fn common(&self) -> &Common;
    /// Whether no later row of the same execution may take its place.
    fn is_final(&self) -> bool {
        true
    }
}

/// What every row has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Common {
    /// UTC microseconds; in JSON RFC 3339 with six digits.
    #[serde(rename = "ts", serialize_with = "rfc3339")]
    pub ts_us: i64,
    /// The session.
    pub session_id: String,
    /// Order inside the session.
    pub seq: i64,
    /// Shard whose log holds it.
    pub log_shard: i32,
    /// Its place in that log.
    pub log_index: i64,
    /// The gateway.
    pub node: String,
    /// Identity.
    pub user_name: String,
    /// Its groups.
    pub user_groups: Vec<String>,
    /// Target.
    pub target: String,
    /// Protocol.
    pub protocol: String,
    /// Database at the target.
    pub db_namespace: Option<String>,
    /// Role at the target.
    pub role: Option<String>,
    /// Client address.
    pub client_addr: Option<String>,
}

impl Common {
    fn read(cells: &Cells<'_>, row: usize) -> Common {
        Common {
            ts_us: cells.time("ts", row).unwrap_or(0),
            session_id: cells.owned("session_id", row),
            seq: cells.long("seq", row).unwrap_or(0),
            log_shard: cells.int("log_shard", row).unwrap_or(0),
            log_index: cells.long("log_index", row).unwrap_or(0),
            node: cells.owned("node", row),
            user_name: cells.owned("user_name", row),
            user_groups: cells.texts("user_groups", row),
            target: cells.owned("target", row),
            protocol: cells.owned("protocol", row),
            db_namespace: cells.maybe("db_namespace", row),
            role: cells.maybe("role", row),
            client_addr: cells.maybe("client_addr", row),
        }
    }
}

/// Table `sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `start`, `end`, `recovered`.
    pub phase: String,
    /// How the identity was proven.
    pub auth_method: Option<String>,
    /// `application_name`.
    pub client_app: Option<String>,
    /// TLS version.
    pub tls_version: Option<String>,
    /// Address of the target.
    pub server_addr: Option<String>,
    /// Version of the target.
    pub server_version: Option<String>,
    /// Process id at the target.
    pub backend_pid: Option<i32>,
    /// Durability mode.
    pub durability_mode: Option<String>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Commands recorded.
    pub commands: Option<i64>,
    /// Bytes from the client.
    pub bytes_in: Option<i64>,
    /// Bytes to the client.
    pub bytes_out: Option<i64>,
    /// Commands denied.
    pub denied: Option<i64>,
    /// Values masked.
    pub masked: Option<i64>,
    /// When it began.
    #[serde(rename = "started_at", serialize_with = "rfc3339_or_null")]
    pub started_us: Option<i64>,
    /// When it ended.
    #[serde(rename = "ended_at", serialize_with = "rfc3339_or_null")]
    pub ended_us: Option<i64>,
    /// The listener that accepted the client.
    pub listener: Option<String>,
    /// Settings it began with, JSON text.
    pub settings: Option<String>,
    /// Facts of the proof, JSON text.
    pub auth_detail: Option<String>,
    /// The target's own id of the session.
    pub server_session: Option<String>,
}

impl LakeRow for SessionRow {
    const TABLE: Table = Table::Sessions;

    fn read(cells: &Cells<'_>, row: usize) -> SessionRow {
        SessionRow {
            common: Common::read(cells, row),
            phase: cells.owned("phase", row),
            auth_method: cells.maybe("auth_method", row),
            client_app: cells.maybe("client_app", row),
            tls_version: cells.maybe("tls_version", row),
            server_addr: cells.maybe("server_addr", row),
            server_version: cells.maybe("server_version", row),
            backend_pid: cells.int("backend_pid", row),
            durability_mode: cells.maybe("durability_mode", row),
            end_reason: cells.maybe("end_reason", row),
            commands: cells.long("commands", row),
            bytes_in: cells.long("bytes_in", row),
            bytes_out: cells.long("bytes_out", row),
            denied: cells.long("denied", row),
            masked: cells.long("masked", row),
            started_us: cells.time("started_at", row),
            ended_us: cells.time("ended_at", row),
            listener: cells.maybe("listener", row),
            settings: cells.maybe("settings", row),
            auth_detail: cells.maybe("auth_detail", row),
            server_session: cells.maybe("server_session", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `commands`, with the row of `responses` that answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `query`, `execute`, `function-call`, `prepare`.
    pub kind: String,
    /// Operations joined by `;`.
    pub operation: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Objects touched.
    pub objects: Vec<String>,
    /// The text.
    pub query_text: String,
    /// The bytes, where they are not UTF-8; in JSON base64.
    #[serde(serialize_with = "base64_or_null")]
    pub query_raw: Option<Vec<u8>>,
    /// SHA-256 of the bytes; in JSON base64.
    #[serde(serialize_with = "base64_or_null")]
    pub query_sha256: Option<Vec<u8>>,
    /// Bind values, JSON text.
    pub params_json: Option<String>,
    /// Name of the prepared statement.
    pub statement: Option<String>,
    /// `allow`, `deny`, `hold`.
    pub decision: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The approval.
    pub approval_id: Option<String>,
    /// OCSF class.
    pub ocsf_class_uid: i32,
    /// OCSF activity.
    pub ocsf_activity_id: i32,
    /// The command that it is part of.
    pub parent_seq: Option<i64>,
    /// Stream or channel.
    pub stream_id: Option<i64>,
    /// Method or verb.
    pub verb: Option<String>,
    /// Resource or path.
    pub resource: Option<String>,
    /// Subresource.
    pub subresource: Option<String>,
    /// Name of the object, operation, tool or function.
    pub name: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Other facts, JSON text.
    pub attrs: Option<String>,
    /// Bytes of the body.
    pub body_len: Option<i64>,
    /// SHA-256 of the body; in JSON base64.
    #[serde(serialize_with = "base64_or_null")]
    pub body_sha256: Option<Vec<u8>>,
    /// How the parameters came.
    pub params_encoding: Option<String>,
    /// Which rules were in force.
    pub policy_version: Option<String>,
    /// Every rule that matched.
    pub rules: Vec<String>,
    /// How it ended, once it did.
    pub response: Option<Box<ResponseRow>>,
}

impl LakeRow for CommandRow {
    const TABLE: Table = Table::Commands;

    fn read(cells: &Cells<'_>, row: usize) -> CommandRow {
        CommandRow {
            common: Common::read(cells, row),
            kind: cells.owned("kind", row),
            operation: cells.owned("operation", row),
            classes: cells.texts("classes", row),
            objects: cells.texts("objects", row),
            query_text: cells.owned("query_text", row),
            query_raw: cells.bytes("query_raw", row),
            query_sha256: cells.bytes("query_sha256", row),
            params_json: cells.maybe("params_json", row),
            statement: cells.maybe("statement", row),
            decision: cells.owned("decision", row),
            rule: cells.maybe("rule", row),
            approval_id: cells.maybe("approval_id", row),
            ocsf_class_uid: cells.int("ocsf_class_uid", row).unwrap_or(0),
            ocsf_activity_id: cells.int("ocsf_activity_id", row).unwrap_or(0),
            parent_seq: cells.long("parent_seq", row),
            stream_id: cells.long("stream_id", row),
            verb: cells.maybe("verb", row),
            resource: cells.maybe("resource", row),
            subresource: cells.maybe("subresource", row),
            name: cells.maybe("name", row),
            namespace: cells.maybe("namespace", row),
            attrs: cells.maybe("attrs", row),
            body_len: cells.long("body_len", row),
            body_sha256: cells.bytes("body_sha256", row),
            params_encoding: cells.maybe("params_encoding", row),
            policy_version: cells.maybe("policy_version", row),
            rules: cells.texts("rules", row),
            response: None,
        }
    }

    fn is_final(&self) -> bool {
        self.decision != "hold"
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `responses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResponseRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `seq` of the command.
    pub command_seq: i64,
    /// `success`, `error`, `denied`, `skipped`, `suspended`, `aborted`.
    pub outcome: String,
    /// SQLSTATE.
    pub status_code: Option<String>,
    /// Text of the error.
    pub error_text: Option<String>,
    /// Command tags.
    pub tag: Option<String>,
    /// Rows sent.
    pub rows_returned: Option<i64>,
    /// Rows touched.
    pub rows_affected: Option<i64>,
    /// Duration.
    pub duration_us: i64,
    /// Time to the first byte.
    pub ttfb_us: i64,
    /// Bytes of the answer.
    pub total_bytes: i64,
    /// Bytes kept of it.
    pub captured_bytes: i64,
    /// Chunks kept of it.
    pub chunk_count: i32,
    /// Names of the result columns.
    pub columns: Vec<String>,
    /// Status of HTTP, exit status of a program.
    pub status: Option<i32>,
    /// Signal that ended a program.
    pub signal: Option<String>,
    /// Whether the record holds less than the client got.
    pub truncated: Option<bool>,
    /// Bytes of the body.
    pub body_len: Option<i64>,
    /// SHA-256 of the body; in JSON base64.
    #[serde(serialize_with = "base64_or_null")]
    pub body_sha256: Option<Vec<u8>>,
    /// Other facts, JSON text.
    pub attrs: Option<String>,
}

impl ResponseRow {
    /// How a command in a container ended, whose status is the upgrade's.
    pub fn exit_code(&self) -> Option<i64> {
        self.counted("exit_code")
    }

    /// How many bytes its client sent into it, of a command of SSH and the like.
    pub fn input_bytes(&self) -> Option<i64> {
        self.counted("input_bytes")
    }

    /// A number among what only some protocols have.
    fn counted(&self, name: &str) -> Option<i64> {
        let attrs = self.attrs.as_deref().filter(|attrs| attrs.contains(name))?;
        let attrs: serde_json::Value = serde_json::from_str(attrs).ok()?;
        attrs.get(name)?.as_i64()
    }
}

impl LakeRow for ResponseRow {
    const TABLE: Table = Table::Responses;

    fn read(cells: &Cells<'_>, row: usize) -> ResponseRow {
        let long = |name| cells.long(name, row).unwrap_or(0);
        ResponseRow {
            common: Common::read(cells, row),
            command_seq: long("command_seq"),
            outcome: cells.owned("outcome", row),
            status_code: cells.maybe("status_code", row),
            error_text: cells.maybe("error_text", row),
            tag: cells.maybe("tag", row),
            rows_returned: cells.long("rows_returned", row),
            rows_affected: cells.long("rows_affected", row),
            duration_us: long("duration_us"),
            ttfb_us: long("ttfb_us"),
            total_bytes: long("total_bytes"),
            captured_bytes: long("captured_bytes"),
            chunk_count: cells.int("chunk_count", row).unwrap_or(0),
            columns: cells.texts("columns", row),
            status: cells.int("status", row),
            signal: cells.maybe("signal", row),
            truncated: cells.flag("truncated", row),
            body_len: cells.long("body_len", row),
            body_sha256: cells.bytes("body_sha256", row),
            attrs: cells.maybe("attrs", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `stream_chunks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChunkRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `seq` of the command.
    pub command_seq: i64,
    /// 0 client to server, 1 server to client, 2 its stream of errors, 3 control.
    pub stream: i32,
    /// Number in its stream and command.
    pub chunk_no: i32,
    /// Offset of its first byte.
    pub byte_offset: i64,
    /// How to read the bytes.
    pub encoding: String,
    /// The bytes; in JSON base64.
    #[serde(serialize_with = "base64")]
    pub payload: Vec<u8>,
    /// When the first of them passed, UTC microseconds.
    pub at_us: Option<i64>,
}

impl LakeRow for ChunkRow {
    const TABLE: Table = Table::StreamChunks;

    fn read(cells: &Cells<'_>, row: usize) -> ChunkRow {
        ChunkRow {
            common: Common::read(cells, row),
            command_seq: cells.long("command_seq", row).unwrap_or(0),
            stream: cells.int("stream", row).unwrap_or(0),
            chunk_no: cells.int("chunk_no", row).unwrap_or(0),
            byte_offset: cells.long("byte_offset", row).unwrap_or(0),
            encoding: cells.owned("encoding", row),
            payload: cells.bytes("payload", row).unwrap_or_default(),
            at_us: cells.long("at_us", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `approvals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ApprovalRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// Id of the approval.
    pub approval_id: String,
    /// `seq` of the command.
    pub command_seq: i64,
    /// The step.
    pub event: String,
    /// Who took it.
    pub approver: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Distinct approvers needed.
    pub quorum: i32,
    /// When it expires.
    #[serde(rename = "expires_at", serialize_with = "rfc3339")]
    pub expires_us: i64,
    /// SHA-256 of what was shown; in JSON base64.
    #[serde(serialize_with = "base64_or_null")]
    pub digest: Option<Vec<u8>>,
    /// For what else it holds, JSON text.
    pub scope: Option<String>,
    /// How the approver proved who it is.
    pub approver_auth: Option<String>,
    /// Where the step was taken.
    pub channel: Option<String>,
}

impl LakeRow for ApprovalRow {
    const TABLE: Table = Table::Approvals;

    fn read(cells: &Cells<'_>, row: usize) -> ApprovalRow {
        ApprovalRow {
            common: Common::read(cells, row),
            approval_id: cells.owned("approval_id", row),
            command_seq: cells.long("command_seq", row).unwrap_or(0),
            event: cells.owned("event", row),
            approver: cells.maybe("approver", row),
            reason: cells.maybe("reason", row),
            quorum: cells.int("quorum", row).unwrap_or(0),
            expires_us: cells.time("expires_at", row).unwrap_or(0),
            digest: cells.bytes("digest", row),
            scope: cells.maybe("scope", row),
            approver_auth: cells.maybe("approver_auth", row),
            channel: cells.maybe("channel", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `masking_hits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MaskingRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `seq` of the command.
    pub command_seq: i64,
    /// Column or channel.
    pub column: String,
    /// Detector.
    pub detector: String,
    /// Operator.
    pub operator: String,
    /// Values changed.
    pub hit_count: i64,
    /// Where in a body the values stood.
    pub path: Option<String>,
}

impl LakeRow for MaskingRow {
    const TABLE: Table = Table::MaskingHits;

    fn read(cells: &Cells<'_>, row: usize) -> MaskingRow {
        MaskingRow {
            common: Common::read(cells, row),
            command_seq: cells.long("command_seq", row).unwrap_or(0),
            column: cells.owned("column", row),
            detector: cells.owned("detector", row),
            operator: cells.owned("operator", row),
            hit_count: cells.long("hit_count", row).unwrap_or(0),
            path: cells.maybe("path", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `shell_lines`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineRow {
    /// What every row has; the time is that of the line's end.
    #[serde(flatten)]
    pub common: Common,
    /// `seq` of the shell.
    pub command_seq: i64,
    /// What the terminal showed; `None` where a gap stands.
    pub line: Option<String>,
    /// Part of it may be missing, or be no part of it.
    pub cut: bool,
    /// Why no lines are derived from here on: `full-screen`, until `full-screen-end`,
    /// `not-captured`, or `not-derived`.
    pub gap: Option<String>,
    /// Always: no program at the other end has said that it read this.
    pub derived: bool,
}

impl LakeRow for LineRow {
    const TABLE: Table = Table::ShellLines;

    fn read(cells: &Cells<'_>, row: usize) -> LineRow {
        LineRow {
            common: Common::read(cells, row),
            command_seq: cells.long("command_seq", row).unwrap_or(0),
            line: cells.maybe("line", row),
            cut: cells.flag("cut", row).unwrap_or(true),
            gap: cells.maybe("gap", row),
            derived: true,
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

impl LineRow {
    /// The line, its rows as its editor showed them; or why there is none.
    pub fn told(&self) -> &str {
        match self.gap.as_deref() {
            None => self.line.as_deref().unwrap_or_default(),
            Some("full-screen") => {
                "(a program has the whole screen: no lines from here, of shells in it neither)"
            }
            Some("full-screen-end") => "(the screen is the shell's again)",
            Some("not-derived") => "(weir failed to derive lines here: see the chunks)",
            Some(_) => "(no more of this terminal was kept: no lines from here)",
        }
    }
}

/// Table `log_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// What happened.
    pub event: String,
    /// `info`, `warn`, `error`.
    pub severity: String,
    /// A sentence.
    pub message: String,
    /// JSON text.
    pub attrs: String,
}

impl LakeRow for EventRow {
    const TABLE: Table = Table::LogEvents;

    fn read(cells: &Cells<'_>, row: usize) -> EventRow {
        EventRow {
            common: Common::read(cells, row),
            event: cells.owned("event", row),
            severity: cells.owned("severity", row),
            message: cells.owned("message", row),
            attrs: cells.owned("attrs", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// `2026-08-22T10:15:30.123456Z`.
pub fn time_text(us: i64) -> String {
    let (day, of_day) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000));
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", date_text(day))
}

fn rfc3339<S: Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*us))
}

fn rfc3339_or_null<S: Serializer>(us: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match us {
        Some(us) => rfc3339(us, serializer),
        None => serializer.serialize_none(),
    }
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn base64_or_null<S: Serializer>(
    bytes: &Option<Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => base64(bytes, serializer),
        None => serializer.serialize_none(),
    }
}
