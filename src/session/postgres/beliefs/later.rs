//! Queries that are computed later than the statement that asks for them.
//!
//! In: texts as they are sent, and answered pipelines. Out: what an error at the end of a
//! transaction may be about besides the statement that ends it. Never: a query forgotten before its
//! transaction is known to be over.
//!
//! A cursor WITH HOLD is computed as its transaction commits (portalmem.c, `PreCommit_Portals`;
//! `PersistHoldablePortal`). That may be at a COMMIT, at the Sync of a pipeline, or at a Query or a
//! FunctionCall behind one that has no Sync yet. Code that weir does not see may declare such a
//! cursor, too.

use std::rc::Rc;

use crate::decide::{Class, Classified, Consequence, Statement};
use crate::session::postgres::state::{Epoch, Expect};

use super::Beliefs;

/// Texts that are remembered with what they read; of more it is not known what they read.
const CURSORS_MAX: usize = 64;

/// What of the transactions that are not over is computed at their ends.
#[derive(Debug, Default)]
pub(super) struct Later {
    cursors: Vec<(Epoch, Rc<Classified>)>,
    /// It cannot be told what: the last pipeline of which this is so.
    unseen: Option<Epoch>,
    /// The last pipeline that may end a transaction by its text.
    ends: Option<Epoch>,
}

impl Later {
    /// A text is handed to the target.
    pub(super) fn note(&mut self, classified: &Rc<Classified>, epoch: Epoch) {
        let statements = &classified.statements;
        if statements.iter().any(may_end) {
            self.ends = Some(epoch);
        }
        if statements.iter().any(is_opaque) {
            self.unseen = Some(epoch);
        }
        if !statements.iter().any(holds) {
            return;
        }
        if self.cursors.len() < CURSORS_MAX {
            self.cursors.push((epoch, Rc::clone(classified)));
        } else {
            self.unseen = Some(epoch);
        }
    }

    /// Something is handed to the target of which weir sees nothing.
    pub(super) fn note_unseen(&mut self, epoch: Epoch) {
        (self.unseen, self.ends) = (Some(epoch), Some(epoch));
    }

    /// The pipelines up to `epoch` are answered, and no transaction is open.
    pub(super) fn idle(&mut self, epoch: Epoch) {
        self.cursors.retain(|(made, _)| *made > epoch);
        self.unseen = self.unseen.filter(|made| *made > epoch);
    }
}

/// What is computed at the end of a transaction.
#[derive(Debug)]
pub struct AtTheEnd<'b> {
    later: &'b Later,
}

impl AtTheEnd<'_> {
    /// Whether it is so of any text, or of what weir has not seen.
    pub fn any(&self, is: impl Fn(&[Statement]) -> bool) -> bool {
        self.later.unseen.is_some() || self.later.cursors.iter().any(|(_, it)| is(&it.statements))
    }
}

impl Beliefs {
    /// What a message of the target may be about that comes now, besides what `about` says; `None`
    /// if no transaction can end here.
    pub fn at_the_end(&self) -> Option<AtTheEnd<'_>> {
        let in_block = self.transaction == b'T'
            && self.later.ends.is_none_or(|it| self.settled.is_some_and(|settled| it <= settled));
        let ends = |classified: &Classified| !in_block || classified.statements.iter().any(may_end);
        let may_be = match self.due.front() {
            // These run in the transaction of what comes next.
            Some(
                Expect::ParseComplete(_)
                | Expect::BindComplete(..)
                | Expect::DescribeStatement(_)
                | Expect::DescribePortal(..)
                | Expect::CloseStatement(_)
                | Expect::ClosePortal(_),
            ) => false,
            Some(Expect::Query(_, classified, _)) => ends(classified),
            Some(Expect::Execute(_, portal, ..)) => {
                portal.statement.as_ref().is_none_or(|it| ends(&it.classified))
            }
            _ => true,
        };
        may_be.then_some(AtTheEnd { later: &self.later })
    }
}

fn holds(statement: &Statement) -> bool {
    matches!(statement.effect, Consequence::Declare { hold: true, .. })
}

fn may_end(statement: &Statement) -> bool {
    statement.effect == Consequence::EndTransaction || statement.classes.has(Class::Unknown)
}

fn is_opaque(statement: &Statement) -> bool {
    let opaque = [Class::Unknown, Class::Call, Class::FunctionCall];
    opaque.into_iter().any(|class| statement.classes.has(class))
}
