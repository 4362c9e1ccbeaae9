//! HTTP/1.1's side of the loop: one request, its answer, the next one.
//!
//! In: bytes of answers, in any split. Out: requests, answers that ended. Never: pipelining; no
//! browser does it, and proxies answer it as they like.
//!
//! ```text
//! Head --Content-Length--> Body --------------------> Head
//!      --chunked---------> Size <--> Chunk            |
//!      |                    \--0--> Trailers ---------/
//!      --neither---------> UntilEnd --(closed)--> ended
//! ```

use super::Ended;
use crate::http::Http;
use crate::outcome::Finished;

/// A head, a line of a chunk or the trailers may not be longer.
const LINE_BYTES_MAX: usize = 64 << 10;

/// One connection.
pub struct Talk {
    part: Part,
    /// The line or head that has begun.
    held: Vec<u8>,
    /// What is asked now; its number.
    asked: Option<u64>,
    next: u64,
    is_head: bool,
    seen: Finished,
    error: Option<String>,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Body(u64),
    Size,
    Chunk(u64),
    Trailers,
    UntilEnd,
}

impl Default for Talk {
    fn default() -> Talk {
        Talk::new()
    }
}

impl Talk {
    /// Nothing is asked yet.
    pub fn new() -> Talk {
        Talk {
            part: Part::Head,
            held: vec![],
            asked: None,
            next: 0,
            is_head: false,
            seen: Finished::default(),
            error: None,
            closing: false,
        }
    }

    /// The server has said that it closes.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// One request.
    pub fn ask(&mut self, http: &Http, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(&http.one);
        let id = self.next;
        self.next += 1;
        self.asked = Some(id);
        self.is_head = http.method == "HEAD";
        id
    }

    /// Bytes of the server.
    ///
    /// # Errors
    /// A sentence: this is no answer of HTTP/1.1, or nobody asked for it.
    pub fn hear(&mut self, mut bytes: &[u8], ended: &mut Vec<Ended>) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.asked.is_none() {
                return Err("an answer to no request".to_owned());
            }
            let before = bytes.len();
            let (part, is_over) = match self.part {
                Part::Head => match self.line(&mut bytes, b"\r\n\r\n")? {
                    true => self.head()?,
                    false => (Part::Head, false),
                },
                Part::Size => match self.line(&mut bytes, b"\r\n")? {
                    true => (self.size()?, false),
                    false => (Part::Size, false),
                },
                Part::Trailers => match self.line(&mut bytes, b"\r\n")? {
                    true => self.trailer(),
                    false => (Part::Trailers, false),
                },
                Part::Body(left) => match skip(&mut bytes, left) {
                    0 => (Part::Head, true),
                    left => (Part::Body(left), false),
                },
                Part::Chunk(left) => match skip(&mut bytes, left) {
                    0 => (Part::Size, false),
                    left => (Part::Chunk(left), false),
                },
                Part::UntilEnd => {
                    bytes = &[];
                    (Part::UntilEnd, false)
                }
            };
            self.part = part;
            self.seen.bytes += (before - bytes.len()) as u64;
            if is_over {
                self.end(ended);
            }
        }
        Ok(())
    }

    /// The server has closed.
    pub fn hear_end(&mut self, ended: &mut Vec<Ended>) {
        if self.part == Part::UntilEnd {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: &mut Vec<Ended>) {
        self.part = Part::Head;
        let (seen, error) = (std::mem::take(&mut self.seen), self.error.take());
        ended.extend(self.asked.take().map(|id| Ended { id, seen, error }));
    }

    /// Takes bytes up to this end into `held`; whether it was there.
    fn line(&mut self, bytes: &mut &[u8], end: &[u8]) -> Result<bool, String> {
        // The end may lie across two reads.
        let from = (self.held.len() + 1).saturating_sub(end.len());
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let found = self.held[from..].windows(end.len()).position(|part| part == end);
        match found {
            Some(at) => {
                let whole = from + at + end.len();
                *bytes = &bytes[whole - before..];
                self.held.truncate(whole);
                Ok(true)
            }
            None if self.held.len() > LINE_BYTES_MAX => Err("a head without an end".to_owned()),
            None => {
                *bytes = &[];
                Ok(false)
            }
        }
    }

    /// The head is whole: what follows, and whether that is all.
    fn head(&mut self) -> Result<(Part, bool), String> {
        let held = std::mem::take(&mut self.held);
        let text = String::from_utf8_lossy(&held);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        let status: u16 = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok())
            .ok_or_else(|| format!("{first:?}: no answer of HTTP/1.1"))?;
        if (100..200).contains(&status) {
            return Ok((Part::Head, false));
        }
        self.closing |= first.starts_with("HTTP/1.0");
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse().map_err(|_| value.to_owned())?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => self.closing |= value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        if !(200..400).contains(&status) {
            self.seen.failed = true;
            self.error = Some(format!("status {status}"));
        }
        Ok(match (length, chunked) {
            _ if self.is_head || status == 204 || status == 304 => (Part::Head, true),
            (_, true) => (Part::Size, false),
            (Some(0), _) => (Part::Head, true),
            (Some(length), _) => (Part::Body(length), false),
            (None, false) => {
                self.closing = true;
                (Part::UntilEnd, false)
            }
        })
    }

    /// The size of a chunk, whose own end of line is counted with it.
    fn size(&mut self) -> Result<Part, String> {
        let line = std::mem::take(&mut self.held);
        let text = String::from_utf8_lossy(&line);
        let digits = text.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| format!("{digits:?}: no size"))?;
        Ok(if size == 0 { Part::Trailers } else { Part::Chunk(size.saturating_add(2)) })
    }

    fn trailer(&mut self) -> (Part, bool) {
        let line = std::mem::take(&mut self.held);
        if line == b"\r\n" { (Part::Head, true) } else { (Part::Trailers, false) }
    }
}

/// Passes over bytes; how many are still to come.
fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let take = left.min(bytes.len() as u64) as usize;
    *bytes = &bytes[take..];
    left - take as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Http {
        Http::parse("http://h/").unwrap()
    }

    /// What ended, of an answer in these pieces.
    fn heard(pieces: &[&[u8]]) -> Result<(Vec<Ended>, Talk), String> {
        let (mut talk, mut ended) = (Talk::new(), vec![]);
        talk.ask(&http(), &mut vec![]);
        for piece in pieces {
            talk.hear(piece, &mut ended)?;
        }
        Ok((ended, talk))
    }

    const ANSWERS: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\na: b\r\n\r\n",
    ];

    #[test]
    fn answers_end_where_they_should_however_they_are_split() {
        for whole in ANSWERS {
            for at in 0..whole.len() {
                let (ended, talk) = heard(&[&whole[..at], &whole[at..]]).unwrap();
                let [one] = &ended[..] else { panic!("{at}: {ended:?}") };
                assert_eq!((one.seen.bytes, one.seen.failed), (whole.len() as u64, false));
                assert!(!talk.is_closing());
            }
            for end in 0..whole.len() {
                let (ended, _) = heard(&[&whole[..end]]).unwrap();
                assert!(ended.is_empty(), "{end} of {}", String::from_utf8_lossy(whole));
            }
        }
    }

    #[test]
    fn statuses_and_closing_are_seen() {
        let (ended, talk) =
            heard(&[b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"])
                .unwrap();
        assert_eq!(ended[0].error.as_deref(), Some("status 403"));
        assert!(ended[0].seen.failed && talk.is_closing());
        let (ended, mut talk) = heard(&[b"HTTP/1.1 200 OK\r\n\r\nuntil the end"]).unwrap();
        assert!(ended.is_empty() && talk.is_closing());
        let mut ended = vec![];
        talk.hear_end(&mut ended);
        assert_eq!(ended.len(), 1);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            &[b'a'; LINE_BYTES_MAX + 1],
        ] {
            assert!(heard(&[bytes]).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
