//! The list of filters that an rsync client sends before anything else (rsync's compat.c,
//! `setup_protocol`; io.c, `read_a_msg`; exclude.c, `recv_filter_list`).
//!
//! In: bytes of a client, in any split. Out: whether they are the beginning of a session and a
//! list of patterns. Never: a rule that makes the target's rsync read a file (`.`, `:`, `C`), a
//! list that the target could read from another byte on.
//!
//! ```text
//!   version (4 bytes) -> names of checksums, of compressions (a length, words), each if asked
//!                     -> messages: length (3 bytes), 7 -> their contents: rules, each behind its
//!                        length (4 bytes), until a length of 0
//! ```
//!
//! Which names a target asks for is its version's affair. A target that takes a name for the head
//! of a message finds one that is none, or megabytes long, and one that takes the head of a message
//! for names finds a zero before the first: rsync ends at either.

/// A rule is a path and what stands before it (rsync's `BIGPATHBUFLEN`).
const RULE_BYTES_MAX: usize = 6 << 10;
/// Since rsync 3.0, what clients send is in messages. What comes after 32 is not known.
const VERSIONS: std::ops::RangeInclusive<u32> = 30..=32;
/// Of checksums and compressions.
const NAMES_MAX: u8 = 2;
/// The only kind of message that a client sends before its list ends (`MSG_DATA`).
const DATA: u8 = 7;
/// Names of checksums and compressions (rsync 3.2 to 3.4).
const KNOWN: [&[u8]; 13] = [
    b"xxh128", b"xxh3", b"xxh64", b"md5", b"md4", b"sha1", b"sha256", b"sha512", b"none", b"zstd",
    b"lz4", b"zlibx", b"zlib",
];

/// Why a client's list is not one that reads no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A rule, as it came.
    Rule(Vec<u8>),
    /// It is no list that is known.
    Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Version,
    /// Names, or a message.
    Head {
        names: u8,
    },
    /// Names of so many bytes behind their length.
    Names {
        names: u8,
        bytes: usize,
    },
    /// So many bytes of a message are still to come.
    Message(usize),
    Over,
}

/// The stream up to the end of its list.
#[derive(Debug)]
pub struct FilterList {
    at: At,
    /// What has come of the version, of names, of the head of a message.
    part: Vec<u8>,
    /// What has come of a rule, behind its length.
    rule: Vec<u8>,
}

impl FilterList {
    /// Of a session that begins.
    pub const fn new() -> FilterList {
        FilterList { at: At::Version, part: Vec::new(), rule: Vec::new() }
    }

    /// Whether the list has ended: what follows names no file.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// Whether all that came was looked at, and may leave.
    pub fn is_whole(&self) -> bool {
        self.is_over() || (self.part.is_empty() && self.rule.is_empty())
    }

    /// More of the stream.
    ///
    /// # Errors
    /// What in it may read a file.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Unfit> {
        while !bytes.is_empty() && !self.is_over() {
            self.at = match self.at {
                At::Over => At::Over,
                At::Version => match self.fill(&mut bytes, 4).as_deref() {
                    None => At::Version,
                    Some(&[low, 0, 0, 0]) if VERSIONS.contains(&low.into()) => {
                        At::Head { names: 0 }
                    }
                    Some(_) => return Err(Unfit::Form),
                },
                At::Head { names } => match self.fill(&mut bytes, 4).as_deref() {
                    None => At::Head { names },
                    Some(&[low, high, 0, DATA]) if (low, high) != (0, 0) => {
                        At::Message(u16::from_le_bytes([low, high]).into())
                    }
                    Some(begin @ &[bytes @ 3..=0x7f, ..]) if names < NAMES_MAX => {
                        self.part.extend_from_slice(begin);
                        At::Names { names: names + 1, bytes: usize::from(bytes) }
                    }
                    Some(_) => return Err(Unfit::Form),
                },
                At::Names { names, bytes: count } => self.names(&mut bytes, names, count)?,
                At::Message(left) => self.message(&mut bytes, left)?,
            };
            // Names that are as short as what was read of them are whole.
            if let At::Names { names, bytes: 3 } = self.at {
                self.at = self.names(&mut bytes, names, 3)?;
            }
        }
        Ok(())
    }

    /// So many bytes, when they have come.
    fn fill(&mut self, bytes: &mut &[u8], count: usize) -> Option<Vec<u8>> {
        let missing = count.saturating_sub(self.part.len()).min(bytes.len());
        let (more, rest) = bytes.split_at(missing);
        self.part.extend_from_slice(more);
        *bytes = rest;
        (self.part.len() == count).then(|| std::mem::take(&mut self.part))
    }

    fn names(&mut self, bytes: &mut &[u8], names: u8, count: usize) -> Result<At, Unfit> {
        let Some(part) = self.fill(bytes, count + 1) else {
            return Ok(At::Names { names, bytes: count });
        };
        let mut words = part.get(1..).unwrap_or(&[]).split(|byte| *byte == b' ');
        match words.all(|word| KNOWN.contains(&word)) {
            true => Ok(At::Head { names }),
            false => Err(Unfit::Form),
        }
    }

    fn message(&mut self, bytes: &mut &[u8], left: usize) -> Result<At, Unfit> {
        let mut left = left;
        while left > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(At::Message(left)) };
            (*bytes, left) = (rest, left - 1);
            self.rule.push(byte);
            let Some((length, rule)) = self.rule.split_first_chunk() else { continue };
            match u32::from_le_bytes(*length) as usize {
                0 => {
                    self.rule.clear();
                    return Ok(At::Over);
                }
                length if length > RULE_BYTES_MAX => return Err(Unfit::Form),
                length if length > rule.len() => {}
                _ if is_pattern(rule) => self.rule.clear(),
                _ => return Err(Unfit::Rule(rule.to_vec())),
            }
        }
        // Names stand before the first message.
        Ok(At::Head { names: NAMES_MAX })
    }
}

impl Default for FilterList {
    fn default() -> FilterList {
        FilterList::new()
    }
}

/// Whether a rule is a pattern, or `!`, which forgets those before it (exclude.c,
/// `parse_rule_tok`): `-` or `+`, modifiers, a blank, the pattern. The modifier `C` reads
/// `.cvsignore`.
fn is_pattern(rule: &[u8]) -> bool {
    if rule == b"!" {
        return true;
    }
    let [b'-' | b'+', rest @ ..] = rule else { return false };
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let modifiers = rest.iter().take_while(|byte| b"/!prsx".contains(byte)).count();
    let pattern = rest.get(modifiers..).unwrap_or(&[]);
    matches!(pattern, [b' ' | b'_', _, ..]) && !rule.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        let [low, high] = u16::try_from(bytes.len()).expect("short").to_le_bytes();
        [&[low, high, 0, DATA], bytes].concat()
    }

    fn rules(rules: &[&str]) -> Vec<u8> {
        let rule = |rule: &&str| {
            [&u32::try_from(rule.len()).expect("short").to_le_bytes(), rule.as_bytes()].concat()
        };
        [rules.iter().map(rule).collect::<Vec<_>>().concat(), vec![0; 4]].concat()
    }

    /// As rsync 3.2.7 sends it with `-z`.
    fn begin() -> Vec<u8> {
        let checksums = b"\x1exxh128 xxh3 xxh64 md5 md4 sha1";
        [&b"\x20\0\0\0"[..], checksums, b"\x13zstd lz4 zlibx zlib"].concat()
    }

    /// The result of all in one piece, which any other split has, too.
    fn read(bytes: &[u8]) -> Result<bool, Unfit> {
        let through = |size: usize| {
            let mut list = FilterList::new();
            for piece in bytes.chunks(size) {
                list.push(piece)?;
            }
            Ok(list.is_over())
        };
        let whole = through(bytes.len().max(1));
        for size in 1..9 {
            assert_eq!(through(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn patterns_pass() {
        let all = ["- *.o", "+ /keep", "-s y", "-/!p /a b", "+,s x", "-_x", "!", "- .rsync-filter"];
        for begin in [begin(), b"\x1e\0\0\0".to_vec(), b"\x1f\0\0\0\x03md5".to_vec()] {
            let sent = [&begin[..], &message(&rules(&all)), b"anything: \0"].concat();
            assert_eq!(read(&sent), Ok(true));
            assert_eq!(read(&sent[..sent.len() - 12]), Ok(false), "there is no end yet");
            let none = [&begin[..], &message(&[0; 4])].concat();
            assert_eq!(read(&none), Ok(true));
            let pieces: Vec<u8> = rules(&all).chunks(3).flat_map(message).collect();
            assert_eq!(read(&[begin, pieces].concat()), Ok(true));
        }
    }

    #[test]
    fn rules_that_read_files_do_not() {
        for rule in [
            ":- /srv/.netrc",
            ": .rsync-filter",
            ":",
            ". /etc/shadow",
            ".,- /a",
            "merge /a",
            "dir-merge /a",
            ":C",
            "-C",
            "-C x",
            "+pC x",
            "exclude a",
            "H x",
            "x",
            " - x",
            "-",
            "- ",
            "-e x",
            "-w x",
            "- a\0: /b",
            "!x",
            "! ",
            "",
            ";",
            "-\t: /a",
        ] {
            let sent = [begin(), message(&rules(&["- ok", rule]))].concat();
            let expect = match rule {
                // Its length ends the list.
                "" => Ok(true),
                _ => Err(Unfit::Rule(rule.as_bytes().to_vec())),
            };
            assert_eq!(read(&sent), expect, "{rule:?}");
        }
    }

    #[test]
    fn what_is_no_such_list_does_not() {
        let list = rules(&["- ok"]);
        for sent in [
            b"\x1d\0\0\0".to_vec(),
            b"\x21\0\0\0".to_vec(),
            b"\x20\0\0\x01".to_vec(),
            // Rules outside of messages, messages of another kind or none.
            [&b"\x1d\0\0\0"[..], &list].concat(),
            [&b"\x1e\0\0\0"[..], &list].concat(),
            [&b"\x1e\0\0\0\x04\0\0\x09"[..], &list].concat(),
            b"\x1e\0\0\0\0\0\0\x07".to_vec(),
            // A head with a byte that could be a name's.
            [&b"\x1e\0\0\0\x20\x20\x20\x07 md5 "[..], &list, &list].concat(),
            // Names that could be heads.
            [&b"\x1f\0\0\0\x04aa1 "[..], &message(&list)].concat(),
            [&b"\x1f\0\0\0\x04md5 "[..], &message(&list)].concat(),
            [&b"\x1f\0\0\0\x84\0md5"[..], &message(&list)].concat(),
            [&b"\x1f\0\0\0\x02md"[..], &message(&list)].concat(),
            [&begin()[..], b"\x03md5", &message(&list)].concat(),
            [&begin()[..], &message(&list[..3]), b"\x03md5", &message(&list[3..])].concat(),
            [&begin()[..], &message(&[0xff, 0xff, 0, 0])].concat(),
        ] {
            assert_eq!(read(&sent), Err(Unfit::Form), "{sent:?}");
        }
    }

    #[test]
    fn nothing_leaves_that_was_not_looked_at() {
        let mut list = FilterList::new();
        let sent = [begin(), message(&rules(&["- *.o"]))].concat();
        let whole: Vec<usize> = (0..sent.len())
            .filter(|&at| {
                list.push(&sent[at..=at]).expect("a list");
                list.is_whole()
            })
            .collect();
        // The version, both names, the head of the message, the rule, its end.
        assert_eq!(whole, [3, 34, 54, 58, 67, 71]);
    }
}
