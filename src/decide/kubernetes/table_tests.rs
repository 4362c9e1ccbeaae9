use super::super::Class as EveryClass;
use super::*;

fn classified(line: &str) -> Classified {
    let (method, target) = line.split_once(' ').unwrap();
    let request = Request::read(method.as_bytes(), target.as_bytes()).unwrap();
    classify(&request).unwrap_or_else(|why| panic!("{line}: {why:?}"))
}

fn check(line: &str, expect: &str) {
    let classified = classified(line);
    let mut names: Vec<&str> = classified.classes.names().collect();
    names.extend(classified.tags.iter().map(|tag| tag.name()));
    assert_eq!(names.join(" "), expect, "{line}");
}

#[test]
fn reads() {
    check("GET /api/v1/namespaces/d/pods", "read");
    check("GET /api/v1/namespaces/d/pods/w", "read");
    check("GET /api/v1/namespaces/d/pods/w/status", "read");
    check("HEAD /api/v1/nodes", "read");
    check("GET /api/v1/watch/namespaces/d/pods", "read");
    check("GET /api/v1/namespaces/d/configmaps/c", "read");
    check("GET /apis/apps/v1/deployments?watch=1", "read");
    check("GET /api/v1/namespaces/d/pods/w/log?follow=1", "logs");
    check("GET /apis/metrics.k8s.io/v1beta1/nodes", "read unknown-kind");
    check("GET /apis/example.com/v1/namespaces/d/things", "read unknown-kind");
}

#[test]
fn every_answer_with_a_secret_is_a_read_of_it() {
    let secrets = "/api/v1/namespaces/d/secrets";
    check(&format!("GET {secrets}"), "secret-read");
    check(&format!("GET {secrets}/s"), "secret-read");
    check("GET /api/v1/secrets?watch=1", "secret-read");
    check("GET /api/v1/watch/secrets", "secret-read");
    check(&format!("POST {secrets}"), "secret-read write");
    check(&format!("POST {secrets}?dryRun=All"), "secret-read write dry-run");
    check(&format!("PATCH {secrets}/s"), "secret-read write");
    check(&format!("PUT {secrets}/s"), "secret-read write");
    check(&format!("DELETE {secrets}/s"), "secret-read delete");
    check(&format!("DELETE {secrets}"), "secret-read delete unbounded-write");
}

#[test]
fn streams_and_proxies() {
    let pod = "/api/v1/namespaces/d/pods/w";
    check(&format!("GET {pod}/exec?command=sh"), "exec");
    check(&format!("POST {pod}/exec?command=sh"), "exec");
    check(&format!("GET {pod}/attach"), "exec");
    check(&format!("PATCH {pod}/ephemeralcontainers"), "exec write workload");
    check(&format!("GET {pod}/portforward"), "port-forward");
    check(&format!("DELETE {pod}/proxy/x"), "proxy");
    check("GET /api/v1/namespaces/d/services/s/proxy/", "proxy");
    check("GET /api/v1/proxy/namespaces/d/pods/w/x", "proxy");
    check("GET /api/v1/proxy/nodes/n/x", "proxy node-proxy");
    for (tail, expect) in [
        ("", "node-proxy"),
        ("/", "node-proxy"),
        ("/metrics/cadvisor", "read node-proxy"),
        ("/metrics/", "read node-proxy"),
        ("/pods", "secret-read node-proxy"),
        ("/containerLogs/d/w/c", "logs node-proxy"),
        ("/exec/d/w/c", "exec node-proxy"),
        ("/run/d/w/c?cmd=id", "exec node-proxy"),
        ("/portForward/d/w", "port-forward node-proxy"),
        ("/logs/kubelet.log", "node-proxy"),
        ("/metrics/../exec/d/w/c", "exec node-proxy"),
        ("//exec/d/w/c", "exec node-proxy"),
        ("/%65xec/d/w/c", "exec node-proxy"),
        ("/metrics;x", "exec node-proxy"),
    ] {
        check(&format!("POST /api/v1/nodes/n/proxy{tail}"), expect);
    }
}

#[test]
fn writes_and_deletes() {
    check("POST /api/v1/namespaces/d/configmaps", "write");
    check("PUT /apis/apps/v1/namespaces/d/deployments/w/scale", "write");
    check("PATCH /apis/apps/v1/namespaces/d/deployments/w", "write workload");
    check("POST /api/v1/namespaces/d/pods", "write workload");
    check("POST /api/v1/namespaces/d/pods/w/eviction", "delete");
    check("DELETE /api/v1/namespaces/d/pods/w", "delete");
    check("DELETE /api/v1/namespaces/d/pods", "delete unbounded-write");
    check("DELETE /api/v1/namespaces/d", "delete unbounded-write control-plane");
    check("POST /api/v1/namespaces", "write control-plane");
    check("PUT /api/v1/namespaces/d/finalize", "write control-plane");
    check("PATCH /api/v1/nodes/n/status", "write control-plane");
    check("POST /apis/batch/v1/namespaces/d/cronjobs", "write workload");
    check("OPTIONS /api/v1/pods", "other");
}

#[test]
fn what_goes_around_the_gate() {
    check("POST /api/v1/namespaces/d/serviceaccounts/s/token", "token");
    check("POST /apis/authentication.k8s.io/v1/tokenreviews", "token");
    check("POST /apis/certificates.k8s.io/v1/certificatesigningrequests", "write csr");
    check("PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", "write csr");
    check("GET /apis/certificates.k8s.io/v1/certificatesigningrequests", "read");
    check("POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "write rbac");
    check("DELETE /apis/rbac.authorization.k8s.io/v1/clusterroles/c", "delete rbac");
    let webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    check(&format!("POST {webhooks}"), "write control-plane");
    check("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "review");
    check("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", "review");
    check("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", "write");
}

#[test]
fn paths_without_a_resource() {
    for path in ["/api", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v3/apis/apps/v1"] {
        check(&format!("GET {path}"), "discovery");
        check(&format!("POST {path}"), "other");
    }
    check("GET /readyz/etcd", "discovery");
    check("GET /", "discovery");
    for path in
        ["/metrics", "/readyzx", "/logs/", "/debug/pprof/heap", "/API/v1/secrets", "/version/x"]
    {
        check(&format!("GET {path}"), "other");
    }
}

#[test]
fn dry_runs_count_where_the_apiserver_counts_them() {
    fn dry(line: &str) -> DryRun {
        classified(line).dry_run
    }
    assert_eq!(dry("POST /api/v1/namespaces/d/pods"), DryRun::No);
    assert_eq!(dry("POST /api/v1/namespaces/d/pods?dryRun=All"), DryRun::Yes);
    assert_eq!(dry("GET /api/v1/namespaces/d/pods?dryRun=All"), DryRun::No);
    // A body of DeleteOptions, an empty one too, makes the query nothing.
    let delete = "DELETE /api/v1/namespaces/d/pods/w";
    assert_eq!(dry(delete), DryRun::Body { without: false });
    assert_eq!(dry(&format!("{delete}?dryRun=All")), DryRun::Body { without: true });
    // The token is made all the same, the command runs all the same.
    assert_eq!(dry("POST /api/v1/namespaces/d/serviceaccounts/s/token?dryRun=All"), DryRun::No);
    assert_eq!(dry("POST /api/v1/namespaces/d/pods/w/exec?command=a&dryRun=All"), DryRun::No);
    let debug = "PATCH /api/v1/namespaces/d/pods/w/ephemeralcontainers?dryRun=All";
    assert_eq!(dry(debug), DryRun::Yes);
    assert_eq!(dry("POST /apis/example.com/v1/things?dryRun=All"), DryRun::No);
    for query in ["dryRun=", "dryRun=all", "dryRun=None", "dryRun=All&dryRun=All"] {
        let target = format!("/api/v1/namespaces/d/pods?{query}");
        let request = Request::read(b"POST", target.as_bytes()).unwrap();
        assert_eq!(classify(&request), Err(Refused::DryRun), "{query}");
    }
}

#[test]
fn only_streams_watches_and_proxies_may_be_upgraded() {
    for (line, expect) in [
        ("GET /api/v1/namespaces/d/pods/w/exec?command=a", true),
        ("POST /api/v1/namespaces/d/pods/w/portforward", true),
        ("GET /api/v1/namespaces/d/pods/w/log", true),
        ("GET /api/v1/pods?watch=1", true),
        ("GET /api/v1/watch/pods", true),
        ("GET /api/v1/namespaces/d/services/s/proxy/ws", true),
        ("GET /api/v1/pods", false),
        ("GET /api/v1/nodes/n/proxy/exec/d/w/c", false),
        ("GET /apis/example.com/v1/namespaces/d/pods/w/exec", false),
        ("GET /version", false),
    ] {
        assert_eq!(classified(line).upgrades, expect, "{line}");
    }
}

/// Whatever the verb and the place, there is a class, and no stream is only a read.
#[test]
fn every_request_has_a_class() {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for kind in kinds::KINDS {
        for method in methods {
            for rest in ["", "/name", "/name/status", "/name/exec", "/name/proxy/x"] {
                let prefix = match kind.group {
                    "" => "/api/v1".to_owned(),
                    group => format!("/apis/{group}/v1"),
                };
                let namespace = if kind.namespaced { "/namespaces/d" } else { "" };
                let line = format!("{method} {prefix}{namespace}/{}{rest}", kind.resource);
                let classes = classified(&line).classes;
                assert!(!classes.is_empty(), "{line}");
                let core = kind.group.is_empty();
                let stream = core && kind.resource == "pods" && rest == "/name/exec";
                assert!(!stream || classes.has(Class::Exec), "{line}");
                let secret = core && kind.resource == "secrets" && method != "OPTIONS";
                assert!(!secret || classes.has(Class::SecretRead), "{line}");
            }
        }
    }
    assert_eq!(EveryClass::ALL.len(), 20);
}
