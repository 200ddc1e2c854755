//! Everything in one process: cargo run --release.
fn main() {}
