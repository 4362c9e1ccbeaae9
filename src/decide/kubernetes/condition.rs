//! What rules and masks ask of a request: verbs, resources, namespaces, names.
//!
//! In: patterns of the configuration, a request, the name in its body where that is known. Out:
//! whether the request is meant altogether, may be meant, or is not.
//! Never: a list of all namespaces that escapes a rule about one of them. A collection holds
//! objects that a pattern means and others, so it fits `Some`: enough to deny or to hold, not
//! enough to allow.

use super::kinds;
use crate::identify::glob::glob;
use crate::wire::kubernetes::request::{Asked, Attributes, Request, Verb};

/// How much of what a request touches a condition means. Ordered: the least of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Nothing.
    No,
    /// Something, or it cannot be told: deny and hold match, allow does not.
    Some,
    /// All of it.
    All,
}

/// Conditions of one rule; an empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Verbs of RBAC, `*` for any.
    pub verbs: Vec<String>,
    /// `pods`, `pods/exec`, `pods/*`, `*/scale`, `deployments.apps`, `secrets.core`, `*`.
    pub resources: Vec<String>,
    /// Patterns with stars.
    pub namespaces: Vec<String>,
    /// Patterns with stars.
    pub names: Vec<String>,
}

impl Condition {
    /// How much of the request it means. `name` is the one in the body, where that is known.
    pub fn fit(&self, request: &Request, name: Option<&str>) -> Fit {
        let verbs = self.verbs_fit(request);
        let attributes = match &request.asked {
            Asked::Path(_) => {
                let asks = [&self.resources, &self.namespaces, &self.names];
                return if asks.iter().all(|list| list.is_empty()) { verbs } else { Fit::No };
            }
            Asked::Resource(attributes) => attributes,
        };
        let resources = best(&self.resources, |pattern| {
            if resource_matches(pattern, attributes) { Fit::All } else { Fit::No }
        });
        verbs
            .min(resources)
            .min(self.namespaces_fit(attributes, name))
            .min(self.names_fit(attributes, name))
    }

    fn verbs_fit(&self, request: &Request) -> Fit {
        best(&self.verbs, |wanted| {
            let verb = request.verb();
            if wanted == "*" || wanted == verb {
                return Fit::All;
            }
            let attributes = request.resource();
            let implied = attributes.is_some_and(|a| may_imply(a, wanted));
            if implied { Fit::Some } else { Fit::No }
        })
    }

    fn namespaces_fit(&self, attributes: &Attributes, name: Option<&str>) -> Fit {
        let namespaces = attributes.group.is_empty() && attributes.resource == "namespaces";
        let namespace = match (attributes.namespace.as_str(), name) {
            ("", Some(name)) if namespaces => name,
            (namespace, _) => namespace,
        };
        best(&self.namespaces, |pattern| {
            if !namespace.is_empty() {
                return if glob(pattern, namespace) { Fit::All } else { Fit::No };
            }
            if pattern == "*" {
                return Fit::All;
            }
            let kind = kinds::find(&attributes.group, &attributes.resource);
            let nowhere = kind.is_some_and(|kind| !kind.namespaced) && !namespaces;
            if nowhere { Fit::No } else { Fit::Some }
        })
    }

    fn names_fit(&self, attributes: &Attributes, name: Option<&str>) -> Fit {
        let bare = match name {
            Some(name) if attributes.name.is_empty() => name,
            _ => attributes.bare_name(),
        };
        best(&self.names, |pattern| match bare {
            "" if pattern == "*" => Fit::All,
            "" => Fit::Some,
            _ if glob(pattern, bare) || glob(pattern, &attributes.name) => Fit::All,
            _ => Fit::No,
        })
    }
}

/// The best of a list of patterns; without patterns nothing is asked.
fn best(patterns: &[String], fit: impl Fn(&str) -> Fit) -> Fit {
    patterns.iter().map(|pattern| fit(pattern)).max().unwrap_or(Fit::All)
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
        Verb::Create => streams && wanted == "get",
        Verb::Delete | Verb::Proxy | Verb::Empty => false,
    }
}

/// `RESOURCE[.GROUP][/SUBRESOURCE]`, either part `*`; `*` alone is everything, and `core` is the
/// group without a name. As in RBAC, a resource does not mean its subresources.
pub fn resource_matches(pattern: &str, attributes: &Attributes) -> bool {
    if pattern == "*" {
        return true;
    }
    let (place, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    let (resource, group) = match place.split_once('.') {
        Some((resource, "core")) => (resource, Some("")),
        Some((resource, group)) => (resource, Some(group)),
        None => (place, None),
    };
    let one = |pattern: &str, text: &str| pattern == "*" || pattern == text;
    one(resource, &attributes.resource)
        && one(subresource, &attributes.subresource)
        && group.is_none_or(|group| one(group, &attributes.group))
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

    fn condition(fields: [&[&str]; 4]) -> Condition {
        let [verbs, resources, namespaces, names] =
            fields.map(|list| list.iter().map(|text| (*text).to_owned()).collect());
        Condition { verbs, resources, namespaces, names }
    }

    fn check(fields: [&[&str]; 4], line: &str, expect: Fit) {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request::read(method.as_bytes(), target.as_bytes()).unwrap();
        assert_eq!(condition(fields).fit(&request, None), expect, "{fields:?} {line}");
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
    }

    #[test]
    fn resources() {
        let scale = "PUT /apis/apps/v1/namespaces/d/deployments/w/scale";
        check([&[], &["deployments"], &[], &[]], scale, Fit::No);
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
    }

    #[test]
    fn the_name_in_a_body_counts_where_the_path_has_none() {
        let line = b"/api/v1/namespaces/d/pods";
        let request = Request::read(b"POST", line).unwrap();
        let rule = condition([&[], &[], &[], &["db-*"]]);
        assert_eq!(rule.fit(&request, None), Fit::Some);
        assert_eq!(rule.fit(&request, Some("db-0")), Fit::All);
        assert_eq!(rule.fit(&request, Some("web")), Fit::No);
        let create = Request::read(b"POST", b"/api/v1/namespaces").unwrap();
        let prod = condition([&[], &[], &["prod-*"], &[]]);
        assert_eq!(prod.fit(&create, Some("prod-2")), Fit::All);
        assert_eq!(prod.fit(&create, Some("dev")), Fit::No);
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
