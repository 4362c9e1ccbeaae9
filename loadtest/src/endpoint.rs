//! Where to connect and as whom: `postgres://user:password@host:port/database?sslmode=require`.
//!
//! In: text. Out: `Endpoint`, or a sentence that says what is wrong. Never: name resolution; a
//! parameter that is passed over, since it may be the one that asks for TLS.

use std::path::PathBuf;

/// A place to connect to, and who connects.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password; empty if the server asks for none.
    pub password: String,
    /// Database.
    pub database: String,
    /// `None`: the connection is in clear.
    pub tls: Option<Tls>,
}

/// TLS as an endpoint is to be asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file: the certificate must come from one of these and name the host (libpq's
    /// `verify-full`). Without it any certificate will do (`require`).
    pub roots: Option<PathBuf>,
    /// The handshake begins at once, without asking first (`sslnegotiation=direct`).
    pub direct: bool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

impl Endpoint {
    /// Reads a URL. The password may come from `PGPASSWORD` instead.
    ///
    /// # Errors
    /// A sentence for the person who typed it.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| {
                format!("{url}: expected postgres://user:password@host:port/database")
            })?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_port(place, 5432)?;
        let user = unescape(user)?;
        let user = if user.is_empty() { "postgres".to_owned() } else { user };
        let password = match unescape(password)? {
            given if given.is_empty() => std::env::var("PGPASSWORD").unwrap_or_default(),
            given => given,
        };
        let database = if database.is_empty() { user.clone() } else { unescape(database)? };
        let tls = read_tls(parameters)?;
        Ok(Endpoint { host, port, user, password, database, tls })
    }
}

/// libpq's parameters of the same names. `allow` and `prefer` are left out: what is measured must
/// not depend on what the server happens to offer.
fn read_tls(parameters: &str) -> Result<Option<Tls>, String> {
    let (mut mode, mut roots, mut direct) = ("disable", None, false);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("sslmode", value @ ("disable" | "require" | "verify-full")) => mode = value,
            ("sslmode", _) => {
                return Err(format!("{parameter}: expected disable, require or verify-full"));
            }
            ("sslrootcert", path) => roots = Some(PathBuf::from(unescape(path)?)),
            ("sslnegotiation", "postgres") => direct = false,
            ("sslnegotiation", "direct") => direct = true,
            ("sslnegotiation", _) => {
                return Err(format!("{parameter}: expected postgres or direct"));
            }
            _ => {
                return Err(format!(
                    "{parameter}: expected sslmode, sslrootcert or sslnegotiation"
                ));
            }
        }
    }
    match (mode, roots) {
        ("disable", None) if !direct => Ok(None),
        ("disable", _) => {
            Err("sslrootcert and sslnegotiation=direct need sslmode=verify-full or require".into())
        }
        ("require", Some(_)) => {
            Err("sslrootcert: sslmode=require takes any certificate; use verify-full".into())
        }
        ("verify-full", None) => {
            Err("sslmode=verify-full needs sslrootcert, a PEM file of the roots".into())
        }
        (_, roots) => Ok(Some(Tls { roots, direct })),
    }
}

/// Host and port; without a port, `usual`.
pub(crate) fn split_port(place: &str, usual: u16) -> Result<(String, u16), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => usual,
        Some(text) => text.parse().map_err(|_| format!("{text}: expected a port, 1 to 65535"))?,
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok((host.to_owned(), port))
}

/// Without its `%XX`.
pub(crate) fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(format!("{text}: expected two hex digits after %")),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{text}: not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expect: (&str, &str, &str, u16, &str)) {
        let got = Endpoint::parse(url).unwrap();
        let got = (&*got.user, &*got.password, &*got.host, got.port, &*got.database);
        assert_eq!(got, expect, "{url}");
    }

    #[test]
    fn reads_urls() {
        check("postgres://u:p@h:1/d", ("u", "p", "h", 1, "d"));
        check("postgresql://u:p@h/d?sslmode=disable", ("u", "p", "h", 5432, "d"));
        check("postgres://u:a%40b@[::1]:7/d%2f", ("u", "a@b", "::1", 7, "d/"));
        check("postgres://u:x@h", ("u", "x", "h", 5432, "u"));
        check("postgres://u:x@h?sslmode=disable", ("u", "x", "h", 5432, "u"));
    }

    #[test]
    fn names_what_is_wrong() {
        for url in [
            "mysql://h/d",
            "postgres://h:port/d",
            "postgres://u:%zz@h/d",
            "postgres://h/d?sslmode=prefer",
            "postgres://h/d?sslmode",
            "postgres://h/d?application_name=x",
            "postgres://h/d?sslmode=verify-full",
            "postgres://h/d?sslmode=require&sslrootcert=r.pem",
            "postgres://h/d?sslrootcert=r.pem",
            "postgres://h/d?sslnegotiation=direct",
            "postgres://h/d?sslmode=require&sslnegotiation=later",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn reads_what_it_says_of_tls() {
        for (query, roots, direct) in [
            ("sslmode=require", None, false),
            ("sslnegotiation=direct&sslmode=require", None, true),
            ("sslmode=verify-full&sslrootcert=a%20b.pem", Some("a b.pem"), false),
        ] {
            let endpoint = Endpoint::parse(&format!("postgres://h/d?{query}")).unwrap();
            let expect = Tls { roots: roots.map(PathBuf::from), direct };
            assert_eq!((endpoint.database.as_str(), endpoint.tls), ("d", Some(expect)), "{query}");
        }
        assert_eq!(Endpoint::parse("postgres://h/d?").unwrap().tls, None);
    }

    #[test]
    fn does_not_print_the_password() {
        let endpoint = Endpoint::parse("postgres://u:hidden@h/d").unwrap();
        assert!(!format!("{endpoint:?}").contains("hidden"));
    }
}
