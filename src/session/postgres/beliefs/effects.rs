//! What commands in SQL do to the names that messages use too, and to the settings.
//!
//! In: classified texts as they are sent, and their ends. Out: what EXECUTE and FETCH stand for;
//! changed names. Never: a name for good before the target has said that the statement is complete.
//!
//! PREPARE and Parse share one table of statements, DECLARE and Bind one of portals (prepare.c,
//! `StorePreparedStatement`; portalmem.c, `CreatePortal`). Statements know no transactions: one
//! that was prepared stays when its transaction fails. Portals end with theirs, but for cursors
//! WITH HOLD.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::decide::{Class, Classified, Consequence, Statement};
use crate::session::postgres::state::{Change, Epoch, Portal, Prepared, Running, is_redacted};

use super::names::{Lookup, Tick};
use super::{Beliefs, Masker, PortalRef, StatementRef, is_kept_whole, may_change_reading};

/// What a text stands for.
#[derive(Debug)]
pub enum Resolved {
    /// Each EXECUTE is what it executes, each FETCH what its cursor reads, as far as weir knows.
    Is(Rc<Classified>),
    /// A name in it is in doubt.
    Unsettled,
    /// A name in it depends on the encodings of client and server.
    Unclear,
}

/// What a name in a text was found to be. It is looked at and gone.
#[expect(clippy::large_enum_variant, reason = "it lives for one match")]
enum Found {
    Is(Statement),
    Nothing,
    Unsettled,
}

impl Beliefs {
    /// What a text does that would be run now. Most texts hold no name of a statement or a portal,
    /// and are what they are.
    pub fn resolve(&self, classified: &Rc<Classified>) -> Resolved {
        let mut cursors = classified.statements.iter().flat_map(|it| it.cursors.iter());
        if cursors.any(|name| matches!(self.portal(name.as_bytes()), Lookup::Unsettled)) {
            return Resolved::Unsettled;
        }
        let mut names = classified.statements.iter().filter_map(name_of).peekable();
        if names.peek().is_none() {
            return Resolved::Is(Rc::clone(classified));
        }
        if !names.all(|name| is_kept_whole(name.as_bytes())) {
            return Resolved::Unclear;
        }
        let mut statements: Vec<Statement> = Vec::with_capacity(classified.statements.len());
        for statement in &classified.statements {
            let found = match &statement.effect {
                Consequence::Execute(name) => self.executed(name, &statements),
                Consequence::Fetch(name) => self.fetched(name, &statements),
                Consequence::Prepare(name) | Consequence::Deallocate(Some(name)) => {
                    settled(&self.statement(name.as_bytes()))
                }
                Consequence::Declare { name, .. } | Consequence::CloseCursor(Some(name)) => {
                    settled(&self.portal(name.as_bytes()))
                }
                _ => Found::Nothing,
            };
            statements.push(match found {
                // The answer of EXPLAIN is a plan, not the columns of what it explains.
                Found::Is(inner) if statement.operation == "EXPLAIN" => {
                    Statement { made: Vec::new(), ..inner }
                }
                Found::Is(inner) => inner,
                Found::Nothing => statement.clone(),
                Found::Unsettled => return Resolved::Unsettled,
            });
        }
        let resolved = Classified::new(statements, classified.secrets);
        Resolved::Is(Rc::new(resolved))
    }

    fn executed(&self, name: &str, earlier: &[Statement]) -> Found {
        for statement in earlier.iter().rev() {
            match &statement.effect {
                Consequence::Prepare(given) if given == name => {
                    return Found::Is(inner(statement, "EXECUTE"));
                }
                Consequence::Deallocate(Some(given)) if given != name => {}
                Consequence::Deallocate(_) | Consequence::Discard => return Found::Nothing,
                _ if is_unreadable(statement) => return Found::Nothing,
                _ => {}
            }
        }
        let (statement, suspect) = match self.statement(name.as_bytes()) {
            Lookup::Known(prepared) => (only(&prepared.classified), false),
            Lookup::Suspect(prepared) => (only(&prepared.classified), true),
            Lookup::Absent => return Found::Nothing,
            Lookup::Unsettled => return Found::Unsettled,
        };
        match statement {
            // It stands for yet another name, which may have changed since; or it gives a name to a
            // text that is not the one of the message; or it ends the transaction later than the
            // same statement would by itself (postgres.c, `exec_execute_message`, looks for a
            // TransactionStmt, and finds an ExecuteStmt).
            Some(statement)
                if refers(statement)
                    || gives_a_name(statement)
                    || is_of_transactions(statement) =>
            {
                Found::Is(doubted(&inner(statement, "EXECUTE")))
            }
            Some(statement) if suspect => Found::Is(doubted(statement)),
            Some(statement) => Found::Is(statement.clone()),
            None => Found::Nothing,
        }
    }

    fn fetched(&self, name: &str, earlier: &[Statement]) -> Found {
        for statement in earlier.iter().rev() {
            match &statement.effect {
                Consequence::Declare { name: given, .. } if given == name => {
                    return Found::Is(inner(statement, "FETCH"));
                }
                Consequence::CloseCursor(Some(given)) if given != name => {}
                Consequence::CloseCursor(_)
                | Consequence::Discard
                | Consequence::EndTransaction => {
                    return Found::Nothing;
                }
                _ if is_unreadable(statement) => return Found::Nothing,
                _ => {}
            }
        }
        let (portal, suspect) = match self.portal(name.as_bytes()) {
            Lookup::Known(portal) => (portal, false),
            Lookup::Suspect(portal) => (portal, true),
            Lookup::Absent => return Found::Nothing,
            Lookup::Unsettled => return Found::Unsettled,
        };
        let statement = portal.statement.as_ref().and_then(|it| only(&it.classified));
        match statement {
            Some(statement) if suspect => Found::Is(doubted(&inner(statement, "FETCH"))),
            Some(statement) => Found::Is(inner(statement, "FETCH")),
            None => Found::Nothing,
        }
    }

    /// Execute: what it changes of names holds for the rest of its pipeline, if that is run.
    pub(super) fn execution_sent(
        &mut self,
        portal: &PortalRef,
    ) -> Option<Box<Change<crate::mask::Plan>>> {
        let prepared = portal.statement.as_ref()?;
        // A Parse of several statements fails (postgres.c, `exec_parse_message`).
        let statement = only(&prepared.classified)?;
        let epoch = self.epoch;
        if may_change_reading(statement, self.reading.may_return()) {
            self.reading.will_change(epoch);
        }
        self.suspect(statement, epoch);
        if !changes_names(&statement.effect) {
            return None;
        }
        let mut change = Change { statements: 0, portals: 0, statement: None, portal: None };
        match &statement.effect {
            Consequence::Prepare(name) => {
                let meaning = named(statement, (&prepared.text, &prepared.encoding), name);
                if self.has_statement_room(name.as_bytes(), meaning.text.len()) {
                    change.statement = Some(self.statements.set(name.as_bytes(), meaning, epoch));
                }
            }
            Consequence::Declare { name, hold } => {
                let cursor =
                    cursor(named(statement, (&prepared.text, &prepared.encoding), ""), *hold);
                if self.has_portal_room(name.as_bytes(), 0) {
                    change.portal = Some(self.portals.set(name.as_bytes(), cursor, epoch));
                }
            }
            Consequence::Deallocate(Some(name)) => {
                change.statement = self.statements.close(name.as_bytes(), epoch);
            }
            Consequence::CloseCursor(Some(name)) => {
                change.portal = self.portals.close(name.as_bytes(), epoch);
            }
            Consequence::Deallocate(None) => change.statements = self.statements.will_end(epoch),
            Consequence::CloseCursor(None) | Consequence::EndTransaction => {
                change.portals = self.portals.will_end(epoch);
            }
            _ => {
                change.statements = self.statements.will_end(epoch);
                change.portals = self.portals.will_end(epoch);
            }
        }
        Some(Box::new(change))
    }

    /// An execution is complete; `committed` unless its tag says ROLLBACK.
    pub(super) fn execution_done(
        &mut self,
        portal: &PortalRef,
        change: &Change<crate::mask::Plan>,
        committed: bool,
    ) {
        let statement = portal.statement.as_ref().and_then(|it| only(&it.classified));
        if let Some(statement) = statement {
            self.done(&statement.effect, (change.statements, change.portals), committed);
        }
    }

    fn done(&mut self, effect: &Consequence, (statements, portals): (u64, u64), committed: bool) {
        match effect {
            Consequence::Deallocate(None) => self.statements.wipe(statements),
            Consequence::CloseCursor(None) => self.portals.wipe(portals),
            Consequence::Discard => {
                self.statements.wipe(statements);
                self.portals.wipe(portals);
            }
            Consequence::EndTransaction => {
                if committed {
                    self.portals.keep(portals);
                }
                self.portals.end(portals);
            }
            _ => {}
        }
    }

    /// Query: other pipelines wait for it where they use what it may change.
    pub(super) fn query_sent(
        &mut self,
        classified: &Classified,
        copies: VecDeque<Masker>,
        text: &[u8],
    ) -> Running<Masker> {
        let epoch = self.epoch;
        let mut meanings = Vec::new();
        let mut recorded: Option<Rc<[u8]>> = None;
        let encoding: Box<str> = self.encoding_of(text).into();
        for (place, statement) in classified.statements.iter().enumerate() {
            if may_change_reading(statement, self.reading.may_return()) {
                self.reading.will_change(epoch);
            }
            self.suspect(statement, epoch);
            if changes_names(&statement.effect) {
                self.statements.will_change(epoch);
                self.portals.will_change(epoch);
            }
            let name = match &statement.effect {
                Consequence::Prepare(name) => name.as_str(),
                Consequence::Declare { .. } => "",
                _ => continue,
            };
            let text = recorded.get_or_insert_with(|| Rc::from(text));
            meanings.push((place, named(statement, (text, &encoding), name)));
        }
        let ticks = (self.statements.tick(), self.portals.tick());
        let redacted = is_redacted(text);
        Running { copies, done: 0, epoch, ticks, named: meanings, redacted }
    }

    /// The statement at this place of a text is complete.
    pub(super) fn statement_done(
        &mut self,
        classified: &Classified,
        (place, epoch, ticks): (usize, Epoch, (u64, u64)),
        meaning: Option<StatementRef>,
        committed: bool,
    ) {
        let Some(statement) = classified.statements.get(place) else { return };
        match (&statement.effect, meaning) {
            (Consequence::Prepare(name), Some(meaning)) => {
                let name = name.as_bytes();
                if self.has_statement_room(name, meaning.text.len()) {
                    let _for_good = self.statements.set(name, meaning, epoch);
                    self.statements.date(name, ticks.0);
                } else {
                    let _for_good = self.statements.close(name, epoch);
                }
            }
            (Consequence::Declare { name, hold }, Some(meaning)) => {
                let name = name.as_bytes();
                if self.has_portal_room(name, 0) {
                    let _for_good = self.portals.set(name, cursor(meaning, *hold), epoch);
                    self.portals.date(name, ticks.1);
                } else {
                    let _for_good = self.portals.close(name, epoch);
                }
            }
            (Consequence::Deallocate(Some(name)), _) => {
                let _for_good = self.statements.close(name.as_bytes(), epoch);
            }
            (Consequence::CloseCursor(Some(name)), _) => {
                let _for_good = self.portals.close(name.as_bytes(), epoch);
            }
            (effect, _) => self.done(effect, ticks, committed),
        }
    }

    /// A statement failed. It may have been run all the same: an error at the end of its
    /// transaction comes before its CommandComplete (postgres.c, `exec_simple_query`). What a
    /// PREPARE gave a name it keeps then, because statements know no transactions.
    pub(super) fn statement_failed(
        &mut self,
        effect: &Consequence,
        (meaning, ticks): (Option<StatementRef>, (Tick, Tick)),
        (sqlstate, epoch): (&[u8], Epoch),
    ) {
        if NOT_RUN.contains(&sqlstate) || !changes_names(effect) {
            return;
        }
        let at_the_end = AT_THE_END.iter().any(|class| sqlstate.starts_with(class));
        match (effect, meaning) {
            // Names are not given back (prepare.c, `DropAllPreparedStatements`; portalmem.c,
            // `PortalHashTableDeleteAll`).
            (
                Consequence::Deallocate(None)
                | Consequence::CloseCursor(None)
                | Consequence::Discard,
                _,
            ) if at_the_end => {
                self.done(effect, ticks, false);
            }
            (Consequence::Prepare(name), Some(meaning)) if at_the_end => {
                let (name, bytes) = (name.as_bytes(), meaning.text.len());
                // One that had a meaning has it still: a second PREPARE is an error of its own.
                let absent = matches!(self.statements.get(name, epoch), Lookup::Absent);
                if absent && self.has_statement_room(name, bytes) {
                    let _for_good = self.statements.set(name, meaning, epoch);
                    self.statements.date(name, ticks.0);
                }
            }
            (effect, _) => self.forget(effect, epoch),
        }
    }

    /// What a statement may have done to names nobody can tell.
    fn forget(&mut self, effect: &Consequence, epoch: Epoch) {
        match effect {
            Consequence::Prepare(name) | Consequence::Deallocate(Some(name)) => {
                let _for_good = self.statements.close(name.as_bytes(), epoch);
            }
            Consequence::Declare { name, .. } | Consequence::CloseCursor(Some(name)) => {
                let _for_good = self.portals.close(name.as_bytes(), epoch);
            }
            Consequence::EndTransaction | Consequence::CloseCursor(None) => {}
            _ => self.statements.suspect(epoch),
        }
    }

    /// Code that weir cannot read may use PREPARE, DEALLOCATE and cursors of any name.
    fn suspect(&mut self, statement: &Statement, epoch: Epoch) {
        if is_unreadable(statement) {
            self.statements.suspect(epoch);
            self.portals.suspect(epoch);
        }
    }
}

/// SQLSTATEs of statements that were refused before they did anything: in a failed transaction, of
/// a name that is or is not there, of a syntax, inside of a transaction, outside of one.
pub(super) const NOT_RUN: [&[u8]; 8] =
    [b"25P02", b"26000", b"42P05", b"42601", b"25001", b"34000", b"42P03", b"25P01"];

/// Classes of SQLSTATEs that a transaction's end raises and the reading of a text does not:
/// integrity, which deferred constraints check, and serialization (Appendix A of the manual).
const AT_THE_END: [&[u8]; 2] = [b"23", b"40"];

/// DO, and what is not understood. Functions of the database are its owner's code, and what EXECUTE
/// runs can be a query only.
fn is_unreadable(statement: &Statement) -> bool {
    let executes = matches!(statement.effect, Consequence::Execute(_));
    statement.operation == "DO" || statement.classes.has(Class::Unknown) && !executes
}

fn refers(statement: &Statement) -> bool {
    matches!(statement.effect, Consequence::Execute(_) | Consequence::Fetch(_))
}

fn gives_a_name(statement: &Statement) -> bool {
    matches!(statement.effect, Consequence::Prepare(_) | Consequence::Declare { .. })
}

/// BEGIN, COMMIT, SAVEPOINT and their kin. PREPARE takes none of them, a Parse does.
fn is_of_transactions(statement: &Statement) -> bool {
    statement.effect == Consequence::EndTransaction || statement.classes.has(Class::Transaction)
}

fn changes_names(effect: &Consequence) -> bool {
    match effect {
        Consequence::Prepare(_)
        | Consequence::Deallocate(_)
        | Consequence::Declare { .. }
        | Consequence::CloseCursor(_)
        | Consequence::Discard
        | Consequence::EndTransaction => true,
        Consequence::None
        | Consequence::Copy(_)
        | Consequence::Execute(_)
        | Consequence::Fetch(_)
        | Consequence::Catalog
        | Consequence::Reset => false,
    }
}

/// The name of a statement or a portal that a statement uses.
fn name_of(statement: &Statement) -> Option<&str> {
    match &statement.effect {
        Consequence::Prepare(name)
        | Consequence::Execute(name)
        | Consequence::Fetch(name)
        | Consequence::Declare { name, .. }
        | Consequence::Deallocate(Some(name))
        | Consequence::CloseCursor(Some(name)) => Some(name),
        _ => None,
    }
}

/// The one statement of a text that can be parsed as a message.
fn only(classified: &Classified) -> Option<&Statement> {
    match classified.statements.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn settled<T>(lookup: &Lookup<'_, T>) -> Found {
    if let Lookup::Unsettled = lookup { Found::Unsettled } else { Found::Nothing }
}

/// What a PREPARE or DECLARE gives a name to.
fn inner(statement: &Statement, operation: &str) -> Statement {
    Statement { operation: operation.to_owned(), effect: Consequence::None, ..statement.clone() }
}

/// A prepared statement that may be another one by now: its text, of class unknown.
pub fn doubt(prepared: &StatementRef) -> StatementRef {
    let mut statements: Vec<Statement> =
        prepared.classified.statements.iter().map(doubted).collect();
    if statements.is_empty() {
        statements.push(Statement {
            classes: Class::Unknown.only(),
            operation: "UNKNOWN".to_owned(),
            objects: Rc::default(),
            cascades: false,
            columns: Vec::new(),
            whole_rows: true,
            made: Vec::new(),
            star: None,
            stored: None,
            shows: Vec::new(),
            sinks: Rc::default(),
            effect: Consequence::None,
            cursors: [].into(),
            facts: Vec::new(),
            causes: Vec::new(),
            uses: Rc::default(),
        });
    }
    let classified = Rc::new(Classified::new(statements, prepared.classified.secrets));
    Rc::new(Prepared { classified, ..prepared.copy() })
}

/// A statement that may be another one by now.
fn doubted(statement: &Statement) -> Statement {
    Statement {
        classes: Class::Unknown.only(),
        whole_rows: true,
        made: Vec::new(),
        ..statement.clone()
    }
}

/// The text with its encoding.
fn named(statement: &Statement, (text, encoding): (&Rc<[u8]>, &str), name: &str) -> StatementRef {
    let statement = inner(statement, "EXECUTE");
    Rc::new(Prepared {
        name: name.into(),
        text: Rc::clone(text),
        encoding: encoding.into(),
        secrets: Box::default(),
        classified: Rc::new(Classified::new(vec![statement], false)),
        types: Vec::new().into(),
        recorded: true.into(),
    })
}

fn cursor(statement: StatementRef, hold: bool) -> PortalRef {
    Rc::new(Portal { hold, ..Portal::of(statement) })
}
