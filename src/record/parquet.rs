//! Writes the rows of a segment as Parquet files.
//!
//! In: a sheet of rows. Out: `lake/<table>/date=YYYY-MM-DD/<table>-<node>-<origin>.parquet`.
//! Never: a file that is not whole, or the same row in two files.
//!
//! Names are made of where the rows come from, so sealing a segment twice makes the same names; a
//! file that is there already is whole (it was renamed into place) and stays as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr, WriterVersion};
use parquet::file::writer::SerializedFileWriter;

use super::checksum::Summed;
use super::column::{RowGroup, Zstd};
use super::durable::Draft;
use super::journal::Header;
use super::lines::Terminals;
use super::rows::{self, OfFrame, Sheet};
use super::schema::Table;

use crate::clock;

/// Order in which the files of a sheet appear.
pub(in crate::record) const ORDER: [Table; 9] = [
    Table::Sessions,
    Table::Commands,
    Table::Touches,
    Table::ShellLines,
    Table::Responses,
    Table::StreamChunks,
    Table::Approvals,
    Table::MaskingHits,
    // Last, because recovery takes its file as the sign that the others are there.
    Table::LogEvents,
];

/// Why a segment cannot be sealed now.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The disk.
    #[error("cannot write the lake: {0}")]
    Io(#[from] io::Error),
    /// The writer.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Table.
    pub table: Table,
    /// Where.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: usize,
}

/// Writes sheets; keeps its buffers from one to the next.
pub struct Writer {
    lake: PathBuf,
    tables: [(RowGroup, WriterPropertiesPtr); Table::ALL.len()],
    zstd: Zstd,
    /// Terminals that go on after the last segment.
    terminals: Terminals,
}

impl Writer {
    /// A writer into `data_dir/lake`.
    ///
    /// # Errors
    /// When there is no memory to compress in.
    pub fn new(data_dir: &Path) -> io::Result<Writer> {
        // A table whose columns Parquet does not know is our mistake, and of every start.
        let of = |table| match RowGroup::new(table) {
            Ok(group) => (group, Arc::new(properties(table))),
            Err(why) => unreachable!("no schema of {}: {why}", table.name()),
        };
        let zstd = Zstd::new()?;
        let (tables, terminals) = (Table::ALL.map(of), Terminals::default());
        Ok(Writer { lake: data_dir.join("lake"), tables, zstd, terminals })
    }

    /// Writes every table and day of a sheet. `origin` ends the file names.
    ///
    /// # Errors
    /// When a file cannot be written; those already in place stay.
    pub fn write(
        &mut self,
        sheet: &mut Sheet<'_>,
        header: &Header,
        origin: &str,
    ) -> Result<Vec<Written>, SealError> {
        let mut written = Vec::new();
        let (lines, terminals) = sheet.lines(&self.terminals);
        for table in ORDER {
            if table == Table::Touches {
                self.write_touches(sheet, header, origin, &mut written)?;
                continue;
            }
            if table == Table::ShellLines {
                for day in rows::days(&lines) {
                    let file = self.write_day((table, day), header, origin, |group, line| {
                        sheet.fill_line(group, header, line);
                    })?;
                    written.extend(file);
                }
                continue;
            }
            sheet.sort(table);
            let rows = sheet.rows(table);
            for day in rows::days(rows) {
                let file = self.write_day((table, day), header, origin, |group, row| {
                    sheet.fill(group, header, table, row);
                })?;
                written.extend(file);
            }
        }
        // Only now: a segment that could not be written is read again.
        self.terminals.update(terminals, &sheet.ended);
        Ok(written)
    }

    fn write_touches(
        &mut self,
        sheet: &Sheet<'_>,
        header: &Header,
        origin: &str,
        written: &mut Vec<Written>,
    ) -> Result<(), SealError> {
        let touches = sheet.touches();
        for day in rows::days(&touches.rows) {
            let file = self.write_day((Table::Touches, day), header, origin, |group, touch| {
                let (name, write, row) = touch;
                let object = &touches.names[*name as usize];
                sheet.fill_touch(group, header, row, (object, *write));
            })?;
            written.extend(file);
        }
        Ok(())
    }

    fn write_day<R: OfFrame>(
        &mut self,
        (table, rows): (Table, &[R]),
        header: &Header,
        origin: &str,
        mut fill: impl FnMut(&mut RowGroup, &R),
    ) -> Result<Option<Written>, SealError> {
        let Some(first) = rows.first() else { return Ok(None) };
        let path = file_path(&self.lake, table, first.row().day(), &header.node, origin);
        if path.exists() {
            return Ok(None);
        }
        let (draft, file) = Draft::begin(&path)?;
        let (group, properties) = &mut self.tables[table as usize];
        group.clear();
        let file = Summed::new(file);
        let mut file = SerializedFileWriter::new(file, group.schema(), Arc::clone(properties))?;
        file.write_all(&Summed::PLACE)?;
        for row in rows::ahead(rows) {
            fill(group, row);
            if group.cut(&mut self.zstd)? {
                group.write(&mut file, &mut self.zstd)?;
            }
        }
        if !group.is_empty() {
            group.write(&mut file, &mut self.zstd)?;
        }
        file.flush()?;
        file.inner_mut().end_body();
        let file = file.into_inner()?.finish()?;
        draft.publish(&file)?;
        Ok(Some(Written { table, path, rows: rows.len() }))
    }
}

/// Where the rows of a day of a table stand.
pub fn file_path(lake: &Path, table: Table, day: i64, node: &str, origin: &str) -> PathBuf {
    let table = table.name();
    lake.join(table)
        .join(format!("date={}", date_text(day)))
        .join(format!("{table}-{}-{origin}.parquet", file_node(node)))
}

/// A node's name as part of a file name.
pub fn file_node(node: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    node.chars().map(|c| if keep(c) { c } else { '_' }).collect()
}

/// `YYYY-MM-DD` of a day since 1970.
pub fn date_text(day: i64) -> String {
    let (year, month, day) = clock::date_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// What the footer says of the file; `column` decides what the chunks are.
fn properties(table: Table) -> WriterProperties {
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_sorting_columns(Some(sorting(table)))
        .build()
}

/// Leaf positions: a list is one leaf, so they are the positions of the columns.
fn sorting(table: Table) -> Vec<SortingColumn> {
    let by = table.sorted_by();
    by.iter()
        .filter_map(|name| table.columns().position(|column| column.name == *name))
        .map(|at| SortingColumn { column_idx: at as i32, descending: false, nulls_first: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::Journal as _;
    use super::super::entry::Entry;
    use super::super::lake_rows::Cells;
    use super::super::testing::{Folder, command, context, files, now, object, spool};
    use super::*;

    #[test]
    fn touches_are_sorted_by_object_and_then_by_time() {
        let folder = Folder::new();
        let (mut spool, inbox, _pool) = spool(&folder, 0);
        let sessions = [spool.open(&context(2)), spool.open(&context(1))];
        let objects = [
            object(Some("public"), "orders", false),
            object(None, "orders", true),
            object(Some("public"), "accounts", true),
        ];
        for seq in 0..6 {
            let one = &objects[seq % 3..=seq % 3];
            let two = [one, &objects[..1]].concat();
            let touched = if seq == 5 { &two[..] } else { one };
            let entry = Entry::Command(command("SELECT 1", touched));
            spool.append(sessions[seq % 2], seq as u64, now(seq as u64), &entry).unwrap();
        }
        spool.finish(now(9));
        let sealed = inbox.recv().unwrap();
        let bytes = &sealed.segment.map.bytes()[..sealed.bytes];
        let mut sheet = Sheet::read(bytes, &sealed.header, false);
        let mut writer = Writer::new(&folder.0).unwrap();
        writer.write(&mut sheet, &sealed.header, "origin").unwrap();
        let file = std::fs::File::open(&files(&folder.0, "touches")[0]).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batch = reader.next().unwrap().unwrap();
        let cells = Cells::new(&batch);
        let rows: Vec<_> = (0..batch.num_rows())
            .map(|row| {
                let user = cells.text("user_name", row).to_owned();
                (cells.text("object", row), cells.text("action", row), user, cells.time("ts", row))
            })
            .collect();
        let row = |object, action, seq: u64| {
            let user = if seq.is_multiple_of(2) { "user2" } else { "user1" };
            (object, action, user.to_owned(), Some(now(seq).wall_us))
        };
        let expect = [
            row("orders", "write", 1),
            row("orders", "write", 4),
            row("public.accounts", "write", 2),
            row("public.accounts", "write", 5),
            row("public.orders", "read", 0),
            row("public.orders", "read", 3),
            row("public.orders", "read", 5),
        ];
        assert_eq!(rows, expect);
    }
}
