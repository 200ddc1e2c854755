//! Who gets in, who may do what, and what ends a connection; over TCP and WebSocket.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use mqtt::packet::Disconnect;
use mqtt::{Packet, QoS, ReasonCode, Version, codec};
use support::{Client, Kafka, PATIENCE, TestBroker, connect, publish, subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn only_known_users_get_in() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    for (version, username, password, expected) in [
        (
            Version::V5,
            Some("ann"),
            Some("secret"),
            ReasonCode::SUCCESS,
        ),
        (
            Version::V5,
            Some("ann"),
            Some("wrong"),
            ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ),
        (
            Version::V3_1_1,
            Some("nobody"),
            Some("x"),
            ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ),
        (
            Version::V3_1_1,
            Some("ann"),
            None,
            ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ),
        (Version::V5, None, None, ReasonCode::NOT_AUTHORIZED),
    ] {
        let mut client = Client::open(broker.broker.mqtt_addr(), version).await;
        let mut packet = connect(version, "c");
        packet.username = username.map(Into::into);
        packet.password = password.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(client.connect(packet).await.reason, expected);
        if expected.is_error() {
            assert_eq!(client.next().await, None);
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_access_rules_hold_for_publish_and_subscribe() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let eve = |version| {
        let mut packet = connect(version, "eve");
        packet.username = Some("eve".into());
        packet
    };
    let mut client = Client::open(broker.broker.mqtt_addr(), Version::V5).await;
    client.connect(eve(Version::V5)).await;
    let asked = ["open/a", "#", "other"].map(|f| subscription(f, QoS::AtMostOnce));
    let reasons = client.subscribe(asked.to_vec()).await;
    let denied = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(reasons, [ReasonCode::SUCCESS, denied, denied]);
    assert_eq!(
        client
            .publish(publish("open/a", QoS::AtLeastOnce, 1, "x"))
            .await,
        denied
    );
    // Nobody writes the server's own topics.
    let mut ann = broker.client(Version::V5, "ann").await;
    assert_eq!(
        ann.publish(publish("$SYS/x", QoS::AtLeastOnce, 1, "x"))
            .await,
        denied
    );
    // What can't be answered closes the connection.
    client
        .send(&Packet::Publish(publish("open/a", QoS::AtMostOnce, 0, "x")))
        .await;
    assert_eq!(
        client.next().await,
        Some(Packet::Disconnect(Disconnect::new(denied)))
    );
    assert_eq!(client.next().await, None);
    let mut old = Client::open(broker.broker.mqtt_addr(), Version::V3_1_1).await;
    old.connect(eve(Version::V3_1_1)).await;
    old.send(&Packet::Publish(publish(
        "open/a",
        QoS::AtLeastOnce,
        1,
        "x",
    )))
    .await;
    assert_eq!(old.next().await, None);
    assert!(kafka.records("messages").await.is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn mqtt_3_1_4_3_a_second_connection_takes_the_client_over() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut first = broker.client(Version::V5, "same").await;
    let mut second = broker.client(Version::V5, "same").await;
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER));
    assert_eq!(first.next().await, Some(bye));
    assert_eq!(first.next().await, None);
    second.nothing_more().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_bad_packet_closes_its_own_connection_only() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, "", &["--mqtt-max-message-size=1000"]).await;
    let mut good = broker.client(Version::V5, "good").await;
    for (bytes, reason) in [
        (
            &b"\x36\x05\x00\x01a\x00\x01"[..],
            ReasonCode::MALFORMED_PACKET,
        ),
        (b"\x00\x00", ReasonCode::MALFORMED_PACKET),
        (b"\x30\xff\xff\x01", ReasonCode::PACKET_TOO_LARGE),
        (b"\x20\x02\x00\x00", ReasonCode::MALFORMED_PACKET),
        (b"\xd0\x00", ReasonCode::PROTOCOL_ERROR),
        (
            b"\x30\x06\x00\x00\x03\x23\x00\x63",
            ReasonCode::TOPIC_ALIAS_INVALID,
        ),
    ] {
        let mut bad = broker.client(Version::V5, "bad").await;
        bad.send_bytes(bytes).await;
        let bye = Packet::Disconnect(Disconnect::new(reason));
        assert_eq!(bad.next().await, Some(bye), "{bytes:02x?}");
        assert_eq!(bad.next().await, None);
    }
    // Not MQTT at all.
    let mut stream = tokio::net::TcpStream::connect(broker.broker.mqtt_addr())
        .await
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // A reset is as good an end as a close.
    let _ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty());
    good.nothing_more().await;
    broker.stop().await;
}

#[tokio::test]
async fn shutdown_tells_the_clients() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut client = broker.client(Version::V5, "c").await;
    broker.stop().await;
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN));
    assert_eq!(client.next().await, Some(bye));
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn websocket_messages_and_packets_have_no_common_borders() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut request = format!("ws://{}/mqtt", broker.broker.ws_addr())
        .into_client_request()
        .unwrap();
    let protocols = "other, mqtt".parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocols);
    let stream = tokio::net::TcpStream::connect(broker.broker.ws_addr())
        .await
        .unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");

    let mut bytes = BytesMut::new();
    let packets = [
        Packet::Connect(Box::new(connect(Version::V5, "web"))),
        Packet::Publish(publish("a", QoS::AtLeastOnce, 1, "x")),
        Packet::PingReq,
    ];
    for packet in &packets {
        codec::encode(packet, Version::V5, &mut bytes);
    }
    for part in bytes.chunks(7) {
        let part = Bytes::copy_from_slice(part);
        socket.send(Message::Binary(part)).await.unwrap();
    }
    let (mut received, mut answers) = (BytesMut::new(), Vec::new());
    while answers.len() < 3 {
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Binary(part))) => received.extend_from_slice(&part),
            other => panic!("{other:?}"),
        }
        while let Some(packet) = codec::decode(&mut received, Version::V5, usize::MAX).unwrap() {
            answers.push(packet);
        }
    }
    assert!(matches!(answers[0], Packet::ConnAck(_)));
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer, Packet::PubAck(_)))
    );
    assert!(answers.contains(&Packet::PingResp));
    // [MQTT-6.0.0-1] Text ends the connection.
    socket.send(Message::Text("hello".into())).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(Message::Binary(_)))), "{end:?}");
    broker.stop().await;
}

#[tokio::test]
async fn a_websocket_needs_the_path_and_the_sub_protocol() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    for (path, protocol, status) in [("/mqtt", None, 400), ("/other", Some("mqtt"), 404)] {
        let mut request = format!("ws://{}{path}", broker.broker.ws_addr())
            .into_client_request()
            .unwrap();
        if let Some(protocol) = protocol {
            let protocol = protocol.parse().unwrap();
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", protocol);
        }
        let stream = tokio::net::TcpStream::connect(broker.broker.ws_addr())
            .await
            .unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{other:?}"),
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_admin_port_tells_how_it_is() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut client = broker.client(Version::V5, "c").await;
    client.publish(publish("a", QoS::AtLeastOnce, 1, "x")).await;
    for (path, expected) in [
        ("/live", "live"),
        ("/ready", "ready"),
        (
            "/metrics",
            "mqtt_connections{transport=\"tcp\",version=\"5.0\"} 1",
        ),
        ("/metrics", "mqtt_messages_received_total{qos=\"1\"} 1"),
        ("/metrics", "mqtt_publish_to_kafka_seconds_count 1"),
    ] {
        let body = get(broker.broker.admin_addr(), path).await;
        assert!(
            body.starts_with("HTTP/1.1 200") && body.contains(expected),
            "{path}: {body}"
        );
    }
    broker.stop().await;
}

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut body = String::new();
    stream.read_to_string(&mut body).await.unwrap();
    body
}
