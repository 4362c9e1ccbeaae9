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
    pub fn new(args: &Replay, title: String, started_us: i64) -> Result<Player, Failure> {
        if let Some(speed) = args.speed.filter(|speed| !(speed.is_finite() && *speed > 0.0)) {
            return Err(Failure::new(EXIT_USAGE, format!("{speed} is no speed"))
                .hint("1 is as it happened, 4 is four times as fast"));
        }
        let sink = match &args.cast {
            Some(path) => {
                let file = File::create(path).map_err(|error| {
                    Failure::because(&format!("cannot write {}", path.display()), error)
                })?;
                let is_three = args.cast_version == CastVersion::Three;
                Sink::Cast(Cast::begin(BufWriter::new(file), is_three, &title, started_us)?)
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

/// A text with its line ends and tabs, other control characters escaped.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\n' | '\t') {
            shown.push(character);
        } else {
            push_visible(&mut shown, character);
        }
    }
    shown
}

/// Longer pauses are cut: nobody watches an idle session.
const PAUSE_US_MAX: i64 = 3_000_000;
