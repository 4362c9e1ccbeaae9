//! `weir-bench`: what weir costs, against its rivals (`compare`) and stage by stage
//! (`micro`, `instructions`).
//!
//! In: flags. Out: tables on stdout, JSON and SVG files. Never: a number without its spread.

#[cfg(feature = "compare")]
mod compare;
#[cfg(feature = "micro")]
mod micro;

use std::process::ExitCode;

const USAGE: &str = "\
weir-bench compare [flags]   weir against the rivals, with PostgreSQL behind all of them
weir-bench micro [--test]    every stage of weir by itself
weir-bench instructions      the stages counted in instructions, beside the accepted counts
weir-bench SUBCOMMAND --help";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("--help", &[][..]),
    };
    let done = match command {
        #[cfg(feature = "compare")]
        "compare" => compare::run(rest),
        #[cfg(not(feature = "compare"))]
        "compare" => {
            Err("this build leaves the rivals out; build with --features compare".to_owned())
        }
        #[cfg(feature = "micro")]
        "micro" => micro::run(rest),
        #[cfg(feature = "micro")]
        "instructions" => micro::instructions::run(rest),
        #[cfg(not(feature = "micro"))]
        "micro" | "instructions" => {
            Err("this build leaves the stages out; build with --features micro".to_owned())
        }
        "--help" | "-h" | "help" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("{other}: no such subcommand\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("weir-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
