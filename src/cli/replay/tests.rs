use super::*;
use crate::record::lake::{Common, ResponseRow};

/// RowDescription of `id`, `name`; a row; a tag.
const ANSWER: &[u8] = b"T\0\0\0\x32\0\x02id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0\
D\0\0\0\x13\0\x02\0\0\0\x01\x37\0\0\0\x04a***C\0\0\0\x0dSELECT 1\0";

fn story(text: &str, answer: &[u8], response: ResponseRow) -> Story {
    let common = Common { seq: 3, ts_us: 1_000, ..Common::default() };
    let answered = Common { ts_us: 5_000, ..common.clone() };
    let response =
        ResponseRow { common: answered, captured_bytes: answer.len() as i64, ..response };
    let chunk = ChunkRow {
        stream: 1,
        encoding: "pg-messages".into(),
        payload: answer.to_vec(),
        ..ChunkRow::default()
    };
    let command = CommandRow {
        common,
        query_text: text.into(),
        decision: "allow".into(),
        response: Some(Box::new(response)),
        ..CommandRow::default()
    };
    Story { command, approvals: Vec::new(), chunks: vec![chunk], goes_on: false }
}

fn success(total_bytes: usize) -> ResponseRow {
    let (outcome, tag) = ("success".into(), Some("SELECT 1".into()));
    ResponseRow { outcome, tag, total_bytes: total_bytes as i64, ..ResponseRow::default() }
}

fn told(story: &Story) -> String {
    postgres::moments(story).iter().map(|moment| moment.text.as_str()).collect()
}

#[test]
fn a_statement_is_shown_with_its_rows() {
    let story = story("SELECT 1", ANSWER, success(ANSWER.len()));
    let moments = postgres::moments(&story);
    let streams: Vec<(i64, Stream)> = moments.iter().map(|it| (it.at_us, it.stream)).collect();
    assert_eq!(streams, [(1_000, Stream::Input), (5_000, Stream::Output)]);
    assert_eq!(told(&story), "SELECT 1\n id | name \n----+------\n  7 | a***\n(1 row)\n\n");
}

#[test]
fn what_was_not_captured_is_said() {
    for at in 0..ANSWER.len() {
        let text = told(&story("SELECT 1", &ANSWER[..at], success(ANSWER.len())));
        let said = format!("-- weir: {at} of {} bytes of this answer were captured", ANSWER.len());
        assert!(text.contains(&said), "cut at {at}: {text}");
        assert!(!text.contains("(1 row)\n") && !text.contains("(0 rows)\n"), "cut at {at}: {text}");
        assert!(text.contains("-- weir: it ended with SELECT 1"), "cut at {at}: {text}");
    }
}

#[test]
fn values_errors_and_refusals_are_shown() {
    let error = b"E\0\0\0\x34SERROR\0VERROR\0C22012\0Mdivision by zero\0Ha hint\0\0";
    let failed =
        ResponseRow { outcome: "error".into(), total_bytes: error.len() as i64, ..success(0) };
    let mut failed = story("SELECT 1/$1", error, failed);
    failed.command.params_json = Some(r#"["0",null,{"secret":true}]"#.into());
    assert_eq!(
        told(&failed),
        "SELECT 1/$1\n\
         -- weir: with $1 = \"0\", $2 = null, $3 = (a secret, not recorded)\n\
         ERROR:  division by zero\nHINT:  a hint\n"
    );
    let denied = ResponseRow {
        outcome: "denied".into(),
        error_text: Some("no rule allows it".into()),
        ..ResponseRow::default()
    };
    let mut denied = story("DROP TABLE t", b"", denied);
    denied.command.rule = Some("drops".into());
    assert_eq!(
        told(&denied),
        "DROP TABLE t\nERROR:  no rule allows it\n-- weir: denied by the rule \"drops\"\n"
    );
    let mut unanswered = story("SELECT 1", b"", success(0));
    unanswered.command.response = None;
    assert!(told(&unanswered).ends_with("-- weir: no answer is recorded\n"));
    assert!(!unanswered.is_over());
}

#[test]
fn a_replay_begins_where_it_is_asked_to() {
    assert_eq!(from("12", 0).unwrap(), Beginning::Seq(12));
    assert_eq!(from("90s", 1_000).unwrap(), Beginning::Time(90_001_000));
    assert!(from("soon", 0).is_err());
    let story = story("SELECT 1", b"", success(0));
    assert!(Beginning::Seq(3).is_reached(&story.command));
    assert!(!Beginning::Time(1_001).is_reached(&story.command));
}
