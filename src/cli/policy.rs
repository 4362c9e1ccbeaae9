//! `weir policy test`: what the rules say about a command, without running it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::fail::{EXIT_HELD, EXIT_NOT_FOUND, EXIT_REFUSED, Failure};
use super::output::{Output, clean, duration};
use crate::admin::clock;
use crate::config::settings::{Credential, Settings, Target};
use crate::decide::rules::Who;
use crate::decide::{Classifier, Rules, Verdict};
use crate::identify::Identity;

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
    /// The command text
    sql: String,
    /// User of weir who would send it
    #[arg(long = "as", value_name = "USER")]
    user: String,
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
    reason: String,
    role: String,
    statements: Vec<Part>,
    approvers: Vec<String>,
    quorum: u32,
    timeout_us: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Part {
    class: &'static str,
    operation: String,
    reads: Vec<String>,
    writes: Vec<String>,
}

/// Runs the command. The exit code tells the verdict: 0 allow, 6 deny, 7 hold.
///
/// # Errors
/// The configuration is not valid, or does not know the user or target.
pub fn run(args: &Policy) -> Result<(), Failure> {
    let Act::Test(test) = &args.act;
    let settings = super::load(&test.config)?;
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
    let user = settings.users.iter().find(|user| user.name == test.user).ok_or_else(|| {
        unknown("user", &test.user, settings.users.iter().map(|user| user.name.as_str()))
    })?;
    let target = settings.targets.iter().find(|target| target.name == test.target);
    let target = target.ok_or_else(|| {
        unknown("target", &test.target, settings.targets.iter().map(|target| target.name.as_str()))
    })?;
    let identity =
        Identity { user: user.name.clone(), groups: user.groups.clone(), method: "scram-sha-256" };
    let classified = Classifier::new().classify(test.sql.as_bytes());
    let statements = classified.statements.iter().map(|statement| {
        let objects = |write: bool| {
            let named = statement.objects.iter().filter(move |object| object.write == write);
            named.map(object_name).collect()
        };
        Part {
            class: statement.class.name(),
            operation: statement.operation.clone(),
            reads: objects(false),
            writes: objects(true),
        }
    });
    let mut answer = Answer {
        verdict: "deny",
        rule: String::new(),
        reason: String::new(),
        role: String::new(),
        statements: statements.collect(),
        approvers: Vec::new(),
        quorum: 0,
        timeout_us: 0,
    };
    let Some(credential) = credential(target, &identity) else {
        answer.reason = format!("no credential of {} is for this user's groups", target.name);
        return Ok(answer);
    };
    answer.role.clone_from(&credential.role);
    let who = Who {
        identity: &identity,
        target: &target.name,
        role: &credential.role,
        source: test.from,
        wall_us: at,
    };
    match Rules::compile(&settings.rules).decide(&who, &classified.statements) {
        Verdict::Allow(_, rule) => {
            answer.verdict = "allow";
            answer.rule = rule.to_string();
        }
        Verdict::Deny(reason) => {
            answer.rule = reason.rule.to_string();
            answer.reason = reason.message;
        }
        Verdict::Hold(terms) => {
            answer.verdict = "hold";
            answer.rule = terms.rule.to_string();
            answer.approvers = terms.approvers;
            answer.quorum = terms.quorum;
            answer.timeout_us = terms.timeout_us;
        }
    }
    Ok(answer)
}

fn tell(out: &mut Output, answer: &Answer) -> std::io::Result<()> {
    for (index, part) in answer.statements.iter().enumerate() {
        let number = index + 1;
        let mut line = format!("statement {number}: {} (class {})", part.operation, part.class);
        for (word, objects) in [("reads", &part.reads), ("writes", &part.writes)] {
            if !objects.is_empty() {
                line.push_str(&format!(", {word} {}", objects.join(", ")));
            }
        }
        out.line(&clean(&line))?;
    }
    if !answer.role.is_empty() {
        out.line(&format!("role: {}", answer.role))?;
    }
    let rule = match answer.rule.as_str() {
        "" => "no rule matches".to_owned(),
        rule => format!("rule: {rule}"),
    };
    out.line(&rule)?;
    if !answer.reason.is_empty() {
        out.line(&format!("reason: {}", answer.reason))?;
    }
    if answer.verdict == "hold" {
        let wait = duration(i64::try_from(answer.timeout_us).unwrap_or(i64::MAX));
        let groups = answer.approvers.join(", ");
        out.line(&format!("waits up to {wait} for {} of {groups}", answer.quorum))?;
    }
    out.line(&format!("verdict: {}", answer.verdict))
}

/// The first credential whose groups match, as the session machine chooses it.
fn credential<'t>(target: &'t Target, identity: &Identity) -> Option<&'t Credential> {
    target.credentials.iter().find(|credential| {
        credential.groups.is_empty()
            || credential.groups.iter().any(|group| identity.groups.contains(group))
    })
}

fn object_name(object: &crate::decide::Object) -> String {
    match &object.schema {
        Some(schema) => format!("{schema}.{}", object.name),
        None => object.name.clone(),
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<_> = known.collect();
    Failure::new(EXIT_NOT_FOUND, format!("the configuration has no {what} {name}"))
        .hint(format!("it has: {}", known.join(", ")))
}
