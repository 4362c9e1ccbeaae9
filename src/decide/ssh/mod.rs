//! What an action is in SSH.
//!
//! In: requests of channels, operations on files. Out: `Class`.
//! Never: a class by guess; what is not known is `Unknown`.

pub mod files;
pub mod text;

use std::borrow::Cow;

use super::class::classes;
use super::{Act, Action, Fact, FactKind, Object};
use crate::wire::Protocol;
use crate::wire::ssh::fields::Fields;
use crate::wire::ssh::message::{ChannelAsk, Destination, Open};
use text::Program;

classes! {
    /// What kind of request it is. Names in rules and records are `Class::name`.
    pub enum Class {
        /// A command.
        Exec = plain("exec"),
        /// A command with operators, substitutions or patterns of a shell.
        ExecCompound = plain("exec-compound"),
        /// `scp -t`.
        ScpUpload = plain("scp-upload"),
        /// `scp -f`.
        ScpDownload = plain("scp-download"),
        /// `rsync --server`.
        RsyncUpload = plain("rsync-upload"),
        /// `rsync --server --sender`.
        RsyncDownload = plain("rsync-download"),
        /// `git-receive-pack`.
        GitPush = plain("git-push"),
        /// `git-upload-pack`, `git-upload-archive`.
        GitFetch = plain("git-fetch"),
        /// A shell.
        Shell = plain("shell"),
        /// Lists and attributes of files.
        SftpList = plain("sftp-list"),
        /// Contents of files.
        SftpRead = plain("sftp-read"),
        /// New contents, new directories, renames.
        SftpWrite = plain("sftp-write"),
        /// Removed files and directories.
        SftpDelete = plain("sftp-delete"),
        /// Changed attributes, links.
        SftpAttr = plain("sftp-attr"),
        /// A subsystem.
        Subsystem = plain("subsystem"),
        /// direct-tcpip: a tunnel evades the record.
        ForwardLocal = named("forward-local"),
        /// direct-streamlocal.
        ForwardSocket = named("forward-socket"),
        /// tcpip-forward, streamlocal-forward, and each connection back.
        ForwardRemote = named("forward-remote"),
        /// A network device.
        Tun = named("tun"),
        /// The client's agent.
        Agent = named("agent"),
        /// The client's display.
        X11 = named("x11"),
        /// Requests and channels that weir does not know.
        Unknown = named("unknown"),
    }
}

/// Messages that are no commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plumbing {
    /// The login: banners, its end.
    Login,
    /// Opens, windows, replies and ends of channels, in the order of both peers.
    Channels,
    /// What belongs to a request that was permitted: its data, signals, sizes, status, end.
    Running,
}

impl super::Plumbing for Plumbing {}

/// What is shown of a name that a peer made up.
const NAME_BYTES_MAX: usize = 256;

/// A command.
pub fn exec(text: &[u8]) -> Action {
    let class = |class: Class| Act::of(class, "");
    let file = |of: Class, path: String, write: bool| Act {
        objects: [Object::bare(path.clone(), write)].into(),
        facts: vec![Fact::is(FactKind::Path, path)],
        ..class(of)
    };
    let mut act = match text::program(text) {
        Program::Command => class(Class::Exec),
        Program::Compound => {
            let classes = Class::Exec.only().and(Class::ExecCompound.only());
            let facts = vec![Fact::unclear(FactKind::Text), Fact::unclear(FactKind::Path)];
            Act { facts, ..Act::of(classes, "") }
        }
        Program::ScpUpload(path) => file(Class::ScpUpload, path, true),
        Program::ScpDownload(path) => file(Class::ScpDownload, path, false),
        Program::RsyncUpload(path) => file(Class::RsyncUpload, path, true),
        Program::RsyncDownload(path) => file(Class::RsyncDownload, path, false),
        Program::GitPush(path) => file(Class::GitPush, path, true),
        Program::GitFetch(path) => file(Class::GitFetch, path, false),
    };
    if !act.classes.has(Class::ExecCompound) {
        act.facts.push(Fact::is(FactKind::Text, text));
    }
    let word = text.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty());
    act.operation = Cow::Owned(shown(word.unwrap_or(b"")));
    Action::new(Protocol::Ssh, vec![act])
}

/// A request of a channel.
pub fn request(name: &[u8], ask: &ChannelAsk<'_>) -> Action {
    match ask {
        ChannelAsk::Exec(text) => exec(text),
        ChannelAsk::Shell => one(Class::Shell, "shell"),
        ChannelAsk::Subsystem(name) => one(Class::Subsystem, &shown(name)),
        ChannelAsk::Agent => one(Class::Agent, "agent"),
        ChannelAsk::X11 => one(Class::X11, "x11"),
        _ => one(Class::Unknown, &shown(name)),
    }
}

/// A channel that the client opens.
pub fn open(open: &Open<'_>) -> Action {
    match (open.kind, open.destination()) {
        (_, Ok(Some(Destination::Tcp(host, port)))) => {
            one(Class::ForwardLocal, &format!("tcp:{}:{port}", shown(host)))
        }
        (_, Ok(Some(Destination::Unix(path)))) => {
            one(Class::ForwardSocket, &format!("unix:{}", shown(path)))
        }
        (b"tun@openssh.com", _) => one(Class::Tun, "tun"),
        (kind, _) => one(Class::Unknown, &shown(kind)),
    }
}

/// A request of the connection.
pub fn global(name: &[u8]) -> Action {
    match name {
        b"tcpip-forward"
        | b"cancel-tcpip-forward"
        | b"streamlocal-forward@openssh.com"
        | b"cancel-streamlocal-forward@openssh.com" => one(Class::ForwardRemote, &shown(name)),
        _ => one(Class::Unknown, &shown(name)),
    }
}

/// A request of the connection as the record shows it.
pub fn global_text(name: &[u8], rest: &[u8]) -> String {
    let mut fields = Fields::new(rest);
    let address = match name {
        b"tcpip-forward" | b"cancel-tcpip-forward" => {
            let read = fields.string().and_then(|host| Ok((host, fields.u32()?)));
            read.map(|(host, port)| format!(" tcp:{}:{port}", shown(host)))
        }
        b"streamlocal-forward@openssh.com" | b"cancel-streamlocal-forward@openssh.com" => {
            fields.string().map(|path| format!(" unix:{}", shown(path)))
        }
        _ => Ok(String::new()),
    };
    format!("{}{}", shown(name), address.unwrap_or_default())
}

fn one(class: Class, operation: &str) -> Action {
    let operation = Cow::Owned(operation.to_owned());
    Action::new(Protocol::Ssh, vec![Act { operation, ..Act::of(class, "") }])
}

fn shown(name: &[u8]) -> String {
    let name = name.get(..NAME_BYTES_MAX).unwrap_or(name);
    String::from_utf8_lossy(name).into_owned()
}
