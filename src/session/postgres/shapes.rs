//! Definitions of this session: who waits for the catalog after them, and what masks go by before
//! it can tell them.
//!
//! In: texts that go to the target, ends of transactions, snapshots. Out: the catalog without what
//! it is wrong about. Never: a column planned by what its relation was before.

use std::sync::Arc;

use crate::decide::sql::Showing;
use crate::decide::{Classified, Consequence, Copy, Statement};
use crate::mask::sql::catalog::Catalog;
use crate::mask::sql::copy;
use crate::mask::sql::widened::Widened;
use crate::session::Stage;
use crate::session::postgres::core::Office;

use super::admit::Refusal;
use super::beliefs::About;
use super::ready::{Learned, Ready};

/// Definitions after which a column, a table or a view of the same number may be another one, and
/// what may hold one: migrations have them in DO. Procedures are called too often to wait for each.
const NAMES_CHANGE: [&str; 4] = ["ALTER RENAME", "ALTER SET SCHEMA", "CREATE VIEW", "DO"];

/// Others that may bring a masked column to where no plan expects one, such as INHERIT. There are
/// many of them in a dump, so who sees everything does not wait for each.
const SHAPES_CHANGE: [&str; 4] =
    ["ALTER TABLE", "ALTER VIEW", "ALTER MATERIALIZED VIEW", "ALTER FOREIGN TABLE"];

impl Ready {
    /// Whether the end of a definition has to wait until the catalog was read again: nobody who
    /// has heard that a column is called otherwise may read it by a plan of before.
    pub(super) fn waits_for_shapes(
        &mut self,
        status: u8,
        core: &mut Office,
        stage: &Stage<'_>,
    ) -> bool {
        if let About::Run(classified) = self.beliefs.about() {
            self.note_shapes(&classified);
        }
        let ended = std::mem::take(&mut self.shapes_committed) || status == b'I';
        self.shapes_changed |= !self.widened.is_empty();
        if !ended || !std::mem::take(&mut self.shapes_changed) {
            return false;
        }
        // The second time the catalog is there, or nobody brought it.
        let waits = stage.snapshot.masks.needs_catalog(&self.link.target_name)
            && !std::mem::take(&mut self.catalog_asked);
        if waits {
            self.catalog_asked = true;
            self.note_change(stage);
            self.await_catalog(core, stage);
        }
        waits
    }

    pub(super) fn note_change(&self, stage: &Stage<'_>) {
        if let Some(changes) = stage.snapshot.changes.get(self.link.target) {
            changes.note(stage.now.mono_us);
        }
    }

    pub(super) fn note_shapes(&mut self, classified: &Classified) {
        let masked = self.link.view.masks_columns();
        let is_in = |words: &[&str], it: &Statement| words.contains(&&*it.operation);
        let changes = |it: &Statement| {
            is_in(&NAMES_CHANGE, it) || changes_types(it) || (masked && is_in(&SHAPES_CHANGE, it))
        };
        for statement in &classified.statements {
            self.shapes_changed |= changes(statement);
            match statement.operation.as_str() {
                "PREPARE TRANSACTION" => self.shapes_prepared |= self.shapes_changed,
                "COMMIT PREPARED" => self.shapes_changed |= self.shapes_prepared,
                _ => {}
            }
            // Another transaction may begin in the same text.
            let ends = statement.effect == Consequence::EndTransaction;
            self.shapes_committed |= ends && self.shapes_changed;
        }
    }

    /// Takes note of what a text lets show under other names, before anything in it is planned, and
    /// tells the catalog that holds then. If the text fails, more is hidden than need be until the
    /// transaction ends.
    pub(super) fn widen(
        &mut self,
        classified: &Classified,
        stage: &Stage<'_>,
    ) -> Result<Option<Arc<Catalog>>, Refusal> {
        let statements = classified.statements.as_slice();
        let catalog = stage.snapshot.catalogs.get(self.link.target).and_then(Option::as_deref);
        if self.link.view.widen(&mut self.widened, catalog, statements) {
            *self.narrowed.borrow_mut() = None;
        }
        let shown = self.catalog_shown(stage);
        let carries = |it: &Statement| {
            let lacks = || self.link.view.lacks(shown.as_deref(), std::slice::from_ref(it));
            // What gets another name is told by that.
            let renames = it.shows.iter().any(|shows| shows.how == Showing::Renamed);
            !renames && self.widened.is_about(it) && lacks()
        };
        match !self.widened.is_empty() && statements.iter().any(carries) {
            true => Err(Refusal::mask(WIDENED.into())),
            false => Ok(shown),
        }
    }

    /// Why a COPY is refused that the catalog cannot answer for. What this very transaction made is
    /// in no catalog that others can read.
    pub(super) fn unknown_copy(
        &self,
        (copy, classified): (&Copy, &Classified),
        catalog: Option<&Catalog>,
    ) -> Refusal {
        let is_alone = classified.statements.len() == 1 && self.beliefs.is_idle();
        let is_told = self.learned == Learned::Told && is_alone;
        let missing = catalog.filter(|_| is_told).and_then(|it| copy::missing(it, copy));
        let unknown = || Refusal::mask(copy::not_known(copy));
        missing.map_or_else(unknown, Refusal::missing)
    }

    /// The catalog, without what this transaction changed.
    pub(super) fn catalog_shown(&self, stage: &Stage<'_>) -> Option<Arc<Catalog>> {
        let known = stage.snapshot.catalogs.get(self.link.target)?.as_ref()?;
        if self.widened.is_empty() {
            return Some(Arc::clone(known));
        }
        let mut narrowed = self.narrowed.borrow_mut();
        if let Some([of, catalog]) = &*narrowed
            && Arc::ptr_eq(of, known)
        {
            return Some(Arc::clone(catalog));
        }
        let catalog = Arc::new(self.widened.without(known));
        *narrowed = Some([Arc::clone(known), Arc::clone(&catalog)]);
        Some(catalog)
    }

    /// The transaction has ended, and the catalog was read since: it is right again. What was sent
    /// since then may have changed it already.
    pub(super) fn forget_widened(&mut self, status: u8) {
        if status == b'I' && self.beliefs.owes_nothing() {
            self.widened = Widened::default();
            *self.narrowed.borrow_mut() = None;
        }
    }
}

/// Whether columns that are known may hold rows of another type from now on, or a type has other
/// parts. Values of an enumeration are none; it is named as no relation is.
fn changes_types(statement: &Statement) -> bool {
    let retypes = statement.stored.as_ref().is_some_and(|it| !it.retyped.is_empty());
    retypes || (statement.operation == "ALTER TYPE" && !statement.objects.is_empty())
}

const WIDENED: &str = "weir: this statement copies of a relation that was changed in this \
    transaction so that it may show masked columns; do so after its end";
