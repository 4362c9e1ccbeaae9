//! `weir show`: everything a session did, in order.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::answer::{self, Part};
use super::fail::{EXIT_NOT_FOUND, Failure};
use super::output::{Output, Table, clean, clean_block, duration};
use super::place::Place;
use super::search::status_of;
use super::sessions::{Session, join};
use crate::admin::{clock, shape};
use crate::record::lake::{ApprovalRow, ChunkRow, CommandRow, Filter, Lake, LineRow, MaskingRow};

/// Arguments.
#[derive(Debug, Args)]
pub struct Show {
    /// Id of the session, or its first characters
    id: String,
    #[command(flatten)]
    place: Place,
    /// Show the answers too, as far as they were captured
    #[arg(long)]
    rows: bool,
    /// Show at most so many rows of each answer
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    rows_max: usize,
    /// One JSON object per line: the session, then its commands
    #[arg(long)]
    json: bool,
}

/// A command with all that belongs to it.
#[derive(Debug, Serialize)]
struct Story {
    #[serde(flatten)]
    command: CommandRow,
    approvals: Vec<ApprovalRow>,
    masking: Vec<MaskingRow>,
    /// Derived from what its terminal showed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<LineRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<ChunkRow>,
}

/// Runs the command.
///
/// # Errors
/// The records cannot be read, or hold no such session.
pub fn run(args: &Show) -> Result<(), Failure> {
    let mut out = Output::new(args.json);
    let outcome = write(args, &mut out);
    out.flush()?;
    outcome
}

/// Writes the session.
pub(super) fn write(args: &Show, out: &mut Output) -> Result<(), Failure> {
    super::reading_record(&args.place, |lake| write_from(lake, args, out))
}

fn write_from(lake: &Lake, args: &Show, out: &mut Output) -> Result<(), Failure> {
    let id = super::named::session(&args.id, lake)?;
    let filter = Filter { session: Some(id), ..Filter::default() };
    let id = shape::id_text(id);
    let session =
        join(lake.sessions(&filter).map_err(super::lake_failure)?).pop().unwrap_or_default();
    let stories = stories(lake, &filter, args.rows)?;
    if session.any().is_none() && stories.is_empty() {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("no session {id} is recorded there"))
            .hint("`weir sessions` lists them"));
    }
    if out.is_json() {
        out.object(&session)?;
        for story in &stories {
            out.object(story)?;
        }
        return Ok(());
    }
    tell_session(out, &id, &session)?;
    for story in &stories {
        tell(out, story, args)?;
    }
    Ok(())
}

fn stories(lake: &Lake, filter: &Filter, with_chunks: bool) -> Result<Vec<Story>, Failure> {
    let commands = lake.commands(filter).map_err(super::lake_failure)?;
    let mut stories: BTreeMap<i64, Story> = BTreeMap::new();
    for command in commands {
        let (approvals, masking, lines, chunks) = Default::default();
        stories.insert(command.common.seq, Story { command, approvals, masking, lines, chunks });
    }
    for step in lake.approvals(filter).map_err(super::lake_failure)? {
        if let Some(story) = stories.get_mut(&step.command_seq) {
            story.approvals.push(step);
        }
    }
    // A request that joined what another session had asked was answered there.
    let asked: Vec<i64> = stories
        .values()
        .filter(|story| story.approvals.is_empty() && story.command.approval_id.is_some())
        .map(|story| story.command.common.seq)
        .collect();
    if !asked.is_empty() {
        for step in lake.approvals(&Filter::default()).map_err(super::lake_failure)? {
            let joins = |story: &&mut Story| {
                asked.contains(&story.command.common.seq)
                    && story.command.approval_id.as_ref() == Some(&step.approval_id)
            };
            if let Some(story) = stories.values_mut().find(joins) {
                story.approvals.push(step);
            }
        }
    }
    for hit in lake.masking(filter).map_err(super::lake_failure)? {
        if let Some(story) = stories.get_mut(&hit.command_seq) {
            story.masking.push(hit);
        }
    }
    for line in lake.lines(filter).map_err(super::lake_failure)? {
        if let Some(story) = stories.get_mut(&line.command_seq) {
            story.lines.push(line);
        }
    }
    if with_chunks {
        for chunk in lake.chunks(filter).map_err(super::lake_failure)? {
            if let Some(story) = stories.get_mut(&chunk.command_seq) {
                story.chunks.push(chunk);
            }
        }
    }
    let mut stories: Vec<_> = stories.into_values().collect();
    for story in &mut stories {
        story.chunks.sort_by_key(|chunk| (chunk.stream, chunk.chunk_no));
    }
    Ok(stories)
}

fn tell_session(out: &mut Output, id: &str, session: &Session) -> Result<(), Failure> {
    out.line(&format!("session   {id}"))?;
    if let Some(row) = session.any() {
        let text = |value: &Option<String>| clean(value.as_deref().unwrap_or("-"));
        let common = &row.common;
        let groups = common.user_groups.join(", ");
        out.line(&format!("user      {} ({})", clean(&common.user_name), clean(&groups)))?;
        out.line(&format!(
            "target    {} as {}, database {}",
            clean(&common.target),
            text(&common.role),
            text(&common.db_namespace)
        ))?;
        out.line(&format!(
            "client    {} ({}), proven by {}, TLS {}",
            text(&common.client_addr),
            text(&row.client_app),
            text(&row.auth_method),
            text(&row.tls_version)
        ))?;
    }
    if let Some(start) = &session.start {
        out.line(&format!("started   {}", clock::to_text(start.common.ts_us)))?;
    }
    match &session.end {
        Some(end) => {
            let reason = clean(end.end_reason.as_deref().unwrap_or("-"));
            let at = clock::to_text(end.ended_us.unwrap_or(end.common.ts_us));
            out.line(&format!("ended     {at} ({reason})"))?;
        }
        None => out.line("ended     no end is recorded: it lives, or weir was cut off")?,
    }
    Ok(())
}

fn tell(out: &mut Output, story: &Story, args: &Show) -> Result<(), Failure> {
    let row = &story.command;
    out.line("")?;
    let mut head = format!(
        "#{} {}  {} {} ({})",
        row.common.seq,
        clock::to_column(row.common.ts_us),
        row.kind,
        row.operation,
        row.classes.join(", ")
    );
    if let Some(statement) = row.statement.as_deref().filter(|name| !name.is_empty()) {
        head.push_str(&format!("  prepared as {statement}"));
    }
    out.line(&clean(&head))?;
    out.line(&clean_block(&row.query_text, "    "))?;
    if let Some(params) = row.params_json.as_deref().filter(|json| *json != "[]") {
        out.line(&format!("  values    {}", clean(params)))?;
    }
    tell_extra(out, row)?;
    let rule = row.rule.as_deref().filter(|rule| !rule.is_empty()).unwrap_or("no rule matched");
    out.line(&format!("  decision  {} ({})", row.decision, clean(rule)))?;
    for step in &story.approvals {
        let who = step.approver.as_deref().unwrap_or_default();
        let why = step.reason.as_deref().unwrap_or_default();
        // The other rows of an approval that is used again are another command's.
        let id = if step.event == "used" { step.approval_id.as_str() } else { "" };
        let words = [step.event.as_str(), who, why, id].into_iter().filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        let line = format!("{} {}", clock::to_column(step.common.ts_us), words.join(" "));
        out.line(&format!("  approval  {}", clean(&line)))?;
    }
    tell_outcome(out, story)?;
    for hit in &story.masking {
        let place = match hit.path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => path,
            None if hit.column.is_empty() => "the body",
            None => &hit.column,
        };
        let line =
            format!("{} values of {place} by {} ({})", hit.hit_count, hit.operator, hit.detector);
        out.line(&format!("  masked    {}", clean(&line)))?;
    }
    tell_lines(out, &story.lines)?;
    if has_no_terminal(row) {
        out.line("  typed     no lines are derived: this shell has no terminal")?;
    }
    if args.rows {
        tell_answer(out, story, args.rows_max)?;
    }
    Ok(())
}

/// Lines of a terminal, and what they are not.
fn tell_lines(out: &mut Output, lines: &[LineRow]) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    out.line("  typed     as its terminal showed it: derived, what ran may be something else")?;
    for line in lines {
        let cut = if line.line.is_some() && line.cut { "  [may be cut]" } else { "" };
        let at = clock::to_column(line.common.ts_us);
        let rows = clean_block(line.told(), &" ".repeat(4 + at.len() + 2));
        out.line(&format!("    {at}  {}{cut}", rows.trim_start()))?;
    }
    Ok(())
}

/// Whether it is a shell that reads what is piped into it.
fn has_no_terminal(row: &CommandRow) -> bool {
    let has = |attrs: &str| attrs.contains("\"terminal\"");
    let ran = matches!(row.decision.as_str(), "allow" | "approved");
    row.common.protocol == "ssh"
        && row.kind == "shell"
        && ran
        && !row.attrs.as_deref().is_some_and(has)
}

/// What commands of some protocols have.
fn tell_extra(out: &mut Output, row: &CommandRow) -> Result<(), Failure> {
    let facts = [&row.verb, &row.resource, &row.subresource, &row.name];
    let mut line: Vec<&str> = facts.into_iter().flatten().map(String::as_str).collect();
    line.extend(row.namespace.as_deref().into_iter().flat_map(|name| ["in", name]));
    if !line.is_empty() {
        out.line(&format!("  on        {}", clean(&line.join(" "))))?;
    }
    if let Some(length) = row.body_len {
        out.line(&format!("  body      {length} bytes"))?;
    }
    if let Some(parent) = row.parent_seq {
        out.line(&format!("  part of   #{parent}"))?;
    }
    if let Some(attrs) = &row.attrs {
        out.line(&format!("  attrs     {}", clean(attrs)))?;
    }
    if row.rules.len() > 1 {
        out.line(&format!("  matched   {}", clean(&row.rules.join(", "))))?;
    }
    Ok(())
}

fn tell_outcome(out: &mut Output, story: &Story) -> Result<(), Failure> {
    let row = &story.command;
    let Some(response) = &row.response else {
        return Ok(out.line(&format!("  outcome   {}, no answer is recorded", status_of(row)))?);
    };
    let mut line = format!("{} in {}", response.outcome, duration(response.duration_us));
    if let Some(tag) = response.tag.as_deref().filter(|tag| !tag.is_empty()) {
        line.push_str(&format!(", {tag}"));
    }
    if let Some(status) = response.status {
        line.push_str(&format!(", status {status}"));
    }
    if let Some(code) = response.exit_code() {
        line.push_str(&format!(", exit code {code}"));
    }
    if let Some(signal) = &response.signal {
        line.push_str(&format!(", by signal {signal}"));
    }
    if let Some(rows) = response.rows_returned {
        line.push_str(&format!(", {rows} rows sent"));
    }
    line.push_str(&format!(", {} bytes", response.total_bytes));
    if response.captured_bytes < response.total_bytes {
        line.push_str(&format!(" ({} captured)", response.captured_bytes));
    }
    if let Some(bytes) = response.input_bytes() {
        line.push_str(&format!(", {bytes} bytes of input"));
    }
    out.line(&format!("  outcome   {}", clean(&line)))?;
    if let Some(code) = response.status_code.as_deref().filter(|code| !code.is_empty()) {
        let text = response.error_text.as_deref().unwrap_or_default();
        out.line(&format!("  error     {} {}", clean(code), clean(text)))?;
    } else if let Some(text) = response.error_text.as_deref().filter(|text| !text.is_empty()) {
        out.line(&format!("  error     {}", clean(text)))?;
    }
    Ok(())
}

fn tell_answer(out: &mut Output, story: &Story, rows_max: usize) -> Result<(), Failure> {
    for encoding in ["pg-bind", "pg-copy", "pg-messages"] {
        let mut bytes = Vec::new();
        let chunks = story.chunks.iter().filter(|chunk| chunk.encoding == encoding);
        chunks.for_each(|chunk| bytes.extend_from_slice(&chunk.payload));
        if bytes.is_empty() {
            continue;
        }
        if encoding == "pg-messages" {
            tell_parts(out, answer::read(&bytes), rows_max)?;
        } else {
            tell_bytes(out, encoding, &bytes, rows_max)?;
        }
    }
    for (stream, name) in [(0, "request"), (1, "answer")] {
        let is_its = |chunk: &&ChunkRow| chunk.encoding == "http-content" && chunk.stream == stream;
        let mut bytes = Vec::new();
        let chunks = story.chunks.iter().filter(is_its);
        chunks.for_each(|chunk| bytes.extend_from_slice(&chunk.payload));
        if !bytes.is_empty() {
            tell_bytes(out, name, &bytes, rows_max)?;
        }
    }
    Ok(())
}

fn tell_bytes(out: &mut Output, name: &str, bytes: &[u8], lines_max: usize) -> Result<(), Failure> {
    out.line(&format!("  {name}: {} bytes", bytes.len()))?;
    let lossy = String::from_utf8_lossy(bytes);
    let shown: Vec<&str> = lossy.lines().take(lines_max).collect();
    Ok(out.line(&clean_block(&shown.join("\n"), "    "))?)
}

fn tell_parts(out: &mut Output, parts: Vec<Part>, rows_max: usize) -> Result<(), Failure> {
    for part in parts {
        match part {
            Part::Rows { columns, rows } => {
                let count = rows.len();
                let heading: Vec<String> = match (columns.is_empty(), rows.first()) {
                    (true, Some(row)) => (1..=row.len()).map(|n| format!("column {n}")).collect(),
                    _ => columns,
                };
                let mut table = Table::new(heading).indented(4);
                for row in rows.into_iter().take(rows_max) {
                    table.row(row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".into())));
                }
                out.table(&table)?;
                if count > rows_max {
                    out.line(&format!("    .. {} more rows, see --rows-max", count - rows_max))?;
                }
            }
            Part::Tag(tag) => out.line(&format!("    {}", clean(&tag)))?,
            Part::Message(text) => out.line(&format!("    {}", clean(&text)))?,
            Part::Copy(data) => out.line(&clean_block(&data, "    "))?,
            Part::Cut(_) => out.line("    .. the capture ends here")?,
        }
    }
    Ok(())
}
