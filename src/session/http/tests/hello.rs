//! The first bytes of a client where TLS is spoken.

use super::*;
use crate::fault::{Fault, FaultKind, Login, Malformed};
use crate::session::TlsFacts;
use crate::wire::Side;

impl Bench {
    /// Events about the connection, and their reasons.
    fn events(&self) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for body in self.journal.bodies() {
            if let Body::Event(event) = body {
                let attrs: serde_json::Value = serde_json::from_str(event.attrs).expect("JSON");
                let reason = attrs["reason"].as_str().unwrap_or_default().to_owned();
                events.push((event.event.to_owned(), reason));
            }
        }
        events
    }
}

#[test]
fn a_request_in_clear_is_refused_in_clear_and_leaves_a_row() {
    for text in ["GET / HTTP/1.1\r\nHost: billing\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut bench = Bench::accepting(true);
        bench.send(text.as_bytes(), 1000);
        let told = bench.client_text();
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "{told}");
        assert!(bench.closed && bench.leg.is_none() && bench.shakes == 0);
        let expect = ("connection-refused".to_owned(), "plaintext-client".to_owned());
        assert_eq!(bench.events(), [expect]);
    }
    let mut bench = Bench::accepting(true);
    bench.send(b"\x00\x01\x02", 1000);
    assert!(bench.closed && bench.client.is_empty(), "who speaks no HTTP is told nothing");
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn a_handshake_that_breaks_leaves_a_row_and_silence_none() {
    let broken = |kind| {
        let mut bench = Bench::accepting(true);
        bench.send(b"\x16\x03\x01\x00\x05hello", 1000);
        assert_eq!((bench.shakes, bench.closed), (1, false));
        bench.tell(Event::Broken(End::Client, Fault::new(Side::Client, kind)));
        assert!(bench.closed && bench.client.is_empty());
        bench.events()
    };
    let refused = |reason: &str| ("connection-refused".to_owned(), reason.to_owned());
    let certificate = FaultKind::Login(Login::Certificate);
    assert_eq!(broken(certificate), [refused("client-certificate")]);
    assert_eq!(broken(FaultKind::Malformed(Malformed::Tls)), [refused("tls")]);
    let mut bench = Bench::accepting(true);
    bench.send(b"\x16", 1);
    bench.now.mono_us += 60_000_000;
    bench.tell(Event::Timeout);
    assert_eq!((bench.closed, bench.events()), (true, vec![refused("login-time")]));
    // A look at the port is no event.
    let mut bench = Bench::accepting(true);
    bench.tell(Event::Eof(End::Client));
    assert_eq!((bench.closed, bench.events()), (true, vec![]));
    let mut bench = Bench::accepting(true);
    bench.send(b"\x16", 1);
    bench.tell(Event::Tls(End::Client, TlsFacts { version: "TLSv1_3", ..TlsFacts::default() }));
    bench.send(&request("GET /a", "|"), 7);
    bench.answer(OK, 1000);
    assert!(bench.client_text().ends_with("hello"), "and else all is as ever");
}
