//! The settings of each part, from the demo's.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use fleet::Kind;
use service::config::{Stop, load};
use service::{BadSetting, Settings};
use simulator::scenario::Scenario;

use crate::Config;

/// Topic rules and access rules of the fleet.
const BROKER_TOML: &str = include_str!("../broker.toml");
const ACCESS_CSV: &str = include_str!("../access.csv");

/// The user that vehicles connect as; its password is made at each start.
const SIMULATOR: &str = "simulator";
/// The user that browsers connect as. The access rules let it subscribe below `fleet/` and nothing else, and every
/// page holds its password, so that is no secret.
const BROWSER: &str = "browser";

/// The files that the parts read, in a folder that only this user can read.
pub(crate) struct Files {
    temporary: tempfile::TempDir,
    data_dir: Option<PathBuf>,
    simulator_password: String,
}

impl Files {
    pub(crate) fn make(config: &Config) -> anyhow::Result<Self> {
        let files = Self {
            temporary: tempfile::Builder::new()
                .prefix("convoy-")
                .tempdir()
                .context("can't make a temporary folder")?,
            data_dir: config.data_dir.clone(),
            simulator_password: format!("{:032x}", rand::random::<u128>()),
        };
        let users = format!(
            "{SIMULATOR}={}\n{BROWSER}={BROWSER}\n",
            files.simulator_password
        );
        for (name, text) in [
            ("users", users.as_str()),
            ("broker.toml", BROKER_TOML),
            ("access.csv", ACCESS_CSV),
        ] {
            write_private(&files.path(name), text)
                .with_context(|| format!("can't write {name}"))?;
        }
        Ok(files)
    }

    /// Where the embedded Kafka keeps its data.
    pub(crate) fn kafka_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.path("kafka"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Makes the settings of each part as its own command line would.
pub(crate) struct PartSettings<'a> {
    config: &'a Config,
    files: &'a Files,
    bootstrap_servers: &'a str,
    scenario: Option<Scenario>,
}

impl<'a> PartSettings<'a> {
    /// # Errors
    /// A scenario that can't be used.
    pub(crate) fn new(
        config: &'a Config,
        files: &'a Files,
        bootstrap_servers: &'a str,
    ) -> Result<Self, BadSetting> {
        Ok(Self {
            config,
            files,
            bootstrap_servers,
            scenario: config.scenario.as_deref().map(Scenario::load).transpose()?,
        })
    }

    pub(crate) fn broker(&self) -> anyhow::Result<Settings<broker::Config>> {
        let config = self.config;
        let mut flags = Flags::new("broker");
        flags
            .add("config", self.files.path("broker.toml"))
            .add("users-file-path", self.files.path("users"))
            .add("authorization-rules-path", self.files.path("access.csv"))
            // Whoever is on this machine may look; only the simulator may publish.
            .add("authentication-required", "false")
            .add("listen-address", "127.0.0.1")
            .add("kafka-bootstrap-servers", self.bootstrap_servers)
            .add("mqtt-port", config.mqtt_port.to_string())
            .add("mqtt-ws-port", config.mqtt_ws_port.to_string())
            .add("monitoring-port", config.monitoring_port.to_string());
        flags.load(broker::TABLES)
    }

    pub(crate) fn aggregator(&self) -> anyhow::Result<aggregator::Config> {
        let mut flags = Flags::new("aggregator");
        flags
            .add("silent-after-s", self.config.silent_after_s.to_string())
            .add("kafka-bootstrap-servers", self.bootstrap_servers)
            .add(
                "metrics-port",
                self.config.aggregator_metrics_port.to_string(),
            );
        Ok(flags.load(&[])?.args)
    }

    pub(crate) fn simulator(&self, mqtt: SocketAddr) -> anyhow::Result<simulator::Config> {
        let config = self.config;
        let mut flags = Flags::new("simulator");
        match &config.scenario {
            Some(file) => flags.add("scenario", file),
            None => flags
                .add("map", self.map())
                .add("kind", config.kind.to_string())
                .add("vehicles", config.vehicles.to_string()),
        };
        if let Some(file) = &config.state_file {
            flags.add("state-file", file);
        }
        flags
            .add("seed", config.seed.to_string())
            .add("speed", &config.speed)
            .add("start-time", &config.start_time)
            .add("mqtt-host", mqtt.ip().to_string())
            .add("mqtt-port", mqtt.port().to_string())
            .add("mqtt-username", SIMULATOR)
            .add("mqtt-password", &self.files.simulator_password)
            .add("metrics-port", config.simulator_metrics_port.to_string());
        Ok(flags.load(&[])?.args)
    }

    pub(crate) fn web_ui(&self, mqtt_ws: SocketAddr) -> anyhow::Result<web_ui::Config> {
        let mut flags = Flags::new("web-ui");
        flags
            .add("map", self.map())
            .add("kind", self.kind().to_string())
            .add("port", self.config.web_ui_port.to_string())
            .add("mqtt-ws-port", mqtt_ws.port().to_string())
            .add("mqtt-username", BROWSER)
            .add("mqtt-password", BROWSER);
        Ok(flags.load(&[])?.args)
    }

    /// What the page is about: most of the vehicles.
    fn kind(&self) -> Kind {
        let fleets = self.scenario.iter().flat_map(|scenario| &scenario.fleets);
        let largest = fleets.max_by_key(|fleet| fleet.count);
        largest.map_or(self.config.kind, |fleet| fleet.kind)
    }

    /// The map that was asked for, or the shipped one of this kind of vehicle.
    fn map(&self) -> PathBuf {
        if let Some(scenario) = &self.scenario {
            return scenario.map.clone();
        }
        self.config.map.clone().unwrap_or_else(|| {
            let name = match self.config.kind {
                Kind::Taxi => "manhattan.osm.pbf",
                Kind::Truck => "italy.osm.pbf",
            };
            let of_the_sources = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../data")
                .join(name);
            if of_the_sources.exists() {
                of_the_sources
            } else {
                Path::new("data").join(name)
            }
        })
    }
}

/// A command line.
struct Flags(Vec<OsString>);

impl Flags {
    fn new(program: &str) -> Self {
        Self(vec![program.into()])
    }

    fn add(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value.into());
        self.0.push(flag);
        self
    }

    fn load<A: Parser>(self, tables: &[&str]) -> anyhow::Result<Settings<A>> {
        load(self.0, tables).map_err(|stop| match stop {
            Stop::Bad(bad) => bad.into(),
            Stop::Print(text) => BadSetting(text).into(),
        })
    }
}
