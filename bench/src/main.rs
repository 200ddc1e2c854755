//! Measures the broker, beside Mosquitto and bare Kafka clients, and the aggregator: see `docs/benchmarks.md`.

mod client;
mod floor;
mod kafka_server;
mod load;
mod persistent;
mod process;
mod report;
mod scenario;
mod servers;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use kafka_server::Choice;
use report::Row;

/// No scenario takes so long at full scale, also on two busy cores.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(900);

/// Measures the broker and the aggregator. Everything runs on this machine, on loopback.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    bench: Bench,
}

#[derive(clap::Args)]
struct Bench {
    /// Makes counts and times smaller, for a trial
    #[arg(long, global = true, default_value_t = 1.0)]
    scale: f64,
    /// embedded, apache (started with `cargo xtask kafka`), or host:port of one that runs
    #[arg(long, global = true, default_value = "embedded")]
    kafka: Choice,
}

impl Bench {
    fn count(&self, full: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(1)
    }

    /// Not below two seconds, since less measures nothing.
    fn time(&self, full_s: f64) -> Duration {
        Duration::from_secs_f64((full_s * self.scale).max(2.0))
    }
}

#[derive(Clone, Subcommand)]
enum What {
    /// Everything, in this order
    All,
    /// Memory of an idle connection
    Idle,
    /// Many clients' QoS 0 messages to one subscriber
    Telemetry,
    /// As much QoS 1 as goes through, and whether any of it is lost
    SaturateQos1,
    /// A large fleet that publishes slowly at QoS 1
    FleetQos1,
    /// QoS 1 into Kafka, against bare reading and bare producing
    Ingest,
    /// MQTT to MQTT, against a bare producer and reader
    Latency,
    /// One publisher to a thousand subscribers
    Fanout,
    /// Topics against many filters, and the codec
    Matching,
    /// A thousand persistent sessions that come back at once
    CatchUp,
    /// The start of a node that has many retained messages
    Retained,
    /// The sessions of a node that is killed, at another one
    TakeOver,
    /// The aggregator at 30,000 positions a second
    Totals,
    /// Vehicles, broker, aggregator, web UI and a page's client at once; not one of all, since it takes minutes
    Whole(scenario::whole::Args),
    /// A server that only reads and acknowledges
    #[command(hide = true)]
    FloorServer {
        /// Microseconds between reading and acknowledging
        #[arg(long)]
        hold_us: u64,
    },
    /// A bare Kafka producer
    #[command(hide = true)]
    FloorProducer(floor::Records),
}

const ALL: [What; 12] = [
    What::Idle,
    What::Telemetry,
    What::SaturateQos1,
    What::FleetQos1,
    What::Ingest,
    What::Latency,
    What::Fanout,
    What::Matching,
    What::CatchUp,
    What::Retained,
    What::TakeOver,
    What::Totals,
];

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = tokio::select! {
        result = run(&cli) => result,
        // Returning drops what runs, which kills the processes.
        _ = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.what {
        What::FloorServer { hold_us } => floor::serve(Duration::from_micros(*hold_us)).await,
        What::FloorProducer(records) => records.produce().await,
        What::All => report(&ALL, &cli.bench).await,
        one => report(std::slice::from_ref(one), &cli.bench).await,
    }
}

async fn report(scenarios: &[What], bench: &Bench) -> anyhow::Result<()> {
    build().await?;
    let mut rows = Vec::new();
    let mut failed = 0;
    for what in scenarios {
        let done = tokio::time::timeout(SCENARIO_TIMEOUT, measure(what, bench)).await;
        match done.unwrap_or_else(|_| bail!("not finished after {SCENARIO_TIMEOUT:?}")) {
            Ok(more) => rows.extend(more),
            // The others are worth having all the same.
            Err(error) => {
                eprintln!("bench: {error:#}");
                failed += 1;
            }
        }
    }
    println!("{}", report::machine());
    println!("Kafka: {:?}; scale {}\n", bench.kafka, bench.scale);
    println!("{}\n{}", report::table(&rows), report::verdict(&rows));
    if failed > 0 {
        bail!("{failed} scenarios could not be measured: see above");
    }
    Ok(())
}

async fn measure(what: &What, bench: &Bench) -> anyhow::Result<Vec<Row>> {
    use scenario::*;
    match what {
        What::Idle => idle::run(bench).await.context("idle"),
        What::Telemetry => telemetry::run(bench).await.context("telemetry"),
        What::SaturateQos1 => saturate::run(bench).await.context("saturate-qos1"),
        What::FleetQos1 => fleet::run(bench).await.context("fleet-qos1"),
        What::Ingest => ingest::run(bench).await.context("ingest"),
        What::Latency => latency::run(bench).await.context("latency"),
        What::Fanout => fanout::run(bench).await.context("fanout"),
        What::Matching => matching::run(bench).await.context("matching"),
        What::CatchUp => catch_up::run(bench).await.context("catch-up"),
        What::Retained => retained::run(bench).await.context("retained"),
        What::TakeOver => take_over::run(bench).await.context("take-over"),
        What::Totals => totals::run(bench).await.context("totals"),
        What::Whole(args) => whole::run(bench, args).await.context("whole"),
        What::All | What::FloorServer { .. } | What::FloorProducer(_) => {
            unreachable!("these are no scenarios")
        }
    }
}

/// The servers have to be of this commit, too.
async fn build() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        bail!("an unoptimised build measures nothing: cargo run --release -p bench");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = tokio::process::Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "broker",
            "-p",
            "aggregator",
            "-p",
            "simulator",
            "-p",
            "web-ui",
            "-p",
            "embedded-kafka",
        ])
        .status()
        .await
        .context("can't run cargo")?;
    if !status.success() {
        bail!("the servers do not build");
    }
    Ok(())
}
