//! Samples to medians with their spread: as text, as JSON, as plots.
//!
//! In: samples. Out: tables. Never: a mean, or a number from a discarded measurement.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Sample;
use super::flags::Flags;
use super::plot::{self, Bar};
use super::rig::WEIR;
use super::workload::{Arms, METRICS, Metric, WORKLOADS, Workload};

/// Median and spread of one metric of one arm in one workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
}

/// Everything measured in one run.
pub struct Report {
    facts: Value,
    arms: Vec<String>,
    versions: Vec<String>,
    samples: Vec<Sample>,
}

impl Report {
    /// Adds the derived metric, keeps the rest as it is.
    pub fn new(
        flags: &Flags,
        arms: Vec<String>,
        versions: Vec<String>,
        mut samples: Vec<Sample>,
    ) -> Report {
        add_derived(&mut samples);
        let facts = json!({
            "rounds": flags.rounds, "seconds": flags.seconds, "rate": flags.rate,
            "steal_max_percent": flags.steal_max, "foreign_max_percent": flags.foreign_max,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "kernel": first_line("/proc/sys/kernel/osrelease"), "cpu": cpu_model(),
        });
        Report { facts, arms, versions, samples }
    }

    /// The tables that a person reads.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let f = &self.facts;
        let _ = writeln!(
            out,
            "{} rounds of {} s, arms interleaved; {} cores, {}, Linux {}",
            f["rounds"],
            f["seconds"],
            f["cores"],
            text(&f["cpu"]),
            text(&f["kernel"])
        );
        let _ = writeln!(out, "{}", self.versions.join("; "));
        let _ = writeln!(out, "median [min..max]; x: this arm's median divided by that arm's");
        for workload in self.workloads() {
            self.table(workload, &mut out);
        }
        let discarded: Vec<_> = self.samples.iter().filter(|s| !s.kept).collect();
        let _ = writeln!(
            out,
            "\n{} of {} measurements discarded for steal time or other programs' load",
            discarded.len(),
            self.samples.len()
        );
        for sample in discarded {
            let _ = writeln!(
                out,
                "  round {} {} {}: {:.1} % stolen, {:.0} % of a core used by others",
                sample.round + 1,
                sample.workload,
                sample.arm,
                sample.steal_percent,
                sample.foreign_percent
            );
        }
        out
    }

    /// Facts, summary and raw samples.
    pub fn json(&self) -> String {
        let summary: Vec<Value> = self
            .workloads()
            .flat_map(|workload| self.arms.iter().map(move |arm| (workload, arm)))
            .flat_map(|(workload, arm)| METRICS.iter().map(move |m| (workload, arm, m)))
            .filter_map(|(workload, arm, metric)| {
                let spread = self.spread(workload.name, arm, metric.name)?;
                Some(json!({
                    "workload": workload.name, "arm": arm, "metric": metric.name,
                    "median": spread.median, "min": spread.min, "max": spread.max,
                    "count": spread.count,
                    "x_haproxy": self.ratio(workload, arm, metric, HAPROXY),
                    "x_best_rival": self.ratio(workload, arm, metric, RIVALS),
                    "x_weir": self.ratio(workload, arm, metric, OWN),
                }))
            })
            .collect();
        let samples: Vec<Value> = self
            .samples
            .iter()
            .map(|s| {
                json!({
                    "workload": s.workload, "arm": s.arm, "round": s.round, "kept": s.kept,
                    "steal_percent": s.steal_percent, "foreign_percent": s.foreign_percent,
                    "values": s.values,
                })
            })
            .collect();
        let whole = json!({
            "facts": self.facts, "versions": self.versions,
            "summary": summary, "samples": samples,
        });
        format!("{whole:#}\n")
    }

    /// One plot per workload, of its primary metric.
    pub fn plots(&self) -> Vec<(String, String)> {
        self.workloads()
            .filter_map(|workload| {
                let metric = METRICS.iter().find(|m| m.name == workload.primary)?;
                let bars: Vec<Bar> = self
                    .arms
                    .iter()
                    .filter_map(|arm| {
                        let spread = self.spread(workload.name, arm, metric.name)?;
                        Some(Bar { name: arm.clone(), spread })
                    })
                    .collect();
                let better = if metric.higher_is_better { "more" } else { "less" };
                let title = format!("{}: {}", workload.name, workload.about);
                let unit = format!("{} ({better} is better)", metric.heading);
                (!bars.is_empty())
                    .then(|| (format!("{}.svg", workload.name), plot::bars(&title, &unit, &bars)))
            })
            .collect()
    }

    fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        WORKLOADS.iter().filter(|w| self.samples.iter().any(|s| s.workload == w.name))
    }

    fn table(&self, workload: &Workload, out: &mut String) {
        let found = |metric: &&Metric| {
            self.samples
                .iter()
                .any(|s| s.workload == workload.name && s.values.contains_key(metric.name))
        };
        let metrics: Vec<&Metric> = METRICS.iter().filter(found).collect();
        let mut rows = vec![vec![format!("{}", workload.name)]];
        rows[0].extend(metrics.iter().map(|m| m.heading.to_owned()));
        let primary = METRICS.iter().find(|m| m.name == workload.primary);
        let others = primary.map_or(vec![], |primary| self.others(workload, primary));
        if let Some(primary) = primary {
            rows[0].extend(others.iter().map(|(name, _)| format!("{} x {name}", primary.heading)));
        }
        for arm in self.arms.iter().filter(|arm| workload.is_for(arm)) {
            let mut row = vec![arm.clone()];
            for metric in &metrics {
                let spread = self.spread(workload.name, arm, metric.name);
                row.push(spread.map_or_else(|| "-".to_owned(), cell));
            }
            if let Some(primary) = primary {
                for (_, others) in &others {
                    let ratio = self.ratio(workload, arm, primary, others);
                    row.push(ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}")));
                }
            }
            rows.push(row);
        }
        let _ = writeln!(out, "\n{}: {}\n{}", workload.name, workload.about, aligned(&rows));
    }

    /// Whom the arms are compared with: those that were measured. weir with itself only where it
    /// has two durabilities, or masks and none.
    fn others(
        &self,
        workload: &Workload,
        primary: &Metric,
    ) -> Vec<(&'static str, &'static [&'static str])> {
        let mut others = vec![("haproxy", HAPROXY), ("best rival", RIVALS)];
        if matches!(workload.arms, Arms::Synced | Arms::Masked | Arms::Weir | Arms::WebSynced) {
            others.push((WEIR, OWN));
        }
        let measured = |arm: &&str| self.spread(workload.name, arm, primary.name).is_some();
        if workload.arms == Arms::Shell {
            // The best rival is HAProxy, which does not look; this one does what weir does.
            others = vec![("haproxy", HAPROXY), ("jump", &["jump-ssh"])];
        }
        others.retain(|(_, arms)| arms.iter().any(&measured));
        others
    }

    fn spread(&self, workload: &str, arm: &str, metric: &str) -> Option<Spread> {
        let kept = self
            .samples
            .iter()
            .filter(|s| s.kept && s.workload == workload && s.arm == arm)
            .filter_map(|s| s.values.get(metric).copied());
        Spread::of(kept.collect())
    }

    /// This arm's median by the best median among `others`.
    fn ratio(
        &self,
        workload: &Workload,
        arm: &str,
        metric: &Metric,
        others: &[&str],
    ) -> Option<f64> {
        let own = self.spread(workload.name, arm, metric.name)?.median;
        let medians = others
            .iter()
            .filter_map(|other| Some(self.spread(workload.name, other, metric.name)?.median));
        let best = if metric.higher_is_better {
            medians.max_by(f64::total_cmp)?
        } else {
            medians.min_by(f64::total_cmp)?
        };
        (best > 0.0).then(|| own / best)
    }
}

/// Those of one workload are of one suite.
const HAPROXY: &[&str] = &["haproxy", "haproxy-tls", "haproxy-http", "haproxy-ssh"];
const RIVALS: &[&str] = &[
    "haproxy",
    "haproxy-tls",
    "pgbouncer",
    "pgbouncer-tls",
    "haproxy-http",
    "nginx-http",
    "haproxy-ssh",
    "jump-ssh",
];
const OWN: &[&str] = &[WEIR, "weir-http"];

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Spread { median, min, max, count: values.len() })
    }
}

fn is_direct(sample: &Sample) -> bool {
    sample.arm.starts_with("direct")
}

/// The machine's busy time minus that of the direct arm in the same round; of one client, its mean
/// latency too.
fn add_derived(samples: &mut [Sample]) {
    for (from, to, only) in [
        ("machine_us_per_txn", "added_us_per_txn", None),
        ("mean_us", "added_mean_us", Some(["lone", "http1-lone", "http2-lone"])),
    ] {
        let direct: Vec<_> = samples
            .iter()
            .filter(|s| is_direct(s) && s.kept)
            .filter_map(|s| Some(((s.workload, s.round), *s.values.get(from)?)))
            .collect();
        let concerned =
            |s: &&mut Sample| !is_direct(s) && only.is_none_or(|only| only.contains(&s.workload));
        for sample in samples.iter_mut().filter(concerned) {
            let key = (sample.workload, sample.round);
            let base = direct.iter().find(|(at, _)| *at == key).map(|(_, value)| *value);
            if let (Some(base), Some(&value)) = (base, sample.values.get(from)) {
                sample.values.insert(to, value - base);
            }
        }
    }
}

fn cell(spread: Spread) -> String {
    let number = |value: f64| match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if spread.count == 1 {
        return number(spread.median);
    }
    format!("{} [{}..{}]", number(spread.median), number(spread.min), number(spread.max))
}

/// A Markdown table whose columns line up.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(out, "|{:-<1$}", "", width + 2);
            }
            out.push_str("|\n");
        }
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("").to_owned()
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown CPU").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample(arm: &str, round: usize, cpu: f64, busy: f64, kept: bool) -> Sample {
        Sample {
            workload: "fixed-simple",
            arm: arm.to_owned(),
            round,
            values: BTreeMap::from([("cpu_us_per_txn", cpu), ("machine_us_per_txn", busy)]),
            steal_percent: 0.0,
            foreign_percent: 0.0,
            kept,
        }
    }

    fn report(samples: Vec<Sample>) -> Report {
        let arms = ["direct", "haproxy", "weir"].map(str::to_owned).to_vec();
        Report::new(&Flags::default(), arms, vec![], samples)
    }

    #[test]
    fn medians_leave_out_what_was_discarded() {
        let samples = vec![
            sample("weir", 0, 1.0, 0.0, true),
            sample("weir", 1, 9.0, 0.0, false),
            sample("weir", 2, 3.0, 0.0, true),
        ];
        let spread = report(samples).spread("fixed-simple", "weir", "cpu_us_per_txn");
        assert_eq!(spread, Some(Spread { median: 2.0, min: 1.0, max: 3.0, count: 2 }));
    }

    #[test]
    fn added_time_is_paired_by_round() {
        let samples = vec![
            sample("direct", 0, 0.0, 100.0, true),
            sample("direct", 1, 0.0, 200.0, true),
            sample("weir", 0, 0.0, 130.0, true),
            sample("weir", 1, 0.0, 210.0, true),
            sample("weir", 2, 0.0, 999.0, true),
        ];
        let spread = report(samples).spread("fixed-simple", "weir", "added_us_per_txn");
        assert_eq!(spread, Some(Spread { median: 20.0, min: 10.0, max: 30.0, count: 2 }));
    }

    #[test]
    fn ratios_take_the_best_rival() {
        let samples = vec![
            sample("haproxy", 0, 40.0, 0.0, true),
            sample("pgbouncer", 0, 20.0, 0.0, true),
            sample("weir", 0, 30.0, 0.0, true),
        ];
        let report = report(samples);
        let metric = &METRICS[0];
        let ratio = |others: &[&str]| report.ratio(&WORKLOADS[0], "weir", metric, others);
        assert_eq!(ratio(&["haproxy"]), Some(0.75));
        assert_eq!(ratio(RIVALS), Some(1.5));
        assert!(report.text().contains("0.75"));
    }

    #[test]
    fn sync_is_compared_with_write_and_latency_with_direct() {
        let one = |workload, arm: &str, metric, value| Sample {
            workload,
            values: BTreeMap::from([(metric, value)]),
            ..sample(arm, 0, 0.0, 0.0, true)
        };
        let samples = vec![
            one("sync-64", "weir", "tps", 1000.0),
            one("sync-64", "weir-sync", "tps", 250.0),
            one("lone", "direct", "mean_us", 100.0),
            one("lone", "weir-sync", "mean_us", 900.0),
        ];
        let arms = ["direct", "weir", "weir-sync"].map(str::to_owned).to_vec();
        let report = Report::new(&Flags::default(), arms, vec![], samples);
        let text = report.text();
        assert!(text.contains("txn/s x weir") && text.contains("0.25"), "{text}");
        assert!(!text.contains("x haproxy"), "nobody measured it: {text}");
        let added = report.spread("lone", "weir-sync", "added_mean_us").map(|s| s.median);
        assert_eq!(added, Some(800.0));
    }
}
