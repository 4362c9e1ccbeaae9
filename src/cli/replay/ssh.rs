//! A command or a shell over SSH as its terminal showed it.
//!
//! In: the rows of one command, with its `pty-events`. Out: moments.
//! Never: input that the record does not hold, made up from its echo.

use super::{LEFT, Moment, Story, Stream};
use crate::record::pty_events::{Event, Events, Kind, take_varint};

/// The moments of a command.
pub(super) fn moments(story: &Story) -> Vec<Moment> {
    let command = &story.command;
    let mut screen = Screen {
        seq: command.common.seq,
        at_us: command.common.ts_us,
        is_terminal: false,
        size: None,
        carried: [Vec::new(), Vec::new()],
        moments: Vec::new(),
    };
    if command.kind != "shell" {
        let line_end = if command.query_text.ends_with('\n') { "" } else { "\n" };
        screen.say(Stream::Input, format!("{}{line_end}", command.query_text));
    }
    for step in &story.approvals {
        screen.at_us = screen.at_us.max(step.common.ts_us);
        let who = step.approver.as_deref().map_or(String::new(), |who| format!(" by {who}"));
        screen.weir(&format!("approval {}{who}", step.event));
    }
    // What the events count from is when it was forwarded.
    for chunk in story.chunks.iter().filter(|chunk| chunk.encoding == "pty-events") {
        let mut events = Events::new(&chunk.payload);
        events.by_ref().for_each(|event| screen.take(event));
        if !events.rest().is_empty() {
            screen.weir(&format!("{} bytes of the record are no events", events.rest().len()));
        }
    }
    if !story.goes_on {
        screen.finish(story);
    }
    screen.moments
}

/// What is shown, as it comes.
struct Screen {
    seq: i64,
    at_us: i64,
    /// A size was told, so there is a terminal, and its bytes are shown as they are.
    is_terminal: bool,
    /// Its size as it was told; every chunk tells it again.
    size: Option<(u64, u64)>,
    /// Beginnings of characters of both output streams.
    carried: [Vec<u8>; 2],
    moments: Vec<Moment>,
}

impl Screen {
    fn say(&mut self, stream: Stream, text: String) {
        if !text.is_empty() {
            let is_screen = self.is_terminal && matches!(stream, Stream::Output | Stream::Error);
            let moment = Moment::of(self.at_us, self.seq, stream, text);
            self.moments.push(Moment { is_screen, ..moment });
        }
    }

    fn weir(&mut self, text: &str) {
        self.say(Stream::Weir, format!("[weir: {}]\n", text.replace('\n', " ")));
    }

    fn take(&mut self, event: Event<'_>) {
        let after_us = i64::try_from(event.after_us).unwrap_or(i64::MAX);
        self.at_us = self.at_us.saturating_add(after_us);
        let number = |mut bytes: &[u8]| take_varint(&mut bytes).unwrap_or(0);
        match event.kind {
            Kind::Output => self.shown(Stream::Output, 0, event.bytes),
            Kind::Stderr => self.shown(Stream::Error, 1, event.bytes),
            Kind::Size => self.size(event.bytes),
            Kind::Notice => {
                self.say(Stream::Notice, String::from_utf8_lossy(event.bytes).into_owned());
            }
            Kind::Gap => self.weir(&format!("{} bytes were not captured", number(event.bytes))),
            Kind::Input => {
                let text = String::from_utf8_lossy(event.bytes).into_owned();
                let moment = Moment::of(self.at_us, self.seq, Stream::Input, text);
                self.moments.push(Moment { is_typed: self.is_terminal, ..moment });
            }
            Kind::Signal => {
                self.weir(&format!("signal {}", String::from_utf8_lossy(event.bytes)));
            }
            Kind::Exit => self.exit(event.bytes),
            Kind::Ended => self.weir("nothing that follows was captured"),
            Kind::InputEof | Kind::OutputEof | Kind::CountedInput => {}
        }
    }

    fn size(&mut self, mut bytes: &[u8]) {
        self.is_terminal = true;
        let size = take_varint(&mut bytes).zip(take_varint(&mut bytes));
        if size.is_none() || size == std::mem::replace(&mut self.size, size) {
            return;
        }
        let moment = Moment::of(self.at_us, self.seq, Stream::Output, String::new());
        self.moments.push(Moment { size, is_screen: true, ..moment });
    }

    fn exit(&mut self, bytes: &[u8]) {
        match bytes.split_first() {
            Some((0, mut status)) => match take_varint(&mut status) {
                Some(0) | None => {}
                Some(status) => self.weir(&format!("it ended with status {status}")),
            },
            Some((_, signal)) => {
                self.weir(&format!("signal {} ended it", String::from_utf8_lossy(signal)));
            }
            None => {}
        }
    }

    /// Bytes of an output stream; one character may be in two of its events.
    fn shown(&mut self, stream: Stream, index: usize, bytes: &[u8]) {
        let Some(carried) = self.carried.get_mut(index) else { return };
        carried.extend_from_slice(bytes);
        let whole = carried.len() - super::cast::unfinished(carried);
        let text = String::from_utf8_lossy(carried.get(..whole).unwrap_or_default()).into_owned();
        carried.drain(..whole);
        self.say(stream, text);
    }

    fn finish(&mut self, story: &Story) {
        for (index, stream) in [Stream::Output, Stream::Error].into_iter().enumerate() {
            let rest = self.carried.get_mut(index).map(std::mem::take).unwrap_or_default();
            self.say(stream, String::from_utf8_lossy(&rest).into_owned());
        }
        let Some(response) = story.command.response.as_deref() else {
            self.weir(match story.command.decision.as_str() {
                "hold" => "it waits for approval",
                "abandoned" => LEFT,
                _ => "no end is recorded",
            });
            return;
        };
        self.at_us = self.at_us.max(response.common.ts_us);
        if let Some(error) = response.error_text.as_deref().filter(|text| !text.is_empty()) {
            self.say(Stream::Error, format!("{error}\n"));
        }
        if story.command.kind == "sftp" {
            let tag = response.tag.as_deref().filter(|tag| !tag.is_empty());
            tag.into_iter().for_each(|tag| self.weir(tag));
            return;
        }
        let lost = response.total_bytes - response.captured_bytes;
        let is_told = story.chunks.iter().any(|chunk| chunk.encoding == "pty-events");
        if lost > 0 && !is_told {
            self.weir(&format!("{lost} bytes of output were not captured"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lake::{ChunkRow, CommandRow, Common, ResponseRow};
    use crate::record::pty_events::Writer;

    fn story(kind: &str, events: &[(u64, Kind, &[u8])]) -> Story {
        let mut writer = Writer::new(0);
        events.iter().for_each(|(at_us, kind, bytes)| writer.push(*at_us, *kind, bytes));
        let chunk = ChunkRow {
            stream: 1,
            encoding: "pty-events".into(),
            payload: writer.take(),
            ..ChunkRow::default()
        };
        let command = CommandRow {
            common: Common { seq: 2, ts_us: 100, ..Common::default() },
            kind: kind.into(),
            query_text: "uname".into(),
            response: Some(Box::new(ResponseRow::default())),
            ..CommandRow::default()
        };
        Story { command, approvals: Vec::new(), chunks: vec![chunk], goes_on: false }
    }

    #[test]
    fn a_command_shows_its_streams_in_their_time() {
        let story = story(
            "exec",
            &[
                (5, Kind::Output, b"Lin\xc3"),
                (7, Kind::Stderr, b"oops\n"),
                (9, Kind::Output, b"\xa9x\n"),
                (9, Kind::Gap, &[0x80, 0x01]),
                (10, Kind::Exit, &[0, 3]),
            ],
        );
        let told: Vec<(i64, Stream, String)> =
            moments(&story).into_iter().map(|it| (it.at_us, it.stream, it.text)).collect();
        let expect = [
            (100, Stream::Input, "uname\n"),
            (105, Stream::Output, "Lin"),
            (107, Stream::Error, "oops\n"),
            (109, Stream::Output, "\u{e9}x\n"),
            (109, Stream::Weir, "[weir: 128 bytes were not captured]\n"),
            (110, Stream::Weir, "[weir: it ended with status 3]\n"),
        ];
        assert_eq!(told, expect.map(|(at, stream, text)| (at, stream, text.to_owned())));
    }

    #[test]
    fn a_terminal_is_shown_as_it_was() {
        let moments = moments(&story(
            "shell",
            &[
                (0, Kind::Size, &[80, 24]),
                (1, Kind::Output, b"\x1b[1mbold\r\n"),
                (2, Kind::CountedInput, &[3]),
                (3, Kind::Input, b"hunter2\r"),
            ],
        ));
        let typed: Vec<&str> =
            moments.iter().filter(|it| it.is_typed).map(|it| it.text.as_str()).collect();
        assert_eq!(typed, ["hunter2\r"], "for programs");
        let shown: Vec<(&str, bool)> =
            moments.iter().filter(|it| !it.is_typed).map(|it| (&*it.text, it.is_screen)).collect();
        assert_eq!(shown, [("", true), ("\x1b[1mbold\r\n", true)]);
        assert_eq!(moments[0].size, Some((80, 24)));
    }
}
