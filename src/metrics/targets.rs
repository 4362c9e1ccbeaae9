//! What all shards measured of each target, added up, and how Prometheus reads it.
//!
//! In: meters of the shards, names of the targets. Out: readings, one text.
//! Never: a label with a value of a peer; a target's name that breaks a line.

use std::fmt::Write;
use std::sync::Arc;

use super::histogram::Reading;
use super::meter::{Counted, Meters, SERIES, Series, TargetMeter, Timed};
use super::{Counter, Kind};
use crate::limits::DURATION_US_MAX;

/// One target at one time.
#[derive(Clone, Debug, Default)]
pub struct TargetReading {
    /// The name of the configuration.
    pub name: String,
    /// Sessions that are logged in.
    pub connections: u64,
    /// Commands that wait for people.
    pub held: u64,
    /// Commands by `Counted::ALL`.
    pub commands: [u64; 3],
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes for clients.
    pub bytes_out: u64,
    /// By `SERIES`.
    pub durations: [Reading; SERIES.len()],
}

impl TargetReading {
    /// What all shards say of the target with this index.
    pub fn of(index: usize, name: &str, shards: &[Arc<Meters>]) -> TargetReading {
        let mut reading = TargetReading { name: name.to_owned(), ..TargetReading::default() };
        for meter in shards.iter().filter_map(|meters| meters.get(index)) {
            reading.connections += meter.connections.get();
            reading.held += meter.held.get();
            reading.bytes_in += meter.bytes_in.get();
            reading.bytes_out += meter.bytes_out.get();
            for (sum, counter) in reading.commands.iter_mut().zip(&meter.commands) {
                *sum += Counter::get(counter);
            }
            add_durations(&mut reading.durations, meter);
        }
        reading
    }
}

fn add_durations(readings: &mut [Reading; SERIES.len()], meter: &TargetMeter) {
    for (reading, series) in readings.iter_mut().zip(SERIES) {
        if let Some(histogram) = meter.histogram(series) {
            reading.add(histogram);
        }
    }
}

/// A family of numbers by target, and how to read it.
type Family = (&'static str, &'static str, Kind, fn(&TargetReading) -> u64);

const FAMILIES: [Family; 4] = [
    ("target_connections", "Sessions logged in now, by target.", Kind::Gauge, |it| it.connections),
    ("held_commands", "Commands that wait for people now, by target.", Kind::Gauge, |it| it.held),
    ("client_received_bytes", "Bytes received from clients, by target.", Kind::Counter, |it| {
        it.bytes_in
    }),
    ("client_sent_bytes", "Bytes for clients, by target.", Kind::Counter, |it| it.bytes_out),
];

/// A family of histograms and what it says.
const HISTOGRAMS: [(Timed, &str); 5] = [
    (
        Timed::Decide,
        "Time to understand a message and ask the rules; one message in 64 is measured.",
    ),
    (
        Timed::Target,
        "Time from a command's admission to the end of its answer, with its wait for the disk.",
    ),
    (Timed::JournalWait, "Time bytes waited until the disk had their record; sync mode only."),
    (Timed::Mask, "Time spent on masking the rows of one answer; one answer in 64 is measured."),
    (Timed::ClientWait, "Time an answer waited for room in its client's socket."),
];

/// Upper edges of the buckets that Prometheus is told, microseconds.
const EDGES_US: [u64; 25] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    DURATION_US_MAX,
];

/// The Prometheus text format, version 0.0.4.
pub fn exposition(targets: &[TargetReading]) -> String {
    let mut text = String::new();
    for (name, help, kind, read) in FAMILIES {
        let (suffix, word) = kind.words();
        head(&mut text, &format!("{name}{suffix}"), help, word);
        for target in targets {
            let label = escaped(&target.name);
            let value = read(target);
            line(&mut text, format_args!("weir_{name}{suffix}{{target=\"{label}\"}} {value}"));
        }
    }
    let help = "Commands by target and by what the rules said.";
    head(&mut text, "commands_total", help, "counter");
    for target in targets {
        let label = escaped(&target.name);
        for (verdict, value) in Counted::ALL.into_iter().zip(target.commands) {
            let verdict = verdict.name();
            line(
                &mut text,
                format_args!(
                    "weir_commands_total{{target=\"{label}\",verdict=\"{verdict}\"}} {value}"
                ),
            );
        }
    }
    for (timed, help) in HISTOGRAMS {
        let name = format!("{}_seconds", timed.name());
        head(&mut text, &name, help, "histogram");
        for target in targets {
            for (series, reading) in SERIES.into_iter().zip(&target.durations) {
                if series.0 == timed {
                    histogram(&mut text, &name, &labels(&target.name, series), reading);
                }
            }
        }
    }
    text
}

fn histogram(text: &mut String, name: &str, labels: &str, reading: &Reading) {
    for (edge, count) in EDGES_US.into_iter().zip(reading.up_to(&EDGES_US)) {
        let edge = seconds(edge);
        line(text, format_args!("weir_{name}_bucket{{{labels},le=\"{edge}\"}} {count}"));
    }
    let (count, sum) = (reading.count(), seconds(reading.sum_us()));
    line(text, format_args!("weir_{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
    line(text, format_args!("weir_{name}_sum{{{labels}}} {sum}"));
    line(text, format_args!("weir_{name}_count{{{labels}}} {count}"));
}

fn labels(target: &str, (_, verdict): Series) -> String {
    let target = escaped(target);
    match verdict {
        Some(verdict) => format!("target=\"{target}\",verdict=\"{}\"", verdict.name()),
        None => format!("target=\"{target}\""),
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, format_args!("# HELP weir_{name} {help}"));
    line(text, format_args!("# TYPE weir_{name} {kind}"));
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(words);
    text.push('\n');
}

/// A label's value, as the format asks for it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Microseconds as decimal seconds, exactly.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards() -> Vec<Arc<Meters>> {
        let shards: Vec<_> = (0..2).map(|_| Arc::new(Meters::new(|| 0))).collect();
        for (shard, us) in shards.iter().zip([7, 40_000]) {
            let meter = shard.target(1);
            meter.count(Counted::Allow);
            meter.count(Counted::Deny);
            meter.held.add(1);
            meter.bytes_in.add(10);
            meter.record((Timed::Decide, Some(Counted::Deny)), us);
        }
        shards
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }

    #[test]
    fn shards_are_added_up() {
        let reading = TargetReading::of(1, "orders", &shards());
        assert_eq!((reading.held, reading.bytes_in), (2, 20));
        assert_eq!(reading.commands, [2, 2, 0]);
        assert_eq!(TargetReading::of(0, "idle", &shards()).commands, [0; 3]);
    }

    #[test]
    fn histograms_are_written_as_prometheus_reads_them() {
        let text = exposition(&[TargetReading::of(1, "a\"b\\c\nd", &shards())]);
        let target = r#"target="a\"b\\c\nd""#;
        let decide = format!("weir_decide_seconds_bucket{{{target},verdict=\"deny\"");
        has(&text, "# TYPE weir_decide_seconds histogram");
        has(&text, &format!("{decide},le=\"0.000005\"}} 0"));
        has(&text, &format!("{decide},le=\"0.00001\"}} 1"));
        has(&text, &format!("{decide},le=\"0.02\"}} 1"));
        has(&text, &format!("{decide},le=\"0.05\"}} 2"));
        has(&text, &format!("{decide},le=\"3600\"}} 2"));
        has(&text, &format!("{decide},le=\"+Inf\"}} 2"));
        has(&text, &format!("weir_decide_seconds_sum{{{target},verdict=\"deny\"}} 0.040007"));
        has(&text, &format!("weir_decide_seconds_count{{{target},verdict=\"deny\"}} 2"));
        has(&text, &format!("weir_commands_total{{{target},verdict=\"allow\"}} 2"));
        has(&text, &format!("weir_held_commands{{{target}}} 2"));
        has(&text, &format!("weir_client_received_bytes_total{{{target}}} 20"));
        has(&text, &format!("weir_journal_wait_seconds_count{{{target}}} 0"));
        for line in text.lines() {
            let sane = line.starts_with("# ") || line.starts_with("weir_");
            assert!(sane, "a name broke a line: {line}");
        }
    }

    #[test]
    fn every_series_belongs_to_a_family() {
        for (timed, _) in SERIES {
            assert!(HISTOGRAMS.iter().any(|(of, _)| *of == timed), "{timed:?}");
        }
    }

    #[test]
    fn seconds_are_exact() {
        let check = |us, expect: &str| assert_eq!(seconds(us), expect);
        check(0, "0");
        check(1, "0.000001");
        check(10_000_000, "10");
        check(1_500_000, "1.5");
        check(u64::MAX, "18446744073709.551615");
    }
}
