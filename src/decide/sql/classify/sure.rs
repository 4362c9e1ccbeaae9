//! Columns of an answer that hold nothing of any relation, by the form of their expression.
//!
//! In: the node of a statement. Out: for each column of its answer, in order, whether that is sure;
//! nothing where the columns cannot be counted. Never: a column that shows a value of a row: what
//! is not on the list below is not sure.
//!
//! A condition is no flow: `count(*)` and `EXISTS` tell whether rows are there, as the number of
//! rows of any answer does.

use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node, SelectStmt, SetOperation, SubLink, SubLinkType};

/// Of a query, or of the query of a cursor; nothing for other statements.
pub(super) fn columns(node: &NodeEnum) -> Vec<bool> {
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

fn of_select(select: &SelectStmt) -> Option<Vec<bool>> {
    let is_plain = select.op == SetOperation::SetopNone as i32
        && select.values_lists.is_empty()
        && select.into_clause.is_none();
    if !is_plain {
        return None;
    }
    let targets = select.target_list.iter().map(|target| match inner(Some(target))? {
        NodeEnum::ResTarget(target) => inner(target.val.as_deref()),
        _ => None,
    });
    let sure = targets.map(|value| value.filter(|value| !expands(value)).map(is_sure));
    sure.collect()
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

    fn sure(text: &str) -> Vec<bool> {
        let parsed = pg_query::parse(text, 0).unwrap();
        columns(inner(parsed.protobuf.stmts[0].stmt.as_deref()).unwrap())
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
            "select count(*) over () from c",
            "select evil.count(*) from c",
            "select now(ssn) from c",
            "select row_number() from c",
            "select rank(ssn) within group (order by ssn) from c",
            "select lag(ssn) over () from c",
            "select 1::evil",
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
