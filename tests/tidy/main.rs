//! Repository rules as an ordinary test.
//!
//! Each rule is a function from one file to its violations, proven by a sample that violates it;
//! `the_tree_is_tidy` then runs all of them over the tree. To change a rule, change its table and
//! say why beside the row.

mod imports;
mod lexer;
mod text;

use std::path::{Path, PathBuf};

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    line: usize,
    what: String,
}

impl Violation {
    fn new(line: usize, what: impl Into<String>) -> Violation {
        Violation { line, what: what.into() }
    }
}

/// A rule: path relative to the root with `/`, and the text.
type Rule = fn(&str, &str) -> Vec<Violation>;

const RULES: [Rule; 11] = [
    imports::direction,
    imports::purity,
    imports::clocks,
    imports::unsafe_places,
    text::file_size,
    text::line_width,
    text::ascii,
    text::banned_words,
    text::module_doc,
    text::one_title,
    text::places,
];

/// What the project consists of. Build output and whatever lies beside it is not looked at.
const ROOTS: [&str; 13] = [
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.toml",
    "README.md",
    "appliance",
    "bench",
    "loadtest",
    "src",
    "tests",
];

/// Folders that tools write into, at any depth.
const SKIPPED: [&str; 5] = ["target", "node_modules", "__pycache__", "corpus", "artifacts"];

/// The tree that cargo runs this in: one target folder may serve several checkouts, and what was
/// compiled in may be the path of another one.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this test").into()
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries {
        let entry = entry.expect("a readable directory entry");
        if SKIPPED.iter().all(|name| entry.file_name() != *name) {
            walk(&entry.path(), files);
        }
    }
}

#[test]
fn the_tree_is_tidy() {
    let mut files = Vec::new();
    for name in ROOTS {
        walk(&root().join(name), &mut files);
    }
    files.sort();
    assert!(files.len() > 40, "only {} files found: the walk is broken", files.len());
    let mut report = String::new();
    let mut count = 0;
    for file in &files {
        let bytes = std::fs::read(file).expect("a readable file");
        // Images and other binary files have no lines to judge.
        if bytes.contains(&0) {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        let path = file.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8");
        for rule in RULES {
            for violation in rule(path, &text) {
                count += 1;
                report.push_str(&format!("{path}:{}: {}\n", violation.line, violation.what));
            }
        }
    }
    assert!(count == 0, "{count} violations\n{report}");
}

/// Asserts that `rule` finds exactly `lines` in `text` when it stands at `path`.
#[cfg(test)]
fn check(rule: Rule, path: &str, text: &str, lines: &[usize]) {
    let found: Vec<usize> = rule(path, text).iter().map(|violation| violation.line).collect();
    assert_eq!(found, lines, "{path}: {:?}", rule(path, text));
}
