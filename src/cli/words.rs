//! A configuration in sentences, for `weir check`.
//!
//! In: settings. Out: text. Never: a secret.

use crate::config::settings::{
    Capture, Durability, Effect, Host, Issuer, MaskSpec, Reach, RuleSpec, SessionAttrs, Speaks,
    Target, TargetTls, TokenLogin, Webhook, WebhookContent,
};
use crate::limits;
use crate::wire::Protocol;

/// What a target is.
pub fn target(target: &Target) -> String {
    let tls = match target.tls {
        TargetTls::Disable => "in clear",
        TargetTls::Prefer => "with TLS if it offers it, unverified",
        TargetTls::Require => "with TLS, unverified",
        TargetTls::VerifyCa => "with TLS, its chain verified",
        TargetTls::VerifyFull => "with TLS, chain and name verified",
    };
    let durability = match target.durability {
        Durability::Sync => "a command is forwarded when its record is on the disk",
        Durability::Write => "a command is forwarded when the kernel has its record",
    };
    let capture = match target.capture {
        Capture::Summary => "of answers only counts and outcome are kept".to_owned(),
        Capture::Head(bytes) => format!("the first {bytes} bytes of each answer are kept"),
        Capture::Full => "answers are kept whole".to_owned(),
    };
    let credentials: Vec<String> = target
        .credentials
        .iter()
        .map(|credential| match credential.groups.as_slice() {
            [] => format!("{} for everybody", credential.role),
            groups => format!("{} for {}", credential.role, groups.join(", ")),
        })
        .collect();
    let servers = servers(&target.reach);
    let what = match target.protocol {
        Protocol::Postgres => format!("database {} at {servers} {tls}", target.database),
        Protocol::Http => match target.http.as_ref().map(|http| http.speaks) {
            Some(Speaks::Mcp) => format!("MCP server at {servers} {tls}"),
            _ => format!("HTTP service at {servers} {tls}"),
        },
        Protocol::Kubernetes => format!("Kubernetes cluster at {servers} {tls}"),
        Protocol::Ssh => format!("host at {servers} by SSH, known by its key"),
    };
    let roles = match target.credentials.iter().all(|credential| credential.role.is_empty()) {
        true => "requests go on without a credential of weir's".to_owned(),
        false => format!("roles: {}", credentials.join("; ")),
    };
    format!("target {}: {what}; {durability}; {capture}; {roles}", target.name)
}

/// Who is told of commands that wait, and of how much of them.
pub fn webhook(webhook: &Webhook) -> String {
    let told = match webhook.content {
        WebhookContent::None => "that a command waits, and nothing of it",
        WebhookContent::Shape => "of a command that waits who, where, its classes and the rule",
        WebhookContent::Text => "of a command that waits also its text, shortened",
    };
    format!("webhook {}: is told {told}", webhook.name)
}

/// Identities that are one person.
pub fn person(identities: &[String]) -> String {
    format!("{} are one person: none of them answers another", identities.join(" and "))
}

/// What a power cut may take.
pub fn flush(flush_us: u64) -> String {
    format!(
        "a power cut takes at most the last {} ms or {} MiB of what targets with durability write \
         record",
        flush_us / 1_000,
        limits::FLUSH_BYTES >> 20
    )
}

fn servers(reach: &Reach) -> String {
    let hosts: Vec<String> = reach.hosts.iter().map(Host::to_string).collect();
    let order = match (hosts.len(), reach.shuffled) {
        (1, _) => String::new(),
        (_, true) => ", in any order".to_owned(),
        (_, false) => ", in this order".to_owned(),
    };
    let attrs = match reach.attrs {
        SessionAttrs::Any => String::new(),
        attrs => format!(", only {}", attrs.name()).replace("only prefer-", "rather a "),
    };
    format!("{}{order}{attrs}", hosts.join(" or "))
}

/// Whose tokens are taken, and how.
pub fn issuer(issuer: &Issuer) -> String {
    let policy = &issuer.policy;
    let asked = match issuer.login {
        TokenLogin::Password => "as the password",
        TokenLogin::OauthBearer => "by OAUTHBEARER",
    };
    format!(
        "issuer {}: tokens for {} are taken {asked}; the name is {}, the groups are {}",
        policy.issuer, policy.audience, policy.username_claim, policy.groups_claim
    )
}

/// What a rule does.
pub fn rule(rule: &RuleSpec) -> String {
    let mut conditions = Vec::new();
    let mut add = |words: &str, list: &[String]| {
        if !list.is_empty() {
            conditions.push(format!("{words} {}", list.join(" or ")));
        }
    };
    add("the user is", &rule.users);
    add("the user is in group", &rule.groups);
    add("the target is", &rule.targets);
    add("the role is", &rule.roles);
    let sources: Vec<String> = rule
        .sources
        .iter()
        .map(|network| format!("{}/{}", network.address, network.prefix))
        .collect();
    add("the client comes from", &sources);
    add("the command is of class", rule.commands.words());
    add("it touches", &rule.touches);
    for (kind, patterns) in &rule.facts {
        add(&format!("{} are", kind.key()), patterns);
    }
    if let Some((from, until)) = rule.minutes_utc {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        conditions.push(format!("it is between {} and {} UTC", clock(from), clock(until)));
    }
    let effect = match &rule.then {
        Effect::Allow => "allow".to_owned(),
        Effect::Deny(None) => "deny".to_owned(),
        Effect::Deny(Some(text)) => format!("deny, saying: {text}"),
        Effect::Hold { approvers, quorum, timeout_us } => format!(
            "hold up to {} s for {quorum} of {}",
            timeout_us / 1_000_000,
            approvers.join(", ")
        ),
    };
    match conditions.as_slice() {
        [] => format!("rule {}: always {effect}", rule.name),
        _ => format!("rule {}: when {}: {effect}", rule.name, conditions.join(" and ")),
    }
}

/// What a mask hides.
pub fn mask(mask: &MaskSpec) -> String {
    let operator = format!("{:?}", mask.operator).to_lowercase();
    let objects =
        mask.objects.iter().map(|(kind, words)| format!("{} {}", kind.key(), words.join(", ")));
    let objects: Vec<String> = objects.collect();
    let what = match (mask.columns.as_slice(), mask.detect.as_slice()) {
        _ if !objects.is_empty() && mask.paths.is_empty() => objects.join(", "),
        _ if !objects.is_empty() => format!("{} of {}", mask.paths.join(", "), objects.join(", ")),
        ([], []) => format!("paths {}", mask.paths.join(", ")),
        ([], detectors) => format!("what looks like {}", detectors.join(", ")),
        (columns, []) => format!("columns {}", columns.join(", ")),
        (columns, detectors) => {
            format!("columns {} and what looks like {}", columns.join(", "), detectors.join(", "))
        }
    };
    let mut text = format!("mask: {what}: {operator}");
    if !mask.targets.is_empty() {
        text.push_str(&format!(", at {}", mask.targets.join(", ")));
    }
    if !mask.except_groups.is_empty() {
        text.push_str(&format!(", except for {}", mask.except_groups.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Commands;

    fn empty(then: Effect) -> RuleSpec {
        RuleSpec {
            name: "r".into(),
            users: vec![],
            groups: vec![],
            targets: vec![],
            roles: vec![],
            sources: vec![],
            commands: Commands::default(),
            touches: vec![],
            facts: vec![],
            minutes_utc: None,
            then,
        }
    }

    #[test]
    fn rules_read_as_sentences() {
        assert_eq!(rule(&empty(Effect::Allow)), "rule r: always allow");
        let mut commands = Commands::default();
        commands.add("ddl").unwrap();
        let held = RuleSpec {
            groups: vec!["agents".into(), "bots".into()],
            commands,
            minutes_utc: Some((540, 1_050)),
            ..empty(Effect::Hold {
                approvers: vec!["dba".into()],
                quorum: 2,
                timeout_us: 60_000_000,
            })
        };
        assert_eq!(
            rule(&held),
            "rule r: when the user is in group agents or bots and the command is of class ddl \
             and it is between 09:00 and 17:30 UTC: hold up to 60 s for 2 of dba"
        );
    }
}
