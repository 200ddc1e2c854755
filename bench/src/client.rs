//! A lean MQTT client: a socket, and packets that are encoded once.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use mqtt::packet::{
    Ack, ConnAck, Connect, Disconnect, Publish, Subscribe, Subscription, SubscriptionOptions,
};
use mqtt::properties::Properties;
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many clients connect at the same time at most: within the backlog of any server's socket.
const CONNECTING_MAX: usize = 64;

/// How a client connects.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_s: u16,
    /// MQTT 5 only; 0: the session ends with the connection.
    pub(crate) session_expiry_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: Version::V3_1_1,
            clean_start: true,
            keep_alive_s: 0,
            session_expiry_s: 0,
        }
    }
}

/// A connected client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    version: Version,
    pub(crate) session_present: bool,
}

impl Client {
    pub(crate) async fn connect(
        addr: SocketAddr,
        client_id: &str,
        options: Options,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)
            .await
            .with_context(|| format!("{client_id} can't connect to {addr}"))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            buffer: BytesMut::new(),
            version: options.version,
            session_present: false,
        };
        let mut properties = Properties::default();
        if options.version.is_v5() {
            properties.session_expiry_s = Some(options.session_expiry_s);
        }
        let connect = Connect {
            version: options.version,
            clean_start: options.clean_start,
            keep_alive_s: options.keep_alive_s,
            properties,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
        };
        client.send(&Packet::Connect(Box::new(connect))).await?;
        match client.next().await? {
            Some(Packet::ConnAck(ConnAck {
                reason,
                session_present,
                ..
            })) if !reason.is_error() => client.session_present = session_present,
            other => bail!("{client_id}: {other:?} instead of a connack that lets it in"),
        }
        // An idle client holds no buffer; a session that goes on may have sent something already.
        if client.buffer.is_empty() {
            client.buffer = BytesMut::new();
        }
        Ok(client)
    }

    /// Connects `count` clients, named `prefix` and their number.
    pub(crate) async fn connect_many(
        addr: SocketAddr,
        prefix: &str,
        count: usize,
        options: Options,
    ) -> anyhow::Result<Vec<Self>> {
        stream::iter(0..count)
            .map(|at| async move { Self::connect(addr, &format!("{prefix}{at}"), options).await })
            .buffered(CONNECTING_MAX)
            .try_collect()
            .await
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> anyhow::Result<()> {
        let filter = TopicFilter::new(filter)?;
        let packet = Subscribe {
            packet_id: PacketId::try_from(1)?,
            properties: Properties::default(),
            subscriptions: vec![Subscription {
                filter,
                options: SubscriptionOptions {
                    qos,
                    ..SubscriptionOptions::default()
                },
            }],
        };
        self.send(&Packet::Subscribe(packet)).await?;
        match self.next().await? {
            Some(Packet::SubAck(answer)) if answer.reasons.iter().all(|r| !r.is_error()) => Ok(()),
            other => bail!("{other:?} instead of a suback that grants it"),
        }
    }

    /// Says goodbye, and waits until the server has closed the connection.
    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        let bye = Disconnect::new(ReasonCode::SUCCESS);
        self.send(&Packet::Disconnect(bye)).await?;
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// The next packet; `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.buffered()? {
                return Ok(Some(packet));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next packet that has come already.
    pub(crate) fn buffered(&mut self) -> anyhow::Result<Option<Packet>> {
        Ok(codec::decode(&mut self.buffer, self.version, usize::MAX)?)
    }

    pub(crate) async fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        codec::encode(packet, self.version, &mut bytes);
        Ok(self.stream.write_all(&bytes).await?)
    }

    /// Takes messages until the connection ends; what needs it is acknowledged, in one write for what came together.
    pub(crate) async fn take(
        &mut self,
        mut on_message: impl FnMut(&Publish),
    ) -> anyhow::Result<()> {
        let mut acks = BytesMut::new();
        while let Some(packet) = self.next().await? {
            let mut next = Some(packet);
            while let Some(packet) = next {
                if let Packet::Publish(publish) = packet {
                    on_message(&publish);
                    if let (QoS::AtLeastOnce, Some(id)) = (publish.qos, publish.packet_id) {
                        codec::encode(&Packet::PubAck(Ack::success(id)), self.version, &mut acks);
                    }
                }
                next = self.buffered()?;
            }
            if !acks.is_empty() {
                self.stream.write_all(&acks).await?;
                acks.clear();
            }
        }
        Ok(())
    }
}

/// What the first bytes of each payload say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    /// From 0, by publisher.
    pub(crate) sequence: u32,
    /// Nanoseconds since the start of the run.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn write(self, out: &mut [u8]) {
        out[..4].copy_from_slice(&self.publisher.to_be_bytes());
        out[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        out[8..16].copy_from_slice(&self.sent_ns.to_be_bytes());
    }

    /// `None` when the payload is too short for one.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        Some(Self {
            publisher: u32::from_be_bytes(payload.get(..4)?.try_into().ok()?),
            sequence: u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?),
            sent_ns: u64::from_be_bytes(payload.get(8..16)?.try_into().ok()?),
        })
    }
}

/// A PUBLISH (3.1.1) that is encoded once; each sending changes only its packet identifier and its stamp.
pub(crate) struct Message {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl Message {
    pub(crate) fn new(
        topic: &str,
        qos: QoS,
        retain: bool,
        payload_bytes: usize,
    ) -> anyhow::Result<Self> {
        let has_id = qos > QoS::AtMostOnce;
        let payload_bytes = payload_bytes.max(Stamp::LEN);
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic: Some(TopicName::try_from(topic)?),
            packet_id: has_id.then(|| PacketId::try_from(1)).transpose()?,
            properties: Properties::default(),
            payload: payload(payload_bytes).into(),
        };
        let mut bytes = BytesMut::new();
        codec::encode(&Packet::Publish(publish), Version::V3_1_1, &mut bytes);
        let payload_at = bytes.len() - payload_bytes;
        Ok(Self {
            packet_id_at: has_id.then(|| payload_at - 2),
            payload_at,
            bytes: bytes.into(),
        })
    }

    /// The packet for one sending. The packet identifier follows from the sequence number.
    pub(crate) fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        if let Some(at) = self.packet_id_at {
            let id = (stamp.sequence % u32::from(u16::MAX)) as u16 + 1;
            self.bytes[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        stamp.write(&mut self.bytes[self.payload_at..]);
        &self.bytes
    }
}

/// Bytes that do not compress to nothing: the digits of a position message, in effect.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    let mut state = 12_345u32;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'0' + (state >> 24) as u8 % 10
    });
    next.take(length).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stamped_message_is_the_publish_it_should_be() {
        let mut message = Message::new("a/b", QoS::AtLeastOnce, false, 100).unwrap();
        let stamp = Stamp {
            publisher: 7,
            sequence: 65_535,
            sent_ns: 9,
        };
        let mut bytes = BytesMut::from(message.stamped(stamp));
        let packet = codec::decode(&mut bytes, Version::V3_1_1, 1000).unwrap();
        let Some(Packet::Publish(publish)) = packet else {
            panic!("{packet:?}");
        };
        assert_eq!(publish.packet_id.unwrap().get(), 1);
        assert_eq!(publish.payload.len(), 100);
        assert_eq!(Stamp::read(&publish.payload), Some(stamp));
    }
}
