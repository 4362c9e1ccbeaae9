//! The cost of each stage by itself: nanoseconds per operation and megabytes per second.
//!
//! In: the table of `stages`. Out: one line per stage. Never: a time for a wrong answer; every
//! pass returns a number that must be the one the table expects.

mod corpus;
mod stages;

use std::time::{Duration, Instant};

use stages::{STAGES, Work};

type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
weir-bench micro [--test] [NAME...]   all stages, or those whose name holds NAME
  --test   each once, to see that it is right; no times";

/// Passes are repeated for at least this long, `SAMPLES` times.
const SAMPLE_TIME: Duration = Duration::from_millis(200);
const SAMPLES: usize = 5;

/// Runs the stages.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut test = false;
    let mut names = vec![];
    for argument in arguments {
        match argument.as_str() {
            "--test" => test = true,
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            flag if flag.starts_with('-') => return Err(format!("{flag}: no such flag\n{USAGE}")),
            name => names.push(name.to_owned()),
        }
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| name.contains(n.as_str()));
    let mut count = 0;
    for stage in STAGES.iter().filter(|stage| wanted(stage.name)) {
        let mut work = (stage.prepare)();
        pass(stage.name, &mut work)?;
        count += 1;
        if test {
            println!("{}: right", stage.name);
            continue;
        }
        if count == 1 {
            println!("{:16} {:>10} {:>10} {:>10}   what", "stage", "ns/op", "least", "MB/s");
        }
        let mut samples =
            (0..SAMPLES).map(|_| sample(stage.name, &mut work)).collect::<Result<Vec<f64>>>()?;
        samples.sort_by(f64::total_cmp);
        let (median, least) = (samples[SAMPLES / 2], samples[0]);
        let megabytes = work.bytes as f64 / work.operations as f64 / median * 1e3;
        println!("{:16} {median:10.1} {least:10.1} {megabytes:10.0}   {}", stage.name, stage.about);
    }
    if count == 0 {
        return Err(format!("no stage is named so\n{USAGE}"));
    }
    Ok(())
}

/// Nanoseconds per operation over one sample.
fn sample(name: &str, work: &mut Work) -> Result<f64> {
    let start = Instant::now();
    let mut passes = 0;
    while start.elapsed() < SAMPLE_TIME {
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
        let mut work = Work { operations: 1, bytes: 0, expect: 2, pass: Box::new(|| 1) };
        assert!(pass("wrong", &mut work).is_err());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(run(&["nothing-of-the-kind".to_owned()]).is_err());
    }
}
