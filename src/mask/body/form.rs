//! Forms: the value of each pair, by its name as a path and by what is in it.

use super::embedded::{self, Embedded};
use super::{Unmaskable, Work, hidden, whole_text};
use crate::limits::MASK_TOKEN_BYTES_MAX;
use crate::mask::operator::{HIDDEN, Operator};
use crate::wire::http::check;

/// Masks one form.
#[derive(Debug, Default)]
pub(super) struct Form {
    held: Vec<u8>,
}

impl Form {
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Unmaskable> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some(at) = memchr::memchr(b'&', rest) {
            let (head, tail) = rest.split_at(at);
            pair(head, work)?;
            work.out.push(b'&');
            rest = tail.get(1..).unwrap_or(&[]);
        }
        if rest.len() > MASK_TOKEN_BYTES_MAX {
            return Err(Unmaskable::TooLong);
        }
        if ends {
            return pair(rest, work);
        }
        self.held = rest.to_vec();
        Ok(())
    }
}

fn pair(pair: &[u8], work: &mut Work<'_>) -> Result<(), Unmaskable> {
    // Whatever else it is, a path might lead into it.
    let is_coded =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._+%=[]~!'()@:/,$".contains(byte);
    if !work.rules.paths.is_empty() && !pair.iter().all(is_coded) {
        return Err(Unmaskable::Form);
    }
    let at = memchr::memchr(b'=', pair);
    let (name, value) = match at.and_then(|at| pair.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (pair, None),
    };
    let said_name = decoded(name)?;
    match whole_text(&said_name, "", work) {
        Some(masked) => encode(&masked, work.out),
        None => work.out.extend_from_slice(name),
    }
    let Some(value) = value else { return Ok(()) };
    work.out.push(b'=');
    let said = decoded(value)?;
    let rules = work.rules;
    let met = rules.paths.met_field(&said_name);
    let masked = match rules.strongest(met) {
        Some((operator, pattern)) => {
            work.count_path(operator, pattern);
            // A form has no null.
            let is_null = operator == Operator::Nullify;
            Some(if is_null { HIDDEN.to_vec() } else { hidden(operator, &said) })
        }
        None => within(&said, work),
    };
    match masked {
        Some(masked) => encode(&masked, work.out),
        None => work.out.extend_from_slice(value),
    }
    Ok(())
}

/// A value that may be JSON itself, or hold it.
fn within(said: &[u8], work: &mut Work<'_>) -> Option<Vec<u8>> {
    let may_hold = !work.rules.embedded.is_empty() && !work.rules.strict;
    match may_hold.then(|| embedded::mask(said, "", work)) {
        Some(Embedded::Becomes(masked)) => Some(masked),
        Some(Embedded::Stays) => None,
        Some(Embedded::IsNone) | None => whole_text(said, "", work),
    }
}

fn decoded(coded: &[u8]) -> Result<Vec<u8>, Unmaskable> {
    let spaced: Vec<u8> = coded.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let said = check::decode(&spaced).ok_or(Unmaskable::Form)?;
    std::str::from_utf8(&said).map_err(|_| Unmaskable::Coding)?;
    Ok(said)
}

pub(super) fn encode(said: &[u8], out: &mut Vec<u8>) {
    for &byte in said {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}
