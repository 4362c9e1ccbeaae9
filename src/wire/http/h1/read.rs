//! Where a head ends, and what it says.
//!
//! In: bytes of one side in any split. Out: a [`Head`] that passed every check of `check`.
//! Never: a line that ends with anything but CRLF; a byte behind the head.
//!
//! ```text
//!   arena of the head      input
//!   [ G E T _ / _ H T T ] [ P / 1 . 1 \r \n H o s t ... \r \n \r \n | body ]
//!                     ^ scanned so far                              ^ input is moved to here
//! ```

use std::mem::MaybeUninit;

use memchr::memchr2;

use crate::limits::{
    HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_LINE_BYTES_MAX, HTTP_TRAILER_BYTES_MAX,
    HTTP_TRAILERS_MAX, HTTP_VALUE_BYTES_MAX,
};
use crate::wire::http::check;
use crate::wire::http::head::{Field, Head, Span, Version};
use crate::wire::http::name::Name;
use crate::wire::http::refused::Refused;

/// The first bytes of a client that speaks HTTP/2 without having agreed on it (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a head is the head of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request.
    Request,
    /// An answer.
    Answer,
    /// The trailers behind the last chunk.
    Trailers,
}

impl Kind {
    const fn bytes_max(self) -> usize {
        match self {
            Kind::Request | Kind::Answer => HTTP_HEAD_BYTES_MAX,
            Kind::Trailers => HTTP_TRAILER_BYTES_MAX,
        }
    }

    const fn too_long(self) -> Refused {
        match self {
            Kind::Request | Kind::Answer => Refused::HeadBytes,
            Kind::Trailers => Refused::Trailer,
        }
    }
}

/// Finds the end of one head after the other.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Bytes of the line that is not over.
    line_bytes: usize,
    /// The last byte was a CR.
    after_cr: bool,
    /// Lines that are over.
    lines: usize,
    /// The one empty line that may stand before a request was there.
    skipped: bool,
}

impl HeadReader {
    /// Whether a head has begun: the connection must not end now.
    pub fn has_begun(&self) -> bool {
        self.line_bytes > 0 || self.lines > 0 || self.after_cr || self.skipped
    }

    /// Whether anything but an empty line was received: from here on a head has its time.
    pub fn is_empty(&self) -> bool {
        self.lines == 0 && self.line_bytes == 0
    }

    /// Takes bytes from `input` until the head is whole, and says whether it is. `head` is cleared
    /// before the first byte, and must be the same until then.
    ///
    /// # Errors
    /// The reason for which the head is refused. Nothing behind it can be trusted.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        head: &mut Head,
        kind: Kind,
    ) -> Result<bool, Refused> {
        if !self.has_begun() {
            head.clear(Version::Http11);
        }
        let (end, is_whole) = self.scan(input, kind)?;
        let (bytes, rest) = input.split_at_checked(end).unwrap_or((*input, &[]));
        *input = rest;
        head.append(bytes).map_err(|_| kind.too_long())?;
        if head.arena().len() > kind.bytes_max() {
            return Err(kind.too_long());
        }
        if !is_whole {
            return Ok(false);
        }
        *self = HeadReader::default();
        match kind {
            Kind::Request => request(head)?,
            Kind::Answer => answer(head)?,
            Kind::Trailers => trailers(head)?,
        }
        Ok(true)
    }

    /// How many bytes of `input` belong to the head, and whether it is whole with them.
    fn scan(&mut self, input: &mut &[u8], kind: Kind) -> Result<(usize, bool), Refused> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or(&[]);
            if self.after_cr {
                match rest.first() {
                    None => return Ok((at, false)),
                    Some(b'\n') => at += 1,
                    Some(_) => return Err(Refused::LineEnd),
                }
                self.after_cr = false;
                let length = std::mem::take(&mut self.line_bytes);
                if length > 0 {
                    self.check_line_bytes(length, kind)?;
                    self.lines += 1;
                    continue;
                }
                if self.lines > 0 || kind == Kind::Trailers {
                    return Ok((at, true));
                }
                if self.skipped || kind == Kind::Answer {
                    return Err(Refused::EmptyLines);
                }
                self.skipped = true;
                continue;
            }
            let Some(found) = memchr2(b'\r', b'\n', rest) else {
                self.line_bytes += rest.len();
                self.check_line_bytes(self.line_bytes, kind)?;
                return Ok((input.len(), false));
            };
            if rest.get(found) == Some(&b'\n') {
                return Err(Refused::LineEnd);
            }
            self.line_bytes += found;
            self.after_cr = true;
            at += found + 1;
        }
    }
}

impl HeadReader {
    /// The first line has a bound of its own.
    fn check_line_bytes(&self, bytes: usize, kind: Kind) -> Result<(), Refused> {
        let is_first = self.lines == 0 && kind != Kind::Trailers;
        if is_first && bytes > HTTP_LINE_BYTES_MAX { Err(Refused::LineBytes) } else { Ok(()) }
    }
}

/// Room for the fields that the parser finds.
type Slots<'h> = [MaybeUninit<httparse::Header<'h>>; HTTP_FIELDS_MAX];

const fn slots<'h>() -> Slots<'h> {
    [const { MaybeUninit::uninit() }; HTTP_FIELDS_MAX]
}

const fn reason(error: httparse::Error) -> Refused {
    match error {
        httparse::Error::HeaderName => Refused::Field,
        httparse::Error::HeaderValue | httparse::Error::NewLine => Refused::Value,
        httparse::Error::Status => Refused::Status,
        httparse::Error::Token => Refused::Line,
        httparse::Error::TooManyHeaders => Refused::FieldCount,
        httparse::Error::Version => Refused::Version,
    }
}

/// Where `part` stands in `whole`, of which it is a part.
fn span(whole: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    match start <= whole.len() && part.len() <= whole.len() - start {
        true => Span { start: start as u32, len: part.len() as u32 },
        false => Span::default(),
    }
}

fn push_fields(
    arena: &[u8],
    found: &[httparse::Header],
    fields: &mut Vec<Field>,
) -> Result<(), Refused> {
    for header in found {
        if header.value.len() > HTTP_VALUE_BYTES_MAX {
            return Err(Refused::ValueBytes);
        }
        let name = header.name.as_bytes();
        let known = Name::read(name)?;
        let (name, value) = (span(arena, name), span(arena, header.value));
        fields.push(Field { name, value, known, never_indexed: false });
    }
    Ok(())
}

/// A line behind the first one that begins with a blank: obs-fold, or a blank before the first
/// field. The parser refuses both; here they have a reason of their own.
fn check_folds(arena: &[u8]) -> Result<(), Refused> {
    let mut ends = memchr::memchr_iter(b'\n', arena);
    let is_blank = |at: usize| matches!(arena.get(at + 1), Some(b' ' | b'\t'));
    if ends.any(is_blank) { Err(Refused::Folded) } else { Ok(()) }
}

fn version(version: Option<u8>) -> Version {
    if version == Some(0) { Version::Http10 } else { Version::Http11 }
}

/// The parts of a request line.
struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
}

fn request(head: &mut Head) -> Result<(), Refused> {
    let mut line = None;
    head.push_parsed(|arena, fields| {
        // One empty line may stand before; the parser would take any number of them.
        let bytes = arena.strip_prefix(b"\r\n").unwrap_or(arena);
        check_line(bytes)?;
        check_folds(bytes)?;
        let mut slots = slots();
        let mut parsed = httparse::Request::new(&mut []);
        // Of the line, only the target can still be wrong.
        let status = parsed.parse_with_uninit_headers(bytes, &mut slots).map_err(|e| match e {
            httparse::Error::Token => Refused::Target,
            other => reason(other),
        })?;
        let (httparse::Status::Complete(_), Some(method), Some(target)) =
            (status, parsed.method, parsed.path)
        else {
            return Err(Refused::Line);
        };
        line = Some(RequestLine {
            method: span(arena, method.as_bytes()),
            target: span(arena, target.as_bytes()),
            version: version(parsed.version),
        });
        push_fields(arena, parsed.headers, fields)
    })?;
    let RequestLine { method, target, version } = line.ok_or(Refused::Line)?;
    head.set_version(version);
    check::method(head.bytes(method))?;
    let mut hosts = head.fields().iter().filter(|field| field.known == Name::Host);
    let host = hosts.next().ok_or(Refused::HostMissing)?.value;
    if hosts.next().is_some() {
        return Err(Refused::HostRepeated);
    }
    let target = origin_form(head, method, target, host)?;
    head.set_request(method, host, target, None)?;
    head.check_connection()?;
    head.expects_continue()?;
    check_upgrade(head)
}

/// The line before the parser sees it: what it calls a bad token has several reasons. A lone
/// `PRI` is the preface in the middle of a connection; two parts are HTTP/0.9.
fn check_line(bytes: &[u8]) -> Result<(), Refused> {
    let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    let line = bytes.get(..end).unwrap_or(&[]);
    let mut parts = line.split(|byte| *byte == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(b"PRI"), ..) => Err(Refused::Preface),
        (Some(method), Some(target), Some(version), None) => {
            if !check::is_token(method) {
                return Err(Refused::Method);
            }
            if target.is_empty() {
                return Err(Refused::Line);
            }
            match version {
                b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
                _ => Err(Refused::Version),
            }
        }
        _ => Err(Refused::Line),
    }
}

/// The target in origin-form. In absolute-form its authority has to be the one of `Host`
/// (RFC 9112 3.2.2 lets it win; the target may disagree).
fn origin_form(head: &mut Head, method: Span, target: Span, host: Span) -> Result<Span, Refused> {
    let bytes = head.bytes(target);
    if matches!(bytes.first(), Some(b'/' | b'*')) {
        return Ok(target);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        bytes.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let skipped = scheme.ok_or(Refused::Target)?.len();
    let rest = bytes.get(skipped..).unwrap_or(&[]);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || !authority.eq_ignore_ascii_case(head.bytes(host)) {
        return Err(Refused::Authority);
    }
    match path.first() {
        Some(b'/') => {
            let start = target.start + (skipped + end) as u32;
            Ok(Span { start, len: path.len() as u32 })
        }
        // RFC 9112 3.2.1 and 3.2.4: no path is `/`, and of OPTIONS `*`.
        None if head.bytes(method) == b"OPTIONS" => head.append(b"*"),
        None => head.append(b"/"),
        Some(_) => Err(Refused::Target),
    }
}

/// `Upgrade` asks for one protocol. That HTTP/2 in clear is asked for (RFC 9113 3.1: obsolete) is
/// ignored, as RFC 9110 7.8 lets a server do: Java's client and curl's `--http2` begin so.
fn check_upgrade(head: &Head) -> Result<(), Refused> {
    let mut values = head.values(Name::Upgrade);
    let Some(value) = values.next() else { return Ok(()) };
    // RFC 9110 7.8: a name, and perhaps a version behind a slash (`SPDY/3.1`).
    let is_protocol = value.splitn(2, |byte| *byte == b'/').all(check::is_token);
    let is_one = values.next().is_none() && is_protocol;
    if !is_one || value.eq_ignore_ascii_case(b"h2") {
        return Err(Refused::Upgrade);
    }
    // Without its connection option it asks for nothing, and a target might think otherwise.
    if head.connection_says(b"upgrade") { Ok(()) } else { Err(Refused::Upgrade) }
}

fn answer(head: &mut Head) -> Result<(), Refused> {
    let mut line = None;
    head.push_parsed(|arena, fields| {
        check_folds(arena)?;
        let mut slots = slots();
        let mut parsed = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut parsed, arena, &mut slots)
            .map_err(reason)?;
        let (httparse::Status::Complete(_), Some(code)) = (status, parsed.code) else {
            return Err(Refused::Line);
        };
        // What the parser leaves out of a reason that is not ASCII, weir leaves out too.
        let words = parsed.reason.map(str::as_bytes).map(|words| span(arena, words));
        line = Some((code, words.unwrap_or_default(), version(parsed.version)));
        push_fields(arena, parsed.headers, fields)
    })?;
    let (code, words, version) = line.ok_or(Refused::Line)?;
    if !(100..=599).contains(&code) {
        return Err(Refused::Status);
    }
    head.set_version(version);
    head.set_status(code);
    head.set_reason(words);
    head.check_connection()
}

fn trailers(head: &mut Head) -> Result<(), Refused> {
    head.push_parsed(|arena, fields| {
        check_folds(arena).map_err(|_| Refused::Trailer)?;
        if matches!(arena.first(), Some(b' ' | b'\t')) {
            return Err(Refused::Trailer);
        }
        let mut slots = [httparse::EMPTY_HEADER; HTTP_TRAILERS_MAX];
        let parsed = httparse::parse_headers(arena, &mut slots).map_err(|_| Refused::Trailer)?;
        match parsed {
            httparse::Status::Complete((_, found)) => {
                push_fields(arena, found, fields).map_err(|_| Refused::Trailer)
            }
            httparse::Status::Partial => Err(Refused::Trailer),
        }
    })
}
