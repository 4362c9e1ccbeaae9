//! Hexadecimal digits.
//!
//! In: bytes, digits. Out: digits in lower case, values.

/// Two digits a byte, in lower case.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].map(|value| char::from(DIGITS[usize::from(value)])));
    }
    text
}

/// The value of a digit, in either case.
pub const fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back() {
        for byte in 0..=u8::MAX {
            let text = text(&[byte]);
            assert_eq!(text, format!("{byte:02x}"));
            for text in [text.clone(), text.to_uppercase()] {
                let values: Vec<u8> = text.bytes().map(|c| digit(c).unwrap()).collect();
                assert_eq!(values, [byte >> 4, byte & 15]);
            }
        }
        let digits = (0..=u8::MAX).filter(|byte| digit(*byte).is_some()).count();
        assert_eq!(digits, 22);
    }
}
