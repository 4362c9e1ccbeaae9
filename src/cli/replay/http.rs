//! A request of HTTP and its answer, as they went: head, content, events and messages in their
//! time.
//!
//! In: the rows of one request, with the content that was kept. Out: moments.
//! Never: content that was not kept passed off as none; fields of an answer, which no row holds.

use super::{LEFT, Moment, Story, Stream};
use crate::record::lake::{ChunkRow, ResponseRow};

/// Content that is text in its first bytes is shown as text.
const SNIFFED_BYTES: usize = 512;

/// Streams of commands in a cluster beside what is sent and answered: standard error, and how they
/// ended or a terminal's size, which are no words of theirs.
const ERRORS: i32 = 2;
const CONTROL: i32 = 3;

/// The moments of a request.
pub(super) fn moments(story: &Story) -> Vec<Moment> {
    let command = &story.command;
    let mut told = Told { seq: command.common.seq, moments: Vec::new() };
    let at_us = command.common.ts_us;
    let head = command.query_text.replace("\r\n", "\n");
    told.say(at_us, Stream::Input, format!("{}\n\n", head.trim_end()));
    for step in &story.approvals {
        let who = step.approver.as_deref().map_or(String::new(), |who| format!(" by {who}"));
        told.weir(step.common.ts_us, &format!("approval {}{who}", step.event));
    }
    let response = command.response.as_deref();
    let mut chunks: Vec<&ChunkRow> = story
        .chunks
        .iter()
        .filter(|chunk| matches!(chunk.encoding.as_str(), "http-content" | "ws-message" | "raw"))
        .collect();
    // By direction and number; what has one time keeps that order.
    chunks.sort_by_key(|chunk| passed_us(chunk));
    let mut is_answered = false;
    for chunk in &chunks {
        if chunk.stream != 0 && !std::mem::replace(&mut is_answered, true) {
            // Of one that goes on it is not known yet.
            if !story.goes_on {
                told.status(passed_us(chunk), response);
            }
        }
        told.content(chunk);
    }
    match response {
        Some(response) => {
            if !is_answered {
                told.status(response.common.ts_us, Some(response));
            }
            told.end(response);
        }
        None if story.goes_on => {}
        None if command.decision == "hold" => {
            told.weir(at_us, "it waits for approval, as far as the record goes");
        }
        None if command.decision == "abandoned" => told.weir(at_us, LEFT),
        None => told.weir(at_us, "no answer is recorded"),
    }
    told.moments
}

fn passed_us(chunk: &ChunkRow) -> i64 {
    chunk.at_us.unwrap_or(chunk.common.ts_us)
}

struct Told {
    seq: i64,
    moments: Vec<Moment>,
}

impl Told {
    fn say(&mut self, at_us: i64, stream: Stream, text: String) {
        // Rows of one request may be written after what they tell of.
        let at_us = self.moments.last().map_or(at_us, |last| at_us.max(last.at_us));
        self.moments.push(Moment::of(at_us, self.seq, stream, text));
    }

    fn weir(&mut self, at_us: i64, text: &str) {
        self.say(at_us, Stream::Weir, format!("[weir: {}]\n", text.replace('\n', " ")));
    }

    fn status(&mut self, at_us: i64, response: Option<&ResponseRow>) {
        match response.and_then(|response| response.status) {
            Some(status) => self.say(at_us, Stream::Output, format!("HTTP {status}\n\n")),
            None => self.weir(at_us, "no status is recorded"),
        }
    }

    fn content(&mut self, chunk: &ChunkRow) {
        let stream = match chunk.stream {
            0 => Stream::Input,
            ERRORS => Stream::Error,
            _ => Stream::Output,
        };
        let at_us = passed_us(chunk);
        let bytes = chunk.payload.as_slice();
        let start = bytes.get(..SNIFFED_BYTES).unwrap_or(bytes);
        let cut = super::cast::unfinished(start);
        let is_text = start
            .get(..start.len() - cut)
            .is_some_and(|start| std::str::from_utf8(start).is_ok() && !start.contains(&0));
        if !is_text {
            let whose = if chunk.stream == 0 { "of the request" } else { "of the answer" };
            return self.weir(at_us, &format!("{} bytes {whose}, no text", bytes.len()));
        }
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if chunk.stream == CONTROL {
            return self.weir(at_us, text.trim_end());
        }
        if chunk.encoding == "ws-message" && !text.ends_with('\n') {
            text.push('\n');
        }
        self.say(at_us, stream, text);
    }

    fn end(&mut self, response: &ResponseRow) {
        let at_us = response.common.ts_us;
        let is_line_open = self.moments.last().is_some_and(|last| !last.text.ends_with('\n'));
        if is_line_open {
            self.say(at_us, Stream::Output, "\n".to_owned());
        }
        if let Some(error) = response.error_text.as_deref().filter(|text| !text.is_empty()) {
            self.say(at_us, Stream::Error, format!("{error}\n"));
        }
        let lost = response.total_bytes - response.captured_bytes;
        if lost > 0 {
            self.weir(at_us, &format!("{lost} bytes of the answer were not captured"));
        }
        if response.outcome == "aborted" {
            self.weir(at_us, "the answer has no end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lake::{CommandRow, Common};

    fn chunk(stream: i32, ts_us: i64, encoding: &str, payload: &[u8]) -> ChunkRow {
        ChunkRow {
            common: Common { ts_us, ..Common::default() },
            stream,
            encoding: encoding.into(),
            payload: payload.to_vec(),
            ..ChunkRow::default()
        }
    }

    fn told(chunks: Vec<ChunkRow>, response: Option<ResponseRow>) -> Vec<(i64, Stream, String)> {
        let command = CommandRow {
            common: Common { seq: 3, ts_us: 100, ..Common::default() },
            query_text: "GET /events HTTP/1.1\r\nHost: h\r\n".into(),
            response: response.map(Box::new),
            ..CommandRow::default()
        };
        let story = Story { command, approvals: Vec::new(), chunks, goes_on: false };
        moments(&story).into_iter().map(|it| (it.at_us, it.stream, it.text)).collect()
    }

    fn answered(ts_us: i64, total_bytes: i64, captured_bytes: i64) -> ResponseRow {
        ResponseRow {
            common: Common { ts_us, ..Common::default() },
            status: Some(200),
            total_bytes,
            captured_bytes,
            ..ResponseRow::default()
        }
    }

    fn owned(expect: &[(i64, Stream, &str)]) -> Vec<(i64, Stream, String)> {
        expect.iter().map(|(at, stream, text)| (*at, *stream, (*text).to_owned())).collect()
    }

    const HEAD: (i64, Stream, &str) = (100, Stream::Input, "GET /events HTTP/1.1\nHost: h\n\n");

    #[test]
    fn events_of_a_stream_come_in_their_time() {
        let chunks = vec![
            chunk(1, 150, "http-content", b"data: 1\n\n"),
            chunk(1, 900, "http-content", b"data: 2\n\n"),
        ];
        let expect = [
            HEAD,
            (150, Stream::Output, "HTTP 200\n\n"),
            (150, Stream::Output, "data: 1\n\n"),
            (900, Stream::Output, "data: 2\n\n"),
            (950, Stream::Weir, "[weir: 5 bytes of the answer were not captured]\n"),
        ];
        assert_eq!(told(chunks, Some(answered(950, 23, 18))), owned(&expect));
    }

    #[test]
    fn messages_of_both_sides_stand_between_each_other() {
        let chunks = vec![
            chunk(0, 200, "ws-message", b"ping?"),
            chunk(0, 400, "ws-message", &[0, 1, 2]),
            chunk(1, 300, "ws-message", b"pong!"),
        ];
        let expect = [
            HEAD,
            (200, Stream::Input, "ping?\n"),
            (300, Stream::Output, "HTTP 200\n\n"),
            (300, Stream::Output, "pong!\n"),
            (400, Stream::Weir, "[weir: 3 bytes of the request, no text]\n"),
        ];
        assert_eq!(told(chunks, Some(answered(500, 5, 5))), owned(&expect));
    }

    #[test]
    fn a_command_in_a_cluster_is_told_by_its_streams() {
        let chunks = vec![
            chunk(0, 200, "raw", b"typed\n"),
            chunk(1, 300, "raw", b"o\n"),
            chunk(2, 310, "http-content", b"e\n"),
            chunk(3, 400, "http-content", br#"{"status":"Failure"}"#),
        ];
        let expect = [
            HEAD,
            (200, Stream::Input, "typed\n"),
            (300, Stream::Output, "HTTP 200\n\n"),
            (300, Stream::Output, "o\n"),
            (310, Stream::Error, "e\n"),
            (400, Stream::Weir, "[weir: {\"status\":\"Failure\"}]\n"),
        ];
        assert_eq!(told(chunks, Some(answered(500, 4, 4))), owned(&expect));
    }

    #[test]
    fn an_answer_that_is_missing_is_said_to_be() {
        let expect = [HEAD, (100, Stream::Weir, "[weir: no answer is recorded]\n")];
        assert_eq!(told(Vec::new(), None), owned(&expect));
        let expect = [HEAD, (500, Stream::Output, "HTTP 200\n\n")];
        assert_eq!(told(Vec::new(), Some(answered(500, 0, 0))), owned(&expect));
    }
}
