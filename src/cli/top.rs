//! `weir top`: what a running weir does now, by target.
//!
//! In: the meters of the admin API, twice. Out: what came between, as a table or as JSON.
//! Never: an average since the start; a load on the shards, which are not asked.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::fail::{EXIT_USAGE, Failure};
use super::output::{Output, Table, duration};
use super::place::Place;
use super::remote::Remote;
use crate::admin::{clock, shape};
use crate::config::units;
use crate::metrics::Reading;

/// Arguments.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    place: Place,
    /// Show one interval and end; so it is too when stdout is no terminal, unless --json is given
    #[arg(long)]
    once: bool,
    /// One JSON object per interval
    #[arg(long)]
    json: bool,
    /// How long an interval is, from 100ms to 1h
    #[arg(long, default_value = "1s", value_name = "TIME")]
    interval: String,
}

/// One interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Frame {
    /// Its end, UTC.
    at: String,
    /// Its length.
    interval_us: u64,
    /// Bytes of the journal that the disk may not have yet.
    journal_lag_bytes: u64,
    /// Segments that wait for the sealer.
    segments_waiting: u64,
    targets: Vec<TargetFrame>,
}

/// One target in one interval. Rates are per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct TargetFrame {
    target: String,
    connections: u64,
    held: u64,
    /// Commands of this interval.
    commands: shape::Commands,
    commands_per_s: f64,
    denied_per_s: f64,
    received_bytes_per_s: f64,
    sent_bytes_per_s: f64,
    decide: Spread,
    target_time: Spread,
    journal_wait: Spread,
    mask: Spread,
    client_wait: Spread,
}

/// Durations of one stage, over all verdicts. Nothing when there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Spread {
    count: u64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// The interval is no time, or no weir answers.
pub fn run(args: &Top) -> Result<(), Failure> {
    let interval = interval(&args.interval)?;
    let remote = Remote::find(&args.place.data_dir()?)?;
    let screen = !args.json && !args.once && std::io::stdout().is_terminal();
    let once = args.once || !(screen || args.json);
    let mut out = Output::new(args.json);
    let mut earlier: shape::Meters = remote.get("/v1/meters")?;
    let mut asked = Instant::now();
    if screen {
        show(&mut out, &between(&earlier, &earlier, Duration::ZERO), true)?;
    }
    loop {
        std::thread::sleep(interval.saturating_sub(asked.elapsed()));
        let meters: shape::Meters = remote.get("/v1/meters")?;
        let now = Instant::now();
        show(&mut out, &between(&earlier, &meters, now - asked), screen)?;
        if once {
            return Ok(());
        }
        (earlier, asked) = (meters, now);
    }
}

fn interval(text: &str) -> Result<Duration, Failure> {
    let interval = units::duration_us(text).map(Duration::from_micros);
    interval.filter(|it| (INTERVAL_MIN..=INTERVAL_MAX).contains(it)).ok_or_else(|| {
        Failure::new(EXIT_USAGE, format!("{text} is no interval"))
            .hint("write 500ms, 2s or 1m; from 100ms to 1h")
    })
}

/// What came between two looks.
fn between(earlier: &shape::Meters, later: &shape::Meters, passed: Duration) -> Frame {
    let nothing = shape::TargetMeters::default();
    let seconds = passed.as_secs_f64();
    let targets = later.targets.iter().map(|target| {
        // A weir that was started again counts from zero.
        let same = earlier.started_at == later.started_at;
        let before = earlier.targets.iter().find(|it| same && it.name == target.name);
        let before = before.unwrap_or(&nothing);
        target_between(before, target, seconds)
    });
    Frame {
        at: clock::to_text(clock::utc_us()),
        interval_us: u64::try_from(passed.as_micros()).unwrap_or(u64::MAX),
        journal_lag_bytes: later.journal_lag_bytes,
        segments_waiting: later.segments_waiting,
        targets: targets.collect(),
    }
}

fn target_between(
    before: &shape::TargetMeters,
    now: &shape::TargetMeters,
    seconds: f64,
) -> TargetFrame {
    let commands = shape::Commands {
        allow: now.commands.allow.saturating_sub(before.commands.allow),
        deny: now.commands.deny.saturating_sub(before.commands.deny),
        hold: now.commands.hold.saturating_sub(before.commands.hold),
    };
    let rate = |count: u64| if seconds > 0.0 { round(count as f64 / seconds) } else { 0.0 };
    TargetFrame {
        target: now.name.clone(),
        connections: now.connections,
        held: now.held,
        commands,
        commands_per_s: rate(commands.allow + commands.deny + commands.hold),
        denied_per_s: rate(commands.deny),
        received_bytes_per_s: rate(now.received_bytes.saturating_sub(before.received_bytes)),
        sent_bytes_per_s: rate(now.sent_bytes.saturating_sub(before.sent_bytes)),
        decide: spread(before, now, "decide"),
        target_time: spread(before, now, "target"),
        journal_wait: spread(before, now, "journal_wait"),
        mask: spread(before, now, "mask"),
        client_wait: spread(before, now, "client_wait"),
    }
}

/// To a tenth: more digits would be noise.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn spread(before: &shape::TargetMeters, now: &shape::TargetMeters, stage: &str) -> Spread {
    let all = |meters: &shape::TargetMeters| {
        let mut sum = Reading::default();
        for durations in meters.durations.iter().filter(|it| it.stage == stage) {
            for &(us, count) in &durations.buckets {
                sum.add_bucket(us, count);
            }
        }
        sum
    };
    let between = all(now).since(&all(before));
    Spread {
        count: between.count(),
        p50_us: between.quantile_us(0.5),
        p99_us: between.quantile_us(0.99),
    }
}

fn show(out: &mut Output, frame: &Frame, screen: bool) -> Result<(), Failure> {
    if out.is_json() {
        out.object(frame)?;
        return Ok(out.flush()?);
    }
    let clear = if screen { CLEAR } else { "" };
    out.line(&format!("{clear}{}", summary(frame)))?;
    out.line("")?;
    out.table(&table(frame))?;
    Ok(out.flush()?)
}

fn summary(frame: &Frame) -> String {
    format!(
        "weir top  {}  over {}  journal lag {}  segments waiting {}",
        frame.at,
        duration(i64::try_from(frame.interval_us).unwrap_or(i64::MAX)),
        bytes(frame.journal_lag_bytes as f64),
        frame.segments_waiting
    )
}

fn table(frame: &Frame) -> Table {
    let mut table = Table::new([
        "TARGET",
        "CONN",
        "CMD/S",
        "DENIED/S",
        "HELD",
        "DECIDE p50/p99",
        "TARGET p50/p99",
        "JOURNAL p50/p99",
        "IN/S",
        "OUT/S",
    ]);
    for it in &frame.targets {
        table.row([
            it.target.clone(),
            it.connections.to_string(),
            format!("{:.1}", it.commands_per_s),
            format!("{:.1}", it.denied_per_s),
            it.held.to_string(),
            pair(it.decide),
            pair(it.target_time),
            pair(it.journal_wait),
            bytes(it.received_bytes_per_s),
            bytes(it.sent_bytes_per_s),
        ]);
    }
    table
}

fn pair(spread: Spread) -> String {
    let text = |us: Option<u64>| us.and_then(|us| i64::try_from(us).ok()).map(duration);
    match (text(spread.p50_us), text(spread.p99_us)) {
        (Some(p50), Some(p99)) => format!("{p50}/{p99}"),
        _ => "-".to_owned(),
    }
}

/// `512 B`, `3.1 KiB`, `2.0 GiB`.
fn bytes(count: f64) -> String {
    let (mut count, mut unit) = (count, 0);
    while count >= 1024.0 && unit + 1 < BYTE_UNITS.len() {
        (count, unit) = (count / 1024.0, unit + 1);
    }
    let name = BYTE_UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{count:.0} {name}") } else { format!("{count:.1} {name}") }
}

const BYTE_UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// To the upper left corner, and nothing below it (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    fn meters(allow: u64, deny: u64, buckets: &[(u64, u64)]) -> shape::Meters {
        let durations = shape::Durations {
            stage: "target".into(),
            verdict: "allow".into(),
            sum_us: 0,
            buckets: buckets.to_vec(),
        };
        shape::Meters {
            started_at: "2026-03-01T12:00:00Z".into(),
            journal_lag_bytes: 2_048,
            segments_waiting: 3,
            targets: vec![shape::TargetMeters {
                name: "orders".into(),
                connections: 2,
                held: 1,
                commands: shape::Commands { allow, deny, hold: 1 },
                received_bytes: allow * 1_024,
                sent_bytes: 0,
                durations: vec![durations],
            }],
        }
    }

    #[test]
    fn an_interval_is_what_came_between_two_looks() {
        let earlier = meters(10, 1, &[(50, 10)]);
        let later = meters(30, 5, &[(50, 10), (100, 19), (7_000, 1)]);
        let frame = between(&earlier, &later, Duration::from_secs(2));
        let target = &frame.targets[0];
        assert_eq!(target.commands, shape::Commands { allow: 20, deny: 4, hold: 0 });
        assert_eq!((target.commands_per_s, target.denied_per_s), (12.0, 2.0));
        assert_eq!(target.received_bytes_per_s, 10_240.0);
        assert_eq!((target.connections, target.held), (2, 1));
        assert_eq!(
            target.target_time,
            Spread { count: 20, p50_us: Some(100), p99_us: Some(7_007) }
        );
        assert_eq!(target.decide, Spread { count: 0, p50_us: None, p99_us: None });
        assert!(summary(&frame).contains("journal lag 2.0 KiB  segments waiting 3"));
    }

    #[test]
    fn a_weir_started_again_counts_from_zero() {
        let mut later = meters(3, 0, &[(60, 3)]);
        later.started_at = "2026-03-01T12:00:09Z".into();
        let frame = between(&meters(1, 9, &[(50, 1)]), &later, Duration::from_secs(1));
        assert_eq!(frame.targets[0].commands, shape::Commands { allow: 3, deny: 0, hold: 1 });
        assert_eq!(frame.targets[0].target_time.count, 3);
    }

    #[test]
    fn a_first_look_has_no_rates() {
        let meters = meters(5, 0, &[]);
        let frame = between(&meters, &meters, Duration::ZERO);
        assert_eq!(frame.targets[0].commands_per_s, 0.0);
        assert_eq!(pair(frame.targets[0].target_time), "-");
    }

    #[test]
    fn intervals_are_bounded() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(interval(text).ok().map(|it| it.as_millis() as u64), expect, "{text}");
        };
        check("1s", Some(1_000));
        check("100ms", Some(100));
        check("99ms", None);
        check("2h", None);
        check("often", None);
    }

    #[test]
    fn bytes_have_a_unit() {
        let check = |count, expect: &str| assert_eq!(bytes(count), expect);
        check(0.0, "0 B");
        check(1_023.0, "1023 B");
        check(1_536.0, "1.5 KiB");
        check(2_147_483_648.0, "2.0 GiB");
    }
}
