//! Values in base64: what they stand for is searched, however it is packed.
//!
//! In: a text that should be base64. Out: base64 of the same with what detectors find replaced, or
//! of a placeholder. Never: a value that cannot be unpacked and passes; more inflated bytes than a
//! small multiple of what was sent.
//!
//! ```text
//!   base64 --> bytes             a find is replaced, the rest stays
//!      '-base64--> bytes         a find hides the whole value: what it is packed in must stay whole
//!          '-gzip--> bytes       (helm keeps releases as base64 of base64 of gzip)
//!   words  --> base64 among them  the same: a login in a file of them, a key in a kubeconfig, also
//!                                 over lines
//! ```

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use zlib_rs::{Inflate, InflateFlush, Status};

use super::embedded::{self, Embedded};
use super::{Work, hidden, whole_text};
use crate::limits::{
    MASK_PACKED_BYTES_MAX, MASK_PACKED_BYTES_MIN, MASK_PACKED_DEPTH_MAX, MASK_PACKED_RATIO_MAX,
};
use crate::mask::operator::{HIDDEN, Operator};
use crate::wire::http::check;
use crate::wire::http::json::text;

/// As Go reads it, and looser: what is decoded here is only looked at.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The first bytes of gzip (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// zlib's: gzip, with the largest window.
const GZIP_WINDOW: u8 = 16 + 15;
const PIECE_BYTES: usize = 16 << 10;

/// What takes the place of a text. `None`: it is no base64, or nothing is found in it.
pub(super) fn mask(said: &[u8], place: &str, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let (before, packed) = parted(said);
    if work.rules.repeats {
        return masked_deep((before, packed), place, work);
    }
    let Some(value) = decoded(packed).filter(|_| before.is_empty()) else {
        return holds(said, place, work).then(|| hidden(Operator::Token, &[]));
    };
    if holds(&value, place, work) {
        return Some(hidden(Operator::TokenBase64, &[]));
    }
    if let Some(letters) = narrowed(&value)
        && is_found(letters, place, work)
    {
        return Some(hidden(Operator::TokenBase64, &[]));
    }
    if let Some(masked) = whole_text(&value, place, work) {
        return Some(general_purpose::STANDARD.encode(masked).into_bytes());
    }
    let hides = match deeper(&value, 0) {
        Ok(None) => return None,
        Err(Unreadable) => {
            work.count_path(Operator::TokenBase64, place);
            true
        }
        Ok(Some(first)) => is_found(first, place, work),
    };
    hides.then(|| hidden(Operator::TokenBase64, &[]))
}

/// Whether base64 stands among the words of a text, in which something is found.
fn holds(text: &[u8], place: &str, work: &mut Work<'_>) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let runs = text.split(|byte| !is_letter(byte));
    let long = runs.filter(|run| run.len() >= MASK_PACKED_BYTES_MIN);
    long.filter_map(decoded).any(|value| is_found(value, place, work))
        || folded(text).iter().any(|run| {
            // What stands behind it may have joined it.
            let whole = run.get(..run.len() - usize::from(run.len() % 4 == 1)).unwrap_or(run);
            decoded(whole).is_some_and(|value| is_found(value, place, work))
        })
}

/// Base64 that goes on over lines of one length, indented or not, as encoders fold it: the lines
/// put together, with the shorter one that follows, and once more with what ends the line before
/// (`key: c2Vj`).
fn folded(text: &[u8]) -> Vec<Vec<u8>> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    // The end of a line, and the whole of it if it is nothing but letters. In quotes of YAML a
    // backslash stands before the end.
    let lines = text.split(|byte| *byte == b'\n').map(|line| {
        let line = line.trim_ascii();
        let line = line.strip_suffix(b"\\").unwrap_or(line);
        let line = line.strip_prefix(b"\\").unwrap_or(line);
        let bare = line.trim_ascii_end();
        let bare = bare.strip_suffix(b"\"").unwrap_or(bare);
        let bare = bare.strip_suffix(b"=").map_or(bare, |it| it.strip_suffix(b"=").unwrap_or(it));
        let start = bare.iter().rposition(|byte| !is_letter(byte)).map_or(0, |at| at + 1);
        bare.split_at_checked(start).unwrap_or((bare, &[]))
    });
    let (mut all, mut before, mut block) = (Vec::new(), Vec::new(), Vec::new());
    let (mut width, mut is_over) = (0, true);
    for (other, run) in lines {
        let goes_on = other.is_empty() && !run.is_empty() && !is_over && run.len() <= width;
        if goes_on {
            is_over = run.len() < width;
            block.extend_from_slice(run);
            continue;
        }
        let begins = other.is_empty() && !run.is_empty();
        // The line before a block may have its beginning.
        if !begins || !block.is_empty() {
            close(&mut all, &mut before, &mut block, width);
        }
        if begins {
            block = run.to_vec();
            (width, is_over) = (run.len(), false);
        } else {
            before = run.to_vec();
            (width, is_over) = (0, true);
        }
    }
    close(&mut all, &mut before, &mut block, width);
    all
}

/// A block of lines is over: it is kept if it has more than one, or one behind another.
fn close(all: &mut Vec<Vec<u8>>, before: &mut Vec<u8>, block: &mut Vec<u8>, width: usize) {
    let (before, block) = (std::mem::take(before), std::mem::take(block));
    if !before.is_empty() && !block.is_empty() {
        all.push([&before[..], &block].concat());
    }
    if width > 0 && block.len() > width {
        all.push(block);
    }
    all.retain(|run| run.len() >= MASK_PACKED_BYTES_MIN);
}

/// The same where paths are followed in what is packed, however it is: what cannot be unpacked is
/// hidden, unless bytes of a picture or a sound, which say nothing in letters.
fn masked_deep(
    (before, packed): (&[u8], &[u8]),
    place: &str,
    work: &mut Work<'_>,
) -> Option<Vec<u8>> {
    let hide = |work: &mut Work<'_>| {
        work.count_path(Operator::TokenBase64, place);
        Some(hidden(Operator::TokenBase64, &[]))
    };
    let Some(mut value) = decoded(packed) else {
        return if packed.is_empty() { None } else { hide(work) };
    };
    for depth in 0..=MASK_PACKED_DEPTH_MAX {
        if let Some(wide) = narrowed(&value) {
            value = wide;
        }
        let masked = match embedded::mask(&value, place, work) {
            Embedded::Becomes(masked) => Some(masked),
            Embedded::Stays | Embedded::IsNone => whole_text(&value, place, work),
        };
        let known = work.known;
        let repeated = known.hide(masked.as_deref().unwrap_or(&value), place, work);
        let masked = repeated.or(masked);
        match masked {
            Some(masked) if depth == 0 => {
                let coded = general_purpose::STANDARD.encode(masked);
                return Some([before, coded.as_bytes()].concat());
            }
            Some(_) => return Some(hidden(Operator::TokenBase64, &[])),
            None => {}
        }
        match deeper(&value, depth) {
            Ok(None) => return None,
            Ok(Some(next)) => value = next,
            Err(Unreadable) => return hide(work),
        }
    }
    hide(work)
}

/// `data:application/json;base64,` and what stands behind it (RFC 2397).
fn parted(said: &[u8]) -> (&[u8], &[u8]) {
    let start = said.trim_ascii_start().get(..5);
    let is_url = start.is_some_and(|start| start.eq_ignore_ascii_case(b"data:"));
    let comma = memchr::memchr(b',', said).filter(|_| is_url);
    comma.and_then(|comma| said.split_at_checked(comma + 1)).unwrap_or((&[], said))
}

/// What takes the place of a string, as JSON writes it, that is a URL which has what it is about in
/// itself. `None`: it is none, or nothing is hidden in it.
pub(super) fn data_url(inner: &[u8], place: &str, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let may_be = inner.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut said = Vec::new();
    if matches!(may_be, Some(b'd' | b'D' | b'\\')) {
        text::unescape(inner, &mut said);
    }
    let (head, packed) = parted(&said);
    if head.to_ascii_lowercase().trim_ascii_end().ends_with(b";base64,") {
        return masked_deep((head, packed), place, work);
    }
    // Without escapes it is text like any other.
    let value = check::decode(packed).filter(|_| !head.is_empty() && packed.contains(&b'%'))?;
    let known = work.known;
    let is_hidden = matches!(embedded::mask(&value, place, work), Embedded::Becomes(_))
        || known.hide(&value, place, work).is_some()
        || whole_text(&value, place, work).is_some();
    is_hidden.then(|| HIDDEN.to_vec())
}

/// Text in UTF-16 or UTF-32, of which it is the marks or the NULs that tell (RFC 4627, 3).
fn narrowed(value: &[u8]) -> Option<Vec<u8>> {
    let (big, width) = match value {
        [0xff, 0xfe, 0, 0, ..] => (false, 4),
        [0, 0, 0xfe, 0xff, ..] => (true, 4),
        [0xff, 0xfe, ..] => (false, 2),
        [0xfe, 0xff, ..] => (true, 2),
        [0, 0, 0, letter, ..] if *letter != 0 => (true, 4),
        [letter, 0, 0, 0, ..] if *letter != 0 => (false, 4),
        [0, letter, 0, more, ..] if *letter != 0 && *more != 0 => (true, 2),
        [letter, 0, more, 0, ..] if *letter != 0 && *more != 0 => (false, 2),
        _ => return None,
    };
    let units = value.chunks_exact(width).map(|unit| {
        let fold = |code: u32, byte: &u8| code << 8 | u32::from(*byte);
        if big { unit.iter().fold(0, fold) } else { unit.iter().rev().fold(0, fold) }
    });
    let text: String = match width {
        2 => {
            let units = units.map(|unit| u16::try_from(unit).unwrap_or(0xfffd));
            char::decode_utf16(units).map(|letter| letter.unwrap_or('\u{fffd}')).collect()
        }
        _ => units.map(|unit| char::from_u32(unit).unwrap_or('\u{fffd}')).collect(),
    };
    Some(text.trim_start_matches('\u{feff}').as_bytes().to_vec())
}

/// Whether something is found in what a value is packed around, at any depth.
fn is_found(mut value: Vec<u8>, place: &str, work: &mut Work<'_>) -> bool {
    let mut depth = 1;
    loop {
        let finds = work.find(&value);
        if !finds.is_empty() {
            work.count_seen(&finds, place);
            return true;
        }
        match deeper(&value, depth) {
            Ok(None) => return false,
            Ok(Some(next)) => value = next,
            Err(Unreadable) => {
                work.count_path(Operator::TokenBase64, place);
                return true;
            }
        }
        depth += 1;
    }
}

/// It says to be packed, and cannot be unpacked within the bounds.
struct Unreadable;

/// What a value is packed around. `None`: it is not packed.
fn deeper(value: &[u8], depth: usize) -> Result<Option<Vec<u8>>, Unreadable> {
    let next = match value.starts_with(&GZIP) {
        true => Some(inflated(value).ok_or(Unreadable)?),
        // Short words are base64 of something, too.
        false if value.len() < MASK_PACKED_BYTES_MIN => None,
        false => decoded(value),
    };
    match next {
        Some(_) if depth >= MASK_PACKED_DEPTH_MAX => Err(Unreadable),
        next => Ok(next),
    }
}

/// Go's decoder leaves out line ends, and so does this; Node's and Python's take both alphabets
/// (RFC 4648, 4 and 5).
fn decoded(said: &[u8]) -> Option<Vec<u8>> {
    let is_odd = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'-' | b'_');
    if !said.iter().any(is_odd) {
        return LOOSE.decode(said).ok();
    }
    let plain = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let ends = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let said: Vec<u8> = said.iter().copied().filter(ends).map(plain).collect();
    LOOSE.decode(said).ok()
}

/// One member of gzip and nothing behind it.
fn inflated(value: &[u8]) -> Option<Vec<u8>> {
    let most = value.len().saturating_mul(MASK_PACKED_RATIO_MAX).min(MASK_PACKED_BYTES_MAX);
    let most = most.max(PIECE_BYTES);
    let mut zlib = Inflate::new(true, GZIP_WINDOW);
    let (mut out, mut rest, mut piece) = (Vec::new(), value, [0; PIECE_BYTES]);
    loop {
        let before = (zlib.total_in(), zlib.total_out());
        let step = zlib.decompress(rest, &mut piece, InflateFlush::NoFlush).ok()?;
        let taken = usize::try_from(zlib.total_in() - before.0).ok()?;
        let made = usize::try_from(zlib.total_out() - before.1).ok()?;
        rest = rest.get(taken..)?;
        out.extend_from_slice(piece.get(..made)?);
        if out.len() > most {
            return None;
        }
        match step {
            Status::StreamEnd => return rest.is_empty().then_some(out),
            Status::Ok | Status::BufError if taken == 0 && made == 0 => return None,
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;
    use zlib_rs::{Deflate, DeflateFlush};

    use super::*;
    use crate::mask::Hits;
    use crate::mask::body::Rules;
    use crate::mask::body::embedded::Known;
    use crate::mask::detect::{Detector, Detectors, Scratch};

    const CARD: &str = "4111111111111111";

    fn rules() -> Rules {
        let card = Detector::parse("credit-card").unwrap();
        Rules::new(Vec::new(), Rc::new(Detectors::new([(card, Operator::Redact)])))
    }

    fn masked(said: &[u8]) -> Option<Vec<u8>> {
        let (rules, mut scratch) = (rules(), Scratch::default());
        let (mut out, mut hits) = (Vec::new(), Hits::default());
        let (known, base) = (&Known::Nothing, "");
        let mut work = Work {
            rules: &rules,
            scratch: &mut scratch,
            out: &mut out,
            hits: &mut hits,
            base,
            known,
        };
        mask(said, "data.*", &mut work)
    }

    fn base64(bytes: impl AsRef<[u8]>) -> Vec<u8> {
        general_purpose::STANDARD.encode(bytes).into_bytes()
    }

    /// gzip of some bytes: a header, raw deflate, and the two numbers at the end.
    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut deflate = Deflate::new(6, false, 15);
        let mut packed = vec![0; bytes.len() + 1024];
        deflate.compress(bytes, &mut packed, DeflateFlush::Finish).unwrap();
        packed.truncate(usize::try_from(deflate.total_out()).unwrap());
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        out.extend_from_slice(&packed);
        out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        out
    }

    fn placeholder() -> Option<Vec<u8>> {
        Some(hidden(Operator::TokenBase64, &[]))
    }

    #[test]
    fn a_find_is_replaced_in_what_base64_stands_for() {
        let text = format!("card: {CARD}\n");
        assert_eq!(masked(&base64(&text)), Some(base64("card: [CREDIT_CARD]\n")));
        let mut lines = base64(&text);
        lines.insert(4, b'\n');
        assert_eq!(masked(&lines), Some(base64("card: [CREDIT_CARD]\n")));
        let mut bare = base64(&text);
        bare.retain(|byte| *byte != b'=');
        assert!(masked(&bare).is_some());
        for stays in ["", "plain text", "!", "{}"] {
            assert_eq!(masked(stays.as_bytes()), None, "{stays}");
        }
        assert_eq!(masked(&base64("nothing")), None);
        assert_eq!(masked(&base64([0, 255, 128])), None);
    }

    #[test]
    fn what_is_packed_is_hidden_whole() {
        let release = format!(r#"{{"config":{{"card":"{CARD}"}}}}"#);
        let helm = |text: &str| base64(base64(gzip(text.as_bytes())));
        assert_eq!(masked(&helm(&release)), placeholder());
        assert_eq!(masked(&helm("nothing")), None);
        assert_eq!(masked(&base64(gzip(release.as_bytes()))), placeholder());
        assert_eq!(masked(&base64(base64(&release))), placeholder());
    }

    #[test]
    fn what_cannot_be_unpacked_is_hidden() {
        let whole = gzip(&[b'a'; 40]);
        for end in 2..whole.len() {
            assert_eq!(masked(&base64(&whole[..end])), placeholder(), "{end}");
        }
        let twice = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(masked(&base64(twice)), placeholder());
        let bomb = gzip(&vec![0; MASK_PACKED_BYTES_MAX]);
        assert_eq!(masked(&base64(bomb)), placeholder());
        let mut deep = b"a long enough text that has nothing in it but is packed often".to_vec();
        for _ in 0..MASK_PACKED_DEPTH_MAX + 2 {
            deep = base64(deep);
        }
        assert_eq!(masked(&deep), placeholder());
    }

    /// As encoders and people fold it: in YAML of a chart's values, in a ConfigMap.
    #[test]
    fn base64_over_lines_is_one_text() {
        // Whoever reads a line by itself finds no number in it.
        for from in 0..24 {
            let text = format!("{}{CARD} and what follows here", "a ".repeat(from));
            let coded = String::from_utf8(base64(&text)).unwrap();
            for width in [16, 19, 20, 64, 76] {
                let parts: Vec<&str> =
                    coded.as_bytes().chunks(width).map(|it| str::from_utf8(it).unwrap()).collect();
                for (start, between, end) in [
                    ("key: |\n  ", "\n  ", "\nother: b\n"),
                    ("word\nkey: |-\n\t", "\r\n\t", "\r\n\r\nword\r\n"),
                    ("key: ", "\n     ", "\nword: a\n"),
                    ("- key: \"", "\\\n    \\", "\"\n"),
                    ("words\n", "\n", "\nwords that end it"),
                ] {
                    let said = [start, &parts.join(between), end].concat();
                    let expect = Some(hidden(Operator::Token, &[]));
                    assert_eq!(masked(said.as_bytes()), expect, "{from} {width}: {said}");
                }
            }
        }
        let clean = String::from_utf8(base64("nothing is to be found in these lines")).unwrap();
        let clean = clean.as_bytes().chunks(16).map(|it| str::from_utf8(it).unwrap());
        let clean: Vec<&str> = clean.collect();
        assert_eq!(masked(format!("key: |\n  {}\n", clean.join("\n  ")).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_stands_around_a_find_stays(
            before in "[a-z ]{0,40}", after in "[ .][a-z ]{0,40}", packs in 0_usize..3,
        ) {
            let text = format!("{before} {CARD}{after}");
            let mut said = base64(&text);
            for _ in 0..packs {
                said = base64(said);
            }
            let expect = match packs {
                0 => Some(base64(format!("{before} [CREDIT_CARD]{after}"))),
                _ => placeholder(),
            };
            prop_assert_eq!(masked(&said), expect);
        }

        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            masked(&bytes);
            masked(&base64(&bytes));
            masked(&base64([&GZIP[..], &bytes].concat()));
        }
    }
}
