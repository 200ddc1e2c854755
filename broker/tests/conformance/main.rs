//! The normative statements of MQTT 5.0 and 3.1.1 that bind a server, shown over a socket. A test's name starts with the
//! statement it is about (of 5.0, or `mqtt3_…` where only 3.1.1 has it); its comment lists all it covers. What other tests
//! show already is not here: docs/conformance.md says which test shows what.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod agreed;
mod aliases;
mod connect;
mod disconnect_ping;
mod errors;
mod flow_control;
mod passed_on;
mod publish_acks;
mod sessions;
mod shared;
mod subscribe;
mod topics;
mod websocket;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use mqtt::packet::{Ack, ConnAck, Connect, Disconnect, Unsubscribe};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};
use support::{Client, Kafka, TestBroker, id};

/// The versions that both standards are shown for.
const BOTH: [Version; 2] = [Version::V3_1_1, Version::V5];
/// The largest packet that the broker of these tests takes.
const PACKET_BYTES_MAX: usize = 10_000;
/// The longest keep alive that it grants.
const KEEP_ALIVE_MAX_S: u16 = 600;
/// How many publishes of a client it lets be under way.
const RECEIVE_MAXIMUM: u16 = 8;

/// Where the one broker of all these tests is. Each test has topics and client identifiers of its own.
struct Addresses {
    mqtt: SocketAddr,
    ws: SocketAddr,
}

static BROKER: LazyLock<Addresses> = LazyLock::new(|| {
    let (tell, told) = std::sync::mpsc::channel();
    // It outlives the runtime of the test that happens to start it.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let kafka = Kafka::start().await;
            let limits = [
                format!("--mqtt-max-message-size={PACKET_BYTES_MAX}"),
                format!("--mqtt-keep-alive-max-s={KEEP_ALIVE_MAX_S}"),
                format!("--mqtt-receive-maximum={RECEIVE_MAXIMUM}"),
                "--mqtt-sys-interval-s=1".to_owned(),
            ];
            let limits = limits.each_ref().map(String::as_str);
            let broker = TestBroker::start_with(&kafka, "", &limits).await;
            let addresses = Addresses {
                mqtt: broker.broker.mqtt_addr(),
                ws: broker.broker.ws_addr(),
            };
            tell.send(addresses).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the broker starts")
});

/// A socket, on which nothing was sent.
async fn open(version: Version) -> Client {
    Client::open(BROKER.mqtt, version).await
}

/// Connects, whatever the answer.
async fn come(connect: Connect) -> (Client, ConnAck) {
    let mut client = open(connect.version).await;
    let answer = client.connect(connect).await;
    (client, answer)
}

/// A client whose session ends with its connection. `name` is completed by the version.
async fn client(version: Version, name: &str) -> Client {
    let connect = support::connect(version, &of(version, name));
    let (client, answer) = come(connect).await;
    assert_eq!(answer.reason, ReasonCode::SUCCESS);
    client
}

/// A name or topic that is this version's own.
fn of(version: Version, name: &str) -> String {
    format!("{name}-{version:?}")
}

/// Says goodbye and waits for the end of the connection.
async fn leave(mut client: Client) {
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
    client.send(&bye).await;
    assert_eq!(client.next().await, None);
}

/// All that still comes until the server closes the connection.
async fn until_closed(client: &mut Client) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some(packet) = client.next().await {
        packets.push(packet);
    }
    packets
}

/// The server ends the connection: version 5 is told why, before there is no such packet.
async fn assert_closed(client: &mut Client, version: Version, reason: ReasonCode, case: &str) {
    let bye = Packet::Disconnect(Disconnect::new(reason));
    let expected = if version.is_v5() { vec![bye] } else { vec![] };
    assert_eq!(until_closed(client).await, expected, "{case} {version:?}");
}

async fn unsubscribe(client: &mut Client, filters: &[&str]) -> Vec<ReasonCode> {
    let packet = Unsubscribe {
        packet_id: id(8),
        properties: Properties::default(),
        filters: filters
            .iter()
            .map(|filter| TopicFilter::new(filter).unwrap())
            .collect(),
    };
    client.send(&Packet::Unsubscribe(packet)).await;
    match client.next().await {
        Some(Packet::UnsubAck(ack)) if ack.packet_id == id(8) => ack.reasons,
        other => panic!("{other:?} instead of UNSUBACK"),
    }
}

/// A packet of fewer than 128 bytes, valid or not.
fn raw(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
    assert!(body.len() < 128);
    bytes.extend_from_slice(body);
    bytes
}

/// The next message's topic and payload; it is acknowledged as its QoS wants it.
async fn take(client: &mut Client) -> (String, String) {
    let message = client.message().await;
    if message.qos == QoS::ExactlyOnce {
        let packet_id = message.packet_id.unwrap();
        client.send(&Packet::PubRec(Ack::success(packet_id))).await;
        let release = client.next().await;
        assert_eq!(release, Some(Packet::PubRel(Ack::success(packet_id))));
        client.send(&Packet::PubComp(Ack::success(packet_id))).await;
    }
    support::text(&message)
}

/// Publishes at QoS 1, retained.
async fn retain(client: &mut Client, topic: &str, payload: &str) {
    let mut packet = support::publish(topic, QoS::AtLeastOnce, 1, payload);
    packet.retain = true;
    assert_eq!(client.publish(packet).await, ReasonCode::SUCCESS);
}

/// Publishes at QoS 1.
async fn say(client: &mut Client, topic: &str, payload: &str) {
    let packet = support::publish(topic, QoS::AtLeastOnce, 1, payload);
    assert_eq!(client.publish(packet).await, ReasonCode::SUCCESS);
}

/// docs/conformance.md names each test as `file::name`.
#[test]
fn the_tests_that_the_table_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = std::fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let named: BTreeSet<_> = table
        .split('`')
        .filter_map(|code| code.split_once("::"))
        .collect();
    assert!(named.len() > 50, "the table was read");
    for (file, name) in named {
        let source = std::fs::read_to_string(root.join(file)).expect(file);
        assert!(source.contains(&format!("fn {name}(")), "{file}::{name}");
    }
}
