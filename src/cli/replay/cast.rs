//! Asciicasts: what a terminal showed, with its times.
//!
//! In: bytes and when they were shown. Out: a file of version 2 or 3, for `asciinema play`.
//! Never: a character in two halves: bytes that are the beginning of one wait for its rest.

use std::io::{self, Write};

/// A cast that is being written.
pub(super) struct Cast<W> {
    out: W,
    /// Version 3 counts from the event before, version 2 from the beginning.
    is_three: bool,
    started_us: i64,
    last_us: i64,
    /// Columns and rows of the terminal.
    size: (u64, u64),
    /// The beginning of a character.
    carried: Vec<u8>,
}

/// The size of a terminal that nobody said: columns and rows.
const SIZE: (u64, u64) = (80, 24);

impl<W: Write> Cast<W> {
    /// Writes the header, with the size that the terminal had first.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(
        mut out: W,
        is_three: bool,
        title: &str,
        started_us: i64,
        size: Option<(u64, u64)>,
    ) -> io::Result<Cast<W>> {
        let size = size.unwrap_or(SIZE);
        let (columns, rows) = size;
        let timestamp = started_us.div_euclid(1_000_000);
        let header = if is_three {
            serde_json::json!({
                "version": 3,
                "term": { "cols": columns, "rows": rows },
                "timestamp": timestamp,
                "title": title,
            })
        } else {
            serde_json::json!({
                "version": 2,
                "width": columns,
                "height": rows,
                "timestamp": timestamp,
                "title": title,
            })
        };
        writeln!(out, "{header}")?;
        Ok(Cast { out, is_three, started_us, last_us: started_us, size, carried: Vec::new() })
    }

    /// Bytes that were shown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn output(&mut self, at_us: i64, bytes: &[u8]) -> io::Result<()> {
        self.carried.extend_from_slice(bytes);
        let whole = self.carried.len() - unfinished(&self.carried);
        let text = String::from_utf8_lossy(&self.carried[..whole]).into_owned();
        self.carried.drain(..whole);
        if text.is_empty() { Ok(()) } else { self.event(at_us, "o", &text) }
    }

    /// The terminal has another size from here on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn resize(&mut self, at_us: i64, columns: u64, rows: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.size, (columns, rows)) == (columns, rows) {
            return Ok(());
        }
        self.event(at_us, "r", &format!("{columns}x{rows}"))
    }

    fn event(&mut self, at_us: i64, code: &str, text: &str) -> io::Result<()> {
        // A clock that was set back makes no event earlier than the one before.
        let at_us = at_us.max(self.last_us);
        let from_us = if self.is_three { self.last_us } else { self.started_us };
        self.last_us = at_us;
        let us = at_us.saturating_sub(from_us);
        let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
        let text = serde_json::Value::from(text);
        writeln!(self.out, "[{seconds}.{micros:06}, \"{code}\", {text}]")
    }

    /// Bytes that nothing followed are written as they are readable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.carried.is_empty() {
            let rest = String::from_utf8_lossy(&self.carried).into_owned();
            self.event(self.last_us, "o", &rest)?;
        }
        Ok(self.out)
    }
}

/// Bytes at the end that are the beginning of a character.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
    let tail = bytes.get(bytes.len().saturating_sub(3)..).unwrap_or_default();
    let Some(at) = tail.iter().rposition(|byte| byte & 0xc0 != 0x80) else { return 0 };
    let rest = tail.get(at..).unwrap_or_default();
    match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => rest.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cast(is_three: bool, events: &[(i64, &[u8])]) -> Vec<String> {
        let mut cast = Cast::begin(Vec::new(), is_three, "t", 5_000_000, None).unwrap();
        for (at_us, bytes) in events {
            cast.output(*at_us, bytes).unwrap();
        }
        let text = String::from_utf8(cast.finish().unwrap()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn both_versions_have_their_times() {
        let events: &[(i64, &[u8])] = &[(5_500_000, b"a\r\n"), (7_000_001, b"\"b")];
        let two = cast(false, events);
        assert!(
            two[0].contains(r#""version":2"#) && two[0].contains(r#""width":80"#),
            "{}",
            two[0]
        );
        assert_eq!(two[1..], [r#"[0.500000, "o", "a\r\n"]"#, r#"[2.000001, "o", "\"b"]"#]);
        let three = cast(true, events);
        assert!(three[0].contains(r#""cols":80"#) && three[0].contains(r#""version":3"#));
        assert_eq!(three[2], r#"[1.500001, "o", "\"b"]"#);
        let mut sized = Cast::begin(Vec::new(), false, "t", 0, Some((100, 30))).unwrap();
        sized.resize(500_000, 100, 30).unwrap();
        sized.resize(1_000_000, 132, 43).unwrap();
        let sized = String::from_utf8(sized.finish().unwrap()).unwrap();
        assert!(sized.contains(r#""width":100"#) && sized.contains(r#""height":30"#), "{sized}");
        assert_eq!(sized.lines().count(), 2, "a size is told once: {sized}");
        assert!(sized.ends_with("[1.000000, \"r\", \"132x43\"]\n"), "{sized}");
        let back = cast(false, &[(7_000_000, b"a"), (6_000_000, b"b")]);
        assert_eq!(back[2], r#"[2.000000, "o", "b"]"#);
    }

    proptest! {
        #[test]
        fn characters_are_whole_wherever_the_bytes_are_cut(
            text in "\\PC{0,20}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let mut from = 0;
            let pieces: Vec<(i64, &[u8])> = ends
                .iter()
                .map(|end| (9_000_000, &bytes[std::mem::replace(&mut from, *end)..*end]))
                .collect();
            let mut read = String::new();
            for line in &cast(false, &pieces)[1..] {
                let (_, _, piece): (f64, String, String) = serde_json::from_str(line).unwrap();
                read.push_str(&piece);
            }
            prop_assert_eq!(read, text);
        }
    }
}
