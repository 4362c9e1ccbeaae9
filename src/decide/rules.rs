//! The rule table.
//!
//! In: who asks, an action. Out: a `Verdict`. Never: an allowance by silence: what no rule
//! matches is denied.
//!
//! An act (a statement, a request) has classes. A deny or hold rule matches it by any of them; to
//! be allowed, each of them has to be allowed by a rule that matches, or held by one: people who
//! approve see all classes. Deny beats hold beats allow. All acts of a command run together or not
//! at all: any denial denies the command, else any hold holds it, and **all** holds that matched
//! are asked for, each with its own approvers and quorum. What a rule matches:
//!
//! | key of `when` | matches | empty list |
//! |---|---|---|
//! | `users`, `targets`, `roles` | one of the names, exactly | everything |
//! | `groups` | a group of the identity | everything |
//! | `sources` | the client's address is in one of the networks | everything |
//! | `hours_utc` | the time of day | always |
//! | `commands` | classes, see `decide::class` | all; to allow, without those that must be named |
//! | `touches` | objects, see below | everything |
//! | those of `FactKind` (`methods`, `paths`, `settings`, ...) | facts, see below | everything |
//!
//! **What follows any allow.** A rule that may allow anything to an identity at a target allows
//! the classes that follow too (`transaction` of SQL), whatever its `commands`, `touches` and hours
//! are: BEGIN and COMMIT by themselves touch nothing, and nobody could use a driver otherwise. A
//! deny or hold rule that names such a class still applies.
//!
//! **What must be named.** A stream of changes carries every table, past all masks and classes; a
//! tunnel goes past the record. A rule allows such a class only by naming it in its `commands`.
//!
//! **Touches.** A deny or hold rule matches when one object may be meant: an object without a
//! schema is taken to be in any schema. An allow rule matches only when every object is meant: an
//! object without a schema is taken to be in `public` (in `pg_catalog` if it begins with `pg_`),
//! and an act that names no object does not match. A session that has set `search_path` says where
//! its names may be before it asks; what a role's own setting is nobody knows here. What an act
//! reaches without naming it (`Act::kin`: partitions, parents, what a view reads, as the target
//! says) is meant by a deny or hold rule, too; an allow rule does not look at it, so that a view
//! may be allowed without its tables.
//!
//! **Facts** are what a protocol adds. An act has none, one or several of a kind (two settings, the
//! methods of a batch), or one that is unclear (what a shell makes of a text):
//!
//! | the act has | allow | deny, hold |
//! |---|---|---|
//! | values, all of which match | matches | matches |
//! | values, some of which match | does not | matches |
//! | one that is unclear | does not | matches |
//! | one that is all there are (a list of all namespaces) | by the pattern `*` | matches |
//! | one that it may be too (an apply may create) | is not looked at | matches if it does |
//! | one that a server may take it for (`/A/` for `/a`) | is not looked at | matches if it does |
//! | all that lies below a path | by a pattern that matches all of it | matches if one may |
//! | values, none of which match | does not | does not |
//! | none | does not | does not |
//!
//! **Empty commands** (`;`, a comment) do nothing; they are allowed if any rule may allow this
//! identity anything at this target.

mod explain;
mod pattern;
mod rule;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::rc::Rc;

use super::{
    Act, Action, ClassSet, FactKind, HoldPart, HoldTerms, Matched, Object, Permit, Policy, Reason,
    Verdict,
};
use crate::config::settings::RuleSpec;
use crate::identify::Identity;
use crate::wire::Protocol;
use rule::{Rule, Then};

pub use explain::{Explanation, Judgement, Tried};

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
    version: Rc<str>,
}

/// The rules that can match one session: identity, target, role and source do not change in it, so
/// that a command looks at classes, objects, facts and the time only.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    rules: Vec<Rc<Rule>>,
    policy: Rc<Policy>,
    /// A rule denies or holds by what is touched.
    minds_objects: bool,
}

impl Rules {
    /// Compiles the rules of the configuration.
    pub fn compile(specs: &[RuleSpec]) -> Rules {
        let rules = specs.iter().map(|spec| Rc::new(Rule::compile(spec))).collect();
        Rules { rules, version: Rc::default() }
    }

    /// Gives them the name that the record has for them.
    pub fn known_as(mut self, version: &Rc<str>) -> Rules {
        self.version = Rc::clone(version);
        self
    }

    /// Whether a rule denies or holds what touches this object.
    pub fn minds(&self, object: &Object) -> bool {
        self.rules.iter().any(|rule| rule.minds(object))
    }

    /// The rules for one session. The time in `who` does not matter here.
    pub fn scope(&self, who: &Who<'_>) -> Scope {
        let matching = self.rules.iter().filter(|rule| rule.mismatch(who).is_none());
        let rules: Vec<Rc<Rule>> = matching.cloned().collect();
        let names = rules.iter().map(|rule| Rc::clone(&rule.name)).collect();
        let version = Rc::clone(&self.version);
        let minds_objects = rules.iter().any(|rule| rule.minds_objects());
        Scope { policy: Rc::new(Policy { version, names }), rules, minds_objects }
    }

    /// Decides a command; for a session, `scope` does most of the work once.
    pub fn decide(&self, who: &Who<'_>, action: &Action) -> Verdict {
        self.scope(who).decide(who, action)
    }

    /// Decides what is known by its class only.
    pub fn decide_class(
        &self,
        who: &Who<'_>,
        protocol: Protocol,
        class: impl Into<ClassSet>,
    ) -> Verdict {
        self.scope(who).decide_class(who, protocol, class)
    }
}

/// Whether an act meets conditions on facts as a deny would: what may be meant is. For masks.
pub fn meets(facts: &[(FactKind, Vec<String>)], act: &Act) -> bool {
    facts.iter().all(|(kind, patterns)| rule::says(act, *kind, patterns, false))
}

/// What was found out about a command so far.
struct Finding {
    matched: Matched,
    /// Why it is denied: the first act that is.
    denied: Option<Denied>,
    /// Rules that hold it, in the order they were found.
    holds: Vec<usize>,
}

enum Denied {
    ByRule(usize, ClassSet, Option<String>),
    NotAllowed(ClassSet),
}

impl Scope {
    /// Decides a command of a session; `who` is the one that the scope was made for, at the present
    /// time.
    pub fn decide(&self, who: &Who<'_>, action: &Action) -> Verdict {
        self.decide_acts(who, action.protocol, &action.acts)
    }

    /// Decides what is known by its class only: a function call, a replication connection.
    pub fn decide_class(
        &self,
        who: &Who<'_>,
        protocol: Protocol,
        class: impl Into<ClassSet>,
    ) -> Verdict {
        self.decide_acts(who, protocol, &[Act::of(class, "")])
    }

    /// Whether a rule asks for facts of a kind, whatever it says then.
    pub fn asks(&self, kind: FactKind) -> bool {
        self.rules.iter().any(|rule| rule.asks(kind))
    }

    /// Whether a rule denies or holds by what is touched.
    pub fn minds_objects(&self) -> bool {
        self.minds_objects
    }

    /// Whether an act may pass, or be asked for, if facts of one kind, which are not known yet,
    /// turn out well: what is offered to choose from.
    pub fn offers(&self, who: &Who<'_>, protocol: Protocol, act: &Act, open: FactKind) -> bool {
        let mut covered = ClassSet::NONE;
        for rule in &self.rules {
            let Ok(classes) = rule.matches_with(who, (protocol, act), Some(open)) else { continue };
            match rule.then {
                Then::Allow | Then::Hold(_) => covered = covered.and(classes),
                Then::Deny(_) if rule.asks(open) => {}
                Then::Deny(_) => return false,
            }
        }
        act.classes.without(covered).is_empty()
    }

    /// Whether a rule may allow or hold a class, whatever else it asks for: a login is good for
    /// nothing else.
    pub fn may_permit(&self, protocol: Protocol, class: impl Into<ClassSet>) -> bool {
        let class = class.into();
        self.rules.iter().any(|rule| rule.may_permit(protocol, class))
    }

    /// Whether a rule that asks for facts of this kind denies or holds an act.
    pub fn guards(&self, who: &Who<'_>, (protocol, act): (Protocol, &Act), kind: FactKind) -> bool {
        let speaks = |rule: &Rc<Rule>| rule.asks(kind) && rule.matches(who, protocol, act).is_ok();
        let mut against = self.rules.iter().filter(|rule| !matches!(rule.then, Then::Allow));
        against.any(speaks)
    }

    fn decide_acts(&self, who: &Who<'_>, protocol: Protocol, acts: &[Act]) -> Verdict {
        if acts.is_empty() {
            return self.decide_empty(who, protocol);
        }
        let mut finding =
            Finding { matched: Matched::none(&self.policy), denied: None, holds: Vec::new() };
        for act in acts {
            self.judge(who, protocol, act, &mut finding);
        }
        let Finding { mut matched, denied, mut holds } = finding;
        match denied {
            Some(denied) => Verdict::Deny(self.reason(who, protocol, denied, matched)),
            None if !holds.is_empty() => {
                holds.sort_unstable();
                matched.first = holds.first().copied();
                let rules = holds.iter().filter_map(|&rule| self.rules.get(rule));
                let parts: Vec<Rc<HoldPart>> = rules.filter_map(|rule| rule.part()).collect();
                Verdict::Hold(HoldTerms { parts, matched })
            }
            None => Verdict::Allow(Permit::new(), matched),
        }
    }

    /// One act against every rule.
    fn judge(&self, who: &Who<'_>, protocol: Protocol, act: &Act, finding: &mut Finding) {
        let mut covered = ClassSet::NONE;
        let mut denied = None;
        for (index, rule) in self.rules.iter().enumerate() {
            let Ok(classes) = rule.matches(who, protocol, act) else { continue };
            finding.matched.add(index);
            match rule.then {
                Then::Allow => {
                    covered = covered.and(classes);
                    let first = finding.matched.first.get_or_insert(index);
                    *first = index.min(*first);
                }
                Then::Hold(_) => {
                    covered = covered.and(classes);
                    if !finding.holds.contains(&index) {
                        finding.holds.push(index);
                    }
                }
                Then::Deny(_) if denied.is_none() => {
                    let reached = rule.reached(act).map(|kin| kin.words());
                    denied = Some(Denied::ByRule(index, classes, reached));
                }
                Then::Deny(_) => {}
            }
        }
        let left = act.classes.without(covered);
        if denied.is_none() && (!left.is_empty() || act.classes.is_empty()) {
            denied = Some(Denied::NotAllowed(left));
        }
        if finding.denied.is_none() {
            finding.denied = denied;
        }
    }

    fn reason(
        &self,
        who: &Who<'_>,
        protocol: Protocol,
        denied: Denied,
        mut matched: Matched,
    ) -> Reason {
        let (rule, classes, reached) = match denied {
            Denied::ByRule(index, classes, reached) => {
                (self.rules.get(index).map(|rule| (index, rule)), classes, reached)
            }
            Denied::NotAllowed(classes) => (None, classes, None),
        };
        let Some((index, rule)) = rule else {
            matched.first = None;
            return nothing_matched(who, &quoted(classes, protocol), matched);
        };
        matched.first = Some(index);
        let mut message = match &rule.then {
            Then::Deny(Some(message)) => message.clone(),
            _ => format!("rule \"{}\" denies {}", rule.name, quoted(classes, protocol)),
        };
        if let Some(reached) = reached {
            message.push_str(&format!(" (this reaches {reached})"));
        }
        Reason { rule: Rc::clone(&rule.name), message, matched }
    }

    fn decide_empty(&self, who: &Who<'_>, protocol: Protocol) -> Verdict {
        let mut matched = Matched::none(&self.policy);
        let allows = |rule: &Rc<Rule>| rule.may_allow(protocol);
        match self.rules.iter().position(allows) {
            Some(index) => {
                matched.add(index);
                matched.first = Some(index);
                Verdict::Allow(Permit::new(), matched)
            }
            None => Verdict::Deny(nothing_matched(who, "an empty command", matched)),
        }
    }
}

/// Classes as a sentence names them.
fn quoted(classes: ClassSet, protocol: Protocol) -> String {
    let names: Vec<String> = classes.names(protocol).map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "a command of no class".to_owned(),
        names => names.join(", "),
    }
}

/// The sentence for the person whose command no rule allows.
fn nothing_matched(who: &Who<'_>, what: &str, matched: Matched) -> Reason {
    let (user, target) = (&who.identity.user, who.target);
    Reason {
        rule: "".into(),
        message: format!(
            "no rule allows {what} to user \"{user}\" at target \"{target}\"; \
             `weir policy test` shows which rules were tried"
        ),
        matched,
    }
}
