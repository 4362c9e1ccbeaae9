//! `weir status`: what a running weir says about itself.

use clap::Args;

use super::fail::Failure;
use super::output::{Output, Table, clean};
use super::place::Place;
use super::remote::Remote;
use crate::admin::shape;

/// Arguments.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    place: Place,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// No weir answers.
pub fn run(args: &Status) -> Result<(), Failure> {
    let status: shape::Status = Remote::find(&args.place.data_dir()?)?.get("/v1/status")?;
    let mut out = Output::new(args.json);
    if args.json {
        out.object(&status)?;
        return Ok(out.flush()?);
    }
    out.line(&format!("weir {} (process {}), {}", status.version, status.pid, status.status))?;
    out.line(&format!("started   {}", status.started_at))?;
    for listener in &status.listeners {
        out.line(&format!("clients   {}", clean(listener)))?;
    }
    out.line(&format!(
        "shards    {}, rules {}, masks {}",
        status.shards, status.rules, status.masks
    ))?;
    let generation = status.generation;
    match status.shards_behind {
        0 => out.line(&format!("snapshot  {generation}, taken by all shards"))?,
        count => out.line(&format!("snapshot  {generation}, NOT TAKEN by {count} shards"))?,
    }
    match status.unready.as_slice() {
        [] => out.line("ready     yes")?,
        reasons => out.line(&format!("ready     NO: {}", reasons.join("; ")))?,
    }
    if status.quarantined > 0 {
        let files = status.quarantined;
        out.line(&format!("ASIDE     {files} damaged files in journal/quarantine"))?;
    }
    if !status.trouble.is_empty() {
        out.line(&format!("TROUBLE   {}", clean(&status.trouble)))?;
    }
    out.line("")?;
    let mut targets = Table::new(["TARGET", "ADDRESS", "RESOLVED", "CATALOG", "TROUBLE"]);
    for target in &status.targets {
        let trouble = [&target.resolve_error, &target.connect_error, &target.catalog_error];
        let trouble: Vec<_> =
            trouble.into_iter().filter(|text| !text.is_empty()).cloned().collect();
        let catalog = match target.relations {
            0 => target.catalog.clone(),
            count => format!("{}, {count} relations", target.catalog),
        };
        let resolved = target.resolved.join(" ");
        let row = [&target.name, &target.address, &resolved, &catalog, &trouble.join("; ")];
        targets.row(row.map(Clone::clone));
    }
    out.table(&targets)?;
    out.line("")?;
    if !status.issuers.is_empty() {
        let mut issuers = Table::new(["ISSUER", "KEYS", "READ", "TROUBLE"]);
        for issuer in &status.issuers {
            let keys = issuer.keys.to_string();
            issuers.row([&issuer.issuer, &keys, &issuer.read_at, &issuer.error].map(Clone::clone));
        }
        out.table(&issuers)?;
        out.line("")?;
    }
    let mut counters = Table::new(["COUNTER", "VALUE"]);
    for (name, value) in &status.counters {
        counters.row([name.clone(), value.to_string()]);
    }
    out.table(&counters)?;
    Ok(out.flush()?)
}
