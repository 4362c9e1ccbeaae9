//! What the process says about itself: one line on stderr each.
//!
//! In: a sentence. Out: `2026-03-01T12:00:00Z info a sentence`.
//! Never: a secret, a line break inside a line, a panic when stderr is closed.

use std::io::Write;

/// Something an operator may want to know.
pub fn info(message: &str) {
    line("info", message);
}

/// Something an operator should look at.
pub fn warn(message: &str) {
    line("warn", message);
}

/// Something that does not work.
pub fn error(message: &str) {
    line("error", message);
}

fn line(level: &str, message: &str) {
    let text = compose(super::clock::utc_us(), level, message);
    // Nobody is left to tell when stderr is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn compose(now_us: i64, level: &str, message: &str) -> String {
    let mut text = format!("{} {level} ", super::clock::to_second(now_us));
    for character in message.chars() {
        // Names and errors of others may hold anything; a line stays a line.
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_stays_a_line() {
        let text = super::compose(0, "warn", "a\nb\x1b[31m");
        assert_eq!(text, "1970-01-01T00:00:00Z warn a\\nb\\u{1b}[31m\n");
    }
}
