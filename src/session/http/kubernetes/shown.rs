//! The body of a request to a cluster as its row and approvers see it.
//!
//! In: a body that was gathered. Out: text. Never: a value of a Secret, a token.

use std::borrow::Cow;

use serde_json::Value;

use super::super::exchange::Exchange;
use super::super::text;
use crate::decide::kubernetes::content::Content;
use crate::wire::http::name::Name;

const HIDDEN: &str = "***";
/// Fields whose values are secrets in requests of the classes that have some.
const SECRETS: [&str; 4] = ["data", "stringData", "token", "binaryData"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Exchange {
    /// The content that was gathered, without secrets.
    pub(in super::super) fn shown(&self) -> Cow<'_, [u8]> {
        let Some(asked) = &self.request.kube else {
            let calls = self.is_call().then(|| text::messages(&self.content)).flatten();
            return calls.map_or(Cow::Borrowed(&self.content), Cow::Owned);
        };
        if self.content.is_empty() {
            return Cow::Borrowed(&[]);
        }
        let has_secrets = asked.has_secrets() || is_secret(&self.content);
        let kind = self.request.head.only(Name::ContentType).unwrap_or(b"application/json");
        let is_json = kind.windows(4).any(|it| it == b"json" || it == b"yaml");
        // What protobuf stands for is what people are asked about.
        if let (false, Ok(Content::Json(mut object))) =
            (is_json, Content::read(Some(kind), &self.content))
        {
            if has_secrets {
                redact(&mut object, false);
            }
            return Cow::Owned(object.to_string().into_bytes());
        }
        match (is_json, has_secrets) {
            (true, false) => Cow::Borrowed(&self.content),
            (true, true) => Cow::Owned(redacted(&self.content)),
            (false, _) => {
                Cow::Owned(format!("({} bytes that are no text)", self.content.len()).into_bytes())
            }
        }
    }
}

/// Whether a body says to be a Secret, wherever it is sent.
fn is_secret(content: &[u8]) -> bool {
    let says = |word: &[u8]| content.windows(word.len()).any(|it| it.eq_ignore_ascii_case(word));
    if !says(b"secret") {
        return false;
    }
    match serde_json::from_slice::<Value>(content) {
        Ok(value) => has_kind(&value),
        // YAML, which is not read.
        Err(_) => content.split(|byte| *byte == b'\n').any(is_kind),
    }
}

fn has_kind(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_kind),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let says = value.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("secret"));
            (name.eq_ignore_ascii_case("kind") && says) || has_kind(value)
        }),
        _ => false,
    }
}

/// `kind: Secret`, also in a flow.
fn is_kind(line: &[u8]) -> bool {
    let letters: Vec<u8> = line.iter().filter(|byte| byte.is_ascii_alphabetic()).copied().collect();
    let word = b"kindsecret";
    let at = letters.windows(word.len()).position(|it| it.eq_ignore_ascii_case(word));
    at.is_some_and(|at| letters.get(at + word.len()).is_none_or(|_| line.contains(&b'{')))
}

fn redacted(content: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(content) {
        Ok(mut value) => {
            redact(&mut value, false);
            value.to_string().into_bytes()
        }
        // YAML, which is not read.
        Err(_) => format!("({} bytes that may hold a secret)", content.len()).into_bytes(),
    }
}

/// Hides every text below the fields above. An operation of a JSON Patch says its path in a field
/// beside the value.
fn redact(value: &mut Value, inside: bool) {
    match value {
        Value::String(text) if inside => HIDDEN.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| redact(value, inside)),
        Value::Object(fields) => {
            let is_operation = fields.contains_key("op") && fields.contains_key("path");
            for (name, value) in fields.iter_mut() {
                // A cluster takes other cases for other fields: people mean the same.
                let hides = SECRETS.iter().any(|it| it.eq_ignore_ascii_case(name))
                    || name == LAST_APPLIED
                    || (is_operation && name == "value");
                redact(value, inside || hides);
            }
        }
        Value::Bool(_) | Value::Number(_) if inside => *value = Value::from(HIDDEN),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_secret_is_shown() {
        fn check(body: &str, expect: &str) {
            assert_eq!(String::from_utf8(redacted(body.as_bytes())).unwrap(), expect);
        }
        let hidden = |text: &str| text.replace("HIDDEN", "***");
        for body in [
            r#"{"data":{"k":"HIDDEN"},"kind":"Secret"}"#,
            r#"{"kubectl.kubernetes.io/last-applied-configuration":"HIDDEN"}"#,
            r#"[{"op":"replace","path":"/data/k","value":"HIDDEN"}]"#,
            r#"{"stringData":{"a":{"b":["HIDDEN"]}},"type":"Opaque"}"#,
        ] {
            check(body, &hidden(body));
        }
        check(
            r#"{"stringData":{"pin":1234,"on":true}}"#,
            r#"{"stringData":{"on":"***","pin":"***"}}"#,
        );
        check("data: HIDDEN", "(12 bytes that may hold a secret)");
        check(r#"{"stringdata":{"p":"HIDDEN"}}"#, r#"{"stringdata":{"p":"***"}}"#);
    }

    #[test]
    fn what_says_to_be_a_secret() {
        for (body, expect) in [
            (r#"{"kind":"Secret","stringData":{"a":"b"}}"#, true),
            (r#"{"kind":"List","items":[{"Kind":"secret"}]}"#, true),
            (r#"{"kind":"ConfigMap","data":{"kind":"x","secret":"y"}}"#, false),
            (r#"{"kind":"Pod","spec":{"secret":{"secretName":"a"}}}"#, false),
            ("apiVersion: v1\nkind: Secret\n", true),
            ("- kind: 'Secret'\r\n", true),
            ("{kind: Secret, data: {a: b}}", true),
            ("kind: SecretStore\n", false),
            ("kind: Pod\nspec: {secret: a}\n", false),
        ] {
            assert_eq!(is_secret(body.as_bytes()), expect, "{body}");
        }
    }
}
