//! What a request must not be before it is decided: that of a page of another origin in its
//! reader's name, or one that its target reads as something else.
//!
//! In: a request, its target. Out: nothing, or the reason for which it is refused.
//! Never: a change by a page that its reader did not mean to let in.
//!
//! Browsers attach a certificate and a saved Basic login by themselves, also to what foreign pages
//! ask for without a preflight: forms, images, `fetch` in the mode `no-cors`, WebSockets. A target
//! behind weir sees weir's own credential and cannot tell. A token (`Bearer`) is attached by nobody
//! but the page that has it.

use crate::config::settings::Speaks;
use crate::session::Stage;
use crate::wire::http::auth::{Credentials, credentials};
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::ws::handshake::Asked;
use crate::wire::http::{Refused, check, name};

use super::exchange::Request;
use super::tenure::Tenure;
use super::{Session, bound, masked};

/// Whether a request to this target is that of a foreign page.
pub(super) fn is_at(request: &Request, target: usize, stage: &Stage<'_>) -> bool {
    let target = stage.snapshot.settings.targets.get(target);
    let http = target.and_then(|target| target.http.as_ref());
    // A server of MCP has a check of its own (`rpc::check_origin`), whoever asks.
    let http = http.filter(|http| http.speaks != Speaks::Mcp);
    let Some(http) = http else { return false };
    is_foreign(&request.head, request.asks, &http.origins)
}

/// Fields by which a target lets pages of other origins read its answer (WHATWG Fetch, 3.2.3): it
/// says so of clients that bring a token of their own, not of those that a browser logs in.
pub(super) const READABLE: [&[u8]; 2] =
    [b"access-control-allow-origin", b"access-control-allow-credentials"];

impl Tenure {
    /// Whether the page that asks, if one does, may read the answer where its target lets it.
    pub(super) fn may_read(&self, request: &Request) -> bool {
        let Some(http) = self.http() else { return true };
        let head = &request.head;
        let is_given = |value: &[u8]| matches!(credentials(value), Credentials::Bearer(_));
        head.values(Name::Authorization).any(is_given)
            || head.values(Name::Origin).all(|origin| is_own(origin, head, &http.origins))
    }
}

/// Whether an origin is that of the request, or one that the target lets in.
fn is_own(origin: &[u8], head: &Head, origins: &[String]) -> bool {
    let named = origin.strip_prefix(b"https://").or(origin.strip_prefix(b"http://"));
    named.is_some_and(|named| named.eq_ignore_ascii_case(head.authority()))
        || origins.iter().any(|known| origin.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether it is the request of a foreign page that a browser has signed. `origins` are those that
/// the target lets in.
fn is_foreign(head: &Head, asks: Asked, origins: &[String]) -> bool {
    let is_safe = matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS") && asks == Asked::Nothing;
    let is_given = |value: &[u8]| matches!(credentials(value), Credentials::Bearer(_));
    if is_safe || head.values(Name::Authorization).any(is_given) {
        return false;
    }
    let mut origin = head.values(Name::Origin).peekable();
    if origin.peek().is_some() {
        return !origin.all(|origin| is_own(origin, head, origins));
    }
    // A request without an origin is of no page, unless the browser says so (W3C, Fetch Metadata).
    // `none` is what a person typed or chose.
    let is_near = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    !head.spelt(b"sec-fetch-site").all(is_near)
}

impl Session {
    /// What a request must not say to this target: a path that leaves the one which goes before it,
    /// a field that some take for the one which has the target's credential.
    pub(super) fn check_onward(&self, head: &Head, prefix: usize) -> Result<(), Refused> {
        let Some(tenure) = self.tenures.get(self.current) else { return Ok(()) };
        if let Some(header) = &tenure.credential.header {
            let mut names = head.named().map(|(_, name, _)| name);
            if names.any(|name| name::is_alias_of(name, header.name.as_bytes())) {
                return Err(Refused::Alias);
            }
        }
        let mut names = head.named().map(|(_, name, _)| name);
        if tenure.speaks_mcp() && names.any(|name| name::is_alias_of(name, bound::FIELD)) {
            return Err(Refused::Alias);
        }
        let Some(http) = tenure.http().filter(|http| http.speaks != Speaks::Kubernetes) else {
            return Ok(());
        };
        if !tenure.masks.is_empty() {
            masked::check_conditions(head)?;
        }
        if (prefix > 0 || http.path.len() > 1) && head.target() != b"*" {
            check::path_readings(head.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::h1::HeadReader;
    use crate::wire::http::h1::read::Kind;

    fn foreign(line: &str, fields: &str) -> bool {
        let text = format!("{line} HTTP/1.1\r\nHost: own.test:8443\r\n{fields}\r\n");
        let mut head = Head::default();
        let mut input = text.as_bytes();
        let read = HeadReader::default().next(&mut input, &mut head, Kind::Request);
        assert_eq!(read, Ok(true), "{text}");
        let asks = match fields.contains("Upgrade") {
            true => Asked::Websocket,
            false => Asked::Nothing,
        };
        is_foreign(&head, asks, &["https://app.test".to_owned()])
    }

    #[test]
    fn a_foreign_page_changes_nothing_by_a_login_that_its_browser_attaches() {
        const BASIC: &str = "Authorization: Basic YTpi\r\n";
        const SOCKET: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        let sockets = [
            format!("Origin: https://evil.test\r\n{SOCKET}"),
            format!("Sec-Fetch-Site: cross-site\r\n{SOCKET}"),
        ];
        for (line, fields) in [
            ("POST /", "Origin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\n"),
            ("POST /", "Origin: https://evil.test\r\n"),
            ("POST /", "Origin: null\r\n"),
            ("POST /", "Origin: https://own.test\r\n"),
            ("POST /", "Origin: https://x.own.test:8443\r\nSec-Fetch-Site: same-site\r\n"),
            ("POST /", "Sec-Fetch-Site: cross-site\r\n"),
            ("POST /", "Sec-Fetch-Site: same-site\r\n"),
            ("DELETE /", "Origin: https://evil.test\r\n"),
            ("GET /", sockets[0].as_str()),
            ("GET /", sockets[1].as_str()),
        ] {
            assert!(foreign(line, fields), "{line} {fields}");
            assert!(foreign(line, &format!("{BASIC}{fields}")), "{line} {fields}");
            let token = format!("Authorization: Bearer weir_x\r\n{fields}");
            assert!(!foreign(line, &token), "{line} {token}");
        }
    }

    #[test]
    fn everybody_else_passes() {
        for (line, fields) in [
            ("POST /", ""),
            ("POST /", "Origin: https://own.test:8443\r\nSec-Fetch-Site: same-origin\r\n"),
            ("POST /", "Origin: https://OWN.test:8443\r\n"),
            ("POST /", "Origin: https://app.test\r\nSec-Fetch-Site: cross-site\r\n"),
            ("POST /", "Sec-Fetch-Site: none\r\n"),
            ("POST /", "Sec-Fetch-Site: same-origin\r\n"),
            ("GET /", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"),
            ("GET /", "Origin: https://evil.test\r\n"),
            ("GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ] {
            assert!(!foreign(line, fields), "{line} {fields}");
        }
    }
}
