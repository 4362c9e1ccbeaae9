//! One parsed statement to its class, operation and effect.
//!
//! In: a node. Out: a `Statement`. Never: a class by default: a kind of statement that is not
//! listed here is `Unknown`.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableStmt, AlterTableType, CreateSchemaStmt, CreateTableAsStmt, DiscardMode, DropStmt,
    ExecuteStmt, ExplainStmt, FetchStmt, Node, ObjectType, PrepareStmt, TransactionStmtKind,
    VariableSetKind, VariableSetStmt,
};

use super::super::own::{Use, UseKind};
use super::super::{
    Cause, Class, ClassSet, Consequence, Fact, Made, Object, Shows, Statement, Stored,
};
use super::functions::{changes_parsing, is_role};
use super::references::References;
use super::tree::Tree;
use super::{cascade, change, copy, made, shows};

/// What the kind of a statement says, before looking inside.
struct Kind {
    /// `None`: what is inside says it.
    class: Option<Class>,
    operation: &'static str,
    effect: Consequence,
}

impl Kind {
    fn new(class: Class, operation: &'static str) -> Kind {
        let effect = match class {
            // DO and CALL may do anything, also to table shapes.
            Class::Ddl | Class::Call => Consequence::Catalog,
            _ => Consequence::None,
        };
        Kind { class: Some(class), operation, effect }
    }

    /// Of a statement that is what its queries are.
    fn query(operation: &'static str) -> Kind {
        Kind { class: None, operation, effect: Consequence::None }
    }
}

/// A `Statement` that may still change its thread: a deep tree is worked on beside the caller.
pub(super) struct Found {
    classes: ClassSet,
    operation: String,
    objects: Vec<Object>,
    cascades: bool,
    columns: Vec<String>,
    whole_rows: bool,
    made: Vec<Option<Made>>,
    star: Option<usize>,
    stored: Option<Box<Stored>>,
    shows: Vec<Shows>,
    sinks: Vec<Box<str>>,
    effect: Consequence,
    cursors: Vec<Box<str>>,
    facts: Vec<Fact>,
    causes: Vec<Cause>,
    uses: Vec<Use>,
}

impl Found {
    pub(super) fn unknown() -> Found {
        Found {
            classes: Class::Unknown.only(),
            operation: "UNKNOWN".to_owned(),
            objects: Vec::new(),
            cascades: false,
            columns: Vec::new(),
            whole_rows: true,
            made: Vec::new(),
            star: None,
            stored: None,
            shows: Vec::new(),
            sinks: Vec::new(),
            effect: Consequence::Catalog,
            cursors: Vec::new(),
            facts: Vec::new(),
            causes: Vec::new(),
            uses: Vec::new(),
        }
    }
}

impl From<Found> for Statement {
    fn from(found: Found) -> Statement {
        Statement {
            classes: found.classes,
            operation: found.operation,
            objects: found.objects.into(),
            cascades: found.cascades,
            columns: found.columns,
            whole_rows: found.whole_rows,
            made: found.made,
            star: found.star,
            stored: found.stored,
            shows: found.shows,
            sinks: found.sinks.into(),
            effect: found.effect,
            cursors: found.cursors.into(),
            facts: found.facts,
            causes: found.causes,
            uses: found.uses.into(),
        }
    }
}

/// `None` if the tree holds what it never should; the text is unknown then.
pub(super) fn statement(node: &NodeEnum) -> Option<Found> {
    match node {
        NodeEnum::ExplainStmt(explain) => return self::explain(explain),
        NodeEnum::PrepareStmt(prepare) => return self::prepare(prepare),
        NodeEnum::ExecuteStmt(execute) => return self::execute(node, execute),
        NodeEnum::CreateTableAsStmt(create) if keeps_unseen(create) => return self::unseen(node),
        NodeEnum::AlterSystemStmt(_) => return Some(system(node)),
        _ => {}
    }
    let Some(kind) = kind(node) else { return Some(Found::unknown()) };
    let tree = Tree::of(node)?;
    let mut references = References::of(&tree, changes_relations(node, &kind));
    if let Some(class) = kind.class {
        settings(node, class, &mut references);
    }
    let (made, star) = made::columns(&tree);
    let shows = match kind.class {
        Some(Class::Ddl) => shows::shows(&tree),
        _ => Vec::new(),
    };
    Some(Found { made, star, shows, ..finish(node, kind, references) })
}

fn finish(node: &NodeEnum, kind: Kind, mut references: References) -> Found {
    let own = kind.class.map_or(ClassSet::NONE, Class::only);
    let mut classes = own.and(references.queries).and(references.functions);
    // To read is what a statement does that does nothing else, or that names what it does not
    // write.
    let reads = references.objects.iter().any(|object| !object.write);
    // Of what is not known at all nothing more is told.
    if classes.is_empty() || (reads && !own.has(Class::Unknown)) {
        classes = classes.and(Class::Read.only());
    }
    let whole_rows = references.whole_rows
        || match node {
            // Rows of a query that was declared before.
            NodeEnum::FetchStmt(fetch) => !fetch.ismove,
            NodeEnum::CopyStmt(copy) => copy.query.is_none() && copy.attlist.is_empty(),
            _ => false,
        };
    let into = references.queries.has(Class::Ddl);
    let effect = match kind.effect {
        // SELECT INTO.
        Consequence::None if into => Consequence::Catalog,
        // What is not understood has no layout that anything may be derived from.
        Consequence::Copy(_) if classes.has(Class::Unknown) => Consequence::None,
        Consequence::None => change::effect(node),
        effect => effect,
    };
    let owner = cascade::owner(node).filter(|owner| !references.objects.contains(owner));
    references.objects.extend(owner);
    let operation = match kind.operation {
        "SELECT" if into => "SELECT INTO",
        operation => operation,
    };
    // Definitions name types without making values of them.
    let is_definition = own.has(Class::Ddl) || own.has(Class::Grant);
    let of_values = |used: &Use| matches!(used.kind, UseKind::Type | UseKind::Within);
    references.uses.retain(|used| !(is_definition && of_values(used)));
    Found {
        classes,
        operation: operation.to_owned(),
        objects: references.objects,
        cascades: cascade::cascades(node),
        columns: references.columns,
        whole_rows,
        made: Vec::new(),
        star: None,
        stored: references.stored.map(Box::new),
        shows: Vec::new(),
        sinks: references.sinks,
        effect,
        cursors: references.cursors,
        facts: references.facts,
        causes: references.causes,
        uses: references.uses,
    }
}

/// Whether relations that the statement names outside of queries are changed by it.
fn changes_relations(node: &NodeEnum, kind: &Kind) -> bool {
    let reads = [Class::Read, Class::Transaction, Class::PreparedTransaction, Class::Session];
    match (node, kind.class) {
        (NodeEnum::CopyStmt(copy), _) => copy.is_from,
        (_, None) => false,
        (_, Some(class)) => !reads.contains(&class),
    }
}

/// EXPLAIN runs nothing unless it is told to ANALYZE; but to plan a statement is to run those of
/// its functions that are not volatile. So it has the classes of the functions in any case.
fn explain(explain: &ExplainStmt) -> Option<Found> {
    let query = inner_node(explain.query.as_deref())?;
    let mut inner = statement(query)?;
    let analyze = explain.options.iter().filter_map(copy::option).any(|(name, value)| {
        // SERIALIZE, WAL and TIMING need ANALYZE; they do not imply it.
        name == "analyze" && copy::is_on(&value)
    });
    inner.operation = "EXPLAIN".to_owned();
    // A plan says nothing of what rows hold: to plan is to look at statistics, as any condition
    // may. What ran is told with what was found on the way.
    inner.made = match analyze || matches!(inner.effect, Consequence::Execute(_)) {
        true => Vec::new(),
        false => vec![Some(Made::default())],
    };
    inner.star = None;
    if !analyze {
        inner.stored = None;
    }
    if let Consequence::Declare { .. } = inner.effect {
        // The query of the cursor is explained, and run if so asked; no cursor comes of it.
        inner.effect = Consequence::None;
    }
    // What an EXECUTE stands for is known to the session.
    if !analyze && !matches!(inner.effect, Consequence::Execute(_)) && inner.operation != "UNKNOWN"
    {
        let functions = References::of(&Tree::of(query)?, false).functions;
        inner.classes = functions.and(Class::Read.only());
        inner.effect = Consequence::None;
        inner.objects.iter_mut().for_each(|object| object.write = false);
    }
    Some(inner)
}

fn prepare(prepare: &PrepareStmt) -> Option<Found> {
    let mut inner = statement(inner_node(prepare.query.as_deref())?)?;
    inner.operation = "PREPARE".to_owned();
    // EXECUTE makes values of these types.
    let types = prepare.argtypes.iter().map(|node| Tree::of(inner_node(Some(node))?));
    let types: Vec<Tree> = types.collect::<Option<_>>()?;
    let names = types.iter().filter_map(|tree| tree.field("names").items().last());
    let named = names.map(|name| Use { kind: UseKind::Type, name: name.text().into() });
    inner.uses.extend(named);
    inner.effect = Consequence::Prepare(prepare.name.clone());
    Some(inner)
}

/// `Unknown` until the session resolves the name. What its arguments compute is judged here: if
/// that is more than reading, the name is not resolved and the statement stays unknown.
fn execute(node: &NodeEnum, execute: &ExecuteStmt) -> Option<Found> {
    let references = References::of(&Tree::of(node)?, false);
    let plain = references.queries.and(references.functions).is_empty();
    Some(Found {
        operation: "EXECUTE".to_owned(),
        objects: references.objects,
        columns: references.columns,
        sinks: references.sinks,
        effect: if plain { Consequence::Execute(execute.name.clone()) } else { Consequence::None },
        facts: references.facts,
        causes: references.causes,
        uses: references.uses,
        ..Found::unknown()
    })
}

/// ALTER SYSTEM: of all sessions to come. Rules may name its settings.
fn system(node: &NodeEnum) -> Found {
    let mut references = References::default();
    settings(node, Class::Unknown, &mut references);
    Found { facts: references.facts, causes: references.causes, ..Found::unknown() }
}

/// CREATE TABLE AS EXECUTE runs what only the session knows.
fn keeps_unseen(create: &CreateTableAsStmt) -> bool {
    matches!(inner_node(create.query.as_deref()), Some(NodeEnum::ExecuteStmt(_)) | None)
}

/// It keeps rows of a query that is not in the text.
fn unseen(node: &NodeEnum) -> Option<Found> {
    let references = References::of(&Tree::of(node)?, true);
    Some(Found {
        operation: "CREATE TABLE AS".to_owned(),
        objects: references.objects,
        stored: Some(Box::new(Stored { unseen: true, ..Stored::default() })),
        sinks: references.sinks,
        facts: references.facts,
        causes: references.causes,
        uses: references.uses,
        ..Found::unknown()
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
        NodeEnum::SelectStmt(_) => Some(Kind::query("SELECT")),
        NodeEnum::InsertStmt(_) => Some(Kind::query("INSERT")),
        NodeEnum::UpdateStmt(_) => Some(Kind::query("UPDATE")),
        NodeEnum::DeleteStmt(_) => Some(Kind::query("DELETE")),
        NodeEnum::MergeStmt(_) => Some(Kind::query("MERGE")),
        NodeEnum::DeclareCursorStmt(_) => Some(Kind::query("DECLARE CURSOR")),
        NodeEnum::FetchStmt(fetch) => fixed(Class::Read, fetch_operation(fetch)),
        NodeEnum::TruncateStmt(_) => fixed(Class::UnboundedWrite, "TRUNCATE TABLE"),
        NodeEnum::CopyStmt(copy) => {
            let (class, effect) = copy::copy(copy);
            // COPY TO reads what it names, or does what its query does.
            let class = (class != Class::Read).then_some(class);
            Some(Kind { class, operation: "COPY", effect })
        }
        NodeEnum::TransactionStmt(transaction) => {
            let class = match transaction.kind() {
                // Of any session, also of one that wrote under another role.
                TransactionStmtKind::TransStmtPrepare
                | TransactionStmtKind::TransStmtCommitPrepared
                | TransactionStmtKind::TransStmtRollbackPrepared => Class::PreparedTransaction,
                _ => Class::Transaction,
            };
            fixed(class, transaction_operation(transaction.kind()))
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
            class: Some(Class::Session),
            operation: "DEALLOCATE",
            effect: Consequence::Deallocate((!deallocate.isall).then(|| deallocate.name.clone())),
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
        // What any SELECT of it takes, and may who may read it (lockcmds.c,
        // `LockTableAclCheck`).
        NodeEnum::LockStmt(lock) if lock.mode == ACCESS_SHARE => fixed(Class::Read, "LOCK TABLE"),
        NodeEnum::LockStmt(_) => fixed(Class::Write, "LOCK TABLE"),
        NodeEnum::RefreshMatViewStmt(_) => fixed(Class::Maintenance, "REFRESH MATERIALIZED VIEW"),
        NodeEnum::CreateTableAsStmt(_) => fixed(Class::Ddl, "CREATE TABLE AS"),
        _ => grant(node).or_else(|| ddl(node)),
    }
}

fn is_constraint(kind: ObjectType) -> bool {
    matches!(kind, ObjectType::ObjectTabconstraint | ObjectType::ObjectTrigger)
}

/// `AccessShareLock` (lockdefs.h).
const ACCESS_SHARE: i32 = 1;

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
    Some(Kind { class: Some(Class::Grant), operation, effect: Consequence::Catalog })
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
    set.is_some_and(|set| set_kind(set).class != Some(Class::Unknown))
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
        // What has no columns, and is named in no rule.
        NodeEnum::RenameStmt(rename) if is_constraint(rename.rename_type()) => "ALTER TABLE",
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

/// Settings that a statement names, for rules.
fn settings(node: &NodeEnum, class: Class, references: &mut References) {
    let set = match node {
        NodeEnum::VariableSetStmt(set) => set,
        NodeEnum::AlterRoleSetStmt(alter) => match &alter.setstmt {
            Some(set) => set,
            None => return,
        },
        NodeEnum::AlterDatabaseSetStmt(alter) => match &alter.setstmt {
            Some(set) => set,
            None => return,
        },
        NodeEnum::AlterSystemStmt(alter) => match &alter.setstmt {
            Some(set) => set,
            None => return,
        },
        // It is RESET ALL, and more (discard.c, `DiscardAll`).
        NodeEnum::DiscardStmt(discard) if discard.target() == DiscardMode::DiscardAll => {
            return references.setting(class.only(), None);
        }
        _ => return,
    };
    match set.kind() {
        // SET TRANSACTION, SET SESSION CHARACTERISTICS.
        VariableSetKind::VarSetMulti => {}
        VariableSetKind::VarResetAll => references.setting(class.only(), None),
        _ => {
            // ALTER ROLE .. SET role is a role for sessions to come.
            let is_role = is_role(&set.name) && !goes_back(set);
            let role = if is_role { Class::SetRole.only() } else { ClassSet::NONE };
            references.setting(class.only().and(role), Some(set.name.to_lowercase()));
        }
    }
}

/// SET and RESET.
fn set_kind(set: &VariableSetStmt) -> Kind {
    let operation = match set.kind() {
        VariableSetKind::VarReset | VariableSetKind::VarResetAll => "RESET",
        _ => "SET",
    };
    let multi = set.kind() == VariableSetKind::VarSetMulti;
    let class = if is_role(&set.name) && !goes_back(set) {
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

/// SET SESSION AUTHORIZATION DEFAULT makes the session what it began as, as DISCARD ALL does; pools
/// that keep prepared statements send it.
fn goes_back(set: &VariableSetStmt) -> bool {
    let back = [VariableSetKind::VarReset, VariableSetKind::VarSetDefault];
    set.name.eq_ignore_ascii_case("session_authorization") && back.contains(&set.kind())
}

fn set_value(set: &VariableSetStmt) -> String {
    let [value] = set.args.as_slice() else { return String::new() };
    copy::constant(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::classify_uncached;
    use crate::decide::{Fact, FactKind};

    #[test]
    fn all_that_sets_says_what() {
        let any = || vec![Fact::unclear(FactKind::Setting)];
        let one = || vec![Fact::is(FactKind::Setting, "search_path")];
        for (text, facts) in [
            ("SET search_path = s", one()),
            ("RESET search_path", one()),
            ("ALTER SYSTEM SET search_path = 's'", one()),
            ("ALTER SYSTEM RESET search_path", one()),
            ("ALTER SYSTEM RESET ALL", any()),
            ("RESET ALL", any()),
            ("DISCARD ALL", any()),
            ("DISCARD PLANS", Vec::new()),
            ("DISCARD TEMP", Vec::new()),
        ] {
            let found = classify_uncached(text.as_bytes());
            assert_eq!(found.statements[0].facts, facts, "{text}");
        }
    }
}
