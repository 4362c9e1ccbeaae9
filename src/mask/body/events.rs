//! Server-sent events: the data of each is masked as a whole, and written in the lines it had.
//!
//! An event leaves when it is complete, which is when a client acts on it. One whose data did not
//! change leaves as it came, byte for byte.

use super::embedded::{Known, rules_of};
use super::json::Json;
use super::{Unmaskable, Work, field, is_plain_line, whole_text};
use crate::wire::http::sse::{self, Splitter, lines};

/// Masks one stream of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    splitter: Splitter,
    /// The first event was seen.
    begun: bool,
}

impl Events {
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Unmaskable> {
        let mut input = bytes;
        while let Some(event) = self.splitter.next(&mut input).map_err(|_| Unmaskable::TooLong)? {
            mask(unmarked(event, &mut self.begun, work), work)?;
        }
        if ends {
            // No client takes it for an event, but it is not shown either unless it is masked.
            let rest = self.splitter.rest().to_vec();
            mask(unmarked(&rest, &mut self.begun, work), work)?;
        }
        Ok(())
    }
}

/// A stream may begin with a byte order mark, which is no part of its first line (WHATWG HTML
/// 9.2.5). It leaves as it came.
fn unmarked<'e>(event: &'e [u8], begun: &mut bool, work: &mut Work<'_>) -> &'e [u8] {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    match event.strip_prefix(MARK).filter(|_| !std::mem::replace(begun, true)) {
        Some(event) => {
            work.out.extend_from_slice(MARK);
            event
        }
        None => {
            *begun = true;
            event
        }
    }
}

fn mask(event: &[u8], work: &mut Work<'_>) -> Result<(), Unmaskable> {
    std::str::from_utf8(event).map_err(|_| Unmaskable::Coding)?;
    let mut data: Option<Vec<u8>> = None;
    for (_, line) in lines(event) {
        if let Some((b"data", _, value)) = sse::field(line) {
            let data = match &mut data {
                None => data.insert(Vec::new()),
                Some(data) => {
                    data.push(b'\n');
                    data
                }
            };
            data.extend_from_slice(value);
        }
    }
    let masked = match &data {
        None => None,
        Some(data) => masked(data, work)?.filter(|masked| masked != data),
    };
    let mut written = masked.as_deref();
    let mut starts = lines(event).map(|(start, _)| start).skip(1).chain([event.len()]);
    for (start, line) in lines(event) {
        let end = starts.next().unwrap_or(event.len());
        let whole = event.get(start..end).unwrap_or(&[]);
        let line_end = whole.get(line.len()..).unwrap_or(&[]);
        match (sse::field(line), &masked) {
            (Some((b"data", prefix, _)), Some(_)) => {
                let Some(said) = written.take() else { continue };
                let prefix = line.get(..prefix).unwrap_or(&[]);
                // A line of the data is a line of the event.
                for said in said.split(|byte| *byte == b'\n') {
                    let colon: &[u8] = if prefix.ends_with(b"data") { b":" } else { b"" };
                    work.out.extend_from_slice(&[prefix, colon, said, line_end].concat());
                }
            }
            (Some((b"data", ..)), None) => work.out.extend_from_slice(whole),
            // What is no field to a client of events is all there is to one that reads JSON.
            (other, _) if !work.rules.paths.is_empty() && !is_known(line, other, work) => {
                return Err(Unmaskable::Text);
            }
            // Comments, names and ids are text like any other, in which servers put pairs and JSON
            // as in fields of a head.
            _ => match beside(line, work) {
                Some(masked) => work.out.extend_from_slice(&[&masked, line_end].concat()),
                None => work.out.extend_from_slice(whole),
            },
        }
    }
    Ok(())
}

/// What takes the place of a line that is no data. `None`: it stays.
fn beside(line: &[u8], work: &mut Work<'_>) -> Option<Vec<u8>> {
    let Work { rules, scratch, out, hits, base, known } = work;
    field::mask(line, &mut Work { rules: rules.of_fields(), scratch, out, hits, base, known })
}

/// A line that events have beside their data, a comment, or a field that clients pass over (WHATWG
/// HTML 9.2.6) if no path leads to it, and none into what it says.
fn is_known(line: &[u8], field: Option<(&[u8], usize, &[u8])>, work: &Work<'_>) -> bool {
    let is_word = |name: &[u8]| name.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'-');
    let names = |(name, _, value): (&[u8], usize, &[u8])| {
        let is_own = matches!(name, b"event" | b"id" | b"retry");
        let is_met = work.rules.paths.met_field(name).next().is_some();
        is_own || (line.contains(&b':') && is_word(name) && is_plain_line(value) && !is_met)
    };
    line.is_empty() || line.starts_with(b":") || field.is_some_and(names)
}

/// Data that looks like JSON is masked as JSON.
fn masked(data: &[u8], work: &mut Work<'_>) -> Result<Option<Vec<u8>>, Unmaskable> {
    let first = data.iter().find(|byte| !byte.is_ascii_whitespace());
    // How streams of language models end.
    if data == b"[DONE]" {
        return Ok(None);
    }
    if !matches!(first, Some(b'{' | b'[' | b'"')) {
        return match work.rules.paths.is_empty() || is_plain_line(data.trim_ascii()) {
            true => Ok(whole_text(data, "", work)),
            false => Err(Unmaskable::Text),
        };
    }
    let mut out = Vec::new();
    let rules = rules_of(work.rules, data);
    let known = &Known::of(rules, data);
    let Work { scratch, hits, base, .. } = work;
    let mut within = Work { rules, scratch, out: &mut out, hits, base, known };
    match Json::new(true).feed(data, true, &mut within) {
        Ok(()) => Ok(Some(out)),
        Err(_) if work.rules.paths.is_empty() => Ok(whole_text(data, "", work)),
        Err(wrong) => Err(wrong),
    }
}
