//! The rows of one answer, changed as the plan says.
//!
//! In: the body of a DataRow. Out: edits and hits.
//! Never: a row that does not have the shape of its plan: it is refused, not passed.

pub(super) mod nested;

use std::rc::Rc;

use super::types::{Scan, Whole};
use crate::fault::Malformed;
use crate::mask::detect::{Cursor, Detector, Detectors, Found, Scratch, number};
use crate::mask::edits::{Edits, OpenLength};
use crate::mask::escapes::{self, Seen};
use crate::mask::hits::{Cause, Hits};
use crate::mask::operator::{self, Operator};
use crate::mask::text::{self, JsonReader};
use nested::Met;

/// What to do with the values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Pass,
    /// Search them.
    Scan(Scan),
    /// Hide them.
    Hide {
        /// The replacement.
        whole: Whole,
        /// As configured, for the record.
        operator: Operator,
        /// Why.
        cause: Cause,
    },
}

impl Action {
    pub fn scan(scan: Scan) -> Action {
        if scan == Scan::Skip { Action::Pass } else { Action::Scan(scan) }
    }
}

/// One column of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub action: Action,
}

impl Column {
    /// Whatever the value.
    pub fn is_hidden(&self) -> bool {
        matches!(self.action, Action::Hide { .. })
    }
}

/// What to do with each column of one answer.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    columns: Rc<[Column]>,
    detectors: Rc<Detectors>,
    /// Some column is searched by stage one.
    scans: bool,
    /// Every row has to be walked, whatever stage one says.
    walks: bool,
}

impl Plan {
    pub(super) fn new(columns: Vec<Column>, detectors: Rc<Detectors>) -> Plan {
        let is_on = |&detector: &Detector| detectors.is_on(detector);
        let numbers = [Detector::CreditCard, Detector::CnResidentId].iter().any(is_on);
        // Stage one sees what is written in digits.
        let number = |scan: Scan| matches!(scan, Scan::Int8 | Scan::Numeric);
        let scans = |column: &Column| matches!(column.action, Action::Scan(scan) if !number(scan));
        let walks = |column: &Column| match column.action {
            Action::Hide { .. } => true,
            Action::Scan(scan) => numbers && (number(scan) || matches!(scan, Scan::Nested(_))),
            Action::Pass => false,
        };
        let (scans, walks) = (columns.iter().any(scans), columns.iter().any(walks));
        Plan { columns: columns.into(), detectors, scans, walks }
    }

    /// Columns that are NULL in every row, because their origin is not proven.
    pub fn unproven(&self) -> impl Iterator<Item = usize> {
        let is_unproven =
            |column: &Column| matches!(column.action, Action::Hide { cause: Cause::Unproven, .. });
        let columns = self.columns.iter().enumerate();
        columns.filter(move |(_, column)| is_unproven(column)).map(|(index, _)| index)
    }

    /// Rows pass as they are.
    pub fn is_pass(&self) -> bool {
        !self.scans && !self.walks
    }

    /// Plans the changes of one DataRow: its body without type and length. `edits` is cleared
    /// first.
    ///
    /// # Errors
    /// When the body is not a row of this plan's shape. Nothing of it may be forwarded then.
    pub fn row(&self, body: &[u8], edits: &mut Edits, hits: &mut Hits) -> Result<(), Malformed> {
        edits.clear();
        let mut scratch = std::mem::take(&mut edits.scratch);
        scratch.blocks.clear();
        if self.scans {
            self.detectors.candidates(body, &mut scratch.blocks);
        }
        let is_escaped = self.scans && escapes::are_in(body);
        // Most rows end here.
        let result = if self.walks || is_escaped || !scratch.blocks.is_empty() {
            self.walk((body, is_escaped), &mut scratch, edits, hits)
        } else {
            Ok(())
        };
        edits.scratch = scratch;
        if result.is_err() {
            edits.clear();
        }
        result
    }

    fn walk(
        &self,
        (body, is_escaped): (&[u8], bool),
        scratch: &mut Scratch,
        edits: &mut Edits,
        hits: &mut Hits,
    ) -> Result<(), Malformed> {
        let Scratch { blocks, finds } = scratch;
        let mut cursor = Cursor::new(blocks);
        let (count, mut at) = (read_u16(body, 0)?, 2);
        if usize::from(count) != self.columns.len() {
            return Err(Malformed::MessageBody);
        }
        for (index, column) in (0..count).zip(self.columns.iter()) {
            let Some((start, end)) = value_at(body, at)? else {
                at += 4;
                continue;
            };
            let detectors = &self.detectors;
            let mut cell = Cell { detectors, body, is_escaped, start, end, index, edits, hits };
            match column.action {
                Action::Pass => {}
                Action::Hide { whole, operator, cause } => cell.hide(whole, operator, cause),
                Action::Scan(scan) => cell.scan(scan, &mut cursor, finds),
            }
            at = end;
        }
        if at == body.len() { Ok(()) } else { Err(Malformed::MessageBody) }
    }
}

/// One value that is not NULL, at `body[start..end]`, its length in the four bytes before.
struct Cell<'a> {
    detectors: &'a Detectors,
    body: &'a [u8],
    /// Something in the row may say something else than is written.
    is_escaped: bool,
    start: usize,
    end: usize,
    index: u16,
    edits: &'a mut Edits,
    hits: &'a mut Hits,
}

impl Cell<'_> {
    fn open(&mut self) -> OpenLength {
        let length = u32::try_from(self.end - self.start).unwrap_or(u32::MAX);
        self.edits.open_length(self.start - 4, length)
    }

    fn hide(&mut self, whole: Whole, operator: Operator, cause: Cause) {
        self.hits.add(self.index, cause, operator);
        self.replace_whole(whole);
    }

    fn replace_whole(&mut self, whole: Whole) {
        let open = self.open();
        let (start, end) = (self.start, self.end);
        let value = &self.body[start..end];
        match whole {
            Whole::Null => return self.edits.close_null(&open),
            Whole::Fixed(bytes) => {
                self.edits.replace(start, end, |out| out.extend_from_slice(bytes));
            }
            Whole::Text(operator) => {
                self.edits.replace(start, end, |out| operator::whole_text(operator, value, out));
            }
        }
        self.edits.close_length(&open);
    }

    fn scan(
        &mut self,
        scan: Scan,
        cursor: &mut Cursor<'_>,
        finds: &mut crate::mask::detect::Finds,
    ) {
        let (start, end) = (self.start, self.end);
        let value = &self.body[start..end];
        match scan {
            Scan::Skip => {}
            Scan::Int8 | Scan::Numeric => {
                let decimal = if scan == Scan::Int8 { int8(value) } else { numeric(value) };
                if let Some(decimal) = decimal {
                    self.number(decimal.as_bytes());
                }
            }
            Scan::Digits => {
                cursor.find(self.detectors, self.body, (start, end), finds);
                if !finds.list.is_empty() {
                    self.number(value);
                }
            }
            Scan::Numbers => {
                cursor.find(self.detectors, self.body, (start, end), finds);
                let found =
                    (!finds.list.is_empty()).then(|| nested::number_in(self.detectors, value));
                if let Some(detector) = found.flatten() {
                    self.null(Met::Found(detector));
                }
            }
            Scan::Listed => {
                cursor.find(self.detectors, self.body, (start, end), finds);
                match nested::number_in(self.detectors, value) {
                    Some(detector) => self.null(Met::Found(detector)),
                    None => self.replace_found(scan, start, finds),
                }
            }
            Scan::Nested(type_oid) => {
                cursor.find(self.detectors, self.body, (start, end), finds);
                if !finds.list.is_empty() {
                    self.replace_found(scan, start, finds);
                } else if let Some(met) = nested::look(self.detectors, type_oid, value) {
                    self.null(met);
                }
            }
            Scan::TextArray => {
                cursor.find(self.detectors, self.body, (start, end), finds);
                let may_hold = !finds.list.is_empty() || self.may_say_more(value);
                if may_hold && self.array_elements().is_err() {
                    self.null(Met::Unread);
                }
            }
            Scan::Text | Scan::Json(_) | Scan::Opaque => {
                let skip = if let Scan::Json(skip) = scan { skip.min(value.len()) } else { 0 };
                cursor.find(self.detectors, self.body, (start + skip, end), finds);
                self.replace_found(scan, start + skip, finds);
            }
        }
    }

    fn may_say_more(&self, value: &[u8]) -> bool {
        self.is_escaped && escapes::are_in(value)
    }

    /// A number that is a card is NULL, as any part of another number would be read as one.
    fn number(&mut self, decimal: &[u8]) {
        let Some(detector) = number(decimal) else { return };
        if self.detectors.is_on(detector) {
            self.null(Met::Found(detector));
        }
    }

    fn null(&mut self, met: Met) {
        let (cause, operator) = match met {
            Met::Found(detector) => (Cause::Detector(detector), self.detectors.operator(detector)),
            Met::Unread => (Cause::Unproven, None),
        };
        self.hits.add(self.index, cause, operator.unwrap_or(Operator::Default));
        self.hits.note_null(self.index, cause);
        self.replace_whole(Whole::Null);
    }

    fn replace_found(&mut self, scan: Scan, from: usize, finds: &crate::mask::detect::Finds) {
        let value = &self.body[from..self.end];
        if self.may_say_more(value) {
            return self.replace_seen(
                scan,
                from,
                &escapes::find(self.detectors, value, &finds.list),
            );
        }
        if finds.list.is_empty() {
            return;
        }
        text::count(self.detectors, &finds.list, self.index, self.hits);
        if matches!(scan, Scan::Opaque | Scan::Nested(_))
            || text::nullifies(self.detectors, &finds.list)
        {
            text::note_null(&finds.list, self.index, self.hits);
            return self.replace_whole(Whole::Null);
        }
        let open = self.open();
        let mut json = JsonReader::default();
        for found in &finds.list {
            let part = match scan {
                Scan::Json(_) => json.part(self.detectors, value, found),
                _ => text::plain_part(self.detectors, found),
            };
            self.edits.replace(from + part.start, from + part.end, |out| part.write(value, out));
        }
        self.edits.close_length(&open);
    }

    /// The same for a value that may say something else than is written.
    fn replace_seen(&mut self, scan: Scan, from: usize, seen: &[Seen]) {
        let finds: Vec<Found> = seen.iter().map(|it| it.found).collect();
        if finds.is_empty() {
            return;
        }
        text::count(self.detectors, &finds, self.index, self.hits);
        if matches!(scan, Scan::Opaque | Scan::Nested(_)) || text::nullifies(self.detectors, &finds)
        {
            text::note_null(&finds, self.index, self.hits);
            return self.replace_whole(Whole::Null);
        }
        let open = self.open();
        let value = &self.body[from..self.end];
        let mut json = JsonReader::default();
        for it in seen {
            let part = match scan {
                Scan::Json(_) => json.part(self.detectors, value, &it.found),
                _ => text::plain_part(self.detectors, &it.found),
            };
            let write = |out: &mut Vec<u8>| part.write_seen(self.detectors, it, out);
            self.edits.replace(from + part.start, from + part.end, write);
        }
        self.edits.close_length(&open);
    }

    /// A text array in binary format in which something was found: each element is searched by
    /// itself, because the finds so far may reach over the length fields between them.
    ///
    /// ```text
    /// dimensions, has NULLs, element type: 4 bytes each
    /// per dimension: size, lower bound    then per element: length, bytes
    /// ```
    ///
    /// # Errors
    /// When it does not have this form; nothing was changed then.
    fn array_elements(&mut self) -> Result<(), Malformed> {
        let elements = array_elements(self.body, self.start, self.end)?;
        let mut scratch = Scratch::default();
        let open = self.open();
        for (start, end) in elements {
            let value = &self.body[start..end];
            let finds = self.detectors.find(value, &mut scratch);
            let seen = match self.may_say_more(value) || !finds.is_empty() {
                true => escapes::find(self.detectors, value, finds),
                false => continue,
            };
            let finds: Vec<Found> = seen.iter().map(|it| it.found).collect();
            text::count(self.detectors, &finds, self.index, self.hits);
            if text::nullifies(self.detectors, &finds) {
                text::note_null(&finds, self.index, self.hits);
                self.edits.close_null(&open);
                return Ok(());
            }
            let length = u32::try_from(end - start).unwrap_or(u32::MAX);
            let element = self.edits.open_length(start - 4, length);
            for it in &seen {
                let span = (start + it.found.start, start + it.found.end);
                self.edits.replace(span.0, span.1, |out| it.write(self.detectors, out));
            }
            self.edits.close_length(&element);
        }
        self.edits.close_length(&open);
        Ok(())
    }
}

/// Spans of the elements that are not NULL.
fn array_elements(body: &[u8], start: usize, end: usize) -> Result<Vec<(usize, usize)>, Malformed> {
    let value = body.get(..end).ok_or(Malformed::MessageBody)?;
    let dimensions = read_u32(value, start)?;
    // MAXDIM of PostgreSQL.
    if dimensions > 6 {
        return Err(Malformed::MessageBody);
    }
    let mut at = start + 12 + dimensions as usize * 8;
    let mut spans = Vec::new();
    while at < end {
        match value_at(value, at)? {
            Some(span) => {
                spans.push(span);
                at = span.1;
            }
            None => at += 4,
        }
    }
    if at == end { Ok(spans) } else { Err(Malformed::MessageBody) }
}

/// The digits of a positive `int8`.
fn int8(value: &[u8]) -> Option<String> {
    let number = i64::from_be_bytes(value.try_into().ok()?);
    (number > 0).then(|| number.to_string())
}

/// The digits of a positive whole `numeric`: count of base-10000 digits, weight of the first, sign,
/// scale, digits. With decimals that are not all zeros it is an amount, as in text format.
fn numeric(value: &[u8]) -> Option<String> {
    let (count, weight, sign) =
        (read_u16(value, 0).ok()?, read_u16(value, 2).ok()?, read_u16(value, 4).ok()?);
    let whole = 8 + 2 * usize::from(count.min(weight.saturating_add(1)));
    let is_whole = || value.get(whole..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0));
    if sign != 0 || !(3..=4).contains(&weight) || !is_whole() {
        return None;
    }
    let mut digits = String::with_capacity(20);
    for index in 0..=weight {
        let group =
            if index < count { read_u16(value, 8 + 2 * usize::from(index)).ok()? } else { 0 };
        if index == 0 {
            digits.push_str(&group.to_string());
        } else {
            digits.push_str(&format!("{group:04}"));
        }
    }
    Some(digits)
}

/// The span of the value whose length field is at `at`; `None` for NULL. Another length below zero
/// is none.
fn value_at(body: &[u8], at: usize) -> Result<Option<(usize, usize)>, Malformed> {
    let length = read_u32(body, at)?;
    if length == u32::MAX {
        return Ok(None);
    }
    let start = at + 4;
    let end = start.checked_add(length as usize).ok_or(Malformed::MessageBody)?;
    if end > body.len() { Err(Malformed::MessageBody) } else { Ok(Some((start, end))) }
}

fn read_u16(body: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u16::from_be_bytes(*bytes)).ok_or(Malformed::MessageBody)
}

fn read_u32(body: &[u8], at: usize) -> Result<u32, Malformed> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed::MessageBody)
}

#[cfg(test)]
mod tests;
