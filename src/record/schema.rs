//! The tables of the lake: their columns, and how an entry becomes a row.
//!
//! In: frames with the context of their session. Out: values for a sink; Arrow record batches.
//! Never: a type that one of DuckDB, Spark, Trino, pandas or polars reads differently.
//!
//! Columns are only ever appended, and then nullable; a column is never renamed or retyped, but one
//! that always had a value may become nullable (`responses` of version 2). Every
//! entry is one row of one table and carries its log index there. Three things stand beside that:
//! `touches` is derived from `commands`, `shell_lines` from `stream_chunks`, and a `Hold` is
//! mirrored as an event `hold` in `log_events`, since the row of a held command is made of its
//! final entry.

use std::num::NonZeroU32;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::SessionId;
use super::rows::uuid_text;

/// Version of the column set, in every row.
pub const SCHEMA_VERSION: i32 = 2;

/// A table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Starts and ends of sessions.
    Sessions,
    /// One row per execution.
    Commands,
    /// One row per outcome.
    Responses,
    /// Captured bytes.
    StreamChunks,
    /// Steps of approvals.
    Approvals,
    /// What masking did.
    MaskingHits,
    /// Everything else.
    LogEvents,
    /// Derived: one row per command and object.
    Touches,
    /// Derived: one row per line that a terminal showed being typed.
    ShellLines,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 9] = [
        Table::Sessions,
        Table::Commands,
        Table::Responses,
        Table::StreamChunks,
        Table::Approvals,
        Table::MaskingHits,
        Table::LogEvents,
        Table::Touches,
        Table::ShellLines,
    ];

    /// Name of the table and of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Sessions => "sessions",
            Table::Commands => "commands",
            Table::Responses => "responses",
            Table::StreamChunks => "stream_chunks",
            Table::Approvals => "approvals",
            Table::MaskingHits => "masking_hits",
            Table::LogEvents => "log_events",
            Table::Touches => "touches",
            Table::ShellLines => "shell_lines",
        }
    }

    /// Columns after the common ones.
    const fn own_columns(self) -> &'static [Column] {
        match self {
            Table::Sessions => SESSIONS,
            Table::Commands => COMMANDS,
            Table::Responses => RESPONSES,
            Table::StreamChunks => STREAM_CHUNKS,
            Table::Approvals => APPROVALS,
            Table::MaskingHits => MASKING_HITS,
            Table::LogEvents => LOG_EVENTS,
            Table::Touches => TOUCHES,
            Table::ShellLines => SHELL_LINES,
        }
    }

    /// All columns, in order.
    pub fn columns(self) -> impl Iterator<Item = &'static Column> {
        COMMON.iter().chain(self.own_columns())
    }

    /// The Arrow schema.
    pub fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.columns().map(Column::field).collect::<Vec<_>>()))
    }

    /// Names of the columns by which the rows of a file are sorted.
    pub const fn sorted_by(self) -> [&'static str; 2] {
        match self {
            Table::Touches => ["object", "ts"],
            _ => ["session_id", "seq"],
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
    /// INT32.
    Int,
    /// INT64.
    Long,
    /// TIMESTAMP(MICROS, UTC).
    Time,
    /// LIST<STRING>.
    Texts,
    /// BOOLEAN.
    Flag,
}

/// What readers may skip by, and how texts and bytes are encoded; numbers are deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Filters and joins use it: statistics per page.
    Key,
    /// A growing number: statistics per page.
    Count,
    /// Few distinct values: statistics per column chunk.
    Label,
    /// Content: no statistics, so that no piece of it stands in a footer.
    Content,
    /// Content that rarely repeats: no statistics, no dictionary.
    Blob,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// How it is used.
    pub usage: Use,
    /// Whether it may have none.
    pub nullable: bool,
}

const fn need(name: &'static str, kind: Type, usage: Use) -> Column {
    Column { name, kind, usage, nullable: false }
}

const fn may(name: &'static str, kind: Type, usage: Use) -> Column {
    Column { name, kind, usage, nullable: true }
}

impl Column {
    fn field(&self) -> Field {
        let kind = match self.kind {
            Type::Text => DataType::Utf8,
            Type::Bytes => DataType::Binary,
            Type::Int => DataType::Int32,
            Type::Long => DataType::Int64,
            Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::Texts => DataType::List(Arc::new(element())),
            Type::Flag => DataType::Boolean,
        };
        Field::new(self.name, kind, self.nullable)
    }
}

/// The Parquet specification names it so; Arrow's own default is `item`.
fn element() -> Field {
    Field::new("element", DataType::Utf8, false)
}

const COMMON: &[Column] = &[
    need("ts", Type::Time, Use::Count),
    need("session_id", Type::Text, Use::Key),
    need("seq", Type::Long, Use::Count),
    need("log_shard", Type::Int, Use::Label),
    need("log_index", Type::Long, Use::Count),
    need("node", Type::Text, Use::Label),
    need("user_name", Type::Text, Use::Key),
    need("user_groups", Type::Texts, Use::Label),
    need("target", Type::Text, Use::Key),
    need("protocol", Type::Text, Use::Label),
    may("db_namespace", Type::Text, Use::Label),
    may("role", Type::Text, Use::Label),
    may("client_addr", Type::Text, Use::Label),
    need("schema_v", Type::Int, Use::Label),
];

const SESSIONS: &[Column] = &[
    need("phase", Type::Text, Use::Label),
    may("auth_method", Type::Text, Use::Label),
    may("client_app", Type::Text, Use::Label),
    may("tls_version", Type::Text, Use::Label),
    may("server_addr", Type::Text, Use::Label),
    may("server_version", Type::Text, Use::Label),
    may("backend_pid", Type::Int, Use::Label),
    may("durability_mode", Type::Text, Use::Label),
    may("end_reason", Type::Text, Use::Label),
    may("commands", Type::Long, Use::Label),
    may("bytes_in", Type::Long, Use::Label),
    may("bytes_out", Type::Long, Use::Label),
    may("denied", Type::Long, Use::Label),
    may("masked", Type::Long, Use::Label),
    may("started_at", Type::Time, Use::Count),
    may("ended_at", Type::Time, Use::Count),
    may("listener", Type::Text, Use::Label),
    may("settings", Type::Text, Use::Content),
    may("auth_detail", Type::Text, Use::Content),
    may("server_session", Type::Text, Use::Label),
];

const COMMANDS: &[Column] = &[
    need("kind", Type::Text, Use::Label),
    need("ocsf_class_uid", Type::Int, Use::Label),
    need("ocsf_activity_id", Type::Int, Use::Label),
    need("operation", Type::Text, Use::Label),
    need("classes", Type::Texts, Use::Label),
    need("objects", Type::Texts, Use::Label),
    need("query_text", Type::Text, Use::Content),
    may("query_raw", Type::Bytes, Use::Blob),
    need("query_len", Type::Long, Use::Label),
    need("query_sha256", Type::Bytes, Use::Content),
    may("params_json", Type::Text, Use::Blob),
    may("statement", Type::Text, Use::Label),
    need("decision", Type::Text, Use::Label),
    may("rule", Type::Text, Use::Label),
    may("approval_id", Type::Text, Use::Label),
    may("parent_seq", Type::Long, Use::Label),
    may("stream_id", Type::Long, Use::Label),
    may("verb", Type::Text, Use::Label),
    may("resource", Type::Text, Use::Content),
    may("subresource", Type::Text, Use::Label),
    may("name", Type::Text, Use::Label),
    may("namespace", Type::Text, Use::Label),
    may("attrs", Type::Text, Use::Blob),
    may("body_len", Type::Long, Use::Label),
    may("body_sha256", Type::Bytes, Use::Content),
    may("params_encoding", Type::Text, Use::Label),
    may("policy_version", Type::Text, Use::Label),
    may("rules", Type::Texts, Use::Label),
];

const RESPONSES: &[Column] = &[
    need("command_seq", Type::Long, Use::Count),
    need("outcome", Type::Text, Use::Label),
    may("status_code", Type::Text, Use::Label),
    may("error_text", Type::Text, Use::Content),
    may("tag", Type::Text, Use::Label),
    may("rows_returned", Type::Long, Use::Label),
    may("rows_affected", Type::Long, Use::Label),
    need("duration_us", Type::Long, Use::Label),
    need("ttfb_us", Type::Long, Use::Label),
    need("total_bytes", Type::Long, Use::Label),
    need("captured_bytes", Type::Long, Use::Label),
    need("chunk_count", Type::Int, Use::Label),
    may("columns", Type::Texts, Use::Label),
    may("status", Type::Int, Use::Label),
    may("signal", Type::Text, Use::Label),
    may("truncated", Type::Flag, Use::Label),
    may("body_len", Type::Long, Use::Label),
    may("body_sha256", Type::Bytes, Use::Content),
    may("attrs", Type::Text, Use::Blob),
];

const STREAM_CHUNKS: &[Column] = &[
    need("command_seq", Type::Long, Use::Count),
    need("stream", Type::Int, Use::Label),
    need("chunk_no", Type::Int, Use::Label),
    need("byte_offset", Type::Long, Use::Label),
    need("raw_len", Type::Int, Use::Label),
    need("encoding", Type::Text, Use::Label),
    need("payload", Type::Bytes, Use::Blob),
    may("at_us", Type::Long, Use::Label),
];

const APPROVALS: &[Column] = &[
    need("approval_id", Type::Text, Use::Key),
    need("command_seq", Type::Long, Use::Count),
    need("event", Type::Text, Use::Label),
    may("approver", Type::Text, Use::Label),
    may("reason", Type::Text, Use::Content),
    need("quorum", Type::Int, Use::Label),
    need("expires_at", Type::Time, Use::Count),
    may("digest", Type::Bytes, Use::Content),
    may("scope", Type::Text, Use::Content),
    may("approver_auth", Type::Text, Use::Label),
    may("channel", Type::Text, Use::Label),
];

const MASKING_HITS: &[Column] = &[
    need("command_seq", Type::Long, Use::Count),
    need("column", Type::Text, Use::Label),
    need("detector", Type::Text, Use::Label),
    need("operator", Type::Text, Use::Label),
    need("hit_count", Type::Long, Use::Label),
    may("path", Type::Text, Use::Label),
];

const LOG_EVENTS: &[Column] = &[
    need("event", Type::Text, Use::Key),
    need("severity", Type::Text, Use::Label),
    need("message", Type::Text, Use::Content),
    need("attrs", Type::Text, Use::Blob),
];

const TOUCHES: &[Column] =
    &[need("object", Type::Text, Use::Key), need("action", Type::Text, Use::Label)];

const SHELL_LINES: &[Column] = &[
    need("command_seq", Type::Long, Use::Count),
    may("line", Type::Text, Use::Content),
    may("cut", Type::Flag, Use::Label),
    may("gap", Type::Text, Use::Label),
];

/// SHA-256.
pub(in crate::record) fn sha256(text: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, text);
    match digest.as_ref().try_into() {
        Ok(digest) => digest,
        Err(_) => unreachable!("SHA-256 has 32 bytes"),
    }
}

/// Takes the values of rows, in the order of their table's columns.
pub(in crate::record) trait Sink {
    /// A row begins. `context` numbers what all rows of a session have in common, if that is known.
    fn begin_row(&mut self, _context: Option<NonZeroU32>) {}

    /// The id of the row's session.
    fn session_id(&mut self, id: &SessionId) {
        self.text(uuid_text(id, &mut [0; 36]));
    }

    /// A text or NULL that follows from the row's context.
    fn context_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.nulls(1),
        }
    }

    /// SHA-256 of a text.
    fn digest(&mut self, text: &[u8]) {
        self.blob(Some(&sha256(text)));
    }

    /// A text.
    fn text(&mut self, value: &str);

    /// A text; empty means unknown: NULL.
    fn text_or_null(&mut self, value: &str) {
        if value.is_empty() {
            self.nulls(1);
        } else {
            self.text(value);
        }
    }

    /// Bytes or NULL.
    fn blob(&mut self, value: Option<&[u8]>);

    /// INT32.
    fn int(&mut self, value: i32);

    /// INT32 or NULL.
    fn int_or_null(&mut self, value: Option<i32>) {
        match value {
            Some(value) => self.int(value),
            None => self.nulls(1),
        }
    }

    /// INT64; what is more than it holds is its greatest.
    fn long(&mut self, value: u64);

    /// INT64 or NULL.
    fn long_or_null(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.long(value),
            None => self.nulls(1),
        }
    }

    /// BOOLEAN.
    fn flag(&mut self, value: bool);

    /// Microseconds since 1970, UTC, or NULL.
    fn time(&mut self, value: Option<i64>);

    /// A list.
    fn texts<'a>(&mut self, values: impl Iterator<Item = &'a str>);

    /// NULL for so many columns.
    fn nulls(&mut self, count: usize);

    /// All columns have their value.
    fn end_row(&mut self);
}

/// Arrow columns of a table being filled, for readers of what is not sealed; reused from batch to
/// batch.
pub struct Columns {
    schema: SchemaRef,
    builders: Vec<Builder>,
    next: usize,
}

enum Builder {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Time(TimestampMicrosecondBuilder),
    Texts(ListBuilder<StringBuilder>),
    Flag(BooleanBuilder),
}

impl Columns {
    /// Empty columns of a table.
    pub fn new(table: Table) -> Columns {
        let builders = table
            .columns()
            .map(|column| match column.kind {
                Type::Text => Builder::Text(StringBuilder::new()),
                Type::Bytes => Builder::Bytes(BinaryBuilder::new()),
                Type::Int => Builder::Int(Int32Builder::new()),
                Type::Long => Builder::Long(Int64Builder::new()),
                Type::Time => {
                    Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
                }
                Type::Texts => Builder::Texts(
                    ListBuilder::new(StringBuilder::new()).with_field(Arc::new(element())),
                ),
                Type::Flag => Builder::Flag(BooleanBuilder::new()),
            })
            .collect();
        Columns { schema: table.schema(), builders, next: 0 }
    }

    /// The columns as a batch; empties them.
    ///
    /// # Errors
    /// Never for rows that `rows` made; Arrow checks lengths and nulls once more.
    pub fn finish(&mut self) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    fn take(&mut self) -> &mut Builder {
        let at = self.next;
        self.next += 1;
        &mut self.builders[at]
    }
}

impl Sink for Columns {
    fn text(&mut self, value: &str) {
        match self.take() {
            Builder::Text(builder) => builder.append_value(value),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn blob(&mut self, value: Option<&[u8]>) {
        match self.take() {
            Builder::Bytes(builder) => builder.append_option(value),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn int(&mut self, value: i32) {
        match self.take() {
            Builder::Int(builder) => builder.append_value(value),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn long(&mut self, value: u64) {
        match self.take() {
            Builder::Long(builder) => builder.append_value(value.min(i64::MAX as u64) as i64),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn flag(&mut self, value: bool) {
        match self.take() {
            Builder::Flag(builder) => builder.append_value(value),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn time(&mut self, value: Option<i64>) {
        match self.take() {
            Builder::Time(builder) => builder.append_option(value),
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn texts<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        match self.take() {
            Builder::Texts(builder) => {
                for value in values {
                    builder.values().append_value(value);
                }
                builder.append(true);
            }
            _ => unreachable!("the row does not follow its table's columns"),
        }
    }

    fn nulls(&mut self, count: usize) {
        for _ in 0..count {
            match self.take() {
                Builder::Text(builder) => builder.append_null(),
                Builder::Bytes(builder) => builder.append_null(),
                Builder::Int(builder) => builder.append_null(),
                Builder::Long(builder) => builder.append_null(),
                Builder::Time(builder) => builder.append_null(),
                Builder::Texts(builder) => builder.append(false),
                Builder::Flag(builder) => builder.append_null(),
            }
        }
    }

    fn end_row(&mut self) {
        assert_eq!(self.next, self.builders.len(), "a row has a value for every column");
        self.next = 0;
    }
}

impl Builder {
    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bytes(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Long(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
            Builder::Texts(builder) => Arc::new(builder.finish()),
            Builder::Flag(builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn columns_have_names_of_their_own_and_files_are_sorted_by_some_of_them() {
        for table in Table::ALL {
            let names: Vec<&str> = table.columns().map(|column| column.name).collect();
            let distinct: HashSet<&str> = names.iter().copied().collect();
            assert_eq!(names.len(), distinct.len(), "{}", table.name());
            assert!(!distinct.contains("date"), "the folder's name carries it");
            for by in table.sorted_by() {
                assert!(distinct.contains(by), "{} by {by}", table.name());
            }
        }
    }

    #[test]
    fn content_never_has_statistics() {
        for name in [
            "query_text",
            "query_raw",
            "params_json",
            "payload",
            "error_text",
            "attrs",
            "settings",
            "auth_detail",
            "resource",
            "scope",
        ] {
            let columns = Table::ALL.iter().flat_map(|table| table.columns());
            let mut found = columns.filter(|column| column.name == name).peekable();
            assert!(found.peek().is_some(), "{name}");
            assert!(found.all(|column| matches!(column.usage, Use::Content | Use::Blob)), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "a value for every column")]
    fn a_row_with_too_few_values_is_our_bug() {
        let mut columns = Columns::new(Table::Touches);
        columns.time(Some(0));
        columns.end_row();
    }
}
