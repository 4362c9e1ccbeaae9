//! `weir replay`: a session seen again as it happened.
//!
//! In: what is recorded of a session. Out: its moments, in order and in time: on the terminal, as
//! JSON, as an asciicast.
//! Never: something that was not there; what was not captured is said where it is missing.
//!
//! A renderer per protocol (`postgres`, `ssh`, `http`) makes moments of rows; `play` shows moments
//! of any protocol.
//!
//! ```text
//! lake --> stories --postgres, ssh, http--> moments --play--> terminal | JSON | cast
//! ```
//!
//! What ran at the same time is shown as it came. With `--follow` a command is shown while it
//! runs, as far as it is recorded (`follow`).

mod cast;
mod follow;
mod http;
mod place;
mod play;
mod postgres;
mod screen;
mod ssh;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::fail::{EXIT_NOT_FOUND, EXIT_USAGE, Failure};
use super::output::note;
use super::place::Place;
use super::sessions::{Session, join};
use crate::admin::{clock, shape};
use crate::config::units;
use crate::record::SessionId;
use crate::record::lake::{ApprovalRow, ChunkRow, CommandRow, Filter, Lake};
use follow::Progress;
use play::Player;

/// Arguments.
#[derive(Debug, Args)]
pub struct Replay {
    /// Id of the session, or its first characters
    id: String,
    #[command(flatten)]
    place: Place,
    /// So many times as fast as it happened, 0.01 to 10000, pauses of 3 s at most; without it all
    /// at once
    #[arg(long, value_name = "TIMES")]
    speed: Option<f64>,
    /// Begin at this time of the session, as 90s or 15m, or at the command with this number
    #[arg(long, value_name = "TIME|SEQ")]
    at: Option<String>,
    /// Only the command or request with this number: sessions of SSH and HTTP may have several at
    /// once
    #[arg(long, value_name = "SEQ", conflicts_with = "at")]
    only: Option<i64>,
    /// Write an asciicast instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "speed", "follow"])]
    cast: Option<PathBuf>,
    /// Version of the asciicast
    #[arg(long, value_name = "VERSION", default_value = "2", requires = "cast")]
    cast_version: CastVersion,
    /// One JSON object per line, input, output, errors and notices apart
    #[arg(long)]
    json: bool,
    /// Go on with what comes, until the session ends
    #[arg(short, long)]
    follow: bool,
}

/// Versions of asciicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CastVersion {
    /// Times since the beginning.
    #[value(name = "2")]
    Two,
    /// Times since the event before.
    #[value(name = "3")]
    Three,
}

/// Which of the session's streams a piece is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stream {
    /// What the client sent.
    Input,
    /// What its program printed.
    Output,
    /// Errors that it was told.
    Error,
    /// Notices that it was told.
    Notice,
    /// What weir says of the session: not part of it.
    Weir,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Moment {
    /// UTC microseconds.
    at_us: i64,
    /// The command that it is of.
    seq: i64,
    /// Where it was seen.
    stream: Stream,
    /// Text, with its line ends.
    text: String,
    /// Bytes of a terminal: they move its cursor and change its colours, and are shown as they are.
    #[serde(skip)]
    is_screen: bool,
    /// The terminal has this size from here on: columns and rows.
    #[serde(skip)]
    size: Option<(u64, u64)>,
    /// What somebody typed: as far as it was shown, it is among the output. For programs alone.
    #[serde(skip)]
    is_typed: bool,
}

impl Moment {
    /// Text that is no terminal's.
    const fn of(at_us: i64, seq: i64, stream: Stream, text: String) -> Moment {
        Moment { at_us, seq, stream, text, is_screen: false, size: None, is_typed: false }
    }
}

/// A command with what belongs to it.
#[derive(Debug)]
struct Story {
    command: CommandRow,
    approvals: Vec<ApprovalRow>,
    /// By stream and number.
    chunks: Vec<ChunkRow>,
    /// More of it may come: what is missing is not said to be.
    goes_on: bool,
}

impl Story {
    /// Whether nothing of it will come any more, as far as the record says.
    fn is_over(&self) -> bool {
        let over = ["deny", "abandoned"];
        self.command.response.is_some() || over.contains(&self.command.decision.as_str())
    }
}

/// Of a command that was neither allowed nor denied.
const LEFT: &str = "its client, or weir, left while it waited for approval";

/// Runs the command.
///
/// # Errors
/// The records cannot be read, hold no such session, or one of a protocol without a replay.
pub fn run(args: &Replay) -> Result<(), Failure> {
    super::reading_record(&args.place, |lake| replay(lake, args))
}

fn replay(lake: &Lake, args: &Replay) -> Result<(), Failure> {
    let id = super::named::session(&args.id, lake)?;
    let recorded = Recorded { lake, id };
    let id = shape::id_text(id);
    let session = recorded.session()?;
    let mut stories = recorded.stories(i64::MIN)?;
    let protocol = session.any().map(|row| row.common.protocol.clone());
    let protocol = protocol.or_else(|| Some(stories.first()?.command.common.protocol.clone()));
    let Some(protocol) = protocol else {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("no session {id} is recorded there"))
            .hint("`weir sessions` lists them"));
    };
    let moments_of = renderer(&protocol)?;
    let started_us = started_us(&session, &stories);
    let from = args.at.as_deref().map(|at| from(at, started_us)).transpose()?;
    let is_wanted = |story: &Story| {
        let number = story.command.common.seq;
        from.is_none_or(|from| from.is_reached(&story.command))
            && args.only.is_none_or(|only| number == only)
    };
    let wanted = stories.iter().filter(|story| args.cast.is_some() && is_wanted(story));
    let size = wanted.flat_map(moments_of).find_map(|moment| moment.size);
    let mut player = Player::new(args, title(&id, &session), started_us, size)?;
    tell_start(&id, &session);
    let mut progress = Progress::new(&protocol);
    // Read before the stories were: what a session that had not ended recorded after that comes at
    // another look.
    let mut goes_on = args.follow && session.end.is_none();
    let mut is_told = false;
    loop {
        let moments = progress.moments(stories, goes_on, moments_of, &is_wanted);
        is_told |= !moments.is_empty();
        moments.iter().try_for_each(|moment| player.show(moment))?;
        player.flush()?;
        if !goes_on {
            break;
        }
        std::thread::sleep(follow::LOOK_EVERY);
        goes_on = !recorded.is_ended()?;
        stories = recorded.stories(progress.next_seq())?;
    }
    player.finish()?;
    tell_end(&recorded.session()?);
    if !is_told && (args.only.is_some() || args.at.is_some()) {
        return Err(Failure::new(EXIT_NOT_FOUND, "the session has nothing there")
            .hint("`weir show` lists its commands with their numbers and times"));
    }
    Ok(())
}

/// What makes moments of a story.
fn renderer(protocol: &str) -> Result<fn(&Story) -> Vec<Moment>, Failure> {
    match protocol {
        "postgresql" => Ok(postgres::moments),
        "ssh" => Ok(ssh::moments),
        "http" | "kubernetes" => Ok(http::moments),
        other => Err(Failure::new(EXIT_USAGE, format!("{other} has no replay yet"))
            .hint("`weir show --rows` tells what the session did")),
    }
}

/// What is recorded of one session.
struct Recorded<'l> {
    lake: &'l Lake,
    id: SessionId,
}

impl Recorded<'_> {
    fn filter(&self) -> Filter {
        Filter { session: Some(self.id), ..Filter::default() }
    }

    fn session(&self) -> Result<Session, Failure> {
        let rows = self.lake.sessions(&self.filter()).map_err(super::lake_failure)?;
        Ok(join(rows).pop().unwrap_or_default())
    }

    fn is_ended(&self) -> Result<bool, Failure> {
        Ok(self.session()?.end.is_some())
    }

    /// Commands from a number on, in their order.
    fn stories(&self, from_seq: i64) -> Result<Vec<Story>, Failure> {
        let filter = self.filter();
        let mut stories: BTreeMap<i64, Story> = BTreeMap::new();
        for command in self.lake.commands(&filter).map_err(super::lake_failure)? {
            if command.common.seq >= from_seq {
                let (approvals, chunks) = Default::default();
                let story = Story { command, approvals, chunks, goes_on: false };
                stories.insert(story.command.common.seq, story);
            }
        }
        for step in self.lake.approvals(&filter).map_err(super::lake_failure)? {
            if let Some(story) = stories.get_mut(&step.command_seq) {
                story.approvals.push(step);
            }
        }
        for chunk in self.lake.chunks(&filter).map_err(super::lake_failure)? {
            if let Some(story) = stories.get_mut(&chunk.command_seq) {
                story.chunks.push(chunk);
            }
        }
        let mut stories: Vec<Story> = stories.into_values().collect();
        for story in &mut stories {
            story.chunks.sort_by_key(|chunk| (chunk.stream, chunk.chunk_no));
        }
        Ok(stories)
    }
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Time(i64),
    Seq(i64),
}

impl Beginning {
    fn is_reached(self, command: &CommandRow) -> bool {
        match self {
            Beginning::Time(at_us) => command.common.ts_us >= at_us,
            Beginning::Seq(seq) => command.common.seq >= seq,
        }
    }
}

fn from(text: &str, started_us: i64) -> Result<Beginning, Failure> {
    if let Ok(seq) = text.parse() {
        return Ok(Beginning::Seq(seq));
    }
    let since = units::duration_us(text).and_then(|us| i64::try_from(us).ok());
    since.map(|us| Beginning::Time(started_us.saturating_add(us))).ok_or_else(|| {
        Failure::new(EXIT_USAGE, format!("{text} is no time of a session and no number"))
            .hint("write 90s or 15m after its start, or the SEQ that `weir show` has")
    })
}

fn started_us(session: &Session, stories: &[Story]) -> i64 {
    let start = session.start.as_ref().map(|row| row.common.ts_us);
    start.or_else(|| Some(stories.first()?.command.common.ts_us)).unwrap_or(0)
}

fn title(id: &str, session: &Session) -> String {
    session.any().map_or_else(
        || id.to_owned(),
        |row| format!("{} at {}, session {id}", row.common.user_name, row.common.target),
    )
}

/// Facts of the session are no part of it, so they are told beside it.
fn tell_start(id: &str, session: &Session) {
    let Some(row) = session.any() else {
        note(&format!("weir: session {id}; its start is not recorded"));
        return;
    };
    let common = &row.common;
    let started = clock::to_text(common.ts_us);
    note(&format!("weir: session {id} of {} at {}, {started}", common.user_name, common.target));
}

fn tell_end(session: &Session) {
    match &session.end {
        Some(end) => {
            let reason = end.end_reason.as_deref().unwrap_or("for a reason that is not recorded");
            let at = clock::to_text(end.ended_us.unwrap_or(end.common.ts_us));
            note(&format!("weir: the session ended {at} ({reason})"));
        }
        None => note("weir: no end is recorded: the session lives, or weir was cut off"),
    }
}

#[cfg(test)]
mod tests;
