//! Relations that show rows of others since the transaction that is open, which no catalog tells
//! before its end.
//!
//! In: statements that go to the target, its catalog. Out: the catalog without what it is wrong
//! about. Never: a parent of such a relation that is taken for what it was.
//!
//! ```text
//!   INHERIT, ATTACH PARTITION   the parent, if masks of the child go by its name, and its parents
//!   RENAME, SET SCHEMA          what has the new name, if a column is masked
//!   CREATE .. AS of a masked    what has the name, if it is known or a view
//! ```

use std::collections::BTreeSet;

use super::catalog::{Catalog, is_system};
use super::rules::ColumnRule;
use super::touch;
use crate::decide::Statement;
use crate::decide::sql::{Showing, Shows};
use crate::limits;

/// What a catalog is wrong about.
#[derive(Debug, Default)]
pub struct Widened {
    /// Names, in whatever schema.
    names: BTreeSet<String>,
    /// What showed by which name, all of this transaction.
    shows: Vec<Shows>,
    /// There were too many to remember.
    any: bool,
}

impl Widened {
    /// The catalog is right.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.any
    }

    /// Whether what is known of the relations that a statement names is wrong.
    pub fn is_about(&self, statement: &Statement) -> bool {
        self.any || statement.objects.iter().any(|it| self.names.contains(&it.name))
    }

    /// The catalog without what it is wrong about.
    pub fn without(&self, catalog: &Catalog) -> Catalog {
        catalog
            .without(|it| !is_system(it.oid) && (self.any || self.names.contains(it.name.as_str())))
    }

    /// Takes note of what statements let show; whether there is more of it than before.
    pub(super) fn note(
        &mut self,
        rules: &[ColumnRule],
        catalog: &Catalog,
        statements: &[Statement],
    ) -> bool {
        let before = (self.names.len(), self.shows.len(), self.any);
        for statement in statements {
            let of_relations = |it: &&Shows| it.how != Showing::TypeRenamed;
            self.shows.extend(statement.shows.iter().filter(of_relations).cloned());
            if touch::makes_of_masked(rules, catalog, statement) {
                let written = statement.objects.iter().filter(|it| it.write);
                self.names.extend(written.map(|it| it.name.clone()));
            }
        }
        if before.1 != self.shows.len() || before.0 != self.names.len() {
            self.follow(rules, catalog);
        }
        before != (self.names.len(), self.shows.len(), self.any)
    }

    /// Each name that is found may be the child of another one.
    fn follow(&mut self, rules: &[ColumnRule], catalog: &Catalog) {
        loop {
            let names = self.names.len();
            for it in &self.shows {
                let hides = || match it.how {
                    Showing::Renamed => touch::hides(rules, catalog, &it.of, None),
                    _ => touch::hides_by_name(rules, catalog, &it.of),
                };
                if self.names.contains(&it.of.name) || hides() {
                    self.names.insert(it.by.clone());
                }
            }
            let named = self.names.iter().flat_map(|name| catalog.named(None, name));
            let tables = named.filter(|it| !it.is_view());
            let parents = tables.flat_map(|it| &it.sources);
            let parents = parents.filter_map(|oid| Some(catalog.relations.get(oid)?.name.clone()));
            let parents: Vec<String> = parents.collect();
            self.names.extend(parents);
            self.any |= self.names.len().max(self.shows.len()) > limits::MADE_NAMES_MAX;
            if self.any {
                (self.names, self.shows) = Default::default();
            }
            if self.any || self.names.len() == names {
                return;
            }
        }
    }
}
