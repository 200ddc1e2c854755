//! All of Convoy in one process: embedded Kafka, broker, aggregator, web UI, simulator.
//!
//! The parts meet in Kafka and over MQTT on loopback, as they do when each is a process of its own: there is no
//! shortcut between them.

mod config;
mod settings;

use std::net::SocketAddr;
use std::pin::Pin;
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

const SIMULATOR: &str = "simulator";

/// A demo that runs.
pub struct Demo {
    addresses: Addresses,
    started: Started,
}

struct Addresses {
    bootstrap_servers: String,
    mqtt: SocketAddr,
    ws: SocketAddr,
    page_url: String,
}

/// What runs, and must be ended.
struct Started {
    /// In the order in which they came up, each after those that it needs.
    parts: Vec<Part>,
    /// The embedded server; none when the user has a Kafka.
    kafka: Option<embedded_kafka::Server>,
    /// Users, access rules and, unless asked otherwise, the data: removed when this is dropped, after all that use it.
    files: Files,
}

struct Part {
    name: &'static str,
    shutdown: Shutdown,
    finished: Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>,
}

impl Demo {
    /// Starts everything; `say` gets one line for each part as it comes up.
    ///
    /// # Errors
    /// What the part that can't start says: a [`service::BadSetting`], a port in use, Kafka that can't be reached.
    /// What had come up before it has ended by then.
    pub async fn start(config: Config, say: impl FnMut(&str, &str)) -> anyhow::Result<Self> {
        let mut started = Started {
            parts: Vec::new(),
            kafka: None,
            files: Files::make(&config)?,
        };
        match started.start(&config, say).await {
            Ok(addresses) => Ok(Self { addresses, started }),
            Err(error) => {
                // Why it can't start is what the user must know; an end that goes wrong after it is for the log.
                if let Err(end) = started.end().await {
                    tracing::warn!(error = format!("{end:#}"), "a part did not end well");
                }
                Err(error)
            }
        }
    }

    /// The Kafka that it uses.
    pub fn bootstrap_servers(&self) -> &str {
        &self.addresses.bootstrap_servers
    }

    /// Where MQTT over TCP is.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.addresses.mqtt
    }

    /// Where MQTT over WebSocket is.
    pub fn ws_addr(&self) -> SocketAddr {
        self.addresses.ws
    }

    /// Where the page is.
    pub fn page_url(&self) -> &str {
        &self.addresses.page_url
    }

    /// Stops the vehicles; everything else goes on.
    ///
    /// # Errors
    /// When the simulator did not end well.
    pub async fn stop_vehicles(&mut self) -> anyhow::Result<()> {
        let parts = &mut self.started.parts;
        match parts.pop_if(|part| part.name == SIMULATOR) {
            Some(simulator) => simulator.end().await,
            None => Ok(()),
        }
    }

    /// Ends the parts one after the other: vehicles say goodbye, totals are written, clients are told, Kafka is flushed.
    ///
    /// # Errors
    /// The first part that did not end well; the others are ended all the same.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.started.end().await
    }
}

impl Started {
    async fn start(
        &mut self,
        config: &Config,
        mut say: impl FnMut(&str, &str),
    ) -> anyhow::Result<Addresses> {
        let bootstrap_servers = match &config.kafka_bootstrap_servers {
            Some(servers) => servers.clone(),
            None => {
                let server = start_kafka(&self.files).await?;
                self.kafka.insert(server).bootstrap_servers()
            }
        };
        say(
            "kafka",
            &format!("{} on {bootstrap_servers}", kafka_kind(config)),
        );

        let settings = PartSettings::new(config, &self.files, &bootstrap_servers)?;
        let shutdown = Shutdown::new();
        let broker = Broker::start(settings.broker()?, shutdown.clone()).await?;
        let (mqtt, ws) = (broker.mqtt_addr(), broker.ws_addr());
        let admin = broker.admin_addr();
        say(
            "broker",
            &format!("mqtt on {mqtt}, websocket on {ws}, metrics on {admin}"),
        );
        self.parts
            .push(Part::new("broker", shutdown, broker.finished()));

        let shutdown = Shutdown::new();
        let aggregator = Aggregator::start(settings.aggregator()?, shutdown.clone()).await?;
        say("aggregator", aggregator.summary());
        self.parts
            .push(Part::new("aggregator", shutdown, aggregator.finished()));

        // Each reads the map in its own way: at the same time, since that is what a start waits for.
        let shutdowns = (Shutdown::new(), Shutdown::new());
        let (simulator, web_ui) = tokio::join!(
            Simulator::start(settings.simulator(mqtt)?, shutdowns.0.clone()),
            WebUi::start(settings.web_ui(ws)?, shutdowns.1.clone()),
        );
        let web_ui = web_ui.map(|web_ui| {
            say("web-ui", &web_ui.summary());
            let page_url = format!("http://{}/", web_ui.addr());
            self.parts
                .push(Part::new("web-ui", shutdowns.1, web_ui.finished()));
            page_url
        });
        let simulator = simulator.map(|simulator| {
            say(SIMULATOR, &simulator.summary());
            self.parts
                .push(Part::new(SIMULATOR, shutdowns.0, simulator.finished()));
        });
        simulator?;
        Ok(Addresses {
            bootstrap_servers,
            mqtt,
            ws,
            page_url: web_ui?,
        })
    }

    async fn end(self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for part in self.parts.into_iter().rev() {
            result = result.and(part.end().await);
        }
        if let Some(kafka) = self.kafka {
            kafka.shutdown().await;
        }
        result
    }
}

impl Part {
    fn new(
        name: &'static str,
        shutdown: Shutdown,
        finished: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        Self {
            name,
            shutdown,
            finished: Box::pin(finished),
        }
    }

    async fn end(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        tokio::time::timeout(PART_TIMEOUT, self.finished)
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it did not end within {PART_TIMEOUT:?}")))
            .with_context(|| format!("{} did not end well", self.name))
    }
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
