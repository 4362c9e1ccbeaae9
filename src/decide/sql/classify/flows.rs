//! Where the values of expressions go: into rows that stay, or into answers and comparisons.
//!
//! In: trees. Out: whether a statement keeps values, and which of its parts only compare them.
//! Never: a part taken for a comparison that is not on the list.

use pg_query::protobuf::CmdType;

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

/// How many parts of a statement keep values: a query in a WITH may be what is kept, so where there
/// is one all of the statement counts.
pub(super) fn keepers(tree: &Tree) -> usize {
    match tree {
        Tree::List(items) => items.iter().map(keepers).sum(),
        Tree::Node { kind, fields } => {
            let below: usize = fields.iter().map(|(_, child)| keepers(child)).sum();
            below + usize::from(keeps(kind, tree))
        }
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => 0,
    }
}

/// Whether this part does, by itself.
pub(super) fn keeps(kind: &str, tree: &Tree) -> bool {
    match kind {
        "InsertStmt" | "UpdateStmt" | "AlterTableStmt" => true,
        "MergeStmt" => {
            let mut clauses = tree.field("merge_when_clauses").items().iter();
            let nothing = [CmdType::CmdNothing as i64, CmdType::CmdDelete as i64];
            clauses.any(|clause| !nothing.contains(&clause.field("command_type").number()))
        }
        _ => false,
    }
}
