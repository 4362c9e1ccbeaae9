//! Rules about text: size, width, letters, words, titles, places.

use super::Violation;
use super::lexer::{is_test_file, without_tests};

const FILE_LINES_MAX: usize = 800;
const LINE_COLUMNS_MAX: usize = 100;

/// Words that mark work as unfinished or silence a warning, in two halves so that this file may
/// hold them.
const BANNED: [(&str, &str); 7] = [
    ("FIX", "ME"),
    ("XX", "X"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("#[ig", "nore"),
    ("allow(dead", "_code"),
];

/// Paths of one machine and hosts of package registries.
const PLACES: [(&str, &str); 10] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/tm", "p/"),
    ("/fa", "rm/"),
    ("crates", ".io/"),
    ("py", "pi.org"),
    ("python", "hosted."),
    ("npm", "js.org"),
    ("deb.", "debian."),
];

pub fn file_size(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") || is_test_file(path) {
        return Vec::new();
    }
    let lines = without_tests(text).lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines before the tests, at most {FILE_LINES_MAX}");
        return vec![Violation::new(lines, what)];
    }
    Vec::new()
}

pub fn line_width(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    // A table of Markdown, a dependency of a manifest and a drawing cannot be broken.
    if path.ends_with(".svg") || path.ends_with("go.sum") {
        return Vec::new();
    }
    let table = |line: &str| path.ends_with(".md") && line.starts_with('|');
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start_matches(['/', '!', ' ']).starts_with("```");
        let columns = line.chars().count() - literal_columns(line);
        let judged = !fenced && !path.ends_with("Cargo.toml") && !table(line);
        if columns > LINE_COLUMNS_MAX && judged {
            found.push(Violation::new(index + 1, format!("{columns} columns")));
        }
    }
    found
}

/// Columns inside of double quotes: rustfmt does not break a literal, and a message to a person
/// reads better whole.
fn literal_columns(line: &str) -> usize {
    let comment = line.trim_start().starts_with("//") || line.trim_start().starts_with('#');
    if comment {
        return 0;
    }
    if let Some((_, raw)) = line.split_once("r#\"") {
        return raw.split("\"#").next().map_or(0, |inside| inside.chars().count());
    }
    line.split('"').skip(1).step_by(2).map(|inside| inside.chars().count()).sum()
}

pub fn ascii(path: &str, text: &str) -> Vec<Violation> {
    // The licence is quoted as it was published.
    if path == "LICENSE" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(letter) = line.chars().find(|letter| !letter.is_ascii()) {
            found.push(Violation::new(index + 1, format!("not ASCII: {letter:?}")));
        }
    }
    found
}

pub fn banned_words(_path: &str, text: &str) -> Vec<Violation> {
    words(text, &BANNED, "")
}

pub fn places(_path: &str, text: &str) -> Vec<Violation> {
    words(text, &PLACES, "a place of one machine or a registry: ")
}

fn words(text: &str, halves: &[(&str, &str)], prefix: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (first, second) in halves {
            let word = format!("{first}{second}");
            if line.contains(&word) {
                found.push(Violation::new(index + 1, format!("{prefix}{word}")));
            }
        }
    }
    found
}

pub fn module_doc(path: &str, text: &str) -> Vec<Violation> {
    // Unit tests in a file of their own belong to the module beside them.
    let unit_tests = path.starts_with("src/") && is_test_file(path);
    let judged = path.ends_with(".rs") && !path.starts_with("tests/fuzz/") && !unit_tests;
    if judged && !text.starts_with("//!") {
        return vec![Violation::new(1, "does not open with //! and a sentence on what it is")];
    }
    Vec::new()
}

pub fn one_title(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".md") {
        return Vec::new();
    }
    let mut fenced = false;
    let mut titles = Vec::new();
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && line.starts_with("# ") {
            titles.push(index + 1);
        }
    }
    match titles.as_slice() {
        [_] => Vec::new(),
        [] => vec![Violation::new(1, "has no title: one line `# ...`")],
        [_, more @ ..] => more.iter().map(|line| Violation::new(*line, "a second title")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let long = "//! x\n".repeat(801);
        check(file_size, "src/wire/mod.rs", &long, &[801]);
        let tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}", "//\n".repeat(900));
        check(file_size, "src/wire/mod.rs", &tests, &[]);
    }

    #[test]
    fn a_long_line_is_found() {
        let line = "x".repeat(101);
        check(line_width, "src/wire/mod.rs", &format!("a\n{line}\n"), &[2]);
        check(line_width, "README.md", &format!("|{line}\n{line}"), &[2]);
        check(line_width, "src/wire/mod.rs", &format!("//! ```text\n//! {line}\n//! ```"), &[]);
        check(line_width, "src/wire/mod.rs", &format!("let a = \"{line}\";\n// \"{line}\""), &[2]);
    }

    #[test]
    fn a_letter_outside_ascii_is_found() {
        check(ascii, "src/wire/mod.rs", "a\nb\u{e9}\n", &[2]);
    }

    #[test]
    fn a_banned_word_is_found() {
        for (first, second) in BANNED {
            check(banned_words, "src/wire/mod.rs", &format!("\n{first}{second}"), &[2]);
        }
    }

    #[test]
    fn a_place_is_found() {
        for (first, second) in PLACES {
            check(places, "README.md", &format!("see {first}{second}x"), &[1]);
        }
    }

    #[test]
    fn a_module_without_a_doc_is_found() {
        check(module_doc, "src/wire/mod.rs", "use std::fmt;", &[1]);
        check(module_doc, "src/wire/mod.rs", "//! Bytes to frames.", &[]);
    }

    #[test]
    fn a_document_has_one_title() {
        check(one_title, "README.md", "# a\n```\n# b\n```\n## c\n", &[]);
        check(one_title, "README.md", "a\n", &[1]);
        check(one_title, "README.md", "# a\n# b\n", &[2]);
    }
}
