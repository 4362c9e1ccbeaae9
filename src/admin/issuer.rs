//! An issuer over HTTP: what it says about itself, its keys, answers to `weir login`.
//!
//! In: an issuer's name and the roots to verify it with. Out: `Provider`, `KeySet`, answers.
//! Never: TLS other than rustls with ring; a redirect, which could lead out of TLS; a description
//! that is not the named issuer's; a token or a code in an error. Blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::settings::Issuer;
use crate::config::units;
use crate::identify::jwk::{KeySet, KeySetError};
use crate::identify::oauthbearer::configuration_url;
use crate::limits;

/// Why an issuer is of no use. Each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The roots cannot be read.
    #[error("{path}: cannot read certificates in PEM form: {cause}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        cause: rustls::pki_types::pem::Error,
    },
    /// No answer.
    #[error("{url} does not answer: {cause}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the connection says.
        cause: String,
    },
    /// An answer that is no success.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// An answer of another shape.
    #[error("{url} does not answer with {expected}")]
    Shape {
        /// What was asked.
        url: String,
        /// What was hoped for.
        expected: &'static str,
    },
    /// A description of somebody else. OpenID Connect Discovery 1.0, section 4.3, asks for this.
    #[error("{url} describes the issuer `{found}`; `issuer` has to be the same byte for byte")]
    OtherIssuer {
        /// What was asked.
        url: String,
        /// Who it describes.
        found: String,
    },
    /// An address that could be anybody's.
    #[error("its `{name}` is `{url}`, and weir follows https only")]
    Untrusted {
        /// Which one of the description.
        name: &'static str,
        /// The address.
        url: String,
    },
    /// Its keys are of no use.
    #[error("the key set at {url} cannot be used: {cause}")]
    Keys {
        /// Where it is.
        url: String,
        /// Why.
        cause: KeySetError,
    },
}

/// What an issuer says about itself, as far as weir wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// Its name.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Where a device asks for a code, if it lets devices log in (RFC 8628).
    #[serde(default)]
    pub device_authorization_endpoint: Option<String>,
    /// Where tokens are given out.
    #[serde(default)]
    pub token_endpoint: Option<String>,
}

/// Asks one issuer.
#[derive(Debug)]
pub struct Web {
    agent: ureq::Agent,
}

impl Web {
    /// For an issuer of this name.
    ///
    /// # Errors
    /// The roots cannot be read.
    pub fn new(issuer: &str, roots: Option<&Path>) -> Result<Web, IssuerError> {
        Ok(Web { agent: agent(issuer, roots)? })
    }

    /// What the issuer says about itself.
    ///
    /// # Errors
    /// It does not, or says what cannot be trusted.
    pub fn discover(&self, issuer: &str) -> Result<Provider, IssuerError> {
        let url = configuration_url(issuer);
        let body = self.get(&url)?;
        let expected = "the description of an issuer (OpenID Connect Discovery)";
        let provider: Provider = serde_json::from_slice(&body)
            .map_err(|_| IssuerError::Shape { url: url.clone(), expected })?;
        if provider.issuer != issuer {
            return Err(IssuerError::OtherIssuer { url, found: provider.issuer });
        }
        let addresses = [
            ("jwks_uri", Some(&provider.jwks_uri)),
            ("token_endpoint", provider.token_endpoint.as_ref()),
            ("device_authorization_endpoint", provider.device_authorization_endpoint.as_ref()),
        ];
        let secure = issuer.starts_with("https:");
        for (name, address) in addresses {
            let trusted = |url: &String| {
                units::is_trusted_address(url) && (!secure || url.starts_with("https:"))
            };
            if let Some(url) = address.filter(|url| !trusted(url)) {
                return Err(IssuerError::Untrusted { name, url: url.clone() });
            }
        }
        Ok(provider)
    }

    /// The keys the issuer signs with now.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn keys(&self, provider: &Provider) -> Result<KeySet, IssuerError> {
        let url = provider.jwks_uri.clone();
        let body = self.get(&url)?;
        KeySet::parse(&body).map_err(|cause| IssuerError::Keys { url, cause })
    }

    fn get(&self, url: &str) -> Result<Vec<u8>, IssuerError> {
        let (status, body) = read(url, self.agent.get(url).header("accept", JSON).call())?;
        if status != 200 {
            return Err(IssuerError::Status { url: url.to_owned(), status });
        }
        Ok(body)
    }

    /// Sends a form; the status and the answer, whatever they are.
    ///
    /// # Errors
    /// No answer.
    pub fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Vec<u8>), IssuerError> {
        let pairs = form.iter().copied();
        read(url, self.agent.post(url).header("accept", JSON).send_form(pairs))
    }
}

/// What asks an address: in TLS with these roots, without redirects.
///
/// # Errors
/// The roots cannot be read.
pub fn agent(url: &str, roots: Option<&Path>) -> Result<ureq::Agent, IssuerError> {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(CALL_TIMEOUT));
    if let Some(path) = roots {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(read_roots(path)?)
            .unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.build());
    }
    if is_on_this_machine(url) {
        config = config.proxy(None);
    }
    Ok(config.build().into())
}

/// Reads an issuer's keys.
///
/// # Errors
/// Why they cannot be read.
pub fn read_keys(issuer: &Issuer) -> Result<KeySet, IssuerError> {
    let web = Web::new(&issuer.policy.issuer, issuer.root_certificates.as_deref())?;
    let provider = web.discover(&issuer.policy.issuer)?;
    web.keys(&provider)
}

fn read(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, Vec<u8>), IssuerError> {
    let failed = |error: ureq::Error| IssuerError::Unreachable {
        url: url.to_owned(),
        cause: error.to_string(),
    };
    let mut answer = answer.map_err(failed)?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(limits::ISSUER_ANSWER_BYTES_MAX);
    Ok((status, body.read_to_vec().map_err(failed)?))
}

fn read_roots(path: &Path) -> Result<RootCerts, IssuerError> {
    let problem = |cause| IssuerError::Roots { path: path.to_owned(), cause };
    let mut roots = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(problem)? {
        roots.push(Certificate::from_der(&certificate.map_err(problem)?).to_owned());
    }
    if roots.is_empty() {
        return Err(problem(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(RootCerts::new_with_certs(&roots))
}

/// A proxy of the environment is for what lies beyond this machine.
fn is_on_this_machine(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    units::host_port(authority, Some(443)).is_some_and(|(host, _)| units::is_loopback(&host))
}

const JSON: &str = "application/json";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
