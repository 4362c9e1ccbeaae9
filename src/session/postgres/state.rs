//! What a logged-in session owes and remembers: replies outstanding, prepared statements, portals.
//!
//! In: messages as they are forwarded. Out: which reply belongs to which message.
//! Never: bytes, decisions.
//!
//! A message that will be answered leaves an [`Expect`] in the queue; the target answers in order.
//!
//! ```text
//!   client sends        queue                     target answers
//!   Parse               ParseComplete             1            or E: then nothing until Sync
//!   Bind                BindComplete              2
//!   Describe portal     DescribePortal            T or n
//!   Execute             Execute                   D* then C, I or s; or G, H ... C for COPY
//!   Sync                Sync                      Z
//!   Query               Query                     (T D* C | I | E)* Z
//! ```

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::approval::Grant;
use crate::decide::{Classified, Matched, RuleName};
use crate::mask::operator::HIDDEN;
use crate::record::params;

use super::beliefs::names::{Meaning, Tick, Undo};

/// A prepared statement.
#[derive(Debug)]
pub struct Prepared {
    /// Name, empty for the unnamed one.
    pub name: Box<str>,
    /// Text as recorded: credentials redacted.
    pub text: Rc<[u8]>,
    /// Encoding of the text as the target names it; empty where it is UTF-8 or ASCII.
    pub encoding: Box<str>,
    /// Numbers of the parameters that are credentials, as in `$2`.
    pub secrets: Box<[u16]>,
    /// What it is.
    pub classified: Rc<Classified>,
    /// Parameter types: the client's, later the target's.
    pub types: RefCell<Vec<u32>>,
    /// Whether the record already has its text.
    pub recorded: Cell<bool>,
}

/// Whether something is hidden in a recorded text.
pub fn is_redacted(text: &[u8]) -> bool {
    memchr::memmem::find(text, HIDDEN).is_some()
}

impl Prepared {
    /// Whether its text, or one of its values, is not recorded as it is.
    pub fn holds_secrets(&self) -> bool {
        !self.secrets.is_empty() || is_redacted(&self.text)
    }

    /// The text as people read it.
    pub fn shown_text(&self) -> Cow<'_, str> {
        params::shown_text(&self.encoding, &self.text)
    }

    /// The same again, for one that differs in what it is.
    pub fn copy(&self) -> Prepared {
        Prepared {
            name: self.name.clone(),
            text: Rc::clone(&self.text),
            encoding: self.encoding.clone(),
            secrets: self.secrets.clone(),
            classified: Rc::clone(&self.classified),
            types: self.types.clone(),
            recorded: self.recorded.clone(),
        }
    }
}

/// An approval that released a portal's command.
#[derive(Clone, Debug)]
pub struct Approved {
    /// Makes the permits.
    pub grant: Rc<Grant>,
    /// The rule that held it.
    pub rule: RuleName,
    /// All rules that matched.
    pub matched: Matched,
}

/// A portal. `P` is what masking plans for its rows.
#[derive(Debug)]
pub struct Portal<P> {
    /// What it runs; `None` for a cursor declared in SQL that Execute names.
    pub statement: Option<Rc<Prepared>>,
    /// What its text says, if that stands for something else: EXECUTE and FETCH. Then `statement`
    /// is what it stood for at Bind.
    pub says: Option<Rc<Classified>>,
    /// Bind values as recorded: from the count of format codes to the last value.
    pub values: Vec<u8>,
    /// Encoding of what is text in them, as `Prepared::encoding`.
    pub encoding: Box<str>,
    /// Result formats as in Bind.
    pub result_formats: Box<[u8]>,
    /// Whether a Describe of this portal is on its way.
    pub described: Cell<bool>,
    /// The plan for its rows, from the RowDescription.
    pub plan: RefCell<Option<Rc<P>>>,
    /// The `seq` its first Execute takes, if it was given before: a hold, or streamed values.
    pub reserved_seq: Cell<Option<u64>>,
    /// The approval, if it was held.
    pub approved: Option<Approved>,
    /// A cursor WITH HOLD.
    pub hold: bool,
    /// It has outlived the transaction that opened it.
    pub kept: Cell<bool>,
}

impl<P> Meaning for Rc<Portal<P>> {
    fn outlives(&self) -> bool {
        self.kept.get()
    }

    fn may_outlive(&self) -> bool {
        self.hold && !self.kept.get()
    }

    /// Cursors WITH HOLD outlive it (portalmem.c, `PreCommit_Portals`).
    fn committed(&self) {
        self.kept.set(self.kept.get() || self.hold);
    }
}

impl Meaning for Rc<Prepared> {
    /// Transactions do not matter to statements, and nothing ends them as one ends.
    fn outlives(&self) -> bool {
        true
    }
}

impl<P> Portal<P> {
    /// A portal that runs `statement` without values, and is not described yet.
    pub fn of(statement: Rc<Prepared>) -> Portal<P> {
        Portal {
            statement: Some(statement),
            says: None,
            values: Vec::new(),
            encoding: Box::default(),
            result_formats: Box::default(),
            described: false.into(),
            plan: None.into(),
            reserved_seq: None.into(),
            approved: None,
            hold: false,
            kept: false.into(),
        }
    }

    /// The result format of a column: none means text, one means all.
    pub fn result_format(&self, column: usize) -> i16 {
        let code = |index: usize| {
            let pair = self.result_formats.get(index * 2..index * 2 + 2)?;
            pair.try_into().ok().map(i16::from_be_bytes)
        };
        match self.result_formats.len() {
            0 => 0,
            2 => code(0).unwrap_or(0),
            _ => code(column).unwrap_or(0),
        }
    }
}

/// A command that was recorded and forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its `seq` in the record.
    pub seq: u64,
    /// When, monotonic microseconds.
    pub at_us: u64,
    /// People had to approve it.
    pub held: bool,
}

/// What the target still owes. `P` is a plan for rows, `C` a masker of a COPY.
#[derive(Debug)]
pub enum Expect<P, C> {
    /// Everything up to ReadyForQuery.
    Query(Issued, Rc<Classified>, Box<Running<C>>),
    /// FunctionCallResponse and ReadyForQuery.
    FunctionCall(Issued),
    /// The error of what stands in for a refused command; weir's own is said instead.
    Refused {
        /// The refused command's `seq`, if it has a row.
        seq: Option<u64>,
        /// The ErrorResponse the client gets.
        error: Vec<u8>,
    },
    /// ParseComplete.
    ParseComplete(Option<Undo<Rc<Prepared>>>),
    /// BindComplete.
    BindComplete(Option<Undo<Rc<Portal<P>>>>, Rc<Portal<P>>),
    /// CloseComplete of a statement.
    CloseStatement(Option<Undo<Rc<Prepared>>>),
    /// CloseComplete of a portal.
    ClosePortal(Option<Undo<Rc<Portal<P>>>>),
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement(Option<Rc<Prepared>>),
    /// RowDescription or NoData; hidden if weir asked, not the client.
    DescribePortal(Rc<Portal<P>>, Visible),
    /// Rows and their end; and what is changed of names, mostly nothing.
    Execute(Issued, Rc<Portal<P>>, Option<C>, Option<Box<Change<P>>>),
    /// No reply: the client ended its COPY data here, so many times.
    CopyEnd {
        /// CopyDone and CopyFail in a row.
        count: u32,
        /// Right behind a Sync, which may have been data.
        doubtful: bool,
    },
    /// So many Syncs among COPY data: no reply, or a ReadyForQuery each if the COPY failed before.
    CopySync(u32),
    /// ReadyForQuery of this pipeline.
    Sync(Epoch),
    /// ReadyForQuery after a refused Query: unlike a Sync, it does not end a failed pipeline.
    Ready(Epoch),
}

/// A text of the simple protocol under way.
#[derive(Debug)]
pub struct Running<C> {
    /// One masker for each COPY TO STDOUT in it, in order.
    pub copies: VecDeque<C>,
    /// Statements that are complete.
    pub done: usize,
    /// Its pipeline.
    pub epoch: Epoch,
    /// When it was sent, among the changes of statements and of portals.
    pub ticks: (Tick, Tick),
    /// What its PREPARE and DECLARE statements, by place, give a name to.
    pub named: Vec<(usize, Rc<Prepared>)>,
    /// Something of the text is not recorded as it is.
    pub redacted: bool,
}

impl<C> Running<C> {
    /// What the PREPARE or DECLARE at this place gives a name to.
    pub fn meaning_of(&self, place: usize) -> Option<Rc<Prepared>> {
        self.named.iter().find(|(at, _)| *at == place).map(|(_, meaning)| Rc::clone(meaning))
    }
}

/// What an execution changes of names, as far as it was entered when the message was sent.
#[derive(Debug)]
pub struct Change<P> {
    /// When that was, among the changes of statements.
    pub statements: Tick,
    /// And among those of portals.
    pub portals: Tick,
    /// PREPARE, DEALLOCATE.
    pub statement: Option<Undo<Rc<Prepared>>>,
    /// DECLARE, CLOSE.
    pub portal: Option<Undo<Rc<Portal<P>>>>,
}

/// A number for each Sync of the client, from 0: messages up to it share the number.
pub type Epoch = u64;

/// Whether the client asked for what the target answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// It did.
    Shown,
    /// weir did.
    Hidden,
}
