//! What is done with bytes of a peer, once per kind of input, and what must hold then.
//!
//! Two drivers use these functions: `smoke.rs`, an ordinary test with a seed, and the cargo-fuzz
//! targets beside it, which look for new paths for as long as they may run.

use weir::identify::scram::{ClientExchange, SaltedCache, ServerExchange, Verifier};
use weir::record::body::{self, Kind};
use weir::record::journal::{Frames, HEADER_BYTES, Header, Step as JournalStep};
use weir::wire::postgres::frame::{Framer, Step, Treat};
use weir::wire::postgres::message::{
    ClientMessage, FirstPacket, bind_names, cancel_packet, error_fields, first_packet_bytes,
    parameter_description, row_description, tag_rows,
};

/// A start-up packet: the length, then the packet of that length.
pub fn startup(bytes: &[u8]) {
    let Some((length, _)) = bytes.split_first_chunk::<4>() else { return };
    let stated = first_packet_bytes(*length);
    if let Some(stated) = stated {
        assert!((8..=10_000).contains(&stated), "a length of {stated} was taken");
    }
    match FirstPacket::parse(bytes) {
        Some(FirstPacket::Startup(startup)) => {
            let user = startup.param("user");
            let named = startup.params().find(|(name, _)| *name == b"user");
            assert_eq!(user, named.map(|(_, value)| value));
        }
        Some(FirstPacket::Cancel(key)) => {
            let again = cancel_packet(key);
            assert_eq!(again.get(4..), bytes.get(4..), "a cancel key changed on its way");
        }
        _ => {}
    }
}

/// Messages of a client, framed whole and in pieces: the same frames, and views that do not panic.
pub fn client(bytes: &[u8]) {
    let treat = |tag: u8, body: u32| match tag {
        b'd' => Treat::Stream { prefix: 0 },
        b'B' if body > 64 => Treat::Stream { prefix: 32 },
        _ => Treat::Hold,
    };
    let whole = frames(bytes, usize::MAX, 1 << 20, treat);
    for piece in [1, 3, 64] {
        assert_eq!(whole, frames(bytes, piece, 1 << 20, treat), "in pieces of {piece}");
    }
    for (tag, frame) in whole.0 {
        let body = Step::body(&frame);
        match ClientMessage::parse(tag, body) {
            Some(ClientMessage::Parse(parse)) => assert!(parse.types().count() <= body.len()),
            Some(ClientMessage::Bind(_)) => {
                assert!(bind_names(body).is_some(), "a Bind without its names")
            }
            _ => {}
        }
    }
}

/// Messages of a server.
pub fn server(bytes: &[u8]) {
    let treat = |tag: u8, _: u32| match tag {
        b'D' | b'd' => Treat::Stream { prefix: 2 },
        _ => Treat::Hold,
    };
    let whole = frames(bytes, usize::MAX, u32::MAX - 4, treat);
    for piece in [1, 5, 100] {
        assert_eq!(whole, frames(bytes, piece, u32::MAX - 4, treat), "in pieces of {piece}");
    }
    for (_, frame) in whole.0 {
        let body = Step::body(&frame);
        let columns = row_description(body).map_or(0, |columns| columns.len());
        assert!(columns * 19 <= body.len(), "{columns} columns in {} bytes", body.len());
        let types = parameter_description(body).map_or(0, |types| types.len());
        assert!(types * 4 <= body.len());
        assert!(error_fields(body).count() <= body.len());
        tag_rows(body);
    }
}

/// All messages, streamed ones put together again, and whether the bytes were refused.
fn frames(
    bytes: &[u8],
    piece: usize,
    body_max: u32,
    treat: impl Fn(u8, u32) -> Treat,
) -> (Vec<(u8, Vec<u8>)>, bool) {
    let mut framer = Framer::default();
    let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
    // A message that does not end is left out: how much of it was seen depends on the pieces.
    let mut open: Option<(u8, Vec<u8>)> = None;
    for mut input in bytes.chunks(piece.min(bytes.len().max(1))) {
        loop {
            match framer.next(&mut input, body_max, &treat) {
                Ok(Step::Whole { tag, frame }) => found.push((tag, frame.to_vec())),
                Ok(Step::Begin { tag, frame, .. }) => open = Some((tag, frame.to_vec())),
                Ok(Step::Part { bytes, last }) => {
                    let (tag, mut frame) = open.take().expect("a part follows a beginning");
                    frame.extend_from_slice(bytes);
                    if last {
                        found.push((tag, frame));
                    } else {
                        open = Some((tag, frame));
                    }
                }
                Ok(Step::Need) => {
                    assert!(input.is_empty(), "asks for more and has some");
                    break;
                }
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// A journal segment with damage, and each kind of entry from bytes that no checksum protects.
pub fn journal(bytes: &[u8]) {
    let header = Header {
        node: "n".to_owned(),
        shard: 0,
        number: 1,
        boot: [7; 16],
        created_us: 0,
        first_index: 0,
    };
    let mut segment = header.bytes().to_vec();
    segment.extend_from_slice(bytes);
    let mut frames = Frames::new(&segment, &header);
    let mut last = HEADER_BYTES;
    let mut steps = 0;
    for step in &mut frames {
        let end = match step {
            JournalStep::Frame(frame) => {
                let _ = frame.body();
                frame.end()
            }
            JournalStep::Gap(gap) => gap.to_offset,
        };
        assert!(end > last && end <= segment.len(), "{last} to {end} of {}", segment.len());
        last = end;
        steps += 1;
        assert!(steps <= segment.len(), "more steps than bytes");
    }
    assert!(frames.end().is_some(), "stopped without an end");
    let Some((first, rest)) = bytes.split_first() else { return };
    if let Some(kind) = Kind::from_byte(first % 10) {
        let _ = body::read(kind, rest);
    }
}

/// SCRAM in both roles: nobody without the password gets in.
pub fn scram(bytes: &[u8]) {
    let verifier = Verifier::from_password("the right one", b"0123456789abcdef", 1);
    let (first, last) = bytes.split_at(bytes.len() / 2);
    for known in [Some(&verifier), None] {
        let mut exchange = ServerExchange::new("user", known, &[3; 32], b"nonce of the server");
        let _ = exchange.client_first(first);
        assert!(exchange.client_final(last).is_err(), "a client got in without the password");
    }
    let mut client = ClientExchange::new("the right one", "nonceoftheclient");
    let mut cache = SaltedCache::new();
    let answered = client.server_first(first, &mut cache).is_ok();
    let proved = client.server_final(last).is_ok();
    assert!(!proved || answered, "a server proved itself before it asked");
    assert!(!proved, "a server proved that it knows the password");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Verifier::parse(text);
    }
}
