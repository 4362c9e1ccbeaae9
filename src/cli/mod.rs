//! What a user types: one file per command.
//!
//! In: the command line. Out: data on stdout, messages on stderr, an exit code of `fail`.
//! Never: a decision of the data plane; a message that does not say what to do.

pub mod answer;
pub mod approvals;
mod asked;
pub mod check;
pub mod fail;
pub mod hash_password;
pub mod kill;
pub mod kubeconfig;
pub mod login;
mod named;
pub mod output;
pub mod place;
pub mod policy;
mod reading;
pub mod remote;
pub mod replay;
pub mod run;
pub mod seal;
pub mod search;
pub mod sessions;
pub mod show;
pub mod status;
pub mod tail;
pub mod token;
pub mod top;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::admin::{clock, shape};
use crate::config::report::{ConfigErrors, Problem};
use crate::config::settings::Settings;
use crate::config::units;
use crate::record::lake::{Lake, LakeError};
use fail::{EXIT_CODES, EXIT_CONFIG, EXIT_INCOMPLETE, EXIT_NOT_FOUND, EXIT_USAGE, Failure};

/// A gateway that records, decides and masks what passes to a database.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Run(run::Run),
    /// Say what a configuration means and whether weir can run with it
    Check(check::Check),
    /// List sessions that are recorded or live
    Sessions(sessions::Sessions),
    /// Show everything a session did
    Show(show::Show),
    /// See a session again as it happened
    Replay(replay::Replay),
    /// Find commands by time, user, target, object and text
    Search(search::Search),
    /// Show the newest commands
    Tail(tail::Tail),
    /// List, approve or deny commands that wait
    Approvals(approvals::Approvals),
    /// End a live session
    Kill(kill::Kill),
    /// Ask the rules about a command without running it
    Policy(policy::Policy),
    /// Make Parquet of everything recorded so far
    Seal(seal::Seal),
    /// Show what a running weir says about itself
    Status(status::Status),
    /// Show what a running weir does now: rates, latencies, held commands, lag
    Top(top::Top),
    /// Get a token to log in to weir's targets with
    Login(login::Login),
    /// Write what kubectl needs to reach clusters through weir
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Make, list or revoke API tokens: secrets for programs
    Token(token::Token),
    /// Turn a password on stdin into a verifier for the configuration
    HashPassword(hash_password::HashPassword),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Approvals(args) => approvals::run(&args),
        Command::Kill(args) => kill::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Kubeconfig(args) => kubeconfig::run(&args),
        Command::Token(args) => token::run(&args),
        Command::HashPassword(args) => hash_password::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Loads a configuration, telling its warnings.
fn load(file: &Path) -> Result<Settings, Failure> {
    loaded(crate::config::load::load_with_warnings(file))
}

/// Settings of a configuration, and its warnings to standard error.
fn loaded(read: Result<(Settings, Vec<Problem>), ConfigErrors>) -> Result<Settings, Failure> {
    match read {
        Ok((settings, warnings)) => {
            for warning in warnings {
                output::note(&format!("warning: {warning}"));
            }
            Ok(settings)
        }
        Err(errors) => Err(Failure::new(EXIT_CONFIG, errors.to_string())),
    }
}

/// The data directory of a command that reads records; it must be there.
fn existing(place: &place::Place) -> Result<PathBuf, Failure> {
    let dir = place.data_dir()?;
    if dir.is_dir() {
        reading::tell(&dir)?;
        return Ok(dir);
    }
    Err(Failure::new(EXIT_NOT_FOUND, format!("there is no data directory {}", dir.display()))
        .hint("give --data-dir, as printed by `weir run` or written in its configuration"))
}

/// Reads the record, and says which of its files could not be read: what `read` found is then not
/// all. A failure of its own keeps its code.
fn reading_record(
    place: &place::Place,
    read: impl FnOnce(&Lake) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let lake = Lake::new(&existing(place)?);
    let outcome = read(&lake);
    let is_whole = tell_unread(&lake);
    outcome.and_then(|()| if is_whole { Ok(()) } else { Err(incomplete()) })
}

/// Names the files that could not be read and were not named yet. Whether there are none.
fn tell_unread(lake: &Lake) -> bool {
    let unread = lake.take_unread();
    for why in &unread {
        output::note(&format!("weir: {}", output::clean(why)));
    }
    unread.is_empty()
}

fn incomplete() -> Failure {
    Failure::new(EXIT_INCOMPLETE, "what is shown is not all: it lacks what those files held")
        .hint("put them back from a backup, or move them out of the lake: OPERATIONS.md, Backup")
}

fn lake_failure(error: LakeError) -> Failure {
    match error {
        LakeError::Grep(..) => Failure::new(EXIT_USAGE, error.to_string())
            .hint("separate words by |, as in 'drop|truncate'"),
        _ => Failure::because("the records cannot be read", error),
    }
}

/// A time of the command line: `1h` ago, or UTC text.
fn time(text: &str) -> Result<i64, Failure> {
    let ago = units::duration_us(text).and_then(|us| i64::try_from(us).ok());
    let at = ago.map(|us| clock::utc_us().saturating_sub(us)).or_else(|| clock::parse(text));
    at.ok_or_else(|| {
        Failure::new(EXIT_USAGE, format!("{text} is no time"))
            .hint("write 90s, 15m, 1h or 7d for so long ago, or 2026-03-01T12:00 in UTC")
    })
}

/// A session id of the command line, in its full text.
fn session_id(text: &str) -> Result<String, Failure> {
    shape::id_parse(text).map(shape::id_text).ok_or_else(|| {
        Failure::new(EXIT_NOT_FOUND, format!("{text} is no id of a session"))
            .hint("`weir sessions` lists them; an id is a full UUID")
    })
}

#[cfg(test)]
mod tests;
