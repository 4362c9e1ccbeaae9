//! What weir recorded: the Parquet files as rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

/// The tables of the design.
pub const TABLES: [&str; 9] = [
    "sessions",
    "commands",
    "responses",
    "stream_chunks",
    "approvals",
    "masking_hits",
    "log_events",
    "touches",
    "shell_lines",
];

/// One row by column name. Binary columns are arrays of numbers, timestamps microseconds.
pub type Row = BTreeMap<String, Value>;

/// The folder of the tables.
#[derive(Debug)]
pub struct Lake {
    pub folder: PathBuf,
}

impl Lake {
    pub fn open(data_dir: &Path) -> Lake {
        Lake { folder: data_dir.join("lake") }
    }

    /// The files of a table, in the order of their names.
    pub fn files(&self, table: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.folder.join(table), &mut files);
        files.retain(|file| file.extension().is_some_and(|end| end == "parquet"));
        files.sort();
        files
    }

    /// All rows of a table, by session and sequence number.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        self.each_row(table, None, |row| rows.push(row));
        rows.sort_by_key(|row| (text(row, "session_id"), number(row, "seq")));
        rows
    }

    /// Each row of a table in the order of its files, with all columns or with these: a lake of
    /// millions of rows has no room in memory.
    pub fn each_row(&self, table: &str, columns: Option<&[&str]>, mut visit: impl FnMut(Row)) {
        for file in self.files(table) {
            let reader = File::open(&file).map(SerializedFileReader::new);
            let reader = reader.expect("a readable file");
            let reader = reader.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let schema = reader.metadata().file_metadata().schema();
            let projection = columns.map(|columns| projection(schema, columns));
            for row in reader.get_row_iter(projection).expect("rows") {
                let row = row.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                let columns = row.get_column_iter();
                visit(columns.map(|(name, field)| (name.clone(), value(field))).collect());
            }
        }
    }

    /// Commands whose text holds `part`.
    pub fn commands_with(&self, part: &str) -> Vec<Row> {
        let mut rows = self.rows("commands");
        rows.retain(|row| text(row, "query_text").contains(part));
        rows
    }

    /// The one command whose text holds `part`, with its one response.
    pub fn exchange(&self, part: &str) -> (Row, Row) {
        let mut commands = self.commands_with(part);
        assert_eq!(commands.len(), 1, "commands with {part:?}: {commands:#?}");
        let command = commands.remove(0);
        let mut responses = self.rows("responses");
        responses.retain(|row| {
            row.get("session_id") == command.get("session_id")
                && number(row, "command_seq") == number(&command, "seq")
        });
        assert_eq!(responses.len(), 1, "responses to {command:#?}: {responses:#?}");
        (command, responses.remove(0))
    }

    /// Events by name.
    pub fn events(&self, event: &str) -> Vec<Row> {
        let mut rows = self.rows("log_events");
        rows.retain(|row| text(row, "event") == event);
        rows
    }
}

/// The schema of a file with these columns only.
fn projection(schema: &Type, columns: &[&str]) -> Type {
    let fields = schema.get_fields().iter().filter(|field| columns.contains(&field.name()));
    let fields: Vec<TypePtr> = fields.cloned().collect();
    assert_eq!(fields.len(), columns.len(), "{columns:?} of {schema:?}");
    Type::group_type_builder(schema.name()).with_fields(fields).build().expect("a schema")
}

/// All files below a folder.
pub fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// A text column; absent and NULL are empty.
pub fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number; absent and NULL are -1.
pub fn number(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or(-1)
}

/// A binary column.
pub fn bytes(row: &Row, column: &str) -> Vec<u8> {
    let values = row.get(column).and_then(Value::as_array).cloned().unwrap_or_default();
    values.iter().map(|value| value.as_u64().unwrap_or_default() as u8).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Bool(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) | Field::TimestampMicros(value) => (*value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::Bytes(value) => value.data().to_vec().into(),
        Field::ListInternal(list) => list.elements().iter().map(self::value).collect(),
        Field::Null => Value::Null,
        other => panic!("a type that the schema does not use: {other:?}"),
    }
}

/// Log, journal and every column of the lake, to look for what must not be there.
pub fn assert_nowhere(weir: &mut super::Weir, secret: &str) {
    assert!(secret.len() > 6, "{secret:?} proves nothing");
    assert!(!weir.log().contains(secret), "the log holds a token");
    let lake = weir.lake();
    let mut files = Vec::new();
    collect(weir.data_dir(), &mut files);
    for file in files {
        let bytes = std::fs::read(&file).expect("a file of the data directory");
        let found = memchr::memmem::find(&bytes, secret.as_bytes());
        assert_eq!(found, None, "{} holds a token", file.display());
    }
    // Parquet is compressed, and binary columns are lists of numbers.
    for table in TABLES {
        for row in lake.rows(table) {
            for (column, value) in &row {
                let bytes = bytes(&row, column);
                let binary = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
                assert!(!binary && !value.to_string().contains(secret), "{table}.{column}");
            }
        }
    }
}
