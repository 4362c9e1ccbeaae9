//! SFTP, version 3: requests of the client and replies of the target, taken from their streams
//! (draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL section 4).
//!
//! In: bytes of a channel, in any split. Out: requests, each whole but for the contents of WRITE;
//! replies as they pass, and where one ends. Never: a request that is longer than its bound, a
//! copy of contents, a field that is not there.
//!
//! ```text
//!   client --bytes--> Requests: Request(packet) | Write(head), Body*   --> typed by `Request`
//!   target --bytes--> Replies:  Data(head), Body* | Packet(kind, id, first bytes)
//! ```
//!
//! A packet is a length, a type, for all but INIT and VERSION an id, and fields. Contents are never
//! held: a receiver's window may be smaller than a WRITE.

use super::Broken;
use super::fields::{Fields, Write as _};
use crate::limits::{
    SFTP_HANDLE_BYTES_MAX, SFTP_KEPT_BYTES_MAX, SFTP_PACKET_BYTES_MAX, SFTP_REQUEST_BYTES_MAX,
};

/// Types of packets (draft section 3), as they stand in messages.
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the draft without their prefix")]
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const FSTAT: u8 = 8;
    pub const SETSTAT: u8 = 9;
    pub const FSETSTAT: u8 = 10;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const RMDIR: u8 = 15;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const READLINK: u8 = 19;
    pub const SYMLINK: u8 = 20;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 200;
    pub const EXTENDED_REPLY: u8 = 201;
}

/// Codes of STATUS (draft section 7).
pub mod status {
    #![allow(missing_docs, reason = "the names are those of the draft without their prefix")]
    pub const OK: u32 = 0;
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
    pub const FAILURE: u32 = 4;
    pub const OP_UNSUPPORTED: u32 = 8;
}

/// The version that weir reads.
pub const VERSION: u32 = 3;
/// What a packet begins with: its length and its type.
const HEAD_BYTES: usize = 5;

/// What came of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked<'b> {
    /// A whole request, with its length.
    Request(Vec<u8>),
    /// A WRITE up to its contents, which follow.
    Write(Vec<u8>),
    /// Contents of the last WRITE; whether they are its last.
    Body(&'b [u8], bool),
}

/// The stream of a client's requests.
#[derive(Debug, Default)]
pub struct Requests {
    /// A packet that is not whole yet.
    held: Vec<u8>,
    /// Contents of a WRITE that are still to come.
    body: u32,
}

impl Requests {
    /// Bytes of a request that is not whole.
    pub const fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// The next request, or a part of one; what it is made of is taken off the front of `bytes`.
    /// `None` if all of them were taken and more are needed.
    ///
    /// # Errors
    /// `Fields` for what is no packet, `Flood` for one beyond its bound.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Asked<'b>>, Broken> {
        if self.body > 0 {
            return Ok(self.contents(bytes));
        }
        loop {
            let want = self.wanted()?;
            if want == 0 {
                break;
            }
            let take = want.min(bytes.len());
            let (head, rest) = bytes.split_at(take);
            self.held.extend_from_slice(head);
            *bytes = rest;
            if take < want {
                return Ok(None);
            }
        }
        let packet = std::mem::take(&mut self.held);
        if packet.get(4) != Some(&kind::WRITE) {
            return Ok(Some(Asked::Request(packet)));
        }
        match Request::parse(&packet)? {
            Request { op: Op::Write { count, .. }, .. } => self.body = count,
            _ => return Err(Broken::Fields),
        }
        Ok(Some(Asked::Write(packet)))
    }

    fn contents<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Asked<'b>> {
        if bytes.is_empty() {
            return None;
        }
        let take = bytes.len().min(self.body as usize);
        let (body, rest) = bytes.split_at(take);
        *bytes = rest;
        self.body -= u32::try_from(take).expect("no more than what is missing");
        Some(Asked::Body(body, self.body == 0))
    }

    /// How many more bytes are needed to know more; 0 if what is held is whole.
    fn wanted(&self) -> Result<usize, Broken> {
        let mut fields = Fields::new(&self.held);
        let (Ok(length), Ok(kind)) = (fields.u32(), fields.u8()) else {
            return Ok(HEAD_BYTES - self.held.len());
        };
        let whole = length as usize + 4;
        if whole < HEAD_BYTES + 4 {
            return Err(Broken::Fields);
        }
        if kind != kind::WRITE {
            return match whole {
                0..=SFTP_REQUEST_BYTES_MAX => Ok(whole - self.held.len()),
                _ => Err(Broken::Flood),
            };
        }
        if whole > SFTP_PACKET_BYTES_MAX {
            return Err(Broken::Flood);
        }
        // Id, length of the handle; then the handle, the offset and the length of the contents.
        let start = HEAD_BYTES + 8;
        let (Ok(_id), Ok(handle)) = (fields.u32(), fields.u32()) else {
            return Ok(start - self.held.len());
        };
        let handle = handle as usize;
        if handle > SFTP_HANDLE_BYTES_MAX {
            return Err(Broken::Fields);
        }
        let head = start + handle + 12;
        if head > whole {
            return Err(Broken::Fields);
        }
        let missing = head - self.held.len();
        if missing == 0 {
            let contents = self.held.last_chunk().map(|count| u32::from_be_bytes(*count));
            if contents.map(|count| head + count as usize) != Some(whole) {
                return Err(Broken::Fields);
            }
        }
        Ok(missing)
    }
}

/// A request and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// The client's number for it; INIT has none.
    pub id: u32,
    /// What is asked.
    pub op: Op<'b>,
    /// What follows: attributes, where it has some.
    pub rest: &'b [u8],
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the draft")]
pub enum Op<'b> {
    Init(u32),
    Open { path: &'b [u8], flags: u32 },
    Close(&'b [u8]),
    Read { handle: &'b [u8], offset: u64, count: u32 },
    Write { handle: &'b [u8], offset: u64, count: u32 },
    Lstat(&'b [u8]),
    Fstat(&'b [u8]),
    Setstat(&'b [u8]),
    Fsetstat(&'b [u8]),
    Opendir(&'b [u8]),
    Readdir(&'b [u8]),
    Remove(&'b [u8]),
    Mkdir(&'b [u8]),
    Rmdir(&'b [u8]),
    Realpath(&'b [u8]),
    Stat(&'b [u8]),
    Rename(&'b [u8], &'b [u8]),
    Readlink(&'b [u8]),
    Symlink(&'b [u8], &'b [u8]),
    Extended(Extension<'b>),
}

/// Flags of OPEN (draft section 6.3).
pub mod open {
    #![allow(missing_docs, reason = "the names are those of the draft without their prefix")]
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const APPEND: u32 = 4;
    pub const CREAT: u32 = 8;
    pub const TRUNC: u32 = 16;
    pub const EXCL: u32 = 32;
}

/// What OpenSSH added (PROTOCOL sections 4.3 to 4.11), and whatever else is asked by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of OpenSSH")]
pub enum Extension<'b> {
    PosixRename(&'b [u8], &'b [u8]),
    Hardlink(&'b [u8], &'b [u8]),
    Lsetstat(&'b [u8]),
    Statvfs(&'b [u8]),
    Fstatvfs(&'b [u8]),
    Fsync(&'b [u8]),
    CopyData {
        from: &'b [u8],
        to: &'b [u8],
    },
    ExpandPath(&'b [u8]),
    /// Where a user of the target's is at home.
    HomeDirectory(&'b [u8]),
    /// The names of users and groups, by their numbers, of four bytes each.
    UsersGroups {
        users: &'b [u8],
        groups: &'b [u8],
    },
    /// `limits@openssh.com`: of the server's buffers.
    Limits,
    Unknown(&'b [u8]),
}

impl<'b> Request<'b> {
    /// Reads a packet; of a WRITE what stands before its contents. What follows the fields that
    /// are read here (attributes) is the target's to understand.
    ///
    /// # Errors
    /// `Fields` if it has not the fields of its type, or is of a type that no client sends.
    pub fn parse(packet: &'b [u8]) -> Result<Request<'b>, Broken> {
        let mut fields = Fields::new(packet);
        fields.u32()?;
        let kind = fields.u8()?;
        let id = fields.u32()?;
        let op = match kind {
            kind::INIT => return Ok(Request { id: 0, op: Op::Init(id), rest: fields.rest() }),
            kind::OPEN => Op::Open { path: fields.string()?, flags: fields.u32()? },
            kind::CLOSE => Op::Close(fields.string()?),
            kind::READ | kind::WRITE => {
                let (handle, offset, count) = (fields.string()?, fields.u64()?, fields.u32()?);
                match kind {
                    kind::READ => Op::Read { handle, offset, count },
                    _ => Op::Write { handle, offset, count },
                }
            }
            kind::LSTAT => Op::Lstat(fields.string()?),
            kind::FSTAT => Op::Fstat(fields.string()?),
            kind::SETSTAT => Op::Setstat(fields.string()?),
            kind::FSETSTAT => Op::Fsetstat(fields.string()?),
            kind::OPENDIR => Op::Opendir(fields.string()?),
            kind::READDIR => Op::Readdir(fields.string()?),
            kind::REMOVE => Op::Remove(fields.string()?),
            kind::MKDIR => Op::Mkdir(fields.string()?),
            kind::RMDIR => Op::Rmdir(fields.string()?),
            kind::REALPATH => Op::Realpath(fields.string()?),
            kind::STAT => Op::Stat(fields.string()?),
            kind::RENAME => Op::Rename(fields.string()?, fields.string()?),
            kind::READLINK => Op::Readlink(fields.string()?),
            kind::SYMLINK => Op::Symlink(fields.string()?, fields.string()?),
            kind::EXTENDED => Op::Extended(Extension::read(&mut fields)?),
            _ => return Err(Broken::Fields),
        };
        Ok(Request { id, op, rest: fields.rest() })
    }
}

/// The attributes that a request sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// For records and people: `mode=0644 size=0`.
    pub words: String,
    flags: u32,
}

impl Attributes {
    const SIZE: u32 = 1;
    const OWNER: u32 = 2;
    const MODE: u32 = 4;
    const TIMES: u32 = 8;

    /// As they stand at the end of a request.
    ///
    /// # Errors
    /// `Fields` if they are none.
    pub fn parse(rest: &[u8]) -> Result<Attributes, Broken> {
        let mut fields = Fields::new(rest);
        // Some clients leave them out where they set nothing.
        let flags = if rest.is_empty() { 0 } else { fields.u32()? };
        let mut words = Vec::new();
        if flags & Self::SIZE != 0 {
            words.push(format!("size={}", fields.u64()?));
        }
        if flags & Self::OWNER != 0 {
            words.push(format!("owner={}:{}", fields.u32()?, fields.u32()?));
        }
        if flags & Self::MODE != 0 {
            words.push(format!("mode={:04o}", fields.u32()? & 0o7777));
        }
        if flags & Self::TIMES != 0 {
            words.push(format!("times={},{}", fields.u32()?, fields.u32()?));
        }
        let others = flags & !(Self::SIZE | Self::OWNER | Self::MODE | Self::TIMES);
        if others != 0 {
            words.push(format!("others={others:#x}"));
        }
        Ok(Attributes { words: words.join(" "), flags })
    }

    /// As [`Attributes::words`] has them: of each what stands before its `=`.
    pub fn of_words<'w>(words: impl Iterator<Item = &'w [u8]>) -> Attributes {
        let flags = words.map(|word| match word.split(|byte| *byte == b'=').next() {
            Some(b"size") => Self::SIZE,
            Some(b"owner") => Self::OWNER,
            Some(b"mode") => Self::MODE,
            Some(b"times") => Self::TIMES,
            _ => !(Self::SIZE | Self::OWNER | Self::MODE | Self::TIMES),
        });
        Attributes { words: String::new(), flags: flags.fold(0, |all, one| all | one) }
    }

    /// Whether the content may be another one afterwards: a file that is given another size is cut
    /// or filled (truncate(2)), and what is not known may be anything.
    pub const fn may_change_content(&self) -> bool {
        self.flags & !(Self::OWNER | Self::MODE | Self::TIMES) != 0
    }

    /// Whether more is set than a size.
    pub const fn has_more_than_size(&self) -> bool {
        self.flags & !Self::SIZE != 0
    }
}

impl<'b> Extension<'b> {
    fn read(fields: &mut Fields<'b>) -> Result<Extension<'b>, Broken> {
        Ok(match fields.string()? {
            b"posix-rename@openssh.com" => {
                Extension::PosixRename(fields.string()?, fields.string()?)
            }
            b"hardlink@openssh.com" => Extension::Hardlink(fields.string()?, fields.string()?),
            b"lsetstat@openssh.com" => Extension::Lsetstat(fields.string()?),
            b"statvfs@openssh.com" => Extension::Statvfs(fields.string()?),
            b"fstatvfs@openssh.com" => Extension::Fstatvfs(fields.string()?),
            b"fsync@openssh.com" => Extension::Fsync(fields.string()?),
            b"expand-path@openssh.com" => Extension::ExpandPath(fields.string()?),
            b"copy-data" => {
                let from = fields.string()?;
                fields.u64()?;
                fields.u64()?;
                Extension::CopyData { from, to: fields.string()? }
            }
            b"home-directory" => Extension::HomeDirectory(fields.string()?),
            b"users-groups-by-id@openssh.com" => {
                Extension::UsersGroups { users: fields.string()?, groups: fields.string()? }
            }
            b"limits@openssh.com" => Extension::Limits,
            name => Extension::Unknown(name),
        })
    }
}

/// Makes an INIT ask for no version beyond the one that weir reads.
pub fn limit_version(packet: &mut [u8]) {
    if let Some(version) = packet.get_mut(5..9)
        && *version > VERSION.to_be_bytes()[..]
    {
        version.copy_from_slice(&VERSION.to_be_bytes());
    }
}

/// What came of a target.
#[derive(Debug, PartialEq, Eq)]
pub enum Replied<'b> {
    /// Contents follow, as many bytes as this.
    Data {
        /// Of the READ.
        id: u32,
        /// How many.
        count: u32,
    },
    /// Contents.
    Body(&'b [u8]),
    /// Any other reply that is over: what follows its type, as far as it is kept.
    Packet(u8, Vec<u8>),
}

/// The stream of a target's replies.
#[derive(Debug, Default)]
pub struct Replies {
    /// The start of the packet that is under way.
    held: Vec<u8>,
    /// Bytes of it that are still to come, once its length is known.
    left: usize,
    body: bool,
}

impl Replies {
    /// Whether no packet is under way: weir's own may stand here.
    pub const fn is_between(&self) -> bool {
        self.held.is_empty() && !self.body
    }

    /// The next reply, or a part of one, as in [`Requests::next`].
    ///
    /// # Errors
    /// `Fields` for what is no packet, `Flood` for one beyond its bound.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Replied<'b>>, Broken> {
        if self.body {
            return Ok(self.contents(bytes));
        }
        /// Length, type, id, length of the contents.
        const DATA_HEAD_BYTES: usize = 13;
        while self.held.len() < HEAD_BYTES {
            let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
            self.held.push(first);
            *bytes = rest;
            if self.held.len() == HEAD_BYTES {
                let length = Fields::new(&self.held).u32()? as usize;
                if !(HEAD_BYTES..=SFTP_PACKET_BYTES_MAX).contains(&length) {
                    return Err(Broken::Fields);
                }
                self.left = length - 1;
            }
        }
        let kind = self.held.get(4).copied().ok_or(Broken::Fields)?;
        let keep = if kind == kind::DATA { DATA_HEAD_BYTES } else { SFTP_KEPT_BYTES_MAX };
        let room = keep.saturating_sub(self.held.len());
        let take = if kind == kind::DATA { self.left.min(room) } else { self.left };
        let (head, rest) = bytes.split_at(take.min(bytes.len()));
        self.held.extend_from_slice(head.get(..room.min(head.len())).unwrap_or(head));
        self.left -= head.len();
        *bytes = rest;
        if kind == kind::DATA && self.held.len() == DATA_HEAD_BYTES {
            return self.data().map(Some);
        }
        if self.left > 0 {
            return Ok(None);
        }
        if kind == kind::DATA {
            return Err(Broken::Fields);
        }
        let held = std::mem::take(&mut self.held);
        Ok(Some(Replied::Packet(kind, held.get(HEAD_BYTES..).unwrap_or(&[]).to_vec())))
    }

    fn data(&mut self) -> Result<Replied<'static>, Broken> {
        let mut fields = Fields::new(self.held.get(HEAD_BYTES..).unwrap_or(&[]));
        let (id, count) = (fields.u32()?, fields.u32()?);
        if count as usize != self.left {
            return Err(Broken::Fields);
        }
        self.held.clear();
        self.body = count > 0;
        Ok(Replied::Data { id, count })
    }

    fn contents<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Replied<'b>> {
        if bytes.is_empty() {
            return None;
        }
        let (body, rest) = bytes.split_at(bytes.len().min(self.left));
        *bytes = rest;
        self.left -= body.len();
        self.body = self.left > 0;
        Some(Replied::Body(body))
    }
}

/// A reply as it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'b> {
    /// The version of the target.
    Version(u32),
    /// How a request ended.
    Status(u32),
    /// A file or folder was opened.
    Handle(&'b [u8]),
    /// The first of the names; `None` if it is too long to be kept.
    Name(Option<&'b [u8]>),
    /// Anything else.
    Other,
}

/// Reads what was kept of a reply: the id (0 for VERSION), and what it says.
///
/// # Errors
/// `Fields` if it has not the fields of its type, or is of a type that no target sends.
pub fn reply(kind: u8, kept: &[u8]) -> Result<(u32, Reply<'_>), Broken> {
    let mut fields = Fields::new(kept);
    let id = fields.u32()?;
    let said = match kind {
        kind::VERSION => return Ok((0, Reply::Version(id))),
        kind::STATUS => Reply::Status(fields.u32()?),
        kind::HANDLE => {
            let handle = fields.string()?;
            if handle.len() > SFTP_HANDLE_BYTES_MAX {
                return Err(Broken::Fields);
            }
            Reply::Handle(handle)
        }
        kind::NAME => {
            let count = fields.u32()?;
            Reply::Name(if count == 1 { fields.string().ok() } else { None })
        }
        kind::ATTRS | kind::EXTENDED_REPLY => Reply::Other,
        _ => return Err(Broken::Fields),
    };
    Ok((id, said))
}

/// A STATUS of weir's own.
pub fn write_status(id: u32, code: u32, words: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    fields.put_u8(kind::STATUS).put_u32(id).put_u32(code);
    fields.put_string(words.as_bytes()).put_string(b"");
    let mut packet = Vec::new();
    packet.put_string(&fields);
    packet
}

#[cfg(test)]
mod tests;
