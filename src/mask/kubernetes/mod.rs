//! Where the values of Kubernetes' objects stand, in every shape of answer that shows one.
//!
//! In: the kind that a request is about, paths of rules. Out: patterns for the walk over JSON, the
//! form that a mask must keep; what takes a value's place, and whether a body brings it back.
//! Never: a shape that shows an object and is left out: an answer has the same patterns below every
//! one of them.
//!
//! ```text
//!   object                 get, create, update, patch, apply, delete, dry runs
//!   items.*                lists, and what deletecollection answers
//!   rows.*.object          tables: its metadata, or all of it (includeObject=Object)
//!   object.object          an event of a watch: ADDED, MODIFIED, DELETED
//!   object.rows.*.object   an event of a watch of tables
//! ```

use memchr::memmem;

/// What a value looks like, so that typed clients can read what takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Base64 of bytes.
    Base64,
    /// Text.
    Text,
    /// Text that is the JSON of an object of the same kind.
    Embedded,
}

/// Where a kind keeps values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind, `*` for any.
    pub kind: &'static str,
    /// The path from the object, as `wire::http::json::path` reads it.
    pub path: &'static str,
    /// What stands there.
    pub form: Form,
}

const fn place(kind: &'static str, path: &'static str, form: Form) -> Place {
    Place { kind, path, form }
}

/// Places that a mask of the kind hides unless it names paths of its own. A helm release is a value
/// of a Secret, and hidden whole with it.
pub const PLACES: [Place; 8] = [
    place("*", LAST_APPLIED_PATH, Form::Embedded),
    place("Secret", "data.*", Form::Base64),
    place("Secret", "stringData.*", Form::Text),
    place("ConfigMap", "data.*", Form::Text),
    place("ConfigMap", "binaryData.*", Form::Base64),
    place("TokenRequest", "status.token", Form::Text),
    place("TokenReview", "spec.token", Form::Text),
    place("CertificateSigningRequest", "spec.request", Form::Base64),
];

/// `kubectl apply` keeps the object here, values and all.
const LAST_APPLIED_PATH: &str =
    r"metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration";

/// Prefixes of the shapes above.
pub const SHAPES: [&str; 5] =
    ["", "items.*.", "rows.*.object.", "object.", "object.rows.*.object."];

/// Kinds with the spec of pods, and where.
const POD_SPECS: [(&str, &str); 10] = [
    ("Pod", "spec"),
    ("PodTemplate", "template.spec"),
    ("ReplicationController", "spec.template.spec"),
    ("Deployment", "spec.template.spec"),
    ("ReplicaSet", "spec.template.spec"),
    ("StatefulSet", "spec.template.spec"),
    ("DaemonSet", "spec.template.spec"),
    ("Job", "spec.template.spec"),
    ("CronJob", "spec.jobTemplate.spec.template.spec"),
    // It holds a part of what it is a revision of.
    ("ControllerRevision", "data.spec.template.spec"),
];

/// Kinds of resources whose values have places. The list of a kind has its name and `List`; objects
/// in a table of metadata do not say what they are, so the resource of the request counts too.
const RESOURCES: [(&str, &str, &str); 15] = [
    ("", "secrets", "Secret"),
    ("", "configmaps", "ConfigMap"),
    ("", "serviceaccounts", "TokenRequest"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    ("certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest"),
    ("", "pods", "Pod"),
    ("", "podtemplates", "PodTemplate"),
    ("", "replicationcontrollers", "ReplicationController"),
    ("apps", "deployments", "Deployment"),
    ("apps", "replicasets", "ReplicaSet"),
    ("apps", "statefulsets", "StatefulSet"),
    ("apps", "daemonsets", "DaemonSet"),
    ("batch", "jobs", "Job"),
    ("batch", "cronjobs", "CronJob"),
    ("apps", "controllerrevisions", "ControllerRevision"),
];

/// The kind whose places count in answers about a resource.
pub fn kind_of(group: &str, resource: &str) -> Option<&'static str> {
    let row = RESOURCES.iter().find(|(g, r, _)| *g == group && *r == resource);
    row.map(|(_, _, kind)| *kind)
}

/// Patterns of all places of a kind, below every shape.
pub fn patterns(kind: &str) -> Vec<(String, Form)> {
    let own = |place: &&Place| place.kind == "*" || place.kind == kind;
    let places = PLACES.iter().filter(own);
    places.flat_map(|place| shapes(place.path, place.form)).collect()
}

/// The places of a kind, as paths of an object.
pub fn places(kind: &str) -> Vec<(String, Form)> {
    let own = PLACES.iter().filter(|place| place.kind == "*" || place.kind == kind);
    own.map(|place| (place.path.to_owned(), place.form)).collect()
}

/// What stands at a path of a kind that a rule names.
pub fn form(kind: &str, path: &str) -> Form {
    let top = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    let own = PLACES.iter().filter(|place| place.kind == kind);
    let found = own.filter(|place| place.path == path || top(place.path) == top(path));
    found.map(|place| place.form).next().unwrap_or(Form::Text)
}

/// Patterns of one path of a rule, below every shape.
pub fn shapes(path: &str, form: Form) -> impl Iterator<Item = (String, Form)> {
    SHAPES.iter().map(move |shape| (format!("{shape}{path}"), form))
}

/// Patterns of the values of environment variables in a kind with the spec of pods.
pub fn environment(kind: &str) -> Vec<(String, Form)> {
    let specs = POD_SPECS.iter().filter(|(known, _)| *known == kind);
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    specs
        .flat_map(|(_, spec)| lists.map(|list| format!("{spec}.{list}.*.env.*.value")))
        .flat_map(|path| shapes(&path, Form::Text).collect::<Vec<_>>())
        .collect()
}

/// What every placeholder begins with. It has a length that base64 needs no padding for, so what it
/// is in base64 does not depend on what follows.
pub const PLACEHOLDER: &str = "weir-masked-";
const PLACEHOLDER_BASE64: &str = "d2Vpci1tYXNrZWQt";

/// What takes the place of a value. `mark` is a keyed hash of it, so that equal values of one
/// object show as equal.
pub fn placeholder(mark: u64, form: Form) -> String {
    use base64::Engine as _;
    let text = format!("{PLACEHOLDER}{mark:016x}");
    match form {
        Form::Base64 => base64::engine::general_purpose::STANDARD.encode(text),
        Form::Text | Form::Embedded => text,
    }
}

/// Whether a body of a write brings a placeholder back, in JSON, YAML or protobuf: all of them hold
/// it as it is, or in base64 from its first byte on.
pub fn brings_back(body: &[u8]) -> bool {
    memmem::find(body, PLACEHOLDER.as_bytes()).is_some()
        || memmem::find(body, PLACEHOLDER_BASE64.as_bytes()).is_some()
}

/// Whether a JSON Patch `test`, `copy` or `move` of this pointer (RFC 6901) could tell what stands
/// at a path: the pointer is on it, above it or below it. `path` is relative to the object. A
/// pointer that is none could mean anything.
pub fn pointer_tells(pointer: &str, path: &str) -> bool {
    if pointer.is_empty() {
        return true;
    }
    let Some(pointer) = pointer.strip_prefix('/') else { return true };
    let parts = split(path);
    let mut parts = parts.iter().map(String::as_str);
    for token in pointer.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        match parts.next() {
            None => return true,
            Some("*") => {}
            Some("**") => return true,
            Some(part) if part == token => {}
            Some(_) => return false,
        }
    }
    true
}

/// Segments of a path, with what is escaped decoded.
fn split(path: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '.' => segments.push(String::new()),
            '\\' => segments.iter_mut().next_back().into_iter().for_each(|last| {
                last.extend(letters.next());
            }),
            _ => segments.iter_mut().next_back().into_iter().for_each(|last| last.push(letter)),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::json::path::{Follow, Pattern, Patterns};
    use crate::wire::http::json::{Token, Walk, Wrong, walk};

    /// The texts in a document that patterns mean.
    fn met(patterns: &[(String, Form)], document: &str) -> Vec<String> {
        let all = patterns.iter().map(|(text, _)| Pattern::parse(text).expect("a pattern"));
        let all = Patterns::new(all.collect());
        let (mut follow, mut found) = (Follow::default(), Vec::new());
        walk::<Wrong>(&mut Walk::new(), document.as_bytes(), |walk, token, span| {
            follow.tell(&all, walk, token);
            if token == Token::Text && follow.met(&all).next().is_some() {
                let text = &document[span.start as usize..(span.start + span.len) as usize];
                found.push(text.trim_matches('"').to_owned());
            }
            Ok(())
        })
        .expect("JSON");
        found
    }

    const SECRET: &str = r#"{"kind":"Secret","metadata":{"name":"s","annotations":{"a":"shown",
        "kubectl.kubernetes.io/last-applied-configuration":"HIDDEN"}},
        "data":{"k":"HIDDEN","k.2":"HIDDEN"},"stringData":{"k":"HIDDEN"},"type":"Opaque"}"#;

    #[test]
    fn a_secret_is_hidden_in_every_shape_of_answer() {
        let patterns = patterns("Secret");
        let table =
            format!(r#"{{"kind":"Table","rows":[{{"cells":["s","Opaque"],"object":{SECRET}}}]}}"#);
        for document in [
            SECRET.to_owned(),
            format!(r#"{{"kind":"SecretList","items":[{SECRET}]}}"#),
            table.clone(),
            format!(r#"{{"type":"ADDED","object":{SECRET}}}"#),
            format!(r#"{{"type":"ADDED","object":{table}}}"#),
        ] {
            assert_eq!(met(&patterns, &document), ["HIDDEN"; 4], "{document}");
        }
    }

    #[test]
    fn the_metadata_of_a_table_has_what_was_last_applied() {
        let row = r#"{"kind":"PartialObjectMetadata","metadata":{"annotations":{
            "kubectl.kubernetes.io/last-applied-configuration":"HIDDEN"}}}"#;
        let table = format!(r#"{{"rows":[{{"cells":["a"],"object":{row}}}]}}"#);
        assert_eq!(met(&patterns("Secret"), &table), ["HIDDEN"]);
    }

    #[test]
    fn environments_of_pods_and_templates() {
        let spec = r#"{"containers":[{"name":"a","env":[{"name":"B","value":"HIDDEN"}]}],
            "initContainers":[{"env":[{"name":"C","value":"HIDDEN"}]}]}"#;
        let template = format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#);
        assert_eq!(met(&environment("Pod"), &format!(r#"{{"spec":{spec}}}"#)), ["HIDDEN"; 2]);
        assert_eq!(met(&environment("Deployment"), &template), ["HIDDEN"; 2]);
        let cron = format!(r#"{{"items":[{{"spec":{{"jobTemplate":{template}}}}}]}}"#);
        assert_eq!(met(&environment("CronJob"), &cron), ["HIDDEN"; 2]);
        assert_eq!(met(&environment("Secret"), &template), Vec::<String>::new());
        for (kind, _) in POD_SPECS {
            assert!(RESOURCES.iter().any(|(_, _, known)| *known == kind), "{kind}");
        }
    }

    #[test]
    fn a_placeholder_is_found_wherever_it_comes_back() {
        assert!(!brings_back(SECRET.as_bytes()));
        for form in [Form::Base64, Form::Text] {
            let placeholder = placeholder(0x1234, form);
            assert!(brings_back(format!("data:\n  k: {placeholder}\n").as_bytes()));
            assert!(brings_back(&[b"\x0a\x1c", placeholder.as_bytes(), b"\x12"].concat()));
        }
        assert_eq!(placeholder(0x1234, Form::Text), "weir-masked-0000000000001234");
        assert_eq!(placeholder(1, Form::Base64).len() % 4, 0);
    }

    #[test]
    fn a_patch_that_could_tell_a_value_is_found() {
        fn check(pointer: &str, path: &str, expect: bool) {
            assert_eq!(pointer_tells(pointer, path), expect, "{pointer} {path}");
        }
        check("", "data.*", true);
        check("/data", "data.*", true);
        check("/data/k", "data.*", true);
        check("/data/k/deep", "data.*", true);
        check("/metadata/labels/a", "data.*", false);
        check("/datax", "data.*", false);
        check("no pointer", "data.*", true);
        check("/spec/containers/0/env/1/value", "spec.containers.*.env.*.value", true);
        check("/spec/containers/0/image", "spec.containers.*.env.*.value", false);
        let applied = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
        check(applied, LAST_APPLIED_PATH, true);
        check("/metadata/annotations/other", LAST_APPLIED_PATH, false);
    }
}
