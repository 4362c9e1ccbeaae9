//! What a terminal showed, made safe for the one that it is replayed to.
//!
//! In: text as programs wrote it, cut anywhere. Out: text, colours, what moves the cursor or
//! erases. Never: what a terminal answers, keeps or hands on: reports, titles, the clipboard, modes
//! of the mouse and of keys. A sequence that is not on the list is left out.

/// A sequence that is longer is left out.
const CONTROL_BYTES_MAX: usize = 64;

/// The text so far ends in this.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Text,
    Escape,
    /// `ESC [` and what followed.
    Control(String),
    /// A text to the terminal; whether its last character was an escape.
    Said(bool),
    /// `ESC (` and the like, one character before its end.
    Set(char),
}

/// Its own letters, colours, inserting, wrapping and cursor, and lines that scroll: all of them.
/// The cursor stays where it is.
macro_rules! back {
    () => {
        "\x0f\x1b(B\x1b[0m\x1b[4l\x1b[?7h\x1b[?25h\x1b7\x1b[r\x1b8"
    };
}

/// A filter, for one session.
#[derive(Debug, Default)]
pub(super) struct Screen {
    place: Place,
    /// Something passed that should not last.
    styled: bool,
    /// The other screen is shown.
    other: bool,
    /// The last character was a carriage return.
    returned: bool,
}

impl Screen {
    /// What of a text may be shown.
    pub fn pass(&mut self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            self.take(char, &mut shown);
        }
        shown
    }

    /// What puts the terminal back as it was.
    pub fn end(&self) -> &'static str {
        match (self.styled, self.other) {
            (_, true) => concat!(back!(), "\x1b[?1049l"),
            (true, false) => back!(),
            (false, false) => "",
        }
    }

    fn take(&mut self, char: char, shown: &mut String) {
        let returned = std::mem::replace(&mut self.returned, char == '\r');
        self.place = match (std::mem::take(&mut self.place), char) {
            // A sequence ends where another one begins.
            (Place::Text | Place::Escape | Place::Control(_) | Place::Set(_), '\x1b') => {
                Place::Escape
            }
            // A line down and no more: a terminal that nobody set to raw begins a line for it.
            (Place::Text, '\n') if !returned => {
                shown.push_str("\x1bD");
                Place::Text
            }
            (Place::Text, _) => {
                let harmless = matches!(char, '\n' | '\r' | '\t' | '\x08' | '\x0e' | '\x0f');
                self.styled |= char == '\x0e';
                if harmless || !char.is_control() {
                    shown.push(char);
                }
                Place::Text
            }
            (Place::Escape, '[') => Place::Control(String::new()),
            (Place::Escape, ']' | 'P' | 'X' | '^' | '_') => Place::Said(false),
            (Place::Escape, '(' | ')') => Place::Set(char),
            (Place::Escape, '7' | '8' | 'D' | 'E' | 'M') => {
                shown.extend(['\x1b', char]);
                Place::Text
            }
            (Place::Escape, _) => Place::Text,
            (Place::Set(which), 'A' | 'B' | '0') => {
                self.styled = true;
                shown.extend(['\x1b', which, char]);
                Place::Text
            }
            (Place::Set(_), _) => Place::Text,
            (Place::Control(mut parameters), ' '..='?') => {
                parameters.push(char);
                match parameters.len() > CONTROL_BYTES_MAX {
                    true => Place::Text,
                    false => Place::Control(parameters),
                }
            }
            (Place::Control(parameters), _) => {
                self.control(&parameters, char, shown);
                Place::Text
            }
            (Place::Said(_), '\x07') | (Place::Said(true), '\\') => Place::Text,
            (Place::Said(_), _) => Place::Said(char == '\x1b'),
        };
    }

    fn control(&mut self, parameters: &str, end: char, shown: &mut String) {
        let plain = parameters.chars().all(|char| matches!(char, '0'..='9' | ';' | ':'));
        let safe = match end {
            // The cursor, lines and characters, scrolling, erasing, colours.
            '@'
            | 'A'..='M'
            | 'P'
            | 'S'
            | 'T'
            | 'X'
            | 'Z'
            | '`'
            | 'a'
            | 'b'
            | 'd'
            | 'e'
            | 'f'
            | 'm'
            | 'r' => plain,
            'h' | 'l' => self.mode(parameters, end == 'h'),
            _ => false,
        };
        if safe {
            self.styled = true;
            shown.extend(["\x1b[", parameters]);
            shown.push(end);
        }
    }

    /// Inserting, wrapping, the cursor's look, the other screen.
    fn mode(&mut self, parameters: &str, on: bool) -> bool {
        match parameters {
            "4" | "?7" | "?12" | "?25" => true,
            "?47" | "?1047" | "?1049" => {
                self.other = on;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &str) -> String {
        let whole = Screen::default().pass(text);
        for (at, _) in text.char_indices() {
            let mut screen = Screen::default();
            let (left, right) = text.split_at(at);
            assert_eq!(screen.pass(left) + &screen.pass(right), whole, "cut at {at}");
        }
        whole
    }

    #[test]
    fn what_is_seen_passes() {
        for text in [
            "plain \u{e9}\r\n\ttext\x08",
            "\x1b[1;31mred\x1b[m\x1b[38:5:1m",
            "\x1b[H\x1b[2J\x1b[10;20Hx\x1b[K\x1b[?25l\x1b[?1049h\x1b[?1049l",
            "\x1b(0lqk\x1b(B\x1b7\x1b8\x1bM",
        ] {
            assert_eq!(passed(text), text);
        }
    }

    #[test]
    fn a_line_down_stays_in_its_column() {
        assert_eq!(passed("a\r\nb\nc\r\n"), "a\r\nb\x1bDc\r\n");
    }

    #[test]
    fn what_a_terminal_answers_or_keeps_does_not() {
        for (text, expect) in [
            ("A\x1b]52;c;ZXZpbA==\x07B", "AB"),
            ("A\x1b]0;title\x1b\\B", "AB"),
            ("A\x1b[6nB\x1b[cC\x1b[>cD\x1b[21tE\x1b[?1$pF", "ABCDEF"),
            ("A\x1bP$q\"p\x1b\\B\x1b_x\x1b\\C", "ABC"),
            ("A\x1b[?1003hB\x1b[?2004hC\x1b[>4;1mD\x1b[?1hE", "ABCDE"),
            ("A\x05B\u{9b}6nC\0", "AB6nC"),
            ("A\x1bZB\x1bcC\x1b#8D", "ABC8D"),
            ("A\x1b[\x1b[1mB", "A\x1b[1mB"),
            ("A\x1b]never ended", "A"),
        ] {
            assert_eq!(passed(text), expect, "{text:?}");
        }
        let long = format!("A\x1b[{}", "1".repeat(CONTROL_BYTES_MAX + 1));
        assert_eq!(passed(&long), "A");
    }

    #[test]
    fn the_terminal_is_put_back() {
        for (text, expect) in [
            ("plain", ""),
            ("\x1b[31mred", back!()),
            ("\x1b(0lines", back!()),
            ("\x0elines", back!()),
            ("\x1b[5;10r", back!()),
            ("\x1b[?1049h", concat!(back!(), "\x1b[?1049l")),
            ("\x1b[?1049h\x1b[?1049l", back!()),
        ] {
            let mut screen = Screen::default();
            screen.pass(text);
            assert_eq!(screen.end(), expect, "{text:?}");
        }
    }
}
