use super::*;

use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    login: Login,
}

fn login(words: &[&str]) -> Login {
    Line::try_parse_from(["weir"].iter().chain(words)).unwrap().login
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-login-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_wish_is_gathered_from_flags_environment_and_file() {
    let folder = scratch("wish");
    let file = folder.join("weir.toml");
    let text = "[[identity.oidc]]\nissuer = \"http://127.0.0.1:1/a\"\nclient_id = \"cli\"\n\
        scope = \"openid email\"\n[[identity.oidc]]\nissuer = \"http://127.0.0.1:2\"\n";
    std::fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    let nothing = |_: &str| None;
    let wish = Wish::gather(&login(&["--config", config]), &nothing).unwrap();
    assert_eq!(wish.key(), "http://127.0.0.1:1/a cli openid email");
    let flags = ["--config", config, "--scope", "s", "--parameter", "resource=https://w?a=b"];
    let wish = Wish::gather(&login(&flags), &nothing).unwrap();
    assert_eq!(wish.key(), "http://127.0.0.1:1/a cli s resource=https://w?a=b");
    // Another issuer than the file's: nothing of the file is about it.
    let env = |name: &str| match name {
        "WEIR_ISSUER" => Some("http://localhost:9".to_owned()),
        "WEIR_CLIENT_ID" => Some("other".to_owned()),
        _ => None,
    };
    let wish = Wish::gather(&login(&["--config", config]), &env).unwrap();
    assert_eq!(wish.key(), "http://localhost:9 other openid");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_wish_that_is_not_whole_says_what_is_missing() {
    fn check(words: &[&str], expect: &str) {
        let failure = Wish::gather(&login(words), &|_| None).unwrap_err();
        assert_eq!(failure.code(), EXIT_USAGE);
        assert!(format!("{failure:?}").contains(expect), "{words:?}: {failure:?}");
    }
    check(&[], "which issuer?");
    check(&["--issuer", "http://127.0.0.1:1"], "which client id?");
    check(&["--issuer", "http://id.example.com", "--client-id", "c"], "this is no issuer");
    let whole = ["--issuer", "http://127.0.0.1:1", "--client-id", "c", "--parameter"];
    check(&[&whole[..], &["x"]].concat(), "no name or no value");
}

fn token(claims: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
    format!("e30.{text}.c2ln")
}

fn tokens(access: &str, id: Option<&str>, refresh: Option<&str>) -> Tokens {
    let text = |token: &str| token.to_owned();
    Tokens {
        access_token: access.to_owned(),
        id_token: id.map(text),
        refresh_token: refresh.map(text),
        granted_at: 0,
    }
}

#[test]
fn a_token_is_fresh_while_there_is_time_to_log_in() {
    let until = |end: &str| token(&format!("{{\"exp\":{end}}}"));
    let (long, opaque) = (until("1000"), "opaque");
    let check = |tokens: &Tokens, id: bool, now: i64, expect: bool| {
        assert_eq!(tokens.fresh(id, now).is_some(), expect, "{id} {now}");
    };
    check(&tokens(&long, None, None), false, 0, true);
    check(&tokens(&until("1000.5"), None, None), false, 939, true);
    check(&tokens(&long, None, None), false, 940, false);
    check(&tokens(&long, None, None), true, 0, false);
    check(&tokens(opaque, Some(&long), None), true, 0, true);
    check(&tokens(opaque, Some(&long), None), false, 0, false);
}

#[test]
fn kept_tokens_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch("cache").join("new");
    let mut cache = Cache::open(&folder).unwrap();
    assert!(cache.get("a").is_none());
    let mine = tokens("x", Some("y"), Some("z"));
    cache.put("a", &mine).unwrap();
    cache.put("b", &tokens("other", None, None)).unwrap();
    assert!(cache.get("a").is_some_and(|tokens| tokens == mine));
    let file = folder.join("login.json");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    cache.forget("a").unwrap();
    assert!(cache.get("a").is_none() && cache.get("b").is_some());
    // Opened by others meanwhile, it is not trusted; written again, it is private again.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(cache.get("b").is_none());
    cache.put("a", &mine).unwrap();
    assert_eq!(mode(&file), 0o600);
    std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}

#[test]
fn a_renewal_keeps_what_the_issuer_does_not_repeat() {
    let granted = |text: &str| serde_json::from_str::<device::Granted>(text).unwrap();
    let old = tokens("a", Some("i"), Some("r"));
    let new = Tokens::new(granted(r#"{"access_token":"b"}"#), Some(old.clone()), 5);
    assert!(new == Tokens { access_token: "b".to_owned(), granted_at: 5, ..old.clone() });
    let all = granted(r#"{"access_token":"b","id_token":"j","refresh_token":"s"}"#);
    let new = Tokens::new(all, Some(old), 5);
    assert!(new == Tokens { granted_at: 5, ..tokens("b", Some("j"), Some("s")) });
}
