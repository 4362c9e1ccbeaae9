//! Methods of key exchange: two shares make one secret that nobody else knows.
//!
//! In: the share of the peer. Out: the share of weir, the secret as it is hashed. Never: a secret
//! that the peer alone decides (points of low order, points off the curve), a share used twice.

use ml_kem::kem::{Decapsulate, Key, KeyExport, TryKeyInit};
use ml_kem::{B32, Ciphertext, DecapsulationKey, EncapsulationKey, MlKem768, Seed};
use ring::agreement::{
    Algorithm, ECDH_P256, ECDH_P384, EphemeralPrivateKey, UnparsedPublicKey, X25519,
    agree_ephemeral,
};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use super::Broken;
use super::fields::Write;

/// A share of X25519.
const X25519_BYTES: usize = 32;
/// An encapsulation key of ML-KEM-768 (FIPS 203, table 3).
const MLKEM_KEY_BYTES: usize = 1184;
/// A ciphertext of ML-KEM-768.
const MLKEM_CIPHERTEXT_BYTES: usize = 1088;

/// Methods, in the order in which they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// ML-KEM-768 and X25519 together (draft-ietf-sshm-mlkem-hybrid-kex).
    MlKem768X25519,
    /// X25519 (RFC 8731).
    Curve25519,
    /// The same by its first name.
    Curve25519LibSsh,
    /// ECDH on P-256 (RFC 5656).
    NistP256,
    /// ECDH on P-384.
    NistP384,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] = [
        Method::MlKem768X25519,
        Method::Curve25519,
        Method::Curve25519LibSsh,
        Method::NistP256,
        Method::NistP384,
    ];

    /// The name in a KEXINIT.
    pub const fn name(self) -> &'static str {
        match self {
            Method::MlKem768X25519 => "mlkem768x25519-sha256",
            Method::Curve25519 => "curve25519-sha256",
            Method::Curve25519LibSsh => "curve25519-sha256@libssh.org",
            Method::NistP256 => "ecdh-sha2-nistp256",
            Method::NistP384 => "ecdh-sha2-nistp384",
        }
    }

    /// The hash of the exchange.
    pub fn hash(self) -> &'static digest::Algorithm {
        if self == Method::NistP384 { &digest::SHA384 } else { &digest::SHA256 }
    }

    fn agreement(self) -> &'static Algorithm {
        match self {
            Method::NistP256 => &ECDH_P256,
            Method::NistP384 => &ECDH_P384,
            _ => &X25519,
        }
    }
}

/// The secret in the form in which it is hashed: an `mpint`, or a string for the hybrid.
pub struct Secret {
    /// The field.
    pub field: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A client's share, waiting for the server's.
pub struct Share {
    method: Method,
    private: EphemeralPrivateKey,
    mlkem: Option<Box<DecapsulationKey<MlKem768>>>,
    /// What the server is told.
    pub public: Vec<u8>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({:?})", self.method)
    }
}

impl Share {
    /// A fresh share.
    ///
    /// # Errors
    /// `Own` without random bytes.
    pub fn new(method: Method) -> Result<Share, Broken> {
        let (private, public) = ephemeral(method)?;
        if method != Method::MlKem768X25519 {
            return Ok(Share { method, private, mlkem: None, public });
        }
        let mut seed = Seed::default();
        SystemRandom::new().fill(&mut seed).map_err(|_| Broken::Own)?;
        let secret = DecapsulationKey::<MlKem768>::from_seed(seed);
        let mut both = secret.encapsulation_key().to_bytes().to_vec();
        assert_eq!(both.len(), MLKEM_KEY_BYTES);
        both.extend_from_slice(&public);
        Ok(Share { method, private, mlkem: Some(Box::new(secret)), public: both })
    }

    /// Takes the server's share.
    ///
    /// # Errors
    /// `Share` if it is none.
    pub fn finish(self, theirs: &[u8]) -> Result<Secret, Broken> {
        let Some(mlkem) = self.mlkem else { return classic(self.method, self.private, theirs) };
        let (ciphertext, point) =
            theirs.split_at_checked(MLKEM_CIPHERTEXT_BYTES).ok_or(Broken::Share)?;
        let ciphertext = Ciphertext::<MlKem768>::try_from(ciphertext).map_err(|_| Broken::Share)?;
        let quantum = mlkem.decapsulate(&ciphertext);
        hybrid(&quantum, self.private, point)
    }
}

/// A server's answer to a client's share: the share to tell, and the secret.
///
/// # Errors
/// `Share` if the client's is none, `Own` without random bytes.
pub fn answer(method: Method, theirs: &[u8]) -> Result<(Vec<u8>, Secret), Broken> {
    let (private, public) = ephemeral(method)?;
    if method != Method::MlKem768X25519 {
        return Ok((public, classic(method, private, theirs)?));
    }
    let (key, point) = theirs.split_at_checked(MLKEM_KEY_BYTES).ok_or(Broken::Share)?;
    let key = Key::<EncapsulationKey<MlKem768>>::try_from(key).map_err(|_| Broken::Share)?;
    // The key is checked as FIPS 203 section 7.2 asks: its numbers are reduced.
    let key = <EncapsulationKey<MlKem768> as TryKeyInit>::new(&key).map_err(|_| Broken::Share)?;
    let mut message = B32::default();
    SystemRandom::new().fill(&mut message).map_err(|_| Broken::Own)?;
    let (ciphertext, quantum) = key.encapsulate_deterministic(&message);
    let secret = hybrid(&quantum, private, point)?;
    let mut both = ciphertext.to_vec();
    both.extend_from_slice(&public);
    Ok((both, secret))
}

fn ephemeral(method: Method) -> Result<(EphemeralPrivateKey, Vec<u8>), Broken> {
    let private = EphemeralPrivateKey::generate(method.agreement(), &SystemRandom::new())
        .map_err(|_| Broken::Own)?;
    let public = private.compute_public_key().map_err(|_| Broken::Own)?;
    Ok((private, public.as_ref().to_vec()))
}

fn classic(method: Method, own: EphemeralPrivateKey, theirs: &[u8]) -> Result<Secret, Broken> {
    // ring refuses points off the curve, and X25519 whose result is zero (RFC 8731 section 3).
    agree_ephemeral(own, &UnparsedPublicKey::new(method.agreement(), theirs), |shared| {
        let mut field = Vec::with_capacity(shared.len() + 5);
        field.put_mpint(shared);
        Secret { field }
    })
    .map_err(|_| Broken::Share)
}

fn hybrid(quantum: &[u8], own: EphemeralPrivateKey, theirs: &[u8]) -> Result<Secret, Broken> {
    if theirs.len() != X25519_BYTES {
        return Err(Broken::Share);
    }
    agree_ephemeral(own, &UnparsedPublicKey::new(&X25519, theirs), |shared| {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(quantum);
        context.update(shared);
        let mut field = Vec::new();
        field.put_string(context.finish().as_ref());
        Secret { field }
    })
    .map_err(|_| Broken::Share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_get_one_secret_and_another_each_time() {
        for method in Method::ALL {
            let once = || {
                let share = Share::new(method).expect("random bytes");
                let (public, secret) = answer(method, &share.public).expect("a share");
                let other = share.finish(&public).expect("a share");
                assert_eq!(secret.field, other.field, "{method:?}");
                secret.field
            };
            assert_ne!(once(), once(), "{method:?}");
        }
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for method in Method::ALL {
            let share = Share::new(method).expect("random bytes").public;
            for cut in 0..share.len() {
                assert_eq!(answer(method, &share[..cut]).err(), Some(Broken::Share), "{method:?}");
            }
            let zeros = vec![0; share.len()];
            assert_eq!(answer(method, &zeros).err(), Some(Broken::Share), "{method:?}");
            let own = Share::new(method).expect("random bytes");
            let length = answer(method, &share).expect("a share").0.len();
            assert_eq!(own.finish(&vec![0; length]).err(), Some(Broken::Share), "{method:?}");
            let own = Share::new(method).expect("random bytes");
            assert_eq!(own.finish(&vec![0; length + 1]).err(), Some(Broken::Share), "{method:?}");
        }
    }
}
