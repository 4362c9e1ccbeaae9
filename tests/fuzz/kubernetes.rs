//! Bytes of Kubernetes' clients, apiservers and kubelets: request lines, channels, SPDY, protobuf.
//!
//! Used as `harness.rs` is, by `smoke.rs` and by the targets of cargo-fuzz.

use weir::decide::kubernetes::content::Content;
use weir::decide::kubernetes::{Claims, Class, classify, understand};
use weir::mask::kubernetes::{brings_back, pointer_tells};
use weir::wire::kubernetes::channel::{Messages, Offer, Said, Spoken, exit, size, spoken};
use weir::wire::kubernetes::proto::{Event, Fields, Frames, Object};
use weir::wire::kubernetes::request::{Asked, Request};
use weir::wire::kubernetes::schema;
use weir::wire::kubernetes::spdy::{Control, Deflater, Framer, Inflater, Refused, Step};

/// A method, a space and a target: what is taken has one reading and a class.
pub fn request(bytes: &[u8]) {
    let space = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    let (method, target) = bytes.split_at(space);
    let Ok(request) = Request::read(method, target.get(1..).unwrap_or_default()) else { return };
    let understood = understand(&request, &Content::Opaque, &Claims::default());
    assert_eq!(understood.is_ok(), classify(&request).is_ok(), "{request:?}");
    if let Ok(understood) = understood {
        assert!(!understood.action.classes.is_empty(), "{request:?}");
    }
    if let Asked::Resource(attributes) = &request.asked {
        assert!(!attributes.resource.is_empty());
        for part in &attributes.parts {
            let hides = part.is_empty() || part == "." || part == ".." || part.contains('/');
            assert!(!hides, "{part:?} is a segment of {request:?}");
        }
    }
    let Ok(classified) = classify(&request) else { return };
    assert!(!classified.classes.is_empty(), "{request:?}");
    let exec = request.resource().is_some_and(|attributes| {
        attributes.group.is_empty() && attributes.full_resource() == "pods/exec"
    });
    assert!(!exec || classified.classes.has(Class::Exec), "{request:?}");
}

/// Messages of each protocol of channels, whole and cut in two: the same bytes of the same.
pub fn channel(bytes: &[u8]) {
    let Some((choice, message)) = bytes.split_first() else { return };
    const NAMES: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io"];
    let name = NAMES[usize::from(choice % 3)];
    let Some(Spoken::Channels(protocol)) = spoken(name) else { panic!("{name}") };
    let said = |at: usize| {
        let mut messages = Messages::new(protocol, 5);
        let (head, tail) = message.split_at(at);
        let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
        for (piece, last) in [(head, false), (tail, true)] {
            match messages.take(piece, last).ok()? {
                None => {}
                Some(Said::HalfClose(channel)) => all.push((channel | 0x80, Vec::new())),
                Some(Said::Bytes { channel, bytes }) => match all.last_mut() {
                    Some((known, before)) if *known == channel => before.extend(bytes),
                    _ => all.push((channel, bytes)),
                },
            }
        }
        Some(all)
    };
    let whole = said(0);
    for at in [1, message.len() / 2, message.len()] {
        assert_eq!(whole, said(at.min(message.len())), "{name} cut at {at}");
    }
    exit(4, message);
    size(message);
    if let Ok(text) = std::str::from_utf8(message) {
        let _ = Offer::read(std::iter::once(text));
        pointer_tells(text, "spec.containers.*.env.*.value");
    }
    brings_back(message);
}

/// Frames of one direction in any split are the same, and are written as they came; headers that
/// inflate are the same after another deflater.
pub fn spdy(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    for piece in [1, 7] {
        assert_eq!(whole, frames(bytes, piece), "in pieces of {piece}");
    }
    let mut inflater = Inflater::default();
    let mut deflater = Deflater::default();
    let mut again = Inflater::default();
    // A block as it is, which frames rarely have.
    let _ = Inflater::default().read(bytes);
    let mut framer = Framer::default();
    let mut input = bytes;
    while let Ok(step) = framer.next(&mut input) {
        let Step::Control { control, .. } = step else {
            if step == Step::Need { break } else { continue }
        };
        let (Control::SynStream { block, .. }
        | Control::SynReply { block, .. }
        | Control::Headers { block, .. }) = control
        else {
            continue;
        };
        let Ok(pairs) = inflater.read(block) else { break };
        let sent = deflater.write(&pairs).expect("headers that were read can be written");
        assert_eq!(again.read(&sent), Ok(pairs));
    }
}

fn frames(bytes: &[u8], piece: usize) -> (Vec<String>, Option<Refused>) {
    let mut framer = Framer::default();
    let mut found = Vec::new();
    for mut input in bytes.chunks(piece) {
        loop {
            match framer.next(&mut input) {
                Ok(Step::Control { control, frame }) => {
                    let mut written = Vec::new();
                    control.write(&mut written).expect("what was read can be written");
                    assert_eq!(written.len(), frame.len(), "{control:?}");
                    found.push(format!("{control:?}"));
                }
                Ok(Step::Data { stream, fin, .. }) => found.push(format!("{stream} {fin} ")),
                // Parts depend on the pieces, their bytes do not.
                Ok(Step::Part { bytes, .. }) => {
                    let last = found.last_mut().expect("a head comes before its parts");
                    last.push_str(&bytes.escape_ascii().to_string());
                }
                Ok(Step::Need) => {
                    assert!(input.is_empty(), "asks for more and has some");
                    break;
                }
                Err(why) => return (found, Some(why)),
            }
        }
    }
    (found, None)
}

/// A body, a watch and a message: no more fields than bytes, values that stand in the body.
pub fn proto(bytes: &[u8]) {
    assert!(Fields::new(bytes).count() <= bytes.len());
    if let Ok(object) = Object::read(bytes) {
        let _ = (object.name(), object.namespace(), object.dry_run());
        if let Some(read) = schema::json(&object) {
            // What both readers find is the same.
            let name = read.pointer("/metadata/name").and_then(serde_json::Value::as_str);
            let kept = object.kind != "DeleteOptions" && name.is_some();
            assert!(!kept || object.name() == Ok(name.unwrap_or_default()), "{read}");
        }
        for value in object.secrets().unwrap_or_default() {
            assert!(!value.is_empty() && value.len() < bytes.len());
        }
    }
    let mut input = bytes;
    let mut frames = Frames::default();
    while let Ok(Some(frame)) = frames.next(&mut input) {
        if let Ok(event) = Event::read(frame) {
            let _ = Object::read(event.object).map(|object| object.secrets());
        }
    }
}
