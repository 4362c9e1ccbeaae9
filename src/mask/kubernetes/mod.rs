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

/// Everything in an object but what says which one it is: what is hidden of kinds without places.
const REST: &str = "*!apiVersion!kind!metadata";

/// The same of a document in each shape, whose own fields are no object's.
const fn rests(answer: Answer) -> &'static [&'static str] {
    match answer {
        Answer::Object => &[REST],
        Answer::List => &[
            "*!apiVersion!kind!metadata!items!columnDefinitions!rows",
            "items.*.*!apiVersion!kind!metadata",
            "rows.*.*!object",
            "rows.*.object.*!apiVersion!kind!metadata",
        ],
        Answer::Events => &["*!type!object", "object.*!apiVersion!kind!metadata"],
    }
}

/// The same of an answer that is an error: a Status is the apiserver's own.
const REST_TOLD: &str = "*!apiVersion!kind!metadata!status!message!reason!details!code";

/// What the document is that a request is answered with, if not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An object.
    Object,
    /// A list of them.
    List,
    /// Events, one document each.
    Events,
}

impl Answer {
    /// By the verb in RBAC's words.
    pub fn of(verb: &str) -> Answer {
        match verb {
            "list" | "deletecollection" => Answer::List,
            "watch" => Answer::Events,
            _ => Answer::Object,
        }
    }
}

/// Every annotation: conversions between versions, and appliers that nobody here knows, keep parts
/// of an object in some (apis/autoscaling/v1/conversion.go), so only plain words stay.
const ANNOTATIONS: &str = "metadata.annotations.*";

/// Kinds of `with_masks` whose object is a Scale: of Kubernetes' own workloads, and of resources of
/// which nobody knows here where the cluster reads what it shows.
pub const SCALE: &str = "Scale";
/// See above.
pub const SCALE_OF_ANY: &str = "ScaleOfAny";

/// Fields that hold the same in two versions of a kind (core/v1 and events/v1, `Event`;
/// autoscaling/v1 and v2, `HorizontalPodAutoscaler`).
const SAME: [(&str, &str, &str); 9] = [
    ("Event", "message", "note"),
    ("Event", "involvedObject", "regarding"),
    ("Event", "source", "deprecatedSource"),
    ("Event", "count", "deprecatedCount"),
    ("Event", "firstTimestamp", "deprecatedFirstTimestamp"),
    ("Event", "lastTimestamp", "deprecatedLastTimestamp"),
    ("Event", "reportingComponent", "reportingController"),
    ("HorizontalPodAutoscaler", "spec.metrics", "spec.targetCPUUtilizationPercentage"),
    ("HorizontalPodAutoscaler", "status.currentMetrics", "status.currentCPUUtilizationPercentage"),
];

/// The field of the other version for a path, whole: what is within it differs.
fn same(kind: &str, path: &str) -> Vec<String> {
    let is_in = |field: &str| {
        let rest = path.strip_prefix(field);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let rows = SAME.iter().filter(|(known, ..)| *known == kind);
    let other = |(_, one, two): &(&str, &'static str, &'static str)| match (is_in(one), is_in(two))
    {
        (true, _) => Some((*two).to_owned()),
        (false, true) => Some((*one).to_owned()),
        (false, false) => None,
    };
    rows.filter_map(other).collect()
}

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
const RESOURCES: [(&str, &str, &str); 18] = [
    ("", "secrets", "Secret"),
    ("", "configmaps", "ConfigMap"),
    ("", "serviceaccounts", "ServiceAccount"),
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
    ("", "events", "Event"),
    ("events.k8s.io", "events", "Event"),
    ("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
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
    /// What detectors find in an object that somebody sends.
    pub found: Rules,
    /// Paths in an object that are hidden.
    pub hidden: Vec<String>,
    /// Whether cells of tables of Kubernetes' own kinds show none of it.
    pub tables: bool,
}

impl Masks {
    /// Of paths in an object of a kind, and what detectors find. What was last applied is the
    /// object again, as a text: its values are hidden there, too, and it stays JSON, which `kubectl
    /// apply` reads. Values in base64 are searched for what they stand for.
    pub fn new(
        (kind, answer): (&str, Answer),
        hidden: Vec<(String, Operator)>,
        detectors: Rc<Detectors>,
    ) -> Masks {
        let tables = hidden.iter().all(|(path, _)| is_in_no_cell(path));
        let mut paths: Vec<String> = hidden.iter().map(|(path, _)| path.clone()).collect();
        let within = |shape: &str| placed(&hidden, |path| path != REST, shape);
        let rest = hidden.iter().find(|(path, _)| path == REST).map(|(_, operator)| *operator);
        let whole = |paths: &[&str]| {
            let all = |operator| paths.iter().map(move |path| (pattern(path), operator));
            rest.into_iter().flat_map(all).collect::<Vec<_>>()
        };
        let mut shaped: Vec<_> = SHAPES.iter().flat_map(|shape| within(shape)).collect();
        let is_own = |pattern: &Pattern| OWN.contains(&pattern.text().as_str());
        let mut told: Vec<_> =
            shaped.iter().filter(|(pattern, _)| !is_own(pattern)).cloned().collect();
        told.extend(whole(&[REST_TOLD]));
        shaped.extend(whole(rests(answer)));
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
        let mut inner = within("");
        inner.extend(whole(&[REST]));
        let mut found = Rules::new(Vec::new(), Rc::clone(&detectors));
        let mut inner = Rules::new(inner, detectors);
        if searches {
            let patterns = |shape: &str| {
                let below = |path: &&str| pattern(&format!("{shape}{path}"));
                coded.iter().map(below).collect::<Vec<_>>()
            };
            let all = SHAPES.iter().flat_map(|shape| patterns(shape));
            let all: Vec<_> = all.chain(texts.iter().cloned()).collect();
            (rules, told) = (rules.coding(all.clone()), told.coding(all));
            inner = inner.coding(patterns(""));
            found = found.coding(patterns(""));
        }
        if !hidden.is_empty() {
            let words = SHAPES.map(|shape| pattern(&format!("{shape}{ANNOTATIONS}")));
            told = told.embedding(texts.clone(), inner.clone()).wording(words.to_vec());
            rules = rules.wording(words.to_vec());
            paths.extend(APPLIED.map(str::to_owned));
            paths.push(ANNOTATIONS.to_owned());
            paths.extend(is_named.then(|| managed::FIELDS_OWNED.to_owned()));
            rules = rules.embedding(texts, inner);
        } else if searches {
            told = told.searching_within(texts.clone(), inner.clone());
            rules = rules.searching_within(texts, inner);
        }
        Masks { rules, invalid, told, found, hidden: paths, tables }
    }

    /// Whether every value of a kind is hidden, so that a record may keep what was shown.
    pub fn hides_all(&self, kind: &str) -> bool {
        let mut own = PLACES.iter().filter(|place| place.kind == kind).peekable();
        own.peek().is_some() && own.all(|place| self.hidden.iter().any(|it| it == place.path))
    }
}

/// Patterns of paths below a shape.
fn placed(
    hidden: &[(String, Operator)],
    counts: impl Fn(&str) -> bool,
    shape: &str,
) -> Vec<(Pattern, Operator)> {
    let hidden = hidden.iter().filter(|(path, _)| counts(path));
    hidden.map(|(path, operator)| (pattern(&format!("{shape}{path}")), *operator)).collect()
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

/// Where a kind has base64, or texts that may be, or hold some: files of keys and logins, and the
/// releases that helm keeps in ConfigMaps.
fn coded(kind: &str) -> Vec<&'static str> {
    let holds = |place: &&Place| {
        place.kind == kind && (place.form == Form::Base64 || matches!(kind, "Secret" | "ConfigMap"))
    };
    PLACES.iter().filter(holds).map(|place| place.path).collect()
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

/// The places of a kind, as paths of an object, with what is done there. Of a kind without places
/// everything is hidden.
pub fn places(kind: &str, operator: Operator) -> Vec<(String, Operator)> {
    let is_placed = PLACES.iter().any(|place| place.kind == kind)
        || POD_SPECS.iter().any(|(known, _)| *known == kind);
    match kind {
        // Numbers of copies, and the labels of pods: a workload's values are in its environment.
        SCALE => return Vec::new(),
        _ if !is_placed => return vec![(REST.to_owned(), fitting(Form::Text, operator))],
        _ => {}
    }
    let own = PLACES.iter().filter(|place| place.kind == kind);
    let places = own.map(|place| (place.path.to_owned(), fitting(place.form, operator)));
    let values = environment(kind).into_iter();
    places.chain(values.map(|path| (path, fitting(Form::Text, operator)))).collect()
}

/// A path of a kind that a rule names, with what is done there.
pub fn named(kind: &str, path: String, named: Operator) -> Vec<(String, Operator)> {
    let operator = fitting(form(kind, &path), named);
    let is_elsewhere = !path.starts_with("metadata.") && path != "metadata";
    // What stands at the path of the object stands at another one of its Scale.
    if is_elsewhere && (kind == SCALE_OF_ANY || (kind == SCALE && !is_in_no_cell(&path))) {
        return vec![(REST.to_owned(), fitting(Form::Text, named))];
    }
    let others = same(kind, &path).into_iter().map(|path| (path, operator));
    let others: Vec<_> = others.collect();
    // A revision of a workload has its template one field deeper.
    let deeper = (kind == "ControllerRevision").then(|| (format!("data.{path}"), operator));
    let written = written_as(kind, &path).map(|path| {
        let operator = fitting(self::form(kind, &path), named);
        (path, operator)
    });
    deeper.into_iter().chain(written).chain(others).chain([(path, operator)]).collect()
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

/// Whether a cluster lets everybody who may change an object change what stands at a path of it.
/// Of other places a refusal tells a wrong guess from a right one, and leaves the value there.
pub fn may_change(kind: &str, path: &str) -> bool {
    let is_fixed = matches!(kind, "Pod" | "Job" | "ControllerRevision");
    let is_placed =
        matches!(kind, "Secret" | "ConfigMap") || POD_SPECS.iter().any(|(known, _)| *known == kind);
    is_placed && !is_fixed && is_in_no_cell(path)
}

/// Whether a path is where appliers keep the object, or an apiserver who owns its fields: each
/// write brings it anew.
pub fn is_applied(path: &str) -> bool {
    APPLIED.contains(&path) || path == managed::FIELDS_OWNED || path == ANNOTATIONS
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
            Some("**") => return true,
            Some(part) if is_met(part, &token) => {}
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
            Value::Object(fields) => {
                fields.iter().any(|(name, value)| within(value, any_depth || is_met(part, name)))
            }
            Value::Array(values) => (0_usize..).zip(values).any(|(index, value)| {
                within(value, *part == "*" || any_depth || part.parse() == Ok(index))
            }),
            _ => false,
        }
}

/// Whether a name is what a segment of a path stands for.
fn is_met(part: &str, name: &str) -> bool {
    let but = part.strip_prefix("*!").map(|names| !names.split('!').any(|other| other == name));
    part == "*" || part == name || but == Some(true)
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
#[path = "tests.rs"]
mod tests;
