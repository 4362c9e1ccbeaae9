//! One table of the file, read key by key.
//!
//! In: a parsed TOML table. Out: typed values, `None` where a problem was reported.
//! Never: a key that nobody asked for and nobody complained about.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Report, did_you_mean, one_of};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A table under reading. `finish` reports what was not asked for.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    label: String,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn new(table: &'t DeTable<'t>, span: Range<usize>, label: &str) -> Section<'t> {
        Section { table, span, label: label.to_owned(), known: Vec::new() }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The raw value of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let value = self.table.get(key).map(Spanned::get_ref);
        matches!(value, Some(DeValue::Array(list)) if list.is_empty())
    }

    /// Reports a key that has to be there and is not.
    pub(super) fn missing(&self, key: &str, expected: &str, report: &mut Report<'_>) {
        let found = format!("`{key}` is missing in {}", self.label);
        report.error(self.span(), found, expected, "");
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<At<&'t str>> {
        let value = self.take(key)?;
        let text = as_text(value, key, report)?;
        if text.value.is_empty() {
            report.error(text.span, format!("`{key}` is empty"), "a text", "");
            return None;
        }
        Some(text)
    }

    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<At<&'t str>> {
        if !self.has(key) {
            self.missing(key, "a text", report);
        }
        self.text(key, report)
    }

    /// A text in a form of its own, such as a duration.
    pub(super) fn form<T>(
        &mut self,
        key: &'static str,
        (parse, form): (impl Fn(&str) -> Option<T>, &str),
        report: &mut Report<'_>,
    ) -> Option<At<T>> {
        let text = self.text(key, report)?;
        let parsed = parse(text.value);
        if parsed.is_none() {
            let found = format!("`{key}` is \"{}\"", text.value);
            report.error(text.span.clone(), found, form, "");
        }
        Some(At { value: parsed?, span: text.span })
    }

    /// One word of a list.
    pub(super) fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let text = self.text(key, report)?;
        choose(key, &text, choices, report)
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        report: &mut Report<'_>,
    ) -> Option<i64> {
        let value = self.take(key)?;
        let parsed = value
            .get_ref()
            .as_integer()
            .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| range.contains(number));
        if parsed.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            report.error(value.span(), format!("`{key}` is {}", shown(value)), expected, "");
        }
        parsed
    }

    pub(super) fn boolean(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<bool> {
        let value = self.take(key)?;
        let parsed = value.get_ref().as_bool();
        if parsed.is_none() {
            let found = format!("`{key}` is {}", shown(value));
            report.error(value.span(), found, "`true` or `false`", "");
        }
        parsed
    }

    /// A list of texts; empty when the key is absent. One text alone is not a list: said so.
    pub(super) fn texts(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<At<&'t str>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let hint = match value.get_ref().as_str() {
                Some(text) => format!("write [\"{text}\"]"),
                None => String::new(),
            };
            let found = format!("`{key}` is {}", shown(value));
            report.error(value.span(), found, "a list of texts", hint);
            return Vec::new();
        };
        if array.is_empty() {
            let found = format!("`{key}` is an empty list");
            report.error(value.span(), found, "at least one text", "leave the key out");
        }
        array.iter().filter_map(|value| as_text(value, key, report)).collect()
    }

    /// A list of words, each in a form of its own.
    pub(super) fn words<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&At<&'t str>, &mut Report<'_>) -> Option<T>,
        report: &mut Report<'_>,
    ) -> Vec<T> {
        let texts = self.texts(key, report);
        texts.iter().filter_map(|text| read(text, report)).collect()
    }

    /// A table inside this one.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        label: &str,
        report: &mut Report<'_>,
    ) -> Option<Section<'t>> {
        let value = self.take(key)?;
        as_section(value, label, report)
    }

    /// Tables of a `[[...]]` list.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        label: &str,
        report: &mut Report<'_>,
    ) -> Vec<Section<'t>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let found = format!("`{key}` is {}", shown(value));
            report.error(value.span(), found, format!("a list of tables: {label}"), "");
            return Vec::new();
        };
        array.iter().filter_map(|value| as_section(value, label, report)).collect()
    }

    /// Reports every key that was not asked for.
    /// A table, or an array of tables.
    pub(super) fn one_or_more(
        &mut self,
        key: &'static str,
        label: &str,
        report: &mut Report<'_>,
    ) -> Vec<Section<'t>> {
        let is_array = self.table.get(key).is_some_and(|value| value.get_ref().is_array());
        match is_array {
            true => self.sections(key, label, report),
            false => self.section(key, label, report).into_iter().collect(),
        }
    }

    pub(super) fn finish(self, report: &mut Report<'_>) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                report.error(
                    key.span(),
                    format!("unknown key `{name}` in {}", self.label),
                    one_of(&self.known),
                    did_you_mean(name, &self.known),
                );
            }
        }
    }
}

/// Reads one word of a list of choices.
pub(super) fn choose<T: Clone>(
    key: &str,
    text: &At<&str>,
    choices: &[(&str, T)],
    report: &mut Report<'_>,
) -> Option<T> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.value) {
        return Some(value.clone());
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let found = format!("`{key}` names `{}`", text.value);
    report.error(text.span.clone(), found, one_of(&names), did_you_mean(text.value, &names));
    None
}

pub(super) fn as_section<'t>(
    value: &'t Spanned<DeValue<'t>>,
    label: &str,
    report: &mut Report<'_>,
) -> Option<Section<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        report.error(value.span(), format!("{label} is {}", shown(value)), "a table", "");
    }
    Some(Section::new(table?, value.span(), label))
}

fn as_text<'t>(
    value: &'t Spanned<DeValue<'t>>,
    key: &str,
    report: &mut Report<'_>,
) -> Option<At<&'t str>> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        report.error(value.span(), format!("`{key}` is {}", shown(value)), "a text", "");
    }
    Some(At { value: text?, span: value.span() })
}

/// A value for a message. Texts are not shown: a password may stand where none belongs.
pub(super) fn shown(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Float(_) => "a number with a fraction".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
