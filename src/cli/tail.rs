//! `weir tail`: the newest commands, and with `-f` the coming ones.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;

use super::fail::Failure;
use super::output::{Output, note};
use super::place::Place;
use super::search::{Which, cells, status_of};
use crate::record::lake::{CommandRow, Filter, Lake};

/// Arguments.
#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Go on with the commands that come
    #[arg(short, long)]
    follow: bool,
    /// Begin with the newest so many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    lines: usize,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The records cannot be read.
pub fn run(args: &Tail) -> Result<(), Failure> {
    super::reading_record(&args.place, |lake| tail(lake, args))
}

fn tail(lake: &Lake, args: &Tail) -> Result<(), Failure> {
    let filter = args.which.filter()?;
    let mut out = Output::new(args.json);
    let mut follower = Follower::default();
    // More than is shown: what is older must not look new at the next look.
    let first = Filter { limit: Some(args.lines.max(FIRST_LOOK)), ..filter.clone() };
    let rows = follower.fresh(lake.commands(&first).map_err(super::lake_failure)?);
    let older = rows.len().saturating_sub(args.lines);
    show(&mut out, rows.get(older..).unwrap_or_default())?;
    if !args.follow {
        return Ok(());
    }
    loop {
        // A reader that goes away ends it: there is no code to say it with.
        super::tell_unread(lake);
        std::thread::sleep(LOOK_EVERY);
        let since_us = follower.since(filter.since_us);
        let next = Filter { since_us, limit: Some(LOOK_ROWS_MAX), ..filter.clone() };
        let rows = lake.commands(&next).map_err(super::lake_failure)?;
        if rows.len() == LOOK_ROWS_MAX && follower.is_behind(&rows) {
            note("weir: more commands came than are shown here; `weir search` finds them all");
        }
        show(&mut out, &follower.fresh(rows))?;
    }
}

/// A line per command, flushed: the reader waits for it.
fn show(out: &mut Output, rows: &[CommandRow]) -> Result<(), Failure> {
    for row in rows {
        if out.is_json() {
            out.object(row)?;
        } else {
            out.line(&cells(row).join("  "))?;
        }
    }
    Ok(out.flush()?)
}

/// What has been shown already. A command is shown again when its status changes: it is recorded
/// before it runs.
#[derive(Debug, Default)]
struct Follower {
    shown: HashMap<(String, i64), (i64, String)>,
    newest_us: Option<i64>,
}

impl Follower {
    fn fresh(&mut self, rows: Vec<CommandRow>) -> Vec<CommandRow> {
        let mut fresh = Vec::new();
        for row in rows {
            let key = (row.common.session_id.clone(), row.common.seq);
            let now = (row.common.ts_us, status_of(&row).to_owned());
            self.newest_us = self.newest_us.max(Some(row.common.ts_us));
            if self.shown.get(&key) != Some(&now) {
                self.shown.insert(key, now);
                fresh.push(row);
            }
        }
        if let Some(oldest) = self.newest_us.map(|newest| newest - WINDOW_US) {
            self.shown.retain(|_, (at, _)| *at >= oldest);
        }
        fresh
    }

    /// Whether the oldest of the newest rows is one that came since the last look.
    fn is_behind(&self, rows: &[CommandRow]) -> bool {
        let oldest = rows.first().map(|row| row.common.ts_us);
        self.newest_us.is_some() && oldest > self.newest_us
    }

    /// Shards write in their own time, and answers come late: look back a while.
    fn since(&self, asked: Option<i64>) -> Option<i64> {
        asked.max(self.newest_us.map(|newest| newest - WINDOW_US))
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
const WINDOW_US: i64 = 60_000_000;
const FIRST_LOOK: usize = 10_000;
/// Commands read in one look: what follows in bounded memory may be too slow for some targets.
const LOOK_ROWS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lake::Common;

    fn row(seq: i64, ts_us: i64, decision: &str) -> CommandRow {
        CommandRow {
            common: Common { ts_us, session_id: "s".into(), seq, ..Common::default() },
            decision: decision.into(),
            ..CommandRow::default()
        }
    }

    #[test]
    fn a_command_is_shown_once_per_status() {
        let mut follower = Follower::default();
        let check = |follower: &mut Follower, rows: &[CommandRow], expect: &[i64]| {
            let fresh: Vec<_> =
                follower.fresh(rows.to_vec()).iter().map(|row| row.common.seq).collect();
            assert_eq!(fresh, expect);
        };
        let day = 86_400_000_000;
        let old = [row(1, day, "allow"), row(2, day + 1, "hold")];
        check(&mut follower, &old, &[1, 2]);
        check(&mut follower, &old, &[]);
        let released = [row(1, day, "allow"), row(2, day + 1, "allow"), row(3, day + 2, "deny")];
        check(&mut follower, &released, &[2, 3]);
        assert_eq!(follower.since(None), Some(day + 2 - WINDOW_US));
        assert_eq!(follower.since(Some(2 * day)), Some(2 * day));
        let later = [row(4, 3 * day, "allow")];
        check(&mut follower, &later, &[4]);
        assert_eq!(follower.shown.len(), 1, "what is out of the window is forgotten");
    }
}
