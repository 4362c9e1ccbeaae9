//! Who may import what: the direction of the flow, the purity of the stages, clocks, unsafe code.

use super::Violation;
use super::lexer::{code_only, is_test_file, paths, without_tests};

/// What each module of the crate may import from the others, as path prefixes. A stage sees the
/// stages before it; the few types that it takes from later ones are named one by one.
const DIRECTION: [(&str, &[&str]); 17] = [
    ("clock", &[]),
    ("hex", &[]),
    ("limits", &[]),
    // A fault says on which side it happened.
    ("fault", &["wire::Side"]),
    ("wire", &["limits", "fault"]),
    ("identify", &["limits", "fault", "wire", "config::settings"]),
    // An approval is a row and has a row's id.
    ("decide", &["limits", "fault", "wire", "identify", "record::SessionId", "config::settings"]),
    ("record", &["limits", "fault", "wire", "identify", "decide", "config::settings"]),
    ("mask", &["limits", "fault", "wire", "identify", "decide", "record", "config::settings"]),
    (
        "forward",
        &["limits", "fault", "wire", "identify", "decide", "record", "mask", "config::settings"],
    ),
    (
        "session",
        &[
            "limits",
            "fault",
            "wire",
            "identify",
            "decide",
            "record",
            "mask",
            "forward",
            "config::settings",
            // Counters that a session writes; the module knows of no other.
            "metrics",
        ],
    ),
    ("accept", &["limits", "fault", "wire", "identify", "session", "forward", "config::settings"]),
    (
        "shard",
        &[
            "limits",
            "fault",
            "wire",
            "identify",
            "decide",
            "record",
            "mask",
            "forward",
            "session",
            "accept",
            "config::settings",
            "metrics",
        ],
    ),
    ("metrics", &["limits", "fault", "wire"]),
    ("config", &["limits", "fault", "wire", "identify", "decide", "mask"]),
    // The control plane sees everything, and reaches the shards by their mailboxes alone.
    (
        "admin",
        &[
            "limits",
            "fault",
            "wire",
            "identify",
            "decide",
            "record",
            "mask",
            "session",
            "config",
            "metrics",
            "shard::mail",
            // When a catalog was read, by the clock of those who ask for it.
            "shard::clock",
            // One way to verify a target's certificate, on a shard and beside it.
            "shard::tls",
        ],
    ),
    (
        "cli",
        &[
            "limits", "fault", "wire", "identify", "decide", "record", "mask", "session", "config",
            "metrics", "shard", "accept", "admin",
        ],
    ),
];

/// What single files take from later stages besides, and why.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Files and folders that work on bytes and values alone; time is an argument.
const PURE: [&str; 14] = [
    "src/clock.rs",
    "src/hex.rs",
    "src/limits.rs",
    "src/fault.rs",
    "src/wire/",
    "src/identify/",
    "src/decide/",
    "src/mask/",
    "src/record/mod.rs",
    "src/record/entry.rs",
    "src/record/schema.rs",
    "src/record/journal",
    "src/forward/mod.rs",
    "src/session/",
];

/// What pure code never names. Addresses (`SocketAddr`, `IpAddr`) are values and are fine.
const IMPURE: [&str; 16] = [
    "glommio",
    "io_uring",
    "tokio",
    "libc",
    "ureq",
    "axum",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os",
    "std::time::SystemTime",
];

/// What single files of pure code name all the same, and why.
const IMPURE_EXCEPTIONS: [(&str, &str); 1] = [
    // A thread is how one gets a stack of another size. The caller waits: nothing runs beside it.
    ("src/decide/sql/classify/deep.rs", "std::thread"),
];

/// Who may read a clock: the shells.
const CLOCKS: [&str; 8] = [
    "src/shard/",
    "src/admin/",
    "src/cli/",
    "src/main.rs",
    "src/record/",
    "src/accept/",
    "src/forward/dial",
    "src/config/",
];

/// Where `unsafe` may stand, each for one reason.
const UNSAFE: [&str; 5] = [
    "src/mask/matcher/",    // vector intrinsics
    "src/shard/ring",       // submission entries that carry pointers
    "src/shard/buffer",     // provided buffer rings shared with the kernel
    "src/record/map.rs",    // the journal's mapping
    "src/accept/socket.rs", // socket options the standard library lacks
];

pub fn direction(path: &str, text: &str) -> Vec<Violation> {
    let Some(module) = module_of(path) else { return Vec::new() };
    let Some((_, allowed)) = DIRECTION.iter().find(|(name, _)| *name == module) else {
        return vec![Violation::new(1, format!("module {module} is not in the import table"))];
    };
    let code = code_only(text);
    let depth = depth_of(path);
    let mut found = Vec::new();
    for (line, name) in paths(without_tests(&code)) {
        let supers = name.split("::").take_while(|part| *part == "super").count();
        if supers >= depth {
            found.push(Violation::new(line, "reaches the crate's root by super, write crate::"));
        }
        let Some(inside) = name.strip_prefix("crate::") else { continue };
        let own = under(inside, module);
        let except = EXCEPTIONS.iter().any(|(file, name)| *file == path && under(inside, name));
        // Time is an argument of every stage, and digits are digits.
        let common = ["clock", "hex"].iter().any(|it| under(inside, it));
        if !own && !common && !except && !allowed.iter().any(|prefix| under(inside, prefix)) {
            found.push(Violation::new(line, format!("{module} may not import {inside}")));
        }
    }
    found
}

pub fn purity(path: &str, text: &str) -> Vec<Violation> {
    if is_test_file(path) || !PURE.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let code = code_only(text);
    paths(without_tests(&code))
        .into_iter()
        .filter(|(_, name)| IMPURE.iter().any(|banned| under(name, banned)))
        .filter(|(_, name)| {
            !IMPURE_EXCEPTIONS.iter().any(|(file, needed)| *file == path && under(name, needed))
        })
        .map(|(line, name)| Violation::new(line, format!("pure code names {name}")))
        .collect()
}

pub fn clocks(path: &str, text: &str) -> Vec<Violation> {
    let product = path.starts_with("src/") && !is_test_file(path);
    let shell = CLOCKS.iter().any(|place| path.starts_with(place));
    let pure = PURE.iter().any(|place| path.starts_with(place));
    if !product || (shell && !pure) {
        return Vec::new();
    }
    let code = code_only(text);
    paths(without_tests(&code))
        .into_iter()
        .filter(|(_, name)| name.ends_with("Instant::now") || name.ends_with("SystemTime::now"))
        .map(|(line, name)| Violation::new(line, format!("{name}: time is an argument here")))
        .collect()
}

pub fn unsafe_places(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") || UNSAFE.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let code = code_only(text);
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let word = |w: &str| w == "unsafe" || w == "unsafe_code";
        if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(word) {
            found.push(Violation::new(index + 1, "unsafe code outside the list in tests/tidy"));
        }
    }
    found
}

/// The module of the crate a file belongs to; none for the roots, which name all of them.
fn module_of(path: &str) -> Option<&str> {
    if is_test_file(path) || !path.ends_with(".rs") {
        return None;
    }
    let inside = path.strip_prefix("src/")?;
    if inside == "lib.rs" || inside == "main.rs" {
        return None;
    }
    Some(inside.split(['/', '.']).next().unwrap_or(inside))
}

/// How many `super` lead from a file's module to the root.
fn depth_of(path: &str) -> usize {
    let inside = path.trim_start_matches("src/");
    inside.split('/').count() - usize::from(inside.ends_with("/mod.rs"))
}

fn under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_back_edge_is_found() {
        let text = "use crate::{limits, forward::Outbox};\nuse crate::clock::Now;\n";
        check(direction, "src/wire/postgres/frame.rs", text, &[1]);
        check(direction, "src/session/postgres/machine.rs", text, &[]);
        check(direction, "src/decide/rules.rs", "fn a() { crate::admin::start() }", &[1]);
        check(direction, "src/nowhere/mod.rs", "", &[1]);
    }

    #[test]
    fn super_does_not_evade_the_direction() {
        check(direction, "src/decide/rules.rs", "use super::super::admin;", &[1]);
        check(direction, "src/decide/rules.rs", "use super::Class;", &[]);
        check(direction, "src/decide/mod.rs", "use super::admin;", &[1]);
        check(direction, "src/wire/postgres/frame.rs", "use super::super::Side;", &[]);
    }

    #[test]
    fn a_file_in_a_pure_stage_is_found() {
        check(purity, "src/mask/plan.rs", "use std::{fmt,\n fs};", &[2]);
        check(purity, "src/decide/rules.rs", "use std::net::IpAddr;", &[]);
        check(purity, "src/record/spool.rs", "use std::fs;", &[]);
        let inside = "#[cfg(test)]\nmod tests {\nuse std::fs;\n}";
        check(purity, "src/mask/plan.rs", inside, &[]);
    }

    #[test]
    fn a_clock_outside_the_shells_is_found() {
        let text = "fn a() { let t = std::time::Instant::now(); }";
        check(clocks, "src/session/machine.rs", text, &[1]);
        check(clocks, "src/record/journal.rs", text, &[1]);
        check(clocks, "src/shard/mod.rs", text, &[]);
    }

    #[test]
    fn unsafe_in_a_new_place_is_found() {
        let text = "// unsafe\nfn a() { unsafe { b() } }";
        check(unsafe_places, "src/session/machine.rs", text, &[2]);
        check(unsafe_places, "src/mask/matcher/x86_64.rs", text, &[]);
        check(unsafe_places, "src/wire/mod.rs", "#![allow(unsafe_code)]", &[1]);
    }
}
