//! What a command reaches beside what it names, and names that the catalog does not have.

use super::behaviour::record;
use super::*;
use crate::limits;
use crate::mask::sql::catalog::{Catalog, Relation};
use crate::session::Refresh;

const RULES: &str = r#"
[[rule]]
name = "definitions"
when = { groups = ["agents"], commands = ["ddl", "transaction"] }
then = "allow"
[[rule]]
name = "customers stay"
when = { groups = ["agents"], commands = ["read", "write"], touches = ["public.customers"] }
then = { deny = "customers stay" }
[[rule]]
name = "orders need a person"
when = { groups = ["agents"], commands = ["write"], touches = ["*.orders"] }
then = { hold = { approvers = ["dba"], quorum = 1, timeout = "10m" } }
"#;

fn config() -> String {
    let no_drops = "commands = [\"ddl\"]";
    assert!(CONFIG.contains(no_drops), "the rule that denies");
    format!("{}{RULES}", CONFIG.replace(no_drops, "commands = [\"grant\"]"))
}

fn relation(oid: u32, name: &str, kind: u8, sources: &[u32]) -> Relation {
    Relation::of_texts((oid, name), kind, sources, &[])
}

fn known() -> Vec<Relation> {
    vec![
        relation(20_001, "customers", b'p', &[]),
        relation(20_002, "customers_1", b'r', &[20_001]),
        relation(20_003, "names", b'v', &[20_001]),
        relation(20_004, "orders", b'r', &[]),
        relation(20_005, "open_orders", b'v', &[20_004]),
        relation(20_006, "beside", b'r', &[]),
        Relation { schema: "pg_catalog".into(), ..relation(1259, "pg_class", b'r', &[]) },
    ]
}

fn taught(relations: Vec<Relation>) -> Rc<Snapshot> {
    let mut source = source_of(&config());
    source.catalogs = vec![Some(Arc::new(Catalog::new(relations)))];
    Rc::new(Snapshot::build(&source))
}

fn bench() -> Bench {
    Bench::with_snapshot(taught(known())).log_in()
}

/// The catalog is read anew.
fn learn(bench: &mut Bench, relations: Vec<Relation>) {
    bench.snapshot = taught(relations);
    bench.with(|machine, stage| machine.handle_snapshot(stage));
}

/// The message of the error that the client gets for a text, the server having refused what stands
/// in its place; `None` where the text goes on.
fn refused(bench: &mut Bench, text: &str) -> Option<String> {
    bench.client(&query(text));
    let sent = messages(&bench.take(Side::Server));
    if sent.iter().any(|(_, body)| body.starts_with(text.as_bytes())) {
        bench.server(&[complete("SELECT 1"), ready_for_query(b'I')].concat());
        bench.take(Side::Client);
        return None;
    }
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = messages(&bench.take(Side::Client));
    let (_, error) = said.into_iter().find(|(tag, _)| *tag == b'E').expect("an error");
    let message = error.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'M'));
    Some(String::from_utf8_lossy(&message.expect("a message")[1..]).into_owned())
}

#[test]
fn a_denial_of_a_table_means_its_partitions_and_views() {
    let mut bench = bench();
    let reached =
        |by: &str| format!("customers stay (this reaches public.customers by way of {by})");
    let mut check = |text: &str, expect: Option<String>| {
        assert_eq!(refused(&mut bench, text), expect, "{text}");
    };
    check("SELECT * FROM customers_1", Some(reached("customers_1")));
    check("DELETE FROM public.customers_1 WHERE id = 1", Some(reached("public.customers_1")));
    check("SELECT 1 FROM beside, names", Some(reached("names")));
    check("SELECT * FROM customers", Some("customers stay".to_owned()));
    check("SELECT * FROM customers, names", Some("customers stay".to_owned()));
    check("SELECT * FROM beside", None);
    check("SELECT * FROM open_orders", None);
    check("SELECT * FROM pg_class, information_schema.tables", None);
    check("SELECT 1", None);
}

#[test]
fn people_are_told_what_a_view_is_of() {
    let mut bench = bench();
    bench.client(&query("UPDATE open_orders SET total = 0 WHERE id = 1"));
    let ask = bench.outputs.iter().find_map(|output| match output {
        Output::AskOpened(ask) => Some(ask.objects.clone()),
        _ => None,
    });
    assert_eq!(ask.unwrap(), ["+open_orders", "+public.orders by way of open_orders"]);
}

#[test]
fn a_name_that_is_not_known_waits_for_the_catalog() {
    let text = "SELECT * FROM fresh";
    let view = relation(20_009, "fresh", b'v', &[20_002]);
    for extended in [false, true] {
        for (found, decision) in [(Some(view.clone()), "Deny"), (None, "Allow")] {
            let mut bench = bench();
            match extended {
                false => bench.client(&query(text)),
                true => bench.client(&[parse("", text), bind("", ""), execute("")].concat()),
            }
            assert_eq!(bench.tags(Side::Server), if extended { "PB" } else { "" });
            let asked = matches!(bench.outputs.as_slice(), [Output::Refresh(Refresh::Catalog(0))]);
            assert!(asked, "{:?}", bench.outputs);
            learn(&mut bench, known().into_iter().chain(found).collect());
            let last = record(&bench);
            assert!(last.contains(&format!("command {text} {decision}")), "{last:?}");
        }
    }
}

#[test]
fn a_catalog_that_does_not_come_refuses_what_waits_for_it() {
    let mut bench = bench();
    bench.client(&[query("SELECT * FROM fresh"), query("SELECT 1")].concat());
    assert_eq!(bench.tags(Side::Server), "");
    bench.at(limits::CATALOG_WAIT_US);
    let last = record(&bench);
    assert!(last.contains(&"command SELECT * FROM fresh Deny".to_owned()), "{last:?}");
    assert_eq!(bench.tags(Side::Server), "QQ", "what fails in its place, and what waited behind");
    assert_eq!(last.last().map(String::as_str), Some("command SELECT 1 Allow"));
}

#[test]
fn what_this_session_made_is_known_to_it() {
    let mut bench = bench();
    for text in ["CREATE TABLE mine (id int)", "INSERT INTO mine VALUES (1)", "TABLE mine"] {
        assert_eq!(refused(&mut bench, text), None, "{text}");
    }
    // A definition may read it here, and what it defines may not be read.
    let rules = config().replace("\"ddl\", \"transaction\"", "\"ddl\", \"read\", \"transaction\"");
    let rules = rules
        .replace("commands = [\"read\", \"write\"], touches", "commands = [\"write\"], touches");
    let mut source = source_of(&rules);
    source.catalogs = vec![Some(Arc::new(Catalog::new(known())))];
    let mut bench = Bench::with_snapshot(Rc::new(Snapshot::build(&source))).log_in();
    for text in ["CREATE VIEW one AS TABLE customers_1", "CREATE VIEW two AS TABLE one"] {
        assert_eq!(refused(&mut bench, text), None, "{text}");
    }
    assert_eq!(refused(&mut bench, "SELECT * FROM two"), None);
    let message = refused(&mut bench, "DELETE FROM two WHERE id = 1").expect("it is refused");
    assert!(message.contains("this reaches public.customers by way of customers_1"), "{message}");
    let both = "CREATE VIEW three AS TABLE customers; DELETE FROM three WHERE id = 1";
    assert!(refused(&mut bench, both).is_some(), "one text makes it and uses it");
}

#[test]
fn before_a_catalog_was_read_anything_may_be_meant() {
    let mut source = source_of(&config());
    source.catalogs = vec![None];
    let mut bench = Bench::with_snapshot(Rc::new(Snapshot::build(&source))).log_in();
    assert_eq!(refused(&mut bench, "SELECT 1"), None);
    bench.client(&query("SELECT id FROM beside"));
    assert_eq!(bench.tags(Side::Server), "", "it waits");
    bench.at(limits::CATALOG_WAIT_US);
    assert_eq!(bench.tags(Side::Server), "Q", "what fails in its place");
    bench.server(&[server_error("42601"), ready_for_query(b'I')].concat());
    let said = String::from_utf8_lossy(&bench.take(Side::Client)).into_owned();
    assert!(said.contains("any object by way of a target whose catalog"), "{said}");
}
