//! The commands of a replication connection, which are not SQL.
//!
//! In: the text of a Query on such a connection. Out: `Classified`, if the walsender takes it for
//! one of its own commands. Never: a guess at its arguments.

use super::super::{Class, Classified, Consequence, Statement};
use super::classified;

/// First words of commands (PostgreSQL 15 to 18: repl_scanner.l,
/// `replication_scanner_is_replication_command`). SHOW is left to the parser of SQL, whose SHOW
/// means the same.
const COMMANDS: [&str; 9] = [
    "IDENTIFY_SYSTEM",
    "BASE_BACKUP",
    "START_REPLICATION",
    "CREATE_REPLICATION_SLOT",
    "DROP_REPLICATION_SLOT",
    "ALTER_REPLICATION_SLOT",
    "READ_REPLICATION_SLOT",
    "TIMELINE_HISTORY",
    "UPLOAD_MANIFEST",
];

/// The command of a replication connection, or `None` for SQL. Any case counts: a word that the
/// walsender does not know in that case is nothing in SQL either.
pub fn replication(text: &[u8]) -> Option<Classified> {
    let text = text.trim_ascii_start();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.iter().position(|byte| !is_word(byte)).unwrap_or(text.len());
    let word = text.get(..length)?;
    let command = COMMANDS.iter().find(|command| word.eq_ignore_ascii_case(command.as_bytes()))?;
    let statement = Statement {
        classes: Class::Replication.only(),
        operation: (*command).to_owned(),
        objects: Vec::new().into(),
        cascades: false,
        columns: Vec::new(),
        whole_rows: true,
        made: Vec::new(),
        star: None,
        stored: None,
        shows: Vec::new(),
        sinks: Vec::new().into(),
        effect: Consequence::None,
        cursors: [].into(),
        facts: Vec::new(),
        causes: Vec::new(),
        uses: Vec::new().into(),
    };
    Some(classified(vec![statement], false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_walsender_are_told_from_sql() {
        let check = |text: &str, expect: Option<&str>| {
            let found = replication(text.as_bytes());
            assert_eq!(
                found.as_ref().map(|found| found.action.operation.as_str()),
                expect,
                "{text}"
            );
        };
        check("IDENTIFY_SYSTEM", Some("IDENTIFY_SYSTEM"));
        check(" \n start_replication SLOT s PHYSICAL 0/0", Some("START_REPLICATION"));
        check("BASE_BACKUP (LABEL 'x');", Some("BASE_BACKUP"));
        check("SHOW wal_segment_size", None);
        check("SELECT 1", None);
        check("BASE_BACKUPS", None);
        check("/* */ BASE_BACKUP", None);
        check("", None);
    }
}
