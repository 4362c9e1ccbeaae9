//! The entries of the journal: one variant per kind of row, borrowed from the session's buffers.
//!
//! A held command is written twice under one `seq`: as `Hold` when it begins to wait, and once more
//! with its final decision, whole, when it no longer waits: `Allow` before it is forwarded, `Deny`
//! when the hold was denied, expired or canceled, `Abandoned` when its client left, all with the
//! approval's id. The table `commands`
//! holds one row of it. The sealer makes that row of the final entry; a `Hold` whose final entry is
//! not in the same segment is kept aside in `journal/holds/` and dropped when the final one is in
//! the lake. If the final entry never comes, because the session ended or weir stopped while the
//! command waited, the row is made of the `Hold`: decision `abandoned` when the session's end shows
//! that it was over, or when what weir left behind is recovered. It was not forwarded.

use crate::decide::RuleName;

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

/// Facts known once the target accepted the login. An empty text is none.
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
    /// Address of the listener that accepted the client.
    pub listener: &'a str,
    /// Settings the session begins with (PostgreSQL's start-up parameters), JSON text.
    pub settings: &'a str,
    /// Facts of the proof: key or certificate, token's issuer, JSON text.
    pub auth_detail: &'a str,
    /// The target's own id of the session, where it tells one that is no process id.
    pub server_session: &'a str,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Decision {
    /// Forwarded.
    Allow,
    /// Answered with an error.
    #[default]
    Deny,
    /// Waits for approval; recorded once more under its own `seq` when it no longer waits, with
    /// its final decision and the approval's id.
    Hold,
    /// Not forwarded, and refused by nobody: its client left while it waited, or took it back.
    Abandoned,
}

/// How the bytes of parameters are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ParamsEncoding {
    /// The part of a PostgreSQL Bind or FunctionCall body from the count of format codes to the
    /// last value.
    #[default]
    PgBind = 1,
    /// JSON text.
    Json = 2,
    /// Words, each ended by a zero byte: the arguments of a program.
    Words = 3,
}

impl ParamsEncoding {
    /// Its name in the column `params_encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            ParamsEncoding::PgBind => "pg-bind",
            ParamsEncoding::Json => "json",
            ParamsEncoding::Words => "words",
        }
    }
}

/// Parameters as they came on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Params<'a> {
    /// How `raw` is to be read.
    pub encoding: ParamsEncoding,
    /// The parameters, with their secrets.
    pub raw: &'a [u8],
    /// Of `PgBind`: parameter type OIDs as known; may be shorter than the values.
    pub types: &'a [u32],
    /// Of `PgBind`: numbers of the parameters that are secrets, as in `$1`, ascending. Their
    /// values are not written to the journal.
    pub secrets: &'a [u16],
    /// Of `PgBind`: encoding of what is text in it, as the target names it; empty: UTF-8, or ASCII
    /// alone.
    pub text_encoding: &'a str,
}

/// A class and an activity of OCSF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ocsf {
    /// `class_uid`: 4002 HTTP Activity, 4007 SSH Activity, 6003 API Activity, 6005 Datastore
    /// Activity.
    pub class_uid: u16,
    /// `activity_id` in that class.
    pub activity_id: u16,
}

/// What commands of some protocols have and those of others lack. An empty text or list is none,
/// and costs nothing in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct CommandExtra<'a, Rules = &'a [RuleName]> {
    /// Class and activity. None: a command of a database, and its operation says which.
    pub ocsf: Option<Ocsf>,
    /// `seq` of the command that this one is part of.
    pub parent_seq: Option<u64>,
    /// Number of the channel of SSH in its connection, counted by weir.
    pub stream_id: Option<u64>,
    /// Method of HTTP, JSON-RPC method of MCP, verb of Kubernetes.
    pub verb: &'a str,
    /// Resource of Kubernetes, path of HTTP, SFTP and the like.
    pub resource: &'a str,
    /// Subresource of Kubernetes.
    pub subresource: &'a str,
    /// Name of the object, operation, tool or function.
    pub name: &'a str,
    /// Namespace of Kubernetes.
    pub namespace: &'a str,
    /// Other facts, JSON text.
    pub attrs: &'a str,
    /// Bytes of the body.
    pub body_len: Option<u64>,
    /// SHA-256 of the body.
    pub body_sha256: Option<&'a [u8; 32]>,
    /// Which rules were in force.
    pub policy_version: &'a str,
    /// Every rule that matched, in the order of the configuration; none where `alone` says it.
    pub rules: Rules,
    /// The rule that decided is the only one that matched.
    pub alone: bool,
    /// Encoding of the text as the target names it; empty: UTF-8, or ASCII alone.
    pub text_encoding: &'a str,
}

/// A command, before it is forwarded.
#[derive(Clone, Debug, PartialEq, Default)]
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
    /// What only some protocols have.
    pub extra: CommandExtra<'a>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Completed.
    Success,
    /// The target answered with an error.
    Error,
    /// weir answered with an error.
    Denied,
    /// An earlier command of the same pipeline failed, the target skipped this one.
    Skipped,
    /// The portal was suspended; rows remain. Or people are asked still, and the client was told to
    /// ask again.
    Suspended,
    /// The session ended before the answer did.
    #[default]
    Aborted,
    /// Its client left or took it back while it waited for people: nobody refused it.
    Abandoned,
}

/// The outcome of a command, before its end reaches the client.
#[derive(Clone, Debug, PartialEq, Default)]
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
    /// Rows sent to the client; none where answers have no rows.
    pub rows_returned: Option<u64>,
    /// Rows the tags say were touched.
    pub rows_affected: Option<u64>,
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
    /// Names of the result columns of the last row description, each ended by a zero byte; none
    /// where answers have no columns.
    pub columns: Option<&'a [u8]>,
    /// What only some protocols have.
    pub extra: ResponseExtra<'a>,
}

/// What answers of some protocols have and those of others lack. An empty text is none.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ResponseExtra<'a> {
    /// Status of HTTP, exit status of a program.
    pub status: Option<i32>,
    /// Signal that ended a program, such as `TERM`.
    pub signal: &'a str,
    /// Whether the record holds less than the client got; none where nobody asked.
    pub truncated: Option<bool>,
    /// Bytes of the body.
    pub body_len: Option<u64>,
    /// SHA-256 of the body.
    pub body_sha256: Option<&'a [u8; 32]>,
    /// Other facts, JSON text.
    pub attrs: &'a str,
}

/// Captured bytes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Chunk<'a> {
    /// `seq` of the command.
    pub command_seq: u64,
    /// 0 client to server, 1 server to client, 2 server to client on its stream of errors,
    /// 3 control: sizes, signals, frames of a protocol that are no data.
    pub stream: u8,
    /// Number of the chunk in its stream and command, from 0.
    pub chunk_no: u32,
    /// Offset of its first byte in the stream of this command.
    pub byte_offset: u64,
    /// `pg-messages`: whole or partial protocol messages, in order; `pg-bind`; `pty-events`; `raw`.
    pub encoding: &'static str,
    /// The bytes, masked.
    pub payload: &'a [u8],
    /// When its first byte passed, UTC microseconds; the entry itself is written when it is full
    /// or the answer ends. None: then.
    pub at_us: Option<i64>,
}

/// A step of an approval.
#[derive(Clone, Debug, PartialEq, Default)]
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
    /// SHA-256 of all that was shown to the approver.
    pub digest: Option<&'a [u8; 32]>,
    /// For what else than this execution it holds, JSON text; empty: for nothing.
    pub scope: &'a str,
    /// How the approver proved who it is; empty for steps that nobody took.
    pub approver_auth: &'a str,
    /// Where the step was taken: `cli`, `console`, `api`, `webhook`; empty: by weir.
    pub channel: &'a str,
}

/// What masking did to one column of one answer.
#[derive(Clone, Debug, PartialEq, Default)]
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
    /// Where in a body the value stood, as a path of JSON; empty: the column says it.
    pub path: &'a str,
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
