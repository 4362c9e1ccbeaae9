//! gRPC over HTTP/2: how long the client of a call waits.
//!
//! In: a value of `grpc-timeout`. Out: microseconds. Never: a time that the value does not say.

use crate::limits::GRPC_TIMEOUT_US_MAX;

/// Microseconds of a `grpc-timeout`: at most eight digits and a unit.
pub fn timeout_us(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let is_number = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    let us = match unit {
        b'H' => number * 3_600_000_000,
        b'M' => number * 60_000_000,
        b'S' => number * 1_000_000,
        b'm' => number * 1_000,
        b'u' => number,
        b'n' => number / 1_000,
        _ => return None,
    };
    Some(us.min(GRPC_TIMEOUT_US_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(timeout_us(b"100m"), Some(100_000));
        assert_eq!(timeout_us(b"5S"), Some(5_000_000));
        assert_eq!(timeout_us(b"99999999H"), Some(GRPC_TIMEOUT_US_MAX));
        for value in ["", "S", "5", "-5S", "5s", "123456789S", " 5S"] {
            assert_eq!(timeout_us(value.as_bytes()), None, "{value}");
        }
    }
}
