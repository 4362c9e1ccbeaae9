//! Parameters as JSON, and parameters without their secrets.
//!
//! In: parameters as they came on the wire (`ParamsEncoding`). Out: JSON text; what the journal may
//! hold. Never: a panic, a secret, or a value that is silently left out.
//!
//! Of Bind values each is an item of an array. Text is a string, converted from the encoding that
//! it came in; NULL is null. Binary values of known types are what they mean (`binary`); others,
//! and text of which it cannot be told what it says, are `{"b64": ".."}`; one that is a secret is
//! `{"secret": true}`. Bytes after the point where the body stops making sense are the last item,
//! `{"rest_b64": ".."}`.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::binary::{self, Meaning};
use super::body::{ParamsView, Sink};
use super::entry::{Params, ParamsEncoding};
use crate::decide::sql::encoding;
use crate::identify::api_token;

/// Length of a value that is a secret, in the journal; that of NULL is -1.
const SECRET: i32 = -2;

/// The parameters as JSON text.
pub fn to_json(params: &ParamsView<'_>) -> String {
    match params.encoding {
        ParamsEncoding::PgBind => bind_to_json(params),
        ParamsEncoding::Json => match std::str::from_utf8(params.raw) {
            Ok(text) => text.to_owned(),
            Err(_) => opaque(params.raw),
        },
        ParamsEncoding::Words => words_to_json(params.raw),
    }
}

/// The parameters of a command as its record will show them, without their secrets.
pub fn shown(params: &Params<'_>) -> String {
    let types: Vec<u8> = params.types.iter().flat_map(|oid| oid.to_le_bytes()).collect();
    let mut raw = Vec::new();
    match params.encoding {
        ParamsEncoding::PgBind if !params.secrets.is_empty() => hide_secrets(params, &mut raw),
        _ => raw.extend_from_slice(params.raw),
    }
    let text_encoding = params.text_encoding;
    to_json(&ParamsView { encoding: params.encoding, raw: &raw, types: &types, text_encoding })
}

/// A text as people read it: what cannot be told is replaced.
pub fn shown_text<'t>(text_encoding: &str, text: &'t [u8]) -> Cow<'t, str> {
    read(text_encoding, text).unwrap_or_else(|| String::from_utf8_lossy(text))
}

/// What a text says that came in this encoding; `None` if it cannot be told.
pub(in crate::record) fn read<'t>(text_encoding: &str, text: &'t [u8]) -> Option<Cow<'t, str>> {
    let utf8 = match text_encoding {
        "" => Cow::Borrowed(text),
        name => encoding::to_utf8(name, text)?,
    };
    match utf8 {
        Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
    }
}

fn words_to_json(raw: &[u8]) -> String {
    let mut json = String::from("[");
    for word in raw.split_inclusive(|byte| *byte == 0) {
        separate(&mut json);
        push_text(&mut json, word.strip_suffix(&[0]).unwrap_or(word), "");
    }
    json.push(']');
    json
}

/// Writes Bind values as the journal may hold them. Behind the point where the body stops making
/// sense nobody knows what is a secret, so nothing of that is written.
pub(in crate::record) fn hide_secrets(params: &Params<'_>, sink: &mut impl Sink) {
    let Some((head, count, mut rest)) = split_head(params.raw) else { return };
    sink.put(head);
    for number in 1..=count {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return };
        let size = usize::try_from(i32::from_be_bytes(*length)).ok();
        let Some((value, after)) = after.split_at_checked(size.unwrap_or(0)) else { return };
        rest = after;
        if size.is_some() && params.secrets.contains(&number) {
            sink.put(&SECRET.to_be_bytes());
        } else {
            sink.put(length);
            match api_token::hidden(value) {
                Some(hidden) => sink.put(&hidden),
                None => sink.put(value),
            }
        }
    }
}

/// The format codes with the count of values, that count, and the values.
fn split_head(raw: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let (formats, after) = raw.split_first_chunk::<2>()?;
    let formats = usize::from(u16::from_be_bytes(*formats));
    let (count, _) = after.get(formats * 2..)?.split_first_chunk::<2>()?;
    let (head, values) = raw.split_at_checked(formats * 2 + 4)?;
    Some((head, u16::from_be_bytes(*count), values))
}

/// Bind values as a JSON array.
fn bind_to_json(params: &ParamsView<'_>) -> String {
    let mut json = String::from("[");
    let mut rest = params.raw;
    if values(params, &mut rest, &mut json).is_none() || !rest.is_empty() {
        separate(&mut json);
        let _ = write!(json, r#"{{"rest_b64":"{}"}}"#, STANDARD.encode(rest));
    }
    json.push(']');
    json
}

fn separate(json: &mut String) {
    if json.len() > 1 {
        json.push(',');
    }
}

/// Takes values off `rest`; what it cannot take stays there.
fn values(params: &ParamsView<'_>, rest: &mut &[u8], json: &mut String) -> Option<()> {
    let raw = *rest;
    let (format_count, after) = raw.split_first_chunk::<2>()?;
    let format_count = usize::from(u16::from_be_bytes(*format_count));
    let (formats, after) = after.split_at_checked(format_count * 2)?;
    let (count, after) = after.split_first_chunk::<2>()?;
    let formats = formats.as_chunks::<2>().0;
    let mut types = params.types();
    *rest = after;
    for index in 0..usize::from(u16::from_be_bytes(*count)) {
        let format = match formats {
            [] => 0,
            [all] => u16::from_be_bytes(*all),
            each => u16::from_be_bytes(*each.get(index)?),
        };
        let oid = types.next().unwrap_or(0);
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        if length == SECRET {
            *rest = after;
            separate(json);
            json.push_str(r#"{"secret":true}"#);
            continue;
        }
        let (value, after) = if length < 0 {
            (None, after)
        } else {
            let (value, after) = after.split_at_checked(length as usize)?;
            (Some(value), after)
        };
        *rest = after;
        separate(json);
        match (value, format) {
            (None, _) => json.push_str("null"),
            (Some(value), 0) => push_text(json, value, params.text_encoding),
            (Some(value), _) => push_binary(json, oid, value, params.text_encoding),
        }
    }
    Some(())
}

fn push_text(json: &mut String, value: &[u8], text_encoding: &str) {
    match read(text_encoding, value) {
        Some(text) => push_string(json, &text),
        None => push_opaque(json, value),
    }
}

fn push_string(json: &mut String, text: &str) {
    // Writing a string to a string cannot fail.
    let _ = write!(json, "{}", serde_json::Value::from(text));
}

fn push_opaque(json: &mut String, value: &[u8]) {
    json.push_str(&opaque(value));
}

fn opaque(value: &[u8]) -> String {
    format!(r#"{{"b64":"{}"}}"#, STANDARD.encode(value))
}

fn push_binary(json: &mut String, oid: u32, value: &[u8], text_encoding: &str) {
    // char, name, text, json, unknown, bpchar, varchar: converted as text is (varlena.c,
    // `textrecv`).
    if let 18 | 19 | 25 | 114 | 705 | 1042 | 1043 = oid {
        push_text(json, value, text_encoding);
    } else if known_binary(json, oid, value).is_none() {
        match binary::meaning(oid, value) {
            Some(Meaning::Text(text)) => push_string(json, &text),
            Some(Meaning::Raw(text)) => push_text(json, text, text_encoding),
            Some(Meaning::List(element, values)) => {
                json.push('[');
                for (at, value) in values.into_iter().enumerate() {
                    json.push_str(if at > 0 { "," } else { "" });
                    match value {
                        None => json.push_str("null"),
                        Some(value) => push_binary(json, element, value, text_encoding),
                    }
                }
                json.push(']');
            }
            None => push_opaque(json, value),
        }
    }
}

/// Type OIDs of pg_type.dat.
fn known_binary(json: &mut String, oid: u32, value: &[u8]) -> Option<()> {
    match oid {
        16 => match value {
            [0] => json.push_str("false"),
            [1] => json.push_str("true"),
            _ => return None,
        },
        20 => push_number(json, i64::from_be_bytes(value.try_into().ok()?)),
        21 => push_number(json, i16::from_be_bytes(value.try_into().ok()?)),
        23 => push_number(json, i32::from_be_bytes(value.try_into().ok()?)),
        24 | 26 | 28 | 29 | 2205 | 2206 => {
            push_number(json, u32::from_be_bytes(value.try_into().ok()?))
        }
        700 => {
            let number = f32::from_be_bytes(value.try_into().ok()?);
            push_float(json, number.is_finite(), number);
        }
        701 => {
            let number = f64::from_be_bytes(value.try_into().ok()?);
            push_float(json, number.is_finite(), number);
        }
        2950 => {
            let id = uuid::Uuid::from_slice(value).ok()?;
            let _ = write!(json, "\"{}\"", id.as_hyphenated());
        }
        _ => return None,
    }
    Some(())
}

fn push_number(json: &mut String, number: impl std::fmt::Display) {
    let _ = write!(json, "{number}");
}

/// JSON has no infinities and no NaN: those are strings, spelled as PostgreSQL does.
fn push_float(json: &mut String, finite: bool, number: impl std::fmt::Display) {
    if finite {
        push_number(json, number);
        return;
    }
    let text = match number.to_string().as_str() {
        "inf" => "Infinity",
        "-inf" => "-Infinity",
        _ => "NaN",
    };
    push_string(json, text);
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
