//! The nodes of one Kafka: each says that it lives, and finds out who does not any more.
//!
//! A node writes a heartbeat five times in a lapse. One that is silent for a lapse, while others are heard, is declared
//! dead in the session topic, for all to read. Then its transactions are ended in Kafka, so that it can store nothing
//! more even if it only slept; then everything that it did store is read; only then its claims are over, and what it left
//! behind is looked after. A node that finds itself declared dead stops.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use kafka::{Error, Position, ToSend, Transactions};
use mqtt::ReasonCode;
use parking_lot::Mutex;
use service::Shutdown;
use tokio::sync::Notify;

use crate::config::Config;
use crate::node::Node;
use crate::ownership::{BEATS, NodeRecord, Run};
use crate::sessions::Sessions;
use crate::sys;

/// How long to wait before something that Kafka refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How nodes tell that they live.
pub(crate) struct Membership {
    pub(crate) kafka: kafka::Settings,
    /// A node that was silent for so long is dead.
    pub(crate) lapse: Duration,
    /// How long Kafka lets a transaction be open, and may take to end one.
    pub(crate) transaction_timeout: Duration,
    pub(crate) pulse: Pulse,
}

impl Membership {
    pub(crate) fn new(config: &Config, kafka: &kafka::Settings) -> Self {
        let lapse = Duration::from_millis(config.node_lapse_ms.into());
        Self {
            kafka: kafka.clone(),
            lapse,
            // Longer than Kafka takes to elect a leader; a node's death ends its transactions earlier.
            transaction_timeout: Duration::from_secs(15),
            pulse: Pulse::new(lapse),
        }
    }
}

/// Whether this process was awake: one that was stopped for a lapse may have been declared dead, and serves nobody until
/// it knows better.
pub(crate) struct Pulse {
    started: Instant,
    lapse: Duration,
    /// Milliseconds from `started` to when the process was sure that it lives.
    sure_ms: AtomicU64,
    sure_again: Notify,
}

impl Pulse {
    pub(crate) fn new(lapse: Duration) -> Self {
        Self {
            started: Instant::now(),
            lapse,
            sure_ms: AtomicU64::new(0),
            sure_again: Notify::new(),
        }
    }

    /// The node is dead for the others: who waits to know has no reason to wait any more.
    fn end(&self) {
        self.sure_ms.store(u64::MAX / 2, Ordering::SeqCst);
        self.sure_again.notify_waiters();
    }

    fn beat(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.started).as_millis();
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        self.sure_ms.store(ms, Ordering::SeqCst);
        self.sure_again.notify_waiters();
    }

    /// Whether the process has not slept for a lapse.
    pub(crate) fn is_sure(&self, now: Instant) -> bool {
        let sure = Duration::from_millis(self.sure_ms.load(Ordering::SeqCst));
        now.saturating_duration_since(self.started) < sure + self.lapse
    }

    /// Waits until the process knows again whether it counts as alive.
    pub(crate) async fn sure(&self) {
        loop {
            let again = self.sure_again.notified();
            if self.is_sure(Instant::now()) {
                return;
            }
            again.await;
        }
    }
}

/// What a run of a node is called in Kafka's transactions.
pub(crate) fn transactional_id(session_topic: &str, node: &str, run: Run) -> String {
    format!("convoy-{session_topic}-{node}-{run:016x}")
}

/// Says of a node, this or another one, that it lives, is dead, or has ended; returns when Kafka has it.
pub(crate) async fn say(
    sessions: &Sessions,
    record: Option<&NodeRecord>,
    name: &str,
) -> Result<Position, Error> {
    let value = record.map(|node| serde_json::to_vec(node).expect("numbers can be JSON"));
    append(sessions, 0, &format!("node/{name}"), value.as_deref()).await
}

/// Writes what concerns no client.
async fn append(
    sessions: &Sessions,
    partition: i32,
    key: &str,
    value: Option<&[u8]>,
) -> Result<Position, Error> {
    let directory = &sessions.directory;
    let record = ToSend {
        kafka_topic: &directory.kafka_topic,
        partition: Some(partition),
        key: Some(key.as_bytes()),
        value,
        headers: &[],
    };
    directory.producer.append(&record).await
}

/// Waits until everything that any node had stored in the session topic before this call is known here.
pub(crate) async fn read_all(sessions: &Sessions) -> Result<(), Error> {
    let directory = &sessions.directory;
    let name = directory.with(|all| all.name().to_owned());
    let key = format!("barrier/{name}");
    let partitions = 0..i32::try_from(directory.partitions).unwrap_or(i32::MAX);
    let barriers = partitions.map(|partition| append(sessions, partition, &key, None));
    let written = futures_util::future::try_join_all(barriers).await?;
    let behind: Vec<Position> = written
        .into_iter()
        .map(|at| Position {
            offset: at.offset + 1,
            ..at
        })
        .collect();
    sessions.tail.reached(&directory.kafka_topic, &behind).await;
    Ok(())
}

/// Keeps this node a member, until `shutdown`.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    let membership = &node.membership;
    let directory = Arc::clone(&node.sessions.directory);
    let (name, run) = directory.with(|all| (all.name().to_owned(), all.run()));
    let beat = membership.lapse / BEATS;
    let burying: Arc<Mutex<BTreeSet<Run>>> = Arc::default();
    // Said, and not answered yet.
    let mut said = None;
    let mut slept_at = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = directory.declared_myself.cancelled() => {
                // Told before they may go on, so that none of them serves its client any more.
                directory.close_all(ReasonCode::SERVER_SHUTTING_DOWN);
                return membership.pulse.end();
            }
            () = directory.declared.notified() => {}
            () = tokio::time::sleep(beat) => {}
        }
        let now = Instant::now();
        if now.saturating_duration_since(slept_at) < membership.lapse {
            membership.pulse.beat(now);
        } else {
            tracing::warn!(
                "this process did not run for a while: asking whether it counts as dead"
            );
            // Whoever declared it dead did so before its own word is read.
            let heard = tokio::time::timeout(membership.lapse, read_all(&node.sessions)).await;
            if !matches!(heard, Ok(Ok(()))) || directory.declared_myself.is_cancelled() {
                continue;
            }
            membership.pulse.beat(Instant::now());
        }
        slept_at = Instant::now();
        let is_answered = said
            .as_ref()
            .is_none_or(|said: &tokio::task::JoinHandle<()>| said.is_finished());
        if is_answered {
            let (sessions, name) = (Arc::clone(&node.sessions), name.clone());
            let alive = NodeRecord::alive(run, Some(sys::counts(&node)));
            said = Some(tokio::spawn(async move {
                if let Err(error) = say(&sessions, Some(&alive), &name).await {
                    tracing::warn!(%error, "can't say that this node lives");
                }
            }));
        }
        let (nodes, _) = directory.with(|all| all.counts());
        node.metrics.nodes.set(nodes as i64);
        for (suspect, its_name) in directory.with(|all| all.suspects(now, membership.lapse)) {
            tracing::warn!(node = %its_name, "silent for too long: declared dead");
            let sessions = Arc::clone(&node.sessions);
            tokio::spawn(async move {
                let dead = NodeRecord::dead(suspect);
                if let Err(error) = say(&sessions, Some(&dead), &its_name).await {
                    tracing::warn!(%error, "can't declare a node dead");
                }
            });
        }
        for (dead, its_name) in directory.with(|all| all.declared()) {
            if burying.lock().insert(dead) {
                let (node, burying, shutdown) =
                    (Arc::clone(&node), Arc::clone(&burying), shutdown.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = bury(&node, dead, &its_name) => {}
                    }
                    burying.lock().remove(&dead);
                });
            }
        }
    }
}

/// Ends what a dead node could still do, and takes note of what it has done.
async fn bury(node: &Arc<Node>, run: Run, name: &str) {
    while let Err(error) = try_bury(node, run, name).await {
        tracing::warn!(%error, name, "can't end what a dead node has begun; trying again");
        tokio::time::sleep(RETRY).await;
    }
    node.sessions.directory.bury(run);
    node.metrics.nodes_lost.inc();
}

async fn try_bury(node: &Arc<Node>, run: Run, name: &str) -> anyhow::Result<()> {
    let membership = &node.membership;
    if node.sessions.ledger.is_together() {
        let id = transactional_id(&node.sessions.directory.kafka_topic, name, run);
        let (kafka, timeout) = (membership.kafka.clone(), membership.transaction_timeout);
        tokio::task::spawn_blocking(move || Transactions::start(&kafka, &id, timeout).map(drop))
            .await?
            .context("can't end its transactions")?;
    }
    read_all(&node.sessions).await?;
    Ok(())
}
