//! Both stages, each on a thread of its own, until the shutdown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fleet::CompanyTotal;
use kafka::exactly_once::{self, Reader, Tasks};
use kafka::{Ends, Error, Settings};
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use service::Shutdown;
use service::admin::Ready;
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use crate::by_total::ByTotal;
use crate::by_vehicle::ByVehicle;
use crate::metrics::Metrics;
use crate::{Config, by_total, by_vehicle, health};

/// After so long others take over from an instance that has died: the least that Apache Kafka takes.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the last commits may take at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(1500);
/// The wait before work begins anew.
const RESTART_DELAY: Duration = Duration::from_millis(500);

/// What the stages tell the metrics.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) metrics: Metrics,
    /// By partition of the positions that this instance has: the next offset wanted.
    pub(crate) next: Mutex<BTreeMap<i32, i64>>,
    /// The companies whose totals this instance publishes.
    pub(crate) companies: Mutex<BTreeMap<String, CompanyTotal>>,
    /// Since when Kafka answers without a break; none while it does not.
    pub(crate) answers_since: Mutex<Option<Instant>>,
    vehicles: AtomicUsize,
}

impl Shared {
    pub(crate) fn vehicles(&self) -> usize {
        self.vehicles.load(Ordering::Relaxed)
    }

    pub(crate) fn set_vehicles(&self, vehicles: usize) {
        self.vehicles.store(vehicles, Ordering::Relaxed);
    }
}

/// Counts until `shutdown`.
pub(crate) async fn run(
    config: Config,
    settings: Settings,
    parts_partitions: usize,
    shared: Arc<Shared>,
    ready: Ready,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let ends = Ends::new(&settings)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stages = Stages {
        instance: Uuid::new_v4(),
        stop: Arc::clone(&stop),
        shared: Arc::clone(&shared),
        settings: settings.clone(),
    };
    let first = {
        let setup = Arc::new(by_vehicle::Setup {
            settings: settings.clone(),
            state_topic: config.state_topic().into(),
            parts_topic: config.parts_topic().into(),
            parts_partitions,
            alerts_topic: config.alerts_topic.as_str().into(),
            dead_letters_topic: config.dead_letters_topic.as_str().into(),
            limits: config.limits(),
            lateness_ms: config.allowed_lateness_s * 1000,
        });
        let shared = Arc::clone(&shared);
        stages.start(
            config.group.clone(),
            &config.updates_topic,
            config.publish_interval() / 2,
            shared.metrics.commit_seconds.clone(),
            move || ByVehicle::new(Arc::clone(&setup), Arc::clone(&shared)),
        )
    };
    let second = {
        let setup = Arc::new(by_total::Setup {
            settings: settings.clone(),
            parts_partitions,
            company_topic: config.company_topic.as_str().into(),
            direction_topic: config.direction_topic.as_str().into(),
            cell_topic: config.cell_topic.as_str().into(),
            minute_topic: config.minute_topic.as_str().into(),
            map_topic: config.map_topic.as_str().into(),
        });
        let shared = Arc::clone(&shared);
        stages.start(
            format!("{}-totals", config.group),
            &config.parts_topic(),
            config.publish_interval(),
            shared.metrics.publish_seconds.clone(),
            move || Ok(ByTotal::new(Arc::clone(&setup), Arc::clone(&shared))),
        )
    };
    let mut both = Box::pin(async { tokio::try_join!(ended(first), ended(second)) });
    tokio::select! {
        // Each runs until it is stopped, unless it can't at all.
        result = &mut both => {
            stop.store(true, Ordering::SeqCst);
            return result.map(drop);
        }
        () = health::run(&shared, &ends, &config.updates_topic, &ready, &shutdown) => {}
    }
    stop.store(true, Ordering::SeqCst);
    match tokio::time::timeout(DRAIN_TIMEOUT, both).await {
        Ok(result) => result.map(drop),
        Err(_) => {
            tracing::warn!("kafka did not take all in time: the next start goes on there");
            Ok(())
        }
    }
}

async fn ended(stage: JoinHandle<Result<(), Error>>) -> anyhow::Result<()> {
    Ok(stage.await??)
}

/// Starts stages.
struct Stages {
    /// What tells this process's transactions from those of all others.
    instance: Uuid,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    settings: Settings,
}

impl Stages {
    /// Works on a topic until it is stopped; when Kafka refuses what was done, begins anew from what is committed.
    fn start<T: Tasks>(
        &self,
        group: String,
        kafka_topic: &str,
        interval: Duration,
        seconds: Histogram,
        make: impl Fn() -> Result<T, Error> + Send + 'static,
    ) -> JoinHandle<Result<(), Error>> {
        let reader = Reader {
            transactional_id: format!("{group}-{}", self.instance),
            group,
            kafka_topic: kafka_topic.to_owned(),
            interval,
            session_timeout: SESSION_TIMEOUT,
        };
        let (settings, stop) = (self.settings.clone(), Arc::clone(&self.stop));
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || {
            loop {
                let on_commit = |took: Duration| seconds.observe(took.as_secs_f64());
                let ended = make().and_then(|tasks| {
                    exactly_once::run(&settings, &reader, tasks, &stop, on_commit)
                });
                match ended {
                    Err(error) if stop.load(Ordering::SeqCst) => {
                        tracing::warn!(%error, group = reader.group, "the last work is not stored: the next start does it");
                        return Ok(());
                    }
                    // No other try would go better.
                    Err(error @ Error::Setting { .. }) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, group = reader.group, "beginning anew from what is committed");
                        shared.metrics.restarts.inc();
                        std::thread::sleep(RESTART_DELAY);
                    }
                    Ok(()) => return Ok(()),
                }
            }
        })
    }
}
