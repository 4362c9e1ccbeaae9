//! Request lines: weir reads them as the apiserver's own RequestInfo does, or refuses them.
//!
//! `WEIR_FUZZ_SEED` and `WEIR_FUZZ_ROUNDS` make it search elsewhere and longer.

use serde_json::Value;
use weir::wire::kubernetes::request::{Asked, Attributes, Request};

use super::bed;

/// What clients send: none of it may be refused.
const SENT: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/api"),
    ("GET", "/apis?timeout=32s"),
    ("GET", "/api/v1?timeout=32s"),
    ("GET", "/apis/apps/v1"),
    ("GET", "/version?timeout=32s"),
    ("GET", "/openapi/v3/apis/apps/v1?hash=0B97A34F"),
    ("GET", "/healthz/poststarthook/rbac/bootstrap-roles"),
    ("GET", "/livez?verbose"),
    ("GET", "/api/v1/namespaces/default/pods?limit=500"),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1%2Cstatus.phase%21%3DRunning"),
    ("GET", "/api/v1/namespaces/d/pods?fieldSelector=metadata.name%3Dweb&watch=true"),
    ("GET", "/api/v1/namespaces/d/pods?labelSelector=app+in+%28a%2Cb%29%2C%21c&watch=1"),
    ("GET", "/api/v1/watch/namespaces/default/pods/web?resourceVersion=1"),
    ("GET", "/api/v1/namespaces/default"),
    ("PUT", "/api/v1/namespaces/default/finalize"),
    ("GET", "/api/v1/namespaces/default/pods/web/log?follow=true&container=c&tailLines=5"),
    (
        "POST",
        "/api/v1/namespaces/d/pods/w/exec?command=sh&command=-c&command=echo+%24%281%29&tty=1",
    ),
    ("GET", "/api/v1/namespaces/d/pods/w/exec?command=%ff&stdin=true&stdout=true&container=c"),
    ("POST", "/api/v1/namespaces/d/pods/w/portforward?ports=80"),
    ("GET", "/api/v1/namespaces/d/services/https:web:443/proxy/a//b/%2e%2e?x=1;y=2&%zz=1"),
    ("POST", "/api/v1/nodes/https:n:10250/proxy/run/d/w/c?cmd=id"),
    ("PATCH", "/apis/apps/v1/namespaces/d/deployments/w?fieldManager=kubectl&force=true"),
    ("DELETE", "/api/v1/namespaces/d/pods?labelSelector=a%3Db"),
    ("DELETE", "/api/v1/namespaces/d/secrets/s?propagationPolicy=Background"),
    ("POST", "/api/v1/namespaces/d/serviceaccounts/s/token"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:controller:job-controller"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/my%20role%3B"),
    ("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/d/pods"),
    ("GET", "/apis/example.com/v1/namespaces/d/things/t/scale/"),
];

/// What is made to be read in two ways. Most of it is refused; what is not must be read alike.
const MADE: &[(&str, &str)] = &[
    ("GET", "//api//v1/pods"),
    ("GET", "/api/v1/namespaces/d/secrets%2Fs"),
    ("GET", "/api/v1/namespaces/d/secrets/%2e%2e/pods"),
    ("GET", "/api/v1/watch"),
    ("POST", "/api/v1/watch/pods"),
    ("GET", "/api/v1/proxy/namespaces/d/pods/w/exec"),
    ("GET", "/api/watch/watch/watch/watch"),
    ("GET", "/apis/watch/proxy/watch/proxy/watch/proxy"),
    ("GET", "/api/v1/namespaces/namespaces/namespaces/namespaces"),
    ("GET", "/api/v1/namespaces/status/status/status"),
    ("GET", "/api/v1/namespaces/d/pods/w/proxy"),
    ("GET", "/api/v1/pods?watch=&watch=0"),
    ("GET", "/api/v1/pods?watch"),
    ("GET", "/api/v1/pods?%77atch=fAlse"),
    ("GET", "/api/v1/pods?watch=fal%c5%bfe"),
    ("GET", "/api/v1/pods?watch=1;a=b"),
    ("GET", "/api/v1/pods?a=b;watch=1"),
    ("GET", "/api/v1/pods?watch=%zz&limit=1"),
    ("GET", "/api/v1/pods?limit=x&fieldSelector=metadata.name=w&watch=1"),
    ("GET", "/api/v1/pods?fieldSelector=metadata.name=w,metadata.name=v"),
    ("GET", "/api/v1/pods?fieldSelector=metadata.name=%2e%2e"),
    ("GET", "/api/v1/pods?fieldSelector=metadata.name==w&labelSelector=a=b=c"),
    ("GET", "/api/v1/pods?labelSelector=%20&fieldSelector=metadata.name=w"),
    ("GET", "/api/v1/pods?fieldSelector=x=%5c,metadata.name=w"),
    ("DELETE", "/api/v1/pods?fieldSelector=metadata.name=w"),
    ("HEAD", "/api/v1/pods?watch=1"),
    ("OPTIONS", "/api/v1/pods"),
    ("GET", "/api/v1/pods?#a"),
    ("GET", "/api/v1/pods??watch=1"),
    ("GET", "/api/v1/pods/?watch=1&"),
    ("GET", "/api/v1/pods/%e2%98%83"),
    ("GET", "/api/v1/pods/%ff"),
    ("GET", "/API/v1/pods"),
    ("GET", "/apis/apps//v1/deployments"),
    ("GET", "/api/v1/nodes/n/proxy//"),
    ("GET", "/api/v1/nodes/n/proxy/%2f%2f/"),
    ("GET", "/api/v1/nodes/n/proxy/%zz"),
];

const SEGMENTS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "apps",
    "watch",
    "proxy",
    "namespaces",
    "status",
    "finalize",
    "pods",
    "services",
    "nodes",
    "secrets",
    "d",
    "web",
    "exec",
    "log",
    "",
    ".",
    "..",
    "%2e",
    "%2F",
    "%41",
    "a%20b",
    "a;b",
    "%",
    "%zz",
    "%e2%98%83",
    "%ff",
    "a:b",
    "https:w:1",
    "*",
    "~",
    "a+b",
    "API",
    "x#y",
];
const NAMES: &[&str] = &[
    "watch",
    "fieldSelector",
    "labelSelector",
    "limit",
    "timeoutSeconds",
    "dryRun",
    "command",
    "%77atch",
    "Watch",
    "",
    "continue",
    "fieldselector",
    "allowWatchBookmarks",
    "shardSelector",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "true",
    "false",
    "FALSE",
    "fal%c5%bfe",
    "metadata.name=w",
    "metadata.name%3Dw",
    "metadata.name%3D%3Dw",
    "metadata.name!=w",
    "metadata.name=w,metadata.name=v",
    "metadata.name=",
    "metadata.name=a%2Fb",
    "metadata.name=a%5C%2Cb",
    "metadata.name",
    "x=y,metadata.name=w",
    "a=b",
    "a+in+(b,c)",
    "a+notin+(b)",
    "!a",
    "a>1",
    "a,",
    "-",
    "a=b=c",
    "in+in+(in)",
    "a.b/c",
    "A.b/c=d",
    "All",
    "500",
    "+5",
    "9223372036854775808",
    "1_0",
    "%",
    "%zz",
    "a;b",
    "%ff",
    "a%26watch%3D1",
    "=",
];
const METHODS: &[&str] =
    &["GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "TRACE"];

#[test]
fn what_clients_send_is_read_as_the_apiserver_reads_it() {
    let sent: Vec<_> = SENT.iter().map(|(m, t)| ((*m).to_owned(), t.as_bytes().to_vec())).collect();
    let refused = compare(&sent);
    assert_eq!(refused, 0, "clients send it, and it is refused");
}

#[test]
fn what_is_made_to_deceive_is_read_alike_or_refused() {
    let made: Vec<_> = MADE.iter().map(|(m, t)| ((*m).to_owned(), t.as_bytes().to_vec())).collect();
    let refused = compare(&made);
    assert!(refused > 10 && refused < made.len(), "{refused} refused of {}", made.len());
}

#[test]
fn random_requests_are_read_alike_or_refused() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let mut random = Random(number("WEIR_FUZZ_SEED", 1));
    let rounds = number("WEIR_FUZZ_ROUNDS", 60_000);
    let mut refused = 0;
    let mut done = 0;
    while done < rounds {
        let requests: Vec<_> = (0..20_000).map(|_| random.request()).collect();
        refused += compare(&requests);
        done += 20_000;
    }
    // A generator whose requests are all refused compares nothing.
    assert!((refused as u64) < done * 9 / 10, "{refused} of {done} refused");
    eprintln!("{done} requests, {refused} refused");
}

/// Compares both readings, and returns how many requests weir refuses.
fn compare(requests: &[(String, Vec<u8>)]) -> usize {
    let lines: Vec<String> = requests
        .iter()
        .map(|(method, target)| {
            let hex: String = target.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{method} {hex}")
        })
        .collect();
    let answers = bed::oracle("requestinfo", &lines);
    let mut refused = 0;
    for ((method, target), answer) in requests.iter().zip(answers) {
        let shown = format!("{method} {}", target.escape_ascii());
        match Request::read(method.as_bytes(), target) {
            Err(_) => refused += 1,
            Ok(request) => same(&shown, &request, &answer),
        }
    }
    refused
}

fn same(shown: &str, request: &Request, answer: &Value) {
    assert!(answer["error"].is_null(), "{shown}: {answer}\n{request:?}");
    let info = &answer["info"];
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(request.verb(), text("Verb"), "{shown}");
    match &request.asked {
        Asked::Path(path) => {
            assert_eq!(info["IsResourceRequest"], false, "{shown}");
            assert_eq!(*path, text("Path"), "{shown}");
        }
        Asked::Resource(attributes) => {
            assert_eq!(info["IsResourceRequest"], true, "{shown}");
            let selector = |name: &str| info[name].as_str().filter(|s| !s.is_empty());
            let own = |selector: &Option<String>| selector.clone().filter(|s| !s.is_empty());
            for (field, ours) in [
                ("APIGroup", &attributes.group),
                ("APIVersion", &attributes.version),
                ("Namespace", &attributes.namespace),
                ("Resource", &attributes.resource),
                ("Subresource", &attributes.subresource),
                ("Name", &attributes.name),
            ] {
                assert_eq!(*ours, text(field), "{shown}: {field}");
            }
            assert_eq!(own(&attributes.field_selector).as_deref(), selector("FieldSelector"));
            assert_eq!(own(&attributes.label_selector).as_deref(), selector("LabelSelector"));
            same_parts(shown, attributes, info);
        }
    }
    if answer["binary"] != true {
        same_query(shown, request, &answer["query"]);
    }
}

/// The tail of a proxy belongs to whoever is behind it; Go splits its decoded form.
fn same_parts(shown: &str, attributes: &Attributes, info: &Value) {
    let parts: Vec<&str> =
        info["Parts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if attributes.tail.is_empty() {
        assert_eq!(attributes.parts, parts, "{shown}");
    } else {
        assert_eq!(attributes.parts, parts[..3], "{shown}");
    }
}

fn same_query(shown: &str, request: &Request, query: &Value) {
    let empty = serde_json::Map::new();
    let theirs = query.as_object().unwrap_or(&empty);
    let mut names = 0;
    for (name, values) in theirs {
        let values: Vec<&[u8]> = values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::as_bytes))
            .collect();
        assert_eq!(request.query.values(name).collect::<Vec<_>>(), values, "{shown}: {name}");
        names += values.len();
    }
    assert_eq!(request.query.pairs().count(), names, "{shown}: more parameters than Go reads");
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    /// A request that is mostly one: a good beginning, then anything.
    fn request(&mut self) -> (String, Vec<u8>) {
        let mut target = String::new();
        match self.below(8) {
            0 => {}
            1 => target.push_str("/apis/apps/v1"),
            2 => target.push_str("/api/v1/namespaces/d"),
            3 => target.push_str("/api/v1/namespaces/d/pods/w/proxy"),
            4 => target.push_str("/api/v1/nodes/n"),
            _ => target.push_str("/api/v1"),
        }
        // Most segments are plain, or nearly everything would be refused.
        for _ in 0..self.below(5) {
            target.push('/');
            let bound = if self.below(5) == 0 { SEGMENTS.len() } else { 17 };
            target.push_str(SEGMENTS[self.below(bound)]);
        }
        if self.below(8) == 0 {
            target.push('/');
        }
        for index in 0..self.below(4) {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(self.of(NAMES));
            if self.below(8) > 0 {
                target.push('=');
            }
            target.push_str(self.of(VALUES));
        }
        let mut bytes = target.into_bytes();
        for _ in 0..self.below(12) / 10 {
            let at = self.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = self.next() as u8;
            }
        }
        (self.of(METHODS).to_owned(), bytes)
    }
}
