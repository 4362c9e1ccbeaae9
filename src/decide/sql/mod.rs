//! What an action is in SQL: classes, objects, effects of the statements of a text.
//!
//! In: command texts. Out: `Classified`. Never: a class by guess; what is not known is `Unknown`.

pub mod classify;
pub mod encoding;
pub mod fast_path;
pub mod own;

use std::rc::Rc;

use super::class::classes;
use super::{Act, Action, Cause, ClassSet, Fact, Object};
use crate::wire::Protocol;

pub use classify::Classifier;
use own::{Cleared, Use};

/// Messages of PostgreSQL's protocol that are no commands (manual, Message Formats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plumbing {
    /// What a server says until its first ReadyForQuery.
    Login,
    /// Sync and Flush: the order of a pipeline.
    Pipeline,
    /// Describe and Close: of names that were given by permitted messages.
    Names,
    /// CopyData, CopyDone and CopyFail of a COPY that was permitted.
    CopyIn,
    /// What follows the beginning of a permitted message.
    Rest,
    /// Terminate.
    Terminate,
    /// Answers of permitted commands.
    Answer,
    /// What the server says by itself: notices, notifications, settings.
    Asynchronous,
}

impl super::Plumbing for Plumbing {}

classes! {
    /// What a statement does; it may do several things. Names in rules and records are
    /// `Class::name`.
    pub enum Class {
        /// Answers with data of relations, or computes.
        Read = plain("read"),
        /// INSERT, bounded UPDATE and DELETE, MERGE, COPY FROM STDIN, sequences, row locks.
        Write = plain("write"),
        /// UPDATE or DELETE that no column of the target bounds; TRUNCATE.
        UnboundedWrite = plain("unbounded-write"),
        /// CREATE, ALTER, DROP, COMMENT, SELECT INTO, CREATE TABLE AS.
        Ddl = plain("ddl"),
        /// GRANT, REVOKE, roles, policies, default privileges, ownership.
        Grant = plain("grant"),
        /// COPY from or to a program at the server.
        CopyProgram = plain("copy-program"),
        /// Files at the server, by COPY or by functions.
        CopyFile = plain("copy-file"),
        /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT.
        Transaction = follows("transaction"),
        /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED: of any session.
        PreparedTransaction = plain("prepared-transaction"),
        /// SET, RESET, SHOW, DISCARD, LISTEN, NOTIFY, DEALLOCATE, CLOSE.
        Session = plain("session"),
        /// SET ROLE, SET SESSION AUTHORIZATION.
        SetRole = plain("set-role"),
        /// DO, CALL, functions of users and of extensions.
        Call = plain("call"),
        /// FunctionCall messages (the fast path, large objects of drivers).
        FunctionCall = plain("function-call"),
        /// VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT, LOAD; other sessions and the server.
        Maintenance = plain("maintenance"),
        /// A replication connection or command: every table, past all masks and classes.
        Replication = named("replication"),
        /// Text that the server is known to refuse as it stands: a syntax error, where no other
        /// reading of the text exists. It does nothing, and the server words the error best.
        Malformed = follows("malformed"),
        /// Text that does not parse, is too long to parse, or is of a kind not in this list.
        Unknown = plain("unknown"),
    }
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
pub enum Consequence {
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

/// What a column of an answer is made of: of no value of a row but these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Columns, by name, of relations that the statement names.
    pub columns: Vec<Box<str>>,
    /// Other names in it: of tables, of parts of a value.
    pub others: Vec<Box<str>>,
}

/// What a statement puts where it stays: rows of a table, by the names that the text has for it.
/// Conditions are no part of it, and neither is what the statement answers with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Columns that are mentioned in what is put there, each with the column that it is assigned
    /// to where the text says so (`SET a = ..`).
    pub columns: Vec<(String, Option<String>)>,
    /// All columns of what is read: `*`.
    pub all_read: bool,
    /// All columns of these: `t.*`.
    pub starred: Vec<Object>,
    /// Columns of what is written are assigned to, by what may be columns of it.
    pub assigns: bool,
    /// Rows by their name, or all columns of something.
    pub rows: bool,
    /// Relations that are read; they may be written as well.
    pub read: Vec<Object>,
    /// A relation is parted from its parent, whose columns' rules were its own.
    pub parted: bool,
    /// Columns that get another type, their values with them.
    pub retyped: Vec<String>,
    /// What it is stands in a text elsewhere (CREATE TABLE AS EXECUTE).
    pub unseen: bool,
}

/// Rows that show under another name from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shows {
    /// The relation whose rows they are.
    pub of: Object,
    /// Under what name they show: a parent's, or the new one.
    pub by: String,
    /// What has that name.
    pub how: Showing,
}

/// Whose name it is that rows show under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// A parent's.
    Within,
    /// Their relation's own, from now on.
    Renamed,
    /// Their type's own, from now on: it has no rows but in columns of relations.
    TypeRenamed,
}

/// One statement of a command text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub classes: ClassSet,
    /// `SELECT`, `CREATE TABLE`: the command tag's words.
    pub operation: String,
    /// Objects it names.
    pub objects: Rc<[Object]>,
    /// What depends on the objects goes with them: CASCADE.
    pub cascades: bool,
    /// Column names it refers to anywhere, folded, without duplicates.
    pub columns: Vec<String>,
    /// Whether it refers to whole rows: `*`, `t.*`, or a range variable used as a value.
    pub whole_rows: bool,
    /// What each column of its answer is made of, in order; empty where they cannot be counted.
    pub made: Vec<Option<Made>>,
    /// A star stands in front of this one of them: any number of columns.
    pub star: Option<usize>,
    /// What it puts where it stays, if it puts anything anywhere.
    pub stored: Option<Box<Stored>>,
    /// What it lets show under other names: INHERIT, ATTACH PARTITION, RENAME.
    pub shows: Vec<Shows>,
    /// Functions it calls that put an argument where others find it: settings, locks, sequences,
    /// large objects, the seed of `random`.
    pub sinks: Rc<[Box<str>]>,
    /// What the session must do besides forwarding it.
    pub effect: Consequence,
    /// Cursors whose rows it writes: WHERE CURRENT OF.
    pub cursors: Rc<[Box<str>]>,
    /// Settings it changes.
    pub facts: Vec<Fact>,
    /// Functions and settings that its classes come from.
    pub causes: Vec<Cause>,
    /// What it uses that may be code of users at one target and is none at another (`own`).
    pub uses: Rc<[Use]>,
}

impl Statement {
    /// What a column of its answer is made of, if the answer has so many.
    pub fn made_of(&self, column: usize, columns: usize) -> Option<&Made> {
        let told = self.made.len();
        let place = match self.star {
            None if told != columns => return None,
            Some(_) if told > columns => return None,
            // Those behind the star are counted from the end.
            Some(star) if column >= star => {
                (column + told).checked_sub(columns).filter(|&at| at >= star)?
            }
            _ => column,
        };
        self.made.get(place)?.as_ref()
    }

    fn act(&self) -> Act {
        Act {
            classes: self.classes,
            operation: self.operation.clone().into(),
            objects: Rc::clone(&self.objects),
            cascades: self.cascades,
            kin: Vec::new(),
            facts: self.facts.clone(),
            causes: self.causes.clone(),
        }
    }
}

/// A classified command text. Cached by text, so it holds nothing that a literal could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Statements in order; an empty text has none.
    pub statements: Vec<Statement>,
    /// What they are to rules and records.
    pub action: Action,
    /// Whether the text may hold a credential, so that the record needs redaction.
    pub secrets: bool,
    /// The grammar has no place for it: a server that reads it as the parser here does refuses it.
    pub is_syntax_error: bool,
    /// The code of a target that it was found to run nothing of.
    pub cleared: Cleared,
}

impl Classified {
    /// Of these statements; `secrets` tells whether their text may hold a credential.
    pub fn new(statements: Vec<Statement>, secrets: bool) -> Classified {
        let acts = statements.iter().map(Statement::act).collect();
        let action = Action::new(Protocol::Postgres, acts);
        Classified {
            action,
            statements,
            secrets,
            is_syntax_error: false,
            cleared: Cleared::default(),
        }
    }

    /// Of something that is no text.
    pub fn of(class: Class, operation: &'static str) -> Classified {
        let acts = vec![Act::of(class, operation)];
        let action = Action::new(Protocol::Postgres, acts);
        Classified { action, ..Classified::new(Vec::new(), false) }
    }
}
