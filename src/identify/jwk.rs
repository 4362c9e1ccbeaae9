//! The keys that an issuer signs with: a JSON Web Key Set (RFC 7517), and signatures by them.
//!
//! In: the text of a key set; a message and its signature. Out: keys by id; yes or no.
//! Never: a symmetric key; a key used with an algorithm of another kind than its own.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::json;
use crate::limits;

/// How a token may be signed. `none` and the HMAC algorithms have no value here, so that no check
/// can be forgotten: an issuer's public key is public, and would be the secret of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// Every algorithm and its name in `alg` (RFC 7518, RFC 8037). P-521 is not among them: ring does
/// not have it, and issuers do not use it.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    /// The algorithm of a name; names are compared with their case (RFC 7515, section 4.1.1).
    pub fn parse(name: &str) -> Option<Algorithm> {
        // RFC 9864 gives EdDSA with this curve a name of its own.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// One public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: Option<String>,
    /// The one algorithm it is for, if the issuer says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.material {
            Material::Rsa { .. } => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
        };
        write!(f, "Key({:?}, {kind})", self.id.as_deref().unwrap_or(""))
    }
}

impl Key {
    /// Whether a token that names this id and algorithm may be signed by this key.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let of_kind = match &self.material {
            Material::Rsa { .. } => matches!(
                algorithm,
                Algorithm::Rs256
                    | Algorithm::Rs384
                    | Algorithm::Rs512
                    | Algorithm::Ps256
                    | Algorithm::Ps384
                    | Algorithm::Ps512
            ),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        of_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature over the message is this key's.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match &self.material {
            Material::Rsa { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, message, signed)
                    .is_ok()
            }
            _ => false,
        };
        let curve = |algorithm: &'static dyn signature::VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(message, signed).is_ok()
        };
        match (algorithm, &self.material) {
            _ if !self.fits(algorithm) => false,
            (Algorithm::Rs256, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Ps256, _) => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            (Algorithm::Ps384, _) => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            (Algorithm::Ps512, _) => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            (Algorithm::Es256, Material::P256(point)) => {
                curve(&signature::ECDSA_P256_SHA256_FIXED, point)
            }
            (Algorithm::Es384, Material::P384(point)) => {
                curve(&signature::ECDSA_P384_SHA384_FIXED, point)
            }
            (Algorithm::EdDsa, Material::Ed25519(point)) => curve(&signature::ED25519, point),
            _ => false,
        }
    }

    /// A key of a set; `None` for one that is not for signatures, or of a kind weir does not know.
    fn read(map: &Map<String, Value>) -> Option<Key> {
        let text = |name: &str| map.get(name).and_then(Value::as_str);
        let number = |name: &str| BASE64URL.decode(text(name)?).ok();
        if map.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = map.get("key_ops") {
            operations.as_array()?.iter().find(|word| word.as_str() == Some("verify"))?;
        }
        let algorithm = match map.get("alg") {
            Some(name) => Some(Algorithm::parse(name.as_str()?)?),
            None => None,
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(&number("n")?, &number("e")?)?,
            ("EC", Some("P-256")) => Material::P256(point(&number("x")?, &number("y")?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&number("x")?, &number("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                Material::Ed25519(number("x").filter(|point| point.len() == 32)?)
            }
            _ => return None,
        };
        let id = match map.get("kid") {
            Some(id) => Some(id.as_str()?.to_owned()),
            None => None,
        };
        Some(Key { id, algorithm, material })
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Material> {
    // ring takes numbers without leading zeros; some issuers write one.
    let trimmed = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).map(<[u8]>::to_vec)
    };
    let (modulus, exponent) = (trimmed(modulus)?, trimmed(exponent)?);
    // 2048 to 8192 bits, as the parameters above say.
    let fits = (256..=1024).contains(&modulus.len()) && (1..=8).contains(&exponent.len());
    fits.then_some(Material::Rsa { modulus, exponent })
}

/// An uncompressed point; coordinates have their full length (RFC 7518, section 6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[0x04], x, y].concat())
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    ignored: usize,
}

/// The keys of an issuer as sessions see them, replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// As read last; `None` until the first read that worked.
    pub keys: Option<Arc<KeySet>>,
    /// How often somebody asked for newer ones and they were read, or could not be: who waits sees
    /// by it that there are none.
    pub answers: u64,
}

/// Why a text is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with a list `keys` of objects.
    #[error("it is not a JSON object with a list of `keys`")]
    Shape,
    /// More than `limits::ISSUER_KEYS_MAX`.
    #[error("it has more keys than weir keeps of one issuer")]
    TooMany,
    /// Keys, but none that could verify a token.
    #[error("none of its keys verifies tokens (RSA of 2048 bits or more, P-256, P-384, Ed25519)")]
    Unusable,
}

impl KeySet {
    /// Reads a set. Keys of other kinds are passed over, as RFC 7517 asks in section 5.
    ///
    /// # Errors
    /// It is no set, or nothing in it could verify a token.
    pub fn parse(bytes: &[u8]) -> Result<KeySet, KeySetError> {
        let map = json::parse_object(bytes).ok_or(KeySetError::Shape)?;
        let list = map.get("keys").and_then(Value::as_array).ok_or(KeySetError::Shape)?;
        if list.len() > limits::ISSUER_KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let mut set = KeySet::default();
        for entry in list {
            match Key::read(entry.as_object().ok_or(KeySetError::Shape)?) {
                Some(key) => set.keys.push(key),
                None => set.ignored += 1,
            }
        }
        if set.keys.is_empty() { Err(KeySetError::Unusable) } else { Ok(set) }
    }

    /// The keys that may have signed a token of this header. Without an id it has to be clear
    /// which key is meant: the only one for the algorithm.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match id {
            // Several keys may share an id if their kinds differ (RFC 7517, section 4.5); two of
            // one kind are tried both.
            Some(id) => fitting.filter(|key| key.id.as_deref() == Some(id)).take(2).collect(),
            None => {
                let all: Vec<&Key> = fitting.collect();
                if all.len() == 1 { all } else { Vec::new() }
            }
        }
    }

    /// Whether a key has this id, of whatever kind.
    pub fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of the text were of no use.
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &str, expect: Result<(usize, usize), KeySetError>) {
        let text = format!("{{\"keys\":[{keys}],\"more\":1}}");
        let set = KeySet::parse(text.as_bytes()).map(|set| (set.len(), set.ignored()));
        assert_eq!(set, expect, "{keys}");
    }

    fn ed(more: &str) -> String {
        let x = BASE64URL.encode([7; 32]);
        format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"{more}}}")
    }

    fn ec(curve: &str, length: usize) -> String {
        let x = BASE64URL.encode(vec![7; length]);
        format!("{{\"kty\":\"EC\",\"crv\":\"{curve}\",\"x\":\"{x}\",\"y\":\"{x}\"}}")
    }

    fn rsa_key(bytes: usize, more: &str) -> String {
        let n = BASE64URL.encode(vec![0xc1; bytes]);
        format!("{{\"kty\":\"RSA\",\"n\":\"{n}\",\"e\":\"AQAB\"{more}}}")
    }

    #[test]
    fn keys_that_could_verify_are_kept() {
        check(&ed(""), Ok((1, 0)));
        check(&ed(",\"use\":\"sig\",\"alg\":\"EdDSA\",\"kid\":\"a\""), Ok((1, 0)));
        check(&ed(",\"key_ops\":[\"verify\"]"), Ok((1, 0)));
        check(&ec("P-256", 32), Ok((1, 0)));
        check(&ec("P-384", 48), Ok((1, 0)));
        check(&rsa_key(256, ""), Ok((1, 0)));
        check(&format!("{},{}", rsa_key(512, ""), ed("")), Ok((2, 0)));
    }

    #[test]
    fn keys_for_other_things_are_passed_over() {
        for other in [
            ed(",\"use\":\"enc\""),
            ed(",\"use\":1"),
            ed(",\"key_ops\":[\"sign\"]"),
            ed(",\"key_ops\":\"verify\""),
            ed(",\"alg\":\"HS256\""),
            ed(",\"kid\":7"),
            ec("P-256", 31),
            ec("P-384", 32),
            ec("P-521", 66),
            ec("secp256k1", 32),
            rsa_key(128, ""),
            rsa_key(256, ",\"alg\":\"RSA-OAEP\""),
            "{\"kty\":\"oct\",\"k\":\"AAAA\"}".to_owned(),
            "{}".to_owned(),
        ] {
            check(&other, Err(KeySetError::Unusable));
            check(&format!("{other},{}", ed("")), Ok((1, 1)));
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        fn check(text: &str, expect: KeySetError) {
            assert_eq!(KeySet::parse(text.as_bytes()), Err(expect), "{text}");
        }
        check("", KeySetError::Shape);
        check("[]", KeySetError::Shape);
        check("{\"keys\":{}}", KeySetError::Shape);
        check("{\"keys\":[1]}", KeySetError::Shape);
        check("{\"keys\":[],\"keys\":[]}", KeySetError::Shape);
        check("{\"keys\":[]}", KeySetError::Unusable);
        let many = vec!["{}"; limits::ISSUER_KEYS_MAX + 1].join(",");
        check(&format!("{{\"keys\":[{many}]}}"), KeySetError::TooMany);
    }

    #[test]
    fn a_key_is_for_its_own_kind_of_algorithm() {
        let set = |text: &str| KeySet::parse(format!("{{\"keys\":[{text}]}}").as_bytes()).unwrap();
        let fits = |text: &str| {
            let set = set(text);
            let names = ALGORITHMS.iter().filter(|(_, it)| set.keys[0].fits(*it));
            names.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(fits(&ed("")), "EdDSA");
        assert_eq!(fits(&ec("P-256", 32)), "ES256");
        assert_eq!(fits(&ec("P-384", 48)), "ES384");
        assert_eq!(fits(&rsa_key(256, "")), "RS256 RS384 RS512 PS256 PS384 PS512");
        assert_eq!(fits(&rsa_key(256, ",\"alg\":\"PS384\"")), "PS384");
    }

    #[test]
    fn without_an_id_the_key_has_to_be_clear() {
        let two = format!("{{\"keys\":[{},{}]}}", ed(",\"kid\":\"a\""), ec("P-256", 32));
        let set = KeySet::parse(two.as_bytes()).unwrap();
        assert_eq!(set.candidates(None, Algorithm::EdDsa).len(), 1);
        assert_eq!(set.candidates(Some("a"), Algorithm::EdDsa).len(), 1);
        assert_eq!(set.candidates(Some("a"), Algorithm::Es256).len(), 0);
        assert_eq!(set.candidates(Some("b"), Algorithm::EdDsa).len(), 0);
        let same = format!("{{\"keys\":[{},{}]}}", ed(",\"kid\":\"a\""), ed(",\"kid\":\"b\""));
        let set = KeySet::parse(same.as_bytes()).unwrap();
        assert_eq!(set.candidates(None, Algorithm::EdDsa).len(), 0);
        assert!(set.knows("b") && !set.knows("c"));
    }
}
