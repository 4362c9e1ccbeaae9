//! Patterns of rules: objects, networks, hours.
//!
//! In: text of the configuration, once. Out: tests without allocation.
//! Never: a pattern that matches nothing because of its form; `config` refuses those.

use std::net::IpAddr;

use super::super::Object;
use crate::config::settings::Network;
use crate::identify::glob::glob;

/// A compiled `touches` pattern.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    schema: String,
    name: String,
}

impl Touch {
    /// `schema.name`; without a dot, any schema.
    pub(super) fn new(pattern: &str) -> Touch {
        let (schema, name) = pattern.rsplit_once('.').unwrap_or(("*", pattern));
        Touch { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// Whether the object may be one that the pattern means.
    pub(super) fn meets(&self, object: &Object) -> bool {
        let schema = object.place().is_none_or(|place| place == "*" || glob(&self.schema, &place));
        // A statement on a whole schema touches each object of it.
        schema && (object.name == "*" || glob(&self.name, &object.name))
    }

    /// Whether the object is one that the pattern means.
    pub(super) fn covers(&self, object: &Object) -> bool {
        let implied = if object.name.starts_with("pg_") { "pg_catalog" } else { "public" };
        let place = object.place();
        let schema = place.as_deref().unwrap_or(implied);
        // `*` as an object is every object of the schema: only a pattern for all of them covers it.
        glob(&self.schema, schema) && glob(&self.name, &object.name)
    }
}

/// A network as bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetworkMask {
    bits: u128,
    mask: u128,
    v4: bool,
}

impl NetworkMask {
    pub(super) fn new(network: &Network) -> NetworkMask {
        let (bits, v4) = bits(network.address);
        // IPv4 stands in the low 32 bits: its prefix counts from there.
        let prefix = u32::from(network.prefix) + if v4 { 96 } else { 0 };
        let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
        NetworkMask { bits: bits & mask, mask, v4 }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address);
        v4 == self.v4 && bits & self.mask == self.bits
    }
}

/// A client that reaches a dual-stack listener by IPv4 shows as `::ffff:a.b.c.d`.
fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

/// Whether the time of day is from the first minute up to, not including, the second; a first
/// minute after the second means over midnight.
pub(super) fn in_hours((from, until): (u16, u16), wall_us: i64) -> bool {
    let minute = wall_us.div_euclid(60_000_000).rem_euclid(1440);
    let (from, until) = (i64::from(from), i64::from(until));
    if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touches() {
        fn check(pattern: &str, object: &str, meets: bool, covers: bool) {
            let object = match object.split_once('.') {
                Some((schema, name)) => Object::within(schema, name, false),
                None => Object::bare(object, false),
            };
            let touch = Touch::new(pattern);
            let outcome = (touch.meets(&object), touch.covers(&object));
            assert_eq!(outcome, (meets, covers), "{pattern} {object:?}");
        }
        check("public.customers", "public.customers", true, true);
        check("public.customers", "customers", true, true);
        check("sales.customers", "customers", true, false);
        check("sales.customers", "public.customers", false, false);
        check("*.customers", "x.customers", true, true);
        check("customers", "x.customers", true, true);
        check("public.*", "orders", true, true);
        check("public.*", "pg_class", true, false);
        check("pg_catalog.*", "pg_class", true, true);
        check("audit_*", "audit_2024", true, true);
        check("public.customers", "Customers", false, false);
        check("public.customers", "public.*", true, false);
        check("public.*", "public.*", true, true);
        check("sales.customers", "public.*", false, false);
        check("sales.customers", "*.*", true, false);
        check("public.*", "*.*", true, false);
        check("*.*", "*.*", true, true);
    }

    #[test]
    fn networks() {
        fn check(network: &str, prefix: u8, address: &str, expect: bool) {
            let mask = NetworkMask::new(&Network { address: network.parse().unwrap(), prefix });
            assert_eq!(mask.contains(address.parse().unwrap()), expect, "{network} {address}");
        }
        check("10.0.0.0", 8, "10.1.2.3", true);
        check("10.9.9.9", 8, "10.1.2.3", true);
        check("10.0.0.0", 8, "11.0.0.0", false);
        check("10.0.0.0", 8, "::ffff:10.1.2.3", true);
        check("192.0.2.7", 32, "192.0.2.7", true);
        check("192.0.2.7", 32, "192.0.2.6", false);
        check("0.0.0.0", 0, "8.8.8.8", true);
        check("0.0.0.0", 0, "2001:db8::1", false);
        check("::", 0, "2001:db8::1", true);
        check("::", 0, "8.8.8.8", false);
        check("2001:db8::", 32, "2001:db8:1::1", true);
        check("2001:db8::", 32, "2001:db9::1", false);
        check("::1", 128, "::1", true);
    }

    #[test]
    fn hours() {
        fn check(hours: (u16, u16), minute: i64, expect: bool) {
            assert_eq!(in_hours(hours, minute * 60_000_000 + 59), expect, "{hours:?} {minute}");
        }
        check((480, 1080), 479, false);
        check((480, 1080), 480, true);
        check((480, 1080), 1079, true);
        check((480, 1080), 1080, false);
        check((480, 1080), 1440 * 20_000 + 500, true);
        check((1320, 360), 1320, true);
        check((1320, 360), 0, true);
        check((1320, 360), 359, true);
        check((1320, 360), 360, false);
        check((0, 1440), 1439, true);
        check((480, 1080), -1440 + 500, true);
    }
}
