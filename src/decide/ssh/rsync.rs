//! The server's side of rsync: `rsync --server OPTIONS . PATH...`.
//!
//! In: its words after `--server`. Out: what it reads or writes. Never: options that are not known
//! to leave alone everything but its paths. Others read filters, keep logs, take their paths from
//! the stream (`-s`), remove what they send, show what they read (`-vvv`, `--debug`) or run a
//! daemon; they make the text a command like any other.

use super::Class;
use super::text::Files;

/// Options of one letter: what is copied, how it is compared, what is told. Not `s`: the paths come
/// in the stream then; not `C`: a file of the target's is read for patterns.
const LETTERS: &[u8] = b"vqnlLmyKukWHgopAXDtOJUNcdrISxzERbi";

/// Options without a value.
const WORDS: [&[u8]; 29] = [
    b"--append",
    b"--copy-unsafe-links",
    b"--devices",
    b"--existing",
    b"--force",
    b"--fsync",
    b"--fuzzy",
    b"--ignore-errors",
    b"--ignore-existing",
    b"--ignore-missing-args",
    b"--inplace",
    b"--links",
    b"--munge-links",
    b"--new-compress",
    b"--no-W",
    b"--no-implied-dirs",
    b"--no-r",
    b"--no-relative",
    b"--numeric-ids",
    b"--old-compress",
    b"--omit-dir-times",
    b"--partial",
    b"--preallocate",
    b"--safe-links",
    b"--size-only",
    b"--sparse",
    b"--specials",
    b"--stats",
    b"--super",
];

/// Options that remove files of the receiver's: it is told what to spare (exclude.c,
/// `recv_filter_list`).
const DELETES: [&[u8]; 6] = [
    b"--delete",
    b"--delete-after",
    b"--delete-before",
    b"--delete-delay",
    b"--delete-during",
    b"--delete-excluded",
];

/// Options with a value that is no path.
const VALUES: [&[u8]; 16] = [
    b"--block-size",
    b"--bwlimit",
    b"--checksum-choice",
    b"--checksum-seed",
    b"--compress-choice",
    b"--compress-level",
    b"--groupmap",
    b"--info",
    b"--log-format",
    b"--max-delete",
    b"--max-size",
    b"--min-size",
    b"--modify-window",
    b"--stderr",
    b"--timeout",
    b"--usermap",
];

/// What it reads or writes; `None` if it may be something else.
pub fn server(words: &[&[u8]]) -> Option<Files> {
    let (mut class, mut below, mut filters) = (Class::RsyncUpload, false, false);
    let mut verbose = 0;
    let mut words = words.iter();
    loop {
        match *words.next()? {
            // What stands first here is where it goes before it begins.
            b"." => break,
            b"--sender" => class = Class::RsyncDownload,
            word if DELETES.contains(&word) => filters = true,
            word if WORDS.contains(&word) => {}
            word if has_value(word) => {}
            [b'-', letters @ ..] => {
                let letters = known_letters(letters)?;
                below |= letters.contains(&b'r') || letters.contains(&b'd');
                filters |= letters.contains(&b'm');
                verbose += letters.iter().filter(|letter| **letter == b'v').count();
            }
            _ => return None,
        }
    }
    // More of them show what was read of filters.
    if verbose > 2 {
        return None;
    }
    let paths: Vec<Vec<u8>> = words.map(|word| word.to_vec()).collect();
    let plain = paths.iter().all(|path| !path.starts_with(b"-"));
    let filters = filters || class == Class::RsyncDownload;
    // An upload to a folder makes files in it, whose names come in the stream.
    let below = below || class == Class::RsyncUpload;
    (plain && !paths.is_empty()).then_some(Files { class, paths, below, filters })
}

fn has_value(word: &[u8]) -> bool {
    let known = |value: &[u8]| {
        value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"%._,:+-".contains(byte))
    };
    let Some(at) = word.iter().position(|byte| *byte == b'=') else { return false };
    let (name, value) = word.split_at(at);
    VALUES.contains(&name) && value.get(1..).is_some_and(known)
}

/// The letters of a word, behind which stands what the client can do (`e.iLsfxCIvu`). `None` if one
/// of them is not known.
fn known_letters(word: &[u8]) -> Option<&[u8]> {
    let end = word.windows(2).position(|two| two == b"e.").unwrap_or(word.len());
    let (letters, client) = word.split_at(end);
    let known = letters.iter().all(|letter| LETTERS.contains(letter))
        && client.get(2..).unwrap_or_default().iter().all(u8::is_ascii_alphanumeric);
    (known && !word.is_empty()).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Class, Vec<String>, bool)> {
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        server(&words).map(|files| {
            let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
            (files.class, files.paths.iter().map(text).collect(), files.below)
        })
    }

    #[test]
    fn what_clients_send_is_known() {
        use Class::{RsyncDownload, RsyncUpload};
        for (text, class, paths, below) in [
            ("-logDtpre.iLsfxCIvu . /srv", RsyncUpload, vec!["/srv"], true),
            ("-e.LsfxCIvu . /srv/a", RsyncUpload, vec!["/srv/a"], true),
            ("--sender -logDtprze.iLsfxCIvu . /srv/ /b", RsyncDownload, vec!["/srv/", "/b"], true),
            ("--sender -e.LsfxCIvu . /srv/a", RsyncDownload, vec!["/srv/a"], false),
            ("--sender -de.LsfxCIvu . /srv", RsyncDownload, vec!["/srv"], true),
            ("-vvlogDtpre.iLs --log-format=%i --delete . x", RsyncUpload, vec!["x"], true),
            ("-re.i --append --partial --timeout=9 . /a", RsyncUpload, vec!["/a"], true),
            ("-r --bwlimit=1000 --usermap=a:b . /a", RsyncUpload, vec!["/a"], true),
        ] {
            let paths = paths.into_iter().map(str::to_owned).collect();
            assert_eq!(read(text), Some((class, paths, below)), "{text}");
        }
    }

    #[test]
    fn a_sender_and_who_removes_are_sent_filters() {
        for (text, expect) in [
            ("--sender -e.LsfxCIvu . /srv/a", true),
            ("-re.iLs . /srv", false),
            ("-rme.iLs . /srv", true),
            ("-re.iLs --delete . /srv", true),
            ("-re.iLs --delete-excluded . /srv", true),
        ] {
            let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            assert_eq!(server(&words).map(|files| files.filters), Some(expect), "{text}");
        }
    }

    #[test]
    fn what_may_do_more_than_its_paths_say_is_a_command() {
        for text in [
            "--daemon --config=/a . /b",
            "--daemon /b",
            "--sender -re.iLs /secret . /pub/",
            "--sender -re.iLs -- . /pub/",
            "--sender -srLe.iLs . /pub/",
            "--sender --secluded-args -r . /pub/",
            "--sender --protect-args -r . /pub/",
            "--sender -r --filter=merge_/a . /pub/",
            "--sender -vvvre.iLs . /pub/",
            "--sender -vv -vre.iLs . /pub/",
            "--sender -r --debug=FILTER3 . /pub/",
            "--delete-missing-args -r . /rw/",
            "--sender -r --log-file=/a . /pub/",
            "--sender -r --log-file-format=x . /pub/",
            "--sender -r --files-from=/a . /pub/",
            "--sender -r --exclude-from=/a . /pub/",
            "-r --backup-dir=/a . /rw/",
            "-r --temp-dir=/a . /rw/",
            "-r -T/a . /rw/",
            "-r --partial-dir=a . /rw/",
            "-r --link-dest=a . /rw/",
            "-r --compare-dest=a . /rw/",
            "-r --copy-dest=a . /rw/",
            "-r --write-devices . /rw/",
            "-r --only-write-batch=a . /rw/",
            "-r --remove-source-files --sender . /pub/",
            "-r --remove-sent-files --sender . /pub/",
            "-r --iconv=a . /rw/",
            "-r --timeout . 9",
            "-r --timeout=../a . /rw",
            "-rC . /rw",
            "-re31.14i . /rw",
            "-r -e . /rw",
            "- . /rw",
            "-r .",
            "-r . -x",
            "-r . /a --sender",
            "-r",
            "/a",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
