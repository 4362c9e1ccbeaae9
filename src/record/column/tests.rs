//! What is written is read back, by Arrow's reader; what the footer says is what Arrow's writer
//! says of the same rows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelector,
};
use parquet::basic::{BoundaryOrder, Encoding};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::super::schema::{Columns, Use};
use super::*;

/// Columns whose values follow from a row's context.
const OF_CONTEXT: [&str; 7] =
    ["node", "user_name", "target", "protocol", "db_namespace", "role", "client_addr"];

/// A value of any column.
#[derive(Clone, Debug, Hash)]
enum Value {
    Null,
    Text(String),
    Number(i64),
    List(Vec<String>),
}

/// Tells a value to a sink, as what its column takes.
fn put(sink: &mut impl Sink, column: &Column, value: &Value) {
    match (column.kind, value) {
        (Type::Text, value) if OF_CONTEXT.contains(&column.name) => {
            sink.context_text(match value {
                Value::Text(text) => Some(text),
                _ => None,
            })
        }
        (_, Value::Null) => sink.nulls(1),
        (Type::Text, Value::Text(text)) => sink.text(text),
        (Type::Bytes, Value::Text(text)) => sink.blob(Some(text.as_bytes())),
        (Type::Int, Value::Number(number)) => sink.int(*number as i32),
        (Type::Long, Value::Number(number)) => sink.long(number.unsigned_abs()),
        (Type::Time, Value::Number(number)) => sink.time(Some(*number)),
        (Type::Flag, Value::Number(number)) => sink.flag(number % 2 == 0),
        (Type::Texts, Value::List(texts)) => sink.texts(texts.iter().map(String::as_str)),
        (kind, value) => unreachable!("{value:?} in a column of {kind:?}"),
    }
}

type Row = Vec<Value>;

/// The rows as Arrow has them.
fn batch(table: Table, rows: &[Row]) -> RecordBatch {
    let mut columns = Columns::new(table);
    fill(&mut columns, table, rows);
    columns.finish().unwrap()
}

fn fill(sink: &mut impl Sink, table: Table, rows: &[Row]) {
    for row in rows {
        let mut context = DefaultHasher::new();
        for (column, value) in table.columns().zip(row) {
            if OF_CONTEXT.contains(&column.name) {
                value.hash(&mut context);
            }
        }
        sink.begin_row(NonZeroU32::new(context.finish() as u32));
        table.columns().zip(row).for_each(|(column, value)| put(sink, column, value));
        sink.end_row();
    }
}

/// The rows as a file.
fn file(group: &mut RowGroup, table: Table, rows: &[Row]) -> Bytes {
    let mut zstd = Zstd::new().unwrap();
    let mut file =
        SerializedFileWriter::new(Vec::new(), group.schema(), Default::default()).unwrap();
    for row in rows.chunks(1) {
        fill(group, table, row);
        if group.cut(&mut zstd).unwrap() {
            group.write(&mut file, &mut zstd).unwrap();
        }
    }
    if !group.is_empty() {
        group.write(&mut file, &mut zstd).unwrap();
    }
    file.into_inner().unwrap().into()
}

/// The same by Arrow's writer.
fn file_of_arrow(table: Table, rows: &[Row]) -> Bytes {
    let mut properties = WriterProperties::builder();
    for column in table.columns() {
        let path = match column.kind {
            Type::Texts => vec![column.name.to_owned(), "list".into(), "element".into()],
            _ => vec![column.name.to_owned()],
        };
        let statistics = match column.usage {
            Use::Key | Use::Count => EnabledStatistics::Page,
            Use::Label => EnabledStatistics::Chunk,
            Use::Content | Use::Blob => EnabledStatistics::None,
        };
        properties = properties.set_column_statistics_enabled(ColumnPath::new(path), statistics);
    }
    let batch = batch(table, rows);
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), properties).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap().into()
}

fn reader(file: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new()
        .with_skip_arrow_metadata(true)
        .with_page_index_policy(PageIndexPolicy::Optional);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap()
}

fn metadata(file: &Bytes) -> ParquetMetaData {
    reader(file).metadata().as_ref().clone()
}

/// Reads rows of a file, found by its page index, and compares them with Arrow's by columns:
/// Arrow's metadata is not in the file.
fn assert_reads(table: Table, file: &Bytes, rows: &[Row], part: Range<usize>) {
    let selection = vec![RowSelector::skip(part.start), RowSelector::select(part.len())];
    let reader = reader(file).with_batch_size(1 << 20).with_row_selection(selection.into());
    let mut at = part.start;
    for got in reader.build().unwrap() {
        let got = got.unwrap();
        let expect = batch(table, &rows[at..at + got.num_rows()]);
        at += got.num_rows();
        for ((column, got), expect) in table.columns().zip(got.columns()).zip(expect.columns()) {
            assert_eq!(got.to_data(), expect.to_data(), "{}.{}", table.name(), column.name);
        }
    }
    assert_eq!(at, part.end, "{}", table.name());
}

/// What a page index says: bounds and NULLs of each page, and the order of the bounds.
type PageBounds = (Vec<(Option<(Vec<u8>, Vec<u8>)>, Option<i64>)>, Option<BoundaryOrder>);

fn pages_of(index: &ColumnIndexMetaData) -> PageBounds {
    let range = |page: usize| match index {
        ColumnIndexMetaData::INT32(index) => Some((
            index.min_value(page)?.to_le_bytes().to_vec(),
            index.max_value(page)?.to_le_bytes().to_vec(),
        )),
        ColumnIndexMetaData::INT64(index) => Some((
            index.min_value(page)?.to_le_bytes().to_vec(),
            index.max_value(page)?.to_le_bytes().to_vec(),
        )),
        ColumnIndexMetaData::BYTE_ARRAY(index) => {
            Some((index.min_value(page)?.to_vec(), index.max_value(page)?.to_vec()))
        }
        index => panic!("no column of weir has {index:?}"),
    };
    let pages = 0..index.num_pages() as usize;
    let pages = pages.map(|page| (range(page), index.null_count(page)));
    (pages.collect(), index.get_boundary_order())
}

/// Values of a kind, so that a whole column can also be all alike or all different.
fn value(column: &Column, seed: u32) -> Value {
    let shape = seed >> 24;
    let small = seed % 7;
    let text = |small: u32| match shape % 4 {
        0 => format!("label {small}"),
        1 => "\u{e9}\u{10ffff}x".repeat(small as usize * 9),
        2 => format!("unique {seed:x}"),
        _ => String::new(),
    };
    match column.kind {
        _ if column.nullable && seed.is_multiple_of(3) => Value::Null,
        Type::Text | Type::Bytes => Value::Text(text(small)),
        Type::Texts => Value::List((0..small).map(text).collect()),
        Type::Int | Type::Long | Type::Time | Type::Flag => Value::Number(match shape % 3 {
            0 => i64::from(seed),
            1 => -i64::from(small),
            _ => i64::from(seed).wrapping_mul(0x9e37_79b9_7f4a),
        }),
    }
}

fn any_rows() -> impl Strategy<Value = (Table, Vec<Row>)> {
    let seeds = || {
        prop_oneof![
            3 => any::<u32>().boxed(),
            2 => (0_u32..4).boxed(),
            1 => Just(0x0200_0001_u32).boxed(),
        ]
    };
    prop::sample::select(Table::ALL.to_vec()).prop_flat_map(move |table| {
        let width = table.columns().count();
        prop::collection::vec((prop::collection::vec(seeds(), width), 1_usize..12), 1..40).prop_map(
            move |rows| {
                let rows = rows.into_iter().flat_map(|(seeds, count)| {
                    let values = table.columns().zip(&seeds);
                    let row: Vec<Value> =
                        values.map(|(column, seed)| value(column, *seed)).collect();
                    vec![row; count]
                });
                (table, rows.collect())
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_read_as_they_came((table, rows) in any_rows(), from in 0.0..1.0_f64) {
        let mut group = RowGroup::new(table).unwrap();
        let file = file(&mut group, table, &rows);
        assert_reads(table, &file, &rows, 0..rows.len());
        let from = (from * rows.len() as f64) as usize;
        assert_reads(table, &file, &rows, from..rows.len());
        // The next file holds nothing of this one.
        let again = self::file(&mut group, table, &rows);
        prop_assert_eq!(again, file);
    }

    #[test]
    fn the_footer_says_what_arrows_writer_says((table, rows) in any_rows()) {
        let mut group = RowGroup::new(table).unwrap();
        let ours = metadata(&file(&mut group, table, &rows));
        let arrows = metadata(&file_of_arrow(table, &rows));
        let pairs = ours.row_group(0).columns().iter().zip(arrows.row_group(0).columns());
        for (column, (ours, arrows)) in table.columns().zip(pairs) {
            prop_assert_eq!(ours.statistics(), arrows.statistics(), "{}", column.name);
            prop_assert_eq!(ours.num_values(), arrows.num_values(), "{}", column.name);
            prop_assert_eq!(
                ours.unencoded_byte_array_data_bytes(),
                arrows.unencoded_byte_array_data_bytes(),
                "{}", column.name
            );
        }
        let (ours, arrows) = (ours.page_index_for_row_group(0), arrows.page_index_for_row_group(0));
        for (at, column) in table.columns().enumerate() {
            let (ours, arrows) = (ours.column_index(at), arrows.column_index(at));
            prop_assert_eq!(ours.map(pages_of), arrows.map(pages_of), "{}", column.name);
        }
    }
}

/// Enough rows for three pages, or for two row groups.
fn many(table: Table, rows: usize, value: impl Fn(&Column, usize) -> Value) -> Vec<Row> {
    (0..rows).map(|at| table.columns().map(|column| value(column, at)).collect()).collect()
}

fn plain(column: &Column) -> Value {
    match column.kind {
        _ if column.nullable => Value::Null,
        Type::Text | Type::Bytes => Value::Text(column.name.to_owned()),
        Type::Texts => Value::List(Vec::new()),
        Type::Int | Type::Long | Type::Time | Type::Flag => Value::Number(7),
    }
}

#[test]
fn pages_end_between_rows_and_have_bounds_of_their_own() {
    let table = Table::Touches;
    let rows = many(table, 45_000, |column, at| match column.name {
        "object" => Value::Text(format!("public.table_{:05}", at / 10)),
        "session_id" => Value::Text(format!("session {}", at % 3)),
        "ts" => Value::Number(at as i64 % 1000),
        "user_groups" => Value::List((0..at % 4).map(|group| format!("group {group}")).collect()),
        "client_addr" if at < 20_000 || at % 5 != 0 => Value::Text("addr".into()),
        _ => plain(column),
    });
    let file = file(&mut RowGroup::new(table).unwrap(), table, &rows);
    for part in [0..45_000, 0..10, 19_990..20_010, 39_999..45_000] {
        assert_reads(table, &file, &rows, part);
    }
    let metadata = metadata(&file);
    let index = metadata.page_index_for_row_group(0);
    let at = |name| table.columns().position(|column| column.name == name).unwrap();
    for column in 0..table.columns().count() {
        let pages = &index.offset_index(column).unwrap().page_locations;
        let first: Vec<i64> = pages.iter().map(|page| page.first_row_index).collect();
        assert_eq!(first, [0, 20_000, 40_000]);
    }
    let text = |text: &str| text.as_bytes().to_vec();
    let objects = |least, greatest| Some((text(least), text(greatest)));
    let (pages, order) = pages_of(index.column_index(at("object")).unwrap());
    let bounds: Vec<_> = pages.into_iter().map(|(range, _)| range).collect();
    assert_eq!(
        bounds,
        [
            objects("public.table_00000", "public.table_01999"),
            objects("public.table_02000", "public.table_03999"),
            objects("public.table_04000", "public.table_04499"),
        ]
    );
    assert_eq!(order, Some(BoundaryOrder::ASCENDING));
    assert!(index.column_index(at("client_addr")).is_none(), "a label has bounds of the chunk");
}

#[test]
fn a_full_dictionary_is_followed_by_plain_pages() {
    let table = Table::MaskingHits;
    let long = "x".repeat(60);
    let rows = many(table, 40_000, |column, at| match column.name {
        "column" => Value::Text(format!("{long} {}", at % 30_000)),
        "user_groups" => Value::List(vec![format!("{long} {at}"), long.clone()]),
        _ => plain(column),
    });
    let mut group = RowGroup::new(table).unwrap();
    let file = file(&mut group, table, &rows);
    assert_reads(table, &file, &rows, 0..rows.len());
    let metadata = metadata(&file);
    let chunk = |name: &str| {
        let columns = metadata.row_group(0).columns();
        columns[table.columns().position(|column| column.name == name).unwrap()].clone()
    };
    for name in ["column", "user_groups"] {
        let encodings: Vec<Encoding> = chunk(name).encodings().collect();
        assert!(encodings.contains(&Encoding::PLAIN), "{name}: {encodings:?}");
        assert!(encodings.contains(&Encoding::RLE_DICTIONARY), "{name}: {encodings:?}");
    }
    let Some(Statistics::ByteArray(range)) = chunk("column").statistics().cloned() else {
        panic!("a label has bounds");
    };
    let (least, greatest) = (format!("{long} 0"), format!("{long} 99"));
    assert_eq!(range.min_bytes_opt(), Some(least.as_bytes()));
    assert!(greatest.as_bytes() <= range.max_bytes_opt().unwrap());
    // A dictionary that was full is one again in the next file.
    let few = rows[..10].to_vec();
    let fresh = self::file(&mut RowGroup::new(table).unwrap(), table, &few);
    assert_eq!(self::file(&mut group, table, &few), fresh);
}

/// Names of columns are lists, and those of wide rows are long ones.
#[test]
fn a_page_of_long_lists_is_bounded() {
    let table = Table::Responses;
    let names: Vec<String> = (0..1000).map(|at| format!("c{at}")).collect();
    let rows = many(table, 300, |column, _| match column.name {
        "columns" => Value::List(names.clone()),
        _ => plain(column),
    });
    let file = file(&mut RowGroup::new(table).unwrap(), table, &rows);
    assert_reads(table, &file, &rows, 0..rows.len());
    assert_reads(table, &file, &rows, 130..140);
    let metadata = metadata(&file);
    let at = table.columns().position(|column| column.name == "columns").unwrap();
    let index = metadata.page_index_for_row_group(0);
    let pages = &index.offset_index(at).unwrap().page_locations;
    let first: Vec<i64> = pages.iter().map(|page| page.first_row_index).collect();
    assert_eq!(first, [0, 132, 264], "131,072 places of values are 1 MiB");
}

#[test]
fn row_groups_are_bounded_by_rows_and_by_bytes() {
    let table = Table::Touches;
    let rows = many(table, ROW_GROUP_ROWS + 5, |column, _| plain(column));
    let groups = metadata(&file(&mut RowGroup::new(table).unwrap(), table, &rows));
    let sizes: Vec<i64> = groups.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(sizes, [ROW_GROUP_ROWS as i64, 5]);
    let table = Table::StreamChunks;
    let payload = "p".repeat(1 << 20);
    let rows = many(table, 130, |column, _| match column.name {
        "payload" => Value::Text(payload.clone()),
        _ => plain(column),
    });
    let file = file(&mut RowGroup::new(table).unwrap(), table, &rows);
    assert_reads(table, &file, &rows, 0..rows.len());
    let sizes: Vec<i64> =
        metadata(&file).row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(sizes, [128, 2]);
}

#[test]
fn digests_are_those_of_the_texts() {
    let mut digests = Digests::default();
    let long = "x".repeat(DIGESTED_BYTES / 64);
    for at in 0..200 {
        for text in [format!("SELECT {}", at % 7), format!("{long}{at}"), format!("{long}{at}")] {
            assert_eq!(digests.of(text.as_bytes()), sha256(text.as_bytes()));
        }
        let shorter = &long.as_bytes()[at..];
        assert_eq!(digests.of(shorter), sha256(shorter));
        assert!(digests.bytes <= DIGESTED_BYTES + DIGESTED_BYTES / 32, "no more is remembered");
    }
}

/// A file that could not be written leaves nothing for the next one.
#[test]
fn rows_of_a_file_that_failed_are_not_in_the_next() {
    let table = Table::Touches;
    let rows = many(table, 25_000, |column, at| match column.name {
        "object" => Value::Text(format!("object {at}")),
        _ => plain(column),
    });
    let mut group = RowGroup::new(table).unwrap();
    let mut zstd = Zstd::new().unwrap();
    for row in rows.chunks(1) {
        fill(&mut group, table, row);
        group.cut(&mut zstd).unwrap();
    }
    group.clear();
    let fresh = file(&mut RowGroup::new(table).unwrap(), table, &rows[..9]);
    assert_eq!(file(&mut group, table, &rows[..9]), fresh);
}

#[test]
#[should_panic(expected = "a value for every column")]
fn a_row_with_too_few_values_is_our_bug() {
    let mut group = RowGroup::new(Table::Touches).unwrap();
    group.time(Some(0));
    group.end_row();
}
