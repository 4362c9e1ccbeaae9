#![no_main]

#[path = "../http.rs"]
#[expect(dead_code, reason = "each target calls one function of the harness")]
mod http;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http::form(bytes));
