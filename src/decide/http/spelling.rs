//! What a server may open for a text that is a path or a URL: the same place in one spelling.
//!
//! In: a text. Out: what else it may stand for; whether it may lead anywhere.
//! Never: a reading that an allowance goes by: what is allowed is what is written.
//!
//! ```text
//!   //etc/./x   /srv/../etc/x   FILE:///%65tc/x   /etc/x below /proc/self/root   -->  /etc/x
//!   HTTPS://u@BANK.test.:443\a   https:/bank%2etest/a                     -->  https://bank.test/a
//! ```

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::hex;

/// Longer URLs may lead anywhere.
const ADDRESS_BYTES_MAX: usize = 16 << 10;

/// The longest path that Linux opens (path_resolution(7), `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;

/// Roots of processes within one path, each of which may be where it begins. With more, or in a
/// longer path, it may lead anywhere: to write them all out takes the product of both.
const ROOTS_MAX: usize = 8;

/// What a text may stand for, if it is a path or a URL that is not written in its one spelling.
pub(super) fn others(said: &str) -> Vec<String> {
    let bare = bare(said);
    let mut found = Vec::new();
    match scheme(&bare) {
        Some((scheme, rest)) if scheme == "file" => {
            for rest in [rest.to_owned(), decoded(rest)] {
                found.extend(paths(behind_authority(&rest)));
                // Without a slash it begins at the root all the same (WHATWG URL, "file state").
                found.extend(paths(&format!("/{rest}")));
            }
        }
        Some((scheme, rest)) if is_url(&scheme, rest) && bare.len() <= ADDRESS_BYTES_MAX => {
            // To parsers of RFC 3986 a backslash ends no host: `evil\@bank.test` is of bank.test.
            for ends in [&['/', '\\', '?', '#'][..], &['/', '?', '#']] {
                found.extend(urls(&scheme, rest, ends));
            }
        }
        _ => found.extend(paths(&bare)),
    }
    found.extend(hosts(&bare));
    found.retain(|other| other != said);
    found
}

/// A text without what readers of addresses leave out.
fn bare(said: &str) -> String {
    // Python's urllib takes `<URL:...>` (RFC 3986, C) off; WHATWG takes blanks and line ends out.
    let bare = trimmed(said);
    let bare = bare.strip_prefix('<').and_then(|bare| bare.strip_suffix('>')).unwrap_or(bare);
    let bare = bare.strip_prefix("URL:").unwrap_or(bare);
    bare.chars().filter(|it| !matches!(it, '\t' | '\r' | '\n')).collect()
}

/// Without what nobody sees at its ends: `str.strip()` of Python takes U+001C to U+001F off,
/// `trim()` of JavaScript U+FEFF.
pub(super) fn trimmed(said: &str) -> &str {
    let is_unseen = |it: char| it.is_whitespace() || it.is_control() || is_dropped(it);
    said.trim_matches(is_unseen)
}

/// What a text that may be the name or the address of a host is in its one spelling.
fn hosts(said: &str) -> Vec<String> {
    let is_letter = |it: char| {
        it.is_ascii_alphanumeric()
            || matches!(it, '.' | '-' | '_' | ':' | '[' | ']')
            || !it.is_ascii()
    };
    // A short number is no address that anybody means.
    let is_one = said.contains(|it: char| matches!(it, '.' | ':') || !it.is_ascii())
        || (said.len() >= 8 && said.starts_with(|it: char| it.is_ascii_digit()));
    if !is_one || said.len() > HOST_BYTES_MAX || !said.chars().all(is_letter) {
        return Vec::new();
    }
    let host = match said.parse::<Ipv6Addr>() {
        Ok(address) => host_of(&format!("[{address}]")),
        Err(_) => host_of(said),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = inner.filter(|inner| inner.contains(':')).map(str::to_owned);
    std::iter::once(host).chain(bare).collect()
}

/// The longest name of a host (RFC 1035 2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// Whether a path has segments that stand for others, bytes that some read as the end of one, or
/// what a process has open: then it is below no folder that it names.
pub(super) fn leads_elsewhere(path: &[u8]) -> bool {
    let plain = undotted(&String::from_utf8_lossy(path));
    let mut segments = plain.split('/');
    plain.contains(['\\', '\0'])
        || segments.any(|segment| matches!(segment, "." | ".."))
        || is_of_process(&plain)
}

/// Whether a path leads to what nobody knows: the folder of a process, or what it has open
/// (proc(5)); its root is known. A URL may be too long to be read.
pub(super) fn is_anywhere(said: &str) -> bool {
    if said.len() > ADDRESS_BYTES_MAX
        && scheme(&bare(said)).is_some_and(|(scheme, rest)| is_url(&scheme, rest))
    {
        return true;
    }
    let mut readings = others(said);
    readings.push(said.to_owned());
    let is_known = |path: &String| (1..=ROOTS_MAX).contains(&behind_roots(path).count());
    readings.iter().any(|path| is_of_process(path) && !is_known(path))
}

fn is_of_process(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty() && *segment != ".");
    match (segments.next(), segments.next()) {
        (Some("proc"), Some("sys" | "net" | "bus" | "fs" | "irq" | "tty") | None) => false,
        // `/proc/cpuinfo` is a file; `/proc/self` alone is a folder of what is meant.
        (Some("proc"), Some(_)) => segments.next().is_some(),
        (Some("dev"), Some("fd" | "stdin" | "stdout" | "stderr")) => true,
        _ => false,
    }
}

/// What stands behind the root of a process, wherever a folder may be one: one more than are known
/// at most.
fn behind_roots(path: &str) -> impl Iterator<Item = &str> {
    let is_of_process = path.starts_with("/proc/") && path.len() <= PATH_BYTES_MAX;
    let places = path.match_indices("/root").filter(move |_| is_of_process);
    let behind = places.filter_map(|(at, root)| path.get(at + root.len()..));
    behind.filter(|rest| rest.is_empty() || rest.starts_with('/')).take(ROOTS_MAX + 1)
}

/// A path with what is escaped of its dots and slashes written out.
fn undotted(path: &str) -> String {
    let mut path = path.to_owned();
    for (escaped, plain) in
        [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\")]
    {
        path = path.replace(escaped, plain);
    }
    path
}

/// The paths that a server of files may read: without empty segments and dot segments. One that
/// leads out of a folder that nobody knows may lead anywhere.
fn paths(said: &str) -> Vec<String> {
    let plain = undotted(said).replace('\\', "/");
    let path = plain.split('\0').next().unwrap_or_default();
    if !path.contains('/') {
        return Vec::new();
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut is_absolute = path.starts_with('/');
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => is_absolute |= segments.pop().is_none(),
            other => segments.push(other),
        }
    }
    let root = if is_absolute { "/" } else { "" };
    let clean = format!("{root}{}", segments.join("/"));
    let mut found = Vec::new();
    found.extend(behind_roots(&clean).map(|rest| match rest {
        "" => "/".to_owned(),
        rest => rest.to_owned(),
    }));
    if let Some(rest) = clean.strip_prefix("/var/run/") {
        found.push(format!("/run/{rest}"));
    }
    found.push(clean);
    found
}

/// A scheme in small letters, and what stands behind its colon.
fn scheme(said: &str) -> Option<(String, &str)> {
    let (scheme, rest) = said.split_once(':')?;
    let is_letter = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
    let is_one = scheme.starts_with(|it: char| it.is_ascii_alphabetic())
        && scheme.len() > 1
        && scheme.chars().all(is_letter);
    is_one.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Whether it is a URL with a host. The path of a file's is read at any length.
fn is_url(scheme: &str, rest: &str) -> bool {
    scheme != "file" && (rest.starts_with(['/', '\\']) || is_special(scheme))
}

/// Schemes whose URLs parsers of the web read without the slashes, too (WHATWG URL, 3.1).
fn is_special(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp")
}

/// Behind `//host` of a file's URL: whoever opens it takes the host for their own.
fn behind_authority(rest: &str) -> &str {
    let Some(behind) = rest.strip_prefix("//").or(rest.strip_prefix("\\\\")) else { return rest };
    behind.find(['/', '\\']).and_then(|at| behind.get(at..)).unwrap_or("/")
}

/// The one spelling of a URL, without its port if that is the scheme's, and with it.
fn urls(scheme: &str, rest: &str, ends: &[char]) -> Vec<String> {
    let rest = rest.trim_start_matches(['/', '\\']);
    let end = rest.find(ends).unwrap_or(rest.len());
    let (authority, behind) = (rest.get(..end).unwrap_or(""), rest.get(end..).unwrap_or(""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_port = |port: &str| port.chars().all(|it| it.is_ascii_digit());
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, port.trim_start_matches('0')),
        _ => (host, ""),
    };
    let port_of_scheme = match scheme {
        "http" | "ws" => "80",
        "https" | "wss" => "443",
        "ftp" => "21",
        _ => "",
    };
    let (path, query) = match behind.find(['?', '#']) {
        Some(at) => (behind.get(..at).unwrap_or(""), behind.get(at..).unwrap_or("")),
        None => (behind, ""),
    };
    let query = query.split('#').next().unwrap_or("");
    let slash = if path.ends_with(['/', '\\']) { "/" } else { "" };
    let path = match paths(path).pop().as_deref().map(|path| path.trim_start_matches('/')) {
        None | Some("") => "/".to_owned(),
        Some(path) => format!("/{path}{slash}"),
    };
    let host = host_of(host);
    let mut found = Vec::new();
    for path in [decoded(&path), path] {
        if port.is_empty() || port == port_of_scheme {
            found.push(format!("{scheme}://{host}:{port_of_scheme}{path}{query}"));
            found.push(format!("{scheme}://{host}{path}{query}"));
        } else {
            found.push(format!("{scheme}://{host}:{port}{path}{query}"));
        }
    }
    found
}

/// A host in small letters, decoded, without a dot at its end; an address in its one spelling.
fn host_of(host: &str) -> String {
    let plain = decoded(host).to_lowercase().replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], ".");
    let plain: String = plain.chars().filter(|it| !is_dropped(*it)).map(narrow).collect();
    // Letters in a circle, of mathematics and the like are the plain ones (RFC 3491, UTS 46). What
    // no name may have stays as it is written.
    let plain = stringprep::nameprep(&plain).map_or_else(|_| plain.clone(), Cow::into_owned);
    let plain = plain.strip_suffix('.').unwrap_or(&plain).to_owned();
    let inner = plain.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    if let Some(Ok(address)) = inner.map(str::parse::<Ipv6Addr>) {
        return match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => format!("[{address}]"),
        };
    }
    ipv4(&plain).map_or(plain, |address| address.to_string())
}

/// Letters and digits of full width (U+FF01 to U+FF5E) are those of ASCII to resolvers of names.
fn narrow(letter: char) -> char {
    let code = u32::from(letter);
    let is_wide = (0xff01..=0xff5e).contains(&code);
    char::from_u32(code.saturating_sub(0xfee0)).filter(|_| is_wide).unwrap_or(letter)
}

/// What browsers drop of a name before it is resolved (UTS 46, "ignored").
fn is_dropped(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}')
        || matches!(letter, '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// `127.1`, `0x7f000001`, `017700000001` (inet_aton(3)).
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').collect();
    let (last, before) = parts.split_last()?;
    if before.len() > 3 {
        return None;
    }
    let number = |part: &str| -> Option<u32> {
        match part.strip_prefix("0x") {
            Some("") => Some(0),
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
            None => part.parse().ok(),
        }
    };
    let mut address = number(last)?;
    if u64::from(address) >= 1u64 << (8 * (4 - before.len())) {
        return None;
    }
    for (place, part) in before.iter().enumerate() {
        let byte = number(part).filter(|byte| *byte < 256)?;
        address |= byte << (24 - 8 * place);
    }
    Some(Ipv4Addr::from(address))
}

/// With escapes written out; what is none stands for itself.
fn decoded(said: &str) -> String {
    let bytes = said.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1).copied().zip(bytes.get(at + 2).copied());
        let escaped =
            digits.and_then(|(high, low)| Some(hex::digit(high)? << 4 | hex::digit(low)?));
        match escaped.filter(|_| byte == b'%') {
            Some(escaped) => {
                out.push(escaped);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for said in [
            "HTTPS://BANK.test/a",
            "https://bank.test:443/a",
            "https://u:p@bank.test/a",
            "https://x@y@bank.test/a",
            "https://bank.test./a",
            "https:\\\\bank.test\\a",
            "https:/bank.test/a",
            "https:bank.test/a",
            "https:////bank.test/a",
            "https://bank%2etest/a",
            "https://bank.test/b/../a",
            "https://bank.test/%61",
            " https://bank.test/a",
            "ht\ntps://bank.test/a",
            "<URL:https://bank.test/a>",
            "https://bank\u{3002}test/a#x",
            "https://\u{ff22}ank.test/a",
            "https://evil\\@bank.test/a",
            "https://u:p\\x@bank.test:443/a",
            "https://bank\u{ad}.test/a",
            "https://\u{24d1}ank.test/a",
            "https://\u{1d41b}ank.test/a",
            "https://b\u{200b}an\u{fe0f}k.te\u{2060}st\u{feff}/a",
        ] {
            assert!(others(said).contains(&"https://bank.test/a".to_owned()), "{said}");
        }
        for (said, expect) in [
            ("https://bank.test?x", "https://bank.test/?x"),
            ("HTTPS://bank.test/a/", "https://bank.test/a/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://0177.0.0.1/", "http://127.0.0.1/"),
            ("http://[::ffff:127.0.0.1]/", "http://127.0.0.1/"),
            ("http://a.test:8080", "http://a.test:8080/"),
            ("postgres://U@DB.test/x", "postgres://db.test/x"),
        ] {
            assert!(others(said).contains(&expect.to_owned()), "{said}: {:?}", others(said));
        }
        assert!(!others("https://bank.test/a").contains(&"https://bank.test/a".to_owned()));
        for said in ["note: this", "a:b", "C:\\x", "", "12:30", "select 1 /* x */"] {
            assert!(!others(said).iter().any(|other| other.contains("://")), "{said}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for said in [
            "FILE:///etc/x",
            "File:/etc/x",
            "file:///%65tc/x",
            "file://127.0.0.1/etc/x",
            "file://localhost/%65tc/x",
            "<file:///etc/x>",
            "file:etc/x",
            "FILE:./etc/x",
            "file:y/../etc/x",
            "file:%2e/etc/x",
            "\u{feff}/etc/./x\u{1c}",
            concat!("/proc/self/root", "/etc/x"),
            concat!("/proc/1/task/1/root", "//etc/x"),
            concat!("//proc/self/root", "/../root", "/etc/x"),
            concat!("/proc/self/root", "/proc/self/root", "/etc/x"),
        ] {
            assert!(others(said).contains(&"/etc/x".to_owned()), "{said}: {:?}", others(said));
        }
        let of_root = concat!("/proc/self/root", "/root", "/x");
        assert!(others(of_root).contains(&concat!("/root", "/x").to_owned()));
        assert!(is_anywhere("/proc/self/cwd/x") && is_anywhere("//dev/fd/3"));
        assert!(is_anywhere("file:///proc/self/fd/3"));
        assert!(
            !is_anywhere(concat!("/proc/self/root", "/etc/x")) && !is_anywhere("/proc/cpuinfo")
        );
        assert!(!is_anywhere("/proc/sys/kernel/osrelease") && !is_anywhere("/process/a/b/c"));
        assert!(
            leads_elsewhere(concat!("/proc/self/root", "/etc/x").as_bytes())
                && !leads_elsewhere(b"/srv/x")
        );
    }

    #[test]
    fn a_host_has_one_spelling() {
        for said in [
            "0x0a000001",
            "10.1",
            "012.0.0.1",
            "::ffff:10.0.0.1",
            "[::FFFF:a00:1]",
            "10.0.0.1.",
            "167772161",
            "\u{ff11}0.0.0.1",
            " 10.0.1\u{1f}",
        ] {
            assert!(others(said).contains(&"10.0.0.1".to_owned()), "{said}: {:?}", others(said));
        }
        for (said, expect) in [
            ("BANK.test.", "bank.test"),
            ("0:0::1", "::1"),
            ("0::1", "[::1]"),
            ("b\u{ad}.t", "b.t"),
        ] {
            assert!(others(said).contains(&expect.to_owned()), "{said}: {:?}", others(said));
        }
        for said in ["word", "two words", "a=b", "10.0.0.1"] {
            assert_eq!(others(said), [""; 0], "{said}");
        }
    }

    #[test]
    fn a_path_of_many_roots_leads_anywhere() {
        for count in [ROOTS_MAX + 1, 500, 60_000] {
            let path = format!("{}/etc/x", concat!("/proc/self", "/root").repeat(count));
            let readings = others(&path);
            let bytes: usize = readings.iter().map(String::len).sum();
            assert!(bytes <= (ROOTS_MAX + 3) * path.len().max(1), "{count}: {bytes}");
            assert!(is_anywhere(&path) && is_anywhere(&format!("file://{path}")), "{count}");
        }
        let long = |start: &str| format!("{start}{}etc/x", "./".repeat(ADDRESS_BYTES_MAX));
        assert!(others(&long("file:///")).contains(&"/etc/x".to_owned()));
        assert!(is_anywhere(&long("https://bank.test/")) && is_anywhere(&long("HTTPS:bank.test/")));
        assert!(!is_anywhere(&long("note: ")) && !is_anywhere(&long("/")));
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_said_panics(said in ".{0,64}") {
            let _ = (others(&said), is_anywhere(&said), leads_elsewhere(said.as_bytes()));
        }
    }
}
