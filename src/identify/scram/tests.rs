use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

/// The exchange of RFC 7677, section 3.
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn verifier(password: &str) -> Verifier {
    Verifier::from_password(password, &BASE64.decode(SALT).unwrap(), 4096)
}

fn rfc_server() -> ServerExchange {
    static PENCIL: LazyLock<Verifier> = LazyLock::new(|| verifier("pencil"));
    let mut server = ServerExchange::new("user", Some(&PENCIL), &[0; 32], &[]);
    server.server_nonce = SERVER_NONCE.to_owned();
    server
}

fn rfc_client() -> ClientExchange {
    ClientExchange::for_user("user", "pencil", CLIENT_NONCE, Binding::None)
}

#[test]
fn both_roles_reproduce_rfc_7677() {
    let mut server = rfc_server();
    assert_eq!(server.client_first(CLIENT_FIRST.as_bytes()).unwrap(), SERVER_FIRST.as_bytes());
    assert_eq!(server.client_final(CLIENT_FINAL.as_bytes()).unwrap(), SERVER_FINAL.as_bytes());

    let mut client = rfc_client();
    let mut cache = SaltedCache::new();
    assert_eq!(client.first(), CLIENT_FIRST.as_bytes());
    assert_eq!(
        client.server_first(SERVER_FIRST.as_bytes(), &mut cache).unwrap(),
        CLIENT_FINAL.as_bytes()
    );
    assert_eq!(client.server_final(SERVER_FINAL.as_bytes()), Ok(()));
}

#[test]
fn every_truncation_is_refused_by_both_roles() {
    for length in 0..CLIENT_FIRST.len() {
        // A shorter nonce is a nonce: the message is whole from `r=x` on.
        let whole = length > "n,,n=user,r=".len();
        let outcome = rfc_server().client_first(&CLIENT_FIRST.as_bytes()[..length]);
        assert_eq!(outcome.is_ok(), whole, "client-first cut at {length}");
    }
    for length in 0..CLIENT_FINAL.len() {
        let mut server = rfc_server();
        server.client_first(CLIENT_FIRST.as_bytes()).unwrap();
        let outcome = server.client_final(&CLIENT_FINAL.as_bytes()[..length]);
        assert!(outcome.is_err(), "client-final cut at {length}");
    }
    for length in 0..SERVER_FINAL.len() {
        let mut client = rfc_client();
        client.server_first(SERVER_FIRST.as_bytes(), &mut SaltedCache::new()).unwrap();
        let outcome = client.server_final(&SERVER_FINAL.as_bytes()[..length]);
        assert!(outcome.is_err(), "server-final cut at {length}");
    }
    let mut cache = SaltedCache::new();
    for length in 0..SERVER_FIRST.len() {
        let outcome = rfc_client().server_first(&SERVER_FIRST.as_bytes()[..length], &mut cache);
        // A shorter iteration count is a count.
        let whole = length > SERVER_FIRST.len() - "4096".len();
        assert_eq!(outcome.is_ok(), whole, "server-first cut at {length}");
    }
}

#[test]
fn client_first_is_taken_or_refused_for_a_stated_reason() {
    fn check(mechanism: &str, message: &str, expect: Result<(), ScramError>) {
        let outcome = rfc_server().begin(mechanism.as_bytes(), message.as_bytes()).map(drop);
        assert_eq!(outcome, expect, "{mechanism} {message}");
    }
    check(MECHANISM, "n,,n=,r=abc", Ok(()));
    check(MECHANISM, "y,,n=,r=abc", Ok(()));
    check(MECHANISM, "n,,n=,r=abc,x=later", Ok(()));
    check(MECHANISM, "p=tls-server-end-point,,n=,r=abc", Err(ScramError::ChannelBinding));
    check(MECHANISM, "n,a=other,n=,r=abc", Err(ScramError::AuthorizationId));
    check(MECHANISM, "n,,m=must,n=,r=abc", Err(ScramError::Extension));
    for message in [
        "x,,n=,r=abc",
        "n,b=x,n=,r=abc",
        "n,,r=abc",
        "n,,n=,r=",
        "n,,n=,r=a b",
        "n,,n=,r=abc,",
        "n,,n=,r=abc,1=x",
    ] {
        check(MECHANISM, message, Err(ScramError::Malformed));
    }
    check("SCRAM-SHA-1", "n,,n=,r=abc", Err(ScramError::Malformed));
    check(MECHANISM_PLUS, "p=tls-server-end-point,,n=,r=abc", Err(ScramError::Malformed));
}

#[test]
fn with_a_channel_to_bind_to_a_client_that_could_must() {
    fn check(mechanism: &str, message: &str, expect: Result<(), ScramError>) {
        let mut server = rfc_server().bound_to(Some(vec![1; 32]));
        assert_eq!(server.mechanisms(), [MECHANISM_PLUS, MECHANISM]);
        let outcome = server.begin(mechanism.as_bytes(), message.as_bytes()).map(drop);
        assert_eq!(outcome, expect, "{mechanism} {message}");
    }
    check(MECHANISM, "n,,n=,r=abc", Ok(()));
    check(MECHANISM, "y,,n=,r=abc", Err(ScramError::Downgrade));
    check(MECHANISM, "p=tls-server-end-point,,n=,r=abc", Err(ScramError::ChannelBinding));
    check(MECHANISM_PLUS, "p=tls-server-end-point,,n=,r=abc", Ok(()));
    check(MECHANISM_PLUS, "p=tls-unique,,n=,r=abc", Err(ScramError::ChannelBinding));
    check(MECHANISM_PLUS, "n,,n=,r=abc", Err(ScramError::ChannelBinding));
    check(MECHANISM_PLUS, "y,,n=,r=abc", Err(ScramError::ChannelBinding));
}

#[test]
fn both_roles_bind_to_the_same_certificate_or_fail() {
    fn check(theirs: &[u8], expect: Result<(), ScramError>) {
        let mut server = rfc_server().bound_to(Some(vec![1; 32]));
        let binding = Binding::EndPoint(theirs.to_vec());
        let mut client = ClientExchange::new("pencil", "abc", binding);
        let challenge = server.begin(MECHANISM_PLUS.as_bytes(), &client.first()).unwrap();
        assert!(server.is_bound());
        let mut cache = SaltedCache::new();
        let last = client.server_first(&challenge, &mut cache).unwrap();
        let outcome = server.client_final(&last);
        let outcome = outcome.map(|signature| client.server_final(&signature).unwrap());
        assert_eq!(outcome, expect);
    }
    check(&[1; 32], Ok(()));
    check(&[2; 32], Err(ScramError::ChannelBinding));
    check(&[], Err(ScramError::ChannelBinding));
}

#[test]
fn client_final_repeats_header_and_nonce_exactly() {
    fn check(first: &str, change: fn(String) -> String, expect: ScramError) {
        let mut server = rfc_server();
        server.client_first(first.as_bytes()).unwrap();
        let message = change(CLIENT_FINAL.to_owned());
        assert_eq!(server.client_final(message.as_bytes()), Err(expect), "{message}");
    }
    check(CLIENT_FIRST, |m| m.replace("c=biws", "c=eSws"), ScramError::ChannelBinding);
    check(&CLIENT_FIRST.replace("n,,", "y,,"), |m| m, ScramError::ChannelBinding);
    check(CLIENT_FIRST, |m| m.replace("k0,p=", "k1,p="), ScramError::Nonce);
    check(CLIENT_FIRST, |m| m.replace("r=rOpr", "r=xOpr"), ScramError::Nonce);
    check(CLIENT_FIRST, |m| m.replace("p=dHzb", "p=dHzc"), ScramError::Credentials);
    check(CLIENT_FIRST, |m| m.replace(",p=", ",x=1,p="), ScramError::Credentials);
    check(CLIENT_FIRST, |m| format!("{m},x=1"), ScramError::Malformed);
    check(CLIENT_FIRST, |m| m.replace("VQ=", "VQ"), ScramError::Malformed);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let seed = [7; 32];
    let answer = |user: &str, verifier: Option<&Verifier>| {
        let mut server = ServerExchange::new(user, verifier, &seed, &[1; 18]);
        let mut client = ClientExchange::new("guess", "nonce", Binding::None);
        let first = server.client_first(&client.first()).unwrap();
        let last = client.server_first(&first, &mut SaltedCache::new()).unwrap();
        (String::from_utf8(first).unwrap(), server.client_final(&last))
    };
    let (first, outcome) = answer("nobody", None);
    assert_eq!(outcome, Err(ScramError::Credentials));
    assert_eq!(answer("nobody", None).0, first, "the salt of an unknown user is stable");
    assert_ne!(answer("nobody-else", None).0, first);
    let known = verifier("right");
    let (known_first, outcome) = answer("somebody", Some(&known));
    assert_eq!(outcome, Err(ScramError::Credentials));
    assert_eq!(known_first.len(), first.len());
    assert!(first.ends_with(",i=4096"));
}

#[test]
fn a_mock_verifier_never_lets_in() {
    // Even someone who can compute the mock's keys is refused: the flag decides, not luck.
    let seed = [7; 32];
    let mut server = ServerExchange::new("nobody", None, &seed, &[1; 18]);
    server.verifier = verifier("pencil");
    let mut client = ClientExchange::new("pencil", "nonce", Binding::None);
    let first = server.client_first(&client.first()).unwrap();
    let last = client.server_first(&first, &mut SaltedCache::new()).unwrap();
    assert_eq!(server.client_final(&last), Err(ScramError::Credentials));
}

#[test]
fn messages_out_of_order_are_refused() {
    let mut server = rfc_server();
    assert_eq!(server.client_final(CLIENT_FINAL.as_bytes()), Err(ScramError::Order));
    assert_eq!(server.client_first(CLIENT_FIRST.as_bytes()), Err(ScramError::Order));
    let mut server = rfc_server();
    server.client_first(CLIENT_FIRST.as_bytes()).unwrap();
    server.client_final(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(server.client_final(CLIENT_FINAL.as_bytes()), Err(ScramError::Order));

    let mut client = rfc_client();
    assert_eq!(client.server_final(SERVER_FINAL.as_bytes()), Err(ScramError::Order));
    let outcome = client.server_first(SERVER_FIRST.as_bytes(), &mut SaltedCache::new());
    assert_eq!(outcome, Err(ScramError::Order));
}

#[test]
fn the_client_refuses_a_server_that_misbehaves() {
    fn check(message: &str, expect: ScramError) {
        let outcome = rfc_client().server_first(message.as_bytes(), &mut SaltedCache::new());
        assert_eq!(outcome, Err(expect), "{message}");
    }
    let nonce = format!("{CLIENT_NONCE}more");
    check(&format!("r={CLIENT_NONCE},s={SALT},i=1"), ScramError::Nonce);
    check(&format!("r=other,s={SALT},i=1"), ScramError::Nonce);
    check(&format!("r={nonce},s={SALT},i=600001"), ScramError::Iterations);
    check(&format!("r={nonce},s={SALT},i=0"), ScramError::Malformed);
    check(&format!("r={nonce},s={SALT},i=-1"), ScramError::Malformed);
    check(&format!("r={nonce},s={SALT},i=+1"), ScramError::Malformed);
    check(&format!("r={nonce},s={SALT},i=99999999999"), ScramError::Malformed);
    check(&format!("r={nonce},s=,i=1"), ScramError::Malformed);
    check(&format!("r={nonce},s=!,i=1"), ScramError::Malformed);
    check(&format!("r={nonce},s={SALT},i=1,x=1"), ScramError::Malformed);
    check(&format!("m=x,r={nonce},s={SALT},i=1"), ScramError::Extension);

    fn check_final(message: &str, expect: Result<(), ScramError>) {
        let mut client = rfc_client();
        client.server_first(SERVER_FIRST.as_bytes(), &mut SaltedCache::new()).unwrap();
        assert_eq!(client.server_final(message.as_bytes()), expect, "{message}");
    }
    check_final(SERVER_FINAL, Ok(()));
    check_final(&SERVER_FINAL.replace("v=6", "v=7"), Err(ScramError::ServerSignature));
    check_final("e=other-error", Err(ScramError::Refused));
    check_final(&format!("{SERVER_FINAL},x=1"), Err(ScramError::Malformed));
}

#[test]
fn derived_keys_are_remembered_and_bounded() {
    let mut cache = SaltedCache::new();
    let one = NonZeroU32::MIN;
    for index in 0..limits::SALTED_KEYS_MAX + 10 {
        cache.keys("secret", &index.to_be_bytes(), one);
        assert!(cache.entries.len() <= limits::SALTED_KEYS_MAX);
    }
    let newest = (limits::SALTED_KEYS_MAX + 9).to_be_bytes();
    let length = cache.entries.len();
    let keys = cache.keys("secret", &newest, one);
    assert_eq!(cache.entries.len(), length);
    assert_eq!(keys.client_key, Keys::derive("secret", &newest, one).client_key);
    assert_ne!(keys.client_key, cache.keys("other", &newest, one).client_key);
    assert_eq!(format!("{cache:?}"), format!("SaltedCache({length} entries)"));
}

#[test]
fn verifiers_have_the_text_of_postgresql() {
    // Keys computed with Python's hashlib from the password and salt of RFC 7677.
    let text = verifier("pencil").to_string();
    let expect = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
                  $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=\
                  :wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(text, expect);
    assert_eq!(Verifier::parse(&text), Ok(verifier("pencil")));
    assert_eq!(format!("{:?}", verifier("pencil")), "Verifier(..)");

    fn check(text: &str, expect: VerifierError) {
        assert_eq!(Verifier::parse(text), Err(expect), "{text}");
    }
    let key = BASE64.encode([1; 32]);
    check("", VerifierError::Prefix);
    check("md5abc", VerifierError::Prefix);
    check("SCRAM-SHA-256$4096:c2FsdA==", VerifierError::Parts);
    check(&format!("SCRAM-SHA-256$4096:c2FsdA==${key}"), VerifierError::Parts);
    check(&format!("SCRAM-SHA-256$0:c2FsdA==${key}:{key}"), VerifierError::Iterations);
    check(&format!("SCRAM-SHA-256$x:c2FsdA==${key}:{key}"), VerifierError::Iterations);
    check(&format!("SCRAM-SHA-256$4096:$${key}:{key}"), VerifierError::Salt);
    check(&format!("SCRAM-SHA-256$4096:%${key}:{key}"), VerifierError::Salt);
    check(&format!("SCRAM-SHA-256$4096:c2FsdA==${key}:short"), VerifierError::Keys);
    for length in 0..text.len() {
        assert!(Verifier::parse(&text[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn passwords_are_prepared_as_postgresql_does() {
    fn check(password: &str, expect: &str) {
        assert_eq!(prepare(password), expect, "{password:?}");
    }
    check("pencil", "pencil");
    check("I\u{ad}X", "IX");
    check("\u{aa}", "a");
    check("\u{2168}", "IX");
    check("a\u{a0}b", "a b");
    // Forbidden, empty or bidirectionally wrong: used raw.
    check("\u{7}", "\u{7}");
    check("\u{ad}", "\u{ad}");
    check("\u{627}1", "\u{627}1");
    check("", "");
}

#[test]
fn md5_answers_match_another_implementation() {
    // Computed with Python's hashlib: md5(hex(md5("secret" + "alice")) + salt).
    let expect = "md598a0412b9c31436fc53776e863350083";
    assert_eq!(md5_password("alice", "secret", [1, 2, 3, 4]), expect);
}

proptest! {
    #[test]
    fn the_two_roles_agree(password in ".{1,20}", other in ".{1,20}", salt: [u8; 16]) {
        let verifier = Verifier::from_password(&password, &salt, 3);
        prop_assert_eq!(Verifier::parse(&verifier.to_string()), Ok(verifier.clone()));
        for attempt in [&password, &other] {
            let mut server = ServerExchange::new("u", Some(&verifier), &[0; 32], &[5; 18]);
            let mut client = ClientExchange::new(attempt, "abcdef", Binding::None);
            let first = server.client_first(&client.first()).unwrap();
            let last = client.server_first(&first, &mut SaltedCache::new()).unwrap();
            let outcome = server.client_final(&last);
            if prepare(attempt) == prepare(&password) {
                prop_assert_eq!(client.server_final(&outcome.unwrap()), Ok(()));
            } else {
                prop_assert_eq!(outcome, Err(ScramError::Credentials));
            }
        }
    }

    #[test]
    fn any_bytes_end_in_a_value(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = rfc_server().client_first(&bytes);
        let mut server = rfc_server();
        server.client_first(CLIENT_FIRST.as_bytes()).unwrap();
        prop_assert!(server.client_final(&bytes).is_err());
        prop_assert!(rfc_client().server_first(&bytes, &mut SaltedCache::new()).is_err());
    }

    #[test]
    fn changed_messages_do_not_let_in(at in 0..CLIENT_FINAL.len(), bit in 0..8_u8) {
        let mut message = CLIENT_FINAL.as_bytes().to_vec();
        message[at] ^= 1 << bit;
        let mut server = rfc_server();
        server.client_first(CLIENT_FIRST.as_bytes()).unwrap();
        prop_assert!(server.client_final(&message).is_err());
    }
}
