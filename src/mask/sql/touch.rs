//! Whether statements touch a masked column: the witness for values whose origin the server does
//! not state.
//!
//! In: classified statements and the catalog. Out: `Touch`.
//! Never: "clean" for what was not understood. Statements that are not known, not parsed, or run
//! code that is not seen (EXECUTE and FETCH of unknown names, CALL, a function call) touch
//! everything.

use super::catalog::Catalog;
use super::rules::{ColumnRule, RelationMask};
use crate::decide::{Class, Effect, Object, Statement};

/// What the statements reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// No masked column.
    Clean,
    /// A masked column, or it cannot be told.
    Masked,
    /// Values that statistics sampled from any column, or large objects.
    Samples,
    /// A relation that is not in the catalog.
    Unknown,
}

/// What the statements reach; the worst of them counts.
pub(super) fn touch(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statements: Option<&[Statement]>,
) -> Touch {
    if rules.is_empty() {
        return Touch::Clean;
    }
    let Some(statements) = statements else { return Touch::Masked };
    let touches = statements.iter().map(|statement| one(rules, catalog, statement));
    touches.max_by_key(|touch| severity(*touch)).unwrap_or(Touch::Clean)
}

/// Samples outweigh a masked column, because they hide more.
fn severity(touch: Touch) -> u8 {
    match touch {
        Touch::Clean => 0,
        Touch::Unknown => 1,
        Touch::Masked => 2,
        Touch::Samples => 3,
    }
}

fn one(rules: &[ColumnRule], catalog: &Catalog, statement: &Statement) -> Touch {
    if is_opaque(statement) {
        return Touch::Masked;
    }
    let touches = statement.objects.iter().map(|object| {
        if SAMPLES.contains(&object.name.as_str()) {
            return Touch::Samples;
        }
        relation(rules, catalog, object, statement)
    });
    touches.max_by_key(|touch| severity(*touch)).unwrap_or(Touch::Clean)
}

/// Whether a statement reads a masked column and writes somewhere else. Inside of one table a value
/// can still be moved to another column; the objects of a statement do not tell that apart from an
/// ordinary UPDATE.
pub(super) fn carries_off(rules: &[ColumnRule], catalog: &Catalog, statement: &Statement) -> bool {
    let shape_only = || SHAPE_ONLY.iter().any(|words| statement.operation.starts_with(words));
    let classes = statement.classes;
    let outwards = classes.has(Class::CopyProgram)
        || classes.has(Class::CopyFile)
        || (classes.has(Class::Ddl) && !shape_only());
    let reads = |object: &Object| !object.write || outwards;
    let read: Vec<&Object> = statement.objects.iter().filter(|object| reads(object)).collect();
    let writes = outwards || statement.objects.iter().any(|object| object.write);
    let masked = |object: &&Object| {
        matches!(relation(rules, catalog, object, statement), Touch::Masked | Touch::Samples)
    };
    !rules.is_empty() && writes && read.iter().any(masked)
}

/// Its rows come from text that the classifier did not see.
fn is_opaque(statement: &Statement) -> bool {
    let opaque = [Class::Unknown, Class::Call, Class::FunctionCall];
    opaque.into_iter().any(|class| statement.classes.has(class))
        // A name that was not resolved; one that was is what it stands for.
        || matches!(statement.effect, Effect::Fetch(_) | Effect::Execute(_))
}

/// For each column of the answer of the only statement whether it holds nothing of any relation.
pub(super) fn sure_columns(statements: &[Statement]) -> &[bool] {
    match statements {
        [statement] if !is_opaque(statement) => &statement.sure,
        _ => &[],
    }
}

/// The objects of a statement may be anything; a name that no relation has is stale or no relation.
fn relation(
    rules: &[ColumnRule],
    catalog: &Catalog,
    object: &Object,
    statement: &Statement,
) -> Touch {
    let mut known = false;
    for relation in catalog.named(object.place().as_deref(), &object.name) {
        known = true;
        let Some(mask) = RelationMask::build(rules, catalog, relation) else {
            return Touch::Unknown;
        };
        let mentions = || statement.columns.iter().any(|column| mask.hides(column));
        if !mask.is_clean() && (statement.whole_rows || mentions()) {
            return Touch::Masked;
        }
    }
    if known || is_system_name(object) { Touch::Clean } else { Touch::Unknown }
}

/// System relations are not in the catalog and hold no masked column.
fn is_system_name(object: &Object) -> bool {
    match object.place().as_deref() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
        None => object.name.starts_with("pg_"),
    }
}

/// Data definition that names columns and moves no values out of their table.
const SHAPE_ONLY: [&str; 6] =
    ["ALTER", "DROP", "COMMENT", "CREATE INDEX", "CREATE STATISTICS", "CREATE UNIQUE INDEX"];

/// Relations that hold values of other relations.
const SAMPLES: [&str; 6] = [
    "pg_stats",
    "pg_statistic",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_statistic_ext_data",
    "pg_largeobject",
];
