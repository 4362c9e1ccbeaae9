#![no_main]

#[path = "../harness.rs"]
#[expect(dead_code, reason = "each target calls one function of the harness")]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::token(bytes));
