//! What a client may not say, and what its target does not hear of it.

use super::*;

/// The status of the answer to one request, which no target answers.
fn status(line: &str, rest: &str) -> (String, bool) {
    let mut bench = Bench::new();
    bench.send(&request(line, rest), 1000);
    let text = bench.client_text();
    (text.get(9..12).unwrap_or("").to_owned(), bench.leg.is_some())
}

#[test]
fn a_denied_path_is_denied_however_a_server_may_take_it() {
    for path in ["/SECRET/x", "/Secret/", "/secret//x", "/secret;v=1/x", "/secret./x"] {
        let line = format!("GET {path}");
        assert_eq!(status(&line, "|"), ("403".to_owned(), false), "{path}");
    }
    for path in ["/secrets/x", "/secret", "/a/secret/x"] {
        let line = format!("GET {path}");
        assert_eq!(status(&line, "|"), (String::new(), true), "{path}");
    }
}

#[test]
fn what_a_target_believes_of_its_proxy_is_no_word_of_a_client() {
    let mut bench = Bench::new();
    let named = "X-Remote-User: admin|REMOTE_USER: admin|X-Client-IP: 1|User-Agent: it|X-A: b||";
    bench.send(&request("GET /a", named), 1000);
    let sent = bench.target_text();
    assert!(!sent.contains("admin") && !sent.contains("X-Client-IP"), "{sent}");
    assert!(sent.contains("User-Agent: it") && sent.contains("X-A: b"), "{sent}");
    let attrs = bench.journal.bodies().find_map(|body| match body {
        Body::Command(command) => Some(command.extra.attrs.to_owned()),
        _ => None,
    });
    let attrs = attrs.expect("a row");
    assert!(attrs.contains("X-Remote-User") && attrs.contains("REMOTE_USER"), "{attrs}");
}

#[test]
fn a_foreign_page_sends_nothing_by_a_login_that_its_browser_attaches() {
    let foreign = "Origin: https://evil.test|Sec-Fetch-Site: cross-site|";
    let socket = "Connection: upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|";
    let content = "Content-Type: text/plain|Content-Length: 3||abc";
    assert_eq!(status("POST /a", &format!("{foreign}{content}")), ("403".to_owned(), false));
    assert_eq!(status("GET /a", &format!("{foreign}{socket}|")), ("403".to_owned(), false));
    assert_eq!(status("POST /a", content), (String::new(), true));
    assert_eq!(status("GET /a", &format!("{foreign}|")), (String::new(), true));
    let own = "Origin: http://billing|Sec-Fetch-Site: same-origin|";
    assert_eq!(status("POST /a", &format!("{own}{content}")), (String::new(), true));
}

#[test]
fn the_credential_of_a_target_is_in_no_part_of_a_head() {
    let mut bench = Bench::new();
    bench.send(&request("GET /a", "|"), 1000);
    let early = "HTTP/1.1 103 hidden-from-clients|Link: <hidden-from-clients>|X-A: b||";
    let late = "HTTP/1.1 200 hidden-from-clients|X-A: hidden-from-clients|Content-Length: 2||ok";
    bench.answer(format!("{early}{late}").replace('|', "\r\n").as_bytes(), 1000);
    let told = bench.client_text();
    assert!(!told.contains("hidden-from-clients"), "{told}");
    assert!(
        told.contains("HTTP/1.1 103 ") && told.contains("Link: <*******************>"),
        "{told}"
    );
    assert!(told.contains("X-A: b\r\n") && told.ends_with("\r\n\r\nok"), "{told}");
}
