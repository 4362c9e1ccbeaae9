use super::*;

/// The example for clusters, with files of the test in the place of those that an operator has.
struct Example {
    settings: Settings,
    folder: PathBuf,
}

impl Example {
    fn new(name: &str) -> Example {
        let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in [
            ("cluster-ca.pem", include_str!("../shard/testdata/ca.pem")),
            ("server.pem", include_str!("../shard/testdata/server.pem")),
            ("server.key", include_str!("../shard/testdata/server.key")),
            ("impersonator", "a token"),
        ] {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let place = folder.display().to_string();
        let text = include_str!("../../appliance/examples/kubernetes.toml");
        let text = text.replace("/etc/weir", &place).replace("/run/secrets", &place);
        let config = folder.join("kubernetes.toml");
        std::fs::write(&config, text).unwrap();
        let (settings, warnings) = load_without_secrets(&config).unwrap();
        let warned: Vec<String> = warnings.iter().map(|warning| warning.found.clone()).collect();
        assert!(warned.is_empty(), "{warned:?}");
        Example { settings, folder }
    }

    /// What `weir policy test` says: the verdict, and the rule that gave it.
    fn ask(&self, group: &str, text: &str) -> String {
        let test = Test {
            text: text.to_owned(),
            request: None,
            user: "somebody".to_owned(),
            groups: vec![group.to_owned()],
            role: None,
            target: "prod".to_owned(),
            config: PathBuf::new(),
            from: "10.20.1.1".parse().unwrap(),
            at: None,
            json: false,
        };
        let answer =
            decide(&self.settings, &test, 0).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        format!("{} {}", answer.verdict, answer.rule).trim().to_owned()
    }

    fn check(&self, group: &str, text: &str, expect: &str) {
        assert_eq!(self.ask(group, text), expect, "{group}: {text}");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What leads around the gate, or makes somebody else of whoever asks (kubernetes.md 5).
const AROUND: [&str; 31] = [
    "GET /api/v1/nodes/n/proxy/run/d/web/c?cmd=id",
    "POST /api/v1/nodes/n/proxy/exec/d/web/c?command=id",
    "GET /api/v1/nodes/https:n:10250/proxy/containerLogs/d/web/c",
    "GET /api/v1/nodes/n/proxy/metrics",
    "GET /api/v1/proxy/nodes/n/pods",
    "GET /api/v1/namespaces/app-a/pods/web/proxy/",
    "POST /api/v1/namespaces/app-a/pods/web:8080/proxy/admin",
    "GET /api/v1/namespaces/app-a/services/web/proxy/",
    "GET /api/v1/proxy/namespaces/app-a/pods/web/x",
    "POST /api/v1/namespaces/app-a/serviceaccounts/default/token",
    "POST /api/v1/namespaces/app-a/serviceaccounts/default/token?dryRun=All",
    "POST /apis/authentication.k8s.io/v1/tokenreviews",
    "POST /apis/certificates.k8s.io/v1/certificatesigningrequests",
    "PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval",
    "POST /apis/rbac.authorization.k8s.io/v1/namespaces/app-a/rolebindings",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/edit",
    "POST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "POST /apis/apiregistration.k8s.io/v1/apiservices",
    "PATCH /api/v1/nodes/n/status",
    "POST /api/v1/namespaces",
    "POST /api/v1/namespaces/app-a/pods/web/binding",
    "GET /api/v1/namespaces/app-a/pods/web/exec?command=id",
    "POST /api/v1/namespaces/app-a/pods/web/exec?command=id",
    "GET /api/v1/namespaces/app-a/pods/web/attach",
    "PATCH /api/v1/namespaces/app-a/pods/web/ephemeralcontainers",
    "GET /api/v1/namespaces/app-a/pods/web/portforward",
    "DELETE /api/v1/namespaces/app-a/pods?dryRun=All",
    "DELETE /api/v1/namespaces/app-a",
    "GET /metrics",
    // Without its body a pod may be privileged.
    "POST /api/v1/namespaces/app-a/pods",
    "POST /api/v1/namespaces/app-a/pods\n{\"spec\":{\"hostNetwork\":true}}",
];

const SECRETS: [&str; 5] = [
    "GET /api/v1/namespaces/app-a/secrets",
    "GET /api/v1/watch/namespaces/app-a/secrets",
    "PATCH /api/v1/namespaces/app-a/secrets/s?dryRun=All\n{}",
    "DELETE /api/v1/namespaces/app-a/secrets/s",
    "DELETE /api/v1/namespaces/app-a/secrets?dryRun=All\n{}",
];

#[test]
fn an_agent_of_the_example_stays_within_the_gate() {
    let example = Example::new("agents");
    for text in AROUND.into_iter().chain(SECRETS) {
        let verdict = example.ask("agents", text);
        assert!(
            verdict == "deny agents stay within the gate" || verdict == "deny nobody asks kubelets",
            "{text}: {verdict}"
        );
    }
    for text in [
        "GET /api/v1/pods",
        "GET /api/v1/namespaces/kube-system/configmaps/c",
        "GET /apis/apps/v1/namespaces/prod-a/deployments?watch=1",
        "GET /apis/rbac.authorization.k8s.io/v1/clusterroles",
        "GET /api/v1/namespaces/d/pods/web/log?follow=1",
        "GET /openapi/v3",
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews\n{}",
    ] {
        assert!(example.ask("agents", text).starts_with("allow "), "{text}");
    }
    let ours = "allow agents change what is theirs";
    example.check("agents", "POST /api/v1/namespaces/app-a/pods\n{\"spec\":{}}", ours);
    let deployment = "/apis/apps/v1/namespaces/app-a/deployments/web";
    example.check("agents", &format!("PATCH {deployment}\n{{\"spec\":{{}}}}"), ours);
    example.check("agents", &format!("PATCH {deployment}/scale\n{{\"spec\":{{}}}}"), ours);
    // Elsewhere, of all namespaces, of a kind that an operator acts on: nothing says yes.
    for text in [
        "POST /api/v1/namespaces/d/pods\n{\"spec\":{}}",
        "PATCH /apis/apps/v1/namespaces/prod-a/deployments/web?dryRun=All\n{}",
        "DELETE /api/v1/namespaces/d/configmaps/c?dryRun=All",
        "POST /apis/example.com/v1/namespaces/app-a/things\n{}",
        "PUT /api/v1/namespaces/app-a/pods/web/status\n{}",
    ] {
        let verdict = example.ask("agents", text);
        assert!(!verdict.starts_with("allow"), "{text}: {verdict}");
    }
    // A body of DeleteOptions makes the apiserver forget the query: a dry run is a deletion.
    let seen = "hold deletions of agents are seen";
    for text in ["", "?dryRun=All", "?dryRun=All\n{}", "\n{\"dryRun\":[\"All\"]}"] {
        example.check("agents", &format!("DELETE /api/v1/namespaces/app-a/pods/web{text}"), seen);
    }
    example.check("agents", "POST /api/v1/namespaces/app-a/pods/web/eviction\n{}", seen);
}

#[test]
fn ci_of_the_example_deploys_and_sres_agree_with_each_other() {
    let example = Example::new("ci");
    for text in AROUND {
        assert!(example.ask("ci", text).starts_with("deny "), "{text}");
    }
    for text in SECRETS {
        let expect = if text.starts_with("DELETE") && text.contains("secrets?") {
            "deny CI makes no one powerful"
        } else {
            "allow CI deploys"
        };
        example.check("ci", text, expect);
    }
    example.check("ci", "GET /api/v1/namespaces/prod-a/pods", "deny");
    for text in [
        "GET /api/v1/namespaces/prod-a/pods/web/exec?command=id",
        "GET /api/v1/secrets",
        "GET /api/v1/namespaces/prod-a/services/web/proxy/",
        "DELETE /api/v1/namespaces/prod-a/pods/web",
    ] {
        example.check("sre", text, "allow SREs work");
    }
    for text in [
        "POST /api/v1/namespaces/a/serviceaccounts/s/token",
        "POST /apis/certificates.k8s.io/v1/certificatesigningrequests",
        "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "DELETE /api/v1/namespaces/prod-a",
        "DELETE /api/v1/namespaces/prod-a/pods",
        "POST /api/v1/namespaces/prod-a/pods\n{\"spec\":{\"hostPID\":true}}",
    ] {
        example.check("sre", text, "hold a second SRE agrees");
    }
    example.check("sre", "GET /api/v1/nodes/n/proxy/metrics", "deny nobody asks kubelets");
    example.check("nobody", "GET /api/v1/pods", "deny");
}
