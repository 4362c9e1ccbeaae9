//! Which columns the rows of FROM and WITH have, and what a name in an expression stands for.
//!
//! In: FROM clauses, names. Out: what a name is made of. Never: less than it may be: where a name
//! may be of several rows it is made of all of them, and where it may be of one that nobody can
//! tell, it is not told.
//!
//! Relations are known by the names of their columns alone, and whether a name is hidden in one of
//! them is found out later (`mask`), for all relations that a statement names together.

use std::cell::Cell;

use super::super::super::Made;
use super::super::references::ROW_FUNCTIONS;
use super::super::tree::Tree;
use super::{Star, collect, of_select};
use crate::limits;

/// The columns of a row.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    /// Those of a relation, by their own names.
    Own,
    /// These, by their names if those are plain to see; with `through`, all of some relation, too.
    These { known: Vec<(Option<String>, Option<Made>)>, through: bool },
    /// Each of them may be made of this: those of a function.
    Any(Made),
    /// Nobody can tell.
    Unknown,
}

impl Columns {
    /// How much it takes to copy them.
    fn weight(&self) -> usize {
        let names = |made: &Made| 1 + made.columns.len() + made.others.len();
        match self {
            Columns::These { known, .. } => {
                known.iter().map(|(_, made)| made.as_ref().map_or(1, names)).sum()
            }
            Columns::Any(made) => names(made),
            Columns::Own | Columns::Unknown => 1,
        }
    }

    /// Under the names that an alias gives them, by their places.
    pub(super) fn renamed(self, names: &[Tree]) -> Columns {
        match self {
            any if names.is_empty() => any,
            Columns::Any(made) => Columns::Any(made),
            Columns::These { mut known, through: false } if names.len() <= known.len() => {
                let given = known.iter_mut().zip(names);
                given.for_each(|((name, _), given)| *name = Some(given.text().to_owned()));
                Columns::These { known, through: false }
            }
            _ => Columns::Unknown,
        }
    }

    /// Those of UNION, INTERSECT, EXCEPT: each is made of both in its place.
    pub(super) fn joined(self, other: Columns, scope: &Scope<'_>) -> Columns {
        let (
            Columns::These { mut known, through: false },
            Columns::These { known: more, through: false },
        ) = (self, other)
        else {
            return Columns::Unknown;
        };
        if known.len() != more.len() {
            return Columns::Unknown;
        }
        for ((_, made), (_, also)) in known.iter_mut().zip(more) {
            let both = made.as_mut().is_some_and(|made| scope.effort.merge(made, also.as_ref()));
            if !both {
                *made = None;
            }
        }
        Columns::These { known, through: false }
    }
}

/// How much may be done for one text: columns of columns could be made without end.
#[derive(Debug)]
pub(super) struct Effort {
    left: Cell<usize>,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { left: Cell::new(limits::LINEAGE_STEPS_MAX) }
    }
}

impl Effort {
    fn spend(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Whether so many columns of one row are few enough.
    pub(super) fn has_room(&self, columns: usize) -> bool {
        columns <= limits::LINEAGE_COLUMNS_MAX && self.spend(columns)
    }

    /// Adds what something else is made of, if that is told.
    pub(super) fn merge(&self, made: &mut Made, more: Option<&Made>) -> bool {
        let Some(more) = more else { return false };
        let names = more.columns.len() + more.others.len();
        if !self.spend(1 + names * (1 + made.columns.len() + made.others.len())) {
            return false;
        }
        add(&mut made.columns, &more.columns);
        add(&mut made.others, &more.others);
        true
    }
}

fn add(names: &mut Vec<Box<str>>, more: &[Box<str>]) {
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}

/// The queries of a WITH that are told so far, and those around it.
#[derive(Debug)]
pub(super) struct Withs<'s> {
    pub named: Vec<(String, Columns)>,
    pub outer: Option<&'s Withs<'s>>,
}

impl Withs<'_> {
    fn find(&self, name: &str) -> Option<&Columns> {
        let found = self.named.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, columns)| columns).or_else(|| self.outer?.find(name))
    }
}

/// The rows of one FROM.
#[derive(Debug, Default)]
pub(super) struct Level {
    rows: Vec<(String, Columns)>,
    /// A join makes one column of two (USING, NATURAL).
    merges: bool,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'s> {
    pub effort: &'s Effort,
    pub withs: Option<&'s Withs<'s>>,
    pub level: Option<&'s Level>,
    pub outer: Option<&'s Scope<'s>>,
}

/// The rows of a FROM. What stands in it may name what stands before it (LATERAL).
pub(super) fn level(from: &[Tree], scope: &Scope<'_>) -> Level {
    let mut level = Level::default();
    from.iter().for_each(|item| level.take(item, scope));
    level
}

/// What RETURNING may name. What is written is never a query of WITH.
pub(super) fn written(target: &Tree, beside: [&Tree; 2], scope: &Scope<'_>) -> Level {
    let mut level = Level::default();
    let alias = target.field("alias").field("aliasname").text();
    let name = if alias.is_empty() { target.field("relname").text() } else { alias };
    level.rows.push((name.to_owned(), Columns::Own));
    beside.iter().flat_map(|from| from.items()).for_each(|item| level.take(item, scope));
    level
}

impl Level {
    fn take(&mut self, item: &Tree, scope: &Scope<'_>) {
        let alias = item.field("alias");
        let (named, renamed) = (alias.field("aliasname").text(), alias.field("colnames").items());
        let columns = match item.kind() {
            "RangeVar" => {
                let name = item.field("relname").text();
                let columns = found(item, name, scope).renamed(renamed);
                let called = if named.is_empty() { name } else { named };
                return self.rows.push((called.to_owned(), columns));
            }
            "JoinExpr" => return self.join(item, scope),
            "RangeSubselect" => {
                let inner = Scope { level: Some(&*self), outer: Some(scope), ..*scope };
                of_select(item.field("subquery"), &inner)
            }
            "RangeFunction" => {
                let inner = Scope { level: Some(&*self), outer: Some(scope), ..*scope };
                let mut made = Made::default();
                match collect(item.field("functions"), &inner, &mut made) {
                    true => Columns::Any(made),
                    false => Columns::Unknown,
                }
            }
            _ => Columns::Unknown,
        };
        self.rows.push((named.to_owned(), columns.renamed(renamed)));
    }

    fn join(&mut self, join: &Tree, scope: &Scope<'_>) {
        self.take(join.field("larg"), scope);
        self.take(join.field("rarg"), scope);
        self.merges |= join.field("is_natural").number() != 0
            || !join.field("using_clause").items().is_empty();
        for alias in ["alias", "join_using_alias"] {
            let name = join.field(alias).field("aliasname").text();
            if !name.is_empty() {
                self.rows.push((name.to_owned(), Columns::Unknown));
            }
        }
    }
}

/// The columns of a name in FROM: of a query in WITH, or of a relation.
fn found(range: &Tree, name: &str, scope: &Scope<'_>) -> Columns {
    let qualified =
        ["schemaname", "catalogname"].iter().any(|it| !range.field(it).text().is_empty());
    let with = scope.withs.filter(|_| !qualified).and_then(|withs| withs.find(name));
    match with {
        None => Columns::Own,
        Some(columns) if !scope.effort.spend(columns.weight()) => Columns::Unknown,
        Some(columns) => columns.clone(),
    }
}

/// What a row says of one of its columns.
enum Answer {
    /// It has it.
    Has,
    /// It may have it, as a column of a relation.
    May,
    /// It may have it, and what it is made of is added already.
    Added,
    /// It has not.
    HasNot,
    /// Nobody can tell.
    Untold,
}

impl Scope<'_> {
    /// Adds what a name of a column, or of a row, may be made of; `false` if that cannot be told.
    pub(super) fn column(&self, fields: &[Tree], made: &mut Made) -> bool {
        let [before @ .., last] = fields else { return false };
        // `t.concat` is a function of the row where no column of it has that name, and another
        // relation may have one.
        let of_row = !before.is_empty() && ROW_FUNCTIONS.contains(&last.text());
        if of_row || before.iter().any(|part| part.kind() != "String") {
            return false;
        }
        match (before, last.kind()) {
            ([], "String") => self.unqualified(last.text(), made),
            ([row], "String") => self.qualified(row.text(), last.text(), made),
            ([row], "AStar") => self.whole(row.text(), made),
            (_, "String") => {
                made.others.extend(before.iter().map(|name| Box::from(name.text())));
                made.columns.push(last.text().into());
                true
            }
            _ => false,
        }
    }

    fn unqualified(&self, name: &str, made: &mut Made) -> bool {
        let (mut at, mut told) = (Some(self), false);
        while let Some(scope) = at {
            at = scope.outer;
            let Some(level) = scope.level else { continue };
            let (mut has, mut may) = (false, false);
            for (called, columns) in &level.rows {
                if called == name && !scope.merge_all(columns, made) {
                    return false;
                }
                told |= called == name;
                match scope.ask(columns, name, made) {
                    Answer::Has => has = true,
                    Answer::May => may = true,
                    Answer::Added => told = true,
                    Answer::HasNot => {}
                    Answer::Untold => return false,
                }
            }
            // Two rows of one FROM that have it are an error, but for what a join makes one of.
            if has && !level.merges {
                return true;
            }
            // Where something else explains it, a relation need not have it.
            told |= has;
            if may && told {
                made.others.push(name.into());
            } else if may {
                made.columns.push(name.into());
            }
            told |= may;
        }
        told
    }

    fn qualified(&self, row: &str, name: &str, made: &mut Made) -> bool {
        let mut at = Some(self);
        while let Some(scope) = at {
            at = scope.outer;
            let Some(level) = scope.level else { continue };
            let mut told = false;
            for (_, columns) in level.rows.iter().filter(|(called, _)| called == row) {
                match scope.ask(columns, name, made) {
                    Answer::Has | Answer::Added => {}
                    Answer::May => {
                        made.columns.push(name.into());
                        made.others.push(row.into());
                    }
                    Answer::HasNot | Answer::Untold => return false,
                }
                told = true;
            }
            if told {
                return true;
            }
        }
        false
    }

    fn whole(&self, row: &str, made: &mut Made) -> bool {
        let mut at = Some(self);
        while let Some(scope) = at {
            at = scope.outer;
            let Some(level) = scope.level else { continue };
            let mut named = level.rows.iter().filter(|(called, _)| called == row).peekable();
            if named.peek().is_some() {
                return named.all(|(_, columns)| scope.merge_all(columns, made));
            }
        }
        false
    }

    /// Adds what a row has under a name.
    fn ask(&self, columns: &Columns, name: &str, made: &mut Made) -> Answer {
        let (known, through) = match columns {
            Columns::Own => return Answer::May,
            Columns::Unknown => return Answer::Untold,
            Columns::Any(any) => {
                let merged = self.effort.merge(made, Some(any));
                return if merged { Answer::Added } else { Answer::Untold };
            }
            Columns::These { known, through } => (known, *through),
        };
        if !self.effort.spend(known.len()) {
            return Answer::Untold;
        }
        let is_named =
            |(called, _): &&(Option<String>, Option<Made>)| called.as_deref() == Some(name);
        let named = known.iter().any(|it| is_named(&it));
        // One without a plain name may be called so.
        let mut meant = known.iter().filter(|it| if named { is_named(it) } else { it.0.is_none() });
        let unnamed = !named && known.iter().any(|it| it.0.is_none());
        if !meant.all(|(_, column)| self.effort.merge(made, column.as_ref())) {
            return Answer::Untold;
        }
        match (named, through) {
            (true, _) => Answer::Has,
            (false, true) => Answer::May,
            (false, false) if unnamed => Answer::Added,
            (false, false) => Answer::HasNot,
        }
    }

    fn merge_all(&self, columns: &Columns, made: &mut Made) -> bool {
        match columns {
            Columns::These { known, through: false } => {
                known.iter().all(|(_, column)| self.effort.merge(made, column.as_ref()))
            }
            Columns::Any(any) => self.effort.merge(made, Some(any)),
            Columns::These { .. } | Columns::Own | Columns::Unknown => false,
        }
    }

    /// The columns that a star stands for.
    pub(super) fn expanded(&self, star: Star<'_>) -> Columns {
        let Some(level) = self.level else { return Columns::Unknown };
        let rows = level.rows.iter();
        let rows: Vec<&Columns> = match star {
            // A join that makes one column of two has them in another order.
            Star::All if level.merges => return Columns::Unknown,
            Star::All => rows.map(|(_, columns)| columns).collect(),
            Star::Of(name) => rows.filter(|(it, _)| it == name).map(|(_, it)| it).collect(),
            Star::Other => Vec::new(),
        };
        if rows.is_empty() {
            return Columns::Unknown;
        }
        let (mut all, mut passes) = (Vec::new(), false);
        for columns in rows {
            match columns {
                Columns::Own => passes = true,
                Columns::These { known, through } => {
                    let fits = self.effort.has_room(all.len() + known.len());
                    if !fits || !self.effort.spend(columns.weight()) {
                        return Columns::Unknown;
                    }
                    all.extend(known.iter().cloned());
                    passes |= through;
                }
                Columns::Any(_) | Columns::Unknown => return Columns::Unknown,
            }
        }
        Columns::These { known: all, through: passes }
    }
}
