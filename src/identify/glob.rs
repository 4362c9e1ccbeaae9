//! Patterns with stars, of the configuration.
//!
//! In: a pattern, a text. Out: whether the one means the other. Never: more than linear time in
//! the text, which a peer may choose.

/// `*` stands for any characters, also none.
pub fn glob(pattern: &str, text: &str) -> bool {
    glob_bytes(pattern.as_bytes(), text.as_bytes())
}

/// `glob` of a text that need not be UTF-8: `*` stands for any bytes.
pub fn glob_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|&byte| byte == b'*');
    let head = parts.next().unwrap_or_default();
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return text.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place is the best one: it leaves the most for the parts that follow.
        let Some(at) = memchr::memmem::find(text, part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// Of all texts that begin with `root`: whether the pattern means one of them, and whether it means
/// each of them.
pub fn glob_below(pattern: &[u8], root: &[u8]) -> (bool, bool) {
    let star = memchr::memchr(b'*', pattern);
    let head = star.and_then(|star| pattern.get(..star)).unwrap_or(pattern);
    // A star takes whatever is left of the root.
    let some = head.starts_with(root) || (star.is_some() && root.starts_with(head));
    (some, pattern.ends_with(b"*") && glob_bytes(pattern, root))
}

/// `*` stands for any characters but `/`: one star is at most one part of a path or URI.
pub fn path_glob(pattern: &str, text: &str) -> bool {
    let (mut patterns, mut texts) = (pattern.split('/'), text.split('/'));
    loop {
        match (patterns.next(), texts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(text)) if glob(pattern, text) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        fn check(pattern: &str, text: &str, expect: bool) {
            assert_eq!(glob(pattern, text), expect, "{pattern} {text}");
        }
        check("a", "a", true);
        check("a", "ab", false);
        check("a", "", false);
        check("*", "", true);
        check("*", "abc", true);
        check("a*", "abc", true);
        check("a*", "ba", false);
        check("*c", "abc", true);
        check("*c", "cb", false);
        check("a*c", "abc", true);
        check("a*c", "ac", true);
        check("a*a", "a", false);
        check("*b*", "abc", true);
        check("*b*b*", "abc", false);
        check("a*b*c", "axbxbxc", true);
        check("**", "a", true);
        check("", "", true);
        check("", "a", false);
    }

    #[test]
    fn patterns_of_what_lies_below() {
        for (pattern, root, some, all) in [
            ("/srv/*", "/srv/", true, true),
            ("/srv/*", "/srv/a/", true, true),
            ("/srv/*", "/", true, false),
            ("/srv/a", "/srv/", true, false),
            ("/srv/a", "/srv/a/", false, false),
            ("/srv", "/srv/", false, false),
            ("/srv/*/b", "/srv/a/", true, false),
            ("/srv/*/b*", "/srv/a/b/", true, true),
            ("/srv/*/b*", "/srv/a/", true, false),
            ("*secret*", "/srv/", true, false),
            ("*", "/", true, true),
            ("/x/*", "/srv/", false, false),
            ("/srv2/*", "/srv/", false, false),
        ] {
            assert_eq!(
                glob_below(pattern.as_bytes(), root.as_bytes()),
                (some, all),
                "{pattern} {root}"
            );
        }
    }

    #[test]
    fn stars_stay_inside_a_part_of_a_path() {
        fn check(pattern: &str, text: &str, expect: bool) {
            assert_eq!(path_glob(pattern, text), expect, "{pattern} {text}");
        }
        check("spiffe://example.org/ns/*/sa/ci", "spiffe://example.org/ns/a/sa/ci", true);
        check("spiffe://example.org/ns/*/sa/ci", "spiffe://example.org/ns/a/b/sa/ci", false);
        check("spiffe://example.org/ns/*", "spiffe://example.org/ns/a/sa/ci", false);
        check("spiffe://*", "spiffe://example.org/ns", false);
        check("*@example.org", "ann@example.org", true);
        check("*", "a/b", false);
        check("a", "a/", false);
    }
}
