use super::*;

fn protocol(name: &str) -> Protocol {
    match spoken(name) {
        Some(Spoken::Channels(protocol)) => protocol,
        other => panic!("{name}: {other:?}"),
    }
}

/// Everything a message says, taken in two pieces cut at `at`: bytes of a channel put together.
fn said(name: &str, message: &[u8], at: usize) -> Result<Vec<(u8, Vec<u8>, bool)>, Refused> {
    let mut messages = Messages::new(protocol(name), 5);
    let (head, tail) = message.split_at(at);
    let mut all: Vec<(u8, Vec<u8>, bool)> = Vec::new();
    for (piece, last) in [(head, false), (tail, true)] {
        match messages.take(piece, last)? {
            None => {}
            Some(Said::HalfClose(channel)) => all.push((channel, Vec::new(), true)),
            Some(Said::Bytes { channel, bytes }) => match all.last_mut() {
                Some((known, before, _)) if *known == channel => before.extend(bytes),
                _ => all.push((channel, bytes, false)),
            },
        }
    }
    // The next message begins anew.
    assert!(messages.take(if name.contains("64") { b"1" } else { b"\x01" }, true).is_ok());
    Ok(all)
}

/// A channel, its bytes, whether it is half closed.
type Heard<'a> = (u8, &'a [u8], bool);

fn check(name: &str, message: &[u8], expect: Result<&[Heard], Refused>) {
    let expect =
        expect.map(|all| all.iter().map(|(c, b, h)| (*c, b.to_vec(), *h)).collect::<Vec<_>>());
    for at in 0..=message.len() {
        let found = said(name, message, at);
        assert_eq!(found, expect, "{name} {} cut at {at}", message.escape_ascii());
    }
}

#[test]
fn the_first_byte_of_a_message_is_its_channel_wherever_frames_cut_it() {
    check("v4.channel.k8s.io", b"", Ok(&[]));
    check("v4.channel.k8s.io", b"\x00ls\n", Ok(&[(0, b"ls\n", false)]));
    check("v4.channel.k8s.io", b"\x01\x02\x03", Ok(&[(1, b"\x02\x03", false)]));
    check("v4.channel.k8s.io", b"\x02", Ok(&[(2, b"", false)]));
    check("v4.channel.k8s.io", b"\x05x", Err(Refused::Channel));
    check("v4.channel.k8s.io", b"\xff\x00", Err(Refused::Channel));
    check("v5.channel.k8s.io", b"\xff\x00", Ok(&[(0, b"", true)]));
    check("v5.channel.k8s.io", b"\xff", Err(Refused::Close));
    check("v5.channel.k8s.io", b"\xff\x05", Err(Refused::Close));
    check("v5.channel.k8s.io", b"\xff\x00\x00", Err(Refused::Close));
}

#[test]
fn base64_is_decoded_across_frames() {
    check("base64.channel.k8s.io", b"0Zm9vCgo=", Ok(&[(0, b"foo\n\n", false)]));
    check("v4.base64.channel.k8s.io", b"1Cg==", Ok(&[(1, b"\n", false)]));
    check("v4.base64.channel.k8s.io", b"1", Ok(&[(1, b"", false)]));
    check("v4.base64.channel.k8s.io", b"1Cg", Err(Refused::Base64));
    check("v4.base64.channel.k8s.io", b"1Cg==Cg==", Err(Refused::Base64));
    check("v4.base64.channel.k8s.io", b"1Zm9v\n", Err(Refused::Base64));
    check("v4.base64.channel.k8s.io", b"\x01Zm9v", Err(Refused::Channel));
    check("v4.base64.channel.k8s.io", b"9Zm9v", Err(Refused::Channel));
}

#[test]
fn an_offer_is_read_without_its_token() {
    fn check(values: &[&str], names: &[&str], token: Option<&str>) {
        let offer = Offer::read(values.iter().copied()).unwrap();
        assert_eq!(offer.names, names, "{values:?}");
        assert_eq!(offer.token.as_deref(), token.map(str::as_bytes), "{values:?}");
    }
    check(&[], &[], None);
    check(&["v5.channel.k8s.io"], &["v5.channel.k8s.io"], None);
    check(&["a, b", "c"], &["a", "b", "c"], None);
    check(&["SPDY/3.1+portforward.k8s.io"], &["SPDY/3.1+portforward.k8s.io"], None);
    let bearer = format!("{BEARER}{}", URL_SAFE_NO_PAD.encode("secret"));
    check(&[&bearer, "v4.channel.k8s.io"], &["v4.channel.k8s.io"], Some("secret"));
    let refused = [
        vec![bearer.as_str()],
        vec![&bearer, "a", &bearer],
        vec!["a,,b"],
        vec![""],
        vec!["a b"],
        vec!["base64url.bearer.authorization.k8s.io.*, a"],
        vec!["base64url.bearer.authorization.k8s.io., a"],
        vec!["a"; limits::KUBERNETES_SUBPROTOCOLS_MAX + 1],
    ];
    for values in refused {
        assert_eq!(Offer::read(values.into_iter()), Err(Refused::Offer));
    }
    assert_eq!(spoken("v5.channels.k8s.io"), None);
    assert_eq!(spoken("SPDY/3.1+portforward.k8s.io"), Some(Spoken::Tunnel));
}

#[test]
fn the_status_says_how_the_command_ended() {
    let success = br#"{"metadata":{},"status":"Success"}"#;
    let three = br#"{"status":"Failure","message":"command terminated with non-zero exit code: 3",
        "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
    assert_eq!(exit(4, success), Exit::Success);
    assert_eq!(exit(5, three), Exit::Code(3));
    let internal =
        br#"{"status":"Failure","message":"no such container","reason":"InternalError"}"#;
    assert_eq!(exit(4, internal), Exit::Failure("no such container".to_owned()));
    assert_eq!(exit(4, b""), Exit::Failure(String::new()));
    assert_eq!(exit(4, b"oops"), Exit::Failure("oops".to_owned()));
    assert_eq!(exit(1, b""), Exit::Success);
    assert_eq!(exit(1, b"oops"), Exit::Failure("oops".to_owned()));
    let zero = br#"{"status":"Failure","reason":"NonZeroExitCode",
        "details":{"causes":[{"reason":"ExitCode","message":"0"}]}}"#;
    assert_eq!(exit(4, zero), Exit::Failure(String::new()));
    assert_eq!(size(br#"{"Width":80,"Height":24}"#), Some((80, 24)));
    assert_eq!(size(br#"{"Width":80}"#), None);
    assert_eq!(size(br#"{"Width":70000,"Height":1}"#), None);
}

#[test]
fn a_message_is_read_as_it_was_written() {
    for (name, is_text) in [("v4.channel.k8s.io", false), ("base64.channel.k8s.io", true)] {
        let (text, message) = Messages::new(protocol(name), 5).message(3, b"{}\0\xff");
        assert_eq!(text, is_text);
        check(name, &message, Ok(&[(3, b"{}\0\xff", false)]));
    }
}
