//! `weir policy test`: what the rules say about a command, without running it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::asked::{self, Request};
use super::fail::{EXIT_HELD, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE, Failure};
use super::output::{Output, Table, clean};
use crate::admin::clock;
use crate::config::load::load_without_secrets;
use crate::config::settings::{Settings, Speaks, Target};
use crate::decide::rules::{Judgement, Who};
use crate::decide::sql::classify::why_unread;
use crate::decide::{Action, Classifier, Rules, http};
use crate::identify::{Identity, Method, role};
use crate::wire::Protocol;

/// Arguments.
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Say what would happen to a command
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// The command: a text of SQL; for HTTP and a cluster a method and a path, `GET /api/v1/pods`,
    /// with a body in lines of its own; for MCP a tool and its arguments, `lookup {"name": "bob"}`;
    /// for SSH the text of what --request names
    text: String,
    /// What is asked of a host of SSH. `sftp` takes an operation as records show it: `open /srv/a
    /// read`, `rename /srv/a /srv/b` [default: exec]
    #[arg(long, value_enum)]
    request: Option<Request>,
    /// User of weir who would send it
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// Groups of somebody whom a token or a certificate names, by commas
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    groups: Vec<String>,
    /// Role such a person would ask for [default: the first that is open to the groups]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Target it would be sent to
    #[arg(long)]
    target: String,
    /// Configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Address the user would come from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// Time at which it would be sent, UTC [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer {
    verdict: &'static str,
    rule: String,
    detail: String,
    role: String,
    /// Why the text is not understood, in the parser's words; empty if it is.
    unread: String,
    /// What is not known without the target; empty if it does not matter.
    note: &'static str,
    /// All rules that matched.
    rules: Vec<String>,
    statements: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Part {
    operation: String,
    classes: Vec<&'static str>,
    objects: Vec<String>,
    /// Which function or setting gave which class.
    causes: Vec<String>,
    rules: Vec<Tried>,
}

/// A rule that was tried on a statement.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Tried {
    rule: String,
    effect: &'static str,
    matches: bool,
    why_not: String,
}

/// Runs the command. The exit code tells the verdict: 0 allow, 6 deny, 7 hold.
///
/// # Errors
/// The configuration is not valid, or does not know the user or target.
pub fn run(args: &Policy) -> Result<(), Failure> {
    let Act::Test(test) = &args.act;
    let settings = super::loaded(load_without_secrets(&test.config))?;
    let at = match &test.at {
        None => clock::utc_us(),
        Some(text) => super::time(text)?,
    };
    let answer = decide(&settings, test, at)?;
    let mut out = Output::new(test.json);
    if test.json {
        out.object(&answer)?;
    } else {
        tell(&mut out, &answer)?;
    }
    out.flush()?;
    match answer.verdict {
        "allow" => Ok(()),
        "hold" => Err(Failure::silent(EXIT_HELD)),
        _ => Err(Failure::silent(EXIT_REFUSED)),
    }
}

fn decide(settings: &Settings, test: &Test, at: i64) -> Result<Answer, Failure> {
    let identity = identity(settings, test)?;
    let target = settings.targets.iter().find(|target| target.name == test.target);
    let target = target.ok_or_else(|| {
        unknown("target", &test.target, settings.targets.iter().map(|target| target.name.as_str()))
    })?;
    // No target is asked: neither what it has of its own nor what belongs together is known here.
    let (action, unread) = action(target, test)?;
    // As the session machine chooses it.
    let asked = test.role.as_ref().unwrap_or(&identity.user);
    let Ok(credential) = role::credential(&target.credentials, &identity, asked) else {
        let detail = match &test.role {
            None => format!("no credential of {} is for this user's groups", target.name),
            Some(role) => format!("the role {role} of {} is not for these groups", target.name),
        };
        let (rule, role, unread, note, rules, statements) = Default::default();
        return Ok(Answer { verdict: "deny", rule, detail, role, unread, note, rules, statements });
    };
    let who = Who {
        identity: &identity,
        target: &target.name,
        role: &credential.role,
        source: test.from,
        wall_us: at,
    };
    let rules = Rules::compile(&settings.rules);
    let objects = action.acts.iter().any(|act| !act.objects.is_empty());
    let minded = rules.scope(&who).minds_objects();
    let note =
        if target.protocol == Protocol::Postgres && objects && minded { UNASKED } else { "" };
    let explanation = rules.explain(&who, &action);
    if target.protocol == Protocol::Http
        && let Some(label) = asked::unclear_path(&test.text)
        && is_for_path(&rules, &who, &action, target)
    {
        let detail =
            format!("answered 400 before any rule: servers read this path differently ({label})");
        let (rule, unread, note, rules, statements) = Default::default();
        let role = credential.role.clone();
        return Ok(Answer { verdict: "deny", rule, detail, role, unread, note, rules, statements });
    }
    Ok(Answer {
        verdict: explanation.verdict,
        rule: explanation.rule.to_string(),
        detail: explanation.detail,
        role: credential.role.clone(),
        unread: unread.unwrap_or_default(),
        note,
        rules: explanation.matched,
        statements: explanation.acts.into_iter().map(Part::from).collect(),
    })
}

/// Whether a path that may mean anything is why a request does not pass, as the session machine
/// finds out: where it stands behind a path of the address, or where rules mind paths.
fn is_for_path(rules: &Rules, who: &Who<'_>, action: &Action, target: &Target) -> bool {
    let is_behind = target.http.as_ref().is_some_and(|http| http.path.len() > 1);
    let (with, without) =
        (rules.explain(who, action), rules.explain(who, &http::without_path(action)));
    is_behind
        || (with.verdict != "allow" && (with.verdict, with.rule) != (without.verdict, without.rule))
}

/// What the text is at a target, and why it is not understood.
fn action(target: &Target, test: &Test) -> Result<(Action, Option<String>), Failure> {
    match (target.protocol, test.request) {
        (Protocol::Postgres, None) => {
            let classified = Classifier::new().classify(test.text.as_bytes());
            Ok((classified.action.clone(), why_unread(test.text.as_bytes())))
        }
        (Protocol::Ssh, request) => {
            let request = request.unwrap_or(Request::Exec);
            Ok((asked::of_ssh(request, &test.text)?, None))
        }
        (_, Some(_)) => Err(Failure::new(EXIT_USAGE, "--request is for targets of SSH")),
        (Protocol::Kubernetes, None) => Ok((asked::of_cluster(&target.name, &test.text)?, None)),
        (Protocol::Http, None) => {
            let http = target.http.as_ref();
            let is_mcp = http.is_some_and(|http| http.speaks == Speaks::Mcp);
            let exceptions = http.map_or(&[][..], |http| &http.exceptions);
            Ok((asked::of_http((is_mcp, exceptions), &test.text)?, None))
        }
    }
}

impl From<Judgement> for Part {
    fn from(judgement: Judgement) -> Part {
        let tried = judgement.rules.into_iter().map(|tried| Tried {
            rule: tried.rule.to_string(),
            effect: tried.effect,
            matches: tried.speaks.is_ok(),
            why_not: tried.speaks.err().unwrap_or_default(),
        });
        Part {
            operation: judgement.operation,
            classes: judgement.classes,
            objects: judgement.objects,
            causes: judgement.causes,
            rules: tried.collect(),
        }
    }
}

fn tell(out: &mut Output, answer: &Answer) -> std::io::Result<()> {
    for (index, part) in answer.statements.iter().enumerate() {
        let number = index + 1;
        let mut line =
            format!("statement {number}: {}, class {}", part.operation, part.classes.join(", "));
        if !part.objects.is_empty() {
            line.push_str(&format!(", touches {}", part.objects.join(", ")));
        }
        out.line(&clean(&line))?;
        for cause in &part.causes {
            out.line(&clean(&format!("  because of {cause}")))?;
        }
        let mut table = Table::new(["RULE", "EFFECT", "MATCHES"]).indented(2);
        for tried in &part.rules {
            let matches = if tried.matches { "yes" } else { "no: " };
            let matches = format!("{matches}{}", tried.why_not);
            table.row([tried.rule.clone(), tried.effect.to_owned(), matches]);
        }
        if !table.is_empty() {
            out.table(&table)?;
        }
    }
    if !answer.unread.is_empty() {
        out.line(&clean(&format!("the text is not understood: {}", answer.unread)))?;
    }
    if !answer.note.is_empty() {
        out.line(answer.note)?;
    }
    if !answer.role.is_empty() {
        out.line(&format!("role: {}", answer.role))?;
    }
    let rule = if answer.rule.is_empty() { "no rule" } else { &answer.rule };
    out.line(&format!("verdict: {}, by {rule}", answer.verdict))?;
    if !answer.detail.is_empty() {
        out.line(&clean(&answer.detail))?;
    }
    Ok(())
}

const UNASKED: &str = "note: no target was asked. Partitions, parents, views, indexes and what \
                       CASCADE takes are not known here; denials and holds with touches mean them";

/// A user of the configuration, or somebody whom it learns of by a token or a certificate only.
fn identity(settings: &Settings, test: &Test) -> Result<Identity, Failure> {
    let user = settings.users.iter().find(|user| user.name == test.user);
    let from_outside = !settings.issuers.is_empty()
        || !settings.certificates.is_empty()
        || !settings.ssh_authorities.is_empty();
    match user {
        Some(_) if !test.groups.is_empty() || test.role.is_some() => {
            let message =
                format!("{} is a user of the configuration, which says it all", test.user);
            Err(Failure::new(EXIT_USAGE, message).hint("leave out --groups and --role"))
        }
        Some(user) => Ok(Identity {
            user: user.name.clone(),
            groups: user.groups.clone(),
            method: Method::Scram,
        }),
        None if from_outside => Ok(Identity {
            user: test.user.clone(),
            groups: test.groups.clone(),
            method: Method::Oidc,
        }),
        None => {
            let users = settings.users.iter().map(|user| user.name.as_str());
            Err(unknown("user", &test.user, users))
        }
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<_> = known.collect();
    Failure::new(EXIT_NOT_FOUND, format!("the configuration has no {what} {name}"))
        .hint(format!("it has: {}", known.join(", ")))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
