//! The servers: the broker and Mosquitto under the same load.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::kafka_server::Kafka;
use crate::process::{self, Process};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";
/// How long a server may take until it accepts clients.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// An MQTT server that runs for one measurement.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) mqtt: SocketAddr,
    process: Process,
    /// Where the broker shows its metrics.
    monitoring: Option<SocketAddr>,
    /// From the start of the process until it took clients.
    pub(crate) ready_after: Duration,
    _config: Option<tempfile::TempDir>,
}

impl Server {
    /// One without metrics, which takes clients already.
    pub(crate) fn plain(name: &'static str, mqtt: SocketAddr, process: Process) -> Self {
        Self {
            name,
            mqtt,
            process,
            monitoring: None,
            ready_after: Duration::ZERO,
            _config: None,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.pid())
    }

    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        process::memory(self.pid())
    }

    /// The value of one metric of the broker, by its name with labels; `None` when it has no such metric.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<Option<f64>> {
        metric(
            self.monitoring.context("only the broker has metrics")?,
            name,
        )
        .await
    }
}

/// Starts the broker and waits until it is ready.
pub(crate) async fn broker(kafka: &Kafka) -> anyhow::Result<Server> {
    // Variables, not flags: a broker that does not know one of them starts all the same.
    let topics = [
        ("KAFKA_MESSAGES_DEFAULT_TOPIC", "messages"),
        ("RETAINED_MESSAGES_TOPIC", "retained"),
        ("SESSION_TOPIC", "sessions"),
        ("CONNECTION_TOPIC", "connections"),
    ];
    let monitoring = free_port().await?;
    let start = Instant::now();
    let mut process = Process::start(
        "broker",
        Command::new(process::beside("broker")?)
            .envs(topics.map(|(variable, name)| (variable, kafka.topic(name))))
            .env("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap_servers)
            .env("LISTEN_ADDRESS", "127.0.0.1")
            .env("MQTT_PORT", "0")
            .env("MQTT_WS_PORT", "0")
            .env("MONITORING_PORT", monitoring.port().to_string())
            .env("AUTHENTICATION_REQUIRED", "false")
            .env("AUTHORIZATION_PUBLISH_DEFAULT_OUTCOME", "ALLOW")
            .env("AUTHORIZATION_SUBSCRIBE_DEFAULT_OUTCOME", "ALLOW"),
    )?;
    until(&mut process, async || {
        matches!(get(monitoring, "/ready").await, Ok((200, _)))
    })
    .await?;
    let ready_after = start.elapsed();
    let line = process.line().await?;
    let mqtt = line
        .split_once("mqtt on ")
        .and_then(|(_, rest)| rest.split(',').next())
        .and_then(|addr| addr.parse().ok())
        .with_context(|| format!("`{line}` does not say where mqtt is"))?;
    Ok(Server {
        name: "broker",
        mqtt,
        process,
        monitoring: Some(monitoring),
        ready_after,
        _config: None,
    })
}

/// Starts Mosquitto, or says which package has it. `more` are lines of its configuration.
pub(crate) async fn mosquitto(more: &str) -> anyhow::Result<Option<Server>> {
    if !Path::new(MOSQUITTO).is_file() {
        eprintln!(
            "{MOSQUITTO} is not there, so nothing is compared with it: install Debian's package `mosquitto`"
        );
        return Ok(None);
    }
    let mqtt = free_port().await?;
    let config = tempfile::tempdir()?;
    let file = config.path().join("mosquitto.conf");
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nset_tcp_nodelay true\n{more}\n",
        mqtt.port()
    );
    std::fs::write(&file, text)?;
    let mut command = Command::new(MOSQUITTO);
    let start = Instant::now();
    let mut process = Process::start("mosquitto", command.arg("-c").arg(&file))?;
    until(&mut process, async || {
        TcpStream::connect(mqtt).await.is_ok()
    })
    .await?;
    Ok(Some(Server {
        name: "mosquitto",
        mqtt,
        process,
        monitoring: None,
        ready_after: start.elapsed(),
        _config: Some(config),
    }))
}

/// A port of the loopback that nobody uses now.
pub(crate) async fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?)
}

/// Status and body of a GET.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let status = status.with_context(|| format!("{addr} does not speak http"))?;
    Ok((status, body.to_owned()))
}

/// The value of one metric, by its name with labels; `None` when there is no such metric.
pub(crate) async fn metric(admin: SocketAddr, name: &str) -> anyhow::Result<Option<f64>> {
    let (_, body) = get(admin, "/metrics").await?;
    let values = body.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = values.filter(|(of, _)| *of == name);
    Ok(found.next().map(|(_, value)| value.parse()).transpose()?)
}

/// Asks every few milliseconds until the answer is yes, or the process has ended.
pub(crate) async fn until(
    process: &mut Process,
    is_so: impl AsyncFn() -> bool,
) -> anyhow::Result<()> {
    let ask = async {
        while !is_so().await {
            process.still_runs()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    tokio::time::timeout(START_TIMEOUT, ask)
        .await
        .with_context(|| format!("it takes no clients after {START_TIMEOUT:?}"))?
}
