//! What to do with each column of an answer.
//!
//! In: the configuration's masks; who asks; the catalog; the description of the answer and the
//! statements that caused it. Out: a plan for its rows, or the word that the catalog is stale.
//! Never: a guess. Two witnesses speak for a column: the server's (table OID, attribute number),
//! which no alias changes, and, where the server gives none, what the statement touches.
//!
//! ```text
//! table OID | attribute          | treatment
//! ----------+--------------------+---------------------------------------------------------
//! known     | masked             | the rule's operator
//! known     | clean              | detectors
//! known     | 0 (whole row)      | NULL, if any column of the relation is
//! known     | not in the catalog | stale: NeedCatalog
//! unknown   | any                | stale: NeedCatalog (system relations: detectors)
//! 0         | made of clean ones | detectors (count(*), constants, max(clean))
//! 0         | an expression      | NULL, if the statements touch a masked column; detectors
//! ```

use std::rc::Rc;

use super::catalog::{self, Catalog};
use super::copy::{self, CopyPlanned};
use super::row::{Action, Column};
use super::rules::{ColumnRule, RelationMask, Treatment, holds_masked_rows, texts_of_others};
use super::touch::{self, Carried, Touch, touch};
use super::types;
use super::widened::Widened;
use crate::config::settings::MaskSpec;
use crate::decide::{Act, Classified, Consequence, Copy, FactKind, Statement, rules};
use crate::mask::body;
use crate::mask::detect::{Detector, Detectors, Scratch};
use crate::mask::hits::{Cause, Hits};
use crate::mask::kubernetes;
use crate::mask::operator::Operator;
use crate::mask::text;
use crate::wire::http::json::path::Pattern;

pub use super::row::Plan;

/// All masks of the configuration, compiled.
#[derive(Debug, Default)]
pub struct Policy {
    masks: Vec<Mask>,
}

#[derive(Debug)]
struct Mask {
    targets: Vec<String>,
    except_groups: Vec<String>,
    columns: Vec<ColumnRule>,
    paths: Vec<(Pattern, Operator)>,
    detectors: Vec<(Detector, Operator)>,
    /// Objects of Kubernetes, and paths in them.
    objects: Option<Objects>,
}

#[derive(Debug)]
struct Objects {
    facts: Vec<(FactKind, Vec<String>)>,
    paths: Vec<String>,
    operator: Operator,
}

impl Policy {
    /// Compiles the masks. Names and patterns are checked when the configuration is read; should
    /// one be unknown here all the same, it is taken for all detectors or all columns.
    pub fn compile(specs: &[MaskSpec]) -> Policy {
        let compile = |spec: &MaskSpec| {
            let rule = |pattern: &String| ColumnRule::compile(pattern, spec.operator);
            let detectors = spec.detect.iter().flat_map(|name| match Detector::parse(name) {
                Some(detector) => vec![detector],
                None => Detector::ALL.to_vec(),
            });
            Mask {
                targets: spec.targets.clone(),
                except_groups: spec.except_groups.clone(),
                columns: spec.columns.iter().map(rule).collect(),
                paths: match spec.objects.is_empty() {
                    true => spec.paths.iter().map(|it| (pattern(it), spec.operator)).collect(),
                    false => Vec::new(),
                },
                objects: (!spec.objects.is_empty()).then(|| Objects {
                    facts: spec.objects.clone(),
                    paths: spec.paths.clone(),
                    operator: spec.operator,
                }),
                detectors: detectors.map(|detector| (detector, spec.operator)).collect(),
            }
        };
        Policy { masks: specs.iter().map(compile).collect() }
    }

    /// Whether a column mask applies to the target, so that its catalog has to be read.
    pub fn needs_catalog(&self, target: &str) -> bool {
        self.masks.iter().any(|mask| mask.is_for(target) && !mask.columns.is_empty())
    }

    /// What applies to bodies of HTTP at this target, for an identity in these groups; `mcp` says
    /// that they are messages of MCP.
    pub fn bodies(&self, target: &str, groups: &[String], mcp: bool) -> body::Rules {
        let masks: Vec<&Mask> = self.of(target, groups).collect();
        let detectors = masks.iter().flat_map(|mask| mask.detectors.iter().copied());
        let detectors = Rc::new(Detectors::new(detectors));
        let paths = masks.iter().flat_map(|mask| mask.paths.iter().cloned()).collect();
        match mcp {
            true => body::Rules::mcp(paths, detectors),
            false => body::Rules::new(paths, detectors),
        }
    }

    /// What applies to the answer of a request to a cluster, `act`, about objects of `kind`. Paths
    /// start at each object, in whatever shape of answer it stands.
    pub fn objects(
        &self,
        whose: (&str, &[String]),
        act: &Act,
        (kind, answer): (&str, kubernetes::Answer),
    ) -> kubernetes::Masks {
        let (hidden, found) = self.hidden(whose, act, kind);
        let detectors = Rc::new(Detectors::new(found));
        kubernetes::Masks::new((kind, answer), hidden, detectors)
    }

    /// Paths in an object that are hidden there, and what is looked for.
    fn hidden(&self, (target, groups): (&str, &[String]), act: &Act, kind: &str) -> Hidden {
        let masks: Vec<&Mask> = self.of(target, groups).collect();
        let found = masks.iter().flat_map(|mask| mask.detectors.iter());
        let found = found.map(|(detector, _)| (*detector, Operator::Token)).collect();
        let mut hidden = Vec::new();
        for mask in masks {
            let plain = mask.paths.iter().map(|(path, operator)| (path.text(), *operator));
            hidden
                .extend(plain.flat_map(|(path, operator)| kubernetes::named(kind, path, operator)));
            let Some(objects) = &mask.objects else { continue };
            if !rules::meets(&objects.facts, act) {
                continue;
            }
            let operator = objects.operator;
            match objects.paths.is_empty() {
                true => hidden.extend(kubernetes::places(kind, operator)),
                false => {
                    let paths = objects.paths.iter().cloned();
                    hidden.extend(paths.flat_map(|path| kubernetes::named(kind, path, operator)));
                }
            }
        }
        (hidden, found)
    }

    /// Whether another policy hides the same in the answer of such a request.
    pub fn hides_alike(
        &self,
        other: &Policy,
        whose: (&str, &[String]),
        act: &Act,
        kind: &str,
    ) -> bool {
        self.hidden(whose, act, kind) == other.hidden(whose, act, kind)
    }

    /// Whether another policy hides the same in bodies of HTTP.
    pub fn hides_bodies_alike(&self, other: &Policy, whose: (&str, &[String])) -> bool {
        let hidden = |policy: &Policy| {
            let masks: Vec<&Mask> = policy.of(whose.0, whose.1).collect();
            let paths: Vec<_> = masks.iter().flat_map(|mask| mask.paths.clone()).collect();
            let found: Vec<_> = masks.iter().flat_map(|mask| mask.detectors.clone()).collect();
            (paths, found)
        };
        hidden(self) == hidden(other)
    }

    fn of(&self, target: &str, groups: &[String]) -> impl Iterator<Item = &Mask> {
        let excepted = |mask: &&Mask| !mask.except_groups.iter().any(|it| groups.contains(it));
        self.masks.iter().filter(move |mask| mask.is_for(target)).filter(excepted)
    }

    /// What applies to a session at this target whose identity is in these groups.
    pub fn view(&self, target: &str, groups: &[String]) -> View {
        let masks: Vec<&Mask> = self.of(target, groups).collect();
        let detectors = masks.iter().flat_map(|mask| mask.detectors.iter().copied());
        let detectors = Rc::new(Detectors::new(detectors));
        let mut rules: Vec<_> =
            masks.iter().flat_map(|mask| mask.columns.iter().cloned()).collect();
        if !rules.is_empty() {
            rules.extend(texts_of_others());
        }
        View { masks: !rules.is_empty() || !detectors.is_empty(), rules, detectors }
    }
}

/// Paths with what is done there, and detectors.
type Hidden = (Vec<(String, Operator)>, Vec<(Detector, Operator)>);

/// A pattern that is none is taken for all values.
fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|_| Pattern::everything())
}

impl Mask {
    fn is_for(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|known| known == target)
    }
}

/// The masks of one session.
#[derive(Clone, Debug, Default)]
pub struct View {
    rules: Vec<ColumnRule>,
    detectors: Rc<Detectors>,
    /// There is a rule or a detector: asked of each message, so found out once.
    masks: bool,
}

/// One column of a RowDescription, its format already overridden by the Bind's result formats.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Name in the result; never used to decide.
    pub name: &'a [u8],
    /// `pg_class.oid`, or 0.
    pub table_oid: u32,
    /// `pg_attribute.attnum`, or 0.
    pub attnum: i16,
    /// `pg_type.oid`.
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// A plan, or what it takes to make one.
#[derive(Debug)]
pub enum Planned {
    /// For the rows of this description.
    Ready(Plan),
    /// A relation is not in the catalog, or one of its columns: refresh it, then plan again. Should
    /// the second attempt say so too (a temporary table inside of a transaction), use
    /// `View::plan_closed`.
    NeedCatalog,
}

impl View {
    /// Nothing is masked for this session.
    pub fn is_empty(&self) -> bool {
        !self.masks
    }

    /// Column masks exist for this session.
    pub fn masks_columns(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Texts of the server about these statements (message, detail, hint, where, internal query)
    /// may quote a masked value. `None`: it is not known what they are about.
    pub fn may_quote(&self, catalog: Option<&Catalog>, statements: Option<&[Statement]>) -> bool {
        touch::may_quote(&self.rules, catalog.unwrap_or(&Catalog::default()), statements)
    }

    /// Whether the relation that a message names has a masked column.
    pub fn masks_relation(&self, catalog: Option<&Catalog>, schema: &str, name: &str) -> bool {
        let schema = Some(schema).filter(|schema| !schema.is_empty());
        let empty = Catalog::default();
        touch::is_masked_name(&self.rules, catalog.unwrap_or(&empty), (schema, name))
    }

    /// Whether these statements may put a masked value into a setting that the server reports.
    pub fn may_set_anything(&self, statements: &[Statement]) -> bool {
        self.masks_columns() && touch::may_set_anything(statements)
    }

    /// The detectors of this session.
    pub fn detectors(&self) -> &Detectors {
        &self.detectors
    }

    /// A plan for rows of this shape. `statements` is `None` when it is not known what caused them.
    pub fn plan(
        &self,
        catalog: Option<&Catalog>,
        fields: &[Field<'_>],
        statements: Option<&[Statement]>,
    ) -> Planned {
        match self.try_plan(catalog, fields, statements, None) {
            Some(plan) => Planned::Ready(plan),
            None => Planned::NeedCatalog,
        }
    }

    /// A plan that hides whatever the catalog cannot answer for.
    pub fn plan_closed(
        &self,
        catalog: Option<&Catalog>,
        fields: &[Field<'_>],
        statements: Option<&[Statement]>,
    ) -> Plan {
        self.try_plan(catalog, fields, statements, Some(Treatment::Unproven))
            .expect("with a treatment for the unknown there is always a plan")
    }

    /// `unknown` is the treatment for what the catalog cannot answer for.
    fn try_plan(
        &self,
        catalog: Option<&Catalog>,
        fields: &[Field<'_>],
        statements: Option<&[Statement]>,
        unknown: Option<Treatment>,
    ) -> Option<Plan> {
        let empty = Catalog::default();
        let mut witness = Witness {
            rules: &self.rules,
            catalog: catalog.unwrap_or(&empty),
            statements,
            relations: Vec::new(),
            touched: None,
        };
        let mut columns = Vec::with_capacity(fields.len());
        let only = statements.and_then(touch::told);
        let is_sure = |index: usize| {
            let made = only.and_then(|it| Some((it, it.made_of(index, fields.len())?)));
            made.is_some_and(|(it, made)| {
                touch::is_clean(&self.rules, catalog.unwrap_or(&empty), it, made)
            })
        };
        for (index, field) in fields.iter().enumerate() {
            let computed = field.table_oid == 0;
            let treatment = if self.rules.is_empty() || (computed && is_sure(index)) {
                Treatment::Clean
            } else {
                witness.treatment(field).or(unknown)?
            };
            columns.push(self.column(field, treatment));
        }
        Some(Plan::new(columns, Rc::clone(&self.detectors)))
    }

    fn column(&self, field: &Field<'_>, treatment: Treatment) -> Column {
        let binary = field.format != 0;
        let action = match treatment {
            Treatment::Clean if self.detectors.is_empty() => Action::Pass,
            Treatment::Clean => Action::scan(types::scan(field.type_oid, binary)),
            Treatment::Masked(operator) => Action::Hide {
                whole: types::whole(operator, field.type_oid, binary),
                operator,
                cause: Cause::Column,
            },
            Treatment::Unproven => Action::Hide {
                whole: types::Whole::Null,
                operator: Operator::Default,
                cause: Cause::Unproven,
            },
        };
        Column { action }
    }

    /// Takes note of what statements let show under other names; whether there is more of it than
    /// before.
    pub fn widen(
        &self,
        widened: &mut Widened,
        catalog: Option<&Catalog>,
        statements: &[Statement],
    ) -> bool {
        let empty = Catalog::default();
        let catalog = catalog.unwrap_or(&empty);
        !self.rules.is_empty() && widened.note(&self.rules, catalog, statements)
    }

    /// Whether statements put something elsewhere of which the catalog does not know whether it is
    /// of a masked column.
    pub fn lacks(&self, catalog: Option<&Catalog>, statements: &[Statement]) -> bool {
        let empty = Catalog::default();
        let catalog = catalog.unwrap_or(&empty);
        let lacks = |statement: &Statement| touch::lacks(catalog, statement);
        !self.rules.is_empty() && statements.iter().any(lacks)
    }

    /// Whether statements carry a masked column to where its rules do not reach: another column
    /// or table (also by CREATE TABLE AS and SELECT INTO), a file or a program at the server, a
    /// setting, a lock. The caller refuses them for such a session; the sentence is for the person
    /// at the client.
    pub fn carries_off(
        &self,
        catalog: Option<&Catalog>,
        statements: &[Statement],
    ) -> Option<String> {
        let empty = Catalog::default();
        let catalog = catalog.unwrap_or(&empty);
        let carries = |statement: &Statement| touch::carries_off(&self.rules, catalog, statement);
        statements.iter().find_map(carries).map(|carried| match carried {
            Carried::Away => CARRIED_OFF.to_owned(),
            Carried::Renamed => RENAMED.to_owned(),
            Carried::By(name) => format!(
                "weir: this statement reads a masked column, and {name}() puts what it is given \
                 where others find it; leave one of them out, or ask for a group that may see it"
            ),
        })
    }

    /// What to do with the data of a COPY.
    pub fn copy(
        &self,
        catalog: Option<&Catalog>,
        copy: &Copy,
        statement: &Statement,
    ) -> CopyPlanned {
        if copy.from_client || self.is_empty() {
            return CopyPlanned::Pass;
        }
        let empty = Catalog::default();
        let catalog = catalog.unwrap_or(&empty);
        copy::plan(&self.rules, &self.detectors, catalog, (copy, statement))
    }

    /// Whether a COPY to the client needs a catalog that knows more.
    pub fn copies_unknown(&self, catalog: Option<&Catalog>, classified: &Classified) -> bool {
        let needs = |statement: &Statement| match &statement.effect {
            Consequence::Copy(copy) => {
                matches!(self.copy(catalog, copy, statement), CopyPlanned::NeedCatalog)
            }
            _ => false,
        };
        !self.rules.is_empty() && classified.statements.iter().any(needs)
    }

    /// Appends a text that is no row (error, notice, notification, parameter status) with what the
    /// detectors find replaced. Whether anything was.
    pub fn text(&self, input: &[u8], out: &mut Vec<u8>, hits: &mut Hits) -> bool {
        text::replace(&self.detectors, input, &mut Scratch::default(), out, hits)
    }
}

const RENAMED: &str = "weir: this statement gives another name to a masked column, or to what has \
    one; ask for a group that may see it";

const CARRIED_OFF: &str = "weir: this statement copies a masked column to where it would not be \
    masked; leave the column out, or ask for a group that may see it";

/// What the server and the statements say about the columns of one answer.
struct Witness<'a> {
    rules: &'a [ColumnRule],
    catalog: &'a Catalog,
    statements: Option<&'a [Statement]>,
    /// Relations looked up so far: answers name few.
    relations: Vec<RelationMask<'a>>,
    touched: Option<Touch>,
}

impl Witness<'_> {
    /// `None` when the catalog cannot answer.
    fn treatment(&mut self, field: &Field<'_>) -> Option<Treatment> {
        if field.table_oid == 0 {
            return match self.touched() {
                Touch::Clean => Some(Treatment::Clean),
                Touch::Masked | Touch::Samples => Some(Treatment::Unproven),
                Touch::Unknown => None,
            };
        }
        if !self.catalog.relations.contains_key(&field.table_oid) {
            return catalog::is_system(field.table_oid).then(|| self.system(field));
        }
        let mask = self.relation(field.table_oid)?;
        match field.attnum {
            0 if mask.is_clean() => Some(Treatment::Clean),
            0 => Some(Treatment::Unproven),
            // ctid, xmin, tableoid.
            ..0 => Some(Treatment::Clean),
            attnum => {
                let treatment = mask.attribute(attnum)?;
                // It may have got this type since the catalog was read.
                let holds_rows = holds_masked_rows(self.rules, self.catalog, field.type_oid);
                let is_changed = holds_rows && treatment == Treatment::Clean;
                Some(if is_changed { Treatment::Unproven } else { treatment })
            }
        }
    }

    /// Columns of system relations are clean, but for values that statistics sampled from tables
    /// and the bytes of large objects.
    fn system(&mut self, field: &Field<'_>) -> Treatment {
        let telling = field.type_oid == types::ANYARRAY
            || (self.touched() == Touch::Samples && !types::is_plain_fact(field.type_oid));
        if telling { Treatment::Unproven } else { Treatment::Clean }
    }

    fn touched(&mut self) -> Touch {
        let (rules, catalog, statements) = (self.rules, self.catalog, self.statements);
        *self.touched.get_or_insert_with(|| touch(rules, catalog, statements))
    }

    fn relation(&mut self, oid: u32) -> Option<&RelationMask<'_>> {
        let known = self.relations.iter().position(|mask| mask.relation.oid == oid);
        let index = match known {
            Some(index) => index,
            None => {
                let relation = self.catalog.relations.get(&oid)?;
                self.relations.push(RelationMask::build(self.rules, self.catalog, relation)?);
                self.relations.len() - 1
            }
        };
        self.relations.get(index)
    }
}

#[cfg(test)]
mod tests;
