//! Endpoints that hear of commands that wait: signed messages with a link, and nothing else.
//!
//! In: asks that open and end, windows that open. Out: posts to the endpoints of the configuration.
//! Never: a redirect that is followed; an address or a key in a log; a vote: a message carries a
//! link, and whoever follows it proves who they are.
//!
//! Each endpoint has a queue and a task of its own, so that one that is down delays no other.
//! Signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp`, and in `webhook-signature`
//! one `v1,` and base64 of HMAC-SHA256 of `id.timestamp.body` per key.
//!
//! ```text
//!   queued --2xx--> gone      --4xx--> given up, told      --else--> tried again, later and later,
//!                                                                    until it is of no use any
//! more
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::state::{ControlState, Counters};
use super::{clock, issuer, log, shape};
use crate::config::settings::{Webhook, WebhookBody, WebhookContent};
use crate::decide::approval::AskSummary;
use crate::limits;

/// What endpoints are told.
#[derive(Clone, Debug)]
pub struct Message {
    /// `ask.opened`, `ask.closed`.
    pub kind: &'static str,
    /// How it ended, if it did.
    pub ended: &'static str,
    /// What it is about.
    pub ask: Arc<AskSummary>,
    /// When it happened, UTC microseconds.
    pub at_us: i64,
}

impl Message {
    /// After this time it is of no use.
    fn until_us(&self) -> i64 {
        match self.ended {
            "" => self.ask.expires_at_us,
            _ => self.at_us + NEWS_US,
        }
    }

    /// The same for every try, so that a receiver that heard it twice knows.
    fn id(&self) -> String {
        let step = if self.ended.is_empty() { "opened" } else { self.ended };
        format!("msg_{}_{step}", uuid::Uuid::from_bytes(self.ask.id.0).simple())
    }
}

/// The queues of the endpoints.
#[derive(Debug, Default)]
pub struct Hooks {
    queues: Mutex<HashMap<String, Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Mutex<VecDeque<Message>>,
    more: Notify,
}

impl Queue {
    fn messages(&self) -> std::sync::MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells every endpoint; never waits.
pub fn tell(state: &Arc<ControlState>, message: &Message) {
    for webhook in &state.settings().approvals.webhooks {
        let mut queues = state.hooks.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(webhook.name.clone()).or_insert_with(|| {
            let queue = Arc::new(Queue::default());
            tokio::spawn(keep(state.clone(), webhook.name.clone(), queue.clone()));
            queue
        });
        let mut messages = queue.messages();
        if messages.len() >= limits::WEBHOOK_MESSAGES_MAX {
            Counters::count(&state.counters.webhooks_lost);
            continue;
        }
        messages.push_back(message.clone());
        drop(messages);
        queue.more.notify_one();
    }
}

/// Delivers what one endpoint is to hear. Runs for ever; while the configuration does not name it,
/// nothing is delivered.
async fn keep(state: Arc<ControlState>, name: String, queue: Arc<Queue>) {
    let mut failures = 0;
    loop {
        let next = queue.messages().front().cloned();
        let Some(message) = next else {
            queue.more.notified().await;
            continue;
        };
        let settings = state.settings();
        let hook = settings.approvals.webhooks.iter().find(|hook| hook.name == name).cloned();
        let stale = clock::utc_us() >= message.until_us();
        let outcome = match hook {
            None => Outcome::GivenUp("it is no longer configured".into()),
            Some(_) if stale => Outcome::GivenUp("its time is over".into()),
            Some(hook) => {
                let base = state.base_url();
                let work = move || deliver(&hook, &message, &base, clock::utc_us());
                let done = tokio::task::spawn_blocking(work).await;
                done.unwrap_or_else(|_| Outcome::Later("the sender failed".into()))
            }
        };
        match outcome {
            Outcome::Taken => {
                Counters::count(&state.counters.webhooks_sent);
                failures = 0;
                queue.messages().pop_front();
            }
            Outcome::GivenUp(why) => {
                Counters::count(&state.counters.webhooks_lost);
                log::tell(log::Level::Warn, "webhook-lost", &format!("webhook {name}: {why}"));
                queue.messages().pop_front();
            }
            Outcome::Later(why) => {
                if failures == 0 {
                    let message = format!("webhook {name}: {why}; it is tried again");
                    log::tell(log::Level::Warn, "webhook-failed", &message);
                }
                tokio::time::sleep(pause(failures, clock::utc_us())).await;
                failures += 1;
            }
        }
    }
}

/// Twice as long each time, up to a minute, and not for all at the same moment.
fn pause(failures: u32, now_us: i64) -> Duration {
    let base = PAUSE.saturating_mul(1 << failures.min(6)).min(PAUSE_MAX);
    let jitter = u32::try_from(now_us.rem_euclid(256)).unwrap_or(0);
    base + base / 512 * jitter
}

/// What became of one try.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    Later(String),
    GivenUp(String),
}

/// One try. Blocks.
fn deliver(hook: &Webhook, message: &Message, base: &str, now_us: i64) -> Outcome {
    let body = body(hook, message, base).to_string();
    let id = message.id();
    let timestamp = (now_us / 1_000_000).to_string();
    let agent = match issuer::agent(hook.url.reveal(), hook.root_certificates.as_deref()) {
        Ok(agent) => agent,
        Err(error) => return Outcome::Later(error.to_string()),
    };
    let mut request = agent
        .post(hook.url.reveal())
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", &timestamp);
    if !hook.keys.is_empty() {
        let signatures = signatures(&hook.keys, &id, &timestamp, &body);
        request = request.header("webhook-signature", signatures);
    }
    match request.send(body.as_bytes()).map(|answer| answer.status().as_u16()) {
        Ok(200..=299) => Outcome::Taken,
        Ok(status @ (408 | 425 | 429 | 500..)) => Outcome::Later(format!("status {status}")),
        Ok(status) => Outcome::GivenUp(format!("status {status}")),
        // What the client says may hold the address, which may be a secret.
        Err(ureq::Error::Timeout(_)) => Outcome::Later("it does not answer in time".into()),
        Err(_) => Outcome::Later("it cannot be reached".into()),
    }
}

fn signatures(keys: &[Vec<u8>], id: &str, timestamp: &str, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let of_key = keys.iter().map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        format!("v1,{}", BASE64.encode(hmac::sign(&key, signed.as_bytes())))
    });
    of_key.collect::<Vec<_>>().join(" ")
}

fn body(hook: &Webhook, message: &Message, base: &str) -> Value {
    let link = format!("{base}/a/{}", shape::id_text(message.ask.id));
    match hook.body {
        WebhookBody::Standard => standard(hook.content, message, &link),
        WebhookBody::Slack => slack(hook.content, message, &link),
    }
}

fn standard(content: WebhookContent, message: &Message, link: &str) -> Value {
    let ask = &message.ask;
    let mut data = json!({
        "id": shape::id_text(ask.id),
        "link": link,
        "expires_at": clock::to_text(ask.expires_at_us),
    });
    let mut add = |name: &str, value: Value| data[name] = value;
    if !message.ended.is_empty() {
        add("ended", message.ended.into());
    }
    if content != WebhookContent::None {
        add("user", ask.user.clone().into());
        add("target", ask.target.clone().into());
        add("role", ask.role.clone().into());
        add("classes", ask.classes.clone().into());
        add("rule", ask.rule.clone().into());
        add("approvers", ask.approvers.clone().into());
    }
    if content == WebhookContent::Text {
        let head = shape::Approval::head(ask);
        add("text", head.text.into());
        add("shortened", head.shortened.into());
    }
    json!({ "type": message.kind, "timestamp": clock::to_text(message.at_us), "data": data })
}

/// `text` is what notifications show; in blocks nothing is markup (`plain_text`), so that a command
/// cannot draw a link.
fn slack(content: WebhookContent, message: &Message, link: &str) -> Value {
    let ask = &message.ask;
    let what = match (content, message.ended) {
        (WebhookContent::None, "") => "A command waits for approval".to_owned(),
        (WebhookContent::None, ended) => format!("A command that waited: {ended}"),
        (_, "") => format!(
            "{} wants to run {} at {} as {} (rule \"{}\")",
            ask.user,
            ask.classes.join(", "),
            ask.target,
            ask.role,
            ask.rule
        ),
        (_, ended) => format!("The command of {} at {}: {ended}", ask.user, ask.target),
    };
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let mut blocks = vec![json!({ "type": "section", "text": plain(&what) })];
    if content == WebhookContent::Text && message.ended.is_empty() {
        let head = shape::Approval::head(ask).text;
        if !head.trim().is_empty() {
            blocks.push(json!({ "type": "section", "text": plain(&head) }));
        }
    }
    let button = json!({ "type": "button", "text": plain("Open"), "url": link });
    blocks.push(json!({ "type": "actions", "elements": [button] }));
    json!({ "text": escaped(&what), "blocks": blocks })
}

/// The three characters that are markup in `text` ("Formatting text for app surfaces", Slack).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether a receiver with this key takes a message.
#[cfg(test)]
fn is_signed(key: &[u8], (id, timestamp, body): (&str, &str, &str), signatures: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = format!("{id}.{timestamp}.{body}");
    signatures.split(' ').filter_map(|part| part.strip_prefix("v1,")).any(|encoded| {
        let tag = BASE64.decode(encoded).unwrap_or_default();
        hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    })
}

const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long it is worth telling that a command no longer waits.
const NEWS_US: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Secret;
    use crate::record::SessionId;

    fn ask() -> Arc<AskSummary> {
        Arc::new(AskSummary {
            id: SessionId([7; 16]),
            user: "ci<bot>".into(),
            target: "shop".into(),
            role: "app".into(),
            rule: "writes".into(),
            text: "UPDATE t SET a = 1 -- <https://evil|click>".into(),
            classes: vec!["write".into()],
            expires_at_us: 1_000_000,
            ..AskSummary::default()
        })
    }

    fn hook(body: WebhookBody, content: WebhookContent) -> Webhook {
        Webhook {
            name: "chat".into(),
            url: Secret::new("http://127.0.0.1:1/".into()),
            body,
            content,
            keys: vec![b"0123456789abcdef01234567".to_vec()],
            root_certificates: None,
        }
    }

    fn opened() -> Message {
        Message { kind: "ask.opened", ended: "", ask: ask(), at_us: 5 }
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let (id, timestamp) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let signed = signatures(&[key], id, timestamp, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn both_keys_sign_while_they_are_rotated() {
        let keys = [b"0123456789abcdef01234567".to_vec(), b"76543210fedcba9876543210".to_vec()];
        let signed = signatures(&keys, "m", "1", "{}");
        for key in &keys {
            assert!(is_signed(key, ("m", "1", "{}"), &signed));
            assert!(!is_signed(key, ("m", "2", "{}"), &signed));
            assert!(!is_signed(key, ("m", "1", "{ }"), &signed));
        }
        assert!(!is_signed(b"another key of 24 bytes..", ("m", "1", "{}"), &signed));
    }

    #[test]
    fn a_body_holds_what_the_configuration_lets_out() {
        let check = |content, has: &[&str], hasnt: &[&str]| {
            for form in [WebhookBody::Standard, WebhookBody::Slack] {
                let body = body(&hook(form, content), &opened(), "https://weir").to_string();
                assert!(body.contains("https://weir/a/07070707-0707-0707-0707-070707070707"));
                has.iter().for_each(|it| assert!(body.contains(it), "{body} lacks {it}"));
                hasnt.iter().for_each(|it| assert!(!body.contains(it), "{body} has {it}"));
            }
        };
        check(WebhookContent::None, &[], &["shop", "UPDATE", "ci<bot>"]);
        check(WebhookContent::Shape, &["shop", "write"], &["UPDATE"]);
        check(WebhookContent::Text, &["shop", "UPDATE"], &[]);
    }

    #[test]
    fn slack_text_is_no_markup() {
        let body = body(&hook(WebhookBody::Slack, WebhookContent::Text), &opened(), "https://w");
        assert!(body["text"].as_str().unwrap().starts_with("ci&lt;bot&gt; wants"));
        let blocks = body["blocks"].as_array().unwrap();
        let texts = blocks.iter().filter_map(|block| block.get("text"));
        assert!(texts.clone().count() == 2);
        assert!(texts.clone().all(|text| text["type"] == "plain_text"));
        assert_eq!(
            blocks[2]["elements"][0]["url"],
            "https://w/a/07070707-0707-0707-0707-070707070707"
        );
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        assert!(pause(0, 0) >= PAUSE && pause(0, 255) < 2 * PAUSE);
        assert!(pause(3, 0) >= 8 * PAUSE);
        assert!(pause(40, 255) <= 2 * PAUSE_MAX);
    }

    #[test]
    fn news_end_and_an_ask_is_told_until_it_expires() {
        assert_eq!(opened().until_us(), 1_000_000);
        let closed = Message { ended: "denied", kind: "ask.closed", ..opened() };
        assert_eq!(closed.until_us(), 5 + NEWS_US);
        assert_ne!(closed.id(), opened().id());
    }
}
