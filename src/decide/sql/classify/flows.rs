//! Where the values of expressions go: into rows that stay, or into answers and comparisons.
//!
//! In: trees. Out: whether a statement keeps values, and which of its parts only compare them.
//! Never: a part taken for a comparison that is not on the list.

use super::tree::Tree;

/// What becomes of the values of an expression.
#[derive(Clone, Debug, Default)]
pub(super) enum Place {
    /// They are stored, in this column if the text says so.
    Stored(Option<String>),
    /// They are answered with, or only compared.
    #[default]
    Passing,
}

/// Fields of nodes whose values are compared, sorted by or counted, and go nowhere.
pub(super) const CONDITIONS: [&str; 10] = [
    "where_clause",
    "quals",
    "having_clause",
    "join_condition",
    "condition",
    "sort_clause",
    "group_clause",
    "limit_count",
    "limit_offset",
    "using_clause",
];

/// Whether a statement has a part that keeps values: a query in a WITH may be what is kept, so all
/// of the statement counts.
pub(super) fn stores(tree: &Tree) -> bool {
    const KINDS: [&str; 4] = ["InsertStmt", "UpdateStmt", "MergeStmt", "AlterTableStmt"];
    match tree {
        Tree::List(items) => items.iter().any(stores),
        Tree::Node { kind, fields } => {
            KINDS.contains(kind) || fields.iter().any(|(_, child)| stores(child))
        }
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => false,
    }
}
