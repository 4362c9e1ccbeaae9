//! The build script: has a release build of weir compiled with a profile of weir under load.
//!
//! In: `appliance/rustc-VERSION.profdata`, which `appliance/profile` makes. Out: arguments for
//! rustc, which `.cargo/rustc` adds, since cargo lets no build script give a flag of this kind.
//! Never: a build that fails for want of a profile. One without says so.
//!
//! A profile names functions with a hash of the compiler and of the features, so each build of
//! rustc has its own. A function that was edited since is compiled as if there were none.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    // A file that is not there would count as changed each time: `appliance/profile` touches this.
    println!("cargo::rerun-if-changed=appliance/profile.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_WRAPPER");
    let wanted = variable("OPT_LEVEL") == "3" && env::var_os("CARGO_FEATURE_PROFILE").is_some();
    if !wanted {
        return;
    }
    let rustc = rustc_version();
    let profile = format!("{}/appliance/{rustc}.profdata", variable("CARGO_MANIFEST_DIR"));
    if !Path::new(&profile).exists() {
        warn(&format!("appliance/profile makes one for {rustc}"));
        return;
    }
    println!("cargo::rerun-if-changed={profile}");
    if !variable("RUSTC_WRAPPER").ends_with(".cargo/rustc") {
        warn("RUSTC_WRAPPER is another one than .cargo/rustc");
        return;
    }
    let arguments = format!("{}/arguments", variable("OUT_DIR"));
    // That an edited function has no profile is no news to whoever edited it.
    let lines = format!("-Cprofile-use={profile}\n-Cllvm-args=-no-pgo-warn-mismatch\n");
    fs::write(&arguments, lines).expect("cargo made the folder");
    println!("cargo::rustc-env=WEIR_RUSTC_ARGUMENTS={arguments}");
}

fn warn(why: &str) {
    println!("cargo::warning=compiled without a profile, so slower: {why}");
}

/// A variable that cargo sets, or nothing.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// `rustc-1.95.0-0123abcde-2026-04-14` of `rustc 1.95.0 (0123abcde 2026-04-14)`.
fn rustc_version() -> String {
    let output = Command::new(variable("RUSTC")).arg("--version").output();
    let words = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    words.unwrap_or_default().trim().replace(['(', ')'], "").replace(' ', "-")
}
