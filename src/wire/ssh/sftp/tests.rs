use proptest::prelude::*;

use super::*;

fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(&[&[kind][..], &fields.concat()].concat());
    out
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(bytes);
    out
}

const ID: &[u8] = &[0, 0, 0, 9];

fn a_client() -> Vec<u8> {
    let zero = [0u8; 8];
    [
        packet(kind::INIT, &[&[0, 0, 0, 6]]),
        packet(kind::REALPATH, &[ID, &text(b".")]),
        packet(kind::OPEN, &[ID, &text(b"/a"), &[0, 0, 0, 26], &[0; 4]]),
        packet(kind::WRITE, &[ID, &text(b"handle"), &zero, &text(b"some contents")]),
        packet(kind::WRITE, &[ID, &text(b""), &zero, &text(b"")]),
        packet(kind::READ, &[ID, &text(b"handle"), &zero, &[0, 1, 0, 0]]),
        packet(kind::RENAME, &[ID, &text(b"a"), &text(b"b")]),
        packet(kind::EXTENDED, &[ID, &text(b"posix-rename@openssh.com"), &text(b"a"), &text(b"b")]),
        packet(kind::CLOSE, &[ID, &text(b"handle")]),
    ]
    .concat()
}

fn a_target() -> Vec<u8> {
    [
        packet(kind::VERSION, &[&[0, 0, 0, 3], &text(b"limits@openssh.com"), &text(b"1")]),
        packet(kind::NAME, &[ID, &[0, 0, 0, 1], &text(b"/root"), &text(b"long"), &[0; 4]]),
        packet(kind::HANDLE, &[ID, &text(b"handle")]),
        packet(kind::DATA, &[ID, &text(b"some contents")]),
        packet(kind::DATA, &[ID, &text(b"")]),
        packet(kind::NAME, &[ID, &vec![7; 3 * SFTP_KEPT_BYTES_MAX]]),
        packet(kind::STATUS, &[ID, &[0, 0, 0, 4], &text(b"no"), &text(b"")]),
    ]
    .concat()
}

/// What a stream says, contents put together; `Err` is where it ends.
fn requests(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>, Option<Broken>) {
    let (mut stream, mut said, mut all) = (Requests::default(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut bytes = *piece;
        loop {
            match stream.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Asked::Request(packet) | Asked::Write(packet))) => {
                    all.extend_from_slice(&packet);
                    said.push(packet);
                }
                Ok(Some(Asked::Body(body, _))) => {
                    all.extend_from_slice(body);
                    said.last_mut().expect("a WRITE").extend_from_slice(body);
                }
                Err(why) => return (all, said, Some(why)),
            }
        }
        assert!(bytes.is_empty(), "all was taken");
    }
    (all, said, None)
}

/// Kind and what was kept of it.
type Packets = Vec<(u8, Vec<u8>)>;

fn replies(pieces: &[&[u8]]) -> (Packets, bool, Option<Broken>) {
    let (mut stream, mut said) = (Replies::default(), Vec::new());
    for piece in pieces {
        let mut bytes = *piece;
        loop {
            match stream.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Replied::Packet(kind, kept))) => said.push((kind, kept)),
                Ok(Some(Replied::Data { id, count })) => {
                    assert_eq!(id, 9);
                    said.push((kind::DATA, Vec::with_capacity(count as usize)));
                }
                Ok(Some(Replied::Body(body))) => {
                    said.last_mut().expect("a DATA").1.extend_from_slice(body);
                }
                Err(why) => return (said, false, Some(why)),
            }
        }
    }
    (said, stream.is_between(), None)
}

#[test]
fn streams_are_the_same_split_at_every_byte() {
    let bytes = a_client();
    let whole = requests(&[&bytes]);
    assert_eq!((whole.0.as_slice(), whole.1.len(), whole.2), (bytes.as_slice(), 9, None));
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(requests(&[left, right]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(requests(&single), whole);
    let bytes = a_target();
    let whole = replies(&[&bytes]);
    assert_eq!((whole.0.len(), whole.1, whole.2), (7, true, None));
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(replies(&[left, right]), whole, "split at {at}");
    }
}

#[test]
fn requests_have_their_fields() {
    let (_, said, _) = requests(&[&a_client()]);
    let parsed: Vec<Op<'_>> =
        said.iter().map(|packet| Request::parse(packet).expect("a request").op).collect();
    assert_eq!(
        parsed,
        [
            Op::Init(6),
            Op::Realpath(b"."),
            Op::Open { path: b"/a", flags: 26 },
            Op::Write { handle: b"handle", offset: 0, count: 13 },
            Op::Write { handle: b"", offset: 0, count: 0 },
            Op::Read { handle: b"handle", offset: 0, count: 65536 },
            Op::Rename(b"a", b"b"),
            Op::Extended(Extension::PosixRename(b"a", b"b")),
            Op::Close(b"handle"),
        ]
    );
    for packet in &said {
        for length in 0..packet.len() {
            // Attributes are not read here, and the contents of a WRITE are not held.
            let _ = Request::parse(&packet[..length]);
        }
    }
    let mut init = said[0].clone();
    limit_version(&mut init);
    assert_eq!(Request::parse(&init).expect("a request").op, Op::Init(3));
}

#[test]
fn replies_have_their_fields() {
    let (said, _, _) = replies(&[&a_target()]);
    let parsed: Vec<_> = said
        .iter()
        .filter(|(kind, _)| *kind != kind::DATA)
        .map(|(kind, kept)| reply(*kind, kept).expect("a reply"))
        .collect();
    assert_eq!(
        parsed,
        [
            (0, Reply::Version(3)),
            (9, Reply::Name(Some(b"/root"))),
            (9, Reply::Handle(b"handle")),
            (9, Reply::Name(None)),
            (9, Reply::Status(4)),
        ]
    );
    assert_eq!(said[5].1.len(), SFTP_KEPT_BYTES_MAX - HEAD_BYTES, "no more is kept");
    assert!(reply(kind::OPEN, &[0; 64]).is_err());
}

#[test]
fn packets_that_are_none_are_refused() {
    let zero = [0u8; 8];
    let long = vec![b'x'; SFTP_REQUEST_BYTES_MAX];
    let handle = vec![b'x'; SFTP_HANDLE_BYTES_MAX + 1];
    let mut short = packet(kind::WRITE, &[ID, &text(b"h"), &zero, &text(b"abc")]);
    let last = short.len() - 4;
    short[last] = 9;
    let cases: [(&[u8], Broken); 6] = [
        (&[0, 0, 0, 0, 1], Broken::Fields),
        (&[0, 0, 0, 1, 1], Broken::Fields),
        (&packet(kind::OPEN, &[ID, &text(&long)]), Broken::Flood),
        (&[0xff, 0xff, 0xff, 0xff, kind::WRITE], Broken::Flood),
        (&packet(kind::WRITE, &[ID, &text(&handle), &zero, &text(b"abc")]), Broken::Fields),
        (&short, Broken::Fields),
    ];
    for (bytes, why) in cases {
        assert_eq!(requests(&[bytes]).2, Some(why), "{:?}", &bytes[..bytes.len().min(40)]);
    }
    assert_eq!(replies(&[&[0, 0, 0, 3, 101]]).2, Some(Broken::Fields));
    assert_eq!(replies(&[&[0xff, 0, 0, 3, 101]]).2, Some(Broken::Fields));
    let lies = [0, 0, 0, 13, kind::DATA, 0, 0, 0, 9, 0, 0, 0, 200];
    assert_eq!(replies(&[&lies]).2, Some(Broken::Fields));
    assert_eq!(replies(&[&[0, 0, 0, 5, kind::DATA, 0, 0, 0, 9]]).2, Some(Broken::Fields));
}

proptest! {
    #[test]
    fn any_bytes_are_the_same_in_any_pieces(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..9
    ) {
        // Long lengths would only wait for more.
        let bytes: Vec<u8> = [&[0, 0, 0, 12][..], &bytes].concat();
        let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
        prop_assert_eq!(requests(&pieces), requests(&[&bytes]));
        prop_assert_eq!(replies(&pieces), replies(&[&bytes]));
    }
}

#[test]
fn a_status_of_weirs_own_is_read_as_one() {
    let bytes = write_status(7, status::PERMISSION_DENIED, "weir: no");
    let (said, between, _) = replies(&[&bytes]);
    assert!(between);
    assert_eq!(reply(said[0].0, &said[0].1), Ok((7, Reply::Status(3))));
}

#[test]
fn attributes_are_told_in_words() {
    let mut all = Vec::new();
    all.put_u32(15).put_u64(7).put_u32(0).put_u32(42).put_u32(0o100_644).put_u32(1).put_u32(2);
    let words = |rest: &[u8]| Attributes::parse(rest).map(|attributes| attributes.words);
    assert_eq!(words(&all).as_deref(), Ok("size=7 owner=0:42 mode=0644 times=1,2"));
    for cut in 1..all.len() {
        assert_eq!(words(&all[..cut]), Err(Broken::Fields), "cut at {cut}");
    }
    assert_eq!(words(b"").as_deref(), Ok(""));
    assert_eq!(words(&[0, 0, 0, 0]).as_deref(), Ok(""));
    assert_eq!(
        words(&[0x80, 0, 0, 4, 0, 0, 0xf, 0xff]).as_deref(),
        Ok("mode=7777 others=0x80000000")
    );
    for flags in 0..16u32 {
        let rest = [&flags.to_be_bytes()[..], &[0; 40]].concat();
        let parsed = Attributes::parse(&rest).expect("all fields");
        let again = Attributes::of_words(parsed.words.split_whitespace().map(str::as_bytes));
        assert_eq!(again, Attributes { words: String::new(), ..parsed.clone() }, "{flags}");
        assert_eq!(parsed.may_change_content(), flags & 1 != 0);
        assert_eq!(parsed.has_more_than_size(), flags > 1);
    }
}
