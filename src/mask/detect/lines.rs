//! The lines of a private key with something before or behind each of them.
//!
//! In: where a key began, and where its own alphabet ended without its last line. Out: a find for
//! each of its lines. Never: a find over what stands between the lines, which may be the structure
//! of a program or of JSON; a look at more than some hundred bytes in which no line of a key is.
//!
//! ```text
//! > -----BEGIN PRIVATE KEY-----        app-1  | -----BEGIN          "-----BEGIN PRIVATE KEY-----",
//! > MIIEvQIBADANBgkqhkiG9w0B..         app-1  | MIIEvQIB..          "MIIEvQIBADANBgkqhkiG9w0B..",
//!   '----- a find of its own'          '-------' the margin
//! > aGVsbG8=                           the last line may be short: it ends where END is
//! > -----END PRIVATE KEY-----
//! ```

use super::{Finds, OpenKey};

/// The key of which `head` is found goes on behind it, or may, should more of the text come.
pub(super) fn cover(value: &[u8], head: (usize, usize), finds: &mut Finds) {
    if head.1 < finds.lines_floor {
        // Within the lines of the key before, which were looked for beyond this.
        return;
    }
    let (mut at, mut gap_max) = (head.1, HEADERS_BYTES_MAX);
    // Where the lines of the key begin in theirs.
    let mut margin = 0;
    while at - head.1 < KEY_BYTES_MAX {
        match next(value, at, gap_max) {
            Next::Line(start, end) => {
                finds.spend(end - at);
                finds.push_line(start, end);
                margin = start - line_start(value, start);
                (at, gap_max) = (end, GAP_BYTES_MAX);
            }
            Next::End(end) => {
                finds.spend(2 * (end - at));
                last_line(value, (at, end), margin, finds);
                finds.lines_floor = end;
                return;
            }
            // It may be the mention of a key: one that begins behind it is looked at for itself.
            Next::Nothing(read) => return finds.spend(read),
            Next::Open(read) => {
                finds.spend(2 * read);
                let has_lines = at > head.1;
                if has_lines {
                    // Nothing behind it leaves before more comes, unless nothing does.
                    last_line(value, (at, value.len()), margin, finds);
                }
                finds.lines_floor = value.len();
                finds.open = Some(OpenKey { start: head.0, has_lines });
                return;
            }
        }
    }
}

enum Next {
    /// A line of the key.
    Line(usize, usize),
    /// The last line begins here.
    End(usize),
    /// Neither comes soon.
    Nothing(usize),
    /// The text is over before that is known.
    Open(usize),
}

fn next(value: &[u8], from: usize, gap_max: usize) -> Next {
    let mut at = from;
    while at - from < gap_max {
        let rest = value.get(at..).unwrap_or(&[]);
        let run = rest.iter().take_while(|byte| is_base64(**byte)).count();
        if run >= LINE_BYTES_MIN {
            return Next::Line(at, at + run);
        }
        at += run;
        match value.get(at..) {
            None | Some([]) => return Next::Open(at - from),
            Some(rest) if rest.starts_with(END) => return Next::End(at),
            Some(_) => at += 1,
        }
    }
    Next::Nothing(at - from)
}

/// What is left of the key between its last long line and END.
fn last_line(value: &[u8], (from, end): (usize, usize), margin: usize, finds: &mut Finds) {
    let gap = value.get(from..end).unwrap_or(&[]);
    // What stands behind the long line is none of it.
    let mut at = from + memchr::memchr(b'\n', gap).map_or(0, |line| line + 1);
    let is_lines = at > from;
    let mut line = at;
    while at < end {
        let rest = value.get(at..end).unwrap_or(&[]);
        let run = rest.iter().take_while(|byte| is_base64(**byte)).count();
        let is_behind = !is_lines || at + run > line + margin;
        if run >= LAST_BYTES_MIN && is_behind {
            finds.push_line(at, at + run);
        }
        at += run;
        if value.get(at) == Some(&b'\n') {
            line = at + 1;
        }
        at += 1;
    }
}

fn line_start(value: &[u8], at: usize) -> usize {
    let before = value.get(at.saturating_sub(GAP_BYTES_MAX)..at).unwrap_or(&[]);
    memchr::memrchr(b'\n', before).map_or(at, |line| at - before.len() + line + 1)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

const END: &[u8] = b"-----END";
/// Lines of keys have 64, 70 or 76 characters.
const LINE_BYTES_MIN: usize = 40;
/// A group of base64.
const LAST_BYTES_MIN: usize = 4;
/// What stands between two lines: a time, the name of a service, marks.
const GAP_BYTES_MAX: usize = 256;
/// The same in front of the first line, where a key says how it is encrypted.
const HEADERS_BYTES_MAX: usize = 512;
const KEY_BYTES_MAX: usize = 64 << 10;
