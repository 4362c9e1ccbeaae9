//! What is sent: statements with weights and parameters, and how they are put on the wire.
//!
//! In: a statement or a mix file (TOML). Out: bytes of requests. Never: the time.
//!
//! ```toml
//! [[statement]]
//! name = "read"
//! weight = 9
//! text = "SELECT abalance FROM pgbench_accounts WHERE aid = $1"
//! parameters = ["random 1 100000"]
//!
//! [[statement]]
//! name = "load"
//! text = "COPY landing FROM STDIN"
//! copy_in = { line = "1\tx", lines = 1000 }
//! ```

use serde::Deserialize;

use crate::schedule::Random;
use crate::wire;

/// How a statement travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One Query message.
    Simple,
    /// Parse, Bind, Describe, Execute, Sync, each time.
    Extended,
    /// Parse once per connection; then Bind, Describe, Execute, Sync.
    Prepared,
    /// As prepared, several outstanding on one connection.
    Pipelined,
}

impl Mode {
    /// The name in flags and results.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Simple => "simple",
            Mode::Extended => "extended",
            Mode::Prepared => "prepared",
            Mode::Pipelined => "pipelined",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Mode> {
        [Mode::Simple, Mode::Extended, Mode::Prepared, Mode::Pipelined]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// A value that differs from request to request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Random(i64, i64),
    Fixed(String),
}

/// One statement of the mix.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Name in the results.
    pub name: String,
    text: String,
    mode: Mode,
    values: Vec<Value>,
    /// CopyData and CopyDone, sent when the server asks for them.
    pub copy_in: Vec<u8>,
}

/// All statements of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of the file.
    pub statements: Vec<Statement>,
    /// Running sums of the weights.
    bounds: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixFile {
    statement: Vec<MixStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixStatement {
    name: Option<String>,
    #[serde(default = "one")]
    weight: f64,
    text: String,
    mode: Option<Mode>,
    #[serde(default)]
    parameters: Vec<String>,
    copy_in: Option<CopyIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyIn {
    line: String,
    lines: u32,
}

const fn one() -> f64 {
    1.0
}

impl Plan {
    /// One statement without parameters.
    pub fn single(text: &str, mode: Mode) -> Plan {
        let statement = Statement {
            name: "statement".to_owned(),
            text: text.to_owned(),
            mode: possible(text, mode),
            values: vec![],
            copy_in: vec![],
        };
        Plan { statements: vec![statement], bounds: vec![1.0] }
    }

    /// A mix file; `mode` is for statements that name none.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(text: &str, mode: Mode) -> Result<Plan, String> {
        let file: MixFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut plan = Plan { statements: vec![], bounds: vec![] };
        let mut sum = 0.0;
        for (index, given) in file.statement.into_iter().enumerate() {
            if !given.weight.is_finite() || given.weight <= 0.0 {
                return Err(format!("statement {index}: the weight must be above 0"));
            }
            sum += given.weight;
            plan.bounds.push(sum);
            let values: Result<_, String> = given.parameters.iter().map(|p| value(p)).collect();
            plan.statements.push(Statement {
                name: given.name.unwrap_or_else(|| format!("statement {index}")),
                mode: possible(&given.text, given.mode.unwrap_or(mode)),
                values: values?,
                copy_in: given.copy_in.map_or_else(Vec::new, |copy| copy_in(&copy)),
                text: given.text,
            });
        }
        if plan.statements.is_empty() {
            return Err("the mix holds no [[statement]]".to_owned());
        }
        Ok(plan)
    }

    /// Which statement comes next.
    pub fn choose(&self, random: &mut Random) -> usize {
        let Some(last) = self.bounds.last().filter(|_| self.bounds.len() > 1) else { return 0 };
        let point = random.unit() * last;
        self.bounds.partition_point(|bound| *bound <= point).min(self.bounds.len() - 1)
    }

    /// What a connection sends once, after its login; `false` when that is nothing.
    pub fn prepare(&self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        for (index, statement) in self.statements.iter().enumerate() {
            if matches!(statement.mode, Mode::Prepared | Mode::Pipelined) {
                wire::parse(out, &statement_name(index), &statement.text);
            }
        }
        if out.len() > before {
            wire::sync(out);
        }
        out.len() > before
    }

    /// One request of this statement; its answer ends with one ReadyForQuery.
    pub fn request(&self, index: usize, random: &mut Random, out: &mut Vec<u8>) {
        let statement = &self.statements[index];
        let values: Vec<String> = statement.values.iter().map(|v| v.draw(random)).collect();
        let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
        match statement.mode {
            Mode::Simple => wire::query(out, &statement.with_values(&borrowed)),
            Mode::Extended => {
                wire::parse(out, "", &statement.text);
                bind_and_run(out, "", &borrowed);
            }
            Mode::Prepared | Mode::Pipelined => {
                bind_and_run(out, &statement_name(index), &borrowed);
            }
        }
    }
}

impl Statement {
    /// The text with its `$1`, `$2` replaced: highest first, so that `$1` leaves `$10` alone.
    fn with_values(&self, values: &[&str]) -> String {
        let mut text = self.text.clone();
        for (index, value) in values.iter().enumerate().rev() {
            let quoted = match self.values.get(index) {
                Some(Value::Random(..)) => (*value).to_owned(),
                _ => format!("'{}'", value.replace('\'', "''")),
            };
            text = text.replace(&format!("${}", index + 1), &quoted);
        }
        text
    }
}

impl Value {
    fn draw(&self, random: &mut Random) -> String {
        match self {
            Value::Random(low, high) => random.between(*low, *high).to_string(),
            Value::Fixed(text) => text.clone(),
        }
    }
}

/// What libpq sends for PQsendQueryPrepared.
fn bind_and_run(out: &mut Vec<u8>, name: &str, values: &[&str]) {
    wire::bind(out, name, values);
    wire::describe(out);
    wire::execute(out);
    wire::sync(out);
}

fn statement_name(index: usize) -> String {
    format!("s{index}")
}

/// COPY cannot be prepared in a useful way.
fn possible(text: &str, mode: Mode) -> Mode {
    let copies = text.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("copy"));
    if copies { Mode::Simple } else { mode }
}

fn value(text: &str) -> Result<Value, String> {
    let Some(range) = text.strip_prefix("random ") else { return Ok(Value::Fixed(text.into())) };
    let bounds: Option<Vec<i64>> = range.split_whitespace().map(|n| n.parse().ok()).collect();
    match bounds.as_deref() {
        Some(&[low, high]) if low <= high => Ok(Value::Random(low, high)),
        _ => Err(format!("{text}: expected `random LOW HIGH`")),
    }
}

fn copy_in(copy: &CopyIn) -> Vec<u8> {
    let mut out = vec![];
    for _ in 0..copy.lines {
        wire::message(&mut out, b'd', |out| {
            out.extend_from_slice(copy.line.as_bytes());
            out.push(b'\n');
        });
    }
    wire::message(&mut out, b'c', |_| {});
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: &str = r#"
        [[statement]]
        name = "read"
        weight = 3
        text = "SELECT $1, $10, $2"
        parameters = ["random 5 5", "it's", "", "", "", "", "", "", "", "ten"]
        mode = "simple"
        [[statement]]
        text = "copy t FROM STDIN"
        copy_in = { line = "1", lines = 2 }
    "#;

    #[test]
    fn weights_parameters_and_copy() {
        let plan = Plan::parse(MIX, Mode::Prepared).unwrap();
        let mut random = Random::new(3);
        let reads = (0..4000).filter(|_| plan.choose(&mut random) == 0).count();
        assert!((2850..3150).contains(&reads), "{reads}");
        let mut out = vec![];
        plan.request(0, &mut random, &mut out);
        assert_eq!(&out[5..], b"SELECT 5, 'ten', 'it''s'\0");
        assert_eq!(plan.statements[1].mode, Mode::Simple, "COPY is never prepared");
        assert_eq!(plan.statements[1].copy_in, b"d\0\0\0\x061\nd\0\0\0\x061\nc\0\0\0\x04");
        assert!(!plan.prepare(&mut vec![]));
    }

    #[test]
    fn a_prepared_request_has_no_text() {
        let plan = Plan::single("SELECT 1", Mode::Prepared);
        let mut out = vec![];
        assert!(plan.prepare(&mut out));
        assert!(out.windows(8).any(|w| w == b"SELECT 1"));
        out.clear();
        plan.request(0, &mut Random::new(0), &mut out);
        assert!(!out.windows(8).any(|w| w == b"SELECT 1"));
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        for (mix, says) in [
            ("", "statement"),
            ("[[statement]]\ntext = 'x'\nweight = 0", "weight"),
            ("[[statement]]\ntext = 'x'\nparameters = ['random 9 1']", "random LOW HIGH"),
            ("[[statement]]\ntxt = 'x'", "txt"),
        ] {
            let error = Plan::parse(mix, Mode::Simple).unwrap_err();
            assert!(error.contains(says), "{mix}: {error}");
        }
    }
}
