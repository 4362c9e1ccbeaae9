use super::frame::{self, Broken, Opcode, Reader, Step};
use super::handshake;
use super::utf8::Utf8;
use crate::wire::Side;
use crate::wire::http::Refused;
use crate::wire::http::h1::read::{HeadReader, Kind as HeadKind};
use crate::wire::http::head::Head;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What was read: whole messages and control frames, as text.
fn read(bytes: &[u8], side: Side, piece: usize) -> Result<Vec<String>, Broken> {
    let mut reader = Reader::new(side);
    let mut found = Vec::new();
    let mut message = Vec::new();
    for mut input in bytes.chunks(piece.max(1)) {
        loop {
            match reader.next(&mut input)? {
                Step::Need => break,
                Step::Data { kind, bytes, last } => {
                    message.extend_from_slice(bytes);
                    if last {
                        found.push(format!("{kind:?} {}", message.escape_ascii()));
                        message.clear();
                    }
                }
                Step::Ping(data) => found.push(format!("Ping {}", data.escape_ascii())),
                Step::Pong(data) => found.push(format!("Pong {}", data.escape_ascii())),
                Step::Close(code, reason) => {
                    found.push(format!("Close {code:?} {}", reason.escape_ascii()));
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

fn read_any_split(bytes: &[u8], side: Side) -> Result<Vec<String>, Broken> {
    let whole = read(bytes, side, bytes.len());
    for piece in 1..bytes.len().min(200) {
        assert_eq!(whole, read(bytes, side, piece), "in pieces of {piece}");
    }
    whole
}

fn frame(opcode: Opcode, fin: bool, key: Option<[u8; 4]>, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, opcode, fin, key, data);
    out
}

#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    // RFC 6455 5.7.
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read_any_split(masked, Side::Client), Ok(vec!["Text Hello".to_owned()]));
    assert_eq!(frame(Opcode::Text, true, Some(KEY), b"Hello"), masked);
    let fragments = b"\x01\x03Hel\x89\x05Hello\x80\x02lo";
    let found = read_any_split(fragments, Side::Server);
    assert_eq!(found, Ok(vec!["Ping Hello".to_owned(), "Text Hello".to_owned()]));
}

#[test]
fn frames_of_every_length_come_back() {
    for length in [0usize, 1, 125, 126, 127, 65_535, 65_536, 100_001] {
        let data = vec![b'z'; length];
        for (side, key) in [(Side::Client, Some(KEY)), (Side::Server, None)] {
            let bytes = frame(Opcode::Binary, true, key, &data);
            let expected = vec![format!("Binary {}", data.escape_ascii())];
            for piece in [1000, 4099, bytes.len()] {
                assert_eq!(read(&bytes, side, piece).as_ref(), Ok(&expected), "{length} bytes");
            }
        }
    }
}

#[test]
fn a_frame_that_must_not_be_breaks_the_connection() {
    let text = || frame(Opcode::Text, false, None, b"a");
    for (what, bytes) in [
        ("a reserved bit", b"\xc1\x01a".to_vec()),
        ("another reserved bit", b"\x91\x01a".to_vec()),
        ("a reserved opcode", b"\x83\x01a".to_vec()),
        ("a reserved control opcode", b"\x8b\x00".to_vec()),
        ("a masked frame of a server", frame(Opcode::Text, true, Some(KEY), b"a")),
        ("a fragment of a Ping", b"\x09\x01a".to_vec()),
        ("a long Ping", b"\x89\x7e\x00\x7e".to_vec()),
        ("a continuation of nothing", frame(Opcode::Continuation, true, None, b"a")),
        ("a message inside of one", [text(), frame(Opcode::Text, true, None, b"b")].concat()),
        ("a length longer than needed", b"\x82\x7e\x00\x7da".to_vec()),
        ("a length longer than needed", b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff".to_vec()),
        ("a length of 2^63", b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00".to_vec()),
        ("half a code", frame(Opcode::Close, true, None, b"a")),
        ("a code for nobody", frame(Opcode::Close, true, None, &1005u16.to_be_bytes())),
        ("a code below all", frame(Opcode::Close, true, None, &999u16.to_be_bytes())),
        ("a code above all", frame(Opcode::Close, true, None, &5000u16.to_be_bytes())),
    ] {
        assert_eq!(read_any_split(&bytes, Side::Server), Err(Broken::Protocol), "{what}");
    }
    let plain = frame(Opcode::Text, true, None, b"a");
    assert_eq!(read_any_split(&plain, Side::Client), Err(Broken::Protocol), "no mask");
}

#[test]
fn a_text_is_utf8_across_its_fragments() {
    let fragments = |parts: &[&[u8]]| {
        let mut bytes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
            frame::write(&mut bytes, opcode, index + 1 == parts.len(), None, part);
        }
        read_any_split(&bytes, Side::Server)
    };
    assert!(fragments(&[b"\xe2\x82", b"\xac"]).is_ok());
    assert!(fragments(&[b"\xf0", b"\x9f", b"", b"\x98\x80"]).is_ok());
    for bad in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82"] {
        assert_eq!(fragments(&[bad]), Err(Broken::Utf8), "{}", bad.escape_ascii());
    }
    assert_eq!(fragments(&[b"\xe2\x82", b"a"]), Err(Broken::Utf8));
    let reason = frame(Opcode::Close, true, None, b"\x03\xe8\xff");
    assert_eq!(read_any_split(&reason, Side::Server), Err(Broken::Utf8));
}

#[test]
fn utf8_in_pieces_is_what_it_is_whole() {
    // All texts of up to four bytes from an alphabet that has every kind of byte.
    let alphabet = [0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5];
    for number in 0..alphabet.len().pow(4) {
        let text: Vec<u8> =
            (0..4).map(|place| alphabet[number / alphabet.len().pow(place) % 13]).collect();
        let mut state = Utf8::default();
        let taken = text.iter().all(|byte| state.push(&[*byte]));
        assert_eq!(taken && state.is_whole(), std::str::from_utf8(&text).is_ok());
    }
}

#[test]
fn a_close_says_why_and_is_cut_between_letters() {
    let mut out = Vec::new();
    frame::close(&mut out, None, 1008, &"\u{20ac}".repeat(60));
    assert_eq!(out.len(), 2 + 2 + 123);
    let found = read_any_split(&out, Side::Server).expect("a good frame");
    assert!(found[0].starts_with("Close Some(1008)"), "{found:?}");
}

fn head(text: &str, kind: HeadKind) -> Head {
    let mut head = Head::default();
    let bytes = text.replace('|', "\r\n");
    HeadReader::default().next(&mut bytes.as_bytes(), &mut head, kind).expect("a good head");
    head
}

#[test]
fn the_handshake_is_checked_on_both_sides() {
    let ask = |fields: &str| {
        let line = "GET /chat HTTP/1.1|Host: a|Connection: keep-alive, Upgrade|";
        handshake::asked(&head(&format!("{line}{fields}||"), HeadKind::Request))
    };
    let good = "Upgrade: WebSocket|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: ";
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(ask(&format!("{good}{key}")), Ok(handshake::Asked::Websocket));
    assert_eq!(ask("X: y"), Ok(handshake::Asked::Nothing));
    assert_eq!(ask(&format!("{good}dGhl")), Err(Refused::Upgrade));
    assert_eq!(ask("Upgrade: websocket"), Err(Refused::Upgrade));
    assert_eq!(ask(&format!("Upgrade: tls|Sec-WebSocket-Key: {key}")), Err(Refused::Upgrade));
    // RFC 6455 1.3.
    assert_eq!(handshake::accept(key.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let check = |fields: &str| {
        let line = "HTTP/1.1 101 Switching|Upgrade: websocket|Connection: Upgrade|";
        let answer = head(&format!("{line}{fields}||"), HeadKind::Answer);
        handshake::check_answer(&answer, key.as_bytes())
    };
    assert_eq!(check("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), Ok(()));
    assert_eq!(check("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), Err(Refused::Unasked));
    assert_eq!(check("X: y"), Err(Refused::Unasked));
}
