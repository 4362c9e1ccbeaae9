//! What the columns of an answer are made of, by the form of their expressions.
//!
//! In: the tree of a query, or of DML that returns rows. Out: for each column of its answer, in
//! order, the columns whose values it may show; nothing where the columns cannot be counted.
//! Never: a column left out that it shows a value of: what is not on the lists below is not told.
//!
//! A condition is no flow: `count(*)` and `EXISTS` tell whether rows are there, as the number of
//! rows of any answer does. `rows` looks through queries in FROM and WITH, which give columns other
//! names.

mod rows;

use pg_query::protobuf::{SetOperation, SubLinkType};

use super::super::Made;
use super::functions;
use super::tree::Tree;
use crate::limits;
use rows::{Columns, Effort, Scope, Withs};

/// Of a query, or of the query of a cursor; nothing for other statements. Where one of them is a
/// star of a relation, those before and those behind it, and which is the first of the latter.
pub(super) fn columns(tree: &Tree) -> (Vec<Option<Made>>, Option<usize>) {
    const UNTOLD: (Vec<Option<Made>>, Option<usize>) = (Vec::new(), None);
    let select = match tree.kind() {
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" => return returned(tree).unwrap_or(UNTOLD),
        "SelectStmt" => tree,
        "DeclareCursorStmt" => tree.field("query"),
        _ => return UNTOLD,
    };
    if select.kind() != "SelectStmt" || !select.field("values_lists").items().is_empty() {
        return UNTOLD;
    }
    let effort = Effort::default();
    let outside = Scope { effort: &effort, withs: None, level: None, outer: None };
    let (known, star) = match of_select(select, &outside) {
        Columns::These { known, through: false } => {
            (known.into_iter().map(|it| it.1).collect(), None)
        }
        _ => match around_stars(select, &outside) {
            Some((known, star)) => (known, Some(star)),
            None => return UNTOLD,
        },
    };
    bounded(known, star).unwrap_or(UNTOLD)
}

fn bounded(
    known: Vec<Option<Made>>,
    star: Option<usize>,
) -> Option<(Vec<Option<Made>>, Option<usize>)> {
    let names = |made: &Made| made.columns.len() + made.others.len();
    let kept: usize = known.iter().flatten().map(names).sum();
    (kept <= limits::LINEAGE_NAMES_MAX).then_some((known, star))
}

/// The columns of RETURNING: of what is written, and of what stands in FROM or USING. What is
/// assigned to a column is judged where it is stored.
fn returned(written: &Tree) -> Option<(Vec<Option<Made>>, Option<usize>)> {
    let clause = written.field("returning_clause");
    let targets = clause.field("exprs").items();
    // OLD and NEW by other names.
    if targets.is_empty() || !clause.field("options").items().is_empty() {
        return None;
    }
    let effort = Effort::default();
    let outside = Scope { effort: &effort, withs: None, level: None, outer: None };
    let withs = withs_of(written, &outside);
    let scope = Scope { withs: Some(&withs), ..outside };
    let beside = [written.field("from_clause"), written.field("using_clause")];
    let level = rows::written(written.field("relation"), beside, &scope);
    let scope = Scope { level: Some(&level), outer: Some(&scope), ..scope };
    let is_star = |target: &Tree| expands(target.field("val")).is_some();
    let first = targets.iter().position(is_star);
    let last = targets.iter().rposition(is_star);
    let behind = last.map_or(targets.len(), |last| last + 1);
    let single = targets.iter().take(first.unwrap_or(behind)).chain(targets.iter().skip(behind));
    let known: Vec<_> = single.map(|target| of_value(target.field("val"), &scope)).collect();
    scope.effort.has_room(known.len()).then_some(())?;
    bounded(known, first)
}

/// The columns before the first star and behind the last one, and how many come before: each of
/// them is one, whatever the stars are.
fn around_stars(select: &Tree, outer: &Scope<'_>) -> Option<(Vec<Option<Made>>, usize)> {
    let simple = select.field("op").number() <= SetOperation::SetopNone as i64
        && *select.field("into_clause") == Tree::Nothing;
    let targets = select.field("target_list").items();
    let is_star = |target: &Tree| expands(target.field("val")).is_some();
    let first = targets.iter().position(is_star).filter(|_| simple)?;
    let last = targets.iter().rposition(is_star)?;
    let withs = withs_of(select, outer);
    let scope = Scope { withs: Some(&withs), ..*outer };
    let level = rows::level(select.field("from_clause").items(), &scope);
    let scope = Scope { level: Some(&level), outer: Some(&scope), ..scope };
    let single = targets.iter().take(first).chain(targets.iter().skip(last + 1));
    let known: Vec<_> = single.map(|target| of_value(target.field("val"), &scope)).collect();
    scope.effort.has_room(known.len()).then_some((known, first))
}

/// The columns of a query; `outer` is what it stands in.
fn of_select(select: &Tree, outer: &Scope<'_>) -> Columns {
    if select.kind() != "SelectStmt" || *select.field("into_clause") != Tree::Nothing {
        return Columns::Unknown;
    }
    let withs = withs_of(select, outer);
    let scope = Scope { withs: Some(&withs), ..*outer };
    if select.field("op").number() > SetOperation::SetopNone as i64 {
        let one = of_select(select.field("larg"), &scope);
        return one.joined(of_select(select.field("rarg"), &scope), &scope);
    }
    match select.field("values_lists").items() {
        [] => of_targets(select, &scope),
        lists => of_values(lists, &scope),
    }
}

/// The queries of a WITH.
fn withs_of<'t>(select: &'t Tree, outer: &Scope<'t>) -> Withs<'t> {
    let mut withs = Withs { named: Vec::new(), outer: outer.withs };
    let with = select.field("with_clause");
    for query in with.field("ctes").items() {
        let scope = Scope { withs: Some(&withs), ..*outer };
        let columns = match with.field("recursive").number() {
            0 => of_select(query.field("ctequery"), &scope),
            _ => Columns::Unknown,
        };
        let columns = columns.renamed(query.field("aliascolnames").items());
        withs.named.push((query.field("ctename").text().to_owned(), columns));
    }
    withs
}

fn of_targets(select: &Tree, scope: &Scope<'_>) -> Columns {
    let level = rows::level(select.field("from_clause").items(), scope);
    let scope = Scope { level: Some(&level), outer: Some(scope), ..*scope };
    let (mut known, mut through) = (Vec::new(), false);
    for target in select.field("target_list").items() {
        let value = target.field("val");
        if let Some(row) = expands(value) {
            match scope.expanded(row) {
                Columns::These { known: more, through: also } => {
                    known.extend(more);
                    through |= also;
                }
                Columns::Any(_) | Columns::Own | Columns::Unknown => return Columns::Unknown,
            }
        } else {
            let name = match target.field("name").text() {
                "" => implied_name(value).map(str::to_owned),
                name => Some(name.to_owned()),
            };
            known.push((name, of_value(value, &scope)));
        }
        if !scope.effort.has_room(known.len()) {
            return Columns::Unknown;
        }
    }
    Columns::These { known, through }
}

/// The rows of VALUES: a column is made of what stands in its place in each.
fn of_values(lists: &[Tree], scope: &Scope<'_>) -> Columns {
    let row = |list: &Tree| {
        let values = list.items().iter().map(|value| (None, of_value(value, scope)));
        Columns::These { known: values.collect(), through: false }
    };
    let all = lists.iter().map(row).reduce(|one, other| one.joined(other, scope));
    match all {
        Some(Columns::These { mut known, .. }) => {
            let names = known.iter_mut().enumerate();
            names.for_each(|(at, (name, _))| *name = Some(format!("column{}", at + 1)));
            Columns::These { known, through: false }
        }
        _ => Columns::Unknown,
    }
}

/// What a column is called that no AS gives a name (parse_target.c, `FigureColname`); `None` where
/// that is not plain to see.
fn implied_name(value: &Tree) -> Option<&str> {
    match value.kind() {
        "ColumnRef" => value.field("fields").items().last().map(Tree::text),
        "FuncCall" => value.field("funcname").items().last().map(Tree::text),
        _ => None,
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

fn of_value(value: &Tree, scope: &Scope<'_>) -> Option<Made> {
    let mut made = Made::default();
    (is_sure(value) || collect(value, scope, &mut made)).then_some(made)
}

/// Whether everything below is known for what it takes.
fn collect(tree: &Tree, scope: &Scope<'_>, made: &mut Made) -> bool {
    match tree {
        Tree::List(items) => items.iter().all(|item| collect(item, scope, made)),
        Tree::Text(_) | Tree::Number(_) | Tree::Nothing => true,
        Tree::Node { kind: "ColumnRef", .. } => scope.column(tree.field("fields").items(), made),
        Tree::Node { kind: "SubLink", .. } => is_exists(tree) || of_sub_link(tree, scope, made),
        Tree::Node { kind: "FuncCall", .. } if shows_texts(tree) => false,
        Tree::Node { kind: "AIndirection", fields } => {
            let steps = tree.field("indirection").items();
            if steps.iter().any(|step| step.kind() == "AStar") {
                return false;
            }
            made.others.extend(steps.iter().map(|step| Box::from(step.text())));
            fields.iter().all(|(_, child)| collect(child, scope, made))
        }
        Tree::Node { kind, fields } => {
            COMPUTING.contains(kind) && fields.iter().all(|(_, child)| collect(child, scope, made))
        }
    }
}

/// A query that is a value, or an array of values; one that is compared is not told.
fn of_sub_link(link: &Tree, scope: &Scope<'_>, made: &mut Made) -> bool {
    let kinds = [SubLinkType::ExprSublink, SubLinkType::ArraySublink];
    let kind = link.field("sub_link_type").number();
    if !kinds.iter().any(|known| *known as i64 == kind) {
        return false;
    }
    match of_select(link.field("subselect"), scope) {
        Columns::These { known, through: false } => {
            known.iter().all(|(_, column)| scope.effort.merge(made, column.as_ref()))
        }
        _ => false,
    }
}

/// `*`, `t.*`, `(expression).*`: as many columns as something else has. The fields before the star;
/// none that name anything for the last form.
fn expands(value: &Tree) -> Option<Star<'_>> {
    let is_star = |part: &Tree| part.kind() == "AStar";
    match value.kind() {
        "ColumnRef" => match value.field("fields").items() {
            [only] if is_star(only) => Some(Star::All),
            [row, last] if is_star(last) => Some(Star::Of(row.text())),
            parts => parts.iter().any(is_star).then_some(Star::Other),
        },
        "AIndirection" => {
            value.field("indirection").items().iter().any(is_star).then_some(Star::Other)
        }
        _ => None,
    }
}

/// What a star expands.
#[derive(Clone, Copy, Debug)]
enum Star<'t> {
    /// All rows of FROM.
    All,
    /// The row of this name.
    Of(&'t str),
    /// Something else.
    Other,
}

/// Constants, parameters, the time, EXISTS, and functions that take no value of a row.
fn is_sure(value: &Tree) -> bool {
    match value.kind() {
        "AConst" | "ParamRef" | "SqlvalueFunction" | "SqlValueFunction" => true,
        "SubLink" => is_exists(value),
        "FuncCall" => counts(value),
        _ => false,
    }
}

/// Whether it tells what others run, whatever it is given.
fn shows_texts(call: &Tree) -> bool {
    let name = call.field("funcname").items().last().map_or("", Tree::text);
    functions::SHOW_TEXTS.contains(&name)
}

fn is_exists(link: &Tree) -> bool {
    link.field("sub_link_type").number() == SubLinkType::ExistsSublink as i64
}

/// `count(*)`, `now()`, `row_number() OVER ..`; without a filter, an order or arguments.
fn counts(call: &Tree) -> bool {
    let none = |field: &str| call.field(field).items().is_empty();
    let bare = none("args")
        && none("agg_order")
        && *call.field("agg_filter") == Tree::Nothing
        && call.field("agg_within_group").number() == 0;
    let name = match call.field("funcname").items() {
        [name] => name.text(),
        [schema, name] if schema.text() == "pg_catalog" => name.text(),
        _ => return false,
    };
    let over = *call.field("over") != Tree::Nothing;
    let star = call.field("agg_star").number() != 0;
    bare && match name {
        "count" => star && !over,
        "now" | "statement_timestamp" | "clock_timestamp" => !star && !over,
        "row_number" | "rank" | "dense_rank" => !star && over,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Option<Made>> {
        let parsed = pg_query::parse(text, 0).unwrap();
        let node = parsed.protobuf.stmts[0].stmt.as_ref().unwrap().node.as_ref().unwrap();
        columns(&Tree::of(node).unwrap()).0
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
        check("select c.to_json from c", None);
        check("select extract(year from at), coalesce(a, 0) from c", Some(&["at"]));
        check("select upper(c) from c", None);
        check("select upper(x) from c x", None);
        check("select upper(c.*) from c", None);
        check("select (c).ssn from c", None);
        check("select upper(a) from c x (a)", None);
        check("select upper(a) from (select ssn as a from c) x", Some(&["ssn"]));
        check("select upper(a) from f() a", Some(&[]));
        check("with c as (select ssn as a from d) select upper(a) from c", Some(&["ssn"]));
        check("select upper(a) from (c join d using (id)) x", None);
        check("select (select max(ssn) from c) || a from d", Some(&["ssn", "a"]));
        check("select xmlforest(a) from c", None);
        // Function notation: another relation may have a column of that name.
        check("select c.concat from c, d", None);
        check("select t.row_to_json from (select * from c) t, d", None);
    }

    fn names(made: &Option<Made>) -> Option<Vec<&str>> {
        let mut names: Vec<&str> = made.as_ref()?.columns.iter().map(|it| &**it).collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    fn check(text: &str, expect: &[Option<&[&str]>]) {
        let found = of(text);
        let made: Vec<Option<Vec<&str>>> = found.iter().map(names).collect();
        let expect: Vec<Option<Vec<&str>>> =
            expect.iter().map(|names| names.map(<[&str]>::to_vec)).collect();
        assert_eq!(made, expect, "{text}");
    }

    #[test]
    fn queries_in_from_and_with_are_looked_through() {
        let none: Option<&[&str]> = Some(&[]);
        check(
            "select date_trunc('month', t.born)::date m, count(*) from (select * from c) t",
            &[Some(&["born"]), none],
        );
        check(
            "select name, sum(total) from (select c.name, c.email, o.total from c join o on \
             c.id = o.c) t group by name",
            &[Some(&["name"]), Some(&["total"])],
        );
        check(
            "select a.* from (select row_number() over (order by c.id) rn, c.id, c.name from c) a",
            &[none, Some(&["id"]), Some(&["name"])],
        );
        check("select \"n\" from (select count(*) as \"n\" from c group by name) s", &[none]);
        check(
            "with c as (select * from customers), o as (select * from orders) \
             select c.name, sum(o.total) from c join o on c.id = o.c group by 1",
            &[Some(&["name"]), Some(&["total"])],
        );
        check(
            "with s as (select id, name from c) select null::bigint, pg_catalog.count(t), \
             coalesce(json_agg(t), '[]') from (select * from s) t",
            &[none, Some(&["id", "name"]), Some(&["id", "name"])],
        );
        check(
            "select id, email from c union all select id, '' from o",
            &[Some(&["id"]), Some(&["email"])],
        );
    }

    #[test]
    fn what_is_returned_is_made_of_what_is_written_and_read() {
        let none: Option<&[&str]> = Some(&[]);
        check(
            "insert into c (id) values (1) on conflict (id) do update set email = excluded.email \
             returning id, xmax = 0, upper(name), 1",
            &[Some(&["id"]), Some(&["xmax"]), Some(&["name"]), none],
        );
        check("insert into c values (1) returning *, (xmax = 0) as fresh", &[Some(&["xmax"])]);
        check(
            "update c x set a = 1 from (select ssn as s from d) y returning upper(s), x.a + 1",
            &[Some(&["ssn"]), Some(&["a"])],
        );
        check("delete from c using d where c.id = d.id returning d.b || c.a", &[Some(&["a", "b"])]);
        // The table, and not the query of its name.
        check(
            "with c as (select 1 as ssn) update c set a = 1 returning upper(ssn)",
            &[Some(&["ssn"])],
        );
        check("update c set a = 1 returning upper(c), old.a, c::text", &[None, None, None]);
        check("update c set a = 1 returning with (old as o) o.a", &[]);
        check("update c set a = 1", &[]);
        check("merge into c using d on c.a = d.a when matched then delete returning c.a", &[]);
    }

    #[test]
    fn what_stands_beside_a_star_is_told_by_its_place() {
        let around = |text: &str| {
            let parsed = pg_query::parse(text, 0).unwrap();
            let node = parsed.protobuf.stmts[0].stmt.as_ref().unwrap().node.as_ref().unwrap();
            let (made, star) = columns(&Tree::of(node).unwrap());
            let made: Vec<_> = made
                .iter()
                .map(|it| names(it).map(|it| it.join(",")).unwrap_or("?".to_owned()))
                .collect();
            (made.join(" "), star)
        };
        let check = |text: &str, made: &str, star| {
            assert_eq!(around(text), (made.to_owned(), star), "{text}");
        };
        check("select a || '', c.*, upper(b), 1 from c", "a b ", Some(1));
        check("select *, row_number() over (order by id) from c", "", Some(0));
        check("select c.*, upper(ssn) from c", "ssn", Some(0));
        check("select c.*, 1, d.*, max(x.y) from c, d, (select ssn as y from c) x", "ssn", Some(0));
        check("select (c).*, upper(x) from c x", "?", Some(0));
        check("with q as (select ssn as z from c) select upper(z), c.* from q, c", "ssn", Some(1));
        check("select *, 1 from c union select *, 2 from d", "", None);
        check("select * from c", "", Some(0));
    }

    #[test]
    fn a_name_stands_for_what_gave_it() {
        let none: Option<&[&str]> = Some(&[]);
        check("select v.x, v.id from (values (1, 'a'), (2, a)) v(id, x)", &[None, none]);
        check(
            "select x from (select a.b as x, lateral_.y from a, lateral (select a.ssn || '' as y) \
               lateral_) t",
            &[Some(&["b"])],
        );
        check("select y from a, lateral (select a.ssn || '' as y) l", &[Some(&["ssn"])]);
        check(
            "select b || '' from (select ssn as a from c) x, lateral (select a as b) y",
            &[Some(&["ssn"])],
        );
        check(
            "select id || '' from a join (select ssn as id from c) s using (id)",
            &[Some(&["ssn"])],
        );
        check("select g + 1 from generate_series(1, 9) g", &[none]);
        check("select u || '' from c, unnest(c.tags) u", &[Some(&["tags"])]);
        check("select row_to_json(t) from (select id, name from c) t", &[Some(&["id", "name"])]);
        check("select row_to_json(o) from o join c on true", &[None]);
        check("select t from (select id, ssn from c) t", &[Some(&["id", "ssn"])]);
        check("select name from (select ssn as name from c) t", &[Some(&["ssn"])]);
        check("select t.name from (select ssn as other, * from c) t", &[Some(&["name"])]);
        check("select t.other from (select ssn as other, * from c) t", &[Some(&["ssn"])]);
        check("select b from (select ssn, id from c) t(a, b)", &[Some(&["id"])]);
        check("select a from (select ssn, id from c) t(a)", &[Some(&["ssn"])]);
        check("select a from (select * from c) t(a)", &[None]);
        check("select \"coalesce\" from (select coalesce(ssn, '') from c) t", &[Some(&["ssn"])]);
        check("select (select max(s.x) from (select ssn as x from c) s)", &[Some(&["ssn"])]);
        for unknown in [
            "with recursive r as (select ssn as a from c union all select a from r) \
             select a from r",
            "with d as (delete from c returning ssn as a) select a from d",
            "select a from (select (c).* from c) t",
            "select t.nothing from (select id from c) t",
            "select x.a from (c join d using (id)) x",
            "select a from json_table('[]', '$' columns (a int path '$')) t",
        ] {
            check(unknown, &[None]);
        }
    }

    #[test]
    fn columns_of_columns_end() {
        let doubled = (0..40).map(|n| format!("w{} as (select w.*, w.* from w{n} w)", n + 1));
        let all: Vec<String> = doubled.collect();
        let text =
            format!("with w0 as (select ssn as a from c), {} select a from w40", all.join(", "));
        assert_eq!(of(&text), [None]);
        let wide: Vec<String> = (0..1_600).map(|n| format!("c{n}")).collect();
        let rows = "row_to_json(t), ".repeat(400);
        let text = format!("select {rows} 1 from (select {} from c) t", wide.join(", "));
        assert!(of(&text).is_empty() || of(&text).iter().any(Option::is_none));
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
            "select * from c",
            "select *, 1 from c union select *, 2 from d",
            "select 1 union select * from c",
            "values (1)",
            "table c",
            "explain select 1",
            "select 1 into x",
            "merge into c using d on true when matched then delete returning 1",
            "fetch x",
        ] {
            assert!(sure(text).is_empty(), "{text}");
        }
    }
}
