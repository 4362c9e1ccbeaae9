//! Texts of clients that do not speak UTF-8, for the parser, which does.
//!
//! In: the encoding that the server has confirmed, a text. Out: the text in UTF-8.
//! Never: a reading that the server may not share: an encoding that is not in the table, a byte that
//! means nothing in it, an ASCII byte that is half of a character.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// PostgreSQL's names (letters and digits only, see `functions`) for what `encoding_rs` reads.
/// LATIN1 is not among them: the web takes it for windows-1252.
const TABLE: [(&[&str], &Encoding); 28] = [
    (&["latin2", "iso88592"], encoding_rs::ISO_8859_2),
    (&["latin3", "iso88593"], encoding_rs::ISO_8859_3),
    (&["latin4", "iso88594"], encoding_rs::ISO_8859_4),
    (&["latin5", "iso88599"], encoding_rs::WINDOWS_1254),
    (&["latin6", "iso885910"], encoding_rs::ISO_8859_10),
    (&["latin7", "iso885913"], encoding_rs::ISO_8859_13),
    (&["latin8", "iso885914"], encoding_rs::ISO_8859_14),
    (&["latin9", "iso885915"], encoding_rs::ISO_8859_15),
    (&["latin10", "iso885916"], encoding_rs::ISO_8859_16),
    (&["iso88595"], encoding_rs::ISO_8859_5),
    (&["iso88596"], encoding_rs::ISO_8859_6),
    (&["iso88597"], encoding_rs::ISO_8859_7),
    (&["iso88598"], encoding_rs::ISO_8859_8),
    (&["win1250", "windows1250"], encoding_rs::WINDOWS_1250),
    (&["win", "win1251", "windows1251"], encoding_rs::WINDOWS_1251),
    (&["win1252", "windows1252"], encoding_rs::WINDOWS_1252),
    (&["win1253", "windows1253"], encoding_rs::WINDOWS_1253),
    (&["win1254", "windows1254"], encoding_rs::WINDOWS_1254),
    (&["win1255", "windows1255"], encoding_rs::WINDOWS_1255),
    (&["win1256", "windows1256"], encoding_rs::WINDOWS_1256),
    (&["win1257", "windows1257"], encoding_rs::WINDOWS_1257),
    (&["win1258", "windows1258"], encoding_rs::WINDOWS_1258),
    (&["win874", "windows874"], encoding_rs::WINDOWS_874),
    (&["alt", "win866", "windows866"], encoding_rs::IBM866),
    (&["koi8", "koi8r"], encoding_rs::KOI8_R),
    (&["eucjp"], encoding_rs::EUC_JP),
    (&["euckr"], encoding_rs::EUC_KR),
    (&["euccn"], encoding_rs::GBK),
];

/// The text in UTF-8; `None` if it cannot be told what it says. `encoding` is `client_encoding` as
/// the server reports it.
pub fn to_utf8<'t>(encoding: &str, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
    let letters = encoding.bytes().filter(u8::is_ascii_alphanumeric);
    let name: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    if matches!(name.as_str(), "utf8" | "unicode" | "sqlascii") {
        return Some(Cow::Borrowed(text));
    }
    if matches!(name.as_str(), "latin1" | "iso88591") {
        let text: String = text.iter().map(|&byte| char::from(byte)).collect();
        return Some(Cow::Owned(text.into_bytes()));
    }
    let (_, encoding) = TABLE.iter().find(|(names, _)| names.contains(&name.as_str()))?;
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    let read = encoding.decode_without_bom_handling_and_without_replacement(text)?;
    let ascii = |bytes: &[u8]| bytes.iter().filter(|byte| byte.is_ascii()).count();
    (ascii(text) == ascii(read.as_bytes())).then(|| Cow::Owned(read.into_owned().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: &str, text: &[u8], expect: Option<&str>) {
        let read = to_utf8(encoding, text);
        let read = read.as_deref().map(|read| std::str::from_utf8(read).unwrap());
        assert_eq!(read, expect, "{encoding} {text:?}");
    }

    #[test]
    fn texts_are_read() {
        check("LATIN1", b"'\xe9\x80'", Some("'\u{e9}\u{80}'"));
        check("WIN1252", b"'\xe9\x80'", Some("'\u{e9}\u{20ac}'"));
        check("latin9", b"\xa4", Some("\u{20ac}"));
        check("ISO_8859_5", b"\xd0", Some("\u{430}"));
        check("WIN1251", b"\xe0", Some("\u{430}"));
        check("KOI8R", b"\xc1", Some("\u{430}"));
        check("EUC_JP", b"'\xa4\xa2'", Some("'\u{3042}'"));
        check("EUC_KR", b"'\xb0\xa1'", Some("'\u{ac00}'"));
        check("EUC_CN", b"'\xb0\xa1'", Some("'\u{554a}'"));
        check("UTF8", "\u{e9}".as_bytes(), Some("\u{e9}"));
    }

    #[test]
    fn what_cannot_be_told_is_not_read() {
        for unknown in ["SJIS", "WIN932", "BIG5", "GB18030", "UHC", "EUC_TW", "MULE_INTERNAL", ""] {
            check(unknown, b"x", None);
        }
        // Characters of the wider encodings that the web reads under these names.
        check("EUC_KR", b"'\x81\x41'", None);
        check("EUC_CN", b"'\x81\x40'", None);
        check("EUC_JP", b"'\xa4'", None);
        check("ISO_8859_7", b"\xff", None);
    }

    /// No encoding of the table makes, moves or swallows an ASCII byte: quotes stay where they are.
    #[test]
    fn ascii_stays_what_it_is() {
        for (names, encoding) in TABLE {
            for byte in 0..=0x7f_u8 {
                let text = [byte];
                let read = encoding.decode_without_bom_handling_and_without_replacement(&text);
                assert_eq!(read.unwrap().as_bytes(), text, "{names:?}");
            }
            for (one, two) in (0x80..=0xff_u8).flat_map(|one| (0..=0xff).map(move |two| (one, two)))
            {
                let text = [one, two, b'\''];
                let name = names.first().unwrap();
                if let Some(read) = to_utf8(name, &text) {
                    let kept: Vec<u8> = read.iter().copied().filter(u8::is_ascii).collect();
                    let sent: Vec<u8> = text.iter().copied().filter(u8::is_ascii).collect();
                    assert_eq!(kept, sent, "{name} {text:?}");
                }
            }
        }
    }
}
