use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_700_000_000_000_000;

fn users() -> Vec<User> {
    let user = |name: &str, groups: &[&str]| User {
        name: name.to_owned(),
        verifier: None,
        keys: Vec::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    vec![user("ci", &["agents"]), user("ann", &["dba"])]
}

fn kept(secret: &str, id: u8, user: &str) -> Kept {
    let until_us = NOW + 1_000;
    Kept { user: user.to_owned(), until_us, ..Kept::of(secret, TokenId([id; 8])) }
}

#[test]
fn a_secret_is_told_by_its_form() {
    let secret = secret(&[7; 32]);
    assert_eq!(secret.len(), LENGTH);
    assert!(secret.starts_with("weir_"));
    assert!(is_one(secret.as_bytes()));
    for at in 0..secret.len() {
        assert!(!is_one(&secret.as_bytes()[..at]), "cut at {at}");
        let mut other = secret.clone().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        assert!(!is_one(&other), "another byte at {at}");
    }
    assert!(!is_one(format!("{secret}0").as_bytes()));
    assert!(!is_one(b"") && !is_one(b"weir_") && !is_one(&[0xff; LENGTH]));
    assert_eq!(self::secret(&[0; 32]).get(5..48), Some("0".repeat(43).as_str()));
    assert!(is_one(self::secret(&[0xff; 32]).as_bytes()), "the largest number has room");
}

#[test]
fn records_show_that_there_was_one_and_not_which() {
    let (one, two) = (secret(&[7; 32]), secret(&[8; 32]));
    let text = format!("GET /{one}?t={two}&weir_{one}weir_ HTTP/1.1");
    let stars = format!("weir_{}", "*".repeat(LENGTH - PREFIX.len()));
    let hides = format!("GET /{stars}?t={stars}&weir_{stars}weir_ HTTP/1.1");
    assert_eq!(hidden(text.as_bytes()), Some(hides.into_bytes()));
    let digits = &one[PREFIX.len()..];
    for start in
        ["a=weir%5f", "a=%77eir_", "{\"t\":\"\\u0077eir_", "weir\\u005F", "%77%65%69%72%5F"]
    {
        let hides = format!("{start}{}&b", "*".repeat(digits.len()));
        assert_eq!(hidden(format!("{start}{digits}&b").as_bytes()), Some(hides.into_bytes()));
    }
    // What has not its checksum is somebody's text.
    let other = one.replace('_', "-");
    for text in ["", "weir_", &other, &one[1..], &one[..LENGTH - 1], &"weir_x".repeat(30)] {
        assert_eq!(hidden(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_secret_stands_for_its_user_until_it_is_over() {
    let (one, two) = (secret(&[1; 32]), secret(&[2; 32]));
    let set = Set::default().with(kept(&one, 1, "ci")).with(kept(&two, 2, "ann"));
    let users = users();
    let check = |secret: &str, given: &str, now_us: i64, expect: Result<&str, Fault>| {
        let found = set.bearer(secret.as_bytes(), (given, &users), now_us);
        let found = found.map(|(identity, _)| identity.user);
        assert_eq!(found, expect.map(str::to_owned), "{secret} as {given}");
    };
    check(&one, "", NOW, Ok("ci"));
    check(&one, "ci", NOW, Ok("ci"));
    check(&one, "x-access-token", NOW, Ok("ci"));
    check(&one, "ann", NOW, Err(Fault::Owner));
    check(&two, "ann", NOW + 999, Ok("ann"));
    check(&two, "ann", NOW + 1_000, Err(Fault::Expired));
    check(&secret(&[3; 32]), "", NOW, Err(Fault::Revoked));
    let (identity, until_us) = set.bearer(one.as_bytes(), ("", &users), NOW).unwrap();
    assert_eq!((identity.groups.as_slice(), until_us), (&["agents".to_owned()][..], NOW + 1_000));
    assert_eq!(identity.method.name(), "token");
}

#[test]
fn what_is_revoked_expired_or_of_nobody_proves_nothing_any_more() {
    let one = secret(&[1; 32]);
    let set = Set::default().with(kept(&one, 1, "ci"));
    let users = users();
    let (identity, _) = set.bearer(one.as_bytes(), ("", &users), NOW).unwrap();
    assert_eq!(set.refuses(&identity, &users, NOW), None);
    assert_eq!(set.refuses(&identity, &users, NOW + 1_000), Some(Fault::Expired));
    assert_eq!(set.refuses(&identity, &users[1..], NOW), Some(Fault::Revoked));
    let without = set.only(|kept| kept.id != TokenId([1; 8]));
    assert_eq!(without.refuses(&identity, &users, NOW), Some(Fault::Revoked));
    assert_eq!(without.bearer(one.as_bytes(), ("", &users), NOW), Err(Fault::Revoked));
    assert_eq!(set.bearer(one.as_bytes(), ("", &users[1..]), NOW), Err(Fault::Revoked));
    let other = Identity { method: Method::Basic, ..identity };
    assert_eq!(without.refuses(&other, &[], NOW), None, "who came by something else stays");
    assert!(set.live(TokenId([1; 8]), NOW).is_some() && set.live(TokenId([2; 8]), NOW).is_none());
}

#[test]
fn a_file_has_no_secret_and_is_read_as_it_was_written() {
    let one = secret(&[1; 32]);
    let mut set = Set::default();
    for id in 0..20 {
        set = set.with(kept(&secret(&[id; 32]), id, "ci"));
    }
    let text = set.to_json();
    assert!(!text.contains(PREFIX) && !text.contains(&one[5..]));
    assert_eq!(Set::parse(text.as_bytes()).unwrap(), set);
    for cut in 0..text.trim_end().len() {
        assert!(Set::parse(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Set::parse(text.replace("\"version\": 1", "\"version\": 2").as_bytes()).is_err());
    let twice = set.with(kept(&secret(&[99; 32]), 1, "ann"));
    assert!(Set::parse(twice.to_json().as_bytes()).is_err(), "an id twice");
}

proptest! {
    #[test]
    fn every_secret_has_the_form_and_its_own_digits(one: [u8; 32], other: [u8; 32]) {
        prop_assert!(is_one(secret(&one).as_bytes()));
        prop_assert_eq!(one == other, secret(&one) == secret(&other));
    }

    #[test]
    fn whatever_is_no_secret_finds_nobody(text: Vec<u8>, ids: Vec<u8>) {
        let mut set = Set::default();
        for id in ids {
            set = set.with(kept(&secret(&[id; 32]), id, "ci"));
        }
        prop_assert!(set.bearer(&text, ("", &users()), NOW).is_err());
        // Whatever the file says, it is refused or read.
        let _ = Set::parse(&text);
    }

    #[test]
    fn an_id_is_read_as_it_is_shown(bytes: [u8; 8], text in "[0-9a-f+-]{0,18}") {
        let id = TokenId::from(bytes);
        prop_assert_eq!(TokenId::parse(&id.to_string()), Some(id));
        if let Some(read) = TokenId::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
