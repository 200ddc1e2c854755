//! A connection without a deadline: in an outage, silence is right.

use std::net::SocketAddr;

use bytes::BytesMut;
use mqtt::packet::{ConnAck, Connect};
use mqtt::{Packet, Version, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    version: Version,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Lost;

impl Wire {
    /// Connects, and goes on trying while nobody is there or the client is not let in.
    pub(crate) async fn connect(addr: SocketAddr, connect: &Connect) -> (Self, ConnAck) {
        loop {
            if let Ok((wire, answer)) = Self::try_connect(addr, connect).await
                && !answer.reason.is_error()
            {
                return (wire, answer);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn try_connect(addr: SocketAddr, connect: &Connect) -> Result<(Self, ConnAck), Lost> {
        let mut wire = Self {
            stream: TcpStream::connect(addr).await.map_err(|_| Lost)?,
            buffer: BytesMut::new(),
            version: connect.version,
        };
        wire.send(&Packet::Connect(Box::new(connect.clone())))
            .await?;
        match wire.next().await? {
            Packet::ConnAck(answer) => Ok((wire, answer)),
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    pub(crate) async fn send(&mut self, packet: &Packet) -> Result<(), Lost> {
        let mut bytes = BytesMut::new();
        codec::encode(packet, self.version, &mut bytes);
        self.stream.write_all(&bytes).await.map_err(|_| Lost)
    }

    /// The next packet. May be cancelled without losing anything.
    pub(crate) async fn next(&mut self) -> Result<Packet, Lost> {
        loop {
            let packet = codec::decode(&mut self.buffer, self.version, usize::MAX);
            if let Some(packet) = packet.unwrap() {
                return Ok(packet);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Lost),
                Ok(_) => {}
            }
        }
    }
}
