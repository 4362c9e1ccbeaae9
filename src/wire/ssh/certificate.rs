//! OpenSSH certificates: read and verified, and made for targets (PROTOCOL.certkeys).
//!
//! In: a blob of a peer; what a certificate of weir's is to say. Out: what a certificate says, once
//! the signature in it is right; a blob. Never: a verdict on the CA, the time, the principals or
//! the options, which are the owner's; a CA that is a certificate itself.

use super::Broken;
use super::fields::{Fields, Write};
use super::key::{Algorithm, PublicKey, SignatureAlgorithm};
use super::signer::Signer;

/// A certificate whose own signature is right.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What it certifies.
    pub key: PublicKey,
    /// A user or a host.
    pub user: bool,
    /// The CA's number for it.
    pub serial: u64,
    /// The CA's name for it.
    pub key_id: String,
    /// For whom it is valid; empty means for everybody, which weir takes from nobody.
    pub principals: Vec<String>,
    /// Valid from, in seconds since 1970.
    pub after: u64,
    /// Valid before.
    pub before: u64,
    /// Conditions that must be understood.
    pub critical: Vec<(String, String)>,
    /// What the certificate permits.
    pub extensions: Vec<(String, String)>,
    /// The key of the CA.
    pub authority: PublicKey,
    /// The same, as it stands in messages.
    pub authority_blob: Vec<u8>,
    /// The certified key as a plain key stands in messages.
    pub key_blob: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate and verifies its signature.
    ///
    /// # Errors
    /// `Fields` if it is none, or of kinds that weir does not have; `HostKey` if the signature is
    /// wrong or by an algorithm that weir does not take.
    pub fn parse(blob: &[u8]) -> Result<Certificate, Broken> {
        let tail = tail(blob)?;
        let read = bounded(blob, &tail);
        let parsed = ssh_key::Certificate::from_bytes(&read).map_err(|_| Broken::Fields)?;
        let authority = PublicKey::parse(tail.authority)?;
        let named = Fields::new(tail.signature).string()?;
        let algorithm = Algorithm::of(named).filter(|algorithm| !algorithm.certified);
        let algorithm = algorithm.ok_or(Broken::HostKey)?;
        authority.verify(algorithm.signature, tail.signed, tail.signature)?;
        let options = |map: &ssh_key::certificate::OptionsMap| {
            map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let key = ssh_key::PublicKey::new(parsed.public_key().clone(), "");
        Ok(Certificate {
            key: PublicKey::from_data(parsed.public_key())?,
            user: parsed.cert_type().is_user(),
            serial: parsed.serial(),
            key_id: parsed.key_id().to_owned(),
            principals: parsed.valid_principals().to_vec(),
            after: tail.after,
            before: tail.before,
            critical: options(parsed.critical_options()),
            extensions: options(parsed.extensions()),
            authority,
            authority_blob: tail.authority.to_vec(),
            key_blob: key.to_bytes().map_err(|_| Broken::Fields)?,
        })
    }

    /// Whether it permits something by an extension.
    pub fn permits(&self, extension: &str) -> bool {
        self.extensions.iter().any(|(name, _)| name == extension)
    }
}

/// The end of a certificate as it stands in the blob.
struct Tail<'b> {
    after: u64,
    before: u64,
    /// Where they stand.
    times_at: usize,
    /// Everything before the signature.
    signed: &'b [u8],
    authority: &'b [u8],
    signature: &'b [u8],
}

/// The blob as the library reads it, which knows no time behind that of signed numbers:
/// certificates without an end say 2^64-1. The signature is verified over the blob itself.
fn bounded(blob: &[u8], tail: &Tail<'_>) -> Vec<u8> {
    let mut read = blob.to_vec();
    for (time, at) in [(tail.after, tail.times_at), (tail.before, tail.times_at + 8)] {
        let time = time.min(i64::MAX.unsigned_abs());
        if let Some(place) = read.get_mut(at..at + 8) {
            place.copy_from_slice(&time.to_be_bytes());
        }
    }
    read
}

/// Finds the fields that are verified in the bytes themselves: what a library wrote again would be
/// another text.
fn tail(blob: &[u8]) -> Result<Tail<'_>, Broken> {
    let mut fields = Fields::new(blob);
    let kind = Algorithm::of(fields.string()?);
    // `ssh-rsa-cert-v01` is the type of the key, and no algorithm of signatures any more.
    let public_fields = match kind.map(|algorithm| algorithm.signature) {
        Some(SignatureAlgorithm::Ed25519) => 1,
        Some(SignatureAlgorithm::EcdsaP256 | SignatureAlgorithm::EcdsaP384) => 2,
        Some(SignatureAlgorithm::SkEd25519) => 2,
        Some(SignatureAlgorithm::SkEcdsaP256) => 3,
        Some(SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha512) | None => 2,
    };
    fields.string()?;
    for _ in 0..public_fields {
        fields.string()?;
    }
    // Serial, type, key id, principals, after, before, critical options, extensions, reserved.
    fields.u64()?;
    fields.u32()?;
    fields.string()?;
    fields.string()?;
    let times_at = blob.len() - fields.rest().len();
    let (after, before) = (fields.u64()?, fields.u64()?);
    fields.string()?;
    fields.string()?;
    fields.string()?;
    let authority = fields.string()?;
    let signed = blob.get(..blob.len() - fields.rest().len()).ok_or(Broken::Fields)?;
    let signature = fields.string()?;
    fields.end()?;
    Ok(Tail { after, before, times_at, signed, authority, signature })
}

/// What a certificate of weir's says, for one login at one target.
#[derive(Clone, Debug)]
pub struct UserGrant<'g> {
    /// The certified key: Ed25519.
    pub key: &'g Signer,
    /// The CA's number for it.
    pub serial: u64,
    /// What the target writes into its log.
    pub key_id: &'g str,
    /// The role at the target.
    pub principal: &'g str,
    /// Valid from, in seconds since 1970.
    pub after: u64,
    /// Valid before.
    pub before: u64,
    /// Conditions, sorted by name.
    pub critical: &'g [(&'g str, &'g str)],
    /// Extensions, sorted by name.
    pub extensions: &'g [&'g str],
}

impl UserGrant<'_> {
    /// The certificate, signed by a CA.
    ///
    /// # Errors
    /// `Own` without random bytes, or for a key that is not Ed25519.
    pub fn sign(&self, authority: &Signer) -> Result<Vec<u8>, Broken> {
        use ring::rand::SecureRandom as _;
        let mut key = Fields::new(self.key.blob());
        if key.string()? != b"ssh-ed25519" {
            return Err(Broken::Own);
        }
        let mut nonce = [0u8; 32];
        ring::rand::SystemRandom::new().fill(&mut nonce).map_err(|_| Broken::Own)?;
        let mut principals = Vec::new();
        principals.put_string(self.principal.as_bytes());
        let mut critical = Vec::new();
        for (name, value) in self.critical {
            let mut inner = Vec::new();
            inner.put_string(value.as_bytes());
            critical.put_string(name.as_bytes()).put_string(&inner);
        }
        let mut extensions = Vec::new();
        for name in self.extensions {
            extensions.put_string(name.as_bytes()).put_string(b"");
        }
        let mut out = Vec::new();
        out.put_string(b"ssh-ed25519-cert-v01@openssh.com").put_string(&nonce);
        out.put_string(key.string()?).put_u64(self.serial).put_u32(1);
        out.put_string(self.key_id.as_bytes()).put_string(&principals);
        out.put_u64(self.after).put_u64(self.before);
        out.put_string(&critical).put_string(&extensions).put_string(b"");
        out.put_string(authority.blob());
        let algorithm = authority.algorithms().next().ok_or(Broken::Own)?;
        let signature = authority.sign(algorithm, &out)?;
        out.put_string(&signature);
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
