//! What a server of MCP says of places and events, as its client gets it.

use super::*;

fn asked(line: &str, more: &str) -> Vec<u8> {
    let head = "Host: gw|Authorization: Basic Ym90OnNlY3JldA==|Accept: text/event-stream|";
    format!("{line} HTTP/1.1|{head}{more}|").replace('|', "\r\n").into_bytes()
}

fn stream(session: &str) -> Vec<u8> {
    let events = ": hi\n\nid: 7\ndata: {}\n\nid:8\r\ndata: a\r\n\r\nid\ndata: id: 9\n\nid: x";
    let length = format!("{:x}", events.len());
    let head = format!("Content-Type: text/event-stream|{session}Transfer-Encoding: chunked||");
    let text = format!("HTTP/1.1 200 OK|{head}").replace('|', "\r\n");
    format!("{text}{length}\r\n{events}\r\n0\r\n\r\n").into_bytes()
}

/// The head of an answer, and its content put together.
fn read(text: &str) -> (String, String) {
    let (head, mut rest) = text.split_once("\r\n\r\n").expect("a head");
    let mut content = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the head of a chunk");
        content.push_str(&behind[..size]);
        rest = behind[size..].strip_prefix("\r\n").expect("the end of a chunk");
    }
    (head.to_owned(), content)
}

/// The ids that a client hears.
fn ids(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(str::to_owned).collect()
}

fn heard(more: &str, session: &str, piece: usize) -> Vec<String> {
    let mut bench = Bench::new();
    bench.send(&asked("GET /mcp/tools", more), 1000);
    bench.answer(&stream(session), piece);
    let (_, text) = read(&bench.client_text());
    assert!(text.contains(": hi\n\n") && text.contains("data: id: 9\n\n"), "{text}");
    assert!(text.ends_with("id: x"), "no event, and no id: {text}");
    ids(&text)
}

#[test]
fn ids_of_events_are_of_who_got_them() {
    let plain = heard("", "", 1000);
    assert_eq!(plain.len(), 3, "{plain:?}");
    assert!(plain[0].starts_with("7.") && plain[1].starts_with("8.") && plain[2] == "x");
    for piece in [1, 2, 3, 7] {
        assert_eq!(heard("", "", piece), plain, "in pieces of {piece}");
    }
    let resumed = |more: &str| {
        let mut bench = Bench::new();
        bench.send(&asked("GET /mcp/tools", more), 1000);
        (bench.target_text(), bench.client_text())
    };
    let (sent, _) = resumed(&format!("Last-Event-ID: {}|", plain[0]));
    assert!(sent.contains("Last-Event-ID: 7\r\n"), "{sent}");
    for foreign in
        ["7", "8.x", &plain[0].replace("7.", "8."), &format!("{}|Last-Event-ID: 7", plain[0])]
    {
        let (sent, told) = resumed(&format!("Last-Event-ID: {foreign}|"));
        assert_eq!(sent, "", "{foreign}");
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("mcp-event"), "{told}");
    }
    // Another session of the same identity has events of its own.
    let mut bench = Bench::new();
    bench.send(&asked("GET /mcp/tools", ""), 1000);
    bench.answer(&stream("Mcp-Session-Id: s|"), 1000);
    let (head, text) = read(&bench.client_text());
    let session = head.lines().find(|line| line.to_lowercase().starts_with("mcp-session-id: "));
    let session = session.expect("a session").split_at(16).1.trim().to_owned();
    let of_session = ids(&text);
    assert_ne!(of_session[0], plain[0]);
    let (sent, told) = resumed(&format!("Mcp-Session-Id: {session}|Last-Event-ID: {}|", plain[0]));
    assert!(sent.is_empty() && told.contains("mcp-event"), "{told}");
    let more = format!("Mcp-Session-Id: {session}|Last-Event-ID: {}|", of_session[0]);
    let (sent, told) = resumed(&more);
    assert!(
        sent.contains("Last-Event-ID: 7\r\n") && sent.contains("Mcp-Session-Id: s\r\n"),
        "{told}"
    );
}

#[test]
fn a_redirection_stays_in_the_endpoint_or_is_refused() {
    for (place, expect) in [
        ("/mcp/", "http://gw/mcp/tools/"),
        ("http://127.0.0.1:8080/mcp/", "http://gw/mcp/tools/"),
        ("?a=b", "http://gw/mcp/tools?a=b"),
        ("/mcp/other/../../x", ""),
        ("/mcp2/", ""),
        ("http://elsewhere/mcp/", ""),
    ] {
        let mut bench = Bench::new();
        bench.send(&asked("GET /mcp/tools", ""), 1000);
        let answer = format!("HTTP/1.1 307 X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
        bench.answer(answer.as_bytes(), 1000);
        let told = bench.client_text();
        match expect {
            "" => assert!(
                told.starts_with("HTTP/1.1 502 ") && told.contains("mcp-redirect"),
                "{told}"
            ),
            place => assert!(told.contains(&format!("Location: {place}\r\n")), "{told}"),
        }
    }
}

#[test]
fn a_list_in_any_stream_is_of_what_may_be_called() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"evil"},{"name":"good"}]}}"#;
    let events = format!(": hi\n\nid: 7\ndata: {list}\n\n");
    let head = "HTTP/1.1 200 OK|Content-Type: text/event-stream|Transfer-Encoding: chunked||";
    let head = head.replace('|', "\r\n");
    let answer = format!("{head}{:x}\r\n{events}\r\n0\r\n\r\n", events.len());
    for piece in [1, 7, 1000] {
        let mut bench = Bench::new();
        let rule = r#"when = { tools = ["good*"] }"#;
        bench.snapshot =
            snapshot(&format!("[[rule]]\nname = \"good ones\"\n{rule}\nthen = \"allow\"\n"));
        bench.send(&asked("GET /mcp/tools", "Accept-Encoding: gzip|"), 1000);
        let sent = bench.target_text();
        assert!(sent.contains("Accept-Encoding: identity") && !sent.contains("gzip"), "{sent}");
        bench.answer(answer.as_bytes(), piece);
        let (_, text) = read(&bench.client_text());
        assert!(text.contains(r#""tools":[{"name":"good"}]"#), "{text}");
        assert!(text.starts_with(": hi\n\nid: 7.") && !text.contains("evil"), "{text}");
    }
}

#[test]
fn what_is_no_post_of_mcp_has_no_content() {
    let head = "Host: gw|Authorization: Basic Ym90OnNlY3JldA==|Accept: text/event-stream|";
    let allow = "[[rule]]\nname = \"s\"\nwhen = { commands = [\"session\"] }\nthen = \"allow\"\n";
    for (method, more, passes) in [
        ("GET", "|", true),
        ("GET", "Content-Length: 0||", true),
        ("GET", "Content-Length: 2||{}", false),
        ("GET", "Transfer-Encoding: chunked||2|{}|0||", false),
        ("DELETE", "Mcp-Session-Id: x|Content-Length: 2||{}", false),
    ] {
        let mut bench = Bench::new();
        bench.snapshot = snapshot(allow);
        let text = format!("{method} /mcp/tools HTTP/1.1|{head}{more}").replace('|', "\r\n");
        bench.send(text.as_bytes(), 1000);
        let said = bench.client_text();
        assert_eq!(bench.leg.is_some(), passes, "{method} {more}: {said}");
        assert!(passes || said.starts_with("HTTP/1.1 400 "), "{said}");
    }
}
