//! Apache Kafka on this machine: fetched from Maven Central, run on loopback, for tests and for trying things out.
//!
//! - [`jars`]: fetches it
//! - [`cluster`]: configures, starts and stops the nodes
//! - [`probe`]: asks a node whether it answers
//! - [`tool`]: Kafka's own console tools

use std::path::PathBuf;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::shell;
use cluster::{Cluster, Options};

pub(crate) mod cluster;
mod jars;
mod probe;
pub(crate) mod tool;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = clap::builder::PossibleValuesParser::new(["1", "3"])
        .map(|nodes| nodes.parse::<u16>().expect("one of the two values")))]
    nodes: u16,
    /// Where its data and logs live [default: the project's cache, `kafka-data`].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// First of the ports: the nodes take this and the next, their controllers those after; 0 picks free ones.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Run until Ctrl-C instead of going to the background.
    #[arg(long, conflicts_with = "stop")]
    foreground: bool,
    /// Stop what an earlier call started in the background.
    #[arg(long)]
    stop: bool,
    /// Only this node of a cluster that an earlier call made: start it again after it has ended, or stop it.
    #[arg(long, conflicts_with = "foreground", value_parser = clap::value_parser!(u16).range(1..=3))]
    node: Option<u16>,
}

use clap::builder::TypedValueParser as _;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => shell::cache()?.join("kafka-data"),
    };
    if args.stop {
        let stopped = cluster::stop(&dir, args.node)?;
        eprintln!("stopped {stopped} of kafka's processes");
        return Ok(());
    }
    if let Some(id) = args.node {
        return cluster::start_again(&dir, id);
    }
    // Before the start, so that no signal finds us without a handler and leaves the nodes behind.
    let mut signals = args
        .foreground
        .then(|| Signals::new([SIGINT, SIGTERM]))
        .transpose()
        .context("can't listen for signals")?;
    let cluster = Cluster::start(&Options {
        nodes: args.nodes,
        dir: dir.clone(),
        port: args.port,
    })?;
    println!("{}", cluster.bootstrap_servers());
    match &mut signals {
        Some(signals) => {
            signals.forever().next();
            drop(cluster);
        }
        None => {
            cluster.leave_running();
            eprintln!("kafka runs; its data and logs are in {}", dir.display());
        }
    }
    Ok(())
}
