use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::*;

/// A server that gives each connection the answer for its path, and its own address.
fn serve(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    // It ends with the process; a test has nothing to wait for.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let (status, body) = answer(path, &own);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nlocation: {own}/elsewhere\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    base
}

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn described(own: &str, more: &str) -> String {
    format!(r#"{{"issuer":"{own}","jwks_uri":"{own}/keys","x":[1]{more}}}"#)
}

fn read(base: &str) -> Result<KeySet, String> {
    let web = Web::new(base, None).unwrap();
    let provider = web.discover(base).map_err(|error| error.to_string())?;
    web.keys(&provider).map_err(|error| error.to_string())
}

#[test]
fn keys_are_found_by_the_description() {
    let base = serve(|path, own| match path {
        "/.well-known/openid-configuration" => (200, described(own, "")),
        "/keys" => (200, KEYS.to_owned()),
        _ => (404, String::new()),
    });
    assert!(read(&base).unwrap().knows("a"));
}

#[test]
fn what_cannot_be_used_says_why() {
    fn check(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static, expect: &str) {
        let error = read(&serve(answer)).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
    let at_keys = |status: u16, body: &'static str| {
        move |path: &str, own: &str| match path {
            "/keys" => (status, body.to_owned()),
            _ => (200, described(own, "")),
        }
    };
    check(|_, _| (404, String::new()), "answers with status 404");
    // A redirect is not followed: it could lead to anybody.
    check(|_, _| (302, String::new()), "answers with status 302");
    check(|_, _| (200, "<html>".to_owned()), "does not answer with the description");
    check(|_, _| (200, "{\"issuer\":\"x\"}".to_owned()), "does not answer with the description");
    let elsewhere = |_: &str, _: &str| (200, described("https://other.example.com", ""));
    check(elsewhere, "describes the issuer `https://other.example.com`");
    check(|_, own| (200, described(&format!("{own}/"), "")), "byte for byte");
    let clear = |_: &str, own: &str| {
        (200, described(own, "").replace(&format!("{own}/keys"), "http://id.example.com/keys"))
    };
    check(clear, "its `jwks_uri` is `http://id.example.com/keys`, and weir follows https only");
    let file = ",\"token_endpoint\":\"file:///etc/passwd\"";
    check(move |_, own| (200, described(own, file)), "its `token_endpoint` is `file:");
    check(at_keys(500, ""), "answers with status 500");
    check(at_keys(200, "{\"keys\":[]}"), "none of its keys verifies tokens");
    check(at_keys(200, "nothing"), "it is not a JSON object");
    let long = " ".repeat(limits::ISSUER_ANSWER_BYTES_MAX as usize + 1);
    check(move |_, _| (200, long.clone()), "does not answer");
}

#[test]
fn an_issuer_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = read(&base).unwrap_err();
    assert!(error.starts_with(&format!("{base}/.well-known/openid-configuration does not answer")));
}

#[test]
fn roots_that_are_none_are_refused() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = Web::new("https://id.example.com", Some(&file)).unwrap_err().to_string();
    assert!(error.contains("Cargo.toml: cannot read certificates in PEM form"), "{error}");
}
