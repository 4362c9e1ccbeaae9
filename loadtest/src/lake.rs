//! An outcome as Parquet, so that runs compare in SQL.
//!
//! In: outcomes. Out: one file, one row per second and statement, and one per statement for the
//! whole run (`second` is NULL). Never: a file that is half written under its final name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use hdrhistogram::Histogram;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::drive::Settings;
use crate::outcome::{Outcome, Tally};

struct Row<'a> {
    second: Option<i64>,
    statement: &'a str,
    tally: &'a Tally,
}

/// Writes `path`; `label` names the run, `started_us` is UTC.
///
/// # Errors
/// What the disk or the writer says.
pub fn write(
    path: &Path,
    (label, started_us): (&str, i64),
    settings: &Settings,
    outcome: &Outcome,
) -> Result<(), String> {
    let batch = batch((label, started_us), settings, outcome)?;
    let draft = path.with_extension("parquet.part");
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", draft.display());
    let file = File::create(&draft).map_err(|e| fail(&e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(|e| fail(&e))?;
    writer.write(&batch).map_err(|e| fail(&e))?;
    writer.close().map_err(|e| fail(&e))?;
    std::fs::rename(&draft, path).map_err(|e| fail(&e))
}

fn batch(
    (label, started_us): (&str, i64),
    settings: &Settings,
    outcome: &Outcome,
) -> Result<RecordBatch, String> {
    let names = || settings.speech.statements().into_iter();
    let whole = names().zip(&outcome.statements).map(|(statement, tally)| Row {
        second: None,
        statement,
        tally,
    });
    let seconds = outcome.seconds.iter().enumerate().flat_map(|(second, tallies)| {
        let second = Some(second as i64);
        names().zip(tallies).map(move |(statement, tally)| Row { second, statement, tally })
    });
    let rows: Vec<Row<'_>> = whole.chain(seconds).collect();
    let texts = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows.len())))
    };
    let longs = |value: &dyn Fn(&Row<'_>) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| value(row) as i64)))
    };
    let same = |value: u64| longs(&|_| value);
    let quantile = |of: fn(&Tally) -> &Histogram<u64>, quantile: f64| {
        longs(&|row| of(row.tally).value_at_quantile(quantile))
    };
    let latency: fn(&Tally) -> &Histogram<u64> = |tally| &tally.latency;
    let service: fn(&Tally) -> &Histogram<u64> = |tally| &tally.service;
    let started =
        TimestampMicrosecondArray::from(vec![started_us; rows.len()]).with_timezone("UTC");
    let offered = Float64Array::from(vec![settings.rate; rows.len()]);
    let mean = Float64Array::from_iter_values(rows.iter().map(|r| r.tally.latency.mean()));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("label", texts(label), false),
        ("started_at", Arc::new(started), false),
        ("endpoint", texts(&settings.speech.endpoint()), false),
        ("mode", texts(settings.speech.mode()), false),
        ("arrivals", texts(settings.rate.map_or("closed", |_| settings.arrivals.name())), false),
        ("rate_offered", Arc::new(offered), true),
        ("connections", same(settings.connections as u64), false),
        ("second", Arc::new(rows.iter().map(|row| row.second).collect::<Int64Array>()), true),
        (
            "statement",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.statement))),
            false,
        ),
        ("count", longs(&|row| row.tally.latency.len()), false),
        ("errors", longs(&|row| row.tally.errors), false),
        ("bytes", longs(&|row| row.tally.bytes), false),
        ("rows", longs(&|row| row.tally.rows), false),
        ("mean_us", Arc::new(mean), false),
        ("p50_us", quantile(latency, 0.5), false),
        ("p90_us", quantile(latency, 0.9), false),
        ("p99_us", quantile(latency, 0.99), false),
        ("p999_us", quantile(latency, 0.999), false),
        ("max_us", quantile(latency, 1.0), false),
        ("service_p50_us", quantile(service, 0.5), false),
        ("service_p99_us", quantile(service, 0.99), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| e.to_string())
}
