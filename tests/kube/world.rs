//! The cluster of the tests, weir in front of it, and clients of either.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::bed;
use super::support::lake::{Row, number, text};
use super::support::scratch::free_port;
use super::support::weir::USER_PASSWORD;
use super::support::{Certificates, Spec, Weir, wait_until};

pub const RULES: &str = r#"
[[rule]]
name = "sre"
when = { groups = ["sre"], commands = ["read", "write", "delete", "logs", "exec", "port-forward",
  "workload", "workload-privileged", "secret-read", "unbounded-write", "control-plane"] }
then = "allow"

[[rule]]
name = "agents look and change"
when = { groups = ["agents"], commands = ["read", "logs", "write", "workload"] }
then = "allow"

[[rule]]
name = "prod stays"
when = { verbs = ["delete", "deletecollection"], namespaces = ["prod-*"] }
then = { deny = "ask an SRE" }
"#;

/// The cluster of these tests; it ends with the process.
pub struct Cluster {
    facts: Value,
    place: PathBuf,
    /// It ends with its standard input.
    bed: Option<Child>,
}

pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // One that runs already.
        if let Ok(path) = std::env::var("WEIR_KUBEBED_UP") {
            return Cluster { facts: read(Path::new(&path)), place: path.into(), bed: None };
        }
        Cluster::start("through", &[])
    })
}

fn read(place: &Path) -> Value {
    let text = std::fs::read_to_string(place).expect("bed.json");
    serde_json::from_str(&text).expect("JSON")
}

impl Cluster {
    /// One of its own, with flags of `kubebed up`.
    pub fn start(name: &str, flags: &[&str]) -> Cluster {
        let folder = std::env::temp_dir().join(format!("kubebed-{name}-{}", std::process::id()));
        let mut child = Command::new(bed::program())
            .args(["up", "--stdin", "--data"])
            .arg(&folder)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bed starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let place = line.strip_prefix("ready ").map(str::trim);
        let place = place.unwrap_or_else(|| panic!("{line:?}; see {}", folder.display()));
        Cluster { facts: read(Path::new(place)), place: place.into(), bed: Some(child) }
    }

    pub fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("{name} of {}", self.facts))
    }

    /// The token of one of its people.
    pub fn token(&self, name: &str) -> &str {
        self.facts["tokens"][name].as_str().expect("a token")
    }

    /// A file of its folder: `admin.kubeconfig`, `alice.kubeconfig`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.with_file_name(name)
    }

    /// The process of a part, as it is now: one that ends is started again.
    pub fn pid(&self, part: &str) -> i32 {
        let pid = read(&self.place)["pids"][part].as_i64().expect("a process");
        i32::try_from(pid).expect("a pid")
    }

    /// kubectl as the administrator, past weir.
    pub fn direct(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(kubectl_program());
        command.env("KUBECONFIG", self.fact("kubeconfig")).args(arguments);
        finish(command, arguments, true)
    }

    /// A namespace of a test, and a pod in it that runs.
    pub fn pod(&self, namespace: &str) {
        self.direct(&["create", "namespace", namespace]);
        let run = ["run", "web", "--image=busybox", "--restart=Never", "-n", namespace];
        let all = [&run[..], &["--command", "--", "sh", "-c", "echo started; sleep 600"]];
        self.direct(&all.concat());
        wait_until("the pod", Duration::from_secs(60), || {
            let phase = ["get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.phase}"];
            self.direct(&phase) == "Running"
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut bed) = self.bed.take() else { return };
        drop(bed.stdin.take());
        let _ = bed.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(self.place.with_file_name(""));
        }
    }
}

/// weir in front of the cluster.
pub struct Through {
    pub weir: Weir,
    port: u16,
    pub folder: PathBuf,
}

impl Through {
    pub fn start(masks: &str) -> Through {
        Through::start_with(masks, RULES)
    }

    pub fn start_with(masks: &str, rules: &str) -> Through {
        Through::before(cluster(), Spec::bare("kube").masks(masks).rules(rules))
    }

    /// In front of this cluster, with what the specification has besides.
    pub fn before(cluster: &Cluster, spec: Spec) -> Through {
        let port = free_port();
        let spec = spec.user("alice", &["sre"]);
        let spec = spec.user("agent", &["agents"]);
        let folder = spec.folder().to_owned();
        let token = folder.join("impersonator");
        std::fs::write(&token, cluster.token("weir")).expect("a file");
        let Certificates { certificate, key, authority } = Certificates::shared();
        let tail = format!(
            "[listen.http]\naddress = \"127.0.0.1:{port}\"\n\
             tls = {{ certificate = \"{}\", key = \"{}\", client_ca = \"{}\" }}\n\
             [[target]]\nname = \"bed\"\nprotocol = \"kubernetes\"\naddress = \"{}\"\n\
             root_certificates = \"{}\"\n[[target.credential]]\nrole = \"weir\"\n\
             token = {{ file = \"{}\" }}\n",
            certificate.display(),
            key.display(),
            authority.display(),
            cluster.fact("server"),
            cluster.fact("ca"),
            token.display()
        );
        let weir = spec.tail(&tail).start();
        let through = Through { weir, port, folder };
        for user in ["alice", "agent"] {
            through.write_kubeconfig(user);
        }
        through
    }

    /// The cluster, as kubectl knows it.
    pub fn server(&self) -> String {
        format!("https://localhost:{}/k8s/bed", self.port)
    }

    fn write_kubeconfig(&self, user: &str) {
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: bed\n\
             clusters: [{{name: bed, cluster: {{server: \"{}\", \
             insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {{username: {user}, password: {USER_PASSWORD}}}}}]\n\
             contexts: [{{name: bed, context: {{cluster: bed, user: u}}}}]\n",
            self.server()
        );
        std::fs::write(self.folder.join(user), config).expect("a kubeconfig");
    }

    /// kubectl as somebody, through weir.
    pub fn kubectl(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl_program());
        command.env("KUBECONFIG", self.folder.join(user)).env("HOME", &self.folder);
        command.args(arguments);
        command
    }

    /// What it prints.
    pub fn ok(&self, user: &str, arguments: &[&str]) -> String {
        finish(self.kubectl(user, arguments), arguments, true)
    }

    /// What it says when it fails.
    pub fn refused(&self, user: &str, arguments: &[&str]) -> String {
        finish(self.kubectl(user, arguments), arguments, false)
    }
}

pub fn kubectl_program() -> PathBuf {
    kubectl_version(37)
}

/// kubectl of 1.N; helm lies beside it.
pub fn kubectl_version(minor: u32) -> PathBuf {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/kubectl");
    let minor = minor.to_string();
    let output = Command::new(script).args([&minor, "--path"]).output().expect("a script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

pub fn finish(mut command: Command, arguments: &[&str], well: bool) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("kubectl starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.success(), well, "kubectl {arguments:?}: {stdout}{stderr}");
    if well { stdout.into_owned() } else { stderr.into_owned() }
}

/// kubectl as the administrator, past weir.
pub fn direct(arguments: &[&str]) -> String {
    cluster().direct(arguments)
}

/// A namespace of a test, and a pod in it that runs.
pub fn pod(namespace: &str) {
    cluster().pod(namespace);
}

pub fn namespace(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// A command's row by its operation, with its answer's.
pub fn exchange(weir: &mut Weir, operation: &str) -> Vec<(Row, Row)> {
    let lake = weir.lake();
    let responses = lake.rows("responses");
    let of = |command: &Row| {
        responses.iter().find(|row| {
            text(row, "session_id") == text(command, "session_id")
                && number(row, "command_seq") == number(command, "seq")
        })
    };
    let commands = lake.rows("commands");
    let mine = commands.into_iter().filter(|row| text(row, "operation") == operation);
    mine.filter_map(|row| of(&row).cloned().map(|answer| (row, answer))).collect()
}
