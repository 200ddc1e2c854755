//! A vehicle's client by `rumqttc`.

use anyhow::Result;
use fleet::Status;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, LastWill, Packet, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use super::{Client, IN_FLIGHT, KEEP_ALIVE};
use crate::agent::Agent;
use crate::commands::Incoming;

/// Messages in the library's own queue: `online`, a position on both topics, and one to spare. There is room for a
/// subscription beside them.
const QUEUE: usize = 4;

pub(crate) struct Rumqtt {
    client: AsyncClient,
    events: EventLoop,
    /// Messages in the queue.
    queued: usize,
}

impl Rumqtt {
    pub(crate) fn new(agent: &Agent) -> Self {
        let (client, events) = AsyncClient::new(options(agent), QUEUE + 1);
        Self {
            client,
            events,
            queued: 0,
        }
    }
}

fn options(agent: &Agent) -> MqttOptions {
    let config = &agent.shared.config;
    let mut options = MqttOptions::new(agent.client_id(), &config.mqtt_host, config.mqtt_port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(true);
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    options.set_last_will(LastWill::new(
        agent.status_topic().to_string(),
        Status::Offline.as_str(),
        QoS::AtLeastOnce,
        true,
        None,
    ));
    if let Some(username) = &config.mqtt_username {
        let password = config.mqtt_password.as_ref().map_or("", |p| p.reveal());
        options.set_credentials(username, password);
    }
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

impl Client for Rumqtt {
    async fn serve(&mut self, agent: &mut Agent) -> anyhow::Error {
        // What was queued went with the connection before.
        self.queued = 0;
        loop {
            let event = {
                // Polling must not be cancelled half-way: the ticks get their turns while the same future goes on.
                let poll = self.events.poll();
                tokio::pin!(poll);
                loop {
                    tokio::select! {
                        event = &mut poll => break event,
                        () = agent.tick() => send(&self.client, &mut self.queued, agent),
                    }
                }
            };
            match event {
                Ok(event) => self.handle(&event, agent),
                Err(error) => return error.into(),
            }
        }
    }

    async fn leave(&mut self, agent: &mut Agent) -> Result<()> {
        send(&self.client, &mut self.queued, agent);
        // `offline` is the last message of the queue, so its identifier is the one sent when the queue is empty.
        let mut identifier = None;
        loop {
            let event = self.events.poll().await?;
            self.handle(&event, agent);
            match event {
                Event::Outgoing(Outgoing::Publish(id)) if self.queued == 0 => identifier = Some(id),
                Event::Incoming(Packet::PubAck(ack)) if identifier == Some(ack.pkid) => break,
                _ => (),
            }
        }
        self.client.try_disconnect()?;
        while !matches!(
            self.events.poll().await?,
            Event::Outgoing(Outgoing::Disconnect)
        ) {}
        Ok(())
    }
}

impl Rumqtt {
    fn handle(&mut self, event: &Event, agent: &mut Agent) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                agent.connected();
                let mut filter = Filter::new(&**agent.command_topic(), QoS::AtLeastOnce);
                filter.retain_forward_rule = RetainForwardRule::Never;
                if let Err(error) = self.client.try_subscribe_many([filter]) {
                    agent.no_commands(&error);
                }
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                for reason in &answer.return_codes {
                    if !matches!(reason, SubscribeReasonCode::Success(_)) {
                        agent.no_commands(&format!("{reason:?}"));
                    }
                }
            }
            Event::Incoming(Packet::Publish(publish)) => receive(publish, agent),
            Event::Outgoing(Outgoing::Publish(_)) => {
                self.queued = self.queued.saturating_sub(1);
                agent.shared.metrics.messages_sent.inc();
            }
            _ => return,
        }
        send(&self.client, &mut self.queued, agent);
    }
}

/// Hands the agent's messages to the library, as far as its queue takes them.
fn send(client: &AsyncClient, queued: &mut usize, agent: &mut Agent) {
    while agent.is_connected() && *queued < QUEUE {
        let Some(message) = agent.next_message(true) else {
            return;
        };
        let qos = match message.qos {
            mqtt::QoS::AtMostOnce => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        let topic = message.topic.to_string();
        let properties = PublishProperties {
            correlation_data: message.correlation,
            ..PublishProperties::default()
        };
        let (retain, payload) = (message.retain, message.payload);
        match client.try_publish_with_properties(topic, qos, retain, payload, properties) {
            Ok(()) => *queued += 1,
            // The queue has room for what we count, so this is the library's refusal of the message itself.
            Err(error) => tracing::warn!(%error, topic = %message.topic, "a message can't be sent"),
        }
    }
}

fn receive(publish: &Publish, agent: &mut Agent) {
    let properties = publish.properties.as_ref();
    agent.command(&Incoming {
        payload: &publish.payload,
        response_topic: properties.and_then(|p| p.response_topic.as_deref()),
        correlation: properties.and_then(|p| p.correlation_data.clone()),
    });
}
