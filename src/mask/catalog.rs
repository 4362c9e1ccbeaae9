//! Shapes of the tables of one target, as masks need them: read at the target, never guessed.

use std::collections::HashMap;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`, from 1.
    pub attnum: i16,
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_namespace.nspname`.
    pub schema: String,
    /// `pg_class.relname`.
    pub name: String,
    /// `pg_class.relkind`: `r`, `p`, `v`, `m`, `f`.
    pub kind: u8,
    /// Relations whose columns show through this one: parents by inheritance or partitioning, and
    /// relations a view reads. A mask on any of them reaches this relation.
    pub sources: Vec<u32>,
    /// Columns, by attnum, dropped ones left out.
    pub columns: Vec<Column>,
}

/// All relations of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By `pg_class.oid`.
    pub relations: HashMap<u32, Relation>,
}
