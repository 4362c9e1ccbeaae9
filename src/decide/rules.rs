//! The rule table.

use std::net::IpAddr;

use super::{Class, Statement, Verdict};
use crate::config::settings::RuleSpec;
use crate::identify::Identity;

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
pub struct Rules {}

impl Rules {
    /// Compiles the rules of the configuration.
    pub fn compile(_specs: &[RuleSpec]) -> Rules {
        Rules {}
    }

    /// Decides a command: each statement on its own; deny beats hold beats allow; a statement that
    /// no rule matches is denied.
    pub fn decide(&self, _who: &Who<'_>, _statements: &[Statement]) -> Verdict {
        Verdict::Allow(super::Permit::new(), "".into())
    }

    /// Decides what has no statements: a function call, a replication connection, unparsed text.
    pub fn decide_class(&self, _who: &Who<'_>, _class: Class) -> Verdict {
        Verdict::Allow(super::Permit::new(), "".into())
    }
}
