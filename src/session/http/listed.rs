//! Answers to `tools/list`, in whatever stream they come: what an identity may not call is not
//! offered to it, and what tools say of themselves is remembered.
//!
//! In: the content of the answer, in any split. Out: the same without some tools; definitions.
//! Never: a list that was not understood; a denial by this alone: calls are decided one by one.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::hex;
use crate::limits::{HTTP_LIST_BYTES_MAX, MCP_TOOLS_MAX};
use crate::wire::http::jsonrpc::{self, Kind};
use crate::wire::http::mcp::list::{Tool, Tools};
use crate::wire::http::sse::{Splitter, field, lines};

/// Filters the content of one answer.
#[derive(Debug)]
pub(super) struct Listing {
    way: Way,
    /// Tools that were offered by the server and not told yet.
    pub found: Vec<Tool>,
}

#[derive(Debug)]
enum Way {
    /// One message.
    Whole(Vec<u8>),
    /// Events, each a message.
    Events(Splitter),
    /// Events of a stream that may have a list among them. What is no list passes as it is.
    InPassing(Splitter),
    /// One of these was too long to be held; nothing is looked at any more.
    Through,
}

/// A fixed word for what is wrong.
pub(super) type Label = &'static str;

impl Listing {
    /// For an answer that is one message, or a stream of events.
    pub fn new(is_events: bool) -> Listing {
        let way = match is_events {
            true => Way::Events(Splitter::default()),
            false => Way::Whole(Vec::new()),
        };
        Listing { way, found: Vec::new() }
    }

    /// For a stream of events that was not opened for a list: servers say an answer again to
    /// whoever resumes (MCP, Streamable HTTP, "Resumability").
    pub fn in_passing() -> Listing {
        Listing { way: Way::InPassing(Splitter::default()), found: Vec::new() }
    }

    /// Takes in content; `keep` says which tools stay.
    pub fn push(&mut self, data: &[u8], keep: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, Label> {
        match &mut self.way {
            Way::Whole(held) => {
                if held.len() + data.len() > HTTP_LIST_BYTES_MAX {
                    return Err("mcp-list-too-long");
                }
                held.extend_from_slice(data);
                Ok(Vec::new())
            }
            Way::Events(splitter) => {
                let (mut input, mut out) = (data, Vec::new());
                while let Some(event) =
                    splitter.next(&mut input).map_err(|_| "mcp-list-too-long")?
                {
                    filter_event(event, keep, &mut self.found, &mut out)?;
                }
                Ok(out)
            }
            Way::InPassing(splitter) => {
                let (mut input, mut out) = (data, Vec::new());
                loop {
                    let unread = input;
                    match splitter.next(&mut input) {
                        Ok(Some(event)) => {
                            // What cannot be read as a list is none to its client either.
                            let before = out.len();
                            if filter_event(event, keep, &mut self.found, &mut out).is_err() {
                                out.truncate(before);
                                out.extend_from_slice(event);
                            }
                        }
                        Ok(None) => return Ok(out),
                        Err(_) => {
                            out.extend_from_slice(splitter.rest());
                            out.extend_from_slice(unread);
                            self.way = Way::Through;
                            return Ok(out);
                        }
                    }
                }
            }
            Way::Through => Ok(data.to_vec()),
        }
    }

    /// The content is over. What follows the last event is none, and goes nowhere.
    pub fn finish(&mut self, keep: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, Label> {
        match &mut self.way {
            Way::Whole(held) => {
                let held = std::mem::take(held);
                let filtered = filter(&held, keep, &mut self.found)?;
                Ok(filtered.unwrap_or(held))
            }
            Way::Events(_) | Way::Through => Ok(Vec::new()),
            Way::InPassing(splitter) => Ok(splitter.rest().to_vec()),
        }
    }
}

/// A message without the tools that do not stay. `None`: it is no list.
fn filter(
    body: &[u8],
    keep: &dyn Fn(&[u8]) -> bool,
    found: &mut Vec<Tool>,
) -> Result<Option<Vec<u8>>, Label> {
    let messages = jsonrpc::read(body).map_err(|bad| bad.label())?;
    let [message] = messages.list.as_slice() else { return Err("jsonrpc-batch") };
    let (Kind::Result, Some(result)) = (message.kind, message.outcome) else { return Ok(None) };
    let tools = Tools::read(body, result).map_err(|bad| bad.label())?;
    let filtered = tools.filtered(body, keep);
    found.extend(tools.list);
    Ok(Some(filtered))
}

fn filter_event(
    event: &[u8],
    keep: &dyn Fn(&[u8]) -> bool,
    found: &mut Vec<Tool>,
    out: &mut Vec<u8>,
) -> Result<(), Label> {
    let is_data = |line: &[u8]| matches!(field(line), Some((b"data", ..)));
    let values = lines(event).filter_map(|(_, line)| match field(line) {
        Some((b"data", _, value)) => Some(value),
        _ => None,
    });
    let data = values.collect::<Vec<_>>().join(&b'\n');
    if data.is_empty() {
        out.extend_from_slice(event);
        return Ok(());
    }
    let Some(filtered) = filter(&data, keep, found)? else {
        out.extend_from_slice(event);
        return Ok(());
    };
    for (_, line) in lines(event).filter(|(_, line)| !line.is_empty() && !is_data(line)) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    for line in filtered.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    Ok(())
}

/// What is new about a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It was not seen since weir began.
    First,
    /// It had this digest before.
    Changed([u8; 32]),
    /// It is as it was.
    None,
}

/// By the seed of the gateway, target and name.
type Definitions = HashMap<([u8; 32], String, Vec<u8>), [u8; 32]>;

/// What the tools of each target said of themselves last, whichever shard saw it: which of them a
/// client gets is chance, and a change is one for all of them.
static KNOWN: LazyLock<Mutex<Definitions>> = LazyLock::new(Mutex::default);

/// Remembers a definition and says what is new about it. A target that makes up names without end
/// has those beyond the limit told each time.
pub(super) fn news(gateway: [u8; 32], target: &str, tool: &Tool) -> News {
    let key = (gateway, target.to_owned(), tool.name.clone());
    // Each change is one insertion: a panic leaves nothing half done.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MCP_TOOLS_MAX && !known.contains_key(&key) {
        return News::First;
    }
    match known.insert(key, tool.digest) {
        None => News::First,
        Some(before) if before == tool.digest => News::None,
        Some(before) => News::Changed(before),
    }
}

/// A definition for the record: JSON.
pub(super) fn attrs(target: &str, tool: &Tool, before: Option<[u8; 32]>) -> String {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut attrs = serde_json::Map::new();
    let mut say = |key: &str, value: String| attrs.insert(key.to_owned(), value.into());
    say("target", target.to_owned());
    say("tool", words(&tool.name));
    say("sha256", hex::text(&tool.digest));
    if let Some(before) = before {
        say("before_sha256", hex::text(&before));
    }
    if tool.definition.len() <= DEFINITION_BYTES_MAX {
        say("definition", words(&tool.definition));
    }
    serde_json::Value::Object(attrs).to_string()
}

/// The longest definition that the record has; of longer ones it has the digest.
const DEFINITION_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = concat!(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":{}}, "#,
        r#"{"name":"b","inputSchema":{}}]}}"#
    );
    const KEPT: &str =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"b","inputSchema":{}}]}}"#;

    fn run(is_events: bool, content: &str, piece: usize) -> (Result<String, Label>, usize) {
        let mut listing = Listing::new(is_events);
        let keep = |name: &[u8]| name == b"b";
        let mut out = Vec::new();
        for part in content.as_bytes().chunks(piece) {
            match listing.push(part, &keep) {
                Ok(some) => out.extend(some),
                Err(label) => return (Err(label), listing.found.len()),
            }
        }
        let end = listing.finish(&keep);
        let said = end.map(|end| String::from_utf8([out, end].concat()).expect("UTF-8"));
        (said, listing.found.len())
    }

    #[test]
    fn lists_are_filtered_in_any_split() {
        let stream = format!(": hello\n\nid: 7\ndata:\n\nevent: message\ndata: {LIST}\n\n");
        let expect = format!(": hello\n\nid: 7\ndata:\n\nevent: message\ndata: {KEPT}\n\n");
        for piece in 1..stream.len() {
            assert_eq!(run(false, LIST, piece), (Ok(KEPT.to_owned()), 2));
            assert_eq!(run(true, &stream, piece), (Ok(expect.clone()), 2));
        }
    }

    #[test]
    fn a_list_in_a_stream_of_something_else_is_filtered() {
        let other = concat!(
            ": hi\n\ndata: {}\n\ndata: a\r\n\r\n",
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n",
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
        );
        let stream = format!("{other}id: 7\ndata: {LIST}\n\n{other}id: x");
        let expect = format!("{other}id: 7\ndata: {KEPT}\n\n{other}id: x");
        let long = format!("data: {}\n\n", "x".repeat(crate::limits::SSE_EVENT_BYTES_MAX));
        let keep = |name: &[u8]| name == b"b";
        let run = |stream: &str, piece: usize| {
            let (mut listing, mut out) = (Listing::in_passing(), Vec::new());
            for part in stream.as_bytes().chunks(piece) {
                out.extend(listing.push(part, &keep).expect("it passes"));
            }
            out.extend(listing.finish(&keep).expect("the end"));
            (String::from_utf8(out).expect("UTF-8"), listing.found.len())
        };
        for piece in 1..stream.len() {
            assert_eq!(run(&stream, piece), (expect.clone(), 2));
        }
        // What is too long to be held passes whole, and so does all behind it.
        for piece in [10_000, 3 << 20] {
            let all = format!("{stream}\n\n{long}{other}");
            assert_eq!(run(&all, piece).0, format!("{expect}\n\n{long}{other}"));
        }
    }

    #[test]
    fn what_is_no_list_is_not_delivered_as_one() {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#;
        assert_eq!(run(false, error, 9), (Ok(error.to_owned()), 0));
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":1}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[]}}"#,
            "",
            "<html>",
        ] {
            assert!(run(false, bad, 9).0.is_err(), "{bad}");
        }
        for length in 1..LIST.len() {
            assert!(run(false, &LIST[..length], 9).0.is_err());
            let stream = format!("data: {}\n\n", &LIST[..length]);
            assert!(run(true, &stream, 9).0.is_err());
        }
    }

    #[test]
    fn a_definition_is_new_once_and_when_it_changes() {
        let tool = |digest: u8| Tool {
            name: b"x".to_vec(),
            whole: Default::default(),
            definition: Vec::new(),
            digest: [digest; 32],
        };
        let (one, other) = ([1; 32], [2; 32]);
        assert_eq!(news(one, "t", &tool(1)), News::First);
        assert_eq!(news(one, "t", &tool(1)), News::None);
        assert_eq!(news(one, "u", &tool(2)), News::First);
        // Another shard, which is another thread, sees the change first; it is told once.
        let seen = std::thread::spawn(move || {
            let tool = Tool { digest: [2; 32], ..tool(2) };
            news(one, "t", &tool)
        });
        assert_eq!(seen.join().ok(), Some(News::Changed([1; 32])));
        assert_eq!(news(one, "t", &tool(2)), News::None);
        assert_eq!(news(other, "t", &tool(1)), News::First, "another gateway of the process");
    }
}
