//! Puts a node together, and takes it down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use kafka::{Ends, Fetched, Lookup, Position, Producer, Start, Tail, Transactions};
use mqtt::ReasonCode;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use service::{Settings, Shutdown, admin};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::catch_up::{CatchUp, Sweeping};
use crate::config::{Config, Ready};
use crate::egress::Egress;
use crate::ingress::Ingress;
use crate::ledger::{Committing, Ledger};
use crate::listener::{self, Protocol};
use crate::logs::Logs;
use crate::membership::{self, Membership, transactional_id};
use crate::metrics::Metrics;
use crate::node::{Node, NodeSettings};
use crate::ownership::{NodeRecord, Ownership};
use crate::retained::Retained;
use crate::rules::Retain;
use crate::sessions::{Directory, Sessions, now_ms};
use crate::share::Shares;
use crate::subscriptions::Subscriptions;
use crate::{due, mailbox, sys};

/// The tables of the config file that the broker reads: topic rules, and settings for librdkafka.
pub const TABLES: &[&str] = &["topic", "kafka"];

/// How long Kafka may take to answer at the start.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);
/// How often Kafka is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long connections may take to end when the node is taken down.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Kafka may take to acknowledge what is left then.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A node that runs.
pub struct Broker {
    mqtt: SocketAddr,
    ws: SocketAddr,
    admin: SocketAddr,
    summary: String,
    node: Arc<Node>,
    tasks: TaskTracker,
    shutdown: Shutdown,
    ended: Shutdown,
}

impl Broker {
    /// Starts a node: checks the settings, reaches Kafka, creates its topics, loads the retained messages, listens.
    ///
    /// # Errors
    /// A [`service::BadSetting`]; a port in use; Kafka that can't be reached.
    pub async fn start(settings: Settings<Config>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let ready = Ready::new(settings)?;
        let config = &ready.config;
        let addr = |port| SocketAddr::new(config.listen_address, port);
        let mqtt = service::listen("mqtt", "MQTT_PORT", addr(config.mqtt_port)).await?;
        let ws = service::listen("websocket", "MQTT_WS_PORT", addr(config.mqtt_ws_port)).await?;
        let monitoring = service::listen(
            "monitoring",
            "MONITORING_PORT",
            addr(config.monitoring_port),
        )
        .await?;
        let (mqtt_addr, ws_addr) = (mqtt.local_addr()?, ws.local_addr()?);

        for rule in ready.rules.iter() {
            tracing::debug!("topic rule: {}", rule.describe());
        }

        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let health = admin::Ready::not_yet("starting");
        let router = admin::router(Arc::new(registry), health.clone());
        let admin_addr = admin::serve(monitoring, router, shutdown.clone())?;

        kafka::admin::check(&ready.kafka, KAFKA_TIMEOUT).await?;
        if config.kafka_create_topics {
            let topics = ready.kafka_topics();
            kafka::admin::ensure_topics(&ready.kafka, &topics, KAFKA_TIMEOUT)
                .await
                .context("can't create topics")?;
        }
        let max_connections = config.mqtt_max_connections as usize;
        let sys_interval = Duration::from_secs(config.mqtt_sys_interval_s);
        let rate = config.mqtt_max_connection_rate;
        let node = Arc::new(make_node(ready, metrics, mqtt_addr.port()).await?);
        let summary = format!(
            "{} topic rules, {} retained messages, {} sessions",
            node.rules.iter().count() - 1,
            node.egress.retained.len(),
            node.sessions.directory.stored()
        );
        health.set(Ok(()));
        tokio::spawn(watch_kafka(
            node.ingress.producer().clone(),
            health,
            shutdown.clone(),
        ));

        if !sys_interval.is_zero() {
            tokio::spawn(sys::run(Arc::clone(&node), sys_interval, shutdown.clone()));
        }
        let tasks = TaskTracker::new();
        tokio::spawn(due::run(Arc::clone(&node), shutdown.clone()));
        // A member to the last: it ends after its connections have.
        let ended = Shutdown::new();
        tokio::spawn(membership::run(Arc::clone(&node), ended.clone()));
        let room = Arc::new(Semaphore::new(max_connections));
        let rate = Arc::new(listener::Rate::new(rate));
        for (socket, protocol) in [(mqtt, Protocol::Tcp), (ws, Protocol::WebSocket)] {
            tokio::spawn(listener::accept(
                socket,
                protocol,
                Arc::clone(&rate),
                Arc::clone(&node),
                Arc::clone(&room),
                tasks.clone(),
                shutdown.clone(),
            ));
        }
        Ok(Self {
            mqtt: mqtt_addr,
            ws: ws_addr,
            admin: admin_addr,
            summary,
            node,
            tasks,
            shutdown,
            ended,
        })
    }

    /// Where MQTT over TCP is.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.mqtt
    }

    /// Where MQTT over WebSocket is, path `/mqtt`.
    pub fn ws_addr(&self) -> SocketAddr {
        self.ws
    }

    /// Where `/metrics`, `/live` and `/ready` are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// One line on what was found at the start.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Waits for the shutdown, then drains: clients are told, wills are stored, Kafka acknowledges what is left.
    ///
    /// # Errors
    /// When Kafka did not acknowledge everything in time.
    pub async fn finished(self) -> anyhow::Result<()> {
        let sessions = Arc::clone(&self.node.sessions);
        let directory = &sessions.directory;
        let is_dead = tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = directory.declared_myself.cancelled() => {
                self.shutdown.cancel();
                true
            }
        };
        directory.close_all(ReasonCode::SERVER_SHUTTING_DOWN);
        self.tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "connections did not end in time");
        }
        self.node.catch_up.stop();
        self.ended.cancel();
        sessions.ledger.stop();
        if is_dead {
            anyhow::bail!(
                "another node took over: this one was silent for longer than NODE_LAPSE_MS, or its NODE_NAME is used twice"
            );
        }
        let name = &self.node.name;
        let said = tokio::time::timeout(FLUSH_TIMEOUT, membership::say(&sessions, None, name));
        if !matches!(said.await, Ok(Ok(_))) {
            tracing::warn!("can't say that this node ends: others will find out");
        }
        self.node
            .ingress
            .producer()
            .flush(FLUSH_TIMEOUT)
            .await
            .context("kafka did not acknowledge everything before the end")
    }
}

async fn make_node(ready: Ready, metrics: Arc<Metrics>, port: u16) -> anyhow::Result<Node> {
    let Ready {
        config,
        rules,
        users,
        acl,
        limits,
        kafka,
    } = ready;
    let name = config.node_name.clone().unwrap_or_else(|| {
        let host = gethostname::gethostname();
        format!("{}:{port}", host.to_string_lossy())
    });
    let rules = Arc::new(rules);
    let kafka_topics = rules.iter().map(|rule| rule.kafka_topic.as_str());
    let logs = Arc::new(Logs::new(
        kafka_topics.chain([config.retained_messages_topic.as_str()]),
    ));
    let queue_bytes = usize::try_from(config.kafka_queue_bytes)?;
    let producer = Producer::new(&kafka, queue_bytes)?;
    let ingress = Ingress::new(
        Arc::clone(&rules),
        producer.clone(),
        config.retained_messages_topic.clone(),
        Arc::clone(&metrics),
    );
    let egress = Arc::new(Egress {
        rules: Arc::clone(&rules),
        logs: Arc::clone(&logs),
        retained_topic: config.retained_messages_topic.clone(),
        retained: Retained::default(),
        subscriptions: Subscriptions::default(),
        bells: Mutex::default(),
        metrics: Arc::clone(&metrics),
    });
    let (deliver, ring) = (Arc::clone(&egress), Arc::clone(&egress));
    let tail = Arc::new(Tail::start(
        &kafka,
        "kafka-tail",
        move |record| deliver.deliver(&record),
        move || ring.ring(),
    )?);
    metrics.add_fetched("tail", tail.fetched());
    for kafka_topic in stores(&rules, &config.retained_messages_topic) {
        let to_egress = Arc::clone(&egress);
        let positions = restore(&kafka, &kafka_topic, move |record| {
            to_egress.restore(&record);
        })
        .await?;
        tail.follow(&kafka_topic, None, Start::At(positions))
            .await?;
    }
    metrics.retained.set(egress.retained.len() as i64);
    let catch_up = CatchUp::start(
        &kafka,
        Sweeping {
            logs: Arc::clone(&logs),
            tail: Arc::clone(&tail),
            metrics: Arc::clone(&metrics),
            give: {
                let egress = Arc::clone(&egress);
                Box::new(move |record| egress.sweep(record))
            },
        },
    )?;
    let looked_up = Fetched::default();
    metrics.add_fetched("look-up", &looked_up);
    let lookup = Lookup::start(&kafka, KAFKA_TIMEOUT, &looked_up)?;
    let shared = Fetched::default();
    metrics.add_fetched("shared", &shared);
    let groups_max = config.mqtt_max_shared_groups as usize;
    let shares = Shares::new(kafka.clone(), &config.session_topic, groups_max, shared);
    let membership = Membership::new(&config, &kafka);
    let sessions = start_sessions(Starting {
        name: &name,
        config: &config,
        kafka: &kafka,
        membership: &membership,
        producer,
        lookup: lookup.clone(),
        metrics: &metrics,
    })
    .await?;
    Ok(Node {
        started_ms: now_ms(),
        name,
        settings: NodeSettings {
            queue: mailbox::Bounds {
                messages_max: config.client_queue as usize,
                bytes_max: config.mqtt_client_queue_bytes as usize,
            },
            subscriptions_max: config.mqtt_max_subscriptions as usize,
            server_reference: config.mqtt_server_reference,
            response_information: Some(config.mqtt_response_information)
                .filter(|text| !text.is_empty()),
            checkpoint: Duration::from_secs(config.mqtt_session_checkpoint_s),
        },
        limits,
        rules,
        logs,
        users,
        acl,
        ingress,
        egress,
        tail,
        catch_up,
        lookup,
        ends: Ends::new(&kafka)?,
        sessions,
        membership,
        shares,
        metrics,
        next_id: AtomicU64::new(1),
    })
}

/// What the sessions of a node are started with.
struct Starting<'a> {
    name: &'a str,
    config: &'a Config,
    kafka: &'a kafka::Settings,
    membership: &'a Membership,
    producer: Producer,
    lookup: Lookup,
    metrics: &'a Metrics,
}

/// Reads the session topic, and makes this node one of those that write it.
async fn start_sessions(starting: Starting<'_>) -> anyhow::Result<Arc<Sessions>> {
    let Starting {
        name,
        config,
        kafka,
        membership,
        producer,
        lookup,
        metrics,
    } = starting;
    let topic = config.session_topic.as_str();
    let run = rand::random();
    let partitions = Ends::new(kafka)?.of(topic, KAFKA_TIMEOUT).await?.len();
    let ownership = Ownership::new(name, run);
    let directory = Arc::new(Directory::new(
        topic,
        partitions,
        producer.clone(),
        ownership,
    ));
    let restored = Arc::clone(&directory);
    let positions = restore(kafka, topic, move |record| restored.observe(&record)).await?;
    let followed = Arc::clone(&directory);
    // On a thread of its own: who owns what must not wait behind messages.
    let tail = Tail::start(
        kafka,
        "kafka-sessions",
        move |record| followed.observe(&record),
        || {},
    )?;
    metrics.add_fetched("sessions", tail.fetched());
    tail.follow(topic, None, Start::At(positions)).await?;
    let ledger = match config.kafka_transactions {
        true => Ledger::together(usize::try_from(config.kafka_queue_bytes)?),
        false => Ledger::one_by_one(producer),
    };
    let sessions = Arc::new(Sessions {
        directory,
        tail,
        ledger,
        lookup,
    });
    if config.kafka_transactions {
        let id = transactional_id(topic, name, run);
        let (settings, timeout) = (kafka.clone(), membership.transaction_timeout);
        let start = {
            let (settings, id) = (settings.clone(), id.clone());
            move || Transactions::start(&settings, &id, timeout)
        };
        let first = tokio::task::spawn_blocking(start)
            .await?
            .context("can't use transactions (KAFKA_TRANSACTIONS=false goes without)")?;
        let (runtime, of_node) = (tokio::runtime::Handle::current(), Arc::downgrade(&sessions));
        let still_lives = move || {
            let Some(sessions) = of_node.upgrade() else {
                return false;
            };
            let read = runtime.block_on(membership::read_all(&sessions));
            read.is_ok() && !sessions.directory.declared_myself.is_cancelled()
        };
        let committing = Committing {
            settings,
            id,
            timeout,
            still_lives: Box::new(still_lives),
        };
        sessions.ledger.start(first, committing)?;
    } else {
        tracing::warn!("no transactions: QoS 2 is at least once when a node crashes");
    }
    let alive = NodeRecord::alive(run, None);
    // From now on others know this node, and an earlier run of it is over.
    membership::say(&sessions, Some(&alive), name).await?;
    membership::read_all(&sessions).await?;
    Ok(sessions)
}

/// Kafka topics that hold retained messages.
fn stores(rules: &crate::rules::Rules, retained_topic: &str) -> Vec<String> {
    rules
        .iter()
        .filter(|rule| rule.retain == Retain::Latest)
        .map(|rule| rule.kafka_topic.clone())
        .chain([retained_topic.to_owned()])
        .collect()
}

/// Gives every record that a Kafka topic holds to `on_record`; returns where to go on.
async fn restore(
    kafka: &kafka::Settings,
    kafka_topic: &str,
    on_record: impl FnMut(kafka::Record) + Send + 'static,
) -> anyhow::Result<Vec<Position>> {
    let (kafka, topic) = (kafka.clone(), kafka_topic.to_owned());
    let read = move || kafka::read_to_end(&kafka, &topic, KAFKA_TIMEOUT, on_record);
    tokio::task::spawn_blocking(read)
        .await?
        .with_context(|| format!("can't load what {kafka_topic} holds"))
}

/// Keeps `/ready` true.
async fn watch_kafka(producer: Producer, health: admin::Ready, shutdown: Shutdown) {
    let mut was_there = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return health.set(Err("draining".into())),
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
        let state = producer.probe(PROBE_INTERVAL).await;
        if state.is_ok() != was_there {
            was_there = state.is_ok();
            match &state {
                Ok(()) => tracing::info!("kafka is back"),
                Err(error) => tracing::warn!(%error, "kafka is away: publishes wait"),
            }
        }
        health.set(state.map_err(|error| error.to_string()));
    }
}
