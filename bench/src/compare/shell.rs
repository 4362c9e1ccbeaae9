//! SSH through one arm: an sshd behind all of them, the proxies' settings, the load.
//!
//! In: an arm, a load. Out: commands or bytes, and what they cost. Never: a file of the user's;
//! keys and settings are made for the run. All legs have the same cipher, which else each pair of
//! client and server would choose for itself.
//!
//! ```text
//! ssh --> direct ----------------------------+
//!     --> HAProxy  TCP, one thread ----------+--> sshd
//!     --> jump     an sshd of its own, -W ---+
//!     --> weir     one shard, keys twice ----+
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use weir_load::ssh::{self, Commands, Master, Place, Way};

use super::Result;
use super::proc::{Cost, Moment};
use super::rig::{Arm, JUMP, Rig, finish, write};

const CIPHER: &str = "aes128-gcm@openssh.com";
/// Of one passage; several fit into a window.
const BULK_BYTES: u64 = 128 << 20;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// `true` again and again, so many at a time, on one connection.
    Commands(usize),
    /// The same with a connection each.
    Connections(usize),
    /// Bytes of one command.
    Bulk(Way),
}

/// What it gave.
pub enum Seen {
    Commands(Commands),
    Bytes(u64),
}

/// Keys, and settings of both sshds.
pub fn prepare(folder: &Path, (port, jump_port): (u16, u16)) -> Result<()> {
    for name in ["ssh_host", "ssh_gate", "ssh_own", "ssh_client"] {
        let mut keygen = Command::new("ssh-keygen");
        finish(keygen.args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(folder.join(name)))?;
    }
    let keys = [public(folder, "ssh_own")?, public(folder, "ssh_client")?].join("\n");
    write(&folder.join("ssh_authorized"), &format!("{keys}\n"))?;
    // bash reads the user's .bashrc as the first shell of an sshd, which may take longer than all
    // that is measured; as the second one it does not.
    for (name, port) in [("sshd", port), ("jump", jump_port)] {
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/ssh_host\nPidFile none\n\
             AuthorizedKeysFile {folder}/ssh_authorized\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nMaxStartups 500\nMaxSessions 500\nCiphers {CIPHER}\n\
             PasswordAuthentication no\nSetEnv SHLVL=1\n",
            folder = folder.display()
        );
        write(&folder.join(format!("{name}.conf")), &text)?;
    }
    Ok(())
}

/// One of both sshds.
pub fn sshd(folder: &Path, name: &str) -> Vec<String> {
    let settings = folder.join(format!("{name}.conf")).display().to_string();
    // It starts itself anew for each client, by its whole path.
    ["/usr/sbin/sshd", "-D", "-e", "-f"].map(str::to_owned).into_iter().chain([settings]).collect()
}

/// Who logs in at the sshd.
pub fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().map_err(|e| format!("id: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The public half of a key, as it stands in settings.
fn public(folder: &Path, name: &str) -> Result<String> {
    let text = super::rig::read(&folder.join(format!("{name}.pub")))?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// weir's listener, its target, and the key of its user.
pub fn weir(folder: &Path, (port, server): (u16, u16)) -> Result<(String, String)> {
    let place = folder.display();
    let listen = format!(
        "[listen.ssh]\naddress = \"127.0.0.1:{port}\"\nhost_keys = [\"{place}/ssh_gate\"]\n\
         [[target]]\nname = \"shell\"\nprotocol = \"ssh\"\naddress = \"127.0.0.1:{server}\"\n\
         host_key = [\"{}\"]\n[[target.credential]]\nrole = \"{}\"\n\
         key = {{ file = \"{place}/ssh_own\" }}\n",
        public(folder, "ssh_host")?,
        user()?,
    );
    Ok((listen, format!("keys = [\"{}\"]\n", public(folder, "ssh_client")?)))
}

/// The arm as a place of OpenSSH's client.
fn place(rig: &Rig, arm: &Arm) -> Result<Place> {
    let folder = rig.folder().display();
    let common = [
        "-i".to_owned(),
        format!("{folder}/ssh_client"),
        "-oIdentitiesOnly=yes".to_owned(),
        "-oUserKnownHostsFile=/dev/null".to_owned(),
        "-oStrictHostKeyChecking=no".to_owned(),
        "-oLogLevel=ERROR".to_owned(),
        format!("-c{CIPHER}"),
    ];
    let user = user()?;
    let is_weir = arm.name.starts_with(super::rig::WEIR);
    let target =
        if is_weir { format!("{user}@shell@127.0.0.1") } else { format!("{user}@127.0.0.1") };
    let mut flags = common.to_vec();
    if arm.name.starts_with(JUMP) {
        let mut way = "-oProxyCommand=ssh -F none -oBatchMode=yes".to_owned();
        for flag in &common {
            let _ = write!(way, " {flag}");
        }
        let _ = write!(way, " -W %h:%p -p {} {user}@127.0.0.1", arm.port);
        flags.extend([way, "-p".to_owned(), rig.sshd_port().to_string()]);
    } else {
        flags.extend(["-p".to_owned(), arm.port.to_string()]);
    }
    Ok(Place { target, flags })
}

/// One command, to see whether the arm answers.
pub fn try_once(rig: &Rig, arm: &Arm) -> Result<()> {
    ssh::commands(&place(rig, arm)?, None, (0.001, 1)).map(drop)
}

/// Does it for so long.
pub fn run(rig: &Rig, arm: &Arm, load: Load, seconds: f64) -> Result<(Seen, Cost)> {
    let place = place(rig, arm)?;
    let master = match load {
        Load::Connections(_) => None,
        Load::Commands(_) | Load::Bulk(_) => Some(Master::open(&place, rig.folder())?),
    };
    let start = Moment::read(arm.pid())?;
    let seen = match (load, &master) {
        (Load::Commands(parallel) | Load::Connections(parallel), master) => {
            Seen::Commands(ssh::commands(&place, master.as_ref(), (seconds, parallel))?)
        }
        (Load::Bulk(way), Some(master)) => {
            let (mut bytes, mut taken) = (0, 0.0);
            while taken < seconds {
                taken += ssh::bulk(&place, master, way, BULK_BYTES)?;
                bytes += BULK_BYTES;
            }
            Seen::Bytes(bytes)
        }
        (Load::Bulk(_), None) => return Err("bulk needs a connection".to_owned()),
    };
    let end = Moment::read(arm.pid())?;
    Ok((seen, start.cost_until(&end)))
}
