//! Where a client without a login finds the issuers whose tokens weir takes (RFC 9728, and MCP's
//! "Authorization Server Discovery").
//!
//! In: a head, the issuers in force. Out: the metadata of what is asked for; its place, for a 401.
//! Never: a word of whether there is such a target: every name has the same metadata.
//!
//! ```text
//!   POST /mcp/records    401, resource_metadata=https://gw/.well-known/oauth-.../mcp/records
//!   GET that             {"resource":"https://gw/mcp/records","authorization_servers":[..],..}
//! ```

use crate::session::Stage;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use super::link::Link;

const PLACE: &str = "/.well-known/oauth-protected-resource";

/// Tokens of issuers are taken over TLS alone, so nobody is sent for one without.
fn takes_tokens(link: &Link, stage: &Stage<'_>) -> bool {
    link.tls.is_some() && !stage.snapshot.settings.issuers.is_empty()
}

/// The metadata, if that is what is asked for.
pub(super) fn of(head: &Head, link: &Link, stage: &Stage<'_>) -> Option<Reply> {
    let path = head.target().strip_prefix(PLACE.as_bytes())?;
    if head.method() != b"GET" || !takes_tokens(link, stage) {
        return None;
    }
    let issuers = &stage.snapshot.settings.issuers;
    let servers: Vec<&str> = issuers.iter().map(|it| it.policy.issuer.as_str()).collect();
    let mut scopes: Vec<&str> = issuers.iter().flat_map(|it| it.scope.split(' ')).collect();
    scopes.retain(|scope| !scope.is_empty());
    scopes.sort_unstable();
    scopes.dedup();
    let content = serde_json::json!({
        "resource": resource(head.authority(), path)?,
        "authorization_servers": servers,
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
    });
    let fields = vec![
        ("content-type", b"application/json".to_vec()),
        ("cache-control", b"no-store".to_vec()),
    ];
    Some(Reply { status: 200, fields, content: content.to_string().into_bytes() })
}

/// Where the metadata of what `head` asks for is.
pub(super) fn place(head: &Head, link: &Link, stage: &Stage<'_>) -> Option<String> {
    takes_tokens(link, stage).then(|| resource_at(head)).flatten()
}

fn resource_at(head: &Head) -> Option<String> {
    let mut segments = head.path().split(|byte| *byte == b'/').skip(1);
    let path = match (segments.next(), segments.next()) {
        // A server of MCP is a resource of its own, whatever stands behind its name.
        (Some(b"mcp"), Some(name)) => [&b"/mcp/"[..], name].concat(),
        _ => Vec::new(),
    };
    let all = resource(head.authority(), &path).or_else(|| resource(head.authority(), b""))?;
    let (scheme, rest) = all.split_at("https://".len());
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some(format!("{scheme}{host}{PLACE}{path}"))
}

/// The name of what is protected. Nothing of it may end the text of a field, or mean another path.
fn resource(authority: &[u8], path: &[u8]) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
    let is_path = path.is_empty() || path.starts_with(b"/");
    let is_good = is_path && path.iter().all(is_plain) && authority.iter().all(is_host);
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    is_good.then(|| format!("https://{}{}", words(authority), words(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::h1::read::{HeadReader, Kind};

    #[test]
    fn a_server_of_mcp_is_a_resource_and_so_is_a_host() {
        for (target, expect) in [
            ("/mcp/records", "/mcp/records"),
            ("/mcp/records/sse?x=1", "/mcp/records"),
            ("/mcp/", "/mcp/"),
            ("/mcp", ""),
            ("/orders/7", ""),
            ("/mcp/a%22b", ""),
            ("/mcp/a;b", ""),
        ] {
            let mut head = Head::default();
            let bytes = format!("POST {target} HTTP/1.1\r\nHost: gw:8443\r\n\r\n");
            HeadReader::default()
                .next(&mut bytes.as_bytes(), &mut head, Kind::Request)
                .expect("a head");
            let expect = format!("https://gw:8443{PLACE}{expect}");
            assert_eq!(resource_at(&head), Some(expect), "{target}");
        }
    }

    #[test]
    fn only_plain_names_are_resources() {
        assert_eq!(resource(b"gw", b"/mcp/x"), Some("https://gw/mcp/x".to_owned()));
        for (authority, path) in [("gw", "mcp"), ("gw", "/a?b"), ("gw", "/a\"b"), ("g\"w", "/a")] {
            assert_eq!(resource(authority.as_bytes(), path.as_bytes()), None);
        }
    }
}
