//! Functions of the servers that are there: none that may change something is without a class.

use weir::decide::sql::classify::has_class;

use crate::support::Postgres;

/// Volatile functions that SQL can call.
const VOLATILE: &str = "SELECT DISTINCT proname FROM pg_proc \
    WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' AND prokind <> 'p' \
    AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, \
        'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype, \
        'table_am_handler'::regtype, 'tsm_handler'::regtype) \
    AND NOT 'internal'::regtype = ANY (proargtypes::oid[]) ORDER BY 1";

fn check(server: &Postgres) {
    let names = server.sql("postgres", VOLATILE);
    let missing: Vec<&str> = names.lines().filter(|name| !has_class(name)).collect();
    assert!(names.lines().count() > 150, "{names}");
    assert!(missing.is_empty(), "volatile, and on no list of decide/sql/classify: {missing:?}");
}

#[test]
fn every_volatile_function_of_this_server_has_a_class() {
    check(Postgres::shared());
}

#[test]
fn every_volatile_function_of_the_newest_server_has_a_class() {
    if let Some(server) = Postgres::newest() {
        check(server);
    }
}
