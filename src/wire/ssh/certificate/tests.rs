//! Certificates of `ssh-keygen`, cut and changed; those of weir, read again.

use super::super::key::KeyKind;
use super::super::testing::{certificate, signer};
use super::*;

#[test]
fn a_certificate_says_what_ssh_keygen_put_into_it() {
    let read = Certificate::parse(&certificate("user")).expect("a certificate");
    let pairs = |found: &[(String, String)]| {
        found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((read.user, read.serial, read.key_id.as_str()), (true, 42, "alice@example.com"));
    assert_eq!(read.principals, ["alice", "sre"]);
    assert_eq!((read.after, read.before), (1_767_225_600, 1_798_761_600));
    assert_eq!(pairs(&read.critical), "force-command=uptime source-address=127.0.0.0/8");
    assert!(read.permits("permit-pty") && !read.permits("permit-X11-forwarding"));
    assert_eq!(read.authority_blob, signer("ca").blob());
    assert_eq!(read.key_blob, signer("user").blob());
    for (name, kind, user) in [
        ("p256", KeyKind::EcdsaP256, false),
        ("p384", KeyKind::EcdsaP384, true),
        ("rsa", KeyKind::Rsa, true),
    ] {
        let read = Certificate::parse(&certificate(name)).expect("a certificate");
        assert_eq!((read.key.kind(), read.user), (kind, user));
        assert_eq!(read.key_blob, signer(name).blob());
    }
}

#[test]
fn a_certificate_that_is_cut_or_changed_anywhere_is_refused() {
    for name in ["user", "p384"] {
        let blob = certificate(name);
        for cut in 0..blob.len() {
            assert!(Certificate::parse(&blob[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(Certificate::parse(&changed).is_err(), "changed at {at}");
        }
        let mut longer = blob;
        longer.push(0);
        assert!(Certificate::parse(&longer).is_err());
    }
}

#[test]
fn a_ca_is_no_certificate() {
    // The same certificate with a certificate in the place of its CA (CVE-2025-49825).
    let blob = certificate("user");
    let tail = tail(&blob).expect("a certificate");
    let before = tail.signed.len() - tail.authority.len() - 4;
    let mut nested = blob[..before].to_vec();
    nested.put_string(&certificate("rsa"));
    let signature = signer("ca").sign(SignatureAlgorithm::Ed25519, &nested).expect("a key");
    nested.put_string(&signature);
    assert_eq!(Certificate::parse(&nested).err(), Some(Broken::Fields));
}

#[test]
fn a_grant_is_read_again() {
    let key = Signer::generate().expect("random bytes");
    for name in ["ca", "p256", "p384", "rsa"] {
        let authority = signer(name);
        let grant = UserGrant {
            key: &key,
            serial: 7,
            key_id: "weir:1:alice",
            principal: "deploy",
            after: 100,
            before: 220,
            critical: &[("force-command", "uptime"), ("source-address", "10.0.0.1")],
            extensions: &["permit-pty"],
        };
        let blob = grant.sign(&authority).expect("a key");
        let read = Certificate::parse(&blob).expect("a certificate");
        assert!(read.user && read.permits("permit-pty"));
        assert_eq!((read.serial, read.after, read.before), (7, 100, 220));
        assert_eq!(read.principals, ["deploy"]);
        assert_eq!(read.critical[0], ("force-command".to_owned(), "uptime".to_owned()));
        assert_eq!(read.key_blob, key.blob());
        assert_eq!(read.authority_blob, authority.blob());
    }
}
