//! What a user types: one file per command.
//!
//! In: the command line. Out: data on stdout, messages on stderr, an exit code of `fail`.
//! Never: a decision of the data plane; a message that does not say what to do.

pub mod answer;
pub mod approvals;
pub mod fail;
pub mod hash_password;
pub mod kill;
pub mod output;
pub mod place;
pub mod policy;
pub mod remote;
pub mod seal;
pub mod status;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::admin::{clock, shape};
use crate::config::settings::Settings;
use crate::config::units;
use fail::{EXIT_CODES, EXIT_CONFIG, EXIT_NOT_FOUND, EXIT_USAGE, Failure};

/// A gateway that records, decides and masks what passes to a database.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Turn a password on stdin into a verifier for the configuration
    HashPassword(hash_password::HashPassword),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Approvals(args) => approvals::run(&args),
        Command::Kill(args) => kill::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Status(args) => status::run(&args),
        Command::HashPassword(args) => hash_password::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Loads a configuration, telling its warnings.
fn load(file: &Path) -> Result<Settings, Failure> {
    match crate::config::load::load_with_warnings(file) {
        Ok((settings, warnings)) => {
            for warning in warnings {
                output::note(&format!("warning: {warning}"));
            }
            Ok(settings)
        }
        Err(errors) => Err(Failure::new(EXIT_CONFIG, errors.to_string())),
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
