//! Login by token, message by message: what is asked, what is answered, what is recorded.

use super::*;
use crate::config::settings::{Credential, Issuer, Secret, TokenLogin, User};
use crate::decide::approval::Ground;
use crate::fault::{FaultKind, Login, Token};
use crate::identify::api_token::{Kept, Set, TokenId};
use crate::identify::jwk::{ALGORITHMS, KeySet, Published};
use crate::identify::testing::{Keys, encoded};
use crate::identify::token::Policy;
use crate::session::TlsFacts;
use crate::session::{Refresh, Vote, VoteReply};
use crate::wire::postgres::message::SSL_REQUEST_PACKET;

const NAME: &str = "https://id.example.com";

fn issuer(login: TokenLogin) -> Issuer {
    Issuer {
        policy: Policy {
            issuer: NAME.to_owned(),
            audience: "weir".to_owned(),
            username_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            username_prefix: String::new(),
            groups_prefix: String::new(),
            required: Vec::new(),
            algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
            leeway_s: 30,
        },
        scope: "openid".to_owned(),
        client_id: None,
        root_certificates: None,
        login,
    }
}

/// `reader` is for the group `dba`, `app` for everybody.
fn snapshot_of(login: TokenLogin, keys: Option<KeySet>, answers: u64) -> Rc<Snapshot> {
    let mut source = source();
    let settings = Arc::get_mut(&mut source.settings).expect("nobody else has them");
    settings.issuers = vec![issuer(login)];
    let reader = Credential {
        proof: None,
        role: "reader".to_owned(),
        password: Secret::new("hidden".to_owned()),
        header: None,
        groups: vec!["dba".to_owned()],
    };
    settings.targets[0].credentials.insert(0, reader);
    source.keys = vec![Published { keys: keys.map(Arc::new), answers }];
    Rc::new(Snapshot::build(&source))
}

fn known(login: TokenLogin) -> Rc<Snapshot> {
    snapshot_of(login, Some(Keys::shared().set()), 1)
}

/// A client that speaks TLS and has sent its start-up packet.
fn secure(snapshot: Rc<Snapshot>, user: &str) -> Bench {
    let mut bench = Bench::connected(snapshot, true);
    bench.client(&SSL_REQUEST_PACKET);
    assert_eq!(bench.take(Side::Client), b"S");
    let facts = TlsFacts { version: "TLSv1_3", ..TlsFacts::default() };
    bench.with(|machine, stage| machine.handle_tls(Side::Client, facts, stage));
    bench.client(&startup(user, "orders"));
    bench.outputs.clear();
    bench
}

/// A token that is good at the time of `Bench`.
fn token(key: &str, email: &str) -> String {
    let header = format!(r#"{{"alg":"EdDSA","kid":"{key}"}}"#);
    let claims = format!(
        r#"{{"iss":"{NAME}","aud":"weir","exp":1700000600,"email":"{email}","groups":["dba"]}}"#
    );
    encoded(&header, &claims, |message| Keys::shared().sign("EdDSA", message))
}

fn good() -> String {
    token("Ed25519", "ann@example.com")
}

fn password(text: &str) -> Vec<u8> {
    message(b'p', &[text.as_bytes(), b"\0"].concat())
}

fn initial(data: Option<&str>) -> Vec<u8> {
    let length = data.map_or(-1, |data| data.len() as i32).to_be_bytes();
    let data = data.unwrap_or_default().as_bytes();
    message(b'p', &[&b"OAUTHBEARER\0"[..], &length, data].concat())
}

fn bearer(token: &str) -> String {
    format!("n,,\x01auth=Bearer {token}\x01\x01")
}

#[track_caller]
fn assert_dialing(bench: &mut Bench, role: &str) {
    assert_eq!(bench.tags(Side::Client), "", "nothing is said before the target is there");
    assert!(matches!(bench.outputs.last(), Some(Output::Lease(_))), "{:?}", bench.outputs);
    bench.dialed();
    let packet = bench.take(Side::Server);
    let text = String::from_utf8_lossy(&packet).into_owned();
    assert!(text.contains(&format!("user\0{role}\0")), "{text}");
    bench.server(&target_login());
    // AuthenticationOk straight away: libpq takes a SASLFinal for a fault of the server.
    let said = messages(&bench.take(Side::Client));
    assert_eq!(said[0], (b'R', vec![0; 4]));
    let tags: String = said.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "RSKZ");
}

/// Everything in the journal, as text.
fn recorded(bench: &Bench) -> String {
    let written = bench.journal.written.iter();
    written.map(|entry| format!("{:?} {:?}\n", entry.context, entry.body())).collect()
}

/// The login ended with this fault: said, recorded under the name that was tried.
#[track_caller]
fn assert_refused(bench: &mut Bench, fault: Token) {
    assert_eq!(bench.tags(Side::Client), "E");
    assert_recorded(bench, fault);
}

#[track_caller]
fn assert_recorded(bench: &mut Bench, fault: Token) {
    assert!(bench.machine.is_closed());
    let fault = crate::fault::Fault::new(Side::Client, FaultKind::Login(Login::Token(fault)));
    let record = recorded(bench);
    assert!(record.contains(fault.label()), "{} in {record}", fault.label());
    assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Lease(_))));
}

#[test]
fn a_token_as_the_password_lets_in() {
    let mut bench = secure(known(TokenLogin::Password), "ann@example.com");
    assert_eq!(messages(&bench.take(Side::Client)), [(b'R', vec![0, 0, 0, 3])]);
    bench.client(&password(&good()));
    assert_dialing(&mut bench, "reader");
    let mut bench = secure(known(TokenLogin::Password), "app");
    bench.take(Side::Client);
    // In pieces, as large messages come.
    for piece in password(&good()).chunks(7) {
        bench.client(piece);
    }
    assert_dialing(&mut bench, "app");
}

#[test]
fn a_user_of_the_configuration_has_a_password() {
    for login in [TokenLogin::Password, TokenLogin::OauthBearer] {
        let mut bench = secure(known(login), "bot");
        let said = messages(&bench.take(Side::Client));
        assert_eq!(said[0].1[..4], [0, 0, 0, 10]);
        assert!(said[0].1.starts_with(b"\0\0\0\x0aSCRAM-SHA-256"), "{said:?}");
        bench.client_scram("secret");
        assert!(matches!(bench.outputs.last(), Some(Output::Lease(_))), "{:?}", bench.outputs);
    }
}

#[test]
fn no_token_is_asked_for_in_clear() {
    for login in [TokenLogin::Password, TokenLogin::OauthBearer] {
        let mut bench = Bench::connected(known(login), true);
        bench.client(&startup("ann@example.com", "orders"));
        assert_refused(&mut bench, Token::Plaintext);
    }
}

#[test]
fn a_bad_token_ends_the_login() {
    let check = |text: &str, fault: Token| {
        let mut bench = secure(known(TokenLogin::Password), "ann");
        bench.take(Side::Client);
        bench.client(&password(text));
        assert_refused(&mut bench, fault);
        let record = recorded(&bench);
        assert!(text.is_empty() || !record.contains(text), "the record holds a token");
    };
    check("", Token::Malformed);
    check("secret", Token::Malformed);
    check(&good().replace('.', ".A"), Token::Malformed);
    check(&token("Ed25519", "bot"), Token::NameTaken);
    check(&token("RSA", "ann"), Token::Algorithm);
    // A message that is no PasswordMessage at all.
    for bytes in [message(b'p', b""), message(b'p', b"a\0b\0"), message(b'p', b"abc")] {
        let mut bench = secure(known(TokenLogin::Password), "ann");
        bench.take(Side::Client);
        bench.client(&bytes);
        assert_eq!(bench.tags(Side::Client), "E");
        assert!(bench.machine.is_closed());
    }
}

#[test]
fn oauthbearer_takes_a_token() {
    let mut bench = secure(known(TokenLogin::OauthBearer), "ann@example.com");
    let said = messages(&bench.take(Side::Client));
    assert_eq!(said, [(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0".to_vec())]);
    bench.client(&initial(Some(&bearer(&good()))));
    assert_dialing(&mut bench, "reader");
    // Without an initial response the server says an empty word first.
    let mut bench = secure(known(TokenLogin::OauthBearer), "app");
    bench.take(Side::Client);
    bench.client(&initial(None));
    assert_eq!(messages(&bench.take(Side::Client)), [(b'R', vec![0, 0, 0, 11])]);
    bench.client(&message(b'p', bearer(&good()).as_bytes()));
    assert_dialing(&mut bench, "app");
}

#[test]
fn oauthbearer_tells_of_the_issuer_before_the_error() {
    for (text, fault) in [
        ("n,,\x01auth=\x01\x01".to_owned(), Token::Discovery),
        (bearer("abc"), Token::Malformed),
        (bearer(&token("Ed25519", "bot")), Token::NameTaken),
    ] {
        let mut bench = secure(known(TokenLogin::OauthBearer), "ann");
        bench.take(Side::Client);
        bench.client(&initial(Some(&text)));
        let said = messages(&bench.take(Side::Client));
        let [(b'R', body)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(body[..4], [0, 0, 0, 11]);
        let told: serde_json::Value = serde_json::from_slice(&body[4..]).unwrap();
        let expect = format!("{NAME}/.well-known/openid-configuration");
        assert_eq!(told["openid-configuration"], expect);
        assert_eq!((&told["status"], &told["scope"]), (&"invalid_token".into(), &"openid".into()));
        assert!(!bench.machine.is_closed(), "the client has to take note first");
        bench.client(&message(b'p', b"\x01"));
        assert_refused(&mut bench, fault);
    }
}

#[test]
fn a_refusal_is_recorded_however_the_client_leaves() {
    let refused = || {
        let mut bench = secure(known(TokenLogin::OauthBearer), "ann");
        bench.take(Side::Client);
        bench.client(&initial(Some(&bearer("abc"))));
        bench.take(Side::Client);
        bench
    };
    let mut bench = refused();
    bench.with(|machine, stage| machine.handle_eof(Side::Client, stage));
    assert_recorded(&mut bench, Token::Malformed);
    let mut bench = refused();
    bench.client(&message(b'p', b"something else"));
    assert_recorded(&mut bench, Token::Malformed);
    let mut bench = refused();
    bench.now.mono_us += crate::limits::LOGIN_TIMEOUT_US;
    bench.with(|machine, stage| machine.handle_timeout(stage));
    assert_recorded(&mut bench, Token::Malformed);
}

#[test]
fn oauthbearer_of_another_shape_is_refused() {
    for bytes in [
        initial(Some("")),
        initial(Some("n,,\x01\x01")),
        initial(Some(&format!("p=tls-unique,,\x01auth=Bearer {}\x01\x01", good()))),
        initial(Some(&format!("n,a=bot,\x01auth=Bearer {}\x01\x01", good()))),
        message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        message(b'p', b"OAUTHBEARER\0\0\0\0\x09n,,"),
        message(b'p', b""),
        password(&good()),
    ] {
        let mut bench = secure(known(TokenLogin::OauthBearer), "ann");
        bench.take(Side::Client);
        bench.client(&bytes);
        assert_eq!(bench.tags(Side::Client), "E");
        assert!(bench.machine.is_closed());
        assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Lease(_))));
    }
}

/// Hands a session a newer snapshot.
fn publish(bench: &mut Bench, snapshot: Rc<Snapshot>) {
    bench.snapshot = snapshot;
    bench.with(|machine, stage| machine.handle_snapshot(stage));
}

fn empty() -> KeySet {
    let text = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"old",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    KeySet::parse(text).unwrap()
}

#[test]
fn an_unknown_key_is_waited_for() {
    let before = || snapshot_of(TokenLogin::Password, Some(empty()), 4);
    let mut bench = secure(before(), "ann@example.com");
    bench.take(Side::Client);
    bench.client(&password(&good()));
    let [Output::Refresh(Refresh::Keys(name))] = bench.outputs.as_slice() else {
        panic!("{:?}", bench.outputs);
    };
    assert_eq!(name, NAME);
    assert_eq!(bench.tags(Side::Client), "");
    let deadline = bench.machine.next_timeout();
    // A snapshot for another reason; the client must not speak now, and what it says waits.
    publish(&mut bench, before());
    bench.client(&query("SELECT 1"));
    assert_eq!((bench.machine.next_timeout(), bench.tags(Side::Client)), (deadline, String::new()));
    publish(&mut bench, snapshot_of(TokenLogin::Password, Some(Keys::shared().set()), 5));
    assert!(matches!(bench.outputs.last(), Some(Output::Lease(_))), "{:?}", bench.outputs);
}

#[test]
fn an_unknown_key_is_not_waited_for_in_vain() {
    let waiting = |keys: Option<KeySet>, login: TokenLogin| {
        let mut bench = secure(snapshot_of(login, keys, 4), "ann");
        bench.take(Side::Client);
        match login {
            TokenLogin::Password => bench.client(&password(&good())),
            TokenLogin::OauthBearer => bench.client(&initial(Some(&bearer(&good())))),
        }
        assert!(matches!(bench.outputs.as_slice(), [Output::Refresh(Refresh::Keys(_))]));
        bench
    };
    // Read once more, and the key is not among them.
    let mut bench = waiting(Some(empty()), TokenLogin::Password);
    publish(&mut bench, snapshot_of(TokenLogin::Password, Some(empty()), 5));
    assert_refused(&mut bench, Token::Key);
    let mut bench = waiting(None, TokenLogin::Password);
    publish(&mut bench, snapshot_of(TokenLogin::Password, None, 5));
    assert_refused(&mut bench, Token::NoKeys);
    let mut bench = waiting(None, TokenLogin::OauthBearer);
    publish(&mut bench, snapshot_of(TokenLogin::OauthBearer, None, 5));
    assert_eq!(bench.tags(Side::Client), "R");
    bench.client(&message(b'p', b"\x01"));
    assert_refused(&mut bench, Token::NoKeys);
    // Nobody answers; and the issuer is taken out of the configuration.
    let mut bench = waiting(Some(empty()), TokenLogin::Password);
    bench.now.mono_us += crate::limits::KEYS_WAIT_US;
    bench.with(|machine, stage| machine.handle_timeout(stage));
    assert_refused(&mut bench, Token::Key);
    let mut bench = waiting(Some(empty()), TokenLogin::Password);
    publish(&mut bench, snapshot());
    assert_refused(&mut bench, Token::Issuer);
}

/// What a vote rests on, and what a reload or a revocation has left when it is the last one.
#[test]
fn a_vote_counts_as_long_as_what_proved_it_is_there() {
    let asked = issuer(TokenLogin::Password).policy;
    let narrower = Policy { required: vec![("mfa".to_owned(), true.into())], ..asked.clone() };
    let other = Policy { issuer: "https://other.example.com".to_owned(), ..asked.clone() };
    let id = TokenId::parse("0123456789abcdef").expect("an id");
    let revoked = TokenId::parse("fedcba9876543210").expect("an id");
    let issued = |policy: &Policy| Ground::Issuer(Arc::new(policy.clone()));
    let cases = [
        ("its issuer is there", "ann", issued(&asked), true),
        ("another one is there", "ann", issued(&other), false),
        ("its issuer's tokens are asked for more now", "ann", issued(&narrower), false),
        ("its name is a user's now", "dora", issued(&asked), false),
        ("its API token is there", "dora", Ground::ApiToken(id), true),
        ("its API token was revoked", "dora", Ground::ApiToken(revoked), false),
        ("its API token is another's", "ann", Ground::ApiToken(id), false),
        ("its user is there", "dora", Ground::Configured, true),
        ("its user is gone", "ann", Ground::Configured, false),
    ];
    for (what, approver, ground, expect) in cases {
        let (mut bench, ask) = super::behaviour::held();
        let mut source = source();
        let settings = Arc::get_mut(&mut source.settings).expect("nobody else has them");
        settings.issuers = vec![issuer(TokenLogin::Password)];
        let groups = vec!["dba".to_owned()];
        let (verifier, keys) = (None, Vec::new());
        settings.users.push(User { name: "dora".to_owned(), verifier, keys, groups });
        let mut kept = Kept::of("secret", id);
        kept.user = "dora".to_owned();
        source.tokens = Arc::new(Set::default().with(kept));
        bench.snapshot = Rc::new(Snapshot::build(&source));
        bench.with(|m, s| m.handle_snapshot(s));
        let (approver, groups) = (approver.to_owned(), vec!["dba".to_owned()]);
        let vote = Vote { approver, groups, approve: true, ground, ..Vote::default() };
        let mut reply = VoteReply::Unknown;
        bench.with(|m, s| reply = m.handle_vote(ask, &vote, s));
        assert_eq!(reply == VoteReply::Counted { missing: 0 }, expect, "{what}: {reply:?}");
        assert_eq!(bench.tags(Side::Server).starts_with('Q'), expect, "{what}");
    }
}
