//! What is done with bytes of a peer, once per kind of input, and what must hold then.
//!
//! Two drivers use these functions: `smoke.rs`, an ordinary test with a seed, and the cargo-fuzz
//! targets beside it, which look for new paths for as long as they may run.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir::clock::Now;
use weir::config::load;
use weir::config::settings::MaskSpec;
use weir::decide::Classifier;
use weir::decide::sql::classify::classify_uncached;
use weir::identify::jwk::{ALGORITHMS, KeySet};
use weir::identify::oauthbearer;
use weir::identify::scram::{
    Binding, ClientExchange, MECHANISM, SaltedCache, ServerExchange, Verifier,
};
use weir::identify::token::{self, Issuer};
use weir::mask::hits::Hits;
use weir::mask::sql::plan::Policy;
use weir::mask::sql::redact;
use weir::mask::{Operator, detect};
use weir::record::SessionId;
use weir::record::body::{self, Kind};
use weir::record::journal::{
    END_BYTES, Frames, HEADER_BYTES, Header, Place, Step as JournalStep, frame_bytes, write_context,
};
use weir::record::memory::MemoryJournal;
use weir::session::SnapshotSource;
use weir::session::postgres::Machine;
use weir::session::{Accepted, Driven};
use weir::session::{Output, Room, Snapshot, Stage};
use weir::wire::Side;
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
        assert!((8..=10_004).contains(&stated), "a length of {stated} was taken");
    }
    match FirstPacket::parse(bytes) {
        Some(FirstPacket::Startup(startup)) => {
            // Said twice, the last one counts, as it does in PostgreSQL: two readings would let a
            // client be one user to the rules and another to the login.
            let named = startup.params().filter(|(name, _)| *name == b"user").last();
            assert_eq!(startup.param("user"), named.map(|(_, value)| value));
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
    let header = journal_header();
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
        for version in 0..=body::VERSION {
            let _ = body::read(kind, version, rest);
        }
    }
}

fn journal_header() -> Header {
    Header {
        node: "n".to_owned(),
        shard: 0,
        number: 1,
        boot: [7; 16],
        created_us: 0,
        first_index: 0,
    }
}

/// A frame that `journal` finds whole, and the mark of a segment's end.
pub fn journal_frame(body: usize) -> Vec<u8> {
    let mut bytes = vec![0; frame_bytes(body) + END_BYTES];
    let place = Place { log_index: 0, seq: 0, wall_us: 0, session_id: SessionId([1; 16]) };
    write_context(&mut bytes, &journal_header().salt(), &place, &vec![1; body]);
    bytes
}

/// SCRAM in both roles: nobody without the password gets in.
pub fn scram(bytes: &[u8]) {
    let verifier = Verifier::from_password("the right one", b"0123456789abcdef", 1);
    let (first, last) = bytes.split_at(bytes.len() / 2);
    for known in [Some(&verifier), None] {
        let mut exchange = ServerExchange::new("user", known, &[3; 32], b"nonce of the server");
        let _ = exchange.begin(MECHANISM.as_bytes(), first);
        assert!(exchange.client_final(last).is_err(), "a client got in without the password");
    }
    let mut client = ClientExchange::new("the right one", "nonceoftheclient", Binding::None);
    let mut cache = SaltedCache::new();
    let answered = client.server_first(first, &mut cache).is_ok();
    let proved = client.server_final(last).is_ok();
    assert!(!proved || answered, "a server proved itself before it asked");
    assert!(!proved, "a server proved that it knows the password");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Verifier::parse(text);
    }
}

/// A token, the parts of one, a key set, OAUTHBEARER: nobody is let in by a key that nobody has.
pub fn token(bytes: &[u8]) {
    // The public key of RFC 8037, appendix A.
    const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = KeySet::parse(KEYS).unwrap_or_else(|error| panic!("{error}"));
    let policy = token::Policy {
        issuer: "https://id".to_owned(),
        audience: "weir".to_owned(),
        username_claim: "sub".to_owned(),
        groups_claim: "/a/groups".to_owned(),
        username_prefix: String::new(),
        groups_prefix: String::new(),
        required: Vec::new(),
        algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
        leeway_s: 0,
    };
    let issuers = [Issuer { policy: &policy, keys: Some(&keys) }];
    let now_us = 1_700_000_000_000_000;
    assert!(token::verify(bytes, &issuers, now_us).is_err(), "a token was forged");
    let (header, rest) = bytes.split_at(bytes.len() / 3);
    let (claims, signature) = rest.split_at(rest.len() / 2);
    let parts = [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
    let whole = parts.join(".");
    assert!(token::verify(whole.as_bytes(), &issuers, now_us).is_err(), "a token was forged");
    if let Ok(set) = KeySet::parse(bytes) {
        assert!(!set.is_empty(), "a set without keys is none");
    }
    let mut exchange = oauthbearer::ServerExchange::new("https://id", "openid");
    if let Ok(oauthbearer::BearerStep::Token(token)) = exchange.handle(Some(bytes)) {
        assert!(token.len() < bytes.len() && !token.contains(&1), "more than a token was taken");
        assert!(!exchange.refuse().is_empty());
    }
}

/// The text of a command: a class for each statement, whatever it is, and a redacted text that a
/// record can hold.
pub fn sql(bytes: &[u8]) {
    let classified = classify_uncached(bytes);
    for statement in &classified.statements {
        assert!(!statement.classes.is_empty());
    }
    let redacted = redact::command_text(bytes);
    assert!(
        redacted.len() <= 2 * bytes.len() + 64,
        "{} bytes became {}",
        bytes.len(),
        redacted.len()
    );
}

/// Detectors over any bytes: what they are made to find does not come through.
pub fn mask(bytes: &[u8]) {
    const CARD: &[u8] = b"4539148803436467";
    let spec = MaskSpec {
        columns: Vec::new(),
        paths: Vec::new(),
        objects: vec![],
        detect: detect::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        operator: Operator::Redact,
        targets: Vec::new(),
        except_groups: Vec::new(),
    };
    let view = Policy::compile(&[spec]).view("target", &[]);
    let (before, after) = bytes.split_at(bytes.len() / 2);
    let text = [before, b" ", CARD, b" ", after].concat();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    assert!(view.text(&text, &mut out, &mut hits), "nothing was found");
    let planted = before.windows(CARD.len()).chain(after.windows(CARD.len())).any(|w| w == CARD);
    let left = out.windows(CARD.len()).any(|window| window == CARD);
    assert!(!left || planted, "the card came through");
    let mut plain = Vec::new();
    if !view.text(bytes, &mut plain, &mut hits) {
        assert_eq!(plain, bytes, "changed without saying so");
    }
}

/// A client that has not logged in, and then a server that answers a login nobody asked for: no
/// byte of a command leaves, whatever they say.
pub fn session(bytes: &[u8]) {
    thread_local! {
        static SNAPSHOT: Rc<Snapshot> = Rc::new(snapshot());
        static DERIVED: RefCell<SaltedCache> = RefCell::new(SaltedCache::new());
    }
    let snapshot = SNAPSHOT.with(Rc::clone);
    let (mut classifier, mut journal) = (Classifier::new(), MemoryJournal::new());
    let mut salted = DERIVED.with(RefCell::take);
    let meters = weir::metrics::Meters::new(|| 0);
    let mut stage = Stage {
        snapshot: &snapshot,
        classifier: &mut classifier,
        salted: &mut salted,
        journal: &mut journal,
        random: &mut |bytes: &mut [u8]| bytes.fill(3),
        room: &Room::default(),
        meters: &meters,
        now: Now { wall_us: 1_700_000_000_000_000, mono_us: 1_000 },
    };
    let accepted = Accepted {
        listener: 0,
        protocol: weir::wire::Protocol::Postgres,
        session_id: SessionId([9; 16]),
        client_addr: SocketAddr::from(([127, 0, 0, 1], 1)),
        tls_available: bytes.first().is_some_and(|byte| byte % 2 == 0),
        tls_required: false,
    };
    let mut machine = Machine::accept(accepted, &mut stage);
    let (first, second) = bytes.split_at(bytes.len() / 3);
    machine.handle_bytes(Side::Client, first, &mut stage);
    machine.handle_bytes(Side::Client, second, &mut stage);
    machine.handle_bytes(Side::Server, first, &mut stage);
    while let Some(output) = machine.poll_output() {
        assert!(!matches!(output, Output::Lease(_)), "dialled for a client that proved nothing");
    }
    assert!(
        machine.outbox(Side::Server.into()).expect("it has one").is_empty(),
        "bytes for a server nobody may use"
    );
    machine.handle_eof(Side::Client, &mut stage);
    machine.handle_timeout(&mut stage);
    DERIVED.with(|kept| kept.replace(salted));
}

fn snapshot() -> Snapshot {
    const CONFIG: &str = r#"
data_dir = "data"
[listen.postgres]
address = "127.0.0.1:0"
[[target]]
name = "orders"
address = "127.0.0.1:5432"
tls = "disable"
[[target.credential]]
role = "app"
password = { env = "PASSWORD" }
[[identity.user]]
name = "alice"
password = { env = "PASSWORD" }
[[rule]]
name = "all"
then = "allow"
"#;
    let env = |_: &str| Some("a password".to_owned());
    let settings = load::parse(CONFIG, "fuzz.toml", Path::new("."), &env).expect("a good file");
    Snapshot::build(&SnapshotSource {
        settings: Arc::new(settings),
        catalogs: vec![None],
        catalogs_begun_us: vec![u64::MAX / 2; 8],
        addresses: vec![Vec::new()],
        keys: Vec::new(),
        windows: Vec::new(),
        minors: vec![std::sync::Arc::default()],
        changes: Vec::new(),
        tokens: Default::default(),
        mock_seed: [1; 32],
    })
}
