//! Why a command is decided as it is: each statement against each rule.
//!
//! In: who, classified statements. Out: an `Explanation` that prints itself.
//! Never: another answer than `decide` gives; both ask the same functions.

use std::fmt;

use super::super::{Act, Action, RuleName, Verdict};
use super::rule::{Miss, Rule, Then};
use super::{Rules, Who};
use crate::wire::Protocol;

/// The whole answer of `weir policy test`.
#[derive(Debug)]
pub struct Explanation {
    /// Each act in order.
    pub acts: Vec<Judgement>,
    /// `allow`, `deny` or `hold`.
    pub verdict: &'static str,
    /// The rule that decided; empty when none matched.
    pub rule: RuleName,
    /// All rules that matched, in the order of the file.
    pub matched: Vec<String>,
    /// For `deny` the sentence that the client sees, for `hold` its terms.
    pub detail: String,
}

/// One act against every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Statement, request: what the record calls it.
    pub operation: String,
    /// Names of its classes.
    pub classes: Vec<&'static str>,
    /// Objects as `schema.name`.
    pub objects: Vec<String>,
    /// Which name gave which classes: `function pg_sleep: call`.
    pub causes: Vec<String>,
    /// Each rule, in the order of the file.
    pub rules: Vec<Tried>,
}

/// A rule that was tried on an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its name.
    pub rule: RuleName,
    /// `allow`, `deny` or `hold`.
    pub effect: &'static str,
    /// The classes of the act for which it speaks, or why it does not.
    pub speaks: Result<Vec<&'static str>, String>,
}

impl Rules {
    /// Says for each act which rules match, which do not, and why.
    pub fn explain(&self, who: &Who<'_>, action: &Action) -> Explanation {
        let protocol = action.protocol;
        let judgements = action.acts.iter().map(|act| Judgement {
            operation: act.operation.to_string(),
            classes: act.classes.names(protocol).collect(),
            objects: act.objects.iter().map(|object| object.path()).collect(),
            causes: (act.causes.iter())
                .map(|cause| format!("{}: {}", cause.name, cause.classes.words(protocol)))
                .collect(),
            rules: self.rules.iter().map(|rule| rule.judge(who, protocol, act)).collect(),
        });
        let (verdict, rule, matched, detail) = match self.decide(who, action) {
            Verdict::Allow(_, matched) => ("allow", matched.rule(), matched, String::new()),
            Verdict::Deny(reason) => ("deny", reason.rule, reason.matched, reason.message),
            Verdict::Hold(terms) => {
                let seconds = terms.timeout_us() / 1_000_000;
                let detail = format!("{}, within {seconds} s", terms.words());
                ("hold", terms.rule(), terms.matched, detail)
            }
        };
        let matched = matched.names().map(str::to_owned).collect();
        Explanation { acts: judgements.collect(), verdict, rule, matched, detail }
    }
}

impl Rule {
    fn judge(&self, who: &Who<'_>, protocol: Protocol, act: &Act) -> Tried {
        let effect = match self.then {
            Then::Allow => "allow",
            Then::Deny(_) => "deny",
            Then::Hold(_) => "hold",
        };
        let speaks = match self.mismatch(who) {
            Some(miss) => Err(miss),
            None => self.matches(who, protocol, act),
        };
        let speaks = speaks
            .map(|classes| classes.names(protocol).collect())
            .map_err(|miss| self.sentence(miss, who, protocol, act));
        Tried { rule: self.name.clone(), effect, speaks }
    }

    fn sentence(&self, miss: Miss, who: &Who<'_>, protocol: Protocol, act: &Act) -> String {
        let allows = matches!(self.then, Then::Allow);
        match miss {
            Miss::User => format!("user {} is not in users", who.identity.user),
            Miss::Group if who.identity.groups.is_empty() => "the user has no groups".to_owned(),
            Miss::Group => format!("none of {} is in groups", who.identity.groups.join(", ")),
            Miss::Target => format!("target {} is not in targets", who.target),
            Miss::Role => format!("role {} is not in roles", who.role),
            Miss::Source => format!("address {} is in none of sources", who.source),
            Miss::Class => format!("class {} is not in commands", act.classes.words(protocol)),
            Miss::Touches if act.objects.is_empty() => {
                "the command names no object for touches".to_owned()
            }
            Miss::Touches if allows => "not every object is in touches".to_owned(),
            Miss::Touches => "no object is in touches".to_owned(),
            Miss::Fact(kind) => {
                let has = act.facts.iter().any(|fact| fact.kind == kind);
                match (has, allows) {
                    (false, _) => format!("the command has nothing for {}", kind.key()),
                    (true, true) => format!("not all of it is sure to be in {}", kind.key()),
                    (true, false) => format!("nothing of it is in {}", kind.key()),
                }
            }
            Miss::Hours => "it is outside of hours_utc".to_owned(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, act) in self.acts.iter().enumerate() {
            let classes = act.classes.join(", ");
            write!(f, "statement {}: {}, class {classes}", index + 1, act.operation)?;
            if !act.objects.is_empty() {
                write!(f, ", touches {}", act.objects.join(", "))?;
            }
            writeln!(f)?;
            for cause in &act.causes {
                writeln!(f, "  because of {cause}")?;
            }
            for Tried { rule, effect, speaks } in &act.rules {
                match speaks {
                    Ok(_) => writeln!(f, "  {effect} matches: {rule}")?,
                    Err(why) => writeln!(f, "  {effect} does not match: {rule}: {why}")?,
                }
            }
        }
        write!(f, "verdict: {}", self.verdict)?;
        if !self.rule.is_empty() {
            write!(f, " by rule \"{}\"", self.rule)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
