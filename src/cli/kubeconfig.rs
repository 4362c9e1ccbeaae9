//! `weir kubeconfig`: what kubectl needs to reach clusters through weir.
//!
//! In: where weir is, names of targets. Out: a kubeconfig on stdout, or in a file of its own.
//! Never: a password or a token in it; a file that somebody else wrote replaced.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::fail::{EXIT_USAGE, Failure};
use super::login;
use super::output::{Output, note};

/// Arguments.
#[derive(Debug, Args)]
pub struct Kubeconfig {
    /// Where weir listens for HTTP, such as https://gateway:8443
    #[arg(long, value_name = "URL")]
    server: String,
    /// A target with protocol = "kubernetes"; may be given again
    #[arg(long = "target", value_name = "NAME", required = true)]
    targets: Vec<String>,
    /// Roots that weir's certificate is verified with, instead of the system's
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// More for `weir login`, which kubectl runs for a token; may be given again
    #[arg(long = "login", value_name = "ARGUMENT", allow_hyphen_values = true)]
    login: Vec<String>,
    /// Write this file instead of stdout; KUBECONFIG may name several, separated by colons
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Something is no URL or no name, or the file cannot be written.
pub fn run(args: &Kubeconfig) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::because("where this program is, cannot be told", error))?;
    let config = config(args, &program)?;
    let text = serde_json::to_string_pretty(&config)
        .map_err(|error| Failure::because("the kubeconfig cannot be written", error))?;
    let Some(file) = &args.file else {
        let mut out = Output::new(false);
        out.line(&text)?;
        return Ok(out.flush()?);
    };
    if let Ok(before) = std::fs::read(file)
        && !is_own(&before)
    {
        let message = format!("{} has entries that weir did not write", file.display());
        let hint = "name a file of its own: KUBECONFIG=~/.kube/config:~/.kube/weir";
        return Err(Failure::new(EXIT_USAGE, message).hint(hint));
    }
    login::replace(file, format!("{text}\n").as_bytes())?;
    note(&format!("weir: KUBECONFIG={} reaches {}", file.display(), args.targets.join(", ")));
    Ok(())
}

/// Whether every entry of a kubeconfig is one of weir's.
fn is_own(before: &[u8]) -> bool {
    let Ok(config) = serde_json::from_slice::<Value>(before) else { return false };
    ["clusters", "users", "contexts"].iter().all(|list| {
        let entries = config.get(*list).and_then(Value::as_array);
        entries.into_iter().flatten().all(|entry| {
            entry.get("name").and_then(Value::as_str).is_some_and(|it| it.starts_with("weir"))
        })
    })
}

fn config(args: &Kubeconfig, program: &Path) -> Result<Value, Failure> {
    let server = args.server.trim_end_matches('/');
    let is_url = server.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(['/', '?', '#', '@']) && rest.is_ascii()
    });
    if !is_url {
        // A token in clear is refused by weir, too.
        let message = format!("\"{}\" is no address of weir", args.server);
        return Err(Failure::new(EXIT_USAGE, message).hint("such as https://gateway:8443"));
    }
    let names: Vec<String> = args.targets.iter().map(|name| format!("weir-{name}")).collect();
    let mut clusters = Vec::new();
    for (target, name) in args.targets.iter().zip(&names) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if target.is_empty() || !target.bytes().all(plain) {
            let message = format!("\"{target}\" is no name for a path");
            return Err(Failure::new(EXIT_USAGE, message).hint("letters, digits, - . _"));
        }
        let mut cluster = json!({ "server": format!("{server}/k8s/{target}") });
        if let (Some(cluster), Some(roots)) = (cluster.as_object_mut(), &args.certificate_authority)
        {
            let roots = std::path::absolute(roots).unwrap_or_else(|_| roots.clone());
            cluster.insert("certificate-authority".into(), json!(roots));
        }
        clusters.push(json!({ "name": name, "cluster": cluster }));
    }
    let mut words = vec!["login".to_owned(), "--exec-credential".to_owned()];
    words.extend(args.login.iter().cloned());
    let user = json!({ "name": "weir", "user": { "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": program,
        "args": words,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": false,
    }}});
    let context =
        |name: &String| json!({ "name": name, "context": { "cluster": name, "user": "weir" } });
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": [user],
        "contexts": names.iter().map(context).collect::<Vec<_>>(),
        "current-context": names.first(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(server: &str, targets: &[&str]) -> Kubeconfig {
        Kubeconfig {
            server: server.to_owned(),
            targets: targets.iter().map(|name| (*name).to_owned()).collect(),
            certificate_authority: None,
            login: vec!["--issuer=https://id.example".to_owned()],
            file: None,
        }
    }

    #[test]
    fn a_kubeconfig_names_each_target_and_holds_no_secret() {
        let args = args("https://gateway:8443/", &["prod", "test"]);
        let config = config(&args, Path::new("/usr/bin/weir")).unwrap();
        assert_eq!(config["clusters"][1]["cluster"]["server"], "https://gateway:8443/k8s/test");
        assert_eq!(config["current-context"], "weir-prod");
        let exec = &config["users"][0]["user"]["exec"];
        assert_eq!(exec["args"][2], "--issuer=https://id.example");
        assert!(is_own(config.to_string().as_bytes()));
    }

    #[test]
    fn what_is_no_address_or_name_is_refused() {
        for server in ["http://gateway", "gateway:8443", "https://", "https://a/b", "https://u@a"] {
            assert!(config(&args(server, &["a"]), Path::new("weir")).is_err(), "{server}");
        }
        for target in ["", "a/b", "a b", "\u{e9}"] {
            assert!(config(&args("https://a", &[target]), Path::new("weir")).is_err(), "{target}");
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        assert!(!is_own(b"apiVersion: v1\nkind: Config\n"));
        assert!(!is_own(br#"{"clusters":[{"name":"mine"}]}"#));
        assert!(is_own(br#"{"clusters":[{"name":"weir-a"}],"users":[{"name":"weir"}]}"#));
    }
}
