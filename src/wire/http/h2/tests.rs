//! Byte scripts, floods, and pairs of both roles.

use super::frame::{
    ACK, END_HEADERS, END_STREAM, FrameHead, HEAD_BYTES, Kind, PADDED, PRIORITY, short,
};
use super::hpack::{Decoder, Encoder, Fields, Keep};
use super::*;

mod floods;
mod pairs;
mod scripts;

pub(super) type Lines<'l> = &'l [(&'l str, &'l str)];

pub(super) const GET: Lines<'static> = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "billing.example.com"),
    (":path", "/orders?id=1"),
];
pub(super) const POST: Lines<'static> = &[
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "billing.example.com"),
    (":path", "/orders"),
    ("content-length", "5"),
];

pub(super) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    short(kind, flags, stream, payload, &mut bytes);
    bytes
}

/// A block that needs no table.
pub(super) fn block(lines: Lines<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        Encoder::default().field(name, value, Keep::Never, &mut out);
    }
    out
}

pub(super) fn headers(stream: u32, flags: u8, lines: Lines<'_>) -> Vec<u8> {
    frame(Kind::Headers, flags | END_HEADERS, stream, &block(lines))
}

pub(super) fn hello() -> Vec<u8> {
    [&PREFACE[..], &frame(Kind::Settings, 0, 0, &[])].concat()
}

/// A server whose client has said hello, with nothing to be sent.
pub(super) fn server() -> Connection {
    let mut server = Connection::server("https", true);
    assert_eq!(run(&mut server, &hello()), ["Ready"]);
    server.take_output(&mut Vec::new());
    server
}

/// A client with one request under way on stream 1.
pub(super) fn client() -> Connection {
    let mut client = Connection::client("https");
    assert_eq!(run(&mut client, &frame(Kind::Settings, 0, 0, &[])), ["Ready"]);
    assert_eq!(client.open(false, true, |block| write(block, GET)), Some(1));
    client.take_output(&mut Vec::new());
    client
}

pub(super) fn write(block: &mut Block<'_>, lines: Lines<'_>) {
    for (name, value) in lines {
        block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
    }
}

/// What came of `bytes`, in pieces; data of one stream that follows itself is put together. The
/// last line is the error, if there was one.
pub(super) fn run_pieces(connection: &mut Connection, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut open = None;
    for mut input in bytes.chunks(piece.max(1)) {
        loop {
            let event = match connection.receive(&mut input, 0) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(fatal) => {
                    said.push(format!("Fatal {}", fatal.code.name()));
                    return said;
                }
            };
            let (data, line) = match event {
                Event::Data { stream, bytes, last } => {
                    let end = if last { "." } else { "" };
                    (Some(stream), format!("{}{end}", bytes.escape_ascii()))
                }
                Event::Head { stream, last } => {
                    let head = connection.head();
                    let fields: Vec<String> = head
                        .named()
                        .map(|(_, n, v)| format!(" {}={}", n.escape_ascii(), v.escape_ascii()))
                        .collect();
                    let what = match head.status() {
                        Some(status) => status.to_string(),
                        None => format!(
                            "{} {}{}",
                            head.method().escape_ascii(),
                            head.authority().escape_ascii(),
                            head.target().escape_ascii()
                        ),
                    };
                    let end = if last { "." } else { "" };
                    (None, format!("Head {stream} {what}{}{end}", fields.concat()))
                }
                Event::Refused { stream, why } => (None, format!("Refused {stream} {why:?}")),
                Event::Reset { stream, code } => (None, format!("Reset {stream} {}", code.name())),
                event => (None, format!("{event:?}")),
            };
            match (data, open) {
                (Some(stream), Some(before)) if stream == before => {
                    said.last_mut().unwrap().push_str(&line);
                }
                (Some(stream), _) => said.push(format!("Data {stream} {line}")),
                (None, _) => said.push(line),
            }
            open = data;
        }
    }
    said
}

pub(super) fn run(connection: &mut Connection, bytes: &[u8]) -> Vec<String> {
    run_pieces(connection, bytes, usize::MAX)
}

/// Types, streams and payloads of what is to be sent.
pub(super) fn sent(connection: &mut Connection) -> Vec<(Kind, u8, u32, Vec<u8>)> {
    let mut out = Vec::new();
    connection.take_output(&mut out);
    let mut rest = out.strip_prefix(&PREFACE[..]).unwrap_or(&out);
    let mut frames = Vec::new();
    while let Some(head) = rest.first_chunk::<HEAD_BYTES>().map(FrameHead::read) {
        let end = HEAD_BYTES + head.length as usize;
        frames.push((head.kind, head.flags, head.stream, rest[HEAD_BYTES..end].to_vec()));
        rest = &rest[end..];
    }
    assert!(rest.is_empty(), "half a frame was sent");
    frames
}

/// The codes of the RST_STREAM frames to be sent, with their streams.
pub(super) fn resets(connection: &mut Connection) -> Vec<(u32, u32)> {
    sent(connection)
        .into_iter()
        .filter(|(kind, ..)| *kind == Kind::RstStream)
        .map(|(_, _, stream, payload)| (stream, u32::from_be_bytes(payload.try_into().unwrap())))
        .collect()
}
