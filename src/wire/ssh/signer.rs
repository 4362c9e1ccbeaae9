//! Private keys of weir: host keys, keys for targets, keys of CAs.
//!
//! In: a key file's text. Out: signatures, the public blob. Never: a key that prints.

use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};

use super::Broken;
use super::fields::Write;
use super::key::{KeyKind, SignatureAlgorithm};

/// Why a key file gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// The text is no OpenSSH private key.
    Format,
    /// The key is sealed with a passphrase.
    Encrypted,
    /// The key is of a kind that weir does not have.
    Kind,
    /// The key contradicts itself, or is too short.
    Rejected,
}

/// A private key.
pub struct Signer {
    pair: Pair,
    blob: Vec<u8>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
    EcdsaP384(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.kind())
    }
}

impl Signer {
    /// Reads an unencrypted key as `ssh-keygen` writes it.
    ///
    /// # Errors
    /// Why it is no key for weir.
    pub fn from_openssh(text: &str) -> Result<Signer, KeyFileError> {
        let key =
            ssh_key::PrivateKey::from_openssh(text.trim()).map_err(|_| KeyFileError::Format)?;
        if key.is_encrypted() {
            return Err(KeyFileError::Encrypted);
        }
        let blob = key.public_key().to_bytes().map_err(|_| KeyFileError::Format)?;
        let random = SystemRandom::new();
        let pair = match key.key_data() {
            KeypairData::Ed25519(pair) => {
                let (seed, public) = (pair.private.to_bytes(), &pair.public.0);
                Ed25519KeyPair::from_seed_and_public_key(&seed, public).map(Pair::Ed25519)
            }
            KeypairData::Ecdsa(pair) => {
                let (algorithm, make): (_, fn(EcdsaKeyPair) -> Pair) = match pair {
                    EcdsaKeypair::NistP256 { .. } => {
                        (&ECDSA_P256_SHA256_FIXED_SIGNING, Pair::EcdsaP256)
                    }
                    EcdsaKeypair::NistP384 { .. } => {
                        (&ECDSA_P384_SHA384_FIXED_SIGNING, Pair::EcdsaP384)
                    }
                    EcdsaKeypair::NistP521 { .. } => return Err(KeyFileError::Kind),
                };
                let (secret, public) = (pair.private_key_bytes(), pair.public_key_bytes());
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, secret, public, &random)
                    .map(make)
            }
            KeypairData::Rsa(pair) => rsa(pair).map(|pair| Pair::Rsa(Box::new(pair))),
            _ => return Err(KeyFileError::Kind),
        };
        pair.map(|pair| Signer { pair, blob }).map_err(|_| KeyFileError::Rejected)
    }

    /// A fresh Ed25519 key.
    ///
    /// # Errors
    /// `Own` without random bytes.
    pub fn generate() -> Result<Signer, Broken> {
        use ring::rand::SecureRandom as _;
        let mut seed = [0u8; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| Broken::Own)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Broken::Own)?;
        let mut blob = Vec::new();
        blob.put_string(b"ssh-ed25519").put_string(pair.public_key().as_ref());
        Ok(Signer { pair: Pair::Ed25519(pair), blob })
    }

    /// The kind of the key.
    pub const fn kind(&self) -> KeyKind {
        match self.pair {
            Pair::Ed25519(_) => KeyKind::Ed25519,
            Pair::EcdsaP256(_) => KeyKind::EcdsaP256,
            Pair::EcdsaP384(_) => KeyKind::EcdsaP384,
            Pair::Rsa(_) => KeyKind::Rsa,
        }
    }

    /// The public key as it stands in messages.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Algorithms that the key can sign with, the best first.
    pub fn algorithms(&self) -> impl Iterator<Item = SignatureAlgorithm> + use<> {
        let kind = self.kind();
        SignatureAlgorithm::ALL.into_iter().filter(move |algorithm| algorithm.kind() == kind)
    }

    /// A signature as it stands in messages.
    ///
    /// # Errors
    /// `Own` if the key is not of the algorithm's kind, or without random bytes.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Broken> {
        if algorithm.kind() != self.kind() {
            return Err(Broken::Own);
        }
        let random = SystemRandom::new();
        let inner = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::EcdsaP256(pair) | Pair::EcdsaP384(pair) => {
                let made = pair.sign(&random, message).map_err(|_| Broken::Own)?;
                let (r, s) = made.as_ref().split_at(made.as_ref().len() / 2);
                let mut both = Vec::new();
                both.put_mpint(r).put_mpint(s);
                both
            }
            Pair::Rsa(pair) => {
                let mut made = vec![0; pair.public().modulus_len()];
                let padding = match algorithm {
                    SignatureAlgorithm::RsaSha256 => &RSA_PKCS1_SHA256,
                    _ => &RSA_PKCS1_SHA512,
                };
                pair.sign(padding, &random, message, &mut made).map_err(|_| Broken::Own)?;
                made
            }
        };
        let mut out = Vec::new();
        out.put_string(algorithm.name().as_bytes()).put_string(&inner);
        Ok(out)
    }
}

/// An RSA key of the file, whose format leaves out two of the numbers that `ring` takes.
fn rsa(pair: &RsaKeypair) -> Result<RsaKeyPair, ring::error::KeyRejected> {
    let bytes = |number: &ssh_key::Mpint| number.as_positive_bytes().unwrap_or(&[]).to_vec();
    let d = bytes(&pair.private.d);
    let (p, q) = (bytes(&pair.private.p), bytes(&pair.private.q));
    let (dp, dq) = (remainder(&d, &less_one(&p)), remainder(&d, &less_one(&q)));
    RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n: bytes(&pair.public.n), e: bytes(&pair.public.e) },
        qInv: bytes(&pair.private.iqmp),
        dP: dp,
        dQ: dq,
        d,
        p,
        q,
    })
}

/// An odd number less one: primes are odd, and `ring` refuses whatever is not prime enough.
fn less_one(odd: &[u8]) -> Vec<u8> {
    let mut out = odd.to_vec();
    if let Some(last) = out.last_mut() {
        *last &= 0xfe;
    }
    out
}

/// The remainder of a division of big-endian numbers, bit by bit. It runs when a key file of weir's
/// owner is read, and nobody measures its time.
fn remainder(value: &[u8], divisor: &[u8]) -> Vec<u8> {
    let width = divisor.len() + 1;
    let mut rest = vec![0u8; width];
    let mut wide = vec![0u8];
    wide.extend_from_slice(divisor);
    if divisor.iter().all(|byte| *byte == 0) {
        return Vec::new();
    }
    for bit in (0..8)
        .rev()
        .cycle()
        .take(8 * value.len())
        .zip(value.iter().flat_map(|byte| std::iter::repeat_n(*byte, 8)))
    {
        let mut carry = (bit.1 >> bit.0) & 1;
        for byte in rest.iter_mut().rev() {
            let next = *byte >> 7;
            *byte = (*byte << 1) | carry;
            carry = next;
        }
        if rest >= wide {
            let mut borrow = 0i16;
            for (byte, less) in rest.iter_mut().zip(&wide).rev() {
                let left = i16::from(*byte) - i16::from(*less) - borrow;
                borrow = i16::from(left < 0);
                *byte = left.rem_euclid(256) as u8;
            }
        }
    }
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    rest.split_off(zeros)
}

#[cfg(test)]
mod tests {
    use super::super::key::PublicKey;
    use super::super::testing::{key_text, signer};
    use super::*;

    #[test]
    fn every_key_verifies_what_it_signed_and_nothing_else() {
        for name in ["user", "rsa", "p256", "p384"] {
            let signer = signer(name);
            let public = PublicKey::parse(signer.blob()).expect("a public key");
            assert_eq!(public.kind(), signer.kind());
            for algorithm in signer.algorithms() {
                let signature = signer.sign(algorithm, b"message").expect("a signature");
                assert!(public.verify(algorithm, b"message", &signature).is_ok(), "{name}");
                assert!(public.verify(algorithm, b"massage", &signature).is_err(), "{name}");
                for cut in 0..signature.len() {
                    let cut = &signature[..cut];
                    assert!(public.verify(algorithm, b"message", cut).is_err(), "{name}");
                }
            }
            let other = signer.sign(SignatureAlgorithm::SkEd25519, b"message");
            assert_eq!(other, Err(Broken::Own));
        }
    }

    #[test]
    fn files_that_hold_no_key_for_weir_say_why() {
        let error = |text: &str| Signer::from_openssh(text).err();
        assert_eq!(error(key_text("sealed")), Some(KeyFileError::Encrypted));
        assert_eq!(error(key_text("p521")), Some(KeyFileError::Kind));
        assert_eq!(error("no key"), Some(KeyFileError::Format));
        assert_eq!(error(&key_text("user").replace('A', "B")), Some(KeyFileError::Format));
    }

    #[test]
    fn remainders_are_those_of_the_machine() {
        for (value, divisor) in
            [(0u64, 7u64), (12_345_678_901_234_567, 987_654_321), (u64::MAX, 255), (5, 1 << 40)]
        {
            let trim = |number: u64| {
                let bytes = number.to_be_bytes();
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                bytes[zeros..].to_vec()
            };
            let found = remainder(&value.to_be_bytes(), &trim(divisor));
            assert_eq!(found, trim(value % divisor), "{value} by {divisor}");
        }
    }
}
