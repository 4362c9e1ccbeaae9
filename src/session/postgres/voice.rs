//! What a client that has no session is told, in PostgreSQL's words.
//!
//! In: why. Out: an ErrorResponse. Never: a look at what the client says.

use crate::wire::postgres::reply::{self, Report};

/// As PostgreSQL says it when its own limit is met.
pub fn turned_away(detail: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let report = Report {
        severity: "FATAL",
        sqlstate: "53300",
        message: "sorry, too many clients already",
        detail,
        hint: "",
    };
    reply::error(&mut bytes, &report);
    bytes
}
