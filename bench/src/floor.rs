//! What the work would cost without a broker: a server that only reads and acknowledges, and a bare Kafka producer. Each
//! is a process of its own, so that its CPU time can be told from the load's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::BytesMut;
use kafka::{Producer, ToSend};
use mqtt::packet::{Ack, ConnAck};
use mqtt::{Packet, ReasonCode, Version, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::client::payload;
use crate::kafka_server::Kafka;
use crate::load::paced;
use crate::process::{self, Process};
use crate::scenario::Cost;
use crate::servers::Server;

/// The broker's own default for what may wait for Kafka.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Kafka takes records, or something is wrong.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts the server that only reads and acknowledges; `hold` is how long after reading.
pub(crate) async fn server(hold: Duration) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("floor-server")
        .arg(format!("--hold-us={}", hold.as_micros()));
    let mut process = Process::start("floor-server", &mut command)?;
    let line = process.line().await?;
    let mqtt = line
        .strip_prefix("mqtt on ")
        .and_then(|addr| addr.parse().ok());
    let mqtt = mqtt.with_context(|| format!("`{line}` does not say where mqtt is"))?;
    Ok(Server::plain("floor-server", mqtt, process))
}

/// Runs the server, in the child process; it never ends by itself.
pub(crate) async fn serve(hold: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("mqtt on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = acknowledge(stream, hold).await {
                eprintln!("floor-server: {error:#}");
            }
        });
    }
}

async fn acknowledge(mut stream: TcpStream, hold: Duration) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut out) = (BytesMut::new(), BytesMut::new());
    let version = Version::V3_1_1;
    loop {
        buffer.reserve(16 * 1024);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        while let Some(packet) = codec::decode(&mut buffer, version, usize::MAX)? {
            let answer = match packet {
                Packet::Connect(_) => Packet::ConnAck(ConnAck {
                    session_present: false,
                    reason: ReasonCode::SUCCESS,
                    properties: Default::default(),
                }),
                Packet::Publish(publish) => match publish.packet_id {
                    Some(id) => Packet::PubAck(Ack::success(id)),
                    None => continue,
                },
                _ => continue,
            };
            codec::encode(&answer, version, &mut out);
        }
        if !hold.is_zero() {
            tokio::time::sleep(hold).await;
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// Records as the broker writes them, and how they are produced.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Records {
    #[arg(long)]
    servers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    publishers: usize,
    #[arg(long)]
    payload_bytes: usize,
    #[arg(long)]
    total: u64,
    /// Records that Kafka has not acknowledged, at most
    #[arg(long)]
    in_flight: usize,
    /// 0: as fast as the acknowledgements allow
    #[arg(long)]
    per_second: f64,
}

impl Records {
    pub(crate) async fn new(
        kafka: &Kafka,
        publishers: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            servers: kafka.bootstrap_servers.clone(),
            topic: kafka.make_topic("floor").await?,
            publishers,
            payload_bytes,
            total: 0,
            in_flight: Semaphore::MAX_PERMITS,
            per_second: 0.0,
        })
    }

    pub(crate) fn in_flight(self, in_flight: usize, total: u64) -> Self {
        Self {
            in_flight,
            total,
            ..self
        }
    }

    pub(crate) fn paced(self, per_second: f64, total: u64) -> Self {
        Self {
            per_second,
            total,
            ..self
        }
    }

    /// What a process takes that does nothing but produce them.
    pub(crate) async fn cost(&self) -> anyhow::Result<Cost> {
        eprintln!("bare producer: {} records", self.total);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("floor-producer")
            .arg(format!("--servers={}", self.servers))
            .arg(format!("--topic={}", self.topic))
            .arg(format!("--publishers={}", self.publishers))
            .arg(format!("--payload-bytes={}", self.payload_bytes))
            .arg(format!("--total={}", self.total))
            .arg(format!("--in-flight={}", self.in_flight))
            .arg(format!("--per-second={}", self.per_second));
        let mut process = Process::start("floor-producer", &mut command)?;
        let line = process.line().await?;
        let seconds = line.strip_prefix("cpu ").and_then(|text| text.parse().ok());
        let seconds = seconds.with_context(|| format!("`{line}` does not say the cpu time"))?;
        Ok(Cost {
            cpu: Duration::from_secs_f64(seconds),
            due: self.total,
            lost: 0,
        })
    }

    /// Produces, in the child process, and prints the CPU seconds that it took.
    pub(crate) async fn produce(&self) -> anyhow::Result<()> {
        let producer = Producer::new(&kafka::Settings::new(&self.servers), QUEUE_BYTES)?;
        let room = Arc::new(Semaphore::new(self.in_flight));
        // A fifth more, to connect and get going.
        let warm = self.total / 5;
        self.send(&producer, &room, warm).await?;
        let before = process::cpu(std::process::id())?;
        self.send(&producer, &room, self.total).await?;
        let cpu = process::cpu(std::process::id())? - before;
        println!("cpu {}", cpu.as_secs_f64());
        Ok(())
    }

    async fn send(
        &self,
        producer: &Producer,
        room: &Arc<Semaphore>,
        total: u64,
    ) -> anyhow::Result<()> {
        let value = payload(self.payload_bytes);
        let keys: Vec<String> = (0..self.publishers)
            .map(|at| format!("ingest/{at}"))
            .collect();
        let send = async |at: u64| {
            room.acquire().await?.forget();
            let key = keys[at as usize % keys.len()].as_bytes();
            let record = ToSend {
                kafka_topic: &self.topic,
                partition: None,
                key: Some(key),
                value: Some(&value),
                headers: &[("mqtt.qos", b"1"), ("mqtt.client", key)],
            };
            let room = Arc::clone(room);
            let mut on_delivery: Option<kafka::OnDelivery> = Some(Box::new(move |result| {
                // A refused one leaves its place taken, so that the end is not reached.
                if result.is_ok() {
                    room.add_permits(1);
                }
            }));
            while let Err(kafka::Full(back)) = producer.send(&record, on_delivery.take()) {
                on_delivery = back;
                producer.has_room().await;
            }
            Ok(())
        };
        if self.per_second > 0.0 {
            paced(self.per_second, total, send).await?;
        } else {
            for at in 0..total {
                send(at).await?;
            }
        }
        producer.flush(FLUSH_TIMEOUT).await?;
        if room.available_permits() != self.in_flight {
            bail!("kafka refused records");
        }
        Ok(())
    }
}
