//! Framing and messages: every split, every truncation, random bytes.

use proptest::prelude::*;

use super::frame::{Framer, HEAD_BYTES, Step, Treat, run_of};
use super::message::{
    ClientMessage, FirstPacket, error_fields, first_packet_bytes, parameter_description,
    row_description, tag_rows,
};
use super::reply::{self, Report};
use crate::fault::Malformed;

/// What a framer makes of `pieces`: messages whole again, whichever way they were cut.
fn frames(pieces: &[&[u8]], treat: fn(u8, u32) -> Treat) -> Result<Vec<(u8, Vec<u8>)>, Malformed> {
    let mut framer = Framer::default();
    let mut out: Vec<(u8, Vec<u8>)> = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match framer.next(&mut input, 1 << 20, treat)? {
                Step::Need => break,
                Step::Whole { tag, frame } | Step::Begin { tag, frame, .. } => {
                    out.push((tag, frame.to_vec()));
                }
                Step::Part { bytes, .. } => {
                    out.last_mut().expect("a part follows a begin").1.extend_from_slice(bytes);
                }
            }
        }
    }
    assert!(framer.is_between_messages(), "a message was left unfinished");
    Ok(out)
}

fn conversation() -> Vec<u8> {
    let mut bytes = Vec::new();
    reply::query(&mut bytes, "SELECT 1");
    reply::message(&mut bytes, b'd', |out| out.extend_from_slice(&[7; 300]));
    reply::message(&mut bytes, b'S', |_| {});
    reply::message(&mut bytes, b'd', |_| {});
    reply::describe_portal(&mut bytes, b"p");
    bytes
}

fn hold(_: u8, _: u32) -> Treat {
    Treat::Hold
}

fn stream(tag: u8, _: u32) -> Treat {
    if tag == b'd' { Treat::Stream { prefix: 8 } } else { Treat::Hold }
}

#[test]
fn a_run_ends_where_a_message_is_not_whole_or_another_one() {
    let mut rows = Vec::new();
    for bytes in [300, 0, 5] {
        reply::message(&mut rows, b'd', |out| out.extend_from_slice(&vec![7; bytes]));
    }
    let bytes = [&rows[..], &conversation()].concat();
    for end in 0..=bytes.len() {
        let mut input = &bytes[..end];
        let (run, messages) = run_of(&mut input, b'd');
        let whole = [305, 310, 320].into_iter().take_while(|whole| *whole <= end);
        assert_eq!(
            (run.len(), messages),
            (whole.clone().last().unwrap_or(0), whole.count() as u64)
        );
        assert_eq!([run, input].concat(), &bytes[..end]);
    }
    let mut lying = &b"d\0\0\0\x03"[..];
    assert_eq!(run_of(&mut lying, b'd'), (&b""[..], 0), "a length below four is no message");
    assert_eq!(lying.len(), HEAD_BYTES);
}

#[test]
fn every_split_gives_the_same_frames() {
    let bytes = conversation();
    for treat in [hold, stream] {
        let whole = frames(&[&bytes], treat).expect("well formed");
        assert_eq!(whole.len(), 5);
        assert_eq!(whole.iter().flat_map(|(_, frame)| frame.clone()).collect::<Vec<_>>(), bytes);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(frames(&[head, tail], treat).as_ref(), Ok(&whole), "cut at {cut}");
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(frames(&bytewise, treat), Ok(whole));
    }
}

#[test]
fn a_streamed_message_begins_with_its_prefix() {
    let mut bytes = Vec::new();
    reply::message(&mut bytes, b'd', |out| out.extend_from_slice(&[1; 100]));
    for cut in 0..bytes.len() {
        let mut framer = Framer::default();
        let mut input = &bytes[..cut];
        match framer.next(&mut input, 1 << 20, stream).expect("well formed") {
            Step::Need => assert!(cut < HEAD_BYTES + 8),
            Step::Begin { frame, body_bytes, .. } => {
                assert!(frame.len() >= HEAD_BYTES + 8);
                assert_eq!(body_bytes, 100);
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    for length in [0u32, 1, 2, 3, 0x7fff_ffff, 0xffff_ffff] {
        let mut bytes = vec![b'Q'];
        bytes.extend_from_slice(&length.to_be_bytes());
        let mut input = bytes.as_slice();
        let step = Framer::default().next(&mut input, 1 << 20, hold).map(drop);
        assert_eq!(step, Err(Malformed::MessageLength), "length {length}");
    }
}

#[test]
fn first_packets() {
    let ssl = super::message::SSL_REQUEST_PACKET;
    assert_eq!(FirstPacket::parse(&ssl), Some(FirstPacket::Ssl));
    let cancel = super::message::cancel_packet(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(FirstPacket::parse(&cancel), Some(FirstPacket::Cancel(&[1, 2, 3, 4, 5, 6, 7, 8])));
    let mut packet = Vec::new();
    let params = [(&b"user"[..], &b"u"[..]), (b"database", b"d"), (b"user", b"v")];
    reply::startup(&mut packet, 0, params.into_iter());
    let Some(FirstPacket::Startup(startup)) = FirstPacket::parse(&packet) else {
        panic!("not a start-up packet");
    };
    assert_eq!((startup.major, startup.minor), (3, 0));
    assert_eq!(startup.param("user"), Some(&b"v"[..]));
    assert_eq!(startup.param("database"), Some(&b"d"[..]));
    for cut in 8..packet.len() {
        assert_eq!(FirstPacket::parse(&packet[..cut]), None, "cut at {cut}");
    }
    assert_eq!(first_packet_bytes(7u32.to_be_bytes()), None);
    assert_eq!(first_packet_bytes(10_000u32.to_be_bytes()), Some(10_000));
    assert_eq!(first_packet_bytes(10_005u32.to_be_bytes()), None);
    assert_eq!(first_packet_bytes(0x4745_5420u32.to_be_bytes()), None, "GET of HTTP");
}

#[test]
fn bind_has_names_values_and_formats() {
    let mut body = b"portal\0statement\0".to_vec();
    let values = b"\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff";
    body.extend_from_slice(values);
    body.extend_from_slice(b"\0\x01\0\x01");
    let Some(ClientMessage::Bind(bind)) = ClientMessage::parse(b'B', &body) else {
        panic!("not a Bind");
    };
    assert_eq!((bind.portal, bind.statement), (&b"portal"[..], &b"statement"[..]));
    assert_eq!((bind.values, bind.result_formats), (&values[..], &b"\0\x01"[..]));
    for cut in 0..body.len() {
        assert_eq!(ClientMessage::parse(b'B', &body[..cut]), None, "cut at {cut}");
    }
    body.push(0);
    assert_eq!(ClientMessage::parse(b'B', &body), None, "bytes behind the end");
}

#[test]
fn tags_say_how_many_rows() {
    for (tag, rows) in [
        ("SELECT 3", 3),
        ("INSERT 0 5", 5),
        ("UPDATE 7", 7),
        ("COPY 12", 12),
        ("BEGIN", 0),
        ("CREATE TABLE", 0),
        ("", 0),
        ("SELECT 99999999999999999999", 0),
    ] {
        assert_eq!(tag_rows(tag.as_bytes()), rows, "{tag}");
    }
}

#[test]
fn reports_keep_their_fields_and_cannot_be_broken_by_a_zero() {
    let mut bytes = Vec::new();
    let report =
        Report { severity: "ERROR", sqlstate: "42501", message: "no\0pe", detail: "", hint: "ask" };
    reply::error(&mut bytes, &report);
    let fields: Vec<(u8, &[u8])> = error_fields(&bytes[HEAD_BYTES..]).collect();
    let expect: Vec<(u8, &[u8])> =
        vec![(b'S', b"ERROR"), (b'V', b"ERROR"), (b'C', b"42501"), (b'M', b"nope"), (b'H', b"ask")];
    assert_eq!(fields, expect);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tag: u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ClientMessage::parse(tag, &body);
        let _ = FirstPacket::parse(&body);
        let _ = row_description(&body);
        let _ = parameter_description(&body);
        let _ = error_fields(&body).count();
        let _ = tag_rows(&body);
        let mut input = body.as_slice();
        let mut framer = Framer::default();
        while let Ok(step) = framer.next(&mut input, 1 << 16, stream) {
            if step == Step::Need {
                break;
            }
        }
    }

    #[test]
    fn random_splits_give_the_same_frames(cuts in prop::collection::vec(0usize..360, 0..6)) {
        let bytes = conversation();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        pieces.push(&bytes[start..]);
        prop_assert_eq!(frames(&pieces, stream), frames(&[&bytes], stream));
    }
}
