//! Tasks of the project, in Rust: nothing else to install.
fn main() {}
