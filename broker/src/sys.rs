//! `$SYS/broker/…`: what the broker knows of itself, for those whom a rule lets read it. What its nodes count is summed up
//! from their heartbeats, so that all nodes say the same; each node gives it to its own clients, so it is no record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt::properties::Properties;
use mqtt::session::Message;
use mqtt::{QoS, TopicName};
use service::Shutdown;

use crate::mailbox::Bells;
use crate::node::Node;
use crate::ownership::Counts;
use crate::routed::Routed;
use crate::sessions::now_ms;

/// Publishes every `interval`, until `shutdown`.
pub(crate) async fn run(node: Arc<Node>, interval: Duration, shutdown: Shutdown) {
    loop {
        for (name, value) in values(&node) {
            publish(&node, name, value);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// What this node counts, for its next heartbeat.
pub(crate) fn counts(node: &Node) -> Counts {
    let metrics = &node.metrics;
    Counts {
        started_ms: node.started_ms,
        connected: node.sessions.directory.connected() as u64,
        subscriptions: node.subscriptions() as u64,
        messages_received: metrics.messages_received(),
        messages_sent: metrics.messages_sent(),
        bytes_received: metrics.received_bytes.get(),
        bytes_sent: metrics.sent_bytes.get(),
    }
}

fn values(node: &Node) -> Vec<(&'static str, String)> {
    let directory = &node.sessions.directory;
    let (nodes, sums) = directory.with(|all| all.counts());
    let counts = [
        ("uptime", now_ms().saturating_sub(sums.started_ms) / 1000),
        ("nodes", nodes as u64),
        ("clients/connected", sums.connected),
        ("sessions/stored", directory.stored() as u64),
        ("subscriptions/count", sums.subscriptions),
        ("retained/count", node.egress.retained.len() as u64),
        ("messages/received", sums.messages_received),
        ("messages/sent", sums.messages_sent),
        ("bytes/received", sums.bytes_received),
        ("bytes/sent", sums.bytes_sent),
    ];
    let mut values: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| (name, count.to_string()))
        .collect();
    values.push(("version", format!("convoy {}", env!("CARGO_PKG_VERSION"))));
    // The only one that is of the node that the client is on.
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
