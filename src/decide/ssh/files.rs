//! What an operation on files is, over SFTP.
//!
//! In: the operation, its paths as the client wrote them, the folder that relative ones start from.
//! Out: an action, and the text that its record shows. Never: a path by guess: `..`, and what
//! starts from a folder that nobody has told yet, is unclear, which no rule with `paths` allows.
//!
//! Links are the target's: rules with `paths` bind nobody who may make links or has a shell. Those
//! that every Linux has are known: what lies below a process in `/proc` is anything, and folders
//! that are two names for one mean both.

use std::borrow::Cow;

use super::Class;
use crate::decide::{Act, Action, ClassSet, Fact, FactKind, Object};
use crate::wire::ssh::sftp::{Attributes, open};
use crate::wire::{Protocol, cells};

/// What moves a file or a folder is called.
pub const RENAME: &str = "rename";

/// Links to folders on every Linux (FHS 3.0 section 3.15 and on, and `/usr` merged), and where they
/// lead. Where they are folders, one denial too many.
const LINKS: [(&[u8], &[u8]); 8] = [
    (b"/var/run/", b"/run/"),
    (b"/var/lock/", b"/run/lock/"),
    // Red Hat has the link the other way around.
    (b"/var/spool/mail/", b"/var/mail/"),
    (b"/run/shm/", b"/dev/shm/"),
    (b"/bin/", b"/usr/bin/"),
    (b"/sbin/", b"/usr/sbin/"),
    (b"/lib/", b"/usr/lib/"),
    (b"/lib64/", b"/usr/lib64/"),
];

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
        let clear = clear && !may_be_anything(&text);
        FilePath { text, clear }
    }

    /// A path of which the target replaces `~` by the folder that relative paths start from
    /// (OpenSSH's sftp-server.c, `process_extended_expand`). Where somebody else is at home is not
    /// known.
    pub fn expanded(path: &[u8], home: Option<&[u8]>) -> FilePath {
        match path {
            b"~" => FilePath::new(b"", home),
            [b'~', b'/', rest @ ..] => FilePath::new(&[b"./", rest].concat(), home),
            [b'~', ..] => FilePath { text: path.to_vec(), clear: false },
            _ => FilePath::new(path, home),
        }
    }

    /// As conditions on paths see it.
    pub fn facts(&self) -> Vec<Fact> {
        if !self.clear {
            return vec![Fact::unclear(FactKind::Path)];
        }
        let mut facts = vec![Fact::is(FactKind::Path, &self.text)];
        facts.extend(self.twins().into_iter().map(|twin| Fact::maybe(FactKind::Path, twin)));
        facts
    }

    /// The same place by the links that every Linux has, and by links of those.
    fn twins(&self) -> Vec<Vec<u8>> {
        let mut all = vec![self.text.clone()];
        let mut at = 0;
        while let Some(one) = all.get(at).cloned() {
            for (from, to) in ways() {
                let twin = match one.strip_prefix(from) {
                    Some(rest) => [to, rest].concat(),
                    // The folder itself.
                    None if without_slash(from) == one => without_slash(to).to_vec(),
                    None => continue,
                };
                if !all.contains(&twin) {
                    all.push(twin);
                }
            }
            at += 1;
        }
        all.split_off(1)
    }

    /// What lies below it by those links.
    pub fn twins_below(&self) -> Vec<Fact> {
        let mut all = vec![self.root()];
        let mut at = 0;
        while let Some(root) = all.get(at).cloned() {
            for (from, to) in ways() {
                let twin = match root.strip_prefix(from) {
                    Some(rest) => [to, rest].concat(),
                    None if from.starts_with(&root) => to.to_vec(),
                    None => continue,
                };
                if !all.iter().any(|known| twin.starts_with(known)) {
                    all.push(twin);
                }
            }
            at += 1;
        }
        all.iter().skip(1).map(|root| Fact::maybe_below(FactKind::Path, root)).collect()
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

    /// As an object: bytes that are no UTF-8 stand in quotes with escapes, which no absolute path
    /// begins with.
    pub fn shown(&self) -> Cow<'_, str> {
        std::str::from_utf8(&self.text).map_or_else(|_| quoted_bytes(&self.text), Cow::Borrowed)
    }
}

fn users() -> FilePath {
    FilePath::new(b"/etc/passwd", None)
}

/// From one name of a place to the other. Each replaces a beginning by one that none of them makes
/// longer again, so what follows from a path has an end.
fn ways() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    LINKS.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)])
}

fn without_slash(folder: &[u8]) -> &[u8] {
    folder.strip_suffix(b"/").unwrap_or(folder)
}

const fn slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// Whether an absolute path may lead anywhere: below a process stand its root, its folder and what
/// it has open (proc(5)), which `/dev/fd` and its like lead to, too. Of `/proc` only what stands at
/// its top, and `sys`, is known to be no such link.
fn may_be_anything(text: &[u8]) -> bool {
    let mut parts = text.split(slash).skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(b"proc"), Some(b"sys"), _) => false,
        (Some(b"proc"), Some(name), None) => {
            matches!(name, b"self" | b"thread-self") || name.first().is_some_and(u8::is_ascii_digit)
        }
        (Some(b"proc"), Some(_), Some(_)) => true,
        (Some(b"dev"), Some(name), _) => matches!(name, b"fd" | b"stdin" | b"stdout" | b"stderr"),
        _ => false,
    }
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

    /// Where a user is at home: the target looks it up where its users stand.
    pub fn home_directory(user: &[u8]) -> Operation {
        let mut operation = Operation::new("home-directory", Class::SftpList, vec![users()]);
        operation.note = format!("user={}", quoted_bytes(user));
        operation
    }

    /// Names of users and groups by their numbers.
    pub fn names(users_by_id: &[u8], groups_by_id: &[u8]) -> Operation {
        let paths = vec![users(), FilePath::new(b"/etc/group", None)];
        let mut operation = Operation::new("users-groups-by-id", Class::SftpList, paths);
        let numbers = |bytes: &[u8]| {
            let numbers = bytes.chunks(4).map(|four| {
                four.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)).to_string()
            });
            numbers.collect::<Vec<_>>().join(",")
        };
        operation.note = format!("users={} groups={}", numbers(users_by_id), numbers(groups_by_id));
        operation
    }

    /// Contents of one open file that become those of another.
    pub fn copy(from: FilePath, to: FilePath) -> Operation {
        let classes = Class::SftpRead.only().and(Class::SftpWrite.only());
        let paths = vec![(from, false), (to, true)];
        Operation { verb: "copy", classes, paths, note: String::new() }
    }

    /// Attributes that it sets. A size is content: who may not write may not empty a file.
    pub fn sets(&mut self, attributes: &Attributes) {
        if !self.note.is_empty() && !attributes.words.is_empty() {
            self.note.push(' ');
        }
        self.note.push_str(&attributes.words);
        if !attributes.may_change_content() {
            return;
        }
        let write = Class::SftpWrite.only();
        let nothing_else =
            self.classes == Class::SftpAttr.only() && !attributes.has_more_than_size();
        self.classes = if nothing_else { write } else { self.classes.and(write) };
        self.paths.iter_mut().for_each(|(_, changes)| *changes = true);
    }

    /// As rules see it.
    pub fn action(&self) -> Action {
        let object = |(path, write): &(FilePath, bool)| Object::bare(path.shown(), *write);
        let mut facts: Vec<Fact> = self.paths.iter().flat_map(|(path, _)| path.facts()).collect();
        if self.verb == RENAME {
            // A folder takes along what it holds.
            let folders = self.paths.iter().filter(|(path, _)| path.clear);
            for (path, _) in folders {
                facts.push(Fact::maybe_below(FactKind::Path, path.root()));
                facts.extend(path.twins_below());
            }
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

/// Spaces, what nobody sees, what stands for bytes that are none.
fn is_unseen(char: char) -> bool {
    char.is_whitespace() || cells::is_unseen(char) || matches!(char, '\u{fffc}' | '\u{fffd}')
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
            ("/a\u{3164}b".as_bytes(), "\"/a\\u{3164}b\""),
            ("/a\u{34f}".as_bytes(), "\"/a\\u{34f}\""),
            ("/a\u{2800}\u{e0100}".as_bytes(), "\"/a\\u{2800}\\u{e0100}\""),
        ] {
            assert_eq!(quoted_bytes(name), expect);
        }
        let object = |name: &[u8]| FilePath::new(name, None).shown().into_owned();
        assert_eq!(object(b"/a b"), "/a b");
        assert_eq!(object(b"/a\xffb"), "\"/a\\xffb\"");
        assert_ne!(object(b"/a\xffb"), object(b"/a\xfeb"));
        assert_ne!(object(b"/a\xffb"), object(b"/a\\xffb"));
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
            ("/proc/cpuinfo", None, "/proc/cpuinfo", true),
            ("/proc/sys/kernel/osrelease", None, "/proc/sys/kernel/osrelease", true),
            ("/proc/self/cwd/shadow", None, "/proc/self/cwd/shadow", false),
            ("//proc/./1/root", None, "/proc/1/root", false),
            ("self/cwd/a", Some("/proc"), "/proc/self/cwd/a", false),
            ("/proc/thread-self", None, "/proc/thread-self", false),
            ("/dev/fd/3", None, "/dev/fd/3", false),
            ("/dev/stdin", None, "/dev/stdin", false),
            ("/dev/shm/a", None, "/dev/shm/a", true),
            ("/process/self/root", None, "/process/self/root", true),
        ] {
            let made = FilePath::new(path.as_bytes(), home.map(str::as_bytes));
            let expect = FilePath { text: text.as_bytes().to_vec(), clear };
            assert_eq!(made, expect, "{path}");
        }
    }

    #[test]
    fn links_that_every_linux_has_are_both_of_their_names() {
        let path = |path: &str| FilePath::new(path.as_bytes(), None);
        let is = |text: &str| Fact::is(FactKind::Path, text);
        let maybe = |text: &str| Fact::maybe(FactKind::Path, text);
        let below = |text: &str| Fact::maybe_below(FactKind::Path, text);
        assert_eq!(path("/srv/run/a").facts(), [is("/srv/run/a")]);
        assert_eq!(path("/var/run/a").facts(), [is("/var/run/a"), maybe("/run/a")]);
        assert_eq!(path("/run/a").facts(), [is("/run/a"), maybe("/var/run/a")]);
        let lock = [is("/run/lock/a"), maybe("/var/run/lock/a"), maybe("/var/lock/a")];
        assert_eq!(path("/run/lock/a").facts(), lock);
        assert_eq!(path("/var/run/a").twins_below(), [below("/run/a/")]);
        let of_var = [below("/run/"), below("/dev/shm/")];
        assert_eq!(path("/var").twins_below(), of_var);
        assert_eq!(path("/run/lock").twins_below(), [below("/var/run/lock/"), below("/var/lock/")]);
        let lock = [is("/var/run/lock/a"), maybe("/run/lock/a"), maybe("/var/lock/a")];
        assert_eq!(path("/var/run/lock/a").facts(), lock);
        let shm = [is("/var/run/shm/a"), maybe("/run/shm/a"), maybe("/dev/shm/a")];
        assert_eq!(path("/var/run/shm/a").facts(), shm);
        assert_eq!(path("/var/spool/mail/a").facts()[1..], [maybe("/var/mail/a")]);
        assert_eq!(path("/var/mail").facts(), [is("/var/mail"), maybe("/var/spool/mail")]);
        assert!(path("/srv").twins_below().is_empty());
        assert_eq!(path("/proc/1/fd/3").facts(), [Fact::unclear(FactKind::Path)]);
    }

    #[test]
    fn names_of_users_stand_where_the_target_looks() {
        let path = |path: &[u8], home: Option<&str>| {
            let made = FilePath::expanded(path, home.map(str::as_bytes));
            (String::from_utf8(made.text).expect("a text"), made.clear)
        };
        for (name, text, clear) in [
            (&b"~"[..], "/base/a", true),
            (b"~/x", "/base/a/x", true),
            (b"~//etc/x", "/base/a/etc/x", true),
            (b"~/../x", "/base/a/../x", false),
            (b"~root/x", "~root/x", false),
            (b"x/~", "/base/a/x/~", true),
            (b"/x", "/x", true),
        ] {
            assert_eq!(path(name, Some("/base/a")), (text.to_owned(), clear), "{name:?}");
        }
        assert!(!path(b"~/x", None).1);
        let names = Operation::names(&[0, 0, 0, 0, 0, 0, 3, 0xe8], &[0, 0, 0, 42]);
        let text = "users-groups-by-id /etc/passwd /etc/group users=0,1000 groups=42";
        assert_eq!(names.text(), text.as_bytes());
        let home = Operation::home_directory(b"a b").text();
        assert_eq!(home, b"home-directory /etc/passwd user=\"a b\"");
    }

    #[test]
    fn a_size_that_is_set_is_content() {
        use Class::{SftpAttr, SftpRead, SftpWrite};
        let path = || FilePath::new(b"/a", None);
        let both = SftpAttr.only().and(SftpWrite.only());
        for verb in ["setstat", "fsetstat", "lsetstat"] {
            for (words, classes) in [
                (vec![], SftpAttr.only()),
                (vec!["mode=0600", "owner=0:0", "times=1,2"], SftpAttr.only()),
                (vec!["size=0"], SftpWrite.only()),
                (vec!["size=0", "times=1,2"], both),
                (vec!["others=0x80000000"], both),
            ] {
                let mut operation = Operation::new(verb, SftpAttr, vec![path()]);
                operation.sets(&Attributes::of_words(words.iter().map(|word| word.as_bytes())));
                assert_eq!(operation.classes, classes, "{verb} {words:?}");
            }
        }
        let mut operation = Operation::open(path(), open::READ);
        operation.sets(&Attributes::of_words([&b"mode=0"[..]].into_iter()));
        assert_eq!(operation.classes, SftpRead.only(), "sshfs says so of every file");
        operation.sets(&Attributes::of_words([&b"size=0"[..]].into_iter()));
        assert_eq!(operation.classes, SftpRead.only().and(SftpWrite.only()));
        assert!(operation.paths[0].1, "it is changed");
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
