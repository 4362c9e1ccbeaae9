//! Values in names of fields: what an apiserver says of who owns which field.
//!
//! In: paths that are hidden in an object, names of fields below `fieldsV1`. Out: the names that
//! hold values of those paths, written with placeholders. Never: two equal names where there were
//! two, so that a reader sees as many members; a name that a write could bring back unnoticed.
//!
//! ```text
//!   spec.set.*      f:spec { f:set { v:"VALUE" {} } }         members of sets
//!   spec.list.*.k   f:spec { f:list { k:{"k":"VALUE"} {} } }  keys of lists
//! ```
//!
//! sigs.k8s.io/structured-merge-diff, fieldpath/serialize-pe.go.

use serde_json::Value;

use super::{Form, placeholder};

/// Where the names stand, as a path of an object.
pub const FIELDS_OWNED: &str = "metadata.managedFields.*.fieldsV1";

/// Names of fields that hold values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where, as a path in any shape of answer.
    pub path: String,
    /// The only field of a list's key that is hidden; none: all are.
    pub field: Option<String>,
}

/// The names that could hold what is hidden on a path.
pub fn of(path: &str) -> Vec<Named> {
    let parts = written(path);
    let below = |parts: &[String]| {
        let place = format!("**.{}", FIELDS_OWNED.trim_start_matches("metadata."));
        std::iter::once(place).chain(parts.iter().map(|part| owned(part))).collect::<Vec<_>>()
    };
    let mut all = vec![Named { path: below(&parts).join("."), field: None }];
    // The key of a list names fields of its items, which stand one level deeper in the object.
    if let Some((last, above)) = parts.split_last().filter(|(_, above)| !above.is_empty()) {
        let field = (last != "*" && last != "**").then(|| last.replace('\\', ""));
        all.push(Named { path: below(above).join("."), field });
    }
    all
}

/// Segments of a path as they are written, escapes and all.
fn written(path: &str) -> Vec<String> {
    let (mut parts, mut escaped) = (vec![String::new()], false);
    for letter in path.chars() {
        match letter {
            '.' if !escaped => parts.push(String::new()),
            _ => parts.iter_mut().next_back().into_iter().for_each(|last| last.push(letter)),
        }
        escaped = letter == '\\' && !escaped;
    }
    parts
}

/// A segment of an object's path among the names.
fn owned(part: &str) -> String {
    match part {
        "*" | "**" => part.to_owned(),
        _ if part.starts_with("*!") => part.replace('!', "!f:"),
        // A place in an array is a member here, of whatever name.
        _ if part.bytes().all(|byte| byte.is_ascii_digit()) => "*".to_owned(),
        _ => format!("f:{part}"),
    }
}

/// What a name becomes whose values are hidden; `fields` are those of a list's key, `None` all of
/// them. `None`: it holds nothing of it. `count` tells the names of a body apart.
pub fn renamed(name: &str, fields: Option<&[&str]>, count: &mut u64) -> Option<String> {
    let mut mark = || {
        *count += 1;
        placeholder(*count, Form::Text)
    };
    if name.starts_with("v:") && fields.is_none() {
        return Some(format!("v:\"{}\"", mark()));
    }
    let key = name.strip_prefix("k:")?;
    let Ok(Value::Object(mut key)) = serde_json::from_str(key) else {
        return Some(format!("k:{{\"{}\":0}}", mark()));
    };
    let is_hidden = |name: &str| fields.is_none_or(|fields| fields.contains(&name));
    let mut changed = false;
    for (_, value) in key.iter_mut().filter(|(name, _)| is_hidden(name)) {
        (*value, changed) = (mark().into(), true);
    }
    changed.then(|| format!("k:{}", Value::Object(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_names() {
        let paths = |path: &str| {
            let short = |it: Named| {
                let path = it.path.strip_prefix("**.managedFields.*.fieldsV1").expect("below it");
                format!("{path} {}", it.field.unwrap_or_default())
            };
            of(path).into_iter().map(short).collect::<Vec<_>>()
        };
        assert_eq!(paths("spec"), [".f:spec "]);
        assert_eq!(paths("spec.set.*"), [".f:spec.f:set.* ", ".f:spec.f:set "]);
        assert_eq!(paths("spec.l.*.k"), [".f:spec.f:l.*.f:k ", ".f:spec.f:l.* k"]);
        assert_eq!(paths("spec.l.0.k"), [".f:spec.f:l.*.f:k ", ".f:spec.f:l.* k"]);
        assert_eq!(paths("*!a!b"), [".*!f:a!f:b "]);
        assert_eq!(paths("**.k"), [".**.f:k ", ".** k"]);
        assert_eq!(paths(r"spec.a\.b"), [r".f:spec.f:a\.b ", r".f:spec a.b"]);
    }

    #[test]
    fn names_with_placeholders() {
        let check = |name: &str, fields: Option<&[&str]>, expect: Option<&str>| {
            let mut count = 0;
            assert_eq!(renamed(name, fields, &mut count).as_deref(), expect, "{name}");
        };
        check("f:spec", None, None);
        check(".", None, None);
        check(r#"v:"a""#, None, Some(r#"v:"weir-masked-0000000000000001""#));
        check("v:1", None, Some(r#"v:"weir-masked-0000000000000001""#));
        check(r#"v:"a""#, Some(&["k"]), None);
        let key = r#"k:{"k":"a","n":1}"#;
        check(key, Some(&["other"]), None);
        check(key, Some(&["k"]), Some(r#"k:{"k":"weir-masked-0000000000000001","n":1}"#));
        let all = r#"k:{"k":"weir-masked-0000000000000001","n":"weir-masked-0000000000000002"}"#;
        check(key, None, Some(all));
        check("k:[", Some(&["k"]), Some(r#"k:{"weir-masked-0000000000000001":0}"#));
    }
}
