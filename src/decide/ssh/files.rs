//! What an operation on files is, over SFTP.
//!
//! In: the operation, its paths as the client wrote them, the folder that relative ones start from.
//! Out: an action, and the text that its record shows. Never: a path by guess: `..`, and what
//! starts from a folder that nobody has told yet, is unclear, which no rule with `paths` allows.
//!
//! Links are the target's: rules with `paths` bind nobody who may make links or has a shell.

use std::borrow::Cow;

use super::Class;
use crate::decide::{Act, Action, ClassSet, Fact, FactKind, Object};
use crate::wire::Protocol;
use crate::wire::ssh::sftp::open;

/// What moves a file or a folder is called.
pub const RENAME: &str = "rename";

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

    /// As a condition on paths sees it.
    pub fn fact(&self) -> Fact {
        match self.clear {
            true => Fact::is(FactKind::Path, &self.text),
            false => Fact::unclear(FactKind::Path),
        }
    }

    /// All that lies below it.
    pub fn below(&self) -> Fact {
        Fact::below(FactKind::Path, self.root())
    }

    fn root(&self) -> Vec<u8> {
        let mut root = self.text.clone();
        if !root.ends_with(b"/") {
            root.push(b'/');
        }
        root
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
    /// Flags of an OPEN, attributes that are set.
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

    /// Attributes that it sets: for records and people.
    pub fn sets(&mut self, attributes: &str) {
        if !self.note.is_empty() && !attributes.is_empty() {
            self.note.push(' ');
        }
        self.note.push_str(attributes);
    }

    /// As rules see it.
    pub fn action(&self) -> Action {
        let object = |(path, write): &(FilePath, bool)| Object::bare(path.shown(), *write);
        let mut facts: Vec<Fact> = self.paths.iter().map(|(path, _)| path.fact()).collect();
        if self.verb == RENAME {
            // A folder takes along what it holds.
            let folders = self.paths.iter().filter(|(path, _)| path.clear);
            facts.extend(folders.map(|(path, _)| Fact::maybe_below(FactKind::Path, path.root())));
        }
        let act = Act {
            operation: Cow::Borrowed(self.verb),
            objects: self.paths.iter().map(object).collect(),
            facts,
            ..Act::of(self.classes, "")
        };
        Action::new(Protocol::Ssh, vec![act])
    }

    /// As records and people see it: `open /srv/a read`.
    pub fn text(&self) -> Vec<u8> {
        let mut text = self.verb.as_bytes().to_vec();
        for (path, _) in &self.paths {
            text.push(b' ');
            text.extend_from_slice(quoted_bytes(&path.text).as_bytes());
        }
        if !self.note.is_empty() {
            text.push(b' ');
            text.extend_from_slice(self.note.as_bytes());
        }
        text
    }
}

/// A name as people see it: one word. What could be taken for several, for its own quotes, or what
/// nobody sees, stands in quotes with escapes.
pub fn quoted(name: String) -> String {
    if is_word(&name) { name } else { quoted_bytes(name.as_bytes()).into_owned() }
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && !name.chars().any(|char| matches!(char, '"' | '\\' | ',') || is_unseen(char))
}

/// Spaces, controls, what turns the direction or joins letters.
fn is_unseen(char: char) -> bool {
    char.is_whitespace()
        || char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(char, '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{e007f}')
}

fn quoted_bytes(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && is_word(text)
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::from("\"");
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => shown.extend(['\\', char]),
                ' ' => shown.push(' '),
                _ if is_unseen(char) => shown.extend(char.escape_default()),
                _ => shown.push(char),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown.push('"');
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word() {
        for (name, expect) in [
            (&b"/srv/a"[..], "/srv/a"),
            (b"", "\"\""),
            (b"/srv/a b", "\"/srv/a b\""),
            (b"/a,b", "\"/a,b\""),
            (b"/a\"b\\c", r#""/a\"b\\c""#),
            (b"/\x1b]0;x\x07\n", r#""/\u{1b}]0;x\u{7}\n""#),
            ("/\u{e9}\u{202e}".as_bytes(), "\"/\u{e9}\\u{202e}\""),
            (b"/\xae", "\"/\\xae\""),
        ] {
            assert_eq!(quoted_bytes(name), expect);
        }
        let rename = |from: &str, to: &str| {
            let path = |path: &str| FilePath::new(path.as_bytes(), None);
            Operation::new(RENAME, Class::SftpWrite, vec![path(from), path(to)]).text()
        };
        assert_ne!(rename("/a /b", "/c"), rename("/a", "/b /c"));
        assert_eq!(rename("/a b", "/c"), b"rename \"/a b\" /c");
    }

    #[test]
    fn paths_are_made_absolute_or_unclear() {
        for (path, home, text, clear) in [
            ("/srv//a/./b/", None, "/srv/a/b", true),
            ("a", Some("/base/x"), "/base/x/a", true),
            ("", Some("/base/x"), "/base/x", true),
            (".", Some("/"), "/", true),
            ("a", None, "a", false),
            ("/srv/../etc", None, "/srv/../etc", false),
            ("../a", Some("/base/x"), "/base/x/../a", false),
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
