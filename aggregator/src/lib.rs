//! Totals from positions, Kafka to Kafka.
//!
//! It knows nothing of MQTT: that totals reach browsers is the broker's work. Two stages, each a consumer group whose
//! members share partitions out, on however many instances:
//!
//! ```text
//! positions ──▶ by_vehicle ──▶ parts ──▶ by_total ──▶ totals, map frames
//!               │    ▲   └──▶ alerts, dead letters
//!               └state┘
//! ```
//!
//! - [`update`]: what a record says, or why it says nothing
//! - [`state`]: the newest update of each plate of one partition
//! - [`totals`]: what they add up to; pure, add and remove
//! - [`alerts`]: when an alert begins and ends
//! - `dead_letter`: where records go that say nothing
//! - `stored`: what is kept in Kafka between the stages, and for the next owner of a partition
//! - `by_vehicle`, `by_total`: the stages
//! - `run`: both, on threads of their own, and anew when Kafka has refused something
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
//! However many instances there are, and whatever happens to any of them, `kill -9` included:
//!
//! - the totals in Kafka become equal to the sum over the newest update of every plate that has not been silent for
//!   `SILENT_AFTER_S`; a total that has no vehicle any more gets a tombstone;
//! - each position is counted in its minute once, or never when it is too late for it;
//! - each alert begins once and ends once;
//! - each record that says nothing is in the dead letters once.
//!
//! For that, readers of those topics read committed records only. `docs/adr/0007-totals-in-two-stages.md` says how.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use kafka::Ends;
use kafka::admin::{self, NewKafkaTopic};
use service::Shutdown;
use service::admin::Ready;
use tokio::task::JoinHandle;

pub mod alerts;
mod by_total;
mod by_vehicle;
mod config;
mod dead_letter;
mod health;
mod metrics;
mod run;
pub mod state;
mod stored;
pub mod totals;
pub mod update;

pub use config::Config;

/// How long Kafka may take to answer at the start.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// Positions are for a short look back; whoever wants to keep them sets the topic up before.
const POSITIONS_RETENTION: Duration = Duration::from_secs(60 * 60);
/// Time enough to find out who sent them.
const DEAD_LETTERS_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A minute's total is of interest for a week.
const MINUTES_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A frame is old after a second.
const FRAMES_RETENTION: Duration = Duration::from_secs(5 * 60);
/// So many instances can share the work.
const POSITIONS_PARTITIONS: i32 = 6;
const PARTS_PARTITIONS: i32 = 6;
const FRAMES_PARTITIONS: i32 = 6;

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
        let partitions = make_topics(&config, &settings).await?;

        let listener = service::listen(
            "aggregator",
            "AGGREGATOR_METRICS_PORT",
            SocketAddr::new(config.listen_address, config.metrics_port),
        )
        .await?;
        let ready = Ready::not_yet("starting");
        let shared = Arc::new(run::Shared::default());
        let router = service::admin::router(metrics::registry(&shared), ready.clone());
        let admin_addr = service::admin::serve(listener, router, shutdown.clone())?;

        let summary = format!(
            "totals of {} by company, direction, cell and minute, alerts, map frames",
            config.updates_topic
        );
        let running = tokio::spawn(async move {
            let result = run::run(config, settings, partitions, shared, ready, shutdown).await;
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

/// Makes the topics that are missing; returns how many partitions the parts have.
async fn make_topics(config: &Config, settings: &kafka::Settings) -> anyhow::Result<usize> {
    let (updates, state) = (&config.updates_topic, &config.state_topic());
    let retained = NewKafkaTopic::with_retention;
    let compacted = NewKafkaTopic::compacted;
    let topics = [
        retained(updates, POSITIONS_PARTITIONS, POSITIONS_RETENTION),
        often_compacted(&config.parts_topic(), PARTS_PARTITIONS),
        compacted(&config.company_topic, 1),
        compacted(&config.direction_topic, 1),
        compacted(&config.cell_topic, 1),
        compacted(&config.alerts_topic, 1),
        retained(&config.minute_topic, 1, MINUTES_RETENTION),
        retained(&config.map_topic, FRAMES_PARTITIONS, FRAMES_RETENTION),
        retained(&config.dead_letters_topic, 1, DEAD_LETTERS_RETENTION),
    ];
    admin::ensure_topics(settings, &topics, KAFKA_TIMEOUT).await?;

    let ends = Ends::new(settings)?;
    let count = async |topic: &str| anyhow::Ok(ends.of(topic, KAFKA_TIMEOUT).await?.len());
    let positions = count(updates).await?;
    let own = [often_compacted(state, i32::try_from(positions)?)];
    admin::ensure_topics(settings, &own, KAFKA_TIMEOUT).await?;
    let states = count(state).await?;
    ensure!(
        states == positions,
        "kafka topic {state} has {states} partitions and {updates} {positions}: they must be as many; \
         with another AGGREGATOR_GROUP all is counted anew"
    );
    count(&config.parts_topic()).await
}

/// A topic that is read from its beginning at each start: so it is kept short.
fn often_compacted(name: &str, partitions: i32) -> NewKafkaTopic {
    let mut topic = NewKafkaTopic::compacted(name, partitions);
    for (name, value) in [
        // 16 MiB: the newest segment is never compacted.
        ("segment.bytes", "16777216"),
        ("min.cleanable.dirty.ratio", "0.2"),
    ] {
        topic.config.push((name.into(), value.into()));
    }
    topic
}
