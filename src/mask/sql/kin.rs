//! What a relation is beside itself: what has its rows, or goes with it, under other names.
//!
//! In: an object that a statement names, the catalog. Out: objects. Never: a relation that
//! `initdb` made; an answer about a name that the catalog does not have.
//!
//! ```text
//!   any statement     parents and children, the table of an index or a sequence, and what a view
//!                     reads, with their parents and children
//!   TRUNCATE CASCADE  and what refers to any of them by a key, again and again (truncate.c,
//!                     `heap_truncate_find_FKs`)
//!   others' CASCADE   and views that read it, again and again; what refers to any of these
//! ```

use std::collections::BTreeSet;

use super::catalog::{Catalog, is_system};
use crate::decide::Object;

/// How far a statement goes beyond what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the rows of it.
    Rows,
    /// To the rows of what refers to it.
    Truncated,
    /// To what is defined by it.
    Dropped,
}

impl Catalog {
    /// What a statement reaches with this object; `None` where nothing has the name.
    pub fn kin(&self, object: &Object, reach: Reach) -> Option<Vec<Object>> {
        let place = object.place();
        let place = place.as_deref();
        let (named, tables): (Vec<u32>, Vec<u32>) = match (place, object.name.as_str()) {
            (Some("*"), "*") => return Some(Vec::new()),
            (Some(schema), "*") => (self.in_schema(schema).to_vec(), Vec::new()),
            _ => {
                let fits = |schema: &String| place.is_none_or(|place| place == schema);
                let parts = self.parts.get(&object.name).map(Vec::as_slice).unwrap_or_default();
                let tables = parts.iter().filter(|(schema, _)| fits(schema));
                let named = self.named(place, &object.name).map(|relation| relation.oid);
                (named.collect(), tables.map(|(_, table)| *table).collect())
            }
        };
        if named.is_empty() && tables.is_empty() {
            return None;
        }
        let mut kin = Kin { catalog: self, found: BTreeSet::new(), complete: true };
        named.iter().chain(&tables).for_each(|&oid| kin.rows_of(oid));
        match reach {
            Reach::Rows => {}
            Reach::Truncated => kin.truncated(&named),
            Reach::Dropped => kin.dropped(&named, &tables),
        }
        for oid in &named {
            kin.found.remove(oid);
        }
        Some(kin.objects(object.write))
    }
}

struct Kin<'c> {
    catalog: &'c Catalog,
    found: BTreeSet<u32>,
    /// Nothing is missing in the catalog.
    complete: bool,
}

impl Kin<'_> {
    /// Adds a relation, and what shows the same rows.
    fn rows_of(&mut self, oid: u32) {
        let relation = self.catalog.relations.get(&oid);
        match relation.and_then(|relation| self.catalog.origins(relation)) {
            Some(origins) => self.found.extend(origins.iter().map(|origin| origin.oid)),
            None => self.complete &= is_system(oid),
        }
    }

    fn truncated(&mut self, named: &[u32]) {
        let catalog = self.catalog;
        let empties = |oid| [catalog.heirs(oid), catalog.referrers(oid)];
        closure(named, empties).into_iter().for_each(|oid| self.rows_of(oid));
    }

    fn dropped(&mut self, named: &[u32], tables: &[u32]) {
        let catalog = self.catalog;
        let takes = |oid| [catalog.heirs(oid), catalog.readers(oid)];
        let gone = closure(named, takes);
        // A key that refers to what is gone is gone, too, its table stays.
        for oid in gone.iter().chain(tables) {
            self.found.extend(catalog.referrers(*oid));
        }
        self.found.extend(gone);
    }

    fn objects(self, write: bool) -> Vec<Object> {
        let relations = self.found.iter().filter(|oid| !is_system(**oid));
        let relations = relations.filter_map(|oid| self.catalog.relations.get(oid));
        let objects =
            relations.map(|it| Object::within(it.schema.as_str(), it.name.as_str(), write));
        let unseen = (!self.complete).then(|| Object::within("*", "*", write));
        objects.chain(unseen).collect()
    }
}

/// What follows from these, they among it; each is entered once.
fn closure<'c>(from: &[u32], next: impl Fn(u32) -> [&'c [u32]; 2]) -> BTreeSet<u32> {
    let mut seen: BTreeSet<u32> = from.iter().copied().collect();
    let mut open = from.to_vec();
    while let Some(oid) = open.pop() {
        for &other in next(oid).into_iter().flatten() {
            if seen.insert(other) {
                open.push(other);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Relation;
    use super::*;

    fn relation(oid: u32, name: &str, kind: u8, sources: &[u32]) -> Relation {
        Relation::of_texts((oid, name), kind, sources, &[])
    }

    /// A partitioned table with two partitions, a view of one and a view of that; users with a view
    /// and posts that refer to them, and likes to posts.
    fn catalog() -> Catalog {
        let mut catalog = Catalog::new([
            relation(20_001, "events", b'p', &[]),
            relation(20_002, "events_1", b'r', &[20_001]),
            relation(20_003, "events_2", b'r', &[20_001]),
            relation(20_004, "recent", b'v', &[20_002]),
            relation(20_005, "latest", b'm', &[20_004]),
            relation(20_006, "users", b'r', &[]),
            relation(20_007, "names", b'v', &[20_006, 1259]),
            relation(20_008, "posts", b'r', &[]),
            relation(20_009, "likes", b'r', &[]),
            relation(20_010, "users_id_seq", b'S', &[]),
            relation(1259, "pg_class", b'r', &[]),
        ]);
        catalog.refers.insert(20_008, vec![(20_006, 1)]);
        catalog.refers.insert(20_009, vec![(20_008, 1), (20_008, 2)]);
        for (name, table) in [("ix", 20_002), ("users_pkey", 20_006), ("users_id_seq", 20_006)] {
            catalog.parts.insert(name.into(), vec![("public".into(), table)]);
        }
        catalog
    }

    fn check(name: &str, reach: Reach, expect: Option<&str>) {
        let object = match name.split_once('.') {
            Some((schema, name)) => Object::within(schema, name, true),
            None => Object::bare(name, true),
        };
        let kin = catalog().kin(&object, reach);
        let words = |kin: Vec<Object>| {
            assert!(kin.iter().all(|it| it.write && it.place().as_deref() == Some("public")));
            kin.iter().map(|it| it.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kin.map(words).as_deref(), expect, "{name} {reach:?}");
    }

    #[test]
    fn rows_have_other_names() {
        let rows = |name: &str, expect: &str| check(name, Reach::Rows, Some(expect));
        rows("events", "events_1 events_2");
        rows("public.events", "events_1 events_2");
        rows("events_1", "events");
        rows("recent", "events events_1");
        rows("latest", "events events_1 recent");
        rows("ix", "events events_1");
        rows("users", "");
        rows("names", "users");
        rows("users_pkey", "users");
        rows("users_id_seq", "users");
        rows("pg_class", "");
        rows("*.*", "");
        for absent in ["absent", "other.events", "other.ix", "other.*"] {
            check(absent, Reach::Rows, None);
        }
    }

    #[test]
    fn truncate_empties_what_refers() {
        check("users", Reach::Truncated, Some("posts likes"));
        check("posts", Reach::Truncated, Some("likes"));
        check("likes", Reach::Truncated, Some(""));
        check("events", Reach::Truncated, Some("events_1 events_2"));
    }

    #[test]
    fn drop_takes_views_and_keys() {
        check("users", Reach::Dropped, Some("names posts"));
        check("users_pkey", Reach::Dropped, Some("users posts"));
        check("events", Reach::Dropped, Some("events_1 events_2 recent latest"));
        check("events_2", Reach::Dropped, Some("events"));
        check("names", Reach::Dropped, Some("users"));
        check("public.*", Reach::Dropped, Some(""));
    }

    #[test]
    fn a_view_of_what_is_missing_may_be_of_anything() {
        let catalog = Catalog::new([relation(20_002, "v", b'v', &[20_001])]);
        let kin = catalog.kin(&Object::bare("v", false), Reach::Rows).unwrap();
        assert_eq!(kin, [Object::within("*", "*", false)]);
    }

    #[test]
    fn circles_end() {
        let mut catalog =
            Catalog::new([relation(20_001, "a", b'r', &[]), relation(20_002, "b", b'r', &[])]);
        catalog.refers.insert(20_001, vec![(20_002, 1)]);
        catalog.refers.insert(20_002, vec![(20_001, 1)]);
        let kin = catalog.kin(&Object::bare("a", true), Reach::Truncated).unwrap();
        assert_eq!(kin, [Object::within("public", "b", true)]);
    }
}
