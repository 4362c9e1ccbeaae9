//! What a cluster shows of an object elsewhere than where it stands, and what only looks like a dry
//! run, through weir.

use super::world::{Through, direct, namespace};

/// autoscaling/v1 keeps what it has no field for as JSON in annotations.
#[test]
fn another_version_shows_no_more() {
    const CANARY: &str = "canary-77c1";
    let space = namespace("shapes");
    direct(&["create", "namespace", &space]);
    let masks = "[[mask]]\nresources = [\"horizontalpodautoscalers\", \"priorityclasses\"]\n\
                 operator = \"redact\"\n";
    let through = Through::start(masks);
    let file = through.folder.join("h.json");
    let object = format!(
        r#"{{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler",
            "metadata":{{"name":"h","namespace":"{space}"}},
            "spec":{{"maxReplicas":3,"scaleTargetRef":{{"apiVersion":"apps/v1",
            "kind":"Deployment","name":"d"}},"metrics":[{{"type":"External","external":{{
            "metric":{{"name":"{CANARY}"}},"target":{{"type":"Value","value":"7"}}}}}}]}}}}"#
    );
    std::fs::write(&file, object).expect("a file");
    direct(&["create", "-f", &file.display().to_string()]);
    let one = direct(&["get", "hpa.v1.autoscaling", "h", "-n", &space, "-o", "json"]);
    assert!(one.contains(CANARY), "the cluster shows it: {one}");
    let class = format!("{space}-class");
    let described = format!("--description={CANARY}");
    direct(&["create", "priorityclass", &class, "--value=7", &described]);
    let raw = format!("/apis/autoscaling/v1/namespaces/{space}/horizontalpodautoscalers");
    for path in [
        raw.clone(),
        format!("{raw}/h"),
        format!("{raw}?watch=1&timeoutSeconds=2"),
        raw.replace("/v1/", "/v2/"),
        format!("/apis/scheduling.k8s.io/v1/priorityclasses/{class}"),
        "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(),
        "/apis/scheduling.k8s.io/v1/priorityclasses?watch=1&timeoutSeconds=2".to_owned(),
    ] {
        let shown = through.ok("alice", &["get", "--raw", &path]);
        assert!(!shown.contains(CANARY) && shown.contains("weir-masked"), "{path}: {shown}");
    }
    direct(&["delete", "priorityclass", &class]);
}

/// What would tell a guess of a value, and a deletion that its query calls a dry run.
#[test]
fn guesses_and_deletions_in_disguise_are_refused() {
    let space = namespace("guesses");
    direct(&["create", "namespace", &space]);
    direct(&["create", "secret", "generic", "s", "--from-literal=k=v", "-n", &space]);
    direct(&["create", "configmap", "c", "--from-literal=cc=4111111111111111", "-n", &space]);
    let masks = "[[mask]]\nresources = [\"secrets\"]\noperator = \"redact\"\n\n\
                 [[mask]]\ndetect = [\"credit-card\"]\noperator = \"redact\"\n";
    let through = Through::start(masks);
    let refused = |arguments: &[&str], words: &str| {
        let told = through.refused("alice", &[arguments, &["-n", &space]].concat());
        assert!(told.contains(words), "{arguments:?}: {told}");
    };
    refused(&["patch", "secret", "s", "-p", r#"{"immutable":true}"#], "immutable");
    refused(&["get", "configmaps", "-l", "cc=4111111111111111"], "a selector");
    refused(&["get", "--raw", "/api/v1/configmaps?labelSelector=cc%3E5"], "a selector");
    let test = r#"[{"op":"test","path":"/data/cc","value":"4111111111111111"}]"#;
    refused(&["patch", "configmap", "c", "--type=json", "-p", test], "could tell a value");
    through.ok("alice", &["get", "configmaps", "-l", "app in (a, b)", "-n", &space]);
    let file = through.folder.join("options.json");
    std::fs::write(&file, "{}").expect("a file");
    let file = file.display().to_string();
    let raw = format!("/api/v1/namespaces/{space}/configmaps/c?dryRun=All");
    let told = through.refused("alice", &["delete", "--raw", &raw, "-f", &file]);
    assert!(told.contains("dryRun"), "{told}");
    through.ok("alice", &["delete", "configmap", "c", "--dry-run=server", "-n", &space]);
    direct(&["get", "configmap", "c", "-n", &space]);
}
