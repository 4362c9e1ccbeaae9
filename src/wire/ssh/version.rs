//! The line that each side says first (RFC 4253 section 4.2).
//!
//! In: the first bytes of a peer. Out: its version, without CR and LF, as it is hashed later.
//! Never: more than 255 bytes, anything that is not printable; lines before it of a client, or more
//! than a few of a server, which may greet people so.

use memchr::memchr;

use super::Broken;

/// The longest line, with CR and LF.
pub const LINE_BYTES_MAX: usize = 255;

/// The line of weir. It begins as OpenSSH's does, because OpenSSH's client sends `eow@openssh.com`
/// and `no-more-sessions@openssh.com` to nobody else (compat.c, nchan.c).
pub const OWN: &str = concat!("SSH-2.0-OpenSSH_weir_", env!("CARGO_PKG_VERSION"));

/// Takes the version off the front of `input`; `None` while its end is missing.
///
/// # Errors
/// `Version` for a line that is too long, or not of SSH 2.0.
pub fn parse(input: &[u8]) -> Result<Option<(&str, usize)>, Broken> {
    let window = input.get(..input.len().min(LINE_BYTES_MAX)).unwrap_or(input);
    let Some(end) = memchr(b'\n', window) else {
        let whole = window.len() == LINE_BYTES_MAX;
        let early = window.len().min(4);
        let starts = window.get(..early) == b"SSH-".get(..early);
        return if whole || !starts { Err(Broken::Version) } else { Ok(None) };
    };
    let line = window.get(..end).unwrap_or(&[]);
    // OpenSSH takes a line that ends with LF alone, too.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let printable = line.iter().all(|byte| (0x20..0x7f).contains(byte));
    let text = std::str::from_utf8(line).ok().filter(|_| printable).ok_or(Broken::Version)?;
    if text.starts_with("SSH-2.0-") || text.starts_with("SSH-1.99-") {
        Ok(Some((text, end + 1)))
    } else {
        Err(Broken::Version)
    }
}

/// Bytes of the lines that a server says before its version.
pub const GREETING_BYTES_MAX: usize = 8 << 10;

/// A line of a server's before its version, with its end; `None` if there is none, or its end is
/// missing.
pub fn greeting(input: &[u8]) -> Option<usize> {
    let early = input.len().min(4);
    if input.get(..early) == b"SSH-".get(..early) {
        return None;
    }
    memchr(b'\n', input).map(|at| at + 1)
}

/// Whether what is there can only be the beginning of such a line.
pub fn greets(input: &[u8]) -> bool {
    let early = input.len().min(4);
    input.get(..early) != b"SSH-".get(..early) && memchr(b'\n', input).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_whole_and_waits_for_its_end() {
        let line = b"SSH-2.0-OpenSSH_9.2p1 Debian\r\nrest";
        assert_eq!(parse(line), Ok(Some(("SSH-2.0-OpenSSH_9.2p1 Debian", 30))));
        for cut in 0..29 {
            assert_eq!(parse(&line[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(parse(b"SSH-2.0-x\n"), Ok(Some(("SSH-2.0-x", 10))));
        assert_eq!(parse(b"SSH-1.99-x\r\n"), Ok(Some(("SSH-1.99-x", 12))));
    }

    #[test]
    fn a_server_may_say_lines_before_it() {
        assert_eq!(greeting(b"Welcome\r\nSSH-2.0-x\r\n"), Some(9));
        assert_eq!(greeting(b"\nSSH-2.0-x\r\n"), Some(1));
        for text in [&b"SSH-2.0-x\r\n"[..], b"SS", b"", b"Welc"] {
            assert_eq!(greeting(text), None);
        }
        for (text, expect) in
            [(&b"Welc"[..], true), (b"S", false), (b"SSH-1", false), (b"a\n", false), (b"", false)]
        {
            assert_eq!(greets(text), expect, "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_at_once() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"G",
            b"SSH-1.5-old\r\n",
            b"SSH-2.0-\x00\r\n",
            b"SSH-2.0-\xff\r\n",
            b"hello\r\nSSH-2.0-x\r\n",
            b"\n",
        ] {
            assert_eq!(parse(bad), Err(Broken::Version), "{bad:?}");
        }
        let mut long = b"SSH-2.0-".to_vec();
        long.resize(LINE_BYTES_MAX - 1, b'a');
        assert_eq!(parse(&long), Ok(None));
        long.push(b'a');
        assert_eq!(parse(&long), Err(Broken::Version));
        *long.last_mut().expect("not empty") = b'\n';
        assert!(matches!(parse(&long), Ok(Some((_, LINE_BYTES_MAX)))));
    }
}
