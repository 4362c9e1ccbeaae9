//! Shapes of the tables of one target, as masks need them: read at the target, never guessed.
//!
//! In: rows of `pg_class`, `pg_attribute`, `pg_inherits`, `pg_depend`. Out: relations by OID and by
//! name, and where the columns of a relation may come from. What may run code of users comes along,
//! for the classes.
//! Never: an answer about a relation that was not read; the caller refreshes and asks again.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use crate::decide::sql::own::OwnCode;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`, from 1.
    pub attnum: i16,
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_namespace.nspname`.
    pub schema: String,
    /// `pg_class.relname`.
    pub name: String,
    /// `pg_class.relkind`: `r`, `p`, `v`, `m`, `f`, `S`, `c`.
    pub kind: u8,
    /// Relations whose columns show through this one: parents by inheritance or partitioning, and
    /// relations a view reads. A mask on any of them reaches this relation.
    pub sources: Vec<u32>,
    /// Columns, by attnum, dropped ones left out.
    pub columns: Vec<Column>,
}

#[cfg(test)]
impl Relation {
    /// One of `public` whose columns are texts, for tests.
    pub fn of_texts(
        (oid, name): (u32, &str),
        kind: u8,
        sources: &[u32],
        columns: &[&str],
    ) -> Relation {
        let column = |(index, name): (usize, &&str)| Column {
            attnum: i16::try_from(index + 1).unwrap(),
            name: (*name).to_owned(),
            type_oid: 25,
        };
        Relation {
            oid,
            schema: "public".into(),
            name: name.into(),
            kind,
            sources: sources.to_vec(),
            columns: columns.iter().enumerate().map(column).collect(),
        }
    }
}

impl Relation {
    /// A view or a materialised view: its columns are expressions over other relations.
    pub fn is_view(&self) -> bool {
        matches!(self.kind, b'v' | b'm')
    }

    /// The column with this number.
    pub fn column(&self, attnum: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.attnum == attnum)
    }
}

/// All relations of one target. Frozen once a session can see it: the index is built on first use.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By `pg_class.oid`.
    pub relations: HashMap<u32, Relation>,
    /// Types that hold whole rows of relations, by `pg_type.oid`, and those relations.
    pub row_types: HashMap<u32, Vec<u32>>,
    /// Generated columns of relations, by `attnum`, and the columns of the relation that each is
    /// computed from.
    pub generated: HashMap<u32, HashMap<i16, Vec<i16>>>,
    /// Columns that the rule of a view reads, wherever it reads them: a relation and an `attnum` of
    /// it, or 0 where it reads none of its columns. Only of views that read no row as a whole and
    /// run nothing that could read more than that.
    pub reads: HashMap<u32, Vec<(u32, i16)>>,
    /// Views that run what may read anything: functions whose bodies are not known, and those of
    /// PostgreSQL that run queries.
    pub unseen: HashSet<u32>,
    /// Columns that a relation refers to by foreign keys: a relation and an `attnum` of it.
    pub refers: HashMap<u32, Vec<(u32, i16)>>,
    /// Indexes, sequences that a table owns and where it keeps long values, by name: the schema of
    /// each, and its table.
    pub parts: HashMap<String, Vec<(String, u32)>>,
    /// Names that may run code of users.
    pub own: OwnCode,
    index: OnceLock<Index>,
}

impl PartialEq for Catalog {
    fn eq(&self, other: &Catalog) -> bool {
        self.relations == other.relations
            && self.row_types == other.row_types
            && self.generated == other.generated
            && self.reads == other.reads
            && self.refers == other.refers
            && self.unseen == other.unseen
            && self.parts == other.parts
            && self.own == other.own
    }
}

impl Eq for Catalog {}

/// What the relations imply.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Relations by name, in any schema.
    by_name: HashMap<String, Vec<u32>>,
    /// Inheritance children and partitions by parent.
    heirs: HashMap<u32, Vec<u32>>,
    /// Views by what they read.
    readers: HashMap<u32, Vec<u32>>,
    /// Relations by those that they refer to by a foreign key.
    referrers: HashMap<u32, Vec<u32>>,
    /// Relations by schema.
    by_schema: HashMap<String, Vec<u32>>,
}

impl Catalog {
    /// A catalog of these relations.
    pub fn new(relations: impl IntoIterator<Item = Relation>) -> Catalog {
        let relations = relations.into_iter().map(|relation| (relation.oid, relation)).collect();
        Catalog { relations, ..Catalog::default() }
    }

    /// The catalog without some of its relations: nothing is known of them, nor of what they are
    /// part of.
    pub fn without(&self, is_gone: impl Fn(&Relation) -> bool) -> Catalog {
        let kept = self.relations.iter().filter(|(_, relation)| !is_gone(relation));
        Catalog {
            relations: kept.map(|(oid, relation)| (*oid, relation.clone())).collect(),
            index: OnceLock::new(),
            ..self.clone()
        }
    }

    /// Relations with this name, in `schema` if given, else in any: a search path is never trusted.
    pub fn named<'c>(
        &'c self,
        schema: Option<&'c str>,
        name: &str,
    ) -> impl Iterator<Item = &'c Relation> {
        let oids = self.index().by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let relations = oids.iter().filter_map(|oid| self.relations.get(oid));
        relations.filter(move |relation| schema.is_none_or(|schema| relation.schema == schema))
    }

    /// The relation itself and all whose values it may show: what it inherits from, what inherits
    /// from it (a scan of a parent returns rows of its children), what a view reads, transitively.
    /// `None` when one of them is not in the catalog.
    pub fn origins(&self, relation: &Relation) -> Option<Vec<&Relation>> {
        let mut walk = Walk { catalog: self, seen: HashSet::new(), complete: true };
        walk.visit(relation.oid, Direction::Both);
        let mut oids: Vec<u32> = walk.seen.iter().map(|&(oid, _)| oid).collect();
        oids.sort_unstable();
        oids.dedup();
        let found = oids.iter().filter_map(|oid| self.relations.get(oid)).collect();
        walk.complete.then_some(found)
    }

    /// Names of the columns that the generated column of this name is computed from; none if it is
    /// an ordinary one.
    pub fn computed_from<'c>(
        &'c self,
        relation: &'c Relation,
        column: &str,
    ) -> impl Iterator<Item = &'c str> {
        // Few relations have any, and a partitioned table has many origins.
        let generated = self.generated.get(&relation.oid);
        let from = generated.and_then(|generated| {
            let known = relation.columns.iter().find(|known| known.name == column)?;
            generated.get(&known.attnum)
        });
        let from = from.map(Vec::as_slice).unwrap_or_default();
        from.iter().filter_map(|&attnum| Some(relation.column(attnum)?.name.as_str()))
    }

    /// Whether a column is computed, so that nobody stores it and COPY leaves it out.
    pub fn is_generated(&self, relation: &Relation, attnum: i16) -> bool {
        self.generated.get(&relation.oid).is_some_and(|generated| generated.contains_key(&attnum))
    }

    /// Inheritance children and partitions of a relation.
    pub(super) fn heirs(&self, oid: u32) -> &[u32] {
        self.index().heirs.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// Views that read a relation.
    pub(super) fn readers(&self, oid: u32) -> &[u32] {
        self.index().readers.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// Relations with a foreign key to this one.
    pub(super) fn referrers(&self, oid: u32) -> &[u32] {
        self.index().referrers.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// Relations of a schema.
    pub(super) fn in_schema(&self, schema: &str) -> &[u32] {
        self.index().by_schema.get(schema).map(Vec::as_slice).unwrap_or_default()
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::build(self))
    }
}

impl Index {
    fn build(catalog: &Catalog) -> Index {
        let mut index = Index::default();
        for relation in catalog.relations.values() {
            index.by_name.entry(relation.name.clone()).or_default().push(relation.oid);
            index.by_schema.entry(relation.schema.clone()).or_default().push(relation.oid);
            let is_view = relation.is_view();
            let below = if is_view { &mut index.readers } else { &mut index.heirs };
            for &source in &relation.sources {
                below.entry(source).or_default().push(relation.oid);
            }
        }
        for (&referrer, keys) in &catalog.refers {
            for &(referred, _) in keys {
                index.referrers.entry(referred).or_default().push(referrer);
            }
        }
        index
    }
}

/// Which way inheritance is followed; both ways at once would reach siblings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Both,
    Up,
    Down,
}

struct Walk<'c> {
    catalog: &'c Catalog,
    seen: HashSet<(u32, Direction)>,
    complete: bool,
}

impl Walk<'_> {
    /// Depth is bounded by the number of relations: each is entered once per direction.
    fn visit(&mut self, oid: u32, direction: Direction) {
        if !self.seen.insert((oid, direction)) {
            return;
        }
        let catalog = self.catalog;
        let Some(relation) = catalog.relations.get(&oid) else {
            // System relations are read by views of extensions and carry no column masks.
            self.complete &= is_system(oid);
            return;
        };
        if relation.is_view() {
            relation.sources.iter().for_each(|&source| self.visit(source, Direction::Both));
            return;
        }
        if direction != Direction::Down {
            relation.sources.iter().for_each(|&parent| self.visit(parent, Direction::Up));
        }
        if direction != Direction::Up
            && let Some(heirs) = catalog.index().heirs.get(&oid)
        {
            heirs.iter().for_each(|&heir| self.visit(heir, Direction::Down));
        }
    }
}

/// Whether `initdb` made the object (`FirstNormalObjectId`, transam.h).
pub fn is_system(oid: u32) -> bool {
    oid < 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, kind: u8, sources: &[u32]) -> Relation {
        Relation::of_texts((oid, &format!("r{oid}")), kind, sources, &[])
    }

    fn check(relations: &[Relation], oid: u32, expect: Option<&[u32]>) {
        let catalog = Catalog::new(relations.iter().cloned());
        let origins = catalog.origins(&catalog.relations[&oid]);
        let oids = origins.map(|found| found.iter().map(|r| r.oid).collect::<Vec<_>>());
        assert_eq!(oids.as_deref(), expect);
    }

    #[test]
    fn views_reach_what_they_read() {
        let all = [
            relation(20_001, b'r', &[]),
            relation(20_002, b'v', &[20_001]),
            relation(20_003, b'm', &[20_002, 1259]),
        ];
        check(&all, 20_003, Some(&[20_001, 20_002, 20_003]));
        check(&all, 20_001, Some(&[20_001]));
    }

    #[test]
    fn inheritance_reaches_up_and_down_but_not_aside() {
        let all = [
            relation(20_001, b'p', &[]),
            relation(20_002, b'r', &[20_001]),
            relation(20_003, b'r', &[20_001]),
            relation(20_004, b'v', &[20_001]),
        ];
        check(&all, 20_001, Some(&[20_001, 20_002, 20_003]));
        check(&all, 20_002, Some(&[20_001, 20_002]));
        check(&all, 20_004, Some(&[20_001, 20_002, 20_003, 20_004]));
    }

    #[test]
    fn a_missing_source_is_no_answer() {
        check(&[relation(20_002, b'v', &[20_001])], 20_002, None);
    }

    #[test]
    fn circles_end() {
        let all = [relation(20_001, b'v', &[20_002]), relation(20_002, b'v', &[20_001])];
        check(&all, 20_001, Some(&[20_001, 20_002]));
    }

    #[test]
    fn names_without_schema_match_every_schema() {
        let mut other = relation(20_002, b'r', &[]);
        other.schema = "hr".into();
        other.name = "r20001".into();
        let catalog = Catalog::new([relation(20_001, b'r', &[]), other]);
        assert_eq!(catalog.named(None, "r20001").count(), 2);
        assert_eq!(catalog.named(Some("hr"), "r20001").count(), 1);
        assert_eq!(catalog.named(None, "absent").count(), 0);
    }
}
