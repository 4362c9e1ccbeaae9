//! What an operation on files is, over SFTP.
//!
//! In: the operation, its paths as the client wrote them, the folder that relative ones start from.
//! Out: an action, and the text that its record shows. Never: a path by guess: `..`, and what starts
//! from a folder that nobody has told yet, is unclear, which no rule with `paths` allows.
//!
//! Links are the target's: rules with `paths` bind nobody who may make links or has a shell.

use std::borrow::Cow;

use super::Class;
use crate::decide::{Act, Action, ClassSet, Fact, FactKind, Object};
use crate::wire::Protocol;
use crate::wire::ssh::sftp::open;

/// A path, as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// Absolute if it is known from where it starts; without `.` and `//`.
    pub text: Vec<u8>,
    /// It means what it says.
    pub clear: bool,
}

impl FilePath {
    /// A path of a client whose relative paths start from `home`.
    pub fn new(path: &[u8], home: Option<&[u8]>) -> FilePath {
        let base = match (path.first(), home) {
            (Some(b'/'), _) => &b""[..],
            (_, Some(home)) => home,
            (_, None) => return FilePath { text: path.to_vec(), clear: false },
        };
        let mut text = Vec::new();
        let mut clear = !path.contains(&0);
        for part in base.split(slash).chain(path.split(slash)) {
            clear &= part != b"..";
            if !part.is_empty() && part != b"." {
                text.push(b'/');
                text.extend_from_slice(part);
            }
        }
        if text.is_empty() {
            text.push(b'/');
        }
        FilePath { text, clear }
    }

    fn shown(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }
}

const fn slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// What may be done with a file that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// READ.
    pub read: bool,
    /// WRITE.
    pub write: bool,
}

impl Access {
    /// By the flags of an OPEN, as OpenSSH reads them: without WRITE it opens for reading.
    pub const fn of(flags: u32) -> Access {
        let write = flags & open::WRITE != 0;
        Access { read: flags & open::READ != 0 || !write, write }
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it is called in records.
    pub verb: &'static str,
    /// What it is.
    pub classes: ClassSet,
    /// What it names, and whether that is changed.
    pub paths: Vec<(FilePath, bool)>,
    /// Flags of an OPEN.
    pub note: String,
}

impl Operation {
    /// An operation on paths that it all changes, or all leaves.
    pub fn new(verb: &'static str, class: Class, paths: Vec<FilePath>) -> Operation {
        let changes = !matches!(class, Class::SftpList | Class::SftpRead);
        let paths = paths.into_iter().map(|path| (path, changes)).collect();
        Operation { verb, classes: class.only(), paths, note: String::new() }
    }

    /// An OPEN: what may be read is read, what may be made or changed is written.
    pub fn open(path: FilePath, flags: u32) -> Operation {
        const NAMES: [(u32, &str); 6] = [
            (open::READ, "read"),
            (open::WRITE, "write"),
            (open::APPEND, "append"),
            (open::CREAT, "create"),
            (open::TRUNC, "truncate"),
            (open::EXCL, "exclusive"),
        ];
        const CHANGES: u32 = open::WRITE | open::APPEND | open::CREAT | open::TRUNC;
        let changes = flags & CHANGES != 0;
        let mut classes = ClassSet::default();
        if Access::of(flags).read {
            classes = classes.and(Class::SftpRead.only());
        }
        if changes {
            classes = classes.and(Class::SftpWrite.only());
        }
        let names = NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name);
        let note = names.collect::<Vec<_>>().join(",");
        Operation { verb: "open", classes, paths: vec![(path, changes)], note }
    }

    /// As rules see it.
    pub fn action(&self) -> Action {
        let object = |(path, write): &(FilePath, bool)| Object::bare(path.shown(), *write);
        let fact = |(path, _): &(FilePath, bool)| match path.clear {
            true => Fact::is(FactKind::Path, &path.text),
            false => Fact::unclear(FactKind::Path),
        };
        let act = Act {
            operation: Cow::Borrowed(self.verb),
            objects: self.paths.iter().map(object).collect(),
            facts: self.paths.iter().map(fact).collect(),
            ..Act::of(self.classes, "")
        };
        Action::new(Protocol::Ssh, vec![act])
    }

    /// As records and people see it: `open /srv/a read`.
    pub fn text(&self) -> Vec<u8> {
        let mut text = self.verb.as_bytes().to_vec();
        for (path, _) in &self.paths {
            text.push(b' ');
            text.extend_from_slice(&path.text);
        }
        if !self.note.is_empty() {
            text.push(b' ');
            text.extend_from_slice(self.note.as_bytes());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_or_unclear() {
        for (path, home, text, clear) in [
            ("/srv//a/./b/", None, "/srv/a/b", true),
            ("a", Some("/home/x"), "/home/x/a", true),
            ("", Some("/home/x"), "/home/x", true),
            (".", Some("/"), "/", true),
            ("a", None, "a", false),
            ("/srv/../etc", None, "/srv/../etc", false),
            ("../a", Some("/home/x"), "/home/x/../a", false),
            ("/a..b/...", None, "/a..b/...", true),
            ("/srv/a\0/etc", None, "/srv/a\0/etc", false),
        ] {
            let made = FilePath::new(path.as_bytes(), home.map(str::as_bytes));
            let expect = FilePath { text: text.as_bytes().to_vec(), clear };
            assert_eq!(made, expect, "{path}");
        }
    }

    #[test]
    fn an_open_is_what_its_flags_let_it_do() {
        for (flags, read, write, names) in [
            (0, true, false, ""),
            (1, true, false, "read"),
            (2 | 8 | 16, false, true, "write,create,truncate"),
            (3, true, true, "read,write"),
            (8, true, true, "create"),
            (4, true, true, "append"),
        ] {
            let operation = Operation::open(FilePath::new(b"/a", None), flags);
            assert_eq!(operation.classes.has(Class::SftpRead), read, "{flags}");
            assert_eq!(operation.classes.has(Class::SftpWrite), write, "{flags}");
            assert_eq!(operation.note, names);
        }
    }
}
