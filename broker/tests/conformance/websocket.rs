//! MQTT over WebSocket (§6). Borders, text, path and sub-protocol: broker/tests/connections.rs.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use mqtt::{Packet, QoS, Version, codec};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{PATIENCE, connect, publish};
use crate::{BOTH, BROKER, of};

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn open() -> Socket {
    let mut request = format!("ws://{}/mqtt", BROKER.ws)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let stream = tokio::net::TcpStream::connect(BROKER.ws).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    socket
}

async fn next(socket: &mut Socket, received: &mut BytesMut, version: Version) -> Packet {
    loop {
        if let Some(packet) = codec::decode(received, version, usize::MAX).unwrap() {
            return packet;
        }
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Binary(part))) => received.extend_from_slice(&part),
            other => panic!("{other:?}"),
        }
    }
}

/// [MQTT-6.0.0-1], [MQTT-6.0.0-2], [MQTT-6.0.0-4], also of 3.1.1: a byte in a message, then many packets in one.
#[tokio::test]
async fn mqtt_6_0_0_2_packets_may_be_cut_and_joined_as_one_likes() {
    for version in BOTH {
        let (mut socket, mut received) = (open().await, BytesMut::new());
        let mut bytes = BytesMut::new();
        let packet = connect(version, &of(version, "websocket"));
        codec::encode(&Packet::Connect(Box::new(packet)), version, &mut bytes);
        for byte in &bytes {
            let part = Bytes::copy_from_slice(&[*byte]);
            socket.send(Message::Binary(part)).await.unwrap();
        }
        let answer = next(&mut socket, &mut received, version).await;
        assert!(matches!(answer, Packet::ConnAck(_)));
        bytes.clear();
        for number in 1..=5 {
            let packet = publish(&of(version, "websocket/t"), QoS::AtLeastOnce, number, "x");
            codec::encode(&Packet::Publish(packet), version, &mut bytes);
        }
        let joined = bytes.split().freeze();
        socket.send(Message::Binary(joined)).await.unwrap();
        for number in 1..=5 {
            match next(&mut socket, &mut received, version).await {
                Packet::PubAck(ack) => assert_eq!(ack.packet_id.get(), number),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// [MQTT-6.0.0-1]: text ends a connection that has not even begun.
#[tokio::test]
async fn mqtt_6_0_0_1_text_instead_of_connect_ends_the_connection() {
    let mut socket = open().await;
    socket.send(Message::Text("CONNECT".into())).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(Message::Binary(_)))), "{end:?}");
}
