//! PINGREQ, PINGRESP and DISCONNECT (§3.12 to §3.14).

use mqtt::Packet;
use mqtt::packet::Disconnect;
use mqtt::{QoS, ReasonCode};

use crate::support::{connect, publish, subscription};
use crate::{BOTH, client, come, of, say, take};

/// [MQTT-3.12.4-1], also of 3.1.1; each is answered, and they keep a client with a short keep alive ([MQTT-3.1.2-20] of the client).
#[tokio::test]
async fn mqtt_3_12_4_1_each_pingreq_is_answered() {
    for version in BOTH {
        let mut packet = connect(version, &of(version, "ping"));
        packet.keep_alive_s = 60;
        let (mut client, _) = come(packet).await;
        client.send_bytes(&b"\xc0\x00".repeat(10)).await;
        for _ in 0..10 {
            assert_eq!(client.next().await, Some(Packet::PingResp));
        }
        client.nothing_more().await;
    }
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2] bind the sender. What the server does: it closes, and takes nothing that follows; it does
/// not answer with a DISCONNECT of its own.
#[tokio::test]
async fn mqtt_3_14_4_2_nothing_after_disconnect_is_processed() {
    for version in BOTH {
        let topic = of(version, "after/t");
        let mut watcher = client(version, "after-watcher").await;
        watcher
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let mut client = client(version, "after").await;
        let mut bytes = bytes::BytesMut::new();
        for packet in [
            Packet::Publish(publish(&topic, QoS::AtMostOnce, 0, "before")),
            Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)),
            Packet::Publish(publish(&topic, QoS::AtMostOnce, 0, "after")),
        ] {
            mqtt::codec::encode(&packet, version, &mut bytes);
        }
        client.send_bytes(&bytes).await;
        assert_eq!(client.next().await, None);
        assert_eq!(take(&mut watcher).await.1, "before");
        let other = of(version, "after/other");
        say(&mut watcher, &other, "x").await;
        watcher.nothing_more().await;
    }
}
