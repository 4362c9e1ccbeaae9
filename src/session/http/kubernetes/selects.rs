//! What selectors of a list compare, which tells it.
//!
//! In: `fieldSelector`, `labelSelector`. Out: objects with a value where each of them looks. Never:
//! a selector that is none taken for one that looks nowhere.

use serde_json::{Value, json};

use crate::mask::kubernetes::brings;

/// Whether a selector looks at a path that is hidden.
pub(super) fn tells(fields: Option<&str>, labels: Option<&str>, path: &str) -> bool {
    looked_at(fields, labels).iter().any(|object| brings(object, path))
}

/// Objects with a value wherever the selectors look.
fn looked_at(fields: Option<&str>, labels: Option<&str>) -> Vec<Value> {
    let mut objects = Vec::new();
    // Names and their folders are in every request: nobody hides them.
    let plain = ["metadata.name", "metadata.namespace"];
    // A comma within a value is taken for the start of another field, which hides nothing.
    for field in terms(fields).filter(|field| !plain.contains(field)) {
        let wrap = |inner: Value, name: &str| json!({ name: inner });
        objects.push(field.split('.').rev().fold(Value::from(0), wrap));
    }
    for label in terms(labels) {
        objects.push(json!({ "metadata": { "labels": { label: 0 } } }));
    }
    objects
}

/// What stands before an operator, in each part between commas.
fn terms(selector: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = selector.unwrap_or_default().split(',');
    let name = |part: &'_ str| -> usize {
        part.find(|sign: char| "=! ()".contains(sign) || sign.is_whitespace()).unwrap_or(part.len())
    };
    let named = move |part| {
        let part: &str = str::trim_start_matches(part, |sign: char| {
            sign == '!' || sign == '(' || sign.is_whitespace()
        });
        part.get(..name(part)).unwrap_or(part)
    };
    parts.map(named).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selectors_look_at() {
        let fields = |selector: &str, path: &str| tells(Some(selector), None, path);
        assert!(fields("status.podIP=198.18.0.10", "status.podIP"));
        assert!(fields("status.phase!=Running,status.podIP==1", "status.podIP"));
        assert!(fields("spec.nodeName=a", "spec") && fields("spec.nodeName=a", "**.nodeName"));
        assert!(!fields("status.phase=Running", "status.podIP"));
        assert!(!fields("metadata.name=a,metadata.namespace=b", "**"));
        assert!(!fields("metadata.name=a", "**.password"));
        assert!(fields(" status.podIP = 1", "status.podIP"));
        let labels = |selector: &str, path: &str| tells(None, Some(selector), path);
        for selector in
            ["secret=a", "!secret", "secret", "secret in (a, b)", "a=b, secret notin (c)"]
        {
            assert!(labels(selector, "metadata.labels.secret"), "{selector}");
            assert!(labels(selector, "metadata.labels.*"), "{selector}");
            assert!(labels(selector, "metadata.labels"), "{selector}");
            assert!(!labels(selector, "metadata.labels.other"), "{selector}");
            assert!(!labels(selector, "data.*"), "{selector}");
        }
        assert!(labels("ex.io/secret=a", r"metadata.labels.ex\.io/secret"));
        assert!(!tells(None, None, "**"));
        assert!(!fields("", "spec") && !labels(" , ", "metadata.labels"));
    }
}
