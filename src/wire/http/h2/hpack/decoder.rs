//! Blocks to fields (RFC 7541 3, 6).
//!
//! In: the fragments of one block after another. Out: fields. Never: an allocation per field; more
//! than `H2_BLOCK_BYTES_MAX` of a field whose rest has not come.
//!
//! ```text
//!   1 index(7)                    a field of a table               6.1
//!   01 index(6) [name] value      a field that the table learns    6.2.1
//!   001 size(5)                   the table's size changes         6.3
//!   0001 index(4) [name] value    a field never to be indexed      6.2.3
//!   0000 index(4) [name] value    a field that is not indexed      6.2.2
//! ```

use super::fields::{Fields, Open};
use super::table::Table;
use super::{Broken, fixed, huffman};
use crate::limits::H2_BLOCK_BYTES_MAX;

/// Decodes the blocks of one direction of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    table: Table,
    place: Place,
    /// The start of a field whose rest is in the next fragment.
    carry: Vec<u8>,
}

/// Where in a block the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first field; the table's size was changed so many times.
    Start(u8),
    /// Behind the first field.
    Fields,
}

impl Default for Place {
    fn default() -> Place {
        Place::Start(0)
    }
}

/// Why a field was not decoded.
enum Stop {
    Need,
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(broken)
    }
}

impl Decoder {
    /// Decodes a fragment; `last` says that it ends its block. The fields of one block belong into
    /// one `fields`.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn decode(
        &mut self,
        fragment: &[u8],
        last: bool,
        fields: &mut Fields,
    ) -> Result<(), Broken> {
        if self.carry.is_empty() {
            let used = self.run(fragment, fields)?;
            self.carry.extend_from_slice(fragment.get(used..).unwrap_or(&[]));
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(fragment);
            let used = self.run(&carry, fields)?;
            carry.drain(..used.min(carry.len()));
            self.carry = carry;
        }
        if self.carry.len() > H2_BLOCK_BYTES_MAX || (last && !self.carry.is_empty()) {
            return Err(Broken::Truncated);
        }
        if last {
            self.place = Place::Start(0);
            self.carry = Vec::new();
        }
        Ok(())
    }

    /// Decodes whole fields; returns how many bytes they took.
    fn run(&mut self, bytes: &[u8], fields: &mut Fields) -> Result<usize, Broken> {
        let mut rest = bytes;
        loop {
            let before = rest;
            let open = fields.open();
            match self.step(&mut rest, fields, open) {
                Ok(()) if rest.is_empty() => return Ok(bytes.len()),
                Ok(()) => {}
                Err(Stop::Need) => {
                    fields.drop(open);
                    return Ok(bytes.len() - before.len());
                }
                Err(Stop::Broken(broken)) => return Err(broken),
            }
        }
    }

    fn step(&mut self, rest: &mut &[u8], fields: &mut Fields, mut open: Open) -> Result<(), Stop> {
        let &first = rest.first().ok_or(Stop::Need)?;
        if first & 0xe0 == 0x20 {
            return self.resize(rest);
        }
        if first & 0x80 != 0 {
            let index = integer(rest, 7)?;
            // A field that is dropped anyway need not be copied.
            if !fields.is_over() {
                self.push_name(index, fields)?;
                fields.end_name(&mut open);
                self.push_value(index, fields);
            } else if self.is_missing(index) {
                return Err(Stop::Broken(Broken::Index));
            }
            fields.close(open, false);
        } else {
            let learn = first & 0x40 != 0;
            match integer(rest, if learn { 6 } else { 4 })? {
                0 => string(rest, fields.arena())?,
                index => self.push_name(index, fields)?,
            }
            fields.end_name(&mut open);
            string(rest, fields.arena())?;
            if learn {
                let (name, value) = fields.text(open);
                self.table.insert(name, value);
            }
            fields.close(open, first & 0xf0 == 0x10);
        }
        self.place = Place::Fields;
        Ok(())
    }

    /// A block may begin with two changes: down to what was the least in between, and up (4.2).
    fn resize(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        let Place::Start(changes) = self.place else { return Err(Broken::LateTableSize.into()) };
        let size = integer(rest, 5)? as usize;
        // weir announces the size that every table begins with and never another.
        if changes >= 2 || size > Table::default().size_max() {
            return Err(Broken::TableSize.into());
        }
        self.table.resize(size);
        self.place = Place::Start(changes + 1);
        Ok(())
    }

    fn is_missing(&self, index: u32) -> bool {
        index == 0 || index as usize > fixed::FIELDS.len() + self.table.len()
    }

    fn push_name(&self, index: u32, fields: &mut Fields) -> Result<(), Broken> {
        let index = (index as usize).checked_sub(1).ok_or(Broken::Index)?;
        match fixed::FIELDS.get(index) {
            Some((name, _)) => fields.arena().extend_from_slice(name),
            None => {
                let entry = self.table.entry(index - fixed::FIELDS.len());
                fields.push(entry.ok_or(Broken::Index)?.0);
            }
        }
        Ok(())
    }

    /// The value of an entry whose name was pushed, so that it is there.
    fn push_value(&self, index: u32, fields: &mut Fields) {
        let index = (index as usize).saturating_sub(1);
        match fixed::FIELDS.get(index) {
            Some((_, value)) => fields.arena().extend_from_slice(value),
            None => {
                if let Some((_, value)) = self.table.entry(index - fixed::FIELDS.len()) {
                    fields.push(value);
                }
            }
        }
    }

    /// Bytes of the table, for tests.
    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

/// A number whose first `bits` bits stand in the first byte (5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Result<u32, Stop> {
    let (&first, mut after) = rest.split_first().ok_or(Stop::Need)?;
    let prefix = (1u32 << bits) - 1;
    let mut value = u32::from(first) & prefix;
    if value == prefix {
        let mut shift = 0;
        loop {
            let (&byte, next) = after.split_first().ok_or(Stop::Need)?;
            after = next;
            value += u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            // Four bytes hold every length that the limits allow.
            if shift > 21 {
                return Err(Broken::Integer.into());
            }
        }
    }
    *rest = after;
    Ok(value)
}

/// Appends a string (5.2).
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    let &first = rest.first().ok_or(Stop::Need)?;
    let mut after = *rest;
    let length = integer(&mut after, 7)? as usize;
    let Some((text, after)) = after.split_at_checked(length) else {
        // One that can never be whole is not waited for.
        let never = length > H2_BLOCK_BYTES_MAX;
        return Err(if never { Broken::Truncated.into() } else { Stop::Need });
    };
    if first & 0x80 != 0 {
        huffman::decode(text, out)?;
    } else {
        out.extend_from_slice(text);
    }
    *rest = after;
    Ok(())
}
