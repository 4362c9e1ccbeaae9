//! What the process says about itself: one line on stderr each, as text or as JSON.
//!
//! In: a sentence, for some the stable name of an event. Out: lines such as
//!
//! ```text
//!   2026-03-01T12:00:00Z info a sentence
//!   {"ts":"2026-03-01T12:00:00Z","level":"info","target":"weir::admin::control","event":"..",
//!    "message":"a sentence"}
//! ```
//!
//! Never: a secret, a line break inside a line, a panic when stderr is closed, one sentence again
//! and again: repetitions are counted and told together.
//!
//! `WEIR_LOG_FORMAT` is `text` or `json`; `RUST_LOG` says what is shown, as Rust programs have it
//! (`warn`, `info,weir::admin::api=error`). Under systemd a line begins with its priority.

use std::io::Write;
use std::panic::Location;
use std::sync::{Mutex, OnceLock, PoisonError};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something an operator should look at.
    Warn,
    /// Something an operator may want to know.
    Info,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
        }
    }

    /// Of syslog, as journald reads it (sd-daemon(3)).
    fn priority(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
        }
    }
}

/// Something an operator may want to know.
#[track_caller]
pub fn info(message: &str) {
    tell(Level::Info, "", message);
}

/// Something an operator should look at.
#[track_caller]
pub fn warn(message: &str) {
    tell(Level::Warn, "", message);
}

/// Something that does not work.
#[track_caller]
pub fn error(message: &str) {
    tell(Level::Error, "", message);
}

/// Something with a stable name, that of the record's `log_events` where it is there too.
#[track_caller]
pub fn tell(level: Level, event: &str, message: &str) {
    let target = module(Location::caller().file());
    let form = FORM.get_or_init(Form::of_environment);
    if !form.filter.shows(&target, level) {
        return;
    }
    let now_us = super::clock::utc_us();
    let line = Line { now_us, level, target: &target, event, message };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let text = last.take(&line, form);
    drop(last);
    // Nobody is left to tell when stderr is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

static FORM: OnceLock<Form> = OnceLock::new();
static LAST: Mutex<Last> =
    Mutex::new(Last { level: Level::Info, message: String::new(), at_us: 0, told: 0, more: 0 });

/// How lines look, and which are shown.
#[derive(Debug)]
struct Form {
    json: bool,
    /// Whether stderr is the journal of systemd.
    priorities: bool,
    filter: Filter,
}

impl Form {
    fn of_environment() -> Form {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Form {
            json: variable("WEIR_LOG_FORMAT") == "json",
            priorities: std::env::var_os("JOURNAL_STREAM").is_some(),
            filter: Filter::parse(&variable("RUST_LOG")),
        }
    }
}

/// Which lines are shown: the longest prefix of a module decides.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    /// Module prefix and the least level that is shown; `None` shows nothing.
    rules: Vec<(String, Option<Level>)>,
}

impl Filter {
    /// What cannot be read shows more, not less.
    fn parse(text: &str) -> Filter {
        let mut rules = vec![(String::new(), Some(Level::Info))];
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (module, word) = match part.split_once('=') {
                Some((module, word)) => (module.trim(), word.trim()),
                None => match level(part) {
                    Some(_) => ("", part),
                    None => (part, "info"),
                },
            };
            let shown = level(word).unwrap_or(Some(Level::Info));
            rules.retain(|(known, _)| known != module);
            rules.push((module.to_owned(), shown));
        }
        Filter { rules }
    }

    fn shows(&self, target: &str, level: Level) -> bool {
        let under = |module: &str| {
            module.is_empty()
                || target
                    .strip_prefix(module)
                    .is_some_and(|it| it.is_empty() || it.starts_with(':'))
        };
        let rule = self.rules.iter().filter(|(module, _)| under(module));
        let rule = rule.max_by_key(|(module, _)| module.len());
        rule.and_then(|(_, least)| *least).is_some_and(|least| level <= least)
    }
}

/// A word of a filter: `None` when it is none, `Some(None)` for `off`.
fn level(word: &str) -> Option<Option<Level>> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Some(None),
        "error" => Some(Some(Level::Error)),
        "warn" => Some(Some(Level::Warn)),
        "info" | "debug" | "trace" => Some(Some(Level::Info)),
        _ => None,
    }
}

/// `src/admin/control.rs` is `weir::admin::control`.
fn module(file: &str) -> String {
    let path = file.rsplit_once("src/").map_or(file, |(_, path)| path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    format!("weir::{}", path.replace('/', "::"))
}

/// One line before it is written.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    now_us: i64,
    level: Level,
    target: &'a str,
    event: &'a str,
    message: &'a str,
}

/// The last sentence, how often it was told, and how often it came again without being told.
#[derive(Debug)]
struct Last {
    level: Level,
    message: String,
    at_us: i64,
    told: u32,
    more: u32,
}

impl Last {
    /// The text of a line, or nothing for one that was just told; before it, how often the last one
    /// came again.
    fn take(&mut self, line: &Line<'_>, form: &Form) -> String {
        let same = self.level == line.level && self.message == line.message;
        if same && (0..REPEAT_US).contains(&(line.now_us - self.at_us)) {
            self.told += 1;
            if self.told > REPEATS_MAX {
                self.more += 1;
                return String::new();
            }
            return compose(line, form);
        }
        let mut text = String::new();
        if self.more > 0 {
            let message = format!("{} times more: {}", self.more, self.message);
            let level = self.level;
            text.push_str(&compose(&Line { level, event: "", message: &message, ..*line }, form));
        }
        text.push_str(&compose(line, form));
        *self = Last {
            level: line.level,
            message: line.message.to_owned(),
            at_us: line.now_us,
            told: 1,
            more: 0,
        };
        text
    }
}

fn compose(line: &Line<'_>, form: &Form) -> String {
    let time = super::clock::to_second(line.now_us);
    let mut text = String::new();
    if form.priorities {
        text.push_str(&format!("<{}>", line.level.priority()));
    }
    if form.json {
        let mut object = serde_json::json!({
            "ts": time,
            "level": line.level.word(),
            "target": line.target,
            "message": line.message,
        });
        if !line.event.is_empty()
            && let Some(fields) = object.as_object_mut()
        {
            fields.insert("event".to_owned(), line.event.into());
        }
        text.push_str(&object.to_string());
    } else {
        text.push_str(&format!("{time} {} ", line.level.word()));
        for character in line.message.chars() {
            // Names and errors of others may hold anything; a line stays a line.
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
    }
    text.push('\n');
    text
}

/// The same sentence is told so often in this time.
const REPEAT_US: i64 = 1_000_000;
const REPEATS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn form(json: bool, priorities: bool) -> Form {
        Form { json, priorities, filter: Filter::parse("") }
    }

    fn line(message: &str) -> Line<'_> {
        Line { now_us: 0, level: Level::Warn, target: "weir::admin", event: "x", message }
    }

    #[test]
    fn a_line_stays_a_line() {
        let message = "a\nb\x1b[31m\u{2028}\"";
        let text = compose(&line(message), &form(false, true));
        assert_eq!(text, "<4>1970-01-01T00:00:00Z warn a\\nb\\u{1b}[31m\u{2028}\"\n");
        let text = compose(&line(message), &form(true, false));
        assert_eq!(text.trim_end().lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["message"], message);
        assert_eq!((&read["level"], &read["event"]), (&"warn".into(), &"x".into()));
    }

    #[test]
    fn a_filter_decides_by_the_longest_module() {
        let check = |filter: &str, target: &str, expect: &str| {
            let filter = Filter::parse(filter);
            let shown: Vec<_> = [Level::Error, Level::Warn, Level::Info]
                .into_iter()
                .filter(|level| filter.shows(target, *level))
                .map(Level::word)
                .collect();
            assert_eq!(shown.join(" "), expect, "{filter:?}");
        };
        check("", "weir::admin::api", "error warn info");
        check("warn", "weir::admin::api", "error warn");
        check("off", "weir::admin::api", "");
        check("error,weir::admin=info", "weir::admin::api", "error warn info");
        check("error,weir::admin=info", "weir::administrator", "error");
        check("weir::admin::api=off", "weir::admin::api", "");
        check("weir::admin=info,weir::admin::api=error", "weir::admin::api", "error");
        check("weir::cli", "weir::admin", "error warn info");
        check("what is this=?", "weir::admin", "error warn info");
        check("trace", "weir::admin", "error warn info");
    }

    #[test]
    fn a_module_is_named_by_its_file() {
        assert_eq!(module("src/admin/control.rs"), "weir::admin::control");
        assert_eq!(module("/somewhere/src/cli/login/mod.rs"), "weir::cli::login");
    }

    #[test]
    fn repetitions_are_counted() {
        let form = form(false, false);
        let mut last =
            Last { level: Level::Info, message: String::new(), at_us: 0, told: 0, more: 0 };
        let at = |now_us, message| Line { now_us, ..line(message) };
        for _ in 0..REPEATS_MAX {
            assert_eq!(last.take(&at(0, "a"), &form).lines().count(), 1);
        }
        assert!(last.take(&at(10, "a"), &form).is_empty());
        assert!(last.take(&at(20, "a"), &form).is_empty());
        let text = last.take(&at(30, "b"), &form);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("warn 2 times more: a") && lines[1].ends_with("warn b"));
        assert_eq!(last.take(&at(40, "a"), &form).lines().count(), 1);
        let later = last.take(&at(40 + REPEAT_US, "a"), &form);
        assert_eq!(later.lines().count(), 1, "not for ever");
    }
}
