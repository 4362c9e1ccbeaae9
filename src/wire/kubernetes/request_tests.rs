use super::*;

fn read<'t>(method: &str, target: &'t str) -> Result<Request<'t>, Refused> {
    Request::read(method.as_bytes(), target.as_bytes())
}

/// `verb group/version namespace resource/subresource name`, `-` for nothing.
fn line(request: &Request) -> String {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    match &request.asked {
        Asked::Path(path) => format!("{} {path}", request.verb()),
        Asked::Resource(a) => format!(
            "{} {}/{} {} {} {}",
            dash(a.verb.name()),
            dash(&a.group),
            a.version,
            dash(&a.namespace),
            a.full_resource(),
            dash(&a.name)
        ),
    }
}

fn check(method: &str, target: &str, expect: &str) {
    let request = read(method, target).unwrap_or_else(|why| panic!("{target}: {why:?}"));
    assert_eq!(line(&request), expect, "{method} {target}");
}

/// The table of apiserver/pkg/endpoints/request/requestinfo_test.go, and what lies beside it.
#[test]
fn resources_are_read_as_the_apiserver_reads_them() {
    check("GET", "/api/v1/namespaces", "list -/v1 - namespaces -");
    check("GET", "/api/v1/namespaces/other", "get -/v1 other namespaces other");
    check("GET", "/api/v1/namespaces/other/pods", "list -/v1 other pods -");
    check("GET", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods foo");
    check("HEAD", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods foo");
    check("HEAD", "/api/v1/namespaces/other/pods", "list -/v1 other pods -");
    check("GET", "/api/v1/pods", "list -/v1 - pods -");
    check("GET", "/api/v1/pods/", "list -/v1 - pods -");
    check("POST", "/api/v1/pods", "create -/v1 - pods -");
    check("DELETE", "/api/v1/namespaces/other/pods/foo", "delete -/v1 other pods foo");
    check("DELETE", "/api/v1/namespaces/other/pods", "deletecollection -/v1 other pods -");
    check("PUT", "/api/v1/namespaces/other/pods/foo", "update -/v1 other pods foo");
    check("PATCH", "/api/v1/namespaces/other/pods/foo", "patch -/v1 other pods foo");
    check("OPTIONS", "/api/v1/namespaces/other/pods", "- -/v1 other pods -");
    check("GET", "/api/v1/watch/pods", "watch -/v1 - pods -");
    check("GET", "/api/v1/watch/namespaces/other/pods", "watch -/v1 other pods -");
    check("GET", "/api/v1/pods?watch=true", "watch -/v1 - pods -");
    check("GET", "/api/v1/pods?watch=false", "list -/v1 - pods -");
    check("GET", "/api/v1/namespaces/other/pods/foo?watch=1", "get -/v1 other pods foo");
    check("GET", "/api/v1/proxy/nodes/foo/bar", "proxy -/v1 - nodes foo");
    check("GET", "/api/v1/namespaces/other/pods/foo/status", "get -/v1 other pods/status foo");
    check("PUT", "/api/v1/namespaces/other/status", "update -/v1 other namespaces/status other");
    check("PUT", "/api/v1/namespaces/o/finalize", "update -/v1 o namespaces/finalize o");
    check("GET", "/api/v1/namespaces/o/other/", "list -/v1 o other -");
    check("POST", "/api/v1/namespaces/o/pods/p/exec", "create -/v1 o pods/exec p");
    check("GET", "/apis/apps/v1/namespaces/o/deployments/d", "get apps/v1 o deployments d");
    check("GET", "/apis/apps/v1/deployments", "list apps/v1 - deployments -");
    check("GET", "/apis/g/v1/namespaces/o/things/t/sub/more", "get g/v1 o things/sub t");
    check("GET", "/api/v1/nodes/n/proxy/metrics", "get -/v1 - nodes/proxy n");
    check("GET", "/apis/r/v1/clusterroles/system:node", "get r/v1 - clusterroles system:node");
    check("GET", "/apis/r/v1/clusterroles/a%20b", "get r/v1 - clusterroles a b");
    check("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dp&watch=0", "list -/v1 - pods p");
    check("GET", "/api/v1/namespaces/status", "get -/v1 status namespaces status");
}

#[test]
fn other_paths_are_paths() {
    check("GET", "/", "get /");
    check("GET", "/api", "get /api");
    check("GET", "/api/", "get /api/");
    check("GET", "/api/v1", "get /api/v1");
    check("GET", "/apis", "get /apis");
    check("GET", "/apis/apps", "get /apis/apps");
    check("GET", "/apis/apps/v1", "get /apis/apps/v1");
    check("GET", "/apis/apps/v1/", "get /apis/apps/v1/");
    check("GET", "/healthz", "get /healthz");
    check("POST", "/API/v1/pods", "post /API/v1/pods");
    check("HEAD", "/openapi/v3/apis/apps/v1?hash=0", "head /openapi/v3/apis/apps/v1");
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    fn refused(target: &str, expect: Refused) {
        assert_eq!(read("GET", target).err(), Some(expect), "{target}");
    }
    for target in [
        "//api//v1/pods",
        "//api/v1/pods",
        "/api//v1/pods",
        "/api/v1/pods//",
        "/api/v1/./pods",
        "/api/v1/../v1/pods",
        "/healthz/../api/v1/pods",
        "/api/v1/namespaces//pods",
        "//",
    ] {
        refused(target, Refused::Segment);
    }
    for target in [
        "/api/v1/namespaces/o/secrets%2Fs",
        "/api/v1/namespaces/o/secrets%2fs",
        "/api/v1/%2e%2e/pods",
        "/api/v1/a%2Eb",
        "/api/v1/pods/a%00",
        "/api/v1/pods/a%5cb",
        "/api/v1/pods/a%2500",
        "/api/v1/pods/%",
        "/api/v1/pods/%4",
        "/api/v1/pods/%zz",
        "/api/v1/pods/a%0ab",
        "/api/v1/pods/a%7f",
    ] {
        refused(target, Refused::Escape);
    }
    for target in ["/api/v1/a b", "/api/v1/a\\b", "/api/v1/a;b", "/api/v1/p#x", "/api/v1/\u{e9}"] {
        refused(target, Refused::Bytes);
    }
    refused("/api/v1/pods/%ff", Refused::Encoding);
    refused("", Refused::NoPath);
    refused("*", Refused::NoPath);
    refused("https://other/api/v1/pods", Refused::NoPath);
    refused("api/v1/pods", Refused::NoPath);
    refused("/api/v1/watch", Refused::SpecialVerb);
    refused("/apis/apps/v1/proxy/", Refused::SpecialVerb);
    refused("/api/v1/pods?watch=1&watch=0", Refused::Twice("watch"));
    refused("/api/v1/pods?a=1;watch=1", Refused::Parameter);
    refused("/api/v1/pods?watch=fal%C5%BFe", Refused::Encoding);
    refused("/api/v1/pods?labelSelector=a&labelSelector=b", Refused::Twice("labelSelector"));
    for method in ["POST", "HEAD", "DELETE"] {
        assert_eq!(read(method, "/api/v1/watch/pods").err(), Some(Refused::SpecialVerb));
    }
    for method in ["get", "CONNECT", "TRACE", "", "GET ", "LIST"] {
        assert_eq!(read(method, "/api/v1/pods").err(), Some(Refused::Method));
    }
}

#[test]
fn the_tail_of_a_proxy_goes_on_as_it_is() {
    fn check(target: &str, tail: &str, name: &str) {
        let request = read("POST", target).unwrap();
        let Asked::Resource(attributes) = &request.asked else { panic!("{target}") };
        assert_eq!(attributes.tail, tail.as_bytes(), "{target}");
        assert_eq!(attributes.bare_name(), name, "{target}");
        assert_eq!(attributes.subresource, "proxy");
    }
    let pod = "/api/v1/namespaces/o/pods/https:web:8443/proxy";
    check(pod, "", "web");
    check(&format!("{pod}/"), "", "web");
    check(&format!("{pod}/a//b/../c%2Fd;e"), "a//b/../c%2Fd;e", "web");
    check("/api/v1/nodes/n:10250/proxy/exec/o/p/c?cmd=a;b", "exec/o/p/c", "n");
    check("/api/v1/namespaces/o/services/s/proxy//", "/", "s");
    assert_eq!(read("GET", &format!("{pod}/%zz")).err(), Some(Refused::Escape));
    assert_eq!(read("GET", &format!("{pod}/%00")).err(), Some(Refused::Escape));
    assert_eq!(read("GET", "/apis/g/v1/nodes/n/proxy/a//b").err(), Some(Refused::Segment));
    assert_eq!(read("GET", "/api/v1/pods/p/proxy/a//b").err(), Some(Refused::Segment));
}

#[test]
fn every_beginning_of_a_target_is_read_or_refused() {
    let target =
        "/api/v1/namespaces/o/pods/https:web:8443/proxy/a%2fb?fieldSelector=metadata.name%3da";
    for end in 0..=target.len() {
        let _ = read("GET", &target[..end]);
    }
}
