//! What to do with each column of an answer.

use super::catalog::Catalog;
use super::copy::CopyMasker;
use super::edits::Edits;
use super::operator::Operator;
use crate::config::settings::MaskSpec;
use crate::decide::{Copy, Statement};
use crate::fault::Malformed;

/// All masks of the configuration, compiled.
#[derive(Debug, Default)]
pub struct Policy {}
impl Policy {
    /// Compiles.
    pub fn compile(_specs: &[MaskSpec]) -> Policy {
        Policy {}
    }
    /// Some column mask applies.
    pub fn needs_catalog(&self, _target: &str) -> bool {
        false
    }
    /// What applies to one session.
    pub fn view(&self, _target: &str, _groups: &[String]) -> View {
        View {}
    }
}
/// What applies to one session.
#[derive(Debug, Default)]
pub struct View {}
/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Table.
    pub table_oid: u32,
    /// Column.
    pub attnum: i16,
    /// Type.
    pub type_oid: u32,
    /// Format.
    pub format: i16,
}
/// Planned.
#[derive(Debug)]
pub enum Planned {
    /// Ready.
    Ready(Plan),
    /// Unknown.
    NeedCatalog,
}
/// Copy planned.
#[derive(Debug)]
pub enum CopyPlanned {
    /// As is.
    Pass,
    /// Masked.
    Masked(CopyMasker),
    /// Unknown.
    NeedCatalog,
    /// Refused.
    Refuse(String),
}
/// A hit.
#[derive(Debug)]
pub struct Hit {
    /// Column.
    pub column: Option<usize>,
    /// Detector.
    pub detector: &'static str,
    /// Operator.
    pub operator: Operator,
    /// Count.
    pub count: u64,
}
/// Hits.
#[derive(Debug, Default)]
pub struct Hits {}
impl Hits {
    /// Takes them.
    pub fn drain(&mut self) -> std::vec::IntoIter<Hit> {
        Vec::new().into_iter()
    }
}
impl View {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        true
    }
    /// Columns.
    pub fn masks_columns(&self) -> bool {
        false
    }
    /// Errors.
    pub fn scrub_errors(&self) -> bool {
        false
    }
    /// Plan.
    pub fn plan(
        &self,
        _catalog: Option<&Catalog>,
        _fields: &[Field<'_>],
        _statements: Option<&[Statement]>,
    ) -> Planned {
        Planned::Ready(Plan {})
    }
    /// Copy.
    pub fn copy(&self, _: Option<&Catalog>, _: &Copy, _: &Statement) -> CopyPlanned {
        CopyPlanned::Pass
    }
    /// Text.
    pub fn text(&self, _: &[u8], _: &mut Vec<u8>, _: &mut Hits) -> bool {
        false
    }
}
/// What to do with each column of one answer.
#[derive(Debug, Default)]
pub struct Plan {}
impl Plan {
    /// As is.
    pub fn is_pass(&self) -> bool {
        true
    }
    /// Row.
    pub fn row(&self, _: &[u8], _: &mut Edits, _: &mut Hits) -> Result<(), Malformed> {
        Ok(())
    }
}
