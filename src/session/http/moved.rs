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
