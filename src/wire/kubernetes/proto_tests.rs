use super::*;

/// Of k8s.io/api, testdata/HEAD: every field has a value.
const SECRET: &[u8] = include_bytes!("testdata/core.v1.Secret.pb");
const CONFIG_MAP: &[u8] = include_bytes!("testdata/core.v1.ConfigMap.pb");
const TOKEN_REVIEW: &[u8] = include_bytes!("testdata/authentication.k8s.io.v1.TokenReview.pb");
const EVICTION: &[u8] = include_bytes!("testdata/policy.v1.Eviction.pb");

fn message(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    assert!(length < 128);
    [&[number << 3 | 2, length][..], bytes].concat()
}

fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [message(1, b"v1"), message(2, kind.as_bytes())].concat();
    [&MAGIC[..], &message(1, &meta), &message(2, raw)].concat()
}

#[test]
fn objects_of_kubernetes_are_read() {
    let secret = Object::read(SECRET).unwrap();
    assert_eq!((secret.api_version, secret.kind), ("v1", "Secret"));
    assert_eq!(secret.name(), Ok("nameValue"));
    assert_eq!(secret.namespace(), Ok("namespaceValue"));
    let values: Vec<&[u8]> = vec![b"\x02", b"stringDataValue"];
    assert_eq!(secret.secrets(), Ok(values));
    let config = Object::read(CONFIG_MAP).unwrap();
    let values: Vec<&[u8]> = vec![b"dataValue", b"\x03"];
    assert_eq!(config.secrets(), Ok(values));
    let review = Object::read(TOKEN_REVIEW).unwrap();
    let values: Vec<&[u8]> = vec![b"tokenValue"];
    assert_eq!(review.secrets(), Ok(values));
    let eviction = Object::read(EVICTION).unwrap();
    assert_eq!(eviction.dry_run(), Ok(vec!["dryRunValue"]));
    assert_eq!(secret.dry_run(), Ok(vec![]));
}

#[test]
fn the_items_of_a_list_are_objects_of_its_kind() {
    let entry = [message(1, b"key"), message(2, b"value")].concat();
    let item = message(2, &message(2, &entry));
    let list = envelope("SecretList", &[item.clone(), item].concat());
    let values: Vec<&[u8]> = vec![b"value", b"value"];
    assert_eq!(Object::read(&list).unwrap().secrets(), Ok(values));
}

#[test]
fn what_was_last_applied_is_the_object_again() {
    let entry = [message(1, LAST_APPLIED.as_bytes()), message(2, b"{..}")].concat();
    let other = [message(1, b"a"), message(2, b"b")].concat();
    let annotations = [message(12, &entry), message(12, &other)].concat();
    let secret = envelope("Secret", &message(1, &annotations));
    let values: Vec<&[u8]> = vec![b"{..}"];
    assert_eq!(Object::read(&secret).unwrap().secrets(), Ok(values));
}

#[test]
fn every_cut_is_refused_or_reads_less() {
    for golden in [SECRET, CONFIG_MAP, TOKEN_REVIEW, EVICTION] {
        let whole = Object::read(golden).unwrap();
        for end in 0..golden.len() {
            if let Ok(object) = Object::read(&golden[..end]) {
                assert!(object.raw == whole.raw || object.raw.is_empty(), "cut at {end}");
            }
            let _ = Object { raw: &golden[..end], ..whole }.secrets();
        }
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    fn check(body: &[u8], expect: Refused) {
        assert_eq!(Object::read(body), Err(expect), "{}", body.escape_ascii());
    }
    check(b"", Refused::Magic);
    check(b"k8s", Refused::Magic);
    check(b"{}", Refused::Magic);
    let twice = [envelope("Secret", b""), message(2, b"")].concat();
    check(&twice, Refused::Twice);
    check(&[&MAGIC[..], &message(3, b"gzip")].concat(), Refused::Content);
    check(&[&MAGIC[..], &message(4, b"application/json")].concat(), Refused::Content);
    check(&[&MAGIC[..], b"\x10\x01"].concat(), Refused::Type);
    check(&[&MAGIC[..], b"\x0b\x0c"].concat(), Refused::Field);
    check(&[&MAGIC[..], b"\x00\x01"].concat(), Refused::Field);
    check(&[&MAGIC[..], b"\x12\x7f\x01"].concat(), Refused::Truncated);
    check(
        &[&MAGIC[..], b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"].concat(),
        Refused::Truncated,
    );
    check(&[&MAGIC[..], b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"].concat(), Refused::Field);
    let binary = [&MAGIC[..], &message(1, &message(2, b"\xff"))].concat();
    check(&binary, Refused::Encoding);
    let name = message(1, &[message(1, b"a"), message(1, b"b")].concat());
    let object = envelope("Secret", &name);
    assert_eq!(Object::read(&object).unwrap().name(), Err(Refused::Twice));
}

#[test]
fn events_are_the_same_in_any_split() {
    let object = envelope("Secret", b"");
    let event =
        envelope("WatchEvent", &[message(1, b"ADDED"), message(2, &message(1, &object))].concat());
    let length = u32::try_from(event.len()).unwrap().to_be_bytes();
    let stream = [&length[..], &event, &length, &event, b"\0\0"].concat();
    for piece in 1..=stream.len() {
        let mut frames = Frames::default();
        let mut found = 0;
        for mut input in stream.chunks(piece) {
            while let Some(frame) = frames.next(&mut input).unwrap() {
                let event = Event::read(frame).unwrap();
                assert_eq!((event.kind, event.object), ("ADDED", &object[..]));
                found += 1;
            }
        }
        assert_eq!(found, 2, "in pieces of {piece}");
    }
    let mut long = &[0xff; 8][..];
    assert_eq!(Frames::default().next(&mut long), Err(Refused::Length));
}
