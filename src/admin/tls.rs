//! TLS of weir's own connections to targets, by the mode that libpq gives a name to.
//!
//! In: a target's settings. Out: a rustls configuration.
//! Never: a verify mode that falls back to less.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::login::LoginError;
use crate::config::settings::{Target, TargetTls};

/// The configuration of a client of this target.
///
/// # Errors
/// The root certificates cannot be read.
pub fn client_config(target: &Target) -> Result<ClientConfig, LoginError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| LoginError::Tls(error.to_string()))?;
    let mut config = match target.tls {
        TargetTls::VerifyFull => {
            { builder.with_root_certificates(roots(target.root_certificates.as_deref())?) }
                .with_no_client_auth()
        }
        TargetTls::VerifyCa => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Chain {
                roots: Some(roots(target.root_certificates.as_deref())?),
                provider,
            }))
            .with_no_client_auth(),
        TargetTls::Disable | TargetTls::Prefer | TargetTls::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Chain { roots: None, provider }))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn roots(path: Option<&Path>) -> Result<RootCertStore, LoginError> {
    let path = match path {
        Some(path) => path,
        None => SYSTEM_ROOTS
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or_else(|| no_roots(Path::new(SYSTEM_ROOTS[0]), "no such file"))?,
    };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| no_roots(path, &error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| no_roots(path, &error.to_string()))?;
        // A bundle of a system may hold certificates that rustls does not take; the others count.
        let _ = store.add(certificate);
    }
    if store.is_empty() {
        return Err(no_roots(path, "it holds no usable certificate"));
    }
    Ok(store)
}

fn no_roots(path: &Path, reason: &str) -> LoginError {
    LoginError::Roots { path: path.display().to_string(), reason: reason.to_owned() }
}

/// Verifies the chain up to the roots but not the name; without roots, the handshake alone.
#[derive(Debug)]
struct Chain {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Where distributions keep the certificates that a system trusts.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
