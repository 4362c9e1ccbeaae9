//! One parsed statement to its class, operation and effect.
//!
//! In: a node. Out: a `Statement`. Never: a class by default: a kind of statement that is not
//! listed here is `Unknown`.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableStmt, AlterTableType, CreateSchemaStmt, DropStmt, ExecuteStmt, ExplainStmt,
    FetchStmt, Node, ObjectType, PrepareStmt, TransactionStmtKind, VariableSetKind,
    VariableSetStmt,
};

use super::super::{Class, Effect, Object, Statement};
use super::functions::{changes_parsing, is_role};
use super::references::{References, stronger};
use super::tree::Tree;
use super::{change, copy};

/// What the kind of a statement says, before looking inside.
struct Kind {
    class: Class,
    operation: &'static str,
    effect: Effect,
}

impl Kind {
    fn new(class: Class, operation: &'static str) -> Kind {
        let effect = match class {
            // DO and CALL may do anything, also to table shapes.
            Class::Ddl | Class::Call => Effect::Catalog,
            _ => Effect::None,
        };
        Kind { class, operation, effect }
    }
}

/// `None` if the tree holds what it never should; the text is unknown then.
pub(super) fn statement(node: &NodeEnum) -> Option<Statement> {
    match node {
        NodeEnum::ExplainStmt(explain) => return self::explain(explain),
        NodeEnum::PrepareStmt(prepare) => return self::prepare(prepare),
        NodeEnum::ExecuteStmt(execute) => return self::execute(node, execute),
        _ => {}
    }
    let Some(kind) = kind(node) else { return Some(super::unknown()) };
    let references = References::of(&Tree::of(node)?, changes_relations(&kind));
    Some(finish(node, kind, references))
}

fn finish(node: &NodeEnum, kind: Kind, references: References) -> Statement {
    let class = joined(kind.class, references.queries, references.functions);
    let whole_rows = references.whole_rows
        || match node {
            // Rows of a query that was declared before.
            NodeEnum::FetchStmt(fetch) => !fetch.ismove,
            NodeEnum::CopyStmt(copy) => copy.query.is_none() && copy.attlist.is_empty(),
            _ => false,
        };
    let effect = match (kind.effect, class) {
        // SELECT INTO.
        (Effect::None, Class::Ddl) => Effect::Catalog,
        // Its options are not understood: nothing may be derived from them.
        (Effect::Copy(_), Class::Unknown) => Effect::None,
        (Effect::None, _) => change::effect(node),
        (effect, _) => effect,
    };
    let operation = match (kind.operation, class) {
        ("SELECT", Class::Ddl) => "SELECT INTO",
        (operation, _) => operation,
    };
    Statement {
        classes: class.only(),
        operation: operation.to_owned(),
        objects: references.objects.into(),
        columns: references.columns,
        whole_rows,
        effect,
        facts: Vec::new(),
        causes: Vec::new(),
    }
}

/// The class of a statement whose kind, inner queries and functions have classes of their own.
/// Where no single class tells all of it, it is `Unknown`: no rule for one allows the other.
fn joined(kind: Class, queries: Option<Class>, functions: Option<Class>) -> Class {
    let inner = match (queries.unwrap_or(Class::Read), functions) {
        (queries, None) => queries,
        (queries, Some(Class::Write)) => stronger(queries, Class::Write),
        (Class::Read, Some(functions)) => functions,
        (_, Some(_)) => Class::Unknown,
    };
    let query = [Class::Write, Class::UnboundedWrite, Class::Ddl];
    match (kind, inner) {
        (kind, Class::Read) => kind,
        (Class::Read, inner) => inner,
        (kind, inner) if kind == inner => kind,
        (kind, inner) if query.contains(&kind) && query.contains(&inner) => stronger(kind, inner),
        _ => Class::Unknown,
    }
}

/// Whether relations that the statement names outside of queries are changed by it.
fn changes_relations(kind: &Kind) -> bool {
    !matches!(kind.class, Class::Read | Class::Transaction | Class::Session)
}

/// EXPLAIN runs nothing unless it is told to ANALYZE.
fn explain(explain: &ExplainStmt) -> Option<Statement> {
    let mut inner = statement(inner_node(explain.query.as_deref())?)?;
    let analyze = explain.options.iter().filter_map(copy::option).any(|(name, value)| {
        // SERIALIZE, WAL and TIMING need ANALYZE; they do not imply it.
        name == "analyze" && copy::is_on(&value)
    });
    inner.operation = "EXPLAIN".to_owned();
    if let Effect::Declare { .. } = inner.effect {
        // The query of the cursor is explained, and run if so asked; no cursor comes of it.
        inner.effect = Effect::None;
    }
    if !analyze {
        inner.classes = Class::Read.only();
        inner.effect = Effect::None;
        let read = inner.objects.iter().map(|object| Object { write: false, ..object.clone() });
        inner.objects = read.collect();
    }
    Some(inner)
}

fn prepare(prepare: &PrepareStmt) -> Option<Statement> {
    let mut inner = statement(inner_node(prepare.query.as_deref())?)?;
    inner.operation = "PREPARE".to_owned();
    inner.effect = Effect::Prepare(prepare.name.clone());
    Some(inner)
}

/// `Unknown` until the session resolves the name. What its arguments compute is judged here: if
/// that is more than reading, the name is not resolved and the statement stays unknown.
fn execute(node: &NodeEnum, execute: &ExecuteStmt) -> Option<Statement> {
    let references = References::of(&Tree::of(node)?, false);
    let plain = joined(Class::Read, references.queries, references.functions) == Class::Read;
    Some(Statement {
        classes: Class::Unknown.only(),
        operation: "EXECUTE".to_owned(),
        objects: references.objects.into(),
        columns: references.columns,
        whole_rows: true,
        effect: if plain { Effect::Execute(execute.name.clone()) } else { Effect::None },
        facts: Vec::new(),
        causes: Vec::new(),
    })
}

fn inner_node(node: Option<&Node>) -> Option<&NodeEnum> {
    node?.node.as_ref()
}

/// The table of statements.
fn kind(node: &NodeEnum) -> Option<Kind> {
    let fixed = |class, operation| Some(Kind::new(class, operation));
    match node {
        // The class of queries and DML comes from what is inside.
        NodeEnum::SelectStmt(_) => fixed(Class::Read, "SELECT"),
        NodeEnum::InsertStmt(_) => fixed(Class::Read, "INSERT"),
        NodeEnum::UpdateStmt(_) => fixed(Class::Read, "UPDATE"),
        NodeEnum::DeleteStmt(_) => fixed(Class::Read, "DELETE"),
        NodeEnum::MergeStmt(_) => fixed(Class::Read, "MERGE"),
        NodeEnum::DeclareCursorStmt(_) => fixed(Class::Read, "DECLARE CURSOR"),
        NodeEnum::FetchStmt(fetch) => fixed(Class::Read, fetch_operation(fetch)),
        NodeEnum::TruncateStmt(_) => fixed(Class::UnboundedWrite, "TRUNCATE TABLE"),
        NodeEnum::CopyStmt(copy) => {
            let (class, effect) = copy::copy(copy);
            Some(Kind { class, operation: "COPY", effect })
        }
        NodeEnum::TransactionStmt(transaction) => {
            fixed(Class::Transaction, transaction_operation(transaction.kind()))
        }
        NodeEnum::ConstraintsSetStmt(_) => fixed(Class::Transaction, "SET CONSTRAINTS"),
        NodeEnum::VariableSetStmt(set) => Some(set_kind(set)),
        NodeEnum::VariableShowStmt(_) => fixed(Class::Session, "SHOW"),
        NodeEnum::DiscardStmt(_) => fixed(Class::Session, "DISCARD"),
        NodeEnum::ListenStmt(_) => fixed(Class::Session, "LISTEN"),
        NodeEnum::UnlistenStmt(_) => fixed(Class::Session, "UNLISTEN"),
        NodeEnum::NotifyStmt(_) => fixed(Class::Session, "NOTIFY"),
        NodeEnum::ClosePortalStmt(_) => fixed(Class::Session, "CLOSE CURSOR"),
        NodeEnum::DeallocateStmt(deallocate) => Some(Kind {
            class: Class::Session,
            operation: "DEALLOCATE",
            effect: Effect::Deallocate((!deallocate.isall).then(|| deallocate.name.clone())),
        }),
        NodeEnum::DoStmt(_) => fixed(Class::Call, "DO"),
        NodeEnum::CallStmt(_) => fixed(Class::Call, "CALL"),
        NodeEnum::VacuumStmt(vacuum) => {
            fixed(Class::Maintenance, if vacuum.is_vacuumcmd { "VACUUM" } else { "ANALYZE" })
        }
        NodeEnum::ReindexStmt(_) => fixed(Class::Maintenance, "REINDEX"),
        NodeEnum::ClusterStmt(_) => fixed(Class::Maintenance, "CLUSTER"),
        NodeEnum::CheckPointStmt(_) => fixed(Class::Maintenance, "CHECKPOINT"),
        NodeEnum::LoadStmt(_) => fixed(Class::Maintenance, "LOAD"),
        NodeEnum::LockStmt(_) => fixed(Class::Maintenance, "LOCK TABLE"),
        NodeEnum::RefreshMatViewStmt(_) => fixed(Class::Maintenance, "REFRESH MATERIALIZED VIEW"),
        NodeEnum::CreateTableAsStmt(create) => {
            // CREATE TABLE AS EXECUTE runs what only the session knows.
            match inner_node(create.query.as_deref()) {
                Some(NodeEnum::ExecuteStmt(_)) | None => None,
                Some(_) => fixed(Class::Ddl, "CREATE TABLE AS"),
            }
        }
        _ => grant(node).or_else(|| ddl(node)),
    }
}

/// Who may do what.
fn grant(node: &NodeEnum) -> Option<Kind> {
    let either = |granted, grant, revoke| if granted { grant } else { revoke };
    let operation = match node {
        NodeEnum::GrantStmt(grant) => either(grant.is_grant, "GRANT", "REVOKE"),
        NodeEnum::GrantRoleStmt(grant) => either(grant.is_grant, "GRANT ROLE", "REVOKE ROLE"),
        NodeEnum::AlterDefaultPrivilegesStmt(_) => "ALTER DEFAULT PRIVILEGES",
        NodeEnum::CreateRoleStmt(_) => "CREATE ROLE",
        NodeEnum::AlterRoleStmt(_) => "ALTER ROLE",
        NodeEnum::AlterRoleSetStmt(alter) if parses_the_same(alter.setstmt.as_ref()) => {
            "ALTER ROLE"
        }
        NodeEnum::DropRoleStmt(_) => "DROP ROLE",
        NodeEnum::DropOwnedStmt(_) => "DROP OWNED",
        NodeEnum::ReassignOwnedStmt(_) => "REASSIGN OWNED",
        NodeEnum::AlterOwnerStmt(_) => "ALTER OWNER",
        NodeEnum::CreatePolicyStmt(_) => "CREATE POLICY",
        NodeEnum::AlterPolicyStmt(_) => "ALTER POLICY",
        NodeEnum::SecLabelStmt(_) => "SECURITY LABEL",
        NodeEnum::CreateUserMappingStmt(_) => "CREATE USER MAPPING",
        NodeEnum::AlterUserMappingStmt(_) => "ALTER USER MAPPING",
        NodeEnum::DropUserMappingStmt(_) => "DROP USER MAPPING",
        NodeEnum::AlterTableStmt(alter) if changes_rights(alter) => "ALTER TABLE",
        NodeEnum::DropStmt(drop) if drop.remove_type() == ObjectType::ObjectPolicy => "DROP POLICY",
        NodeEnum::RenameStmt(rename) if rename.rename_type() == ObjectType::ObjectRole => {
            "ALTER ROLE"
        }
        NodeEnum::RenameStmt(rename) if rename.rename_type() == ObjectType::ObjectPolicy => {
            "ALTER POLICY"
        }
        NodeEnum::CreateSchemaStmt(create) if gives_rights(create) => "CREATE SCHEMA",
        _ => return None,
    };
    // Table shapes change with DROP OWNED, and with whatever else is in the same ALTER TABLE.
    Some(Kind { class: Class::Grant, operation, effect: Effect::Catalog })
}

fn changes_rights(alter: &AlterTableStmt) -> bool {
    alter.cmds.iter().any(|command| match &command.node {
        Some(NodeEnum::AlterTableCmd(command)) => matches!(
            command.subtype(),
            AlterTableType::AtChangeOwner
                | AlterTableType::AtEnableRowSecurity
                | AlterTableType::AtDisableRowSecurity
                | AlterTableType::AtForceRowSecurity
                | AlterTableType::AtNoForceRowSecurity
        ),
        _ => false,
    })
}

/// A schema for another role, or with GRANTs inside.
fn gives_rights(create: &CreateSchemaStmt) -> bool {
    let grants = |node: &Node| matches!(node.node, Some(NodeEnum::GrantStmt(_)));
    create.authrole.is_some() || create.schema_elts.iter().any(grants)
}

/// Whether an `ALTER ... SET` leaves the target reading commands as the parser here does.
fn parses_the_same(set: Option<&VariableSetStmt>) -> bool {
    set.is_some_and(|set| set_kind(set).class != Class::Unknown)
}

/// Definitions. ALTER SYSTEM is not among them: it configures the server, and some settings of it
/// are commands that the server runs.
fn ddl(node: &NodeEnum) -> Option<Kind> {
    let operation = match node {
        NodeEnum::AlterTableStmt(alter) => match alter.objtype() {
            ObjectType::ObjectIndex => "ALTER INDEX",
            ObjectType::ObjectView => "ALTER VIEW",
            ObjectType::ObjectMatview => "ALTER MATERIALIZED VIEW",
            ObjectType::ObjectSequence => "ALTER SEQUENCE",
            ObjectType::ObjectType => "ALTER TYPE",
            ObjectType::ObjectForeignTable => "ALTER FOREIGN TABLE",
            _ => "ALTER TABLE",
        },
        NodeEnum::DropStmt(drop) => drop_operation(drop),
        NodeEnum::AlterDatabaseSetStmt(alter) if parses_the_same(alter.setstmt.as_ref()) => {
            "ALTER DATABASE"
        }
        NodeEnum::CreateStmt(_) => "CREATE TABLE",
        NodeEnum::CreateForeignTableStmt(_) => "CREATE FOREIGN TABLE",
        NodeEnum::ViewStmt(_) => "CREATE VIEW",
        NodeEnum::IndexStmt(_) => "CREATE INDEX",
        NodeEnum::CreateSchemaStmt(_) => "CREATE SCHEMA",
        NodeEnum::CreateSeqStmt(_) => "CREATE SEQUENCE",
        NodeEnum::AlterSeqStmt(_) => "ALTER SEQUENCE",
        NodeEnum::CreateStatsStmt(_) => "CREATE STATISTICS",
        NodeEnum::AlterStatsStmt(_) => "ALTER STATISTICS",
        NodeEnum::CreateFunctionStmt(create) if create.is_procedure => "CREATE PROCEDURE",
        NodeEnum::CreateFunctionStmt(_) => "CREATE FUNCTION",
        NodeEnum::AlterFunctionStmt(_) => "ALTER FUNCTION",
        NodeEnum::CreateTrigStmt(_) => "CREATE TRIGGER",
        NodeEnum::RuleStmt(_) => "CREATE RULE",
        NodeEnum::CommentStmt(_) => "COMMENT",
        NodeEnum::RenameStmt(_) => "ALTER RENAME",
        NodeEnum::AlterObjectSchemaStmt(_) => "ALTER SET SCHEMA",
        NodeEnum::AlterObjectDependsStmt(_) => "ALTER DEPENDS",
        _ => return other_ddl(node),
    };
    Some(Kind::new(Class::Ddl, operation))
}

/// Definitions of what is not a relation.
fn other_ddl(node: &NodeEnum) -> Option<Kind> {
    let operation = match node {
        NodeEnum::CreateDomainStmt(_) => "CREATE DOMAIN",
        NodeEnum::AlterDomainStmt(_) => "ALTER DOMAIN",
        NodeEnum::CompositeTypeStmt(_)
        | NodeEnum::CreateEnumStmt(_)
        | NodeEnum::CreateRangeStmt(_) => "CREATE TYPE",
        NodeEnum::AlterEnumStmt(_) | NodeEnum::AlterTypeStmt(_) => "ALTER TYPE",
        NodeEnum::DefineStmt(_) => "CREATE",
        NodeEnum::CreateOpClassStmt(_) => "CREATE OPERATOR CLASS",
        NodeEnum::CreateOpFamilyStmt(_) => "CREATE OPERATOR FAMILY",
        NodeEnum::AlterOpFamilyStmt(_) => "ALTER OPERATOR FAMILY",
        NodeEnum::AlterOperatorStmt(_) => "ALTER OPERATOR",
        NodeEnum::AlterCollationStmt(_) => "ALTER COLLATION",
        NodeEnum::CreateConversionStmt(_) => "CREATE CONVERSION",
        NodeEnum::CreateCastStmt(_) => "CREATE CAST",
        NodeEnum::CreateTransformStmt(_) => "CREATE TRANSFORM",
        NodeEnum::CreatePlangStmt(_) => "CREATE LANGUAGE",
        NodeEnum::CreateAmStmt(_) => "CREATE ACCESS METHOD",
        NodeEnum::CreateEventTrigStmt(_) => "CREATE EVENT TRIGGER",
        NodeEnum::AlterEventTrigStmt(_) => "ALTER EVENT TRIGGER",
        NodeEnum::AlterTsdictionaryStmt(_) => "ALTER TEXT SEARCH DICTIONARY",
        NodeEnum::AlterTsconfigurationStmt(_) => "ALTER TEXT SEARCH CONFIGURATION",
        NodeEnum::CreateExtensionStmt(_) => "CREATE EXTENSION",
        NodeEnum::AlterExtensionStmt(_) | NodeEnum::AlterExtensionContentsStmt(_) => {
            "ALTER EXTENSION"
        }
        NodeEnum::CreateFdwStmt(_) => "CREATE FOREIGN DATA WRAPPER",
        NodeEnum::AlterFdwStmt(_) => "ALTER FOREIGN DATA WRAPPER",
        NodeEnum::CreateForeignServerStmt(_) => "CREATE SERVER",
        NodeEnum::AlterForeignServerStmt(_) => "ALTER SERVER",
        NodeEnum::ImportForeignSchemaStmt(_) => "IMPORT FOREIGN SCHEMA",
        NodeEnum::CreatePublicationStmt(_) => "CREATE PUBLICATION",
        NodeEnum::AlterPublicationStmt(_) => "ALTER PUBLICATION",
        NodeEnum::CreateSubscriptionStmt(_) => "CREATE SUBSCRIPTION",
        NodeEnum::AlterSubscriptionStmt(_) => "ALTER SUBSCRIPTION",
        NodeEnum::DropSubscriptionStmt(_) => "DROP SUBSCRIPTION",
        NodeEnum::CreatedbStmt(_) => "CREATE DATABASE",
        NodeEnum::AlterDatabaseStmt(_) | NodeEnum::AlterDatabaseRefreshCollStmt(_) => {
            "ALTER DATABASE"
        }
        NodeEnum::DropdbStmt(_) => "DROP DATABASE",
        NodeEnum::CreateTableSpaceStmt(_) => "CREATE TABLESPACE",
        NodeEnum::AlterTableSpaceOptionsStmt(_) | NodeEnum::AlterTableMoveAllStmt(_) => {
            "ALTER TABLESPACE"
        }
        NodeEnum::DropTableSpaceStmt(_) => "DROP TABLESPACE",
        _ => return None,
    };
    Some(Kind::new(Class::Ddl, operation))
}

fn drop_operation(drop: &DropStmt) -> &'static str {
    match drop.remove_type() {
        ObjectType::ObjectTable => "DROP TABLE",
        ObjectType::ObjectView => "DROP VIEW",
        ObjectType::ObjectMatview => "DROP MATERIALIZED VIEW",
        ObjectType::ObjectIndex => "DROP INDEX",
        ObjectType::ObjectSequence => "DROP SEQUENCE",
        ObjectType::ObjectForeignTable => "DROP FOREIGN TABLE",
        ObjectType::ObjectSchema => "DROP SCHEMA",
        ObjectType::ObjectFunction => "DROP FUNCTION",
        ObjectType::ObjectProcedure => "DROP PROCEDURE",
        ObjectType::ObjectTrigger => "DROP TRIGGER",
        ObjectType::ObjectType => "DROP TYPE",
        ObjectType::ObjectExtension => "DROP EXTENSION",
        _ => "DROP",
    }
}

fn fetch_operation(fetch: &FetchStmt) -> &'static str {
    if fetch.ismove { "MOVE" } else { "FETCH" }
}

fn transaction_operation(kind: TransactionStmtKind) -> &'static str {
    match kind {
        TransactionStmtKind::TransStmtBegin => "BEGIN",
        TransactionStmtKind::TransStmtStart => "START TRANSACTION",
        TransactionStmtKind::TransStmtCommit => "COMMIT",
        TransactionStmtKind::TransStmtRollback | TransactionStmtKind::TransStmtRollbackTo => {
            "ROLLBACK"
        }
        TransactionStmtKind::TransStmtSavepoint => "SAVEPOINT",
        TransactionStmtKind::TransStmtRelease => "RELEASE",
        TransactionStmtKind::TransStmtPrepare => "PREPARE TRANSACTION",
        TransactionStmtKind::TransStmtCommitPrepared => "COMMIT PREPARED",
        TransactionStmtKind::TransStmtRollbackPrepared => "ROLLBACK PREPARED",
        TransactionStmtKind::Undefined => "TRANSACTION",
    }
}

/// SET and RESET.
fn set_kind(set: &VariableSetStmt) -> Kind {
    let operation = match set.kind() {
        VariableSetKind::VarReset | VariableSetKind::VarResetAll => "RESET",
        _ => "SET",
    };
    let multi = set.kind() == VariableSetKind::VarSetMulti;
    let class = if is_role(&set.name) {
        Class::SetRole
    } else if multi && set.name.starts_with("TRANSACTION") {
        Class::Transaction
    } else if set.kind() == VariableSetKind::VarSetValue
        && changes_parsing(&set.name, &set_value(set))
    {
        // RESET goes back to the start of the session, which was judged there.
        Class::Unknown
    } else {
        Class::Session
    };
    Kind::new(class, operation)
}

fn set_value(set: &VariableSetStmt) -> String {
    let [value] = set.args.as_slice() else { return String::new() };
    copy::constant(value).unwrap_or_default()
}
