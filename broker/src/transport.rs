//! Bytes over TCP or WebSocket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What one read takes at most: enough for a batch of packets.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Bytes are read into this and copied out, so that a connection holds no more memory than what has come.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// One client's connection.
pub(crate) enum Transport {
    /// MQTT straight on TCP.
    Tcp(TcpStream),
    /// MQTT in binary WebSocket messages (§6).
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

impl Transport {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::WebSocket(_) => "websocket",
        }
    }

    /// Appends what has come to `buffer`; 0 when the client has left. May be cancelled without losing bytes.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            // A read that does not fill its buffer tells the runtime that there is no more: no second call finds that out.
            Self::Tcp(stream) => {
                poll_fn(|context| {
                    SCRATCH.with_borrow_mut(|scratch| {
                        let mut read = ReadBuf::new(scratch);
                        ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
                        buffer.extend_from_slice(read.filled());
                        Poll::Ready(Ok(read.filled().len()))
                    })
                })
                .await
            }
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    // [MQTT-6.0.0-2] Packets and messages have no common borders.
                    Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(bytes.len());
                    }
                    // [MQTT-6.0.0-1] Only binary frames.
                    Some(Ok(Message::Text(_))) => {
                        return Err(io::Error::other("text in a websocket message"));
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(0),
                    Some(Ok(_)) => {}
                    Some(Err(Error::ConnectionClosed)) => return Ok(0),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                }
            },
        }
    }

    /// Sends what can be sent without waiting, and takes it out of `bytes`; returns whether that was all.
    pub(crate) fn try_write(&mut self, bytes: &mut Bytes) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                match stream.try_write(bytes) {
                    Ok(count) => bytes.advance(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                Ok(bytes.is_empty())
            }
            Self::WebSocket(_) => Ok(false),
        }
    }

    /// Sends all bytes: in one write, or one WebSocket message.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(&bytes).await,
            Self::WebSocket(socket) => socket
                .send(Message::Binary(bytes))
                .await
                .map_err(io::Error::other),
        }
    }

    /// Ends the connection so that what was written still arrives.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::WebSocket(socket) => socket.as_mut().close(None).await.map_err(io::Error::other),
        }
    }
}

/// The WebSocket handshake: path `/mqtt`, sub-protocol `mqtt` [MQTT-6.0.0-3] (`mqttv3.1` for version 3.1).
pub(crate) async fn accept_websocket(
    stream: TcpStream,
    message_bytes_max: usize,
) -> Result<Transport, Error> {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(message_bytes_max);
    config.max_frame_size = Some(message_bytes_max);
    config.read_buffer_size = 4 * 1024;
    config.write_buffer_size = 0;
    let socket =
        tokio_tungstenite::accept_hdr_async_with_config(stream, handshake, Some(config)).await?;
    Ok(Transport::WebSocket(Box::new(socket)))
}

#[allow(clippy::result_large_err)] // the type is tungstenite's
fn handshake(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let refuse = |status: StatusCode, text: &str| {
        let mut refusal = ErrorResponse::new(Some(text.to_owned()));
        *refusal.status_mut() = status;
        refusal
    };
    if !matches!(request.uri().path(), "/mqtt" | "/mqtt/") {
        return Err(refuse(StatusCode::NOT_FOUND, "the path is /mqtt\n"));
    }
    let offered = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .find_map(|name| match name {
            "mqtt" => Some("mqtt"),
            "mqttv3.1" => Some("mqttv3.1"),
            _ => None,
        });
    let Some(protocol) = offered else {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "the sub-protocol is mqtt\n",
        ));
    };
    response.headers_mut().insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(protocol),
    );
    Ok(response)
}
