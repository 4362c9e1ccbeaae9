//! What a certificate says: the names of its owner, and the hash that binds a login to it.
//!
//! In: a certificate in DER, whose chain was verified by the TLS handshake where that matters.
//! Out: names, an identity, a hash. Never: trust; that is the handshake's.

use der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use der::{Decode as _, Tag, Tagged as _};
use ring::digest::{self, digest};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::CertReq;

use super::glob::path_glob;
use super::{Identity, Method};
use crate::config::settings::{CertificateName, CertificateSpec};

/// The `tls-server-end-point` binding of a certificate (RFC 5929, section 4.1): its hash under the
/// hash of its signature, SHA-256 in place of MD5 and SHA-1. `None` when the signature has no one
/// hash that ring knows: Ed25519, RSASSA-PSS, SHA-224.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let algorithm = SIGNATURE_HASHES
        .iter()
        .find(|(oid, _)| *oid == parsed.signature_algorithm.oid)
        .map(|(_, algorithm)| *algorithm)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// Signature algorithms and the hash a binding uses (RFC 3279, RFC 4055, RFC 5758).
const SIGNATURE_HASHES: [(ObjectIdentifier, &digest::Algorithm); 9] = [
    (oid("1.2.840.113549.1.1.4"), &digest::SHA256),
    (oid("1.2.840.113549.1.1.5"), &digest::SHA256),
    (oid("1.2.840.113549.1.1.11"), &digest::SHA256),
    (oid("1.2.840.113549.1.1.12"), &digest::SHA384),
    (oid("1.2.840.113549.1.1.13"), &digest::SHA512),
    (oid("1.2.840.10045.4.1"), &digest::SHA256),
    (oid("1.2.840.10045.4.3.2"), &digest::SHA256),
    (oid("1.2.840.10045.4.3.3"), &digest::SHA384),
    (oid("1.2.840.10045.4.3.4"), &digest::SHA512),
];

/// Whom a request for a certificate (PKCS #10) in PEM is for: CN and O. `None` when it has another
/// form.
pub fn requested(pem: &str) -> Option<(Vec<String>, Vec<String>)> {
    use base64::Engine as _;
    let (_, behind) = pem.split_once("-----BEGIN CERTIFICATE REQUEST-----")?;
    let (body, _) = behind.split_once("-----END CERTIFICATE REQUEST-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let request = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let subject = CertReq::from_der(&request).ok()?.info.subject;
    Some((attributes(&subject, COMMON_NAME), attributes(&subject, ORGANIZATION)))
}

const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = oid("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = oid("2.5.4.11");

/// The names in a certificate, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The whole subject as RFC 4514 writes it.
    pub distinguished: String,
    /// CN.
    pub common: Vec<String>,
    /// OU.
    pub units: Vec<String>,
    /// SAN, dNSName.
    pub dns: Vec<String>,
    /// SAN, rfc822Name.
    pub email: Vec<String>,
    /// SAN, uniformResourceIdentifier.
    pub uri: Vec<String>,
}

impl Names {
    /// Reads a certificate; `None` when it has another form.
    pub fn read(certificate: &[u8]) -> Option<Names> {
        let parsed = Certificate::from_der(certificate).ok()?.tbs_certificate;
        let subject = &parsed.subject;
        let mut names = Names {
            distinguished: subject.to_string(),
            common: attributes(subject, COMMON_NAME),
            units: attributes(subject, ORGANIZATIONAL_UNIT),
            ..Names::default()
        };
        let alternative = parsed.get::<SubjectAltName>().ok()?.map(|(_, names)| names.0);
        for name in alternative.unwrap_or_default() {
            match name {
                GeneralName::DnsName(name) => names.dns.push(name.to_string()),
                GeneralName::Rfc822Name(name) => names.email.push(name.to_string()),
                GeneralName::UniformResourceIdentifier(name) => names.uri.push(name.to_string()),
                _ => {}
            }
        }
        Some(names)
    }

    fn all(&self, kind: CertificateName) -> Vec<&str> {
        fn texts(texts: &[String]) -> Vec<&str> {
            texts.iter().map(String::as_str).collect()
        }
        match kind {
            CertificateName::Distinguished => vec![self.distinguished.as_str()],
            CertificateName::Common => texts(&self.common),
            CertificateName::Dns => texts(&self.dns),
            CertificateName::Email => texts(&self.email),
            CertificateName::Uri => texts(&self.uri),
            // A SPIFFE certificate has exactly one URI (SPIFFE X.509-SVID, section 2).
            CertificateName::Spiffe => match self.uri.as_slice() {
                [uri] if uri.starts_with("spiffe://") => vec![uri.as_str()],
                _ => Vec::new(),
            },
        }
    }
}

/// The names of a listener's certificates, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Vec<String>>);

impl Hosts {
    /// Of these certificates. One that cannot be read has no name.
    pub fn of<'c>(certificates: impl Iterator<Item = &'c [u8]>) -> Hosts {
        Hosts(certificates.map(|it| Names::read(it).unwrap_or_default().dns).collect())
    }

    /// The place of the first certificate that has this name; the first one's, if none does.
    pub fn place(&self, host: &str) -> usize {
        let host = host.strip_suffix('.').unwrap_or(host);
        let has = |names: &Vec<String>| names.iter().any(|name| means(name, host));
        self.0.iter().position(has).unwrap_or(0)
    }
}

/// Whether a name of a certificate is that of a host: `*` is all of the first label, and of no
/// other one (RFC 9525 6.3).
fn means(name: &str, host: &str) -> bool {
    let wild = name.strip_prefix("*.").zip(host.split_once('.'));
    let is_below = |(name, (label, rest)): (&str, (&str, &str))| {
        !label.is_empty() && name.contains('.') && name.eq_ignore_ascii_case(rest)
    };
    name.eq_ignore_ascii_case(host) || wild.is_some_and(is_below)
}

/// Attributes of one kind. A value with a zero byte is left out: what stands behind it would be
/// seen by some and not by others.
fn attributes(name: &Name, wanted: ObjectIdentifier) -> Vec<String> {
    let all = name.0.iter().flat_map(|relative| relative.0.iter());
    let values = all.filter(|attribute| attribute.oid == wanted).filter_map(|attribute| {
        let value = &attribute.value;
        match value.tag() {
            Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
            Tag::PrintableString => {
                value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned()
            }
            Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str().to_owned(),
            Tag::TeletexString => {
                value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str().to_owned()
            }
            _ => return None,
        }
        .into()
    });
    values.filter(|value: &String| !value.is_empty() && !value.contains('\0')).collect()
}

/// Who the owner of a certificate is: by the first section of the configuration that takes one of
/// its names. `None` when none does.
pub fn identity(specs: &[CertificateSpec], certificate: &[u8]) -> Option<Identity> {
    let names = Names::read(certificate)?;
    specs.iter().find_map(|spec| {
        let found = names.all(spec.name).into_iter().find(|name| {
            spec.matches.is_empty() || spec.matches.iter().any(|pattern| path_glob(pattern, name))
        })?;
        let mut groups = spec.groups.clone();
        if spec.units_are_groups {
            groups.extend(names.units.iter().filter(|unit| !spec.groups.contains(unit)).cloned());
        }
        Some(Identity { user: found.to_owned(), groups, method: Method::Certificate })
    })
}

#[cfg(test)]
mod tests;
