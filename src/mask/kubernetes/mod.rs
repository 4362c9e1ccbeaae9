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

pub mod managed;

use std::rc::Rc;

use memchr::memmem;
use serde_json::Value;

use super::body::Rules;
use super::detect::Detectors;
use super::operator::Operator;
use crate::wire::http::json::path::Pattern;

/// What a value looks like, so that typed clients can read what takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Base64 of bytes.
    Base64,
    /// Text.
    Text,
}

/// Where a kind keeps values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind.
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
const PLACES: [Place; 7] = [
    place("Secret", "data.*", Form::Base64),
    place("Secret", "stringData.*", Form::Text),
    place("ConfigMap", "data.*", Form::Text),
    place("ConfigMap", "binaryData.*", Form::Base64),
    place("TokenRequest", "status.token", Form::Text),
    place("TokenReview", "spec.token", Form::Text),
    place("CertificateSigningRequest", "spec.request", Form::Base64),
];

/// Appliers keep the object here, values and all: kubectl and its kin as JSON, some packed.
const APPLIED: [&str; 4] = [
    r"metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration",
    r"metadata.annotations.kapp\.k14s\.io/original",
    r"metadata.annotations.objectset\.rio\.cattle\.io/applied",
    r"metadata.annotations.banzaicloud\.com/last-applied",
];

/// Prefixes of the shapes above.
const SHAPES: [&str; 5] = ["", "items.*.", "rows.*.object.", "object.", "object.rows.*.object."];

/// Kinds with the spec of pods, and where.
const POD_SPECS: [(&str, &str); 11] = [
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
    // And what was last applied of that, in its own shape.
    ("ControllerRevision", "spec.template.spec"),
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

/// What is masked in answers about objects of one kind.
#[derive(Clone, Debug)]
pub struct Masks {
    /// For the answer.
    pub rules: Rules,
    /// For an answer that says what is wrong with an object.
    pub invalid: Rules,
    /// For another answer that is an error: its status and its words are the apiserver's own.
    pub told: Rules,
    /// Paths in an object that are hidden.
    pub hidden: Vec<String>,
    /// Whether cells of tables of Kubernetes' own kinds show none of it.
    pub tables: bool,
}

impl Masks {
    /// Of paths in an object of a kind, and what detectors find. What was last applied is the
    /// object again, as a text: its values are hidden there, too, and it stays JSON, which `kubectl
    /// apply` reads. Values in base64 are searched for what they stand for.
    pub fn new(kind: &str, hidden: Vec<(String, Operator)>, detectors: Rc<Detectors>) -> Masks {
        let tables = hidden.iter().all(|(path, _)| is_in_no_cell(path));
        let mut paths: Vec<String> = hidden.iter().map(|(path, _)| path.clone()).collect();
        let within = |shape: &str| {
            let shape = shape.to_owned();
            let below = move |(path, operator): &(String, Operator)| {
                (pattern(&format!("{shape}{path}")), *operator)
            };
            hidden.iter().map(below).collect::<Vec<_>>()
        };
        let shaped: Vec<_> = SHAPES.iter().flat_map(|shape| within(shape)).collect();
        let is_own = |pattern: &Pattern| OWN.contains(&pattern.text().as_str());
        let told = shaped.iter().filter(|(pattern, _)| !is_own(pattern)).cloned().collect();
        let mut told = Rules::new(told, Rc::clone(&detectors));
        let names: Vec<_> = hidden.iter().flat_map(|(path, _)| named_fields(kind, path)).collect();
        let is_named = !names.is_empty();
        let mut rules = Rules::new(shaped, Rc::clone(&detectors)).naming(names).sparing_outcomes();
        let said = MESSAGES.map(|path| (pattern(path), Operator::Head));
        let invalid = Rules::new(said.into(), Rc::clone(&detectors));
        let below = |shape: &&str| APPLIED.map(|path| pattern(&format!("{shape}{path}")));
        let texts: Vec<Pattern> = SHAPES.iter().flat_map(below).collect();
        let coded = if detectors.is_empty() { Vec::new() } else { coded(kind) };
        let searches = !coded.is_empty();
        let mut inner = Rules::new(within(""), detectors);
        if searches {
            let patterns = |shape: &str| {
                let below = |path: &&str| pattern(&format!("{shape}{path}"));
                coded.iter().map(below).collect::<Vec<_>>()
            };
            let all = SHAPES.iter().flat_map(|shape| patterns(shape));
            let all: Vec<_> = all.chain(texts.iter().cloned()).collect();
            (rules, told) = (rules.coding(all.clone()), told.coding(all));
            inner = inner.coding(patterns(""));
        }
        if !hidden.is_empty() {
            told = told.embedding(texts.clone(), inner.clone());
            paths.extend(APPLIED.map(str::to_owned));
            paths.extend(is_named.then(|| managed::FIELDS_OWNED.to_owned()));
            rules = rules.embedding(texts, inner);
        } else if searches {
            told = told.searching_within(texts.clone(), inner.clone());
            rules = rules.searching_within(texts, inner);
        }
        Masks { rules, invalid, told, hidden: paths, tables }
    }

    /// Whether every value of a kind is hidden, so that a record may keep what was shown.
    pub fn hides_all(&self, kind: &str) -> bool {
        let mut own = PLACES.iter().filter(|place| place.kind == kind).peekable();
        own.peek().is_some() && own.all(|place| self.hidden.iter().any(|it| it == place.path))
    }
}

/// What a Status has of its own at its root.
const OWN: [&str; 2] = ["status", "message"];

/// Names of fields that could hold values of a path. Of Kubernetes' own kinds the places have none:
/// they are maps, and the keys of their lists are other fields.
fn named_fields(kind: &str, path: &str) -> Vec<(Pattern, Option<String>)> {
    if !kind.is_empty() && is_in_no_cell(path) {
        return Vec::new();
    }
    managed::of(path).into_iter().map(|it| (pattern(&it.path), it.field)).collect()
}

/// Where a kind has base64.
fn coded(kind: &str) -> Vec<&'static str> {
    let own = PLACES.iter().filter(|place| place.kind == kind && place.form == Form::Base64);
    own.map(|place| place.path).collect()
}

/// Texts of a Status that print values of what was refused.
const MESSAGES: [&str; 2] = ["message", "details.causes.*.message"];

/// A pattern that is none is taken for all values.
fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|_| Pattern::everything())
}

/// Whether no table of Kubernetes' own shows what stands at a path.
fn is_in_no_cell(path: &str) -> bool {
    let places = PLACES.iter().any(|place| place.path == path || form_at(place, path));
    places || POD_SPECS.iter().any(|(kind, _)| environment(kind).iter().any(|it| it == path))
}

/// Fields of objects of other kinds, beside what says which object it is: hidden whole.
const FIELDS: [&str; 13] = [
    "data",
    "stringData",
    "binaryData",
    "spec",
    "status",
    "parameters",
    "rules",
    "subjects",
    "subsets",
    "endpoints",
    "message",
    "note",
    "value",
];

/// The places of a kind, as paths of an object, with what is done there. Of a kind without places
/// all values are hidden.
pub fn places(kind: &str, operator: Operator) -> Vec<(String, Operator)> {
    if kind.is_empty() {
        return FIELDS.map(|path| (path.to_owned(), fitting(Form::Text, operator))).into();
    }
    let own = PLACES.iter().filter(|place| place.kind == kind);
    let places = own.map(|place| (place.path.to_owned(), fitting(place.form, operator)));
    let values = environment(kind).into_iter();
    places.chain(values.map(|path| (path, fitting(Form::Text, operator)))).collect()
}

/// A path of a kind that a rule names, with what is done there.
pub fn named(kind: &str, path: String, named: Operator) -> Vec<(String, Operator)> {
    let operator = fitting(form(kind, &path), named);
    // A revision of a workload has its template one field deeper.
    let deeper = (kind == "ControllerRevision").then(|| (format!("data.{path}"), operator));
    let written = written_as(kind, &path).map(|path| {
        let operator = fitting(self::form(kind, &path), named);
        (path, operator)
    });
    deeper.into_iter().chain(written).chain([(path, operator)]).collect()
}

/// The other field of a Secret in which the value of a path is written (core/v1, `StringData`): it
/// is kept in what was last applied.
fn written_as(kind: &str, path: &str) -> Option<String> {
    let (field, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
    match (kind, field) {
        ("Secret", "data") => Some(format!("stringData{rest}")),
        ("Secret", "stringData") => Some(format!("data{rest}")),
        _ => None,
    }
}

/// The operator that keeps the form of a value.
const fn fitting(form: Form, operator: Operator) -> Operator {
    match (form, operator) {
        (Form::Base64, _) => Operator::TokenBase64,
        (Form::Text, Operator::Head) => Operator::Head,
        // Whatever else takes a value's place would be the value once it is written back.
        (Form::Text, _) => Operator::Token,
    }
}

/// What stands at a path of a kind that a rule names.
fn form(kind: &str, path: &str) -> Form {
    let own = PLACES.iter().filter(|place| place.kind == kind);
    let found = own.filter(|place| place.path == path || form_at(place, path));
    found.map(|place| place.form).next().unwrap_or(Form::Text)
}

/// Whether a path is within the field of a place: `data.password` within `data.*`.
fn form_at(place: &Place, path: &str) -> bool {
    let within = place.path.strip_suffix('*').and_then(|field| path.strip_prefix(field));
    within.is_some_and(|rest| !rest.is_empty()) || place.path.strip_suffix(".*") == Some(path)
}

/// Whether a path is where appliers keep the object, or an apiserver who owns its fields: each
/// write brings it anew.
pub fn is_applied(path: &str) -> bool {
    APPLIED.contains(&path) || path == managed::FIELDS_OWNED
}

/// Paths of the values of environment variables in a kind with the spec of pods.
pub fn environment(kind: &str) -> Vec<String> {
    let specs = POD_SPECS.iter().filter(|(known, _)| *known == kind);
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let paths = |spec: &str| lists.map(|list| format!("{spec}.{list}.*.env.*.value"));
    specs.flat_map(|(_, spec)| paths(spec)).collect()
}

/// What every placeholder begins with. It has a length that base64 needs no padding for, so what it
/// is in base64 does not depend on what follows.
pub const PLACEHOLDER: &str = "weir-masked-";
/// In base64, at each place of a group of three bytes.
const PLACEHOLDER_BASE64: [&str; 3] = ["d2Vpci1tYXNrZWQt", "dlaXItbWFza2VkL", "3ZWlyLW1hc2tlZC"];

/// What takes the place of a value. `mark` tells names of one set apart (`managed`); for values it
/// is 0, so that neither equality nor a change of one shows: a hash would have to be keyed by the
/// object's uid, which may stand behind the values, and would tell a guess that somebody may write.
pub fn placeholder(mark: u64, form: Form) -> String {
    use base64::Engine as _;
    let text = format!("{PLACEHOLDER}{mark:016x}");
    match form {
        Form::Base64 => base64::engine::general_purpose::STANDARD.encode(text),
        Form::Text => text,
    }
}

/// Whether a body of a write brings a placeholder back, in JSON, YAML or protobuf: all of them hold
/// it as it is or in base64, perhaps with signs written as escapes, and base64 in lines. A text in
/// a text, as what was last applied is, has its escapes twice.
pub fn brings_back(body: &[u8]) -> bool {
    let says = |text: &[u8]| {
        memmem::find(text, PLACEHOLDER.as_bytes()).is_some()
            || PLACEHOLDER_BASE64.iter().any(|coded| memmem::find(text, coded.as_bytes()).is_some())
    };
    if says(body) {
        return true;
    }
    let once = unescaped(body);
    says(&once) || (once.contains(&b'\\') && says(&unescaped(&once)))
}

/// A text without blanks and line breaks, its escapes of ASCII replaced by what they stand for:
/// those of JSON (RFC 8259 section 7) and of YAML (1.2.2, section 5.7), which differ in none.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.extend((!byte.is_ascii_whitespace()).then_some(byte));
            continue;
        }
        let Some((&sign, behind)) = rest.split_first() else { break };
        rest = behind;
        let digits = match sign {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            // A break that is no part of the text, or a blank one.
            b'n' | b'r' | b't' | b' ' | b'\r' | b'\n' => continue,
            other => {
                out.push(other);
                continue;
            }
        };
        let code = behind.get(..digits).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        match code.and_then(|code| u8::try_from(code).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                out.extend((!byte.is_ascii_whitespace()).then_some(byte));
                rest = behind.get(digits..).unwrap_or_default();
            }
            // Another sign, which no placeholder has.
            None => out.push(b'?'),
        }
    }
    out
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

/// Whether an object, or a patch that looks like one, brings a value to a path that is hidden.
pub fn brings(object: &Value, path: &str) -> bool {
    let parts = split(path);
    brings_at(object, &parts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn brings_at(value: &Value, path: &[&str]) -> bool {
    let Some((part, rest)) = path.split_first() else {
        return match value {
            // What is deleted is no guess.
            Value::Null => false,
            Value::Object(fields) => fields.values().any(|value| brings_at(value, path)),
            Value::Array(values) => values.iter().any(|value| brings_at(value, path)),
            _ => true,
        };
    };
    let any_depth = *part == "**";
    let within = |value: &Value, is_met: bool| {
        (is_met && brings_at(value, rest)) || (any_depth && brings_at(value, path))
    };
    (any_depth && brings_at(value, rest))
        || match value {
            Value::Object(fields) => fields
                .iter()
                .any(|(name, value)| within(value, *part == "*" || any_depth || name == part)),
            Value::Array(values) => (0_usize..).zip(values).any(|(index, value)| {
                within(value, *part == "*" || any_depth || part.parse() == Ok(index))
            }),
            _ => false,
        }
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
    use crate::mask::Hits;
    use crate::mask::body::{Masker, Shape};

    /// What is left of a document under masks, in pieces of every length.
    fn left(rules: &Rules, document: &str) -> String {
        let rules = Rc::new(rules.clone());
        let all = |piece: usize| {
            let mut masker = Masker::new(Rc::clone(&rules), Shape::Json).expect("JSON");
            let (mut out, mut hits) = (Vec::new(), Hits::default());
            for part in document.as_bytes().chunks(piece) {
                masker.push(part, &mut out, &mut hits).expect("JSON");
            }
            masker.finish(&mut out, &mut hits).expect("JSON");
            String::from_utf8(out).expect("text")
        };
        let whole = all(usize::MAX);
        for piece in [1, 2, 3, 7] {
            assert_eq!(all(piece), whole, "in pieces of {piece}");
        }
        whole
    }

    fn of(paths: Vec<(String, Operator)>) -> Masks {
        Masks::new("", paths, Rc::default())
    }

    /// An object, also as what was last applied, in every shape of answer.
    fn shapes(object: &str) -> Vec<String> {
        let applied = serde_json::Value::from(object).to_string();
        let inner = object.strip_prefix('{').expect("an object");
        let whole = format!(
            r#"{{"metadata":{{"name":"s","annotations":{{"a":"shown",
            "kubectl.kubernetes.io/last-applied-configuration":{applied}}}}},{inner}"#
        );
        let table =
            format!(r#"{{"kind":"Table","rows":[{{"cells":["s","x"],"object":{whole}}}]}}"#);
        vec![
            whole.clone(),
            format!(r#"{{"kind":"SomeList","items":[{whole},{whole}]}}"#),
            table.clone(),
            format!(r#"{{"type":"ADDED","object":{whole}}}"#),
            format!(r#"{{"type":"ADDED","object":{table}}}"#),
        ]
    }

    const SECRET: &str = r#"{"kind":"Secret","type":"Opaque",
        "data":{"k":"HIDDEN","k.2":"HIDDEN"},"stringData":{"k":"HIDDEN"}}"#;
    const POD: &str = r#"{"kind":"Pod","spec":{"containers":[{"image":"shown","name":"a",
        "env":[{"name":"B","value":"HIDDEN"}]}],"initContainers":[{"env":[{"value":"HIDDEN"}]}]}}"#;

    #[test]
    fn values_are_hidden_in_every_shape_of_answer() {
        let paths = |paths: &[&str], kind: &str| {
            let named = |path: &&str| named(kind, (*path).to_owned(), Operator::Redact);
            of(paths.iter().flat_map(named).collect())
        };
        let env = "spec.containers.*.env.*.value";
        let init = "spec.initContainers.*.env.*.value";
        for (masks, object) in [
            (of(places("Secret", Operator::Redact)), SECRET),
            (paths(&["data", "stringData.k"], "Secret"), SECRET),
            (of(places("Pod", Operator::Redact)), POD),
            (paths(&[env, init], "Pod"), POD),
            (paths(&["spec.**.value"], "Pod"), POD),
        ] {
            for document in shapes(object) {
                let left = left(&masks.rules, &document);
                assert!(!left.contains("HIDDEN"), "{left}");
                assert!(left.contains("shown"), "{left}");
                let read: serde_json::Value = serde_json::from_str(&left).expect("JSON");
                let applied = read.pointer("/metadata/annotations").and_then(|it| {
                    it.get("kubectl.kubernetes.io/last-applied-configuration")?.as_str()
                });
                // `kubectl apply` reads it.
                let applied = applied.map(serde_json::from_str::<serde_json::Value>);
                assert!(applied.is_none_or(|applied| applied.is_ok()), "{left}");
            }
        }
    }

    /// A revision has its workload's template one field deeper, and what was last applied of the
    /// workload in its own shape.
    #[test]
    fn a_revision_hides_what_its_workload_hides() {
        let of_set = r#"{"kind":"DaemonSet","spec":{"template":{"spec":{"containers":[
            {"image":"shown","env":[{"name":"A","value":"HIDDEN"}]}]}}}}"#;
        let applied = serde_json::Value::from(of_set).to_string();
        let revision = format!(
            r#"{{"kind":"ControllerRevision","metadata":{{"annotations":{{
            "kubectl.kubernetes.io/last-applied-configuration":{applied}}}}},"data":{of_set}}}"#
        );
        let masks = of(places("ControllerRevision", Operator::Redact));
        let left = left(&masks.rules, &revision);
        assert!(!left.contains("HIDDEN") && left.contains("shown"), "{left}");
    }

    /// `data` is base64, also in what was last applied, and where paths hide other values.
    #[test]
    fn detectors_search_what_base64_stands_for() {
        use base64::Engine as _;
        const CARD: &str = "4111111111111111";
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let card = crate::mask::detect::Detector::parse("credit-card").expect("a detector");
        let detectors = Rc::new(Detectors::new([(card, Operator::Redact)]));
        let (coded, shown) = (base64(&format!("card {CARD}")), base64("a word"));
        let object = |field: &str| {
            format!(r#"{{"kind":"K","{field}":{{"a":"{coded}","b":"shown","c":"{shown}"}}}}"#)
        };
        let hidden = || vec![("spec.x".to_owned(), Operator::Token)];
        for (kind, field) in [("Secret", "data"), ("ConfigMap", "binaryData")] {
            for paths in [Vec::new(), hidden()] {
                let masks = Masks::new(kind, paths, Rc::clone(&detectors));
                assert!(!masks.hides_all(kind));
                for document in shapes(&object(field)) {
                    let left = left(&masks.rules, &document);
                    assert!(!left.contains(&coded) && !left.contains(CARD), "{left}");
                    assert!(left.contains(&base64("card [CREDIT_CARD]")), "{left}");
                    assert!(left.contains("shown") && left.contains(&shown), "{left}");
                }
            }
        }
        let other = Masks::new("ConfigMap", Vec::new(), detectors);
        let text = object("data");
        assert_eq!(left(&other.rules, &text), text, "data of a ConfigMap is text");
        assert!(of(places("Secret", Operator::Redact)).hides_all("Secret"));
        assert!(!of(places("Pod", Operator::Redact)).hides_all("Secret"));
    }

    #[test]
    fn the_other_field_of_a_secret_is_hidden_too() {
        for path in ["data.k", "stringData.k", "data", "data.*"] {
            let masks = of(named("Secret", path.to_owned(), Operator::Redact));
            for document in shapes(&SECRET.replace(r#","k.2":"HIDDEN""#, "")) {
                let left = left(&masks.rules, &document);
                assert!(!left.contains("HIDDEN"), "{path}: {left}");
            }
        }
        let form = |path: &str| named("Secret", path.to_owned(), Operator::Redact);
        assert_eq!(form("data.k")[0], ("stringData.k".to_owned(), Operator::Token));
        assert_eq!(form("stringData.k")[0], ("data.k".to_owned(), Operator::TokenBase64));
        assert_eq!(named("ConfigMap", "data.k".to_owned(), Operator::Redact).len(), 1);
    }

    #[test]
    fn keys_with_dots_are_written_with_a_backslash() {
        let object = r#"{"kind":"Secret","metadata":{"annotations":{"a.io/key":"HIDDEN",
            "a":{"io/key":"shown"}}},"data":{"tls.key":"HIDDEN","tls":"shown"}}"#;
        let mut paths = named("Secret", "data.tls\\.key".to_owned(), Operator::Redact);
        assert_eq!(paths[0].0, "stringData.tls\\.key");
        let annotation = "metadata.annotations.a\\.io/key".to_owned();
        paths.extend(named("Secret", annotation.clone(), Operator::Redact));
        let masks = of(paths);
        for document in shapes(object) {
            let left = left(&masks.rules, &document);
            assert!(!left.contains("HIDDEN"), "{left}");
            assert_eq!(left.matches("shown").count(), document.matches("shown").count(), "{left}");
        }
        assert!(pointer_tells("/metadata/annotations/a.io~1key", &annotation));
        assert!(!pointer_tells("/metadata/annotations/a/io~1key", &annotation));
        assert!(brings(&serde_json::json!({"data": {"tls.key": "x"}}), "data.tls\\.key"));
    }

    #[test]
    fn names_of_fields_that_hold_values_are_hidden() {
        const WIDGET: &str = r#"{"kind":"Widget","spec":{"set":["HIDDEN"],"list":[{"k":"HIDDEN"}]},
            "metadata":{"name":"shown","managedFields":[{"manager":"kubectl","fieldsV1":{
            "f:metadata":{"f:finalizers":{".":{},"v:\"kept\"":{}}},
            "f:spec":{"f:set":{"v:\"HIDDEN\"":{},"v:\"HIDDEN2\"":{}},"f:list":
            {"k:{\"k\":\"HIDDEN\",\"n\":7}":{".":{},"f:k":{}}}}}}]}}"#;
        let lists = [("spec.set.*", Operator::Token), ("spec.list.*.k", Operator::Token)];
        let lists = lists.map(|(path, operator)| (path.to_owned(), operator)).to_vec();
        for (paths, all) in [(lists, false), (places("", Operator::Redact), true)] {
            let masks = of(paths);
            for shape in SHAPES {
                let wrap = |whole: String, part: &str| match part {
                    "" => whole,
                    "*" => format!("[{whole}]"),
                    part => format!(r#"{{"{part}":{whole}}}"#),
                };
                let document = shape.split('.').rev().fold(WIDGET.to_owned(), wrap);
                let left = left(&masks.rules, &document);
                assert!(!left.contains("HIDDEN"), "{left}");
                assert!(left.contains(r#"v:\"kept\""#) && left.contains("f:set"), "{left}");
                assert!(left.contains(r#""shown""#) && left.contains(r#"{\"k\":\"weir-"#));
                assert_eq!(left.contains(r#"\"n\":7"#), !all, "{left}");
                let members = left.matches(r#""v:\"weir-masked-"#);
                assert_eq!(members.count(), 2);
                assert!(
                    serde_json::from_str::<Value>(&left).is_ok() && brings_back(left.as_bytes())
                );
            }
            let tells = |pointer: &str| masks.hidden.iter().any(|it| pointer_tells(pointer, it));
            assert!(tells(r#"/metadata/managedFields/0/fieldsV1/f:spec/f:set/v:"a""#));
            assert!(!tells("/metadata/labels/a"));
        }
        // Places of Kubernetes' own kinds are in no name.
        assert!(!of(vec![]).hidden.contains(&managed::FIELDS_OWNED.to_owned()));
        let env = Masks::new("Pod", places("Pod", Operator::Redact), Rc::default());
        assert!(!env.hidden.contains(&managed::FIELDS_OWNED.to_owned()));
    }

    #[test]
    fn what_an_apiserver_says_of_an_act_is_no_value() {
        const DONE: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Success",
            "details":{"name":"w","kind":"widgets"}}"#;
        const GONE: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"widgets.ex.io \"w\" not found","reason":"NotFound","code":404}"#;
        let masks = of(places("", Operator::Redact));
        assert_eq!(left(&masks.rules, DONE), DONE);
        assert_eq!(left(&masks.told, GONE), GONE);
        let event = format!(r#"{{"type":"ERROR","object":{}}}"#, GONE.replace("widgets", "HIDDEN"));
        let left_of = |document: &str| left(&masks.rules, document);
        assert!(left_of(&event).contains(r#""status":"Failure""#), "{}", left_of(&event));
        assert!(!left_of(&event).contains("HIDDEN"));
        for value in [
            r#"{"status":"HIDDEN"}"#,
            r#"{"status":{"phase":"Success"}}"#,
            r#"{"status":{"status":"Failure"}}"#,
            r#"{"spec":{"status":"Success"}}"#,
            r#"{"items":[{"status":"Success"}]}"#,
            r#"{"status":["Success"]}"#,
        ] {
            let left = left_of(value);
            assert!(left.contains("weir-masked"), "{left}");
        }
        assert!(left(&masks.told, r#"{"spec":"HIDDEN"}"#).contains("weir-masked"));
    }

    #[test]
    fn what_was_last_applied_and_is_no_json_is_hidden() {
        let masks = of(places("Secret", Operator::Redact));
        for text in ["data: HIDDEN", "HIDDEN", r#"{\"data\":{\"k\":\"HIDDEN"#, " [HIDDEN"] {
            let document = format!(
                r#"{{"metadata":{{"annotations":{{
                "kubectl.kubernetes.io/last-applied-configuration":"{text}"}}}}}}"#
            );
            assert!(!left(&masks.rules, &document).contains("HIDDEN"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_object_is_told_without_values() {
        let masks = of(places("Pod", Operator::Redact));
        let told = r#"{"message":"Pod \"a\" is invalid: spec: Forbidden: HIDDEN","code":422,
            "details":{"causes":[{"message":"Forbidden: HIDDEN","field":"spec"},
            {"message":"HIDDEN"}]}}"#;
        let left = left(&masks.invalid, told);
        assert_eq!(left, told.replace("spec: Forbidden: HIDDEN", "***").replace("HIDDEN", "***"));
    }

    #[test]
    fn environments_of_pods_and_templates() {
        assert_eq!(environment("Deployment")[0], "spec.template.spec.containers.*.env.*.value");
        assert_eq!(environment("Secret"), Vec::<String>::new());
        for (kind, _) in POD_SPECS {
            assert!(RESOURCES.iter().any(|(_, _, known)| *known == kind), "{kind}");
        }
    }

    #[test]
    fn cells_of_tables_show_other_fields() {
        let tables = |path: &str| of(vec![(path.to_owned(), Operator::Redact)]).tables;
        assert!(tables("data.password") && tables("data") && tables("stringData.*"));
        assert!(tables("spec.template.spec.containers.*.env.*.value"));
        assert!(!tables("status.podIP") && !tables("spec.nodeName") && !tables("**.token"));
        assert!(!tables("dataset") && !tables("spec"));
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
        // In the midst of a value, as detectors leave it.
        use base64::Engine as _;
        for before in ["", "a", "ab", "abc", "card "] {
            for behind in ["", "x", " and", " and so on"] {
                let value = format!("{before}{PLACEHOLDER}EMAIL{behind}");
                let coded = base64::engine::general_purpose::STANDARD.encode(value);
                assert!(brings_back(coded.as_bytes()), "{before:?} {behind:?}");
            }
        }
        assert_eq!(placeholder(1, Form::Base64).len() % 4, 0);
        // Spelt in another way.
        for body in [
            r#"[{"op":"add","path":"/data/v","value":"\u0077eir-masked-00"}]"#,
            r#"{"data":{"v":"\u0064\u0032Vpci1tYXNrZWQtMDA="}}"#,
            r#"{"metadata":{"annotations":{"a":"{\"k\":\"\\u0077eir-masked-00\"}"}}}"#,
            r#"{"data":{"v":"IyMjIyMjd2Vp\nci1tYXNr\r\nZWQtRU1BSUw="}}"#,
            "data:\n  v: \"weir-\\x6dasked-EMAIL\"\n",
            "data:\n  v: \"weir-ma\\\n    sked-EMAIL\"\n",
            "data:\n  v: |\n    IyMjIyMjd2Vp\n    ci1tYXNr\n    ZWQtRU1BSUw=\n",
        ] {
            assert!(brings_back(body.as_bytes()), "{body}");
        }
        for body in ["", "\\", "\\u00", "weir masks this", r#"{"a":"\u20ac \\u0077eir"}"#] {
            assert!(!brings_back(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn what_brings_a_value_to_a_hidden_path_is_found() {
        let check = |object: &str, path: &str, expect: bool| {
            let object = serde_json::from_str(object).expect("JSON");
            assert_eq!(brings(&object, path), expect, "{object} {path}");
        };
        check(r#"{"data":{"k":"a"}}"#, "data.*", true);
        check(r#"{"data":{"k":"a"}}"#, "data", true);
        check(r#"{"data":{"k":null}}"#, "data.*", false);
        check(r#"{"data":{}}"#, "data.*", false);
        check(r#"{"metadata":{"labels":{"data":"k"}}}"#, "data.*", false);
        check(POD, "spec.containers.*.env.*.value", true);
        check(POD, "spec.containers.0.env.*.value", true);
        check(POD, "spec.containers.1.env.*.value", false);
        check(POD, "**.value", true);
        check(POD, "spec.**", true);
        check(POD, "**.values", false);
        check(r#"{"metadata":{"annotations":{"kapp.k14s.io/original":"a"}}}"#, APPLIED[1], true);
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
        check(applied, APPLIED[0], true);
        check("/metadata/annotations/other", APPLIED[0], false);
    }
}
