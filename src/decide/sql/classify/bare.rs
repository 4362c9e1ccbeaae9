//! Literals and parameters that no cast gives a type, and rows that stand as values by a star.
//!
//! In: the tree of one statement. Out: whether there are any. Never: a "no" where PostgreSQL would
//! look for a type among what stands beside (parse_coerce.c, `select_common_type`; parse_oper.c,
//! parse_func.c): only positions that are known to take none from there are left out.
//!
//! ```text
//!   x::t, t 'x'                        the type is in the text
//!   SELECT 'x', not within a query     text (parse_target.c, `resolveTargetListUnknowns`)
//!   INSERT .. VALUES ('x'), SET a = 'x'   the column's, as the write would check it in any case
//!   LIMIT 'x', OFFSET $1               bigint
//! ```

use super::tree::Tree;

/// What stands in a statement without a type of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bare {
    /// A literal or a parameter.
    pub(super) texts: bool,
    /// `t.*` where it is one value.
    pub(super) rows: bool,
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Its type may come from what stands beside it.
    Free,
    /// It is a column of an answer: a star stands for many.
    Target,
    /// Its type comes from nothing beside it.
    Settled,
    /// It is a query whose columns are assigned to those of a table.
    Assigned,
}

impl Bare {
    pub(super) fn of(tree: &Tree) -> Bare {
        let mut bare = Bare::default();
        bare.walk(tree, if tree.kind() == "SelectStmt" { Place::Settled } else { Place::Free });
        bare
    }

    fn walk(&mut self, tree: &Tree, place: Place) {
        match tree {
            Tree::List(items) => items.iter().for_each(|item| self.walk(item, place)),
            Tree::Node { kind, .. } => self.node(kind, tree, place),
            Tree::Text(_) | Tree::Number(_) | Tree::Nothing => {}
        }
    }

    fn node(&mut self, kind: &str, tree: &Tree, place: Place) {
        match kind {
            "AConst" => {
                self.texts |= place != Place::Settled && tree.field("val").kind() == "String";
            }
            "ParamRef" => self.texts |= place != Place::Settled,
            "ColumnRef" => {
                let parts = tree.field("fields").items();
                let is_star = parts.len() > 1 && parts.last().is_some_and(is_star);
                self.rows |= is_star && place == Place::Free;
            }
            _ => {
                for (name, child) in tree.fields() {
                    self.walk(child, inside(kind, name, tree, place));
                }
            }
        }
    }
}

fn is_star(part: &Tree) -> bool {
    part.kind() == "AStar"
}

/// Where what a field of a node holds stands, if the node stands in `place`.
fn inside(kind: &str, field: &str, tree: &Tree, place: Place) -> Place {
    match (kind, field) {
        // Lists within lists: the rows of VALUES.
        ("List", _) => place,
        ("TypeCast", "arg") => Place::Settled,
        ("ResTarget", "val") if place == Place::Free => Place::Target,
        ("ResTarget", "val") => place,
        ("SelectStmt", "limit_count" | "limit_offset") => Place::Settled,
        // What sets of rows have in common is found among all of them; rows that are inserted have
        // the columns' types each (analyze.c, `transformInsertStmt`).
        ("SelectStmt", "values_lists") if place == Place::Assigned => Place::Settled,
        ("SelectStmt", "target_list")
            if place != Place::Free && *tree.field("larg") == Tree::Nothing =>
        {
            Place::Settled
        }
        ("InsertStmt", "select_stmt") => Place::Assigned,
        ("UpdateStmt" | "OnConflictClause" | "MergeWhenClause", "target_list")
        | ("MergeWhenClause", "values") => Place::Settled,
        _ => Place::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::super::classify_uncached;
    use crate::decide::sql::own::UseKind;

    /// Whether a relation's parts, and its rows, are used by a literal without a type.
    fn uses(text: &str) -> (bool, bool) {
        let known = classify_uncached(text.as_bytes());
        let [statement] = known.statements.as_slice() else { panic!("{text}: {known:?}") };
        let has = |kind| statement.uses.iter().any(|it| it.kind == kind && &*it.name == "t");
        (has(UseKind::Within), has(UseKind::Type))
    }

    #[test]
    fn literals_take_their_types_from_what_stands_beside() {
        for text in [
            "SELECT coalesce(c, '(1,5)') FROM t",
            "SELECT coalesce(c, $1) FROM t",
            "SELECT ARRAY[c, '(1,5)'] FROM t",
            "SELECT c FROM t UNION ALL SELECT '(1,5)'",
            "SELECT CASE WHEN true THEN c ELSE '(1,5)' END FROM t",
            "SELECT greatest(c, '(1,5)') FROM t",
            "SELECT c FROM t WHERE c = '(1,5)'",
            "SELECT c FROM t WHERE c IN ('(1,5)')",
            "SELECT nullif(c, '') FROM t",
            "VALUES ((SELECT c FROM t)), ('(1,5)')",
            "SELECT x FROM (VALUES ((SELECT c FROM t)), ('(1,5)')) v(x)",
            "SELECT x FROM (SELECT c FROM t UNION SELECT '(1,5)') v(x)",
            "WITH RECURSIVE x(c) AS (SELECT c FROM t UNION ALL SELECT '(1,5)') TABLE x",
            "SELECT lag(c, 1, '(1,5)') OVER () FROM t",
            "INSERT INTO t VALUES (1, '(1,5)') RETURNING coalesce(c, '(1,5)')",
            "INSERT INTO u SELECT coalesce(c, '(1,5)') FROM t",
            "INSERT INTO u SELECT c FROM t UNION SELECT '(1,5)'",
            "UPDATE t SET c = coalesce(c, '(1,5)') WHERE id = 1",
            "DELETE FROM t WHERE c = $1",
            "EXPLAIN SELECT coalesce(c, '(1,5)') FROM t",
            "PREPARE p AS SELECT coalesce(c, $1) FROM t",
            "COPY (SELECT coalesce(c, '(1,5)') FROM t) TO STDOUT",
        ] {
            assert!(uses(text).0, "{text}");
        }
        for text in [
            "SELECT coalesce(c, '(1,5)'::comp), $1::int FROM t LIMIT $2",
            "SELECT 'x' AS kind, c FROM t",
            "SELECT coalesce(id, 5) FROM t",
            "INSERT INTO t VALUES (1, '(1,5)'), (2, $1)",
            "INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET c = 'x'",
            "UPDATE t SET c = '(1,5)' WHERE id = 1",
            "COPY t FROM STDIN (FORMAT 'csv')",
            "CREATE VIEW v AS SELECT coalesce(c, 'x') FROM t",
            "COMMENT ON TABLE t IS 'x'",
        ] {
            assert_eq!(uses(text), (false, false), "{text}");
        }
    }

    #[test]
    fn a_literal_becomes_a_row_where_one_stands() {
        for text in [
            "SELECT coalesce(t, '(1,5)') FROM t",
            "SELECT coalesce(t.*, '(1,5)') FROM t",
            "SELECT coalesce(public.t.*, '(1,5)') FROM public.t",
            "SELECT coalesce(x, '(1,5)') FROM t x",
            "SELECT coalesce(r, '(1,5)') FROM (SELECT x AS r FROM t x) y",
            "WITH x AS (SELECT t FROM t) SELECT coalesce(t, '(1,5)') FROM x",
            "SELECT array_agg(t) = '{\"(1,5)\"}' FROM t",
            "DELETE FROM t WHERE t = $1",
        ] {
            assert_eq!(uses(text), (true, true), "{text}");
        }
        for text in [
            "SELECT t.* FROM t WHERE id = '5'",
            "SELECT id FROM t WHERE id = $1",
            "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 'x' WHERE t.id = $1 \
             RETURNING t.*",
        ] {
            assert_eq!(uses(text), (true, false), "{text}");
        }
    }
}
