//! `weir login`: a token for weir's targets, printed for whatever connects.
//!
//! In: an issuer, a person with a browser. Out: a token on stdout, or in a password file of libpq.
//! Never: a token on stderr or in an error; a browser started on somebody's machine.

mod cache;
mod device;
mod pgpass;

use std::path::{Path, PathBuf};

use clap::Args;

use super::fail::{EXIT_CONFIG, EXIT_FAILURE, EXIT_REFUSED, EXIT_USAGE, Failure};
use super::output::{Output, clean, note};
use crate::admin::clock;
use crate::admin::issuer::{IssuerError, Web};
use crate::config::units;
pub(super) use cache::replace;
use cache::{Cache, Tokens};
use device::Client;

/// Arguments.
#[derive(Debug, Args)]
pub struct Login {
    /// Issuer of the tokens [default: $WEIR_ISSUER, or that of the configuration]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What the issuer knows this program as [default: $WEIR_CLIENT_ID, or as above]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What to ask for; with offline_access most issuers let tokens be renewed
    #[arg(long, value_name = "WORDS")]
    scope: Option<String>,
    /// Roots to verify the issuer with, instead of the system's
    #[arg(long, value_name = "FILE")]
    root_certificates: Option<PathBuf>,
    /// Configuration whose first [[identity.oidc]] is meant [default: weir/login.toml where
    /// configuration is kept]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// More for the issuer, such as resource=URL or audience=NAME; may be given again
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Give the ID token instead of the access token
    #[arg(long)]
    id_token: bool,
    /// Put the token into libpq's password file for HOST:PORT:DATABASE:USER instead of printing it;
    /// what is left out is any
    #[arg(long, value_name = "PLACE")]
    pgpass: Option<String>,
    /// Print the token as kubectl's `ExecCredential`
    #[arg(long, conflicts_with = "pgpass")]
    exec_credential: bool,
    /// Fail where a person would have to do something
    #[arg(long)]
    no_person: bool,
    /// Forget the tokens kept for this issuer
    #[arg(long)]
    forget: bool,
}

/// Runs the command.
///
/// # Errors
/// There is no token, and why.
pub fn run(args: &Login) -> Result<(), Failure> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let place = args.pgpass.as_deref().map(pgpass::Place::parse).transpose()?;
    let wish = Wish::gather(args, &env)?;
    let mut cache = Cache::open(&cache::folder(&env)?)?;
    if args.forget {
        cache.forget(&wish.key())?;
        note("weir: the tokens of this issuer are forgotten");
        return Ok(());
    }
    let token = obtain(&wish, &mut cache, args)?;
    match place {
        Some(place) => {
            let path = pgpass::path(&env)?;
            pgpass::put(&path, &place, &token)?;
            note(&format!("weir: {} logs in to {place} now", path.display()));
            Ok(())
        }
        None => {
            let mut out = Output::new(false);
            out.line(&match args.exec_credential {
                true => exec_credential(&token),
                false => token,
            })?;
            Ok(out.flush()?)
        }
    }
}

/// What client-go takes from a plugin. It asks again by itself once the time is over, but not for
/// the request that fails then, so the time is over a minute early.
fn exec_credential(token: &str) -> String {
    let mut status = serde_json::json!({ "token": token });
    let ends = cache::expiry(token).and_then(|at_s| (at_s - 60).checked_mul(1_000_000));
    if let (Some(status), Some(at_us)) = (status.as_object_mut(), ends) {
        status.insert("expirationTimestamp".into(), clock::to_second(at_us).into());
    }
    let (kind, version) = ("ExecCredential", "client.authentication.k8s.io/v1");
    serde_json::json!({ "kind": kind, "apiVersion": version, "status": status }).to_string()
}

/// What token is wanted, of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    issuer: String,
    client_id: String,
    scope: String,
    root_certificates: Option<PathBuf>,
    parameters: Vec<(String, String)>,
}

impl Wish {
    fn gather(args: &Login, env: &dyn Fn(&str) -> Option<String>) -> Result<Wish, Failure> {
        let file = match &args.config {
            Some(file) => Stated::read(file)?,
            None => match config_folder(env).map(|folder| folder.join("weir/login.toml")) {
                Some(file) if file.is_file() => Stated::read(&file)?,
                _ => Stated::default(),
            },
        };
        let issuer = args.issuer.clone().or_else(|| env("WEIR_ISSUER"));
        // The other settings of a file are about its own issuer.
        let same = issuer.is_none() || issuer == file.issuer;
        let file = if same { file } else { Stated::default() };
        let missing = |what: &str, flag: &str, variable: &str| {
            Failure::new(EXIT_USAGE, format!("which {what}?"))
                .hint(format!("give {flag}, set {variable}, or name a configuration by --config"))
        };
        let issuer = issuer.or(file.issuer);
        let issuer = issuer.ok_or_else(|| missing("issuer", "--issuer", "WEIR_ISSUER"))?;
        if units::issuer(&issuer).is_none() {
            return Err(Failure::new(EXIT_USAGE, "this is no issuer").hint(units::ISSUER_FORM));
        }
        let client_id = args.client_id.clone().or_else(|| env("WEIR_CLIENT_ID")).or(file.client_id);
        let roots = args.root_certificates.clone().or(file.root_certificates);
        let roots = roots.or_else(crate::config::system_roots);
        let secure = issuer.starts_with("https:");
        if secure && roots.is_none() {
            let message = "this system keeps no root certificates to verify the issuer with";
            return Err(Failure::new(EXIT_USAGE, message).hint("give --root-certificates"));
        }
        Ok(Wish {
            client_id: client_id
                .ok_or_else(|| missing("client id", "--client-id", "WEIR_CLIENT_ID"))?,
            scope: args.scope.clone().or(file.scope).unwrap_or_else(|| "openid".to_owned()),
            root_certificates: roots.filter(|_| secure),
            parameters: parameters(&args.parameters)?,
            issuer,
        })
    }

    /// What tokens are kept under.
    fn key(&self) -> String {
        let mut key = format!("{} {} {}", self.issuer, self.client_id, self.scope);
        for (name, value) in &self.parameters {
            key.push_str(&format!(" {name}={value}"));
        }
        key
    }
}

fn parameters(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (name, value) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Failure::new(EXIT_USAGE, "a --parameter has no name or no value")
                    .hint("write --parameter resource=https://weir.example.com")
            })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// What a configuration says of its first issuer. The rest of the file is not read: it may name
/// secrets that are not at hand where people log in.
#[derive(Debug, Default)]
struct Stated {
    issuer: Option<String>,
    client_id: Option<String>,
    scope: Option<String>,
    root_certificates: Option<PathBuf>,
}

impl Stated {
    fn read(file: &Path) -> Result<Stated, Failure> {
        let wrong = |error: String| {
            Failure::new(EXIT_CONFIG, format!("{}: {error}", file.display()))
                .hint("[[identity.oidc]] with `issuer` and `client_id` is what `weir login` reads")
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        let issuers = table.get("identity").and_then(|identity| identity.get("oidc"));
        let first = issuers.and_then(|list| list.get(0));
        let first = first.ok_or_else(|| wrong("there is no [[identity.oidc]]".to_owned()))?;
        let text = |key: &str| first.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let folder = file.parent().unwrap_or(Path::new(""));
        Ok(Stated {
            issuer: text("issuer"),
            client_id: text("client_id"),
            scope: text("scope"),
            root_certificates: text("root_certificates").map(|path| folder.join(path)),
        })
    }
}

/// Where people keep configuration (XDG Base Directory Specification).
fn config_folder(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let given = env("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")))
}

/// A kept token, a renewed one, or one that a person allows.
fn obtain(wish: &Wish, cache: &mut Cache, args: &Login) -> Result<String, Failure> {
    let key = wish.key();
    let kept = cache.get(&key);
    if let Some(token) = kept.as_ref().and_then(|tokens| tokens.fresh(args.id_token, now_s())) {
        return Ok(token.to_owned());
    }
    let web = Web::new(&wish.issuer, wish.root_certificates.as_deref()).map_err(unreachable)?;
    let provider = web.discover(&wish.issuer).map_err(unreachable)?;
    let client = Client::new(&web, &provider, wish);
    if let Some(old) = kept.filter(|tokens| tokens.refresh_token.is_some())
        && let Some(granted) = client.renew(&old)?
    {
        let tokens = Tokens::new(granted, Some(old), now_s());
        cache.put(&key, &tokens)?;
        if let Some(token) = tokens.fresh(args.id_token, now_s()) {
            return Ok(token.to_owned());
        }
    }
    if args.no_person {
        return Err(Failure::new(EXIT_REFUSED, "there is no token that is still good")
            .hint("run `weir login` where a person can answer"));
    }
    let granted = client.ask_person(&mut |message| note(message))?;
    let tokens = Tokens::new(granted, None, now_s());
    cache.put(&key, &tokens)?;
    match tokens.fresh(args.id_token, now_s()) {
        Some(token) => Ok(token.to_owned()),
        None => Err(useless(&tokens, args.id_token)),
    }
}

/// Why a token that was just given is of no use.
fn useless(tokens: &Tokens, id_token: bool) -> Failure {
    let failed = |message: &str| Failure::new(EXIT_FAILURE, message);
    match (id_token, tokens.id_token.is_some()) {
        (true, false) => failed("the issuer gave no ID token").hint("ask for it: --scope openid"),
        (false, true) if cache::expiry(&tokens.access_token).is_none() => {
            failed("the issuer's access token is not a JSON Web Token, so weir cannot verify it")
                .hint("give the ID token by --id-token, or name what the token is for: --parameter")
        }
        (false, false) if cache::expiry(&tokens.access_token).is_none() => {
            failed("the issuer's access token is not a JSON Web Token, so weir cannot verify it")
                .hint("name what the token is for, such as --parameter resource=URL")
        }
        _ => failed("the issuer gave a token whose time is over")
            .hint("compare the clocks of this machine and the issuer"),
    }
}

fn unreachable(error: IssuerError) -> Failure {
    Failure::new(EXIT_FAILURE, clean(&error.to_string()))
}

fn now_s() -> i64 {
    clock::utc_us().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests;
