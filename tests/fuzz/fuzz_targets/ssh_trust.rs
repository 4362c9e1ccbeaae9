#![no_main]

#[path = "../ssh.rs"]
#[expect(dead_code, reason = "each target calls one function of the harness")]
mod ssh;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ssh::trust(bytes));
