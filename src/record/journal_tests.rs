use proptest::prelude::*;

use super::super::body::{ContextFields, Texts};
use super::super::entry::{
    Approval, Chunk, Command, CommandExtra, Decision, Event, MaskingHit, Ocsf, Outcome, Params,
    Response, ResponseExtra, SessionEnd, SessionStart,
};
use super::super::scratch::Scratch;
use super::super::testing::{START_US, context, object, session_id};
use super::*;

fn header() -> Header {
    Header {
        node: "node-1".into(),
        shard: 3,
        number: 9,
        boot: *b"\x01\x02\x03\x04 a boot id \xff",
        created_us: START_US,
        first_index: 700,
    }
}

fn params() -> Params<'static> {
    Params { raw: b"\0\0\0\x01\0\0\0\x01x", types: &[25, 23], ..Params::default() }
}

/// One entry of every kind, with every optional part.
#[expect(clippy::too_many_lines, reason = "one of each kind")]
fn with_samples<T>(look: impl FnOnce(&[Entry<'_>]) -> T) -> T {
    let objects = [object(Some("public"), "customers", true), object(None, "t", false)];
    let rules = ["ask".into(), "log".into()];
    let digest = [7; 32];
    look(&[
        Entry::SessionStart(SessionStart {
            server_addr: "10.0.0.1:5432",
            server_version: "17.2",
            durability: "sync",
            backend_pid: -1,
            listener: "postgres-2",
            settings: r#"{"role":"app"}"#,
            auth_detail: r#"{"serial":"01"}"#,
            server_session: "abc",
        }),
        Entry::Command(Command {
            kind: "execute",
            text: b"SELECT \xff",
            operation: "SELECT;UPDATE",
            classes: &["read", "write"],
            objects: &objects,
            params: Some(params()),
            statement: "s1",
            decision: Decision::Hold,
            rule: "ask",
            approval_id: Some(session_id(9)),
            extra: CommandExtra {
                ocsf: Some(Ocsf { class_uid: 6003, activity_id: 1 }),
                parent_seq: Some(4),
                stream_id: Some(7),
                verb: "create",
                resource: "pods",
                subresource: "exec",
                name: "web-0",
                namespace: "prod",
                attrs: r#"{"tty":true}"#,
                body_len: Some(0),
                body_sha256: Some(&digest),
                policy_version: "v9",
                rules: &rules,
                alone: false,
                text_encoding: "LATIN1",
            },
        }),
        Entry::Response(Response {
            command_seq: 1,
            outcome: Outcome::Error,
            sqlstate: "42P01",
            error_text: "no such table",
            tag: "",
            rows_returned: Some(1),
            rows_affected: Some(2),
            duration_us: 3,
            first_byte_us: 4,
            bytes: 5,
            captured_bytes: 6,
            chunks: 7,
            columns: Some(b"a\0b\0"),
            extra: ResponseExtra {
                status: Some(-1),
                signal: "TERM",
                truncated: Some(true),
                body_len: Some(u64::MAX),
                body_sha256: Some(&digest),
                attrs: "{}",
            },
        }),
        Entry::Chunk(Chunk {
            command_seq: 1,
            stream: 1,
            chunk_no: 2,
            byte_offset: 3,
            encoding: "pg-messages",
            payload: &[0, 1, 2, 3, 4],
            at_us: Some(-2),
        }),
        Entry::Approval(Approval {
            approval_id: session_id(9),
            command_seq: 1,
            event: "vote-approve",
            approver: "dba",
            reason: "looked at it",
            quorum: 2,
            expires_at_us: -5,
            digest: Some(&digest),
            scope: r#"{"times":3}"#,
            approver_auth: "oidc",
            channel: "console",
        }),
        Entry::MaskingHit(MaskingHit {
            command_seq: 1,
            column: "email",
            detector: "column",
            operator: "partial",
            hits: 8,
            path: "$.a",
        }),
        Entry::Event(Event { event: "boot", severity: "info", message: "m", attrs: "{}" }),
        Entry::SessionEnd(SessionEnd {
            reason: "client-closed",
            commands: 1,
            bytes_in: 2,
            bytes_out: 3,
            denied: 4,
            masked: 5,
        }),
    ])
}

/// What was read, but for the rules.
fn no_rules<'a>(read: &CommandExtra<'a, Texts<'a>>) -> CommandExtra<'a> {
    let CommandExtra {
        ocsf,
        parent_seq,
        stream_id,
        verb,
        resource,
        subresource,
        name,
        namespace,
        attrs,
        body_len,
        body_sha256,
        policy_version,
        rules: _,
        alone,
        text_encoding,
    } = *read;
    CommandExtra {
        ocsf,
        parent_seq,
        stream_id,
        verb,
        resource,
        subresource,
        name,
        namespace,
        attrs,
        body_len,
        body_sha256,
        policy_version,
        rules: &[],
        alone,
        text_encoding,
    }
}

fn segment() -> Scratch {
    let mut scratch = Scratch::new(header());
    let context = context(1);
    scratch.context(&ContextFields::from(&context), START_US);
    with_samples(|entries| {
        for (seq, entry) in entries.iter().enumerate() {
            scratch.entry(context.session_id, seq as u64, START_US, entry);
        }
    });
    scratch
}

fn read_all<'a>(bytes: &'a [u8], header: &Header) -> (Vec<Frame<'a>>, Vec<Gap>, End) {
    let mut steps = Frames::new(bytes, header);
    let (mut frames, mut gaps) = (Vec::new(), Vec::new());
    for step in &mut steps {
        match step {
            Step::Frame(frame) => frames.push(frame),
            Step::Gap(gap) => gaps.push(gap),
        }
    }
    (frames, gaps, steps.end().unwrap())
}

#[test]
fn every_entry_reads_back_as_it_was_written() {
    let scratch = segment();
    let (frames, gaps, end) = read_all(&scratch.bytes, &scratch.header);
    assert_eq!((frames.len(), gaps.len(), end), (9, 0, End::Clean));
    let indexes: Vec<u64> = frames.iter().map(|frame| frame.place.log_index).collect();
    assert_eq!(indexes, [700, 700, 701, 702, 703, 704, 705, 706, 707]);
    let bodies: Vec<Body<'_>> = frames.iter().map(|frame| frame.body().unwrap()).collect();
    let Body::Context(read) = &bodies[0] else { panic!("{:?}", bodies[0]) };
    let context = context(1);
    assert_eq!(read.user_groups.iter().collect::<Vec<_>>(), context.user_groups);
    assert_eq!((read.user_name, read.tls_version), ("user1", "TLSv1_3"));
    let Body::Command(command) = &bodies[2] else { panic!("{:?}", bodies[2]) };
    assert_eq!(command.text, b"SELECT \xff");
    assert_eq!(command.classes.iter().collect::<Vec<_>>(), ["read", "write"]);
    let objects: Vec<_> = command.objects.iter().map(|o| (o.schema, o.name, o.write)).collect();
    assert_eq!(objects, [(Some("public"), "customers", true), (None, "t", false)]);
    assert_eq!(command.params.unwrap().types().collect::<Vec<_>>(), [25, 23]);
    assert_eq!(command.params.unwrap().raw, params().raw);
    assert_eq!((command.decision, command.approval_id), (Decision::Hold, Some(session_id(9))));
    assert_eq!(command.extra.rules.iter().collect::<Vec<_>>(), ["ask", "log"]);
    with_samples(|entries| {
        let Entry::Command(wrote) = &entries[1] else { panic!("{:?}", entries[1]) };
        let read = CommandExtra { rules: wrote.extra.rules, ..no_rules(&command.extra) };
        assert_eq!(read, wrote.extra);
    });
    with_samples(|entries| {
        for (entry, body) in entries.iter().zip(&bodies[1..]) {
            match (entry, body) {
                (Entry::SessionStart(wrote), Body::SessionStart(read)) => assert_eq!(wrote, read),
                (Entry::SessionEnd(wrote), Body::SessionEnd(read)) => assert_eq!(wrote, read),
                (Entry::Response(wrote), Body::Response(read)) => assert_eq!(wrote, read),
                (Entry::MaskingHit(wrote), Body::MaskingHit(read)) => assert_eq!(wrote, read),
                (Entry::Event(wrote), Body::Event(read)) => assert_eq!(wrote, read),
                (Entry::Chunk(wrote), Body::Chunk(read)) => {
                    assert_eq!(
                        (wrote.payload, wrote.byte_offset),
                        (read.payload, read.byte_offset)
                    );
                    assert_eq!((wrote.encoding, wrote.chunk_no), (read.encoding, read.chunk_no));
                }
                (Entry::Approval(wrote), Body::Approval(read)) => {
                    assert_eq!((wrote.event, wrote.reason), (read.event, read.reason));
                    assert_eq!(wrote.expires_at_us, read.expires_at_us);
                }
                (Entry::Command(wrote), Body::Command(read)) => {
                    assert_eq!((wrote.kind, wrote.rule), (read.kind, read.rule));
                    assert_eq!(
                        (wrote.statement, wrote.operation),
                        (read.statement, read.operation)
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_header_reads_back_and_no_damaged_one_does() {
    let bytes = header().bytes();
    assert_eq!(Header::read(&bytes), Some(header()));
    assert_eq!(Header::read(&[0; HEADER_BYTES]), None, "a free segment");
    for length in 0..HEADER_BYTES {
        assert_eq!(Header::read(&bytes[..length]), None);
    }
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::read(&damaged), None, "bit {bit}");
    }
    let long = Header { node: "\u{e9}".repeat(100), ..header() };
    assert_eq!(Header::read(&long.bytes()).unwrap().node, "\u{e9}".repeat(63));
}

#[test]
fn a_segment_cut_anywhere_gives_its_whole_frames() {
    let scratch = segment();
    let (all, _, _) = read_all(&scratch.bytes, &scratch.header);
    for length in 0..scratch.bytes.len() {
        let (frames, gaps, _) = read_all(&scratch.bytes[..length], &scratch.header);
        // Without its padding a frame is not whole: it would end behind the segment.
        let whole = all.iter().filter(|frame| frame.end() <= length).count();
        assert_eq!((frames.len(), gaps.len()), (whole, 0), "cut at {length}");
    }
}

#[test]
fn every_flipped_bit_is_detected_or_in_padding() {
    let mut scratch = segment();
    let header = scratch.header.clone();
    let (all, _, _) = read_all(&scratch.bytes, &header);
    let kinds: Vec<(u64, Kind)> = all.iter().map(|f| (f.place.log_index, f.kind)).collect();
    let hit = |at: usize| {
        all.iter().position(|f| (f.offset..f.offset + f.raw.bytes().len()).contains(&at))
    };
    let hits: Vec<Option<usize>> = (0..scratch.bytes.len()).map(hit).collect();
    drop(all);
    for bit in HEADER_BYTES * 8..scratch.bytes.len() * 8 {
        scratch.bytes[bit / 8] ^= 1 << (bit % 8);
        let (frames, gaps, end) = read_all(&scratch.bytes, &header);
        let read: Vec<(u64, Kind)> = frames.iter().map(|f| (f.place.log_index, f.kind)).collect();
        let mut expect = kinds.clone();
        if let Some(frame) = hits[bit / 8] {
            expect.remove(frame);
            let last = frame + 1 == kinds.len();
            assert_eq!(gaps.len(), usize::from(!last), "bit {bit}");
            assert_eq!(end == End::Torn, last, "bit {bit}");
            let missing = u64::from(kinds[frame].1 != Kind::Context);
            assert!(gaps.iter().all(|gap| gap.entries == missing), "bit {bit}: {gaps:?}");
        }
        assert_eq!(read, expect, "bit {bit}");
        scratch.bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn frames_of_an_earlier_life_are_not_read() {
    let old = segment();
    let mut new = Scratch::new(Header { number: 10, ..header() });
    let event = Entry::Event(Event { event: "boot", severity: "", message: "", attrs: "" });
    new.entry(session_id(1), 0, START_US, &event);
    let mut bytes = old.bytes.clone();
    bytes[..new.bytes.len()].copy_from_slice(&new.bytes);
    let (frames, gaps, end) = read_all(&bytes, &new.header);
    assert_eq!((frames.len(), gaps.len(), end), (1, 0, End::Clean));
    // The same without the end mark, as after a power cut.
    let mark = new.bytes.len() - END_BYTES;
    bytes[mark..mark + END_BYTES].copy_from_slice(&old.bytes[mark..mark + END_BYTES]);
    let (frames, gaps, _) = read_all(&bytes, &new.header);
    assert_eq!((frames.len(), gaps.len()), (1, 0));
}

#[test]
fn a_frame_inside_the_content_of_another_is_not_found() {
    // Even one with the right salt, which no client knows: its index is not behind what was read.
    let inner = segment();
    let mut outer = Scratch::new(header());
    for seq in 0..3 {
        let chunk = Chunk {
            command_seq: 0,
            stream: 0,
            chunk_no: 0,
            byte_offset: 0,
            encoding: "pg-messages",
            payload: &inner.bytes[HEADER_BYTES..],
            ..Chunk::default()
        };
        for _ in 0..10 {
            outer.entry(session_id(1), seq, START_US, &Entry::Chunk(chunk.clone()));
        }
    }
    let (all, _, _) = read_all(&outer.bytes, &outer.header);
    let (at, count) = (all[20].offset, all.len());
    let mut bytes = outer.bytes.clone();
    bytes[at] ^= 1;
    let (frames, gaps, _) = read_all(&bytes, &outer.header);
    assert_eq!((frames.len(), gaps[0].entries), (count - 1, 1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut segment = header().bytes().to_vec();
        segment.extend_from_slice(&bytes);
        let (frames, _, _) = read_all(&segment, &header());
        prop_assert_eq!(frames.len(), 0);
        let _ = Header::read(&bytes);
        for kind in 0..=10 {
            if let Some(kind) = Kind::from_byte(kind) {
                for version in 0..=body::VERSION + 1 {
                    let _ = body::read(kind, version, &bytes);
                }
            }
        }
    }

    #[test]
    fn a_body_cut_or_extended_is_none(cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let scratch = segment();
        let (frames, _, _) = read_all(&scratch.bytes, &scratch.header);
        for frame in frames {
            let version = frame.raw.version();
            let at = cut.index(frame.raw.body_bytes().len());
            prop_assert!(body::read(frame.kind, version, &frame.raw.body_bytes()[..at]).is_none());
            let mut longer = frame.raw.body_bytes().to_vec();
            longer.push(more);
            prop_assert!(body::read(frame.kind, version, &longer).is_none());
        }
    }

    #[test]
    fn commands_of_any_content_read_back(
        text in prop::collection::vec(any::<u8>(), 0..400),
        statement in ".*",
        raw in prop::collection::vec(any::<u8>(), 0..40),
        types in prop::collection::vec(any::<u32>(), 0..4),
        names in prop::collection::vec((prop::option::of(".*"), ".*", any::<bool>()), 0..4),
    ) {
        let objects: Vec<_> =
            names.iter().map(|(schema, name, write)| object(schema.as_deref(), name, *write))
                .collect();
        let command = Command {
            kind: "query", text: &text, operation: "", classes: &[], objects: &objects,
            params: Some(Params { raw: &raw, types: &types, ..Params::default() }),
            statement: &statement,
            decision: Decision::Deny, rule: "", approval_id: None,
            ..Command::default()
        };
        let mut scratch = Scratch::new(header());
        scratch.entry(session_id(1), 1, START_US, &Entry::Command(command));
        let (frames, _, _) = read_all(&scratch.bytes, &scratch.header);
        let Some(Body::Command(read)) = frames[0].body() else { panic!("{frames:?}") };
        prop_assert_eq!(read.text, &text);
        prop_assert_eq!(read.statement, &statement);
        let view = read.params.unwrap();
        prop_assert_eq!((view.raw, view.types().collect::<Vec<_>>()), (&raw[..], types));
        let read: Vec<_> = read.objects.iter()
            .map(|o| (o.schema.map(str::to_owned), o.name.to_owned(), o.write)).collect();
        prop_assert_eq!(read, names);
    }
}
