//! What is said of a prepared statement in the record: as a command, and where it has no row.
//!
//! In: statements, values. Out: facts of a command; events. Never: a decision.

use crate::decide::{Class, Consequence};
use crate::fault::Fault;
use crate::mask::sql::redact::names_credential;
use crate::record::entry::{Event, Params};
use crate::record::params;
use crate::session::Stage;
use crate::session::postgres::core::Office;
use crate::session::postgres::state::Prepared;

use super::admit::Facts;
use super::ready::Ready;

/// A statement that is executed, with its values, their types and their encoding.
pub(super) fn execute_facts<'c>(
    statement: &'c Prepared,
    values: Option<(&'c [u8], &'c [u32], &'c str)>,
    frame: &'c [u8],
) -> Facts<'c> {
    Facts {
        kind: "execute",
        text: &statement.text,
        encoding: &statement.encoding,
        classified: &statement.classified,
        params: values.filter(|values| !values.0.is_empty()).map(|(raw, types, encoding)| Params {
            raw,
            types,
            secrets: &statement.secrets,
            text_encoding: encoding,
            ..Params::default()
        }),
        statement: &statement.name,
        frame,
        meaning: None,
    }
}

impl Ready {
    /// Bytes that are kept of what the client copies in.
    pub(super) fn kept_of_copy(&self, stage: &Stage<'_>) -> u64 {
        if self.copies_credentials(stage) { 0 } else { self.link.capture_bytes }
    }

    /// Whether the client copies credentials into a table, by the names of its columns. The data
    /// has no names, so none of it is kept.
    pub(super) fn copies_credentials(&self, stage: &Stage<'_>) -> bool {
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        self.beliefs.runs_any(|statement| {
            let Consequence::Copy(copy) = &statement.effect else { return false };
            let all = || {
                let (Some(relation), Some(catalog)) = (&copy.relation, catalog) else {
                    return false;
                };
                let place = relation.place();
                let mut named = catalog.named(place.as_deref(), &relation.name);
                named.any(|it| it.columns.iter().any(|it| names_credential(&it.name)))
            };
            copy.from_client
                && match copy.columns.as_slice() {
                    [] => all(),
                    columns => columns.iter().any(|name| names_credential(name)),
                }
        })
    }
}

/// Whether a Bind may run code: PostgreSQL plans there, and planning computes what calls of
/// functions that are not volatile come to. Those that PostgreSQL has itself change nothing.
pub(super) fn runs_at_bind(statement: &Prepared) -> bool {
    let runs = [Class::Call, Class::Unknown];
    let mut statements = statement.classified.statements.iter();
    statements.any(|it| runs.iter().any(|&class| it.classes.has(class)))
}

/// Writes down that code may run at this Bind: the row of a command is that of an Execute, which
/// may never come.
pub(super) fn record_bound(
    facts: &Facts<'_>,
    rule: &str,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let attrs = serde_json::json!({
        "statement": facts.statement,
        "classes": facts.classified.action.classes,
        "rule": rule,
    });
    let event = Event {
        event: "bind",
        severity: "info",
        message: &params::shown_text(facts.encoding, facts.text),
        attrs: &attrs.to_string(),
    };
    core.event(&event, stage)
}

pub(super) fn record_prepare(
    statement: &Prepared,
    core: &mut Office,
    stage: &mut Stage<'_>,
) -> Result<(), Fault> {
    let attrs = serde_json::json!({
        "statement": &*statement.name,
        "classes": statement.classified.action.classes,
    });
    let event = Event {
        event: "prepare",
        severity: "info",
        message: &statement.shown_text(),
        attrs: &attrs.to_string(),
    };
    core.event(&event, stage)
}
