//! Texts that are plain words.
//!
//! In: a string as JSON writes it. Out: whether it is a short line without structure. Never: true
//! for an object, JSON or YAML, or for one that is packed.

/// The longest line that is words.
const WORDS_BYTES_MAX: usize = 256;
/// A longer run of letters of base64 may be anything that is packed; a sum of SHA-256 is this long.
const RUN_BYTES_MAX: usize = 64;

/// Whether a string is plain words. Its escapes (line ends, quotes) are none.
pub(super) fn are_plain(inner: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let longest = inner.split(|byte| !is_letter(byte)).map(<[u8]>::len).max();
    inner.len() <= WORDS_BYTES_MAX
        && longest.unwrap_or(0) <= RUN_BYTES_MAX
        && !inner.iter().any(|byte| b"{}[]\\".contains(byte) || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_structure_are_words() {
        let sum = "0123456789abcdef".repeat(4);
        for text in ["", "3", "true", "https://example.com/a?b=c", "image: nginx", &sum] {
            assert!(are_plain(text.as_bytes()), "{text}");
        }
        let (packed, long) = ("H4sIAAAA/+".repeat(7), "a b ".repeat(65));
        for text in [r#"{\"a\":1}"#, "[1]", r"a: b\nc: d", r#"say \"a\""#, &packed, &long] {
            assert!(!are_plain(text.as_bytes()), "{text}");
        }
    }
}
