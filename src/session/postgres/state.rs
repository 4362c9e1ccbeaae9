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

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::Classified;
use crate::decide::approval::Grant;
use crate::limits;
use crate::record::SessionId;

use super::slots::Slots;

/// A prepared statement.
#[derive(Debug)]
pub struct Prepared {
    /// Name, empty for the unnamed one.
    pub name: Box<str>,
    /// Text as recorded: credentials redacted.
    pub text: Rc<[u8]>,
    /// Numbers of the parameters that are credentials, as in `$2`.
    pub secrets: Box<[u16]>,
    /// What it is.
    pub classified: Rc<Classified>,
    /// Parameter types: the client's, later the target's.
    pub types: RefCell<Vec<u32>>,
    /// Whether the record already has its text.
    pub recorded: Cell<bool>,
}

/// An approval that released a portal's command.
#[derive(Debug)]
pub struct Approved {
    /// Makes the permits.
    pub grant: Grant,
    /// Its id.
    pub id: SessionId,
}

/// A portal. `P` is what masking plans for its rows.
#[derive(Debug)]
pub struct Portal<P> {
    /// What it runs; `None` for a cursor declared in SQL that Execute names.
    pub statement: Option<Rc<Prepared>>,
    /// Bind values as recorded: from the count of format codes to the last value.
    pub values: Vec<u8>,
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
}

impl<P> Portal<P> {
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
    /// Everything up to ReadyForQuery; one masker for each COPY TO STDOUT in it, in order.
    Query(Issued, VecDeque<C>, Rc<Classified>),
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
    BindComplete(Option<Undo<Rc<Portal<P>>>>),
    /// CloseComplete of a statement.
    CloseStatement(Option<Undo<Rc<Prepared>>>),
    /// CloseComplete of a portal.
    ClosePortal(Option<Undo<Rc<Portal<P>>>>),
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement(Option<Rc<Prepared>>),
    /// RowDescription or NoData; hidden if weir asked, not the client.
    DescribePortal(Rc<Portal<P>>, Visible),
    /// Rows and their end.
    Execute(Issued, Rc<Portal<P>>, Option<C>),
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

/// Whether the client asked for what the target answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// It did.
    Shown,
    /// weir did.
    Hidden,
}

/// Statements and portals of one session.
#[derive(Debug)]
pub struct Registry<P> {
    /// Prepared statements.
    pub statements: Names<Rc<Prepared>>,
    /// Portals.
    pub portals: Names<Rc<Portal<P>>>,
    /// Bytes of the texts of named statements; an upper bound, counted anew when it meets the
    /// limit.
    text_bytes: usize,
    /// The same of the values of named portals.
    value_bytes: usize,
}

impl<P> Default for Registry<P> {
    fn default() -> Self {
        let (statements, portals) = (Names::default(), Names::default());
        Registry { statements, portals, text_bytes: 0, value_bytes: 0 }
    }
}

impl<P> Registry<P> {
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
}

/// A number for each Sync of the client, from 0: messages up to it share the number.
pub type Epoch = u64;

/// What a name means, as far as weir can know before all replies are in.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'n, T> {
    /// This.
    Known(&'n T),
    /// Nothing.
    Absent,
    /// An earlier pipeline changed it and is not answered yet: it may have failed before it came
    /// to the change. Whoever wants to know waits until that pipeline's ReadyForQuery.
    Unsettled,
}

/// How to take back one change of a name.
#[derive(Debug)]
pub struct Undo<T> {
    name: Box<[u8]>,
    previous: Option<Slot<T>>,
    epoch: Epoch,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    epoch: Epoch,
    /// The name is in `removed`.
    listed: bool,
}

/// Names and what they mean, changed before the target confirms it, and taken back when a
/// pipeline fails. A wrong belief here would let the record show a text that is not the one that
/// ran, so a name that is in doubt is `Unsettled`.
#[derive(Debug)]
pub struct Names<T> {
    slots: Slots<Slot<T>>,
    removed: Vec<Box<[u8]>>,
    /// Changes that were taken back after a later pipeline had built on them.
    undone: Vec<(Box<[u8]>, Epoch)>,
    settled: Option<Epoch>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names { slots: Slots::default(), removed: Vec::new(), undone: Vec::new(), settled: None }
    }
}

impl<T> Names<T> {
    /// What `name` means to a message of the pipeline `now`.
    pub fn get(&self, name: &[u8], now: Epoch) -> Lookup<'_, T> {
        match self.slots.get(name) {
            None => Lookup::Absent,
            Some(slot) if slot.epoch != now && self.settled.is_none_or(|s| s < slot.epoch) => {
                Lookup::Unsettled
            }
            Some(Slot { value: Some(value), .. }) => Lookup::Known(value),
            Some(_) => Lookup::Absent,
        }
    }

    /// Gives `name` a meaning, in the pipeline `now`.
    pub fn set(&mut self, name: &[u8], value: T, now: Epoch) -> Undo<T> {
        self.change(name, Some(value), now)
    }

    /// Takes the meaning of `name` away, if it has or may have one. Names that were never given
    /// leave no trace, however many of them a client closes.
    pub fn close(&mut self, name: &[u8], now: Epoch) -> Option<Undo<T>> {
        let absent = matches!(self.get(name, now), Lookup::Absent);
        (!absent).then(|| self.remove(name, now))
    }

    /// Takes the meaning of `name` away, whatever it is.
    pub fn remove(&mut self, name: &[u8], now: Epoch) -> Undo<T> {
        let undo = self.change(name, None, now);
        if let Some(slot) = self.slots.get_mut(name)
            && !std::mem::replace(&mut slot.listed, true)
        {
            self.removed.push(name.into());
        }
        undo
    }

    fn change(&mut self, name: &[u8], value: Option<T>, epoch: Epoch) -> Undo<T> {
        let previous = match self.slots.get_mut(name) {
            Some(current) => {
                let slot = Slot { value, epoch, listed: current.listed };
                Some(std::mem::replace(current, slot))
            }
            None => self.slots.insert(name.into(), Slot { value, epoch, listed: false }),
        };
        Undo { name: name.into(), previous, epoch }
    }

    /// Takes changes back that the target skipped, given in the order they were made.
    pub fn undo(&mut self, undos: Vec<Undo<T>>) {
        for undo in undos.into_iter().rev() {
            let current = self.slots.get(&undo.name).filter(|slot| slot.epoch == undo.epoch);
            let Some(listed) = current.map(|slot| slot.listed) else {
                // A later pipeline changed it again, on top of a change that never was.
                self.undone.push((undo.name, undo.epoch));
                continue;
            };
            match undo.previous {
                Some(mut slot) => {
                    let never_was = self
                        .undone
                        .iter()
                        .any(|(name, epoch)| *name == undo.name && *epoch == slot.epoch);
                    if never_was {
                        slot.value = None;
                    }
                    slot.listed = listed;
                    self.slots.insert(undo.name, slot);
                }
                None => {
                    self.slots.remove(&undo.name);
                }
            }
        }
    }

    /// The pipelines up to `epoch` are answered.
    pub fn settle(&mut self, epoch: Epoch) {
        self.settled = Some(epoch);
        if !self.undone.is_empty() {
            // The pipeline right behind may still take its own change back.
            self.undone.retain(|(_, undone)| epoch <= undone + 1);
        }
        if self.removed.is_empty() {
            return;
        }
        self.removed.retain(|name| match self.slots.get_mut(name) {
            Some(Slot { value: None, epoch: removed, .. }) if *removed <= epoch => {
                self.slots.remove(name);
                false
            }
            Some(Slot { value: None, .. }) => true,
            Some(slot) => {
                slot.listed = false;
                false
            }
            None => false,
        });
    }

    /// Forgets every named meaning that a pipeline up to `epoch` gave.
    pub fn end(&mut self, epoch: Epoch) {
        self.slots.retain(|slot| slot.epoch > epoch);
    }

    /// Whether one more meaning of `more` bytes fits, and counts it if it does. What `kept` counts
    /// of meanings that were closed, or taken back, is found out when it matters.
    fn fits(&self, kept: &mut usize, more: usize, most: usize, size: impl Fn(&T) -> usize) -> bool {
        if *kept + more > most {
            let named = self.iter().filter(|(name, _)| !name.is_empty());
            *kept = named.map(|(_, value)| size(value)).sum();
        }
        let fits = self.len() < limits::STATEMENTS_MAX && *kept + more <= most;
        if fits {
            *kept += more;
        }
        fits
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names and meanings, settled or not.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.slots.iter().filter_map(|(name, slot)| Some((name, slot.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_changed_by_an_unanswered_pipeline_is_unsettled_for_the_next() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        assert_eq!(names.get(b"s", 0), Lookup::Known(&'a'));
        assert_eq!(names.get(b"s", 1), Lookup::Unsettled);
        names.settle(0);
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'a'));
    }

    #[test]
    fn a_failed_pipeline_leaves_what_was() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        names.settle(0);
        let undos = vec![names.remove(b"s", 1), names.set(b"s", 'b', 1), names.set(b"t", 'c', 1)];
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'b'));
        names.undo(undos);
        names.settle(1);
        assert_eq!(names.get(b"s", 2), Lookup::Known(&'a'));
        assert_eq!(names.get(b"t", 2), Lookup::Absent);
    }

    #[test]
    fn two_failed_pipelines_leave_no_meaning_that_never_was() {
        let mut names = Names::default();
        let _ = names.set(b"", 'a', 0);
        names.settle(0);
        let first = names.set(b"", 'b', 1);
        let second = names.set(b"", 'c', 2);
        names.undo(vec![first]);
        names.settle(1);
        names.undo(vec![second]);
        names.settle(2);
        assert_eq!(names.get(b"", 3), Lookup::Absent);
    }

    #[test]
    fn removed_names_are_forgotten_when_settled() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        let _ = names.remove(b"s", 0);
        assert_eq!(names.get(b"s", 0), Lookup::Absent);
        names.settle(0);
        assert!(names.is_empty());
    }

    #[test]
    fn limits_are_for_what_has_a_name() {
        let mut names: Registry<()> = Registry::default();
        for n in 0..limits::STATEMENTS_MAX as u32 {
            let name = n.to_be_bytes();
            assert!(names.has_statement_room(&name, 1) && names.has_portal_room(&name, 0), "{n}");
            let text = Rc::from(&b"x"[..]);
            let statement = Prepared {
                name: "".into(),
                text,
                secrets: Box::default(),
                classified: Rc::new(crate::decide::sql::classify::classify_uncached(b"")),
                types: RefCell::default(),
                recorded: Cell::new(true),
            };
            let _ = names.statements.set(&name, Rc::new(statement), 0);
        }
        assert!(!names.has_statement_room(b"more", 1));
        assert!(names.has_statement_room(b"", 1), "the unnamed one");
        assert!(names.has_portal_room(b"p", 1) && names.has_portal_room(b"", usize::MAX));
        let _ = names.statements.remove(&7_u32.to_be_bytes(), 0);
        names.statements.settle(0);
        assert!(names.has_statement_room(b"more", 1), "one was closed");
        assert!(!names.has_statement_room(b"large", limits::STATEMENT_TEXT_BYTES_MAX));
        assert!(!names.has_portal_room(b"q", limits::PORTAL_VALUE_BYTES_MAX + 1));
    }

    #[test]
    fn names_closed_without_end_are_remembered_once() {
        let mut names: Names<char> = Names::default();
        for n in 0..100u32 {
            assert!(names.close(&n.to_be_bytes(), 0).is_none());
            let _ = names.set(b"s", 'a', 0);
            assert!(names.close(b"s", 0).is_some());
        }
        assert_eq!((names.len(), names.removed.len()), (1, 1));
        names.settle(0);
        assert!(names.is_empty() && names.removed.is_empty());
        let _ = names.set(b"s", 'b', 1);
        names.settle(1);
        let again = names.close(b"s", 2).expect("a name to take away");
        names.undo(vec![again]);
        names.settle(2);
        assert_eq!(names.get(b"s", 3), Lookup::Known(&'b'));
    }
}
