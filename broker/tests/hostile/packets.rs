//! Packets that nobody should send.

use bytes::{BufMut, BytesMut};
use mqtt::packet::{Disconnect, Publish};
use mqtt::{Packet, QoS, ReasonCode, Version};
use rand::{Rng, SeedableRng};
use tokio::io::AsyncWriteExt;

use crate::support::{connect, publish};
use crate::{Bed, open, until_closed, wire};

#[tokio::test]
async fn a_packet_that_announces_too_much_is_not_waited_for() {
    let mut bed = Bed::new(&[]).await;
    // 268,435,455 bytes: as a CONNECT, and as a PUBLISH of a client that is let in.
    let mut stream = open(bed.mqtt()).await;
    stream
        .write_all(b"\x10\xff\xff\xff\x7f\x00\x04MQTT")
        .await
        .unwrap();
    assert!(until_closed(&mut stream).await.is_empty());
    let mut client = bed.broker.client(Version::V5, "large").await;
    client.send_bytes(b"\x30\xff\xff\xff\x7f\x00\x01a").await;
    let bye = Disconnect::new(ReasonCode::PACKET_TOO_LARGE);
    assert_eq!(client.next().await, Some(Packet::Disconnect(bye)));
    assert_eq!(client.next().await, None);
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test]
async fn garbage_before_and_after_connect_ends_its_own_connection() {
    let mut bed = Bed::new(&["--mqtt-connect-timeout-s=1"]).await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1883);
    for round in 0..60 {
        let mut garbage = vec![0; rng.random_range(1..4096)];
        rng.fill(&mut garbage[..]);
        let mut stream = open(bed.mqtt()).await;
        if round % 2 == 0 {
            let hello = connect(Version::V5, "garbage");
            stream
                .write_all(&wire(&Packet::Connect(Box::new(hello))))
                .await
                .unwrap();
        }
        // It may be closed while we still write.
        let _reset = stream.write_all(&garbage).await;
        let _gone = stream.shutdown().await;
        until_closed(&mut stream).await;
    }
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test]
async fn topics_that_are_too_long_or_too_deep_are_refused() {
    let mut bed = Bed::new(&[]).await;
    let deep = "a/".repeat(5000);
    let long = "a".repeat(65_535);
    for topic in [deep.as_bytes(), long.as_bytes(), b"a/\xff", b"a\0b", b""] {
        let reason = match answer(&bed, &publish_to(topic)).await {
            Some(Packet::PubAck(ack)) => ack.reason,
            Some(Packet::Disconnect(bye)) => bye.reason,
            other => panic!("{other:?}"),
        };
        let expected = match std::str::from_utf8(topic) {
            Ok(topic) if !topic.contains('\0') => ReasonCode::TOPIC_NAME_INVALID,
            _ => ReasonCode::MALFORMED_PACKET,
        };
        assert_eq!(reason, expected, "{:?}", topic.get(..4));
    }
    for filter in [
        deep.as_bytes(),
        long.as_bytes(),
        "+/".repeat(120).as_bytes(),
    ] {
        let reasons = match answer(&bed, &subscribe_to(filter)).await {
            Some(Packet::SubAck(ack)) => ack.reasons,
            Some(Packet::Disconnect(bye)) => vec![bye.reason],
            other => panic!("{other:?}"),
        };
        assert_eq!(reasons, [ReasonCode::TOPIC_FILTER_INVALID]);
    }
    bed.goes_on().await;
    bed.stop().await;
}

/// A PUBLISH of QoS 1 that no codec of ours would write.
fn publish_to(topic: &[u8]) -> BytesMut {
    with_topic(0x32, &[], topic, &[0, 1, 0])
}

fn subscribe_to(filter: &[u8]) -> BytesMut {
    with_topic(0x82, &[0, 1, 0], filter, &[1])
}

fn with_topic(first: u8, before: &[u8], topic: &[u8], after: &[u8]) -> BytesMut {
    let mut remaining = before.len() + 2 + topic.len() + after.len();
    let mut bytes = BytesMut::from(&[first][..]);
    while remaining >= 0x80 {
        bytes.put_u8(remaining as u8 | 0x80);
        remaining >>= 7;
    }
    bytes.put_u8(remaining as u8);
    bytes.put_slice(before);
    bytes.put_u16(topic.len() as u16);
    bytes.put_slice(topic);
    bytes.put_slice(after);
    bytes
}

/// What the broker answers to one packet of a fresh client.
async fn answer(bed: &Bed, bytes: &[u8]) -> Option<Packet> {
    let mut client = bed.broker.client(Version::V5, "one").await;
    client.send_bytes(bytes).await;
    client.next().await
}

/// QoS 2 identifiers that are never released are bounded by the Receive Maximum.
#[tokio::test]
async fn qos_2_publishes_that_are_never_released_end_at_the_receive_maximum() {
    let mut bed = Bed::new(&["--mqtt-receive-maximum=10"]).await;
    let mut client = bed.broker.client(Version::V5, "half").await;
    for number in 1..=11 {
        let packet: Publish = publish("half", QoS::ExactlyOnce, number, "x");
        client.send(&Packet::Publish(packet)).await;
    }
    let mut answers = 0;
    let end = loop {
        match client.next().await {
            Some(Packet::PubRec(_)) => answers += 1,
            other => break other,
        }
    };
    let bye = Disconnect::new(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
    assert_eq!(end, Some(Packet::Disconnect(bye)));
    assert!(answers <= 10, "{answers}");
    bed.goes_on().await;
    bed.stop().await;
}
