//! What a command reaches beside the objects that its text names, for the rules that mind it.
//!
//! In: actions, the catalog of the target, what this session made. Out: actions with their kin.
//! Never: a name that is passed for harmless because it is not known: the command waits for a newer
//! catalog, and reaches anything where none comes.
//!
//! ```text
//!   an object --known to the catalog--> kin, walked once per snapshot (`Kindred`)
//!             --a view of this session-> what the view was made of, and the kin of that
//!             --made by this statement-> nothing yet
//!             --neither--------------> waits; then nothing: no other transaction sees it
//! ```

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::decide::{Act, Action, Classified, Kin, Object, Rules, Verdict};
use crate::limits;
use crate::mask::sql::catalog::Catalog;
use crate::mask::sql::kin::Reach;
use crate::session::Stage;
use crate::session::postgres::core::Office;

use super::changed::Changed;
use super::ready::{Learned, Ready};

/// Kin of the objects of one target that a rule of the snapshot minds, as far as somebody asked.
/// Names that the catalog does not have are not kept, so it is not larger than the catalog.
#[derive(Debug, Default)]
pub struct Kindred {
    known: RefCell<HashMap<Box<str>, Vec<Asked>>>,
}

#[derive(Debug)]
struct Asked {
    object: Object,
    reach: Reach,
    kin: Rc<[Kin]>,
}

impl Kindred {
    /// `None` where the catalog has no such name.
    fn of(
        &self,
        (object, reach): (&Object, Reach),
        catalog: &Catalog,
        rules: &Rules,
    ) -> Option<Rc<[Kin]>> {
        let mut known = self.known.borrow_mut();
        let asked = known.get(&*object.name).map(Vec::as_slice).unwrap_or_default();
        let same = |it: &&Asked| it.reach == reach && it.object == *object;
        if let Some(it) = asked.iter().find(same) {
            return Some(Rc::clone(&it.kin));
        }
        let kin = catalog.kin(object, reach)?;
        let minded = kin.into_iter().filter(|it| rules.minds(it));
        let kin: Rc<[Kin]> = minded.map(|it| by_way_of(object, it)).collect();
        let asked = Asked { object: object.clone(), reach, kin: Rc::clone(&kin) };
        known.entry(object.name.as_str().into()).or_default().push(asked);
        Some(kin)
    }
}

fn by_way_of(by: &Object, object: Object) -> Kin {
    Kin { object, by: by.path().into() }
}

fn anything(by: &str) -> Kin {
    Kin { object: Object::within("*", "*", true), by: by.into() }
}

/// Relations that this session made: others see them when its transaction has ended, and the
/// catalog is read some time after that.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// By name; a view with what its definition names.
    names: HashMap<String, Vec<Object>>,
}

impl Made {
    /// Takes note of what a command makes.
    pub(super) fn note(&mut self, action: &Action) {
        for act in &action.acts {
            if !makes(act) {
                continue;
            }
            let sources =
                act.objects.iter().filter(|it| !it.write && act.operation == "CREATE VIEW");
            let mut sources: Vec<Object> = sources.cloned().collect();
            if sources.len() > limits::MADE_SOURCES_MAX {
                sources = vec![Object::within("*", "*", false)];
            }
            for object in act.objects.iter().filter(|object| object.write) {
                if self.names.len() >= limits::MADE_NAMES_MAX {
                    self.names.clear();
                }
                self.names.insert(object.name.clone(), sources.clone());
            }
        }
    }

    /// All that a view of this session is made of, through others; `None` if no such name was made.
    fn sources(&self, name: &str) -> Option<Vec<&Object>> {
        let mut found: Vec<&Object> = self.names.get(name)?.iter().collect();
        let mut entered = vec![name];
        let mut at = 0;
        while let Some(object) = found.get(at).copied() {
            at += 1;
            if !entered.contains(&object.name.as_str()) {
                entered.push(&object.name);
                found.extend(self.names.get(&object.name).into_iter().flatten());
            }
        }
        Some(found)
    }
}

/// Whether relations that an act writes are made by it.
fn makes(act: &Act) -> bool {
    const MAKES: [&str; 7] = [
        "CREATE TABLE",
        "CREATE TABLE AS",
        "CREATE VIEW",
        "CREATE FOREIGN TABLE",
        "CREATE SEQUENCE",
        "CREATE SCHEMA",
        "SELECT INTO",
    ];
    MAKES.contains(&&*act.operation)
}

/// Relations of PostgreSQL's own, whichever the catalog has.
fn is_own(object: &Object) -> bool {
    matches!(object.place().as_deref(), Some("pg_catalog" | "information_schema"))
}

fn names_foreign(act: &Act) -> bool {
    act.objects.iter().any(|object| !is_own(object))
}

/// Whether a name that the catalog does not have may be any relation.
fn is_unknown(object: &Object, act: &Act, made: &Made) -> bool {
    let is_made = (object.write && makes(act)) || made.names.contains_key(&object.name);
    !is_made && !is_own(object)
}

fn reach(act: &Act) -> Reach {
    match act.cascades {
        false => Reach::Rows,
        true if act.operation.starts_with("TRUNCATE") => Reach::Truncated,
        true => Reach::Dropped,
    }
}

impl Ready {
    /// The action with what it reaches, as far as a rule minds it; `None` where that is nothing.
    pub(super) fn reaching(&self, action: &Action, stage: &Stage<'_>) -> Option<Action> {
        if !self.link.scope.minds_objects() {
            return None;
        }
        let made = self.made_with(action);
        let acts = action.acts.iter();
        let kin: Vec<Vec<Kin>> = acts.map(|act| self.kin_of(act, &made, stage)).collect();
        if kin.iter().all(Vec::is_empty) {
            return None;
        }
        let mut reaching = action.clone();
        reaching.acts.iter_mut().zip(kin).for_each(|(act, kin)| act.kin = kin);
        Some(reaching)
    }

    /// The action with its objects in the schemas that they may be in, where the search path is
    /// another one than rules go by: in the only one that has the name, else in any.
    pub(super) fn placed(&self, action: &Action, stage: &Stage<'_>) -> Option<Action> {
        let is_bare = |object: &Object| object.namespace.is_empty();
        let moves = self.changed.is_path_in_doubt() || Changed::within(action).is_path_in_doubt();
        if !moves || !action.acts.iter().any(|act| act.objects.iter().any(is_bare)) {
            return None;
        }
        let catalog = self.catalog(stage).map(|(catalog, _)| catalog);
        // Another schema may have the name by now.
        let stale = stage.snapshot.is_stale(self.link.target);
        let place = |object: &Object| {
            let mut schemas: Vec<&str> = catalog
                .into_iter()
                .flat_map(|catalog| catalog.named(None, &object.name))
                .map(|relation| relation.schema.as_str())
                .collect();
            schemas.dedup();
            let schema = match schemas.as_slice() {
                [only] if !stale => only,
                _ => "*",
            };
            Object::within(schema, object.name.as_str(), object.write)
        };
        let mut placed = action.clone();
        for act in &mut placed.acts {
            let objects = act.objects.iter();
            act.objects =
                objects.map(|it| if is_bare(it) { place(it) } else { it.clone() }).collect();
        }
        Some(placed)
    }

    /// What people who are asked are told of it.
    pub(super) fn reached_words(&self, action: &Action, stage: &Stage<'_>) -> Vec<String> {
        let reaching = self.reaching(action, stage);
        let acts = reaching.iter().flat_map(|it| &it.acts);
        let mut words: Vec<String> = Vec::new();
        for kin in acts.flat_map(|act| &act.kin).take(limits::KIN_SHOWN_MAX) {
            let word = format!("{} by way of {}", kin.object.marked(), kin.by);
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }

    /// What this session made, with what the action makes itself.
    fn made_with(&self, action: &Action) -> Cow<'_, Made> {
        let mut made = Cow::Borrowed(&self.made);
        if action.acts.len() > 1 && action.acts.iter().any(makes) {
            made.to_mut().note(action);
        }
        made
    }

    fn kin_of(&self, act: &Act, made: &Made, stage: &Stage<'_>) -> Vec<Kin> {
        let Some((catalog, kindred)) = self.catalog(stage) else {
            return if names_foreign(act) { vec![anything(UNREAD)] } else { Vec::new() };
        };
        let mut kin = Vec::new();
        // A type, a function, an extension: weir does not know who uses it.
        if act.cascades && act.objects.is_empty() {
            kin.push(anything(DEPENDENTS));
        }
        let rules = &stage.snapshot.rules;
        // No newer catalog came.
        let late = self.learned == Learned::Late;
        let add = |object: &Object, reach, kin: &mut Vec<Kin>| match kindred.of(
            (object, reach),
            catalog,
            rules,
        ) {
            Some(known) => kin.extend(known.iter().cloned()),
            None if late && is_unknown(object, act, made) => kin.push(anything(UNKNOWN)),
            None => {}
        };
        for object in act.objects.iter() {
            add(object, reach(act), &mut kin);
            for source in made.sources(&object.name).unwrap_or_default() {
                kin.extend(rules.minds(source).then(|| by_way_of(object, source.clone())));
                add(source, Reach::Rows, &mut kin);
            }
        }
        kin
    }

    /// Whether a command waits for a newer catalog from now on. What that does not have either is
    /// of this transaction, and was made through weir.
    pub(super) fn learns_first(
        &mut self,
        classified: &Classified,
        frame: &[u8],
        core: &mut Office,
        stage: &Stage<'_>,
    ) -> bool {
        let first = self.learned == Learned::Not && self.resolved.is_none();
        let waits = first
            && self.lacks_kin(&classified.action, stage)
            && self.depends_on_kin(&classified.action, core, stage);
        if waits {
            self.learn_first(frame, core, stage);
        }
        waits
    }

    /// Whether it makes a difference what a command reaches: it may be denied or asked for by that.
    fn depends_on_kin(&self, action: &Action, core: &Office, stage: &Stage<'_>) -> bool {
        let who = self.link.who(core, stage);
        let mut reaching = action.clone();
        reaching.acts.iter_mut().for_each(|act| act.kin = vec![anything(UNKNOWN)]);
        match (self.link.scope.decide(&who, action), self.link.scope.decide(&who, &reaching)) {
            (Verdict::Deny(_), _) | (Verdict::Allow(..), Verdict::Allow(..)) => false,
            (Verdict::Hold(one), Verdict::Hold(two)) => one.parts != two.parts,
            _ => true,
        }
    }

    /// Whether the catalog has to be read before it can be told what a command reaches.
    fn lacks_kin(&self, action: &Action, stage: &Stage<'_>) -> bool {
        if !self.link.scope.minds_objects() {
            return false;
        }
        let Some((catalog, kindred)) = self.catalog(stage) else {
            return action.acts.iter().any(names_foreign);
        };
        let (made, rules) = (self.made_with(action), &stage.snapshot.rules);
        let lacks = |act: &Act, object: &Object| {
            is_unknown(object, act, &made)
                && kindred.of((object, reach(act)), catalog, rules).is_none()
        };
        action.acts.iter().any(|act| act.objects.iter().any(|object| lacks(act, object)))
    }

    fn catalog<'s>(&self, stage: &'s Stage<'_>) -> Option<(&'s Catalog, &'s Kindred)> {
        let catalog = stage.snapshot.catalogs.get(self.link.target)?.as_deref()?;
        Some((catalog, stage.snapshot.kindred.get(self.link.target)?))
    }
}

const UNREAD: &str = "a target whose catalog weir has not read yet";
const UNKNOWN: &str = "a relation that weir does not know yet";
const DEPENDENTS: &str = "what depends on it";
