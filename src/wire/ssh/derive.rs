//! The hash of an exchange, and keys made of its secret (RFC 4253 sections 7.2 and 8).
//!
//! In: what both sides said, and the secret. Out: the hash that the host key signs, key material.
//! Never: a second session id.

use ring::digest;

use super::fields::Write;
use super::kex::{Method, Secret};

/// What both sides said, in the order in which it is hashed.
#[derive(Debug)]
pub struct Transcript<'b> {
    /// The versions, without CR and LF.
    pub versions: Pair<&'b [u8]>,
    /// The payloads of the KEXINITs.
    pub inits: Pair<&'b [u8]>,
    /// The host key.
    pub host_key: &'b [u8],
    /// The shares.
    pub shares: Pair<&'b [u8]>,
}

/// What the client said, and the server.
#[derive(Clone, Copy, Debug)]
pub struct Pair<T> {
    /// The client's.
    pub client: T,
    /// The server's.
    pub server: T,
}

impl Transcript<'_> {
    /// The exchange hash.
    pub fn hash(&self, method: Method, secret: &Secret) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [
            self.versions.client,
            self.versions.server,
            self.inits.client,
            self.inits.server,
            self.host_key,
            self.shares.client,
            self.shares.server,
        ] {
            bytes.put_string(part);
        }
        bytes.put_bytes(&secret.field);
        digest::digest(method.hash(), &bytes).as_ref().to_vec()
    }
}

/// Makes key material of one exchange.
#[derive(Debug)]
pub struct Derivation<'b> {
    /// The method of this exchange.
    pub method: Method,
    /// Its secret.
    pub secret: &'b Secret,
    /// Its hash.
    pub hash: &'b [u8],
    /// The hash of the first exchange.
    pub session_id: &'b [u8],
}

impl Derivation<'_> {
    /// As many bytes as asked for, for the letter of RFC 4253 section 7.2.
    pub fn key(&self, letter: u8, count: usize) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::with_capacity(count + 64);
        while out.len() < count {
            let mut context = digest::Context::new(self.method.hash());
            context.update(&self.secret.field);
            context.update(self.hash);
            if out.is_empty() {
                context.update(&[letter]);
                context.update(self.session_id);
            } else {
                context.update(&out);
            }
            out.extend_from_slice(context.finish().as_ref());
        }
        out.truncate(count);
        out
    }
}
