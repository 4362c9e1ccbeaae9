//! Where the values of expressions go: into rows that stay, or into answers and comparisons.
//!
//! In: trees. Out: whether a statement keeps values, and which of its parts only compare them.
//! Never: a part taken for a comparison that is not on the list.

use pg_query::protobuf::{CmdType, SetOperation};

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
        // Columns that are computed of others; what a query of today answers with.
        "CreateStmt" | "CreateTableAsStmt" | "ViewStmt" => true,
        "SelectStmt" => *tree.field("into_clause") != Tree::Nothing,
        "MergeStmt" => {
            let mut clauses = tree.field("merge_when_clauses").items().iter();
            let nothing = [CmdType::CmdNothing as i64, CmdType::CmdDelete as i64];
            clauses.any(|clause| !nothing.contains(&clause.field("command_type").number()))
        }
        _ => false,
    }
}

/// Where the columns of the query in a statement go, each in its turn: a list of columns says it,
/// or the names that they have in the query, of which a table or a view is made. `None` where the
/// query is no plain one.
pub(super) fn kept_by(kind: &str, tree: &Tree) -> Option<Vec<Place>> {
    let query = match kind {
        "InsertStmt" => tree.field("select_stmt"),
        "SelectStmt" => tree,
        _ => tree.field("query"),
    };
    let is_plain = query.kind() == "SelectStmt"
        && query.field("op").number() <= SetOperation::SetopNone as i64
        && query.field("values_lists").items().is_empty();
    let renames = [tree.field("aliases"), tree.field("into").field("col_names")]
        .iter()
        .any(|names| !names.items().is_empty());
    if !is_plain || renames {
        return None;
    }
    let listed = (kind == "InsertStmt").then(|| tree.field("cols").items());
    let mut is_counted = true;
    let place = |(at, target): (usize, &Tree)| {
        let value = target.field("val");
        let last = value.field("fields").items().last();
        let is_star = last.is_some_and(|part| part.kind() == "AStar");
        is_counted &= !is_star && value.kind() != "AIndirection";
        // A star of a view keeps its names, and a view is looked through.
        if is_star && kind == "ViewStmt" {
            return Place::Passing;
        }
        let into = match (listed, target.field("name").text()) {
            (Some(columns), _) if is_counted => {
                columns.get(at).map_or("", |column| column.field("name").text())
            }
            (Some(_), _) => "",
            (None, "") => last.map_or("", Tree::text),
            (None, name) => name,
        };
        Place::Stored(Some(into).filter(|name| !name.is_empty()).map(str::to_owned))
    };
    Some(query.field("target_list").items().iter().enumerate().map(place).collect())
}
