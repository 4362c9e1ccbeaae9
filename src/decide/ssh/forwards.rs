//! Where a forward leads, in the words of rules: `db.internal:5432`, `[2001:db8::1]:22`,
//! `unix:/run/x.sock`.
//!
//! In: a host and a port as a message has them, or the path of a socket. Out: facts.
//! Never: a name looked up: the target does that, and finds what its resolver says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::files::FilePath;
use crate::decide::{Fact, FactKind};

const KIND: FactKind = FactKind::Forward;

/// A host and a port. Whoever allows by it has to mean all that a target reads it as; who denies
/// or holds meets it by each of its names.
pub(super) fn tcp(host: &[u8], port: u32) -> Vec<Fact> {
    // A target that cuts the port to 16 bits would reach another one.
    let (Some(host), Ok(port)) = (plain(host), u16::try_from(port)) else {
        return vec![Fact::unclear(KIND)];
    };
    let address = address(&host);
    if host.contains(':') && address.is_none() {
        return vec![Fact::unclear(KIND)];
    }
    let written = match address {
        Some(address) if host.parse::<IpAddr>().is_ok() => shown(address),
        _ => host.clone(),
    };
    let mut facts = vec![Fact::is(KIND, format!("{written}:{port}"))];
    // `127.1` and `0x7f000001` are addresses to some resolvers, and names to others.
    if let Some(address) = address.map(shown).filter(|address| *address != written) {
        facts.push(Fact::is(KIND, format!("{address}:{port}")));
    }
    let anywhere =
        host.is_empty() || host == "*" || address.is_some_and(|address| address.is_unspecified());
    let here = anywhere
        || host == "localhost"
        || host.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback());
    let twins = [("localhost", here), ("127.0.0.1", here), ("[::1]", here)];
    let open = [("", anywhere), ("*", anywhere), ("0.0.0.0", anywhere), ("[::]", anywhere)];
    let others = twins.into_iter().chain(open).filter(|(_, is_so)| *is_so);
    facts.extend(others.map(|(name, _)| Fact::maybe(KIND, format!("{name}:{port}"))));
    facts
}

/// A socket.
pub(super) fn unix(path: &FilePath) -> Fact {
    match path.clear {
        true => Fact::is(KIND, [b"unix:", path.text.as_slice()].concat()),
        false => Fact::unclear(KIND),
    }
}

/// Something that may lead anywhere.
pub(super) fn anywhere() -> Fact {
    Fact::unclear(KIND)
}

/// A host in small letters, without the dot that ends a name; none that holds what no host does.
fn plain(host: &[u8]) -> Option<String> {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:*".contains(byte);
    if !host.iter().all(is_known) {
        return None;
    }
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    Some(host.strip_suffix('.').unwrap_or(&host).to_owned())
}

fn shown(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The address that a host is: as it is written, or as `inet_aton` reads it.
fn address(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(address).to_canonical());
    }
    let parts: Vec<&str> = host.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let numbers: Option<Vec<u64>> = parts.iter().map(|part| number(part)).collect();
    let numbers = numbers?;
    let (last, first) = numbers.split_last()?;
    // The last number is all that the others leave.
    let rest = 8 * (4 - u32::try_from(first.len()).ok()?);
    if first.iter().any(|number| *number > 255) || *last >= 1 << rest {
        return None;
    }
    let bits = first.iter().fold(0, |bits, number| bits << 8 | number) << rest | last;
    u32::try_from(bits).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
}

/// Decimal, octal with `0` or hexadecimal with `0x` before it.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_number.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reading;

    /// What it is, and what it may be.
    fn check(host: &str, port: u32, is: &[&str], maybe: &[&str]) {
        let facts = tcp(host.as_bytes(), port);
        let of = |sure: bool| {
            let values = facts.iter().filter_map(move |fact| match &fact.reading {
                Reading::Is(value) if sure => Some(value),
                Reading::Maybe(value) if !sure => Some(value),
                _ => None,
            });
            values.map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!((of(true), of(false)), (owned(is), owned(maybe)), "{host:?} {port}");
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_destination_has_its_names() {
        let here = ["localhost:22", "127.0.0.1:22", "[::1]:22"];
        check("db.internal", 5432, &["db.internal:5432"], &[]);
        check("DB.Internal.", 5432, &["db.internal:5432"], &[]);
        check("10.0.0.7", 22, &["10.0.0.7:22"], &[]);
        check("2001:DB8:0::1", 22, &["[2001:db8::1]:22"], &[]);
        check("::ffff:10.0.0.7", 22, &["10.0.0.7:22"], &[]);
        check("10.7", 22, &["10.7:22", "10.0.0.7:22"], &[]);
        check("0xa000007", 22, &["0xa000007:22", "10.0.0.7:22"], &[]);
        check("012.0.0.07", 22, &["012.0.0.07:22", "10.0.0.7:22"], &[]);
        check("10.0.0.300", 22, &["10.0.0.300:22"], &[]);
        check("localhost", 22, &["localhost:22"], &here);
        check("a.localhost", 22, &["a.localhost:22"], &here);
        check("127.0.0.2", 22, &["127.0.0.2:22"], &here);
        check("::1", 22, &["[::1]:22"], &here);
        let all: Vec<&str> = [&here[..], &[":22", "*:22", "0.0.0.0:22", "[::]:22"]].concat();
        for (host, is) in [("", ":22"), ("*", "*:22"), ("0.0.0.0", "0.0.0.0:22"), ("::", "[::]:22")]
        {
            check(host, 22, &[is], &all);
        }
        for (host, port) in [("db", 65_558), ("a b", 22), ("fe80::1%eth0", 22), ("x:5432", 22)] {
            assert_eq!(tcp(host.as_bytes(), port), [anywhere()], "{host} {port}");
        }
        assert_eq!(tcp(b"\xff", 22), [anywhere()]);
    }
}
