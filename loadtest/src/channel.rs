//! TLS of a client without a socket: bytes of the protocol out and in, bytes of the wire.
//!
//! In: what an endpoint says of TLS. Out: bytes for the socket, bytes of the server.
//! Never: a byte in clear where TLS was asked for; a session that is resumed. libpq resumes none,
//! and logins would cost the server less than those of the clients they stand for.
//!
//! ```text
//! Clear
//! Unasked --SSLRequest--> Asked --S--> Tls        (sslnegotiation=direct begins with Tls)
//!                           \--N, ?--> Failed <--/
//! ```

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};
use rustls::{Error, SignatureScheme};

use crate::endpoint::{Endpoint, Tls};
use crate::wire;

/// TLS of all connections to an endpoint.
#[derive(Clone)]
pub struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    direct: bool,
}

impl Security {
    /// What the endpoint asks for; `None` for connections in clear.
    ///
    /// # Errors
    /// A sentence: the roots or the host's name are of no use.
    pub fn new(endpoint: &Endpoint) -> Result<Option<Security>, String> {
        let Some(tls) = &endpoint.tls else { return Ok(None) };
        Security::of(&endpoint.host, tls, b"postgresql").map(Some)
    }

    /// TLS with a host, for what this name of ALPN stands for.
    ///
    /// # Errors
    /// A sentence: the roots or the host's name are of no use.
    pub fn of(host: &str, tls: &Tls, protocol: &[u8]) -> Result<Security, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match &tls.roots {
            None => Arc::new(Unverified(Arc::clone(&provider))),
            Some(path) => {
                let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
                let mut roots = RootCertStore::empty();
                for root in CertificateDer::pem_file_iter(path).map_err(|e| fail(&e))? {
                    roots.add(root.map_err(|e| fail(&e))?).map_err(|e| fail(&e))?;
                }
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|e| fail(&e))?
            }
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host}: no name that a certificate could have"))?;
        Ok(Security { config: Arc::new(config), name, direct: tls.direct })
    }
}

/// One connection's way from the protocol to the wire and back.
pub struct Channel(State);

enum State {
    Clear,
    Unasked(Box<ClientConnection>),
    Asked(Box<ClientConnection>),
    Tls(Box<ClientConnection>),
    /// Nothing more may leave.
    Failed,
}

impl Channel {
    /// Nothing has been said yet.
    ///
    /// # Errors
    /// TLS has no randomness.
    pub fn new(security: Option<&Security>) -> Result<Channel, String> {
        let Some(security) = security else { return Ok(Channel(State::Clear)) };
        let connection = ClientConnection::new(security.config.clone(), security.name.clone());
        let mut connection = Box::new(connection.map_err(|e| said(&e))?);
        // What is sealed leaves as a whole; the caller bounds it.
        connection.set_buffer_limit(None);
        Ok(Channel(match security.direct {
            true => State::Tls(connection),
            false => State::Unasked(connection),
        }))
    }

    /// Whether bytes of the protocol leave as they come: there is no handshake, or it is over.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            State::Clear => true,
            State::Tls(connection) => !connection.is_handshaking(),
            State::Unasked(_) | State::Asked(_) | State::Failed => false,
        }
    }

    /// What both sides agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.0 {
            State::Tls(connection) => connection.alpn_protocol(),
            _ => None,
        }
    }

    /// Moves to `raw`, what goes over the wire, as much of `out` as may leave, and what TLS has to
    /// say for itself.
    ///
    /// # Errors
    /// TLS has failed.
    pub fn seal(&mut self, out: &mut Vec<u8>, raw: &mut Vec<u8>) -> Result<(), String> {
        self.0 = match std::mem::replace(&mut self.0, State::Failed) {
            State::Clear if raw.is_empty() => {
                std::mem::swap(out, raw);
                State::Clear
            }
            State::Clear => {
                raw.append(out);
                State::Clear
            }
            State::Unasked(connection) => {
                wire::ssl_request(raw);
                State::Asked(connection)
            }
            State::Asked(connection) => State::Asked(connection),
            State::Failed => return Err(said(&"it has failed before")),
            State::Tls(mut connection) => {
                if !connection.is_handshaking() {
                    connection.writer().write_all(out).map_err(|e| said(&e))?;
                    out.clear();
                }
                while connection.wants_write() {
                    connection.write_tls(raw).map_err(|e| said(&e))?;
                }
                State::Tls(connection)
            }
        };
        Ok(())
    }

    /// Takes bytes of the wire; `each` sees those of the protocol. The other side may be owed an
    /// answer then: `seal` has it.
    ///
    /// # Errors
    /// The server does not do TLS, or not as it should.
    pub fn open(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), String> {
        self.0 = match (std::mem::replace(&mut self.0, State::Failed), bytes) {
            (State::Clear, _) => {
                each(bytes);
                State::Clear
            }
            (State::Asked(connection), b"S") => State::Tls(connection),
            // Whoever is in between could have put them there.
            (State::Asked(_), [b'S', ..]) => return Err(said(&"bytes in clear behind the yes")),
            (State::Asked(_), [b'N', ..]) => return Err(said(&"the server does not offer it")),
            (State::Asked(_) | State::Unasked(_), _) => {
                return Err(said(&"the server does not answer whether it offers it"));
            }
            (State::Failed, _) => return Err(said(&"it has failed before")),
            (State::Tls(mut connection), _) => {
                // After the other side's close_notify nothing is taken any more.
                while connection.read_tls(&mut bytes).map_err(|e| said(&e))? > 0 {
                    connection.process_new_packets().map_err(|e| said(&e))?;
                    let mut reader = connection.reader();
                    // An error says that there is nothing to read, now or ever.
                    while let Ok(plain @ [_, ..]) = reader.fill_buf() {
                        each(plain);
                        let count = plain.len();
                        reader.consume(count);
                    }
                }
                State::Tls(connection)
            }
        };
        Ok(())
    }
}

fn said(why: &dyn std::fmt::Display) -> String {
    format!("TLS: {why}")
}

/// Any certificate, as libpq with `sslmode=require`; the server must still own its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(query: &str) -> Channel {
        let endpoint = Endpoint::parse(&format!("postgres://u@localhost/d?{query}")).unwrap();
        Channel::new(Security::new(&endpoint).unwrap().as_ref()).unwrap()
    }

    fn sealed(channel: &mut Channel, text: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut out, mut raw) = (text.to_vec(), vec![]);
        channel.seal(&mut out, &mut raw).unwrap();
        (out, raw)
    }

    #[test]
    fn in_clear_all_passes() {
        let mut channel = channel("sslmode=disable");
        assert_eq!(sealed(&mut channel, b"text"), (vec![], b"text".to_vec()));
        let mut seen = vec![];
        channel.open(b"answer", |bytes| seen.extend_from_slice(bytes)).unwrap();
        assert_eq!(seen, b"answer");
    }

    #[test]
    fn nothing_but_the_request_leaves_before_tls() {
        let mut channel = channel("sslmode=require");
        let request = [0, 0, 0, 8, 4, 210, 22, 47];
        assert_eq!(sealed(&mut channel, b"text"), (b"text".to_vec(), request.to_vec()));
        assert_eq!(sealed(&mut channel, b"text"), (b"text".to_vec(), vec![]));
        channel.open(b"S", |_| panic!("the server has said nothing")).unwrap();
        let (out, raw) = sealed(&mut channel, b"text");
        // A handshake record.
        assert_eq!((&*out, raw.first()), (&b"text"[..], Some(&22)));
    }

    #[test]
    fn direct_tls_asks_for_nothing() {
        let (out, raw) = sealed(&mut channel("sslmode=require&sslnegotiation=direct"), b"text");
        assert_eq!((&*out, raw.first()), (&b"text"[..], Some(&22)));
    }

    #[test]
    fn a_server_without_tls_or_with_more_to_say_is_left() {
        for (answer, expect) in [
            (&b"N"[..], "does not offer"),
            (b"Smore", "in clear"),
            (b"E\0\0\0", "does not answer"),
            (b"", "does not answer"),
        ] {
            let mut channel = channel("sslmode=require");
            sealed(&mut channel, b"");
            let why = channel.open(answer, |_| panic!("bytes in clear")).unwrap_err();
            assert!(why.contains(expect), "{why}");
            let (mut out, mut raw) = (b"text".to_vec(), vec![]);
            assert!(channel.seal(&mut out, &mut raw).is_err() && raw.is_empty());
        }
    }

    #[test]
    fn roots_that_are_none_are_named() {
        let url = "postgres://u@h/d?sslmode=verify-full&sslrootcert=/dev/null";
        let why = Security::new(&Endpoint::parse(url).unwrap()).err().unwrap();
        assert!(why.starts_with("/dev/null: "), "{why}");
    }
}
