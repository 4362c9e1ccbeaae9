//! HTTP/2, JSON, MCP and masks of bodies: what is done with bytes of a peer, and what must hold
//! then.

use std::rc::Rc;

use weir::mask::body::{Masker, Rules, Shape};
use weir::mask::detect::{Detector, Detectors};
use weir::mask::{Hits, Operator};
use weir::wire::http::h2::hpack::{Decoder, Encoder, Fields, Keep};
use weir::wire::http::h2::{Connection, Event, Say};
use weir::wire::http::json::path::Pattern;
use weir::wire::http::json::{Step, Walk};
use weir::wire::http::{jsonrpc, mcp};

/// One field block, in any fragments: the same fields or the same refusal; what is encoded again
/// says the same.
pub fn hpack(bytes: &[u8]) {
    let whole = fields(bytes, usize::MAX);
    for piece in [1, 3, 7] {
        assert_eq!(whole, fields(bytes, piece), "in pieces of {piece}");
    }
    let Some(said) = whole else { return };
    let mut block = Vec::new();
    let mut encoder = Encoder::default();
    encoder.begin(&mut block);
    for (name, value, never) in &said {
        let keep = if *never { Keep::Never } else { Keep::Usual };
        encoder.field(name, value, keep, &mut block);
    }
    let again = fields(&block, usize::MAX).expect("an encoded block is a block");
    let both = said.iter().zip(&again);
    assert_eq!(said.len(), again.len());
    for ((name, value, never), (its_name, its_value, its_never)) in both {
        assert_eq!((name, value), (its_name, its_value));
        assert!(its_never >= never, "a field that is never indexed lost its mark");
    }
}

type Said = Vec<(Vec<u8>, Vec<u8>, bool)>;

fn fields(bytes: &[u8], piece: usize) -> Option<Said> {
    let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
    for fragment in bytes.chunks(piece.min(bytes.len().max(1))) {
        decoder.decode(fragment, false, &mut fields).ok()?;
    }
    decoder.decode(&[], true, &mut fields).ok()?;
    assert!(fields.size() <= weir::limits::HTTP_HEAD_BYTES_MAX);
    assert!(fields.len() <= weir::limits::HTTP_FIELDS_MAX);
    Some(fields.iter().map(|(name, value, never)| (name.into(), value.into(), never)).collect())
}

/// A connection of either role, between a peer that says anything and somebody who answers all that
/// is asked: the same events in any split, and what is to be
/// sent is in proportion to what was received.
pub fn h2(bytes: &[u8]) {
    let Some((role, bytes)) = bytes.split_first() else { return };
    let whole = talk(role & 1 == 1, bytes, usize::MAX);
    for piece in [1, 5, 64] {
        assert_eq!(whole, talk(role & 1 == 1, bytes, piece), "in pieces of {piece}");
    }
}

fn talk(is_server: bool, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut connection = match is_server {
        true => Connection::server("https", true),
        false => Connection::client("https"),
    };
    let (mut said, mut open) = (Vec::<String>::new(), 0);
    for mut input in bytes.chunks(piece.min(bytes.len().max(1))) {
        loop {
            let event = match connection.receive(&mut input, 0) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(fatal) => {
                    said.push(format!("{fatal:?}"));
                    assert!(connection.receive(&mut &b"x"[..], 0).is_err(), "it goes on");
                    return said;
                }
            };
            match event {
                Event::Data { stream, bytes, last } => {
                    let count = bytes.len() as u32;
                    connection.credit(stream, count);
                    connection.credit_connection(count);
                    let text = format!("{}{}", bytes.escape_ascii(), if last { "." } else { "" });
                    if open == stream {
                        said.last_mut().expect("data was said").push_str(&text);
                    } else {
                        said.push(format!("data {stream} {text}"));
                    }
                    open = if last { 0 } else { stream };
                    continue;
                }
                Event::Head { stream, last } => {
                    let head = connection.head();
                    assert!(head.arena().len() <= weir::limits::HTTP_HEAD_BYTES_MAX);
                    said.push(format!("head {stream} {last} {}", head.arena().escape_ascii()));
                    if is_server {
                        let _ =
                            connection.send_head(stream, Say::Answer { last: false }, |block| {
                                block.field(b":status", b"200", Keep::Usual);
                            });
                        let _ = connection.send_data(stream, b"answer", last);
                    }
                }
                Event::Ready if !is_server => {
                    connection.open(false, true, |block| {
                        block.field(b":method", b"GET", Keep::Usual);
                    });
                    said.push("opened".to_owned());
                }
                Event::Refused { stream, why } => {
                    said.push(format!("refused {stream} {why:?}"));
                    connection.reset(stream, weir::wire::http::h2::Code::Protocol);
                }
                Event::Reset { stream, .. } => {
                    said.push(format!("{event:?}"));
                    connection.release(stream);
                }
                event => said.push(format!("{event:?}")),
            }
            open = 0;
        }
        assert!(connection.streams() <= weir::limits::H2_STREAMS_MAX);
        assert!(connection.pending() < 1_000 + 40 * bytes.len(), "little is answered by much");
    }
    said
}

/// A JSON text: the same tokens in any split, and none that `serde_json` would not take.
pub fn json(bytes: &[u8]) {
    let whole = tokens(bytes, usize::MAX);
    for piece in [1, 2, 9] {
        assert_eq!(whole, tokens(bytes, piece), "in pieces of {piece}");
    }
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(_) => {}
        Err(error) if error.to_string().starts_with("number out of range") => {}
        Err(error) => assert!(whole.is_none(), "taken, but {error}"),
    }
}

fn tokens(bytes: &[u8], piece: usize) -> Option<Vec<String>> {
    let (mut walk, mut found, mut buffer) = (Walk::strict(), Vec::new(), Vec::new());
    let mut pieces = bytes.chunks(piece.min(bytes.len().max(1))).peekable();
    loop {
        buffer.extend_from_slice(pieces.next().unwrap_or(&[]));
        let ends = pieces.peek().is_none();
        let mut at = 0;
        let step = loop {
            match walk.next(&buffer, &mut at, ends).ok()? {
                Step::Token(token, span) => {
                    let end = (span.start + span.len) as usize;
                    let text = &buffer[span.start as usize..end];
                    found.push(format!("{token:?} {}", text.escape_ascii()));
                }
                step => break step,
            }
        };
        match step {
            Step::Need(from) => drop(buffer.drain(..from)),
            _ if ends => return Some(found),
            _ => buffer.clear(),
        }
        assert!(!ends, "more is needed behind the end");
    }
}

/// A body of MCP: what weir reads is what `serde_json` reads.
pub fn mcp(bytes: &[u8]) {
    let Ok(messages) = jsonrpc::read(bytes) else { return };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    for (at, message) in messages.list.iter().enumerate() {
        let its = if messages.is_batch { &value[at] } else { &value };
        let method = message.method_text(bytes);
        assert_eq!(its["method"].as_str().unwrap_or("").as_bytes(), method);
        let Ok(call) = mcp::Call::read(bytes, message) else { continue };
        if call.subject == mcp::Subject::Tool {
            let name = its["params"]["name"].as_str().map(|name| name.as_bytes().to_vec());
            assert_eq!(call.name, name);
        }
        if let Some(result) = message.outcome
            && let Ok(tools) = mcp::list::Tools::read(bytes, result)
        {
            let filtered = tools.filtered(bytes, |name| name.len() % 2 == 0);
            serde_json::from_slice::<serde_json::Value>(&filtered).expect("a list stays JSON");
        }
    }
}

/// A body under masks, in any split. JSON stays JSON, and what is on a masked path does not leave.
pub fn body(bytes: &[u8]) {
    let Some((shape, bytes)) = bytes.split_first() else { return };
    const SHAPES: [Shape; 5] =
        [Shape::Json, Shape::JsonLines, Shape::Events, Shape::Form, Shape::Text];
    let shape = SHAPES[usize::from(*shape) % SHAPES.len()];
    let detectors = Detectors::new(Detector::ALL.map(|detector| (detector, Operator::Redact)));
    let path = Pattern::parse("hidden").expect("a pattern");
    let rules = Rules::mcp(vec![(path.clone(), Operator::Nullify)], Rc::new(detectors.clone()));
    let plain = Rules::new(vec![(path, Operator::Nullify)], Rc::new(detectors));
    for (is_mcp, rules) in [(true, Rc::new(rules)), (false, Rc::new(plain))] {
        let whole = masked(&rules, shape, bytes, usize::MAX);
        for piece in [1, 4, 33] {
            let pieces = masked(&rules, shape, bytes, piece);
            // Text leaves by where its pieces end; what is hidden in it is the same.
            if shape != Shape::Text {
                assert_eq!(whole, pieces, "in pieces of {piece}");
            }
            assert_eq!(whole.is_some(), pieces.is_some(), "in pieces of {piece}");
        }
        let Some(out) = whole.filter(|_| shape == Shape::Json) else { continue };
        // Several texts in one are masked each.
        let texts = serde_json::Deserializer::from_slice(&out).into_iter::<serde_json::Value>();
        for text in texts {
            match text {
                Ok(value) => {
                    let hidden = &value["hidden"];
                    let is_shown = hidden.is_number() || hidden.is_string() || hidden.is_boolean();
                    assert!(is_mcp || !is_shown, "a masked path was shown");
                }
                Err(error) if error.to_string().starts_with("number out of range") => break,
                Err(error) => panic!("masked JSON is none: {error}"),
            }
        }
    }
}

fn masked(rules: &Rc<Rules>, shape: Shape, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut masker = Masker::new(Rc::clone(rules), shape)?;
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    for part in bytes.chunks(piece.min(bytes.len().max(1))) {
        masker.push(part, &mut out, &mut hits).ok()?;
    }
    masker.finish(&mut out, &mut hits).ok()?;
    Some(out)
}
