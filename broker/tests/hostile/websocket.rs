//! WebSocket, misused.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::PATIENCE;
use crate::{Bed, open};

#[tokio::test]
async fn websocket_frames_that_are_no_mqtt_end_their_own_connection() {
    let mut bed = Bed::new(&[]).await;
    for message in [
        Message::Text("CONNECT".into()),
        Message::Binary(Bytes::from(vec![0x30; 3 << 20])),
        Message::Binary(Bytes::from_static(b"\x00\x00")),
    ] {
        let mut socket = websocket(bed.ws()).await;
        // The end may come while we still write.
        let _reset = socket.send(message).await;
        assert!(!is_open(&mut socket).await);
    }
    // Raw frames: one that announces 2^62 bytes, one that is not masked, one of an unknown kind, and fragments without end.
    let mut fragments = vec![0x02, 0x80, 0, 0, 0, 0];
    for _ in 0..200 {
        fragments.extend_from_slice(&[0x00, 0xfe, 0xff, 0xff, 0, 0, 0, 0]);
        fragments.resize(fragments.len() + 0xffff, 0x30);
    }
    for frame in [
        &[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..],
        &[0x82, 0x02, 0xc0, 0x00],
        &[0x8b, 0x80, 0, 0, 0, 0],
        &fragments,
    ] {
        let mut socket = websocket(bed.ws()).await;
        let _reset = socket.get_mut().write_all(frame).await;
        assert!(!is_open(&mut socket).await, "{:02x?}", &frame[..4]);
    }
    bed.goes_on().await;
    bed.stop().await;
}

#[tokio::test]
async fn a_websocket_handshake_without_end_is_cut_off() {
    let mut bed = Bed::new(&["--mqtt-connect-timeout-s=1"]).await;
    let mut stream = open(bed.ws()).await;
    stream.write_all(b"GET /mqtt HTTP/1.1\r\n").await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let endless = async {
        while writing
            .write_all(b"X-More: and more and more and more\r\n")
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    let mut received = Vec::new();
    let reading = async {
        let _reset = reading.read_to_end(&mut received).await;
    };
    let both = async { tokio::join!(endless, reading) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("the handshake is cut off");
    bed.goes_on().await;
    bed.stop().await;
}

pub(crate) async fn websocket(addr: SocketAddr) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{addr}/mqtt").into_client_request().unwrap();
    let protocol = "mqtt".parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    tokio_tungstenite::client_async(request, open(addr).await)
        .await
        .unwrap()
        .0
}

/// Whether a binary message comes rather than the end.
pub(crate) async fn is_open(socket: &mut WebSocketStream<TcpStream>) -> bool {
    let next = tokio::time::timeout(PATIENCE, socket.next()).await;
    matches!(
        next.expect("a message, or the end"),
        Some(Ok(Message::Binary(_)))
    )
}
