//! The shapes of a target's tables, and the names of its users' code, read at the target.
//!
//! In: a target and its addresses. Out: `mask::catalog::Catalog`.
//! Never: a guess; a catalog that was read half is no catalog.

use std::time::Duration;

use super::login::{Connection, LoginError, Value};
use super::own_code;
use crate::config::settings::{Settings, Target};
use crate::decide::sql::classify::computes;
use crate::mask::Policy;
use crate::mask::sql::catalog::{Catalog, Column, Relation};
use crate::shard::mail::Endpoint;
use crate::wire::Protocol;

/// Whether the catalog of this target is read: classes of commands depend on the functions that a
/// target has of its own.
pub fn is_read(target: &Target) -> bool {
    target.protocol == Protocol::Postgres && !target.credentials.is_empty()
}

/// Whether a mask of the configuration needs the catalog of this target.
pub fn is_needed(settings: &Settings, target: &Target) -> bool {
    target.protocol == Protocol::Postgres
        && Policy::compile(&settings.masks).needs_catalog(&target.name)
}

/// Logs in with the target's first credential and reads its catalog. Blocks.
///
/// # Errors
/// The target cannot be used, or answers with rows of another shape.
pub fn read(target: &Target, endpoints: &[Endpoint]) -> Result<Catalog, LoginError> {
    let Some(credential) = target.credentials.first() else {
        return Err(LoginError::Without("credential"));
    };
    let mut connection = Connection::open(target, credential, endpoints, READ_TIMEOUT)?;
    // What is read is of one moment, and a pooler gives the settings to nobody else.
    connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    connection.query("SET LOCAL statement_timeout = '30s'")?;
    connection.query(SETTINGS)?;
    let shapes = connection.query(SHAPES)?;
    let own = connection.query(&own_code::query())?;
    let mut catalog = build(&shapes)?;
    catalog.own = own_code::names(&own).ok_or(UNREADABLE)?;
    Ok(catalog)
}

/// Rows of `SHAPES` to a catalog.
fn build(rows: &[Vec<Value>]) -> Result<Catalog, LoginError> {
    let mut catalog = Catalog::default();
    let mut unread = Vec::new();
    for row in rows {
        let [Some(part), Some(oid), first, second, third] = row.as_slice() else {
            return Err(UNREADABLE);
        };
        let oid = number(oid)?;
        match (part.as_str(), first, second, third) {
            ("1", Some(schema), Some(name), Some(kind)) => {
                let relation = Relation {
                    oid,
                    schema: schema.clone(),
                    name: name.clone(),
                    kind: *kind.as_bytes().first().ok_or(UNREADABLE)?,
                    sources: Vec::new(),
                    columns: Vec::new(),
                };
                catalog.relations.insert(oid, relation);
            }
            ("2", Some(attnum), Some(name), Some(type_oid)) => {
                let relation = catalog.relations.get_mut(&oid).ok_or(UNREADABLE)?;
                relation.columns.push(Column {
                    attnum: number(attnum)?,
                    name: name.clone(),
                    type_oid: number(type_oid)?,
                });
            }
            ("3", Some(source), None, None) => {
                let relation = catalog.relations.get_mut(&oid).ok_or(UNREADABLE)?;
                relation.sources.push(number(source)?);
            }
            ("4", Some(type_oid), None, None) => {
                catalog.row_types.entry(number(type_oid)?).or_default().push(oid);
            }
            ("5", Some(attnum), from, None) => {
                let columns = catalog.generated.entry(oid).or_default();
                let computed: &mut Vec<i16> = columns.entry(number(attnum)?).or_default();
                computed.extend(from.as_deref().map(number::<i16>).transpose()?);
            }
            ("6", Some(referred), Some(attnum), None) => {
                let key = (number(referred)?, number(attnum)?);
                catalog.refers.entry(oid).or_default().push(key);
            }
            ("7", Some(read), Some(attnum), None) => {
                let key = (number(read)?, number(attnum)?);
                catalog.reads.entry(oid).or_default().push(key);
            }
            ("8", Some(schema), Some(function), harmless) => {
                let shows_texts = function == "pg_stat_statements"
                    && catalog.relations.get(&oid).is_none_or(|view| view.name != *function);
                if shows_texts || may_read(schema, function, harmless.as_deref()) {
                    unread.push(oid);
                    catalog.unseen.insert(oid);
                }
            }
            ("9", Some(schema), Some(name), None) => {
                catalog.parts.entry(name.clone()).or_default().push((schema.clone(), oid));
            }
            _ => return Err(UNREADABLE),
        }
    }
    unread.iter().for_each(|view| drop(catalog.reads.remove(view)));
    catalog.reads.values_mut().for_each(|reads| reads.sort_unstable());
    catalog.parts.values_mut().for_each(|tables| tables.sort_unstable());
    for relation in catalog.relations.values_mut() {
        relation.columns.sort_by_key(|column| column.attnum);
        relation.sources.sort_unstable();
        relation.sources.dedup();
    }
    Ok(catalog)
}

/// Whether a function that a view calls may read more than it is given.
fn may_read(schema: &str, function: &str, harmless: Option<&str>) -> bool {
    match harmless {
        Some("own") => !computes(schema, function),
        harmless => harmless.is_none(),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, LoginError> {
    text.parse().map_err(|_| UNREADABLE)
}

const UNREADABLE: LoginError =
    LoginError::Protocol("the rows of its catalog do not have the shape that was asked for");

/// Settings of this visit, as far as the server has them. The planner takes these statements for
/// dear ones, and compiling them takes a hundred times as long as they do. A role's own limit of
/// time is for its clients.
const SETTINGS: &str = "\
SELECT pg_catalog.set_config(s.name, CASE s.name
  WHEN 'jit' THEN 'off' ELSE 'pg_catalog' END, true)
FROM pg_catalog.pg_settings s WHERE s.name IN ('jit', 'search_path')";

/// The whole visit of a target.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// One statement, so that all parts are of one snapshot. Part 1 is relations, 2 their columns, 3
/// the relations that show through them: parents by inheritance or partitioning, and what a view
/// reads (its `_RETURN` rule depends on it). System catalogs are included: their relations appear
/// in answers too, and what is not in the catalog makes a session wait for a new one; so are
/// sequences, which pg_dump reads, and composite types, whose fields are columns as well.
///
/// Part 4 is types that hold whole rows of a relation made by users: its row type, arrays, domains
/// and ranges of it, and rows that have one of these as a column. Part 5 is generated columns and
/// what they are computed from (heap.c, `StoreAttrDefault`), part 6 is foreign keys.
///
/// Part 7 is what the rules of views read, part 8 the functions that they call. The dependencies of
/// a rule hold every column that an expression in it names (dependency.c,
/// `find_expr_references_walker`), but neither rows as a whole, which are columns of number 0 in
/// its tree, nor functions that `initdb` made, which are in its tree by number. Views that use
/// anything else that `initdb` did not make, but relations, collations and enumerations, are left
/// out of part 7. Part 8 is of all views: `own` where `initdb` made the function, `plain` where it
/// reads nothing: it is immutable and has no body that names a relation, or is of an extension that
/// shows what the server counts. `pg_stat_statements()` shows texts, too: of its own view they are
/// known by their column.
///
/// Part 9 is what belongs to a table: indexes, sequences that a column owns, where long values are.
const SHAPES: &str = "\
WITH RECURSIVE relation AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), parts(whole, part) AS (
  SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
  UNION ALL SELECT oid, typelem FROM pg_catalog.pg_type WHERE typelem <> 0
  UNION ALL SELECT rngtypid, rngsubtype FROM pg_catalog.pg_range
  UNION ALL SELECT c.reltype, a.atttypid FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE c.reltype <> 0 AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
), holds(type, relation) AS (
  SELECT c.reltype, c.oid FROM pg_catalog.pg_class c
    WHERE c.reltype <> 0 AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
  UNION SELECT parts.whole, holds.relation FROM holds JOIN parts ON parts.part = holds.type
), ruled(rule, view, tree) AS MATERIALIZED (
  SELECT w.oid, w.ev_class, w.ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite w
  JOIN relation r ON r.oid = w.ev_class
  WHERE w.ev_type = '1' AND w.is_instead AND w.ev_class >= 16384
), calls(view, function) AS (
  SELECT ruled.view, CASE WHEN place > 1
    THEN pg_catalog.split_part(pg_catalog.split_part(rest, ' ', 1), '}', 1)::pg_catalog.oid END
  FROM ruled,
    pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.replace(pg_catalog.replace(
      tree, ':aggfnoid ', ':funcid '), ':winfnoid ', ':funcid '), ':funcid '))
      WITH ORDINALITY called(rest, place)
  UNION SELECT ruled.view, o.oprcode::pg_catalog.oid
  FROM ruled
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.objid = ruled.rule AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
  JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid
), told(rule, view) AS MATERIALIZED (
  SELECT rule, view FROM ruled
  WHERE pg_catalog.strpos(tree, ':varattno 0 ') = 0
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = ruled.rule
        AND d.refobjid >= 16384
        AND d.refclassid NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass,
          'pg_catalog.pg_collation'::pg_catalog.regclass)
        AND NOT (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND EXISTS (
          SELECT FROM pg_catalog.pg_type t WHERE t.oid = d.refobjid AND t.typtype = 'e')))
)
SELECT '1' AS part, oid::text, nspname::text AS a, relname::text AS b, relkind::text AS c
FROM relation
UNION ALL
SELECT '2', a.attrelid::text, a.attnum::text, a.attname::text, a.atttypid::text
FROM pg_catalog.pg_attribute a JOIN relation r ON r.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT '3', i.inhrelid::text, i.inhparent::text, NULL, NULL
FROM pg_catalog.pg_inherits i
JOIN relation child ON child.oid = i.inhrelid
JOIN relation parent ON parent.oid = i.inhparent
UNION ALL
SELECT DISTINCT '3', w.ev_class::text, d.refobjid::text, NULL, NULL
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
 AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> w.ev_class
JOIN relation viewed ON viewed.oid = w.ev_class
JOIN relation source ON source.oid = d.refobjid
WHERE w.ev_type = '1' AND w.is_instead
UNION ALL
SELECT '4', holds.relation::text, holds.type::text, NULL, NULL FROM holds
UNION ALL
SELECT '5', a.attrelid::text, a.attnum::text, d.refobjsubid::text, NULL
FROM pg_catalog.pg_attribute a
JOIN relation r ON r.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
LEFT JOIN pg_catalog.pg_depend d
  ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
 AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum
 AND (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = a.attrelid
    AND d.objsubid = a.attnum
  OR d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = e.oid)
WHERE a.attgenerated <> '' AND NOT a.attisdropped
UNION ALL
SELECT '6', conrelid::text, confrelid::text, key::text, NULL
FROM pg_catalog.pg_constraint, pg_catalog.unnest(confkey) key WHERE contype = 'f'
UNION ALL
SELECT DISTINCT '7', told.view::text, d.refobjid::text, d.refobjsubid::text, NULL
FROM told JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = told.rule
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> told.view
UNION ALL
SELECT DISTINCT '8', calls.view::text, n.nspname::text, p.proname::text,
  CASE WHEN p.oid < 16384 THEN 'own'
    WHEN p.provolatile = 'i' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid IN ('pg_catalog.pg_class'::pg_catalog.regclass,
          'pg_catalog.pg_proc'::pg_catalog.regclass)) THEN 'plain'
    WHEN EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
        AND e.extname IN ('pg_stat_statements', 'pg_buffercache', 'pg_stat_kcache',
          'pg_wait_sampling')) THEN 'plain'
  END
FROM calls
JOIN pg_catalog.pg_proc p ON p.oid = calls.function
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
UNION ALL
SELECT '9', i.indrelid::text, n.nspname::text, c.relname::text, NULL
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.oid >= 16384
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT '9', d.refobjid::text, n.nspname::text, c.relname::text, NULL
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' AND c.oid >= 16384
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::regclass
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
UNION ALL
SELECT '9', r.oid::text, n.nspname::text, c.relname::text, NULL
FROM relation r
JOIN pg_catalog.pg_class w ON w.oid = r.oid AND w.oid >= 16384
JOIN pg_catalog.pg_class c ON c.oid = w.reltoastrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: [&str; 5]) -> Vec<Value> {
        fields.iter().map(|field| (*field != "-").then(|| (*field).to_owned())).collect()
    }

    #[test]
    fn rows_become_relations() {
        let catalog = build(&[
            row(["1", "16384", "public", "customers", "r"]),
            row(["1", "16390", "public", "names", "v"]),
            row(["2", "16384", "2", "ssn", "25"]),
            row(["2", "16384", "1", "id", "23"]),
            row(["2", "16390", "1", "id", "23"]),
            row(["3", "16390", "16384", "-", "-"]),
            row(["3", "16390", "16384", "-", "-"]),
            row(["4", "16384", "16386", "-", "-"]),
            row(["5", "16384", "2", "1", "-"]),
            row(["5", "16384", "3", "-", "-"]),
            row(["6", "16390", "16384", "2", "-"]),
            row(["7", "16390", "16384", "2", "-"]),
            row(["7", "16390", "16384", "1", "-"]),
            row(["7", "16391", "16384", "1", "-"]),
            row(["8", "16390", "pg_catalog", "lower", "own"]),
            row(["8", "16391", "pg_catalog", "query_to_xml", "own"]),
            row(["8", "16390", "public", "twice", "plain"]),
            row(["8", "16392", "public", "reader", "-"]),
            row(["1", "16393", "public", "pg_stat_statements", "v"]),
            row(["8", "16393", "public", "pg_stat_statements", "plain"]),
            row(["8", "16394", "public", "pg_stat_statements", "plain"]),
            row(["8", "16395", "pg_catalog", "pg_stat_get_activity", "own"]),
            row(["9", "16384", "public", "customers_pkey", "-"]),
        ])
        .unwrap();
        let customers = &catalog.relations[&16384];
        assert_eq!((customers.schema.as_str(), customers.name.as_str()), ("public", "customers"));
        assert_eq!(customers.kind, b'r');
        let names: Vec<_> = customers.columns.iter().map(|c| (c.attnum, &*c.name)).collect();
        assert_eq!(names, [(1, "id"), (2, "ssn")]);
        assert_eq!(catalog.relations[&16390].sources, [16384]);
        assert_eq!(catalog.row_types[&16386], [16384]);
        assert_eq!(catalog.generated[&16384][&2], [1]);
        assert!(catalog.generated[&16384][&3].is_empty());
        assert_eq!(catalog.refers[&16390], [(16384, 2)]);
        assert_eq!(catalog.reads[&16390], [(16384, 1), (16384, 2)]);
        assert_eq!(catalog.reads.len(), 1, "what query_to_xml reads is in no list");
        assert_eq!(catalog.unseen, [16391, 16392, 16394, 16395].into_iter().collect());
        assert_eq!(catalog.parts["customers_pkey"], [("public".to_owned(), 16384)]);
    }

    #[test]
    fn rows_of_another_shape_are_no_catalog() {
        let check = |rows: &[Vec<Value>]| assert!(build(rows).is_err(), "{rows:?}");
        check(&[row(["1", "x", "public", "t", "r"])]);
        check(&[row(["1", "1", "public", "t", ""])]);
        check(&[row(["2", "1", "1", "id", "23"])]);
        check(&[row(["4", "1", "1", "id", "23"])]);
        check(&[row(["5", "1", "x", "-", "-"])]);
        check(&[row(["7", "1", "1", "-", "-"])]);
        check(&[row(["8", "1", "pg_catalog", "-", "-"])]);
        check(&[row(["9", "1", "1", "-", "-"])]);
        check(&[row(["9", "1", "public", "-", "-"])]);
        check(&[row(["1", "1", "public", "-", "r"])]);
        check(&[vec![Some("1".into())]]);
        check(&[row(["1", "1", "p", "t", "r"]), row(["2", "1", "99999", "id", "23"])]);
    }
}
