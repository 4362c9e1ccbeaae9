//! Selectors of lists, as far as they name an object.
//!
//! In: `fieldSelector` and what is decoded with it. Out: the name that the apiserver will take as
//! the request's. Never: a guess. The apiserver forgets a field selector when any list option does
//! not decode (requestinfo.go); so where a name is at stake, options outside of a grammar that is
//! known to decode are refused. The grammar here is a part of the apiserver's (labels/selector.go,
//! fields/selector.go).

use super::query::Query;
use super::request::Refused;

/// The object that `metadata.name=NAME` in a field selector makes of a list or watch.
pub(super) fn name(query: &Query) -> Result<Option<String>, Refused> {
    let Some(selector) = query.text("fieldSelector")? else { return Ok(None) };
    if !selector.contains("metadata.name") {
        return Ok(None);
    }
    let name = exact_name(selector).ok_or(Refused::Selector)?;
    let labels = query.text("labelSelector")?.unwrap_or_default();
    let decodes = labels_decode(labels)
        && number_decodes(query.text("limit")?)
        && number_decodes(query.text("timeoutSeconds")?);
    if !decodes {
        return Err(Refused::Selector);
    }
    Ok(name)
}

/// The value of the one `metadata.name=`; `None` inside if there are only `!=`; `None` outside for
/// what is not plain: escapes, a term that is none, two names, a name that is not one.
fn exact_name(selector: &str) -> Option<Option<String>> {
    if selector.contains('\\') {
        return None;
    }
    let mut name = None;
    for term in selector.split(',').filter(|term| !term.is_empty()) {
        let at = term.find('=')?;
        let (left, right) = (term.get(..at)?, term.get(at + 1..)?);
        let (left, equal) = match left.strip_suffix('!') {
            Some(left) => (left, false),
            None => (left, true),
        };
        let right = if equal { right.strip_prefix('=').unwrap_or(right) } else { right };
        if right.contains('=') || left.contains('!') {
            return None;
        }
        if left == "metadata.name" && equal {
            let plain = !right.is_empty() && right != "." && right != "..";
            if !plain || right.contains(['/', '%']) || name.is_some() {
                return None;
            }
            name = Some(right.to_owned());
        }
    }
    Some(name)
}

/// `strconv.ParseInt` takes signs and more digits too; nobody sends them.
fn number_decodes(text: Option<&str>) -> bool {
    text.is_none_or(|text| {
        matches!(text.len(), 1..=18) && text.bytes().all(|digit| digit.is_ascii_digit())
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    Word(&'s str),
    Not,
    Equals,
    Comma,
    Open,
    Close,
}

/// Whether a label selector decodes for certain: requirements of the forms `key`, `!key`,
/// `key=value`, `key==value`, `key!=value`, `key in (v, v)` and `key notin (v, v)`.
fn labels_decode(selector: &str) -> bool {
    let Some(tokens) = tokens(selector) else { return false };
    let mut rest = tokens.as_slice();
    if rest.is_empty() {
        return true;
    }
    loop {
        let Some(after) = requirement(rest) else { return false };
        match after {
            [] => return true,
            [Token::Comma, next @ ..] => rest = next,
            _ => return false,
        }
    }
}

fn tokens(selector: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = selector;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            ' ' => {
                rest = rest.get(1..)?;
                continue;
            }
            '!' if rest.starts_with("!=") => (Token::Equals, 2),
            '!' => (Token::Not, 1),
            '=' if rest.starts_with("==") => (Token::Equals, 2),
            '=' => (Token::Equals, 1),
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            _ => {
                let word = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                (Token::Word(rest.get(..end)?), end)
            }
        };
        tokens.push(token);
        rest = rest.get(length..)?;
    }
    Some(tokens)
}

/// What follows one requirement.
fn requirement<'t, 's>(tokens: &'t [Token<'s>]) -> Option<&'t [Token<'s>]> {
    let key = |word: &str| is_label_key(word) && word != "in" && word != "notin";
    match tokens {
        [Token::Not, Token::Word(name), rest @ ..] if key(name) => Some(rest),
        [Token::Word(name), Token::Word("in" | "notin"), Token::Open, rest @ ..] if key(name) => {
            values(rest)
        }
        [Token::Word(name), Token::Equals, Token::Word(value), rest @ ..]
            if key(name) && is_label_value(value) =>
        {
            Some(rest)
        }
        [Token::Word(name), rest @ ..] if key(name) && matches!(rest, [] | [Token::Comma, ..]) => {
            Some(rest)
        }
        _ => None,
    }
}

fn values<'t, 's>(mut tokens: &'t [Token<'s>]) -> Option<&'t [Token<'s>]> {
    loop {
        match tokens {
            [Token::Word(value), Token::Comma, rest @ ..] if is_label_value(value) => tokens = rest,
            [Token::Word(value), Token::Close, rest @ ..] if is_label_value(value) => {
                return Some(rest);
            }
            _ => return None,
        }
    }
}

/// `[PREFIX/]NAME`, the prefix a DNS subdomain.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => {
            let label = |label: &str| {
                let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
                let ends = label.bytes().next().is_some_and(inner)
                    && label.bytes().next_back().is_some_and(inner);
                ends && label.len() <= 63 && label.bytes().all(|c| inner(c) || c == b'-')
            };
            prefix.len() <= 253 && prefix.split('.').all(label) && is_name(name)
        }
    }
}

fn is_label_value(value: &str) -> bool {
    is_name(value)
}

/// At most 63 of letters, digits, `-`, `_`, `.`; the first and the last are letters or digits.
fn is_name(name: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::query::Dropped;
    use super::*;

    fn check(query: &str, expect: Result<Option<&str>, Refused>) {
        let read = Query::read(query.as_bytes(), Dropped::Refuse).unwrap();
        assert_eq!(name(&read), expect.map(|name| name.map(str::to_owned)), "{query}");
    }

    #[test]
    fn a_field_selector_names_the_object() {
        check("", Ok(None));
        check("fieldSelector=status.phase=Running", Ok(None));
        check("fieldSelector=metadata.name=web-0", Ok(Some("web-0")));
        check("fieldSelector=metadata.name%3D%3Dweb-0", Ok(Some("web-0")));
        check("fieldSelector=metadata.name!=web-0", Ok(None));
        check("fieldSelector=spec.nodeName=,metadata.name=a,", Ok(Some("a")));
        check("fieldSelector=xmetadata.name=a", Ok(None));
        check("fieldSelector=metadata.name=a&labelSelector=app%20in%20(x,%20y)", Ok(Some("a")));
        check("fieldSelector=metadata.name=a&labelSelector=!x,b.c/d!=e,f&limit=500", Ok(Some("a")));
        check("fieldSelector=metadata.name=a&timeoutSeconds=30&watch=1", Ok(Some("a")));
    }

    #[test]
    fn what_may_not_decode_is_refused_where_a_name_is_at_stake() {
        let refused = [
            "fieldSelector=metadata.name",
            "fieldSelector=metadata.name=a,metadata.name=b",
            "fieldSelector=metadata.name=a\\,b",
            "fieldSelector=metadata.name=a=b",
            "fieldSelector=metadata.name=",
            "fieldSelector=metadata.name=..",
            "fieldSelector=metadata.name=a/b",
            "fieldSelector=metadata.name=a&labelSelector=a%20b",
            "fieldSelector=metadata.name=a&labelSelector=a=-",
            "fieldSelector=metadata.name=a&labelSelector=,",
            "fieldSelector=metadata.name=a&labelSelector=A.b/c,-/d",
            "fieldSelector=metadata.name=a&labelSelector=a>1",
            "fieldSelector=metadata.name=a&limit=",
            "fieldSelector=metadata.name=a&limit=x",
            "fieldSelector=metadata.name=a&timeoutSeconds=1e3",
        ];
        for query in refused {
            check(query, Err(Refused::Selector));
        }
        let twice = "fieldSelector=metadata.name=a&fieldSelector=metadata.name=b";
        check(twice, Err(Refused::Twice("fieldSelector")));
        check("fieldSelector=metadata.name=a&limit=1&limit=2", Err(Refused::Twice("limit")));
        check("fieldSelector=metadata.name=%ff", Err(Refused::Encoding));
    }
}
