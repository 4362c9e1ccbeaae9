//! Column rules, and what they mean for the relations of a catalog.
//!
//! In: `schema.table.column` patterns, a catalog. Out: a treatment for each column.
//! Never: a match by the name a result gives a column; only by what the catalog says it is.

use std::collections::HashMap;

use super::catalog::{Catalog, Relation, is_system};
use super::types;
use crate::limits;
use crate::mask::operator::Operator;

/// One pattern with its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnRule {
    pub pattern: ColumnPattern,
    pub operator: Operator,
}

/// `schema.table.column`. Each part may be `*`, or hold `*` for any characters. A part in double
/// quotes may hold dots. Missing parts in front mean any: `customers.ssn` is `*.customers.ssn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnPattern {
    schema: String,
    table: String,
    column: String,
}

impl ColumnPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<ColumnPattern, String> {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                c => parts.last_mut().expect("there is always a part").push(c),
            }
        }
        if quoted || parts.len() > 3 || parts.iter().any(String::is_empty) {
            let shape = "expected schema.table.column, where * stands for any part";
            return Err(format!("{text:?} names no column: {shape}"));
        }
        let mut last = parts.into_iter().rev();
        let mut next = || last.next().unwrap_or_else(|| "*".to_owned());
        let column = next();
        let table = next();
        Ok(ColumnPattern { schema: next(), table, column })
    }

    /// Any column of any table: what an unreadable pattern is taken for.
    fn any() -> ColumnPattern {
        let star = || "*".to_owned();
        ColumnPattern { schema: star(), table: star(), column: star() }
    }

    /// Whether it may be about this column, or about any, of a relation of which only the name is
    /// known.
    pub(super) fn may_be_on(
        &self,
        (schema, name): (Option<&str>, &str),
        column: Option<&str>,
    ) -> bool {
        column.is_none_or(|column| fits(&self.column, column))
            && fits(&self.table, name)
            && schema.is_none_or(|schema| fits(&self.schema, schema))
    }

    /// Whether it is about this column whatever its relation is called, and wherever it is.
    pub(super) fn is_on_any_relation(&self, column: &str) -> bool {
        self.schema == "*" && self.table == "*" && fits(&self.column, column)
    }

    /// Whether it goes by the name of the column alone.
    pub(super) fn is_bare(&self) -> bool {
        self.schema == "*" && self.table == "*"
    }

    /// Whether the catalog has a column that it is about.
    pub fn is_in(&self, catalog: &Catalog) -> bool {
        let mut relations = catalog.relations.values();
        relations.any(|it| it.columns.iter().any(|column| self.is_on(it, &column.name)))
    }

    fn is_on(&self, relation: &Relation, column: &str) -> bool {
        fits(&self.column, column)
            && fits(&self.table, &relation.name)
            && fits(&self.schema, &relation.schema)
    }
}

impl ColumnRule {
    /// The configuration refuses patterns that do not parse; should one come here, it hides all.
    pub fn compile(pattern: &str, operator: Operator) -> ColumnRule {
        let pattern = ColumnPattern::parse(pattern).unwrap_or_else(|_| ColumnPattern::any());
        ColumnRule { pattern, operator }
    }
}

/// Whether `name` fits a pattern with `*` for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    // Leftmost match of each middle piece leaves the most for the last.
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
        rest = after;
    }
    name.ends_with(rest)
}

/// What is to happen with the values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// No rule reaches it.
    Clean,
    /// A rule reaches it.
    Masked(Operator),
    /// A column that cannot be proven to hold nothing of a masked one: of a view, generated,
    /// sampled, of rows.
    Unproven,
}

/// Verdicts for all columns of one relation, in the order of `Relation::columns`.
#[derive(Debug)]
pub(super) struct RelationMask<'c> {
    pub relation: &'c Relation,
    pub treatments: Vec<Treatment>,
    over_masked: bool,
    reads_hidden: bool,
}

impl<'c> RelationMask<'c> {
    /// `None` when a relation it depends on is not in the catalog.
    ///
    /// A column is masked if a rule names it, or names a column of the same name in a relation
    /// whose values it may show (`Catalog::origins`). Columns of a view over masked relations are
    /// further suspect, because `CREATE VIEW v AS SELECT ssn AS note` renames: one is taken for
    /// clean only if a table below the view has an unmasked column of that name and type, all
    /// others are unproven; unless the view reads no column that is hidden, in none of its parts:
    /// then nothing of one is in it, whatever its columns are called. So are those of a view that
    /// runs what may read anything (`Catalog::unseen`). A view that hides `ssn` under
    /// the name of another column of the same type is not seen through; a rule on the view's own
    /// column covers it.
    pub fn build(
        rules: &[ColumnRule],
        catalog: &'c Catalog,
        relation: &'c Relation,
    ) -> Option<RelationMask<'c>> {
        RelationMask::look(rules, catalog, relation, &mut HashMap::new())
    }

    /// `told` is which views are known to read nothing that is hidden.
    fn look(
        rules: &[ColumnRule],
        catalog: &'c Catalog,
        relation: &'c Relation,
        told: &mut HashMap<u32, bool>,
    ) -> Option<RelationMask<'c>> {
        let origins = catalog.origins(relation)?;
        let operator = |column: &str| strongest(rules, relation, &origins, column);
        // What weir hides in a view of PostgreSQL tells nothing of the columns beside it.
        let is_own =
            |origin: &&&Relation| origin.oid == relation.oid && shows_texts(&relation.name);
        let over_masked = relation.is_view()
            && origins
                .iter()
                .filter(|origin| !is_own(origin))
                .flat_map(|origin| origin.columns.iter().map(move |c| (origin, c)))
                .any(|(origin, column)| strongest(rules, origin, &[], &column.name).is_some());
        let unseen =
            !rules.is_empty() && origins.iter().any(|origin| catalog.unseen.contains(&origin.oid));
        let reads_hidden =
            unseen || (over_masked && !reads_nothing_hidden(rules, catalog, relation, told));
        let samples = !rules.is_empty() && origins.iter().any(|origin| is_samples(origin));
        let treatment = |column: &super::catalog::Column| match operator(&column.name) {
            Some(operator) => Treatment::Masked(operator),
            None if reads_hidden && !is_proven(&origins, column) => Treatment::Unproven,
            None if holds_masked_rows(rules, catalog, column.type_oid) => Treatment::Unproven,
            None if samples && !types::is_plain_fact(column.type_oid) => Treatment::Unproven,
            None if is_computed_from_masked(rules, catalog, &origins, column) => {
                Treatment::Unproven
            }
            None => Treatment::Clean,
        };
        let treatments = relation.columns.iter().map(treatment).collect();
        Some(RelationMask { relation, treatments, over_masked, reads_hidden })
    }

    /// It is a view, and a relation below has a masked column: what is written through it is
    /// written to whole rows of that relation.
    pub fn is_over_masked(&self) -> bool {
        self.over_masked
    }

    /// It is a view, and not known to read no masked column.
    pub fn reads_hidden(&self) -> bool {
        self.reads_hidden
    }

    /// Nothing of the relation is hidden.
    pub fn is_clean(&self) -> bool {
        self.treatments.iter().all(|treatment| *treatment == Treatment::Clean)
    }

    /// Whether a column is hidden for what another relation is: no rule names it here.
    pub fn is_hidden_by_kin(&self, rules: &[ColumnRule]) -> bool {
        let own = |column: &str| strongest(rules, self.relation, &[], column).is_some();
        let mut columns = self.relation.columns.iter().zip(&self.treatments);
        columns.any(|(column, treatment)| *treatment != Treatment::Clean && !own(&column.name))
    }

    /// The treatment for an attribute; `None` when the catalog does not know it.
    pub fn attribute(&self, attnum: i16) -> Option<Treatment> {
        let index = self.relation.columns.iter().position(|column| column.attnum == attnum)?;
        Some(self.treatments[index])
    }

    /// The treatment for a column by its own name.
    pub fn named(&self, name: &str) -> Option<Treatment> {
        let index = self.relation.columns.iter().position(|column| column.name == name)?;
        Some(self.treatments[index])
    }

    /// The treatment for a column by its number.
    pub fn of(&self, attnum: i16) -> Option<Treatment> {
        let index = self.relation.columns.iter().position(|column| column.attnum == attnum)?;
        Some(self.treatments[index])
    }

    /// Whether a column that is hidden has this name.
    pub fn hides(&self, name: &str) -> bool {
        self.named(name).is_some_and(|treatment| treatment != Treatment::Clean)
    }
}

/// Whether all that a view reads, anywhere in it, are columns that are not hidden. A view that is
/// looked at already reads itself, and more of them than the limit cannot be told.
fn reads_nothing_hidden(
    rules: &[ColumnRule],
    catalog: &Catalog,
    view: &Relation,
    told: &mut HashMap<u32, bool>,
) -> bool {
    if let Some(known) = told.get(&view.oid) {
        return *known;
    }
    let Some(reads) = catalog.reads.get(&view.oid) else { return false };
    if told.len() >= limits::VIEWS_BELOW_MAX {
        return false;
    }
    told.insert(view.oid, false);
    let clean = reads.chunk_by(|one, other| one.0 == other.0).all(|columns| {
        let Some((oid, _)) = columns.first() else { return true };
        let Some(read) = catalog.relations.get(oid) else { return false };
        let Some(mask) = RelationMask::look(rules, catalog, read, told) else { return false };
        // 0 is the relation itself; below are ctid, xmin, tableoid.
        let clean = |attnum: i16| attnum <= 0 || mask.of(attnum) == Some(Treatment::Clean);
        columns.iter().all(|(_, attnum)| clean(*attnum))
    });
    told.insert(view.oid, clean);
    clean
}

/// The strongest operator of the rules on this column of the relation or of its origins.
fn strongest(
    rules: &[ColumnRule],
    relation: &Relation,
    origins: &[&Relation],
    column: &str,
) -> Option<Operator> {
    // The name first: it settles most columns, and a partitioned table has many origins.
    let named = rules.iter().filter(|rule| fits(&rule.pattern.column, column));
    let reaches = |rule: &&ColumnRule| {
        rule.pattern.is_on(relation, column)
            || origins.iter().any(|origin| {
                rule.pattern.is_on(origin, column)
                    && origin.columns.iter().any(|known| known.name == column)
            })
    };
    named.filter(reaches).map(|rule| rule.operator).max()
}

/// Whether values of this type hold rows of a relation that has a masked column.
pub(super) fn holds_masked_rows(rules: &[ColumnRule], catalog: &Catalog, type_oid: u32) -> bool {
    let held = catalog.row_types.get(&type_oid).map(Vec::as_slice).unwrap_or_default();
    held.iter().filter_map(|oid| catalog.relations.get(oid)).any(|relation| {
        // What is not known cannot be told clean.
        catalog.origins(relation).is_none_or(|origins| {
            let masked = |column: &super::catalog::Column| {
                strongest(rules, relation, &origins, &column.name).is_some()
            };
            relation.columns.iter().any(masked)
                || (relation.is_view()
                    && origins.iter().any(|origin| {
                        let own = |column: &super::catalog::Column| {
                            strongest(rules, origin, &[], &column.name).is_some()
                        };
                        origin.columns.iter().any(own)
                    }))
        })
    })
}

/// Whether a column is hidden for its type alone: another type shows what is in it.
pub(super) fn holds_rows(
    rules: &[ColumnRule],
    catalog: &Catalog,
    relation: &Relation,
    column: &str,
) -> bool {
    let of_type = |it: &super::catalog::Column| holds_masked_rows(rules, catalog, it.type_oid);
    let known = relation.columns.iter().find(|known| known.name == column);
    known.is_some_and(of_type)
        // What is not known cannot be told to be masked by its name.
        && catalog.origins(relation).is_none_or(|origins| {
            strongest(rules, relation, &origins, column).is_none()
        })
}

/// What weir hides from whoever has masks, beside the masks of the configuration: the texts of what
/// others run, with the values that they write. All sessions of a target have one role there, so
/// that PostgreSQL shows each of them to each (pgstatfuncs.c, `HAS_PGSTAT_PERMISSIONS`).
pub(super) fn texts_of_others() -> impl Iterator<Item = ColumnRule> {
    let patterns = TEXTS_OF_OTHERS.iter().map(|(schema, table)| format!("{schema}.{table}.query"));
    patterns.map(|pattern| ColumnRule::compile(&pattern, Operator::Nullify))
}

/// Relations that show such texts, in their column `query`.
const TEXTS_OF_OTHERS: [(&str, &str); 2] =
    [("pg_catalog", "pg_stat_activity"), ("*", "pg_stat_statements")];

/// Whether a relation that the catalog does not know may show such texts.
pub(super) fn shows_texts(name: &str) -> bool {
    TEXTS_OF_OTHERS.iter().any(|(_, known)| *known == name)
}

/// Statistics hold values of any column, and so does what shows them.
fn is_samples(relation: &Relation) -> bool {
    is_system(relation.oid) && SAMPLES.contains(&&*relation.name)
}

/// Relations of PostgreSQL that hold values of other relations.
pub(super) const SAMPLES: [&str; 6] = [
    "pg_stats",
    "pg_statistic",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_statistic_ext_data",
    "pg_largeobject",
];

/// Whether the relation, or one whose values it may show, computes this column from a masked one.
fn is_computed_from_masked(
    rules: &[ColumnRule],
    catalog: &Catalog,
    origins: &[&Relation],
    column: &super::catalog::Column,
) -> bool {
    origins.iter().any(|origin| {
        let mut from = catalog.computed_from(origin, &column.name);
        from.any(|name| strongest(rules, origin, origins, name).is_some())
    })
}

/// A table below has a column of this name and type.
fn is_proven(origins: &[&Relation], column: &super::catalog::Column) -> bool {
    let same = |known: &super::catalog::Column| {
        known.name == column.name && known.type_oid == column.type_oid
    };
    origins.iter().any(|origin| !origin.is_view() && origin.columns.iter().any(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(fits("*", "anything"));
        assert!(fits("ssn", "ssn"));
        assert!(!fits("ssn", "ssn2"));
        assert!(fits("*_no", "tax_no"));
        assert!(fits("a*b*c", "a-b-b-c"));
        assert!(!fits("a*b*c", "a-c"));
        assert!(!fits("ab*ba", "aba"));
        assert!(ColumnPattern::parse("a.b.c.d").is_err());
        assert!(ColumnPattern::parse("a..c").is_err());
        assert!(ColumnPattern::parse("").is_err());
        let quoted = ColumnPattern::parse("public.\"odd.name\".ssn").unwrap();
        assert_eq!(quoted.table, "odd.name");
        assert_eq!(ColumnPattern::parse("ssn"), ColumnPattern::parse("*.*.ssn"));
    }

    fn relation(oid: u32, name: &str, kind: u8, sources: &[u32], columns: &[&str]) -> Relation {
        Relation::of_texts((oid, name), kind, sources, columns)
    }

    fn check(catalog: &Catalog, oid: u32, expect: &[Treatment]) {
        let rules = [ColumnRule::compile("public.people.ssn", Operator::Partial)];
        let mask = RelationMask::build(&rules, catalog, &catalog.relations[&oid]).unwrap();
        assert_eq!(mask.treatments, expect, "{}", mask.relation.name);
    }

    #[test]
    fn rules_reach_through_views_and_inheritance() {
        use Treatment::{Clean, Masked, Unproven};
        let masked = Masked(Operator::Partial);
        let catalog = Catalog::new([
            relation(20_001, "people", b'p', &[], &["id", "ssn", "name"]),
            relation(20_002, "people_de", b'r', &[20_001], &["id", "ssn", "name", "extra"]),
            relation(20_003, "v", b'v', &[20_001], &["id", "ssn", "tax_no"]),
            relation(20_004, "vv", b'v', &[20_003], &["name", "tax_no"]),
            relation(20_005, "other", b'r', &[], &["ssn"]),
            relation(20_006, "harmless", b'v', &[20_005], &["anything"]),
        ]);
        check(&catalog, 20_001, &[Clean, masked, Clean]);
        check(&catalog, 20_002, &[Clean, masked, Clean, Clean]);
        check(&catalog, 20_003, &[Clean, masked, Unproven]);
        check(&catalog, 20_004, &[Clean, Unproven]);
        check(&catalog, 20_005, &[Clean]);
        check(&catalog, 20_006, &[Clean]);
    }

    #[test]
    fn a_column_of_the_row_type_of_a_masked_table_is_not_shown() {
        let rules = [ColumnRule::compile("public.people.ssn", Operator::Mask)];
        let mut holder = relation(20_002, "holder", b'r', &[], &["id", "rec"]);
        holder.columns[1].type_oid = 20_010;
        let mut catalog =
            Catalog::new([relation(20_001, "people", b'r', &[], &["id", "ssn"]), holder]);
        catalog.row_types.insert(20_010, vec![20_001]);
        let mask = RelationMask::build(&rules, &catalog, &catalog.relations[&20_002]).unwrap();
        assert_eq!(mask.treatments, [Treatment::Clean, Treatment::Unproven]);
    }

    #[test]
    fn a_column_that_is_computed_from_a_masked_one_is_not_shown() {
        use Treatment::{Clean, Masked, Unproven};
        let catalog = |parents: &[u32]| {
            let mut catalog = Catalog::new([
                relation(20_001, "people", b'r', parents, &["id", "ssn", "last_four", "twice"]),
                relation(20_002, "v", b'v', &[20_001], &["id", "last_four", "twice"]),
                relation(20_003, "parent", b'p', &[], &["last_four"]),
            ]);
            let generated = [(3, vec![2]), (4, vec![1])];
            catalog.generated.insert(20_001, generated.into_iter().collect());
            catalog
        };
        check(&catalog(&[]), 20_001, &[Clean, Masked(Operator::Partial), Unproven, Clean]);
        check(&catalog(&[]), 20_002, &[Clean, Unproven, Clean]);
        check(&catalog(&[]), 20_003, &[Clean]);
        check(&catalog(&[20_003]), 20_003, &[Unproven]);
    }

    #[test]
    fn a_view_that_reads_nothing_hidden_is_shown_whatever_its_columns_are_called() {
        use Treatment::{Clean, Unproven};
        let catalog = |reads: &[(u32, &[(u32, i16)])]| {
            let mut catalog = Catalog::new([
                relation(20_001, "people", b'r', &[], &["id", "ssn", "name"]),
                relation(20_002, "v", b'v', &[20_001], &["label", "n"]),
                relation(20_003, "vv", b'v', &[20_002], &["renamed"]),
            ]);
            let of = |(view, columns): &(u32, &[(u32, i16)])| (*view, columns.to_vec());
            catalog.reads.extend(reads.iter().map(of));
            catalog
        };
        let clean: &[(u32, &[(u32, i16)])] =
            &[(20_002, &[(20_001, 1), (20_001, 3)]), (20_003, &[(20_002, 1)])];
        check(&catalog(clean), 20_002, &[Clean, Clean]);
        check(&catalog(clean), 20_003, &[Clean]);
        // Nothing is known of the view below, or of this one.
        check(&catalog(&clean[1..]), 20_003, &[Unproven]);
        check(&catalog(&clean[..1]), 20_003, &[Unproven]);
        for hidden in [&[(20_001, 1), (20_001, 2)][..], &[(20_001, 9)], &[(20_009, 1)]] {
            let reads = catalog(&[(20_002, hidden), (20_003, &[(20_002, 1)])]);
            check(&reads, 20_002, &[Unproven, Unproven]);
            check(&reads, 20_003, &[Unproven]);
        }
        let counts = catalog(&[(20_002, &[(20_001, 0)])]);
        check(&counts, 20_002, &[Clean, Clean]);
        let circle = catalog(&[(20_002, &[(20_003, 1)]), (20_003, &[(20_002, 1)])]);
        check(&circle, 20_003, &[Unproven]);
        let mask = |catalog: &Catalog| {
            let rules = [ColumnRule::compile("public.people.ssn", Operator::Partial)];
            RelationMask::build(&rules, catalog, &catalog.relations[&20_002])
                .unwrap()
                .reads_hidden()
        };
        assert!(!mask(&catalog(clean)) && mask(&catalog(&[])));
    }

    #[test]
    fn a_view_that_runs_what_may_read_anything_is_not_shown() {
        use Treatment::{Clean, Unproven};
        let mut catalog = Catalog::new([
            relation(20_001, "other", b'r', &[], &["id", "note"]),
            relation(20_002, "v", b'v', &[20_001], &["note", "x"]),
            relation(20_003, "vv", b'v', &[20_002], &["y"]),
            relation(20_004, "nothing_below", b'v', &[], &["x"]),
        ]);
        catalog.reads.insert(20_003, vec![(20_002, 2)]);
        check(&catalog, 20_002, &[Clean, Clean]);
        catalog.unseen.extend([20_002, 20_004]);
        check(&catalog, 20_002, &[Clean, Unproven]);
        check(&catalog, 20_003, &[Unproven]);
        check(&catalog, 20_004, &[Unproven]);
        let mask = RelationMask::build(&[], &catalog, &catalog.relations[&20_004]).unwrap();
        assert!(mask.is_clean(), "nobody masks anything");
    }

    #[test]
    fn statistics_are_not_shown_where_a_column_is_masked() {
        use Treatment::{Clean, Unproven};
        let mut stats = relation(12_001, "pg_stats", b'v', &[], &["attname", "histogram_bounds"]);
        stats.columns[0].type_oid = types::NAME;
        stats.columns[1].type_oid = types::ANYARRAY;
        let mut view = relation(20_002, "seen", b'v', &[12_001], &["attname", "bounds"]);
        view.columns[0].type_oid = types::NAME;
        let catalog = Catalog::new([stats, view]);
        check(&catalog, 12_001, &[Clean, Unproven]);
        check(&catalog, 20_002, &[Clean, Unproven]);
        let mask = RelationMask::build(&[], &catalog, &catalog.relations[&12_001]).unwrap();
        assert!(mask.is_clean());
    }

    #[test]
    fn a_rule_on_a_partition_reaches_scans_of_its_parent() {
        let rules = [ColumnRule::compile("public.child.ssn", Operator::Mask)];
        let catalog = Catalog::new([
            relation(20_001, "parent", b'p', &[], &["ssn"]),
            relation(20_002, "child", b'r', &[20_001], &["ssn"]),
        ]);
        let mask = RelationMask::build(&rules, &catalog, &catalog.relations[&20_001]).unwrap();
        assert_eq!(mask.treatments, [Treatment::Masked(Operator::Mask)]);
    }

    #[test]
    fn the_stronger_rule_wins() {
        let rules = [
            ColumnRule::compile("*.*.ssn", Operator::Nullify),
            ColumnRule::compile("public.people.ssn", Operator::Partial),
        ];
        let catalog = Catalog::new([relation(20_001, "people", b'r', &[], &["ssn"])]);
        let mask = RelationMask::build(&rules, &catalog, &catalog.relations[&20_001]).unwrap();
        assert_eq!(mask.treatments, [Treatment::Masked(Operator::Nullify)]);
    }
}
