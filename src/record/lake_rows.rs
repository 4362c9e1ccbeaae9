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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `commands`, with the row of `responses` that answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub rows_returned: i64,
    /// Rows touched.
    pub rows_affected: i64,
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
            rows_returned: long("rows_returned"),
            rows_affected: long("rows_affected"),
            duration_us: long("duration_us"),
            ttfb_us: long("ttfb_us"),
            total_bytes: long("total_bytes"),
            captured_bytes: long("captured_bytes"),
            chunk_count: cells.int("chunk_count", row).unwrap_or(0),
            columns: cells.texts("columns", row),
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `stream_chunks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChunkRow {
    /// What every row has.
    #[serde(flatten)]
    pub common: Common,
    /// `seq` of the command.
    pub command_seq: i64,
    /// 0 client to server, 1 server to client.
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
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `approvals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `masking_hits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Table `log_events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
