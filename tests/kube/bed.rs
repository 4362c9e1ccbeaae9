//! The test bed: where it is, and its oracles.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program, or a failure that says how to get it. `WEIR_KUBEBED` names another one.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_KUBEBED") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/kube/build"))
        .arg("--path")
        .output()
        .expect("tests/kube/build starts");
    assert!(
        output.status.success(),
        "the test bed is not built, run tests/kube/build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// What a subcommand of the bed answers to lines, one JSON value each.
pub fn oracle(subcommand: &str, lines: &[String]) -> Vec<serde_json::Value> {
    let mut child = Command::new(program())
        .arg(subcommand)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bed starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = child.stdout.take().expect("a pipe");
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for line in lines {
                writeln!(stdin, "{line}").expect("the oracle reads");
            }
        });
        BufReader::new(output)
            .lines()
            .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
            .collect::<Vec<serde_json::Value>>()
    });
    assert!(child.wait().expect("it ends").success());
    assert_eq!(answers.len(), lines.len(), "an answer for each line");
    answers
}

/// Ends a process of the bed at once; the bed starts it again.
pub fn kill(pid: i32) {
    let done = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(done.success(), "{pid} had ended before");
}
