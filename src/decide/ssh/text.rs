//! What the text of an exec request is: a command, a transfer, a repository; plain words or code.
//!
//! In: the text, as bytes. Out: `Program`. Never: a guess about code: a text that a shell could
//! read in another way than as plain words is compound, whatever it begins with.
//!
//! | text | program |
//! |---|---|
//! | `scp -t PATH`, `scp -f PATH` | a transfer, to the target or from it |
//! | `rsync --server ... . PATH`, with `--sender` | the same |
//! | `git-receive-pack 'REPO'`, `git-upload-pack`, `git-upload-archive` | a push, a fetch |
//! | operators, substitutions, patterns, quotes that do not end | compound |
//! | other words | a command |

/// What a text runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A command with its words.
    Command,
    /// Code for a shell.
    Compound,
    /// Files to the target; the path.
    ScpUpload(String),
    /// Files from the target.
    ScpDownload(String),
    /// Files to the target.
    RsyncUpload(String),
    /// Files from the target.
    RsyncDownload(String),
    /// Commits to a repository.
    GitPush(String),
    /// Commits from a repository.
    GitFetch(String),
}

/// What a shell reads in another way than as itself, outside of quotes.
const SPECIAL: &[u8] = b";|&$`()<>*?[]{}~#\\!^\n\r\0";
/// The same between double quotes.
const SPECIAL_QUOTED: &[u8] = b"$`\\!\n\r\0";
/// The same between single quotes: nothing in a POSIX shell, but a backslash in others.
const SPECIAL_LITERAL: &[u8] = b"\\\n\r\0!";

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
    quote.is_none().then_some(words)
}

/// What a text runs.
pub fn program(text: &[u8]) -> Program {
    let Some(words) = plain_words(text) else { return Program::Compound };
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let lossy = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    match words.as_slice() {
        [b"scp", rest @ ..] => scp(rest).unwrap_or(Program::Command),
        [b"rsync", b"--server", rest @ ..] => {
            let path = rest.last().map(|word| lossy(word)).unwrap_or_default();
            if rest.contains(&&b"--sender"[..]) {
                Program::RsyncDownload(path)
            } else {
                Program::RsyncUpload(path)
            }
        }
        [b"git-receive-pack", repository] | [b"git", b"receive-pack", repository] => {
            Program::GitPush(lossy(repository))
        }
        [b"git-upload-pack" | b"git-upload-archive", repository]
        | [b"git", b"upload-pack" | b"upload-archive", repository] => {
            Program::GitFetch(lossy(repository))
        }
        _ => Program::Command,
    }
}

/// `scp` of the server's side: options, then one path.
fn scp(words: &[&[u8]]) -> Option<Program> {
    let mut mode = None;
    for (index, word) in words.iter().enumerate() {
        match *word {
            b"--" => {
                let path = words.get(index + 1..)?;
                return transfer(mode?, path);
            }
            [b'-', flags @ ..] if !flags.is_empty() => {
                for flag in flags {
                    match (flag, mode) {
                        (b't' | b'f', None) => mode = Some(*flag),
                        (b'r' | b'p' | b'd' | b'v' | b'q', _) => {}
                        _ => return None,
                    }
                }
            }
            _ => return transfer(mode?, words.get(index..)?),
        }
    }
    None
}

fn transfer(mode: u8, path: &[&[u8]]) -> Option<Program> {
    let [path] = path else { return None };
    let path = String::from_utf8_lossy(path).into_owned();
    Some(if mode == b't' { Program::ScpUpload(path) } else { Program::ScpDownload(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_known_by_their_words() {
        let path = |text: &str| text.to_owned();
        for (text, expect) in [
            ("ls -l /srv", Program::Command),
            ("", Program::Command),
            ("scp -t /srv/in", Program::ScpUpload(path("/srv/in"))),
            ("scp -r -p -t -- 'a b'", Program::ScpUpload(path("a b"))),
            ("scp -prf /srv/out", Program::ScpDownload(path("/srv/out"))),
            ("scp a b", Program::Command),
            ("scp -t -f x", Program::Command),
            ("scp -t a b", Program::Command),
            ("scp -S evil -t x", Program::Command),
            ("rsync --server -vlogDtpr . /srv", Program::RsyncUpload(path("/srv"))),
            ("rsync --server --sender -r . /srv", Program::RsyncDownload(path("/srv"))),
            ("rsync --server --timeout=9 -r . /srv", Program::RsyncUpload(path("/srv"))),
            ("rsync -a x y", Program::Command),
            ("git-receive-pack '/srv/a.git'", Program::GitPush(path("/srv/a.git"))),
            ("git-upload-pack '~/a.git'", Program::GitFetch(path("~/a.git"))),
            ("git upload-archive a", Program::GitFetch(path("a"))),
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
