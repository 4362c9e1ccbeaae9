//! All that weir believes of a PostgreSQL server that it speaks to for one client.
//!
//! In: `sent`, a message that is handed to the target; `heard`, a message of the target. Out: what
//! a name means, how a text is read, what a message of the target answers. Never: a prediction.
//! What a message may have changed is in doubt until the target has answered it, and whoever
//! depends on it waits; an answer that fits nothing that is owed is a `Contradiction`, and ends the
//! session.
//!
//! ```text
//!   client --> sent --> names  (names)     what a name means, to which pipeline
//!                       reading (reading)  whether both sides read a text the same
//!                       due    (state)     what the target owes, in order
//!                       copy   (copy_in)   which Syncs are data
//!                         ^
//!   target --> heard -----+--> Meaning | Contradiction
//! ```

mod copy_in;
mod effects;
mod heard;
mod later;
pub mod names;
pub mod reading;
mod slots;
pub mod startup;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::sql::classify::Grammar;
use crate::decide::{Class, Classified, Consequence, Statement};
use crate::fault::{Fault, FaultKind, Malformed};
use crate::limits;
use crate::mask::Plan;
use crate::mask::sql::copy::CopyMasker;
use crate::session::postgres::state::{Epoch, Expect, Issued, Portal, Prepared, Visible};
use crate::wire::Side;

pub use copy_in::Turn;
pub use effects::{Resolved, doubt};
pub use heard::{About, Answer, Described, Failed, FailedMessage, Meaning, Owed};
use later::Later;
use names::{Lookup, Names};
use reading::{Reading, Reads};

/// A statement of this session.
pub type StatementRef = Rc<Prepared>;
/// A portal of this session: one instance, from its Bind or DECLARE to its end.
pub type PortalRef = Rc<Portal<Plan>>;
/// What one COPY TO STDOUT goes through; `None` where it passes as it is.
pub type Masker = Option<Box<CopyMasker>>;
/// Expectations of a session.
pub type Due = Expect<Plan, Masker>;

/// A client fills the queue with what it may at any time, so what is large and rare is boxed.
const _: () = assert!(size_of::<Due>() <= 80);

/// The target says what cannot be if it is as weir believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// An answer that is none to what is owed.
    Order,
    /// A transaction status that is none.
    Status,
    /// More statements of a text are complete than it has.
    Count,
    /// It read a text otherwise than weir did.
    Reading,
}

impl From<Contradiction> for Fault {
    fn from(contradiction: Contradiction) -> Fault {
        let kind = match contradiction {
            Contradiction::Order | Contradiction::Count => Malformed::MessageType,
            Contradiction::Status => Malformed::MessageBody,
            Contradiction::Reading => Malformed::Contradiction,
        };
        Fault::new(Side::Server, FaultKind::Malformed(kind))
    }
}

/// A message that is handed to the target, and what was decided about it.
#[derive(Debug)]
pub enum Message<'m> {
    /// Parse.
    Parse(&'m [u8], StatementRef),
    /// Bind.
    Bind(&'m [u8], PortalRef),
    /// Describe of a statement; `None` for one that weir has not seen.
    DescribeStatement(Option<StatementRef>),
    /// Describe of a portal.
    DescribePortal(PortalRef, Visible),
    /// Execute. The classes are of what it runs.
    Execute(Issued, PortalRef, Option<Masker>),
    /// Close of a statement.
    CloseStatement(&'m [u8]),
    /// Close of a portal.
    ClosePortal(&'m [u8]),
    /// Query.
    Query(Issued, Rc<Classified>, VecDeque<Masker>, &'m [u8]),
    /// FunctionCall.
    FunctionCall(Issued),
    /// Sync.
    Sync,
    /// CopyDone or CopyFail.
    CopyEnd,
    /// What stands in for a refused Query, Sync or FunctionCall: the `seq` of the refused command
    /// if it has a row, and the answer.
    RefusedSimple(Option<u64>, Vec<u8>),
    /// The same for a message of a pipeline, after which everything up to the Sync is skipped.
    RefusedInPipeline(Option<u64>, Vec<u8>),
}

/// What weir believes of one server.
#[derive(Debug)]
pub struct Beliefs {
    statements: Names<StatementRef>,
    portals: Names<PortalRef>,
    /// Bytes of the texts of named statements; an upper bound, counted anew when it meets the
    /// limit.
    text_bytes: usize,
    /// The same of the values of named portals.
    value_bytes: usize,
    reading: Reading,
    later: Later,
    due: VecDeque<Due>,
    /// The pipeline that the client is sending.
    epoch: Epoch,
    /// Pipelines up to this one are answered.
    settled: Option<Epoch>,
    /// The target skips what it reads up to the next Sync, and had read none when it last spoke.
    skipping: bool,
    /// The Sync that ends this was sent.
    skip_ends: bool,
    /// The client's Syncs are COPY data: the target copies in and the client has not ended that.
    copy_in: bool,
    /// The target copies in and has not said how that ended.
    copying: bool,
    /// `I`, `T` or `E`, of the last ReadyForQuery.
    transaction: u8,
    /// There was an error since then.
    failed: bool,
}

impl Beliefs {
    /// A server right after its first ReadyForQuery.
    pub fn new(reading: Reading) -> Beliefs {
        Beliefs {
            statements: Names::default(),
            portals: Names::default(),
            text_bytes: 0,
            value_bytes: 0,
            reading,
            later: Later::default(),
            due: VecDeque::new(),
            epoch: 0,
            settled: None,
            skipping: false,
            skip_ends: false,
            copy_in: false,
            copying: false,
            transaction: b'I',
            failed: false,
        }
    }

    /// What a statement's name means to the next message. One that is skipped waits for nothing:
    /// the answer would come behind the Sync, which comes behind the message.
    pub fn statement(&self, name: &[u8]) -> Lookup<'_, StatementRef> {
        match self.statements.get(name, self.epoch) {
            Lookup::Unsettled if self.is_skipped() => Lookup::Absent,
            found => found,
        }
    }

    /// What a portal's name means to the next message.
    pub fn portal(&self, name: &[u8]) -> Lookup<'_, PortalRef> {
        match self.portals.get(name, self.epoch) {
            Lookup::Unsettled if self.is_skipped() => Lookup::Absent,
            found => found,
        }
    }

    /// How a text would be read that is the next message.
    pub fn reads(&mut self, text: &[u8]) -> Reads {
        match self.reading.reads(text, self.epoch, self.settled) {
            Reads::Unsettled if self.is_skipped() => Reads::Otherwise,
            reads => reads,
        }
    }

    /// A text that is read the same on both sides, in UTF-8; `None` if it cannot be told what it
    /// says.
    pub fn in_utf8<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        self.reading.in_utf8(text)
    }

    /// The encoding of these bytes of the client, as the target names it; nothing where they are
    /// UTF-8 or ASCII.
    pub fn encoding_of(&self, bytes: &[u8]) -> &str {
        self.reading.encoding_of(bytes, self.settled)
    }

    /// By which grammar the target reads a text that both sides read the same.
    pub fn grammar(&self) -> Grammar {
        self.reading.grammar()
    }

    /// Whether the target reads texts as weir does, as far as it has said.
    pub fn reads_alike(&self) -> bool {
        self.reading.is_safe()
    }

    /// How the target reads texts otherwise than weir does, for people who are asked.
    pub fn reads_said(&self) -> String {
        self.reading.said(self.settled)
    }

    /// Whether a statement fits the limits. There is one without a name at a time, so it does.
    pub fn has_statement_room(&mut self, name: &[u8], text_bytes: usize) -> bool {
        let (kept, most) = (&mut self.text_bytes, limits::STATEMENT_TEXT_BYTES_MAX);
        name.is_empty() || self.statements.fits(kept, text_bytes, most, |it| it.text.len())
    }

    /// Whether a portal fits the limits.
    pub fn has_portal_room(&mut self, name: &[u8], value_bytes: usize) -> bool {
        let (kept, most) = (&mut self.value_bytes, limits::PORTAL_VALUE_BYTES_MAX);
        name.is_empty() || self.portals.fits(kept, value_bytes, most, |it| it.values.len())
    }

    /// Nothing is owed for certain, and no transaction is open.
    pub fn is_idle(&self) -> bool {
        self.leftovers() == self.due.len() && self.transaction == b'I'
    }

    /// Nothing is owed.
    pub fn owes_nothing(&self) -> bool {
        self.due.is_empty()
    }

    /// How many replies are outstanding.
    pub fn owed(&self) -> usize {
        self.due.len()
    }

    /// `I`, `T` or `E`, of the last ReadyForQuery.
    pub fn transaction(&self) -> u8 {
        self.transaction
    }

    /// The target reads nothing but a Sync, so there is nothing that it could answer.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The next message is skipped by the target.
    fn is_skipped(&self) -> bool {
        self.skipping && !self.skip_ends
    }

    /// Whether what the client sends now is COPY data, if it looks like a Sync.
    pub fn copies_in(&self) -> bool {
        self.copy_in
    }

    /// A message is handed to the target.
    pub fn sent(&mut self, message: Message<'_>) {
        let epoch = self.epoch;
        let due = match message {
            Message::Parse(name, statement) => {
                Expect::ParseComplete(Some(self.statements.set(name, statement, epoch)))
            }
            Message::Bind(name, portal) => {
                let undo = self.portals.set(name, Rc::clone(&portal), epoch);
                Expect::BindComplete(Some(undo), portal)
            }
            Message::DescribeStatement(statement) => Expect::DescribeStatement(statement),
            Message::DescribePortal(portal, visible) => Expect::DescribePortal(portal, visible),
            Message::Execute(issued, portal, masker) => {
                match &portal.statement {
                    Some(statement) => self.later.note(&statement.classified, epoch),
                    None => self.later.note_unseen(epoch),
                }
                let change = self.execution_sent(&portal);
                Expect::Execute(issued, portal, masker, change)
            }
            Message::CloseStatement(name) => {
                Expect::CloseStatement(self.statements.close(name, epoch))
            }
            Message::ClosePortal(name) => Expect::ClosePortal(self.portals.close(name, epoch)),
            Message::Query(issued, classified, copies, text) => {
                self.later.note(&classified, epoch);
                let running = self.query_sent(&classified, copies, text);
                self.epoch += 1;
                Expect::Query(issued, classified, Box::new(running))
            }
            Message::FunctionCall(issued) => {
                self.reading.will_change(epoch);
                self.later.note_unseen(epoch);
                self.epoch += 1;
                Expect::FunctionCall(issued)
            }
            Message::Sync => {
                self.skip_ends = self.skipping;
                return self.sync_sent();
            }
            Message::CopyEnd => return self.copy_data_ended(),
            Message::RefusedInPipeline(seq, error) => Expect::Refused { seq, error },
            Message::RefusedSimple(seq, error) => {
                self.due.push_back(Expect::Refused { seq, error });
                self.epoch += 1;
                Expect::Ready(epoch)
            }
        };
        self.due.push_back(due);
    }

    /// The client gave up, or the session ends: what is still owed to it, by `seq`. Nothing is any
    /// more.
    pub fn abandon(&mut self) -> Vec<u64> {
        let owed = std::mem::take(&mut self.due);
        owed.iter().filter_map(Due::issued).map(|issued| issued.seq).collect()
    }

    /// Gives back room for replies that is not needed between bursts.
    pub fn shrink(&mut self) {
        if self.due.is_empty() && self.due.capacity() > limits::PENDING_REPLIES_KEPT {
            self.due.shrink_to(0);
        }
    }

    /// The names that weir believes the target has, statements with their texts: for whoever wants
    /// to compare them with what the target says.
    pub fn believed(&self) -> (Vec<(String, String)>, Vec<String>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let named = |(name, it): (&[u8], &StatementRef)| (text(name), text(&it.text));
        let mut statements: Vec<_> = self.statements.iter().map(named).collect();
        let mut portals: Vec<_> = self.portals.iter().map(|(name, _)| text(name)).collect();
        statements.sort();
        portals.sort();
        (statements, portals)
    }
}

impl Due {
    /// The command that this is the answer to.
    pub fn issued(&self) -> Option<Issued> {
        match self {
            Expect::Query(issued, ..)
            | Expect::Execute(issued, ..)
            | Expect::FunctionCall(issued) => Some(*issued),
            _ => None,
        }
    }
}

/// Whether running a statement may change the settings that texts are read by: what weir cannot
/// look into may.
fn may_change_reading(statement: &Statement, may_return: bool) -> bool {
    let has = |class: Class| statement.classes.has(class);
    // Set by their own statement they were judged by it; set by a function, they are hidden in a
    // query.
    let sets = has(Class::Session) || has(Class::SetRole);
    match &statement.effect {
        Consequence::Reset | Consequence::Discard => true,
        Consequence::EndTransaction => may_return,
        _ if has(Class::Unknown) || has(Class::Call) || has(Class::FunctionCall) => true,
        _ if has(Class::Transaction) => may_return,
        _ => sets && !PLAIN.contains(&statement.operation.as_str()),
    }
}

/// Statements of class `session` that change neither setting, or were judged by the value.
const PLAIN: [&str; 9] = [
    "SET",
    "RESET",
    "SHOW",
    "DISCARD",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "CLOSE CURSOR",
    "DEALLOCATE",
];

/// The longest name that PostgreSQL keeps whole (pg_config_manual.h, `NAMEDATALEN`; dynahash.c
/// takes the first 63 bytes of a longer one for statements and portals).
pub const NAME_BYTES_MAX: usize = 63;

/// Whether the target keeps this name as it is: not one that is cut, nor one whose bytes depend on
/// the encodings of client and server.
pub fn is_kept_whole(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX && name.is_ascii()
}
