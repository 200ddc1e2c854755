//! Tasks of the project, in Rust: nothing else to install. `cargo xtask help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod chaos;
mod ci;
mod fleet;
mod kafka;
mod shell;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of the project"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all checks, as `.ci/run` does after installing what they need.
    Ci,
    /// Kill, stop and restart brokers and Kafka nodes under load, and check what was promised (needs Java 17 and Maven).
    Chaos(chaos::Args),
    /// Run vehicles, broker, aggregator and web UI on this machine, and measure what comes through (needs Java 17 and Maven).
    Fleet(fleet::Args),
    /// Start Apache Kafka on this machine, on loopback (needs Java 17 and Maven).
    Kafka(kafka::Args),
    /// Run one of Kafka's own console tools, e.g. `kafka-tool topics --list`.
    KafkaTool(kafka::tool::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci => ci::run(),
        Task::Chaos(args) => chaos::run(&args),
        Task::Fleet(args) => fleet::run(&args),
        Task::Kafka(args) => kafka::run(&args),
        Task::KafkaTool(args) => kafka::tool::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
