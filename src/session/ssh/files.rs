//! The files of one SFTP channel: which requests are under way, what is open, what is kept of it.
//!
//! In: requests of the client as they are asked and as they go, replies of the target. Out: what
//! each request is to the rules, the row of a file's end, weir's own replies. Never: a reply that
//! nobody waits for, contents of a file whose opening was not permitted, more than the bounds.
//!
//! ```text
//!   OPEN --allowed--> Doing::Open --HANDLE--> open --READ, WRITE--> counted, hashed
//!                        | STATUS               | CLOSE
//!                        '--> its row ends      '--> Doing::Close --STATUS--> its row ends
//! ```
//!
//! A handle names a file from its HANDLE until the client's CLOSE; whoever uses it later is refused
//! here, as the target would.

use std::collections::{HashMap, VecDeque};

use crate::decide::ssh::Class;
use crate::decide::ssh::files::{Access, FilePath, Operation, RENAME};
use crate::fault::Fault;
use crate::limits::{SFTP_FILES_MAX, SFTP_REQUESTS_MAX, SFTP_WORDS_MAX};
use crate::record::entry::{Outcome, Response, ResponseExtra};
use crate::record::{Entry, Receipt};
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::ssh::Broken;
use crate::wire::ssh::sftp::{
    self, Attributes, Extension, Op, Replied, Replies, Reply, Request, Requests, status,
};

use super::core::Office;
use super::home::{self, Greeting};
use super::leg::broken;
use super::open::record_fault;
use super::transfer::Transfer;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It goes on.
    Pass,
    /// Weir answers: a code and words.
    Refuse(u32, &'static str),
    /// It waits for a verdict.
    Ask(Box<Wish>),
}

/// A request that needs a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub id: u32,
    pub operation: Operation,
    then: Then,
    /// Handles it names, and the files that they meant when it was asked.
    handles: Vec<(Vec<u8>, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Open(Access),
    OpenFolder,
    Other,
}

/// A request that the target has, or people.
#[derive(Debug)]
enum Doing {
    Plain,
    Home,
    Held,
    Open { seq: u64, at_us: u64, access: Access, path: FilePath },
    Read { seq: u64, offset: u64 },
    Close { seq: u64 },
    Other { seq: u64, at_us: u64 },
}

/// A file or a folder that is open.
#[derive(Debug)]
struct File {
    at_us: u64,
    path: FilePath,
    access: Access,
    read: Transfer,
    written: Transfer,
}

/// Where the contents of a WRITE belong that are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Dropped,
    Of { seq: u64, offset: u64 },
}

#[derive(Debug, PartialEq, Eq)]
enum Home {
    Unknown,
    Known(Vec<u8>),
    /// The target has told two.
    Doubtful,
}

/// How much of contents is kept, from either side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub read: u64,
    pub written: u64,
}

/// The files of a channel.
#[derive(Debug)]
pub(super) struct Files {
    pub requests: Requests,
    replies: Replies,
    begun: bool,
    answered: bool,
    home: Home,
    pub greeting: Greeting,
    doing: HashMap<u32, Doing>,
    handles: HashMap<Vec<u8>, u64>,
    files: HashMap<u64, File>,
    body: Body,
    reading: Option<(u64, u64)>,
    limits: Limits,
    /// Bytes of requests that go to the target with the next message.
    pub going: Vec<u8>,
    /// Replies of weir's own.
    own: VecDeque<Vec<u8>>,
    /// What was said on standard error already.
    told: Vec<String>,
}

impl Files {
    /// A channel that was just permitted.
    pub fn new(limits: Limits) -> Files {
        Files {
            requests: Requests::default(),
            replies: Replies::default(),
            begun: false,
            answered: false,
            home: Home::Unknown,
            greeting: Greeting::default(),
            doing: HashMap::new(),
            handles: HashMap::new(),
            files: HashMap::new(),
            body: Body::Dropped,
            reading: None,
            limits,
            going: Vec::new(),
            own: VecDeque::new(),
            told: Vec::new(),
        }
    }

    /// Whether words are to be said to people: each once, though they are the answer to many.
    pub fn is_news(&mut self, words: &str) -> bool {
        let news = self.told.len() < SFTP_WORDS_MAX && !self.told.iter().any(|told| told == words);
        if news {
            self.told.push(words.to_owned());
        }
        news
    }

    /// A request of the client. What goes on is remembered as under way.
    ///
    /// # Errors
    /// Why the client's connection cannot go on.
    pub fn asked(&mut self, packet: &[u8]) -> Result<(u32, Course), Broken> {
        let Request { id, op, rest } = Request::parse(packet)?;
        if let Op::Init(_) = op {
            let again = std::mem::replace(&mut self.begun, true);
            return if again { Err(Broken::Order) } else { Ok((id, Course::Pass)) };
        }
        if !self.begun || self.doing.contains_key(&id) {
            return Err(Broken::Order);
        }
        if self.doing.len() + self.own.len() >= SFTP_REQUESTS_MAX {
            return Err(Broken::Flood);
        }
        self.body = Body::Dropped;
        let sets = matches!(
            op,
            Op::Open { .. }
                | Op::Setstat(_)
                | Op::Fsetstat(_)
                | Op::Mkdir(_)
                | Op::Extended(Extension::Lsetstat(_))
        );
        let mut step = self.step(id, op);
        if let (true, Course::Ask(wish)) = (sets, &mut step) {
            wish.operation.sets(&Attributes::parse(rest)?);
        }
        match &step {
            Course::Ask(_) => drop(self.doing.insert(id, Doing::Held)),
            Course::Pass | Course::Refuse(..) => {}
        }
        Ok((id, step))
    }

    fn step(&mut self, id: u32, op: Op<'_>) -> Course {
        let path = |path: &[u8]| self.path(path);
        let ask = |operation, then| {
            Course::Ask(Box::new(Wish { id, operation, then, handles: Vec::new() }))
        };
        let change = |verb, class, paths| ask(Operation::new(verb, class, paths), Then::Other);
        let look = |verb, of: &[u8]| change(verb, Class::SftpList, vec![path(of)]);
        match op {
            Op::Init(_) => Course::Pass,
            Op::Open { .. } | Op::Opendir(_) if self.files.len() >= SFTP_FILES_MAX => {
                Course::Refuse(status::FAILURE, "weir: too many open files")
            }
            Op::Open { path: name, flags } => {
                ask(Operation::open(path(name), flags), Then::Open(Access::of(flags)))
            }
            Op::Opendir(name) => {
                let operation = Operation::new("opendir", Class::SftpList, vec![path(name)]);
                ask(operation, Then::OpenFolder)
            }
            Op::Lstat(name) => look("lstat", name),
            Op::Stat(name) => look("stat", name),
            Op::Readlink(name) => look("readlink", name),
            // Where one is says nothing of files, and every client asks it first.
            Op::Realpath(b"" | b".") => self.plain(id, Doing::Home),
            Op::Realpath(name) => look("realpath", name),
            Op::Setstat(name) => change("setstat", Class::SftpAttr, vec![path(name)]),
            Op::Remove(name) => change("remove", Class::SftpDelete, vec![path(name)]),
            Op::Rmdir(name) => change("rmdir", Class::SftpDelete, vec![path(name)]),
            Op::Mkdir(name) => change("mkdir", Class::SftpWrite, vec![path(name)]),
            Op::Rename(from, to) => change(RENAME, Class::SftpWrite, vec![path(from), path(to)]),
            Op::Symlink(one, other) => {
                change("symlink", Class::SftpAttr, vec![path(one), path(other)])
            }
            Op::Close(_) | Op::Read { .. } | Op::Write { .. } | Op::Fstat(_) | Op::Readdir(_) => {
                self.on_handle(id, op)
            }
            Op::Fsetstat(handle) => self.change_open(id, handle),
            Op::Extended(extension) => self.extended(id, extension),
        }
    }

    fn extended(&mut self, id: u32, extension: Extension<'_>) -> Course {
        let path = |path: &[u8]| self.path(path);
        let ask = |operation| {
            let (then, handles) = (Then::Other, Vec::new());
            Course::Ask(Box::new(Wish { id, operation, then, handles }))
        };
        let change = |verb, class, paths| ask(Operation::new(verb, class, paths));
        match extension {
            Extension::PosixRename(from, to) => {
                change(RENAME, Class::SftpWrite, vec![path(from), path(to)])
            }
            Extension::Hardlink(from, to) => {
                change("hardlink", Class::SftpAttr, vec![path(from), path(to)])
            }
            Extension::Lsetstat(name) => change("lsetstat", Class::SftpAttr, vec![path(name)]),
            Extension::Statvfs(name) => change("statvfs", Class::SftpList, vec![path(name)]),
            Extension::ExpandPath(name) => {
                let path = FilePath::expanded(name, self.home());
                change("expand-path", Class::SftpList, vec![path])
            }
            Extension::HomeDirectory(user) => ask(Operation::home_directory(user)),
            Extension::UsersGroups { users, groups } => ask(Operation::names(users, groups)),
            Extension::Fstatvfs(handle) | Extension::Fsync(handle) => {
                self.on_handle(id, Op::Fstat(handle))
            }
            Extension::CopyData { from, to } => self.copy(id, from, to),
            Extension::Limits => self.plain(id, Doing::Plain),
            Extension::Unknown(_) => {
                Course::Refuse(status::OP_UNSUPPORTED, "weir: an operation that it does not know")
            }
        }
    }

    /// What follows from a permitted opening.
    fn on_handle(&mut self, id: u32, op: Op<'_>) -> Course {
        let (Op::Close(handle) | Op::Fstat(handle) | Op::Readdir(handle)) = op else {
            return self.contents_of(id, op);
        };
        let Some(&seq) = self.handles.get(handle) else { return no_such_handle() };
        if let Op::Close(handle) = op {
            self.handles.remove(handle);
            return self.plain(id, Doing::Close { seq });
        }
        self.plain(id, Doing::Plain)
    }

    fn contents_of(&mut self, id: u32, op: Op<'_>) -> Course {
        let (handle, offset, writes) = match op {
            Op::Read { handle, offset, .. } => (handle, offset, false),
            Op::Write { handle, offset, .. } => (handle, offset, true),
            _ => return no_such_handle(),
        };
        let Some(&seq) = self.handles.get(handle) else { return no_such_handle() };
        let access = self.files.get(&seq).map(|file| file.access).unwrap_or_default();
        match writes {
            true if access.write => {
                self.body = Body::Of { seq, offset };
                self.plain(id, Doing::Plain)
            }
            false if access.read => self.plain(id, Doing::Read { seq, offset }),
            _ => Course::Refuse(status::PERMISSION_DENIED, "weir: the file is not open for this"),
        }
    }

    fn plain(&mut self, id: u32, doing: Doing) -> Course {
        self.doing.insert(id, doing);
        Course::Pass
    }

    fn change_open(&self, id: u32, handle: &[u8]) -> Course {
        let Some((seq, file)) = self.file(handle) else { return no_such_handle() };
        let operation = Operation::new("fsetstat", Class::SftpAttr, vec![file.path.clone()]);
        let handles = vec![(handle.to_vec(), seq)];
        Course::Ask(Box::new(Wish { id, operation, then: Then::Other, handles }))
    }

    fn copy(&self, id: u32, from: &[u8], to: &[u8]) -> Course {
        let (Some((source, read)), Some((sink, written))) = (self.file(from), self.file(to)) else {
            return no_such_handle();
        };
        if !read.access.read || !written.access.write {
            return Course::Refuse(
                status::PERMISSION_DENIED,
                "weir: the file is not open for this",
            );
        }
        let operation = Operation::copy(read.path.clone(), written.path.clone());
        let handles = vec![(from.to_vec(), source), (to.to_vec(), sink)];
        Course::Ask(Box::new(Wish { id, operation, then: Then::Other, handles }))
    }

    fn file(&self, handle: &[u8]) -> Option<(u64, &File)> {
        let seq = *self.handles.get(handle)?;
        Some((seq, self.files.get(&seq)?))
    }

    fn path(&self, path: &[u8]) -> FilePath {
        FilePath::new(path, self.home())
    }

    fn home(&self) -> Option<&[u8]> {
        match &self.home {
            Home::Known(home) => Some(home.as_slice()),
            Home::Unknown | Home::Doubtful => None,
        }
    }

    /// Whether the handles of a request still mean what they meant when it was asked.
    pub fn is_as_asked(&self, wish: &Wish) -> bool {
        wish.handles.iter().all(|(handle, seq)| self.handles.get(handle) == Some(seq))
    }

    /// The request goes to the target; its row is `seq`.
    pub fn goes(&mut self, wish: &Wish, seq: u64, at_us: u64) {
        let path = wish.operation.paths.first().map(|(path, _)| path.clone());
        let path = path.unwrap_or(FilePath { text: Vec::new(), clear: false });
        let doing = match wish.then {
            Then::Open(access) => Doing::Open { seq, at_us, access, path },
            Then::OpenFolder => Doing::Open { seq, at_us, access: Access::default(), path },
            Then::Other => Doing::Other { seq, at_us },
        };
        self.doing.insert(wish.id, doing);
    }

    /// Weir answers a request itself.
    pub fn refuse(&mut self, id: u32, code: u32, words: &str) {
        self.doing.remove(&id);
        // Some of it is a person's reason, and clients print it as it is.
        let words: String =
            words.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
        self.own.push_back(sftp::write_status(id, code, &words));
    }

    /// The next reply of weir's own, if one may stand here; `done` takes it off.
    pub fn own(&self, anywhere: bool) -> Option<&[u8]> {
        let may = (anywhere || self.replies.is_between()) && !self.greeting.keeps();
        self.own.front().filter(|_| may).map(Vec::as_slice)
    }

    /// The next reply was said.
    pub fn done(&mut self) {
        self.own.pop_front();
    }

    /// Whether weir has something to say.
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Contents of a WRITE; `false` if they go nowhere.
    pub fn contents(
        &mut self,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Fault> {
        let Body::Of { seq, offset } = self.body else { return Ok(false) };
        self.body = Body::Of { seq, offset: offset.saturating_add(bytes.len() as u64) };
        if let Some(file) = self.files.get_mut(&seq) {
            file.written.take(offset, bytes, core, stage).map_err(record_fault)?;
        }
        Ok(true)
    }

    /// Bytes of the target. Where a packet of weir's may stand among them, if one waits.
    pub fn heard(
        &mut self,
        bytes: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Option<usize>, Fault> {
        let mut rest = bytes;
        let mut between = None;
        while let Some(said) = self.replies.next(&mut rest).map_err(target_broken)? {
            match said {
                Replied::Data { id, .. } => match self.doing.remove(&id) {
                    Some(Doing::Read { seq, offset }) => self.reading = Some((seq, offset)),
                    _ => return Err(target_broken(Broken::Order)),
                },
                Replied::Body(body) => self.was_read(body, core, stage)?,
                Replied::Packet(kind, kept) => {
                    let (id, reply) = sftp::reply(kind, &kept).map_err(target_broken)?;
                    self.replied(id, reply, core, stage)?;
                }
            }
            if self.replies.is_between() {
                between = Some(bytes.len() - rest.len());
            }
        }
        Ok(between.filter(|_| self.has_own()))
    }

    fn was_read(
        &mut self,
        body: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some((seq, offset)) = self.reading else { return Ok(()) };
        self.reading = Some((seq, offset.saturating_add(body.len() as u64)));
        match self.files.get_mut(&seq) {
            Some(file) => file.read.take(offset, body, core, stage).map_err(record_fault),
            None => Ok(()),
        }
    }

    fn replied(
        &mut self,
        id: u32,
        reply: Reply<'_>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if let Reply::Version(version) = reply {
            let again = std::mem::replace(&mut self.answered, true);
            let known = self.begun && !again && version <= sftp::VERSION;
            return if known { Ok(()) } else { Err(target_broken(Broken::Order)) };
        }
        let doing = self.doing.remove(&id).ok_or(target_broken(Broken::Order))?;
        match (doing, reply) {
            (Doing::Held, _) => return Err(target_broken(Broken::Order)),
            (Doing::Open { seq, at_us, access, path }, Reply::Handle(handle)) => {
                if self.handles.insert(handle.to_vec(), seq).is_some() {
                    return Err(target_broken(Broken::Order));
                }
                let read = Transfer::new(seq, 1, self.limits.read);
                let written = Transfer::new(seq, 0, self.limits.written);
                self.files.insert(seq, File { at_us, path, access, read, written });
            }
            (_, Reply::Handle(_)) => return Err(target_broken(Broken::Order)),
            (Doing::Open { seq, at_us, .. } | Doing::Other { seq, at_us }, Reply::Status(code)) => {
                let ended = Ended { seq, at_us, code: Some(code) };
                ended.record(None, core, stage)?;
            }
            (Doing::Open { .. }, _) => return Err(target_broken(Broken::Order)),
            (Doing::Other { seq, at_us }, _) => {
                Ended { seq, at_us, code: Some(status::OK) }.record(None, core, stage)?;
            }
            (Doing::Close { seq }, Reply::Status(code)) => {
                self.file_ends(seq, Some(code), core, stage)?;
            }
            (Doing::Close { .. }, _) => return Err(target_broken(Broken::Order)),
            (Doing::Home, Reply::Name(name)) => self.home_is(name),
            (Doing::Home | Doing::Plain | Doing::Read { .. }, _) => {}
        }
        Ok(())
    }

    /// Whether VERSION has come, and nothing was asked.
    pub fn is_greeted(&self) -> bool {
        self.answered && matches!(self.greeting, Greeting::Before(_))
    }

    /// Whether weir may ask where paths start: its client has asked nothing.
    pub fn may_ask(&self) -> bool {
        self.doing.is_empty() && self.own.is_empty() && self.home == Home::Unknown
    }

    /// Weir's request goes to the target.
    pub fn asks_home(&mut self) {
        self.doing.insert(home::ID, Doing::Home);
        self.greeting.asks();
    }

    /// Whether the reply to weir's request has come.
    pub fn is_home_told(&self) -> bool {
        match self.greeting {
            Greeting::Asked(id, _) => !self.doing.contains_key(&id),
            Greeting::Before(_) | Greeting::Over => false,
        }
    }

    fn home_is(&mut self, name: Option<&[u8]>) {
        let told = name.filter(|name| name.first() == Some(&b'/'));
        self.home = match (&self.home, told) {
            (Home::Unknown, Some(told)) => Home::Known(told.to_vec()),
            (Home::Known(home), Some(told)) if home == told => Home::Known(told.to_vec()),
            _ => Home::Doubtful,
        };
    }

    fn file_ends(
        &mut self,
        seq: u64,
        code: Option<u32>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Some(file) = self.files.remove(&seq) else { return Ok(()) };
        let ended = Ended { seq, at_us: file.at_us, code };
        ended.record(Some(&file), core, stage).map(drop)
    }

    /// The channel is over: the rows of what is open and under way are written.
    pub fn end(mut self, core: &mut Office, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let mut open: Vec<u64> = self.files.keys().copied().collect();
        open.sort_unstable();
        for seq in open {
            self.file_ends(seq, None, core, stage)?;
        }
        let mut under_way: Vec<(u64, u64)> = self
            .doing
            .values()
            .filter_map(|doing| match doing {
                Doing::Open { seq, at_us, .. } | Doing::Other { seq, at_us } => {
                    Some((*seq, *at_us))
                }
                _ => None,
            })
            .collect();
        under_way.sort_unstable();
        for (seq, at_us) in under_way {
            Ended { seq, at_us, code: None }.record(None, core, stage)?;
        }
        Ok(())
    }
}

/// How an operation ended; without a code nobody was told.
struct Ended {
    seq: u64,
    at_us: u64,
    code: Option<u32>,
}

impl Ended {
    fn record(
        &self,
        file: Option<&File>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<Receipt, Fault> {
        let outcome = match self.code {
            Some(status::OK) => Outcome::Success,
            Some(_) => Outcome::Error,
            None => Outcome::Aborted,
        };
        let code = self.code.filter(|code| *code != status::OK);
        let mut response = Response {
            command_seq: self.seq,
            outcome,
            error_text: code.map_or("", words),
            duration_us: stage.now.mono_us.saturating_sub(self.at_us),
            extra: ResponseExtra {
                status: self.code.and_then(|code| i32::try_from(code).ok()),
                ..ResponseExtra::default()
            },
            ..Response::default()
        };
        let (digest, attrs, tag);
        if let Some(File { read, written, .. }) = file {
            digest = read.digest();
            attrs = written.attrs(read);
            tag = match (read.bytes, written.bytes) {
                (0, 0) => String::new(),
                (bytes, 0) => format!("read {bytes}"),
                (0, bytes) => format!("wrote {bytes}"),
                (read, written) => format!("read {read}, wrote {written}"),
            };
            response.tag = &tag;
            response.bytes = read.bytes;
            response.captured_bytes = read.captured;
            response.chunks = read.chunks + written.chunks;
            response.extra.body_len = Some(read.bytes);
            response.extra.body_sha256 = digest.as_ref();
            response.extra.truncated = Some(read.captured < read.bytes);
            response.extra.attrs = &attrs;
        }
        core.record(&Entry::Response(response), stage).map_err(record_fault)
    }
}

const fn words(code: u32) -> &'static str {
    match code {
        status::EOF => "end of file",
        status::NO_SUCH_FILE => "no such file",
        status::PERMISSION_DENIED => "permission denied",
        status::OP_UNSUPPORTED => "operation unsupported",
        _ => "failure",
    }
}

const fn no_such_handle() -> Course {
    Course::Refuse(status::FAILURE, "weir: no such handle")
}

fn target_broken(why: Broken) -> Fault {
    broken(Side::Server, why)
}
