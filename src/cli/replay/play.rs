//! Shows moments: on a terminal in their time, as JSON, as an asciicast.
//!
//! In: moments, in order. Out: text. Never: a control character of somebody's data on a terminal,
//! but line ends and tabs; except what a terminal showed, as far as `screen` lets it pass.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use serde::Serialize;

use super::cast::Cast;
use super::screen::Screen;
use super::{CastVersion, Moment, Replay, Stream};
use crate::admin::clock;
use crate::cli::fail::{EXIT_USAGE, Failure};
use crate::cli::output::{Output, push_visible};

/// Shows the moments of one session.
pub(super) struct Player {
    sink: Sink,
    /// So many times as fast as it happened; `None` is at once.
    speed: Option<f64>,
    started_us: i64,
    last_us: i64,
    screen: Screen,
}

enum Sink {
    Text(Output),
    Json(Output),
    Cast(Cast<BufWriter<File>>),
}

/// A moment as programs read it.
#[derive(Debug, Serialize)]
struct Told<'m> {
    at: String,
    elapsed_us: i64,
    seq: i64,
    stream: Stream,
    text: &'m str,
}

impl Player {
    /// A player as the command line asks for it.
    ///
    /// # Errors
    /// A speed that is none; a file that cannot be made.
    pub fn new(
        args: &Replay,
        title: String,
        started_us: i64,
        size: Option<(u64, u64)>,
    ) -> Result<Player, Failure> {
        if let Some(speed) = args.speed.filter(|speed| !SPEEDS.contains(speed)) {
            let (least, most) = (SPEEDS.start(), SPEEDS.end());
            let words = format!("a speed of {speed} is not between {least} and {most}");
            return Err(Failure::new(EXIT_USAGE, words).hint(
                "1 is as it happened, 4 is four times as fast; without it all comes at once",
            ));
        }
        let sink = match &args.cast {
            Some(path) => {
                let file = File::create(path).map_err(|error| {
                    Failure::because(&format!("cannot write {}", path.display()), error)
                })?;
                let is_three = args.cast_version == CastVersion::Three;
                let out = BufWriter::new(file);
                Sink::Cast(Cast::begin(out, is_three, &title, started_us, size)?)
            }
            None if args.json => Sink::Json(Output::new(true)),
            None => Sink::Text(Output::new(false)),
        };
        let screen = Screen::default();
        Ok(Player { sink, speed: args.speed, started_us, last_us: started_us, screen })
    }

    /// Shows a moment, when its time has come.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn show(&mut self, moment: &Moment) -> Result<(), Failure> {
        if moment.is_typed && !matches!(self.sink, Sink::Json(_)) {
            return Ok(());
        }
        self.wait(moment.at_us)?;
        if let Some((columns, rows)) = moment.size {
            return match &mut self.sink {
                Sink::Cast(cast) => Ok(cast.resize(moment.at_us, columns, rows)?),
                Sink::Text(_) | Sink::Json(_) => Ok(()),
            };
        }
        match &mut self.sink {
            Sink::Text(out) if moment.is_screen => out.raw(&self.screen.pass(&moment.text))?,
            Sink::Text(out) => out.raw(&visible(&moment.text))?,
            Sink::Json(out) => out.object(&Told {
                at: clock::to_text(moment.at_us),
                elapsed_us: moment.at_us.saturating_sub(self.started_us),
                seq: moment.seq,
                stream: moment.stream,
                text: &moment.text,
            })?,
            Sink::Cast(cast) => {
                let text = if moment.is_screen {
                    Cow::from(&moment.text)
                } else {
                    visible(&moment.text).replace('\n', "\r\n").into()
                };
                cast.output(moment.at_us, text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, at_us: i64) -> Result<(), Failure> {
        let since_us = at_us.saturating_sub(self.last_us).clamp(0, PAUSE_US_MAX);
        self.last_us = self.last_us.max(at_us);
        if let Some(speed) = self.speed {
            self.flush()?;
            std::thread::sleep(Duration::from_secs_f64(since_us as f64 / 1e6 / speed));
        }
        Ok(())
    }

    /// What was shown so far is seen.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.sink {
            Sink::Text(out) | Sink::Json(out) => Ok(out.flush()?),
            Sink::Cast(_) => Ok(()),
        }
    }

    /// The replay is over.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Sink::Text(mut out) => {
                out.raw(self.screen.end())?;
                Ok(out.flush()?)
            }
            Sink::Json(mut out) => Ok(out.flush()?),
            Sink::Cast(cast) => Ok(cast.finish()?.flush()?),
        }
    }
}

/// A text with its line ends and tabs; what steers a terminal or turns the direction of others is
/// escaped. What merely is not seen stands as it is: it belongs to what was shown, and decides
/// nothing here.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if is_harmless(character) => shown.push(character),
            _ => push_visible(&mut shown, character),
        }
    }
    shown
}

/// Blanks of other scripts, joiners, and what chooses between a sign and its picture.
const fn is_harmless(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
            | '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}'
    )
}

/// Slower is no replay, and faster is none to be seen.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
/// Longer pauses are cut: nobody watches an idle session.
const PAUSE_US_MAX: i64 = 3_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_as_it_was_shown_and_steers_nothing() {
        for text in [
            "a\tb\n",
            "\u{2764}\u{fe0f} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} 1\u{fe0f}\u{20e3}",
            "1\u{a0}000 \u{3000}\u{645}\u{6cc}\u{200c}\u{62e}",
        ] {
            assert_eq!(visible(text), text);
        }
        assert_eq!(visible("\x1b[2J\r\x07\u{9b}"), "\\u{1b}[2J\\r\\u{7}\\u{9b}");
        assert_eq!(
            visible("a\u{202e}b\u{2066}\u{200f}\u{2028}"),
            r"a\u{202e}b\u{2066}\u{200f}\u{2028}"
        );
    }
}
