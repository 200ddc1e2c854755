#![no_main]

#[path = "../../crates/mqtt/tests/fuzz/decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode::run(input));
