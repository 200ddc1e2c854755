//! Subscriptions without end.

use mqtt::packet::Subscribe;
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::Bed;
use crate::http::{metric, until};
use crate::load::{assert_small, client_of};
use crate::process::Process;
use crate::support::{Kafka, id, publish, subscription};

#[tokio::test]
async fn subscriptions_beyond_the_limit_are_refused_one_by_one() {
    let mut bed = Bed::new(&[]).await;
    let before = metric(bed.admin(), "mqtt_subscriptions").await;
    let mut client = bed.broker.client(Version::V5, "bomb").await;
    let filters = (0..10_001).map(|n| subscription(&format!("bomb/{n}/+"), QoS::AtMostOnce));
    let reasons = client.subscribe(filters.collect()).await;
    let (granted, refused) = reasons.split_at(1000);
    assert!(granted.iter().all(|reason| *reason == ReasonCode::SUCCESS));
    assert_eq!(refused.len(), 9001);
    assert!(
        refused
            .iter()
            .all(|reason| *reason == ReasonCode::QUOTA_EXCEEDED)
    );
    // One that is there already can still be changed.
    let again = vec![subscription("bomb/7/+", QoS::AtLeastOnce)];
    assert_eq!(client.subscribe(again).await, [ReasonCode::GRANTED_QOS_1]);
    bed.goes_on().await;
    drop(client);
    until(bed.admin(), "mqtt_subscriptions", |count| count == before).await;
    bed.stop().await;
}

/// One packet may ask many times for all retained messages; what waits for the client must not grow with that.
#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn asking_again_and_again_for_retained_messages_costs_no_memory() {
    const RETAINED: u16 = 200;
    const ASKED: usize = 20_000;
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let broker = Process::start(&kafka, &files, &[]);
    let mut publisher = client_of(&broker, "publisher").await;
    for number in 1..=RETAINED {
        let topic = format!("kept/{number}");
        let mut packet = publish(&topic, QoS::AtLeastOnce, number, "x");
        packet.retain = true;
        assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    }
    let mut greedy = client_of(&broker, "greedy").await;
    let packet = Subscribe {
        packet_id: id(9),
        properties: Properties::default(),
        subscriptions: vec![subscription("kept/#", QoS::AtMostOnce); ASKED],
    };
    greedy.send(&Packet::Subscribe(packet)).await;
    let Some(Packet::SubAck(answer)) = greedy.next().await else {
        panic!("no SUBACK");
    };
    assert_eq!(answer.reasons.len(), ASKED);
    assert_small(&broker, 150);
    // They come, all the same.
    for _ in 0..RETAINED {
        assert!(greedy.message().await.retain);
    }
    publisher.nothing_more().await;
}
