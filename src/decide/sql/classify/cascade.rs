//! What a statement reaches beside the objects that stand in it as such: dependents, an owner.
//!
//! In: a node. Out: whether it says CASCADE; the table that a sequence is given to.
//! Never: what depends on what; the target knows that.

use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, DropBehavior, Node};

use crate::decide::Object;

/// Whether what depends on the objects goes with them.
pub(super) fn cascades(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::TruncateStmt(truncate) => truncate.behavior() == DropBehavior::DropCascade,
        NodeEnum::DropStmt(drop) => drop.behavior() == DropBehavior::DropCascade,
        NodeEnum::RenameStmt(rename) => rename.behavior() == DropBehavior::DropCascade,
        NodeEnum::AlterTableStmt(alter) => alter.cmds.iter().any(|command| match &command.node {
            Some(NodeEnum::AlterTableCmd(it)) => it.behavior() == DropBehavior::DropCascade,
            _ => false,
        }),
        _ => false,
    }
}

/// The table of OWNED BY.
pub(super) fn owner(node: &NodeEnum) -> Option<Object> {
    let options = match node {
        NodeEnum::CreateSeqStmt(create) => &create.options,
        NodeEnum::AlterSeqStmt(alter) => &alter.options,
        _ => return None,
    };
    options.iter().find_map(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) if option.defname == "owned_by" => owning(option),
        _ => None,
    })
}

/// A column by its table: the last name is the column's. `NONE` is a name without a table.
fn owning(option: &DefElem) -> Option<Object> {
    let Some(NodeEnum::List(list)) = option.arg.as_ref()?.node.as_ref() else { return None };
    let name = |node: &Node| match &node.node {
        Some(NodeEnum::String(name)) => Some(name.sval.clone()),
        _ => None,
    };
    let names: Vec<String> = list.items.iter().filter_map(name).collect();
    match names.as_slice() {
        [.., schema, table, _] => Some(Object::within(schema, table, true)),
        [table, _] => Some(Object::bare(table, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::classify_uncached;

    #[test]
    fn cascade_is_told() {
        let check = |text: &str, expect: bool| {
            let action = classify_uncached(text.as_bytes()).action;
            assert_eq!(action.acts[0].cascades, expect, "{text}");
        };
        for text in [
            "TRUNCATE a, b CASCADE",
            "DROP TABLE IF EXISTS a CASCADE",
            "DROP TYPE mood CASCADE",
            "DROP SCHEMA s CASCADE",
            "ALTER TABLE a ADD x int, DROP y CASCADE",
            "ALTER TYPE a RENAME ATTRIBUTE x TO y CASCADE",
            "ALTER TABLE a DROP CONSTRAINT a_pkey CASCADE",
        ] {
            check(text, true);
        }
        for text in [
            "TRUNCATE a",
            "DROP TABLE a RESTRICT",
            "ALTER TABLE a DROP y",
            "ALTER TYPE a RENAME ATTRIBUTE x TO y",
            "ALTER TABLE a RENAME x TO y",
            "TABLE a",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn a_sequence_names_its_owner() {
        let check = |text: &str, expect: &[&str]| {
            let action = classify_uncached(text.as_bytes()).action;
            let objects: Vec<String> = action.objects.iter().map(|it| it.marked()).collect();
            assert_eq!(objects, expect, "{text}");
        };
        check("ALTER SEQUENCE q OWNED BY customers.id", &["+q", "+customers"]);
        check("CREATE SEQUENCE q OWNED BY s.customers.id", &["+q", "+s.customers"]);
        check("ALTER SEQUENCE q OWNED BY NONE", &["+q"]);
        check("ALTER SEQUENCE q RESTART 1", &["+q"]);
    }
}
