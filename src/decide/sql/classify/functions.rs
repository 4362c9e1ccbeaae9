//! Functions of PostgreSQL and its usual extensions that do more than compute.
//!
//! In: the name and arguments of a call. Out: the class of the work it hides in a query.
//! Never: a promise. Functions that users define are not looked into; who may create or call them
//! is the target's business.

use super::super::Class;
use super::tree::Tree;

/// Names by class; a name ending in `*` stands for all names that begin so.
const TABLE: [(Class, &[&str]); 5] = [
    // They run text that the parser does not see.
    (
        Class::Unknown,
        &[
            "dblink*",
            "query_to_xml*",
            "table_to_xml*",
            "schema_to_xml*",
            "database_to_xml*",
            "cursor_to_xml*",
            "ts_stat",
            "ts_rewrite",
            "crosstab*",
            "connectby",
            "xpath_table",
        ],
    ),
    (
        Class::CopyFile,
        &[
            "pg_read_file*",
            "pg_read_binary_file",
            "pg_stat_file*",
            "pg_ls_*",
            "pg_file_*",
            "pg_logdir_ls",
            "lo_import",
            "lo_export",
            "pg_current_logfile",
        ],
    ),
    (
        Class::Maintenance,
        &[
            "pg_terminate_backend",
            "pg_cancel_backend",
            "pg_reload_conf",
            "pg_rotate_logfile*",
            "pg_switch_wal",
            "pg_create_restore_point",
            "pg_promote",
            "pg_backup_*",
            "pg_wal_replay_*",
            "pg_stat_reset*",
            "pg_stat_statements_reset",
            "pg_prewarm",
            "pg_import_system_collations",
            "brin_*",
            "gin_clean_pending_list",
        ],
    ),
    (
        Class::Replication,
        &[
            "pg_logical_*",
            "pg_create_physical_replication_slot",
            "pg_create_logical_replication_slot",
            "pg_drop_replication_slot",
            "pg_copy_physical_replication_slot",
            "pg_copy_logical_replication_slot",
            "pg_replication_*",
            "pg_sync_replication_slots",
        ],
    ),
    (
        Class::Write,
        &[
            "nextval",
            "setval",
            "lo_creat",
            "lo_create",
            "lo_from_bytea",
            "lo_put",
            "lo_unlink",
            "lo_truncate*",
            "lo_open",
            "lowrite",
        ],
    ),
];

/// The class of the work that a call hides; `None` if it only computes.
pub(super) fn class(name: &str, arguments: &[Tree]) -> Option<Class> {
    if name == "set_config" {
        return set_config(arguments);
    }
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let row = TABLE.iter().find(|(_, names)| names.iter().any(|pattern| matches(pattern)));
    row.map(|(class, _)| *class)
}

/// Two kinds of hidden work in one statement: no single class tells both.
pub(super) fn both(a: Class, b: Class) -> Class {
    if a == b { a } else { Class::Unknown }
}

/// `set_config(name, value, is_local)` is SET as a function.
fn set_config(arguments: &[Tree]) -> Option<Class> {
    let constant = |index: usize| {
        let argument = arguments.get(index)?;
        let is_text = argument.kind() == "AConst" && argument.field("val").kind() == "String";
        is_text.then(|| argument.field("val").text())
    };
    match (constant(0), constant(1)) {
        (Some(name), _) if is_role(name) => Some(Class::SetRole),
        (Some(name), value) if changes_parsing(name, value.unwrap_or("")) => Some(Class::Unknown),
        (Some(_), _) => None,
        (None, _) => Some(Class::Unknown),
    }
}

/// Settings that change who the session is.
pub(super) fn is_role(setting: &str) -> bool {
    ["role", "session_authorization"].iter().any(|name| setting.eq_ignore_ascii_case(name))
}

/// How a target may read command text otherwise than the parser here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// A backslash escapes in every string (`standard_conforming_strings`).
    Strings,
    /// The second byte of a character may be an ASCII one (`client_encoding`).
    Encoding,
}

/// Which misreading a setting governs, in any spelling, and whether this value brings it about.
/// `None` for all other settings. A session that allowed it could be shown one command and run
/// another.
pub fn misread(setting: &str, value: &str) -> Option<(Misread, bool)> {
    let plain = |text: &str| {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect::<String>()
    };
    match plain(setting).as_str() {
        "standardconformingstrings" => {
            let on = ["on", "true", "t", "tr", "tru", "yes", "y", "ye", "1"];
            Some((Misread::Strings, !on.contains(&plain(value).as_str())))
        }
        "clientencoding" | "names" => {
            Some((Misread::Encoding, !SAFE_ENCODINGS.contains(&plain(value).as_str())))
        }
        _ => None,
    }
}

/// Whether a setting makes the target read command text otherwise than the parser here.
pub fn changes_parsing(setting: &str, value: &str) -> bool {
    misread(setting, value).is_some_and(|(_, wrong)| wrong)
}

/// The names of encodings in which ASCII bytes are always ASCII characters, as PostgreSQL compares
/// them: letters and digits, in small (encnames.c, `pg_encname_tbl`, `clean_encoding_name`). Not among
/// them: SJIS, BIG5, GBK, UHC, GB18030, JOHAB and their aliases (`win932` is SJIS), and all that is not
/// known.
const SAFE_ENCODINGS: [&str; 63] = [
    "sqlascii",
    "utf8",
    "unicode",
    "latin1",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "latin10",
    "iso88591",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "win",
    "win866",
    "win874",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "windows866",
    "windows874",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "alt",
    "abc",
    "tcvn",
    "tcvn5712",
    "vscii",
    "koi8",
    "koi8r",
    "koi8u",
    "euccn",
    "eucjp",
    "eucjis2004",
    "euckr",
    "euctw",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_change_parsing() {
        fn check(setting: &str, value: &str, expect: bool) {
            assert_eq!(changes_parsing(setting, value), expect, "{setting} = {value}");
        }
        check("standard_conforming_strings", "on", false);
        check("Standard_Conforming_Strings", "OFF", true);
        check("standard_conforming_strings", "", true);
        check("client_encoding", "UTF8", false);
        check("client_encoding", "utf-8", false);
        check("client_encoding", "'LATIN1'", false);
        check("client_encoding", "SQL_ASCII", false);
        check("client_encoding", "SJIS", true);
        check("client_encoding", "gb18030", true);
        check("client_encoding", "WIN932", true);
        check("client_encoding", "windows-949", true);
        check("client_encoding", "WIN1252", false);
        check("client_encoding", "auto", true);
        check("client_encoding", "", true);
        check("search_path", "x", false);
        check("role", "x", false);
    }
}
