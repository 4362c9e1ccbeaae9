//! A certificate authority and a server certificate for `localhost`, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::scratch::{Scratch, run};

/// Paths of PEM files.
#[derive(Debug)]
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

const CURVE: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

impl Certificates {
    /// The ones that all tests of this process share.
    pub fn shared() -> &'static Certificates {
        static SHARED: OnceLock<Certificates> = OnceLock::new();
        SHARED.get_or_init(Certificates::make)
    }

    /// A certificate of this authority and its key, as files `NAME.pem` and `NAME.key` of a folder.
    pub fn issue(&self, folder: &Path, name: &str, common_name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let (request, extensions) = (format!("{name}.csr"), format!("{name}.ext"));
        std::fs::write(folder.join(&extensions), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            .expect("a file for openssl");
        let openssl = |arguments: &[&str]| {
            run(Command::new("openssl").args(arguments).current_dir(folder));
        };
        let subject = format!("/CN={common_name}");
        let ask = ["-nodes", "-subj", &subject, "-keyout", &key, "-out", &request];
        openssl(&[&["req"][..], &CURVE, &ask].concat());
        let authority = self.authority.display().to_string();
        let authority_key = self.authority.with_extension("key").display().to_string();
        let sign = ["x509", "-req", "-in", &request, "-CA", &authority, "-CAkey", &authority_key];
        let more = ["-days", "30", "-extfile", &extensions, "-out", &certificate];
        // Serial numbers are random: several tests may sign at the same time.
        let serial = format!("0x{}", super::canary("1"));
        openssl(&[&sign[..], &more, &["-set_serial", &serial]].concat());
        (folder.join(certificate), folder.join(key))
    }

    /// A certificate of the shared authority for a client, and its key.
    pub fn client(name: &str, subject: &str, alternative: &str) -> (PathBuf, PathBuf) {
        let folder = Certificates::shared().authority.with_file_name("");
        let file = |suffix: &str| format!("{name}.{suffix}");
        std::fs::write(folder.join(file("ext")), format!("subjectAltName={alternative}\n"))
            .expect("the extensions");
        let openssl = |arguments: &[&str]| {
            run(Command::new("openssl").args(arguments).current_dir(&folder));
        };
        let (key, request) = (file("key"), file("csr"));
        let new = ["-nodes", "-subj", subject, "-keyout", &key, "-out", &request];
        openssl(&[&["req"][..], &CURVE, &new].concat());
        let (ext, out) = (file("ext"), file("pem"));
        let sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
        let files = ["-in", &request, "-extfile", &ext, "-out", &out];
        openssl(&[&["x509", "-req"][..], &sign, &files].concat());
        (folder.join(out), folder.join(key))
    }

    /// A list of the shared authority that revokes these certificates.
    pub fn revoked(name: &str, certificates: &[&std::path::Path]) -> PathBuf {
        let folder = Certificates::shared().authority.with_file_name("");
        let conf = "[ca]\ndefault_ca = own\n[own]\ndatabase = NAME.db\ncertificate = ca.pem\n\
                    private_key = ca.key\ndefault_md = sha256\ndefault_crl_days = 30\n\
                    crlnumber = NAME.number\n[crl]\n"
            .replace("NAME", name);
        let (config, list) = (format!("{name}.cnf"), format!("{name}.crl"));
        for (file, text) in [(config.as_str(), conf.as_str()), (&format!("{name}.db"), "")] {
            std::fs::write(folder.join(file), text).expect("a file of the authority");
        }
        std::fs::write(folder.join(format!("{name}.number")), "01\n").expect("a number");
        let ca = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(["ca", "-config", &config]).args(arguments).current_dir(&folder);
            run(&mut command);
        };
        for certificate in certificates {
            ca(&["-revoke", certificate.to_str().expect("a path in UTF-8")]);
        }
        ca(&["-gencrl", "-out", &list]);
        folder.join(list)
    }

    fn make() -> Certificates {
        let scratch = Scratch::new("certificates");
        let folder = scratch.path().to_owned();
        scratch.write("ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
        let openssl = |arguments: &[&str]| {
            run(Command::new("openssl").args(arguments).current_dir(&folder));
        };
        let authority: [&str; 11] = [
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=weir test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ];
        openssl(&[&["req", "-x509"][..], &CURVE, &authority].concat());
        let request =
            ["-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
        openssl(&[&["req"][..], &CURVE, &request].concat());
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            "ext",
            "-out",
            "server.pem",
        ]);
        // Statics are never dropped, so the folder outlives the tests; it is a few kilobytes, and
        // the reaper below removes it when the process ends.
        std::mem::forget(scratch);
        reap(&folder);
        Certificates {
            authority: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        }
    }
}

/// Removes a folder when this process ends, however it ends: the shell waits on a pipe from it.
fn reap(folder: &std::path::Path) {
    let child = Command::new("sh")
        .args(["-c", "cat >/dev/null; rm -rf \"$1\"", "reaper"])
        .arg(folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a shell");
    std::mem::forget(child);
}
