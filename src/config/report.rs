//! Problems of a configuration file, collected so that one run shows all of them.
//!
//! In: spans of the text and what is wrong there. Out: `ConfigErrors`, warnings.
//! Never: a value that may be a secret.

use std::fmt;
use std::ops::Range;

/// One problem: where, what was found, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// Line, from 1; 0 when the problem is the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found.
    pub found: String,
    /// What was expected; empty when `found` says it all.
    pub expected: String,
    /// What to do; empty when that is obvious.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.found)?;
        if !self.expected.is_empty() {
            write!(f, "\n  expected: {}", self.expected)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Every problem that keeps a file from being used, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects problems while a file is read.
#[derive(Debug)]
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    errors: Vec<(usize, Problem)>,
    warnings: Vec<(usize, Problem)>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Report<'t> {
        Report { file, text, errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn error(
        &mut self,
        span: Range<usize>,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = self.problem(span.start, found.into(), expected.into(), hint.into());
        self.errors.push((span.start, problem));
    }

    pub(super) fn warning(
        &mut self,
        span: Range<usize>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = self.problem(span.start, found.into(), String::new(), hint.into());
        self.warnings.push((span.start, problem));
    }

    /// `Ok` with the warnings, or all errors. Both in the order of the file.
    pub(super) fn finish(self) -> Result<Vec<Problem>, ConfigErrors> {
        let sorted = |mut problems: Vec<(usize, Problem)>| {
            problems.sort_by_key(|(start, _)| *start);
            problems.into_iter().map(|(_, problem)| problem).collect()
        };
        if self.errors.is_empty() {
            Ok(sorted(self.warnings))
        } else {
            Err(ConfigErrors(sorted(self.errors)))
        }
    }

    fn problem(&self, at: usize, found: String, expected: String, hint: String) -> Problem {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            found,
            expected,
            hint,
        }
    }
}

/// `a, b or c`, each in backticks.
pub(super) fn one_of<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

/// "did you mean" for a word that is near one of the known ones, or nothing.
pub(super) fn did_you_mean<S: AsRef<str>>(word: &str, known: &[S]) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}

fn nearest<'k, S: AsRef<str>>(word: &str, known: &'k [S]) -> Option<&'k str> {
    let lower = word.to_lowercase().replace('_', "-");
    let (distance, name) = known
        .iter()
        .map(AsRef::as_ref)
        .map(|name| (edits(&lower, &name.to_lowercase().replace('_', "-")), name))
        .min_by_key(|(distance, _)| *distance)?;
    // A third of the word may be wrong; more is another word.
    let tolerated = (name.chars().count() / 3).max(1);
    (distance <= tolerated).then_some(name)
}

/// Levenshtein distance with transpositions of neighbours.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    // The first row and column are the cost of building one word out of nothing.
    let mut rows: Vec<Vec<usize>> = (0..=a.len()).map(|i| (i..=i + b.len()).collect()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        fn check(word: &str, expect: &str) {
            let known = ["read", "write", "unbounded-write", "ddl"];
            assert_eq!(nearest(word, &known).unwrap_or(""), expect, "{word}");
        }
        check("raed", "read");
        check("READ", "read");
        check("unbounded_write", "unbounded-write");
        check("unbouded-write", "unbounded-write");
        check("ddll", "ddl");
        check("select", "");
        check("", "");
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\n# \u{e9}\u{e9}\n\u{e9} = 2\n";
        let mut report = Report::new("f.toml", text);
        report.error(text.find('2').unwrap()..text.len(), "found", "expected", "");
        report.error(0..1, "first", "", "do this");
        let errors = report.finish().unwrap_err();
        assert_eq!(
            errors.to_string(),
            "f.toml:1:1: first\n  hint: do this\nf.toml:3:5: found\n  expected: expected"
        );
    }
}
