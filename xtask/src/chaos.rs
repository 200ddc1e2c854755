//! Brokers on three nodes of Apache Kafka, under load and under faults, for as long as one likes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use chaos::{FaultKind, Options, Report};
use tokio::signal::unix::{SignalKind, signal};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long faults begin.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Says which faults come [default: any, which is printed].
    #[arg(long)]
    seed: Option<u64>,
    /// How many MQTT clients.
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// How many brokers.
    #[arg(long, default_value_t = 3)]
    brokers: usize,
    /// Which faults, comma-separated: broker- or kafka- and kill, short-pause, long-pause or restart [default: all].
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// Seconds without anything happening, after the faults, until what has not come never will.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Take the broker's release build.
    #[arg(long)]
    release: bool,
    /// Where data and logs go; it stays [default: a temporary folder, which stays when a promise was broken].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// More flags for the brokers, after `--`.
    #[arg(last = true)]
    broker_flags: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let broker = build_broker(args.release)?;
    let temporary = tempfile::Builder::new().prefix("convoy-chaos-").tempdir()?;
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => temporary.path().to_owned(),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    let options = Options {
        broker,
        kafka_control: std::env::current_exe()?,
        dir: dir.clone(),
        brokers: args.brokers,
        clients: args.clients,
        seed: args.seed.unwrap_or_else(chaos::any_seed),
        faults_for: Duration::from_secs(args.seconds),
        patience: Duration::from_secs(args.patience),
        kinds: match args.faults.is_empty() {
            true => FaultKind::all(),
            false => args.faults.clone(),
        },
        broker_flags: args.broker_flags.clone(),
    };
    eprintln!("seed {}; logs are in {}", options.seed, dir.display());
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(until_signal(&options));
    // Ends what a run that was cut short has started.
    drop(runtime);
    let is_well = matches!(&report, Ok(report) if report.broken().is_empty());
    if args.dir.is_none() && !is_well {
        eprintln!("logs stay in {}", temporary.keep().display());
    }
    let report = report?;
    print!("{report}");
    if !report.broken().is_empty() {
        bail!("{} promises were broken", report.broken().len());
    }
    Ok(())
}

/// Runs, but no longer than until Ctrl-C or SIGTERM.
async fn until_signal(options: &Options) -> anyhow::Result<Report> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        report = chaos::run(options) => report,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

fn build_broker(release: bool) -> anyhow::Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(shell::root())
        .args(["build", "--package", "broker"]);
    if release {
        build.arg("--release");
    }
    shell::run(&mut build, "see CONTRIBUTING.md")?;
    // Beside this program: target/debug/xtask.
    let this = std::env::current_exe()?;
    let profiles = this.parent().and_then(|profile| profile.parent());
    let profile = if release { "release" } else { "debug" };
    let broker = profiles.context("xtask lies in cargo's target folder")?;
    Ok(broker.join(profile).join("broker"))
}
