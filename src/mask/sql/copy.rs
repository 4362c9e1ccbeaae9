//! COPY TO STDOUT, masked by position.
//!
//! In: payloads of CopyData in any split. Out: the same rows, masked, whole rows at a time.
//! Never: a row whose number of fields is not what the masks were planned for; COPY data carries no
//! origins, so a shifted column would be a leak. Never: a query over masked columns, for the same
//! reason: it is refused with the remedy.

mod dialect;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::rc::Rc;

use super::catalog::{Catalog, Relation};
use super::row::{Action, Column, Plan, nested};
use super::rules::{ColumnRule, RelationMask, Treatment};
use super::touch::{Touch, touch};
use super::types::{self, Scan, Whole};
use crate::decide::{Class, Consequence, Copy, CopyFormat, Statement};
use crate::limits;
use crate::mask::detect::{self, Cursor, Detectors, Found, Scratch};
use crate::mask::edits::Edits;
use crate::mask::escapes::{self, Seen};
use crate::mask::hits::{Cause, Hits};
use crate::mask::operator::Operator;
use crate::mask::text::{self, JsonReader};
use dialect::Dialect;

/// What to do with the data of one COPY.
#[derive(Debug)]
pub enum CopyPlanned {
    /// Nothing.
    Pass,
    /// Feed all payloads through this.
    Masked(Box<CopyMasker>),
    /// The relation, or one it depends on, is not in the catalog: refresh it, then plan again;
    /// refuse the command if it is still not there.
    NeedCatalog,
    /// Do not forward the command; the sentence is for the person at the client.
    Refuse(String),
}

/// Why data cannot be masked; nothing more of it may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// A row is larger than `limits::MASKED_ROW_BYTES_MAX`.
    RowTooLong,
    /// A row does not have the planned number of fields.
    FieldCount,
    /// Not the announced format.
    Malformed,
}

/// Why a COPY is refused that the catalog cannot answer for, as far as is known: perhaps what it
/// names is new, and perhaps it does not exist at all.
pub fn not_known(copy: &Copy) -> String {
    let what = match &copy.relation {
        None => "a relation that this COPY reads".to_owned(),
        Some(object) if copy.columns.is_empty() => format!("\"{}\"", object.path()),
        Some(object) => format!("\"{}\", or a column of it that this COPY names,", object.path()),
    };
    format!(
        "weir: {what} is not in the catalog that weir has read of this target; it is too new for \
         that, or does not exist"
    )
}

/// Whether a statement is a COPY to the client of which it is not known how its data is laid out.
/// One that takes rows writes what it names, and does nothing besides.
pub fn is_unread(statement: &Statement) -> bool {
    let classes = statement.classes;
    let takes =
        matches!(&*statement.objects, [only] if only.write) && classes == Class::Unknown.only();
    let elsewhere = classes.has(Class::CopyProgram) || classes.has(Class::CopyFile);
    statement.operation == "COPY"
        && classes.has(Class::Unknown)
        && statement.effect == Consequence::None
        && !elsewhere
        && !takes
}

/// Why such a COPY is refused.
pub const UNREAD: &str = "weir: COPY with an option or an encoding that weir does not read cannot \
    be masked; use ENCODING 'UTF8', or leave the option out";

/// What the target would say of a COPY of a relation that no catalog has, if it is certain that it
/// would (namespace.c, `RangeVarGetRelidExtended`): a schema without relations may not be there.
pub fn missing(catalog: &Catalog, copy: &Copy) -> Option<String> {
    let object = copy.relation.as_ref()?;
    let place = object.place();
    let is_there = catalog.named(place.as_deref(), &object.name).next().is_some();
    let is_clear = place.as_deref().is_none_or(|schema| !catalog.in_schema(schema).is_empty());
    let name = match place.as_deref() {
        Some(schema) => format!("{schema}.{}", object.name),
        None => object.name.clone(),
    };
    (!is_there && is_clear).then(|| format!("relation \"{name}\" does not exist"))
}

/// Plans a COPY TO STDOUT; some mask applies to the session.
pub(super) fn plan(
    rules: &[ColumnRule],
    detectors: &Rc<Detectors>,
    catalog: &Catalog,
    (copy, statement): (&Copy, &Statement),
) -> CopyPlanned {
    let columns = match &copy.relation {
        None => match query_columns(rules, catalog, statement) {
            Ok(columns) => columns,
            Err(planned) => return planned,
        },
        Some(object) => {
            let place = object.place();
            let named = catalog.named(place.as_deref(), &object.name);
            match relation_columns(rules, catalog, copy, named.collect()) {
                Ok(columns) => columns,
                Err(planned) => return planned,
            }
        }
    };
    let strict = columns.as_ref().is_some_and(|columns| columns.iter().any(Column::is_hidden));
    if !strict && detectors.is_empty() {
        return CopyPlanned::Pass;
    }
    let detectors = Rc::clone(detectors);
    let masker = CopyMasker::new(&copy.format, columns, strict, detectors);
    CopyPlanned::Masked(Box::new(masker))
}

/// Columns of a query are unknown; it passes the detectors if it touches no masked column.
fn query_columns(
    rules: &[ColumnRule],
    catalog: &Catalog,
    statement: &Statement,
) -> Result<Option<Vec<Column>>, CopyPlanned> {
    match touch(rules, catalog, Some(std::slice::from_ref(statement))) {
        Touch::Clean => Ok(None),
        Touch::Unknown => Err(CopyPlanned::NeedCatalog),
        Touch::Masked | Touch::Samples => Err(CopyPlanned::Refuse(QUERY_REFUSED.to_owned())),
    }
}

/// Columns of a relation in the order that COPY sends them.
fn relation_columns(
    rules: &[ColumnRule],
    catalog: &Catalog,
    copy: &Copy,
    candidates: Vec<&Relation>,
) -> Result<Option<Vec<Column>>, CopyPlanned> {
    let sent = candidates.iter().map(|relation| sent_columns(rules, catalog, copy, relation));
    let sent = sent.collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = sent.split_first() else {
        return without_relation(rules, copy).map(|()| None);
    };
    let mut columns = first.clone();
    // Several tables have this name, and the search path picks one of them.
    for other in others {
        if !agree(&columns, other) {
            let clean = sent.iter().flatten().all(|it| it.treatment == Treatment::Clean);
            let refused = || CopyPlanned::Refuse(SCHEMA_REFUSED.to_owned());
            return if clean { Ok(None) } else { Err(refused()) };
        }
        columns.iter_mut().zip(other).for_each(|(column, other)| column.join(*other));
    }
    let binary = copy.format == CopyFormat::Binary;
    let column = |sent: Sent| Some(column(sent.treatment, sent.type_oid?, binary));
    let columns: Option<Vec<_>> = columns.into_iter().map(column).collect();
    columns.map(Some).ok_or(CopyPlanned::NeedCatalog)
}

/// A column of a row that COPY sends.
#[derive(Clone, Copy, Debug)]
struct Sent {
    treatment: Treatment,
    /// `None`: the relation has no column of this name.
    type_oid: Option<u32>,
}

impl Sent {
    /// It is this one or the other: what hides either hides it.
    fn join(&mut self, other: Sent) {
        self.type_oid = self.type_oid.or(other.type_oid);
        self.treatment = match (self.treatment, other.treatment) {
            (Treatment::Masked(one), Treatment::Masked(two)) => Treatment::Masked(one.max(two)),
            (masked @ Treatment::Masked(_), _) | (_, masked @ Treatment::Masked(_)) => masked,
            (Treatment::Clean, Treatment::Clean) => Treatment::Clean,
            _ => Treatment::Unproven,
        };
    }
}

/// Whether rows of two relations have the same shape, as far as the catalog knows.
fn agree(some: &[Sent], others: &[Sent]) -> bool {
    let same = |(one, other): (&Sent, &Sent)| match (one.type_oid, other.type_oid) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// What COPY sends of one relation.
fn sent_columns(
    rules: &[ColumnRule],
    catalog: &Catalog,
    copy: &Copy,
    relation: &Relation,
) -> Result<Vec<Sent>, CopyPlanned> {
    let mask = RelationMask::build(rules, catalog, relation).ok_or(CopyPlanned::NeedCatalog)?;
    let sent = |known: &super::catalog::Column| Sent {
        treatment: mask.named(&known.name).unwrap_or(Treatment::Unproven),
        type_oid: Some(known.type_oid),
    };
    if copy.columns.is_empty() {
        // COPY leaves generated columns out (copy.c, `CopyGetAttnums`).
        let columns = relation.columns.iter();
        let columns = columns.filter(|known| !catalog.is_generated(relation, known.attnum));
        return Ok(columns.map(sent).collect());
    }
    let listed = copy.columns.iter().map(|name| {
        let known = relation.columns.iter().find(|known| known.name == *name);
        known.map_or_else(|| absent(rules, relation, name), sent)
    });
    Ok(listed.collect())
}

/// A column that the relation does not have: COPY fails of it, unless it is newer than the catalog.
fn absent(rules: &[ColumnRule], relation: &Relation, column: &str) -> Sent {
    let name = (Some(relation.schema.as_str()), relation.name.as_str());
    let may_hide = rules.iter().any(|rule| rule.pattern.may_be_on(name, Some(column)));
    let treatment = if may_hide { Treatment::Unproven } else { Treatment::Clean };
    Sent { treatment, type_oid: None }
}

/// The name fits no relation.
fn without_relation(rules: &[ColumnRule], copy: &Copy) -> Result<(), CopyPlanned> {
    let name = copy.relation.as_ref().map_or("", |object| object.name.as_str());
    match rules.is_empty() || name.starts_with("pg_") {
        true => Ok(()),
        false => Err(CopyPlanned::NeedCatalog),
    }
}

fn column(treatment: Treatment, type_oid: u32, binary: bool) -> Column {
    let action = match treatment {
        Treatment::Clean => Action::scan(types::scan(type_oid, binary)),
        Treatment::Masked(operator) => Action::Hide {
            whole: types::whole(operator, type_oid, binary),
            operator,
            cause: Cause::Column,
        },
        Treatment::Unproven => Action::Hide {
            whole: types::Whole::Null,
            operator: Operator::Default,
            cause: Cause::Unproven,
        },
    };
    Column { action }
}

const QUERY_REFUSED: &str = "weir: COPY of a query cannot be masked and this one reads a masked \
    column; use COPY table (columns) TO STDOUT, or run the query itself";
const SCHEMA_REFUSED: &str = "weir: COPY of a masked table needs its schema, because several \
    tables have this name and differ; use COPY schema.table TO STDOUT";

/// Masks the data of one COPY.
#[derive(Debug)]
pub struct CopyMasker {
    dialect: Rc<Dialect>,
    /// `None`: unknown in number and type, all searched.
    columns: Option<Vec<Column>>,
    /// Some column is hidden, so the number of fields must be right.
    strict: bool,
    detectors: Rc<Detectors>,
    /// A row that is not complete yet.
    held: Vec<u8>,
    /// Bytes of `held` that are known to hold no end of a row.
    seen: usize,
    quotes: Quotes,
    place: Place,
    /// Spans of the fields of a row. Kept for its memory.
    fields: Vec<(usize, usize)>,
    /// Candidates of a row.
    row: Scratch,
    /// Candidates of a value that is written otherwise than it reads.
    value: Scratch,
    edits: Edits,
}

/// Where in the data the next byte is.
#[derive(Clone, Debug)]
enum Place {
    /// A header line or a binary header is next.
    Header,
    /// Rows.
    Rows,
    /// After the trailer of the binary format.
    Trailer,
    /// A fault was reported; nothing more is accepted.
    Failed(CopyFault),
}

/// Whether the end of `CopyMasker::seen` is inside of a quoted CSV field.
#[derive(Clone, Copy, Debug, Default)]
struct Quotes {
    open: bool,
    /// The next byte is escaped.
    escaped: bool,
}

impl CopyMasker {
    fn new(
        format: &CopyFormat,
        columns: Option<Vec<Column>>,
        strict: bool,
        detectors: Rc<Detectors>,
    ) -> CopyMasker {
        let header = match format {
            CopyFormat::Text { header, .. } | CopyFormat::Csv { header, .. } => *header,
            CopyFormat::Binary => true,
        };
        CopyMasker {
            dialect: Rc::new(Dialect::of(format)),
            columns,
            strict,
            detectors,
            held: Vec::new(),
            seen: 0,
            quotes: Quotes::default(),
            place: if header { Place::Header } else { Place::Rows },
            fields: Vec::new(),
            row: Scratch::default(),
            value: Scratch::default(),
            edits: Edits::default(),
        }
    }

    /// Appends all rows that `data` completes, masked.
    ///
    /// # Errors
    /// When a row cannot be masked. What is in `out` by then may be forwarded, nothing after it.
    pub fn feed(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) -> Result<(), CopyFault> {
        if let Place::Failed(fault) = self.place {
            return Err(fault);
        }
        let mut held = std::mem::take(&mut self.held);
        // PostgreSQL sends a row at a time, so mostly nothing is held.
        let used = if held.is_empty() {
            let used = self.rows(data, out, hits);
            held.extend_from_slice(data.get(used.unwrap_or(0)..).unwrap_or_default());
            used
        } else {
            held.extend_from_slice(data);
            let used = self.rows(&held, out, hits);
            held.drain(..used.unwrap_or(0));
            used
        };
        let too_long = held.len() > limits::MASKED_ROW_BYTES_MAX as usize;
        self.held = held;
        match used {
            Ok(_) if too_long => self.fail(CopyFault::RowTooLong),
            Ok(_) => Ok(()),
            Err(fault) => self.fail(fault),
        }
    }

    /// The data is over: a last row without a line end is masked too.
    ///
    /// # Errors
    /// When the data ended inside of a binary row, or the last row cannot be masked.
    pub fn finish(&mut self, out: &mut Vec<u8>, hits: &mut Hits) -> Result<(), CopyFault> {
        if let Place::Failed(fault) = self.place {
            return Err(fault);
        }
        let held = std::mem::take(&mut self.held);
        self.seen = 0;
        if held.is_empty() {
            return Ok(());
        }
        let result = if self.dialect.binary {
            Err(CopyFault::Malformed)
        } else {
            self.line(&held, out, hits)
        };
        result.or_else(|fault| self.fail(fault))
    }

    fn fail(&mut self, fault: CopyFault) -> Result<(), CopyFault> {
        self.held = Vec::new();
        self.place = Place::Failed(fault);
        Err(fault)
    }

    /// Masks the complete rows of `held`; returns how many bytes they are.
    fn rows(
        &mut self,
        held: &[u8],
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) -> Result<usize, CopyFault> {
        let mut used = 0;
        loop {
            let rest = &held[used..];
            let row = if self.dialect.binary {
                self.binary_row(rest, out, hits)?
            } else if let Some(end) = self.line_end(rest) {
                self.line(&rest[..end], out, hits)?;
                out.push(b'\n');
                end + 1
            } else {
                0
            };
            if row == 0 {
                return Ok(used);
            }
            used += row;
            self.seen = 0;
        }
    }

    /// The next line feed that ends a row. Only CSV has others, in quotes.
    fn line_end(&mut self, rest: &[u8]) -> Option<usize> {
        let from = self.seen.min(rest.len());
        let Some((quote, escape)) = self.dialect.quote else {
            let end = memchr::memchr(b'\n', &rest[from..]).map(|at| from + at);
            self.seen = rest.len();
            return end;
        };
        let Quotes { mut open, mut escaped } = self.quotes;
        for (at, &byte) in rest.iter().enumerate().skip(from) {
            match byte {
                _ if escaped => escaped = false,
                // A doubled quote closes and opens again.
                _ if open && byte == escape && escape != quote => escaped = true,
                _ if byte == quote => open = !open,
                b'\n' if !open => {
                    self.quotes = Quotes::default();
                    return Some(at);
                }
                _ => {}
            }
        }
        self.quotes = Quotes { open, escaped };
        self.seen = rest.len();
        None
    }

    /// One row of text or CSV, without its line end.
    fn line(&mut self, row: &[u8], out: &mut Vec<u8>, hits: &mut Hits) -> Result<(), CopyFault> {
        if matches!(self.place, Place::Header) {
            self.place = Place::Rows;
            out.extend_from_slice(row);
            return Ok(());
        }
        let dialect = Rc::clone(&self.dialect);
        if row == b"\\." && dialect.quote.is_none() {
            out.extend_from_slice(row);
            return Ok(());
        }
        // Most rows have no candidate. That holds for the values too, unless they are escaped or
        // what is between them may join them.
        let mut scratch = std::mem::take(&mut self.row);
        self.detectors.candidates(row, &mut scratch.blocks);
        let is_escaped = dialect.is_escaped(row);
        let is_other = is_escaped || !dialect.apart || escapes::are_in(row);
        let done = if self.strict || is_other || !scratch.blocks.is_empty() {
            let mut fields = std::mem::take(&mut self.fields);
            dialect.split(row, is_escaped, &mut fields);
            let done = self.walk(row, (&fields, is_other), &mut scratch, (out, hits));
            self.fields = fields;
            done
        } else {
            out.extend_from_slice(row);
            Ok(())
        };
        self.row = scratch;
        done
    }

    /// Masks one field after the other; what lies between those that change is copied in one piece.
    fn walk(
        &mut self,
        row: &[u8],
        (fields, is_other): (&[(usize, usize)], bool),
        Scratch { blocks, finds }: &mut Scratch,
        (out, hits): (&mut Vec<u8>, &mut Hits),
    ) -> Result<(), CopyFault> {
        let planned = self.columns.as_ref().map(Vec::len);
        // A table without columns sends empty lines.
        let fits = planned == Some(fields.len()) || (planned == Some(0) && row.is_empty());
        if self.strict && !fits {
            return Err(CopyFault::FieldCount);
        }
        let dialect = Rc::clone(&self.dialect);
        let search = is_other || !blocks.is_empty();
        let mut cursor = Cursor::new(blocks);
        let mut copied = 0;
        for (index, &(start, end)) in fields.iter().enumerate() {
            let raw = &row[start..end];
            let known = self.columns.as_ref().and_then(|columns| columns.get(index));
            let action = known.map_or(Action::Scan(Scan::Text), |column| column.action);
            let passes = match action {
                Action::Pass => true,
                Action::Scan(_) => !search,
                Action::Hide { .. } => false,
            };
            if passes || raw == dialect.null {
                continue;
            }
            let value = dialect.read(raw);
            let number = u16::try_from(index).unwrap_or(u16::MAX);
            match action {
                Action::Pass => {}
                Action::Hide { whole, operator, cause } => {
                    hits.add(number, cause, operator);
                    out.extend_from_slice(&row[copied..start]);
                    dialect.write_whole(whole, &value, out);
                    copied = end;
                }
                Action::Scan(scan) => {
                    // Behind the quote, if there is one.
                    let from = start + usize::from(value.len() < raw.len());
                    let value_is = (&*value, matches!(value, Cow::Borrowed(_)));
                    let seen = self.seen(scan, (row, from), value_is, (&mut cursor, finds));
                    let found: Vec<Found> = seen.iter().map(|it| it.found).collect();
                    if !found.is_empty() {
                        text::count(&self.detectors, &found, number, hits);
                        if is_whole(&self.detectors, scan, (&value, &found)) {
                            text::note_null(&found, number, hits);
                        }
                        out.extend_from_slice(&row[copied..start]);
                        write_found(&self.detectors, scan, (&value, &seen), &dialect, out);
                        copied = end;
                    }
                }
            }
        }
        out.extend_from_slice(&row[copied..]);
        Ok(())
    }

    /// What is found in a field that begins at `from`.
    fn seen(
        &mut self,
        scan: Scan,
        (row, from): (&[u8], usize),
        (value, is_as_written): (&[u8], bool),
        (cursor, finds): (&mut Cursor<'_>, &mut detect::Finds),
    ) -> Vec<Seen> {
        let found: &[Found] = match is_as_written && self.dialect.apart {
            true => {
                cursor.find(&self.detectors, row, (from, from + value.len()), finds);
                &finds.list
            }
            false => self.detectors.find(value, &mut self.value),
        };
        let may_say_more = match scan {
            Scan::Digits if detect::number(value).is_none() => return Vec::new(),
            Scan::Numbers if nested::number_in(&self.detectors, value).is_none() => {
                return Vec::new();
            }
            Scan::Digits | Scan::Numbers => false,
            _ => escapes::are_in(value),
        };
        match may_say_more || !found.is_empty() {
            true => escapes::find(&self.detectors, value, found),
            false => Vec::new(),
        }
    }

    /// One tuple of the binary format, which is laid out as a DataRow; 0 when it is not complete.
    fn binary_row(
        &mut self,
        rest: &[u8],
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) -> Result<usize, CopyFault> {
        match self.place {
            Place::Header => return self.binary_header(rest, out),
            Place::Trailer => {
                return if rest.is_empty() { Ok(0) } else { Err(CopyFault::Malformed) };
            }
            Place::Rows | Place::Failed(_) => {}
        }
        let Some(&count) = rest.first_chunk() else { return Ok(0) };
        let count = i16::from_be_bytes(count);
        if count == -1 {
            self.place = Place::Trailer;
            out.extend_from_slice(&rest[..2]);
            return Ok(2);
        }
        let count = usize::try_from(count).map_err(|_| CopyFault::Malformed)?;
        let Some(end) = tuple_end(rest, count)? else { return Ok(0) };
        let plan = self.tuple_plan(count)?;
        let tuple = &rest[..end];
        plan.row(tuple, &mut self.edits, hits).map_err(|_| CopyFault::Malformed)?;
        self.edits.apply(tuple, out);
        Ok(end)
    }

    /// Signature, flags, length of an extension, the extension.
    fn binary_header(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, CopyFault> {
        let Some(head) = rest.get(..BINARY_SIGNATURE.len() + 8) else { return Ok(0) };
        let (signature, fields) = head.split_at(BINARY_SIGNATURE.len());
        // Flags 16 to 31 say that the layout is another one.
        if signature != BINARY_SIGNATURE || fields[..2] != [0, 0] {
            return Err(CopyFault::Malformed);
        }
        let extension =
            fields[4..8].iter().fold(0_usize, |length, &b| length << 8 | usize::from(b));
        if extension > limits::MASKED_ROW_BYTES_MAX as usize {
            return Err(CopyFault::Malformed);
        }
        let end = head.len() + extension;
        let Some(header) = rest.get(..end) else { return Ok(0) };
        out.extend_from_slice(header);
        self.place = Place::Rows;
        Ok(end)
    }

    fn tuple_plan(&self, count: usize) -> Result<Plan, CopyFault> {
        let columns = match &self.columns {
            Some(columns) if columns.len() == count => columns.clone(),
            _ if self.strict => return Err(CopyFault::FieldCount),
            _ => vec![column(Treatment::Clean, 0, true); count],
        };
        Ok(Plan::new(columns, Rc::clone(&self.detectors)))
    }
}

/// Whether a value in which something was found is NULL.
fn is_whole(detectors: &Detectors, scan: Scan, (value, finds): (&[u8], &[Found])) -> bool {
    text::nullifies(detectors, finds)
        || match scan {
            Scan::Digits | Scan::Numbers | Scan::Nested(_) | Scan::Opaque => true,
            Scan::Listed => nested::number_in(detectors, value).is_some(),
            _ => false,
        }
}

/// Appends a value in which something was found.
fn write_found(
    detectors: &Detectors,
    scan: Scan,
    (value, seen): (&[u8], &[Seen]),
    dialect: &Dialect,
    out: &mut Vec<u8>,
) {
    let finds: Vec<Found> = seen.iter().map(|it| it.found).collect();
    if is_whole(detectors, scan, (value, &finds)) {
        return dialect.write_whole(Whole::Null, value, out);
    }
    let mut json = JsonReader::default();
    let (mut masked, mut kept) = (Vec::new(), 0);
    for it in seen {
        let part = match scan {
            Scan::Json(_) => json.part(detectors, value, &it.found),
            _ => text::plain_part(detectors, &it.found),
        };
        masked.extend_from_slice(&value[kept..part.start]);
        part.write_seen(detectors, it, &mut masked);
        kept = part.end;
    }
    masked.extend_from_slice(&value[kept..]);
    dialect.write(&masked, out);
}

/// Where the tuple at the front ends; `None` when it is not complete.
fn tuple_end(rest: &[u8], count: usize) -> Result<Option<usize>, CopyFault> {
    let mut at = 2_usize;
    for _ in 0..count {
        let Some(&length) = rest.get(at..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        at += 4;
        match i32::from_be_bytes(length) {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| CopyFault::Malformed)?,
        }
        if at > limits::MASKED_ROW_BYTES_MAX as usize {
            return Err(CopyFault::RowTooLong);
        }
    }
    Ok((at <= rest.len()).then_some(at))
}

const BINARY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
