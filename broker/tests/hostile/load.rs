//! Subscribers that do not do their part.

use mqtt::packet::Ack;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::Bed;
use crate::http::{resident_bytes, until};
use crate::process::Process;
use crate::support::{Client, Kafka, connect, publish, subscription, text};

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn a_subscriber_that_never_reads_loses_its_own_messages_only() {
    const COUNT: u16 = 2000;
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let broker = Process::start(&kafka, &files, &["--client-queue=64"]);
    let mut deaf = client_of(&broker, "deaf").await;
    deaf.subscribe(vec![subscription("load", QoS::AtMostOnce)])
        .await;
    let mut good = client_of(&broker, "good").await;
    good.subscribe(vec![subscription("load", QoS::AtLeastOnce)])
        .await;
    // 64 MiB: more than all buffers between the two hold.
    let mut publisher = client_of(&broker, "load").await;
    let publishing = tokio::spawn(async move {
        for number in 1..=COUNT {
            let payload = format!("{number:032768}");
            let packet = publish("load", QoS::AtLeastOnce, number, &payload);
            assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
        }
    });
    for number in 1..=COUNT {
        let payload = text(&good.message().await).1;
        assert_eq!(payload.parse::<u16>().unwrap(), number);
    }
    publishing.await.unwrap();
    let dropped = "mqtt_messages_dropped_total{reason=\"slow_consumer\"}";
    until(broker.admin, dropped, |count| count > 0.0).await;
    // 4 MiB wait for the deaf one at most; what was read ahead and the allocator have their share.
    assert_small(&broker, 200);
    drop(deaf);
}

#[tokio::test]
async fn a_subscriber_that_never_acknowledges_has_a_few_in_flight_and_loses_nothing() {
    let mut bed = Bed::new(&["--mqtt-max-in-flight-messages=5"]).await;
    let mut lazy = bed.broker.client(Version::V5, "lazy").await;
    lazy.subscribe(vec![subscription("good/#", QoS::AtLeastOnce)])
        .await;
    for _ in 0..20 {
        bed.goes_on().await;
    }
    let mut waiting = Vec::new();
    for number in 1..=20u16 {
        let Some(Packet::Publish(message)) = lazy.next().await else {
            panic!("no message {number}");
        };
        assert_eq!(text(&message).1, number.to_string());
        waiting.push(message.packet_id.unwrap());
        if number % 5 == 0 {
            lazy.nothing_more().await;
            for packet_id in waiting.drain(..) {
                lazy.send(&Packet::PubAck(Ack::success(packet_id))).await;
            }
        }
    }
    bed.goes_on().await;
    bed.stop().await;
}

pub(crate) async fn client_of(broker: &Process, client_id: &str) -> Client {
    let mut client = Client::open(broker.mqtt, Version::V5).await;
    let answer = client.connect(connect(Version::V5, client_id)).await;
    assert_eq!(answer.reason, ReasonCode::SUCCESS);
    client
}

/// The broker's memory, where the system says it.
pub(crate) fn assert_small(broker: &Process, mib_max: u64) {
    if let Some(bytes) = resident_bytes(broker.pid()) {
        let mib = bytes >> 20;
        assert!(mib < mib_max, "{mib} MiB");
    }
}
