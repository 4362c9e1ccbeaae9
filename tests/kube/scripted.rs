//! What people type at kubectl and helm, in four versions: through weir they say what they say
//! directly, and all of it is in the record as the cluster's own audit log has it.
//!
//! The lines are in `script/commands`; what differs from run to run is taken out by
//! `script/normal.sed`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::audit;
use super::clients::hello;
use super::support::scratch::run;
use super::support::{Spec, short_or_long};
use super::world::{Cluster, Through, kubectl_version};

/// Everything that the lines do, by name where it has to be.
const RULES: &str = r#"
[[rule]]
name = "all"
when = { groups = ["sre"], targets = ["bed"], commands = ["read", "secret-read", "logs", "exec",
  "port-forward", "proxy", "write", "delete", "unbounded-write", "workload", "workload-privileged",
  "token", "csr", "rbac", "control-plane", "other"] }
then = "allow"
"#;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/script")
}

fn lines() -> Vec<String> {
    let text = include_str!("script/commands").replace("\\\n", "");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// One of the two ways to the cluster.
struct Arm {
    folder: PathBuf,
    kubeconfig: PathBuf,
    space: String,
    server: String,
    port: String,
    /// kubectl and helm, these of all.
    programs: PathBuf,
    /// Stands before paths of `get --raw`.
    prefix: &'static str,
}

impl Arm {
    /// What a line says, how it ends.
    fn say(&self, line: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let script = format!("source \"$OBJECTS/prelude.bash\"; {line}");
        let told = Command::new("timeout")
            .args(["120", "bash", "-c", &script])
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NS", &self.space)
            .env("OBJECTS", source())
            .env("PORT", &self.port)
            .env("PREFIX", self.prefix)
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let out = String::from_utf8_lossy(&told.stdout);
        let wrong = String::from_utf8_lossy(&told.stderr);
        format!("{out}-- {wrong}-- {:?}\n", told.status.code())
    }

    /// What all lines say, one text each, without what is this arm's own.
    fn run(&self) -> Vec<String> {
        let mut all = String::new();
        for line in lines() {
            let said = self.say(&line);
            let said = said.replace(&self.space, "NAMESPACE").replace(&self.server, "SERVER");
            let said = said.replace(&self.folder.display().to_string(), "HOME");
            let _ = writeln!(all, "{said}\u{1}");
        }
        let mut sed = Command::new("sed")
            .args(["-E", "-f"])
            .arg(source().join("normal.sed"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sed starts");
        let mut stdin = sed.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || stdin.write_all(all.as_bytes()));
        let told = sed.wait_with_output().expect("sed ends");
        writer.join().expect("no panic").expect("sed reads");
        let normal = String::from_utf8_lossy(&told.stdout).into_owned();
        normal.split("\u{1}\n").map(str::to_owned).collect()
    }
}

fn compare(cluster: &Cluster, through: &Through, version: u32) -> Vec<String> {
    let programs = kubectl_version(version);
    let programs = programs.parent().expect("a folder").to_owned();
    let port = hello();
    let arm = |way: &str, kubeconfig: PathBuf, server: String, prefix| {
        let folder = through.folder.join(format!("{way}{version}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let space = format!("{way}-script-{version}");
        cluster.direct(&["create", "namespace", &space]);
        let own = folder.join("kubeconfig");
        std::fs::copy(kubeconfig, &own).expect("a kubeconfig");
        // helm 3 says what it thinks of one that others may read.
        run(Command::new("chmod").arg("600").arg(&own));
        let mut command = Command::new(programs.join("kubectl"));
        command.args(["config", "set-context", "bed", "--namespace", &space]);
        run(command.env("KUBECONFIG", &own));
        let (port, programs) = (port.clone(), programs.clone());
        Arm { folder, kubeconfig: own, space, server, port, programs, prefix }
    };
    // kubectl before 1.32 leaves the path of the server out.
    let prefix = if version < 32 { "/k8s/bed" } else { "" };
    let there = arm("a", cluster.file("alice.kubeconfig"), cluster.fact("server").to_owned(), "");
    let here = arm("b", through.folder.join("alice"), through.server(), prefix);
    let (said, heard) = std::thread::scope(|scope| {
        let said = scope.spawn(|| there.run());
        let heard = here.run();
        (said.join().expect("no panic"), heard)
    });
    let mut faults = Vec::new();
    for ((line, said), heard) in lines().into_iter().zip(said).zip(heard) {
        if said != heard {
            faults.push(format!(
                "1.{version}: {line}\n--- directly\n{said}--- through weir\n{heard}"
            ));
        }
    }
    faults
}

#[test]
fn kubectl_and_helm_say_through_weir_what_they_say_directly() {
    assert!(lines().len() >= 80, "{}", lines().len());
    let cluster = Cluster::start("scripted", &[]);
    let mut through = Through::before(&cluster, Spec::bare("kube-scripted").rules(RULES));
    // The oldest and the newest, helm 3 and helm 4; the others in the long form.
    let versions = [37, 28, 34, 31];
    let versions = &versions[..short_or_long(2, 4) as usize];
    let mut faults = Vec::new();
    for version in versions {
        faults.extend(compare(&cluster, &through, *version));
    }
    let shown = faults.join("\n");
    assert!(faults.is_empty(), "{} lines differ\n{shown}", faults.len());
    let passed = audit::joined(&cluster, &mut through.weir);
    assert!(passed.len() > 500 * versions.len(), "{} requests", passed.len());
}
