//! Rows that a definition lets show under another name than before.
//!
//! In: the tree of a definition. Out: whose rows show by which name. Never: a schema of the new
//! name: whatever has it is meant.

use pg_query::protobuf::{AlterTableType, ObjectType};

use super::super::{Object, Showing, Shows};
use super::tree::Tree;

/// Of all definitions in a tree; CREATE SCHEMA holds several.
pub(super) fn shows(tree: &Tree) -> Vec<Shows> {
    let mut found = Vec::new();
    collect(tree, &mut found);
    found
}

fn collect(tree: &Tree, found: &mut Vec<Shows>) {
    match tree.kind() {
        "AlterTableStmt" => {
            let cmds = tree.field("cmds").items().iter();
            found.extend(cmds.filter_map(|cmd| altered(tree.field("relation"), cmd)));
        }
        "CreateStmt" => {
            let parents = tree.field("inh_relations").items().iter();
            let child = tree.field("relation");
            found.extend(parents.map(|parent| joined(child, parent)));
        }
        "RenameStmt" if is_type(tree, "rename_type") => {
            let by = tree.field("newname").text();
            found.extend(type_renamed(tree.field("object").items(), Some(by)));
        }
        "RenameStmt" if !is_of_part(tree) => {
            let by = tree.field("newname").text();
            found.extend(renamed(tree.field("relation"), by));
        }
        "AlterObjectSchemaStmt" if is_type(tree, "object_type") => {
            found.extend(type_renamed(tree.field("object").items(), None));
        }
        "AlterObjectSchemaStmt" => {
            let relation = tree.field("relation");
            found.extend(renamed(relation, relation.field("relname").text()));
        }
        "CreateForeignTableStmt" => collect(tree.field("base_stmt"), found),
        "CreateSchemaStmt" => {
            tree.field("schema_elts").items().iter().for_each(|it| collect(it, found));
        }
        _ => {}
    }
}

fn altered(relation: &Tree, cmd: &Tree) -> Option<Shows> {
    let is = |known: AlterTableType| cmd.field("subtype").number() == known as i64;
    if is(AlterTableType::AtAddInherit) {
        return Some(joined(relation, cmd.field("def")));
    }
    let attaches = is(AlterTableType::AtAttachPartition);
    attaches.then(|| joined(cmd.field("def").field("name"), relation))
}

fn joined(child: &Tree, parent: &Tree) -> Shows {
    let by = parent.field("relname").text().to_owned();
    Shows { of: object(child), by, how: Showing::Within }
}

fn renamed(relation: &Tree, by: &str) -> Option<Shows> {
    let is_relation = *relation != Tree::Nothing;
    let how = Showing::Renamed;
    is_relation.then(|| Shows { of: object(relation), by: by.to_owned(), how })
}

fn is_type(tree: &Tree, field: &str) -> bool {
    tree.field(field).number() == ObjectType::ObjectType as i64
}

/// A type by the list of its names. Of another schema, it is called as before.
fn type_renamed(names: &[Tree], by: Option<&str>) -> Option<Shows> {
    let (name, namespace) = names.split_last()?;
    let namespace = namespace.last().map(|schema| schema.text().to_owned()).into_iter().collect();
    let of = Object { namespace, ..Object::bare(name.text(), true) };
    Some(Shows { of, by: by.unwrap_or(name.text()).to_owned(), how: Showing::TypeRenamed })
}

/// What gets the name is a column or another part of the relation.
fn is_of_part(rename: &Tree) -> bool {
    let relations = [
        ObjectType::ObjectTable,
        ObjectType::ObjectView,
        ObjectType::ObjectMatview,
        ObjectType::ObjectForeignTable,
    ];
    let renamed = rename.field("rename_type").number();
    !relations.iter().any(|known| *known as i64 == renamed)
}

fn object(relation: &Tree) -> Object {
    let schema = relation.field("schemaname").text();
    let namespace = (!schema.is_empty()).then(|| schema.to_owned()).into_iter().collect();
    Object { namespace, ..Object::bare(relation.field("relname").text(), true) }
}

#[cfg(test)]
mod tests {
    use super::super::classify_uncached;
    use super::Showing;

    fn check(text: &str, expect: &str) {
        let classified = classify_uncached(text.as_bytes());
        let shows = classified.statements.iter().flat_map(|it| &it.shows);
        let words = shows.map(|it| {
            let sign = match it.how {
                Showing::Within => "<",
                Showing::Renamed => "=",
                Showing::TypeRenamed => ":=",
            };
            format!("{}{sign}{}", it.by, it.of.path())
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), expect, "{text}");
    }

    #[test]
    fn rows_show_by_other_names() {
        check("ALTER TABLE a.kid INHERIT b.par", "par<a.kid");
        check("ALTER TABLE kid ADD c int, INHERIT p, INHERIT q", "p<kid q<kid");
        check("ALTER TABLE par ATTACH PARTITION a.kid DEFAULT", "par<a.kid");
        check("ALTER FOREIGN TABLE kid INHERIT par", "par<kid");
        check("CREATE TABLE kid (a int) INHERITS (p, q)", "p<kid q<kid");
        check("CREATE TABLE kid PARTITION OF par DEFAULT", "par<kid");
        check("CREATE FOREIGN TABLE kid PARTITION OF par DEFAULT SERVER s", "par<kid");
        check("CREATE SCHEMA s CREATE TABLE kid (a int) INHERITS (par)", "par<kid");
        check("ALTER TABLE a.t RENAME TO u", "u=a.t");
        check("ALTER TABLE a.t SET SCHEMA b", "t=a.t");
        check("ALTER VIEW v RENAME TO w", "w=v");
        check("ALTER TYPE a.t RENAME TO u", "u:=a.t");
        check("ALTER TYPE a.t SET SCHEMA b", "t:=a.t");
        for text in [
            "ALTER TABLE t RENAME a TO b",
            "ALTER TABLE kid NO INHERIT par",
            "ALTER TABLE par DETACH PARTITION kid",
            "ALTER INDEX i RENAME TO j",
            "ALTER TYPE t RENAME ATTRIBUTE a TO b",
            "ALTER DOMAIN d RENAME TO e",
            "ALTER FUNCTION f() SET SCHEMA s",
            "CREATE TABLE t (a int)",
            "SELECT 1",
        ] {
            check(text, "");
        }
    }
}
