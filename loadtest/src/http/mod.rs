//! What is asked of an HTTP server: a URL, a method, fields, a body; as bytes of both versions.
//!
//! In: text. Out: `Http`. Never: name resolution; a request that differs from the one before it.
//!
//! The parsers beside this one are the crate's own and small: the loop is without an executor, so
//! the well-kept crates (h2, hyper) would bring one, and what they do beyond framing would be
//! measured with the server.

pub mod frame;
pub mod hpack;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::endpoint::{Tls, split_port, unescape};

/// The smallest body that is JSON with a text in it.
const JSON_BYTES_MIN: usize = 11;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1, connections are kept.
    One,
    /// HTTP/2: by ALPN over TLS, with prior knowledge in clear.
    Two,
}

impl Version {
    /// The name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Version::One => "http/1.1",
            Version::Two => "http/2",
        }
    }

    /// The name in ALPN.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Version::One => b"http/1.1",
            Version::Two => b"h2",
        }
    }

    /// Whether it is HTTP/2.
    pub const fn is_two(self) -> bool {
        matches!(self, Version::Two)
    }
}

/// One request, again and again.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// As it was given, without a password.
    pub url: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `None`: the connection is in clear.
    pub tls: Option<Tls>,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// `GET`, `POST`, ...
    pub method: String,
    /// The request of HTTP/1.1, with its body.
    pub one: Vec<u8>,
    /// The fields of HTTP/2, pseudo fields first.
    pub fields: Vec<(String, String)>,
    /// The body of HTTP/2.
    pub body: Vec<u8>,
    path: String,
    authority: String,
    headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.url, self.version.name())
    }
}

impl Http {
    /// A GET of a URL: `http://user:password@host:port/path?query`; `https` takes any certificate.
    ///
    /// # Errors
    /// A sentence for the person who typed it.
    pub fn parse(url: &str) -> Result<Http, String> {
        let fail = || format!("{url}: expected http:// or https://user:password@host:port/path");
        let (scheme, rest) = url.split_once("://").ok_or_else(fail)?;
        let (tls, usual) = match scheme {
            "http" => (None, 80),
            "https" => (Some(Tls { roots: None, direct: true }), 443),
            _ => return Err(fail()),
        };
        let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let path = path.split('#').next().unwrap_or("");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.bytes().chain(authority.bytes()).any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("{url}: a space, or a letter that is not ASCII; write it as %XX"));
        }
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = split_port(place, usual)?;
        let mut headers = vec![];
        if !login.is_empty() {
            let proof = STANDARD.encode(unescape(login)?);
            headers.push(("authorization".to_owned(), format!("Basic {proof}")));
        }
        let mut http = Http {
            url: format!("{scheme}://{place}{path}"),
            host,
            port,
            tls,
            version: Version::One,
            method: "GET".to_owned(),
            one: vec![],
            fields: vec![],
            body: vec![],
            path,
            authority: place.to_owned(),
            headers,
        };
        http.write();
        Ok(http)
    }

    /// With this version, method, further fields (`Name: value`) and bytes of body. A body is JSON
    /// with one long text, unless a field says otherwise or it is too short for that.
    ///
    /// # Errors
    /// A sentence: what cannot be a field or a method.
    pub fn with(
        mut self,
        (version, method): (Version, &str),
        headers: &[String],
        body_bytes: usize,
    ) -> Result<Http, String> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("{method}: no method"));
        }
        (self.version, self.method) = (version, method.to_owned());
        for header in headers {
            let (name, value) =
                header.split_once(':').ok_or_else(|| format!("{header}: expected Name: value"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let is_token =
                |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0'])
            {
                return Err(format!("{header}: expected Name: value"));
            }
            if name == "host" {
                self.authority = value.to_owned();
            } else {
                self.headers.push((name, value.to_owned()));
            }
        }
        self.body = body(body_bytes);
        if body_bytes > 0 && !self.headers.iter().any(|(name, _)| name == "content-type") {
            self.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        self.write();
        Ok(self)
    }

    /// TLS from one of these roots only.
    ///
    /// # Errors
    /// The URL is one in clear.
    pub fn verified(mut self, roots: std::path::PathBuf) -> Result<Http, String> {
        let tls = self.tls.as_mut().ok_or_else(|| format!("{}: roots are for https", self.url))?;
        tls.roots = Some(roots);
        Ok(self)
    }

    /// The request in both versions.
    fn write(&mut self) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = self.headers.clone();
        headers.push(own("user-agent", "weir-load"));
        headers.push(own("accept", "*/*"));
        if !self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") {
            headers.push(own("content-length", &self.body.len().to_string()));
        }
        self.one =
            format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.path, self.authority)
                .into_bytes();
        for (name, value) in &headers {
            self.one.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        self.one.extend_from_slice(b"\r\n");
        self.one.extend_from_slice(&self.body);
        self.fields = vec![
            own(":method", &self.method),
            own(":scheme", scheme),
            own(":authority", &self.authority),
            own(":path", &self.path),
        ];
        // A connection's own field means nothing in HTTP/2.
        self.fields.extend(headers.into_iter().filter(|(name, _)| name != "connection"));
    }
}

/// Bytes of a body: JSON where there is room for it.
pub fn body(bytes: usize) -> Vec<u8> {
    let Some(filler) = bytes.checked_sub(JSON_BYTES_MIN) else { return vec![b'0'; bytes] };
    format!("{{\"text\":\"{}\"}}", "x".repeat(filler)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_requests() {
        let http = Http::parse("http://u:p%40@h:81/a/b?c=d#e").unwrap();
        assert_eq!((http.host.as_str(), http.port, http.tls.is_some()), ("h", 81, false));
        let text = String::from_utf8(http.one.clone()).unwrap();
        assert!(text.starts_with("GET /a/b?c=d HTTP/1.1\r\nhost: h:81\r\n"), "{text}");
        assert!(text.contains("authorization: Basic dTpwQA==\r\n"), "{text}");
        assert!(!format!("{http:?}").contains("p%40"), "the password does not print");
        let https = Http::parse("https://[::1]").unwrap();
        assert_eq!((https.host.as_str(), https.port, https.tls.is_some()), ("::1", 443, true));
        assert!(https.one.starts_with(b"GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn bodies_and_fields_are_in_both_versions() {
        let headers = ["Host: billing".to_owned(), "X-Token: t".to_owned()];
        let http = Http::parse("http://h/").unwrap();
        let http = http.with((Version::Two, "POST"), &headers, 1024).unwrap();
        let text = String::from_utf8(http.one.clone()).unwrap();
        assert!(text.starts_with("POST / HTTP/1.1\r\nhost: billing\r\nx-token: t\r\n"), "{text}");
        assert!(text.contains("content-length: 1024\r\n"), "{text}");
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 1024);
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
        let names: Vec<&str> = http.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..5], [":method", ":scheme", ":authority", ":path", "x-token"]);
        assert_eq!((body.as_bytes(), super::body(3).len()), (&*http.body, 3));
    }

    #[test]
    fn names_what_is_wrong() {
        for url in ["ftp://h/", "h/", "http://h:port/", "http://h/a b", "http://u:%zz@h/"] {
            assert!(Http::parse(url).is_err(), "{url}");
        }
        for (method, header) in
            [("GET", "no colon"), ("GET", "a b: c"), ("GE T", "a: b"), ("", "a: b")]
        {
            let http = Http::parse("http://h/").unwrap();
            assert!(http.with((Version::One, method), &[header.to_owned()], 0).is_err());
        }
        assert!(Http::parse("http://h/").unwrap().verified("r.pem".into()).is_err());
    }
}
