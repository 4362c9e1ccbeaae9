//! TLS without sockets: what a configuration makes of it, and its connections in both roles.
//!
//! In: settings and their files. Out: connections. Never: 0-RTT data; a target accepted by less
//! than its mode asks for.

mod connection;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, ResolvesServerCert, UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, SignatureScheme, server::NoServerSessionStorage,
};

use crate::config::settings::{ClientTrust, ListenTls, Settings, Target, TargetTls};
use crate::identify::certificate::{self, Hosts};
use crate::session::Shown;
use crate::wire::{Protocol, Side};

pub use connection::{Received, Tls};

/// What weir speaks on this side, in ALPN, by the registry of IANA; the best first.
fn alpn(protocol: Protocol, side: Side) -> Vec<Vec<u8>> {
    match (protocol, side) {
        (Protocol::Postgres, _) => vec![b"postgresql".to_vec()],
        (Protocol::Http | Protocol::Kubernetes, Side::Client) => {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        }
        (Protocol::Http | Protocol::Kubernetes, Side::Server) => vec![b"http/1.1".to_vec()],
        (Protocol::Ssh, _) => Vec::new(),
    }
}

/// Where systems keep the certificates they trust, for verifying targets without own roots.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why TLS cannot be set up. Says which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A PEM file cannot be read, or does not hold what it should.
    #[error("{path}: cannot read a {what} in PEM form: {cause}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader says.
        cause: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0}: holds no certificate; give a PEM file with at least one")]
    Empty(PathBuf),
    /// Certificate and key do not fit, or rustls does not take them.
    #[error("{path}: {cause}")]
    Rejected {
        /// The certificate or root file.
        path: PathBuf,
        /// What rustls says.
        cause: Error,
    },
    /// The mode verifies certificates and there is nothing to verify with.
    #[error(
        "target {0}: its TLS mode verifies certificates, but it has no root certificates and \
             this system keeps none; set root_certificates"
    )]
    NoRoots(String),
    /// The host is neither a DNS name nor an address.
    #[error("target {target}: {host} is no name that a certificate could be verified for")]
    Name {
        /// The target.
        target: String,
        /// Its host.
        host: String,
    },
    /// Certificates of clients cannot be verified with these roots and revocation lists.
    #[error("{path}: {cause}")]
    ClientVerifier {
        /// The roots.
        path: PathBuf,
        /// What rustls says.
        cause: rustls::server::VerifierBuilderError,
    },
    /// The verifier cannot be built from these roots.
    #[error("target {target}: {cause}")]
    Verifier {
        /// The target.
        target: String,
        /// What rustls says.
        cause: rustls::client::VerifierBuilderError,
    },
}

/// All TLS of a configuration. Built once, shared by all shards: session tickets of one shard are
/// good at every other.
#[derive(Debug)]
pub struct TlsConfigs {
    /// By the index of the listener.
    listeners: Vec<Option<ServerSide>>,
    targets: Vec<Option<Arc<ClientConfig>>>,
}

#[derive(Debug)]
struct ServerSide {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// What clients of a listener are shown.
#[derive(Debug)]
pub struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    hosts: Arc<Hosts>,
}

thread_local! {
    /// What the hello that was just read had shown. rustls tells it to nobody else; whoever has it
    /// read a record takes it at once (`Tls::open`).
    static CHOSEN: Cell<Option<Chosen>> = const { Cell::new(None) };
}

/// Which certificate a client is shown.
#[derive(Clone, Copy, Debug, Default)]
struct Chosen {
    place: usize,
    /// It asked for a name.
    by_name: bool,
}

impl Certificates {
    fn read(tls: &ListenTls, provider: &Arc<CryptoProvider>) -> Result<Certificates, TlsProblem> {
        let first = std::iter::once((&tls.certificate, &tls.key));
        let all = first.chain(tls.more.iter().map(|(certificate, key)| (certificate, key)));
        let read = |(path, key): (&PathBuf, &PathBuf)| {
            let (chain, key) = key_pair(path, key)?;
            let rejected = |cause| TlsProblem::Rejected { path: path.clone(), cause };
            CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(rejected)
        };
        let keys = all.map(read).collect::<Result<Vec<_>, _>>()?;
        let leaves = keys.iter().filter_map(|key| key.cert.first()).map(AsRef::as_ref);
        let hosts = Arc::new(Hosts::of(leaves));
        Ok(Certificates { keys, hosts })
    }

    /// The hash of the one that was shown, for SCRAM with channel binding.
    fn end_point(&self, chosen: Chosen) -> Option<Vec<u8>> {
        certificate::end_point(self.keys.get(chosen.place)?.cert.first()?)
    }

    /// Which one it was, if a client asked for a name and there are several.
    fn shown(&self, chosen: Chosen) -> Option<Shown> {
        let hosts = Arc::clone(&self.hosts);
        let is_one = self.keys.len() > 1 && chosen.by_name;
        is_one.then_some(Shown { hosts, place: chosen.place })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let place = name.map_or(0, |name| self.hosts.place(name));
        CHOSEN.set(Some(Chosen { place, by_name: name.is_some() }));
        self.keys.get(place).cloned()
    }
}

impl TlsConfigs {
    /// Reads certificates, keys and roots.
    ///
    /// # Errors
    /// The first file or name that is not usable.
    pub fn load(settings: &Settings) -> Result<TlsConfigs, TlsProblem> {
        let provider = Arc::new(ring::default_provider());
        let listeners = settings
            .listeners
            .iter()
            .map(|listen| match &listen.tls {
                Some(tls) => server_side(listen.protocol, tls, &provider).map(Some),
                None => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let targets = settings
            .targets
            .iter()
            .map(|target| match target.tls {
                TargetTls::Disable => Ok(None),
                _ => target_config(target, &provider).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(TlsConfigs { listeners, targets })
    }

    /// Whether there is a certificate for clients.
    pub fn accepts(&self, listener: usize) -> bool {
        self.listeners.get(listener).is_some_and(Option::is_some)
    }

    /// The server's side of TLS with a client.
    pub fn accept(&self, listener: usize) -> Option<Tls> {
        let side = self.listeners.get(listener)?.as_ref()?;
        let connection = UnbufferedServerConnection::new(Arc::clone(&side.config)).ok()?;
        Some(Tls::server(connection, Arc::clone(&side.certificates)))
    }

    /// The client's side of TLS with a server of a target, which is verified for the name `host`.
    pub fn connect(&self, target: usize, host: &str) -> Option<Tls> {
        let config = self.targets.get(target)?.clone()?;
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let connection = UnbufferedClientConnection::new(config, name).ok()?;
        Tls::client(connection).ok()
    }
}

fn server_side(
    protocol: Protocol,
    tls: &ListenTls,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerSide, TlsProblem> {
    let certificates = Arc::new(Certificates::read(tls, provider)?);
    let rejected = |cause| TlsProblem::Rejected { path: tls.certificate.clone(), cause };
    let clients = match &tls.clients {
        Some(trust) => client_verifier(trust, provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(rejected)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::<Certificates>::clone(&certificates));
    config.alpn_protocols = alpn(protocol, Side::Client);
    if tls.clients.is_some() {
        // A resumed session keeps the certificate that began it, whether it still stands or not: a
        // login by certificate is a whole handshake, each time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = ring::Ticketer::new().map_err(rejected)?;
    }
    assert_eq!(config.max_early_data_size, 0, "0-RTT data can be replayed");
    Ok(ServerSide { config: Arc::new(config), certificates })
}

/// A certificate that is shown must be good: a client with one that is not is turned away, it does
/// not go on without.
fn client_verifier(
    trust: &ClientTrust,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsProblem> {
    let path = &trust.authorities;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let rejected = |cause| TlsProblem::Rejected { path: path.clone(), cause };
        roots.add(certificate).map_err(rejected)?;
    }
    let provider = Arc::clone(provider);
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = &trust.revoked {
        let problem =
            |cause| TlsProblem::Pem { path: path.clone(), what: "revocation list", cause };
        let lists = CertificateRevocationListDer::pem_file_iter(path)
            .map_err(problem)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(problem)?;
        // As PostgreSQL with `ssl_crl_file`: the whole chain is looked up, an issuer without a list
        // or with an old one makes nobody welcome.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if !trust.required {
        builder = builder.allow_unauthenticated();
    }
    let path = path.clone();
    builder.build().map_err(|cause| TlsProblem::ClientVerifier { path, cause })
}

fn key_pair(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsProblem> {
    let chain = certificates(certificate)?;
    let problem = |cause| TlsProblem::Pem { path: key.to_owned(), what: "private key", cause };
    Ok((chain, PrivateKeyDer::from_pem_file(key).map_err(problem)?))
}

/// The client's side of TLS with the server `host` of a target: for connections of weir outside of
/// the shards.
///
/// # Errors
/// The roots, the certificate or the name are not usable.
pub fn client(target: &Target, host: &str) -> Result<ClientConnection, TlsProblem> {
    let config = target_config(target, &Arc::new(ring::default_provider()))?;
    ClientConnection::new(config, server_name(target, host)?)
        .map_err(|cause| TlsProblem::Rejected { path: PathBuf::from(&target.name), cause })
}

fn server_name(target: &Target, host: &str) -> Result<ServerName<'static>, TlsProblem> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| TlsProblem::Name { target: target.name.clone(), host: host.to_owned() })
}

fn target_config(
    target: &Target,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ClientConfig>, TlsProblem> {
    for host in &target.reach.hosts {
        server_name(target, &host.name)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| TlsProblem::Rejected { path: PathBuf::from(&target.name), cause })?;
    let verifier: Arc<dyn ServerCertVerifier> = match target.tls {
        TargetTls::Disable | TargetTls::Prefer | TargetTls::Require => {
            Arc::new(Unverified(Arc::clone(provider)))
        }
        TargetTls::VerifyCa => Arc::new(ChainOnly(verifier(target, provider)?)),
        TargetTls::VerifyFull => verifier(target, provider)?,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &target.client_certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = key_pair(&pair.certificate, &pair.key)?;
            let rejected = |cause| TlsProblem::Rejected { path: pair.certificate.clone(), cause };
            builder.with_client_auth_cert(chain, key).map_err(rejected)?
        }
    };
    config.alpn_protocols = match &target.http {
        Some(http) if http.speaks_two => vec![b"h2".to_vec()],
        _ => alpn(target.protocol, Side::Server),
    };
    Ok(Arc::new(config))
}

fn verifier(
    target: &Target,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsProblem> {
    let path = match &target.root_certificates {
        Some(path) => path.clone(),
        None => SYSTEM_ROOTS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(|| TlsProblem::NoRoots(target.name.clone()))?,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&path)? {
        let added = roots.add(certificate);
        // One odd certificate among the system's must not make all others unusable; one that the
        // user named must be usable.
        if let (Err(cause), Some(_)) = (added, &target.root_certificates) {
            return Err(TlsProblem::Rejected { path, cause });
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|cause| TlsProblem::Verifier { target: target.name.clone(), cause })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let problem = |cause| TlsProblem::Pem { path: path.to_owned(), what: "certificate", cause };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(problem)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(problem)?;
    if chain.is_empty() {
        return Err(TlsProblem::Empty(path.to_owned()));
    }
    Ok(chain)
}

/// `prefer` and `require`: any certificate, as libpq does; the peer must still own its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
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

/// `verify-ca`: the chain must be good, the name may be any.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            // The chain is verified before the name, so only the name is wrong here.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
