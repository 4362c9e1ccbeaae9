//! Where passwords come from: a file, an environment variable, or a command.
//!
//! In: a source. Out: a `Secret`. Never: a secret in an error message; a shell; a wait without end.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::settings::Secret;

/// A command has this long to print a secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// A secret may not be longer.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Where one secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file.
    File(PathBuf),
    /// The value of a variable.
    Env(String),
    /// What a program prints; run directly, not by a shell.
    Command(Vec<String>),
}

impl SecretSource {
    /// Fetches the secret. Line ends after it are dropped; everything else is kept.
    ///
    /// # Errors
    /// A sentence on why there is none, without any of the content.
    pub fn fetch(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, String> {
        let text = match self {
            SecretSource::File(path) => read_file(path)?,
            SecretSource::Env(name) => {
                env(name).ok_or_else(|| format!("environment variable `{name}` is not set"))?
            }
            SecretSource::Command(words) => run(words)?,
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(format!("{} is empty", self.name()));
        }
        if secret.contains(['\0', '\n']) {
            return Err(format!("{} is not one line of text", self.name()));
        }
        Ok(Secret::new(secret.to_owned()))
    }

    fn name(&self) -> String {
        match self {
            SecretSource::File(path) => format!("`{}`", path.display()),
            SecretSource::Env(name) => format!("environment variable `{name}`"),
            SecretSource::Command(words) => {
                format!("the output of `{}`", words.first().map_or("", String::as_str))
            }
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let bytes = read_bounded(file).map_err(failed)?;
    text(bytes).ok_or_else(|| format!("`{}` is too long or not UTF-8", path.display()))
}

fn run(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    let outcome = collect(&mut child, COMMAND_TIMEOUT);
    let status = end(&mut child, outcome.is_ok());
    let bytes = outcome.map_err(|reason| format!("`{program}` {reason}"))?;
    let text = text(bytes).ok_or_else(|| format!("`{program}` printed too much or not UTF-8"))?;
    match status {
        Ok(Some(status)) if status.success() => Ok(text),
        Ok(Some(status)) => Err(format!("`{program}` failed: {status}")),
        Ok(None) => Err(format!("`{program}` closed its output but did not end")),
        Err(error) => Err(format!("cannot wait for `{program}`: {error}")),
    }
}

/// The exit status of a child that had its time: it gets a second more if it was `done`, and is
/// killed then (`None`), so that no process is left behind.
fn end(child: &mut Child, done: bool) -> std::io::Result<Option<ExitStatus>> {
    for _ in 0..if done { 100 } else { 0 } {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// What the child prints until it closes its output, if it does so in time.
fn collect(child: &mut Child, timeout: Duration) -> Result<Vec<u8>, String> {
    let output = child.stdout.take().ok_or("has no output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // The receiver is gone when it waited long enough; then nobody wants the answer.
        let _ = sender.send(read_bounded(output));
    });
    match receiver.recv_timeout(timeout) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(format!("could not be read: {error}")),
        Err(_) => Err(format!("did not end within {} s", timeout.as_secs())),
    }
}

/// At most one byte more than allowed, so that the caller sees what is too long.
fn read_bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Option<String> {
    if bytes.len() > SECRET_BYTES_MAX {
        return None;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(source: SecretSource) -> Result<String, String> {
        let env = |name: &str| match name {
            "GIVEN" => Some("from env\n".to_owned()),
            "EMPTY" => Some(String::new()),
            "LINES" => Some("a\nb".to_owned()),
            _ => None,
        };
        source.fetch(&env).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn environment() {
        fn check(name: &str, expect: Result<&str, &str>) {
            let outcome = fetch(SecretSource::Env(name.to_owned()));
            let expect = expect.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(outcome, expect, "{name}");
        }
        check("GIVEN", Ok("from env"));
        check("EMPTY", Err("environment variable `EMPTY` is empty"));
        check("LINES", Err("environment variable `LINES` is not one line of text"));
        check("MISSING", Err("environment variable `MISSING` is not set"));
    }

    #[test]
    fn commands() {
        fn check(words: &[&str], expect: Result<&str, &str>) {
            let words = words.iter().map(|&word| word.to_owned()).collect();
            match (fetch(SecretSource::Command(words)), expect) {
                (Ok(secret), Ok(expect)) => assert_eq!(secret, expect),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (outcome, _) => panic!("{outcome:?}, expected {expect:?}"),
            }
        }
        check(&["printf", "%s\\n", "from command"], Ok("from command"));
        check(&["printf", " kept "], Ok(" kept "));
        check(&["false"], Err("`false` failed"));
        check(&["true"], Err("the output of `true` is empty"));
        check(&["/nonexistent/program"], Err("cannot run `/nonexistent/program`"));
        check(&["head", "-c", "100000", "/dev/zero"], Err("printed too much"));
        check(&[], Err("the command is empty"));
    }

    #[test]
    fn a_command_that_hangs_is_given_up() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::piped()).spawn().unwrap();
        let outcome = collect(&mut child, Duration::from_millis(20));
        assert_eq!(outcome, Err("did not end within 0 s".to_owned()));
        assert_eq!(end(&mut child, false).unwrap(), None);
    }

    #[test]
    fn files() {
        let folder = std::env::temp_dir().join(format!("weir-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("password");
        std::fs::write(&path, "from file\r\n").unwrap();
        assert_eq!(fetch(SecretSource::File(path.clone())), Ok("from file".to_owned()));
        std::fs::write(&path, [0xff]).unwrap();
        let error = fetch(SecretSource::File(path)).unwrap_err();
        assert!(error.contains("not UTF-8"), "{error}");
        let error = fetch(SecretSource::File(folder.join("none"))).unwrap_err();
        assert!(error.contains("cannot read"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
