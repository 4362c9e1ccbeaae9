//! What a statement refers to: objects, columns, whole rows, and the work hidden inside it.
//!
//! In: the tree of one statement. Out: `References`. Never: too little. A name that may be a column
//! is one, a row that may be whole is whole; only names of common table expressions are left out,
//! and only where they are in scope.

use std::collections::HashSet;

use pg_query::protobuf::{AlterTableType, ConstrType};

use super::super::own::{Use, UseKind};
use super::super::{Cause, Class, ClassSet, Fact, Object, Stored};
use super::bare::Bare;
use super::bounds::query_class;
use super::catalog;
use super::flows::{CONDITIONS, Place, keepers, keeps, kept_by};
use super::functions::{self, Known};
use super::pinned::pinned;
use super::tree::Tree;
use crate::decide::FactKind;

/// Names that are rows without being declared: MERGE and RETURNING have `old` and `new`, ON
/// CONFLICT has `excluded`.
const ROW_NAMES: [&str; 3] = ["old", "new", "excluded"];

/// Functions of a row that PostgreSQL also takes as a "column" of it, `c.row_to_json`, and that
/// show the whole row (`pg_proc`: one argument of any type; the result is not a plain number).
pub(super) const ROW_FUNCTIONS: [&str; 26] = [
    "any_out",
    "any_value",
    "anycompatible_out",
    "anycompatiblenonarray_out",
    "anyelement_out",
    "anynonarray_out",
    "array_agg",
    "concat",
    "format",
    "hash_record",
    "hstore",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "quote_literal",
    "quote_nullable",
    "record_out",
    "record_send",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) objects: Vec<Object>,
    pub(super) columns: Vec<String>,
    pub(super) whole_rows: bool,
    /// What queries and DML inside do besides reading.
    pub(super) queries: ClassSet,
    /// What functions that are called do.
    pub(super) functions: ClassSet,
    /// Settings and functions for rules.
    pub(super) facts: Vec<Fact>,
    /// Where classes come from.
    pub(super) causes: Vec<Cause>,
    /// What may be code of users at one target and is none at another.
    pub(super) uses: Vec<Use>,
    /// What is put where it stays, if anything is.
    pub(super) stored: Option<Stored>,
    /// Functions that put an argument where others find it.
    pub(super) sinks: Vec<Box<str>>,
    /// Cursors whose rows are written.
    pub(super) cursors: Vec<Box<str>>,
    place: Place,
    /// Values are made of the types that columns have.
    makes_values: bool,
    /// What the columns of the query are stored as that is entered next.
    kept: Option<Vec<Place>>,
    /// The setting that `name` is in the list of columns that is walked, where that is certain.
    pinned: Option<&'static str>,
    /// The query or DML that the statement is was entered.
    is_inside: bool,
    /// How many parts of it keep values.
    keepers: usize,
    /// Column references of one part in what is stored.
    stored_bare: HashSet<String>,
    known_uses: HashSet<Use>,
    known_columns: HashSet<String>,
    known_stored: HashSet<(String, Option<String>)>,
    known_objects: HashSet<Object>,
    /// Column references of one part: columns, or rows.
    bare: HashSet<String>,
    /// Names that are rows.
    rows: HashSet<String>,
    /// What stands in FROM under its name there; nothing where that is no relation.
    labels: Vec<(String, Option<Object>)>,
    /// Those of them that are functions.
    functions_in_from: HashSet<String>,
    /// Names of which all columns are stored.
    starred: Vec<String>,
}

/// Names of common table expressions in scope.
type Scope<'t> = Vec<&'t str>;

impl References {
    /// `write` tells whether the relations that the statement names directly are changed by it.
    pub(super) fn of(tree: &Tree, write: bool) -> References {
        let mut references = References::default();
        references.rows.extend(ROW_NAMES.map(str::to_owned));
        references.keepers = keepers(tree);
        if references.keepers > 0 {
            references.stored = Some(Stored::default());
            references.place = Place::Stored(None);
        }
        // The query in such a definition is no statement that answers.
        references.is_inside = matches!(tree.kind(), "CreateTableAsStmt" | "ViewStmt");
        references.walk(tree, &Scope::new(), write);
        references.whole_rows |= !references.bare.is_disjoint(&references.rows);
        references.settle_values(tree);
        references.settle_stored();
        references
    }

    /// Values that are made of types which the text does not name: those of columns, and of rows.
    fn settle_values(&mut self, tree: &Tree) {
        let bare = Bare::of(tree);
        let is_query = self.is_inside;
        let among_rows = bare.rows || !self.bare.is_disjoint(&self.rows);
        let makes_rows = self.makes_values || is_query && bare.texts && among_rows;
        // A row type has the name of its relation.
        let names: Vec<String> = self.objects.iter().map(|it| it.name.clone()).collect();
        for name in &names {
            if makes_rows {
                self.uses(UseKind::Type, name);
            }
            if is_query && bare.texts {
                self.uses(UseKind::Within, name);
            }
        }
    }

    /// What names of rows in what is stored stand for, as they are all known.
    fn settle_stored(&mut self) {
        let Some(stored) = &mut self.stored else { return };
        let labels = &self.labels;
        let named = |name: &str| -> Vec<&(String, Option<Object>)> {
            labels.iter().filter(|(label, _)| label == name).collect()
        };
        // A function that is called like nothing else has no rows of a relation.
        let functions = &self.functions_in_from;
        let is_row = |name: &String| match named(name).as_slice() {
            [(_, None)] => !functions.contains(name) || ROW_NAMES.contains(&name.as_str()),
            _ => true,
        };
        stored.rows |= self.stored_bare.intersection(&self.rows).any(is_row);
        for name in &self.starred {
            match named(name).as_slice() {
                [(_, Some(object))] => stored.starred.push(object.clone()),
                _ => stored.all_read = true,
            }
        }
    }

    fn walk(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        match tree {
            Tree::List(items) => items.iter().for_each(|item| self.walk(item, scope, write)),
            Tree::Node { kind, .. } => self.node(kind, tree, scope, write),
            Tree::Text(_) | Tree::Number(_) | Tree::Nothing => {}
        }
    }

    fn children(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        tree.fields().iter().for_each(|(name, child)| self.child(name, child, scope, write));
    }

    fn child(&mut self, name: &str, child: &Tree, scope: &Scope<'_>, write: bool) {
        let place = match CONDITIONS.contains(&name) {
            true => Place::Passing,
            false => self.place.clone(),
        };
        self.placed(place, child, scope, write);
    }

    fn placed(&mut self, place: Place, tree: &Tree, scope: &Scope<'_>, write: bool) {
        let before = std::mem::replace(&mut self.place, place);
        self.walk(tree, scope, write);
        self.place = before;
    }

    /// Assignments to columns: what each of them takes is stored there.
    fn assignments(&mut self, targets: &Tree, scope: &Scope<'_>) {
        self.assigned(targets);
        if let (Some(stored), Place::Stored(_)) = (&mut self.stored, &self.place) {
            stored.assigns = true;
        }
        for target in targets.items() {
            let place = match &self.place {
                Place::Stored(_) => Place::Stored(Some(target.field("name").text().to_owned())),
                Place::Passing => Place::Passing,
            };
            self.placed(place, target, scope, false);
        }
    }

    /// Nodes whose children are not looked at as they stand: they are done here.
    fn has_own_way(&mut self, (kind, tree): (&str, &Tree), scope: &Scope<'_>, write: bool) -> bool {
        match kind {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                self.query(kind, tree, scope);
            }
            "RangeVar" => self.relation(tree, scope, write),
            "IntoClause" => self.relation(tree.field("rel"), &Scope::new(), true),
            // It names aliases of the query around it. PostgreSQL refuses it in a transaction that
            // is read-only.
            "LockingClause" => {
                self.queries = self.queries.and(Class::Write.only());
                self.because(Class::Write.only(), "row locks".to_owned());
            }
            "ColumnRef" => self.column_ref(tree),
            "MergeWhenClause" | "OnConflictClause" => {
                self.assignments(tree.field("target_list"), scope);
                let rest = tree.fields().iter().filter(|(name, _)| *name != "target_list");
                rest.for_each(|(name, child)| self.child(name, child, scope, write));
            }
            // USING and generated columns compute a column out of others.
            "AlterTableCmd" => {
                let name = tree.field("name").text();
                self.column(name);
                let place = match name {
                    "" => self.place.clone(),
                    name => Place::Stored(Some(name.to_owned())),
                };
                if let (Some(stored), Place::Stored(Some(_))) = (&mut self.stored, &place) {
                    stored.assigns = true;
                }
                self.placed(place, tree.field("def"), scope, write);
                self.leaves_masks(tree.field("subtype").number(), name);
            }
            _ => return false,
        }
        true
    }

    /// Values that stay where they are, and may lose what made them masked ones: they were computed
    /// of other columns, or those of a parent, or had a type that is masked.
    fn leaves_masks(&mut self, subtype: i64, column: &str) {
        let is = |known: AlterTableType| subtype == known as i64;
        let Some(stored) = &mut self.stored else { return };
        if is(AlterTableType::AtDropExpression) {
            stored.columns.push((column.to_owned(), None));
        } else if is(AlterTableType::AtAlterColumnType) {
            stored.retyped.push(column.to_owned());
        } else if is(AlterTableType::AtDropInherit)
            || is(AlterTableType::AtDetachPartition)
            || is(AlterTableType::AtDetachPartitionFinalize)
        {
            stored.parted = true;
        }
    }

    fn node(&mut self, kind: &str, tree: &Tree, scope: &Scope<'_>, write: bool) {
        if self.has_own_way((kind, tree), scope, write) {
            return;
        }
        if matches!(kind, "CreateTableAsStmt" | "ViewStmt") {
            self.kept = kept_by(kind, tree);
        }
        match kind {
            "AIndirection" => self.indirection(tree),
            "FuncCall" => self.call(tree),
            "Alias" => self.label(tree.field("aliasname").text(), None),
            "ReturningOption" => self.row(tree.field("value").text()),
            "RangeFunction" => self.range_function(tree),
            "AExpr" => self.operator(tree.field("name")),
            "SubLink" => {
                self.operator(tree.field("oper_name"));
                // `x IN (SELECT ..)` has no name there.
                if *tree.field("testexpr") != Tree::Nothing {
                    self.uses(UseKind::Operator, "=");
                }
            }
            "CaseExpr" if *tree.field("arg") != Tree::Nothing => {
                self.uses(UseKind::Operator, "=");
            }
            "CurrentOfExpr" => self.cursors.push(tree.field("cursor_name").text().into()),
            "TypeName" => self.made(tree.field("names").items()),
            "SortBy" => self.operator(tree.field("use_op")),
            "RangeTableSample" => self.sampled(tree.field("method")),
            "JoinExpr" => {
                self.columns_in(tree.field("using_clause"));
                let by_name = tree.field("is_natural").number() != 0;
                if by_name || !tree.field("using_clause").items().is_empty() {
                    self.uses(UseKind::Operator, "=");
                }
                self.renamed(tree.field("alias"));
            }
            "CopyStmt" => self.columns_in(tree.field("attlist")),
            "AccessPriv" => self.columns_in(tree.field("cols")),
            "VacuumRelation" => self.columns_in(tree.field("va_cols")),
            "CreateTrigStmt" | "PublicationTable" => self.columns_in(tree.field("columns")),
            "Constraint" => {
                let lists = ["keys", "including", "fk_attrs", "pk_attrs", "fk_del_set_cols"];
                lists.iter().for_each(|list| self.columns_in(tree.field(list)));
                if tree.field("contype").number() == ConstrType::ConstrCheck as i64 {
                    let before = std::mem::take(&mut self.place);
                    self.children(tree, scope, write);
                    self.place = before;
                    return;
                }
            }
            "IndexElem" | "StatsElem" | "PartitionElem" => {
                self.column(tree.field("name").text());
            }
            "ColumnDef" => self.column(tree.field("colname").text()),
            _ if kind.starts_with("Json") => self.json(),
            _ => self.named_objects(kind, tree),
        }
        self.children(tree, scope, write);
    }

    /// Casts to these are looked for by the type of a value (jsonfuncs.c, `json_categorize_type`).
    fn json(&mut self) {
        self.uses(UseKind::Type, "json");
        self.uses(UseKind::Type, "jsonb");
    }

    /// A query or DML, with its own scope of common table expressions.
    fn query(&mut self, kind: &str, tree: &Tree, outer: &Scope<'_>) {
        let is_statement = !std::mem::replace(&mut self.is_inside, true);
        let outer_pin = self.pinned.take();
        let kept = self.kept.take();
        let with = tree.field("with_clause");
        let recursive = with.field("recursive").number() != 0;
        let expressions = with.field("ctes").items();
        let mut scope = outer.clone();
        if recursive {
            scope.extend(expressions.iter().map(|cte| cte.field("ctename").text()));
        }
        for cte in expressions {
            self.walk(cte.field("ctequery"), &scope, false);
            self.row(cte.field("ctename").text());
            if !recursive {
                scope.push(cte.field("ctename").text());
            }
        }
        let target = tree.field("relation");
        if kind != "SelectStmt" {
            self.written(target);
        }
        self.queries =
            self.queries.and(query_class(kind, tree).map_or(ClassSet::NONE, Class::only));
        // The target of DML is never a common table expression.
        self.walk(target, &Scope::new(), true);
        let is_into = *tree.field("into_clause") != Tree::Nothing;
        // What the statement itself answers with is not stored; nor is what the only part answers
        // with that stores anything.
        let answers = !is_into && (is_statement || self.keepers == 1 && keeps(kind, tree));
        let (answer, assignments) = match kind {
            "SelectStmt" => ("target_list", ""),
            "UpdateStmt" => ("returning_clause", "target_list"),
            _ => ("returning_clause", ""),
        };
        if kind == "InsertStmt" {
            self.assigned(tree.field("cols"));
        }
        let kept = if is_into { kept_by(kind, tree) } else { kept };
        for (name, child) in tree.fields() {
            self.pinned = if *name == "target_list" { pinned(kind, tree) } else { None };
            self.kept = if *name == "select_stmt" { kept_by(kind, tree) } else { None };
            match (*name, &kept) {
                ("with_clause" | "relation", _) => {}
                (name, _) if name == answer && answers => {
                    self.placed(Place::Passing, child, &scope, false);
                }
                (name, _) if name == assignments => self.assignments(child, &scope),
                ("target_list", Some(places)) => {
                    let targets = places.iter().zip(child.items());
                    targets.for_each(|(place, target)| {
                        self.placed(place.clone(), target, &scope, false);
                    });
                }
                (name, _) => self.child(name, child, &scope, false),
            }
        }
        self.pinned = outer_pin;
    }

    fn relation(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        if *tree == Tree::Nothing {
            return;
        }
        let (schema, name) = (tree.field("schemaname").text(), tree.field("relname").text());
        let alias = tree.field("alias");
        self.row(name);
        self.row(alias.field("aliasname").text());
        self.renamed(alias);
        let qualified = !schema.is_empty() || !tree.field("catalogname").text().is_empty();
        let namespace = Some(schema).filter(|schema| !schema.is_empty());
        let namespace = namespace.map(str::to_owned).into_iter().collect();
        let object = Object { namespace, ..Object::bare(name, false) };
        let label = [alias.field("aliasname").text(), name].into_iter().find(|it| !it.is_empty());
        let is_relation = qualified || !scope.contains(&name);
        self.label(label.unwrap_or(name), is_relation.then(|| object.clone()));
        if is_relation {
            self.object(schema, name, write);
            if let (Some(stored), false) = (&mut self.stored, write) {
                stored.read.push(object);
            }
            if matches!(schema, "" | "pg_catalog") && catalog::is_file_view(name) {
                self.does(Class::CopyFile.only(), name);
            }
        }
    }

    pub(super) fn object(&mut self, schema: &str, name: &str, write: bool) {
        let mut object = Object::bare(name, false);
        if !schema.is_empty() {
            object.namespace.push(schema.to_owned());
        }
        if self.known_objects.insert(object.clone()) {
            self.objects.push(Object { write, ..object });
        } else if write {
            let same = |known: &&mut Object| {
                known.namespace == object.namespace && known.name == object.name
            };
            self.objects.iter_mut().find(same).into_iter().for_each(|object| object.write = true);
        }
    }

    /// `a`, `t.a`, `s.t.a`, `*`, `t.*`.
    fn column_ref(&mut self, tree: &Tree) {
        let parts = tree.field("fields").items();
        match parts {
            [only] if only.kind() != "AStar" => {
                self.bare.insert(only.text().to_owned());
                if let Place::Stored(_) = self.place {
                    self.stored_bare.insert(only.text().to_owned());
                }
                self.value(only.text());
            }
            [row, last] if last.kind() == "AStar" => {
                self.whole_rows = true;
                if let Place::Stored(_) = self.place {
                    self.starred.push(row.text().to_owned());
                }
            }
            [.., last] => self.part(last),
            [] => {}
        }
    }

    /// The last part of something with dots before it. It is a column, or a function of the row:
    /// `c.nextval` calls it where no column has that name. Which one it is at a target that has
    /// functions of its own depends on them.
    fn part(&mut self, part: &Tree) {
        if part.kind() == "AStar" {
            self.whole_rows = true;
            if let (Some(stored), Place::Stored(_)) = (&mut self.stored, &self.place) {
                stored.all_read = true;
            }
            return;
        }
        let name = part.text();
        if ROW_FUNCTIONS.contains(&name) {
            self.whole();
        }
        self.value(name);
        self.uses(UseKind::Field, name);
        if let Known::Does(class) = functions::known("", name) {
            self.does(class.only(), name);
            self.sink(name);
        }
    }

    /// Rows as values, or columns by other names.
    fn whole(&mut self) {
        self.whole_rows = true;
        if let (Some(stored), Place::Stored(_)) = (&mut self.stored, &self.place) {
            stored.rows = true;
        }
    }

    /// An alias that gives the columns new names by position hides which of them are used.
    fn renamed(&mut self, alias: &Tree) {
        if renames(alias) {
            self.whole_rows = true;
            if let Some(stored) = &mut self.stored {
                stored.rows = true;
            }
        }
    }

    /// A column of which the value is taken.
    fn value(&mut self, name: &str) {
        self.column(name);
        if let (Some(stored), Place::Stored(into)) = (&mut self.stored, &self.place) {
            let mention = (name.to_owned(), into.clone());
            // Lists of columns are as long as a text may be.
            if self.known_stored.insert(mention.clone()) {
                stored.columns.push(mention);
            }
        }
    }

    fn sink(&mut self, name: &str) {
        // What these take is the name or number of something that is there.
        const NO_SINKS: [&str; 2] = ["nextval", "lo_open"];
        if !NO_SINKS.contains(&name) && !self.sinks.iter().any(|known| **known == *name) {
            self.sinks.push(name.into());
        }
    }

    /// `(expression).a`, `(expression).*`: a name that is no column of a function of PostgreSQL is
    /// one of a row.
    fn indirection(&mut self, tree: &Tree) {
        let steps = tree.field("indirection").items();
        for step in steps.iter().filter(|step| matches!(step.kind(), "String" | "AStar")) {
            self.part(step);
            let name = step.text();
            let foreign = functions::known("", name) == Known::Foreign;
            if step.kind() == "String" && foreign && !catalog::is_field(name) {
                self.whole();
            }
        }
    }

    /// `f(x)`, which may also be the column `f` of the row `x`.
    fn call(&mut self, tree: &Tree) {
        let names = tree.field("funcname").items();
        let arguments = tree.field("args").items();
        let (schema, name) = match names {
            [] => return,
            [name] => ("", name.text()),
            [.., schema, name] => (schema.text(), name.text()),
        };
        if arguments.len() == 1 {
            self.value(name);
            // A name of a type casts.
            self.uses(UseKind::Type, name);
        }
        match schema {
            "" => self.uses(UseKind::Function, name),
            "pg_catalog" => self.uses(UseKind::Function, &format!("pg_catalog.{name}")),
            _ => {}
        }
        if functions::makes_json(name) {
            self.json();
        }
        self.makes_values |= functions::makes_values(name);
        if matches!(schema, "" | "pg_catalog") && functions::SHOW_TEXTS.contains(&name) {
            self.object("pg_catalog", "pg_stat_activity", false);
            self.column("query");
        }
        match functions::known(schema, name) {
            // What `random` tells next is what the seed was.
            Known::Harmless if ["setseed", "lo_lseek", "lo_lseek64"].contains(&name) => {
                self.sink(name);
            }
            Known::Harmless => {}
            Known::Does(class) => {
                self.does(class.only(), name);
                self.sink(name);
            }
            Known::Foreign if schema.is_empty() => self.calls(name.to_owned()),
            Known::Foreign => self.calls(format!("{schema}.{name}")),
            Known::Sets => {
                let (classes, setting) = functions::set_config(arguments, self.pinned);
                self.setting(classes, setting);
                self.sink(name);
            }
        }
    }

    /// Operators are functions: those of users and extensions do what they like. SQL's own words
    /// (LIKE, BETWEEN) stand here by name.
    fn operator(&mut self, names: &Tree) {
        let names = names.items();
        let Some(name) = names.last().map(Tree::text) else { return };
        let schema = names.len().checked_sub(2).and_then(|at| names.get(at)).map_or("", Tree::text);
        let word = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let own = matches!(schema, "" | "pg_catalog");
        if !own || !(word || catalog::is_operator(name)) {
            let dot = if schema.is_empty() { "" } else { "." };
            self.calls(format!("{schema}{dot}{name}"));
        } else if schema.is_empty() {
            match name {
                "!=" => self.uses(UseKind::Operator, "<>"),
                // BETWEEN in its four forms is two comparisons.
                _ if name.contains("BETWEEN") => {
                    for sign in ["<", "<=", ">", ">="] {
                        self.uses(UseKind::Operator, sign);
                    }
                }
                name => self.uses(UseKind::Operator, name),
            }
        }
    }

    /// A type that values are made to be: `x::t`, `t 'x'`, columns of rows that a query declares.
    fn made(&mut self, names: &[Tree]) {
        if let Some(name) = names.last() {
            self.uses(UseKind::Type, name.text());
        }
    }

    fn uses(&mut self, kind: UseKind, name: &str) {
        let used = Use { kind, name: name.into() };
        if !name.is_empty() && self.known_uses.insert(used.clone()) {
            self.uses.push(used);
        }
    }

    /// TABLESAMPLE by a method that an extension brought.
    fn sampled(&mut self, names: &Tree) {
        let method = names.items().last().map_or("", Tree::text);
        if !matches!(method, "system" | "bernoulli") {
            self.calls(method.to_owned());
        }
    }

    /// A function of PostgreSQL that does more than compute.
    fn does(&mut self, classes: ClassSet, name: &str) {
        self.functions = self.functions.and(classes);
        self.because(classes, format!("function {name}"));
    }

    /// A function that PostgreSQL does not have.
    fn calls(&mut self, name: String) {
        self.functions = self.functions.and(Class::Call.only());
        self.fact(Fact::is(FactKind::Function, &name));
        self.because(Class::Call.only(), format!("function {name}"));
    }

    /// A setting is changed; `None` if the text does not say which one.
    pub(super) fn setting(&mut self, classes: ClassSet, name: Option<String>) {
        self.functions = self.functions.and(classes);
        match name {
            Some(name) => {
                self.fact(Fact::is(FactKind::Setting, &name));
                self.because(classes, format!("setting {name}"));
            }
            None => {
                self.fact(Fact::unclear(FactKind::Setting));
                self.because(classes, "a setting that the text does not name".to_owned());
            }
        }
    }

    fn fact(&mut self, fact: Fact) {
        if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
    }

    fn because(&mut self, classes: ClassSet, name: String) {
        let cause = Cause { classes, name: name.into() };
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    /// What it means that DML writes this relation, besides writing.
    fn written(&mut self, target: &Tree) {
        let (schema, name) = (target.field("schemaname").text(), target.field("relname").text());
        let system = match schema {
            "" => name.starts_with("pg_"),
            schema => schema == "pg_catalog",
        };
        if !system {
            return;
        }
        if name == "pg_settings" {
            // Its rule is `set_config`, open to everybody.
            self.sink(name);
            self.setting(functions::any_setting(), None);
        } else {
            // A catalog holds definitions and rights.
            let classes = Class::Ddl.only().and(Class::Grant.only());
            self.queries = self.queries.and(classes);
            self.because(classes, format!("system catalog {name}"));
        }
    }

    /// Without an alias the function's name is the name of its rows.
    fn range_function(&mut self, tree: &Tree) {
        let alias = tree.field("alias").field("aliasname").text();
        for call in tree.field("functions").items().iter().filter_map(|list| list.items().first()) {
            let name = call.field("funcname").items().last().map_or("", Tree::text);
            self.row(name);
            if alias.is_empty() {
                self.label(name, None);
            }
            self.functions_in_from.insert(if alias.is_empty() { name } else { alias }.to_owned());
        }
    }

    /// Targets of an assignment: `a`, `a.b`, `a[1]`.
    fn assigned(&mut self, targets: &Tree) {
        for target in targets.items() {
            self.column(target.field("name").text());
            let steps = target.field("indirection").items();
            steps.iter().for_each(|step| self.column(step.text()));
        }
    }

    fn columns_in(&mut self, names: &Tree) {
        names.items().iter().for_each(|name| self.column(name.text()));
    }

    pub(super) fn column(&mut self, name: &str) {
        if !name.is_empty() && self.known_columns.insert(name.to_owned()) {
            self.columns.push(name.to_owned());
        }
    }

    /// Something in FROM, by the name that it has there.
    fn label(&mut self, name: &str, object: Option<Object>) {
        self.row(name);
        self.labels.push((name.to_owned(), object));
    }

    fn row(&mut self, name: &str) {
        if !name.is_empty() {
            self.rows.insert(name.to_owned());
        }
    }
}

/// Whether an alias gives the columns new names by position.
fn renames(alias: &Tree) -> bool {
    !alias.field("colnames").items().is_empty()
}
