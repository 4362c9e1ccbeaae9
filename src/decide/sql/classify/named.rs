//! Objects that utility statements name otherwise than queries do: by lists of strings, by a
//! schema, or not at all.
//!
//! In: nodes of utility statements. Out: objects and columns, added to the `References`. Never: a
//! statement on all that there is without an object.

use pg_query::protobuf::{GrantTargetType, ObjectType, ReindexObjectType};

use super::references::References;
use super::tree::Tree;

/// An object name that stands for all objects of its schema.
const EVERYTHING: &str = "*";

impl References {
    /// Objects that utility statements name by lists of strings instead of `RangeVar`s.
    pub(super) fn named_objects(&mut self, kind: &str, tree: &Tree) {
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
            "RenameStmt"
                if is("rename_type", ObjectType::ObjectColumn)
                    || is("rename_type", ObjectType::ObjectAttribute) =>
            {
                self.column(tree.field("subname").text());
            }
            "AlterOwnerStmt" if is("object_type", ObjectType::ObjectSchema) => {
                self.object(tree.field("object").text(), EVERYTHING, true);
            }
            "CreateSchemaStmt" => self.object(tree.field("schemaname").text(), EVERYTHING, true),
            _ => self.whole_databases(kind, tree),
        }
    }

    /// Statements that go through all that a role owns, or through a schema or the whole database.
    fn whole_databases(&mut self, kind: &str, tree: &Tree) {
        match kind {
            "DropOwnedStmt"
            | "ReassignOwnedStmt"
            | "AlterDefaultPrivilegesStmt"
            | "DropdbStmt"
            | "AlterTableMoveAllStmt" => self.everything(),
            "VacuumStmt" if tree.field("rels").items().is_empty() => self.everything(),
            "ClusterStmt" if *tree.field("relation") == Tree::Nothing => self.everything(),
            "CreatePublicationStmt" | "AlterPublicationStmt"
                if tree.field("for_all_tables").number() != 0 =>
            {
                self.everything();
            }
            "ReindexStmt" => {
                let is = |kind: ReindexObjectType| tree.field("kind").number() == kind as i64;
                if is(ReindexObjectType::ReindexObjectSchema) {
                    self.object(tree.field("name").text(), EVERYTHING, true);
                } else if *tree.field("relation") == Tree::Nothing {
                    self.everything();
                }
            }
            _ => {}
        }
    }

    fn everything(&mut self) {
        self.object(EVERYTHING, EVERYTHING, true);
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
