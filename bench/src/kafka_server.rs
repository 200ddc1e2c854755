//! The Kafka under the broker: an embedded one as a process of its own, Apache Kafka, or one that runs already.

use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::process::{self, Process};

const TIMEOUT: Duration = Duration::from_secs(15);

/// What `--kafka` says.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Embedded,
    Apache,
    Servers(String),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "apache" => Ok(Self::Apache),
            servers if servers.contains(':') => Ok(Self::Servers(servers.to_owned())),
            _ => Err("not embedded, apache or host:port".into()),
        }
    }
}

/// A Kafka for one scenario.
pub(crate) struct Kafka {
    pub(crate) bootstrap_servers: String,
    /// Makes topics of this run its own, since a Kafka that runs already is shared.
    prefix: String,
    runs: Runs,
}

enum Runs {
    Embedded {
        process: Box<Process>,
        _data: tempfile::TempDir,
    },
    Apache(tempfile::TempDir),
    Elsewhere,
}

impl Kafka {
    pub(crate) async fn start(choice: &Choice) -> anyhow::Result<Self> {
        let (bootstrap_servers, runs) = match choice {
            Choice::Embedded => embedded().await?,
            Choice::Apache => tokio::task::spawn_blocking(apache).await??,
            Choice::Servers(servers) => (servers.clone(), Runs::Elsewhere),
        };
        Ok(Self {
            bootstrap_servers,
            prefix: format!("bench-{:08x}-", rand::random::<u32>()),
            runs,
        })
    }

    pub(crate) fn settings(&self) -> kafka::Settings {
        kafka::Settings::new(&self.bootstrap_servers)
    }

    /// The process that serves it.
    ///
    /// # Errors
    /// When that is none of ours.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        match &self.runs {
            Runs::Embedded { process, .. } => Ok(process.pid),
            Runs::Apache(data) => {
                for node in std::fs::read_dir(data.path())? {
                    if let Ok(pid) = std::fs::read_to_string(node?.path().join("pid")) {
                        return Ok(pid.trim().parse()?);
                    }
                }
                bail!("apache kafka has no pid file in {}", data.path().display())
            }
            Runs::Elsewhere => bail!("that kafka is not of this run"),
        }
    }

    /// The full name of a topic of this run.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Makes a topic of this run, with as many partitions as the broker's own have.
    pub(crate) async fn make_topic(&self, name: &str) -> anyhow::Result<String> {
        let topic = self.topic(name);
        let new = kafka::admin::NewKafkaTopic::with_retention(&topic, 6, TIMEOUT * 1000);
        kafka::admin::ensure_topics(&self.settings(), &[new], TIMEOUT).await?;
        Ok(topic)
    }
}

async fn embedded() -> anyhow::Result<(String, Runs)> {
    let data = tempfile::tempdir()?;
    let mut command = tokio::process::Command::new(process::beside("embedded-kafka")?);
    command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .env("RUST_LOG", "warn");
    let mut process = Process::start("embedded-kafka", &mut command)?;
    let line = process.line().await?;
    let servers = line.strip_prefix("kafka ").map(ToOwned::to_owned);
    let servers = servers.with_context(|| format!("`{line}` does not say where kafka is"))?;
    let runs = Runs::Embedded {
        process: Box::new(process),
        _data: data,
    };
    Ok((servers, runs))
}

fn apache() -> anyhow::Result<(String, Runs)> {
    let data = tempfile::tempdir()?;
    let output = xtask_kafka(&data)?.args(["--port", "0"]).output()?;
    if !output.status.success() {
        bail!(
            "apache kafka does not start: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let servers = String::from_utf8(output.stdout)?.trim().to_owned();
    Ok((servers, Runs::Apache(data)))
}

/// `cargo xtask kafka`, which leaves it running in the background.
fn xtask_kafka(data: &tempfile::TempDir) -> anyhow::Result<Command> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let mut command = Command::new(cargo);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["xtask", "kafka", "--dir"])
        .arg(data.path());
    Ok(command)
}

impl Drop for Runs {
    fn drop(&mut self) {
        if let Self::Apache(data) = self {
            let stopped = xtask_kafka(data).and_then(|mut stop| Ok(stop.arg("--stop").output()?));
            if !stopped.is_ok_and(|output| output.status.success()) {
                eprintln!("can't stop apache kafka in {}", data.path().display());
            }
        }
    }
}
