//! A TOML file to `Settings`.
//!
//! In: the text, its name for messages, the folder that relative paths start from, the
//! environment. Out: settings with every default filled in and every reference checked, or every
//! problem of the file. Never: a partial result.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::report::{ConfigErrors, Problem, Report};
use super::section::Section;
use super::sections;
use super::settings::Settings;

/// Reads a file.
///
/// # Errors
/// All problems of the file.
pub fn load(path: &Path) -> Result<Settings, ConfigErrors> {
    load_with_warnings(path).map(|(settings, _)| settings)
}

/// Reads a file, and also says what is allowed but probably not meant.
///
/// # Errors
/// All problems of the file.
pub fn load_with_warnings(path: &Path) -> Result<(Settings, Vec<Problem>), ConfigErrors> {
    read_file(path, &|variable| std::env::var(variable).ok())
}

/// The same for who asks the rules only: an environment variable that is not set, which would hold
/// a secret that nobody uses then, is no problem of the file.
///
/// # Errors
/// All other problems of the file.
pub fn load_without_secrets(path: &Path) -> Result<(Settings, Vec<Problem>), ConfigErrors> {
    read_file(path, &|variable| Some(std::env::var(variable).unwrap_or_else(|_| "unused".into())))
}

fn read_file(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Problem>), ConfigErrors> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigErrors(vec![Problem {
            file: name.clone(),
            line: 0,
            column: 0,
            found: format!("cannot be read: {error}"),
            expected: "a configuration file in TOML".to_owned(),
            hint: "name it with --config FILE".to_owned(),
        }])
    })?;
    let base_dir = path.parent().unwrap_or(Path::new(""));
    parse_with_warnings(&text, &name, base_dir, env)
}

/// Reads a text. Relative paths start from `base_dir`, `env` looks up variables.
///
/// # Errors
/// All problems of the text.
pub fn parse(
    text: &str,
    name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, ConfigErrors> {
    parse_with_warnings(text, name, base_dir, env).map(|(settings, _)| settings)
}

/// `parse` and what is allowed but probably not meant.
///
/// # Errors
/// All problems of the text.
pub fn parse_with_warnings(
    text: &str,
    name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Problem>), ConfigErrors> {
    let mut report = Report::new(name, text);
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let span = error.span().unwrap_or(0..0);
        report.error(span, format!("not TOML: {}", error.message()), "", "");
    }
    if !syntax.is_empty() {
        // What the parser recovered would only raise problems that are not there.
        return Err(report.finish().err().unwrap_or(ConfigErrors(Vec::new())));
    }
    let mut root = Section::new(table.get_ref(), 0..0, "the file");
    let source = Source { base_dir, env };
    let settings = sections::settings(&mut root, &source, &mut report);
    root.finish(&mut report);
    let warnings = report.finish()?;
    Ok((settings, warnings))
}

/// What values of the file may refer to.
pub(super) struct Source<'a> {
    base_dir: &'a Path,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Source<'_> {
    /// A path of the file, from the folder of the file.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base_dir.join(text)
    }
}

#[cfg(test)]
mod tests;
