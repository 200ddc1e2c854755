//! `$SYS/broker/…`: what the node knows of itself, for those whom a rule lets read it. It is of this node, so it does not
//! go through Kafka.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt::properties::Properties;
use mqtt::session::Message;
use mqtt::{QoS, TopicName};
use service::Shutdown;

use crate::mailbox::Bells;
use crate::node::Node;
use crate::routed::Routed;

/// Publishes every `interval`, until `shutdown`.
pub(crate) async fn run(node: Arc<Node>, interval: Duration, shutdown: Shutdown) {
    let started = Instant::now();
    loop {
        for (name, value) in values(&node, started.elapsed()) {
            publish(&node, name, value);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

fn values(node: &Node, uptime: Duration) -> Vec<(&'static str, String)> {
    let metrics = &node.metrics;
    let counts = [
        ("uptime", uptime.as_secs()),
        (
            "clients/connected",
            node.sessions.directory.connected() as u64,
        ),
        ("sessions/stored", node.sessions.directory.stored() as u64),
        ("subscriptions/count", node.subscriptions() as u64),
        ("retained/count", node.egress.retained.len() as u64),
        ("messages/received", metrics.messages_received()),
        ("messages/sent", metrics.messages_sent()),
        ("bytes/received", metrics.received_bytes.get()),
        ("bytes/sent", metrics.sent_bytes.get()),
    ];
    let mut values: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| (name, count.to_string()))
        .collect();
    values.push(("version", format!("convoy {}", env!("CARGO_PKG_VERSION"))));
    values.push(("node", node.name.clone()));
    values
}

fn publish(node: &Node, name: &str, value: String) {
    let topic = TopicName::try_from(format!("$SYS/broker/{name}").as_str());
    let Ok(topic) = topic else {
        unreachable!("names of ours are valid");
    };
    let message = Arc::new(Message::new(
        topic,
        QoS::AtMostOnce,
        true,
        Properties::default(),
        Bytes::from(value),
        None,
    ));
    node.egress.retained.keep(Arc::clone(&message));
    let mut bells = Bells::default();
    node.egress
        .subscriptions
        .route(&Routed::made(&message), &mut bells);
    node.shares.route(&Routed::made(&message), &mut bells);
    bells.ring();
}
