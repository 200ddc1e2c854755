//! A vehicle's client on our own codec: a socket, no channels, and no buffer that outlives its use.
//!
//! What the agent has to say is encoded together and written at once; while the socket does not take all of it, newer
//! positions replace older ones in the agent.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use fleet::Status;
use mqtt::packet::{
    Ack, Connect, Disconnect, Publish, RetainHandling, Subscribe, Subscription,
    SubscriptionOptions, Will,
};
use mqtt::properties::{Fields, Properties};
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, codec};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Client, IN_FLIGHT, KEEP_ALIVE};
use crate::agent::{Agent, Message};
use crate::commands::Incoming;

/// How long the broker may take to let a vehicle in.
const CONNECT: Duration = Duration::from_secs(10);

/// The largest packet that a vehicle takes.
const PACKET_BYTES_MAX: u32 = 16 * 1024;

#[derive(Default)]
pub(crate) struct Lean {
    connection: Option<Connection>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes that the socket has not taken yet.
    out: BytesMut,
    /// The beginning of a packet.
    inbox: BytesMut,
    /// The packet identifier given last.
    last_id: u16,
    /// Messages that wait for their PUBACK, and the most there may be.
    in_flight: u16,
    in_flight_max: u16,
    keep_alive: Duration,
    pinged: Instant,
    /// Whether the last ping has not been answered.
    unanswered: bool,
}

impl Client for Lean {
    async fn serve(&mut self, agent: &mut Agent) -> anyhow::Error {
        self.connection = None;
        let opened = {
            let connect = connect(agent);
            let opening = timeout(CONNECT, open(agent.shared.config.broker(), connect));
            tokio::pin!(opening);
            loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    () = agent.tick() => (),
                }
            }
        };
        let connection = match opened {
            Ok(Ok(connection)) => self.connection.insert(connection),
            Ok(Err(error)) => return error,
            Err(_) => return anyhow!("the broker did not answer within {CONNECT:?}"),
        };
        agent.connected();
        if let Err(error) = connection.subscribe(agent) {
            return error;
        }
        loop {
            if let Err(error) = connection.turn(agent).await {
                return error;
            }
        }
    }

    async fn leave(&mut self, agent: &mut Agent) -> Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        // All that was in flight before `offline`, and that.
        loop {
            connection.send(agent)?;
            if connection.in_flight == 0 && connection.out.is_empty() {
                break;
            }
            connection.wait(agent).await?;
        }
        connection.encode(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
        while !connection.flush()? {
            connection.stream.writable().await?;
        }
        Ok(())
    }
}

fn connect(agent: &Agent) -> Result<Connect> {
    let config = &agent.shared.config;
    let properties = Properties::from(Fields {
        maximum_packet_size: Some(PACKET_BYTES_MAX),
        ..Default::default()
    });
    Ok(Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: KEEP_ALIVE.as_secs() as u16,
        properties,
        client_id: agent.client_id().as_str().into(),
        will: Some(Will {
            topic: TopicName::try_from(&**agent.status_topic())?,
            payload: Bytes::from_static(Status::Offline.as_str().as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::default(),
        }),
        username: config.mqtt_username.as_deref().map(Into::into),
        password: config
            .mqtt_password
            .as_ref()
            .map(|password| Bytes::copy_from_slice(password.reveal().as_bytes())),
    })
}

/// Opens a connection: when this returns, the broker has let the vehicle in.
async fn open((host, port): (String, u16), connect: Result<Connect>) -> Result<Connection> {
    let stream = TcpStream::connect((host, port))
        .await
        .context("can't connect")?;
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        stream,
        out: BytesMut::new(),
        inbox: BytesMut::new(),
        last_id: 0,
        in_flight: 0,
        in_flight_max: IN_FLIGHT,
        keep_alive: KEEP_ALIVE,
        pinged: Instant::now(),
        unanswered: false,
    };
    connection.encode(&Packet::Connect(Box::new(connect?)));
    while !connection.flush()? {
        connection.stream.writable().await?;
    }
    let answer = loop {
        connection.stream.readable().await?;
        connection.fill()?;
        if let Some(packet) = connection.take()? {
            break packet;
        }
    };
    match answer {
        Packet::ConnAck(answer) if !answer.reason.is_error() => {
            if let Some(most) = answer.properties.receive_maximum {
                connection.in_flight_max = most.min(IN_FLIGHT);
            }
            if let Some(seconds) = answer.properties.server_keep_alive_s {
                connection.keep_alive = Duration::from_secs(seconds.into());
            }
            Ok(connection)
        }
        Packet::ConnAck(answer) => bail!("the broker refused the connection: {}", answer.reason),
        other => bail!("the broker answered a connect with {other:?}"),
    }
}

impl Connection {
    /// Sends what there is, then waits for a tick or the socket and deals with it.
    async fn turn(&mut self, agent: &mut Agent) -> Result<()> {
        self.send(agent)?;
        tokio::select! {
            biased;
            () = agent.tick() => self.ping(),
            done = self.wait_for_socket() => self.receive(done?, agent),
        }
    }

    /// Waits for the socket and deals with what it has.
    async fn wait(&mut self, agent: &mut Agent) -> Result<()> {
        let ready = self.wait_for_socket().await?;
        self.receive(ready, agent)
    }

    async fn wait_for_socket(&self) -> std::io::Result<tokio::io::Ready> {
        let interest = if self.out.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        self.stream.ready(interest).await
    }

    /// Encodes the agent's messages, unless the socket still owes the last ones, and writes.
    fn send(&mut self, agent: &mut Agent) -> Result<()> {
        if !self.flush()? {
            return Ok(());
        }
        while let Some(message) = agent.next_message(self.in_flight < self.in_flight_max) {
            let publish = self.publish(message)?;
            self.encode(&Packet::Publish(publish));
            agent.shared.metrics.messages_sent.inc();
        }
        self.flush()?;
        Ok(())
    }

    fn publish(&mut self, message: Message) -> Result<Publish> {
        let packet_id = if message.qos == QoS::AtMostOnce {
            None
        } else {
            self.in_flight += 1;
            // At most `IN_FLIGHT` are open, and the broker acknowledges in order: a number is free when it comes again.
            Some(self.next_id()?)
        };
        let properties = match message.correlation {
            Some(correlation) => Properties::from(Fields {
                correlation_data: Some(correlation),
                ..Fields::default()
            }),
            None => Properties::default(),
        };
        Ok(Publish {
            dup: false,
            qos: message.qos,
            retain: message.retain,
            topic: Some(TopicName::try_from(&*message.topic)?),
            packet_id,
            properties,
            payload: message.payload,
        })
    }

    fn next_id(&mut self) -> Result<PacketId> {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        Ok(PacketId::try_from(self.last_id)?)
    }

    fn subscribe(&mut self, agent: &Agent) -> Result<()> {
        let subscribe = Subscribe {
            packet_id: self.next_id()?,
            properties: Properties::default(),
            subscriptions: vec![Subscription {
                filter: TopicFilter::new(agent.command_topic())?,
                options: SubscriptionOptions {
                    qos: QoS::AtLeastOnce,
                    retain_handling: RetainHandling::DoNotSend,
                    ..SubscriptionOptions::default()
                },
            }],
        };
        self.encode(&Packet::Subscribe(subscribe));
        Ok(())
    }

    fn encode(&mut self, packet: &Packet) {
        codec::encode(packet, Version::V5, &mut self.out);
    }

    /// Writes what the socket takes; true when that was all.
    fn flush(&mut self) -> Result<bool> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(written) => drop(self.out.split_to(written)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        // Thousands of buffers that are rarely used would be most of the memory.
        self.out = BytesMut::new();
        Ok(true)
    }

    fn receive(&mut self, ready: tokio::io::Ready, agent: &mut Agent) -> Result<()> {
        if !ready.is_readable() {
            return Ok(());
        }
        self.fill()?;
        while let Some(packet) = self.take()? {
            self.handle(packet, agent)?;
        }
        Ok(())
    }

    /// Reads what has come.
    fn fill(&mut self) -> Result<()> {
        let mut chunk = [0; 4_096];
        loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(length) => {
                    self.inbox.extend_from_slice(&chunk[..length]);
                    if length < chunk.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Packet>> {
        let packet = codec::decode(&mut self.inbox, Version::V5, PACKET_BYTES_MAX as usize)?;
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
        }
        Ok(packet)
    }

    fn handle(&mut self, packet: Packet, agent: &mut Agent) -> Result<()> {
        match packet {
            Packet::PubAck(_) => self.in_flight = self.in_flight.saturating_sub(1),
            Packet::Publish(publish) => {
                // At most QoS 1 was asked for; a topic alias is not taken, so the topic is always the one subscribed to.
                if let Some(id) = publish.packet_id {
                    self.encode(&Packet::PubAck(Ack::success(id)));
                }
                agent.command(&Incoming {
                    payload: &publish.payload,
                    response_topic: publish.properties.response_topic.as_deref(),
                    correlation: publish.properties.correlation_data.clone(),
                });
            }
            Packet::SubAck(answer) => {
                for reason in answer.reasons.iter().filter(|reason| reason.is_error()) {
                    agent.no_commands(reason);
                }
            }
            Packet::PingResp => self.unanswered = false,
            Packet::Disconnect(packet) => bail!("the broker disconnected: {}", packet.reason),
            other => bail!("the broker sent what it should not: {other:?}"),
        }
        Ok(())
    }

    /// Pings twice per keep alive, whatever else is sent: only an answer shows that the broker is still there.
    fn ping(&mut self) -> Result<()> {
        if self.keep_alive.is_zero() || self.pinged.elapsed() < self.keep_alive / 2 {
            return Ok(());
        }
        if self.unanswered {
            bail!(
                "the broker has not answered a ping for {:?}",
                self.pinged.elapsed()
            );
        }
        self.pinged = Instant::now();
        self.unanswered = true;
        self.encode(&Packet::PingReq);
        Ok(())
    }
}
