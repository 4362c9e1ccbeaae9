//! Whether statements touch a masked column: the witness for values whose origin the server does
//! not state.
//!
//! In: classified statements and the catalog. Out: `Touch`.
//! Never: "clean" for what was not understood. Statements that are not known, not parsed, or run
//! code that is not seen (EXECUTE and FETCH of unknown names, CALL, a function call) touch
//! everything.

use std::collections::HashSet;

use super::catalog::{Catalog, Relation};
use super::rules::{ColumnRule, RelationMask, SAMPLES, Treatment, holds_rows, shows_texts};
use crate::decide::sql::{Made, Showing, Stored};
use crate::decide::{Class, Consequence, Object, Statement};

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
    let touches = statement.objects.iter().map(|object| touched(rules, catalog, object, statement));
    touches.max_by_key(|touch| severity(*touch)).unwrap_or(Touch::Clean)
}

/// Where a statement takes a masked column to, if it takes one to where its masks do not reach.
pub(super) fn carries_off(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statement: &Statement,
) -> Option<Carried> {
    if rules.is_empty() {
        return None;
    }
    let touches = || {
        let all = statement.objects.iter().map(|object| touched(rules, catalog, object, statement));
        all.into_iter().any(|touch| matches!(touch, Touch::Masked | Touch::Samples))
    };
    let outwards = goes_out(statement) && !BY_FLOW.contains(&&*statement.operation);
    let keeps = || match &statement.stored {
        Some(stored) => keeps(rules, catalog, statement, stored),
        None => false,
    };
    if RENAMES.contains(&&*statement.operation) {
        return renames(rules, catalog, statement).then_some(Carried::Renamed);
    }
    match (statement.sinks.first(), outwards) {
        (Some(sink), _) => touches().then(|| Carried::By(sink.to_string())),
        (None, true) => touches().then_some(Carried::Away),
        (None, false) => keeps().then_some(Carried::Away),
    }
}

/// Whether it makes rows, files or names out of what it reads.
fn goes_out(statement: &Statement) -> bool {
    let shape_only = || SHAPE_ONLY.iter().any(|words| statement.operation.starts_with(words));
    let classes = statement.classes;
    classes.has(Class::CopyProgram)
        || classes.has(Class::CopyFile)
        || (classes.has(Class::Ddl) && !shape_only())
}

/// Whether a statement puts something elsewhere of which the catalog does not know what it is:
/// then the names that it reads tell nothing, because a view has names of its own.
pub(super) fn lacks(catalog: &Catalog, statement: &Statement) -> bool {
    let unknown = |object: &Object| {
        !is_system_name(object)
            && !is_part(catalog, object)
            && catalog.named(object.place().as_deref(), &object.name).next().is_none()
    };
    let mut objects = statement.objects.iter();
    if RENAMES.contains(&&*statement.operation) {
        return objects.any(unknown);
    }
    if !statement.sinks.is_empty() || (goes_out(statement) && statement.operation != "CREATE TABLE")
    {
        return objects.any(|object| !object.write && unknown(object));
    }
    let Some(stored) = &statement.stored else { return false };
    let takes =
        stored.all_read || stored.rows || !stored.columns.is_empty() || !stored.starred.is_empty();
    // An assignment takes columns of what is written, too.
    takes
        && (stored.read.iter().any(unknown)
            || stored.assigns && objects.any(|object| object.write && unknown(object)))
}

/// How a masked column would leave its masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// To another column, table, file or program.
    Away,
    /// By a function of this name.
    By(String),
    /// It stays, under a name for which no rule may be.
    Renamed,
}

/// Whether what a statement stores holds a masked column, unless it stays in that column.
fn keeps(rules: &[ColumnRule], catalog: &Catalog, statement: &Statement, stored: &Stored) -> bool {
    if stored.unseen {
        return true;
    }
    let hides = |object: &Object, column: Option<&str>| hides(rules, catalog, object, column);
    let written = || statement.objects.iter().filter(|object| object.write);
    let is_followed = FOLLOWED.contains(&&*statement.operation);
    let stays = |column: &str, into: &Option<String>| {
        let is_there = || {
            // What is made now is where it is made, whatever else has the name.
            let is_new = BY_FLOW.contains(&&*statement.operation);
            let nowhere = Catalog::default();
            let catalog = if is_new { &nowhere } else { catalog };
            let surely = |object: &Object| surely_hides(rules, catalog, object, column);
            written().count() == 1
                && written().all(|object| !is_view(catalog, object) && surely(object))
        };
        into.as_deref() == Some(column) && (is_followed || is_there())
    };
    let mentioned = |object: &Object| {
        stored
            .columns
            .iter()
            .any(|(column, into)| hides(object, Some(column)) && !stays(column, into))
    };
    let parted = |object: &Object| {
        let place = object.place();
        let mut relations = catalog.named(place.as_deref(), &object.name);
        relations.any(|relation| {
            RelationMask::build(rules, catalog, relation)
                .is_none_or(|it| it.is_hidden_by_kin(rules))
        })
    };
    if stored.parted && statement.objects.iter().any(parted) {
        return true;
    }
    // Values of a type that has masked parts: the name of their column tells nothing of it.
    let retyped = |object: &Object| {
        let place = object.place();
        catalog.named(place.as_deref(), &object.name).any(|relation| {
            stored.retyped.iter().any(|name| holds_rows(rules, catalog, relation, name))
        })
    };
    if statement.objects.iter().any(retyped) {
        return true;
    }
    let whole = |object: &Object| hides(object, None);
    statement.objects.iter().any(|object| {
        mentioned(object) || (stored.rows && whole(object)) || SAMPLES.contains(&&*object.name)
    }) || (stored.all_read && stored.read.iter().any(whole))
        || stored.starred.iter().any(whole)
}

/// Whether an object may be a view: what is stored under a name of its own is stored under another
/// one.
fn is_view(catalog: &Catalog, object: &Object) -> bool {
    let place = object.place();
    catalog.named(place.as_deref(), &object.name).any(Relation::is_view)
}

/// Whether masks of a relation go by what it is called, or is made of, so that a parent shows them
/// in clear.
pub(super) fn hides_by_name(rules: &[ColumnRule], catalog: &Catalog, object: &Object) -> bool {
    let place = object.place();
    let mut relations = catalog.named(place.as_deref(), &object.name).peekable();
    if relations.peek().is_none() {
        let name = (place.as_deref(), object.name.as_str());
        return rules.iter().any(|it| it.pattern.may_be_on(name, None) && !it.pattern.is_bare());
    }
    relations.any(|relation| depends_on_name(rules, catalog, relation))
}

/// Whether a statement makes a view of a masked column, or a table by a name that the catalog
/// knows for something else.
pub(super) fn makes_of_masked(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statement: &Statement,
) -> bool {
    let is_known = || {
        let mut written = statement.objects.iter().filter(|object| object.write);
        written.any(|object| catalog.named(None, &object.name).next().is_some())
    };
    let makes = match statement.operation.as_str() {
        "CREATE VIEW" => true,
        "CREATE TABLE AS" | "SELECT INTO" => is_known(),
        _ => false,
    };
    let reads = || {
        let read = statement.objects.iter().filter(|object| !object.write);
        let mut touches = read.map(|object| touched(rules, catalog, object, statement));
        touches.any(|touch| touch != Touch::Clean)
    };
    makes && (is_opaque(statement) || reads())
}

/// Whether a column of an object is hidden, or any is. Of a relation that the catalog does not know
/// its name tells: it was made a moment ago.
pub(super) fn hides(
    rules: &[ColumnRule],
    catalog: &Catalog,
    object: &Object,
    column: Option<&str>,
) -> bool {
    let place = object.place();
    let mut relations = catalog.named(place.as_deref(), &object.name).peekable();
    if relations.peek().is_none() && !is_system_name(object) {
        let name = (place.as_deref(), object.name.as_str());
        return rules.iter().any(|rule| rule.pattern.may_be_on(name, column));
    }
    relations.any(|relation| {
        // What is not known cannot be told clean.
        let mask = RelationMask::build(rules, catalog, relation);
        mask.is_none_or(|mask| match column {
            Some(column) => mask.hides(column),
            None => !mask.is_clean(),
        })
    })
}

/// Whether a column is hidden in whichever relation of that name it is. One that is made now is
/// known by its name alone.
fn surely_hides(rules: &[ColumnRule], catalog: &Catalog, object: &Object, column: &str) -> bool {
    let place = object.place();
    let named = catalog.named(place.as_deref(), &object.name);
    let treatments = named.filter_map(|relation| {
        RelationMask::build(rules, catalog, relation)
            .map_or(Some(None), |it| it.named(column).map(Some))
    });
    let treatments: Vec<Option<Treatment>> = treatments.collect();
    if treatments.is_empty() {
        return rules.iter().any(|rule| rule.pattern.is_on_any_relation(column));
    }
    treatments.iter().all(|treatment| treatment.is_some_and(|it| it != Treatment::Clean))
}

/// Whether a masked column, or something that has one, gets another name, so that a rule that has
/// the one of before is about it no longer.
fn renames(rules: &[ColumnRule], catalog: &Catalog, statement: &Statement) -> bool {
    let moves = statement.operation == "ALTER SET SCHEMA";
    let types = statement.shows.iter().filter(|it| it.how == Showing::TypeRenamed);
    if types.into_iter().any(|it| hides_by_name(rules, catalog, &it.of)) {
        return true;
    }
    // Tables that were made of the type have its columns: the catalog does not say which ones.
    let below = |column: &String| {
        let mut relations = catalog.relations.values();
        relations.any(|relation| {
            RelationMask::build(rules, catalog, relation).is_none_or(|it| it.hides(column))
        })
    };
    if statement.cascades && statement.columns.iter().any(below) {
        return true;
    }
    statement.objects.iter().any(|object| match statement.columns.as_slice() {
        _ if object.name == "*" => catalog.relations.values().any(|relation| {
            object.place().is_none_or(|schema| *schema == *relation.schema)
                && depends_on_name(rules, catalog, relation)
        }),
        _ if is_part(catalog, object) => false,
        columns if columns.is_empty() || moves => {
            let place = object.place();
            let mut relations = catalog.named(place.as_deref(), &object.name).peekable();
            match relations.peek() {
                None => hides(rules, catalog, object, None),
                Some(_) => relations.any(|it| depends_on_name(rules, catalog, it)),
            }
        }
        columns => columns.iter().any(|column| hides(rules, catalog, object, Some(column))),
    })
}

/// Whether a column is hidden by what its relation is called, or is made of: not by its own name
/// alone, by which it is known under any.
fn depends_on_name(rules: &[ColumnRule], catalog: &Catalog, relation: &Relation) -> bool {
    let Some(mask) = RelationMask::build(rules, catalog, relation) else { return true };
    relation.columns.iter().zip(&mask.treatments).any(|(column, treatment)| {
        *treatment != Treatment::Clean
            && !rules.iter().any(|rule| rule.pattern.is_on_any_relation(&column.name))
    })
}

/// An index, or a sequence that a column owns: its name is the name of no column.
fn is_part(catalog: &Catalog, object: &Object) -> bool {
    let place = object.place();
    let fits = |schema: &str| place.as_deref().is_none_or(|place| place == schema);
    let parts = catalog.parts.get(&object.name).map(Vec::as_slice).unwrap_or_default();
    parts.iter().any(|(schema, _)| fits(schema))
        && catalog.named(place.as_deref(), &object.name).next().is_none()
}

/// Whether messages about a statement may quote a masked column: it mentions one, writes its
/// table (PostgreSQL quotes whole rows that break a rule), looks through a view that has one below,
/// or it is not known what it does.
pub(super) fn may_quote(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statements: Option<&[Statement]>,
) -> bool {
    if rules.is_empty() {
        return false;
    }
    let Some(statements) = statements else { return true };
    let names_only = |statement: &Statement| {
        NAMES_ONLY.contains(&&*statement.operation) || statement.operation.starts_with("DROP")
    };
    statements.iter().any(|statement| {
        is_opaque(statement)
            || alters_unnamed(statement)
            || (statement.cascades && !names_only(statement))
            || statement.objects.iter().filter(|_| !names_only(statement)).any(|object| {
                match touched(rules, catalog, object, statement) {
                    Touch::Clean => is_near(rules, catalog, object),
                    Touch::Unknown | Touch::Masked | Touch::Samples => true,
                }
            })
    })
}

/// A definition that is changed and names no relation may compute over rows of any: ALTER DOMAIN
/// looks at all columns of the domain (typecmds.c, `validateDomainCheckConstraint`), ALTER TYPE by
/// CASCADE at the tables that were made of the type (tablecmds.c, `ATTypedTableRecursion`).
fn alters_unnamed(statement: &Statement) -> bool {
    let operation = statement.operation.as_str();
    let is_change = operation.starts_with("ALTER") && !NAMES_ONLY.contains(&operation);
    is_change && statement.classes.has(Class::Ddl) && statement.objects.is_empty()
}

/// A table that is written, or a view, with a masked column in it or below.
fn is_near(rules: &[ColumnRule], catalog: &Catalog, object: &Object) -> bool {
    catalog.named(object.place().as_deref(), &object.name).any(|relation| {
        (object.write || relation.is_view())
            && RelationMask::build(rules, catalog, relation).is_none_or(|mask| {
                let below = object.write && mask.is_over_masked();
                !mask.is_clean() || mask.reads_hidden() || below
            })
    })
}

/// Whether a relation that a message names has a masked column, or refers to one by a key: a key
/// that is missing or still referred to is quoted under the name of what refers (ri_triggers.c,
/// `ri_ReportViolation`).
pub(super) fn is_masked_name(
    rules: &[ColumnRule],
    catalog: &Catalog,
    (schema, name): (Option<&str>, &str),
) -> bool {
    let masked = |relation| {
        RelationMask::build(rules, catalog, relation).is_none_or(|mask| !mask.is_clean())
    };
    let referred = |(oid, attnum): &(u32, i16)| {
        let relation = catalog.relations.get(oid);
        let mask = relation.and_then(|relation| RelationMask::build(rules, catalog, relation));
        mask.is_none_or(|mask| mask.of(*attnum) != Some(Treatment::Clean))
    };
    catalog.named(schema, name).any(|relation| {
        let refers = catalog.refers.get(&relation.oid).map(Vec::as_slice).unwrap_or_default();
        masked(relation) || refers.iter().any(referred)
    })
}

/// Whether a statement may change settings by other ways than its text says.
pub(super) fn may_set_anything(statements: &[Statement]) -> bool {
    statements.iter().any(is_opaque)
}

/// Its rows come from text that the classifier did not see.
fn is_opaque(statement: &Statement) -> bool {
    let opaque = [Class::Unknown, Class::Call, Class::FunctionCall];
    opaque.into_iter().any(|class| statement.classes.has(class))
        // A name that was not resolved; one that was is what it stands for.
        || matches!(statement.effect, Consequence::Fetch(_) | Consequence::Execute(_))
}

/// The only statement, where it is told what the columns of its answer are made of.
pub(super) fn told(statements: &[Statement]) -> Option<&Statement> {
    match statements {
        [statement] if !is_opaque(statement) && !statement.made.is_empty() => Some(statement),
        _ => None,
    }
}

/// Whether a column that is made of these holds nothing of a masked one: each is known to be a
/// clean column of a relation that the statement names, and of none a masked one.
pub(super) fn is_clean(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statement: &Statement,
    made: &Made,
) -> bool {
    if made.columns.is_empty() && made.others.is_empty() {
        return true;
    }
    let mut found: HashSet<&str> = HashSet::new();
    for object in statement.objects.iter() {
        if SAMPLES.contains(&object.name.as_str()) {
            return false;
        }
        let place = object.place();
        let mut relations = catalog.named(place.as_deref(), &object.name).peekable();
        if relations.peek().is_none() {
            return false;
        }
        for relation in relations {
            let Some(mask) = RelationMask::build(rules, catalog, relation) else { return false };
            if made.others.iter().any(|name| mask.hides(name)) {
                return false;
            }
            for column in &made.columns {
                match mask.named(column) {
                    Some(Treatment::Clean) => found.insert(column),
                    Some(_) => return false,
                    // A view may have a column of that name, and no such one of the system.
                    None => is_of_system(column, relation) && found.insert(column),
                };
            }
        }
    }
    made.columns.iter().all(|column| found.contains(&**column))
}

/// Numbers of transactions and places, which no column of a table may be called like (heap.c,
/// `CheckAttributeNamesTypes`).
fn is_of_system(column: &str, relation: &Relation) -> bool {
    SYSTEM_COLUMNS.contains(&column) && matches!(relation.kind, b'r' | b'p' | b'm' | b'f')
}

const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

fn touched(
    rules: &[ColumnRule],
    catalog: &Catalog,
    object: &Object,
    statement: &Statement,
) -> Touch {
    if SAMPLES.contains(&object.name.as_str()) {
        return Touch::Samples;
    }
    relation(rules, catalog, object, statement)
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
    match known {
        true => Touch::Clean,
        false if shows_texts(&object.name) => Touch::Samples,
        false if is_system_name(object) => Touch::Clean,
        false => Touch::Unknown,
    }
}

/// System relations are not in the catalog and hold no masked column.
fn is_system_name(object: &Object) -> bool {
    match object.place().as_deref() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
        None => object.name.starts_with("pg_"),
    }
}

/// Data definition that names columns and moves no values out of their table. WHEN of a trigger
/// compares them; what the trigger gets to see is the same without it.
const SHAPE_ONLY: [&str; 7] = [
    "ALTER",
    "DROP",
    "COMMENT",
    "CREATE INDEX",
    "CREATE STATISTICS",
    "CREATE TRIGGER",
    "CREATE UNIQUE INDEX",
];

/// Definitions that hold what their queries answer with, or nothing: what conditions compare is not
/// in them.
const BY_FLOW: [&str; 4] = ["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "CREATE VIEW"];

/// Those of them whose columns are what they are called below.
const FOLLOWED: [&str; 1] = ["CREATE VIEW"];

/// Statements that compute nothing of rows: what the server says of them has names and parts of
/// their text. What triggers say has a context.
const NAMES_ONLY: [&str; 11] = [
    "ALTER OWNER",
    "ALTER RENAME",
    "ALTER SET SCHEMA",
    "COMMENT",
    "CREATE SCHEMA",
    "CREATE TABLE",
    "CREATE VIEW",
    "GRANT",
    "LOCK TABLE",
    "REVOKE",
    "TRUNCATE TABLE",
];

/// Definitions that give other names.
const RENAMES: [&str; 2] = ["ALTER RENAME", "ALTER SET SCHEMA"];
