//! TLS on either side of a session.

use std::io::BufRead as _;

use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::super::tls::{Tls, TlsConfigs};
use super::*;

const ENCRYPTED: Options = Options { client_tls: true, ..PLAIN };

fn client_config() -> Arc<ClientConfig> {
    client_config_of(rustls::ALL_VERSIONS)
}

fn client_config_of(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(testdata("ca.pem")).expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Arc::new(config)
}

fn secure(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("db.test").expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    StreamOwned::new(connection, stream)
}

fn server(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let config = Arc::new(server_config(rustls::ALL_VERSIONS));
    StreamOwned::new(ServerConnection::new(config).expect("a server"), stream)
}

fn server_config(versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(testdata("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key")
}

fn talk(client: &mut (impl Read + Write), server: &mut (impl Read + Write)) {
    for length in [1, 1000, 16_384, 100_000] {
        let request = pattern(length, 1);
        client.write_all(&request).expect("sent");
        client.flush().expect("sent");
        let mut got = vec![0; length];
        server.read_exact(&mut got).expect("the request");
        assert!(got == request, "request of {length}");
        let answer = pattern(length, 2);
        server.write_all(&answer).expect("sent");
        server.flush().expect("sent");
        client.read_exact(&mut got).expect("the answer");
        assert!(got == answer, "answer of {length}");
    }
}

#[test]
fn a_client_may_ask_for_tls_or_start_with_it() {
    let rig = Rig::start(ENCRYPTED);
    let config = client_config();
    let (mut client, mut server) = rig.pair();
    client.write_all(&[TLS_CLIENT]).expect("sent");
    expect(&mut client, b"S");
    let mut client = secure(client, &config);
    talk(&mut client, &mut server);
    server.write_all(b"last words").expect("sent");
    drop(server);
    // An end without close_notify would be an error here.
    assert_eq!(rest(&mut client), "last words");

    assert_eq!(client.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));

    let (client, mut server) = rig.pair();
    let mut client = secure(client, &config);
    talk(&mut client, &mut server);
    // The ticket of the first connection is good here.
    assert_eq!(client.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    client.conn.send_close_notify();
    client.flush().expect("sent");
    assert_eq!(rest(&mut server), "");
    rig.drain(0);
}

#[test]
fn bytes_that_are_no_tls_end_the_session() {
    let rig = Rig::start(ENCRYPTED);
    let (mut client, _server) = rig.pair();
    client.write_all(&[TLS_CLIENT]).expect("sent");
    expect(&mut client, b"S");
    client.write_all(&[b'?'; 200]).expect("sent");
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).expect("an orderly end");
    assert_eq!(alert.first(), Some(&21), "a TLS alert, and nothing in clear: {alert:?}");
    rig.drain(0);
}

#[test]
fn targets_are_verified_as_their_mode_says() {
    let check = |mode, host, good: bool| {
        let rig = Rig::start(Options { target_tls: mode, host, ..PLAIN });
        let (mut client, stream) = rig.pair();
        client.write_all(&[TLS_SERVER]).expect("sent");
        let mut server = server(stream);
        if good {
            server.conn.complete_io(&mut server.sock).expect("a handshake");
            expect(&mut client, b"t");
            talk(&mut client, &mut server);
        } else {
            let refused = server.conn.complete_io(&mut server.sock);
            assert!(refused.is_err(), "{mode:?} took {host}");
            assert_eq!(rest(&mut client), "target-certificate");
        }
        rig.drain(0);
    };
    check(TargetTls::Require, "other.test", true);
    check(TargetTls::Prefer, "127.0.0.1", true);
    check(TargetTls::VerifyCa, "other.test", true);
    check(TargetTls::VerifyFull, "db.test", true);
    check(TargetTls::VerifyFull, "other.test", false);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let mut settings = settings(Options { target_tls: TargetTls::VerifyCa, ..PLAIN });
    // The server's own certificate is no authority.
    settings.targets[0].root_certificates = Some(testdata("server.pem"));
    let configs = TlsConfigs::load(&settings).expect("readable files");
    let mut ours = configs.connect(0, "db.test").expect("a target with TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let mut peer = server(stream);
    let (mut socket, _) = listener.accept().expect("accepted");
    let handshake =
        thread::spawn(move || peer.conn.complete_io(&mut peer.sock).expect_err("a refusal"));
    let (mut out, mut plain, mut buffer) = (Vec::new(), Vec::new(), [0; 16_384]);
    ours.write_own(&mut out);
    socket.write_all(&out).expect("sent");
    let refused = loop {
        let count = socket.read(&mut buffer).expect("records");
        assert!(count > 0, "the peer gave up first");
        if let Err(error) = ours.receive(&mut buffer[..count], &mut plain) {
            break error;
        }
    };
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
    out.clear();
    ours.write_own(&mut out);
    socket.write_all(&out).expect("sent");
    let told = handshake.join().expect("an end").to_string();
    assert!(told.contains("received fatal alert"), "{told}");
}

#[test]
fn problems_name_the_file() {
    let check = |certificate: &str, key: &str, expect: &str| {
        let mut settings = settings(ENCRYPTED);
        if let Some(tls) = &mut settings.listeners[0].tls {
            tls.certificate = testdata(certificate);
            tls.key = testdata(key);
        }
        let problem = TlsConfigs::load(&settings).expect_err("a problem");
        assert!(problem.to_string().contains(expect), "{problem}");
    };
    check("missing.pem", "server.key", "missing.pem");
    check("server.key", "server.key", "holds no certificate");
    check("server.pem", "server.pem", "private key");
    check("ca.pem", "server.key", "ca.pem");
}

/// A connection of weir's and one of rustls' usual interface, which exchange records by pieces of
/// the given lengths.
struct Exchange {
    ours: Tls,
    peer: rustls::Connection,
    splits: Vec<usize>,
    turn: usize,
    at_ours: Vec<u8>,
    at_peer: Vec<u8>,
    finished: usize,
    closed: usize,
}

impl Exchange {
    fn new(ours: Tls, mut peer: rustls::Connection, splits: Vec<usize>) -> Exchange {
        peer.set_buffer_limit(None);
        let (at_ours, at_peer) = (vec![], vec![]);
        Exchange { ours, peer, splits, turn: 0, at_ours, at_peer, finished: 0, closed: 0 }
    }

    fn pieces<'a>(&mut self, mut bytes: &'a mut [u8]) -> Vec<&'a mut [u8]> {
        let mut pieces = vec![];
        while !bytes.is_empty() {
            self.turn += 1;
            let length = self.splits[self.turn % self.splits.len()].min(bytes.len());
            let (piece, rest) = bytes.split_at_mut(length);
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }

    /// Until both are silent.
    fn run(&mut self) {
        loop {
            let mut to_ours = vec![];
            while self.peer.wants_write() {
                self.peer.write_tls(&mut to_ours).expect("records");
            }
            for piece in self.pieces(&mut to_ours) {
                let news = self.ours.receive(piece, &mut self.at_ours).expect("good records");
                self.finished += usize::from(news.finished.is_some());
                self.closed += usize::from(news.closed);
            }
            let mut to_peer = vec![];
            self.ours.write_own(&mut to_peer);
            if to_ours.is_empty() && to_peer.is_empty() {
                return;
            }
            self.hand_to_peer(&mut to_peer);
        }
    }

    fn hand_to_peer(&mut self, records: &mut [u8]) {
        for piece in self.pieces(records) {
            let mut piece = &*piece;
            while !piece.is_empty() {
                self.peer.read_tls(&mut piece).expect("room");
                self.peer.process_new_packets().expect("good records");
                let mut reader = self.peer.reader();
                while let Ok(plain @ [_, ..]) = reader.fill_buf() {
                    self.at_peer.extend_from_slice(plain);
                    let count = plain.len();
                    reader.consume(count);
                }
            }
        }
    }

    fn say(&mut self, mut plain: &[u8]) {
        let mut records = vec![];
        while !plain.is_empty() {
            let count = self.ours.seal(plain, &mut records);
            assert!(count > 0, "nothing is taken");
            plain = &plain[count..];
        }
        self.hand_to_peer(&mut records);
    }

    fn hear(&mut self, plain: &[u8]) {
        self.peer.writer().write_all(plain).expect("taken");
        self.run();
    }

    fn talk(&mut self) {
        for length in [1, 1000, 16_384, 100_000] {
            let (request, answer) = (pattern(length, 1), pattern(length, 2));
            self.hear(&request);
            assert!(std::mem::take(&mut self.at_ours) == request, "request of {length}");
            self.say(&answer);
            assert!(std::mem::take(&mut self.at_peer) == answer, "answer of {length}");
        }
    }
}

/// Handshakes, tickets, messages in fragments, new keys, the end: in whatever pieces they come.
fn exchange(
    we_are_server: bool,
    versions: &[&'static SupportedProtocolVersion],
    (fragment, splits): (Option<usize>, Vec<usize>),
) {
    let target_tls = TargetTls::VerifyFull;
    let host = "db.test";
    let settings = settings(Options { target_tls, host, ..ENCRYPTED });
    let configs = TlsConfigs::load(&settings).expect("readable files");
    let (ours, peer) = if we_are_server {
        let mut config = ClientConfig::clone(&client_config_of(versions));
        config.max_fragment_size = fragment;
        let name = ServerName::try_from(host).expect("a name");
        let peer = ClientConnection::new(Arc::new(config), name).expect("a client");
        (configs.accept(0).expect("a certificate"), peer.into())
    } else {
        let mut config = server_config(versions);
        config.max_fragment_size = fragment;
        let peer = ServerConnection::new(Arc::new(config)).expect("a server");
        (configs.connect(0, host).expect("a target with TLS"), peer.into())
    };
    let mut it = Exchange::new(ours, peer, splits);
    it.run();
    assert_eq!((it.finished, it.peer.is_handshaking()), (1, false));
    it.talk();
    if it.peer.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
        it.peer.refresh_traffic_keys().expect("new keys");
        it.talk();
    }
    it.peer.send_close_notify();
    it.run();
    assert_eq!(it.closed, 1);
    it.say(b"last words");
    let mut end = vec![];
    it.ours.close(&mut end);
    it.hand_to_peer(&mut end);
    assert_eq!(it.at_peer, b"last words");
    let state = it.peer.process_new_packets().expect("good records");
    assert!(state.peer_has_closed());
}

const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn records_come_in_any_pieces(
        we_are_server: bool,
        versions in prop_oneof![Just(TLS12), Just(TLS13)],
        fragment in prop_oneof![Just(None), (32_usize..400).prop_map(Some)],
        splits in prop::collection::vec(
            prop_oneof![1_usize..8, 1_usize..300, 1_usize..20_000, Just(100_000)], 1..9),
    ) {
        exchange(we_are_server, versions, (fragment, splits));
    }
}

/// Whatever is said behind an error goes nowhere, and the alert says which it was.
#[test]
fn after_an_error_the_peer_is_told_and_no_more() {
    let configs = TlsConfigs::load(&settings(ENCRYPTED)).expect("readable files");
    let name = ServerName::try_from("db.test").expect("a name");
    let peer = ClientConnection::new(client_config(), name).expect("a client");
    let mut it = Exchange::new(configs.accept(0).expect("a certificate"), peer.into(), vec![9]);
    it.run();
    it.talk();
    it.peer.writer().write_all(b"a record").expect("taken");
    let mut records = vec![];
    it.peer.write_tls(&mut records).expect("records");
    let last = records.last_mut().expect("a tag");
    *last ^= 1;
    // Whole records behind it make no difference.
    let mut both = [&records[..], &records[..]].concat();
    let refused = it.ours.receive(&mut both, &mut it.at_ours).expect_err("a forged record");
    assert_eq!(refused, rustls::Error::DecryptError);
    it.ours.receive(&mut records, &mut it.at_ours).expect_err("bytes behind it");
    let mut said = vec![];
    assert_eq!(it.ours.seal(b"lost", &mut said), 4);
    it.ours.close(&mut said);
    it.peer.read_tls(&mut &said[..]).expect("room");
    let told = it.peer.process_new_packets().expect_err("an alert");
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    assert_eq!((it.at_ours.len(), it.at_peer.len()), (0, 0));
}

/// What waits for the rest of a message is bounded, however small its records are.
#[test]
fn a_message_of_a_handshake_has_a_bound() {
    let configs = TlsConfigs::load(&settings(ENCRYPTED)).expect("readable files");
    let mut ours = configs.accept(0).expect("a certificate");
    // A ClientHello of 16 MiB, 8 bytes a record.
    let mut hello = vec![22, 3, 1, 0, 8, 1, 255, 255, 255];
    hello.extend_from_slice(&[0; 4]);
    let refused = ours.receive(&mut hello, &mut vec![]).expect_err("too large");
    let expect = rustls::InvalidMessage::HandshakePayloadTooLarge;
    assert_eq!(refused, rustls::Error::InvalidMessage(expect));
}
