//! Whether a condition bounds what UPDATE, DELETE and MERGE change.
//!
//! In: the condition, the target, the other relations of the statement; or all of a query. Out: yes
//! or no; the class that the query has by it.
//! Never: yes for a condition that holds for every row by its form.
//!
//! A condition bounds if, under AND, it compares a column of the target with something that is not
//! the same column. Every branch of an OR has to. What cannot be told is no bound: the statement is
//! then `unbounded-write`, which people may allow or approve like any class.

use pg_query::protobuf::{
    AExprKind, BoolExprType, CmdType, MergeMatchKind, NullTestType, OnConflictAction, SubLinkType,
};

use super::super::Class;
use super::tree::Tree;

/// The one kind of `A_Expr` that does not compare.
const NULLIF: i64 = AExprKind::AexprNullif as i64;
const AND: i64 = BoolExprType::AndExpr as i64;
const OR: i64 = BoolExprType::OrExpr as i64;
const IS_NULL: i64 = NullTestType::IsNull as i64;
const EXISTS: i64 = SubLinkType::ExistsSublink as i64;
const ANY: i64 = SubLinkType::AnySublink as i64;

/// Whose columns bound.
#[derive(Clone, Copy)]
struct Target<'t> {
    /// Its alias, or its name.
    name: &'t str,
    /// Its own name.
    relation: &'t str,
    /// No other relation is in sight: a name without a qualifier is a column of the target.
    alone: bool,
    /// FROM or USING: where the same relation may stand once more.
    others: &'t Tree,
}

impl<'t> Target<'t> {
    /// The target of a statement with its other relations (FROM, USING).
    fn new(relation: &'t Tree, others: &'t Tree) -> Target<'t> {
        let (name, relation) = names(relation);
        Target { name, relation, alone: *others == Tree::Nothing, others }
    }

    /// Inside of a sub-select only qualified names are sure to be the target's.
    fn inside(self) -> Target<'t> {
        Target { alone: false, ..self }
    }
}

/// What a query does besides reading.
pub(super) fn query_class(kind: &str, tree: &Tree) -> Option<Class> {
    let is_there = |name: &str| *tree.field(name) != Tree::Nothing;
    let target = tree.field("relation");
    let bounded =
        |others: &str| bounds(tree.field("where_clause"), Target::new(target, tree.field(others)));
    let write = |bounded| if bounded { Class::Write } else { Class::UnboundedWrite };
    match kind {
        "SelectStmt" => is_there("into_clause").then_some(Class::Ddl),
        "UpdateStmt" => Some(write(bounded("from_clause"))),
        "DeleteStmt" => Some(write(bounded("using_clause"))),
        "InsertStmt" => {
            // As many rows are changed as the query has, of those that are there.
            let conflict = tree.field("on_conflict_clause");
            let updates =
                conflict.field("action").number() == OnConflictAction::OnconflictUpdate as i64;
            let values = tree.field("select_stmt").field("values_lists").items();
            let narrowed = bounds(conflict.field("where_clause"), Target::new(target, target));
            Some(write(!updates || !values.is_empty() || narrowed))
        }
        "MergeStmt" => Some(write(merge_is_bounded(tree))),
        _ => Some(Class::Write),
    }
}

/// Whether each clause of MERGE that changes rows of the target is bounded: by the join or by its
/// own condition. Rows without a source are bounded by the latter only.
fn merge_is_bounded(tree: &Tree) -> bool {
    let target = Target::new(tree.field("relation"), tree.field("source_relation"));
    let joined = bounds(tree.field("join_condition"), target);
    tree.field("merge_when_clauses").items().iter().all(|clause| {
        let changes = [CmdType::CmdUpdate as i64, CmdType::CmdDelete as i64]
            .contains(&clause.field("command_type").number());
        let by_source = clause.field("match_kind").number()
            == MergeMatchKind::MergeWhenNotMatchedBySource as i64;
        !changes || (joined && !by_source) || bounds(clause.field("condition"), target)
    })
}

/// What a relation is called in its statement, and its own name.
fn names(relation: &Tree) -> (&str, &str) {
    let own = relation.field("relname").text();
    let alias = relation.field("alias").field("aliasname").text();
    (if alias.is_empty() { own } else { alias }, own)
}

/// Whether the condition bounds the rows of the target.
fn bounds(condition: &Tree, target: Target<'_>) -> bool {
    match condition.kind() {
        "BoolExpr" => {
            let parts = condition.field("args").items();
            match condition.field("boolop").number() {
                AND => parts.iter().any(|part| bounds(part, target)),
                OR => !parts.is_empty() && parts.iter().all(|part| bounds(part, target)),
                // NOT: AND and OR change places.
                _ => parts.iter().all(|part| denied_bounds(part, target)),
            }
        }
        "AExpr" if condition.field("kind").number() != NULLIF => {
            compares(condition.field("lexpr"), condition.field("rexpr"), target)
        }
        "NullTest" => {
            let is_null = condition.field("nulltesttype").number() == IS_NULL;
            is_null && has_column(condition.field("arg"), target)
        }
        // A boolean column, and what is said of it.
        "BooleanTest" => has_column(condition.field("arg"), target),
        "ColumnRef" => has_column(condition, target),
        "CurrentOfExpr" => true,
        "SubLink" => by_select(condition, target),
        _ => false,
    }
}

/// Whether the contrary of a condition bounds.
fn denied_bounds(condition: &Tree, target: Target<'_>) -> bool {
    match condition.kind() {
        "NullTest" => {
            let is_null = condition.field("nulltesttype").number() == IS_NULL;
            !is_null && has_column(condition.field("arg"), target)
        }
        "BoolExpr" => {
            let parts = condition.field("args").items();
            match condition.field("boolop").number() {
                AND => !parts.is_empty() && parts.iter().all(|part| denied_bounds(part, target)),
                OR => parts.iter().any(|part| denied_bounds(part, target)),
                _ => parts.iter().all(|part| bounds(part, target)),
            }
        }
        _ => bounds(condition, target),
    }
}

/// Whether one side has a column of the target that the other side has not.
fn compares(left: &Tree, right: &Tree, target: Target<'_>) -> bool {
    let (in_left, in_right) = (columns(left), columns(right));
    let bound = |one: &[Name<'_>], other: &[Name<'_>]| {
        let own = one.iter().filter(|column| column.is_of(target));
        let same = |column: &Name<'_>, other: &Name<'_>| {
            column.name == other.name && other.may_be_of(target)
        };
        own.into_iter().any(|column| !other.iter().any(|other| same(column, other)))
    };
    bound(&in_left, &in_right) || bound(&in_right, &in_left)
}

/// `a IN (SELECT ..)`, `EXISTS (SELECT ..)`.
fn by_select(link: &Tree, target: Target<'_>) -> bool {
    let select = link.field("subselect");
    let condition = select.field("where_clause");
    match link.field("sub_link_type").number() {
        ANY => {
            // A column is always among all values of its own relation.
            let narrowed = *condition != Tree::Nothing
                || *select.field("limit_count") != Tree::Nothing
                || !names_relation(select.field("from_clause"), target.relation);
            has_column(link.field("testexpr"), target) && narrowed
        }
        EXISTS => {
            !names_relation(select.field("from_clause"), target.relation)
                && bounds(condition, target.inside())
        }
        _ => false,
    }
}

fn names_relation(tree: &Tree, relation: &str) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(|item| names_relation(item, relation)),
        Tree::Node { kind: "RangeVar", .. } => tree.field("relname").text() == relation,
        Tree::Node { fields, .. } => {
            fields.iter().any(|(_, child)| names_relation(child, relation))
        }
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => false,
    }
}

fn has_column(tree: &Tree, target: Target<'_>) -> bool {
    columns(tree).iter().any(|column| column.is_of(target))
}

/// A column as a text names it.
struct Name<'t> {
    qualifier: Option<&'t str>,
    name: &'t str,
}

impl Name<'_> {
    fn is_of(&self, target: Target<'_>) -> bool {
        match self.qualifier {
            Some(qualifier) => qualifier == target.name,
            None => target.alone,
        }
    }

    /// It may be a column of the target, or of the same relation under another name.
    fn may_be_of(&self, target: Target<'_>) -> bool {
        let Some(qualifier) = self.qualifier else { return true };
        qualifier == target.name || is_alias(target.others, qualifier, target.relation)
    }
}

/// Whether a relation stands in a FROM under a name.
fn is_alias(tree: &Tree, name: &str, relation: &str) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(|item| is_alias(item, name, relation)),
        Tree::Node { kind: "RangeVar", .. } => names(tree) == (name, relation),
        Tree::Node { fields, .. } => {
            fields.iter().any(|(_, child)| is_alias(child, name, relation))
        }
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => false,
    }
}

/// Columns of an expression, those inside of sub-selects left out.
fn columns(tree: &Tree) -> Vec<Name<'_>> {
    let mut found = Vec::new();
    let mut rest = vec![tree];
    while let Some(tree) = rest.pop() {
        match tree {
            Tree::List(items) => rest.extend(items),
            Tree::Node { kind: "ColumnRef", .. } => match tree.field("fields").items() {
                [.., qualifier, name] => {
                    found.push(Name { qualifier: Some(qualifier.text()), name: name.text() });
                }
                [name] => found.push(Name { qualifier: None, name: name.text() }),
                [] => {}
            },
            Tree::Node { kind: "SubLink", .. } => rest.push(tree.field("testexpr")),
            Tree::Node { fields, .. } => rest.extend(fields.iter().map(|(_, child)| child)),
            Tree::Text(_) | Tree::Number(_) | Tree::Nothing => {}
        }
    }
    found
}
