//! A request to an apiserver as rules and records see it.
//!
//! In: a request line, the content of a body where it was read. Out: an `Action`, facts for the
//! row. Never: an action of a body that was not read which misses a class that it may have.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::condition::Named;
use super::content::{Content, Unreadable};
use super::{Class, Classes, Classified, DryRun, Tag, classify, condition};
use crate::decide::action::{Act, Action, Object};
use crate::decide::{ClassSet, Fact, FactKind};
use crate::identify::certificate;
use crate::wire::Protocol;
use crate::wire::kubernetes::request::{Asked, Attributes, Refused, Request, Verb};

/// How the connection is used behind the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A request, an answer.
    Plain,
    /// The answer may last for hours, with long pauses: watches, logs that are followed.
    Follow,
    /// The body is somebody else's: a proxy's.
    Through,
}

/// A request, understood.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The verb in RBAC's words.
    pub verb: &'static str,
    /// The API group.
    pub group: String,
    /// The resource, or the path where there is none.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name, from the path or from the body.
    pub name: String,
    /// What rules are asked.
    pub action: Action,
    /// Its classes.
    pub classes: Classes,
    /// Other facts for the row, JSON text.
    pub attrs: String,
    /// How the connection is used.
    pub flow: Flow,
    /// A terminal is asked for: what is typed may be a password.
    pub tty: bool,
    /// Whether the connection may be upgraded.
    pub upgrades: bool,
    /// A change of what is there: PUT, PATCH.
    pub changes: bool,
    /// The query asks for a dry run, whether one is made or not.
    pub dry: bool,
    /// The query cuts a log off within a line.
    pub cuts: bool,
    /// The query says that an apply takes fields over from others.
    pub forces: bool,
    /// Whether its body is read before anything is decided.
    pub reads_body: bool,
}

/// What the head of a request says besides: facts of the client's, which prove nothing.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// It asks to be somebody else.
    pub impersonates: bool,
    /// For the row.
    pub attrs: Vec<(&'static str, String)>,
}

/// Whether a Secret has the name by which clusters know bootstrap tokens, whose secret its writer
/// chooses (plugin/pkg/auth/authenticator/token/bootstrap).
fn is_bootstrap(request: &Request, content: &Content<'_>) -> bool {
    let named = request.resource().map(|it| it.name.as_str());
    let names = [named, content.name(), content.generated()];
    names.into_iter().flatten().any(|name| name.starts_with("bootstrap-token-"))
}

/// What a request is; `content` is its body, `Opaque` before that was read.
///
/// # Errors
/// A `dryRun` that is neither `All` nor absent.
pub fn understand(
    request: &Request,
    content: &Content<'_>,
    claims: &Claims,
) -> Result<Understood, Refused> {
    let classified = classify(request)?;
    let mut classes = classified.classes;
    if classified.pod_spec_in_body && content.may_be_privileged() {
        classes = classes.with(Class::WorkloadPrivileged);
    }
    let writes = request.resource().is_some_and(|it| it.group.is_empty() && is_write(it.verb));
    let of =
        |resource: &str| writes && request.resource().is_some_and(|it| it.resource == resource);
    // A volume that a folder of the node is, and a pod that claims it: rights of the node.
    if of("persistentvolumes") && content.may_be_privileged() {
        classes = classes.with(Class::WorkloadPrivileged);
    }
    // A controller writes a token into it that never ends, or the writer has chosen one.
    if of("secrets") && (content.may_make_tokens() || is_bootstrap(request, content)) {
        classes = classes.with(Class::Token);
    }
    if claims.impersonates {
        classes = classes.with(Class::Impersonate);
    }
    let name = content.name().filter(|_| classified.name_in_body);
    let named = match (name, content.generated().filter(|_| classified.name_in_body)) {
        (Some(name), _) => Named::Is(name),
        (None, Some(root)) => Named::Begins(root),
        (None, None) => Named::Unknown,
    };
    let attrs = attrs((request, claims), &classified, content);
    let flow = flow(request, classes);
    let mut understood = Understood {
        verb: request.verb(),
        group: String::new(),
        resource: String::new(),
        subresource: String::new(),
        namespace: String::new(),
        name: String::new(),
        action: action(request, classes, named),
        classes,
        attrs,
        flow,
        tty: request.query.flag("tty"),
        upgrades: classified.upgrades,
        changes: request.resource().is_some_and(|it| matches!(it.verb, Verb::Update | Verb::Patch)),
        dry: request.query.values("dryRun").next().is_some(),
        cuts: request.query.values("limitBytes").next().is_some(),
        forces: request.query.flag("force"),
        reads_body: flow == Flow::Plain && request.resource().is_some(),
    };
    match &request.asked {
        Asked::Path(path) => understood.resource.clone_from(path),
        Asked::Resource(attributes) => {
            understood.group.clone_from(&attributes.group);
            understood.resource.clone_from(&attributes.resource);
            understood.subresource.clone_from(&attributes.subresource);
            understood.namespace.clone_from(&attributes.namespace);
            understood.name = name.unwrap_or(&attributes.name).to_owned();
        }
    }
    Ok(understood)
}

const fn is_write(verb: Verb) -> bool {
    matches!(verb, Verb::Create | Verb::Update | Verb::Patch)
}

impl Unreadable {
    /// The status of HTTP that says so.
    pub const fn status(self) -> u16 {
        match self {
            Unreadable::Media => 415,
            Unreadable::Json | Unreadable::Protobuf => 400,
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Unreadable::Media => "the body has a type or a coding that weir does not read",
            Unreadable::Json => "the body is not JSON, or has a name twice in one object",
            Unreadable::Protobuf => "the body is not Kubernetes' protobuf",
        }
    }
}

fn flow(request: &Request, classes: Classes) -> Flow {
    let Some(attributes) = request.resource() else { return Flow::Plain };
    let proxies = classes.has(Class::Proxy) || classes.has(Class::NodeProxy);
    let follows = attributes.verb == Verb::Watch
        || (attributes.subresource == "log" && request.query.flag("follow"));
    match (proxies, follows) {
        (true, _) => Flow::Through,
        (false, true) => Flow::Follow,
        (false, false) => Flow::Plain,
    }
}

/// What rules are asked about; `name` is the one in the body.
fn action(request: &Request, classes: Classes, name: Named<'_>) -> Action {
    let set: ClassSet = classes.iter().map(Class::only).collect();
    let mut facts = condition::facts(request, name);
    facts.push(Fact::is(FactKind::Method, request.method.lower().to_ascii_uppercase()));
    let (operation, objects) = match &request.asked {
        Asked::Path(path) => (format!("{} {path}", request.verb()), Vec::new()),
        Asked::Resource(attributes) => {
            let operation = format!("{} {}", request.verb(), attributes.full_resource());
            (operation, vec![object(attributes, name)])
        }
    };
    let act = Act {
        classes: set,
        operation: Cow::Owned(operation),
        objects: objects.into(),
        facts,
        ..Act::default()
    };
    Action::new(Protocol::Kubernetes, vec![act])
}

fn object(attributes: &Attributes, name: Named<'_>) -> Object {
    let name = match (name, attributes.name.as_str()) {
        (Named::Is(name), _) => name,
        (Named::Unknown | Named::Begins(_), "") => "*",
        (Named::Unknown | Named::Begins(_), name) => name,
    };
    let name = format!("{}/{name}", attributes.full_resource());
    let write = !matches!(attributes.verb, Verb::Get | Verb::List | Verb::Watch);
    match attributes.namespace.as_str() {
        "" => Object::bare(name, write),
        namespace => Object::within(namespace, name, write),
    }
}

fn attrs(
    (request, claims): (&Request, &Claims),
    classified: &Classified,
    content: &Content<'_>,
) -> String {
    let mut attrs = Map::new();
    for (key, value) in &claims.attrs {
        attrs.insert((*key).into(), json!(value));
    }
    let mut tags: Vec<&str> = classified.tags.iter().map(|tag| tag.name()).collect();
    let dry_in_body = match classified.dry_run {
        DryRun::Body { without } => content.is_dry(without),
        DryRun::Yes | DryRun::No => false,
    };
    if dry_in_body {
        tags.push(Tag::DryRun.name());
    }
    if matches!(content, Content::Opaque) && classified.pod_spec_in_body {
        tags.push(Tag::OpaqueBody.name());
    }
    if !tags.is_empty() {
        attrs.insert("tags".into(), json!(tags));
    }
    let Some(attributes) = request.resource() else { return text(attrs) };
    attrs.insert("group".into(), json!(attributes.group));
    attrs.insert("version".into(), json!(attributes.version));
    for (key, selector) in [
        ("field_selector", &attributes.field_selector),
        ("label_selector", &attributes.label_selector),
    ] {
        if let Some(selector) = selector {
            attrs.insert(key.into(), json!(selector));
        }
    }
    let words = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    for key in ["fieldManager", "container", "stdin", "stdout", "stderr", "tty"] {
        if let Some(value) = request.query.first(key) {
            attrs.insert(key.into(), json!(words(value)));
        }
    }
    let command: Vec<String> = request.query.values("command").map(words).collect();
    if !command.is_empty() {
        attrs.insert("argv".into(), json!(command));
    }
    // What a credential is for, and who is given rights (kubernetes.md 5).
    if let Content::Json(object) = content {
        for (key, pointer) in [
            ("role_ref", "/roleRef"),
            ("subjects", "/subjects"),
            ("signer", "/spec/signerName"),
            ("audiences", "/spec/audiences"),
            ("expiration_seconds", "/spec/expirationSeconds"),
        ] {
            if let Some(value) = object.pointer(pointer) {
                attrs.insert(key.into(), value.clone());
            }
        }
        attrs.extend(requested(object));
    }
    text(attrs)
}

/// Whose certificate is asked for.
fn requested(object: &Value) -> Option<(String, Value)> {
    let coded = object.pointer("/spec/request")?.as_str()?;
    let pem = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    let (common, organizations) = certificate::requested(&pem)?;
    Some(("subject".into(), json!({ "CN": common, "O": organizations })))
}

fn text(attrs: Map<String, Value>) -> String {
    if attrs.is_empty() { String::new() } else { Value::Object(attrs).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str, content: &Content<'_>) -> Understood {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request::read(method.as_bytes(), target.as_bytes()).unwrap();
        understand(&request, content, &Claims::default()).unwrap()
    }

    fn classes(line: &str, content: &Content<'_>) -> Vec<&'static str> {
        understood(line, content).action.classes
    }

    #[test]
    fn a_body_that_was_not_read_has_every_class_that_it_may_have() {
        let line = "POST /api/v1/namespaces/d/pods";
        assert_eq!(classes(line, &Content::Opaque), ["write", "workload", "workload-privileged"]);
        assert_eq!(classes(line, &Content::Json(json!({"spec": {}}))), ["write", "workload"]);
        assert_eq!(classes("GET /api/v1/pods", &Content::Empty), ["read"]);
        let exec = "GET /api/v1/namespaces/d/pods/w/exec?command=sh&command=-c&command=id&tty=1";
        let exec = understood(exec, &Content::Empty);
        assert_eq!(exec.action.operation, "get pods/exec");
        assert!(exec.upgrades && exec.attrs.contains(r#""argv":["sh","-c","id"]"#));
        assert_eq!(exec.action.objects[0].path(), "d.pods/exec/w");
    }

    #[test]
    fn what_gives_a_node_or_a_credential_by_another_road() {
        let body = Content::Json(json!({"data": {"token-secret": "eA=="}}));
        let secret = "PATCH /api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef";
        assert!(classes(secret, &body).contains(&"token"));
        assert!(!classes(&secret.replace("bootstrap-token", "b"), &body).contains(&"token"));
        let target = Content::Json(json!({"target": {"kind": "Node", "name": "n"}}));
        for line in ["pods/web/binding", "bindings"] {
            let line = format!("POST /api/v1/namespaces/d/{line}");
            assert!(classes(&line, &target).contains(&"workload-privileged"), "{line}");
        }
    }

    #[test]
    fn who_is_given_rights_and_tokens_is_in_the_row() {
        let line = "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        let body = json!({"metadata": {"name": "b"}, "roleRef": {"name": "cluster-admin"}});
        let bound = understood(line, &Content::Json(body));
        assert_eq!(bound.name, "b");
        assert!(bound.attrs.contains(r#""role_ref":{"name":"cluster-admin"}"#), "{}", bound.attrs);
        assert_eq!(bound.action.classes, ["write", "rbac"]);
    }

    #[test]
    fn whose_certificate_is_asked_for_is_in_the_row() {
        let line = "POST /apis/certificates.k8s.io/v1/certificatesigningrequests";
        let request = STANDARD.encode(include_bytes!("testdata/request.pem"));
        let body = json!({"metadata": {"name": "c"}, "spec": {"request": request}});
        let asked = understood(line, &Content::Json(body));
        let subject = r#""subject":{"CN":["somebody"],"O":["dev","ops"]}"#;
        assert!(asked.attrs.contains(subject), "{}", asked.attrs);
        for other in ["", "!", "eA=="] {
            let body = Content::Json(json!({"spec": {"request": other}}));
            assert!(!understood(line, &body).attrs.contains("subject"), "{other}");
        }
    }

    #[test]
    fn what_the_client_says_of_itself_is_in_the_row() {
        let request = Request::read(b"GET", b"/version").unwrap();
        let attrs = vec![("user_agent", "kubectl/v1.37.1".to_owned())];
        let claims = Claims { attrs, ..Claims::default() };
        let found = understand(&request, &Content::Empty, &claims).unwrap();
        assert_eq!(found.attrs, r#"{"user_agent":"kubectl/v1.37.1"}"#);
    }

    #[test]
    fn what_decides_is_said_once() {
        for (line, expect) in [
            ("exec?command=a&command=b&container=c", None),
            ("exec?container=a&container=b", Some(Refused::Twice("container"))),
            ("attach?tty=1&tty=0", Some(Refused::Twice("tty"))),
            ("log?follow=1&follow=1", Some(Refused::Twice("follow"))),
            ("proxy/a?tty=1&tty=0", None),
        ] {
            let target = format!("/api/v1/namespaces/d/pods/w/{line}");
            let request = Request::read(b"GET", target.as_bytes()).unwrap();
            let found = understand(&request, &Content::Empty, &Claims::default());
            assert_eq!(found.err(), expect, "{line}");
        }
    }

    #[test]
    fn answers_that_last_are_known() {
        for (line, flow) in [
            ("GET /api/v1/pods?watch=1", Flow::Follow),
            ("GET /api/v1/namespaces/d/pods/w/log?follow=true", Flow::Follow),
            ("GET /api/v1/namespaces/d/pods/w/log", Flow::Plain),
            ("POST /api/v1/namespaces/d/services/w/proxy/a", Flow::Through),
            ("GET /version", Flow::Plain),
        ] {
            assert_eq!(understood(line, &Content::Empty).flow, flow, "{line}");
        }
    }
}
