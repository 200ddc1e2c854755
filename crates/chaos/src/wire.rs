//! A connection that waits for ever: how long silence may last is for its user to say.

use std::net::SocketAddr;

use bytes::BytesMut;
use mqtt::packet::{ConnAck, Connect};
use mqtt::{Packet, Version, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest packet that is taken.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

/// One connection to a server.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    version: Version,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It was closed, or never came.
    Closed,
    /// The server sent what is not MQTT.
    Wrong(String),
}

impl Wire {
    /// Connects, once; whether the client was let in is in the answer.
    ///
    /// # Errors
    /// When nobody is there, or the answer is not a CONNACK.
    pub async fn connect(addr: SocketAddr, connect: &Connect) -> Result<(Self, ConnAck), Lost> {
        let stream = TcpStream::connect(addr).await.map_err(|_| Lost::Closed)?;
        stream.set_nodelay(true).map_err(|_| Lost::Closed)?;
        let mut wire = Self {
            stream,
            buffer: BytesMut::new(),
            version: connect.version,
        };
        wire.send(&Packet::Connect(Box::new(connect.clone())))
            .await?;
        match wire.next().await? {
            Packet::ConnAck(answer) => Ok((wire, answer)),
            other => Err(Lost::Wrong(format!("{other:?} instead of CONNACK"))),
        }
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, packet: &Packet) -> Result<(), Lost> {
        let mut bytes = BytesMut::new();
        codec::encode(packet, self.version, &mut bytes);
        let sent = self.stream.write_all(&bytes).await;
        sent.map_err(|_| Lost::Closed)
    }

    /// The next packet. May be cancelled without losing anything.
    ///
    /// # Errors
    /// When the connection is closed, or the server breaks the protocol.
    pub async fn next(&mut self) -> Result<Packet, Lost> {
        loop {
            match codec::decode(&mut self.buffer, self.version, PACKET_BYTES_MAX) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => {}
                Err(violation) => return Err(Lost::Wrong(violation.to_string())),
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Lost::Closed),
                Ok(_) => {}
            }
        }
    }
}
