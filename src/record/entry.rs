//! The entries of the journal: one variant per kind of row, borrowed from the session's buffers.
//!
//! A held command is written twice under one `seq`: as `Hold` when it begins to wait, and once more
//! with its final decision, whole, when it no longer waits: `Allow` before it is forwarded, `Deny`
//! when the hold was denied, expired or canceled, both with the approval's id. The table `commands`
//! holds one row of it. The sealer makes that row of the final entry; a `Hold` whose final entry is
//! not in the same segment is kept aside in `journal/holds/` and dropped when the final one is in
//! the lake. If the final entry never comes, because the session ended or weir stopped while the
//! command waited, the row is made of the `Hold`: decision `deny` when an `Approval` step or the
//! session's end shows that it was over, `hold` when weir stopped. It was not forwarded in either.

/// UUIDv7, big-endian bytes. Its text form orders by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SessionId(pub [u8; 16]);

/// What every row of a session repeats. Strings are empty until the client is identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionContext {
    /// The session's id.
    pub session_id: SessionId,
    /// `Protocol::name`.
    pub protocol: &'static str,
    /// Identity: who started the session.
    pub user_name: String,
    /// Groups of the identity.
    pub user_groups: Vec<String>,
    /// How the identity was proven.
    pub auth_method: String,
    /// The target's name in the configuration.
    pub target: String,
    /// The database at the target (OpenTelemetry `db.namespace`).
    pub db_namespace: String,
    /// The role weir logged in with.
    pub role: String,
    /// Address and port of the client, as text.
    pub client_addr: String,
    /// `application_name` the client stated.
    pub client_app: String,
    /// `TLSv1_3` and so on, or empty.
    pub tls_version: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A client is identified and logged in at the target. Table `sessions`, phase `start`.
    SessionStart(SessionStart<'a>),
    /// The session is over. Table `sessions`, phase `end`.
    SessionEnd(SessionEnd<'a>),
    /// A command, before it is forwarded. Table `commands`.
    Command(Command<'a>),
    /// The outcome of a command, before its end reaches the client. Table `responses`.
    Response(Response<'a>),
    /// Captured bytes. Table `stream_chunks`.
    Chunk(Chunk<'a>),
    /// A step of an approval. Table `approvals`.
    Approval(Approval<'a>),
    /// What masking did to one column of one answer. Table `masking_hits`.
    MaskingHit(MaskingHit<'a>),
    /// Anything else worth a row. Table `log_events`.
    Event(Event<'a>),
}

/// Facts known once the target accepted the login.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SessionStart<'a> {
    /// Address of the target.
    pub server_addr: &'a str,
    /// `server_version` of the target.
    pub server_version: &'a str,
    /// `sync`, `write` or `relaxed`.
    pub durability: &'a str,
    /// Process id of the backend, to find it in the target's own log.
    pub backend_pid: i32,
}

/// Totals of a session.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SessionEnd<'a> {
    /// `client-terminate`, `client-closed`, or the label of the fault.
    pub reason: &'a str,
    /// Commands recorded.
    pub commands: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// Commands denied.
    pub denied: u64,
    /// Values masked.
    pub masked: u64,
}

/// What became of a command before it was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Forwarded.
    Allow,
    /// Answered with an error.
    Deny,
    /// Waits for approval; recorded once more under its own `seq` when it no longer waits, with
    /// `Allow` or `Deny` and the approval's id.
    Hold,
}

/// Bind values as they came on the wire: for each, its format and bytes, `None` for NULL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params<'a> {
    /// The part of a PostgreSQL Bind body from the count of format codes to the last value.
    pub raw: &'a [u8],
    /// Parameter type OIDs as known, big-endian `u32`s; may be shorter than the values.
    pub types: &'a [u32],
}

/// A command, before it is forwarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Command<'a> {
    /// `query`, `execute`, `function-call`, `prepare`.
    pub kind: &'static str,
    /// Text, credentials redacted, otherwise verbatim; not necessarily UTF-8.
    pub text: &'a [u8],
    /// Operations, such as `SELECT`, one per statement, joined by `;`.
    pub operation: &'a str,
    /// Class names, one per statement.
    pub classes: &'a [&'static str],
    /// Objects touched: `schema.name`, and whether they are written.
    pub objects: &'a [crate::decide::Object],
    /// Bind values.
    pub params: Option<Params<'a>>,
    /// Name of the prepared statement, empty for the unnamed one.
    pub statement: &'a str,
    /// The decision.
    pub decision: Decision,
    /// The rule that decided, empty for the default.
    pub rule: &'a str,
    /// The approval that released the command.
    pub approval_id: Option<SessionId>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Completed.
    Success,
    /// The target answered with an error.
    Error,
    /// weir answered with an error.
    Denied,
    /// An earlier command of the same pipeline failed, the target skipped this one.
    Skipped,
    /// The portal was suspended; rows remain.
    Suspended,
    /// The session ended before the answer did.
    Aborted,
}

/// The outcome of a command, before its end reaches the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Response<'a> {
    /// `seq` of the command.
    pub command_seq: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// SQLSTATE of an error, else empty.
    pub sqlstate: &'a str,
    /// Masked text of an error, else empty.
    pub error_text: &'a str,
    /// Command tags, joined by `;`.
    pub tag: &'a str,
    /// Rows sent to the client.
    pub rows_returned: u64,
    /// Rows the tags say were touched.
    pub rows_affected: u64,
    /// From recording the command to the end of the answer.
    pub duration_us: u64,
    /// From recording the command to the first byte of the answer.
    pub first_byte_us: u64,
    /// Bytes of the answer as the client saw it.
    pub bytes: u64,
    /// Bytes of it that are in `stream_chunks`.
    pub captured_bytes: u64,
    /// Chunks in `stream_chunks`.
    pub chunks: u32,
    /// Names of the result columns of the last row description, each ended by a zero byte.
    pub columns: &'a [u8],
}

/// Captured bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk<'a> {
    /// `seq` of the command.
    pub command_seq: u64,
    /// Direction: 0 client to server, 1 server to client.
    pub stream: u8,
    /// Number of the chunk in its stream and command, from 0.
    pub chunk_no: u32,
    /// Offset of its first byte in the stream of this command.
    pub byte_offset: u64,
    /// `pg-messages`: whole or partial protocol messages, in order; `pg-bind`; `pg-copy`.
    pub encoding: &'static str,
    /// The bytes, masked.
    pub payload: &'a [u8],
}

/// A step of an approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval<'a> {
    /// Id of the approval.
    pub approval_id: SessionId,
    /// `seq` of the held command.
    pub command_seq: u64,
    /// `requested`, `vote-approve`, `vote-deny`, `approved`, `denied`, `expired`, `canceled`.
    pub event: &'static str,
    /// Who voted; empty for steps that nobody took.
    pub approver: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Distinct approvers needed.
    pub quorum: u32,
    /// When it expires, UTC microseconds.
    pub expires_at_us: i64,
}

/// What masking did to one column of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskingHit<'a> {
    /// `seq` of the command.
    pub command_seq: u64,
    /// The column's name in the answer, or the channel: `error`, `notice`, `notification`.
    pub column: &'a str,
    /// The detector or `column` for a column rule.
    pub detector: &'a str,
    /// The operator.
    pub operator: &'a str,
    /// Values changed.
    pub hits: u64,
}

/// Anything else worth a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// `boot`, `shutdown`, `recovery`, `gap`, `seal`, `connection-refused`, `login-failed`, ...
    pub event: &'a str,
    /// `info`, `warn`, `error`.
    pub severity: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
    /// JSON text with the facts.
    pub attrs: &'a str,
}
