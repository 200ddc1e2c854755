//! Everything at once on this machine, on Apache Kafka, with as many vehicles as one likes.

use std::process::Command;

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many vehicles, each at two positions a second.
    #[arg(default_value_t = 15_000)]
    vehicles: u32,
    /// How long it is measured.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Take the embedded Kafka instead of Apache Kafka.
    #[arg(long)]
    embedded: bool,
}

/// The bench does it; this is the short way to call that.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut bench = Command::new(env!("CARGO"));
    bench
        .current_dir(shell::root())
        .args(["run", "--release", "--quiet", "-p", "bench", "--", "whole"])
        .args(["--vehicles", &args.vehicles.to_string()])
        .args(["--seconds", &args.seconds.to_string()])
        .args(["--kafka", if args.embedded { "embedded" } else { "apache" }]);
    shell::run(&mut bench, "see CONTRIBUTING.md")
}
