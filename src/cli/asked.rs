//! What somebody would ask of a host of SSH, for `weir policy test`.
//!
//! In: the kind of request, its text. Out: the action that rules are asked about. Never: another
//! action than the session's own: texts are made into requests, and those are read as ever.

use clap::ValueEnum;

use super::fail::{EXIT_USAGE, Failure};
use crate::decide::ssh::Class;
use crate::decide::ssh::files::{FilePath, Operation, RENAME};
use crate::decide::{Action, ssh};
use crate::wire::ssh::fields::Write;
use crate::wire::ssh::message::{ChannelAsk, Open};
use crate::wire::ssh::sftp::open;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Request {
    /// A command: `ssh host TEXT`, and what scp -O, rsync and git run
    Exec,
    /// A shell
    Shell,
    /// A subsystem: `sftp`, before any operation
    Subsystem,
    /// An operation on files
    Sftp,
    /// A connection from the host to HOST:PORT
    ForwardLocal,
    /// A connection from the host to a socket at PATH
    ForwardSocket,
    /// A port that the host listens on
    ForwardRemote,
    /// The client's agent
    Agent,
    /// The client's display
    X11,
}

/// What a request is to the rules.
pub(super) fn of_ssh(request: Request, text: &str) -> Result<Action, Failure> {
    let bytes = text.as_bytes();
    Ok(match request {
        Request::Exec => ssh::exec(bytes),
        Request::Shell => ssh::request(b"shell", &ChannelAsk::Shell),
        Request::Subsystem => ssh::request(b"subsystem", &ChannelAsk::Subsystem(bytes)),
        Request::Agent => ssh::request(b"auth-agent-req@openssh.com", &ChannelAsk::Agent),
        Request::X11 => ssh::request(b"x11-req", &ChannelAsk::X11),
        Request::ForwardRemote => ssh::global(b"tcpip-forward"),
        Request::ForwardLocal => {
            let place = text
                .rsplit_once(':')
                .and_then(|(host, port)| port.parse::<u32>().ok().map(|port| (host, port)));
            let (host, port) = place.ok_or_else(|| wrong("HOST:PORT", text))?;
            let mut rest = Vec::new();
            rest.put_string(host.as_bytes());
            rest.put_u32(port);
            rest.put_string(b"127.0.0.1");
            rest.put_u32(0);
            opened(b"direct-tcpip", &rest)
        }
        Request::ForwardSocket => {
            let mut rest = Vec::new();
            rest.put_string(bytes);
            rest.put_string(b"");
            rest.put_u32(0);
            opened(b"direct-streamlocal@openssh.com", &rest)
        }
        Request::Sftp => operation(text)?.action(),
    })
}

fn opened(kind: &[u8], rest: &[u8]) -> Action {
    ssh::open(&Open { kind, sender: 0, window: 0, packet_max: 0, rest })
}

fn wrong(form: &str, text: &str) -> Failure {
    Failure::new(EXIT_USAGE, format!("`{text}` is no {form}"))
}

/// `open /srv/a read,write`, `rename /srv/a /srv/b`: words, of which those with spaces are quoted.
fn operation(text: &str) -> Result<Operation, Failure> {
    let form = || {
        wrong("operation of SFTP", text).hint(
            "open PATH read,write,append,create,truncate | opendir, stat, lstat, readlink, \
             realpath, setstat, remove, rmdir, mkdir PATH | rename, symlink, hardlink PATH PATH",
        )
    };
    let words = ssh::text::plain_words(text.as_bytes()).ok_or_else(form)?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    // Attributes, as records show them, are nothing to rules.
    let count = words.iter().take_while(|word| word.starts_with(b"/") || !word.contains(&b'='));
    let words = words.get(..count.count()).unwrap_or(&[]);
    let path = |word: &[u8]| FilePath::new(word, None);
    let one = |verb, class, name| Ok(Operation::new(verb, class, vec![path(name)]));
    let two = |verb, class, from, to| Ok(Operation::new(verb, class, vec![path(from), path(to)]));
    match *words {
        [b"open", name] => Ok(Operation::open(path(name), open::READ)),
        [b"open", name, flags] => {
            let mut flags = flags.split(|byte| *byte == b',').map(flag);
            let flags = flags.try_fold(0, |all, one| one.map(|one| all | one));
            Ok(Operation::open(path(name), flags.ok_or_else(form)?))
        }
        [b"opendir", name] => one("opendir", Class::SftpList, name),
        [b"stat", name] => one("stat", Class::SftpList, name),
        [b"lstat", name] => one("lstat", Class::SftpList, name),
        [b"readlink", name] => one("readlink", Class::SftpList, name),
        [b"realpath", name] => one("realpath", Class::SftpList, name),
        [b"setstat", name] => one("setstat", Class::SftpAttr, name),
        [b"remove", name] => one("remove", Class::SftpDelete, name),
        [b"rmdir", name] => one("rmdir", Class::SftpDelete, name),
        [b"mkdir", name] => one("mkdir", Class::SftpWrite, name),
        [b"rename", from, to] => two(RENAME, Class::SftpWrite, from, to),
        [b"symlink", from, to] => two("symlink", Class::SftpAttr, from, to),
        [b"hardlink", from, to] => two("hardlink", Class::SftpAttr, from, to),
        _ => Err(form()),
    }
}

fn flag(name: &[u8]) -> Option<u32> {
    Some(match name {
        b"read" => open::READ,
        b"write" => open::WRITE,
        b"append" => open::APPEND,
        b"create" => open::CREAT,
        b"truncate" => open::TRUNC,
        b"exclusive" => open::EXCL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_sessions_ask_for() {
        let said = |request, text: &str| match of_ssh(request, text) {
            Err(_) => "wrong".to_owned(),
            Ok(action) => {
                let classes: Vec<String> = action.classes.iter().map(ToString::to_string).collect();
                classes.join(",")
            }
        };
        for (request, text, expect) in [
            (Request::Exec, "echo hi", "exec"),
            (Request::Exec, "scp -t /srv/a", "scp-upload"),
            (Request::Shell, "", "shell"),
            (Request::Subsystem, "sftp", "subsystem"),
            (Request::Sftp, "open /srv/a read", "sftp-read"),
            (Request::Sftp, "open /srv/a read,write", "sftp-read,sftp-write"),
            (Request::Sftp, "rename '/srv/a b' /srv/c", "sftp-write"),
            (Request::Sftp, "open /srv/a write,create mode=0644", "sftp-write"),
            (Request::Sftp, "open /srv/a fast", "wrong"),
            (Request::Sftp, "run /srv/a", "wrong"),
            (Request::ForwardLocal, "db:5432", "forward-local"),
            (Request::ForwardLocal, "db", "wrong"),
            (Request::ForwardSocket, "/run/x", "forward-socket"),
            (Request::ForwardRemote, "", "forward-remote"),
            (Request::Agent, "", "agent"),
            (Request::X11, "", "x11"),
        ] {
            assert_eq!(said(request, text), expect, "{request:?} {text}");
        }
    }
}
