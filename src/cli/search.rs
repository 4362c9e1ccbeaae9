//! `weir search`: commands by time, user, target, object and text; lines typed in shells, too,
//! which are derived and say so.

use clap::Args;
use serde::Serialize;

use super::fail::{EXIT_USAGE, Failure};
use super::output::{Output, Table, duration, note, one_line, short};
use super::place::Place;
use crate::admin::clock;
use crate::record::lake::{CommandRow, Filter, Lake, LineRow};

/// Arguments.
#[derive(Debug, Args)]
pub struct Search {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Of this session: its id, or the first characters of it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Ended so: success, error, denied, skipped, suspended, aborted, held, abandoned,
    /// unanswered, or with this status of HTTP, of a program, or SQLSTATE
    #[arg(long)]
    status: Option<String>,
    /// Decided so: allow, deny, hold (it waits), approved (a person let it run), abandoned (nobody
    /// waits any more)
    #[arg(long)]
    decision: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    limit: usize,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// Which commands; shared with `tail`.
#[derive(Debug, Args)]
pub struct Which {
    /// Not before this: 1h ago, or 2026-03-01T12:00 in UTC
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this user
    #[arg(long)]
    user: Option<String>,
    /// At this target
    #[arg(long)]
    target: Option<String>,
    /// Commands that touch this object: public.customers, customers, audit.*
    #[arg(long, value_name = "OBJECT")]
    touches: Option<String>,
    /// Commands whose text or values hold one of these words: 'drop|truncate'
    #[arg(long, value_name = "WORDS")]
    grep: Option<String>,
    /// Of this method or verb: DELETE, get, tools/call; * stands for any characters, here and below
    #[arg(long, visible_alias = "method")]
    verb: Option<String>,
    /// On this resource or path: pods, /orders/*
    #[arg(long, visible_alias = "path")]
    resource: Option<String>,
    /// Of this tool, operation or object
    #[arg(long, visible_alias = "tool")]
    name: Option<String>,
    /// In this namespace
    #[arg(long)]
    namespace: Option<String>,
}

impl Which {
    fn columns(&self) -> Vec<(&'static str, String)> {
        let columns = [
            ("verb", &self.verb),
            ("resource", &self.resource),
            ("name", &self.name),
            ("namespace", &self.namespace),
        ];
        columns.into_iter().filter_map(|(name, like)| Some((name, like.clone()?))).collect()
    }

    /// As a filter of the lake.
    ///
    /// # Errors
    /// A time that is none.
    pub fn filter(&self) -> Result<Filter, Failure> {
        Ok(Filter {
            since_us: self.since.as_deref().map(super::time).transpose()?,
            until_us: self.until.as_deref().map(super::time).transpose()?,
            session: None,
            user: self.user.clone(),
            target: self.target.clone(),
            touches: self.touches.clone(),
            grep: self.grep.clone(),
            columns: self.columns(),
            limit: None,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// The records cannot be read.
pub fn run(args: &Search) -> Result<(), Failure> {
    let mut out = Output::new(args.json);
    let outcome = find(args, &mut out);
    out.flush()?;
    outcome
}

/// Writes what is found.
pub(super) fn find(args: &Search, out: &mut Output) -> Result<(), Failure> {
    let (status, decision) = (args.status.as_deref(), args.decision.as_deref());
    if let Some(word) = status.filter(|word| !STATUS_WORDS.contains(word) && !is_code(word)) {
        return Err(no_word(word, "status", &STATUS_WORDS));
    }
    if let Some(word) = decision.filter(|word| !DECISION_WORDS.contains(word)) {
        return Err(no_word(word, "decision", &DECISION_WORDS));
    }
    let mut filter = args.which.filter()?;
    // With one of these the newest rows may all be of another one, so the limit comes last.
    let is_narrowed = status.is_some() || decision.is_some();
    filter.limit = (!is_narrowed).then_some(args.limit);
    super::reading_record(&args.place, |lake| find_in(lake, args, filter, out))
}

fn find_in(
    lake: &Lake,
    args: &Search,
    mut filter: Filter,
    out: &mut Output,
) -> Result<(), Failure> {
    let (status, decision) = (args.status.as_deref(), args.decision.as_deref());
    let session = args.session.as_deref().map(|id| super::named::session(id, lake));
    filter.session = session.transpose()?;
    let mut commands = lake.commands(&filter).map_err(super::lake_failure)?;
    commands.retain(|row| {
        status.is_none_or(|wanted| status_of(row) == wanted || ended_with(row, wanted))
            && decision.is_none_or(|wanted| decision_of(row) == wanted)
    });
    // A line has neither: nobody knows whether it ran.
    let lines = match status.or(decision).is_some() {
        false => lake.lines(&filter).map_err(super::lake_failure)?,
        true => Vec::new(),
    };
    let mut found: Vec<Found> =
        commands.into_iter().map(|row| Found::Command(Box::new(row))).collect();
    found.extend(lines.into_iter().map(|row| Found::Line(Box::new(row))));
    found.sort_by_key(Found::ts_us);
    found.drain(..found.len().saturating_sub(args.limit));
    tell(args, &found, out)
}

fn tell(args: &Search, found: &[Found], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        for row in found {
            match row {
                Found::Command(row) => out.object(&decided(row))?,
                Found::Line(row) => out.object(&TypedLine { row, kind: LINE_KIND })?,
            }
        }
        return Ok(());
    }
    if found.is_empty() {
        note("no command matches");
        return Ok(());
    }
    let mut table = Table::new(HEADING);
    for row in found {
        table.row(match row {
            Found::Command(row) => cells(row),
            Found::Line(row) => line_cells(row),
        });
    }
    out.table(&table)?;
    if found.iter().any(|row| matches!(row, Found::Line(_))) {
        note(
            "lines with status `derived` are what a terminal showed being typed; what ran may be \
             something else",
        );
    }
    if found.len() == args.limit {
        note(&format!("the newest {} commands; --limit shows more", args.limit));
    }
    Ok(())
}

fn no_word(word: &str, of: &str, words: &[&str]) -> Failure {
    Failure::new(EXIT_USAGE, format!("{word} is no {of} of a command"))
        .hint(format!("one of: {}", words.join(", ")))
}

/// What was decided, in one word. What an approval let run is `allow` in the record.
fn decision_of(row: &CommandRow) -> &str {
    match (row.decision.as_str(), &row.approval_id) {
        ("allow", Some(_)) => "approved",
        (decision, _) => decision,
    }
}

/// The row with that word, which is what it is found by.
pub fn decided(row: &CommandRow) -> CommandRow {
    CommandRow { decision: decision_of(row).to_owned(), ..row.clone() }
}

/// What a search finds.
enum Found {
    Command(Box<CommandRow>),
    Line(Box<LineRow>),
}

impl Found {
    const fn ts_us(&self) -> i64 {
        match self {
            Found::Command(row) => row.common.ts_us,
            Found::Line(row) => row.common.ts_us,
        }
    }
}

/// A line in JSON, beside commands.
#[derive(Serialize)]
struct TypedLine<'a> {
    kind: &'static str,
    #[serde(flatten)]
    row: &'a LineRow,
}

/// What stands where a command has its kind.
const LINE_KIND: &str = "shell-line";

fn line_cells(row: &LineRow) -> [String; 8] {
    let common = &row.common;
    [
        clock::to_column(common.ts_us),
        common.session_id.clone(),
        row.command_seq.to_string(),
        common.user_name.clone(),
        common.target.clone(),
        match (&row.line, row.cut) {
            (None, _) => "gap",
            (_, true) => "derived, cut",
            (_, false) => "derived",
        }
        .to_owned(),
        "-".to_owned(),
        short(&row.told().replace('\n', "\\n"), TEXT_CHARACTERS_MAX),
    ]
}

/// A status in digits, or five characters as a SQLSTATE has them.
fn is_code(word: &str) -> bool {
    let is_status = word.parse::<i32>().is_ok();
    is_status || word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn ended_with(row: &CommandRow, code: &str) -> bool {
    row.response.as_ref().is_some_and(|response| {
        response.status_code.as_deref() == Some(code)
            || response.status.is_some_and(|status| code.parse() == Ok(status))
            || response.exit_code().is_some_and(|exit| code.parse() == Ok(exit))
    })
}

/// How a command ended, or what it does now, in one word.
pub fn status_of(row: &CommandRow) -> &str {
    match (&row.response, row.decision.as_str()) {
        (Some(response), _) => &response.outcome,
        (None, "hold") => "held",
        (None, "deny") => "denied",
        (None, "abandoned") => "abandoned",
        (None, _) => "unanswered",
    }
}

/// One line of a command.
pub fn cells(row: &CommandRow) -> [String; 8] {
    let response = row.response.as_deref();
    let mut status = status_of(row).to_owned();
    if let Some(code) = response.and_then(|it| it.status_code.as_deref()) {
        status = format!("{status} {code}");
    } else if let Some(code) = response.and_then(|it| it.exit_code()) {
        status = format!("{status} {code}");
    } else if let Some(code) = response.and_then(|it| it.status) {
        status = format!("{status} {code}");
    }
    [
        clock::to_column(row.common.ts_us),
        row.common.session_id.clone(),
        row.common.seq.to_string(),
        row.common.user_name.clone(),
        row.common.target.clone(),
        status,
        response.map_or_else(|| "-".to_owned(), |it| duration(it.duration_us)),
        short(&told(row), TEXT_CHARACTERS_MAX),
    ]
}

/// What one line tells of a command: a call of MCP or JSON-RPC by what is called and with
/// what, else its text.
fn told(row: &CommandRow) -> String {
    let is_call = row.kind.starts_with("mcp") || row.kind == "jsonrpc";
    match (is_call, &row.verb, &row.name) {
        (true, Some(verb), Some(name)) => {
            let arguments = row.params_json.as_deref().unwrap_or_default();
            let name = if name == verb { "" } else { name };
            let words = [verb.as_str(), name, arguments];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            words.join(" ")
        }
        // A shell has no text.
        _ if row.query_text.is_empty() && !row.kind.is_empty() => format!("({})", row.kind),
        // The end of a line is the end of a command.
        _ if row.kind == "exec" => one_line(&row.query_text),
        _ => request_line(&row.query_text).to_owned(),
    }
}

/// Of a request of HTTP the method and the target, or what stands before it: what a message says.
/// Any other text as it is.
pub fn request_line(text: &str) -> &str {
    let request = |line: &'_ str| {
        let (request, version) = line.rsplit_once(' ')?;
        version.starts_with("HTTP/").then_some(request.len())
    };
    let Some((first, rest)) = text.split_once("\r\n") else { return text };
    let second = rest.split_once("\r\n").and_then(|(second, _)| request(second));
    match (request(first), second) {
        (Some(length), _) => first.get(..length).unwrap_or(first),
        (None, Some(_)) => first,
        (None, None) => text,
    }
}

/// Heading of `cells`.
pub const HEADING: [&str; 8] =
    ["TIME (UTC)", "SESSION", "SEQ", "USER", "TARGET", "STATUS", "TOOK", "COMMAND"];

/// `unanswered` is a command without a recorded answer: it runs, or weir was cut off.
const STATUS_WORDS: [&str; 9] = [
    "success",
    "error",
    "denied",
    "skipped",
    "suspended",
    "aborted",
    "held",
    "abandoned",
    "unanswered",
];
const DECISION_WORDS: [&str; 5] = ["allow", "deny", "hold", "approved", "abandoned"];
const TEXT_CHARACTERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_the_decision_that_it_is_found_by() {
        let said = |decision: &str, approval: Option<&str>| {
            let approval_id = approval.map(str::to_owned);
            let row =
                CommandRow { decision: decision.into(), approval_id, ..CommandRow::default() };
            let said = serde_json::to_value(decided(&row)).unwrap();
            said["decision"].as_str().unwrap().to_owned()
        };
        assert_eq!(said("allow", Some("7")), "approved");
        assert_eq!(said("allow", None), "allow");
        assert_eq!(said("deny", Some("7")), "deny");
    }

    #[test]
    fn a_list_tells_what_was_asked_for() {
        let told = |kind: &str, text: &str, name: &str, params: &str| {
            let words = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            told(&CommandRow {
                kind: kind.into(),
                query_text: text.into(),
                verb: Some("tools/call".into()),
                name: words(name),
                params_json: words(params),
                ..CommandRow::default()
            })
        };
        assert_eq!(told("mcp", "POST / HTTP/1.1\r\n", "lookup", "{}"), "tools/call lookup {}");
        assert_eq!(told("mcp", "POST / HTTP/1.1\r\n", "tools/call", ""), "tools/call");
        assert_eq!(told("http", "GET /a b HTTP/2\r\nHost: h\r\n", "", ""), "GET /a b");
        assert_eq!(told("query", "select 1\r\nfrom t", "", ""), "select 1\r\nfrom t");
        assert_eq!(told("shell", "", "", ""), "(shell)");
        let asked = "tools/call drop {}\r\nPOST /mcp HTTP/1.1\r\nHost: h\r\n\r\n{}";
        assert_eq!(request_line(asked), "tools/call drop {}");
    }
}
