//! `weir kill`: ends a live session.

use clap::Args;

use super::fail::Failure;
use super::output::note;
use super::place::Place;
use super::remote::Remote;
use crate::admin::shape::Killed;

/// Arguments.
#[derive(Debug, Args)]
pub struct Kill {
    /// Id of the session
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// No weir answers, or it has no such live session.
pub fn run(args: &Kill) -> Result<(), Failure> {
    let id = super::session_id(&args.id)?;
    let remote = Remote::find(&args.place.data_dir()?)?;
    let body = serde_json::Map::new();
    let killed: Killed = remote.post(&format!("/v1/sessions/{id}/kill"), &body)?.read()?;
    note(&format!("session {} is ended", killed.session_id));
    Ok(())
}
