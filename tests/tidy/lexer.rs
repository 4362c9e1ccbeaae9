//! Just enough of Rust's lexical structure: what is code, what is test code, which paths it names.

/// The text with comments, strings and character literals blanked; lines stay where they are.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word_before = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] | [b'b', b'r', ..] if !word_before => at + raw_string(rest),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        [b'\'', _, b'\'', ..] => at + 3,
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
            (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"..."`, `r#"..."#`, `br"..."`; 0 when it is only an identifier such as `r#type`.
fn raw_string(rest: &[u8]) -> usize {
    let prefix = rest.iter().take_while(|b| matches!(b, b'r' | b'b')).count();
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let body = prefix + hashes + 1;
    rest[body..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(rest.len(), |found| body + found + close.len())
}

/// The part before the unit tests, which by convention stand last: `#[cfg(test)] mod tests {`.
pub fn without_tests(code: &str) -> &str {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let after = code[start + "#[cfg(test)]".len()..].trim_start();
        if after.starts_with("mod tests") || after.starts_with("pub(crate) mod tests") {
            return &code[..start];
        }
        from = start + 1;
    }
    code
}

/// Whether a file holds nothing but tests.
pub fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("tests/")
        || path.contains("/tests/")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}

/// Every `a::b::c` that the code names, with its line: `use` trees expanded, others as written.
pub fn paths(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (line, word) = tokens[at];
        if word == "use" {
            at = use_tree(&tokens, at + 1, "", &mut found);
        } else if is_word(word.as_bytes()[0]) && tokens.get(at + 1).is_some_and(|t| t.1 == "::") {
            let mut path = word.to_owned();
            at += 1;
            while let [(_, "::"), (_, next), ..] = &tokens[at..] {
                if !is_word(next.as_bytes()[0]) {
                    break;
                }
                path.push_str("::");
                path.push_str(next);
                at += 2;
            }
            found.push((line, path));
        } else {
            at += 1;
        }
    }
    found
}

/// Expands one `use` tree below `prefix`; returns the index after it.
fn use_tree(
    tokens: &[(usize, &str)],
    mut at: usize,
    prefix: &str,
    found: &mut Vec<(usize, String)>,
) -> usize {
    let mut path = prefix.to_owned();
    let mut line = tokens.get(at).map_or(0, |token| token.0);
    let mut group = false;
    while let Some(&(token_line, token)) = tokens.get(at) {
        match token {
            "{" => {
                group = true;
                at += 1;
                while tokens.get(at).is_some_and(|t| t.1 != "}" && t.1 != ";") {
                    at = use_tree(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|t| t.1 == ",") {
                        at += 1;
                    }
                }
                at += 1;
            }
            "," | "}" | ";" => break,
            "as" => at += 2,
            word => {
                line = token_line;
                path.push_str(word);
                at += 1;
            }
        }
    }
    if !group && path.len() > prefix.len() {
        found.push((line, path));
    }
    at
}

/// Words, `::` and single punctuation, each with its line from 1.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        if is_word(bytes[at]) {
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
            found.push((line, &code[start..at]));
        } else if bytes[at..].starts_with(b"::") {
            at += 2;
            found.push((line, "::"));
        } else if bytes[at].is_ascii_whitespace() || !bytes[at].is_ascii() {
            line += usize::from(bytes[at] == b'\n');
            at += 1;
        } else {
            at += 1;
            found.push((line, &code[start..at]));
        }
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"std::fs\"; // std::fs\n/* x /* y */ */ r#\"std::fs\"# 'f' '\\'' &'a str";
    let code = code_only(text);
    assert!(!code.contains("std::fs"), "{code}");
    assert!(code.contains("let a =") && code.ends_with("&'a str"), "{code}");
    assert_eq!(code.len(), text.len());
}

#[test]
fn use_trees_are_expanded() {
    let code =
        "use std::{fs, net::{IpAddr, TcpStream as T}};\npub use crate::a::B;\ncrate::c::d();";
    let names: Vec<String> = paths(code).into_iter().map(|(_, path)| path).collect();
    let expect =
        ["std::fs", "std::net::IpAddr", "std::net::TcpStream", "crate::a::B", "crate::c::d"];
    assert_eq!(names, expect);
    assert_eq!(paths(code).last().map(|(line, _)| *line), Some(3));
}

#[test]
fn tests_at_the_end_are_cut() {
    assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}"), "fn a() {}\n");
    let no_tests = "#[cfg(test)]\nuse x;\nfn a() {}";
    assert_eq!(without_tests(no_tests), no_tests);
}
