use ring::signature::KeyPair as _;

use super::*;
use crate::identify::jwk::ALGORITHMS;
use crate::identify::testing::{Keys, encoded};

/// Monday 2026-03-02, 12:00:00 UTC.
const NOW_S: i64 = 1_772_452_800;
const ISSUER: &str = "https://id.example.com";

fn key_id(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => "P-256",
        "ES384" => "P-384",
        "EdDSA" => "Ed25519",
        _ => "RSA",
    }
}

fn signed(header: &str, claims: &str) -> String {
    encoded(header, claims, |message| Keys::shared().sign("EdDSA", message))
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"Ed25519","typ":"JWT"}"#;

/// Claims that are good, and what is put behind them.
fn claims(more: &str) -> String {
    let (from, until) = (NOW_S - 10, NOW_S + 600);
    format!(
        r#"{{"iss":"{ISSUER}","aud":["weir","other"],"nbf":{from},"iat":{from},"exp":{until},
        "email":"alice@example.com","groups":["dba","staff"]{more}}}"#
    )
}

fn policy() -> Policy {
    Policy {
        issuer: ISSUER.to_owned(),
        audience: "weir".to_owned(),
        username_claim: "email".to_owned(),
        groups_claim: "groups".to_owned(),
        username_prefix: String::new(),
        groups_prefix: String::new(),
        required: Vec::new(),
        algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
        leeway_s: 30,
    }
}

fn judge(token: &str, policy: &Policy, now_s: i64) -> Result<Bearer, Refused> {
    let keys = Keys::shared().set();
    let other = Policy { issuer: "https://other.example.com".to_owned(), ..policy.clone() };
    let issuers = [Issuer { policy: &other, keys: None }, Issuer { policy, keys: Some(&keys) }];
    verify(token.as_bytes(), &issuers, now_s * 1_000_000)
}

fn alice() -> Bearer {
    let groups = vec!["dba".to_owned(), "staff".to_owned()];
    let until_us = (NOW_S + 600 + 30) * 1_000_000;
    Bearer { user: "alice@example.com".to_owned(), groups, issuer: 1, until_us }
}

#[track_caller]
fn check(header: &str, claims: &str, expect: Fault) {
    let outcome = judge(&signed(header, claims), &policy(), NOW_S).map_err(|it| it.fault);
    assert_eq!(outcome, Err(expect), "{header} {claims}");
}

#[test]
fn every_algorithm_is_taken_with_a_key_of_its_kind() {
    for (name, _) in ALGORITHMS {
        let header = format!(r#"{{"alg":"{name}","kid":"{}"}}"#, key_id(name));
        let token = encoded(&header, &claims(""), |message| Keys::shared().sign(name, message));
        assert_eq!(judge(&token, &policy(), NOW_S), Ok(alice()), "{name}");
        // Without a key id the algorithm says which key is meant: there is one of each kind.
        let header = format!(r#"{{"alg":"{name}"}}"#);
        let token = encoded(&header, &claims(""), |message| Keys::shared().sign(name, message));
        assert_eq!(judge(&token, &policy(), NOW_S), Ok(alice()), "{name} without kid");
    }
}

#[test]
fn an_algorithm_that_proves_nothing_is_refused() {
    for name in ["none", "None", "HS256", "HS384", "HS512", "eddsa", "ES512", "RSA-OAEP", ""] {
        let header = format!(r#"{{"alg":"{name}","kid":"Ed25519"}}"#);
        check(&header, &claims(""), Fault::Algorithm);
    }
    let bare =
        format!("{}.{}.", BASE64URL.encode(r#"{"alg":"none"}"#), BASE64URL.encode(claims("")));
    assert_eq!(judge(&bare, &policy(), NOW_S), Err(Fault::Algorithm.into()));
    // The public key as the secret of an HMAC: the classic of 2015.
    let set = Keys::shared().ed.public_key().as_ref().to_vec();
    let header = r#"{"alg":"HS256","kid":"Ed25519"}"#;
    let token = encoded(header, &claims(""), |message| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &set);
        ring::hmac::sign(&key, message).as_ref().to_vec()
    });
    assert_eq!(judge(&token, &policy(), NOW_S), Err(Fault::Algorithm.into()));
}

#[test]
fn an_algorithm_of_another_kind_than_the_key_is_refused() {
    for (name, _) in ALGORITHMS {
        for id in ["RSA", "P-256", "P-384", "Ed25519"] {
            let header = format!(r#"{{"alg":"{name}","kid":"{id}"}}"#);
            let token = encoded(&header, &claims(""), |message| Keys::shared().sign(name, message));
            let expect =
                if id == key_id(name) { Ok(alice()) } else { Err(Fault::Algorithm.into()) };
            assert_eq!(judge(&token, &policy(), NOW_S), expect, "{name} {id}");
        }
    }
}

#[test]
fn an_algorithm_the_operator_does_not_want_is_refused() {
    let strict = Policy { algorithms: vec![Algorithm::Es256], ..policy() };
    let outcome = judge(&signed(HEADER, &claims("")), &strict, NOW_S);
    assert_eq!(outcome, Err(Fault::Algorithm.into()));
}

#[test]
fn a_key_that_nobody_knows_may_be_a_new_one() {
    let outcome = judge(&signed(r#"{"alg":"EdDSA","kid":"new"}"#, &claims("")), &policy(), NOW_S);
    assert_eq!(outcome, Err(Refused { fault: Fault::Key, stale: Some(1) }));
    let claims = claims("").replace(ISSUER, "https://other.example.com");
    let outcome = judge(&signed(HEADER, &claims), &policy(), NOW_S);
    assert_eq!(outcome, Err(Refused { fault: Fault::NoKeys, stale: Some(0) }));
}

#[test]
fn a_changed_byte_is_found() {
    let token = signed(HEADER, &claims(""));
    let parts: Vec<&str> = token.split('.').collect();
    let other = BASE64URL.encode(claims("").replace("alice", "mallo"));
    let swapped = format!("{}.{other}.{}", parts[0], parts[2]);
    assert_eq!(judge(&swapped, &policy(), NOW_S), Err(Fault::Signature.into()));
    for (name, _) in ALGORITHMS {
        let header = format!(r#"{{"alg":"{name}","kid":"{}"}}"#, key_id(name));
        let bad = encoded(&header, &claims(""), |message| {
            let mut signed = Keys::shared().sign(name, message);
            let middle = signed.len() / 2;
            signed[middle] ^= 1;
            signed
        });
        assert_eq!(judge(&bad, &policy(), NOW_S), Err(Fault::Signature.into()), "{name}");
        let short = encoded(&header, &claims(""), |_| vec![0; 3]);
        assert_eq!(judge(&short, &policy(), NOW_S), Err(Fault::Signature.into()), "{name}");
    }
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    check(HEADER, &claims("").replace(ISSUER, "https://id.example.com/"), Fault::Issuer);
    check(HEADER, &claims("").replace(ISSUER, "https://ID.example.com"), Fault::Issuer);
    check(HEADER, &claims("").replace(&format!("\"{ISSUER}\""), "7"), Fault::Issuer);
    check(HEADER, r#"{"aud":"weir","exp":9999999999}"#, Fault::Issuer);
    let aud = |value: &str| claims("").replace(r#"["weir","other"]"#, value);
    assert_eq!(judge(&signed(HEADER, &aud("\"weir\"")), &policy(), NOW_S), Ok(alice()));
    for wrong in ["\"weir2\"", "\"Weir\"", "[\"other\"]", "[]", "7", "{\"weir\":1}", "[[\"weir\"]]"]
    {
        check(HEADER, &aud(wrong), Fault::Audience);
    }
}

#[test]
fn a_token_is_good_for_its_time_only() {
    let token = signed(HEADER, &claims(""));
    let at = |second: i64| judge(&token, &policy(), NOW_S + second).map_err(|it| it.fault);
    assert_eq!(at(0), Ok(alice()));
    assert_eq!(at(629), Ok(alice()), "within the leeway");
    assert_eq!(at(630), Err(Fault::Expired));
    assert_eq!(at(-40), Ok(alice()), "within the leeway");
    assert_eq!(at(-41), Err(Fault::NotYet));
    let until = format!("\"exp\":{}", NOW_S + 600);
    let exp = |value: &str| claims("").replace(&until, value);
    check(HEADER, &exp("\"x\":1"), Fault::Kind);
    check(HEADER, &exp("\"exp\":\"9999999999\""), Fault::Malformed);
    check(HEADER, &exp("\"exp\":-1"), Fault::Expired);
    check(HEADER, &exp("\"exp\":0.5"), Fault::Expired);
    let far = signed(HEADER, &exp("\"exp\":1e300"));
    let for_ever = Bearer { until_us: i64::MAX, ..alice() };
    assert_eq!(judge(&far, &policy(), NOW_S), Ok(for_ever));
    let half = signed(HEADER, &exp(&format!("\"exp\":{}.5", NOW_S + 600)));
    assert_eq!(judge(&half, &policy(), NOW_S), Ok(alice()));
}

#[test]
fn tokens_for_other_things_are_refused() {
    let header = |more: &str| format!(r#"{{"alg":"EdDSA","kid":"Ed25519"{more}}}"#);
    for kind in ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", "application/x"] {
        check(&header(&format!(",\"typ\":\"{kind}\"")), &claims(""), Fault::Kind);
    }
    for kind in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        let token = signed(&header(&format!(",\"typ\":\"{kind}\"")), &claims(""));
        assert_eq!(judge(&token, &policy(), NOW_S), Ok(alice()), "{kind}");
    }
    check(&header(",\"typ\":7"), &claims(""), Fault::Malformed);
    check(&header(",\"crit\":[\"b64\"],\"b64\":false"), &claims(""), Fault::Kind);
    check(&header(",\"crit\":[]"), &claims(""), Fault::Kind);
    check(HEADER, &claims(",\"cnf\":{\"jkt\":\"x\"}"), Fault::Bound);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    check(r#"{"alg":"EdDSA","alg":"none"}"#, &claims(""), Fault::Malformed);
    check(HEADER, &claims(",\"email\":\"root@example.com\""), Fault::Malformed);
    check(HEADER, &claims(",\"x\":{\"a\":1,\"a\":2}"), Fault::Malformed);
}

#[test]
fn what_is_no_token_is_refused() {
    let good = signed(HEADER, &claims(""));
    for text in [
        "",
        ".",
        "..",
        "a password",
        "hunter2",
        "e30.e30.",
        "e30.e30.e30.e30.e30",
        &format!("{good}."),
        &format!("{good}="),
        &format!(" {good}"),
        &format!("{good}\n"),
        &good.replace('.', "+"),
        &format!("{}.W10.e30", BASE64URL.encode(HEADER)),
    ] {
        let outcome = judge(text, &policy(), NOW_S).map_err(|it| it.fault);
        assert_eq!(outcome, Err(Fault::Malformed), "{text}");
    }
    let huge = claims(&format!(",\"x\":\"{}\"", "x".repeat(limits::TOKEN_BYTES_MAX)));
    check(HEADER, &huge, Fault::Size);
    check(r#"{"kid":"Ed25519"}"#, &claims(""), Fault::Malformed);
    check(r#"{"alg":"EdDSA","kid":7}"#, &claims(""), Fault::Malformed);
}

#[test]
fn the_bearer_is_who_the_claims_say() {
    let with = |policy: Policy, more: &str| {
        let outcome = judge(&signed(HEADER, &claims(more)), &policy, NOW_S);
        outcome.map(|bearer| format!("{} {}", bearer.user, bearer.groups.join(",")))
    };
    let named = |user: &str, groups: &str| Policy {
        username_claim: user.to_owned(),
        groups_claim: groups.to_owned(),
        ..policy()
    };
    let identity = || Err(Refused::from(Fault::Identity));
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(with(named("sub", "roles"), ",\"sub\":\"u1\",\"roles\":\"dba\""), ok("u1 dba"));
    assert_eq!(with(named("sub", "none"), ",\"sub\":\"u1\""), ok("u1 "));
    assert_eq!(with(named("sub", "none"), ",\"sub\":\"u1\",\"none\":null"), ok("u1 "));
    let nested = ",\"sub\":\"u\",\"realm_access\":{\"roles\":[\"a\"],\"x/y\":[\"b\"]}";
    assert_eq!(with(named("sub", "/realm_access/roles"), nested), ok("u a"));
    assert_eq!(with(named("sub", "/realm_access/x~1y"), nested), ok("u b"));
    assert_eq!(with(named("sub", "/realm_access/z"), nested), ok("u "));
    // A name that only looks like a path.
    let odd = ",\"sub\":\"u\",\"/a/b\":[\"c\"]";
    assert_eq!(with(named("sub", "/a/b"), odd), ok("u c"));
    let dotted = ",\"https://example.com/groups\":[\"c\"],\"sub\":\"u\"";
    assert_eq!(with(named("sub", "https://example.com/groups"), dotted), ok("u c"));
    for sub in ["7", "\"\"", "\"a\\u0000b\"", "\"a\\nb\"", "[\"a\"]", "null"] {
        assert_eq!(with(named("sub", "groups"), &format!(",\"sub\":{sub}")), identity(), "{sub}");
    }
    let long = format!(",\"sub\":\"{}\"", "x".repeat(limits::NAME_BYTES_MAX + 1));
    assert_eq!(with(named("sub", "groups"), &long), identity());
    assert_eq!(with(named("sub", "groups"), ""), identity());
    for groups in ["7", "{}", "[7]", "[\"a\",null]", "[\"\"]", "\"\""] {
        let more = format!(",\"roles\":{groups}");
        assert_eq!(with(named("email", "roles"), &more), identity(), "{groups}");
    }
    let many = vec!["\"g\""; limits::TOKEN_GROUPS_MAX + 1].join(",");
    assert_eq!(with(named("email", "roles"), &format!(",\"roles\":[{many}]")), identity());
}

#[test]
fn two_issuers_cannot_name_one_person() {
    let policy =
        Policy { username_prefix: "ci:".to_owned(), groups_prefix: "corp/".to_owned(), ..policy() };
    let bearer = judge(&signed(HEADER, &claims("")), &policy, NOW_S).unwrap();
    assert_eq!(bearer.user, "ci:alice@example.com");
    assert_eq!(bearer.groups, ["corp/dba", "corp/staff"]);
}

#[test]
fn claims_that_are_asked_for_have_to_be_there() {
    let with = |name: &str, wanted: Value| {
        let policy = Policy { required: vec![(name.to_owned(), wanted)], ..policy() };
        let more = ",\"hd\":\"example.com\",\"n\":2,\"b\":true,\"o\":{\"p\":\"q\"}";
        judge(&signed(HEADER, &claims(more)), &policy, NOW_S).map_err(|it| it.fault)
    };
    assert_eq!(with("hd", "example.com".into()), Ok(alice()));
    assert_eq!(with("n", 2.into()), Ok(alice()));
    assert_eq!(with("b", true.into()), Ok(alice()));
    assert_eq!(with("/o/p", "q".into()), Ok(alice()));
    assert_eq!(with("groups", "dba".into()), Ok(alice()));
    for (name, wanted) in [
        ("hd", Value::from("example.org")),
        ("hd", Value::from(true)),
        ("n", Value::from("2")),
        ("b", Value::from(false)),
        ("none", Value::from("x")),
        ("none", Value::Null),
        ("groups", Value::from("db")),
        ("o", Value::from("q")),
    ] {
        assert_eq!(with(name, wanted), Err(Fault::Claims), "{name}");
    }
}

#[test]
fn an_address_that_was_not_verified_is_nobody() {
    let outcome = |more: &str| judge(&signed(HEADER, &claims(more)), &policy(), NOW_S);
    assert_eq!(outcome(",\"email_verified\":true"), Ok(alice()));
    assert_eq!(outcome(",\"email_verified\":\"true\""), Ok(alice()));
    for value in ["false", "\"false\"", "null", "1"] {
        let refused = outcome(&format!(",\"email_verified\":{value}"));
        assert_eq!(refused, Err(Fault::Identity.into()), "{value}");
    }
}

#[test]
fn claims_are_looked_at_only_after_the_signature() {
    // Everything is wrong with it, and only the signature is said: nobody learns of a policy from
    // a token that they made.
    let claims = format!(r#"{{"iss":"{ISSUER}","exp":1}}"#);
    let forged = encoded(HEADER, &claims, |_| vec![7; 64]);
    assert_eq!(judge(&forged, &policy(), NOW_S), Err(Fault::Signature.into()));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let keys = Keys::shared().set();
        let policy = policy();
        let issuers = [Issuer { policy: &policy, keys: Some(&keys) }];
        proptest::prop_assert!(verify(&bytes, &issuers, NOW_S * 1_000_000).is_err());
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn no_header_and_claims_panic(header in "\\PC{0,80}", claims in "\\PC{0,80}", more in "\\PC{0,40}") {
        let token = format!("{}.{}.{more}", BASE64URL.encode(&header), BASE64URL.encode(&claims));
        proptest::prop_assert!(judge(&token, &policy(), NOW_S).is_err());
    }

    #[test]
    fn a_token_with_one_byte_changed_is_never_taken(at in 0usize..10_000, bit in 0u32..8) {
        let mut token = signed(HEADER, &claims("")).into_bytes();
        let at = at % token.len();
        token[at] ^= 1u8 << bit;
        let keys = Keys::shared().set();
        let policy = policy();
        let issuers = [Issuer { policy: &policy, keys: Some(&keys) }];
        proptest::prop_assert!(verify(&token, &issuers, NOW_S * 1_000_000).is_err());
    }
}
