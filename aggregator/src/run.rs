//! From the log's beginning to its end, and on from there.

use std::sync::Arc;
use std::time::Duration;

use kafka::{Ends, Producer, Record, Settings, Start, Tail};
use parking_lot::Mutex;
use service::Shutdown;
use service::admin::Ready;
use tokio::task::spawn_blocking;

use crate::dead_letter::{self, DeadLetters};
use crate::metrics::Metrics;
use crate::state::State;
use crate::update::Update;
use crate::{Config, KAFKA_TIMEOUT, health, publish, restore};

/// Totals and dead letters that Kafka has not acknowledged yet, at most. While it is full, reading waits.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// How long the last totals and dead letters may take at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What reading, publishing and the metrics share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }
}

/// Counts until `shutdown`.
pub(crate) async fn run(
    config: Config,
    settings: Settings,
    shared: Arc<Shared>,
    ready: Ready,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let producer = Producer::new(&settings, QUEUE_BYTES)?;
    let ends = Ends::new(&settings)?;
    let catching_up = catch_up(&config, &settings, &shared, &producer, &ends, &shutdown);
    if let Some(tail) = shutdown.run_until_cancelled(catching_up).await {
        let tail = tail?;
        let topic = &config.company_topic;
        tokio::join!(
            publish::run(
                &shared,
                &producer,
                topic,
                config.publish_interval(),
                &shutdown
            ),
            health::run(&shared, &ends, &config.updates_topic, &ready, &shutdown),
        );
        // No more records, then the totals of those that were read.
        spawn_blocking(move || drop(tail)).await?;
        let last = publish::round(&shared, &producer, topic);
        if tokio::time::timeout(DRAIN_TIMEOUT, last).await.is_err() {
            tracing::warn!(
                "kafka did not take the last totals in time: the next start writes them"
            );
        }
    }
    if let Err(error) = producer.flush(DRAIN_TIMEOUT).await {
        tracing::warn!(%error, "kafka did not take all in time: the next start writes it");
    }
    Ok(())
}

/// Counts all that Kafka holds, then follows its end without a gap.
async fn catch_up(
    config: &Config,
    settings: &Settings,
    shared: &Arc<Shared>,
    producer: &Producer,
    ends: &Ends,
    shutdown: &Shutdown,
) -> Result<Tail, kafka::Error> {
    let bounds = ends.of(&config.updates_topic, KAFKA_TIMEOUT).await?;
    let done = {
        let (settings, config) = (settings.clone(), config.clone());
        blocking(move || {
            dead_letter::done(
                &settings,
                &config.dead_letters_topic,
                &config.updates_topic,
                &bounds,
            )
        })
        .await?
    };
    let mut feed = Feed {
        shared: Arc::clone(shared),
        dead_letters: DeadLetters::new(
            config.dead_letters_topic.clone(),
            producer.clone(),
            done,
            Arc::clone(&shared.metrics),
            shutdown.clone(),
        ),
        shutdown: shutdown.clone(),
    };
    let (mut feed, positions, published) = {
        let (settings, config) = (settings.clone(), config.clone());
        blocking(move || {
            let positions = restore::positions(&settings, &config.updates_topic, &mut feed)?;
            let published = restore::published(&settings, &config.company_topic)?;
            Ok((feed, positions, published))
        })
        .await?
    };
    {
        let mut state = shared.state.lock();
        state.companies_mut().mark_different(&published);
        tracing::info!(
            vehicles = state.vehicles(),
            records = shared.metrics.records.get(),
            "counted what kafka holds"
        );
    }
    let tail = Tail::start(
        settings,
        "positions",
        move |record| feed.handle(&record),
        || {},
    )?;
    tail.follow(&config.updates_topic, None, Start::At(positions))
        .await?;
    Ok(tail)
}

/// What each record goes through, in the order of the log.
pub(crate) struct Feed {
    shared: Arc<Shared>,
    dead_letters: DeadLetters,
    shutdown: Shutdown,
}

impl Feed {
    pub(crate) fn handle(&mut self, record: &Record) {
        if self.shutdown.is_cancelled() {
            // The next instance may be counting already: it would write the same dead letters.
            return;
        }
        let update = Update::read(record);
        if let Err(invalid) = &update {
            self.shared.metrics.invalid_records.inc();
            self.dead_letters.write(record, &invalid.to_string());
        }
        let mut state = self.shared.state.lock();
        if let Ok(update) = update {
            self.shared.metrics.records.inc();
            state.apply(update);
        }
        state.reached(record.partition, record.offset + 1);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, kafka::Error> + Send + 'static,
) -> Result<T, kafka::Error> {
    spawn_blocking(work).await.expect("reading does not panic")
}
