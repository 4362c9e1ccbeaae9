//! What masking did, counted per column and cause: the rows of `masking_hits`.
//!
//! In: one call per changed value. Out: counts, drained once per answer.
//! Never: a value, or any part of one.

use super::detect::Detector;
use super::operator::Operator;
use crate::limits;

/// Why a value was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule for its column.
    Column,
    /// A rule for its path.
    Path,
    /// Its origin is not proven, and the command touches a masked column.
    Unproven,
    /// A detector found something in it.
    Detector(Detector),
}

impl Cause {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Column => "column",
            Cause::Path => "path",
            Cause::Unproven => "unproven",
            Cause::Detector(detector) => detector.name(),
        }
    }
}

/// Changes of one kind in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Index of the column in the answer, or number of the place in a body; 0 for texts that are
    /// no rows.
    pub column: u16,
    /// Why.
    pub cause: Cause,
    /// How.
    pub operator: Operator,
    /// How often.
    pub count: u64,
}

/// Counts of one answer.
#[derive(Debug, Default)]
pub struct Hits {
    list: Vec<Hit>,
    /// Rows repeat the same columns in the same order, so the next hit is usually the next entry.
    next: usize,
    /// Columns in which a detector has made a value NULL, and what it found first.
    nulls: Vec<(u16, Cause)>,
    /// Of bodies: where values stand, by the number that `column` has.
    places: Vec<String>,
}

impl Hits {
    /// The number of a place in a body. Those beyond `limits::MASK_PLACES_MAX` are one.
    pub fn place(&mut self, text: &str) -> u16 {
        let found = self.places.iter().position(|place| place == text).unwrap_or_else(|| {
            match self.places.len() {
                limits::MASK_PLACES_MAX => self.places.push("...".to_owned()),
                len if len < limits::MASK_PLACES_MAX => self.places.push(text.to_owned()),
                _ => {}
            }
            self.places.len() - 1
        });
        u16::try_from(found).unwrap_or(u16::MAX)
    }

    /// The places by their numbers.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// Counts one change.
    pub fn add(&mut self, column: u16, cause: Cause, operator: Operator) {
        let same = |hit: &Hit| (hit.column, hit.cause, hit.operator) == (column, cause, operator);
        let index = match self.list.get(self.next) {
            Some(hit) if same(hit) => self.next,
            _ => self.list.iter().position(same).unwrap_or_else(|| {
                self.list.push(Hit { column, cause, operator, count: 0 });
                self.list.len() - 1
            }),
        };
        self.list[index].count += 1;
        self.next = if index + 1 == self.list.len() { 0 } else { index + 1 };
    }

    /// A value has become NULL for what a detector found: nothing in the answer tells it from one
    /// that is NULL.
    pub fn note_null(&mut self, column: u16, cause: Cause) {
        if !self.nulls.iter().any(|&(known, _)| known == column) {
            self.nulls.push((column, cause));
        }
    }

    /// Takes the columns of which that is so.
    pub fn take_nulls(&mut self) -> Vec<(u16, Cause)> {
        std::mem::take(&mut self.nulls)
    }

    /// Nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Values changed.
    pub fn total(&self) -> u64 {
        self.list.iter().map(|hit| hit.count).sum()
    }

    /// Takes the counts and starts anew.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Hit> {
        self.next = 0;
        self.list.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_and_bounded() {
        let mut hits = Hits::default();
        assert_eq!((hits.place("a"), hits.place("b"), hits.place("a")), (0, 1, 0));
        for number in 0..2 * limits::MASK_PLACES_MAX {
            hits.place(&number.to_string());
        }
        assert_eq!(hits.places().len(), limits::MASK_PLACES_MAX + 1);
        assert_eq!(hits.places().last().map(String::as_str), Some("..."));
    }

    #[test]
    fn counts_add_up_in_any_order() {
        let mut hits = Hits::default();
        let email = Cause::Detector(Detector::Email);
        for _ in 0..3 {
            hits.add(0, Cause::Column, Operator::Partial);
            hits.add(2, email, Operator::Redact);
        }
        hits.add(2, email, Operator::Redact);
        hits.add(2, email, Operator::Mask);
        assert_eq!(hits.total(), 8);
        let counts: Vec<_> = hits.drain().map(|hit| (hit.column, hit.count)).collect();
        assert_eq!(counts, [(0, 3), (2, 4), (2, 1)]);
        assert!(hits.is_empty());
    }
}
