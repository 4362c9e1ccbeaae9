//! Which settings of a session were set, for people who are asked what a text does in it.
//!
//! In: settings of the start-up packet, of commands. Out: sentences behind the text of an ask.
//! Never: silence about a setting that is on no list of those that change no meaning.

use std::collections::BTreeMap;

use crate::decide::{Action, Class, ClassSet, Fact, FactKind, Reading};
use crate::limits;
use crate::mask::sql::redact;

/// What was set, as far as a text may mean something else by it.
#[derive(Debug, Default)]
pub struct Changed {
    /// By name; the value where it is known.
    named: BTreeMap<String, String>,
    /// Code that weir cannot read may have set any, or there are too many.
    any: bool,
}

impl Changed {
    /// A setting was set; an empty value is one that is not known.
    pub fn note(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        let plain = |known: &&str| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == **known,
        };
        if PLAIN.iter().any(plain) {
            return;
        }
        if self.named.len() >= limits::SETTINGS_TOLD_MAX && !self.named.contains_key(&name) {
            self.any = true;
            return;
        }
        let value = redact::setting(&name, value);
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        self.named.insert(name, value);
    }

    /// Any setting may have been set.
    pub fn note_any(&mut self) {
        self.any = true;
    }

    /// What an act of these classes and facts may set.
    pub fn note_facts(&mut self, classes: &ClassSet, facts: &[Fact]) {
        if is_opaque(classes) {
            self.note_any();
        }
        for fact in facts.iter().filter(|fact| fact.kind == FactKind::Setting) {
            match &fact.reading {
                Reading::Is(name) | Reading::Maybe(name) => {
                    self.note(&String::from_utf8_lossy(name), "");
                }
                _ => self.note_any(),
            }
        }
    }

    /// What the acts of one text may set before later ones of it run.
    pub fn within(action: &Action) -> Changed {
        let mut changed = Changed::default();
        if action.acts.len() > 1 {
            // DISCARD takes back what was set.
            let acts = action.acts.iter().filter(|act| act.operation != "DISCARD");
            acts.for_each(|act| changed.note_facts(&act.classes, &act.facts));
        }
        changed
    }

    /// A name without a schema may be of another one than it would be at first.
    pub fn is_path_in_doubt(&self) -> bool {
        self.any || self.named.contains_key("search_path")
    }

    /// What an approver has to know.
    pub fn said(&self) -> String {
        let mut said = String::new();
        let path = self.named.get("search_path");
        if self.any || path.is_some() {
            said.push_str(PATH);
            let known = path.filter(|value| !value.is_empty() && !self.any);
            said.extend(known.map(|value| format!(" (it is {value:?})")));
        }
        let others = self.named.iter().filter(|(name, _)| *name != "search_path");
        let others: Vec<String> = others
            .map(|(name, value)| match value.as_str() {
                "" => name.clone(),
                value => format!("{name} = {value:?}"),
            })
            .collect();
        if !others.is_empty() {
            said.push_str(&format!("{SET}{}", others.join(", ")));
        }
        said
    }
}

/// Whether code runs that weir does not see.
pub(super) fn is_opaque(classes: &ClassSet) -> bool {
    [Class::Call, Class::FunctionCall, Class::Unknown].into_iter().any(|class| classes.has(class))
}

const PATH: &str = "\n\nsearch_path was changed in this session: a name without a schema may be \
    one of another schema";

const SET: &str = "\n\nset in this session, so that the text may mean something else than in \
    another one: ";

/// Of a value.
const VALUE_CHARS_MAX: usize = 80;

/// Settings that change how answers are written and how long things may take, not what a text does.
const PLAIN: [&str; 14] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "extra_float_digits",
    "geqo*",
    "idle_*",
    "jit*",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "tcp_*",
    "transaction_timeout",
    "work_mem",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_a_text_is_told() {
        let mut changed = Changed::default();
        changed.note("application_name", "psql");
        changed.note("GEQO_threshold", "3");
        assert_eq!(changed.said(), "");
        changed.note("Transform_Null_Equals", "");
        changed.note("DateStyle", "dmy");
        let told = "datestyle = \"dmy\", transform_null_equals";
        assert_eq!(changed.said(), format!("{SET}{told}"));
        changed.note("search_path", "alt");
        assert_eq!(changed.said(), format!("{PATH} (it is \"alt\"){SET}{told}"));
        changed.note("app.password", "hush");
        assert!(!changed.said().contains("hush"));
        changed.named.remove("app.password");
        changed.note("search_path", "");
        changed.note_any();
        assert_eq!(changed.said(), format!("{PATH}{SET}{told}"));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut changed = Changed::default();
        (0..2 * limits::SETTINGS_TOLD_MAX).for_each(|n| changed.note(&format!("a.b{n}"), "x"));
        assert_eq!(changed.named.len(), limits::SETTINGS_TOLD_MAX);
        assert!(changed.said().starts_with(PATH));
    }
}
