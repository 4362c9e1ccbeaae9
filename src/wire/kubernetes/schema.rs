//! Kubernetes' kinds in protobuf as the JSON that they stand for.
//!
//! In: an object in its envelope. Out: the same object as JSON, for whoever decides about it, shows
//! it or writes it down. Never: an object of which a part was left out: a field that no table
//! names, one that is there twice, a value of another type make it unreadable.
//!
//! The table is `schema.txt`, which `tests/kube/schema` makes of Kubernetes' own definitions.
//! `tests/kube` compares what comes of it with client-go.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::proto::{Fields, Object, Value as Wire};

/// How deep messages may be within each other: Kubernetes' own are at most some 15.
const DEPTH_MAX: usize = 32;

/// API groups and where their kinds stand in the table.
const GROUPS: [(&str, &str); 19] = [
    ("v1", "core/v1"),
    ("apps/v1", "apps/v1"),
    ("batch/v1", "batch/v1"),
    ("rbac.authorization.k8s.io/v1", "rbac/v1"),
    ("authentication.k8s.io/v1", "authentication/v1"),
    ("authorization.k8s.io/v1", "authorization/v1"),
    ("certificates.k8s.io/v1", "certificates/v1"),
    ("policy/v1", "policy/v1"),
    ("autoscaling/v1", "autoscaling/v1"),
    ("autoscaling/v2", "autoscaling/v2"),
    ("networking.k8s.io/v1", "networking/v1"),
    ("coordination.k8s.io/v1", "coordination/v1"),
    ("events.k8s.io/v1", "events/v1"),
    ("admissionregistration.k8s.io/v1", "admissionregistration/v1"),
    ("storage.k8s.io/v1", "storage/v1"),
    ("discovery.k8s.io/v1", "discovery/v1"),
    ("scheduling.k8s.io/v1", "scheduling/v1"),
    ("node.k8s.io/v1", "node/v1"),
    ("meta.k8s.io/v1", "meta/v1"),
];

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Many {
    Once,
    List,
    Map,
    /// Once, its fields in the message around it.
    Inline,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    many: Many,
    kind: &'static str,
}

type Message = HashMap<u32, Field>;

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let mut messages: HashMap<&'static str, Message> = HashMap::new();
    let mut at = "";
    for line in include_str!("schema.txt").lines() {
        match line.strip_prefix(' ') {
            None => {
                at = line;
                messages.entry(at).or_default();
            }
            Some(line) => {
                let mut words = line.split(' ');
                let number = words.next().and_then(|word| word.parse().ok());
                let (Some(number), Some(name), Some(kind)) = (number, words.next(), words.next())
                else {
                    continue;
                };
                let (many, kind) = match kind.split_at_checked(1) {
                    Some(("*", kind)) => (Many::List, kind),
                    Some(("%", kind)) => (Many::Map, kind),
                    Some(("^", kind)) => (Many::Inline, kind),
                    _ => (Many::Once, kind),
                };
                messages.entry(at).or_default().insert(number, Field { name, many, kind });
            }
        }
    }
    messages
});

/// The object as JSON. `None`: a kind that the table does not have, or a message that cannot be
/// read in one way only.
pub fn json(object: &Object<'_>) -> Option<Value> {
    // Its options are of every group that something is deleted in.
    let package = match object.kind {
        "DeleteOptions" => "meta/v1",
        _ => GROUPS.iter().find(|(group, _)| *group == object.api_version)?.1,
    };
    let mut value = message(&format!("{package}.{}", object.kind), object.raw, DEPTH_MAX)?;
    let fields = value.as_object_mut()?;
    fields.insert("apiVersion".into(), object.api_version.into());
    fields.insert("kind".into(), object.kind.into());
    Some(value)
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let table = MESSAGES.get(name)?;
    let mut fields = Map::new();
    for field in Fields::new(bytes) {
        let (number, wire) = field.ok()?;
        let Field { name, many, kind } = *table.get(&number)?;
        match many {
            Many::Once => {
                let value = value(kind, wire, depth)?;
                if fields.insert(name.to_owned(), value).is_some() {
                    return None;
                }
            }
            Many::Inline => {
                let Value::Object(inner) = value(kind, wire, depth)? else { return None };
                for (name, value) in inner {
                    if fields.insert(name, value).is_some() {
                        return None;
                    }
                }
            }
            Many::List => {
                let value = value(kind, wire, depth)?;
                let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut()?.push(value);
            }
            Many::Map => {
                let (key, value) = entry(kind, wire, depth)?;
                let map = fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if map.as_object_mut()?.insert(key, value).is_some() {
                    return None;
                }
            }
        }
    }
    special(name, fields)
}

/// An entry of a map: its key is field 1, its value field 2.
fn entry(kind: &str, wire: Wire<'_>, depth: usize) -> Option<(String, Value)> {
    let Wire::Bytes(bytes) = wire else { return None };
    let (mut key, mut found) = (None, None);
    for field in Fields::new(bytes) {
        let twice = match field.ok()? {
            (1, wire) => key.replace(value("s", wire, depth)?).is_some(),
            (2, wire) => found.replace(value(kind, wire, depth)?).is_some(),
            _ => true,
        };
        if twice {
            return None;
        }
    }
    // What is not written is empty.
    let Value::String(key) = key.unwrap_or_else(|| Value::from("")) else { return None };
    Some((key, found.unwrap_or_else(|| Value::from(""))))
}

fn value(kind: &str, wire: Wire<'_>, depth: usize) -> Option<Value> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    Some(match (kind, wire) {
        ("s", Wire::Bytes(bytes)) => Value::from(std::str::from_utf8(bytes).ok()?),
        ("y", Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        // Negative numbers are written as what they are modulo 2^64.
        ("i", Wire::Varint(number)) => Value::from(number.cast_signed()),
        ("b", Wire::Varint(number)) => Value::from(number != 0),
        ("d", Wire::Fixed64(bytes)) => Value::from(f64::from_le_bytes(bytes)),
        ("s" | "y" | "i" | "b" | "d", _) => return None,
        (name, Wire::Bytes(bytes)) => message(name, bytes, depth)?,
        _ => return None,
    })
}

/// Messages that are a plain value in JSON.
fn special(name: &str, mut fields: Map<String, Value>) -> Option<Value> {
    Some(match name {
        "resource.Quantity" | "resource.QuantityValue" => {
            fields.remove("string").unwrap_or_else(|| Value::from(""))
        }
        "intstr.IntOrString" => match fields.get("type").and_then(Value::as_i64) {
            Some(1) => fields.remove("strVal").unwrap_or_else(|| Value::from("")),
            _ => fields.remove("intVal").unwrap_or_else(|| Value::from(0)),
        },
        "meta/v1.Time" | "meta/v1.MicroTime" | "meta/v1.Timestamp" => {
            fields.remove("seconds").unwrap_or(Value::Null)
        }
        "meta/v1.FieldsV1" | "runtime.RawExtension" => match fields.remove("raw") {
            Some(Value::String(raw)) => embedded(&raw)?,
            _ => Value::Null,
        },
        _ => match fields.remove("items") {
            // A list of texts with a name of its own.
            Some(items) if fields.is_empty() && is_named_list(name) => items,
            Some(items) => {
                fields.insert("items".into(), items);
                Value::Object(fields)
            }
            None if is_named_list(name) => Value::Array(Vec::new()),
            None => Value::Object(fields),
        },
    })
}

/// A message with nothing but a list of texts.
fn is_named_list(name: &str) -> bool {
    let Some(table) = MESSAGES.get(name) else { return false };
    let is_items = |field: &Field| field.name == "items" && field.kind == "s";
    table.len() == 1 && table.values().all(is_items)
}

/// An object within an object: JSON, in base64 so far.
fn embedded(raw: &str) -> Option<Value> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(raw).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn read(kind: &'static str, raw: &[u8]) -> Option<Value> {
        json(&Object { api_version: "v1", kind, raw })
    }

    #[test]
    fn an_object_is_the_json_that_it_stands_for() {
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let secret = [field(1, &field(1, b"s")), field(2, &entry), field(3, b"Opaque")].concat();
        let expect = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "s"}, "data": {"k": "dg=="},
        });
        assert_eq!(read("Secret", &secret), Some(expect));
        // SecurityContext, of which field 2 is `privileged`.
        let container = [field(1, b"c"), field(15, &[2 << 3, 1])].concat();
        let pod = read("Pod", &field(2, &field(2, &container))).unwrap();
        let found = pod.pointer("/spec/containers/0/securityContext/privileged");
        assert_eq!(found, Some(&Value::from(true)));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        let name = field(1, b"a");
        assert!(read("Secret", &field(1, &name)).is_some());
        for raw in [
            field(1, &[name.clone(), field(1, b"b")].concat()),
            [field(1, &name), field(1, &name)].concat(),
            field(1, b"\xff"),
            field(15, b"unknown"),
            vec![0x08, 1],
            [field(2, &field(1, b"k")), field(2, &field(1, b"k"))].concat(),
        ] {
            assert_eq!(read("Secret", &raw), None, "{raw:?}");
        }
        assert_eq!(read("Unheard", &[]), None);
        assert_eq!(json(&Object { api_version: "x/v1", kind: "Secret", raw: &[] }), None);
    }

    #[test]
    fn every_truncation_is_unreadable_or_another_object() {
        let container = [field(1, b"c"), field(2, b"image")].concat();
        let pod = [field(1, &field(1, b"p")), field(2, &field(2, &container))].concat();
        let whole = read("Pod", &pod);
        assert!(whole.is_some());
        for end in 0..pod.len() {
            assert_ne!(read("Pod", &pod[..end]), whole);
        }
    }

    #[test]
    fn every_type_of_the_table_is_known_or_plain() {
        assert!(MESSAGES.len() > 500);
        let privileged = MESSAGES.get("core/v1.SecurityContext").unwrap();
        assert_eq!(privileged.get(&2).map(|field| field.name), Some("privileged"));
    }
}
