//! `weir seal`: makes Parquet of everything recorded so far.

use clap::Args;

use super::fail::{EXIT_FAILURE, Failure};
use super::output::note;
use super::place::Place;
use super::remote::Remote;
use crate::admin::shape::Rotated;

/// Arguments.
#[derive(Debug, Args)]
pub struct Seal {
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// No weir answers, or the sealer is too far behind.
pub fn run(args: &Seal) -> Result<(), Failure> {
    let data_dir = args.place.data_dir()?;
    let remote = Remote::find(&data_dir)?;
    let rotated: Rotated = remote.post("/v1/rotate", &serde_json::Map::new())?.read()?;
    if !rotated.sealed {
        let waiting = rotated.waiting;
        let message = match rotated.trouble.as_str() {
            "" => format!("{waiting} segments still wait for the sealer"),
            why => format!("{waiting} segments of the journal cannot reach the lake: {why}"),
        };
        return Err(Failure::new(EXIT_FAILURE, message)
            .hint("nothing is lost; the log of weir says what the sealer does"));
    }
    note(&format!("everything recorded is in {}", data_dir.join("lake").display()));
    Ok(())
}
