//! The transport with itself: every choice, every split, and what must be refused.

use super::super::cipher::{Cipher, Mac};
use super::super::kex::Method;
use super::*;
use crate::limits::SSH_REKEY_BYTES;

fn signer() -> Arc<Signer> {
    Arc::new(Signer::generate().expect("random bytes"))
}

fn offer() -> Offer {
    Offer {
        methods: vec![Method::Curve25519],
        host_keys: vec![Algorithm::plain(SignatureAlgorithm::Ed25519)],
        ciphers: vec![Cipher::ChaCha20Poly1305],
        macs: Mac::ALL.to_vec(),
    }
}

fn pair(offer: &Offer, signer: &Arc<Signer>, rekey_bytes: u64) -> [Transport; 2] {
    [Role::Client, Role::Server].map(|role| {
        let terms = Terms {
            role,
            offer: offer.clone(),
            host_keys: if role == Role::Server { vec![Arc::clone(signer)] } else { Vec::new() },
            strict_required: true,
            rekey_bytes,
        };
        Transport::new(Arc::new(terms), 0).expect("random bytes")
    })
}

/// What a pair says to each other in pieces, until both are silent; the messages each one got.
fn settle(pair: &mut [Transport; 2], piece: usize) -> [Vec<Vec<u8>>; 2] {
    let mut got = [Vec::new(), Vec::new()];
    for _ in 0..100_000 {
        let silent = pair.iter().all(|side| side.output().is_empty());
        if silent {
            pair.iter_mut().for_each(Transport::logged_in);
            return got;
        }
        for from in 0..2 {
            let bytes = pair[from].take_output();
            let to = &mut pair[1 - from];
            for part in bytes.chunks(piece.max(1)) {
                to.feed(part);
                loop {
                    match to.next(0).expect("both speak SSH") {
                        Step::Need => break,
                        Step::HostKey => to.trust(true).expect("a fresh key"),
                        Step::Ready => {}
                        Step::Message(place) => got[1 - from].push(to.message(&place).to_vec()),
                    }
                }
            }
        }
    }
    panic!("the two never fall silent");
}

#[test]
fn every_pair_of_algorithms_speaks_with_itself() {
    let key = signer();
    for method in Method::ALL {
        for cipher in Cipher::ALL {
            let macs = if cipher.is_aead() { &Mac::ALL[..1] } else { &Mac::ALL[..] };
            for mac in macs {
                let offer = Offer {
                    methods: vec![method],
                    ciphers: vec![cipher],
                    macs: vec![*mac],
                    ..offer()
                };
                let mut pair = pair(&offer, &key, SSH_REKEY_BYTES);
                settle(&mut pair, usize::MAX);
                for length in [1usize, 2, 7, 8, 9, 15, 16, 17, 255, 256, 4096, 35_000] {
                    let message = vec![94u8; length];
                    for from in 0..2 {
                        pair[from].send(&message);
                        let got = settle(&mut pair, usize::MAX);
                        assert_eq!(
                            got[1 - from],
                            std::slice::from_ref(&message),
                            "{method:?} {cipher:?} {mac:?}"
                        );
                    }
                }
                assert_eq!(pair[0].session_id(), pair[1].session_id());
                assert_eq!(pair[0].host_key(), key.blob());
                assert!(pair[0].is_strict() && pair[1].is_strict());
                assert!(pair[0].their_extensions().hostbound);
            }
        }
    }
}

#[test]
fn bytes_come_in_any_pieces() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm, Cipher::Aes128Ctr] {
        for mac in [Mac::Sha256Etm, Mac::Sha256] {
            for piece in [1, 3, 16, 100] {
                let offer = Offer { ciphers: vec![cipher], macs: vec![mac], ..offer() };
                let mut pair = pair(&offer, &signer(), SSH_REKEY_BYTES);
                settle(&mut pair, piece);
                pair[0].send(&[94; 100]);
                pair[0].send(&[95; 1]);
                let got = settle(&mut pair, piece);
                assert_eq!(got[1], [vec![94; 100], vec![95; 1]], "{cipher:?} {piece}");
            }
        }
    }
}

#[test]
fn keys_are_renewed_under_load_by_either_side() {
    for cipher in Cipher::ALL {
        for asker in 0..2 {
            let key = signer();
            let offer = Offer { ciphers: vec![cipher], ..offer() };
            let mut sides = pair(&offer, &key, SSH_REKEY_BYTES);
            let [client, server] = pair(&offer, &key, 64 << 10);
            if asker == 0 {
                sides[0] = client;
            } else {
                sides[1] = server;
            }
            settle(&mut sides, usize::MAX);
            let mut sent = [0u32; 2];
            let mut got = [0u32; 2];
            for _ in 0..150 {
                for from in 0..2 {
                    // Both talk at once, and nobody while their keys change.
                    while sides[from].may_send() && sides[from].output().len() < 20_000 {
                        let mut message = vec![94u8; 8_000];
                        message.extend_from_slice(&sent[from].to_be_bytes());
                        sides[from].send(&message);
                        sides[from].renew(0).expect("random bytes");
                        sent[from] += 1;
                    }
                }
                for from in 0..2 {
                    let bytes = sides[from].take_output();
                    let to = &mut sides[1 - from];
                    to.feed(&bytes);
                    loop {
                        match to.next(0).expect("both speak SSH") {
                            Step::Need => break,
                            Step::Message(place) => {
                                let number = to.message(&place).last_chunk::<4>().copied();
                                let number = u32::from_be_bytes(number.expect("a number"));
                                assert_eq!(number, got[1 - from], "in order");
                                got[1 - from] += 1;
                            }
                            step => panic!("{step:?}"),
                        }
                    }
                }
            }
            assert_eq!((sent[0], sent[1]), (got[1], got[0]));
            assert!(sides[0].exchanges() > 5, "{} of {:?}", sides[0].exchanges(), sent);
        }
    }
}

#[test]
fn a_changed_byte_anywhere_ends_the_connection() {
    for cipher in Cipher::ALL {
        // An AEAD has no MAC to choose.
        for mac in if cipher.is_aead() { &Mac::ALL[..1] } else { &Mac::ALL[..] } {
            let offer = Offer { ciphers: vec![cipher], macs: vec![*mac], ..offer() };
            let key = signer();
            let mut sealed = pair(&offer, &key, SSH_REKEY_BYTES);
            settle(&mut sealed, usize::MAX);
            sealed[0].send(&[94; 20]);
            let length = sealed[0].output().len();
            for at in 0..length {
                let mut sides = pair(&offer, &key, SSH_REKEY_BYTES);
                settle(&mut sides, usize::MAX);
                sides[0].send(&[94; 20]);
                let mut bytes = sides[0].take_output();
                bytes[at] ^= 0x40;
                sides[1].feed(&bytes);
                match sides[1].next(0) {
                    // The length field says that more is to come; it never opens.
                    Ok(Step::Need) => {
                        assert!(at < 4, "{cipher:?} {mac:?} at {at}");
                        let mut last = Ok(Step::Need);
                        for _ in 0..80 {
                            sides[1].feed(&[0; 4096]);
                            last = sides[1].next(0);
                            if last.is_err() {
                                break;
                            }
                        }
                        assert!(last.is_err(), "{cipher:?} {mac:?} at {at}: {last:?}");
                    }
                    Ok(step) => panic!("{cipher:?} {mac:?} at {at}: {step:?}"),
                    Err(_) => {}
                }
                assert!(sides[1].next(0).is_err(), "a closed connection stays closed");
            }
        }
    }
}

#[test]
fn a_packet_twice_or_left_out_ends_the_connection() {
    for cipher in Cipher::ALL {
        let offer = Offer { ciphers: vec![cipher], ..offer() };
        let mut sides = pair(&offer, &signer(), SSH_REKEY_BYTES);
        settle(&mut sides, usize::MAX);
        sides[0].send(&[94; 20]);
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        assert!(matches!(sides[1].next(0), Ok(Step::Message(_))));
        sides[1].feed(&bytes);
        let again = sides[1].next(0);
        assert!(again.is_err(), "{cipher:?}: {again:?}");

        let mut sides = pair(&offer, &signer(), SSH_REKEY_BYTES);
        settle(&mut sides, usize::MAX);
        sides[0].send(&[94; 20]);
        sides[0].take_output();
        sides[0].send(&[95; 20]);
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        let later = sides[1].next(0);
        assert!(later.is_err(), "{cipher:?}: {later:?}");
    }
}

/// What a client that is no transport of weir's says after its version: payloads in clear.
fn hostile(payloads: &[Vec<u8>]) -> Result<Step, Broken> {
    let terms = Terms {
        role: Role::Server,
        offer: offer(),
        host_keys: vec![signer()],
        strict_required: false,
        rekey_bytes: SSH_REKEY_BYTES,
    };
    let mut server = Transport::new(Arc::new(terms), 0).expect("random bytes");
    let mut outbound = Outbound::default();
    let mut bytes = b"SSH-2.0-x\r\n".to_vec();
    for payload in payloads {
        outbound.seal(payload, &mut bytes);
    }
    server.feed(&bytes);
    server.next(0)
}

fn init() -> Vec<u8> {
    offer().write(Role::Client, [0; 16], true)
}

/// A KEXINIT without the marks.
fn plain_init() -> Vec<u8> {
    offer().write(Role::Client, [0; 16], false)
}

#[test]
fn nothing_stands_between_the_messages_of_a_strict_first_exchange() {
    let ignore = vec![number::IGNORE, 0, 0, 0, 0];
    assert_eq!(hostile(&[ignore.clone(), init()]), Err(Broken::Order));
    assert_eq!(hostile(&[init(), ignore.clone()]), Err(Broken::Order));
    assert_eq!(hostile(&[ignore.clone(), plain_init(), ignore.clone()]), Ok(Step::Need));
    assert_eq!(hostile(&[init(), init()]), Err(Broken::Order));
    assert_eq!(hostile(&[init(), vec![number::NEWKEYS]]), Err(Broken::Order));
    assert_eq!(hostile(&[vec![number::NEWKEYS]]), Err(Broken::Order));
    for early in [5u8, 7, 50, 80, 90, 94, 192, 8, 22, 255] {
        assert_eq!(hostile(&[plain_init(), vec![early, 0, 0, 0, 0]]), Err(Broken::Order));
        assert_eq!(hostile(&[vec![early, 0, 0, 0, 0]]), Err(Broken::Order));
    }
}

#[test]
fn a_wrong_guess_is_dropped_and_a_right_one_is_taken() {
    let guess = |right: bool| {
        let mut other = offer();
        if !right {
            other.methods.insert(0, Method::NistP256);
        }
        let mut init = other.write(Role::Client, [0; 16], true);
        let flag = init.len() - 5;
        init[flag] = 1;
        init
    };
    let garbage = vec![number::KEX_ECDH_INIT, 0, 0, 0, 1, 9];
    assert_eq!(hostile(&[guess(false), garbage.clone()]), Ok(Step::Need));
    assert_eq!(hostile(&[guess(true), garbage.clone()]), Err(Broken::Share));
    assert_eq!(hostile(&[guess(false), garbage.clone(), garbage]), Err(Broken::Share));
}

#[test]
fn a_host_key_that_nobody_knows_ends_the_exchange() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    for _ in 0..4 {
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        while sides[1].next(0) != Ok(Step::Need) {}
        let bytes = sides[1].take_output();
        sides[0].feed(&bytes);
        if sides[0].next(0) == Ok(Step::HostKey) {
            assert!(!sides[0].may_send());
            assert_eq!(sides[0].next(0), Ok(Step::Need));
            assert_eq!(sides[0].trust(false), Err(Broken::Untrusted));
            assert_eq!(sides[0].next(0), Err(Broken::Untrusted));
            return;
        }
    }
    panic!("no host key was shown");
}

/// A server that has heard the beginning of a client without strict key exchange.
fn with_a_peer_that_is_not_strict(strict_required: bool) -> Transport {
    let terms = Terms {
        role: Role::Server,
        offer: offer(),
        host_keys: vec![signer()],
        strict_required,
        rekey_bytes: SSH_REKEY_BYTES,
    };
    let mut server = Transport::new(Arc::new(terms), 0).expect("random bytes");
    let mut bytes = b"SSH-2.0-x\r\n".to_vec();
    Outbound::default().seal(&plain_init(), &mut bytes);
    server.feed(&bytes);
    server
}

#[test]
fn terrapin_needs_a_peer_without_strict_exchange_and_is_refused_if_asked() {
    let mut server = with_a_peer_that_is_not_strict(true);
    assert_eq!(server.next(0), Err(Broken::NotStrict));
}

#[test]
fn a_peer_without_strict_exchange_is_known_as_one() {
    let mut server = with_a_peer_that_is_not_strict(false);
    assert_eq!(server.next(0), Ok(Step::Need));
    assert!(server.is_truncatable());
    let mut strict = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut strict, usize::MAX);
    assert!(strict.iter().all(|side| !side.is_truncatable()));
}

#[test]
fn a_stranger_gets_few_exchanges() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut sides, usize::MAX);
    sides[1].logged_in = false;
    for round in 0..=SSH_LOGIN_EXCHANGES_MAX {
        sides[0].start_exchange(0).expect("random bytes");
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        let last = round == SSH_LOGIN_EXCHANGES_MAX;
        let expect = if last { Err(Broken::Flood) } else { Ok(Step::Need) };
        assert_eq!(sides[1].next(0), expect);
        if last {
            return;
        }
        settle(&mut sides, usize::MAX);
        sides[1].logged_in = false;
    }
}

#[test]
fn new_keys_are_asked_for_in_a_burst_and_then_once_a_second() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut sides, usize::MAX);
    let mut refused = None;
    for round in 0..2 * SSH_EXCHANGES_BURST {
        sides[0].start_exchange(0).expect("random bytes");
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        match sides[1].next(0) {
            Ok(_) => {
                settle(&mut sides, usize::MAX);
            }
            Err(cause) => {
                refused = Some((round, cause));
                break;
            }
        }
    }
    assert_eq!(refused, Some((SSH_EXCHANGES_BURST, Broken::Flood)));
}

#[test]
fn pings_are_answered_and_wait_for_new_keys() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut sides, usize::MAX);
    let mut ping = vec![number::PING];
    ping.put_string(b"data");
    sides[1].start_exchange(0).expect("random bytes");
    sides[0].outbound.seal(&ping, &mut sides[0].out);
    let bytes = sides[0].take_output();
    sides[1].feed(&bytes);
    assert_eq!(sides[1].next(0), Ok(Step::Need));
    assert_eq!(sides[1].pongs.len(), 1);
    // Nobody of weir's asks, so the answer is what ends this pair.
    let bytes = sides[1].take_output();
    sides[0].feed(&bytes);
    assert_eq!(sides[0].next(0), Ok(Step::Need));
    let bytes = sides[0].take_output();
    sides[1].feed(&bytes);
    assert_eq!(sides[1].next(0), Ok(Step::Need));
    assert!(sides[1].pongs.is_empty());
    let bytes = sides[1].take_output();
    sides[0].feed(&bytes);
    assert_eq!(sides[0].next(0), Err(Broken::Order));
}

#[test]
fn a_flood_of_pings_in_an_exchange_is_bounded() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut sides, usize::MAX);
    sides[1].start_exchange(0).expect("random bytes");
    let mut ping = vec![number::PING];
    ping.put_string(&[0; 1000]);
    let mut last = Ok(Step::Need);
    for _ in 0..100 {
        sides[0].outbound.seal(&ping, &mut sides[0].out);
        let bytes = sides[0].take_output();
        sides[1].feed(&bytes);
        last = sides[1].next(0);
    }
    assert_eq!(last, Err(Broken::Flood));
}

#[test]
fn an_exchange_that_stops_ends_in_time() {
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    assert_eq!(sides[0].handle_timeout(SSH_EXCHANGE_TIMEOUT_US - 1), Ok(()));
    assert_eq!(sides[0].handle_timeout(SSH_EXCHANGE_TIMEOUT_US), Err(Broken::Order));
    let mut sides = pair(&offer(), &signer(), SSH_REKEY_BYTES);
    settle(&mut sides, usize::MAX);
    assert_eq!(sides[0].next_timeout(), Some(SSH_REKEY_AGE_US));
    sides[0].handle_timeout(SSH_REKEY_AGE_US).expect("random bytes");
    assert!(!sides[0].may_send());
    settle(&mut sides, usize::MAX);
    assert!(sides[0].may_send() && sides[0].exchanges() == 2);
}
