//! The classes of a request, from two tables: what its verb means, and what its resource means.
//!
//! In: a request. Out: classes, tags, and what only its body can tell.
//! Never: the name of a verb as a promise. HTTP's GET runs commands (`pods/exec`), a dry run of
//! `serviceaccounts/token` makes a token, a delete answers with the Secret.

use super::{Class, Classes, Tag, kinds};
use crate::wire::kubernetes::request::{Asked, Attributes, Method, Refused, Request, Verb};

/// What is known of a request before its body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Its classes, at least one.
    pub classes: Classes,
    /// `unknown-kind`; `dry-run` where the query governs.
    pub tags: Vec<Tag>,
    /// Whether something is stored.
    pub dry_run: DryRun,
    /// The object's name stands in the body (`metadata.name`), if anywhere.
    pub name_in_body: bool,
    /// The body has the spec of pods, which makes the class `workload-privileged`, or not.
    pub pod_spec_in_body: bool,
    /// Whether the connection may be upgraded.
    pub upgrades: bool,
}

/// What `dryRun` says, by the place that governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It is stored.
    No,
    /// Nothing is.
    Yes,
    /// A body of DeleteOptions says it, whatever the query says; without a body, this is it.
    Body {
        /// What the query says.
        without: bool,
    },
}

/// Whether a row adds its class to the verb's, or stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearing {
    Adds,
    Replaces,
}

struct Row {
    group: &'static str,
    resource: &'static str,
    /// `*` is any and none.
    subresource: &'static str,
    verbs: u16,
    effect: Bearing,
    class: Class,
}

const fn verb(verb: Verb) -> u16 {
    1 << verb as u16
}

const READ: u16 = verb(Verb::Get) | verb(Verb::List) | verb(Verb::Watch);
const CREATE: u16 = verb(Verb::Create);
const PUT_OR_PATCH: u16 = verb(Verb::Update) | verb(Verb::Patch);
const WRITE: u16 = CREATE | PUT_OR_PATCH;
const DELETE: u16 = verb(Verb::Delete) | verb(Verb::DeleteCollection);
const CHANGE: u16 = WRITE | DELETE;
const ANY: u16 = u16::MAX;

const fn adds(place: [&'static str; 3], verbs: u16, class: Class) -> Row {
    let [group, resource, subresource] = place;
    Row { group, resource, subresource, verbs, effect: Bearing::Adds, class }
}

const fn replaces(place: [&'static str; 3], verbs: u16, class: Class) -> Row {
    let [group, resource, subresource] = place;
    Row { group, resource, subresource, verbs, effect: Bearing::Replaces, class }
}

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Group, resource, subresource. Every row that matches counts; the order does not.
const ROWS: &[Row] = &[
    // Writes answer with the object. A delete does where a finalizer keeps it, a collection always.
    replaces(["", "secrets", "*"], READ, Class::SecretRead),
    adds(["", "secrets", "*"], CHANGE, Class::SecretRead),
    replaces(["", "pods", "log"], READ, Class::Logs),
    // GET with an upgrade is RBAC's get, POST is create: neither says that a command runs.
    replaces(["", "pods", "exec"], ANY, Class::Exec),
    replaces(["", "pods", "attach"], ANY, Class::Exec),
    adds(["", "pods", "ephemeralcontainers"], WRITE, Class::Exec),
    replaces(["", "pods", "portforward"], ANY, Class::PortForward),
    replaces(["", "pods", "proxy"], ANY, Class::Proxy),
    replaces(["", "services", "proxy"], ANY, Class::Proxy),
    replaces(["", "nodes", "proxy"], ANY, Class::NodeProxy),
    // `/api/v1/proxy/nodes/...`, which no server of today has.
    adds(["", "nodes", ""], verb(Verb::Proxy), Class::NodeProxy),
    replaces(["", "pods", "eviction"], CREATE, Class::Delete),
    adds(["lifecycle.k8s.io", "*", "*"], WRITE, Class::Delete),
    adds(["", "namespaces", ""], DELETE, Class::UnboundedWrite),
    adds(["", "namespaces", "*"], CHANGE, Class::ControlPlane),
    // A node's address decides where proxies go (kubernetes/kubernetes #119270).
    adds(["", "nodes", ""], CHANGE, Class::ControlPlane),
    adds(["", "nodes", "status"], CHANGE, Class::ControlPlane),
    adds(["admissionregistration.k8s.io", "*", "*"], CHANGE, Class::ControlPlane),
    adds(["apiregistration.k8s.io", "*", "*"], CHANGE, Class::ControlPlane),
    adds(["apiextensions.k8s.io", "*", "*"], CHANGE, Class::ControlPlane),
    adds(["flowcontrol.apiserver.k8s.io", "*", "*"], CHANGE, Class::ControlPlane),
    // What is attached to a node is its own.
    adds(["storage.k8s.io", "volumeattachments", "*"], CHANGE, Class::ControlPlane),
    adds(["rbac.authorization.k8s.io", "*", "*"], CHANGE, Class::Rbac),
    adds(["certificates.k8s.io", "*", "*"], CHANGE, Class::Csr),
    replaces(["", "serviceaccounts", "token"], ANY, Class::Token),
    replaces([AUTHENTICATION, "tokenreviews", ""], CREATE, Class::Token),
    replaces([AUTHENTICATION, "selfsubjectreviews", ""], CREATE, Class::Review),
    replaces([AUTHORIZATION, "selfsubjectaccessreviews", ""], CREATE, Class::Review),
    replaces([AUTHORIZATION, "selfsubjectrulesreviews", ""], CREATE, Class::Review),
    adds(["", "pods", ""], WRITE, Class::Workload),
    adds(["", "pods", "ephemeralcontainers"], WRITE, Class::Workload),
    // What runs on a node that its writer chooses, as `nodeName` does.
    adds(["", "bindings", ""], CREATE, Class::WorkloadPrivileged),
    adds(["", "pods", "binding"], CREATE, Class::WorkloadPrivileged),
    adds(["", "podtemplates", ""], WRITE, Class::Workload),
    adds(["", "replicationcontrollers", ""], WRITE, Class::Workload),
    adds(["apps", "deployments", ""], WRITE, Class::Workload),
    adds(["apps", "replicasets", ""], WRITE, Class::Workload),
    adds(["apps", "statefulsets", ""], WRITE, Class::Workload),
    adds(["apps", "daemonsets", ""], WRITE, Class::Workload),
    // A rollback reads the template from here.
    adds(["apps", "controllerrevisions", ""], WRITE, Class::Workload),
    adds(["batch", "jobs", ""], WRITE, Class::Workload),
    adds(["batch", "cronjobs", ""], WRITE, Class::Workload),
];

/// What may be upgraded besides watches (kubernetes.md 1.3): subresources of `pods`, and proxies.
const UPGRADES: [(&str, &str); 6] = [
    ("pods", "exec"),
    ("pods", "attach"),
    ("pods", "portforward"),
    ("pods", "log"),
    ("pods", "proxy"),
    ("services", "proxy"),
];

/// Paths without a resource that tell what there is, and nothing of what is in it.
const DISCOVERY: [&str; 9] = [
    "/",
    "/version",
    "/version/",
    "/openapi/v2",
    "/openapi/v3",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/api",
    "/apis",
];

/// And those below which everything does.
const DISCOVERY_BELOW: [&str; 6] =
    ["/api/", "/apis/", "/openapi/v3/", "/healthz", "/livez", "/readyz"];

/// What a kubelet does for the first segment behind `nodes/NAME/proxy/`; for others, `node-proxy`
/// is all that is known.
const KUBELET: [(&str, Class); 12] = [
    ("exec", Class::Exec),
    ("run", Class::Exec),
    ("attach", Class::Exec),
    ("portForward", Class::PortForward),
    ("cri", Class::Exec),
    ("containerLogs", Class::Logs),
    ("pods", Class::SecretRead),
    ("runningpods", Class::SecretRead),
    ("configz", Class::SecretRead),
    ("metrics", Class::Read),
    ("stats", Class::Read),
    ("healthz", Class::Read),
];

/// Parameters of streams that decide something, each said once.
const SCALARS: [&str; 6] = ["container", "stdin", "stdout", "stderr", "tty", "follow"];

fn check_scalars(request: &Request) -> Result<(), Refused> {
    let streams = ["exec", "attach", "portforward", "log"];
    let Some(attributes) = request.resource() else { return Ok(()) };
    if !streams.contains(&attributes.subresource.as_str()) {
        return Ok(());
    }
    SCALARS.into_iter().try_for_each(|name| request.query.scalar(name).map(|_| ()))
}

/// The classes of a request. Refused is a `dryRun` that is neither `All` nor absent, and a scalar
/// of a stream that is there twice.
pub fn classify(request: &Request) -> Result<Classified, Refused> {
    let attributes = match &request.asked {
        Asked::Path(path) => return Ok(path_class(request.method, path)),
        Asked::Resource(attributes) => attributes,
    };
    check_scalars(request)?;
    let mut added = Classes::NONE;
    let mut replaced = Classes::NONE;
    for row in ROWS.iter().filter(|row| row.matches(attributes)) {
        match row.effect {
            Bearing::Adds => added = added.with(row.class),
            Bearing::Replaces => replaced = replaced.with(row.class),
        }
    }
    let base = if replaced.is_empty() { verb_classes(attributes.verb) } else { replaced };
    let mut classes = base.and(added);
    if classes.has(Class::NodeProxy) {
        classes = classes.and(kubelet_classes(attributes.tail));
    }
    let kind = kinds::find(&attributes.group, &attributes.resource);
    let known = kind.is_some_and(|kind| kind.has(&attributes.subresource));
    let dry_run = dry_run(request, attributes, classes, known)?;
    let mut tags = Vec::new();
    if dry_run == DryRun::Yes {
        tags.push(Tag::DryRun);
    }
    if !known {
        tags.push(Tag::UnknownKind);
    }
    Ok(Classified {
        name_in_body: attributes.verb == Verb::Create && attributes.name.is_empty(),
        pod_spec_in_body: classes.has(Class::Workload),
        upgrades: upgrades(attributes),
        classes,
        tags,
        dry_run,
    })
}

impl Row {
    fn matches(&self, attributes: &Attributes) -> bool {
        self.verbs & verb(attributes.verb) != 0
            && self.group == attributes.group
            && (self.resource == "*" || self.resource == attributes.resource)
            && (self.subresource == "*" || self.subresource == attributes.subresource)
    }
}

/// What a verb means where the resource says nothing else.
const fn verb_classes(verb: Verb) -> Classes {
    match verb {
        Verb::Get | Verb::List | Verb::Watch => Classes::NONE.with(Class::Read),
        Verb::Create | Verb::Update | Verb::Patch => Classes::NONE.with(Class::Write),
        Verb::Delete => Classes::NONE.with(Class::Delete),
        Verb::DeleteCollection => Classes::NONE.with(Class::Delete).with(Class::UnboundedWrite),
        Verb::Proxy => Classes::NONE.with(Class::Proxy),
        Verb::Empty => Classes::NONE.with(Class::Other),
    }
}

/// A kubelet redirects what is not clean, so a tail is taken at its word only when it is.
fn kubelet_classes(tail: &[u8]) -> Classes {
    let clean = |segment: &[u8]| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
        !segment.is_empty() && segment != b"." && segment != b".." && segment.iter().all(plain)
    };
    let body = tail.strip_suffix(b"/").unwrap_or(tail);
    if !body.is_empty() && !body.split(|byte| *byte == b'/').all(clean) {
        return Classes::NONE.with(Class::Exec);
    }
    let first = body.split(|byte| *byte == b'/').next().unwrap_or_default();
    let known = KUBELET.iter().find(|(name, _)| name.as_bytes() == first);
    known.map_or(Classes::NONE, |(_, class)| Classes::NONE.with(*class))
}

fn path_class(method: Method, path: &str) -> Classified {
    let reads = matches!(method, Method::Get | Method::Head);
    let below = |prefix: &&str| {
        let rest = path.strip_prefix(*prefix);
        rest.is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
    };
    let discovery = DISCOVERY.contains(&path) || DISCOVERY_BELOW.iter().any(below);
    let class = if reads && discovery { Class::Discovery } else { Class::Other };
    Classified {
        classes: Classes::NONE.with(class),
        tags: Vec::new(),
        dry_run: DryRun::No,
        name_in_body: false,
        pod_spec_in_body: false,
        upgrades: false,
    }
}

fn upgrades(attributes: &Attributes) -> bool {
    let place = (attributes.resource.as_str(), attributes.subresource.as_str());
    let stream = attributes.group.is_empty() && UPGRADES.contains(&place);
    stream || (attributes.verb == Verb::Watch && attributes.subresource.is_empty())
}

/// Classes of requests that do what they do, dry run or not: the apiserver has no such thing for
/// them, or does not look (registry/core/serviceaccount/storage/token.go).
const NEVER_DRY: [Class; 6] = [
    Class::Exec,
    Class::PortForward,
    Class::Proxy,
    Class::NodeProxy,
    Class::Token,
    Class::Impersonate,
];

fn dry_run(
    request: &Request,
    attributes: &Attributes,
    classes: Classes,
    known: bool,
) -> Result<DryRun, Refused> {
    let streams = NEVER_DRY.iter().any(|class| classes.has(*class));
    let debug = attributes.subresource == "ephemeralcontainers";
    if CHANGE & verb(attributes.verb) == 0 || (streams && !debug) {
        return Ok(DryRun::No);
    }
    let mut values = request.query.values("dryRun");
    let asked = match (values.next(), values.next()) {
        (None, _) => false,
        (Some(b"All"), None) => true,
        _ => return Err(Refused::DryRun),
    };
    // Who serves a kind that is not Kubernetes' own may store it all the same.
    if !known {
        return Ok(DryRun::No);
    }
    // A body of DeleteOptions makes the apiserver forget the query (handlers/delete.go).
    if DELETE & verb(attributes.verb) != 0 {
        return Ok(DryRun::Body { without: asked });
    }
    Ok(if asked { DryRun::Yes } else { DryRun::No })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
