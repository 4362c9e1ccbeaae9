//! What the target says: which message it answers, and what that makes certain.
//!
//! In: messages of the target. Out: a `Meaning`, or a `Contradiction`.
//! Never: a guess at what an answer belongs to.

use std::rc::Rc;

use crate::decide::{Class, Classified, Consequence, Statement};
use crate::session::postgres::state::{Epoch, Expect, Issued, Visible};

use super::effects::NOT_RUN;
use super::{Beliefs, Contradiction, Due, Masker, PortalRef, StatementRef};

/// A message of the target, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// ParseComplete.
    Parsed,
    /// BindComplete.
    Bound,
    /// CloseComplete.
    Closed,
    /// ParameterDescription.
    Parameters,
    /// RowDescription.
    Description,
    /// NoData.
    NoData,
    /// DataRow.
    Row,
    /// CommandComplete, with its tag.
    Complete(&'a [u8]),
    /// EmptyQueryResponse.
    Empty,
    /// PortalSuspended.
    Suspended,
    /// CopyInResponse.
    CopyIn,
    /// CopyOutResponse, and CopyData and CopyDone of the target.
    CopyOut,
    /// FunctionCallResponse.
    Result,
    /// ErrorResponse, with its SQLSTATE.
    Error(&'a [u8]),
    /// ReadyForQuery.
    Ready(u8),
    /// ParameterStatus.
    Setting(&'a str, &'a str),
}

/// What an answer means.
#[derive(Debug)]
pub enum Meaning {
    /// A message is answered, and has no row in the record.
    Answered(Visible),
    /// The types of a statement's parameters, if weir has seen it parsed.
    Types(Option<StatementRef>),
    /// A part of the answer to the command that is being answered.
    Part,
    /// A statement of a text is complete.
    Statement {
        /// It was a COPY from the client.
        copied: bool,
    },
    /// An execution is complete.
    Executed {
        /// What was executed.
        portal: PortalRef,
        /// It was a COPY from the client.
        copied: bool,
    },
    /// Something failed.
    Failed(Failed),
    /// A pipeline is answered.
    Ready {
        /// What began it.
        of: Owed,
        /// Commands of it that the target has skipped.
        skipped: Vec<Issued>,
    },
    /// It means nothing to what is owed.
    Nothing,
}

/// What failed.
#[derive(Debug)]
pub struct Failed {
    /// The kind of message.
    pub what: FailedMessage,
    /// It was a COPY from the client.
    pub copied: bool,
    /// Commands that the target skips for it.
    pub skipped: Vec<Issued>,
}

/// The message that an error answers.
#[derive(Debug)]
pub enum FailedMessage {
    /// What stands in for a refused command, with the words for it.
    Refused(Vec<u8>),
    /// A Query or a FunctionCall; ReadyForQuery follows.
    Simple,
    /// Execute.
    Execute,
    /// Another message of a pipeline.
    Other,
    /// Sync: the end of the pipeline's transaction failed.
    Sync,
    /// None.
    Nothing,
}

/// What a ReadyForQuery ends.
#[derive(Debug)]
pub enum Owed {
    /// A Query.
    Query(Issued, Rc<Classified>),
    /// A FunctionCall.
    Function(Issued),
    /// A Sync, what stands in for a refused command, or nothing.
    Sync,
}

/// What an error or a notice is about.
#[derive(Debug)]
pub enum About {
    /// These statements: they run, or are planned.
    Run(Rc<Classified>),
    /// Something that weir has not seen.
    Unknown,
    /// Nothing that reads rows.
    Nothing,
}

/// What a RowDescription describes.
#[derive(Debug)]
pub enum Described {
    /// A statement.
    Statement,
    /// A portal.
    Portal(PortalRef, Visible),
    /// Rows of a text.
    Query(Rc<Classified>),
}

impl Beliefs {
    /// The target has said something.
    ///
    /// # Errors
    /// It cannot say that if it is as weir believes.
    pub fn heard(&mut self, answer: Answer<'_>) -> Result<Meaning, Contradiction> {
        match answer {
            Answer::Error(sqlstate) => return Ok(Meaning::Failed(self.error(sqlstate))),
            Answer::Ready(status) => return self.ready(status),
            Answer::Setting(name, value) => {
                let fits = self.reading.note(name, value, self.settled);
                return if fits { Ok(Meaning::Nothing) } else { Err(Contradiction::Reading) };
            }
            _ if self.skipping => return Err(Contradiction::Order),
            _ => self.drop_leftovers(),
        }
        let answered = match (answer, self.due.front_mut()) {
            (Answer::Parsed, Some(Expect::ParseComplete(_)))
            | (Answer::Bound, Some(Expect::BindComplete(..)))
            | (Answer::Closed, Some(Expect::CloseStatement(_) | Expect::ClosePortal(_)))
            | (
                Answer::NoData | Answer::Description,
                Some(Expect::DescribeStatement(_) | Expect::DescribePortal(_, Visible::Shown)),
            ) => Meaning::Answered(Visible::Shown),
            (Answer::NoData | Answer::Description, Some(Expect::DescribePortal(..))) => {
                Meaning::Answered(Visible::Hidden)
            }
            (Answer::Parameters, Some(Expect::DescribeStatement(statement))) => {
                return Ok(Meaning::Types(statement.clone()));
            }
            (Answer::Description, Some(Expect::Query(..)))
            | (Answer::Row, Some(Expect::Query(..) | Expect::Execute(..)))
            | (Answer::CopyOut, Some(Expect::Query(..) | Expect::Execute(..)))
            | (Answer::Result, Some(Expect::FunctionCall(_))) => return Ok(Meaning::Part),
            (Answer::CopyIn, Some(Expect::Query(..) | Expect::Execute(..))) => {
                self.copy_in_begins();
                return Ok(Meaning::Part);
            }
            (Answer::Complete(_) | Answer::Empty, Some(Expect::Query(..))) => {
                return self.statement_complete(answer);
            }
            (
                Answer::Complete(_) | Answer::Empty | Answer::Suspended,
                Some(Expect::Execute(..)),
            ) => return self.executed_to(answer),
            _ => return Err(Contradiction::Order),
        };
        self.due.pop_front();
        Ok(answered)
    }

    /// The command whose answer is coming in.
    pub fn current(&mut self) -> Option<Issued> {
        self.drop_leftovers();
        self.due.front().and_then(Due::issued)
    }

    /// Whether a command runs that has a row.
    pub fn has_running(&self) -> bool {
        self.due.iter().any(|due| due.issued().is_some())
    }

    /// Whether rows are among what is owed next.
    pub fn expects_rows(&self) -> bool {
        matches!(self.due.front(), Some(Expect::Query(..) | Expect::Execute(..))) && !self.skipping
    }

    /// What a message of the target is about that comes now.
    pub fn about(&self) -> About {
        let of = |portal: &PortalRef| {
            let statement = portal.statement.as_ref();
            statement.map_or(About::Unknown, |it| About::Run(Rc::clone(&it.classified)))
        };
        match self.due.front() {
            Some(Expect::Query(_, classified, _)) => About::Run(Rc::clone(classified)),
            Some(Expect::Execute(_, portal, ..)) => of(portal),
            Some(Expect::BindComplete(_, portal)) => of(portal),
            Some(Expect::FunctionCall(_)) => About::Unknown,
            // To parse and to describe look at no row.
            _ => About::Nothing,
        }
    }

    /// Whether what the target says now may quote what the record hides of a text or of values: of
    /// the command that runs, or of another one of its pipeline.
    pub fn may_quote_secrets(&self) -> bool {
        let holds = |it: &StatementRef| it.holds_secrets();
        let of = |portal: &PortalRef| portal.statement.as_ref().is_some_and(holds);
        let pipeline =
            self.due.iter().take_while(|due| !matches!(due, Expect::Sync(_) | Expect::Ready(_)));
        pipeline.into_iter().any(|due| match due {
            Expect::Query(_, _, running) => running.redacted,
            Expect::Execute(_, portal, ..) | Expect::BindComplete(_, portal) => of(portal),
            Expect::ParseComplete(Some(undo)) => self.statements.of(undo).is_some_and(holds),
            Expect::DescribeStatement(Some(statement)) => holds(statement),
            Expect::DescribePortal(portal, _) => of(portal),
            _ => false,
        })
    }

    /// Whether a statement that is sent and not answered is such a one.
    pub fn runs_any(&self, is: impl Fn(&Statement) -> bool) -> bool {
        self.due.iter().any(|due| match due {
            Expect::Query(_, classified, _) => classified.statements.iter().any(&is),
            Expect::Execute(_, portal, ..) => {
                let statement = portal.statement.as_ref();
                statement.is_some_and(|it| it.classified.statements.iter().any(&is))
            }
            _ => false,
        })
    }

    /// The portal whose rows are coming in.
    pub fn running_portal(&self) -> Option<&PortalRef> {
        match self.due.front() {
            Some(Expect::Execute(_, portal, ..)) => Some(portal),
            _ => None,
        }
    }

    /// What a RowDescription that comes now describes; it is `heard` when it has been used.
    ///
    /// # Errors
    /// None is owed.
    pub fn described(&self) -> Result<Described, Contradiction> {
        match self.due.front() {
            _ if self.skipping => Err(Contradiction::Order),
            Some(Expect::DescribeStatement(_)) => Ok(Described::Statement),
            Some(Expect::DescribePortal(portal, visible)) => {
                Ok(Described::Portal(Rc::clone(portal), *visible))
            }
            Some(Expect::Query(_, classified, _)) => Ok(Described::Query(Rc::clone(classified))),
            _ => Err(Contradiction::Order),
        }
    }

    /// What the COPY TO STDOUT goes through that begins now; `None` if weir saw none in the text.
    pub fn take_masker(&mut self) -> Option<Masker> {
        match self.due.front_mut() {
            Some(Expect::Query(_, _, running)) => running.copies.pop_front(),
            Some(Expect::Execute(_, _, masker, _)) => masker.take(),
            _ => None,
        }
    }

    /// CommandComplete or EmptyQueryResponse inside a text.
    fn statement_complete(&mut self, answer: Answer<'_>) -> Result<Meaning, Contradiction> {
        let copied = self.copy_in_succeeded();
        let (Answer::Complete(tag), Some(Expect::Query(_, classified, running))) =
            (answer, self.due.front_mut())
        else {
            return Ok(Meaning::Statement { copied });
        };
        let place = running.done;
        running.done += 1;
        let meaning = running.meaning_of(place);
        let at = (place, running.epoch, running.ticks);
        let classified = Rc::clone(classified);
        // What is not understood, and commands of replication, may say this more than once.
        let uncounted =
            |it: &Statement| it.classes.has(Class::Unknown) || it.classes.has(Class::Replication);
        let countable = !classified.statements.iter().any(uncounted);
        if countable && place >= classified.statements.len() {
            return Err(Contradiction::Count);
        }
        self.statement_done(&classified, at, meaning, tag != b"ROLLBACK");
        Ok(Meaning::Statement { copied })
    }

    /// The end of an Execute.
    fn executed_to(&mut self, answer: Answer<'_>) -> Result<Meaning, Contradiction> {
        let copied = self.copy_in_succeeded();
        let Some(Expect::Execute(_, portal, _, change)) = self.due.pop_front() else {
            return Err(Contradiction::Order);
        };
        if let (Answer::Complete(tag), Some(change)) = (answer, change) {
            self.execution_done(&portal, &change, tag != b"ROLLBACK");
        }
        Ok(Meaning::Executed { portal, copied })
    }

    fn error(&mut self, sqlstate: &[u8]) -> Failed {
        let copied = self.copy_in_failed();
        self.drop_leftovers();
        self.failed = true;
        let what = match self.due.front() {
            Some(Expect::Query(_, classified, running)) => {
                let (epoch, place) = (running.epoch, running.done);
                let meaning = (running.meaning_of(place), running.ticks);
                if let Some(statement) = Rc::clone(classified).statements.get(place) {
                    self.statement_failed(&statement.effect, meaning, (sqlstate, epoch));
                }
                FailedMessage::Simple
            }
            Some(Expect::FunctionCall(_)) => FailedMessage::Simple,
            Some(Expect::Sync(_)) => FailedMessage::Sync,
            Some(Expect::Ready(_)) | None => FailedMessage::Nothing,
            Some(Expect::Refused { .. }) => match self.due.pop_front() {
                Some(Expect::Refused { error, .. }) => FailedMessage::Refused(error),
                _ => FailedMessage::Nothing,
            },
            Some(Expect::Execute(..)) => FailedMessage::Execute,
            Some(_) => FailedMessage::Other,
        };
        // The stand-in of a refused Query is followed by its own ReadyForQuery.
        let alone = matches!(self.due.front(), Some(Expect::Ready(_)));
        let skips = match what {
            FailedMessage::Refused(_) => !alone,
            FailedMessage::Other => true,
            FailedMessage::Execute
            | FailedMessage::Simple
            | FailedMessage::Sync
            | FailedMessage::Nothing => false,
        };
        let skipped = match what {
            FailedMessage::Execute => self.execution_failed(sqlstate),
            _ if skips => self.skip(),
            _ => Vec::new(),
        };
        Failed { what, copied, skipped }
    }

    /// An Execute failed: the names it would have changed are as they were. Nothing but the end of
    /// a transaction commits before its CommandComplete (postgres.c, `exec_execute_message`).
    fn execution_failed(&mut self, sqlstate: &[u8]) -> Vec<Issued> {
        let Some(Expect::Execute(_, portal, _, change)) = self.due.front() else {
            return Vec::new();
        };
        let (portal, ended) = (Rc::clone(portal), change.as_ref().map(|change| change.portals));
        let mut skipped = self.skip();
        if !skipped.is_empty() {
            // The first is the one that failed, which has a row of its own.
            skipped.remove(0);
        }
        let statement = portal.statement.as_ref().and_then(|it| it.classified.statements.first());
        if let (Some(statement), Some(ended)) = (statement, ended)
            && let Consequence::EndTransaction = statement.effect
            && !NOT_RUN.contains(&sqlstate)
        {
            // Whatever failed at the end of a transaction has aborted it.
            self.portals.end(ended);
        }
        skipped
    }

    /// The target skips everything up to the next Sync: so do the expectations. Returns the
    /// commands among them.
    pub fn skip(&mut self) -> Vec<Issued> {
        self.skipping = true;
        let (mut statements, mut portals) = (Vec::new(), Vec::new());
        let (mut leftovers, mut skipped) = (Vec::new(), Vec::new());
        // What the client sends before its Sync is skipped too; it is here when that is answered.
        while let Some(due) = self.due.pop_front() {
            skipped.extend(due.issued());
            match due {
                Expect::Sync(epoch) => {
                    self.due.push_front(Expect::Sync(epoch));
                    (self.skipping, self.skip_ends) = (false, false);
                    break;
                }
                Expect::ParseComplete(undo) | Expect::CloseStatement(undo) => {
                    statements.extend(undo);
                }
                Expect::BindComplete(undo, _) | Expect::ClosePortal(undo) => portals.extend(undo),
                Expect::Execute(_, _, _, Some(change)) => {
                    statements.extend(change.statement);
                    portals.extend(change.portal);
                }
                Expect::CopySync(_) | Expect::CopyEnd { .. } => leftovers.push(due),
                // A cursor is still there, and not described.
                Expect::DescribePortal(portal, _) => portal.described.set(false),
                Expect::Execute(..)
                | Expect::Query(..)
                | Expect::FunctionCall(_)
                | Expect::Refused { .. }
                | Expect::DescribeStatement(_)
                | Expect::Ready(_) => {}
            }
        }
        for due in leftovers.into_iter().rev() {
            self.due.push_front(due);
        }
        self.statements.undo(statements);
        self.portals.undo(portals);
        skipped
    }

    fn ready(&mut self, status: u8) -> Result<Meaning, Contradiction> {
        if !matches!(status, b'I' | b'T' | b'E') {
            return Err(Contradiction::Status);
        }
        self.transaction = status;
        let skipped = if self.skipping { self.skip() } else { Vec::new() };
        let (of, epoch) = self.end_of_pipeline()?;
        self.settled = self.settled.max(Some(epoch));
        self.statements.settle(epoch);
        self.portals.settle(epoch);
        if status == b'I' {
            if !self.failed {
                self.portals.keep_pipelines(epoch);
            }
            self.portals.end_pipelines(epoch);
            self.later.idle(epoch);
        }
        self.failed = false;
        self.shrink();
        Ok(Meaning::Ready { of, skipped })
    }

    /// Pops what this ReadyForQuery answers.
    fn end_of_pipeline(&mut self) -> Result<(Owed, Epoch), Contradiction> {
        if let Some(epoch) = self.answered_copy_sync() {
            return Ok((Owed::Sync, epoch));
        }
        while let Some(due) = self.due.pop_front() {
            match due {
                Expect::Query(issued, classified, running) => {
                    let epoch = self.oldest_epoch().max(running.epoch);
                    return Ok((Owed::Query(issued, classified), epoch));
                }
                Expect::FunctionCall(issued) => {
                    return Ok((Owed::Function(issued), self.oldest_epoch()));
                }
                Expect::Sync(epoch) | Expect::Ready(epoch) => return Ok((Owed::Sync, epoch)),
                Expect::CopySync(_) | Expect::CopyEnd { .. } => {}
                // The target answered less than it owes; nobody could say to which. It stays owed:
                // its record says how it ended.
                other => {
                    self.due.push_front(other);
                    return Err(Contradiction::Order);
                }
            }
        }
        // Nobody asked; the client sees what it would see directly.
        Ok((Owed::Sync, self.oldest_epoch()))
    }

    /// The pipeline before the oldest one that is not answered.
    pub(super) fn oldest_epoch(&self) -> Epoch {
        let ends = |due: &&Due| {
            matches!(
                due,
                Expect::Sync(_) | Expect::Ready(_) | Expect::Query(..) | Expect::FunctionCall(_)
            )
        };
        let unanswered = self.due.iter().filter(ends).count() as Epoch;
        self.epoch.saturating_sub(unanswered + 1)
    }
}
