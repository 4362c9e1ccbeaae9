//! An issuer for tests: keys of every kind, and tokens signed by them.
//!
//! In: headers, claims. Out: tokens. Never: outside of tests.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::jwk::KeySet;

/// An issuer's private keys, one of each kind. Their ids are the names of the kinds.
pub struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    /// Of EdDSA.
    pub ed: Ed25519KeyPair,
}

impl Keys {
    /// The ones that all tests share.
    pub fn shared() -> &'static Keys {
        static SHARED: OnceLock<Keys> = OnceLock::new();
        SHARED.get_or_init(Keys::make)
    }

    fn make() -> Keys {
        let random = SystemRandom::new();
        let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
        };
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        // ring makes no RSA keys.
        let rsa = PrivatePkcs8KeyDer::from_pem_slice(include_bytes!("testdata/rsa.key"));
        Keys {
            rsa: RsaKeyPair::from_pkcs8(rsa.unwrap().secret_pkcs8_der()).unwrap(),
            p256: curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    /// Their public halves.
    pub fn set(&self) -> KeySet {
        let text = |bytes: &[u8]| BASE64URL.encode(bytes);
        let rsa: PublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let curve = |name: &str, key: &EcdsaKeyPair| {
            let point = key.public_key().as_ref();
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            let (x, y) = (text(x), text(y));
            format!(r#"{{"kty":"EC","crv":"{name}","kid":"{name}","x":"{x}","y":"{y}"}}"#)
        };
        let set = format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"RSA","n":"{}","e":"{}","use":"sig"}},{},{},
            {{"kty":"OKP","crv":"Ed25519","kid":"Ed25519","x":"{}"}}]}}"#,
            text(&rsa.n),
            text(&rsa.e),
            curve("P-256", &self.p256),
            curve("P-384", &self.p384),
            text(self.ed.public_key().as_ref()),
        );
        KeySet::parse(set.as_bytes()).unwrap()
    }

    /// A signature by the key of this algorithm.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signed = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signed).unwrap();
            signed
        };
        match algorithm {
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "PS384" => rsa(&signature::RSA_PSS_SHA384),
            "PS512" => rsa(&signature::RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            _ => panic!("{algorithm}"),
        }
    }
}

/// A token of this header and these claims, whatever they are.
pub fn encoded(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let signed = sign(message.as_bytes());
    format!("{message}.{}", BASE64URL.encode(signed))
}
