//! As much of HPACK (RFC 7541) as a client needs that asks the same each time.
//!
//! In: the fields of a request; the first field of an answer. Out: two blocks, a status.
//! Never: a table of the server's; only the status is looked at, which stands first.
//!
//! The first request of a connection puts its fields into the server's table, all after it are
//! indices, as with browsers and libraries that keep a connection. Texts are without Huffman's
//! code: they are sent once.

/// The table that both sides begin with.
const TABLE_BYTES: usize = 4096;
/// What an entry costs beside its texts (section 4.1).
const ENTRY_BYTES: usize = 32;
/// Entries of the static table (appendix A).
const STATIC_COUNT: usize = 61;

/// A request as bytes: the first of a connection, and those after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Fills the table.
    pub first: Vec<u8>,
    /// Refers to it.
    pub next: Vec<u8>,
}

impl Blocks {
    /// For a server whose table holds `table_bytes`.
    pub fn new(fields: &[(String, String)], table_bytes: usize) -> Blocks {
        let table = table_bytes.min(TABLE_BYTES);
        let mut first = vec![];
        if table < TABLE_BYTES {
            integer(&mut first, (0x20, 5), table);
        }
        let is_kept = |(name, value): &&(String, String)| static_pair(name, value).is_none();
        let size = |(name, value): &(String, String)| name.len() + value.len() + ENTRY_BYTES;
        let kept: Vec<_> = fields.iter().filter(is_kept).collect();
        let fits = kept.iter().map(|field| size(field)).sum::<usize>() <= table;
        let mut next = vec![];
        let mut before = 0;
        for (name, value) in fields {
            if let Some(index) = static_pair(name, value) {
                integer(&mut first, (0x80, 7), index);
                integer(&mut next, (0x80, 7), index);
                continue;
            }
            literal(&mut first, fits, name, value);
            if fits {
                // The entry that came last has the lowest index.
                before += 1;
                integer(&mut next, (0x80, 7), STATIC_COUNT + 1 + kept.len() - before);
            } else {
                literal(&mut next, false, name, value);
            }
        }
        Blocks { first, next }
    }
}

/// A literal, with its name from the static table if it is there.
fn literal(out: &mut Vec<u8>, kept: bool, name: &str, value: &str) {
    let prefix = if kept { (0x40, 6) } else { (0x00, 4) };
    let known = STATIC_NAMES.iter().find(|(_, known)| *known == name);
    integer(out, prefix, known.map_or(0, |(index, _)| *index));
    if known.is_none() {
        text(out, name);
    }
    text(out, value);
}

fn text(out: &mut Vec<u8>, text: &str) {
    integer(out, (0x00, 7), text.len());
    out.extend_from_slice(text.as_bytes());
}

/// An integer behind the flags of its first byte (section 5.1).
pub fn integer(out: &mut Vec<u8>, (flags, bits): (u8, u32), value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Pairs of the static table that requests have.
fn static_pair(name: &str, value: &str) -> Option<usize> {
    Some(match (name, value) {
        (":method", "GET") => 2,
        (":method", "POST") => 3,
        (":path", "/") => 4,
        (":scheme", "http") => 6,
        (":scheme", "https") => 7,
        _ => return None,
    })
}

/// Names of the static table that requests have.
const STATIC_NAMES: [(usize, &str); 12] = [
    (1, ":authority"),
    (2, ":method"),
    (4, ":path"),
    (6, ":scheme"),
    (16, "accept-encoding"),
    (17, "accept-language"),
    (19, "accept"),
    (23, "authorization"),
    (28, "content-length"),
    (31, "content-type"),
    (32, "cookie"),
    (58, "user-agent"),
];

/// The status of an answer: its first field (RFC 9113, section 8.3). `None`: it stands in the
/// table that is not kept here, which no status does that is among the static ones (200, 204, 206,
/// 304, 400, 404, 500).
pub fn status(block: &[u8]) -> Option<u16> {
    let mut rest = block;
    // Changes of the table's size come before any field.
    while let [first, after @ ..] = rest
        && first & 0xe0 == 0x20
    {
        let more = if first & 0x1f == 0x1f { 1 + continued(after)? } else { 0 };
        rest = after.get(more..)?;
    }
    let (&first, rest) = rest.split_first()?;
    match first {
        0x80..=0xff => {
            let known = [(8, 200), (9, 204), (10, 206), (11, 304), (12, 400), (13, 404), (14, 500)];
            known.iter().find(|(index, _)| *index == first & 0x7f).map(|(_, status)| *status)
        }
        // A literal whose name is one of the seven `:status` of the static table, kept or not.
        0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e => {
            let (&length, value) = rest.split_first()?;
            let value = value.get(..usize::from(length & 0x7f))?;
            let digits = if length & 0x80 == 0 { value.to_vec() } else { unpacked(value)? };
            std::str::from_utf8(&digits).ok()?.parse().ok().filter(|s| (100..600).contains(s))
        }
        _ => None,
    }
}

/// Bytes of an integer that are not its last one.
fn continued(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| byte & 0x80 == 0)
}

/// Digits in Huffman's code (appendix B): 0 to 2 have five bits, 3 to 9 six.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|b| (0..8).rev().map(move |at| b >> at & 1)).collect();
    let number = |from: usize, count: usize| {
        let bits = bits.get(from..from + count)?;
        Some(bits.iter().fold(0_u8, |sum, bit| sum << 1 | bit))
    };
    let (mut at, mut digits) = (0, vec![]);
    for _ in 0..3 {
        let (digit, count) = match number(at, 5)? {
            short @ 0..=2 => (short, 5),
            _ => (number(at, 6)?.checked_sub(0b01_1001)?.checked_add(3)?, 6),
        };
        digits.push(Some(digit).filter(|digit| *digit < 10)? + b'0');
        at += count;
    }
    // Ones to the end of the byte.
    (bits.len() - at < 8 && bits[at..].iter().all(|bit| *bit == 1)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_block_is_the_one_of_the_specification() {
        // RFC 7541, C.3.1.
        let request = fields(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ]);
        let blocks = Blocks::new(&request, TABLE_BYTES);
        assert_eq!(blocks.first, b"\x82\x86\x84\x41\x0fwww.example.com");
        assert_eq!(blocks.next, b"\x82\x86\x84\xbe");
    }

    #[test]
    fn later_entries_have_lower_indices() {
        let blocks = Blocks::new(&fields(&[("a", "1"), ("b", "2"), (":method", "GET")]), 4096);
        assert_eq!(blocks.first, b"\x40\x01a\x011\x40\x01b\x012\x82");
        assert_eq!(blocks.next, b"\xbf\xbe\x82");
    }

    #[test]
    fn a_small_table_is_left_alone() {
        let blocks = Blocks::new(&fields(&[("cookie", "1")]), 0);
        assert_eq!(blocks.first, b"\x20\x0f\x11\x011");
        assert_eq!(blocks.next, b"\x0f\x11\x011");
        // A size of 100 has a second byte.
        assert!(Blocks::new(&fields(&[("a", "1")]), 100).first.starts_with(b"\x3f\x45\x40"));
    }

    #[test]
    fn statuses_are_read_in_every_way_they_are_written() {
        for (block, expect) in [
            (&b"\x88"[..], Some(200)),
            (b"\x20\x3f\xe1\x1f\x88", Some(200)),
            (b"\x8e", Some(500)),
            (b"\x48\x03302", Some(302)),
            // RFC 7541, C.6.1 and C.6.2.
            (b"\x48\x82\x64\x02", Some(302)),
            (b"\x48\x83\x64\x0e\xff", Some(307)),
            (b"\x08\x03403", Some(403)),
            (b"\xbe", None),
            (b"\x82", None),
            (b"", None),
            (b"\x48\x03ab", None),
            (b"\x48\x83\x64", None),
            (b"\x48\x03999", None),
            (b"\x3f\xff", None),
        ] {
            assert_eq!(status(block), expect, "{block:x?}");
        }
    }
}
