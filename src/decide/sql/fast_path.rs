//! What a FunctionCall message calls.
//!
//! In: the OID that it has. Out: the action, with the name of the function where `initdb` gave it
//! the OID. Never: a name for an OID that a target may give to anything.

use super::{Class, Classified};
use crate::decide::{Act, Action, Fact, FactKind};
use crate::wire::Protocol;

/// Functions that drivers call by this message (libpq, fe-lobj.c), by their OIDs in every version
/// (pg_proc.dat).
const FUNCTIONS: [(u32, &str); 17] = [
    (715, "lo_create"),
    (764, "lo_import"),
    (765, "lo_export"),
    (767, "lo_import"),
    (952, "lo_open"),
    (953, "lo_close"),
    (954, "loread"),
    (955, "lowrite"),
    (956, "lo_lseek"),
    (957, "lo_creat"),
    (958, "lo_tell"),
    (964, "lo_unlink"),
    (1004, "lo_truncate"),
    (1397, "abs"),
    (3170, "lo_lseek64"),
    (3171, "lo_tell64"),
    (3172, "lo_truncate64"),
];

/// The name of the function with this OID, if it has the same everywhere.
pub fn function(oid: u32) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

/// What such a message is to rules and records.
pub fn call(oid: u32) -> Classified {
    let mut act = Act::of(Class::FunctionCall, "FUNCTION CALL");
    act.facts.push(match function(oid) {
        Some(name) => Fact::is(FactKind::Function, name),
        None => Fact::unclear(FactKind::Function),
    });
    let action = Action::new(Protocol::Postgres, vec![act]);
    Classified { action, ..Classified::new(Vec::new(), false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_their_number_or_not_at_all() {
        assert_eq!(function(955), Some("lowrite"));
        assert_eq!(function(16_384), None);
        let facts = |oid| call(oid).action.acts[0].facts.clone();
        assert_eq!(facts(957), [Fact::is(FactKind::Function, "lo_creat")]);
        assert_eq!(facts(99_999), [Fact::unclear(FactKind::Function)]);
        assert_eq!(call(957).action.classes, ["function-call"]);
    }
}
