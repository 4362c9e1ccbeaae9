//! Names of statements or portals, and what they mean.
//!
//! In: changes, each in the pipeline that makes it; their fate. Out: what a name means to a
//! message. Never: a meaning that the target may not share: a name in doubt is `Unsettled` or
//! `Suspect`.
//!
//! A change is entered when its message is sent. To a later message of the same pipeline it holds
//! at once, because that message is run only if the change was made: after an error the target
//! skips to the Sync. To other pipelines it holds when its own is answered.
//!
//! A meaning that the target has dropped unseen does no harm: the target refuses the name. Harm
//! comes of a name that means something new at the target, and what gives a new meaning (Parse,
//! Bind, PREPARE, DECLARE) is always entered, whatever the name is believed to mean before.

use crate::limits;
use crate::session::postgres::state::Epoch;

use super::slots::Slots;

/// The order of changes.
pub type Tick = u64;

/// What a name means, as far as weir can know before all replies are in.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'n, T> {
    /// This.
    Known(&'n T),
    /// Nothing that weir has seen.
    Absent,
    /// An earlier pipeline changed it and is not answered yet: it may have failed before it came
    /// to the change. Whoever wants to know waits until that pipeline's ReadyForQuery.
    Unsettled,
    /// This, unless code of the client that weir cannot read has given it another meaning since.
    Suspect(&'n T),
}

/// How to take back one change of a name.
#[derive(Debug)]
pub struct Undo<T> {
    name: Box<[u8]>,
    previous: Option<Slot<T>>,
    epoch: Epoch,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    epoch: Epoch,
    tick: Tick,
    /// The name is in `removed`.
    listed: bool,
}

/// A meaning that another one took the place of, in a pipeline that is not answered: it is back if
/// that one is skipped, and what ends or commits transactions until then is about it, too.
#[derive(Debug)]
struct Replaced<T> {
    value: T,
    epoch: Epoch,
    tick: Tick,
    /// By what was made then.
    by: (Epoch, Tick),
}

/// What may outlive a transaction.
pub trait Meaning: Clone {
    /// It does not end with the transaction it was made in.
    fn outlives(&self) -> bool;

    /// It will not, once that is committed.
    fn may_outlive(&self) -> bool {
        false
    }

    /// The transaction it was made in is committed.
    fn committed(&self) {}
}

/// Names and what they mean.
#[derive(Debug)]
pub struct Names<T> {
    slots: Slots<Slot<T>>,
    removed: Vec<Box<[u8]>>,
    /// Those that may outlive their transaction.
    replaced: Vec<Replaced<T>>,
    /// Changes that were taken back after a later pipeline had built on them, and the newest of
    /// those that had.
    undone: Vec<(Box<[u8]>, Epoch, Epoch)>,
    settled: Option<Epoch>,
    clock: Tick,
    /// Meanings of before that outlive nothing are gone; all meanings of before are.
    ended: Tick,
    wiped: Tick,
    /// Transactions up to this pipeline are over.
    over: Option<Epoch>,
    /// In this pipeline, meanings of before are gone if it gets that far.
    implied: Option<(Epoch, Tick)>,
    /// The newest pipeline with a change that is not entered name by name, and the one before.
    changed: [Option<Epoch>; 2],
    /// Named meanings of before are suspect.
    suspect: Tick,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names {
            slots: Slots::default(),
            removed: Vec::new(),
            replaced: Vec::new(),
            undone: Vec::new(),
            settled: None,
            clock: 0,
            ended: 0,
            wiped: 0,
            over: None,
            implied: None,
            changed: [None; 2],
            suspect: 0,
        }
    }
}

impl<T: Meaning> Names<T> {
    /// What `name` means to a message of the pipeline `now`.
    pub fn get(&self, name: &[u8], now: Epoch) -> Lookup<'_, T> {
        let slot = self.slots.get(name);
        let own = slot.is_some_and(|slot| slot.epoch == now);
        // No SQL can give the empty name a meaning.
        if !own && !name.is_empty() && self.in_doubt(now) {
            return Lookup::Unsettled;
        }
        let Some(slot) = slot else { return Lookup::Absent };
        if !own && self.is_open(slot.epoch) {
            return Lookup::Unsettled;
        }
        let Some(value) = &slot.value else { return Lookup::Absent };
        match self.implied {
            Some((epoch, tick)) if epoch == now && slot.tick < tick => Lookup::Absent,
            _ if slot.tick < self.suspect && !name.is_empty() => Lookup::Suspect(value),
            _ => Lookup::Known(value),
        }
    }

    /// A pipeline before `now` changes names that nobody can list, and is not answered.
    fn in_doubt(&self, now: Epoch) -> bool {
        self.changed.iter().flatten().any(|&epoch| epoch < now && self.is_open(epoch))
    }

    fn is_open(&self, epoch: Epoch) -> bool {
        self.settled.is_none_or(|settled| settled < epoch)
    }

    /// The time, for what happens now.
    pub fn tick(&mut self) -> Tick {
        self.clock += 1;
        self.clock
    }

    /// The pipeline `now` changes what cannot be entered before it has happened.
    pub fn will_change(&mut self, now: Epoch) {
        if self.changed[0] != Some(now) {
            self.changed = [Some(now), self.changed[0]];
        }
    }

    /// What of the pipeline `now` comes behind this finds all meanings of before gone.
    pub fn will_end(&mut self, now: Epoch) -> Tick {
        let tick = self.tick();
        self.will_change(now);
        self.implied = Some((now, tick));
        tick
    }

    /// Code that weir cannot read may change any name from here on.
    pub fn suspect(&mut self, now: Epoch) {
        self.suspect = self.tick();
        self.will_change(now);
    }

    /// Gives `name` a meaning, in the pipeline `now`.
    pub fn set(&mut self, name: &[u8], value: T, now: Epoch) -> Undo<T> {
        self.change(name, Some(value), now)
    }

    /// What the name means by now that was changed so.
    pub fn of(&self, undo: &Undo<T>) -> Option<&T> {
        self.slots.get(&undo.name)?.value.as_ref()
    }

    /// What `name` means now it means since `tick`.
    pub fn date(&mut self, name: &[u8], tick: Tick) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.tick = tick;
        }
    }

    /// Takes the meaning of `name` away, if it has or may have one. Names that were never given
    /// leave no trace, however many of them a client closes.
    pub fn close(&mut self, name: &[u8], now: Epoch) -> Option<Undo<T>> {
        self.slots
            .get(name)
            .is_some_and(|slot| slot.value.is_some() || slot.epoch != now)
            .then(|| self.remove(name, now))
    }

    /// Takes the meaning of `name` away, whatever it is.
    pub fn remove(&mut self, name: &[u8], now: Epoch) -> Undo<T> {
        let undo = self.change(name, None, now);
        if let Some(slot) = self.slots.get_mut(name)
            && !std::mem::replace(&mut slot.listed, true)
        {
            self.removed.push(name.into());
        }
        undo
    }

    fn change(&mut self, name: &[u8], value: Option<T>, epoch: Epoch) -> Undo<T> {
        let tick = self.tick();
        let previous = match self.slots.get_mut(name) {
            Some(current) => {
                let slot = Slot { value, epoch, tick, listed: current.listed };
                let previous = std::mem::replace(current, slot);
                if let Some(value) = previous.value.as_ref().filter(|it| it.may_outlive())
                    && self.replaced.len() < limits::STATEMENTS_MAX
                {
                    let (value, by) = (value.clone(), (epoch, tick));
                    let (epoch, tick) = (previous.epoch, previous.tick);
                    self.replaced.push(Replaced { value, epoch, tick, by });
                }
                Some(previous)
            }
            None => self.slots.insert(name.into(), Slot { value, epoch, tick, listed: false }),
        };
        Undo { name: name.into(), previous, epoch }
    }

    /// Takes changes back that the target skipped, given in the order they were made.
    pub fn undo(&mut self, undos: Vec<Undo<T>>) {
        for undo in undos.into_iter().rev() {
            let Some(current) = self.slots.get(&undo.name) else { continue };
            let listed = current.listed;
            if current.epoch != undo.epoch {
                // A later pipeline changed it again, on top of a change that never was.
                self.undone.push((undo.name, undo.epoch, current.epoch));
                continue;
            }
            let Some(mut slot) = undo.previous else {
                self.slots.remove(&undo.name);
                continue;
            };
            let mut undone = self.undone.iter();
            let never_was =
                undone.any(|(name, epoch, _)| *name == undo.name && *epoch == slot.epoch);
            if never_was || !self.lives(&slot) {
                slot.value = None;
            }
            slot.listed = listed;
            self.slots.insert(undo.name, slot);
        }
    }

    /// Whether nothing has ended what the slot says.
    fn lives(&self, slot: &Slot<T>) -> bool {
        let outlives = slot.value.as_ref().is_some_and(Meaning::outlives);
        let in_transaction = slot.tick >= self.ended && self.over.is_none_or(|o| o < slot.epoch);
        slot.tick >= self.wiped && (outlives || in_transaction)
    }

    /// The pipelines up to `epoch` are answered.
    pub fn settle(&mut self, epoch: Epoch) {
        self.settled = Some(epoch);
        self.replaced.retain(|replaced| replaced.by.0 > epoch);
        if !self.undone.is_empty() {
            // Those that had built on it may still take their own change back.
            self.undone.retain(|(_, _, until)| *until > epoch);
        }
        if self.removed.is_empty() {
            return;
        }
        self.removed.retain(|name| match self.slots.get_mut(name) {
            Some(Slot { value: None, epoch: removed, .. }) if *removed <= epoch => {
                self.slots.remove(name);
                false
            }
            Some(Slot { value: None, .. }) => true,
            Some(slot) => {
                slot.listed = false;
                false
            }
            None => false,
        });
    }

    /// A transaction has ended, and with it what was made before `tick` and does not outlive it.
    pub fn end(&mut self, tick: Tick) {
        self.ended = self.ended.max(tick);
        self.replaced.retain(|replaced| replaced.tick > tick);
        self.slots
            .retain(|slot| slot.tick > tick || slot.value.as_ref().is_some_and(Meaning::outlives));
    }

    /// A transaction is committed, and with it what was made before `tick`.
    pub fn keep(&self, tick: Tick) {
        self.committed(|_, made, by| made <= tick && by.is_none_or(|(_, by)| by > tick));
    }

    /// The transactions of the pipelines up to `epoch` are committed; what later ones have made
    /// already is in transactions of their own.
    pub fn keep_pipelines(&self, epoch: Epoch) {
        self.committed(|made, _, by| made <= epoch && by.is_none_or(|(by, _)| by > epoch));
    }

    /// Of meanings with their epoch and tick, and those of what replaced them.
    fn committed(&self, among: impl Fn(Epoch, Tick, Option<(Epoch, Tick)>) -> bool) {
        let made = self.slots.iter().filter(|(_, slot)| among(slot.epoch, slot.tick, None));
        made.filter_map(|(_, slot)| slot.value.as_ref()).for_each(Meaning::committed);
        let replaced = self.replaced.iter().filter(|it| among(it.epoch, it.tick, Some(it.by)));
        replaced.for_each(|it| it.value.committed());
    }

    /// The transactions of the pipelines up to `epoch` are over.
    pub fn end_pipelines(&mut self, epoch: Epoch) {
        self.over = Some(epoch);
        self.replaced.retain(|replaced| replaced.epoch > epoch);
        self.slots.retain(|slot| {
            slot.epoch > epoch || slot.value.as_ref().is_some_and(Meaning::outlives)
        });
    }

    /// All that had a name before `tick` has none.
    pub fn wipe(&mut self, tick: Tick) {
        self.wiped = self.wiped.max(tick);
        self.replaced.retain(|replaced| replaced.tick > tick);
        self.slots.retain_named(|slot| slot.tick > tick);
    }

    /// Whether one more meaning of `more` bytes fits, and counts it if it does. What `kept` counts
    /// of meanings that were closed, or taken back, is found out when it matters.
    pub fn fits(
        &self,
        kept: &mut usize,
        more: usize,
        most: usize,
        size: impl Fn(&T) -> usize,
    ) -> bool {
        if kept.saturating_add(more) > most {
            let named = self.iter().filter(|(name, _)| !name.is_empty());
            *kept = named.map(|(_, value)| size(value)).sum();
        }
        let fits = self.count() < limits::STATEMENTS_MAX && kept.saturating_add(more) <= most;
        if fits {
            *kept += more;
        }
        fits
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// All names and meanings, settled or not.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.slots.iter().filter_map(|(name, slot)| Some((name, slot.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Meaning for char {
        fn outlives(&self) -> bool {
            self.is_ascii_uppercase()
        }
    }

    #[test]
    fn a_name_changed_by_an_unanswered_pipeline_is_unsettled_for_the_next() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        assert_eq!(names.get(b"s", 0), Lookup::Known(&'a'));
        assert_eq!(names.get(b"s", 1), Lookup::Unsettled);
        names.settle(0);
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'a'));
    }

    #[test]
    fn a_failed_pipeline_leaves_what_was() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        names.settle(0);
        let undos = vec![names.remove(b"s", 1), names.set(b"s", 'b', 1), names.set(b"t", 'c', 1)];
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'b'));
        names.undo(undos);
        names.settle(1);
        assert_eq!(names.get(b"s", 2), Lookup::Known(&'a'));
        assert_eq!(names.get(b"t", 2), Lookup::Absent);
    }

    #[test]
    fn two_failed_pipelines_leave_no_meaning_that_never_was() {
        let mut names = Names::default();
        let _ = names.set(b"", 'a', 0);
        names.settle(0);
        let first = names.set(b"", 'b', 1);
        let second = names.set(b"", 'c', 2);
        names.undo(vec![first]);
        names.settle(1);
        names.undo(vec![second]);
        names.settle(2);
        assert_eq!(names.get(b"", 3), Lookup::Absent);
    }

    #[test]
    fn a_change_that_never_was_is_remembered_while_anything_builds_on_it() {
        let mut names = Names::default();
        let first = names.set(b"", 'a', 0);
        let later = names.set(b"", 'b', 3);
        names.undo(vec![first]);
        (0..3).for_each(|epoch| names.settle(epoch));
        names.undo(vec![later]);
        names.settle(3);
        assert_eq!(names.get(b"", 4), Lookup::Absent);
        assert!(names.undone.is_empty());
    }

    #[test]
    fn removed_names_are_forgotten_when_settled() {
        let mut names = Names::default();
        let _ = names.set(b"s", 'a', 0);
        let _ = names.remove(b"s", 0);
        assert_eq!(names.get(b"s", 0), Lookup::Absent);
        names.settle(0);
        assert_eq!(names.count(), 0);
    }

    #[test]
    fn a_change_that_is_not_entered_by_name_is_waited_for_by_names_only() {
        let mut names = Names::default();
        let _ = (names.set(b"s", 'a', 0), names.set(b"", 'u', 0));
        names.settle(0);
        names.will_change(1);
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'a'), "its own pipeline knows");
        assert_eq!(names.get(b"s", 2), Lookup::Unsettled);
        assert_eq!(names.get(b"new", 2), Lookup::Unsettled);
        assert_eq!(names.get(b"", 2), Lookup::Known(&'u'));
        names.will_change(2);
        assert_eq!(names.get(b"s", 2), Lookup::Unsettled, "the one before is still unanswered");
        names.settle(1);
        assert_eq!(names.get(b"s", 2), Lookup::Known(&'a'));
        assert_eq!(names.get(b"s", 3), Lookup::Unsettled);
    }

    #[test]
    fn what_ended_does_not_come_back_when_a_later_change_is_taken_back() {
        let mut names = Names::default();
        let _ = (names.set(b"s", 'a', 0), names.set(b"h", 'H', 0));
        names.settle(0);
        let tick = names.will_end(1);
        assert_eq!(names.get(b"s", 1), Lookup::Absent, "gone, if this pipeline gets there");
        let undo = names.set(b"s", 'b', 1);
        let held = names.set(b"h", 'c', 1);
        assert_eq!(names.get(b"s", 1), Lookup::Known(&'b'));
        names.end(tick);
        names.undo(vec![undo, held]);
        names.settle(1);
        assert_eq!(names.get(b"s", 2), Lookup::Absent);
        assert_eq!(names.get(b"h", 2), Lookup::Known(&'H'), "it outlives its transaction");
        let tick = names.will_end(2);
        names.wipe(tick);
        names.settle(2);
        assert_eq!(names.get(b"h", 3), Lookup::Absent);
    }

    #[test]
    fn suspicion_falls_on_what_was_named_before() {
        let mut names = Names::default();
        let _ = (names.set(b"s", 'a', 0), names.set(b"", 'u', 0));
        names.suspect(0);
        let _ = names.set(b"t", 'b', 0);
        names.settle(0);
        assert_eq!(names.get(b"s", 1), Lookup::Suspect(&'a'));
        assert_eq!(names.get(b"t", 1), Lookup::Known(&'b'));
        assert_eq!(names.get(b"", 1), Lookup::Known(&'u'));
    }

    #[test]
    fn names_closed_without_end_are_remembered_once() {
        let mut names: Names<char> = Names::default();
        for n in 0..100u32 {
            assert!(names.close(&n.to_be_bytes(), 0).is_none());
            let _ = names.set(b"s", 'a', 0);
            assert!(names.close(b"s", 0).is_some());
        }
        assert_eq!((names.count(), names.removed.len()), (1, 1));
        names.settle(0);
        assert!(names.count() == 0 && names.removed.is_empty());
        let _ = names.set(b"s", 'b', 1);
        names.settle(1);
        let again = names.close(b"s", 2).expect("a name to take away");
        names.undo(vec![again]);
        names.settle(2);
        assert_eq!(names.get(b"s", 3), Lookup::Known(&'b'));
    }
}
