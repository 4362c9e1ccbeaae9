//! What an action is in SSH.
//!
//! In: requests of channels, operations on files. Out: `Class`.
//! Never: a class by guess; what is not known is `Unknown`.

pub mod files;
mod forwards;
pub mod rsync;
pub mod text;

use std::borrow::Cow;

use super::class::classes;
use super::{Act, Action, ClassSet, Fact, FactKind, Object};
use crate::wire::Protocol;
use crate::wire::ssh::fields::Fields;
use crate::wire::ssh::message::{ChannelAsk, Destination, Open};
use files::FilePath;
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
        /// `git-upload-pack`, and `git-upload-archive`, which is `exec`, too.
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

/// The subsystem whose operations weir reads.
pub const SFTP: &[u8] = b"sftp";

/// What is shown of a name that a peer made up.
const NAME_BYTES_MAX: usize = 256;

/// A command.
pub fn exec(text: &[u8]) -> Action {
    let class = |class: Class| Act::of(class, "");
    let mut act = match text::program(text) {
        Program::Command => class(Class::Exec),
        Program::Compound => {
            let classes = Class::Exec.only().and(Class::ExecCompound.only());
            let facts = vec![Fact::unclear(FactKind::Text), Fact::unclear(FactKind::Path)];
            Act { facts, ..Act::of(classes, "") }
        }
        Program::Files(files) => transfer(&files),
        Program::Repository(class, path) => repository(class.only(), &path),
        Program::Archive(path) => repository(Class::GitFetch.only().and(Class::Exec.only()), &path),
    };
    let words = text::plain_words(text);
    if let Some(words) = &words {
        act.facts.push(Fact::is(FactKind::Text, text));
        // The same words with other blanks or quotes are the same command.
        act.facts.push(Fact::maybe(FactKind::Text, words.join(&b' ')));
    }
    let plain = words.and_then(|words| words.into_iter().next());
    let mut all = text.split(|byte| byte.is_ascii_whitespace());
    let word = plain.as_deref().or_else(|| all.find(|word| !word.is_empty()));
    act.operation = Cow::Owned(shown(word.unwrap_or(b"")));
    Action::new(Protocol::Ssh, vec![act])
}

/// Whether a command is sent a list of filters first, whose rules may name files that its words do
/// not.
pub fn takes_filters(text: &[u8]) -> bool {
    matches!(text::program(text), Program::Files(files) if files.filters)
}

/// A filter that is no pattern: it may read any file that the target's account may.
pub fn filter(upload: bool) -> Action {
    let class = if upload { Class::RsyncUpload } else { Class::RsyncDownload };
    let facts = vec![Fact::unclear(FactKind::Path)];
    let operation = Cow::Borrowed("rsync-filter");
    Action::new(Protocol::Ssh, vec![Act { operation, facts, ..Act::of(class, "") }])
}

/// Files that a program of the target's reads or writes. Where a relative path starts from is not
/// known: it is unclear, as one with `..`.
fn transfer(files: &text::Files) -> Act {
    let write = matches!(files.class, Class::ScpUpload | Class::RsyncUpload);
    let mut act = Act::of(files.class, "");
    let mut objects = Vec::new();
    for name in &files.paths {
        let path = FilePath::new(name, None);
        // rsync knows patterns of its own.
        let clear = path.clear && !name.iter().any(|byte| b"*?[\\".contains(byte));
        // What ends so is a folder: it is what it holds.
        let folder = name.ends_with(b"/") || name.ends_with(b"/.");
        act.facts.extend(match (clear, folder && files.below) {
            (false, _) => vec![Fact::unclear(FactKind::Path)],
            (true, true) => vec![Fact::maybe(FactKind::Path, &path.text), path.below()],
            (true, false) if files.below => {
                vec![Fact::is(FactKind::Path, &path.text), path.below()]
            }
            (true, false) => path.facts(),
        });
        if clear && files.below {
            act.facts.extend(path.twins_below());
        }
        objects.push(Object::bare(path.shown(), write));
    }
    act.objects = objects.into();
    act
}

/// A repository. git looks for it under these names, too (`path.c`, `enter_repo`); and whoever
/// denies one means it with and without the ending that URLs have.
fn repository(classes: ClassSet, name: &[u8]) -> Act {
    let path = FilePath::new(name, None);
    let mut act = Act::of(classes, "");
    act.facts.extend(path.facts());
    if path.clear {
        for suffix in [&b".git"[..], b"/.git", b".git/.git"] {
            act.facts.push(Fact::maybe(FactKind::Path, [&path.text, suffix].concat()));
        }
        if let Some(bare) = path.text.strip_suffix(b".git").filter(|bare| !bare.ends_with(b"/")) {
            act.facts.push(Fact::maybe(FactKind::Path, bare));
        }
    }
    act.objects = [Object::bare(path.shown(), classes.has(Class::GitPush))].into();
    act
}

/// A request of a channel.
pub fn request(name: &[u8], ask: &ChannelAsk<'_>) -> Action {
    match ask {
        ChannelAsk::Exec(text) => exec(text),
        ChannelAsk::Shell => one(Class::Shell, "shell"),
        ChannelAsk::Subsystem(SFTP) => one(Class::Subsystem, "sftp"),
        ChannelAsk::Subsystem(name) => subsystem(name),
        ChannelAsk::Agent => one(Class::Agent, "agent"),
        ChannelAsk::X11 => one(Class::X11, "x11"),
        _ => one(Class::Unknown, &shown(name)),
    }
}

/// A subsystem of which weir knows nothing: a command that the target has a name for, and maybe
/// files under another name.
fn subsystem(name: &[u8]) -> Action {
    let mut act = Act::of(Class::Subsystem.only().and(Class::Exec.only()), "");
    act.operation = Cow::Owned(shown(name));
    act.facts = vec![Fact::unclear(FactKind::Path)];
    act.facts.push(match text::plain_words(name) {
        Some(_) => Fact::is(FactKind::Text, name),
        None => Fact::unclear(FactKind::Text),
    });
    Action::new(Protocol::Ssh, vec![act])
}

/// A channel that the client opens.
pub fn open(open: &Open<'_>) -> Action {
    match (open.kind, open.destination()) {
        (_, Ok(Some(Destination::Tcp(host, port)))) => {
            let operation = format!("tcp:{}:{port}", shown(host));
            forward(Class::ForwardLocal, &operation, forwards::tcp(host, port))
        }
        (_, Ok(Some(Destination::Unix(path)))) => {
            socket(Class::ForwardSocket, &format!("unix:{}", shown(path)), path)
        }
        (b"tun@openssh.com", _) => forward(Class::Tun, "tun", vec![forwards::anywhere()]),
        (kind, _) => forward(Class::Unknown, &shown(kind), vec![forwards::anywhere()]),
    }
}

/// A channel that the target opens, because the client asked for such.
pub fn open_back(open: &Open<'_>) -> Action {
    let mut fields = Fields::new(open.rest);
    let mut from_tcp = || {
        let (host, port) = (fields.string()?, fields.u32()?);
        Ok::<_, crate::wire::ssh::Broken>(format!("tcp:{}:{port}", shown(host)))
    };
    match open.kind {
        b"auth-agent@openssh.com" => one(Class::Agent, "agent"),
        b"x11" => one(Class::X11, &format!("x11 {}", from_tcp().unwrap_or_default())),
        b"forwarded-tcpip" => {
            let at = from_tcp().unwrap_or_default();
            let by = from_tcp().unwrap_or_default();
            one(Class::ForwardRemote, &format!("forwarded {at} from {by}"))
        }
        kind => {
            let path = fields.string().map(shown).unwrap_or_default();
            let class =
                if kind.starts_with(b"forwarded-") { Class::ForwardRemote } else { Class::Unknown };
            one(class, &format!("forwarded unix:{path}"))
        }
    }
}

/// A request of the connection.
pub fn global(name: &[u8], rest: &[u8]) -> Action {
    match name {
        b"tcpip-forward" | b"cancel-tcpip-forward" => {
            let mut fields = Fields::new(rest);
            let place = fields.string().and_then(|host| Ok((host, fields.u32()?)));
            let facts = match place {
                Ok((host, port)) => forwards::tcp(host, port),
                Err(_) => vec![forwards::anywhere()],
            };
            forward(Class::ForwardRemote, &shown(name), facts)
        }
        b"streamlocal-forward@openssh.com" | b"cancel-streamlocal-forward@openssh.com" => {
            let path = Fields::new(rest).string().unwrap_or_default();
            socket(Class::ForwardRemote, &shown(name), path)
        }
        _ => forward(Class::Unknown, &shown(name), vec![forwards::anywhere()]),
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

/// What is done at a path: a socket there is a file.
fn socket(class: Class, operation: &str, path: &[u8]) -> Action {
    let path = FilePath::new(path, None);
    let mut facts = path.facts();
    facts.push(forwards::unix(&path));
    forward(class, operation, facts)
}

fn forward(class: Class, operation: &str, facts: Vec<Fact>) -> Action {
    let operation = Cow::Owned(operation.to_owned());
    Action::new(Protocol::Ssh, vec![Act { operation, facts, ..Act::of(class, "") }])
}

fn one(class: Class, operation: &str) -> Action {
    let operation = Cow::Owned(operation.to_owned());
    Action::new(Protocol::Ssh, vec![Act { operation, ..Act::of(class, "") }])
}

fn shown(name: &[u8]) -> String {
    let name = name.get(..NAME_BYTES_MAX).unwrap_or(name);
    String::from_utf8_lossy(name).into_owned()
}
