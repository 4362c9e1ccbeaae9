//! Public keys and their signatures.
//!
//! In: blobs as they stand in messages and in lines of files. Out: keys that verify. Never: SHA-1,
//! DSA, RSA under 2048 bits, curves that `ring` does not have, a key read from text that is not the
//! one that proved.

use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use ssh_key::public::{EcdsaPublicKey, KeyData};

use super::Broken;
use super::fields::{Fields, Write};

/// The signer was present (a touch), as a security key says (PROTOCOL.u2f).
const FLAG_PRESENT: u8 = 0x01;
/// The signer proved who they are to the security key (PIN).
const FLAG_VERIFIED: u8 = 0x04;

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA.
    Rsa,
    /// Ed25519 in a security key.
    SkEd25519,
    /// ECDSA on P-256 in a security key.
    SkEcdsaP256,
}

/// How a signature is made: an algorithm of a kind of keys, with a certificate around the key or
/// without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// The signature.
    pub signature: SignatureAlgorithm,
    /// The key is in a certificate.
    pub certified: bool,
}

/// Algorithms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// `ssh-ed25519` (RFC 8709).
    Ed25519,
    /// `ecdsa-sha2-nistp256` (RFC 5656).
    EcdsaP256,
    /// `ecdsa-sha2-nistp384`.
    EcdsaP384,
    /// `rsa-sha2-512` (RFC 8332).
    RsaSha512,
    /// `rsa-sha2-256`.
    RsaSha256,
    /// `sk-ssh-ed25519@openssh.com`.
    SkEd25519,
    /// `sk-ecdsa-sha2-nistp256@openssh.com`.
    SkEcdsaP256,
}

impl SignatureAlgorithm {
    /// All of them, in order of preference.
    pub const ALL: [SignatureAlgorithm; 7] = [
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::EcdsaP256,
        SignatureAlgorithm::EcdsaP384,
        SignatureAlgorithm::RsaSha512,
        SignatureAlgorithm::RsaSha256,
        SignatureAlgorithm::SkEd25519,
        SignatureAlgorithm::SkEcdsaP256,
    ];

    /// The name in signatures, and of plain keys in lists.
    pub const fn name(self) -> &'static str {
        match self {
            SignatureAlgorithm::Ed25519 => "ssh-ed25519",
            SignatureAlgorithm::EcdsaP256 => "ecdsa-sha2-nistp256",
            SignatureAlgorithm::EcdsaP384 => "ecdsa-sha2-nistp384",
            SignatureAlgorithm::RsaSha512 => "rsa-sha2-512",
            SignatureAlgorithm::RsaSha256 => "rsa-sha2-256",
            SignatureAlgorithm::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            SignatureAlgorithm::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    const fn certified_name(self) -> &'static str {
        match self {
            SignatureAlgorithm::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            SignatureAlgorithm::EcdsaP256 => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            SignatureAlgorithm::EcdsaP384 => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            SignatureAlgorithm::RsaSha512 => "rsa-sha2-512-cert-v01@openssh.com",
            SignatureAlgorithm::RsaSha256 => "rsa-sha2-256-cert-v01@openssh.com",
            SignatureAlgorithm::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            SignatureAlgorithm::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        }
    }

    /// The keys that make such signatures.
    pub const fn kind(self) -> KeyKind {
        match self {
            SignatureAlgorithm::Ed25519 => KeyKind::Ed25519,
            SignatureAlgorithm::EcdsaP256 => KeyKind::EcdsaP256,
            SignatureAlgorithm::EcdsaP384 => KeyKind::EcdsaP384,
            SignatureAlgorithm::RsaSha512 | SignatureAlgorithm::RsaSha256 => KeyKind::Rsa,
            SignatureAlgorithm::SkEd25519 => KeyKind::SkEd25519,
            SignatureAlgorithm::SkEcdsaP256 => KeyKind::SkEcdsaP256,
        }
    }
}

impl Algorithm {
    /// An algorithm with a plain key.
    pub const fn plain(signature: SignatureAlgorithm) -> Algorithm {
        Algorithm { signature, certified: false }
    }

    /// The name in lists and requests.
    pub const fn name(self) -> &'static str {
        if self.certified { self.signature.certified_name() } else { self.signature.name() }
    }

    /// The algorithm of a name, if weir has it.
    pub fn of(name: &[u8]) -> Option<Algorithm> {
        let both = |signature| [false, true].map(|certified| Algorithm { signature, certified });
        let mut all = SignatureAlgorithm::ALL.into_iter().flat_map(both);
        all.find(|algorithm| algorithm.name().as_bytes() == name)
    }
}

/// A public key that is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Ed25519.
    Ed25519([u8; 32]),
    /// ECDSA on P-256: an uncompressed point.
    EcdsaP256(Vec<u8>),
    /// ECDSA on P-384: an uncompressed point.
    EcdsaP384(Vec<u8>),
    /// RSA: exponent and modulus, without leading zeros.
    Rsa {
        /// The exponent.
        e: Vec<u8>,
        /// The modulus.
        n: Vec<u8>,
    },
    /// Ed25519 in a security key.
    SkEd25519 {
        /// The key.
        key: [u8; 32],
        /// What the key was made for, usually `ssh:`.
        application: String,
    },
    /// ECDSA on P-256 in a security key.
    SkEcdsaP256 {
        /// An uncompressed point.
        point: Vec<u8>,
        /// What the key was made for.
        application: String,
    },
}

/// What a signature proves beyond the possession of its key; plain keys prove all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Somebody touched the security key.
    pub present: bool,
    /// The security key had a PIN or the like.
    pub verified: bool,
}

impl PublicKey {
    /// Reads a key as it stands in messages.
    ///
    /// # Errors
    /// `Fields` if it is none of weir's kinds, a certificate among them.
    pub fn parse(blob: &[u8]) -> Result<PublicKey, Broken> {
        let parsed = ssh_key::PublicKey::from_bytes(blob).map_err(|_| Broken::Fields)?;
        PublicKey::from_data(parsed.key_data())
    }

    /// Takes what the library has read.
    ///
    /// # Errors
    /// `Fields` if it is none of weir's kinds.
    pub(super) fn from_data(data: &KeyData) -> Result<PublicKey, Broken> {
        let number = |mpint: &ssh_key::Mpint| {
            mpint.as_positive_bytes().map(<[u8]>::to_vec).ok_or(Broken::Fields)
        };
        Ok(match data {
            KeyData::Ed25519(key) => PublicKey::Ed25519(key.0),
            KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => {
                PublicKey::EcdsaP256(point.as_bytes().to_vec())
            }
            KeyData::Ecdsa(EcdsaPublicKey::NistP384(point)) => {
                PublicKey::EcdsaP384(point.as_bytes().to_vec())
            }
            KeyData::Rsa(key) => PublicKey::Rsa { e: number(&key.e)?, n: number(&key.n)? },
            KeyData::SkEd25519(key) => PublicKey::SkEd25519 {
                key: key.public_key().0,
                application: key.application().to_owned(),
            },
            KeyData::SkEcdsaSha2NistP256(key) => PublicKey::SkEcdsaP256 {
                point: key.ec_point().as_bytes().to_vec(),
                application: key.application().to_owned(),
            },
            _ => return Err(Broken::Fields),
        })
    }

    /// The kind of the key.
    pub const fn kind(&self) -> KeyKind {
        match self {
            PublicKey::Ed25519(_) => KeyKind::Ed25519,
            PublicKey::EcdsaP256(_) => KeyKind::EcdsaP256,
            PublicKey::EcdsaP384(_) => KeyKind::EcdsaP384,
            PublicKey::Rsa { .. } => KeyKind::Rsa,
            PublicKey::SkEd25519 { .. } => KeyKind::SkEd25519,
            PublicKey::SkEcdsaP256 { .. } => KeyKind::SkEcdsaP256,
        }
    }

    /// Verifies a signature as it stands in messages, which must be of this algorithm.
    ///
    /// # Errors
    /// `HostKey` if the signature is not this key's over these bytes, `Fields` if it is none.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Proof, Broken> {
        let mut fields = Fields::new(signature);
        let named = fields.string()? == algorithm.name().as_bytes();
        let inner = fields.string()?;
        if !named || algorithm.kind() != self.kind() {
            return Err(Broken::HostKey);
        }
        if let Some((application, key)) = self.security_key() {
            let (flags, counter) = (fields.u8()?, fields.u32()?);
            fields.end()?;
            let mut signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
            signed.put_u8(flags).put_u32(counter);
            signed.put_bytes(digest(&SHA256, message).as_ref());
            key.verify_plain(algorithm, &signed, inner)?;
            let has = |flag| flags & flag != 0;
            return Ok(Proof { present: has(FLAG_PRESENT), verified: has(FLAG_VERIFIED) });
        }
        fields.end()?;
        self.verify_plain(algorithm, message, inner)?;
        Ok(Proof { present: true, verified: true })
    }

    /// The application and the plain form of a key in a security key.
    fn security_key(&self) -> Option<(&str, PublicKey)> {
        match self {
            PublicKey::SkEd25519 { key, application } => {
                Some((application, PublicKey::Ed25519(*key)))
            }
            PublicKey::SkEcdsaP256 { point, application } => {
                Some((application, PublicKey::EcdsaP256(point.clone())))
            }
            _ => None,
        }
    }

    fn verify_plain(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Broken> {
        let check = |with: &'static dyn VerificationAlgorithm, key: &[u8], signature: &[u8]| {
            UnparsedPublicKey::new(with, key).verify(message, signature)
        };
        let verified = match self {
            PublicKey::Ed25519(key) => check(&ED25519, key, signature),
            PublicKey::EcdsaP256(point) => {
                check(&ECDSA_P256_SHA256_FIXED, point, &fixed(signature, 32)?)
            }
            PublicKey::EcdsaP384(point) => {
                check(&ECDSA_P384_SHA384_FIXED, point, &fixed(signature, 48)?)
            }
            PublicKey::Rsa { e, n } => {
                let with = match algorithm {
                    SignatureAlgorithm::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA512,
                };
                // Some clients leave out leading zeros (OpenSSH pads too, ssh-rsa.c).
                let mut padded = vec![0; n.len().saturating_sub(signature.len())];
                padded.extend_from_slice(signature);
                RsaPublicKeyComponents { n, e }.verify(with, message, &padded)
            }
            PublicKey::SkEd25519 { .. } | PublicKey::SkEcdsaP256 { .. } => {
                return Err(Broken::HostKey);
            }
        };
        verified.map_err(|_| Broken::HostKey)
    }
}

/// Two `mpint`s as two numbers of a fixed width.
fn fixed(signature: &[u8], width: usize) -> Result<Vec<u8>, Broken> {
    let mut fields = Fields::new(signature);
    let mut out = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number = fields.string()?;
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(zeros..).unwrap_or(&[]);
        let missing = width.checked_sub(digits.len()).ok_or(Broken::HostKey)?;
        out.resize(out.len() + missing, 0);
        out.extend_from_slice(digits);
    }
    fields.end()?;
    Ok(out)
}

/// `SHA256:` and the hash of a key in base 64, as OpenSSH prints it.
pub fn fingerprint(blob: &[u8]) -> String {
    use base64::Engine as _;
    let hash = digest(&SHA256, blob);
    format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash.as_ref()))
}

/// A key as a line of files: `type base64`; `None` for bytes that are none.
pub fn line_of_blob(blob: &[u8]) -> Option<String> {
    use base64::Engine as _;
    let kind = Fields::new(blob).text().ok()?;
    Some(format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(blob)))
}

/// The blob of a line of an `authorized_keys` or `.pub` file, without options: `type base64
/// [comment]`.
pub fn blob_of_line(line: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let mut words = line.split_ascii_whitespace();
    let (kind, text) = (words.next()?, words.next()?);
    let blob = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let named = Fields::new(&blob).string().ok()? == kind.as_bytes();
    named.then_some(blob)
}

#[cfg(test)]
mod tests {
    use super::super::signer::Signer;
    use super::*;

    /// What a security key with the key of `signer` would answer.
    fn security_key(signer: &Signer, flags: u8, message: &[u8]) -> (PublicKey, Vec<u8>) {
        let PublicKey::Ed25519(key) = PublicKey::parse(signer.blob()).expect("a key") else {
            panic!("another kind")
        };
        let application = "ssh:".to_owned();
        let mut signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
        signed.put_u8(flags).put_u32(9).put_bytes(digest(&SHA256, message).as_ref());
        let plain = signer.sign(SignatureAlgorithm::Ed25519, &signed).expect("a signature");
        let mut fields = Fields::new(&plain);
        let _name = fields.string();
        let mut out = Vec::new();
        out.put_string(SignatureAlgorithm::SkEd25519.name().as_bytes());
        out.put_string(fields.string().expect("a signature")).put_u8(flags).put_u32(9);
        (PublicKey::SkEd25519 { key, application }, out)
    }

    #[test]
    fn the_flags_of_a_security_key_are_told_and_signed() {
        let signer = Signer::generate().expect("random bytes");
        let algorithm = SignatureAlgorithm::SkEd25519;
        for flags in [0, FLAG_PRESENT, FLAG_VERIFIED, FLAG_PRESENT | FLAG_VERIFIED] {
            let (key, signature) = security_key(&signer, flags, b"message");
            let proof = key.verify(algorithm, b"message", &signature).expect("its signature");
            assert_eq!(proof.present, flags & FLAG_PRESENT != 0);
            assert_eq!(proof.verified, flags & FLAG_VERIFIED != 0);
            assert!(key.verify(algorithm, b"massage", &signature).is_err());
            let mut raised = signature.clone();
            let at = raised.len() - 5;
            raised[at] ^= FLAG_PRESENT;
            assert!(key.verify(algorithm, b"message", &raised).is_err(), "flags are signed");
            assert!(key.verify(SignatureAlgorithm::Ed25519, b"message", &signature).is_err());
        }
    }

    #[test]
    fn names_of_algorithms_lead_back_to_them() {
        for signature in SignatureAlgorithm::ALL {
            for certified in [false, true] {
                let algorithm = Algorithm { signature, certified };
                assert_eq!(Algorithm::of(algorithm.name().as_bytes()), Some(algorithm));
            }
        }
        for other in ["ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp521", ""] {
            assert_eq!(Algorithm::of(other.as_bytes()), None);
        }
    }

    #[test]
    fn lines_and_fingerprints_are_those_of_openssh() {
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICL9Ffr6p6E+3HzjICO1RjrmHFXDFSk7gsKzSN6heiLU";
        let blob = blob_of_line(line).expect("a line");
        assert_eq!(fingerprint(&blob), "SHA256:VLJHrF8zwoDfI4UkbYomVneUCPkxc7MqqwLhRoY6UyI");
        assert!(PublicKey::parse(&blob).is_ok());
        for bad in ["", "ssh-ed25519", "ssh-rsa AAAAC3NzaC1lZDI1NTE5", "ssh-ed25519 !!!"] {
            assert_eq!(blob_of_line(bad), None, "{bad}");
        }
    }
}
