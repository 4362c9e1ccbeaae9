//! `weir sessions`: who was connected, or is.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::fail::Failure;
use super::output::{Output, Table, note};
use super::place::Place;
use super::remote::Remote;
use crate::admin::{clock, shape};
use crate::record::lake::{Filter, SessionRow};

/// Arguments.
#[derive(Debug, Args)]
pub struct Sessions {
    #[command(flatten)]
    place: Place,
    /// Ask the running weir for the sessions that live now
    #[arg(long, conflicts_with_all = ["since", "until"])]
    live: bool,
    /// Sessions active after this: 1h ago, or 2026-03-01T12:00 in UTC
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Sessions that began before this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this user
    #[arg(long)]
    user: Option<String>,
    /// At this target
    #[arg(long)]
    target: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: usize,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// Start and end of a session, joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its start, if it is recorded.
    pub start: Option<SessionRow>,
    /// Its end, if it is recorded.
    pub end: Option<SessionRow>,
}

impl Session {
    /// Any row of it: all repeat what identifies it.
    pub fn any(&self) -> Option<&SessionRow> {
        self.start.as_ref().or(self.end.as_ref())
    }

    fn started_us(&self) -> i64 {
        let start = self.start.as_ref().map(|row| row.common.ts_us);
        let end = self.end.as_ref();
        start.or(end.and_then(|row| row.started_us.or(Some(row.common.ts_us)))).unwrap_or(0)
    }

    fn ended_us(&self) -> Option<i64> {
        self.end.as_ref().map(|row| row.ended_us.unwrap_or(row.common.ts_us))
    }
}

/// Runs the command.
///
/// # Errors
/// The records cannot be read, or no weir answers.
pub fn run(args: &Sessions) -> Result<(), Failure> {
    let mut out = Output::new(args.json);
    let outcome = if args.live { live(args, &mut out) } else { recorded(args, &mut out) };
    out.flush()?;
    outcome
}

fn live(args: &Sessions, out: &mut Output) -> Result<(), Failure> {
    let remote = Remote::find(&args.place.data_dir()?)?;
    let mut sessions: Vec<shape::Session> = remote.get("/v1/sessions")?;
    let is = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|want| want == have);
    sessions.retain(|it| is(&args.user, &it.user) && is(&args.target, &it.target));
    if out.is_json() {
        for session in &sessions {
            out.object(session)?;
        }
        return Ok(());
    }
    if sessions.is_empty() {
        note("no live session");
        return Ok(());
    }
    let heading = ["SESSION", "STARTED (UTC)", "USER", "TARGET", "ROLE", "CLIENT", "STATE", "CMDS"];
    let mut table = Table::new(heading);
    for session in sessions {
        let started = clock::parse(&session.started_at).map_or_else(String::new, clock::to_column);
        let commands = session.commands.to_string();
        let (id, user, target) = (session.session_id, session.user, session.target);
        let (role, client, state) = (session.role, session.client_addr, session.state);
        table.row([id, started, user, target, role, client, state, commands]);
    }
    Ok(out.table(&table)?)
}

/// Writes what is recorded.
pub(super) fn recorded(args: &Sessions, out: &mut Output) -> Result<(), Failure> {
    let since = args.since.as_deref().map(super::time).transpose()?;
    let until = args.until.as_deref().map(super::time).transpose()?;
    let (user, target) = (args.user.clone(), args.target.clone());
    let filter = Filter { user, target, ..Filter::default() };
    super::reading_record(&args.place, |lake| {
        let mut sessions = join(lake.sessions(&filter).map_err(super::lake_failure)?);
        sessions.retain(|session| {
            since.is_none_or(|since| session.ended_us().is_none_or(|ended| ended >= since))
                && until.is_none_or(|until| session.started_us() < until)
        });
        sessions.drain(..sessions.len().saturating_sub(args.limit));
        tell(&sessions, out)
    })
}

fn tell(sessions: &[Session], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        for session in sessions {
            out.object(session)?;
        }
        return Ok(());
    }
    if sessions.is_empty() {
        note("no session is recorded there");
        return Ok(());
    }
    let heading = [
        "SESSION",
        "STARTED (UTC)",
        "LASTED",
        "USER",
        "TARGET",
        "ROLE",
        "CMDS",
        "DENIED",
        "MASKED",
        "END",
    ];
    let mut table = Table::new(heading);
    for session in sessions {
        table.row(cells(session));
    }
    Ok(out.table(&table)?)
}

/// Rows by session, the one that started first at the top.
pub fn join(rows: Vec<SessionRow>) -> Vec<Session> {
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    for row in rows {
        let session = sessions.entry(row.common.session_id.clone()).or_default();
        match row.phase.as_str() {
            "start" => session.start = Some(row),
            // What the session said of its end beats what recovery found out.
            "end" => session.end = Some(row),
            _ => session.end = session.end.take().or(Some(row)),
        }
    }
    let mut sessions: Vec<_> = sessions.into_values().collect();
    sessions.sort_by_key(Session::started_us);
    sessions
}

fn cells(session: &Session) -> [String; 10] {
    let Some(row) = session.any() else { return Default::default() };
    let number = |pick: fn(&SessionRow) -> Option<i64>| {
        session.end.as_ref().and_then(pick).map_or_else(|| "-".to_owned(), |n| n.to_string())
    };
    let lasted = session.ended_us().map(|ended| ended.saturating_sub(session.started_us()));
    let reason = session.end.as_ref().map(|row| row.end_reason.clone().unwrap_or_default());
    [
        row.common.session_id.clone(),
        clock::to_column(session.started_us()),
        lasted.map_or_else(|| "-".to_owned(), super::output::duration),
        row.common.user_name.clone(),
        row.common.target.clone(),
        row.common.role.clone().unwrap_or_default(),
        number(|row| row.commands),
        number(|row| row.denied),
        number(|row| row.masked),
        reason.unwrap_or_else(|| "no end recorded".to_owned()),
    ]
}
