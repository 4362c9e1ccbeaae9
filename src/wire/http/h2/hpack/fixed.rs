//! The fields that both ends know before the first block (RFC 7541 appendix A).

/// Entry 1 is the first one.
pub(super) const FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// The longest name.
const NAME_BYTES_MAX: usize = 27;

/// Indices into `FIELDS`, by the length of their names; `STARTS` says where each length begins.
const BY_LENGTH: [u8; FIELDS.len()] = sorted().0;
const STARTS: [u8; NAME_BYTES_MAX + 2] = sorted().1;

const fn sorted() -> ([u8; FIELDS.len()], [u8; NAME_BYTES_MAX + 2]) {
    let mut order = [0; FIELDS.len()];
    let mut starts = [0; NAME_BYTES_MAX + 2];
    let mut filled = 0;
    let mut length = 0;
    while length <= NAME_BYTES_MAX {
        starts[length] = filled as u8;
        let mut index = 0;
        while index < FIELDS.len() {
            if FIELDS[index].0.len() == length {
                order[filled] = index as u8;
                filled += 1;
            }
            index += 1;
        }
        length += 1;
    }
    starts[NAME_BYTES_MAX + 1] = filled as u8;
    (order, starts)
}

/// Where a field stands among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Name and value.
    Whole(u32),
    /// The name.
    Name(u32),
    /// Neither.
    None,
}

/// The first entry with this name and value, else the first with this name.
pub(super) fn find(name: &[u8], value: &[u8]) -> Match {
    let Some(&[start, end]) = STARTS.get(name.len()..).and_then(|rest| rest.first_chunk()) else {
        return Match::None;
    };
    let mut best = Match::None;
    for &index in &BY_LENGTH[usize::from(start)..usize::from(end)] {
        let (known, its) = FIELDS[usize::from(index)];
        if known != name {
            continue;
        }
        if its == value && !its.is_empty() {
            return Match::Whole(u32::from(index) + 1);
        }
        if best == Match::None {
            best = Match::Name(u32::from(index) + 1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found() {
        for (index, (name, value)) in (1..).zip(FIELDS) {
            let first = FIELDS.iter().position(|(known, _)| *known == name).unwrap() as u32 + 1;
            if value.is_empty() {
                assert_eq!(find(name, value), Match::Name(first));
            } else {
                assert_eq!(find(name, value), Match::Whole(index));
            }
            assert_eq!(find(name, b"unlikely"), Match::Name(first));
            assert_eq!(find(&name[1..], value), Match::None, "{}", name.escape_ascii());
        }
        assert_eq!(find(b"", b""), Match::None);
        assert_eq!(find(&[b'a'; 300], b""), Match::None);
    }
}
