//! OpenSSH's client, driven against an sshd of its own.
#![cfg(feature = "generator")]
// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_load::ssh::{self, Master, Place, Way};

struct Sshd {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Sshd {
    fn start() -> Sshd {
        let folder = std::env::temp_dir().join(format!("weir-load-ssh-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["host", "client", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(folder.join(name));
            assert!(keygen.status().unwrap().success());
        }
        // Where root's sshd leaves its rights; it is there wherever sshd runs as a service.
        let _ = std::fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.display();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\n\
             AuthorizedKeysFile {place}/client.pub\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\n"
        );
        let settings = folder.join("settings");
        std::fs::write(&settings, text).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.arg("-D").arg("-f").arg(settings).arg("-E").arg(folder.join("log"));
        let child = sshd.stdin(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Sshd { folder, port, child }
    }

    fn place(&self, key: &str) -> Place {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let key = self.folder.join(key).display().to_string();
        let port = self.port.to_string();
        let options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no"];
        let mut flags = vec!["-i".to_owned(), key, "-p".to_owned(), port];
        flags.extend(["IdentitiesOnly=yes", "LogLevel=ERROR"].map(|it| format!("-o{it}")));
        flags.extend(options.map(|option| format!("-o{option}")));
        let user = String::from_utf8(user).unwrap();
        Place { target: format!("{}@127.0.0.1", user.trim()), flags }
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn commands_and_bytes_pass_and_a_stranger_does_not() {
    let sshd = Sshd::start();
    let place = sshd.place("client");
    let master = Master::open(&place, sshd.folder()).unwrap();
    let shared = ssh::commands(&place, Some(&master), (0.5, 2)).unwrap();
    assert!(shared.latency.len() >= 2, "{}", shared.latency.len());
    let apart = ssh::commands(&place, None, (0.1, 1)).unwrap();
    assert!(!apart.latency.is_empty());
    for way in [Way::Out, Way::In] {
        assert!(ssh::bulk(&place, &master, way, 3_000_000).unwrap() > 0.0, "{way:?}");
    }
    drop(master);
    let stranger = sshd.place("stranger");
    for why in [
        Master::open(&stranger, sshd.folder()).err().unwrap(),
        ssh::commands(&stranger, None, (0.1, 1)).unwrap_err(),
    ] {
        assert!(why.contains("denied"), "{why}");
    }
}
