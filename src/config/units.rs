//! Sizes, durations, hours, networks and addresses, as a person writes them.
//!
//! In: text of one value. Out: a number with its unit fixed by the function's name.
//! Never: a guess; what is not in the stated form is `None`.

use std::net::IpAddr;

use super::settings::Network;

/// `64KiB`, `1MiB`, `2GiB`, `512B`: binary units only, so that nobody has to guess.
pub const SIZE_FORM: &str = "a size such as \"512KiB\", \"1MiB\" or \"2GiB\"";
/// `500ms`, `30s`, `10m`, `2h`, `1d`.
pub const DURATION_FORM: &str = "a duration such as \"30s\", \"10m\" or \"2h\"";
/// `08:00-18:00`.
pub const HOURS_FORM: &str = "hours such as \"08:00-18:00\"";
/// `10.0.0.0/8`.
pub const NETWORK_FORM: &str = "a network such as \"10.0.0.0/8\" or an address";
/// `https://id.example.com/tenant`.
pub const ISSUER_FORM: &str =
    "an address such as \"https://id.example.com\"; http:// for this machine's loopback only";
/// `db.internal:5432`.
pub const HOST_FORM: &str = "a host and port such as \"db.internal:5432\" or \"[::1]:5432\"";

/// Bytes.
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Microseconds.
pub fn duration_us(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let factor: u64 = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Minutes of the day: from, inclusive, until, exclusive. `24:00` is the end of the day.
pub fn hours_minutes(text: &str) -> Option<(u16, u16)> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute_of_day(from.trim())?, minute_of_day(until.trim())?);
    (from != until && from < 1440).then_some((from, until))
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && is_number(part);
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= 1440).then_some(minute)
}

/// Digits only: `parse` alone would also take a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `address/prefix`; an address alone is a network of one.
pub fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(digits) if is_number(digits) => digits.parse().ok()?,
        Some(_) => return None,
        None => bits,
    };
    (prefix <= bits).then_some(Network { address, prefix })
}

/// The name of an issuer: an address without query and fragment (OpenID Connect Discovery 1.0,
/// section 3). It is kept byte for byte.
pub fn issuer(text: &str) -> Option<String> {
    (is_trusted_address(text) && !text.contains(['?', '#'])).then(|| text.to_owned())
}

/// Whether what comes from this address is its owner's: `https`, or `http` that does not leave the
/// machine.
pub fn is_trusted_address(text: &str) -> bool {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match host_port(authority, Some(443)) {
        // A user in an address is there to deceive somebody, or holds a password.
        Some((host, _)) => !host.contains(['@', '\\']) && (secure || is_loopback(&host)),
        None => false,
    }
}

/// Whether a host is this machine, without asking anybody.
pub fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Host and port; an IPv6 address in brackets. The port may be left out if there is a default.
pub fn host_port(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':')?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(digits) if is_number(digits) => digits.parse().ok()?,
        Some(_) => return None,
        None => default?,
    };
    let well_formed =
        !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/,@?#".contains(c));
    (well_formed && port != 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_trusted() {
        fn check(text: &str, trusted: bool, name: bool) {
            assert_eq!(is_trusted_address(text), trusted, "{text}");
            assert_eq!(issuer(text).is_some(), name, "{text}");
        }
        check("https://id.example.com", true, true);
        check("https://id.example.com:8443/realms/a/", true, true);
        check("https://[2001:db8::1]/x", true, true);
        check("http://localhost:3000", true, true);
        check("http://127.9.9.9", true, true);
        check("http://[::1]:80/a", true, true);
        check("https://id.example.com/keys?v=1", true, false);
        check("https://id.example.com#x", true, false);
        check("http://id.example.com", false, false);
        check("http://localhost.example.com", false, false);
        check("http://127.0.0.1.example.com", false, false);
        check("http://127.0.0.1@id.example.com", false, false);
        check("https://user:pw@id.example.com", false, false);
        check("https://a\\@b", false, false);
        check("https://", false, false);
        check("https:///x", false, false);
        check("ftp://127.0.0.1", false, false);
        check("HTTPS://id.example.com", false, false);
        check("https://id.example.com/a b", false, false);
        check("https://id.example.com/\u{e9}", false, false);
    }

    #[test]
    fn sizes() {
        fn check(text: &str, expect: Option<u64>) {
            assert_eq!(size_bytes(text), expect, "{text}");
        }
        check("0B", Some(0));
        check("512B", Some(512));
        check("64KiB", Some(65_536));
        check("1 MiB", Some(1 << 20));
        check("2GiB", Some(2 << 30));
        check("1MB", None);
        check("1", None);
        check("MiB", None);
        check("-1MiB", None);
        check("1.5MiB", None);
        check("99999999999999999999GiB", None);
        check("18446744073709551615GiB", None);
        check("", None);
    }

    #[test]
    fn durations() {
        fn check(text: &str, expect: Option<u64>) {
            assert_eq!(duration_us(text), expect, "{text}");
        }
        check("500ms", Some(500_000));
        check("30s", Some(30_000_000));
        check("10m", Some(600_000_000));
        check("2h", Some(7_200_000_000));
        check("1d", Some(86_400_000_000));
        check("10", None);
        check("10min", None);
        check("m", None);
        check("99999999999999999d", None);
    }

    #[test]
    fn hours() {
        fn check(text: &str, expect: Option<(u16, u16)>) {
            assert_eq!(hours_minutes(text), expect, "{text}");
        }
        check("08:00-18:00", Some((480, 1080)));
        check("22:00 - 06:30", Some((1320, 390)));
        check("00:00-24:00", Some((0, 1440)));
        check("24:00-01:00", None);
        check("08:00-08:00", None);
        check("8:00-18:00", None);
        check("08:60-18:00", None);
        check("08:00-24:01", None);
        check("+8:00-18:00", None);
        check("08:00", None);
        check("99:99-99:99", None);
    }

    #[test]
    fn networks() {
        fn check(text: &str, expect: Option<(&str, u8)>) {
            let network = network(text).map(|n| (n.address.to_string(), n.prefix));
            let expect = expect.map(|(address, prefix)| (address.to_owned(), prefix));
            assert_eq!(network, expect, "{text}");
        }
        check("10.0.0.0/8", Some(("10.0.0.0", 8)));
        check("192.0.2.7", Some(("192.0.2.7", 32)));
        check("2001:db8::/32", Some(("2001:db8::", 32)));
        check("::1", Some(("::1", 128)));
        check("0.0.0.0/0", Some(("0.0.0.0", 0)));
        check("10.0.0.0/33", None);
        check("::/129", None);
        check("10.0.0.0/+8", None);
        check("10.0.0.0/", None);
        check("10.0.0/8", None);
        check("localhost", None);
    }

    #[test]
    fn hosts_and_ports() {
        fn check(text: &str, expect: Option<(&str, u16)>) {
            let expect = expect.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_port(text, Some(5432)), expect, "{text}");
        }
        check("db.internal:6000", Some(("db.internal", 6000)));
        check("db.internal", Some(("db.internal", 5432)));
        check("[::1]:6000", Some(("::1", 6000)));
        check("[::1]", Some(("::1", 5432)));
        check("::1", None);
        check("[db]:1", None);
        check("db:", None);
        check("db:0", None);
        check("db:65536", None);
        check("db:+1", None);
        check(":5432", None);
        check("/var/run:5432", None);
        check("a,b:5432", None);
        assert_eq!(host_port("db", None), None);
    }
}
