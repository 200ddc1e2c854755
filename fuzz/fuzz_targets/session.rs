#![no_main]

#[path = "../../crates/mqtt/tests/fuzz/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|input: &[u8]| session::run(input));
