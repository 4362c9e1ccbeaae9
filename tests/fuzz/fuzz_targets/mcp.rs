#![no_main]

#[path = "../h2.rs"]
#[expect(dead_code, reason = "each target calls one function of the harness")]
mod h2;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| h2::mcp(bytes));
