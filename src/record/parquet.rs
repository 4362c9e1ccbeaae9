//! Writes the rows of a segment as Parquet files.
//!
//! In: a sheet of rows. Out: `lake/<table>/date=YYYY-MM-DD/<table>-<node>-<origin>.parquet`.
//! Never: a file that is not whole, or the same row in two files.
//!
//! Names are made of where the rows come from, so sealing a segment twice makes the same names; a
//! file that is there already is whole (it was renamed into place) and stays as it is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::durable::Draft;
use super::journal::Header;
use super::rows::{self, OfFrame, Sheet};
use super::schema::{Columns, Table, Type, Use};

/// Rows of a row group: engines that skip by row group alone still skip well.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of one batch handed to the writer.
pub(in crate::record) const BATCH_ROWS: usize = 8_192;
/// Bytes after which a batch is handed over early.
const BATCH_BYTES: usize = 8 << 20;
const ROW_GROUP_BYTES: usize = 128 << 20;
const PAGE_BYTES: usize = 1 << 20;

/// Order in which the files of a sheet appear.
const ORDER: [Table; 8] = [
    Table::Sessions,
    Table::Commands,
    Table::Touches,
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
    /// The batch.
    #[error("cannot write a batch: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
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

/// Writes sheets; keeps its builders from one to the next.
pub struct Writer {
    lake: PathBuf,
    columns: [Columns; 8],
    properties: [WriterProperties; 8],
}

impl Writer {
    /// A writer into `data_dir/lake`.
    pub fn new(data_dir: &Path) -> Writer {
        Writer {
            lake: data_dir.join("lake"),
            columns: Table::ALL.map(Columns::new),
            properties: Table::ALL.map(properties),
        }
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
        for table in ORDER {
            if table == Table::Touches {
                self.write_touches(sheet, header, origin, &mut written)?;
                continue;
            }
            sheet.sort(table);
            let rows = sheet.rows(table);
            for day in rows::days(rows) {
                let file = self.write_day((table, day), header, origin, |columns, row| {
                    sheet.fill(columns, header, table, row);
                })?;
                written.extend(file);
            }
        }
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
            let file =
                self.write_day((Table::Touches, day), header, origin, |columns, touch| {
                    let (name, write, row) = touch;
                    let object = &touches.text[name.clone()];
                    sheet.fill_touch(columns, header, row, (object, *write));
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
        mut fill: impl FnMut(&mut Columns, &R),
    ) -> Result<Option<Written>, SealError> {
        let Some(first) = rows.first() else { return Ok(None) };
        let path = file_path(&self.lake, table, first.row().day(), &header.node, origin);
        if path.exists() {
            return Ok(None);
        }
        let (draft, file) = Draft::begin(&path)?;
        let columns = &mut self.columns[table as usize];
        let mut writer = writer(file, table, &self.properties[table as usize])?;
        for row in rows::ahead(rows) {
            fill(columns, row);
            if columns.rows() >= BATCH_ROWS || columns.bytes() >= BATCH_BYTES {
                writer.write(&columns.finish()?)?;
            }
        }
        if columns.rows() > 0 {
            writer.write(&columns.finish()?)?;
        }
        let file = writer.into_inner()?;
        draft.publish(&file)?;
        Ok(Some(Written { table, path, rows: rows.len() }))
    }
}

fn writer(
    file: File,
    table: Table,
    properties: &WriterProperties,
) -> Result<ArrowWriter<File>, SealError> {
    // Without the Arrow schema in the footer every reader sees the Parquet types alone.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.clone())
        .with_skip_arrow_metadata(true);
    Ok(ArrowWriter::try_new_with_options(file, table.schema(), options)?)
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

/// `YYYY-MM-DD` of a day since 1970 (Howard Hinnant's civil_from_days).
pub fn date_text(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

fn properties(table: Table) -> WriterProperties {
    let zstd = ZstdLevel::try_new(1).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(zstd))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_sorting_columns(Some(sorting(table)));
    for column in table.columns() {
        let path = match column.kind {
            Type::Texts => ColumnPath::from(vec![
                column.name.to_owned(),
                "list".to_owned(),
                "element".to_owned(),
            ]),
            _ => ColumnPath::from(column.name),
        };
        let statistics = match column.usage {
            Use::Key | Use::Count => EnabledStatistics::Page,
            Use::Label => EnabledStatistics::Chunk,
            Use::Content | Use::Blob => EnabledStatistics::None,
        };
        builder = builder.set_column_statistics_enabled(path.clone(), statistics);
        // A dictionary costs a hash and a comparison per value; differences of equal numbers are
        // no bits at all.
        if matches!(column.kind, Type::Int | Type::Long | Type::Time) {
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        } else if column.usage == Use::Blob {
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    builder.build()
}

/// Leaf positions: a list is one leaf, so they are the positions of the columns.
fn sorting(table: Table) -> Vec<SortingColumn> {
    let by = table.sorted_by();
    by.iter()
        .filter_map(|name| table.columns().position(|column| column.name == *name))
        .map(|at| SortingColumn { column_idx: at as i32, descending: false, nulls_first: false })
        .collect()
}
