//! Statements and what they are, in `catalog/ordinary.txt` and `catalog/other.txt`.

use super::*;
use crate::config::settings::{Effect as Then, RuleSpec};
use crate::decide::rules::Who;
use crate::decide::{Commands, Rules, Verdict};
use crate::identify::{Identity, Method};
use crate::wire::Protocol;

const ORDINARY: &str = include_str!("catalog/ordinary.txt");
const OTHER: &str = include_str!("catalog/other.txt");

/// Classes and statement of each entry; a line that begins with blanks goes on with the one before.
fn lines(table: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(more) = line.strip_prefix("  ") {
            let (_, text) = entries.last_mut().expect("a line to go on with");
            text.push(' ');
            text.push_str(more);
        } else {
            let (classes, text) = line.split_once('|').expect("classes | statement");
            entries.push((classes.to_owned(), text.to_owned()));
        }
    }
    entries
}

#[test]
fn statements_are_what_the_tables_say() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (expect, text) in lines(ORDINARY).into_iter().chain(lines(OTHER)) {
        count += 1;
        let action = classify_uncached(text.as_bytes()).action;
        let classes = action.acts.iter().map(|act| act.classes.words(Protocol::Postgres));
        let found = classes.collect::<Vec<_>>().join("; ");
        if found != expect {
            wrong.push(format!("{found} instead of {expect}: {text} {:?}", action.acts));
        }
        let cached = Classifier::new().classify(text.as_bytes());
        assert_eq!(cached.action, action, "{text}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 300, "{count}");
}

/// The rule of README's example that lets agents do anything.
#[test]
fn the_example_rules_allow_ordinary_work_and_nothing_else() {
    let mut commands = Commands::default();
    for word in ["read", "session", "transaction"] {
        commands.add(word).unwrap();
    }
    let rule = RuleSpec {
        name: "agents read".to_owned(),
        users: Vec::new(),
        groups: Vec::new(),
        targets: Vec::new(),
        roles: Vec::new(),
        sources: Vec::new(),
        commands,
        touches: Vec::new(),
        facts: Vec::new(),
        minutes_utc: None,
        then: Then::Allow,
    };
    let rules = Rules::compile(&[rule]);
    let user = "ci-bot".to_owned();
    let identity = Identity { user, groups: Vec::new(), method: Method::Scram };
    let source = "10.1.2.3".parse().unwrap();
    let who = Who { identity: &identity, target: "orders", role: "app", source, wall_us: 0 };
    let allowed = |text: &str| {
        let verdict = rules.decide(&who, &classify_uncached(text.as_bytes()).action);
        matches!(verdict, Verdict::Allow(..))
    };
    for (_, text) in lines(ORDINARY) {
        assert!(allowed(&text), "{text}");
    }
    for (_, text) in lines(OTHER) {
        assert!(!allowed(&text), "{text}");
    }
}
