#![no_main]

#[path = "../harness.rs"]
#[allow(unused)]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::sql(bytes));
