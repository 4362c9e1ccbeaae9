//! The cost of each stage by itself: nanoseconds per operation and megabytes per second.
//!
//! In: the table of `stages`. Out: one line per stage; for `instructions`, passes to count.
//! Never: a time for a wrong answer; every pass returns a number that must be the one the table
//! expects.

mod corpus;
mod disk;
pub mod instructions;
mod session;
mod stages;

use std::time::{Duration, Instant};

use stages::{STAGES, Stage, Work};

type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
weir-bench micro [--test | --passes N] [NAME...]   all stages, or those whose name holds NAME
  --test       each once, to see that it is right; no times
  --passes N   each once and then N times, for whatever counts from outside; no times";

/// Passes are repeated for at least this long, `SAMPLES` times.
const SAMPLE_TIME: Duration = Duration::from_millis(200);
const SAMPLES: usize = 5;

struct Flags {
    test: bool,
    passes: Option<u64>,
    names: Vec<String>,
}

/// Runs the stages.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(flags) = parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    let stages = chosen(&flags.names)?;
    if !flags.test && flags.passes.is_none() {
        println!("{:16} {:>10} {:>10} {:>10}   what", "stage", "ns/op", "least", "MB/s");
    }
    for stage in stages {
        match flags.passes {
            _ if flags.test => {
                pass(stage.name, &mut (stage.prepare)())?;
                println!("{}: right", stage.name);
            }
            Some(passes) => {
                let mut work = (stage.prepare)();
                if passes >= work.passes_max {
                    return Err(format!("{}: {} passes at most", stage.name, work.passes_max - 1));
                }
                // What happens once, tables and buffers, is no part of an operation.
                pass(stage.name, &mut work)?;
                counted_passes(stage.name, &mut work, passes)?;
                println!("{OPERATIONS}{}", passes * work.operations);
            }
            None => time(stage)?,
        }
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Option<Flags>> {
    let mut flags = Flags { test: false, passes: None, names: vec![] };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--test" => flags.test = true,
            "--passes" => {
                let text = rest.next().ok_or_else(|| format!("--passes needs a value\n{USAGE}"))?;
                let passes = text.parse().ok().filter(|passes| *passes > 0);
                let wrong = || format!("--passes {text}: expected a number above 0");
                flags.passes = Some(passes.ok_or_else(wrong)?);
            }
            "--help" | "-h" => return Ok(None),
            flag if flag.starts_with('-') => return Err(format!("{flag}: no such flag\n{USAGE}")),
            name => flags.names.push(name.to_owned()),
        }
    }
    if flags.test && flags.passes.is_some() {
        return Err(format!("either --test or --passes\n{USAGE}"));
    }
    Ok(Some(flags))
}

/// The stages whose name holds one of these; all without any.
fn chosen(names: &[String]) -> Result<Vec<&'static Stage>> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| name.contains(n.as_str()));
    let found: Vec<_> = STAGES.iter().filter(|stage| wanted(stage.name)).collect();
    if found.is_empty() {
        return Err(format!("no stage is named so\n{USAGE}"));
    }
    Ok(found)
}

/// What a run with `--passes` prints before the number of its operations.
const OPERATIONS: &str = "operations: ";

/// What `instructions` counts: valgrind collects only inside the function of this name, so it is
/// never inlined, and there is no other whose name holds its name, not even a closure.
#[inline(never)]
fn counted_passes(name: &str, work: &mut Work, passes: u64) -> Result<()> {
    let mut done = 0;
    while done < passes {
        pass(name, work)?;
        done += 1;
    }
    Ok(())
}

/// Prints the line of one stage.
fn time(stage: &Stage) -> Result<()> {
    let mut work = (stage.prepare)();
    pass(stage.name, &mut work)?;
    let mut samples = vec![];
    while samples.len() < SAMPLES {
        if work.passes_max != u64::MAX {
            work = (stage.prepare)();
        }
        samples.push(sample(stage.name, &mut work)?);
    }
    samples.sort_by(f64::total_cmp);
    let (median, least) = (samples[SAMPLES / 2], samples[0]);
    let megabytes = match work.bytes {
        0 => "-".to_owned(),
        bytes => format!("{:.0}", bytes as f64 / work.operations as f64 / median * 1e3),
    };
    println!("{:16} {median:10.1} {least:10.1} {megabytes:>10}   {}", stage.name, stage.about);
    Ok(())
}

/// Nanoseconds per operation over one sample.
fn sample(name: &str, work: &mut Work) -> Result<f64> {
    let start = Instant::now();
    let mut passes = 0;
    while start.elapsed() < SAMPLE_TIME && passes < work.passes_max {
        pass(name, work)?;
        passes += 1;
    }
    Ok(start.elapsed().as_nanos() as f64 / (passes * work.operations) as f64)
}

fn pass(name: &str, work: &mut Work) -> Result<()> {
    let found = (work.pass)();
    if found == work.expect {
        return Ok(());
    }
    Err(format!("{name}: found {found}, expected {}; its time would mean nothing", work.expect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_right() {
        run(&["--test".to_owned()]).unwrap();
    }

    #[test]
    fn a_wrong_answer_has_no_time() {
        let mut work = Work::new((1, 0), 2, || 1);
        assert!(pass("wrong", &mut work).is_err());
        assert!(counted_passes("wrong", &mut work, 1).is_err());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(run(&["nothing-of-the-kind".to_owned()]).is_err());
        assert!(run(&["--passes".to_owned(), "0".to_owned()]).is_err());
    }
}
