//! What an action is in SSH.
//!
//! In: requests of channels, operations on files. Out: `Class`.
//! Never: a class by guess; what is not known is `Unknown`.

use super::class::classes;

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
