//! What somebody would ask of a host of SSH, a service or a cluster, for `weir policy test`.
//!
//! In: the kind of request, its text. Out: the action that rules are asked about. Never: another
//! action than the session's own: texts are made into requests, and those are read as ever.

use clap::ValueEnum;

use super::fail::{EXIT_USAGE, Failure};
use crate::decide::http::Exception;
use crate::decide::kubernetes::content::Content;
use crate::decide::kubernetes::{Claims, understand};
use crate::decide::ssh::Class;
use crate::decide::ssh::files::{FilePath, Operation, RENAME};
use crate::decide::{Action, http, ssh};
use crate::wire::http::h1::HeadReader;
use crate::wire::http::h1::read::Kind;
use crate::wire::http::head::Head;
use crate::wire::http::jsonrpc::{self, Bad};
use crate::wire::http::mcp::Call;
use crate::wire::http::{Refused, form};
use crate::wire::kubernetes;
use crate::wire::ssh::fields::Write;
use crate::wire::ssh::message::{ChannelAsk, Open};
use crate::wire::ssh::sftp::{Attributes, open};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Request {
    /// A command: `ssh host TEXT`, and what scp -O, rsync and git run
    Exec,
    /// A shell
    Shell,
    /// A subsystem: `sftp`, before any operation
    Subsystem,
    /// An operation on files
    Sftp,
    /// A connection from the host to HOST:PORT
    ForwardLocal,
    /// A connection from the host to a socket at PATH
    ForwardSocket,
    /// A port that the host listens on
    ForwardRemote,
    /// The client's agent
    Agent,
    /// The client's display
    X11,
}

/// What a request is to the rules.
pub(super) fn of_ssh(request: Request, text: &str) -> Result<Action, Failure> {
    let bytes = text.as_bytes();
    Ok(match request {
        Request::Exec => ssh::exec(bytes),
        Request::Shell => ssh::request(b"shell", &ChannelAsk::Shell),
        Request::Subsystem => ssh::request(b"subsystem", &ChannelAsk::Subsystem(bytes)),
        Request::Agent => ssh::request(b"auth-agent-req@openssh.com", &ChannelAsk::Agent),
        Request::X11 => ssh::request(b"x11-req", &ChannelAsk::X11),
        // A path is that of a socket, as a record shows it, too.
        Request::ForwardRemote => match text.rsplit_once("unix:").map_or(text, |(_, path)| path) {
            path if path.starts_with('/') => {
                let mut rest = Vec::new();
                rest.put_string(path.as_bytes());
                ssh::global(b"streamlocal-forward@openssh.com", &rest)
            }
            "" => ssh::global(b"tcpip-forward", b""),
            place => ssh::global(b"tcpip-forward", &tcp(place)?),
        },
        Request::ForwardLocal => {
            let mut rest = tcp(text)?;
            rest.put_string(b"127.0.0.1");
            rest.put_u32(0);
            opened(b"direct-tcpip", &rest)
        }
        Request::ForwardSocket => {
            let mut rest = Vec::new();
            rest.put_string(bytes);
            rest.put_string(b"");
            rest.put_u32(0);
            opened(b"direct-streamlocal@openssh.com", &rest)
        }
        Request::Sftp => operation(text)?.action(),
    })
}

/// A host and a port as messages have them, of `HOST:PORT` or what a record shows of a forward.
fn tcp(text: &str) -> Result<Vec<u8>, Failure> {
    let place = text.rsplit_once("tcp:").map_or(text, |(_, place)| place);
    let place = place
        .rsplit_once(':')
        .and_then(|(host, port)| port.parse::<u32>().ok().map(|port| (host, port)));
    let (host, port) = place.ok_or_else(|| wrong("HOST:PORT", text))?;
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    let mut fields = Vec::new();
    fields.put_string(host.as_bytes());
    fields.put_u32(port);
    Ok(fields)
}

/// A request to a service: `POST /orders`. For MCP a tool and its arguments, `lookup {"name":
/// "bob"}`, or a message as it is sent.
pub(super) fn of_http(
    (is_mcp, exceptions): (bool, &[Exception]),
    text: &str,
) -> Result<Action, Failure> {
    let sent = Sent::read(text);
    let text = match &sent {
        // A message is what stands in the content; what people are shown before it is made of it.
        Sent { content, .. } if is_mcp && content.starts_with('{') => content.as_str(),
        Sent { line, .. } if !is_mcp || line.contains(" /") => line.as_str(),
        _ => text.trim(),
    };
    let text = text.strip_prefix("tools/call ").filter(|_| is_mcp).unwrap_or(text);
    let (word, rest) = text.split_once([' ', '\n']).unwrap_or((text, ""));
    let is_request = rest.trim_start().starts_with('/');
    if is_mcp && is_request && word == "POST" {
        let words = "what is asked of a server of MCP by POST stands in the message";
        return Err(Failure::new(EXIT_USAGE, words)
            .hint("write the tool and its arguments, lookup {\"name\": \"bob\"}, or the message"));
    }
    if !is_mcp || is_request {
        let asked = head(word, rest.trim())?;
        if word == "POST" && form::names_method(sent.content.as_bytes(), word.as_bytes()) {
            let label = Refused::MethodOverride.label();
            let said = format!("`{}` is refused whatever rules say: {label}", text.trim());
            return Err(Failure::new(EXIT_USAGE, said));
        }
        let action = http::action(&asked, false, exceptions);
        return match action.acts.iter().any(|act| act.classes.has(http::Class::Call)) {
            true => of_calls(&asked, sent.content.trim()),
            false => Ok(action),
        };
    }
    let message = match text.starts_with('{') {
        true => text.to_owned(),
        false => {
            let arguments = if rest.trim().is_empty() { "{}" } else { rest.trim() };
            let name = serde_json::Value::from(word);
            let params = format!("{{\"name\":{name},\"arguments\":{arguments}}}");
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{params}}}"
            )
        }
    };
    let head = head("POST", "/")?;
    let bad = |bad: Bad| {
        Failure::new(EXIT_USAGE, format!("no server would be asked this: {}", bad.label()))
            .hint("a call of MCP is a tool and its arguments as JSON: lookup {\"name\": \"bob\"}")
    };
    let messages = jsonrpc::read(message.as_bytes()).map_err(bad)?;
    let first = messages.list.first().ok_or_else(|| wrong("message", text))?;
    let call = Call::read(message.as_bytes(), first).map_err(bad)?;
    Ok(http::call(&head, message.as_bytes(), &call))
}

/// What a target's `calls` says is JSON-RPC: what is called stands in the content.
fn of_calls(head: &Head, content: &str) -> Result<Action, Failure> {
    let bad = |bad: Bad| {
        Failure::new(EXIT_USAGE, format!("weir would refuse this: {}", bad.label()))
            .hint("write the request, an empty line and the message as it is sent")
    };
    let messages = jsonrpc::read(content.as_bytes()).map_err(bad)?;
    Ok(http::calls(head, content.as_bytes(), &messages.list))
}

fn head(method: &str, path: &str) -> Result<Head, Failure> {
    let written = format!("{method} {path} HTTP/1.1\r\nHost: target\r\n\r\n");
    let (mut head, mut input) = (Head::default(), written.as_bytes());
    match HeadReader::default().next(&mut input, &mut head, Kind::Request) {
        Ok(true) if input.is_empty() => Ok(head),
        Err(refused) if path.starts_with('/') && !path.contains(' ') => {
            let label = refused.label();
            let said = format!("`{method} {path}` is refused whatever rules say: {label}");
            Err(Failure::new(EXIT_USAGE, said))
        }
        Ok(_) | Err(_) => Err(wrong("request", &format!("{method} {path}"))
            .hint("a request is a method and a path: GET /orders/17")),
    }
}

/// A request as somebody writes it, or as records show it: with the version, fields and a blank
/// line before the content.
struct Sent {
    /// Method and path, or whatever else was written.
    line: String,
    content: String,
}

impl Sent {
    fn read(text: &str) -> Sent {
        let text = text.trim().replace("\r\n", "\n");
        let (head, content) = match text.split_once("\n\n") {
            Some((head, content)) => (head, content.to_owned()),
            None => {
                let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
                // Without a blank line it is all content, unless it is what follows a line of HTTP.
                let is_head = version(head).is_some() || version(first(rest)).is_some();
                let content = if is_head && !rest.starts_with('{') { "" } else { rest };
                (if is_head { text.as_str() } else { head }, content.to_owned())
            }
        };
        // Of a message people are shown what it asks for, before the request.
        let line = head.lines().take(2).find_map(version).unwrap_or_else(|| first(head));
        Sent { line: line.trim().to_owned(), content: content.trim().to_owned() }
    }
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A line of HTTP without its version.
fn version(line: &str) -> Option<&str> {
    let (request, version) = line.trim_end().rsplit_once(' ')?;
    version.starts_with("HTTP/").then_some(request)
}

/// The path that the cluster is asked for: clients of weir put `/k8s/NAME` before it.
fn onward<'p>(cluster: &str, path: &'p str) -> Result<&'p str, Failure> {
    let Some(rest) = path.strip_prefix("/k8s/") else { return Ok(path) };
    let name = rest.split(['/', '?']).next().unwrap_or_default();
    if name != cluster {
        let words = format!("the path is of the cluster {name}, and --target is {cluster}");
        return Err(Failure::new(EXIT_USAGE, words));
    }
    Ok(rest.get(name.len()..).unwrap_or_default())
}

/// Why servers may read the path of a request differently, if it is one of a path.
pub(super) fn unclear_path(text: &str) -> Option<&'static str> {
    let Sent { line, .. } = Sent::read(text);
    let (word, path) = line.split_once(' ')?;
    http::unclear_path(&head(word, path.trim()).ok()?).map(Refused::label)
}

/// A request to a cluster: `DELETE /api/v1/namespaces/prod/pods/web-0`, and the JSON of its body in
/// a line of its own. Without one a body may be anything.
pub(super) fn of_cluster(cluster: &str, text: &str) -> Result<Action, Failure> {
    let Sent { line, content } = Sent::read(text);
    let (line, body) = (line.as_str(), content.as_str());
    let (method, path) = line.split_once(' ').unwrap_or((line, ""));
    let path = onward(cluster, path.trim())?;
    let fault = |what: String| {
        Failure::new(EXIT_USAGE, what)
            .hint("a request to a cluster is a method and a path: GET /api/v1/namespaces/app/pods")
    };
    let request = kubernetes::request::Request::read(method.as_bytes(), path.trim().as_bytes())
        .map_err(|refused| fault(format!("no cluster would be asked this: {refused}")))?;
    let content = match (body.trim(), method) {
        ("", "POST" | "PUT" | "PATCH") => Content::Opaque,
        (body, _) => Content::read(None, body.as_bytes())
            .map_err(|unreadable| fault(unreadable.words().to_owned()))?,
    };
    understand(&request, &content, &Claims::default())
        .map(|understood| understood.action)
        .map_err(|refused| fault(format!("no cluster would be asked this: {refused}")))
}

fn opened(kind: &[u8], rest: &[u8]) -> Action {
    ssh::open(&Open { kind, sender: 0, window: 0, packet_max: 0, rest })
}

fn wrong(form: &str, text: &str) -> Failure {
    Failure::new(EXIT_USAGE, format!("`{text}` is no {form}"))
}

/// `open /srv/a read,write`, `rename /srv/a /srv/b`: words, of which those with spaces are quoted.
fn operation(text: &str) -> Result<Operation, Failure> {
    let form = || {
        wrong("operation of SFTP", text).hint(
            "open PATH read,write,append,create,truncate | opendir, stat, lstat, readlink, \
             realpath, statvfs, expand-path, remove, rmdir, mkdir PATH | setstat, fsetstat, \
             lsetstat PATH size=0 mode=0600 | rename, symlink, hardlink, copy PATH PATH | \
             users-groups-by-id, home-directory",
        )
    };
    let words = ssh::text::plain_words(text.as_bytes()).ok_or_else(form)?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    // Attributes, as records show them.
    let count = words.iter().take_while(|word| word.starts_with(b"/") || !word.contains(&b'='));
    let (words, sets) = words.split_at(count.count());
    let path = |word: &[u8]| FilePath::new(word, None);
    let one = |verb, class, name| Operation::new(verb, class, vec![path(name)]);
    let two = |verb, class, from, to| Operation::new(verb, class, vec![path(from), path(to)]);
    let mut operation = match *words {
        [b"open", name] => Operation::open(path(name), open::READ),
        [b"open", name, flags] => {
            let mut flags = flags.split(|byte| *byte == b',').map(flag);
            let flags = flags.try_fold(0, |all, one| one.map(|one| all | one));
            Operation::open(path(name), flags.ok_or_else(form)?)
        }
        [b"opendir", name] => one("opendir", Class::SftpList, name),
        [b"stat", name] => one("stat", Class::SftpList, name),
        [b"lstat", name] => one("lstat", Class::SftpList, name),
        [b"readlink", name] => one("readlink", Class::SftpList, name),
        [b"realpath", name] => one("realpath", Class::SftpList, name),
        [b"statvfs", name] => one("statvfs", Class::SftpList, name),
        [b"expand-path", name] => {
            let path = FilePath::expanded(name, None);
            Operation::new("expand-path", Class::SftpList, vec![path])
        }
        [b"users-groups-by-id", ..] => Operation::names(b"", b""),
        [b"home-directory", ..] => Operation::home_directory(b""),
        [b"setstat", name] => one("setstat", Class::SftpAttr, name),
        [b"fsetstat", name] => one("fsetstat", Class::SftpAttr, name),
        [b"lsetstat", name] => one("lsetstat", Class::SftpAttr, name),
        [b"remove", name] => one("remove", Class::SftpDelete, name),
        [b"rmdir", name] => one("rmdir", Class::SftpDelete, name),
        [b"mkdir", name] => one("mkdir", Class::SftpWrite, name),
        [b"rename", from, to] => two(RENAME, Class::SftpWrite, from, to),
        [b"symlink", from, to] => two("symlink", Class::SftpAttr, from, to),
        [b"hardlink", from, to] => two("hardlink", Class::SftpAttr, from, to),
        [b"copy", from, to] => Operation::copy(path(from), path(to)),
        _ => return Err(form()),
    };
    if !matches!(operation.verb, "users-groups-by-id" | "home-directory") {
        operation.sets(&Attributes::of_words(sets.iter().copied()));
    }
    Ok(operation)
}

fn flag(name: &[u8]) -> Option<u32> {
    Some(match name {
        b"read" => open::READ,
        b"write" => open::WRITE,
        b"append" => open::APPEND,
        b"create" => open::CREAT,
        b"truncate" => open::TRUNC,
        b"exclusive" => open::EXCL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_a_cluster_is_a_method_a_path_and_a_body() {
        fn check(text: &str, classes: &[&str]) {
            let action = of_cluster("prod", text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(action.classes, classes, "{text}");
        }
        check("GET /api/v1/namespaces/app/pods", &["read"]);
        check("DELETE /api/v1/namespaces/app/pods/web-0", &["delete"]);
        check("GET /api/v1/namespaces/app/pods/web-0/exec?command=id", &["exec"]);
        check("POST /api/v1/namespaces/app/pods", &["write", "workload", "workload-privileged"]);
        check("POST /api/v1/namespaces/app/pods\n{\"spec\":{}}", &["write", "workload"]);
        for wrong in ["SELECT 1", "GET", "GET /api/v1/../x", "POST /api/v1/nodes\n{"] {
            assert!(of_cluster("prod", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_may_stand_as_records_show_it() {
        let of = |text: &str| of_cluster("prod", text);
        let head = "HTTP/1.1\r\nHost: gate\r\nAccept: */*\r\n";
        let pods = "/api/v1/namespaces/app/pods";
        for (text, same) in [
            (format!("GET /k8s/prod{pods} HTTP/1.1"), format!("GET {pods}")),
            (format!("GET /k8s/prod{pods}?watch=1 {head}"), format!("GET {pods}?watch=1")),
            (
                format!("POST /k8s/prod{pods} {head}\r\n{{\"spec\":{{}}}}"),
                format!("POST {pods}\n{{\"spec\":{{}}}}"),
            ),
        ] {
            let (one, other) = (of(&text), of(&same));
            let (Ok(one), Ok(other)) = (one, other) else { panic!("{text}") };
            let told = |action: &Action| format!("{:?} {}", action.classes, action.operation);
            assert_eq!(told(&one), told(&other), "{text}");
        }
        assert!(of("GET /k8s/other/api/v1/pods HTTP/1.1").is_err());
        let said = |is_mcp, text: &str| match of_http((is_mcp, &[]), text) {
            Err(_) => "wrong".to_owned(),
            Ok(action) => format!("{} {}", action.classes.join(","), action.operation),
        };
        let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"now"}}"#;
        for (is_mcp, text, expect) in [
            (false, "GET /orders/17 HTTP/1.1".to_owned(), "read GET /orders/{id}"),
            (false, format!("DELETE /orders {head}\r\nabc"), "delete DELETE /orders"),
            (true, "tools/call lookup {\"name\": \"bob\"}".to_owned(), "call tools/call lookup"),
            (true, format!("POST /mcp/a {head}\r\n{message}"), "call tools/call now"),
            (
                true,
                format!("tools/call now {{}}\r\nPOST /mcp/a {head}\r\n{message}"),
                "call tools/call now",
            ),
            (true, "POST /mcp/a HTTP/1.1".to_owned(), "wrong"),
            (true, "POST /mcp/a".to_owned(), "wrong"),
        ] {
            assert_eq!(said(is_mcp, &text), expect, "{text}");
        }
    }

    #[test]
    fn requests_and_calls_are_what_services_are_asked() {
        let said = |is_mcp, text: &str| match of_http((is_mcp, &[]), text) {
            Err(_) => "wrong".to_owned(),
            Ok(action) => format!("{} {}", action.classes.join(","), action.operation),
        };
        for (is_mcp, text, expect) in [
            (false, "GET /orders/17", "read GET /orders/{id}"),
            (false, "DELETE /orders", "delete DELETE /orders"),
            (false, "GET orders", "wrong"),
            (false, "GET /a b", "wrong"),
            (false, "delete /a", "wrong"),
            (false, "TRACE /a", "wrong"),
            (false, "POST /a?_method=DELETE", "wrong"),
            (false, "POST /a\n_method=DELETE", "wrong"),
            (false, "POST /a\n_method=post&b=c", "write POST /a"),
            (true, "lookup {\"name\": \"bob\"}", "call tools/call lookup"),
            (true, "now", "call tools/call now"),
            (true, "lookup {\"name\"", "wrong"),
            (true, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, "session tools/list"),
        ] {
            assert_eq!(said(is_mcp, text), expect, "{text}");
        }
    }

    #[test]
    fn texts_are_what_sessions_ask_for() {
        let said = |request, text: &str| match of_ssh(request, text) {
            Err(_) => "wrong".to_owned(),
            Ok(action) => {
                let classes: Vec<String> = action.classes.iter().map(ToString::to_string).collect();
                classes.join(",")
            }
        };
        for (request, text, expect) in [
            (Request::Exec, "echo hi", "exec"),
            (Request::Exec, "scp -t /srv/a", "scp-upload"),
            (Request::Shell, "", "shell"),
            (Request::Subsystem, "sftp", "subsystem"),
            (Request::Sftp, "open /srv/a read", "sftp-read"),
            (Request::Sftp, "open /srv/a read,write", "sftp-read,sftp-write"),
            (Request::Sftp, "rename '/srv/a b' /srv/c", "sftp-write"),
            (Request::Sftp, "open /srv/a write,create mode=0644", "sftp-write"),
            (Request::Sftp, "setstat /srv/a mode=0600", "sftp-attr"),
            (Request::Sftp, "setstat /srv/a size=0", "sftp-write"),
            (Request::Sftp, "fsetstat /srv/a size=0 mode=0644", "sftp-write,sftp-attr"),
            (Request::Sftp, "lsetstat '/srv/a b' times=1,2", "sftp-attr"),
            (Request::Sftp, "copy /srv/a /srv/b", "sftp-read,sftp-write"),
            (Request::Sftp, "statvfs /srv", "sftp-list"),
            (Request::Sftp, "expand-path '~/x'", "sftp-list"),
            (
                Request::Sftp,
                "users-groups-by-id /etc/passwd /etc/group users=0 groups=",
                "sftp-list",
            ),
            (Request::Sftp, "home-directory /etc/passwd user=bob", "sftp-list"),
            (Request::Sftp, "open /srv/a fast", "wrong"),
            (Request::Sftp, "run /srv/a", "wrong"),
            (Request::ForwardLocal, "db:5432", "forward-local"),
            (Request::ForwardLocal, "open tcp:db:5432", "forward-local"),
            (Request::ForwardLocal, "[::1]:5432", "forward-local"),
            (Request::ForwardLocal, "db", "wrong"),
            (Request::ForwardRemote, "localhost", "wrong"),
            (Request::ForwardSocket, "/run/x", "forward-socket"),
            (Request::ForwardRemote, "", "forward-remote"),
            (Request::ForwardRemote, "tcp:localhost:8080", "forward-remote"),
            (Request::ForwardRemote, "/run/x", "forward-remote"),
            (Request::Agent, "", "agent"),
            (Request::X11, "", "x11"),
        ] {
            assert_eq!(said(request, text), expect, "{request:?} {text}");
        }
    }
}
