use super::body::{Body, Framing, Piece, Role};
use super::read::{HeadReader, Kind};
use super::write::{self, Backward, Onward};
use crate::limits::{
    HTTP_CHUNK_EXTENSION_BYTES_MAX, HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_LINE_BYTES_MAX,
    HTTP_TRAILERS_MAX, HTTP_VALUE_BYTES_MAX,
};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::{Manner, Problem};
use crate::wire::http::{Refused, pass};

/// A message that was read whole.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    line: String,
    fields: Vec<(String, String)>,
    framing: Framing,
    content: Vec<u8>,
    trailers: Vec<(String, String)>,
    rest: Vec<u8>,
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn fields(head: &Head) -> Vec<(String, String)> {
    head.named().map(|(_, name, value)| (text(name), text(value))).collect()
}

/// Reads one message in pieces of `piece`; `None` if it is not whole.
fn read(bytes: &[u8], piece: usize, kind: Kind) -> Result<Option<Message>, Refused> {
    let mut reader = HeadReader::default();
    let (mut head, mut trailers) = (Head::default(), Head::default());
    let mut body: Option<(Body, Framing)> = None;
    let mut content = Vec::new();
    let mut consumed = 0;
    for chunk in bytes.chunks(piece.max(1)) {
        let mut input = chunk;
        loop {
            let Some((body, framing)) = &mut body else {
                let is_whole = reader.next(&mut input, &mut head, kind)?;
                if !is_whole {
                    break;
                }
                let role = match kind {
                    Kind::Request => Role::Request,
                    _ => Role::Answer { to_head: false },
                };
                let framing = Framing::of(&head, role)?;
                body = Some((Body::new(framing), framing));
                continue;
            };
            match body.next(&mut input, &mut trailers)? {
                Piece::Need => break,
                Piece::Data(data) => content.extend_from_slice(data),
                Piece::End => {
                    consumed += chunk.len() - input.len();
                    let line = match head.status() {
                        Some(status) => format!("{status} {}", text(head.reason())),
                        None => format!("{} {}", text(head.method()), text(head.target())),
                    };
                    return Ok(Some(Message {
                        line,
                        fields: fields(&head),
                        framing: *framing,
                        content,
                        trailers: fields(&trailers),
                        rest: bytes.get(consumed..).unwrap_or(&[]).to_vec(),
                    }));
                }
            }
        }
        consumed += chunk.len();
    }
    match body {
        Some((body, framing)) if framing == Framing::UntilClose && body.end().is_ok() => {
            Ok(Some(Message {
                line: head.status().map(|status| status.to_string()).unwrap_or_default(),
                fields: fields(&head),
                framing,
                content,
                trailers: Vec::new(),
                rest: Vec::new(),
            }))
        }
        _ => Ok(None),
    }
}

/// Reads it whole and split at every byte, and says what all of these agree on.
fn read_any_split(bytes: &[u8], kind: Kind) -> Result<Option<Message>, Refused> {
    let whole = read(bytes, bytes.len(), kind);
    for piece in 1..bytes.len().min(400) {
        let split = read(bytes, piece, kind);
        assert_eq!(whole, split, "in pieces of {piece}: {}", bytes.escape_ascii());
    }
    whole
}

fn refused(bytes: impl AsRef<[u8]>) -> Refused {
    let bytes = bytes.as_ref();
    match read_any_split(bytes, Kind::Request) {
        Err(refused) => refused,
        Ok(message) => panic!("{} was read as {message:?}", bytes.escape_ascii()),
    }
}

fn request(bytes: impl AsRef<[u8]>) -> Message {
    let bytes = bytes.as_ref();
    match read_any_split(bytes, Kind::Request) {
        Ok(Some(message)) => message,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn answer(bytes: &str) -> Result<Option<Message>, Refused> {
    read_any_split(bytes.as_bytes(), Kind::Answer)
}

#[test]
fn a_request_is_read_with_its_body_and_no_byte_more() {
    let message = request(
        "POST /a?b=c HTTP/1.1\r\nHost: x.y:80\r\nX-A:  b c \t\r\nContent-Length: 5\r\n\r\nhelloGET /",
    );
    assert_eq!(message.line, "POST /a?b=c");
    assert_eq!(message.fields[1], ("X-A".to_owned(), "b c".to_owned()));
    assert_eq!((message.content, message.rest), (b"hello".to_vec(), b"GET /".to_vec()));
}

#[test]
fn every_truncation_of_a_request_asks_for_more() {
    let whole = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nT: v\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end], 7, Kind::Request), Ok(None), "{end} bytes");
    }
    let message = request(whole);
    assert_eq!(message.content, b"abc");
    assert_eq!(message.trailers, [("T".to_owned(), "v".to_owned())]);
}

/// Requests that are refused, by the reason. `|` stands for CRLF; `Host: a` is added in front of
/// the other fields unless the case has a `Host`.
const REFUSED: &[(Refused, &[&str])] = &[
    (
        Refused::LineEnd,
        &[
            "GET / HTTP/1.1\nHost: a||",
            "GET / HTTP/1.1|Host: a\n|",
            "GET / HTTP/1.1|Host: a|\n",
            "GET / HTTP/1.1|Host: a\rX: b||",
            "GET / HTTP/1.1|Host: a|X: b\r\r\n|",
            "GET /\rx HTTP/1.1|Host: a||",
            "\nGET / HTTP/1.1|Host: a||",
            "\r\rGET / HTTP/1.1|Host: a||",
        ],
    ),
    (Refused::EmptyLines, &["||GET / HTTP/1.1|Host: a||", "|||"]),
    (
        Refused::Folded,
        &[
            "GET / HTTP/1.1| Host: a||",
            "GET / HTTP/1.1|\tHost: a||",
            "GET / HTTP/1.1|Host: a|X: b| c||",
            "GET / HTTP/1.1|Host: a|Content-Length: 1|\t||",
            "GET / HTTP/1.1|Host: a|Transfer-Encoding:| chunked||",
        ],
    ),
    (
        Refused::Field,
        &[
            "GET / HTTP/1.1|Host : a||",
            "GET / HTTP/1.1|Host\t: a||",
            "GET / HTTP/1.1|Host: a|Content-Length : 5||",
            "GET / HTTP/1.1|Host: a|: b||",
            "GET / HTTP/1.1|Host: a|X b: c||",
            "GET / HTTP/1.1|Host: a|X(: c||",
            "GET / HTTP/1.1|Host: a|X\u{0}: c||",
            "GET / HTTP/1.1|Host: a|X\u{e9}: c||",
            "GET / HTTP/1.1|Host: a|no colon||",
            "GET / HTTP/1.1|Host: a|X,Y: c||",
            "GET / HTTP/1.1|Host: a|\"X\": c||",
            "GET / HTTP/1.1|Host: a|{X}: c||",
        ],
    ),
    (
        Refused::Value,
        &[
            "GET / HTTP/1.1|Host: a|X: b\u{0}c||",
            "GET / HTTP/1.1|Host: a|X: b\u{1}||",
            "GET / HTTP/1.1|Host: a|X: b\u{7f}||",
            "GET / HTTP/1.1|Host: a|X: \u{b}b||",
            "GET / HTTP/1.1|Host: a|X: \u{c}b||",
        ],
    ),
    (
        Refused::Line,
        &[
            "GET /|Host: a||",
            "GET|Host: a||",
            "GET  / HTTP/1.1|Host: a||",
            "GET /  HTTP/1.1|Host: a||",
            "GET / HTTP/1.1 |Host: a||",
            "GET /a b HTTP/1.1|Host: a||",
            "GET / HTTP/1.1 x|Host: a||",
            "GET / HTTP /1.1|Host: a||",
            " GET / HTTP/1.1|Host: a||",
        ],
    ),
    (
        Refused::Version,
        &[
            "GET / HTTP/1.2|Host: a||",
            "GET / HTTP/2.0|Host: a||",
            "GET / HTTP/0.9|Host: a||",
            "GET / HTTP/1|Host: a||",
            "GET / HTTP/1.10|Host: a||",
            "GET / HTTP/01.1|Host: a||",
            "GET / http/1.1|Host: a||",
            "GET / XTTP/1.1|Host: a||",
            "GET / ICAP/1.1|Host: a||",
            "GET /\tHTTP/1.1 x|Host: a||",
        ],
    ),
    (
        Refused::Method,
        &[
            "G(T / HTTP/1.1|Host: a||",
            "get / HTTP/1.1|Host: a||",
            "DELETe / HTTP/1.1|Host: a||",
            "G\tT / HTTP/1.1|Host: a||",
            "G\u{0}T / HTTP/1.1|Host: a||",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1|Host: a||",
        ],
    ),
    (Refused::Trace, &["TRACE / HTTP/1.1|Host: a||"]),
    (Refused::Connect, &["CONNECT a:80 HTTP/1.1|Host: a:80||", "CONNECT / HTTP/1.1|Host: a||"]),
    (Refused::Preface, &["PRI * HTTP/2.0||SM||", "PRI * HTTP/1.1|Host: a||"]),
    (
        Refused::Target,
        &[
            "GET * HTTP/1.1|Host: a||",
            "GET a HTTP/1.1|Host: a||",
            "GET ?a HTTP/1.1|Host: a||",
            "GET /a#b HTTP/1.1|Host: a||",
            "GET /a\"b HTTP/1.1|Host: a||",
            "GET /a<b HTTP/1.1|Host: a||",
            "GET /a>b HTTP/1.1|Host: a||",
            "GET /a\\b HTTP/1.1|Host: a||",
            "GET /\\..\\b HTTP/1.1|Host: a||",
            "GET /\u{e9} HTTP/1.1|Host: a||",
            "GET /\u{7f} HTTP/1.1|Host: a||",
            "OPTIONS *a HTTP/1.1|Host: a||",
            "GET ftp://a/ HTTP/1.1|Host: a||",
            "GET http:/a/ HTTP/1.1|Host: a||",
            "GET http://a?b HTTP/1.1|Host: a||",
            "GET http://a/b#c HTTP/1.1|Host: a||",
        ],
    ),
    (
        Refused::Authority,
        &[
            "GET http://b/ HTTP/1.1|Host: a||",
            "GET http://a:81/ HTTP/1.1|Host: a||",
            "GET http://u@a/ HTTP/1.1|Host: a||",
            "GET http:/// HTTP/1.1|Host: a||",
            "GET https://a.b/ HTTP/1.1|Host: a||",
        ],
    ),
    (Refused::HostMissing, &["GET / HTTP/1.1||", "GET / HTTP/1.0||", "GET / HTTP/1.1|X: a||"]),
    (
        Refused::HostRepeated,
        &["GET / HTTP/1.1|Host: a|Host: a||", "GET / HTTP/1.1|Host: a|hOST: b||"],
    ),
    (
        Refused::Host,
        &[
            "GET / HTTP/1.1|Host:||",
            "GET / HTTP/1.1|Host: a,b||",
            "GET / HTTP/1.1|Host: a b||",
            "GET / HTTP/1.1|Host: u@a||",
            "GET / HTTP/1.1|Host: a/b||",
            "GET / HTTP/1.1|Host: a?b||",
            "GET / HTTP/1.1|Host: http://a||",
            "GET / HTTP/1.1|Host: a:b||",
            "GET / HTTP/1.1|Host: a:||",
            "GET / HTTP/1.1|Host: a:0||",
            "GET / HTTP/1.1|Host: a:65536||",
            "GET / HTTP/1.1|Host: a:+80||",
            "GET / HTTP/1.1|Host: a:80:80||",
            "GET / HTTP/1.1|Host: a%62||",
            "GET / HTTP/1.1|Host: [::1||",
            "GET / HTTP/1.1|Host: [::1]a||",
            "GET / HTTP/1.1|Host: [fe80::1%25eth0]||",
            "GET / HTTP/1.1|Host: ..||",
            "GET / HTTP/1.1|Host: \u{e9}||",
        ],
    ),
    (
        Refused::MethodOverride,
        &[
            "GET /?_method=DELETE HTTP/1.1|Host: a||",
            "POST /?a=1&%5fMethod=x HTTP/1.1|Host: a||",
            "POST /?X-HTTP-Method-Override=PUT HTTP/1.1|Host: a||",
        ],
    ),
    (
        Refused::Alias,
        &[
            "GET / HTTP/1.1|Host: a|X_Forwarded_For: b||",
            "GET / HTTP/1.1|Host: a|X.Forwarded-For: b||",
            "GET / HTTP/1.1|Host: a|X-Forwarded_Anything: b||",
            "GET / HTTP/1.1|Host: a|Transfer_Encoding: chunked||",
            "GET / HTTP/1.1|Host: a|Content_Length: 5||",
            "GET / HTTP/1.1|Host: a|Content.Length: 5||",
            "GET / HTTP/1.1|Host: a|Proxy_Connection: b||",
            "GET / HTTP/1.1|Host: a|Weir_Assertion: b||",
            "GET / HTTP/1.1|Host: a|Client_Cert: b||",
        ],
    ),
    (
        Refused::ConnectionNames,
        &[
            "GET / HTTP/1.1|Host: a|Connection: host||",
            "GET / HTTP/1.1|Host: a|Connection: close, Content-Length||",
            "GET / HTTP/1.1|Host: a|Connection: content-anything||",
            "GET / HTTP/1.1|Host: a|Connection: Authorization||",
            "GET / HTTP/1.1|Host: a|Connection: cookie||",
            "GET / HTTP/1.1|Host: a|Connection: X-Forwarded-For||",
            "GET / HTTP/1.1|Host: a|Connection: x_real_ip||",
            "GET / HTTP/1.1|Host: a|Connection: transfer-encoding||",
            "GET / HTTP/1.1|Host: a|Connection: close|Connection: via||",
            "GET / HTTP/1.1|Host: a|Connection: a b||",
        ],
    ),
    (
        Refused::Upgrade,
        &[
            "GET / HTTP/1.1|Host: a|Upgrade: h2c||",
            "GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: h2||",
            "GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket, h2c||",
            "GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket|Upgrade: h2c||",
            "GET / HTTP/1.1|Host: a|Upgrade: websocket||",
        ],
    ),
    (
        Refused::Expect,
        &[
            "POST / HTTP/1.1|Host: a|Expect: 200-ok|Content-Length: 0||",
            "POST / HTTP/1.1|Host: a|Expect: 100-continue, x|Content-Length: 0||",
            "POST / HTTP/1.1|Host: a|Expect: 100-continue|Expect: 100-continue|Content-Length: 0||",
            "POST / HTTP/1.1|Host: a|Expect:|Content-Length: 0||",
        ],
    ),
    (
        Refused::LengthAndCoding,
        &[
            "POST / HTTP/1.1|Host: a|Content-Length: 5|Transfer-Encoding: chunked||0||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 5||0||",
            "POST / HTTP/1.1|Host: a|Content-Length: 0|Transfer-Encoding: identity||",
            "POST / HTTP/1.0|Host: a|Content-Length: 5|Transfer-Encoding: chunked||0||",
        ],
    ),
    (
        Refused::ContentLength,
        &[
            "POST / HTTP/1.1|Host: a|Content-Length:||",
            "POST / HTTP/1.1|Host: a|Content-Length: +5||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: -5||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 0x5||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5_0||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5 0||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5,5||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 05||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 00||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5.0||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5;||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: \"5\"||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: five||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: \u{b2}||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775808||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 18446744073709551621||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 99999999999999999999999||hello",
        ],
    ),
    (
        Refused::ContentLengthRepeated,
        &[
            "POST / HTTP/1.1|Host: a|Content-Length: 5|Content-Length: 5||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 5|Content-Length: 6||hello",
            "POST / HTTP/1.1|Host: a|Content-Length: 0|content-length: 5||hello",
        ],
    ),
    (
        Refused::TransferCoding,
        &[
            "POST / HTTP/1.1|Host: a|Transfer-Encoding:||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: identity||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, identity||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked;a=b||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked,||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: \"chunked\"||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chun ked||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: identity||0||",
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: identity|Transfer-Encoding: chunked||0||",
            "POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||0||",
        ],
    ),
];

/// Chunked bodies that are refused, by the reason.
const REFUSED_CHUNKS: &[(Refused, &[&str])] = &[
    (
        Refused::ChunkHead,
        &[
            "|",
            ";|",
            ";a|",
            " 1|a|0||",
            "1 |a|0||",
            "+1|a|0||",
            "-1|a|0||",
            "0x1|a|0||",
            "1_0|a|0||",
            "1\n",
            "1\rx",
            "g|",
            "00000000000000001|a|0||",
            "8000000000000000|",
            "ffffffffffffffff|",
            "10000000000000000|",
            "1\u{0}|a|0||",
            "1,|a|0||",
            "0x|",
            "1|a||0||",
            "3;a=b\r\r\nabc|0||",
        ],
    ),
    (
        Refused::ChunkExtension,
        &[
            "1;|a|0||",
            "1; a|a|0||",
            "1;a =b|a|0||",
            "1;a= b|a|0||",
            "1;a=|a|0||",
            "1;a=\"b|a|0||",
            "1;a=\"b\"c|a|0||",
            "1;a=\"\u{7}\"|a|0||",
            "1;a\n|a|0||",
            "1;a=\"\n\"|a|0||",
            "1;a;|a|0||",
            "0;\n||",
        ],
    ),
    (
        Refused::ChunkEnd,
        &["1|ab|0||", "1|a0||", "1|a\n0||", "1|a\r0||", "1|a\r\r\n0||", "3|abcX|0||"],
    ),
    (
        Refused::Trailer,
        &["0| a: b||", "0|a: b| c||", "0|a b: c||", "0|: c||", "0|a: \u{0}||", "0|X_Real_Ip: c||"],
    ),
    (Refused::LineEnd, &["0|\n", "0|a: b\n|", "0|\rx", "0|a: b|\n"]),
];

fn crlf(case: &str) -> Vec<u8> {
    case.replace('|', "\r\n").into_bytes()
}

#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let mut wrong = Vec::new();
    for (reason, cases) in REFUSED {
        for case in *cases {
            // A letter outside of ASCII stands for its byte in Latin-1, too.
            let letters = case.replace('|', "\r\n");
            let latin: Vec<u8> = letters.chars().map(|letter| u32::from(letter) as u8).collect();
            for found in [refused(letters), refused(latin)] {
                if found != *reason {
                    wrong.push(format!("{case:?} is {found:?}, not {reason:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_two_servers_could_cut_differently_is_refused() {
    for (reason, cases) in REFUSED_CHUNKS {
        for case in *cases {
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            assert_eq!(refused([head, &crlf(case)[..]].concat()), *reason, "{case:?}");
        }
    }
}

#[test]
fn every_reason_has_a_status_and_a_word_of_its_own() {
    let all: Vec<Refused> =
        REFUSED.iter().chain(REFUSED_CHUNKS).map(|(reason, _)| *reason).collect();
    for (index, reason) in all.iter().enumerate() {
        assert!((400..=599).contains(&reason.status()));
        let same = all.iter().skip(index + 1).filter(|other| other.label() == reason.label());
        assert!(same.clone().all(|other| other == reason), "{}", reason.label());
    }
}

/// Unusual, and read as one request in one way.
#[test]
fn what_is_unusual_and_clear_is_one_request() {
    for (case, line) in [
        ("|GET / HTTP/1.1|Host: a||", "GET /"),
        ("GET http://a/b?c HTTP/1.1|Host: a||", "GET /b?c"),
        ("GET HTTP://A:80/ HTTP/1.1|Host: a:80||", "GET /"),
        ("GET https://a HTTP/1.1|Host: a||", "GET /"),
        ("OPTIONS http://a HTTP/1.1|Host: a||", "OPTIONS *"),
        ("OPTIONS * HTTP/1.1|Host: a||", "OPTIONS *"),
        ("M-SEARCH / HTTP/1.1|Host: [::1]:8080||", "M-SEARCH /"),
        (
            "GET /a;b//c/%2f/..?d=e\\f&x;y HTTP/1.0|Host: a_b.c.||",
            "GET /a;b//c/%2f/..?d=e\\\\f&x;y",
        ),
        ("GET / HTTP/1.1|Host: a|X_Custom: b|a.b: c|||", "GET /"),
        ("GET / HTTP/1.1|Host: a|Connection: close, x-mine, ,|X-Mine: b||", "GET /"),
        ("GET / HTTP/1.1|Host: a|X:|Y: \u{e9}||", "GET /"),
        ("GET /?x_method=1&_methods=2 HTTP/1.1|Host: a||", "GET /?x_method=1&_methods=2"),
        ("POST / HTTP/1.1|Host: a|Transfer-Encoding: ChunkED||0||", "POST /"),
        ("POST / HTTP/1.1|Host: a|Expect: 100-Continue|Content-Length: 0||", "POST /"),
    ] {
        assert_eq!(request(crlf(case)).line, line, "{case:?}");
    }
}

#[test]
fn chunks_are_put_together() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, content) in [
        ("0||", ""),
        ("00000000||", ""),
        ("5|hello|0||", "hello"),
        ("5;a;b=c;d=\"e\\\";f\"|hello|1|x|0;a|T: v|U: w||", "hellox"),
        ("A|0123456789|a|0123456789|0||", "01234567890123456789"),
        ("000000000000000a|0123456789|0||", "0123456789"),
    ] {
        let message = request([head, &crlf(body)[..], b"rest"].concat());
        assert_eq!(message.content, content.as_bytes(), "{body:?}");
        assert_eq!(message.rest, b"rest", "{body:?}");
    }
}

#[test]
fn limits_are_met_at_the_same_byte_in_any_split() {
    let head = |line: usize, value: usize, fields: usize| {
        let mut bytes = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(line));
        for _ in 1..fields {
            bytes.push_str(&format!("X: {}\r\n", "v".repeat(value)));
        }
        bytes + "\r\n"
    };
    let line = HTTP_LINE_BYTES_MAX - "GET / HTTP/1.1".len();
    let read = |bytes: &str| {
        let whole = read(bytes.as_bytes(), bytes.len(), Kind::Request);
        for piece in [1, 97, 8192] {
            assert_eq!(whole, read(bytes.as_bytes(), piece, Kind::Request));
        }
        whole.map(|message| message.is_some())
    };
    assert_eq!(read(&head(line, 1, 1)), Ok(true));
    assert_eq!(read(&head(line + 1, 1, 1)), Err(Refused::LineBytes));
    assert_eq!(read(&head(1, 1, HTTP_FIELDS_MAX)), Ok(true));
    assert_eq!(read(&head(1, 1, HTTP_FIELDS_MAX + 1)), Err(Refused::FieldCount));
    assert_eq!(read(&head(1, HTTP_VALUE_BYTES_MAX, 2)), Ok(true));
    assert_eq!(read(&head(1, HTTP_VALUE_BYTES_MAX + 1, 2)), Err(Refused::ValueBytes));
    assert_eq!(read(&head(1, HTTP_VALUE_BYTES_MAX, 4)), Err(Refused::HeadBytes));
    let endless = "x".repeat(HTTP_HEAD_BYTES_MAX + 1);
    assert_eq!(read(&endless), Err(Refused::LineBytes));
    let endless = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(HTTP_HEAD_BYTES_MAX / 6));
    assert_eq!(read(&endless), Err(Refused::HeadBytes));
}

#[test]
fn extensions_and_trailers_have_limits() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let one = |bytes: usize| format!("1;{}\r\na\r\n", "x".repeat(bytes - 1));
    let body = |chunks: String| read(format!("{head}{chunks}").as_bytes(), 100, Kind::Request);
    let end = "0\r\n\r\n";
    let max = HTTP_CHUNK_EXTENSION_BYTES_MAX;
    assert!(body(one(max) + end).expect("allowed").is_some());
    assert_eq!(body(one(max + 1) + end), Err(Refused::ChunkExtension));
    assert_eq!(body(one(max).repeat(66) + end), Err(Refused::ChunkExtension));
    let trailers = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(body(trailers(HTTP_TRAILERS_MAX)).expect("allowed").is_some());
    assert_eq!(body(trailers(HTTP_TRAILERS_MAX + 1)), Err(Refused::Trailer));
    assert_eq!(body(format!("0\r\na: {}\r\n", "x".repeat(9000))), Err(Refused::Trailer));
}

#[test]
fn an_answer_ends_as_its_head_says() {
    let framing = |text: &str| answer(text).map(|message| message.expect("whole").framing);
    assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"), Ok(Framing::Length(2)));
    assert_eq!(
        framing("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Ok(Framing::Chunked)
    );
    assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\nab"), Ok(Framing::UntilClose));
    assert_eq!(framing("HTTP/1.1 204 No\r\n\r\n"), Ok(Framing::None));
    assert_eq!(framing("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"), Ok(Framing::None));
    assert_eq!(framing("HTTP/1.1 103 Early\r\n\r\n"), Ok(Framing::None));
    let content = answer("HTTP/1.0 200 OK\r\n\r\nab").expect("read").expect("whole").content;
    assert_eq!(content, b"ab");
}

#[test]
fn an_answer_that_is_not_clear_is_refused() {
    for (reason, text) in [
        (Refused::Status, "HTTP/1.1 099 X\r\n\r\n"),
        (Refused::Status, "HTTP/1.1 600 X\r\n\r\n"),
        (Refused::Status, "HTTP/1.1 20 X\r\n\r\n"),
        (Refused::Status, "HTTP/1.1 2000 X\r\n\r\n"),
        (Refused::Version, "HTTP/2.0 200 X\r\n\r\n"),
        (Refused::EmptyLines, "\r\nHTTP/1.1 200 X\r\n\r\n"),
        (Refused::LineEnd, "HTTP/1.1 200 X\n\n"),
        (Refused::ContentLength, "HTTP/1.1 200 X\r\nContent-Length:\r\n\r\n"),
        (
            Refused::ContentLengthRepeated,
            "HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        ),
        (Refused::TransferCoding, "HTTP/1.1 200 X\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (Refused::TransferCoding, "HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            Refused::LengthAndCoding,
            "HTTP/1.1 200 X\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (Refused::Folded, "HTTP/1.1 200 X\r\nA: b\r\n c\r\n\r\n"),
        (Refused::ConnectionNames, "HTTP/1.1 200 X\r\nConnection: content-length\r\n\r\n"),
    ] {
        assert_eq!(answer(text), Err(reason), "{text:?}");
    }
    let wrong = answer("HTTPS/1.1 200 X\r\n\r\n");
    assert!(wrong.is_err(), "{wrong:?}");
}

fn head_of(bytes: &[u8], kind: Kind) -> Head {
    let mut head = Head::default();
    let is_whole = HeadReader::default().next(&mut &*bytes, &mut head, kind).expect("a good head");
    assert!(is_whole);
    head
}

#[test]
fn a_request_goes_on_with_a_line_and_framing_of_weirs_own() {
    let head = head_of(
        b"POST http://client/a?b HTTP/1.1\r\nX-First: 1\r\nHost: client\r\n\
          Connection: x-mine, close\r\nX-Mine: drop\r\nKeep-Alive: 5\r\n\
          Authorization: Bearer secret\r\nX-Forwarded-For: liar\r\nX-Real-Ip: liar\r\n\
          Proxy-Authorization: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
          Cookie: a=b\r\nx-lower: kept\r\nAccept-Encoding: gzip\r\nX-Key: secret\r\n\
          Upgrade: a\r\nConnection: upgrade\r\n\r\n",
        Kind::Request,
    );
    let mut out = Vec::new();
    write::request(
        &mut out,
        &head,
        &Onward {
            target: head.target(),
            host: b"target:8080",
            framing: Framing::Chunked,
            pass: Pass { without: &[b"accept-encoding", b"X-KEY"], ..Pass::default() },
            added: &[(b"X-Forwarded-For", b"10.0.0.1")],
            upgrade: false,
        },
    );
    assert_eq!(
        text(&out),
        text(
            b"POST /a?b HTTP/1.1\r\nHost: target:8080\r\nX-First: 1\r\nCookie: a=b\r\nx-lower: kept\r\n\
              X-Forwarded-For: 10.0.0.1\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
              Connection: TE\r\nVia: 1.1 weir\r\n\r\n"
        )
    );
    // What weir writes, weir reads, and as the same request.
    let again = head_of(&out, Kind::Request);
    assert_eq!((again.method(), again.target()), (head.method(), head.target()));
    assert_eq!(Framing::of(&again, Role::Request), Ok(Framing::Chunked));
    assert!(pass::is_loop(&again) && !pass::is_loop(&head));
    let pass = Pass { without: &[b"accept-encoding"], ..Pass::default() };
    let dropped: Vec<String> = pass.dropped(&head).map(text).collect();
    assert!(["X-Mine", "Accept-Encoding"].iter().all(|name| dropped.contains(&(*name).to_owned())));
}

#[test]
fn an_answer_goes_back_as_its_client_can_read_it() {
    let head = head_of(
        b"HTTP/1.1 200 Fine\r\nServer: x\r\nAlt-Svc: h3=\":443\"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
          Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        Kind::Answer,
    );
    let write = |framing: Framing, version: Version, close: bool| {
        let mut out = Vec::new();
        let pass = Pass::default();
        write::answer(
            &mut out,
            &head,
            &Backward { version, framing, pass, added: &[], close, masked: false },
        );
        text(&out)
    };
    let fields = "HTTP/1.1 200 Fine\\r\\nServer: x\\r\\nSet-Cookie: a\\r\\nSet-Cookie: b\\r\\n";
    assert_eq!(
        write(Framing::Chunked, Version::Http11, false),
        format!("{fields}Transfer-Encoding: chunked\\r\\nVia: 1.1 weir\\r\\n\\r\\n")
    );
    assert_eq!(
        write(Framing::UntilClose, Version::Http10, true),
        format!("{fields}Connection: close\\r\\nVia: 1.1 weir\\r\\n\\r\\n")
    );
    let to_head = head_of(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Kind::Answer);
    assert_eq!(Framing::of(&to_head, Role::Answer { to_head: true }), Ok(Framing::None));
    let mut out = Vec::new();
    let backward = Backward {
        version: Version::Http11,
        framing: Framing::None,
        pass: Pass::default(),
        added: &[],
        close: false,
        masked: false,
    };
    write::answer(&mut out, &to_head, &backward);
    assert_eq!(text(&out), "HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\nVia: 1.1 weir\\r\\n\\r\\n");
}

#[test]
fn chunks_that_weir_writes_are_read_again() {
    for length in [1usize, 9, 15, 16, 255, 256, 4095, 65_536, 1_048_577] {
        let mut out = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        write::chunk_head(&mut out, length);
        out.extend(std::iter::repeat_n(b'x', length));
        out.extend_from_slice(write::CHUNK_END);
        let mut trailers = Head::default();
        let bytes = b"Grpc-Status: 0\r\nContent-Length: 5\r\nHost: b\r\n\r\n";
        HeadReader::default().next(&mut &bytes[..], &mut trailers, Kind::Trailers).expect("read");
        write::last_chunk(&mut out, Some(&trailers));
        let message = read(&out, out.len(), Kind::Request).expect("good").expect("whole");
        assert_eq!(message.content.len(), length);
        assert_eq!(message.trailers, [("Grpc-Status".to_owned(), "0".to_owned())]);
    }
}

#[test]
fn a_reply_is_a_whole_answer() {
    let reply = Problem::refused(Refused::ContentLength).reply(Manner::Problem);
    let mut out = Vec::new();
    write::reply(&mut out, &reply, false, true);
    let message = read(&out, out.len(), Kind::Answer).expect("good").expect("whole");
    assert_eq!(message.line, "400 Bad Request");
    assert_eq!(message.content, reply.content);
    assert!(message.rest.is_empty());
    let mut to_head = Vec::new();
    write::reply(&mut to_head, &reply, true, true);
    assert!(out.starts_with(&to_head) && to_head.ends_with(b"\r\n\r\n"));
}

#[test]
fn names_that_weir_knows_are_found_in_any_case() {
    assert_eq!(Name::of(b"HOST"), Name::Host);
    assert_eq!(Name::of(b"Proxy-Authentication-Info"), Name::ProxyAuthenticationInfo);
    assert_eq!(Name::of(b"X-Forwarded-Whatever"), Name::XForwardedOther);
    assert_eq!(Name::of(b"x-forwarded"), Name::Other);
    assert_eq!(Name::read(b"accept_encoding"), Ok(Name::Other), "nobody frames by it");
    assert_eq!(Name::read(b"sec_websocket_key"), Err(Refused::Alias));
}
