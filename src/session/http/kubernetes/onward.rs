//! The head of a request as it goes on to an apiserver: in whose name, under which id.
//!
//! In: a request, its tenure. Out: bytes of a head.
//! Never: a head without `Impersonate-User`; a field of the client's that says who it is.

use crate::decide::kubernetes::Claims;
use crate::identify::Identity;
use crate::limits;
use crate::session::http::exchange::Exchange;
use crate::session::http::link::Link;
use crate::session::http::tenure::Tenure;
use crate::wire::http::h1::Framing;
use crate::wire::http::h1::write::{self, Onward};
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::ws::handshake::{self, Asked};

/// What the apiserver takes for somebody's identity, by the start of the name.
const IMPERSONATE: &[u8] = b"impersonate-";
const REMOTE: &[u8] = b"x-remote-";
/// Names that are weir's own here.
const OWN: [&[u8]; 4] = [b"audit-id", b"cookie", b"authorization", b"via"];

/// A target without the name of the cluster.
pub(super) fn target(head: &Head, prefix: usize) -> Vec<u8> {
    let behind = head.target().get(prefix..).unwrap_or(&[]);
    match behind.first() {
        Some(b'/') => behind.to_vec(),
        _ => [b"/", behind].concat(),
    }
}

/// Whether the client asks to be another. Some servers fold what stands between words.
fn impersonates(head: &Head) -> bool {
    head.named().any(|(_, name, _)| begins(name, IMPERSONATE))
}

/// What the client says of itself, for the row. One command of kubectl is some 5 to 25 requests,
/// which `Kubectl-Session` holds together.
pub(super) fn claims(head: &Head) -> Claims {
    let known: [(&[u8], &str); 3] = [
        (b"user-agent", "user_agent"),
        (b"kubectl-command", "kubectl_command"),
        (b"kubectl-session", "kubectl_session"),
    ];
    let words = known.into_iter().filter_map(|(name, key)| {
        let value = head.spelt(name).next()?;
        let value = value.get(..limits::KUBERNETES_CLAIM_BYTES).unwrap_or(value);
        Some((key, String::from_utf8_lossy(value).into_owned()))
    });
    Claims { impersonates: impersonates(head), attrs: words.collect() }
}

fn begins(name: &[u8], start: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.len() >= start.len() && name.iter().map(folded).zip(start).all(|(a, b)| a == *b)
}

/// The names that weir gives the person: user and groups. `None` if one of them is a cluster's own.
pub(super) fn person(identity: &Identity) -> Option<(&[u8], Vec<&[u8]>)> {
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with("system:")
            && !name.bytes().any(|b| b < 0x20 || b == 0x7f)
    };
    let names = std::iter::once(&identity.user).chain(&identity.groups);
    names
        .clone()
        .all(|name| plain(name))
        .then(|| (identity.user.as_bytes(), identity.groups.iter().map(String::as_bytes).collect()))
}

/// The id of a command, as it stands in the cluster's own audit log.
pub(super) fn audit_id(tenure: &Tenure, seq: u64) -> String {
    format!("{}:{seq}", uuid::Uuid::from_bytes(tenure.ledger.id.0))
}

/// What the answer may be where weir has to look into it: the JSON clauses of `Accept`, protobuf
/// turned into JSON with its parameters. `None`: none is left. `tables` says that cells are safe.
pub(super) fn accept(head: &Head, tables: bool) -> Option<Vec<u8>> {
    const JSON: &[u8] = b"application/json";
    let mut clauses: Vec<Vec<u8>> = Vec::new();
    let mut any = false;
    for clause in head.values(Name::Accept).flat_map(|value| value.split(|byte| *byte == b',')) {
        any = true;
        let clause = clause.trim_ascii();
        let end = clause.iter().position(|byte| *byte == b';').unwrap_or(clause.len());
        let (kind, parameters) = clause.split_at(end);
        let is_json = [JSON, b"application/vnd.kubernetes.protobuf", b"application/*", b"*/*"]
            .contains(&kind.trim_ascii());
        let is_table = parameters.windows(8).any(|it| it == b"as=Table");
        if is_json && (tables || !is_table) {
            let clause = [JSON, parameters].concat();
            if !clauses.contains(&clause) {
                clauses.push(clause);
            }
        }
    }
    match (any, clauses.is_empty()) {
        (false, _) => Some(JSON.to_vec()),
        (true, true) => None,
        (true, false) => Some(clauses.join(&b","[..])),
    }
}

impl Tenure {
    /// The head of a request to a cluster.
    pub(in super::super) fn write_kubernetes(
        &self,
        (out, exchange): (&mut Vec<u8>, &Exchange),
        framing: Framing,
        link: &Link,
    ) {
        let (request, head) = (&exchange.request, &exchange.request.head);
        let Some(asked) = &request.kube else { return };
        let settings = self.snapshot.settings.targets.get(self.target);
        let Some(http) = settings.and_then(|target| target.http.as_ref()) else { return };
        // `begin_kubernetes` has turned away who has no name.
        let Some((user, groups)) = person(&self.identity) else { return };
        let path = [http.path.as_bytes(), &target(head, asked.prefix)].concat();
        let id = audit_id(self, exchange.seq);
        let peer = link.accepted.client_addr.ip().to_string();
        let mut added: Vec<(&[u8], &[u8])> = vec![
            (b"X-Forwarded-For", peer.as_bytes()),
            (b"Audit-ID", id.as_bytes()),
            (b"Impersonate-User", user),
        ];
        added.extend(groups.into_iter().map(|group| (&b"Impersonate-Group"[..], group)));
        let mut without: Vec<&[u8]> = OWN.to_vec();
        let foreign = |name: &[u8]| begins(name, IMPERSONATE) || begins(name, REMOTE);
        without.extend(head.named().map(|(_, name, _)| name).filter(|name| foreign(name)));
        let json = asked.masks.as_ref().and_then(|_| accept(head, asked.tables));
        if let Some(json) = &json {
            without.extend([&b"accept"[..], b"accept-encoding", b"range", b"if-range"]);
            added.push((b"Accept", json));
            added.push((b"Accept-Encoding", b"identity"));
        }
        if request.asks == Asked::Spdy {
            added.push((b"Connection", b"Upgrade"));
            added.push((b"Upgrade", handshake::SPDY));
        }
        if let Some(header) = &self.credential.header {
            without.push(header.name.as_bytes());
            added.push((header.name.as_bytes(), header.value.reveal().as_bytes()));
        }
        let onward = Onward {
            target: &path,
            host: http.authority.as_bytes(),
            framing,
            pass: Pass { without: &without, ..Pass::default() },
            added: &added,
            upgrade: request.asks == Asked::Websocket,
        };
        write::request(out, head, &onward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::h1::HeadReader;
    use crate::wire::http::h1::read::Kind;

    fn head(fields: &str) -> Head {
        let text = format!("GET /k8s/prod/api/v1/pods?watch=1 HTTP/1.1\r\nHost: g\r\n{fields}\r\n");
        let (mut reader, mut head) = (HeadReader::default(), Head::default());
        let mut input = text.as_bytes();
        assert!(reader.next(&mut input, &mut head, Kind::Request).expect("a head"), "{text}");
        head
    }

    #[test]
    fn the_name_of_the_cluster_goes_no_further() {
        assert_eq!(target(&head(""), b"/k8s/prod".len()), b"/api/v1/pods?watch=1");
        assert_eq!(target(&head(""), 0), b"/k8s/prod/api/v1/pods?watch=1");
        assert_eq!(target(&head(""), b"/k8s/prod/api/v1/pods".len()), b"/?watch=1");
    }

    #[test]
    fn whoever_asks_to_be_another_is_found() {
        for name in
            ["Impersonate-User", "impersonate-extra-a", "IMPERSONATE-GROUP", "Impersonate_Uid"]
        {
            assert!(impersonates(&head(&format!("{name}: a\r\n"))), "{name}");
        }
        assert!(!impersonates(&head("X-Impersonate-User: a\r\nImpersonate: a\r\n")));
    }

    #[test]
    fn nobody_gets_a_name_that_only_a_cluster_gives() {
        let method = crate::identify::Method::Basic;
        let who = |user: &str, groups: &[&str]| Identity {
            user: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            method,
        };
        assert!(person(&who("alice", &["sre", "dev"])).is_some());
        assert!(person(&who("alice", &["sre", "system:masters"])).is_none());
        assert!(person(&who("system:admin", &[])).is_none());
        assert!(person(&who("a\r\nImpersonate-Group: b", &[])).is_none());
        assert!(person(&who("", &[])).is_none());
    }

    #[test]
    fn answers_are_asked_for_in_json() {
        fn check(asked: &str, tables: bool, expect: Option<&str>) {
            let fields =
                if asked.is_empty() { String::new() } else { format!("Accept: {asked}\r\n") };
            let found = accept(&head(&fields), tables);
            assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{asked}");
        }
        check("", true, Some("application/json"));
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            true,
            Some("application/json"),
        );
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        check(
            &format!("{table},application/json"),
            true,
            Some(&format!("{table},application/json")),
        );
        check(&format!("{table},application/json"), false, Some("application/json"));
        check(
            "application/vnd.kubernetes.protobuf;stream=watch",
            true,
            Some("application/json;stream=watch"),
        );
        check("application/yaml", true, None);
        check("application/cbor", true, None);
    }
}
