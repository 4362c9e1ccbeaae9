//! Totals of the process by name, what is measured of each target, and the text that Prometheus
//! reads.
//!
//! In: numbers of the shards and of the control thread. Out: named totals, one text.
//! Never: a label with a value of a peer; names are a fixed set.

mod histogram;
mod meter;
mod targets;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::{Histogram, Reading};
pub use meter::{
    Clock, Counted, Meters, Presence, SAMPLE_EVERY, SERIES, Sampler, Series, TargetMeter, Timed,
};
pub use targets::{TargetReading, exposition as exposition_of_targets};

/// One total. Written by its shard alone, readable from other threads; never a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, on the shard's thread.
    pub fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    /// Replaces, on the shard's thread.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads, on any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// The end of the name and the type, as Prometheus wants them.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
        }
    }
}

/// One number of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Name, without the prefix `weir_`.
    pub name: &'static str,
    /// Which of its name it is, by a word of a fixed set; empty for what has no other.
    pub reason: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its value now.
    pub value: u64,
}

impl Total {
    /// A number that only grows.
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Total {
        Total { name, reason: "", help, kind: Kind::Counter, value }
    }

    /// One of several that only grow, by reason; they follow each other.
    pub const fn of_reason(
        name: &'static str,
        reason: &'static str,
        help: &'static str,
        value: u64,
    ) -> Total {
        Total { name, reason, help, kind: Kind::Counter, value }
    }

    /// Its name beside others, where there are no labels.
    pub fn key(&self) -> String {
        match self.reason {
            "" => self.name.to_owned(),
            reason => format!("{}.{reason}", self.name),
        }
    }

    /// A number that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Total {
        Total { name, reason: "", help, kind: Kind::Gauge, value }
    }
}

/// The Prometheus text format, version 0.0.4. A counter's name ends in `_total` there.
pub fn exposition(totals: &[Total]) -> String {
    let mut text = String::new();
    let mut before = "";
    for total in totals {
        let (suffix, kind) = total.kind.words();
        let name = format!("weir_{}{suffix}", total.name);
        // Writing to a string does not fail.
        if total.name != before {
            let _ = writeln!(text, "# HELP {name} {}", total.help);
            let _ = writeln!(text, "# TYPE {name} {kind}");
            before = total.name;
        }
        let _ = match total.reason {
            "" => writeln!(text, "{name} {}", total.value),
            reason => writeln!(text, "{name}{{reason=\"{reason}\"}} {}", total.value),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_labels_of_one_name() {
        let of = |reason, value| Total::of_reason("closed", reason, "By reason.", value);
        let text = exposition(&[of("drain", 1), of("tls", 2), Total::gauge("now", "Now.", 3)]);
        let expect = "# HELP weir_closed_total By reason.\n# TYPE weir_closed_total counter\n\
                      weir_closed_total{reason=\"drain\"} 1\nweir_closed_total{reason=\"tls\"} 2\n\
                      # HELP weir_now Now.\n# TYPE weir_now gauge\nweir_now 3\n";
        assert_eq!(text, expect);
    }

    #[test]
    fn totals_are_written_as_prometheus_reads_them() {
        let totals = [
            Total::counter("votes", "Votes delivered.", 3),
            Total::gauge("connections", "Connections now.", 0),
        ];
        let expect = "# HELP weir_votes_total Votes delivered.\n\
                      # TYPE weir_votes_total counter\n\
                      weir_votes_total 3\n\
                      # HELP weir_connections Connections now.\n\
                      # TYPE weir_connections gauge\n\
                      weir_connections 0\n";
        assert_eq!(exposition(&totals), expect);
    }
}
