//! `weir token`: secrets for programs that log in as a user of weir.

use clap::{Args, Subcommand};

use super::fail::{EXIT_USAGE, Failure};
use super::output::{Output, Table, note};
use super::place::Place;
use super::remote::Remote;
use crate::admin::shape::{self, TokenMade, TokenWanted};
use crate::config::units;

/// Arguments.
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a token; its secret is printed once, and kept nowhere
    Create(Create),
    /// List tokens that were made and not revoked
    List(List),
    /// Revoke a token: it is refused from now on, and its sessions end
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// The user of the configuration whom it stands for
    #[arg(long)]
    user: String,
    /// What you call it, so that you know it again in the list
    #[arg(long, value_name = "LABEL", default_value = "")]
    name: String,
    /// How long it is good, 366d at most
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    expires: String,
    #[command(flatten)]
    place: Place,
    /// One JSON object, with the secret
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// Id of the token, as the list says it
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// No weir answers, or it refuses.
pub fn run(args: &Token) -> Result<(), Failure> {
    match &args.act {
        Act::Create(create) => self::create(create),
        Act::List(list) => self::list(list),
        Act::Revoke(revoke) => self::revoke(revoke),
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    let seconds = units::duration_us(&args.expires).map(|us| us / 1_000_000).ok_or_else(|| {
        Failure::new(EXIT_USAGE, format!("`{}` is no duration", args.expires))
            .hint(units::DURATION_FORM)
    })?;
    let remote = Remote::find(&args.place.data_dir()?)?;
    let (user, name) = (args.user.clone(), args.name.clone());
    let wanted = TokenWanted { user, name, seconds: Some(seconds) };
    let made: TokenMade = remote.post("/v1/tokens", &wanted)?.read()?;
    let mut out = Output::new(args.json);
    if args.json {
        out.object(&made)?;
        return Ok(out.flush()?);
    }
    out.line(&made.secret)?;
    out.flush()?;
    let shape::Token { id, user, expires_at, .. } = &made.token;
    note(&format!("token {id} of {user} is good until {expires_at}"));
    note("this is the only time that it is shown: put it where its program finds it");
    Ok(())
}

fn list(args: &List) -> Result<(), Failure> {
    let remote = Remote::find(&args.place.data_dir()?)?;
    let tokens: Vec<shape::Token> = remote.get("/v1/tokens")?;
    let mut out = Output::new(args.json);
    if args.json {
        for token in &tokens {
            out.object(token)?;
        }
        return Ok(out.flush()?);
    }
    if tokens.is_empty() {
        note("there are no API tokens");
        return Ok(());
    }
    let mut table = Table::new(["ID", "USER", "NAME", "EXPIRES (UTC)", "MADE (UTC)", "BY"]);
    for token in tokens {
        let day = |text: &str| text.get(..19).unwrap_or(text).replace('T', " ");
        let (expires, made) = (day(&token.expires_at), day(&token.made_at));
        let user = match token.is_orphan {
            true => format!("{} (no such user)", token.user),
            false => token.user,
        };
        table.row([token.id, user, token.name, expires, made, token.made_by]);
    }
    out.table(&table)?;
    Ok(out.flush()?)
}

fn revoke(args: &Revoke) -> Result<(), Failure> {
    let remote = Remote::find(&args.place.data_dir()?)?;
    // What is no id is no path of the API either.
    let id: String = args.id.chars().filter(char::is_ascii_alphanumeric).collect();
    let token: shape::Token = remote.delete(&format!("/v1/tokens/{id}"))?.read()?;
    note(&format!("token {} of {} is revoked", token.id, token.user));
    Ok(())
}
