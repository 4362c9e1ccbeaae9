//! `weir approvals`: commands that wait, and a person's word on them.

use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};

use super::fail::{EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE, Failure};
use super::output::{Output, Table, clean, clean_block, note, one_line, short};
use super::place::Place;
use super::remote::Remote;
use super::search::request_line;
use crate::admin::shape::{
    Approval, ApprovalPart, Asks, Ballot, BallotScope, Decision, VoteReply, Window,
};
use crate::config::units;
use crate::limits::ASK_HEAD_BYTES;

/// Arguments. Those before a command count for it, unless it has its own.
#[derive(Debug, Args)]
pub struct Approvals {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List commands that wait (the default)
    List(Common),
    /// Show all that an approver decides on
    Show(Show),
    /// Let a command run
    Approve(Vote),
    /// Refuse a command
    Deny(Vote),
    /// List windows that are open
    Windows(Common),
    /// Close a window
    Revoke(Show),
}

#[derive(Clone, Debug, Args)]
struct Common {
    #[command(flatten)]
    place: Place,
    /// Act as this user of weir; the password is read from WEIR_PASSWORD or asked for
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Address of the admin API on loopback, for people who may not look into the data directory
    #[arg(long, value_name = "ADDRESS")]
    #[arg(conflicts_with_all = ["config", "data_dir"])]
    admin: Option<SocketAddr>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// Id of the approval
    id: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Vote {
    /// Id of the approval
    id: String,
    /// Why; becomes part of the record
    #[arg(long)]
    reason: String,
    /// Digest of what was looked at, as `weir approvals show` says it; without it the command is
    /// shown now, and its digest taken
    #[arg(long)]
    digest: Option<String>,
    /// Approve the same statement with the same values so often more in the same session
    #[arg(long, value_name = "COUNT", conflicts_with = "window")]
    repeat: Option<u32>,
    /// How long --repeat holds [default: 1h]
    #[arg(long, value_name = "DURATION", requires = "repeat")]
    within: Option<String>,
    /// Approve all commands of the same classes, of this user with this role at this target, for
    /// so long: 30m, up to 8h
    #[arg(long, value_name = "DURATION")]
    window: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Common {
    /// These, and what stands before the command where they say nothing.
    fn within(&self, outer: &Common) -> Result<Common, Failure> {
        let Place { config, data_dir } = &self.place;
        let has_place = config.is_some() || data_dir.is_some() || self.admin.is_some();
        let places = if has_place { self } else { outer };
        let user = self.user.as_ref().or(outer.user.as_ref());
        if places.admin.is_some() && user.is_none() {
            let words = "--admin needs --as USER";
            return Err(Failure::new(EXIT_USAGE, words));
        }
        Ok(Common {
            place: places.place.clone(),
            user: user.cloned(),
            admin: places.admin,
            json: self.json || outer.json,
        })
    }
}

impl Vote {
    fn scope(&self) -> Result<Option<BallotScope>, Failure> {
        let seconds = |text: &String| {
            units::duration_us(text).map(|us| us / 1_000_000).ok_or_else(|| {
                Failure::new(EXIT_USAGE, format!("`{text}` is no duration"))
                    .hint(units::DURATION_FORM)
            })
        };
        if self.repeat.is_none() && self.window.is_none() {
            return Ok(None);
        }
        Ok(Some(BallotScope {
            same_statement: self.repeat,
            seconds: self.within.as_ref().map(seconds).transpose()?,
            window_seconds: self.window.as_ref().map(seconds).transpose()?,
        }))
    }
}

/// Runs the command.
///
/// # Errors
/// No weir answers, or the vote does not count.
pub fn run(args: &Approvals) -> Result<(), Failure> {
    let own = match &args.act {
        None => &args.common,
        Some(Act::List(common) | Act::Windows(common)) => common,
        Some(Act::Show(show) | Act::Revoke(show)) => &show.common,
        Some(Act::Approve(vote) | Act::Deny(vote)) => &vote.common,
    };
    let common = &own.within(&args.common)?;
    match &args.act {
        None | Some(Act::List(_)) => list(common),
        Some(Act::Show(show)) => self::show(show, common),
        Some(Act::Approve(vote)) => cast(vote, common, Decision::Approve),
        Some(Act::Deny(vote)) => cast(vote, common, Decision::Deny),
        Some(Act::Windows(_)) => windows(common),
        Some(Act::Revoke(window)) => revoke(window, common),
    }
}

fn windows(common: &Common) -> Result<(), Failure> {
    let windows: Vec<Window> = remote(common)?.get("/v1/windows")?;
    let mut out = Output::new(common.json);
    if common.json {
        for window in &windows {
            out.object(window)?;
        }
        return Ok(out.flush()?);
    }
    if windows.is_empty() {
        note("no window is open");
        return Ok(());
    }
    let mut table = Table::new(["ID", "UNTIL (UTC)", "USER", "TARGET", "ROLE", "CLASSES", "BY"]);
    for window in windows {
        let until = window.until.get(..19).unwrap_or(&window.until).replace('T', " ");
        let (classes, by) = (window.classes.join(", "), window.approvers.join(", "));
        table.row([window.id, until, window.user, window.target, window.role, classes, by]);
    }
    out.table(&table)?;
    Ok(out.flush()?)
}

fn revoke(args: &Show, common: &Common) -> Result<(), Failure> {
    let window: Window =
        remote(common)?.delete(&format!("/v1/windows/{}", args.id.trim()))?.read()?;
    note(&format!("the window of {} at {} is closed", window.user, window.target));
    Ok(())
}

fn list(common: &Common) -> Result<(), Failure> {
    let approvals = heads(&remote(common)?)?;
    let mut out = Output::new(common.json);
    if common.json {
        for approval in &approvals {
            out.object(approval)?;
        }
        return Ok(out.flush()?);
    }
    if approvals.is_empty() {
        note("no command waits for approval");
        return Ok(());
    }
    let mut table = Table::new(["ID", "EXPIRES (UTC)", "USER", "TARGET", "APPROVERS", "COMMAND"]);
    for approval in &approvals {
        let expires = approval.expires_at.get(..19).unwrap_or(&approval.expires_at);
        table.row([
            approval.id.clone(),
            expires.replace('T', " "),
            approval.user.clone(),
            approval.target.clone(),
            asked(&approval.parts),
            shown_short(approval),
        ]);
    }
    out.table(&table)?;
    Ok(out.flush()?)
}

/// The beginning of a command, with a mark where there is more of it than came or is shown.
fn shown_short(approval: &Approval) -> String {
    let line = request_line(&approval.text);
    // The end of a line is the end of a command.
    let text = match approval.classes.iter().any(|class| is_of_shells(class)) {
        true => short(&one_line(line), TEXT_CHARACTERS_MAX),
        false => short(line, TEXT_CHARACTERS_MAX),
    };
    // A head has all bytes that it may, but for a character that was cut. What came behind them may
    // be all that counts, behind a row of blanks.
    let is_cut = approval.shortened && approval.text.len() + 4 > ASK_HEAD_BYTES;
    match is_cut && line.len() == approval.text.len() && !text.ends_with("..") {
        true => text + " ..",
        false => text,
    }
}

fn is_of_shells(class: &str) -> bool {
    class == "exec" || ["scp-", "rsync-", "git-"].iter().any(|begin| class.starts_with(begin))
}

/// Who has to approve: `1 of dba and 2 of leads`.
fn asked(parts: &[ApprovalPart]) -> String {
    let words =
        parts.iter().map(|part| format!("{} of {}", part.quorum, part.approvers.join(", ")));
    words.collect::<Vec<_>>().join(" and ")
}

fn show(args: &Show, common: &Common) -> Result<(), Failure> {
    let approval = fetch(&remote(common)?, &args.id)?;
    let mut out = Output::new(common.json);
    if common.json {
        out.object(&approval)?;
        return Ok(out.flush()?);
    }
    for (name, text) in [
        ("id", &approval.id),
        ("user", &approval.user),
        ("target", &approval.target),
        ("role", &approval.role),
        ("classes", &approval.classes.join(", ")),
        ("objects", &approval.objects.clone().unwrap_or_default().join(", ")),
        ("values", &approval.params.clone().unwrap_or_default()),
        ("asks for", &asked(&approval.parts)),
        ("expires", &approval.expires_at),
        ("digest", &approval.digest.clone().unwrap_or_default()),
    ] {
        if !text.is_empty() {
            out.line(&format!("{name:<9} {}", clean(text)))?;
        }
    }
    if approval.redacted {
        out.line(&format!("{:<9} {HIDDEN}", "hidden"))?;
    }
    out.line("")?;
    out.line(&clean_block(&approval.text, ""))?;
    Ok(out.flush()?)
}

const HIDDEN: &str = "each *** is the whole content of a literal, or a value, that is not shown";

fn fetch(remote: &Remote, id: &str) -> Result<Approval, Failure> {
    if crate::admin::shape::id_parse(id).is_none() {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("{id} is no id of an approval"))
            .hint("`weir approvals` lists them"));
    }
    remote.get::<Approval>(&format!("/v1/asks/{}", id.trim())).map_err(|failure| {
        match failure.code() == EXIT_NOT_FOUND {
            false => failure,
            true => Failure::new(EXIT_NOT_FOUND, format!("no command waits under {id}"))
                .hint("it may have been answered, canceled or expired; `weir approvals` lists"),
        }
    })
}

/// All heads, page by page.
fn heads(remote: &Remote) -> Result<Vec<Approval>, Failure> {
    let mut heads = Vec::new();
    let mut path = "/v1/asks".to_owned();
    loop {
        let page: Asks = remote.get(&path)?;
        heads.extend(page.items);
        let Some(next) = page.next else { return Ok(heads) };
        path = format!("/v1/asks?after={next}");
    }
}

fn cast(vote: &Vote, common: &Common, decision: Decision) -> Result<(), Failure> {
    if vote.reason.trim().is_empty() {
        return Err(Failure::new(EXIT_USAGE, "a vote needs a reason")
            .hint("--reason 'why this may run', it becomes part of the record"));
    }
    let remote = remote(common)?;
    let digest = match decision {
        Decision::Approve => shown_digest(&remote, vote, common.json)?,
        Decision::Deny => String::new(),
    };
    if crate::admin::shape::id_parse(&vote.id).is_none() {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("{} is no id of an approval", vote.id))
            .hint("`weir approvals` lists them"));
    }
    let ballot = Ballot { decision, reason: vote.reason.clone(), digest, scope: vote.scope()? };
    let answer = remote.post(&format!("/v1/asks/{}", vote.id.trim()), &ballot)?;
    // Refusals of the vote itself are replies too; everything else is a problem of the call.
    let Ok(reply) = answer.parse::<VoteReply>() else {
        return answer.read::<VoteReply>().map(|_| ());
    };
    let mut out = Output::new(common.json);
    if common.json {
        out.object(&reply)?;
        out.flush()?;
    }
    let said = |text: &str| {
        if !common.json {
            note(text);
        }
        Ok(())
    };
    match reply {
        VoteReply::Counted { missing: 0, next } => said(approved(next.as_deref())),
        VoteReply::Counted { missing, .. } => {
            said(&format!("counted: {missing} more approvals are needed"))
        }
        VoteReply::Again { missing } => said(&format!(
            "you have approved this before: {missing} more approvals are needed, of other people"
        )),
        VoteReply::Denied => said("denied: the command is refused"),
        VoteReply::Refused { message } => {
            Err(Failure::new(EXIT_REFUSED, format!("the vote does not count: {message}"))
                .hint("vote as a member of the rule's approvers: --as USER"))
        }
        VoteReply::Unknown => {
            Err(Failure::new(EXIT_NOT_FOUND, format!("no command waits under {}", vote.id))
                .hint("it may have been answered, canceled or expired; `weir approvals` lists"))
        }
    }
}

/// What is next for a command that nobody has to approve any more.
fn approved(next: Option<&str>) -> &'static str {
    match next {
        None => "approved: the command runs",
        Some("asked-again") => {
            "approved: nobody waits for it now; it runs when its client asks again"
        }
        Some(_) => {
            "approved, and it does not run: the rules in force now deny it or ask for other approvals"
        }
    }
}

/// What the vote is about: what was looked at before, or what is shown now.
fn shown_digest(remote: &Remote, vote: &Vote, json: bool) -> Result<String, Failure> {
    if let Some(digest) = &vote.digest {
        return Ok(digest.clone());
    }
    let approval = fetch(remote, &vote.id)?;
    if !json {
        let values = match approval.params.as_deref().unwrap_or_default() {
            "" => String::new(),
            values => format!(" with {}", clean(values)),
        };
        let (text, role) = (clean_block(&approval.text, "  "), clean(&approval.role));
        let role = if role.is_empty() { role } else { format!("as {role} ") };
        note(&format!("{role}at {}{values}:\n{text}", clean(&approval.target)));
        if approval.redacted {
            note(HIDDEN);
        }
    }
    Ok(approval.digest.unwrap_or_default())
}

fn remote(common: &Common) -> Result<Remote, Failure> {
    match (&common.user, common.admin) {
        (Some(user), Some(address)) => Remote::at(address, user, || password(user)),
        (Some(user), None) => Remote::find_as(&common.place.data_dir()?, user, &password(user)?),
        (None, _) => Remote::find(&common.place.data_dir()?),
    }
}

/// The password of the environment, or one typed without an echo.
fn password(user: &str) -> Result<String, Failure> {
    if let Some(password) = std::env::var_os("WEIR_PASSWORD") {
        return password
            .into_string()
            .map_err(|_| Failure::new(EXIT_USAGE, "WEIR_PASSWORD is not UTF-8"));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(EXIT_USAGE, format!("no password for {user}"))
            .hint("set WEIR_PASSWORD, or run this on a terminal"));
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "Password of {user}: ");
    let _ = stderr.flush();
    let hidden = stty("-echo");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if hidden {
        stty("echo");
        note("");
    }
    read.map_err(|error| Failure::because("cannot read the password", error))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Changes the terminal; without `stty` the password is visible, which the person sees.
fn stty(word: &str) -> bool {
    let changed = Command::new("stty").arg(word).stdin(Stdio::inherit()).status();
    changed.is_ok_and(|status| status.success())
}

const TEXT_CHARACTERS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        approvals: Approvals,
    }

    fn common(words: &[&str]) -> Result<Common, String> {
        let words = ["approvals"].iter().chain(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?.approvals;
        let own = match &line.act {
            Some(Act::Approve(vote)) => &vote.common,
            Some(Act::List(own)) => own,
            _ => &line.common,
        };
        own.within(&line.common).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn flags_may_stand_before_a_command_and_after_it() {
        let approve = ["approve", "ID", "--reason", "it is fine"];
        let flags = ["--config", "F", "--as", "dora"];
        let before: Vec<&str> = flags.iter().chain(&approve).copied().collect();
        let after: Vec<&str> = approve.iter().chain(&flags).copied().collect();
        for words in [before, after] {
            let common = common(&words).unwrap();
            assert_eq!(common.place.config, Some("F".into()), "{words:?}");
            assert_eq!(common.user.as_deref(), Some("dora"), "{words:?}");
        }
        // What stands behind the command is meant for it.
        let both = common(&["--config", "F", "--json", "list", "--data-dir", "d"]).unwrap();
        assert_eq!((both.place.config, both.place.data_dir), (None, Some("d".into())));
        assert!(both.json);
        let apart = ["--admin", "127.0.0.1:1", "list", "--as", "dora"];
        assert_eq!(common(&apart).unwrap().user.as_deref(), Some("dora"));
        assert!(common(&["list", "--admin", "127.0.0.1:1"]).unwrap_err().contains("--as"));
    }
}
