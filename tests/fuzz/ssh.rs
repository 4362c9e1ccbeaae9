//! What is done with bytes of an SSH peer, and what must hold then. The same two drivers use these
//! functions as those of `harness.rs`.

use std::sync::{Arc, OnceLock};

use weir::decide::ssh::files::FilePath;
use weir::decide::ssh::text::{Program, plain_words, program};
use weir::record::lines::{Found, Terminal};
use weir::record::pty_events::{Events, Writer};
use weir::wire::ssh::certificate::Certificate;
use weir::wire::ssh::cipher::{Cipher, Mac};
use weir::wire::ssh::hosts::HostTrust;
use weir::wire::ssh::kex::Method;
use weir::wire::ssh::kexinit::{KexInit, Offer};
use weir::wire::ssh::key::{Algorithm, PublicKey, SignatureAlgorithm, blob_of_line, line_of_blob};
use weir::wire::ssh::krl::Krl;
use weir::wire::ssh::message::{ChannelAsk, Message};
use weir::wire::ssh::packet::Outbound;
use weir::wire::ssh::sftp::{self, Asked, Replied, Replies, Requests, reply};
use weir::wire::ssh::signer::Signer;
use weir::wire::ssh::transport::{Step, Terms, Transport};
use weir::wire::ssh::userauth::{Answer, Method as AuthMethod, Request};
use weir::wire::ssh::{Broken, Role};

fn signer() -> Arc<Signer> {
    static SIGNER: OnceLock<Arc<Signer>> = OnceLock::new();
    Arc::clone(SIGNER.get_or_init(|| Arc::new(Signer::generate().expect("random bytes"))))
}

fn offer() -> Offer {
    Offer {
        methods: vec![Method::Curve25519, Method::NistP256],
        host_keys: vec![Algorithm::plain(SignatureAlgorithm::Ed25519)],
        ciphers: Cipher::ALL.to_vec(),
        macs: Mac::ALL.to_vec(),
    }
}

fn transport(role: Role) -> Transport {
    let host_keys = if role == Role::Server { vec![signer()] } else { Vec::new() };
    let terms =
        Terms { role, offer: offer(), host_keys, strict_required: false, rekey_bytes: 1 << 30 };
    Transport::new(Arc::new(terms), 0).expect("random bytes")
}

/// Everything that a transport makes of bytes in pieces: whether it became ready, and its end.
fn taken(role: Role, bytes: &[u8], piece: usize) -> (bool, Option<Broken>) {
    let mut transport = transport(role);
    let mut ready = false;
    for part in bytes.chunks(piece.max(1)) {
        transport.feed(part);
        loop {
            match transport.next(0) {
                Ok(Step::Need) => break,
                Ok(Step::HostKey) => drop(transport.trust(true)),
                Ok(Step::Ready) => ready = true,
                Ok(Step::Message(place)) => {
                    let number = transport.message(&place).first().copied();
                    assert_eq!(number, Some(1), "a message before the first exchange");
                }
                Err(cause) => return (ready, Some(cause)),
            }
        }
    }
    (ready, None)
}

/// The first bytes of a peer, whole and in pieces: the same end, and no login without keys.
pub fn clear(bytes: &[u8]) {
    for role in [Role::Client, Role::Server] {
        let whole = taken(role, bytes, usize::MAX);
        assert!(!whole.0, "keys came out of nothing");
        for piece in [1, 7] {
            assert_eq!(whole, taken(role, bytes, piece), "in pieces of {piece}");
        }
    }
}

/// Payloads in clear packets, in any order: the first byte of each says how long it is.
pub fn order(bytes: &[u8]) {
    let mut stream = b"SSH-2.0-x\r\n".to_vec();
    let mut outbound = Outbound::default();
    let mut rest = bytes;
    while let Some((&length, tail)) = rest.split_first() {
        let length = usize::from(length) + 1;
        let payload = match length {
            // The KEXINIT of an honest peer, so that what follows is reached.
            255.. => offer().write(Role::Client, [0; 16], length == 256),
            _ => tail.get(..length.min(tail.len())).unwrap_or(&[]).to_vec(),
        };
        rest = tail.get(length.min(tail.len())..).unwrap_or(&[]);
        if !payload.is_empty() {
            outbound.seal(&payload, &mut stream);
        }
    }
    clear(&stream);
}

/// A KEXINIT: what is chosen was offered by weir.
pub fn negotiation(bytes: &[u8]) {
    let Ok(theirs) = KexInit::parse(bytes) else { return };
    for role in [Role::Client, Role::Server] {
        if let Ok(chosen) = offer().choose(role, &theirs) {
            assert!(offer().methods.contains(&chosen.method));
            assert!(offer().host_keys.contains(&chosen.host_key));
        }
    }
}

/// Messages of the login, of both sides, and the keys and certificates in them.
pub fn login(bytes: &[u8]) {
    if let Ok(request) = Request::parse(bytes) {
        match request.method {
            AuthMethod::Signed(offered, signed) => {
                let proven = signed.verify(&offered, &[7; 32], b"host key");
                assert!(proven.is_err(), "a key proved itself without its secret");
            }
            AuthMethod::Probe(offered) => drop(offered.read()),
            _ => {}
        }
    }
    drop(Answer::parse(bytes));
    if let Ok(key) = PublicKey::parse(bytes) {
        let line = line_of_blob(bytes).expect("a key has a kind");
        assert_eq!(blob_of_line(&line).as_deref(), Some(bytes));
        let verified = key.verify(SignatureAlgorithm::Ed25519, b"message", bytes);
        assert!(verified.is_err());
    }
    if let Ok(certificate) = Certificate::parse(bytes) {
        assert!(PublicKey::parse(&certificate.authority_blob).is_ok(), "a CA is a plain key");
    }
}

/// A message of the connection protocol: read, written and read again, it says the same.
pub fn messages(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let written = message.write();
    let again = Message::parse(&written).expect("what weir writes can be read");
    assert_eq!(message, again);
    match message {
        Message::ChannelRequest { name, rest, .. } => {
            if let Ok(ChannelAsk::Pty(pty)) = ChannelAsk::parse(name, rest) {
                ChannelAsk::echoes(pty.modes);
            }
        }
        Message::ChannelOpen(open) => drop(open.destination()),
        _ => {}
    }
}

/// Events of a terminal: what was read is written as it was.
pub fn events(bytes: &[u8]) {
    let mut events = Events::new(bytes);
    let mut writer = Writer::default();
    let mut at_us = 0u64;
    let mut same = true;
    for event in events.by_ref() {
        let next = at_us.checked_add(event.after_us);
        same &= next.is_some();
        at_us = next.unwrap_or(at_us);
        writer.push(at_us, event.kind, event.bytes);
    }
    let written = writer.take();
    let again: Vec<_> = Events::new(&written).collect();
    let first: Vec<_> = Events::new(bytes).collect();
    assert!(!same || again == first);
    // Lines of any terminal are bounded, the same from one chunk and from two.
    let lines = |from: usize| {
        let (mut terminal, mut found) = (Terminal::begun(), Vec::new());
        terminal.take(&written[..from], &mut found);
        terminal.take(&written[from..], &mut found);
        found.into_iter().map(|line| line.found).collect::<Vec<_>>()
    };
    let mut rest = Events::new(&written);
    rest.next();
    let whole = lines(0);
    assert!(whole.iter().all(|found| match found {
        Found::Line { text, .. } => !text.is_empty() && text.len() <= 4096,
        Found::Gap(_) => true,
    }));
    assert_eq!(whole, lines(written.len() - rest.rest().len()));
}

/// The text of a command: plain words hold nothing that a shell would read in another way.
pub fn text(bytes: &[u8]) {
    let words = plain_words(bytes);
    assert_eq!(words.is_none(), program(bytes) == Program::Compound);
    let open = b";|&$`()<>";
    let outside = bytes.iter().any(|byte| open.contains(byte));
    let quoted = bytes.iter().any(|byte| b"'\"".contains(byte));
    assert!(words.is_none() || !outside || quoted, "an operator outside of quotes");
}

/// What a client's stream of SFTP says, contents put together, and its end.
fn asked(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<Broken>) {
    let (mut stream, mut said) = (Requests::default(), Vec::new());
    for mut part in bytes.chunks(piece.max(1)) {
        loop {
            match stream.next(&mut part) {
                Ok(None) => break,
                Ok(Some(Asked::Request(packet) | Asked::Write(packet))) => said.push(packet),
                Ok(Some(Asked::Body(body, _))) => {
                    said.last_mut().expect("contents have a WRITE").extend_from_slice(body);
                }
                Err(why) => return (said, Some(why)),
            }
        }
        assert!(part.is_empty(), "all of a piece is taken");
    }
    (said, None)
}

/// The same for a target's replies.
fn replied(bytes: &[u8], piece: usize) -> (Vec<(u8, Vec<u8>)>, Option<Broken>) {
    let (mut stream, mut said) = (Replies::default(), Vec::new());
    for mut part in bytes.chunks(piece.max(1)) {
        loop {
            match stream.next(&mut part) {
                Ok(None) => break,
                Ok(Some(Replied::Packet(kind, kept))) => said.push((kind, kept)),
                Ok(Some(Replied::Data { id, .. })) => said.push((0, id.to_be_bytes().to_vec())),
                Ok(Some(Replied::Body(body))) => {
                    said.last_mut().expect("contents have a DATA").1.extend_from_slice(body);
                }
                Err(why) => return (said, Some(why)),
            }
        }
    }
    (said, None)
}

/// SFTP of both sides, whole and in pieces; nothing that passes is changed.
pub fn files(bytes: &[u8]) {
    let whole = asked(bytes, usize::MAX);
    let passed: Vec<u8> = whole.0.concat();
    assert!(bytes.starts_with(&passed), "requests are the bytes that came");
    for packet in &whole.0 {
        let _ = sftp::Request::parse(packet);
    }
    let answers = replied(bytes, usize::MAX);
    for (kind, kept) in &answers.0 {
        let _ = reply(*kind, kept);
    }
    for piece in [1, 7, 4096] {
        assert_eq!(whole, asked(bytes, piece), "in pieces of {piece}");
        assert_eq!(answers, replied(bytes, piece), "in pieces of {piece}");
    }
    let path = FilePath::new(bytes, Some(b"/base"));
    assert!(path.text.first() == Some(&b'/') && !path.text.windows(2).any(|two| two == b"//"));
}

/// Lists of revoked certificates, and files of known hosts: no bytes are too odd for them.
pub fn trust(bytes: &[u8]) {
    if let Ok(krl) = Krl::parse(bytes) {
        let _ = krl.revokes_key(bytes);
    }
    let mut trust = HostTrust::default();
    let _ = trust.add_lines(&String::from_utf8_lossy(bytes), "web-1", 22);
    assert!(!trust.trusts(bytes, "web-1", 0) || trust.keys.iter().any(|key| key == bytes));
}
