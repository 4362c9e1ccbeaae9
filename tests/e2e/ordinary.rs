//! Ordinary clients under README's example rules: an agent that reads is refused nothing and sees
//! what it would see without weir; who may write, writes.

use std::process::Command;

use crate::support::lake::text;
use crate::support::scratch::output;
use crate::support::weir::USER_PASSWORD;
use crate::support::{Endpoint, Postgres, Spec, tools};

const README: &str = include_str!("../../README.md");
const SHOP: &str = include_str!("../drivers/ordinary_shop.sql");
/// The target of the example.
const SHOP_TARGET: &str = "shop";

/// Rules and masks of the example.
fn example() -> &'static str {
    let from = README.find("[[rule]]\nname = \"agents read\"").expect("the example's first rule");
    let rest = README.get(from..).expect("a place in it");
    rest.split("```").next().expect("the example's end")
}

/// Lines that a client prints; none of them differs through weir.
fn check_at(server: &Postgres, script: &dyn Fn() -> Command, writes: bool) {
    let database = server.database();
    database.sql(SHOP);
    let weir = Spec::bare("ordinary")
        .target(SHOP_TARGET, &database.endpoint(), crate::support::weir::CLEAR)
        .user("ci-bot", &["agents"])
        .user("oncall-dba", &["dba"])
        .rules(example())
        .start();
    let user = if writes { "oncall-dba" } else { "ci-bot" };
    let direct = lines(script, &database.endpoint(), writes);
    let at = weir.endpoint().with_user(user, USER_PASSWORD);
    let through = lines(script, &Endpoint { dbname: SHOP_TARGET.to_owned(), ..at }, writes);
    assert!(direct.len() > 20, "only {direct:#?}");
    for (found, expect) in through.iter().zip(&direct) {
        assert_eq!(found, expect, "through weir, then direct\nlog:\n{}", weir.log());
    }
    assert_eq!(through.len(), direct.len());
    let mut weir = weir;
    let lake = weir.lake();
    for row in lake.rows("commands") {
        assert_eq!(text(&row, "decision"), "allow", "{row:#?}");
    }
}

fn lines(script: &dyn Fn() -> Command, endpoint: &Endpoint, writes: bool) -> Vec<String> {
    let mut command = script();
    endpoint.give_to(&mut command);
    if writes {
        command.arg("writes");
    }
    let result = output(&mut command);
    let printed = String::from_utf8_lossy(&result.stdout).into_owned();
    let said = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{command:?}\n{printed}\n{said}");
    printed.lines().map(str::to_owned).collect()
}

fn check(script: &dyn Fn() -> Command) {
    check_at(Postgres::shared(), script, false);
    if let Some(server) = Postgres::newest() {
        check_at(server, script, false);
    }
}

fn python(name: &'static str) -> impl Fn() -> Command {
    move || {
        let mut command = tools::python();
        command.arg(tools::script(name));
        command
    }
}

#[test]
fn psycopg_reads() {
    check(&python("ordinary_psycopg.py"));
}

#[test]
fn sqlalchemy_reads_and_reflects() {
    check(&python("ordinary_sqlalchemy.py"));
}

#[test]
fn django_reads_and_inspects() {
    check(&python("ordinary_django.py"));
}

#[test]
fn django_writes_and_migrates() {
    check_at(Postgres::shared(), &python("ordinary_django.py"), true);
}

#[test]
fn psql_describes() {
    check(&|| {
        let mut command = Command::new("bash");
        command.arg(tools::script("ordinary_psql.sh"));
        command
    });
}

#[test]
fn pg_dump_dumps() {
    // Its release is that of the server.
    let script = || {
        let mut command = Command::new("bash");
        command.arg(tools::script("ordinary_pgdump.sh"));
        command
    };
    check_at(Postgres::shared(), &script, false);
}

#[test]
fn node_postgres_reads() {
    check(&|| {
        let mut command = tools::node();
        command.arg(tools::script("ordinary_node.js"));
        command
    });
}

#[test]
fn jdbc_reads_and_describes() {
    check(&|| {
        let mut command = tools::java();
        command.arg(tools::script("OrdinaryJdbc.java"));
        command
    });
}
