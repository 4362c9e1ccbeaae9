//! Requests of a target whose class their method does not say: a search by POST, a GET that
//! changes something.
//!
//! In: what the configuration of a target names, a request's method and paths. Out: its class.
//! Never: a milder class for a request that a server may take for another one.

use super::Class;
use crate::decide::action::{Fact, FactKind, Reading};
use crate::identify::glob::glob_bytes;

/// `reads = ["POST /search"]`: requests of this method whose path is this one are of this class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What they are.
    pub class: Class,
    /// Exactly.
    pub method: String,
    /// `*` stands for any bytes, as in `paths` of rules.
    pub path: String,
}

impl Exception {
    /// Of `METHOD /path`.
    pub fn read(class: Class, text: &str) -> Option<Exception> {
        let (method, path) = text.split_once(' ')?;
        let is_method = !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let is_path = path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\%".contains(&byte));
        let (method, path) = (method.to_owned(), path.to_owned());
        (is_method && is_path).then_some(Exception { class, method, path })
    }

    /// What it says, for people.
    pub fn words(&self) -> String {
        format!("{} {} of the target", self.method, self.path)
    }

    /// Whether it makes a request milder than one of the class `usual`.
    fn is_milder_than(&self, usual: Class) -> bool {
        strictness(self.class) < strictness(usual)
    }

    fn means(&self, usual: Class, method: &[u8], facts: &[Fact]) -> bool {
        let pattern = self.path.as_bytes();
        let mut paths = facts.iter().filter(|fact| fact.kind == FactKind::Path);
        if self.is_milder_than(usual) {
            return method == self.method.as_bytes()
                && paths.all(|fact| match &fact.reading {
                    Reading::Is(path) => glob_bytes(pattern, path),
                    // What rules that deny meet beside is no reading of its own.
                    Reading::Like(_) => true,
                    _ => false,
                });
        }
        // Servers route HEAD as they route GET.
        let is_head = method == b"HEAD" && self.method == "GET";
        (is_head || method == self.method.as_bytes())
            && paths.any(|fact| match &fact.reading {
                Reading::Is(path) => glob_bytes(pattern, path),
                Reading::Like(path) => super::path_like(pattern, path),
                _ => true,
            })
    }
}

fn strictness(class: Class) -> u8 {
    match class {
        Class::Read => 0,
        Class::Write => 1,
        Class::Delete => 2,
        Class::Call | Class::Session | Class::Tunnel | Class::Unknown => 3,
    }
}

/// The class of a request that is usually of `usual`, and the exception that says so; of several
/// that mean it the strictest.
pub(super) fn class<'e>(
    usual: Class,
    (method, facts): (&[u8], &[Fact]),
    exceptions: &'e [Exception],
) -> (Class, Option<&'e Exception>) {
    let meant = exceptions.iter().filter(|it| it.means(usual, method, facts));
    match meant.max_by_key(|it| strictness(it.class)) {
        Some(exception) => (exception.class, Some(exception)),
        None => (usual, None),
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::http::action;
    use crate::wire::http::Head;
    use crate::wire::http::h1::{HeadReader, read::Kind};

    use super::*;

    fn exceptions(pairs: &[(Class, &str)]) -> Vec<Exception> {
        pairs.iter().filter_map(|(class, text)| Exception::read(*class, text)).collect()
    }

    fn class_of(line: &str, exceptions: &[Exception]) -> Vec<&'static str> {
        let text = format!("{line}\r\nHost: a\r\n\r\n").replace('|', "\r\n");
        let text = text.replacen("\r\n", " HTTP/1.1\r\n", 1);
        let mut head = Head::default();
        let read = HeadReader::default().next(&mut text.as_bytes(), &mut head, Kind::Request);
        assert_eq!(read, Ok(true), "{line}");
        action(&head, false, exceptions).classes
    }

    #[test]
    fn what_is_milder_means_the_one_request_what_is_stricter_all_like_it() {
        let exceptions = exceptions(&[
            (Class::Read, "POST /search"),
            (Class::Read, "POST /v*/query"),
            (Class::Read, "PROPFIND /*"),
            (Class::Read, "COPY /pub/*"),
            (Class::Write, "GET /run/*"),
            (Class::Delete, "POST /orders/*/cancel"),
            (Class::Read, "POST /orders/*"),
        ]);
        assert_eq!(exceptions.len(), 7);
        for (line, expect) in [
            ("POST /search", Class::Read),
            ("POST /search?q=1", Class::Read),
            ("POST /v1/query", Class::Read),
            ("POST /v1/a/query", Class::Read),
            ("PROPFIND /a", Class::Read),
            // Another request, to some servers.
            ("POST /Search", Class::Write),
            ("POST /search/", Class::Write),
            ("POST /search;a=/b", Class::Write),
            // What may be anything may be the strictest.
            ("POST /v1/../query", Class::Delete),
            ("POST /v1/%252e/query", Class::Delete),
            ("PUT /v1/../query", Class::Write),
            ("PUT /search", Class::Write),
            ("DELETE /search", Class::Delete),
            ("COPY /pub/a|Destination: /pub/b", Class::Read),
            ("COPY /pub/a|Destination: /keep/b", Class::Unknown),
            // A host, or a folder.
            ("COPY /pub/a|Destination: http://h/pub/b", Class::Read),
            ("COPY /pub/a|Destination: //keep/pub/b", Class::Unknown),
            ("COPY /pub/a|Destination: http:/pub/b", Class::Unknown),
            ("GET //x/run/1", Class::Write),
            ("GET ////x/run/1", Class::Write),
            ("POST //x/orders/7/cancel", Class::Delete),
            ("POST //x/search", Class::Write),
            ("POST //orders/8/search", Class::Write),
            ("GET /run/1", Class::Write),
            ("HEAD /run/1", Class::Write),
            ("GET /RUN/1", Class::Write),
            ("GET /run/a/../x", Class::Write),
            ("GET /running", Class::Read),
            // Both are meant: the strictest of them.
            ("POST /orders/7/cancel", Class::Delete),
            ("POST /orders/7", Class::Read),
        ] {
            assert_eq!(class_of(line, &exceptions), [expect.name()], "{line}");
        }
    }

    #[test]
    fn an_exception_is_a_method_and_a_path() {
        for text in ["", "POST", "/a", "POST a", "post /a", "POST /a?b", "POST /a b", "POST  /a"] {
            assert_eq!(Exception::read(Class::Read, text), None, "{text}");
        }
        assert!(Exception::read(Class::Read, "VERSION-CONTROL /a*").is_some());
    }
}
