//! The API over a loopback socket, with shards that are closures.

use std::net::SocketAddr;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::*;
use crate::admin::auth::Gate;
use crate::admin::listen::Bounded;
use crate::admin::mesh::{Delivery, Mesh, Post};
use crate::admin::state::{Instruments, World};
use crate::config::settings::{Settings, User};
use crate::decide::approval::AskSummary;
use crate::identify::scram::Verifier;
use crate::record::SessionId;
use crate::session::SessionSummary;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SESSION: SessionId = SessionId([0x11; 16]);
const ASK: SessionId = SessionId([0x22; 16]);

#[derive(Debug)]
struct Sealer(Mutex<usize>);

impl Sealing for Sealer {
    fn waiting(&self) -> usize {
        let mut left = self.0.lock().unwrap();
        *left = left.saturating_sub(1);
        *left
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn notes(&self) -> Vec<crate::shard::mail::Note> {
        Vec::new()
    }

    fn lag_us(&self) -> u64 {
        2_500_000
    }

    fn disk(&self) -> Option<crate::admin::disk::Disk> {
        Some(crate::admin::disk::Disk { free_bytes: 77, minutes_left: Some(5) })
    }

    fn quarantined(&self) -> usize {
        2
    }

    fn on_trouble(&self, _listener: Arc<dyn Fn() + Send + Sync>) {}
}

/// A shard with one session of `alice` and one held command of `ci-bot`.
fn shard(votes: Arc<Mutex<Vec<crate::session::Vote>>>) -> Post {
    Box::new(move |message| {
        match message {
            ToShard::Sessions(reply) => {
                let summary = SessionSummary {
                    session_id: SESSION,
                    user: "alice".into(),
                    target: "orders".into(),
                    role: "app".into(),
                    client_addr: "127.0.0.1:5000".into(),
                    state: "idle",
                    started_us: 1,
                    commands: 3,
                };
                reply.send(vec![summary]).unwrap();
            }
            ToShard::Kill(id, reply) => reply.send(id == SESSION).unwrap(),
            ToShard::Vote(id, vote, reply) => {
                let answer = match () {
                    () if id != ASK => crate::session::VoteReply::Unknown,
                    () if !vote.groups.contains(&"dba".to_owned()) => {
                        crate::session::VoteReply::Refused("not an approver".into())
                    }
                    () if vote.approve => crate::session::VoteReply::Counted { missing: 0 },
                    () => crate::session::VoteReply::Denied,
                };
                votes.lock().unwrap().push(vote);
                reply.send(answer).unwrap();
            }
            _ => {}
        }
        Delivery::Taken
    })
}

fn settings() -> Settings {
    let text = "data_dir = 'd'\n[listen.postgres]\naddress = '127.0.0.1:0'\n\
                [[target]]\nname = 'orders'\nprotocol = 'postgres'\n\
                address = 'db.internal:5432'\ntls = 'disable'\n\
                [[target.credential]]\nrole = 'app'\npassword = { env = 'P' }\n";
    let env = |_: &str| Some("secret".to_owned());
    let mut settings =
        crate::config::parse(text, "t.toml", std::path::Path::new("."), &env).unwrap();
    settings.users = [("alice", "pw-a", "engineers"), ("dora", "pw-d", "dba")]
        .map(|(name, password, group)| User {
            name: name.into(),
            verifier: Some(Verifier::from_password(password, b"salt of sixteen.", 4096)),
            keys: Vec::new(),
            groups: vec![group.into()],
        })
        .into();
    settings
}

struct Server {
    address: SocketAddr,
    votes: Arc<Mutex<Vec<crate::session::Vote>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

fn serve() -> Server {
    let votes = Arc::new(Mutex::new(Vec::new()));
    let mesh = Mesh::new(vec![shard(votes.clone())]);
    let world = World::new(settings(), [0; 32]);
    let totals = Box::new(|| vec![Total::counter("accepted", "Clients accepted.", 9)]);
    let meters = vec![Arc::new(metrics::Meters::new(|| 0))];
    meters[0].target(0).count(metrics::Counted::Deny);
    let instruments = Instruments { totals, meters };
    let state = Arc::new(ControlState::new(world, mesh, Gate::new(TOKEN).unwrap(), instruments));
    state.open_ask(
        0,
        AskSummary {
            id: ASK,
            session_id: SESSION,
            command_seq: 7,
            user: "ci-bot".into(),
            target: "orders".into(),
            role: "app".into(),
            rule: "schema changes".into(),
            text: "DROP TABLE t".into(),
            params: String::new(),
            sameness: None,
            classes: vec!["ddl".into()],
            objects: vec!["+t".into()],
            approvers: vec!["dba".into()],
            quorum: 1,
            parts: Vec::new(),
            repeatable: false,
            requested_at_us: 0,
            expires_at_us: 1,
        },
    );
    let api = Api::new(state, Arc::new(Sealer(Mutex::new(3))));
    let (ready, address) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let server = axum::serve(Bounded::new(listener), api.service());
            tokio::select! {
                _ = server => {}
                _ = stopped => {}
            }
        });
    });
    Server { address: address.recv().unwrap(), votes, _stop: stop }
}

impl Server {
    fn call(&self, method: &str, path: &str, auth: &str, body: Option<Value>) -> (u16, Value) {
        self.call_with(method, path, &[("authorization", auth)], body)
    }

    fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        if !text.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let mut response = agent.run(request.body(text).unwrap()).unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_json().unwrap())
    }
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

#[test]
fn only_health_is_told_to_strangers() {
    let server = serve();
    assert_eq!(server.call("GET", "/v1/health", "", None), (200, json!({"status": "ok"})));
    assert_eq!(server.call("GET", "/healthz", "", None), (200, json!({"status": "ok"})));
    let ready = json!({"ready": true, "reasons": []});
    assert_eq!(server.call("GET", "/readyz", "", None), (200, ready));
    let places = [
        ("GET", "/v1/status"),
        ("GET", "/v1/metrics"),
        ("GET", "/v1/meters"),
        ("GET", "/v1/sessions"),
        ("GET", "/v1/approvals"),
        ("POST", "/v1/rotate"),
        ("POST", "/v1/approvals/22222222-2222-2222-2222-222222222222"),
        ("POST", "/v1/sessions/11111111-1111-1111-1111-111111111111/kill"),
    ];
    // Fewer guesses of one name than have to wait.
    for (number, (method, path)) in places.into_iter().enumerate() {
        let (name, nobody) = (["alice", "dora"][number % 2], format!("nobody-{number}"));
        for auth in ["", "Bearer wrong", &basic(name, "wrong"), &basic(&nobody, "pw-a")] {
            let (status, body) = server.call(method, path, auth, None);
            assert_eq!(status, 401, "{method} {path} {auth}");
            assert!(body["error"].is_string() && body["hint"].is_string());
        }
    }
    assert!(server.votes.lock().unwrap().is_empty());
}

#[test]
fn who_guesses_a_password_has_to_wait() {
    let server = serve();
    let ask = |auth: &str| server.call("GET", "/v1/sessions", auth, None).0;
    for name in ["alice", "nobody"] {
        let mut said = (0..20).map(|number| ask(&basic(name, &format!("guess-{number}"))));
        let shut = said.position(|status| status != 401);
        assert_eq!(shut, Some(crate::limits::LOGIN_FAILURES_OF_NAME as usize + 1), "{name}");
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .uri(format!("http://{}/v1/sessions", server.address))
            .header("authorization", basic(name, "pw-a"));
        let response = agent.run(request.body(String::new()).unwrap()).unwrap();
        assert_eq!(response.status().as_u16(), 429, "the right one neither");
        assert_eq!(response.headers()["retry-after"], "1");
    }
    assert_eq!(ask(&bearer()), 200, "the token is no password");
    assert_eq!(ask(&basic("dora", "pw-d")), 200, "others are not shut out");
}

#[test]
fn callers_see_what_is_theirs() {
    let server = serve();
    let check = |path: &str, auth: &str, expect: (u16, usize)| {
        let (status, body) = server.call("GET", path, auth, None);
        let count = body.as_array().map_or(0, Vec::len);
        assert_eq!((status, count), expect, "{path} {auth}");
    };
    let (alice, dora) = (basic("alice", "pw-a"), basic("dora", "pw-d"));
    check("/v1/sessions", &bearer(), (200, 1));
    check("/v1/sessions", &alice, (200, 1));
    check("/v1/sessions", &dora, (200, 0));
    check("/v1/approvals", &bearer(), (200, 1));
    check("/v1/approvals", &alice, (200, 0));
    check("/v1/approvals", &dora, (200, 1));
    check("/v1/status", &alice, (403, 0));
    check("/v1/status", &bearer(), (200, 0));
    check("/v1/nothing", &bearer(), (404, 0));
}

#[test]
fn status_tells_the_targets() {
    let (_, body) = serve().call("GET", "/v1/status", &bearer(), None);
    assert_eq!(body["shards"], 1);
    assert_eq!(body["targets"][0]["name"], "orders");
    assert_eq!(body["targets"][0]["address"], "db.internal:5432");
    assert_eq!(body["targets"][0]["catalog"], "waiting");
    assert_eq!(body["counters"]["approvals_waiting"], 1);
    assert_eq!(body["counters"]["accepted"], 9);
    assert!(!body.to_string().contains("secret"));
}

#[test]
fn meters_are_for_administrators() {
    let server = serve();
    let (status, _) = server.call("GET", "/v1/meters", &basic("alice", "pw-a"), None);
    assert_eq!(status, 403);
    let (status, body) = server.call("GET", "/v1/meters", &bearer(), None);
    assert_eq!(status, 200);
    assert_eq!(body["segments_waiting"], 2);
    assert_eq!(body["targets"][0]["name"], "orders");
    assert_eq!(body["targets"][0]["commands"], json!({"allow": 0, "deny": 1, "hold": 0}));
}

#[test]
fn a_vote_reaches_its_shard_with_the_callers_identity() {
    let server = serve();
    let path = "/v1/approvals/22222222-2222-2222-2222-222222222222";
    let dora = basic("dora", "pw-d");
    let (status, shown) = server.call("GET", path, &dora, None);
    assert_eq!(
        (status, &shown["text"], &shown["objects"][0]),
        (200, &json!("DROP TABLE t"), &json!("+t"))
    );
    let digest = shown["digest"].clone();
    let approve =
        || Some(json!({"decision": "approve", "reason": "checked", "digest": digest.clone()}));
    for other in [json!({"decision": "approve"}), json!({"decision": "deny", "digest": "00"})] {
        let (status, body) = server.call("POST", path, &dora, Some(other));
        assert_eq!((status, &body["result"]), (409, &json!("refused")), "of what was not shown");
    }
    let answer = server.call("POST", path, &dora, approve());
    assert_eq!(answer, (200, json!({"result": "counted", "missing": 0})));
    let answer = server.call("POST", path, &dora, Some(json!({"decision": "deny"})));
    assert_eq!(answer, (200, json!({"result": "denied"})));
    let answer = server.call("POST", path, &bearer(), approve());
    assert_eq!(answer, (403, json!({"result": "refused", "message": "not an approver"})));
    let other = "/v1/approvals/33333333-3333-3333-3333-333333333333";
    assert_eq!(server.call("POST", other, &dora, approve()), (404, json!({"result": "unknown"})));
    let votes = server.votes.lock().unwrap();
    assert_eq!((votes[0].approver.as_str(), votes[0].reason.as_str()), ("dora", "checked"));
    assert_eq!(votes[0].groups, ["dba"]);
    assert_eq!(votes[2].groups, ["admin"], "the token is no approver of dba");
}

#[test]
fn a_ballot_is_read_strictly() {
    let server = serve();
    let path = "/v1/approvals/22222222-2222-2222-2222-222222222222";
    let dora = basic("dora", "pw-d");
    let check = |body: Option<Value>, expect: u16| {
        let (status, answer) = server.call("POST", path, &dora, body);
        assert_eq!(status, expect, "{answer}");
        assert!(answer["hint"].is_string());
    };
    check(None, 415);
    check(Some(json!({"decision": "maybe"})), 422);
    check(Some(json!({"decision": "approve", "reason": "x".repeat(5_000)})), 400);
    check(Some(json!({"decision": "approve", "reason": "x".repeat(50_000)})), 413);
    assert!(server.votes.lock().unwrap().is_empty());
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = serve();
    let path = "/v1/sessions/11111111-1111-1111-1111-111111111111/kill";
    let auth = bearer();
    let own = format!("http://{}", server.address);
    let check = |origin: &str, expect: u16| {
        let headers = [("authorization", auth.as_str()), ("origin", origin)];
        assert_eq!(server.call_with("POST", path, &headers, None).0, expect, "{origin}");
    };
    check("http://evil.example", 403);
    check("null", 403);
    check(&own, 200);
    check("", 200);
    for (site, expect) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200)] {
        let headers = [("authorization", auth.as_str()), ("sec-fetch-site", site)];
        assert_eq!(server.call_with("POST", path, &headers, None).0, expect, "{site}");
    }
}

#[test]
fn sessions_are_ended_by_their_owner_or_an_admin() {
    let server = serve();
    let path = "/v1/sessions/11111111-1111-1111-1111-111111111111/kill";
    assert_eq!(server.call("POST", path, &basic("dora", "pw-d"), None).0, 404);
    assert_eq!(server.call("POST", path, &basic("alice", "pw-a"), None).0, 200);
    assert_eq!(server.call("POST", path, &bearer(), None).0, 200);
    assert_eq!(server.call("POST", "/v1/sessions/x/kill", &bearer(), None).0, 404);
}

#[test]
fn rotate_waits_for_the_sealer() {
    let server = serve();
    let answer = server.call("POST", "/v1/rotate", &bearer(), None);
    assert_eq!(answer, (200, json!({"sealed": true, "waiting": 0})));
    assert_eq!(server.call("POST", "/v1/rotate", &basic("alice", "pw-a"), None).0, 403);
    assert_eq!(server.call("GET", "/v1/rotate", &bearer(), None).0, 405);
}
