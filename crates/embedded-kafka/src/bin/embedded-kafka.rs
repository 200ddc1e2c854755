//! The server as a process of its own: for edge boxes, and for tools and tests that want to point at or kill one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use embedded_kafka::{Config, Error, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// One-node Kafka-protocol server.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Where topics, offsets and transactions are kept.
    #[arg(long, default_value = "kafka-data")]
    data_dir: PathBuf,
    /// The host name that clients are told to connect to [default: the address they came in on].
    #[arg(long)]
    advertised_host: Option<String>,
    /// Partitions of topics that are created without saying how many.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            let is_setting = matches!(error.downcast_ref(), Some(Error::Config(_)));
            if is_setting {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let config = Config {
        listen: args.listen,
        advertised_host: args.advertised_host,
        default_partitions: args.partitions,
        ..Config::new(args.data_dir)
    };
    let server = Server::start(config).await?;
    println!("kafka {}", server.bootstrap_servers());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.shutdown().await;
    Ok(())
}
