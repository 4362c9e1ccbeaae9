use super::super::catalog::{Column as Known, Relation};
use super::*;
use crate::decide::sql::{Made, Stored};
use crate::decide::{Class, Consequence, Object};
use crate::mask::edits::Edits;

const PEOPLE: u32 = 20_001;
const PEOPLE_VIEW: u32 = 20_002;
const ORDERS: u32 = 20_003;
const PEOPLE_ROW: u32 = 20_004;

fn catalog() -> Catalog {
    let column = |attnum, name: &str, type_oid| Known { attnum, name: name.into(), type_oid };
    let relation = |oid, name: &str, kind, sources: &[u32], columns: Vec<Known>| Relation {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind,
        sources: sources.to_vec(),
        columns,
    };
    let mut catalog = Catalog::new([
        relation(
            PEOPLE,
            "people",
            b'r',
            &[],
            vec![column(1, "id", 23), column(3, "ssn", 25), column(4, "pay", 1700)],
        ),
        relation(
            PEOPLE_VIEW,
            "people_view",
            b'v',
            &[PEOPLE],
            vec![column(1, "id", 23), column(2, "tax_no", 25)],
        ),
        relation(ORDERS, "orders", b'r', &[], vec![column(1, "note", 25)]),
    ]);
    catalog.row_types.insert(PEOPLE_ROW, vec![PEOPLE]);
    catalog
}

fn spec(columns: &[&str], detect: &[&str], operator: Operator) -> MaskSpec {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    MaskSpec {
        columns: owned(columns),
        paths: Vec::new(),
        objects: vec![],
        detect: owned(detect),
        operator,
        targets: Vec::new(),
        except_groups: owned(&["pii-readers"]),
    }
}

fn policy() -> Policy {
    Policy::compile(&[
        spec(&["public.people.ssn", "public.people.pay"], &[], Operator::Partial),
        spec(&[], &["email"], Operator::Redact),
    ])
}

fn view() -> View {
    policy().view("any", &["agents".to_owned()])
}

fn field(table_oid: u32, attnum: i16, type_oid: u32) -> Field<'static> {
    Field { name: b"x", table_oid, attnum, type_oid, format: 0 }
}

fn statement(objects: &[&str], columns: &[&str], whole_rows: bool) -> Statement {
    let object = |name: &&str| Object::bare(*name, false);
    Statement {
        classes: Class::Read.only(),
        operation: "SELECT".into(),
        objects: objects.iter().map(object).collect(),
        columns: columns.iter().map(|name| (*name).into()).collect(),
        whole_rows,
        made: Vec::new(),
        star: None,
        stored: None,
        shows: Vec::new(),
        cascades: false,
        sinks: Vec::new().into(),
        effect: Consequence::None,
        cursors: [].into(),
        facts: Vec::new(),
        causes: Vec::new(),
        uses: Vec::new().into(),
    }
}

/// What the client sees of a row whose only value is `value`; `None` for NULL.
fn shown(plan: &Plan, value: &str) -> Option<String> {
    let mut body = vec![0, 1];
    body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend_from_slice(value.as_bytes());
    let (mut edits, mut hits, mut out) = (Edits::default(), Hits::default(), Vec::new());
    plan.row(&body, &mut edits, &mut hits).unwrap();
    edits.apply(&body, &mut out);
    let length = i32::from_be_bytes(out[2..6].try_into().unwrap());
    (length >= 0).then(|| {
        assert_eq!(out.len(), 6 + usize::try_from(length).unwrap());
        String::from_utf8(out.split_off(6)).unwrap()
    })
}

const SSN: &str = "123-45-6789";

#[track_caller]
fn check(field: Field<'_>, statements: Option<&[Statement]>, expect: Result<Option<&str>, ()>) {
    let catalog = catalog();
    let planned = match view().plan(Some(&catalog), &[field], statements) {
        Planned::Ready(plan) => Ok(shown(&plan, SSN)),
        Planned::NeedCatalog => {
            let closed = view().plan_closed(Some(&catalog), &[field], statements);
            assert_ne!(shown(&closed, SSN).as_deref(), Some(SSN), "a closed plan shows nothing");
            Err(())
        }
    };
    assert_eq!(planned, expect.map(|shown| shown.map(str::to_owned)));
}

#[test]
fn the_servers_witness() {
    let clean = &[statement(&[], &[], false)][..];
    check(field(PEOPLE, 3, 25), Some(clean), Ok(Some("***-**-6789")));
    check(field(PEOPLE, 4, 1700), Some(clean), Ok(None));
    check(field(PEOPLE, 1, 25), Some(clean), Ok(Some(SSN)));
    check(field(PEOPLE, -1, 25), Some(clean), Ok(Some(SSN)));
    check(field(ORDERS, 1, 25), Some(clean), Ok(Some(SSN)));
    // Whole rows: a composite value of a masked relation is NULL, of another it is scanned.
    check(field(PEOPLE, 0, PEOPLE_ROW), Some(clean), Ok(None));
    check(field(ORDERS, 0, PEOPLE_ROW), Some(clean), Ok(Some(SSN)));
    // A clean column that holds such rows since the catalog was read.
    check(field(ORDERS, 1, PEOPLE_ROW), Some(clean), Ok(None));
    // A view's column of unknown origin.
    check(field(PEOPLE_VIEW, 2, 25), Some(clean), Ok(None));
    // Stale: an unknown relation, an unknown column. System relations are no reason to ask.
    check(field(30_000, 1, 25), Some(clean), Err(()));
    check(field(PEOPLE, 9, 25), Some(clean), Err(()));
    check(field(1259, 2, 25), Some(clean), Ok(Some(SSN)));
    check(field(12_345, 2, types::ANYARRAY), Some(clean), Ok(None));
}

#[test]
fn the_statements_witness() {
    let expression = field(0, 0, 25);
    let number = field(0, 0, 20);
    for (statement, touched) in [
        (statement(&["people"], &["ssn"], false), true),
        (statement(&["people"], &[], true), true),
        (statement(&["people"], &["id"], false), false),
        (statement(&["people_view"], &["tax_no"], false), true),
        (statement(&["orders"], &["ssn"], true), false),
        (statement(&["orders", "people"], &["note", "pay"], false), true),
        (statement(&["pg_class"], &["relname"], true), false),
        (statement(&["pg_stats"], &["most_common_vals"], false), true),
        (statement(&[], &[], true), false),
    ] {
        let statements = &[statement][..];
        let shown = (!touched).then_some(SSN);
        check(expression, Some(statements), Ok(shown));
        check(number, Some(statements), Ok(shown));
    }
    check(expression, None, Ok(None));
    check(expression, Some(&[statement(&["created_since"], &[], false)]), Err(()));
    for (class, operation, effect) in [
        (Class::Unknown, "EXECUTE", Consequence::Execute("s".into())),
        (Class::Read, "FETCH", Consequence::Fetch("c".into())),
        (Class::Call, "CALL", Consequence::None),
        (Class::FunctionCall, "", Consequence::None),
    ] {
        let mut opaque = statement(&[], &[], false);
        opaque.classes = class.only();
        opaque.operation = operation.into();
        opaque.effect = effect;
        check(expression, Some(&[opaque]), Ok(None));
    }
    // Names whose meaning is known are what they stand for.
    for (operation, column, shown) in
        [("EXECUTE", "id", Some(SSN)), ("FETCH", "id", Some(SSN)), ("FETCH", "ssn", None)]
    {
        let mut resolved = statement(&["people"], &[column], false);
        resolved.operation = operation.into();
        check(expression, Some(&[resolved]), Ok(shown));
    }
}

#[test]
fn texts_of_what_others_run_are_hidden_from_who_has_masks() {
    let texts = |oid, schema: &str, name: &str, columns: &[&str]| Relation {
        schema: schema.into(),
        ..Relation::of_texts((oid, name), b'v', &[], columns)
    };
    let mut catalog = catalog();
    let activity = texts(12_300, "pg_catalog", "pg_stat_activity", &["state", "query"]);
    let statements = texts(20_300, "ext", "pg_stat_statements", &["query", "plans"]);
    catalog.relations.extend([activity, statements].map(|it| (it.oid, it)));
    let catalogs = [Some(&catalog), None];
    let shows = |view: &View, field: Field<'_>, said: Statement, catalog: Option<&Catalog>| {
        let plan = view.plan_closed(catalog, &[field], Some(&[said]));
        shown(&plan, "ALTER ROLE boss").is_some()
    };
    let said = |columns: &[&str]| statement(&["pg_stat_activity"], columns, false);
    let free = policy().view("any", &["pii-readers".to_owned()]);
    let detecting = Policy::compile(&[spec(&[], &["email"], Operator::Redact)]).view("any", &[]);
    for catalog in catalogs {
        let query = || said(&["query"]);
        assert!(!shows(&view(), field(12_300, 2, 25), query(), catalog));
        assert!(!shows(&view(), field(0, 0, 25), query(), catalog), "left(query, 60)");
        assert!(shows(&free, field(12_300, 2, 25), query(), catalog));
        assert!(shows(&detecting, field(12_300, 2, 25), query(), catalog));
    }
    let known = Some(&catalog);
    assert!(shows(&view(), field(12_300, 1, 25), said(&["state"]), known));
    assert!(!shows(&view(), field(20_300, 1, 25), said(&["query"]), known));
    assert!(shows(&view(), field(20_300, 2, 25), said(&["plans"]), known));
}

/// `count(*)`, constants and EXISTS beside what is hidden.
#[test]
fn sure_columns_are_shown() {
    let catalog = catalog();
    let fields = [field(0, 0, 20), field(0, 0, 25)];
    let shown_first = |statements: &[Statement]| {
        let Planned::Ready(plan) = view().plan(Some(&catalog), &fields, Some(statements)) else {
            panic!("the catalog has it");
        };
        let unproven: Vec<usize> = plan.unproven().collect();
        unproven == [1]
    };
    let mut counted = statement(&["people"], &["ssn"], false);
    assert!(!shown_first(&[counted.clone()]));
    counted.made = vec![Some(Made::default()), None];
    assert!(shown_first(&[counted.clone()]));
    // It is not known whose answer it is, or the columns are others, or what runs is not seen.
    assert!(!shown_first(&[counted.clone(), counted.clone()]));
    counted.made = vec![Some(Made::default()), None, None];
    assert!(!shown_first(&[counted.clone()]));
    (counted.made, counted.classes) = (vec![Some(Made::default()), None], Class::Call.only());
    assert!(!shown_first(&[counted]));
}

#[test]
fn columns_behind_a_star_are_counted_from_the_end() {
    let star = |made: usize, star: usize| Statement {
        made: (0..made)
            .map(|n| Some(Made { columns: vec![n.to_string().into()], ..Made::default() }))
            .collect(),
        star: Some(star),
        ..statement(&["people"], &[], true)
    };
    let told = |statement: &Statement, columns: usize| -> Vec<String> {
        let name =
            |column| statement.made_of(column, columns).map(|made| made.columns[0].to_string());
        (0..columns).map(|column| name(column).unwrap_or_else(|| "-".to_owned())).collect()
    };
    assert_eq!(told(&star(3, 1), 5), ["0", "-", "-", "1", "2"]);
    assert_eq!(told(&star(3, 1), 3), ["0", "1", "2"], "a table without columns");
    assert_eq!(told(&star(1, 0), 5), ["-", "-", "-", "-", "0"]);
    assert_eq!(told(&star(2, 2), 4), ["0", "1", "-", "-"]);
    assert_eq!(told(&star(0, 0), 2), ["-", "-"]);
    assert_eq!(told(&star(3, 1), 2), ["-", "-"], "fewer than there are");
}

#[test]
fn names_in_the_result_decide_nothing() {
    let catalog = catalog();
    let fields = [Field { name: b"ssn", table_oid: ORDERS, attnum: 1, type_oid: 25, format: 0 }];
    let Planned::Ready(plan) = view().plan(Some(&catalog), &fields, Some(&[])) else {
        panic!("the catalog has it");
    };
    assert_eq!(shown(&plan, SSN).as_deref(), Some(SSN));
}

#[test]
fn detectors_work_without_a_catalog() {
    let policy = Policy::compile(&[spec(&[], &["email"], Operator::Redact)]);
    assert!(!policy.needs_catalog("any"));
    let view = policy.view("any", &[]);
    assert!(!view.is_empty() && !view.masks_columns());
    let Planned::Ready(plan) = view.plan(None, &[field(30_000, 1, 25)], None) else {
        panic!("no column mask, no catalog");
    };
    assert_eq!(shown(&plan, "to bob@example.com").as_deref(), Some("to [EMAIL]"));
}

#[test]
fn column_masks_ask_for_a_catalog() {
    assert!(policy().needs_catalog("any"));
    let planned = view().plan(None, &[field(PEOPLE, 3, 25)], None);
    assert!(matches!(planned, Planned::NeedCatalog));
}

#[test]
fn masks_are_for_their_targets_and_groups() {
    let mut mask = spec(&["*.*.ssn"], &[], Operator::Redact);
    mask.targets = vec!["orders".into()];
    let policy = Policy::compile(&[mask]);
    assert!(policy.needs_catalog("orders") && !policy.needs_catalog("other"));
    assert!(policy.view("other", &[]).is_empty());
    assert!(policy.view("orders", &["pii-readers".to_owned()]).is_empty());
    assert!(!policy.view("orders", &["agents".to_owned()]).is_empty());
}

#[test]
fn what_the_configuration_should_have_refused_hides_all() {
    let policy = Policy::compile(&[spec(&["a.b.c.d"], &["shoe-size"], Operator::Mask)]);
    let view = policy.view("any", &[]);
    assert!(!view.is_empty() && view.masks_columns());
    let catalog = catalog();
    let Planned::Ready(plan) = view.plan(Some(&catalog), &[field(ORDERS, 1, 25)], None) else {
        panic!("the catalog has it");
    };
    assert_eq!(shown(&plan, SSN).as_deref(), Some("***********"));
}

#[test]
fn texts_are_scanned() {
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    assert!(view().text(b"no bob@example.com", &mut out, &mut hits));
    assert_eq!(out, b"no [EMAIL]");
    assert_eq!(hits.total(), 1);
    out.clear();
    assert!(!view().text(b"nothing here", &mut out, &mut hits));
    assert_eq!(out, b"nothing here");
}

#[test]
fn masked_columns_are_not_carried_off() {
    let check = |class: Class, writes: &[&str], reads: &[&str], column: &str, expect: bool| {
        let mut statement = statement(reads, &[column], false);
        statement.classes = class.only();
        let written = writes.iter().map(|name| Object::bare(*name, true));
        let read = statement.objects.to_vec();
        statement.objects = statement.objects.iter().cloned().chain(written).collect();
        let columns = vec![(column.to_owned(), writes.first().map(|_| column.to_owned()))];
        if class == Class::Write {
            let stored = Stored { columns, read, ..Stored::default() };
            statement.stored = Some(Box::new(stored));
        }
        let refused = view().carries_off(Some(&catalog()), &[statement]).is_some();
        assert_eq!(refused, expect, "{class:?} {writes:?} {reads:?} {column}");
    };
    check(Class::Write, &["orders"], &["people"], "ssn", true);
    check(Class::Write, &["orders"], &["people"], "id", false);
    check(Class::Write, &["people"], &[], "ssn", false);
    check(Class::Write, &["people"], &["orders"], "ssn", false);
    check(Class::Ddl, &["copy"], &["people"], "ssn", true);
    let mut index = statement(&["people"], &["ssn"], false);
    (index.classes, index.operation) = (Class::Ddl.only(), "CREATE INDEX".into());
    assert!(view().carries_off(Some(&catalog()), &[index]).is_none());
    check(Class::CopyProgram, &[], &["people"], "ssn", true);
    check(Class::CopyFile, &["people"], &[], "ssn", true);
    check(Class::Read, &[], &["people"], "ssn", false);
    assert!(View::default().carries_off(None, &[statement(&["people"], &["ssn"], true)]).is_none());
}
