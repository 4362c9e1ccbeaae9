//! What the columns of an answer are made of, by the form of their expressions.
//!
//! In: the node of a statement. Out: for each column of its answer, in order, the columns whose
//! values it may show; nothing where the columns cannot be counted. Never: a column left out that
//! it shows a value of: what is not on the lists below is not told.
//!
//! A condition is no flow: `count(*)` and `EXISTS` tell whether rows are there, as the number of
//! rows of any answer does. Names are told only where all rows are those of tables and views that
//! the statement names: a query in FROM or WITH gives columns other names.

use std::collections::HashSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node, SelectStmt, SetOperation, SubLink, SubLinkType};

use super::super::Made;
use super::tree::Tree;

/// Of a query, or of the query of a cursor; nothing for other statements.
pub(super) fn columns(node: &NodeEnum) -> Vec<Option<Made>> {
    let select = match node {
        NodeEnum::SelectStmt(select) => select,
        NodeEnum::DeclareCursorStmt(declare) => match inner(declare.query.as_deref()) {
            Some(NodeEnum::SelectStmt(select)) => select,
            _ => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    of_select(select).unwrap_or_default()
}

fn of_select(select: &SelectStmt) -> Option<Vec<Option<Made>>> {
    let is_plain = select.op == SetOperation::SetopNone as i32
        && select.values_lists.is_empty()
        && select.into_clause.is_none();
    if !is_plain {
        return None;
    }
    let rows = rows(select);
    let targets = select.target_list.iter().map(|target| match inner(Some(target))? {
        NodeEnum::ResTarget(target) => inner(target.val.as_deref()),
        _ => None,
    });
    let made = targets.map(|value| {
        let value = value.filter(|value| !expands(value))?;
        Some(match is_sure(value) {
            true => Some(Made::default()),
            false => rows.as_ref().and_then(|rows| of_value(value, rows)),
        })
    });
    made.collect()
}

/// The names that rows have, where all of them are rows of relations by their own columns' names.
fn rows(select: &SelectStmt) -> Option<HashSet<String>> {
    let mut rows = HashSet::new();
    let plain = select.with_clause.is_none()
        && select.from_clause.iter().all(|from| is_plain_rows(from, &mut rows));
    plain.then_some(rows)
}

fn is_plain_rows(from: &Node, rows: &mut HashSet<String>) -> bool {
    match inner(Some(from)) {
        Some(NodeEnum::RangeVar(range)) => {
            rows.insert(range.relname.clone());
            let Some(alias) = &range.alias else { return true };
            rows.insert(alias.aliasname.clone());
            alias.colnames.is_empty()
        }
        Some(NodeEnum::JoinExpr(join)) => {
            let sides = [join.larg.as_deref(), join.rarg.as_deref()];
            let plain = |side: Option<&Node>| side.is_some_and(|side| is_plain_rows(side, rows));
            join.alias.is_none() && join.join_using_alias.is_none() && sides.into_iter().all(plain)
        }
        _ => false,
    }
}

/// Nodes whose values are made of the values below them.
const COMPUTING: [&str; 30] = [
    "AArrayExpr",
    "AConst",
    "AExpr",
    "AIndices",
    "AIndirection",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CaseExpr",
    "CaseWhen",
    "CoalesceExpr",
    "CollateClause",
    "ColumnRef",
    "Float",
    "FuncCall",
    "Integer",
    "List",
    "MinMaxExpr",
    "NamedArgExpr",
    "NullTest",
    "ParamRef",
    "RowExpr",
    "SortBy",
    "SqlValueFunction",
    "SqlvalueFunction",
    "String",
    "TypeCast",
    "TypeName",
    "WindowDef",
];

fn of_value(value: &NodeEnum, rows: &HashSet<String>) -> Option<Made> {
    let mut made = Made::default();
    collect(&Tree::of(value)?, rows, &mut made).then_some(made)
}

/// Whether everything below is known for what it takes.
fn collect(tree: &Tree, rows: &HashSet<String>, made: &mut Made) -> bool {
    match tree {
        Tree::List(items) => items.iter().all(|item| collect(item, rows, made)),
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => true,
        Tree::Node { kind: "ColumnRef", .. } => {
            let fields = tree.field("fields").items();
            let [before @ .., last] = fields else { return false };
            // `*` and a row by its name are all columns; so is a function of a row, `t.to_json`,
            // but no relation has a column of that name.
            let is_row = before.is_empty() && rows.contains(last.text());
            if fields.iter().any(|field| field.kind() != "String") || is_row {
                return false;
            }
            made.columns.push(last.text().into());
            made.others.extend(before.iter().map(|name| Box::from(name.text())));
            true
        }
        Tree::Node { kind: "AIndirection", fields } => {
            let steps = tree.field("indirection").items();
            if steps.iter().any(|step| step.kind() == "AStar") {
                return false;
            }
            made.others.extend(steps.iter().map(|step| Box::from(step.text())));
            fields.iter().all(|(_, child)| collect(child, rows, made))
        }
        Tree::Node { kind, fields } => {
            COMPUTING.contains(kind) && fields.iter().all(|(_, child)| collect(child, rows, made))
        }
    }
}

fn inner(node: Option<&Node>) -> Option<&NodeEnum> {
    node?.node.as_ref()
}

/// `*`, `t.*`, `(expression).*`: as many columns as something else has.
fn expands(value: &NodeEnum) -> bool {
    let parts = match value {
        NodeEnum::ColumnRef(column) => &column.fields,
        NodeEnum::AIndirection(steps) => &steps.indirection,
        _ => return false,
    };
    parts.iter().any(|part| matches!(inner(Some(part)), Some(NodeEnum::AStar(_))))
}

/// Constants, parameters, the time, EXISTS, and functions that take no value of a row.
fn is_sure(value: &NodeEnum) -> bool {
    match value {
        NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_) => true,
        NodeEnum::SubLink(link) => is_exists(link),
        NodeEnum::FuncCall(call) => counts(call),
        _ => false,
    }
}

fn is_exists(link: &SubLink) -> bool {
    link.sub_link_type == SubLinkType::ExistsSublink as i32
}

/// `count(*)`, `now()`, `row_number() OVER ..`; without a filter, an order or arguments.
fn counts(call: &FuncCall) -> bool {
    let bare = call.args.is_empty()
        && call.agg_order.is_empty()
        && call.agg_filter.is_none()
        && !call.agg_within_group;
    let names = call.funcname.iter().map(|name| match inner(Some(name)) {
        Some(NodeEnum::String(name)) => name.sval.as_str(),
        _ => "",
    });
    let names: Vec<&str> = names.collect();
    let name = match names.as_slice() {
        [name] | ["pg_catalog", name] => *name,
        _ => return false,
    };
    let over = call.over.is_some();
    bare && match name {
        "count" => call.agg_star && !over,
        "now" | "statement_timestamp" | "clock_timestamp" => !call.agg_star && !over,
        "row_number" | "rank" | "dense_rank" => !call.agg_star && over,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Option<Made>> {
        let parsed = pg_query::parse(text, 0).unwrap();
        columns(inner(parsed.protobuf.stmts[0].stmt.as_deref()).unwrap())
    }

    fn sure(text: &str) -> Vec<bool> {
        of(text).iter().map(|made| *made == Some(Made::default())).collect()
    }

    #[test]
    fn what_is_computed_is_made_of_the_columns_it_mentions() {
        let check = |text: &str, expect: Option<&[&str]>| {
            let made = of(text).remove(0);
            let names = made
                .as_ref()
                .map(|made| made.columns.iter().map(|name| &**name).collect::<Vec<_>>());
            assert_eq!(names.as_deref(), expect, "{text}");
        };
        check("select max(o.cents) from c join o on c.id = o.c", Some(&["cents"]));
        check("select lower(name) || $1 from c", Some(&["name"]));
        check("select sum(a + b) filter (where d > 1) from t", Some(&["a", "b", "d"]));
        check("select case when ssn = '1' then name end from c", Some(&["ssn", "name"]));
        check(
            "select lag(name) over (partition by a order by b) from c",
            Some(&["name", "a", "b"]),
        );
        check("select date_trunc('day', c.at)::date from public.c", Some(&["at"]));
        check("select c.to_json from c", Some(&["to_json"]));
        check("select extract(year from at), coalesce(a, 0) from c", Some(&["at"]));
        check("select upper(c) from c", None);
        check("select upper(x) from c x", None);
        check("select upper(c.*) from c", None);
        check("select (c).ssn from c", None);
        check("select upper(a) from c x (a)", None);
        check("select upper(a) from (select ssn as a from c) x", None);
        check("select upper(a) from f() a", None);
        check("with c as (select ssn as a from d) select upper(a) from c", None);
        check("select upper(a) from (c join d using (id)) x", None);
        check("select (select max(ssn) from c) || a from d", None);
        check("select xmlforest(a) from c", None);
    }

    #[test]
    fn what_takes_no_value_of_a_row_is_sure() {
        let text = "select count(*), count(ssn), ssn, 5, now(), exists(select 1 from c), 'x', $1, \
                    row_number() over (order by ssn), current_date from c";
        let expect = [true, false, false, true, true, true, true, true, true, true];
        assert_eq!(sure(text), expect);
        assert_eq!(sure("declare x cursor for select 1, ssn from c"), [true, false]);
        for text in [
            "select count(ssn) from c",
            "select count(*) filter (where ssn = 'x') from c",
            "select now(ssn) from c",
            "select rank(ssn) within group (order by ssn) from c",
            "select lag(ssn) over () from c",
            "select array(select ssn from c)",
            "select (select ssn from c)",
            "select 1 in (select ssn from c)",
            "select case when ssn = 'x' then 1 end from c",
            "select a.count from c a",
        ] {
            assert_eq!(sure(text), [false], "{text}");
        }
    }

    #[test]
    fn columns_that_cannot_be_counted_are_none() {
        for text in [
            "select *, 1 from c",
            "select c.*, 1 from c",
            "select (c).*, 1 from c",
            "select 1 union select ssn from c",
            "values (1)",
            "table c",
            "explain select 1",
            "select 1 into x",
            "update c set a = 1 returning 1",
            "fetch x",
        ] {
            assert!(sure(text).is_empty(), "{text}");
        }
    }
}
