//! What a statement refers to: objects, columns, whole rows, and the work hidden inside it.
//!
//! In: the tree of one statement. Out: `References`. Never: too little. A name that may be a column
//! is one, a row that may be whole is whole; only names of common table expressions are left out,
//! and only where they are in scope.

use std::collections::HashSet;

use pg_query::protobuf::{GrantTargetType, ObjectType};

use super::super::{Class, Object};
use super::functions;
use super::tree::Tree;

/// An object name that stands for all objects of its schema.
const EVERYTHING: &str = "*";

/// Names that are rows without being declared: MERGE and RETURNING have `old` and `new`, ON
/// CONFLICT has `excluded`.
const ROW_NAMES: [&str; 3] = ["old", "new", "excluded"];

/// Functions that PostgreSQL also takes as a "column" of a row: `c.row_to_json`.
const ROW_FUNCTIONS: [&str; 12] = [
    "row_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "array_agg",
    "json_build_array",
    "jsonb_build_array",
    "record_out",
    "record_send",
    "hstore",
    "concat",
];

#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) objects: Vec<Object>,
    pub(super) columns: Vec<String>,
    pub(super) whole_rows: bool,
    /// The strongest of the queries and DML inside: `Read` to `Ddl`.
    pub(super) queries: Option<Class>,
    /// The strongest of the functions called.
    pub(super) functions: Option<Class>,
    known_columns: HashSet<String>,
    known_objects: HashSet<Object>,
    /// Column references of one part: columns, or rows.
    bare: HashSet<String>,
    /// Names that are rows.
    rows: HashSet<String>,
}

/// Names of common table expressions in scope.
type Scope<'t> = Vec<&'t str>;

impl References {
    /// `write` tells whether the relations that the statement names directly are changed by it.
    pub(super) fn of(tree: &Tree, write: bool) -> References {
        let mut references = References::default();
        references.rows.extend(ROW_NAMES.map(str::to_owned));
        references.walk(tree, &Scope::new(), write);
        references.whole_rows |= !references.bare.is_disjoint(&references.rows);
        references
    }

    fn walk(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        match tree {
            Tree::List(items) => items.iter().for_each(|item| self.walk(item, scope, write)),
            Tree::Node { kind, .. } => self.node(kind, tree, scope, write),
            Tree::Text(_) | Tree::Number(_) | Tree::Nothing => {}
        }
    }

    fn children(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        tree.fields().iter().for_each(|(_, child)| self.walk(child, scope, write));
    }

    fn node(&mut self, kind: &str, tree: &Tree, scope: &Scope<'_>, write: bool) {
        match kind {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                return self.query(kind, tree, scope);
            }
            "RangeVar" => return self.relation(tree, scope, write),
            "IntoClause" => {
                self.relation(tree.field("rel"), &Scope::new(), true);
                return;
            }
            // It names aliases of the query around it.
            "LockingClause" => return,
            "ColumnRef" => return self.column_ref(tree),
            "AIndirection" => self.indirection(tree),
            "FuncCall" => self.call(tree),
            "Alias" => self.row(tree.field("aliasname").text()),
            "ReturningOption" => self.row(tree.field("value").text()),
            "RangeFunction" => self.range_function(tree),
            "JoinExpr" => {
                self.columns_in(tree.field("using_clause"));
                self.whole_rows |= renames(tree.field("alias"));
            }
            "MergeWhenClause" | "OnConflictClause" => self.assigned(tree.field("target_list")),
            "CopyStmt" => self.columns_in(tree.field("attlist")),
            "AccessPriv" => self.columns_in(tree.field("cols")),
            "VacuumRelation" => self.columns_in(tree.field("va_cols")),
            "CreateTrigStmt" | "PublicationTable" => self.columns_in(tree.field("columns")),
            "Constraint" => {
                let lists = ["keys", "including", "fk_attrs", "pk_attrs", "fk_del_set_cols"];
                lists.iter().for_each(|list| self.columns_in(tree.field(list)));
            }
            "IndexElem" | "StatsElem" | "AlterTableCmd" | "PartitionElem" => {
                self.column(tree.field("name").text());
            }
            "ColumnDef" => self.column(tree.field("colname").text()),
            _ => self.named_objects(kind, tree),
        }
        self.children(tree, scope, write);
    }

    /// A query or DML, with its own scope of common table expressions.
    fn query(&mut self, kind: &str, tree: &Tree, outer: &Scope<'_>) {
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
        let class = match kind {
            "SelectStmt" if *tree.field("into_clause") == Tree::Nothing => Class::Read,
            "SelectStmt" => Class::Ddl,
            "UpdateStmt" | "DeleteStmt" => match names_column(tree.field("where_clause"), target) {
                true => Class::Write,
                false => Class::UnboundedWrite,
            },
            _ => Class::Write,
        };
        self.queries = Some(self.queries.map_or(class, |known| stronger(known, class)));
        // The target of DML is never a common table expression.
        self.walk(target, &Scope::new(), true);
        match kind {
            "InsertStmt" => self.assigned(tree.field("cols")),
            "UpdateStmt" => self.assigned(tree.field("target_list")),
            _ => {}
        }
        let rest =
            tree.fields().iter().filter(|(name, _)| !["with_clause", "relation"].contains(name));
        for (_, child) in rest {
            self.walk(child, &scope, false);
        }
    }

    fn relation(&mut self, tree: &Tree, scope: &Scope<'_>, write: bool) {
        if *tree == Tree::Nothing {
            return;
        }
        let (schema, name) = (tree.field("schemaname").text(), tree.field("relname").text());
        let alias = tree.field("alias");
        self.row(name);
        self.row(alias.field("aliasname").text());
        self.whole_rows |= renames(alias);
        let qualified = !schema.is_empty() || !tree.field("catalogname").text().is_empty();
        if qualified || !scope.contains(&name) {
            self.object(schema, name, write);
        }
    }

    fn object(&mut self, schema: &str, name: &str, write: bool) {
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
                self.column(only.text());
            }
            [.., last] => self.part(last),
            [] => {}
        }
    }

    /// The last part of something with dots before it.
    fn part(&mut self, part: &Tree) {
        if part.kind() == "AStar" {
            self.whole_rows = true;
        } else {
            self.whole_rows |= ROW_FUNCTIONS.contains(&part.text());
            self.column(part.text());
        }
    }

    /// `(expression).a`, `(expression).*`.
    fn indirection(&mut self, tree: &Tree) {
        let steps = tree.field("indirection").items();
        let named = steps.iter().filter(|step| matches!(step.kind(), "String" | "AStar"));
        named.for_each(|step| self.part(step));
    }

    /// `f(x)`, which may also be the column `f` of the row `x`.
    fn call(&mut self, tree: &Tree) {
        let names = tree.field("funcname").items();
        let arguments = tree.field("args").items();
        let Some(name) = names.last().map(Tree::text) else { return };
        if arguments.len() == 1 {
            self.column(name);
        }
        if let Some(class) = functions::class(name, arguments) {
            self.functions = Some(self.functions.map_or(class, |known| {
                if known == class { class } else { functions::both(known, class) }
            }));
        }
    }

    /// Without an alias the function's name is the name of its rows.
    fn range_function(&mut self, tree: &Tree) {
        for call in tree.field("functions").items().iter().filter_map(|list| list.items().first()) {
            let name = call.field("funcname").items().last();
            self.row(name.map_or("", Tree::text));
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

    fn column(&mut self, name: &str) {
        if !name.is_empty() && self.known_columns.insert(name.to_owned()) {
            self.columns.push(name.to_owned());
        }
    }

    fn row(&mut self, name: &str) {
        if !name.is_empty() {
            self.rows.insert(name.to_owned());
        }
    }

    /// Objects that utility statements name by lists of strings instead of `RangeVar`s.
    fn named_objects(&mut self, kind: &str, tree: &Tree) {
        let is = |field: &str, kind: ObjectType| tree.field(field).number() == kind as i64;
        match kind {
            "DropStmt" => {
                let schemas = is("remove_type", ObjectType::ObjectSchema);
                let relation = RELATION_KINDS.iter().any(|&kind| is("remove_type", kind));
                let parts = PART_KINDS.iter().any(|&kind| is("remove_type", kind));
                for object in tree.field("objects").items() {
                    match object.items() {
                        [] if schemas => self.object(object.text(), EVERYTHING, true),
                        names if relation => self.dotted(names),
                        // A trigger, rule or policy: the last name is its own.
                        [names @ .., _] if parts => self.dotted(names),
                        _ => {}
                    }
                }
            }
            "CommentStmt" | "SecLabelStmt" => {
                let names = tree.field("object").items();
                match names {
                    [] if is("objtype", ObjectType::ObjectSchema) => {
                        self.object(tree.field("object").text(), EVERYTHING, true);
                    }
                    [names @ .., column] if is("objtype", ObjectType::ObjectColumn) => {
                        self.column(column.text());
                        self.dotted(names);
                    }
                    names if RELATION_KINDS.iter().any(|&kind| is("objtype", kind)) => {
                        self.dotted(names);
                    }
                    [names @ .., _] if PART_KINDS.iter().any(|&kind| is("objtype", kind)) => {
                        self.dotted(names);
                    }
                    _ => {}
                }
            }
            "GrantStmt" => {
                let all = GrantTargetType::AclTargetAllInSchema as i64;
                let schemas = tree.field("targtype").number() == all
                    || is("objtype", ObjectType::ObjectSchema);
                for object in tree.field("objects").items().iter().filter(|_| schemas) {
                    self.object(object.text(), EVERYTHING, true);
                }
            }
            "RenameStmt" if is("rename_type", ObjectType::ObjectSchema) => {
                self.object(tree.field("subname").text(), EVERYTHING, true);
            }
            "RenameStmt" if is("rename_type", ObjectType::ObjectColumn) => {
                self.column(tree.field("subname").text());
            }
            "AlterOwnerStmt" if is("object_type", ObjectType::ObjectSchema) => {
                self.object(tree.field("object").text(), EVERYTHING, true);
            }
            "CreateSchemaStmt" => self.object(tree.field("schemaname").text(), EVERYTHING, true),
            _ => {}
        }
    }

    fn dotted(&mut self, names: &[Tree]) {
        match names {
            [.., schema, name] => self.object(schema.text(), name.text(), true),
            [name] => self.object("", name.text(), true),
            [] => {}
        }
    }
}

/// Objects that have rows, or belong to those that have.
const RELATION_KINDS: [ObjectType; 6] = [
    ObjectType::ObjectTable,
    ObjectType::ObjectView,
    ObjectType::ObjectMatview,
    ObjectType::ObjectForeignTable,
    ObjectType::ObjectIndex,
    ObjectType::ObjectSequence,
];

/// Objects named after the table they belong to.
const PART_KINDS: [ObjectType; 4] = [
    ObjectType::ObjectTrigger,
    ObjectType::ObjectRule,
    ObjectType::ObjectPolicy,
    ObjectType::ObjectTabconstraint,
];

/// Whether an alias gives the columns new names by position.
fn renames(alias: &Tree) -> bool {
    !alias.field("colnames").items().is_empty()
}

/// The classes of queries, weakest first.
pub(super) fn stronger(a: Class, b: Class) -> Class {
    const ORDER: [Class; 4] = [Class::Read, Class::Write, Class::UnboundedWrite, Class::Ddl];
    let rank = |class: Class| ORDER.iter().position(|&known| known == class);
    if rank(a) >= rank(b) { a } else { b }
}

/// Whether a condition names a column of its own statement: any column outside of sub-selects, or
/// inside one a column of the target by its name. Constants do not bound anything.
fn names_column(condition: &Tree, target: &Tree) -> bool {
    let alias = target.field("alias").field("aliasname").text();
    let name = if alias.is_empty() { target.field("relname").text() } else { alias };
    column_of(condition, name, false)
}

fn column_of(tree: &Tree, target: &str, inside: bool) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(|item| column_of(item, target, inside)),
        Tree::Node { kind: "ColumnRef", .. } => match tree.field("fields").items() {
            [.., qualifier, _] => !inside || qualifier.text() == target,
            _ => !inside,
        },
        Tree::Node { kind: "CurrentOfExpr", .. } => true,
        Tree::Node { kind, fields } => fields.iter().any(|(name, child)| {
            let inside = inside || (*kind == "SubLink" && *name == "subselect");
            column_of(child, target, inside)
        }),
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => false,
    }
}
