use super::UseKind::{AssignedCast, Field, Function, ImplicitCast, Operator, Type};
use super::*;
use crate::decide::sql::classify::classify_uncached;
use crate::wire::Protocol;

fn code(names: &[(UseKind, &str)]) -> OwnCode {
    OwnCode::new(names.iter().map(|&(kind, name)| Told::Runs(used(kind, name))))
}

fn used(kind: UseKind, name: &str) -> Use {
    Use { kind, name: name.into() }
}

fn classes(text: &str, code: Option<&OwnCode>) -> String {
    let known = judged(Rc::new(classify_uncached(text.as_bytes())), code);
    let [statement] = known.statements.as_slice() else { panic!("{text}: {known:?}") };
    let [act] = known.action.acts.as_slice() else { panic!("{text}: {known:?}") };
    assert_eq!(act.classes, statement.classes, "{text}");
    statement.classes.words(Protocol::Postgres)
}

/// What a text is at a target that has this name, and at one that has nothing of its own.
fn check(own: (UseKind, &str), with: &str, without: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(classes(text, Some(&code(&[own]))), with, "{own:?} {text}");
        assert_eq!(classes(text, Some(&OwnCode::default())), without, "{text}");
    }
}

#[test]
fn columns_may_be_functions_of_the_row() {
    let own = (Field, "computed");
    let reads = [
        "SELECT o.computed FROM orders o WHERE id = 1",
        "SELECT orders.computed FROM orders",
        "SELECT public.orders.computed FROM public.orders",
        "SELECT 1 FROM orders o WHERE o.computed = 1",
        "SELECT x.computed FROM generate_series(4, 4) x, t",
        "SELECT o.computed FROM (SELECT * FROM orders) o",
        "WITH o AS (SELECT * FROM orders) SELECT o.computed FROM o",
        "SELECT (o).computed FROM orders o",
        "SELECT (o.part).computed FROM orders o",
        "SELECT o.part[1].computed FROM orders o",
        "EXPLAIN SELECT o.computed FROM orders o",
        "COPY (SELECT o.computed FROM orders o) TO STDOUT",
        "PREPARE z AS SELECT o.computed FROM orders o",
        "DECLARE z CURSOR FOR SELECT o.computed FROM orders o",
    ];
    check(own, "read, call", "read", &reads);
    check(own, "read, call", "read", &["SELECT ($1).computed", "SELECT (ROW(1, 2)).computed"]);
    let writes = [
        "UPDATE orders o SET cents = o.computed WHERE o.id = 1",
        "DELETE FROM orders o WHERE o.id = 1 RETURNING o.computed",
        "INSERT INTO orders VALUES (1) RETURNING orders.computed",
    ];
    check(own, "write, call", "write", &writes);
    let others = [
        "SELECT computed FROM orders",
        "SELECT o.cents, (o).cents, (c).ssn, o.* FROM orders o, customers c",
        "SELECT 1 AS computed FROM computed",
        "SELECT \"Computed\" FROM orders",
    ];
    check(own, "read", "read", &others);
}

#[test]
fn names_of_built_in_functions_may_be_of_users() {
    let reads = [
        "SELECT lower('x')",
        "SELECT a FROM t WHERE lower(a) = 'x'",
        "SELECT count(*) FILTER (WHERE lower(a) = 'x') OVER () FROM t",
        "SELECT * FROM lower('x')",
        "EXPLAIN SELECT lower('x')",
    ];
    check((Function, "lower"), "read, call", "read", &reads);
    check((Function, "sum"), "read, call", "read", &["SELECT sum(x) FROM t"]);
    check((Function, "lower"), "write, call", "write", &["INSERT INTO t VALUES (lower('X'))"]);
    check((Function, "nextval"), "write, call", "write", &["SELECT nextval('s')"]);
    let set = ["SELECT set_config('a.b', 'c', false)"];
    check((Function, "set_config"), "session, call", "session", &set);
    let others =
        ["SELECT pg_catalog.lower('x')", "SELECT t.lower, lower FROM t", "SELECT upper('x')"];
    check((Function, "lower"), "read", "read", &others);
    let system = (Function, "pg_catalog.lower");
    check(system, "read, call", "read", &["SELECT pg_catalog.lower('x')"]);
}

#[test]
fn operators_may_be_of_users() {
    check((Operator, "+"), "read, call", "read", &["SELECT o + 1 FROM orders o", "SELECT + a"]);
    check((Operator, "+"), "read", "read", &["SELECT 1 OPERATOR(pg_catalog.+) 2", "SELECT a - 1"]);
    let equal = [
        "SELECT 1 FROM t WHERE a = 1",
        "SELECT 1 FROM t WHERE a IN (1, 2)",
        "SELECT 1 FROM t WHERE a IN (SELECT b FROM u)",
        "SELECT 1 FROM t WHERE a = ANY (SELECT b FROM u)",
        "SELECT 1 FROM t JOIN u USING (a)",
        "SELECT 1 FROM t NATURAL JOIN u",
        "SELECT CASE a WHEN 1 THEN 2 END FROM t",
        "SELECT NULLIF(a, 1) FROM t",
        "SELECT a IS DISTINCT FROM b FROM t",
    ];
    check((Operator, "="), "read, call", "read", &equal);
    let unequal =
        ["SELECT CASE WHEN a THEN 1 END FROM t", "SELECT 1 FROM t WHERE EXISTS (SELECT 1)"];
    check((Operator, "="), "read", "read", &unequal);
    check((Operator, "<="), "read, call", "read", &["SELECT a BETWEEN 1 AND 2 FROM t"]);
    check(
        (Operator, "<>"),
        "read, call",
        "read",
        &["SELECT a != 1 FROM t", "SELECT a <> 1 FROM t"],
    );
    check((Operator, "~~"), "read, call", "read", &["SELECT a LIKE 'x' FROM t"]);
    check((Operator, "<"), "read, call", "read", &["SELECT a FROM t ORDER BY a USING <"]);
}

#[test]
fn casts_and_domains_may_run_code() {
    let reads = [
        "SELECT o::mood FROM orders o",
        "SELECT CAST(o AS mood) FROM orders o",
        "SELECT CAST(o AS public.mood) FROM orders o",
        "SELECT mood 'a'",
        "SELECT '{}'::mood[]",
        "SELECT * FROM json_to_record('{}') AS x(a mood)",
        "SELECT ('a').mood",
    ];
    check((Type, "mood"), "read, call", "read", &reads);
    check((Type, "int4"), "read, call", "read", &["SELECT o::int FROM o", "SELECT int4(o) FROM o"]);
    check((Type, "mood"), "read", "read", &["SELECT a::text, mood FROM t", "SELECT 'mood'"]);
    check((Type, "mood"), "ddl", "ddl", &["CREATE TABLE t (a mood)"]);
    let computes = ["SELECT 1 FROM t", "SELECT a || 'x' FROM t"];
    check((ImplicitCast, "to_int"), "read, call", "read", &computes);
    check((ImplicitCast, "to_int"), "transaction", "transaction", &["COMMIT"]);
}

#[test]
fn arguments_of_execute_are_judged_too() {
    let lower = code(&[(Function, "lower")]);
    let known = Rc::new(classify_uncached(b"EXECUTE p(lower('x'))"));
    assert_eq!(known.statements[0].effect, Consequence::Execute("p".to_owned()));
    let found = judged(Rc::clone(&known), Some(&lower));
    assert_eq!(found.statements[0].effect, Consequence::None);
    assert_eq!(found.action.classes, ["call", "unknown"]);
    assert_eq!(judged(Rc::clone(&known), Some(&OwnCode::default())), known);
}

#[test]
fn without_a_catalog_everything_ambiguous_is_a_call() {
    for text in ["SELECT o.a FROM o", "SELECT lower('x') FROM o", "SELECT a + 1 FROM o"] {
        assert_eq!(classes(text, None), "read, call", "{text}");
    }
    for text in ["SELECT a FROM o", "SELECT 1", "SELECT * FROM o"] {
        assert_eq!(classes(text, None), "read", "{text}");
    }
    assert_eq!(classes("COMMIT", None), "transaction");
}

#[test]
fn rules_hear_which_function_it_is() {
    let known = Rc::new(classify_uncached(b"SELECT 1; SELECT o.total FROM o"));
    let found = judged(known, Some(&code(&[(Field, "total")])));
    let [first, second] = found.statements.as_slice() else { panic!("{found:?}") };
    assert_eq!(first.classes, Class::Read.only());
    assert!(second.whole_rows);
    assert_eq!(second.facts, [Fact::is(FactKind::Function, "total")]);
    assert_eq!(&*second.causes[0].name, "function total");
}

#[test]
fn what_was_found_clear_is_not_looked_at_again() {
    let (none, total) = (OwnCode::default(), code(&[(Field, "total")]));
    let known = Rc::new(classify_uncached(b"SELECT o.total FROM o"));
    for _ in 0..2 {
        assert!(Rc::ptr_eq(&judged(Rc::clone(&known), Some(&none)), &known));
        assert_eq!(judged(Rc::clone(&known), Some(&total)).action.classes, ["read", "call"]);
    }
    assert_eq!(none, OwnCode::default());
    assert_ne!(none, total);
}

/// An enum `mood` of users, with casts to int4: explicit, implicit, on assignment.
#[test]
fn code_that_takes_values_of_a_type_runs_only_where_such_values_are() {
    let brings = [(Type, "mood"), (Function, "lower"), (Operator, "->"), (Field, "worst")];
    let target = |runs: Use| {
        let brings = brings.map(|(kind, name)| Told::Brings(used(kind, name)));
        let plain = ["orders", "pg_class"].map(|name| Told::Plain(name.into()));
        OwnCode::new(brings.into_iter().chain(plain).chain([Told::RunsOnValues(runs)]))
    };
    let check = |runs: Use, classes: &str, texts: &[&str]| {
        for text in texts {
            assert_eq!(
                self::classes(text, Some(&target(runs.clone()))),
                classes,
                "{runs:?} {text}"
            );
        }
    };
    let plain = ["SELECT 1", "SELECT '1'::int", "SELECT $1::int", "SELECT now()::date::int"];
    let tables = [
        "SELECT a::int FROM orders",
        "SELECT a::int FROM public.orders o JOIN pg_catalog.pg_class c USING (oid) ORDER BY a",
        "WITH x AS (SELECT a FROM orders) SELECT DISTINCT a::int FROM x",
    ];
    let moods = [
        "SELECT m::int FROM moods",
        "SELECT 1::int FROM orders, moods",
        "SELECT a::int FROM orders WHERE EXISTS (SELECT m FROM moods)",
        "SELECT 'a'::mood::int",
        "SELECT int4(mood 'a')",
        "SELECT a::int FROM json_to_record('{}') AS x(a mood)",
        "SELECT lower('x')::int",
        "SELECT (a -> 1)::int FROM orders",
        "SELECT o.worst::int FROM orders o",
        "SELECT (o).mood::int FROM orders o",
    ];
    let int = used(Type, "int4");
    check(int.clone(), "read", &plain);
    check(int.clone(), "read", &tables);
    check(int, "read, call", &moods);
    let implicit = used(ImplicitCast, "to_int");
    check(implicit.clone(), "read", &plain);
    check(implicit.clone(), "read", &tables);
    check(implicit.clone(), "read, call", &moods);
    check(implicit.clone(), "read, call", &["SELECT * FROM moods", "TABLE unheard_of"]);
    check(implicit, "session", &["SHOW a"]);
    let assigned = used(AssignedCast, "to_int");
    check(assigned.clone(), "read", &["SELECT m FROM moods"]);
    check(assigned.clone(), "write", &["INSERT INTO orders VALUES (1)"]);
    check(assigned.clone(), "read, write, call", &["INSERT INTO orders SELECT m FROM moods"]);
    check(assigned, "write, call", &["UPDATE orders SET a = 'a'::mood WHERE a = 1"]);
}
