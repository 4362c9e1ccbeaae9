//! Keys of tests, as `ssh-keygen` of OpenSSH 9.2 made them.

use super::key::blob_of_line;
use super::signer::Signer;

/// A private key by the name of its file.
pub(super) fn signer(name: &str) -> Signer {
    Signer::from_openssh(key_text(name)).expect("a key of ssh-keygen")
}

/// The text of a private key.
pub(super) fn key_text(name: &str) -> &'static str {
    match name {
        "rsa" => include_str!("testdata/rsa.key"),
        "p256" => include_str!("testdata/p256.key"),
        "p384" => include_str!("testdata/p384.key"),
        "p521" => include_str!("testdata/p521.key"),
        "ca" => include_str!("testdata/ca.key"),
        "sealed" => include_str!("testdata/sealed.key"),
        _ => include_str!("testdata/user.key"),
    }
}

/// A certificate: `user` for alice, by `ca`; `p256` of a host, by `ca`; `p384` by `rsa`, `rsa` by
/// `p256`, both for bob.
pub(super) fn certificate(name: &str) -> Vec<u8> {
    let text = match name {
        "p256" => include_str!("testdata/p256.cert"),
        "p384" => include_str!("testdata/p384.cert"),
        "rsa" => include_str!("testdata/rsa.cert"),
        _ => include_str!("testdata/user.cert"),
    };
    // A line of ssh-keygen, folded.
    let (kind, folded) = text.split_once('\n').expect("a kind and a key");
    let line = format!("{kind} {}", folded.split_whitespace().collect::<String>());
    blob_of_line(&line).expect("a line of ssh-keygen")
}
