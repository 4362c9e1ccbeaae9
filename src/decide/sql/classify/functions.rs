//! What a function call in a statement does.
//!
//! In: the name and arguments of a call. Out: the classes of the work that it hides in a query.
//! Never: `read` for what is not known to change nothing.
//!
//! | name | classes |
//! |---|---|
//! | in `EFFECTS` | those of the table, whatever its schema |
//! | of `pg_catalog`, immutable or stable in every version | none: it computes |
//! | of `pg_catalog`, volatile, in `HARMLESS` | none |
//! | anything else: of users, of extensions, of versions to come | `call` |
//!
//! Only names are looked at. A function of a user that has a harmless name and fits the arguments
//! better is known by the target's catalog: `own` compares what a text uses with it.

use super::super::{Class, ClassSet};
use super::catalog::{self, Volatility};
use super::pinned::is_pinned_call;
use super::tree::Tree;

/// Names by class; a name ending in `*` stands for all names that begin so.
const EFFECTS: &[(Class, &[&str])] = &[
    // They run text that the parser does not see, or read relations that it does not name.
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
            "currtid2",
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
            "pg_hba_file_rules",
            "pg_ident_file_mappings",
            "pg_show_all_file_settings",
            "pg_config",
        ],
    ),
    // Other sessions, and the server.
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
            "pg_start_backup",
            "pg_stop_backup",
            "pg_wal_replay_*",
            "pg_stat_reset*",
            "pg_stat_statements_reset",
            "pg_prewarm",
            "pg_import_system_collations",
            "pg_log_backend_memory_contexts",
            "pg_log_standby_snapshot",
            "pg_restore_attribute_stats",
            "pg_restore_relation_stats",
            "pg_clear_attribute_stats",
            "pg_clear_relation_stats",
            "pg_nextoid",
            "pg_stop_making_pinned_objects",
            "brin_*",
            "gin_clean_pending_list",
            "amvalidate",
            "plpgsql_validator",
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
            "pg_replication_origin_*",
            "pg_replication_slot_*",
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
    (Class::Ddl, &["pg_extension_config_dump", "binary_upgrade_*"]),
    // As NOTIFY; locks that other sessions see.
    (
        Class::Session,
        &[
            "pg_notify",
            "pg_advisory_lock*",
            "pg_advisory_unlock*",
            "pg_advisory_xact_lock*",
            "pg_try_advisory_*",
        ],
    ),
    // They make a value of a type that they are told by number or name: its checks, which may be
    // code of users, run.
    (
        Class::Call,
        &[
            "pg_isolation_test_session_is_blocked",
            "record_in",
            "array_in",
            "anyarray_in",
            "anycompatiblearray_in",
            "range_in",
            "multirange_in",
            "domain_in",
            "pg_input_is_valid",
            "pg_input_error_info",
            "record_recv",
            "array_recv",
            "range_recv",
            "multirange_recv",
            "domain_recv",
        ],
    ),
];

/// Volatile functions of PostgreSQL that change nothing: clocks, random numbers, sizes, the state
/// of the server and of other sessions as the views of statistics show it, waiting.
const HARMLESS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_uuid",
    "lastval",
    "lo_close",
    "lo_get",
    "lo_lseek",
    "lo_lseek64",
    "lo_tell",
    "lo_tell64",
    "loread",
    "pg_available_wal_summaries",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_export_snapshot",
    "pg_get_aios",
    "pg_get_backend_memory_contexts",
    "pg_get_loaded_modules",
    "pg_get_multixact_members",
    "pg_get_sequence_data",
    "pg_get_shmem_allocations",
    "pg_get_shmem_allocations_numa",
    "pg_get_wait_events",
    "pg_get_wal_replay_pause_state",
    "pg_get_wal_resource_managers",
    "pg_get_wal_summarizer_state",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_show_replication_origin_status",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_stat_force_next_flush",
    "pg_stat_get_backend_io",
    "pg_stat_get_backend_wal",
    "pg_stat_get_io",
    "pg_stat_get_recovery_prefetch",
    "pg_stat_get_xact_blocks_fetched",
    "pg_stat_get_xact_blocks_hit",
    "pg_stat_get_xact_function_calls",
    "pg_stat_get_xact_function_self_time",
    "pg_stat_get_xact_function_total_time",
    "pg_stat_get_xact_numscans",
    "pg_stat_get_xact_tuples_deleted",
    "pg_stat_get_xact_tuples_fetched",
    "pg_stat_get_xact_tuples_hot_updated",
    "pg_stat_get_xact_tuples_inserted",
    "pg_stat_get_xact_tuples_newpage_updated",
    "pg_stat_get_xact_tuples_returned",
    "pg_stat_get_xact_tuples_updated",
    "pg_stat_have_stats",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_wal_summary_contents",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "random",
    "random_normal",
    "setseed",
    "timeofday",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// Functions of which `pg_stat_activity` is made: they show what others run.
pub(super) const SHOW_TEXTS: [&str; 2] = ["pg_stat_get_activity", "pg_stat_get_backend_activity"];

/// What is known of a name that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It computes.
    Harmless,
    /// It does this.
    Does(Class),
    /// `set_config`: its arguments say.
    Sets,
    /// PostgreSQL has no such function, or nobody has said what it does.
    Foreign,
}

/// What a name means that is called as a function.
pub(super) fn known(schema: &str, name: &str) -> Known {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    if name == "set_config" {
        return Known::Sets;
    }
    let row = EFFECTS.iter().find(|(_, names)| names.iter().any(|pattern| matches(pattern)));
    if let Some((class, _)) = row {
        return Known::Does(*class);
    }
    // `_pg_expandarray` and others: what the views of that schema use; JDBC does too.
    if schema == "information_schema" && name.starts_with("_pg_") {
        return Known::Harmless;
    }
    if !matches!(schema, "" | "pg_catalog") {
        return Known::Foreign;
    }
    match catalog::function(name) {
        Some(Volatility::Settled) => Known::Harmless,
        Some(Volatility::Volatile) if HARMLESS.contains(&name) => Known::Harmless,
        Some(Volatility::Volatile) | None => Known::Foreign,
    }
}

/// Whether a function makes values of the type that one of its arguments has, out of JSON or of
/// constants: of a domain they are checked.
pub(super) fn makes_values(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "lead",
        "lag",
        "array_append",
        "array_prepend",
        "array_cat",
        "array_fill",
        "array_remove",
        "array_replace",
        "array_position",
        "array_positions",
    ];
    NAMES.contains(&name) || name.contains("_populate_record")
}

/// Whether a function makes JSON out of values of any type.
pub(super) fn makes_json(name: &str) -> bool {
    let starts = ["to_json", "row_to_json", "array_to_json", "json_agg", "jsonb_agg"];
    let builds = ["json_build_", "jsonb_build_", "json_object_agg", "jsonb_object_agg"];
    starts.iter().chain(&builds).any(|start| name.starts_with(start))
}

/// `set_config(name, value, is_local)` is SET as a function: its classes, and the setting if the
/// text states it. `pinned` is what a column `name` is known to be where it is called.
pub(super) fn set_config(
    arguments: &[Tree],
    pinned: Option<&'static str>,
) -> (ClassSet, Option<String>) {
    let constant = |index: usize| {
        let argument = arguments.get(index)?;
        let is_text = argument.kind() == "AConst" && argument.field("val").kind() == "String";
        is_text.then(|| argument.field("val").text())
    };
    // A value that is not stated may change how later texts are read.
    let value = constant(1).unwrap_or("");
    match constant(0) {
        Some(name) if is_role(name) => (Class::SetRole.only(), Some(name.to_lowercase())),
        Some(name) if changes_parsing(name, value) => {
            (Class::Unknown.only(), Some(name.to_lowercase()))
        }
        Some(name) => (Class::Session.only(), Some(name.to_lowercase())),
        None => match pinned.filter(|_| is_pinned_call(arguments, constant(1))) {
            Some(name) => (Class::Session.only(), Some(name.to_owned())),
            None => (any_setting(), None),
        },
    }
}

/// Classes of what may set anything: the role, and how texts are read.
pub(super) fn any_setting() -> ClassSet {
    Class::Session.only().and(Class::SetRole.only()).and(Class::Unknown.only())
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

/// Encodings in which ASCII bytes are always ASCII characters, by every name that PostgreSQL has
/// for them, letters and digits only (encnames.c, `pg_encname_tbl`). Not among them: SJIS (WIN932),
/// BIG5 (WIN950), GBK (WIN936), UHC (WIN949), GB18030, JOHAB, SHIFT_JIS_2004, and all that is not
/// known.
const SAFE_ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "eucjis2004",
    "euccn",
    "eucjp",
    "euckr",
    "euctw",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "muleinternal",
    "sqlascii",
    "tcvn",
    "tcvn5712",
    "unicode",
    "utf8",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_volatile_function_has_a_class() {
        for name in catalog::volatile() {
            assert_ne!(known("", name), Known::Foreign, "{name} is volatile and on no list");
        }
        for name in HARMLESS {
            assert_eq!(known("pg_catalog", name), Known::Harmless, "{name}");
            assert_eq!(catalog::function(name), Some(Volatility::Volatile), "{name}");
        }
    }

    #[test]
    fn names_that_are_called() {
        assert_eq!(known("", "lower"), Known::Harmless);
        assert_eq!(known("pg_catalog", "uuid"), Known::Harmless);
        assert_eq!(known("sales", "lower"), Known::Foreign);
        assert_eq!(known("", "no_such_function"), Known::Foreign);
        assert_eq!(known("information_schema", "_pg_expandarray"), Known::Harmless);
        assert_eq!(known("ext", "dblink_exec"), Known::Does(Class::Unknown));
        assert_eq!(known("", "nextval"), Known::Does(Class::Write));
        assert_eq!(known("", "set_config"), Known::Sets);
        for name in ["record_in", "array_in", "domain_in", "range_in", "pg_input_is_valid"] {
            assert_eq!(known("pg_catalog", name), Known::Does(Class::Call), "{name}");
        }
    }

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
        check("client_encoding", "WIN932", true);
        check("client_encoding", "WIN950", true);
        check("client_encoding", "Windows949", true);
        check("client_encoding", "win1252", false);
        check("client_encoding", "gb18030", true);
        check("client_encoding", "auto", true);
        check("client_encoding", "", true);
        check("search_path", "x", false);
        check("role", "x", false);
    }
}
