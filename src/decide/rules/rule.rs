//! One rule: what it matches.
//!
//! In: who asks, an act. Out: the classes for which the rule speaks, or why it does not.
//! Never: an allocation: this runs for every command.

use std::rc::Rc;

use super::super::{
    Act, ClassSet, FactKind, HoldPart, Kin, Object, Reading, RuleName, http, kubernetes,
};
use super::Who;
use super::pattern::{self, NetworkMask, Touch};
use crate::config::settings::{self, RuleSpec};
use crate::identify::glob::{glob_below, glob_bytes};
use crate::wire::Protocol;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: RuleName,
    users: Vec<String>,
    groups: Vec<String>,
    targets: Vec<String>,
    roles: Vec<String>,
    sources: Vec<NetworkMask>,
    commands: [ClassSet; Protocol::ALL.len()],
    /// Classes that it allows without naming them.
    follows: [ClassSet; Protocol::ALL.len()],
    touches: Vec<Touch>,
    facts: Vec<(FactKind, Vec<String>)>,
    minutes_utc: Option<(u16, u16)>,
    pub(super) then: Then,
}

/// What a rule does. Terms are shared: a verdict is made per command.
#[derive(Debug)]
pub(super) enum Then {
    Allow,
    Deny(Option<String>),
    Hold(Rc<HoldPart>),
}

/// The part of a rule that does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    User,
    Group,
    Target,
    Role,
    Source,
    Class,
    Touches,
    Fact(FactKind),
    Hours,
}

impl Rule {
    pub(super) fn compile(spec: &RuleSpec) -> Rule {
        let name: RuleName = spec.name.as_str().into();
        let then = match &spec.then {
            settings::Effect::Allow => Then::Allow,
            settings::Effect::Deny(message) => Then::Deny(message.clone()),
            settings::Effect::Hold { approvers, quorum, timeout_us } => {
                Then::Hold(Rc::new(HoldPart {
                    rule: Rc::clone(&name),
                    approvers: approvers.clone(),
                    quorum: (*quorum).max(1),
                    timeout_us: *timeout_us,
                }))
            }
        };
        let allows = matches!(then, Then::Allow);
        let commands = Protocol::ALL.map(|protocol| match spec.commands.is_empty() {
            false => spec.commands.of(protocol),
            true if allows => ClassSet::all(protocol).without(ClassSet::to_be_named(protocol)),
            true => ClassSet::all(protocol),
        });
        let facts: Vec<_> =
            spec.facts.iter().filter(|(_, values)| !values.is_empty()).cloned().collect();
        let speaks_of = |protocol: Protocol| {
            let commands = commands.get(protocol as usize).copied().unwrap_or_default();
            !commands.is_empty() && facts.iter().all(|(kind, _)| kind.is_of(protocol))
        };
        let follows = Protocol::ALL.map(|protocol| match allows && speaks_of(protocol) {
            true => ClassSet::following(protocol),
            false => ClassSet::NONE,
        });
        Rule {
            name,
            users: spec.users.clone(),
            groups: spec.groups.clone(),
            targets: spec.targets.clone(),
            roles: spec.roles.clone(),
            sources: spec.sources.iter().map(NetworkMask::new).collect(),
            touches: spec.touches.iter().map(|pattern| Touch::new(pattern)).collect(),
            minutes_utc: spec.minutes_utc,
            commands,
            follows,
            facts,
            then,
        }
    }

    /// Why the rule is not for this session; `None` if it is.
    pub(super) fn mismatch(&self, who: &Who<'_>) -> Option<Miss> {
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

    /// The classes of an act for which a rule of the session speaks, or why it does not.
    pub(super) fn matches(
        &self,
        who: &Who<'_>,
        protocol: Protocol,
        act: &Act,
    ) -> Result<ClassSet, Miss> {
        self.matches_with(who, (protocol, act), None)
    }

    /// The same; of facts of the kind `open` nothing is known yet, and none is asked for.
    pub(super) fn matches_with(
        &self,
        who: &Who<'_>,
        (protocol, act): (Protocol, &Act),
        open: Option<FactKind>,
    ) -> Result<ClassSet, Miss> {
        let of = |sets: &[ClassSet]| sets.get(protocol as usize).copied().unwrap_or_default();
        let named = act.classes.common(of(&self.commands));
        let followed = act.classes.common(of(&self.follows));
        match self.misses(who, named, (act, open)) {
            None => Ok(named.and(followed)),
            Some(_) if !followed.is_empty() => Ok(followed),
            Some(miss) => Err(miss),
        }
    }

    /// Whether it denies or holds by what is touched.
    pub(super) fn minds_objects(&self) -> bool {
        !matches!(self.then, Then::Allow) && !self.touches.is_empty()
    }

    /// Whether it denies or holds what touches this object.
    pub(super) fn minds(&self, object: &Object) -> bool {
        self.minds_objects() && self.means(object)
    }

    /// What an act reaches that the rule minds, if it names nothing of the kind.
    pub(super) fn reached<'a>(&self, act: &'a Act) -> Option<&'a Kin> {
        let named = act.objects.iter().any(|object| self.minds(object));
        act.kin.iter().find(|kin| !named && self.minds(&kin.object))
    }

    fn means(&self, object: &Object) -> bool {
        self.touches.iter().any(|touch| touch.meets(object))
    }

    /// Whether it asks for facts of a kind.
    pub(super) fn asks(&self, kind: FactKind) -> bool {
        self.facts.iter().any(|(asked, _)| *asked == kind)
    }

    fn misses(
        &self,
        who: &Who<'_>,
        named: ClassSet,
        (act, open): (&Act, Option<FactKind>),
    ) -> Option<Miss> {
        let allows = matches!(self.then, Then::Allow);
        if named.is_empty() {
            return Some(Miss::Class);
        }
        if !self.touches.is_empty() {
            let objects = &act.objects;
            let touched = if allows {
                let meant = |object| self.touches.iter().any(|touch| touch.covers(object));
                !objects.is_empty() && objects.iter().all(meant)
            } else {
                objects.iter().any(|object| self.means(object))
                    || act.kin.iter().any(|kin| self.means(&kin.object))
            };
            if !touched {
                return Some(Miss::Touches);
            }
        }
        let mut facts = self.facts.iter().filter(|(kind, _)| Some(*kind) != open);
        let fact = facts.find(|(kind, patterns)| !says(act, *kind, patterns, allows));
        if let Some((kind, _)) = fact {
            return Some(Miss::Fact(*kind));
        }
        match self.minutes_utc {
            Some(hours) if !pattern::in_hours(hours, who.wall_us) => Some(Miss::Hours),
            Some(_) | None => None,
        }
    }

    /// Whether the rule may allow anything in a protocol.
    pub(super) fn may_allow(&self, protocol: Protocol) -> bool {
        let commands = self.commands.get(protocol as usize).copied().unwrap_or_default();
        matches!(self.then, Then::Allow)
            && !commands.is_empty()
            && self.facts.iter().all(|(kind, _)| kind.is_of(protocol))
    }

    /// Whether it may allow or hold a class.
    pub(super) fn may_permit(&self, protocol: Protocol, class: ClassSet) -> bool {
        let commands = self.commands.get(protocol as usize).copied().unwrap_or_default();
        matches!(self.then, Then::Allow | Then::Hold(_)) && commands.has(class)
    }

    /// What it asks for, if it holds.
    pub(super) fn part(&self) -> Option<Rc<HoldPart>> {
        match &self.then {
            Then::Hold(part) => Some(Rc::clone(part)),
            Then::Allow | Then::Deny(_) => None,
        }
    }
}

/// Whether a condition on facts of one kind holds; see the table of `rules`.
pub(super) fn says(act: &Act, kind: FactKind, patterns: &[String], allows: bool) -> bool {
    if kind == FactKind::Argument {
        return http::argument_says(act, patterns, allows);
    }
    let means = |value: &[u8]| {
        patterns.iter().any(|pattern| match kind {
            FactKind::Resource => kubernetes::resource_meets(pattern, value),
            _ => glob_bytes(pattern.as_bytes(), value),
        })
    };
    let meant = |reading: &Reading| match reading {
        Reading::Is(value) | Reading::Maybe(value) => means(value),
        Reading::Below(root) | Reading::MaybeBelow(root) => patterns.iter().any(|pattern| {
            let (some, all) = glob_below(pattern.as_bytes(), root);
            if allows { all } else { some }
        }),
        Reading::Every => !allows || patterns.iter().any(|pattern| pattern == "*"),
        Reading::Like(value) => {
            !allows && patterns.iter().any(|pattern| http::path_like(pattern.as_bytes(), value))
        }
        Reading::Unclear => !allows,
    };
    let mut readings = act.facts.iter().filter(|fact| fact.kind == kind).map(|fact| &fact.reading);
    match allows {
        true => {
            let any = readings.clone().next().is_some();
            let sure = |reading: &&Reading| {
                let is_maybe = matches!(
                    reading,
                    Reading::Maybe(_) | Reading::MaybeBelow(_) | Reading::Like(_)
                );
                !is_maybe
            };
            any && readings.filter(sure).all(meant)
        }
        false => readings.any(meant),
    }
}
