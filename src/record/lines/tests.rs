use proptest::prelude::*;

use super::super::pty_events::{Writer, put_varint};
use super::*;

/// What happens at a terminal, for tests.
#[derive(Clone, Copy)]
enum Happening<'a> {
    Typed(u64),
    Shown(&'a str),
    Size(u64, u64),
    Lost(u64),
    Ended,
}

use Happening::{Ended, Lost, Shown, Size, Typed};

fn chunk(steps: &[Happening<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(0);
    for (at, step) in steps.iter().enumerate() {
        let mut bytes = Vec::new();
        let kind = match step {
            Typed(count) => {
                put_varint(&mut bytes, *count);
                Kind::CountedInput
            }
            Shown(text) => {
                bytes.extend_from_slice(text.as_bytes());
                Kind::Output
            }
            Size(columns, height) => {
                put_varint(&mut bytes, *columns);
                put_varint(&mut bytes, *height);
                Kind::Size
            }
            Lost(count) => {
                put_varint(&mut bytes, *count);
                Kind::Gap
            }
            Ended => Kind::Ended,
        };
        writer.push(at as u64, kind, &bytes);
    }
    writer.take()
}

fn of(terminal: &mut Terminal, steps: &[Happening<'_>]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    terminal.take(&chunk(steps), &mut found);
    let told = |line: Line| match line.found {
        Found::Line { text, cut } => (text, cut),
        Found::Gap(gap) => (gap.label().to_uppercase(), false),
    };
    found.into_iter().map(told).collect()
}

fn check(steps: &[Happening<'_>], expect: &[&str]) {
    let mut all = vec![Size(40, 10)];
    all.extend_from_slice(steps);
    let found = of(&mut Terminal::begun(), &all);
    let told: Vec<String> = found
        .iter()
        .map(|(text, cut)| format!("{text}{}", if *cut { " [cut]" } else { "" }))
        .collect();
    assert_eq!(told, expect);
}

const PROMPT: Happening<'_> = Shown("\x1b[?2004hme@host:~$ ");
const READ: Happening<'_> = Shown("\r\n\x1b[?2004l\r");

#[test]
fn lines_of_an_editor_are_what_stands_behind_its_prompt() {
    check(&[PROMPT, Typed(1), Shown("l"), Typed(1), Shown("s"), Typed(1), READ, PROMPT], &["ls"]);
    // Typed faster than it is answered.
    check(&[PROMPT, Typed(1), Typed(1), Typed(1), Shown("ls"), READ], &["ls"]);
    // Nothing, and blanks.
    check(&[PROMPT, Typed(1), READ, PROMPT, Typed(3), Shown("  "), READ], &[]);
    // A character taken back, one put in the middle, the cursor to the left at the end.
    let edited = Shown("lx\x08\x1b[Ks\x08\x08\x1b[1@l\x1b[C");
    check(&[PROMPT, Typed(9), edited, Typed(1), READ], &["lls"]);
    // History: the line before is replaced.
    let recalled = Shown("echo a long one\r\x1b[11Cls\x1b[K");
    check(&[PROMPT, Typed(3), recalled, Typed(1), READ], &["ls"]);
}

#[test]
fn a_long_line_is_one_line() {
    let long = "echo 0123456789012345678901234567890123456789";
    // Readline says a blank and a return at the end of a row.
    let (one, two) = long.split_at(29);
    let shown = format!("{one} \r{two}");
    check(&[PROMPT, Typed(45), Shown(&shown), Typed(1), READ], &[long]);
    // At the last row the screen moves up.
    let down = "\r\n".repeat(12);
    check(&[Shown(&down), PROMPT, Typed(45), Shown(&shown), Typed(1), READ], &[long]);
}

#[test]
fn a_list_of_completions_is_no_part_of_a_line() {
    let listed = Shown("\r\nalpha  beta\r\nme@host:~$ ls ");
    let steps = [PROMPT, Typed(3), Shown("ls "), Typed(2), listed, Typed(2), Shown("a"), READ];
    check(&steps, &["ls a"]);
    let down = Shown("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");
    let listed = Shown("\r\nalpha\r\nbeta\r\ngamma\r\nme@host:~$ ls ");
    let steps =
        [down, PROMPT, Typed(3), Shown("ls "), Typed(2), listed, Typed(1), Shown("b"), READ];
    check(&steps, &["ls b"]);
    let cleared = Shown("\x1b[H\x1b[2Jme@host:~$ ls");
    check(&[Shown("\r\n\r\n"), PROMPT, Typed(2), Shown("ls"), Typed(1), cleared, READ], &["ls"]);
}

#[test]
fn a_prompt_at_the_right_is_no_part_of_a_line() {
    let prompt = Shown("\x1b[?2004h% \x1b[20C12:00\x1b[25D");
    check(&[prompt, Typed(2), Shown("ls"), Typed(1), READ], &["ls"]);
}

#[test]
fn lines_of_a_plain_shell_end_with_their_row() {
    check(
        &[
            Shown("$ "),
            Typed(1),
            Shown("l"),
            Typed(1),
            Shown("s"),
            Typed(1),
            Shown("\r\nfile\r\n$ "),
        ],
        &["ls"],
    );
    // A paste is one input; its lines are shown one by one.
    check(&[Shown("$ "), Typed(6), Shown("a 1\r\nb\r\n"), Shown("out\r\n$ ")], &["a 1", "b"]);
    // Output alone makes no line.
    check(&[Shown("$ "), Shown("a\r\nb\r\n$ ")], &[]);
}

#[test]
fn what_is_not_shown_is_no_line() {
    // `read -s`, a password of `sudo`.
    check(&[Shown("Password: "), Typed(7), Shown("\r\nwelcome\r\n")], &[]);
    let typed = [Typed(1), Typed(1), Typed(1), Typed(1), Typed(1), Shown("got\r\n"), PROMPT];
    let mut all = [PROMPT, Typed(4), Shown("read"), Typed(1), READ].to_vec();
    all.extend_from_slice(&typed);
    all.extend([Typed(2), Shown("ls"), Typed(1), READ]);
    check(&all, &["read", "ls"]);
    // Nor is a key that ends a program's input, and the prompt after it is known.
    let cat = [Typed(1), PROMPT, Typed(2), Shown("ls"), Typed(1), READ];
    check(&[&[PROMPT, Typed(3), Shown("cat"), Typed(1), READ][..], &cat].concat(), &["cat", "ls"]);
    // A program that has the whole screen.
    let vim = Shown("\x1b[?1049h\x1b[H~\r\n");
    let steps =
        [PROMPT, Typed(3), Shown("vim"), Typed(1), READ, vim, Typed(2), Shown("i\r\nx\r\n")];
    let mut all = steps.to_vec();
    all.extend([Shown("\x1b[?1049l"), PROMPT, Typed(2), Shown("ls"), Typed(1), READ]);
    check(&all, &["vim", "FULL-SCREEN", "FULL-SCREEN-END", "ls"]);
    // One that says so twice has it once.
    let twice = [Shown("\x1b[?1049h\x1b[?1047h"), Typed(2), Shown("ls\r\n")];
    check(&twice, &["FULL-SCREEN"]);
}

#[test]
fn lines_go_on_behind_what_was_not_kept() {
    let printed = [PROMPT, Typed(4), Shown("yes"), READ, Shown("y\r\ny\r\n"), Lost(5_000_000)];
    let behind = [Shown("y\r\n"), PROMPT, Typed(2), Shown("id"), Typed(1), READ];
    check(&[&printed[..], &behind].concat(), &["yes", "id"]);
    // What stood before the prompt is not known.
    let midst = [Typed(2), Shown("id"), Typed(1), Shown("\r\n\x1b[?2004l\r")];
    check(&[&printed[..], &midst].concat(), &["yes", "id [cut]"]);
    // It was lost that a program gave the screen back.
    let vim = [Shown("\x1b[?1049h~"), Lost(9)];
    check(&[&vim[..], &behind].concat(), &["FULL-SCREEN", "id"]);
    check(&[PROMPT, Typed(1), Ended], &["NOT-CAPTURED"]);
}

#[test]
fn what_has_no_cell_is_said_to_be_missing() {
    let typed = |text| [PROMPT, Typed(9), Shown(text), Typed(1), READ];
    check(&typed("echo e\u{301}"), &["echo e [cut]"]);
    check(&typed("zero\u{200b}width"), &["zerowidth [cut]"]);
    // The line before is none of it.
    check(&[&typed("e\u{301}")[..], &typed("ls")].concat(), &["e [cut]", "ls"]);
}

#[test]
fn a_paste_of_several_lines_is_a_line_of_several_rows() {
    let pasted = Shown("\x1b[7mecho p1\x1b[27m\r\n\r\x1b[7mecho p2\x1b[27m");
    let run = Shown("\x1b[A\x1b[4Cecho p1\r\n\recho p2\r\n\x1b[?2004l\rp1\r\np2\r\n");
    check(&[PROMPT, Typed(28), pasted, Typed(1), run, PROMPT], &["echo p1\necho p2"]);
}

#[test]
fn a_prompt_alone_is_no_line() {
    let interrupted = Shown("^C\x1b[?2004l\r\x1b[?2004h\x1b[?2004l\r\r\n");
    let empty = [PROMPT, Typed(1), READ];
    check(&[&[PROMPT, Typed(1), interrupted][..], &empty, &empty].concat(), &["^C"]);
    let steps = [PROMPT, Typed(1), Typed(1), Typed(1), interrupted, PROMPT];
    check(&[&steps[..], &[Typed(1), READ, PROMPT]].concat(), &["^C"]);
}

#[test]
fn what_is_typed_ahead_is_marked_unless_its_prompt_is_known() {
    // Shown by the terminal while a command runs, and again by the editor.
    let steps =
        [PROMPT, Typed(1), Shown("a"), READ, Typed(2), Shown("b\r\n"), PROMPT, Shown("b"), READ];
    check(&steps, &["a", "b"]);
    // Begun before the prompt, ended behind it.
    let steps =
        [PROMPT, Typed(2), Shown("a"), READ, Typed(1), Shown("b"), Shown("\rout\r\n"), PROMPT];
    let mut all = steps.to_vec();
    all.extend([Shown("b"), Typed(1), Shown("c"), Typed(1), READ]);
    check(&all, &["a", "c [cut]"]);
}

#[test]
fn a_terminal_is_kept_from_one_segment_to_the_next() {
    let session = SessionId([1; 16]);
    let mut terminals = Terminals::default();
    let mut first = terminals.find(&(session, 1), true);
    assert!(of(&mut first, &[Size(40, 10), PROMPT, Typed(1), Shown("l")]).is_empty());
    let mut lost = Terminal::unknown();
    let rest = [Size(40, 10), Typed(1), Shown("s"), Typed(1), READ];
    assert_eq!(of(&mut lost, &rest), [("s".to_owned(), true)]);
    terminals.update([((session, 1), first)], &HashSet::new());
    let mut second = terminals.find(&(session, 1), false);
    assert_eq!(of(&mut second, &rest), [("ls".to_owned(), false)]);
    terminals.update([((session, 1), second)], &HashSet::from([session]));
    assert!(terminals.open.is_empty());
}

#[test]
fn no_terminal_no_lines() {
    let mut terminal = Terminal::begun();
    assert!(of(&mut terminal, &[Typed(3), Shown("ls\r\nfile\r\n")]).is_empty());
}

fn any_output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..8),
        4 => "[a-z ]{0,30}".prop_map(String::into_bytes),
        2 => Just(b"\r\n".to_vec()),
        2 => prop::sample::select(vec![
            &b"\x1b[?2004h$ "[..], b"\x1b[?2004l\r", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[H\x1b[2J",
            b"\x1b[99999;9C", b"\x1b[5P", b"\x1b[70000@", b"\x1bc", b"\x1bM", b"\xe6\xbc\xa2",
        ]).prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Most windows stay as they are; others get small, where places of before lie outside.
fn any_size() -> impl Strategy<Value = Option<(u64, u64)>> {
    prop_oneof![3 => Just(None), 1 => (0u64..12, 0u64..6).prop_map(Some)]
}

#[test]
fn a_window_that_gets_narrow_does_not_take_its_line_along() {
    let typed = "0123456789".repeat(5);
    let steps = [PROMPT, Typed(50), Shown(&typed), Size(4, 3), Typed(1), Shown("z"), READ];
    let mut all = vec![Size(40, 10)];
    all.extend_from_slice(&steps);
    let found = of(&mut Terminal::begun(), &all);
    assert!(found.iter().all(|(_, cut)| *cut), "{found:?}");
}

proptest! {
    /// Any bytes, in any pieces, with input between them: no panic, bounded lines; the same lines
    /// whichever way output is cut that no input lies between.
    #[test]
    fn any_output_ends(
        parts in proptest::collection::vec((any_output(), 0u64..20, any_size()), 0..6),
        (columns, height) in (0u64..2_000, 0u64..2_000),
        cut in 0usize..400,
    ) {
        let play = |cut: usize| {
            let mut writer = Writer::new(0);
            let mut size = Vec::new();
            put_varint(&mut size, columns);
            put_varint(&mut size, height);
            writer.push(0, Kind::Size, &size);
            for (bytes, count, resized) in &parts {
                if let Some((columns, height)) = resized {
                    let mut size = Vec::new();
                    put_varint(&mut size, *columns);
                    put_varint(&mut size, *height);
                    writer.push(0, Kind::Size, &size);
                }
                let mut typed = Vec::new();
                put_varint(&mut typed, *count);
                writer.push(0, Kind::CountedInput, &typed);
                let (one, two) = bytes.split_at(cut.min(bytes.len()));
                writer.push(0, Kind::Output, one);
                writer.push(0, Kind::Output, two);
            }
            let mut found = Vec::new();
            let mut terminal = Terminal::begun();
            terminal.take(&writer.take(), &mut found);
            let _ = terminal.kept();
            found
        };
        let found = play(0);
        let is_bounded = |line: &Line| match &line.found {
            Found::Line { text, .. } => text.len() <= LINE_BYTES_MAX,
            Found::Gap(_) => true,
        };
        prop_assert!(found.iter().all(is_bounded));
        prop_assert_eq!(found, play(cut));
    }
}
