//! What is masked while a transaction is open that changes what shows in a relation.

use super::*;
use crate::mask::sql::catalog::{Catalog, Relation};

const MASKED: &str = r#"
[[rule]]
name = "definitions"
when = { groups = ["agents"], commands = ["ddl", "transaction"] }
then = "allow"
[[mask]]
columns = ["public.customers.ssn", "*.*.email"]
operator = "redact"
"#;

fn relation(oid: u32, name: &str, kind: u8, sources: &[u32], columns: &[&str]) -> Relation {
    Relation::of_texts((oid, name), kind, sources, columns)
}

fn known() -> Vec<Relation> {
    vec![
        relation(20_001, "customers", b'r', &[], &["id", "ssn"]),
        relation(20_002, "own", b'r', &[20_003], &["id", "ssn"]),
        relation(20_003, "above", b'r', &[], &["id", "ssn"]),
        relation(20_004, "beside", b'r', &[], &["id", "ssn"]),
        relation(20_005, "mails", b'r', &[], &["id", "email"]),
        relation(20_006, "view", b'v', &[20_004], &["id", "ssn"]),
        relation(20_007, "sink", b'r', &[], &["id", "ssn"]),
        relation(20_008, "contact", b'c', &[], &["street", "email"]),
        holding(relation(20_009, "holder", b'r', &[], &["id", "whom"])),
    ]
}

/// Its last column holds rows of `contact`.
fn holding(mut holder: Relation) -> Relation {
    holder.columns.last_mut().unwrap().type_oid = CONTACT;
    holder
}

const CONTACT: u32 = 20_108;

/// The catalog is read anew.
fn learn(bench: &mut Bench, relations: Vec<Relation>) {
    let config = CONFIG.replace("commands = [\"ddl\"]", "commands = [\"grant\"]");
    let mut source = source_of(&format!("{config}{MASKED}"));
    let mut catalog = Catalog::new(relations);
    catalog.row_types.insert(CONTACT, vec![20_008]);
    source.catalogs = vec![Some(Arc::new(catalog))];
    source.catalogs_begun_us = vec![u64::MAX / 2];
    source.changes = bench.snapshot.changes.clone();
    bench.snapshot = Rc::new(Snapshot::build(&source));
    bench.with(|machine, stage| machine.handle_snapshot(stage));
}

fn bench() -> Bench {
    let config = CONFIG.replace("commands = [\"ddl\"]", "commands = [\"grant\"]");
    let source = source_of(&format!("{config}{MASKED}"));
    let mut bench = Bench::with_snapshot(Rc::new(Snapshot::build(&source))).log_in();
    learn(&mut bench, known());
    bench
}

fn runs(bench: &mut Bench, text: &str, status: u8) {
    bench.client(&query(text));
    assert_eq!(bench.tags(Side::Server), "Q", "{text}");
    bench.server(&[complete("OK"), ready_for_query(status)].concat());
    if bench.tags(Side::Client).is_empty() || status == b'I' {
        learn(bench, known());
    }
    bench.take(Side::Client);
}

/// A column of a relation, or a value of none.
fn described((oid, attnum): (u32, i16)) -> Vec<u8> {
    let mut body = b"\0\x01c\0".to_vec();
    body.extend_from_slice(&oid.to_be_bytes());
    body.extend_from_slice(&attnum.to_be_bytes());
    body.extend_from_slice(b"\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    message(b'T', &body)
}

/// Whether the value that a query answers with comes through.
fn shows(bench: &mut Bench, text: &str, column: (u32, i16), status: u8) -> bool {
    bench.client(&query(text));
    assert_eq!(bench.tags(Side::Server), "Q", "{text}");
    let end = [row(b"078-05-1120"), complete("SELECT 1"), ready_for_query(status)].concat();
    bench.server(&[described(column), end].concat());
    let mut said = bench.take(Side::Client);
    if said.is_empty() {
        learn(bench, known());
        said = bench.take(Side::Client);
    }
    let rows = messages(&said).into_iter().filter(|(tag, _)| *tag == b'D').collect::<Vec<_>>();
    assert_eq!(rows.len(), 1, "{text}");
    rows[0].1.windows(11).any(|part| part == b"078-05-1120")
}

const OWN: &str = "SELECT substr(ssn, 1, 9) FROM own";

#[test]
fn a_parent_shows_nothing_of_a_masked_child_before_the_catalog_tells() {
    for joins in [
        "ALTER TABLE customers INHERIT own",
        "ALTER TABLE own ATTACH PARTITION customers DEFAULT",
        "CREATE TABLE between (id int, ssn text) INHERITS (own); \
         ALTER TABLE customers INHERIT between",
    ] {
        let mut bench = bench();
        runs(&mut bench, "BEGIN", b'T');
        assert!(shows(&mut bench, OWN, (0, 0), b'T'));
        runs(&mut bench, joins, b'T');
        for (text, column) in [
            (OWN, (0, 0)),
            ("SELECT ssn FROM own", (20_002, 2)),
            ("SELECT substr(ssn, 1, 9) FROM above", (0, 0)),
            ("SELECT ssn FROM above", (20_003, 2)),
        ] {
            assert!(!shows(&mut bench, text, column, b'T'), "{joins}: {text}");
        }
        for text in ["SELECT substr(ssn, 1, 9) FROM beside", "SELECT ssn FROM view"] {
            assert!(shows(&mut bench, text, (0, 0), b'T'), "{joins}: {text}");
        }
        runs(&mut bench, "ROLLBACK", b'I');
        assert!(shows(&mut bench, OWN, (0, 0), b'I'), "{joins}");
    }
}

#[test]
fn in_the_same_text_and_in_a_pipeline_too() {
    for (text, before) in [
        ("BEGIN; ALTER TABLE customers INHERIT own; SELECT substr(ssn, 1, 9) FROM own", ""),
        (OWN, "BEGIN; ALTER TABLE customers INHERIT own"),
    ] {
        let mut bench = bench();
        if !before.is_empty() {
            bench.client(&query(before));
            bench.take(Side::Server);
            // Nothing of it is answered yet.
            bench.client(&query(text));
            bench.server(&[complete("ALTER TABLE"), ready_for_query(b'T')].concat());
            bench.take(Side::Client);
        } else {
            bench.client(&query(text));
        }
        bench.server(&[described((0, 0)), row(b"078-05-1120")].concat());
        learn(&mut bench, known());
        let said = bench.take(Side::Client);
        assert!(messages(&said).iter().any(|(tag, _)| *tag == b'D'), "{text}");
        assert!(!said.windows(11).any(|part| part == b"078-05-1120"), "{text}");
    }
}

#[test]
fn nor_does_what_has_the_name_of_another_one_now() {
    for (text, asked) in [
        (
            "ALTER TABLE beside RENAME TO gone; ALTER TABLE mails RENAME TO beside",
            "SELECT substr(email, 1, 20) FROM beside",
        ),
        (
            "CREATE OR REPLACE VIEW view AS SELECT id, ssn FROM customers",
            "SELECT substr(ssn, 1, 9) FROM view",
        ),
        (
            "DROP TABLE beside; CREATE TABLE beside AS SELECT id, email FROM mails",
            "SELECT substr(email, 1, 20) FROM beside",
        ),
    ] {
        let mut bench = bench();
        runs(&mut bench, "BEGIN", b'T');
        runs(&mut bench, text, b'T');
        assert!(!shows(&mut bench, asked, (0, 0), b'T'), "{text}");
    }
}

#[test]
fn nothing_of_it_is_put_elsewhere() {
    let copies = [
        "INSERT INTO sink SELECT id, ssn FROM own",
        "COPY (SELECT substr(ssn, 1, 9) FROM own) TO STDOUT",
        "COPY own TO STDOUT",
        "CREATE TABLE kept AS SELECT ssn FROM above",
    ];
    for text in copies {
        let mut bench = bench();
        runs(&mut bench, "BEGIN", b'T');
        runs(&mut bench, "ALTER TABLE customers INHERIT own", b'T');
        bench.client(&query(text));
        if bench.tags(Side::Server).is_empty() {
            learn(&mut bench, known());
        }
        bench.server(&[server_error("42601"), ready_for_query(b'E')].concat());
        let said = messages(&bench.take(Side::Client));
        let error = String::from_utf8_lossy(&said[0].1).into_owned();
        assert!(error.contains("weir: "), "{text}: {error}");
    }
    // Rows that are written are no rows that are read.
    let mut bench = bench();
    runs(&mut bench, "BEGIN", b'T');
    runs(&mut bench, "ALTER TABLE customers INHERIT own", b'T');
    runs(&mut bench, "INSERT INTO own VALUES (1, 'a')", b'T');
}

#[test]
fn a_clean_partition_hides_nothing() {
    let mut bench = bench();
    runs(&mut bench, "BEGIN", b'T');
    runs(&mut bench, "CREATE TABLE next PARTITION OF own DEFAULT", b'T');
    runs(&mut bench, "ALTER TABLE own ATTACH PARTITION beside DEFAULT", b'T');
    runs(&mut bench, "ALTER TABLE mails INHERIT own", b'T');
    assert!(shows(&mut bench, "INSERT INTO own VALUES (1) RETURNING id", (20_002, 1), b'T'));
    assert!(shows(&mut bench, OWN, (0, 0), b'T'));
}

#[test]
fn what_is_masked_by_its_type_stays_so() {
    for (text, passes) in [
        ("ALTER TYPE contact RENAME ATTRIBUTE email TO e", false),
        ("ALTER TYPE contact RENAME ATTRIBUTE email TO e CASCADE", false),
        ("ALTER TYPE contact RENAME ATTRIBUTE street TO s", true),
        // A table may have been made of the type.
        ("ALTER TYPE other RENAME ATTRIBUTE ssn TO s CASCADE", false),
        ("ALTER TYPE customers RENAME TO others", false),
        ("ALTER TYPE customers SET SCHEMA hidden", false),
        ("ALTER TYPE mood RENAME TO temper", true),
        ("ALTER TYPE mood SET SCHEMA other", true),
        ("ALTER TABLE holder ALTER whom TYPE text", false),
        ("ALTER TABLE holder ALTER whom TYPE pair USING (whom::text)::pair", false),
        ("ALTER TABLE holder ADD x int, ALTER id TYPE bigint", true),
        ("ALTER TABLE mails ALTER email TYPE varchar(9)", true),
    ] {
        let mut relations = known();
        relations.push(relation(20_010, "other", b'c', &[], &["ssn"]));
        let mut bench = bench();
        learn(&mut bench, relations.clone());
        runs(&mut bench, "BEGIN", b'T');
        bench.client(&query(text));
        let sent = bench.take(Side::Server);
        assert_eq!(sent.windows(5).any(|part| part == b"ALTER"), passes, "{text}");
    }
}

/// Nobody else may read a column by what its type was before, also where who changed it sees
/// everything.
#[test]
fn a_type_that_is_changed_waits_for_the_catalog() {
    for (text, waits) in [
        ("ALTER TYPE contact ADD ATTRIBUTE ssn text", true),
        ("ALTER TYPE contact RENAME ATTRIBUTE street TO email", true),
        ("ALTER TABLE mails ALTER id TYPE contact USING NULL", true),
        ("ALTER TYPE mood ADD VALUE 'fine'", false),
        ("ALTER TABLE mails ADD x int", false),
    ] {
        let config = CONFIG.replace("commands = [\"ddl\"]", "commands = [\"grant\"]");
        let masked = format!("{MASKED}except = {{ groups = [\"agents\"] }}\n");
        let source = source_of(&format!("{config}{masked}"));
        let mut bench = Bench::with_snapshot(Rc::new(Snapshot::build(&source))).log_in();
        bench.client(&query(text));
        assert_eq!(bench.tags(Side::Server), "Q", "{text}");
        bench.server(&[complete("ALTER"), ready_for_query(b'I')].concat());
        let said = bench.take(Side::Client);
        assert_eq!(messages(&said).iter().all(|(tag, _)| *tag != b'Z'), waits, "{text}");
    }
}
