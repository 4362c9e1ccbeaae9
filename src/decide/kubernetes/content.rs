//! The body of a request, as far as rules need it.
//!
//! In: the bytes of a body and what they are said to be. Out: JSON, a protobuf object, or that it
//! could not be read. Never: JSON with a name twice: the last one counts to one reader, the first
//! to another (kubernetes.md 1.4).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::wire::kubernetes::{proto, schema};

/// A body.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'b> {
    /// There is none.
    Empty,
    /// An object, or a patch that looks like one.
    Json(Value),
    /// A list of operations (RFC 6902).
    Patch(Vec<Value>),
    /// An object in Kubernetes' protobuf of a kind, or in a form, that no table has.
    Protobuf(proto::Object<'b>),
    /// It was not read, or cannot be: what it may say counts.
    Opaque,
}

/// Why a body goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A coding or a form that weir cannot read, so nothing of it can be ruled on: 415.
    Media,
    /// It says to be JSON and is none, or has a name twice: 400.
    Json,
    /// The envelope of protobuf cannot be read: 400.
    Protobuf,
}

impl<'b> Content<'b> {
    /// Reads a body. `kind` is its `Content-Type`; without one it is JSON, as to the apiserver.
    ///
    /// # Errors
    /// What neither weir nor a rule can make sense of.
    pub fn read(kind: Option<&[u8]>, body: &'b [u8]) -> Result<Content<'b>, Unreadable> {
        if body.is_empty() {
            return Ok(Content::Empty);
        }
        let kind = kind.unwrap_or(b"application/json");
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match kind {
            b"application/json"
            | b"application/merge-patch+json"
            | b"application/strategic-merge-patch+json" => {
                strict(body).map(Content::Json).ok_or(Unreadable::Json)
            }
            b"application/json-patch+json" => match strict(body) {
                Some(Value::Array(operations)) => Ok(Content::Patch(operations)),
                _ => Err(Unreadable::Json),
            },
            // kubectl writes JSON, which is YAML; what is YAML only is not read.
            b"application/apply-patch+yaml" | b"application/yaml" => {
                Ok(strict(body).map_or(Content::Opaque, Content::Json))
            }
            b"application/vnd.kubernetes.protobuf" => {
                let object = proto::Object::read(body).map_err(|_| Unreadable::Protobuf)?;
                Ok(schema::json(&object).map_or(Content::Protobuf(object), Content::Json))
            }
            _ => Err(Unreadable::Media),
        }
    }

    /// `metadata.name` of the object.
    pub fn name(&self) -> Option<&str> {
        let name = match self {
            Content::Json(object) => object.get("metadata")?.get("name")?.as_str()?,
            Content::Protobuf(object) => object.name().ok()?,
            Content::Empty | Content::Patch(_) | Content::Opaque => return None,
        };
        (!name.is_empty()).then_some(name)
    }

    /// What the server makes a name of, where the object has none: `metadata.generateName`, as far
    /// as it is taken over (apiserver, storage/names/generate.go).
    pub fn generated(&self) -> Option<&str> {
        let Content::Json(object) = self else { return None };
        let root = object.get("metadata")?.get("generateName")?.as_str()?;
        let is_named = self.name().is_some() || root.is_empty();
        // Of other letters the server takes none, or fewer.
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let is_plain = root.bytes().all(letters);
        (!is_named && is_plain).then(|| root.get(..GENERATED_BYTES_MAX).unwrap_or(root))
    }

    /// Whether DeleteOptions ask for a dry run; `without` is what the query says.
    pub fn is_dry(&self, without: bool) -> bool {
        match self {
            Content::Empty => without,
            Content::Json(options) => options.get("dryRun") == Some(&serde_json::json!(["All"])),
            Content::Protobuf(object) => object.dry_run().is_ok_and(|values| values == ["All"]),
            Content::Patch(_) | Content::Opaque => false,
        }
    }

    /// An option of a deletion that stands in the query and not so in the body, which is the one
    /// that counts (apiserver, endpoints/handlers/delete.go): people would see the other.
    pub fn overrides(&self, query: &[(&'static str, String)]) -> Option<&'static str> {
        let says_so = |name: &str, value: &str| match self {
            Content::Empty => true,
            Content::Json(options) if name == "dryRun" => {
                options.get(name) == Some(&serde_json::json!([value]))
            }
            Content::Json(options) => match options.get(name) {
                Some(Value::String(said)) => said == value,
                Some(said) => serde_json::from_str::<Value>(value).is_ok_and(|it| it == *said),
                None => false,
            },
            Content::Patch(_) | Content::Protobuf(_) | Content::Opaque => false,
        };
        query.iter().find(|(name, value)| !says_so(name, value)).map(|(name, _)| *name)
    }

    /// Whether pods of this body may ask for rights of the node.
    pub fn may_be_privileged(&self) -> bool {
        match self {
            Content::Empty => false,
            Content::Json(object) => is_privileged(object),
            Content::Patch(operations) => !operations.iter().all(is_harmless),
            Content::Protobuf(_) | Content::Opaque => true,
        }
    }
}

impl Content<'_> {
    /// Whether a Secret of this body may be one that a token of the cluster stands in.
    pub fn may_make_tokens(&self) -> bool {
        match self {
            Content::Empty => false,
            Content::Json(object) => names_token(object),
            Content::Patch(operations) => operations.iter().any(|operation| {
                let op = operation.get("op").and_then(Value::as_str);
                matches!(op, Some("copy" | "move")) || names_token(operation)
            }),
            Content::Protobuf(_) | Content::Opaque => true,
        }
    }
}

/// Types and the annotation of Secrets that are tokens (core/v1, `SecretTypeServiceAccountToken`).
fn names_token(value: &Value) -> bool {
    let says = |text: &str| {
        text.contains("service-account-token")
            || text.contains("bootstrap.kubernetes.io/token")
            || text.contains("service-account.name")
    };
    match value {
        Value::Array(values) => values.iter().any(names_token),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            // What the values of a Secret say is nothing of its kind.
            let is_data = matches!(name.as_str(), "data" | "stringData");
            !is_data && (says(name) || names_token(value))
        }),
        Value::String(text) => says(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// So much of `generateName` is taken over: five letters go behind it.
const GENERATED_BYTES_MAX: usize = 58;

/// Fields of pods' specs and of containers that give rights of the node, wherever they stand. The
/// names are Kubernetes' own, and an object that has one elsewhere is taken for one that asks.
fn is_privileged(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(is_privileged),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let asks = match name.as_str() {
                "privileged" | "hostNetwork" | "hostPID" | "hostIPC" | "hostProcess" => {
                    value != &Value::Bool(false) && !value.is_null()
                }
                // Of a probe or a hook: the kubelet asks there, from the network of the node.
                "host" => !value.is_null() && value != "",
                "hostPath" | "flexVolume" => !value.is_null(),
                // Of a volume of the cluster: a folder of a node.
                "local" => value.get("path").is_some(),
                "hostPort" => !value.is_null() && value != 0,
                "seccompProfile" | "appArmorProfile" => {
                    value.get("type") == Some(&UNCONFINED.into())
                }
                "seLinuxOptions" => is_other_label(value),
                "sysctls" => each(value).any(|it| !is_safe(it.get("name"))),
                name if PROFILES.iter().any(|start| name.starts_with(start)) => {
                    !value.is_null()
                        && value.as_str().is_none_or(|it| it.eq_ignore_ascii_case(UNCONFINED))
                }
                "nodeName" => !matches!(value, Value::Null) && value != "",
                "procMount" => value != "Default" && !value.is_null(),
                "add" => match value {
                    Value::Null => false,
                    Value::Array(_) | Value::Object(_) => !each(value).all(is_given),
                    _ => true,
                },
                "$patch" | "$retainKeys" => true,
                _ => false,
            };
            asks || is_privileged(value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Pod Security Standards, "Baseline".
const UNCONFINED: &str = "Unconfined";
/// Annotations that were fields before the fields were.
const PROFILES: [&str; 3] = [
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/pod",
];
const LABELS: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// Capabilities that a runtime gives without being asked.
const GIVEN: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn is_given(capability: &Value) -> bool {
    capability.as_str().is_some_and(|name| GIVEN.contains(&name))
}

/// Members of a list, which a patch may name by their places.
fn each(list: &Value) -> impl Iterator<Item = &Value> {
    let members = list.as_array().into_iter().flatten();
    members.chain(list.as_object().into_iter().flat_map(Map::values))
}

/// A part of one that a patch names has no name.
fn is_safe(name: Option<&Value>) -> bool {
    name.is_some_and(|name| name.as_str().is_some_and(|name| SYSCTLS.contains(&name)))
}

fn is_other_label(options: &Value) -> bool {
    let field = |name: &str| options.get(name).and_then(Value::as_str).unwrap_or_default();
    !LABELS.contains(&field("type")) || !field("user").is_empty() || !field("role").is_empty()
}

/// An operation of a JSON Patch that asks for nothing of the node: what it brings is judged where
/// it will stand. What is copied or moved is not known, so only metadata may be.
fn is_harmless(operation: &Value) -> bool {
    let field = |name: &str| operation.get(name).and_then(Value::as_str);
    let Some(path) = field("path") else { return false };
    match field("op") {
        Some("test") => true,
        // What is left of a list or of a context is less, but a path that names a right may lift a
        // ban.
        Some("remove") => !is_privileged(&placed(path, &Value::Bool(true))),
        Some("add" | "replace") => operation
            .get("value")
            .is_some_and(|value| path.starts_with('/') && !is_privileged(&placed(path, value))),
        Some("copy" | "move") => {
            let plain = |path: &str| path.starts_with("/metadata/");
            plain(path) && field("from").is_some_and(plain)
        }
        _ => false,
    }
}

/// A value within the fields that a pointer (RFC 6901) names.
fn placed(pointer: &str, value: &Value) -> Value {
    let tokens =
        pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
    let tokens: Vec<String> = tokens.take(PLACED_DEPTH_MAX).collect();
    tokens.into_iter().rev().fold(value.clone(), |value, token| {
        Value::Object(std::iter::once((token, value)).collect())
    })
}

/// Deeper than any field of Kubernetes stands.
const PLACED_DEPTH_MAX: usize = 64;

/// JSON in which no object has a name twice.
fn strict(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Strict>(body).ok().map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Strict, D::Error> {
        from.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON without a name twice")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'b>(kind: &str, body: &'b [u8]) -> Result<Content<'b>, Unreadable> {
        Content::read(Some(kind.as_bytes()), body)
    }

    #[test]
    fn json_is_read_once_or_not_at_all() {
        let named = read("application/json; charset=utf-8", br#"{"metadata":{"name":"s"}}"#);
        assert_eq!(named.unwrap().name(), Some("s"));
        assert_eq!(Content::read(None, br#"{"a":1}"#).unwrap().name(), None);
        for twice in [r#"{"a":1,"a":2}"#, r#"{"m":{"n":1,"\u006e":2}}"#, r#"[{"a":1,"a":1}]"#, "{"]
        {
            assert_eq!(read("application/json", twice.as_bytes()), Err(Unreadable::Json));
            let apply = read("application/apply-patch+yaml", twice.as_bytes());
            assert_eq!(apply, Ok(Content::Opaque));
        }
        for kind in ["application/cbor", "text/plain", "application/jsonx", "Application/JSON"] {
            assert_eq!(read(kind, b"{}"), Err(Unreadable::Media), "{kind}");
        }
        assert_eq!(read("text/plain", b""), Ok(Content::Empty));
    }

    #[test]
    fn a_name_that_the_server_makes_begins_as_it_is_said() {
        let generated = |body: &str| {
            let content = read("application/json", body.as_bytes()).unwrap();
            content.generated().map(str::to_owned)
        };
        let expect = Some("build-".to_owned());
        assert_eq!(generated(r#"{"metadata":{"generateName":"build-"}}"#), expect);
        assert_eq!(generated(r#"{"metadata":{"generateName":"build-","name":""}}"#), expect);
        assert_eq!(generated(r#"{"metadata":{"generateName":"build-","name":"a"}}"#), None);
        for none in ["\"\"", "null", "1", "\"b*\"", "\"b/c\""] {
            assert_eq!(generated(&format!(r#"{{"metadata":{{"generateName":{none}}}}}"#)), None);
        }
        let long = format!(r#"{{"metadata":{{"generateName":"{}"}}}}"#, "a".repeat(63));
        assert_eq!(generated(&long), Some("a".repeat(58)));
    }

    #[test]
    fn a_dry_run_of_a_deletion_stands_in_the_body_if_there_is_one() {
        let dry = |body: &[u8]| read("application/json", body).unwrap().is_dry(true);
        assert!(dry(b""));
        assert!(dry(br#"{"dryRun":["All"]}"#));
        assert!(!dry(b"{}"));
        assert!(!dry(br#"{"dryRun":["All","x"]}"#));
        assert!(!dry(br#"{"DryRun":["All"]}"#));
    }

    #[test]
    fn options_of_a_deletion_stand_in_one_place() {
        fn check(body: &[u8], expect: Option<&str>) {
            let query = [("dryRun", "All".to_owned()), ("gracePeriodSeconds", "0".to_owned())];
            let content = read("application/json", body).unwrap();
            assert_eq!(content.overrides(&query), expect);
            assert_eq!(content.overrides(&[]), None);
        }
        check(b"", None);
        check(br#"{"dryRun":["All"],"gracePeriodSeconds":0}"#, None);
        check(b"{}", Some("dryRun"));
        check(br#"{"dryRun":["All"]}"#, Some("gracePeriodSeconds"));
        check(br#"{"dryRun":["All"],"gracePeriodSeconds":30}"#, Some("gracePeriodSeconds"));
        assert_eq!(Content::Opaque.overrides(&[("dryRun", "All".into())]), Some("dryRun"));
    }

    #[test]
    fn secrets_that_a_token_stands_in_are_found() {
        fn check(kind: &str, body: &str, expect: bool) {
            let content = read(kind, body.as_bytes()).unwrap();
            assert_eq!(content.may_make_tokens(), expect, "{body}");
        }
        let json = "application/json";
        check(json, r#"{"type":"Opaque","data":{"a":"c2VydmljZQ=="}}"#, false);
        check(json, r#"{"stringData":{"service-account.name":"kubernetes.io/x"}}"#, false);
        check(json, r#"{"type":"kubernetes.io/service-account-token"}"#, true);
        check(json, r#"{"type":"bootstrap.kubernetes.io/token"}"#, true);
        let name = "kubernetes.io/service-account.name";
        check(json, &format!(r#"{{"metadata":{{"annotations":{{"{name}":"d"}}}}}}"#), true);
        check("application/apply-patch+yaml", "type: a", true);
        let patch = "application/json-patch+json";
        let path = "/metadata/annotations/kubernetes.io~1service-account.name";
        check(patch, &format!(r#"[{{"op":"add","path":"{path}","value":"d"}}]"#), true);
        check(patch, r#"[{"op":"add","path":"/data/a","value":"eA=="}]"#, false);
        check(patch, r#"[{"op":"move","path":"/data/a","from":"/data/b"}]"#, true);
    }

    #[test]
    fn rights_of_the_node_are_found_wherever_they_stand() {
        fn check(kind: &str, body: &str, expect: bool) {
            let content = read(kind, body.as_bytes()).unwrap();
            assert_eq!(content.may_be_privileged(), expect, "{body}");
        }
        let json = "application/json";
        check(json, r#"{"spec":{"containers":[{"image":"a"}]}}"#, false);
        check(json, r#"{"spec":{"containers":[{"securityContext":{"privileged":true}}]}}"#, true);
        check(json, r#"{"spec":{"containers":[{"securityContext":{"privileged":false}}]}}"#, false);
        check(json, r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#, true);
        check(json, r#"{"spec":{"volumes":[{"hostPath":{"path":"/"}}]}}"#, true);
        check(json, r#"{"spec":{"nodeName":"n"}}"#, true);
        check(json, r#"{"a":{"capabilities":{"drop":["ALL"]}}}"#, false);
        check(json, r#"{"a":{"capabilities":{"add":["NET_ADMIN"]}}}"#, true);
        check(json, r#"{"a":{"capabilities":{"add":["NET_BIND_SERVICE","CHOWN"]}}}"#, false);
        check(json, r#"{"a":{"capabilities":{"add":["CHOWN","ALL"]}}}"#, true);
        check(json, r#"{"a":{"capabilities":{"add":"CHOWN"}}}"#, true);
        check(json, r#"{"a":{"allowPrivilegeEscalation":true,"b":{"hostUsers":true}}}"#, false);
        check(json, r#"{"livenessProbe":{"httpGet":{"host":"169.254.169.254","port":80}}}"#, true);
        check(json, r#"{"lifecycle":{"postStart":{"tcpSocket":{"host":"","port":80}}}}"#, false);
        for (pod, expect) in [
            (r#"{"containers":[{"ports":[{"hostPort":80}]}]}"#, true),
            (r#"{"containers":[{"ports":[{"containerPort":80,"hostPort":0}]}]}"#, false),
            (r#"{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}"#, true),
            (r#"{"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}}}"#, false),
            (r#"{"securityContext":{"seLinuxOptions":{"type":"spc_t"}}}"#, true),
            (r#"{"securityContext":{"seLinuxOptions":{"level":"s0:c1"}}}"#, false),
            (r#"{"securityContext":{"sysctls":[{"name":"kernel.shmmax","value":"1"}]}}"#, true),
            (r#"{"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_syncookies"}]}}"#, false),
            (r#"{"volumes":[{"flexVolume":{"driver":"a/b"}}]}"#, true),
            (r#"{"local":{"path":"/"}}"#, true),
        ] {
            check(json, &format!(r#"{{"spec":{pod}}}"#), expect);
        }
        let profile = "container.apparmor.security.beta.kubernetes.io/c";
        for (value, expect) in [("\"unconfined\"", true), ("\"runtime/default\"", false)] {
            let body = format!(r#"{{"metadata":{{"annotations":{{"{profile}":{value}}}}}}}"#);
            check(json, &body, expect);
        }
        check("application/apply-patch+yaml", "spec: {}", true);
        let patch = "application/json-patch+json";
        check(patch, r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#, false);
        check(patch, r#"[{"op":"add","path":"/spec/template/spec","value":{}}]"#, false);
        let template = r#"{"spec":{"containers":[{"image":"a"}]}}"#;
        let undo = format!(r#"[{{"op":"replace","path":"/spec/template","value":{template}}}]"#);
        check(patch, &undo, false);
        let hostile = undo.replace(r#""image":"a""#, r#""securityContext":{"privileged":true}"#);
        check(patch, &hostile, true);
        let one = |path: &str, value: &str| {
            format!(r#"[{{"op":"add","path":"{path}","value":{value}}}]"#)
        };
        check(patch, &one("/spec/hostNetwork", "true"), true);
        check(patch, &one("/spec/hostNetwork", "false"), false);
        check(patch, &one("/spec/nodeName", "\"n\""), true);
        check(patch, &one("/spec/containers/0/securityContext/capabilities/add/0", "\"A\""), true);
        check(patch, &one("/a/capabilities/add/0", "\"CHOWN\""), false);
        check(patch, &one("/spec/containers/0/livenessProbe/httpGet/host", "\"h\""), true);
        check(patch, &one("/spec/volumes/0/hostPath/path", "\"/\""), true);
        check(patch, &one("/spec/volumes/-", r#"{"hostPath":{"path":"/"}}"#), true);
        check(patch, &one("/spec/~0", "1"), false);
        check(patch, &one("", "{}"), true);
        check(patch, r#"[{"op":"move","path":"/spec/b","from":"/metadata/a"}]"#, true);
        check(patch, r#"[{"op":"remove","path":"/spec/template/spec/hostUsers"}]"#, false);
        check(
            patch,
            r#"[{"op":"remove","path":"/spec/containers/0/securityContext/privileged"}]"#,
            true,
        );
        check(patch, r#"[{"op":"remove","path":"/metadata/labels/a"}]"#, false);
        check(patch, r#"[{"op":"copy","path":"/metadata/a","from":"/spec/x"}]"#, true);
    }
}
