//! Code of users at one target, and what of it a text may run without naming anything foreign.
//!
//! In: what a text uses (`Use`), and the names that a target has of its own (`OwnCode`, read out
//! of its catalog). Out: the classification, `call` added where both meet. Never: a name passed
//! because its types do not fit: types are not known here, so one function of a name makes every
//! use of that name a call; and never a use passed at a target whose catalog was not read.
//!
//! One thing is known of types: code that only runs on values of users' types (a cast of an enum)
//! runs in no statement that has no such value. Values come from relations, so all that a statement
//! names have to be among those that are known to be plain; and from types, functions and operators
//! that are not PostgreSQL's own, so none of these may be used.
//!
//! ```text
//!   lower(x), s.lower(x)         a function of that name, in any schema
//!   o.total, (o).total           a function of that name that takes one argument; or a type
//!   a + b, a IN (..), USING (..) an operator of that name that runs code of users
//!   x::t, t 'x', AS (a t)        a domain that checks, a type that is cast to, by code of users
//!   coalesce(c, '(1,2)')         a composite, an array or a range that has such a domain in it, in
//!                                any column of the relations that are named; their rows, too
//!   any query                    casts of users that happen by themselves
//!   what writes                  the same, where a value is assigned to a column
//! ```
//!
//! What runs inside of the target without being used by the text (views, triggers, defaults,
//! checks of columns) is not looked at.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cause, Class, Classified, Consequence, Fact, Statement};
use crate::decide::FactKind;

/// How a name is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UseKind {
    /// It is called, `f(x)`; one that can only be of `pg_catalog` is named `pg_catalog.f`.
    Function,
    /// It stands behind a dot: a column, or a function of what stands before.
    Field,
    /// It is an operator.
    Operator,
    /// It is a type that a value is made to be.
    Type,
    /// The same by its OID, as messages have it.
    TypeNumber,
    /// A relation: a literal or a parameter without a type stands in the text, and may become a
    /// value of its columns' types.
    Within,
    /// A cast that no text has to ask for; in catalogs only, by the name of its function.
    ImplicitCast,
    /// The same, of what is assigned to a column.
    AssignedCast,
}

/// Something that a text uses and that PostgreSQL has itself, or may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    /// How.
    pub kind: UseKind,
    /// What.
    pub name: Box<str>,
}

/// What a target says of the code of its users, a name at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Who uses it may run code.
    Runs(Use),
    /// The same, if a value of a type is there that the code takes.
    RunsOnValues(Use),
    /// Such a value may come out of it.
    Brings(Use),
    /// No relation of this name has such values.
    Plain(Box<str>),
}

/// The names of a target that may run code of its users.
#[derive(Clone, Debug)]
pub struct OwnCode {
    /// Of these names, differs from that of all others made in this process. Never 0.
    id: u64,
    /// Run code.
    always: Names,
    /// Run code if a value is there that it takes.
    on_values: Names,
    /// Where such values come from.
    brings: HashSet<Use>,
    /// Relations that have none.
    plain: HashSet<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Names {
    used: HashSet<Use>,
    /// Functions of casts, in order.
    implicit: Vec<Box<str>>,
    assigned: Vec<Box<str>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Default for OwnCode {
    fn default() -> OwnCode {
        OwnCode::new([])
    }
}

impl PartialEq for OwnCode {
    fn eq(&self, other: &OwnCode) -> bool {
        self.always == other.always
            && self.on_values == other.on_values
            && self.brings == other.brings
            && self.plain == other.plain
    }
}

impl OwnCode {
    /// These names and no others.
    pub fn new(told: impl IntoIterator<Item = Told>) -> OwnCode {
        let mut code = OwnCode {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            always: Names::default(),
            on_values: Names::default(),
            brings: HashSet::new(),
            plain: HashSet::new(),
        };
        for told in told {
            match told {
                Told::Runs(used) => code.always.add(used),
                Told::RunsOnValues(used) => code.on_values.add(used),
                Told::Brings(used) => drop(code.brings.insert(used)),
                Told::Plain(name) => drop(code.plain.insert(name)),
            }
        }
        code.always.sort();
        code.on_values.sort();
        code
    }

    /// What of it a statement may run.
    fn run_by<'o>(&'o self, statement: &'o Statement) -> impl Iterator<Item = &'o str> {
        let on_values = Some(&self.on_values)
            .filter(|names| !names.is_empty() && self.may_have_values(statement));
        let all = std::iter::once(&self.always).chain(on_values);
        all.flat_map(|names| names.run_by(statement))
    }

    /// Whether a use may run code of users, at least on some values.
    fn has(&self, used: &Use) -> bool {
        has(&self.always.used, used) || has(&self.on_values.used, used)
    }

    /// Whether a value of a type that code takes may be in it.
    fn may_have_values(&self, statement: &Statement) -> bool {
        statement.objects.iter().any(|object| !self.plain.contains(&*object.name))
            || statement.uses.iter().any(|used| has(&self.brings, used))
    }
}

/// `(x).t` is also a cast to the type `t`.
fn has(names: &HashSet<Use>, used: &Use) -> bool {
    let is_type = || Use { kind: UseKind::Type, name: used.name.clone() };
    names.contains(used) || (used.kind == UseKind::Field && names.contains(&is_type()))
}

impl Names {
    fn add(&mut self, used: Use) {
        match used.kind {
            UseKind::ImplicitCast => self.implicit.push(used.name),
            UseKind::AssignedCast => self.assigned.push(used.name),
            _ => drop(self.used.insert(used)),
        }
    }

    fn sort(&mut self) {
        for names in [&mut self.implicit, &mut self.assigned] {
            names.sort_unstable();
            names.dedup();
        }
    }

    fn is_empty(&self) -> bool {
        self.used.is_empty() && self.implicit.is_empty() && self.assigned.is_empty()
    }

    fn run_by<'n>(&'n self, statement: &'n Statement) -> impl Iterator<Item = &'n str> {
        let classes = statement.classes;
        let writes = [Class::Write, Class::UnboundedWrite].iter().any(|&it| classes.has(it));
        let computes = writes || !statement.uses.is_empty() || classes.has(Class::Read);
        let used = statement.uses.iter().filter(|used| has(&self.used, used));
        let implicit = self.implicit.iter().filter(move |_| computes);
        let assigned = self.assigned.iter().filter(move |_| writes);
        used.map(|used| &*used.name).chain(implicit.chain(assigned).map(|name| &**name))
    }
}

/// Which `OwnCode` a classification was found to run nothing of. Says nothing about the text, so
/// it is no part of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Cleared(Cell<u64>);

impl PartialEq for Cleared {
    fn eq(&self, _: &Cleared) -> bool {
        true
    }
}

impl Eq for Cleared {}

/// What a text is at a target with this code; `None` where its catalog was never read.
pub fn judged(known: Rc<Classified>, code: Option<&OwnCode>) -> Rc<Classified> {
    let Some(code) = code else { return unread(known) };
    // Texts come again and again, and catalogs seldom change.
    if known.cleared.0.get() == code.id {
        return known;
    }
    if known.statements.iter().all(|statement| code.run_by(statement).next().is_none()) {
        known.cleared.0.set(code.id);
        return known;
    }
    let calls = |statement: &Statement| {
        let mut calls = statement.clone();
        // Such a function has the whole row, and may show it.
        let takes_row = |used: &Use| used.kind == UseKind::Field && code.has(used);
        calls.whole_rows |= statement.uses.iter().any(takes_row);
        for name in code.run_by(statement) {
            let fact = Fact::is(FactKind::Function, name);
            call(&mut calls, fact, &format!("function {name}"));
        }
        calls
    };
    again(&known, calls)
}

/// What a text is whose parameters have these types by the client's word: a Bind makes values of
/// them.
pub fn with_parameters(
    known: Rc<Classified>,
    types: impl Iterator<Item = u32>,
    code: Option<&OwnCode>,
) -> Rc<Classified> {
    // Below are those that PostgreSQL has itself (`FirstNormalObjectId`, transam.h).
    let own = types.filter(|oid| *oid >= 16_384).map(|oid| oid.to_string().into());
    let own: Vec<Use> = own.map(|name| Use { kind: UseKind::TypeNumber, name }).collect();
    if own.is_empty() {
        return known;
    }
    let uses = |statement: &Statement| {
        let uses = statement.uses.iter().chain(&own).cloned().collect();
        Statement { uses, ..statement.clone() }
    };
    judged(again(&known, uses), code)
}

fn unread(known: Rc<Classified>) -> Rc<Classified> {
    if known.statements.iter().all(|statement| statement.uses.is_empty()) {
        return known;
    }
    let calls = |statement: &Statement| {
        let mut calls = statement.clone();
        if !calls.uses.is_empty() {
            calls.whole_rows = true;
            call(&mut calls, Fact::unclear(FactKind::Function), UNREAD);
        }
        calls
    };
    again(&known, calls)
}

const UNREAD: &str = "functions of a target whose catalog has not been read";

fn again(known: &Classified, calls: impl Fn(&Statement) -> Statement) -> Rc<Classified> {
    let statements = known.statements.iter().map(calls).collect();
    let is_syntax_error = known.is_syntax_error;
    Rc::new(Classified { is_syntax_error, ..Classified::new(statements, known.secrets) })
}

fn call(statement: &mut Statement, fact: Fact, cause: &str) {
    statement.classes = statement.classes.and(Class::Call.only());
    // An argument of EXECUTE: what the name stands for does not say what this does.
    if let Consequence::Execute(_) = statement.effect {
        statement.effect = Consequence::None;
    }
    if !statement.facts.contains(&fact) {
        statement.facts.push(fact);
    }
    let cause = Cause { classes: Class::Call.only(), name: cause.into() };
    if !statement.causes.contains(&cause) {
        statement.causes.push(cause);
    }
}

#[cfg(test)]
mod tests;
