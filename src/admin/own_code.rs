//! Which names of a target may run code of its users: the question to its catalog, and the answer.
//!
//! In: rows of `query`. Out: `OwnCode`. Never: a row that is passed over because it is of no kind
//! that is known.
//!
//! ```text
//!   code       functions that initdb did not make and that may do more than compute
//!   sources    types that code takes by a cast or to sort, and the type that a cast gives
//!   held       types whose values hold a value of such a type: it, arrays, domains, rows of it
//!   checked    types that check their values by code, and all that are made of them
//!   risky      types that making a value of runs code
//! ```
//!
//! Code that takes a type of users runs only where a value of `held` is (`RunsOnValues`); relations
//! without a column of `held`, and whose rows are none, are `Plain`. If a type of PostgreSQL's own
//! is in `held`, such values are everywhere (`everywhere`), and the code runs in every statement.

use super::login::Value;
use crate::decide::sql::own::{OwnCode, Told, Use, UseKind};

/// One statement, so that all is of one snapshot; its rows are kind and name.
pub fn query() -> String {
    format!("{CODE}{PARTS}{HELD}{RISKY}{RUNS}{BRINGS}")
}

/// `None` if a row has another shape.
pub fn names(rows: &[Vec<Value>]) -> Option<OwnCode> {
    let told = rows.iter().map(|row| {
        let [Some(kind), Some(name)] = row.as_slice() else { return None };
        let (how, kind) = kind.split_once(' ')?;
        if (how, kind) == ("plain", "relation") {
            return Some(Told::Plain(name.as_str().into()));
        }
        let kind = match kind {
            "function" => UseKind::Function,
            "field" => UseKind::Field,
            "operator" => UseKind::Operator,
            "type" => UseKind::Type,
            "number" => UseKind::TypeNumber,
            "within" => UseKind::Within,
            "cast" => UseKind::ImplicitCast,
            "assigned" => UseKind::AssignedCast,
            _ => return None,
        };
        let used = Use { kind, name: name.as_str().into() };
        match how {
            "runs" => Some(Told::Runs(used)),
            "on-values" => Some(Told::RunsOnValues(used)),
            "brings" => Some(Told::Brings(used)),
            _ => None,
        }
    });
    Some(OwnCode::new(told.collect::<Option<Vec<Told>>>()?))
}

/// Every function that a query can call and that `initdb` did not make (`FirstNormalObjectId`,
/// transam.h), without those that an extension brought, that are not volatile and that are not
/// written in a procedural language: they compute, and belong to whoever may create extensions.
const CODE: &str = "\
WITH RECURSIVE code AS (
  SELECT p.oid, p.proname, n.nspname,
    p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 AS takes_one
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND p.prokind <> 'p'
    AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype,
      'pg_catalog.event_trigger'::pg_catalog.regtype)
    AND NOT (p.provolatile <> 'v' AND l.lanname IN ('c', 'internal', 'sql') AND EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'))
), operators AS (
  SELECT o.oid, o.oprname FROM pg_catalog.pg_operator o JOIN code ON code.oid = o.oprcode
  WHERE o.oid >= 16384
), checks AS (
  SELECT c.contypid, d.refclassid, d.refobjid FROM pg_catalog.pg_constraint c
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid
  WHERE c.contypid <> 0
), ";

/// Which types are made of which.
const PARTS: &str = "\
parts(whole, part) AS (
  SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
  UNION ALL SELECT oid, typelem FROM pg_catalog.pg_type WHERE typelem <> 0
  UNION ALL SELECT rngtypid, rngsubtype FROM pg_catalog.pg_range
  UNION ALL SELECT rngmultitypid, rngsubtype FROM pg_catalog.pg_range
  UNION ALL SELECT c.reltype, a.atttypid FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE c.reltype <> 0 AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT contypid, refobjid FROM checks
    WHERE refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND refobjid <> contypid
), ";

/// What sorts and compares values of a type by itself, a default operator class, is as a cast that
/// no text asks for; it takes values of two types, of which one of users' is as good as both. Where
/// a cast without a function makes one type look like another, the latter's class serves it.
const HELD: &str = "\
sources(type, target, how, name) AS (
  SELECT c.castsource, c.casttarget,
    CASE c.castcontext WHEN 'i' THEN 'cast' WHEN 'a' THEN 'assigned' END, code.proname
  FROM pg_catalog.pg_cast c JOIN code ON code.oid = c.castfunc
  UNION SELECT CASE WHEN a.amproclefttype >= 16384 OR a.amprocrighttype < 16384
      THEN a.amproclefttype ELSE a.amprocrighttype END, 0::pg_catalog.oid, 'cast', code.proname
  FROM pg_catalog.pg_amproc a JOIN code ON code.oid = a.amproc
  JOIN pg_catalog.pg_opclass c ON c.opcfamily = a.amprocfamily AND c.opcdefault
  UNION SELECT CASE WHEN a.amoplefttype >= 16384 OR a.amoprighttype < 16384
      THEN a.amoplefttype ELSE a.amoprighttype END, 0, 'cast', operators.oprname
  FROM pg_catalog.pg_amop a JOIN operators ON operators.oid = a.amopopr
  JOIN pg_catalog.pg_opclass c ON c.opcfamily = a.amopfamily AND c.opcdefault
), wholes(whole, part) AS (
  SELECT whole, part FROM parts
  UNION ALL SELECT castsource, casttarget FROM pg_catalog.pg_cast
    WHERE castmethod = 'b' AND casttarget >= 16384
), held(oid) AS (
  SELECT type FROM sources WHERE type >= 16384
  UNION SELECT wholes.whole FROM held JOIN wholes ON wholes.part = held.oid
), everywhere(holds) AS (
  SELECT EXISTS (SELECT FROM held WHERE oid < 16384)
), ";

/// Types that are cast to by code, or check by code, and all types that are made of such types.
const RISKY: &str = "\
cast_to(oid, is_everywhere) AS (
  SELECT target, type < 16384 OR everywhere.holds FROM sources, everywhere WHERE target <> 0
), checked(oid) AS (
  SELECT contypid FROM checks
    WHERE refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND refobjid IN (SELECT oid FROM code)
    OR refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
      AND refobjid IN (SELECT oid FROM operators)
  UNION SELECT parts.whole FROM checked JOIN parts ON parts.part = checked.oid
), risky(oid) AS (
  SELECT oid FROM cast_to WHERE is_everywhere
  UNION SELECT oid FROM checked
  UNION SELECT parts.whole FROM risky JOIN parts ON parts.part = risky.oid
), risky_on_values(oid) AS (
  SELECT oid FROM cast_to WHERE NOT is_everywhere
  UNION SELECT parts.whole FROM risky_on_values JOIN parts ON parts.part = risky_on_values.oid
), inputs(oid) AS (
  SELECT oid FROM checked
    WHERE oid IN (SELECT oid FROM pg_catalog.pg_type WHERE typtype <> 'd')
  UNION SELECT t.oid FROM inputs JOIN pg_catalog.pg_type t
    ON t.typbasetype = inputs.oid AND t.typtype = 'd'
)";

/// A literal beside a column of a domain becomes what the domain is made of, unchecked
/// (parse_coerce.c, `select_common_type`); beside one that has such a domain in it (`inputs`) its
/// parts are checked.
const RUNS: &str = "
SELECT 'runs function', proname::text FROM code
UNION SELECT 'runs function', 'pg_catalog.' || proname FROM code WHERE nspname = 'pg_catalog'
UNION SELECT 'runs field', proname::text FROM code WHERE takes_one
UNION SELECT 'runs operator', oprname::text FROM operators
UNION SELECT 'runs type', t.typname::text FROM risky
  JOIN pg_catalog.pg_type t ON t.oid = risky.oid
UNION SELECT 'runs number', oid::text FROM risky
UNION SELECT 'runs within', c.relname::text FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
  WHERE c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
    AND a.atttypid IN (SELECT oid FROM inputs)
UNION SELECT 'on-values type', t.typname::text FROM risky_on_values r
  JOIN pg_catalog.pg_type t ON t.oid = r.oid
UNION SELECT 'on-values number', oid::text FROM risky_on_values
UNION SELECT CASE WHEN type < 16384 OR everywhere.holds THEN 'runs ' ELSE 'on-values ' END || how,
    name::text
  FROM sources, everywhere WHERE how IS NOT NULL";

/// A function or an operator brings a value if it says so, or if its types are those of its
/// arguments. `anyarray` as the type of a column is an array of anything (`pg_stats`).
const BRINGS: &str = "
UNION SELECT 'brings type', t.typname::text FROM held JOIN pg_catalog.pg_type t ON t.oid = held.oid
UNION SELECT 'brings number', oid::text FROM held
UNION SELECT 'brings ' || k.kind, p.proname::text FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
  CROSS JOIN (VALUES ('function'), ('field')) k(kind)
  WHERE p.oid >= 16384 AND (t.typtype = 'p' OR t.oid IN (SELECT oid FROM held))
    AND EXISTS (SELECT FROM held)
UNION SELECT 'brings operator', o.oprname::text FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_type t ON t.oid = o.oprresult
  WHERE o.oid >= 16384 AND (t.typtype = 'p' OR t.oid IN (SELECT oid FROM held))
    AND EXISTS (SELECT FROM held)
UNION SELECT 'plain relation', c.relname::text FROM pg_catalog.pg_class c
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND EXISTS (SELECT FROM held)
  GROUP BY c.relname
  HAVING NOT pg_catalog.bool_or(c.reltype IN (SELECT oid FROM held)
    OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.atttypid = 'pg_catalog.anyarray'::pg_catalog.regtype
          OR a.atttypid IN (SELECT oid FROM held))))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_names() {
        let row = |kind: &str, name: &str| vec![Some(kind.to_owned()), Some(name.to_owned())];
        let rows = [
            row("runs field", "total"),
            row("on-values cast", "f"),
            row("brings type", "mood"),
            row("plain relation", "t"),
        ];
        let used = |kind, name: &str| Use { kind, name: name.into() };
        let same = OwnCode::new([
            Told::Runs(used(UseKind::Field, "total")),
            Told::RunsOnValues(used(UseKind::ImplicitCast, "f")),
            Told::Brings(used(UseKind::Type, "mood")),
            Told::Plain("t".into()),
        ]);
        assert_eq!(names(&rows), Some(same));
        for odd in ["runs table", "plain type", "brings", "walks type", ""] {
            assert_eq!(names(&[row(odd, "t")]), None, "{odd}");
        }
        assert_eq!(names(&[vec![Some("runs field".to_owned()), None]]), None);
        assert_eq!(names(&[vec![]]), None);
    }
}
