//! Minor versions of the protocol and the cancel keys that come with them.

use super::*;

/// A client of this minor version logs in; the target answers `target`. Gives what the client was
/// told before the SASL request, the version that the target was asked for, and the client's key.
fn login(bench: &mut Bench, minor: u16, target: &[u8]) -> (Option<u16>, u16, Vec<u8>) {
    let mut packet = Vec::new();
    let params = [(&b"user"[..], &b"bot"[..]), (b"database", b"orders")];
    reply::startup(&mut packet, minor, params.into_iter());
    bench.client(&packet);
    let told = messages(&bench.take(Side::Client));
    let negotiated = told.iter().find(|(tag, _)| *tag == b'v');
    let negotiated = negotiated.map(|(_, body)| u16::from_be_bytes([body[2], body[3]]));
    assert_eq!(told.last().map(|(tag, _)| *tag), Some(b'R'));
    bench.client_scram("secret");
    bench.dialed();
    let startup = bench.take(Side::Server);
    bench.server(target);
    let said = messages(&bench.take(Side::Client));
    let key = said.iter().find(|(tag, _)| *tag == b'K');
    let key = key.map(|(_, body)| body.clone()).unwrap_or_default();
    (negotiated, u16::from_be_bytes([startup[6], startup[7]]), key)
}

fn target(negotiated: Option<u16>, key: &[u8]) -> Vec<u8> {
    let refused = negotiated.map(|minor| {
        let version = (0x0003_0000 | u32::from(minor)).to_be_bytes();
        message(b'v', &[&version[..], &[0; 4]].concat())
    });
    [refused.unwrap_or_default(), message(b'R', &[0; 4]), message(b'K', key), message(b'Z', b"I")]
        .concat()
}

const SHORT: &[u8] = b"\0\0\0\x07key!";
const LONG: &[u8] = b"\0\0\0\x07a key of thirty-two bytes, say..";

fn key_at_target(bench: &mut Bench) -> Vec<u8> {
    bench.outputs.clear();
    bench.with(|m, s| m.handle_cancel(s));
    match bench.outputs.as_slice() {
        [Output::Errand(_, key)] => key.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_long_key_passes_to_a_client_that_knows_of_it() {
    let mut bench = Bench::fresh();
    assert_eq!(login(&mut bench, 2, &target(None, LONG)), (None, 2, LONG.to_vec()));
    assert_eq!(key_at_target(&mut bench), LONG);
    let mut newest = Bench::fresh();
    assert_eq!(login(&mut newest, 9999, &target(None, LONG)), (Some(2), 2, LONG.to_vec()));
    let mut old = Bench::fresh();
    assert_eq!(login(&mut old, 0, &target(None, SHORT)), (None, 0, SHORT.to_vec()));
}

#[test]
fn an_older_target_is_learned_of_and_its_version_told() {
    let mut first = Bench::fresh();
    assert_eq!(login(&mut first, 2, &target(Some(0), SHORT)), (None, 2, SHORT.to_vec()));
    let mut second = first.another();
    assert_eq!(login(&mut second, 2, &target(Some(0), SHORT)), (Some(0), 2, SHORT.to_vec()));
    // It was upgraded: this client was told of 3.0 and gets a key of that form, which works.
    let mut third = first.another();
    assert_eq!(login(&mut third, 2, &target(None, LONG)), (Some(0), 2, LONG[..8].to_vec()));
    assert_eq!(key_at_target(&mut third), LONG);
    let mut fourth = first.another();
    assert_eq!(login(&mut fourth, 2, &target(None, LONG)), (None, 2, LONG.to_vec()));
}

#[test]
fn a_key_of_another_length_ends_the_login() {
    for (minor, key) in [(0, LONG), (0, &SHORT[..7]), (2, &SHORT[..7]), (2, &[0; 261][..])] {
        let mut bench = Bench::fresh();
        let (_, _, got) = login(&mut bench, minor, &target(None, key));
        assert!(got.is_empty() && bench.machine.is_closed(), "3.{minor}, {} bytes", key.len());
    }
}
