//! Guesses of what is masked, which an answer of a cluster would tell right or wrong.
//!
//! In: bodies and selectors of requests. Out: whether they could be one. Never: a guess of a value
//! that detectors hide which they do not find themselves: to be right it has to be such a value.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::decide::kubernetes::content::Content;
use crate::mask::Hits;
use crate::mask::body::{Masker, Rules, Shape};

/// Whether detectors find something in a value that is sent.
pub(super) fn finds(found: &Rc<Rules>, value: &Value) -> bool {
    if found.is_empty() {
        return false;
    }
    let text = value.to_string();
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    let Some(mut masker) = Masker::new(Rc::clone(found), Shape::Json) else { return true };
    let masked = masker
        .push(text.as_bytes(), &mut out, &mut hits)
        .and_then(|()| masker.finish(&mut out, &mut hits));
    masked.is_err() || out != text.as_bytes()
}

/// Whether a selector compares with a value that detectors hide, or in order, which tells a number
/// digit by digit (apimachinery, labels/selector.go).
pub(super) fn selects(found: &Rc<Rules>, selector: &str) -> bool {
    !found.is_empty() && (selector.contains(['<', '>']) || finds(found, &selector.into()))
}

/// Whether a body may set `immutable` of a Secret or a ConfigMap, which nothing takes back: from
/// then on a guess of its values is refused if it is wrong, and leaves them as they are.
pub(super) fn may_fix(content: &Content<'_>) -> bool {
    let sets = |value: Option<&Value>| {
        value.is_some_and(|value| !value.is_null() && value != &Value::Bool(false))
    };
    match content {
        Content::Empty => false,
        Content::Json(object) => sets(object.get("immutable")),
        Content::Patch(operations) => operations.iter().any(|it| {
            let path = it.get("path").and_then(Value::as_str);
            matches!(path, Some("" | "/immutable"))
        }),
        Content::Protobuf(_) | Content::Opaque => true,
    }
}

/// Whether an operation compares.
pub(super) fn is_test(operation: &Value) -> bool {
    operation.get("op").and_then(Value::as_str) == Some("test")
}

/// What an operation of a JSON Patch compares or brings, where it stands in the object.
pub(super) fn placed(operation: &Value) -> Value {
    let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    let value = operation.get("value").cloned().unwrap_or_default();
    let tokens = path.split('/').skip(1).map(|it| it.replace("~1", "/").replace("~0", "~"));
    let tokens: Vec<String> = tokens.take(PLACED_DEPTH_MAX).collect();
    tokens.into_iter().rev().fold(value, |value, token| json!({ token: value }))
}

/// Deeper than any value stands that detectors look into.
const PLACED_DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::detect::{Detector, Detectors};
    use crate::mask::kubernetes::{Answer, Masks};
    use crate::mask::operator::Operator;

    fn found(kind: &str) -> Rc<Rules> {
        let card = Detector::parse("credit-card").unwrap();
        let detectors = Rc::new(Detectors::new([(card, Operator::Token)]));
        Rc::new(Masks::new((kind, Answer::Object), Vec::new(), detectors).found)
    }

    #[test]
    fn selectors_that_guess_what_detectors_hide() {
        let card = found("ConfigMap");
        for selector in [
            "cc=4111111111111111",
            "cc in (a,4111111111111111)",
            "cc>7",
            "cc<7",
            "cc!=4111111111111111",
        ] {
            assert!(selects(&card, selector), "{selector}");
            assert!(!selects(&Rc::default(), selector), "{selector}");
        }
        for selector in ["", "app=web,tier in (a, b)", "cc", "!cc", "involvedObject.name=web-1"] {
            assert!(!selects(&card, selector), "{selector}");
        }
    }

    #[test]
    fn bodies_that_guess_what_detectors_hide() {
        let test = |path: &str, value: &str| json!({"op": "test", "path": path, "value": value});
        let secret = found("Secret");
        // base64 of a card, where a Secret has base64.
        assert!(finds(&secret, &placed(&test("/data/cc", "NDExMTExMTExMTExMTExMQ=="))));
        assert!(!finds(&secret, &placed(&test("/data/cc", "bm90aGluZw=="))));
        assert!(finds(&found(""), &placed(&test("/metadata/labels/cc", "4111111111111111"))));
        assert!(!finds(&Rc::default(), &placed(&test("/a", "4111111111111111"))));
        assert_eq!(placed(&test("/a/b~1c", "d")), json!({"a": {"b/c": "d"}}));
        assert!(is_test(&test("/a", "b")) && !is_test(&json!({"op": "add"})));
    }

    #[test]
    fn what_makes_an_object_immutable() {
        let patch = |path: &str| Content::Patch(vec![json!({"path": path, "value": true})]);
        assert!(may_fix(&Content::Json(json!({"immutable": true}))));
        assert!(may_fix(&patch("/immutable")) && may_fix(&patch("")) && may_fix(&Content::Opaque));
        assert!(!may_fix(&Content::Json(
            json!({"immutable": false, "data": {"immutable": "true"}})
        )));
        assert!(!may_fix(&patch("/data/immutable")) && !may_fix(&Content::Empty));
    }
}
