//! TLS on either side of a session.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use super::*;

const ENCRYPTED: Options = Options { client_tls: true, ..PLAIN };

fn client_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(testdata("ca.pem")).expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
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
    let chain = vec![CertificateDer::from_pem_file(testdata("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    let connection = ServerConnection::new(Arc::new(config)).expect("a server");
    StreamOwned::new(connection, stream)
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
    let configs = super::super::tls::TlsConfigs::load(&settings).expect("readable files");
    let mut ours = configs.connect(0, "db.test").expect("a target with TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let mut peer = server(stream);
    let (mut socket, _) = listener.accept().expect("accepted");
    let handshake =
        thread::spawn(move || peer.conn.complete_io(&mut peer.sock).expect_err("a refusal"));
    let (mut out, mut plain, mut buffer) = (Vec::new(), Vec::new(), [0; 16_384]);
    ours.write_to(&mut out);
    socket.write_all(&out).expect("sent");
    let refused = loop {
        let count = socket.read(&mut buffer).expect("records");
        assert!(count > 0, "the peer gave up first");
        if let Err(error) = ours.receive(&buffer[..count], &mut plain) {
            break error;
        }
    };
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
    out.clear();
    ours.write_to(&mut out);
    socket.write_all(&out).expect("sent");
    let told = handshake.join().expect("an end").to_string();
    assert!(told.contains("received fatal alert"), "{told}");
}

#[test]
fn problems_name_the_file() {
    let check = |certificate: &str, key: &str, expect: &str| {
        let mut settings = settings(ENCRYPTED);
        if let Some(tls) = &mut settings.postgres.tls {
            tls.certificate = testdata(certificate);
            tls.key = testdata(key);
        }
        let problem = super::super::tls::TlsConfigs::load(&settings).expect_err("a problem");
        assert!(problem.to_string().contains(expect), "{problem}");
    };
    check("missing.pem", "server.key", "missing.pem");
    check("server.key", "server.key", "holds no certificate");
    check("server.pem", "server.pem", "private key");
    check("ca.pem", "server.key", "ca.pem");
}
