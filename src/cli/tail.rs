//! `weir tail`: the newest commands, and with `-f` the coming ones.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;

use super::fail::Failure;
use super::output::Output;
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
    let lake = Lake::new(&super::existing(&args.place)?);
    let filter = args.which.filter()?;
    let mut out = Output::new(args.json);
    let mut follower = Follower::default();
    let first = Filter { limit: Some(args.lines), ..filter.clone() };
    let rows = lake.commands(&first).map_err(super::lake_failure)?;
    show(&mut out, &follower.fresh(rows))?;
    while args.follow {
        std::thread::sleep(LOOK_EVERY);
        let next = Filter { since_us: follower.since(filter.since_us), ..filter.clone() };
        let rows = lake.commands(&next).map_err(super::lake_failure)?;
        show(&mut out, &follower.fresh(rows))?;
    }
    Ok(())
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

    /// Shards write in their own time, and answers come late: look back a while.
    fn since(&self, asked: Option<i64>) -> Option<i64> {
        asked.max(self.newest_us.map(|newest| newest - WINDOW_US))
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
const WINDOW_US: i64 = 60_000_000;
