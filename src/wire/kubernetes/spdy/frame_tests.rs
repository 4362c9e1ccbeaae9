use super::*;

/// Everything a direction says, in pieces of `piece` bytes: controls as they are, data joined.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<String>, Refused> {
    let mut framer = Framer::default();
    let mut found: Vec<String> = Vec::new();
    let mut data = String::new();
    for mut input in bytes.chunks(piece) {
        loop {
            match framer.next(&mut input)? {
                Step::Control { control, frame } => {
                    let mut again = Vec::new();
                    control.write(&mut again).unwrap();
                    assert_eq!(again, frame, "{control:?} is written as it came");
                    found.push(format!("{control:?}"));
                }
                Step::Data { stream, fin, bytes } => {
                    data = format!("data {stream} {fin} ");
                    if bytes == 0 {
                        found.push(std::mem::take(&mut data));
                    }
                }
                Step::Part { bytes, last } => {
                    data.push_str(&bytes.escape_ascii().to_string());
                    if last {
                        found.push(std::mem::take(&mut data));
                    }
                }
                Step::Need => {
                    assert!(input.is_empty(), "asks for more and has some");
                    break;
                }
            }
        }
    }
    Ok(found)
}

fn conversation() -> (Vec<u8>, Vec<String>) {
    let controls = [
        Control::SynStream {
            stream: 1,
            associated: 0,
            priority: [0, 0],
            flags: 0,
            block: b"compressed",
        },
        Control::SynReply { stream: 1, flags: FIN, block: b"" },
        Control::Settings { flags: 0, entries: b"\0\0\0\x04\0\0\0\x64" },
        Control::Ping(7),
        Control::Headers { stream: 3, flags: 0, block: b"x" },
        Control::WindowUpdate { stream: 1, delta: 65_536 },
        Control::RstStream { stream: 3, status: 5 },
        Control::GoAway { last: 3, status: 0 },
    ];
    let (mut bytes, mut expect) = (Vec::new(), Vec::new());
    for (index, control) in controls.iter().enumerate() {
        control.write(&mut bytes).unwrap();
        expect.push(format!("{control:?}"));
        let text = vec![b'a'; index];
        bytes.extend(data_head(1, index == 7, u32::try_from(index).unwrap()).unwrap());
        bytes.extend(&text);
        expect.push(format!("data 1 {} {}", index == 7, "a".repeat(index)));
    }
    (bytes, expect)
}

#[test]
fn frames_are_the_same_in_any_split() {
    let (bytes, expect) = conversation();
    for piece in 1..=bytes.len() {
        assert_eq!(read(&bytes, piece).as_ref(), Ok(&expect), "in pieces of {piece}");
    }
    for end in 0..bytes.len() {
        let found = read(&bytes[..end], 3).unwrap();
        assert_eq!(found, expect[..found.len()], "cut at {end}");
    }
}

#[test]
fn what_no_frame_has_is_refused() {
    fn check(bytes: &[u8], expect: Refused) {
        for piece in [1, 64] {
            assert_eq!(read(bytes, piece), Err(expect), "{}", bytes.escape_ascii());
        }
    }
    check(b"\0\0\0\0\0\0\0\x01a", Refused::Number);
    check(b"\0\0\0\x01\x02\0\0\x01a", Refused::Flags);
    check(b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x01", Refused::Version);
    check(b"\x80\x03\0\x05\0\0\0\x04\0\0\0\x01", Refused::Type);
    check(b"\x80\x03\0\x0a\0\0\0\x04\0\0\0\x01", Refused::Type);
    check(b"\x80\x03\0\x06\x01\0\0\x04\0\0\0\x01", Refused::Flags);
    check(b"\x80\x03\0\x06\0\0\0\x05\0\0\0\x01\0", Refused::Length);
    check(b"\x80\x03\0\x06\0\0\0\x03\0\0\0", Refused::Length);
    check(b"\x80\x03\0\x06\0\0\0\x04\0\0\0\0", Refused::Number);
    check(b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x01\0\0\0\0", Refused::Number);
    check(b"\x80\x03\0\x01\0\0\0\x09\0\0\0\x01\0\0\0\0\0", Refused::Length);
    check(b"\x80\x03\0\x04\0\0\0\x04\0\0\0\x01", Refused::Length);
    check(b"\x80\x03\0\x04\0\0\0\x04\x20\0\0\0", Refused::Length);
    check(b"\x80\x03\0\x08\0\x01\0\x01", Refused::Length);
    check(b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\0\0\0", Refused::Number);
    assert_eq!(data_head(0, false, 1), None);
    assert_eq!(data_head(1, false, 1 << 24), None);
}

#[test]
fn a_frame_may_follow_where_one_ends() {
    let mut ends = vec![0];
    let mut bytes = Vec::new();
    Control::Ping(7).write(&mut bytes).unwrap();
    ends.push(bytes.len());
    bytes.extend_from_slice(&data_head(1, false, 3).unwrap());
    bytes.extend_from_slice(b"abc");
    ends.push(bytes.len());
    bytes.extend_from_slice(&data_head(1, true, 0).unwrap());
    ends.push(bytes.len());
    for at in 0..=bytes.len() {
        let mut framer = Framer::default();
        let mut input = &bytes[..at];
        while !matches!(framer.next(&mut input).unwrap(), Step::Need) {}
        assert_eq!(framer.is_between(), ends.contains(&at), "cut at {at}");
    }
}
