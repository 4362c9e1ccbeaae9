//! Tells the program which compilers made it: counts of instructions depend on them.
//!
//! In: `RUSTC`, `CC`. Out: `WEIR_BENCH_RUSTC`, `WEIR_BENCH_CC`. Never: a guess.

use std::process::Command;

fn main() {
    // Cargo runs this again by itself when rustc changes.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // PostgreSQL's parser is C.
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    // `rustc 1.95.0 (59807616e 2026-04-14)`, `cc (Debian 12.2.0-14) 12.2.0`.
    println!("cargo:rustc-env=WEIR_BENCH_RUSTC={}", version(&rustc, |mut line| line.nth(1)));
    println!("cargo:rustc-env=WEIR_BENCH_CC={}", version(&cc, |line| line.last()));
}

fn version(program: &str, pick: fn(std::str::SplitWhitespace<'_>) -> Option<&str>) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let word =
        text.ok().and_then(|text| pick(text.lines().next()?.split_whitespace()).map(str::to_owned));
    word.unwrap_or_else(|| "unknown".to_owned())
}
