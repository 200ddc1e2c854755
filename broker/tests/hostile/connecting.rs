//! Before CONNECT is there, and many of them.

use std::time::Duration;

use mqtt::{Packet, ReasonCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{metric, until};
use crate::support::{Client, connect, persistent};
use crate::websocket::{is_open, websocket};
use crate::{Bed, open, until_closed, wire};

#[tokio::test]
async fn a_connect_that_comes_byte_by_byte_ends_at_the_connect_timeout() {
    let mut bed = Bed::new(&["--mqtt-connect-timeout-s=1"]).await;
    let long_name = "c".repeat(250);
    let packet = wire(&Packet::Connect(Box::new(connect(Version::V5, &long_name))));
    let mut stream = open(bed.mqtt()).await;
    let (mut reading, mut writing) = stream.split();
    let slowly = async {
        for byte in &packet[..] {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    let mut received = Vec::new();
    tokio::select! {
        () = slowly => panic!("a connect may take longer than the connect timeout"),
        _reset = reading.read_to_end(&mut received) => {}
    }
    assert!(received.is_empty());
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test]
async fn silent_connections_free_their_place_at_the_connect_timeout() {
    let flags = ["--mqtt-connect-timeout-s=1", "--mqtt-max-connections=12"];
    let mut bed = Bed::new(&flags).await;
    let mut silent = Vec::new();
    for addr in [bed.mqtt(), bed.ws()] {
        for _ in 0..5 {
            silent.push(open(addr).await);
        }
    }
    // Half a WebSocket handshake, and a whole one with nothing behind it, are silence too: they have no room any more.
    for stream in &mut silent {
        assert!(until_closed(stream).await.is_empty());
    }
    let mut half = open(bed.ws()).await;
    half.write_all(b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut half).await.is_empty());
    let mut upgraded = websocket(bed.ws()).await;
    assert!(!is_open(&mut upgraded).await);
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test]
async fn connect_in_the_name_of_another_protocol_or_version_is_answered_or_closed() {
    let mut bed = Bed::new(&[]).await;
    for (bytes, expected) in [
        // MQTT 3.1.1 of version 9, and a name that is not MQTT's.
        (&b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x00\x00\x01c"[..], true),
        (b"\x10\x0d\x00\x04HTTP\x04\x02\x00\x00\x00\x01c", false),
        // TLS on a plain port.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false),
    ] {
        let mut stream = open(bed.mqtt()).await;
        stream.write_all(bytes).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert_eq!(!answer.is_empty(), expected, "{}", answer.escape_ascii());
    }
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_of_one_client_leaves_one() {
    let mut bed = Bed::new(&[]).await;
    let addr = bed.mqtt();
    let connections = "mqtt_connections{";
    let before = metric(bed.admin(), connections).await;
    let flood = (0..150).map(|number| {
        tokio::spawn(async move {
            let version = [Version::V3_1_1, Version::V5][number % 2];
            let mut client = Client::open(addr, version).await;
            client
                .send(&Packet::Connect(Box::new(persistent(version, "same"))))
                .await;
            // Let in or not: whoever stays holds its connection.
            let _answer = client.next().await;
            client
        })
    });
    let mut clients = Vec::new();
    for client in flood.collect::<Vec<_>>() {
        clients.push(client.await.unwrap());
    }
    until(bed.admin(), connections, |count| count <= before + 1.0).await;
    // The name is not lost, whoever has it. A machine that is too busy to let it go in time says so, and is asked again.
    let mut last = loop {
        let mut last = Client::open(addr, Version::V5).await;
        let answer = last.connect(persistent(Version::V5, "same")).await;
        if answer.reason == ReasonCode::SUCCESS {
            break last;
        }
        assert_eq!(answer.reason, ReasonCode::SERVER_UNAVAILABLE);
    };
    last.nothing_more().await;
    until(bed.admin(), connections, |count| count == before + 1.0).await;
    bed.goes_on().await;
    bed.stop().await;
}
