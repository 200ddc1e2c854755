//! What the broker's tests share: a Kafka, a broker in the process, and a client that hides nothing.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // each test file uses a part of it

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::packet::{
    Ack, ConnAck, Connect, Publish, SubAck, Subscribe, Subscription, SubscriptionOptions,
};
use mqtt::properties::Properties;
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, codec};
use service::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for what must come. Generous, since machines are busy; nothing waits so long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A Kafka: the one that `TEST_KAFKA` names, or an embedded one.
pub struct Kafka {
    pub bootstrap_servers: String,
    _embedded: Option<(embedded_kafka::Server, tempfile::TempDir)>,
    /// Makes the topics of each test its own, since a real Kafka is shared.
    pub prefix: String,
}

impl Kafka {
    /// One that runs already.
    pub fn at(bootstrap_servers: String) -> Self {
        Self {
            bootstrap_servers,
            _embedded: None,
            prefix: prefix(),
        }
    }

    pub async fn start() -> Self {
        let named = std::env::var("TEST_KAFKA")
            .ok()
            .filter(|servers| !servers.is_empty());
        if let Some(bootstrap_servers) = named {
            return Self::at(bootstrap_servers);
        }
        let dir = tempfile::tempdir().unwrap();
        let server = embedded_kafka::Server::start(embedded_kafka::Config::new(dir.path()))
            .await
            .unwrap();
        Self {
            bootstrap_servers: server.bootstrap_servers(),
            _embedded: Some((server, dir)),
            prefix: prefix(),
        }
    }

    /// A Kafka topic of this test.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn settings(&self) -> kafka::Settings {
        kafka::Settings::new(&self.bootstrap_servers)
    }

    /// All records of a topic of this test.
    pub async fn records(&self, name: &str) -> Vec<kafka::Record> {
        let (settings, topic) = (self.settings(), self.topic(name));
        tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            kafka::read_to_end(&settings, &topic, PATIENCE, |record| records.push(record)).unwrap();
            records
        })
        .await
        .unwrap()
    }

    /// Writes one record, as any Kafka producer would.
    pub async fn produce(&self, name: &str, key: &str, value: Option<&str>) {
        let producer = kafka::Producer::new(&self.settings(), 1 << 20).unwrap();
        let record = kafka::ToSend {
            kafka_topic: &self.topic(name),
            partition: None,
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &[("source", b"elsewhere")],
        };
        assert!(producer.send(&record, None).is_ok());
        producer.flush(PATIENCE).await.unwrap();
    }

    /// Flags of a broker on this Kafka and on free ports.
    pub fn flags(&self) -> Vec<String> {
        [
            ("kafka-bootstrap-servers", self.bootstrap_servers.as_str()),
            ("kafka-messages-default-topic", &self.topic("messages")),
            ("retained-messages-topic", &self.topic("retained")),
            ("session-topic", &self.topic("sessions")),
            ("kafka-partitions", "3"),
            ("listen-address", "127.0.0.1"),
            ("mqtt-port", "0"),
            ("mqtt-ws-port", "0"),
            ("monitoring-port", "0"),
            ("node-name", "node"),
        ]
        .map(|(name, value)| format!("--{name}={value}"))
        .to_vec()
    }
}

fn prefix() -> String {
    format!("t{:08x}-", rand::random::<u32>())
}

/// A broker in the process: users `ann` and `bob` (password `secret`) may do everything, `eve` only read `open/#`.
pub struct TestBroker {
    pub broker: broker::Broker,
    pub shutdown: Shutdown,
    _files: tempfile::TempDir,
}

pub fn write_file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    path
}

/// Users and access rules as flags.
pub fn access(dir: &tempfile::TempDir) -> Vec<String> {
    let users = write_file(dir, "users", "ann=secret\nbob=secret\neve=secret\n");
    let rules = write_file(
        dir,
        "rules",
        "Topic, Action, Condition, Outcome\n\
         open/#, SUBSCRIBE, , ALLOW\n\
         $SYS/#, SUBSCRIBE, username=ann, ALLOW\n\
         #, ALL, username=eve, DENY\n\
         #, ALL, authenticated=true, ALLOW\n",
    );
    vec![
        format!("--users-file-path={}", users.display()),
        format!("--authorization-rules-path={}", rules.display()),
    ]
}

/// A flag that stands twice is refused, so a later one takes the place of an earlier one.
pub fn last_of_each(flags: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for flag in flags {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        kept.retain(|known| name(known) != name(&flag));
        kept.push(flag);
    }
    kept
}

impl TestBroker {
    pub async fn start(kafka: &Kafka) -> Self {
        Self::start_with(kafka, "", &[]).await
    }

    /// With a config file (in which `{prefix}` is the prefix of this test's Kafka topics) and more flags.
    pub async fn start_with(kafka: &Kafka, config: &str, more: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let config = write_file(
            &files,
            "broker.toml",
            &config.replace("{prefix}", &kafka.prefix),
        );
        let mut argv = vec![
            "broker".to_owned(),
            format!("--config={}", config.display()),
        ];
        let flags = kafka.flags().into_iter().chain(access(&files));
        argv.extend(last_of_each(
            flags.chain(more.iter().map(ToString::to_string)),
        ));
        let argv = argv.into_iter().map(Into::into).collect();
        let settings = service::config::load(argv, broker::TABLES).unwrap();
        let shutdown = Shutdown::new();
        let broker = broker::Broker::start(settings, shutdown.clone())
            .await
            .unwrap();
        Self {
            broker,
            shutdown,
            _files: files,
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.broker.finished().await.unwrap();
    }

    /// A client of `ann`, connected.
    pub async fn client(&self, version: Version, client_id: &str) -> Client {
        let mut client = Client::open(self.broker.mqtt_addr(), version).await;
        let answer = client.connect(connect(version, client_id)).await;
        assert_eq!(answer.reason, ReasonCode::SUCCESS);
        client
    }
}

/// A CONNECT of `ann`, clean, without keep alive.
pub fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 0,
        properties: Properties::default(),
        client_id: client_id.into(),
        will: None,
        username: Some("ann".into()),
        password: Some(Bytes::from_static(b"secret")),
    }
}

/// A CONNECT of `ann` whose session outlives the connection.
pub fn persistent(version: Version, client_id: &str) -> Connect {
    let mut connect = connect(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties.session_expiry_s = Some(3600);
    }
    connect
}

pub fn id(number: u16) -> PacketId {
    PacketId::try_from(number).unwrap()
}

/// A PUBLISH; `packet_id` is of no matter at QoS 0.
pub fn publish(topic: &str, qos: QoS, packet_id: u16, payload: &str) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::try_from(topic).unwrap()),
        packet_id: (qos > QoS::AtMostOnce).then(|| id(packet_id)),
        properties: Properties::default(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

pub fn subscription(filter: &str, qos: QoS) -> Subscription {
    Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        },
    }
}

/// A client that shows every packet.
pub struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    version: Version,
    /// Reasons for people, taken out of the packets that had one.
    pub reasons: Vec<String>,
}

impl Client {
    pub async fn open(addr: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
            version,
            reasons: Vec::new(),
        }
    }

    pub async fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        codec::encode(packet, self.version, &mut bytes);
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, or `None` when the server has closed the connection.
    pub async fn next(&mut self) -> Option<Packet> {
        let mut packet = self.next_as_it_is().await;
        let reason = match &mut packet {
            Some(Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubComp(p)) => {
                p.properties.reason_string.take()
            }
            Some(Packet::Disconnect(p)) => p.properties.reason_string.take(),
            Some(Packet::ConnAck(p)) => p.properties.reason_string.take(),
            _ => None,
        };
        self.reasons
            .extend(reason.map(|reason| reason.as_str().to_owned()));
        packet
    }

    async fn next_as_it_is(&mut self) -> Option<Packet> {
        tokio::time::timeout(PATIENCE, self.next_ever())
            .await
            .expect("a packet, or the end of the connection")
    }

    /// The next packet, however long it takes.
    pub async fn next_ever(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = codec::decode(&mut self.buffer, self.version, usize::MAX).unwrap()
            {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn connect(&mut self, connect: Connect) -> ConnAck {
        self.send(&Packet::Connect(Box::new(connect))).await;
        match self.next().await {
            Some(Packet::ConnAck(answer)) => answer,
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    /// Connects; returns whether there was a session.
    pub async fn come(addr: SocketAddr, connect: Connect) -> (Self, bool) {
        let mut client = Self::open(addr, connect.version).await;
        let answer = client.connect(connect).await;
        assert_eq!(answer.reason, ReasonCode::SUCCESS, "{:?}", client.reasons);
        (client, answer.session_present)
    }

    pub async fn subscribe(&mut self, subscriptions: Vec<Subscription>) -> Vec<ReasonCode> {
        self.subscribe_with(subscriptions, None).await
    }

    pub async fn subscribe_with(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_id: Option<u32>,
    ) -> Vec<ReasonCode> {
        let mut properties = Properties::default();
        properties.subscription_ids.extend(subscription_id);
        let packet = Subscribe {
            packet_id: id(9),
            properties,
            subscriptions,
        };
        self.send(&Packet::Subscribe(packet)).await;
        match self.next().await {
            Some(Packet::SubAck(SubAck { reasons, .. })) => reasons,
            other => panic!("{other:?} instead of SUBACK"),
        }
    }

    /// Publishes at QoS 1 and waits for the answer.
    pub async fn publish(&mut self, publish: Publish) -> ReasonCode {
        let expected = publish.packet_id;
        self.send(&Packet::Publish(publish)).await;
        match self.next().await {
            Some(Packet::PubAck(ack)) if Some(ack.packet_id) == expected => ack.reason,
            other => panic!("{other:?} instead of PUBACK"),
        }
    }

    /// The next packet, which must be a PUBLISH; a QoS 1 one is acknowledged.
    pub async fn message(&mut self) -> Publish {
        match self.next().await {
            Some(Packet::Publish(publish)) => {
                if let (QoS::AtLeastOnce, Some(packet_id)) = (publish.qos, publish.packet_id) {
                    self.send(&Packet::PubAck(Ack::success(packet_id))).await;
                }
                publish
            }
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    /// Shows that nothing is on its way: the answer to a ping is the next packet.
    pub async fn nothing_more(&mut self) {
        self.send(&Packet::PingReq).await;
        assert_eq!(self.next().await, Some(Packet::PingResp));
    }
}

/// Topic and payload of a message, as text.
pub fn text(publish: &Publish) -> (String, String) {
    (
        publish.topic.as_ref().unwrap().as_str().to_owned(),
        String::from_utf8(publish.payload.to_vec()).unwrap(),
    )
}
