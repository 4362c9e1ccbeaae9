//! Fields of an answer that name the target's own host: the client would go past weir.
//!
//! In: an answer's head, what the target is called. Out: the fields in the client's words.
//! Never: a field of another host changed.

use crate::config::settings::HttpTarget;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;

/// A field and its new value.
pub(super) type Changed<'h> = (&'h [u8], Vec<u8>);

/// `Location`, `Content-Location` and `Refresh` with the client's scheme and host in the place of
/// the target's; `Set-Cookie` without the target's domain. Fields of one name stay together, so
/// that all of them pass if one of them is changed.
pub(super) fn moved<'h>(
    head: &'h Head,
    http: &HttpTarget,
    client: (&str, &[u8]),
) -> Vec<Changed<'h>> {
    let mut changed: Vec<Changed<'h>> = Vec::new();
    let mut any = [false; 2];
    for (known, name, value) in head.named() {
        let new = match known {
            Name::Location | Name::ContentLocation => relocated(value, http, client),
            Name::Refresh => refreshed(value, http, client),
            Name::SetCookie => {
                let new = undomained(value, http);
                any[1] |= new.is_some();
                changed.push((name, new.unwrap_or_else(|| value.to_vec())));
                continue;
            }
            _ => continue,
        };
        if let Some(new) = new {
            any[0] = true;
            changed.push((name, new));
        }
    }
    if !any[1] {
        changed.retain(|(name, _)| !name.eq_ignore_ascii_case(b"set-cookie"));
    }
    changed
}

/// Where an answer of MCP sends its client, when paths begin with the target's name: below the
/// endpoint it is that of weir.
///
/// # Errors
/// It leads out of the endpoint: to another path of the gateway, which may be another target's, or
/// past it.
pub(super) fn within<'h>(
    head: &'h Head,
    http: &HttpTarget,
    (endpoint, behind): (&[u8], &[u8]),
    (scheme, host): (&str, &[u8]),
) -> Result<Vec<Changed<'h>>, LeadsOut> {
    let sends = head.status().is_some_and(|status| (300..400).contains(&status));
    let mut changed = Vec::new();
    for (known, name, value) in head.named() {
        if !matches!(known, Name::Location | Name::ContentLocation) {
            continue;
        }
        let asked = [http.path.as_bytes(), behind].concat();
        let below = path_of(value, http, &asked).and_then(|path| below(&path, http));
        match below {
            Some(rest) => {
                let place = [scheme.as_bytes(), b"://", host, endpoint, &rest].concat();
                changed.push((name, place));
            }
            None if sends => return Err(LeadsOut),
            None => {}
        }
    }
    Ok(changed)
}

/// An answer sends its client elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeadsOut;

/// The path and query that a reference names at the target itself (RFC 3986 5.2).
fn path_of(value: &[u8], http: &HttpTarget, asked: &[u8]) -> Option<Vec<u8>> {
    if let Some(rest) = behind(value, http) {
        let slash: &[u8] = if rest.starts_with(b"/") { b"" } else { b"/" };
        return Some([slash, rest].concat());
    }
    let end = value.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let first = value.get(..end.unwrap_or(value.len())).unwrap_or(&[]);
    if value.starts_with(b"//") || first.contains(&b':') {
        return None;
    }
    if value.starts_with(b"/") {
        return Some(value.to_vec());
    }
    let path = asked.split(|byte| *byte == b'?').next().unwrap_or(&[]);
    let folder = match value.first() {
        Some(b'?' | b'#') | None => path.len(),
        Some(_) => path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1),
    };
    Some([path.get(..folder).unwrap_or(&[]), value].concat())
}

/// What stands behind the path of the target's address; `None`: it is elsewhere, or may be.
fn below(place: &[u8], http: &HttpTarget) -> Option<Vec<u8>> {
    let rest = place.strip_prefix(http.path.as_bytes())?;
    let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len());
    let path = rest.get(..end)?;
    let is_clear = path.is_empty()
        || (path.starts_with(b"/") && crate::wire::http::check::path_readings(path).is_ok());
    is_clear.then(|| rest.to_vec())
}

/// What stands behind the target's own scheme and authority in `value`.
fn behind<'v>(value: &'v [u8], http: &HttpTarget) -> Option<&'v [u8]> {
    let scheme = if http.is_tls { &b"https://"[..] } else { b"http://" };
    // Without a scheme it is the one of the request (RFC 3986 4.2).
    let start = if value.starts_with(b"//") { b"//" } else { scheme };
    let (said, rest) = value.split_at_checked(start.len())?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let is_own = said.eq_ignore_ascii_case(start)
        && authority.eq_ignore_ascii_case(http.authority.as_bytes());
    is_own.then_some(rest)
}

fn relocated(value: &[u8], http: &HttpTarget, (scheme, host): (&str, &[u8])) -> Option<Vec<u8>> {
    let rest = behind(value, http)?;
    Some([scheme.as_bytes(), b"://", host, rest].concat())
}

/// `5; url=http://target/`.
fn refreshed(value: &[u8], http: &HttpTarget, client: (&str, &[u8])) -> Option<Vec<u8>> {
    let at = value.windows(4).position(|window| window.eq_ignore_ascii_case(b"url="))? + 4;
    let (before, url) = value.split_at(at);
    relocated(url, http, client).map(|url| [before, &url].concat())
}

fn undomained(value: &[u8], http: &HttpTarget) -> Option<Vec<u8>> {
    let (host, _) = crate::wire::http::check::split_authority(http.authority.as_bytes())?;
    let is_own = |attribute: &&[u8]| {
        let attribute = attribute.trim_ascii();
        let domain = attribute
            .get(..7)
            .filter(|name| name.eq_ignore_ascii_case(b"domain="))
            .and_then(|_| attribute.get(7..));
        domain.is_some_and(|domain| {
            domain.strip_prefix(b".").unwrap_or(domain).eq_ignore_ascii_case(host)
        })
    };
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b';').collect();
    let kept: Vec<&[u8]> = parts.iter().copied().filter(|part| !is_own(part)).collect();
    (kept.len() < parts.len()).then(|| kept.join(&b';'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::h1::read::{HeadReader, Kind};

    fn moved_of(fields: &str) -> Vec<(String, String)> {
        let http = HttpTarget {
            speaks: crate::config::settings::Speaks::Http,
            wait_us: 0,
            opaque: Vec::new(),
            client_fields: Vec::new(),
            origins: Vec::new(),
            exceptions: Vec::new(),
            host: "billing".into(),
            authority: "internal:8080".into(),
            path: String::new(),
            sends_client_host: false,
            speaks_two: false,
            is_tls: false,
        };
        let mut head = Head::default();
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        HeadReader::default().next(&mut bytes.as_bytes(), &mut head, Kind::Answer).expect("good");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        moved(&head, &http, ("https", b"billing.example:8443"))
            .into_iter()
            .map(|(name, value)| (text(name), text(&value)))
            .collect()
    }

    #[test]
    fn fields_with_the_targets_host_name_the_clients() {
        for (field, expect) in [
            ("Location: http://internal:8080/a?b#c", "https://billing.example:8443/a?b#c"),
            ("Location: HTTP://INTERNAL:8080", "https://billing.example:8443"),
            ("Content-Location: http://internal:8080/", "https://billing.example:8443/"),
            ("Refresh: 5; URL=http://internal:8080/x", "5; URL=https://billing.example:8443/x"),
            ("Set-Cookie: a=b; Domain=internal; Path=/", "a=b; Path=/"),
        ] {
            let found = moved_of(&format!("{field}\r\n"));
            assert_eq!(found.len(), 1, "{field}");
            assert_eq!(found[0].1, expect);
        }
    }

    fn target(path: &str) -> HttpTarget {
        HttpTarget {
            speaks: crate::config::settings::Speaks::Mcp,
            wait_us: 0,
            opaque: Vec::new(),
            client_fields: Vec::new(),
            origins: Vec::new(),
            exceptions: Vec::new(),
            host: "tools".into(),
            authority: "internal:8080".into(),
            path: path.into(),
            sends_client_host: false,
            speaks_two: false,
            is_tls: false,
        }
    }

    #[test]
    fn an_answer_of_mcp_sends_its_client_to_its_endpoint_or_nowhere() {
        let sent = |path: &str, status: u16, place: &str| {
            let mut head = Head::default();
            let bytes = format!("HTTP/1.1 {status} X\r\nLocation: {place}\r\n\r\n");
            HeadReader::default().next(&mut bytes.as_bytes(), &mut head, Kind::Answer).unwrap();
            let client = ("https", &b"gw:8443"[..]);
            let changed = within(&head, &target(path), (b"/mcp/tools", b""), client)?;
            Ok(changed.first().map(|(_, value)| String::from_utf8_lossy(value).into_owned()))
        };
        for (path, place, rest) in [
            ("/mcp", "http://internal:8080/mcp/", "/"),
            ("/mcp", "HTTP://INTERNAL:8080/mcp?a=b", "?a=b"),
            ("/mcp", "//internal:8080/mcp", ""),
            ("/mcp", "/mcp/", "/"),
            ("/mcp", "mcp/", "/"),
            ("/mcp", "?x", "?x"),
            ("", "/messages", "/messages"),
            ("", "http://internal:8080", "/"),
        ] {
            let expect = Some(format!("https://gw:8443/mcp/tools{rest}"));
            assert_eq!(sent(path, 307, place), Ok(expect), "{path} {place}");
        }
        for place in [
            "/",
            "/mcp2",
            "/mcp/../admin",
            "/mcp/%2e%2e/admin",
            "/mcp/other\\..",
            "http://internal:8081/mcp/",
            "https://internal:8080/mcp/",
            "http://internal:8080@evil/mcp",
            "//evil/mcp/",
            "javascript:x",
            "..",
        ] {
            assert_eq!(sent("/mcp", 307, place), Err(LeadsOut), "{place}");
            assert_eq!(sent("/mcp", 201, place), Ok(None), "{place}");
        }
    }

    #[test]
    fn other_hosts_and_relative_places_stay() {
        for field in [
            "Location: /a",
            "Location: http://internal:8081/",
            "Location: https://internal:8080/",
            "Location: http://internal:8080@evil/",
            "Location: http://elsewhere/?u=http://internal:8080/",
            "Set-Cookie: a=b; Domain=example.com",
        ] {
            assert_eq!(moved_of(&format!("{field}\r\n")), [], "{field}");
        }
        let cookies = moved_of("Set-Cookie: a=b\r\nSet-Cookie: c=d; domain=.internal\r\n");
        let values: Vec<&str> = cookies.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["a=b", "c=d"]);
    }
}
