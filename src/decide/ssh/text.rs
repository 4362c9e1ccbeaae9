//! What the text of an exec request is: a command, a transfer, a repository; plain words or code.
//!
//! In: the text, as bytes. Out: `Program`. Never: a guess about code: a text that a shell could
//! read in another way than as plain words is compound, whatever it begins with. A transfer by
//! guess: options that are not on the list are those of a command.
//!
//! | text | program |
//! |---|---|
//! | `scp -t PATH`, `scp -f PATH` | a transfer, to the target or from it |
//! | `rsync --server ... . PATH`, with `--sender` | the same, see `rsync` |
//! | `git-receive-pack 'REPO'`, `git-upload-pack 'REPO'` | a push, a fetch |
//! | `git-upload-archive 'REPO'` | a fetch by programs that the repository names |
//! | operators, substitutions, patterns, quotes that do not end | compound |
//! | other words | a command |

use super::{Class, rsync};

/// What a text runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A command with its words.
    Command,
    /// Code for a shell.
    Compound,
    /// Files to the target, or from it.
    Files(Files),
    /// Commits to a repository, or from it.
    Repository(Class, Vec<u8>),
    /// A tree of a repository, packed by a command of its configuration (`tar.FORMAT.command`,
    /// git-archive(1)), if the client asks for such a format: its name comes in the stream.
    Archive(Vec<u8>),
}

/// Files that a program of the target's writes or reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// By which program, and to where.
    pub class: Class,
    /// What it names, as the client wrote it.
    pub paths: Vec<Vec<u8>>,
    /// What lies below those, too: its names come in the stream, where nobody decides them.
    pub below: bool,
    /// A list of filters comes first in the stream, whose rules may name other files.
    pub filters: bool,
}

/// What a shell reads in another way than as itself, outside of quotes.
const SPECIAL: &[u8] = b";|&$`()<>*?[]{}~#\\!^\n\r\0";
/// The same between double quotes.
const SPECIAL_QUOTED: &[u8] = b"$`\\!\n\r\0";
/// The same between single quotes: nothing in a POSIX shell, but a backslash in others.
const SPECIAL_LITERAL: &[u8] = b"\\\n\r\0!";

/// First words that are a shell's own: grammar of POSIX (2.4), bash, zsh, csh and fish, and
/// commands that run the words behind them in the shell itself.
const OF_SHELLS: [&[u8]; 38] = [
    b".",
    b"-",
    b"[[",
    b"]]",
    b"and",
    b"begin",
    b"builtin",
    b"case",
    b"command",
    b"coproc",
    b"do",
    b"done",
    b"elif",
    b"else",
    b"end",
    b"esac",
    b"eval",
    b"exec",
    b"fi",
    b"for",
    b"foreach",
    b"function",
    b"if",
    b"in",
    b"nocorrect",
    b"noglob",
    b"not",
    b"or",
    b"repeat",
    b"select",
    b"source",
    b"switch",
    b"then",
    b"time",
    b"until",
    b"while",
    b"{",
    b"}",
];

/// The words of a text, if it is nothing but plain words.
pub fn plain_words(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<u8> = None;
    for &byte in text {
        match quote {
            Some(end) if byte == end => quote = None,
            Some(end) => {
                let special = if end == b'"' { SPECIAL_QUOTED } else { SPECIAL_LITERAL };
                if special.contains(&byte) {
                    return None;
                }
                word.get_or_insert_default().push(byte);
            }
            None if byte == b' ' || byte == b'\t' => words.extend(word.take()),
            None if byte == b'"' || byte == b'\'' => {
                word.get_or_insert_default();
                quote = Some(byte);
            }
            // An assignment before a command, or a word that zsh replaces.
            None if byte == b'=' && (words.is_empty() || word.is_none()) => return None,
            None if SPECIAL.contains(&byte) => return None,
            None => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    let is_code = words.first().is_some_and(|first| OF_SHELLS.contains(&first.as_slice()));
    (quote.is_none() && !is_code).then_some(words)
}

/// What a text runs.
pub fn program(text: &[u8]) -> Program {
    let Some(words) = plain_words(text) else { return Program::Compound };
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let plain = |word: &[u8]| !word.starts_with(b"-");
    match words.as_slice() {
        [b"scp", rest @ ..] => scp(rest).map_or(Program::Command, Program::Files),
        [b"rsync", b"--server", rest @ ..] => {
            rsync::server(rest).map_or(Program::Command, Program::Files)
        }
        [b"git-receive-pack", repository] | [b"git", b"receive-pack", repository]
            if plain(repository) =>
        {
            Program::Repository(Class::GitPush, repository.to_vec())
        }
        [b"git-upload-pack", repository] | [b"git", b"upload-pack", repository]
            if plain(repository) =>
        {
            Program::Repository(Class::GitFetch, repository.to_vec())
        }
        [b"git-upload-archive", repository] | [b"git", b"upload-archive", repository]
            if plain(repository) =>
        {
            Program::Archive(repository.to_vec())
        }
        _ => Program::Command,
    }
}

/// `scp` of the server's side: options, then one path.
fn scp(words: &[&[u8]]) -> Option<Files> {
    let (mut class, mut recursive) = (None, false);
    let mut words = words.iter();
    let mut operand = None;
    for word in words.by_ref() {
        match *word {
            b"--" => {
                operand = words.next();
                break;
            }
            [b'-', flags @ ..] if !flags.is_empty() => {
                for flag in flags {
                    match (flag, class) {
                        (b't', None) => class = Some(Class::ScpUpload),
                        (b'f', None) => class = Some(Class::ScpDownload),
                        (b'r', _) => recursive = true,
                        (b'p' | b'd' | b'v' | b'q', _) => {}
                        _ => return None,
                    }
                }
            }
            _ => {
                operand = Some(word);
                break;
            }
        }
    }
    let (class, path) = (class?, operand?);
    let more = words.next().is_some();
    // An upload to a folder makes a file in it, whose name comes later.
    let below = recursive || class == Class::ScpUpload;
    (!more).then(|| Files { class, paths: vec![path.to_vec()], below, filters: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_known_by_their_words() {
        let files = |class, paths: &[&str], below| {
            let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            let filters = class == Class::RsyncDownload;
            Program::Files(Files { class, paths, below, filters })
        };
        let repository = |class, path: &str| Program::Repository(class, path.as_bytes().to_vec());
        use Class::{GitFetch, GitPush, RsyncDownload, RsyncUpload, ScpDownload, ScpUpload};
        for (text, expect) in [
            ("ls -l /srv", Program::Command),
            ("", Program::Command),
            ("scp -t /srv/in", files(ScpUpload, &["/srv/in"], true)),
            ("scp -r -p -t -- 'a b'", files(ScpUpload, &["a b"], true)),
            ("scp -t -- -x", files(ScpUpload, &["-x"], true)),
            ("scp -prf /srv/out", files(ScpDownload, &["/srv/out"], true)),
            ("scp -f /srv/out", files(ScpDownload, &["/srv/out"], false)),
            ("scp a b", Program::Command),
            ("scp -t", Program::Command),
            ("scp -t --", Program::Command),
            ("scp -t -f x", Program::Command),
            ("scp -t a b", Program::Command),
            ("scp -S evil -t x", Program::Command),
            ("rsync --server -vlogDtpr . /srv", files(RsyncUpload, &["/srv"], true)),
            ("rsync --server --sender -r . /srv", files(RsyncDownload, &["/srv"], true)),
            ("rsync --server --daemon .", Program::Command),
            ("rsync -a x y", Program::Command),
            ("git-receive-pack '/srv/a.git'", repository(GitPush, "/srv/a.git")),
            ("git-upload-pack '~/a.git'", repository(GitFetch, "~/a.git")),
            ("git upload-pack a", repository(GitFetch, "a")),
            ("git upload-archive a", Program::Archive(b"a".to_vec())),
            ("git-upload-archive '/srv/a.git'", Program::Archive(b"/srv/a.git".to_vec())),
            ("git-upload-pack --help", Program::Command),
            ("git-receive-pack a b", Program::Command),
            ("/usr/bin/scp -t x", Program::Command),
        ] {
            assert_eq!(program(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn what_a_shell_could_read_otherwise_is_compound() {
        for text in [
            "ls; rm -rf /",
            "a|b",
            "a&",
            "echo $HOME",
            "echo `id`",
            "(a)",
            "a<b",
            "a>b",
            "ls *",
            "ls ?",
            "ls [a]",
            "echo {a,b}",
            "ls ~",
            "a #b",
            "X=1 a",
            "a =b",
            "a\\b",
            "a\nb",
            "'a",
            "\"a",
            "\"$(id)\"",
            "\"`id`\"",
            "scp -t x;id",
            "scp -t $(id)",
            "git-receive-pack 'a';id",
            "'a\\'b'",
            "a\0b",
            "time rm /srv/x",
            "'if' rm /srv/x",
            "exec rm /srv/x",
            ". /srv/x",
            "{ rm /srv/x",
        ] {
            assert_eq!(program(text.as_bytes()), Program::Compound, "{text:?}");
        }
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let words = |text: &str| {
            plain_words(text.as_bytes()).map(|words| {
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(words("  a\t b ").expect("plain"), ["a", "b"]);
        assert_eq!(words("cu\"\"rl 'a b'c").expect("plain"), ["curl", "a bc"]);
        assert_eq!(words("''").expect("plain"), [""]);
        assert_eq!(words("echo 'a;b' \"a;b\"").expect("plain"), ["echo", "a;b", "a;b"]);
    }
}
