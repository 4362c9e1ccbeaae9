//! What the peer says, byte by byte, and what comes of it.

use super::*;

/// A client says `bytes` behind its hello: these events, in any pieces.
fn check(bytes: &[u8], expect: &[&str]) {
    for piece in [usize::MAX, 1, 2, 3, 7, 10] {
        let mut server = server();
        assert_eq!(run_pieces(&mut server, bytes, piece), expect, "in pieces of {piece}");
    }
    for end in 0..bytes.len() {
        let (head, tail) = bytes.split_at(end);
        let mut server = server();
        let first = run(&mut server, head);
        assert!(first.len() <= expect.len(), "more events of less");
        if first.last().is_none_or(|last| !last.starts_with("Fatal")) {
            run(&mut server, tail);
        }
    }
}

/// A server says `bytes` behind its SETTINGS, while stream 1 waits for an answer.
fn check_client(bytes: &[u8], expect: &[&str]) {
    for piece in [usize::MAX, 1, 5] {
        let mut client = client();
        assert_eq!(run_pieces(&mut client, bytes, piece), expect, "in pieces of {piece}");
    }
}

const HEAD: &str = "Head 1 GET billing.example.com/orders?id=1.";
const POSTED: &str = "Head 1 POST billing.example.com/orders content-length=5";

fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, stream, bytes)
}

#[test]
fn requests() {
    check(&headers(1, END_STREAM, GET), &[HEAD]);
    let post = headers(1, 0, POST);
    let body = [data(1, 0, b"he"), data(1, 0, b""), data(1, END_STREAM, b"llo")].concat();
    check(&[post.clone(), body].concat(), &[POSTED, "Data 1 hello."]);
    let padded = data(1, PADDED | END_STREAM, b"\x03hello\0\0\0");
    check(&[post.clone(), padded].concat(), &[POSTED, "Data 1 hello."]);
    let empty = [data(1, PADDED, b"\x00hello"), data(1, PADDED | END_STREAM, b"\x02\0\0")];
    check(&[post.clone(), empty.concat()].concat(), &[POSTED, "Data 1 hello."]);
    let trailers = headers(1, END_STREAM, &[("x-sum", "1")]);
    let trailed = [post, data(1, 0, b"hello"), trailers].concat();
    check(&trailed, &[POSTED, "Data 1 hello", "Trailers { stream: 1 }"]);
}

#[test]
fn a_block_in_pieces() {
    let whole = block(GET);
    let (head, tail) = whole.split_at(9);
    let (middle, tail) = tail.split_at(1);
    let frames = [
        frame(Kind::Headers, END_STREAM, 1, head),
        frame(Kind::Continuation, 0, 1, middle),
        frame(Kind::Continuation, 0, 1, b""),
        frame(Kind::Continuation, END_HEADERS, 1, tail),
    ];
    check(&frames.concat(), &[HEAD]);
    let padded = [&[2, 0, 0, 0, 3, 200][..], &whole, &[0, 0]].concat();
    let flags = PADDED | PRIORITY | END_STREAM | END_HEADERS;
    check(&frame(Kind::Headers, flags, 1, &padded), &[HEAD]);
}

type Malformed = Vec<(Vec<(&'static str, &'static str)>, Refused)>;

/// Messages that are malformed (8.1.1), each in one way.
fn malformed() -> Malformed {
    let good = |change: Lines<'static>| -> Vec<(&'static str, &'static str)> {
        GET.iter().chain(change).copied().collect()
    };
    let without = |name: &'static str| -> Vec<(&'static str, &'static str)> {
        GET.iter().filter(|(known, _)| *known != name).copied().collect()
    };
    let with = |name: &'static str, value: &'static str| {
        let swap = move |&(known, old): &(&'static str, &'static str)| {
            (known, if known == name { value } else { old })
        };
        GET.iter().map(swap).collect::<Vec<_>>()
    };
    vec![
        (good(&[("Upper", "1")]), Refused::UpperCase),
        (good(&[("", "1")]), Refused::Field),
        (good(&[("a b", "1")]), Refused::Field),
        (good(&[("a:b", "1")]), Refused::Field),
        (good(&[("x", " 1")]), Refused::ValueBlank),
        (good(&[("x", "1\t")]), Refused::ValueBlank),
        (good(&[("x", "1\r\ny: 2")]), Refused::Value),
        (good(&[("x", "1\n")]), Refused::Value),
        (good(&[("x", "\0")]), Refused::Value),
        (good(&[("connection", "close")]), Refused::ConnectionField),
        (good(&[("transfer-encoding", "chunked")]), Refused::ConnectionField),
        (good(&[("upgrade", "h2c")]), Refused::ConnectionField),
        (good(&[("keep-alive", "1")]), Refused::ConnectionField),
        (good(&[("proxy-connection", "1")]), Refused::ConnectionField),
        (good(&[("te", "gzip")]), Refused::ConnectionField),
        (good(&[("host", "other.example.com")]), Refused::Authority),
        (
            good(&[("host", "billing.example.com"), ("host", "billing.example.com")]),
            Refused::HostRepeated,
        ),
        (good(&[("content-length", "5")]), Refused::LengthMismatch),
        (good(&[("content-length", "+0")]), Refused::ContentLength),
        (good(&[("content-length", "0"), ("content-length", "0")]), Refused::ContentLengthRepeated),
        (good(&[("x_forwarded_for", "1")]), Refused::Alias),
        (good(&[(":method", "GET")]), Refused::Pseudo),
        (good(&[("x", "1"), (":path", "/")]), Refused::Pseudo),
        (good(&[(":unknown", "1")]), Refused::Pseudo),
        (good(&[(":status", "200")]), Refused::Pseudo),
        (vec![("x", "1"), (":method", "GET")], Refused::Pseudo),
        (without(":method"), Refused::Pseudo),
        (without(":scheme"), Refused::Pseudo),
        (without(":path"), Refused::Pseudo),
        (without(":authority"), Refused::HostMissing),
        (with(":scheme", "http"), Refused::Scheme),
        (with(":path", ""), Refused::Target),
        (with(":path", "orders"), Refused::Target),
        (with(":path", "/a#b"), Refused::Target),
        (with(":path", "/a b"), Refused::Target),
        (with(":path", "/\u{fc}"), Refused::Target),
        (with(":path", "*"), Refused::Target),
        (with(":authority", "user@billing.example.com"), Refused::Host),
        (with(":authority", ""), Refused::Host),
        (with(":method", "CONNECT"), Refused::Connect),
        (with(":method", "TRACE"), Refused::Trace),
        (with(":method", "G T"), Refused::Method),
    ]
}

/// The stream is refused, its neighbours are not.
#[test]
fn malformed_requests() {
    for (lines, why) in malformed() {
        let bytes = [headers(1, END_STREAM, &lines), headers(3, END_STREAM, GET)].concat();
        let mut server = server();
        let events = run(&mut server, &bytes);
        let refused = format!("Refused 1 {why:?}");
        assert_eq!(events, [refused, HEAD.replace('1', "3").replace("id=3", "id=1")], "{lines:?}");
        // It can be answered, then it is over.
        server.send_head(1, Say::Answer { last: true }, |_| {}).unwrap();
        server.reset(1, Code::Protocol);
        assert_eq!(resets(&mut server), [(1, Code::Protocol as u32)]);
        assert_eq!(server.streams(), 1);
    }
    check(
        &headers(
            1,
            END_STREAM,
            &[GET, &[("te", "trailers"), ("host", "billing.example.com")]].concat(),
        ),
        &["Head 1 GET billing.example.com/orders?id=1 te=trailers host=billing.example.com."],
    );
}

#[test]
fn lengths_are_checked() {
    let post = headers(1, 0, POST);
    let short = [post.clone(), data(1, END_STREAM, b"hell")].concat();
    check(&short, &[POSTED, "Refused 1 LengthMismatch"]);
    let long = [post.clone(), data(1, 0, b"hello"), data(1, 0, b"!"), data(1, 0, b"?")].concat();
    check(&long, &[POSTED, "Data 1 hello", "Refused 1 LengthMismatch"]);
    let trailers = [post, data(1, 0, b"hell"), headers(1, END_STREAM, &[("x", "1")])].concat();
    check(&trailers, &[POSTED, "Data 1 hell", "Refused 1 LengthMismatch"]);
}

#[test]
fn trailers_are_fields_at_the_end() {
    let start = [headers(1, 0, POST), data(1, 0, b"hello")].concat();
    for (flags, lines, why) in [
        (0, &[("x", "1")][..], Refused::Trailer),
        (END_STREAM, &[(":path", "/")], Refused::Pseudo),
        (END_STREAM, &[("x", "1"), (":status", "200")], Refused::Pseudo),
        (END_STREAM, &[("X", "1")], Refused::UpperCase),
        (END_STREAM, &[("x", "1"); 17], Refused::Trailer),
    ] {
        let bytes = [start.clone(), headers(1, flags, lines)].concat();
        check(&bytes, &[POSTED, "Data 1 hello", &format!("Refused 1 {why:?}")]);
    }
}

/// Errors of the connection: the order of frames, their sizes, their ids, HPACK, windows.
#[test]
fn what_ends_a_connection() {
    let settings = |name: u16, value: u32| {
        let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        frame(Kind::Settings, 0, 0, &payload)
    };
    let mut long = frame(Kind::Ping, 0, 0, &[0; 8]);
    long[1] = 0x40;
    long[2] = 1;
    let grown = frame(Kind::WindowUpdate, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let cases = [
        (data(1, 0, b"x"), Code::Protocol),
        (data(0, 0, b"x"), Code::Protocol),
        (frame(Kind::Data, PADDED, 1, b""), Code::FrameSize),
        ([headers(1, 0, GET), data(1, PADDED, b"\x02a")].concat(), Code::Protocol),
        (headers(0, 0, GET), Code::Protocol),
        (headers(2, 0, GET), Code::Protocol),
        ([headers(5, 0, GET), headers(3, 0, GET)].concat(), Code::StreamClosed),
        (frame(Kind::Headers, PADDED | END_HEADERS, 1, b"\x09\x82"), Code::Protocol),
        (frame(Kind::Headers, PADDED | END_HEADERS, 1, b""), Code::FrameSize),
        (frame(Kind::Headers, PRIORITY | END_HEADERS, 1, b"\0\0\0\0"), Code::FrameSize),
        (frame(Kind::Headers, END_HEADERS, 1, b"\x80"), Code::Compression),
        (frame(Kind::Headers, END_HEADERS, 1, b"\x00\x05a"), Code::Compression),
        (frame(Kind::Continuation, END_HEADERS, 1, &block(GET)), Code::Protocol),
        ([frame(Kind::Headers, 0, 1, b"\x82"), data(1, 0, b"")].concat(), Code::Protocol),
        (
            [frame(Kind::Headers, 0, 1, b"\x82"), frame(Kind::Continuation, 0, 3, b"")].concat(),
            Code::Protocol,
        ),
        (frame(Kind::RstStream, 0, 1, &[0; 4]), Code::Protocol),
        (frame(Kind::RstStream, 0, 0, &[0; 4]), Code::Protocol),
        ([headers(1, 0, GET), frame(Kind::RstStream, 0, 1, &[0; 5])].concat(), Code::FrameSize),
        (frame(Kind::Settings, 0, 1, &[]), Code::Protocol),
        (frame(Kind::Settings, ACK, 0, &[0; 6]), Code::FrameSize),
        (frame(Kind::Settings, 0, 0, &[0; 5]), Code::FrameSize),
        (settings(2, 2), Code::Protocol),
        (settings(4, 1 << 31), Code::FlowControl),
        (settings(5, 16_383), Code::Protocol),
        (settings(5, 1 << 24), Code::Protocol),
        (settings(8, 2), Code::Protocol),
        ([settings(8, 1), settings(8, 0)].concat(), Code::Protocol),
        (frame(Kind::PushPromise, END_HEADERS, 1, &[0; 4]), Code::Protocol),
        (frame(Kind::Ping, 0, 1, &[0; 8]), Code::Protocol),
        (frame(Kind::Ping, 0, 0, &[0; 7]), Code::FrameSize),
        (frame(Kind::Goaway, 0, 1, &[0; 8]), Code::Protocol),
        (frame(Kind::Goaway, 0, 0, &[0; 7]), Code::FrameSize),
        (frame(Kind::WindowUpdate, 0, 0, &[0; 4]), Code::Protocol),
        (frame(Kind::WindowUpdate, 0, 0, &[0; 3]), Code::FrameSize),
        (frame(Kind::WindowUpdate, 0, 1, &[0, 0, 0, 1]), Code::Protocol),
        ([grown.clone(), grown].concat(), Code::FlowControl),
        (frame(Kind::Priority, 0, 0, &[0; 5]), Code::Protocol),
        (frame(Kind::Priority, 0, 1, &[0, 0, 0, 1, 0]), Code::Protocol),
        (long, Code::FrameSize),
    ];
    for (bytes, code) in cases {
        for piece in [usize::MAX, 1] {
            let mut server = server();
            let events = run_pieces(&mut server, &bytes, piece);
            assert_eq!(events.last(), Some(&format!("Fatal {}", code.name())), "{bytes:?}");
            let frames = sent(&mut server);
            let (kind, _, _, payload) = frames.last().unwrap();
            assert_eq!((*kind, payload[7]), (Kind::Goaway, code as u8));
            // It stays so, and says so once.
            assert_eq!(run(&mut server, &headers(7, 0, GET)).len(), 1);
            assert_eq!(server.pending(), 0);
            assert!(server.is_over());
        }
    }
}

#[test]
fn what_ends_a_stream() {
    let open = headers(1, 0, GET);
    let grown = frame(Kind::WindowUpdate, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
    let circular = [&[0, 0, 0, 1, 200][..], &block(GET)].concat();
    let circular = frame(Kind::Headers, PRIORITY | END_HEADERS, 1, &circular);
    let cases = [
        ([open.clone(), grown.clone(), grown].concat(), Code::FlowControl),
        ([open.clone(), frame(Kind::WindowUpdate, 0, 1, &[0; 4])].concat(), Code::Protocol),
        ([open.clone(), frame(Kind::Priority, 0, 1, &[0, 0, 0, 1, 0])].concat(), Code::Protocol),
        ([open.clone(), frame(Kind::Priority, 0, 1, &[0; 4])].concat(), Code::FrameSize),
        ([headers(1, END_STREAM, GET), data(1, 0, b"x")].concat(), Code::StreamClosed),
        ([headers(1, END_STREAM, GET), headers(1, 0, GET)].concat(), Code::StreamClosed),
        (circular, Code::Protocol),
    ];
    for (bytes, code) in cases {
        let mut server = server();
        let events = run(&mut server, &[bytes, headers(3, END_STREAM, GET)].concat());
        assert!(events.contains(&format!("Reset 1 {}", code.name())), "{events:?}");
        assert!(events.last().unwrap().starts_with("Head 3"));
        assert_eq!(resets(&mut server), [(1, code as u32)]);
        // Its place is kept until whoever works for it has stopped.
        assert_eq!(server.streams(), 2);
        server.release(1);
        assert_eq!(server.streams(), 1);
        assert_eq!(resets(&mut server), []);
    }
}

#[test]
fn a_peer_that_resets_and_goes_on() {
    let reset = frame(Kind::RstStream, 0, 1, &[0, 0, 0, 8]);
    let mut server = server();
    let events = run(&mut server, &[headers(1, 0, GET), reset].concat());
    assert_eq!(events[1..], ["Reset 1 CANCEL"]);
    assert_eq!(server.streams(), 1);
    assert!(run(&mut server, &data(1, 0, b"late")).is_empty());
    assert_eq!(resets(&mut server), [(1, Code::StreamClosed as u32)]);
    assert_eq!(server.send_data(1, b"x", true), Err(Gone));
    // It was told so once.
    server.release(1);
    assert!(run(&mut server, &data(1, 0, b"later")).is_empty());
    assert_eq!(resets(&mut server), []);
    // Behind its own end a stream has no frames on their way.
    run(&mut server, &headers(3, END_STREAM, GET));
    server.send_head(3, Say::Answer { last: true }, |_| {}).unwrap();
    assert!(run(&mut server, &data(3, 0, b"late")).is_empty());
    assert_eq!(resets(&mut server), [(3, Code::StreamClosed as u32)]);
    run(&mut server, &headers(5, END_STREAM, GET));
    server.send_head(5, Say::Answer { last: true }, |_| {}).unwrap();
    assert_eq!(run(&mut server, &headers(5, 0, GET)), ["Fatal STREAM_CLOSED"]);
}

/// What is on its way when weir resets a stream is no mistake of the peer.
#[test]
fn frames_of_a_stream_that_weir_has_reset() {
    let mut server = server();
    run(&mut server, &headers(1, 0, POST));
    // Within a frame, too.
    let body = data(1, 0, b"hello");
    assert_eq!(run(&mut server, &body[..11]), ["Data 1 he"]);
    server.reset(1, Code::None);
    server.credit_connection(2);
    assert!(run(&mut server, &body[11..]).is_empty());
    let late = [data(1, 0, b"x"), headers(1, END_STREAM, &[("x", "1")])].concat();
    assert!(run(&mut server, &late).is_empty());
    assert_eq!(resets(&mut server), [(1, 0)]);
    assert_eq!(server.credit, {
        let mut credit = Credit::new(H2_CONNECTION_WINDOW_BYTES);
        credit.spend(6).unwrap();
        credit.give(6);
        credit
    });
}

#[test]
fn the_first_bytes() {
    for start in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSN"] {
        let mut server = Connection::server("http", false);
        assert_eq!(run(&mut server, start), ["Fatal PROTOCOL_ERROR"]);
    }
    let mut server = Connection::server("http", false);
    let bytes = [&PREFACE[..], &frame(Kind::Ping, 0, 0, &[0; 8])].concat();
    assert_eq!(run(&mut server, &bytes), ["Fatal PROTOCOL_ERROR"]);
    let mut client = Connection::client("http");
    assert_eq!(run(&mut client, &frame(Kind::Ping, 0, 0, &[0; 8])), ["Fatal PROTOCOL_ERROR"]);
    assert!(!Connection::client("http").is_over());
    assert_eq!(
        sent(&mut Connection::server("https", true))[0].3[24..],
        [0, 3, 0, 0, 0, 100, 0, 8, 0, 0, 0, 1]
    );
}

#[test]
fn a_websocket_is_asked_for() {
    let connect = |protocol: &'static str| {
        [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":authority", "chat.example.com"),
            (":path", "/live"),
        ]
    };
    check(&headers(1, 0, &connect("websocket")), &["Head 1 CONNECT chat.example.com/live"]);
    check(&headers(1, 0, &connect("connect-udp")), &["Refused 1 Protocol"]);
}

#[test]
fn answers() {
    let ok: Lines<'_> = &[(":status", "200"), ("content-length", "2")];
    let body = [headers(1, 0, ok), data(1, END_STREAM, b"ok")].concat();
    check_client(&body, &["Head 1 200 content-length=2", "Data 1 ok."]);
    let early = headers(1, 0, &[(":status", "103"), ("link", "x")]);
    let both = [early.clone(), headers(1, END_STREAM, &[(":status", "204")])].concat();
    check_client(&both, &["Head 1 103 link=x", "Head 1 204."]);
    let trailers = [headers(1, 0, ok), data(1, 0, b"ok"), headers(1, END_STREAM, &[("a", "b")])];
    check_client(
        &trailers.concat(),
        &["Head 1 200 content-length=2", "Data 1 ok", "Trailers { stream: 1 }"],
    );
    for (lines, why) in [
        (&[(":status", "101")][..], Refused::Status),
        (&[(":status", "099")], Refused::Status),
        (&[(":status", "20")], Refused::Status),
        (&[("x", "1")], Refused::Pseudo),
        (&[(":status", "200"), (":path", "/")], Refused::Pseudo),
        (&[(":status", "200"), ("connection", "x")], Refused::ConnectionField),
    ] {
        let mut client = client();
        let expect = [format!("Refused 1 {why:?}")];
        assert_eq!(run(&mut client, &headers(1, END_STREAM, lines)), expect);
        assert_eq!(resets(&mut client), [(1, Code::Protocol as u32)]);
        client.release(1);
        assert_eq!(client.streams(), 0);
    }
    check_client(&headers(1, END_STREAM, &[(":status", "100")]), &["Refused 1 Truncated"]);
    let mut many: Vec<String> = vec!["Head 1 103 link=x".into(); 16];
    many.push("Refused 1 Interim".into());
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check_client(&early.repeat(17), &many);
    check_client(&data(1, 0, b"x"), &["Reset 1 PROTOCOL_ERROR"]);
    check_client(&headers(3, 0, ok), &["Fatal PROTOCOL_ERROR"]);
    check_client(&headers(2, 0, ok), &["Fatal PROTOCOL_ERROR"]);
    let push = frame(Kind::PushPromise, END_HEADERS, 1, &[0, 0, 0, 2]);
    check_client(&push, &["Fatal PROTOCOL_ERROR"]);
    let may_push = frame(Kind::Settings, 0, 0, &[0, 2, 0, 0, 0, 1]);
    check_client(&may_push, &["Fatal PROTOCOL_ERROR"]);
}

#[test]
fn answers_without_a_body() {
    let long: Lines<'_> = &[(":status", "200"), ("content-length", "12")];
    let mut client = client();
    assert_eq!(client.open(true, true, |block| write(block, GET)), Some(3));
    let events = run(&mut client, &headers(3, END_STREAM, long));
    assert_eq!(events, ["Head 3 200 content-length=12."]);
    let unchanged: Lines<'_> = &[(":status", "304"), ("content-length", "12")];
    let events = run(&mut client, &headers(1, END_STREAM, unchanged));
    assert_eq!(events, ["Head 1 304 content-length=12."]);
    assert_eq!(client.streams(), 0);
    check_client(&headers(1, END_STREAM, long), &["Refused 1 LengthMismatch"]);
    let with_body = [headers(1, 0, unchanged), data(1, END_STREAM, b"x")].concat();
    check_client(&with_body, &["Head 1 304 content-length=12", "Refused 1 LengthMismatch"]);
}

#[test]
fn unknown_frames_are_ignored() {
    let mut altsvc = frame(Kind::Ping, 0xff, 1, &[0; 8]);
    altsvc[3] = 0x0a;
    check(&[altsvc, headers(1, END_STREAM, GET)].concat(), &[HEAD]);
    // The reserved bit, too.
    let mut reserved = headers(1, END_STREAM, GET);
    reserved[5] |= 0x80;
    check(&reserved, &[HEAD]);
}

#[test]
fn a_head_that_is_too_large_is_its_streams_affair() {
    let long = "x".repeat(9_000);
    let mut lines: Vec<(&str, &str)> = GET.to_vec();
    lines.extend([("a", long.as_str()); 7]);
    let bytes = block(&lines);
    let pieces: Vec<&[u8]> = bytes.chunks(16_384).collect();
    let mut frames = frame(Kind::Headers, END_STREAM, 1, pieces[0]);
    for (index, piece) in pieces.iter().enumerate().skip(1) {
        let flags = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        frames.extend(frame(Kind::Continuation, flags, 1, piece));
    }
    let mut server = server();
    assert!(run(&mut server, &frames)[0].starts_with("Head 1"));
    // An eighth value from the table does not fit.
    let mut learned = vec![0x40, 1, b'b', 0x7f, 0x81, 0x10];
    learned.extend([b'y'; 0x7f + 0x81 - 0x80 + (0x10 << 7)]);
    let bomb = [learned, vec![0xbe; 200]].concat();
    let events = run(&mut server, &frame(Kind::Headers, END_STREAM | END_HEADERS, 3, &bomb));
    assert_eq!(events, ["Refused 3 HeadBytes"]);
    let crumbs: Vec<(&str, &str)> = GET.iter().copied().chain([("cookie", "a=b"); 125]).collect();
    assert_eq!(run(&mut server, &headers(5, END_STREAM, &crumbs)), ["Refused 5 FieldCount"]);
    assert_eq!(run(&mut server, &headers(7, END_STREAM, GET)).len(), 1);
}

#[test]
fn farewells() {
    let mut server = server();
    run(&mut server, &headers(1, END_STREAM, GET));
    server.drain();
    let frames = sent(&mut server);
    assert_eq!((frames[0].0, &frames[0].3[..4]), (Kind::Goaway, &[0x7f, 0xff, 0xff, 0xff][..]));
    // What the client opened before it knew is served.
    run(&mut server, &headers(3, END_STREAM, GET));
    assert!(run(&mut server, &frame(Kind::Ping, ACK, 0, &frames[1].3)).is_empty());
    assert_eq!(sent(&mut server)[0].3[..4], [0, 0, 0, 3]);
    assert!(run(&mut server, &headers(5, END_STREAM, GET)).is_empty());
    assert_eq!(resets(&mut server), [(5, Code::RefusedStream as u32)]);
    for id in [1, 3] {
        assert!(!server.is_over());
        server.send_head(id, Say::Answer { last: true }, |_| {}).unwrap();
    }
    assert!(server.is_over());

    let mut client = client();
    let goaway = frame(Kind::Goaway, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(run(&mut client, &goaway), ["Goaway { last: 1, code: None }"]);
    assert_eq!(client.open(false, true, |_| {}), None);
    assert!(!client.is_over());
    run(&mut client, &headers(1, END_STREAM, &[(":status", "204")]));
    assert!(client.is_over());
    let more = frame(Kind::Goaway, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(run(&mut client, &more), ["Fatal PROTOCOL_ERROR"]);
}
