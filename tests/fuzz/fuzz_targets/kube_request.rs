#![no_main]

#[path = "../kubernetes.rs"]
#[expect(dead_code, reason = "each target calls one function of the harness")]
mod kubernetes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kubernetes::request(bytes));
