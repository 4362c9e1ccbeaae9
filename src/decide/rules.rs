//! The rule table.
//!
//! In: who asks, classified statements. Out: a `Verdict`. Never: an allowance by silence: a
//! statement that no rule matches is denied.
//!
//! Per statement, deny beats hold beats allow; of two holds the one with the larger quorum counts.
//! Per command (all statements of one text), any denial denies, else any hold holds, else it is
//! allowed; two holds are answered together, by groups that may approve both, or denied if there
//! are none. What a rule matches:
//!
//! | key of `when` | matches | empty list |
//! |---|---|---|
//! | `users`, `targets`, `roles` | one of the names, exactly | everything |
//! | `groups` | a group of the identity | everything |
//! | `sources` | the client's address is in one of the networks | everything |
//! | `hours_utc` | the time of day | always |
//! | `commands` | one of the classes; see `transaction` below | all classes; see `replication` |
//! | `touches` | objects, see below | everything |
//!
//! **Transactions.** A rule that allows anything to an identity at a target allows `transaction`
//! too, whatever its `commands`, `touches` and hours are: BEGIN and COMMIT by themselves touch
//! nothing, and nobody could use a driver otherwise. A deny or hold rule that names `transaction`
//! still applies. `session` (SET, SHOW, ...) does not follow: it has to be named, or `commands`
//! left out.
//!
//! **Replication.** A stream of changes carries every table, past all masks and classes. A rule
//! allows it only by naming `replication` in its `commands`.
//!
//! **Touches.** A deny or hold rule matches when one object may be meant: an object without a
//! schema is taken to be in any schema. An allow rule matches only when every object is meant: an
//! object without a schema is taken to be in `public` (in `pg_catalog` if it begins with `pg_`),
//! and a statement that names no object does not match. `search_path` can be changed by a session
//! that may run the class `session`; where that matters, do not allow it.
//!
//! **Empty commands** (`;`, a comment) do nothing; they are allowed if any rule allows this
//! identity anything at this target.

mod explain;
mod pattern;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::rc::Rc;

use super::{Class, HoldTerms, Object, Permit, Reason, RuleName, Statement, Verdict};
use crate::config::settings::{self, RuleSpec};
use crate::identify::Identity;
use pattern::{NetworkMask, Touch};

pub use explain::{Explanation, Judgement};

/// Who asks, from where, for which target, when.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The identity.
    pub identity: &'a Identity,
    /// Target name.
    pub target: &'a str,
    /// Role at the target.
    pub role: &'a str,
    /// Address of the client.
    pub source: IpAddr,
    /// UTC microseconds.
    pub wall_us: i64,
}

/// Compiled rules.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rc<Rule>>,
}

/// The rules that can match one session: identity, target, role and source do not change in it, so
/// that a command looks at classes, objects and the time only.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    rules: Vec<Rc<Rule>>,
}

#[derive(Debug)]
struct Rule {
    name: RuleName,
    users: Vec<String>,
    groups: Vec<String>,
    targets: Vec<String>,
    roles: Vec<String>,
    sources: Vec<NetworkMask>,
    /// A bit per class, in the order of `Class::ALL`.
    commands: u32,
    touches: Vec<Touch>,
    minutes_utc: Option<(u16, u16)>,
    then: Effect,
}

/// What a rule does. Terms and texts are shared: a verdict is made per command.
#[derive(Clone, Debug)]
enum Effect {
    Allow,
    Deny(Option<String>),
    Hold(HoldTerms),
}

impl Rules {
    /// Compiles the rules of the configuration.
    pub fn compile(specs: &[RuleSpec]) -> Rules {
        Rules { rules: specs.iter().map(|spec| Rc::new(Rule::compile(spec))).collect() }
    }

    /// The rules for one session. The time in `who` does not matter here.
    pub fn scope(&self, who: &Who<'_>) -> Scope {
        let matching = self.rules.iter().filter(|rule| rule.mismatch(who).is_none());
        Scope { rules: matching.cloned().collect() }
    }

    /// Decides a command: each statement on its own; deny beats hold beats allow; a statement that
    /// no rule matches is denied.
    pub fn decide(&self, who: &Who<'_>, statements: &[Statement]) -> Verdict {
        self.scope(who).decide(who, statements)
    }

    /// Decides what has no statements: a function call, a replication connection, unparsed text.
    pub fn decide_class(&self, who: &Who<'_>, class: Class) -> Verdict {
        self.scope(who).decide_class(who, class)
    }
}

impl Scope {
    /// As `Rules::decide`; `who` is the one that the scope was made for, at the present time.
    pub fn decide(&self, who: &Who<'_>, statements: &[Statement]) -> Verdict {
        let [first, rest @ ..] = statements else { return self.decide_empty(who) };
        let mut verdict = self.decide_part(who, first.class, &first.objects);
        for statement in rest {
            if let Part::Deny(_) = verdict {
                break;
            }
            verdict = verdict.and(self.decide_part(who, statement.class, &statement.objects));
        }
        verdict.verdict()
    }

    /// As `Rules::decide_class`.
    pub fn decide_class(&self, who: &Who<'_>, class: Class) -> Verdict {
        self.decide_part(who, class, &[]).verdict()
    }

    fn decide_empty(&self, who: &Who<'_>) -> Verdict {
        let allow = self.rules.iter().find(|rule| matches!(rule.then, Effect::Allow));
        match allow {
            Some(rule) => Verdict::Allow(Permit::new(), rule.name.clone()),
            None => Part::Deny(nothing_matched(who, "an empty command")).verdict(),
        }
    }

    fn decide_part(&self, who: &Who<'_>, class: Class, objects: &[Object]) -> Part {
        let mut part: Option<Part> = None;
        for rule in &self.rules {
            if rule.misses(who, class, objects).is_some() {
                continue;
            }
            let matched = rule.part(class);
            part = Some(match part {
                Some(earlier) => earlier.or(matched),
                None => matched,
            });
            if let Some(Part::Deny(_)) = part {
                break;
            }
        }
        part.unwrap_or_else(|| Part::Deny(nothing_matched(who, &format!("`{}`", class.name()))))
    }
}

/// The answer for one statement; becomes a verdict at the end, so that a permit is made once.
#[derive(Clone, Debug)]
enum Part {
    Allow(RuleName),
    Hold(HoldTerms),
    Deny(Reason),
}

impl Part {
    fn rank(&self) -> u8 {
        match self {
            Part::Allow(_) => 0,
            Part::Hold(_) => 1,
            Part::Deny(_) => 2,
        }
    }

    /// The answer for two statements of one command: they run together or not at all.
    fn and(self, other: Part) -> Part {
        match (self, other) {
            (Part::Hold(one), Part::Hold(two)) => both_held(one, two),
            (one, two) if two.rank() > one.rank() => two,
            (one, _) => one,
        }
    }

    /// The answer of two rules for one statement: the strongest effect, of two holds the one that
    /// asks for more people, of equals the first of the file.
    fn or(self, other: Part) -> Part {
        match (&self, &other) {
            (Part::Hold(one), Part::Hold(two)) if two.quorum > one.quorum => other,
            _ if other.rank() > self.rank() => other,
            _ => self,
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Part::Allow(rule) => Verdict::Allow(Permit::new(), rule),
            Part::Hold(terms) => Verdict::Hold(terms),
            Part::Deny(reason) => Verdict::Deny(reason),
        }
    }
}

/// Two holds of one command: as many people as the stricter one asks for, of groups that may
/// approve both, within the shorter time. Where no group may approve both, the command is denied:
/// an approval of one statement must not carry the other.
fn both_held(one: HoldTerms, two: HoldTerms) -> Part {
    let may_both = |group: &String| two.approvers.contains(group);
    let approvers: Vec<String> = one.approvers.iter().filter(|g| may_both(g)).cloned().collect();
    if approvers.is_empty() {
        let message = format!(
            "rules \"{}\" and \"{}\" hold statements of this command for different approvers; \
             send the statements one by one",
            one.rule, two.rule
        );
        return Part::Deny(Reason { rule: one.rule, message });
    }
    let quorum = one.quorum.max(two.quorum);
    let timeout_us = one.timeout_us.min(two.timeout_us);
    let rule = if two.quorum > one.quorum { two.rule } else { one.rule };
    Part::Hold(HoldTerms { rule, approvers, quorum, timeout_us })
}

/// The sentence for the person whose command no rule allows.
fn nothing_matched(who: &Who<'_>, what: &str) -> Reason {
    let (user, target) = (&who.identity.user, who.target);
    Reason {
        rule: "".into(),
        message: format!(
            "no rule allows {what} to user \"{user}\" at target \"{target}\"; \
             `weir policy test` shows which rules were tried"
        ),
    }
}

impl Rule {
    fn compile(spec: &RuleSpec) -> Rule {
        let name: RuleName = spec.name.as_str().into();
        let then = match &spec.then {
            settings::Effect::Allow => Effect::Allow,
            settings::Effect::Deny(message) => Effect::Deny(message.clone()),
            settings::Effect::Hold { approvers, quorum, timeout_us } => Effect::Hold(HoldTerms {
                rule: name.clone(),
                approvers: approvers.clone(),
                quorum: (*quorum).max(1),
                timeout_us: *timeout_us,
            }),
        };
        Rule {
            name,
            users: spec.users.clone(),
            groups: spec.groups.clone(),
            targets: spec.targets.clone(),
            roles: spec.roles.clone(),
            sources: spec.sources.iter().map(NetworkMask::new).collect(),
            commands: match spec.commands.as_slice() {
                [] if matches!(spec.then, settings::Effect::Allow) => !bit(Class::Replication),
                [] => u32::MAX,
                classes => classes.iter().fold(0, |bits, class| bits | bit(*class)),
            },
            touches: spec.touches.iter().map(|pattern| Touch::new(pattern)).collect(),
            minutes_utc: spec.minutes_utc,
            then,
        }
    }

    /// Why the rule is not for this session; `None` if it is.
    fn mismatch(&self, who: &Who<'_>) -> Option<Miss> {
        let names = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        if !names(&self.users, &who.identity.user) {
            return Some(Miss::User);
        }
        let member = |group: &String| who.identity.groups.contains(group);
        if !self.groups.is_empty() && !self.groups.iter().any(member) {
            return Some(Miss::Group);
        }
        if !names(&self.targets, who.target) {
            return Some(Miss::Target);
        }
        if !names(&self.roles, who.role) {
            return Some(Miss::Role);
        }
        let within = |network: &NetworkMask| network.contains(who.source);
        if !self.sources.is_empty() && !self.sources.iter().any(within) {
            return Some(Miss::Source);
        }
        None
    }

    /// Why a rule of the session does not match a statement; `None` if it does.
    fn misses(&self, who: &Who<'_>, class: Class, objects: &[Object]) -> Option<Miss> {
        let allows = matches!(self.then, Effect::Allow);
        if allows && class == Class::Transaction {
            return None;
        }
        if self.commands & bit(class) == 0 {
            return Some(Miss::Class);
        }
        if !self.touches.is_empty() {
            let touched = if allows {
                let meant = |object| self.touches.iter().any(|touch| touch.covers(object));
                !objects.is_empty() && objects.iter().all(meant)
            } else {
                let meant = |object| self.touches.iter().any(|touch| touch.meets(object));
                objects.iter().any(meant)
            };
            if !touched {
                return Some(Miss::Touches);
            }
        }
        match self.minutes_utc {
            Some(hours) if !pattern::in_hours(hours, who.wall_us) => Some(Miss::Hours),
            Some(_) | None => None,
        }
    }

    fn part(&self, class: Class) -> Part {
        match &self.then {
            Effect::Allow => Part::Allow(self.name.clone()),
            Effect::Hold(terms) => Part::Hold(terms.clone()),
            Effect::Deny(message) => Part::Deny(Reason {
                rule: self.name.clone(),
                message: match message {
                    Some(message) => message.clone(),
                    None => format!("rule \"{}\" denies `{}`", self.name, class.name()),
                },
            }),
        }
    }
}

/// The part of a rule that does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    User,
    Group,
    Target,
    Role,
    Source,
    Class,
    Touches,
    Hours,
}

fn bit(class: Class) -> u32 {
    let index = Class::ALL.iter().position(|known| *known == class);
    // `ALL` has every class, see the test beside it; none would mean: no rule names it.
    index.map_or(0, |index| 1 << index)
}
