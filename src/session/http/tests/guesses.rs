//! Passwords that somebody guesses, over connections and streams of one shard.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::many::Many;
use super::*;
use crate::limits;
use crate::wire::http::h2::hpack::Keep;

const SECOND: u64 = 1_000_000;

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64.encode(pair))
}

impl Bench {
    /// A new connection of the same shard.
    fn connect(&mut self, from: [u8; 4]) {
        self.tell(Event::Eof(End::Client));
        let accepted = Accepted {
            listener: 0,
            protocol: Protocol::Http,
            session_id: SessionId([8; 16]),
            client_addr: SocketAddr::from((from, 40_001)),
            tls_available: false,
            tls_required: false,
        };
        self.with(|session, stage| *session = Session::accept(accepted, stage));
        (self.client, self.target, self.leg) = (Vec::new(), Vec::new(), None);
    }

    /// The answer to a request of this login; nothing if a target is asked.
    fn says(&mut self, pair: &str) -> String {
        let text = format!("GET /a HTTP/1.1|Host: billing|Authorization: {}||", basic(pair));
        self.send(text.replace('|', "\r\n").as_bytes(), 1000);
        self.client_text()
    }

    /// Whether a login is taken, over a connection of its own.
    fn takes(&mut self, pair: &str, from: [u8; 4]) -> bool {
        self.connect(from);
        self.says(pair).is_empty() && self.leg.is_some()
    }
}

#[test]
fn who_guesses_has_to_wait_and_shuts_out_nobody_elsewhere() {
    let (here, there) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    for name in ["bot", "nobody"] {
        for own_connections in [false, true] {
            let mut bench = Bench::new();
            bench.connect(here);
            for number in 0..=limits::LOGIN_FAILURES_OF_NAME {
                let text = bench.says(&format!("{name}:{number}"));
                assert!(text.starts_with("HTTP/1.1 401 "), "{number}: {text}");
                if own_connections {
                    bench.connect(here);
                }
            }
            let text = bench.says(&format!("{name}:secret"));
            assert!(text.starts_with("HTTP/1.1 429 "), "{text}");
            assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
            let is_noted = |body: Body<'_>| match body {
                Body::Event(event) => {
                    event.attrs.contains("login-throttled") && event.attrs.contains(name)
                }
                _ => false,
            };
            assert!(bench.journal.bodies().any(is_noted), "nobody reads of it");
            assert!(bench.takes("bot:secret", there), "others are not shut out");
            assert_eq!(bench.takes("bot:secret", here), name == "nobody");
            bench.now.mono_us += SECOND;
            assert!(bench.takes("bot:secret", here), "a second later it is looked at");
            assert!(bench.takes("bot:secret", here));
        }
    }
}

#[test]
fn who_was_known_before_goes_on() {
    let mut bench = Bench::new();
    assert!(bench.says("bot:secret").is_empty());
    bench.answer(OK, 1000);
    bench.client_text();
    for number in 0..=limits::LOGIN_FAILURES_OF_NAME {
        let from = SocketAddr::from(([127, 0, 0, 9], 1)).ip();
        bench.room.failures.note("bot", from, bench.now.mono_us + u64::from(number));
    }
    assert!(bench.says("bot:secret").is_empty() && bench.leg.is_some());
}

#[test]
fn streams_of_one_connection_are_no_more_guesses_than_connections() {
    let mut many = Many::new(1000);
    let mut streams = Vec::new();
    for number in 0..60 {
        let stream = many.client.open(false, true, |block| {
            for (name, value) in [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "billing"),
                (":path", "/a"),
                ("authorization", &basic(&format!("bot:{number}"))),
            ] {
                block.field(name.as_bytes(), value.as_bytes(), Keep::Usual);
            }
        });
        streams.push(stream.expect("there is room for a stream"));
    }
    many.flush();
    let mut of = |status: u16| {
        streams.iter().filter(|stream| many.answer_of(**stream).status == status).count()
    };
    let free = limits::LOGIN_FAILURES_OF_NAME as usize + 1;
    assert_eq!((of(401), of(429)), (free, 60 - free));
}
