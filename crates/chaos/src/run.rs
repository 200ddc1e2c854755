//! A run: processes and clients start, faults come for a while, all is brought back, and what is acknowledged must come.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::broker_node::BrokerNode;
use crate::client::{Client, Phase};
use crate::fault::{FaultKind, Lane};
use crate::kafka_nodes::{KafkaNodes, NODES};
use crate::keeper::{self, Until};
use crate::log::{Inner, Log};
use crate::ports;
use crate::report::Report;
use crate::stored;

/// Each message has two subscribers that are not its publisher.
const CLIENTS_MIN: usize = 3;
/// How long the clients may take to subscribe, before any fault.
const GATHER_TIMEOUT: Duration = Duration::from_secs(120);
/// What is missing when later messages have come is out of order already: it is waited for only so long.
const OVERTAKEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Nothing comes any more: for what comes again. A slow machine sees fewer duplicates, never more.
const QUIET: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker's program.
    pub broker: PathBuf,
    /// The xtask program: it starts and stops Kafka nodes.
    pub kafka_control: PathBuf,
    /// For data and logs.
    pub dir: PathBuf,
    /// How many brokers.
    pub brokers: usize,
    /// How many clients, at least three.
    pub clients: usize,
    /// Says which faults come.
    pub seed: u64,
    /// How long faults begin.
    pub faults_for: Duration,
    /// How long afterwards nothing may happen until what has not happened never will.
    pub patience: Duration,
    /// Which faults.
    pub kinds: Vec<FaultKind>,
    /// More flags for the brokers.
    pub broker_flags: Vec<String>,
}

/// A seed, where none is given.
pub fn any_seed() -> u64 {
    // Short: it is typed again.
    rand::random_range(0..1_000_000)
}

/// Runs. All processes that it started have ended when it returns.
///
/// # Errors
/// When a process can't be started or does not come back: then there is no verdict. A broken promise is no error, see
/// [`Report::broken`].
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    if options.clients < CLIENTS_MIN || options.brokers == 0 {
        bail!("chaos needs a broker and {CLIENTS_MIN} clients");
    }
    let kafka = Arc::new(KafkaNodes::start(&options.kafka_control, &options.dir).await?);
    let first = ports::free(options.brokers as u16)?;
    let addrs = (first..).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let addrs: Arc<Vec<SocketAddr>> = Arc::new(addrs.take(options.brokers).collect());
    let mut brokers = Vec::new();
    for (number, addr) in addrs.iter().enumerate() {
        let mut broker = BrokerNode::new(
            number,
            &options.broker,
            &kafka.bootstrap_servers,
            *addr,
            &options.broker_flags,
            &options.dir,
        );
        broker.start().await?;
        brokers.push(broker);
    }

    let log = Arc::new(Log::new(options.clients));
    let (phase, phases) = watch::channel(Phase::Gather);
    let mut run = Run {
        log: Arc::clone(&log),
        clients: JoinSet::new(),
        keepers: JoinSet::new(),
    };
    for number in 0..options.clients {
        let (addrs, log) = (Arc::clone(&addrs), Arc::clone(&log));
        let client = Client::new(number, options.seed, addrs, log, phases.clone());
        run.clients.spawn(client.run());
    }
    let gathered = |inner: &Inner| inner.clients.iter().all(|client| client.is_subscribed);
    if !run.until(GATHER_TIMEOUT, gathered, |_| 0).await? {
        bail!("the clients could not subscribe in {GATHER_TIMEOUT:?}, before any fault");
    }

    phase.send_replace(Phase::Publish);
    run.faults(options, brokers, &kafka).await?;
    phase.send_replace(Phase::Finish);
    let acknowledged = |inner: &Inner| inner.checker.acknowledged();
    run.until(options.patience, is_finished, acknowledged)
        .await?;
    run.until_come(options.patience).await?;
    run.clients.shutdown().await;
    run.keepers.shutdown().await;
    let (tallies, incidents) = log.lock().checker.verdict();
    let wanted = incidents.iter().map(|incident| incident.message).collect();
    let stored = stored::find(&options.kafka_control, &kafka.bootstrap_servers, &wanted).await;
    Ok(Report::new(options, &log, tallies, &incidents, &stored))
}

fn is_finished(inner: &Inner) -> bool {
    let mut clients = inner.clients.iter();
    clients.all(|client| client.is_subscribed && client.in_flight == 0)
}

struct Run {
    log: Arc<Log>,
    clients: JoinSet<()>,
    keepers: JoinSet<anyhow::Result<Infallible>>,
}

impl Run {
    /// Lets faults come, and waits until the last is over.
    async fn faults(
        &mut self,
        options: &Options,
        brokers: Vec<BrokerNode>,
        kafka: &Arc<KafkaNodes>,
    ) -> anyhow::Result<()> {
        let (back, mut backs) = mpsc::channel(1);
        let end = Instant::now() + options.faults_for;
        let until = || Until {
            end,
            back: back.clone(),
        };
        let (seed, kinds) = (options.seed, &options.kinds);
        for (number, broker) in brokers.into_iter().enumerate() {
            let lane = Lane::of_broker(seed, number, kinds);
            let log = Arc::clone(&self.log);
            self.keepers
                .spawn(keeper::of_broker(broker, lane, log, until()));
        }
        let lane = Lane::of_kafka(seed, NODES, kinds);
        let (kafka, log) = (Arc::clone(kafka), Arc::clone(&self.log));
        self.keepers
            .spawn(keeper::of_kafka(kafka, lane, log, until()));
        for _ in 0..self.keepers.len() {
            tokio::select! {
                _ = backs.recv() => {}
                failed = failure(&mut self.clients, &mut self.keepers) => return Err(failed),
            }
        }
        let now = self.log.now();
        eprintln!("{} all is back", crate::log::seconds(now));
        // Until now, faults that overlap hid whether clients come to terms with the brokers that are left.
        let before = self.log.lock().checker.acknowledged();
        let moves_on = move |inner: &Inner| inner.checker.acknowledged() > before;
        self.until(options.patience, moves_on, |_| 0).await?;
        Ok(())
    }

    /// Waits until all that is acknowledged has come, or will not; then until nothing comes any more.
    async fn until_come(&mut self, patience: Duration) -> anyhow::Result<()> {
        let arrived = |inner: &Inner| inner.checker.last_arrival();
        let all_come = |inner: &Inner| inner.checker.missing() == 0;
        let decided = |inner: &Inner| inner.checker.missing_at_the_end() == 0;
        if self.until(patience, decided, arrived).await? {
            self.until(OVERTAKEN_TIMEOUT, all_come, arrived).await?;
        }
        self.until(QUIET, |_| false, arrived).await?;
        Ok(())
    }

    /// Waits until `holds`; returns false when it has not come to that while `progress` stood still for `patience`.
    async fn until(
        &mut self,
        patience: Duration,
        holds: impl Fn(&Inner) -> bool,
        progress: impl Fn(&Inner) -> u64,
    ) -> anyhow::Result<bool> {
        let mut last = progress(&self.log.lock());
        let mut deadline = Instant::now() + patience;
        loop {
            let now = {
                let inner = self.log.lock();
                if holds(&inner) {
                    return Ok(true);
                }
                progress(&inner)
            };
            if now != last {
                last = now;
                deadline = Instant::now() + patience;
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                failed = failure(&mut self.clients, &mut self.keepers) => return Err(failed),
            }
        }
    }
}

/// Waits until a task ends: none does that when all is well.
async fn failure(
    clients: &mut JoinSet<()>,
    keepers: &mut JoinSet<anyhow::Result<Infallible>>,
) -> anyhow::Error {
    let context = "a task of the run has failed";
    tokio::select! {
        Some(Err(error)) = clients.join_next() => anyhow::Error::new(error).context(context),
        Some(ended) = keepers.join_next() => match ended {
            Ok(Err(error)) => error,
            Ok(Ok(never)) => match never {},
            Err(error) => anyhow::Error::new(error).context(context),
        },
        else => std::future::pending().await,
    }
}
