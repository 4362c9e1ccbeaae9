//! What rules and masks ask of a request: verbs, resources, namespaces, names, as facts.
//!
//! In: a request, the name in its body where that is known; patterns. Out: facts of an act; whether
//! a pattern means a resource.
//! Never: a list of all namespaces that escapes a rule about one of them. A collection holds
//! objects that a pattern means and others: enough to deny or to hold, not enough to allow.

use super::kinds;
use crate::decide::{Fact, FactKind};
use crate::wire::kubernetes::request::{Asked, Attributes, Request, Verb};

/// What a body says of the name of what it creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'n> {
    /// Nothing, or it was not read.
    Unknown,
    /// This.
    Is(&'n str),
    /// The server makes one that begins so.
    Begins(&'n str),
}

impl Named<'_> {
    fn fact(self, kind: FactKind) -> Option<Fact> {
        match self {
            Named::Unknown => None,
            Named::Is(name) => Some(Fact::is(kind, name)),
            Named::Begins(root) => Some(Fact::below(kind, root)),
        }
    }
}

/// The facts of a request. `name` is the one in the body, where that is known.
pub fn facts(request: &Request, name: Named<'_>) -> Vec<Fact> {
    let mut facts = vec![Fact::is(FactKind::Verb, request.verb())];
    let attributes = match &request.asked {
        Asked::Path(path) => {
            facts.push(Fact::is(FactKind::Path, path));
            return facts;
        }
        Asked::Resource(attributes) => attributes,
    };
    facts.push(path(attributes));
    let implied = Verb::ALL.into_iter().filter(|verb| may_imply(attributes, verb.name()));
    facts.extend(implied.map(|verb| Fact::maybe(FactKind::Verb, verb.name())));
    let Attributes { group, resource, subresource, .. } = &**attributes;
    facts.push(Fact::is(FactKind::Resource, place(group, resource, subresource)));
    // A `status` shows and changes the object itself: whoever denies or masks it means that, too.
    if !OTHERS.contains(&subresource.as_str()) {
        facts.push(Fact::maybe(FactKind::Resource, place(group, resource, "")));
    }
    facts.extend(namespace(attributes, name));
    facts.extend(names(attributes, name));
    facts
}

/// Subresources that are something else than the object itself.
const OTHERS: [&str; 6] = ["", "exec", "attach", "portforward", "proxy", "log"];

/// The path of a resource; it is not clear where a part of it goes on to somebody else.
fn path(attributes: &Attributes) -> Fact {
    if attributes.special || !attributes.tail.is_empty() {
        return Fact::unclear(FactKind::Path);
    }
    let mut path = match attributes.group.as_str() {
        "" => "/api".to_owned(),
        group => format!("/apis/{group}"),
    };
    let namespaces = attributes.resource == "namespaces";
    let place = match attributes.namespace.as_str() {
        "" => ["", ""],
        _ if namespaces => ["", ""],
        namespace => ["namespaces", namespace],
    };
    let of = [&attributes.resource, &attributes.name, &attributes.subresource].map(String::as_str);
    for part in [attributes.version.as_str()].into_iter().chain(place).chain(of) {
        if !part.is_empty() {
            path.push('/');
            path.push_str(part);
        }
    }
    Fact::is(FactKind::Path, path)
}

/// `RESOURCE.GROUP/SUBRESOURCE`, the group without a name as `core`.
pub(super) fn place(group: &str, resource: &str, subresource: &str) -> String {
    let group = match group {
        "" => "core",
        group => group,
    };
    match subresource {
        "" => format!("{resource}.{group}"),
        subresource => format!("{resource}.{group}/{subresource}"),
    }
}

/// Where it is: a namespace, all of them, or none, as with nodes.
fn namespace(attributes: &Attributes, name: Named<'_>) -> Option<Fact> {
    let namespaces = attributes.group.is_empty() && attributes.resource == "namespaces";
    if !attributes.namespace.is_empty() {
        return Some(Fact::is(FactKind::Namespace, &attributes.namespace));
    }
    if namespaces && let Some(fact) = name.fact(FactKind::Namespace) {
        return Some(fact);
    }
    let kind = kinds::find(&attributes.group, &attributes.resource);
    let nowhere = kind.is_some_and(|kind| !kind.namespaced) && !namespaces;
    (!nowhere).then(|| Fact::every(FactKind::Namespace))
}

/// Which object it is: one, or all of a collection. A proxy's name may have a scheme and a port.
fn names(attributes: &Attributes, name: Named<'_>) -> Vec<Fact> {
    if is_review(attributes) {
        return Vec::new();
    }
    if attributes.name.is_empty()
        && let Some(fact) = name.fact(FactKind::Name)
    {
        return vec![fact];
    }
    let bare = attributes.bare_name();
    if bare.is_empty() {
        return vec![Fact::every(FactKind::Name)];
    }
    let mut names = vec![Fact::is(FactKind::Name, bare)];
    if !attributes.name.is_empty() && bare != attributes.name {
        names.push(Fact::maybe(FactKind::Name, &attributes.name));
    }
    names
}

/// A review is a question (`kubectl auth can-i`): it is no object, and never has a name.
fn is_review(attributes: &Attributes) -> bool {
    let reviews =
        matches!(attributes.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io");
    reviews && attributes.verb == Verb::Create && attributes.resource.ends_with("reviews")
}

/// Whether a request may do what another verb is for: an apply and a PUT create what is not there,
/// a collection is deleted object by object, a list shows what a get shows, and a stream is asked
/// for by GET or by POST.
fn may_imply(attributes: &Attributes, wanted: &str) -> bool {
    let streams = attributes.group.is_empty()
        && matches!(attributes.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy");
    match attributes.verb {
        Verb::Update | Verb::Patch => wanted == "create",
        Verb::DeleteCollection => wanted == "delete",
        Verb::List => wanted == "get",
        // A watch begins with all there is.
        Verb::Watch => wanted == "get" || wanted == "list",
        Verb::Get => streams && wanted == "create",
        // What is evicted is deleted.
        Verb::Create if attributes.subresource == "eviction" => wanted == "delete",
        Verb::Create => streams && wanted == "get",
        Verb::Delete | Verb::Proxy | Verb::Empty => false,
    }
}

/// `RESOURCE[.GROUP][/SUBRESOURCE]`, any part `*`; `*` alone is everything, and `core` is the group
/// without a name. As in RBAC, a resource does not mean its subresources; of those that are the
/// object itself there is a fact more. `place` is what a fact says.
pub fn resource_meets(pattern: &str, place: &[u8]) -> bool {
    if pattern == "*" {
        return true;
    }
    let Ok(place) = std::str::from_utf8(place) else { return false };
    let halves = |text| str::split_once(text, '/').unwrap_or((text, ""));
    let (wanted, wanted_sub) = halves(pattern);
    let (found, found_sub) = halves(place);
    let (resource, group) = found.split_once('.').unwrap_or((found, "core"));
    let one = |pattern: &str, text: &str| pattern == "*" || pattern == text;
    let meets = match wanted.split_once('.') {
        Some((wanted, wanted_group)) => one(wanted, resource) && one(wanted_group, group),
        None => one(wanted, resource),
    };
    meets && one(wanted_sub, found_sub)
}

/// What is wrong with a pattern of a configuration, if anything: one that can match nothing.
pub fn resource_pattern_fault(pattern: &str) -> Option<&'static str> {
    let parts = pattern.split('/').count();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*/".contains(c);
    if pattern.is_empty() || pattern.starts_with(['/', '.']) || pattern.ends_with(['/', '.']) {
        Some("a resource is RESOURCE[.GROUP][/SUBRESOURCE]")
    } else if parts > 2 {
        Some("a resource has one subresource at most")
    } else if !pattern.chars().all(letters) {
        Some("resources are written in lower case, in the plural")
    } else if pattern.split(['/', '.']).any(|part| part.len() > 1 && part.contains('*')) {
        Some("a star stands for a whole resource, group or subresource")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::settings::{Effect, RuleSpec};
    use crate::decide::rules::{Rules, Who};
    use crate::decide::{Action, ClassSet, Commands, Verdict};
    use crate::identify::{Identity, Method};
    use crate::wire::Protocol;

    /// How much of what a request touches conditions mean.
    #[derive(Debug, PartialEq, Eq)]
    enum Fit {
        /// Neither effect matches.
        No,
        /// A denial matches, an allowance does not.
        Some,
        /// Both match.
        All,
    }

    fn fit(fields: [&[&str]; 4], line: &str, name: Option<&str>) -> Fit {
        fit_named(fields, line, name.map_or(Named::Unknown, Named::Is))
    }

    fn fit_named(fields: [&[&str]; 4], line: &str, name: Named<'_>) -> Fit {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request::read(method.as_bytes(), target.as_bytes()).unwrap();
        let classes: ClassSet = super::super::Class::Read.into();
        let act = crate::decide::Act {
            classes,
            facts: facts(&request, name),
            ..crate::decide::Act::default()
        };
        let action = Action::new(Protocol::Kubernetes, vec![act]);
        let kinds = [FactKind::Verb, FactKind::Resource, FactKind::Namespace, FactKind::Name];
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let facts = kinds.into_iter().zip(fields.map(texts)).collect::<Vec<(_, Vec<String>)>>();
        let spec = |name: &str, then: Effect| RuleSpec {
            name: name.into(),
            users: vec![],
            groups: vec![],
            targets: vec![],
            roles: vec![],
            sources: vec![],
            commands: Commands::default(),
            touches: vec![],
            facts: facts.clone(),
            minutes_utc: None,
            then,
        };
        let (user, groups) = ("a".to_owned(), vec![]);
        let identity = Identity { user, groups, method: Method::Basic };
        let who = Who {
            identity: &identity,
            target: "t",
            role: "r",
            source: [127, 0, 0, 1].into(),
            wall_us: 0,
        };
        let allows = Rules::compile(&[spec("a", Effect::Allow)]).decide(&who, &action);
        let everything = RuleSpec { facts: vec![], ..spec("b", Effect::Allow) };
        let denies = Rules::compile(&[spec("d", Effect::Deny(None)), everything]);
        match (allows, denies.decide(&who, &action)) {
            (Verdict::Allow(..), Verdict::Deny(_)) => Fit::All,
            (_, Verdict::Deny(_)) => Fit::Some,
            _ => Fit::No,
        }
    }

    fn check(fields: [&[&str]; 4], line: &str, expect: Fit) {
        assert_eq!(fit(fields, line, None), expect, "{fields:?} {line}");
    }

    #[test]
    fn verbs_and_what_they_imply() {
        check([&[], &[], &[], &[]], "GET /version", Fit::All);
        check([&["get"], &[], &[], &[]], "GET /version", Fit::All);
        check([&["post"], &[], &[], &[]], "GET /version", Fit::No);
        check([&["get"], &[], &[], &[]], "GET /api/v1/pods", Fit::Some);
        check([&["list"], &[], &[], &[]], "GET /api/v1/pods", Fit::All);
        check([&["list"], &[], &[], &[]], "GET /api/v1/watch/pods", Fit::Some);
        check([&["delete"], &[], &[], &[]], "DELETE /api/v1/pods", Fit::Some);
        check([&["create"], &[], &[], &[]], "PATCH /api/v1/nodes/n", Fit::Some);
        check([&["update"], &[], &[], &[]], "PATCH /api/v1/nodes/n", Fit::No);
        let exec = "/api/v1/namespaces/d/pods/p/exec";
        check([&["create"], &["pods/exec"], &[], &[]], &format!("GET {exec}"), Fit::Some);
        check([&["get"], &["pods/exec"], &[], &[]], &format!("POST {exec}"), Fit::Some);
        check([&["*"], &["pods/exec"], &[], &[]], &format!("POST {exec}"), Fit::All);
        check([&["delete"], &[], &[], &[]], EVICT, Fit::Some);
        check([&["create"], &[], &[], &[]], EVICT, Fit::All);
    }

    const EVICT: &str = "POST /api/v1/namespaces/d/pods/p/eviction";

    #[test]
    fn resources() {
        let scale = "PUT /apis/apps/v1/namespaces/d/deployments/w/scale";
        check([&[], &["deployments"], &[], &[]], scale, Fit::Some);
        check([&["delete"], &["pods"], &[], &[]], EVICT, Fit::Some);
        for sub in ["status", "ephemeralcontainers", "resize", "binding"] {
            let line = format!("GET /api/v1/namespaces/d/pods/w/{sub}");
            check([&[], &["pods"], &[], &[]], &line, Fit::Some);
        }
        for sub in ["log", "exec", "attach", "portforward", "proxy"] {
            let line = format!("GET /api/v1/namespaces/d/pods/w/{sub}");
            check([&[], &["pods"], &[], &[]], &line, Fit::No);
        }
        check([&[], &["deployments/scale"], &[], &[]], scale, Fit::All);
        check([&[], &["deployments/*"], &[], &[]], scale, Fit::All);
        check([&[], &["*/scale"], &[], &[]], scale, Fit::All);
        check([&[], &["deployments.apps/scale"], &[], &[]], scale, Fit::All);
        check([&[], &["deployments.core/scale"], &[], &[]], scale, Fit::No);
        check([&[], &["*"], &[], &[]], scale, Fit::All);
        check([&[], &["pods.core"], &[], &[]], "GET /api/v1/pods", Fit::All);
        check([&[], &["pods.core"], &[], &[]], "GET /apis/m/v1/pods", Fit::No);
        check([&[], &["pods"], &[], &[]], "GET /healthz", Fit::No);
    }

    #[test]
    fn a_collection_is_never_all_of_what_a_pattern_means() {
        let prod: [&[&str]; 4] = [&[], &[], &["prod-*"], &[]];
        check(prod, "GET /api/v1/namespaces/prod-1/secrets", Fit::All);
        check(prod, "GET /api/v1/namespaces/dev/secrets", Fit::No);
        check(prod, "GET /api/v1/secrets", Fit::Some);
        check(prod, "GET /api/v1/nodes", Fit::No);
        check(prod, "GET /api/v1/namespaces", Fit::Some);
        check(prod, "DELETE /api/v1/namespaces/prod-1", Fit::All);
        check(prod, "GET /apis/example.com/v1/things", Fit::Some);
        let named: [&[&str]; 4] = [&[], &[], &[], &["db-*"]];
        check(named, "GET /api/v1/namespaces/d/pods/db-0", Fit::All);
        check(named, "GET /api/v1/namespaces/d/pods/web", Fit::No);
        check(named, "DELETE /api/v1/namespaces/d/pods", Fit::Some);
        check(named, "GET /api/v1/namespaces/d/pods/https:db-0:443/proxy/", Fit::All);
        check(named, "GET /api/v1/namespaces/d/pods?fieldSelector=metadata.name=db-0", Fit::All);
        let can = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        check(named, can, Fit::No);
        check(named, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews", Fit::No);
        check(named, "POST /apis/ex.io/v1/namespaces/d/reviews", Fit::Some);
    }

    #[test]
    fn the_name_in_a_body_counts_where_the_path_has_none() {
        let rule: [&[&str]; 4] = [&[], &[], &[], &["db-*"]];
        let line = "POST /api/v1/namespaces/d/pods";
        assert_eq!(fit(rule, line, None), Fit::Some);
        assert_eq!(fit(rule, line, Some("db-0")), Fit::All);
        assert_eq!(fit(rule, line, Some("web")), Fit::No);
        let prod: [&[&str]; 4] = [&[], &[], &["prod-*"], &[]];
        assert_eq!(fit(prod, "POST /api/v1/namespaces", Some("prod-2")), Fit::All);
        assert_eq!(fit(prod, "POST /api/v1/namespaces", Some("dev")), Fit::No);
    }

    #[test]
    fn a_name_that_the_server_makes_is_met_by_what_it_may_be() {
        let check = |pattern: &str, root: &str, expect: Fit| {
            let rule: [&[&str]; 4] = [&[], &[], &[], &[pattern]];
            let line = "POST /api/v1/namespaces/d/pods";
            assert_eq!(fit_named(rule, line, Named::Begins(root)), expect, "{pattern} {root}");
        };
        check("protected*", "build-", Fit::No);
        check("protected*", "protected-", Fit::All);
        check("protected*", "prot", Fit::Some);
        check("build-abc", "build-", Fit::Some);
        check("*-x", "build-", Fit::Some);
        check("build", "build-", Fit::No);
        check("*", "build-", Fit::All);
        let prod: [&[&str]; 4] = [&[], &[], &["prod-*"], &[]];
        let line = "POST /api/v1/namespaces";
        assert_eq!(fit_named(prod, line, Named::Begins("dev-")), Fit::No);
        assert_eq!(fit_named(prod, line, Named::Begins("pro")), Fit::Some);
    }

    #[test]
    fn patterns_that_mean_nothing_are_found() {
        for good in ["pods", "*", "pods/*", "*/scale", "a.b.c/d", "secrets.core"] {
            assert_eq!(resource_pattern_fault(good), None, "{good}");
        }
        for bad in ["", "Pod", "pods/exec/x", "/exec", "pod*", "pods/", "pods exec", "a."] {
            assert!(resource_pattern_fault(bad).is_some(), "{bad}");
        }
    }
}
