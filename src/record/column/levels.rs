//! Which values are there, and which row they belong to.
//!
//! In: values, NULLs and lists as they come. Out: the levels before the values of a page.
//! Never: a level that the column's definition has no use for.
//!
//! A column of weir has at most one level of repetition (`Dremel`, section 4.1): a text may be
//! NULL, a list may be empty, and some lists may be NULL besides.

use super::hybrid::Runs;

/// The levels of a page.
#[derive(Debug)]
pub enum Levels {
    /// Every row has its value.
    Required {
        /// Rows.
        rows: usize,
    },
    /// A row has a value (1) or NULL (0).
    Nullable(Runs),
    /// A row has any number of values.
    List {
        /// 0 begins a row, 1 goes on with it.
        repetition: Runs,
        /// `value_level` is a value, one less an empty list, and 0 NULL, where lists may be NULL.
        definition: Runs,
        /// 2 where lists may be NULL, else 1.
        value_level: u32,
    },
}

impl Levels {
    /// A row with its one value.
    pub fn value(&mut self) {
        match self {
            Levels::Required { rows } => *rows += 1,
            Levels::Nullable(definition) => definition.push(1),
            Levels::List { .. } => unreachable!("a list has elements"),
        }
    }

    /// A row without a value.
    pub fn null(&mut self) {
        match self {
            Levels::Nullable(definition) => definition.push(0),
            Levels::List { repetition, definition, value_level: 2 } => {
                repetition.push(0);
                definition.push(0);
            }
            Levels::Required { .. } | Levels::List { .. } => {
                unreachable!("NULL in a column that has none")
            }
        }
    }

    /// Whether the row before has NULL; `None` when none is before it.
    pub fn is_null(&self) -> Option<bool> {
        match self {
            Levels::Required { rows } => (*rows > 0).then_some(false),
            Levels::Nullable(definition) => definition.last().map(|run| run.value == 0),
            Levels::List { .. } => unreachable!("a list has elements"),
        }
    }

    /// The next value of a list, which may be the `first` one of its row.
    pub fn element(&mut self, first: bool) {
        let Levels::List { repetition, definition, value_level } = self else {
            unreachable!("a list in a column of single values")
        };
        repetition.push(u32::from(!first));
        definition.push(*value_level);
    }

    /// A row whose list is empty.
    pub fn empty_list(&mut self) {
        let Levels::List { repetition, definition, value_level } = self else {
            unreachable!("a list in a column of single values")
        };
        repetition.push(0);
        definition.push(*value_level - 1);
    }

    /// Rows since the last `clear`.
    pub fn rows(&self) -> usize {
        match self {
            Levels::Required { rows } => *rows,
            Levels::Nullable(definition) => definition.count(),
            Levels::List { repetition, .. } => repetition.count_of(0),
        }
    }

    /// Values, with those that are not there.
    pub fn values(&self) -> usize {
        match self {
            Levels::Required { rows } => *rows,
            Levels::Nullable(definition) | Levels::List { definition, .. } => definition.count(),
        }
    }

    /// Values that are not there.
    pub fn nulls(&self) -> usize {
        match self {
            Levels::Required { .. } => 0,
            Levels::Nullable(definition) => definition.count_of(0),
            Levels::List { definition, value_level, .. } => {
                definition.count() - definition.count_of(*value_level)
            }
        }
    }

    /// Appends the levels as a data page of version 1 has them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Levels::Required { .. } => {}
            Levels::Nullable(definition) => encode(definition, 1, out),
            Levels::List { repetition, definition, value_level } => {
                encode(repetition, 1, out);
                encode(definition, *value_level, out);
            }
        }
    }

    /// The next row is of another page.
    pub fn clear(&mut self) {
        match self {
            Levels::Required { rows } => *rows = 0,
            Levels::Nullable(definition) => definition.clear(),
            Levels::List { repetition, definition, .. } => {
                repetition.clear();
                definition.clear();
            }
        }
    }
}

/// Levels of so many bits, after how many bytes they are.
fn encode(levels: &Runs, bits: u32, out: &mut Vec<u8>) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    levels.encode(bits, out);
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}
