//! Protobuf: weir's walk finds what client-go's decoder finds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use weir::wire::kubernetes::proto::{MAGIC, Object};
use weir::wire::kubernetes::schema;

use super::bed;

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn object(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [&MAGIC[..], &field(1, &meta), &field(2, raw)].concat()
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value)].concat()
}

/// Secrets with names and values of many lengths, and lists of them.
fn secrets() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for length in [0, 1, 3, 127, 128, 300, 20_000] {
        let value = vec![b'v'; length];
        let name = field(1, format!("secret-{length}").as_bytes());
        let raw = [
            field(1, &[name, field(3, b"default")].concat()),
            field(2, &entry("a", &value)),
            field(2, &entry("b", b"\xff\0")),
            field(3, b"Opaque"),
            field(4, &entry("c", b"text")),
        ]
        .concat();
        let items = [field(2, &raw), field(2, &raw)].concat();
        all.push(object("v1", "Secret", &raw));
        all.push(object("v1", "SecretList", &items));
    }
    all
}

#[test]
fn secrets_in_protobuf_are_found_where_client_go_finds_them() {
    let bodies = secrets();
    let hex = |body: &Vec<u8>| body.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let answers = bed::oracle("objects", &bodies.iter().map(hex).collect::<Vec<_>>());
    for (body, answer) in bodies.iter().zip(answers) {
        let object = Object::read(body).expect("an object");
        assert_eq!(answer["kind"], object.kind, "{answer}");
        let items = answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        if answer["items"].is_null() {
            assert_eq!(answer["metadata"]["name"], object.name().expect("a name"));
            assert_eq!(answer["metadata"]["namespace"], object.namespace().expect("text"));
        }
        let mut theirs: Vec<Vec<u8>> = Vec::new();
        for item in &items {
            let values = |name: &str| {
                item[name].as_object().into_iter().flatten().map(|(_, value)| value.clone())
            };
            theirs.extend(values("data").map(|value| decoded(&value)));
            theirs.extend(values("stringData").map(|value| text(&value)));
        }
        theirs.retain(|value| !value.is_empty());
        let mut ours: Vec<Vec<u8>> =
            object.secrets().expect("values").into_iter().map(<[u8]>::to_vec).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.as_str().unwrap_or_default().as_bytes().to_vec()
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).expect("base64")
}

/// Every object of Kubernetes' own examples reads alike as protobuf and as JSON, if its kind has a
/// table.
#[test]
fn protobuf_is_the_json_that_it_stands_for() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = std::process::Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/api"])
        .current_dir(root.join("tests/kube/bed"))
        .output()
        .expect("go starts");
    let folder = String::from_utf8(told.stdout).expect("a path");
    let folder = std::path::Path::new(folder.trim()).join("testdata/HEAD");
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).expect("the examples of k8s.io/api") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "pb") {
            continue;
        }
        let body = std::fs::read(&path).expect("a file");
        let object = Object::read(&body).expect("an object");
        let Some(ours) = schema::json(&object) else { continue };
        let text = std::fs::read(path.with_extension("json")).expect("a file");
        let theirs: Value = serde_json::from_slice(&text).expect("JSON");
        let mut differ = Vec::new();
        compare(&ours, &theirs, "", &mut differ);
        assert!(differ.is_empty(), "{}: {differ:?}", path.display());
        compared += 1;
    }
    assert!(compared > 70, "{compared} kinds were compared");
}

/// JSON leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

fn compare(ours: &Value, theirs: &Value, at: &str, differ: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let of = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or_default()
                };
                compare(&of(ours), &of(theirs), &format!("{at}.{name}"), differ);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| compare(ours, theirs, at, differ));
        }
        // A time: seconds here, a text there.
        (Value::Number(_), Value::String(text)) if text.contains('T') && text.len() >= 20 => {}
        (ours, theirs) if ours == theirs || (is_empty(ours) && is_empty(theirs)) => {}
        _ => differ.push(format!("{at}: {ours} and {theirs}")),
    }
}
