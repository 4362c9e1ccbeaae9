//! A setting that a query names by a column, and says in its WHERE which one that is.
//!
//! In: the tree of a query, the arguments of a call. Out: the setting. Never: a setting that is not
//! in the list, or a value for which it would matter if another one were set.
//!
//! pg_dump and what is made of it set what an older server may not have:
//!
//! ```text
//!   SELECT set_config(name, 'view, foreign-table', false)
//!   FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'
//! ```
//!
//! The list of columns is computed of rows that the WHERE has let pass. `pg_settings` may be a
//! relation that somebody has put in front of PostgreSQL's own, with a `=` or a collation of its
//! own that takes another name for this one. So the values are of a closed set, too: none of them
//! is a role, an encoding or a switch.

use pg_query::protobuf::{AExprKind, BoolExprType};

use super::tree::Tree;

/// Settings, with the words that their values are lists of.
const KNOWN: [(&str, &[&str]); 1] =
    [("restrict_nonsystem_relation_kind", &["view", "foreign-table", ""])];

/// The setting that the column `name` of this query is.
pub(super) fn pinned(kind: &str, query: &Tree) -> Option<&'static str> {
    let [relation] = query.field("from_clause").items() else { return None };
    let is_settings = kind == "SelectStmt"
        && relation.kind() == "RangeVar"
        && relation.field("relname").text() == "pg_settings"
        && matches!(relation.field("schemaname").text(), "" | "pg_catalog")
        && *relation.field("catalogname") == Tree::Nothing
        && *relation.field("alias") == Tree::Nothing;
    let condition = query.field("where_clause");
    let is_and = condition.kind() == "BoolExpr"
        && condition.field("boolop").number() == BoolExprType::AndExpr as i64;
    let parts =
        if is_and { condition.field("args").items() } else { std::slice::from_ref(condition) };
    is_settings.then(|| parts.iter().find_map(equals)).flatten()
}

/// `name = 'a setting'`, either way round.
fn equals(condition: &Tree) -> Option<&'static str> {
    let is_equal = condition.kind() == "AExpr"
        && condition.field("kind").number() == AExprKind::AexprOp as i64
        && matches!(condition.field("name").items(), [sign] if sign.text() == "=");
    let sides = (condition.field("lexpr"), condition.field("rexpr"));
    let value = match sides {
        (column, value) | (value, column) if is_equal && is_name(column) => value,
        _ => return None,
    };
    let value = constant(value)?;
    KNOWN.iter().map(|(setting, _)| *setting).find(|setting| *setting == value)
}

/// The column `name`, of the only relation that is there.
fn is_name(tree: &Tree) -> bool {
    tree.kind() == "ColumnRef"
        && matches!(tree.field("fields").items(), [only] if only.text() == "name")
}

fn constant(tree: &Tree) -> Option<&str> {
    let value = tree.field("val");
    (tree.kind() == "AConst" && value.kind() == "String").then(|| value.text())
}

/// Whether a call of `set_config` sets what the column `name` says, to a value that is in the list.
pub(super) fn is_pinned_call(arguments: &[Tree], value: Option<&str>) -> bool {
    let words = |value: &str| {
        let known = |word: &str| KNOWN.iter().all(|(_, words)| words.contains(&word.trim()));
        value.split(',').all(known)
    };
    arguments.first().is_some_and(is_name) && value.is_some_and(words)
}
