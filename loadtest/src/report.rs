//! An outcome as text, as JSON and as a percentile distribution (`.hgrm`).
//!
//! In: an outcome. Out: text. Never: a percentile without saying what it was counted from.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::drive::Settings;
use crate::outcome::{Outcome, Tally};
use crate::storm::Storm;

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// What a person reads.
pub fn text(settings: &Settings, outcome: &Outcome) -> String {
    let total = outcome.total();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} on {} connections, {} threads, {} s counted",
        settings.speech.mode(),
        settings.connections,
        settings.threads,
        settings.seconds
    );
    match settings.rate {
        Some(rate) => {
            let _ = writeln!(
                out,
                "offered {rate}/s ({} arrivals), answered {:.1}/s",
                settings.arrivals.name(),
                outcome.rate()
            );
            let _ = writeln!(out, "from the intended start, us: {}", quantiles(&total.latency));
            let _ = writeln!(out, "from the send, us:           {}", quantiles(&total.service));
        }
        None => {
            let _ = writeln!(out, "closed loop: answered {:.1}/s", outcome.rate());
            let _ = writeln!(
                out,
                "from the send, us: {} (a closed loop waits; no promise to an open one)",
                quantiles(&total.service)
            );
        }
    }
    let megabytes = total.bytes as f64 / 1e6;
    let _ = writeln!(
        out,
        "{megabytes:.1} MB of answers ({:.1} MB/s), {} rows",
        megabytes / outcome.window_s,
        total.rows
    );
    let statements = settings.speech.statements();
    if statements.len() > 1 {
        for (statement, tally) in statements.into_iter().zip(&outcome.statements) {
            let _ = writeln!(
                out,
                "  {:24} {:>9} answers {:>6} errors  {}",
                statement,
                tally.latency.len(),
                tally.errors,
                quantiles(&tally.latency)
            );
        }
    }
    troubles(outcome, &total, &mut out);
    out
}

fn troubles(outcome: &Outcome, total: &Tally, out: &mut String) {
    if outcome.unfinished > 0 {
        let _ = writeln!(
            out,
            "NOT SUSTAINED: {} of {} requests were not answered; they count with the time they \
             waited",
            outcome.unfinished, outcome.offered
        );
    }
    if outcome.lost > 0 {
        let _ = writeln!(out, "{} connections lost", outcome.lost);
    }
    if let Some(error) = &outcome.first_error {
        let _ = writeln!(out, "{} errors, the first: {error}", total.errors);
    }
}

/// Mean and percentiles.
pub fn quantiles(histogram: &Histogram<u64>) -> String {
    let mut out = format!("mean {:.0}", histogram.mean());
    for (name, quantile) in QUANTILES {
        let _ = write!(out, " {name} {}", histogram.value_at_quantile(quantile));
    }
    out
}

/// The same for programs.
pub fn json(settings: &Settings, outcome: &Outcome) -> Value {
    let tally = |name: &str, tally: &Tally| {
        json!({
            "statement": name, "count": tally.latency.len(), "errors": tally.errors,
            "bytes": tally.bytes, "rows": tally.rows,
            "latency_us": spread(&tally.latency), "service_us": spread(&tally.service),
        })
    };
    let names = settings.speech.statements().into_iter();
    let statements: Vec<Value> =
        names.zip(&outcome.statements).map(|(name, t)| tally(name, t)).collect();
    json!({
        "endpoint": settings.speech.endpoint(), "mode": settings.speech.mode(),
        "connections": settings.connections, "threads": settings.threads,
        "depth": settings.depth, "fresh": settings.fresh, "rate_offered": settings.rate,
        "arrivals": settings.rate.map(|_| settings.arrivals.name()),
        "seconds": outcome.window_s, "rate_answered": outcome.rate(),
        "offered": outcome.offered, "unfinished": outcome.unfinished, "lost": outcome.lost,
        "first_error": outcome.first_error,
        "total": tally("all", &outcome.total()), "statements": statements,
    })
}

fn spread(histogram: &Histogram<u64>) -> Value {
    let quantiles = QUANTILES.iter().map(|(name, quantile)| {
        ((*name).to_owned(), Value::from(histogram.value_at_quantile(*quantile)))
    });
    let mut map: serde_json::Map<String, Value> = quantiles.collect();
    map.insert("mean".to_owned(), Value::from(histogram.mean()));
    Value::Object(map)
}

/// A storm, for a person.
pub fn storm_text(count: usize, storm: &Storm) -> String {
    let mut out = format!(
        "{} of {count} logged in within {:.2} s: {:.0} logins/s\nus: {}\n",
        storm.login.len(),
        storm.seconds,
        storm.login.len() as f64 / storm.seconds.max(f64::MIN_POSITIVE),
        quantiles(&storm.login)
    );
    if let Some(error) = &storm.first_error {
        let _ = writeln!(out, "{} refused, the first: {error}", storm.refused);
    }
    out
}

/// A storm, for programs.
pub fn storm_json(count: usize, storm: &Storm) -> Value {
    json!({
        "clients": count, "logged_in": storm.login.len(), "refused": storm.refused,
        "first_error": storm.first_error, "seconds": storm.seconds,
        "login_us": spread(&storm.login),
    })
}

/// The percentile distribution that HdrHistogram's plotter reads; values in microseconds.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for step in histogram.iter_quantiles(5) {
        let quantile = step.quantile_iterated_to();
        let _ = write!(
            out,
            "{:12} {quantile:14.12} {:10}",
            step.value_iterated_to(),
            histogram.count_between(0, step.value_iterated_to())
        );
        let _ = match 1.0 - quantile {
            rest if rest > 0.0 => writeln!(out, " {:14.2}", 1.0 / rest),
            _ => writeln!(out),
        };
    }
    let _ = writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12}, Total count    = {:12}]",
        histogram.mean(),
        histogram.stdev(),
        histogram.max(),
        histogram.len()
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{histogram, record};

    #[test]
    fn the_distribution_ends_at_the_maximum() {
        let mut latencies = histogram();
        (1..=1000).for_each(|value| record(&mut latencies, value));
        let text = hgrm(&latencies);
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(fields, ["1000", "1.000000000000", "1000"]);
        assert!(text.contains("         500 0.5"), "{text}");
    }
}
