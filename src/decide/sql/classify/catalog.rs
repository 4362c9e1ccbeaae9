//! What PostgreSQL itself has: functions with their volatility, types, names of output columns.
//!
//! In: the lists of `catalog/`, read out of `pg_proc` and `pg_type` of PostgreSQL 15 and 18.
//! Out: whether a name is one of them. Never: names of users or extensions.
//!
//! `functions.txt` has a line per name: its most volatile variant in 15, then in 18 (`i` immutable,
//! `s` stable, `v` volatile, `-` none). Functions that SQL cannot call are left out: those that take
//! or return `internal`, handlers, triggers. `tests/e2e` asks servers for what is not here.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What a function of this name may do by what the server says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volatility {
    /// It changes nothing, in any version.
    Settled,
    /// It may do anything.
    Volatile,
}

static FUNCTIONS: LazyLock<HashMap<&str, Volatility>> = LazyLock::new(|| {
    let lines = include_str!("catalog/functions.txt").lines();
    let entries = lines.filter_map(|line| line.split_once(' ')).map(|(name, letters)| {
        let volatile = letters.contains('v');
        (name, if volatile { Volatility::Volatile } else { Volatility::Settled })
    });
    entries.collect()
});

static TYPES: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("catalog/types.txt").lines().collect());

static FIELDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("catalog/fields.txt").lines().collect());

/// The volatility of a function of `pg_catalog`; `None` if there is none of this name. `uuid('..')`
/// is a cast that looks like a call.
pub(super) fn function(name: &str) -> Option<Volatility> {
    let cast = || TYPES.contains(name).then_some(Volatility::Settled);
    FUNCTIONS.get(name).copied().or_else(cast)
}

static OPERATORS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("catalog/operators.txt").lines().collect());

/// Whether PostgreSQL has an operator of this name; `<>` is also written `!=`.
pub(super) fn is_operator(name: &str) -> bool {
    name == "!=" || OPERATORS.contains(name)
}

/// Views of `pg_catalog` that read files of the server.
pub(super) fn is_file_view(name: &str) -> bool {
    ["pg_config", "pg_file_settings", "pg_hba_file_rules", "pg_ident_file_mappings"].contains(&name)
}

/// Whether functions of PostgreSQL return a column of this name: `(jsonb_each(a)).key`.
pub(super) fn is_field(name: &str) -> bool {
    FIELDS.contains(name)
}

#[cfg(test)]
pub(super) fn volatile() -> impl Iterator<Item = &'static str> {
    let volatile = |entry: (&&'static str, &Volatility)| {
        (*entry.1 == Volatility::Volatile).then_some(*entry.0)
    };
    FUNCTIONS.iter().filter_map(volatile)
}
