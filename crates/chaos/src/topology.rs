//! Who publishes where, and who listens to whom.

use std::collections::BTreeSet;

use mqtt::QoS;

use crate::checker::{ALL_QOS, Message};

/// The publishers that a client subscribes to: its neighbour, and one across. So each message has two subscribers, and
/// each client gets as much as any other.
pub(crate) fn sources(subscriber: usize, clients: usize) -> BTreeSet<usize> {
    [1, clients.div_ceil(2)]
        .map(|step| (subscriber + step) % clients)
        .into()
}

/// Each publisher has a topic at each QoS.
pub(crate) fn topic(publisher: usize, qos: QoS) -> String {
    format!("chaos/{publisher}/{}", qos as u8)
}

/// All topics of a publisher.
pub(crate) fn filter(publisher: usize) -> String {
    format!("chaos/{publisher}/+")
}

/// A message says itself what it is; its topic must say the same.
pub(crate) fn payload(message: Message) -> String {
    format!(
        "{} {}",
        topic(message.publisher, message.qos),
        message.number
    )
}

/// Reads [`payload`]; `None` when it is not one, or came under another topic.
pub(crate) fn message(topic: &str, payload: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(payload).ok()?;
    let (origin, number) = text.split_once(' ')?;
    if origin != topic {
        return None;
    }
    let (publisher, qos) = origin.strip_prefix("chaos/")?.split_once('/')?;
    let qos: u8 = qos.parse().ok()?;
    Some(Message {
        publisher: publisher.parse().ok()?,
        qos: ALL_QOS.into_iter().find(|known| *known as u8 == qos)?,
        number: number.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_under_its_own_topic_only() {
        for qos in ALL_QOS {
            let sent = Message {
                publisher: 17,
                qos,
                number: 4,
            };
            let bytes = payload(sent);
            assert_eq!(message(&topic(17, qos), bytes.as_bytes()), Some(sent));
            assert_eq!(message(&topic(18, qos), bytes.as_bytes()), None);
        }
        assert_eq!(message("chaos/1/3", b"chaos/1/3 1"), None);
    }

    #[test]
    fn each_message_has_as_many_subscribers_as_each_subscriber_has_sources() {
        for clients in [3, 4, 5, 200] {
            let mut subscribers = vec![0; clients];
            for subscriber in 0..clients {
                for publisher in sources(subscriber, clients) {
                    assert_ne!(publisher, subscriber);
                    subscribers[publisher] += 1;
                }
            }
            assert_eq!(subscribers, vec![2; clients]);
        }
    }
}
