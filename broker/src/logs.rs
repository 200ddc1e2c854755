//! Numbers for partitions: a session and its messages name a place in the log by a small number and an offset.

use std::collections::HashMap;
use std::sync::Arc;

use kafka::Place;
use mqtt::session::Origin;

/// The Kafka topics that messages are read from. They are known at the start, since the rules name them.
pub(crate) struct Logs {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

/// Partitions of one topic that can be numbered; Kafka itself gets slow long before.
const PARTITIONS_MAX: u32 = 1 << 16;

impl Logs {
    pub(crate) fn new<'a>(kafka_topics: impl IntoIterator<Item = &'a str>) -> Self {
        let mut logs = Self {
            names: Vec::new(),
            numbers: HashMap::new(),
        };
        for name in kafka_topics {
            if !logs.numbers.contains_key(name) {
                let name: Arc<str> = name.into();
                let number = logs.names.len() as u32;
                logs.numbers.insert(Arc::clone(&name), number);
                logs.names.push(name);
            }
        }
        logs
    }

    /// The number of a partition; `None` for a topic that no message is read from.
    pub(crate) fn number(&self, kafka_topic: &str, partition: i32) -> Option<u32> {
        let topic = self.numbers.get(kafka_topic)?;
        let partition = u32::try_from(partition)
            .ok()
            .filter(|p| *p < PARTITIONS_MAX)?;
        Some(topic * PARTITIONS_MAX + partition)
    }

    /// The topic and partition of a number.
    pub(crate) fn name(&self, log: u32) -> (&Arc<str>, i32) {
        let topic = &self.names[(log / PARTITIONS_MAX) as usize];
        (topic, (log % PARTITIONS_MAX) as i32)
    }

    /// Where a message can be read again.
    pub(crate) fn place(&self, origin: Origin) -> Place {
        let (kafka_topic, partition) = self.name(origin.log);
        Place {
            kafka_topic: Arc::clone(kafka_topic),
            partition,
            offset: origin.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        let logs = Logs::new(["a", "b", "a"]);
        let log = logs.number("b", 7).unwrap();
        let (name, partition) = logs.name(log);
        assert_eq!((&**name, partition), ("b", 7));
        assert_ne!(Some(log), logs.number("a", 7));
        assert_eq!(logs.number("c", 0), None);
        assert_eq!(logs.number("a", -1), None);
    }
}
