//! Requests of weir's own client, read by its server; proofs over other connections.

use super::super::key::SignatureAlgorithm;
use super::super::testing::{certificate, signer};
use super::*;

const SESSION: &[u8] = &[7; 32];

fn signed(name: &str, algorithm: SignatureAlgorithm) -> Vec<u8> {
    request::signed("alice", &signer(name), None, algorithm, SESSION).expect("a key")
}

fn prove(payload: &[u8], session: &[u8], host_key: &[u8]) -> Result<Proven, Broken> {
    let Method::Signed(offered, proof) = Request::parse(payload)?.method else {
        return Err(Broken::Order);
    };
    proof.verify(&offered, session, host_key)
}

#[test]
fn every_kind_of_key_proves_itself_on_its_own_connection_only() {
    for (name, algorithm) in [
        ("user", SignatureAlgorithm::Ed25519),
        ("p256", SignatureAlgorithm::EcdsaP256),
        ("p384", SignatureAlgorithm::EcdsaP384),
        ("rsa", SignatureAlgorithm::RsaSha256),
        ("rsa", SignatureAlgorithm::RsaSha512),
    ] {
        let payload = signed(name, algorithm);
        let Ok(Proven::Key { blob, proof }) = prove(&payload, SESSION, b"") else {
            panic!("{name} proves nothing")
        };
        assert_eq!(blob, signer(name).blob());
        assert!(proof.present && proof.verified);
        assert_eq!(prove(&payload, &[8; 32], b"").err(), Some(Broken::HostKey), "{name}");
        assert_eq!(Request::parse(&payload).expect("a request").user, b"alice");
    }
}

#[test]
fn a_certificate_proves_itself_with_the_key_in_it() {
    for (name, algorithm) in
        [("user", SignatureAlgorithm::Ed25519), ("rsa", SignatureAlgorithm::RsaSha512)]
    {
        let blob = certificate(name);
        let make = |key: &str, algorithm| {
            request::signed("alice", &signer(key), Some(&blob), algorithm, SESSION).expect("a key")
        };
        let proven = prove(&make(name, algorithm), SESSION, b"");
        assert!(matches!(proven, Ok(Proven::Certificate { .. })), "{name}: {proven:?}");
        // Another key that signs for the certificate.
        let other = prove(&make("ca", SignatureAlgorithm::Ed25519), SESSION, b"");
        assert_eq!(other.err(), Some(Broken::HostKey));
    }
}

#[test]
fn a_signed_request_that_is_cut_or_changed_proves_nothing() {
    let payload = signed("user", SignatureAlgorithm::Ed25519);
    for cut in 0..payload.len() {
        assert!(prove(&payload[..cut], SESSION, b"").is_err(), "cut at {cut}");
    }
    for at in 0..payload.len() {
        let mut changed = payload.clone();
        changed[at] ^= 2;
        assert!(prove(&changed, SESSION, b"").is_err(), "changed at {at}");
    }
}

#[test]
fn an_algorithm_of_another_kind_is_refused() {
    let rsa = signer("rsa");
    // An RSA signature by SHA-256 that is called one by SHA-512, and names of SHA-1 and DSA.
    let payload = signed("rsa", SignatureAlgorithm::RsaSha256);
    let text = |from: &[u8], to: &[u8]| {
        let mut out = payload.clone();
        let at = out.windows(from.len()).position(|window| window == from).expect("the name");
        out.splice(at..at + from.len(), to.iter().copied());
        out
    };
    assert!(prove(&text(b"rsa-sha2-256", b"rsa-sha2-512"), SESSION, b"").is_err());
    for name in [&b"ssh-rsa"[..], b"ssh-dss", b"ssh-rsa-cert-v01@openssh.com", b""] {
        let offered = Offered { algorithm: name, blob: rsa.blob() };
        assert!(offered.read().is_err());
    }
    let offered = Offered { algorithm: b"ssh-ed25519", blob: rsa.blob() };
    assert!(offered.read().is_err());
    let offered = Offered { algorithm: b"ssh-ed25519", blob: &certificate("user") };
    assert!(offered.read().is_err(), "a certificate as a plain key");
}

#[test]
fn a_proof_bound_to_another_host_key_is_refused() {
    let signer = signer("user");
    let make = |bound: &[u8]| {
        let mut out = vec![number::USERAUTH_REQUEST];
        out.put_string(b"alice").put_string(CONNECTION).put_string(HOSTBOUND);
        out.put_bool(true).put_string(b"ssh-ed25519").put_string(signer.blob()).put_string(bound);
        let mut message = Vec::new();
        message.put_string(SESSION).put_bytes(&out);
        let signature = signer.sign(SignatureAlgorithm::Ed25519, &message).expect("a key");
        out.put_string(&signature);
        out
    };
    assert!(prove(&make(b"host"), SESSION, b"host").is_ok());
    assert_eq!(prove(&make(b"other"), SESSION, b"host").err(), Some(Broken::HostKey));
}

#[test]
fn requests_and_answers_are_read_whole_or_not_at_all() {
    let mut probe = vec![number::USERAUTH_REQUEST];
    probe.put_string(b"alice").put_string(CONNECTION).put_string(b"none");
    let password = request::password("alice", "secret");
    for payload in [probe, password, signed("user", SignatureAlgorithm::Ed25519)] {
        assert!(Request::parse(&payload).is_ok());
        for cut in 0..payload.len() {
            assert!(Request::parse(&payload[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = payload;
        longer.push(0);
        assert!(Request::parse(&longer).is_err());
    }
    let mut long = vec![number::USERAUTH_REQUEST];
    long.put_string(&[b'a'; SSH_USER_BYTES_MAX + 1]).put_string(CONNECTION).put_string(b"none");
    assert!(Request::parse(&long).is_err());
    let failure = reply::failure(&["publickey", "password"]);
    let expected = Answer::Failure { methods: "publickey,password", partial: false };
    assert_eq!(Answer::parse(&failure), Ok(expected));
    assert_eq!(Answer::parse(&reply::success()), Ok(Answer::Success));
    assert_eq!(Answer::parse(&reply::banner("hi")), Ok(Answer::Banner(b"hi")));
    for cut in 0..failure.len() {
        assert!(Answer::parse(&failure[..cut]).is_err(), "cut at {cut}");
    }
    let mut questions = vec![number::USERAUTH_INFO_REQUEST];
    questions.put_string(b"").put_string(b"").put_string(b"").put_u32(9);
    for _ in 0..9 {
        questions.put_string(b"?").put_bool(false);
    }
    assert_eq!(Answer::parse(&questions), Err(Broken::Fields), "too many questions");
}
