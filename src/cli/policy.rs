//! `weir policy test`: what the rules say about a command, without running it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::fail::{EXIT_HELD, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE, Failure};
use super::output::{Output, Table, clean};
use crate::admin::clock;
use crate::config::settings::Settings;
use crate::decide::kubernetes::content::Content;
use crate::decide::kubernetes::understand;
use crate::decide::rules::{Judgement, Who};
use crate::decide::sql::classify::why_unread;
use crate::decide::{Action, Classifier, Rules};
use crate::identify::{Identity, Method, role};
use crate::wire::Protocol;
use crate::wire::kubernetes::request::Request;

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
    /// The command: SQL; for a cluster a method and a path, `GET /api/v1/pods`
    sql: String,
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
    let identity = identity(settings, test)?;
    let target = settings.targets.iter().find(|target| target.name == test.target);
    let target = target.ok_or_else(|| {
        unknown("target", &test.target, settings.targets.iter().map(|target| target.name.as_str()))
    })?;
    // No target is asked: what it has of its own is not known here.
    let (action, unread) = match target.protocol {
        Protocol::Kubernetes => (request(&test.sql)?, None),
        _ => {
            let classified = Classifier::new().classify(test.sql.as_bytes());
            (classified.action.clone(), why_unread(test.sql.as_bytes()))
        }
    };
    // As the session machine chooses it.
    let asked = test.role.as_ref().unwrap_or(&identity.user);
    let Ok(credential) = role::credential(&target.credentials, &identity, asked) else {
        let detail = match &test.role {
            None => format!("no credential of {} is for this user's groups", target.name),
            Some(role) => format!("the role {role} of {} is not for these groups", target.name),
        };
        let (rule, role, unread, rules, statements) = Default::default();
        return Ok(Answer { verdict: "deny", rule, detail, role, unread, rules, statements });
    };
    let who = Who {
        identity: &identity,
        target: &target.name,
        role: &credential.role,
        source: test.from,
        wall_us: at,
    };
    let explanation = Rules::compile(&settings.rules).explain(&who, &action);
    Ok(Answer {
        verdict: explanation.verdict,
        rule: explanation.rule.to_string(),
        detail: explanation.detail,
        role: credential.role.clone(),
        unread: unread.unwrap_or_default(),
        rules: explanation.matched,
        statements: explanation.acts.into_iter().map(Part::from).collect(),
    })
}

/// A request to a cluster: `DELETE /api/v1/namespaces/prod/pods/web-0`, and the JSON of its body in
/// a line of its own. Without one a body may be anything.
fn request(text: &str) -> Result<Action, Failure> {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = line.trim().split_once(' ').unwrap_or((line, ""));
    let fault = |what: String| {
        Failure::new(EXIT_USAGE, what)
            .hint("a request to a cluster is a method and a path: GET /api/v1/namespaces/app/pods")
    };
    let request = Request::read(method.as_bytes(), path.trim().as_bytes())
        .map_err(|refused| fault(format!("no cluster would be asked this: {refused}")))?;
    let content = match (body.trim(), method) {
        ("", "POST" | "PUT" | "PATCH") => Content::Opaque,
        (body, _) => Content::read(None, body.as_bytes())
            .map_err(|unreadable| fault(unreadable.words().to_owned()))?,
    };
    understand(&request, &content, false)
        .map(|understood| understood.action)
        .map_err(|refused| fault(format!("no cluster would be asked this: {refused}")))
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

/// A user of the configuration, or somebody whom it learns of by a token or a certificate only.
fn identity(settings: &Settings, test: &Test) -> Result<Identity, Failure> {
    let user = settings.users.iter().find(|user| user.name == test.user);
    let from_outside = !settings.issuers.is_empty() || !settings.certificates.is_empty();
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
mod tests {
    use super::*;

    #[test]
    fn a_request_to_a_cluster_is_a_method_a_path_and_a_body() {
        fn check(text: &str, classes: &[&str]) {
            let action = request(text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(action.classes, classes, "{text}");
        }
        check("GET /api/v1/namespaces/app/pods", &["read"]);
        check("DELETE /api/v1/namespaces/app/pods/web-0", &["delete"]);
        check("GET /api/v1/namespaces/app/pods/web-0/exec?command=id", &["exec"]);
        check("POST /api/v1/namespaces/app/pods", &["write", "workload", "workload-privileged"]);
        check("POST /api/v1/namespaces/app/pods\n{\"spec\":{}}", &["write", "workload"]);
        for wrong in ["SELECT 1", "GET", "GET /api/v1/../x", "POST /api/v1/nodes\n{"] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
    }
}
