//! Totals from positions, Kafka to Kafka.
//!
//! Reads every position from one topic, keeps the newest of each plate, adds them up by company and writes the totals
//! that changed to a compacted topic. It knows nothing of MQTT: that those totals reach browsers is the broker's work.
//!
//! - [`update`]: what a record says, or why it says nothing
//! - [`state`]: the newest update of each plate
//! - [`totals`]: what they add up to; pure, add and remove
//! - `dead_letter`: where records go that say nothing
//! - `restore`: the state at a start, from the log alone
//! - `publish`: totals that changed, twice a second
//! - `run`: from the log's beginning to its end, and on from there
//!
//! # What is newest
//!
//! The log's order is. All records of a plate have the same key, so they are in one partition, and that has one order
//! which everyone who reads it sees. `sequence` can't decide: it starts again with the simulator, and a removal has
//! none; nor can `updateTimestamp`: a clock that was wrong once would freeze its vehicle. The price: should a late
//! repeat of an old position get into the log behind a newer one, it counts until that vehicle's next position.
//!
//! # What it promises
//!
//! One instance at a time (another may start when the first has ended, however it ended):
//!
//! - the totals in Kafka become equal to the sum over the newest update of every plate that the log holds, at most one
//!   publishing interval and one acknowledgement later than that update;
//! - after any end, also `kill -9`, the next instance counts again from the log and writes what differs, including a
//!   tombstone for a company that lost its last vehicle meanwhile;
//! - each record that says nothing is in the dead letters once, also over restarts.
//!
//! Two instances at once would both write the same totals, and each dead letter twice. A vehicle leaves the totals when
//! it is removed; one that merely falls silent counts until a restart after its last record has left the log.

use std::net::SocketAddr;
use std::time::Duration;

use kafka::admin::{self, NewKafkaTopic};
use service::Shutdown;
use service::admin::Ready;
use tokio::task::JoinHandle;

mod config;
mod dead_letter;
mod health;
mod metrics;
mod publish;
mod restore;
mod run;
pub mod state;
pub mod totals;
pub mod update;

pub use config::Config;

/// How long Kafka may take to answer at the start.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// Positions are for a short look back; whoever wants to keep them sets the topic up before.
const POSITIONS_RETENTION: Duration = Duration::from_secs(60 * 60);
/// Time enough to find out who sent them.
const DEAD_LETTERS_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So many instances could share the work one day.
const POSITIONS_PARTITIONS: i32 = 6;

/// A running aggregator.
pub struct Aggregator {
    admin_addr: SocketAddr,
    summary: String,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Aggregator {
    /// Makes the topics that are missing and starts counting. Ends when `shutdown` is cancelled.
    ///
    /// # Errors
    /// Kafka does not answer, refuses a topic, or the port is taken.
    pub async fn start(config: Config, shutdown: Shutdown) -> anyhow::Result<Self> {
        let settings = config.kafka_settings();
        admin::check(&settings, KAFKA_TIMEOUT).await?;
        admin::ensure_topics(&settings, &topics(&config), KAFKA_TIMEOUT).await?;

        let listener = service::listen(
            "aggregator",
            "AGGREGATOR_METRICS_PORT",
            SocketAddr::new(config.listen_address, config.metrics_port),
        )
        .await?;
        let ready = Ready::not_yet("counting what kafka holds");
        let shared = run::Shared::new();
        let router = service::admin::router(metrics::registry(&shared), ready.clone());
        let admin_addr = service::admin::serve(listener, router, shutdown.clone())?;

        let summary = format!(
            "totals of {} by company into {}",
            config.updates_topic, config.company_topic
        );
        let running = tokio::spawn(async move {
            let result = run::run(config, settings, shared, ready, shutdown).await;
            if let Err(error) = &result {
                // Said when it happens: whoever started this may wait for its end only much later.
                tracing::error!("the aggregator has failed: {error:#}");
            }
            result
        });
        Ok(Self {
            admin_addr,
            summary,
            running,
        })
    }

    /// Where `/live`, `/ready` and `/metrics` are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// What it does, on one line.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Waits until it has ended after the shutdown: totals written, reading stopped.
    ///
    /// # Errors
    /// When it ended for another reason.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.running.await?
    }
}

fn topics(config: &Config) -> [NewKafkaTopic; 3] {
    [
        NewKafkaTopic::with_retention(
            &config.updates_topic,
            POSITIONS_PARTITIONS,
            POSITIONS_RETENTION,
        ),
        NewKafkaTopic::compacted(&config.company_topic, 1),
        NewKafkaTopic::with_retention(&config.dead_letters_topic, 1, DEAD_LETTERS_RETENTION),
    ]
}
