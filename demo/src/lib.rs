//! All of Convoy in one process: embedded Kafka, broker, aggregator, web UI, simulator.
//!
//! The parts meet in Kafka and over MQTT on loopback, as they do when each is a process of its own: there is no
//! shortcut between them.

mod config;
mod settings;

use std::net::SocketAddr;
use std::time::Duration;

use aggregator::Aggregator;
use anyhow::Context;
use broker::Broker;
use service::Shutdown;
use simulator::Simulator;
use web_ui::WebUi;

pub use config::Config;
use settings::{Files, PartSettings};

/// How long a part may take to end before the next one is told to.
const PART_TIMEOUT: Duration = Duration::from_secs(2);

/// A demo that runs.
pub struct Demo {
    /// The embedded server; none when the user has a Kafka.
    kafka: Option<embedded_kafka::Server>,
    bootstrap_servers: String,
    broker: Part<Broker>,
    aggregator: Part<Aggregator>,
    web_ui: Part<WebUi>,
    /// None once the vehicles have been stopped.
    simulator: Option<Part<Simulator>>,
    /// Users, access rules and, unless asked otherwise, the data: removed when this is dropped.
    _files: Files,
}

/// A part, and what ends it: the parts end one after the other, each before those that it needs.
struct Part<T> {
    part: T,
    shutdown: Shutdown,
}

impl Demo {
    /// Starts everything; `say` gets one line for each part as it comes up.
    ///
    /// # Errors
    /// What the part that can't start says: a [`service::BadSetting`], a port in use, Kafka that can't be reached.
    pub async fn start(config: Config, mut say: impl FnMut(&str, &str)) -> anyhow::Result<Self> {
        let files = Files::make(&config)?;
        let (kafka, bootstrap_servers) = match &config.kafka_bootstrap_servers {
            Some(servers) => (None, servers.clone()),
            None => {
                let server = start_kafka(&files).await?;
                let servers = server.bootstrap_servers();
                (Some(server), servers)
            }
        };
        say(
            "kafka",
            &format!("{} on {bootstrap_servers}", kafka_kind(&config)),
        );

        let settings = PartSettings::new(&config, &files, &bootstrap_servers);
        let shutdown = Shutdown::new();
        let broker = Broker::start(settings.broker()?, shutdown.clone()).await?;
        let broker = Part {
            part: broker,
            shutdown,
        };
        say(
            "broker",
            &format!(
                "mqtt on {}, websocket on {}, metrics on {}",
                broker.part.mqtt_addr(),
                broker.part.ws_addr(),
                broker.part.admin_addr()
            ),
        );

        let shutdown = Shutdown::new();
        let aggregator = Aggregator::start(settings.aggregator()?, shutdown.clone()).await?;
        say("aggregator", aggregator.summary());
        let aggregator = Part {
            part: aggregator,
            shutdown,
        };

        // Each reads the map in its own way: at the same time, since that is what a start waits for.
        let shutdowns = (Shutdown::new(), Shutdown::new());
        let (simulator, web_ui) = tokio::try_join!(
            Simulator::start(settings.simulator(&broker.part)?, shutdowns.0.clone()),
            WebUi::start(settings.web_ui(&broker.part)?, shutdowns.1.clone()),
        )?;
        say("simulator", &simulator.summary());
        say("web-ui", &web_ui.summary());
        Ok(Self {
            kafka,
            bootstrap_servers,
            broker,
            aggregator,
            web_ui: Part {
                part: web_ui,
                shutdown: shutdowns.1,
            },
            simulator: Some(Part {
                part: simulator,
                shutdown: shutdowns.0,
            }),
            _files: files,
        })
    }

    /// The Kafka that it uses.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Where MQTT over TCP is.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.broker.part.mqtt_addr()
    }

    /// Where MQTT over WebSocket is.
    pub fn ws_addr(&self) -> SocketAddr {
        self.broker.part.ws_addr()
    }

    /// Where the page is.
    pub fn page_url(&self) -> String {
        format!("http://{}/", self.web_ui.part.addr())
    }

    /// Stops the vehicles; everything else goes on.
    ///
    /// # Errors
    /// When the simulator did not end well.
    pub async fn stop_vehicles(&mut self) -> anyhow::Result<()> {
        match self.simulator.take() {
            Some(Part { part, shutdown }) => end("simulator", shutdown, part.finished()).await,
            None => Ok(()),
        }
    }

    /// Ends the parts one after the other: vehicles say goodbye, totals are written, clients are told, Kafka is flushed.
    ///
    /// # Errors
    /// The first part that did not end well; the others are ended all the same.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let vehicles = self.stop_vehicles().await;
        let Self {
            kafka,
            broker,
            aggregator,
            web_ui,
            ..
        } = self;
        let web_ui = end("web-ui", web_ui.shutdown, web_ui.part.finished()).await;
        let totals = end(
            "aggregator",
            aggregator.shutdown,
            aggregator.part.finished(),
        )
        .await;
        let broker = end("broker", broker.shutdown, broker.part.finished()).await;
        if let Some(kafka) = kafka {
            kafka.shutdown().await;
        }
        vehicles.and(web_ui).and(totals).and(broker)
    }
}

async fn end(
    name: &str,
    shutdown: Shutdown,
    finished: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    shutdown.cancel();
    tokio::time::timeout(PART_TIMEOUT, finished)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("it did not end within {PART_TIMEOUT:?}")))
        .with_context(|| format!("{name} did not end well"))
}

async fn start_kafka(files: &Files) -> anyhow::Result<embedded_kafka::Server> {
    let config = embedded_kafka::Config::new(files.kafka_dir());
    embedded_kafka::Server::start(config)
        .await
        .context("can't start the embedded kafka")
}

fn kafka_kind(config: &Config) -> String {
    match (&config.kafka_bootstrap_servers, &config.data_dir) {
        (Some(_), _) => "yours".into(),
        (None, Some(dir)) => format!("embedded, data in {},", dir.display()),
        (None, None) => "embedded, forgets when it ends,".into(),
    }
}
