//! Bind values as JSON.
//!
//! In: the part of a Bind body from the count of format codes to the last value; type OIDs.
//! Out: a JSON array with one item per value. Never: a panic or a value that is silently left out.
//!
//! Text is a string, NULL is null. Binary values of known types are what they mean; others, and
//! text that is not UTF-8, are `{"b64": ".."}`. Bytes after the point where the body stops making
//! sense are the last item, `{"rest_b64": ".."}`.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::body::ParamsView;

/// The values as JSON text.
pub fn to_json(params: &ParamsView<'_>) -> String {
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
            (Some(value), 0) => push_text(json, value),
            (Some(value), _) => push_binary(json, oid, value),
        }
    }
    Some(())
}

fn push_text(json: &mut String, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => push_string(json, text),
        Err(_) => push_opaque(json, value),
    }
}

fn push_string(json: &mut String, text: &str) {
    // Writing a string to a string cannot fail.
    let _ = write!(json, "{}", serde_json::Value::from(text));
}

fn push_opaque(json: &mut String, value: &[u8]) {
    let _ = write!(json, r#"{{"b64":"{}"}}"#, STANDARD.encode(value));
}

fn push_binary(json: &mut String, oid: u32, value: &[u8]) {
    if known_binary(json, oid, value).is_none() {
        push_opaque(json, value);
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
        26 => push_number(json, u32::from_be_bytes(value.try_into().ok()?)),
        700 => {
            let number = f32::from_be_bytes(value.try_into().ok()?);
            push_float(json, number.is_finite(), number);
        }
        701 => {
            let number = f64::from_be_bytes(value.try_into().ok()?);
            push_float(json, number.is_finite(), number);
        }
        // char, name, text, json, unknown, bpchar, varchar
        18 | 19 | 25 | 114 | 705 | 1042 | 1043 => {
            push_string(json, std::str::from_utf8(value).ok()?);
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
