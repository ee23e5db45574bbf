//! Fuzzes `protobuf::message` of `checks.rs`.
#![no_main]

#[expect(dead_code, reason = "a target uses the checks of one decoder")]
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::protobuf::message(input);
});
