//! The gate: instructions per operation of every stage, beside the counts that were accepted.
//!
//! In: valgrind, the table. Out: one line per stage; a failure that names what grew. Never: a count
//! of an unoptimised build, or one compared with a count of another compiler, C library, valgrind
//! or vector unit: those differ without any change of weir.
//!
//! valgrind counts in every virtual machine, and other load does not move its counts. Each stage
//! runs in a process of its own, so that none inherits the heap of another one, and is counted
//! only inside `counted_passes`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{OPERATIONS, Result, chosen};

const USAGE: &str = "\
weir-bench instructions [flags] [NAME...]   all stages, or those whose name holds NAME
  --accept       the counts of now become the ones to compare with
  --percent N    growth that fails, and shrinking that is told (default 3)
  --table FILE   the accepted counts (default bench/instructions.tsv)
  --passes N     passes that are counted (default 1)";

const TABLE: &str = "bench/instructions.tsv";
const HEADING: &str = "stage\tinstructions_per_operation\tcounted_with";
const PERCENT: f64 = 3.0;
/// A profile says less with every edit, and would make the counts of what was edited grow.
const COMMAND: &str = "cargo run --release -p weir-bench --no-default-features --features micro -- \
                       instructions";

struct Flags {
    accept: bool,
    percent: f64,
    table: PathBuf,
    passes: u64,
    names: Vec<String>,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Count {
    stage: String,
    per_operation: f64,
    /// Compiler and whatever else counts depend on.
    with: String,
}

/// What a count is, beside the accepted one.
#[derive(Debug, PartialEq)]
enum Comparison {
    Same,
    Grew,
    Shrank,
    /// Counted with other tools: says nothing.
    Other,
    /// Nothing was accepted for this stage.
    New,
}

/// Counts, and compares or accepts.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(flags) = parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    if cfg!(debug_assertions) {
        return Err(format!("this build is not optimised, its counts mean nothing: {COMMAND}"));
    }
    if cfg!(feature = "profile") {
        return Err(format!("this build follows a profile, its counts move with that: {COMMAND}"));
    }
    let accepted = if flags.table.exists() { read_table(&flags.table)? } else { vec![] };
    let names: Vec<&str> = chosen(&flags.names)?.iter().map(|stage| stage.name).collect();
    let counts = count_all(&names, flags.passes)?;
    if flags.accept {
        for count in &counts {
            println!("{:16} {:>14.1}   accepted", count.stage, count.per_operation);
        }
        let kept = accepted.into_iter().filter(|old| is_stage(&old.stage));
        let table = merged(kept.collect(), counts);
        return write(&flags.table, &table);
    }
    let gone = accepted.iter().filter(|old| !is_stage(&old.stage));
    let mut failures: Vec<String> =
        gone.map(|old| format!("{} is in the table and no stage", old.stage)).collect();
    failures.extend(judge_all(&counts, &accepted, flags.percent));
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nIf it is worth it, accept it and say why in the commit:\n  {COMMAND} --accept",
        failures.join("\n")
    ))
}

fn parse(arguments: &[String]) -> Result<Option<Flags>> {
    let table = TABLE.into();
    let mut flags = Flags { accept: false, percent: PERCENT, table, passes: 1, names: vec![] };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value =
            || rest.next().cloned().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        let wrong = |text: &str| format!("{argument} {text}: expected a number above 0");
        match argument.as_str() {
            "--accept" => flags.accept = true,
            "--percent" => {
                let text = value()?;
                let percent = text.parse().ok().filter(|percent| *percent > 0.0);
                flags.percent = percent.ok_or_else(|| wrong(&text))?;
            }
            "--passes" => {
                let text = value()?;
                let passes = text.parse().ok().filter(|passes| *passes > 0);
                flags.passes = passes.ok_or_else(|| wrong(&text))?;
            }
            "--table" => flags.table = value()?.into(),
            "--help" | "-h" => return Ok(None),
            flag if flag.starts_with('-') => return Err(format!("{flag}: no such flag\n{USAGE}")),
            name => flags.names.push(name.to_owned()),
        }
    }
    Ok(Some(flags))
}

// --- counting -----------------------------------------------------------------------------------

/// Counts the stages, as many at a time as there are cores: counts do not feel each other.
fn count_all(names: &[&str], passes: u64) -> Result<Vec<Count>> {
    let with = counted_with()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, f64)>> {
        let mut counts = vec![];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(index) else { return Ok(counts) };
            counts.push((index, count(name, passes)?));
        }
    };
    let mut counts = vec![];
    std::thread::scope(|scope| -> Result<()> {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            counts.extend(thread.join().map_err(|_| "a counting thread panicked".to_owned())??);
        }
        Ok(())
    })?;
    counts.sort_by_key(|(index, _)| *index);
    let one = |(index, per_operation): (usize, f64)| Count {
        stage: names[index].to_owned(),
        per_operation,
        with: with.clone(),
    };
    Ok(counts.into_iter().map(one).collect())
}

/// Instructions per operation of one stage.
fn count(name: &str, passes: u64) -> Result<f64> {
    let own = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let file = format!("weir-bench-{}-{name}.callgrind", std::process::id());
    let file = std::env::temp_dir().join(file);
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--toggle-collect=*counted_passes*"]);
    // Lines of the source are not asked for; without them the run starts sooner.
    command.args(["--dump-line=no", "--read-inline-info=no"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(own).args(["micro", "--passes", &passes.to_string(), name]);
    let output = command.output().map_err(|e| format!("valgrind: {e}; is it installed?"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let profile = std::fs::read_to_string(&file).unwrap_or_default();
    // It lies among the temporary files; what cannot be removed now is removed there later.
    let _ = std::fs::remove_file(&file);
    let operations = number_after(&said, OPERATIONS);
    let instructions = number_after(&profile, "totals: ").filter(|count| *count > 0.0);
    match (output.status.success(), operations, instructions) {
        (true, Some(operations), Some(instructions)) => Ok(instructions / operations),
        _ => Err(format!("{name} was not counted:\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// The number behind `start`, in the only line that starts so.
fn number_after(text: &str, start: &str) -> Option<f64> {
    let mut found = text.lines().filter_map(|line| line.strip_prefix(start)?.trim().parse().ok());
    found.next().filter(|_| found.next().is_none())
}

/// All that a count depends on and weir is not.
fn counted_with() -> Result<String> {
    let valgrind = first_line("valgrind", &["--version"])?;
    let libc = first_line("getconf", &["GNU_LIBC_VERSION"])?;
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx2") { "avx2" } else { "sse2" };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "default vectors";
    let arch = std::env::consts::ARCH;
    let (rustc, cc) = (env!("WEIR_BENCH_RUSTC"), env!("WEIR_BENCH_CC"));
    Ok(format!("rustc {rustc}, cc {cc}, {libc}, {valgrind}, {arch} {vectors}"))
}

fn first_line(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|e| format!("{program}: {e}; is it installed?"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.trim().to_owned()),
        _ => Err(format!("{program} {} says nothing", arguments.join(" "))),
    }
}

// --- comparing ----------------------------------------------------------------------------------

/// Prints a line per stage; gives what has to be looked at.
fn judge_all(counts: &[Count], accepted: &[Count], percent: f64) -> Vec<String> {
    let mut failures = vec![];
    let mut others = vec![];
    println!("{:16} {:>14} {:>14} {:>8}", "stage", "instr/op", "accepted", "change");
    for count in counts {
        let old = accepted.iter().find(|old| old.stage == count.stage);
        let verdict = judge(count, old, percent);
        let before = old.map_or_else(|| "-".to_owned(), |old| format!("{:.1}", old.per_operation));
        let change = old.map_or(0.0, |old| change_percent(count, old));
        let (change, word) = match verdict {
            Comparison::Same => (format!("{change:+.1} %"), ""),
            Comparison::Grew => (format!("{change:+.1} %"), "GREW"),
            Comparison::Shrank => (format!("{change:+.1} %"), "shrank: --accept keeps it so"),
            Comparison::Other => ("-".to_owned(), "not compared"),
            Comparison::New => ("-".to_owned(), "no accepted count"),
        };
        let line = format!(
            "{:16} {:14.1} {before:>14} {change:>8}  {word}",
            count.stage, count.per_operation
        );
        println!("{}", line.trim_end());
        match (verdict, old) {
            (Comparison::Grew, Some(old)) => failures.push(format!(
                "{} grew from {:.1} to {:.1} instructions per operation ({change})",
                count.stage, old.per_operation, count.per_operation
            )),
            (Comparison::New, _) => failures.push(format!("{} has no accepted count", count.stage)),
            (Comparison::Other, Some(old)) if !others.contains(&&old.with) => {
                others.push(&old.with)
            }
            _ => {}
        }
    }
    for other in others {
        println!(
            "NOT COMPARED: the table was counted with\n  {other}\nand this is\n  {}\n\
             --accept here makes the table comparable here.",
            counts.first().map_or("", |count| &count.with)
        );
    }
    failures
}

fn judge(count: &Count, old: Option<&Count>, percent: f64) -> Comparison {
    let Some(old) = old else { return Comparison::New };
    if old.with != count.with {
        return Comparison::Other;
    }
    match change_percent(count, old) {
        change if change > percent => Comparison::Grew,
        change if change < -percent => Comparison::Shrank,
        _ => Comparison::Same,
    }
}

fn change_percent(count: &Count, old: &Count) -> f64 {
    100.0 * (count.per_operation / old.per_operation - 1.0)
}

fn is_stage(name: &str) -> bool {
    super::STAGES.iter().any(|stage| stage.name == name)
}

// --- the table ----------------------------------------------------------------------------------

fn read_table(path: &Path) -> Result<Vec<Count>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse_table(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse_table(text: &str) -> Result<Vec<Count>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADING) {
        return Err(format!("its first line is not {HEADING:?}"));
    }
    let count = |line: &str| {
        let mut fields = line.split('\t');
        let (stage, number, with) = (fields.next()?, fields.next()?, fields.next()?);
        let per_operation = number.parse().ok().filter(|number| *number > 0.0)?;
        let whole = fields.next().is_none();
        whole.then(|| Count { stage: stage.to_owned(), per_operation, with: with.to_owned() })
    };
    lines.map(|line| count(line).ok_or_else(|| format!("not a line of it: {line:?}"))).collect()
}

/// The old table with these counts in it, in the order of the stages.
fn merged(old: Vec<Count>, new: Vec<Count>) -> String {
    let mut table: Vec<Count> = old;
    table.retain(|old| new.iter().all(|count| count.stage != old.stage));
    table.extend(new);
    table.sort_by_key(|c| super::STAGES.iter().position(|stage| stage.name == c.stage));
    let mut text = format!("{HEADING}\n");
    for Count { stage, per_operation, with } in table {
        let _ = writeln!(text, "{stage}\t{per_operation:.1}\t{with}");
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(stage: &str, per_operation: f64, with: &str) -> Count {
        Count { stage: stage.to_owned(), per_operation, with: with.to_owned() }
    }

    #[test]
    fn growth_fails_and_shrinking_does_not() {
        let old = [count("seal", 100.0, "x")];
        for (now, verdict, fails) in [
            (102.9, Comparison::Same, 0),
            (103.1, Comparison::Grew, 1),
            (97.1, Comparison::Same, 0),
            (96.9, Comparison::Shrank, 0),
        ] {
            let now = [count("seal", now, "x")];
            assert_eq!(judge(&now[0], Some(&old[0]), 3.0), verdict);
            assert_eq!(judge_all(&now, &old, 3.0).len(), fails);
        }
    }

    #[test]
    fn counts_of_other_tools_are_not_compared() {
        let (old, now) = ([count("seal", 100.0, "x")], [count("seal", 500.0, "y")]);
        assert_eq!(judge(&now[0], Some(&old[0]), 3.0), Comparison::Other);
        assert!(judge_all(&now, &old, 3.0).is_empty());
    }

    #[test]
    fn a_stage_without_a_count_fails() {
        let failures = judge_all(&[count("seal", 1.0, "x")], &[], 3.0);
        assert_eq!(failures, ["seal has no accepted count"]);
    }

    #[test]
    fn accepting_one_stage_keeps_the_others() {
        let old = vec![count("login", 5.0, "x"), count("seal", 100.0, "x")];
        let text = merged(old, vec![count("frame-decode", 7.25, "y"), count("seal", 90.0, "y")]);
        let table = parse_table(&text).unwrap();
        let names: Vec<_> = table.iter().map(|c| (c.stage.as_str(), c.per_operation)).collect();
        assert_eq!(names, [("login", 5.0), ("frame-decode", 7.2), ("seal", 90.0)]);
        assert_eq!(table[0].with, "x");
    }

    #[test]
    fn a_table_that_is_none_is_refused() {
        assert!(parse_table("").is_err());
        assert!(parse_table(&format!("{HEADING}\nseal\t0\tx\n")).is_err());
        assert!(parse_table(&format!("{HEADING}\nseal\t1\n")).is_err());
    }

    #[test]
    fn a_total_that_stands_twice_is_no_total() {
        assert_eq!(number_after("a\ntotals: 12\n", "totals: "), Some(12.0));
        assert_eq!(number_after("totals: 1\ntotals: 2\n", "totals: "), None);
        assert_eq!(number_after("", "totals: "), None);
    }
}
