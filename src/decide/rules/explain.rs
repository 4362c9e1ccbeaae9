//! Why a command is decided as it is: each statement against each rule.
//!
//! In: who, classified statements. Out: an `Explanation` that prints itself.
//! Never: another answer than `decide` gives; both ask the same functions.

use std::fmt;

use super::super::{Class, Statement, Verdict};
use super::{Miss, Rule, Rules, Who};
use crate::decide::RuleName;

/// The whole answer of `weir policy test`.
#[derive(Debug)]
pub struct Explanation {
    /// Each statement in order.
    pub statements: Vec<Judgement>,
    /// `allow`, `deny` or `hold`.
    pub verdict: &'static str,
    /// The rule that decided; empty when none matched.
    pub rule: RuleName,
    /// For `deny` the sentence that the client sees, for `hold` its terms.
    pub detail: String,
}

/// One statement against every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Command tag.
    pub operation: String,
    /// Class.
    pub class: Class,
    /// Objects as `schema.name`.
    pub objects: Vec<String>,
    /// Rule, effect, and why it does not match (`None`: it does), in the order of the file.
    pub rules: Vec<(RuleName, &'static str, Option<String>)>,
}

impl Rules {
    /// Says for each statement which rules match, which do not, and why.
    pub fn explain(&self, who: &Who<'_>, statements: &[Statement]) -> Explanation {
        let judgements = statements.iter().map(|statement| Judgement {
            operation: statement.operation.clone(),
            class: statement.class,
            objects: statement.objects.iter().map(name).collect(),
            rules: self.rules.iter().map(|rule| rule.judge(who, statement)).collect(),
        });
        let (verdict, rule, detail) = match self.decide(who, statements) {
            Verdict::Allow(_, rule) => ("allow", rule, String::new()),
            Verdict::Deny(reason) => ("deny", reason.rule, reason.message),
            Verdict::Hold(terms) => {
                let approvers = terms.approvers.join(", ");
                let (quorum, seconds) = (terms.quorum, terms.timeout_us / 1_000_000);
                let detail = format!("{quorum} of {approvers}, within {seconds} s");
                ("hold", terms.rule, detail)
            }
        };
        Explanation { statements: judgements.collect(), verdict, rule, detail }
    }
}

fn name(object: &super::Object) -> String {
    match &object.schema {
        Some(schema) => format!("{schema}.{}", object.name),
        None => object.name.clone(),
    }
}

impl Rule {
    fn judge(
        &self,
        who: &Who<'_>,
        statement: &Statement,
    ) -> (RuleName, &'static str, Option<String>) {
        let effect = match self.then {
            super::Effect::Allow => "allow",
            super::Effect::Deny(_) => "deny",
            super::Effect::Hold(_) => "hold",
        };
        let miss = self
            .mismatch(who)
            .or_else(|| self.misses(who, statement.class, &statement.objects))
            .map(|miss| self.sentence(miss, who, statement));
        (self.name.clone(), effect, miss)
    }

    fn sentence(&self, miss: Miss, who: &Who<'_>, statement: &Statement) -> String {
        let allows = matches!(self.then, super::Effect::Allow);
        match miss {
            Miss::User => format!("user {} is not in users", who.identity.user),
            Miss::Group if who.identity.groups.is_empty() => "the user has no groups".to_owned(),
            Miss::Group => format!("none of {} is in groups", who.identity.groups.join(", ")),
            Miss::Target => format!("target {} is not in targets", who.target),
            Miss::Role => format!("role {} is not in roles", who.role),
            Miss::Source => format!("address {} is in none of sources", who.source),
            Miss::Class => format!("class {} is not in commands", statement.class.name()),
            Miss::Touches if statement.objects.is_empty() => {
                "the statement names no object for touches".to_owned()
            }
            Miss::Touches if allows => "not every object is in touches".to_owned(),
            Miss::Touches => "no object is in touches".to_owned(),
            Miss::Hours => "it is outside of hours_utc".to_owned(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, statement) in self.statements.iter().enumerate() {
            let (operation, class) = (&statement.operation, statement.class.name());
            write!(f, "statement {}: {operation}, class {class}", index + 1)?;
            if !statement.objects.is_empty() {
                write!(f, ", touches {}", statement.objects.join(", "))?;
            }
            writeln!(f)?;
            for (rule, effect, miss) in &statement.rules {
                match miss {
                    None => writeln!(f, "  {effect} matches: {rule}")?,
                    Some(why) => writeln!(f, "  {effect} does not match: {rule}: {why}")?,
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
