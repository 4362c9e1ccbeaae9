//! What peers say in HTTP/1.1, WebSocket and server-sent events: the same in any split, and what
//! weir writes of it is the same message to whoever reads it.

use weir::wire::Side;
use weir::wire::http::form::Scan;
use weir::wire::http::h1::read::Kind;
use weir::wire::http::h1::write::{self, Onward};
use weir::wire::http::h1::{Body, Framing, HeadReader, Piece, Role};
use weir::wire::http::pass::Pass;
use weir::wire::http::ws::frame::{self, Opcode, Reader, Step};
use weir::wire::http::{Head, Refused, sse};

/// A message that was read: its head, how its body ends, its content, whether it is whole.
struct Message {
    head: Head,
    framing: Option<Framing>,
    content: Vec<u8>,
    whole: bool,
}

/// Fields, how the body ends, content, whether it is whole.
type Summary<'m> = (Vec<(Vec<u8>, Vec<u8>)>, Option<Framing>, &'m [u8], bool);

impl Message {
    fn summary(&self) -> Summary<'_> {
        let fields = if self.framing.is_some() { self.head.named().collect() } else { Vec::new() };
        let owned = fields.into_iter().map(|(_, n, v)| (n.to_vec(), v.to_vec())).collect();
        (owned, self.framing, &self.content, self.whole)
    }
}

fn read(bytes: &[u8], piece: usize, kind: Kind) -> Result<Message, Refused> {
    let mut reader = HeadReader::default();
    let mut trailers = Head::default();
    let mut message =
        Message { head: Head::default(), framing: None, content: Vec::new(), whole: false };
    let mut body = Body::new(Framing::None);
    for mut input in bytes.chunks(piece.max(1)) {
        while !message.whole {
            if message.framing.is_none() {
                if !reader.next(&mut input, &mut message.head, kind)? {
                    break;
                }
                let role = match kind {
                    Kind::Request => Role::Request,
                    _ => Role::Answer { to_head: false },
                };
                let framing = Framing::of(&message.head, role)?;
                message.framing = Some(framing);
                body = Body::new(framing);
            }
            match body.next(&mut input, &mut trailers)? {
                Piece::Need => break,
                Piece::Data(data) => message.content.extend_from_slice(data),
                Piece::End => message.whole = true,
            }
        }
    }
    Ok(message)
}

/// A request: refused or read in any split alike, and written as exactly one request.
pub fn request(bytes: &[u8]) {
    let whole = read(bytes, usize::MAX, Kind::Request);
    for piece in [1, 3, 64] {
        match (&whole, &read(bytes, piece, Kind::Request)) {
            (Ok(whole), Ok(split)) => assert_eq!(whole.summary(), split.summary()),
            (Err(_), Err(_)) => {}
            _ => panic!("in pieces of {piece} it is another message"),
        }
    }
    let Ok(Message { head, framing: Some(framing), content, whole: true }) = whole else { return };
    let mut out = Vec::new();
    let onward = Onward {
        target: head.target(),
        host: b"target.example:8080",
        framing,
        pass: Pass::default(),
        added: &[],
        upgrade: false,
    };
    write::request(&mut out, &head, &onward);
    if framing == Framing::Chunked {
        if !content.is_empty() {
            write::chunk_head(&mut out, content.len());
            out.extend_from_slice(&content);
            out.extend_from_slice(write::CHUNK_END);
        }
        write::last_chunk(&mut out, None);
    } else {
        out.extend_from_slice(&content);
    }
    let again = read(&out, usize::MAX, Kind::Request).expect("what weir writes is good");
    assert!(again.whole, "what weir wrote does not end");
    assert_eq!((again.framing, &again.content), (Some(framing), &content));
    assert_eq!((again.head.method(), again.head.target()), (head.method(), head.target()));
    assert_eq!(again.head.authority(), b"target.example:8080");
}

/// An answer: refused or read in any split alike.
pub fn answer(bytes: &[u8]) {
    let whole = read(bytes, usize::MAX, Kind::Answer);
    for piece in [1, 3, 64] {
        match (&whole, &read(bytes, piece, Kind::Answer)) {
            (Ok(whole), Ok(split)) => assert_eq!(whole.summary(), split.summary()),
            (Err(_), Err(_)) => {}
            _ => panic!("in pieces of {piece} it is another message"),
        }
    }
}

/// A message or a control frame.
type Frame = (Option<Opcode>, Vec<u8>);

fn frames(bytes: &[u8], side: Side, piece: usize) -> (Vec<Frame>, bool) {
    let mut reader = Reader::new(side);
    let mut found = Vec::new();
    let mut data = Vec::new();
    for mut input in bytes.chunks(piece.max(1)) {
        loop {
            let step = match reader.next(&mut input) {
                Ok(step) => step,
                Err(_) => return (found, true),
            };
            match step {
                Step::Need => break,
                Step::Data { bytes, last, .. } => {
                    data.extend_from_slice(bytes);
                    if last {
                        found.push((None, std::mem::take(&mut data)));
                    }
                }
                Step::Ping(data) => found.push((Some(Opcode::Ping), data.to_vec())),
                Step::Pong(data) => found.push((Some(Opcode::Pong), data.to_vec())),
                Step::Close(_, reason) => {
                    found.push((Some(Opcode::Close), reason.to_vec()));
                    return (found, false);
                }
            }
        }
    }
    (found, false)
}

/// Frames of either side, in any split; written again they are the same messages.
pub fn websocket(bytes: &[u8]) {
    for (side, key) in [(Side::Client, Some([1, 2, 3, 4])), (Side::Server, None)] {
        let whole = frames(bytes, side, usize::MAX);
        for piece in [1, 3, 64] {
            assert_eq!(whole, frames(bytes, side, piece), "in pieces of {piece}");
        }
        let mut out = Vec::new();
        let mut sent = Vec::new();
        for (control, data) in whole.0 {
            match control {
                Some(Opcode::Close) => continue,
                Some(opcode) => frame::write(&mut out, opcode, true, key, &data),
                None => frame::write(&mut out, Opcode::Binary, true, key, &data),
            }
            sent.push((control, data));
        }
        assert_eq!(frames(&out, side, usize::MAX), (sent, false));
    }
}

/// A stream of events: no byte is lost or added, and every event ends with an empty line.
pub fn events(bytes: &[u8]) {
    for piece in [1, 3, 64, bytes.len().max(1)] {
        let mut splitter = sse::Splitter::default();
        let mut found = Vec::new();
        for mut input in bytes.chunks(piece) {
            while let Ok(Some(event)) = splitter.next(&mut input) {
                assert!(matches!(event.last(), Some(b'\r' | b'\n')));
                found.extend_from_slice(event);
            }
        }
        found.extend_from_slice(splitter.rest());
        assert_eq!(found, bytes, "in pieces of {piece}");
    }
}

/// What readers of forms take a name for: decoded once, folded.
fn folded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let digits = behind.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        match (byte, digits.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(value)) => {
                rest = &behind[2..];
                out.push(value);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    let plain = |byte: &u8| if byte.is_ascii_alphanumeric() { *byte } else { b'_' };
    out.trim_ascii().iter().map(plain).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Content of a request, behind its type and a line end: refused or passed in any split alike, and
/// what passes names no other method to a plain reader.
pub fn form(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (kind, content) = (&bytes[..at], &bytes[at + 1..]);
    let head = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ", kind, b"\r\n\r\n"].concat();
    let mut head_of = Head::default();
    let mut reader = HeadReader::default();
    if reader.next(&mut head.as_slice(), &mut head_of, Kind::Request) != Ok(true) {
        return;
    }
    let judged = |piece: usize| {
        let Ok(Some(mut scan)) = Scan::of(&head_of) else { return None };
        Some(content.chunks(piece.max(1)).try_for_each(|part| scan.push(part)))
    };
    let whole = judged(usize::MAX);
    for piece in [1, 3, 64] {
        assert_eq!(judged(piece), whole, "in pieces of {piece}");
    }
    let pairs = matches!(Scan::of(&head_of), Ok(Some(Scan::Pairs(_))));
    if whole != Some(Ok(())) || !pairs {
        return;
    }
    for pair in content.split(|byte| matches!(byte, b'&' | b';')) {
        let Some(end) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (folded(&pair[..end]), pair[end + 1..].to_ascii_lowercase());
        let is_own = value.contains(&b'%') || b"post".starts_with(&value);
        assert!(name != b"_method" || is_own, "a form that says another method passed");
    }
}
