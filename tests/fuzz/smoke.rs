//! The fuzz harness with a seed instead of a search: mutations of good inputs, the same every time.
//!
//! `WEIR_FUZZ_SEED` starts from another seed, `WEIR_FUZZ_ROUNDS` does more rounds. For a search
//! that learns from coverage see README.md in this folder.

mod conversation;
mod h2;
mod harness;
mod http;
mod kubernetes;
mod ssh;
mod ssh_smoke;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir::record::journal::END_BYTES;

/// splitmix64: enough to choose mutations, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A byte that lengths and tags are made of, more often than chance has it.
    fn byte(&mut self) -> u8 {
        const LIKELY: &[u8] = b"\x00\x00\x00\x01\x04\x05\x7f\x80\xff\xffQPBEDSdCHXpRTZKASN,=rvnpc";
        if self.below(2) == 0 { LIKELY[self.below(LIKELY.len())] } else { self.next() as u8 }
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(8) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.byte()),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.extend_from_slice(&seeds[random.below(seeds.len())]),
            4 => (0..random.below(40)).for_each(|_| bytes.push(random.byte())),
            _ if !bytes.is_empty() => bytes[at] = random.byte(),
            _ => {}
        }
    }
    bytes.truncate(4096);
    bytes
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `target` on mutated seeds. The input of a failure is printed as a byte string.
fn smoke(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    smoke_rounds(target, seeds, 30_000);
}

/// Slow targets do fewer rounds.
fn smoke_rounds(target: fn(&[u8]), seeds: &[Vec<u8>], rounds: u64) {
    for seed in seeds {
        for end in 0..=seed.len() {
            target(&seed[..end]);
        }
    }
    let seed = number("WEIR_FUZZ_SEED", 1);
    let mut random = Random(seed);
    for round in 0..number("WEIR_FUZZ_ROUNDS", rounds) {
        let bytes = mutate(&mut random, seeds);
        let result = std::panic::catch_unwind(|| target(&bytes));
        if let Err(panic) = result {
            eprintln!("WEIR_FUZZ_SEED={seed} round {round}: b\"{}\"", bytes.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

#[test]
fn startup_packets() {
    smoke(
        harness::startup,
        &[
            packet(b"\0\x03\0\0user\0alice\0database\0orders\0\0"),
            packet(b"\0\x03\x27\x0fuser\0a\0_pq_.grease\0x\0\0"),
            packet(b"\x04\xd2\x16\x2f"),
            packet(b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"),
        ],
    );
}

#[test]
fn client_frames() {
    smoke(
        harness::client,
        &[
            message(b'Q', b"SELECT 1\0"),
            message(b'P', b"name\0SELECT $1\0\0\x01\0\0\0\x17"),
            message(b'B', b"portal\0name\0\0\x01\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01"),
            message(b'D', b"Sname\0"),
            message(b'E', b"portal\0\0\0\0\x05"),
            message(b'F', b"\0\0\x05\x75\0\x01\0\0\0\x01\0\0\0\x02-7\0\0"),
            [message(b'd', &[b'x'; 300]), message(b'c', b""), message(b'S', b"")].concat(),
        ],
    );
}

#[test]
fn server_frames() {
    smoke(
        harness::server,
        &[
            message(b'T', b"\0\x01name\0\0\0\x40\0\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
            message(b'D', b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff"),
            message(b't', b"\0\x02\0\0\0\x17\0\0\0\x19"),
            message(b'E', b"SERROR\0VERROR\0C42601\0Msyntax error\0P1\0\0"),
            [message(b'C', b"INSERT 0 5\0"), message(b'Z', b"I")].concat(),
            message(b'A', b"\0\0\x10\x10channel\0payload\0"),
        ],
    );
}

#[test]
fn journal_segments() {
    let bytes = [vec![0; 64], (0..=255).collect(), b"\x01\0\0\0\0\0\0\0".to_vec()];
    let frames = [3, 8].map(harness::journal_frame);
    let cut = frames.clone().map(|frame| frame[..frame.len() - END_BYTES - 2].to_vec());
    smoke(harness::journal, &[&bytes[..], &frames, &cut].concat());
}

#[test]
fn scram_messages() {
    let good =
        "n,,n=,r=abcdefghijc=biws,r=abcdefghij,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let server = "r=nonceoftheclientX,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1";
    let signature = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    smoke(
        harness::scram,
        &[
            good.as_bytes().to_vec(),
            format!("{server:<60}{signature}").into_bytes(),
            b"SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$AAAA:AAAA".to_vec(),
        ],
    );
}

#[test]
fn tokens() {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = r#"{"alg":"EdDSA","kid":"a","typ":"at+jwt"}"#;
    let claims =
        r#"{"iss":"https://id","aud":"weir","exp":1700000060,"sub":"x","a":{"groups":["g"]}}"#;
    let signature = "A".repeat(86);
    let thirds = format!("{header:<90}{claims:<90}{:<90}", "signature");
    smoke(
        harness::token,
        &[
            format!("{}.{}.{signature}", part(header), part(claims)).into_bytes(),
            thirds.into_bytes(),
            br#"{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256"}]}"#.to_vec(),
            b"n,,\x01auth=Bearer a.b.c\x01host=x\x01\x01".to_vec(),
        ],
    );
}

#[test]
fn command_texts() {
    let texts = [
        "SELECT * FROM public.customers c WHERE ssn = $1 AND x IN (1, 2)",
        "UPDATE t SET a = 1; DELETE FROM t WHERE true; DROP TABLE t; COPY t TO STDOUT (FORMAT csv)",
        "CREATE ROLE r LOGIN PASSWORD 'secret' VALID UNTIL 'infinity'",
        "DO $body$ BEGIN PERFORM 1; END $body$; PREPARE p AS SELECT 1; EXECUTE p(1, 'x')",
        "WITH w AS (INSERT INTO t VALUES (1) RETURNING *) SELECT E'\\'' || U&'\\0041' FROM w -- x",
    ];
    smoke_rounds(harness::sql, &texts.map(|text| text.as_bytes().to_vec()), 3_000);
}

#[test]
fn masked_texts() {
    let texts = [
        "pays with 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, a@b.example",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln ghp_0123456789abcdef0123456789abcdef0123",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY----- postgres://u:p@h/d 123-45-6789",
    ];
    smoke_rounds(harness::mask, &texts.map(|text| text.as_bytes().to_vec()), 5_000);
}

#[test]
fn sessions_before_their_login() {
    let startup = packet(b"\0\x03\0\0user\0alice\0database\0orders\0\0");
    let sasl = message(b'p', b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc");
    smoke_rounds(
        harness::session,
        &[
            [startup.clone(), sasl.clone()].concat(),
            [packet(b"\x04\xd2\x16\x2f"), startup.clone()].concat(),
            [startup, message(b'Q', b"SELECT 1\0"), sasl, message(b'X', b"")].concat(),
        ],
        10_000,
    );
}

#[test]
fn sessions_after_their_login() {
    // Programs of `conversation.rs`: bytes below 100 are the client's messages, then the target's.
    let extended = b"\x00\x01\x00\x01\x02\x00\x00\x05\x00\x08\x64\x65\x6f\x0a\x0b\x67\x01\x68";
    let simple = b"\x00\x00\x01\x6f\x0a\x08\x0a\x0b\x00\x00\x6a\x68\x68\x6b\x6c\x67\x00\x68";
    let held = b"\x01\x00\x04\x00\x00\xf4\x68\x67\x03\x68\x68\xf0\xf8\xf9";
    smoke_rounds(
        conversation::conversation,
        &[extended.to_vec(), simple.to_vec(), held.to_vec(), (0..=255).collect()],
        4_000,
    );
}

#[test]
fn http_requests() {
    let texts = [
        "GET /a?b=c HTTP/1.1\r\nHost: x.y:80\r\nX-A: b\r\nCookie: c=d\r\nConnection: close, x-a\r\n\r\n",
        "POST http://a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET",
        "POST /%2f;a/../ HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n3;a=\"b\\\"\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        "\r\nOPTIONS * HTTP/1.0\r\nhOST: a_b.\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ];
    smoke(http::request, &texts.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn http_answers() {
    let texts = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello",
        "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n5;x\r\nhello\r\n0\r\nT: v\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\n\r\nuntil the end",
    ];
    smoke(http::answer, &texts.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn websocket_frames() {
    smoke(
        http::websocket,
        &[
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec(),
            b"\x01\x03Hel\x89\x05Hello\x80\x02lo\x88\x04\x03\xe8ok".to_vec(),
            [b"\x82\x7e\x01\x00".to_vec(), vec![b'x'; 256]].concat(),
        ],
    );
}

#[test]
fn streams_of_events() {
    let texts = ["data: a\ndata: b\n\n: c\n\n", "event: x\r\ndata\r\n\r\n", "id: 1\rdata: y\r\r\n"];
    smoke(http::events, &texts.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn kubernetes_requests() {
    let lines = [
        "GET /api/v1/namespaces/d/pods?fieldSelector=metadata.name%3Dw&watch=1&limit=500",
        "POST /api/v1/namespaces/d/pods/w/exec?command=sh&command=-c&container=c&stdin=true",
        "GET /api/v1/nodes/n/proxy/exec/d/w/c?cmd=a;b",
        "DELETE /apis/apps/v1/namespaces/d/deployments?labelSelector=a+in+(b,c),!d&dryRun=All",
        "GET /api/v1/watch/namespaces/d/secrets/s%2e",
        "GET /openapi/v3/apis/apps/v1?hash=0",
    ];
    smoke(kubernetes::request, &lines.map(|line| line.as_bytes().to_vec()));
}

#[test]
fn kubernetes_channels() {
    let status = br#"\x01\x03{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":
        [{"reason":"ExitCode","message":"3"}]}}"#;
    let messages: [&[u8]; 5] = [
        b"\0\0ls -l\n",
        b"\0\xff\0",
        b"\x020Zm9vCgo=",
        b"\x01\x04{\"Width\":80,\"Height\":24}",
        status,
    ];
    smoke(kubernetes::channel, &messages.map(<[u8]>::to_vec));
}

#[test]
fn kubernetes_spdy() {
    use weir::wire::kubernetes::spdy::frame::data_head;
    use weir::wire::kubernetes::spdy::{Control, Deflater};
    let mut deflater = Deflater::default();
    let mut bytes = Vec::new();
    for port in ["8080", "9090"] {
        let pairs = [("streamtype", "data"), ("port", port), ("requestid", "1")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let block = deflater.write(&pairs).expect("headers");
        let (stream, associated, priority) = (1, 0, [0, 0]);
        let opened = Control::SynStream { stream, associated, priority, flags: 0, block: &block };
        opened.write(&mut bytes).expect("a frame");
        bytes.extend(data_head(1, true, 3).expect("a head"));
        bytes.extend(b"abc");
    }
    let mut others = Vec::new();
    for control in [
        Control::Ping(1),
        Control::RstStream { stream: 1, status: 5 },
        Control::WindowUpdate { stream: 1, delta: 9 },
        Control::Settings { flags: 0, entries: &[0; 8] },
        Control::GoAway { last: 1, status: 0 },
    ] {
        control.write(&mut others).expect("a frame");
    }
    smoke_rounds(kubernetes::spdy, &[bytes, others], 3_000);
}

#[test]
fn kubernetes_protobuf() {
    let secret = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret\x12\x11\x0a\x05\x0a\x03abc\x12\x08\x0a\x01k\x12\x03xyz";
    let inner = secret.len() as u8;
    let event = [
        b"k8s\0\x12",
        &[inner + 11, 0x0a, 0x05][..],
        b"ADDED\x12",
        &[inner + 2, 0x0a, inner],
        secret,
    ]
    .concat();
    let frame = [&(event.len() as u32).to_be_bytes()[..], &event].concat();
    smoke(kubernetes::proto, &[secret.to_vec(), event, frame]);
}

fn h2_frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u8;
    [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

#[test]
fn field_blocks() {
    smoke_rounds(
        h2::hpack,
        &[
            b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff".to_vec(),
            b"\x20\x3f\xe1\x1f\x40\x0acustom-key\x0dcustom-header\xbe\x10\x08password\x06secret"
                .to_vec(),
            b"\x04\x0c/sample/path\x00\x01a\x01b\x7f\x00\x01c".to_vec(),
        ],
        20_000,
    );
}

#[test]
fn h2_connections() {
    let get = b"\x82\x87\x84\x41\x03a.b";
    let settings = h2_frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x10");
    let hello = [&b"\x01PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    let asked = [
        hello.clone(),
        h2_frame(1, 4, 1, get),
        h2_frame(0, 0, 1, b"hello"),
        h2_frame(0, 9, 1, b"\x02body\0\0"),
        h2_frame(8, 0, 0, b"\x00\x00\x00\x10"),
        h2_frame(6, 0, 0, b"12345678"),
        h2_frame(1, 5, 3, get),
        h2_frame(3, 0, 3, b"\x00\x00\x00\x08"),
    ];
    let pieces = [
        hello,
        h2_frame(1, 0, 1, &get[..4]),
        h2_frame(9, 4, 1, &get[4..]),
        h2_frame(1, 5, 1, b"\x00\x01x\x01y"),
        h2_frame(2, 0, 5, b"\x00\x00\x00\x01\x00"),
        h2_frame(7, 0, 0, b"\x00\x00\x00\x01\x00\x00\x00\x00"),
    ];
    let answered = [
        vec![0],
        settings,
        h2_frame(1, 4, 1, b"\x08\x03103"),
        h2_frame(1, 4, 1, b"\x88\x0f\x0d\x015"),
        h2_frame(0, 0, 1, b"hello"),
        h2_frame(1, 5, 1, b"\x00\x01x\x01y"),
    ];
    smoke_rounds(h2::h2, &[asked.concat(), pieces.concat(), answered.concat()], 10_000);
}

const JSON: [&str; 4] = [
    r#"{"a":[1,-2.5e+3,true,null,"x\u00e9\"\n"],"b":{"c":"bob@example.com"},"hidden":{"d":4}}"#,
    r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{}}}]"#,
    r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"x","title":"y"},{"name":"zz"}]}}"#,
    r#"{"result":{"content":[{"text":"{\"hidden\":1}"}],"structuredContent":{"hidden":1}}}"#,
];

#[test]
fn forms() {
    let boundary = "multipart/form-data; boundary=xx\n--xx\r\nContent-Disposition: form-data; \
                    name=\"a\"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; \
                    name=\"_metho\"\r\n\r\n2\r\n--xx--\r\n";
    let seeds = [
        "application/x-www-form-urlencoded\na=1&_method%3d=DELETE&b=%5fmethod;%5f=x+y",
        "\n_metho=PUT&%5Fmetho=x&%u005fmetho=1& _metho",
        "application/x-www-form-urlencoded; charset=utf-8\n_method%00x=1",
        boundary,
        "application/json\n{\"a\":{\"_method\":1},\"_metho\":\"x\",\"b\\u005f\":[1]}",
    ];
    smoke_rounds(http::form, &seeds.map(|text| text.as_bytes().to_vec()), 20_000);
}

#[test]
fn json_texts() {
    smoke_rounds(h2::json, &JSON.map(|text| text.as_bytes().to_vec()), 20_000);
}

#[test]
fn mcp_bodies() {
    smoke_rounds(h2::mcp, &JSON.map(|text| text.as_bytes().to_vec()), 10_000);
}

#[test]
fn bodies_under_masks() {
    let texts = [
        "data: {\"hidden\":1,\ndata: \"b\":2}\r\n\r\n: bob@example.com\n\n",
        "hidden=1&mail=bob%40example.com&c=4111111111111111",
        "a line of bob@example.com\nand 4111 1111 1111 1111 or ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "{\"hidden\":1}\n{\"hidden\":\"x\"}\n",
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (at, text) in texts.iter().chain(&JSON).enumerate() {
        let shape = [2, 3, 4, 1, 0, 0, 0, 0][at];
        seeds.push([&[shape][..], text.as_bytes()].concat());
    }
    smoke_rounds(h2::body, &seeds, 4_000);
}
