//! The cluster itself: it comes up, answers, and ends with the process that wanted it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::bed;
use super::world::{cluster, direct, kubectl_program};

#[test]
fn a_cluster_comes_up_and_ends_with_its_test() {
    let folder = std::env::temp_dir().join(format!("kubebed-{}", std::process::id()));
    let mut child = Command::new(bed::program())
        .args(["up", "--stdin", "--data"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bed starts");
    let output = child.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("a line");
    let place = line.strip_prefix("ready ").map(str::trim);
    let place = place.unwrap_or_else(|| panic!("{line:?}; see {}", folder.display()));
    let text = std::fs::read_to_string(place).expect("bed.json");
    let facts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for name in ["etcd", "apiserver", "kubelet", "controllers"] {
        let pid = facts["pids"][name].as_u64().unwrap_or_else(|| panic!("{name}: {facts}"));
        assert!(is_alive(pid), "{name} has ended");
    }
    assert!(facts["tokens"]["weir"].as_str().is_some_and(|token| token.len() == 32));
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
    let pids = facts["pids"].as_object().expect("processes");
    for (name, pid) in pids {
        assert!(!is_alive(pid.as_u64().expect("a number")), "{name} is left");
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

fn is_alive(pid: u64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/cmdline")).metadata().is_ok_and(|_| {
        !std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
    })
}

/// `appliance/quickstart --kubeconfig`, as somebody with a token and as somebody whose certificate
/// is of a group that nobody else can name.
#[test]
fn the_quickstart_shows_a_cluster() {
    let value = "tour-5ecret-value";
    let literal = format!("--from-literal=password={value}");
    direct(&["create", "secret", "generic", "tour", &literal]);
    let quickstart = |file: &str| {
        let programs = kubectl_program();
        let programs = programs.parent().expect("a folder").display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let told = Command::new(root.join("appliance/quickstart"))
            .arg("--kubeconfig")
            .arg(cluster().file(file))
            .args(["--weir", env!("CARGO_BIN_EXE_weir"), "--no-wait"])
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        let shown = [told.stdout, told.stderr].concat();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(told.status.success(), "{shown}");
        assert!(shown.contains("nothing is deleted on a tour"), "{shown}");
        assert!(shown.contains("GET /k8s/cluster/api/v1/namespaces"), "the record: {shown}");
        assert!(!shown.contains(value), "{shown}");
        shown
    };
    let shown = quickstart("alice.kubeconfig");
    assert!(shown.contains("Active") && shown.contains("weir-masked-"), "{shown}");
    let shown = quickstart("admin.kubeconfig");
    assert!(shown.contains("system:masters") && shown.contains("forbidden: User"), "{shown}");
    assert_eq!(direct(&["get", "namespace", "default", "-o", "name"]), "namespace/default\n");
}
