//! What an action is in SQL: classes, objects, effects of the statements of a text.
//!
//! In: command texts. Out: `Classified`. Never: a class by guess; what is not known is `Unknown`.

pub mod classify;

pub use classify::Classifier;

/// What kind of command a statement is. Names in rules and records are `Class::name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// SELECT, COPY TO STDOUT, FETCH, SHOW of data, EXPLAIN without ANALYZE.
    Read,
    /// INSERT, bounded UPDATE and DELETE, MERGE, COPY FROM STDIN.
    Write,
    /// UPDATE or DELETE whose WHERE is absent or names no column; TRUNCATE.
    UnboundedWrite,
    /// CREATE, ALTER, DROP, COMMENT, SELECT INTO, CREATE TABLE AS.
    Ddl,
    /// GRANT, REVOKE, roles, policies, default privileges, ownership.
    Grant,
    /// COPY from or to a program at the server.
    CopyProgram,
    /// COPY from or to a file at the server.
    CopyFile,
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION.
    Transaction,
    /// SET, RESET, SHOW, DISCARD, LISTEN, NOTIFY, DEALLOCATE, CLOSE.
    Session,
    /// SET ROLE, SET SESSION AUTHORIZATION.
    SetRole,
    /// DO and CALL.
    Call,
    /// FunctionCall messages (the fast path, large objects of drivers).
    FunctionCall,
    /// VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT, LOAD.
    Maintenance,
    /// A replication connection or command.
    Replication,
    /// Text that does not parse, is too long to parse, or is of a kind not in this list.
    Unknown,
}

impl Class {
    /// Every class, for the configuration's error message and for tests.
    pub const ALL: [Class; 15] = [
        Class::Read,
        Class::Write,
        Class::UnboundedWrite,
        Class::Ddl,
        Class::Grant,
        Class::CopyProgram,
        Class::CopyFile,
        Class::Transaction,
        Class::Session,
        Class::SetRole,
        Class::Call,
        Class::FunctionCall,
        Class::Maintenance,
        Class::Replication,
        Class::Unknown,
    ];

    /// The name in rules and records.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::UnboundedWrite => "unbounded-write",
            Class::Ddl => "ddl",
            Class::Grant => "grant",
            Class::CopyProgram => "copy-program",
            Class::CopyFile => "copy-file",
            Class::Transaction => "transaction",
            Class::Session => "session",
            Class::SetRole => "set-role",
            Class::Call => "call",
            Class::FunctionCall => "function-call",
            Class::Maintenance => "maintenance",
            Class::Replication => "replication",
            Class::Unknown => "unknown",
        }
    }
}

/// A relation or other object a statement names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Schema, if the text states one.
    pub schema: Option<String>,
    /// Name, folded as PostgreSQL folds it.
    pub name: String,
    /// Whether the statement changes it.
    pub write: bool,
}

/// A COPY statement, as far as masking needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// From the client (`true`) or to it.
    pub from_client: bool,
    /// The relation, or `None` for `COPY (query)`.
    pub relation: Option<Object>,
    /// Column list; empty means all columns in order.
    pub columns: Vec<String>,
    /// Text, CSV or binary.
    pub format: CopyFormat,
}

/// How COPY data is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tab or other delimiter, backslash escapes, `\N`.
    Text {
        /// DELIMITER.
        delimiter: u8,
        /// NULL string.
        null: Vec<u8>,
        /// HEADER given.
        header: bool,
    },
    /// Comma or other delimiter, quotes.
    Csv {
        /// DELIMITER.
        delimiter: u8,
        /// QUOTE.
        quote: u8,
        /// ESCAPE.
        escape: u8,
        /// NULL string.
        null: Vec<u8>,
        /// HEADER given.
        header: bool,
    },
    /// PGCOPY binary.
    Binary,
}

/// What the session has to remember or look up for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// COPY with STDIN or STDOUT.
    Copy(Copy),
    /// PREPARE name AS ...: the statement itself is classified as what it prepares.
    Prepare(String),
    /// EXECUTE name: classified as `Unknown` until the session resolves the name.
    Execute(String),
    /// DEALLOCATE name, or all.
    Deallocate(Option<String>),
    /// DECLARE name CURSOR: the statement itself is classified as what the cursor reads.
    Declare {
        /// The portal.
        name: String,
        /// WITH HOLD: it outlives its transaction.
        hold: bool,
    },
    /// FETCH or MOVE: it runs what the portal of this name was opened for.
    Fetch(String),
    /// CLOSE name, or all.
    CloseCursor(Option<String>),
    /// DISCARD ALL: names, settings and the role are as they were when the session began.
    Discard,
    /// The transaction ends here: COMMIT, ROLLBACK, PREPARE TRANSACTION, with or without CHAIN.
    EndTransaction,
    /// RESET of a setting that changes how a text is read, or of all.
    Reset,
    /// A statement after which table shapes may differ: DDL.
    Catalog,
}

/// One statement of a command text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its class.
    pub class: Class,
    /// `SELECT`, `CREATE TABLE`: the command tag's words.
    pub operation: String,
    /// Objects it names.
    pub objects: Vec<Object>,
    /// Column names it refers to anywhere, folded, without duplicates.
    pub columns: Vec<String>,
    /// Whether it refers to whole rows: `*`, `t.*`, or a range variable used as a value.
    pub whole_rows: bool,
    /// What the session must do besides forwarding it.
    pub effect: Effect,
}

/// A classified command text. Cached by text, so it holds nothing that a literal could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Statements in order; an empty text has none.
    pub statements: Vec<Statement>,
    /// Whether the text may hold a credential, so that the record needs redaction.
    pub secrets: bool,
    /// Operations joined by `;`, for the record.
    pub operation: String,
    /// Class names, one per statement, for the record.
    pub classes: Vec<&'static str>,
    /// Objects of all statements, for the record.
    pub objects: Vec<Object>,
}
