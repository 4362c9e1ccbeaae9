//! kube-controller-manager behind weir: Deployments roll, Jobs end, namespaces end, and it hears no
//! refusal that it would not hear from the apiserver itself.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::bed;
use super::support::lake::{number, text};
use super::support::scratch::free_port;
use super::support::{Spec, short_or_long, wait_until};
use super::world::{Cluster, Through};

const RULES: &str = r#"
[[rule]]
name = "controllers"
when = { groups = ["sre"] }
then = "allow"
"#;

/// Statuses that its own requests have: made, there already, gone, changed by somebody else, a
/// namespace that ends (403 of the apiserver, which weir allowed), and a watch that is too old.
const ITS_OWN: [i64; 7] = [200, 201, 202, 403, 404, 409, 410];

struct Manager(Child);

impl Manager {
    /// The program that the bed would run itself, with a kubeconfig through weir.
    fn start(cluster: &Cluster, through: &Through) -> Manager {
        let flag = |name: &str, value: &std::path::Path| format!("--{name}={}", value.display());
        let log = std::fs::File::create(through.folder.join("controllers.log")).expect("a file");
        let child = Command::new(bed::program())
            .arg("controllers")
            .args([
                flag("kubeconfig", &through.folder.join("alice")),
                flag("service-account-private-key-file", &cluster.file("sa.key")),
                flag("root-ca-file", &cluster.file("ca.crt")),
                flag("cert-dir", &through.folder.join("certificates")),
                format!("--secure-port={}", free_port()),
            ])
            .args(["--leader-elect=true", "--leader-elect-resource-name=through-weir"])
            .args(["--use-service-account-credentials=false", "--bind-address=127.0.0.1"])
            .arg("--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-node-ipam-controller")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the controllers start");
        Manager(child)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Deployment that comes up, rolls and goes, with its namespace.
fn round(through: &Through, number: u32) {
    let space = format!("round-{number}");
    let ok = |arguments: &[&str]| through.ok("alice", arguments);
    ok(&["create", "namespace", &space]);
    wait_until("the namespace's account", Duration::from_secs(60), || {
        let get = ["get", "serviceaccount", "default", "-n", &space];
        through.kubectl("alice", &get).output().expect("kubectl runs").status.success()
    });
    let make = ["create", "deployment", "web", "--image=busybox", "--replicas=3", "-n", &space];
    ok(&[&make[..], &["--", "sleep", "600"]].concat());
    let status = ["rollout", "status", "deployment/web", "-n", &space, "--timeout=60s"];
    assert!(ok(&status).contains("successfully rolled out"));
    ok(&["set", "env", "deployment/web", &format!("ROUND={number}"), "-n", &space]);
    assert!(ok(&status).contains("successfully rolled out"));
    ok(&["scale", "deployment/web", "--replicas=1", "-n", &space]);
    ok(&["create", "job", "once", "--image=busybox", "-n", &space, "--", "true"]);
    ok(&["wait", "--for=condition=complete", "job/once", "-n", &space, "--timeout=60s"]);
    ok(&["rollout", "undo", "deployment/web", "-n", &space]);
    assert!(ok(&status).contains("successfully rolled out"));
    ok(&["delete", "namespace", &space, "--timeout=120s"]);
}

#[test]
fn controllers_work_through_weir_and_are_refused_nothing() {
    let cluster = Cluster::start("controllers", &["--controllers=false"]);
    let mut through = Through::before(&cluster, Spec::bare("kube-controllers").rules(RULES));
    let manager = Manager::start(&cluster, &through);
    let start = Instant::now();
    let long = Duration::from_secs(short_or_long(5, 600).into());
    let mut rounds = 0;
    while rounds == 0 || start.elapsed() < long {
        rounds += 1;
        round(&through, rounds);
    }
    drop(manager);
    let lake = through.weir.lake();
    let mut others: BTreeMap<(i64, String), u32> = BTreeMap::new();
    for row in lake.rows("responses") {
        let outcome = text(&row, "outcome");
        let status = number(&row, "status");
        // What was under way when it ended has no end of its own.
        let is_its_own = ITS_OWN.contains(&status) && outcome != "denied";
        if !is_its_own && outcome != "aborted" {
            *others.entry((status, outcome)).or_default() += 1;
        }
    }
    let commands = lake.rows("commands");
    let denied = commands.iter().filter(|row| text(row, "decision") != "allow").count();
    eprintln!("{rounds} rounds, {} requests", commands.len());
    assert!(others.is_empty() && denied == 0, "{denied} denied, {others:?}");
    super::audit::joined(&cluster, &mut through.weir);
}
